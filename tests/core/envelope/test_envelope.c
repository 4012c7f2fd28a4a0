/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelopes with correct cryptography and exactly one fault: sections 4.3 to 4.6. Most are made by editing the text of
 * the protected header or of the content before encryption, or by editing the recipients without a new `rcpt`.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/suite.h"

SUITE(envelope);

#define MAX_KEYS 12

/* The parts from which an envelope is built. */
struct parts {
    struct recipe r;
    struct bs_jwe jwe;
    uint8_t keys[MAX_KEYS][256];
    char kids[MAX_KEYS][32];
    char rcpt[48];
    char header[2048];
    char content[16384];
};

static void b64(char *out, const void *in, size_t len)
{
    blobseal_base64url_encode(out, in, len);
    out[BLOBSEAL_BASE64URL_LEN(len)] = '\0';
}

static size_t add_part(uint8_t *out, const void *p, size_t len)
{
    bs_store32(out, (uint32_t)len);
    memcpy(out + 4, p, len);
    return len + 4;
}

/* Set `rcpt` as described in section 4.3. */
static void set_rcpt(struct parts *p)
{
    static uint8_t text[MAX_KEYS * 512];
    uint8_t digest[32];
    size_t len = 0;

    for (size_t i = 0; i < p->jwe.num; i++) {
        const struct bs_jwe_recipient *r = &p->jwe.recipients[i];

        len += add_part(text + len, r->alg, strlen(r->alg));
        len += add_part(text + len, r->kid, strlen(r->kid));
        len += add_part(text + len, r->key, r->key_len);
    }
    cr_assert_eq(EVP_Digest(text, len, digest, NULL, EVP_sha256(), NULL), 1);
    b64(p->rcpt, digest, sizeof digest);
}

static void set_texts(struct parts *p)
{
    char blob[32], dek[64], hdr[160];

    b64(blob, p->r.core.blob_id, sizeof p->r.core.blob_id);
    b64(dek, p->r.dek.b, sizeof p->r.dek.b);
    b64(hdr, p->r.core.raw, sizeof p->r.core.raw);
    (void)snprintf(p->header, sizeof p->header,
                   "{\"enc\":\"A256GCM\",\"cty\":\"jwk+json\",\"typ\":\"blobseal\",\"bs\":{\"v\":1,\"blob\":\"%s\","
                   "\"layer\":1,\"gen\":1,\"rcpt\":\"%s\"}}",
                   blob, p->rcpt);
    (void)snprintf(p->content, sizeof p->content, "{\"kty\":\"oct\",\"k\":\"%s\",\"kid\":\"%s\",\"hdr\":\"%s\"}", dek,
                   blob, hdr);
}

/* Make a correct envelope for keys "key-0", "key-1", ... */
static void parts_make(struct parts *p, size_t num)
{
    *p = (struct parts){0};
    recipe_make(&p->r, 1, 1);
    for (size_t i = 0; i < num; i++) {
        fake_wrap(p->keys[i], sizeof p->keys[i], &p->r.cek);
        (void)snprintf(p->kids[i], sizeof p->kids[i], "key-%zu", i);
        p->jwe.recipients[i] =
            (struct bs_jwe_recipient){.alg = "RSA-OAEP-256", .kid = p->kids[i], .key = p->keys[i], .key_len = 256};
    }
    p->jwe.num = num;
    set_rcpt(p);
    set_texts(p);
}

/* Replace the only occurrence of @from. */
static void edit(char *text, size_t cap, const char *from, const char *to)
{
    char *at = strstr(text, from), *rest;

    cr_assert_not_null(at, "nothing to replace: %s", from);
    cr_assert_null(strstr(at + 1, from), "more than one place to replace: %s", from);
    rest = must_copy(at + strlen(from), strlen(at + strlen(from)) + 1);
    cr_assert_lt((size_t)(at - text) + strlen(to) + strlen(rest), cap);
    memcpy(at, to, strlen(to));
    memcpy(at + strlen(to), rest, strlen(rest) + 1);
    free(rest);
}

static void edit_header(struct parts *p, const char *from, const char *to)
{
    edit(p->header, sizeof p->header, from, to);
}

