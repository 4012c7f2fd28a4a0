/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for decay in all of a blob, without a key: the front, then every segment against its sum, by all CPUs. What
 * is found is reported in order, and never ends the search. FORMAT.md section 3.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/check/check.h"

/* A segment, and what was found out about it: made by work(), told by put(), carried in the memory of lane->out. */
struct found {
    uint64_t off;
    size_t len;
    bool possible; /* false: no blob ends in so many bytes */
    bool fits;     /* its sum                              */
    bool readable;
};

static uint64_t payload_offset(const struct bs_scrub *s)
{
    return s->preamble.core_offset + BS_CORE_HEADER_LEN;
}

/* The next segment from a pipe: the first bytes of the payload were read with the front. */
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

/* Read and sum a segment, in runs that stay in the cache. */
static enum blobseal_status sum_segment(const struct bs_scrub *s, const struct bs_worker *worker, uint64_t seed,
                                        struct found *f, struct blobseal_error *err)
{
    bool from_file = bs_seekable(s->source), sums = s->result.payload_checked, end = false;
    size_t checksum_len = bs_segment_checksum_len(&s->preamble.core), sealed_len = f->len - checksum_len;
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_xxh3_state sum;

    bs_xxh3_start(&sum, seed);
    for (size_t pos = 0, n; st == BLOBSEAL_OK && !end; pos += n) {
        const uint8_t *in = worker->in + (from_file ? 0 : pos);

        n = sealed_len - pos < BS_SEALED_RUN_LEN ? sealed_len - pos : BS_SEALED_RUN_LEN;
        end = pos + n == sealed_len;
        if (from_file)
            st = bs_pread(s->source, worker->in, n + (end ? checksum_len : 0), f->off + pos, err);
        if (st == BLOBSEAL_OK && sums) {
            bs_xxh3_add(&sum, in, n);
            f->fits = !end || bs_xxh3_end(&sum) == bs_load64(in + n);
        }
    }
    return st;
}

static enum blobseal_status work(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                 struct blobseal_error *err)
{
    const struct bs_scrub *s = ctx;
    const struct bs_core_header *core = &s->preamble.core;
    struct found *f = (struct found *)(void *)worker->out;
    enum blobseal_status st = BLOBSEAL_OK;
    struct blobseal_error e = {0};
    uint64_t ignored;

    *f = (struct found){.off = payload_offset(s) + index * bs_segment_stride(core),
                        .len = bs_segment_stride(core),
                        .possible = true,
                        .fits = true,
                        .readable = true};
    if (last) {
        f->len = bs_seekable(s->source) ? (size_t)(s->source->size - f->off) : worker->in_len;
        f->possible = s->unsure || bs_payload_plain_len(core, f->len, &ignored);
    }
    if (f->possible)
        st = sum_segment(s, worker, bs_segment_seed(core, index), f, &e);
    if (st != BLOBSEAL_OK && e.sys_errno == EIO) {
        f->readable = false;
        st = BLOBSEAL_OK;
    }
    if (st != BLOBSEAL_OK && err != NULL)
        *err = e;
    worker->done = f->len;
    return st;
}

/*
 * Without a core header: a sum that fits at the start of the payload says that there are sums, and that their seed is
 * known. Two segments are tried: what took the header may have taken some of the first.
 */
static void find_sums(struct bs_scrub *s)
{
    size_t stride = BS_SEALED_SEGMENT_LEN + BS_CHECKSUM_LEN;
    bool fits = false, last = false;
    struct bs_worker worker;

    s->unsure = false;
    s->preamble.core.segments = BS_SEGMENTS_CHECKSUMMED;
    s->result.payload_checked = true;
    if (bs_worker_init(&worker, bs_segment_buffer_size(false, 0), sizeof(struct found), NULL) == BLOBSEAL_OK)
        for (uint64_t i = 0; i < 2 && !fits && !last; i++) {
            const struct found *f = (const struct found *)(const void *)worker.out;

            last = s->source->size - payload_offset(s) < (i + 1) * stride;
            fits = work(s, &worker, i, last, NULL) == BLOBSEAL_OK && f->possible && f->readable && f->fits;
        }
    bs_worker_clear(&worker);
    s->unsure = !fits;
}

