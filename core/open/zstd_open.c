/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zstd content of a seekable source: reading its seek table, reading at offsets of the original, and decompressing all
 * of it, one frame for each worker at a time. "Stored" refers to the bytes of the zstd file, which is what was sealed.
 * FORMAT.md section 3.1.
 */
#include <stdlib.h>

#include "core/open/open.h"
#include "simd/simd.h"

/* ---- The seek table ---------------------------------------------------------------------------------------------- */

static enum blobseal_status read_table(struct bs_content *c, struct bs_worker *worker, size_t num,
                                       struct blobseal_error *err)
{
    size_t len = bs_seek_encoded_len(num);
    uint8_t *p = malloc(len);
    enum blobseal_status st;

    if (p == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the seek table: no memory");
    st = bs_stored_pread(&c->stored, worker, (struct bs_range){c->stored.len - len, len}, p, err);
    if (st == BLOBSEAL_OK)
        st = bs_seek_decode(&c->table, num, p, c->stored.len, err);
    free(p);
    return st;
}

enum blobseal_status bs_zstd_read_table(struct bs_content *c, struct blobseal_error *err)
{
    uint8_t footer[BS_SEEK_FOOTER_LEN];
    struct bs_worker *worker;
    enum blobseal_status st;
    size_t num = 0;

    if (c->stored.len < sizeof footer)
        return bs_bad_table(err, "it is too short for a seek table");
    st = bs_stored_take(&c->stored, BS_NO_FRAME, &worker, err);
    if (st != BLOBSEAL_OK)
        return st;
    st = bs_stored_pread(&c->stored, worker, (struct bs_range){c->stored.len - sizeof footer, sizeof footer}, footer,
                         err);
    if (st == BLOBSEAL_OK)
        st = bs_seek_footer(footer, c->stored.len, &num, err);
    if (st == BLOBSEAL_OK)
        st = bs_seek_limit(num, c->max_frames, err);
    if (st == BLOBSEAL_OK)
        st = read_table(c, worker, num, err);
    bs_stored_return(&c->stored, worker);
    if (st == BLOBSEAL_OK)
        c->len = bs_seek_plain(&c->table);
    return st;
}

/* ---- Reading at an offset ---------------------------------------------------------------------------------------- */

/* Buffers for reading a frame: @sealed has room for a run of chunks, @stored for all chunks of a frame. */
struct frame_buffers {
    uint8_t *sealed, *stored;
};

/* Read frame @i and decompress it into @plain. */
static enum blobseal_status read_frame(const struct bs_content *c, struct bs_open_state *state, size_t i,
                                       struct frame_buffers b, uint8_t *plain, struct blobseal_error *err)
{
    const struct bs_seek_point *at = &c->table.points[i];
    struct bs_range range = {at[0].stored, (size_t)(at[1].stored - at[0].stored)};
    struct bs_slice frame = {b.stored + bs_stored_skip(range.off), range.len};
    enum blobseal_status st = bs_stored_open(&c->stored, &state->chunked, range, b.sealed, b.stored, err);

    if (st != BLOBSEAL_OK)
        return st;
    return bs_zframe_decompress(&state->zstd, i, plain, (size_t)(at[1].plain - at[0].plain), frame, err);
}

/* A part of the content of one frame. */
struct part {
    size_t frame, skip, len;
};

/* Return the part of [@off, @off + @len) that lies in frame @i. */
static struct part part_of(const struct bs_content *c, size_t i, uint64_t off, size_t len)
{
    const struct bs_seek_point *at = &c->table.points[i];
    size_t skip = (size_t)(off - at[0].plain), rest = (size_t)(at[1].plain - off);

