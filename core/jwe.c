/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JWE in JSON serialization (RFC 7516 section 7.2), flattened and general, strict and bounded: RSA-OAEP-256 and
 * RSA-OAEP keys through KEK providers, A256GCM content. What the protected header says beyond `enc` is its user's
 * affair (envelope.c). FORMAT.md section 4.
 */
#include <stdlib.h>

#include <openssl/evp.h>

#include "internal.h"
#include "kek.h"

#define MAX_ATTEMPTS 8

enum blobseal_status bs_malformed(struct blobseal_error *err, const char *what)
{
    return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "malformed envelope: %s", what);
}

enum blobseal_status bs_not_authentic(struct blobseal_error *err)
{
    enum blobseal_status st = blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "the blob is not authentic");

    blobseal_hint(err, "it was changed, or sealed for another key of the same name; fetch it again from its source");
    return st;
}

/* ---- Reading --------------------------------------------------------------------------------------------------- */

/* Decode a base64url string in place. */
static bool decode_b64(struct bs_slice *s)
{
    uint8_t *p = (uint8_t *)s->p; /* points into jwe->buf, which is ours */
    size_t len;

    if (!blobseal_b64_decode(p, s->len, &len, (const char *)s->p, s->len))
        return false;
    s->len = len;
    return true;
}

/* A key id or hint: visible ASCII, of limited length. */
static bool is_token(struct bs_slice s, size_t max)
{
    if (s.len == 0 || s.len > max)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < '!' || s.p[i] > '~')
            return false;
    return true;
}

static enum blobseal_status set_alg(const char **alg, struct bs_slice s, struct blobseal_error *err)
{
    if (*alg != NULL)
        return bs_malformed(err, "`alg` stands twice");
    if (bs_slice_is(s, "RSA-OAEP-256") || bs_slice_is(s, "RSA-OAEP")) {
        *alg = (const char *)s.p;
        return BLOBSEAL_OK;
    }
    if (bs_slice_is(s, "A256KW"))
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0,
                             "key algorithm A256KW (a key of an encryption set) is not supported");
    if (bs_slice_is(s, "RSA1_5"))
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0,
                             "key algorithm RSA1_5 (PKCS #1 v1.5 padding) is refused: its padding is unsafe");
    if (bs_slice_is(s, "dir"))
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "key algorithm dir (a shared key) is refused");
    if (s.len > 6 && memcmp(s.p, "PBES2-", 6) == 0)
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0,
                             "key algorithm %.32s (a password) is refused: use an RSA key", (const char *)s.p);
    if (s.len >= 4 && memcmp(s.p, "ECDH", 4) == 0)
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0,
                             "key algorithm %.32s (elliptic curves) is refused: use an RSA key", (const char *)s.p);
    return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "key algorithm %.32s is not supported", (const char *)s.p);
}

static enum blobseal_status set_kid(const char **kid, struct bs_slice s, struct blobseal_error *err)
{
    if (*kid != NULL)
        return bs_malformed(err, "`kid` stands twice");
    if (!is_token(s, BLOBSEAL_MAX_KID))
        return bs_malformed(err, "a `kid` is empty, too long, or has characters that none has");
    *kid = (const char *)s.p;
    return BLOBSEAL_OK;
}

/* The `header` of one recipient. */
static enum blobseal_status parse_recipient_header(struct bs_json *j, struct bs_jwe_recipient *r,
                                                   struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_slice name, value;

    bs_json_object(j);
    while (st == BLOBSEAL_OK && bs_json_member(j, &name)) {
        if (!bs_json_string(j, &value))
            break;
        if (bs_slice_is(name, "alg")) {
            st = set_alg(&r->alg, value, err);
        } else if (bs_slice_is(name, "kid")) {
            st = set_kid(&r->kid, value, err);
        } else if (bs_slice_is(name, "region")) {
            if (r->region != NULL || !is_token(value, BLOBSEAL_MAX_REGION))
                return bs_malformed(err, "a `region` is not a short word, or stands twice");
            r->region = (const char *)value.p;
        } else {
            return bs_malformed(err, "a member of a recipient's header is not known");
        }
    }
    return st;
}

static enum blobseal_status set_encrypted_key(struct bs_json *j, struct bs_jwe_recipient *r, struct blobseal_error *err)
{
    struct bs_slice s;

    if (!bs_json_string(j, &s))
        return BLOBSEAL_OK; /* the fault is in @j */
    if (r->key != NULL || !decode_b64(&s))
        return bs_malformed(err, "an `encrypted_key` is not one value in base64url");
    r->key = s.p;
    r->key_len = s.len;
    return BLOBSEAL_OK;
}

