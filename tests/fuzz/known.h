/* SPDX-License-Identifier: Apache-2.0 */
/* The known blobs of fuzz_open.c, made from seeds: it accepts no others. make_corpus.c writes them to files. */
#ifndef TESTS_FUZZ_KNOWN_H
#define TESTS_FUZZ_KNOWN_H

#include "tests/support/blobs.h"

#define NUM_KNOWN 4
#define KNOWN_KID "fuzz-key"

static const struct known_kind {
    size_t plain_len;
    unsigned segments;
    enum blobseal_layout layout;
} known_kinds[NUM_KNOWN] = {
    {40, 1, BLOBSEAL_LAYOUT_COMPACT},
    {0, 0, BLOBSEAL_LAYOUT_COMPACT},
    {7, 1, BLOBSEAL_LAYOUT_AB},
    {16384 + 5, 1, BLOBSEAL_LAYOUT_COMPACT},
};

struct known {
    struct recipe r;
    uint8_t *plain, *core, *blob;
    size_t plain_len, core_len, len;
    char *envelope;
};

/* Everything but the envelope is the same in every process. */
static void known_make(struct known *k, unsigned index, struct blobseal_kek *kek)
{
    const struct known_kind *kind = &known_kinds[index];

    recipe_make(&k->r, 1000 + index, kind->segments);
    k->plain_len = kind->plain_len;
    k->plain = (uint8_t *)must_alloc(kind->plain_len);
    fill_random(k->plain, k->plain_len, 2000 + index);
    k->core = recipe_core(&k->r, k->plain, k->plain_len, &k->core_len);
    k->envelope = recipe_envelope(&k->r, 1, &kek, 1);
    k->blob = put_in_frame(&k->r.core, kind->layout, (struct slot_text){k->envelope, 1},
                           (struct slot_text){k->envelope, 1}, k->core, k->core_len, &k->len);
}

#endif
