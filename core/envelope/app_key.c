/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of applications: 32-byte secrets that an application wraps with a KEK for its own use. Type and purpose are in
 * the authenticated header, so that neither can be taken for the envelope of a blob or for another key. FORMAT.md
 * section 10.
 */
#include <stdlib.h>

#include "core/envelope/envelope.h"

#define MAX_JWE 8192 /* of what is written: one recipient, whose wrapped key has at most 4096 bytes */

/* ---- The protected header ---------------------------------------------------------------------------------------- */

enum { MEMBER_PURPOSE, NUM_MEMBERS };

struct app_key {
    struct bs_jwe jwe;
    const char *purpose; /* that the caller expects */
    uint8_t rcpt[BS_SHA256_LEN];
};

/* Report that the purpose is another one. Return E_FORMAT. */
static enum blobseal_status wrong_purpose(const struct app_key *k, struct bs_slice purpose, struct blobseal_error *err)
{
    enum blobseal_status st = blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "the wrapped key is for %.64s, not for %.64s",
                                            (const char *)purpose.p, k->purpose);

    blobseal_hint(err, "pass the key that was wrapped for this purpose");
    return st;
}

static enum blobseal_status read_bs_member(struct bs_header *h, struct bs_slice name, struct bs_json *j,
                                           struct blobseal_error *err)
{
    const struct app_key *k = h->ctx;
    struct bs_slice value;

    if (!bs_slice_is(name, "purpose") || !bs_header_first(h, MEMBER_PURPOSE))
        return bs_header_unknown(err);
    if (bs_json_string(j, &value) && !bs_slice_is(value, k->purpose))
        return wrong_purpose(k, value, err);
    return BLOBSEAL_OK;
}

static enum blobseal_status other_version(struct blobseal_error *err, uint64_t version)
{
    return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "version %llu of a wrapped key is not supported",
                         (unsigned long long)version);
}

static const struct bs_header_type app_key_type = {
    .typ = "blobseal-key",
    .cty = "jwk+json",
    .what = "the wrapped key of an application",
    .num_members = NUM_MEMBERS,
    .member = read_bs_member,
    .other_version = other_version,
};

static enum blobseal_status parse(struct app_key *k, const char *text, size_t len, struct blobseal_error *err)
{
    struct bs_header h = {.type = &app_key_type, .ctx = k};
    enum blobseal_status st = bs_header_parse(&h, &k->jwe, text, len, err);

    memcpy(k->rcpt, h.rcpt, sizeof k->rcpt);
    return st;
}

static size_t write_header(char *out, size_t cap, const char *purpose, const uint8_t rcpt[BS_SHA256_LEN])
{
    struct bs_builder w = bs_builder_start((uint8_t *)out, cap);

    bs_header_start(&w, &app_key_type);
    bs_put_text(&w, "\"purpose\":");
    bs_put_json_string(&w, purpose);
    bs_header_end(&w, rcpt);
    return w.ok ? w.len : 0;
}

/* ---- The content ------------------------------------------------------------------------------------------------- */

/* Parse the JWK in place. Return false if it breaks a rule of section 10. */
static bool read_jwk(struct blobseal_secret32 *secret, uint8_t *text, size_t len)
{
    struct bs_json j = bs_json_start(text, len);
    bool kty = false, k = false, ok = true;
    struct bs_slice name, value;

    bs_json_object(&j);
    while (ok && bs_json_member(&j, &name)) {
        if (bs_slice_is(name, "kty") && !kty)
            ok = kty = bs_json_string(&j, &value) && bs_slice_is(value, "oct");
        else if (bs_slice_is(name, "k") && !k)
            ok = k = bs_json_fixed(&j, secret->b, sizeof secret->b);
        else
            ok = false;
    }
    return ok && bs_json_end(&j) && kty && k;
}

static size_t write_jwk(uint8_t *out, size_t cap, const struct blobseal_secret32 *secret)
{
    struct bs_builder w = bs_builder_start(out, cap);

    bs_put_text(&w, "{\"kty\":\"oct\",\"k\":\"");
    bs_put_base64url(&w, secret->b, sizeof secret->b);
    bs_put_text(&w, "\"}");
    return w.ok ? w.len : 0;
}

static enum blobseal_status check_purpose(const char *purpose, struct blobseal_error *err)
{
    return purpose != NULL && bs_is_token(purpose, BLOBSEAL_MAX_PURPOSE)
               ? BLOBSEAL_OK
               : blobseal_fail(err, BLOBSEAL_E_ARG, 0, "a purpose is 1 to %u characters from '!' to '~'",
                               BLOBSEAL_MAX_PURPOSE);
}

/* ---- Wrapping ---------------------------------------------------------------------------------------------------- */

/* The secrets of a wrapped key while it is made, in one allocation. */
struct secrets {
    struct blobseal_secret32 cek;
    uint8_t content[128];
};

static enum blobseal_status encode(struct bs_builder *out, const struct bs_jwe *jwe, const char *purpose,
                                   struct secrets *s, const struct blobseal_secret32 *secret,
                                   struct blobseal_error *err)
{
    uint8_t rcpt[BS_SHA256_LEN];
    char header[512];
    struct bs_slice protected = {.p = (const uint8_t *)header}, content = {.p = s->content};

