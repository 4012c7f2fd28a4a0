/* SPDX-License-Identifier: Apache-2.0 */
/* What is before the payload: frames, slots and the choice between them. Sections 1 and 5. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/suite.h"

SUITE(preamble);

#define PLAIN "some plaintext"

/* Two envelopes for keys "a" and "b" of one blob, and that blob's core. */
struct scene {
    struct recipe r;
    struct fake_kek fake[2];
    struct blobseal_kek *kek[2];
    char *for_a, *for_b;
    uint8_t *core;
    size_t core_len;
    uint8_t *blob;
    size_t len;
};

static struct scene s;

static void scene_open(uint64_t generation_a, uint64_t generation_b)
{
    s = (struct scene){.fake = {{.kid = "a"}, {.kid = "b"}}};
    recipe_make(&s.r, 3, 1);
    for (unsigned i = 0; i < 2; i++)
        s.kek[i] = fake_kek_open(&s.fake[i]);
    s.for_a = recipe_envelope(&s.r, generation_a, &s.kek[0], 1);
    s.for_b = recipe_envelope(&s.r, generation_b, &s.kek[1], 1);
    s.core = recipe_core(&s.r, PLAIN, strlen(PLAIN), &s.core_len);
}

static void frame_it(enum blobseal_layout layout, struct slot_text a, struct slot_text b)
{
    free(s.blob);
    s.blob = put_in_frame(&s.r.core, layout, a, b, s.core, s.core_len, &s.len);
}

static void scene_close(void)
{
    free(s.for_a);
    free(s.for_b);
    free(s.core);
    free(s.blob);
    for (unsigned i = 0; i < 2; i++)
        blobseal_kek_close(s.kek[i]);
}

/* Open a blob with both envelopes, of generations 1 and 2. The blob of open_compact() has only the first. */
static void open_ab(void)
{
    scene_open(1, 2);
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){s.for_a, 1}, (struct slot_text){s.for_b, 2});
}

static void open_compact(void)
{
    scene_open(1, 2);
    frame_it(BLOBSEAL_LAYOUT_COMPACT, (struct slot_text){s.for_a, 1}, (struct slot_text){0});
}

static enum blobseal_status read_preamble(struct bs_preamble *f, const uint8_t *p, size_t len, bool sequential,
                                          const char *envelope, struct blobseal_error *err)
{
    struct test_source state = {.data = p, .len = len, .seekable = !sequential, .max_piece = 97};
    struct blobseal_source source;
    struct bs_input in = {&source, 0};
    enum blobseal_status st;

    *err = (struct blobseal_error){0};
    test_source_start(&source, &state);
    source.size = sequential ? BLOBSEAL_SIZE_UNKNOWN : len;
    st = bs_preamble_read(f, &in, envelope, envelope != NULL ? strlen(envelope) : 0, err);
    cr_assert_eq(st, err->status);
    if (st == BLOBSEAL_OK)
        cr_assert_eq(in.pos, f->core_offset + BS_CORE_HEADER_LEN, "the input stands at the payload");
    test_source_end(&state);
    return st;
}

static void expect_read(enum blobseal_status want, const char *what)
{
    struct blobseal_error err;
    struct bs_preamble f;

    for (int sequential = 0; sequential <= 1; sequential++) {
        enum blobseal_status st = read_preamble(&f, s.blob, s.len, sequential != 0, NULL, &err);

        cr_expect_eq(st, want, "%s: %s (%s)", what, blobseal_status_code(st), err.text);
        bs_preamble_clear(&f);
    }
}

/* Open the blob with @num_keks keys from @first on. The notes are those of the reader. */
static enum blobseal_status open_scene(unsigned first, size_t num_keks, struct opened *o, struct blobseal_error *err)
{
    enum blobseal_status st = open_bytes(o, s.blob, s.len, s.kek + first, num_keks, NULL, err);

    cr_assert(st != BLOBSEAL_OK || (o->len == strlen(PLAIN) && memcmp(o->data, PLAIN, o->len) == 0));
    blobseal_free(o->data);
    o->data = NULL;
    return st;
}

/* ---- Which envelope counts --------------------------------------------------------------------------------------- */

