/* SPDX-License-Identifier: Apache-2.0 */
/* New keys, and that they can be read back. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/asn1t.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "kek/kek.h"
#include "tests/support/suite.h"
#include "tests/support/tier.h"

SUITE(keygen);

static enum blobseal_status say(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    const char *passphrase = ctx;

    (void)err;
    *len = strlen(passphrase);
    cr_assert_lt(*len, cap);
    memcpy(buf, passphrase, *len);
    return BLOBSEAL_OK;
}

/* Open a generated text. Return NULL if it is refused because of its passphrase. */
static struct blobseal_kek *open_pem(const char *pem, unsigned mode, const char *passphrase)
{
    const struct blobseal_kek_options options = {.size = sizeof options,
                                                 .passphrase = passphrase != NULL ? say : NULL,
                                                 .passphrase_ctx = (void *)(uintptr_t)passphrase};
    char path[VEC_PATH];
    struct blobseal_kek *kek;
    enum blobseal_status st;

    vec_temp_file(path, pem, strlen(pem), mode);
    st = blobseal_kek_open(&kek, NULL, path, &options, NULL);
    (void)unlink(path);
    cr_assert(st == BLOBSEAL_OK || st == BLOBSEAL_E_CONFIG);
    return kek;
}

static void check_pair(const struct blobseal_keypair *pair, unsigned bits, const char *passphrase)
{
    struct blobseal_kek *private, *public;
    struct blobseal_wrapping wrapped;
    const struct blobseal_secret32 secret = {{4, 2}};
    struct blobseal_secret32 back;

    cr_assert_eq(strlen(pair->private_pem), pair->private_len);
    cr_assert_eq(strlen(pair->public_pem), pair->public_len);
    private = open_pem(pair->private_pem, 0600, passphrase);
    public = open_pem(pair->public_pem, 0644, NULL);
    cr_assert(private != NULL && public != NULL);
    cr_assert(blobseal_kek_can_unwrap(private) && !blobseal_kek_can_unwrap(public));
    cr_assert_str_eq(blobseal_kek_kid(private), pair->kid);
    cr_assert_str_eq(blobseal_kek_kid(public), pair->kid);
    cr_assert_eq(bs_kek_info(public)->wrapped_len, bits / 8);
    cr_assert_eq(bs_kek_wrap(public, &wrapped, &secret, NULL, NULL), BLOBSEAL_OK);

    const struct blobseal_wrapped w = {"RSA-OAEP-256", pair->kid, wrapped.key, bits / 8};

    cr_assert_eq(bs_kek_unwrap(private, &back, &w, NULL, NULL, NULL), BLOBSEAL_OK);
    cr_assert_arr_eq(back.b, secret.b, sizeof back.b);
    blobseal_kek_close(private);
    blobseal_kek_close(public);
}

static bool is_clear(const struct blobseal_keypair *pair)
{
    static const struct blobseal_keypair zero = {.size = sizeof zero};

    return memcmp(pair, &zero, sizeof zero) == 0;
}

Test(keygen, makes_keys_that_open_and_differ)
{
    static const unsigned sizes[] = {2048, 2048, 3072, 4096};
    const size_t n = tier_has_all() ? 4 : 3; /* generating a key of 4096 bits takes seconds */
    struct blobseal_keypair pairs[4];

    for (size_t i = 0; i < n; i++) {
        struct blobseal_error err = {0};

        pairs[i] = (struct blobseal_keypair){.size = sizeof pairs[i]};
        cr_assert_eq(blobseal_keygen_rsa(&pairs[i], sizes[i], NULL, &err), BLOBSEAL_OK, "%s", err.text);
        cr_assert_eq(strncmp(pairs[i].private_pem, "-----BEGIN PRIVATE KEY-----\n", 28), 0);
        cr_assert_eq(strncmp(pairs[i].public_pem, "-----BEGIN PUBLIC KEY-----\n", 27), 0);
        check_pair(&pairs[i], sizes[i], NULL);
        for (size_t k = 0; k < i; k++)
            cr_assert_str_neq(pairs[i].kid, pairs[k].kid);
    }
    for (size_t i = 0; i < n; i++) {
        blobseal_keypair_clear(&pairs[i]);
        cr_assert(is_clear(&pairs[i]));
        blobseal_keypair_clear(&pairs[i]);
    }
}

