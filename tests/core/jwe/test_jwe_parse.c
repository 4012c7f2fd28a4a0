/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of FORMAT.md section 4.2, one by one. Opening is tested in test_jwe_open.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "core/jwe/jwe.h"
#include "tests/support/suite.h"

SUITE(jwe_parse);

static const struct bs_jwe_profile strict = {.bare = false}, bare = {.bare = true};

/* ---- Texts from templates ---------------------------------------------------------------------------------------- */

/* Append `count` times 'A', which is the base64url text of zero bytes. */
static void put_a(struct bs_builder *w, size_t count)
{
    while (count-- > 0)
        bs_put8(w, 'A');
}

/*
 * Expand a template: ' is a quote, $P the protected header {"enc":"A256GCM"}, $H a recipient's header, $K an encrypted
 * key, $I iv, $C ciphertext, $T tag. Everything else is copied. The text is at the end of an allocation.
 */
static struct vec_bytes expand(const char *template)
{
    static uint8_t room[200000];
    struct bs_builder w = bs_builder_start(room, sizeof room);

    for (const char *p = template; *p != '\0'; p++) {
        if (*p != '$') {
            bs_put8(&w, *p == '\'' ? '"' : (uint8_t)*p);
            continue;
        }
        p++;
        if (*p == 'H') {
            bs_put_text(&w, "{\"alg\":\"RSA-OAEP-256\",\"kid\":\"a\"}");
            continue;
        }
        bs_put8(&w, '"');
        if (*p == 'P')
            bs_put_base64url(&w, "{\"enc\":\"A256GCM\"}", 17);
        else
            put_a(&w, *p == 'K' ? 342 : *p == 'I' ? 16 : *p == 'T' ? 22 : 2);
        bs_put8(&w, '"');
    }
    cr_assert(w.ok);
    return vec_copy(room, w.len);
}

static enum blobseal_status parse_bytes(struct vec_bytes text, const struct bs_jwe_profile *profile,
                                        struct blobseal_error *err)
{
    struct bs_jwe jwe;
    enum blobseal_status st;

    *err = (struct blobseal_error){0};
    st = bs_jwe_parse(&jwe, (const char *)text.p, text.len, profile, err);
    cr_assert_eq(err->status, st);
    cr_assert(st == BLOBSEAL_OK || err->text[0] != '\0');
    cr_assert(st == BLOBSEAL_OK || st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_UNSUPPORTED);
    bs_jwe_clear(&jwe);
    bs_jwe_clear(&jwe);
    return st;
}

static enum blobseal_status parse_with(const char *template, const struct bs_jwe_profile *profile,
                                       struct blobseal_error *err)
{
    struct vec_bytes text = expand(template);
    enum blobseal_status st = parse_bytes(text, profile, err);

    free(text.p);
    return st;
}

static enum blobseal_status parse(const char *template)
{
    struct blobseal_error err;

    return parse_with(template, &strict, &err);
}

static enum blobseal_status parse_bare(const char *template)
{
    struct blobseal_error err;

    return parse_with(template, &bare, &err);
}

#define CHECK_ALL(list, call, expected)                                                                                \
    for (size_t i_ = 0; i_ < sizeof(list) / sizeof((list)[0]); i_++)                                                   \
    cr_assert_eq(call((list)[i_]), expected, "%s", (list)[i_])

/* The members after $P in most templates. */
#define REST ",'iv':$I,'ciphertext':$C,'tag':$T}"
#define FLAT "{'protected':$P,'header':$H,'encrypted_key':$K" REST

/* ---- Form -------------------------------------------------------------------------------------------------------- */