static void expect_choice(const char *first, const char *second, uint32_t notes)
{
    struct blobseal_error err;
    struct bs_preamble f;

    cr_assert_eq(read_preamble(&f, s.blob, s.len, true, NULL, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(f.notes, notes, "notes %x", f.notes);
    cr_assert_eq(f.num_candidates, second != NULL ? 2 : 1);
    cr_assert_eq(f.candidates[0].len, strlen(first));
    cr_assert_arr_eq(f.candidates[0].text, first, f.candidates[0].len);
    if (second != NULL)
        cr_assert_arr_eq(f.candidates[1].text, second, strlen(second));
    cr_assert_arr_eq(f.core.raw, s.r.core.raw, sizeof f.core.raw);
    bs_preamble_clear(&f);
}

Test(preamble, layouts_are_told_apart)
{
    struct blobseal_error err;
    struct bs_preamble f;

    open_compact();
    expect_choice(s.for_a, NULL, 0);
    cr_assert_eq(read_preamble(&f, s.blob, s.len, false, NULL, &err), BLOBSEAL_OK);
    cr_expect_eq(f.layout, BLOBSEAL_LAYOUT_COMPACT);
    cr_expect_eq(f.header.slot_capacity, strlen(s.for_a) + 24);
    cr_expect_eq(f.core_offset, strlen(s.for_a) + 24 + 64);
    bs_preamble_clear(&f);

    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){s.for_a, 1}, (struct slot_text){s.for_a, 1});
    expect_choice(s.for_a, NULL, 0);
    cr_assert_eq(read_preamble(&f, s.blob, s.len, false, NULL, &err), BLOBSEAL_OK);
    cr_expect_eq(f.layout, BLOBSEAL_LAYOUT_AB);
    cr_expect_eq(f.header.slot_capacity, 4096);
    cr_expect_eq(f.core_offset, 3 * 4096);
    bs_preamble_clear(&f);

    cr_assert_eq(read_preamble(&f, s.core, s.core_len, false, NULL, &err), BLOBSEAL_OK);
    cr_expect_eq(f.layout, BLOBSEAL_LAYOUT_DETACHED);
    cr_expect_eq(f.num_candidates, 0);
    cr_expect_eq(f.core_offset, 0);
    bs_preamble_clear(&f);
    scene_close();
}

Test(preamble, the_higher_generation_counts_in_either_slot)
{
    struct blobseal_error err;
    struct opened o;

    open_ab();
    expect_choice(s.for_b, NULL, BLOBSEAL_NOTE_UNFINISHED);
    cr_expect_eq(open_scene(1, 1, &o, &err), BLOBSEAL_OK);
    cr_expect_eq(o.generation, 2);
    cr_expect_eq(o.notes, BLOBSEAL_NOTE_UNFINISHED);
    cr_expect_eq(open_scene(0, 1, &o, &err), BLOBSEAL_E_NO_KEY, "a recipient that was removed cannot open it");
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){s.for_b, 2}, (struct slot_text){s.for_a, 1});
    expect_choice(s.for_b, NULL, BLOBSEAL_NOTE_UNFINISHED);
    scene_close();
    scene_open(BS_MAX_GENERATION, BS_MAX_GENERATION - 1);
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){s.for_b, BS_MAX_GENERATION - 1},
             (struct slot_text){s.for_a, BS_MAX_GENERATION});
    expect_choice(s.for_a, NULL, BLOBSEAL_NOTE_UNFINISHED);
    scene_close();
}

/* Replace a character of the tag, which is at the end of an envelope, with another base64url character. */
static void break_tag(char *text, size_t len)
{
    text[len - 4] = text[len - 4] == 'A' ? 'B' : 'A';
}

/* If the newer envelope is refused, the older one is not tried. Otherwise an attacker could bring an older one back. */
Test(preamble, no_falling_back_to_the_older_slot)
{
    struct blobseal_error err;
    struct opened o;

    open_ab();
    break_tag((char *)s.blob + 4096 + 4096 + 24, strlen(s.for_b)); /* in the newer envelope */
    refix(s.blob, s.len);
    cr_expect_eq(open_scene(0, 2, &o, &err), BLOBSEAL_E_AUTH);
    scene_close();

    scene_open(1, 1);
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){s.for_a, 1}, (struct slot_text){"{}", 2});
    cr_expect_eq(open_scene(0, 2, &o, &err), BLOBSEAL_E_FORMAT);
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){s.for_a, 1}, (struct slot_text){s.for_b, 2});
    cr_expect_eq(open_scene(0, 2, &o, &err), BLOBSEAL_E_FORMAT, "the generation of a slot is that of its envelope");
    scene_close();
}

