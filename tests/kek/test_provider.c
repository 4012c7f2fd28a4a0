/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of a provider, as blobs use it: keys that are described late, keys with versions, and what becomes of an
 * answer that a provider may not give.
 */
#include <stdlib.h>

#include "tests/support/changes.h"
#include "tests/support/suite.h"

SUITE(provider, .timeout = 60);

static uint8_t plain[1000];

static struct sealed seal_for(struct blobseal_kek *kek)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .layout = BLOBSEAL_LAYOUT_DETACHED};
    struct blobseal_error err;
    struct sealed s;

    cr_assert_eq(seal_bytes(&s, plain, sizeof plain, &kek, 1, &o, &err), BLOBSEAL_OK, "%s", err.text);
    return s;
}

static enum blobseal_status open_with(const struct sealed *s, struct blobseal_kek *kek, struct blobseal_error *err)
{
    const struct how_to_open how = {.envelope = s->result.envelope, .envelope_len = s->result.envelope_len};
    struct opened o;
    enum blobseal_status st = open_bytes(&o, s->data, s->len, &kek, 1, &how, err);

    opened_clear(&o);
    return st;
}

static enum blobseal_status change(const struct sealed *s, struct blobseal_kek *kek, const struct blobseal_change *c,
                                   struct blobseal_change_result **result, struct blobseal_error *err)
{
    struct blobseal_change with = *c;

    with.size = sizeof with;
    with.envelope = s->result.envelope;
    with.envelope_len = s->result.envelope_len;
    return blobseal_change_envelope(result, NULL, &kek, 1, &with, err);
}

/* Return the key id of the only recipient. */
static const char *recipient_of(const struct sealed *s, struct blobseal_info **info)
{
    cr_assert_eq(blobseal_inspect(info, NULL, s->result.envelope, s->result.envelope_len, NULL), BLOBSEAL_OK);
    cr_assert_eq((*info)->num_recipients, 1);
    return (*info)->recipients[0].kid;
}

/* ---- Late descriptions ------------------------------------------------------------------------------------------- */

Test(provider, sealing_and_opening_need_no_description)
{
    struct fake_kek fake = {.kid = "late-key", .late = true};
    struct blobseal_kek *kek = fake_kek_open(&fake);
    struct sealed s;

    cr_expect_null(blobseal_kek_kid(kek));
    cr_expect(blobseal_kek_can_unwrap(kek));
    s = seal_for(kek);
    cr_expect_eq(open_with(&s, kek, NULL), BLOBSEAL_OK);
    cr_expect_eq(fake.describes, 0);
    cr_expect_null(blobseal_kek_kid(kek));
    sealed_clear(&s);
    blobseal_kek_close(kek);
}

Test(provider, adding_a_recipient_does_and_asks_once)
{
    struct fake_kek first = {.kid = "a-key"}, late = {.kid = "late-key", .late = true};
    struct blobseal_kek *kek = fake_kek_open(&first), *added = fake_kek_open(&late);
    const struct blobseal_change add = {.add = &added, .num_add = 1};
    struct blobseal_change_result *result;
    struct sealed s = seal_for(kek);

    for (unsigned i = 0; i < 3; i++) {
        cr_expect_eq(change(&s, kek, &add, &result, NULL), BLOBSEAL_OK);
        cr_expect_eq(result->num_steps, 2);
        cr_expect_str_eq(result->steps[1].recipient.kid, "late-key");
        blobseal_change_result_free(result);
        cr_expect_eq(late.describes, 1);
    }
    cr_expect_str_eq(blobseal_kek_kid(added), "late-key");
    sealed_clear(&s);
    blobseal_kek_close(kek);
    blobseal_kek_close(added);
}

Test(provider, a_description_that_fails_is_asked_for_again)
{
    struct fake_kek fake = {
        .kid = "late-key", .late = true, .describe = {.at_call = 1, .status = BLOBSEAL_E_UNAVAILABLE, .once = true}};
    struct blobseal_kek *kek = fake_kek_open(&fake);

    cr_expect_eq(bs_kek_describe(kek, NULL, NULL), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_null(blobseal_kek_kid(kek));
    cr_expect_eq(bs_kek_describe(kek, NULL, NULL), BLOBSEAL_OK);
    cr_expect_eq(bs_kek_describe(kek, NULL, NULL), BLOBSEAL_OK);
    cr_expect_eq(fake.describes, 2);
    blobseal_kek_close(kek);
}

static void *describe(void *kek)
{
    return (void *)(uintptr_t)bs_kek_describe(kek, NULL, NULL);
}

Test(provider, many_threads_cause_one_description)
{
    struct fake_kek fake = {.kid = "late-key", .late = true};
    struct blobseal_kek *kek = fake_kek_open(&fake);
    pthread_t threads[8];

    for (unsigned i = 0; i < COUNT(threads); i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, describe, kek), 0);
    for (unsigned i = 0; i < COUNT(threads); i++) {
        void *st;

        (void)pthread_join(threads[i], &st);
        cr_expect_eq((uintptr_t)st, (uintptr_t)BLOBSEAL_OK);
    }
    cr_expect_eq(fake.describes, 1);
    blobseal_kek_close(kek);
}

