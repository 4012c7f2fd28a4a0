/* SPDX-License-Identifier: Apache-2.0 */
/* What a source holds, read to its end by bs_read(). */
#ifndef TESTS_CONTENT_H
#define TESTS_CONTENT_H

#include <stdlib.h>

#include "tests/support/suite.h"

/* Read all of @source, through bs_read() in steps of @step. */
static inline uint8_t *read_all(const struct blobseal_source *source, size_t step, size_t *len)
{
    struct bs_input in = {source, 0};
    struct blobseal_error err;
    uint8_t *p = NULL;
    size_t n;

    *len = 0;
    do {
        p = realloc(p, *len + step);
        cr_assert_not_null(p);
        cr_assert_eq(bs_read(&in, p + *len, step, &n, &err), BLOBSEAL_OK, "%s", err.text);
        *len += n;
    } while (n == step);
    cr_assert_eq(in.pos, *len);
    cr_assert_eq(bs_read(&in, p, 1, &n, &err), BLOBSEAL_OK, "reading after the end is no error");
    cr_assert_eq(n, 0);
    return p;
}

/* Expect exactly @want, whatever the size of the pieces. */
static inline void expect_content(const struct blobseal_source *source, const uint8_t *want, size_t want_len)
{
    static const size_t steps[] = {1 << 20, 4096, 777};
    size_t len;
    uint8_t *p;

    for (size_t i = 0; i < (source->pread != NULL ? COUNT(steps) : 1); i++) {
        p = read_all(source, steps[i], &len);
        cr_expect_eq(len, want_len);
        cr_expect(len == want_len && memcmp(p, want, len) == 0);
        free(p);
    }
}

#endif
