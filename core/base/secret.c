/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for secrets: locked, excluded from core dumps and cleared in a forked child.
 *
 * Large secrets have pages of their own: [guard page][header | secret ...][guard page]. Creating and releasing such a
 * mapping takes six system calls. Sealing a small blob needs two of them, whose system calls together cost about as
 * much as its RSA operation. A few released mappings are therefore wiped and kept for later allocations.
 *
 * Small secrets are slots of a slab, which has a guard page on either side. A program with many open readers would
 * otherwise exhaust its limits for locked memory and for mappings. Pages of a slab are locked when their first slot is
 * used, so that a low limit for locked memory is used well.
 */
#define _GNU_SOURCE /* MADV_* */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/base.h"

#define SLAB_LEN  ((size_t)256 << 10)
#define MIN_SLOT  ((size_t)64)
#define MAX_SLOT  ((size_t)128)
#define MAX_SLOTS (SLAB_LEN / MIN_SLOT)
#define MAX_PAGES (SLAB_LEN / 4096)

struct slab {
    struct slab *next;
    uint8_t *base;                    /* SLAB_LEN bytes between the guard pages              */
    size_t slot_len;                  /* MIN_SLOT or MAX_SLOT                                */
    size_t used;                      /* number of slots in use                              */
    size_t first;                     /* no word of `slots` before this one has a free slot  */
    uint64_t process;                 /* that made it: in a forked child its slots are empty */
    uint64_t slots[MAX_SLOTS / 64];   /* a bit is set if the slot is in use   */
    uint64_t locked[MAX_PAGES / 64];  /* a bit is set if the page is locked   */
    uint64_t touched[MAX_PAGES / 64]; /* a bit is set if the page was used   */
};

/* Stored at the start of the first page of a large secret. All zero in a forked child. */
struct secret_header {
    size_t inner_len; /* bytes between the guard pages  */
    bool locked;
    uint8_t pad[55]; /* aligns the secret to 64 bytes  */
};

/* Mappings of up to three inner pages are cached: a secret without text fits into one page, an envelope into three. */
#define CACHED_PAGES 3
#define CACHED_EACH  8 /* cached mappings of each size */

