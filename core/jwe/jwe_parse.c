/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict parsing of a JWE of limited size in JSON serialization (RFC 7516 section 7.2), flattened or general. The text
 * is copied once; its strings are decoded in place in that copy. Which members the protected header may have besides
 * `enc` is defined by the profile. FORMAT.md section 4.2.
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
    uint8_t *p = (uint8_t *)s->p; /* points into jwe->buf, which may be written */
    size_t len;

    if (!blobseal_base64url_decode(p, s->len, &len, (const char *)s->p, s->len))
        return false;
    s->len = len;
    return true;
}

/* Return true if @s, an algorithm or a key id, is 1 to @max characters of visible ASCII. */
static bool is_token(struct bs_slice s, size_t max)
{
    if (s.len == 0 || s.len > max)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < '!' || s.p[i] > '~')
            return false;
    return true;
}

/*
 * An envelope may have recipients with an unknown algorithm, which are skipped when it is opened. A bare JWE may not
 * (@known), because such recipients have members of their own, which are unknown as well, nor one with the key of a
 * set; a foreign one may.
 */
static enum blobseal_status set_alg(const char **alg, struct bs_slice s, bool known, struct blobseal_error *err)
{
    const struct bs_key_algorithm *found;

    if (*alg != NULL)
        return bs_malformed(err, "`alg` appears twice");
    if (!is_token(s, BS_JWE_MAX_ALG))
        return bs_malformed(err, "an `alg` is empty, too long, or not visible ASCII");
    *alg = (const char *)s.p;
    found = bs_key_algorithm(*alg, s.len);
    if (known && (found == NULL || found->named))
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "key algorithm %.64s%s is not supported", *alg,
                             bs_jwe_remark(*alg));
    return BLOBSEAL_OK;
}

/* A foreign @kid may be any text. One that is no token is ignored: no key of this library has such a name. */
static enum blobseal_status set_kid(const char **kid, struct bs_slice s, bool foreign, struct blobseal_error *err)
{
    if (*kid != NULL)
        return bs_malformed(err, "`kid` appears twice");
    if (foreign && !is_token(s, BLOBSEAL_MAX_KID))
        return BLOBSEAL_OK;
    if (!is_token(s, BLOBSEAL_MAX_KID))
        return bs_malformed(err, "a `kid` is empty, too long, or not visible ASCII");
    *kid = (const char *)s.p;
    return BLOBSEAL_OK;
}

/* Skip a member of a header of a foreign JWE, unless it changes how the JWE must be read. */
static enum blobseal_status skip_foreign(struct bs_json *j, struct bs_slice name, struct blobseal_error *err)
{
    static const char *const refused[] = {"zip", "crit", "enc"};

    for (size_t i = 0; i < BS_COUNT(refused); i++)
        if (bs_slice_is(name, refused[i]))
            return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "a JWE with `%s` in this place is not supported",
                                 refused[i]);
    bs_json_skip(j);
    return BLOBSEAL_OK;
}

/* Parse the `header` of one recipient. */
static enum blobseal_status parse_recipient_header(struct bs_json *j, struct bs_jwe_recipient *r,
                                                   const struct bs_jwe_profile *profile, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_slice name, value;

    bs_json_object(j);
    while (st == BLOBSEAL_OK && bs_json_member(j, &name)) {
        bool is_alg = bs_slice_is(name, "alg");

        if (!is_alg && !bs_slice_is(name, "kid")) {
            if (!profile->foreign)
                return bs_malformed(err, "the header of a recipient has an unknown member");
            st = skip_foreign(j, name, err);
        } else if (!bs_json_string(j, &value)) {
            break;
        } else if (is_alg) {
            st = set_alg(&r->alg, value, profile->bare && !profile->foreign, err);
        } else {
            st = set_kid(&r->kid, value, profile->foreign, err);
        }
    }
    return st;
}

static enum blobseal_status set_encrypted_key(struct bs_json *j, struct bs_jwe_recipient *r, struct blobseal_error *err)
{
    struct bs_slice s;

    if (!bs_json_string(j, &s))
        return BLOBSEAL_OK; /* bs_json_end() reports the error */
    if (r->key != NULL || !decode_base64url(&s))
        return bs_malformed(err, "an `encrypted_key` is not base64url, or appears twice");
    r->key = s.p;
    r->key_len = s.len;
    return BLOBSEAL_OK;
}

/* The members of the JWE that were seen. `header` and `encrypted_key` are members of the JWE itself in the flattened
 * form, and of each element of `recipients` in the general form. */
