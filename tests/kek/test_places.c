/* SPDX-License-Identifier: Apache-2.0 */
/* Listing, generating, examining and publishing keys through the optional functions of a provider. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kek/kek.h"
#include "tests/support/suite.h"

SUITE(places);

static struct {
    char ref[64];
    unsigned bits, asked;
    enum blobseal_status answer;
} diary;

static char the_state;

static enum blobseal_status place_open(void **state, struct blobseal_kek_info *info, const char *ref,
                                       const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                       struct blobseal_error *err)
{
    (void)ref, (void)options, (void)call, (void)err;
    *state = &the_state;
    info->kid = "a-key";
    info->alg = "RSA-OAEP-256";
    info->wrapped_len = 256;
    info->notes = BLOBSEAL_KEK_NOTE_UNCHECKED;
    return BLOBSEAL_OK;
}

static enum blobseal_status place_wrap(void *state, struct blobseal_wrapping *out,
                                       const struct blobseal_secret32 *secret, const struct blobseal_call *call,
                                       struct blobseal_error *err)
{
    (void)state, (void)out, (void)secret, (void)call;
    return blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "not today");
}

static enum blobseal_status place_public_key(void *state, uint8_t **spki, size_t *len, const struct blobseal_call *call,
                                             struct blobseal_error *err)
{
    cr_assert_eq(state, &the_state);
    (void)call, (void)err;
    *spki = malloc(3);
    *len = 3;
    memcpy(*spki, "abc", 3);
    return diary.answer;
}

static enum blobseal_status place_diagnose(void *state, blobseal_finding_fn fn, void *fn_ctx,
                                           const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct blobseal_finding f = {"place", "found", BLOBSEAL_LEVEL_WARNING, "go there"};

    cr_assert_eq(state, &the_state);
    (void)call, (void)err;
    fn(fn_ctx, &f);
    return diary.answer;
}

static enum blobseal_status place_list(const char *ref, const struct blobseal_kek_options *options,
                                       blobseal_found_key_fn fn, void *fn_ctx, const struct blobseal_call *call,
                                       struct blobseal_error *err)
{
    const struct blobseal_found_key key = {.size = sizeof key,
                                           .ref = "place:1",
                                           .kid = "a-key",
                                           .type = "RSA-HSM",
                                           .bits = 3072,
                                           .can_unwrap = true,
                                           .valid_until = 7};

    (void)options, (void)err;
    cr_assert_not_null(call->cancel);
    (void)snprintf(diary.ref, sizeof diary.ref, "%s", ref);
    for (diary.asked = 1; fn(fn_ctx, &key) && diary.asked < 5; diary.asked++)
        ;
    return diary.answer;
}

static enum blobseal_status place_generate(const char *ref, const struct blobseal_kek_options *options, unsigned bits,
                                           const struct blobseal_call *call, struct blobseal_error *err)
{
    (void)options, (void)call, (void)err;
    (void)snprintf(diary.ref, sizeof diary.ref, "%s", ref);
    diary.bits = bits;
    return diary.answer;
}

static struct blobseal_provider place;

static struct blobseal_registry *registry(void)
{
    struct blobseal_registry *r;

    place = fake_provider("place");
    place.open = place_open;
    place.wrap = place_wrap;
    place.public_key = place_public_key;
    place.diagnose = place_diagnose;
    place.list = place_list;
    place.generate = place_generate;
    place.close = NULL;
    cr_assert_eq(blobseal_registry_new(&r, NULL), BLOBSEAL_OK);
    cr_assert_eq(blobseal_registry_add(r, &place, NULL), BLOBSEAL_OK);
    return r;
}

static struct blobseal_kek *open_key(const struct blobseal_registry *r)
{
    struct blobseal_kek *kek;

    cr_assert_eq(blobseal_kek_open(&kek, r, "place:x", NULL, NULL), BLOBSEAL_OK);
    return kek;
}

/* Return true for the first @ctx keys. */
static bool count(void *ctx, const struct blobseal_listed_key *key)
{
    unsigned *left = ctx;

    cr_assert_str_eq(key->ref, "place:1");
    cr_assert_str_eq(key->kid, "a-key");
    cr_assert(key->bits == 3072 && key->can_unwrap && !key->disabled);
    cr_assert(strcmp(key->type, "RSA-HSM") == 0 && key->valid_from == 0 && key->valid_until == 7);
    return --*left > 0;
}

