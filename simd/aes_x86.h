/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256 for the kernels of x86 CPUs: the key schedule, and the rounds of a step, which is eight vectors of any width.
 * The macros for steps use the operations of simd/x86_width.h. Their AES rounds run in parallel, which hides the
 * latency of the instructions.
 */
#ifndef BLOBSEAL_SIMD_AES_X86_H
#define BLOBSEAL_SIMD_AES_X86_H

#include "simd/simd.h"
#include "simd/x86.h"

#define BASE           __attribute__((target("aes,pclmul,ssse3,sse4.1")))
#define AES_ROUND_KEYS 15

/* The features of CPUs on which the code of a width runs. */
#define NEEDS_AESNI   (BS_CPU_SSE41 | BS_CPU_AES | BS_CPU_PCLMUL)
#define NEEDS_VAES256 (NEEDS_AESNI | BS_CPU_AVX2 | BS_CPU_VAES | BS_CPU_VPCLMULQDQ)
#define NEEDS_VAES512 (NEEDS_AESNI | BS_CPU_AVX2 | BS_CPU_WIDE)

/* Reverse the bytes of a block: the first byte of a counter block is the most significant one. */
#define REVERSE_BYTES _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)

/* ---- AES --------------------------------------------------------------------------------------------------------- */

/* Encrypt one block. */
static INLINE BASE __m128i encrypt(const __m128i rounds[AES_ROUND_KEYS], __m128i block)
{
    block = _mm_xor_si128(block, rounds[0]);
    for (int r = 1; r < 14; r++)
        block = _mm_aesenc_si128(block, rounds[r]);
    return _mm_aesenclast_si128(block, rounds[14]);
}

/* Compute round key i from round key i - 2, @key, and from @t, which is derived from round key i - 1. FIPS 197 section
 * 5.2. */
static INLINE BASE __m128i next_round(__m128i key, __m128i t)
{
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
    return _mm_xor_si128(key, t);
}

#define EVEN(i, rcon)                                                                                                  \
    rounds[i] = next_round(rounds[(i)-2], _mm_shuffle_epi32(_mm_aeskeygenassist_si128(rounds[(i)-1], rcon), 0xFF))
#define ODD(i)                                                                                                         \
    rounds[i] = next_round(rounds[(i)-2], _mm_shuffle_epi32(_mm_aeskeygenassist_si128(rounds[(i)-1], 0), 0xAA))

/* Compute the round keys of AES-256. */
static BASE void expand(__m128i rounds[AES_ROUND_KEYS], const uint8_t raw[32])
{
    rounds[0] = _mm_loadu_si128((const void *)raw);
    rounds[1] = _mm_loadu_si128((const void *)(raw + 16));
    EVEN(2, 0x01);
    ODD(3);
    EVEN(4, 0x02);
    ODD(5);
    EVEN(6, 0x04);
    ODD(7);
    EVEN(8, 0x08);
    ODD(9);
    EVEN(10, 0x10);
    ODD(11);
    EVEN(12, 0x20);
    ODD(13);
    EVEN(14, 0x40);
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

#define STEP_BLOCKS (8 * LANES)
#define STEP_LEN    ((size_t)STEP_BLOCKS * 16)
#define VECTOR_LEN  ((size_t)LANES * 16)

/* Repeat a statement for each vector of a step. */
#define EACH(F)                                                                                                        \
    F(0);                                                                                                              \
    F(1);                                                                                                              \
    F(2);                                                                                                              \
    F(3);                                                                                                              \
    F(4);                                                                                                              \
    F(5);                                                                                                              \
    F(6);                                                                                                              \
    F(7)

/* Round @r on the vectors b0 to b7, and the last round, which also XORs them with the input @in to the output @out. `k`
 * points to what contains the round keys, and `rk` is a vector. */
#define ROUND_ONE(i) b##i = AES(b##i, rk)
#define LAST_ONE(i)  STORE(out + (i)*VECTOR_LEN, AESLAST(b##i, XOR(rk, LOAD(in + (i)*VECTOR_LEN))))
#define ROUND(r)                                                                                                       \
    rk = BROADCAST(k->rounds[r]);                                                                                      \
    EACH(ROUND_ONE)

#endif
