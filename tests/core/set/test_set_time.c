/* SPDX-License-Identifier: Apache-2.0 */
/* What a set does with time: this program moves its clocks itself, each for itself. */
#define _GNU_SOURCE /* CLOCK_BOOTTIME, syscall */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/two_machines.h"

#define HOUR_MS INT64_C(3600000)

#define START_S INT64_C(1800000000)

static int64_t moved_ms[CLOCK_BOOTTIME + 1]; /* how much time has passed by each clock */

/* The library calls these two. No time passes but what a test lets pass, however slow the machine is. */
int clock_gettime(clockid_t clock, struct timespec *t)
{
    if (clock < 0 || clock > CLOCK_BOOTTIME)
        return (int)syscall(SYS_clock_gettime, clock, t);
    *t = (struct timespec){.tv_sec = START_S + moved_ms[clock] / 1000};
    return 0;
}

time_t time(time_t *t)
{
    time_t now = START_S + moved_ms[CLOCK_REALTIME] / 1000;

    if (t != NULL)
        *t = now;
    return now;
}

/* Let time pass, during which the machine sleeps. */
static void sleep_for(int64_t ms)
{
    moved_ms[CLOCK_BOOTTIME] += ms;
    moved_ms[CLOCK_REALTIME] += ms;
}

static void pass(int64_t ms)
{
    moved_ms[CLOCK_MONOTONIC] += ms;
    sleep_for(ms);
}

static uint64_t generation_after_sealing(void)
{
    struct sealed s = must_seal(kek);

    sealed_clear(&s);
    return set->seen.generation;
}

/* Make a set that has sealed, and whose KEK has a new version since. */
static void make_rotated(void)
{
    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.lease_ms = 1000000 * HOUR_MS;
    cr_assert_eq(generation_after_sealing(), 1);
    vault.newest = 2;
}

SUITE_WITH(set_time, start, stop);

Test(set_time, sleep_counts)
{
    make_rotated();
    moved_ms[CLOCK_BOOTTIME] += HOUR_MS / 2;
    cr_expect_eq(generation_after_sealing(), 1);
    moved_ms[CLOCK_BOOTTIME] += HOUR_MS / 2;
    cr_expect_eq(generation_after_sealing(), 2, "within the hour");
}

Test(set_time, a_virtual_machine_that_was_stopped_for_an_hour)
{
    make_rotated();
    moved_ms[CLOCK_REALTIME] += HOUR_MS;
    cr_expect_eq(generation_after_sealing(), 2);
}

Test(set_time, a_wall_clock_that_is_set_back_delays_nothing)
{
    make_rotated();
    moved_ms[CLOCK_REALTIME] -= 24 * HOUR_MS;
    (void)generation_after_sealing();
    pass(HOUR_MS);
    cr_expect_eq(generation_after_sealing(), 2);
}

/* One outage at the moment of the check costs minutes. */
Test(set_time, an_outage_delays_a_rotation_by_minutes)
{
    unsigned before;

    make_rotated();
    pass(HOUR_MS);
    vault.unwraps = BLOBSEAL_E_UNAVAILABLE;
    cr_expect_eq(generation_after_sealing(), 1);
    before = vault.num_unwraps;
    for (unsigned i = 0; i < 20; i++)
        cr_expect_eq(generation_after_sealing(), 1);
    cr_expect_eq(vault.num_unwraps, before, "not with each blob");
    pass(30000);
    cr_expect_eq(generation_after_sealing(), 1);
    cr_expect_gt(vault.num_unwraps, before);
    vault.unwraps = BLOBSEAL_OK;
    pass(60000);
    cr_expect_eq(generation_after_sealing(), 2);
}

/* The machine sleeps while the owner has refused: it asks again when it wakes up. */
Test(set_time, a_refusal_is_not_remembered_over_sleep)
{
    struct sealed s, t;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.lease_ms = HOUR_MS;
    s = must_seal(kek);
    sleep_for(HOUR_MS);
    vault.disabled[1] = true;
    cr_expect_eq(open_blob(kek, &s), BLOBSEAL_E_DENIED);
    vault.disabled[1] = false;
    cr_expect_eq(seal(kek, &t), BLOBSEAL_E_DENIED, "it was refused less than a second ago");
    sleep_for(2000);
    cr_expect_eq(open_blob(kek, &s), BLOBSEAL_OK);
    sealed_clear(&s);
    sealed_clear(&t);
}

/* However long the key was revoked, it works within a minute, and blobs meanwhile wait for nothing. */
Test(set_time, a_restored_key_works_within_a_minute)
{
    struct sealed s;
    unsigned before;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    s = must_seal(kek);
    vault.disabled[1] = true;
    set->loaded->lease.valid_until_unix_ms = 1;
    for (unsigned minute = 0; minute < 60; minute++) {
        cr_expect_eq(open_blob(kek, &s), BLOBSEAL_E_DENIED);
        before = vault.num_unwraps;
        cr_expect_eq(open_blob(kek, &s), BLOBSEAL_E_DENIED);
        cr_expect_eq(vault.num_unwraps, before, "it is not asked again with each blob");
        pass(60000);
    }
    vault.disabled[1] = false;
    cr_expect_eq(open_blob(kek, &s), BLOBSEAL_OK);
    sealed_clear(&s);
}

Test(set_time, the_newest_key_is_replaced_after_90_days)
{
    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    pass(90 * 24 * HOUR_MS - 1000);
    cr_assert_eq(check(set), BLOBSEAL_OK);
    cr_expect_not(change.new_key);
    pass(1000);
    cr_assert_eq(check(set), BLOBSEAL_OK);
    cr_expect(change.new_key && change.changed);
}

/* The check is made beside the call, which needs some time for itself. */
Test(set_time, a_check_takes_no_more_than_half_of_the_time_of_the_call)
{
    const struct blobseal_call hour = bs_call_start((uint32_t)HOUR_MS, NULL), second = bs_call_start(1000, NULL);
    const struct blobseal_call unlimited = bs_call_start(0, NULL), late = {.deadline_ms = 1, .cancel = &(int){0}};
    uint64_t now = second.deadline_ms - 1000;

    cr_expect_leq(bs_call_aside(&hour, 10000).deadline_ms, now + 11000);
    cr_expect_leq(bs_call_aside(&unlimited, 10000).deadline_ms, now + 11000);
    cr_expect_geq(bs_call_aside(&unlimited, 10000).deadline_ms, now + 10000);
    cr_expect_leq(bs_call_aside(&second, 10000).deadline_ms, now + 750);
    cr_expect_neq(bs_call_check(&(struct blobseal_call[]){bs_call_aside(&late, 10000)}[0], NULL), BLOBSEAL_OK);
}
