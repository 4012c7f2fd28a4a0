/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding corruption anywhere in a blob without a key: first in the preamble, then in the payload, by comparing every
 * segment with its checksum on all CPUs. Damage is reported in order and never ends the search. FORMAT.md section 3.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/check/check.h"

/* The result for one segment. work() writes it to worker->out, and put() reports it. */
struct segment_result {
    uint64_t off;
    size_t len;
    bool length_possible; /* false: no blob ends in a segment of this length */
    bool checksum_ok;     /* true also if checksums are not compared         */
    bool readable;
};

static const struct segment_result *result_of(const struct bs_worker *worker)
{
    return (const struct segment_result *)(const void *)worker->out;
}

static uint64_t payload_offset(const struct bs_scrub *s)
{
    return s->preamble.core_offset + BS_CORE_HEADER_LEN;
}

/* Read the next segment from a pipe. The first bytes of the payload are in s->head, after the preamble. */
static enum blobseal_status take(void *ctx, struct bs_worker *worker, uint64_t index, bool *last,
                                 struct blobseal_error *err)
{
    struct bs_scrub *s = ctx;
    size_t stride = bs_segment_stride(&s->preamble.core), have = s->head_len - s->head_used, n;
    enum blobseal_status st;

    (void)index;
    have = have < stride ? have : stride;
    memcpy(worker->in, s->head + s->head_used, have);
    s->head_used += have;
    st = bs_read(&s->input, worker->in + have, stride - have, &n, err);
    worker->in_len = have + n;
    *last = worker->in_len < stride;
    return st;
}

/* Read a segment and compare it with its checksum, in runs that stay in the cache. */
static enum blobseal_status check_segment(const struct bs_scrub *s, const struct bs_worker *worker, uint64_t seed,
                                          struct segment_result *r, struct blobseal_error *err)
{
    bool from_file = bs_seekable(s->source), compare = s->result.payload_checked, end = false;
    size_t checksum_len = bs_segment_checksum_len(&s->preamble.core), sealed_len = r->len - checksum_len;
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_xxh3_state checksum;

    bs_xxh3_start(&checksum, seed);
    for (size_t pos = 0, n; st == BLOBSEAL_OK && !end; pos += n) {
        const uint8_t *in = worker->in + (from_file ? 0 : pos);

        n = sealed_len - pos < BS_SEALED_RUN_LEN ? sealed_len - pos : BS_SEALED_RUN_LEN;
        end = pos + n == sealed_len;
        if (from_file)
            st = bs_pread(s->source, worker->in, n + (end ? checksum_len : 0), r->off + pos, err);
        if (st == BLOBSEAL_OK && compare) {
            bs_xxh3_add(&checksum, in, n);
            r->checksum_ok = !end || bs_xxh3_end(&checksum) == bs_load64(in + n);
        }
    }
    return st;
}

static enum blobseal_status work(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                 struct blobseal_error *err)
{
    const struct bs_scrub *s = ctx;
    const struct bs_core_header *core = &s->preamble.core;
    struct segment_result *r = (struct segment_result *)(void *)worker->out;
    enum blobseal_status st = BLOBSEAL_OK;
    struct blobseal_error e = {0};
    uint64_t ignored;

    *r = (struct segment_result){.off = payload_offset(s) + index * bs_segment_stride(core),
                                 .len = bs_segment_stride(core),
                                 .length_possible = true,
                                 .checksum_ok = true,
                                 .readable = true};
    if (last) {
        r->len = bs_seekable(s->source) ? (size_t)(s->source->size - r->off) : worker->in_len;
        r->length_possible = s->segments_unknown || bs_payload_plain_len(core, r->len, &ignored);
    }
    if (r->length_possible)
        st = check_segment(s, worker, bs_segment_seed(core, index), r, &e);
    if (st != BLOBSEAL_OK && e.sys_errno == EIO) {
        r->readable = false;
        st = BLOBSEAL_OK;
    }
    if (st != BLOBSEAL_OK && err != NULL)
        *err = e;
    worker->done = r->len;
    return st;
}