static void edit_content(struct parts *p, const char *from, const char *to)
{
    edit(p->content, sizeof p->content, from, to);
}

static char *parts_write(const struct parts *p)
{
    struct bs_builder w = bs_builder_start(must_alloc(BLOBSEAL_MAX_ENVELOPE + 1), BLOBSEAL_MAX_ENVELOPE);
    struct blobseal_error err;

    cr_assert_eq(bs_jwe_write(&w, &p->jwe, (struct bs_slice){(const uint8_t *)p->header, strlen(p->header)}, &p->r.cek,
                              (struct bs_slice){(const uint8_t *)p->content, strlen(p->content)}, &err),
                 BLOBSEAL_OK, "%s", err.text);
    w.p[w.len] = '\0';
    return (char *)w.p;
}

/* Parse and open @text for the core of @p. */
static enum blobseal_status open_text(const struct parts *p, const char *text, size_t len,
                                      struct blobseal_kek *const *keks, size_t num_keks, struct blobseal_error *err)
{
    struct bs_chunked_keys *keys = must_alloc(sizeof *keys);
    struct bs_envelope e;
    enum blobseal_status st;

    memset(keys, 0, sizeof *keys);
    *err = (struct blobseal_error){0};
    st = bs_envelope_parse(&e, text, len, err);
    if (st == BLOBSEAL_OK)
        st = open_envelope(&e, &p->r.core, keks, num_keks, keys, err);
    bs_envelope_clear(&e);
    if (st == BLOBSEAL_OK)
        cr_assert_arr_eq(keys, &p->r.keys, sizeof *keys, "the derived keys are those of the blob");
    else
        cr_assert(bs_all_zero((const uint8_t *)keys, sizeof *keys), "no keys after a failure");
    free(keys);
    return st;
}

static enum blobseal_status open_with(const struct parts *p, const char *kid, struct blobseal_error *err)
{
    struct fake_kek fake = {.kid = kid};
    struct blobseal_kek *kek = fake_kek_open(&fake);
    char *text = parts_write(p);
    enum blobseal_status st = open_text(p, text, strlen(text), &kek, 1, err);

    free(text);
    blobseal_kek_close(kek);
    return st;
}

static void expect(const struct parts *p, enum blobseal_status want, const char *what)
{
    struct blobseal_error err;
    enum blobseal_status st = open_with(p, "key-0", &err);

    cr_expect_eq(st, want, "%s: %s (%s)", what, blobseal_status_code(st), err.text);
    cr_expect_eq(err.status, st, "%s: the error says %s", what, blobseal_status_code(err.status));
    if (st == BLOBSEAL_E_AUTH) {
        cr_expect_str_eq(err.text, "the blob is not authentic", "%s", what);
        cr_expect_str_eq(err.hint, "it was modified, or sealed for another key with the same key id; "
                                   "fetch it again from its source");
    }
}

struct edit_case {
    const char *from, *to;
    enum blobseal_status want;
};

static void expect_edits(bool of_header, const struct edit_case *cases, size_t num)
{
    static struct parts p;

    for (size_t i = 0; i < num; i++) {
        parts_make(&p, 1);
        (of_header ? edit_header : edit_content)(&p, cases[i].from, cases[i].to);
        expect(&p, cases[i].want, cases[i].to);
    }
}

Test(envelope, sound_ones_open)
{
    static struct parts p;
    struct blobseal_error err;

    for (size_t n = 1; n <= 8; n++) {
        parts_make(&p, n);
        for (size_t i = 0; i < n; i++)
            cr_assert_eq(open_with(&p, p.kids[i], &err), BLOBSEAL_OK, "%s", err.text);
    }
}

/* ---- The protected header ---------------------------------------------------------------------------------------- */

