/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys in PEM files: which kinds exist, and that they wrap and unwrap. Files and refusals are tested in
 * test_pem_files.c.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "kek/kek.h"
#include "tests/support/suite.h"

SUITE(pem);

/* ---- PEM texts --------------------------------------------------------------------------------------------------- */

static char *pkcs1_private(EVP_PKEY *key, const EVP_CIPHER *cipher)
{
    BIO *bio = BIO_new(BIO_s_mem());
    const uint8_t *pass = cipher != NULL ? (const uint8_t *)"secret" : NULL;

    return vec_bio_text(
        bio, PEM_write_bio_PrivateKey_traditional(bio, key, cipher, pass, cipher != NULL ? 6 : 0, NULL, NULL) == 1);
}

static char *pkcs1_public(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    uint8_t *der = NULL;
    int len = i2d_PublicKey(key, &der);

    cr_assert_gt(PEM_write_bio(bio, "RSA PUBLIC KEY", "", der, len), 0);
    OPENSSL_free(der);
    return vec_bio_text(bio, true);
}

/* Return a certificate that must not be trusted: it is expired and self-signed. It only carries the key. */
static char *certificate(EVP_PKEY *key, const char *name)
{
    X509 *cert = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    uint8_t *der = NULL;
    int len;

    cr_assert(X509_set_version(cert, X509_VERSION_3) == 1 && X509_set_pubkey(cert, key) == 1);
    cr_assert_eq(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), 1);
    cr_assert_not_null(ASN1_TIME_set(X509_getm_notBefore(cert), 0));
    cr_assert_not_null(ASN1_TIME_set(X509_getm_notAfter(cert), 1));
    cr_assert_gt(X509_sign(cert, key, EVP_sha256()), 0);
    len = i2d_X509(cert, &der);
    cr_assert_gt(PEM_write_bio(bio, name, "", der, len), 0);
    OPENSSL_free(der);
    X509_free(cert);
    return vec_bio_text(bio, true);
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static enum blobseal_status open_text(struct blobseal_kek **kek, const char *text, unsigned mode,
                                      const struct blobseal_kek_options *options, struct blobseal_error *err)
{
    char path[VEC_PATH];
    enum blobseal_status st;

    *err = (struct blobseal_error){0};
    vec_temp_file(path, text, strlen(text), mode);
    st = blobseal_kek_open(kek, NULL, path, options, err);
    (void)unlink(path);
    cr_assert_eq(err->status, st);
    cr_assert_eq(*kek != NULL, st == BLOBSEAL_OK);
    return st;
}

/* Open a text that must open, and free it. */
static struct blobseal_kek *open_good(char *text, unsigned mode, enum blobseal_oaep oaep)
{
    const struct blobseal_kek_options options = {.size = sizeof options, .oaep = oaep};
    struct blobseal_error err;
    struct blobseal_kek *kek;

    cr_assert_eq(open_text(&kek, text, mode, &options, &err), BLOBSEAL_OK, "%s", err.text);
    free(text);
    return kek;
}

static const struct blobseal_secret32 secret = {{'s', 'e', 'c', 'r', 'e', 't'}};

/* Return the result of unwrapping with @from what @by has wrapped, with the algorithm of @by. */
static enum blobseal_status carry(struct blobseal_kek *by, struct blobseal_kek *from)
{
    struct blobseal_wrapping wrapping;
    struct blobseal_wrapped w;
    struct blobseal_secret32 back = {{0}};
    enum blobseal_status st;

    cr_assert_eq(bs_kek_wrap(by, &wrapping, &secret, NULL, NULL), BLOBSEAL_OK);
    cr_assert_str_eq(wrapping.kid, blobseal_kek_kid(by));
    cr_assert_str_eq(wrapping.alg, bs_kek_info(by)->alg);
    cr_assert_eq(wrapping.key_len, bs_kek_info(by)->wrapped_len);
    w = (struct blobseal_wrapped){wrapping.alg, wrapping.kid, wrapping.key, wrapping.key_len};
    st = bs_kek_unwrap(from, &back, &w, NULL, NULL, NULL);
    if (st == BLOBSEAL_OK)
        cr_assert_arr_eq(back.b, secret.b, sizeof back.b);
    else
        cr_assert_arr_eq(back.b, (const uint8_t[32]){0}, sizeof back.b);
    return st;
}

