/* SPDX-License-Identifier: Apache-2.0 */
/* Which recipient and which KEK open a JWE, and the error if none opens it. FORMAT.md section 4.6, steps 2 and 3. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/jwe/jwe.h"
#include "kek/kek.h"
#include "tests/support/suite.h"

SUITE(jwe_open);

/* ---- A provider that returns what the test wants ----------------------------------------------------------------- */

struct fake {
    char kid[16];
    enum blobseal_status answer; /* returned by unwrap, for its own kid */
    const char *why;             /* text of the error; NULL: the error is left unfilled */
    struct blobseal_secret32 cek;
    uint64_t lease;                /* of what it unwraps */
    unsigned calls;                /* calls of unwrap, for any kid */
    unsigned own;                  /* calls of unwrap, for its own kid or for none */
    struct blobseal_wrapped asked; /* argument of the last call */
    unsigned closed;
};

static bool fake_owns(void *state, const char *alg, const char *kid)
{
    (void)alg;
    return strcmp(kid, ((struct fake *)state)->kid) == 0;
}

static enum blobseal_status fake_unwrap(void *state, struct blobseal_secret32 *secret,
                                        const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                        const struct blobseal_call *call, struct blobseal_error *err)
{
    struct fake *f = state;

    (void)call;
    lease->valid_until_unix_ms = f->lease;
    f->calls++;
    f->asked = *wrapped;
    f->own++;
    *secret = f->cek; /* also on failure, where core must not use it */
    if (f->answer != BLOBSEAL_OK && f->why != NULL)
        return blobseal_fail(err, f->answer, 0, "%s", f->why);
    return f->answer;
}

static void fake_close(void *state)
{
    ((struct fake *)state)->closed++;
}

static struct blobseal_provider provider;

/* ---- A JWE for recipients "k0", "k1", ... and as many KEKs ------------------------------------------------------- */

#define MOST 16

static const struct blobseal_secret32 the_cek = {{0xC0, 0xFF, 0xEE}};
static const char content[] = "what is inside";

#define CONTENT_LEN (sizeof content - 1)

struct scene {
    struct vec_bytes text;
    struct bs_jwe jwe;
    struct fake fakes[MOST];
    struct blobseal_kek *keks[MOST];
    size_t num;
    uint8_t out[CONTENT_LEN];
    struct blobseal_error err;
};

/* Start a scene with @num recipients and KEKs, all of which open. */
static void scene_start(struct scene *s, size_t num)
{
    static uint8_t room[BLOBSEAL_MAX_ENVELOPE], zeros[256];
    struct bs_builder w = bs_builder_start(room, sizeof room);
    struct bs_jwe_profile strict = {0};
    struct bs_jwe jwe = {.num = num};

    provider = fake_provider("fake");
    provider.owns = fake_owns;
    provider.unwrap = fake_unwrap;
    provider.close = fake_close;
    *s = (struct scene){.num = num};
    for (size_t i = 0; i < num; i++) {
        (void)snprintf(s->fakes[i].kid, sizeof s->fakes[i].kid, "k%u", (unsigned)i);
        s->fakes[i].cek = the_cek;
        s->fakes[i].why = "a reason";
        jwe.recipients[i] =
            (struct bs_jwe_recipient){.alg = "RSA-OAEP-256", .kid = s->fakes[i].kid, .key = zeros, .key_len = 256};
        const struct blobseal_kek_info info = {sizeof info, s->fakes[i].kid, "RSA-OAEP-256", 256, true, 0};

        cr_assert_eq(blobseal_kek_new(&s->keks[i], &provider, &s->fakes[i], &info, NULL), BLOBSEAL_OK);
    }
    cr_assert_eq(bs_jwe_write(&w, &jwe, (struct bs_slice){(const uint8_t *)"{\"enc\":\"A256GCM\"}", 17}, &the_cek,
                              (struct bs_slice){(const uint8_t *)content, CONTENT_LEN}, NULL),
                 BLOBSEAL_OK);
    s->text = vec_copy(room, w.len);
    cr_assert_eq(bs_jwe_parse(&s->jwe, (const char *)s->text.p, s->text.len, &strict, NULL), BLOBSEAL_OK);
}

