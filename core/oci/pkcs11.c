/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The annotation `pkcs11` of ocicrypt: RSAES-OAEP directly over the private options, for each recipient. Any RSA key
 * can be one, in a token or not. This library adds `kid` to each recipient; other tools ignore it.
 */
#include <stdlib.h>

#include "core/oci/keys.h"

static enum blobseal_status malformed(struct blobseal_error *err, const char *what)
{
    return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "malformed annotation pkcs11 of a layer: %s", what);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

/* Read a `version`, of which only 0 is known. Return false for another one. */
static bool read_version(struct bs_json *j)
{
    uint64_t version;

    return !bs_json_uint(j, &version) || version == 0;
}

static enum blobseal_status other_version(struct blobseal_error *err)
{
    return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "this version of the annotation pkcs11 is not supported");
}

/* Read `hash`. Old writers leave it out, or write "", for SHA-1. */
static enum blobseal_status read_hash(struct bs_json *j, struct bs_oci_blob *b, struct blobseal_error *err)
{
    struct bs_slice hash;

    if (!bs_json_string(j, &hash))
        return BLOBSEAL_OK; /* bs_json_end() reports the error */
    if (bs_slice_is(hash, "sha256"))
        b->alg = "RSA-OAEP-256";
    else if (!bs_slice_is(hash, "sha1") && hash.len > 0)
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "the hash %.32s of the annotation pkcs11 is not supported",
                             (const char *)hash.p);
    return BLOBSEAL_OK;
}

static enum blobseal_status read_recipient(struct bs_json *j, struct bs_oci_blob *b, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_slice name, value;

    *b = (struct bs_oci_blob){.alg = "RSA-OAEP"};
    bs_json_object(j);
    while (st == BLOBSEAL_OK && bs_json_member(j, &name)) {
        if (bs_slice_is(name, "version")) {
            st = read_version(j) ? BLOBSEAL_OK : other_version(err);
        } else if (bs_slice_is(name, "hash")) {
            st = read_hash(j, b, err);
        } else if (bs_slice_is(name, "blob") && b->blob.p == NULL) {
            bs_oci_read_bytes(j, &b->blob);
        } else if (bs_slice_is(name, "kid") && b->kid == NULL) {
            if (bs_json_string(j, &value) && bs_is_token((const char *)value.p, BLOBSEAL_MAX_KID) &&
                strlen((const char *)value.p) == value.len)
                b->kid = (const char *)value.p;
        } else if (bs_slice_is(name, "blob") || bs_slice_is(name, "kid")) {
            return malformed(err, "a member appears twice");
        } else {
            bs_json_skip(j);
        }
    }
    if (st == BLOBSEAL_OK && j->ok && (b->blob.len == 0 || b->blob.len > BS_JWE_MAX_KEY))
        return malformed(err, "a recipient has no wrapped key");
    return st;
}

static enum blobseal_status read_list(struct bs_json *j, struct bs_oci_blobs *blobs, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    if (blobs->num > 0)
        return malformed(err, "`recipients` appears twice");
    bs_json_array(j);
    while (st == BLOBSEAL_OK && bs_json_element(j)) {
        if (blobs->num == BLOBSEAL_MAX_RECIPIENTS)
            return malformed(err, "it has more than 64 recipients");
        st = read_recipient(j, &blobs->list[blobs->num++], err);
    }
    return st;
}

