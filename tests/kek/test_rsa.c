/* SPDX-License-Identifier: Apache-2.0 */
/* RSA keys: which keys are allowed, their key ids, and RSAES-OAEP against test vectors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "kek/pem.h"
#include "kek/rsa.h"
#include "tests/support/suite.h"

SUITE(rsa);

/* Return whether the public half of a key would be accepted from a file. */
static enum blobseal_status check(EVP_PKEY *key, const char *what, struct blobseal_error *err)
{
    struct bs_der_key parts;
    enum blobseal_status st;
    EVP_PKEY *made;
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key, &der);

    cr_assert(len > 0 && bs_der_public(&parts, (struct bs_slice){der, (size_t)len}));
    st = bs_pem_make_key(&made, &parts, what, err);
    cr_assert_eq(made != NULL, st == BLOBSEAL_OK);
    cr_assert(made == NULL || EVP_PKEY_eq(made, key) == 1);
    EVP_PKEY_free(made);
    OPENSSL_free(der);
    return st;
}

/* ---- Wycheproof -------------------------------------------------------------------------------------------------- */

enum { OAEP_256, OAEP_1, MIXED }; /* the JOSE algorithm that belongs to the two hashes of a group */

struct totals {
    unsigned cases, opened, labelled, invalid, mixed, refused_size;
};

static int kind_of(const json_t *group)
{
    const char *sha = vec_text(group, "sha"), *mgf = vec_text(group, "mgfSha");

    cr_assert_str_eq(vec_text(group, "mgf"), "MGF1");
    if (strcmp(sha, "SHA-256") == 0 && strcmp(mgf, "SHA-256") == 0)
        return OAEP_256;
    return strcmp(sha, "SHA-1") == 0 && strcmp(mgf, "SHA-1") == 0 ? OAEP_1 : MIXED;
}

/*
 * Unwrap one case. Return true if the result is exactly the message. Any other outcome must be a failure without
 * output.
 */
static bool unwraps(EVP_PKEY *key, enum blobseal_oaep oaep, const json_t *test)
{
    struct vec_bytes ct = vec_member(test, "ct"), msg = vec_member(test, "msg"), out = vec_copy(NULL, 512);
    size_t n = 77;
    bool ok;

    memset(out.p, 0xA5, out.len);
    ok = bs_rsa_oaep_unwrap(key, oaep, out.p, out.len, &n, (struct bs_slice){ct.p, ct.len});
    cr_assert_eq(ERR_peek_error(), 0, "case %d leaves a trace in the error queue", vec_int(test, "tcId"));
    if (ok) {
        cr_assert_eq(n, msg.len, "case %d", vec_int(test, "tcId"));
        cr_assert_arr_eq(out.p, msg.p, n, "case %d", vec_int(test, "tcId"));
    } else {
        cr_assert_eq(n, 0);
        for (size_t i = 0; i < out.len; i++)
            cr_assert_eq(out.p[i], 0xA5, "case %d wrote to its output", vec_int(test, "tcId"));
    }
    free(ct.p);
    free(msg.p);
    free(out.p);
    return ok;
}

static void check_case(EVP_PKEY *key, int kind, const json_t *test, struct totals *t)
{
    bool as_256 = unwraps(key, BLOBSEAL_OAEP_SHA256, test), as_1 = unwraps(key, BLOBSEAL_OAEP_SHA1, test);
    bool valid = strcmp(vec_text(test, "result"), "valid") == 0, labelled = vec_text(test, "label")[0] != '\0';
    bool good = valid && !labelled;

    t->cases++;
    t->labelled += labelled;
    t->invalid += !valid;
    t->mixed += kind == MIXED;
    t->opened += as_256 || as_1;
    cr_assert_eq(as_256, good && kind == OAEP_256, "case %d as RSA-OAEP-256", vec_int(test, "tcId"));
    cr_assert_eq(as_1, good && kind == OAEP_1, "case %d as RSA-OAEP", vec_int(test, "tcId"));
}

static void check_group(const json_t *group, struct totals *t)
{
    EVP_PKEY *key = vec_key(vec_text(group, "privateKeyPem"));
    int bits = vec_int(group, "keySize");
    bool accepted = bits == 2048 || bits == 3072 || bits == 4096;
    const json_t *test;
    size_t i;

    cr_assert_eq(EVP_PKEY_get_bits(key), bits);
    cr_assert_eq(check(key, "the key", NULL), accepted ? BLOBSEAL_OK : BLOBSEAL_E_CONFIG, "%d bits", bits);
    json_array_foreach(vec_list(group, "tests"), i, test)
    {
        if (accepted) {
            check_case(key, kind_of(group), test, t);
        } else { /* check() refuses such a key, so nothing is unwrapped */
            t->cases++;
            t->refused_size++;
        }
    }
    EVP_PKEY_free(key);
}

