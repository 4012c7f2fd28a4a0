/* SPDX-License-Identifier: Apache-2.0 */
/* AES-256-GCM with OpenSSL's EVP. It requires no CPU features, and the other entries are tested against it. */
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "simd/simd.h"

/* Fetch the cipher and set the key. The default properties of OpenSSL's default library context select the provider. */
static enum bs_gcm_status openssl_init(struct bs_gcm_key *key, const uint8_t raw[BS_GCM_KEY_LEN])
{
    EVP_CIPHER *gcm;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    enum bs_gcm_status st = BS_GCM_OK;

    (void)ERR_set_mark();
    gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    if (gcm == NULL)
        gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL); /* memory may have been short for a moment */
    (void)ERR_pop_to_mark(); /* a missing cipher must leave no errors in the queue, which the host program shares */
    if (gcm == NULL)
        st = ctx != NULL ? BS_GCM_NO_CIPHER : BS_GCM_NO_MEMORY;
    else if (ctx == NULL || EVP_CipherInit_ex2(ctx, gcm, raw, NULL, 1, NULL) != 1 ||
             EVP_CIPHER_CTX_get_iv_length(ctx) != BS_GCM_NONCE_LEN)
        st = BS_GCM_NO_MEMORY;
    EVP_CIPHER_free(gcm);
    if (st != BS_GCM_OK) {
        EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    key->state = ctx;
    return st;
}

static void openssl_clear(struct bs_gcm_key *key)
{
    EVP_CIPHER_CTX_free(key->state);
}

/* Compute the nonce of message @index: XOR the last 8 of the 12 bytes of @base with BE64(index). Source: NIST SP
 * 800-38D section 8.2.1, with C2SP's counter. */
static void make_nonce(uint8_t out[BS_GCM_NONCE_LEN], const uint8_t *base, uint64_t index)
{
    memcpy(out, base, BS_GCM_NONCE_LEN);
    for (unsigned i = 0; i < 8; i++)
        out[BS_GCM_NONCE_LEN - 1 - i] ^= (uint8_t)(index >> (8 * i));
}

/*
 * Return a pointer to @len input bytes that EVP may process into @to. EVP requires that input and output are identical
 * or do not overlap. If @from and @to overlap partially, the input is moved to @to first.
 */
static const uint8_t *avoid_overlap(uint8_t *to, const uint8_t *from, size_t len)
{
    uintptr_t a = (uintptr_t)to, b = (uintptr_t)from;

    if (a == b || (a - b >= len && b - a >= len))
        return from;
    memmove(to, from, len);
    return to;
}

static bool openssl_seal(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *sealed, const uint8_t *plain)
{
    EVP_CIPHER_CTX *ctx = key->state;
    uint8_t nonce[BS_GCM_NONCE_LEN];

    for (size_t i = 0; i < run->num; i++) {
        size_t len = bs_gcm_message_len(run, i);
        int n = 0;

        make_nonce(nonce, run->nonce, run->first + i);
        if (EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, 1, NULL) != 1 ||
            (len > 0 && (EVP_CipherUpdate(ctx, sealed, &n, avoid_overlap(sealed, plain, len), (int)len) != 1 ||
                         (size_t)n != len)) ||
            EVP_CipherFinal_ex(ctx, sealed + len, &n) != 1 ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, BS_GCM_TAG_LEN, sealed + len) != 1)
            return false;
        plain += len;
        sealed += len + BS_GCM_TAG_LEN;
    }
    return true;
}

/* Open one message, in the order that EVP documents: the tag is set before decryption, and only the result of the final
 * call decides. If another call fails, set *@failed. */
static bool open_message(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, uint8_t *plain, const uint8_t *sealed, size_t len,
                         bool *failed)
{
    uint8_t tag[BS_GCM_TAG_LEN];
    uint8_t unused[BS_GCM_TAG_LEN]; /* the final call requires a buffer but writes nothing in GCM mode */
    int n = 0;

    memcpy(tag, sealed + len, sizeof tag);
    *failed = EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, 0, NULL) != 1 ||
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) != 1 ||
              (len > 0 && (EVP_CipherUpdate(ctx, plain, &n, avoid_overlap(plain, sealed, len), (int)len) != 1 ||
                           (size_t)n != len));
    return !*failed && EVP_CipherFinal_ex(ctx, unused, &n) == 1;
}

static bool openssl_open(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *plain, const uint8_t *sealed)
{
    uint8_t nonce[BS_GCM_NONCE_LEN];
    size_t left = bs_gcm_sealed_len(run) - run->num * BS_GCM_TAG_LEN;

    for (size_t i = 0; i < run->num; i++) {
        size_t len = bs_gcm_message_len(run, i);

        make_nonce(nonce, run->nonce, run->first + i);
        if (!open_message(key->state, nonce, plain, sealed, len, &key->failed)) {
            OPENSSL_cleanse(plain, left);
            return false;
        }
        plain += len;
        left -= len;
        sealed += len + BS_GCM_TAG_LEN;
    }
    return true;
}

const struct bs_gcm_impl bs_gcm_openssl = {
    .name = "openssl",
    .init = openssl_init,
    .clear = openssl_clear,
    .seal = openssl_seal,
    .open = openssl_open,
};
