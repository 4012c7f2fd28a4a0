/* SPDX-License-Identifier: Apache-2.0 */
/* What a change of recipients refuses: with a status and a message, and without a change. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/changes.h"
#include "tests/support/suite.h"

SUITE_WITH(change_refusals, keys_start, keys_end);

/* Expect a refusal with @want and with @words in the text or the hint, and that nothing has changed. */
static void expect_refused(struct kept *k, struct blobseal_kek *const *keks, size_t num,
                           const struct blobseal_change *change, enum blobseal_status want, const char *words)
{
    uint8_t *was = must_copy(k->blob, k->len);
    struct blobseal_change_result *r = (void *)keys;
    struct blobseal_error err;
    enum blobseal_status st;

    memset(&err, 0x7F, sizeof err);
    st = kept_change(k, keks, num, change, &r, &err);
    cr_expect_eq(st, want, "%s: %s, not %s: %.320s", way_names[k->way], blobseal_status_code(st),
                 blobseal_status_code(want), err.text);
    cr_expect_null(r);
    cr_expect_eq(err.status, want);
    cr_expect(memchr(err.text, '\0', sizeof err.text) != NULL && memchr(err.hint, '\0', sizeof err.hint) != NULL);
    cr_expect(strstr(err.text, words) != NULL || strstr(err.hint, words) != NULL, "\"%s\" is not in: %s (%s)", words,
              err.text, err.hint);
    cr_expect_arr_eq(k->blob, was, k->len);
    cr_expect_eq(kept_change(k, keks, num, change, &r, NULL), want, "without a place for the error");
    cr_expect_null(r);
    free(was);
}

static void expect_refused_everywhere(size_t recipients, struct blobseal_kek *const *keks, size_t num,
                                      const struct blobseal_change *change, enum blobseal_status want,
                                      const char *words)
{
    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        struct kept k;

        kept_make(&k, way, recipients);
        expect_refused(&k, keks, num, change, want, words);
        kept_clear(&k);
    }
}

#define CHANGE(...) (&(const struct blobseal_change){.size = sizeof(struct blobseal_change), __VA_ARGS__})

Test(change_refusals, at_least_one_recipient_stays)
{
    const char *both[] = {fakes[0].kid, fakes[1].kid};

    expect_refused_everywhere(1, keys, 1, CHANGE(.remove = both, .num_remove = 1), BLOBSEAL_E_POLICY, "nobody would");
    expect_refused_everywhere(2, keys, 2, CHANGE(.remove = both, .num_remove = 2), BLOBSEAL_E_POLICY, "nobody would");
    expect_refused_everywhere(1, keys, 1, CHANGE(.replace = true), BLOBSEAL_E_POLICY, "nobody would");
    expect_refused_everywhere(2, keys, 2, CHANGE(.only = true), BLOBSEAL_E_POLICY, "nobody would");
}

Test(change_refusals, at_most_64)
{
    expect_refused_everywhere(64, keys, 1, CHANGE(.add = &public_keys[64], .num_add = 1), BLOBSEAL_E_POLICY, "64");
    expect_refused_everywhere(60, keys, 1, CHANGE(.add = &public_keys[60], .num_add = 5), BLOBSEAL_E_POLICY, "64");
    expect_refused_everywhere(1, keys, 1, CHANGE(.add = public_keys, .num_add = 65), BLOBSEAL_E_ARG, "64");
    expect_refused_everywhere(1, keys, 65, CHANGE(.repair = true), BLOBSEAL_E_ARG, "64");
}

/* 64 recipients are possible, and 64 can be replaced by 64 others: that takes more steps than there are recipients. */
Test(change_refusals, but_64_are_allowed)
{
    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        struct blobseal_change_result *r;
        struct kept k;

        if (way == WAY_AB) /* a slot of 8 KiB holds fewer */
            continue;
        kept_make(&k, way, 6);
        cr_assert_eq(kept_change(&k, keys, 1, CHANGE(.add = public_keys + 6, .num_add = 58), &r, NULL), BLOBSEAL_OK);
        cr_expect_eq(r->num_steps, 64);
        blobseal_change_result_free(r);
        cr_assert_eq(kept_change(&k, keys, 1, CHANGE(.add = public_keys + 6, .num_add = 64, .only = true), &r, NULL),
                     BLOBSEAL_OK);
        cr_expect_eq(r->num_steps, 70);
        cr_expect_eq(kept_open(&k, keys[69]), BLOBSEAL_OK);
        cr_expect_eq(kept_open(&k, keys[5]), BLOBSEAL_E_NO_KEY);
        blobseal_change_result_free(r);
        kept_clear(&k);
    }
}

