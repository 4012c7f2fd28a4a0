/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An attacker who can change a blob and compute its checksums, against a reader. No change is accepted, and only
 * verified plaintext is released before the refusal.
 */
#include <stdlib.h>

#include "tests/support/suite.h"

#define CHUNK  16384u
#define SEALED 16400u
#define MIB    ((size_t)1 << 20)
#define GEN    6u

SUITE_WITH_PLAIN(attacks, 3 * MIB);

enum { FILES = 1, PIPES = 2, BOTH = 3 };

/* A blob built by the test, so that its secrets are available. */
struct target {
    struct recipe r;
    char *envelope;
    uint8_t *blob;
    size_t len, plain_len, core; /* offset of the core */
};

static void target_make(struct target *t, uint64_t seed, enum blobseal_layout layout, unsigned segments,
                        size_t plain_len)
{
    size_t core_len;
    uint8_t *core;

    recipe_make(&t->r, seed, segments);
    t->plain_len = plain_len;
    t->envelope = recipe_envelope(&t->r, GEN, &kek, 1);
    core = recipe_core(&t->r, plain, plain_len, &core_len);
    t->blob = put_in_frame(&t->r.core, layout, (struct slot_text){t->envelope, GEN},
                           (struct slot_text){t->envelope, GEN}, core, core_len, &t->len);
    t->core = t->len - core_len;
    free(core);
}

static void target_clear(struct target *t)
{
    free(t->envelope);
    free(t->blob);
}

static bool is_refusal(enum blobseal_status st)
{
    return st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_DAMAGED || st == BLOBSEAL_E_AUTH ||
           st == BLOBSEAL_E_UNSUPPORTED || st == BLOBSEAL_E_NO_KEY;
}

/* Open @blob from a file or a pipe. Whatever is released must be a prefix of the plaintext. */
static enum blobseal_status open_one(const uint8_t *blob, size_t len, bool pipe, uint32_t *notes)
{
    const struct how_to_open how = {.sequential = pipe};
    struct blobseal_error err;
    struct opened o;
    enum blobseal_status st = open_bytes(&o, blob, len, &kek, 1, &how, &err);

    cr_assert(o.len <= 3 * MIB && (o.len == 0 || memcmp(o.data, plain, o.len) == 0), "what came out is not plaintext");
    cr_assert(st == BLOBSEAL_OK || is_refusal(st), "%s: %s", blobseal_status_code(st), err.text);
    if (notes != NULL)
        *notes = o.notes;
    opened_clear(&o);
    return st;
}

static void expect_refused(const uint8_t *blob, size_t len, int modes, const char *what, size_t where)
{
    if ((modes & FILES) != 0)
        cr_assert_neq(open_one(blob, len, false, NULL), BLOBSEAL_OK, "accepted from a file: %s %zu", what, where);
    if ((modes & PIPES) != 0)
        cr_assert_neq(open_one(blob, len, true, NULL), BLOBSEAL_OK, "accepted from a pipe: %s %zu", what, where);
}

static void expect_opens(const struct target *t, const uint8_t *blob)
{
    for (int pipe = 0; pipe <= 1; pipe++)
        cr_assert_eq(open_one(blob, t->len, pipe == 1, NULL), BLOBSEAL_OK, "an untouched blob opens");
}

/* ---- Flipped bits ------------------------------------------------------------------------------------------------ */