enum {
    SEEN_PROTECTED = 1,
    SEEN_IV = 2,
    SEEN_CIPHERTEXT = 4,
    SEEN_TAG = 8,
    SEEN_ALL = 15,
    SEEN_HEADER = 16,
    SEEN_LIST = 32
};

/* Parse the array `recipients` of the general form. */
static enum blobseal_status parse_recipients(struct bs_json *j, struct bs_jwe *jwe,
                                             const struct bs_jwe_profile *profile, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    bs_json_array(j);
    while (st == BLOBSEAL_OK && bs_json_element(j)) {
        struct bs_jwe_recipient *r;
        struct bs_slice name;
        bool header = false;

        if (jwe->num == BLOBSEAL_MAX_RECIPIENTS)
            return bs_malformed(err, "it has more than 64 recipients");
        r = &jwe->recipients[jwe->num++];
        bs_json_object(j);
        while (st == BLOBSEAL_OK && bs_json_member(j, &name)) {
            if (bs_slice_is(name, "header") && !header) {
                header = true;
                st = parse_recipient_header(j, r, profile, err);
            } else if (bs_slice_is(name, "encrypted_key")) {
                st = set_encrypted_key(j, r, err);
            } else {
                return bs_malformed(err, "a recipient has an unknown member, or one that appears twice");
            }
        }
    }
    if (st == BLOBSEAL_OK && j->ok && jwe->num == 0)
        return bs_malformed(err, "`recipients` is empty");
    return st;
}

/* Members that are checked after the whole JWE has been parsed. */
struct object {
    unsigned seen; /* SEEN_ flags */
    const struct bs_jwe_profile *profile;
    struct bs_jwe_recipient one; /* the only recipient of a flattened JWE */
    struct bs_slice iv, tag;
};

static enum blobseal_status set_bytes(struct bs_json *j, struct bs_slice *out, struct blobseal_error *err)
{
    if (bs_json_string(j, out) && !decode_base64url(out))
        return bs_malformed(err, "`iv`, `ciphertext` or `tag` is not base64url");
    return BLOBSEAL_OK;
}

/* Parse one member of the JWE. */
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
    for (size_t i = 0; i < BS_COUNT(members); i++)
        if (bs_slice_is(name, members[i].name))
            bit = members[i].bit;
    if (bit == 0 || (o->seen & bit) != 0)
        return bs_malformed(err, "a member is unknown, or appears twice");
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
        return parse_recipient_header(j, &o->one, o->profile, err);
    default:
        return parse_recipients(j, jwe, o->profile, err);
    }
}

/* Parse the JWE object except the contents of its protected header. */
static enum blobseal_status parse_object(struct object *o, struct bs_jwe *jwe, size_t len, struct blobseal_error *err)
{
    struct bs_json j = bs_json_start(jwe->buf, len);
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_slice name;

    j.lenient = o->profile->foreign;
    bs_json_object(&j);
    while (st == BLOBSEAL_OK && bs_json_member(&j, &name))
        st = parse_member(&j, name, jwe, o, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (!bs_json_end(&j))
        return bs_malformed(err, "it is not a single JSON object in strict form");
    if ((o->seen & SEEN_ALL) != SEEN_ALL)
        return bs_malformed(err, "`protected`, `iv`, `ciphertext` or `tag` is missing");
    if ((o->seen & SEEN_LIST) != 0)
        return (o->seen & SEEN_HEADER) != 0 || (o->one.key != NULL && !o->profile->foreign)
                   ? bs_malformed(err, "it mixes the flattened and the general form")
                   : BLOBSEAL_OK;
    if (!o->profile->bare && (o->seen & SEEN_HEADER) == 0)
        return bs_malformed(err, "`header` is missing");
    jwe->recipients[jwe->num++] = o->one;
    return BLOBSEAL_OK;
}

/* What was seen of the protected header: `alg` and `kid` of a bare JWE are for all recipients. */
struct shared_header {
    bool enc;
    const char *alg, *kid;
};

/* Set the length of the CEK from the content encryption. Only a @foreign JWE may have another one than A256GCM. */
static enum blobseal_status set_enc(struct bs_jwe *jwe, struct bs_slice enc, bool foreign, struct blobseal_error *err)
{
    if (bs_slice_is(enc, "A256GCM"))
        jwe->cek_len = 32;
    else if (foreign && bs_slice_is(enc, "A192GCM"))
        jwe->cek_len = 24;
    else if (foreign && bs_slice_is(enc, "A128GCM"))
        jwe->cek_len = 16;
    else
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "content encryption %.32s is not supported",
                             (const char *)enc.p);
    return BLOBSEAL_OK;
}

