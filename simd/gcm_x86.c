/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM with the AES and carry-less multiplication instructions of x86 CPUs, for three vector widths. This file
 * contains the code that does not depend on the width, and includes gcm_x86_template.h once per width. The key schedule
 * and the powers of the hash key H are stored in the struct bs_gcm_key.
 */
#ifdef __x86_64__
#    include "simd/aes_x86.h"

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
    __m128i rounds[AES_ROUND_KEYS];
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
#    define REVERSE_COUNTER _mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#    define COUNTER(n)      _mm_set_epi32(n, 0, 0, 0)

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
    expand(k->rounds, raw);
    h = divide_by_x(_mm_shuffle_epi8(encrypt(k->rounds, _mm_setzero_si128()), REVERSE_BYTES));
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
    return encrypt(k->rounds, _mm_shuffle_epi8(nonce, REVERSE_COUNTER));
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

/* ---- Three widths ------------------------------------------------------------------------------------------------ */

#    define WIDTH 128
#    include "simd/x86_width.h"

#    include "simd/gcm_x86_template.h"

#    define WIDTH 256
#    include "simd/x86_width.h"

#    include "simd/gcm_x86_template.h"

#    define WIDTH 512
#    include "simd/x86_width.h"

#    include "simd/gcm_x86_template.h"

const struct bs_gcm_impl bs_gcm_aesni = {
    .name = "aesni",
    .needs = NEEDS_AESNI,
    .init = aesni_init,
    .clear = clear,
    .seal = aesni_seal,
    .open = aesni_open,
};
const struct bs_gcm_impl bs_gcm_vaes256 = {
    .name = "vaes256",
    .needs = NEEDS_VAES256,
    .init = vaes256_init,
    .clear = clear,
    .seal = vaes256_seal,
    .open = vaes256_open,
};
const struct bs_gcm_impl bs_gcm_vaes512 = {
    .name = "vaes512",
    .needs = NEEDS_VAES512,
    .init = vaes512_init,
    .clear = clear,
    .seal = vaes512_seal,
    .open = vaes512_open,
};
#endif
