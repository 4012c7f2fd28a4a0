/* SPDX-License-Identifier: Apache-2.0 */
/* The frame and its slots: layout, limits, and what is refused. */
#include <stdlib.h>
#include <string.h>

#include "core/format/format.h"
#include "tests/support/suite.h"

SUITE(frame);

static const uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const char jwe[] = "{\"a stand-in\":\"for a JWE\"}";

#define JWE_LEN    (sizeof jwe - 1)
#define GENERATION 5u

/* A frame with its bytes in a heap allocation of exactly their length. */
struct sample {
    struct bs_frame f;
    struct vec_bytes bytes;
};

static struct sample sample(enum blobseal_layout layout, uint32_t capacity)
{
    struct sample s;

    cr_assert_eq(bs_frame_plan(&s.f, layout, capacity, JWE_LEN, blob_id, NULL), BLOBSEAL_OK);
    s.bytes = vec_copy(NULL, s.f.frame_len);
    memset(s.bytes.p, 0xEE, s.bytes.len); /* the encoder writes every byte */
    bs_frame_encode(&s.f, s.bytes.p, jwe, JWE_LEN, GENERATION);
    return s;
}

static void fix_sum(uint8_t *header)
{
    bs_store64(header + 56, bs_xxh3(0, header, 56));
}

static enum blobseal_status decode(const uint8_t *bytes, size_t len, struct bs_frame *f)
{
    struct vec_bytes copy = vec_copy(bytes, len);
    struct blobseal_error err = {0};
    enum blobseal_status st = bs_frame_decode(f, copy.p, copy.len, &err);

    cr_assert_eq(err.status, st);
    cr_assert(st == BLOBSEAL_OK || err.text[0] != '\0');
    cr_assert_eq(bs_frame_decode(f, copy.p, copy.len, NULL), st);
    free(copy.p);
    return st;
}

/* Decode the header with @len bytes at @at replaced and the checksum recomputed. */
static enum blobseal_status decode_changed(const struct sample *s, size_t at, const void *p, size_t len)
{
    uint8_t header[BS_FRAME_HEADER_LEN];
    struct bs_frame f;

    memcpy(header, s->bytes.p, sizeof header);
    memcpy(header + at, p, len);
    fix_sum(header);
    return decode(header, sizeof header, &f);
}

static enum blobseal_status decode_u8(const struct sample *s, size_t at, unsigned v)
{
    uint8_t b = (uint8_t)v;

    return decode_changed(s, at, &b, 1);
}

static enum blobseal_status decode_u32(const struct sample *s, size_t at, uint32_t v)
{
    uint8_t b[4];

    bs_store32(b, v);
    return decode_changed(s, at, b, sizeof b);
}

/* ---- The bytes --------------------------------------------------------------------------------------------------- */

static void check_header(const struct sample *s, unsigned slots, uint32_t offset, uint32_t capacity)
{
    static const uint8_t magic[8] = {0x89, 0x42, 0x53, 0x4B, 0x0D, 0x0A, 0x1A, 0x0A};
    const uint8_t *p = s->bytes.p;
    struct bs_frame back;

    cr_assert_arr_eq(p, magic, 8);
    cr_assert(p[8] == 1 && p[9] == 1 && p[10] == slots && p[11] == 0);
    cr_assert_eq(bs_load32(p + 12), offset);
    cr_assert_eq(bs_load32(p + 16), capacity);
    cr_assert_eq(bs_load32(p + 20), offset + slots * capacity);
    cr_assert_arr_eq(p + 24, blob_id, 16);
    cr_assert(bs_all_zero(p + 40, 16));
    cr_assert_eq(bs_load64(p + 56), bs_xxh3(0, p, 56));
    cr_assert(bs_all_zero(p + 64, offset - 64));
    cr_assert_eq(s->bytes.len, offset + slots * capacity);
    cr_assert_eq(decode(p, BS_FRAME_HEADER_LEN, &back), BLOBSEAL_OK);
    cr_assert_arr_eq(&back, &s->f, sizeof back);
}

static void check_slot(const uint8_t *p, uint32_t capacity)
{
    cr_assert_arr_eq(p, "BSKS", 4);
    cr_assert_eq(bs_load32(p + 4), JWE_LEN);
    cr_assert_eq(bs_load64(p + 8), GENERATION);
    cr_assert_eq(bs_load64(p + 16), bs_xxh3(GENERATION, jwe, JWE_LEN));
    cr_assert_arr_eq(p + 24, jwe, JWE_LEN);
    cr_assert(bs_all_zero(p + 24 + JWE_LEN, capacity - 24 - JWE_LEN));
}

