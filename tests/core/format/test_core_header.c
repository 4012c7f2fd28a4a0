/* SPDX-License-Identifier: Apache-2.0 */
/* The core header, and the arithmetic of chunks, segments and lengths. */
#include <stdlib.h>
#include <string.h>

#include "core/format/format.h"
#include "tests/support/suite.h"

SUITE(core_header);

static const struct bs_core_header bare = {.segments = BS_SEGMENTS_BARE};
static const struct bs_core_header checksummed = {.segments = BS_SEGMENTS_CHECKSUMMED};
static const struct bs_core_header *const kinds[] = {&bare, &checksummed};

/* ---- Core header ------------------------------------------------------------------------------------------------- */

static struct bs_core_header sample(void)
{
    struct bs_core_header h = {.version = 1, .suite = 1, .content = 0, .segments = 1};

    for (uint8_t i = 0; i < 24; i++)
        h.salt[i] = (uint8_t)(0x40 + i);
    for (uint8_t i = 0; i < 32; i++)
        h.commitment[i] = (uint8_t)(0x40 + 24 + i);
    for (uint8_t i = 0; i < 16; i++)
        h.blob_id[i] = (uint8_t)(0xF0 + i);
    bs_core_encode(&h);
    return h;
}

/* Recompute the checksum after a change, so that the change itself is the reason for the refusal. */
static void fix_sum(uint8_t raw[BS_CORE_HEADER_LEN])
{
    bs_store64(raw + 88, bs_xxh3(0, raw, 88));
}

static enum blobseal_status decode(const uint8_t *raw, size_t len, struct bs_core_header *out)
{
    struct vec_bytes copy = vec_copy(raw, len);
    struct blobseal_error err = {0};
    enum blobseal_status st = bs_core_decode(out, copy.p, copy.len, &err);

    cr_assert_eq(err.status, st, "status in the error");
    cr_assert(st == BLOBSEAL_OK || err.text[0] != '\0');
    cr_assert_eq(bs_core_decode(out, copy.p, copy.len, NULL), st);
    free(copy.p);
    return st;
}

static enum blobseal_status decode_changed(size_t at, uint8_t value)
{
    struct bs_core_header h = sample();

    h.raw[at] = value;
    fix_sum(h.raw);
    return decode(h.raw, sizeof h.raw, &h);
}

Test(core_header, header_has_the_bytes_of_the_table)
{
    static const uint8_t preamble[16] = {0x89, 0x42, 0x53, 0x43, 0x0D, 0x0A, 0x1A, 0x0A, 1, 1, 0, 1, 0, 0, 0, 0};
    struct bs_core_header h = sample();

    cr_assert_arr_eq(h.raw, preamble, 16);
    for (uint8_t i = 0; i < 16; i++)
        cr_assert_eq(h.raw[16 + i], 0xF0 + i);
    for (uint8_t i = 0; i < 56; i++)
        cr_assert_eq(h.raw[32 + i], 0x40 + i);
    cr_assert_eq(bs_load64(h.raw + 88), bs_xxh3(0, h.raw, 88));
}

Test(core_header, header_round_trips_for_both_segment_kinds)
{
    for (uint8_t segments = 0; segments < 2; segments++) {
        struct bs_core_header h = sample(), back;

        h.segments = segments;
        bs_core_encode(&h);
        cr_assert_eq(decode(h.raw, sizeof h.raw, &back), BLOBSEAL_OK);
        cr_assert_arr_eq(&back, &h, sizeof h);
    }
}

Test(core_header, bytes_after_the_header_do_not_matter)
{
    struct bs_core_header h = sample(), back;
    uint8_t longer[BS_CORE_HEADER_LEN + 10];

    memcpy(longer, h.raw, sizeof h.raw);
    memset(longer + sizeof h.raw, 0xEE, 10);
    cr_assert_eq(decode(longer, sizeof longer, &back), BLOBSEAL_OK);
    cr_assert_arr_eq(&back, &h, sizeof h);
}

