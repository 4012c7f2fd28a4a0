/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for secrets: [guard page][header | secret ...][guard page], locked, out of core files, emptied in a forked
 * child.
 *
 * Such a mapping takes six system calls to make and to give back. Sealing a small blob takes four of them, which cost
 * more than its RSA. So the first few that are given back are kept, wiped, for the next one who asks: the only thing of
 * the library that is shared by its callers.
 */
#define _GNU_SOURCE /* MADV_* */
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/base.h"

/* At the front of the first inner page. Zero in a forked child. */
struct secret_header {
    size_t inner_len; /* bytes between the guard pages */
    uint8_t pad[56];  /* keeps the secret aligned to 64 */
};

#define KEPT_PAGES 3 /* at most, of one that is kept: what holds no text fits into one, an envelope into three */
#define KEPT_EACH  8

static _Atomic(struct secret_header *) kept[KEPT_PAGES][KEPT_EACH];

static size_t page_len(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void unmap(struct secret_header *h, size_t inner)
{
    (void)munmap((uint8_t *)h - page_len(), inner + 2 * page_len());
}

static struct secret_header *map(size_t inner)
{
    size_t page = page_len();
    uint8_t *p = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    if (mprotect(p + page, inner, PROT_READ | PROT_WRITE) != 0) {
        (void)munmap(p, inner + 2 * page);
        return NULL;
    }
    /* RLIMIT_MEMLOCK can be tiny and old kernels lack an advice: neither is worth a failure. */
    (void)mlock(p + page, inner);
    (void)madvise(p + page, inner, MADV_DONTDUMP);
    (void)madvise(p + page, inner, MADV_WIPEONFORK);
    return (void *)(p + page);
}

/* One that was kept. In a forked child those of the parent are empty, and no longer locked: not worth having. */
static struct secret_header *take_kept(size_t inner)
{
    size_t pages = inner / page_len();

    for (size_t i = 0; pages <= KEPT_PAGES && i < KEPT_EACH; i++) {
        struct secret_header *h = atomic_exchange(&kept[pages - 1][i], NULL);

        if (h != NULL && h->inner_len == inner)
            return h;
        if (h != NULL)
            unmap(h, inner);
    }
    return NULL;
}

static bool keep(struct secret_header *h, size_t inner)
{
    size_t pages = inner / page_len();

    for (size_t i = 0; pages <= KEPT_PAGES && i < KEPT_EACH; i++) {
        struct secret_header *none = NULL;

        if (atomic_compare_exchange_strong(&kept[pages - 1][i], &none, h))
            return true;
    }
    return false;
}

void *blobseal_secret_alloc(size_t len)
{
    struct secret_header *h;
    size_t page = page_len(), inner;

    if (len > SIZE_MAX / 2)
        return NULL;
    inner = (len + sizeof *h + page - 1) / page * page;
    h = take_kept(inner);
    if (h == NULL)
        h = map(inner);
    if (h == NULL)
        return NULL;
    h->inner_len = inner;
    return h + 1;
}

void blobseal_secret_free(void *p)
{
    struct secret_header *h = p;
    size_t inner;

    if (p == NULL)
        return;
    h--;
    inner = h->inner_len;
    if (inner == 0) /* a forked child sees emptied pages: nothing to wipe, and no length to unmap by */
        return;
    blobseal_wipe(h, inner);
    h->inner_len = inner;
    if (!keep(h, inner))
        unmap(h, inner);
}
