/* SPDX-License-Identifier: Apache-2.0 */
/* Sources and sinks over memory. */
#include <stdlib.h>

#include "tests/support/content.h"

SUITE(io_memory);

#define LEN 200000

static uint8_t bytes[LEN];

static void fill_bytes(void)
{
    fill_random(bytes, sizeof bytes, 11);
}

Test(io_memory, is_read_at_any_position)
{
    struct blobseal_memory state;
    struct blobseal_source source;
    struct blobseal_error err;
    size_t n;
    uint8_t buf[8];

    fill_bytes();
    blobseal_source_memory(&source, &state, bytes, LEN);
    cr_expect_eq(source.size, LEN);
    expect_content(&source, bytes, LEN);
    cr_expect_eq(source.pread(source.ctx, buf, 8, LEN - 3, &n, &err), BLOBSEAL_OK);
    cr_expect_eq(n, 3);
    cr_expect_eq(source.pread(source.ctx, buf, 8, LEN, &n, &err), BLOBSEAL_OK);
    cr_expect_eq(n, 0);
    cr_expect_eq(source.pread(source.ctx, buf, 8, UINT64_MAX, &n, &err), BLOBSEAL_OK);
    cr_expect_eq(n, 0);
}

Test(io_memory, grows_as_it_is_written)
{
    struct blobseal_memory state;
    struct blobseal_sink sink;
    struct blobseal_error err;
    uint64_t random = 9;

    fill_bytes();
    blobseal_sink_memory(&sink, &state);
    cr_expect_eq(sink.write(sink.ctx, bytes, 0, &err), BLOBSEAL_OK);
    for (size_t done = 0, n; done < LEN; done += n) {
        n = random_below(&random, 5000);
        n = n < LEN - done ? n : LEN - done;
        cr_assert_eq(sink.write(sink.ctx, bytes + done, n, &err), BLOBSEAL_OK);
    }
    cr_expect_eq(state.len, LEN);
    cr_expect_arr_eq(state.data, bytes, LEN);
    cr_expect_eq(sink.write(sink.ctx, bytes, SIZE_MAX - LEN, &err), BLOBSEAL_E_NOMEM);
    cr_expect_eq(state.len, LEN);
    blobseal_free(state.data);
}

Test(io_memory, bytes_in_memory_are_borrowed_and_others_copied)
{
    struct test_source state = {.data = bytes, .len = LEN, .seekable = true, .max_piece = 313};
    struct blobseal_source source;
    struct blobseal_memory memory;
    struct blobseal_error err = {0};
    const uint8_t *at = NULL;
    uint8_t buf[1000];

    fill_bytes();
    blobseal_source_memory(&source, &memory, bytes, LEN);
    cr_expect_eq(bs_borrow(&source, buf, 1000, LEN - 1000, &at, &err), BLOBSEAL_OK);
    cr_expect_eq(at, bytes + LEN - 1000);
    cr_expect_eq(bs_borrow(&source, buf, 1000, LEN - 999, &at, &err), BLOBSEAL_E_INPUT);
    cr_expect_eq(bs_borrow(&source, buf, 1, UINT64_MAX, &at, &err), BLOBSEAL_E_INPUT);
    cr_expect_eq(bs_borrow(&source, buf, 0, 0, &at, &err), BLOBSEAL_OK);
    test_source_start(&source, &state);
    cr_expect_eq(bs_borrow(&source, buf, 1000, 7, &at, &err), BLOBSEAL_OK);
    cr_expect_eq(at, buf);
    cr_expect_arr_eq(buf, bytes + 7, 1000);
    test_source_end(&state);
}
