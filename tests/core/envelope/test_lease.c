/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: when they end, that one thread asks for all, and what each answer means for later calls. */
#define _DEFAULT_SOURCE /* syscall */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/suite.h"

#define THREADS 16

SUITE(lease);

/* ---- Clocks that a test can set ---------------------------------------------------------------------------------- */

static _Atomic int64_t boottime_step, unix_step; /* in seconds */
static _Atomic unsigned expected, arrived;       /* threads to wait for, and those that have looked at the clock */

/* Count a thread when it looks at the clock for the first time, to see whether the lease has ended. Before it looks
 * again, as the one that sends the request, it waits for the others. */
static void gather(void)
{
    static _Thread_local bool counted;

    if (counted)
        while (arrived < expected)
            (void)usleep(100);
    else
        arrived++;
    counted = true;
}

/* Replaces the function of the C library in this program. */
int clock_gettime(clockid_t clock, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, t);

    if (clock == CLOCK_REALTIME && expected > 0)
        gather();
    if (clock == CLOCK_BOOTTIME)
        t->tv_sec += boottime_step;
    if (clock == CLOCK_REALTIME)
        t->tv_sec += unix_step;
    return rc;
}

static uint64_t in_seconds(clockid_t clock, int64_t seconds)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (uint64_t)(t.tv_sec + seconds) * 1000;
}

/* Return a lease that ends in so many seconds, by each clock; 0: not by this clock. */
static struct blobseal_lease lease_of(int64_t boottime, int64_t unix_time)
{
    struct blobseal_lease l = {.size = sizeof l};

    if (boottime != 0)
        l.valid_until_boottime_ms = in_seconds(CLOCK_BOOTTIME, boottime);
    if (unix_time != 0)
        l.valid_until_unix_ms = in_seconds(CLOCK_REALTIME, unix_time);
    return l;
}

static const struct blobseal_call_options no_limits = {.size = sizeof no_limits};

/* ---- One lease --------------------------------------------------------------------------------------------------- */

struct scene {
    struct fake_kek fake;
    struct bs_lease *lease;
};

static void scene_start(struct scene *s, struct blobseal_lease first)
{
    struct blobseal_kek *kek;

    s->fake.kid = "vault-key";
    s->fake.revocable = true;
    kek = fake_kek_open(&s->fake);
    cr_assert_eq(bs_lease_new(&s->lease, kek, &first, 0, NULL), BLOBSEAL_OK);
    blobseal_kek_close(kek);
    cr_expect(s->lease == NULL || s->fake.closes == 0, "a lease keeps its key");
}

static void scene_end(struct scene *s)
{
    bs_lease_free(s->lease);
    cr_expect_eq(s->fake.closes, 1);
}

static void expect(struct scene *s, enum blobseal_status want, unsigned renews)
{
    struct blobseal_error err;

    memset(&err, 0x55, sizeof err);
    cr_expect_eq(bs_lease_check(s->lease, &no_limits, &err), want);
    cr_expect_eq(s->fake.renews, renews);
    if (want != BLOBSEAL_OK) {
        cr_expect_eq(err.status, want);
        cr_expect_neq(err.text[0], '\0');
    }
}

Test(lease, none_without_a_limit)
{
    struct scene s = {0};

    scene_start(&s, lease_of(0, 0));
    cr_expect_null(s.lease);
    expect(&s, BLOBSEAL_OK, 0);
    cr_expect_eq(bs_lease_valid_until(NULL), 0);
    bs_lease_free(NULL);
}

Test(lease, either_clock_ends_it)
{
    for (unsigned way = 0; way < 4; way++) {
        struct scene s = {0};

        boottime_step = unix_step = 0;
        scene_start(&s, lease_of(way == 1 ? 0 : 100, way == 2 ? 0 : 100));
        expect(&s, BLOBSEAL_OK, 0);
        s.fake.lease = lease_of(1000, 1000);
        if (way != 1)
            boottime_step = 101;
        else
            unix_step = 101;
        expect(&s, BLOBSEAL_OK, 1);
        expect(&s, BLOBSEAL_OK, 1);
        scene_end(&s);
    }
}

Test(lease, a_wall_clock_that_goes_back_ends_it)
{
    struct scene s = {0};

    scene_start(&s, lease_of(0, 1000));
    s.fake.lease = lease_of(0, 1000);
    unix_step = -50;
    expect(&s, BLOBSEAL_OK, 0);
    unix_step = -1000;
    expect(&s, BLOBSEAL_OK, 1);
    expect(&s, BLOBSEAL_OK, 1);
    unix_step = 500;
    expect(&s, BLOBSEAL_OK, 1);
    unix_step = 0;
    expect(&s, BLOBSEAL_OK, 2);
    scene_end(&s);
}

