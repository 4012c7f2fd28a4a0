/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM over a run of messages, for one vector width. gcm_x86.c includes this file once for each width, after
 * simd/x86_width.h.
 *
 * A step is eight vectors. Their AES rounds run in parallel, which hides the latency of the instructions. The hash
 * (GHASH) of a step is computed between the AES rounds of the same step when opening, and of the next step when
 * sealing, because the two use different ports of the CPU. There is one reduction per step, and the lanes are combined
 * once per message. There is no pause between the messages of a run: when sealing, the last step of a message is
 * hashed, and its tag computed, during the first step of the next message. In a long run, the results of the first two
 * AES rounds come from a cache.
 *
 * Working in place as simd.h allows is possible because output is never ahead of the input that it is computed from, a
 * step is hashed before it is decrypted, a vector is read before it is written, and a tag ends at or before the start
 * of the next plaintext.
 *
 * Source: NIST SP 800-38D.
 */

#define ZERO BROADCAST(_mm_setzero_si128())

/* ---- GHASH ------------------------------------------------------------------------------------------------------- */

/* The address of the powers of H for @n blocks, from H^n down to H. */
#define POWERS(k, n) ((const uint8_t *)&(k)->powers[MAX_POWERS - (n)])

/* The sum of products before reduction. With Karatsuba's method, `lo` and `hi` must still be added to `mid`. */
struct NAME(sum) {
    V lo, mid, hi;
};

/* Multiply two vectors by the powers that start at @powers, and add the products. */
static INLINE TARGET void NAME(add)(struct NAME(sum) * s, V x, V y, const uint8_t *powers)
{
    V h = LOAD(powers), g = LOAD(powers + VECTOR_LEN);

    s->lo = XOR3(s->lo, CLMUL(x, h, 0x00), CLMUL(y, g, 0x00));
    s->hi = XOR3(s->hi, CLMUL(x, h, 0x11), CLMUL(y, g, 0x11));
#ifdef KARATSUBA
    h = LOAD(powers + FOLDED);
    g = LOAD(powers + FOLDED + VECTOR_LEN);
    s->mid = XOR3(s->mid, CLMUL(XOR(x, SWAP(x)), h, 0x00), CLMUL(XOR(y, SWAP(y)), g, 0x00));
#else
    s->mid = XOR3(s->mid, CLMUL(x, h, 0x01), CLMUL(x, h, 0x10));
    s->mid = XOR3(s->mid, CLMUL(y, g, 0x01), CLMUL(y, g, 0x10));
#endif
}

/* Reduce each lane, as reduce() does. */
static INLINE TARGET V NAME(reduce_lanes)(V lo, V mid, V hi)
{
    const V poly = BROADCAST(POLYNOMIAL);

    lo = XOR(lo, UP(mid));
    lo = XOR(SWAP(lo), CLMUL(lo, poly, 0x00));
    return XOR3(XOR(hi, DOWN(mid)), SWAP(lo), CLMUL(lo, poly, 0x00));
}

/* Reduce the sum to the hash of the message so far. For AT_END, include the length of the message, @bits, as the last
 * block. */
static INLINE TARGET V NAME(end)(const struct NAME(sum) * s, const struct key *k, enum place place, uint64_t bits)
{
    V both = s->mid;
    __m128i lo, mid, hi;

#ifdef KARATSUBA
    both = XOR3(both, s->lo, s->hi);
#endif
    if (place == WITHIN)
        return NAME(reduce_lanes)(s->lo, both, s->hi);
    lo = NARROW(s->lo);
    mid = NARROW(both);
    hi = NARROW(s->hi);
    if (place == AT_END) {
        __m128i len = _mm_cvtsi64_si128((long long)bits), h = k->powers[MAX_POWERS - 1];

        lo = _mm_xor_si128(lo, _mm_clmulepi64_si128(len, h, 0x00));
        mid = _mm_xor_si128(mid, _mm_clmulepi64_si128(len, h, 0x10));
    }
    return WIDEN(reduce(lo, mid, hi));
}