Test(change_refusals, a_public_key_that_is_not_at_hand_is_named)
{
    const char *gone[] = {fakes[2].kid};

    expect_refused_everywhere(3, keys, 1, CHANGE(.remove = gone, .num_remove = 1), BLOBSEAL_E_POLICY, "key-01");
    expect_refused_everywhere(3, keys, 2, CHANGE(.add = &public_keys[3], .num_add = 1, .replace = true),
                              BLOBSEAL_E_POLICY, "key-02");
    expect_refused_everywhere(3, keys, 1, CHANGE(.remove = gone, .num_remove = 1), BLOBSEAL_E_POLICY, "remove key-01");
}

Test(change_refusals, a_key_for_another_algorithm)
{
    struct fake_kek sha1 = {.kid = "key-01", .twist = 2, .alg = "RSA-OAEP", .public_only = true};
    struct blobseal_kek *keks[] = {keys[0], fake_kek_open(&sha1)};
    const char *gone[] = {fakes[2].kid};

    expect_refused_everywhere(3, keks, 2, CHANGE(.remove = gone, .num_remove = 1), BLOBSEAL_E_CONFIG, "RSA-OAEP");
    expect_refused_everywhere(3, keks, 2, CHANGE(.remove = gone, .num_remove = 1), BLOBSEAL_E_CONFIG,
                              "OAEP with SHA-256");
    expect_refused_everywhere(3, keks, 2, CHANGE(.remove = gone, .num_remove = 1), BLOBSEAL_E_CONFIG, "key-01");
    cr_expect_eq(sha1.wraps, 0);
    blobseal_kek_close(keks[1]);
}

Test(change_refusals, a_key_given_twice)
{
    struct blobseal_kek *twice[] = {public_keys[5], public_keys[6], keys[5]};

    expect_refused_everywhere(1, keys, 1, CHANGE(.add = twice, .num_add = 3), BLOBSEAL_E_ARG, "key-05");
}

Test(change_refusals, the_last_generation)
{
    struct blobseal_change_result *r;
    struct recipe rec;
    struct kept k;
    char *text;

    recipe_make(&rec, 3, 1);
    text = recipe_envelope(&rec, BS_MAX_GENERATION, keys, 2);
    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        kept_from(&k, way, &rec, text, BS_MAX_GENERATION);
        expect_refused(&k, keys, 2, CHANGE(.add = &public_keys[3], .num_add = 1), BLOBSEAL_E_POLICY,
                       "last possible generation");
        expect_refused(&k, keys, 2, CHANGE(.remove = &fakes[1].kid, .num_remove = 1), BLOBSEAL_E_POLICY, "seal");
        cr_expect_eq(kept_change(&k, keys, 2, CHANGE(.repair = true), &r, NULL), BLOBSEAL_OK);
        cr_expect_eq(r->generation, BS_MAX_GENERATION);
        blobseal_change_result_free(r);
        kept_clear(&k);
    }
    free(text);
    text = recipe_envelope(&rec, BS_MAX_GENERATION - 1, keys, 2);
    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        kept_from(&k, way, &rec, text, BS_MAX_GENERATION - 1);
        cr_expect_eq(kept_change(&k, keys, 2, CHANGE(.add = &public_keys[3], .num_add = 1), &r, NULL), BLOBSEAL_OK);
        cr_expect_eq(kept_open(&k, keys[3]), BLOBSEAL_OK, "the one before it may go there");
        blobseal_change_result_free(r);
        kept_clear(&k);
    }
    free(text);
}

Test(change_refusals, an_envelope_that_is_too_old)
{
    expect_refused_everywhere(1, keys, 1, CHANGE(.repair = true, .min_generation = 2), BLOBSEAL_E_POLICY,
                              "generation 1");
    expect_refused_everywhere(1, keys, 1, CHANGE(.add = &public_keys[1], .num_add = 1, .min_generation = UINT64_MAX),
                              BLOBSEAL_E_POLICY, "18446744073709551615");
}

Test(change_refusals, no_key_fits)
{
    expect_refused_everywhere(2, keys + 2, 3, CHANGE(.add = &public_keys[9], .num_add = 1), BLOBSEAL_E_NO_KEY,
                              "key-00");
    expect_refused_everywhere(2, public_keys, 2, CHANGE(.add = &public_keys[9], .num_add = 1), BLOBSEAL_E_NO_KEY,
                              "no key fits");
    expect_refused_everywhere(2, NULL, 0, CHANGE(.add = &public_keys[9], .num_add = 1), BLOBSEAL_E_NO_KEY, "no key");
    expect_refused_everywhere(2, keys, 2, CHANGE(.replace = true, .add = &keys[9], .num_add = 1, .min_generation = 3),
                              BLOBSEAL_E_POLICY, "generation");
}

