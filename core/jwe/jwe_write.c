/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a JWE from the wrapped keys of its recipients and its content. FORMAT.md sections 4.2 and 4.3. */
#include <stdlib.h>

#include "core/jwe/jwe.h"

/* ---- The recipients ---------------------------------------------------------------------------------------------- */

enum blobseal_status bs_jwe_new(struct bs_jwe *jwe, struct blobseal_error *err)
{
    *jwe = (struct bs_jwe){.buf = malloc(BLOBSEAL_MAX_ENVELOPE)};
    return jwe->buf != NULL ? BLOBSEAL_OK : blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the envelope: no memory");
}

static enum blobseal_status too_large(struct blobseal_error *err)
{
    return blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the envelope is too large: too many recipients");
}

/* Copy @len bytes, with a zero byte after them, into the buffer. Return NULL if there is no room. */
static const void *keep(struct bs_jwe *jwe, const void *p, size_t len)
{
    uint8_t *copy = jwe->buf + jwe->used;

    if (len >= BLOBSEAL_MAX_ENVELOPE - jwe->used)
        return NULL;
    memcpy(copy, p, len);
    copy[len] = '\0';
    jwe->used += len + 1;
    return copy;
}

enum blobseal_status bs_jwe_add(struct bs_jwe *jwe, const struct bs_jwe_recipient *r, struct blobseal_error *err)
{
    struct bs_jwe_recipient copy = {.key_len = r->key_len};

    if (jwe->num == BLOBSEAL_MAX_RECIPIENTS)
        return blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "a blob has at most %u recipients", BLOBSEAL_MAX_RECIPIENTS);
    copy.alg = keep(jwe, r->alg, strlen(r->alg));
    copy.kid = keep(jwe, r->kid, strlen(r->kid));
    copy.key = keep(jwe, r->key, r->key_len);
    if (copy.alg == NULL || copy.kid == NULL || copy.key == NULL)
        return too_large(err);
    jwe->recipients[jwe->num++] = copy;
    return BLOBSEAL_OK;
}

bool bs_jwe_recipients_digest(uint8_t out[BS_SHA256_LEN], const struct bs_jwe *jwe)
{
    struct bs_sha256 h = bs_sha256_start();

    for (size_t i = 0; i < jwe->num; i++) {
        const struct bs_jwe_recipient *r = &jwe->recipients[i];
        const struct bs_slice parts[] = {
            {(const uint8_t *)r->alg, strlen(r->alg)},
            {(const uint8_t *)r->kid, strlen(r->kid)},
            {r->key, r->key_len},
        };

        for (size_t k = 0; k < BS_COUNT(parts); k++) {
            uint8_t len[4];

            bs_store32(len, (uint32_t)parts[k].len);
            bs_sha256_add(&h, len, sizeof len);
            bs_sha256_add(&h, parts[k].p, parts[k].len);
        }
    }
    return bs_sha256_end(&h, out);
}

/* ---- The JWE ----------------------------------------------------------------------------------------------------- */

static void put_recipient(struct bs_builder *w, const struct bs_jwe_recipient *r)
{
    bs_put_text(w, "\"header\":{\"alg\":");
    bs_put_json_string(w, r->alg);
    bs_put_text(w, ",\"kid\":");
    bs_put_json_string(w, r->kid);
    bs_put_text(w, "},\"encrypted_key\":\"");
    bs_put_base64url(w, r->key, r->key_len);
    bs_put_text(w, "\"");
}

static void put_recipients(struct bs_builder *w, const struct bs_jwe *jwe)
{
    if (jwe->num == 1) {
        put_recipient(w, &jwe->recipients[0]);
        return;
    }
    bs_put_text(w, "\"recipients\":[");
    for (size_t i = 0; i < jwe->num; i++) {
        bs_put_text(w, i > 0 ? ",{" : "{");
        put_recipient(w, &jwe->recipients[i]);
        bs_put_text(w, "}");
    }
    bs_put_text(w, "]");
}

static void put_member(struct bs_builder *w, const char *name, const void *p, size_t len)
{
    bs_put_text(w, ",\"");
    bs_put_text(w, name);
    bs_put_text(w, "\":\"");
    bs_put_base64url(w, p, len);
    bs_put_text(w, "\"");
}

/* What is encrypted, and room for as many bytes of ciphertext. */
struct jwe_text {
    struct bs_slice content;
    uint8_t *ciphertext;
};

/* Encrypt the content, and write the JWE. */
static enum blobseal_status write_jwe(struct bs_builder *out, const struct bs_jwe *jwe, struct bs_slice header,
                                      const struct blobseal_secret32 *cek, struct jwe_text text,
                                      struct blobseal_error *err)
{
    uint8_t iv[BS_JWE_IV_LEN], tag[BS_JWE_TAG_LEN] = {0};
    struct bs_a256gcm gcm = {.cek = cek, .iv = iv};
    enum blobseal_status st;
    bool ok = false;
    size_t start;

    bs_put_text(out, "{\"protected\":\"");
    start = out->len;
    bs_put_base64url(out, header.p, header.len);
    if (out->ok) {
        gcm.aad = (struct bs_slice){out->p + start, out->len - start};
        st = bs_random(iv, sizeof iv, false, err);
        if (st != BLOBSEAL_OK)
            return st;
        for (int tries = 0; tries < 2 && !ok; tries++) /* memory may have been short for a moment */
            ok = bs_a256gcm_encrypt(&gcm, text.ciphertext, text.content, tag);
        if (!ok)
            return bs_openssl_failed(err, "encrypt the envelope");
    }
    bs_put_text(out, "\",");
    put_recipients(out, jwe);
    put_member(out, "iv", iv, sizeof iv);
    put_member(out, "ciphertext", text.ciphertext, text.content.len);
    put_member(out, "tag", tag, sizeof tag);
    bs_put_text(out, "}");
    return out->ok ? BLOBSEAL_OK : too_large(err);
}

enum blobseal_status bs_jwe_write(struct bs_builder *out, const struct bs_jwe *jwe, struct bs_slice header,
                                  const struct blobseal_secret32 *cek, struct bs_slice content,
                                  struct blobseal_error *err)
{
    uint8_t small[BS_JWE_MAX_CONTENT], *ciphertext = small;
    enum blobseal_status st;

    if (content.len > BS_JWE_MAX_LARGE)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "the content of an envelope is limited to %u bytes",
                             BS_JWE_MAX_LARGE);
    if (content.len > sizeof small)
        ciphertext = malloc(content.len);
    if (ciphertext == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the envelope: no memory");
    st = write_jwe(out, jwe, header, cek, (struct jwe_text){content, ciphertext}, err);
    if (ciphertext != small)
        free(ciphertext);
    return st;
}