static struct totals check_file(const char *path)
{
    json_t *root = vec_json(path), *group;
    struct totals t = {0};
    size_t i;

    json_array_foreach(vec_list(root, "testGroups"), i, group) check_group(group, &t);
    cr_assert_eq(t.cases, (unsigned)vec_int(root, "numberOfTests"), "%s", path);
    json_decref(root);
    return t;
}

Test(rsa, oaep_256_agrees_with_wycheproof)
{
    static const char *const sizes[] = {"2048", "3072", "4096"};

    for (size_t i = 0; i < 3; i++) {
        struct totals t;
        char path[96];

        (void)snprintf(path, sizeof path, "wycheproof/rsa_oaep_%s_sha256_mgf1sha256_test.json", sizes[i]);
        t = check_file(path);
        cr_assert_eq(t.cases, 37);
        cr_assert_eq(t.opened, 10);
        cr_assert_eq(t.labelled, 8);
        cr_assert_eq(t.invalid, 19);
    }
}

Test(rsa, oaep_agrees_with_wycheproof)
{
    struct totals t = check_file("wycheproof/rsa_oaep_2048_sha1_mgf1sha1_test.json");

    cr_assert_eq(t.cases, 36);
    cr_assert_eq(t.opened, 10);
    cr_assert_eq(t.labelled, 7);
    cr_assert_eq(t.invalid, 19);
}

/*
 * Some libraries use SHA-256 with MGF1 over SHA-1 for "OAEP with SHA-256". It is neither of the two algorithms of JOSE.
 */
Test(rsa, mixed_hashes_are_never_accepted)
{
    static const struct {
        const char *path;
        unsigned cases;
    } files[] = {
        {"wycheproof/rsa_oaep_2048_sha256_mgf1sha1_test.json", 31},
        {"wycheproof/rsa_oaep_3072_sha256_mgf1sha1_test.json", 32},
        {"wycheproof/rsa_oaep_4096_sha256_mgf1sha1_test.json", 32},
    };

    for (size_t i = 0; i < 3; i++) {
        struct totals t = check_file(files[i].path);

        cr_assert_eq(t.cases, files[i].cases);
        cr_assert_eq(t.mixed, files[i].cases);
        cr_assert_eq(t.opened, 0);
    }
}

Test(rsa, other_sizes_and_hashes_are_refused)
{
    struct totals t = check_file("wycheproof/rsa_oaep_misc_test.json.gz");

    cr_assert_eq(t.cases, 395);
    cr_assert_eq(t.refused_size, 185); /* 1024, 1536, 2688, 3104, 4032 and 8192 bits */
    cr_assert_eq(t.mixed, 192);
    cr_assert_eq(t.opened, 18); /* three groups for each size and each of the two pairs of hashes */
}

/* ---- Wrapping ---------------------------------------------------------------------------------------------------- */

/* Decrypt with OpenSSL only. */
static bool openssl_opens(EVP_PKEY *key, const EVP_MD *md, const uint8_t *in, size_t len, uint8_t *out, size_t *n)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool ok = EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) == 1 &&
              EVP_PKEY_decrypt(ctx, out, n, in, len) == 1;

    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

