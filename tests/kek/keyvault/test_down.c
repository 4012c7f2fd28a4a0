/* SPDX-License-Identifier: Apache-2.0 */
/* A vault that does not answer, or asks to wait, when an operation needs it several times. */
#define _GNU_SOURCE /* CLOCK_BOOTTIME, syscall */
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/kek/keyvault/live.h"
#include "tests/support/memory_vault.h"

#define NUM 8

static int64_t moved_s;  /* by how much the clocks that measure ages differ from those of the machine */
static bool stand_still; /* those clocks stay where they are, however slow the machine is */

/* The library calls this one. */
int clock_gettime(clockid_t clock, struct timespec *t)
{
    static struct timespec last[2];
    int result = (int)syscall(SYS_clock_gettime, clock, t);

    if (clock != CLOCK_BOOTTIME && clock != CLOCK_REALTIME)
        return result;
    if (!stand_still)
        last[clock == CLOCK_BOOTTIME] = *t;
    *t = last[clock == CLOCK_BOOTTIME];
    t->tv_sec += moved_s;
    return result;
}

TestSuite(kv_down, .init = live_start, .fini = live_stop);

/* ---- A blob for eight sets, whose KEK is one key in the vault ---------------------------------------------------- */

static struct sets {
    struct memory_store memory[NUM];
    struct blobseal_set_store store[NUM];
    struct blobseal_set *set[NUM];
    struct blobseal_kek *kek[NUM];
} sets;

static void make_sets(void)
{
    char ref[128];
    const struct blobseal_set_new how = {.size = sizeof how, .kek = ref};
    struct blobseal_set_options o = {.size = sizeof o};

    cr_assert_eq(live_open("kek"), BLOBSEAL_OK); /* for the configuration */
    (void)snprintf(ref, sizeof ref, "https://%s/keys/kek", live.v.host);
    o.config = live.config;
    for (size_t i = 0; i < NUM; i++) {
        sets.store[i] = memory_store_start(&sets.memory[i]);
        o.store = &sets.store[i];
        cr_assert_eq(blobseal_set_create(&sets.set[i], "s", &how, &o, &live.err), BLOBSEAL_OK, "%s", live.err.text);
        cr_assert_eq(blobseal_set_kek(sets.set[i], &sets.kek[i], &live.err), BLOBSEAL_OK);
    }
}

static void end_sets(void)
{
    for (size_t i = 0; i < NUM; i++) {
        blobseal_kek_close(sets.kek[i]);
        blobseal_set_close(sets.set[i]);
        memory_store_end(&sets.memory[i]);
    }
}

static enum blobseal_status open_sealed(const struct sealed *s)
{
    struct opened o;
    enum blobseal_status st = open_bytes(&o, s->data, s->len, sets.kek, NUM, NULL, &live.err);

    opened_clear(&o);
    return st;
}

Test(kv_down, one_operation_waits_for_its_silence_once)
{
    struct sealed s;
    unsigned before;

    live.settings.revoke_within_s = 60;
    make_sets();
    cr_assert_eq(seal_bytes(&s, "content", 7, sets.kek, NUM, NULL, &live.err), BLOBSEAL_OK, "%s", live.err.text);
    moved_s = 60; /* the leases of all sets end */
    stand_still = true;
    LIVE_DO("fault", "{\"kind\": \"reset\"}");
    before = test_vault_count(&live.v, "{}");
    cr_expect_eq(open_sealed(&s), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_not_null(strstr(live.err.text, "connection ended early"), "%s", live.err.text);
    cr_expect_leq(test_vault_count(&live.v, "{}") - before, 4, "three attempts, and not three for each set");
    LIVE_DO("heal", "{}");
    moved_s += 2; /* the silence of the vault is remembered for a second */
    cr_expect_eq(open_sealed(&s), BLOBSEAL_OK, "%s", live.err.text);
    sealed_clear(&s);
    end_sets();
}

/* One request that the vault cannot cope with says nothing about others. */
Test(kv_down, a_vault_that_fails_once_is_not_silent)
{
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK, "%s", live.err.text);
    LIVE_DO("fault", "{\"op\": \"unwrapkey\", \"kind\": \"error\", \"status\": 500}");
    cr_expect_eq(live_unwrap(4000), BLOBSEAL_E_UNAVAILABLE);
    LIVE_DO("heal", "{}");
    cr_expect_eq(live_unwrap(0), BLOBSEAL_OK, "%s", live.err.text);
}

/* ---- Being asked to wait ----------------------------------------------------------------------------------------- */

Test(kv_down, the_wish_of_a_vault_counts_for_every_operation)
{
    unsigned before;

    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK, "%s", live.err.text);
    LIVE_DO("fault", "{\"op\": \"unwrapkey\", \"kind\": \"error\", \"status\": 429, \"times\": 1, "
                     "\"headers\": {\"Retry-After\": \"200\"}}");
    cr_expect_eq(live_unwrap(30000), BLOBSEAL_E_UNAVAILABLE);
    before = live_count("unwrapkey");
    cr_expect_eq(live_unwrap(30000), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_not_null(strstr(live.err.text, "too many requests"), "%s", live.err.text);
    cr_expect_not_null(strstr(live.err.hint, "try again in"), "%s", live.err.hint);
    cr_expect_eq(live_count("unwrapkey"), before, "nothing was sent");
    moved_s = 199;
    cr_expect_eq(live_unwrap(0), BLOBSEAL_OK, "who has the time waits: %s", live.err.text);
}

/* ---- Who does not need an answer --------------------------------------------------------------------------------- */

Test(kv_down, a_writer_does_not_wait_for_what_it_does_not_need)
{
    struct blobseal_call call;

    live.settings.poll_interval_s = 60;
    live.settings.deadline_s = 60;
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    moved_s = 600; /* it is time to look the key up again, but what it was counts for an hour */
    LIVE_DO("fault", "{\"op\": \"get\", \"kind\": \"blackhole\"}");
    call = bs_call_start(12000, NULL); /* half of it is for what is not needed */
    cr_expect_eq(bs_kek_wrap(live.kek, &live.wrapping, &live.secret, &call, &live.err), BLOBSEAL_OK);
    cr_expect_eq(bs_call_check(&call, NULL), BLOBSEAL_OK, "there is time left for other keys");
    LIVE_DO("heal", "{}");
}