Test(core_header, context_is_the_first_32_bytes)
{
    struct bs_core_header h = sample();
    uint8_t context[BS_MAX_CONTEXT_LEN], again[BS_MAX_CONTEXT_LEN], hash[BS_SHA256_LEN];

    cr_assert_eq(bs_core_context(&h, NULL, context), BS_CONTEXT_LEN);
    cr_assert_arr_eq(context, h.raw, BS_CONTEXT_LEN);
    memset(h.salt, 0, sizeof h.salt); /* sealing computes the context before it has these, so it depends on none */
    memset(h.commitment, 0, sizeof h.commitment);
    memset(h.raw, 0, sizeof h.raw);
    h.blob_id[15] ^= 1;
    context[31] ^= 1;
    cr_assert_eq(bs_core_context(&h, NULL, again), BS_CONTEXT_LEN);
    cr_assert_arr_eq(again, context, BS_CONTEXT_LEN);
    memset(hash, 0xA5, sizeof hash);
    cr_assert_eq(bs_core_context(&h, hash, again), BS_MAX_CONTEXT_LEN);
    cr_assert_arr_eq(again, context, BS_CONTEXT_LEN);
    cr_assert_arr_eq(again + BS_CONTEXT_LEN, hash, sizeof hash);
}

Test(core_header, a_short_header_is_damaged)
{
    struct bs_core_header h = sample(), back;

    for (size_t len = 0; len < BS_CORE_HEADER_LEN; len++)
        cr_assert_eq(decode(h.raw, len, &back), BLOBSEAL_E_DAMAGED, "%zu bytes", len);
}

Test(core_header, magic_is_all_eight_bytes)
{
    struct bs_core_header h = sample();

    for (size_t len = 0; len < 8; len++)
        cr_assert_not(bs_core_magic(h.raw, len));
    cr_assert(bs_core_magic(h.raw, 8));
    for (size_t at = 0; at < 8; at++) {
        cr_assert_eq(decode_changed(at, h.raw[at] ^ 0x20), BLOBSEAL_E_FORMAT, "byte %zu", at);
        h.raw[at] ^= 1;
        cr_assert_not(bs_core_magic(h.raw, 8));
        h.raw[at] ^= 1;
    }
    cr_assert_eq(decode_changed(3, 'K'), BLOBSEAL_E_FORMAT, "a second frame is no core");
}

Test(core_header, only_the_known_values_are_supported)
{
    for (unsigned v = 0; v < 256; v++) {
        cr_assert_eq(decode_changed(8, (uint8_t)v), v == 1 ? BLOBSEAL_OK : BLOBSEAL_E_UNSUPPORTED, "version %u", v);
        cr_assert_eq(decode_changed(9, (uint8_t)v), v == 1 ? BLOBSEAL_OK : BLOBSEAL_E_UNSUPPORTED, "suite %u", v);
        cr_assert_eq(decode_changed(10, (uint8_t)v), v <= 1 ? BLOBSEAL_OK : BLOBSEAL_E_UNSUPPORTED, "content %u", v);
        cr_assert_eq(decode_changed(11, (uint8_t)v), v <= 1 ? BLOBSEAL_OK : BLOBSEAL_E_UNSUPPORTED, "segments %u", v);
    }
}

Test(core_header, zero_bytes_are_zero)
{
    for (size_t at = 12; at < 16; at++)
        for (unsigned bit = 0; bit < 8; bit++)
            cr_assert_eq(decode_changed(at, (uint8_t)(1u << bit)), BLOBSEAL_E_FORMAT, "byte %zu", at);
}

Test(core_header, every_flipped_bit_is_found)
{
    for (size_t bit = 0; bit < 8 * BS_CORE_HEADER_LEN; bit++) {
        struct bs_core_header h = sample(), back;
        enum blobseal_status expected = bit / 8 < 8    ? BLOBSEAL_E_FORMAT
                                        : bit / 8 == 8 ? BLOBSEAL_E_UNSUPPORTED
                                                       : BLOBSEAL_E_DAMAGED;

        h.raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(decode(h.raw, sizeof h.raw, &back), expected, "bit %zu", bit);
    }
}

