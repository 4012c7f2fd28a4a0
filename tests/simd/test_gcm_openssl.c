/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM through OpenSSL against vectors and single EVP calls (support/gcm_checks.c), and when no cipher is
 * available.
 */
#include <openssl/err.h>
#include <openssl/evp.h>

#include "tests/support/gcm.h"
#include "tests/support/suite.h"

SUITE(gcm_openssl);

extern const struct bs_gcm_impl bs_gcm_openssl;

#define TEST_OPENSSL(name)                                                                                             \
    Test(gcm_openssl, name)                                                                                            \
    {                                                                                                                  \
        gcm_check(#name, &bs_gcm_openssl);                                                                             \
    }
EACH_GCM_CHECK(TEST_OPENSSL)

#define COUNT_CHECK(name) +1

Test(gcm_openssl, every_check_is_a_test)
{
    size_t n = 0;

    while (gcm_checks[n].name != NULL)
        n++;
    cr_assert_eq(n, 0 EACH_GCM_CHECK(COUNT_CHECK));
}

/* No cipher is available, as in FIPS mode without a FIPS provider. */
Test(gcm_openssl, without_a_cipher_there_is_no_key_and_no_error_is_left)
{
    struct bs_gcm_key key = {.impl = &bs_gcm_openssl};

    cr_assert_eq(EVP_set_default_properties(NULL, "provider=there-is-none"), 1);
    ERR_raise(ERR_LIB_USER, 1); /* an error of the program that uses the library */
    cr_expect_eq(bs_gcm_openssl.init(&key, gcm_raw_key), BS_GCM_NO_CIPHER);
    cr_expect_null(key.state);
    cr_expect_neq(ERR_get_error(), 0, "what was there before stays");
    cr_expect_eq(ERR_get_error(), 0, "nothing is added");
    bs_gcm_openssl.clear(&key);
    cr_assert_eq(EVP_set_default_properties(NULL, ""), 1);
    cr_expect_eq(bs_gcm_openssl.init(&key, gcm_raw_key), BS_GCM_OK);
    bs_gcm_openssl.clear(&key);
}

/* Two keys have two contexts, so operations with one do not affect the other. */
Test(gcm_openssl, keys_do_not_share_state)
{
    const uint8_t nonce[BS_GCM_NONCE_LEN] = {1}, plain[32] = {2};
    const struct bs_gcm_run run = {nonce, 0, 1, sizeof plain, sizeof plain};
    uint8_t other_raw[BS_GCM_KEY_LEN] = {9}, a[48], b[48], back[32];
    struct bs_gcm_key one = gcm_key(&bs_gcm_openssl, gcm_raw_key), other = gcm_key(&bs_gcm_openssl, other_raw);

    cr_assert(bs_gcm_openssl.seal(&one, &run, a, plain));
    cr_assert(bs_gcm_openssl.seal(&other, &run, b, plain));
    cr_expect(bs_gcm_openssl.open(&one, &run, back, a));
    cr_expect_not(bs_gcm_openssl.open(&one, &run, back, b));
    cr_expect(bs_all_zero(back, sizeof back));
    cr_expect(bs_gcm_openssl.open(&other, &run, back, b));
    cr_expect_arr_eq(back, plain, sizeof plain);
    bs_gcm_openssl.clear(&one);
    bs_gcm_openssl.clear(&other);
}
