/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stored object of an encryption set: a JWE whose protected header names the set and the generation, and whose
 * content is a JWK Set with the keys. Nothing in it is trusted before the first key has given the id of the set.
 * FORMAT.md section 11.2.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/set/set.h"

static enum blobseal_status malformed(struct blobseal_error *err, const char *what)
{
    (void)blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "the object of the set is malformed: %s", what);
    blobseal_hint(err, "check that this is the intended file; the object can be restored from a copy or an export");
    return BLOBSEAL_E_FORMAT;
}

/* The parser of the JWE speaks of an envelope. Return E_FORMAT. */
static enum blobseal_status not_an_envelope(struct blobseal_error *err)
{
    static const char envelope[] = "malformed envelope: ";
    char what[sizeof err->text];

    if (err == NULL || strncmp(err->text, envelope, sizeof envelope - 1) != 0)
        return BLOBSEAL_E_FORMAT;
    (void)snprintf(what, sizeof what, "%s", err->text + sizeof envelope - 1);
    return malformed(err, what);
}

enum blobseal_status bs_set_not_authentic(struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "the stored object of the set is not authentic");
    blobseal_hint(err, "it was modified, or made by somebody who does not know the set; restore it from a copy");
    return BLOBSEAL_E_AUTH;
}

/* ---- The protected header ---------------------------------------------------------------------------------------- */

enum { MEMBER_SET, MEMBER_GEN, NUM_MEMBERS };

struct parsing {
    struct bs_set_object *object;
    const uint8_t *id; /* that the caller expects; NULL: any */
};

static enum blobseal_status other_set(struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "the stored object belongs to another set");
    blobseal_hint(err, "the definition of the set and its store do not belong together");
    return BLOBSEAL_E_FORMAT;
}

static enum blobseal_status read_bs_member(struct bs_header *h, struct bs_slice name, struct bs_json *j,
                                           struct blobseal_error *err)
{
    const struct parsing *p = h->ctx;
    struct bs_set_object *o = p->object;

    if (bs_slice_is(name, "gen") && bs_header_first(h, MEMBER_GEN)) {
        if (bs_json_uint(j, &o->generation) && o->generation == 0)
            return malformed(err, "generation 0");
    } else if (bs_slice_is(name, "set") && bs_header_first(h, MEMBER_SET)) {
        if (!bs_json_fixed(j, o->id, sizeof o->id))
            return malformed(err, "`set` is not 16 bytes in base64url");
        if (p->id != NULL && memcmp(o->id, p->id, sizeof o->id) != 0)
            return other_set(err);
    } else {
        return bs_header_unknown(err);
    }
    return BLOBSEAL_OK;
}

static enum blobseal_status other_version(struct blobseal_error *err, uint64_t version)
{
    return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "version %llu of the object of a set is not supported",
                         (unsigned long long)version);
}

static const struct bs_header_type set_type = {
    .typ = "blobseal-set",
    .cty = "jwk-set+json",
    .what = "the object of an encryption set",
    .num_members = NUM_MEMBERS,
    .member = read_bs_member,
    .other_version = other_version,
};

enum blobseal_status bs_set_object_parse(struct bs_set_object *o, const char *text, size_t len,
                                         const uint8_t id[BS_SET_ID_LEN], struct blobseal_error *err)
{
    struct parsing p = {.object = o, .id = id};
    struct bs_header h = {.type = &set_type, .ctx = &p};
    enum blobseal_status st;

    *o = (struct bs_set_object){0};
    st = bs_header_parse(&h, &o->jwe, text, len, err);
    memcpy(o->rcpt, h.rcpt, sizeof o->rcpt);
    if (st == BLOBSEAL_OK && o->jwe.ciphertext.len > BS_JWE_MAX_LARGE)
        st = malformed(err, "its content is longer than 40960 bytes");
    for (size_t i = 0; i < o->jwe.num && st == BLOBSEAL_OK; i++)
        if (strcmp(o->jwe.recipients[i].alg, BS_A256KW_ALG) == 0)
            st = malformed(err, "it is wrapped with the key of a set");
    if (st == BLOBSEAL_E_FORMAT)
        st = bs_envelope_check_version(text, len, err);
    if (st == BLOBSEAL_E_FORMAT)
        st = not_an_envelope(err);
    if (st == BLOBSEAL_OK && !bs_sha256(o->sha256, text, len))
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the set: no memory");
    if (st != BLOBSEAL_OK)
        bs_set_object_clear(o);
    return st;
}

