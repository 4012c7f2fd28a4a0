/* SPDX-License-Identifier: Apache-2.0 */
/* Opening all of a blob in order, into a sink or only to verify it, through the pipeline. FORMAT.md section 3. */
#include "internal.h"

struct streaming {
    struct blobseal_reader *r;
    const struct blobseal_sink *sink; /* NULL: verify only */
};

static size_t checksum_len(const struct blobseal_reader *r)
{
    return bs_segment_checksum_len(&r->core);
}

static enum blobseal_status cut(const struct blobseal_reader *r, struct blobseal_error *err)
{
    return blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "%s is cut: it ends before the end of the blob",
                         bs_source_name(&r->source));
}

/* A segment is a full one or the last; it is the last exactly when the input ends in it. */
static enum blobseal_status open_take(void *ctx, struct bs_worker *worker, uint64_t index, bool *last,
                                      struct blobseal_error *err)
{
    struct blobseal_reader *r = ((struct streaming *)ctx)->r;
    size_t stride = bs_segment_stride(&r->core);
    enum blobseal_status st = bs_read(&r->input, worker->in, stride, &worker->in_len, err);
    uint64_t ignored;

    *last = worker->in_len < stride;
    if (st != BLOBSEAL_OK)
        return st;
    if (index >= BS_MAX_CHUNKS / BS_SEGMENT_CHUNKS)
        return blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "%s is longer than any blob", bs_source_name(&r->source));
    if (*last && (worker->in_len < checksum_len(r) || !bs_tail_plain_len(worker->in_len - checksum_len(r), &ignored)))
        return cut(r, err);
    return BLOBSEAL_OK;
}

static enum blobseal_status segment_failed(const struct blobseal_reader *r, uint64_t index, bool checksum_ok,
                                           size_t len, struct blobseal_error *err)
{
    unsigned long long off = r->core_offset + bs_chunk_offset(&r->core, index * BS_SEGMENT_CHUNKS);
    enum blobseal_status st =
        checksum_ok
            ? blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "%s is not authentic: segment %llu, bytes %llu to %llu",
                            bs_source_name(&r->source), (unsigned long long)index, off, off + len - 1)
            : blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0,
                            "%s is damaged or cut: segment %llu, bytes %llu to %llu, does not match its checksum",
                            bs_source_name(&r->source), (unsigned long long)index, off, off + len - 1);

    blobseal_hint(err, "nothing of it was released; fetch the blob again from its source");
    return st;
}

/* A run of chunks within a segment, and what was found out about the segment so far. */
struct part {
    uint64_t index; /* of the segment             */
    size_t pos, n;  /* sealed bytes within it     */
    bool end;       /* the last run of the segment */
    bool last;      /* and of the blob             */
    bool authentic; /* every tag so far was right  */
    bool checksum_ok;
    struct bs_xxh3_state sum;
};

/*
 * Read, sum, open and write one run while its bytes are in the cache. Once a tag was wrong nothing more of the segment is
 * opened or written, but its sum is still taken to the end: it tells decay from forgery.
 */
static enum blobseal_status open_run(const struct streaming *t, struct bs_worker *worker, struct part *p,
                                     struct blobseal_error *err)
{
    const struct blobseal_reader *r = t->r;
    bool from_file = bs_seekable(&r->source), to_file = t->sink != NULL && t->sink->pwrite != NULL;
    bool to_pipe = t->sink != NULL && !to_file;
    uint64_t chunk = p->index * BS_SEGMENT_CHUNKS + p->pos / BS_SEALED_CHUNK_LEN;
    uint8_t *in = worker->in + (from_file ? 0 : p->pos), *out = worker->out + (to_pipe ? worker->plain_len : 0);
    enum blobseal_status st = BLOBSEAL_OK;
    size_t len;