/* The parameters of PBES2 as stored in the file. */
static void check_encryption(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509_SIG *sig = PEM_read_bio_PKCS8(bio, NULL, NULL, NULL);
    const ASN1_OBJECT *oid;
    const X509_ALGOR *alg;
    const void *value;
    PBE2PARAM *pbe2;
    PBKDF2PARAM *kdf;
    int type;

    cr_assert_not_null(sig);
    X509_SIG_get0(sig, &alg, NULL);
    X509_ALGOR_get0(&oid, &type, &value, alg);
    cr_assert_eq(OBJ_obj2nid(oid), NID_pbes2);
    pbe2 = ASN1_item_unpack(value, ASN1_ITEM_rptr(PBE2PARAM));
    cr_assert_not_null(pbe2);
    cr_assert_eq(OBJ_obj2nid(pbe2->encryption->algorithm), NID_aes_256_cbc);
    cr_assert_eq(OBJ_obj2nid(pbe2->keyfunc->algorithm), NID_id_pbkdf2);
    kdf = ASN1_item_unpack(pbe2->keyfunc->parameter->value.sequence, ASN1_ITEM_rptr(PBKDF2PARAM));
    cr_assert_not_null(kdf);
    cr_assert_eq(ASN1_INTEGER_get(kdf->iter), 600000);
    cr_assert_eq(OBJ_obj2nid(kdf->prf->algorithm), NID_hmacWithSHA256);
    cr_assert_geq(kdf->salt->value.octet_string->length, 16);
    PBKDF2PARAM_free(kdf);
    PBE2PARAM_free(pbe2);
    X509_SIG_free(sig);
    BIO_free(bio);
}

Test(keygen, a_passphrase_encrypts_the_private_key)
{
    struct blobseal_keypair pair = {.size = sizeof pair};

    cr_assert_eq(blobseal_keygen_rsa(&pair, 2048, "correct horse", NULL), BLOBSEAL_OK);
    cr_assert_eq(strncmp(pair.private_pem, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n", 38), 0);
    check_encryption(pair.private_pem);
    check_pair(&pair, 2048, "correct horse");
    cr_assert_null(open_pem(pair.private_pem, 0600, "correct hors"));
    cr_assert_null(open_pem(pair.private_pem, 0600, NULL));
    blobseal_keypair_clear(&pair);
}

Test(keygen, an_empty_passphrase_is_one)
{
    struct blobseal_keypair pair = {.size = sizeof pair};

    cr_assert_eq(blobseal_keygen_rsa(&pair, 2048, "", NULL), BLOBSEAL_OK);
    cr_assert_eq(strncmp(pair.private_pem, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n", 38), 0);
    check_pair(&pair, 2048, "");
    cr_assert_null(open_pem(pair.private_pem, 0600, "x"));
    blobseal_keypair_clear(&pair);
}

Test(keygen, other_sizes_are_refused)
{
    static const unsigned sizes[] = {
        0, 1, 1024, 2047, 2049, 2560, 4095, 4097, 8192, 16384, INT_MAX, UINT_MAX, (1u << 31) + 2048};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct blobseal_error err = {0};
        struct blobseal_keypair pair = {.size = sizeof pair};

        memset(&pair, 0xA5, sizeof pair);
        pair.size = sizeof pair;
        cr_assert_eq(blobseal_keygen_rsa(&pair, sizes[i], NULL, &err), BLOBSEAL_E_ARG, "%u", sizes[i]);
        cr_assert_eq(err.status, BLOBSEAL_E_ARG);
        cr_assert(is_clear(&pair));
    }
}