    if (!bs_jwe_recipients_digest(rcpt, jwe))
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "wrap a key: no memory");
    protected.len = write_header(header, sizeof header, purpose, rcpt);
    content.len = write_jwk(s->content, sizeof s->content, secret);
    return bs_jwe_write(out, jwe, protected, &s->cek, content, err);
}

/* NOLINTNEXTLINE(readability-function-size): no two of the seven belong together */
enum blobseal_status blobseal_kek_wrap(struct blobseal_kek *kek, const char *purpose,
                                       const struct blobseal_secret32 *secret,
                                       const struct blobseal_call_options *options, char **jwe, size_t *jwe_len,
                                       struct blobseal_error *err)
{
    struct blobseal_call call;
    struct bs_builder out = bs_builder_start(malloc(MAX_JWE + 1), MAX_JWE);
    struct secrets *s = blobseal_secret_alloc(sizeof *s);
    struct blobseal_wrapping *w = calloc(1, sizeof *w);
    struct bs_jwe one = {.num = 1};
    enum blobseal_status st = check_purpose(purpose, err);

    *jwe = NULL;
    *jwe_len = 0;
    if (st == BLOBSEAL_OK)
        st = bs_call_import(&call, options, "wrap a key", err);
    if (st == BLOBSEAL_OK)
        st = bs_selftest_once(err);
    if (out.p == NULL || s == NULL || w == NULL) {
        st = st != BLOBSEAL_OK ? st : blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "wrap a key: no memory");
        goto out;
    }
    if (st == BLOBSEAL_OK)
        st = bs_random(s->cek.b, sizeof s->cek.b, true, err);
    if (st == BLOBSEAL_OK)
        st = bs_kek_wrap(kek, w, &s->cek, &call, err);
    if (st == BLOBSEAL_OK) {
        one.recipients[0] =
            (struct bs_jwe_recipient){.alg = w->alg, .kid = w->kid, .key = w->key, .key_len = w->key_len};
        st = encode(&out, &one, purpose, s, secret, err);
    }
out:
    blobseal_secret_free(s);
    free(w);
    if (st != BLOBSEAL_OK || out.p == NULL) {
        free(out.p);
        return st;
    }
    out.p[out.len] = '\0';
    *jwe = (char *)out.p;
    *jwe_len = out.len;
    return BLOBSEAL_OK;
}

/* ---- Unwrapping -------------------------------------------------------------------------------------------------- */

/* Say what failed in terms of a wrapped key, where the text of bs_jwe_open() is about a blob. Return @st. */
static enum blobseal_status reword(enum blobseal_status st, struct blobseal_error *err)
{
    if (st == BLOBSEAL_E_AUTH) {
        (void)blobseal_fail(err, st, 0, "the wrapped key is not authentic");
        blobseal_hint(err, "it was modified, or wrapped for another key with the same key id; restore it");
    } else if (st == BLOBSEAL_E_NO_KEY) {
        (void)blobseal_fail(err, st, 0,
                            "no key fits: none of the given keys belongs to a recipient of the wrapped key");
    }
    return st;
}

static enum blobseal_status open_content(const struct app_key *k, struct bs_keks keks, struct blobseal_secret32 *secret,
                                         struct blobseal_error *err)
{
    size_t len = k->jwe.ciphertext.len;
    uint8_t *content = blobseal_secret_alloc(len > 0 ? len : 1), rcpt[BS_SHA256_LEN];
    enum blobseal_status st;

    if (content == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "unwrap a key: no memory");
    st = bs_jwe_open(&k->jwe, false, keks, content, NULL, err);
    if (st == BLOBSEAL_OK && !bs_jwe_recipients_digest(rcpt, &k->jwe))
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "unwrap a key: no memory");
    if (st == BLOBSEAL_OK && !blobseal_equal(rcpt, k->rcpt, sizeof rcpt))
        st = BLOBSEAL_E_AUTH;
    if (st == BLOBSEAL_OK && !read_jwk(secret, content, len))
        st = bs_malformed(err, "its content is not a JWK with a key of 32 bytes and nothing else");
    blobseal_secret_free(content);
    return reword(st, err);
}

/* NOLINTNEXTLINE(readability-function-size): no two of the eight belong together */
enum blobseal_status blobseal_kek_unwrap(struct blobseal_kek *const *keks, size_t num_keks, const char *purpose,
                                         const char *jwe, size_t jwe_len, const struct blobseal_call_options *options,
                                         struct blobseal_secret32 *secret, struct blobseal_error *err)
{
    struct app_key k = {.purpose = purpose};
    struct blobseal_call call;
    enum blobseal_status st = check_purpose(purpose, err);

    if (st == BLOBSEAL_OK)
        st = bs_call_import(&call, options, "unwrap a key", err);
    if (st == BLOBSEAL_OK)
        st = bs_selftest_once(err);
    if (st == BLOBSEAL_OK)
        st = parse(&k, jwe, jwe_len, err);
    if (st == BLOBSEAL_OK)
        st = open_content(&k, (struct bs_keks){keks, num_keks, &call}, secret, err);
    bs_jwe_clear(&k.jwe);
    if (st != BLOBSEAL_OK)
        blobseal_wipe(secret, sizeof *secret);
    return st;
}