Test(provider, an_impossible_description_is_an_error_of_the_provider)
{
    static const struct {
        const char *kid, *alg;
        size_t len;
    } bad[] = {{"a key", "RSA-OAEP-256", 256},
               {"", "RSA-OAEP-256", 256},
               {"k", "A128KW", 40},
               {"k", "RSA-OAEP-256", 40},
               {"k", "RSA-OAEP-256", 4096}};

    for (size_t i = 0; i < COUNT(bad); i++) {
        struct fake_kek fake = {.kid = bad[i].kid, .alg = bad[i].alg, .wrapped_len = bad[i].len, .late = true};
        struct blobseal_kek *kek = fake_kek_open(&fake);
        struct blobseal_error err = {0};

        cr_expect_eq(bs_kek_describe(kek, NULL, &err), BLOBSEAL_E_INTERNAL, "row %zu", i);
        cr_expect_eq(err.status, BLOBSEAL_E_INTERNAL);
        cr_expect_null(blobseal_kek_kid(kek));
        blobseal_kek_close(kek);
    }
}

/* ---- Keys with versions ------------------------------------------------------------------------------------------ */

Test(provider, older_versions_still_open)
{
    struct fake_kek fake = {.kid = "key/1"};
    struct blobseal_kek *kek = fake_kek_open(&fake);
    struct blobseal_info *info;
    struct sealed old = seal_for(kek), new;

    fake.newer_kid = "key/2"; /* the key was rotated while it was open */
    new = seal_for(kek);
    cr_expect_str_eq(recipient_of(&old, &info), "key/1");
    blobseal_info_free(info);
    cr_expect_str_eq(recipient_of(&new, &info), "key/2");
    blobseal_info_free(info);
    cr_expect_eq(open_with(&old, kek, NULL), BLOBSEAL_OK);
    cr_expect_eq(open_with(&new, kek, NULL), BLOBSEAL_OK);
    sealed_clear(&old);
    sealed_clear(&new);
    blobseal_kek_close(kek);
}

/* Rewrapping for the key that opens a blob moves the blob to the key's newest version. */
Test(provider, a_rotation_moves_to_the_newest_version)
{
    struct fake_kek fake = {.kid = "key/1"};
    struct blobseal_kek *kek = fake_kek_open(&fake), *newest;
    struct blobseal_change rotate = {.num_add = 1, .replace = true};
    struct blobseal_change_result *result;
    struct sealed s = seal_for(kek);

    blobseal_kek_close(kek);
    fake.newer_kid = "key/2";
    newest = fake_kek_open(&fake);
    rotate.add = &newest;
    cr_assert_eq(change(&s, newest, &rotate, &result, NULL), BLOBSEAL_OK);
    cr_expect(result->changed && result->fresh_key);
    cr_expect_eq(result->num_steps, 2);
    cr_expect_eq(result->steps[0].action, BLOBSEAL_ACTION_REMOVE);
    cr_expect_str_eq(result->steps[0].recipient.kid, "key/1");
    cr_expect_eq(result->steps[1].action, BLOBSEAL_ACTION_ADD);
    cr_expect_str_eq(result->steps[1].recipient.kid, "key/2");
    blobseal_change_result_free(result);
    sealed_clear(&s);
    blobseal_kek_close(newest);
}

/* ---- Answers that a provider may not give ------------------------------------------------------------------------ */

/* Return true if every function of a provider may return @st. */
static bool any_may_return(enum blobseal_status st)
{
    static const enum blobseal_status allowed[] = {
        BLOBSEAL_E_CONFIG, BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_DENIED,   BLOBSEAL_E_POLICY,   BLOBSEAL_E_INPUT,
        BLOBSEAL_E_OUTPUT, BLOBSEAL_E_NOMEM,       BLOBSEAL_E_INTERNAL, BLOBSEAL_E_CANCELED, BLOBSEAL_E_UNSUPPORTED};

    for (size_t i = 0; i < COUNT(allowed); i++)
        if (allowed[i] == st)
            return true;
    return st >= BLOBSEAL_STATUS_CALLBACK && st <= BLOBSEAL_STATUS_MAX;
}

