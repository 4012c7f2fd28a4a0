/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the suites of Criterion tests have in common: what they include, and the declaration of a suite. Each test runs
 * in a process of its own, so tests may change static variables.
 */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <criterion/criterion.h>

#include "tests/support/blobs.h"
#include "tests/support/vectors.h"

/* Declare a suite: a name, and settings such as .timeout in seconds. Its tests must not leak memory. */
#define SUITE(...) TestSuite(__VA_ARGS__, .fini = vec_no_leaks)

/* Declare a suite in which @begin() runs before each test and @end() after it: name, begin, end, settings. */
#define SUITE_WITH(...) SUITE_WITH_(__VA_ARGS__, .disabled = false)
#define SUITE_WITH_(name, begin, end, ...)                                                                             \
    static void name##_end(void)                                                                                       \
    {                                                                                                                  \
        end();                                                                                                         \
        vec_no_leaks();                                                                                                \
    }                                                                                                                  \
    TestSuite(name, .init = begin, .fini = name##_end, __VA_ARGS__)

/* Declare a suite whose tests have a key, `kek` with the state `fake`, and @len random bytes at `plain`. */
#define SUITE_WITH_PLAIN(name, len)                                                                                    \
    static struct fake_kek fake = {.kid = "a-key"};                                                                    \
    static struct blobseal_kek *kek;                                                                                   \
    static uint8_t *plain;                                                                                             \
                                                                                                                       \
    static void name##_begin(void)                                                                                     \
    {                                                                                                                  \
        kek = fake_kek_open(&fake);                                                                                    \
        plain = must_alloc(len);                                                                                       \
        fill_random(plain, len, 5);                                                                                    \
    }                                                                                                                  \
                                                                                                                       \
    static void name##_release(void)                                                                                   \
    {                                                                                                                  \
        blobseal_kek_close(kek);                                                                                       \
        free(plain);                                                                                                   \
    }                                                                                                                  \
    SUITE_WITH(name, name##_begin, name##_release)

#endif
