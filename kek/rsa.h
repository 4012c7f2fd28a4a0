/* SPDX-License-Identifier: Apache-2.0 */
/* Functions shared by all providers of RSA keys, regardless of where the keys are stored. */
#ifndef BLOBSEAL_KEK_RSA_H
#define BLOBSEAL_KEK_RSA_H

#include <openssl/evp.h>

#include "blobseal_provider.h"
#include "core/base/bytes.h"

/* Room for a key id: "urn:ietf:params:oauth:jwk-thumbprint:sha-256:", 43 characters and a zero byte, rounded up. */
#define BS_RSA_KID_LEN 96

/*
 * Check that an RSA key has 2048, 3072 or 4096 bits and a safe public exponent, in big-endian bytes without leading
 * zeros. @what names the key in messages. Errors: E_CONFIG.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_rsa_check(unsigned bits, struct bs_slice exponent, const char *what,
                                                    struct blobseal_error *err);

/* Return the name of the algorithm (RFC 7518 section 4.3). */
const char *bs_rsa_algorithm(enum blobseal_oaep oaep);

/* Write the key id, which is the JWK thumbprint URI (RFC 7638, RFC 9278), of a key that bs_rsa_check() accepts. Return
 * false if OpenSSL failed. */
BLOBSEAL_MUST_USE bool bs_rsa_kid(char out[BS_RSA_KID_LEN], EVP_PKEY *key);

/* Write a public key in PEM, zero-terminated, into memory from malloc(). Return false if there is no memory. */
BLOBSEAL_MUST_USE bool bs_spki_to_pem(char **pem, size_t *len, struct bs_slice spki);

/* Make the SubjectPublicKeyInfo of a key, in memory from malloc(). Return false if there is no memory. */
BLOBSEAL_MUST_USE bool bs_rsa_spki(uint8_t **spki, size_t *len, EVP_PKEY *key);

/*
 * Wrap @in with RSAES-OAEP (RFC 8017 section 7.1), with an empty label, and with the same hash function in MGF1. @out
 * must have room for the length of the modulus. Return false if OpenSSL failed; its error queue may say why.
 */
BLOBSEAL_MUST_USE bool bs_rsa_oaep_wrap(EVP_PKEY *key, enum blobseal_oaep oaep, uint8_t *out, size_t *out_len,
                                        struct bs_slice in);

/*
 * Wrap with one key again and again, as bs_rsa_oaep_wrap() does. For each new context OpenSSL looks up the algorithms,
 * which takes a tenth of the time of wrapping, so each call copies one that is ready.
 */
struct bs_rsa_wrapper {
    EVP_PKEY *key; /* of the caller */
    enum blobseal_oaep oaep;
    EVP_PKEY_CTX *ready; /* NULL if there was no memory: then each call makes its own */
    bool fips;           /* the mode in which the algorithms of `ready` were looked up */
};

/* Start to wrap for @key, which must stay until bs_rsa_wrapper_clear(). Any number of threads may wrap at once. */
void bs_rsa_wrapper_init(struct bs_rsa_wrapper *w, EVP_PKEY *key, enum blobseal_oaep oaep);
void bs_rsa_wrapper_clear(struct bs_rsa_wrapper *w);

/* Wrap @secret, and fill in the algorithm and the bytes of @out. Errors: E_NOMEM, E_INTERNAL; E_CONFIG if OpenSSL has
 * no provider for it. */
BLOBSEAL_MUST_USE enum blobseal_status bs_rsa_wrap_secret(const struct bs_rsa_wrapper *w, struct blobseal_wrapping *out,
                                                          const struct blobseal_secret32 *secret,
                                                          struct blobseal_error *err);

/*
 * Unwrap @in into @out, which has room for @cap bytes. Return false if decryption fails or the result is longer. The
 * reason is not reported, and OpenSSL's error queue is cleared.
 */
BLOBSEAL_MUST_USE bool bs_rsa_oaep_unwrap(EVP_PKEY *key, enum blobseal_oaep oaep, uint8_t *out, size_t cap,
                                          size_t *out_len, struct bs_slice in);

/*
 * Decrypt @in to a message of at most *@len bytes, and set *@len. After a failure *@len is 0. As bs_rsa_unwrap_secret()
 * does, return E_AUTH only after the key has proved that it works. Errors: E_AUTH, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_rsa_decrypt(EVP_PKEY *key, enum blobseal_oaep oaep, uint8_t *out, size_t *len,
                                                      struct bs_slice in, struct blobseal_error *err);

/*
 * Unwrap @in, a secret of 32 bytes. E_AUTH means that @in does not decrypt to 32 bytes: before it is returned, the key
 * has proved on a value of its own that it works. Errors: E_AUTH; E_NOMEM if the key cannot be used now.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_rsa_unwrap_secret(EVP_PKEY *key, enum blobseal_oaep oaep,
                                                            struct blobseal_secret32 *secret, struct bs_slice in,
                                                            struct blobseal_error *err);

#endif
