/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Algorithms of OpenSSL that every blob needs. A search takes several locks and comparisons of strings, and sealing or
 * opening a blob of 4 KiB needs four, so what was found is kept: for each mode, because a program can switch FIPS mode
 * at any time. Only what belongs to OpenSSL's global library context is kept: a thread can choose another one for
 * itself, with other providers, and free it later.
 */
#include <stdatomic.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "core/base/base.h"

enum method { METHOD_SHA256, METHOD_HMAC_SHA512, METHOD_AES_256_GCM, NUM_METHODS };

static struct {
    _Atomic(void *) kept[2][NUM_METHODS]; /* without FIPS mode, and with it; NULL: not found yet      */
    _Atomic unsigned users;               /* threads between reading a pointer and taking a reference */
} methods;

/* Return a context for HMAC with SHA-512, or NULL. */
static EVP_MAC_CTX *new_hmac(void)
{
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA512", 0),
                                 OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;

    EVP_MAC_free(mac);
    if (ctx != NULL && EVP_MAC_CTX_set_params(ctx, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static void *search(enum method m)
{
    if (m == METHOD_AES_256_GCM)
        return EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    return m == METHOD_SHA256 ? (void *)EVP_MD_fetch(NULL, "SHA256", NULL) : new_hmac();
}

/* Return another reference to a method, or a copy of a context, or NULL. */
static void *share(enum method m, void *p)
{
    if (m == METHOD_HMAC_SHA512)
        return EVP_MAC_CTX_dup(p);
    return (m == METHOD_AES_256_GCM ? EVP_CIPHER_up_ref(p) : EVP_MD_up_ref(p)) == 1 ? p : NULL;
}

static void release(enum method m, void *p)
{
    if (m == METHOD_AES_256_GCM)
        EVP_CIPHER_free(p);
    else if (m == METHOD_SHA256)
        EVP_MD_free(p);
    else
        EVP_MAC_CTX_free(p);
}

/* Return a share of what is kept, or NULL. */
static void *take(enum method m, bool fips)
{
    void *p;

    (void)atomic_fetch_add(&methods.users, 1);
    p = atomic_load(&methods.kept[fips][m]);
    if (p != NULL)
        p = share(m, p);
    (void)atomic_fetch_sub(&methods.users, 1);
    return p;
}

/* Keep a share of @p, unless another thread was faster, or the mode has changed meanwhile. */
static void keep(enum method m, void *p, bool fips)
{
    void *none = NULL, *own = bs_fips_mode() == fips ? share(m, p) : NULL;

    if (own != NULL && !atomic_compare_exchange_strong(&methods.kept[fips][m], &none, own))
        release(m, own);
}

/* Return true if the calling thread uses the global library context, which is never freed. */
static bool is_global(void)
{
    return OSSL_LIB_CTX_set0_default(NULL) == OSSL_LIB_CTX_get0_global_default(); /* NULL: change nothing */
}

static void *find(enum method m)
{
    bool fips = bs_fips_mode();
    void *p;

    if (bs_openssl_start(NULL) != BLOBSEAL_OK)
        return NULL;
    if (!is_global())
        return search(m);
    p = take(m, fips);
    if (p != NULL)
        return p;
    p = search(m);
    if (p != NULL)
        keep(m, p, fips);
    return p;
}

struct evp_md_st *bs_fetch_sha256(void)
{
    return find(METHOD_SHA256);
}

struct evp_mac_ctx_st *bs_hmac_sha512(void)
{
    return find(METHOD_HMAC_SHA512);
}

struct evp_cipher_st *bs_fetch_aes_256_gcm(void)
{
    return find(METHOD_AES_256_GCM);
}

/*
 * Release the methods when the library is unloaded. This also runs when the process exits, perhaps while threads of the
 * program still use the library: a method that one of them is about to take is left alone.
 */
__attribute__((destructor)) static void release_all(void)
{
    if (!bs_openssl_is_usable())
        return;
    for (unsigned fips = 0; fips < 2; fips++)
        for (unsigned m = 0; m < NUM_METHODS; m++) {
            void *p = atomic_exchange(&methods.kept[fips][m], NULL);

            if (p != NULL && atomic_load(&methods.users) == 0)
                release((enum method)m, p);
        }
}
