/* SPDX-License-Identifier: Apache-2.0 */
/* Key files that must be refused, their file modes, and how references name them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "blobseal_provider.h"
#include "tests/support/suite.h"

SUITE(pem_files);

static enum blobseal_status open_ref(const char *ref, struct blobseal_error *err)
{
    struct blobseal_kek *kek;
    enum blobseal_status st;

    *err = (struct blobseal_error){0};
    st = blobseal_kek_open(&kek, NULL, ref, NULL, err);
    cr_assert_eq(err->status, st);
    cr_assert_eq(*err->text == '\0', st == BLOBSEAL_OK);
    cr_assert_eq(kek == NULL, st != BLOBSEAL_OK);
    blobseal_kek_close(kek);
    return st;
}

static enum blobseal_status open_pem_bytes(const void *p, size_t len, unsigned mode, struct blobseal_error *err)
{
    char path[VEC_PATH];
    enum blobseal_status st;

    vec_temp_file(path, p, len, mode);
    st = open_ref(path, err);
    if (st != BLOBSEAL_OK)
        cr_assert_not_null(strstr(err->text, path), "the file is not named: %s", err->text);
    (void)unlink(path);
    return st;
}

static enum blobseal_status open_text(const char *text, unsigned mode)
{
    struct blobseal_error err;

    return open_pem_bytes(text, strlen(text), mode, &err);
}

/* Return a PEM text with one block. */
static char *block(const char *name, const uint8_t *der, size_t len)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return vec_bio_text(bio, PEM_write_bio(bio, name, "", der, (long)len) > 0);
}

/* The texts on which most tests are based. */
struct texts {
    char *private, *public;
};

static struct texts texts_start(void)
{
    EVP_PKEY *key = vec_rsa_key(2048);
    struct texts t = {vec_private_pem(key), vec_public_pem(key)};

    EVP_PKEY_free(key);
    return t;
}

static void texts_end(struct texts *t)
{
    free(t->private);
    free(t->public);
}

/* ---- Modes ------------------------------------------------------------------------------------------------------- */

/* This also applies to root, who can read everything: these tests may run as root. */
Test(pem_files, a_private_key_is_its_owners_alone)
{
    static const unsigned bad[] = {0640, 0604, 0644, 0660, 0606, 0666, 0620, 0602, 0610, 0601, 0440, 0404, 0777, 0750};
    static const unsigned good[] = {0600, 0400, 0700, 0500};
    struct texts t = texts_start();

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct blobseal_error err;
        char mode[8];

        cr_assert_eq(open_pem_bytes(t.private, strlen(t.private), bad[i], &err), BLOBSEAL_E_POLICY, "mode %04o",
                     bad[i]);
        (void)snprintf(mode, sizeof mode, "%04o", bad[i]);
        cr_assert_not_null(strstr(err.text, mode), "%s", err.text);
        cr_assert_not_null(strstr(err.hint, "chmod 600"), "%s", err.hint);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert_eq(open_text(t.private, good[i]), BLOBSEAL_OK, "mode %04o", good[i]);
    texts_end(&t);
}

Test(pem_files, every_kind_of_private_key_is)
{
    static const char *const kinds[] = {"PRIVATE KEY",    "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY",
                                        "EC PRIVATE KEY", "OPENSSH PRIVATE KEY",   "ANY PRIVATE KEY"};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char *text = block(kinds[i], (const uint8_t *)"\x30\x00", 2);

        cr_assert_eq(open_text(text, 0640), BLOBSEAL_E_POLICY, "%s", kinds[i]);
        cr_assert_eq(open_text(text, 0600), BLOBSEAL_E_CONFIG, "%s", kinds[i]);
        free(text);
    }
}

Test(pem_files, a_public_key_may_be_read_by_all)
{
    static const unsigned modes[] = {0600, 0644, 0444, 0666, 0777};
    struct texts t = texts_start();

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        cr_assert_eq(open_text(t.public, modes[i]), BLOBSEAL_OK, "mode %04o", modes[i]);
    texts_end(&t);
}

