/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and writing a JWE: RSA-OAEP-256 and RSA-OAEP keys through KEK providers, A256GCM content (RFC 7516, RFC 7518).
 * jwe_parse.c reads its text. FORMAT.md sections 4.2 and 4.6.
 */
#include <openssl/evp.h>

#include "internal.h"
#include "kek.h"

#define MAX_ATTEMPTS 8

enum blobseal_status bs_not_authentic(struct blobseal_error *err)
{
    enum blobseal_status st = blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "the blob is not authentic");

    blobseal_hint(err, "it was changed, or sealed for another key of the same name; fetch it again from its source");
    return st;
}

/* ---- A256GCM --------------------------------------------------------------------------------------------------- */

/* Encrypt (@seal) or decrypt @in, with the text of the protected header as additional data. */
static bool gcm_crypt(bool seal, const struct blobseal_secret32 *cek, const uint8_t iv[BS_IV_LEN], struct bs_slice aad,
                      uint8_t *out, struct bs_slice in, uint8_t tag[BS_GCM_TAG_LEN])
{
    EVP_CIPHER *gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t none[BS_GCM_TAG_LEN];
    int n = 0;
    bool ok = gcm != NULL && ctx != NULL && EVP_CipherInit_ex2(ctx, gcm, cek->b, iv, seal, NULL) == 1 &&
              (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, BS_GCM_TAG_LEN, tag) == 1) &&
              EVP_CipherUpdate(ctx, NULL, &n, aad.p, (int)aad.len) == 1 &&
              (in.len == 0 || EVP_CipherUpdate(ctx, out, &n, in.p, (int)in.len) == 1) &&
              EVP_CipherFinal_ex(ctx, none, &n) == 1 &&
              (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, BS_GCM_TAG_LEN, tag) == 1);

    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(gcm);
    if (!ok)
        blobseal_wipe(out, in.len);
    return ok;
}

/* ---- Opening --------------------------------------------------------------------------------------------------- */

/*
 * One attempt: unwrap and decrypt. A key that does not unwrap is replaced by a random one, so that the path is the same
 * as for a wrong key (RFC 7516 section 11.5).
 */
static enum blobseal_status attempt(const struct bs_jwe *jwe, const struct bs_jwe_recipient *r, bool bare,
                                    struct blobseal_kek *kek, struct blobseal_secret32 cek[2], uint8_t *content,
                                    struct blobseal_error *err)
{
    struct blobseal_wrapped wrapped = {r->alg, bare ? NULL : r->kid, r->key, r->key_len};
    uint8_t tag[BS_GCM_TAG_LEN];
    enum blobseal_status st;
    const struct blobseal_secret32 *use = &cek[0];

    if (!blobseal_random(&cek[1], sizeof cek[1], true))
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "the random number generator failed");
    st = bs_kek_unwrap(kek, &cek[0], &wrapped, err);
    if (st == BLOBSEAL_E_AUTH)
        use = &cek[1];
    else if (st != BLOBSEAL_OK)
        return st;
    memcpy(tag, jwe->tag, sizeof tag);
    if (!gcm_crypt(false, use, jwe->iv, jwe->protected_text, content, jwe->ciphertext, tag))
        return BLOBSEAL_E_AUTH;
    return BLOBSEAL_OK;
}

static enum blobseal_status no_key(const struct bs_jwe *jwe, struct blobseal_error *err)
{
    const char *kid = jwe->recipients[0].kid != NULL ? jwe->recipients[0].kid : "not named";
    enum blobseal_status st = blobseal_fail(err, BLOBSEAL_E_NO_KEY, 0,
                                            "no key fits: none of the keys given is for a "
                                            "recipient of this blob");

    if (jwe->num == 1)
        blobseal_hint(err, "its only recipient is %.120s", kid);
    else
        blobseal_hint(err, "it has %zu recipients, the first is %.120s", jwe->num, kid);
    return st;
}

