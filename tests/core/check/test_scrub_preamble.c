/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Corruption in the frame, the slots, the envelope and the core header is found and named, and does not hide other
 * corruption. Sections 2 and 5.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/suite.h"

SUITE(scrub_preamble, .timeout = 3600);

#define PLAIN_LEN (BS_SEGMENT_LEN + 100)

static struct recipe r;
static struct fake_kek fake[2] = {{.kid = "a"}, {.kid = "b"}};
static struct blobseal_kek *kek[2];
static char *jwe[2]; /* generations 1 and 2 */
static uint8_t *core, *blob;
static size_t core_len, len, core_at;

static void frame_it(enum blobseal_layout layout, struct slot_text a, struct slot_text b)
{
    free(blob);
    blob = put_in_frame(&r.core, layout, a, b, core, core_len, &len);
    core_at = core_offset_of(blob, len);
}

static void scene_open(enum blobseal_layout layout)
{
    uint8_t *plain = must_alloc(PLAIN_LEN);

    fill_pattern(plain, PLAIN_LEN);
    recipe_make(&r, 11, 1);
    core = recipe_core(&r, plain, PLAIN_LEN, &core_len);
    free(plain);
    for (unsigned i = 0; i < 2; i++) {
        kek[i] = fake_kek_open(&fake[i]);
        jwe[i] = recipe_envelope(&r, i + 1, &kek[i], 1);
    }
    if (layout == BLOBSEAL_LAYOUT_DETACHED) {
        blob = must_copy(core, core_len);
        len = core_len;
        core_at = 0;
    } else {
        frame_it(layout, (struct slot_text){jwe[0], 1}, (struct slot_text){jwe[0], 1});
    }
}

static void scene_close(void)
{
    free(core);
    free(blob);
    blob = NULL;
    for (unsigned i = 0; i < 2; i++) {
        free(jwe[i]);
        blobseal_kek_close(kek[i]);
    }
}

/* ---- Scrubbing --------------------------------------------------------------------------------------------------- */

#define MAX_FOUND 8

static struct found {
    size_t num;
    struct blobseal_damage d[MAX_FOUND];
    char text[MAX_FOUND][200];
} found;
static struct blobseal_scrub_result result;

static void note(void *ctx, const struct blobseal_damage *d)
{
    cr_assert_eq(ctx, &found);
    cr_assert_lt(found.num, MAX_FOUND, "too much damage: %s", d->text);
    found.d[found.num] = *d;
    (void)snprintf(found.text[found.num], sizeof found.text[0], "%s", d->text);
    found.num++;
}

static enum blobseal_status scrub(bool seekable, size_t n, struct blobseal_error *err)
{
    const struct blobseal_scrub_options o = {.size = sizeof o, .on_damage = note, .on_damage_ctx = &found};
    struct test_source t = {.data = blob, .len = n, .seekable = seekable, .max_piece = seekable ? 0 : 70000};
    struct blobseal_source source;
    enum blobseal_status st;

    found = (struct found){0};
    result = (struct blobseal_scrub_result){.size = sizeof result};
    test_source_start(&source, &t);
    st = blobseal_scrub(&source, &o, &result, err);
    cr_expect_not(t.misused);
    test_source_end(&t);
    return st;
}

struct want {
    enum blobseal_damage_kind kind;
    uint64_t segment, off, length;
};

/* Scrub the first @n bytes from a file and from a pipe, and expect exactly these findings. */
static void expect_in(size_t n, size_t num, const struct want *want, const char *what)
{
    for (int seekable = 1; seekable >= 0; seekable--) {
        struct blobseal_error e = {0};

        cr_assert_eq(scrub(seekable, n, &e), BLOBSEAL_OK, "%s: %s", what, e.text);
        cr_expect_eq(result.ok, num == 0, "%s", what);
        cr_expect_eq(result.damaged, found.num);
        cr_assert_eq(found.num, num, "%s: %zu damages, first: %s", what, found.num, found.text[0]);
        for (size_t i = 0; i < num; i++) {
            cr_expect_eq(found.d[i].kind, want[i].kind, "%s: kind %d", what, found.d[i].kind);
            cr_expect_eq(found.d[i].segment, want[i].segment, "%s", what);
            cr_expect_eq(found.d[i].offset, want[i].off, "%s: offset %llu", what,
                         (unsigned long long)found.d[i].offset);
            cr_expect_eq(found.d[i].length, want[i].length, "%s: length %llu", what,
                         (unsigned long long)found.d[i].length);
            cr_expect_neq(found.text[i][0], '\0');
        }
    }
}

