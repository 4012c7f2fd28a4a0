/* SPDX-License-Identifier: Apache-2.0 */
/* Opening all stored bytes in order through the pipeline, into a sink or only to verify them. FORMAT.md section 3. */
#include "core/open/open.h"

struct streaming {
    struct bs_stored *stored;
    const struct blobseal_sink *sink; /* NULL: verify only                                                     */
    struct bs_digests *digests;       /* used in order only                                                    */
    bool from_file;                   /* each worker reads at an offset; otherwise open_take() reads in order  */
    bool keep_sealed, keep_plain;     /* a worker keeps all of its segment, for a step that runs in order      */
    bool compressed;                  /* the stored bytes are not the plaintext                                */
};

static size_t checksum_len(const struct bs_stored *s)
{
    return bs_segment_checksum_len(&s->core);
}

/* Read a segment. It is the last one exactly if it is not full, because the last segment is always shorter. */
static enum blobseal_status open_take(void *ctx, struct bs_worker *worker, uint64_t index, bool *last,
                                      struct blobseal_error *err)
{
    struct bs_stored *s = ((struct streaming *)ctx)->stored;
    size_t stride = bs_segment_stride(&s->core);
    enum blobseal_status st = bs_read(&s->input, worker->in, stride, &worker->in_len, err);
    uint64_t ignored;

    *last = worker->in_len < stride;
    if (st != BLOBSEAL_OK)
        return st;
    if (index >= BS_MAX_CHUNKS / BS_SEGMENT_CHUNKS)
        return blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "%s is longer than any blob", bs_source_name(&s->source));
    if (*last && (worker->in_len < checksum_len(s) || !bs_tail_plain_len(worker->in_len - checksum_len(s), &ignored)))
        return blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "%s is truncated: it ends before the end of the blob",
                             bs_source_name(&s->source));
    return BLOBSEAL_OK;
}

/* A run of chunks within a segment, and the state of checking that segment. */
struct run {
    uint64_t index;  /* of the segment                  */
    size_t pos, len; /* sealed bytes within the segment */
    bool end;        /* the last run of the segment     */
    bool last;       /* the last run of the blob        */
    bool authentic;  /* every tag so far was correct    */
    bool checksum_ok;
    struct bs_xxh3_state checksum;
};

/*
 * Read, checksum, open and write one run while its bytes are in the cache. After a wrong tag nothing more of the
 * segment is opened or written, but the checksum is still computed to the end of the segment, because it distinguishes
 * corruption from forgery.
 */
static enum blobseal_status open_run(const struct streaming *t, struct bs_worker *worker, struct run *r,
                                     struct blobseal_error *err)
{
    const struct bs_stored *s = t->stored;
    struct bs_open_state *state = worker->state;
    bool to_file = t->sink != NULL && t->sink->pwrite != NULL;
    uint64_t chunk = r->index * BS_SEGMENT_CHUNKS + r->pos / BS_SEALED_CHUNK_LEN;
    uint8_t *in = worker->in + (t->keep_sealed ? r->pos : 0), *out = worker->out + (t->keep_plain ? worker->done : 0);
    enum blobseal_status st = BLOBSEAL_OK;
    size_t len;

    if (t->from_file)
        st = bs_pread(&s->source, in, r->len + (r->end ? checksum_len(s) : 0),
                      s->core_offset + bs_chunk_offset(&s->core, chunk), err);
    if (st != BLOBSEAL_OK)
        return st;
    if (checksum_len(s) > 0) {
        bs_xxh3_add(&r->checksum, in, r->len);
        r->checksum_ok = !r->end || bs_xxh3_end(&r->checksum) == bs_load64(in + r->len);
    }
    if (!r->authentic)
        return BLOBSEAL_OK; /* open_work() reports it */
    r->authentic = bs_chunked_open(&state->chunked, chunk, r->last, out, (struct bs_slice){in, r->len}, &len);
    if (!r->authentic)
        return bs_chunked_failed(&state->chunked, err) ? BLOBSEAL_E_NOMEM : BLOBSEAL_OK;
    if (to_file && len > 0)
        st = bs_write(t->sink, out, len, r->index * BS_SEGMENT_LEN + worker->done, err);
    worker->done += len;
    return st;
}

static enum blobseal_status open_work(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                      struct blobseal_error *err)
{
    const struct streaming *t = ctx;
    const struct bs_stored *s = t->stored;
    struct run r = {.index = index, .authentic = true, .checksum_ok = true};
    enum blobseal_status st = BLOBSEAL_OK;
    size_t sealed_len = BS_SEALED_SEGMENT_LEN;

