/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing from a source to a sink, on all CPUs through the pipeline. FORMAT.md section 3. */
#include "core/seal/seal.h"

/* ---- Steps of the pipeline --------------------------------------------------------------------------------------- */

static enum blobseal_status start_worker(const void *keys, void **state, struct blobseal_error *err)
{
    struct bs_chunked *chunked;
    enum blobseal_status st = bs_chunked_new(&chunked, keys, err);

    *state = chunked;
    return st;
}

static void end_worker(void *state)
{
    bs_chunked_free(state);
}

static enum blobseal_status seal_take(void *ctx, struct bs_worker *worker, uint64_t index, bool *last,
                                      struct blobseal_error *err)
{
    struct bs_sealing *s = ctx;
    enum blobseal_status st = bs_read(&s->input, worker->in, BS_SEGMENT_LEN, &worker->in_len, err);

    *last = worker->in_len < BS_SEGMENT_LEN;
    if (st == BLOBSEAL_OK && index >= BS_MAX_CHUNKS / BS_SEGMENT_CHUNKS)
        return blobseal_fail(err, BLOBSEAL_E_INPUT, 0, "%s is too large: a blob holds less than 4 PiB",
                             bs_source_name(s->source));
    return st;
}

/* A run of chunks within a segment. */
struct run {
    uint64_t index;  /* of the segment                                                              */
    size_t pos, len; /* plaintext within the segment                                               */
    bool end;        /* the last run of the segment                                                 */
    bool last;       /* the last run of the blob: it has the short chunk at the end, which may be empty */
};

/* Return true if a worker must keep the plaintext, or the sealed bytes, of its whole segment: for a step in order. */
static bool keeps_plain(const struct bs_sealing *s)
{
    return !bs_seekable(s->source) || s->blob.digests.hashes_plain;
}

static bool keeps_sealed(const struct bs_sealing *s)
{
    return s->sink->pwrite == NULL || bs_digests_need_core(&s->blob.digests);
}

/*
 * Read, seal, checksum and write one run while its bytes are in the cache. Memory is not borrowed for a digest of the
 * plaintext, because the digest must be that of the bytes that were sealed.
 */
static enum blobseal_status seal_run(const struct bs_sealing *s, struct bs_worker *worker, const struct run *r,
                                     struct bs_xxh3_state *checksum, struct blobseal_error *err)
{
    bool from_file = bs_seekable(s->source), to_file = s->sink->pwrite != NULL;
    uint64_t chunk = r->index * BS_SEGMENT_CHUNKS + r->pos / BS_CHUNK_LEN;
    uint8_t *out = worker->out + (keeps_sealed(s) ? worker->out_len : 0);
    uint8_t *buf = worker->in + (keeps_plain(s) ? r->pos : 0);
    const uint8_t *in = buf;
    enum blobseal_status st = BLOBSEAL_OK;
    size_t len = r->last ? bs_sealed_tail_len(r->len) : r->len / BS_CHUNK_LEN * BS_SEALED_CHUNK_LEN;

    if (from_file && keeps_plain(s))
        st = bs_pread(s->source, buf, r->len, r->index * BS_SEGMENT_LEN + r->pos, err);
    else if (from_file)
        st = bs_borrow(s->source, buf, r->len, r->index * BS_SEGMENT_LEN + r->pos, &in, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (!bs_chunked_seal(worker->state, chunk, r->last, out, (struct bs_slice){in, r->len}))
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "seal chunk %llu: OpenSSL failed", (unsigned long long)chunk);
    if (bs_segment_checksum_len(&s->blob.core) > 0) {
        bs_xxh3_add(checksum, out, len);
        if (r->end) {
            bs_store64(out + len, bs_xxh3_end(checksum));
            len += BS_CHECKSUM_LEN;
        }
    }
    if (to_file)
        st = bs_write(s->sink, out, len, s->blob.core_offset + bs_chunk_offset(&s->blob.core, chunk), err);
    worker->out_len += len;
    return st;
}

static enum blobseal_status seal_work(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                      struct blobseal_error *err)
{
    const struct bs_sealing *s = ctx;
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_xxh3_state checksum;
    struct run r = {.index = index};

    worker->done = BS_SEGMENT_LEN;
    if (last)
        worker->done = bs_seekable(s->source) ? (size_t)(s->source->size % BS_SEGMENT_LEN) : worker->in_len;
    worker->out_len = 0;
    bs_xxh3_start(&checksum, bs_segment_seed(&s->blob.core, index));
    for (; st == BLOBSEAL_OK && !r.end; r.pos += r.len) {
        r.len = worker->done - r.pos < BS_RUN_LEN ? worker->done - r.pos : BS_RUN_LEN;
        r.end = r.pos + r.len == worker->done;
        r.last = last && r.end;
        st = seal_run(s, worker, &r, &checksum, err);
    }
    return st;
}

/* Do what must happen in order: compute digests, and write to a sequential sink. */
static enum blobseal_status seal_put(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err)
{
    struct bs_sealing *s = ctx;

