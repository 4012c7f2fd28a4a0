/* SPDX-License-Identifier: Apache-2.0 */
/* The text of errors: what may stand in it, how long it is, what the system adds. */
#include <errno.h>
#include <string.h>

#include "tests/support/suite.h"

SUITE(error_text);

/* Unicode 15 table 3-7, and no control characters: the length of the good character at @p, or 0. */
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
            return table[i].len;
    }
    return 0;
}

/* What should become of @in: good characters stay, every other byte is a question mark. */
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

Test(error_text, every_control_character_becomes_a_question_mark)
{
    for (unsigned a = 1; a < 256; a++)
        for (unsigned b = 1; b < 256; b++)
            expect_printable((const uint8_t[]){(uint8_t)a, (uint8_t)b, 'x', 'y'}, 4);
}

Test(error_text, only_well_formed_utf8_stays)
{
    static const uint8_t third[] = {0x1B, 'a', 0x7F, 0x80, 0x9B, 0xBF, 0xC0, 0xFF};

    for (unsigned a = 0xE0; a < 256; a++)
        for (unsigned b = 0x7F; b <= 0xC0; b++)
            for (size_t c = 0; c < COUNT(third); c++)
                for (size_t d = 0; d < COUNT(third); d++)
                    expect_printable((const uint8_t[]){(uint8_t)a, (uint8_t)b, third[c], third[d]}, 4);
}

Test(error_text, long_texts_are_cut)
{
    struct blobseal_error err;
    char longer[1000];

    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    (void)blobseal_fail(&err, BLOBSEAL_E_INPUT, ENOENT, "%s", longer);
    cr_expect_eq(strlen(err.text), sizeof err.text - 1);
    blobseal_hint(&err, "%s", longer);
    cr_expect_eq(strlen(err.hint), sizeof err.hint - 1);
    for (size_t i = 0; i + 2 < sizeof longer; i += 2)
        memcpy(longer + i, "\xC3\xA9", 2); /* the cut falls into a character */
    (void)blobseal_fail(&err, BLOBSEAL_E_INPUT, 0, "%s", longer);
    cr_expect_eq(err.text[sizeof err.text - 2], '?');
}

Test(error_text, an_error_says_what_the_system_said)
{
    struct blobseal_error err;

    memset(&err, 0x55, sizeof err);
    cr_expect_eq(blobseal_fail(&err, BLOBSEAL_E_OUTPUT, ENOSPC, "write %s", "x"), BLOBSEAL_E_OUTPUT);
    cr_expect_eq(err.status, BLOBSEAL_E_OUTPUT);
    cr_expect_eq(err.sys_errno, ENOSPC);
    cr_expect_str_eq(err.text, "write x: No space left on device");
    cr_expect_str_eq(err.hint, "");
    cr_expect_eq(blobseal_fail(NULL, BLOBSEAL_E_OUTPUT, 0, "x"), BLOBSEAL_E_OUTPUT);
    blobseal_hint(NULL, "x");
}
