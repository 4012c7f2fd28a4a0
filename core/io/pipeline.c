/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pipeline, the only file of the library that starts threads. Segments pass through take (in order), work (in
 * parallel) and put (in order). The pipeline knows neither formats nor keys; callbacks do the actual work.
 *
 * There is no queue. Each worker owns its memory and processes one segment at a time from start to end: it waits for
 * its turn to take, works, and waits for its turn to put. Memory use is therefore bounded by the number of workers, a
 * slow side slows down the other steps, and no data passes between threads. In addition to one worker per CPU there is
 * one for each sequential side that may block, so that the CPUs stay busy while a worker waits in a read or write.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "core/io/io.h"

#define MAX_THREADS 256u

/* The stack of a worker. The library itself takes less than 16 KiB of it; callbacks of the program may take the rest.
 */
#define STACK_LEN ((size_t)256 << 10)

struct run {
    const struct bs_pipeline *p;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* All members below are protected by the lock. */
    uint64_t next;   /* the segment to take next                           */
    uint64_t turn;   /* the segment to put next                            */
    bool taking;     /* a worker is in take()                              */
    bool ended;      /* no segment is left to take                         */
    bool canceled;   /* source->cancel() has been called                   */
    uint64_t failed; /* the lowest segment with an error, or UINT64_MAX    */
    uint64_t done;   /* sum of worker->done                                */
    struct blobseal_error error;
};

/* ---- The memory of a worker -------------------------------------------------------------------------------------- */

/*
 * Offset of the output buffer in its page. On Zen 3, copying with rep movsb takes four times as long if the page offset
 * of the destination exceeds that of the source by up to 63 bytes. Large blocks from malloc() start 16 bytes into a
 * page, so output that is copied to one must not start at the beginning of a page.
 */
#define OUT_SHIFT 64

enum blobseal_status bs_worker_init(struct bs_worker *worker, size_t in_size, size_t out_size,
                                    struct blobseal_error *err)
{
    uint8_t *out = out_size > 0 ? bs_map(OUT_SHIFT + out_size) : NULL;

    *worker = (struct bs_worker){.in_size = in_size, .out_size = out_size};
    worker->in = in_size > 0 ? bs_map(in_size) : NULL;
    worker->out = out != NULL ? out + OUT_SHIFT : NULL;
    if ((worker->in == NULL && in_size > 0) || (worker->out == NULL && out_size > 0))
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "start a worker: no memory");
    return BLOBSEAL_OK;
}

void bs_worker_clear(struct bs_worker *worker)
{
    bs_unmap(worker->in, worker->in_size);
    if (worker->out != NULL)
        bs_unmap(worker->out - OUT_SHIFT, OUT_SHIFT + worker->out_size);
    *worker = (struct bs_worker){0};
}

/* ---- One worker -------------------------------------------------------------------------------------------------- */

/* Record an error of segment @index, and cancel a take() that blocks. The error of the lowest segment is kept, in
 * whatever order errors occur. Called with the lock held. */
static void note_failure(struct run *r, uint64_t index, enum blobseal_status st, const struct blobseal_error *e)
{
    if (index < r->failed) {
        r->failed = index;
        r->error = *e;
        r->error.status = st; /* the callback may not have set it */
    }
    if (r->taking && !r->canceled && r->p->source->cancel != NULL) {
        r->canceled = true;
        r->p->source->cancel(r->p->source->ctx);
    }
    pthread_cond_broadcast(&r->changed);
}

/* Return true if no more segments will be taken. */
static bool none_left(const struct run *r)
{
    return r->ended || r->failed != UINT64_MAX;
}

/* Take the next segment. Return false if there is none. The lock is held on entry and on return, but not in take(). */
static bool take_next(struct run *r, struct bs_worker *worker, uint64_t *index, bool *last)
{
    const struct bs_pipeline *p = r->p;
    struct blobseal_error e = {0};
    enum blobseal_status st;

    while (r->taking && !none_left(r))
        pthread_cond_wait(&r->changed, &r->lock);
    if (none_left(r))
        return false;
    *index = r->next++;
    if (p->take == NULL) {
        *last = r->ended = *index + 1 == p->num_segments;
        return true;
    }
    r->taking = true;
    pthread_mutex_unlock(&r->lock);
    st = p->take(p->ctx, worker, *index, last, &e);
    pthread_mutex_lock(&r->lock);
    r->taking = false;
    r->ended = r->ended || *last;
    if (st != BLOBSEAL_OK)
        note_failure(r, *index, st, &e);
    pthread_cond_broadcast(&r->changed);
    return st == BLOBSEAL_OK;
}

/* Wait until it is the segment's turn, and put it. Return false if its turn will not come, because an earlier segment
 * failed, or if put() failed. The lock is held on entry and on return, but not in put(). */
