/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether OpenSSL has the algorithms that this library needs. Its configuration decides which providers are active, and
 * its default properties which of their algorithms may be used.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

#include "core/base/base.h"

bool bs_fips_mode(void)
{
    return bs_openssl_start(NULL) == BLOBSEAL_OK && EVP_default_properties_is_fips_enabled(NULL) == 1;
}

static const OSSL_PROVIDER *cipher_provider(void)
{
    EVP_CIPHER *gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    const OSSL_PROVIDER *by = gcm != NULL ? EVP_CIPHER_get0_provider(gcm) : NULL;

    EVP_CIPHER_free(gcm);
    return by;
}

static const OSSL_PROVIDER *fetch_digest(const char *name)
{
    EVP_MD *md = EVP_MD_fetch(NULL, name, NULL);
    const OSSL_PROVIDER *by = md != NULL ? EVP_MD_get0_provider(md) : NULL;

    EVP_MD_free(md);
    return by;
}

static const OSSL_PROVIDER *sha256_provider(void)
{
    return fetch_digest("SHA256");
}

static const OSSL_PROVIDER *sha512_provider(void)
{
    return fetch_digest("SHA512");
}

static const OSSL_PROVIDER *kdf_provider(void)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    const OSSL_PROVIDER *by = kdf != NULL ? EVP_KDF_get0_provider(kdf) : NULL;

    EVP_KDF_free(kdf);
    return by;
}

static const OSSL_PROVIDER *rsa_provider(void)
{
    EVP_ASYM_CIPHER *rsa = EVP_ASYM_CIPHER_fetch(NULL, "RSA", NULL);
    const OSSL_PROVIDER *by = rsa != NULL ? EVP_ASYM_CIPHER_get0_provider(rsa) : NULL;

    EVP_ASYM_CIPHER_free(rsa);
    return by;
}

/* Return the provider of the generator in use. It is not the FIPS provider if it was made before FIPS mode was on. */
static const OSSL_PROVIDER *random_provider(void)
{
    EVP_RAND_CTX *ctx = RAND_get0_private(NULL);

    return ctx != NULL ? EVP_RAND_get0_provider(EVP_RAND_CTX_get0_rand(ctx)) : NULL;
}

const struct bs_algorithm bs_algorithms[BS_NUM_ALGORITHMS] = {
    {"AES-256-GCM", cipher_provider, OSSL_OP_CIPHER, "AES-256-GCM"},
    {"SHA-256", sha256_provider, OSSL_OP_DIGEST, "SHA2-256"},
    {"SHA-512", sha512_provider, OSSL_OP_DIGEST, "SHA2-512"},
    {"HKDF", kdf_provider, OSSL_OP_KDF, "HKDF"},
    {"RSA", rsa_provider, OSSL_OP_ASYM_CIPHER, "RSA"},
    {"random numbers", random_provider, OSSL_OP_RAND, "CTR-DRBG"},
};

/* Algorithms that only layers of images need. A configuration without them serves everything else. */
static const struct bs_algorithm of_layers[] = {
    {"AES-256-CTR", NULL, OSSL_OP_CIPHER, "AES-256-CTR"},
    {"HMAC", NULL, OSSL_OP_MAC, "HMAC"},
};

enum blobseal_status bs_openssl_start(struct blobseal_error *err)
{
    static _Atomic bool started;

    if (atomic_load_explicit(&started, memory_order_relaxed))
        return BLOBSEAL_OK;
    if (OPENSSL_init_crypto(0, NULL) == 1 && OSSL_LIB_CTX_get0_global_default() != NULL) {
        atomic_store_explicit(&started, true, memory_order_relaxed);
        return BLOBSEAL_OK;
    }
    (void)blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "initialise OpenSSL: no memory");
    blobseal_hint(err, "OpenSSL stays unusable in this process: start the program again when there is memory");
    return BLOBSEAL_E_NOMEM;
}

bool bs_memory_is_exhausted(void)
{
    void *p = malloc(65536);

    free(p);
    return p == NULL;
}

enum blobseal_status bs_algorithms_check(struct blobseal_error *err)
{
    enum blobseal_status st = bs_openssl_start(err);