/* Section 2 defines the order of the checks: with all faults at once the first one is reported. */
Test(core_header, checks_come_in_their_order)
{
    struct bs_core_header h = sample(), back;

    h.raw[13] = 1;
    fix_sum(h.raw);
    cr_assert_eq(decode(h.raw, 96, &back), BLOBSEAL_E_FORMAT);
    for (size_t at = 9; at <= 11; at++) { /* a later version may use the zero bytes as well */
        uint8_t was = h.raw[at];

        h.raw[at] = 7;
        fix_sum(h.raw);
        cr_assert_eq(decode(h.raw, 96, &back), BLOBSEAL_E_UNSUPPORTED, "byte %zu", at);
        h.raw[at] = was;
    }
    h.raw[88] ^= 1;
    cr_assert_eq(decode(h.raw, 96, &back), BLOBSEAL_E_DAMAGED);
    cr_assert_eq(decode(h.raw, 95, &back), BLOBSEAL_E_DAMAGED);
    h.raw[8] = 9;
    for (size_t len = 9; len <= 96; len++)
        cr_assert_eq(decode(h.raw, len, &back), BLOBSEAL_E_UNSUPPORTED, "%zu bytes", len);
    for (size_t len = 0; len <= 8; len++)
        cr_assert_eq(decode(h.raw, len, &back), BLOBSEAL_E_DAMAGED, "%zu bytes", len);
    h.raw[0] = 0;
    cr_assert_eq(decode(h.raw, 96, &back), BLOBSEAL_E_FORMAT);
}

Test(core_header, segment_seeds_come_from_the_first_half_of_the_id)
{
    struct bs_core_header h = sample();

    cr_assert_eq(bs_segment_seed(&h, 0), 0xF7F6F5F4F3F2F1F0u);
    cr_assert_eq(bs_segment_seed(&h, 1), 0xF7F6F5F4F3F2F1F1u);
    cr_assert_eq(bs_segment_seed(&h, 0xFFFFFFFFu), 0xF7F6F5F40C0D0E0Fu);
    memset(h.blob_id + 8, 0, 8);
    cr_assert_eq(bs_segment_seed(&h, 0), 0xF7F6F5F4F3F2F1F0u);
}

/* ---- Arithmetic, compared with the text of section 3 instead of the code's formulas ------------------------------ */

static uint64_t payload_len(const struct bs_core_header *h, uint64_t plain)
{
    uint64_t chunks = plain / 16384 + 1;

    return plain + 16 * chunks + (h == &checksummed ? 8 * ((chunks + 63) / 64) : 0);
}

Test(core_header, sizes_are_those_of_the_format)
{
    cr_assert_eq(BS_SEALED_CHUNK_LEN, 16400);
    cr_assert_eq(BS_SEALED_SEGMENT_LEN, 1049600);
    cr_assert_eq(bs_segment_stride(&bare), 1049600);
    cr_assert_eq(bs_segment_stride(&checksummed), 1049608);
    cr_assert_eq(BS_MAX_PLAIN, (1ull << 52) - 1);
    cr_assert_eq(bs_core_len(&checksummed, 0), 96 + 16 + 8);
    cr_assert_eq(bs_core_len(&bare, 0), 96 + 16);
    cr_assert_eq(bs_core_len(&checksummed, 1 << 20), 96 + 1049608 + 24); /* one empty chunk in a segment of its own */
    cr_assert_eq(bs_core_len(&bare, 1 << 20), 96 + 1049600 + 16);
}

#define BRUTE (3u << 20)

/* Try all plaintext lengths up to 3 MiB, and all payload lengths: those that belong to no plaintext are refused. */
Test(core_header, lengths_are_inverse_and_all_others_are_refused)
{
    for (size_t k = 0; k < 2; k++) {
        uint64_t last = payload_len(kinds[k], BRUTE), next = 0, plain, valid = 0;

        for (uint64_t p = 0; p < last; p++) {
            bool expected = p == payload_len(kinds[k], next);

            plain = UINT64_MAX;
            cr_assert_eq(bs_payload_plain_len(kinds[k], p, &plain), expected, "payload of %ju", (uintmax_t)p);
            if (expected) {
                cr_assert_eq(plain, next);
                cr_assert_eq(bs_core_len(kinds[k], next), 96 + p);
                next++;
                valid++;
            }
        }
        cr_assert_eq(valid, BRUTE);
    }
}