    if (last)
        sealed_len =
            t->from_file ? bs_sealed_tail_len((size_t)(s->len % BS_SEGMENT_LEN)) : worker->in_len - checksum_len(s);
    worker->in_len = sealed_len + checksum_len(s);
    worker->done = 0;
    bs_xxh3_start(&r.checksum, bs_segment_seed(&s->core, index));
    for (; st == BLOBSEAL_OK && !r.end; r.pos += r.len) {
        r.len = sealed_len - r.pos < BS_SEALED_RUN_LEN ? sealed_len - r.pos : BS_SEALED_RUN_LEN;
        r.end = r.pos + r.len == sealed_len;
        r.last = last && r.end;
        st = open_run(t, worker, &r, err);
    }
    if (st == BLOBSEAL_OK && !(r.authentic && r.checksum_ok))
        st = bs_segment_failed(s, index, r.checksum_ok, worker->in_len, err);
    return st;
}

/* Do what must happen in order: compute digests, and write to a sequential sink. */
static enum blobseal_status open_put(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err)
{
    const struct streaming *t = ctx;

    (void)index;
    bs_digests_add_core(t->digests, worker->in, worker->in_len);
    if (!t->compressed)
        bs_digests_add_plain(t->digests, worker->out, worker->done);
    if (t->sink == NULL || t->sink->pwrite != NULL || worker->done == 0)
        return BLOBSEAL_OK;
    return bs_write(t->sink, worker->out, worker->done, 0, err);
}

enum blobseal_status bs_stored_next_segment(struct bs_stored *s, struct bs_worker *worker, uint64_t index, bool *last,
                                            struct blobseal_error *err)
{
    struct streaming t = {.stored = s, .keep_sealed = true, .keep_plain = true};
    enum blobseal_status st = open_take(&t, worker, index, last, err);

    return st == BLOBSEAL_OK ? open_work(&t, worker, index, *last, err) : st;
}

/*
 * The most stored bytes that are opened with a worker of the context. Its buffers have room for a run, and this is a
 * chunk less, so that the checksum fits as well.
 */
#define SMALL_LEN (BS_RUN_LEN - BS_CHUNK_LEN)

/*
 * Open a small blob on the calling thread with a worker of the context. Its keys are set up already, because the end of
 * the blob was checked with it when the reader was opened.
 */
static enum blobseal_status stream_small(struct streaming *t, struct bs_progress progress, uint64_t *stored_bytes,
                                         struct blobseal_error *err)
{
    struct bs_worker *worker;
    enum blobseal_status st = bs_stored_take(t->stored, BS_NO_FRAME, &worker, err);

    *stored_bytes = 0;
    if (st != BLOBSEAL_OK)
        return st;
    bs_note_plain(worker, (size_t)t->stored->len);
    st = open_work(t, worker, 0, true, err);
    if (st == BLOBSEAL_OK)
        st = open_put(t, worker, 0, err);
    if (st == BLOBSEAL_OK)
        *stored_bytes = worker->done;
    bs_stored_return(t->stored, worker);
    if (st == BLOBSEAL_OK && progress.fn != NULL && !progress.fn(progress.ctx, *stored_bytes))
        st = blobseal_fail(err, BLOBSEAL_E_CANCELED, 0, "canceled");
    return st;
}

enum blobseal_status bs_stored_stream(struct bs_stored *s, const struct bs_output *out, uint64_t *stored_bytes,
                                      struct blobseal_error *err)
{
    bool from_file = bs_seekable(&s->source), to_pipe = out->sink != NULL && out->sink->pwrite == NULL;
    size_t only_len = from_file && s->len < BS_SEGMENT_LEN ? (size_t)s->len : 0;
    struct streaming t = {
        .stored = s,
        .sink = out->sink,
        .digests = out->digests,
        .from_file = from_file,
        .keep_sealed = !from_file || bs_digests_need_core(out->digests),
        .keep_plain = to_pipe || (out->digests->hashes_plain && !out->compressed),
        .compressed = out->compressed,
    };
    const struct bs_pipeline p = {
        .ctx = &t,
        .threads = s->threads,
        .num_segments = from_file ? s->len / BS_SEGMENT_LEN + 1 : 0,
        .in_size = bs_segment_buffer_size(t.keep_sealed, only_len),
        .out_size = bs_segment_buffer_size(t.keep_plain, only_len),
        .state_ctx = s,
        .start_worker = bs_open_state_new,
        .end_worker = bs_open_state_free,
        .take = from_file ? NULL : open_take,
        .work = open_work,
        .put = to_pipe || out->digests->wanted != 0 ? open_put : NULL,
        .put_never_blocks = !to_pipe,
        .source = &s->source,
        .progress = out->progress.fn,
        .progress_ctx = out->progress.ctx,
    };
    enum blobseal_status st;

    if (s->consumed)
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "a blob from a pipe can be read only once");
    else if (from_file && s->len <= SMALL_LEN)
        st = stream_small(&t, out->progress, stored_bytes, err);
    else
        st = bs_pipeline_run(&p, stored_bytes, err);
    if (!from_file) /* several threads may stream a file at once */
        s->consumed = true;
    return st;
}