    (void)ERR_set_mark();
    for (size_t i = 0; i < BS_NUM_ALGORITHMS && st == BLOBSEAL_OK; i++) {
        const struct bs_algorithm *a = &bs_algorithms[i];
        const OSSL_PROVIDER *found = a->provider();

        if (found == NULL) /* again, because memory may have been short for a moment */
            found = a->provider();
        if (found == NULL)
            st = bs_no_provider(a->name, err);
    }
    (void)ERR_pop_to_mark(); /* the host program shares this queue */
    return st;
}

/* ---- Why an algorithm is not found ------------------------------------------------------------------------------- */

/* A search for an active provider. */
struct search {
    const struct bs_algorithm *algorithm;
    bool fips;                 /* the algorithm needs the property fips=yes */
    bool has_provider, has_it; /* what was found */
};

/* Return true if @name is in the list @names, which are separated by colons. */
static bool is_listed(const char *names, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = names; at != NULL; at = strchr(at, ':')) {
        at += at != names ? 1 : 0;
        if (strncmp(at, name, len) == 0 && (at[len] == ':' || at[len] == '\0'))
            return true;
    }
    return false;
}

static int look_at_provider(OSSL_PROVIDER *provider, void *ctx)
{
    struct search *s = ctx;
    int changes;
    const OSSL_ALGORITHM *list = OSSL_PROVIDER_query_operation(provider, s->algorithm->operation, &changes);

    s->has_provider = true;
    for (const OSSL_ALGORITHM *a = list; a != NULL && a->algorithm_names != NULL; a++)
        if (is_listed(a->algorithm_names, s->algorithm->openssl_name) &&
            (!s->fips || (a->property_definition != NULL && strstr(a->property_definition, "fips=yes") != NULL)))
            s->has_it = true;
    OSSL_PROVIDER_unquery_operation(provider, s->algorithm->operation, list);
    return 1;
}

/* Return true if an active provider has the algorithm, or if OpenSSL has not even activated its default provider. */
static bool should_be_found(const char *algorithm)
{
    struct search s = {.fips = bs_fips_mode()};

    for (size_t i = 0; i < BS_NUM_ALGORITHMS; i++)
        if (strcmp(bs_algorithms[i].name, algorithm) == 0)
            s.algorithm = &bs_algorithms[i];
    for (size_t i = 0; i < BS_COUNT(of_layers); i++)
        if (strcmp(of_layers[i].name, algorithm) == 0)
            s.algorithm = &of_layers[i];
    if (bs_openssl_start(NULL) != BLOBSEAL_OK || OSSL_PROVIDER_do_all(NULL, look_at_provider, &s) != 1)
        return true;
    return s.has_it || !s.has_provider;
}

enum blobseal_status bs_no_provider(const char *algorithm, struct blobseal_error *err)
{
    if (bs_memory_is_exhausted() || should_be_found(algorithm)) {
        (void)blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "look for %s in OpenSSL: no memory", algorithm);
        blobseal_hint(err, "OpenSSL may stay unusable in this process: start the program again when there is memory");
        return BLOBSEAL_E_NOMEM;
    }
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "OpenSSL's configuration activates no provider that has %s%s",
                        algorithm, bs_fips_mode() ? " with the property fips=yes" : "");
    blobseal_hint(err, "%s",
                  bs_fips_mode() ? "load OpenSSL's FIPS provider in openssl.cnf: see fips_module(7)"
                                 : "activate the default provider in openssl.cnf: see OPENSSL_CONF and "
                                   "config(5)");
    return BLOBSEAL_E_CONFIG;
}

/* Return true if OpenSSL's error queue mentions an allocation that failed, and clear the queue. */
static bool queue_mentions_memory(void)
{
    bool found = false;
    unsigned long e;

    while ((e = ERR_get_error()) != 0)
        found = found || (ERR_SYSTEM_ERROR(e) ? ERR_GET_REASON(e) == ENOMEM
                                              : ERR_GET_REASON(e) == ERR_GET_REASON(ERR_R_MALLOC_FAILURE));
    return found;
}

enum blobseal_status bs_openssl_failed(struct blobseal_error *err, const char *format, ...)
{
    bool no_memory = queue_mentions_memory() || bs_memory_is_exhausted();
    enum blobseal_status st = no_memory ? BLOBSEAL_OK : bs_algorithms_check(err);
    char what[320];
    va_list ap;

    if (st != BLOBSEAL_OK)
        return st;
    va_start(ap, format);
    (void)vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    return no_memory ? blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "%s: no memory", what)
                     : blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "%s: OpenSSL failed", what);
}
