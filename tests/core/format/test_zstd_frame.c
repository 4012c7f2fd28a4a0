/* SPDX-License-Identifier: Apache-2.0 */
/* One zstd frame: compressing, decompressing, and what is refused before libzstd sees it. */
#include <stdlib.h>
#include <zstd.h>

#include "tests/support/stored.h"
#include "tests/support/suite.h"

#define MAX_PLAIN BS_ZFRAME_PLAIN_LEN

static uint8_t *plain, *frame, *back;
static struct bs_zstd z;

static void start(void)
{
    plain = must_alloc(MAX_PLAIN);
    frame = must_alloc(BS_ZFRAME_MAX_LEN);
    back = must_alloc(MAX_PLAIN);
    fill_random(plain, MAX_PLAIN, 3);
}

static void stop(void)
{
    bs_zstd_clear(&z);
    free(plain);
    free(frame);
    free(back);
}

SUITE_WITH(zstd_frame, start, stop);

/* Compress @len bytes into a frame, and find its end step by step as a pipe reader does. Return its length. */
static size_t seal_and_follow(size_t len, int level)
{
    struct blobseal_error err;
    struct bs_zframe f;
    size_t n, before = 0;

    cr_assert_eq(bs_zframe_compress(&z, level, frame, &n, (struct bs_slice){plain, len}, &err), BLOBSEAL_OK, "%s",
                 err.text);
    cr_assert_leq(n, BS_ZFRAME_MAX_LEN);
    bs_zframe_start(&f);
    while (!f.last) {
        cr_assert(f.need > before && f.need <= n);
        before = f.need;
        cr_assert_null(bs_zframe_step(&f, frame));
    }
    cr_assert_eq(f.need, n);
    cr_assert_eq(f.plain_len, len);
    cr_assert_eq(ZSTD_findFrameCompressedSize(frame, BS_ZFRAME_MAX_LEN), n, "libzstd thinks so, too");
    return n;
}

Test(zstd_frame, frames_come_back)
{
    static const size_t sizes[] = {1,     2,     100,    255,    256,           257,      65535,
                                   65536, 65792, 131072, 131073, MAX_PLAIN - 1, MAX_PLAIN};
    static const int levels[] = {0, 1, 3, 19, -7};

    for (size_t k = 0; k < COUNT(levels); k++) {
        bs_zstd_clear(&z);
        for (size_t i = 0; i < COUNT(sizes); i++) {
            for (int kind = 0; kind < 3; kind++) {
                size_t n;

                if (kind == 0)
                    fill_random(plain, sizes[i], 3);
                else if (kind == 1)
                    fill_pattern(plain, sizes[i]);
                else
                    memset(plain + sizes[i] / 2, 0, sizes[i] - sizes[i] / 2);
                n = seal_and_follow(sizes[i], levels[k]);
                cr_assert_eq(bs_zframe_decompress(&z, 0, back, sizes[i], (struct bs_slice){frame, n}, NULL),
                             BLOBSEAL_OK);
                cr_assert_eq(memcmp(back, plain, sizes[i]), 0);
            }
        }
    }
}

static void expect_refused(const uint8_t *p, size_t len, size_t plain_len, const char *what)
{
    struct blobseal_error err = {0};
    uint8_t *exact = must_copy(p, len);

    cr_expect_eq(bs_zframe_decompress(&z, 41, back, plain_len, (struct bs_slice){exact, len}, &err), BLOBSEAL_E_FORMAT,
                 "%s", what);
    cr_expect_not_null(strstr(err.text, "frame 41"), "%s", err.text);
    free(exact);
}

Test(zstd_frame, a_truncated_frame_is_refused_at_every_length)
{
    size_t n = seal_and_follow(3000, 3);

    for (size_t len = 0; len < n; len++)
        expect_refused(frame, len, 3000, "truncated");
    expect_refused(frame, n + 1, 3000, "a byte more");
    expect_refused(frame, n, 2999, "less content than it says");
    expect_refused(frame, n, 3001, "more content than it says");
}

/* A frame with any one bit changed is refused or decompresses to the same number of bytes, never to more. */
Test(zstd_frame, a_changed_frame_never_writes_more)
{
    size_t n, refused = 0;

    fill_pattern(plain, 3000);
    fill_random(plain, 500, 5);
    n = seal_and_follow(3000, 3);
    for (size_t i = 0; i < 8 * n; i++) {
        enum blobseal_status st;
        uint8_t *exact = must_copy(frame, n), *out = must_alloc(3000);

        exact[i / 8] ^= (uint8_t)(1u << i % 8);
        st = bs_zframe_decompress(&z, 0, out, 3000, (struct bs_slice){exact, n}, NULL);
        cr_assert(st == BLOBSEAL_OK || st == BLOBSEAL_E_FORMAT);
        refused += st == BLOBSEAL_OK ? 0 : 1;
        free(exact);
        free(out);
    }
    cr_assert_gt(refused, 8 * 12, "at least the header is checked");
}

/* A frame can have 1,052,672 bytes, and no more. */
Test(zstd_frame, the_longest_frame)
{
    struct stored b = {0};

    stored_add_number(&b, 0xFD2FB528u, 4);
    stored_add_number(&b, 0xE0, 1);
    stored_add_number(&b, MAX_PLAIN, 8);
    for (size_t left = MAX_PLAIN; left > 0; left -= 131072) { /* raw blocks */
        stored_add_number(&b, 131072 << 3, 3);
        stored_add(&b, plain, 131072);
    }
    while (b.len < BS_ZFRAME_MAX_LEN - 3 - 2)
        stored_add_number(&b, 0, 3); /* empty blocks */
    stored_add_number(&b, 1, 3);
    cr_assert(b.len > BS_ZFRAME_MAX_LEN - 3 && b.len <= BS_ZFRAME_MAX_LEN);
    cr_expect_eq(bs_zframe_decompress(&z, 0, back, MAX_PLAIN, (struct bs_slice){b.p, b.len}, NULL), BLOBSEAL_OK);
    b.p[b.len - 3] = 0;
    stored_add_number(&b, 1, 3);
    expect_refused(b.p, b.len, MAX_PLAIN, "too long");
    free(b.p);
}

/* The window size in the frame header decides, and nothing is allocated for a window. */
Test(zstd_frame, windows_up_to_8_mib)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t p[] = {0x28, 0xB5, 0x2F, 0xFD, 0x80, (uint8_t)byte, 4, 0, 0, 0, 4 << 3 | 1, 0, 0, 'a', 'b', 'c', 'd'};
        enum blobseal_status st = bs_zframe_decompress(&z, 0, back, 4, (struct bs_slice){p, sizeof p}, NULL);

        cr_expect_eq(st, byte <= 13 << 3 ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT, "window descriptor %u", byte);
    }
}
