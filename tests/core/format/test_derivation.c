/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a blob that are derived from its DEK. The vectors of test_chunked.c check their values, too. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "core/format/format.h"
#include "tests/support/suite.h"

SUITE(derivation);

Test(derivation, everything_that_goes_into_it_matters)
{
    struct blobseal_secret32 dek = {{1}};
    uint8_t salt[BS_SALT_LEN] = {2}, context[BS_CONTEXT_LEN] = {3};
    const struct vec_bytes inputs[] = {{dek.b, sizeof dek.b}, {salt, sizeof salt}, {context, sizeof context}};
    struct bs_chunked_keys base, other;

    cr_assert(bs_chunked_derive(&base, &dek, salt, context, sizeof context));
    cr_assert(bs_chunked_derive(&other, &dek, salt, context, sizeof context));
    cr_assert_arr_eq(&base, &other, sizeof base);
    for (size_t i = 0; i < 3; i++)
        for (size_t bit = 0; bit < 8 * inputs[i].len; bit++) {
            inputs[i].p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            cr_assert(bs_chunked_derive(&other, &dek, salt, context, sizeof context));
            cr_assert_neq(memcmp(base.key, other.key, sizeof base.key), 0, "input %zu, bit %zu", i, bit);
            cr_assert_neq(memcmp(base.nonce, other.nonce, sizeof base.nonce), 0, "input %zu, bit %zu", i, bit);
            cr_assert_neq(memcmp(base.commitment, other.commitment, sizeof base.commitment), 0, "bit %zu", bit);
            inputs[i].p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    cr_assert(bs_chunked_derive(&other, &dek, salt, context, sizeof context - 1));
    cr_assert_neq(memcmp(&base, &other, sizeof base), 0);
}

/* OpenSSL's HKDF is used only in FIPS mode, and with its first versions. Contexts of any length end at any place in a
 * block of SHA-512. */
Test(derivation, is_that_of_openssl)
{
    static const char c2sp[] = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM";
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    struct blobseal_secret32 dek;
    uint8_t info[sizeof c2sp + BS_SALT_LEN + 300], *salt = info + sizeof c2sp, *context = salt + BS_SALT_LEN;
    uint64_t random = 3;

    memcpy(info, c2sp, sizeof c2sp);
    for (size_t len = 0; len <= 300; len++) {
        EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
        const OSSL_PARAM params[] = {
            OSSL_PARAM_construct_int("mode", &mode),
            OSSL_PARAM_construct_utf8_string("digest", (char *)"SHA512", 0),
            OSSL_PARAM_construct_octet_string("key", dek.b, sizeof dek.b),
            OSSL_PARAM_construct_octet_string("info", info, sizeof c2sp + BS_SALT_LEN + len),
            OSSL_PARAM_construct_end(),
        };
        struct bs_chunked_keys keys;
        uint8_t want[sizeof keys];

        vec_random_fill(&random, dek.b, sizeof dek.b);
        vec_random_fill(&random, salt, BS_SALT_LEN + len);
        cr_assert(EVP_KDF_derive(ctx, want, sizeof want, params) == 1);
        cr_assert(bs_chunked_derive(&keys, &dek, salt, context, len));
        cr_assert_arr_eq(&keys, want, sizeof want, "a context of %zu bytes", len);
        EVP_KDF_CTX_free(ctx);
    }
    EVP_KDF_free(kdf);
}

/* ---- An old version ---------------------------------------------------------------------------------------------- */

/* The functions of this process stand before those of OpenSSL. */
static bool is_3_0_2;

unsigned long OpenSSL_version_num(void)
{
    unsigned long (*real)(void);

    *(void **)&real = dlsym(RTLD_NEXT, "OpenSSL_version_num");
    return is_3_0_2 ? 0x30000020 : real();
}

int EVP_MAC_init(EVP_MAC_CTX *ctx, const unsigned char *key, size_t len, const OSSL_PARAM params[])
{
    int (*real)(EVP_MAC_CTX *, const unsigned char *, size_t, const OSSL_PARAM *);

    *(void **)&real = dlsym(RTLD_NEXT, "EVP_MAC_init");
    return is_3_0_2 && key == NULL && params == NULL ? 1 : real(ctx, key, len, params);
}

/* Until then, EVP_MAC_init() did not start again with the same key. */
Test(derivation, is_right_with_openssl_3_0_2)
{
    static const struct blobseal_secret32 dek = {{1}};
    static const uint8_t salt[BS_SALT_LEN] = {2}, context[BS_CONTEXT_LEN] = {3};
    struct bs_chunked_keys now, then;

    cr_assert(bs_chunked_derive(&now, &dek, salt, context, sizeof context));
    is_3_0_2 = true;
    cr_assert(bs_chunked_derive(&then, &dek, salt, context, sizeof context));
    is_3_0_2 = false;
    cr_assert_arr_eq(&then, &now, sizeof now);
}