    return (struct part){i, skip, len < rest ? len : rest};
}

/* Copy a part to @dst. A whole frame that is not in the cache is decompressed to @dst directly. */
static enum blobseal_status pread_part(const struct bs_content *c, struct bs_worker *worker, struct part p,
                                       uint8_t *dst, struct blobseal_error *err)
{
    struct bs_open_state *state = worker->state;
    const struct bs_seek_point *at = &c->table.points[p.frame];
    struct bs_frame_cache *cache = state->cache;
    struct frame_buffers b = {.sealed = worker->in, .stored = cache->stored};
    size_t stored = BS_STORED_ROOM((size_t)(at[1].stored - at[0].stored)), plain = (size_t)(at[1].plain - at[0].plain);
    enum blobseal_status st = BLOBSEAL_OK;

    cache->stored_used = stored > cache->stored_used ? stored : cache->stored_used;
    if (cache->frame != p.frame && p.skip == 0 && p.len == plain)
        return read_frame(c, state, p.frame, b, dst, err);
    if (cache->frame != p.frame) {
        cache->frame = BS_NO_FRAME;
        cache->plain_used = plain > cache->plain_used ? plain : cache->plain_used;
        st = read_frame(c, state, p.frame, b, cache->plain, err);
    }
    if (st != BLOBSEAL_OK)
        return st;
    cache->frame = p.frame;
    bs_copy_secret(dst, cache->plain + p.skip, p.len);
    return BLOBSEAL_OK;
}

enum blobseal_status bs_zstd_pread(const struct bs_content *c, struct bs_worker *worker, uint8_t *dst, size_t len,
                                   uint64_t off, struct blobseal_error *err)
{
    size_t i = (size_t)bs_seek_find(off);
    enum blobseal_status st = bs_frame_cache_ensure(worker->state, err);

    while (len > 0 && st == BLOBSEAL_OK) {
        struct part p = part_of(c, i++, off, len);

        st = pread_part(c, worker, p, dst, err);
        dst += p.len;
        off += p.len;
        len -= p.len;
    }
    return st;
}

/* ---- The whole content ------------------------------------------------------------------------------------------- */

struct decompressing {
    struct bs_content *content;
    const struct blobseal_sink *sink; /* NULL: verify only */
    struct bs_digests *digests;       /* of the plaintext  */
};

/* Sizes of worker->in, for stored bytes or a segment whose checksum is compared, and of worker->out, for sealed chunks
 * and then a decompressed frame. */
#define IN_SIZE  BS_STORED_ROOM(BS_ZFRAME_MAX_LEN)
#define OUT_SIZE BS_ZFRAME_PLAIN_LEN

_Static_assert(IN_SIZE >= BS_SEALED_SEGMENT_LEN + BS_CHECKSUM_LEN, "room for a segment with its checksum");
_Static_assert(OUT_SIZE >= BS_SEALED_RUN_LEN, "room for a sealed run");

/*
 * Compare @segments, a range of segment numbers, with their checksums. @st is the result of opening their chunks. If
 * that is E_AUTH, the checksums distinguish corruption, E_DAMAGED, from forgery. Return the resulting status.
 */
static enum blobseal_status check_checksums(const struct bs_stored *s, uint8_t *buf, struct bs_range segments,
                                            enum blobseal_status st, struct blobseal_error *err)
{
    enum blobseal_status found = BLOBSEAL_OK;
    struct blobseal_error e = {0};

    if (st != BLOBSEAL_OK && st != BLOBSEAL_E_AUTH)
        return st;
    for (size_t i = 0; i < segments.len && found == BLOBSEAL_OK; i++)
        found = bs_stored_check_segment(s, segments.off + i, buf, &e);
    if (found == BLOBSEAL_OK || (st == BLOBSEAL_E_AUTH && found != BLOBSEAL_E_DAMAGED))
        return st;
    if (err != NULL)
        *err = e;
    return found;
}

/*
 * Open one frame and compare checksums. Each checksum is compared once, with the frame that has the last byte of its
 * segment. If the frame is not authentic, the checksums of all its segments are compared.
 */
static enum blobseal_status open_frame(const struct decompressing *d, struct bs_worker *worker, size_t i,
                                       struct blobseal_error *err)
{
    const struct bs_content *c = d->content;
    const struct bs_seek_point *at = &c->table.points[i];
    struct frame_buffers b = {.sealed = worker->out, .stored = worker->in};
    enum blobseal_status st = read_frame(c, worker->state, i, b, worker->out, err);
    uint64_t from = at[0].stored / BS_SEGMENT_LEN;
    uint64_t end = st == BLOBSEAL_E_AUTH ? (at[1].stored - 1) / BS_SEGMENT_LEN + 1 : at[1].stored / BS_SEGMENT_LEN;

