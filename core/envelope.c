/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope of a blob: a JWE with a protected header that names blob, generation and recipients, and a JWK with the
 * DEK as its content. FORMAT.md sections 4.3 to 4.6.
 */
#include <stdio.h>

#include "internal.h"
#include "kek.h"

/* ---- The protected header ------------------------------------------------------------------------------------ */

enum {
    SEEN_CTY = 1,
    SEEN_TYP = 2,
    SEEN_BS = 4,
    SEEN_V = 8,
    SEEN_BLOB = 16,
    SEEN_LAYER = 32,
    SEEN_GEN = 64,
    SEEN_RCPT = 128
};
#define SEEN_ALL 255u

/* Note that a member was seen; false if it was before. */
static bool once(struct bs_envelope *e, unsigned bit)
{
    bool first = (e->seen & bit) == 0;

    e->seen |= bit;
    return first;
}

static enum blobseal_status read_bs_member(struct bs_envelope *e, struct bs_slice name, struct bs_json *j,
                                           struct blobseal_error *err)
{
    uint64_t n;

    if (bs_slice_is(name, "v") && once(e, SEEN_V)) {
        if (bs_json_uint(j, &n) && n != 1)
            return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "envelope version %llu is not supported",
                                 (unsigned long long)n);
    } else if (bs_slice_is(name, "layer") && once(e, SEEN_LAYER)) {
        if (bs_json_uint(j, &n) && n != 1)
            return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "envelope layer %llu is not supported",
                                 (unsigned long long)n);
    } else if (bs_slice_is(name, "gen") && once(e, SEEN_GEN)) {
        if (bs_json_uint(j, &e->generation) && e->generation == 0)
            return bs_malformed(err, "generation 0");
    } else if (bs_slice_is(name, "blob") && once(e, SEEN_BLOB)) {
        if (!bs_json_fixed(j, e->blob_id, sizeof e->blob_id))
            return bs_malformed(err, "`blob` is not 16 bytes in base64url");
    } else if (bs_slice_is(name, "rcpt") && once(e, SEEN_RCPT)) {
        if (!bs_json_fixed(j, e->rcpt, sizeof e->rcpt))
            return bs_malformed(err, "`rcpt` is not 32 bytes in base64url");
    } else {
        return bs_malformed(err, "a member of `bs` is not known, or stands twice");
    }
    return BLOBSEAL_OK;
}

static enum blobseal_status read_member(void *ctx, struct bs_slice name, struct bs_json *j, struct blobseal_error *err)
{
    struct bs_envelope *e = ctx;
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_slice value;

    if (bs_slice_is(name, "cty") && once(e, SEEN_CTY)) {
        if (bs_json_string(j, &value) && !bs_slice_is(value, "jwk+json"))
            return bs_malformed(err, "`cty` is not jwk+json");
    } else if (bs_slice_is(name, "typ") && once(e, SEEN_TYP)) {
        if (bs_json_string(j, &value) && !bs_slice_is(value, "blobseal"))
            return bs_malformed(err, "`typ` is not blobseal: it is the envelope of something else");
    } else if (bs_slice_is(name, "bs") && once(e, SEEN_BS)) {
        bs_json_object(j);
        while (st == BLOBSEAL_OK && bs_json_member(j, &name))
            st = read_bs_member(e, name, j, err);
    } else {
        return bs_malformed(err, "a member of the protected header is not known, or stands twice");
    }
    return st;
}

enum blobseal_status bs_envelope_parse(struct bs_envelope *e, const char *text, size_t len, struct blobseal_error *err)
{
    const struct bs_jwe_profile profile = {.member = read_member, .ctx = e};
    enum blobseal_status st;

    *e = (struct bs_envelope){0};
    st = bs_jwe_parse(&e->jwe, text, len, &profile, err);
    if (st == BLOBSEAL_OK && e->seen != SEEN_ALL)
        st = bs_malformed(err, "the protected header lacks a member");
    return st;
}

void bs_envelope_clear(struct bs_envelope *e)
{
    bs_jwe_clear(&e->jwe);
}

/* SHA-256 over the recipients: section 4.3. */
static bool recipients_digest(uint8_t out[BS_SHA256_LEN], const struct bs_jwe *jwe)
{
    struct bs_sha256 h = bs_sha256_start();

    for (size_t i = 0; i < jwe->num; i++) {
        const struct bs_jwe_recipient *r = &jwe->recipients[i];
        const struct bs_slice parts[] = {
            {(const uint8_t *)r->alg, strlen(r->alg)},
            {(const uint8_t *)r->kid, strlen(r->kid)},
            {r->key, r->key_len},
        };

        for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) {
            uint8_t len[4];

            bs_store32(len, (uint32_t)parts[k].len);
            bs_sha256_add(&h, len, sizeof len);
            bs_sha256_add(&h, parts[k].p, parts[k].len);
        }
    }
    return bs_sha256_end(&h, out);
}

/* ---- Opening --------------------------------------------------------------------------------------------------- */

/* Room for secrets of one opening or sealing, in one secret allocation. */
struct vault {
    struct bs_jwk jwk;
    struct blobseal_secret32 cek;
    uint8_t content[];
};

