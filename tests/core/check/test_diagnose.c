/* SPDX-License-Identifier: Apache-2.0 */
/* The diagnosis: no failure on this machine, and one failure for each broken part. */
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/suite.h"

SUITE(diagnose);

#define MAX_FINDINGS 32

static struct findings {
    size_t num;
    struct {
        char name[40], value[400], hint[200];
        enum blobseal_level level;
    } f[MAX_FINDINGS];
} got;

static void note(void *ctx, const struct blobseal_finding *f)
{
    cr_assert_eq(ctx, &got);
    cr_assert_lt(got.num, MAX_FINDINGS);
    (void)snprintf(got.f[got.num].name, sizeof got.f[0].name, "%s", f->name);
    (void)snprintf(got.f[got.num].value, sizeof got.f[0].value, "%s", f->value);
    (void)snprintf(got.f[got.num].hint, sizeof got.f[0].hint, "%s", f->hint);
    got.f[got.num++].level = f->level;
}

static size_t find(const char *name)
{
    for (size_t i = 0; i < got.num; i++)
        if (strcmp(got.f[i].name, name) == 0)
            return i;
    cr_assert_fail("no finding named %s", name);
    return 0;
}

/* Expect that exactly this self-test has failed; NULL means none. */
static void expect_failure(const char *name)
{
    for (size_t i = 0; i < got.num; i++) {
        bool should = name != NULL && strcmp(got.f[i].name, name) == 0;

        cr_expect_eq(got.f[i].level == BLOBSEAL_LEVEL_FAILURE, should, "%s: %s", got.f[i].name, got.f[i].value);
        if (should) {
            cr_expect(strstr(got.f[i].value, "failed") != NULL, "%s", got.f[i].value);
            cr_expect_neq(got.f[i].hint[0], '\0');
        }
    }
}

Test(diagnose, everything_is_told_once_and_nothing_fails)
{
    const char *const names[] = {"blobseal",        "openssl", "cpu",      "cpus",          "providers", "fips",
                                 "locked memory",   "secrets", "mappings", "core files",    "random",    "aes-256-gcm",
                                 "envelope cipher", "xxh3",    "sha-256",  "key derivation"};

    got.num = 0;
    blobseal_diagnose(note, &got);
    for (size_t i = 0; i < COUNT(names); i++)
        (void)find(names[i]);
    for (size_t i = 0; i < got.num; i++) {
        cr_expect_neq(got.f[i].value[0], '\0', "%s", got.f[i].name);
        for (size_t k = 0; k < i; k++)
            cr_expect_str_neq(got.f[i].name, got.f[k].name);
    }
    expect_failure(NULL);
    cr_expect_str_eq(got.f[find("blobseal")].value, blobseal_version());
    cr_expect_str_eq(got.f[find("aes-256-gcm")].value, bs_gcm_pick(bs_cpu_features())->name);
}

/* ---- Broken parts ------------------------------------------------------------------------------------------------ */

static enum bs_gcm_status refuse_init(struct bs_gcm_key *key, const uint8_t raw[BS_GCM_KEY_LEN])
{
    (void)key;
    (void)raw;
    return BS_GCM_BROKEN;
}

static void clear_nothing(struct bs_gcm_key *key)
{
    (void)key;
}

static uint64_t wrong_sum(uint64_t seed, const void *p, size_t len)
{
    return bs_xxh3(seed, p, len) + 1;
}

static bool no_random(void *p, size_t len, bool secret)
{
    (void)secret;
    memset(p, 1, len);
    return false;
}

static bool constant_random(void *p, size_t len, bool secret)
{
    memset(p, secret ? 7 : 8, len);
    return true;
}

static bool zero_random(void *p, size_t len, bool secret)
{
    (void)secret;
    memset(p, 0, len);
    return true;
}

Test(diagnose, what_is_broken_is_named)
{
    static const struct bs_gcm_impl broken = {.name = "broken", .init = refuse_init, .clear = clear_nothing};
    const struct {
        const char *name;
        struct bs_selftest_parts parts;
    } rows[] = {
        {NULL, {bs_gcm_pick(bs_cpu_features()), bs_xxh3, blobseal_random}},
        {"aes-256-gcm", {&broken, bs_xxh3, blobseal_random}},
        {"xxh3", {bs_gcm_pick(bs_cpu_features()), wrong_sum, blobseal_random}},
        {"random", {bs_gcm_pick(bs_cpu_features()), bs_xxh3, no_random}},
        {"random", {bs_gcm_pick(bs_cpu_features()), bs_xxh3, constant_random}},
        {"random", {bs_gcm_pick(bs_cpu_features()), bs_xxh3, zero_random}},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        got.num = 0;
        bs_diagnose(&rows[i].parts, note, &got);
        expect_failure(rows[i].name);
    }
}