/* Both forms have `header` and `encrypted_key`: in the JWE itself, or in each element of `recipients`. */
enum {
    SEEN_PROTECTED = 1,
    SEEN_IV = 2,
    SEEN_CIPHERTEXT = 4,
    SEEN_TAG = 8,
    SEEN_ALL = 15,
    SEEN_HEADER = 16,
    SEEN_LIST = 32
};

static enum blobseal_status parse_recipients(struct bs_json *j, struct bs_jwe *jwe, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    bs_json_array(j);
    while (st == BLOBSEAL_OK && bs_json_element(j)) {
        struct bs_jwe_recipient *r;
        struct bs_slice name;
        bool header = false;

        if (jwe->num == BLOBSEAL_MAX_RECIPIENTS)
            return bs_malformed(err, "more than 64 recipients");
        r = &jwe->recipients[jwe->num++];
        bs_json_object(j);
        while (st == BLOBSEAL_OK && bs_json_member(j, &name)) {
            if (bs_slice_is(name, "header") && !header) {
                header = true;
                st = parse_recipient_header(j, r, err);
            } else if (bs_slice_is(name, "encrypted_key")) {
                st = set_encrypted_key(j, r, err);
            } else {
                return bs_malformed(err, "a member of a recipient is not known, or stands twice");
            }
        }
    }
    if (st == BLOBSEAL_OK && j->ok && jwe->num == 0)
        return bs_malformed(err, "`recipients` is empty");
    return st;
}

static enum blobseal_status set_fixed(struct bs_json *j, uint8_t *out, size_t len, const char *problem,
                                      struct blobseal_error *err)
{
    struct bs_slice s;

    if (!bs_json_string(j, &s))
        return BLOBSEAL_OK;
    if (!decode_b64(&s) || s.len != len)
        return bs_malformed(err, problem);
    memcpy(out, s.p, len);
    return BLOBSEAL_OK;
}

/* One member of the JWE. @one is the recipient of the flattened form. */
static enum blobseal_status parse_member(struct bs_json *j, struct bs_slice name, struct bs_jwe *jwe,
                                         struct bs_jwe_recipient *one, unsigned *seen, struct blobseal_error *err)
{
    static const struct {
        const char *name;
        unsigned bit;
    } members[] = {
        {"protected", SEEN_PROTECTED}, {"iv", SEEN_IV},           {"ciphertext", SEEN_CIPHERTEXT}, {"tag", SEEN_TAG},
        {"header", SEEN_HEADER},       {"recipients", SEEN_LIST},
    };
    unsigned bit = 0;

    if (bs_slice_is(name, "encrypted_key"))
        return set_encrypted_key(j, one, err);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (bs_slice_is(name, members[i].name))
            bit = members[i].bit;
    if (bit == 0 || (*seen & bit) != 0)
        return bs_malformed(err, "a member is not known, or stands twice");
    *seen |= bit;
    switch (bit) {
    case SEEN_PROTECTED:
        bs_json_string(j, &jwe->protected_text);
        return BLOBSEAL_OK;
    case SEEN_IV:
        return set_fixed(j, jwe->iv, sizeof jwe->iv, "`iv` is not 12 bytes in base64url", err);
    case SEEN_TAG:
        return set_fixed(j, jwe->tag, sizeof jwe->tag, "`tag` is not 16 bytes in base64url", err);
    case SEEN_CIPHERTEXT:
        if (bs_json_string(j, &jwe->ciphertext) && !decode_b64(&jwe->ciphertext))
            return bs_malformed(err, "`ciphertext` is not base64url");
        return BLOBSEAL_OK;
    case SEEN_HEADER:
        return parse_recipient_header(j, one, err);
    default:
        return parse_recipients(j, jwe, err);
    }
}

/* The JWE object, without a look into the protected header. */
static enum blobseal_status parse_object(struct bs_jwe *jwe, size_t len, bool bare, struct blobseal_error *err)
{
    struct bs_json j = bs_json_start(jwe->buf, len);
    struct bs_jwe_recipient one = {0};
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_slice name;
    unsigned seen = 0;

    bs_json_object(&j);
    while (st == BLOBSEAL_OK && bs_json_member(&j, &name))
        st = parse_member(&j, name, jwe, &one, &seen, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (!bs_json_end(&j))
        return bs_malformed(err, "not one JSON object of strict form");
    if ((seen & SEEN_ALL) != SEEN_ALL)
        return bs_malformed(err, "`protected`, `iv`, `ciphertext` or `tag` is missing");
    if ((seen & SEEN_LIST) != 0)
        return (seen & SEEN_HEADER) != 0 || one.key != NULL ? bs_malformed(err, "it is flattened and general at once")
                                                            : BLOBSEAL_OK;
    if (!bare && (seen & SEEN_HEADER) == 0)
        return bs_malformed(err, "`header` is missing");
    jwe->recipients[jwe->num++] = one;
    return BLOBSEAL_OK;
}

/* What a bare JWE may say of its keys in the protected header. */
struct shared_names {
    const char *alg, *kid;
};

static enum blobseal_status parse_protected_member(struct bs_json *j, struct bs_slice name, bool *enc,
                                                   struct shared_names *shared, const struct bs_jwe_profile *profile,
                                                   struct blobseal_error *err)
{
    struct bs_slice value;