    (void)index;
    bs_digests_add_core(&s->blob.digests, worker->out, worker->out_len);
    bs_digests_add_plain(&s->blob.digests, worker->in, worker->done);
    return s->sink->pwrite == NULL ? bs_write(s->sink, worker->out, worker->out_len, 0, err) : BLOBSEAL_OK;
}

/* ---- The public function ----------------------------------------------------------------------------------------- */

static enum blobseal_status seal_all(struct bs_sealing *s, struct blobseal_error *err)
{
    bool from_file = bs_seekable(s->source), to_file = s->sink->pwrite != NULL;
    bool in_order = !to_file || s->blob.digests.wanted != 0;
    size_t only_len = from_file && s->source->size < BS_SEGMENT_LEN ? (size_t)s->source->size : 0;
    const struct bs_pipeline p = {
        .ctx = s,
        .threads = s->threads,
        .num_segments = from_file ? s->source->size / BS_SEGMENT_LEN + 1 : 0,
        .in_size = bs_segment_buffer_size(keeps_plain(s), only_len),
        .out_size = bs_segment_buffer_size(keeps_sealed(s), only_len),
        .state_ctx = s->blob.keys,
        .start_worker = start_worker,
        .end_worker = end_worker,
        .take = from_file ? NULL : seal_take,
        .work = seal_work,
        .put = in_order ? seal_put : NULL,
        .put_never_blocks = to_file,
        .source = s->source,
        .progress = s->options->progress,
        .progress_ctx = s->options->progress_ctx,
    };
    enum blobseal_status st = bs_pipeline_run(&p, &s->plain_bytes, err);

    s->stored_bytes = s->plain_bytes;
    return st;
}

/*
 * Check that a seekable source did not grow while it was sealed. Reads at an offset stay within the size that it had at
 * the start, so they do not notice.
 */
static enum blobseal_status check_end(const struct blobseal_source *source, struct blobseal_error *err)
{
    struct bs_input in = {source, source->size};
    uint8_t byte;
    size_t n = 0;
    enum blobseal_status st = bs_seekable(source) ? bs_read(&in, &byte, 1, &n, err) : BLOBSEAL_OK;

    if (st == BLOBSEAL_OK && n > 0) {
        st = blobseal_fail(err, BLOBSEAL_E_INPUT, 0, "read %s: the input became longer while it was being read",
                           bs_source_name(source));
        blobseal_hint(err, "try again when no program writes to it");
    }
    return st;
}

static enum blobseal_status check_source(const struct blobseal_source *source, struct blobseal_error *err)
{
    if (bs_seekable(source) && source->size > BS_MAX_PLAIN)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "seal: a seekable source needs a size below 4 PiB");
    return bs_check_source(source, "seal", err);
}

static enum blobseal_status seal_blob(struct bs_sealing *s, struct bs_keks keks, struct blobseal_seal_result *result,
                                      struct blobseal_error *err)
{
    enum blobseal_status st;

    if (s->options->layout == BLOBSEAL_LAYOUT_DETACHED && result == NULL)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "seal: a detached envelope needs a result to be returned in");
    st = check_source(s->source, err);
    if (st != BLOBSEAL_OK)
        return st;
    st = bs_new_blob_start(&s->blob, s->sink, s->source->size, keks, s->options, err);
    if (st == BLOBSEAL_OK)
        st = s->options->zstd ? bs_zstd_seal(s, err) : seal_all(s, err);
    if (st == BLOBSEAL_OK)
        st = check_end(s->source, err);
    if (st == BLOBSEAL_OK)
        st = bs_new_blob_report(&s->blob, s->plain_bytes, s->stored_bytes, result, err);
    bs_new_blob_clear(&s->blob);
    return st;
}

/* NOLINTNEXTLINE(readability-function-size): no two of the seven belong together */
enum blobseal_status blobseal_seal(const struct blobseal_sink *sink, const struct blobseal_source *source,
                                   struct blobseal_kek *const *keks, size_t num_keks,
                                   const struct blobseal_seal_options *options, struct blobseal_seal_result *result,
                                   struct blobseal_error *err)
{
    struct blobseal_seal_options o = {.size = sizeof o};
    struct blobseal_seal_result none = {.size = sizeof none};
    struct bs_sealing s = {.source = source, .sink = sink, .options = &o, .input = {source, 0}};
    struct blobseal_context *context;
    struct blobseal_call call;
    enum blobseal_status st;

    if (!bs_struct_export(result, &none, sizeof none) || !blobseal_struct_import(&o, sizeof o, options))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "seal: the size of the options or of the result is not set, or they are newer than the "
                             "library");
    st = bs_context_ref(&context, o.context, err);
    if (st != BLOBSEAL_OK)
        return st;
    s.threads = bs_context_threads(context, o.threads);
    call = bs_call_start(o.timeout_ms, o.cancel);
    st =
        bs_context_count(context, BS_COUNTED_SEAL, seal_blob(&s, (struct bs_keks){keks, num_keks, &call}, result, err));
    bs_context_unref(context);
    return st;
}
