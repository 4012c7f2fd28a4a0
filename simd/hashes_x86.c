/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HMAC-SHA-256 and SHA-256 with the SHA instructions of x86 CPUs.
 *
 * A round of SHA-256 depends on the one before, so a single hash uses half of the unit that computes rounds, on many
 * CPUs. Here up to three hashes are computed in one loop: two over the same bytes, which also share the message
 * schedule, and one over other bytes. On Zen 4, two over the same bytes take as long as one, and three a seventh
 * longer.
 *
 * Source: FIPS 180-4 sections 5 and 6.2; FIPS 198-1.
 */
#ifdef __x86_64__
#    include "simd/simd.h"
#    include "simd/x86.h"

#    define SHA __attribute__((target("sha,sse4.1,ssse3")))

#    define NONNULL __attribute__((nonnull)) /* the compiler need not expect that an argument is NULL */

#    define BLOCK_LEN ((size_t)64)

static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static const _Alignas(64) uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

/* The state of a hash, in the order that the instructions require. */
struct state {
    __m128i abef, cdgh;
};

static INLINE SHA struct state load_state(const uint32_t h[8])
{
    __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128((const void *)h), 0xB1);
    __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const void *)(h + 4)), 0x1B);

    return (struct state){_mm_alignr_epi8(badc, hgfe, 8), _mm_blend_epi16(hgfe, badc, 0xF0)};
}

static INLINE SHA void store_state(uint32_t h[8], const struct state *s)
{
    __m128i feba = _mm_shuffle_epi32(s->abef, 0x1B), dchg = _mm_shuffle_epi32(s->cdgh, 0xB1);

    _mm_storeu_si128((void *)h, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((void *)(h + 4), _mm_alignr_epi8(dchg, feba, 8));
}

static INLINE SHA void add_state(struct state *s, const struct state *t)
{
    s->abef = _mm_add_epi32(s->abef, t->abef);
    s->cdgh = _mm_add_epi32(s->cdgh, t->cdgh);
}

/* Sixteen consecutive words of a message schedule. */
struct words {
    __m128i w0, w1, w2, w3;
};

static INLINE SHA struct words load_words(const uint8_t *p)
{
    const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);

    return (struct words){_mm_shuffle_epi8(_mm_loadu_si128((const void *)p), swap),
                          _mm_shuffle_epi8(_mm_loadu_si128((const void *)(p + 16)), swap),
                          _mm_shuffle_epi8(_mm_loadu_si128((const void *)(p + 32)), swap),
                          _mm_shuffle_epi8(_mm_loadu_si128((const void *)(p + 48)), swap)};
}

/* Compute the four words after @d from the sixteen up to there. */
static INLINE SHA __m128i next_words(__m128i a, __m128i b, __m128i c, __m128i d)
{
    return _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4)), d);
}

/* Compute the first two of four rounds, or the last two. @words include the constants. */
static INLINE SHA void first_rounds(struct state *s, __m128i words)
{
    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, words);
}

static INLINE SHA void last_rounds(struct state *s, __m128i words)
{
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, words);
}

/*
 * Four rounds of all hashes, with the words @m of both messages, and the constants from number 4 * @i. The instruction
 * takes its words from one certain register, so the order is that in which the register changes least often.
 */
#    define ROUNDS(i, m)                                                                                               \
        do {                                                                                                           \
            const __m128i k = _mm_load_si128((const void *)&constants[(size_t)4 * (i)]);                               \
            __m128i words = _mm_add_epi32(w.m, k), others = words;                                                     \
                                                                                                                       \
            first_rounds(&s, words);                                                                                   \
            if (b != NULL)                                                                                             \
                first_rounds(&t, words);                                                                               \
            if (c != NULL) {                                                                                           \
                others = _mm_add_epi32(x.m, k);                                                                        \
                first_rounds(&u, others);                                                                              \
            }                                                                                                          \
            words = _mm_shuffle_epi32(words, 0x0E);                                                                    \
            last_rounds(&s, words);                                                                                    \
            if (b != NULL)                                                                                             \
                last_rounds(&t, words);                                                                                \
            if (c != NULL)                                                                                             \
                last_rounds(&u, _mm_shuffle_epi32(others, 0x0E));                                                      \
        } while (0)

/* The same with the words after those in m0, m1, m2 and m3, which replace m0. */
#    define NEXT_ROUNDS(i, m0, m1, m2, m3)                                                                             \
        do {                                                                                                           \
            w.m0 = next_words(w.m0, w.m1, w.m2, w.m3);                                                                 \
            if (c != NULL)                                                                                             \
                x.m0 = next_words(x.m0, x.m1, x.m2, x.m3);                                                             \
            ROUNDS(i, m0);                                                                                             \
        } while (0)

