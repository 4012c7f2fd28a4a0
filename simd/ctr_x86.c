/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256 in counter mode with the AES instructions of x86 CPUs, for three vector widths. The key schedule and the
 * rounds are those of AES-256-GCM.
 */
#ifdef __x86_64__
#    include "simd/aes_x86.h"

struct ctr {
    __m128i rounds[AES_ROUND_KEYS];
};

_Static_assert(sizeof(struct ctr) <= sizeof(((struct bs_ctr_key *)NULL)->schedule), "the expanded key fits");

/* Bytes of stack to wipe: more than the frames below have. Compilers store round keys there. */
#    define FRAMES 1536

/* A counter of 128 bits. */
struct counter {
    uint64_t high, low;
};

/* Return the counter of block @first: the nonce plus @first, modulo 2^128. */
static struct counter counter_of(const uint8_t nonce[BS_CTR_NONCE_LEN], uint64_t first)
{
    struct counter c;

    memcpy(&c.high, nonce, sizeof c.high);
    memcpy(&c.low, nonce + sizeof c.high, sizeof c.low);
    c.high = __builtin_bswap64(c.high);
    c.low = __builtin_bswap64(c.low) + first;
    c.high += c.low < first ? 1 : 0;
    return c;
}

/* Return the number of bytes up to the block in which the low half of the counter becomes zero, or @len if they are
 * fewer. */
static size_t until_carry(const struct counter *c, size_t len)
{
    uint64_t blocks = 0 - c->low; /* 0 means 2^64 */

    return blocks != 0 && blocks <= len / 16 ? (size_t)blocks * 16 : len;
}

static void clear(struct bs_ctr_key *key)
{
    wipe(key->schedule, sizeof key->schedule);
    wipe(key->nonce, sizeof key->nonce);
}

#    define WIDTH 128
#    include "simd/x86_width.h"

#    include "simd/ctr_x86_template.h"

#    define WIDTH 256
#    include "simd/x86_width.h"

#    include "simd/ctr_x86_template.h"

#    define WIDTH 512
#    include "simd/x86_width.h"

#    include "simd/ctr_x86_template.h"

const struct bs_ctr_impl bs_ctr_aesni = {
    .name = "aesni", .needs = NEEDS_AESNI, .init = aesni_init, .clear = clear, .crypt = aesni_crypt};
const struct bs_ctr_impl bs_ctr_vaes256 = {
    .name = "vaes256", .needs = NEEDS_VAES256, .init = vaes256_init, .clear = clear, .crypt = vaes256_crypt};
const struct bs_ctr_impl bs_ctr_vaes512 = {
    .name = "vaes512", .needs = NEEDS_VAES512, .init = vaes512_init, .clear = clear, .crypt = vaes512_crypt};
#endif