Test(envelope, header_values_are_checked)
{
    static const struct edit_case cases[] = {
        {"A256GCM", "A128GCM", BLOBSEAL_E_UNSUPPORTED},
        {"A256GCM", "A256CBC-HS512", BLOBSEAL_E_UNSUPPORTED},
        {"\"A256GCM\"", "1", BLOBSEAL_E_FORMAT},
        {"jwk+json", "jwk", BLOBSEAL_E_FORMAT},
        {"jwk+json", "JWK+JSON", BLOBSEAL_E_FORMAT},
        {"\"typ\":\"blobseal\"", "\"typ\":\"JOSE\"", BLOBSEAL_E_FORMAT},
        {"\"typ\":\"blobseal\"", "\"typ\":\"blobseal-set\"", BLOBSEAL_E_FORMAT},
        {"\"v\":1", "\"v\":2", BLOBSEAL_E_UNSUPPORTED},
        {"\"v\":1", "\"v\":0", BLOBSEAL_E_UNSUPPORTED},
        {"\"v\":1", "\"v\":\"1\"", BLOBSEAL_E_FORMAT},
        {"\"layer\":1", "\"layer\":2", BLOBSEAL_E_UNSUPPORTED},
        {"\"layer\":1", "\"layer\":0", BLOBSEAL_E_UNSUPPORTED},
        {"\"gen\":1", "\"gen\":2", BLOBSEAL_OK},
        {"\"gen\":1", "\"gen\":9007199254740991", BLOBSEAL_OK},
        {"\"gen\":1", "\"gen\":9007199254740992", BLOBSEAL_E_FORMAT},
        {"\"gen\":1", "\"gen\":18446744073709551617", BLOBSEAL_E_FORMAT},
        {"\"gen\":1", "\"gen\":0", BLOBSEAL_E_FORMAT},
        {"\"gen\":1", "\"gen\":-1", BLOBSEAL_E_FORMAT},
        {"\"gen\":1", "\"gen\":01", BLOBSEAL_E_FORMAT},
        {"\"gen\":1", "\"gen\":1.0", BLOBSEAL_E_FORMAT},
        {"\"gen\":1", "\"gen\":1e0", BLOBSEAL_E_FORMAT},
        {"\"gen\":1", "\"gen\":\"1\"", BLOBSEAL_E_FORMAT},
        {"\"gen\":1", "\"gen\":true", BLOBSEAL_E_FORMAT},
        {"\"blob\":\"", "\"blob\":\"AAAA", BLOBSEAL_E_FORMAT},
        {"\"blob\":\"", "\"blob\":\"\",\"rest\":\"", BLOBSEAL_E_FORMAT},
        {"\"rcpt\":\"", "\"rcpt\":\"AAAA", BLOBSEAL_E_FORMAT},
        {"\"}}", "=\"}}", BLOBSEAL_E_FORMAT},
        {"\"}}", " \"}}", BLOBSEAL_E_FORMAT},
    };

    expect_edits(true, cases, COUNT(cases));
}

