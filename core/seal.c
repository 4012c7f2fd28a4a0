/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing from a source to a sink: the payload goes through the pipeline. FORMAT.md section 3. */
#include "internal.h"

struct sealing {
    const struct blobseal_source *source;
    const struct blobseal_sink *sink;
    struct bs_new_blob blob;
    struct bs_input input; /* of a sequential source */
};

static bool checksummed(const struct sealing *s)
{
    return bs_segment_checksum_len(&s->blob.core) > 0;
}

/* ---- Steps of the pipeline ------------------------------------------------------------------------------------ */

static enum blobseal_status seal_take(void *ctx, struct bs_worker *worker, uint64_t index, bool *last,
                                      struct blobseal_error *err)
{
    struct sealing *s = ctx;
    enum blobseal_status st = bs_read(&s->input, worker->in, BS_SEGMENT_LEN, &worker->in_len, err);

    *last = worker->in_len < BS_SEGMENT_LEN;
    if (st == BLOBSEAL_OK && index >= BS_MAX_CHUNKS / BS_SEGMENT_CHUNKS)
        return blobseal_fail(err, BLOBSEAL_E_INPUT, 0, "%s is too large: a blob holds less than 4 PiB",
                             bs_source_name(s->source));
    return st;
}

/* A run of chunks within a segment. */
struct part {
    uint64_t index; /* of the segment              */
    size_t pos, n;  /* plaintext within it         */
    bool end;       /* the last run of the segment */
    bool last;      /* and of the blob: holds the short chunk that ends it, which may be empty */
};

/* Read, seal, sum and write one run while its bytes are in the cache. */
static enum blobseal_status seal_run(const struct sealing *s, struct bs_worker *worker, const struct part *p,
                                     struct bs_xxh3_state *sum, struct blobseal_error *err)
{
    bool from_file = bs_seekable(s->source), to_file = s->sink->pwrite != NULL;
    uint64_t chunk = p->index * BS_SEGMENT_CHUNKS + p->pos / BS_CHUNK_LEN;
    uint8_t *out = worker->out + (to_file ? 0 : worker->out_len);
    const uint8_t *in = worker->in + (from_file ? 0 : p->pos);
    enum blobseal_status st = BLOBSEAL_OK;
    size_t len = p->last ? bs_sealed_tail_len(p->n) : p->n / BS_CHUNK_LEN * BS_SEALED_CHUNK_LEN;

    if (from_file)
        st = bs_borrow(s->source, worker->in, p->n, p->index * BS_SEGMENT_LEN + p->pos, &in, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (!bs_chunked_seal(&worker->chunked, chunk, p->last, out, in, p->n))
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "seal chunk %llu: OpenSSL failed", (unsigned long long)chunk);
    if (checksummed(s)) {
        bs_xxh3_add(sum, out, len);
        if (p->end) {
            bs_store64(out + len, bs_xxh3_end(sum));
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
    const struct sealing *s = ctx;
    enum blobseal_status st = BLOBSEAL_OK;
    struct part p = {.index = index};
    struct bs_xxh3_state sum;

    worker->plain_len = BS_SEGMENT_LEN;
    if (last)
        worker->plain_len = bs_seekable(s->source) ? (size_t)(s->source->size % BS_SEGMENT_LEN) : worker->in_len;
    worker->out_len = 0;
    bs_xxh3_start(&sum, bs_segment_seed(&s->blob.core, index));
    for (; st == BLOBSEAL_OK && !p.end; p.pos += p.n) {
        p.n = worker->plain_len - p.pos < BS_RUN_LEN ? worker->plain_len - p.pos : BS_RUN_LEN;
        p.end = p.pos + p.n == worker->plain_len;
        p.last = last && p.end;
        st = seal_run(s, worker, &p, &sum, err);
    }
    return st;
}

static enum blobseal_status seal_put(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err)
{
    const struct sealing *s = ctx;

    (void)index;
    return bs_write(s->sink, worker->out, worker->out_len, 0, err);
}

/* ---- The public function --------------------------------------------------------------------------------------- */

static enum blobseal_status seal_all(struct sealing *s, const struct blobseal_seal_options *o, uint64_t *plain_bytes,
                                     struct blobseal_error *err)
{
    bool seekable = bs_seekable(s->source);
    const struct bs_pipeline p = {
        .ctx = s,
        .keys = s->blob.keys,
        .threads = o->threads,
        .num_segments = seekable ? s->source->size / BS_SEGMENT_LEN + 1 : 0,
        .only_len = seekable && s->source->size < BS_SEGMENT_LEN ? (size_t)s->source->size : 0,
        .take = seekable ? NULL : seal_take,
        .work = seal_work,
        .put = s->sink->pwrite != NULL ? NULL : seal_put,
        .source = s->source,
        .progress = o->progress,
        .progress_ctx = o->progress_ctx,
    };

    return bs_pipeline_run(&p, plain_bytes, err);
}

/* A positioned read never looks beyond the size that the source had; one that grew has changed as well. */
static enum blobseal_status check_end(const struct blobseal_source *source, struct blobseal_error *err)
{
    struct bs_input in = {source, source->size};
    uint8_t byte;
    size_t n = 0;
    enum blobseal_status st = bs_seekable(source) ? bs_read(&in, &byte, 1, &n, err) : BLOBSEAL_OK;

    if (st == BLOBSEAL_OK && n > 0)
        return blobseal_fail(err, BLOBSEAL_E_INPUT, 0, "read %s: it became longer while it was read",
                             bs_source_name(source));
    return st;
}

static enum blobseal_status check_source(const struct blobseal_source *source, struct blobseal_error *err)
{
    if (bs_seekable(source) ? source->size > BS_MAX_PLAIN : source->read == NULL)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "seal: a source is seekable with a size below 4 PiB, or sequential");
    return BLOBSEAL_OK;
}

enum blobseal_status blobseal_seal(const struct blobseal_sink *sink, const struct blobseal_source *source,
                                   struct blobseal_kek *const *keks, size_t num_keks,
                                   const struct blobseal_seal_options *options, struct blobseal_seal_result *result,
                                   struct blobseal_error *err)
{
    struct blobseal_seal_options o = {.size = sizeof o};
    struct blobseal_seal_result none = {.size = sizeof none};
    struct sealing s = {.source = source, .sink = sink, .input = {source, 0}};
    uint64_t plain_bytes = 0, stored_bytes = 0;
    enum blobseal_status st;

    if (!bs_struct_export(result, &none, sizeof none) || !blobseal_struct_import(&o, sizeof o, options))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "seal: options or a result without their size, or newer than the library");
    if (o.layout == BLOBSEAL_LAYOUT_DETACHED && result == NULL)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "seal: no place for the detached envelope");
    st = check_source(source, err);
    if (st != BLOBSEAL_OK)
        return st;
    st = bs_new_blob_start(&s.blob, sink, source->size, keks, num_keks, &o, err);
    if (st == BLOBSEAL_OK)
        st = o.zstd ? bs_zstd_seal(&s.blob, sink, source, &o, &plain_bytes, &stored_bytes, err)
                    : seal_all(&s, &o, &plain_bytes, err);
    if (st == BLOBSEAL_OK)
        st = check_end(source, err);
    if (st == BLOBSEAL_OK)
        st = bs_new_blob_report(&s.blob, plain_bytes, o.zstd ? stored_bytes : plain_bytes, result, err);
    bs_new_blob_clear(&s.blob);
    return st;
}
