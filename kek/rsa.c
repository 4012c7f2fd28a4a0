/* SPDX-License-Identifier: Apache-2.0 */
/* RSA keys as KEKs: checking them, computing their key ids, RSAES-OAEP, and generating new ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "core/base/base.h"
#include "kek/rsa.h"

/* As recommended by OWASP for PBKDF2-HMAC-SHA-256 (Password Storage Cheat Sheet, 2023). OpenSSL's default is 2048. */
#define PBKDF2_ITERATIONS 600000

#define MAX_MODULUS 512 /* bytes: RSA-4096 */

static bool size_is_accepted(unsigned bits)
{
    return bits == 2048 || bits == 3072 || bits == 4096;
}

/* Return true for an exponent that FIPS 186-5 A.1.1 allows: it is odd, above 2^16 and below 2^256. */
static bool exponent_is_accepted(struct bs_slice e)
{
    bool above = e.len > 3 || (e.len == 3 && e.p[0] >= 1);

    return above && e.len <= 32 && (e.p[e.len - 1] & 1) != 0;
}

enum blobseal_status bs_rsa_check(unsigned bits, struct bs_slice exponent, const char *what, struct blobseal_error *err)
{
    if (!size_is_accepted(bits)) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0,
                            "%s has %u bits: RSA keys of 2048, 3072 or 4096 bits are accepted", what, bits);
        blobseal_advise(err, BLOBSEAL_ADVICE_RSA_KEY, NULL, "generate or choose an RSA key of 2048, 3072 or 4096 bits");
        return BLOBSEAL_E_CONFIG;
    }
    if (!exponent_is_accepted(exponent)) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "%s has an unsafe public exponent", what);
        blobseal_advise(err, BLOBSEAL_ADVICE_RSA_KEY, NULL, "generate or choose an RSA key with the exponent 65537");
        return BLOBSEAL_E_CONFIG;
    }
    return BLOBSEAL_OK;
}

/* Append a parameter of the key in base64url: an unsigned big-endian number without leading zeros. */
static bool append_number(char *json, size_t cap, size_t *len, EVP_PKEY *key, const char *param)
{
    uint8_t bytes[512];
    BIGNUM *n = NULL;
    int size = 0;
    bool ok = EVP_PKEY_get_bn_param(key, param, &n) == 1;

    if (ok) {
        size = BN_num_bytes(n);
        ok = size > 0 && (size_t)size <= sizeof bytes && BLOBSEAL_BASE64URL_LEN((size_t)size) < cap - *len;
    }
    if (ok) {
        (void)BN_bn2bin(n, bytes);
        blobseal_base64url_encode(json + *len, bytes, (size_t)size);
        *len += BLOBSEAL_BASE64URL_LEN((size_t)size);
        json[*len] = '\0';
    }
    BN_free(n);
    return ok;
}

static void append_text(char *json, size_t cap, size_t *len, const char *text)
{
    *len += (size_t)snprintf(json + *len, cap - *len, "%s", text);
}

bool bs_rsa_kid(char out[BS_RSA_KID_LEN], EVP_PKEY *key)
{
    static const char prefix[] = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:";
    char json[1024];
    uint8_t digest[32];
    size_t len = 0;
    bool ok;

    append_text(json, sizeof json, &len, "{\"e\":\"");
    ok = append_number(json, sizeof json, &len, key, OSSL_PKEY_PARAM_RSA_E);
    append_text(json, sizeof json, &len, "\",\"kty\":\"RSA\",\"n\":\"");
    ok = ok && append_number(json, sizeof json, &len, key, OSSL_PKEY_PARAM_RSA_N);
    append_text(json, sizeof json, &len, "\"}");
    ok = ok && EVP_Q_digest(NULL, "SHA256", NULL, json, len, digest, NULL) == 1;
    memset(out, 0, BS_RSA_KID_LEN);
    if (ok) {
        memcpy(out, prefix, sizeof prefix - 1);
        blobseal_base64url_encode(out + sizeof prefix - 1, digest, sizeof digest);
    }
    return ok;
}

/* ---- OAEP -------------------------------------------------------------------------------------------------------- */

/* Create a context for OAEP. All parameters are passed in one call, because each setter would look up the digest again.
 * Return NULL if OpenSSL failed. */