Test(jwe_parse, takes_both_forms_in_any_order)
{
    static const char *const good[] = {
        FLAT,
        "{'protected':$P,'recipients':[{'header':$H,'encrypted_key':$K}]" REST,
        "{'protected':$P,'recipients':[{'encrypted_key':$K,'header':$H}]" REST,
        "{'tag':$T,'ciphertext':$C,'iv':$I,'encrypted_key':$K,'header':$H,'protected':$P}",
        "{'tag':$T,'recipients':[{'encrypted_key':$K,'header':$H}],'protected':$P,'ciphertext':$C,'iv':$I}",
        " {\n'protected' : $P ,\t'header' : $H , 'encrypted_key' : $K , 'iv' : $I , 'ciphertext':$C,'tag':$T\r} ",
        "{'protecte\\u0064':$P,'header':$H,'encrypted_key':$K" REST,
        "{'protected':$P,'header':{'kid':'a','alg':'RSA-OAEP'},'encrypted_key':$K" REST,
        "{'protected':$P,'header':$H,'encrypted_key':$K,'iv':$I,'ciphertext':'','tag':$T}",
    };

    CHECK_ALL(good, parse, BLOBSEAL_OK);
}

Test(jwe_parse, reads_what_is_written)
{
    struct vec_bytes text = expand("{'protected':$P,'recipients':[{'header':$H,'encrypted_key':$K},"
                                   "{'header':{'alg':'RSA-OAEP','kid':'b\\\"'},'encrypted_key':$K}]" REST);
    struct bs_jwe jwe;

    cr_assert_eq(bs_jwe_parse(&jwe, (const char *)text.p, text.len, &strict, NULL), BLOBSEAL_OK);
    free(text.p); /* the result does not point into the text */
    cr_assert_eq(jwe.num, 2);
    cr_assert_str_eq(jwe.recipients[0].alg, "RSA-OAEP-256");
    cr_assert_str_eq(jwe.recipients[0].kid, "a");
    cr_assert_eq(jwe.recipients[0].key_len, 256);
    cr_assert(bs_all_zero(jwe.recipients[0].key, 256));
    cr_assert_str_eq(jwe.recipients[1].alg, "RSA-OAEP");
    cr_assert_str_eq(jwe.recipients[1].kid, "b\"");
    cr_assert_eq(jwe.ciphertext.len, 1);
    cr_assert(bs_slice_is(jwe.protected_text, "eyJlbmMiOiJBMjU2R0NNIn0"));
    bs_jwe_clear(&jwe);
    cr_assert_null(jwe.buf);
}

Test(jwe_parse, every_member_is_needed_once)
{
    static const char *const bad[] = {
        "{'header':$H,'encrypted_key':$K" REST,
        "{'protected':$P,'encrypted_key':$K" REST,
        "{'protected':$P,'header':$H" REST,
        "{'protected':$P" REST,
        "{'protected':$P,'header':$H,'encrypted_key':$K,'ciphertext':$C,'tag':$T}",
        "{'protected':$P,'header':$H,'encrypted_key':$K,'iv':$I,'tag':$T}",
        "{'protected':$P,'header':$H,'encrypted_key':$K,'iv':$I,'ciphertext':$C}",
        "{'protected':$P,'protected':$P,'header':$H,'encrypted_key':$K" REST,
        "{'protected':$P,'header':$H,'header':$H,'encrypted_key':$K" REST,
        "{'protected':$P,'header':$H,'encrypted_key':$K,'encrypted_key':$K" REST,
        "{'protected':$P,'header':$H,'encrypted_key':$K,'iv':$I" REST,
        "{'protected':$P,'header':$H,'encrypted_key':$K,'ciphertext':$C" REST,
        "{'protected':$P,'header':$H,'encrypted_key':$K,'tag':$T" REST,
        "{'protected':$P,'header':$H,'encrypted_key':$K,'\\u0069v':$I" REST,
        "{'protected':$P,'header':$H,'encrypted_key':$K,'\\u0074\\u0061\\u0067':$T" REST,
        "{}",
        "[]",
        "",
        "$P",
    };

    CHECK_ALL(bad, parse, BLOBSEAL_E_FORMAT);
}

