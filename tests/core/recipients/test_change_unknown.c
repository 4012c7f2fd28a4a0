/* SPDX-License-Identifier: Apache-2.0 */
/* Changing recipients of a blob that also has recipients whose algorithm is unknown. FORMAT.md section 4.7. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/changes.h"
#include "tests/support/suite.h"

SUITE_WITH(change_unknown, keys_start, keys_end);

#define CHANGE(...) (&(const struct blobseal_change){.size = sizeof(struct blobseal_change), __VA_ARGS__})

#define ODD_ALG "ML-KEM-\"768\\"
#define ODD_KID "urn:odd\\\"~"

static uint8_t odd_key[1088];

/* Make a blob for an unknown recipient, for key 0, for an unknown recipient with the kid of key 5, and for key 1. */
static void mixed_make(struct kept *k, enum way way)
{
    struct bs_builder w = bs_builder_start(must_alloc(BLOBSEAL_MAX_ENVELOPE + 1), BLOBSEAL_MAX_ENVELOPE);
    uint8_t wrapped[2][256], content[1024];
    struct bs_jwe jwe = {.num = 4};
    struct recipe r;
    size_t len;

    recipe_make(&r, 11, 1);
    fill_random(odd_key, sizeof odd_key, 5);
    for (unsigned i = 0; i < 2; i++)
        wrap_with(keys[i], wrapped[i], &r.cek);
    jwe.recipients[0] = (struct bs_jwe_recipient){ODD_ALG, ODD_KID, odd_key, sizeof odd_key};
    jwe.recipients[1] = (struct bs_jwe_recipient){"RSA-OAEP-256", fakes[0].kid, wrapped[0], 256};
    jwe.recipients[2] = (struct bs_jwe_recipient){"A128KW", fakes[5].kid, odd_key, 40};
    jwe.recipients[3] = (struct bs_jwe_recipient){"RSA-OAEP-256", fakes[1].kid, wrapped[1], 256};
    len = bs_jwk_write(content, sizeof content, &r.core, &r.dek, (struct bs_slice){0});
    cr_assert_eq(bs_envelope_encode(&w, envelope_for(&r, 1, &jwe), &r.cek, (struct bs_slice){content, len}, NULL),
                 BLOBSEAL_OK);
    w.p[w.len] = '\0';
    kept_from(k, way, &r, (const char *)w.p, 1);
    free(w.p);
}

/* Return true if recipient @i is exactly this one. */
static bool is_recipient(const struct kept *k, size_t i, const char *alg, const char *kid, size_t key_len)
{
    struct bs_envelope e;
    size_t len;
    const char *text = kept_envelope(k, &len);
    bool same;

    cr_assert_eq(bs_envelope_parse(&e, text, len, NULL), BLOBSEAL_OK);
    same = i < e.jwe.num && strcmp(e.jwe.recipients[i].alg, alg) == 0 && strcmp(e.jwe.recipients[i].kid, kid) == 0 &&
           e.jwe.recipients[i].key_len == key_len && memcmp(e.jwe.recipients[i].key, odd_key, key_len) == 0;
    bs_envelope_clear(&e);
    return same;
}

Test(change_unknown, others_open_as_if_they_were_not_there)
{
    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        struct kept k;

        mixed_make(&k, way);
        cr_expect_eq(kept_open(&k, keys[0]), BLOBSEAL_OK);
        cr_expect_eq(kept_open(&k, keys[1]), BLOBSEAL_OK);
        cr_expect_eq(kept_open(&k, keys[5]), BLOBSEAL_E_UNSUPPORTED, "its kid, but another algorithm");
        cr_expect_eq(kept_open(&k, keys[6]), BLOBSEAL_E_UNSUPPORTED, "an unknown one could be for it");
        kept_clear(&k);
    }
}

