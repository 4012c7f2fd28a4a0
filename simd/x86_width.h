/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on vectors of WIDTH bits, for templates that are compiled for several widths. A source file defines WIDTH,
 * includes this file, and then its template, once for each width. This defines:
 *
 *   V, LANES       the type of a vector, and the number of 16-byte blocks (lanes) in it
 *   TARGET         the attribute with which the compiler may use the instructions
 *   NAME(x)        x, prefixed with the name of the implementation
 *   LOAD STORE XOR XOR3 ADD ADD64 SHUFFLE AES AESLAST CLMUL    operations on vectors
 *   SWAP           swap the halves of each lane
 *   UP, DOWN       move the low half of each lane to the high half, or the high half to the low half; the rest is zero
 *   KARATSUBA      defined if three products are faster than four
 *   BROADCAST      copy a block to every lane
 *   WIDEN          copy a block to the first lane; the others are zero
 *   FIRST          the first lane
 *   NARROW         the XOR of all lanes
 *   LANE_NUMBERS   the numbers 0, 1, 2 ..., one in the last 32 bits of each lane
 *   LANE_INDEXES   the same in the first 64 bits
 *   NAME(wipe_frames)()    wipe FRAMES bytes of the stack below the caller
 */
#undef V
#undef LANES
#undef TARGET
#undef NAME
#undef LOAD
#undef STORE
#undef XOR
#undef XOR3
#undef ADD
#undef ADD64
#undef SHUFFLE
#undef AES
#undef AESLAST
#undef CLMUL
#undef SWAP
#undef UP
#undef DOWN
#undef KARATSUBA
#undef BROADCAST
#undef WIDEN
#undef FIRST
#undef NARROW
#undef LANE_NUMBERS
#undef LANE_INDEXES

/*
 * Karatsuba's method saves one of four products, at the cost of a shuffle and an addition. Below, KARATSUBA selects it
 * for vectors of 128 and 256 bits, where it is faster: on Zen 3, a product occupies the ports of four AES rounds. It is
 * not used for 512 bits: there, products have a port that AES does not use, but that shuffles use as well, and sealing
 * became a twentieth slower.
 */

