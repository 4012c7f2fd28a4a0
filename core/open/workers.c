/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker needs to open chunks and frames, and the workers of a context for calls that read at an offset. Such
 * calls are cheap: a reader that is used often allocates nothing and sets up no key.
 */
#include <stddef.h>
#include <stdlib.h>

#include "core/open/open.h"

_Static_assert(offsetof(struct bs_scratch, worker) == 0, "bs_stored_return() casts its address");

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

/* Note that the first @len bytes of worker->out were written, so that they are wiped later. */
void bs_note_plain(struct bs_worker *worker, size_t len)
{
    struct bs_open_state *s = worker->state;

    s->out_used = len > s->out_used ? len : s->out_used;
}

/* ---- Workers that readers share ---------------------------------------------------------------------------------- */

static size_t state_bytes(const void *state)
{
    const struct bs_open_state *s = state;

    return s->cache != NULL ? sizeof *s->cache : 0;
}

static void wipe(struct bs_worker *worker)
{
    struct bs_open_state *s = worker->state;

    if (s == NULL)
        return;
    blobseal_wipe(worker->out, s->out_used);
    s->out_used = 0;
    if (s->cache != NULL) {
        s->cache->frame = BS_NO_FRAME;
        blobseal_wipe(s->cache->stored, s->cache->stored_used);
        blobseal_wipe(s->cache->plain, s->cache->plain_used);
        s->cache->stored_used = s->cache->plain_used = 0;
    }
    bs_zstd_clear(&s->zstd);
    bs_chunked_wipe(&s->chunked);
}

static const struct bs_scratch_kind shared_workers = {
    .in_size = BS_SEALED_RUN_LEN,
    .out_size = BS_RUN_LEN,
    .state_bytes = state_bytes,
    .wipe = wipe,
    .end = bs_open_state_free,
};

void bs_stored_init(struct bs_stored *s, const struct blobseal_source *source, struct blobseal_context *context)
{
    *s = (struct bs_stored){.source = *source, .len = BLOBSEAL_SIZE_UNKNOWN};
    s->input.source = &s->source;
    bs_scratch_user_init(&s->user, context, &shared_workers);
}

void bs_stored_clear(struct bs_stored *s)
{
    bs_scratch_user_clear(&s->user);
    blobseal_secret_free(s->keys);
    bs_context_unref(s->user.context);
}

enum blobseal_status bs_stored_take(struct bs_stored *s, uint64_t frame, struct bs_worker **worker,
                                    struct blobseal_error *err)
{
    bool kept = false;
    struct bs_scratch *scratch = bs_scratch_take(&s->user, frame, &kept);
    enum blobseal_status st = BLOBSEAL_OK;

    *worker = NULL;
    if (scratch == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read %s: no memory", bs_source_name(&s->source));
    if (scratch->worker.state == NULL) {
        st = bs_open_state_new(s, &scratch->worker.state, err);
    } else if (!kept) {
        struct bs_open_state *state = scratch->worker.state;

        st = bs_chunked_rekey(&state->chunked, s->keys, err);
    }
    if (st == BLOBSEAL_OK)
        *worker = &scratch->worker;
    else
        bs_scratch_discard(&s->user, scratch);
    return st;
}

void bs_stored_return(struct bs_stored *s, struct bs_worker *worker)
{
    const struct bs_open_state *state = worker->state;
    struct bs_scratch *scratch = (struct bs_scratch *)worker; /* whose first member it is */

    bs_scratch_return(&s->user, scratch, state->cache != NULL ? state->cache->frame : BS_NO_FRAME);
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
