/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which keys an envelope is written for, which keys are tried when it is opened, and which statuses providers may
 * return: section 4.6.
 */
#include <stdio.h>
#include <stdlib.h>

#include "blobseal_config.h"
#include "tests/support/suite.h"

SUITE(envelope_keys);

#define MAX_KEKS 66

/* Fake keys "key-00", "key-01", ... */
struct ring {
    struct fake_kek fake[MAX_KEKS];
    char kids[MAX_KEKS][BLOBSEAL_MAX_KID + 1];
    struct blobseal_kek *kek[MAX_KEKS];
    size_t num;
};

static struct ring ring;
static struct recipe recipe;

static void ring_open(size_t num)
{
    ring = (struct ring){.num = num};
    recipe_make(&recipe, 7, 1);
    for (size_t i = 0; i < num; i++) {
        (void)snprintf(ring.kids[i], sizeof ring.kids[i], "key-%02u", (unsigned)i);
        ring.fake[i].kid = ring.kids[i];
        ring.kek[i] = fake_kek_open(&ring.fake[i]);
    }
}

static void ring_close(void)
{
    for (size_t i = 0; i < ring.num; i++)
        blobseal_kek_close(ring.kek[i]);
    for (size_t i = 0; i < ring.num; i++)
        cr_assert_eq(ring.fake[i].closes, 1);
}

static enum blobseal_status open_for(const char *text, struct blobseal_kek *const *keks, size_t num,
                                     struct blobseal_error *err)
{
    static struct bs_chunked_keys keys;
    struct bs_envelope e;
    enum blobseal_status st;

    memset(err, 0x55, sizeof *err); /* like an uninitialised struct on the caller's stack */
    memset(&keys, 0, sizeof keys);
    st = bs_envelope_parse(&e, text, strlen(text), err);
    if (st == BLOBSEAL_OK)
        st = open_envelope(&e, &recipe.core, keks, num, &keys, err);
    bs_envelope_clear(&e);
    cr_assert(st != BLOBSEAL_OK || memcmp(&keys, &recipe.keys, sizeof keys) == 0);
    return st;
}

Test(envelope_keys, every_recipient_opens)
{
    static const size_t counts[] = {1, 2, 3, 10, 64};
    struct blobseal_error err;

    for (size_t c = 0; c < COUNT(counts); c++) {
        char *text;

        ring_open(counts[c]);
        text = recipe_envelope(&recipe, 1, ring.kek, ring.num);
        cr_expect_eq(strstr(text, "\"recipients\"") != NULL, ring.num > 1, "one is flattened, more are general");
        for (size_t i = 0; i < ring.num; i++) {
            cr_expect_eq(open_for(text, &ring.kek[i], 1, &err), BLOBSEAL_OK, "%s", err.text);
            cr_expect_eq(ring.fake[i].wraps, 1);
            cr_expect_eq(ring.fake[i].unwraps, 1);
        }
        free(text);
        ring_close();
    }
}

Test(envelope_keys, no_recipient_is_for_my_key)
{
    struct blobseal_error err;
    char *text;

    ring_open(4);
    text = recipe_envelope(&recipe, 1, ring.kek, 2);
    cr_expect_eq(open_for(text, &ring.kek[2], 2, &err), BLOBSEAL_E_NO_KEY);
    cr_expect_eq(err.status, BLOBSEAL_E_NO_KEY);
    cr_expect_not_null(strstr(err.hint, "key-00"), "the hint names a recipient: %s", err.hint);
    cr_expect_eq(open_for(text, ring.kek, 0, &err), BLOBSEAL_E_NO_KEY);
    cr_expect_eq(ring.fake[2].unwraps + ring.fake[3].unwraps, 0);
    free(text);
    ring_close();
}

Test(envelope_keys, a_public_key_opens_nothing)
{
    struct fake_kek fake = {.kid = "key-00", .public_only = true};
    struct blobseal_kek *kek = fake_kek_open(&fake);
    struct blobseal_error err;
    char *text;

    recipe_make(&recipe, 7, 1);
    text = recipe_envelope(&recipe, 1, &kek, 1);
    cr_expect_eq(open_for(text, &kek, 1, &err), BLOBSEAL_E_NO_KEY);
    cr_expect_eq(fake.unwraps, 0);
    free(text);
    blobseal_kek_close(kek);
}

Test(envelope_keys, kids_are_compared_byte_by_byte)
{
    static const char *const other[] = {"KEY-00", "key-0", "key-000", "key-01"};
    struct blobseal_error err;
    char *text;

    ring_open(1);
    text = recipe_envelope(&recipe, 1, ring.kek, 1);
    for (size_t i = 0; i < COUNT(other); i++) {
        struct fake_kek fake = {.kid = other[i]};
        struct blobseal_kek *kek = fake_kek_open(&fake);

        cr_expect_eq(open_for(text, &kek, 1, &err), BLOBSEAL_E_NO_KEY, "%s", other[i]);
        blobseal_kek_close(kek);
    }
    free(text);
    ring_close();
}

