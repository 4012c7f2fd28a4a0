/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and filling the vector registers, to find out what a function has left in them. */
#ifndef BLOBSEAL_TESTS_REGISTERS_H
#define BLOBSEAL_TESTS_REGISTERS_H

#include <stdint.h>
#include <string.h>

#include "simd/simd.h"

#define REGISTERS_LEN ((size_t)32 * 64)

#ifdef __x86_64__

#    define EACH_LOWER(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#    define EACH_UPPER(X)                                                                                              \
        X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)

#    define STORE_XMM(n) "movups %%xmm" #    n ", " #    n "*64(%0)\n\t"
#    define STORE_YMM(n) "vmovups %%ymm" #    n ", " #    n "*64(%0)\n\t"
#    define STORE_ZMM(n) "vmovups %%zmm" #    n ", " #    n "*64(%0)\n\t"
#    define LOAD_XMM(n)  "movups " #    n "*64(%0), %%xmm" #    n "\n\t"
#    define LOAD_YMM(n)  "vmovups " #    n "*64(%0), %%ymm" #    n "\n\t"
#    define LOAD_ZMM(n)  "vmovups " #    n "*64(%0), %%zmm" #    n "\n\t"

/* Copy the registers to @out, each to 64 bytes. @out is cleared by the caller beforehand. */
static inline __attribute__((always_inline)) void registers_read(uint8_t out[REGISTERS_LEN], uint32_t features)
{
    if ((features & BS_CPU_AVX512F) != 0)
        __asm__ volatile(EACH_LOWER(STORE_ZMM) EACH_UPPER(STORE_ZMM) : : "r"(out) : "memory");
    else if ((features & BS_CPU_AVX) != 0)
        __asm__ volatile(EACH_LOWER(STORE_YMM) : : "r"(out) : "memory");
    else
        __asm__ volatile(EACH_LOWER(STORE_XMM) : : "r"(out) : "memory");
}

/* Fill the registers from @in. Code that is compiled for every x86 CPU keeps nothing in the upper 16. */
static inline void registers_fill(const uint8_t in[REGISTERS_LEN], uint32_t features)
{
#    define LOWER_16                                                                                                   \
        "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",     \
            "xmm13", "xmm14", "xmm15"
    if ((features & BS_CPU_AVX512F) != 0)
        __asm__ volatile(EACH_LOWER(LOAD_ZMM) EACH_UPPER(LOAD_ZMM) : : "r"(in) : "memory", LOWER_16);
    else if ((features & BS_CPU_AVX) != 0)
        __asm__ volatile(EACH_LOWER(LOAD_YMM) : : "r"(in) : "memory", LOWER_16);
    else
        __asm__ volatile(EACH_LOWER(LOAD_XMM) : : "r"(in) : "memory", LOWER_16);
#    undef LOWER_16
}

#elif defined(__aarch64__)

#    define EACH_PAIR(X)                                                                                               \
        X(0, 1) X(2, 3) X(4, 5) X(6, 7) X(16, 17) X(18, 19) X(20, 21) X(22, 23) X(24, 25) X(26, 27) X(28, 29) X(30, 31)
#    define STORE_PAIR(n, m) "stp q" #    n ", q" #    m ", [%0, #" #    n "*16]\n\t"
#    define LOAD_PAIR(n, m)  "ldp q" #    n ", q" #    m ", [%0, #" #    n "*16]\n\t"

/* Without v8 to v15, whose lower halves belong to the caller of a function. */
static inline __attribute__((always_inline)) void registers_read(uint8_t out[REGISTERS_LEN], uint32_t features)
{
    (void)features;
    __asm__ volatile(EACH_PAIR(STORE_PAIR) : : "r"(out) : "memory");
}

static inline void registers_fill(const uint8_t in[REGISTERS_LEN], uint32_t features)
{
    (void)features;
    __asm__ volatile(EACH_PAIR(LOAD_PAIR)
                     :
                     : "r"(in)
                     : "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20",
                       "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
}

#endif
#endif
