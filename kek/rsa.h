/* SPDX-License-Identifier: Apache-2.0 */
/* What all providers of RSA keys share, wherever the key comes from. */
#ifndef BLOBSEAL_KEK_RSA_H
#define BLOBSEAL_KEK_RSA_H

#include <openssl/evp.h>

#include "blobseal_provider.h"

#define BS_RSA_KID_LEN 96 /* "urn:ietf:params:oauth:jwk-thumbprint:sha-256:", 43 characters, zero, rounded up */

/*
 * Check that a key is RSA of 2048, 3072 or 4096 bits with a safe public exponent. @what names the key in messages.
 * Errors: E_CONFIG.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_rsa_check(EVP_PKEY *key, const char *what, struct blobseal_error *err);

/* Write the JWK thumbprint URI (RFC 7638, RFC 9278) of a checked key. Return false without memory. */
BLOBSEAL_MUST_USE bool bs_rsa_kid(char out[BS_RSA_KID_LEN], EVP_PKEY *key);

/* RSAES-OAEP (RFC 8017 section 7.1), empty label, MGF1 with the same hash. Return false if OpenSSL failed. */
BLOBSEAL_MUST_USE bool bs_rsa_oaep_wrap(EVP_PKEY *key, enum blobseal_oaep oaep, uint8_t *out, size_t *out_len,
                                        const uint8_t *in, size_t len);

/*
 * Unwrap into @out, which has room for @cap bytes. Return false for anything that does not decrypt, or is longer. The
 * reason is not reported, and leaves no trace in OpenSSL's error queue.
 */
BLOBSEAL_MUST_USE bool bs_rsa_oaep_unwrap(EVP_PKEY *key, enum blobseal_oaep oaep, uint8_t *out, size_t cap,
                                          size_t *out_len, const uint8_t *in, size_t len);

#endif