Test(preamble, of_a_tie_the_first_that_opens_counts)
{
    const uint32_t notes = BLOBSEAL_NOTE_UNFINISHED | BLOBSEAL_NOTE_TIE;
    struct blobseal_error err;
    struct opened o;
    char *broken;

    scene_open(5, 5);
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){s.for_a, 5}, (struct slot_text){s.for_b, 5});
    expect_choice(s.for_a, s.for_b, notes);
    for (unsigned i = 0; i < 2; i++) {
        cr_expect_eq(open_scene(i, 1, &o, &err), BLOBSEAL_OK, "%s", err.text);
        cr_expect_eq(o.notes, notes);
    }
    cr_expect_eq(open_scene(0, 2, &o, &err), BLOBSEAL_OK);
    cr_expect_eq(open_scene(0, 0, &o, &err), BLOBSEAL_E_NO_KEY);

    broken = must_copy(s.for_a, strlen(s.for_a) + 1);
    break_tag(broken, strlen(broken));
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){broken, 5}, (struct slot_text){s.for_b, 5});
    cr_expect_eq(open_scene(0, 2, &o, &err), BLOBSEAL_OK, "only the second opens: %s", err.text);
    cr_expect_eq(open_scene(0, 1, &o, &err), BLOBSEAL_E_AUTH, "the error of the first counts");
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){s.for_b, 5}, (struct slot_text){broken, 5});
    cr_expect_eq(open_scene(0, 2, &o, &err), BLOBSEAL_OK);
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){"{}", 5}, (struct slot_text){s.for_b, 5});
    cr_expect_eq(open_scene(0, 2, &o, &err), BLOBSEAL_OK);
    free(broken);
    scene_close();
}

/*
 * Try every pair of envelopes that tie: the blob opens if one of them opens it; otherwise the error is that of the
 * first.
 */
Test(preamble, of_two_tied_envelopes_that_do_not_open_the_first_tells_why)
{
    static const struct {
        enum blobseal_status want;
        const char *what;
    } kinds[] = {{.want = BLOBSEAL_OK, .what = "opens"},
                 {.want = BLOBSEAL_E_UNSUPPORTED, .what = "unsupported"},
                 {.want = BLOBSEAL_E_AUTH, .what = "not authentic"},
                 {.want = BLOBSEAL_E_FORMAT, .what = "malformed"}};
    struct blobseal_error err;
    struct opened o;

    scene_open(5, 5);
    for (size_t i = 0; i < COUNT(kinds); i++)
        for (size_t k = 0; k < COUNT(kinds); k++) {
            enum blobseal_status want = kinds[k].want == BLOBSEAL_OK ? BLOBSEAL_OK : kinds[i].want, st;
            char *texts[2][4] = {{s.for_a, of_a_later_version(s.for_a), must_copy(s.for_a, strlen(s.for_a) + 1)},
                                 {s.for_b, of_a_later_version(s.for_b), must_copy(s.for_b, strlen(s.for_b) + 1)}};

            for (unsigned slot = 0; slot < 2; slot++) {
                break_tag(texts[slot][2], strlen(texts[slot][2]));
                texts[slot][3] = slot == 0 ? "{}" : "[]";
            }
            frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){texts[0][i], 5}, (struct slot_text){texts[1][k], 5});
            st = open_scene(0, 2, &o, &err);
            cr_expect_eq(st, want, "%s, %s: %s", kinds[i].what, kinds[k].what, blobseal_status_code(st));
            cr_expect_eq(err.status, want == BLOBSEAL_OK ? err.status : want);
            if (st == BLOBSEAL_OK)
                cr_expect_eq(o.notes, BLOBSEAL_NOTE_UNFINISHED | BLOBSEAL_NOTE_TIE);
            for (unsigned slot = 0; slot < 2; slot++) {
                free(texts[slot][1]);
                free(texts[slot][2]);
            }
        }
    scene_close();
}

/* The values that make a slot invalid, with their offsets. */
static const struct {
    const char *what;
    size_t at;
    uint64_t value;
    size_t len;
    bool resum; /* the checksum is recomputed */
} slot_faults[] = {
    {"magic", 0, 0, 1, true},
    {"magic, last byte", 3, 0, 1, true},
    {"length 0", 4, 0, 4, true},
    {"length over the capacity", 4, 4096 - 24 + 1, 4, false},
    {"length of 32 bits", 4, 0xFFFFFFFF, 4, false},
    {"generation 0", 8, 0, 8, true},
    {"generation 2^53", 8, (uint64_t)1 << 53, 8, true},
    {"generation 2^64 - 1", 8, UINT64_MAX, 8, true},
    {"checksum", 16, 0, 8, false},
    {"first byte of the envelope", 24, 'x', 1, false},
    {"padding, last byte", 4095, 1, 1, false},
};