/* Multiply two vectors of the ciphertext at `hashed`. SUM_FIRST() adds the previous hash to the first vector. */
#define X(i)        SHUFFLE(LOAD(hashed + (i)*VECTOR_LEN), reverse)
#define SUM_TWO(i)  NAME(add)(&s, X(i), X((i) + 1), powers + (i)*VECTOR_LEN)
#define SUM_FIRST() NAME(add)(&s, XOR(X(0), acc), X(1), powers)

/* Return the address of the powers for a step. */
static INLINE const uint8_t *NAME(powers)(const struct key *k, enum place place)
{
    return place == WITHIN ? (const uint8_t *)&k->powers[LANE_POWERS]
                           : POWERS(k, STEP_BLOCKS + (place == AT_END ? 1 : 0));
}

/* Add the step of ciphertext at @hashed to the hash @acc. @bits is the length of its message, for AT_END. */
static TARGET V NAME(hash_step)(const struct key *k, const uint8_t *hashed, V acc, enum place place, uint64_t bits)
{
    const uint8_t *powers = NAME(powers)(k, place);
    const V reverse = BROADCAST(REVERSE_BYTES);
    struct NAME(sum) s = {0};

    SUM_FIRST();
    SUM_TWO(2);
    SUM_TWO(4);
    SUM_TWO(6);
    return NAME(end)(&s, k, place, bits);
}

/* Add the last @len bytes of a message, at least one, and its length to the hash @acc. The bytes are followed by zeros
 * up to a multiple of two vectors. */
static TARGET V NAME(hash_tail)(const struct key *k, const uint8_t *hashed, size_t len, V acc, uint64_t bits)
{
    const uint8_t *powers = POWERS(k, (len + 15) / 16 + 1);
    const V reverse = BROADCAST(REVERSE_BYTES);
    struct NAME(sum) s = {0};

    SUM_FIRST();
    for (size_t i = 2; i * VECTOR_LEN < len; i += 2) /* powers after the last are multiplied by zeros */
        SUM_TWO(i);
    return NAME(end)(&s, k, AT_END, bits);
}

/* ---- Counters ---------------------------------------------------------------------------------------------------- */

/* The counter blocks of a step. */
struct NAME(counters) {
    V next;       /* those of its first vector, with counters in native byte order                   */
    V others;     /* two_rounds() of these, to be combined with terms of the cache, if there are any */
    unsigned low; /* the last byte of the first counter                                              */
};

/* Compute the terms of the cache for message @number. */
static TARGET void NAME(fill)(struct cache *c, const struct key *k, __m128i nonce, uint64_t number)
{
    const V swap = BROADCAST(REVERSE_COUNTER), zero = BROADCAST(two_rounds(k, nonce));
    V counter = ADD(BROADCAST(_mm_insert_epi32(nonce, 0, 3)), LANE_NUMBERS);

    for (size_t i = 0; i < CACHE_NUM; i += LANES) {
        V block = XOR(SHUFFLE(counter, swap), BROADCAST(k->rounds[0]));

        block = AES(AES(block, BROADCAST(k->rounds[1])), BROADCAST(k->rounds[2]));
        STORE(&c->terms[i], XOR(block, zero));
        counter = ADD(counter, BROADCAST(COUNTER(LANES)));
    }
    c->number = number & CACHE_MASK;
    c->num = CACHE_NUM;
}

/* Return the counter blocks of the first step of message @i, and fill the cache if that saves time. */
static INLINE TARGET struct NAME(counters)
    NAME(start)(struct cache *c, const struct key *k, const struct bs_gcm_run *run, size_t i, __m128i nonce)
{
    struct NAME(counters) n = {.next = ADD(BROADCAST(_mm_add_epi32(nonce, COUNTER(1))), LANE_NUMBERS), .low = 2};

    if (bs_gcm_sealed_len(run) >= CACHE_MIN_LEN) {
        if (!cache_fits(c, run->first + i))
            NAME(fill)(c, k, nonce, run->first + i);
        n.others = BROADCAST(two_rounds(k, nonce));
    }
    return n;
}