#    define SIXTEEN_ROUNDS(i)                                                                                          \
        do {                                                                                                           \
            NEXT_ROUNDS(i, w0, w1, w2, w3);                                                                            \
            NEXT_ROUNDS((i) + 1, w1, w2, w3, w0);                                                                      \
            NEXT_ROUNDS((i) + 2, w2, w3, w0, w1);                                                                      \
            NEXT_ROUNDS((i) + 3, w3, w0, w1, w2);                                                                      \
        } while (0)

/*
 * Add @num blocks at @p to the hash @a, and if it is not NULL, to the hash @b, and @num blocks at @q to the hash @c, if
 * that is not NULL. The compiler must know in each caller which of them are NULL, so that it removes the conditions.
 */
/* NOLINTNEXTLINE(readability-function-size,readability-function-cognitive-complexity): a loop, and many macros */
static INLINE SHA void add_blocks(uint32_t *a, uint32_t *b, const uint8_t *p, uint32_t *c, const uint8_t *q, size_t num)
{
    struct state s = load_state(a), t = s, u = s;

    if (b != NULL)
        t = load_state(b);
    if (c != NULL)
        u = load_state(c);
    for (; num > 0; num--) {
        const struct state before_s = s, before_t = t, before_u = u;
        struct words w = load_words(p), x = w;

        p += BLOCK_LEN;
        if (c != NULL) {
            x = load_words(q);
            q += BLOCK_LEN;
        }
        ROUNDS(0, w0);
        ROUNDS(1, w1);
        ROUNDS(2, w2);
        ROUNDS(3, w3);
        SIXTEEN_ROUNDS(4);
        SIXTEEN_ROUNDS(8);
        SIXTEEN_ROUNDS(12);
        add_state(&s, &before_s);
        add_state(&t, &before_t);
        add_state(&u, &before_u);
    }
    store_state(a, &s);
    if (b != NULL)
        store_state(b, &t);
    if (c != NULL)
        store_state(c, &u);
}

static NOINLINE SHA void add_to_one(uint32_t a[8], const uint8_t *p, size_t num)
{
    add_blocks(a, NULL, p, NULL, NULL, num);
}

static NOINLINE NONNULL SHA void add_to_pair(uint32_t a[8], uint32_t b[8], const uint8_t *p, size_t num)
{
    add_blocks(a, b, p, NULL, NULL, num);
}

static NOINLINE NONNULL SHA void add_to_three(uint32_t a[8], uint32_t b[8], const uint8_t *p, uint32_t c[8],
                                              const uint8_t *q, size_t num)
{
    add_blocks(a, b, p, c, q, num);
}

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

static void add_first_blocks(struct bs_hashes *h, const uint8_t *p, size_t num)
{
    const uint32_t both = BS_HASHES_MAC | BS_HASHES_FIRST;

    if ((h->wanted & both) == both)
        add_to_pair(h->inner, h->first, p, num);
    else if ((h->wanted & both) != 0)
        add_to_one((h->wanted & BS_HASHES_MAC) != 0 ? h->inner : h->first, p, num);
}

static void add_other_blocks(struct bs_hashes *h, const uint8_t *p, size_t num)
{
    if ((h->wanted & BS_HASHES_OTHER) != 0)
        add_to_one(h->other, p, num);
}

/* Add bytes to a stream, of which the full blocks go to @add_full. */
static void add(struct bs_hashes *h, struct bs_hashes_stream *s,
                void (*add_full)(struct bs_hashes *h, const uint8_t *p, size_t num), const uint8_t *p, size_t len)
{
    size_t used = (size_t)(s->len % BLOCK_LEN), n = BLOCK_LEN - used;

    s->len += len;
    if (used > 0) {
        n = n < len ? n : len;
        memcpy(s->tail + used, p, n);
        p += n;
        len -= n;
        if (used + n < BLOCK_LEN)
            return;
        add_full(h, s->tail, 1);
    }
    if (len >= BLOCK_LEN)
        add_full(h, p, len / BLOCK_LEN);
    if (len % BLOCK_LEN > 0)
        memcpy(s->tail, p + len / BLOCK_LEN * BLOCK_LEN, len % BLOCK_LEN);
}

static void shani_add_first(struct bs_hashes *h, const uint8_t *p, size_t len)
{
    add(h, &h->first_stream, add_first_blocks, p, len);
}

