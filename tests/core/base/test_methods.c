/* SPDX-License-Identifier: Apache-2.0 */
/* Algorithms of OpenSSL that are kept: those of the mode that is on, in the global library context. Each test is a
 * process of its own. */
#include <pthread.h>

#include <openssl/evp.h>
#include <openssl/provider.h>

#include "core/base/base.h"
#include "tests/support/suite.h"

SUITE(methods);

static void expect_all(bool found)
{
    EVP_MD *sha256 = bs_fetch_sha256();
    EVP_CIPHER *gcm = bs_fetch_aes_256_gcm();
    EVP_MAC_CTX *hmac = bs_hmac_sha512();

    cr_expect_eq(sha256 != NULL, found);
    cr_expect_eq(hmac != NULL, found);
    cr_expect_eq(gcm != NULL, found);
    if (found)
        cr_expect(EVP_MD_is_a(sha256, "SHA256") && EVP_CIPHER_is_a(gcm, "AES-256-GCM"));
    EVP_MD_free(sha256);
    EVP_CIPHER_free(gcm);
    EVP_MAC_CTX_free(hmac);
}

/* What the default provider has is not used in FIPS mode, for which this process has no provider. */
Test(methods, belong_to_the_mode)
{
    cr_assert(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1);
    for (unsigned i = 0; i < 3; i++) {
        expect_all(true);
        cr_assert_eq(EVP_default_properties_enable_fips(NULL, 1), 1);
        expect_all(false);
        cr_assert_eq(EVP_default_properties_enable_fips(NULL, 0), 1);
    }
}

/* Return @arg if all is found each time. */
static void *take_often(void *arg)
{
    for (unsigned i = 0; i < 2000 && arg != NULL; i++) {
        EVP_MD *md = bs_fetch_sha256();
        EVP_CIPHER *gcm = bs_fetch_aes_256_gcm();
        EVP_MAC_CTX *hmac = bs_hmac_sha512();

        if (md == NULL || gcm == NULL || hmac == NULL)
            arg = NULL;
        EVP_MD_free(md);
        EVP_CIPHER_free(gcm);
        EVP_MAC_CTX_free(hmac);
    }
    return arg;
}

Test(methods, many_threads_take_them)
{
    pthread_t threads[4];
    void *result;

    for (size_t i = 0; i < COUNT(threads); i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, take_often, threads), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        cr_assert(pthread_join(threads[i], &result) == 0 && result != NULL);
}

/* A thread may have a library context of its own, and with it other providers: here none. */
Test(methods, belong_to_the_library_context)
{
    OSSL_LIB_CTX *own = OSSL_LIB_CTX_new(), *before;
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(own, "null");

    cr_assert(own != NULL && provider != NULL);
    for (unsigned i = 0; i < 2; i++) {
        expect_all(true);
        before = OSSL_LIB_CTX_set0_default(own);
        expect_all(false);
        cr_assert_eq(OSSL_LIB_CTX_set0_default(before), own);
    }
    cr_assert_eq(OSSL_PROVIDER_unload(provider), 1);
    OSSL_LIB_CTX_free(own);
}

/* What belongs to such a context is not used after it. */
Test(methods, do_not_outlive_a_library_context)
{
    OSSL_LIB_CTX *own = OSSL_LIB_CTX_new(), *before;
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(own, "default");

    cr_assert(own != NULL && provider != NULL);
    before = OSSL_LIB_CTX_set0_default(own);
    expect_all(true);
    (void)OSSL_LIB_CTX_set0_default(before);
    cr_assert_eq(OSSL_PROVIDER_unload(provider), 1);
    OSSL_LIB_CTX_free(own);
    expect_all(true);
}
