/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/base.h"
#include "tests/support/suite.h"

SUITE(base);

Test(base, version_is_that_of_the_header)
{
    char expected[32];

    (void)snprintf(expected, sizeof expected, "%d.%d.%d", BLOBSEAL_VERSION_MAJOR, BLOBSEAL_VERSION_MINOR,
                   BLOBSEAL_VERSION_PATCH);
    cr_assert_str_eq(blobseal_version(), expected);
}

Test(base, every_status_has_a_code_of_its_own)
{
    for (int i = 0; i <= BLOBSEAL_E_CANCELED; i++) {
        const char *code = blobseal_status_code((enum blobseal_status)i);

        cr_assert_not_null(code);
        cr_assert(i == 0 ? strcmp(code, "OK") == 0 : strncmp(code, "E-", 2) == 0, "status %d: %s", i, code);
        cr_assert_str_neq(code, "E-UNKNOWN");
        for (int k = 0; k < i; k++)
            cr_assert_str_neq(code, blobseal_status_code((enum blobseal_status)k));
    }
    cr_assert_str_eq(blobseal_status_code((enum blobseal_status)(BLOBSEAL_E_CANCELED + 1)), "E-UNKNOWN");
    cr_assert_str_eq(blobseal_status_code((enum blobseal_status) - 1), "E-UNKNOWN");
    cr_assert_str_eq(blobseal_status_code(BLOBSEAL_E_AUTH), "E-AUTH");
    cr_assert_str_eq(blobseal_status_code(BLOBSEAL_E_NO_KEY), "E-NOKEY");
}

Test(base, free_takes_null)
{
    blobseal_free(malloc(3));
    blobseal_free(NULL);
}

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

Test(base, fail_fills_everything_and_answers_the_status)
{
    struct blobseal_error err;

    memset(&err, 'x', sizeof err);
    cr_assert_eq(blobseal_fail(&err, BLOBSEAL_E_CONFIG, 0, "key %s, %d bits", "a.pem", 512), BLOBSEAL_E_CONFIG);
    cr_assert_eq(err.status, BLOBSEAL_E_CONFIG);
    cr_assert_eq(err.sys_errno, 0);
    cr_assert_str_eq(err.text, "key a.pem, 512 bits");
    cr_assert_str_empty(err.hint);
}

Test(base, fail_appends_the_reason_of_the_system)
{
    struct blobseal_error err;

    cr_assert_eq(blobseal_fail(&err, BLOBSEAL_E_INPUT, ENOENT, "read x"), BLOBSEAL_E_INPUT);
    cr_assert_eq(err.sys_errno, ENOENT);
    cr_assert_str_eq(err.text, "read x: No such file or directory");
}

Test(base, errors_may_be_null)
{
    cr_assert_eq(blobseal_fail(NULL, BLOBSEAL_E_AUTH, 5, "%s", "x"), BLOBSEAL_E_AUTH);
    blobseal_hint(NULL, "%s", "x");
}

Test(base, advice_has_a_subject_and_goes_with_its_hint)
{
    struct blobseal_error err;
    char long_subject[300];

    memset(long_subject, 'k', sizeof long_subject - 1);
    long_subject[sizeof long_subject - 1] = '\0';
    blobseal_advise(NULL, BLOBSEAL_ADVICE_REPAIR, "x", "%s", "x");
    (void)blobseal_fail(&err, BLOBSEAL_E_POLICY, 0, "first");
    cr_assert_eq(err.advice, BLOBSEAL_ADVICE_NONE);
    cr_assert_str_empty(err.subject);
    blobseal_advise(&err, BLOBSEAL_ADVICE_PUBLIC_KEY, "kid\n", "pass %s", "it");
    cr_assert_eq(err.advice, BLOBSEAL_ADVICE_PUBLIC_KEY);
    cr_assert_str_eq(err.hint, "pass it");
    cr_assert_str_eq(err.subject, "kid?");
    blobseal_advise(&err, BLOBSEAL_ADVICE_PUBLIC_KEY, long_subject, "pass %s", "it");
    cr_assert_eq(strlen(err.subject), sizeof err.subject - 1);
    blobseal_advise(&err, BLOBSEAL_ADVICE_REPAIR, NULL, "repair %s", "it");
    cr_assert_str_empty(err.subject);
    blobseal_advise(&err, BLOBSEAL_ADVICE_RESTORE, "100", "restore");
    blobseal_hint(&err, "something else");
    cr_assert_eq(err.advice, BLOBSEAL_ADVICE_NONE);
    cr_assert_str_empty(err.subject);
}

