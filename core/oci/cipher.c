/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES_256_CTR_HMAC_SHA256. The key of the HMAC is the key of the cipher itself, and the HMAC covers the ciphertext and
 * nothing else: that is how ocicrypt defines it. The nonce is the whole first counter block, a big-endian number of 128
 * bits that is incremented for each block.
 */
#include "core/oci/oci.h"
#include "simd/simd.h"

struct bs_oci_cipher {
    uint32_t parts;
    struct bs_ctr_key ctr;
    struct bs_hashes hashes; /* of the ciphertext, which is their first stream, and of the plaintext */
};

_Static_assert(BS_OCI_HMAC == BS_HASHES_MAC << 1 && BS_OCI_STORED_DIGEST == BS_HASHES_FIRST << 1 &&
                   BS_OCI_PLAIN_DIGEST == BS_HASHES_OTHER << 1,
               "parts are hashes");

/* Report why an implementation could not be started. @algorithm is what it computes, as bs_no_provider() names it. */
static enum blobseal_status not_started(enum bs_gcm_status why, const char *algorithm, struct blobseal_error *err)
{
    enum blobseal_status st;

    switch (why) {
    case BS_GCM_NO_CIPHER:
        st = bs_algorithms_check(err); /* an HMAC needs SHA-256 as well */
        return st == BLOBSEAL_OK ? bs_no_provider(algorithm, err) : st;
    case BS_GCM_BROKEN:
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "start the cipher of a layer: %s fails its self-test",
                             algorithm);
    default:
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "start the cipher of a layer: no memory");
    }
}

static enum blobseal_status start(struct bs_oci_cipher *c, const struct bs_oci_key *key, uint32_t parts,
                                  struct blobseal_error *err)
{
    enum bs_gcm_status st = BS_GCM_OK;

    c->parts = parts;
    if ((parts & BS_OCI_CRYPT) != 0)
        st = bs_ctr_init(&c->ctr, key->dek, key->nonce);
    if (st != BS_GCM_OK)
        return not_started(st, "AES-256-CTR", err);
    if ((parts & ~(uint32_t)BS_OCI_CRYPT) != 0)
        st = bs_hashes_init(&c->hashes, key->dek, parts >> 1);
    return st == BS_GCM_OK ? BLOBSEAL_OK : not_started(st, "HMAC", err);
}

enum blobseal_status bs_oci_cipher_new(struct bs_oci_cipher **cipher, const struct bs_oci_key *key, uint32_t parts,
                                       struct blobseal_error *err)
{
    struct bs_oci_cipher *c;
    enum blobseal_status st = bs_openssl_start(err);

    *cipher = NULL;
    if (st != BLOBSEAL_OK)
        return st;
    c = blobseal_secret_alloc(sizeof *c);
    if (c == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "start the cipher of a layer: no memory");
    memset(c, 0, sizeof *c);
    st = start(c, key, parts, err);
    if (st == BLOBSEAL_OK)
        *cipher = c;
    else
        bs_oci_cipher_free(c);
    return st;
}

void bs_oci_cipher_free(struct bs_oci_cipher *c)
{
    if (c == NULL)
        return;
    bs_ctr_clear(&c->ctr);
    bs_hashes_clear(&c->hashes);
    blobseal_secret_free(c);
}

bool bs_oci_crypt(struct bs_oci_cipher *c, uint64_t offset, uint8_t *out, const uint8_t *in, size_t len)
{
    return bs_ctr_crypt(&c->ctr, offset / BS_OCI_NONCE_LEN, out, in, len);
}

void bs_oci_add_stored(struct bs_oci_cipher *c, const uint8_t *p, size_t len)
{
    bs_hashes_add_first(&c->hashes, p, len);
}

void bs_oci_add_plain(struct bs_oci_cipher *c, const uint8_t *p, size_t len)
{
    bs_hashes_add_other(&c->hashes, p, len);
}

void bs_oci_add_both(struct bs_oci_cipher *c, const uint8_t *stored, const uint8_t *plain, size_t len)
{
    bs_hashes_add_both(&c->hashes, stored, plain, len);
}

bool bs_oci_both_are_cheap(const struct bs_oci_cipher *c)
{
    return c->hashes.impl != NULL && bs_hashes_both_are_cheap(c->hashes.impl);
}

enum blobseal_status bs_oci_cipher_end(struct bs_oci_cipher *c, struct bs_oci_results *r, struct blobseal_error *err)
{
    struct bs_hashes_results h = {.mac = {0}};
    bool ok = c->hashes.impl == NULL || bs_hashes_end(&c->hashes, &h);

    *r = (struct bs_oci_results){0};
    if (!ok)
        return bs_openssl_failed(err, "complete the HMAC and the digests of a layer");
    memcpy(r->hmac, h.mac, sizeof r->hmac);
    memcpy(r->stored, h.first, sizeof r->stored);
    memcpy(r->plain, h.other, sizeof r->plain);
    return BLOBSEAL_OK;
}