static void break_slot(size_t slot, size_t fault)
{
    for (size_t i = 0; i < slot_faults[fault].len; i++)
        s.blob[slot + slot_faults[fault].at + i] = (uint8_t)(slot_faults[fault].value >> (8 * i));
    if (slot_faults[fault].resum)
        refix(s.blob, s.len);
}

Test(preamble, an_invalid_slot_is_skipped)
{
    struct blobseal_error err;
    struct bs_preamble f;

    for (size_t i = 0; i < COUNT(slot_faults); i++) {
        for (unsigned slot = 0; slot < 2; slot++) {
            open_ab();
            break_slot(4096 + 4096 * slot, i);
            expect_choice(slot == 0 ? s.for_b : s.for_a, NULL, BLOBSEAL_NOTE_SLOT_INVALID);
            break_slot(4096 + 4096 * (1 - slot), i);
            cr_expect_eq(read_preamble(&f, s.blob, s.len, false, NULL, &err), BLOBSEAL_E_DAMAGED, "%s",
                         slot_faults[i].what);
            cr_expect_eq(err.advice, BLOBSEAL_ADVICE_RESTORE, "%s", err.hint);
            cr_expect_eq(strtoul(err.subject, NULL, 10), f.core_offset);
            bs_preamble_clear(&f);
            scene_close();
        }
    }
}

Test(preamble, an_empty_slot_is_skipped)
{
    open_ab();
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){0}, (struct slot_text){s.for_b, 2});
    expect_choice(s.for_b, NULL, BLOBSEAL_NOTE_SLOT_INVALID);
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){s.for_a, 1}, (struct slot_text){0});
    expect_choice(s.for_a, NULL, BLOBSEAL_NOTE_SLOT_INVALID);
    frame_it(BLOBSEAL_LAYOUT_AB, (struct slot_text){0}, (struct slot_text){0});
    expect_read(BLOBSEAL_E_DAMAGED, "both empty");
    scene_close();
}

Test(preamble, the_slot_of_a_compact_frame_is_full)
{
    for (size_t i = 0; i < COUNT(slot_faults); i++) {
        if (slot_faults[i].at + slot_faults[i].len > 64)
            continue;
        open_compact();
        break_slot(64, i);
        expect_read(BLOBSEAL_E_DAMAGED, slot_faults[i].what);
        scene_close();
    }
    open_compact();
    bs_store32(s.blob + 64 + 4, (uint32_t)strlen(s.for_a) - 1);
    s.blob[64 + 24 + strlen(s.for_a) - 1] = 0;
    refix(s.blob, s.len);
    expect_read(BLOBSEAL_E_DAMAGED, "an envelope shorter than the slot, and a zero");
    scene_close();
}

/* ---- An envelope passed by the caller ---------------------------------------------------------------------------- */

Test(preamble, a_named_envelope_takes_the_place_of_the_slots)
{
    struct how_to_open how = {0};
    struct blobseal_error err;
    struct opened o;

    open_ab();
    memset(s.blob + 4096, 0xEE, 2 * 4096); /* the slots are ignored */
    how.envelope = s.for_a;
    how.envelope_len = strlen(s.for_a);
    for (int sequential = 0; sequential <= 1; sequential++) {
        how.sequential = sequential != 0;
        cr_expect_eq(open_bytes(&o, s.blob, s.len, s.kek, 1, &how, &err), BLOBSEAL_OK, "%s", err.text);
        cr_expect_eq(o.generation, 1);
        opened_clear(&o);
        cr_expect_eq(open_bytes(&o, s.core, s.core_len, s.kek, 1, &how, &err), BLOBSEAL_OK, "%s", err.text);
        opened_clear(&o);
    }
    how.envelope_len = 0;
    cr_expect_eq(open_bytes(&o, s.core, s.core_len, s.kek, 1, &how, &err), BLOBSEAL_E_FORMAT, "an empty envelope");
    opened_clear(&o);
    cr_expect_eq(open_bytes(&o, s.core, s.core_len, s.kek, 1, NULL, &err), BLOBSEAL_E_CONFIG, "none at all");
    opened_clear(&o);
    scene_close();
}