/*
 * Find out without a core header whether segments have checksums: a checksum at the start of the payload that matches
 * proves it, and proves that the blob id, from which the seed is derived, is right. The first two segments are tried,
 * because the damage to the header may extend into the first.
 */
static void detect_checksums(struct bs_scrub *s)
{
    size_t stride = BS_SEALED_SEGMENT_LEN + BS_CHECKSUM_LEN;
    bool match = false, last = false;
    struct bs_worker worker;

    s->segments_unknown = false;
    s->preamble.core.segments = BS_SEGMENTS_CHECKSUMMED;
    s->result.payload_checked = true;
    if (bs_worker_init(&worker, bs_segment_buffer_size(false, 0), sizeof(struct segment_result), NULL) == BLOBSEAL_OK)
        for (uint64_t i = 0; i < 2 && !match && !last; i++) {
            const struct segment_result *r = result_of(&worker);

            last = s->source->size - payload_offset(s) < (i + 1) * stride;
            match =
                work(s, &worker, i, last, NULL) == BLOBSEAL_OK && r->length_possible && r->readable && r->checksum_ok;
        }
    bs_worker_clear(&worker);
    s->segments_unknown = !match;
}

static enum blobseal_status put(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err)
{
    const struct segment_result *r = result_of(worker);
    const struct bs_place place = {index, r->off, r->len};
    bool last = r->len < bs_segment_stride(&((struct bs_scrub *)ctx)->preamble.core);

    (void)err;
    if (!r->readable)
        bs_scrub_report(ctx, BLOBSEAL_DAMAGE_SEGMENT, place, "cannot be read: input/output error");
    else if (!r->length_possible && r->len == 0)
        bs_scrub_report(ctx, BLOBSEAL_DAMAGE_END, place, "the blob is truncated: its last segment is missing");
    else if (!r->length_possible)
        bs_scrub_report(ctx, BLOBSEAL_DAMAGE_END, place,
                        "the blob is truncated or extended: no blob ends in a segment of this length");
    else if (!r->checksum_ok)
        bs_scrub_report(ctx, BLOBSEAL_DAMAGE_SEGMENT, place, "does not match its checksum%s",
                        last ? ": damaged, truncated or extended" : "");
    return BLOBSEAL_OK;
}

/* Read all segments, and compare them with their checksums if they have any. */
static enum blobseal_status check_payload(struct bs_scrub *s, struct blobseal_error *err)
{
    bool seekable = bs_seekable(s->source);
    size_t stride = bs_segment_stride(&s->preamble.core);
    const struct bs_pipeline p = {
        .ctx = s,
        .threads = s->options.threads,
        .num_segments = seekable ? (s->source->size - payload_offset(s)) / stride + 1 : 0,
        .in_size = bs_segment_buffer_size(!seekable, 0),
        .out_size = sizeof(struct segment_result),
        .take = seekable ? NULL : take,
        .work = work,
        .put = put,
        .put_never_blocks = true,
        .source = s->source,
        .progress = s->options.progress,
        .progress_ctx = s->options.progress_ctx,
    };
    uint64_t len;
    enum blobseal_status st;

    s->head_used = (size_t)payload_offset(s);
    s->result.payload_checked = bs_segment_checksum_len(&s->preamble.core) > 0;
    st = bs_pipeline_run(&p, &len, err);
    s->result.bytes = payload_offset(s) + len;
    s->result.num_segments = len / stride + 1;
    if (s->segments_unknown || !bs_payload_plain_len(&s->preamble.core, len, &s->result.plain_bytes)) {
        s->result.plain_bytes = BLOBSEAL_SIZE_UNKNOWN;
        s->result.notes |= s->segments_unknown ? 0 : BLOBSEAL_NOTE_LENGTH;
    }
    if (s->preamble.core.content == BLOBSEAL_CONTENT_ZSTD)
        s->result.plain_bytes = BLOBSEAL_SIZE_UNKNOWN; /* the length of a blob gives the compressed length only */
    return st;
}