Test(jwe_parse, no_other_member_is_allowed)
{
    static const char *const bad[] = {
        "{'unprotected':{},'protected':$P,'header':$H,'encrypted_key':$K" REST,
        "{'aad':'AA','protected':$P,'header':$H,'encrypted_key':$K" REST,
        "{'alg':'RSA-OAEP-256','protected':$P,'header':$H,'encrypted_key':$K" REST,
        "{'Protected':$P,'protected':$P,'header':$H,'encrypted_key':$K" REST,
        "{'':'','protected':$P,'header':$H,'encrypted_key':$K" REST,
        "{'iv\\u0000':$I,'protected':$P,'header':$H,'encrypted_key':$K" REST,
        "{'protected':$P,'header':{'alg':'RSA-OAEP','kid':'a','jku':'x'},'encrypted_key':$K" REST,
        "{'protected':$P,'header':{'alg':'RSA-OAEP','kid':'a','enc':'A256GCM'},'encrypted_key':$K" REST,
        "{'protected':$P,'header':{'alg':'RSA-OAEP','kid':'a','zip':'DEF'},'encrypted_key':$K" REST,
        "{'protected':$P,'header':{'alg':'RSA-OAEP','kid':'a','crit':['b64']},'encrypted_key':$K" REST,
        "{'protected':$P,'recipients':[{'header':$H,'encrypted_key':$K,'aad':''}]" REST,
        "{'protected':$P,'recipients':[{'header':$H,'encrypted_key':$K,'kid':'a'}]" REST,
    };

    CHECK_ALL(bad, parse, BLOBSEAL_E_FORMAT);
    CHECK_ALL(bad, parse_bare, BLOBSEAL_E_FORMAT);
}

Test(jwe_parse, it_is_not_flattened_and_general_at_once)
{
    static const char *const bad[] = {
        "{'protected':$P,'header':$H,'recipients':[{'header':$H,'encrypted_key':$K}]" REST,
        "{'protected':$P,'encrypted_key':$K,'recipients':[{'header':$H,'encrypted_key':$K}]" REST,
        "{'protected':$P,'recipients':[{'header':$H,'encrypted_key':$K}],'header':$H,'encrypted_key':$K" REST,
        "{'protected':$P,'recipients':[],'header':$H,'encrypted_key':$K" REST,
    };

    CHECK_ALL(bad, parse, BLOBSEAL_E_FORMAT);
    CHECK_ALL(bad, parse_bare, BLOBSEAL_E_FORMAT);
}

Test(jwe_parse, wrong_types_are_refused)
{
    static const char *const bad[] = {
        "{'protected':{'enc':'A256GCM'},'header':$H,'encrypted_key':$K" REST,
        "{'protected':1,'header':$H,'encrypted_key':$K" REST,
        "{'protected':$P,'header':'','encrypted_key':$K" REST,
        "{'protected':$P,'header':[],'encrypted_key':$K" REST,
        "{'protected':$P,'header':$H,'encrypted_key':[$K]" REST,
        "{'protected':$P,'header':$H,'encrypted_key':null" REST,
        "{'protected':$P,'header':$H,'encrypted_key':$K,'iv':0,'ciphertext':$C,'tag':$T}",
        "{'protected':$P,'header':$H,'encrypted_key':$K,'iv':$I,'ciphertext':{},'tag':$T}",
        "{'protected':$P,'header':$H,'encrypted_key':$K,'iv':$I,'ciphertext':$C,'tag':[]}",
        "{'protected':$P,'header':{'alg':1,'kid':'a'},'encrypted_key':$K" REST,
        "{'protected':$P,'header':{'alg':'RSA-OAEP','kid':7},'encrypted_key':$K" REST,
        "{'protected':$P,'header':{'alg':'RSA-OAEP','kid':'a','region':'eu'},'encrypted_key':$K" REST,
        "{'protected':$P,'recipients':{'header':$H,'encrypted_key':$K}" REST,
        "{'protected':$P,'recipients':''" REST,
        "{'protected':$P,'recipients':[$K]" REST,
        "{'protected':$P,'recipients':[[]]" REST,
        "{'protected':$P,'recipients':[1]" REST,
        "[" FLAT "]",
        FLAT FLAT,
        FLAT ",",
        FLAT "x",
    };

    CHECK_ALL(bad, parse, BLOBSEAL_E_FORMAT);
}