void bs_set_object_clear(struct bs_set_object *o)
{
    bs_jwe_clear(&o->jwe);
}

/* ---- The content ------------------------------------------------------------------------------------------------- */

/* Parse one key. Return false if it breaks a rule. */
static bool read_key(struct bs_set_key *key, struct bs_json *j, const uint8_t id[BS_SET_ID_LEN])
{
    bool kty = false, k = false, kid = false, iat = false, ok = true;
    struct bs_slice name, value;

    bs_json_object(j);
    while (ok && bs_json_member(j, &name)) {
        if (bs_slice_is(name, "kty") && !kty)
            ok = kty = bs_json_string(j, &value) && bs_slice_is(value, "oct");
        else if (bs_slice_is(name, "k") && !k)
            ok = k = bs_json_fixed(j, key->k.b, sizeof key->k.b);
        else if (bs_slice_is(name, "kid") && !kid)
            ok = kid = bs_json_string(j, &value) && value.len <= BS_SET_MAX_KID &&
                       strlen((const char *)value.p) == value.len &&
                       bs_set_kid_parse((const char *)value.p, id, &key->n, key->check);
        else if (bs_slice_is(name, "iat") && !iat)
            ok = iat = bs_json_uint(j, &key->made);
        else
            ok = false;
    }
    return ok && kty && k && kid && iat;
}

/* Count the keys, so that as much secret memory is allocated as they take. @text is parsed in place. */
static size_t count_keys(uint8_t *text, size_t len)
{
    struct bs_json j = bs_json_start(text, len);
    struct bs_slice name;
    size_t num = 0;

    bs_json_object(&j);
    while (bs_json_member(&j, &name)) {
        if (!bs_slice_is(name, "keys")) {
            bs_json_skip(&j);
            continue;
        }
        bs_json_array(&j);
        while (num <= BS_SET_MAX_KEYS && bs_json_element(&j) && bs_json_skip(&j))
            num++;
        return num;
    }
    return 0;
}

/* Parse the content in place. Return false if it breaks a rule of section 11.2. */
static bool read_keys(struct bs_set_keys *keys, uint8_t *text, size_t len)
{
    struct bs_json j = bs_json_start(text, len);
    bool list = false, rotated = false, ok = true;
    struct bs_slice name;

    bs_json_object(&j);
    while (ok && bs_json_member(&j, &name)) {
        if (bs_slice_is(name, "keys") && !list) {
            list = bs_json_array(&j);
            while (ok && bs_json_element(&j)) {
                ok = keys->num < keys->cap && read_key(&keys->list[keys->num], &j, keys->id);
                keys->num += ok ? 1 : 0;
            }
        } else if (bs_slice_is(name, "rotated") && !rotated) {
            ok = rotated = bs_json_uint(&j, &keys->rotated);
        } else {
            ok = false;
        }
    }
    return ok && bs_json_end(&j) && list && rotated && bs_set_in_order(keys);
}

/* Check that the keys have their names, and that the first one gives the id of the set. */
static enum blobseal_status check_names(const struct bs_set_keys *keys, struct blobseal_error *err)
{
    uint8_t id[BS_SET_ID_LEN], check[BS_SET_CHECK_LEN];

    for (size_t i = 0; i < keys->num; i++) {
        if (!bs_set_check(check, keys->id, keys->list[i].n, &keys->list[i].k))
            return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the set: no memory");
        if (memcmp(check, keys->list[i].check, sizeof check) != 0)
            return malformed(err, "a key does not have its name");
    }
    if (!bs_set_id(id, &keys->list[0].k))
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the set: no memory");
    return blobseal_equal(id, keys->id, sizeof id) ? BLOBSEAL_OK : bs_set_not_authentic(err);
}