/* A blob must not be able to make a token perform thousands of private-key operations. */
Test(envelope_keys, at_most_8_attempts)
{
    struct blobseal_error err;
    char *text;

    for (unsigned fails = 0; fails <= 12; fails++) {
        struct fake_kek eager = {.kid = "mine", .takes_any_kid = true};
        struct fake_kek never = {.kid = "never", .takes_any_kid = true, .alg = "RSA-OAEP"};
        struct blobseal_kek *keks[16];

        ring_open(1);
        text = recipe_envelope(&recipe, 1, ring.kek, 1);
        for (unsigned i = 0; i < fails; i++)
            keks[i] = fake_kek_open(&never); /* fails like a wrong key, because its alg is another one */
        keks[fails] = fake_kek_open(&eager);
        cr_expect_eq(open_for(text, keks, fails + 1, &err), fails < 8 ? BLOBSEAL_OK : BLOBSEAL_E_AUTH, "%u", fails);
        cr_expect_eq(never.unwraps + eager.unwraps, fails < 8 ? fails + 1 : 8);
        for (unsigned i = 0; i <= fails; i++)
            blobseal_kek_close(keks[i]);
        free(text);
        ring_close();
    }
}

Test(envelope_keys, at_most_8_attempts_over_all_recipients)
{
    struct fake_kek storm = {.kid = "mine", .takes_any_kid = true, .wrapped_len = 384};
    struct blobseal_kek *kek = fake_kek_open(&storm);
    struct blobseal_error err;
    char *text;

    ring_open(64);
    text = recipe_envelope(&recipe, 1, ring.kek, 64);
    cr_expect_eq(open_for(text, &kek, 1, &err), BLOBSEAL_E_AUTH);
    cr_expect_eq(storm.unwraps, 8);
    free(text);
    blobseal_kek_close(kek);
    ring_close();
}