static void scene_end(struct scene *s)
{
    for (size_t i = 0; i < s->num; i++) {
        blobseal_kek_close(s->keks[i]);
        cr_assert_eq(s->fakes[i].closed, 1);
    }
    bs_jwe_clear(&s->jwe);
    free(s->text.p);
}

/* Open with @keks, and check what must be true for every outcome. */
static enum blobseal_status open_with(struct scene *s, struct blobseal_kek *const *keks, size_t num)
{
    enum blobseal_status st;

    memset(s->out, 0xA5, sizeof s->out);
    s->err = (struct blobseal_error){0};
    st = bs_jwe_open(&s->jwe, false, (struct bs_keks){keks, num, NULL}, s->out, NULL, &s->err);
    cr_assert_eq(s->err.status, st, "status %d in the error, %d answered", (int)s->err.status, (int)st);
    if (st == BLOBSEAL_OK)
        cr_assert_arr_eq(s->out, content, CONTENT_LEN);
    else
        cr_assert_neq(memcmp(s->out, content, CONTENT_LEN), 0, "content after a refusal");
    return st;
}

static enum blobseal_status open_all(struct scene *s)
{
    return open_with(s, s->keks, s->num);
}

/* ---- Which recipient and KEK open -------------------------------------------------------------------------------- */

Test(jwe_open, any_key_of_any_recipient_opens)
{
    for (size_t num = 1; num <= 4; num++)
        for (size_t i = 0; i < num; i++) {
            struct scene s;

            scene_start(&s, num);
            cr_assert_eq(open_with(&s, &s.keks[i], 1), BLOBSEAL_OK, "key %zu of %zu", i, num);
            cr_assert_eq(s.fakes[i].own, 1);
            scene_end(&s);
        }
}

Test(jwe_open, recipients_are_tried_in_their_order)
{
    struct blobseal_kek *reversed[3];
    struct scene s;

    scene_start(&s, 3);
    for (size_t i = 0; i < 3; i++)
        reversed[i] = s.keks[2 - i];
    cr_assert_eq(open_with(&s, reversed, 3), BLOBSEAL_OK);
    cr_assert(s.fakes[0].own == 1 && s.fakes[1].own == 0 && s.fakes[2].own == 0, "k0 stands first in the JWE");
    scene_end(&s);
}

Test(jwe_open, a_provider_is_told_what_stands_in_the_envelope)
{
    struct scene s;

    scene_start(&s, 2);
    cr_assert_eq(open_with(&s, &s.keks[1], 1), BLOBSEAL_OK);
    cr_assert_str_eq(s.fakes[1].asked.kid, "k1");
    cr_assert_str_eq(s.fakes[1].asked.alg, "RSA-OAEP-256");
    cr_assert_eq(s.fakes[1].asked.key_len, 256);
    cr_assert_eq(s.fakes[1].asked.key, s.jwe.recipients[1].key);
    cr_assert(s.fakes[1].calls == 1 && s.fakes[1].own == 1);
    scene_end(&s);
}

Test(jwe_open, a_bare_jwe_names_no_key_so_each_may_try)
{
    struct scene s;

    scene_start(&s, 3);
    s.fakes[0].answer = s.fakes[1].answer = BLOBSEAL_E_AUTH;
    cr_assert_eq(bs_jwe_open(&s.jwe, true, (struct bs_keks){s.keks, 3, NULL}, s.out, NULL, &s.err), BLOBSEAL_OK);
    cr_assert_null(s.fakes[2].asked.kid);
    cr_assert_str_eq(s.fakes[2].asked.alg, "RSA-OAEP-256");
    cr_assert(s.fakes[0].own == 1 && s.fakes[1].own == 1 && s.fakes[2].own == 1);
    scene_end(&s);
}

