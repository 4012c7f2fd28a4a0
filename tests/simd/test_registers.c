/* SPDX-License-Identifier: Apache-2.0 */
/* What has handled keys or plaintext leaves vector registers that are zero. */
#include <stdlib.h>
#include <string.h>

#include "core/include/blobseal_provider.h"
#include "tests/support/gcm.h"
#include "tests/support/registers.h"
#include "tests/support/suite.h"

SUITE(registers);

static uint8_t filled[REGISTERS_LEN], found[REGISTERS_LEN];

/* Fill the registers, run @code, and count the bytes in registers that are not zero afterwards. */
#define COUNT_AFTER(count, code)                                                                                       \
    do {                                                                                                               \
        uint32_t features_ = bs_cpu_known_features();                                                                  \
        memset(filled, 0xA5, sizeof filled);                                                                           \
        memset(found, 0, sizeof found);                                                                                \
        registers_fill(filled, features_);                                                                             \
        code;                                                                                                          \
        registers_read(found, features_);                                                                              \
        (count) = count_nonzero();                                                                                     \
    } while (0)

static unsigned count_nonzero(void)
{
    unsigned n = 0;

    for (size_t i = 0; i < sizeof found; i++)
        n += found[i] != 0 ? 1 : 0;
    return n;
}

static uint8_t plain[4096], sealed[4096 + BS_GCM_TAG_LEN];

Test(registers, the_test_finds_what_is_left)
{
    unsigned n;

    COUNT_AFTER(n, (void)0);
    cr_expect_geq(n, 16 * 16, "%u", n);
}

Test(registers, wiping)
{
    static uint8_t from[300], to[300];
    unsigned n;

    memset(from, 7, sizeof from);
    COUNT_AFTER(n, bs_wipe_registers());
    cr_expect_eq(n, 0, "%u", n);
    COUNT_AFTER(n, bs_copy_secret(to, from, sizeof from));
    cr_expect(n == 0 && memcmp(from, to, sizeof from) == 0, "%u", n);
    COUNT_AFTER(n, blobseal_wipe(from, sizeof from));
    cr_expect_eq(n, 0, "%u", n);
}

Test(registers, sealing_and_opening)
{
    static const uint8_t nonce[BS_GCM_NONCE_LEN] = {1}, raw[BS_GCM_KEY_LEN] = {2};
    const struct bs_gcm_run run = {nonce, 7, 1, sizeof plain, sizeof plain};
    static struct bs_gcm_key key;
    unsigned n;

    memset(plain, 0x5A, sizeof plain);
    COUNT_AFTER(n, (void)bs_gcm_init(&key, raw));
    cr_expect_eq(n, 0, "%u", n);
    COUNT_AFTER(n, (void)bs_gcm_seal(&key, &run, sealed, plain));
    cr_expect_eq(n, 0, "%u", n);
    COUNT_AFTER(n, (void)bs_gcm_open(&key, &run, plain, sealed));
    cr_expect_eq(n, 0, "%u", n);
    bs_gcm_clear(&key);
}

Test(registers, layers)
{
    static const uint8_t nonce[BS_CTR_NONCE_LEN] = {1}, raw[BS_CTR_KEY_LEN] = {2};
    static struct bs_hashes_results results;
    static struct bs_hashes hashes;
    static struct bs_ctr_key key;
    unsigned n;

    memset(plain, 0x5A, sizeof plain);
    COUNT_AFTER(n, (void)bs_ctr_init(&key, raw, nonce));
    cr_expect_eq(n, 0, "%u", n);
    COUNT_AFTER(n, (void)bs_ctr_crypt(&key, 0, sealed, plain, sizeof plain));
    cr_expect_eq(n, 0, "%u", n);
    bs_ctr_clear(&key);
    COUNT_AFTER(n, (void)bs_hashes_init(&hashes, raw, BS_HASHES_MAC | BS_HASHES_OTHER));
    cr_expect_eq(n, 0, "%u", n);
    COUNT_AFTER(n, bs_hashes_add_first(&hashes, plain, sizeof plain));
    cr_expect_eq(n, 0, "%u", n);
    COUNT_AFTER(n, bs_hashes_add_other(&hashes, plain, sizeof plain));
    cr_expect_eq(n, 0, "%u", n);
    COUNT_AFTER(n, bs_hashes_add_both(&hashes, plain, plain, sizeof plain));
    cr_expect_eq(n, 0, "%u", n);
    COUNT_AFTER(n, (void)bs_hashes_end(&hashes, &results));
    cr_expect_eq(n, 0, "%u", n);
    bs_hashes_clear(&hashes);
}
