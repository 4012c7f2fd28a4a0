/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM over a run of messages, for one vector width. gcm_x86.c includes this once for each width and defines:
 *
 *   V, LANES    a vector, and how many blocks of 16 bytes it holds
 *   TARGET      the attribute that lets the compiler use the instructions
 *   NAME(x)     x with the implementation's name in it
 *   LOAD STORE XOR XOR3 ADD SHUFFLE AES AESLAST CLMUL    on vectors
 *   SWAP UP DOWN       the halves of each lane swapped; its low half moved up, its high half moved down
 *   KARATSUBA          where three products are better than four
 *   BROADCAST WIDEN FIRST NARROW LANE_NUMBERS    a block in every lane; in the first; the first; the XOR of all; 0, 1,
 * 2 ...
 *
 * A step is eight vectors: so many AES rounds are in flight at once, which hides their latency. GHASH of one step runs
 * beside the AES rounds of another, because the two use different ports of the CPU; there is one reduction a step, and
 * the lanes come together once a message. The messages of a run follow each other without a pause: what is left of the
 * sum of one, and its tag, is done beside the first step of the next. A long run has the first two rounds of AES from a
 * cache.
 *
 * It works in place as simd.h allows: output is never ahead of the input that it is made from, a step is summed before
 * it is opened, a vector is read before it is written, and a tag ends where the next plaintext begins, or in front of
 * it.
 *
 * Source: NIST SP 800-38D.
 */

#define STEP_BLOCKS (8 * LANES)
#define STEP_LEN    ((size_t)STEP_BLOCKS * 16)
#define VECTOR_LEN  ((size_t)LANES * 16)
#define ZERO        BROADCAST(_mm_setzero_si128())

/* Statements, one for each vector of a step. */
#define EACH(F)                                                                                                        \
    F(0);                                                                                                              \
    F(1);                                                                                                              \
    F(2);                                                                                                              \
    F(3);                                                                                                              \
    F(4);                                                                                                              \
    F(5);                                                                                                              \
    F(6);                                                                                                              \
    F(7)

/* ---- GHASH ------------------------------------------------------------------------------------------------------- */

/* Where the powers of H start for a sum of @n factors: from H^n down to H. */
#define POWERS(k, n) ((const uint8_t *)&(k)->powers[MAX_POWERS - (n)])

/* Products that are not reduced yet. With Karatsuba's method `mid` lacks the other two. */
struct NAME(sum) {
    V lo, mid, hi;
};

/* Two vectors, times the powers that start at @powers. */
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

/* reduce() in each lane. */
static INLINE TARGET V NAME(reduce_lanes)(V lo, V mid, V hi)
{
    const V poly = BROADCAST(POLYNOMIAL);

    lo = XOR(lo, UP(mid));
    lo = XOR(SWAP(lo), CLMUL(lo, poly, 0x00));
    return XOR3(XOR(hi, DOWN(mid)), SWAP(lo), CLMUL(lo, poly, 0x00));
}

/* The sum of a message so far; where it ends, its length in bits is the last factor. */
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

/* Two vectors of the ciphertext at `hashed`; the first two also take what was summed before. */
#define X(i)        SHUFFLE(LOAD(hashed + (i)*VECTOR_LEN), reverse)
#define SUM_TWO(i)  NAME(add)(&s, X(i), X((i) + 1), powers + (i)*VECTOR_LEN)
#define SUM_FIRST() NAME(add)(&s, XOR(X(0), acc), X(1), powers)

/* Where the powers for a step start. */
static INLINE const uint8_t *NAME(powers)(const struct key *k, enum place place)
{
    return place == WITHIN ? (const uint8_t *)&k->powers[LANE_POWERS]
                           : POWERS(k, STEP_BLOCKS + (place == AT_END ? 1 : 0));
}

/* Add a step of ciphertext at @hashed to @acc; @bits is the length of its message, for its last step. */
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

/* Add the last @len bytes of a message, at least one, with zeros behind them up to two vectors, and its length. */
static TARGET V NAME(hash_tail)(const struct key *k, const uint8_t *hashed, size_t len, V acc, uint64_t bits)
{
    const uint8_t *powers = POWERS(k, (len + 15) / 16 + 1);
    const V reverse = BROADCAST(REVERSE_BYTES);
    struct NAME(sum) s = {0};

    SUM_FIRST();
    for (size_t i = 2; i * VECTOR_LEN < len; i += 2) /* powers behind the last meet zeros */
        SUM_TWO(i);
    return NAME(end)(&s, k, AT_END, bits);
}

/* ---- Counters ---------------------------------------------------------------------------------------------------- */

/* Of one step. */
struct NAME(counters) {
    V next;       /* of its first vector, in the order that adds                 */
    V others;     /* two rounds of all but the last byte, where there is a cache */
    unsigned low; /* the last byte of the first                                  */
};

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
    c->number = number & CACHE_FOR;
    c->num = CACHE_NUM;
}

