/* SPDX-License-Identifier: Apache-2.0 */
/* jwe: parsing, opening and writing of JWEs in JSON serialization (RFC 7516). Section numbers refer to FORMAT.md; the
 * JWE format is specified in section 4.2. */
#ifndef BLOBSEAL_JWE_H
#define BLOBSEAL_JWE_H

#include "core/base/base.h"
#include "kek/kek.h"

#define BS_JWE_IV_LEN      12
#define BS_JWE_TAG_LEN     16
#define BS_JWE_MAX_CONTENT 8192  /* for envelopes: a JWK of a few hundred bytes, and metadata of at most 4 KiB */
#define BS_JWE_MAX_LARGE   40960 /* for anything else: the 256 keys of a set */
#define BS_JWE_MAX_ALG     64
#define BS_JWE_MAX_KEY     4096 /* a wrapped CEK of any algorithm */
#define BS_JWE_CEK_LEN     32

struct bs_jwe_recipient {
    const char *alg;
    const char *kid;    /* NULL if absent, which is not allowed in an envelope */
    const uint8_t *key; /* the wrapped CEK                                     */
    size_t key_len;
};

struct bs_jwe {
    uint8_t *buf;                   /* the single allocation that all pointers below point into    */
    size_t used;                    /* bytes of @buf in use, while a new JWE is prepared           */
    struct bs_slice protected_text; /* the protected header in base64url, which is the AAD as well */
    uint8_t iv[BS_JWE_IV_LEN], tag[BS_JWE_TAG_LEN];
    struct bs_slice ciphertext;
    size_t cek_len; /* of A256GCM, A192GCM or A128GCM: 32, 24 or 16 */
    size_t num;
    struct bs_jwe_recipient recipients[BLOBSEAL_MAX_RECIPIENTS];
};

/*
 * Return true if the algorithm of @r is one that this version knows. Recipients with any other one are kept as they
 * are, and are never tried.
 */
bool bs_jwe_knows(const struct bs_jwe_recipient *r);

/* Return a remark about an unknown algorithm for messages, such as " (a password)", or an empty string. */
const char *bs_jwe_remark(const char *alg);

/* ---- jwe_parse.c ------------------------------------------------------------------------------------------------- */

/*
 * The rules of a JWE that depend on its use. In an envelope, `alg` and `kid` appear in the headers of recipients only.
 * In a bare JWE, as written by common libraries, they may also appear in the protected header, and `kid` may be absent.
 * A foreign JWE is a bare one that may have recipients with unknown algorithms, unknown members in its headers (but not
 * `zip` and `crit`), `encrypted_key` next to `recipients`, and A128GCM or A192GCM as content encryption.
 */
struct bs_jwe_profile {
    bool bare;
    bool foreign; /* and bare */
    /* Read the value of any other member of the protected header than `enc` (and, if bare, `alg` and `kid`). NULL:
     * refuse any other member, unless it is foreign. */
    enum blobseal_status (*member)(void *ctx, struct bs_slice name, struct bs_json *j, struct blobseal_error *err);
    void *ctx;
};

/* Parse the JWE in @len bytes of @text. Call bs_jwe_clear() also after a failure. Errors: E_FORMAT, E_UNSUPPORTED,
 * E_NOMEM, those of profile->member(). */
BLOBSEAL_MUST_USE enum blobseal_status bs_jwe_parse(struct bs_jwe *jwe, const char *text, size_t len,
                                                    const struct bs_jwe_profile *profile, struct blobseal_error *err);
void bs_jwe_clear(struct bs_jwe *jwe);

/* Fill @err for an envelope that violates section 4. Return E_FORMAT. */
enum blobseal_status bs_malformed(struct blobseal_error *err, const char *what);

/* ---- jwe_open.c -------------------------------------------------------------------------------------------------- */

/* What opened a JWE, and the content encryption key (CEK). To be stored in secret memory. */
struct bs_jwe_opener {
    size_t recipient;            /* its index                         */
    size_t kek;                  /* the index of the KEK in the list  */
    struct blobseal_lease lease; /* until when the CEK may be used    */
    uint64_t denials;            /* bs_kek_denials() before the request */
    struct blobseal_secret32 cek;
};

/*
 * Find a recipient and a KEK that open @jwe, and decrypt its content into @content, which must be secret memory of
 * jwe->ciphertext.len bytes. At most 8 unwraps are attempted. For a @bare JWE key ids are not compared, so each KEK is
 * tried with each recipient. @by may be NULL. Errors: E_NO_KEY; E_UNSUPPORTED if no key fits and a recipient has an
 * unknown algorithm; E_AUTH, E_NOMEM, E_INTERNAL, those of providers. Source: section 4.6, steps 2 and 3.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_jwe_open(const struct bs_jwe *jwe, bool bare, struct bs_keks keks,
                                                   uint8_t *content, struct bs_jwe_opener *by,
                                                   struct blobseal_error *err);

/* Fill @err with the one text that is used for all authentication failures. Return E_AUTH. */
enum blobseal_status bs_not_authentic(struct blobseal_error *err);

