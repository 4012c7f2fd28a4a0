/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope of a blob: a JWE whose protected header names the blob, the generation and the recipients, and whose
 * content is a JWK with the DEK. FORMAT.md sections 4.3 to 4.6.
 */
#include <stdio.h>

#include "core/envelope/envelope.h"

/* ---- The protected header ---------------------------------------------------------------------------------------- */

enum { MEMBER_BLOB, MEMBER_LAYER, MEMBER_GEN, NUM_MEMBERS };

static enum blobseal_status read_bs_member(struct bs_header *h, struct bs_slice name, struct bs_json *j,
                                           struct blobseal_error *err)
{
    struct bs_envelope *e = h->ctx;
    uint64_t n;

    if (bs_slice_is(name, "layer") && bs_header_first(h, MEMBER_LAYER)) {
        if (bs_json_uint(j, &n) && n != 1)
            return bs_other_envelope_layer(err, n);
    } else if (bs_slice_is(name, "gen") && bs_header_first(h, MEMBER_GEN)) {
        if (bs_json_uint(j, &e->generation) && e->generation == 0)
            return bs_malformed(err, "generation 0");
    } else if (bs_slice_is(name, "blob") && bs_header_first(h, MEMBER_BLOB)) {
        if (!bs_json_fixed(j, e->blob_id, sizeof e->blob_id))
            return bs_malformed(err, "`blob` is not 16 bytes in base64url");
    } else {
        return bs_header_unknown(err);
    }
    return BLOBSEAL_OK;
}

static const struct bs_header_type envelope_type = {
    .typ = "blobseal",
    .cty = "jwk+json",
    .what = "the envelope of a blob",
    .num_members = NUM_MEMBERS,
    .member = read_bs_member,
    .other_version = bs_other_envelope_version,
};

enum blobseal_status bs_envelope_parse(struct bs_envelope *e, const char *text, size_t len, struct blobseal_error *err)
{
    struct bs_header h = {.type = &envelope_type, .ctx = e};
    enum blobseal_status st;

    *e = (struct bs_envelope){0};
    st = bs_header_parse(&h, &e->jwe, text, len, err);
    memcpy(e->rcpt, h.rcpt, sizeof e->rcpt);
    if (st == BLOBSEAL_OK && e->jwe.ciphertext.len > BS_JWE_MAX_CONTENT)
        st = bs_malformed(err, "its content is longer than 8192 bytes");
    if (st == BLOBSEAL_E_FORMAT)
        st = bs_envelope_check_version(text, len, err);
    if (st != BLOBSEAL_OK)
        bs_jwe_clear(&e->jwe);
    return st;
}

void bs_envelope_clear(struct bs_envelope *e)
{
    bs_jwe_clear(&e->jwe);
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* Decode the copy of the core header in the JWK. Its commitment is checked later, like that of any core header. */
static enum blobseal_status decode_header_copy(struct bs_core_header *core, const struct bs_jwk *jwk,
                                               const uint8_t *blob_id, struct blobseal_error *err)
{
    if (bs_core_decode(core, jwk->hdr, sizeof jwk->hdr, NULL) != BLOBSEAL_OK ||
        memcmp(core->blob_id, blob_id, sizeof core->blob_id) != 0)
        return bs_malformed(err, "its copy of the core header is not valid for this blob");
    return BLOBSEAL_OK;
}

/* Parse the metadata of the JWK, and derive the keys that the DEK, the core header and the metadata lead to. */
static enum blobseal_status derive(struct bs_unlocked *u, const struct bs_core_header *core, struct blobseal_error *err)
{
    uint8_t hash[BS_SHA256_LEN], context[BS_MAX_CONTEXT_LEN];
    const struct bs_slice metadata = u->jwk.metadata_text;
    size_t len;

    if (u->jwk.has_metadata && !bs_metadata_hash(hash, metadata))
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open the envelope: no memory");
    if (u->jwk.has_metadata && !bs_metadata_read(&u->jwk.metadata, (uint8_t *)metadata.p, metadata.len))
        return bs_malformed(err, "its metadata breaks a rule of the format");
    len = bs_core_context(core, u->jwk.has_metadata ? hash : NULL, context);
    if (!bs_chunked_derive(&u->keys, &u->jwk.k, core->salt, context, len))
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "derive the keys of the blob: no memory");
    return BLOBSEAL_OK;
}