#define NONE BLOBSEAL_NO_SEGMENT

static void expect_one(struct want w, const char *what)
{
    expect_in(len, 1, &w, what);
}

/* ---- Each region ------------------------------------------------------------------------------------------------- */

Test(scrub_preamble, a_sound_blob_has_no_damage_in_any_layout)
{
    const enum blobseal_layout layouts[] = {BLOBSEAL_LAYOUT_AB, BLOBSEAL_LAYOUT_COMPACT, BLOBSEAL_LAYOUT_DETACHED};

    for (size_t i = 0; i < COUNT(layouts); i++) {
        scene_open(layouts[i]);
        expect_in(len, 0, NULL, blobseal_layout_name(layouts[i]));
        cr_expect_eq(result.layout, layouts[i]);
        cr_expect(result.payload_checked);
        cr_expect_eq(result.notes, 0);
        cr_expect_eq(result.bytes, len);
        cr_expect_eq(result.num_segments, 2);
        cr_expect_eq(result.plain_bytes, PLAIN_LEN);
        cr_expect_eq(result.generation, layouts[i] == BLOBSEAL_LAYOUT_DETACHED ? 0 : 1);
        cr_expect_arr_eq(result.blob_id, r.core.blob_id, sizeof result.blob_id);
        scene_close();
    }
}

/* This includes magic, version and checksum: the other bytes determine the original value of a wrong one. */
Test(scrub_preamble, every_byte_of_the_frame_header_is_found_and_the_rest_still_checked)
{
    for (int compact = 0; compact < 2; compact++) {
        scene_open(compact ? BLOBSEAL_LAYOUT_COMPACT : BLOBSEAL_LAYOUT_AB);
        for (size_t i = 0; i < BS_FRAME_HEADER_LEN; i++) {
            char what[64];

            (void)snprintf(what, sizeof what, "byte %zu of the frame header", i);
            blob[i] ^= 0x41;
            expect_one((struct want){BLOBSEAL_DAMAGE_FRAME, NONE, i, 1}, what);
            cr_expect_eq(result.repairable, !compact && i != 8); /* an unknown version is not repaired */
            cr_expect(result.payload_checked);
            blob[i] ^= 0x41;
        }
        scene_close();
    }
}

Test(scrub_preamble, every_byte_of_the_core_header_is_found_and_the_rest_still_checked)
{
    const enum blobseal_layout layouts[] = {BLOBSEAL_LAYOUT_AB, BLOBSEAL_LAYOUT_DETACHED};

    for (size_t k = 0; k < COUNT(layouts); k++) {
        scene_open(layouts[k]);
        for (size_t i = 0; i < BS_CORE_HEADER_LEN; i++) {
            char what[64];

            (void)snprintf(what, sizeof what, "byte %zu of the core header", i);
            blob[core_at + i] ^= 0x80;
            expect_one((struct want){BLOBSEAL_DAMAGE_CORE_HEADER, NONE, core_at + i, 1}, what);
            cr_expect(result.payload_checked);
            blob[core_at + i] ^= 0x80;
        }
        scene_close();
    }
}