/* ---- Recipients -------------------------------------------------------------------------------------------------- */

/*
 * Parse a general JWE with @num recipients with kids "0" to "num-1". The last one is named @last_kid if that is not
 * NULL.
 */
static enum blobseal_status parse_many(size_t num, const char *last_kid)
{
    static char template[70 * 100];
    size_t n = (size_t)snprintf(template, sizeof template, "{'protected':$P,'recipients':[");

    for (size_t i = 0; i < num; i++)
        n += (size_t)snprintf(template + n, sizeof template - n,
                              "%s{'header':{'alg':'RSA-OAEP-256','kid':'%zu%s'},'encrypted_key':$K}", i > 0 ? "," : "",
                              i + 1 == num && last_kid != NULL ? (size_t)0 : i,
                              i + 1 == num && last_kid != NULL ? last_kid : "");
    (void)snprintf(template + n, sizeof template - n, "]%s", REST);
    return parse(template);
}

Test(jwe_parse, has_1_to_64_recipients)
{
    cr_assert_eq(parse_many(0, NULL), BLOBSEAL_E_FORMAT);
    for (size_t n = 1; n <= 64; n++)
        cr_assert_eq(parse_many(n, NULL), BLOBSEAL_OK, "%zu", n);
    cr_assert_eq(parse_many(65, NULL), BLOBSEAL_E_FORMAT);
}

Test(jwe_parse, no_two_recipients_have_one_kid)
{
    for (size_t n = 2; n <= 64; n++)
        cr_assert_eq(parse_many(n, ""), BLOBSEAL_E_FORMAT, "%zu", n);
    cr_assert_eq(parse_many(2, "0"), BLOBSEAL_OK);
    /* Kids that are equal after unescaping. */
    cr_assert_eq(parse("{'protected':$P,'recipients':[{'header':$H,'encrypted_key':$K},{'header':{'alg':"
                       "'RSA-OAEP','kid':'\\u0061'},'encrypted_key':$K}]" REST),
                 BLOBSEAL_E_FORMAT);
}

Test(jwe_parse, every_recipient_is_complete)
{
    static const char *const bad[] = {
        "{'protected':$P,'recipients':[{}]" REST,
        "{'protected':$P,'recipients':[{'header':$H}]" REST,
        "{'protected':$P,'recipients':[{'encrypted_key':$K}]" REST,
        "{'protected':$P,'recipients':[{'header':$H,'encrypted_key':$K},{}]" REST,
        "{'protected':$P,'recipients':[{'header':$H,'header':$H,'encrypted_key':$K}]" REST,
        "{'protected':$P,'recipients':[{'header':{},'header':$H,'encrypted_key':$K}]" REST,
        "{'protected':$P,'recipients':[{'header':$H,'encrypted_key':$K,'encrypted_key':$K}]" REST,
        "{'protected':$P,'recipients':[],'recipients':[{'header':$H,'encrypted_key':$K}]" REST,
        "{'protected':$P,'recipients':[{'header':$H,'encrypted_key':$K},]" REST,
        "{'protected':$P,'header':{},'encrypted_key':$K" REST,
        "{'protected':$P,'header':{'alg':'RSA-OAEP'},'encrypted_key':$K" REST,
        "{'protected':$P,'header':{'kid':'a'},'encrypted_key':$K" REST,
        "{'protected':$P,'header':{'alg':'RSA-OAEP','alg':'RSA-OAEP','kid':'a'},'encrypted_key':$K" REST,
        "{'protected':$P,'header':{'alg':'RSA-OAEP','kid':'a','kid':'a'},'encrypted_key':$K" REST,
    };

    CHECK_ALL(bad, parse, BLOBSEAL_E_FORMAT);
}

/* Parse a flattened JWE whose header has the member @member with @len times @c as its value. */
static enum blobseal_status parse_token(const char *member, size_t len, char c)
{
    static char template[4096];
    size_t n = (size_t)snprintf(template, sizeof template, "{'protected':$P,'header':{'%s':'%s','%s':'",
                                strcmp(member, "kid") == 0 ? "alg" : "kid", "RSA-OAEP", member);

