/* SPDX-License-Identifier: Apache-2.0 */
/* AES key wrap: the known answer, refusals of other lengths and of every changed bit, and many threads. */
#include <stdlib.h>

#include "core/jwe/jwe.h"
#include "tests/support/suite.h"

SUITE(a256kw);

Test(a256kw, selftest)
{
    struct blobseal_error err;

    cr_assert_eq(bs_a256kw_selftest(&err), BLOBSEAL_OK, "%s", err.text);
}

Test(a256kw, every_other_length_and_every_changed_bit_is_refused)
{
    struct blobseal_secret32 key, secret, back;
    uint8_t wrapped[64] = {0};
    struct bs_a256kw *kw;

    fill_random(key.b, sizeof key.b, 1);
    fill_random(secret.b, sizeof secret.b, 2);
    cr_assert_eq(bs_a256kw_new(&kw, &key, NULL), BLOBSEAL_OK);
    cr_assert_eq(bs_a256kw_wrap(kw, wrapped, &secret, NULL), BLOBSEAL_OK);
    for (size_t len = 0; len <= sizeof wrapped; len++)
        cr_expect_eq(bs_a256kw_unwrap(kw, &back, wrapped, len, NULL), len == 40 ? BLOBSEAL_OK : BLOBSEAL_E_AUTH);
    for (unsigned bit = 0; bit < 8 * BS_A256KW_LEN; bit++) {
        wrapped[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memset(&back, 1, sizeof back);
        cr_expect_eq(bs_a256kw_unwrap(kw, &back, wrapped, BS_A256KW_LEN, NULL), BLOBSEAL_E_AUTH);
        cr_expect(bs_all_zero(back.b, sizeof back.b), "nothing is released");
        wrapped[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_expect_eq(bs_a256kw_unwrap(kw, &back, wrapped, BS_A256KW_LEN, NULL), BLOBSEAL_OK, "after all refusals");
    cr_expect_eq(memcmp(&back, &secret, sizeof back), 0);
    bs_a256kw_free(kw);
}

static struct bs_a256kw *shared;

static void *wrap_and_unwrap(void *seed)
{
    struct blobseal_secret32 secret, back;
    uint8_t wrapped[BS_A256KW_LEN];

    for (unsigned i = 0; i < 500; i++) {
        fill_random(secret.b, sizeof secret.b, (uintptr_t)seed * 1000 + i);
        if (bs_a256kw_wrap(shared, wrapped, &secret, NULL) != BLOBSEAL_OK ||
            bs_a256kw_unwrap(shared, &back, wrapped, sizeof wrapped, NULL) != BLOBSEAL_OK ||
            memcmp(&back, &secret, sizeof back) != 0)
            return seed;
    }
    return NULL;
}

Test(a256kw, many_threads_use_one_key)
{
    struct blobseal_secret32 key;
    pthread_t threads[8];

    fill_random(key.b, sizeof key.b, 1);
    cr_assert_eq(bs_a256kw_new(&shared, &key, NULL), BLOBSEAL_OK);
    for (uintptr_t i = 0; i < COUNT(threads); i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, wrap_and_unwrap, (void *)(i + 1)), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        void *failed;

        cr_assert_eq(pthread_join(threads[i], &failed), 0);
        cr_expect_null(failed);
    }
    bs_a256kw_free(shared);
}