Test(envelope, header_members_are_exactly_the_named_ones)
{
    static const struct edit_case cases[] = {
        {"\"enc\":\"A256GCM\",", "", BLOBSEAL_E_FORMAT},
        {"\"cty\":\"jwk+json\",", "", BLOBSEAL_E_FORMAT},
        {"\"typ\":\"blobseal\",", "", BLOBSEAL_E_FORMAT},
        {"\"v\":1,", "", BLOBSEAL_E_FORMAT},
        {"\"layer\":1,", "", BLOBSEAL_E_FORMAT},
        {"\"gen\":1,", "", BLOBSEAL_E_FORMAT},
        {"{\"enc\"", "{\"alg\":\"RSA-OAEP-256\",\"enc\"", BLOBSEAL_E_FORMAT},
        {"{\"enc\"", "{\"kid\":\"key-0\",\"enc\"", BLOBSEAL_E_FORMAT},
        {"{\"enc\"", "{\"zip\":\"DEF\",\"enc\"", BLOBSEAL_E_FORMAT},
        {"{\"enc\"", "{\"crit\":[\"bs\"],\"enc\"", BLOBSEAL_E_FORMAT},
        {"{\"enc\"", "{\"\":1,\"enc\"", BLOBSEAL_E_FORMAT},
        {"{\"enc\"", "{\"enc\":\"A256GCM\",\"enc\"", BLOBSEAL_E_FORMAT},
        {"{\"enc\"", "{\"\\u0065nc\":\"A256GCM\",\"enc\"", BLOBSEAL_E_FORMAT},
        {"{\"enc\"", "{\"typ\":\"blobseal\",\"enc\"", BLOBSEAL_E_FORMAT},
        {"{\"enc\"", "{\"cty\":\"jwk+json\",\"enc\"", BLOBSEAL_E_FORMAT},
        {"{\"v\":1", "{\"v\":1,\"v\":1", BLOBSEAL_E_FORMAT},
        {"{\"v\":1", "{\"gen\":1,\"v\":1", BLOBSEAL_E_FORMAT},
        {"{\"v\":1", "{\"layer\":1,\"v\":1", BLOBSEAL_E_FORMAT},
        {"{\"v\":1", "{\"x\":1,\"v\":1", BLOBSEAL_E_FORMAT},
        {"{\"v\":1", "{\"x\":null,\"v\":1", BLOBSEAL_E_FORMAT},
        {"}}", "},\"bs\":{}}", BLOBSEAL_E_FORMAT},
        {"}}", "}}{}", BLOBSEAL_E_FORMAT},
        {"}}", "}", BLOBSEAL_E_FORMAT},
        {"}}", ",}}", BLOBSEAL_E_FORMAT},
        {"{\"enc\"", "[\"enc\"", BLOBSEAL_E_FORMAT},
        {"{\"enc\"", "\xEF\xBB\xBF{\"enc\"", BLOBSEAL_E_FORMAT},
        /* These are allowed by JSON and forbidden by no rule of the format. */
        {"{\"enc\"", " \t\r\n{ \"enc\" ", BLOBSEAL_OK},
        {"}}", "}}\n", BLOBSEAL_OK},
        {"\"enc\"", "\"\\u0065nc\"", BLOBSEAL_OK},
        {"\"typ\":\"blobseal\"", "\"typ\":\"blob\\u0073eal\"", BLOBSEAL_OK},
    };

    expect_edits(true, cases, COUNT(cases));
}

Test(envelope, header_without_bs_is_malformed)
{
    static struct parts p;

    parts_make(&p, 1);
    (void)snprintf(p.header, sizeof p.header, "{\"enc\":\"A256GCM\",\"cty\":\"jwk+json\",\"typ\":\"blobseal\"}");
    expect(&p, BLOBSEAL_E_FORMAT, "no bs");
    (void)snprintf(p.header, sizeof p.header, "{}");
    expect(&p, BLOBSEAL_E_FORMAT, "empty object");
    p.header[0] = '\0';
    expect(&p, BLOBSEAL_E_FORMAT, "empty");
}

/* ---- Recipients -------------------------------------------------------------------------------------------------- */

/* What an attacker without the CEK can do to the list of recipients. Each change must look like any other forgery. */
Test(envelope, recipients_cannot_be_edited)
{
    static struct parts p;
    struct bs_jwe_recipient spare;

    parts_make(&p, 3);
    p.jwe.num = 2;
    expect(&p, BLOBSEAL_E_AUTH, "the last one dropped");
    p.jwe.num = 1;
    expect(&p, BLOBSEAL_E_AUTH, "all but one dropped, flattened");

    parts_make(&p, 3);
    p.jwe.recipients[1].kid = "key-9";
    expect(&p, BLOBSEAL_E_AUTH, "another one relabelled");
    p.jwe.recipients[1].kid = "key-1x";
    expect(&p, BLOBSEAL_E_AUTH, "a label made longer");

    parts_make(&p, 3);
    spare = p.jwe.recipients[0];
    p.jwe.recipients[0] = p.jwe.recipients[2];
    p.jwe.recipients[2] = spare;
    expect(&p, BLOBSEAL_E_AUTH, "reordered");

    parts_make(&p, 3);
    p.jwe.recipients[3] =
        (struct bs_jwe_recipient){.alg = "RSA-OAEP-256", .kid = "me", .key = p.keys[0], .key_len = 256};
    p.jwe.num = 4;
    expect(&p, BLOBSEAL_E_AUTH, "one appended");

    parts_make(&p, 3);
    p.jwe.recipients[2].alg = "RSA-OAEP";
    expect(&p, BLOBSEAL_E_AUTH, "the algorithm of another one");

    for (size_t i = 0; i < 256; i += 17) {
        parts_make(&p, 3);
        p.keys[2][i] ^= 1;
        expect(&p, BLOBSEAL_E_AUTH, "the key of another one");
    }
    for (size_t i = sizeof(struct blobseal_secret32); i < 256; i += 17) {
        parts_make(&p, 3);
        p.keys[0][i] ^= 1; /* unwrapping still succeeds, because the fake key ignores its padding */
        expect(&p, BLOBSEAL_E_AUTH, "padding of my key");
    }
}