    if (bs_slice_is(name, "enc") && !*enc) {
        *enc = true;
        if (bs_json_string(j, &value) && !bs_slice_is(value, "A256GCM"))
            return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "content encryption %.32s is not supported",
                                 (const char *)value.p);
        return BLOBSEAL_OK;
    }
    if (profile->bare && bs_slice_is(name, "alg"))
        return bs_json_string(j, &value) ? set_alg(&shared->alg, value, err) : BLOBSEAL_OK;
    if (profile->bare && bs_slice_is(name, "kid"))
        return bs_json_string(j, &value) ? set_kid(&shared->kid, value, err) : BLOBSEAL_OK;
    if (profile->member != NULL)
        return profile->member(profile->ctx, name, j, err);
    return bs_malformed(err, "a member of the protected header is not known, or stands twice");
}

static enum blobseal_status spread(struct bs_jwe *jwe, const struct shared_names *shared, struct blobseal_error *err)
{
    for (size_t i = 0; i < jwe->num; i++) {
        struct bs_jwe_recipient *r = &jwe->recipients[i];

        if ((shared->alg != NULL && r->alg != NULL) || (shared->kid != NULL && r->kid != NULL))
            return bs_malformed(err, "`alg` or `kid` stands in two headers");
        r->alg = r->alg != NULL ? r->alg : shared->alg;
        r->kid = r->kid != NULL ? r->kid : shared->kid;
    }
    return BLOBSEAL_OK;
}

/* The protected header, decoded into @header. */
static enum blobseal_status parse_protected(struct bs_jwe *jwe, uint8_t *header, size_t cap,
                                            const struct bs_jwe_profile *profile, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    struct shared_names shared = {0};
    struct bs_slice name;
    struct bs_json j;
    bool enc = false;
    size_t len;

    if (!blobseal_b64_decode(header, cap, &len, (const char *)jwe->protected_text.p, jwe->protected_text.len))
        return bs_malformed(err, "`protected` is not base64url");
    j = bs_json_start(header, len);
    bs_json_object(&j);
    while (st == BLOBSEAL_OK && bs_json_member(&j, &name))
        st = parse_protected_member(&j, name, &enc, &shared, profile, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (!bs_json_end(&j) || !enc)
        return bs_malformed(err, "the protected header is not a JSON object of strict form with `enc`");
    return spread(jwe, &shared, err);
}

static enum blobseal_status check_recipients(const struct bs_jwe *jwe, bool bare, struct blobseal_error *err)
{
    for (size_t i = 0; i < jwe->num; i++) {
        const struct bs_jwe_recipient *r = &jwe->recipients[i];

        if (r->alg == NULL || (r->kid == NULL && !bare))
            return bs_malformed(err, "a recipient lacks `alg` or `kid`");
        if (r->key_len != 256 && r->key_len != 384 && r->key_len != 512) /* only now is the algorithm known */
            return bs_malformed(err, "an `encrypted_key` is missing or has not the length of an RSA modulus");
        for (size_t k = 0; k < i && r->kid != NULL && !bare; k++)
            if (strcmp(r->kid, jwe->recipients[k].kid) == 0)
                return bs_malformed(err, "two recipients have one `kid`");
    }
    return BLOBSEAL_OK;
}

enum blobseal_status bs_jwe_parse(struct bs_jwe *jwe, const char *text, size_t len,
                                  const struct bs_jwe_profile *profile, struct blobseal_error *err)
{
    enum blobseal_status st;

    *jwe = (struct bs_jwe){0};
    if (len > BLOBSEAL_MAX_ENVELOPE)
        return bs_malformed(err, "more than 65,512 bytes");
    /* The text, which is unescaped and decoded in place, and behind it room for the protected header. */
    jwe->buf = malloc(2 * len + 1);
    if (jwe->buf == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "parse the envelope: no memory");
    if (len > 0)
        memcpy(jwe->buf, text, len);
    st = parse_object(jwe, len, profile->bare, err);
    if (st == BLOBSEAL_OK)
        st = parse_protected(jwe, jwe->buf + len, len, profile, err);
    if (st == BLOBSEAL_OK)
        st = check_recipients(jwe, profile->bare, err);
    return st;
}

void bs_jwe_clear(struct bs_jwe *jwe)
{
    free(jwe->buf);
    *jwe = (struct bs_jwe){0};
}

/* ---- A256GCM --------------------------------------------------------------------------------------------------- */

/* Encrypt (@seal) or decrypt @in, with the text of the protected header as additional data. */
static bool gcm_crypt(bool seal, const struct blobseal_secret32 *cek, const uint8_t iv[BS_IV_LEN], struct bs_slice aad,
                      uint8_t *out, struct bs_slice in, uint8_t tag[BS_GCM_TAG_LEN])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t none[BS_GCM_TAG_LEN];
    int n = 0;
    bool ok = ctx != NULL && EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), cek->b, iv, seal, NULL) == 1 &&
              (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, BS_GCM_TAG_LEN, tag) == 1) &&
              EVP_CipherUpdate(ctx, NULL, &n, aad.p, (int)aad.len) == 1 &&
              (in.len == 0 || EVP_CipherUpdate(ctx, out, &n, in.p, (int)in.len) == 1) &&
              EVP_CipherFinal_ex(ctx, none, &n) == 1 &&
              (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, BS_GCM_TAG_LEN, tag) == 1);

    EVP_CIPHER_CTX_free(ctx);
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
    enum blobseal_status st = blobseal_fail(err, BLOBSEAL_E_NO_KEY, 0,
                                            "no key fits: none of the keys given is for a "
                                            "recipient of this blob");

    blobseal_hint(err, "%zu recipient%s, the first is %.120s", jwe->num, jwe->num == 1 ? "" : "s",
                  jwe->recipients[0].kid != NULL ? jwe->recipients[0].kid : "not named");
    return st;
}