static void shani_add_other(struct bs_hashes *h, const uint8_t *p, size_t len)
{
    add(h, &h->other_stream, add_other_blocks, p, len);
}

static void shani_add_both(struct bs_hashes *h, const uint8_t *first, const uint8_t *other, size_t len)
{
    size_t full = 0;

    if (h->wanted == (BS_HASHES_MAC | BS_HASHES_FIRST | BS_HASHES_OTHER) && h->first_stream.len % BLOCK_LEN == 0 &&
        h->other_stream.len % BLOCK_LEN == 0) {
        full = len / BLOCK_LEN * BLOCK_LEN;
        add_to_three(h->inner, h->first, first, h->other, other, full / BLOCK_LEN);
        h->first_stream.len += full;
        h->other_stream.len += full;
    }
    shani_add_first(h, first + full, len - full);
    shani_add_other(h, other + full, len - full);
}

/* ---- Start and end ----------------------------------------------------------------------------------------------- */

/* Wipe the part of the stack where the frames of the functions above were, in which compilers store words of keys. */
static NOINLINE void wipe_frames(void)
{
    uint8_t frames[1024];

    wipe(frames, sizeof frames);
}

/* Start a hash with the key of an HMAC, XORed with @pad. */
static void start_with_key(uint32_t h[8], const uint8_t key[BS_HASHES_KEY_LEN], uint8_t pad)
{
    uint8_t block[BLOCK_LEN];

    memset(block, pad, sizeof block);
    for (size_t i = 0; i < BS_HASHES_KEY_LEN; i++)
        block[i] ^= key[i];
    memcpy(h, initial, sizeof initial);
    add_to_one(h, block, 1);
    wipe(block, sizeof block);
}

static enum bs_gcm_status shani_init(struct bs_hashes *h, const uint8_t key[BS_HASHES_KEY_LEN])
{
    start_with_key(h->inner, key, 0x36);
    start_with_key(h->outer, key, 0x5C);
    wipe_frames();
    memcpy(h->first, initial, sizeof initial);
    memcpy(h->other, initial, sizeof initial);
    return BS_GCM_OK;
}

static void shani_clear(struct bs_hashes *h)
{
    wipe(h->inner, sizeof h->inner);
    wipe(h->outer, sizeof h->outer);
    wipe(h->first, sizeof h->first);
    wipe(h->other, sizeof h->other);
    wipe(&h->first_stream, sizeof h->first_stream);
    wipe(&h->other_stream, sizeof h->other_stream);
}

/* Complete the hash @h of @len bytes, the last of which are at @tail. */
static void complete(uint8_t out[BS_HASHES_LEN], uint32_t h[8], const uint8_t *tail, uint64_t len)
{
    uint8_t blocks[2 * BLOCK_LEN] = {0};
    size_t used = (size_t)(len % BLOCK_LEN), num = used < BLOCK_LEN - 8 ? 1 : 2;
    uint64_t bits = __builtin_bswap64(len * 8);

    memcpy(blocks, tail, used);
    blocks[used] = 0x80;
    memcpy(blocks + num * BLOCK_LEN - sizeof bits, &bits, sizeof bits);
    add_to_one(h, blocks, num);
    for (unsigned i = 0; i < 8; i++) {
        uint32_t word = __builtin_bswap32(h[i]);

        memcpy(out + i * sizeof word, &word, sizeof word);
    }
    wipe(blocks, sizeof blocks);
}

static bool shani_end(struct bs_hashes *h, struct bs_hashes_results *out)
{
    const struct bs_hashes_stream *s = &h->first_stream;
    uint8_t inner[BS_HASHES_LEN];

    if ((h->wanted & BS_HASHES_MAC) != 0) {
        complete(inner, h->inner, s->tail, BLOCK_LEN + s->len);
        complete(out->mac, h->outer, inner, BLOCK_LEN + sizeof inner);
        wipe(inner, sizeof inner);
    }
    if ((h->wanted & BS_HASHES_FIRST) != 0)
        complete(out->first, h->first, s->tail, s->len);
    if ((h->wanted & BS_HASHES_OTHER) != 0)
        complete(out->other, h->other, h->other_stream.tail, h->other_stream.len);
    wipe_frames();
    return true;
}

const struct bs_hashes_impl bs_hashes_shani = {
    .name = "shani",
    .needs = BS_CPU_SSE41 | BS_CPU_SHA,
    .init = shani_init,
    .clear = shani_clear,
    .add_first = shani_add_first,
    .add_other = shani_add_other,
    .add_both = shani_add_both,
    .end = shani_end,
};
#endif