/* Say what failed in terms of a set, where the text of bs_jwe_open() is about a blob. Return @st. */
static enum blobseal_status reword(enum blobseal_status st, const struct bs_set_object *o, struct blobseal_error *err)
{
    if (st == BLOBSEAL_E_AUTH)
        return bs_set_not_authentic(err);
    if (st != BLOBSEAL_E_NO_KEY)
        return st;
    (void)blobseal_fail(err, st, 0, "no key fits: none of the permitted keys belongs to the stored object of the set");
    blobseal_hint(err, "if another machine has rotated the set, rotate it here as well: it is wrapped for %.110s",
                  o->jwe.recipients[0].kid);
    return st;
}

/* Read @text, which has @len bytes and a copy of them after it. */
static enum blobseal_status read_content(struct bs_set_keys **keys, const struct bs_set_object *o, uint8_t *text,
                                         size_t len, struct blobseal_error *err)
{
    struct bs_set_keys *k;
    enum blobseal_status st;

    memcpy(text + len, text, len);
    k = bs_set_keys_new(count_keys(text + len, len));
    if (k == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the set: no memory");
    memcpy(k->id, o->id, sizeof k->id);
    st = k->cap <= BS_SET_MAX_KEYS && read_keys(k, text, len)
             ? check_names(k, err)
             : malformed(err, "its content is not a set of 1 to 256 keys as it should be");
    if (st == BLOBSEAL_OK)
        *keys = k;
    else
        blobseal_secret_free(k);
    return st;
}

enum blobseal_status bs_set_object_open(struct bs_set_keys **keys, const struct bs_set_object *o, struct bs_keks keks,
                                        struct bs_jwe_opener *by, struct blobseal_error *err)
{
    size_t len = o->jwe.ciphertext.len;
    uint8_t rcpt[BS_SHA256_LEN], *text;
    enum blobseal_status st = bs_selftest_once(err);

    *keys = NULL;
    if (st != BLOBSEAL_OK)
        return st;
    text = blobseal_secret_alloc(2 * len + 1);
    if (text == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the set: no memory");
    st = bs_jwe_open(&o->jwe, false, keks, text, by, err);
    if (st == BLOBSEAL_OK && !bs_jwe_recipients_digest(rcpt, &o->jwe))
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the set: no memory");
    if (st == BLOBSEAL_OK && !blobseal_equal(rcpt, o->rcpt, sizeof rcpt))
        st = BLOBSEAL_E_AUTH;
    st = reword(st, o, err);
    if (st == BLOBSEAL_OK)
        st = read_content(keys, o, text, len, err);
    blobseal_secret_free(text);
    return st;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static void put_number(struct bs_builder *w, uint64_t n)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)n);
    bs_put_text(w, text);
}

/* Write the JWK Set. Return its length. */
static size_t write_content(uint8_t *out, size_t cap, const struct bs_set_keys *keys)
{
    struct bs_builder w = bs_builder_start(out, cap);

    bs_put_text(&w, "{\"keys\":[");
    for (size_t i = 0; i < keys->num; i++) {
        const struct bs_set_key *key = &keys->list[i];
        char kid[BS_SET_MAX_KID + 1];

        bs_set_kid(kid, keys->id, key->n, key->check);
        bs_put_text(&w, i > 0 ? ",{\"kty\":\"oct\",\"k\":\"" : "{\"kty\":\"oct\",\"k\":\"");
        bs_put_base64url(&w, key->k.b, sizeof key->k.b);
        bs_put_text(&w, "\",\"kid\":\"");
        bs_put_text(&w, kid);
        bs_put_text(&w, "\",\"iat\":");
        put_number(&w, key->made);
        bs_put_text(&w, "}");
    }
    bs_put_text(&w, "],\"rotated\":");
    put_number(&w, keys->rotated);
    bs_put_text(&w, "}");
    return w.ok ? w.len : 0;
}

