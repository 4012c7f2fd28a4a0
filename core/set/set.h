/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set: encryption sets. A set is a local, trusted definition and a stored object, which is not trusted. Section numbers
 * refer to FORMAT.md.
 */
#ifndef BLOBSEAL_SET_MODULE_H
#define BLOBSEAL_SET_MODULE_H

#include "core/base/base.h"
#include "core/envelope/envelope.h"
#include "core/jwe/jwe.h"
#include "kek/kek.h"

#define BS_SET_ID_LEN         16
#define BS_SET_CHECK_LEN      9
#define BS_SET_MAX_KEYS       256
#define BS_SET_MAX_GENERATION (((uint64_t)1 << 53) - 1)
#define BS_SET_KID_PREFIX     "blobseal-set:"
#define BS_SET_MAX_KID        59 /* the prefix, 22 characters, "/", up to 10 digits, "/", 12 characters */

/* ---- keys.c: the keys and their names (section 11.1) ------------------------------------------------------------- */

struct bs_set_key {
    struct blobseal_secret32 k;
    uint32_t n;
    uint8_t check[BS_SET_CHECK_LEN];
    uint64_t made; /* seconds since 1970 */
};

/* The keys of a set, in the order of section 11.2. The newest is the last one. Secret memory. */
struct bs_set_keys {
    uint8_t id[BS_SET_ID_LEN];
    uint64_t rotated; /* when the KEK or its version was last exchanged, in seconds since 1970 */
    size_t num, cap;
    struct bs_set_key list[];
};

/* Allocate room for @cap keys. Release with blobseal_secret_free(). Return NULL if there is no memory. */
struct bs_set_keys *bs_set_keys_new(size_t cap);

/* Compute the id of the set whose key 1 is @first, and the check of key @n. Return false if there is no memory. */
BLOBSEAL_MUST_USE bool bs_set_id(uint8_t id[BS_SET_ID_LEN], const struct blobseal_secret32 *first);
BLOBSEAL_MUST_USE bool bs_set_check(uint8_t check[BS_SET_CHECK_LEN], const uint8_t id[BS_SET_ID_LEN], uint32_t n,
                                    const struct blobseal_secret32 *key);

/* Write the key id of a set key, zero-terminated. */
void bs_set_kid(char out[BS_SET_MAX_KID + 1], const uint8_t id[BS_SET_ID_LEN], uint32_t n,
                const uint8_t check[BS_SET_CHECK_LEN]);

/* Parse a key id. Return false unless it has the form of section 11.1 and names the set @id. */
BLOBSEAL_MUST_USE bool bs_set_kid_parse(const char *kid, const uint8_t id[BS_SET_ID_LEN], uint32_t *n,
                                        uint8_t check[BS_SET_CHECK_LEN]);

/* Find a key. Return NULL if the set does not have it. */
const struct bs_set_key *bs_set_find(const struct bs_set_keys *keys, uint32_t n, const uint8_t check[BS_SET_CHECK_LEN]);

/* Return true if the order and the numbers of the keys are as section 11.2 says. */
BLOBSEAL_MUST_USE bool bs_set_in_order(const struct bs_set_keys *keys);

/* Add a random key, made at @now; if it is the first one, it gives the set its id. Errors: E_POLICY if the set is full,
 * those of bs_random(). */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_keys_add(struct bs_set_keys *keys, uint64_t now,
                                                       struct blobseal_error *err);

/* Add the keys of @more, which is the same set, that @keys does not have. Errors: E_POLICY if the set is full. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_keys_merge(struct bs_set_keys *keys, const struct bs_set_keys *more,
                                                         struct blobseal_error *err);

/* ---- object.c: the stored object (section 11.2) ------------------------------------------------------------------ */

struct bs_set_object {
    struct bs_jwe jwe;
    uint64_t generation;
    uint8_t id[BS_SET_ID_LEN];
    uint8_t rcpt[BS_SHA256_LEN];
    uint8_t sha256[BS_SHA256_LEN]; /* of the whole object */
};

/*
 * Parse an object, and check all that needs no key. @id: the set that it must be of; NULL: any. Release with
 * bs_set_object_clear(), also after a failure. Errors: E_FORMAT, E_UNSUPPORTED, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_object_parse(struct bs_set_object *o, const char *text, size_t len,
                                                           const uint8_t id[BS_SET_ID_LEN], struct blobseal_error *err);
void bs_set_object_clear(struct bs_set_object *o);

/*
 * Open a parsed object with one of @keks, and check everything up to step 3 of section 11.2. @by may be NULL. Release
 * *@keys with blobseal_secret_free(). Errors: those of bs_jwe_open(), with texts about a set; E_FORMAT.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_object_open(struct bs_set_keys **keys, const struct bs_set_object *o,
                                                          struct bs_keks keks, struct bs_jwe_opener *by,
                                                          struct blobseal_error *err);

/*
 * Write an object with @keys for all of @keks, with a fresh CEK. Release *@text, which is zero-terminated, with free().
 * Errors: E_POLICY if it does not fit or the generation cannot grow; E_CONFIG if a KEK is a set; E_ARG if a KEK appears
 * twice; those of providers.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_object_write(char **text, size_t *len, const struct bs_set_keys *keys,
                                                           uint64_t generation, struct bs_keks keks,
                                                           struct blobseal_error *err);

/* Fill @err with the text for an object that is not authentic. Return E_AUTH. */
enum blobseal_status bs_set_not_authentic(struct blobseal_error *err);

#endif
