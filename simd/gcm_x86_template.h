/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM over a run of messages, for one vector width. gcm_x86.c includes this once for each width and defines:
 *
 *   V, LANES    a vector, and how many blocks of 16 bytes it holds
 *   TARGET      the attribute that lets the compiler use the instructions
 *   NAME(x)     x with the implementation's name in it
 *   LOAD STORE XOR XOR3 ADD SHUFFLE AES AESLAST CLMUL    on vectors
 *   KARATSUBA, SWAP    where three products are better than four: defined, and what swaps the halves of each lane
 *   BROADCAST WIDEN NARROW LANE_NUMBERS                 a block in every lane; in the first; the XOR of all lanes; 0, 1, 2 ...
 *
 * A step is eight vectors: so many AES rounds are in flight at once, which hides their latency. GHASH of one step runs beside
 * the AES rounds of another, because the two use different ports of the CPU; there is one reduction a step. The messages of a
 * run follow each other without a pause: what is left of the sum of one, and its tag, is done beside the first step of the
 * next.
 *
 * It works in place as simd.h allows: output is never ahead of the input that it is made from, a step is summed before it is
 * opened, a vector is read before it is written, and a tag ends where the next plaintext begins, or in front of it.
 *
 * Source: NIST SP 800-38D.
 */

#define STEP_BLOCKS (8 * LANES)
#define STEP_LEN    ((size_t)STEP_BLOCKS * 16)
#define VECTOR_LEN  ((size_t)LANES * 16)

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

/* Where the powers of H start for a sum of @n factors: from H^n down to H. */
#define POWERS(k, n) ((const uint8_t *)&(k)->powers[MAX_POWERS - (n)])

/* Products that are not reduced yet. With Karatsuba's method `mid` lacks the other two. */
struct NAME(sum) {
    V lo, mid, hi;
};

static INLINE TARGET void NAME(add)(struct NAME(sum) * s, V x, const uint8_t *powers)
{
    V h = LOAD(powers);

    s->lo = XOR(s->lo, CLMUL(x, h, 0x00));
    s->hi = XOR(s->hi, CLMUL(x, h, 0x11));
#ifdef KARATSUBA
    s->mid = XOR(s->mid, CLMUL(XOR(x, SWAP(x)), LOAD(powers + FOLDED), 0x00));
#else
    s->mid = XOR3(s->mid, CLMUL(x, h, 0x01), CLMUL(x, h, 0x10));
#endif
}

/* The sum of a message so far; where it ends (@bits, else 0) its length block is the last factor. */
static INLINE TARGET __m128i NAME(end)(const struct NAME(sum) * s, const struct key *k, uint64_t bits)
{
    __m128i lo = NARROW(s->lo), mid = NARROW(s->mid), hi = NARROW(s->hi);

#ifdef KARATSUBA
    mid = _mm_xor_si128(mid, _mm_xor_si128(lo, hi));
#endif
    if (bits != 0) {
        __m128i len = _mm_cvtsi64_si128((long long)bits), h = k->powers[MAX_POWERS - 1];

        lo = _mm_xor_si128(lo, _mm_clmulepi64_si128(len, h, 0x00));
        mid = _mm_xor_si128(mid, _mm_clmulepi64_si128(len, h, 0x10));
    }
    return reduce(lo, mid, hi);
}

/* One vector of the step of ciphertext at `hashed`; the first also takes what was summed before. */
#define SUM_ONE(i)  NAME(add)(&s, SHUFFLE(LOAD(hashed + (i)*VECTOR_LEN), reverse), powers + (i)*VECTOR_LEN)
#define SUM_FIRST() NAME(add)(&s, XOR(SHUFFLE(LOAD(hashed), reverse), WIDEN(acc)), powers)