    if (from_file)
        st = bs_pread(&r->source, in, p->n + (p->end ? checksum_len(r) : 0),
                      r->core_offset + bs_chunk_offset(&r->core, chunk), err);
    if (st != BLOBSEAL_OK)
        return st;
    if (checksum_len(r) > 0) {
        bs_xxh3_add(&p->sum, in, p->n);
        p->checksum_ok = !p->end || bs_xxh3_end(&p->sum) == bs_load64(in + p->n);
    }
    p->authentic = p->authentic && bs_chunked_open(&worker->chunked, chunk, p->last, out, in, p->n, &len);
    if (!p->authentic)
        return BLOBSEAL_OK; /* open_work() tells */
    if (to_file && len > 0)
        st = bs_write(t->sink, out, len, p->index * BS_SEGMENT_LEN + worker->plain_len, err);
    worker->plain_len += len;
    return st;
}

static enum blobseal_status open_work(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                      struct blobseal_error *err)
{
    const struct streaming *t = ctx;
    const struct blobseal_reader *r = t->r;
    struct part p = {.index = index, .authentic = true, .checksum_ok = true};
    enum blobseal_status st = BLOBSEAL_OK;
    size_t sealed_len = BS_SEALED_SEGMENT_LEN;

    if (last)
        sealed_len = bs_seekable(&r->source) ? bs_sealed_tail_len((size_t)(r->stored_bytes % BS_SEGMENT_LEN))
                                             : worker->in_len - checksum_len(r);
    worker->plain_len = 0;
    bs_xxh3_start(&p.sum, bs_segment_seed(&r->core, index));
    for (; st == BLOBSEAL_OK && !p.end; p.pos += p.n) {
        p.n = sealed_len - p.pos < BS_SEALED_RUN_LEN ? sealed_len - p.pos : BS_SEALED_RUN_LEN;
        p.end = p.pos + p.n == sealed_len;
        p.last = last && p.end;
        st = open_run(t, worker, &p, err);
    }
    if (st == BLOBSEAL_OK && !(p.authentic && p.checksum_ok))
        st = segment_failed(r, index, p.checksum_ok, sealed_len + checksum_len(r), err);
    return st;
}

static enum blobseal_status open_put(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err)
{
    const struct streaming *t = ctx;

    (void)index;
    return worker->plain_len > 0 ? bs_write(t->sink, worker->out, worker->plain_len, 0, err) : BLOBSEAL_OK;
}

enum blobseal_status bs_stream_segment(struct blobseal_reader *r, struct bs_worker *worker, uint64_t index, bool *last,
                                       struct blobseal_error *err)
{
    static const struct blobseal_sink in_order = {0}; /* what makes open_run() keep the whole segment in the lane */
    struct streaming t = {r, &in_order};
    enum blobseal_status st = open_take(&t, worker, index, last, err);

    return st == BLOBSEAL_OK ? open_work(&t, worker, index, *last, err) : st;
}

enum blobseal_status bs_segment_check(const struct blobseal_reader *r, uint64_t index, uint8_t *buf,
                                      struct blobseal_error *err)
{
    bool last = index == r->stored_bytes / BS_SEGMENT_LEN;
    size_t len = last ? bs_sealed_tail_len((size_t)(r->stored_bytes % BS_SEGMENT_LEN)) : BS_SEALED_SEGMENT_LEN;
    uint64_t off = r->core_offset + bs_chunk_offset(&r->core, index * BS_SEGMENT_CHUNKS);
    enum blobseal_status st;

    if (checksum_len(r) == 0)
        return BLOBSEAL_OK;
    st = bs_pread(&r->source, buf, len + checksum_len(r), off, err);
    if (st == BLOBSEAL_OK && bs_xxh3(bs_segment_seed(&r->core, index), buf, len) != bs_load64(buf + len))
        st = segment_failed(r, index, false, len + checksum_len(r), err);
    return st;
}

/* ---- All of it ----------------------------------------------------------------------------------------------------- */

