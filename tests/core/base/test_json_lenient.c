/* SPDX-License-Identifier: Apache-2.0 */
/* Skipping values of other programs, which may be any JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/base.h"
#include "tests/support/suite.h"

SUITE(json_lenient);

static bool skips(const char *value, bool lenient)
{
    char text[128];
    struct vec_bytes copy;
    struct bs_slice name;
    struct bs_json j;
    bool ok;

    (void)snprintf(text, sizeof text, "{\"x\":%s}", value);
    copy = vec_copy(text, strlen(text));
    j = bs_json_start(copy.p, copy.len);
    j.lenient = lenient;
    (void)bs_json_object(&j);
    while (bs_json_member(&j, &name))
        bs_json_skip(&j);
    ok = bs_json_end(&j);
    free(copy.p);
    return ok;
}

Test(json_lenient, skipping_takes_any_value)
{
    static const char *const any[] = {"null", "true", "false", "-1", "0.5", "1e9", "-1.5E+3", "1e-2", "[null,{}]", "0"};
    static const char *const none[] = {"nul", "True", "-", "01", "1.", ".5", "1e", "+1", "NaN", "[null,]", "", "nullx"};

    for (size_t i = 0; i < BS_COUNT(any); i++) {
        cr_assert(skips(any[i], true), "refused: %s", any[i]);
        cr_assert_eq(skips(any[i], false), strcmp(any[i], "0") == 0, "%s", any[i]);
    }
    for (size_t i = 0; i < BS_COUNT(none); i++)
        cr_assert(!skips(none[i], true), "accepted: %s", none[i]);
}