enum blobseal_status bs_oci_blobs_parse(struct bs_oci_blobs *blobs, struct bs_slice text, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_slice name;
    struct bs_json j;

    *blobs = (struct bs_oci_blobs){.buf = malloc(text.len + 1)};
    if (blobs->buf == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the wrapped key of a layer: no memory");
    memcpy(blobs->buf, text.p, text.len);
    j = bs_json_start(blobs->buf, text.len);
    j.lenient = true;
    bs_json_object(&j);
    while (st == BLOBSEAL_OK && bs_json_member(&j, &name)) {
        if (bs_slice_is(name, "version"))
            st = read_version(&j) ? BLOBSEAL_OK : other_version(err);
        else if (bs_slice_is(name, "recipients"))
            st = read_list(&j, blobs, err);
        else
            bs_json_skip(&j);
    }
    if (st == BLOBSEAL_OK && (!bs_json_end(&j) || blobs->num == 0))
        st = malformed(err, "it is not JSON with recipients");
    return st;
}

void bs_oci_blobs_clear(struct bs_oci_blobs *blobs)
{
    free(blobs->buf);
    *blobs = (struct bs_oci_blobs){0};
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static void put_recipient(struct bs_builder *w, const struct blobseal_wrapping *b, bool first)
{
    bs_put_text(w, first ? "{\"version\":0,\"blob\":\"" : ",{\"version\":0,\"blob\":\"");
    bs_put_base64(w, b->key, b->key_len);
    bs_put_text(w, "\",\"hash\":\"");
    bs_put_text(w, strcmp(b->alg, "RSA-OAEP") == 0 ? "sha1" : "sha256");
    bs_put_text(w, "\",\"kid\":");
    bs_put_json_string(w, b->kid);
    bs_put_text(w, "}");
}

/* Write the options without their digest, which needs the room for two thirds of them. */
static enum blobseal_status shorten(struct bs_builder *w, struct bs_slice options, struct blobseal_error *err)
{
    struct bs_oci_opened *copy = blobseal_secret_alloc(sizeof *copy);
    enum blobseal_status st;

    if (copy == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "wrap the key of a layer: no memory");
    memcpy(copy->text, options.p, options.len);
    st = bs_oci_private_read(&copy->key, copy->text, options.len, err);
    if (st == BLOBSEAL_OK)
        bs_oci_private_write(w, &copy->key, "");
    blobseal_secret_free(copy);
    return st;
}

static enum blobseal_status encrypt(struct bs_builder *w, struct bs_slice options, struct bs_builder *brief,
                                    struct bs_keks keks, struct blobseal_error *err)
{
    struct blobseal_wrapping *b = calloc(1, sizeof *b);
    enum blobseal_status st = BLOBSEAL_OK;

    if (b == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "wrap the key of a layer: no memory");
    for (size_t i = 0; i < keks.num && st == BLOBSEAL_OK; i++) {
        size_t room = bs_kek_max_message(keks.list[i]);
        struct bs_slice message = options.len <= room ? options : (struct bs_slice){brief->p, brief->len};

        if (message.len > room)
            st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the key %.160s is too short for the annotation pkcs11",
                               bs_kek_info(keks.list[i])->kid);
        else
            st = bs_kek_encrypt(keks.list[i], b, message, keks.call, err);
        if (st == BLOBSEAL_OK)
            put_recipient(w, b, i == 0);
    }
    free(b);
    return st;
}

enum blobseal_status bs_oci_seal_blobs(struct bs_oci_output *out, struct bs_slice options, struct bs_keks keks,
                                       struct blobseal_error *err)
{
    struct bs_builder w = bs_builder_start(malloc(BLOBSEAL_MAX_ENVELOPE), BLOBSEAL_MAX_ENVELOPE);
    struct bs_builder brief = bs_builder_start(blobseal_secret_alloc(BS_OCI_MAX_OPTIONS), BS_OCI_MAX_OPTIONS);
    enum blobseal_status st = BLOBSEAL_OK;

    if (w.p == NULL || brief.p == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "wrap the key of a layer: no memory");
    if (st == BLOBSEAL_OK)
        st = shorten(&brief, options, err);
    if (st == BLOBSEAL_OK) {
        bs_put_text(&w, "{\"version\":0,\"recipients\":[");
        st = encrypt(&w, options, &brief, keks, err);
        bs_put_text(&w, "]}");
    }
    if (st == BLOBSEAL_OK && !w.ok)
        st = blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the annotation pkcs11 is too large: too many recipients");
    if (st == BLOBSEAL_OK)
        bs_oci_output_bytes(out, bs_oci_annotation_key(BS_OCI_PKCS11), (struct bs_slice){w.p, w.len});
    free(w.p);
    blobseal_secret_free(brief.p);
    return st;
}
