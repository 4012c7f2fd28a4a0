/* SPDX-License-Identifier: Apache-2.0 */
/* The protected header of a JWE, bare JWEs, hostile texts, and the output of the writer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "core/jwe/jwe.h"
#include "tests/support/suite.h"

SUITE(jwe_write);

static const struct bs_jwe_profile strict = {.bare = false}, bare = {.bare = true};

/* Append @text with every ' replaced by ". */
static void put_quoted(struct bs_builder *w, const char *text)
{
    for (; *text != '\0'; text++)
        bs_put8(w, *text == '\'' ? '"' : (uint8_t)*text);
}

/* Build a flattened JWE with @header as protected header, and @rest in place of `header`. In both, ' is a quote. */
static struct vec_bytes text_with(const char *header, const char *rest)
{
    static uint8_t room[70000], decoded[1024];
    struct bs_builder h = bs_builder_start(decoded, sizeof decoded), w = bs_builder_start(room, sizeof room);
    static const uint8_t zeros[256];

    put_quoted(&h, header);
    put_quoted(&w, "{'protected':'");
    bs_put_base64url(&w, decoded, h.len);
    put_quoted(&w, "','iv':'AAAAAAAAAAAAAAAA','ciphertext':'AA','tag':'AAAAAAAAAAAAAAAAAAAAAA'");
    put_quoted(&w, rest);
    put_quoted(&w, ",'encrypted_key':'");
    bs_put_base64url(&w, zeros, sizeof zeros);
    put_quoted(&w, "'}");
    cr_assert(h.ok && w.ok);
    return vec_copy(room, w.len);
}

static enum blobseal_status parse(const char *header, const char *rest, const struct bs_jwe_profile *profile)
{
    struct vec_bytes text = text_with(header, rest);
    struct bs_jwe jwe;
    enum blobseal_status st = bs_jwe_parse(&jwe, (const char *)text.p, text.len, profile, NULL);

    free(text.p);
    bs_jwe_clear(&jwe);
    return st;
}

#define RECIPIENT ",'header':{'alg':'RSA-OAEP-256','kid':'a'}"

/* ---- The protected header ---------------------------------------------------------------------------------------- */

Test(jwe_write, protected_header_is_strict_json_with_enc)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{'enc':'A256GCM'",
        "{'enc':'A256GCM'}}",
        "{'enc':'A256GCM'} x",
        "'enc'",
        "{'enc':'A256GCM','enc':'A256GCM'}",
        "{'enc':'A256GCM','\\u0065nc':'A256GCM'}",
        "{'enc':1}",
        "{'enc':['A256GCM']}",
        "{'enc':null}",
        "{'enc':'A256GCM',}",
        "{'Enc':'A256GCM'}",
        "{'enc':'A256GCM','cty':'x'}",
        "{'enc':'A256GCM','zip':'DEF'}",
        "{'enc':'A256GCM','crit':['x']}",
        "{'enc':'A256GCM','jku':'https://x'}",
        "{'enc':'A256GCM','':''}",
        "\xEF\xBB\xBF{'enc':'A256GCM'}",
        "{'enc':'A256GCM\xFF'}",
    };

    cr_assert_eq(parse("{'enc':'A256GCM'}", RECIPIENT, &strict), BLOBSEAL_OK);
    cr_assert_eq(parse(" { 'enc' : 'A\\u003256GCM' } ", RECIPIENT, &strict), BLOBSEAL_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(parse(bad[i], RECIPIENT, &strict), BLOBSEAL_E_FORMAT, "%s", bad[i]);
}

Test(jwe_write, other_content_encryption_is_unsupported)
{
    static const char *const bad[] = {"A128GCM",  "A192GCM", "A256CBC-HS512",  "A256gcm",
                                      "A256GCM ", "",        "A256GCM\\u0000", "XC20P"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char header[64];

        (void)snprintf(header, sizeof header, "{'enc':'%s'}", bad[i]);
        cr_assert_eq(parse(header, RECIPIENT, &strict), BLOBSEAL_E_UNSUPPORTED, "%s", bad[i]);
        cr_assert_eq(parse(header, RECIPIENT, &bare), BLOBSEAL_E_UNSUPPORTED, "%s", bad[i]);
    }
}

