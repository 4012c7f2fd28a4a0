/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing and opening leave no part of the key schedule on the stack. They run on a stack of the test's own, which is
 * searched afterwards.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/entries.h"
#include "tests/support/gcm.h"
#include "tests/support/suite.h"

SUITE(residue);

#define STACK_LEN ((size_t)1 << 20)

/* The task that runs on that stack. None of this data is on that stack. */
struct task {
    struct bs_gcm_key key;
    struct bs_gcm_run run;
    uint8_t *plain, *sealed;
    bool open, leak, ok;
    uint8_t *stack;
};

static __attribute__((noinline)) void leak(const struct bs_gcm_key *key)
{
    volatile uint8_t copy[sizeof key->schedule];

    for (size_t i = 0; i < sizeof copy; i++)
        copy[i] = key->schedule[i];
}

static void *body(void *arg)
{
    struct task *t = arg;

    t->ok = t->open ? t->key.impl->open(&t->key, &t->run, t->plain, t->sealed)
                    : t->key.impl->seal(&t->key, &t->run, t->sealed, t->plain);
    if (t->leak)
        leak(&t->key);
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
    cr_assert(t->ok);
}

/* Return the number of round keys and powers of H found on the stack. */
static unsigned count_secrets(const struct task *t)
{
    const uint8_t *schedule = t->key.schedule;
    unsigned n = 0;

    for (size_t i = 0; i < sizeof t->key.schedule; i += 16)
        if (!gcm_is_zero(schedule + i, 16))
            for (size_t at = 0; at + 16 <= STACK_LEN; at += 8)
                n += memcmp(t->stack + at, schedule + i, 16) == 0;
    return n;
}

static void check(const struct bs_gcm_impl *impl, size_t num, size_t msg_len, size_t last_len)
{
    const uint8_t nonce[BS_GCM_NONCE_LEN] = {1};
    static struct task t;

    t = (struct task){.key = gcm_key(impl, gcm_raw_key), .run = {nonce, 7, num, msg_len, last_len}};
    t.plain = calloc(num, msg_len + 1);
    t.sealed = calloc(num, msg_len + BS_GCM_TAG_LEN);
    t.stack = aligned_alloc(4096, STACK_LEN);
    cr_assert(t.plain != NULL && t.sealed != NULL && t.stack != NULL);
    for (int way = 0; way < 2; way++) {
        unsigned n;

        t.open = way == 1;
        run_on_stack(&t);
        n = count_secrets(&t);
        cr_expect_eq(n, 0, "%s, %s: %u", impl->name, t.open ? "open" : "seal", n);
    }
    t.leak = true;
    run_on_stack(&t);
    cr_expect_gt(count_secrets(&t), 0, "a leak is found");
    impl->clear(&t.key);
    free(t.plain);
    free(t.sealed);
    free(t.stack);
}

/* The last entry is OpenSSL, which stores its key elsewhere. */
Test(residue, no_key_schedule_stays_on_the_stack)
{
    EACH_ENTRY(i)
    if (bs_gcm_impls[i]->needs != 0) {
        check(bs_gcm_impls[i], 1, 100, 100);
        check(bs_gcm_impls[i], 1, 16384, 700);
        check(bs_gcm_impls[i], 2, 5000, 5000);
        check(bs_gcm_impls[i], 16, 16384, 16384);
        check(bs_gcm_impls[i], 9, 16384, 0);
    }
}
