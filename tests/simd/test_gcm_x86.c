/* SPDX-License-Identifier: Apache-2.0 */
/* The x86 kernels against vectors and against single calls of OpenSSL's EVP (support/gcm_checks.c), and their keys. */
#include <string.h>

#include "tests/support/entries.h"
#include "tests/support/gcm.h"
#include "tests/support/suite.h"

SUITE(gcm_x86);

extern const struct bs_gcm_impl bs_gcm_openssl;

/* Run a check with each kernel whose instructions this CPU has. */
static void on_each_kernel(const char *name)
{
    EACH_ENTRY(i)
    if (bs_gcm_impls[i] != &bs_gcm_openssl)
        gcm_check(name, bs_gcm_impls[i]);
}

#define TEST_KERNELS(name)                                                                                             \
    Test(gcm_x86, name)                                                                                                \
    {                                                                                                                  \
        on_each_kernel(#name);                                                                                         \
    }
EACH_GCM_CHECK(TEST_KERNELS)

Test(gcm_x86, a_cleared_key_has_no_byte_of_its_schedule)
{
    EACH_ENTRY(i)
    if (bs_gcm_impls[i] != &bs_gcm_openssl) {
        struct bs_gcm_key key = gcm_key(bs_gcm_impls[i], gcm_raw_key);

        cr_expect_not(bs_all_zero(key.schedule, sizeof key.schedule), "%s", bs_gcm_impls[i]->name);
        key.impl->clear(&key);
        cr_expect(bs_all_zero(key.schedule, sizeof key.schedule), "%s", bs_gcm_impls[i]->name);
    }
}

/* Nothing from an earlier key in the same memory is part of a new key. */
Test(gcm_x86, a_key_does_not_depend_on_what_its_memory_held)
{
    EACH_ENTRY(i)
    if (bs_gcm_impls[i] != &bs_gcm_openssl) {
        struct bs_gcm_key fresh = gcm_key(bs_gcm_impls[i], gcm_raw_key), used = {.impl = bs_gcm_impls[i]};

        memset(used.schedule, 0xEE, sizeof used.schedule);
        cr_assert_eq(used.impl->init(&used, gcm_raw_key), BS_GCM_OK);
        used.impl->clear(&used);
        cr_assert_eq(used.impl->init(&used, gcm_raw_key), BS_GCM_OK);
        cr_expect_eq(memcmp(fresh.schedule, used.schedule, sizeof used.schedule), 0, "%s", bs_gcm_impls[i]->name);
    }
}

/* A kernel is never selected for a CPU that lacks one of its features. */
Test(gcm_x86, a_kernel_needs_each_of_its_features)
{
    for (size_t i = 0; bs_gcm_impls[i] != NULL; i++) {
        const struct bs_gcm_impl *impl = bs_gcm_impls[i];

        cr_expect_eq(impl->needs == 0, impl == &bs_gcm_openssl);
        for (unsigned bit = 0; bit < 32; bit++)
            if ((impl->needs >> bit & 1) != 0)
                cr_expect_neq(bs_gcm_pick(impl->needs & ~((uint32_t)1 << bit)), impl, "%s, bit %u", impl->name, bit);
    }
}