/* Advance to the next step. */
static INLINE TARGET void NAME(advance)(struct NAME(counters) * n, const struct key *k)
{
    n->next = ADD(n->next, BROADCAST(COUNTER(STEP_BLOCKS)));
    n->low += STEP_BLOCKS;
    if (n->low >= CACHE_NUM) {
        n->low -= CACHE_NUM;
        n->others = BROADCAST(two_rounds(k, FIRST(n->next)));
    }
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

#define CACHED_ONE(i) b##i = XOR(others, LOAD(terms + (size_t)(i)*LANES))
#define START_ONE(i)  b##i = XOR(SHUFFLE(ADD(n->next, BROADCAST(COUNTER((i)*LANES))), swap), rk)

/*
 * Encrypt or decrypt a step, and interleave with that the work of NAME(hash_step)(). This is inlined into the loops
 * below, so the number of its parameters costs nothing.
 */
/* NOLINTNEXTLINE(readability-function-size) */
static INLINE TARGET V NAME(step)(const struct key *k, const struct cache *c, const struct NAME(counters) * n,
                                  const uint8_t *in, uint8_t *out, const uint8_t *hashed, V acc, enum place place,
                                  uint64_t bits)
{
    const uint8_t *powers = NAME(powers)(k, place);
    const V reverse = BROADCAST(REVERSE_BYTES), swap = BROADCAST(REVERSE_COUNTER);
    struct NAME(sum) s = {0};
    V rk, b0, b1, b2, b3, b4, b5, b6, b7;

    if (n->low + STEP_BLOCKS <= c->num) {
        const V others = n->others;
        const __m128i *terms = &c->terms[n->low];

        EACH(CACHED_ONE);
    } else {
        rk = BROADCAST(k->rounds[0]);
        EACH(START_ONE);
        ROUND(1);
        ROUND(2);
    }
    SUM_TWO(6); /* the first vectors come last, because they depend on @acc */
    ROUND(3);
    ROUND(4);
    SUM_TWO(4);
    ROUND(5);
    ROUND(6);
    SUM_TWO(2);
    ROUND(7);
    ROUND(8);
    SUM_FIRST();
    ROUND(9);
    ROUND(10);
    acc = NAME(end)(&s, k, place, bits);
    ROUND(11);
    ROUND(12);
    ROUND(13);
    rk = BROADCAST(k->rounds[14]);
    EACH(LAST_ONE);
    return acc;
}

/* Encrypt or decrypt the last @len bytes of a message, less than a step. Return the hash of the message. */
/* NOLINTNEXTLINE(readability-function-size) */
static TARGET __m128i NAME(tail)(const struct key *k, const struct cache *c, const struct NAME(counters) * n,
                                 const uint8_t *in, uint8_t *out, size_t len, bool open, V acc, uint64_t bits)
{
    uint8_t from[STEP_LEN], to[STEP_LEN];

    if (len == 0) /* the hash of an empty message is 0, because its only block is the length 0 */
        return _mm_setzero_si128();
    memset(from, 0, sizeof from);
    memcpy(from, in, len);
    (void)NAME(step)(k, c, n, from, to, from, acc, WITHIN, 0);
    memcpy(out, to, len);
    memset(to + len, 0, sizeof to - len);
    acc = NAME(hash_tail)(k, open ? from : to, len, acc, bits);
    wipe(from, sizeof from);
    wipe(to, sizeof to);
    return FIRST(acc);
}

/* ---- Runs -------------------------------------------------------------------------------------------------------- */

/* Seal a run. Hashing is one step later than encryption, because it needs the ciphertext. */
static TARGET NOINLINE bool NAME(seal_run)(const struct key *k, const struct bs_gcm_run *run, uint8_t *sealed,
                                           const uint8_t *plain, struct cache *c)
{
    struct pending p = {.step = zeros};
    V hash = ZERO;

    for (size_t i = 0; i < run->num; i++) {
        size_t len = bs_gcm_message_len(run, i), left = len;
        __m128i nonce = nonce_of(run, i), mask = encrypt_block(k, nonce);
        struct NAME(counters) n = NAME(start)(c, k, run, i, nonce);

        for (; left >= STEP_LEN; left -= STEP_LEN) {
            hash = NAME(step)(k, c, &n, plain, sealed, p.step, hash, p.place, p.bits);
            if (p.place == AT_END) {
                put_tag(&p, FIRST(hash));
                hash = ZERO;
            }
            p = (struct pending){sealed, place_of(left, STEP_LEN), len * 8, sealed + STEP_LEN, mask};
            NAME(advance)(&n, k);
            plain += STEP_LEN;
            sealed += STEP_LEN;
        }
        if (left > 0 || len == 0) {
            hash = NAME(hash_step)(k, p.step, hash, p.place, p.bits);
            if (p.place == AT_END) {
                put_tag(&p, FIRST(hash));
                hash = ZERO;
            }
            store(sealed + left, tag_of(NAME(tail)(k, c, &n, plain, sealed, left, false, hash, len * 8), mask));
            plain += left;
            sealed += left;
            p = (struct pending){.step = zeros};
            hash = ZERO;
        }
        sealed += BS_GCM_TAG_LEN;
    }
    if (p.place == AT_END)
        put_tag(&p, FIRST(NAME(hash_step)(k, p.step, hash, p.place, p.bits)));
    return true;
}

/* Open a run. Each step is hashed and decrypted together. If a tag is wrong, wipe its message and all later ones. */
static TARGET NOINLINE bool NAME(open_run)(const struct key *k, const struct bs_gcm_run *run, uint8_t *plain,
                                           const uint8_t *sealed, struct cache *c)
{
    size_t rest = bs_gcm_sealed_len(run) - run->num * BS_GCM_TAG_LEN;
    bool authentic = true;

    for (size_t i = 0; authentic && i < run->num; i++) {
        size_t len = bs_gcm_message_len(run, i), left = len;
        __m128i nonce = nonce_of(run, i), mask = encrypt_block(k, nonce), end;
        struct NAME(counters) n = NAME(start)(c, k, run, i, nonce);
        uint8_t *start = plain;
        V hash = ZERO;

        for (; left >= STEP_LEN; left -= STEP_LEN) {
            hash = NAME(step)(k, c, &n, sealed, plain, sealed, hash, place_of(left, STEP_LEN), len * 8);
            NAME(advance)(&n, k);
            plain += STEP_LEN;
            sealed += STEP_LEN;
        }
        end = FIRST(hash);
        if (left > 0 || len == 0)
            end = NAME(tail)(k, c, &n, sealed, plain, left, true, hash, len * 8);
        authentic = tag_is(sealed + left, end, mask);
        if (!authentic)
            wipe(start, rest);
        plain += left;
        sealed += left + BS_GCM_TAG_LEN;
        rest -= len;
    }
    return authentic;
}

static bool NAME(work)(struct bs_gcm_key *key, run_fn *fn, const struct bs_gcm_run *run, uint8_t *to,
                       const uint8_t *from)
{
    struct cache c;
    bool ok;

    c.num = 0;
    ok = fn(key_of(key), run, to, from, &c);
    cache_wipe(&c);
    NAME(wipe_frames)();
    return ok;
}

static bool NAME(seal)(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *sealed, const uint8_t *plain)
{
    return NAME(work)(key, NAME(seal_run), run, sealed, plain);
}

static bool NAME(open)(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *plain, const uint8_t *sealed)
{
    return NAME(work)(key, NAME(open_run), run, plain, sealed);
}

static TARGET enum bs_gcm_status NAME(init)(struct bs_gcm_key *key, const uint8_t raw[BS_GCM_KEY_LEN])
{
    expand_key(key_of(key), raw, LANES);
    return BS_GCM_OK;
}

#undef POWERS
#undef ZERO
#undef X
#undef SUM_TWO
#undef SUM_FIRST
#undef CACHED_ONE
#undef START_ONE
