/* SPDX-License-Identifier: Apache-2.0 */
/* From a reference to a provider, and the lifetime of a KEK. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kek/kek.h"
#include "tests/support/suite.h"

SUITE(registry);

/* ---- A provider that records its calls --------------------------------------------------------------------------- */

static struct {
    unsigned opened, closed, wrapped, unwrapped;
    char ref[128];
    struct blobseal_kek_options options;
    struct blobseal_call call; /* of the last call */
    void *closed_state;
    enum blobseal_status open_answer, wrap_answer, unwrap_answer;
    struct blobseal_wrapping wrapping;
    bool silent; /* fails without filling the error */
    struct blobseal_kek_info info;
} diary;

static char the_state;

static enum blobseal_status diary_open(void **state, struct blobseal_kek_info *info, const char *ref,
                                       const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                       struct blobseal_error *err)
{
    diary.opened++;
    diary.call = *call;
    (void)snprintf(diary.ref, sizeof diary.ref, "%s", ref);
    diary.options = *options;
    if (diary.open_answer != BLOBSEAL_OK)
        return diary.silent ? diary.open_answer : blobseal_fail(err, diary.open_answer, 0, "not today");
    *state = &the_state;
    cr_assert_eq(info->size, sizeof *info);
    *info = diary.info;
    return BLOBSEAL_OK;
}

static bool diary_owns(void *state, const char *alg, const char *kid)
{
    cr_assert_eq(state, &the_state);
    return strcmp(alg, "RSA-OAEP-256") == 0 && strncmp(kid, "a-key", 5) == 0;
}

static enum blobseal_status diary_wrap(void *state, struct blobseal_wrapping *out,
                                       const struct blobseal_secret32 *secret, const struct blobseal_call *call,
                                       struct blobseal_error *err)
{
    (void)secret, (void)err;
    cr_assert_eq(state, &the_state);
    cr_assert_eq(out->size, sizeof *out);
    cr_assert(out->alg[0] == '\0' && out->kid[0] == '\0' && out->key_len == 0);
    diary.wrapped++;
    diary.call = *call;
    *out = diary.wrapping;
    return diary.wrap_answer;
}

static enum blobseal_status diary_unwrap(void *state, struct blobseal_secret32 *secret,
                                         const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                         const struct blobseal_call *call, struct blobseal_error *err)
{
    (void)wrapped, (void)err;
    cr_assert_eq(state, &the_state);
    cr_assert(lease->size == sizeof *lease && lease->valid_until_unix_ms == 0);
    diary.unwrapped++;
    diary.call = *call;
    lease->valid_until_unix_ms = 12345;
    memset(secret, 7, sizeof *secret);
    return diary.unwrap_answer;
}

static void diary_close(void *state)
{
    diary.closed++;
    diary.closed_state = state;
}

static const struct blobseal_kek_info good_info = {sizeof good_info, "a-key", "RSA-OAEP-256", 256, true, 0};

static const struct blobseal_wrapping good_wrapping = {
    .size = sizeof good_wrapping, .alg = "RSA-OAEP-256", .kid = "a-key", .key_len = 256};

static struct blobseal_provider provider(const char *scheme)
{
    memset(&diary, 0, sizeof diary);
    diary.info = good_info;
    diary.wrapping = good_wrapping;
    return (struct blobseal_provider){
        .abi = BLOBSEAL_PROVIDER_ABI,
        .scheme = scheme,
        .open = diary_open,
        .owns = diary_owns,
        .wrap = diary_wrap,
        .unwrap = diary_unwrap,
        .close = diary_close,
    };
}

static struct blobseal_registry *registry_with(const struct blobseal_provider *p)
{
    struct blobseal_registry *r;

    cr_assert_eq(blobseal_registry_new(&r, NULL), BLOBSEAL_OK);
    if (p != NULL)
        cr_assert_eq(blobseal_registry_add(r, p, NULL), BLOBSEAL_OK);
    return r;
}

