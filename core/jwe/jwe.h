/* SPDX-License-Identifier: Apache-2.0 */
/* jwe: JWE in JSON serialization (RFC 7516), parsed, opened and written. FORMAT.md section 4.2. */
#ifndef BLOBSEAL_JWE_H
#define BLOBSEAL_JWE_H

#include "core/base/base.h"
#include "kek/kek.h"

#define BS_JWE_IV_LEN      12
#define BS_JWE_TAG_LEN     16
#define BS_JWE_MAX_CONTENT 8192 /* of an envelope: a JWK of a few hundred bytes, and metadata of at most 4 KiB */

struct bs_jwe_recipient {
    const char *alg;
    const char *kid;    /* NULL if absent, which only a bare JWE may have */
    const char *region; /* NULL if absent                                 */
    const uint8_t *key;
    size_t key_len;
};

struct bs_jwe {
    uint8_t *buf; /* the one allocation that everything below points into */
    struct bs_slice protected_text;
    uint8_t iv[BS_JWE_IV_LEN], tag[BS_JWE_TAG_LEN];
    struct bs_slice ciphertext;
    size_t num;
    struct bs_jwe_recipient recipients[BLOBSEAL_MAX_RECIPIENTS];
};

/* ---- jwe_parse.c ------------------------------------------------------------------------------------------------- */

/*
 * What a use of JWE allows beyond the common core. Envelopes name keys in the headers of recipients and nowhere else. A
 * bare JWE (RFC 7516 as libraries write it) may name them in the protected header, or not at all.
 */
struct bs_jwe_profile {
    bool bare;
    /* Read the value of a protected header member other than `enc` (and `alg`, `kid` if bare). NULL: refuse all of
     * them. */
    enum blobseal_status (*member)(void *ctx, struct bs_slice name, struct bs_json *j, struct blobseal_error *err);
    void *ctx;
};

/* Parse. Release with bs_jwe_clear(), also after a failure. Errors: E_FORMAT, E_UNSUPPORTED, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_jwe_parse(struct bs_jwe *jwe, const char *text, size_t len,
                                                    const struct bs_jwe_profile *profile, struct blobseal_error *err);
void bs_jwe_clear(struct bs_jwe *jwe);

/* Report an envelope that breaks a rule of section 4. Return E_FORMAT. */
enum blobseal_status bs_malformed(struct blobseal_error *err, const char *what);

/* ---- jwe_open.c -------------------------------------------------------------------------------------------------- */

/* The recipient that opened a JWE, and the content key (CEK). Secret memory. */
struct bs_jwe_opener {
    size_t recipient;
    struct blobseal_secret32 cek;
};

/*
 * Find a recipient and a KEK that open @jwe, and decrypt its content into @content, secret memory of
 * jwe->ciphertext.len bytes. A @bare JWE may have recipients without a kid. @by may be NULL. Errors: E_NO_KEY, E_AUTH,
 * those of providers. Source: section 4.6, steps 2 and 3.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_jwe_open(const struct bs_jwe *jwe, bool bare, struct bs_keks keks,
                                                   uint8_t *content, struct bs_jwe_opener *by,
                                                   struct blobseal_error *err);

/* Report that the blob is not authentic, always in the same words. Return E_AUTH. */
enum blobseal_status bs_not_authentic(struct blobseal_error *err);

/* ---- jwe_write.c ------------------------------------------------------------------------------------------------- */

/*
 * Encrypt @content with @cek under the protected header @header (JSON), for the recipients of @jwe, whose `num` and
 * `recipients` are set. Writes the flattened form for one recipient, the general form for more. Errors: E_POLICY if
 * @out is too small.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_jwe_write(struct bs_builder *out, const struct bs_jwe *jwe,
                                                    struct bs_slice header, const struct blobseal_secret32 *cek,
                                                    struct bs_slice content, struct blobseal_error *err);

/* Compute SHA-256 over the recipients (section 4.3). Return false without memory. */
BLOBSEAL_MUST_USE bool bs_jwe_recipients_digest(uint8_t out[BS_SHA256_LEN], const struct bs_jwe *jwe);

/* ---- a256gcm.c --------------------------------------------------------------------------------------------------- */

/*
 * Encrypt @in to @out and set @tag, or decrypt it and check @tag, with @aad as additional data. Return false if OpenSSL
 * failed or the tag is wrong; @out is then wiped. Source: RFC 7518 section 5.3.
 */
struct bs_a256gcm {
    const struct blobseal_secret32 *cek;
    const uint8_t *iv; /* BS_JWE_IV_LEN bytes */
    struct bs_slice aad;
};
bool bs_a256gcm_encrypt(const struct bs_a256gcm *g, uint8_t *out, struct bs_slice in, uint8_t tag[BS_JWE_TAG_LEN]);
bool bs_a256gcm_decrypt(const struct bs_a256gcm *g, uint8_t *out, struct bs_slice in,
                        const uint8_t tag[BS_JWE_TAG_LEN]);

#endif