    memset(template + n, c, len);
    (void)snprintf(template + n + len, sizeof template - n - len, "'},'encrypted_key':$K%s", REST);
    return parse(template);
}

Test(jwe_parse, kid_and_alg_are_visible_ascii_of_limited_length)
{
    static const struct {
        const char *member;
        size_t max;
    } tokens[] = {{"kid", 512}, {"alg", 64}};

    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(parse_token(tokens[i].member, 0, 'x'), BLOBSEAL_E_FORMAT);
        cr_assert_eq(parse_token(tokens[i].member, 1, 'x'), BLOBSEAL_OK);
        cr_assert_eq(parse_token(tokens[i].member, tokens[i].max, 'x'), BLOBSEAL_OK);
        cr_assert_eq(parse_token(tokens[i].member, tokens[i].max + 1, 'x'), BLOBSEAL_E_FORMAT);
        for (int c = 1; c < 256; c++)
            if (strchr("\"\\$'", c) == NULL) /* these have a meaning in JSON or in the template */
                cr_assert_eq(parse_token(tokens[i].member, 3, (char)c),
                             c >= '!' && c <= '~' ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT, "%s of %d", tokens[i].member, c);
    }
    cr_assert_eq(parse("{'protected':$P,'header':{'alg':'RSA-OAEP','kid':'a\\u0000'},'encrypted_key':$K" REST),
                 BLOBSEAL_E_FORMAT, "a zero byte in a kid");
    cr_assert_eq(parse("{'protected':$P,'header':{'alg':'RSA-OAEP','kid':'\\u00e9'},'encrypted_key':$K" REST),
                 BLOBSEAL_E_FORMAT);
}

/* ---- Algorithms -------------------------------------------------------------------------------------------------- */

static const char *const algorithms[] = {
    "RSA1_5",
    "dir",
    "PBES2-HS256+A128KW",
    "PBES2-HS512+A256KW",
    "ECDH-ES",
    "ECDH-ES+A128KW",
    "A128KW",
    "A256GCMKW",
    "RSA-OAEP-384",
    "RSA-OAEP-512",
    "HPKE-0",
    "none",
    "RSA-OAEP-",
    "RSA_OAEP",
    "RSA-OAEP-2566",
    "rsa-oaep-256",
    "RSA",
    "dirx",
    "PBES2-",
    "ECDH",
    "~!#",
};

/* An envelope keeps a recipient whose algorithm is unknown. A bare JWE is refused, and the algorithm is named. */
Test(jwe_parse, other_algorithms_are_kept_in_an_envelope_and_refused_in_a_bare_jwe)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        struct blobseal_error err;
        char template[1024];

        (void)snprintf(template, sizeof template,
                       "{'protected':$P,'header':{'alg':'%s','kid':'a'},'encrypted_key':$K%s", algorithms[i], REST);
        cr_assert_eq(parse(template), BLOBSEAL_OK, "%s", algorithms[i]);
        cr_assert_eq(parse_with(template, &bare, &err), BLOBSEAL_E_UNSUPPORTED, "%s", algorithms[i]);
        cr_assert_not_null(strstr(err.text, algorithms[i]), "'%s' does not name %s", err.text, algorithms[i]);
    }
}

Test(jwe_parse, an_algorithm_is_visible_ascii)
{
    static const char *const bad[] = {
        "",           "RSA-OAEP-256 ", " RSA-OAEP", "RSA-OAEP\\u0000", "\\u001b[31m", "RSA-OAEP-256\\u0000",
        "dir\\u0000", "\\u00e9"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char template[1024];

        (void)snprintf(template, sizeof template,
                       "{'protected':$P,'header':{'alg':'%s','kid':'a'},'encrypted_key':$K%s", bad[i], REST);
        cr_assert_eq(parse(template), BLOBSEAL_E_FORMAT, "%s", bad[i]);
        cr_assert_eq(parse_bare(template), BLOBSEAL_E_FORMAT, "%s", bad[i]);
    }
}