/* The recipient to be replaced is the one whose key is first, whatever the other keys can open. */
Test(change_refusals, the_first_key_is_the_one_to_replace)
{
    struct blobseal_kek *keks[] = {keys[9], keys[0], keys[1]};

    expect_refused_everywhere(2, keks, 3, CHANGE(.replace = true, .add = &public_keys[3], .num_add = 1),
                              BLOBSEAL_E_NO_KEY, "no key");
}

/* ---- Providers --------------------------------------------------------------------------------------------------- */

Test(change_refusals, a_provider_that_does_not_unwrap)
{
    static const enum blobseal_status answers[] = {BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_DENIED, BLOBSEAL_E_CONFIG};
    struct blobseal_kek *both[] = {keys[0], keys[1]};

    for (size_t i = 0; i < COUNT(answers); i++) {
        fakes[0].unwrap = (struct fault){.at_call = 1, .status = answers[i]};
        expect_refused_everywhere(2, keys, 1, CHANGE(.add = &public_keys[3], .num_add = 1), answers[i], "asked for");
        expect_refused_everywhere(2, both, 2, CHANGE(.add = &public_keys[3], .num_add = 1, .replace = true), answers[i],
                                  "asked for");
        fakes[0].unwrap.silent = true;
        expect_refused_everywhere(2, keys, 1, CHANGE(.repair = true), answers[i], "fake");
    }
}

Test(change_refusals, a_provider_that_does_not_wrap)
{
    static const enum blobseal_status answers[] = {BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_DENIED, BLOBSEAL_E_INTERNAL};

    for (size_t i = 0; i < COUNT(answers); i++) {
        struct blobseal_kek *keks[] = {keys[0], public_keys[1]};

        public_fakes[3].wrap = (struct fault){.at_call = 1, .status = answers[i]};
        expect_refused_everywhere(2, keks, 2, CHANGE(.add = public_keys + 2, .num_add = 2), answers[i], "asked for");
        public_fakes[3].wrap.silent = true;
        expect_refused_everywhere(2, keks, 2, CHANGE(.add = public_keys + 2, .num_add = 3, .only = true), answers[i],
                                  "key-03");
        public_fakes[1].wrap = (struct fault){.at_call = 1, .status = answers[i]};
        expect_refused_everywhere(3, keks, 2, CHANGE(.remove = &fakes[2].kid, .num_remove = 1), answers[i],
                                  "asked for");
        public_fakes[1].wrap = (struct fault){0};
    }
}

/* ---- Forgeries --------------------------------------------------------------------------------------------------- */

/* Flip one bit of each byte of the envelope. Nothing that is not authentic is ever written again. */
Test(change_refusals, an_envelope_that_was_tampered_with)
{
    struct blobseal_change_result *r;
    struct kept k;

    kept_make(&k, WAY_ENVELOPE_ALONE, 2);
    for (size_t i = 0; i < k.envelope_len; i++) {
        char *was = must_copy(k.envelope, k.envelope_len + 1);
        enum blobseal_status st;

        k.envelope[i] ^= (char)(1 << i % 5);
        st = kept_change(&k, keys, 2, CHANGE(.remove = &fakes[1].kid, .num_remove = 1), &r, NULL);
        cr_expect(st == BLOBSEAL_E_AUTH || st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_UNSUPPORTED ||
                      st == BLOBSEAL_E_NO_KEY,
                  "byte %zu: %s", i, blobseal_status_code(st));
        memcpy(k.envelope, was, k.envelope_len);
        free(was);
    }
    kept_clear(&k);
}

