/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OpenSSL that computes wrongly is detected before it makes or opens an envelope. The provider is the one of
 * tests/support/fips_stand_in.c, which makes the same mistake each time: what it seals, it also opens, so only known
 * answers show that something is wrong. Each test is a process of its own.
 */
#include <stdlib.h>

#include <openssl/core.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "tests/support/suite.h"

SUITE(broken_openssl);

extern OSSL_provider_init_fn OSSL_provider_init; /* defined in tests/support/fips_stand_in.c */

static struct fake_kek fake = {.kid = "a"};

static const struct {
    const char *breaks, *names, *finding;
} parts[] = {
    {"gcm", "AES-256-GCM with additional data", "envelope cipher"},
    {"sha256", "SHA-256", "sha-256"},
    {"hkdf", "HKDF", "key derivation"},
};

/* Use the stand-in for all cryptography from now on. */
static void use_stand_in(const char *breaks)
{
    (void)setenv("STAND_IN_BREAKS", breaks, 1);
    cr_assert(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1);
    cr_assert_eq(OSSL_PROVIDER_add_builtin(NULL, "fips", OSSL_provider_init), 1);
    cr_assert(OSSL_PROVIDER_load(NULL, "fips") != NULL);
    cr_assert_eq(EVP_default_properties_enable_fips(NULL, 1), 1);
}

static void expect_refusal(enum blobseal_status st, const struct blobseal_error *err, size_t part)
{
    cr_expect_eq(st, BLOBSEAL_E_INTERNAL, "%s: %s", parts[part].breaks, err->text);
    cr_expect_eq(err->status, st);
    cr_expect(strstr(err->text, "self-test") != NULL && strstr(err->text, parts[part].names) != NULL, "%s", err->text);
    cr_expect_eq(err->advice, BLOBSEAL_ADVICE_SELFTEST);
}

/* Expect that only the finding whose name is @ctx is a failure. */
static void note_failure(void *ctx, const struct blobseal_finding *f)
{
    const char *name = ctx;

    if (strcmp(f->name, "fips") == 0)
        return; /* the generator is still that of the default provider, which this process used before */
    cr_expect_eq(f->level == BLOBSEAL_LEVEL_FAILURE, strcmp(f->name, name) == 0, "%s: %s", f->name, f->value);
}

static void check_part(size_t part)
{
    struct blobseal_kek *kek = fake_kek_open(&fake), *other = fake_kek_open(&(struct fake_kek){.kid = "b"});
    const struct blobseal_change change = {.size = sizeof change, .add = &other, .num_add = 1};
    const uint8_t plain[1000] = {1};
    struct blobseal_change_result *result;
    struct blobseal_error err = {0};
    struct blobseal_memory state;
    struct blobseal_source source;
    struct sealed s, t;
    struct opened o;

    cr_assert_eq(blobseal_selftest(&err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(seal_bytes(&s, plain, sizeof plain, &kek, 1, NULL, &err), BLOBSEAL_OK, "%s", err.text);
    use_stand_in(parts[part].breaks);
    for (unsigned i = 0; i < 2; i++)
        expect_refusal(blobseal_selftest(&err), &err, part);
    expect_refusal(seal_bytes(&t, plain, sizeof plain, &kek, 1, NULL, &err), &err, part);
    sealed_clear(&t);
    expect_refusal(open_bytes(&o, s.data, s.len, &kek, 1, NULL, &err), &err, part);
    cr_expect_eq(o.len, 0);
    opened_clear(&o);
    blobseal_source_memory(&source, &state, s.data, s.len);
    expect_refusal(blobseal_change_envelope(&result, &source, &kek, 1, &change, &err), &err, part);
    blobseal_diagnose(note_failure, (void *)parts[part].finding);
    cr_assert_eq(EVP_default_properties_enable_fips(NULL, 0), 1);
    cr_expect_eq(blobseal_selftest(&err), BLOBSEAL_OK, "the default provider is as good as before");
    sealed_clear(&s);
    blobseal_kek_close(kek);
    blobseal_kek_close(other);
}

Test(broken_openssl, aes_gcm_with_additional_data)
{
    check_part(0);
}

Test(broken_openssl, sha_256)
{
    check_part(1);
}

Test(broken_openssl, hkdf)
{
    check_part(2);
}

Test(broken_openssl, a_correct_provider_passes)
{
    struct blobseal_error err = {0};

    use_stand_in("nothing");
    cr_expect_eq(blobseal_selftest(&err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_eq(ERR_peek_error(), 0, "a trace is left in the error queue");
}

Test(broken_openssl, a_missing_provider_is_a_matter_of_configuration)
{
    struct blobseal_error err = {0};

    cr_assert(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1);
    cr_assert(OSSL_PROVIDER_load(NULL, "base") != NULL); /* an explicit provider ends the use of the default one */
    cr_expect_eq(blobseal_selftest(&err), BLOBSEAL_E_CONFIG);
    cr_expect_str_eq(err.text, "OpenSSL's configuration activates no provider that has AES-256-GCM");
    cr_expect(strstr(err.hint, "FIPS") == NULL && strstr(err.hint, "openssl.cnf") != NULL, "%s", err.hint);
    cr_assert_eq(EVP_default_properties_enable_fips(NULL, 1), 1);
    cr_expect_eq(blobseal_selftest(&err), BLOBSEAL_E_CONFIG);
    cr_expect(strstr(err.text, "fips=yes") != NULL, "%s", err.text);
    cr_expect_eq(ERR_peek_error(), 0, "a trace is left in the error queue");
}
