/* SPDX-License-Identifier: Apache-2.0 */
/* The providers that the library brings. */
#include <string.h>

#include "kek/kek.h"
#include "tests/support/suite.h"

SUITE(providers);

/* What blobseal_registry_add() demands of the providers of others: the built-in ones are never checked at run time. */
Test(providers, each_is_complete_and_has_a_scheme_of_its_own)
{
    size_t num = 0;

    for (; bs_builtin_providers[num] != NULL; num++) {
        const struct blobseal_provider *p = bs_builtin_providers[num];
        struct blobseal_registry *registry;

        cr_assert_eq(blobseal_registry_new(&registry, NULL), BLOBSEAL_OK);
        cr_expect_eq(blobseal_registry_add(registry, p, NULL), BLOBSEAL_OK, "%s", p->scheme);
        blobseal_registry_free(registry);
        for (size_t k = 0; k < num; k++)
            cr_expect_str_neq(p->scheme, bs_builtin_providers[k]->scheme);
    }
    cr_expect_gt(num, 0);
}

/* A reference without a scheme is a path, so there must be a provider of files. */
Test(providers, one_is_for_files)
{
    size_t files = 0;

    for (size_t i = 0; bs_builtin_providers[i] != NULL; i++)
        files += strcmp(bs_builtin_providers[i]->scheme, "file") == 0 ? 1 : 0;
    cr_expect_eq(files, 1);
}
