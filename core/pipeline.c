/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file that starts threads. It moves segments through take (in order), work (in parallel) and put (in order);
 * it knows neither formats nor keys beyond handing them to each lane.
 *
 * There is no queue. Every worker owns a lane of memory and carries one segment at a time from its start to its end:
 * it waits for its turn to take, works, waits for its turn to put. So memory is bounded by the number of workers, a slow
 * side holds the others back, and nothing is handed from thread to thread. Where a side is sequential there are more
 * workers than CPUs, so that some can wait in a read or write while the others compute.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "internal.h"

#define MAX_THREADS 256u

struct run {
    const struct bs_pipeline *p;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* All below under the lock. */
    uint64_t next;   /* segment that is taken next                     */
    uint64_t turn;   /* segment that is put next                       */
    bool taking;     /* a worker is in take()                          */
    bool ended;      /* no segment is left to take                     */
    bool canceled;   /* the source was told to stop */
    uint64_t failed; /* lowest segment with an error, or UINT64_MAX    */
    uint64_t done;   /* bytes of plaintext                             */
    struct blobseal_error error;
};

/* ---- Lanes ---------------------------------------------------------------------------------------------------- */

/* Room for a segment or a run on one side: sealed chunks, one more tag where the last run is full, and a sum. */
size_t bs_worker_room(bool whole)
{
    return (whole ? BS_SEALED_SEGMENT_LEN : BS_SEALED_RUN_LEN) + BS_SEALED_CHUNK_LEN + BS_CHECKSUM_LEN;
}

/* The same for the one segment of a small blob. */
static size_t room_for(const struct bs_pipeline *p, bool whole)
{
    size_t most = bs_worker_room(whole), needed = bs_sealed_tail_len(p->only_len) + BS_CHECKSUM_LEN;

    return p->only_len > 0 && needed < most ? needed : most;
}

_Static_assert(BS_SEALED_SEGMENT_LEN + BS_SEALED_CHUNK_LEN >= BS_ZFRAME_MAX_LEN, "room for a zstd frame as well");

/*
 * Where in a page the output begins. Zen 3 copies (rep movsb) four times as slowly where the target stands up to 63 bytes further
 * into its page than the source does into its own, and malloc() gives large areas that begin 16 bytes into a page.
 */
#define OUT_SHIFT 64

enum blobseal_status bs_worker_init(struct bs_worker *worker, const struct bs_chunked_keys *keys, size_t in_cap,
                                    size_t out_cap, struct blobseal_error *err)
{
    uint8_t *out = bs_map(OUT_SHIFT + out_cap);

    *worker = (struct bs_worker){.in_cap = in_cap, .out_cap = out_cap};
    worker->in = bs_map(in_cap);
    worker->out = out != NULL ? out + OUT_SHIFT : NULL;
    if (worker->in == NULL || worker->out == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "no memory for a worker");
    return keys != NULL ? bs_chunked_init(&worker->chunked, keys, err) : BLOBSEAL_OK;
}

void bs_worker_clear(struct bs_worker *worker)
{
    bs_chunked_clear(&worker->chunked);
    bs_zstd_clear(&worker->zstd);
    bs_unmap(worker->in, worker->in_cap);
    if (worker->out != NULL)
        bs_unmap(worker->out - OUT_SHIFT, OUT_SHIFT + worker->out_cap);
}

/* ---- One worker ------------------------------------------------------------------------------------------------ */

/* Note an error of segment @index; the lowest one wins, whatever the order in which they come. */
static void note_failure(struct run *r, uint64_t index, enum blobseal_status st, const struct blobseal_error *e)
{
    if (index < r->failed) {
        r->failed = index;
        r->error = *e;
        r->error.status = st; /* a callback of the caller's may have left it empty */
    }
    if (r->taking && !r->canceled && r->p->source->cancel != NULL) {
        r->canceled = true;
        r->p->source->cancel(r->p->source->ctx);
    }
    pthread_cond_broadcast(&r->changed);
}

static bool none_left(const struct run *r)
{
    return r->ended || r->failed != UINT64_MAX;
}

/* Get the next segment. False: there is none. Called and left with the lock held. */
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

/* Put the segment when its turn has come. False: it never will. Called and left with the lock held. */
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

static void count(struct run *r, const struct bs_worker *worker, uint64_t index)
{
    struct blobseal_error e = {0};

    r->done += worker->plain_len;
    if (r->p->progress != NULL && !r->p->progress(r->p->progress_ctx, r->done)) {
        note_failure(r, index, blobseal_fail(&e, BLOBSEAL_E_CANCELED, 0, "canceled"), &e);
    }
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
            count(r, worker, index);
    }
    pthread_mutex_unlock(&r->lock);
}

static void *run_worker(void *arg)
{
    struct run *r = arg;
    const struct bs_pipeline *p = r->p;
    struct blobseal_error e = {0};
    struct bs_worker worker;
    enum blobseal_status st = bs_worker_init(&worker, p->keys, room_for(p, p->take != NULL || p->whole_in),
                                             room_for(p, p->put != NULL || p->whole_out), &e);

    if (st == BLOBSEAL_OK) {
        work_segments(r, &worker);
    } else {
        pthread_mutex_lock(&r->lock);
        if (!r->ended) /* otherwise the others have all there is */
            note_failure(r, r->next, st, &e);
        pthread_mutex_unlock(&r->lock);
    }
    bs_worker_clear(&worker);
    return NULL;
}

/* ---- All workers ------------------------------------------------------------------------------------------------ */

static unsigned count_cpus(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static unsigned count_workers(const struct bs_pipeline *p)
{
    unsigned n = p->threads != 0 ? p->threads : count_cpus();

    n = n < MAX_THREADS ? n : MAX_THREADS;
    n += (p->take != NULL ? 1U : 0U) + (p->put != NULL && !p->put_is_quick ? 1U : 0U);
    if (p->take == NULL && n > p->num_segments)
        n = (unsigned)p->num_segments;
    return n;
}

/* Start up to @n threads that take no signals: those are the host program's. Fewer is no error. */
static unsigned start_threads(pthread_t *threads, unsigned n, struct run *r)
{
    sigset_t all, before;
    unsigned started = 0;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started < n && pthread_create(&threads[started], NULL, run_worker, r) == 0)
        started++;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

enum blobseal_status bs_pipeline_run(const struct bs_pipeline *p, uint64_t *plain_bytes, struct blobseal_error *err)
{
    struct run r = {
        .p = p, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .failed = UINT64_MAX};
    pthread_t threads[MAX_THREADS + 2];
    unsigned started = start_threads(threads, count_workers(p) - 1, &r);

    (void)run_worker(&r); /* the caller works too: one segment needs no thread at all */
    for (unsigned i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    pthread_cond_destroy(&r.changed);
    pthread_mutex_destroy(&r.lock);
    *plain_bytes = r.done;
    if (r.failed == UINT64_MAX)
        return BLOBSEAL_OK;
    if (err != NULL)
        *err = r.error;
    return r.error.status;
}
