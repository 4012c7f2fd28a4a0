/* SPDX-License-Identifier: Apache-2.0 */
/* The table of key algorithms: names that match exactly, and the lengths of their wrapped keys. */
#include <stdlib.h>
#include <string.h>

#include "kek/kek.h"
#include "tests/support/suite.h"

SUITE(algorithms);

Test(algorithms, a_name_matches_exactly)
{
    static const struct {
        const char *name;
        bool known;
    } names[] = {
        {"RSA-OAEP-256", true}, {"RSA-OAEP", true},      {"", false},        {"RSA-OAEP-25", false},
        {"RSA-OAEP-", false},   {"RSA-OAEP-512", false}, {"RSA1_5", false},  {"rsa-oaep-256", false},
        {"dir", false},         {"A256KW", true},        {"RSA-OAE", false}, {"RSA-OAEP-256 ", false},
    };

    for (size_t i = 0; i < COUNT(names); i++) {
        struct vec_bytes exact = vec_copy(names[i].name, strlen(names[i].name)); /* not followed by a zero byte */
        const struct bs_key_algorithm *alg = bs_key_algorithm((const char *)exact.p, exact.len);

        cr_expect_eq(alg != NULL, names[i].known, "%s", names[i].name);
        if (alg != NULL)
            cr_expect_str_eq(alg->name, names[i].name);
        free(exact.p);
    }
    cr_expect_null(bs_key_algorithm("RSA-OAEP\0-256", 13), "a zero byte does not end a name");
}

Test(algorithms, wraps_to_the_length_of_an_allowed_modulus)
{
    static const char *const names[] = {"RSA-OAEP-256", "RSA-OAEP"};

    for (size_t i = 0; i < COUNT(names); i++) {
        const struct bs_key_algorithm *alg = bs_key_algorithm(names[i], strlen(names[i]));

        for (size_t len = 0; len <= 1024; len++)
            cr_expect_eq(bs_key_algorithm_wraps_to(alg, len), len == 256 || len == 384 || len == 512, "%s, %zu bytes",
                         names[i], len);
    }
}

Test(algorithms, a_set_key_wraps_to_40_bytes)
{
    const struct bs_key_algorithm *alg = bs_key_algorithm("A256KW", 6);

    cr_assert_not_null(alg);
    for (size_t len = 0; len <= 1024; len++)
        cr_expect_eq(bs_key_algorithm_wraps_to(alg, len), len == 40, "%zu bytes", len);
}

/* A table entry may have fewer lengths than there is room for: the zeros in the rest are not lengths. */
Test(algorithms, zero_is_no_length)
{
    const struct bs_key_algorithm one = {"one", {40}, false};

    cr_expect(bs_key_algorithm_wraps_to(&one, 40));
    cr_expect_not(bs_key_algorithm_wraps_to(&one, 0));
}