/* Those of a message's first step. */
static INLINE TARGET struct NAME(counters)
    NAME(start)(struct cache *c, const struct key *k, const struct bs_gcm_run *run, size_t i, __m128i nonce)
{
    struct NAME(counters) n = {.next = ADD(BROADCAST(_mm_add_epi32(nonce, COUNTER(1))), LANE_NUMBERS), .low = 2};

    if (bs_gcm_sealed_len(run) >= CACHE_PAYS) {
        if (!cache_fits(c, run->first + i))
            NAME(fill)(c, k, nonce, run->first + i);
        n.others = BROADCAST(two_rounds(k, nonce));
    }
    return n;
}

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
#define ROUND_ONE(i)  b##i = AES(b##i, rk)
#define LAST_ONE(i)   STORE(out + (i)*VECTOR_LEN, AESLAST(b##i, XOR(rk, LOAD(in + (i)*VECTOR_LEN))))
#define ROUND(r)                                                                                                       \
    rk = BROADCAST(k->rounds[r]);                                                                                      \
    EACH(ROUND_ONE)

/* Encrypt or decrypt a step; beside it, NAME(hash_step)(). */
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
    SUM_TWO(6); /* the first vectors last: they wait for @acc */
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

/* The last @len bytes of a message, less than a step; answers the sum of the message. */
static TARGET __m128i NAME(tail)(const struct key *k, const struct cache *c, const struct NAME(counters) * n,
                                 const uint8_t *in, uint8_t *out, size_t len, bool open, V acc, uint64_t bits)
{
    uint8_t from[STEP_LEN], to[STEP_LEN];

    if (len == 0) /* an empty message: nothing, and 0 for its length */
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

/* The sum stays one step behind, for only then its ciphertext is there. */
static TARGET NOINLINE bool NAME(seal_run)(const struct key *k, const struct bs_gcm_run *run, uint8_t *sealed,
                                           const uint8_t *plain, struct cache *c)
{
    struct behind b = {.step = zeros};
    V sum = ZERO;

    for (size_t i = 0; i < run->num; i++) {
        size_t len = bs_gcm_message_len(run, i), left = len;
        __m128i nonce = nonce_of(run, i), mask = encrypt_block(k, nonce);
        struct NAME(counters) n = NAME(start)(c, k, run, i, nonce);

        for (; left >= STEP_LEN; left -= STEP_LEN) {
            sum = NAME(step)(k, c, &n, plain, sealed, b.step, sum, b.place, b.bits);
            if (b.place == AT_END) {
                put_tag(&b, FIRST(sum));
                sum = ZERO;
            }
            b = (struct behind){sealed, place_of(left, STEP_LEN), len * 8, sealed + STEP_LEN, mask};
            NAME(advance)(&n, k);
            plain += STEP_LEN;
            sealed += STEP_LEN;
        }
        if (left > 0 || len == 0) {
            sum = NAME(hash_step)(k, b.step, sum, b.place, b.bits);
            if (b.place == AT_END) {
                put_tag(&b, FIRST(sum));
                sum = ZERO;
            }
            store(sealed + left, tag_of(NAME(tail)(k, c, &n, plain, sealed, left, false, sum, len * 8), mask));
            plain += left;
            sealed += left;
            b = (struct behind){.step = zeros};
            sum = ZERO;
        }
        sealed += BS_GCM_TAG_LEN;
    }
    if (b.place == AT_END)
        put_tag(&b, FIRST(NAME(hash_step)(k, b.step, sum, b.place, b.bits)));
    return true;
}

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
        V sum = ZERO;

        for (; left >= STEP_LEN; left -= STEP_LEN) {
            sum = NAME(step)(k, c, &n, sealed, plain, sealed, sum, place_of(left, STEP_LEN), len * 8);
            NAME(advance)(&n, k);
            plain += STEP_LEN;
            sealed += STEP_LEN;
        }
        end = FIRST(sum);
        if (left > 0 || len == 0)
            end = NAME(tail)(k, c, &n, sealed, plain, left, true, sum, len * 8);
        authentic = tag_is(sealed + left, end, mask);
        if (!authentic)
            wipe(start, rest);
        plain += left;
        sealed += left + BS_GCM_TAG_LEN;
        rest -= len;
    }
    return authentic;
}

/* Where the frames of a run_fn were. No memset(): for so little it is slow to start. */
static TARGET NOINLINE void NAME(wipe_frames)(void)
{
    V frames[FRAMES / sizeof(V)];

    for (size_t i = 0; i < FRAMES / sizeof(V); i++) {
        frames[i] = ZERO;
        __asm__ volatile("" : : "r"(&frames[i]) : "memory");
    }
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
    key_setup(key_of(key), raw, LANES);
    return BS_GCM_OK;
}

#undef STEP_BLOCKS
#undef STEP_LEN
#undef VECTOR_LEN
#undef EACH
#undef POWERS
#undef ZERO
#undef X
#undef SUM_TWO
#undef SUM_FIRST
#undef CACHED_ONE
#undef START_ONE
#undef ROUND_ONE
#undef LAST_ONE
#undef ROUND
#undef V
#undef LANES
#undef TARGET
#undef NAME
#undef LOAD
#undef STORE
#undef XOR
#undef XOR3
#undef ADD
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
