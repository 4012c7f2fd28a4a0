/* SPDX-License-Identifier: Apache-2.0 */
/* HMAC-SHA-256 and SHA-256 with OpenSSL's EVP. They require no CPU features, and the other entry is tested against
 * them. */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "simd/simd.h"

static EVP_MD *fetch_sha256(void)
{
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);

    return md != NULL ? md : EVP_MD_fetch(NULL, "SHA256", NULL); /* memory may have been short for a moment */
}

static EVP_MAC *fetch_hmac(void)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);

    return mac != NULL ? mac : EVP_MAC_fetch(NULL, "HMAC", NULL);
}

static void *start_digest(EVP_MD *md)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (ctx != NULL && EVP_DigestInit_ex2(ctx, md, NULL) == 1)
        return ctx;
    EVP_MD_CTX_free(ctx);
    return NULL;
}

static void *start_mac(EVP_MAC *mac, const uint8_t key[BS_HASHES_KEY_LEN])
{
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    char name[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                                 OSSL_PARAM_construct_end()};

    if (ctx != NULL && EVP_MAC_init(ctx, key, BS_HASHES_KEY_LEN, params) == 1)
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

static void openssl_clear(struct bs_hashes *h)
{
    EVP_MAC_CTX_free(h->mac);
    EVP_MD_CTX_free(h->first_md);
    EVP_MD_CTX_free(h->other_md);
}

/* Start what is wanted. The default properties of OpenSSL's default library context select the provider. */
static enum bs_gcm_status openssl_init(struct bs_hashes *h, const uint8_t key[BS_HASHES_KEY_LEN])
{
    const bool wants_mac = (h->wanted & BS_HASHES_MAC) != 0, wants_first = (h->wanted & BS_HASHES_FIRST) != 0,
               wants_other = (h->wanted & BS_HASHES_OTHER) != 0;
    EVP_MD *md;
    EVP_MAC *mac;
    enum bs_gcm_status st = BS_GCM_OK;

    (void)ERR_set_mark();
    md = fetch_sha256();
    mac = wants_mac ? fetch_hmac() : NULL;
    if (md == NULL || (mac == NULL && wants_mac)) {
        st = BS_GCM_NO_CIPHER;
    } else {
        h->mac = wants_mac ? start_mac(mac, key) : NULL;
        h->first_md = wants_first ? start_digest(md) : NULL;
        h->other_md = wants_other ? start_digest(md) : NULL;
        if ((wants_mac && h->mac == NULL) || (wants_first && h->first_md == NULL) ||
            (wants_other && h->other_md == NULL))
            st = BS_GCM_NO_MEMORY;
    }
    (void)ERR_pop_to_mark(); /* the host program shares this queue */
    EVP_MAC_free(mac);
    EVP_MD_free(md);
    return st;
}

static void openssl_add_first(struct bs_hashes *h, const uint8_t *p, size_t len)
{
    if (h->mac != NULL)
        h->failed = EVP_MAC_update(h->mac, p, len) != 1 || h->failed;
    if (h->first_md != NULL)
        h->failed = EVP_DigestUpdate(h->first_md, p, len) != 1 || h->failed;
}

static void openssl_add_other(struct bs_hashes *h, const uint8_t *p, size_t len)
{
    if (h->other_md != NULL)
        h->other_failed = EVP_DigestUpdate(h->other_md, p, len) != 1 || h->other_failed;
}

static void openssl_add_both(struct bs_hashes *h, const uint8_t *first, const uint8_t *other, size_t len)
{
    openssl_add_first(h, first, len);
    openssl_add_other(h, other, len);
}

static bool openssl_end(struct bs_hashes *h, struct bs_hashes_results *out)
{
    bool ok = !h->failed && !h->other_failed;
    size_t n = 0;

    if (h->mac != NULL)
        ok = ok && EVP_MAC_final(h->mac, out->mac, &n, sizeof out->mac) == 1 && n == sizeof out->mac;
    if (h->first_md != NULL)
        ok = ok && EVP_DigestFinal_ex(h->first_md, out->first, NULL) == 1;
    if (h->other_md != NULL)
        ok = ok && EVP_DigestFinal_ex(h->other_md, out->other, NULL) == 1;
    return ok;
}

const struct bs_hashes_impl bs_hashes_openssl = {
    .name = "openssl",
    .init = openssl_init,
    .clear = openssl_clear,
    .add_first = openssl_add_first,
    .add_other = openssl_add_other,
    .add_both = openssl_add_both,
    .end = openssl_end,
};