Test(envelope, rcpt_is_compared_over_its_whole_length)
{
    static struct parts p;

    for (size_t i = 0; i < 42; i++) { /* the 43rd character has unused bits */
        char *at;

        parts_make(&p, 2);
        at = strstr(p.header, p.rcpt);
        at[i] = at[i] == 'A' ? 'B' : 'A';
        expect(&p, BLOBSEAL_E_AUTH, "rcpt");
    }
}

/* ---- Content ----------------------------------------------------------------------------------------------------- */

Test(envelope, content_members_are_exactly_the_named_ones)
{
    static const struct edit_case cases[] = {
        {"\"kty\":\"oct\"", "\"kty\":\"RSA\"", BLOBSEAL_E_FORMAT},
        {"\"kty\":\"oct\"", "\"kty\":\"OCT\"", BLOBSEAL_E_FORMAT},
        {"\"kty\":\"oct\",", "", BLOBSEAL_E_FORMAT},
        {"{\"kty\"", "{\"kty\":\"oct\",\"kty\"", BLOBSEAL_E_FORMAT},
        {"{\"kty\"", "{\"alg\":\"A256GCM\",\"kty\"", BLOBSEAL_E_FORMAT},
        {"{\"kty\"", "{\"use\":\"enc\",\"kty\"", BLOBSEAL_E_FORMAT},
        {"\"k\":\"", "\"k\":\"AAAA", BLOBSEAL_E_FORMAT},
        {"\"k\":\"", "\"k\":\"\",\"x\":\"", BLOBSEAL_E_FORMAT},
        {"\"k\":", "\"k\":1,\"x\":", BLOBSEAL_E_FORMAT},
        {"\"k\":", "\"K\":", BLOBSEAL_E_FORMAT},
        {"\"kid\":\"", "\"kid\":\"AAAA", BLOBSEAL_E_FORMAT},
        {"\"kid\":", "\"id\":", BLOBSEAL_E_FORMAT},
        {"\"hdr\":", "\"header\":", BLOBSEAL_E_FORMAT},
        {"\"hdr\":\"", "\"hdr\":\"AAAA", BLOBSEAL_E_FORMAT},
        {"\"}", "\"", BLOBSEAL_E_FORMAT},
        {"\"}", "\"}x", BLOBSEAL_E_FORMAT},
        {"\"}", "\"}\n", BLOBSEAL_OK},
        {"\"}", "\",\"meta\":{}}", BLOBSEAL_E_FORMAT},
        {"\"}", "\",\"meta\":null}", BLOBSEAL_E_FORMAT},
        {"\"}", "\",\"meta\":[]}", BLOBSEAL_E_FORMAT},
        {"\"}", "\",\"meta\":\"\"}", BLOBSEAL_E_FORMAT},
        {"\"}", "\",\"meta\":\"{}\"}", BLOBSEAL_E_FORMAT},
        {"\"}", "\",\"meta\":\"e30=\"}", BLOBSEAL_E_FORMAT},
        {"\"}", "\",\"meta\":\"e31\"}", BLOBSEAL_E_FORMAT},
        {"\"}", "\",\"meta\":\"e30\",\"meta\":\"e30\"}", BLOBSEAL_E_FORMAT},
        {"\"}", "\",\"meta\":\"e30\"}", BLOBSEAL_E_AUTH}, /* `{}`, but not bound to the core header */
    };

    expect_edits(false, cases, COUNT(cases));
}