/* What a blob claims must not make the library ask a vault again and again. Keys at hand are tried nevertheless. */
Test(envelope_keys, at_most_2_attempts_over_a_network)
{
    struct fake_kek storm = {.kid = "mine", .takes_any_kid = true, .wrapped_len = 384, .remote = true};
    struct blobseal_kek *keks[2] = {fake_kek_open(&storm), NULL};
    struct blobseal_error err;
    char *text;

    ring_open(64);
    text = recipe_envelope(&recipe, 1, ring.kek, 64);
    cr_expect_eq(open_for(text, keks, 1, &err), BLOBSEAL_E_AUTH);
    cr_expect_eq(storm.unwraps, 2);
    keks[1] = ring.kek[63];
    cr_expect_eq(open_for(text, keks, 2, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_eq(storm.unwraps, 4);
    free(text);
    blobseal_kek_close(keks[0]);
    ring_close();
}

/* Without a limit of the caller, the one of the configuration is for all attempts together. */
Test(envelope_keys, attempts_over_a_network_share_one_deadline)
{
    struct fake_kek storm = {
        .kid = "mine", .takes_any_kid = true, .wrapped_len = 384, .remote = true, .revocable = true};
    struct blobseal_kek *kek = fake_kek_open(&storm);
    struct blobseal_call call = bs_call_start(0, NULL);
    struct blobseal_config *config;
    uint64_t deadline = 0;

    cr_assert_eq(blobseal_config_new(&config, NULL), BLOBSEAL_OK);
    bs_kek_set_config(kek, config);
    bs_kek_limit(kek, &call, &deadline);
    cr_expect(deadline != 0 && call.deadline_ms == deadline);
    call.deadline_ms = 0;
    deadline -= 50; /* time passes */
    bs_kek_limit(kek, &call, &deadline);
    cr_expect_eq(call.deadline_ms, deadline, "the second attempt gets no more time");
    call.deadline_ms = 5;
    bs_kek_limit(kek, &call, &deadline);
    cr_expect_eq(call.deadline_ms, 5, "the limit of the caller counts");
    blobseal_kek_close(kek);
    blobseal_config_free(config);
}

Test(envelope_keys, recipients_of_others_are_no_attempts)
{
    struct blobseal_error err;
    char *text;

    ring_open(64);
    text = recipe_envelope(&recipe, 1, ring.kek, 64);
    cr_expect_eq(open_for(text, &ring.kek[63], 1, &err), BLOBSEAL_OK, "%s", err.text);
    free(text);
    ring_close();
}

/* ---- Statuses returned by providers ------------------------------------------------------------------------------ */

/*
 * Open an envelope for "key-00" and "key-01", where unwrapping returns @first for the first and @second for the second.
 */
static enum blobseal_status answers(enum blobseal_status first, enum blobseal_status second, bool silent,
                                    struct blobseal_error *err)
{
    enum blobseal_status st;
    char *text;

    ring_open(2);
    text = recipe_envelope(&recipe, 1, ring.kek, 2);
    if (first != BLOBSEAL_OK)
        ring.fake[0].unwrap = (struct fault){.at_call = 1, .status = first, .silent = silent};
    if (second != BLOBSEAL_OK)
        ring.fake[1].unwrap = (struct fault){.at_call = 1, .status = second, .silent = silent};
    st = open_for(text, ring.kek, 2, err);
    free(text);
    return st;
}

struct answer_case {
    enum blobseal_status first, second, want;
    unsigned second_calls;
};

static const struct answer_case answer_cases[] = {
    {BLOBSEAL_E_AUTH, BLOBSEAL_OK, BLOBSEAL_OK, 1},
    {BLOBSEAL_E_NOT_MINE, BLOBSEAL_OK, BLOBSEAL_OK, 1},
    {BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_OK, BLOBSEAL_OK, 1},
    {BLOBSEAL_E_DENIED, BLOBSEAL_OK, BLOBSEAL_OK, 1},
    {BLOBSEAL_E_AUTH, BLOBSEAL_E_AUTH, BLOBSEAL_E_AUTH, 1},
    {BLOBSEAL_E_NOT_MINE, BLOBSEAL_E_NOT_MINE, BLOBSEAL_E_NO_KEY, 1},
    {BLOBSEAL_E_AUTH, BLOBSEAL_E_NOT_MINE, BLOBSEAL_E_AUTH, 1},
    {BLOBSEAL_E_NOT_MINE, BLOBSEAL_E_AUTH, BLOBSEAL_E_AUTH, 1},
    {BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_AUTH, BLOBSEAL_E_UNAVAILABLE, 1},
    {BLOBSEAL_E_AUTH, BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_UNAVAILABLE, 1},
    {BLOBSEAL_E_DENIED, BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_DENIED, 1},
    {BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_DENIED, BLOBSEAL_E_UNAVAILABLE, 1},
    {BLOBSEAL_E_NOT_MINE, BLOBSEAL_E_DENIED, BLOBSEAL_E_DENIED, 1},
    {BLOBSEAL_E_CONFIG, BLOBSEAL_OK, BLOBSEAL_E_CONFIG, 0},
    {BLOBSEAL_E_INTERNAL, BLOBSEAL_OK, BLOBSEAL_E_INTERNAL, 0},
    {BLOBSEAL_E_CANCELED, BLOBSEAL_OK, BLOBSEAL_E_CANCELED, 0},
    {BLOBSEAL_E_NOMEM, BLOBSEAL_OK, BLOBSEAL_E_NOMEM, 0},
};

static void check_answers(bool silent)
{
    struct blobseal_error err;

    for (size_t i = 0; i < COUNT(answer_cases); i++) {
        const struct answer_case *c = &answer_cases[i];
        enum blobseal_status st = answers(c->first, c->second, silent, &err);

        cr_expect_eq(st, c->want, "%s then %s: %s", blobseal_status_code(c->first), blobseal_status_code(c->second),
                     blobseal_status_code(st));
        cr_expect(st == BLOBSEAL_OK || err.status == st, "%s then %s: the error says %s",
                  blobseal_status_code(c->first), blobseal_status_code(c->second), blobseal_status_code(err.status));
        cr_expect_eq(ring.fake[1].unwraps, c->second_calls);
        ring_close();
    }
}

Test(envelope_keys, what_a_provider_answers_decides)
{
    check_answers(false);
}

/* A provider may leave the error struct unfilled: the status that it returns counts. */
Test(envelope_keys, a_provider_without_a_message_is_understood)
{
    check_answers(true);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static enum blobseal_status write_for(struct blobseal_kek *const *keks, size_t num, size_t cap,
                                      struct blobseal_error *err)
{
    struct bs_builder w = bs_builder_start(must_alloc(cap), cap);
    enum blobseal_status st;

    memset(err, 0x55, sizeof *err);
    st = bs_envelope_write(
        &w,
        &(const struct bs_envelope_plan){.core = &recipe.core, .generation = 1, .dek = &recipe.dek, .cek = &recipe.cek},
        (struct bs_keks){keks, num, NULL}, err);
    free(w.p);
    if (st != BLOBSEAL_OK)
        cr_expect_eq(err->status, st, "%s, but the error says %s", blobseal_status_code(st),
                     blobseal_status_code(err->status));
    return st;
}

Test(envelope_keys, one_to_64_different_recipients)
{
    struct blobseal_kek *twice[2];
    struct blobseal_error err;

    ring_open(65);
    cr_expect_eq(write_for(ring.kek, 0, 65536, &err), BLOBSEAL_E_ARG);
    cr_expect_eq(write_for(ring.kek, 64, BLOBSEAL_MAX_ENVELOPE, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_eq(write_for(ring.kek, 65, 1 << 20, &err), BLOBSEAL_E_ARG);
    twice[0] = twice[1] = ring.kek[0];
    cr_expect_eq(write_for(twice, 2, 65536, &err), BLOBSEAL_E_ARG);
    cr_expect_not_null(strstr(err.text, "key-00"), "%s", err.text);
    ring_close();
}

Test(envelope_keys, too_small_a_place_is_an_error_at_every_size)
{
    struct blobseal_error err;
    size_t need;
    char *text;

    ring_open(2);
    text = recipe_envelope(&recipe, 1, ring.kek, 2);
    need = strlen(text);
    for (size_t cap = 0; cap <= need; cap++)
        cr_expect_eq(write_for(ring.kek, 2, cap, &err), cap < need ? BLOBSEAL_E_POLICY : BLOBSEAL_OK, "%u",
                     (unsigned)cap);
    free(text);
    ring_close();
}

static void check_wraps_that_fail(bool silent)
{
    static const enum blobseal_status with[] = {BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_DENIED, BLOBSEAL_E_INTERNAL};
    struct blobseal_error err;

    for (size_t i = 0; i < COUNT(with); i++) {
        for (unsigned at = 0; at < 3; at++) {
            ring_open(3);
            ring.fake[at].wrap = (struct fault){.at_call = 1, .status = with[i], .silent = silent};
            cr_expect_eq(write_for(ring.kek, 3, 65536, &err), with[i]);
            for (unsigned k = 0; k < 3; k++)
                cr_expect_eq(ring.fake[k].wraps, k <= at ? 1 : 0);
            ring_close();
        }
    }
}

Test(envelope_keys, a_wrap_that_fails_ends_it)
{
    check_wraps_that_fail(false);
}

Test(envelope_keys, a_wrap_that_fails_without_a_message_ends_it)
{
    check_wraps_that_fail(true);
}

/* Here 20 envelopes with the same keys are compared. */
Test(envelope_keys, the_iv_is_fresh)
{
    uint8_t iv[20][BS_JWE_IV_LEN];
    struct blobseal_error err;

    ring_open(1);
    for (size_t i = 0; i < COUNT(iv); i++) {
        char *text = recipe_envelope(&recipe, 1, ring.kek, 1);
        struct bs_envelope e;

        cr_assert_eq(bs_envelope_parse(&e, text, strlen(text), &err), BLOBSEAL_OK);
        memcpy(iv[i], e.jwe.iv, sizeof iv[i]);
        for (size_t k = 0; k < i; k++)
            cr_expect_arr_neq(iv[i], iv[k], sizeof iv[i]);
        bs_envelope_clear(&e);
        free(text);
    }
    ring_close();
}

Test(envelope_keys, names_with_quotes_are_escaped)
{
    static const char *const kids[] = {"a\"b", "a\\b", "\\\"", "\"", "{\"alg\":\"dir\"}", "~!", "\\u0041"};
    struct blobseal_error err;

    recipe_make(&recipe, 7, 1);
    for (size_t i = 0; i < COUNT(kids); i++) {
        struct fake_kek fake = {.kid = kids[i]};
        struct blobseal_kek *kek = fake_kek_open(&fake);
        char *text = recipe_envelope(&recipe, 1, &kek, 1);

        cr_expect_eq(open_for(text, &kek, 1, &err), BLOBSEAL_OK, "%s: %s", kids[i], err.text);
        free(text);
        blobseal_kek_close(kek);
    }
}

Test(envelope_keys, the_longest_names_still_fit_where_keys_are_small)
{
    struct blobseal_error err;
    enum blobseal_status st;

    ring_open(MAX_KEKS);
    ring_close();
    for (size_t i = 0; i < 64; i++) {
        memset(ring.kids[i], 'x', BLOBSEAL_MAX_KID);
        ring.kids[i][0] = (char)('!' + 1 + i);
        ring.fake[i].closes = 0;
        ring.kek[i] = fake_kek_open(&ring.fake[i]);
    }
    ring.num = 64;
    st = write_for(ring.kek, 64, BLOBSEAL_MAX_ENVELOPE, &err);
    cr_expect_eq(st, BLOBSEAL_OK, "%s", err.text);
    ring_close();
    for (size_t i = 0; i < 64; i++) {
        ring.fake[i].closes = 0;
        ring.fake[i].wrapped_len = 512;
        ring.kek[i] = fake_kek_open(&ring.fake[i]);
    }
    st = write_for(ring.kek, 64, BLOBSEAL_MAX_ENVELOPE, &err);
    cr_expect_eq(st, BLOBSEAL_E_POLICY, "64 keys of 4096 bits with names of 512 characters do not fit");
    ring_close();
}
