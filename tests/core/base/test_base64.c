/* SPDX-License-Identifier: Apache-2.0 */
/* base64 with padding in both directions, compared with OpenSSL, and what is refused. */
#include <stdlib.h>
#include <string.h>

#include "core/base/base.h"
#include "tests/support/suite.h"

SUITE(base64);

static bool accepts(const char *text)
{
    struct vec_bytes copy = vec_copy(text, strlen(text));
    size_t len = copy.len;
    bool ok = bs_base64_decode(copy.p, &len);

    cr_assert(ok || len == 0);
    free(copy.p);
    return ok;
}

Test(base64, agrees_with_openssl)
{
    uint64_t state = 3;

    for (size_t len = 0; len < 200; len++) {
        uint8_t bytes[200], text[300], expected[300];
        struct bs_builder w = bs_builder_start(text, sizeof text);
        size_t n;

        vec_random_fill(&state, bytes, len);
        bs_put_base64(&w, bytes, len);
        cr_assert(w.ok && w.len == BS_BASE64_LEN(len));
        cr_assert_eq((size_t)EVP_EncodeBlock(expected, bytes, (int)len), w.len);
        cr_assert_eq(memcmp(text, expected, w.len), 0);
        n = w.len;
        cr_assert(bs_base64_decode(text, &n) && n == len && memcmp(text, bytes, len) == 0);
    }
}

Test(base64, is_strict)
{
    static const char *const good[] = {"", "Zg==", "Zm8=", "Zm9v", "+/+/"};
    static const char *const bad[] = {"Zg",   "Zg=",  "Zm8",      "Z===",   "====",   "Zh==",      "Zm9=",
                                      "-_-_", "+/-_", "Zg==Zg==", "Zm9v\n", " Zm9v",  "Zm9v Zm9v", "Zg=\n",
                                      "*AAA", "AA*A", "=AAA",     "A=AA",   "AAA\xC3"};

    for (size_t i = 0; i < BS_COUNT(good); i++)
        cr_assert(accepts(good[i]), "%s", good[i]);
    for (size_t i = 0; i < BS_COUNT(bad); i++)
        cr_assert(!accepts(bad[i]), "%s", bad[i]);
}

Test(base64, does_not_write_beyond_the_room)
{
    uint8_t text[8] = {0};
    struct bs_builder w = bs_builder_start(text, 7);

    bs_put_base64(&w, "abcd", 4);
    cr_assert(!w.ok && w.len == 0 && text[0] == 0);
}
