/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding zstd content in order: in pieces of any size, truncated anywhere, and with anything after it. */
#include <stdlib.h>

#include "tests/support/stored.h"
#include "tests/support/suite.h"

#define MIB ((size_t)1 << 20)
#define LEN (MIB + 70001)

static uint8_t *plain;

static void start(void)
{
    plain = must_alloc(LEN);
    fill_random(plain, LEN, 4);
}

static void stop(void)
{
    free(plain);
}

SUITE_WITH(zstd_decoder, start, stop);

/* Feed @b in pieces of @piece. *@got receives the length of the output, which is compared unless @any is set. */
static enum blobseal_status decode_to(const struct stored *b, size_t piece, bool any, size_t *got)
{
    struct bs_decoder *d = bs_decoder_new(BS_MAX_FRAMES);
    enum blobseal_status st = BLOBSEAL_OK;
    struct blobseal_error err = {0};
    struct bs_slice out;
    size_t n;

    cr_assert_not_null(d);
    *got = 0;
    for (size_t at = 0; at < b->len && st == BLOBSEAL_OK; at += n) {
        size_t len = piece < b->len - at ? piece : b->len - at;
        uint8_t *exact = must_copy(b->p + at, len);

        st = bs_decoder_feed(d, exact, len, &n, &out, &err);
        cr_assert(n <= len && (st != BLOBSEAL_OK || n > 0));
        cr_assert(out.len <= LEN - *got && (out.len == 0 || any || memcmp(out.p, plain + *got, out.len) == 0));
        *got += out.len;
        free(exact);
    }
    if (st == BLOBSEAL_OK)
        st = bs_decoder_end(d, &err);
    cr_assert_eq(err.status, st);
    bs_decoder_free(d);
    return st;
}

static enum blobseal_status decode(const struct stored *b, size_t piece, size_t *got)
{
    return decode_to(b, piece, false, got);
}

Test(zstd_decoder, pieces_do_not_show)
{
    static const size_t pieces[] = {1, 2, 3, 4, 5, 7, 1000, 16384, LEN, 10 * LEN};
    struct stored b = stored_make(plain, LEN, MIB);
    size_t got;

    for (size_t i = 0; i < COUNT(pieces); i++) {
        cr_assert_eq(decode(&b, pieces[i], &got), BLOBSEAL_OK, "pieces of %zu", pieces[i]);
        cr_assert_eq(got, LEN);
    }
    free(b.p);
}

Test(zstd_decoder, every_frame_but_the_last_is_full)
{
    static const size_t frame_lens[] = {1, 70001, MIB - 1};

    for (size_t i = 0; i < COUNT(frame_lens); i++) {
        struct stored b = stored_make(plain, frame_lens[i] + 1, frame_lens[i]);
        size_t got;

        cr_expect_eq(decode(&b, 5000, &got), BLOBSEAL_E_FORMAT, "%zu bytes in the first frame", frame_lens[i]);
        cr_expect_eq(got, frame_lens[i]);
        free(b.p);
    }
}

Test(zstd_decoder, truncated_anywhere_it_is_refused)
{
    struct stored b = stored_make(plain, 500, 500);
    size_t whole = b.len, got;

    for (b.len = 0; b.len < whole; b.len++) {
        cr_expect_eq(decode(&b, 33, &got), BLOBSEAL_E_FORMAT, "%zu bytes", b.len);
        cr_expect(got == 0 || got == 500, "frames come out whole or not");
    }
    free(b.p);
}

Test(zstd_decoder, every_bit_counts)
{
    struct stored b = stored_make(plain, 300, 300);
    size_t frame = 13 + 3 + 300, got;

    for (size_t bit = 0; bit < 8 * b.len; bit++) {
        bool header = bit / 8 >= frame || bit / 8 < 16, unused = bit / 8 == 4 && bit % 8 == 4;

        if (!header || unused)
            continue; /* in the content: a change here is detected by the authentication tags, not by the decoder */
        b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_eq(decode_to(&b, 50, true, &got), BLOBSEAL_E_FORMAT, "bit %zu", bit);
        b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(b.p);
}

Test(zstd_decoder, nothing_follows_the_table)
{
    struct stored b = stored_make(plain, 100, 100), frame = {0};
    size_t got;

    stored_add_frame(&frame, plain, 10);
    for (size_t n = 1; n <= frame.len; n++) {
        struct stored longer = {0};

        stored_add(&longer, b.p, b.len);
        stored_add(&longer, frame.p, n);
        cr_expect_eq(decode(&longer, 1000, &got), BLOBSEAL_E_FORMAT);
        cr_expect_eq(got, 100);
        free(longer.p);
    }
    free(frame.p);
    free(b.p);
}
