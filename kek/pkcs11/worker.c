/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads in which modules run. A call of a module can take forever: a token waits for a button, a network is gone. The
 * caller waits until its deadline. Then the job belongs to the thread, and as long as it has not returned, no other job
 * is started, because it would hang too.
 */
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "kek/pkcs11/pkcs11.h"

#define STACK_SIZE (1 << 20) /* bytes: modules need more than the library does */
#define POLL_MS    50        /* how often *cancel is read */

enum { WAITING, RUNNING, ENDED, ABANDONED };

uint64_t bs_p11_now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct timespec to_timespec(uint64_t ms)
{
    return (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
}

void bs_p11_pool_start(struct bs_p11_pool *pool, const char *name)
{
    memset(pool, 0, sizeof *pool);
    pool->name = name;
    pool->last = &pool->first;
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
}

/* ---- The threads ------------------------------------------------------------------------------------------------- */

/* Take this thread off the list of those that are joined. The lock is held. */
static void leave(struct bs_p11_pool *pool)
{
    for (unsigned i = 0; i < pool->threads; i++)
        if (pthread_equal(pool->ids[i], pthread_self())) {
            pool->ids[i] = pool->ids[--pool->threads];
            break;
        }
    (void)pthread_detach(pthread_self());
}

/* Return true if the first job may start now. The lock is held. */
static bool may_start(const struct bs_p11_pool *pool)
{
    return pool->first != NULL && !pool->alone && (!pool->first->alone || pool->running == 0);
}

/* Wait for a job. Return NULL if the pool stops. The lock is held. */
static struct bs_p11_job *next_job(struct bs_p11_pool *pool)
{
    struct bs_p11_job *job;

    pool->idle++;
    while (!may_start(pool) && !pool->stopping)
        (void)pthread_cond_wait(&pool->work, &pool->lock);
    pool->idle--;
    job = pool->first;
    if (job == NULL)
        return NULL;
    pool->running++;
    if (job->alone)
        pool->alone = true;
    pool->first = job->next;
    if (pool->first == NULL)
        pool->last = &pool->first;
    pool->waiting--;
    job->state = RUNNING;
    return job;
}

static void *work(void *arg)
{
    struct bs_p11_pool *pool = arg;
    struct bs_p11_job *job;

    (void)pthread_mutex_lock(&pool->lock);
    while ((job = next_job(pool)) != NULL) {
        (void)pthread_mutex_unlock(&pool->lock);
        job->run(job);
        (void)pthread_mutex_lock(&pool->lock);
        pool->running--;
        if (job->alone || job->state == ABANDONED) { /* others may be waiting for that */
            pool->alone = pool->alone && !job->alone;
            (void)pthread_cond_broadcast(&pool->work);
        }
        if (job->state == ABANDONED) {
            pool->hung--;
            leave(pool);
            (void)pthread_mutex_unlock(&pool->lock);
            job->release(job); /* may release the pool as well */
            return NULL;
        }
        job->state = ENDED;
        (void)pthread_cond_signal(&job->ended);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Start a thread that takes no signals. The lock is held. */
static bool start_thread(struct bs_p11_pool *pool)
{
    sigset_t all, before;
    pthread_attr_t attr;
    int failed;

    if (pthread_attr_init(&attr) != 0)
        return false;
    (void)pthread_attr_setstacksize(&attr, STACK_SIZE);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&pool->ids[pool->threads], &attr, work, pool);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    if (failed == 0)
        pool->threads++;
    return failed == 0;
}

void bs_p11_pool_stop(struct bs_p11_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    (void)pthread_cond_broadcast(&pool->work);
    while (pool->threads > 0) {
        pthread_t id = pool->ids[--pool->threads];

        (void)pthread_mutex_unlock(&pool->lock);
        (void)pthread_join(id, NULL);
        (void)pthread_mutex_lock(&pool->lock);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->lock);
}

/* ---- Jobs -------------------------------------------------------------------------------------------------------- */

/* An abandoned thread returns into this library, so it must stay loaded. */
static void stay_loaded(void)
{
    Dl_info info;

    if (dladdr((const void *)work, &info) != 0)
        (void)dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

/* Remove a job that no thread has taken yet. The lock is held. */
static void withdraw(struct bs_p11_pool *pool, struct bs_p11_job *job)
{
    struct bs_p11_job **at = &pool->first;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    if (*at == NULL)
        pool->last = at;
    pool->waiting--;
    (void)pthread_cond_broadcast(&pool->work); /* others may be waiting behind a job that runs alone */
}

/* Wait until the job has ended, or must not be waited for any more. The lock is held. */
static enum blobseal_status wait_for(struct bs_p11_pool *pool, struct bs_p11_job *job, const struct blobseal_call *call,
                                     uint64_t deadline)
{
    while (job->state != ENDED) {
        uint64_t now = bs_p11_now_ms(), until = now + POLL_MS < deadline ? now + POLL_MS : deadline;
        const struct timespec t = to_timespec(until);

        if (__atomic_load_n(call->cancel, __ATOMIC_RELAXED) != 0)
            return BLOBSEAL_E_CANCELED;
        if (now >= deadline)
            return BLOBSEAL_E_UNAVAILABLE;
        (void)pthread_cond_timedwait(&job->ended, &pool->lock, &t);
    }
    return BLOBSEAL_OK;
}

static enum blobseal_status fail_busy(const char *what, struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0,
                        "use %.150s: an earlier call of this module has not returned yet", what);
    blobseal_hint(err, "check the token and its connection; the module can be used again when the call has returned");
    return BLOBSEAL_E_UNAVAILABLE;
}

static enum blobseal_status fail_late(enum blobseal_status st, const char *what, struct blobseal_error *err)
{
    if (st == BLOBSEAL_E_CANCELED)
        return blobseal_fail(err, st, 0, "use %.150s: the program asked to stop", what);
    (void)blobseal_fail(err, st, 0, "use %.150s: the module has not answered within the time limit", what);
    blobseal_hint(err, "check the token and its connection, and try again");
    return st;
}

static bool job_init(struct bs_p11_job *job)
{
    pthread_condattr_t attr;
    bool ok = pthread_condattr_init(&attr) == 0;

    if (!ok)
        return false;
    ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_cond_init(&job->ended, &attr) == 0;
    (void)pthread_condattr_destroy(&attr);
    job->state = WAITING;
    job->next = NULL;
    return ok;
}

/* Queue the job, and see to it that a thread takes it. The lock is held. */
static bool queue(struct bs_p11_pool *pool, struct bs_p11_job *job)
{
    if (pool->idle <= pool->waiting && pool->threads < BS_P11_MAX_SESSIONS && !start_thread(pool) && pool->threads == 0)
        return false;
    *pool->last = job;
    pool->last = &job->next;
    pool->waiting++;
    (void)pthread_cond_signal(&pool->work);
    return true;
}

enum blobseal_status bs_p11_pool_run(struct bs_p11_pool *pool, struct bs_p11_job *job, bool *taken,
                                     const struct blobseal_call *call, uint32_t limit_ms, struct blobseal_error *err)
{
    uint64_t deadline = call->deadline_ms != 0 ? call->deadline_ms : bs_p11_now_ms() + limit_ms;
    enum blobseal_status st;

    *taken = false;
    if (!job_init(job))
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "use %.150s: no memory", pool->name);
    (void)pthread_mutex_lock(&pool->lock);
    if (pool->hung > 0) {
        st = fail_busy(pool->name, err);
    } else if (!queue(pool, job)) {
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "use %.150s: no thread can be started", pool->name);
    } else {
        st = wait_for(pool, job, call, deadline);
        if (st != BLOBSEAL_OK && job->state == RUNNING) {
            *taken = true;
            job->state = ABANDONED;
            pool->hung++;
            stay_loaded();
        } else if (st != BLOBSEAL_OK) {
            withdraw(pool, job);
        }
        if (st != BLOBSEAL_OK)
            st = fail_late(st, pool->name, err);
    }
    if (!*taken)
        (void)pthread_cond_destroy(&job->ended);
    (void)pthread_mutex_unlock(&pool->lock);
    return st;
}