/* Try recipients and keys until one opens, or fails for good. cek[0] and *@recipient are then those that opened. */
static enum blobseal_status search(const struct bs_jwe *jwe, bool bare, struct blobseal_kek *const *keks,
                                   size_t num_keks, struct blobseal_secret32 cek[2], uint8_t *content,
                                   size_t *recipient, struct blobseal_error *err)
{
    struct blobseal_error later = {0};
    unsigned attempts = 0;

    for (*recipient = 0; *recipient < jwe->num; ++*recipient) {
        for (size_t k = 0; k < num_keks && attempts < MAX_ATTEMPTS; k++) {
            enum blobseal_status st = attempt(jwe, &jwe->recipients[*recipient], bare, keks[k], cek, content, err);

            if (st == BLOBSEAL_E_NOT_MINE)
                continue;
            attempts++;
            if (st == BLOBSEAL_E_UNAVAILABLE || st == BLOBSEAL_E_DENIED)
                later = later.status == BLOBSEAL_OK ? *err : later;
            else if (st != BLOBSEAL_E_AUTH)
                return st;
        }
    }
    if (later.status == BLOBSEAL_OK)
        return attempts > 0 ? bs_not_authentic(err) : no_key(jwe, err);
    *err = later;
    return later.status;
}

enum blobseal_status bs_jwe_open(const struct bs_jwe *jwe, bool bare, struct blobseal_kek *const *keks, size_t num_keks,
                                 uint8_t *content, struct bs_jwe_opener *by, struct blobseal_error *err)
{
    struct blobseal_secret32 *cek = blobseal_secret_alloc(2 * sizeof *cek);
    struct blobseal_error e = {0};
    enum blobseal_status st;
    size_t recipient;

    if (cek == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open the envelope: no memory");
    st = search(jwe, bare, keks, num_keks, cek, content, &recipient, &e);
    if (st == BLOBSEAL_OK && by != NULL)
        *by = (struct bs_jwe_opener){.recipient = recipient, .cek = cek[0]};
    blobseal_secret_free(cek);
    if (st != BLOBSEAL_OK && err != NULL)
        *err = e;
    return st;
}

/* ---- Writing --------------------------------------------------------------------------------------------------- */

static void put_recipient(struct bs_builder *w, const struct bs_jwe_recipient *r)
{
    bs_put_text(w, "\"header\":{\"alg\":");
    bs_put_json_string(w, r->alg);
    bs_put_text(w, ",\"kid\":");
    bs_put_json_string(w, r->kid);
    if (r->region != NULL) {
        bs_put_text(w, ",\"region\":");
        bs_put_json_string(w, r->region);
    }
    bs_put_text(w, "},\"encrypted_key\":\"");
    bs_put_base64url(w, r->key, r->key_len);
    bs_put_text(w, "\"");
}

enum blobseal_status bs_jwe_write(struct bs_builder *out, const struct bs_jwe *jwe, const char *header,
                                  size_t header_len, const struct blobseal_secret32 *cek, const uint8_t *content,
                                  size_t content_len, struct blobseal_error *err)
{
    uint8_t iv[BS_IV_LEN], tag[BS_GCM_TAG_LEN] = {0}, ciphertext[BS_MAX_CONTENT];
    struct bs_slice aad;
    size_t start;

    if (content_len > sizeof ciphertext)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "the content of an envelope is limited to %zu bytes",
                             sizeof ciphertext);
    bs_put_text(out, "{\"protected\":\"");
    start = out->len;
    bs_put_base64url(out, header, header_len);
    if (!out->ok)
        goto full;
    aad = (struct bs_slice){out->p + start, out->len - start};
    if (!blobseal_random(iv, sizeof iv, false) ||
        !gcm_crypt(true, cek, iv, aad, ciphertext, (struct bs_slice){content, content_len}, tag))
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "encrypt the envelope: OpenSSL failed");
    bs_put_text(out, "\",");
    if (jwe->num == 1) {
        put_recipient(out, &jwe->recipients[0]);
    } else {
        bs_put_text(out, "\"recipients\":[");
        for (size_t i = 0; i < jwe->num; i++) {
            bs_put_text(out, i > 0 ? ",{" : "{");
            put_recipient(out, &jwe->recipients[i]);
            bs_put_text(out, "}");
        }
        bs_put_text(out, "]");
    }
    bs_put_text(out, ",\"iv\":\"");
    bs_put_base64url(out, iv, sizeof iv);
    bs_put_text(out, "\",\"ciphertext\":\"");
    bs_put_base64url(out, ciphertext, content_len);
    bs_put_text(out, "\",\"tag\":\"");
    bs_put_base64url(out, tag, sizeof tag);
    bs_put_text(out, "\"}");
    if (out->ok)
        return BLOBSEAL_OK;
full:
    return blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the envelope does not fit: too many recipients");
}