Test(scrub_preamble, each_slot_is_named)
{
    scene_open(BLOBSEAL_LAYOUT_AB);

    uint32_t capacity = bs_load32(blob + 16);
    const size_t places[] = {0, 4, 8, 16, BS_SLOT_HEADER_LEN, BS_SLOT_HEADER_LEN + 100, capacity - 1};

    for (unsigned slot = 0; slot < 2; slot++)
        for (size_t i = 0; i < COUNT(places); i++) {
            uint64_t off = BS_AB_SLOT_OFFSET + (uint64_t)slot * capacity;

            blob[off + places[i]] ^= 1;
            expect_one((struct want){BLOBSEAL_DAMAGE_SLOT, NONE, off, capacity}, "a slot");
            cr_expect_eq(result.notes, BLOBSEAL_NOTE_SLOT_INVALID);
            cr_expect_eq(result.generation, 1);
            cr_expect(result.repairable);
            cr_expect(strstr(found.text[0], slot == 0 ? "slot A" : "slot B") != NULL, "%s", found.text[0]);
            blob[off + places[i]] ^= 1;
        }
    blob[BS_AB_SLOT_OFFSET + 30] ^= 1;
    blob[BS_AB_SLOT_OFFSET + capacity + 30] ^= 1;
    expect_in(len, 2,
              (struct want[]){{BLOBSEAL_DAMAGE_SLOT, NONE, BS_AB_SLOT_OFFSET, capacity},
                              {BLOBSEAL_DAMAGE_SLOT, NONE, BS_AB_SLOT_OFFSET + capacity, capacity}},
              "both slots");
    cr_expect_eq(result.generation, 0);
    cr_expect_not(result.repairable);
    cr_expect(result.payload_checked);
    scene_close();
}

Test(scrub_preamble, the_only_slot)
{
    scene_open(BLOBSEAL_LAYOUT_COMPACT);
    blob[200] ^= 4;
    expect_one((struct want){BLOBSEAL_DAMAGE_SLOT, NONE, BS_FRAME_HEADER_LEN, core_at - BS_FRAME_HEADER_LEN},
               "the only slot");
    cr_expect(result.payload_checked);
    scene_close();
}

Test(scrub_preamble, padding_of_the_frame)
{
    scene_open(BLOBSEAL_LAYOUT_AB);
    blob[BS_FRAME_HEADER_LEN] = 1;
    expect_one((struct want){BLOBSEAL_DAMAGE_FRAME, NONE, 64, 1}, "the first byte");
    blob[BS_FRAME_HEADER_LEN] = 0;
    blob[1000] = blob[1003] = 7;
    expect_one((struct want){BLOBSEAL_DAMAGE_FRAME, NONE, 1000, 4}, "a few bytes");
    cr_expect(result.repairable);
    blob[1000] = blob[1003] = 0;
    blob[BS_AB_SLOT_OFFSET - 1] = 0xFF;
    expect_one((struct want){BLOBSEAL_DAMAGE_FRAME, NONE, BS_AB_SLOT_OFFSET - 1, 1}, "the last byte");
    scene_close();
}

/* ---- More than one byte ------------------------------------------------------------------------------------------ */

Test(scrub_preamble, a_lost_frame_header_hides_neither_slots_nor_payload)
{
    uint32_t capacity;

    for (int compact = 0; compact < 2; compact++) {
        scene_open(compact ? BLOBSEAL_LAYOUT_COMPACT : BLOBSEAL_LAYOUT_AB);
        capacity = bs_load32(blob + 16);
        for (int magic = 0; magic < 2; magic++) {
            memset(blob + (magic ? 8 : 0), 0, BS_FRAME_HEADER_LEN - (magic ? 8 : 0));
            if (magic)
                memcpy(blob,
                       "\x89"
                       "BSK\r\n\x1A\n\x01\x01",
                       10);
            expect_one((struct want){BLOBSEAL_DAMAGE_FRAME, NONE, 0, BS_FRAME_HEADER_LEN}, "the frame header");
            cr_expect(result.payload_checked);
            cr_expect_eq(result.generation, 1);
            cr_expect_eq(result.layout, compact ? BLOBSEAL_LAYOUT_COMPACT : BLOBSEAL_LAYOUT_AB);
        }
        blob[core_at - 1] ^= 1;
        blob[len - 1] ^= 1;
        expect_in(len, 3,
                  (struct want[]){
                      {BLOBSEAL_DAMAGE_FRAME, NONE, 0, BS_FRAME_HEADER_LEN},
                      {BLOBSEAL_DAMAGE_SLOT, NONE, core_at - capacity, capacity},
                      {BLOBSEAL_DAMAGE_SEGMENT, 1, core_at + bs_chunk_offset(&r.core, 64), 100 + 16 + 8},
                  },
                  "all three");
        scene_close();
    }
}