/* Open @ref and close it again. */
static enum blobseal_status open_ref(const struct blobseal_registry *r, const char *ref)
{
    struct blobseal_error err = {0};
    struct blobseal_kek *kek = (void *)&the_state;
    enum blobseal_status st = blobseal_kek_open(&kek, r, ref, NULL, &err);

    cr_assert_eq(kek == NULL, st != BLOBSEAL_OK);
    cr_assert_eq(err.status, st, "status %d in the error, %d answered", (int)err.status, (int)st);
    blobseal_kek_close(kek);
    return st;
}

/* ---- Which provider ---------------------------------------------------------------------------------------------- */

Test(registry, a_provider_gets_what_follows_its_scheme)
{
    const struct blobseal_provider p = provider("diary");
    struct blobseal_registry *r = registry_with(&p);

    cr_assert_eq(open_ref(r, "diary:page:12"), BLOBSEAL_OK);
    cr_assert_str_eq(diary.ref, "page:12");
    cr_assert_eq(open_ref(r, "diary:"), BLOBSEAL_OK);
    cr_assert_str_eq(diary.ref, "");
    cr_assert_eq(open_ref(r, "diary"), BLOBSEAL_E_INPUT, "a path");
    cr_assert_eq(open_ref(r, "diary2:x"), BLOBSEAL_E_INPUT, "a path");
    cr_assert_eq(open_ref(r, "diar:x"), BLOBSEAL_E_INPUT, "a path");
    cr_assert_eq(open_ref(r, "Diary:x"), BLOBSEAL_E_INPUT, "a path");
    cr_assert_eq(open_ref(NULL, "diary:x"), BLOBSEAL_E_INPUT, "this registry only");
    cr_assert_eq(diary.opened, 2);
    blobseal_registry_free(r);
    blobseal_registry_free(NULL);
}

Test(registry, a_scheme_that_begins_like_another_is_another)
{
    const struct blobseal_provider longer = provider("abc"), shorter = provider("ab");
    struct blobseal_registry *r = registry_with(&shorter);

    diary.open_answer = BLOBSEAL_E_DENIED;
    cr_assert_eq(open_ref(r, "abc:x"), BLOBSEAL_E_INPUT);
    cr_assert_eq(blobseal_registry_add(r, &longer, NULL), BLOBSEAL_OK);
    cr_assert_eq(open_ref(r, "abc:x"), BLOBSEAL_E_DENIED);
    cr_assert_str_eq(diary.ref, "x");
    blobseal_registry_free(r);
}

Test(registry, a_reserved_scheme_can_be_taken)
{
    static const char *const schemes[] = {"https", "http", "set"};

    for (size_t i = 0; i < 3; i++) {
        const struct blobseal_provider p = provider(schemes[i]);
        struct blobseal_registry *r = registry_with(NULL);
        char ref[32];

        (void)snprintf(ref, sizeof ref, "%s:x", schemes[i]);
        cr_assert_eq(open_ref(r, ref), BLOBSEAL_E_CONFIG);
        cr_assert_eq(open_ref(NULL, ref), BLOBSEAL_E_CONFIG);
        cr_assert_eq(blobseal_registry_add(r, &p, NULL), BLOBSEAL_OK);
        cr_assert_eq(open_ref(r, ref), BLOBSEAL_OK);
        cr_assert_eq(diary.opened, 1);
        blobseal_registry_free(r);
    }
}

Test(registry, a_new_provider_takes_the_place_of_one_with_its_scheme)
{
    const struct blobseal_provider files = provider("file");
    struct blobseal_registry *r = registry_with(&files);

    cr_assert_eq(open_ref(r, "file:a"), BLOBSEAL_OK);
    cr_assert_str_eq(diary.ref, "a");
    cr_assert_eq(open_ref(r, "/plain/path"), BLOBSEAL_OK, "a plain path goes to whoever has `file`");
    cr_assert_str_eq(diary.ref, "/plain/path");
    cr_assert_eq(open_ref(NULL, "/nonexistent/path"), BLOBSEAL_E_INPUT);
    cr_assert_eq(diary.opened, 2);
    blobseal_registry_free(r);
}