Test(change_unknown, adding_keeps_them_byte_for_byte)
{
    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        struct blobseal_change_result *r;
        struct kept k;

        mixed_make(&k, way);
        cr_assert_eq(kept_change(&k, keys, 1, CHANGE(.add = &public_keys[2], .num_add = 1), &r, NULL), BLOBSEAL_OK);
        cr_expect(!r->fresh_key && r->num_steps == 5);
        cr_expect(r->steps[0].recipient.unknown && !r->steps[1].recipient.unknown && r->steps[2].recipient.unknown);
        cr_expect_str_eq(r->steps[0].recipient.alg, ODD_ALG);
        cr_expect(is_recipient(&k, 0, ODD_ALG, ODD_KID, sizeof odd_key));
        cr_expect(is_recipient(&k, 2, "A128KW", fakes[5].kid, 40));
        cr_expect_eq(kept_open(&k, keys[2]), BLOBSEAL_OK);
        blobseal_change_result_free(r);
        kept_clear(&k);
    }
}

/* Expect that a change is refused, names @kid, and changes nothing. */
static void expect_named(struct kept *k, const struct blobseal_change *change, const char *kid)
{
    struct blobseal_kek *own[] = {keys[0], keys[1]};
    struct blobseal_change_result *r;
    struct blobseal_error err;

    cr_expect_eq(kept_change(k, own, 2, change, &r, &err), BLOBSEAL_E_POLICY, "%s", err.text);
    cr_expect_not_null(strstr(err.text, kid), "%s", err.text);
    cr_expect_eq(err.advice, BLOBSEAL_ADVICE_REMOVE);
    cr_expect_str_eq(err.subject, kid);
}

Test(change_unknown, a_fresh_key_needs_them_removed_by_name)
{
    const char *one[] = {fakes[1].kid, ODD_KID}, *all[] = {fakes[1].kid, ODD_KID, fakes[5].kid};

    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        struct blobseal_change_result *r;
        struct kept k;

        mixed_make(&k, way);
        expect_named(&k, CHANGE(.remove = one, .num_remove = 1), ODD_KID);
        expect_named(&k, CHANGE(.add = &public_keys[2], .num_add = 1, .replace = true), ODD_KID);
        expect_named(&k, CHANGE(.remove = one, .num_remove = 2), fakes[5].kid);
        cr_assert_eq(kept_change(&k, keys, 1, CHANGE(.remove = all, .num_remove = 3), &r, NULL), BLOBSEAL_OK);
        cr_expect(r->fresh_key);
        cr_expect_eq(kept_open(&k, keys[0]), BLOBSEAL_OK);
        cr_expect_eq(kept_open(&k, keys[5]), BLOBSEAL_E_NO_KEY, "nobody unknown is left");
        blobseal_change_result_free(r);
        kept_clear(&k);
    }
}

Test(change_unknown, naming_all_who_stay_removes_them)
{
    struct blobseal_change_result *r;
    struct kept k;

    mixed_make(&k, WAY_AB);
    cr_assert_eq(kept_change(&k, keys, 1, CHANGE(.add = &public_keys[2], .num_add = 1, .only = true), &r, NULL),
                 BLOBSEAL_OK);
    cr_expect_eq(r->num_steps, 5);
    cr_expect_eq(kept_open(&k, keys[2]), BLOBSEAL_OK);
    blobseal_change_result_free(r);
    kept_clear(&k);
}

/* Its key id is taken, so the key cannot be added; saying "nothing to change" would be wrong. */
Test(change_unknown, a_key_whose_kid_they_have_cannot_be_added)
{
    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        struct kept k;

        mixed_make(&k, way);
        expect_named(&k, CHANGE(.add = &public_keys[5], .num_add = 1), fakes[5].kid);
        kept_clear(&k);
    }
}

/* A second run of the same change, with a key that is not a recipient any more. */
Test(change_unknown, a_change_that_was_made_before_is_recognised)
{
    struct blobseal_change_result *r;
    struct kept k;

    mixed_make(&k, WAY_AB);
    cr_assert_eq(kept_change(&k, &keys[9], 1, CHANGE(.add = &public_keys[1], .num_add = 1, .replace = true), &r, NULL),
                 BLOBSEAL_OK);
    cr_expect(!r->changed && !r->verified);
    blobseal_change_result_free(r);
    cr_expect_eq(kept_change(&k, &keys[9], 1, CHANGE(.add = &public_keys[2], .num_add = 1, .replace = true), &r, NULL),
                 BLOBSEAL_E_UNSUPPORTED);
    kept_clear(&k);
}