Test(preamble, with_a_named_envelope_the_frame_header_must_be_right)
{
    struct blobseal_error err;
    struct bs_preamble f;

    open_ab();
    for (size_t i = 0; i < 4096; i += i < 64 ? 1 : 57) {
        s.blob[i] ^= 1;
        cr_expect_neq(read_preamble(&f, s.blob, s.len, false, s.for_a, &err), BLOBSEAL_OK, "byte %u", (unsigned)i);
        bs_preamble_clear(&f);
        s.blob[i] ^= 1;
    }
    scene_close();
}

/* ---- The frame header -------------------------------------------------------------------------------------------- */

static const struct {
    size_t at;
    uint64_t value;
    size_t len;
    enum blobseal_status want; /* with a correct checksum */
} header_faults[] = {
    {8, 0, 1, BLOBSEAL_E_UNSUPPORTED},
    {8, 2, 1, BLOBSEAL_E_UNSUPPORTED},
    {9, 0, 1, BLOBSEAL_E_UNSUPPORTED},
    {9, 2, 1, BLOBSEAL_E_UNSUPPORTED},
    {9, 3, 1, BLOBSEAL_E_UNSUPPORTED},
    {10, 0, 1, BLOBSEAL_E_FORMAT},
    {10, 1, 1, BLOBSEAL_E_FORMAT},
    {10, 3, 1, BLOBSEAL_E_FORMAT},
    {10, 255, 1, BLOBSEAL_E_FORMAT},
    {11, 1, 1, BLOBSEAL_E_FORMAT},
    {12, 0, 4, BLOBSEAL_E_FORMAT},
    {12, 64, 4, BLOBSEAL_E_FORMAT},
    {12, 8192, 4, BLOBSEAL_E_FORMAT},
    {12, 0xFFFFF000, 4, BLOBSEAL_E_FORMAT},
    {16, 0, 4, BLOBSEAL_E_FORMAT},
    {16, 24, 4, BLOBSEAL_E_FORMAT},
    {16, 4097, 4, BLOBSEAL_E_FORMAT},
    {16, 8192, 4, BLOBSEAL_E_FORMAT},
    {16, 65536 + 4096, 4, BLOBSEAL_E_FORMAT},
    {16, 0x80000000, 4, BLOBSEAL_E_FORMAT},
    {20, 0, 4, BLOBSEAL_E_FORMAT},
    {20, 3 * 4096 - 1, 4, BLOBSEAL_E_FORMAT},
    {20, 3 * 4096 + 1, 4, BLOBSEAL_E_FORMAT},
    {20, 0xFFFFFFFF, 4, BLOBSEAL_E_FORMAT},
    {24, 0, 16, BLOBSEAL_E_FORMAT},
    {40, 1, 16, BLOBSEAL_E_FORMAT},
    {55, 1, 1, BLOBSEAL_E_FORMAT},
};

Test(preamble, values_of_the_frame_header_are_checked)
{
    for (size_t i = 0; i < COUNT(header_faults); i++) {
        char what[64];

        open_ab();
        for (size_t k = 0; k < header_faults[i].len; k++)
            s.blob[header_faults[i].at + k] = (uint8_t)(k < 8 ? header_faults[i].value >> (8 * k) : 0);
        (void)snprintf(what, sizeof what, "byte %u = %llx", (unsigned)header_faults[i].at,
                       (unsigned long long)header_faults[i].value);
        expect_read(header_faults[i].at == 8 ? BLOBSEAL_E_UNSUPPORTED : BLOBSEAL_E_DAMAGED, what);
        bs_store64(s.blob + 56, bs_xxh3(0, s.blob, 56));
        expect_read(header_faults[i].want, what);
        scene_close();
    }
}

/* Capacity and length are consistent with each other, but the format does not allow them. */
Test(preamble, sizes_that_wrap_around_are_refused)
{
    static const uint32_t capacities[] = {0, 1, 24, 4095, 65537, 0x7FFFF000, 0x80000000, 0xFFFFF000, 0xFFFFFFFF};

    open_ab();
    for (unsigned slots = 1; slots <= 2; slots++) {
        for (size_t i = 0; i < COUNT(capacities); i++) {
            uint32_t offset = slots == 1 ? 64 : 4096;

            if (slots == 1 && capacities[i] == 4095)
                continue; /* allowed in a compact frame */
            s.blob[10] = (uint8_t)slots;
            bs_store32(s.blob + 12, offset);
            bs_store32(s.blob + 16, capacities[i]);
            bs_store32(s.blob + 20, offset + slots * capacities[i]);
            bs_store64(s.blob + 56, bs_xxh3(0, s.blob, 56));
            expect_read(BLOBSEAL_E_FORMAT, "capacity");
        }
    }
    scene_close();
}

