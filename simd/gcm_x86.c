/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM with the AES and carry-less multiplication instructions of x86 CPUs, for three vector widths. This file
 * contains the code that does not depend on the width, and includes gcm_x86_template.h once per width. The key schedule
 * and the powers of the hash key H are stored in the struct bs_gcm_key.
 */
#ifdef __x86_64__
#    include <immintrin.h>
#    include <string.h>

#    include "simd/simd.h"

#    define INLINE      inline __attribute__((always_inline))
#    define NOINLINE    __attribute__((noinline))
#    define BASE        __attribute__((target("aes,pclmul,ssse3,sse4.1")))
#    define MAX_LANES   4
#    define MAX_STEP    (8 * MAX_LANES)
#    define MAX_POWERS  (MAX_STEP + 1)               /* for a step of the widest vectors and the length block */
#    define LANE_POWERS (MAX_POWERS + 2 * MAX_LANES) /* index of the powers that are the same in all lanes    */
#    define NUM_POWERS  (LANE_POWERS + MAX_STEP)

/*
 * The expanded key. `powers` contains H^33 ... H, each divided by x, then zeros, then one power for each vector of a
 * step, repeated in every lane. `folded` contains the XOR of the halves of each power, for Karatsuba's method.
 */
struct key {
    __m128i rounds[15];
    __m128i powers[NUM_POWERS];
    __m128i folded[NUM_POWERS];
};

/* Offset from a power to the same power in `folded`. */
#    define FOLDED (offsetof(struct key, folded) - offsetof(struct key, powers))

_Static_assert(sizeof(struct key) <= sizeof(((struct bs_gcm_key *)NULL)->schedule), "the expanded key fits");

static INLINE struct key *key_of(struct bs_gcm_key *key)
{
    return (void *)key->schedule;
}

static const uint8_t zeros[MAX_STEP * 16];

/* In GCM, the first byte of a block is the most significant one. The counter is in the last four bytes, also
 * big-endian. Arithmetic requires the bytes in reverse order. COUNTER(n) is n as a counter in that order. */
#    define REVERSE_BYTES   _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#    define REVERSE_COUNTER _mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#    define COUNTER(n)      _mm_set_epi32(n, 0, 0, 0)

/* Clear @len bytes in a way that the compiler does not optimise away. */
static void wipe(void *p, size_t len)
{
    memset(p, 0, len);
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* ---- AES --------------------------------------------------------------------------------------------------------- */

/* Encrypt one block. */
static INLINE BASE __m128i encrypt(const struct key *k, __m128i block)
{
    block = _mm_xor_si128(block, k->rounds[0]);
    for (int r = 1; r < 14; r++)
        block = _mm_aesenc_si128(block, k->rounds[r]);
    return _mm_aesenclast_si128(block, k->rounds[14]);
}

/* Compute round key i from round key i - 2, @key, and from @t, which is derived from round key i - 1. FIPS 197 section
 * 5.2. */
static INLINE BASE __m128i next_round(__m128i key, __m128i t)
{
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
    return _mm_xor_si128(key, t);
}

#    define EVEN(i, rcon)                                                                                              \
        k->rounds[i] =                                                                                                 \
            next_round(k->rounds[(i)-2], _mm_shuffle_epi32(_mm_aeskeygenassist_si128(k->rounds[(i)-1], rcon), 0xFF))
#    define ODD(i)                                                                                                     \
        k->rounds[i] =                                                                                                 \
            next_round(k->rounds[(i)-2], _mm_shuffle_epi32(_mm_aeskeygenassist_si128(k->rounds[(i)-1], 0), 0xAA))

/* Compute the round keys of AES-256. */
static BASE void expand(struct key *k, const uint8_t raw[BS_GCM_KEY_LEN])
{
    k->rounds[0] = _mm_loadu_si128((const void *)raw);
    k->rounds[1] = _mm_loadu_si128((const void *)(raw + 16));
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

/* ---- GHASH ------------------------------------------------------------------------------------------------------- */

/*
 * Reduce a product of byte-reversed blocks, 256 bits in three parts, modulo the polynomial of GHASH. In reversed order,
 * the low bits are to be eliminated. Each of the two steps eliminates 64 bits by adding the multiple of the polynomial
 * that has the same low bits.
 */
#    define POLYNOMIAL _mm_cvtsi64_si128((long long)0xC200000000000000)

static INLINE BASE __m128i reduce(__m128i lo, __m128i mid, __m128i hi)
{
    const __m128i poly = POLYNOMIAL;

    lo = _mm_xor_si128(lo, _mm_slli_si128(mid, 8));
    hi = _mm_xor_si128(hi, _mm_srli_si128(mid, 8));
    lo = _mm_xor_si128(_mm_shuffle_epi32(lo, 0x4E), _mm_clmulepi64_si128(lo, poly, 0x00));
    lo = _mm_xor_si128(_mm_shuffle_epi32(lo, 0x4E), _mm_clmulepi64_si128(lo, poly, 0x00));
    return _mm_xor_si128(hi, lo);
}

/* Multiply in GHASH's field, where one factor has been divided by x. */
static INLINE BASE __m128i multiply(__m128i a, __m128i b)
{
    return reduce(_mm_clmulepi64_si128(a, b, 0x00),
                  _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10)),
                  _mm_clmulepi64_si128(a, b, 0x11));
}