Test(jwe_write, an_envelope_names_keys_in_recipient_headers_only)
{
    cr_assert_eq(parse("{'enc':'A256GCM','alg':'RSA-OAEP-256'}", ",'header':{'kid':'a'}", &strict), BLOBSEAL_E_FORMAT);
    cr_assert_eq(parse("{'enc':'A256GCM','kid':'a'}", ",'header':{'alg':'RSA-OAEP'}", &strict), BLOBSEAL_E_FORMAT);
    cr_assert_eq(parse("{'enc':'A256GCM','alg':'RSA-OAEP','kid':'a'}", "", &strict), BLOBSEAL_E_FORMAT);
}

Test(jwe_write, a_bare_jwe_may_name_keys_in_either_header)
{
    static const struct {
        const char *header, *rest;
        enum blobseal_status expected;
    } rows[] = {
        {"{'enc':'A256GCM','alg':'RSA-OAEP-256','kid':'a'}", "", BLOBSEAL_OK},
        {"{'enc':'A256GCM','alg':'RSA-OAEP-256'}", "", BLOBSEAL_OK},
        {"{'enc':'A256GCM','alg':'RSA-OAEP-256'}", ",'header':{'kid':'a'}", BLOBSEAL_OK},
        {"{'enc':'A256GCM','alg':'RSA-OAEP-256'}", ",'header':{}", BLOBSEAL_OK},
        {"{'enc':'A256GCM'}", ",'header':{'alg':'RSA-OAEP'}", BLOBSEAL_OK},
        {"{'enc':'A256GCM'}", RECIPIENT, BLOBSEAL_OK},
        {"{'enc':'A256GCM'}", "", BLOBSEAL_E_FORMAT}, /* no alg in either header */
        {"{'enc':'A256GCM'}", ",'header':{'kid':'a'}", BLOBSEAL_E_FORMAT},
        {"{'enc':'A256GCM','alg':'RSA-OAEP-256'}", RECIPIENT, BLOBSEAL_E_FORMAT}, /* alg in both headers */
        {"{'enc':'A256GCM','kid':'a'}", RECIPIENT, BLOBSEAL_E_FORMAT},
        {"{'enc':'A256GCM','alg':'RSA-OAEP','alg':'RSA-OAEP'}", "", BLOBSEAL_E_FORMAT},
        {"{'enc':'A256GCM','alg':'RSA-OAEP','kid':''}", "", BLOBSEAL_E_FORMAT},
        {"{'enc':'A256GCM','alg':'RSA-OAEP','kid':'a','kid':'a'}", "", BLOBSEAL_E_FORMAT},
        {"{'enc':'A256GCM','alg':1}", "", BLOBSEAL_E_FORMAT},
        {"{'enc':'A256GCM','alg':'RSA1_5'}", "", BLOBSEAL_E_UNSUPPORTED},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_eq(parse(rows[i].header, rows[i].rest, &bare), rows[i].expected, "row %zu", i);
}

/* ---- The user's members ------------------------------------------------------------------------------------------ */

struct seen {
    unsigned calls;
    uint64_t number;
    enum blobseal_status answer;
};

static enum blobseal_status read_n(void *ctx, struct bs_slice name, struct bs_json *j, struct blobseal_error *err)
{
    struct seen *s = ctx;

    s->calls++;
    if (!bs_slice_is(name, "n"))
        return bs_malformed(err, "not n");
    (void)bs_json_uint(j, &s->number);
    return s->answer;
}

Test(jwe_write, other_members_are_for_the_profile)
{
    struct seen s = {.answer = BLOBSEAL_OK};
    const struct bs_jwe_profile profile = {.member = read_n, .ctx = &s};

    cr_assert_eq(parse("{'n':7,'enc':'A256GCM'}", RECIPIENT, &profile), BLOBSEAL_OK);
    cr_assert(s.calls == 1 && s.number == 7);
    cr_assert_eq(parse("{'enc':'A256GCM','m':7}", RECIPIENT, &profile), BLOBSEAL_E_FORMAT);
    cr_assert_eq(parse("{'enc':'A256GCM','n':'7'}", RECIPIENT, &profile), BLOBSEAL_E_FORMAT,
                 "a fault left in the JSON");
    s.answer = BLOBSEAL_E_UNSUPPORTED;
    cr_assert_eq(parse("{'enc':'A256GCM','n':7,'n':8}", RECIPIENT, &profile), BLOBSEAL_E_UNSUPPORTED);
    cr_assert_eq(s.calls, 4, "it is not asked again after an error");
}

/* ---- Hostile texts ----------------------------------------------------------------------------------------------- */

Test(jwe_write, is_limited_to_65512_bytes)
{
    struct vec_bytes text = text_with("{'enc':'A256GCM'}", RECIPIENT);

    for (size_t len = BLOBSEAL_MAX_ENVELOPE - 1; len <= BLOBSEAL_MAX_ENVELOPE + 1; len++) {
        struct vec_bytes padded = vec_copy(NULL, len);
        struct bs_jwe jwe;

        memset(padded.p, ' ', len);
        memcpy(padded.p, text.p, text.len);
        cr_assert_eq(bs_jwe_parse(&jwe, (const char *)padded.p, len, &strict, NULL),
                     len <= BLOBSEAL_MAX_ENVELOPE ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT);
        bs_jwe_clear(&jwe);
        free(padded.p);
    }
    free(text.p);
}

Test(jwe_write, no_truncated_text_is_accepted_and_no_changed_one_is_misread)
{
    struct vec_bytes text = text_with("{'enc':'A256GCM'}", RECIPIENT);
    struct bs_jwe jwe;

    for (size_t cut = 0; cut < text.len; cut++) {
        struct vec_bytes part = vec_copy(text.p, cut);

        cr_assert_eq(bs_jwe_parse(&jwe, (const char *)part.p, cut, &strict, NULL), BLOBSEAL_E_FORMAT,
                     "truncated at %zu", cut);
        bs_jwe_clear(&jwe);
        free(part.p);
    }
    for (size_t at = 0; at < text.len; at++) {
        static const uint8_t values[] = {0, '"', '\\', '{', '}', '[', ']', ',', ':', 'u', '=', 0x80, 0xE2, 0xFF};
        uint8_t was = text.p[at];

        for (size_t i = 0; i < sizeof values; i++) {
            text.p[at] = values[i];
            if (bs_jwe_parse(&jwe, (const char *)text.p, text.len, &strict, NULL) == BLOBSEAL_OK)
                cr_assert(jwe.num == 1 && jwe.recipients[0].key_len <= 256 && jwe.recipients[0].alg != NULL);
            bs_jwe_clear(&jwe);
        }
        text.p[at] = was;
    }
    free(text.p);
}

/* ---- Recipients of a new JWE ------------------------------------------------------------------------------------- */

Test(jwe_write, a_new_jwe_keeps_copies_of_its_recipients)
{
    uint8_t key[BS_JWE_MAX_KEY];
    char kid[] = "kid", alg[] = "alg";
    struct bs_jwe jwe;

    memset(key, 0x55, sizeof key);
    cr_assert_eq(bs_jwe_new(&jwe, NULL), BLOBSEAL_OK);
    cr_assert_eq(bs_jwe_add(&jwe, &(struct bs_jwe_recipient){alg, kid, key, sizeof key}, NULL), BLOBSEAL_OK);
    cr_assert_eq(bs_jwe_add(&jwe, &(struct bs_jwe_recipient){alg, "", key, 1}, NULL), BLOBSEAL_OK);
    memset(key, 0, sizeof key);
    kid[0] = alg[0] = 'x';
    cr_assert_eq(jwe.num, 2);
    cr_assert_str_eq(jwe.recipients[0].alg, "alg");
    cr_assert_str_eq(jwe.recipients[0].kid, "kid");
    cr_assert_eq(jwe.recipients[0].key_len, sizeof key);
    cr_assert(jwe.recipients[0].key[0] == 0x55 && jwe.recipients[0].key[sizeof key - 1] == 0x55);
    cr_assert_str_empty(jwe.recipients[1].kid);
    bs_jwe_clear(&jwe);
    bs_jwe_clear(&jwe);
}

Test(jwe_write, a_new_jwe_takes_64_recipients_and_no_more_than_an_envelope_holds)
{
    static const uint8_t key[BS_JWE_MAX_KEY];
    struct blobseal_error err = {0};
    struct bs_jwe jwe;

    cr_assert_eq(bs_jwe_new(&jwe, NULL), BLOBSEAL_OK);
    for (size_t i = 0; i < BLOBSEAL_MAX_RECIPIENTS; i++)
        cr_assert_eq(bs_jwe_add(&jwe, &(struct bs_jwe_recipient){"RSA-OAEP", "k", key, 512}, NULL), BLOBSEAL_OK);
    cr_assert_eq(bs_jwe_add(&jwe, &(struct bs_jwe_recipient){"a", "k", key, 1}, &err), BLOBSEAL_E_POLICY);
    cr_assert_not_null(strstr(err.text, "64"));
    bs_jwe_clear(&jwe);

    cr_assert_eq(bs_jwe_new(&jwe, NULL), BLOBSEAL_OK);
    for (size_t i = 0; i < 15; i++)
        cr_assert_eq(bs_jwe_add(&jwe, &(struct bs_jwe_recipient){"a", "k", key, sizeof key}, NULL), BLOBSEAL_OK);
    cr_assert_eq(bs_jwe_add(&jwe, &(struct bs_jwe_recipient){"a", "k", key, sizeof key}, &err), BLOBSEAL_E_POLICY);
    cr_assert_not_null(strstr(err.text, "too large"));
    cr_assert_eq(jwe.num, 15);
    bs_jwe_clear(&jwe);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

#define HEADER "{\"enc\":\"A256GCM\"}"

static const struct blobseal_secret32 cek = {{0x11, 0x22, 0x33}};

struct sample {
    struct bs_jwe jwe;
    char kids[BLOBSEAL_MAX_RECIPIENTS][32];
    uint8_t keys[BLOBSEAL_MAX_RECIPIENTS][512];
    uint8_t content[200];
};

static void sample_make(struct sample *s, size_t num, uint64_t seed)
{
    static const size_t lens[] = {256, 384, 512};

    *s = (struct sample){0};
    s->jwe.num = num;
    vec_random_fill(&seed, s->content, sizeof s->content);
    for (size_t i = 0; i < num; i++) {
        (void)snprintf(s->kids[i], sizeof s->kids[i], "%zu\"\\/~!", i);
        vec_random_fill(&seed, s->keys[i], sizeof s->keys[i]);
        s->jwe.recipients[i] = (struct bs_jwe_recipient){
            .alg = i % 5 == 4   ? "an\\\"algorithm"
                   : i % 2 == 0 ? "RSA-OAEP-256"
                                : "RSA-OAEP",
            .kid = s->kids[i],
            .key = s->keys[i],
            .key_len = lens[vec_random(&seed) % 3],
        };
    }
}

static enum blobseal_status write_sample(struct bs_builder *w, const struct sample *s, size_t content_len)
{
    struct blobseal_error err = {0};
    enum blobseal_status st = bs_jwe_write(w, &s->jwe, (struct bs_slice){(const uint8_t *)HEADER, strlen(HEADER)}, &cek,
                                           (struct bs_slice){s->content, content_len}, &err);

    cr_assert_eq(err.status, st);
    return st;
}

/* Decrypt with EVP: the text of the protected header is the additional data. */
static bool decrypts(const struct bs_jwe *jwe, uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t tag[16];
    int n = 0;
    bool ok;

    memcpy(tag, jwe->tag, sizeof tag);
    ok = EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, cek.b, jwe->iv) == 1 &&
         EVP_DecryptUpdate(ctx, NULL, &n, jwe->protected_text.p, (int)jwe->protected_text.len) == 1 &&
         EVP_DecryptUpdate(ctx, out, &n, jwe->ciphertext.p, (int)jwe->ciphertext.len) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1 && EVP_DecryptFinal_ex(ctx, out + n, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

static void check_equal(const struct bs_jwe *got, const struct sample *s)
{
    uint8_t content[sizeof s->content];

    cr_assert_eq(got->num, s->jwe.num);
    for (size_t i = 0; i < got->num; i++) {
        const struct bs_jwe_recipient *a = &got->recipients[i], *b = &s->jwe.recipients[i];

        cr_assert_str_eq(a->alg, b->alg);
        cr_assert_str_eq(a->kid, b->kid);
        cr_assert_eq(a->key_len, b->key_len);
        cr_assert_arr_eq(a->key, b->key, b->key_len);
    }
    cr_assert_eq(got->ciphertext.len, sizeof content);
    cr_assert(decrypts(got, content));
    cr_assert_arr_eq(content, s->content, sizeof content);
}

Test(jwe_write, round_trips_1_to_64_recipients)
{
    static uint8_t room[BLOBSEAL_MAX_ENVELOPE + 1];
    static struct sample s;

    for (size_t num = 1; num <= BLOBSEAL_MAX_RECIPIENTS; num++) {
        struct bs_builder w = bs_builder_start(room, BLOBSEAL_MAX_ENVELOPE);
        struct bs_jwe back;

        sample_make(&s, num, num);
        cr_assert_eq(write_sample(&w, &s, sizeof s.content), BLOBSEAL_OK, "%zu recipients", num);
        room[w.len] = '\0';
        cr_assert_eq(strstr((const char *)room, "\"recipients\":[") != NULL, num > 1, "%zu in the wrong form", num);
        cr_assert_eq(strstr((const char *)room, "\"protected\":\""), (const char *)room + 1);
        cr_assert_eq(bs_jwe_parse(&back, (const char *)room, w.len, &strict, NULL), BLOBSEAL_OK);
        check_equal(&back, &s);
        bs_jwe_clear(&back);
    }
}

Test(jwe_write, each_writing_has_an_iv_of_its_own)
{
    static uint8_t room[2][4096];
    static struct sample s;
    struct bs_jwe jwe[2];

    sample_make(&s, 1, 1);
    for (size_t i = 0; i < 2; i++) {
        struct bs_builder w = bs_builder_start(room[i], sizeof room[i]);

        cr_assert_eq(write_sample(&w, &s, 10), BLOBSEAL_OK);
        cr_assert_eq(bs_jwe_parse(&jwe[i], (const char *)room[i], w.len, &strict, NULL), BLOBSEAL_OK);
    }
    cr_assert_neq(memcmp(jwe[0].iv, jwe[1].iv, BS_JWE_IV_LEN), 0);
    bs_jwe_clear(&jwe[0]);
    bs_jwe_clear(&jwe[1]);
}

Test(jwe_write, what_does_not_fit_is_a_matter_of_policy)
{
    static uint8_t room[8192];
    static struct sample s;
    struct bs_builder w = bs_builder_start(room, sizeof room);
    size_t needed;

    sample_make(&s, 2, 5);
    cr_assert_eq(write_sample(&w, &s, sizeof s.content), BLOBSEAL_OK);
    needed = w.len;
    for (size_t cap = 0; cap <= needed; cap++) {
        struct vec_bytes exact = vec_copy(NULL, cap);

        w = bs_builder_start(exact.p, cap);
        cr_assert_eq(write_sample(&w, &s, sizeof s.content), cap < needed ? BLOBSEAL_E_POLICY : BLOBSEAL_OK,
                     "%zu bytes", cap);
        free(exact.p);
    }
}

Test(jwe_write, content_is_limited_to_40960_bytes)
{
    static uint8_t room[60000], content[BS_JWE_MAX_LARGE + 1];
    static struct sample s;

    sample_make(&s, 1, 6);
    for (size_t len = BS_JWE_MAX_LARGE - 1; len <= BS_JWE_MAX_LARGE + 1; len++) {
        struct bs_builder w = bs_builder_start(room, sizeof room);

        cr_assert_eq(bs_jwe_write(&w, &s.jwe, (struct bs_slice){(const uint8_t *)HEADER, strlen(HEADER)}, &cek,
                                  (struct bs_slice){content, len}, NULL),
                     len <= BS_JWE_MAX_LARGE ? BLOBSEAL_OK : BLOBSEAL_E_ARG);
    }
    struct bs_builder w = bs_builder_start(room, sizeof room);

    cr_assert_eq(bs_jwe_write(&w, &s.jwe, (struct bs_slice){(const uint8_t *)HEADER, strlen(HEADER)}, &cek,
                              (struct bs_slice){content, 0}, NULL),
                 BLOBSEAL_OK, "no content");
}
