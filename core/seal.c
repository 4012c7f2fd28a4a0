/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing: a fresh DEK, the envelope, the core header, and the payload through the pipeline. FORMAT.md sections 2 to 5. */
#include <stdlib.h>

#include "internal.h"

/* At this size and above a blob is worth a frame that can be rotated in place. */
#define AB_FROM ((uint64_t)4 << 20)

#define GENERATION 1u

struct sealing {
    const struct blobseal_source *source;
    const struct blobseal_sink *sink;
    struct bs_core_header core;
    uint64_t core_offset;  /* in the sink */
    struct bs_input input; /* of a sequential source */
};

static bool checksummed(const struct sealing *s)
{
    return bs_segment_sum_len(&s->core) > 0;
}

/* ---- Steps of the pipeline ------------------------------------------------------------------------------------ */

static enum blobseal_status seal_take(void *ctx, struct bs_lane *lane, uint64_t index, bool *last,
                                      struct blobseal_error *err)
{
    struct sealing *s = ctx;
    enum blobseal_status st = bs_read(&s->input, lane->in, BS_SEGMENT_LEN, &lane->in_len, err);

    *last = lane->in_len < BS_SEGMENT_LEN;
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
static enum blobseal_status seal_run(const struct sealing *s, struct bs_lane *lane, const struct part *p,
                                     struct bs_xxh3_state *sum, struct blobseal_error *err)
{
    bool from_file = bs_seekable(s->source), to_file = s->sink->pwrite != NULL;
    uint64_t chunk = p->index * BS_SEGMENT_CHUNKS + p->pos / BS_CHUNK_LEN;
    uint8_t *in = lane->in + (from_file ? 0 : p->pos), *out = lane->out + (to_file ? 0 : lane->out_len);
    enum blobseal_status st = BLOBSEAL_OK;
    size_t len = p->last ? bs_sealed_tail_len(p->n) : p->n / BS_CHUNK_LEN * BS_SEALED_CHUNK_LEN;

    if (from_file)
        st = bs_pread(s->source, in, p->n, p->index * BS_SEGMENT_LEN + p->pos, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (!bs_chunked_seal(&lane->chunked, chunk, p->last, out, in, p->n))
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "seal chunk %llu: OpenSSL failed", (unsigned long long)chunk);
    if (checksummed(s)) {
        bs_xxh3_add(sum, out, len);
        if (p->end) {
            bs_store64(out + len, bs_xxh3_end(sum));
            len += BS_SUM_LEN;
        }
    }
    if (to_file)
        st = bs_write(s->sink, out, len, s->core_offset + bs_chunk_offset(&s->core, chunk), err);
    lane->out_len += len;
    return st;
}

static enum blobseal_status seal_work(void *ctx, struct bs_lane *lane, uint64_t index, bool last,
                                      struct blobseal_error *err)
{
    const struct sealing *s = ctx;
    enum blobseal_status st = BLOBSEAL_OK;
    struct part p = {.index = index};
    struct bs_xxh3_state sum;

    lane->plain_len = BS_SEGMENT_LEN;
    if (last)
        lane->plain_len = bs_seekable(s->source) ? (size_t)(s->source->size % BS_SEGMENT_LEN) : lane->in_len;
    lane->out_len = 0;
    bs_xxh3_start(&sum, bs_segment_seed(&s->core, index));
    for (; st == BLOBSEAL_OK && !p.end; p.pos += p.n) {
        p.n = lane->plain_len - p.pos < BS_RUN_LEN ? lane->plain_len - p.pos : BS_RUN_LEN;
        p.end = p.pos + p.n == lane->plain_len;
        p.last = last && p.end;
        st = seal_run(s, lane, &p, &sum, err);
    }
    return st;
}

static enum blobseal_status seal_put(void *ctx, struct bs_lane *lane, uint64_t index, struct blobseal_error *err)
{
    const struct sealing *s = ctx;

    (void)index;
    return bs_write(s->sink, lane->out, lane->out_len, 0, err);
}

/* ---- The front of the blob ------------------------------------------------------------------------------------- */

/* Secrets of one sealing, in one secret allocation. */
struct vault {
    struct blobseal_secret32 dek;
    struct bs_chunked_keys keys;
};

static enum blobseal_status make_core(struct bs_core_header *core, struct vault *v, bool bare,
                                      struct blobseal_error *err)
{
    uint8_t context[BS_CONTEXT_LEN];

    *core = (struct bs_core_header){
        .version = 1,
        .suite = BS_SUITE_COBBLESTONE_256,
        .content = BS_CONTENT_AS_GIVEN,
        .segments = bare ? BS_SEGMENTS_BARE : BS_SEGMENTS_CHECKSUMMED,
    };
    if (!blobseal_random(v->dek.b, sizeof v->dek.b, true) ||
        !blobseal_random(core->blob_id, sizeof core->blob_id, false) ||
        !blobseal_random(core->salt, sizeof core->salt, false))
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "the random number generator failed");
    bs_core_context(core, context);
    if (!bs_chunked_derive(&v->keys, &v->dek, core->salt, context, sizeof context))
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "derive the keys of the blob: OpenSSL failed");
    memcpy(core->commitment, v->keys.commitment, sizeof core->commitment);
    bs_core_encode(core);
    return BLOBSEAL_OK;
}

static enum blobseal_layout choose_layout(enum blobseal_layout wanted, const struct blobseal_source *source)
{
    if (wanted != BLOBSEAL_LAYOUT_AUTO)
        return wanted;
    return source->size == BLOBSEAL_SIZE_UNKNOWN || source->size >= AB_FROM ? BLOBSEAL_LAYOUT_AB
                                                                            : BLOBSEAL_LAYOUT_COMPACT;
}