static size_t write_header(char *out, size_t cap, const struct bs_set_keys *keys, uint64_t generation,
                           const uint8_t rcpt[BS_SHA256_LEN])
{
    struct bs_builder w = bs_builder_start((uint8_t *)out, cap);

    bs_header_start(&w, &set_type);
    bs_put_text(&w, "\"set\":\"");
    bs_put_base64url(&w, keys->id, sizeof keys->id);
    bs_put_text(&w, "\",\"gen\":");
    put_number(&w, generation);
    bs_header_end(&w, rcpt);
    return w.ok ? w.len : 0;
}

/* Wrap @cek for each of @to, and add the recipients to @jwe. */
static enum blobseal_status wrap_all(struct bs_jwe *jwe, const struct blobseal_secret32 *cek,
                                     struct bs_set_recipients to, struct blobseal_error *err)
{
    struct blobseal_wrapping *w = calloc(1, sizeof *w);
    enum blobseal_status st = BLOBSEAL_OK;

    if (w == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the set: no memory");
    for (size_t i = 0; i < to.keks.num && st == BLOBSEAL_OK; i++) {
        st = bs_kek_wrap(to.keks.list[i], w, cek, to.keks.call, err);
        if (st == BLOBSEAL_OK && strcmp(w->alg, BS_A256KW_ALG) == 0)
            st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the KEK of a set cannot be a set");
        if (st == BLOBSEAL_OK && to.kids != NULL && to.kids[i] != NULL)
            (void)snprintf(w->kid, sizeof w->kid, "%s", to.kids[i]);
        if (st == BLOBSEAL_OK)
            st = bs_jwe_add_wrapped(jwe, w, err);
    }
    free(w);
    return st;
}

/* The secrets of an object while it is made, in one allocation. */
struct secrets {
    struct blobseal_secret32 cek;
    uint8_t content[BS_JWE_MAX_LARGE];
};

static enum blobseal_status encode(struct bs_builder *out, const struct bs_jwe *jwe, const struct bs_set_keys *keys,
                                   uint64_t generation, struct secrets *s, struct blobseal_error *err)
{
    uint8_t rcpt[BS_SHA256_LEN];
    char header[512];
    struct bs_slice protected = {.p = (const uint8_t *)header}, content = {.p = s->content};

    if (!bs_jwe_recipients_digest(rcpt, jwe))
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the set: no memory");
    protected.len = write_header(header, sizeof header, keys, generation, rcpt);
    content.len = write_content(s->content, sizeof s->content, keys);
    if (content.len == 0)
        return blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the set has too many keys");
    return bs_jwe_write(out, jwe, protected, &s->cek, content, err);
}

enum blobseal_status bs_set_object_write(char **text, size_t *len, const struct bs_set_keys *keys, uint64_t generation,
                                         struct bs_set_recipients recipients, struct blobseal_error *err)
{
    struct bs_builder out = bs_builder_start(malloc(BLOBSEAL_MAX_ENVELOPE + 1), BLOBSEAL_MAX_ENVELOPE);
    struct secrets *s = blobseal_secret_alloc(sizeof *s);
    struct bs_jwe jwe = {0};
    enum blobseal_status st = bs_selftest_once(err);

    *text = NULL;
    *len = 0;
    if (out.p == NULL || s == NULL) {
        blobseal_secret_free(s);
        free(out.p);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the set: no memory");
    }
    if (st == BLOBSEAL_OK && generation > BS_SET_MAX_GENERATION)
        st = blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the generation of the set cannot grow any more");
    if (st == BLOBSEAL_OK)
        st = bs_jwe_new(&jwe, err);
    if (st == BLOBSEAL_OK)
        st = bs_random(s->cek.b, sizeof s->cek.b, true, err);
    if (st == BLOBSEAL_OK)
        st = wrap_all(&jwe, &s->cek, recipients, err);
    if (st == BLOBSEAL_OK)
        st = encode(&out, &jwe, keys, generation, s, err);
    bs_jwe_clear(&jwe);
    blobseal_secret_free(s);
    if (st != BLOBSEAL_OK) {
        free(out.p);
        return st;
    }
    out.p[out.len] = '\0';
    *text = (char *)out.p;
    *len = out.len;
    return BLOBSEAL_OK;
}