/* Divide H by x, in constant time. In reversed order this is a shift by one bit. Doing it once for H makes such a shift
 * of every product unnecessary. */
static BASE __m128i divide_by_x(__m128i h)
{
    uint64_t low = (uint64_t)_mm_cvtsi128_si64(h), high = (uint64_t)_mm_extract_epi64(h, 1);
    uint64_t carry = 0 - (high >> 63);

    return _mm_set_epi64x((long long)((high << 1 | low >> 63) ^ (carry & 0xC200000000000000)),
                          (long long)((low << 1) ^ (carry & 1)));
}

/* Expand the key for vectors of @lanes blocks. */
static BASE void expand_key(struct key *k, const uint8_t raw[BS_GCM_KEY_LEN], int lanes)
{
    const int step = 8 * lanes;
    __m128i h;

    memset(k, 0, sizeof *k);
    expand(k, raw);
    h = divide_by_x(_mm_shuffle_epi8(encrypt(k, _mm_setzero_si128()), REVERSE_BYTES));
    k->powers[MAX_POWERS - 1] = h;
    for (int i = 2; i <= step + 1; i++)
        k->powers[MAX_POWERS - i] = multiply(k->powers[MAX_POWERS - i + 1], h);
    for (int i = 0; i < step; i++)
        k->powers[LANE_POWERS + i] = k->powers[MAX_POWERS - step + i / lanes * lanes];
    for (int i = 0; i < NUM_POWERS; i++)
        k->folded[i] = _mm_xor_si128(k->powers[i], _mm_shuffle_epi32(k->powers[i], 0x4E));
}

static void clear(struct bs_gcm_key *key)
{
    wipe(key->schedule, sizeof key->schedule);
}

/* ---- Messages ---------------------------------------------------------------------------------------------------- */

/* Return the first counter block of message @i, which encrypts the tag, with the counter in native byte order. */
static INLINE BASE __m128i nonce_of(const struct bs_gcm_run *run, size_t i)
{
    uint64_t index = __builtin_bswap64(run->first + i), tail;
    uint32_t head;

    memcpy(&head, run->nonce, sizeof head);
    memcpy(&tail, run->nonce + sizeof head, sizeof tail);
    tail ^= index;
    return _mm_set_epi32(1, (int)(tail >> 32), (int)tail, (int)head);
}

/* Encrypt a counter block whose counter is in native byte order. */
static INLINE BASE __m128i encrypt_block(const struct key *k, __m128i nonce)
{
    return encrypt(k, _mm_shuffle_epi8(nonce, REVERSE_COUNTER));
}