static bool put_in_turn(struct run *r, struct bs_worker *worker, uint64_t index)
{
    struct blobseal_error e = {0};
    enum blobseal_status st;

    while (r->turn != index && r->failed > index)
        pthread_cond_wait(&r->changed, &r->lock);
    if (r->turn != index)
        return false;
    pthread_mutex_unlock(&r->lock);
    st = r->p->put(r->p->ctx, worker, index, &e);
    pthread_mutex_lock(&r->lock);
    if (st != BLOBSEAL_OK) {
        note_failure(r, index, st, &e);
        return false;
    }
    r->turn++;
    pthread_cond_broadcast(&r->changed);
    return true;
}

/* Add the progress of a finished segment and report the total. Called with the lock held. */
static void report_progress(struct run *r, const struct bs_worker *worker, uint64_t index)
{
    struct blobseal_error e = {0};

    r->done += worker->done;
    if (r->p->progress != NULL && !r->p->progress(r->p->progress_ctx, r->done))
        note_failure(r, index, blobseal_fail(&e, BLOBSEAL_E_CANCELED, 0, "canceled"), &e);
}

static void work_segments(struct run *r, struct bs_worker *worker)
{
    const struct bs_pipeline *p = r->p;
    struct blobseal_error e;
    enum blobseal_status st;
    uint64_t index;
    bool last = false;

    pthread_mutex_lock(&r->lock);
    while (take_next(r, worker, &index, &last)) {
        pthread_mutex_unlock(&r->lock);
        e = (struct blobseal_error){0};
        st = p->work(p->ctx, worker, index, last, &e);
        pthread_mutex_lock(&r->lock);
        if (st != BLOBSEAL_OK)
            note_failure(r, index, st, &e);
        else if (p->put == NULL || put_in_turn(r, worker, index))
            report_progress(r, worker, index);
    }
    pthread_mutex_unlock(&r->lock);
}

static void *run_worker(void *arg)
{
    struct run *r = arg;
    const struct bs_pipeline *p = r->p;
    struct blobseal_error e = {0};
    struct bs_worker worker;
    enum blobseal_status st = bs_worker_init(&worker, p->in_size, p->out_size, &e);
    bool started = false;

    if (st == BLOBSEAL_OK && p->start_worker != NULL) {
        st = p->start_worker(p->state_ctx, &worker.state, &e);
        started = st == BLOBSEAL_OK;
    }
    if (st == BLOBSEAL_OK) {
        work_segments(r, &worker);
    } else {
        pthread_mutex_lock(&r->lock);
        if (!r->ended) /* otherwise other workers have taken all segments, and this worker is not needed */
            note_failure(r, r->next, st, &e);
        pthread_mutex_unlock(&r->lock);
    }
    if (started)
        p->end_worker(worker.state);
    bs_worker_clear(&worker);
    return NULL;
}

/* ---- All workers ------------------------------------------------------------------------------------------------- */

unsigned bs_count_cpus(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static unsigned count_workers(const struct bs_pipeline *p)
{
    unsigned n = p->threads != 0 ? p->threads : bs_count_cpus();

    n = n < MAX_THREADS ? n : MAX_THREADS;
    n += (p->take != NULL ? 1U : 0U) + (p->put != NULL && !p->put_never_blocks ? 1U : 0U);
    if (p->take == NULL && n > p->num_segments)
        n = (unsigned)p->num_segments;
    return n;
}

unsigned bs_threads_start(pthread_t *threads, unsigned n, void *(*fn)(void *), void *arg)
{
    sigset_t all, before;
    pthread_attr_t attr;
    unsigned started = 0;

    if (n == 0 || pthread_attr_init(&attr) != 0)
        return 0;
    /* Without this, RLIMIT_STACK and the program's defaults would decide whether the workers have enough. */
    (void)pthread_attr_setstacksize(&attr, STACK_LEN);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started < n && pthread_create(&threads[started], &attr, fn, arg) == 0)
        started++;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    return started;
}

enum blobseal_status bs_pipeline_run(const struct bs_pipeline *p, uint64_t *done, struct blobseal_error *err)
{
    struct run r = {
        .p = p, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .failed = UINT64_MAX};
    pthread_t threads[MAX_THREADS + 2];
    unsigned started = bs_threads_start(threads, count_workers(p) - 1, run_worker, &r);

    (void)run_worker(&r); /* the calling thread is a worker too, so a single segment needs no other thread */
    for (unsigned i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    pthread_cond_destroy(&r.changed);
    pthread_mutex_destroy(&r.lock);
    *done = r.done;
    if (r.failed == UINT64_MAX)
        return BLOBSEAL_OK;
    if (err != NULL)
        *err = r.error;
    return r.error.status;
}