static EVP_PKEY_CTX *start_oaep(EVP_PKEY *key, enum blobseal_oaep oaep, bool wrap)
{
    char *md = oaep == BLOBSEAL_OAEP_SHA1 ? OSSL_DIGEST_NAME_SHA1 : OSSL_DIGEST_NAME_SHA2_256;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_PAD_MODE, OSSL_PKEY_RSA_PAD_MODE_OAEP, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, md, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, md, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);

    if (ctx != NULL && (wrap ? EVP_PKEY_encrypt_init_ex(ctx, params) : EVP_PKEY_decrypt_init_ex(ctx, params)) == 1)
        return ctx;
    EVP_PKEY_CTX_free(ctx);
    return NULL;
}

const char *bs_rsa_algorithm(enum blobseal_oaep oaep)
{
    return oaep == BLOBSEAL_OAEP_SHA1 ? "RSA-OAEP" : "RSA-OAEP-256";
}

/* Wrap with @ctx, which may be NULL, and release it. */
static bool wrap(EVP_PKEY_CTX *ctx, EVP_PKEY *key, uint8_t *out, size_t *out_len, struct bs_slice in)
{
    bool ok;

    *out_len = (size_t)EVP_PKEY_get_size(key);
    ok = ctx != NULL && EVP_PKEY_encrypt(ctx, out, out_len, in.p, in.len) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

bool bs_rsa_oaep_wrap(EVP_PKEY *key, enum blobseal_oaep oaep, uint8_t *out, size_t *out_len, struct bs_slice in)
{
    return wrap(start_oaep(key, oaep, true), key, out, out_len, in);
}

void bs_rsa_wrapper_init(struct bs_rsa_wrapper *w, EVP_PKEY *key, enum blobseal_oaep oaep)
{
    *w = (struct bs_rsa_wrapper){.key = key, .oaep = oaep, .fips = bs_fips_mode()};
    w->ready = start_oaep(key, oaep, true);
    if (w->ready == NULL)
        ERR_clear_error();
}

void bs_rsa_wrapper_clear(struct bs_rsa_wrapper *w)
{
    EVP_PKEY_CTX_free(w->ready);
    *w = (struct bs_rsa_wrapper){0};
}

/* A program can enable FIPS mode at any time, and then the algorithms must be those of the FIPS provider. */
static bool use_ready(const struct bs_rsa_wrapper *w, uint8_t *out, size_t *out_len, struct bs_slice in)
{
    return w->ready != NULL && w->fips == bs_fips_mode() && wrap(EVP_PKEY_CTX_dup(w->ready), w->key, out, out_len, in);
}

enum blobseal_status bs_rsa_wrap_secret(const struct bs_rsa_wrapper *w, struct blobseal_wrapping *out,
                                        const struct blobseal_secret32 *secret, struct blobseal_error *err)
{
    const struct bs_slice in = {secret->b, sizeof secret->b};
    enum blobseal_status st = BLOBSEAL_OK;
    bool ok = false;

    (void)snprintf(out->alg, sizeof out->alg, "%s", bs_rsa_algorithm(w->oaep));
    if (use_ready(w, out->key, &out->key_len, in))
        return BLOBSEAL_OK;
    for (int tries = 0; tries < 2 && !ok; tries++) /* memory may have been short for a moment */
        ok = bs_rsa_oaep_wrap(w->key, w->oaep, out->key, &out->key_len, in);
    if (!ok)
        st = bs_openssl_failed(err, "use an RSA key");
    ERR_clear_error();
    return st;
}

/* The end of an attempt to decrypt. */
enum outcome {
    DECRYPTED,
    REFUSED,   /* the bytes are wrong, or were decrypted with blinding that is wrong */
    NO_MEMORY, /* an allocation failed, or something else that the bytes do not decide */
    UNCLEAR,   /* one of these */
};

/* Tell from OpenSSL's error queue why decryption failed. The queue can lack a failed allocation. */
static enum outcome why_not_decrypted(void)
{
    unsigned long last = ERR_peek_last_error(), e;
    bool refused = ERR_GET_LIB(last) == ERR_LIB_RSA && (ERR_GET_REASON(last) == RSA_R_OAEP_DECODING_ERROR ||
                                                        ERR_GET_REASON(last) == RSA_R_DATA_TOO_LARGE_FOR_MODULUS);

    while ((e = ERR_get_error()) != 0)
        if (ERR_GET_REASON(e) == ERR_GET_REASON(ERR_R_MALLOC_FAILURE))
            return NO_MEMORY;
    return refused ? REFUSED : UNCLEAR;
}

static enum outcome decrypt(EVP_PKEY *key, enum blobseal_oaep oaep, struct bs_slice in, uint8_t block[MAX_MODULUS],
                            size_t *len)
{
    EVP_PKEY_CTX *ctx = start_oaep(key, oaep, false);
    enum outcome outcome = NO_MEMORY;

    *len = MAX_MODULUS;
    ERR_clear_error();
    if (ctx != NULL && in.len != (size_t)EVP_PKEY_get_size(key))
        outcome = REFUSED;
    else if (ctx != NULL)
        outcome = EVP_PKEY_decrypt(ctx, block, len, in.p, in.len) == 1 ? DECRYPTED : why_not_decrypted();
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return outcome;
}

bool bs_rsa_oaep_unwrap(EVP_PKEY *key, enum blobseal_oaep oaep, uint8_t *out, size_t cap, size_t *out_len,
                        struct bs_slice in)
{
    uint8_t block[MAX_MODULUS];
    size_t n;
    bool ok = decrypt(key, oaep, in, block, &n) == DECRYPTED && n <= cap;

    *out_len = 0;
    if (ok) {
        memcpy(out, block, n);
        *out_len = n;
    }
    blobseal_wipe(block, sizeof block);
    return ok;
}

/* Where a decrypted message goes, and which lengths it may have. */
struct message {
    uint8_t *p;
    size_t min, max;
    size_t len; /* that it has */
};

static enum outcome decrypt_message(EVP_PKEY *key, enum blobseal_oaep oaep, struct message *m, struct bs_slice in)
{
    uint8_t block[MAX_MODULUS];
    size_t n;
    enum outcome outcome = decrypt(key, oaep, in, block, &n);

    if (outcome == DECRYPTED && (n < m->min || n > m->max))
        outcome = REFUSED;
    if (outcome == DECRYPTED) {
        memcpy(m->p, block, n);
        m->len = n;
    }
    blobseal_wipe(block, sizeof block);
    return outcome;
}

/* Return true if a key unwraps what it has just wrapped. */
static bool key_works(EVP_PKEY *key, enum blobseal_oaep oaep)
{
    static const struct blobseal_secret32 known = {{0x6B, 0x65, 0x79}};
    struct blobseal_secret32 again;
    struct message m = {.p = again.b, .min = sizeof again.b, .max = sizeof again.b};
    uint8_t wrapped[MAX_MODULUS];
    size_t len;

    return bs_rsa_oaep_wrap(key, oaep, wrapped, &len, (struct bs_slice){known.b, sizeof known.b}) &&
           decrypt_message(key, oaep, &m, (struct bs_slice){wrapped, len}) == DECRYPTED &&
           memcmp(again.b, known.b, sizeof known.b) == 0;
}

#define MAX_UNCLEAR 6 /* attempts, of which none has said why it failed, with a key that works in between */

/* Decrypt with a key that has just worked. */
static enum blobseal_status decrypt_again(EVP_PKEY *key, enum blobseal_oaep oaep, struct message *m, struct bs_slice in)
{
    for (unsigned tries = 0; tries < MAX_UNCLEAR; tries++) {
        enum outcome outcome = decrypt_message(key, oaep, m, in);

        if (outcome == DECRYPTED)
            return BLOBSEAL_OK;
        if (outcome == NO_MEMORY || !key_works(key, oaep))
            return BLOBSEAL_E_NOMEM;
        if (outcome == REFUSED)
            break;
    }
    return BLOBSEAL_E_AUTH;
}

/*
 * OpenSSL does not always say whether the bytes or an allocation made a decryption fail. After one failed allocation,
 * the blinding of an RSA key can even stay wrong for its next 32 uses. So every failure takes the same path, which does
 * not depend on the bytes: the key, or else a copy of it without this state, must work on a known value before and
 * after a second attempt.
 */
static enum blobseal_status decrypt_surely(EVP_PKEY *key, enum blobseal_oaep oaep, struct message *m,
                                           struct bs_slice in, struct blobseal_error *err)
{
    EVP_PKEY *copy = NULL;
    enum blobseal_status st = BLOBSEAL_E_NOMEM;

    if (decrypt_message(key, oaep, m, in) == DECRYPTED)
        return BLOBSEAL_OK;
    if (key_works(key, oaep)) {
        st = decrypt_again(key, oaep, m, in);
    } else {
        copy = EVP_PKEY_dup(key);
        if (copy != NULL && key_works(copy, oaep))
            st = decrypt_again(copy, oaep, m, in);
    }
    EVP_PKEY_free(copy);
    ERR_clear_error();
    if (st == BLOBSEAL_E_AUTH)
        return blobseal_fail(err, st, 0, "unwrapping failed");
    return st == BLOBSEAL_OK ? st : blobseal_fail(err, st, 0, "use an RSA key: no memory");
}

enum blobseal_status bs_rsa_unwrap_secret(EVP_PKEY *key, enum blobseal_oaep oaep, struct blobseal_secret32 *secret,
                                          struct bs_slice in, struct blobseal_error *err)
{
    struct message m = {.p = secret->b, .min = sizeof secret->b, .max = sizeof secret->b};

    return decrypt_surely(key, oaep, &m, in, err);
}

enum blobseal_status bs_rsa_decrypt(EVP_PKEY *key, enum blobseal_oaep oaep, uint8_t *out, size_t *len,
                                    struct bs_slice in, struct blobseal_error *err)
{
    struct message m = {.p = out, .max = *len};
    enum blobseal_status st = decrypt_surely(key, oaep, &m, in, err);

    *len = st == BLOBSEAL_OK ? m.len : 0;
    return st;
}

/* ---- Generating keys --------------------------------------------------------------------------------------------- */

/* Write the private key in PKCS#8. If there is a passphrase, encrypt with PBES2 (PBKDF2-HMAC-SHA-256, AES-256-CBC). */
static bool write_private(BIO *bio, EVP_PKEY *key, const char *passphrase)
{
    PKCS8_PRIV_KEY_INFO *plain = NULL;
    X509_ALGOR *pbe = NULL;
    X509_SIG *sealed = NULL;
    bool ok = false;

    if (passphrase == NULL)
        return PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    plain = EVP_PKEY2PKCS8(key);
    pbe = PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), PBKDF2_ITERATIONS, NULL, 16, NULL, NID_hmacWithSHA256);
    if (plain == NULL || pbe == NULL)
        goto out;
    sealed = PKCS8_set0_pbe(passphrase, (int)strlen(passphrase), plain, pbe);
    if (sealed == NULL)
        goto out;
    pbe = NULL; /* owned by @sealed now */
    ok = PEM_write_bio_PKCS8(bio, sealed) == 1;