/* Make an envelope with @metadata, which is bound to the core header unless it is not @bound. */
static void metadata_make(struct parts *p, const char *metadata, bool bound)
{
    static char text[8192], member[8448];

    parts_make(p, 1);
    p->r.metadata = bound ? metadata : NULL;
    recipe_derive(&p->r);
    set_texts(p);
    b64(text, metadata, strlen(metadata));
    (void)snprintf(member, sizeof member, "\",\"meta\":\"%s\"}", text);
    edit_content(p, "\"}", member);
}

static void expect_metadata(const char *metadata, enum blobseal_status want)
{
    static struct parts p;

    metadata_make(&p, metadata, true);
    expect(&p, want, metadata);
}

Test(envelope, metadata_is_a_strict_json_object)
{
    static const char *const good[] = {
        "{}",
        " {\n} ",
        "{\"name\":\"a\",\"type\":\"text/plain\",\"ann\":{\"a\":\"b\",\"c\":\"d\"}}",
        "{\"name\":\"../../etc/passwd\"}", /* a name is never used as a path */
        "{\"name\":\"\\u0001\\ud83d\\udd12\"}",
    };
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "{}{}",
        "{}\x01",
        "\xEF\xBB\xBF{}",
        "\"e30\"",
        "{\"name\":1}",
        "{\"name\":\"a\",\"name\":\"a\"}",
        "{\"type\":\"a\",\"type\":\"a\"}",
        "{\"ann\":{},\"ann\":{}}",
        "{\"size\":\"a\"}",
        "{\"ann\":\"a\"}",
        "{\"ann\":{\"a\":1}}",
        "{\"ann\":{\"a\":{}}}",
        "{\"ann\":{\"a\":\"1\",\"a\":\"2\"}}",
        "{\"ann\":{\"a\":\"1\",\"\\u0061\":\"2\"}}",
        "{\"name\":\"\xFF\"}",
        "{\"name\":\"a\nb\"}",
        "{\"name\":\"a\\u0000\"}",
        "{\"ann\":{\"\\u0000\":\"\"}}",
        "{\"ann\":{\"a\":\"\\u0000b\"}}",
    };

    for (size_t i = 0; i < COUNT(good); i++)
        expect_metadata(good[i], BLOBSEAL_OK);
    for (size_t i = 0; i < COUNT(bad); i++)
        expect_metadata(bad[i], BLOBSEAL_E_FORMAT);
}

/* Another text of the same metadata is other metadata: the bytes are bound, not what they mean. */
Test(envelope, metadata_is_bound_to_the_core_header)
{
    static const char *const others[] = {"{} ", "{\"name\":\"b\"}", "{\"name\":\"\\u0061\"}", " {\"name\":\"a\"}"};
    static struct parts p;
    char text[64], other[64];

    metadata_make(&p, "{}", false);
    expect(&p, BLOBSEAL_E_AUTH, "added to a blob without metadata");
    b64(text, "{\"name\":\"a\"}", strlen("{\"name\":\"a\"}"));
    for (size_t i = 0; i < COUNT(others); i++) {
        metadata_make(&p, "{\"name\":\"a\"}", true);
        expect(&p, BLOBSEAL_OK, "unchanged");
        b64(other, others[i], strlen(others[i]));
        edit_content(&p, text, other);
        expect(&p, BLOBSEAL_E_AUTH, others[i]);
    }
    metadata_make(&p, "{\"name\":\"a\"}", true);
    set_texts(&p);
    expect(&p, BLOBSEAL_E_AUTH, "dropped");
}

Test(envelope, metadata_is_limited_to_4096_bytes)
{
    for (int len = 4095; len <= 4097; len++) {
        char text[4100];

        (void)snprintf(text, sizeof text, "{\"name\":\"%0*d\"}", len - (int)strlen("{\"name\":\"\"}"), 0);
        expect_metadata(text, len <= 4096 ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT);
    }
    expect_metadata("{}", BLOBSEAL_OK);
}

