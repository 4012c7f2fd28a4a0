/* SPDX-License-Identifier: Apache-2.0 */
/* What every CKR code becomes: the status, a sentence with the name of the code, and a next step. */
#include <limits.h>
#include <stdio.h>

#include "kek/pkcs11/pkcs11.h"
#include "tests/support/token.h"

SUITE(pkcs11_errors, .timeout = 120);

/* The codes of each status. The rest of the table is E_INTERNAL. */
static const CK_RV denied[] = {CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_SENSITIVE,
                               CKR_ACTION_PROHIBITED,   CKR_KEY_FUNCTION_NOT_PERMITTED,
                               CKR_KEY_NOT_WRAPPABLE,   CKR_KEY_UNEXTRACTABLE,
                               CKR_PIN_INCORRECT,       CKR_PIN_INVALID,
                               CKR_PIN_LEN_RANGE,       CKR_PIN_EXPIRED,
                               CKR_PIN_LOCKED,          CKR_TOKEN_WRITE_PROTECTED,
                               CKR_USER_NOT_LOGGED_IN,  CKR_USER_PIN_NOT_INITIALIZED,
                               CKR_USER_TYPE_INVALID,   CKR_INFORMATION_SENSITIVE,
                               CKR_NEW_PIN_MODE,        CKR_NEXT_OTP,
                               CKR_PIN_TOO_WEAK,        CKR_FUNCTION_REJECTED};
static const CK_RV unsupported[] = {
    CKR_ARGUMENTS_BAD,         CKR_ATTRIBUTE_TYPE_INVALID,    CKR_ATTRIBUTE_VALUE_INVALID, CKR_FUNCTION_NOT_SUPPORTED,
    CKR_KEY_SIZE_RANGE,        CKR_MECHANISM_INVALID,         CKR_MECHANISM_PARAM_INVALID, CKR_TEMPLATE_INCOMPLETE,
    CKR_TEMPLATE_INCONSISTENT, CKR_UNWRAPPING_KEY_SIZE_RANGE, CKR_WRAPPING_KEY_SIZE_RANGE, CKR_EXCEEDED_MAX_ITERATIONS};
static const CK_RV config[] = {CKR_NEED_TO_CREATE_THREADS,
                               CKR_CANT_LOCK,
                               CKR_KEY_TYPE_INCONSISTENT,
                               CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
                               CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
                               CKR_DOMAIN_PARAMS_INVALID,
                               CKR_CURVE_NOT_SUPPORTED,
                               CKR_LIBRARY_LOAD_FAILED,
                               CKR_PUBLIC_KEY_INVALID};
static const CK_RV internal[] = {CKR_NO_EVENT,
                                 CKR_FUNCTION_NOT_PARALLEL,
                                 CKR_KEY_NOT_NEEDED,
                                 CKR_KEY_NEEDED,
                                 CKR_KEY_INDIGESTIBLE,
                                 CKR_SESSION_PARALLEL_NOT_SUPPORTED,
                                 CKR_SESSION_READ_ONLY,
                                 CKR_SIGNATURE_INVALID,
                                 CKR_SIGNATURE_LEN_RANGE,
                                 CKR_USER_ALREADY_LOGGED_IN,
                                 CKR_BUFFER_TOO_SMALL,
                                 CKR_SAVED_STATE_INVALID,
                                 CKR_STATE_UNSAVEABLE,
                                 CKR_CRYPTOKI_ALREADY_INITIALIZED,
                                 CKR_MUTEX_BAD,
                                 CKR_MUTEX_NOT_LOCKED};
/* Codes after which the provider finds the key again, and tries once more. */
static const CK_RV stale[] = {CKR_KEY_HANDLE_INVALID,        CKR_KEY_CHANGED,
                              CKR_OBJECT_HANDLE_INVALID,     CKR_OPERATION_ACTIVE,
                              CKR_OPERATION_NOT_INITIALIZED, CKR_SESSION_CLOSED,
                              CKR_SESSION_HANDLE_INVALID,    CKR_UNWRAPPING_KEY_HANDLE_INVALID,
                              CKR_USER_NOT_LOGGED_IN,        CKR_WRAPPING_KEY_HANDLE_INVALID};