/* A recipient that was added, removed or moved without the CEK: `rcpt` no longer matches. */
Test(change_refusals, recipients_that_nobody_with_the_key_named)
{
    struct recipe rec;

    recipe_make(&rec, 4, 1);
    for (unsigned forged = 0; forged < 4; forged++) {
        char *text = recipe_envelope(&rec, 1, keys, 3), *list = strstr(text, "\"recipients\":["),
             *end = strstr(list, "],\"iv\"");
        char *second = strstr(list, ",{"), *third = strstr(second + 1, ",{");
        char *edited = must_alloc(BLOBSEAL_MAX_ENVELOPE);

        switch (forged) {
        case 0: /* the last one dropped */
            (void)sprintf(edited, "%.*s%s", (int)(third - text), text, end);
            break;
        case 1: /* one appended, with a wrapped key of the attacker's */
            (void)sprintf(edited, "%.*s,{\"header\":{\"alg\":\"RSA-OAEP-256\",\"kid\":\"evil\"},%.*s%s",
                          (int)(end - text), text, (int)(end - strstr(third, "\"encrypted_key\"")),
                          strstr(third, "\"encrypted_key\""), end);
            break;
        case 2: /* two swapped */
            (void)sprintf(edited, "%.*s%.*s%.*s%s", (int)(second - text), text, (int)(end - third), third,
                          (int)(third - second), second, end);
            break;
        default: /* relabelled */
            (void)sprintf(edited, "%s", text);
            *strstr(edited, "key-02") = 'K';
            break;
        }
        for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
            struct kept k;

            kept_from(&k, way, &rec, edited, 1);
            expect_refused(&k, keys, 1, CHANGE(.add = &public_keys[5], .num_add = 1), BLOBSEAL_E_AUTH, "not authentic");
            expect_refused(&k, keys, 4, CHANGE(.replace = true, .add = &public_keys[5], .num_add = 1), BLOBSEAL_E_AUTH,
                           "not authentic");
            cr_expect_eq(kept_open(&k, keys[0]), BLOBSEAL_E_AUTH);
            kept_clear(&k);
        }
        free(edited);
        free(text);
    }
}

/* The envelope of one blob is put before the core of another. */
Test(change_refusals, the_envelope_of_another_blob)
{
    struct recipe a, b, twin;
    struct kept k;
    char *text;

    recipe_make(&a, 5, 1);
    recipe_make(&b, 6, 1);
    twin = b; /* same blob id, other key: anyone with a public KEK can make this */
    fill_random(twin.dek.b, sizeof twin.dek.b, 99);
    for (enum way way = WAY_COMPACT; way <= WAY_DETACHED; way++) {
        text = recipe_envelope(&a, 1, keys, 1);
        kept_from(&k, way, &b, text, 1);
        expect_refused(&k, keys, 1, CHANGE(.add = &public_keys[5], .num_add = 1), BLOBSEAL_E_FORMAT, "another blob");
        kept_clear(&k);
        free(text);
        text = recipe_envelope(&twin, 1, keys, 1);
        kept_from(&k, way, &b, text, 1);
        expect_refused(&k, keys, 1, CHANGE(.add = &public_keys[5], .num_add = 1), BLOBSEAL_E_AUTH, "not authentic");
        kept_clear(&k);
        free(text);
    }
    text = recipe_envelope(&twin, 1, keys, 1); /* without the core, the copy of its header in the envelope reveals it */
    kept_from(&k, WAY_ENVELOPE_ALONE, &b, text, 1);
    expect_refused(&k, keys, 1, CHANGE(.add = &public_keys[5], .num_add = 1), BLOBSEAL_E_AUTH, "not authentic");
    kept_clear(&k);
    free(text);
}

/* Two slots have the same generation, and one is garbage. For keys that open neither, the error is that of slot A. */
Test(change_refusals, a_tie_with_rubbish)
{
    static const char *const rubbish[] = {"{}", "{\"recipients\":[{\"header\":{}}]}",
                                          "{\"recipients\":[{\"header\":{\"alg\":\"RSA-OAEP-256\"}}]", "x"};
    struct blobseal_kek *keks[] = {keys[9], keys[8]};
    struct recipe rec;
    char *text;

    recipe_make(&rec, 7, 1);
    text = recipe_envelope(&rec, 1, keys, 1);
    for (size_t i = 0; i < 2 * COUNT(rubbish); i++) {
        const struct slot_text a = {text, 1}, b = {rubbish[i / 2], 1};
        struct kept k = {.way = WAY_AB};
        size_t core_len;
        uint8_t *plain = must_alloc(KEPT_PLAIN), *core;

        fill_random(plain, KEPT_PLAIN, 77);
        core = recipe_core(&rec, plain, KEPT_PLAIN, &core_len);
        k.blob =
            put_in_frame(&rec.core, BLOBSEAL_LAYOUT_AB, i % 2 == 0 ? a : b, i % 2 == 0 ? b : a, core, core_len, &k.len);
        expect_refused(&k, keks, 2, CHANGE(.replace = true, .add = &public_keys[0], .num_add = 1),
                       i % 2 == 0 ? BLOBSEAL_E_NO_KEY : BLOBSEAL_E_FORMAT, "");
        expect_refused(&k, keks, 2, CHANGE(.add = &public_keys[0], .num_add = 1),
                       i % 2 == 0 ? BLOBSEAL_E_NO_KEY : BLOBSEAL_E_FORMAT, "");
        cr_expect_eq(kept_open(&k, keys[0]), BLOBSEAL_OK);
        free(core);
        free(plain);
        kept_clear(&k);
    }
    free(text);
}

