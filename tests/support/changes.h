/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs whose recipients are changed: in each layout, with a set of keys of which some are only public. */
#ifndef TESTS_CHANGES_H
#define TESTS_CHANGES_H

#include "tests/support/disk.h"

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

#define NUM_KEYS 70

/* Key number @i: each has a kid of its own and unwraps nothing of the others. The public half shares its kid. */
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
    char *envelope; /* where it stands outside */
    size_t envelope_len;
};

#define KEPT_PLAIN 300

/* Seal KEPT_PLAIN bytes for @num keys from number 0 on. */
void kept_make(struct kept *k, enum way way, size_t num);

/* The blob of @r with envelope @text of generation @generation. */
void kept_from(struct kept *k, enum way way, const struct recipe *r, const char *text, uint64_t generation);
void kept_clear(struct kept *k);

/* Open all of it: its status; aborts where it opens and the plaintext is wrong. */
enum blobseal_status kept_open(const struct kept *k, struct blobseal_kek *kek);

/*
 * Change it, in the way that it is kept, and keep what comes out. Aborts where a failure has changed anything, where
 * the core is another one, or where `changed` and the bytes do not agree.
 */
enum blobseal_status kept_change(struct kept *k, struct blobseal_kek *const *keks, size_t num,
                                 const struct blobseal_change *change, struct blobseal_change_result **result,
                                 struct blobseal_error *err);

/* Envelope that counts, as text; of the frame or from outside. Borrowed; *len receives its length. */
const char *kept_envelope(const struct kept *k, size_t *len);

#endif
