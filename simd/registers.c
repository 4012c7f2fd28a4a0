/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wiping vector registers. Kernels, memcpy() and libzstd leave keys and plaintext in them, and the next code that saves
 * registers to the stack copies these to memory that nobody wipes: the dynamic linker does so when a function is called
 * for the first time, and the operating system when it delivers a signal.
 *
 * Calling conventions let every function change these registers, so no caller has anything in them.
 */
#include "simd/simd.h"

#ifdef __x86_64__

/* Writing 128 bits with a VEX or EVEX instruction clears the rest of the register. */
static __attribute__((target("avx512f,avx512vl"))) void wipe_upper_16(void)
{
#    define CLEAR(n) "vpxord %%xmm" #    n ", %%xmm" #    n ", %%xmm" #    n "\n\t"
    __asm__ volatile(CLEAR(16) CLEAR(17) CLEAR(18) CLEAR(19) CLEAR(20) CLEAR(21) CLEAR(22) CLEAR(23) CLEAR(24) CLEAR(25)
                         CLEAR(26) CLEAR(27) CLEAR(28) CLEAR(29) CLEAR(30) CLEAR(31)
                     :
                     :
                     : "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",
                       "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
#    undef CLEAR
}

#    define LOWER_16                                                                                                   \
        "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",     \
            "xmm13", "xmm14", "xmm15"

static __attribute__((target("avx"))) void wipe_lower_16(void)
{
    __asm__ volatile("vzeroall" : : : LOWER_16);
}

static void wipe_lower_16_of_sse(void)
{
#    define CLEAR(n) "pxor %%xmm" #    n ", %%xmm" #    n "\n\t"
    __asm__ volatile(CLEAR(0) CLEAR(1) CLEAR(2) CLEAR(3) CLEAR(4) CLEAR(5) CLEAR(6) CLEAR(7) CLEAR(8) CLEAR(9) CLEAR(10)
                         CLEAR(11) CLEAR(12) CLEAR(13) CLEAR(14) CLEAR(15)
                     :
                     :
                     : LOWER_16);
#    undef CLEAR
}

void bs_wipe_registers(void)
{
    uint32_t features = bs_cpu_known_features();

    if ((features & BS_CPU_AVX512VL) != 0)
        wipe_upper_16();
    if ((features & BS_CPU_AVX) != 0)
        wipe_lower_16();
    else
        wipe_lower_16_of_sse();
}

#elif defined(__aarch64__)

/* A function restores the lower halves of v8 to v15, which belong to its caller. */
void bs_wipe_registers(void)
{
#    define CLEAR(n) "movi v" #    n ".2d, #0\n\t"
    __asm__ volatile(
        CLEAR(0) CLEAR(1) CLEAR(2) CLEAR(3) CLEAR(4) CLEAR(5) CLEAR(6) CLEAR(7) CLEAR(8) CLEAR(9) CLEAR(10) CLEAR(11)
            CLEAR(12) CLEAR(13) CLEAR(14) CLEAR(15) CLEAR(16) CLEAR(17) CLEAR(18) CLEAR(19) CLEAR(20) CLEAR(21)
                CLEAR(22) CLEAR(23) CLEAR(24) CLEAR(25) CLEAR(26) CLEAR(27) CLEAR(28) CLEAR(29) CLEAR(30) CLEAR(31)
        :
        :
        : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16",
          "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
#    undef CLEAR
}

#else

void bs_wipe_registers(void)
{
}

#endif
