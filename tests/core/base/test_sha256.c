/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 in pieces. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/suite.h"

SUITE(sha256);

static void check_sha256(const char *text, size_t repeat, const char *hex)
{
    struct vec_bytes expected = vec_hex(hex);
    struct bs_sha256 h = bs_sha256_start();
    uint8_t out[BS_SHA256_LEN];

    for (size_t i = 0; i < repeat; i++)
        bs_sha256_add(&h, text, strlen(text));
    cr_assert(bs_sha256_end(&h, out));
    cr_assert_arr_eq(out, expected.p, sizeof out);
    cr_assert_null(h.ctx);
    free(expected.p);
}

/* The examples of FIPS 180-4. */
Test(sha256, gives_the_known_values)
{
    check_sha256("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha256("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check_sha256("aaaaaaaaaa", 100000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

Test(sha256, does_not_depend_on_where_the_input_is_split)
{
    uint8_t data[150], whole[BS_SHA256_LEN], parts[BS_SHA256_LEN];
    struct bs_sha256 h = bs_sha256_start();

    fill_random(data, sizeof data, 1);
    bs_sha256_add(&h, data, sizeof data);
    cr_assert(bs_sha256_end(&h, whole));
    for (size_t at = 0; at <= sizeof data; at++) {
        h = bs_sha256_start();
        bs_sha256_add(&h, data, at);
        bs_sha256_add(&h, data + at, sizeof data - at);
        cr_assert(bs_sha256_end(&h, parts));
        cr_assert_arr_eq(parts, whole, sizeof whole, "split at %zu", at);
    }
}

/*
 * A failure is reported only at the end, and the state is released even then. The leak check would find it otherwise.
 */
Test(sha256, a_failure_is_kept_until_the_end)
{
    struct bs_sha256 h = bs_sha256_start();
    uint8_t out[BS_SHA256_LEN];

    h.ok = false;
    bs_sha256_add(&h, "abc", 3);
    cr_expect_not(bs_sha256_end(&h, out));
    cr_expect_null(h.ctx);
    cr_expect_not(bs_sha256_end(&h, out), "a second end fails as well");
}