/* ---- Limits of the process --------------------------------------------------------------------------------------- */

Test(diagnose, limits)
{
    struct rlimit core, none = {0, 0};

    got.num = 0;
    cr_assert_eq(getrlimit(RLIMIT_CORE, &core), 0);
    core.rlim_cur = core.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_CORE, &core), 0);
    blobseal_diagnose(note, &got);
    cr_expect_eq(got.f[find("core files")].level, core.rlim_cur == 0 ? BLOBSEAL_LEVEL_OK : BLOBSEAL_LEVEL_WARNING);
    got.num = 0;
    cr_assert_eq(setrlimit(RLIMIT_CORE, &none), 0);
    blobseal_diagnose(note, &got);
    cr_expect_eq(got.f[find("core files")].level, BLOBSEAL_LEVEL_OK);
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

Test(diagnose, keys)
{
    struct fake_kek private = {.kid = "mine"}, public = {.kid = "theirs", .public_only = true};
    struct fake_kek *const fakes[] = {&private, &public};

    for (size_t i = 0; i < COUNT(fakes); i++) {
        struct blobseal_kek *kek = fake_kek_open(fakes[i]);

        got.num = 0;
        cr_expect_eq(blobseal_diagnose_kek(kek, NULL, note, &got, NULL), BLOBSEAL_OK);
        cr_expect_eq(got.num, 3);
        expect_failure(NULL);
        cr_expect_str_eq(got.f[0].value, fakes[i]->kid);
        cr_expect(strstr(got.f[1].value, "2048") != NULL, "%s", got.f[1].value);
        cr_expect(strstr(got.f[1].value, i == 0 ? "private" : "public") != NULL, "%s", got.f[1].value);
        cr_expect_eq(fakes[i]->wraps, 1);
        cr_expect_eq(fakes[i]->unwraps, i == 0 ? 1 : 0);
        blobseal_kek_close(kek);
    }
}

Test(diagnose, keys_that_fail)
{
    struct fake_kek no_wrap = {.kid = "a", .wrap = {.at_call = 1, .status = BLOBSEAL_E_UNAVAILABLE}};
    struct fake_kek no_unwrap = {.kid = "b", .unwrap = {.at_call = 1, .status = BLOBSEAL_E_DENIED}};
    struct fake_kek *const fakes[] = {&no_wrap, &no_unwrap};
    const enum blobseal_status want[] = {BLOBSEAL_E_UNAVAILABLE, BLOBSEAL_E_DENIED};

    for (size_t i = 0; i < COUNT(fakes); i++) {
        struct blobseal_kek *kek = fake_kek_open(fakes[i]);
        struct blobseal_error err = {0};

        got.num = 0;
        cr_expect_eq(blobseal_diagnose_kek(kek, NULL, note, &got, &err), want[i]);
        cr_expect_eq(got.f[find("key works")].level, BLOBSEAL_LEVEL_FAILURE);
        cr_expect_eq(err.status, want[i]);
        cr_expect_eq(blobseal_diagnose_kek(kek, NULL, note, &got, NULL), want[i]);
        blobseal_kek_close(kek);
    }
}

/* Unwrap successfully, but return a secret other than the wrapped one. */
static enum blobseal_status lie(void *state, struct blobseal_secret32 *secret, const struct blobseal_wrapped *wrapped,
                                struct blobseal_lease *lease, const struct blobseal_call *call,
                                struct blobseal_error *err)
{
    (void)lease;
    (void)call;
    (void)state;
    (void)wrapped;
    (void)err;
    memset(secret, 9, sizeof *secret);
    return BLOBSEAL_OK;
}

Test(diagnose, a_key_that_lies_is_a_failure)
{
    struct blobseal_provider liar = fake_provider("lie");
    struct fake_kek state = {.kid = "liar", .alg = "RSA-OAEP-256", .wrapped_len = 256};
    const struct blobseal_kek_info info = {sizeof info, "liar", "RSA-OAEP-256", 256, true, 0};
    struct blobseal_kek *kek;

    liar.unwrap = lie;
    cr_assert_eq(blobseal_kek_new(&kek, &liar, &state, &info, NULL), BLOBSEAL_OK);
    got.num = 0;
    cr_expect_eq(blobseal_diagnose_kek(kek, NULL, note, &got, NULL), BLOBSEAL_OK);
    expect_failure("key works");
    blobseal_kek_close(kek);
}