Test(preamble, bytes_between_header_and_slots_are_zero)
{
    open_ab();
    for (size_t i = 64; i < 4096; i += i < 4090 ? 61 : 1) {
        s.blob[i] = 1;
        expect_read(BLOBSEAL_E_FORMAT, "zero bytes");
        s.blob[i] = 0;
    }
    expect_read(BLOBSEAL_OK, "all zero again");
    scene_close();
}

Test(preamble, frame_envelope_and_core_are_of_one_blob)
{
    struct recipe other;
    struct blobseal_error err;
    struct opened o;
    char *text;

    open_compact();
    s.blob[24] ^= 1;
    refix(s.blob, s.len);
    expect_read(BLOBSEAL_E_FORMAT, "the blob id of the frame");
    recipe_make(&other, 50, 1);
    text = recipe_envelope(&other, 1, s.kek, 1);
    frame_it(BLOBSEAL_LAYOUT_COMPACT, (struct slot_text){text, 1}, (struct slot_text){0});
    cr_expect_eq(open_scene(0, 1, &o, &err), BLOBSEAL_E_FORMAT, "an envelope of another blob");
    free(text);
    scene_close();
}

/* ---- What follows the frame, and truncation ----------------------------------------------------------------- */

Test(preamble, a_core_follows_a_frame)
{
    uint8_t *twice;
    size_t frame_len;

    open_compact();
    frame_len = s.len - s.core_len;
    twice = must_alloc(frame_len + s.len);
    memcpy(twice, s.blob, frame_len);
    memcpy(twice + frame_len, s.blob, s.len);
    free(s.blob);
    s.blob = twice;
    s.len += frame_len;
    expect_read(BLOBSEAL_E_FORMAT, "a second frame");
    memset(s.blob + frame_len, 0, 8);
    expect_read(BLOBSEAL_E_FORMAT, "zeros");
    scene_close();
}

Test(preamble, truncation_anywhere_is_damage)
{
    size_t front_len, full;

    for (int layout = 0; layout < 3; layout++) {
        open_ab();
        if (layout == 1)
            frame_it(BLOBSEAL_LAYOUT_COMPACT, (struct slot_text){s.for_a, 1}, (struct slot_text){0});
        if (layout == 2) {
            memcpy(s.blob, s.core, s.core_len);
            s.len = s.core_len;
        }
        full = s.len;
        front_len = core_offset_of(s.blob, s.len) + BS_CORE_HEADER_LEN;
        for (s.len = 0; s.len < front_len; s.len++) /* a source shorter than the magic is not recognised as a blob */
            expect_read(s.len < 8 ? BLOBSEAL_E_FORMAT : BLOBSEAL_E_DAMAGED, "truncated");
        expect_read(BLOBSEAL_OK, "the preamble without a payload");
        s.len = full;
        scene_close();
    }
}

Test(preamble, what_has_no_magic_is_no_blob)
{
    static const char *const texts[] = {"\x89PNG\r\n\x1a\n",
                                        "\x89"
                                        "BSK\n\x1a\n",
                                        "\x89"
                                        "BSX\r\n\x1a\n",
                                        "BSKS", "{}"};

    open_compact();
    for (size_t i = 0; i < COUNT(texts); i++) {
        memcpy(s.blob, texts[i], strlen(texts[i]));
        expect_read(BLOBSEAL_E_FORMAT, texts[i]);
    }
    scene_close();
}

Test(preamble, an_error_of_the_source_is_passed_on)
{
    open_ab();
    for (uint64_t call = 1; call < 6; call++) {
        struct test_source state = {
            .data = s.blob, .len = s.len, .max_piece = 3000, .fault = {.at_call = call, .status = BLOBSEAL_E_INPUT}};
        struct blobseal_source source;
        struct bs_input in = {&source, 0};
        struct blobseal_error err;
        struct bs_preamble f;

        test_source_start(&source, &state);
        cr_expect_eq(bs_preamble_read(&f, &in, NULL, 0, &err), BLOBSEAL_E_INPUT);
        bs_preamble_clear(&f);
        test_source_end(&state);
    }
    scene_close();
}