Test(places, keys_are_listed_until_the_caller_has_enough)
{
    struct blobseal_registry *r = registry();
    unsigned left = 3;

    cr_assert_eq(blobseal_list_keys(r, "place:here", NULL, count, &left, NULL), BLOBSEAL_OK);
    cr_assert_str_eq(diary.ref, "here");
    cr_assert_eq(diary.asked, 3);
    diary.answer = BLOBSEAL_E_DENIED;
    left = 1;
    cr_assert_eq(blobseal_list_keys(r, "place:", NULL, count, &left, NULL), BLOBSEAL_E_DENIED);
    blobseal_registry_free(r);
}

Test(places, a_key_is_generated_of_an_accepted_size)
{
    struct blobseal_registry *r = registry();

    cr_assert_eq(blobseal_generate_key(r, "place:new", NULL, 2048, NULL), BLOBSEAL_OK);
    cr_assert(strcmp(diary.ref, "new") == 0 && diary.bits == 2048);
    diary.bits = 0;
    cr_assert_eq(blobseal_generate_key(r, "place:new", NULL, 1024, NULL), BLOBSEAL_E_ARG);
    cr_assert_eq(diary.bits, 0);
    diary.answer = BLOBSEAL_E_AUTH; /* that is for unwrap() */
    cr_assert_eq(blobseal_generate_key(r, "place:new", NULL, 4096, NULL), BLOBSEAL_E_INTERNAL);
    blobseal_registry_free(r);
}

Test(places, the_public_half_is_written_in_pem)
{
    struct blobseal_registry *r = registry();
    struct blobseal_kek *kek = open_key(r);
    char *pem;
    size_t len;

    cr_assert_eq(blobseal_kek_public_key(kek, &pem, &len, NULL), BLOBSEAL_OK);
    cr_assert_str_eq(pem, "-----BEGIN PUBLIC KEY-----\nYWJj\n-----END PUBLIC KEY-----\n");
    cr_assert_eq(len, strlen(pem));
    blobseal_free(pem);
    diary.answer = BLOBSEAL_E_UNAVAILABLE;
    cr_assert_eq(blobseal_kek_public_key(kek, &pem, &len, NULL), BLOBSEAL_E_UNAVAILABLE);
    cr_assert(pem == NULL && len == 0);
    blobseal_kek_close(kek);
    blobseal_registry_free(r);
}

static void note(void *ctx, const struct blobseal_finding *f)
{
    *(bool *)ctx |= strcmp(f->name, "place") == 0 && f->level == BLOBSEAL_LEVEL_WARNING;
}

Test(places, a_diagnosis_has_the_findings_of_the_provider)
{
    struct blobseal_registry *r = registry();
    struct blobseal_kek *kek = open_key(r);
    bool found = false;

    cr_assert_eq(blobseal_kek_notes(kek), BLOBSEAL_KEK_NOTE_UNCHECKED);
    cr_assert_eq(blobseal_diagnose_kek(kek, NULL, note, &found, NULL), BLOBSEAL_E_POLICY); /* wrapping fails */
    cr_assert(found);
    diary.answer = BLOBSEAL_E_UNAVAILABLE;
    cr_assert_eq(blobseal_diagnose_kek(kek, NULL, note, &found, NULL), BLOBSEAL_E_UNAVAILABLE);
    blobseal_kek_close(kek);
    blobseal_registry_free(r);
}

Test(places, these_functions_are_optional)
{
    struct blobseal_registry *r = registry();
    struct blobseal_kek *kek = open_key(r);
    bool found = false;
    unsigned left = 1;
    char *pem;
    size_t len;

    place.public_key = NULL;
    place.diagnose = NULL;
    place.list = NULL;
    place.generate = NULL;
    cr_assert_eq(blobseal_kek_public_key(kek, &pem, &len, NULL), BLOBSEAL_E_UNSUPPORTED);
    cr_assert_eq(blobseal_list_keys(r, "place:", NULL, count, &left, NULL), BLOBSEAL_E_UNSUPPORTED);
    cr_assert_eq(blobseal_generate_key(r, "place:x", NULL, 2048, NULL), BLOBSEAL_E_UNSUPPORTED);
    cr_assert_eq(blobseal_diagnose_kek(kek, NULL, note, &found, NULL), BLOBSEAL_E_POLICY);
    cr_assert_not(found);
    cr_assert_eq(blobseal_list_keys(NULL, "file:x", NULL, count, &left, NULL), BLOBSEAL_E_UNSUPPORTED);
    blobseal_kek_close(kek);
    blobseal_registry_free(r);
}
