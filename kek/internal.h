/* SPDX-License-Identifier: Apache-2.0 */
/* Private prototypes of kek, one section per .c file. */
#ifndef BLOBSEAL_KEK_INTERNAL_H
#define BLOBSEAL_KEK_INTERNAL_H

#include <openssl/evp.h>

#include "blobseal_provider.h"

/* ---- rsa.c: RSA keys as KEKs, whatever file or device they come from ------------------------------------------- */

#define BS_RSA_KID_LEN 96 /* "urn:ietf:params:oauth:jwk-thumbprint:sha-256:", 43 characters, zero, rounded up */

/* Refuse what is not RSA of 2048, 3072 or 4096 bits with a sound public exponent. @what names the key in messages. */
BLOBSEAL_MUST_USE enum blobseal_status bs_rsa_check(EVP_PKEY *key, const char *what, struct blobseal_error *err);

/* Write the JWK thumbprint URI (RFC 7638, RFC 9278) of a checked key. False: no memory. */
BLOBSEAL_MUST_USE bool bs_rsa_kid(char out[BS_RSA_KID_LEN], EVP_PKEY *key);

/* RSAES-OAEP (RFC 8017 section 7.1), empty label, MGF1 with the same hash. False: OpenSSL failed. */
BLOBSEAL_MUST_USE bool bs_rsa_oaep_wrap(EVP_PKEY *key, enum blobseal_oaep oaep, uint8_t *out, size_t *out_len,
                                        const uint8_t *in, size_t len);

/*
 * The reverse. @out has room for @cap bytes; false for anything that does not decrypt or is longer. Says nothing about
 * why, and leaves no trace of it in OpenSSL's error queue.
 */
BLOBSEAL_MUST_USE bool bs_rsa_oaep_unwrap(EVP_PKEY *key, enum blobseal_oaep oaep, uint8_t *out, size_t cap,
                                          size_t *out_len, const uint8_t *in, size_t len);

/* ---- pem.c ---------------------------------------------------------------------------------------------------- */

extern const struct blobseal_provider bs_pem_provider;

#endif