out:
    X509_SIG_free(sealed);
    X509_ALGOR_free(pbe);
    PKCS8_PRIV_KEY_INFO_free(plain);
    return ok;
}

/* Copy the contents of @bio and append a zero byte. Return NULL if there is no memory. */
static char *copy_text(BIO *bio, size_t *len, bool secret)
{
    char *data, *copy;

    *len = (size_t)BIO_get_mem_data(bio, &data);
    copy = secret ? blobseal_secret_alloc(*len + 1) : malloc(*len + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, data, *len);
    copy[*len] = '\0';
    return copy;
}

/* Generate a key, and fill in @made, which is released also after a failure. Return false if OpenSSL failed, or if
 * there is no memory. */
static bool make_pair(struct blobseal_keypair *made, unsigned bits, const char *passphrase)
{
    BIO *private = BIO_new(BIO_s_secmem()), *public = BIO_new(BIO_s_mem());
    EVP_PKEY *key = private != NULL && public != NULL ? EVP_RSA_gen(bits) : NULL;
    bool ok = key != NULL && write_private(private, key, passphrase) && PEM_write_bio_PUBKEY(public, key) == 1 &&
              bs_rsa_kid(made->kid, key);

    if (ok) {
        made->private_pem = copy_text(private, &made->private_len, true);
        made->public_pem = copy_text(public, &made->public_len, false);
        ok = made->private_pem != NULL && made->public_pem != NULL;
    }
    EVP_PKEY_free(key);
    BIO_free(private);
    BIO_free(public);
    return ok;
}