Test(rsa, wraps_for_every_size_and_hash)
{
    static const unsigned sizes[] = {2048, 3072, 4096};
    static const uint8_t secret[32] = {1, 2, 3};

    for (size_t s = 0; s < 3; s++) {
        EVP_PKEY *key = vec_rsa_key(sizes[s]);

        for (int oaep = BLOBSEAL_OAEP_SHA256; oaep <= BLOBSEAL_OAEP_SHA1; oaep++) {
            struct vec_bytes wrapped = vec_copy(NULL, sizes[s] / 8), again = vec_copy(NULL, sizes[s] / 8);
            const EVP_MD *md = oaep == BLOBSEAL_OAEP_SHA1 ? EVP_sha1() : EVP_sha256();
            struct bs_rsa_wrapper wrapper;
            struct blobseal_wrapping w;
            uint8_t out[512];
            size_t n = 0, m = sizeof out;

            bs_rsa_wrapper_init(&wrapper, key, (enum blobseal_oaep)oaep);
            cr_assert_not_null(wrapper.ready);
            cr_assert(bs_rsa_oaep_wrap(key, (enum blobseal_oaep)oaep, wrapped.p, &n,
                                       (struct bs_slice){secret, sizeof secret}));
            cr_assert_eq(n, sizes[s] / 8);
            cr_assert(openssl_opens(key, md, wrapped.p, n, out, &m));
            cr_assert_eq(m, 32);
            cr_assert_arr_eq(out, secret, 32);
            for (unsigned i = 0; i < 2; i++) {
                struct blobseal_secret32 same;

                memcpy(same.b, secret, sizeof secret);
                wrapper.fips = i == 1; /* the mode has changed since the context was made */
                cr_assert_eq(bs_rsa_wrap_secret(&wrapper, &w, &same, NULL), BLOBSEAL_OK);
                cr_assert_eq(w.key_len, n);
                cr_assert_neq(memcmp(wrapped.p, w.key, n), 0, "OAEP is randomized");
                memcpy(wrapped.p, w.key, n);
                memcpy(again.p, w.key, n);
                m = sizeof out;
                cr_assert(openssl_opens(key, md, again.p, n, out, &m));
                cr_assert_arr_eq(out, secret, 32);
            }
            bs_rsa_wrapper_clear(&wrapper);
            cr_assert(bs_rsa_oaep_unwrap(key, (enum blobseal_oaep)oaep, out, 32, &m, (struct bs_slice){again.p, n}));
            cr_assert_eq(m, 32);
            cr_assert_not(
                bs_rsa_oaep_unwrap(key, (enum blobseal_oaep)(1 - oaep), out, 32, &m, (struct bs_slice){again.p, n}));
            free(wrapped.p);
            free(again.p);
        }
        EVP_PKEY_free(key);
    }
}

Test(rsa, unwrapping_keeps_to_its_room_and_to_the_length_of_the_modulus)
{
    EVP_PKEY *key = vec_rsa_key(2048);
    static const uint8_t secret[33] = {9};
    uint8_t wrapped[257] = {0};
    size_t n, m;

    cr_assert(bs_rsa_oaep_wrap(key, BLOBSEAL_OAEP_SHA256, wrapped, &n, (struct bs_slice){secret, 33}));
    for (size_t cap = 0; cap <= 34; cap++) {
        struct vec_bytes out = vec_copy(NULL, cap);

        cr_assert_eq(bs_rsa_oaep_unwrap(key, BLOBSEAL_OAEP_SHA256, out.p, cap, &m, (struct bs_slice){wrapped, 256}),
                     cap >= 33, "%zu", cap);
        cr_assert_eq(m, cap >= 33 ? 33 : 0);
        free(out.p);
    }
    for (size_t len = 0; len <= 257; len++) {
        uint8_t out[64];

        if (len != 256)
            cr_assert_not(
                bs_rsa_oaep_unwrap(key, BLOBSEAL_OAEP_SHA256, out, sizeof out, &m, (struct bs_slice){wrapped, len}),
                "%zu", len);
    }
    EVP_PKEY_free(key);
}

Test(rsa, a_public_key_wraps_and_does_not_unwrap)
{
    EVP_PKEY *key = vec_rsa_key(2048), *public;
    char *pem = vec_public_pem(key);
    uint8_t wrapped[256], out[32] = {5};
    size_t n, m;

    public = vec_key(pem);
    cr_assert_eq(check(public, "it", NULL), BLOBSEAL_OK);
    cr_assert(bs_rsa_oaep_wrap(public, BLOBSEAL_OAEP_SHA256, wrapped, &n, (struct bs_slice){out, sizeof out}));
    cr_assert_not(bs_rsa_oaep_unwrap(public, BLOBSEAL_OAEP_SHA256, out, sizeof out, &m, (struct bs_slice){wrapped, n}));
    cr_assert_eq(ERR_peek_error(), 0);
    cr_assert(bs_rsa_oaep_unwrap(key, BLOBSEAL_OAEP_SHA256, out, sizeof out, &m, (struct bs_slice){wrapped, n}));
    free(pem);
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
}

/* ---- Which keys are accepted ------------------------------------------------------------------------------------- */

static void check_refused(EVP_PKEY *key, const char *word)
{
    struct blobseal_error err = {0};

    cr_assert_not_null(key);
    cr_assert_eq(check(key, "the key X", &err), BLOBSEAL_E_CONFIG);
    cr_assert_eq(err.status, BLOBSEAL_E_CONFIG);
    cr_assert_not_null(strstr(err.text, "the key X"), "%s", err.text);
    cr_assert_not_null(strstr(err.text, word), "\"%s\" lacks %s", err.text, word);
    EVP_PKEY_free(key);
}

