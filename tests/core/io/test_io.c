/* SPDX-License-Identifier: Apache-2.0 */
/* The loops that read from any source and write to any sink. */
#include <stdlib.h>

#include "tests/support/content.h"

SUITE(io);

#define LEN 200000

static uint8_t bytes[LEN];

static void fill_bytes(void)
{
    fill_random(bytes, sizeof bytes, 11);
}

Test(io, short_reads_are_joined)
{
    fill_bytes();
    for (int seekable = 0; seekable <= 1; seekable++) {
        struct test_source state = {.data = bytes, .len = LEN, .seekable = seekable == 1, .max_piece = 313};
        struct blobseal_source source;
        uint8_t *p;
        size_t len;

        test_source_start(&source, &state);
        p = read_all(&source, 10000, &len);
        cr_expect(len == LEN && memcmp(p, bytes, len) == 0);
        free(p);
        test_source_end(&state);
    }
}

Test(io, a_positioned_read_that_comes_short_is_an_error)
{
    struct test_source state = {.data = bytes, .len = LEN, .seekable = true, .max_piece = 313};
    struct blobseal_source source;
    struct blobseal_error err = {0};
    uint8_t buf[1000];

    fill_bytes();
    test_source_start(&source, &state);
    cr_expect_eq(bs_pread(&source, buf, 1000, LEN - 1000, &err), BLOBSEAL_OK);
    cr_expect_arr_eq(buf, bytes + LEN - 1000, 1000);
    cr_expect_eq(bs_pread(&source, buf, 1000, LEN - 999, &err), BLOBSEAL_E_INPUT);
    cr_expect_not_null(strstr(err.text, "test source"), "%s", err.text);
    cr_expect_eq(bs_pread(&source, buf, 0, LEN + 10, &err), BLOBSEAL_OK);
    test_source_end(&state);
}

Test(io, a_position_moves_by_what_was_read)
{
    for (int seekable = 0; seekable <= 1; seekable++) {
        struct test_source state = {.data = bytes, .len = LEN, .seekable = seekable == 1, .max_piece = 50};
        struct blobseal_source source;
        struct bs_input in = {&source, 0};
        uint8_t buf[1000];
        size_t n;

        fill_bytes();
        test_source_start(&source, &state);
        for (size_t at = 0; at < 5000; at += 1000) {
            cr_assert_eq(bs_read(&in, buf, 1000, &n, NULL), BLOBSEAL_OK);
            cr_expect(n == 1000 && in.pos == at + 1000);
            cr_expect_arr_eq(buf, bytes + at, 1000);
        }
        test_source_end(&state);
    }
}

/* Bytes read before an error are counted, and if the source gives no message, a generic one is added. */
Test(io, an_error_of_the_source_is_reported_with_what_was_read)
{
    for (int silent = 0; silent <= 1; silent++) {
        struct test_source state = {
            .data = bytes,
            .len = LEN,
            .max_piece = 1,
            .fault = {.at_call = 8, .status = BLOBSEAL_E_INPUT, .silent = silent == 1},
        };
        struct blobseal_error err = {.text = "of an earlier call"};
        struct blobseal_source source;
        struct bs_input in = {&source, 0};
        uint8_t buf[100];
        size_t n;

        test_source_start(&source, &state);
        cr_expect_eq(bs_read(&in, buf, sizeof buf, &n, &err), BLOBSEAL_E_INPUT);
        cr_expect_eq(err.status, BLOBSEAL_E_INPUT);
        cr_expect(n == 7 && in.pos == 7);
        cr_expect_eq(strstr(err.text, "reported no cause") != NULL, silent == 1, "%s", err.text);
        test_source_end(&state);
    }
}

Test(io, a_write_goes_to_its_offset_or_to_the_end)
{
    for (int seekable = 0; seekable <= 1; seekable++) {
        struct test_sink state = {.seekable = seekable == 1, .cap = 100};
        struct blobseal_error err = {0};
        struct blobseal_sink sink;

        fill_bytes();
        test_sink_start(&sink, &state);
        cr_expect_eq(bs_write(&sink, bytes, 10, seekable == 1 ? 50 : 0, &err), BLOBSEAL_OK);
        cr_expect_arr_eq(state.data + (seekable == 1 ? 50 : 0), bytes, 10);
        state.fault = (struct fault){.at_call = 2, .status = BLOBSEAL_E_OUTPUT, .silent = true};
        cr_expect_eq(bs_write(&sink, bytes, 10, 60, &err), BLOBSEAL_E_OUTPUT);
        cr_expect_not_null(strstr(err.text, "write test sink"), "%s", err.text);
        test_sink_end(&state);
    }
}