    worker->done = (size_t)(at[1].plain - at[0].plain);
    st = check_checksums(&c->stored, worker->in, (struct bs_range){from, (size_t)(end - from)}, st, err);
    if (st == BLOBSEAL_OK && d->sink != NULL && d->sink->pwrite != NULL)
        st = bs_write(d->sink, worker->out, worker->done, at[0].plain, err);
    return st;
}

/*
 * Open the chunks of the seek table and the last chunk of the blob, and compare the remaining checksums. The table
 * itself was read when the blob was opened; this verifies the chunks in which it is stored.
 */
static enum blobseal_status open_table(const struct decompressing *d, struct bs_worker *worker,
                                       struct blobseal_error *err)
{
    const struct bs_content *c = d->content;
    const struct bs_stored *s = &c->stored;
    struct bs_open_state *state = worker->state;
    uint64_t at = bs_seek_stored(&c->table), segment = at / BS_SEGMENT_LEN;
    enum blobseal_status st = BLOBSEAL_OK;
    size_t n;

    worker->done = 0;
    for (; at < s->len && st == BLOBSEAL_OK; at += n) {
        n = s->len - at < BS_RUN_LEN ? (size_t)(s->len - at) : BS_RUN_LEN;
        st = bs_stored_open(s, &state->chunked, (struct bs_range){at, n}, worker->out, worker->in, err);
    }
    if (st == BLOBSEAL_OK)
        st = bs_stored_check_end(s, &state->chunked, worker->out, worker->in, err);
    return check_checksums(s, worker->in, (struct bs_range){segment, (size_t)(s->len / BS_SEGMENT_LEN + 1 - segment)},
                           st, err);
}

static enum blobseal_status open_work(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                      struct blobseal_error *err)
{
    const struct decompressing *d = ctx;

    return last ? open_table(d, worker, err) : open_frame(d, worker, (size_t)index, err);
}

/* Do what must happen in order: compute a digest, and write to a sequential sink. */
static enum blobseal_status open_put(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err)
{
    const struct decompressing *d = ctx;
    bool to_pipe = d->sink != NULL && d->sink->pwrite == NULL;

    (void)index;
    bs_digests_add_plain(d->digests, worker->out, worker->done);
    return to_pipe && worker->done > 0 ? bs_write(d->sink, worker->out, worker->done, 0, err) : BLOBSEAL_OK;
}

enum blobseal_status bs_zstd_stream(struct bs_content *c, const struct bs_output *out, uint64_t *plain_bytes,
                                    struct blobseal_error *err)
{
    struct decompressing d = {c, out->sink, out->digests};
    bool to_pipe = out->sink != NULL && out->sink->pwrite == NULL;
    const struct bs_pipeline p = {
        .ctx = &d,
        .threads = c->stored.threads,
        .num_segments = (uint64_t)c->table.num + 1,
        .in_size = IN_SIZE,
        .out_size = OUT_SIZE,
        .state_ctx = &c->stored,
        .start_worker = bs_open_state_new,
        .end_worker = bs_open_state_free,
        .work = open_work,
        .put = to_pipe || out->digests->wanted != 0 ? open_put : NULL,
        .put_never_blocks = !to_pipe,
        .source = &c->stored.source,
        .progress = out->progress.fn,
        .progress_ctx = out->progress.ctx,
    };

    return bs_pipeline_run(&p, plain_bytes, err);
}
