/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelopes with correct cryptography and exactly one fault: sections 4.3 to 4.6. Most are made by editing the text of
 * the protected header or of the content before encryption, or by editing the recipients without a new `rcpt`.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/core/envelope/parts.h"

SUITE(envelope);

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