Test(envelope, metadata_has_at_most_64_annotations)
{
    for (unsigned n = 63; n <= 65; n++) {
        char text[2048];
        int len = snprintf(text, sizeof text, "{\"ann\":{\"a0\":\"\"");

        for (unsigned i = 1; i < n; i++)
            len += snprintf(text + len, sizeof text - (size_t)len, ",\"a%u\":\"\"", i);
        (void)snprintf(text + len, sizeof text - (size_t)len, "}}");
        expect_metadata(text, n <= 64 ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT);
    }
}

Test(envelope, content_is_limited_to_8192_bytes)
{
    static struct parts p;

    for (size_t len = BS_JWE_MAX_CONTENT - 1; len <= BS_JWE_MAX_CONTENT + 1; len++) {
        struct vec_bytes room = vec_copy(NULL, BLOBSEAL_MAX_ENVELOPE);
        struct bs_builder w = bs_builder_start(room.p, room.len);
        static const uint8_t zeros[BS_JWE_MAX_CONTENT + 1];
        struct bs_envelope e;
        size_t at;

        parts_make(&p, 1);
        cr_assert_eq(bs_jwe_write(&w, &p.jwe, (struct bs_slice){(const uint8_t *)p.header, strlen(p.header)}, &p.r.cek,
                                  (struct bs_slice){zeros, 0}, NULL),
                     BLOBSEAL_OK);
        at = (size_t)(strstr((const char *)room.p, "\"ciphertext\":\"") - (const char *)room.p) +
             strlen("\"ciphertext\":\"");
        memmove(room.p + at + BLOBSEAL_BASE64URL_LEN(len), room.p + at, w.len - at);
        blobseal_base64url_encode((char *)room.p + at, zeros, len <= sizeof zeros ? len : sizeof zeros);
        cr_expect_eq(bs_envelope_parse(&e, (const char *)room.p, w.len + BLOBSEAL_BASE64URL_LEN(len), NULL),
                     len <= BS_JWE_MAX_CONTENT ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT, "%zu", len);
        bs_envelope_clear(&e);
        free(room.p);
    }
}

/* ---- Later versions ---------------------------------------------------------------------------------------------- */

/* Whatever else a later version changes, it is never taken for a malformed envelope of this one. */
Test(envelope, another_version_is_unsupported_whatever_else_is_wrong)
{
    static const char *const versions[][2] = {{"\"v\":1", "\"v\":2"}, {"\"layer\":1", "\"layer\":2"}};
    static const char *const faults[][2] = {
        {"{\"enc\"", "{\"new\":[{},\"\",{\"a\":[1,{}]}],\"enc\""},
        {"\"bs\":{", "\"bs\":{\"new\":{\"a\":[]},"},
        {"\"typ\":\"blobseal\"", "\"typ\":\"other\""},
        {"\"gen\":1", "\"gen\":0"},
        {"\"gen\":1,", ""},
        {"\"blob\":\"", "\"blob\":\"AAAA"},
        {"\"cty\":\"jwk+json\",", ""},
    };
    static struct parts p;

    for (size_t v = 0; v < COUNT(versions); v++)
        for (size_t i = 0; i < COUNT(faults); i++) {
            parts_make(&p, 2);
            edit_header(&p, faults[i][0], faults[i][1]);
            expect(&p, BLOBSEAL_E_FORMAT, faults[i][1]);
            edit_header(&p, versions[v][0], versions[v][1]);
            expect(&p, BLOBSEAL_E_UNSUPPORTED, faults[i][1]);
        }
    parts_make(&p, 2);
    edit_header(&p, "\"v\":1", "\"v\":2");
    p.jwe.recipients[1].kid = "";
    expect(&p, BLOBSEAL_E_UNSUPPORTED, "a recipient that this version refuses");
}

/* ---- The binding between envelope and core ----------------------------------------------------------------------- */