/* Parse one member of the protected header. */
static enum blobseal_status parse_protected_member(struct bs_json *j, struct bs_slice name, struct bs_jwe *jwe,
                                                   struct shared_header *h, const struct bs_jwe_profile *profile,
                                                   struct blobseal_error *err)
{
    struct bs_slice value;

    if (bs_slice_is(name, "enc") && !h->enc) {
        h->enc = true;
        return bs_json_string(j, &value) ? set_enc(jwe, value, profile->foreign, err) : BLOBSEAL_OK;
    }
    if (profile->bare && bs_slice_is(name, "alg"))
        return bs_json_string(j, &value) ? set_alg(&h->alg, value, !profile->foreign, err) : BLOBSEAL_OK;
    if (profile->bare && bs_slice_is(name, "kid"))
        return bs_json_string(j, &value) ? set_kid(&h->kid, value, profile->foreign, err) : BLOBSEAL_OK;
    if (profile->member != NULL)
        return profile->member(profile->ctx, name, j, err);
    if (profile->foreign)
        return skip_foreign(j, name, err);
    return bs_malformed(err, "a member of the protected header is unknown, or appears twice");
}

/* Copy `alg` and `kid` from the protected header to all recipients. */
static enum blobseal_status apply_shared_names(struct bs_jwe *jwe, const struct shared_header *shared,
                                               struct blobseal_error *err)
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

/* Decode the protected header into @header, and parse it. */
static enum blobseal_status parse_protected(struct bs_jwe *jwe, uint8_t *header, size_t cap,
                                            const struct bs_jwe_profile *profile, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    struct shared_header shared = {0};
    struct bs_slice name;
    struct bs_json j;
    size_t len;

    if (!blobseal_base64url_decode(header, cap, &len, (const char *)jwe->protected_text.p, jwe->protected_text.len))
        return bs_malformed(err, "`protected` is not base64url");
    j = bs_json_start(header, len);
    j.lenient = profile->foreign;
    bs_json_object(&j);
    while (st == BLOBSEAL_OK && bs_json_member(&j, &name))
        st = parse_protected_member(&j, name, jwe, &shared, profile, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (!bs_json_end(&j) || !shared.enc)
        return bs_malformed(err, "the protected header is not a JSON object in strict form with `enc`");
    return apply_shared_names(jwe, &shared, err);
}

static enum blobseal_status check_recipients(const struct bs_jwe *jwe, bool bare, struct blobseal_error *err)
{
    for (size_t i = 0; i < jwe->num; i++) {
        const struct bs_jwe_recipient *r = &jwe->recipients[i];

        if (r->alg == NULL || (r->kid == NULL && !bare))
            return bs_malformed(err, "a recipient lacks `alg` or `kid`");
        if (r->key_len == 0 || r->key_len > BS_JWE_MAX_KEY)
            return bs_malformed(err, "an `encrypted_key` is missing, empty, or longer than 4096 bytes");
        for (size_t k = 0; k < i && r->kid != NULL && !bare; k++)
            if (strcmp(r->kid, jwe->recipients[k].kid) == 0)
                return bs_malformed(err, "two recipients have the same `kid`");
    }
    return BLOBSEAL_OK;
}

static enum blobseal_status set_iv_and_tag(struct bs_jwe *jwe, const struct object *o, struct blobseal_error *err)
{
    if (o->iv.len != sizeof jwe->iv || o->tag.len != sizeof jwe->tag)
        return bs_malformed(err, "`iv` must have 12 bytes, and `tag` 16");
    memcpy(jwe->iv, o->iv.p, sizeof jwe->iv);
    memcpy(jwe->tag, o->tag.p, sizeof jwe->tag);
    return BLOBSEAL_OK;
}

enum blobseal_status bs_jwe_parse(struct bs_jwe *jwe, const char *text, size_t len,
                                  const struct bs_jwe_profile *profile, struct blobseal_error *err)
{
    struct object o = {.profile = profile};
    enum blobseal_status st;

    *jwe = (struct bs_jwe){0};
    if (len > BLOBSEAL_MAX_ENVELOPE)
        return bs_malformed(err, "it is longer than 65512 bytes");
    /* The buffer contains the text, which is decoded in place, and after it room for the decoded protected header. */
    jwe->buf = malloc(2 * len + 1);
    if (jwe->buf == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "parse the envelope: no memory");
    if (len > 0)
        memcpy(jwe->buf, text, len);
    st = parse_object(&o, jwe, len, err);
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
