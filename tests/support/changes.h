/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs whose recipients are changed, in each layout, with a set of keys of which some are public only. */
#ifndef TESTS_CHANGES_H
#define TESTS_CHANGES_H

#include "tests/support/disk.h"

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

#define NUM_KEYS 70

/* Key number i has a kid of its own, and cannot unwrap what others wrapped. Its public half has the same kid. */
extern struct fake_kek fakes[NUM_KEYS], public_fakes[NUM_KEYS];
extern struct blobseal_kek *keys[NUM_KEYS], *public_keys[NUM_KEYS];

void keys_start(void);
void keys_end(void);

/* ---- Blobs ------------------------------------------------------------------------------------------------------- */

/* Where the envelope is: the four ways to change it. */
enum way { WAY_COMPACT, WAY_AB, WAY_DETACHED, WAY_ENVELOPE_ALONE, NUM_WAYS };

extern const char *const way_names[NUM_WAYS];

struct kept {
    enum way way;
    uint8_t *blob; /* with its frame, or the core alone */
    size_t len;
    char *envelope; /* if it is not in the blob */
    size_t envelope_len;
};

#define KEPT_PLAIN 300

/* Seal KEPT_PLAIN bytes for @num keys from number 0 on. */
void kept_make(struct kept *k, enum way way, size_t num);

/* The blob of @r with envelope @text of generation @generation. */
void kept_from(struct kept *k, enum way way, const struct recipe *r, const char *text, uint64_t generation);
void kept_clear(struct kept *k);

/* Open all of it, and return the status. Abort if it opens and the plaintext is wrong. */
enum blobseal_status kept_open(const struct kept *k, struct blobseal_kek *kek);

/*
 * Change it in its own way, and keep the result. Abort if a failure has changed anything, if the core is another one,
 * or if `changed` does not agree with the bytes.
 */
enum blobseal_status kept_change(struct kept *k, struct blobseal_kek *const *keks, size_t num,
                                 const struct blobseal_change *change, struct blobseal_change_result **result,
                                 struct blobseal_error *err);

/* Return the text of the envelope that counts, from the frame or from outside. Borrowed; *len receives its length. */
const char *kept_envelope(const struct kept *k, size_t *len);

#endif