Test(registry, it_keeps_the_provider_for_files)
{
    EVP_PKEY *key = vec_rsa_key(2048);
    char *pem = vec_private_pem(key), path[VEC_PATH];
    const struct blobseal_provider p = provider("diary");
    struct blobseal_registry *r = registry_with(&p);

    vec_temp_key(path, pem);
    cr_assert_eq(open_ref(r, path), BLOBSEAL_OK);
    (void)unlink(path);
    blobseal_registry_free(r);
    free(pem);
    EVP_PKEY_free(key);
}

Test(registry, it_holds_32_providers)
{
    static struct blobseal_provider many[32];
    static char schemes[32][8];
    struct blobseal_registry *r = registry_with(NULL);
    const struct blobseal_provider again = provider("s0");
    unsigned room = 32;
    char last[8], none[8];

    for (unsigned i = 0; bs_builtin_providers[i] != NULL; i++)
        room--;
    for (unsigned i = 0; i < 32; i++) {
        (void)snprintf(schemes[i], sizeof schemes[i], "s%u", i);
        many[i] = provider(schemes[i]);
        cr_assert_eq(blobseal_registry_add(r, &many[i], NULL), i < room ? BLOBSEAL_OK : BLOBSEAL_E_ARG, "%u", i);
    }
    (void)snprintf(last, sizeof last, "s%u:x", room - 1);
    (void)snprintf(none, sizeof none, "s%u:x", room);
    cr_assert_eq(blobseal_registry_add(r, &again, NULL), BLOBSEAL_OK, "replacing needs no room");
    cr_assert_eq(open_ref(r, last), BLOBSEAL_OK);
    cr_assert_eq(open_ref(r, none), BLOBSEAL_E_INPUT);
    blobseal_registry_free(r);
}

/* ---- Which providers are accepted -------------------------------------------------------------------------------- */

static void check_refused(struct blobseal_provider p)
{
    struct blobseal_registry *r = registry_with(NULL);
    struct blobseal_error err = {0};
    struct blobseal_kek *kek = (void *)&the_state;

    cr_assert_eq(blobseal_registry_add(r, &p, &err), BLOBSEAL_E_ARG);
    cr_assert_eq(err.status, BLOBSEAL_E_ARG);
    cr_assert_eq(blobseal_kek_new(&kek, &p, &the_state, &good_info, &err), BLOBSEAL_E_ARG);
    cr_assert_null(kek);
    cr_assert_eq(diary.closed, 0, "a state that was not taken over is the caller's");
    blobseal_registry_free(r);
}

Test(registry, incomplete_providers_are_refused)
{
    struct blobseal_provider p = provider("diary");
    struct blobseal_registry *r = registry_with(NULL);

    p.abi = 0;
    check_refused(p);
    p.abi = BLOBSEAL_PROVIDER_ABI + 1;
    check_refused(p);
    p = provider("diary");
    p.open = NULL;
    check_refused(p);
    p = provider("diary");
    p.owns = NULL;
    check_refused(p);
    p = provider("diary");
    p.wrap = NULL;
    check_refused(p);
    p = provider("diary");
    p.unwrap = NULL;
    check_refused(p);
    check_refused(provider(NULL));
    cr_assert_eq(blobseal_registry_add(r, NULL, NULL), BLOBSEAL_E_ARG);
    blobseal_registry_free(r);
}

Test(registry, a_provider_needs_no_close)
{
    struct blobseal_provider p = provider("diary");
    struct blobseal_registry *r;

    p.close = NULL;
    r = registry_with(&p);
    cr_assert_eq(open_ref(r, "diary:x"), BLOBSEAL_OK);
    diary.info.kid = NULL;
    cr_assert_eq(open_ref(r, "diary:x"), BLOBSEAL_E_ARG);
    blobseal_registry_free(r);
}

