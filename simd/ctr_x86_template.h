/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256 in counter mode for one vector width. ctr_x86.c includes this file once for each width, after
 * simd/x86_width.h. A step is eight vectors.
 *
 * Counters are kept in native byte order, the low half in the first 64 bits of a lane. Only that half is incremented:
 * the caller splits the work where the high half changes.
 *
 * Source: NIST SP 800-38A section 6.5.
 */

#define START_ONE(i) b##i = XOR(SHUFFLE(ADD64(next, BROADCAST(_mm_set_epi64x(0, (long long)(i)*LANES))), reverse), rk)

/* Encrypt or decrypt a step, whose first counters are @next. */
static INLINE TARGET void NAME(step)(const struct ctr *k, V next, uint8_t *out, const uint8_t *in)
{
    const V reverse = BROADCAST(REVERSE_BYTES);
    V rk, b0, b1, b2, b3, b4, b5, b6, b7;

    rk = BROADCAST(k->rounds[0]);
    EACH(START_ONE);
    ROUND(1);
    ROUND(2);
    ROUND(3);
    ROUND(4);
    ROUND(5);
    ROUND(6);
    ROUND(7);
    ROUND(8);
    ROUND(9);
    ROUND(10);
    ROUND(11);
    ROUND(12);
    ROUND(13);
    rk = BROADCAST(k->rounds[14]);
    EACH(LAST_ONE);
}

/* Encrypt or decrypt @len bytes, in which the high half of the counter does not change. */
static TARGET NOINLINE void NAME(part)(const struct ctr *k, const struct counter *c, uint8_t *out, const uint8_t *in,
                                       size_t len)
{
    const V advance = BROADCAST(_mm_set_epi64x(0, (long long)STEP_BLOCKS));
    V next = ADD64(BROADCAST(_mm_set_epi64x((long long)c->high, (long long)c->low)), LANE_INDEXES);
    uint8_t rest[STEP_LEN];

    for (; len >= STEP_LEN; len -= STEP_LEN) {
        NAME(step)(k, next, out, in);
        next = ADD64(next, advance);
        in += STEP_LEN;
        out += STEP_LEN;
    }
    if (len == 0)
        return;
    memset(rest, 0, sizeof rest);
    memcpy(rest, in, len);
    NAME(step)(k, next, rest, rest);
    memcpy(out, rest, len);
    wipe(rest, sizeof rest);
}

static bool NAME(crypt)(struct bs_ctr_key *key, uint64_t first, uint8_t *out, const uint8_t *in, size_t len)
{
    struct counter c = counter_of(key->nonce, first);

    while (len > 0) {
        size_t n = until_carry(&c, len);

        NAME(part)((const void *)key->schedule, &c, out, in, n);
        c.high++;
        c.low = 0;
        out += n;
        in += n;
        len -= n;
    }
    NAME(wipe_frames)();
    return true;
}

static TARGET enum bs_gcm_status NAME(init)(struct bs_ctr_key *key, const uint8_t raw[BS_CTR_KEY_LEN],
                                            const uint8_t nonce[BS_CTR_NONCE_LEN])
{
    struct ctr *k = (void *)key->schedule;

    expand(k->rounds, raw);
    memcpy(key->nonce, nonce, BS_CTR_NONCE_LEN);
    return BS_GCM_OK;
}

#undef START_ONE