/* ---- Other kinds of key ------------------------------------------------------------------------------------------ */

static EVP_PKEY *generate(const char *type, int bits)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    cr_assert_eq(EVP_PKEY_keygen_init(ctx), 1);
    if (bits > 0)
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, bits), 1);
    cr_assert_eq(EVP_PKEY_generate(ctx, &key), 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static void check_not_rsa(char *text, unsigned mode)
{
    struct blobseal_error err;

    cr_assert_eq(open_pem_bytes(text, strlen(text), mode, &err), BLOBSEAL_E_CONFIG);
    cr_assert_not_null(strstr(err.text, "RSA"), "%s", err.text);
    cr_assert_eq(err.advice, BLOBSEAL_ADVICE_RSA_KEY, "%s", err.hint);
    free(text);
}

static char *traditional(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return vec_bio_text(bio, PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
}

Test(pem_files, keys_that_are_not_rsa_are_told_so)
{
    EVP_PKEY *keys[] = {EVP_EC_gen("P-256"),  EVP_EC_gen("P-384"),       generate("ED25519", 0), generate("X25519", 0),
                        generate("ED448", 0), generate("RSA-PSS", 2048), generate("RSA", 1024),  generate("RSA", 2056)};

    check_not_rsa(traditional(keys[0]), 0600); /* with the label EC PRIVATE KEY */
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        check_not_rsa(vec_private_pem(keys[i]), 0600);
        check_not_rsa(vec_public_pem(keys[i]), 0644);
        EVP_PKEY_free(keys[i]);
    }
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

Test(pem_files, a_missing_file_is_an_input_error)
{
    struct blobseal_error err;

    cr_assert_eq(open_ref("/nonexistent/key.pem", &err), BLOBSEAL_E_INPUT);
    cr_assert_eq(err.sys_errno, ENOENT);
    cr_assert_not_null(strstr(err.text, "/nonexistent/key.pem"), "%s", err.text);
    cr_assert_eq(open_ref("", &err), BLOBSEAL_E_INPUT);
    cr_assert_eq(open_ref("file:", &err), BLOBSEAL_E_INPUT);
}

Test(pem_files, a_directory_is_an_input_error)
{
    struct blobseal_error err;

    cr_assert_eq(open_ref("/tmp", &err), BLOBSEAL_E_INPUT);
    cr_assert_eq(err.sys_errno, EISDIR);
}

Test(pem_files, files_without_a_key_are_refused)
{
    static const char *const texts[] = {
        "",
        "\n",
        "hello",
        "-----BEGIN",
        "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "-----BEGIN X-----\nAAAA\n-----END X-----\n",
        "-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAA\n-----END PRIVATE KEY-----\n",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB user@host\n",
        "-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n-----END DH PARAMETERS-----\n",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_assert_eq(open_text(texts[i], 0600), BLOBSEAL_E_CONFIG, "%s", texts[i]);
    struct blobseal_error err;
    cr_assert_eq(open_pem_bytes("\0\0\0\0", 4, 0600, &err), BLOBSEAL_E_CONFIG);
}

Test(pem_files, a_file_has_at_most_64_kib)
{
    struct texts t = texts_start();

    for (size_t len = 65535; len <= 65538; len++) {
        struct vec_bytes file = vec_copy(NULL, len);
        struct blobseal_error err;

        memset(file.p, '\n', len);
        memcpy(file.p + len - strlen(t.private), t.private, strlen(t.private));
        cr_assert_eq(open_pem_bytes(file.p, len, 0600, &err), len <= 65536 ? BLOBSEAL_OK : BLOBSEAL_E_CONFIG, "%zu",
                     len);
        cr_assert(len <= 65536 || strstr(err.text, "64 KiB") != NULL, "%s", err.text);
        free(file.p);
    }
    texts_end(&t);
}

Test(pem_files, a_large_file_is_not_read_to_its_end)
{
    struct blobseal_error err;

    cr_assert_eq(open_ref("/dev/zero", &err), BLOBSEAL_E_CONFIG);
}

/* ---- Text around the key ----------------------------------------------------------------------------------------- */

static enum blobseal_status open_joined(const char *a, const char *b, bool *can_unwrap)
{
    size_t len = strlen(a) + strlen(b);
    char *text = (char *)vec_copy(NULL, len + 1).p, path[VEC_PATH];
    struct blobseal_kek *kek;
    enum blobseal_status st;

    (void)snprintf(text, len + 1, "%s%s", a, b);
    vec_temp_key(path, text);
    st = blobseal_kek_open(&kek, NULL, path, NULL, NULL);
    *can_unwrap = st == BLOBSEAL_OK && blobseal_kek_can_unwrap(kek);
    (void)unlink(path);
    blobseal_kek_close(kek);
    free(text);
    return st;
}

Test(pem_files, text_and_other_blocks_before_a_key_are_skipped)
{
    static const char *const fronts[] = {
        "Bag Attributes\n    friendlyName: kek\nKey Attributes: <No Attributes>\n",
        "# a comment\r\n\r\n",
        "\xFF\xFE\x01 bytes\n",
        "-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n-----END DH PARAMETERS-----\n",
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\ntext\n",
    };
    struct texts t = texts_start();
    bool private;

    for (size_t i = 0; i < sizeof fronts / sizeof fronts[0]; i++) {
        cr_assert_eq(open_joined(fronts[i], t.private, &private), BLOBSEAL_OK, "%s", fronts[i]);
        cr_assert(private);
    }
    cr_assert_eq(open_joined(t.private, "junk after it\n", &private), BLOBSEAL_OK);
    cr_assert_eq(open_joined(t.private, "the next key is cut off\n-----BEGIN", &private), BLOBSEAL_E_CONFIG);
    texts_end(&t);
}

/* If a certificate comes first, the file is still found to contain a private key, which others could read. */
Test(pem_files, a_private_key_after_a_public_one_may_not_be_readable)
{
    struct texts t = texts_start();
    char joined[16384];

    (void)snprintf(joined, sizeof joined, "%s%s", t.public, t.private);
    cr_assert_eq(open_text(joined, 0600), BLOBSEAL_OK);
    cr_assert_eq(open_text(joined, 0644), BLOBSEAL_E_POLICY);
    texts_end(&t);
}

Test(pem_files, line_ends_do_not_matter)
{
    struct texts t = texts_start();
    char *crlf = (char *)vec_copy(NULL, 2 * strlen(t.private) + 1).p, *w = crlf;

    for (const char *p = t.private; *p != '\0'; p++) {
        if (*p == '\n')
            *w++ = '\r';
        *w++ = *p;
    }
    cr_assert_eq(open_text(crlf, 0600), BLOBSEAL_OK);
    free(crlf);
    texts_end(&t);
}

/* ---- Truncated and changed keys
 * ---------------------------------------------------------------------------------------- */

Test(pem_files, no_truncated_file_is_a_key)
{
    struct texts t = texts_start();
    const char *all[] = {t.private, t.public};

    for (size_t i = 0; i < 2; i++) {
        struct blobseal_error err;
        size_t len = strlen(all[i]);

        /* The last line is complete even without its newline, and OpenSSL accepts it without some of its dashes. */
        for (size_t cut = 0; cut + 6 < len; cut++)
            cr_assert_eq(open_pem_bytes(all[i], cut, 0600, &err), BLOBSEAL_E_CONFIG, "truncated at %zu", cut);
        cr_assert_eq(open_pem_bytes(all[i], len - 1, 0600, &err), BLOBSEAL_OK);
    }
    texts_end(&t);
}

static void check_cut_der(const char *name, uint8_t *der, int len)
{
    cr_assert_gt(len, 0);
    for (size_t cut = 1; cut < (size_t)len; cut += cut < 40 ? 1 : 13) {
        char *text = block(name, der, cut);

        cr_assert_eq(open_text(text, 0600), BLOBSEAL_E_CONFIG, "%s truncated at %zu", name, cut);
        free(text);
    }
    OPENSSL_free(der);
}

Test(pem_files, no_truncated_der_is_a_key)
{
    EVP_PKEY *key = vec_rsa_key(2048);
    uint8_t *pkcs8 = NULL, *pkcs1 = NULL, *spki = NULL, *rsa_public = NULL;
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    int pkcs8_len = i2d_PKCS8_PRIV_KEY_INFO(info, &pkcs8), pkcs1_len = i2d_PrivateKey(key, &pkcs1);
    int spki_len = i2d_PUBKEY(key, &spki), rsa_public_len = i2d_PublicKey(key, &rsa_public);

    check_cut_der("PRIVATE KEY", pkcs8, pkcs8_len);
    check_cut_der("RSA PRIVATE KEY", pkcs1, pkcs1_len);
    check_cut_der("PUBLIC KEY", spki, spki_len);
    check_cut_der("RSA PUBLIC KEY", rsa_public, rsa_public_len);
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(key);
}

/* Any change results in a key or in a refusal with a documented error. */
Test(pem_files, changed_der_is_a_key_or_refused)
{
    static const char *const names[] = {"PRIVATE KEY", "PUBLIC KEY", "CERTIFICATE", "ENCRYPTED PRIVATE KEY"};
    EVP_PKEY *key = vec_rsa_key(2048);
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key, &der);

    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
        for (size_t bit = 0; bit < 8 * (size_t)len; bit += bit < 400 ? 1 : 97) {
            enum blobseal_status st;
            char *text;

            der[bit / 8] ^= (uint8_t)(1u << bit % 8);
            text = block(names[n], der, (size_t)len);
            st = open_text(text, 0600);
            cr_assert(st == BLOBSEAL_OK || st == BLOBSEAL_E_CONFIG, "%s, bit %zu: %d", names[n], bit, (int)st);
            der[bit / 8] ^= (uint8_t)(1u << bit % 8);
            free(text);
        }
    OPENSSL_free(der);
    EVP_PKEY_free(key);
}

/* ---- References -------------------------------------------------------------------------------------------------- */

Test(pem_files, file_scheme_and_plain_path_are_the_same)
{
    struct texts t = texts_start();
    struct blobseal_error err;
    char path[VEC_PATH], ref[3 * VEC_PATH], odd[2 * VEC_PATH];

    vec_temp_key(path, t.private);
    (void)snprintf(ref, sizeof ref, "file:%s", path);
    cr_assert_eq(open_ref(ref, &err), BLOBSEAL_OK);
    cr_assert_eq(open_ref(path, &err), BLOBSEAL_OK);
    /* A reference without a known scheme is a path, even if it contains colons. */
    (void)snprintf(odd, sizeof odd, "%s:with:colons", path);
    cr_assert_eq(rename(path, odd), 0);
    cr_assert_eq(open_ref(odd, &err), BLOBSEAL_OK);
    (void)snprintf(ref, sizeof ref, "file:%s", odd);
    cr_assert_eq(open_ref(ref, &err), BLOBSEAL_OK);
    (void)unlink(odd);
    texts_end(&t);
}

Test(pem_files, known_schemes_without_a_provider_are_a_matter_of_configuration)
{
    static const char *const refs[] = {"https://vault.example/keys/a/1", "http://x", "set:/x", "set:"};
    static const char *const paths[] = {"pkcs11", "PKCS11:x", "unknown:x", "settings:x", "httpss://x", ":", "./set:x"};
    struct blobseal_error err;

    for (size_t i = 0; i < sizeof refs / sizeof refs[0]; i++) {
        char scheme[16] = "";

        cr_assert_eq(open_ref(refs[i], &err), BLOBSEAL_E_CONFIG, "%s", refs[i]);
        memcpy(scheme, refs[i], strcspn(refs[i], ":") + 1);
        cr_assert_not_null(strstr(err.text, scheme), "%s", err.text);
    }
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        cr_assert_eq(open_ref(paths[i], &err), BLOBSEAL_E_INPUT, "%s", paths[i]);
}
