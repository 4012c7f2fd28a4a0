/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The self-tests pass for all available implementations, and fail for implementations that are broken in one way each.
 */
#include <stdlib.h>
#include <string.h>

#include "simd/simd.h"
#include "tests/support/entries.h"
#include "tests/support/suite.h"

SUITE(selftest);

Test(selftest, every_implementation_passes)
{
    EACH_ENTRY(i)
    cr_expect_eq(bs_gcm_selftest(bs_gcm_impls[i]), BS_GCM_OK, "%s", bs_gcm_impls[i]->name);
    cr_expect_eq(bs_xxh3_selftest(bs_xxh3), BS_GCM_OK);
}

/* ---- A kernel with exactly one fault ----------------------------------------------------------------------------- */

static enum {
    NOTHING,
    NO_MEMORY,
    WRONG_TEXT,  /* one bit of the ciphertext is wrong */
    WRONG_TAG,   /* of the last message */
    NO_CARRY,    /* message numbers wrap around after 32 bits */
    TAKES_ALL,   /* accepts every tag */
    TAKES_EMPTY, /* accepts every empty message */
    TAKES_SHORT, /* compares only half of the tag */
    LEAVES_TEXT, /* releases the plaintext of a refused message */
    REFUSES_ALL,
    CANNOT_SEAL,
} fault;

static const struct bs_gcm_impl *inner;

static enum bs_gcm_status bad_init(struct bs_gcm_key *key, const uint8_t raw[BS_GCM_KEY_LEN])
{
    return fault != NO_MEMORY ? inner->init(key, raw) : BS_GCM_NO_MEMORY;
}

static void bad_clear(struct bs_gcm_key *key)
{
    inner->clear(key);
}

/* Seal message by message, so that message numbers can be truncated. */
static bool seal_cut(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *sealed, const uint8_t *plain)
{
    for (size_t i = 0; i < run->num; i++) {
        struct bs_gcm_run one = *run;

        one.first = (uint32_t)(run->first + i);
        one.num = 1;
        one.last_len = i + 1 == run->num ? run->last_len : run->msg_len;
        if (!inner->seal(key, &one, sealed + i * (run->msg_len + BS_GCM_TAG_LEN), plain + i * run->msg_len))
            return false;
    }
    return true;
}

static bool bad_seal(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *sealed, const uint8_t *plain)
{
    size_t len = bs_gcm_sealed_len(run);

    if (fault == CANNOT_SEAL)
        return false;
    if (fault == NO_CARRY)
        return seal_cut(key, run, sealed, plain);
    if (!inner->seal(key, run, sealed, plain))
        return false;
    if (fault == WRONG_TEXT && len > BS_GCM_TAG_LEN)
        sealed[len / 2] ^= 1;
    if (fault == WRONG_TAG)
        sealed[len - 1] ^= 1;
    return true;
}

/*
 * Return what a kernel produces from sealed bytes without comparing the tag: the plaintext, obtained by sealing again.
 */
static void decrypt_anyway(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *plain, const uint8_t *sealed)
{
    size_t len = bs_gcm_sealed_len(run);
    uint8_t *stream = malloc(len);

    cr_assert_not_null(stream);
    memset(plain, 0, len - run->num * BS_GCM_TAG_LEN);
    cr_assert(inner->seal(key, run, stream, plain));
    for (size_t i = 0, at = 0; i < run->num; i++, at += BS_GCM_TAG_LEN) {
        size_t n = i + 1 == run->num ? run->last_len : run->msg_len;

        for (size_t k = 0; k < n; k++, at++)
            *plain++ = sealed[at] ^ stream[at];
    }
    free(stream);
}

static bool bad_open(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *plain, const uint8_t *sealed)
{
    size_t len = bs_gcm_sealed_len(run);
    bool ok = inner->open(key, run, plain, sealed);
    uint8_t tag[BS_GCM_TAG_LEN], none[1];

    switch (fault) {
    case TAKES_ALL:
        decrypt_anyway(key, run, plain, sealed);
        return true;
    case TAKES_EMPTY:
        return ok || len == BS_GCM_TAG_LEN;
    case TAKES_SHORT:
        return ok || (len == BS_GCM_TAG_LEN && inner->seal(key, run, tag, none) && memcmp(tag, sealed, 8) == 0);
    case LEAVES_TEXT:
        if (!ok)
            decrypt_anyway(key, run, plain, sealed);
        return ok;
    case REFUSES_ALL:
        return false;
    default:
        return ok;
    }
}

static const struct bs_gcm_impl bad = {
    .name = "bad", .init = bad_init, .clear = bad_clear, .seal = bad_seal, .open = bad_open};

Test(selftest, every_fault_of_a_kernel_is_found)
{
    for (inner = bs_gcm_pick(bs_cpu_features()), fault = NOTHING; fault <= CANNOT_SEAL; fault++)
        cr_expect_eq(bs_gcm_selftest(&bad),
                     fault == NOTHING     ? BS_GCM_OK
                     : fault == NO_MEMORY ? BS_GCM_NO_MEMORY
                                          : BS_GCM_BROKEN,
                     "fault %d", fault);
}

/* ---- Checksums
 * -------------------------------------------------------------------------------------------------------- */

static uint64_t always_of_nothing(uint64_t seed, const void *p, size_t len)
{
    (void)p;
    (void)len;
    return bs_xxh3(seed, NULL, 0);
}

static uint64_t without_the_last_byte(uint64_t seed, const void *p, size_t len)
{
    return bs_xxh3(seed, p, len > 0 ? len - 1 : 0);
}

static uint64_t with_another_seed(uint64_t seed, const void *p, size_t len)
{
    return bs_xxh3(seed + 1, p, len);
}

Test(selftest, wrong_checksums_are_found)
{
    cr_expect_eq(bs_xxh3_selftest(always_of_nothing), BS_GCM_BROKEN);
    cr_expect_eq(bs_xxh3_selftest(without_the_last_byte), BS_GCM_BROKEN);
    cr_expect_eq(bs_xxh3_selftest(with_another_seed), BS_GCM_BROKEN);
}
