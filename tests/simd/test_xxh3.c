/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3-64 is stored in every blob, so its values must never change. */
#include <stdlib.h>
#include <string.h>

#include "simd/simd.h"
#include "tests/support/suite.h"

SUITE(xxh3);

#define PRIME64 0x9E3779B185EBCA8Du

/* The buffer of xxHash's own sanity check: byte i is the top byte of 2654435761 * PRIME64^i. */
static void fill(uint8_t *p, size_t len)
{
    uint64_t v = 2654435761u;

    for (size_t i = 0; i < len; i++, v *= PRIME64)
        p[i] = (uint8_t)(v >> 56);
}

/* From the sanity check of xxHash 0.8 (XSUM_XXH3_testdata): at least two lengths for each code path of XXH3. */
static const struct {
    size_t len;
    uint64_t seed, sum;
} known[] = {
    {0, 0, 0x2D06800538D394C2},          {0, PRIME64, 0xA8A6B918B2F0364A},    {1, 0, 0xC44BDFF4074EECDB},
    {1, PRIME64, 0x032BE332DD766EF8},    {3, 0, 0x54247382A8D6B94D},          {4, 0, 0xE5DC74BC51848A51},
    {6, 0, 0x27B56A84CD2D7325},          {6, PRIME64, 0x84589C116AB59AB9},    {8, 0, 0x24CCC9ACAA9F65E4},
    {9, 0, 0x14D5001C15DD3F2B},          {12, 0, 0xA713DAF0DFBB77E7},         {12, PRIME64, 0xE7303E1B2336DE0E},
    {16, 0, 0x981B17D36C7498C9},         {17, 0, 0x796F5ACD3A60F862},         {24, 0, 0xA3FE70BF9D3510EB},
    {24, PRIME64, 0x850E80FC35BDD690},   {48, 0, 0x397DA259ECBA1F11},         {48, PRIME64, 0xADC2CBAA44ACC616},
    {80, 0, 0xBCDEFBBB2C47C90A},         {80, PRIME64, 0xC6DD0CB699532E73},   {128, 0, 0xFCFF24126754D861},
    {129, 0, 0x98F1B0A679A2CA29},        {195, 0, 0xCD94217EE362EC3A},        {195, PRIME64, 0xBA68003D370CB3D9},
    {240, 0, 0x81C3C2B67F568CCF},        {241, 0, 0xC5A639ECD2030E5E},        {403, 0, 0xCDEB804D65C6DEA4},
    {403, PRIME64, 0x6259F6ECFD6443FD},  {512, 0, 0x617E49599013CB6B},        {512, PRIME64, 0x3CE457DE14C27708},
    {2048, 0, 0xDD59E2C3A5F038E0},       {2048, PRIME64, 0x66F81670669ABABC}, {2240, 0, 0x6E73A90539CF2948},
    {2240, PRIME64, 0x757BA8487D1B5247}, {2367, 0, 0xCB37AEB9E5D361ED},       {2367, PRIME64, 0xD2DB3415B942B42A},
    {4160, 0, 0x4F323B15321E94E1},
};

static uint64_t in_two_pieces(uint64_t seed, const uint8_t *p, size_t len, size_t split)
{
    struct bs_xxh3_state s;

    bs_xxh3_start(&s, seed);
    bs_xxh3_add(&s, p, split);
    bs_xxh3_add(&s, p + split, len - split);
    return bs_xxh3_end(&s);
}

Test(xxh3, gives_the_known_values)
{
    uint8_t buf[4160];

    fill(buf, sizeof buf);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint8_t *exact = malloc(known[i].len > 0 ? known[i].len : 1); /* exact: reads beyond it are detected */

        memcpy(exact, buf, known[i].len);
        cr_assert_eq(bs_xxh3(known[i].seed, exact, known[i].len), known[i].sum, "row %zu", i);
        cr_assert_eq(in_two_pieces(known[i].seed, exact, known[i].len, known[i].len / 3), known[i].sum, "row %zu", i);
        free(exact);
    }
}

Test(xxh3, of_nothing_needs_no_memory)
{
    cr_assert_eq(bs_xxh3(0, NULL, 0), 0x2D06800538D394C2);
}

Test(xxh3, does_not_depend_on_where_the_input_is_split)
{
    uint8_t buf[300];

    fill(buf, sizeof buf);
    for (size_t split = 0; split <= sizeof buf; split++) {
        cr_assert_eq(in_two_pieces(0, buf, sizeof buf, split), bs_xxh3(0, buf, sizeof buf), "split at %zu", split);
        cr_assert_eq(in_two_pieces(PRIME64, buf, sizeof buf, split), bs_xxh3(PRIME64, buf, sizeof buf), "split at %zu",
                     split);
    }
}

Test(xxh3, takes_pieces_of_every_size)
{
    static uint8_t buf[64 * 1024 + 7];

    fill(buf, sizeof buf);
    for (size_t piece = 1; piece < sizeof buf; piece = piece * 3 + 1) {
        struct bs_xxh3_state s;

        bs_xxh3_start(&s, 7);
        for (size_t at = 0; at < sizeof buf; at += piece)
            bs_xxh3_add(&s, buf + at, at + piece < sizeof buf ? piece : sizeof buf - at);
        cr_assert_eq(bs_xxh3_end(&s), bs_xxh3(7, buf, sizeof buf), "pieces of %zu", piece);
    }
}

Test(xxh3, can_be_asked_in_between_and_started_again)
{
    struct bs_xxh3_state s;
    uint8_t buf[600];

    fill(buf, sizeof buf);
    bs_xxh3_start(&s, 1);
    for (size_t i = 0; i < sizeof buf; i++) {
        cr_assert_eq(bs_xxh3_end(&s), bs_xxh3(1, buf, i), "after %zu bytes", i);
        bs_xxh3_add(&s, buf + i, 1);
    }
    bs_xxh3_start(&s, 2);
    bs_xxh3_add(&s, buf, 300);
    cr_assert_eq(bs_xxh3_end(&s), bs_xxh3(2, buf, 300));
}

/* The stack contains the remains of an earlier state, partly overwritten but with the same seed. */
Test(xxh3, starts_from_any_memory)
{
    uint8_t buf[600];

    fill(buf, sizeof buf);
    for (size_t n = 0; n <= sizeof(struct bs_xxh3_state); n += 64) {
        struct bs_xxh3_state s = {0};

        bs_xxh3_start(&s, 7);
        memset(&s, 0xA5, n);
        bs_xxh3_start(&s, 7);
        bs_xxh3_add(&s, buf, sizeof buf);
        cr_assert_eq(bs_xxh3_end(&s), bs_xxh3(7, buf, sizeof buf), "%zu bytes", n);
    }
}

Test(xxh3, reads_at_any_alignment)
{
    uint8_t buf[1024 + 64];

    for (size_t at = 0; at < 64; at++) {
        fill(buf + at, 1024);
        cr_assert_eq(bs_xxh3(0, buf + at, 1024), bs_xxh3(0, memmove(buf, buf + at, 1024), 1024), "offset %zu", at);
    }
}