enum blobseal_status bs_envelope_open(const struct bs_envelope *e, const struct bs_core_header *core,
                                      struct blobseal_kek *const *keks, size_t num_keks, struct bs_chunked_keys *keys,
                                      struct blobseal_error *err)
{
    size_t len = e->jwe.ciphertext.len;
    struct vault *v = blobseal_secret_alloc(sizeof *v + len);
    uint8_t rcpt[BS_SHA256_LEN], context[BS_CONTEXT_LEN];
    enum blobseal_status st;

    if (v == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open the envelope: no memory");
    st = bs_jwe_open(&e->jwe, false, keks, num_keks, v->content, err);
    if (st != BLOBSEAL_OK)
        goto out;
    bs_core_context(core, context);
    if (!recipients_digest(rcpt, &e->jwe)) {
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open the envelope: no memory");
    } else if (!blobseal_equal(rcpt, e->rcpt, sizeof rcpt)) {
        st = bs_not_authentic(err);
    } else if (!bs_jwk_read(&v->jwk, v->content, len) || memcmp(v->jwk.kid, core->blob_id, sizeof v->jwk.kid) != 0) {
        st = bs_malformed(err, "its content is not the key of this blob");
    } else if (!bs_chunked_derive(keys, &v->jwk.k, core->salt, context, sizeof context)) {
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "derive the keys of the blob: OpenSSL failed");
    } else if (!blobseal_equal(v->jwk.hdr, core->raw, sizeof v->jwk.hdr) ||
               !blobseal_equal(keys->commitment, core->commitment, sizeof keys->commitment)) {
        blobseal_wipe(keys, sizeof *keys);
        st = bs_not_authentic(err);
    }
out:
    blobseal_secret_free(v);
    return st;
}

/* ---- Writing --------------------------------------------------------------------------------------------------- */

static size_t write_header(char *out, size_t cap, const struct bs_core_header *core, uint64_t generation,
                           const uint8_t rcpt[BS_SHA256_LEN])
{
    struct bs_writer_cur w = bs_out((uint8_t *)out, cap);
    char number[24];

    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)generation);
    bs_put_text(&w, "{\"enc\":\"A256GCM\",\"cty\":\"jwk+json\",\"typ\":\"blobseal\",\"bs\":{\"v\":1,\"blob\":\"");
    bs_put_b64(&w, core->blob_id, sizeof core->blob_id);
    bs_put_text(&w, "\",\"layer\":1,\"gen\":");
    bs_put_text(&w, number);
    bs_put_text(&w, ",\"rcpt\":\"");
    bs_put_b64(&w, rcpt, BS_SHA256_LEN);
    bs_put_text(&w, "\"}}");
    return w.ok ? w.len : 0;
}

/* Wrap @cek for each KEK into @keys, and describe the recipients in @jwe. */
static enum blobseal_status wrap_all(struct bs_jwe *jwe, uint8_t (*keys)[BLOBSEAL_MAX_WRAPPED],
                                     struct blobseal_kek *const *keks, size_t num_keks,
                                     const struct blobseal_secret32 *cek, struct blobseal_error *err)
{
    for (size_t i = 0; i < num_keks; i++) {
        const struct blobseal_kek_info *info = bs_kek_info(keks[i]);
        enum blobseal_status st;

        for (size_t k = 0; k < i; k++)
            if (strcmp(info->kid, jwe->recipients[k].kid) == 0)
                return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "the key %.160s is given twice", info->kid);
        st = bs_kek_wrap(keks[i], keys[i], cek, err);
        if (st != BLOBSEAL_OK)
            return st;
        jwe->recipients[jwe->num++] =
            (struct bs_jwe_recipient){.alg = info->alg, .kid = info->kid, .key = keys[i], .key_len = info->wrapped_len};
    }
    return BLOBSEAL_OK;
}

enum blobseal_status bs_envelope_write(struct bs_writer_cur *out, const struct bs_core_header *core,
                                       uint64_t generation, const struct blobseal_secret32 *dek,
                                       struct blobseal_kek *const *keks, size_t num_keks, struct blobseal_error *err)
{
    uint8_t keys[BLOBSEAL_MAX_RECIPIENTS][BLOBSEAL_MAX_WRAPPED], rcpt[BS_SHA256_LEN];
    const size_t content_cap = 1024;
    struct bs_jwe jwe = {0};
    struct vault *v;
    enum blobseal_status st;
    char header[512];
    size_t header_len, content_len;

    if (num_keks == 0 || num_keks > BLOBSEAL_MAX_RECIPIENTS)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "a blob has 1 to 64 recipients, not %zu", num_keks);
    v = blobseal_secret_alloc(sizeof *v + content_cap);
    if (v == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the envelope: no memory");
    if (!blobseal_random(v->cek.b, sizeof v->cek.b, true)) {
        st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "the random number generator failed");
        goto out;
    }
    st = wrap_all(&jwe, keys, keks, num_keks, &v->cek, err);
    if (st != BLOBSEAL_OK)
        goto out;
    if (!recipients_digest(rcpt, &jwe)) {
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the envelope: no memory");
        goto out;
    }
    header_len = write_header(header, sizeof header, core, generation, rcpt);
    content_len = bs_jwk_write(v->content, content_cap, core, dek);
    st = bs_jwe_write(out, &jwe, header, header_len, &v->cek, v->content, content_len, err);
out:
    blobseal_secret_free(v);
    return st;
}