Test(registry, schemes_are_lower_case_words)
{
    static const char *const bad[] = {
        "",
        "A",
        "File",
        "1a",
        "-a",
        "+a",
        ".a",
        "a_b",
        "a b",
        "a:",
        "a:b",
        "a/b",
        " a",
        "a\n",
        "\xC3\xA9",
        "a\x7F",
        "abcdefghijklmnopqrstuvwxyzabcdef", /* 32 characters */
    };
    static const char *const good[] = {"a", "a1", "a+b", "a.b-c", "z9", "abcdefghijklmnopqrstuvwxyzabcde"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_refused(provider(bad[i]));
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const struct blobseal_provider p = provider(good[i]);

        blobseal_registry_free(registry_with(&p));
    }
}

/* ---- The lifetime of a KEK --------------------------------------------------------------------------------------- */

Test(registry, a_state_is_closed_exactly_once)
{
    const struct blobseal_provider p = provider("diary");
    struct blobseal_registry *r = registry_with(&p);
    struct blobseal_kek *kek;

    cr_assert_eq(blobseal_kek_open(&kek, r, "diary:x", NULL, NULL), BLOBSEAL_OK);
    blobseal_registry_free(r); /* freed before its KEK */
    cr_assert_str_eq(blobseal_kek_kid(kek), "a-key");
    cr_assert(blobseal_kek_can_unwrap(kek));
    cr_assert_eq(diary.closed, 0);
    blobseal_kek_close(kek);
    cr_assert_eq(diary.closed, 1);
    cr_assert_eq(diary.closed_state, &the_state);
}

Test(registry, a_kek_of_the_callers_state_owns_it_once_made)
{
    const struct blobseal_provider p = provider("diary");
    struct blobseal_kek *kek;

    cr_assert_eq(blobseal_kek_new(&kek, &p, &the_state, &good_info, NULL), BLOBSEAL_OK);
    cr_assert_eq(diary.opened, 0);
    blobseal_kek_close(kek);
    cr_assert_eq(diary.closed, 1);
}

Test(registry, what_cannot_be_opened_is_not_closed)
{
    const struct blobseal_provider p = provider("diary");
    struct blobseal_registry *r = registry_with(&p);

    diary.open_answer = BLOBSEAL_E_UNAVAILABLE;
    cr_assert_eq(open_ref(r, "diary:x"), BLOBSEAL_E_UNAVAILABLE);
    cr_assert_eq(diary.closed, 0);
    blobseal_registry_free(r);
}

Test(registry, a_refusal_without_a_word_still_has_its_status)
{
    const struct blobseal_provider p = provider("diary");
    struct blobseal_registry *r = registry_with(&p);

    diary.open_answer = BLOBSEAL_E_DENIED;
    diary.silent = true;
    cr_assert_eq(open_ref(r, "diary:x"), BLOBSEAL_E_DENIED);
    blobseal_registry_free(r);
}

Test(registry, so_has_a_failed_wrap_without_a_word)
{
    const struct blobseal_provider p = provider("diary");
    struct blobseal_error err = {.status = BLOBSEAL_E_FORMAT, .text = "from before", .hint = "from before"};
    const struct blobseal_secret32 secret = {{1}};
    struct blobseal_kek *kek;
    struct blobseal_wrapping out;

    cr_assert_eq(blobseal_kek_new(&kek, &p, &the_state, &good_info, NULL), BLOBSEAL_OK);
    diary.wrap_answer = BLOBSEAL_E_UNAVAILABLE;
    cr_assert_eq(bs_kek_wrap(kek, &out, &secret, NULL, &err), BLOBSEAL_E_UNAVAILABLE);
    cr_assert_eq(err.status, BLOBSEAL_E_UNAVAILABLE);
    cr_assert_str_neq(err.text, "from before");
    cr_assert_str_empty(err.hint);
    blobseal_kek_close(kek);
}

#define SIZE sizeof(struct blobseal_kek_info)

