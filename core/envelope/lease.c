/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases on keys that their owner can revoke, for readers, writers and unlocked keys. Whoever uses such a key asks here
 * first. After the end of the lease the provider is asked once, by one thread; threads that wait share the answer. An
 * answer is given only to threads that came before its request was sent: it says nothing about later times, unless it
 * extended the lease.
 */
#define _GNU_SOURCE /* CLOCK_BOOTTIME */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "core/envelope/envelope.h"

#define MAX_STEP_BACK_MS 60000 /* of the wall clock: if it is set back further, the lease has ended */

struct bs_lease {
    struct blobseal_kek *kek;
    uint64_t tag;                          /* of the provider; protected by the lock */
    _Atomic uint64_t boottime_ms, unix_ms; /* the end; 0: none by this clock    */
    _Atomic uint64_t denials;              /* bs_kek_denials() before the last request that succeeded */
    _Atomic uint64_t latest_unix_ms;       /* the latest time that was seen      */
    _Atomic uint64_t started;              /* number of requests that were sent  */
    atomic_bool denied;                    /* the owner has revoked the key       */
    pthread_mutex_t lock;                  /* held during a request; protects the members below */
    uint64_t finished;                     /* number of the last request that was answered */
    struct blobseal_error answer;          /* to it                               */
};

static uint64_t read_clock(clockid_t clock)
{
    struct timespec t;

    return clock_gettime(clock, &t) == 0 ? (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 : UINT64_MAX;
}

/* Note the answer to a request before which bs_kek_denials() was @denials. */
static void set_end(struct bs_lease *l, const struct blobseal_lease *until, uint64_t denials)
{
    l->tag = until->tag;
    atomic_store(&l->denials, denials);
    atomic_store(&l->boottime_ms, until->valid_until_boottime_ms);
    atomic_store(&l->unix_ms, until->valid_until_unix_ms);
    atomic_store(&l->latest_unix_ms, read_clock(CLOCK_REALTIME));
}

/* Note the time of the wall clock. Return false if it was set back by more than MAX_STEP_BACK_MS. */
static bool note_time(struct bs_lease *l, uint64_t now)
{
    uint64_t latest = atomic_load_explicit(&l->latest_unix_ms, memory_order_relaxed);

    while (now > latest && !atomic_compare_exchange_weak(&l->latest_unix_ms, &latest, now))
        ;
    return now >= latest || latest - now <= MAX_STEP_BACK_MS;
}

static bool is_valid(struct bs_lease *l)
{
    uint64_t boottime = atomic_load(&l->boottime_ms), unix_time = atomic_load(&l->unix_ms);
    uint64_t now = read_clock(CLOCK_REALTIME);

    if (atomic_load(&l->denied) || atomic_load(&l->denials) != bs_kek_denials(l->kek) || !note_time(l, now))
        return false;
    return (unix_time == 0 || now < unix_time) && (boottime == 0 || read_clock(CLOCK_BOOTTIME) < boottime);
}

enum blobseal_status bs_lease_new(struct bs_lease **lease, struct blobseal_kek *kek, const struct blobseal_lease *until,
                                  uint64_t denials, struct blobseal_error *err)
{
    struct bs_lease *l;

    *lease = NULL;
    if (until->valid_until_boottime_ms == 0 && until->valid_until_unix_ms == 0)
        return BLOBSEAL_OK;
    l = calloc(1, sizeof *l);
    if (l == NULL || pthread_mutex_init(&l->lock, NULL) != 0) {
        free(l);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "keep an unlocked key: no memory");
    }
    l->kek = bs_kek_ref(kek);
    set_end(l, until, denials);
    *lease = l;
    return BLOBSEAL_OK;
}

void bs_lease_free(struct bs_lease *l)
{
    if (l == NULL)
        return;
    blobseal_kek_close(l->kek);
    (void)pthread_mutex_destroy(&l->lock);
    free(l);
}

/* Return true if a failure is one of the caller, who has canceled the request or has no time left for it. */
static bool is_own(enum blobseal_status st, const struct blobseal_call *call)
{
    return st == BLOBSEAL_E_CANCELED || (st == BLOBSEAL_E_UNAVAILABLE && bs_call_check(call, NULL) != BLOBSEAL_OK);
}

/*
 * Send a request, and note the answer for threads that wait, unless it is only one for this caller. The lock is held.
 */
static void renew(struct bs_lease *l, const struct blobseal_call *call, struct blobseal_error *answer)
{
    struct blobseal_lease until = {.size = sizeof until,
                                   .valid_until_boottime_ms = atomic_load(&l->boottime_ms),
                                   .valid_until_unix_ms = atomic_load(&l->unix_ms),
                                   .tag = l->tag};
    uint64_t denials = bs_kek_denials(l->kek);
    uint64_t number = atomic_fetch_add(&l->started, 1) + 1;
    enum blobseal_status st;

    *answer = (struct blobseal_error){0};
    if (bs_kek_can_revoke(l->kek))
        st = bs_kek_renew(l->kek, &until, call, answer);
    else
        st = blobseal_fail(answer, BLOBSEAL_E_DENIED, 0,
                           "the time for which the key was unlocked has ended, and its provider cannot extend it");
    answer->status = st;
    if (is_own(st, call))
        return;
    l->finished = number;
    l->answer = *answer;
    if (st == BLOBSEAL_OK)
        set_end(l, &until, denials);
    atomic_store(&l->denied, st == BLOBSEAL_E_DENIED);
}

enum blobseal_status bs_lease_check(struct bs_lease *l, const struct blobseal_call_options *limits,
                                    struct blobseal_error *err)
{
    struct blobseal_call call;
    struct blobseal_error answer;
    enum blobseal_status st;
    uint64_t arrived;

    if (l == NULL)
        return BLOBSEAL_OK;
    arrived = atomic_load(&l->started);
    if (is_valid(l))
        return BLOBSEAL_OK;
    call = bs_call_start(limits->timeout_ms, limits->cancel);
    st = bs_call_lock(&l->lock, &call, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (!is_valid(l)) {
        if (!atomic_load(&l->denied) && l->finished <= arrived)
            renew(l, &call, &answer);
        else
            answer = l->answer;
        st = answer.status;
        if (st != BLOBSEAL_OK && err != NULL)
            *err = answer;
    }
    (void)pthread_mutex_unlock(&l->lock);
    return st;
}

enum blobseal_status bs_leases_check(const struct bs_leases *leases, const struct blobseal_call_options *limits,
                                     struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    for (size_t i = 0; i < leases->num && st == BLOBSEAL_OK; i++)
        st = bs_lease_check(leases->list[i], limits, err);
    return st;
}

void bs_leases_clear(struct bs_leases *leases)
{
    for (size_t i = 0; i < leases->num; i++)
        bs_lease_free(leases->list[i]);
    *leases = (struct bs_leases){0};
}

uint64_t bs_lease_valid_until(struct bs_lease *l)
{
    uint64_t boottime, left, end, now = read_clock(CLOCK_REALTIME);

    if (l == NULL)
        return 0;
    if (atomic_load(&l->denied))
        return now;
    end = atomic_load(&l->unix_ms);
    boottime = atomic_load(&l->boottime_ms);
    if (boottime == 0)
        return end;
    left = read_clock(CLOCK_BOOTTIME);
    left = boottime > left ? boottime - left : 0;
    return end == 0 || now + left < end ? now + left : end;
}