static EVP_PKEY *generate(const char *type, int bits, unsigned long exponent)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    BIGNUM *e = BN_new();
    EVP_PKEY *key = NULL;

    cr_assert_eq(EVP_PKEY_keygen_init(ctx), 1);
    if (bits > 0)
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, bits), 1);
    if (exponent > 0) {
        cr_assert_eq(BN_set_word(e, exponent), 1);
        cr_assert_eq(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e), 1);
    }
    cr_assert_eq(EVP_PKEY_generate(ctx, &key), 1);
    BN_free(e);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

Test(rsa, keys_that_are_not_rsa_are_refused)
{
    check_refused(EVP_EC_gen("P-256"), "RSA");
    check_refused(EVP_EC_gen("P-256"), "an EC key");
    check_refused(EVP_EC_gen("P-521"), "RSA");
    check_refused(generate("ED25519", 0, 0), "an Ed25519 key");
    check_refused(generate("ED25519", 0, 0), "an RSA key is needed");
    check_refused(generate("X25519", 0, 0), "RSA");
}

/* An RSA-PSS key is restricted to signatures. */
Test(rsa, rsa_pss_keys_are_refused)
{
    check_refused(generate("RSA-PSS", 2048, 0), "RSA-PSS");
}

Test(rsa, sizes_other_than_2048_3072_4096_are_refused)
{
    check_refused(generate("RSA", 1024, 0), "1024 bits");
    check_refused(generate("RSA", 2047, 0), "2047 bits");
    check_refused(generate("RSA", 2056, 0), "2056 bits");
}

/* Return a public key with the modulus of a valid key and another exponent. */
static EVP_PKEY *with_exponent(const char *e)
{
    EVP_PKEY *good = vec_rsa_key(2048), *key;
    BIGNUM *n = NULL;
    uint8_t bytes[256];
    char text[BLOBSEAL_BASE64URL_LEN(256) + 1] = {0};
    json_t *jwk;

    cr_assert_eq(EVP_PKEY_get_bn_param(good, "n", &n), 1);
    cr_assert_eq(BN_bn2binpad(n, bytes, sizeof bytes), 256);
    blobseal_base64url_encode(text, bytes, sizeof bytes);
    jwk = json_pack("{ssss}", "n", text, "e", e);
    key = vec_jwk(jwk);
    json_decref(jwk);
    BN_free(n);
    EVP_PKEY_free(good);
    return key;
}

Test(rsa, unsafe_exponents_are_refused)
{
    /* 65537, 65539, 2^256 - 1 */
    static const char *const good[] = {"AQAB", "AQAD", "__________________________________________8"};
    /* 3, 17, 257, 65535, 65536, 1, 2^256 + 1 */
    static const char *const bad[] = {
        "Aw", "EQ", "AQE", "__8", "AQAA", "AQ", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"};
    EVP_PKEY *key;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        key = with_exponent(good[i]);
        cr_assert_eq(check(key, "it", NULL), BLOBSEAL_OK, "%s", good[i]);
        EVP_PKEY_free(key);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_refused(with_exponent(bad[i]), "exponent");
    check_refused(generate("RSA", 2048, 3), "exponent");
}

/* ---- The key id -------------------------------------------------------------------------------------------------- */

#define URN "urn:ietf:params:oauth:jwk-thumbprint:sha-256:"

Test(rsa, kid_is_the_thumbprint_of_rfc_7638)
{
    /* The example of RFC 7638 section 3.1; the form of the URI is defined in RFC 9278 section 3. */
    json_t *jwk = json_pack(
        "{ssss}", "e", "AQAB", "n",
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZ"
        "CiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJ"
        "ZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBn"
        "iIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw");
    EVP_PKEY *key = vec_jwk(jwk);
    char kid[BS_RSA_KID_LEN];

    cr_assert(bs_rsa_kid(kid, key));
    cr_assert_str_eq(kid, URN "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    EVP_PKEY_free(key);
    json_decref(jwk);
}

Test(rsa, kid_is_that_of_the_public_half)
{
    static const unsigned sizes[] = {2048, 3072, 4096};
    char kids[3][BS_RSA_KID_LEN], public_kid[BS_RSA_KID_LEN];

    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *key = vec_rsa_key(sizes[i]), *public;
        char *pem = vec_public_pem(key);

        public = vec_key(pem);
        cr_assert(bs_rsa_kid(kids[i], key));
        cr_assert(bs_rsa_kid(public_kid, public));
        cr_assert_str_eq(kids[i], public_kid);
        cr_assert_eq(strlen(kids[i]), strlen(URN) + 43);
        cr_assert_eq(strncmp(kids[i], URN, strlen(URN)), 0);
        for (size_t k = 0; k < i; k++)
            cr_assert_str_neq(kids[i], kids[k]);
        free(pem);
        EVP_PKEY_free(public);
        EVP_PKEY_free(key);
    }
}