/* ---- jwe_write.c ------------------------------------------------------------------------------------------------- */

/*
 * Prepare a new JWE, to which bs_jwe_add() adds recipients. Release it with bs_jwe_clear(), also after a failure.
 * Errors: E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_jwe_new(struct bs_jwe *jwe, struct blobseal_error *err);

/*
 * Add a recipient to a JWE from bs_jwe_new(). Its strings and its wrapped key are copied. Errors: E_POLICY if there are
 * 64 recipients already, or if no envelope has room for all that was added.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_jwe_add(struct bs_jwe *jwe, const struct bs_jwe_recipient *r,
                                                  struct blobseal_error *err);

/*
 * Encrypt @content with @cek, and append the JWE to @out: with the protected header @header (JSON), and with
 * jwe->recipients, of which there are jwe->num and whose keys are already wrapped. A JWE with one recipient has the
 * flattened form, any other the general form. Errors: E_POLICY if @out is too small; E_ARG if @content is too long;
 * E_INTERNAL if OpenSSL failed.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_jwe_write(struct bs_builder *out, const struct bs_jwe *jwe,
                                                    struct bs_slice header, const struct blobseal_secret32 *cek,
                                                    struct bs_slice content, struct blobseal_error *err);

/* Compute the SHA-256 digest of the recipients, in their order (section 4.3). Return false if there is no memory. */
BLOBSEAL_MUST_USE bool bs_jwe_recipients_digest(uint8_t out[BS_SHA256_LEN], const struct bs_jwe *jwe);

/* ---- a256gcm.c --------------------------------------------------------------------------------------------------- */

/*
 * AES-GCM with 256 bits, or with what `cek_len` says.
 * Encrypt @in to @out and write @tag, or decrypt @in to @out and verify @tag. @out has in.len bytes. Return false if
 * OpenSSL failed or the tag is wrong; @out is then wiped. Source: RFC 7518 section 5.3.
 */
struct bs_a256gcm {
    const struct blobseal_secret32 *cek;
    const uint8_t *iv;   /* BS_JWE_IV_LEN bytes           */
    struct bs_slice aad; /* additional authenticated data           */
    size_t cek_len;      /* 16, 24 or 32 bytes of the CEK; 0 is 32 */
};
bool bs_a256gcm_encrypt(const struct bs_a256gcm *g, uint8_t *out, struct bs_slice in, uint8_t tag[BS_JWE_TAG_LEN]);
bool bs_a256gcm_decrypt(const struct bs_a256gcm *g, uint8_t *out, struct bs_slice in,
                        const uint8_t tag[BS_JWE_TAG_LEN]);

/* Decrypt, and say why that failed. Errors: E_AUTH if the tag is wrong, E_NOMEM if OpenSSL failed. */
BLOBSEAL_MUST_USE enum blobseal_status bs_a256gcm_open(const struct bs_a256gcm *g, uint8_t *out, struct bs_slice in,
                                                       const uint8_t tag[BS_JWE_TAG_LEN]);

/* ---- a256kw.c: AES key wrap of a 32-byte secret (RFC 3394, RFC 7518 section 4.4) --------------------------------- */

#define BS_A256KW_ALG "A256KW"
#define BS_A256KW_LEN 40

struct bs_a256kw; /* one key, with OpenSSL's contexts for it; many threads may use it at once */

/* Prepare @key, which stays the caller's and must remain valid. Release with bs_a256kw_free(). Errors: E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_a256kw_new(struct bs_a256kw **kw, const struct blobseal_secret32 *key,
                                                     struct blobseal_error *err);
void bs_a256kw_free(struct bs_a256kw *kw);

/* Wrap @secret. Errors: E_NOMEM, E_CONFIG, E_INTERNAL. */
BLOBSEAL_MUST_USE enum blobseal_status bs_a256kw_wrap(struct bs_a256kw *kw, uint8_t out[BS_A256KW_LEN],
                                                      const struct blobseal_secret32 *secret,
                                                      struct blobseal_error *err);

/* Unwrap @len bytes. @secret is zero after a failure. Errors: E_AUTH without a text, if they are not 40 bytes that this
 * key wrapped; E_NOMEM, E_CONFIG, E_INTERNAL. */
BLOBSEAL_MUST_USE enum blobseal_status bs_a256kw_unwrap(struct bs_a256kw *kw, struct blobseal_secret32 *secret,
                                                        const uint8_t *wrapped, size_t len, struct blobseal_error *err);

/* Compare OpenSSL's key wrap with a known answer, unless this was done in this process. Errors: E_CONFIG, E_NOMEM,
 * E_INTERNAL. */
BLOBSEAL_MUST_USE enum blobseal_status bs_a256kw_selftest(struct blobseal_error *err);

#endif
