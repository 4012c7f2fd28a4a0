/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Self-tests at run time: the kernels must produce known answers and refuse forgeries on this machine. The known
 * answers were computed with OpenSSL's AES-GCM, one message at a time, and with xxhsum.
 */
#include <stdlib.h>
#include <string.h>

#include "simd/simd.h"

#define MSG_LEN  ((size_t)10240)
#define LAST_LEN ((size_t)1000)
#define NUM      ((size_t)3)
#define LEN      ((NUM - 1) * MSG_LEN + LAST_LEN)

static const uint8_t nonce[BS_GCM_NONCE_LEN] = {0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xAB};

/*
 * The message numbers carry from the fourth into the fifth byte. The message lengths are a multiple of the step of
 * every entry, or such a multiple and a tail. The run is just long enough for the code that only long runs use, and
 * no longer, because this test runs in every program that seals.
 */
static const struct bs_gcm_run run = {
    .nonce = nonce, .first = 0xFFFFFFFE, .num = NUM, .msg_len = MSG_LEN, .last_len = LAST_LEN};

static const struct bs_gcm_run empty_run = {.nonce = nonce, .first = 0xFFFFFFFE, .num = 1};

static const uint8_t empty_tag[BS_GCM_TAG_LEN] = {0x5C, 0x6E, 0x23, 0x3C, 0xA2, 0xE7, 0x64, 0xC5,
                                                  0xAB, 0x05, 0x84, 0x3E, 0x16, 0xA7, 0xE7, 0xCB};

/* The key and buffers of one self-test. */
struct trial {
    struct bs_gcm_key key;
    uint8_t plain[LEN], back[LEN];
    uint8_t sealed[LEN + NUM * BS_GCM_TAG_LEN];
};

static void fill(uint8_t *p)
{
    for (size_t i = 0; i < LEN; i++)
        p[i] = (uint8_t)(i * 7 + (i >> 8));
}

/* Initialise a fixed test key with @impl, without the self-test. */
static enum bs_gcm_status init(struct bs_gcm_key *key, const struct bs_gcm_impl *impl)
{
    uint8_t raw[BS_GCM_KEY_LEN];

    for (unsigned i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)i;
    *key = (struct bs_gcm_key){.impl = impl};
    return impl->init(key, raw);
}

/* Return true if sealing and opening produce the known answers. Afterwards, t->sealed contains the sealed t->plain. */
static bool matches_answers(struct trial *t)
{
    const struct bs_gcm_impl *impl = t->key.impl;

    return impl->seal(&t->key, &empty_run, t->sealed, t->plain) &&
           memcmp(t->sealed, empty_tag, sizeof empty_tag) == 0 && impl->open(&t->key, &empty_run, t->back, t->sealed) &&
           impl->seal(&t->key, &run, t->sealed, t->plain) &&
           bs_xxh3(0, t->sealed, sizeof t->sealed) == 0xA349CC500FF65323 &&
           impl->open(&t->key, &run, t->back, t->sealed) && memcmp(t->plain, t->back, LEN) == 0;
}

static bool all_zero(const uint8_t *p, size_t len)
{
    return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* Return true if a flipped bit in the ciphertext or tag of any message is detected. Messages before the changed one
 * must be opened, and the rest of the output must be zero. */
static bool refuses_changes(struct trial *t)
{
    const size_t stride = MSG_LEN + BS_GCM_TAG_LEN;

    for (size_t m = 0; m < NUM; m++)
        for (unsigned in_tag = 0; in_tag < 2; in_tag++) {
            size_t at = m * stride + (in_tag != 0 ? (m + 1 < NUM ? MSG_LEN : LAST_LEN) + 3 : 500);
            bool accepted;

            t->sealed[at] ^= 1;
            memset(t->back, 0xEE, LEN);
            accepted = t->key.impl->open(&t->key, &run, t->back, t->sealed);
            t->sealed[at] ^= 1;
            if (accepted || memcmp(t->back, t->plain, m * MSG_LEN) != 0 ||
                !all_zero(t->back + m * MSG_LEN, LEN - m * MSG_LEN))
                return false;
        }
    return true;
}

/*
 * Return true if an empty message with a wrong tag is refused. Such a message consists of its tag alone, and there have
 * been interfaces that accepted any tag for it. Every byte of the tag is changed in turn, and an all-zero tag is tried.
 */
static bool refuses_empty_forgery(struct trial *t)
{
    uint8_t tag[BS_GCM_TAG_LEN], unused[1];

    for (unsigned i = 0; i < BS_GCM_TAG_LEN; i++) {
        memcpy(tag, empty_tag, sizeof tag);
        tag[i] ^= (uint8_t)(1U << i % 8);
        if (t->key.impl->open(&t->key, &empty_run, unused, tag))
            return false;
    }
    memset(tag, 0, sizeof tag);
    return !t->key.impl->open(&t->key, &empty_run, unused, tag);
}

/* The buffers are too large for the stack of a thread of the host program. */
enum bs_gcm_status bs_gcm_selftest(const struct bs_gcm_impl *impl)
{
    struct trial *t = malloc(sizeof *t);
    enum bs_gcm_status st;

    if (t == NULL)
        return BS_GCM_NO_MEMORY;
    st = init(&t->key, impl);
    fill(t->plain);
    if (st == BS_GCM_OK && !(matches_answers(t) && refuses_changes(t) && refuses_empty_forgery(t)))
        st = BS_GCM_BROKEN;
    impl->clear(&t->key);
    free(t);
    return st;
}

enum bs_gcm_status bs_xxh3_selftest(uint64_t (*hash)(uint64_t seed, const void *p, size_t len))
{
    uint8_t *p = malloc(LEN);
    bool ok;

    if (p == NULL)
        return BS_GCM_NO_MEMORY;
    fill(p);
    ok = hash(0, NULL, 0) == 0x2D06800538D394C2 && hash(0, p, LEN) == 0x4DF66331F3BD343E;
    free(p);
    return ok ? BS_GCM_OK : BS_GCM_BROKEN;
}