/* The frame contains the blob id, which is the seed of the checksums. */
Test(scrub_preamble, a_lost_core_header_after_a_frame_does_not_hide_the_payload)
{
    scene_open(BLOBSEAL_LAYOUT_AB);
    memset(blob + core_at, 0xEE, BS_CORE_HEADER_LEN);
    blob[core_at + 200] ^= 1;
    expect_in(len, 2,
              (struct want[]){{BLOBSEAL_DAMAGE_CORE_HEADER, NONE, core_at, BS_CORE_HEADER_LEN},
                              {BLOBSEAL_DAMAGE_SEGMENT, 0, core_at + 96, bs_segment_stride(&r.core)}},
              "header and segment");
    cr_expect(result.payload_checked);
    scene_close();
}

/* Without the blob id every checksum would look wrong, although nothing is damaged. */
Test(scrub_preamble, a_lost_header_of_a_detached_core_leaves_the_payload_unchecked)
{
    scene_open(BLOBSEAL_LAYOUT_DETACHED);
    memset(blob + 16, 0xEE, 40);
    expect_one((struct want){BLOBSEAL_DAMAGE_CORE_HEADER, NONE, 0, BS_CORE_HEADER_LEN}, "the header");
    cr_expect_not(result.payload_checked);
    cr_expect_eq(result.bytes, len);
    scene_close();
}

/* In a file, checksums that match show that the blob has checksums. */
Test(scrub_preamble, a_header_that_still_has_the_blob_id_lets_the_payload_be_checked)
{
    struct blobseal_error e;

    scene_open(BLOBSEAL_LAYOUT_DETACHED);
    memset(blob + 32, 0xEE, 40);
    blob[200] ^= 1;
    cr_expect_eq(scrub(true, len, &e), BLOBSEAL_OK);
    cr_expect_eq(found.num, 2);
    cr_expect_eq(found.d[1].segment, 0);
    cr_expect(result.payload_checked);
    cr_expect_eq(scrub(false, len, &e), BLOBSEAL_OK);
    cr_expect_eq(found.num, 1);
    cr_expect_not(result.payload_checked);
    scene_close();
}

Test(scrub_preamble, a_lost_header_of_a_blob_without_checksums)
{
    uint8_t *plain = must_alloc(PLAIN_LEN);
    struct blobseal_error e;

    scene_open(BLOBSEAL_LAYOUT_AB);
    free(core);
    recipe_make(&r, 11, 0);
    core = recipe_core(&r, plain, PLAIN_LEN, &core_len);
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){jwe[0], 1}, (struct slot_text){jwe[0], 1});
    memset(blob + core_at, 0, BS_CORE_HEADER_LEN);
    expect_one((struct want){BLOBSEAL_DAMAGE_CORE_HEADER, NONE, core_at, BS_CORE_HEADER_LEN}, "the header");
    cr_expect_not(result.payload_checked);
    memset(blob + core_at, 0xEE, BS_CORE_HEADER_LEN);
    cr_expect_eq(scrub(true, len, &e), BLOBSEAL_OK);
    cr_expect_not(result.payload_checked);
    free(plain);
    scene_close();
}

Test(scrub_preamble, nothing_is_found_after_a_lost_frame_and_a_lost_core_header)
{
    scene_open(BLOBSEAL_LAYOUT_AB);
    memset(blob + 16, 0xEE, 40);
    memset(blob + core_at, 0xEE, 40);
    expect_one((struct want){BLOBSEAL_DAMAGE_FRAME, NONE, 0, BS_FRAME_HEADER_LEN}, "both");
    cr_expect_not(result.payload_checked);
    cr_expect_eq(result.layout, BLOBSEAL_LAYOUT_AUTO);
    scene_close();
}

