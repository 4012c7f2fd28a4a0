/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FIPS mode is set in OpenSSL: the default properties contain fips=yes. If a provider has algorithms with that
 * property, they serve the whole library; if none has, every call fails with a message. Each test is a process of its
 * own, so it does not see the mode of another.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/core.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "blobseal_oci.h"
#include "simd/simd.h"
#include "tests/support/suite.h"

SUITE(fips);

#define PLAIN_LEN ((size_t)70000)

extern OSSL_provider_init_fn OSSL_provider_init; /* defined in tests/support/fips_stand_in.c */

static uint8_t plain[PLAIN_LEN];
static OSSL_PROVIDER *loaded[3]; /* loaded until the process ends */

/* Enable FIPS mode without any provider that has fips=yes, even if the configuration of this machine has one. */
static void without_provider(void)
{
    cr_assert(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1);
    cr_assert_eq(EVP_default_properties_enable_fips(NULL, 1), 1);
}

/* Enable FIPS mode with the stand-in as the only provider of cryptography. "base" reads and writes keys. */
static void with_stand_in(void)
{
    cr_assert(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1);
    cr_assert_eq(OSSL_PROVIDER_add_builtin(NULL, "fips", OSSL_provider_init), 1);
    loaded[0] = OSSL_PROVIDER_load(NULL, "fips");
    loaded[1] = OSSL_PROVIDER_load(NULL, "base");
    cr_assert(loaded[0] != NULL && loaded[1] != NULL);
    cr_assert_eq(EVP_default_properties_enable_fips(NULL, 1), 1);
}

/* ---- Kernels ----------------------------------------------------------------------------------------------------- */

Test(fips, the_entry_of_openssl_is_taken_whatever_the_cpu_can_do)
{
    static const uint8_t raw[BS_GCM_KEY_LEN] = {1};
    struct bs_gcm_key key = {0};
    const struct bs_gcm_impl *before = bs_gcm_choose();

    with_stand_in();
    cr_assert_str_eq(bs_gcm_choose()->name, "openssl");
    cr_assert_eq(bs_gcm_init(&key, raw), BS_GCM_OK);
    cr_assert_eq(key.impl, bs_gcm_choose());
    bs_gcm_clear(&key);
    cr_assert_eq(EVP_default_properties_enable_fips(NULL, 0), 1);
    cr_assert_eq(bs_gcm_choose(), before);
    cr_assert_eq(before, bs_gcm_pick(bs_cpu_features()));
}

Test(fips, without_a_provider_there_is_no_kernel)
{
    static const uint8_t raw[BS_GCM_KEY_LEN] = {1};
    static const struct bs_chunked_keys keys = {{1}, {2}, {3}};
    struct bs_gcm_key key = {0};
    struct bs_chunked chunked = {0};
    struct blobseal_error err = {0};

    without_provider();
    cr_assert_eq(bs_gcm_init(&key, raw), BS_GCM_NO_CIPHER);
    cr_assert_str_eq(key.impl->name, "openssl");
    cr_assert_null(key.state);
    bs_gcm_clear(&key);
    cr_assert_eq(ERR_peek_error(), 0, "a trace is left in the error queue");
    cr_assert_eq(bs_chunked_init(&chunked, &keys, &err), BLOBSEAL_E_CONFIG);
    cr_assert(strstr(err.text, "activates no provider") != NULL, "%s", err.text);
    cr_assert(strstr(err.hint, "FIPS") != NULL, "%s", err.hint);
    bs_chunked_clear(&chunked);
}

/* ---- Layers of images -------------------------------------------------------------------------------------------- */

static enum blobseal_status encrypt_layer(struct blobseal_memory *out, struct blobseal_oci_layer **layer,
                                          struct blobseal_error *err)
{
    struct blobseal_memory in;
    struct blobseal_source source;
    struct blobseal_sink sink;
    enum blobseal_status st = blobseal_oci_layer_new(layer, err);

    *out = (struct blobseal_memory){0};
    blobseal_source_memory(&source, &in, plain, PLAIN_LEN);
    blobseal_sink_memory(&sink, out);
    return st == BLOBSEAL_OK ? blobseal_oci_encrypt(*layer, &source, &sink, NULL, NULL, err) : st;
}