/* Add a step of ciphertext at @hashed to @acc, and, where that ends a message, its length in @bits. */
static TARGET __m128i NAME(hash_step)(const struct key *k, const uint8_t *hashed, __m128i acc, uint64_t bits)
{
    const uint8_t *powers = POWERS(k, STEP_BLOCKS + (bits != 0 ? 1 : 0));
    const V reverse = BROADCAST(REVERSE_BYTES);
    struct NAME(sum) s = {0};

    SUM_FIRST();
    SUM_ONE(1);
    SUM_ONE(2);
    SUM_ONE(3);
    SUM_ONE(4);
    SUM_ONE(5);
    SUM_ONE(6);
    SUM_ONE(7);
    return NAME(end)(&s, k, bits);
}

#define START_ONE(i) V b##i = XOR(SHUFFLE(ADD(counter, BROADCAST(COUNTER((i)*LANES))), swap), rk)
#define ROUND_ONE(i) b##i = AES(b##i, rk)
#define LAST_ONE(i)  STORE(out + (i)*VECTOR_LEN, AESLAST(b##i, XOR(rk, LOAD(in + (i)*VECTOR_LEN))))
#define ROUND(r)                                                                                                       \
    rk = BROADCAST(k->rounds[r]);                                                                                      \
    EACH(ROUND_ONE)

/* Encrypt or decrypt a step with counters from @counter on; beside it, NAME(hash_step)(). */
static INLINE TARGET __m128i NAME(step)(const struct key *k, V counter, const uint8_t *in, uint8_t *out,
                                        const uint8_t *hashed, __m128i acc, uint64_t bits)
{
    const uint8_t *powers = POWERS(k, STEP_BLOCKS + (bits != 0 ? 1 : 0));
    const V reverse = BROADCAST(REVERSE_BYTES), swap = BROADCAST(REVERSE_COUNTER);
    V rk = BROADCAST(k->rounds[0]);
    struct NAME(sum) s = {0};

    EACH(START_ONE);
    ROUND(1);
    SUM_ONE(7); /* the first vector last: it waits for @acc */
    ROUND(2);
    SUM_ONE(6);
    ROUND(3);
    SUM_ONE(5);
    ROUND(4);
    SUM_ONE(4);
    ROUND(5);
    SUM_ONE(3);
    ROUND(6);
    SUM_ONE(2);
    ROUND(7);
    SUM_ONE(1);
    ROUND(8);
    SUM_FIRST();
    ROUND(9);
    acc = NAME(end)(&s, k, bits);
    ROUND(10);
    ROUND(11);
    ROUND(12);
    ROUND(13);
    rk = BROADCAST(k->rounds[14]);
    EACH(LAST_ONE);
    return acc;
}

/* Add the last @len bytes of a message, with zeros behind them up to a vector, and its length. */
static TARGET __m128i NAME(hash_tail)(const struct key *k, const uint8_t *p, size_t len, __m128i acc, uint64_t bits)
{
    size_t blocks = (len + 15) / 16;
    const uint8_t *powers = POWERS(k, blocks + 1);
    const V reverse = BROADCAST(REVERSE_BYTES);
    struct NAME(sum) s = {0};

    for (size_t i = 0; i < blocks; i += LANES) { /* powers behind the last meet zeros */
        V x = SHUFFLE(LOAD(p + i * 16), reverse);

        NAME(add)(&s, i == 0 ? XOR(x, WIDEN(acc)) : x, powers + i * 16);
    }
    return NAME(end)(&s, k, bits);
}

/* The last @len bytes of a message, less than a step; answers the sum of the message. */
static TARGET __m128i NAME(tail)(const struct key *k, V counter, const uint8_t *in, uint8_t *out, size_t len, bool open,
                                 __m128i acc, uint64_t bits)
{
    uint8_t from[STEP_LEN], to[STEP_LEN];

    if (len == 0)
        return NAME(hash_tail)(k, in, 0, acc, bits);
    memset(from, 0, sizeof from);
    memcpy(from, in, len);
    (void)NAME(step)(k, counter, from, to, from, acc, 0);
    memcpy(out, to, len);
    memset(to + len, 0, sizeof to - len);
    acc = NAME(hash_tail)(k, open ? from : to, len, acc, bits);
    wipe(from, sizeof from);
    wipe(to, sizeof to);
    return acc;
}