static struct {
    pthread_mutex_t lock;
    uint64_t process; /* that the numbers belong to */
    struct slab *slabs;
    struct secret_header *cached[CACHED_PAGES][CACHED_EACH];
    struct bs_secret_counters counters;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t page_len(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* ---- Mappings between guard pages -------------------------------------------------------------------------------- */

static void unmap(void *inner, size_t len)
{
    (void)munmap((uint8_t *)inner - page_len(), len + 2 * page_len());
}

static void *map(size_t len)
{
    size_t page = page_len();
    uint8_t *p = mmap(NULL, len + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    if (mprotect(p + page, len, PROT_READ | PROT_WRITE) != 0) {
        (void)munmap(p, len + 2 * page);
        return NULL;
    }
    /* Failures are ignored: old kernels do not know every advice. */
    (void)madvise(p + page, len, MADV_DONTDUMP);
    (void)madvise(p + page, len, MADV_WIPEONFORK);
    return p + page;
}

/* ---- The cache of large mappings, and locking. All functions from here on are called with the lock held ---------- */

static void count(bool locked, size_t len, bool more)
{
    uint64_t *n = locked ? &pool.counters.locked_bytes : &pool.counters.unlocked_bytes;

    *n += more ? len : -len;
}

/* Release all cached mappings. Return false if there were none. In a forked child their headers are empty. */
static bool empty_cache(void)
{
    bool some = false;

    for (size_t pages = 0; pages < CACHED_PAGES; pages++)
        for (size_t i = 0; i < CACHED_EACH; i++) {
            struct secret_header *h = pool.cached[pages][i];

            if (h == NULL)
                continue;
            if (h->inner_len != 0)
                count(h->locked, h->inner_len, false);
            unmap(h, (pages + 1) * page_len());
            pool.cached[pages][i] = NULL;
            some = true;
        }
    return some;
}

/* Lock @len bytes at @p. What the cache keeps locked is released if the limit requires it. */
static bool lock_pages(void *p, size_t len)
{
    return mlock(p, len) == 0 || (empty_cache() && mlock(p, len) == 0);
}

/* After fork(), the numbers and the cache are those of the parent. */
static void notice_fork(void)
{
    uint64_t id = bs_process_id();

    if (pool.process == id)
        return;
    (void)empty_cache();
    pool.counters = (struct bs_secret_counters){0};
    pool.process = id;
}

static struct secret_header *take_cached(size_t inner)
{
    size_t pages = inner / page_len();

    for (size_t i = 0; pages <= CACHED_PAGES && i < CACHED_EACH; i++) {
        struct secret_header *h = pool.cached[pages - 1][i];

        if (h == NULL)
            continue;
        pool.cached[pages - 1][i] = NULL;
        return h;
    }
    return NULL;
}

/* Put a wiped mapping into the cache. Return false if it is too large, or if the cache is full. */
static bool add_to_cache(struct secret_header *h)
{
    size_t pages = h->inner_len / page_len();

    for (size_t i = 0; pages <= CACHED_PAGES && i < CACHED_EACH; i++)
        if (pool.cached[pages - 1][i] == NULL) {
            pool.cached[pages - 1][i] = h;
            return true;
        }
    return false;
}

/* ---- Slabs ------------------------------------------------------------------------------------------------------- */

static bool bit(const uint64_t *bits, size_t i)
{
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}

static void set_bit(uint64_t *bits, size_t i, bool on)
{
    uint64_t mask = (uint64_t)1 << (i % 64);

    bits[i / 64] = on ? bits[i / 64] | mask : bits[i / 64] & ~mask;
}

static struct slab *new_slab(size_t slot_len)
{
    struct slab *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->slot_len = slot_len;
    s->process = pool.process;
    s->base = map(SLAB_LEN);
    if (s->base == NULL) {
        free(s);
        return NULL;
    }
    s->next = pool.slabs;
    pool.slabs = s;
    return s;
}

static size_t num_slots(const struct slab *s)
{
    return SLAB_LEN / s->slot_len;
}

/* Return the slab of this process with a free slot that is nearest to the end of the list: the oldest. Newer ones
 * become empty first and are released. Make one if there is none. */
static struct slab *find_slab(size_t slot_len)
{
    struct slab *found = NULL;

    for (struct slab *s = pool.slabs; s != NULL; s = s->next)
        if (s->slot_len == slot_len && s->process == pool.process && s->used < num_slots(s))
            found = s;
    return found != NULL ? found : new_slab(slot_len);
}

/* Lock the page of a slot that is about to be used, unless it is locked already. */
static void prepare_page(struct slab *s, size_t slot)
{
    size_t page = page_len(), i = slot * s->slot_len / page;
    bool before = bit(s->touched, i);

    if (!bit(s->locked, i)) {
        bool locked = lock_pages(s->base + i * page, page);

        if (before && locked)
            count(false, page, false);
        if (!before || locked)
            count(locked, page, true);
        set_bit(s->locked, i, locked);
        set_bit(s->touched, i, true);
    }
    if (!bit(s->locked, i))
        pool.counters.unlocked_secrets++;
}

static void *take_slot(size_t len)
{
    struct slab *s = find_slab(len <= MIN_SLOT ? MIN_SLOT : MAX_SLOT);
    size_t slot;

    if (s == NULL)
        return NULL;
    while (s->slots[s->first] == UINT64_MAX)
        s->first++;
    slot = s->first * 64 + (size_t)__builtin_ctzll(~s->slots[s->first]);
    set_bit(s->slots, slot, true);
    s->used++;
    prepare_page(s, slot);
    return s->base + slot * s->slot_len;
}

/* Forget what is counted for the pages of a slab from number @from on. */
static void uncount_pages(struct slab *s, size_t from)
{
    size_t page = page_len();

    for (size_t i = from; i < SLAB_LEN / page; i++) {
        if (bit(s->touched, i))
            count(bit(s->locked, i), page, false);
        set_bit(s->touched, i, false);
        set_bit(s->locked, i, false);
    }
}

static void release_slab(struct slab **at)
{
    struct slab *s = *at;

    *at = s->next;
    if (s->process == pool.process)
        uncount_pages(s, 0);
    unmap(s->base, SLAB_LEN);
    free(s);
}

/* Return memory of the empty slab @s, which *@at points to: all of it if another slab of its kind has room, otherwise
 * all but its first page. */
static void shrink(struct slab **at, struct slab *s)
{
    size_t page = page_len();

    for (struct slab *other = pool.slabs; other != NULL; other = other->next)
        if (other != s && other->slot_len == s->slot_len && other->process == s->process &&
            other->used < num_slots(other)) {
            release_slab(at);
            return;
        }
    for (size_t i = 1; i < SLAB_LEN / page; i++)
        if (bit(s->touched, i)) {
            (void)munlock(s->base + page, SLAB_LEN - page);
            (void)madvise(s->base + page, SLAB_LEN - page, MADV_DONTNEED);
            uncount_pages(s, 1);
            return;
        }
}

/* Release the slot at @p. Return false if no slab contains @p. Slots of a parent process are left alone. */
static bool release_slot(uint8_t *p)
{
    struct slab **at = &pool.slabs, *s;
    size_t slot;

    while (*at != NULL && (p < (*at)->base || p >= (*at)->base + SLAB_LEN))
        at = &(*at)->next;
    s = *at;
    if (s == NULL)
        return false;
    slot = (size_t)(p - s->base) / s->slot_len;
    if (s->process != pool.process || !bit(s->slots, slot))
        return true;
    blobseal_wipe(s->base + slot * s->slot_len, s->slot_len);
    set_bit(s->slots, slot, false);
    s->used--;
    if (slot / 64 < s->first)
        s->first = slot / 64;
    if (s->used == 0)
        shrink(at, s);
    return true;
}

/* ---- Secrets of any size ----------------------------------------------------------------------------------------- */

/* Make a mapping for a large secret, or take one from the cache. */
static struct secret_header *alloc_pages(size_t inner)
{
    struct secret_header *h = take_cached(inner);
    bool fresh = h == NULL;

    if (fresh)
        h = map(inner);
    if (h == NULL)
        return NULL;
    h->inner_len = inner;
    if (!h->locked) {
        if (!fresh)
            count(false, inner, false);
        h->locked = lock_pages(h, inner);
        count(h->locked, inner, true);
    }
    if (!h->locked)
        pool.counters.unlocked_secrets++;
    return h;
}

void *blobseal_secret_alloc(size_t len)
{
    struct secret_header *h = NULL;
    size_t page = page_len();
    void *p;

    if (len > SIZE_MAX / 2)
        return NULL;
    pthread_mutex_lock(&pool.lock);
    notice_fork();
    if (len <= MAX_SLOT) {
        p = take_slot(len);
    } else {
        h = alloc_pages((len + sizeof *h + page - 1) / page * page);
        p = h != NULL ? h + 1 : NULL;
    }
    pthread_mutex_unlock(&pool.lock);
    return p;
}

void blobseal_secret_free(void *p)
{
    struct secret_header *h = p, saved;

    if (p == NULL)
        return;
    pthread_mutex_lock(&pool.lock);
    notice_fork();
    h--;
    if (!release_slot(p) && h->inner_len != 0) { /* in a forked child the header is empty */
        saved = *h;
        blobseal_wipe(h, saved.inner_len);
        *h = saved;
        if (!add_to_cache(h)) {
            count(saved.locked, saved.inner_len, false);
            unmap(h, saved.inner_len);
        }
    }
    pthread_mutex_unlock(&pool.lock);
}

struct bs_secret_counters bs_secret_counters(void)
{
    struct bs_secret_counters counters;

    pthread_mutex_lock(&pool.lock);
    notice_fork();
    counters = pool.counters;
    pthread_mutex_unlock(&pool.lock);
    return counters;
}

void bs_secret_trim(void)
{
    struct slab **at = &pool.slabs;

    pthread_mutex_lock(&pool.lock);
    notice_fork();
    (void)empty_cache();
    while (*at != NULL)
        if ((*at)->used == 0)
            release_slab(at);
        else
            at = &(*at)->next;
    pthread_mutex_unlock(&pool.lock);
}