enum blobseal_status bs_jwe_open(const struct bs_jwe *jwe, bool bare, struct blobseal_kek *const *keks, size_t num_keks,
                                 uint8_t *content, struct blobseal_error *err)
{
    struct blobseal_secret32 *cek = blobseal_secret_alloc(2 * sizeof *cek);
    struct blobseal_error later = {0}, e = {0};
    enum blobseal_status st = BLOBSEAL_E_NO_KEY;
    unsigned attempts = 0;

    if (cek == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open the envelope: no memory");
    for (size_t i = 0; i < jwe->num; i++) {
        for (size_t k = 0; k < num_keks && attempts < MAX_ATTEMPTS; k++) {
            st = attempt(jwe, &jwe->recipients[i], bare, keks[k], cek, content, &e);
            if (st == BLOBSEAL_E_NOT_MINE)
                continue;
            attempts++;
            if (st == BLOBSEAL_E_UNAVAILABLE || st == BLOBSEAL_E_DENIED)
                later = later.status == BLOBSEAL_OK ? e : later;
            else if (st != BLOBSEAL_E_AUTH)
                goto out; /* opened, or an error that ends it */
        }
    }
    if (later.status != BLOBSEAL_OK) {
        e = later;
        st = later.status;
    } else {
        st = attempts > 0 ? bs_not_authentic(&e) : no_key(jwe, &e);
    }
out:
    blobseal_secret_free(cek);
    if (st != BLOBSEAL_OK && err != NULL)
        *err = e;
    return st;
}

/* ---- Writing --------------------------------------------------------------------------------------------------- */

/* kid, alg and region are visible ASCII: only these two characters need an escape. */
static void put_string(struct bs_writer_cur *w, const char *s)
{
    bs_put8(w, '"');
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\')
            bs_put8(w, '\\');
        bs_put8(w, (uint8_t)*s);
    }
    bs_put8(w, '"');
}

static void put_recipient(struct bs_writer_cur *w, const struct bs_jwe_recipient *r)
{
    bs_put_text(w, "\"header\":{\"alg\":");
    put_string(w, r->alg);
    bs_put_text(w, ",\"kid\":");
    put_string(w, r->kid);
    if (r->region != NULL) {
        bs_put_text(w, ",\"region\":");
        put_string(w, r->region);
    }
    bs_put_text(w, "},\"encrypted_key\":\"");
    bs_put_b64(w, r->key, r->key_len);
    bs_put_text(w, "\"");
}

enum blobseal_status bs_jwe_write(struct bs_writer_cur *out, const struct bs_jwe *jwe, const char *header,
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
    bs_put_b64(out, header, header_len);
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
    bs_put_b64(out, iv, sizeof iv);
    bs_put_text(out, "\",\"ciphertext\":\"");
    bs_put_b64(out, ciphertext, content_len);
    bs_put_text(out, "\",\"tag\":\"");
    bs_put_b64(out, tag, sizeof tag);
    bs_put_text(out, "\"}");
    if (out->ok)
        return BLOBSEAL_OK;
full:
    return blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the envelope does not fit: too many recipients");
}