enum blobseal_status bs_stored_stream(struct blobseal_reader *r, const struct blobseal_sink *sink,
                                      blobseal_progress_fn progress, void *progress_ctx, uint64_t *stored_bytes,
                                      struct blobseal_error *err)
{
    bool seekable = bs_seekable(&r->source);
    struct streaming t = {r, sink};
    const struct bs_pipeline p = {
        .ctx = &t,
        .keys = r->keys,
        .threads = r->threads,
        .num_segments = seekable ? r->stored_bytes / BS_SEGMENT_LEN + 1 : 0,
        .only_len = seekable && r->stored_bytes < BS_SEGMENT_LEN ? (size_t)r->stored_bytes : 0,
        .take = seekable ? NULL : open_take,
        .work = open_work,
        .put = sink != NULL && sink->pwrite == NULL ? open_put : NULL,
        .source = &r->source,
        .progress = progress,
        .progress_ctx = progress_ctx,
    };
    enum blobseal_status st;

    if (r->consumed)
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "a blob from a pipe can be read once");
    else
        st = bs_pipeline_run(&p, stored_bytes, err);
    r->consumed = !seekable;
    return st;
}

/* ---- Zstd content from a pipe is decompressed in order, behind the threads that open it ------------------------------- */

struct decoding {
    struct blobseal_reader *r;
    const struct blobseal_sink *sink; /* NULL: verify only */
    struct bs_decoder *decoder;
    uint64_t plain_bytes;
};

/* The sink of what is sealed. */
static enum blobseal_status decode_write(void *ctx, const void *buf, size_t len, struct blobseal_error *err)
{
    struct decoding *d = ctx;
    const struct blobseal_reader *r = d->r;
    const uint8_t *from = buf;
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_slice out;

    for (size_t n; len > 0 && st == BLOBSEAL_OK; from += n, len -= n) {
        st = bs_decoder_feed(d->decoder, from, len, &n, &out, err);
        if (st != BLOBSEAL_OK || out.len == 0)
            continue;
        if (d->sink != NULL)
            st = bs_write(d->sink, out.p, out.len, d->plain_bytes, err);
        d->plain_bytes += out.len;
        if (st == BLOBSEAL_OK && r->progress != NULL && !r->progress(r->progress_ctx, d->plain_bytes))
            st = blobseal_fail(err, BLOBSEAL_E_CANCELED, 0, "canceled");
    }
    return st;
}

static enum blobseal_status decode(struct blobseal_reader *r, const struct blobseal_sink *sink, uint64_t *plain_bytes,
                                   struct blobseal_error *err)
{
    struct decoding d = {.r = r, .sink = sink, .decoder = bs_decoder_new(r->max_frames)};
    const struct blobseal_sink stored = {.ctx = &d, .name = "zstd content", .write = decode_write};
    enum blobseal_status st;
    uint64_t n;

    if (d.decoder == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "decompress: no memory");
    st = bs_stored_stream(r, &stored, NULL, NULL, &n, err);
    if (st == BLOBSEAL_OK)
        st = bs_decoder_end(d.decoder, err);
    *plain_bytes = d.plain_bytes;
    bs_decoder_free(d.decoder);
    return st;
}

static enum blobseal_status stream(struct blobseal_reader *r, const struct blobseal_sink *sink, uint64_t *plain_bytes,
                                   struct blobseal_error *err)
{
    uint64_t n = 0;
    enum blobseal_status st;

    if (!r->decompress)
        st = bs_stored_stream(r, sink, r->progress, r->progress_ctx, &n, err);
    else if (bs_seekable(&r->source))
        st = bs_zstd_stream(r, sink, &n, err);
    else
        st = decode(r, sink, &n, err);
    if (plain_bytes != NULL)
        *plain_bytes = n;
    return st;
}

enum blobseal_status blobseal_reader_stream(struct blobseal_reader *r, const struct blobseal_sink *sink,
                                            uint64_t *plain_bytes, struct blobseal_error *err)
{
    return stream(r, sink, plain_bytes, err);
}

enum blobseal_status blobseal_reader_verify(struct blobseal_reader *r, uint64_t *plain_bytes,
                                            struct blobseal_error *err)
{
    return stream(r, NULL, plain_bytes, err);
}