/* Return the tag for a GHASH value. @mask is the encrypted first counter block. */
static INLINE BASE __m128i tag_of(__m128i hash, __m128i mask)
{
    return _mm_xor_si128(_mm_shuffle_epi8(hash, REVERSE_BYTES), mask);
}

/* Compare @tag with the tag for a GHASH value, in constant time. */
static INLINE BASE bool tag_is(const uint8_t *tag, __m128i hash, __m128i mask)
{
    __m128i given = _mm_loadu_si128((const void *)tag);

    return _mm_movemask_epi8(_mm_cmpeq_epi8(given, tag_of(hash, mask))) == 0xFFFF;
}

/*
 * The position of a step of ciphertext in its message, which determines the form of the hash after the step. If another
 * step follows, each lane keeps its own hash, over every LANES-th block. Before a tail and at the end of the message,
 * the lanes are combined into one hash in the first lane.
 */
enum place {
    WITHIN,
    BEFORE_TAIL,
    AT_END,
};

/* Return the position of the step that starts @left bytes before the end of its message. */
static INLINE enum place place_of(size_t left, size_t step_len)
{
    return left == step_len ? AT_END : left < 2 * step_len ? BEFORE_TAIL : WITHIN;
}

/* A step of ciphertext that has been written by sealing but not hashed yet. */
struct pending {
    const uint8_t *step;
    enum place place;
    uint64_t bits; /* length of its message in bits, for AT_END */
    uint8_t *tag;  /* where to write the tag, for AT_END        */
    __m128i mask;  /* for the tag                               */
};

static INLINE BASE void store(uint8_t *to, __m128i block)
{
    _mm_storeu_si128((void *)to, block);
}

static INLINE BASE void put_tag(const struct pending *p, __m128i hash)
{
    store(p->tag, tag_of(hash, p->mask));
}

/* ---- Counter-mode caching ---------------------------------------------------------------------------------------- */

/*
 * The result of two rounds of AES is the XOR of four terms. One of them depends on bytes 0, 5, 10 and 15 of the block
 * only, each of the others on four other bytes. Counter blocks that differ only in their last byte, byte 15, therefore
 * differ in one term, which has 256 possible values. These values are cached. They are the same for all messages whose
 * nonces agree in bytes 0, 5 and 10.
 *
 * The cache saves two of the 14 rounds. Computing the values costs as many rounds as are saved in 4 KiB, and storing
 * and wiping them takes the same time again. The index of a value is the last byte of the counter, which is not secret.
 *
 * Source: Park and Lee, "FACE: Fast AES CTR mode Encryption Techniques based on the Reuse of Repetitive Data", CHES
 * 2018.
 */
#    define CACHE_NUM     256
#    define CACHE_MIN_LEN ((size_t)20480)       /* bytes of the shortest run for which it saves time           */
#    define CACHE_MASK    0x00FF00000000FF00ULL /* the bits of a message number in bytes 5 and 10 of its nonce */

struct cache {
    _Alignas(64) __m128i unused[2]; /* aligns terms[2], the first one that is used, because counters start at 2 */
    __m128i terms[CACHE_NUM];
    uint64_t number; /* number of a message that the terms are valid for, masked with CACHE_MASK */
    unsigned num;    /* CACHE_NUM, or 0 while there are no terms                                 */
};

/* Return true if the terms are valid for message @number. */
static INLINE bool cache_fits(const struct cache *c, uint64_t number)
{
    return c->num != 0 && c->number == (number & CACHE_MASK);
}

static INLINE void cache_wipe(struct cache *c)
{
    if (c->num != 0)
        wipe(c->terms, sizeof c->terms);
}

/* Encrypt @block, whose counter is in native byte order, for two rounds, with 0 as the last byte of the counter. */
static INLINE BASE __m128i two_rounds(const struct key *k, __m128i block)
{
    block = _mm_shuffle_epi8(_mm_andnot_si128(COUNTER(255), block), REVERSE_COUNTER);
    block = _mm_aesenc_si128(_mm_xor_si128(block, k->rounds[0]), k->rounds[1]);
    return _mm_aesenc_si128(block, k->rounds[2]);
}

