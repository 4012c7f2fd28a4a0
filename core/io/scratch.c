/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers for calls that do their work on the caller's thread, such as reads at an offset. All users of a context share
 * them. A worker remembers who used it last: a user that calls often finds its keys set up, and its last data in the
 * buffers. What a user left is wiped before another user gets the worker, and when the user ends.
 *
 * Entries form a list that only grows; their buffers come and go. No lock is needed: whoever sets `busy` owns the
 * entry.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "core/io/io.h"

/* Entries that suit a user, best last. */
enum rank {
    RANK_NONE,         /* busy, or without buffers                     */
    RANK_RECENT,       /* another user has used it recently            */
    RANK_OLD,          /* another user has used it                     */
    RANK_UNUSED,       /* no user has used it since it was wiped       */
    RANK_OWN,          /* the user's own                               */
    RANK_OWN_WITH_TAG, /* and its content is what the user wants       */
};

static bool acquire(struct bs_scratch *s)
{
    return !atomic_load_explicit(&s->busy, memory_order_relaxed) &&
           !atomic_exchange_explicit(&s->busy, true, memory_order_acquire);
}

static void release(struct bs_scratch *s)
{
    atomic_store_explicit(&s->busy, false, memory_order_release);
}

static uint64_t owner_of(const struct bs_scratch *s)
{
    return atomic_load_explicit(&s->owner, memory_order_relaxed);
}

static void set_owner(struct bs_scratch *s, uint64_t owner)
{
    atomic_store_explicit(&s->owner, owner, memory_order_relaxed);
}

static void set_bytes(struct blobseal_context *c, struct bs_scratch *s, size_t bytes)
{
    if (bytes != s->bytes)
        (void)atomic_fetch_add(&c->scratch_bytes, (uint64_t)bytes - s->bytes); /* unsigned: a decrease wraps around */
    s->bytes = bytes;
}

/* Return the buffers of an acquired entry to the system. */
static void free_buffers(struct blobseal_context *c, struct bs_scratch *s)
{
    if (!atomic_load_explicit(&s->filled, memory_order_relaxed))
        return;
    if (s->worker.state != NULL)
        s->kind->end(s->worker.state);
    bs_worker_clear(&s->worker);
    set_bytes(c, s, 0);
    set_owner(s, 0);
    atomic_store_explicit(&s->filled, false, memory_order_relaxed);
}

/* Remove what the owner of an acquired entry left in it. */
static void disown(struct bs_scratch *s)
{
    if (owner_of(s) != 0)
        s->kind->wipe(&s->worker);
    set_owner(s, 0);
    atomic_store_explicit(&s->tag, BS_NO_TAG, memory_order_relaxed);
}

/* ---- Taking ------------------------------------------------------------------------------------------------------ */

static enum rank rank_of(const struct bs_scratch *s, const struct bs_scratch_user *user, uint64_t tag)
{
    uint64_t owner = owner_of(s);

    if (atomic_load_explicit(&s->busy, memory_order_relaxed) || !atomic_load_explicit(&s->filled, memory_order_relaxed))
        return RANK_NONE;
    if (owner == user->id)
        return atomic_load_explicit(&s->tag, memory_order_relaxed) == tag ? RANK_OWN_WITH_TAG : RANK_OWN;
    if (owner == 0)
        return RANK_UNUSED;
    return atomic_load_explicit(&s->recent, memory_order_relaxed) ? RANK_RECENT : RANK_OLD;
}

/* Acquire the best entry with buffers, at least of rank @least. Return NULL if there is none. */
static struct bs_scratch *find(struct blobseal_context *c, const struct bs_scratch_user *user, uint64_t tag,
                               enum rank least)
{
    for (;;) {
        struct bs_scratch *best = NULL;
        enum rank rank = RANK_NONE;

        for (struct bs_scratch *s = atomic_load(&c->scratch); s != NULL; s = s->next) {
            enum rank r = rank_of(s, user, tag);

            if (r > rank) {
                best = s;
                rank = r;
            }
        }
        if (best == NULL || rank < least)
            return NULL;
        if (rank == RANK_RECENT) /* all are: from now on, only those that are used again count as recent */
            for (struct bs_scratch *s = atomic_load(&c->scratch); s != NULL; s = s->next)
                atomic_store_explicit(&s->recent, false, memory_order_relaxed);
        if (!acquire(best))
            continue;
        if (atomic_load_explicit(&best->filled, memory_order_relaxed) &&
            (rank < RANK_OWN || owner_of(best) == user->id))
            return best;
        release(best); /* meanwhile another thread had it */
    }
}

/* Acquire an entry without buffers, or add one to the list. Return NULL if there is no memory. */
static struct bs_scratch *find_empty(struct blobseal_context *c)
{
    struct bs_scratch *s;

    for (s = atomic_load(&c->scratch); s != NULL; s = s->next) {
        if (atomic_load_explicit(&s->filled, memory_order_relaxed) || !acquire(s))
            continue;
        if (!atomic_load_explicit(&s->filled, memory_order_relaxed))
            return s;
        release(s);
    }
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    atomic_init(&s->busy, true);
    s->next = atomic_load(&c->scratch);
    while (!atomic_compare_exchange_weak(&c->scratch, &s->next, s))
        ;
    return s;
}

