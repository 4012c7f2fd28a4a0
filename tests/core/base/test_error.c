/* SPDX-License-Identifier: Apache-2.0 */
/* The version, the numbers of the statuses, and filling a struct blobseal_error. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/suite.h"

SUITE(error);

Test(error, version_is_that_of_the_header)
{
    char expected[32];

    (void)snprintf(expected, sizeof expected, "%d.%d.%d", BLOBSEAL_VERSION_MAJOR, BLOBSEAL_VERSION_MINOR,
                   BLOBSEAL_VERSION_PATCH);
    cr_assert_str_eq(blobseal_version(), expected);
}

Test(error, every_status_has_a_code_of_its_own)
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

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

Test(error, fail_fills_everything_and_answers_the_status)
{
    struct blobseal_error err;

    memset(&err, 'x', sizeof err);
    cr_assert_eq(blobseal_fail(&err, BLOBSEAL_E_CONFIG, 0, "key %s, %d bits", "a.pem", 512), BLOBSEAL_E_CONFIG);
    cr_assert_eq(err.status, BLOBSEAL_E_CONFIG);
    cr_assert_eq(err.sys_errno, 0);
    cr_assert_str_eq(err.text, "key a.pem, 512 bits");
    cr_assert_str_empty(err.hint);
}

Test(error, fail_appends_the_reason_of_the_system)
{
    struct blobseal_error err;

    cr_assert_eq(blobseal_fail(&err, BLOBSEAL_E_INPUT, ENOENT, "read x"), BLOBSEAL_E_INPUT);
    cr_assert_eq(err.sys_errno, ENOENT);
    cr_assert_str_eq(err.text, "read x: No such file or directory");
}

Test(error, errors_may_be_null)
{
    cr_assert_eq(blobseal_fail(NULL, BLOBSEAL_E_AUTH, 5, "%s", "x"), BLOBSEAL_E_AUTH);
    blobseal_hint(NULL, "%s", "x");
}

Test(error, advice_has_a_subject_and_goes_with_its_hint)
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

Test(error, a_new_error_drops_the_old_hint)
{
    struct blobseal_error err;

    (void)blobseal_fail(&err, BLOBSEAL_E_POLICY, 0, "first");
    blobseal_hint(&err, "chmod %o", 0600u);
    cr_assert_str_eq(err.hint, "chmod 600");
    cr_assert_str_eq(err.text, "first");
    (void)blobseal_fail(&err, BLOBSEAL_E_POLICY, 0, "second");
    cr_assert_str_empty(err.hint);
}

Test(error, long_text_is_truncated_and_ends_in_zero)
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

Test(error, cutting_inside_a_character_leaves_no_half)
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

Test(error, a_character_that_is_cut_becomes_a_question_mark)
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
        memcpy(longer + i, "\xC3\xA9", 2); /* the limit is inside a character */
    (void)blobseal_fail(&err, BLOBSEAL_E_INPUT, 0, "%s", longer);
    cr_expect_eq(err.text[sizeof err.text - 2], '?');
}

Test(error, every_member_is_set)
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

/* ---- Calling a callback ------------------------------------------------------------------------------------------ */

Test(error, a_callback_without_a_message_gets_the_generic_one)
{
    struct blobseal_error err;

    (void)blobseal_fail(&err, BLOBSEAL_E_DENIED, EACCES, "of an earlier call");
    bs_error_clear(&err);
    cr_assert_str_empty(err.text);
    cr_assert_eq(bs_checked(BLOBSEAL_E_INPUT, &err, "read %s", "x"), BLOBSEAL_E_INPUT);
    cr_assert_eq(err.status, BLOBSEAL_E_INPUT);
    cr_assert_eq(err.sys_errno, 0);
    cr_assert_str_eq(err.text, "read x");
}

Test(error, the_message_of_a_callback_stays)
{
    struct blobseal_error err;

    bs_error_clear(&err);
    (void)blobseal_fail(&err, BLOBSEAL_E_INPUT, EIO, "the disk");
    blobseal_hint(&err, "replace it");
    cr_assert_eq(bs_checked(BLOBSEAL_E_INPUT, &err, "read %s", "x"), BLOBSEAL_E_INPUT);
    cr_assert_eq(strncmp(err.text, "the disk", 8), 0);
    cr_assert_eq(err.sys_errno, EIO);
    cr_assert_str_eq(err.hint, "replace it");
}

Test(error, success_writes_nothing)
{
    struct blobseal_error err;

    bs_error_clear(&err);
    cr_assert_eq(bs_checked(BLOBSEAL_OK, &err, "read %s", "x"), BLOBSEAL_OK);
    cr_assert_str_empty(err.text);
    bs_error_clear(NULL);
    cr_assert_eq(bs_checked(BLOBSEAL_E_INPUT, NULL, "read %s", "x"), BLOBSEAL_E_INPUT);
}
