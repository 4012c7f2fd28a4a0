/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/fips.h"

#include <blobseal_provider.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

/* Loading can succeed although the module then fails its own tests, so try to fetch something. */
static bool module_works(void)
{
    EVP_CIPHER *gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);

    EVP_CIPHER_free(gcm);
    return gcm != NULL;
}

/*
 * The provider "base" reads and writes keys; it contains no cryptography. Both providers stay loaded until the program
 * ends.
 */
bool fips_start(struct blobseal_error *err)
{
    if (OSSL_PROVIDER_load(NULL, "fips") != NULL && OSSL_PROVIDER_load(NULL, "base") != NULL &&
        EVP_set_default_properties(NULL, "fips=yes") == 1 && module_works())
        return true;
    ERR_clear_error();
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0,
                        "FIPS mode: OpenSSL's FIPS provider is not installed, or not configured");
    blobseal_hint(
        err, "install it, run openssl fipsinstall, and include its fipsmodule.cnf in openssl.cnf: see fips_module(7)");
    return false;
}