/* Check that the JWK belongs to this blob and that the core header commits to its DEK and metadata. */
static enum blobseal_status check_binding(const struct bs_envelope *e, const struct bs_core_header *core,
                                          struct bs_unlocked *u, struct blobseal_error *err)
{
    uint8_t rcpt[BS_SHA256_LEN];
    struct bs_core_header copy;
    enum blobseal_status st;

    if (!bs_jwe_recipients_digest(rcpt, &e->jwe))
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open the envelope: no memory");
    if (!blobseal_equal(rcpt, e->rcpt, sizeof rcpt))
        return bs_not_authentic(err);
    memcpy(u->text + u->content.len, u->content.p, u->content.len);
    if (!bs_jwk_read(&u->jwk, u->text + u->content.len, u->content.len) ||
        memcmp(u->jwk.kid, e->blob_id, sizeof u->jwk.kid) != 0)
        return bs_malformed(err, "its content is not the key of this blob");
    if (core == NULL) {
        st = decode_header_copy(&copy, &u->jwk, e->blob_id, err);
        if (st != BLOBSEAL_OK)
            return st;
        core = &copy;
    }
    st = derive(u, core, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (!blobseal_equal(u->jwk.hdr, core->raw, sizeof u->jwk.hdr) ||
        !blobseal_equal(u->keys.commitment, core->commitment, sizeof u->keys.commitment))
        return bs_not_authentic(err);
    return BLOBSEAL_OK;
}

enum blobseal_status bs_envelope_unlock(struct bs_unlocked **out, const struct bs_envelope *e,
                                        const struct bs_core_header *core, struct bs_keks keks,
                                        struct blobseal_error *err)
{
    const struct blobseal_call call = bs_call_for_blob(keks.call, e->blob_id);
    size_t len = e->jwe.ciphertext.len;
    struct bs_unlocked *u;
    enum blobseal_status st = bs_selftest_once(err);

    *out = NULL;
    if (st != BLOBSEAL_OK)
        return st;
    u = blobseal_secret_alloc(sizeof *u + 2 * len);
    if (u == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open the envelope: no memory");
    u->content = (struct bs_slice){u->text, len};
    keks.call = &call;
    st = bs_jwe_open(&e->jwe, false, keks, u->text, &u->by, err);
    if (st == BLOBSEAL_OK)
        st = check_binding(e, core, u, err);
    if (st == BLOBSEAL_OK)
        *out = u;
    else
        blobseal_secret_free(u);
    return st;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static size_t write_header(char *out, size_t cap, const uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN], uint64_t generation,
                           const uint8_t rcpt[BS_SHA256_LEN])
{
    struct bs_builder w = bs_builder_start((uint8_t *)out, cap);
    char number[24];

    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)generation);
    bs_header_start(&w, &envelope_type);
    bs_put_text(&w, "\"blob\":\"");
    bs_put_base64url(&w, blob_id, BLOBSEAL_BLOB_ID_LEN);
    bs_put_text(&w, "\",\"layer\":1,\"gen\":");
    bs_put_text(&w, number);
    bs_header_end(&w, rcpt);
    return w.ok ? w.len : 0;
}

enum blobseal_status bs_duplicate_key(const char *kid, struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_ARG, 0, "the key %.160s appears twice", kid);
    blobseal_hint(err, "pass each key once: the public and the private key of a pair are the same key");
    return BLOBSEAL_E_ARG;
}

enum blobseal_status bs_jwe_add_wrapped(struct bs_jwe *jwe, const struct blobseal_wrapping *w,
                                        struct blobseal_error *err)
{
    const struct bs_jwe_recipient r = {.alg = w->alg, .kid = w->kid, .key = w->key, .key_len = w->key_len};

