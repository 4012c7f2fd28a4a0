/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker needs to open chunks and frames, and the pool of workers for calls that read at an offset. The pool
 * makes such calls cheap: once it is filled they allocate nothing and set up no key.
 */
#include <stdlib.h>

#include "core/open/open.h"

/* A worker in the pool, which grows to the largest number of concurrent calls. */
struct bs_pooled {
    struct bs_worker worker; /* must be the first member: bs_stored_return() casts its address */
    struct bs_pooled *next;
};

enum blobseal_status bs_open_state_new(const void *stored, void **state, struct blobseal_error *err)
{
    const struct bs_stored *s = stored;
    struct bs_open_state *new = calloc(1, sizeof *new);
    enum blobseal_status st;

    *state = NULL;
    if (new == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read %s: no memory", bs_source_name(&s->source));
    st = bs_chunked_init(&new->chunked, s->keys, err);
    if (st == BLOBSEAL_OK)
        *state = new;
    else
        bs_open_state_free(new);
    return st;
}

void bs_open_state_free(void *state)
{
    struct bs_open_state *s = state;

    if (s == NULL)
        return;
    bs_unmap(s->cache, sizeof *s->cache);
    bs_zstd_clear(&s->zstd);
    bs_chunked_clear(&s->chunked);
    free(s);
}

static void free_pooled(struct bs_pooled *p)
{
    bs_open_state_free(p->worker.state);
    bs_worker_clear(&p->worker);
    free(p);
}

void bs_stored_init(struct bs_stored *s, const struct blobseal_source *source)
{
    *s = (struct bs_stored){.source = *source, .len = BLOBSEAL_SIZE_UNKNOWN};
    s->input.source = &s->source;
    pthread_mutex_init(&s->lock, NULL);
}

void bs_stored_clear(struct bs_stored *s)
{
    while (s->pool != NULL) {
        struct bs_pooled *p = s->pool;

        s->pool = p->next;
        free_pooled(p);
    }
    blobseal_secret_free(s->keys);
    pthread_mutex_destroy(&s->lock);
}

/* Return the number of the frame in the cache of a worker. */
static uint64_t cached_frame(const struct bs_worker *worker)
{
    const struct bs_open_state *state = worker->state;

    return state->cache != NULL ? state->cache->frame : BS_NO_FRAME;
}

/* Take a worker from the pool: the one that has @frame in its cache, otherwise the first. NULL if the pool is empty. */
static struct bs_pooled *take_pooled(struct bs_stored *s, uint64_t frame)
{
    struct bs_pooled **at, *p;

    pthread_mutex_lock(&s->lock);
    at = &s->pool;
    while (*at != NULL && cached_frame(&(*at)->worker) != frame)
        at = &(*at)->next;
    if (*at == NULL)
        at = &s->pool;
    p = *at;
    if (p != NULL)
        *at = p->next;
    pthread_mutex_unlock(&s->lock);
    return p;
}

enum blobseal_status bs_stored_take(struct bs_stored *s, uint64_t frame, struct bs_worker **worker,
                                    struct blobseal_error *err)
{
    struct bs_pooled *p = take_pooled(s, frame);
    enum blobseal_status st;

    *worker = p != NULL ? &p->worker : NULL;
    if (p != NULL)
        return BLOBSEAL_OK;
    p = calloc(1, sizeof *p);
    if (p == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read %s: no memory", bs_source_name(&s->source));
    st = bs_worker_init(&p->worker, BS_SEALED_RUN_LEN, BS_RUN_LEN, err);
    if (st == BLOBSEAL_OK)
        st = bs_open_state_new(s, &p->worker.state, err);
    if (st == BLOBSEAL_OK)
        *worker = &p->worker;
    else
        free_pooled(p);
    return st;
}

void bs_stored_return(struct bs_stored *s, struct bs_worker *worker)
{
    struct bs_pooled *p = (struct bs_pooled *)worker;

    pthread_mutex_lock(&s->lock);
    p->next = s->pool;
    s->pool = p;
    pthread_mutex_unlock(&s->lock);
}

/* ---- The frame cache --------------------------------------------------------------------------------------------- */

enum blobseal_status bs_frame_cache_ensure(struct bs_open_state *state, struct blobseal_error *err)
{
    if (state->cache != NULL)
        return BLOBSEAL_OK;
    state->cache = bs_map(sizeof *state->cache);
    if (state->cache == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "decompress: no memory");
    state->cache->frame = BS_NO_FRAME;
    return BLOBSEAL_OK;
}
