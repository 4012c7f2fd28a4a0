/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --fips and BLOBSEAL_FIPS: from here on OpenSSL gives only what its FIPS provider has, or nothing. The library follows
 * OpenSSL's default properties, so nothing else has to know.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "cli.h"

int fips_from_environment(void)
{
    static const char *const on[] = {"1", "yes", "true"}, *const off[] = {"", "0", "no", "false"};
    const char *value = getenv("BLOBSEAL_FIPS");

    if (value == NULL)
        return EXIT_OK;
    for (size_t i = 0; i < COUNT(off); i++)
        if (strcmp(value, off[i]) == 0)
            return EXIT_OK;
    for (size_t i = 0; i < COUNT(on); i++)
        if (strcmp(value, on[i]) == 0) {
            settings.fips = true;
            return EXIT_OK;
        }
    return usage_error("the environment variable BLOBSEAL_FIPS is yes or no, not %s", value);
}

/* Loading can succeed where the module then fails its own tests: only what can be fetched is there. */
static bool module_works(void)
{
    EVP_CIPHER *gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);

    EVP_CIPHER_free(gcm);
    return gcm != NULL;
}

/* The provider "base" reads and writes keys; it has no cryptography. Both stay loaded until the program ends. */
bool fips_start(struct blobseal_error *err)
{
    if (OSSL_PROVIDER_load(NULL, "fips") != NULL && OSSL_PROVIDER_load(NULL, "base") != NULL &&
        EVP_set_default_properties(NULL, "fips=yes") == 1 && module_works())
        return true;
    ERR_clear_error();
    (void)fail(err, BLOBSEAL_E_CONFIG, 0, "FIPS mode: OpenSSL's FIPS provider is not installed, or not configured");
    blobseal_hint(
        err, "install it, run openssl fipsinstall, and include its fipsmodule.cnf in openssl.cnf: see fips_module(7)");
    return false;
}