enum blobseal_status blobseal_keygen_rsa(struct blobseal_keypair *pair, unsigned bits, const char *passphrase,
                                         struct blobseal_error *err)
{
    struct blobseal_keypair made = {.size = sizeof made};
    enum blobseal_status st;
    bool ok = false;

    if (!bs_struct_export(pair, &made, sizeof made))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "generate an RSA key: the size of the key pair is not set");
    if (!size_is_accepted(bits))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "RSA keys have 2048, 3072 or 4096 bits, not %u", bits);
    st = bs_openssl_start(err);
    if (st != BLOBSEAL_OK)
        return st;
    for (int tries = 0; tries < 2 && !ok; tries++) { /* so that one failed allocation explains nothing else */
        blobseal_keypair_clear(&made);
        ok = make_pair(&made, bits, passphrase);
    }
    if (!ok)
        st = bs_openssl_failed(err, "generate an RSA key");
    if (st != BLOBSEAL_OK || !bs_struct_export(pair, &made, sizeof made))
        blobseal_keypair_clear(&made);
    ERR_clear_error();
    return st;
}

void blobseal_keypair_clear(struct blobseal_keypair *pair)
{
    blobseal_secret_free(pair->private_pem);
    free(pair->public_pem);
    *pair = (struct blobseal_keypair){.size = pair->size};
}
