/* SPDX-License-Identifier: Apache-2.0 */
/* Structs of callers that were compiled with an older or a newer header. */
#include <string.h>

#include "tests/support/suite.h"

SUITE(struct);

/* A struct of this version, and one of a later version that has more members. */
struct own {
    size_t size;
    uint32_t a, b;
};
struct newer {
    struct own known;
    uint8_t more[24];
};

static const struct own defaults = {.size = sizeof defaults, .a = 1, .b = 2};

Test(struct, an_older_struct_leaves_the_members_it_lacks)
{
    const struct own theirs = {.size = offsetof(struct own, b), .a = 7, .b = 8};
    struct own own = defaults;

    cr_assert(blobseal_struct_import(&own, sizeof own, &theirs));
    cr_expect_eq(own.size, sizeof own, "the size stays that of this version");
    cr_expect_eq(own.a, 7);
    cr_expect_eq(own.b, 2);
    own = defaults;
    cr_assert(blobseal_struct_import(&own, sizeof own, &(const struct own){.size = sizeof(size_t), .a = 7}));
    cr_expect_eq(own.a, 1);
    cr_assert(blobseal_struct_import(&own, sizeof own, NULL));
    cr_expect_eq(own.a, 1);
}

Test(struct, members_of_a_newer_struct_must_be_zero)
{
    struct newer theirs = {.known = {.size = sizeof theirs, .a = 7, .b = 8}};
    struct own own;

    for (size_t at = 0; at <= sizeof theirs.more; at++) {
        if (at < sizeof theirs.more)
            theirs.more[at] = 1;
        own = defaults;
        cr_expect_eq(blobseal_struct_import(&own, sizeof own, &theirs), at == sizeof theirs.more, "byte %zu", at);
        cr_expect_eq(own.b, at == sizeof theirs.more ? 8 : 2, "a struct that is refused changes nothing");
        if (at < sizeof theirs.more)
            theirs.more[at] = 0;
    }
}

Test(struct, a_size_has_limits)
{
    static const size_t bad[] = {0, 1, sizeof(size_t) - 1, 4097, SIZE_MAX};
    static union {
        size_t size;
        uint8_t room[4097];
    } theirs;
    struct own own = defaults;

    for (size_t i = 0; i < COUNT(bad); i++) {
        theirs.size = bad[i];
        cr_expect_not(blobseal_struct_import(&own, sizeof own, &theirs), "size %zu", bad[i]);
    }
    theirs.size = 4096;
    cr_expect(blobseal_struct_import(&own, sizeof own, &theirs));
}

Test(struct, a_result_is_copied_as_far_as_the_struct_of_the_caller_goes)
{
    const struct own result = {.size = sizeof result, .a = 7, .b = 8};
    struct newer theirs = {.known = {.size = offsetof(struct own, b), .a = 1, .b = 2}};

    cr_assert(bs_struct_export(&theirs, &result, sizeof result));
    cr_expect_eq(theirs.known.size, offsetof(struct own, b), "the size stays that of the caller");
    cr_expect_eq(theirs.known.a, 7);
    cr_expect_eq(theirs.known.b, 2, "nothing is written past its size");
    theirs.known.size = sizeof theirs;
    memset(theirs.more, 9, sizeof theirs.more);
    cr_assert(bs_struct_export(&theirs, &result, sizeof result));
    cr_expect_eq(theirs.known.b, 8);
    for (size_t i = 0; i < sizeof theirs.more; i++)
        cr_expect_eq(theirs.more[i], 9, "nor past the members of this version");
    cr_expect(bs_struct_export(NULL, &result, sizeof result));
    theirs.known.size = sizeof(size_t) - 1;
    cr_expect_not(bs_struct_export(&theirs, &result, sizeof result));
}