Test(lease, a_denial_is_final)
{
    struct scene s = {.fake = {.renew = {.at_call = 1, .status = BLOBSEAL_E_DENIED, .once = true, .silent = true}}};

    scene_start(&s, lease_of(-1, 0));
    s.fake.lease = lease_of(1000, 0);
    expect(&s, BLOBSEAL_E_DENIED, 1);
    expect(&s, BLOBSEAL_E_DENIED, 1);
    boottime_step = -1000;
    expect(&s, BLOBSEAL_E_DENIED, 1);
    scene_end(&s);
}

Test(lease, a_provider_that_cannot_be_reached_is_asked_again)
{
    struct scene s = {.fake = {.renew = {.at_call = 1, .status = BLOBSEAL_E_UNAVAILABLE, .once = true}}};

    scene_start(&s, lease_of(-1, 0));
    s.fake.lease = lease_of(1000, 0);
    expect(&s, BLOBSEAL_E_UNAVAILABLE, 1);
    expect(&s, BLOBSEAL_OK, 2);
    expect(&s, BLOBSEAL_OK, 2);
    scene_end(&s);
}

/* A lease that ends at once serves the callers that came before its request was sent, and nobody else. */
Test(lease, may_end_at_once)
{
    struct scene s = {0};

    scene_start(&s, lease_of(-1, 0));
    s.fake.lease = lease_of(-1, 0);
    for (unsigned i = 1; i < 5; i++)
        expect(&s, BLOBSEAL_OK, i);
    scene_end(&s);
}

Test(lease, without_renewal_its_end_is_final)
{
    struct fake_kek fake = {.kid = "a-key"};
    struct blobseal_kek *kek = fake_kek_open(&fake);
    const struct blobseal_lease first = lease_of(-1, 0);
    struct bs_lease *lease;

    cr_assert_eq(bs_lease_new(&lease, kek, &first, 0, NULL), BLOBSEAL_OK);
    cr_expect_eq(bs_lease_check(lease, &no_limits, NULL), BLOBSEAL_E_DENIED);
    bs_lease_free(lease);
    blobseal_kek_close(kek);
}

Test(lease, reports_the_earlier_end)
{
    struct scene s = {0};
    uint64_t now = in_seconds(CLOCK_REALTIME, 0);
    struct blobseal_lease by_wall_clock = lease_of(0, 50);

    scene_start(&s, lease_of(1000, 2000));
    cr_expect_geq(bs_lease_valid_until(s.lease), now + 500000);
    cr_expect_leq(bs_lease_valid_until(s.lease), now + 1500000);
    scene_end(&s);
    s = (struct scene){0};
    scene_start(&s, by_wall_clock);
    cr_expect_eq(bs_lease_valid_until(s.lease), by_wall_clock.valid_until_unix_ms);
    scene_end(&s);
}

/* ---- Several leases on one key ----------------------------------------------------------------------------------- */

/* Check the lease @l on the key of @s, with @st as the answer of its provider if that is asked. */
static void expect_other(struct scene *s, struct bs_lease *l, enum blobseal_status st, unsigned renews)
{
    s->fake.renew = (struct fault){.at_call = st != BLOBSEAL_OK ? 1 : 0, .status = st};
    cr_expect_eq(bs_lease_check(l, &no_limits, NULL), st);
    cr_expect_eq(s->fake.renews, renews);
}

/* After a refusal nothing that was granted before it counts: all others ask too, each once. */
Test(lease, a_denial_makes_the_others_ask)
{
    struct scene s = {0};
    struct bs_lease *other, *third;
    struct blobseal_kek *kek;
    const struct blobseal_lease valid = lease_of(1000, 1000);
    uint64_t before;

    s.fake.kid = "vault-key";
    s.fake.revocable = true;
    kek = fake_kek_open(&s.fake);
    before = bs_kek_denials(kek);
    cr_assert_eq(bs_lease_new(&s.lease, kek, &(const struct blobseal_lease){sizeof valid, 1, 1, 0}, before, NULL),
                 BLOBSEAL_OK);
    cr_assert_eq(bs_lease_new(&other, kek, &valid, before, NULL), BLOBSEAL_OK);
    s.fake.lease = valid;
    expect_other(&s, other, BLOBSEAL_OK, 0);
    expect_other(&s, s.lease, BLOBSEAL_E_DENIED, 1);
    expect_other(&s, other, BLOBSEAL_E_UNAVAILABLE, 2);
    expect_other(&s, other, BLOBSEAL_OK, 3);
    expect_other(&s, other, BLOBSEAL_OK, 3);
    cr_expect_eq(bs_lease_check(s.lease, &no_limits, NULL), BLOBSEAL_E_DENIED, "final");
    cr_expect_eq(s.fake.renews, 3);
    /* An answer to a request that was sent before the refusal arrives after it. */
    cr_assert_eq(bs_lease_new(&third, kek, &valid, before, NULL), BLOBSEAL_OK);
    expect_other(&s, third, BLOBSEAL_OK, 4);
    bs_lease_free(third);
    bs_lease_free(other);
    blobseal_kek_close(kek);
    scene_end(&s);
}