/* The counters of a message's first step. */
static INLINE TARGET V NAME(counters)(__m128i nonce)
{
    return ADD(BROADCAST(_mm_add_epi32(nonce, COUNTER(1))), LANE_NUMBERS);
}

/* The sum stays one step behind, for only then its ciphertext is there. */
static TARGET bool NAME(seal)(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *sealed,
                              const uint8_t *plain)
{
    const struct key *k = key_of(key);
    const V stride = BROADCAST(COUNTER(STEP_BLOCKS));
    struct behind b = {.step = zeros};

    for (size_t i = 0; i < run->num; i++) {
        size_t len = bs_gcm_message_len(run, i), left = len;
        __m128i nonce = nonce_of(run, i), mask = encrypt_block(k, nonce);
        V counter = NAME(counters)(nonce);

        for (; left >= STEP_LEN; left -= STEP_LEN) {
            b.sum = NAME(step)(k, counter, plain, sealed, b.step, b.sum, b.bits);
            if (b.bits != 0)
                finish(&b);
            b.step = sealed;
            counter = ADD(counter, stride);
            plain += STEP_LEN;
            sealed += STEP_LEN;
        }
        if (left > 0 || len == 0) {
            b.sum = NAME(hash_step)(k, b.step, b.sum, b.bits);
            if (b.bits != 0)
                finish(&b);
            b.sum = NAME(tail)(k, counter, plain, sealed, left, false, b.sum, len * 8);
            plain += left;
            sealed += left;
            b.tag = sealed;
            b.mask = mask;
            finish(&b);
        } else {
            b.tag = sealed;
            b.mask = mask;
            b.bits = len * 8;
        }
        sealed += BS_GCM_TAG_LEN;
    }
    if (b.bits != 0) {
        b.sum = NAME(hash_step)(k, b.step, b.sum, b.bits);
        finish(&b);
    }
    return true;
}

static TARGET bool NAME(open)(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *plain,
                              const uint8_t *sealed)
{
    const struct key *k = key_of(key);
    const V stride = BROADCAST(COUNTER(STEP_BLOCKS));
    size_t rest = bs_gcm_sealed_len(run) - run->num * BS_GCM_TAG_LEN;

    for (size_t i = 0; i < run->num; i++) {
        size_t len = bs_gcm_message_len(run, i), left = len;
        __m128i nonce = nonce_of(run, i), mask = encrypt_block(k, nonce), sum = _mm_setzero_si128();
        V counter = NAME(counters)(nonce);
        uint8_t *start = plain;

        for (; left >= STEP_LEN; left -= STEP_LEN) {
            sum = NAME(step)(k, counter, sealed, plain, sealed, sum, left == STEP_LEN ? len * 8 : 0);
            counter = ADD(counter, stride);
            plain += STEP_LEN;
            sealed += STEP_LEN;
        }
        if (left > 0 || len == 0)
            sum = NAME(tail)(k, counter, sealed, plain, left, true, sum, len * 8);
        if (!tag_is(sealed + left, sum, mask)) {
            wipe(start, rest);
            return false;
        }
        plain += left;
        sealed += left + BS_GCM_TAG_LEN;
        rest -= len;
    }
    return true;
}

static TARGET enum bs_gcm_status NAME(init)(struct bs_gcm_key *key, const uint8_t raw[BS_GCM_KEY_LEN])
{
    key_setup(key_of(key), raw, STEP_BLOCKS + 1);
    return BS_GCM_OK;
}

#undef STEP_BLOCKS
#undef STEP_LEN
#undef VECTOR_LEN
#undef EACH
#undef POWERS
#undef SUM_ONE
#undef SUM_FIRST
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
#undef KARATSUBA
#undef BROADCAST
#undef WIDEN
#undef NARROW
#undef LANE_NUMBERS