/* Check what becomes of the status @st: the error has the same status, and a text, also if the provider is @silent. */
static void check_statuses(enum blobseal_status st, bool silent)
{
    const struct fault fault = {.at_call = 1, .status = st, .silent = silent};
    struct fake_kek fake = {.kid = "a-key", .late = true, .revocable = true};
    const struct blobseal_wrapped wrapped = {"RSA-OAEP-256", "a-key", (const uint8_t *)"x", 1};
    enum blobseal_status want = any_may_return(st) ? st : BLOBSEAL_E_INTERNAL;
    enum blobseal_status from_unwrap = st == BLOBSEAL_E_NOT_MINE || st == BLOBSEAL_E_AUTH ? st : want;
    struct blobseal_kek *kek = fake_kek_open(&fake);
    struct blobseal_lease lease = {.size = sizeof lease, .valid_until_unix_ms = 1};
    struct blobseal_secret32 secret = {{1}};
    struct blobseal_error err = {0};
    struct blobseal_wrapping w;

    fake.describe = fake.wrap = fake.unwrap = fake.renew = fault;
    cr_expect_eq(bs_kek_describe(kek, NULL, &err), want);
    cr_expect(err.status == want && err.text[0] != '\0');
    cr_expect_eq(bs_kek_wrap(kek, &w, &secret, NULL, &err), want);
    cr_expect(err.status == want && err.text[0] != '\0');
    cr_expect_eq(w.key_len, 0);
    cr_expect_eq(bs_kek_renew(kek, &lease, NULL, &err), want);
    cr_expect(err.status == want && err.text[0] != '\0');
    cr_expect_eq(bs_kek_unwrap(kek, &secret, &wrapped, &lease, NULL, &err), from_unwrap);
    cr_expect(err.status == from_unwrap && err.text[0] != '\0');
    cr_expect(secret.b[0] == 0 && lease.valid_until_unix_ms == 0);
    blobseal_kek_close(kek);
}

Test(provider, statuses_that_it_may_not_return_are_internal_errors)
{
    for (unsigned st = 1; st <= BLOBSEAL_E_CANCELED + 3; st++) {
        check_statuses((enum blobseal_status)st, false);
        check_statuses((enum blobseal_status)st, true);
    }
    check_statuses(BLOBSEAL_STATUS_CALLBACK, false);
    check_statuses(BLOBSEAL_STATUS_MAX, true);
    check_statuses((enum blobseal_status) - 1, true);
}

Test(provider, wrapped_keys_have_a_length_that_the_algorithm_makes)
{
    static const size_t lengths[] = {1, 40, 255, 513, 1024, 4096, 4097, SIZE_MAX};

    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct fake_kek fake = {.kid = "a-key", .late = true, .wrapped_len = lengths[i]};
        struct blobseal_kek *kek = fake_kek_open(&fake);
        const struct blobseal_secret32 secret = {{1}};
        struct blobseal_error err = {0};
        struct blobseal_wrapping w;

        cr_expect_eq(bs_kek_wrap(kek, &w, &secret, NULL, &err), BLOBSEAL_E_INTERNAL, "%zu", lengths[i]);
        cr_expect_eq(err.status, BLOBSEAL_E_INTERNAL);
        cr_expect(w.key_len == 0 && w.kid[0] == '\0');
        blobseal_kek_close(kek);
    }
}

/* A blob may carry any length up to 4096, and the provider decides. It sees all bytes. */
Test(provider, long_wrapped_keys_reach_the_provider)
{
    static uint8_t key[BLOBSEAL_MAX_WRAPPED];
    static const size_t lengths[] = {513, BLOBSEAL_MAX_WRAPPED};

    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct fake_kek fake = {.kid = "a-key", .late = true, .wrapped_len = lengths[i]};
        struct blobseal_kek *kek = fake_kek_open(&fake);
        const struct blobseal_wrapped wrapped = {"RSA-OAEP-256", "a-key", key, lengths[i]};
        struct blobseal_secret32 secret = {{3}}, out;

        fake_wrap(key, lengths[i], &secret);
        cr_expect_eq(bs_kek_unwrap(kek, &out, &wrapped, NULL, NULL, NULL), BLOBSEAL_OK);
        cr_expect_arr_eq(&out, &secret, sizeof out);
        blobseal_kek_close(kek);
    }
}

/* ---- Names that fill their room ---------------------------------------------------------------------------------- */

static enum blobseal_status wrap_unterminated(void *state, struct blobseal_wrapping *out,
                                              const struct blobseal_secret32 *secret, const struct blobseal_call *call,
                                              struct blobseal_error *err)
{
    const struct fake_kek *k = state;

    (void)secret, (void)call, (void)err;
    memset(out->alg, 'a', sizeof out->alg);
    memset(out->kid, 'k', sizeof out->kid);
    if (k->twist == 1)
        memcpy(out->alg, "RSA-OAEP-256", sizeof "RSA-OAEP-256");
    if (k->twist == 2)
        out->kid[5] = '\0';
    out->key_len = 256;
    return BLOBSEAL_OK;
}

Test(provider, names_without_their_end_are_refused)
{
    for (uint8_t twist = 0; twist < 3; twist++) {
        struct fake_kek fake = {.kid = "a-key", .twist = twist};
        struct blobseal_kek *kek = fake_kek_open(&fake);
        const struct blobseal_secret32 secret = {{1}};
        struct blobseal_wrapping w;

        fake.provider.wrap = wrap_unterminated;
        cr_expect_eq(bs_kek_wrap(kek, &w, &secret, NULL, NULL), BLOBSEAL_E_INTERNAL);
        blobseal_kek_close(kek);
    }
}
