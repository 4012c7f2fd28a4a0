/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counter mode leaves no round key on the stack, and starting and completing an HMAC leaves nothing of its key. They
 * run on a stack of the test's own, which is searched afterwards.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "simd/simd.h"
#include "tests/support/suite.h"

SUITE(residue_layers);

#define STACK_LEN ((size_t)1 << 20)
#define LEN       ((size_t)10000)

static const uint8_t raw[32] = {0x9B, 0x1F, 0x8E, 0x70, 0x55, 0x02, 0xC3, 0xD4, 0xE5, 0xF6, 0x17,
                                0x28, 0x39, 0x4A, 0x5B, 0x6C, 0x7D, 0x8E, 0x9F, 0xA0, 0xB1, 0xC2,
                                0xD3, 0xE4, 0xF5, 0x06, 0x18, 0x27, 0x36, 0x45, 0x54, 0x63};

/* What runs on that stack. None of this data is on that stack. */
struct task {
    struct bs_ctr_key key;
    struct bs_hashes hashes;
    struct bs_hashes_results results;
    bool hash, leak;
    uint8_t in[LEN], out[LEN];
    uint8_t *stack;
};

static __attribute__((noinline)) void leak(const void *secret, size_t len)
{
    volatile uint8_t copy[256];

    for (size_t i = 0; i < len; i++)
        copy[i] = ((const uint8_t *)secret)[i];
    (void)copy[0];
}

static void *body(void *arg)
{
    struct task *t = arg;

    if (t->hash) {
        (void)t->hashes.impl->init(&t->hashes, raw);
        t->hashes.impl->add_both(&t->hashes, t->in, t->out, LEN);
        (void)t->hashes.impl->end(&t->hashes, &t->results);
    } else {
        (void)t->key.impl->crypt(&t->key, 0, t->out, t->in, LEN);
    }
    if (t->leak)
        leak(t->hash ? raw : t->key.schedule, t->hash ? sizeof raw : 240);
    return NULL;
}

static void run_on_stack(struct task *t)
{
    pthread_attr_t attr;
    pthread_t thread;

    memset(t->stack, 0, STACK_LEN);
    cr_assert(pthread_attr_init(&attr) == 0 && pthread_attr_setstack(&attr, t->stack, STACK_LEN) == 0);
    cr_assert(pthread_create(&thread, &attr, body, t) == 0);
    (void)pthread_join(thread, NULL);
    (void)pthread_attr_destroy(&attr);
}

/* Return how often the 8 bytes at @p are on the stack. */
static unsigned count(const struct task *t, const uint8_t *p)
{
    unsigned n = 0;

    for (size_t at = 0; at + 8 <= STACK_LEN; at += 4)
        n += memcmp(t->stack + at, p, 8) == 0;
    return n;
}

/* Return how many parts of the round keys are on the stack. */
static unsigned count_round_keys(const struct task *t)
{
    unsigned n = 0;

    for (size_t i = 0; i < 240; i += 8)
        n += count(t, t->key.schedule + i);
    return n;
}

/* Return how many parts of the HMAC's key are on the stack: plain, with either padding, in either byte order. */
static unsigned count_key(const struct task *t)
{
    static const uint8_t pads[] = {0, 0x36, 0x5C};
    unsigned n = 0;

    for (size_t p = 0; p < COUNT(pads); p++)
        for (size_t i = 0; i < sizeof raw; i += 8) {
            uint8_t same[8], swapped[8];

            for (size_t k = 0; k < 8; k++) {
                same[k] = raw[i + k] ^ pads[p];
                swapped[k / 4 * 4 + 3 - k % 4] = same[k];
            }
            n += count(t, same) + count(t, swapped);
        }
    return n;
}

static struct task *start(void)
{
    struct task *t = aligned_alloc(64, sizeof *t / 64 * 64 + 64);

    cr_assert_not_null(t);
    memset(t, 0, sizeof *t);
    t->stack = aligned_alloc(4096, STACK_LEN);
    cr_assert_not_null(t->stack);
    return t;
}

static void end(struct task *t)
{
    free(t->stack);
    free(t);
}

/* The last entries are OpenSSL, which stores its keys elsewhere. */
Test(residue_layers, no_round_key_stays_on_the_stack)
{
    static const uint8_t nonce[BS_CTR_NONCE_LEN] = {7};
    struct task *t = start();

    for (size_t i = 0; bs_ctr_impls[i]->needs != 0; i++)
        if (bs_ctr_runs_here(bs_ctr_impls[i])) {
            t->key.impl = bs_ctr_impls[i];
            cr_assert_eq(t->key.impl->init(&t->key, raw, nonce), BS_GCM_OK);
            t->leak = false;
            run_on_stack(t);
            cr_expect_eq(count_round_keys(t), 0, "%s", t->key.impl->name);
            t->leak = true;
            run_on_stack(t);
            cr_expect_gt(count_round_keys(t), 0, "a leak is found");
        }
    end(t);
}

Test(residue_layers, no_key_of_an_hmac_stays_on_the_stack)
{
    struct task *t = start();

    for (size_t i = 0; bs_hashes_impls[i]->needs != 0; i++)
        if (bs_hashes_runs_here(bs_hashes_impls[i])) {
            t->hash = true;
            t->hashes = (struct bs_hashes){.impl = bs_hashes_impls[i],
                                           .wanted = BS_HASHES_MAC | BS_HASHES_FIRST | BS_HASHES_OTHER};
            t->leak = false;
            run_on_stack(t);
            cr_expect_eq(count_key(t), 0, "%s", t->hashes.impl->name);
            t->leak = true;
            run_on_stack(t);
            cr_expect_gt(count_key(t), 0, "a leak is found");
        }
    end(t);
}
