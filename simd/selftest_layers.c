/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Self-tests at run time of what encrypts layers of images. The known answers were computed with Python's hashlib, hmac
 * and cryptography.
 */
#include <stdlib.h>
#include <string.h>

#include "simd/simd.h"

static void fill(uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i * 7 + (i >> 8));
}

static void make_key(uint8_t raw[32])
{
    for (unsigned i = 0; i < 32; i++)
        raw[i] = (uint8_t)i;
}

/* ---- AES-256 in counter mode ------------------------------------------------------------------------------------- */

#define CTR_LEN ((size_t)1000) /* a step of the widest entry, and a tail */

/* The key and buffers of one self-test. */
struct trial {
    struct bs_ctr_key key;
    uint8_t plain[CTR_LEN], out[CTR_LEN];
};

/*
 * Return true if the result for this nonce, starting with block @first, has the XXH3-64 hash @answer, and if decrypting
 * it from block 10 on, in place, gives the plaintext.
 */
static bool matches(struct trial *t, const uint8_t nonce[BS_CTR_NONCE_LEN], uint64_t first, uint64_t answer)
{
    const struct bs_ctr_impl *impl = t->key.impl;
    uint8_t raw[BS_CTR_KEY_LEN];
    bool ok;

    make_key(raw);
    ok = impl->init(&t->key, raw, nonce) == BS_GCM_OK && impl->crypt(&t->key, first, t->out, t->plain, CTR_LEN) &&
         bs_xxh3(0, t->out, CTR_LEN) == answer &&
         impl->crypt(&t->key, first + 10, t->out + 160, t->out + 160, CTR_LEN - 160) &&
         memcmp(t->out + 160, t->plain + 160, CTR_LEN - 160) == 0;
    impl->clear(&t->key);
    t->key.state = NULL;
    return ok;
}

enum bs_gcm_status bs_ctr_selftest(const struct bs_ctr_impl *impl)
{
    /* The counter carries into its high half, and wraps around at 2^128. */
    static const uint8_t carries[BS_CTR_NONCE_LEN] = {0xA0, 0xA0, 0xA0, 0xA0, 0xA0, 0xA0, 0xA0, 0xFF,
                                                      0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xF0};
    static const uint8_t wraps[BS_CTR_NONCE_LEN] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                                    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xD8};
    struct trial *t = calloc(1, sizeof *t);
    uint8_t raw[BS_CTR_KEY_LEN];
    enum bs_gcm_status st;

    if (t == NULL)
        return BS_GCM_NO_MEMORY;
    t->key.impl = impl;
    make_key(raw);
    st = impl->init(&t->key, raw, carries); /* tells a missing cipher from a wrong result */
    impl->clear(&t->key);
    t->key.state = NULL;
    fill(t->plain, CTR_LEN);
    if (st == BS_GCM_OK && !(matches(t, carries, 0, 0x784D22BD8ECC9670) && matches(t, wraps, 3, 0x5E03078BBB4CEABC)))
        st = BS_GCM_BROKEN;
    free(t);
    return st;
}

/* ---- Hashes ------------------------------------------------------------------------------------------------------ */

#define HASHES_LEN ((size_t)300) /* four blocks, and a tail */

/* Compute all hashes: in one loop, and then one after the other. */
static bool hash_together(struct bs_hashes *h, const uint8_t *p, struct bs_hashes_results *out)
{
    const uint8_t *q = p + HASHES_LEN;

    h->impl->add_both(h, p, q, 128);
    h->impl->add_first(h, p + 128, 100);
    h->impl->add_first(h, p + 228, HASHES_LEN - 228);
    h->impl->add_other(h, q + 128, HASHES_LEN - 128);
    return h->impl->end(h, out);
}

static bool hash_first(struct bs_hashes *h, const uint8_t *p, struct bs_hashes_results *out)
{
    h->impl->add_first(h, p, HASHES_LEN);
    return h->impl->end(h, out);
}

/* Compute the hashes @wanted of @p. */
static enum bs_gcm_status compute(const struct bs_hashes_impl *impl, uint32_t wanted, const uint8_t *p,
                                  struct bs_hashes_results *out)
{
    struct bs_hashes h = {.impl = impl, .wanted = wanted};
    uint8_t key[BS_HASHES_KEY_LEN];
    enum bs_gcm_status st;

    *out = (struct bs_hashes_results){0};
    make_key(key);
    st = impl->init(&h, key);
    if (st == BS_GCM_OK && !((wanted & BS_HASHES_OTHER) != 0 ? hash_together(&h, p, out) : hash_first(&h, p, out)))
        st = BS_GCM_BROKEN;
    impl->clear(&h);
    return st;
}

enum bs_gcm_status bs_hashes_selftest(const struct bs_hashes_impl *impl)
{
    static const struct bs_hashes_results answers = {
        {0xD0, 0x7E, 0xCC, 0xC6, 0xFE, 0xF8, 0xC7, 0x69, 0x10, 0xAA, 0xC3, 0x8B, 0x8F, 0xB9, 0xD3, 0xB5,
         0x02, 0x70, 0x97, 0xE4, 0x32, 0xBC, 0x12, 0x9F, 0x9A, 0x15, 0x92, 0xF1, 0xDE, 0x56, 0xB6, 0x02},
        {0x7E, 0x18, 0x08, 0xA3, 0xC8, 0xE9, 0x13, 0x51, 0xE4, 0x51, 0x07, 0x9D, 0x84, 0x03, 0xE7, 0xF3,
         0xD9, 0x1B, 0x03, 0x9F, 0x2F, 0xA7, 0xAA, 0x10, 0x2B, 0x6D, 0x1C, 0x43, 0xDC, 0x7E, 0xE7, 0x4E},
        {0x39, 0xCB, 0xC8, 0x5F, 0xC0, 0xD0, 0xF7, 0xB1, 0xF6, 0xA0, 0x96, 0xAF, 0xFC, 0xB3, 0x33, 0xF4,
         0xEC, 0xDA, 0xEC, 0x6D, 0x5B, 0xCC, 0x1A, 0x31, 0x90, 0x2E, 0x9E, 0x18, 0xB2, 0xDD, 0xA0, 0x1F}};
    struct bs_hashes_results all, mac;
    uint8_t p[2 * HASHES_LEN];
    enum bs_gcm_status st;

    fill(p, sizeof p);
    st = compute(impl, BS_HASHES_MAC | BS_HASHES_FIRST | BS_HASHES_OTHER, p, &all);
    if (st == BS_GCM_OK)
        st = compute(impl, BS_HASHES_MAC, p, &mac);
    if (st == BS_GCM_OK &&
        (memcmp(&all, &answers, sizeof all) != 0 || memcmp(mac.mac, answers.mac, sizeof mac.mac) != 0))
        st = BS_GCM_BROKEN;
    return st;
}