#if WIDTH == 128
#    define V              __m128i
#    define LANES          1
#    define TARGET         BASE
#    define NAME(x)        aesni_##x
#    define LOAD(p)        _mm_loadu_si128((const void *)(p))
#    define STORE(p, v)    _mm_storeu_si128((void *)(p), v)
#    define XOR(a, b)      _mm_xor_si128(a, b)
#    define XOR3(a, b, c)  _mm_xor_si128(a, _mm_xor_si128(b, c))
#    define ADD(a, b)      _mm_add_epi32(a, b)
#    define ADD64(a, b)    _mm_add_epi64(a, b)
#    define SHUFFLE(a, m)  _mm_shuffle_epi8(a, m)
#    define AES(a, k)      _mm_aesenc_si128(a, k)
#    define AESLAST(a, k)  _mm_aesenclast_si128(a, k)
#    define CLMUL(a, b, i) _mm_clmulepi64_si128(a, b, i)
#    define SWAP(x)        _mm_shuffle_epi32(x, 0x4E)
#    define UP(x)          _mm_slli_si128(x, 8)
#    define DOWN(x)        _mm_srli_si128(x, 8)
#    define KARATSUBA
#    define BROADCAST(x) (x)
#    define WIDEN(x)     (x)
#    define FIRST(x)     (x)
#    define NARROW(x)    (x)
#    define LANE_NUMBERS _mm_setzero_si128()
#    define LANE_INDEXES _mm_setzero_si128()
#elif WIDTH == 256
#    define V              __m256i
#    define LANES          2
#    define TARGET         __attribute__((target("aes,pclmul,avx2,vaes,vpclmulqdq")))
#    define NAME(x)        vaes256_##x
#    define LOAD(p)        _mm256_loadu_si256((const void *)(p))
#    define STORE(p, v)    _mm256_storeu_si256((void *)(p), v)
#    define XOR(a, b)      _mm256_xor_si256(a, b)
#    define XOR3(a, b, c)  _mm256_xor_si256(a, _mm256_xor_si256(b, c))
#    define ADD(a, b)      _mm256_add_epi32(a, b)
#    define ADD64(a, b)    _mm256_add_epi64(a, b)
#    define SHUFFLE(a, m)  _mm256_shuffle_epi8(a, m)
#    define AES(a, k)      _mm256_aesenc_epi128(a, k)
#    define AESLAST(a, k)  _mm256_aesenclast_epi128(a, k)
#    define CLMUL(a, b, i) _mm256_clmulepi64_epi128(a, b, i)
#    define SWAP(x)        _mm256_shuffle_epi32(x, 0x4E)
#    define UP(x)          _mm256_bslli_epi128(x, 8)
#    define DOWN(x)        _mm256_bsrli_epi128(x, 8)
#    define KARATSUBA
#    define BROADCAST(x) _mm256_broadcastsi128_si256(x)
#    define WIDEN(x)     _mm256_zextsi128_si256(x)
#    define FIRST(x)     _mm256_castsi256_si128(x)
#    define NARROW(x)    _mm_xor_si128(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1))
#    define LANE_NUMBERS _mm256_set_epi32(1, 0, 0, 0, 0, 0, 0, 0)
#    define LANE_INDEXES _mm256_set_epi64x(0, 1, 0, 0)
#else
#    define V              __m512i
#    define LANES          4
#    define TARGET         __attribute__((target("aes,pclmul,avx2,vaes,vpclmulqdq,avx512f,avx512bw,avx512dq,avx512vl")))
#    define NAME(x)        vaes512_##x
#    define LOAD(p)        _mm512_loadu_si512(p)
#    define STORE(p, v)    _mm512_storeu_si512(p, v)
#    define XOR(a, b)      _mm512_xor_si512(a, b)
#    define XOR3(a, b, c)  _mm512_ternarylogic_epi64(a, b, c, 0x96)
#    define ADD(a, b)      _mm512_add_epi32(a, b)
#    define ADD64(a, b)    _mm512_add_epi64(a, b)
#    define SHUFFLE(a, m)  _mm512_shuffle_epi8(a, m)
#    define AES(a, k)      _mm512_aesenc_epi128(a, k)
#    define AESLAST(a, k)  _mm512_aesenclast_epi128(a, k)
#    define CLMUL(a, b, i) _mm512_clmulepi64_epi128(a, b, i)
#    define SWAP(x)        _mm512_shuffle_epi32(x, 0x4E)
#    define UP(x)          _mm512_bslli_epi128(x, 8)
#    define DOWN(x)        _mm512_bsrli_epi128(x, 8)
#    define BROADCAST(x)   _mm512_broadcast_i32x4(x)
#    define WIDEN(x)       _mm512_zextsi128_si512(x)
#    define FIRST(x)       _mm512_castsi512_si128(x)
#    define NARROW(x)                                                                                                  \
        _mm_xor_si128(_mm_xor_si128(_mm512_castsi512_si128(x), _mm512_extracti32x4_epi32(x, 1)),                       \
                      _mm_xor_si128(_mm512_extracti32x4_epi32(x, 2), _mm512_extracti32x4_epi32(x, 3)))
#    define LANE_NUMBERS _mm512_set_epi32(3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)
#    define LANE_INDEXES _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0)
#endif
#undef WIDTH

/* Wipe the part of the stack where the frames of functions were that the caller has called, without memset(), which is
 * slow to start. */
static TARGET NOINLINE void NAME(wipe_frames)(void)
{
    V frames[FRAMES / sizeof(V)];

    for (size_t i = 0; i < FRAMES / sizeof(V); i++) {
        frames[i] = BROADCAST(_mm_setzero_si128());
        __asm__ volatile("" : : "r"(&frames[i]) : "memory");
    }
}