/* Flip each bit of a compact blob, with and without recomputing the checksums. */
static void flip_all(size_t plain_len, unsigned segments, bool fix, int modes)
{
    struct target t;
    uint8_t *copy;

    target_make(&t, 10, BLOBSEAL_LAYOUT_COMPACT, segments, plain_len);
    expect_opens(&t, t.blob);
    copy = must_copy(t.blob, t.len);
    for (size_t bit = 0; bit < 8 * t.len; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (fix)
            refix(copy, t.len);
        if (memcmp(copy, t.blob, t.len) != 0) /* a bit of a checksum, which was then recomputed */
            expect_refused(copy, t.len, modes, "bit", bit);
        if (fix)
            memcpy(copy, t.blob, t.len);
        else
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(copy);
    target_clear(&t);
}

Test(attacks, every_bit_from_a_file)
{
    flip_all(100, 1, false, FILES);
}

Test(attacks, every_bit_from_a_pipe)
{
    flip_all(100, 1, false, PIPES);
}

Test(attacks, every_bit_with_right_checksums_from_a_file)
{
    flip_all(100, 1, true, FILES);
}

Test(attacks, every_bit_with_right_checksums_from_a_pipe)
{
    flip_all(100, 1, true, PIPES);
}

Test(attacks, every_bit_of_a_blob_without_plaintext)
{
    flip_all(0, 0, false, FILES);
    flip_all(0, 1, true, FILES);
}

/* Flip one bit in each byte of a larger payload. The preamble is tested above. */
Test(attacks, a_bit_in_every_byte_of_two_chunks)
{
    struct target t;

    target_make(&t, 11, BLOBSEAL_LAYOUT_COMPACT, 1, CHUNK + 300);
    for (size_t i = t.core + 96; i < t.len; i++) {
        uint64_t sum = bs_load64(t.blob + t.len - 8);

        t.blob[i] ^= (uint8_t)(1u << i % 8);
        if (i % 2 == 0)
            refix(t.blob, t.len);
        if (i % 2 == 1 || i < t.len - 8)
            expect_refused(t.blob, t.len, i % 16 < 2 ? BOTH : FILES, "byte", i);
        t.blob[i] ^= (uint8_t)(1u << i % 8);
        bs_store64(t.blob + t.len - 8, sum);
    }
    expect_opens(&t, t.blob);
    target_clear(&t);
}

/*
 * In an A/B blob, a flip inside one slot is tolerated and reported with a note; any other is refused. Each bit up to
 * the end of the first slot is tried, and fewer after it and where all bytes are zero.
 */
static void flip_ab(bool fix)
{
    struct target t;
    uint8_t *copy;
    unsigned survived = 0;

    target_make(&t, 12, BLOBSEAL_LAYOUT_AB, 1, 100);
    expect_opens(&t, t.blob);
    copy = must_copy(t.blob, t.len);
    for (size_t bit = 0; bit < 8 * t.len; bit += t.blob[bit / 8] == 0 && bit / 8 < t.core ? 8
                                                 : bit / 8 < 8192                         ? 1
                                                                                          : 5) {
        bool in_slot = bit / 8 >= 4096 && bit / 8 < t.core;
        enum blobseal_status st;
        uint32_t notes;

        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (fix)
            refix(copy, t.len);
        if (memcmp(copy, t.blob, t.len) != 0) {
            st = open_one(copy, t.len, bit % 64 == 0, &notes);
            if (fix)
                cr_assert(st != BLOBSEAL_OK || (in_slot && notes != 0), "bit %zu: accepted, notes %x", bit, notes);
            else if (in_slot)
                cr_assert(st == BLOBSEAL_OK && notes == BLOBSEAL_NOTE_SLOT_INVALID, "bit %zu: %s, notes %x", bit,
                          blobseal_status_code(st), notes);
            else
                cr_assert_neq(st, BLOBSEAL_OK, "bit %zu", bit);
            survived += st == BLOBSEAL_OK ? 1 : 0;
        }
        memcpy(copy + bit / 8, t.blob + bit / 8, 1);
        if (fix)
            memcpy(copy, t.blob, t.len);
    }
    cr_assert_gt(survived, 8000);
    free(copy);
    target_clear(&t);
}

Test(attacks, one_slot_may_be_corrupt)
{
    flip_ab(false);
}

Test(attacks, one_slot_may_be_forged)
{
    flip_ab(true);
}

Test(attacks, random_flips)
{
    struct target t;
    uint64_t random = 4711;
    uint8_t *copy;

    target_make(&t, 13, BLOBSEAL_LAYOUT_COMPACT, 1, 2 * CHUNK + 1000);
    copy = must_alloc(t.len);
    for (unsigned i = 0; i < 10000; i++) {
        size_t flips = 1 + random_below(&random, 64);
        size_t within = i % 2 == 0 ? t.len : t.core + 96; /* in half of the cases, only before the payload */

        memcpy(copy, t.blob, t.len);
        for (size_t k = 0; k < flips; k++) {
            size_t bit = random_below(&random, 8 * within);

            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        if (i % 3 == 0)
            refix(copy, t.len);
        if (memcmp(copy, t.blob, t.len) != 0)
            expect_refused(copy, t.len, i % 8 == 0 ? BOTH : FILES, "random flips, round", i);
    }
    free(copy);
    target_clear(&t);
}

/* ---- Length ------------------------------------------------------------------------------------------------------ */

/* Truncate a blob at every length that is a multiple of @step, with and without recomputing the remaining checksums. */
static void cut_it(unsigned segments, size_t plain_len, size_t step)
{
    struct target t;
    uint8_t *copy;

    target_make(&t, 14, BLOBSEAL_LAYOUT_COMPACT, segments, plain_len);
    for (size_t len = 0; len < t.len; len += step) {
        expect_refused(t.blob, len, BOTH, "truncated at", len);
        if (segments == 0 || len < t.core + 96 + 24)
            continue;
        copy = must_copy(t.blob, len);
        refix(copy, len);
        expect_refused(copy, len, BOTH, "truncated, checksums right, at", len);
        free(copy);
    }
    target_clear(&t);
}

Test(attacks, truncated_at_every_length)
{
    for (unsigned segments = 0; segments <= 1; segments++) {
        cut_it(segments, 2000, 1);
        cut_it(segments, CHUNK + 100, 17);
    }
}

/* Truncate a large blob at every border, and one byte before and after it. */
Test(attacks, truncated_at_every_border)
{
    struct target t;

    for (unsigned segments = 0; segments <= 1; segments++) {
        target_make(&t, 15, BLOBSEAL_LAYOUT_AB, segments, 2 * MIB + CHUNK);
        for (size_t chunk = 0; chunk <= 129; chunk++) {
            size_t at = t.core + (size_t)bs_chunk_offset(&t.r.core, chunk);

            for (size_t len = at - 9; len <= at + 17; len += len == at - 9 || len == at + 1 ? 7 : 1)
                if (len < t.len)
                    expect_refused(t.blob, len, chunk % 8 == 0 ? BOTH : FILES, "truncated at", len);
        }
        target_clear(&t);
    }
}

Test(attacks, bytes_after_the_end)
{
    static const size_t sizes[] = {0, 1, CHUNK - 20, CHUNK - 1, CHUNK, MIB - 1, MIB - 20, MIB};

    for (size_t i = 0; i < 4 * COUNT(sizes); i++) {
        struct target t;
        uint8_t *longer;

        target_make(&t, 16, BLOBSEAL_LAYOUT_COMPACT, (unsigned)i % 2, sizes[i / 4]);
        longer = must_alloc(t.len + 64);
        for (size_t n = 1; n <= 64; n += n < 20 || t.plain_len < CHUNK ? 1 : 9) {
            memcpy(longer, t.blob, t.len);
            if (i / 2 % 2 == 0)
                memset(longer + t.len, 0, n);
            else
                memcpy(longer + t.len, t.blob + t.len - (n < 24 ? n : 24), n < 24 ? n : 24);
            expect_refused(longer, t.len + n, BOTH, "appended", n);
            refix(longer, t.len + n);
            expect_refused(longer, t.len + n, BOTH, "appended, checksums right", n);
        }
        free(longer);
        target_clear(&t);
    }
}

/* A writer with the correct key ends a blob wrongly. The last chunk must always be shorter than the others. */
Test(attacks, the_last_chunk_is_never_full)
{
    static const size_t full[] = {1, 2, 15, 16, 17, 63, 64, 65, 128};

    for (size_t i = 0; i < 2 * COUNT(full); i++) {
        unsigned segments = (unsigned)i % 2;
        size_t n = full[i / 2], end;
        struct target t;

        target_make(&t, 17, BLOBSEAL_LAYOUT_COMPACT, segments, n * CHUNK);
        expect_opens(&t, t.blob);
        end = t.core + (size_t)bs_chunk_offset(&t.r.core, n - 1) + SEALED; /* after the last full chunk */
        expect_refused(t.blob, end, BOTH, "full chunks", n);
        if (segments == 1) {
            refix(t.blob, end + 8);
            expect_refused(t.blob, end + 8, BOTH, "full chunks and a checksum", n);
        }
        target_clear(&t);
    }
}

/* Chunks after the last one are sealed with the correct key. */
Test(attacks, nothing_follows_the_last_chunk)
{
    static const size_t lens[] = {0, 1, 100};

    for (size_t i = 0; i < COUNT(lens); i++) {
        struct bs_chunked c = {0};
        struct target t;
        uint8_t *longer;
        size_t len;

        target_make(&t, 18, BLOBSEAL_LAYOUT_COMPACT, 0, 50);
        longer = must_alloc(t.len + 200);
        memcpy(longer, t.blob, t.len);
        cr_assert_eq(bs_chunked_init(&c, &t.r.keys, NULL), BLOBSEAL_OK);
        cr_assert(bs_chunked_seal(&c, 1, true, longer + t.len, (struct bs_slice){plain + 50, lens[i]}));
        len = t.len + lens[i] + 16;
        expect_refused(longer, len, BOTH, "a second last chunk of", lens[i]);
        bs_chunked_clear(&c);
        free(longer);
        target_clear(&t);
    }
}

/* ---- Order and origin of chunks ---------------------------------------------------------------------------------- */

static void swap(uint8_t *a, uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t x = a[i];

        a[i] = b[i];
        b[i] = x;
    }
}

Test(attacks, chunks_stay_in_their_place)
{
    for (unsigned segments = 0; segments <= 1; segments++) {
        struct target t;
        uint8_t *copy, *at[130];

        target_make(&t, 19, BLOBSEAL_LAYOUT_COMPACT, segments, 2 * MIB + 5000);
        copy = must_alloc(t.len);
        for (unsigned k = 0; k <= 128; k++)
            at[k] = copy + t.core + bs_chunk_offset(&t.r.core, k);
        for (unsigned i = 0; i < 400; i++) {
            static const unsigned of_interest[] = {0, 1, 15, 16, 63, 64, 65, 127};
            unsigned a = of_interest[i % 8], b = of_interest[i / 8 % 8];
            size_t rest;

            if (a == b)
                continue;
            memcpy(copy, t.blob, t.len);
            rest = t.len - (size_t)(at[a] - copy);
            switch (i / 64) {
            case 0:
                swap(at[a], at[b], SEALED);
                break;
            case 1: /* repeated */
                memcpy(at[a], at[b], SEALED);
                break;
            case 2: /* with the tag of another chunk */
                memcpy(at[a] + CHUNK, at[b] + CHUNK, 16);
                break;
            case 3: /* dropped: the following chunks move up */
                memmove(at[a], at[a] + SEALED, rest - SEALED);
                rest = SEALED;
                break;
            default: /* filled with zeros */
                memset(at[a], 0, SEALED);
                break;
            }
            refix(copy, i / 64 == 3 ? t.len - rest : t.len);
            expect_refused(copy, i / 64 == 3 ? t.len - rest : t.len, i % 4 == 0 ? BOTH : FILES, "case", i);
        }
        memcpy(copy, t.blob, t.len);
        swap(at[0], at[64], (size_t)64 * SEALED);
        refix(copy, t.len);
        expect_refused(copy, t.len, BOTH, "segments swapped", 0);
        memcpy(copy, t.blob, t.len);
        memmove(at[64], at[128], t.len - (size_t)(at[128] - copy));
        refix(copy, t.len - (size_t)(at[128] - at[64]));
        expect_refused(copy, t.len - (size_t)(at[128] - at[64]), BOTH, "a segment dropped", 1);
        free(copy);
        target_clear(&t);
    }
}

/* Copy @len bytes at offset @off of the core of @from to the core of @to. */
static void graft(struct target *to, const struct target *from, size_t off, size_t len)
{
    memcpy(to->blob + to->core + off, from->blob + from->core + off, len);
    refix(to->blob, to->len);
}

Test(attacks, parts_of_two_blobs_do_not_mix)
{
    static const struct {
        const char *what;
        size_t off, len;
    } parts[] = {
        {"blob id", 16, 16},
        {"salt", 32, 24},
        {"commitment", 56, 32},
        {"salt and commitment", 32, 56},
        {"core header", 0, 96},
        {"first chunk", 96, SEALED},
        {"last chunk", 96 + SEALED, 100 + 16},
        {"payload", 96, SEALED + 116},
    };

    for (unsigned same_dek = 0; same_dek <= 1; same_dek++) {
        for (size_t i = 0; i < COUNT(parts); i++) {
            struct target a, b;

            target_make(&a, 20, BLOBSEAL_LAYOUT_COMPACT, 1, CHUNK + 100);
            target_make(&b, 30, BLOBSEAL_LAYOUT_COMPACT, 1, CHUNK + 100);
            if (same_dek == 1) { /* no writer reuses a DEK; context and salt keep the blobs separate even then */
                uint8_t *core;
                size_t len;

                b.r.dek = a.r.dek;
                recipe_derive(&b.r);
                core = recipe_core(&b.r, plain, b.plain_len, &len);
                memcpy(b.blob + b.core, core, len);
                free(core);
            }
            graft(&a, &b, parts[i].off, parts[i].len);
            expect_refused(a.blob, a.len, BOTH, parts[i].what, same_dek);
            target_clear(&a);
            target_clear(&b);
        }
    }
}

Test(attacks, an_envelope_fits_its_own_core_only)
{
    struct how_to_open how = {0};
    struct blobseal_error err;
    struct target a, b;
    struct opened o;
    uint8_t *blob;
    size_t len;

    target_make(&a, 20, BLOBSEAL_LAYOUT_COMPACT, 1, 100);
    target_make(&b, 30, BLOBSEAL_LAYOUT_COMPACT, 1, 100);
    blob = put_in_frame(&b.r.core, BLOBSEAL_LAYOUT_COMPACT, (struct slot_text){a.envelope, GEN}, (struct slot_text){0},
                        b.blob + b.core, b.len - b.core, &len);
    expect_refused(blob, len, BOTH, "the envelope of A before the core of B", 0);
    free(blob);
    blob = put_in_frame(&a.r.core, BLOBSEAL_LAYOUT_COMPACT, (struct slot_text){a.envelope, GEN}, (struct slot_text){0},
                        b.blob + b.core, b.len - b.core, &len);
    expect_refused(blob, len, BOTH, "the frame of A before the core of B", 0);
    free(blob);
    how.envelope = a.envelope;
    how.envelope_len = strlen(a.envelope);
    cr_expect_eq(open_bytes(&o, b.blob, b.len, &kek, 1, &how, &err), BLOBSEAL_E_FORMAT, "named explicitly");
    opened_clear(&o);
    target_clear(&a);
    target_clear(&b);
}

/*
 * Section 6: an old envelope is detected only by a caller who keeps the generation elsewhere. The generation is
 * authentic, so the caller can rely on it.
 */
Test(attacks, an_old_envelope_is_known_by_its_generation)
{
    struct slot_text old, newer;
    struct blobseal_error err;
    struct target t;
    struct opened o;
    uint8_t *blob;
    size_t len;

    target_make(&t, 21, BLOBSEAL_LAYOUT_AB, 1, 100);
    newer = (struct slot_text){recipe_envelope(&t.r, GEN + 1, &kek, 1), GEN + 1};
    for (unsigned fake_generation = 0; fake_generation <= 1; fake_generation++) {
        old = (struct slot_text){t.envelope, GEN + 2 * fake_generation};
        blob = put_in_frame(&t.r.core, BLOBSEAL_LAYOUT_AB, old, fake_generation == 1 ? newer : old, t.blob + t.core,
                            t.len - t.core, &len);
        cr_expect_eq(open_bytes(&o, blob, len, &kek, 1, NULL, &err),
                     fake_generation == 1 ? BLOBSEAL_E_FORMAT : BLOBSEAL_OK, "%s", err.text);
        cr_expect(fake_generation == 1 || o.generation == GEN);
        opened_clear(&o);
        free(blob);
    }
    free((void *)(uintptr_t)newer.text);
    target_clear(&t);
}