/* Codes of C_Decrypt that may mean that the data is wrong. It gets a second chance, as the module may be. */
static const CK_RV data[] = {CKR_GENERAL_ERROR,       CKR_FUNCTION_FAILED,        CKR_DATA_INVALID,
                             CKR_DATA_LEN_RANGE,      CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE,
                             CKR_WRAPPED_KEY_INVALID, CKR_WRAPPED_KEY_LEN_RANGE};

static bool is_in(CK_RV rv, const CK_RV *list, size_t num)
{
    for (size_t i = 0; i < num; i++)
        if (list[i] == rv)
            return true;
    return false;
}

#define IS_IN(rv, list) is_in(rv, list, sizeof(list) / sizeof(list)[0])

static enum blobseal_status expected(CK_RV rv)
{
    if (rv == CKR_HOST_MEMORY)
        return BLOBSEAL_E_NOMEM;
    if (rv == CKR_CANCEL || rv == CKR_FUNCTION_CANCELED)
        return BLOBSEAL_E_CANCELED;
    if (IS_IN(rv, denied))
        return BLOBSEAL_E_DENIED;
    if (IS_IN(rv, unsupported))
        return BLOBSEAL_E_UNSUPPORTED;
    if (IS_IN(rv, config))
        return BLOBSEAL_E_CONFIG;
    return IS_IN(rv, internal) ? BLOBSEAL_E_INTERNAL : BLOBSEAL_E_UNAVAILABLE;
}

/* Check the message for a row of the table. */
static void explains(const struct bs_p11_code *row, const struct blobseal_error *err)
{
    cr_expect_not_null(strstr(err->text, row->name), "%s: %s", row->name, err->text);
    cr_expect_not_null(strstr(err->text, "pkcs11:token=fake;object=kek"), "%s: %s", row->name, err->text);
    cr_expect_str_not_empty(err->hint, "%s", row->name);
    cr_expect_null(strstr(err->text, "1234"), "%s: %s", row->name, err->text);
}

Test(pkcs11_errors, every_code_has_a_status_a_sentence_and_a_next_step)
{
    size_t num = 0;

    for (const struct bs_p11_code *row = bs_p11_codes; row->name != NULL; row++, num++) {
        struct blobseal_error err = {0};

        cr_expect_eq(bs_p11_fail(&err, row->rv, "use", "pkcs11:token=fake;object=kek"), expected(row->rv), "%s",
                     row->name);
        cr_expect_eq(err.status, expected(row->rv));
        explains(row, &err);
        cr_expect_eq(bs_p11_code(row->rv), row, "%s is there twice", row->name);
    }
    cr_expect_eq(num, 93); /* all codes of PKCS#11 2.40 */
    cr_expect_eq(bs_p11_fail(NULL, CKR_VENDOR_DEFINED + 5, "use", "x"), BLOBSEAL_E_UNAVAILABLE);
}

/* A function that fails once is no reason to ask for the PIN again; afterwards the key works. */
static void fail_in(struct token_test *t, enum fake_function f, const struct bs_p11_code *row, unsigned times)
{
    t->token->scripts[f].rv = row->rv;
    t->token->scripts[f].times = times;
}

static void recovers(struct token_test *t, const struct bs_p11_code *row)
{
    memset(t->token->scripts, 0, FAKE_LOGIN * sizeof t->token->scripts[0]);
    memset(&t->token->scripts[FAKE_LOGIN + 1], 0, (FAKE_FUNCTIONS - FAKE_LOGIN - 1) * sizeof t->token->scripts[0]);
    cr_expect_eq(token_test_unwrap(t, 0), BLOBSEAL_OK, "%s: %s", row->name, t->err.text);
    cr_expect_eq(t->token->scripts[FAKE_LOGIN].calls, 1, "%s", row->name);
}

