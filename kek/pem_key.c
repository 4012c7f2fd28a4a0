/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the bytes of a key to the key that OpenSSL uses. Only numbers are passed to OpenSSL, so it cannot find fault
 * with the bytes: if it fails, then for a lack of memory or of a provider. Nothing tells these apart from each other at
 * once, because OpenSSL's error queue can be empty; so each step is tried twice.
 */
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pkcs12.h>
#include <openssl/proverr.h>
#include <openssl/x509.h>

#include "core/base/base.h"
#include "kek/pem.h"
#include "kek/rsa.h"

/* ---- RSA --------------------------------------------------------------------------------------------------------- */

/* Copy a number to @out in the order of bytes of this machine, as OpenSSL's parameters have it. */
static void copy_native(uint8_t *out, struct bs_slice number)
{
    for (size_t i = 0; i < number.len; i++)
        out[i] = number.p[__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? number.len - 1 - i : i];
}

/* Fill in the parameters of the numbers, whose bytes are copied to @bytes. OpenSSL takes the numbers after the private
 * exponent all or not at all; they only make the use of the key faster. Return true if the key is private. */
static bool set_params(OSSL_PARAM params[BS_RSA_NUMBERS + 1], uint8_t *bytes,
                       const struct bs_slice numbers[BS_RSA_NUMBERS])
{
    static const char *const names[BS_RSA_NUMBERS] = {
        OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
    };
    size_t n = 0;

    while (n < BS_RSA_NUMBERS && numbers[n].len > 0)
        n++;
    if (n > BS_RSA_D && n < BS_RSA_NUMBERS)
        n = BS_RSA_D + 1;
    for (size_t i = 0; i < n; i++) {
        copy_native(bytes, numbers[i]);
        params[i] = OSSL_PARAM_construct_BN(names[i], bytes, numbers[i].len);
        bytes += numbers[i].len;
    }
    params[n] = OSSL_PARAM_construct_end();
    return n > BS_RSA_D;
}

static EVP_PKEY *from_params(OSSL_PARAM *params, bool is_private)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;

    if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &key, is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params);
    EVP_PKEY_CTX_free(ctx);
    if (key != NULL && EVP_PKEY_get_size(key) <= 0) { /* OpenSSL does not report that memory was short in the end */
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static unsigned count_bits(struct bs_slice number)
{
    unsigned bits = 8 * (unsigned)number.len;

    for (unsigned top = number.p[0]; top < 0x80; top <<= 1)
        bits--;
    return bits;
}

enum blobseal_status bs_pem_not_rsa(const char *kind, const char *what, struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read the key %s: it is %s %s key, and an RSA key is needed", what,
                        strchr("AEIOUX", kind[0]) != NULL || strncmp(kind, "RSA", 3) == 0 ? "an" : "a", kind);
    blobseal_advise(err, BLOBSEAL_ADVICE_RSA_KEY, NULL, "generate or choose an RSA key of 2048, 3072 or 4096 bits");
    return BLOBSEAL_E_CONFIG;
}

enum blobseal_status bs_pem_make_key(EVP_PKEY **key, const struct bs_der_key *parts, const char *what,
                                     struct blobseal_error *err)
{
    const struct bs_slice *numbers = parts->numbers;
    OSSL_PARAM params[BS_RSA_NUMBERS + 1];
    enum blobseal_status st;
    size_t total = 0;
    uint8_t *bytes;
    bool is_private;

    *key = NULL;
    if (!parts->is_rsa)
        return bs_pem_not_rsa(bs_der_kind(parts->algorithm), what, err);
    st = bs_rsa_check(count_bits(numbers[BS_RSA_N]), numbers[BS_RSA_E], what, err);
    if (st != BLOBSEAL_OK)
        return st;
    for (size_t i = 0; i < BS_RSA_NUMBERS; i++)
        total += numbers[i].len;
    bytes = blobseal_secret_alloc(total);
    if (bytes == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the key %s: no memory", what);
    is_private = set_params(params, bytes, numbers);
    for (int tries = 0; tries < 2 && *key == NULL; tries++)
        *key = from_params(params, is_private);
    if (*key == NULL)
        st = bs_openssl_failed(err, "read the key %s", what);
    blobseal_secret_free(bytes);
    return st;
}

/* ---- Encrypted keys ---------------------------------------------------------------------------------------------- */

/* Decrypt. Return NULL if that fails; OpenSSL's error queue may tell why. */
static uint8_t *decrypt(const struct bs_der_encrypted *encrypted, struct bs_slice passphrase, int *plain_len)
{
    const uint8_t *p = encrypted->algorithm.p;
    X509_ALGOR *alg = d2i_X509_ALGOR(NULL, &p, (long)encrypted->algorithm.len);
    uint8_t *plain = NULL;

    if (alg != NULL)
        plain = PKCS12_pbe_crypt(alg, (const char *)passphrase.p, (int)passphrase.len, encrypted->bytes.p,
                                 (int)encrypted->bytes.len, &plain, plain_len, 0);
    X509_ALGOR_free(alg);
    return plain;
}

/* Return true if OpenSSL's error queue says that what was decrypted makes no sense. */
static bool makes_no_sense(void)
{
    unsigned long e = ERR_peek_error();

    return ERR_GET_LIB(e) == ERR_LIB_PROV &&
           (ERR_GET_REASON(e) == PROV_R_BAD_DECRYPT || ERR_GET_REASON(e) == PROV_R_WRONG_FINAL_BLOCK_LENGTH);
}

static enum blobseal_status wrong_passphrase(const char *what, struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read the key %s: wrong passphrase", what);
    blobseal_hint(err, "check the passphrase, for example with: openssl pkey -noout -in FILE");
    return BLOBSEAL_E_CONFIG;
}

/* Report why OpenSSL cannot decrypt. If memory and providers are there, it does not know the kind of encryption. */
static enum blobseal_status not_decrypted(const char *what, struct blobseal_error *err)
{
    enum blobseal_status st = bs_openssl_failed(err, "read the key %s", what);

    if (st != BLOBSEAL_E_INTERNAL)
        return st;
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read the key %s: this kind of encryption is not supported%s", what,
                        bs_fips_mode() ? " in FIPS mode" : "");
    blobseal_hint(err, "%s: openssl pkcs8 -topk8 -v2 aes-256-cbc -iter 600000 -in OLD -out NEW",
                  bs_fips_mode() ? "FIPS mode requires PBES2 with PBKDF2" : "encrypt it in another way");
    return BLOBSEAL_E_CONFIG;
}

enum blobseal_status bs_pem_decrypt(EVP_PKEY **key, const struct bs_der_encrypted *encrypted,
                                    struct bs_slice passphrase, const char *what, struct blobseal_error *err)
{
    struct bs_der_key parts;
    enum blobseal_status st;
    uint8_t *plain = NULL;
    bool wrong = false;
    int len = 0;

    *key = NULL;
    for (int tries = 0; tries < 2 && plain == NULL && !wrong; tries++) {
        ERR_clear_error();
        plain = decrypt(encrypted, passphrase, &len);
        wrong = plain == NULL && makes_no_sense();
    }
    wrong = wrong || (plain != NULL && !bs_der_private(&parts, (struct bs_slice){plain, (size_t)len}));
    if (wrong)
        st = wrong_passphrase(what, err);
    else
        st = plain != NULL ? bs_pem_make_key(key, &parts, what, err) : not_decrypted(what, err);
    OPENSSL_clear_free(plain, (size_t)len);
    return st;
}
