/* SPDX-License-Identifier: Apache-2.0 */
/* CPU features: what CPUID reports, and which features the operating system does not allow. */
#include <string.h>

#include "simd/simd.h"
#include "tests/support/suite.h"

SUITE(cpu);

#define AVX_STATE    0x07u
#define AVX512_STATE 0xE7u

/* A CPU that has every feature, and an operating system that allows all of them. */
static const struct bs_cpu_words all = {.leaf1_ecx = ~0U, .leaf7_ebx = ~0U, .leaf7_ecx = ~0U, .xcr0 = AVX512_STATE};

#define EVERYTHING ((uint32_t)BS_CPU_WIDE * 2 - 1)
#define NO_STATE   (BS_CPU_SSE41 | BS_CPU_AES | BS_CPU_PCLMUL | BS_CPU_SHA)
#define YMM        (BS_CPU_AVX | BS_CPU_AVX2 | BS_CPU_VAES | BS_CPU_VPCLMULQDQ)

Test(cpu, all_and_nothing)
{
    cr_expect_eq(bs_cpu_decode(&all), EVERYTHING);
    cr_expect_eq(bs_cpu_decode(&(struct bs_cpu_words){0}), 0);
}

Test(cpu, each_bit_is_one_feature)
{
    const struct {
        uint32_t feature, leaf1_ecx, leaf7_ebx, leaf7_ecx;
    } bits[] = {
        {BS_CPU_SSE41, 1U << 19, 0, 0},      {BS_CPU_AES, 1U << 25, 0, 0},      {BS_CPU_PCLMUL, 1U << 1, 0, 0},
        {BS_CPU_SHA, 0, 1U << 29, 0},        {BS_CPU_AVX2, 0, 1U << 5, 0},      {BS_CPU_VAES, 0, 0, 1U << 9},
        {BS_CPU_VPCLMULQDQ, 0, 0, 1U << 10}, {BS_CPU_AVX512DQ, 0, 1U << 17, 0}, {BS_CPU_AVX512BW, 0, 1U << 30, 0},
        {BS_CPU_AVX512VL, 0, 1U << 31, 0},
    };

    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        struct bs_cpu_words w = all;
        uint32_t lost = bits[i].feature | ((bits[i].feature & BS_CPU_FOR_WIDE) != 0 ? BS_CPU_WIDE : 0);

        w.leaf1_ecx &= ~bits[i].leaf1_ecx;
        w.leaf7_ebx &= ~bits[i].leaf7_ebx;
        w.leaf7_ecx &= ~bits[i].leaf7_ecx;
        cr_expect_eq(bs_cpu_decode(&w), EVERYTHING & ~lost, "row %zu", i);
    }
}

Test(cpu, without_foundation_there_is_no_avx512)
{
    struct bs_cpu_words w = all;

    w.leaf7_ebx &= ~(1U << 16);
    cr_expect_eq(bs_cpu_decode(&w), NO_STATE | YMM);
}

/* The CPU has the features, but the system does not save their registers when it switches to another program. */
Test(cpu, registers_that_the_system_does_not_keep)
{
    struct bs_cpu_words w = all;

    w.xcr0 = AVX_STATE;
    cr_expect_eq(bs_cpu_decode(&w), NO_STATE | YMM);
    for (unsigned bit = 5; bit < 8; bit++) {
        w.xcr0 = AVX512_STATE & ~(1U << bit);
        cr_expect_eq(bs_cpu_decode(&w), NO_STATE | YMM, "without bit %u", bit);
    }
    w.xcr0 = 0x03;
    cr_expect_eq(bs_cpu_decode(&w), NO_STATE);
    w.xcr0 = 0xE3; /* 512-bit registers without their lower 256 bits, which no system has */
    cr_expect_eq(bs_cpu_decode(&w), NO_STATE);
    w = all;
    w.leaf1_ecx &= ~(1U << 27);
    cr_expect_eq(bs_cpu_decode(&w), NO_STATE, "without XSAVE");
    w = all;
    w.leaf1_ecx &= ~(1U << 28);
    cr_expect_eq(bs_cpu_decode(&w), NO_STATE, "without AVX");
}

Test(cpu, names)
{
    for (unsigned i = 0; (1U << i) <= BS_CPU_WIDE; i++) {
        cr_assert_not_null(bs_cpu_feature_name(i));
        for (unsigned k = 0; k < i; k++)
            cr_expect_str_neq(bs_cpu_feature_name(i), bs_cpu_feature_name(k));
    }
    cr_expect_null(bs_cpu_feature_name(13));
    cr_expect_str_eq(bs_cpu_feature_name(6), "vaes");
}

#if defined(__x86_64__)
/* The compiler detects the features independently. */
Test(cpu, agrees_with_the_compiler)
{
    uint32_t f = bs_cpu_features();

    cr_expect_eq((f & BS_CPU_SSE41) != 0, __builtin_cpu_supports("sse4.1") != 0);
    cr_expect_eq((f & BS_CPU_AES) != 0, __builtin_cpu_supports("aes") != 0);
    cr_expect_eq((f & BS_CPU_PCLMUL) != 0, __builtin_cpu_supports("pclmul") != 0);
    cr_expect_eq((f & BS_CPU_AVX) != 0, __builtin_cpu_supports("avx") != 0);
    cr_expect_eq((f & BS_CPU_AVX2) != 0, __builtin_cpu_supports("avx2") != 0);
    cr_expect_eq((f & BS_CPU_VPCLMULQDQ) != 0, __builtin_cpu_supports("vpclmulqdq") != 0);
    cr_expect_eq((f & BS_CPU_AVX512F) != 0, __builtin_cpu_supports("avx512f") != 0);
    cr_expect_eq((f & BS_CPU_AVX512BW) != 0, __builtin_cpu_supports("avx512bw") != 0);
    cr_expect_eq((f & BS_CPU_AVX512VL) != 0, __builtin_cpu_supports("avx512vl") != 0);
    cr_expect_eq((f & BS_CPU_AVX512DQ) != 0, __builtin_cpu_supports("avx512dq") != 0);
}
#endif