Test(jwe_open, a_kek_that_cannot_unwrap_is_not_asked)
{
    struct blobseal_kek_info info = {sizeof info, "k0", "RSA-OAEP-256", 256, false, 0};
    struct blobseal_kek *public;
    struct scene s;

    scene_start(&s, 1);
    cr_assert_eq(blobseal_kek_new(&public, &provider, &s.fakes[0], &info, NULL), BLOBSEAL_OK);
    cr_assert_not(blobseal_kek_can_unwrap(public));
    cr_assert_eq(open_with(&s, &public, 1), BLOBSEAL_E_NO_KEY);
    cr_assert_eq(s.fakes[0].calls, 0);
    blobseal_kek_close(public);
    s.fakes[0].closed = 0;
    scene_end(&s);
}

/* ---- No KEK opens ------------------------------------------------------------------------------------------------ */

Test(jwe_open, no_key_for_any_recipient)
{
    struct scene s, other;

    scene_start(&s, 3);
    scene_start(&other, 5);
    cr_assert_eq(open_with(&s, NULL, 0), BLOBSEAL_E_NO_KEY);
    cr_assert_eq(open_with(&s, &other.keks[3], 2), BLOBSEAL_E_NO_KEY);
    cr_assert_not_null(strstr(s.err.hint, "3 recipients"), "%s", s.err.hint);
    cr_assert_not_null(strstr(s.err.hint, "k0"), "%s", s.err.hint);
    cr_assert(other.fakes[3].calls == 0 && other.fakes[3].own == 0);
    scene_end(&s);
    scene_end(&other);
}

Test(jwe_open, a_recipient_with_an_unknown_algorithm_is_never_tried)
{
    struct scene s, other;

    scene_start(&s, 2);
    scene_start(&other, 3);
    s.jwe.recipients[0].alg = "dir";
    cr_assert_eq(open_all(&s), BLOBSEAL_OK);
    cr_assert(s.fakes[0].calls == 0 && s.fakes[1].calls == 1, "only for the second recipient");
    cr_assert_eq(open_with(&s, &other.keks[2], 1), BLOBSEAL_E_UNSUPPORTED);
    cr_assert_not_null(strstr(s.err.text, "dir (a shared key)"), "%s", s.err.text);
    cr_assert_not_null(strstr(s.err.hint, "k0"), "%s", s.err.hint);
    cr_assert_eq(open_with(&s, NULL, 0), BLOBSEAL_E_UNSUPPORTED);
    s.fakes[1].answer = BLOBSEAL_E_AUTH;
    cr_assert_eq(open_with(&s, s.keks, 2), BLOBSEAL_E_AUTH, "it does not hide a failure");
    scene_end(&s);
    scene_end(&other);
}

enum { UNWRAP_FAILS, WRONG_CEK, IV, CIPHERTEXT, TAG, PROTECTED, NUM_FORGERIES };

static void forge(struct scene *s, int how)
{
    uint8_t *p =
        how == CIPHERTEXT ? (uint8_t *)(uintptr_t)s->jwe.ciphertext.p : (uint8_t *)(uintptr_t)s->jwe.protected_text.p;

    if (how == UNWRAP_FAILS)
        s->fakes[0].answer = BLOBSEAL_E_AUTH;
    else if (how == WRONG_CEK)
        s->fakes[0].cek.b[31] ^= 1;
    else if (how == IV)
        s->jwe.iv[0] ^= 1;
    else if (how == TAG)
        s->jwe.tag[15] ^= 0x80;
    else
        p[0] ^= 1;
}