Test(fips, layers_are_encrypted_by_openssl_and_are_the_same)
{
    struct blobseal_oci_layer *layer;
    struct blobseal_error err = {0};
    struct blobseal_memory in, cipher, back = {0};
    struct blobseal_source source;
    struct blobseal_sink sink;

    with_stand_in();
    cr_expect_str_eq(bs_ctr_choose()->name, "openssl");
    cr_expect_str_eq(bs_hashes_choose()->name, "openssl");
    cr_assert_eq(encrypt_layer(&cipher, &layer, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(EVP_default_properties_enable_fips(NULL, 0), 1);
    cr_assert_eq(OSSL_PROVIDER_unload(loaded[0]), 1);
    cr_assert_not_null(OSSL_PROVIDER_load(NULL, "default"));
    blobseal_source_memory(&source, &in, cipher.data, cipher.len);
    blobseal_sink_memory(&sink, &back);
    cr_assert_eq(blobseal_oci_decrypt_verified(layer, &source, &sink, NULL, NULL, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect(back.len == PLAIN_LEN && memcmp(back.data, plain, PLAIN_LEN) == 0);
    blobseal_oci_layer_free(layer);
    blobseal_free(cipher.data);
    blobseal_free(back.data);
}

Test(fips, without_a_provider_no_layer_is_encrypted)
{
    struct blobseal_oci_layer *layer = NULL;
    struct blobseal_error err = {0};
    struct blobseal_memory cipher;

    without_provider();
    cr_expect_eq(encrypt_layer(&cipher, &layer, &err), BLOBSEAL_E_CONFIG);
    cr_expect(strstr(err.text, "activates no provider") != NULL, "%s", err.text);
    cr_expect_eq(cipher.len, 0);
    blobseal_oci_layer_free(layer);
}

/* ---- Whole blobs ------------------------------------------------------------------------------------------------- */

static enum blobseal_status give_passphrase(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    (void)err;
    *len = strlen(ctx);
    cr_assert_lt(*len, cap);
    memcpy(buf, ctx, *len);
    return BLOBSEAL_OK;
}

static struct blobseal_kek *open_key(const char *pem, const char *passphrase)
{
    const struct blobseal_kek_options o = {
        .size = sizeof o, .passphrase = give_passphrase, .passphrase_ctx = (void *)passphrase};
    struct blobseal_kek *kek = NULL;
    struct blobseal_error err = {0};
    char path[VEC_PATH];

    vec_temp_key(path, pem);
    cr_assert_eq(blobseal_kek_open(&kek, NULL, path, &o, &err), BLOBSEAL_OK, "%s", err.text);
    (void)unlink(path);
    return kek;
}

static void expect_opens(const struct sealed *s, struct blobseal_kek *kek)
{
    struct blobseal_error err = {0};
    struct opened o;

    cr_assert_eq(open_bytes(&o, s->data, s->len, &kek, 1, NULL, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(o.len, PLAIN_LEN);
    cr_assert_arr_eq(o.data, plain, PLAIN_LEN);
    opened_clear(&o);
}

/*
 * What is sealed in FIPS mode opens without it, and the other way round. The key is made in FIPS mode, with a
 * passphrase.
 */
Test(fips, a_provider_serves_everything_and_the_format_is_the_same)
{
    struct blobseal_keypair pair = {.size = sizeof pair};
    struct blobseal_error err = {0};
    struct blobseal_kek *kek, *plain_kek;
    struct sealed in_fips, outside;

    with_stand_in();
    fill_pattern(plain, PLAIN_LEN);
    cr_assert_eq(blobseal_keygen_rsa(&pair, 2048, "a passphrase", &err), BLOBSEAL_OK, "%s", err.text);
    kek = open_key(pair.private_pem, "a passphrase");
    cr_assert_eq(seal_bytes(&in_fips, plain, PLAIN_LEN, &kek, 1, NULL, &err), BLOBSEAL_OK, "%s", err.text);
    expect_opens(&in_fips, kek);

    cr_assert_eq(EVP_default_properties_enable_fips(NULL, 0), 1);
    loaded[2] = OSSL_PROVIDER_load(NULL, "default");
    cr_assert_not_null(loaded[2]);
    plain_kek = open_key(pair.private_pem, "a passphrase");
    cr_assert_str_eq(blobseal_kek_kid(plain_kek), blobseal_kek_kid(kek));
    expect_opens(&in_fips, plain_kek);
    cr_assert_eq(seal_bytes(&outside, plain, PLAIN_LEN, &plain_kek, 1, NULL, &err), BLOBSEAL_OK, "%s", err.text);

    cr_assert_eq(EVP_default_properties_enable_fips(NULL, 1), 1);
    expect_opens(&outside, kek);
    sealed_clear(&in_fips); /* a key that was opened before FIPS mode was on wraps with the FIPS provider now */
    cr_assert_eq(seal_bytes(&in_fips, plain, PLAIN_LEN, &plain_kek, 1, NULL, &err), BLOBSEAL_OK, "%s", err.text);
    expect_opens(&in_fips, kek);
    sealed_clear(&in_fips);
    sealed_clear(&outside);
    blobseal_kek_close(plain_kek);
    blobseal_kek_close(kek);
    blobseal_keypair_clear(&pair);
}

Test(fips, without_a_provider_keys_and_blobs_fail_with_a_message)
{
    struct fake_kek fake = {.kid = "a"};
    struct blobseal_kek *kek = NULL, *other;
    struct blobseal_keypair pair = {.size = sizeof pair};
    struct blobseal_error err = {0};
    struct vec_bytes pem = vec_read("format/kek1.pem");
    struct sealed s;
    char path[VEC_PATH];

    vec_temp_file(path, pem.p, pem.len, 0600);
    without_provider();
    cr_expect_eq(blobseal_kek_open(&kek, NULL, path, NULL, &err), BLOBSEAL_E_CONFIG);
    cr_expect_null(kek);
    cr_expect(strstr(err.text, "activates no provider that has ") != NULL, "%s", err.text);
    cr_expect(strstr(err.hint, "FIPS") != NULL, "%s", err.hint);
    cr_expect_eq(blobseal_keygen_rsa(&pair, 2048, NULL, &err), BLOBSEAL_E_CONFIG);
    cr_expect_null(pair.private_pem);
    other = fake_kek_open(&fake);
    cr_expect_eq(seal_bytes(&s, plain, PLAIN_LEN, &other, 1, NULL, &err), BLOBSEAL_E_CONFIG);
    cr_expect_neq(err.text[0], '\0');
    sealed_clear(&s);
    blobseal_kek_close(other);
    (void)unlink(path);
    free(pem.p);
}

/* ---- The diagnosis ----------------------------------------------------------------------------------------------- */

struct told {
    enum blobseal_level fips_level, gcm_level;
    char fips[300], gcm[100];
};

static void note(void *ctx, const struct blobseal_finding *f)
{
    struct told *t = ctx;

    if (strcmp(f->name, "fips") == 0) {
        t->fips_level = f->level;
        (void)snprintf(t->fips, sizeof t->fips, "%s", f->value);
    } else if (strcmp(f->name, "aes-256-gcm") == 0) {
        t->gcm_level = f->level;
        (void)snprintf(t->gcm, sizeof t->gcm, "%s", f->value);
    }
}

Test(fips, the_doctor_names_the_provider_that_serves)
{
    struct told t = {0};

    with_stand_in();
    blobseal_diagnose(note, &t);
    cr_expect_eq(t.fips_level, BLOBSEAL_LEVEL_OK);
    cr_expect_str_eq(t.fips, "on: AES-256-GCM by fips, SHA-256 by fips, SHA-512 by fips, HKDF by fips, RSA by fips, "
                             "random numbers by fips (stand-in 0)");
    cr_expect_eq(t.gcm_level, BLOBSEAL_LEVEL_OK);
    cr_expect_str_eq(t.gcm, "openssl");
}

/*
 * A random generator that was used before FIPS mode remains in use: only a program that starts in FIPS mode uses FIPS
 * mode for everything.
 */
Test(fips, the_doctor_finds_what_began_too_early)
{
    struct told t = {0};
    uint8_t byte;

    cr_assert(blobseal_random(&byte, 1, true));
    with_stand_in();
    blobseal_diagnose(note, &t);
    cr_expect_eq(t.fips_level, BLOBSEAL_LEVEL_FAILURE);
    cr_expect(strstr(t.fips, "random numbers by default") != NULL, "%s", t.fips);
}

Test(fips, the_doctor_finds_that_nobody_serves)
{
    struct told t = {0};

    without_provider();
    blobseal_diagnose(note, &t);
    cr_expect_eq(t.fips_level, BLOBSEAL_LEVEL_FAILURE);
    cr_expect(strstr(t.fips, "AES-256-GCM by none") != NULL, "%s", t.fips);
    cr_expect_eq(t.gcm_level, BLOBSEAL_LEVEL_FAILURE);
    cr_expect(strstr(t.gcm, "no active provider") != NULL, "%s", t.gcm);
    cr_expect_eq(ERR_peek_error(), 0);
}
