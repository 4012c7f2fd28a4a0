/* SPDX-License-Identifier: Apache-2.0 */
/* AES-256 in counter mode with OpenSSL's EVP. It requires no CPU features, and the other entries are tested against it.
 */
#include <limits.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "simd/simd.h"

/* Fetch the cipher and set the key. The default properties of OpenSSL's default library context select the provider. */
static enum bs_gcm_status openssl_init(struct bs_ctr_key *key, const uint8_t raw[BS_CTR_KEY_LEN],
                                       const uint8_t nonce[BS_CTR_NONCE_LEN])
{
    EVP_CIPHER *ctr;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    enum bs_gcm_status st = BS_GCM_OK;

    (void)ERR_set_mark();
    ctr = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL);
    if (ctr == NULL)
        ctr = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL); /* memory may have been short for a moment */
    (void)ERR_pop_to_mark(); /* a missing cipher must leave no errors in the queue, which the host program shares */
    if (ctr == NULL)
        st = ctx != NULL ? BS_GCM_NO_CIPHER : BS_GCM_NO_MEMORY;
    else if (ctx == NULL || EVP_EncryptInit_ex2(ctx, ctr, raw, nonce, NULL) != 1)
        st = BS_GCM_NO_MEMORY;
    EVP_CIPHER_free(ctr);
    if (st != BS_GCM_OK) {
        EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    key->state = ctx;
    memcpy(key->nonce, nonce, BS_CTR_NONCE_LEN);
    return st;
}

static void openssl_clear(struct bs_ctr_key *key)
{
    EVP_CIPHER_CTX_free(key->state);
}

/* Compute the counter block of block @index: the nonce plus @index, modulo 2^128. */
static void make_block(uint8_t out[BS_CTR_NONCE_LEN], const uint8_t nonce[BS_CTR_NONCE_LEN], uint64_t index)
{
    unsigned carry = 0;

    for (unsigned i = BS_CTR_NONCE_LEN; i-- > 0; index >>= 8) {
        carry += nonce[i] + (unsigned)(index & 0xFF);
        out[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

static bool openssl_crypt(struct bs_ctr_key *key, uint64_t first, uint8_t *out, const uint8_t *in, size_t len)
{
    uint8_t block[BS_CTR_NONCE_LEN];
    int n = 0;

    make_block(block, key->nonce, first);
    if (len > 0 && EVP_EncryptInit_ex2(key->state, NULL, NULL, block, NULL) != 1)
        return false;
    while (len > 0) {
        int part = len < INT_MAX / 2 ? (int)len : INT_MAX / 2;

        if (EVP_EncryptUpdate(key->state, out, &n, in, part) != 1 || n != part)
            return false;
        out += part;
        in += part;
        len -= (size_t)part;
    }
    return true;
}

const struct bs_ctr_impl bs_ctr_openssl = {
    .name = "openssl", .init = openssl_init, .clear = openssl_clear, .crypt = openssl_crypt};