Test(lease, the_provider_gets_its_tag_back)
{
    struct blobseal_lease first = lease_of(-1, 0);
    struct scene s = {0};

    first.tag = 7;
    scene_start(&s, first);
    s.fake.lease = lease_of(-1, 0);
    s.fake.lease.tag = 8;
    expect(&s, BLOBSEAL_OK, 1);
    cr_expect_eq(s.fake.renewed_tag, 7);
    expect(&s, BLOBSEAL_OK, 2);
    cr_expect_eq(s.fake.renewed_tag, 8);
    scene_end(&s);
}

/* ---- Many threads ------------------------------------------------------------------------------------------------ */

static void *check_from_thread(void *ctx)
{
    struct scene *s = ctx;

    return (void *)(uintptr_t)bs_lease_check(s->lease, &no_limits, NULL);
}

static unsigned count_from_threads(struct scene *s, enum blobseal_status st)
{
    pthread_t threads[THREADS];
    unsigned n = 0;

    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, check_from_thread, s), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *result;

        (void)pthread_join(threads[i], &result);
        n += (uintptr_t)result == (uintptr_t)st ? 1 : 0;
    }
    return n;
}

Test(lease, one_thread_asks_for_all)
{
    struct scene s = {.fake = {.renew_ms = 30}};

    scene_start(&s, lease_of(-1, 0));
    s.fake.lease = lease_of(1000, 0);
    cr_expect_eq(count_from_threads(&s, BLOBSEAL_OK), THREADS);
    cr_expect_eq(s.fake.renews, 1);
    scene_end(&s);
}

/* What one caller cancels is no answer for another one. */
Test(lease, waiting_threads_do_not_share_a_cancellation)
{
    const int canceled = 1;
    const struct blobseal_call_options gone = {.size = sizeof gone, .cancel = &canceled};
    struct scene s = {.fake = {.renew_ms = 5}};

    scene_start(&s, lease_of(-1, 0));
    s.fake.lease = lease_of(1000, 0);
    cr_expect_eq(bs_lease_check(s.lease, &gone, NULL), BLOBSEAL_E_CANCELED);
    cr_expect_eq(s.fake.renews, 0);
    cr_expect_eq(count_from_threads(&s, BLOBSEAL_OK), THREADS);
    cr_expect_eq(s.fake.renews, 1);
    scene_end(&s);
}

static void *check_in_a_hurry(void *ctx)
{
    const struct blobseal_call_options hurry = {.size = sizeof hurry, .timeout_ms = 1};
    struct scene *s = ctx;

    return (void *)(uintptr_t)bs_lease_check(s->lease, &hurry, NULL);
}

/* Nor is the end of one caller's time: while a request is under way that fails, he and others wait for the next. */
Test(lease, waiting_threads_do_not_share_the_end_of_a_limit)
{
    struct scene s = {
        .fake = {.renew_ms = 40, .renew = {.at_call = 1, .status = BLOBSEAL_E_UNAVAILABLE, .once = true}}};
    pthread_t first, hurried;
    void *st;

    scene_start(&s, lease_of(-1, 0));
    s.fake.lease = lease_of(1000, 0);
    cr_assert_eq(pthread_create(&first, NULL, check_from_thread, &s), 0);
    while (s.fake.most_renewing == 0) /* which stays, also if the request ends while this thread does not run */
        (void)usleep(100);
    cr_assert_eq(pthread_create(&hurried, NULL, check_in_a_hurry, &s), 0);
    (void)usleep(2000);
    cr_expect_eq(count_from_threads(&s, BLOBSEAL_OK), THREADS);
    (void)pthread_join(first, &st);
    (void)pthread_join(hurried, &st);
    scene_end(&s);
}

Test(lease, waiting_threads_share_a_failure)
{
    struct scene s = {.fake = {.renew = {.at_call = 1, .status = BLOBSEAL_E_UNAVAILABLE}}};

    scene_start(&s, lease_of(-1, 0));
    expected = THREADS;
    cr_expect_eq(count_from_threads(&s, BLOBSEAL_E_UNAVAILABLE), THREADS);
    cr_expect_eq(s.fake.renews, 1, "not one for each thread");
    scene_end(&s);
}