Test(envelope, content_must_be_of_this_blob)
{
    static struct parts p, other;

    parts_make(&p, 1);
    recipe_make(&other.r, 99, 1);
    other.jwe = p.jwe;
    memcpy(other.rcpt, p.rcpt, sizeof p.rcpt);
    set_texts(&other);

    p.r.dek.b[31] ^= 1; /* a correct envelope with another DEK, which only the commitment reveals */
    set_texts(&p);
    expect(&p, BLOBSEAL_E_AUTH, "another DEK");

    parts_make(&p, 1);
    memcpy(p.content, other.content, sizeof p.content);
    expect(&p, BLOBSEAL_E_FORMAT, "the key of another blob");
}

Test(envelope, hdr_binds_every_byte_of_the_core_header)
{
    static struct parts p;

    for (size_t i = 0; i < BS_CORE_HEADER_LEN; i++) {
        struct bs_core_header as_sealed;

        parts_make(&p, 1);
        as_sealed = p.r.core;
        p.r.core.raw[i] ^= 1;
        set_texts(&p);
        p.r.core = as_sealed;
        expect(&p, BLOBSEAL_E_AUTH, "hdr");
    }
}

Test(envelope, commitment_is_checked_even_where_hdr_agrees)
{
    static struct parts p;

    for (size_t i = 0; i < BS_COMMITMENT_LEN; i++) {
        parts_make(&p, 1);
        p.r.core.commitment[i] ^= 0x80;
        bs_core_encode(&p.r.core); /* a dishonest writer: the core header that the envelope contains is the same */
        set_texts(&p);
        expect(&p, BLOBSEAL_E_AUTH, "commitment");
    }
    parts_make(&p, 1);
    p.r.core.salt[0] ^= 1;
    bs_core_encode(&p.r.core);
    set_texts(&p);
    expect(&p, BLOBSEAL_E_AUTH, "salt");
    parts_make(&p, 1);
    p.r.core.segments ^= 1;
    bs_core_encode(&p.r.core);
    set_texts(&p);
    expect(&p, BLOBSEAL_E_AUTH, "segments");
}

/* ---- Cryptography of the JWE ------------------------------------------------------------------------------------- */

Test(envelope, wrong_keys_and_tags_look_the_same)
{
    static struct parts p;

    parts_make(&p, 1);
    p.keys[0][0] ^= 1; /* unwraps to another CEK, and rcpt is correct */
    set_rcpt(&p);
    set_texts(&p);
    expect(&p, BLOBSEAL_E_AUTH, "another CEK");

    parts_make(&p, 1);
    p.jwe.recipients[0].alg = "RSA-OAEP"; /* unwrapping fails */
    set_rcpt(&p);
    set_texts(&p);
    expect(&p, BLOBSEAL_E_AUTH, "does not unwrap");

    parts_make(&p, 1);
    p.jwe.recipients[0].key_len = 0;
    expect(&p, BLOBSEAL_E_FORMAT, "no key at all");
}

/* Every character of iv, ciphertext and tag is authenticated, and also the text of `protected`. */
Test(envelope, every_member_of_the_jwe_is_authentic)
{
    static const char *const members[] = {"\"iv\":\"", "\"ciphertext\":\"", "\"tag\":\"", "\"protected\":\""};
    struct fake_kek fake = {.kid = "key-0"};
    struct blobseal_kek *kek = fake_kek_open(&fake);
    static struct parts p;
    struct blobseal_error err;
    char *text;

    parts_make(&p, 1);
    text = parts_write(&p);
    cr_assert_eq(open_text(&p, text, strlen(text), &kek, 1, &err), BLOBSEAL_OK, "%s", err.text);
    for (size_t m = 0; m < COUNT(members); m++) {
        char *at = strstr(text, members[m]) + strlen(members[m]);

        for (; *at != '"'; at++) {
            char was = *at;
            enum blobseal_status st;

            *at = was == 'A' ? 'B' : 'A';
            st = open_text(&p, text, strlen(text), &kek, 1, &err);
            cr_expect(st == BLOBSEAL_E_AUTH || (st == BLOBSEAL_E_FORMAT && (m == 3 || at[1] == '"')) ||
                          (st == BLOBSEAL_E_UNSUPPORTED && m == 3),
                      "%s: %s", members[m], blobseal_status_code(st));
            *at = was;
        }
    }
    free(text);
    blobseal_kek_close(kek);
}