static enum blobseal_status put(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err)
{
    const struct found *f = (const struct found *)(const void *)worker->out;
    bool last = f->len < bs_segment_stride(&((struct bs_scrub *)ctx)->preamble.core);

    (void)err;
    if (!f->readable)
        bs_scrub_report(ctx, BLOBSEAL_DAMAGE_SEGMENT, index, f->off, f->len, "cannot be read: input/output error");
    else if (!f->possible && f->len == 0)
        bs_scrub_report(ctx, BLOBSEAL_DAMAGE_END, index, f->off, 0, "the blob is cut: its last segment is missing");
    else if (!f->possible)
        bs_scrub_report(ctx, BLOBSEAL_DAMAGE_END, index, f->off, f->len,
                        "the blob is cut or extended: none ends in a segment of this length");
    else if (!f->fits)
        bs_scrub_report(ctx, BLOBSEAL_DAMAGE_SEGMENT, index, f->off, f->len, "does not match its checksum%s",
                        last ? ": damaged, cut or extended" : "");
    return BLOBSEAL_OK;
}

/* Read all segments, and compare them with their sums where there are any. */
static enum blobseal_status check_payload(struct bs_scrub *s, struct blobseal_error *err)
{
    bool seekable = bs_seekable(s->source);
    size_t stride = bs_segment_stride(&s->preamble.core);
    const struct bs_pipeline p = {
        .ctx = s,
        .threads = s->options.threads,
        .num_segments = seekable ? (s->source->size - payload_offset(s)) / stride + 1 : 0,
        .in_size = bs_segment_buffer_size(!seekable, 0),
        .out_size = sizeof(struct found),
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
    if (s->unsure || !bs_payload_plain_len(&s->preamble.core, len, &s->result.plain_bytes)) {
        s->result.plain_bytes = BLOBSEAL_SIZE_UNKNOWN;
        s->result.notes |= s->unsure ? 0 : BLOBSEAL_NOTE_LENGTH;
    }
    if (s->preamble.core.content == BLOBSEAL_CONTENT_ZSTD)
        s->result.plain_bytes = BLOBSEAL_SIZE_UNKNOWN; /* the length tells how long the content is when compressed */
    return st;
}

/* Whether a repair, which reads the front anew, finds in what was read of it all that it needs but the key. */
static bool can_be_salvaged(const struct bs_scrub *s)
{
    struct blobseal_memory state;
    struct blobseal_source source;
    struct bs_input in = {&source, 0};
    struct bs_preamble f;
    bool ok;

    if (s->unreadable != 0)
        return false;
    blobseal_source_memory(&source, &state, s->head, s->head_len);
    ok = bs_preamble_salvage(&f, &in, NULL) == BLOBSEAL_OK && f.num_candidates > 0 && f.layout == BLOBSEAL_LAYOUT_AB;
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
    if (st == BLOBSEAL_OK && !s->lost && s->unsure && bs_seekable(s->source))
        find_sums(s);
    if (s->unsure)
        s->preamble.core.segments = BS_SEGMENTS_BARE; /* then it is only read */
    if (st == BLOBSEAL_OK && !s->lost)
        st = check_payload(s, err);
    r->ok = r->damaged == 0;
    r->repairable = !r->ok && !s->unrepairable && can_be_salvaged(s);
    return st;
}

enum blobseal_status blobseal_scrub(const struct blobseal_source *source, const struct blobseal_scrub_options *options,
                                    struct blobseal_scrub_result *result, struct blobseal_error *err)
{
    struct bs_scrub *s = calloc(1, sizeof *s);
    enum blobseal_status st;

    if (s == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "scrub: no memory");
    else if (!blobseal_struct_import(&s->options, sizeof s->options, options) ||
             !bs_struct_export(result, &s->result, sizeof s->result))
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                           "scrub: options or a result without their size, or newer than the library");
    else if (source->pread == NULL && source->read == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "scrub: a source without functions");
    else {
        s->source = source;
        st = scrub(s, err);
    }
    if (st == BLOBSEAL_OK && !bs_struct_export(result, &s->result, sizeof s->result))
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "scrub: the result has lost its size");
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

    return (unsigned)kind < sizeof names / sizeof names[0] && names[kind] != NULL ? names[kind] : "unknown";
}
