/* SPDX-License-Identifier: Apache-2.0 */
/* Checks for tests without a framework: a failure is reported and counted in `failures`, which the test defines. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <stdio.h>

#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                                           \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)

#endif
