/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a JWE in JSON serialization (RFC 7516 section 7.2), flattened and general, strict and bounded. Strings are
 * decoded where they stand, in one copy of the text. What the protected header says beyond `enc` is the profile's
 * affair. FORMAT.md section 4.2.
 */
#include <stdlib.h>

#include "core/jwe/jwe.h"

enum blobseal_status bs_malformed(struct blobseal_error *err, const char *what)
{
    return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "malformed envelope: %s", what);
}

/* Decode a base64url string in place. */
static bool decode_base64url(struct bs_slice *s)
{
    uint8_t *p = (uint8_t *)s->p; /* points into jwe->buf, which is ours */
    size_t len;

    if (!blobseal_base64url_decode(p, s->len, &len, (const char *)s->p, s->len))
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
        return bs_malformed(err, "`alg` appears twice");
    if (bs_key_algorithm((const char *)s.p, s.len) != NULL) {
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
        return bs_malformed(err, "`kid` appears twice");
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
                return bs_malformed(err, "a `region` is not a short word, or appears twice");
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
    if (r->key != NULL || !decode_base64url(&s))
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
                return bs_malformed(err, "a member of a recipient is not known, or appears twice");
            }
        }
    }
    if (st == BLOBSEAL_OK && j->ok && jwe->num == 0)
        return bs_malformed(err, "`recipients` is empty");
    return st;
}

/* What is read from the object and judged when the algorithms are known. */
struct object {
    unsigned seen;
    struct bs_jwe_recipient one; /* of the flattened form */
    struct bs_slice iv, tag;
};

static enum blobseal_status set_bytes(struct bs_json *j, struct bs_slice *out, struct blobseal_error *err)
{
    if (bs_json_string(j, out) && !decode_base64url(out))
        return bs_malformed(err, "`iv`, `ciphertext` or `tag` is not base64url");
    return BLOBSEAL_OK;
}

/* One member of the JWE. */
static enum blobseal_status parse_member(struct bs_json *j, struct bs_slice name, struct bs_jwe *jwe, struct object *o,
                                         struct blobseal_error *err)
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
        return set_encrypted_key(j, &o->one, err);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (bs_slice_is(name, members[i].name))
            bit = members[i].bit;
    if (bit == 0 || (o->seen & bit) != 0)
        return bs_malformed(err, "a member is not known, or appears twice");
    o->seen |= bit;
    switch (bit) {
    case SEEN_PROTECTED:
        bs_json_string(j, &jwe->protected_text);
        return BLOBSEAL_OK;
    case SEEN_IV:
        return set_bytes(j, &o->iv, err);
    case SEEN_TAG:
        return set_bytes(j, &o->tag, err);
    case SEEN_CIPHERTEXT:
        return set_bytes(j, &jwe->ciphertext, err);
    case SEEN_HEADER:
        return parse_recipient_header(j, &o->one, err);
    default:
        return parse_recipients(j, jwe, err);
    }
}

/* The JWE object, without a look into the protected header. */
static enum blobseal_status parse_object(struct object *o, struct bs_jwe *jwe, size_t len, bool bare,
                                         struct blobseal_error *err)
{
    struct bs_json j = bs_json_start(jwe->buf, len);
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_slice name;

    bs_json_object(&j);
    while (st == BLOBSEAL_OK && bs_json_member(&j, &name))
        st = parse_member(&j, name, jwe, o, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (!bs_json_end(&j))
        return bs_malformed(err, "not one JSON object of strict form");
    if ((o->seen & SEEN_ALL) != SEEN_ALL)
        return bs_malformed(err, "`protected`, `iv`, `ciphertext` or `tag` is missing");
    if ((o->seen & SEEN_LIST) != 0)
        return (o->seen & SEEN_HEADER) != 0 || o->one.key != NULL
                   ? bs_malformed(err, "it is flattened and general at once")
                   : BLOBSEAL_OK;
    if (!bare && (o->seen & SEEN_HEADER) == 0)
        return bs_malformed(err, "`header` is missing");
    jwe->recipients[jwe->num++] = o->one;
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
    return bs_malformed(err, "a member of the protected header is not known, or appears twice");
}

static enum blobseal_status spread(struct bs_jwe *jwe, const struct shared_names *shared, struct blobseal_error *err)
{
    for (size_t i = 0; i < jwe->num; i++) {
        struct bs_jwe_recipient *r = &jwe->recipients[i];

        if ((shared->alg != NULL && r->alg != NULL) || (shared->kid != NULL && r->kid != NULL))
            return bs_malformed(err, "`alg` or `kid` appears in two headers");
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

    if (!blobseal_base64url_decode(header, cap, &len, (const char *)jwe->protected_text.p, jwe->protected_text.len))
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
        if (!bs_key_algorithm_wraps_to(bs_key_algorithm(r->alg, strlen(r->alg)), r->key_len))
            return bs_malformed(err, "an `encrypted_key` is missing or does not have the length of an RSA modulus");
        for (size_t k = 0; k < i && r->kid != NULL && !bare; k++)
            if (strcmp(r->kid, jwe->recipients[k].kid) == 0)
                return bs_malformed(err, "two recipients have one `kid`");
    }
    return BLOBSEAL_OK;
}

static enum blobseal_status set_iv_and_tag(struct bs_jwe *jwe, const struct object *o, struct blobseal_error *err)
{
    if (o->iv.len != sizeof jwe->iv || o->tag.len != sizeof jwe->tag)
        return bs_malformed(err, "`iv` is not 12 or `tag` not 16 bytes");
    memcpy(jwe->iv, o->iv.p, sizeof jwe->iv);
    memcpy(jwe->tag, o->tag.p, sizeof jwe->tag);
    return BLOBSEAL_OK;
}

enum blobseal_status bs_jwe_parse(struct bs_jwe *jwe, const char *text, size_t len,
                                  const struct bs_jwe_profile *profile, struct blobseal_error *err)
{
    struct object o = {0};
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
    st = parse_object(&o, jwe, len, profile->bare, err);
    if (st == BLOBSEAL_OK)
        st = parse_protected(jwe, jwe->buf + len, len, profile, err);
    if (st == BLOBSEAL_OK)
        st = check_recipients(jwe, profile->bare, err);
    if (st == BLOBSEAL_OK)
        st = set_iv_and_tag(jwe, &o, err);
    return st;
}

void bs_jwe_clear(struct bs_jwe *jwe)
{
    free(jwe->buf);
    *jwe = (struct bs_jwe){0};
}