Test(pkcs11_errors, codes_of_c_decrypt)
{
    struct token_test t;

    token_test_start(&t);
    for (const struct bs_p11_code *row = bs_p11_codes; row->name != NULL; row++) {
        token_test_clear(&t);
        cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s: %s", row->name, t.err.text);
        fail_in(&t, FAKE_DECRYPT, row, UINT_MAX);
        cr_expect_eq(token_test_unwrap(&t, 0), expected(row->rv), "%s: %s", row->name, t.err.text);
        explains(row, &t.err);
        recovers(&t, row);
        fail_in(&t, FAKE_DECRYPT, row, 1);
        if (IS_IN(row->rv, data) || IS_IN(row->rv, stale) || row->rv == CKR_CRYPTOKI_NOT_INITIALIZED) {
            cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%s: %s", row->name, t.err.text);
        } else {
            cr_expect_eq(token_test_unwrap(&t, 0), expected(row->rv), "%s", row->name);
        }
        recovers(&t, row);
        token_test_close(&t);
        cr_expect_eq(t.token->open_sessions, 0);
        cr_expect_eq(t.token->scripts[FAKE_FINALIZE].calls, 1, "%s", row->name);
    }
}

Test(pkcs11_errors, codes_of_c_decryptinit)
{
    struct token_test t;

    token_test_start(&t);
    for (const struct bs_p11_code *row = bs_p11_codes; row->name != NULL; row++) {
        token_test_clear(&t);
        cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s: %s", row->name, t.err.text);
        fail_in(&t, FAKE_DECRYPT_INIT, row, UINT_MAX);
        cr_expect_eq(token_test_unwrap(&t, 0), expected(row->rv), "%s: %s", row->name, t.err.text);
        explains(row, &t.err);
        recovers(&t, row);
        token_test_close(&t);
    }
}

/* A login is tried once, whatever it returns, and the same PIN is not tried again after the token has refused it. */
Test(pkcs11_errors, codes_of_c_login)
{
    struct token_test t;

    token_test_start(&t);
    for (const struct bs_p11_code *row = bs_p11_codes; row->name != NULL; row++) {
        char pin[16];

        token_test_clear(&t);
        (void)snprintf(pin, sizeof pin, "p%lx", row->rv); /* another one each time */
        t.pin = pin;
        fail_in(&t, FAKE_LOGIN, row, UINT_MAX);
        if (row->rv == CKR_USER_ALREADY_LOGGED_IN) /* success, but the key is not visible */
            continue;
        cr_expect_eq(token_test_open(&t), expected(row->rv), "%s: %s", row->name, t.err.text);
        cr_expect_eq(t.token->scripts[FAKE_LOGIN].calls, 1, "%s", row->name);
        cr_expect_eq(t.token->scripts[FAKE_FINALIZE].calls, 1, "%s", row->name);
        explains(row, &t.err);
        cr_expect_null(strstr(t.err.text, pin));
        if (row->rv != CKR_PIN_INCORRECT)
            continue;
        cr_expect_eq(token_test_open(&t), BLOBSEAL_E_DENIED);
        cr_expect_eq(t.token->scripts[FAKE_LOGIN].calls, 1, "it was tried again");
        cr_expect_not_null(strstr(t.err.hint, "has refused this PIN before"));
    }
}

/* All other functions that opening and unwrapping call. */
Test(pkcs11_errors, codes_of_other_functions)
{
    static const enum fake_function opening[] = {FAKE_INITIALIZE, FAKE_GET_SLOT_LIST, FAKE_OPEN_SESSION, FAKE_FIND_INIT,
                                                 FAKE_DECRYPT_INIT};
    struct token_test t;

    token_test_start(&t);
    for (const struct bs_p11_code *row = bs_p11_codes; row->name != NULL; row++)
        for (size_t i = 0; i < sizeof opening / sizeof opening[0]; i++) {
            enum blobseal_status st;

            if (opening[i] == FAKE_INITIALIZE && row->rv == CKR_CRYPTOKI_ALREADY_INITIALIZED)
                continue;
            token_test_clear(&t);
            fail_in(&t, opening[i], row, UINT_MAX);
            st = token_test_open(&t);
            cr_expect_eq(st, expected(row->rv), "%s of %zu: %s", row->name, i, t.err.text);
            cr_expect_leq(t.token->scripts[FAKE_LOGIN].calls, 1);
            token_test_close(&t);
        }
}