/* In a bare JWE that is `unsupported` whatever else the other algorithm brings along: another length, or no key. */
Test(jwe_parse, other_algorithms_of_bare_jwes_are_unsupported_whatever_the_length_of_their_keys)
{
    static const char *const bare_ones[] = {
        "{'protected':'eyJhbGciOiJBMjU2S1ciLCJlbmMiOiJBMjU2R0NNIn0','encrypted_key':"
        "'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'" REST, /* A256KW */
        "{'protected':'eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0'" REST,   /* dir */
    };

    CHECK_ALL(bare_ones, parse_bare, BLOBSEAL_E_UNSUPPORTED);
}

/* ---- Lengths and base64url --------------------------------------------------------------------------------------- */

/* Parse with the text of @member replaced by @len characters 'A' followed by @end. */
static enum blobseal_status parse_b64(const char *member, size_t len, const char *end)
{
    static char template[8192];
    static const char *const names[] = {"encrypted_key", "iv", "tag", "ciphertext"};
    static const char *const usual[] = {"$K", "$I", "$T", "$C"};
    size_t n = (size_t)snprintf(template, sizeof template, "{'protected':$P,'header':$H");

    for (size_t i = 0; i < 4; i++)
        if (strcmp(names[i], member) == 0) {
            n += (size_t)snprintf(template + n, sizeof template - n, ",'%s':'", names[i]);
            memset(template + n, 'A', len);
            n += len + (size_t)snprintf(template + n + len, sizeof template - n - len, "%s'", end);
        } else {
            n += (size_t)snprintf(template + n, sizeof template - n, ",'%s':%s", names[i], usual[i]);
        }
    (void)snprintf(template + n, sizeof template - n, "}");
    return parse(template);
}

Test(jwe_parse, lengths_are_checked)
{
    static const size_t keys[] = {0, 1, 2, 40, 255, 256, 512, 1000, 4095, 4096, 4097, 5000};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        cr_assert_eq(parse_b64("encrypted_key", BLOBSEAL_BASE64URL_LEN(keys[i]), ""),
                     keys[i] >= 1 && keys[i] <= 4096 ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT, "%zu", keys[i]);
    for (size_t bytes = 0; bytes <= 64; bytes++) {
        size_t chars = BLOBSEAL_BASE64URL_LEN(bytes);

        cr_assert_eq(parse_b64("iv", chars, ""), bytes == 12 ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT, "iv of %zu", bytes);
        cr_assert_eq(parse_b64("tag", chars, ""), bytes == 16 ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT, "tag of %zu", bytes);
        cr_assert_eq(parse_b64("ciphertext", chars, ""), BLOBSEAL_OK);
    }
}

Test(jwe_parse, base64url_is_canonical_everywhere)
{
    static const struct {
        const char *member;
        size_t len;
    } fields[] = {{"encrypted_key", 342}, {"iv", 16}, {"tag", 22}, {"ciphertext", 4}};
    static const char *const tails[] = {"=", "==", "A", "+", "/", ".", " ", "\\n", "\\u0000", "\\u00e9"};

    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(parse_b64(fields[i].member, fields[i].len, ""), BLOBSEAL_OK);
        for (size_t k = 0; k < sizeof tails / sizeof tails[0]; k++) {
            if (i > 0 || strcmp(tails[k], "A") != 0) /* an encrypted key may be a byte longer */
                cr_assert_eq(parse_b64(fields[i].member, fields[i].len, tails[k]), BLOBSEAL_E_FORMAT, "%s, %s",
                             fields[i].member, tails[k]);
            if (strcmp(tails[k], "A") != 0) /* in place of the last character */
                cr_assert_eq(parse_b64(fields[i].member, fields[i].len - 1, tails[k]), BLOBSEAL_E_FORMAT, "%s, %s",
                             fields[i].member, tails[k]);
        }
    }
    cr_assert_eq(parse_b64("tag", 21, "B"), BLOBSEAL_E_FORMAT, "stray low bits");
    cr_assert_eq(parse_b64("encrypted_key", 341, "B"), BLOBSEAL_E_FORMAT, "stray low bits");
}
