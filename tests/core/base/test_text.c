/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, text that is safe on a terminal, and strings packed after a struct. */
#include <errno.h>
#include <string.h>

#include "tests/support/suite.h"

SUITE(text);

/* ---- Text that is safe on a terminal ----------------------------------------------------------------------------- */

static void check_text(const char *in, const char *expected)
{
    struct blobseal_error err;

    (void)blobseal_fail(&err, BLOBSEAL_E_FORMAT, 0, "%s", in);
    cr_assert_str_eq(err.text, expected);
    blobseal_hint(&err, "%s", in);
    cr_assert_str_eq(err.hint, expected);
}

Test(text, control_characters_never_reach_a_terminal)
{
    for (int c = 1; c < 0x20; c++) {
        char text[] = {'a', (char)c, 'b', '\0'};

        check_text(text, "a?b");
    }
    check_text("\x7F", "?");
    check_text("\x1B[2J", "?[2J");
    for (int c = 0x80; c < 0xA0; c++) { /* C1: some terminals act on U+009B as on ESC [ */
        char text[] = {'\xC2', (char)c, '\0'};

        check_text(text, "??");
    }
}

Test(text, utf8_stays_and_broken_utf8_goes)
{
    check_text("K\xC3\xB6ln \xE2\x82\xAC \xF0\x9F\x94\x91", "K\xC3\xB6ln \xE2\x82\xAC \xF0\x9F\x94\x91");
    check_text("\xC2\xA0", "\xC2\xA0");
    check_text("\x80", "?");
    check_text("\xC3", "?");
    check_text("\xC3(", "?(");
    check_text("\xE2\x82", "??");
    check_text("\xF0\x9F\x94", "???");
    check_text("\xC0\xAF", "??");
    check_text("\xC1\x9B", "??");
    check_text("\xF5\x80\x80\x80", "????");
    check_text("\xFF\xFE", "??");
}

/* These sequences are not UTF-8 (RFC 3629 section 3), but a lenient terminal decodes the first two to ESC. */
Test(text, overlong_and_impossible_utf8_goes)
{
    check_text("\xE0\x80\x9B", "???");
    check_text("\xF0\x80\x80\x9B", "????");
    check_text("\xE0\x9F\xBF", "???");
    check_text("\xF0\x8F\xBF\xBF", "????");
    check_text("\xED\xA0\x80", "???"); /* a surrogate */
    check_text("\xED\xBF\xBF", "???");
    check_text("\xF4\x90\x80\x80", "????"); /* beyond U+10FFFF */
    check_text("\xE0\xA0\x80 \xED\x9F\xBF \xEE\x80\x80 \xF0\x90\x80\x80 \xF4\x8F\xBF\xBF",
               "\xE0\xA0\x80 \xED\x9F\xBF \xEE\x80\x80 \xF0\x90\x80\x80 \xF4\x8F\xBF\xBF");
}

/* Return true for a character that Unicode defines as invisible, but that may change how other text is shown. */
static bool is_invisible(const uint8_t *p, size_t len)
{
    uint32_t c = len == 2   ? (uint32_t)(p[0] & 31) << 6 | (p[1] & 63u)
                 : len == 3 ? (uint32_t)(p[0] & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (p[2] & 63u)
                 : len == 4 ? (uint32_t)(p[0] & 7) << 18 | (uint32_t)(p[1] & 63) << 12 | (uint32_t)(p[2] & 63) << 6 |
                                  (p[3] & 63u)
                            : p[0];

    return c == 0xAD || c == 0x61C || c == 0x180E || (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) ||
           (c >= 0x1BCA0 && c <= 0x1BCA3) || (c >= 0x1D173 && c <= 0x1D17A) || (c >= 0xE0000 && c < 0xE1000);
}

/* Return the length of the valid character at @p, or 0: Unicode 15 table 3-7, without control characters. */
static size_t good_char(const uint8_t *p, size_t left)
{
    static const struct {
        uint8_t first, last, low, high;
        size_t len;
    } table[] = {
        {0x20, 0x7E, 0, 0, 1},       {0xC2, 0xC2, 0xA0, 0xBF, 2}, {0xC3, 0xDF, 0x80, 0xBF, 2},
        {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3},
        {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4},
        {0xF4, 0xF4, 0x80, 0x8F, 4},
    };

    for (size_t i = 0; i < COUNT(table); i++) {
        bool good = p[0] >= table[i].first && p[0] <= table[i].last && table[i].len <= left;

        for (size_t k = 1; good && k < table[i].len; k++)
            good = p[k] >= (k == 1 ? table[i].low : 0x80) && p[k] <= (k == 1 ? table[i].high : 0xBF);
        if (good)
            return is_invisible(p, table[i].len) ? 0 : table[i].len;
    }
    return 0;
}

/* Expect that valid characters of @in are unchanged and that every other byte becomes a question mark. */
static void expect_printable(const uint8_t *in, size_t len)
{
    struct blobseal_error err;
    char want[64], text[64];
    size_t n;

    for (size_t i = 0; i < len; i += n) {
        n = good_char(in + i, len - i);
        memcpy(want + i, n > 0 ? in + i : (const uint8_t *)"?", n > 0 ? n : 1);
        n = n > 0 ? n : 1;
    }
    want[len] = '\0';
    memcpy(text, in, len);
    text[len] = '\0';
    cr_assert_eq(blobseal_fail(&err, BLOBSEAL_E_INPUT, 0, "%s", text), BLOBSEAL_E_INPUT);
    cr_assert_str_eq(err.text, want, "%02x %02x %02x %02x", in[0], in[1], in[2], in[3]);
    blobseal_hint(&err, "%s", text);
    cr_assert_str_eq(err.hint, want);
}

Test(text, every_control_character_becomes_a_question_mark)
{
    for (unsigned a = 1; a < 256; a++)
        for (unsigned b = 1; b < 256; b++)
            expect_printable((const uint8_t[]){(uint8_t)a, (uint8_t)b, 'x', 'y'}, 4);
}

/* The characters with which text is made to look like other text, for instance by writing it backwards. */
Test(text, bidirectional_controls_and_line_separators_never_reach_a_terminal)
{
    static const char *const bad[] = {
        "\u061C", "\u200E", "\u200F", "\u202A", "\u202B", "\u202C", "\u202D", "\u202E",     "\u2066",
        "\u2067", "\u2068", "\u2069", "\u2028", "\u2029", "\uFEFF", "\u200B", "\U000E0041",
    };
    static const char *const good[] = {"\u00E4", "\u2010", "\u2027", "\u202F", "\u205F", "\u3042", "\U0001F511"};

    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[16], want[16] = "a";

        (void)snprintf(text, sizeof text, "a%sb", bad[i]);
        memset(want + 1, '?', strlen(bad[i]));
        want[1 + strlen(bad[i])] = 'b';
        blobseal_make_printable(text);
        cr_expect_str_eq(text, want, "number %zu", i);
    }
    for (size_t i = 0; i < COUNT(good); i++) {
        char text[16];

        (void)snprintf(text, sizeof text, "%s", good[i]);
        blobseal_make_printable(text);
        cr_expect_str_eq(text, good[i]);
    }
}

