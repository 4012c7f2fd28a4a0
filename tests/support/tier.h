/* SPDX-License-Identifier: Apache-2.0 */
/* How much a test does: see tier_has() in tests/cli/lib.sh. */
#ifndef TESTS_TIER_H
#define TESTS_TIER_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Return true if BLOBSEAL_TEST_TIER asks for full cross products and 4096-bit keys. */
static inline bool tier_has_all(void)
{
    const char *tier = getenv("BLOBSEAL_TEST_TIER");

    return tier != NULL && (strcmp(tier, "all") == 0 || strcmp(tier, "campaign") == 0);
}

/* Return true if BLOBSEAL_TEST_TIER asks for tests that take many minutes. */
static inline bool tier_has_campaign(void)
{
    const char *tier = getenv("BLOBSEAL_TEST_TIER");

    return tier != NULL && strcmp(tier, "campaign") == 0;
}

#endif
