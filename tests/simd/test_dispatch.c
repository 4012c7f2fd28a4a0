/* SPDX-License-Identifier: Apache-2.0 */
/* The table of AES-GCM implementations, and which of them is selected for a key. */
#include <stdio.h>
#include <string.h>

#include "simd/simd.h"
#include "tests/support/suite.h"

SUITE(dispatch);

static const uint8_t raw[BS_GCM_KEY_LEN] = {1, 2, 3};

static size_t table_len(void)
{
    size_t n = 0;

    while (bs_gcm_impls[n] != NULL)
        n++;
    return n;
}

Test(dispatch, table_ends_in_null_and_is_not_empty)
{
    cr_assert_gt(table_len(), 0);
    cr_assert_lt(table_len(), 16);
}

Test(dispatch, entries_are_complete_and_have_names_of_their_own)
{
    for (size_t i = 0; i < table_len(); i++) {
        const struct bs_gcm_impl *impl = bs_gcm_impls[i];

        cr_assert(impl->init != NULL && impl->clear != NULL && impl->seal != NULL && impl->open != NULL);
        cr_assert(impl->name != NULL && impl->name[0] != '\0');
        for (size_t k = 0; k < i; k++)
            cr_assert_str_neq(impl->name, bs_gcm_impls[k]->name);
    }
}

Test(dispatch, the_last_entry_needs_no_cpu_feature)
{
    cr_assert_str_eq(bs_gcm_impls[table_len() - 1]->name, "openssl");
}

Test(dispatch, a_key_takes_the_best_entry_and_keeps_it)
{
    struct bs_gcm_key key = {0}, other = {0};
    const struct bs_gcm_impl *taken;

    cr_assert_eq(bs_gcm_init(&key, raw), BS_GCM_OK);
    taken = key.impl;
    cr_assert_eq(taken, bs_gcm_pick(bs_cpu_features()));
    cr_assert_eq(taken, bs_gcm_choose());
    cr_assert(bs_gcm_runs_here(taken));
    cr_assert_eq(bs_gcm_init(&other, raw), BS_GCM_OK);
    cr_assert_eq(other.impl, taken);
    cr_assert_eq(key.impl, taken);
    cr_assert(key.state == NULL || key.state != other.state, "two keys share their state");
    bs_gcm_clear(&other);
    bs_gcm_clear(&key);
}

Test(dispatch, clearing_leaves_a_zero_key_and_may_be_repeated)
{
    struct bs_gcm_key key = {0};

    bs_gcm_clear(&key); /* clearing a zero key is allowed */
    cr_assert_eq(bs_gcm_init(&key, raw), BS_GCM_OK);
    bs_gcm_clear(&key);
    cr_assert_null(key.impl);
    cr_assert_null(key.state);
    bs_gcm_clear(&key);
}

Test(dispatch, sealed_length_counts_every_tag)
{
    const struct bs_gcm_run one = {.num = 1, .msg_len = 16384, .last_len = 0};
    const struct bs_gcm_run full = {.num = 64, .msg_len = 16384, .last_len = 16384};
    const struct bs_gcm_run tail = {.num = 3, .msg_len = 16384, .last_len = 5};

    cr_assert_eq(bs_gcm_sealed_len(&one), 16);
    cr_assert_eq(bs_gcm_sealed_len(&full), 64 * 16400);
    cr_assert_eq(bs_gcm_sealed_len(&tail), 2 * 16400 + 21);
}

/*
 * What is selected for a given set of CPU features, tested without that CPU: the widest entry whose features are all
 * present.
 */
Test(dispatch, picks_by_features)
{
    static const uint32_t aesni = BS_CPU_SSE41 | BS_CPU_AES | BS_CPU_PCLMUL;
    static const uint32_t vaes256 = aesni | BS_CPU_AVX | BS_CPU_AVX2 | BS_CPU_VAES | BS_CPU_VPCLMULQDQ;
    static const uint32_t avx512 = BS_CPU_AVX512F | BS_CPU_AVX512DQ | BS_CPU_AVX512BW | BS_CPU_AVX512VL;
    static const struct {
        uint32_t features;
        const char *name;
    } cases[] = {
        {0, "openssl"},
        {aesni & ~(uint32_t)BS_CPU_PCLMUL, "openssl"},
        {aesni & ~(uint32_t)BS_CPU_SSE41, "openssl"},
        {aesni, "aesni"},
        {aesni | BS_CPU_AVX | BS_CPU_AVX2 | avx512, "aesni"}, /* Skylake-X: no VAES */
        {vaes256 & ~(uint32_t)BS_CPU_VPCLMULQDQ, "aesni"},
        {vaes256, "vaes256"}, /* Alder Lake */
        {vaes256 | BS_CPU_AVX512F, "vaes256"},
        {vaes256 | avx512 | BS_CPU_WIDE, "vaes512"},
        {UINT32_MAX, "vaes512"},
    };

#ifndef __x86_64__
    cr_skip_test("the table has one entry here");
#endif
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_str_eq(bs_gcm_pick(cases[i].features)->name, cases[i].name, "case %zu", i);
}

#ifdef __x86_64__
/* Return true if Linux lists all of these flags for the first CPU. */
static bool linux_has(const char *line, const char *flags)
{
    char text[200], *rest = text;
    bool all = true;

    (void)snprintf(text, sizeof text, "%s", flags);
    for (char *flag = strtok_r(rest, " ", &rest); flag != NULL; flag = strtok_r(rest, " ", &rest)) {
        char word[32];

        (void)snprintf(word, sizeof word, " %s ", flag);
        all = all && strstr(line, word) != NULL;
    }
    return all;
}

/*
 * On this machine, compare with a source other than CPUID: Linux also omits features whose registers it does not save.
 */
Test(dispatch, takes_what_linux_says_this_cpu_can_run)
{
    static const char aesni[] = "sse4_1 aes pclmulqdq", vaes256[] = "avx2 vaes vpclmulqdq";
    static const char vaes512[] = "avx512f avx512dq avx512bw avx512vl";
    char line[8192] = "";
    const char *expected = "openssl";
    struct bs_gcm_key key = {0};
    FILE *f = fopen("/proc/cpuinfo", "r");

    cr_assert_not_null(f);
    while (strncmp(line, "flags", 5) != 0)
        cr_assert_not_null(fgets(line, sizeof line, f), "no flags in /proc/cpuinfo");
    (void)fclose(f);
    cr_assert_not_null(strchr(line, '\n'));
    *strchr(line, '\n') = ' ';
    if (linux_has(line, aesni))
        expected = !linux_has(line, vaes256) ? "aesni" : !linux_has(line, vaes512) ? "vaes256" : "vaes512";
    cr_assert_eq(bs_gcm_init(&key, raw), BS_GCM_OK);
    cr_assert_str_eq(key.impl->name, expected);
    bs_gcm_clear(&key);
}
#endif
