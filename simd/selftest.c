/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests that a program can make of what it runs on: the same answers as other implementations give, and no forgery taken.
 * The known answers were computed with OpenSSL's AES-GCM one message at a time, and with xxhsum.
 */
#include <string.h>

#include "simd.h"

#define MSG_LEN  ((size_t)4096)
#define LAST_LEN ((size_t)1000)
#define NUM      ((size_t)3)
#define LEN      ((NUM - 1) * MSG_LEN + LAST_LEN)

static const uint8_t nonce[BS_GCM_NONCE_LEN] = {0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xAB};

/* Three messages whose numbers carry from the fourth to the fifth byte. */
static const struct bs_gcm_run run = {
    .nonce = nonce, .first = 0xFFFFFFFE, .num = NUM, .msg_len = MSG_LEN, .last_len = LAST_LEN};

static const struct bs_gcm_run empty_run = {.nonce = nonce, .first = 0xFFFFFFFE, .num = 1};

static const uint8_t empty_tag[BS_GCM_TAG_LEN] = {0x5C, 0x6E, 0x23, 0x3C, 0xA2, 0xE7, 0x64, 0xC5,
                                                  0xAB, 0x05, 0x84, 0x3E, 0x16, 0xA7, 0xE7, 0xCB};

static void fill(uint8_t *p)
{
    for (size_t i = 0; i < LEN; i++)
        p[i] = (uint8_t)(i * 7 + (i >> 8));
}

static bool init(struct bs_gcm_key *key, const struct bs_gcm_impl *impl)
{
    uint8_t raw[BS_GCM_KEY_LEN];

    for (unsigned i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)i;
    *key = (struct bs_gcm_key){.impl = impl};
    return impl->init(key, raw);
}

static bool knows_answers(struct bs_gcm_key *key)
{
    uint8_t plain[LEN], sealed[LEN + NUM * BS_GCM_TAG_LEN], back[LEN];

    fill(plain);
    return key->impl->seal(key, &empty_run, sealed, plain) && memcmp(sealed, empty_tag, sizeof empty_tag) == 0 &&
           key->impl->open(key, &empty_run, back, sealed) && key->impl->seal(key, &run, sealed, plain) &&
           bs_xxh3(0, sealed, sizeof sealed) == 0x2586FE9C8D3AE7AC && key->impl->open(key, &run, back, sealed) &&
           memcmp(plain, back, LEN) == 0;
}

static bool all_zero(const uint8_t *p, size_t len)
{
    uint8_t any = 0;

    for (size_t i = 0; i < len; i++)
        any |= p[i];
    return any == 0;
}

/* A bit of the tag or the text of each message: what is in front is released, the rest is zero. */
static bool refuses_changes(struct bs_gcm_key *key)
{
    const size_t stride = MSG_LEN + BS_GCM_TAG_LEN;
    uint8_t plain[LEN], sealed[LEN + NUM * BS_GCM_TAG_LEN], back[LEN];

    fill(plain);
    if (!key->impl->seal(key, &run, sealed, plain))
        return false;
    for (size_t m = 0; m < NUM; m++)
        for (unsigned in_tag = 0; in_tag < 2; in_tag++) {
            size_t at = m * stride + (in_tag != 0 ? (m + 1 < NUM ? MSG_LEN : LAST_LEN) + 3 : 500);
            bool taken;

            sealed[at] ^= 1;
            memset(back, 0xEE, LEN);
            taken = key->impl->open(key, &run, back, sealed);
            sealed[at] ^= 1;
            if (taken || memcmp(back, plain, m * MSG_LEN) != 0 || !all_zero(back + m * MSG_LEN, LEN - m * MSG_LEN))
                return false;
        }
    return true;
}

/* A message without text is all tag: interfaces have taken any for it. */
static bool refuses_empty_forgery(struct bs_gcm_key *key)
{
    uint8_t tag[BS_GCM_TAG_LEN], none[1];

    for (unsigned bit = 0; bit < 8 * BS_GCM_TAG_LEN; bit++) {
        memcpy(tag, empty_tag, sizeof tag);
        tag[bit / 8] ^= (uint8_t)(1U << bit % 8);
        if (key->impl->open(key, &empty_run, none, tag))
            return false;
    }
    memset(tag, 0, sizeof tag);
    return !key->impl->open(key, &empty_run, none, tag);
}

bool bs_gcm_selftest(const struct bs_gcm_impl *impl)
{
    struct bs_gcm_key key;
    bool ok = init(&key, impl) && knows_answers(&key) && refuses_changes(&key) && refuses_empty_forgery(&key);

    bs_gcm_clear(&key);
    return ok;
}

bool bs_xxh3_selftest(uint64_t (*sum)(uint64_t seed, const void *p, size_t len))
{
    uint8_t p[LEN];

    fill(p);
    return sum(0, NULL, 0) == 0x2D06800538D394C2 && sum(0, p, LEN) == 0x58899D7B2CE5C210;
}