/* ---- Kinds ------------------------------------------------------------------------------------------------------- */

Test(pem, opens_every_kind_and_gives_each_the_same_kid)
{
    EVP_PKEY *key = vec_rsa_key(2048);
    struct blobseal_kek *keks[] = {
        open_good(vec_private_pem(key), 0600, BLOBSEAL_OAEP_SHA256),
        open_good(pkcs1_private(key, NULL), 0600, BLOBSEAL_OAEP_SHA256),
        open_good(vec_public_pem(key), 0644, BLOBSEAL_OAEP_SHA256),
        open_good(pkcs1_public(key), 0644, BLOBSEAL_OAEP_SHA256),
        open_good(certificate(key, "CERTIFICATE"), 0644, BLOBSEAL_OAEP_SHA256),
        open_good(certificate(key, "X509 CERTIFICATE"), 0644, BLOBSEAL_OAEP_SHA256),
        open_good(certificate(key, "TRUSTED CERTIFICATE"), 0644, BLOBSEAL_OAEP_SHA256),
    };

    for (size_t i = 0; i < sizeof keks / sizeof keks[0]; i++) {
        cr_assert_eq(blobseal_kek_can_unwrap(keks[i]), i < 2, "kind %zu", i);
        cr_assert_str_eq(blobseal_kek_kid(keks[i]), blobseal_kek_kid(keks[0]), "kind %zu", i);
        cr_assert_eq(carry(keks[i], keks[0]), BLOBSEAL_OK);
        cr_assert_eq(carry(keks[0], keks[i]), i < 2 ? BLOBSEAL_OK : BLOBSEAL_E_NOT_MINE);
    }
    for (size_t i = 0; i < sizeof keks / sizeof keks[0]; i++)
        blobseal_kek_close(keks[i]);
    blobseal_kek_close(NULL);
    EVP_PKEY_free(key);
}

Test(pem, wraps_and_unwraps_with_every_size_and_hash)
{
    static const unsigned sizes[] = {2048, 3072, 4096};
    static const char *const algs[] = {"RSA-OAEP-256", "RSA-OAEP"};

    for (size_t s = 0; s < 3; s++) {
        EVP_PKEY *key = vec_rsa_key(sizes[s]);
        struct blobseal_kek *private[2], *public[2];

        for (int h = 0; h < 2; h++) {
            private[h] = open_good(vec_private_pem(key), 0600, (enum blobseal_oaep)h);
            public[h] = open_good(vec_public_pem(key), 0644, (enum blobseal_oaep)h);
            cr_assert_str_eq(bs_kek_info(public[h])->alg, algs[h]);
            cr_assert_eq(bs_kek_info(public[h])->wrapped_len, sizes[s] / 8);
        }
        for (int h = 0; h < 2; h++)
            for (int from = 0; from < 2; from++) /* the recipient decides, not the option */
                cr_assert_eq(carry(public[h], private[from]), BLOBSEAL_OK, "%u, %d from %d", sizes[s], h, from);
        for (int h = 0; h < 2; h++) {
            blobseal_kek_close(private[h]);
            blobseal_kek_close(public[h]);
        }
        EVP_PKEY_free(key);
    }
}

/* ---- Unwrapping -------------------------------------------------------------------------------------------------- */

struct pair {
    EVP_PKEY *key;
    struct blobseal_kek *kek;
    uint8_t wrapped[256];
};

static struct pair pair_start(void)
{
    struct pair p = {.key = vec_rsa_key(2048)};
    struct blobseal_wrapping wrapping;

    p.kek = open_good(vec_private_pem(p.key), 0600, BLOBSEAL_OAEP_SHA256);
    cr_assert_eq(bs_kek_wrap(p.kek, &wrapping, &secret, NULL, NULL), BLOBSEAL_OK);
    memcpy(p.wrapped, wrapping.key, sizeof p.wrapped);
    return p;
}

