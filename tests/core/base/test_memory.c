/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for plaintext, wiping, comparing in constant time, and random bytes. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/suite.h"

SUITE(memory);

Test(memory, free_takes_null)
{
    blobseal_free(malloc(3));
    blobseal_free(NULL);
}

#define MAP_FROM ((size_t)128 << 10) /* shorter memory comes from the heap */

Test(memory, is_zero_and_all_of_it_can_be_written)
{
    static const size_t lens[] = {1, 4096, MAP_FROM - 1, MAP_FROM, MAP_FROM + 1, (size_t)3 << 20};

    for (size_t i = 0; i < COUNT(lens); i++)
        for (int again = 0; again < 2; again++) { /* the second allocation may reuse memory */
            uint8_t *p = bs_map(lens[i]);

            cr_assert_not_null(p);
            cr_assert(bs_all_zero(p, lens[i]), "%zu bytes", lens[i]);
            memset(p, 0xFF, lens[i]);
            bs_unmap(p, lens[i]);
        }
    bs_unmap(NULL, 5);
    bs_unmap(NULL, MAP_FROM);
}

Test(memory, that_does_not_exist_is_null)
{
    cr_expect_null(bs_map(SIZE_MAX));
    cr_expect_null(bs_map(SIZE_MAX / 2));
}

/* Return the line `VmFlags` of the mapping that holds @p. */
static bool has_flag(const void *p, const char *flag)
{
    char line[512];
    FILE *f = fopen("/proc/self/smaps", "r");
    bool inside = false, found = false;

    cr_assert_not_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned long long from, to;

        if (sscanf(line, "%llx-%llx", &from, &to) == 2)
            inside = (uintptr_t)p >= from && (uintptr_t)p < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag) != NULL;
    }
    (void)fclose(f);
    return found;
}

Test(memory, large_plaintext_stays_out_of_core_files)
{
    uint8_t *small = bs_map(MAP_FROM - 1), *large = bs_map(MAP_FROM);

    cr_expect(has_flag(large, " dd"), "the flag of MADV_DONTDUMP");
    cr_expect_not(has_flag(small, " dd"));
    bs_unmap(small, MAP_FROM - 1);
    bs_unmap(large, MAP_FROM);
}

Test(memory, wipe_clears_exactly_what_it_is_given)
{
    uint8_t p[10];

    memset(p, 1, sizeof p);
    blobseal_wipe(p + 2, 6);
    cr_assert(bs_all_zero(p + 2, 6));
    cr_assert(p[0] == 1 && p[1] == 1 && p[8] == 1 && p[9] == 1);
    blobseal_wipe(p, 0);
    cr_assert_eq(p[0], 1);
    blobseal_wipe(NULL, 0);
}

Test(memory, equal_compares_every_bit)
{
    uint8_t a[40] = {1, 2, 3}, b[40] = {1, 2, 3};

    cr_assert(blobseal_equal(a, b, sizeof a));
    cr_assert(blobseal_equal(a, b, 0));
    for (size_t bit = 0; bit < 8 * sizeof a; bit++) {
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_not(blobseal_equal(a, b, sizeof a), "bit %zu", bit);
        cr_assert(blobseal_equal(a, b, bit / 8));
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

Test(memory, random_fills_all_and_differs)
{
    uint8_t a[2][64], any[64] = {0};

    for (int secret = 0; secret < 2; secret++) {
        cr_assert(blobseal_random(a[0], sizeof a[0], secret != 0));
        cr_assert(blobseal_random(a[1], sizeof a[1], secret != 0));
        cr_assert_neq(memcmp(a[0], a[1], sizeof a[0]), 0);
    }
    for (int i = 0; i < 64; i++) { /* every byte is written: 64 tries miss one with probability 2^-512 */
        cr_assert(blobseal_random(a[0], sizeof a[0], true));
        for (size_t k = 0; k < sizeof any; k++)
            any[k] |= a[0][k];
    }
    for (size_t k = 0; k < sizeof any; k++)
        cr_assert_neq(any[k], 0, "byte %zu", k);
    cr_assert(blobseal_random(a[0], 0, true));
}

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

/* Reach vm.max_map_count: every second page has other permissions, so that the kernel cannot merge them. */
static bool use_up_mappings(void)
{
    for (int i = 0; i < 1 << 20; i++)
        if (mmap(NULL, 4096, i % 2 == 0 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            return true;
    return false;
}

#ifndef __SANITIZE_ADDRESS__ /* which takes terabytes of address space */
static bool limit_address_space(void)
{
    const struct rlimit limit = {64 << 20, 64 << 20};

    return setrlimit(RLIMIT_AS, &limit) == 0;
}
#endif

/* Make @limit true in a child, and return true if a lack of memory then names @what in the hint. */
static bool hint_names(bool (*limit)(void), const char *what)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct blobseal_error err;

        _exit(limit() && bs_map((size_t)100 << 20) == NULL &&
                      blobseal_fail(&err, BLOBSEAL_E_NOMEM, 0, "no memory") == BLOBSEAL_E_NOMEM &&
                      strstr(err.hint, what) != NULL
                  ? 0
                  : 1);
    }
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool no_limit(void)
{
    return true;
}

Test(memory, an_error_names_the_limit)
{
    struct blobseal_error err;

    cr_expect(hint_names(use_up_mappings, "vm.max_map_count"));
#ifndef __SANITIZE_ADDRESS__
    cr_expect(hint_names(limit_address_space, "RLIMIT_AS"));
#endif
    cr_expect_not(hint_names(no_limit, "e"));
    (void)blobseal_fail(&err, BLOBSEAL_E_NOMEM, 0, "no memory");
    cr_expect_str_empty(err.hint);
}