/* Such a key could not be named in an envelope, or would make the writer overrun its buffer. */
Test(registry, impossible_keys_are_refused)
{
    static char longest[BLOBSEAL_MAX_KID + 1], too_long[BLOBSEAL_MAX_KID + 2];
    const struct blobseal_kek_info bad[] = {
        {SIZE, NULL, "RSA-OAEP-256", 256, true, 0},
        {SIZE, "", "RSA-OAEP-256", 256, true, 0},
        {SIZE, "a b", "RSA-OAEP-256", 256, true, 0},
        {SIZE, " ", "RSA-OAEP-256", 256, true, 0},
        {SIZE, "a\n", "RSA-OAEP-256", 256, true, 0},
        {SIZE, "a\x7F", "RSA-OAEP-256", 256, true, 0},
        {SIZE, "\xC3\xA9", "RSA-OAEP", 256, true, 0},
        {SIZE, "k", NULL, 256, true, 0},
        {SIZE, "k", "", 256, true, 0},
        {SIZE, "k", "RSA1_5", 256, true, 0},
        {SIZE, "k", "RSA-OAEP-512", 256, true, 0},
        {SIZE, "k", "rsa-oaep", 256, true, 0},
        {SIZE, "k", "RSA-OAEP-256", 0, true, 0},
        {SIZE, "k", "RSA-OAEP-256", 255, true, 0},
        {SIZE, "k", "RSA-OAEP-256", 257, true, 0},
        {SIZE, "k", "RSA-OAEP-256", 320, true, 0},
        {SIZE, "k", "RSA-OAEP-256", 513, true, 0},
        {SIZE, "k", "RSA-OAEP-256", 1024, true, 0},
        {SIZE, "k", "RSA-OAEP-256", SIZE_MAX, true, 0},
        {SIZE, too_long, "RSA-OAEP-256", 256, true, 0},
    };
    const struct blobseal_kek_info good[] = {{SIZE, "k", "RSA-OAEP-256", 256, true, 0},
                                             {SIZE, "!~", "RSA-OAEP", 384, false, 0},
                                             {SIZE, longest, "RSA-OAEP-256", 512, true, 0}};
    const struct blobseal_provider p = provider("diary");
    struct blobseal_registry *r = registry_with(&p);
    struct blobseal_kek *kek;

    memset(longest, 'k', sizeof longest - 1);
    memset(too_long, 'k', sizeof too_long - 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kek = (void *)&the_state;
        cr_assert_eq(blobseal_kek_new(&kek, &p, &the_state, &bad[i], NULL), BLOBSEAL_E_ARG, "row %zu", i);
        cr_assert_null(kek);
        cr_assert_eq(diary.closed, 0, "row %zu: the state is the caller's", i);
        diary.info = bad[i];
        cr_assert_eq(open_ref(r, "diary:x"), BLOBSEAL_E_ARG, "row %zu", i);
        cr_assert_eq(diary.closed, 1, "row %zu: the library made the state, so it closes it", i);
        diary.closed = 0;
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cr_assert_eq(blobseal_kek_new(&kek, &p, &the_state, &good[i], NULL), BLOBSEAL_OK, "row %zu", i);
        cr_assert_eq(blobseal_kek_can_unwrap(kek), good[i].can_unwrap);
        blobseal_kek_close(kek);
    }
    blobseal_registry_free(r);
}