static size_t buffer_bytes(const struct bs_scratch_kind *kind)
{
    return kind->in_size + kind->out_size;
}

/* Acquire an entry without buffers and allocate them. */
static struct bs_scratch *make(struct blobseal_context *c, const struct bs_scratch_kind *kind)
{
    struct bs_scratch *s = find_empty(c);

    if (s == NULL || bs_worker_init(&s->worker, kind->in_size, kind->out_size, NULL) != BLOBSEAL_OK) {
        if (s != NULL) {
            bs_worker_clear(&s->worker);
            release(s);
        }
        return NULL;
    }
    s->kind = kind;
    set_bytes(c, s, buffer_bytes(kind));
    atomic_store_explicit(&s->tag, BS_NO_TAG, memory_order_relaxed);
    atomic_store_explicit(&s->filled, true, memory_order_relaxed);
    return s;
}

/* Return the place where the calling thread keeps a pointer to the entry that it used last for @user. */
static _Atomic(struct bs_scratch *) *hint_of(struct bs_scratch_user *user)
{
    return &user->hints[((uintptr_t)pthread_self() >> 12) * 0x9E3779B1u >> 16 & (BS_SCRATCH_HINTS - 1)];
}

/* Acquire the entry that this thread used last for @user, if it has what the user wants. */
static struct bs_scratch *find_hinted(struct bs_scratch_user *user, uint64_t tag)
{
    struct bs_scratch *s = atomic_load_explicit(hint_of(user), memory_order_acquire);

    if (s == NULL || owner_of(s) != user->id || !acquire(s))
        return NULL;
    if (owner_of(s) == user->id && (tag == BS_NO_TAG || atomic_load_explicit(&s->tag, memory_order_relaxed) == tag))
        return s;
    release(s);
    return NULL;
}

void bs_scratch_user_init(struct bs_scratch_user *user, struct blobseal_context *c, const struct bs_scratch_kind *kind)
{
    *user = (struct bs_scratch_user){.context = c, .kind = kind, .id = atomic_fetch_add(&c->users, 1) + 1};
}

struct bs_scratch *bs_scratch_take(struct bs_scratch_user *user, uint64_t tag, bool *kept)
{
    struct blobseal_context *c = user->context;
    bool room = atomic_load(&c->scratch_bytes) + buffer_bytes(user->kind) <= c->max_scratch;
    struct bs_scratch *s = find_hinted(user, tag);

    /* While there is room, users do not take entries from each other. A search misses entries that become free after it
     * has passed them, so it is repeated if it finds nothing. */
    for (unsigned i = 0; s == NULL && i < 3; i++)
        s = find(c, user, tag, room ? RANK_UNUSED : RANK_RECENT);
    if (s == NULL)
        s = make(c, user->kind);
    if (s == NULL)
        return NULL;
    *kept = owner_of(s) == user->id;
    if (!*kept)
        disown(s);
    set_owner(s, user->id);
    atomic_store_explicit(&s->recent, true, memory_order_relaxed);
    atomic_store_explicit(hint_of(user), s, memory_order_release);
    return s;
}

/* ---- Returning --------------------------------------------------------------------------------------------------- */

void bs_scratch_return(struct bs_scratch_user *user, struct bs_scratch *s, uint64_t tag)
{
    struct blobseal_context *c = user->context;

    set_bytes(c, s, buffer_bytes(s->kind) + (s->worker.state != NULL ? s->kind->state_bytes(s->worker.state) : 0));
    atomic_store_explicit(&s->tag, tag, memory_order_relaxed);
    if (atomic_load(&c->scratch_bytes) > c->max_scratch)
        free_buffers(c, s);
    release(s);
}

void bs_scratch_discard(struct bs_scratch_user *user, struct bs_scratch *s)
{
    free_buffers(user->context, s);
    release(s);
}

void bs_scratch_user_clear(struct bs_scratch_user *user)
{
    struct blobseal_context *c = user->context;

    if (c == NULL || atomic_load(&c->process) != bs_process_id())
        return;
    for (struct bs_scratch *s = atomic_load(&c->scratch); s != NULL; s = s->next)
        while (owner_of(s) == user->id) {
            if (!acquire(s)) { /* another user is taking it over and will wipe it */
                (void)sched_yield();
                continue;
            }
            if (owner_of(s) == user->id)
                disown(s);
            release(s);
        }
}

void bs_scratch_trim(struct blobseal_context *c)
{
    for (struct bs_scratch *s = atomic_load(&c->scratch); s != NULL; s = s->next)
        if (acquire(s)) {
            free_buffers(c, s);
            release(s);
        }
}

void bs_scratch_abandon(struct blobseal_context *c)
{
    struct bs_scratch *s = atomic_exchange(&c->scratch, NULL);

    while (s != NULL) {
        struct bs_scratch *next = s->next;

        if (acquire(s)) { /* otherwise a thread of the parent was using it during fork() */
            free_buffers(c, s);
            free(s);
        }
        s = next;
    }
    atomic_store(&c->scratch_bytes, 0);
}