/* ---- Envelopes --------------------------------------------------------------------------------------------------- */

Test(scrub_preamble, an_unfinished_change_is_a_note)
{
    scene_open(BLOBSEAL_LAYOUT_AB);
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){jwe[0], 1}, (struct slot_text){jwe[1], 2});
    expect_in(len, 0, NULL, "unfinished");
    cr_expect_eq(result.notes, BLOBSEAL_NOTE_UNFINISHED);
    cr_expect_eq(result.generation, 2);
    scene_close();
}

Test(scrub_preamble, a_tie_is_a_note)
{
    char *other;

    scene_open(BLOBSEAL_LAYOUT_AB);
    other = recipe_envelope(&r, 1, &kek[1], 1);
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){jwe[0], 1}, (struct slot_text){other, 1});
    expect_in(len, 0, NULL, "a tie");
    cr_expect_eq(result.notes, BLOBSEAL_NOTE_UNFINISHED | BLOBSEAL_NOTE_TIE);
    free(other);
    scene_close();
}

Test(scrub_preamble, envelopes_that_are_none_of_this_blob)
{
    struct recipe other;
    char *text;

    scene_open(BLOBSEAL_LAYOUT_AB);
    recipe_make(&other, 12, 1);
    text = recipe_envelope(&other, 1, &kek[0], 1);
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){text, 1}, (struct slot_text){text, 1});
    expect_one((struct want){BLOBSEAL_DAMAGE_ENVELOPE, NONE, BS_AB_SLOT_OFFSET + BS_SLOT_HEADER_LEN, strlen(text)},
               "of another blob");
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){jwe[0], 7}, (struct slot_text){jwe[0], 7});
    expect_one((struct want){BLOBSEAL_DAMAGE_ENVELOPE, NONE, BS_AB_SLOT_OFFSET + BS_SLOT_HEADER_LEN, strlen(jwe[0])},
               "of another generation");
    frame_it(BLOBSEAL_LAYOUT_COMPACT, (struct slot_text){"{}", 1}, (struct slot_text){0});
    expect_one((struct want){BLOBSEAL_DAMAGE_ENVELOPE, NONE, BS_FRAME_HEADER_LEN + BS_SLOT_HEADER_LEN, 2}, "malformed");
    cr_expect(result.payload_checked);
    free(text);
    scene_close();
}

Test(scrub_preamble, a_frame_before_another_blob)
{
    scene_open(BLOBSEAL_LAYOUT_AB);
    blob[24] ^= 1; /* the blob id in the frame */
    refix(blob, core_at);
    expect_in(len, 1, (struct want[]){{BLOBSEAL_DAMAGE_FRAME, NONE, 0, core_at}}, "a frame of another blob");
    scene_close();
}

/* A newer version may have written it. That is not damage, and the payload can still be checked. */
Test(scrub_preamble, an_envelope_of_a_newer_version_is_a_note_in_either_of_two_that_tie)
{
    const uint32_t tie = BLOBSEAL_NOTE_UNFINISHED | BLOBSEAL_NOTE_TIE;
    char *newer;

    scene_open(BLOBSEAL_LAYOUT_AB);
    newer = of_a_later_version(jwe[0]);
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){newer, 1}, (struct slot_text){newer, 1});
    expect_in(len, 0, NULL, "another version");
    cr_expect_eq(result.notes, BLOBSEAL_NOTE_ENVELOPE);
    cr_expect(result.payload_checked);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t off = BS_AB_SLOT_OFFSET + i * (uint64_t)bs_load32(blob + 16) + BS_SLOT_HEADER_LEN;

        frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){i ? jwe[0] : newer, 1},
                 (struct slot_text){i ? newer : jwe[0], 1});
        expect_in(len, 0, NULL, "another version in one of two");
        cr_expect_eq(result.notes, tie | BLOBSEAL_NOTE_ENVELOPE, "slot %u", i);
        frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){i ? jwe[0] : "{}", 1},
                 (struct slot_text){i ? "{}" : jwe[0], 1});
        expect_one((struct want){BLOBSEAL_DAMAGE_ENVELOPE, NONE, off, 2}, "one of two is malformed");
        cr_expect_eq(result.notes, tie, "slot %u", i);
    }
    free(newer);
    scene_close();
}

