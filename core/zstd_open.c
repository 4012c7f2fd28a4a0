/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zstd content of a seekable source: the seek table, reading at offsets of the original, and opening all of it with a frame
 * a worker. What is called stored here is the zstd file: what was sealed. FORMAT.md section 3.1.
 */
#include <stdlib.h>

#include "internal.h"

/* The last frame that a scratch decompressed, so that small reads in a row decompress it once. */
struct bs_unpacked {
    struct bs_zstd zstd;
    uint64_t frame; /* or NO_FRAME */
    uint8_t stored[BS_ZFRAME_MAX_LEN];
    uint8_t plain[BS_ZFRAME_PLAIN_LEN];
};

#define NO_FRAME UINT64_MAX

/* ---- The seek table ------------------------------------------------------------------------------------------------- */

static enum blobseal_status read_table(struct blobseal_reader *r, size_t num, struct blobseal_error *err)
{
    size_t len = bs_seek_encoded_len(num);
    uint8_t *p = malloc(len);
    enum blobseal_status st;

    if (p == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the seek table: no memory");
    st = bs_stored_pread(r, p, len, r->stored_bytes - len, err);
    if (st == BLOBSEAL_OK)
        st = bs_seek_decode(&r->table, num, p, r->stored_bytes, err);
    free(p);
    return st;
}

enum blobseal_status bs_zstd_open(struct blobseal_reader *r, uint32_t max_frames, struct blobseal_error *err)
{
    uint8_t footer[BS_SEEK_FOOTER_LEN];
    enum blobseal_status st;
    size_t num = 0;

    if (r->stored_bytes < sizeof footer)
        return bs_bad_table(err, "it is too short for a seek table");
    st = bs_stored_pread(r, footer, sizeof footer, r->stored_bytes - sizeof footer, err);
    if (st == BLOBSEAL_OK)
        st = bs_seek_footer(footer, r->stored_bytes, &num, err);
    if (st == BLOBSEAL_OK)
        st = bs_seek_limit(num, max_frames, err);
    if (st == BLOBSEAL_OK)
        st = read_table(r, num, err);
    if (st == BLOBSEAL_OK)
        r->plain_bytes = bs_seek_plain(&r->table);
    return st;
}

/* ---- Reading at an offset ----------------------------------------------------------------------------------------------- */

void bs_unpacked_free(struct bs_unpacked *u)
{
    if (u == NULL)
        return;
    bs_zstd_clear(&u->zstd);
    bs_unmap(u, sizeof *u);
}

uint64_t bs_unpacked_frame(const struct bs_unpacked *u)
{
    return u != NULL ? u->frame : NO_FRAME;
}

static bool ensure_unpacked(struct bs_scratch *s)
{
    if (s->unpacked != NULL)
        return true;
    s->unpacked = bs_map(sizeof *s->unpacked);
    if (s->unpacked != NULL)
        s->unpacked->frame = NO_FRAME;
    return s->unpacked != NULL;
}

/* Read frame @i, and decompress it into @plain, which has room for it. @stored is room for what is sealed. */
static enum blobseal_status read_frame(struct blobseal_reader *r, struct bs_scratch *s, struct bs_zstd *z, size_t i,
                                       uint8_t *stored, uint8_t *plain, struct blobseal_error *err)
{
    const struct bs_seek_point *at = &r->table.points[i];
    size_t len = (size_t)(at[1].stored - at[0].stored);
    enum blobseal_status st = bs_stored_range(r, s, stored, len, at[0].stored, err);

    if (st != BLOBSEAL_OK)
        return st;
    return bs_zframe_decompress(z, i, plain, (size_t)(at[1].plain - at[0].plain), stored, len, err);
}

/* Read the part of [@off, @off + @len) that lies in frame @i; *@n receives its length. A whole frame is not copied. */
static enum blobseal_status pread_frame(struct blobseal_reader *r, struct bs_scratch *s, size_t i, uint8_t *dst,
                                        size_t len, uint64_t off, size_t *n, struct blobseal_error *err)
{
    const struct bs_seek_point *at = &r->table.points[i];
    size_t plain_len = (size_t)(at[1].plain - at[0].plain), skip = (size_t)(off - at[0].plain);
    struct bs_unpacked *u = s->unpacked;
    bool direct = skip == 0 && len >= plain_len && u->frame != i;
    enum blobseal_status st = BLOBSEAL_OK;

    *n = len < plain_len - skip ? len : plain_len - skip;
    if (direct)
        return read_frame(r, s, &u->zstd, i, u->stored, dst, err);
    if (u->frame != i) {
        u->frame = NO_FRAME;
        st = read_frame(r, s, &u->zstd, i, u->stored, u->plain, err);
    }
    if (st != BLOBSEAL_OK)
        return st;
    u->frame = i;
    memcpy(dst, u->plain + skip, *n);
    return BLOBSEAL_OK;
}

enum blobseal_status bs_zstd_pread(struct blobseal_reader *r, uint8_t *dst, size_t len, uint64_t off,
                                   struct blobseal_error *err)
{
    size_t i = bs_seek_find(&r->table, off), n = 0;
    struct bs_scratch *s;
    enum blobseal_status st = bs_scratch_take(&s, r, i, err);