Test(core_header, lengths_are_inverse_around_borders)
{
    static const uint64_t borders[] = {
        16384,
        1 << 20,
        2 << 20,
        63 * 16384,
        65 * 16384,
        1ull << 30,
        1ull << 31,
        1ull << 32,
        1ull << 33,
        1ull << 40,
        1ull << 51,
        (1ull << 52) - (1 << 20),
        (1ull << 52) - 16384,
    };

    for (size_t k = 0; k < 2; k++)
        for (size_t b = 0; b < sizeof borders / sizeof borders[0]; b++)
            for (uint64_t n = borders[b] - 40; n <= borders[b] + 40; n++) {
                uint64_t plain;

                cr_assert_eq(bs_core_len(kinds[k], n), 96 + payload_len(kinds[k], n));
                cr_assert(bs_payload_plain_len(kinds[k], payload_len(kinds[k], n), &plain));
                cr_assert_eq(plain, n);
            }
}

Test(core_header, the_longest_blob_is_4_pib_minus_1)
{
    for (size_t k = 0; k < 2; k++) {
        uint64_t most = payload_len(kinds[k], BS_MAX_PLAIN), plain = 0;

        cr_assert_eq(bs_core_len(kinds[k], BS_MAX_PLAIN), 96 + most);
        cr_assert(bs_payload_plain_len(kinds[k], most, &plain));
        cr_assert_eq(plain, BS_MAX_PLAIN);
        for (uint64_t more = 1; more < 3 * 1049608; more += more < 40000 ? 1 : 997)
            cr_assert_not(bs_payload_plain_len(kinds[k], most + more, &plain), "%ju too many", (uintmax_t)more);
        for (unsigned bit = 53; bit < 64; bit++)
            for (uint64_t n = (1ull << bit) - 20; n < (1ull << bit) + 20; n++)
                cr_assert_not(bs_payload_plain_len(kinds[k], n, &plain));
        cr_assert_not(bs_payload_plain_len(kinds[k], UINT64_MAX, &plain));
        cr_assert_not(bs_payload_plain_len(kinds[k], UINT64_MAX - 7, &plain));
    }
}

Test(core_header, tails_are_inverse_and_all_others_are_refused)
{
    uint64_t next = 0, plain;

    for (uint64_t p = 0; p < 70 * 16400; p++) {
        bool expected = p == next + 16 * (next / 16384 + 1);

        cr_assert_eq(bs_tail_plain_len(p, &plain), expected, "%ju bytes", (uintmax_t)p);
        if (expected) {
            cr_assert_eq(plain, next);
            cr_assert_eq(bs_sealed_tail_len((size_t)next), p);
            next++;
        }
    }
    cr_assert_not(bs_tail_plain_len(16400, &plain), "a full last chunk");
}

Test(core_header, chunks_stand_where_the_format_says)
{
    static const uint64_t indexes[] = {
        0, 1, 63, 64, 65, 127, 128, 1000, (1ull << 32) - 1, 1ull << 32, (1ull << 38) - 1};

    for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++) {
        uint64_t k = indexes[i];

        cr_assert_eq(bs_chunk_offset(&bare, k), 96 + k * 16400);
        cr_assert_eq(bs_chunk_offset(&checksummed, k), 96 + k / 64 * 1049608 + k % 64 * 16400);
    }
    /* The last chunk ends where the blob ends, or, in a blob with checksums, 8 bytes before that. */
    for (uint64_t n = 0; n < 200 * 16384; n += 4095) {
        uint64_t last = n / 16384, end = bs_core_len(&bare, n);

        cr_assert_eq(bs_chunk_offset(&bare, last) + n % 16384 + 16, end);
        cr_assert_eq(bs_chunk_offset(&checksummed, last) + n % 16384 + 16 + 8, bs_core_len(&checksummed, n));
    }
}