/* ---- Sealing and opening ----------------------------------------------------------------------------------------- */

/* The function that does the work of `seal` or `open`. */
typedef bool run_fn(const struct key *k, const struct bs_gcm_run *run, uint8_t *to, const uint8_t *from,
                    struct cache *c);

/* Bytes of stack to wipe: more than the frames of a run_fn and its callees have. Compilers store powers of H there, and
 * blocks after two rounds. */
#    define FRAMES 2560

/*
 * Karatsuba's method saves one of four products, at the cost of a shuffle and an addition. Below, KARATSUBA selects it
 * for vectors of 128 and 256 bits, where it is faster: on Zen 3, a product occupies the ports of four AES rounds. It is
 * not used for 512 bits: there, products have a port that AES does not use, but that shuffles use as well, and sealing
 * became a twentieth slower.
 */

/* ---- Three widths ------------------------------------------------------------------------------------------------ */

#    define V              __m128i
#    define LANES          1
#    define TARGET         BASE
#    define NAME(x)        aesni_##x
#    define LOAD(p)        _mm_loadu_si128((const void *)(p))
#    define STORE(p, v)    _mm_storeu_si128((void *)(p), v)
#    define XOR(a, b)      _mm_xor_si128(a, b)
#    define XOR3(a, b, c)  _mm_xor_si128(a, _mm_xor_si128(b, c))
#    define ADD(a, b)      _mm_add_epi32(a, b)
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
#    include "simd/gcm_x86_template.h"

#    define V              __m256i
#    define LANES          2
#    define TARGET         __attribute__((target("aes,pclmul,avx2,vaes,vpclmulqdq")))
#    define NAME(x)        vaes256_##x
#    define LOAD(p)        _mm256_loadu_si256((const void *)(p))
#    define STORE(p, v)    _mm256_storeu_si256((void *)(p), v)
#    define XOR(a, b)      _mm256_xor_si256(a, b)
#    define XOR3(a, b, c)  _mm256_xor_si256(a, _mm256_xor_si256(b, c))
#    define ADD(a, b)      _mm256_add_epi32(a, b)
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
#    include "simd/gcm_x86_template.h"

#    define V              __m512i
#    define LANES          4
#    define TARGET         __attribute__((target("aes,pclmul,avx2,vaes,vpclmulqdq,avx512f,avx512bw,avx512dq,avx512vl")))
#    define NAME(x)        vaes512_##x
#    define LOAD(p)        _mm512_loadu_si512(p)
#    define STORE(p, v)    _mm512_storeu_si512(p, v)
#    define XOR(a, b)      _mm512_xor_si512(a, b)
#    define XOR3(a, b, c)  _mm512_ternarylogic_epi64(a, b, c, 0x96)
#    define ADD(a, b)      _mm512_add_epi32(a, b)
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
#    include "simd/gcm_x86_template.h"

const struct bs_gcm_impl bs_gcm_aesni = {
    .name = "aesni",
    .needs = BS_CPU_SSE41 | BS_CPU_AES | BS_CPU_PCLMUL,
    .init = aesni_init,
    .clear = clear,
    .seal = aesni_seal,
    .open = aesni_open,
};
const struct bs_gcm_impl bs_gcm_vaes256 = {
    .name = "vaes256",
    .needs = BS_CPU_SSE41 | BS_CPU_AES | BS_CPU_PCLMUL | BS_CPU_AVX2 | BS_CPU_VAES | BS_CPU_VPCLMULQDQ,
    .init = vaes256_init,
    .clear = clear,
    .seal = vaes256_seal,
    .open = vaes256_open,
};
const struct bs_gcm_impl bs_gcm_vaes512 = {
    .name = "vaes512",
    .needs = BS_CPU_SSE41 | BS_CPU_AES | BS_CPU_PCLMUL | BS_CPU_AVX2 | BS_CPU_WIDE,
    .init = vaes512_init,
    .clear = clear,
    .seal = vaes512_seal,
    .open = vaes512_open,
};
#endif