/* ---- Truncated, and not a blob -------------------------------------------------------------------------------------
 */

Test(scrub_preamble, truncated_at_every_length_of_the_preamble)
{
    const enum blobseal_layout layouts[] = {BLOBSEAL_LAYOUT_COMPACT, BLOBSEAL_LAYOUT_DETACHED};

    for (size_t k = 0; k < COUNT(layouts); k++) {
        scene_open(layouts[k]);
        for (size_t n = 0; n < core_at + BS_CORE_HEADER_LEN; n++) {
            struct blobseal_error e = {0};
            char what[64];

            (void)snprintf(what, sizeof what, "%s, %zu bytes", blobseal_layout_name(layouts[k]), n);
            if (n >= 8) {
                expect_in(n, 1, (struct want[]){{BLOBSEAL_DAMAGE_END, NONE, n, 0}}, what);
                cr_expect_not(result.payload_checked);
                cr_expect_eq(result.bytes, n);
                continue;
            }
            cr_expect_eq(scrub(true, n, &e), BLOBSEAL_E_FORMAT, "%s", what);
            cr_expect_eq(scrub(false, n, &e), BLOBSEAL_E_FORMAT, "%s", what);
            cr_expect_not(result.ok);
        }
        scene_close();
    }
}

Test(scrub_preamble, what_is_no_blob_is_an_error)
{
    struct blobseal_error e = {0};

    scene_open(BLOBSEAL_LAYOUT_DETACHED);
    fill_random(blob, 300000, 5);
    cr_expect_eq(scrub(true, 300000, &e), BLOBSEAL_E_FORMAT);
    cr_expect_eq(found.num, 0);
    memset(blob, 0, 300000);
    cr_expect_eq(scrub(false, 300000, &e), BLOBSEAL_E_FORMAT);
    cr_expect_eq(scrub(true, 0, &e), BLOBSEAL_E_FORMAT);
    cr_expect(strstr(e.text, "empty") != NULL, "%s", e.text);
    scene_close();
}

Test(scrub_preamble, newer_versions_are_an_error)
{
    const size_t at[] = {8, 9}; /* version and layer of a frame, version and suite of a core header */

    for (size_t i = 0; i < COUNT(at); i++)
        for (int in_core = 0; in_core < 2; in_core++) {
            struct blobseal_error e = {0};

            scene_open(BLOBSEAL_LAYOUT_AB);
            blob[(in_core ? core_at : 0) + at[i]] = 2;
            refix(blob, len);
            cr_expect_eq(scrub(true, len, &e), BLOBSEAL_E_UNSUPPORTED, "%zu, %d: %s", at[i], in_core, e.text);
            cr_expect_eq(found.num, 0);
            scene_close();
        }
}

/* ---- Sectors that cannot be read --------------------------------------------------------------------------------- */

static uint64_t bad_from, bad_to;

static enum blobseal_status bad_pread(void *ctx, void *buf, size_t n, uint64_t off, size_t *nread,
                                      struct blobseal_error *err)
{
    (void)ctx;
    *nread = 0;
    if (off < bad_to && off + n > bad_from)
        return blobseal_fail(err, BLOBSEAL_E_INPUT, EIO, "read the disk");
    *nread = off >= len ? 0 : n < len - off ? n : len - (size_t)off;
    memcpy(buf, blob + off, *nread);
    return BLOBSEAL_OK;
}

