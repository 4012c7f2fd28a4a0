/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Algorithms of OpenSSL that every blob needs. A search takes several locks and comparisons of strings, and sealing or
 * opening a blob of 4 KiB needs four, so what was found is kept: for each mode, because a program can switch FIPS mode
 * at any time.
 */
#include <stdatomic.h>

#include <openssl/evp.h>

#include "core/base/base.h"

enum method { METHOD_SHA256, METHOD_SHA512, METHOD_AES_256_GCM, NUM_METHODS };

static struct {
    _Atomic(void *) kept[2][NUM_METHODS]; /* without FIPS mode, and with it; NULL: not found yet      */
    _Atomic unsigned users;               /* threads between reading a pointer and taking a reference */
} methods;

static void *search(enum method m)
{
    if (m == METHOD_AES_256_GCM)
        return EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    return EVP_MD_fetch(NULL, m == METHOD_SHA256 ? "SHA256" : "SHA512", NULL);
}

static bool add_reference(enum method m, void *p)
{
    return (m == METHOD_AES_256_GCM ? EVP_CIPHER_up_ref(p) : EVP_MD_up_ref(p)) == 1;
}

static void release(enum method m, void *p)
{
    if (m == METHOD_AES_256_GCM)
        EVP_CIPHER_free(p);
    else
        EVP_MD_free(p);
}

/* Return the method that is kept, with a reference of the caller, or NULL. */
static void *take(enum method m, bool fips)
{
    void *p;

    (void)atomic_fetch_add(&methods.users, 1);
    p = atomic_load(&methods.kept[fips][m]);
    if (p != NULL && !add_reference(m, p))
        p = NULL;
    (void)atomic_fetch_sub(&methods.users, 1);
    return p;
}

/* Keep the method @p as well, unless another thread was faster, or the mode has changed meanwhile. */
static void keep(enum method m, void *p, bool fips)
{
    void *none = NULL;

    if (bs_fips_mode() == fips && add_reference(m, p) &&
        !atomic_compare_exchange_strong(&methods.kept[fips][m], &none, p))
        release(m, p);
}

static void *find(enum method m)
{
    bool fips = bs_fips_mode();
    void *p;

    if (bs_openssl_start(NULL) != BLOBSEAL_OK)
        return NULL;
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

struct evp_md_st *bs_fetch_sha512(void)
{
    return find(METHOD_SHA512);
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