Test(text, only_well_formed_utf8_stays)
{
    static const uint8_t third[] = {0x1B, 'a', 0x7F, 0x80, 0x9B, 0xBF, 0xC0, 0xFF};

    for (unsigned a = 0xE0; a < 256; a++)
        for (unsigned b = 0x7F; b <= 0xC0; b++)
            for (size_t c = 0; c < COUNT(third); c++)
                for (size_t d = 0; d < COUNT(third); d++)
                    expect_printable((const uint8_t[]){(uint8_t)a, (uint8_t)b, third[c], third[d]}, 4);
}

/* ---- UTF-8 ------------------------------------------------------------------------------------------------------- */

Test(text, the_length_of_a_character_never_goes_past_the_end)
{
    static const char *const characters[] = {"a", "\xC3\xB6", "\xE2\x82\xAC", "\xF0\x9F\x94\x91"};

    for (size_t i = 0; i < COUNT(characters); i++)
        for (size_t left = 1; left <= 5; left++) {
            struct vec_bytes exact =
                vec_copy(NULL, left); /* on the heap, so that AddressSanitizer sees a read past it */

            memset(exact.p, 'x', left);
            memcpy(exact.p, characters[i], left < i + 1 ? left : i + 1);
            cr_expect_eq(blobseal_utf8_len(exact.p, left), left < i + 1 ? 0 : i + 1, "%zu of %zu bytes", left, i + 1);
            free(exact.p);
        }
}

/* ---- Packed strings ---------------------------------------------------------------------------------------------- */

Test(text, packed_strings_follow_each_other_with_their_zero_bytes)
{
    static const char *const strings[] = {"first", "", "third"};
    char room[6 + 1 + 6 + 1], *at = room;

    memset(room, '#', sizeof room);
    for (size_t i = 0; i < COUNT(strings); i++) {
        const char *copy = bs_pack_string(&at, strings[i]);

        cr_expect_str_eq(copy, strings[i]);
        cr_expect_eq(copy + bs_packed_len(strings[i]), at, "the position is after the zero byte");
    }
    cr_expect_eq(at, room + 13);
    cr_expect_arr_eq(room, "first\0\0third\0#", sizeof room);
}

Test(text, no_string_takes_no_room)
{
    char room[1] = {'#'}, *at = room;

    cr_expect_eq(bs_packed_len(NULL), 0);
    cr_expect_eq(bs_packed_len(""), 1);
    cr_expect_null(bs_pack_string(&at, NULL));
    cr_expect_eq(at, room);
    cr_expect_eq(room[0], '#');
}

Test(text, a_recipient_is_packed_with_exactly_the_room_it_needs)
{
    const struct blobseal_recipient recipients[] = {
        {.alg = "RSA-OAEP-256", .kid = "a-key", .unknown = true}, {.alg = "RSA-OAEP", .kid = "b"}, {.kid = ""}, {0}};

    for (size_t i = 0; i < COUNT(recipients); i++) {
        const struct blobseal_recipient *r = &recipients[i];
        size_t len = bs_packed_recipient_len(r);
        struct vec_bytes room = vec_copy(NULL, len);
        char *at = (char *)room.p;
        struct blobseal_recipient copy = bs_pack_recipient(&at, r);

        cr_expect_eq(at, (char *)room.p + len, "recipient %zu", i);
        cr_expect_eq(copy.alg != NULL, r->alg != NULL);
        cr_expect_eq(copy.unknown, r->unknown);
        cr_expect(r->alg == NULL || (copy.alg != r->alg && strcmp(copy.alg, r->alg) == 0));
        cr_expect(r->kid == NULL || (copy.kid != r->kid && strcmp(copy.kid, r->kid) == 0));
        free(room.p);
    }
}