/* ---- Arguments --------------------------------------------------------------------------------------------------- */

Test(change_refusals, arguments_are_checked)
{
    struct blobseal_change_result *r = (void *)keys;
    struct kept k;

    expect_refused_everywhere(1, keys, 0, CHANGE(.replace = true), BLOBSEAL_E_ARG, "no key to replace");
    expect_refused_everywhere(1, keys, 1, CHANGE(.repair = true, .only = true), BLOBSEAL_E_ARG, "repair");
    expect_refused_everywhere(1, keys, 1, CHANGE(.repair = true, .replace = true), BLOBSEAL_E_ARG, "repair");
    expect_refused_everywhere(1, keys, 1, CHANGE(.repair = true, .add = keys, .num_add = 1), BLOBSEAL_E_ARG, "repair");
    expect_refused_everywhere(1, keys, 1, CHANGE(.repair = true, .remove = &fakes[0].kid, .num_remove = 1),
                              BLOBSEAL_E_ARG, "repair");
    expect_refused_everywhere(1, keys, 1, CHANGE(.num_add = 1), BLOBSEAL_E_ARG, "list");
    expect_refused_everywhere(1, keys, 1, CHANGE(.num_remove = 1), BLOBSEAL_E_ARG, "list");
    expect_refused_everywhere(1, NULL, 1, CHANGE(.repair = true), BLOBSEAL_E_ARG, "list");
    expect_refused_everywhere(1, keys, 1, &(struct blobseal_change){.size = 0}, BLOBSEAL_E_ARG, "size");
    expect_refused_everywhere(1, keys, 1, &(struct blobseal_change){.size = sizeof(size_t) - 1}, BLOBSEAL_E_ARG,
                              "size");

    kept_make(&k, WAY_AB, 1);
    cr_expect_eq(blobseal_change_envelope(&r, NULL, keys, 1, CHANGE(.repair = true), NULL), BLOBSEAL_E_ARG);
    cr_expect_null(r);
    for (unsigned i = 0; i < 3; i++) {
        struct blobseal_target target;
        struct test_disk disk = {0};

        disk_start(&target, &disk, k.blob, k.len);
        target.source.pread = i == 0 ? NULL : target.source.pread;
        target.write = i == 1 ? NULL : target.write;
        target.sync = i == 2 ? NULL : target.sync;
        cr_expect_eq(blobseal_change_in_place(&r, &target, keys, 1, CHANGE(.repair = true), NULL), BLOBSEAL_E_ARG);
        cr_expect_null(r);
        cr_expect_eq(disk.locks, 0);
        disk_end(&disk);
    }
    cr_expect_eq(blobseal_change_envelope(&r, NULL, keys, 1, NULL, NULL), BLOBSEAL_E_ARG);
    blobseal_change_result_free(NULL);
    kept_clear(&k);
}

/*
 * The caller was compiled with another version of the struct: missing members count as zero, whatever follows the
 * struct, and additional members are accepted if they are zero.
 */
Test(change_refusals, structs_of_other_versions_are_accepted)
{
    struct {
        struct blobseal_change change;
        uint8_t newer[64];
    } grown = {.change = {.size = sizeof grown, .add = &public_keys[1], .num_add = 1}};
    struct blobseal_change shorter = {.size = offsetof(struct blobseal_change, remove),
                                      .add = &public_keys[2],
                                      .num_add = 1,
                                      .remove = (void *)1,
                                      .num_remove = 1u << 30,
                                      .only = true,
                                      .min_generation = 1000};
    struct blobseal_change_result *r;
    struct kept k;

    memset(grown.newer, 0, sizeof grown.newer);
    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        kept_make(&k, way, 1);
        cr_assert_eq(kept_change(&k, keys, 1, &grown.change, &r, NULL), BLOBSEAL_OK);
        cr_expect_eq(r->generation, 2);
        blobseal_change_result_free(r);
        cr_assert_eq(kept_change(&k, keys, 1, &shorter, &r, NULL), BLOBSEAL_OK);
        cr_expect_eq(r->num_steps, 3);
        blobseal_change_result_free(r);
        kept_clear(&k);
    }
}