static void expect_bad(uint64_t from, uint64_t to, size_t num, const struct want *want)
{
    const struct blobseal_scrub_options o = {.size = sizeof o, .on_damage = note, .on_damage_ctx = &found};
    const struct blobseal_source source = {.size = len, .pread = bad_pread};
    struct blobseal_error e = {0};

    bad_from = from;
    bad_to = to;
    found = (struct found){0};
    result = (struct blobseal_scrub_result){.size = sizeof result};
    cr_assert_eq(blobseal_scrub(&source, &o, &result, &e), BLOBSEAL_OK, "%s", e.text);
    cr_assert_eq(found.num, num, "%zu: %s", found.num, found.text[0]);
    for (size_t i = 0; i < num; i++) {
        cr_expect_eq(found.d[i].kind, want[i].kind);
        cr_expect_eq(found.d[i].offset, want[i].off);
        cr_expect_eq(found.d[i].length, want[i].length, "%s: %llu", found.text[i],
                     (unsigned long long)found.d[i].length);
        cr_expect(strstr(found.text[i], "cannot be read") != NULL, "%s", found.text[i]);
    }
}

Test(scrub_preamble, unreadable_sectors_of_the_preamble)
{
    uint32_t capacity;

    scene_open(BLOBSEAL_LAYOUT_AB);
    capacity = bs_load32(blob + 16);
    expect_bad(0, 512, 2,
               (struct want[]){{BLOBSEAL_DAMAGE_FRAME, NONE, 0, BS_FRAME_HEADER_LEN},
                               {BLOBSEAL_DAMAGE_FRAME, NONE, BS_FRAME_HEADER_LEN, 4096 - BS_FRAME_HEADER_LEN}});
    cr_expect(result.payload_checked);
    expect_bad(4096, 4097, 1, (struct want[]){{BLOBSEAL_DAMAGE_SLOT, NONE, 4096, capacity}});
    cr_expect_eq(result.generation, 1);
    cr_expect_not(result.repairable, "a repair has to read it");
    expect_bad(4096 + capacity, 4096 + capacity + 1, 1,
               (struct want[]){{BLOBSEAL_DAMAGE_SLOT, NONE, 4096 + capacity, capacity}});
    expect_bad(core_at, core_at + 1, 1,
               (struct want[]){{BLOBSEAL_DAMAGE_CORE_HEADER, NONE, core_at, BS_CORE_HEADER_LEN}});
    expect_bad(core_at, core_at + 200, 2,
               (struct want[]){{BLOBSEAL_DAMAGE_CORE_HEADER, NONE, core_at, BS_CORE_HEADER_LEN},
                               {BLOBSEAL_DAMAGE_SEGMENT, 0, core_at + 96, bs_segment_stride(&r.core)}});
    scene_close();
}

/* ---- While another process changes the recipients ---------------------------------------------------------------- */

static unsigned looks;

/* The first readings find slot A half written. */
static enum blobseal_status changing_pread(void *ctx, void *buf, size_t n, uint64_t off, size_t *nread,
                                           struct blobseal_error *err)
{
    enum blobseal_status st = bad_pread(ctx, buf, n, off, nread, err);

    if (off == 0 && looks-- > 0)
        ((uint8_t *)buf)[BS_AB_SLOT_OFFSET + 50] ^= 1;
    return st;
}

Test(scrub_preamble, a_slot_that_is_being_written_is_looked_at_again)
{
    const struct blobseal_scrub_options o = {.size = sizeof o, .on_damage = note, .on_damage_ctx = &found};

    scene_open(BLOBSEAL_LAYOUT_AB);
    for (unsigned i = 0; i < 2; i++) {
        const struct blobseal_source source = {.size = len, .pread = changing_pread};

        bad_from = bad_to = 0;
        looks = i == 0 ? 3 : 99;
        found = (struct found){0};
        result = (struct blobseal_scrub_result){.size = sizeof result};
        cr_assert_eq(blobseal_scrub(&source, &o, &result, NULL), BLOBSEAL_OK);
        cr_expect_eq(result.ok, i == 0);
        cr_expect_eq(result.damaged, i);
    }
    scene_close();
}