Test(jwe_open, all_forgeries_look_the_same)
{
    struct blobseal_error first = {0};

    for (int how = 0; how < NUM_FORGERIES; how++) {
        struct scene s;

        scene_start(&s, 1);
        forge(&s, how);
        cr_assert_eq(open_all(&s), BLOBSEAL_E_AUTH, "forgery %d", how);
        cr_assert(bs_all_zero(s.out, sizeof s.out), "content of forgery %d", how);
        if (how == 0)
            first = s.err;
        cr_assert_eq(s.err.sys_errno, first.sys_errno);
        cr_assert_str_eq(s.err.text, first.text);
        cr_assert_str_eq(s.err.hint, first.hint);
        cr_assert_null(strstr(s.err.text, "reason"), "what the provider said about it came out: %s", s.err.text);
        scene_end(&s);
    }
}

/* If a provider fails but still returns a secret, that secret must not become the CEK. */
Test(jwe_open, a_secret_that_comes_with_a_failure_is_not_used)
{
    struct blobseal_secret32 secret = {{1}};
    struct blobseal_wrapped wrapped = {"RSA-OAEP-256", "k0", NULL, 0};
    struct scene s;

    scene_start(&s, 1);
    s.fakes[0].answer = BLOBSEAL_E_AUTH; /* the correct CEK is in @secret */
    cr_assert_eq(open_all(&s), BLOBSEAL_E_AUTH);
    cr_assert_eq(bs_kek_unwrap(s.keks[0], &secret, &wrapped, NULL, NULL, NULL), BLOBSEAL_E_AUTH);
    cr_assert(bs_all_zero(secret.b, sizeof secret.b));
    scene_end(&s);
}

Test(jwe_open, the_error_may_be_null)
{
    struct scene s;

    scene_start(&s, 1);
    cr_assert_eq(bs_jwe_open(&s.jwe, false, (struct bs_keks){NULL, 0, NULL}, s.out, NULL, NULL), BLOBSEAL_E_NO_KEY);
    cr_assert_eq(bs_jwe_open(&s.jwe, false, (struct bs_keks){s.keks, 1, NULL}, s.out, NULL, NULL), BLOBSEAL_OK);
    s.fakes[0].answer = BLOBSEAL_E_DENIED;
    cr_assert_eq(bs_jwe_open(&s.jwe, false, (struct bs_keks){s.keks, 1, NULL}, s.out, NULL, NULL), BLOBSEAL_E_DENIED);
    scene_end(&s);
}

/* ---- At most 8 attempts ------------------------------------------------------------------------------------------ */

static unsigned attempts(const struct scene *s)
{
    unsigned n = 0;

    for (size_t i = 0; i < s->num; i++)
        n += s->fakes[i].own;
    return n;
}

Test(jwe_open, the_eighth_attempt_counts_and_the_ninth_is_not_made)
{
    static const enum blobseal_status failures[] = {BLOBSEAL_E_AUTH, BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_DENIED};

    for (size_t f = 0; f < 3; f++)
        for (size_t good = 6; good < 10; good++) {
            struct scene s;

            scene_start(&s, 12);
            for (size_t i = 0; i < s.num; i++)
                s.fakes[i].answer = i == good ? BLOBSEAL_OK : failures[f];
            cr_assert_eq(open_all(&s), good < 8 ? BLOBSEAL_OK : failures[f], "good key at %zu", good);
            cr_assert_eq(attempts(&s), good < 8 ? good + 1 : 8);
            scene_end(&s);
        }
}

Test(jwe_open, wrong_ceks_count_as_attempts_too)
{
    struct scene s;

    scene_start(&s, 9);
    for (size_t i = 0; i < 8; i++)
        s.fakes[i].cek.b[0] ^= 1;
    cr_assert_eq(open_all(&s), BLOBSEAL_E_AUTH);
    cr_assert_eq(attempts(&s), 8);
    scene_end(&s);
}

