/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helpers for third-party test vectors: files, hex, JSON, NIST response files, keys. A helper that fails ends the
 * process with a message, so that a missing vector never lets a test pass.
 */
#ifndef TEST_SUPPORT_VECTORS_H
#define TEST_SUPPORT_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <openssl/evp.h>

/* Bytes on the heap, exactly as long as they say, so that AddressSanitizer sees a read beyond them. Release with
 * free(). */
struct vec_bytes {
    uint8_t *p;
    size_t len;
};

/*
 * For TestSuite(name, .fini = vec_no_leaks): under AddressSanitizer, abort if the test leaked memory. Criterion
 * itself ignores what LeakSanitizer reports when the process of a test ends.
 */
void vec_no_leaks(void);

/* Print a message and abort. */
_Noreturn void vec_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Pseudo-random numbers, the same in every run (splitmix64). */
uint64_t vec_random(uint64_t *state);
void vec_random_fill(uint64_t *state, void *p, size_t len);

/* @len bytes on the heap, copied from @p if that is not NULL. */
struct vec_bytes vec_copy(const void *p, size_t len);
struct vec_bytes vec_hex(const char *hex);
/* Unpack a zlib stream. */
struct vec_bytes vec_inflate(struct vec_bytes packed);
/* A base64url string without padding. */
struct vec_bytes vec_b64(const char *text);

/* ---- Files. Paths are relative to tests/vectors. ----------------------------------------------------------------- */

/* Read a whole file, unpacked if it is gzip. A zero byte that is not counted follows it. */
struct vec_bytes vec_read(const char *path);
/* The JSON in a file, packed or not. Release with json_decref(). */
json_t *vec_json(const char *path);

/* Members of JSON objects, which must exist. */
const char *vec_text(const json_t *object, const char *name);
struct vec_bytes vec_member(const json_t *object, const char *name); /* hex */
int vec_int(const json_t *object, const char *name);
json_t *vec_list(const json_t *object, const char *name);
/* Return true if the array `flags` of a Wycheproof case has @flag. */
bool vec_has_flag(const json_t *test, const char *flag);

/* ---- NIST CAVP response files for GCM ---------------------------------------------------------------------------- */

struct vec_rsp {
    char *text, *at;
    int key_bits, iv_bits, plain_bits, aad_bits, tag_bits; /* of the group that the case is in */
    struct vec_bytes key, iv, plain, aad, cipher, tag;     /* of the case                      */
    bool fail;                                             /* the case must be refused         */
};

struct vec_rsp vec_rsp_open(const char *path);
/* Step to the next case. False: there is none. */
bool vec_rsp_next(struct vec_rsp *r);
void vec_rsp_close(struct vec_rsp *r);

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

/* A private or public key in PEM. */
EVP_PKEY *vec_key(const char *pem);
/* An RSA key from a JWK: private if it has `d`. */
EVP_PKEY *vec_jwk(const json_t *jwk);
/* The private RSA key of Wycheproof's OAEP tests for 2048, 3072 or 4096 bits. */
EVP_PKEY *vec_rsa_key(unsigned bits);
/* PKCS#8 or SPKI text of a key. Release with free(). */
char *vec_private_pem(EVP_PKEY *key);
char *vec_public_pem(EVP_PKEY *key);
/* Encrypted PKCS#8, with a passphrase that may have any bytes. Release with free(). */
char *vec_encrypted_pem(EVP_PKEY *key, const char *passphrase, size_t len);
/* The text in @bio, which is released. @written: OpenSSL wrote it without an error. Release with free(). */
char *vec_bio_text(BIO *bio, bool written);

#define VEC_PATH 64

/* Write a fresh file with these bytes and exactly this mode; @path receives its name. The caller unlinks it. */
void vec_temp_file(char path[VEC_PATH], const void *p, size_t len, unsigned mode);
/* The text of a private key in a fresh file of mode 0600. */
void vec_temp_key(char path[VEC_PATH], const char *pem);

#endif
