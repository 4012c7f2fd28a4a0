/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for secrets: [guard page][header | secret ...][guard page]. The pages are locked, excluded from core dumps and
 * cleared in a forked child.
 *
 * Creating and releasing such a mapping takes six system calls. Sealing a small blob needs four mappings, whose system
 * calls together cost more than its RSA operation. A few released mappings are therefore wiped and kept for later
 * allocations. This cache is the only state that the library shares between its callers.
 */
#define _GNU_SOURCE /* MADV_* */
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/base.h"

/* Stored at the start of the first inner page. All zero in a forked child. */
struct secret_header {
    size_t inner_len; /* bytes between the guard pages */
    uint8_t pad[56];  /* aligns the secret to 64 bytes  */
};

/* Mappings of up to three inner pages are cached: a secret without text fits into one page, an envelope into three. */
#define CACHED_PAGES 3
#define CACHED_EACH  8 /* cached mappings of each size */

static _Atomic(struct secret_header *) cached[CACHED_PAGES][CACHED_EACH];

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
    /* Failures are ignored: RLIMIT_MEMLOCK can be tiny, and old kernels do not know every advice. */
    (void)mlock(p + page, inner);
    (void)madvise(p + page, inner, MADV_DONTDUMP);
    (void)madvise(p + page, inner, MADV_WIPEONFORK);
    return (void *)(p + page);
}

/*
 * Take a mapping of @inner bytes from the cache. Return NULL if there is none. In a forked child, the mappings that the
 * parent cached have a zero length and are no longer locked, so they are released instead.
 */
static struct secret_header *take_cached(size_t inner)
{
    size_t pages = inner / page_len();

    for (size_t i = 0; pages <= CACHED_PAGES && i < CACHED_EACH; i++) {
        struct secret_header *h = atomic_exchange(&cached[pages - 1][i], NULL);

        if (h != NULL && h->inner_len == inner)
            return h;
        if (h != NULL)
            unmap(h, inner);
    }
    return NULL;
}

/* Put a wiped mapping into the cache. Return false if it is too large, or if the cache is full. */
static bool add_to_cache(struct secret_header *h, size_t inner)
{
    size_t pages = inner / page_len();

    for (size_t i = 0; pages <= CACHED_PAGES && i < CACHED_EACH; i++) {
        struct secret_header *none = NULL;

        if (atomic_compare_exchange_strong(&cached[pages - 1][i], &none, h))
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
    h = take_cached(inner);
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
    if (inner == 0) /* in a forked child the pages are cleared: nothing to wipe, and no length to unmap */
        return;
    blobseal_wipe(h, inner);
    h->inner_len = inner;
    if (!add_to_cache(h, inner))
        unmap(h, inner);
}