Test(registry, a_kek_that_cannot_unwrap_never_asks_its_provider)
{
    struct blobseal_secret32 secret = {{1}};
    const struct blobseal_wrapped w = {"RSA-OAEP-256", "a-key", (const uint8_t *)"", 0};
    const struct blobseal_provider p = provider("diary");
    struct blobseal_kek_info info = good_info;
    struct blobseal_kek *kek;
    struct blobseal_wrapping out;

    info.can_unwrap = false;
    cr_assert_eq(blobseal_kek_new(&kek, &p, &the_state, &info, NULL), BLOBSEAL_OK);
    cr_assert_eq(bs_kek_unwrap(kek, &secret, &w, NULL, NULL, NULL), BLOBSEAL_E_NOT_MINE);
    cr_assert_eq(secret.b[0], 0);
    cr_assert_eq(diary.unwrapped, 0);
    cr_assert_eq(bs_kek_wrap(kek, &out, &secret, NULL, NULL), BLOBSEAL_OK);
    cr_assert_eq(diary.wrapped, 1);
    blobseal_kek_close(kek);
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

static enum blobseal_status no_passphrase(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    (void)ctx, (void)buf, (void)cap, (void)len;
    return blobseal_fail(err, BLOBSEAL_E_CANCELED, 0, "no");
}

Test(registry, a_provider_always_gets_whole_options)
{
    const struct blobseal_kek_options all = {
        .size = sizeof all, .passphrase = no_passphrase, .passphrase_ctx = &the_state, .oaep = BLOBSEAL_OAEP_SHA1};
    const struct blobseal_provider p = provider("diary");
    struct blobseal_registry *r = registry_with(&p);
    struct blobseal_kek_options part = all;
    struct {
        struct blobseal_kek_options known;
        uint64_t unknown;
    } newer = {.known = all, .unknown = UINT64_MAX};
    struct blobseal_kek *kek;

    cr_assert_eq(blobseal_kek_open(&kek, r, "diary:x", NULL, NULL), BLOBSEAL_OK);
    cr_assert(diary.options.passphrase == NULL && diary.options.oaep == BLOBSEAL_OAEP_SHA256);
    blobseal_kek_close(kek);
    cr_assert_eq(blobseal_kek_open(&kek, r, "diary:x", &all, NULL), BLOBSEAL_OK);
    cr_assert(diary.options.passphrase != NULL && diary.options.oaep == BLOBSEAL_OAEP_SHA1);
    blobseal_kek_close(kek);
    part.size = offsetof(struct blobseal_kek_options, passphrase_ctx); /* the struct of an older caller */
    cr_assert_eq(blobseal_kek_open(&kek, r, "diary:x", &part, NULL), BLOBSEAL_OK);
    cr_assert(diary.options.passphrase != NULL && diary.options.oaep == BLOBSEAL_OAEP_SHA256);
    blobseal_kek_close(kek);
    newer.known.size = sizeof newer; /* the struct of a newer caller */
    cr_assert_eq(blobseal_kek_open(&kek, r, "diary:x", &newer.known, NULL), BLOBSEAL_E_ARG, "what is not known here");
    newer.unknown = 0;
    cr_assert_eq(blobseal_kek_open(&kek, r, "diary:x", &newer.known, NULL), BLOBSEAL_OK);
    cr_assert_eq(diary.options.oaep, BLOBSEAL_OAEP_SHA1);
    blobseal_kek_close(kek);
    blobseal_registry_free(r);
}

/*
 * A provider receives the struct of this version, whatever the size of the caller's struct. `size` must be exactly that
 * of this version.
 */
Test(registry, the_size_of_options_is_that_of_this_version)
{
    static const size_t sizes[] = {sizeof(size_t), offsetof(struct blobseal_kek_options, oaep),
                                   sizeof(struct blobseal_kek_options), sizeof(struct blobseal_kek_options) + 8};
    const struct blobseal_provider p = provider("diary");
    struct blobseal_registry *r = registry_with(&p);

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct {
            struct blobseal_kek_options known;
            uint64_t unknown;
        } options = {.known.size = sizes[i]};
        struct blobseal_kek *kek;

        cr_assert_eq(blobseal_kek_open(&kek, r, "diary:x", &options.known, NULL), BLOBSEAL_OK);
        blobseal_kek_close(kek);
        cr_assert_eq(diary.options.size, sizeof diary.options, "from %zu", sizes[i]);
    }
    blobseal_registry_free(r);
}

Test(registry, options_without_their_size_are_refused)
{
    const struct blobseal_provider p = provider("diary");
    struct blobseal_registry *r = registry_with(&p);
    struct blobseal_kek_options options = {0};

    for (options.size = 0; options.size < sizeof(size_t); options.size++) {
        struct blobseal_error err = {0};
        struct blobseal_kek *kek = (void *)&the_state;

        cr_assert_eq(blobseal_kek_open(&kek, r, "diary:x", &options, &err), BLOBSEAL_E_ARG);
        cr_assert_eq(err.status, BLOBSEAL_E_ARG);
        cr_assert_null(kek);
    }
    cr_assert_eq(diary.opened, 0);
    blobseal_registry_free(r);
}