Test(frame, compact_has_the_bytes_of_the_table)
{
    struct sample s = sample(BLOBSEAL_LAYOUT_COMPACT, 0);

    check_header(&s, 1, 64, 24 + JWE_LEN);
    check_slot(s.bytes.p + 64, 24 + JWE_LEN);
    free(s.bytes.p);
}

Test(frame, ab_has_the_bytes_of_the_table_in_two_equal_slots)
{
    for (uint32_t capacity = 0; capacity <= 65536; capacity += 4096) {
        struct sample s = sample(BLOBSEAL_LAYOUT_AB, capacity);
        uint32_t real = capacity != 0 ? capacity : 16384;

        check_header(&s, 2, 4096, real);
        check_slot(s.bytes.p + 4096, real);
        cr_assert_arr_eq(s.bytes.p + 4096, s.bytes.p + 4096 + real, real);
        free(s.bytes.p);
    }
}

/* ---- Planning ---------------------------------------------------------------------------------------------------- */

static enum blobseal_status plan(enum blobseal_layout layout, uint32_t capacity, size_t jwe_len)
{
    struct blobseal_error err = {0};
    struct bs_frame f;
    enum blobseal_status st = bs_frame_plan(&f, layout, capacity, jwe_len, blob_id, &err);

    cr_assert_eq(err.status, st);
    if (st == BLOBSEAL_OK) {
        cr_assert_geq(f.slot_capacity, jwe_len + BS_SLOT_HEADER_LEN);
        cr_assert_eq(f.frame_len, f.slot_offset + f.slots * f.slot_capacity);
    }
    return st;
}

Test(frame, compact_takes_an_envelope_of_up_to_65512_bytes)
{
    cr_assert_eq(plan(BLOBSEAL_LAYOUT_COMPACT, 0, 1), BLOBSEAL_OK);
    cr_assert_eq(plan(BLOBSEAL_LAYOUT_COMPACT, 0, BLOBSEAL_MAX_ENVELOPE), BLOBSEAL_OK);
}

Test(frame, compact_refuses_a_larger_envelope_by_policy)
{
    cr_assert_eq(plan(BLOBSEAL_LAYOUT_COMPACT, 0, BLOBSEAL_MAX_ENVELOPE + 1), BLOBSEAL_E_POLICY);
    cr_assert_eq(plan(BLOBSEAL_LAYOUT_COMPACT, 0, (size_t)UINT32_MAX + 1), BLOBSEAL_E_POLICY);
    cr_assert_eq(plan(BLOBSEAL_LAYOUT_COMPACT, 0, (size_t)UINT32_MAX + 100), BLOBSEAL_E_POLICY,
                 "a length truncated to 32 bits");
}

Test(frame, ab_refuses_what_does_not_fit_its_slot)
{
    for (uint32_t capacity = 4096; capacity <= 65536; capacity += 4096) {
        cr_assert_eq(plan(BLOBSEAL_LAYOUT_AB, capacity, capacity - 24), BLOBSEAL_OK);
        cr_assert_eq(plan(BLOBSEAL_LAYOUT_AB, capacity, capacity - 23), BLOBSEAL_E_POLICY);
    }
    cr_assert_eq(plan(BLOBSEAL_LAYOUT_AB, 4096, (size_t)UINT32_MAX + 100), BLOBSEAL_E_POLICY);
}

Test(frame, ab_grows_to_what_the_envelope_needs_unless_told)
{
    for (size_t len = 1; len <= BLOBSEAL_MAX_ENVELOPE; len += len < 100 || len % 4096 > 4060 ? 1 : 31) {
        size_t wanted = (len + 24 + 4096 + 4095) / 4096 * 4096; /* at least 4096 bytes stay free */
        struct bs_frame f;

        cr_assert_eq(bs_frame_plan(&f, BLOBSEAL_LAYOUT_AB, 0, len, blob_id, NULL), BLOBSEAL_OK);
        cr_assert_eq(f.slot_capacity, wanted < 16384 ? 16384 : wanted > 65536 ? 65536 : wanted, "%zu bytes", len);
    }
}

