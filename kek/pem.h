/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key files: the blocks of a PEM text, the keys in their bytes, and OpenSSL's form of these keys. The bytes are judged
 * here, without allocating memory, so that a lack of memory inside OpenSSL is never taken for a bad key.
 */
#ifndef BLOBSEAL_KEK_PEM_H
#define BLOBSEAL_KEK_PEM_H

#include <openssl/evp.h>

#include "blobseal_provider.h"
#include "core/base/bytes.h"
#include "kek/rsa.h"

/* ---- pem_blocks.c: PEM (RFC 7468) -------------------------------------------------------------------------------- */

/* A text that is read block by block. The bytes of each block are decoded in place, so the text changes. */
struct bs_pem_text {
    char *at, *end;
    size_t line; /* number of the line at `at`, from 1 */
};

/* A block. Label and bytes are in the text. */
struct bs_pem_block {
    struct bs_slice label; /* "PRIVATE KEY"                                                     */
    struct bs_slice bytes; /* what base64 stands for                                            */
    size_t line;           /* of the BEGIN line                                                 */
    bool has_headers;      /* such as Proc-Type, as in encryption that precedes PKCS#8          */
    const char *fault;     /* NULL, or what is wrong with the block: "has no END line"          */
    size_t fault_line;     /* where                                                             */
};

/* Start reading @len bytes at @text. A byte order mark is skipped. */
struct bs_pem_text bs_pem_start(char *text, size_t len);

/* Find the next block. Return false if there is none. */
bool bs_pem_next(struct bs_pem_text *t, struct bs_pem_block *b);

/* ---- der.c: the keys in DER structures --------------------------------------------------------------------------- */

/* The numbers of an RSA key, as in RSAPrivateKey (RFC 8017 appendix A.1.2). */
enum { BS_RSA_N, BS_RSA_E, BS_RSA_D, BS_RSA_P, BS_RSA_Q, BS_RSA_DP, BS_RSA_DQ, BS_RSA_QINV, BS_RSA_NUMBERS };

/* The parts of a key, which are in the bytes that it was read from. */
struct bs_der_key {
    struct bs_slice algorithm;               /* the object identifier of its kind                  */
    bool is_rsa;                             /* and so has numbers                                 */
    struct bs_slice numbers[BS_RSA_NUMBERS]; /* big-endian, without leading zeros; empty: not there */
};

/* Read a private key: PKCS#8 (RFC 5958), or RSAPrivateKey. Return false if the bytes are malformed. */
bool bs_der_private(struct bs_der_key *key, struct bs_slice der);

/* Read an RSAPublicKey, a SubjectPublicKeyInfo (RFC 5280 section 4.1), or the key of a certificate. Return false if the
 * bytes are malformed. */
bool bs_der_rsa_public(struct bs_der_key *key, struct bs_slice der);
bool bs_der_public(struct bs_der_key *key, struct bs_slice der);
bool bs_der_certificate(struct bs_der_key *key, struct bs_slice der);

/* Return the name of the kind of key that an object identifier stands for, such as "RSA-PSS". */
const char *bs_der_kind(struct bs_slice algorithm);

/* An encrypted private key. */
struct bs_der_encrypted {
    struct bs_slice algorithm; /* an AlgorithmIdentifier */
    struct bs_slice bytes;
};

/* Return true if the bytes are a PKCS#12 file (RFC 7292). */
bool bs_der_is_pkcs12(struct bs_slice der);

/* Read an encrypted PKCS#8 structure. Return false if the bytes are malformed. */
bool bs_der_encrypted(struct bs_der_encrypted *encrypted, struct bs_slice der);

/* ---- pem_key.c: the keys that OpenSSL uses ----------------------------------------------------------------------- */

/*
 * Make the key that @parts describe. It is private if @parts are. @what names it in messages.
 * Errors: E_CONFIG for a key that is not accepted, or if OpenSSL has no RSA; E_NOMEM, E_INTERNAL.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_pem_make_key(EVP_PKEY **key, const struct bs_der_key *parts, const char *what,
                                                       struct blobseal_error *err);

/* Decrypt a private key, and make it. Errors: E_CONFIG also for a wrong passphrase or unsupported encryption. */
BLOBSEAL_MUST_USE enum blobseal_status bs_pem_decrypt(EVP_PKEY **key, const struct bs_der_encrypted *encrypted,
                                                      struct bs_slice passphrase, const char *what,
                                                      struct blobseal_error *err);

/* Report that a key is not RSA, but @kind, such as "EC". Return E_CONFIG. */
enum blobseal_status bs_pem_not_rsa(const char *kind, const char *what, struct blobseal_error *err);

/* ---- pem_kinds.c: what is not a key that can be used ------------------------------------------------------------- */

/* Report that the block is a key of a kind that cannot be used, by its name. Return E_CONFIG. */
enum blobseal_status bs_pem_refuse(const struct bs_pem_block *b, const char *what, struct blobseal_error *err);

/* Report what a file is that has no key. @other is a block of it, or has line 0. Return E_CONFIG. */
enum blobseal_status bs_pem_no_key(const struct bs_pem_block *other, const char *text, size_t len, const char *path,
                                   struct blobseal_error *err);

/* ---- pem_file.c: the keys of a file ------------------------------------------------------------------------------ */

#define BS_PEM_MAX_KEYS 64

struct bs_pem_key {
    EVP_PKEY *key;
    struct bs_rsa_wrapper wrapper;
    bool is_private;
    char kid[BS_RSA_KID_LEN];
};

/* The keys of a file, each once: a private key is preferred to its public half. */
struct bs_pem_keys {
    size_t num;
    struct bs_pem_key *list[BS_PEM_MAX_KEYS];
};

/* Read all keys of a file. Release them with bs_pem_keys_clear(). Errors: those of blobseal_kek_open(). */
BLOBSEAL_MUST_USE enum blobseal_status bs_pem_read(struct bs_pem_keys *keys, const char *path,
                                                   const struct blobseal_kek_options *options,
                                                   struct blobseal_error *err);

/* The same for a PEM text of @len bytes, whose mode is not checked. */
BLOBSEAL_MUST_USE enum blobseal_status bs_pem_read_text(struct bs_pem_keys *keys, const char *text, size_t len,
                                                        const struct blobseal_kek_options *options,
                                                        struct blobseal_error *err);

/* Add the keys of a text to @list, as open_all() of the provider does. */
BLOBSEAL_MUST_USE enum blobseal_status bs_pem_open_text(const struct blobseal_kek_list *list, const char *text,
                                                        size_t len, const struct blobseal_kek_options *options,
                                                        struct blobseal_error *err);

void bs_pem_key_free(struct bs_pem_key *key);
void bs_pem_keys_clear(struct bs_pem_keys *keys);

#endif