    if (s == NULL)
        return st;
    if (!ensure_unpacked(s)) {
        bs_scratch_give(r, s);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read at %llu: no memory", (unsigned long long)off);
    }
    for (size_t done = 0; done < len && st == BLOBSEAL_OK; done += n)
        st = pread_frame(r, s, i++, dst + done, len - done, off + done, &n, err);
    bs_scratch_give(r, s);
    return st;
}

/* ---- All of it ----------------------------------------------------------------------------------------------------- */

struct unpacking {
    struct blobseal_reader *r;
    const struct blobseal_sink *sink; /* NULL: verify only */
};

/*
 * Check the sums of segments @from to @end - 1. A sum tells decay from forgery, so it also has the last word where @st says
 * that chunks of these segments were not authentic.
 */
static enum blobseal_status check_checksums(struct blobseal_reader *r, struct bs_worker *worker, uint64_t from,
                                            uint64_t end, enum blobseal_status st, struct blobseal_error *err)
{
    enum blobseal_status sums = BLOBSEAL_OK;
    struct blobseal_error e = {0};

    if (st != BLOBSEAL_OK && st != BLOBSEAL_E_AUTH)
        return st;
    for (; from < end && sums == BLOBSEAL_OK; from++)
        sums = bs_segment_check(r, from, worker->in, &e);
    if (sums == BLOBSEAL_OK || (st == BLOBSEAL_E_AUTH && sums != BLOBSEAL_E_DAMAGED))
        return st;
    if (err != NULL)
        *err = e;
    return sums;
}

/* Each sum is checked once: with the frame that holds the last byte of its segment. */
static enum blobseal_status open_frame(const struct unpacking *u, struct bs_scratch *s, struct bs_worker *worker,
                                       size_t i, struct blobseal_error *err)
{
    struct blobseal_reader *r = u->r;
    const struct bs_seek_point *at = &r->table.points[i];
    enum blobseal_status st = read_frame(r, s, &worker->zstd, i, worker->in, worker->out, err);
    uint64_t end = st == BLOBSEAL_E_AUTH ? (at[1].stored - 1) / BS_SEGMENT_LEN + 1 : at[1].stored / BS_SEGMENT_LEN;

    worker->plain_len = (size_t)(at[1].plain - at[0].plain);
    st = check_checksums(r, worker, at[0].stored / BS_SEGMENT_LEN, end, st, err);
    if (st == BLOBSEAL_OK && u->sink != NULL && u->sink->pwrite != NULL)
        st = bs_write(u->sink, worker->out, worker->plain_len, at[0].plain, err);
    return st;
}

/* The table was read when the blob was opened; here its chunks, the last of the blob and all sums that are left are checked. */
static enum blobseal_status open_table(const struct unpacking *u, struct bs_scratch *s, struct bs_worker *worker,
                                       struct blobseal_error *err)
{
    struct blobseal_reader *r = u->r;
    uint64_t at = bs_seek_stored(&r->table), segment = at / BS_SEGMENT_LEN;
    enum blobseal_status st = BLOBSEAL_OK;
    size_t n;

    worker->plain_len = 0;
    for (; at < r->stored_bytes && st == BLOBSEAL_OK; at += n) {
        n = r->stored_bytes - at < BS_RUN_LEN ? (size_t)(r->stored_bytes - at) : BS_RUN_LEN;
        st = bs_stored_range(r, s, worker->in, n, at, err);
    }
    if (st == BLOBSEAL_OK)
        st = bs_last_chunk_check(r, s, err);
    return check_checksums(r, worker, segment, r->stored_bytes / BS_SEGMENT_LEN + 1, st, err);
}

static enum blobseal_status unpack_work(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                        struct blobseal_error *err)
{
    const struct unpacking *u = ctx;
    struct bs_scratch *s;
    enum blobseal_status st = bs_scratch_take(&s, u->r, NO_FRAME, err);

    if (s == NULL)
        return st;
    st = last ? open_table(u, s, worker, err) : open_frame(u, s, worker, (size_t)index, err);
    bs_scratch_give(u->r, s);
    return st;
}

static enum blobseal_status unpack_put(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err)
{
    const struct unpacking *u = ctx;

    (void)index;
    return worker->plain_len > 0 ? bs_write(u->sink, worker->out, worker->plain_len, 0, err) : BLOBSEAL_OK;
}

enum blobseal_status bs_zstd_stream(struct blobseal_reader *r, const struct blobseal_sink *sink, uint64_t *plain_bytes,
                                    struct blobseal_error *err)
{
    struct unpacking u = {r, sink};
    const struct bs_pipeline p = {
        .ctx = &u,
        .keys = r->keys,
        .threads = r->threads,
        .num_segments = (uint64_t)r->table.num + 1,
        .work = unpack_work,
        .put = sink != NULL && sink->pwrite == NULL ? unpack_put : NULL,
        .whole_in = true,
        .whole_out = true,
        .source = &r->source,
        .progress = r->progress,
        .progress_ctx = r->progress_ctx,
    };

    return bs_pipeline_run(&p, plain_bytes, err);
}
