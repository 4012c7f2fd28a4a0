/* SPDX-License-Identifier: Apache-2.0 */
/* Modules that do not return, and programs that stop waiting for them. */
#include <limits.h>
#include <sched.h>
#include <time.h>

#include "kek/pkcs11/pkcs11.h"
#include "tests/support/token.h"

SUITE(pkcs11_worker, .timeout = 60);

#define SHORT_MS 50

/* Unwrap, which must hang in C_Decrypt. On a busy machine the time may be over before a thread has got there. */
static void hang(struct token_test *t)
{
    t->token->scripts[FAKE_DECRYPT].hangs = true;
    do {
        cr_expect_eq(token_test_unwrap(t, SHORT_MS), BLOBSEAL_E_UNAVAILABLE);
    } while (__atomic_load_n(&t->token->scripts[FAKE_DECRYPT].calls, __ATOMIC_SEQ_CST) == 0);
}

/* Let the module go on, and wait until it can be used again. */
static void comes_back(struct token_test *t)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    enum blobseal_status st;

    t->release();
    while ((st = token_test_unwrap(t, 0)) == BLOBSEAL_E_UNAVAILABLE)
        (void)nanosleep(&pause, NULL);
    cr_assert_eq(st, BLOBSEAL_OK, "%s", t->err.text);
}

Test(pkcs11_worker, a_call_that_hangs_is_abandoned_at_the_deadline)
{
    struct token_test t;

    token_test_start(&t);
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    hang(&t);
    /* Without a limit this would hang as well. */
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_not_null(strstr(t.err.text, "has not returned yet"), "%s", t.err.text);
    cr_expect_eq(t.token->scripts[FAKE_DECRYPT].calls, 1);
    comes_back(&t);
    cr_expect_eq(t.token->scripts[FAKE_LOGIN].calls, 1);
    token_test_close(&t);
}

/* Another key of the module is told at once, and closing a key does not wait either. */
Test(pkcs11_worker, a_key_can_be_closed_while_its_module_hangs)
{
    struct token_test t, again;

    token_test_start(&t);
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    hang(&t);
    again = t;
    cr_expect_eq(token_test_open(&again), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_not_null(strstr(again.err.text, "has not returned yet"), "%s", again.err.text);
    token_test_close(&t);
    t.release();
    while (token_test_open(&again) == BLOBSEAL_E_UNAVAILABLE)
        (void)sched_yield();
    cr_expect_eq(token_test_unwrap(&again, 0), BLOBSEAL_OK, "%s", again.err.text);
    token_test_close(&again);
}

/* Open the key, until @function was called: the session of a key that was closed just now may still be logged in. */
static enum blobseal_status open_through(struct token_test *t, enum fake_function function)
{
    enum blobseal_status st;

    for (;;) {
        st = token_test_open(t);
        if (st != BLOBSEAL_OK || __atomic_load_n(&t->token->scripts[function].calls, __ATOMIC_SEQ_CST) > 0)
            return st;
        token_test_close(t);
    }
}

Test(pkcs11_worker, every_function_may_hang)
{
    static const enum fake_function hanging[] = {FAKE_INITIALIZE,   FAKE_GET_SLOT_LIST,    FAKE_GET_TOKEN_INFO,
                                                 FAKE_OPEN_SESSION, FAKE_GET_SESSION_INFO, FAKE_LOGIN,
                                                 FAKE_FIND_INIT,    FAKE_GET_ATTRIBUTE,    FAKE_DECRYPT_INIT};
    struct token_test t;

    token_test_start(&t);
    for (size_t i = 0; i < sizeof hanging / sizeof hanging[0]; i++) {
        token_test_clear(&t);
        t.token->scripts[hanging[i]].hangs = true;
        t.options.timeout_ms = SHORT_MS;
        cr_expect_eq(open_through(&t, hanging[i]), BLOBSEAL_E_UNAVAILABLE, "%zu", i);
        t.options.timeout_ms = 0;
        t.release();
        while (token_test_open(&t) == BLOBSEAL_E_UNAVAILABLE)
            (void)sched_yield();
        cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%zu: %s", i, t.err.text);
        token_test_close(&t);
    }
}

Test(pkcs11_worker, a_program_may_stop_waiting)
{
    struct token_test t;
    int cancel = 1;

    token_test_start(&t);
    t.options.cancel = &cancel;
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_CANCELED);
    cancel = 0;
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK);
    token_test_close(&t);
}

/* The limit in the options of the key also holds for later calls that have none of their own. */
Test(pkcs11_worker, the_options_of_a_key_limit_later_calls)
{
    enum blobseal_status st;
    struct token_test t;

    token_test_start(&t);
    t.options.timeout_ms = 2000;
    while ((st = token_test_open(&t)) == BLOBSEAL_E_UNAVAILABLE) /* on a busy machine */
        token_test_close(&t);
    cr_assert_eq(st, BLOBSEAL_OK, "%s", t.err.text);
    t.token->scripts[FAKE_DECRYPT].hangs = true;
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_not_null(strstr(t.err.text, "within the time limit"), "%s", t.err.text);
    comes_back(&t);
    token_test_close(&t);
}