/*
 * Return true if a repair, given a key, would succeed in reading the preamble. This runs the code that a repair runs,
 * on the bytes that were read here.
 */
static bool can_salvage(const struct bs_scrub *s)
{
    struct blobseal_memory state;
    struct blobseal_source source;
    struct bs_input in = {&source, 0};
    struct bs_preamble f;
    bool ok;

    if (s->unreadable != 0)
        return false;
    blobseal_source_memory(&source, &state, s->head, s->head_len);
    ok = bs_preamble_salvage(&f, &in, 0, NULL) == BLOBSEAL_OK && f.num_candidates > 0 && f.layout == BLOBSEAL_LAYOUT_AB;
    bs_preamble_clear(&f);
    return ok;
}

static enum blobseal_status scrub(struct bs_scrub *s, struct blobseal_error *err)
{
    struct blobseal_scrub_result *r = &s->result;
    enum blobseal_status st;

    r->plain_bytes = BLOBSEAL_SIZE_UNKNOWN;
    st = bs_scrub_preamble(s, err);
    r->bytes = s->head_len;
    r->layout = s->preamble.layout;
    r->notes |= s->preamble.notes;
    memcpy(r->blob_id, s->preamble.core.blob_id, sizeof r->blob_id);
    if (st == BLOBSEAL_OK && !s->payload_lost && s->segments_unknown && bs_seekable(s->source))
        detect_checksums(s);
    if (s->segments_unknown)
        s->preamble.core.segments = BS_SEGMENTS_BARE; /* read the payload only, to find unreadable sectors */
    if (st == BLOBSEAL_OK && !s->payload_lost)
        st = check_payload(s, err);
    r->ok = r->damaged == 0;
    r->repairable = !r->ok && !s->unrepairable && can_salvage(s);
    return st;
}

enum blobseal_status blobseal_scrub(const struct blobseal_source *source, const struct blobseal_scrub_options *options,
                                    struct blobseal_scrub_result *result, struct blobseal_error *err)
{
    struct bs_scrub *s = calloc(1, sizeof *s);
    struct blobseal_context *context = NULL;
    enum blobseal_status st;

    if (s == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "scrub: no memory");
    else if (!blobseal_struct_import(&s->options, sizeof s->options, options) ||
             !bs_struct_export(result, &s->result, sizeof s->result))
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                           "scrub: the size of the options or of the result is not set, or they are newer than the "
                           "library");
    else
        st = bs_check_source(source, "scrub", err);
    if (s != NULL && st == BLOBSEAL_OK) {
        s->source = source;
        st = bs_context_ref(&context, s->options.context, err);
    }
    if (s != NULL && st == BLOBSEAL_OK) {
        s->options.threads = bs_context_threads(context, s->options.threads);
        st = scrub(s, err);
    }
    bs_context_unref(context);
    if (st == BLOBSEAL_OK && !bs_struct_export(result, &s->result, sizeof s->result))
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "scrub: the size of the result was changed during the call");
    free(s);
    return st;
}

const char *blobseal_damage_name(enum blobseal_damage_kind kind)
{
    static const char *const names[] = {
        [BLOBSEAL_DAMAGE_FRAME] = "frame",       [BLOBSEAL_DAMAGE_SLOT] = "slot",
        [BLOBSEAL_DAMAGE_ENVELOPE] = "envelope", [BLOBSEAL_DAMAGE_CORE_HEADER] = "core-header",
        [BLOBSEAL_DAMAGE_SEGMENT] = "segment",   [BLOBSEAL_DAMAGE_END] = "end",
    };

    return (unsigned)kind < BS_COUNT(names) && names[kind] != NULL ? names[kind] : "unknown";
}
