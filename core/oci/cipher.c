/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES_256_CTR_HMAC_SHA256. The key of the HMAC is the key of the cipher itself, and the HMAC covers the ciphertext and
 * nothing else: that is how ocicrypt defines it. The nonce is the whole first counter block, a big-endian number of 128
 * bits that is incremented for each block.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "core/oci/oci.h"

struct bs_oci_cipher {
    uint8_t nonce[BS_OCI_NONCE_LEN];
    EVP_CIPHER_CTX *ctr;
    EVP_MAC_CTX *hmac;
    bool hmac_ok;
    uint32_t parts;
    struct bs_sha256 stored, plain;
};

/* ---- Starting ---------------------------------------------------------------------------------------------------- */

static bool start_ctr(struct bs_oci_cipher *c, const struct bs_oci_key *key)
{
    EVP_CIPHER *ctr = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL);
    bool ok;

    c->ctr = EVP_CIPHER_CTX_new();
    ok = ctr != NULL && c->ctr != NULL && EVP_EncryptInit_ex2(c->ctr, ctr, key->dek, key->nonce, NULL) == 1;
    EVP_CIPHER_free(ctr);
    memcpy(c->nonce, key->nonce, sizeof c->nonce);
    return ok;
}

static bool start_hmac(struct bs_oci_cipher *c, const struct bs_oci_key *key)
{
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};

    c->hmac = hmac != NULL ? EVP_MAC_CTX_new(hmac) : NULL;
    EVP_MAC_free(hmac);
    c->hmac_ok = c->hmac != NULL && EVP_MAC_init(c->hmac, key->dek, sizeof key->dek, params) == 1;
    return c->hmac_ok;
}

enum blobseal_status bs_oci_cipher_new(struct bs_oci_cipher **cipher, const struct bs_oci_key *key, uint32_t parts,
                                       struct blobseal_error *err)
{
    struct bs_oci_cipher *c;
    bool ok;

    *cipher = NULL;
    c = blobseal_secret_alloc(sizeof *c);
    if (c == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "start the cipher of a layer: no memory");
    memset(c, 0, sizeof *c);
    c->parts = parts;
    ok = ((parts & BS_OCI_CRYPT) == 0 || start_ctr(c, key)) && ((parts & BS_OCI_HMAC) == 0 || start_hmac(c, key));
    if ((parts & BS_OCI_STORED_DIGEST) != 0)
        c->stored = bs_sha256_start();
    if ((parts & BS_OCI_PLAIN_DIGEST) != 0)
        c->plain = bs_sha256_start();
    *cipher = c;
    if (ok)
        return BLOBSEAL_OK;
    bs_oci_cipher_free(c);
    *cipher = NULL;
    return bs_openssl_failed(err, "start the cipher of a layer");
}

void bs_oci_cipher_free(struct bs_oci_cipher *c)
{
    if (c == NULL)
        return;
    EVP_CIPHER_CTX_free(c->ctr);
    EVP_MAC_CTX_free(c->hmac);
    bs_sha256_clear(&c->stored);
    bs_sha256_clear(&c->plain);
    blobseal_secret_free(c);
}

/* ---- Pieces ------------------------------------------------------------------------------------------------------ */

/* Compute the counter block of block @index: the nonce plus @index, modulo 2^128. */
static void counter_block(uint8_t out[BS_OCI_NONCE_LEN], const uint8_t nonce[BS_OCI_NONCE_LEN], uint64_t index)
{
    unsigned carry = 0;

    for (unsigned i = BS_OCI_NONCE_LEN; i-- > 0; index >>= 8) {
        carry += nonce[i] + (unsigned)(index & 0xFF);
        out[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

bool bs_oci_crypt(struct bs_oci_cipher *c, uint64_t offset, uint8_t *p, size_t len)
{
    uint8_t block[BS_OCI_NONCE_LEN];
    int n = 0;

    if (len == 0)
        return true;
    counter_block(block, c->nonce, offset / sizeof block);
    return EVP_EncryptInit_ex2(c->ctr, NULL, NULL, block, NULL) == 1 &&
           EVP_EncryptUpdate(c->ctr, p, &n, p, (int)len) == 1 && (size_t)n == len;
}

void bs_oci_add_hmac(struct bs_oci_cipher *c, const uint8_t *p, size_t len)
{
    c->hmac_ok = c->hmac_ok && EVP_MAC_update(c->hmac, p, len) == 1;
}

void bs_oci_add_stored(struct bs_oci_cipher *c, const uint8_t *p, size_t len)
{
    bs_sha256_add(&c->stored, p, len);
}

void bs_oci_add_plain(struct bs_oci_cipher *c, const uint8_t *p, size_t len)
{
    bs_sha256_add(&c->plain, p, len);
}

enum blobseal_status bs_oci_cipher_end(struct bs_oci_cipher *c, struct bs_oci_results *r, struct blobseal_error *err)
{
    size_t n = 0;
    bool ok = true;

    *r = (struct bs_oci_results){0};
    if ((c->parts & BS_OCI_HMAC) != 0)
        ok = c->hmac_ok && EVP_MAC_final(c->hmac, r->hmac, &n, sizeof r->hmac) == 1 && n == sizeof r->hmac;
    if ((c->parts & BS_OCI_STORED_DIGEST) != 0)
        ok = bs_sha256_end(&c->stored, r->stored) && ok;
    if ((c->parts & BS_OCI_PLAIN_DIGEST) != 0)
        ok = bs_sha256_end(&c->plain, r->plain) && ok;
    if (ok)
        return BLOBSEAL_OK;
    *r = (struct bs_oci_results){0};
    return bs_openssl_failed(err, "complete the HMAC and the digests of a layer");
}