static void pair_end(struct pair *p)
{
    blobseal_kek_close(p->kek);
    EVP_PKEY_free(p->key);
}

static enum blobseal_status unwrap(struct pair *p, const char *alg, const char *kid, size_t len,
                                   struct blobseal_error *err)
{
    struct vec_bytes key = vec_copy(p->wrapped, len < sizeof p->wrapped ? len : sizeof p->wrapped);
    struct blobseal_wrapped w = {alg, kid, key.p, key.len};
    struct blobseal_secret32 out = {{7}};
    enum blobseal_status st = bs_kek_unwrap(p->kek, &out, &w, NULL, NULL, err);

    if (st == BLOBSEAL_OK)
        cr_assert_arr_eq(out.b, secret.b, sizeof out.b);
    else
        cr_assert_arr_eq(out.b, (const uint8_t[32]){0}, sizeof out.b);
    free(key.p);
    return st;
}

Test(pem, a_child_can_use_the_key_of_its_parent)
{
    struct pair p = pair_start();
    const char *kid = blobseal_kek_kid(p.kek);
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(unwrap(&p, "RSA-OAEP-256", kid, 256, NULL) == BLOBSEAL_OK ? 0 : 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    cr_assert_eq(unwrap(&p, "RSA-OAEP-256", kid, 256, NULL), BLOBSEAL_OK);
    pair_end(&p);
}

Test(pem, only_its_own_kid_is_its_own)
{
    struct pair p = pair_start();
    char kid[128];

    (void)strncpy(kid, blobseal_kek_kid(p.kek), sizeof kid - 1);
    kid[sizeof kid - 1] = '\0';
    cr_assert_eq(unwrap(&p, "RSA-OAEP-256", kid, 256, NULL), BLOBSEAL_OK);
    cr_assert_eq(unwrap(&p, "RSA-OAEP-256", NULL, 256, NULL), BLOBSEAL_OK, "no kid: it may try");
    for (size_t i = 0; kid[i] != '\0'; i++) {
        kid[i] ^= 1;
        cr_assert_eq(unwrap(&p, "RSA-OAEP-256", kid, 256, NULL), BLOBSEAL_E_NOT_MINE);
        kid[i] ^= 1;
    }
    kid[strlen(kid) - 1] = '\0';
    cr_assert_eq(unwrap(&p, "RSA-OAEP-256", kid, 256, NULL), BLOBSEAL_E_NOT_MINE);
    cr_assert_eq(unwrap(&p, "RSA-OAEP-256", "", 256, NULL), BLOBSEAL_E_NOT_MINE);
    pair_end(&p);
}

Test(pem, what_does_not_unwrap_says_nothing_more)
{
    struct blobseal_error first = {0}, err = {0};
    struct pair p = pair_start();
    const char *kid = blobseal_kek_kid(p.kek);

    cr_assert_eq(unwrap(&p, "RSA-OAEP", kid, 256, &first), BLOBSEAL_E_AUTH, "the other hash");
    for (size_t bit = 0; bit < 2048; bit += 41) {
        p.wrapped[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(unwrap(&p, "RSA-OAEP-256", kid, 256, &err), BLOBSEAL_E_AUTH, "bit %zu", bit);
        cr_assert_str_eq(err.text, first.text);
        p.wrapped[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < 256; len += 51) {
        cr_assert_eq(unwrap(&p, "RSA-OAEP-256", kid, len, &err), BLOBSEAL_E_AUTH, "%zu bytes", len);
        cr_assert_str_eq(err.text, first.text);
    }
    pair_end(&p);
}

/* Wrap @len bytes with OpenSSL only. */
static void wrap_bytes(struct pair *p, size_t len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(p->key, NULL);
    static const uint8_t bytes[64] = {1};
    size_t n = sizeof p->wrapped;

    cr_assert(EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_encrypt(ctx, p->wrapped, &n, bytes, len) == 1);
    EVP_PKEY_CTX_free(ctx);
}

Test(pem, a_secret_has_exactly_32_bytes)
{
    struct blobseal_error first = {0}, err = {0};
    struct pair p = pair_start();

    wrap_bytes(&p, 0);
    cr_assert_eq(unwrap(&p, "RSA-OAEP-256", blobseal_kek_kid(p.kek), 256, &first), BLOBSEAL_E_AUTH);
    for (size_t len = 16; len <= 64; len++)
        if (len != 32) {
            wrap_bytes(&p, len);
            cr_assert_eq(unwrap(&p, "RSA-OAEP-256", blobseal_kek_kid(p.kek), 256, &err), BLOBSEAL_E_AUTH, "%zu", len);
            cr_assert_str_eq(err.text, first.text);
        }
    pair_end(&p);
}

/* ---- Passphrases ------------------------------------------------------------------------------------------------- */

struct asker {
    const char *text;
    size_t len;
    enum blobseal_status answer;
    unsigned calls;
};

static enum blobseal_status ask(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    struct asker *a = ctx;

    a->calls++;
    cr_assert_geq(cap, 1024);
    memcpy(buf, a->text, a->len < cap ? a->len : cap);
    *len = a->len;
    return a->answer == BLOBSEAL_OK ? BLOBSEAL_OK : blobseal_fail(err, a->answer, 0, "nobody there");
}

static enum blobseal_status open_asking(char *text, struct asker *a, struct blobseal_error *err)
{
    const struct blobseal_kek_options options = {.size = sizeof options, .passphrase = ask, .passphrase_ctx = a};
    struct blobseal_kek *kek;
    enum blobseal_status st = open_text(&kek, text, 0600, &options, err);

    cr_assert(st != BLOBSEAL_OK || blobseal_kek_can_unwrap(kek));
    blobseal_kek_close(kek);
    free(text);
    return st;
}

static struct asker asker(const char *text)
{
    return (struct asker){.text = text, .len = strlen(text)};
}

Test(pem, an_encrypted_key_asks_once)
{
    struct asker right = asker("open sesame"), cut = asker("open sesam"), more = asker("open sesame "),
                 none = asker("");
    EVP_PKEY *key = vec_rsa_key(2048);
    struct blobseal_error err;

    cr_assert_eq(open_asking(vec_encrypted_pem(key, "open sesame", 11), &right, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(right.calls, 1);
    cr_assert_eq(open_asking(vec_encrypted_pem(key, "open sesame", 11), &cut, &err), BLOBSEAL_E_CONFIG);
    cr_assert_not_null(strstr(err.text, "passphrase"), "%s", err.text);
    cr_assert_eq(cut.calls, 1);
    cr_assert_eq(open_asking(vec_encrypted_pem(key, "open sesame", 11), &more, &err), BLOBSEAL_E_CONFIG);
    cr_assert_eq(open_asking(vec_encrypted_pem(key, "open sesame", 11), &none, &err), BLOBSEAL_E_CONFIG);
    EVP_PKEY_free(key);
}

Test(pem, a_passphrase_is_bytes_of_a_limited_length)
{
    static char long_text[1025];
    struct asker binary = {.text = "a\0b\xFF", .len = 4}, cut = {.text = "a", .len = 1};
    struct asker most = {.text = long_text, .len = 1024}, too_long = {.text = long_text, .len = 1025};
    EVP_PKEY *key = vec_rsa_key(2048);
    struct blobseal_error err;

    memset(long_text, 'x', sizeof long_text);
    cr_assert_eq(open_asking(vec_encrypted_pem(key, "a\0b\xFF", 4), &binary, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(open_asking(vec_encrypted_pem(key, "a\0b\xFF", 4), &cut, &err), BLOBSEAL_E_CONFIG);
    cr_assert_eq(open_asking(vec_encrypted_pem(key, long_text, 1024), &most, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(open_asking(vec_encrypted_pem(key, long_text, 1024), &too_long, &err), BLOBSEAL_E_INTERNAL);
    cr_assert_not_null(strstr(err.text, "the callback reported 1025 bytes"), "%s", err.text);
    EVP_PKEY_free(key);
}

/* A callback may not claim what only the library finds out, but it may have statuses of its own. */
Test(pem, the_status_of_the_passphrase_is_checked)
{
    EVP_PKEY *key = vec_rsa_key(2048);
    struct blobseal_error err;

    for (int i = 0; i < 3; i++) {
        enum blobseal_status st = i == 0   ? BLOBSEAL_E_AUTH
                                  : i == 1 ? BLOBSEAL_E_NOT_MINE
                                           : BLOBSEAL_STATUS_CALLBACK + 3;
        struct asker a = {.text = "x", .len = 1, .answer = st};

        cr_assert_eq(open_asking(vec_encrypted_pem(key, "x", 1), &a, &err), i < 2 ? BLOBSEAL_E_INTERNAL : st);
    }
    EVP_PKEY_free(key);
}

Test(pem, without_a_passphrase_an_encrypted_key_is_an_error_with_a_hint)
{
    EVP_PKEY *key = vec_rsa_key(2048);
    char *text = vec_encrypted_pem(key, "x", 1);
    struct blobseal_error err;
    struct blobseal_kek *kek;

    cr_assert_eq(open_text(&kek, text, 0600, NULL, &err), BLOBSEAL_E_CONFIG);
    cr_assert_not_null(strstr(err.text, "encrypted"), "%s", err.text);
    cr_assert_not_null(strstr(err.hint, "passphrase"), "%s", err.hint);
    free(text);
    EVP_PKEY_free(key);
}

Test(pem, an_error_of_the_question_is_passed_on)
{
    static const enum blobseal_status answers[] = {BLOBSEAL_E_CANCELED, BLOBSEAL_E_INPUT, BLOBSEAL_E_CONFIG};
    EVP_PKEY *key = vec_rsa_key(2048);
    struct blobseal_error err;

    for (size_t i = 0; i < 3; i++) {
        struct asker a = {.text = "x", .len = 1, .answer = answers[i]};

        cr_assert_eq(open_asking(vec_encrypted_pem(key, "x", 1), &a, &err), answers[i]);
        cr_assert_str_eq(err.text, "nobody there");
    }
    EVP_PKEY_free(key);
}

Test(pem, a_key_that_is_not_encrypted_asks_nothing)
{
    EVP_PKEY *key = vec_rsa_key(2048);
    struct asker a = asker("x");
    struct blobseal_error err;

    cr_assert_eq(open_asking(vec_private_pem(key), &a, &err), BLOBSEAL_OK);
    cr_assert_eq(open_asking(pkcs1_private(key, NULL), &a, &err), BLOBSEAL_OK);
    cr_assert_eq(a.calls, 0);
    EVP_PKEY_free(key);
}

/* a key derived with MD5 and one iteration, as "Proc-Type: 4,ENCRYPTED" implies */
Test(pem, openssls_old_encryption_is_refused_with_the_way_out)
{
    EVP_PKEY *key = vec_rsa_key(2048);
    struct asker a = asker("secret");
    struct blobseal_error err;

    cr_assert_eq(open_asking(pkcs1_private(key, EVP_aes_256_cbc()), &a, &err), BLOBSEAL_E_CONFIG);
    cr_assert_not_null(strstr(err.hint, "openssl pkcs8 -topk8"), "%s", err.hint);
    cr_assert_eq(a.calls, 0);
    EVP_PKEY_free(key);
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

/* A caller that was compiled with an older header has a shorter struct, followed by arbitrary bytes. */
Test(pem, options_of_an_older_caller_are_read_to_their_size)
{
    struct blobseal_kek_options options = {.size = offsetof(struct blobseal_kek_options, oaep),
                                           .oaep = BLOBSEAL_OAEP_SHA1};
    EVP_PKEY *key = vec_rsa_key(2048);
    char *text = vec_private_pem(key);
    struct blobseal_error err;
    struct blobseal_kek *kek;

    cr_assert_eq(open_text(&kek, text, 0600, &options, &err), BLOBSEAL_OK);
    cr_assert_str_eq(bs_kek_info(kek)->alg, "RSA-OAEP-256");
    blobseal_kek_close(kek);
    free(text);
    EVP_PKEY_free(key);
}