    for (size_t i = 0; i < jwe->num; i++)
        if (strcmp(w->kid, jwe->recipients[i].kid) == 0)
            return bs_duplicate_key(w->kid, err);
    return bs_jwe_add(jwe, &r, err);
}

/* Wrap @cek with each KEK. For each, add a recipient to @jwe and, if there is a limit, a lease to @leases. */
static enum blobseal_status wrap_all(struct bs_jwe *jwe, struct bs_leases *leases, struct bs_keks keks,
                                     const struct blobseal_secret32 *cek, struct blobseal_error *err)
{
    const uint8_t *blob_id = keks.call != NULL ? keks.call->blob_id : NULL;
    uint64_t deadline_ms = 0; /* see bs_kek_limit() */

    for (size_t i = 0; i < keks.num; i++) {
        struct blobseal_call call = bs_call_for_blob(keks.call, blob_id);
        uint64_t denials = bs_kek_denials(keks.list[i]);
        struct bs_lease *lease = NULL;
        struct blobseal_wrapping w;
        enum blobseal_status st;

        bs_kek_limit(keks.list[i], &call, &deadline_ms);
        st = bs_kek_wrap(keks.list[i], &w, cek, &call, err);
        if (st == BLOBSEAL_OK)
            st = bs_jwe_add_wrapped(jwe, &w, err);
        if (st == BLOBSEAL_OK && leases != NULL)
            st = bs_lease_new(&lease, keks.list[i], &w.lease, denials, err);
        if (lease != NULL)
            leases->list[leases->num++] = lease;
        if (st != BLOBSEAL_OK)
            return st;
    }
    return BLOBSEAL_OK;
}

enum blobseal_status bs_envelope_encode(struct bs_builder *out, const struct bs_envelope *e,
                                        const struct blobseal_secret32 *cek, struct bs_slice content,
                                        struct blobseal_error *err)
{
    uint8_t rcpt[BS_SHA256_LEN];
    char header[512];
    size_t len;
    enum blobseal_status st = bs_selftest_once(err);

    if (st != BLOBSEAL_OK)
        return st;
    if (content.len > BS_JWE_MAX_CONTENT)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "the content of an envelope is limited to %u bytes",
                             BS_JWE_MAX_CONTENT);
    if (!bs_jwe_recipients_digest(rcpt, &e->jwe))
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the envelope: no memory");
    len = write_header(header, sizeof header, e->blob_id, e->generation, rcpt);
    return bs_jwe_write(out, &e->jwe, (struct bs_slice){(const uint8_t *)header, len}, cek, content, err);
}

enum blobseal_status bs_envelope_write(struct bs_builder *out, const struct bs_envelope_plan *plan, struct bs_keks keks,
                                       struct blobseal_error *err)
{
    const struct blobseal_call call = bs_call_for_blob(keks.call, plan->core->blob_id);
    struct bs_envelope e = {.generation = plan->generation};
    size_t len, cap = 1024 + BLOBSEAL_BASE64URL_LEN(plan->metadata.len);
    enum blobseal_status st;
    uint8_t *content;

    if (keks.num == 0 || keks.num > BLOBSEAL_MAX_RECIPIENTS)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "a blob has 1 to 64 recipients, not %zu", keks.num);
    content = blobseal_secret_alloc(cap);
    if (content == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the envelope: no memory");
    memcpy(e.blob_id, plan->core->blob_id, sizeof e.blob_id);
    keks.call = &call;
    st = bs_jwe_new(&e.jwe, err);
    if (st == BLOBSEAL_OK)
        st = wrap_all(&e.jwe, plan->leases, keks, plan->cek, err);
    if (st == BLOBSEAL_OK) {
        len = bs_jwk_write(content, cap, plan->core, plan->dek, plan->metadata);
        st = bs_envelope_encode(out, &e, plan->cek, (struct bs_slice){content, len}, err);
    }
    bs_envelope_clear(&e);
    blobseal_secret_free(content);
    return st;
}