Test(base, a_new_error_drops_the_old_hint)
{
    struct blobseal_error err;

    (void)blobseal_fail(&err, BLOBSEAL_E_POLICY, 0, "first");
    blobseal_hint(&err, "chmod %o", 0600u);
    cr_assert_str_eq(err.hint, "chmod 600");
    cr_assert_str_eq(err.text, "first");
    (void)blobseal_fail(&err, BLOBSEAL_E_POLICY, 0, "second");
    cr_assert_str_empty(err.hint);
}

Test(base, long_text_is_cut_and_ends_in_zero)
{
    struct blobseal_error err;
    char long_text[1000];

    memset(long_text, 'a', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    (void)blobseal_fail(&err, BLOBSEAL_E_INPUT, ENOENT, "%s", long_text);
    cr_assert_eq(strlen(err.text), sizeof err.text - 1);
    blobseal_hint(&err, "%s", long_text);
    cr_assert_eq(strlen(err.hint), sizeof err.hint - 1);
}

static void check_text(const char *in, const char *expected)
{
    struct blobseal_error err;

    (void)blobseal_fail(&err, BLOBSEAL_E_FORMAT, 0, "%s", in);
    cr_assert_str_eq(err.text, expected);
    blobseal_hint(&err, "%s", in);
    cr_assert_str_eq(err.hint, expected);
}

Test(base, control_characters_never_reach_a_terminal)
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

Test(base, utf8_stays_and_broken_utf8_goes)
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

/* Such sequences are not UTF-8 (RFC 3629 section 3), and a lenient terminal decodes the first two to ESC. */
Test(base, overlong_and_impossible_utf8_goes)
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

Test(base, cutting_inside_a_character_leaves_no_half)
{
    struct blobseal_error err;
    char text[400];

    for (size_t i = 0; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "\xE2\x82\xAC", 4);
    for (int pad = 0; pad < 3; pad++) {
        (void)blobseal_fail(&err, BLOBSEAL_E_FORMAT, 0, "%.*s%s", pad, "xx", text);
        for (const char *p = err.text + pad; *p != '\0' && *p != '?'; p += 3)
            cr_assert(strncmp(p, "\xE2\x82\xAC", 3) == 0, "a half character at %td", p - err.text);
    }
}

/* ---- Wiping, comparing, randomness ------------------------------------------------------------------------------- */

Test(base, wipe_clears_exactly_what_it_is_given)
{
    uint8_t p[10];

    memset(p, 1, sizeof p);
    blobseal_wipe(p + 2, 6);
    cr_assert(bs_all_zero(p + 2, 6));
    cr_assert(p[0] == 1 && p[1] == 1 && p[8] == 1 && p[9] == 1);
    blobseal_wipe(p, 0);
    cr_assert_eq(p[0], 1);
    blobseal_wipe(NULL, 0);
}

Test(base, equal_compares_every_bit)
{
    uint8_t a[40] = {1, 2, 3}, b[40] = {1, 2, 3};

    cr_assert(blobseal_equal(a, b, sizeof a));
    cr_assert(blobseal_equal(a, b, 0));
    for (size_t bit = 0; bit < 8 * sizeof a; bit++) {
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_not(blobseal_equal(a, b, sizeof a), "bit %zu", bit);
        cr_assert(blobseal_equal(a, b, bit / 8));
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

Test(base, random_fills_all_and_differs)
{
    uint8_t a[2][64], any[64] = {0};

    for (int secret = 0; secret < 2; secret++) {
        cr_assert(blobseal_random(a[0], sizeof a[0], secret != 0));
        cr_assert(blobseal_random(a[1], sizeof a[1], secret != 0));
        cr_assert_neq(memcmp(a[0], a[1], sizeof a[0]), 0);
    }
    for (int i = 0; i < 64; i++) { /* every byte is written: 64 tries miss one with probability 2^-512 */
        cr_assert(blobseal_random(a[0], sizeof a[0], true));
        for (size_t k = 0; k < sizeof any; k++)
            any[k] |= a[0][k];
    }
    for (size_t k = 0; k < sizeof any; k++)
        cr_assert_neq(any[k], 0, "byte %zu", k);
    cr_assert(blobseal_random(a[0], 0, true));
}

/* ---- digest.c ---------------------------------------------------------------------------------------------------- */

static void check_sha256(const char *text, size_t repeat, const char *hex)
{
    struct vec_bytes expected = vec_hex(hex);
    struct bs_sha256 h = bs_sha256_start();
    uint8_t out[BS_SHA256_LEN];

    for (size_t i = 0; i < repeat; i++)
        bs_sha256_add(&h, text, strlen(text));
    cr_assert(bs_sha256_end(&h, out));
    cr_assert_arr_eq(out, expected.p, sizeof out);
    cr_assert_null(h.ctx);
    free(expected.p);
}

/* FIPS 180-4's examples. */
Test(base, sha256_gives_the_known_values)
{
    check_sha256("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha256("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check_sha256("aaaaaaaaaa", 100000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}