/* Write frame and core header, in one piece, and set s->core_offset. */
static enum blobseal_status write_front(struct sealing *s, enum blobseal_layout layout, uint32_t capacity,
                                        const char *jwe, size_t jwe_len, struct blobseal_error *err)
{
    struct bs_frame frame = {0};
    enum blobseal_status st = BLOBSEAL_OK;
    uint8_t *front;

    if (layout != BLOBSEAL_LAYOUT_DETACHED)
        st = bs_frame_plan(&frame, layout, capacity, jwe_len, s->core.blob_id, err);
    if (st != BLOBSEAL_OK)
        return st;
    s->core_offset = frame.frame_len;
    front = malloc(frame.frame_len + BS_CORE_HEADER_LEN);
    if (front == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the frame: no memory");
    if (layout != BLOBSEAL_LAYOUT_DETACHED)
        bs_frame_encode(&frame, front, jwe, jwe_len, GENERATION);
    memcpy(front + frame.frame_len, s->core.raw, BS_CORE_HEADER_LEN);
    st = bs_write(s->sink, front, frame.frame_len + BS_CORE_HEADER_LEN, 0, err);
    free(front);
    return st;
}

/* ---- The public function --------------------------------------------------------------------------------------- */

static enum blobseal_status run(struct sealing *s, const struct bs_chunked_keys *keys,
                                const struct blobseal_seal_options *o, uint64_t *plain_bytes,
                                struct blobseal_error *err)
{
    bool seekable = bs_seekable(s->source);
    const struct bs_pipeline p = {
        .ctx = s,
        .keys = keys,
        .threads = o->threads,
        .num_segments = seekable ? s->source->size / BS_SEGMENT_LEN + 1 : 0,
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

static enum blobseal_status check_arguments(const struct blobseal_sink *sink, const struct blobseal_source *source,
                                            const struct blobseal_seal_options *o,
                                            const struct blobseal_seal_result *result, struct blobseal_error *err)
{
    if (o->layout > BLOBSEAL_LAYOUT_DETACHED || (o->layout == BLOBSEAL_LAYOUT_DETACHED && result == NULL))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "seal: no such layout, or no place for the envelope");
    if (sink->write == NULL && sink->pwrite == NULL)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "seal: a sink without functions");
    if (bs_seekable(source) ? source->size > BS_MAX_PLAIN : source->read == NULL)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "seal: a source is seekable with a size below 4 PiB, or sequential");
    return BLOBSEAL_OK;
}

/* Hand a detached envelope to the caller. */
static enum blobseal_status give_envelope(struct blobseal_seal_result *r, const char *jwe, size_t len,
                                          struct blobseal_error *err)
{
    r->envelope = malloc(len + 1);
    if (r->envelope == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "keep the envelope: no memory");
    memcpy(r->envelope, jwe, len);
    r->envelope[len] = '\0';
    r->envelope_len = len;
    return BLOBSEAL_OK;
}

enum blobseal_status blobseal_seal(const struct blobseal_sink *sink, const struct blobseal_source *source,
                                   struct blobseal_kek *const *keks, size_t num_keks,
                                   const struct blobseal_seal_options *options, struct blobseal_seal_result *result,
                                   struct blobseal_error *err)
{
    struct blobseal_seal_options o = {.size = sizeof o};
    struct blobseal_seal_result r = {.size = sizeof r};
    struct sealing s = {.source = source, .sink = sink, .input = {source, 0}};
    struct bs_writer_cur jwe = {0};
    uint8_t meta_buf[BLOBSEAL_MAX_META];
    struct bs_slice meta;
    struct vault *v = NULL;
    enum blobseal_status st;

    if (!bs_give_struct(result, &r, sizeof r) || !bs_take_struct(&o, sizeof o, options))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "seal: options or a result without their size");
    st = check_arguments(sink, source, &o, result, err);
    if (st == BLOBSEAL_OK)
        st = bs_meta_write(&meta, meta_buf, o.meta, err);
    if (st != BLOBSEAL_OK)
        return st;
    v = blobseal_secret_alloc(sizeof *v);
    jwe = bs_out(malloc(BLOBSEAL_MAX_ENVELOPE), BLOBSEAL_MAX_ENVELOPE);
    if (v == NULL || jwe.p == NULL) {
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "seal: no memory");
        goto out;
    }
    r.layout = choose_layout(o.layout, source);
    r.generation = GENERATION;
    st = make_core(&s.core, v, o.no_checksums, err);
    if (st != BLOBSEAL_OK)
        goto out;
    memcpy(r.blob_id, s.core.blob_id, sizeof r.blob_id);
    st = bs_envelope_write(&jwe, &s.core, GENERATION, &v->dek, meta, keks, num_keks, err);
    if (st == BLOBSEAL_OK)
        st = write_front(&s, r.layout, o.slot_capacity, (const char *)jwe.p, jwe.len, err);
    if (st == BLOBSEAL_OK)
        st = run(&s, &v->keys, &o, &r.plain_bytes, err);
    if (st == BLOBSEAL_OK)
        st = check_end(source, err);
    if (st == BLOBSEAL_OK && r.layout == BLOBSEAL_LAYOUT_DETACHED)
        st = give_envelope(&r, (const char *)jwe.p, jwe.len, err);
    r.sealed_bytes = s.core_offset + bs_core_len(&s.core, r.plain_bytes);
    if (st != BLOBSEAL_OK || result == NULL || !bs_give_struct(result, &r, sizeof r))
        free(r.envelope);
out:
    free(jwe.p);
    blobseal_secret_free(v);
    return st;
}
