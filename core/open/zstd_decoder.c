/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding zstd content that arrives in order, in pieces of any size, as from a pipe. The decoder collects one frame at
 * a time, returns its content, and at the end compares the seek table with the frames that it saw. FORMAT.md section
 * 3.1.
 */
#include "core/open/open.h"

/* The part of the content that is being read. */
enum state { START, FRAME, TABLE, ENTRIES, FOOTER, END };

struct bs_decoder {
    uint32_t max_frames;
    struct bs_zstd zstd;
    struct bs_seek_table table; /* of the frames seen so far, to compare with the table that follows them */
    enum state state;
    size_t entries; /* entries of the table compared so far                               */
    size_t have;    /* bytes of the current part, in `in`                                 */
    size_t need;    /* bytes of the current part needed for the next step                 */
    struct bs_zframe frame;
    size_t out_len; /* length of a frame that was decompressed but not returned yet, or 0 */
    uint8_t in[BS_ZFRAME_MAX_LEN];
    uint8_t out[BS_ZFRAME_PLAIN_LEN];
};

/* Start a new part of the content. Its first step needs @need bytes. */
static void expect(struct bs_decoder *d, enum state state, size_t need)
{
    d->state = state;
    d->have = 0;
    d->need = need;
}

static void expect_frame(struct bs_decoder *d)
{
    bs_zframe_start(&d->frame);
    expect(d, START, d->frame.need);
}

struct bs_decoder *bs_decoder_new(uint32_t max_frames)
{
    struct bs_decoder *d = bs_map(sizeof *d);

    if (d == NULL)
        return NULL;
    d->max_frames = max_frames;
    expect_frame(d);
    return d;
}

void bs_decoder_free(struct bs_decoder *d)
{
    if (d == NULL)
        return;
    bs_zstd_clear(&d->zstd);
    bs_seek_clear(&d->table);
    bs_unmap(d, sizeof *d);
}

/* ---- Frames ------------------------------------------------------------------------------------------------------ */

/* Check that the frame before the current one was full, as every frame but the last must be. */
static enum blobseal_status check_previous(const struct bs_decoder *d, struct blobseal_error *err)
{
    if (bs_seek_plain(&d->table) % BS_ZFRAME_PLAIN_LEN == 0)
        return BLOBSEAL_OK;
    return bs_bad_frame(err, d->table.num - 1, "it does not hold 1 MiB, but is not the last one");
}

/* Decompress the current frame, which is complete. Nothing of it is returned before that. */
static enum blobseal_status decompress(struct bs_decoder *d, struct blobseal_error *err)
{
    size_t len = d->frame.plain_len;
    enum blobseal_status st = bs_seek_limit((uint64_t)d->table.num + 1, d->max_frames, err);

    if (st == BLOBSEAL_OK)
        st = check_previous(d, err);

    if (st == BLOBSEAL_OK)
        st = bs_zframe_decompress(&d->zstd, d->table.num, d->out, len, (struct bs_slice){d->in, d->have}, err);
    if (st == BLOBSEAL_OK && !bs_seek_add(&d->table, d->have, len))
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "record a frame: no memory");
    if (st != BLOBSEAL_OK)
        return st;
    d->out_len = len;
    expect_frame(d);
    return BLOBSEAL_OK;
}

static enum blobseal_status step_frame(struct bs_decoder *d, struct blobseal_error *err)
{
    const char *fault;

    d->state = FRAME;
    if (d->frame.last)
        return decompress(d, err);
    fault = bs_zframe_step(&d->frame, d->in);
    d->need = d->frame.need;
    return fault != NULL ? bs_bad_frame(err, d->table.num, fault) : BLOBSEAL_OK;
}

/* ---- The seek table ---------------------------------------------------------------------------------------------- */

/* Compare the current part with the bytes that a writer would have written. */
static enum blobseal_status compare(const struct bs_decoder *d, const uint8_t *want, const char *what,
                                    struct blobseal_error *err)
{
    return memcmp(d->in, want, d->need) == 0 ? BLOBSEAL_OK : bs_bad_table(err, what);
}

static void expect_entry(struct bs_decoder *d)
{
    if (d->entries < d->table.num)
        expect(d, ENTRIES, BS_SEEK_ENTRY_LEN);
    else
        expect(d, FOOTER, BS_SEEK_FOOTER_LEN);
}

static enum blobseal_status step_table(struct bs_decoder *d, struct blobseal_error *err)
{
    uint8_t want[BS_SEEK_FOOTER_LEN] = {0};
    struct bs_builder w = bs_builder_start(want, sizeof want);
    enum blobseal_status st;

    if (d->state == TABLE) {
        bs_seek_put_header(&w, d->table.num);
        st = compare(d, want, "the length of its seek table does not match the number of its frames", err);
        expect_entry(d);
    } else if (d->state == ENTRIES) {
        bs_seek_put_entry(&w, &d->table, d->entries++);
        st = compare(d, want, "its seek table does not match its frames", err);
        expect_entry(d);
    } else {
        bs_seek_put_footer(&w, d->table.num);
        st = compare(d, want, "its seek table has a wrong number of frames, has checksums, or has a reserved bit set",
                     err);
        expect(d, END, 0);
    }
    return st;
}

/* ---- Pieces of any size ------------------------------------------------------------------------------------------ */

static enum blobseal_status step(struct bs_decoder *d, struct blobseal_error *err)
{
    if (d->state == START && bs_seek_magic(d->in)) { /* 5 bytes identify a frame; a table needs 8 */
        d->state = TABLE;
        d->need = BS_SEEK_HEADER_LEN;
        return BLOBSEAL_OK;
    }
    return d->state <= FRAME ? step_frame(d, err) : step_table(d, err);
}

enum blobseal_status bs_decoder_feed(struct bs_decoder *d, const uint8_t *p, size_t len, size_t *used,
                                     struct bs_slice *out, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    *out = (struct bs_slice){0};
    d->out_len = 0;
    for (*used = 0; *used < len && d->out_len == 0 && st == BLOBSEAL_OK;) {
        size_t n = d->need - d->have < len - *used ? d->need - d->have : len - *used;

        if (d->state == END)
            return bs_bad_table(err, "there is data after its seek table");
        memcpy(d->in + d->have, p + *used, n);
        d->have += n;
        *used += n;
        while (st == BLOBSEAL_OK && d->have == d->need && d->state != END)
            st = step(d, err);
    }
    if (st == BLOBSEAL_OK && d->out_len > 0)
        *out = (struct bs_slice){d->out, d->out_len};
    return st;
}

enum blobseal_status bs_decoder_end(const struct bs_decoder *d, struct blobseal_error *err)
{
    return d->state == END ? BLOBSEAL_OK : bs_bad_table(err, "it ends before the end of its seek table");
}