Test(frame, ab_refuses_a_larger_envelope_by_policy)
{
    cr_assert_eq(plan(BLOBSEAL_LAYOUT_AB, 0, BLOBSEAL_MAX_ENVELOPE), BLOBSEAL_OK);
    cr_assert_eq(plan(BLOBSEAL_LAYOUT_AB, 0, (size_t)UINT32_MAX + 100), BLOBSEAL_E_POLICY);
    cr_assert_eq(plan(BLOBSEAL_LAYOUT_AB, 0, BLOBSEAL_MAX_ENVELOPE + 1), BLOBSEAL_E_POLICY);
}

Test(frame, ab_takes_multiples_of_4096_up_to_65536_only)
{
    static const uint32_t bad[] = {1,     24,    25,    2048,   4095,     4097,      6144,
                                   65535, 65537, 69632, 131072, 1u << 31, UINT32_MAX};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(plan(BLOBSEAL_LAYOUT_AB, bad[i], 10), BLOBSEAL_E_ARG, "%u", bad[i]);
}

/* ---- Reading the frame header ------------------------------------------------------------------------------------ */

Test(frame, magic_is_all_eight_bytes)
{
    struct sample s = sample(BLOBSEAL_LAYOUT_COMPACT, 0);

    for (size_t len = 0; len < 8; len++)
        cr_assert_not(bs_frame_magic(s.bytes.p, len));
    cr_assert(bs_frame_magic(s.bytes.p, 8));
    for (size_t bit = 0; bit < 64; bit++) {
        s.bytes.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_not(bs_frame_magic(s.bytes.p, 64));
        s.bytes.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(s.bytes.p);
}

Test(frame, a_short_header_is_damaged)
{
    struct sample s = sample(BLOBSEAL_LAYOUT_AB, 0);
    struct bs_frame f;

    for (size_t len = 0; len < BS_FRAME_HEADER_LEN; len++)
        cr_assert_eq(decode(s.bytes.p, len, &f), BLOBSEAL_E_DAMAGED, "%zu bytes", len);
    free(s.bytes.p);
}

Test(frame, every_flipped_bit_after_the_magic_is_found)
{
    struct sample s = sample(BLOBSEAL_LAYOUT_AB, 0);
    struct bs_frame f;

    for (size_t bit = 8 * 8; bit < 8 * BS_FRAME_HEADER_LEN; bit++) {
        s.bytes.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(decode(s.bytes.p, 64, &f), bit / 8 == 8 ? BLOBSEAL_E_UNSUPPORTED : BLOBSEAL_E_DAMAGED, "bit %zu",
                     bit);
        s.bytes.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(s.bytes.p);
}

Test(frame, every_field_is_checked)
{
    static const enum blobseal_layout layouts[] = {BLOBSEAL_LAYOUT_COMPACT, BLOBSEAL_LAYOUT_AB};

    for (size_t i = 0; i < 2; i++) {
        struct sample s = sample(layouts[i], 0);
        uint32_t lens[] = {0, 1, 64, 4096, s.f.frame_len - 1, s.f.frame_len + 1, s.f.frame_len + 4096, UINT32_MAX};

        for (unsigned v = 0; v < 256; v++) {
            cr_assert_eq(decode_u8(&s, 8, v), v == 1 ? BLOBSEAL_OK : BLOBSEAL_E_UNSUPPORTED, "version %u", v);
            cr_assert_eq(decode_u8(&s, 9, v), v == 1 ? BLOBSEAL_OK : BLOBSEAL_E_UNSUPPORTED, "layer %u", v);
            cr_assert_eq(decode_u8(&s, 10, v), v == s.f.slots ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT, "slots %u", v);
        }
        for (unsigned bit = 0; bit < 8; bit++) {
            cr_assert_eq(decode_u8(&s, 11, 1u << bit), BLOBSEAL_E_FORMAT);
            for (size_t at = 40; at < 56; at++)
                cr_assert_eq(decode_u8(&s, at, 1u << bit), BLOBSEAL_E_FORMAT, "byte %zu", at);
        }
        for (size_t k = 0; k < sizeof lens / sizeof lens[0]; k++) {
            cr_assert(decode_u32(&s, 12, lens[k]) == BLOBSEAL_E_FORMAT || lens[k] == s.f.slot_offset, "offset %u",
                      lens[k]);
            cr_assert(decode_u32(&s, 16, lens[k]) == BLOBSEAL_E_FORMAT || lens[k] == s.f.slot_capacity, "capacity %u",
                      lens[k]);
            cr_assert_eq(decode_u32(&s, 20, lens[k]), BLOBSEAL_E_FORMAT, "length %u", lens[k]);
        }
        cr_assert_eq(decode_u8(&s, 24, 0xFF), BLOBSEAL_OK, "any blob id will do");
        free(s.bytes.p);
    }
}

/* Decode an offset, a capacity and a length that are consistent, so that only the limits can refuse them. */
static enum blobseal_status decode_sizes(unsigned slots, uint32_t offset, uint32_t capacity)
{
    struct sample s = sample(BLOBSEAL_LAYOUT_COMPACT, 0);
    uint8_t fields[14];
    enum blobseal_status st;

    fields[0] = (uint8_t)slots;
    fields[1] = 0;
    bs_store32(fields + 2, offset);
    bs_store32(fields + 6, capacity);
    bs_store32(fields + 10, offset + slots * capacity);
    st = decode_changed(&s, 10, fields, sizeof fields);
    free(s.bytes.p);
    return st;
}

Test(frame, capacities_have_limits)
{
    for (uint32_t capacity = 0; capacity <= 70000; capacity++) {
        cr_assert_eq(decode_sizes(1, 64, capacity),
                     capacity > 24 && capacity <= 65536 ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT, "compact, %u", capacity);
        if (capacity % 64 < 2) /* multiples of 4096 and their neighbours are among these */
            cr_assert_eq(decode_sizes(2, 4096, capacity),
                         capacity >= 4096 && capacity <= 65536 && capacity % 4096 == 0 ? BLOBSEAL_OK
                                                                                       : BLOBSEAL_E_FORMAT,
                         "A/B, %u", capacity);
    }
    cr_assert_eq(decode_sizes(1, 4096, 8192), BLOBSEAL_E_FORMAT);
    cr_assert_eq(decode_sizes(2, 64, 8192), BLOBSEAL_E_FORMAT);
    cr_assert_eq(decode_sizes(2, 4096, 0x80000000u), BLOBSEAL_E_FORMAT, "twice the capacity is 0 in 32 bits");
    cr_assert_eq(decode_sizes(2, 4096, 0x80001000u), BLOBSEAL_E_FORMAT);
    cr_assert_eq(decode_sizes(1, 64, UINT32_MAX - 63), BLOBSEAL_E_FORMAT);
}

Test(frame, checks_come_in_their_order)
{
    struct sample s = sample(BLOBSEAL_LAYOUT_COMPACT, 0);
    struct bs_frame f;

    s.bytes.p[9] = 2; /* layer */
    s.bytes.p[11] = 1;
    fix_sum(s.bytes.p);
    cr_assert_eq(decode(s.bytes.p, 64, &f), BLOBSEAL_E_UNSUPPORTED);
    s.bytes.p[56] ^= 1;
    cr_assert_eq(decode(s.bytes.p, 64, &f), BLOBSEAL_E_DAMAGED);
    s.bytes.p[8] = 2; /* version */
    cr_assert_eq(decode(s.bytes.p, 64, &f), BLOBSEAL_E_UNSUPPORTED);
    for (size_t len = 9; len <= 63; len++)
        cr_assert_eq(decode(s.bytes.p, len, &f), BLOBSEAL_E_UNSUPPORTED, "%zu bytes", len);
    cr_assert_eq(decode(s.bytes.p, 8, &f), BLOBSEAL_E_DAMAGED);
    s.bytes.p[8] = 1;
    cr_assert_eq(decode(s.bytes.p, 63, &f), BLOBSEAL_E_DAMAGED);
    free(s.bytes.p);
}

/* ---- Slots ------------------------------------------------------------------------------------------------------- */

static void write_slot(uint8_t *slot, uint32_t len, uint64_t generation)
{
    bs_store32(slot + 4, len);
    bs_store64(slot + 8, generation);
    bs_store64(slot + 16, bs_xxh3(generation, slot + 24, len));
}

Test(frame, slots_round_trip)
{
    for (unsigned slots = 1; slots <= 2; slots++) {
        struct sample s = sample(slots == 1 ? BLOBSEAL_LAYOUT_COMPACT : BLOBSEAL_LAYOUT_AB, 0);

        for (unsigned i = 0; i < slots; i++) {
            struct bs_slot slot = bs_slot_decode(&s.f, s.bytes.p, i);

            cr_assert(slot.valid);
            cr_assert_eq(slot.generation, GENERATION);
            cr_assert_eq(slot.jwe.len, JWE_LEN);
            cr_assert_arr_eq(slot.jwe.p, jwe, JWE_LEN);
        }
        free(s.bytes.p);
    }
}

Test(frame, every_flipped_bit_of_a_slot_makes_it_invalid_and_leaves_the_other_one)
{
    struct sample s = sample(BLOBSEAL_LAYOUT_AB, 4096);

    for (unsigned i = 0; i < 2; i++)
        for (size_t bit = 0; bit < 8 * 4096; bit += bit < 8 * (24 + JWE_LEN + 8) ? 1 : 37) {
            uint8_t *p = s.bytes.p + 4096 + i * 4096 + bit / 8;

            *p ^= (uint8_t)(1u << bit % 8);
            cr_assert_not(bs_slot_decode(&s.f, s.bytes.p, i).valid, "slot %u, bit %zu", i, bit);
            cr_assert(bs_slot_decode(&s.f, s.bytes.p, 1 - i).valid);
            *p ^= (uint8_t)(1u << bit % 8);
        }
    s.bytes.p[2 * 4096 - 1] = 1; /* the very last byte of slot A */
    cr_assert_not(bs_slot_decode(&s.f, s.bytes.p, 0).valid);
    free(s.bytes.p);
}

Test(frame, slots_have_limits_even_where_the_checksum_is_right)
{
    struct sample s = sample(BLOBSEAL_LAYOUT_AB, 4096);
    uint8_t *slot = s.bytes.p + 2 * 4096;
    static const uint32_t bad_lens[] = {4096 - 23, 4096, 8192, 65512, UINT32_MAX - 23, UINT32_MAX};

    write_slot(slot, 4096 - 24, 1);
    cr_assert(bs_slot_decode(&s.f, s.bytes.p, 1).valid, "a full slot");
    write_slot(slot, JWE_LEN, BS_MAX_GENERATION);
    cr_assert(bs_slot_decode(&s.f, s.bytes.p, 1).valid);
    write_slot(slot, JWE_LEN, BS_MAX_GENERATION + 1);
    cr_assert_not(bs_slot_decode(&s.f, s.bytes.p, 1).valid);
    write_slot(slot, JWE_LEN, UINT64_MAX);
    cr_assert_not(bs_slot_decode(&s.f, s.bytes.p, 1).valid);
    write_slot(slot, JWE_LEN, 0);
    cr_assert_not(bs_slot_decode(&s.f, s.bytes.p, 1).valid);
    for (size_t i = 0; i < sizeof bad_lens / sizeof bad_lens[0]; i++) {
        bs_store32(slot + 4, bad_lens[i]);
        bs_store64(slot + 8, 1);
        cr_assert_not(bs_slot_decode(&s.f, s.bytes.p, 1).valid, "length %u", bad_lens[i]);
    }
    memset(slot + 24, 0, 4096 - 24);
    write_slot(slot, 0, 1);
    cr_assert_not(bs_slot_decode(&s.f, s.bytes.p, 1).valid, "an empty JWE");
    write_slot(slot, 1, 1);
    cr_assert(bs_slot_decode(&s.f, s.bytes.p, 1).valid, "a JWE of one zero byte is not the slot's affair");
    free(s.bytes.p);
}

Test(frame, a_compact_slot_has_no_padding)
{
    struct sample s = sample(BLOBSEAL_LAYOUT_COMPACT, 0);
    uint8_t *slot = s.bytes.p + 64;

    slot[24 + JWE_LEN - 1] = 0;
    write_slot(slot, JWE_LEN - 1, GENERATION);
    cr_assert_not(bs_slot_decode(&s.f, s.bytes.p, 0).valid);
    write_slot(slot, JWE_LEN, GENERATION);
    cr_assert(bs_slot_decode(&s.f, s.bytes.p, 0).valid);
    free(s.bytes.p);
}

/* The generation is the seed of the checksum, so an old envelope cannot get a new number by accident. */
Test(frame, the_checksum_covers_the_generation)
{
    struct sample s = sample(BLOBSEAL_LAYOUT_AB, 4096);

    bs_store64(s.bytes.p + 4096 + 8, GENERATION + 1);
    cr_assert_not(bs_slot_decode(&s.f, s.bytes.p, 0).valid);
    free(s.bytes.p);
}