Test(jwe_open, keys_of_others_do_not_count)
{
    struct blobseal_kek *keks[13];
    struct scene s, other;

    scene_start(&s, 3);
    scene_start(&other, 13);
    for (size_t i = 0; i < 13; i++) /* k3 to k12 are not recipients of s */
        keks[i] = i < 10 ? other.keks[3 + i] : s.keks[i - 10];
    cr_assert_eq(open_with(&s, keks, 13), BLOBSEAL_OK);
    cr_assert(s.fakes[0].own == 1 && attempts(&other) == 0 && other.fakes[12].calls == 0);
    scene_end(&s);
    scene_end(&other);
}

/* ---- KEKs that are unavailable or denied ------------------------------------------------------------------------- */

Test(jwe_open, others_are_tried_while_one_cannot_be_reached)
{
    static const enum blobseal_status failures[] = {BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_DENIED, BLOBSEAL_E_UNSUPPORTED};

    for (size_t f = 0; f < 3; f++) {
        struct scene s;

        scene_start(&s, 3);
        s.fakes[0].answer = s.fakes[1].answer = failures[f];
        cr_assert_eq(open_all(&s), BLOBSEAL_OK);
        scene_end(&s);
    }
}

Test(jwe_open, the_first_such_answer_is_reported_if_none_opens)
{
    static const enum blobseal_status orders[][3] = {
        {BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_DENIED, BLOBSEAL_E_AUTH},
        {BLOBSEAL_E_DENIED, BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_AUTH},
        {BLOBSEAL_E_AUTH, BLOBSEAL_E_DENIED, BLOBSEAL_E_UNAVAILABLE},
        {BLOBSEAL_E_AUTH, BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_AUTH},
        {BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_AUTH, BLOBSEAL_E_UNAVAILABLE},
    };
    static const char *const why[] = {"the first", "the second", "the third"};

    for (size_t row = 0; row < sizeof orders / sizeof orders[0]; row++) {
        size_t first = orders[row][0] == BLOBSEAL_E_AUTH ? 1 : 0;
        struct scene s;

        scene_start(&s, 3);
        for (size_t i = 0; i < 3; i++) {
            s.fakes[i].answer = orders[row][i];
            s.fakes[i].why = why[i];
        }
        cr_assert_eq(open_all(&s), orders[row][first], "row %zu", row);
        cr_assert_str_eq(s.err.text, why[first]);
        cr_assert_eq(attempts(&s), 3);
        scene_end(&s);
    }
}

Test(jwe_open, any_other_error_ends_it)
{
    static const enum blobseal_status fatal[] = {BLOBSEAL_E_INTERNAL, BLOBSEAL_E_NOMEM, BLOBSEAL_E_CANCELED,
                                                 BLOBSEAL_E_CONFIG, BLOBSEAL_E_POLICY};

    for (size_t f = 0; f < sizeof fatal / sizeof fatal[0]; f++) {
        struct scene s;

        scene_start(&s, 2);
        s.fakes[0].answer = fatal[f];
        cr_assert_eq(open_all(&s), fatal[f]);
        cr_assert_str_eq(s.err.text, "a reason");
        cr_assert_eq(s.fakes[1].calls, 0);
        scene_end(&s);
    }
}

/*
 * kek.h: statuses returned by providers are checked, so that core can rely on them. A status without an error text
 * counts.
 */
Test(jwe_open, an_answer_without_an_error_text_counts)
{
    static const enum blobseal_status answers[] = {BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_DENIED, BLOBSEAL_E_INTERNAL};

    for (size_t a = 0; a < 3; a++)
        for (size_t at = 0; at < 2; at++) {
            struct scene s;

            scene_start(&s, 2);
            s.fakes[0].answer = s.fakes[1].answer = BLOBSEAL_E_AUTH;
            s.fakes[at].answer = answers[a];
            s.fakes[at].why = NULL;
            cr_assert_eq(open_all(&s), answers[a], "answer %zu at %zu", a, at);
            cr_assert_str_not_empty(s.err.text);
            scene_end(&s);
        }
}
