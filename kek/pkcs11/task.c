/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs that use a key, and report how they ended. */
#include <time.h>

#include "kek/pkcs11/pkcs11.h"

#define ATTEMPTS 8  /* each login of another process can spoil one; the pauses take a second at most */
#define FIRST_MS 8  /* the longest pause before the second attempt, doubled each time               */
#define SLICE_MS 50 /* how often *cancel is read                                                     */

void bs_p11_task_init(struct bs_p11_task *t, struct bs_p11_key *key, void (*run)(struct bs_p11_job *),
                      void (*release)(struct bs_p11_job *))
{
    t->job.run = run;
    t->job.release = release;
    t->key = bs_p11_key_ref(key);
}

/*
 * Wait after attempt @n, from 0. Processes that were started together wait for different times. Return false, without
 * waiting, if the deadline of @call comes first. It ends early if the caller cancels, which the next attempt reports.
 */
static bool pause_after(unsigned n, const struct blobseal_call *call)
{
    uint64_t ms = (uint64_t)FIRST_MS << n, now = bs_p11_now_ms(), end;
    uint16_t r = 0;

    (void)!blobseal_random(&r, sizeof r, false);
    end = now + ms - ms / 2 * r / UINT16_MAX;
    if (end >= call->deadline_ms)
        return false;
    for (; now < end && __atomic_load_n(call->cancel, __ATOMIC_RELAXED) == 0; now = bs_p11_now_ms()) {
        const struct timespec t = {.tv_nsec = (long)(end - now < SLICE_MS ? end - now : SLICE_MS) * 1000000};

        (void)nanosleep(&t, NULL);
    }
    return true;
}

/* Return true if the task has failed in a way that another attempt may mend. */
static bool may_be_lost(const struct bs_p11_task *t)
{
    return t->status == BLOBSEAL_E_UNAVAILABLE && !atomic_load(&t->key->final) &&
           atomic_load(&t->key->module->loses_tokens);
}

enum blobseal_status bs_p11_task_run(struct bs_p11_task *t, bool *taken, const struct blobseal_call *call,
                                     uint32_t limit_ms, struct blobseal_error *err)
{
    struct blobseal_call all = *call;
    enum blobseal_status st;
    unsigned n = 0;

    if (all.deadline_ms == 0)
        all.deadline_ms = bs_p11_now_ms() + limit_ms;
    while ((st = bs_p11_module_run(t->key->module, &t->job, taken, &all, limit_ms, err)) == BLOBSEAL_OK &&
           may_be_lost(t) && ++n < ATTEMPTS && pause_after(n - 1, &all))
        t->job.alone = true;
    if (st != BLOBSEAL_OK)
        return st;
    if (t->status != BLOBSEAL_OK && err != NULL)
        *err = t->err;
    return t->status;
}
