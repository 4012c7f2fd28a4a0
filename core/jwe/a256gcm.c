/* SPDX-License-Identifier: Apache-2.0 */
/* AES-GCM for the content of a JWE, computed by OpenSSL. RFC 7518 section 5.3. */
#include <openssl/evp.h>

#include "core/jwe/jwe.h"

static EVP_CIPHER *fetch_cipher(size_t cek_len)
{
    if (cek_len == 16)
        return EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    return cek_len == 24 ? EVP_CIPHER_fetch(NULL, "AES-192-GCM", NULL) : bs_fetch_aes_256_gcm();
}

/* Encrypt or decrypt. Return E_AUTH only if everything worked and the tag is wrong, and E_NOMEM if OpenSSL failed. */
static enum blobseal_status crypt_content(const struct bs_a256gcm *g, bool encrypt, uint8_t *out, struct bs_slice in,
                                          uint8_t tag[BS_JWE_TAG_LEN])
{
    EVP_CIPHER *gcm = fetch_cipher(g->cek_len);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t unused[BS_JWE_TAG_LEN]; /* the final call requires a buffer but writes nothing in GCM mode */
    enum blobseal_status st = BLOBSEAL_E_NOMEM;
    int n = 0;
    bool ready = gcm != NULL && ctx != NULL && EVP_CipherInit_ex2(ctx, gcm, g->cek->b, g->iv, encrypt, NULL) == 1 &&
                 (encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, BS_JWE_TAG_LEN, tag) == 1) &&
                 EVP_CipherUpdate(ctx, NULL, &n, g->aad.p, (int)g->aad.len) == 1 &&
                 (in.len == 0 || EVP_CipherUpdate(ctx, out, &n, in.p, (int)in.len) == 1);

    if (ready && EVP_CipherFinal_ex(ctx, unused, &n) != 1)
        st = encrypt ? BLOBSEAL_E_NOMEM : BLOBSEAL_E_AUTH;
    else if (ready && (!encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, BS_JWE_TAG_LEN, tag) == 1))
        st = BLOBSEAL_OK;
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(gcm);
    if (st != BLOBSEAL_OK)
        blobseal_wipe(out, in.len);
    return st;
}

bool bs_a256gcm_encrypt(const struct bs_a256gcm *g, uint8_t *out, struct bs_slice in, uint8_t tag[BS_JWE_TAG_LEN])
{
    return crypt_content(g, true, out, in, tag) == BLOBSEAL_OK;
}

enum blobseal_status bs_a256gcm_open(const struct bs_a256gcm *g, uint8_t *out, struct bs_slice in,
                                     const uint8_t tag[BS_JWE_TAG_LEN])
{
    uint8_t copy[BS_JWE_TAG_LEN]; /* because OpenSSL's parameter is not const */

    memcpy(copy, tag, sizeof copy);
    return crypt_content(g, false, out, in, copy);
}

bool bs_a256gcm_decrypt(const struct bs_a256gcm *g, uint8_t *out, struct bs_slice in, const uint8_t tag[BS_JWE_TAG_LEN])
{
    return bs_a256gcm_open(g, out, in, tag) == BLOBSEAL_OK;
}
