/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline with steps that only record their calls, wait at random, and fail on request. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/support/suite.h"

SUITE(pipeline);

#define MAX_SEGMENTS 80
#define NEVER        UINT64_MAX
#define SEGMENT      1000 /* bytes of plaintext that each segment reports */

enum step { TAKE, WORK, PUT, NUM_STEPS };

#define BUFFER ((size_t)64)

struct job {
    uint64_t num;                /* number of segments */
    uint64_t fail_at[NUM_STEPS]; /* segment at which the step fails */
    enum blobseal_status status[NUM_STEPS];
    bool silent;            /* fail without an error message */
    unsigned max_delay_us;  /* each step waits at most this long */
    uint64_t slow;          /* work on this segment takes 10 ms */
    uint64_t block_take_at; /* take() of this segment waits for cancel() */
    uint64_t stop_at;       /* the progress call with this number, counted from 1, returns false */
    pthread_t caller;
    /* What the steps recorded. */
    _Atomic unsigned worked[MAX_SEGMENTS];
    _Atomic unsigned busy[NUM_STEPS], in_progress, cancels;
    _Atomic uint64_t taken, put, progress_calls, progress_last, others, begun_take;
    _Atomic uint64_t random;
    _Atomic bool wrong; /* a wrong order, worker or signal mask was seen */
};

static struct job job;

static void wait_us(unsigned us)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = us * 1000L}, NULL);
}

static void delay(struct job *j)
{
    uint64_t seed = j->random++;

    if (j->max_delay_us > 0)
        wait_us((unsigned)random_below(&seed, j->max_delay_us));
}

static enum blobseal_status step_ends(struct job *j, enum step step, uint64_t index, struct blobseal_error *err)
{
    static const char *const names[] = {"take", "work", "put"};

    if (index != j->fail_at[step])
        return BLOBSEAL_OK;
    if (!j->silent)
        (void)blobseal_fail(err, j->status[step], 0, "%s %llu", names[step], (unsigned long long)index);
    return j->status[step];
}

static enum blobseal_status take(void *ctx, struct bs_worker *worker, uint64_t index, bool *last,
                                 struct blobseal_error *err)
{
    struct job *j = ctx;

    if (j->busy[TAKE]++ != 0 || j->taken != index)
        j->wrong = true;
    j->begun_take = index + 1;
    delay(j);
    while (index == j->block_take_at && j->cancels == 0)
        wait_us(100);
    if (index == j->block_take_at)
        wait_us(30000); /* time in which a second failure could call cancel() again */
    *last = index + 1 == j->num;
    worker->in[0] = (uint8_t)index;
    worker->in_len = SEGMENT;
    j->taken++;
    j->busy[TAKE]--;
    return step_ends(j, TAKE, index, err);
}

static void check_thread(struct job *j)
{
    sigset_t mask;

    if (pthread_equal(j->caller, pthread_self()) != 0)
        return;
    j->others++;
    if (pthread_sigmask(SIG_SETMASK, NULL, &mask) != 0 || sigismember(&mask, SIGUSR1) != 1 ||
        sigismember(&mask, SIGTERM) != 1)
        j->wrong = true; /* a signal of the host program must not be delivered to this thread */
}

static enum blobseal_status work_taken(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                       struct blobseal_error *err)
{
    struct job *j = ctx;

    if (worker->in[0] != (uint8_t)index || last != (index + 1 == j->num) || j->worked[index]++ != 0)
        j->wrong = true;
    check_thread(j);
    delay(j);
    if (index == j->slow)
        wait_us(10000);
    /* If take() is to be blocked, failures wait until it is. */
    while (j->block_take_at != NEVER && index < j->block_take_at && j->begun_take <= j->block_take_at)
        wait_us(100);
    if (worker->in[0] != (uint8_t)index)
        j->wrong = true;
    worker->out[0] = (uint8_t)index;
    worker->done = SEGMENT;
    return step_ends(j, WORK, index, err);
}

static enum blobseal_status work_alone(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                       struct blobseal_error *err)
{
    worker->in[0] = (uint8_t)index;
    return work_taken(ctx, worker, index, last, err);
}

static enum blobseal_status put(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err)
{
    struct job *j = ctx;
    enum blobseal_status st;

    if (j->busy[PUT]++ != 0 || j->put != index || worker->out[0] != (uint8_t)index || j->worked[index] != 1)
        j->wrong = true;
    delay(j);
    st = step_ends(j, PUT, index, err);
    if (st == BLOBSEAL_OK)
        j->put++;
    j->busy[PUT]--;
    return st;
}

static void cancel(void *ctx)
{
    ((struct job *)ctx)->cancels++;
}

static bool progress(void *ctx, uint64_t done)
{
    struct job *j = ctx;

    if (j->in_progress++ != 0 || done <= j->progress_last || done % SEGMENT != 0)
        j->wrong = true;
    j->progress_last = done;
    j->progress_calls++;
    j->in_progress--;
    return j->progress_calls != j->stop_at;
}

static void job_start(uint64_t num)
{
    job = (struct job){.num = num, .slow = NEVER, .block_take_at = NEVER};
    for (unsigned i = 0; i < NUM_STEPS; i++)
        job.fail_at[i] = NEVER;
}

/* Run with or without take() and put(). Progress is always watched. */
static enum blobseal_status run(bool with_take, bool with_put, unsigned threads, uint64_t *plain_bytes,
                                struct blobseal_error *err)
{
    const struct blobseal_source source = {.ctx = &job, .cancel = cancel};
    const struct bs_pipeline p = {
        .ctx = &job,
        .threads = threads,
        .num_segments = with_take ? 0 : job.num,
        .in_size = BUFFER,
        .out_size = BUFFER,
        .take = with_take ? take : NULL,
        .work = with_take ? work_taken : work_alone,
        .put = with_put ? put : NULL,
        .source = &source,
        .progress = progress,
        .progress_ctx = &job,
    };
    enum blobseal_status st;

    job.caller = pthread_self();
    memset(err, 0x55, sizeof *err);
    st = bs_pipeline_run(&p, plain_bytes, err);
    cr_assert(!job.wrong, "a step saw what it should not");
    cr_assert(st == BLOBSEAL_OK || err->status == st, "%s, but the error says %s", blobseal_status_code(st),
              blobseal_status_code(err->status));
    cr_assert_eq(*plain_bytes, job.progress_last);
    return st;
}

Test(pipeline, every_segment_once_and_in_order)
{
    static const uint64_t counts[] = {1, 2, 3, 17, MAX_SEGMENTS};
    struct blobseal_error err;
    uint64_t bytes;

    for (unsigned threads = 0; threads <= 8; threads++) {
        for (unsigned mode = 0; mode < 4 * COUNT(counts); mode++) {
            job_start(counts[mode / 4]);
            job.max_delay_us = 150;
            job.random = mode;
            cr_assert_eq(run(mode % 2 == 0, mode / 2 % 2 == 0, threads, &bytes, &err), BLOBSEAL_OK);
            cr_assert_eq(bytes, job.num * SEGMENT);
            cr_assert_eq(job.progress_calls, job.num);
            cr_assert_eq(job.cancels, 0);
            for (uint64_t i = 0; i < job.num; i++)
                cr_assert_eq(job.worked[i], 1);
            cr_assert_eq(job.put, mode / 2 % 2 == 0 ? job.num : 0);
        }
    }
}

Test(pipeline, more_threads_than_make_sense)
{
    struct blobseal_error err;
    uint64_t bytes;

    job_start(MAX_SEGMENTS);
    cr_expect_eq(run(true, true, 100000, &bytes, &err), BLOBSEAL_OK);
    job_start(MAX_SEGMENTS);
    cr_expect_eq(run(false, false, 100000, &bytes, &err), BLOBSEAL_OK);
}

Test(pipeline, one_segment_needs_no_thread_and_the_signal_mask_stays)
{
    struct blobseal_error err;
    sigset_t before, after;
    uint64_t bytes;

    cr_assert_eq(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
    job_start(1);
    cr_expect_eq(run(false, false, 8, &bytes, &err), BLOBSEAL_OK);
    cr_expect_eq(job.others, 0);
    job_start(20);
    job.max_delay_us = 200;
    cr_expect_eq(run(false, true, 4, &bytes, &err), BLOBSEAL_OK);
    cr_assert_eq(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    for (int s = 1; s < 32; s++)
        cr_expect_eq(sigismember(&before, s), sigismember(&after, s));
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

static const enum blobseal_status status_of[NUM_STEPS] = {BLOBSEAL_E_INPUT, BLOBSEAL_E_AUTH, BLOBSEAL_E_OUTPUT};

/* Let @step fail at segment @at. Everything before it must still be put, and nothing after it. */
static void expect_failure(enum step step, uint64_t at, uint64_t num, unsigned threads, bool with_take)
{
    struct blobseal_error err;
    uint64_t bytes;
    char text[32];

    job_start(num);
    job.max_delay_us = 60;
    job.random = at * 100 + threads;
    job.fail_at[step] = at;
    job.status[step] = status_of[step];
    cr_assert_eq(run(with_take, true, threads, &bytes, &err), status_of[step]);
    (void)snprintf(text, sizeof text, "%s %u", step == TAKE ? "take" : step == WORK ? "work" : "put", (unsigned)at);
    cr_assert_str_eq(err.text, text);
    cr_assert_eq(job.put, at, "%s, %u threads: %u were put", text, threads, (unsigned)job.put);
    cr_assert_eq(bytes, at * SEGMENT);
    cr_assert_eq(job.worked[at], step == TAKE ? 0 : 1);
}

Test(pipeline, a_failure_anywhere_ends_the_run_there)
{
    for (unsigned threads = 1; threads <= 8; threads++)
        for (uint64_t at = 0; at < 12; at++)
            for (int step = 0; step < NUM_STEPS; step++)
                for (int with_take = step == TAKE ? 1 : 0; with_take <= 1; with_take++)
                    expect_failure((enum step)step, at, 12, threads, with_take != 0);
}

/* If several segments fail in one run, the error of the lowest segment is reported, whichever fails first. */
Test(pipeline, the_lowest_failing_segment_wins)
{
    struct blobseal_error err;
    uint64_t bytes;

    for (unsigned threads = 1; threads <= 8; threads++) {
        for (uint64_t low = 0; low < 6; low++) {
            for (unsigned steps = 0; steps < 9; steps++) {
                enum step first = (enum step)(steps % 3), second = (enum step)(steps / 3);

                if (first == second)
                    continue;
                job_start(12);
                job.max_delay_us = 30;
                job.slow = low; /* the other segments are finished long before this one */
                job.fail_at[first] = low;
                job.fail_at[second] = low + 1;
                job.status[first] = BLOBSEAL_E_DENIED;
                job.status[second] = BLOBSEAL_E_EXISTS;
                cr_assert_eq(run(true, true, threads, &bytes, &err), BLOBSEAL_E_DENIED);
                cr_assert_eq(job.put, low);
            }
        }
    }
}

Test(pipeline, a_step_that_fails_without_a_message_gives_its_status)
{
    struct blobseal_error err;
    uint64_t bytes;

    for (int step = 0; step < NUM_STEPS; step++) {
        job_start(5);
        job.silent = true;
        job.fail_at[step] = 2;
        job.status[step] = BLOBSEAL_E_UNAVAILABLE;
        cr_expect_eq(run(true, true, 3, &bytes, &err), BLOBSEAL_E_UNAVAILABLE);
        cr_expect_not_null(memchr(err.text, '\0', sizeof err.text), "the text is one");
        cr_expect_not_null(memchr(err.hint, '\0', sizeof err.hint));
    }
}

/* ---- Cancel ------------------------------------------------------------------------------------------------------ */

static void expect_cancel(enum step step, unsigned threads)
{
    struct blobseal_error err;
    uint64_t bytes;

    job_start(20);
    job.block_take_at = 3; /* it waits for ever unless cancel() wakes it */
    job.fail_at[step] = 1;
    job.status[step] = BLOBSEAL_E_OUTPUT;
    job.fail_at[TAKE] = 3;
    job.status[TAKE] = BLOBSEAL_E_CANCELED;
    cr_expect_eq(run(true, true, threads, &bytes, &err), BLOBSEAL_E_OUTPUT, "the cause is reported, not the cancel");
    cr_expect_eq(job.put, 1);
    cr_expect_eq(job.cancels, 1);
}

Test(pipeline, a_blocked_take_is_canceled)
{
    for (unsigned threads = 2; threads <= 8; threads++) {
        expect_cancel(WORK, threads);
        expect_cancel(PUT, threads);
    }
}

Test(pipeline, a_blocked_take_is_canceled_by_progress)
{
    struct blobseal_error err;
    uint64_t bytes;

    job_start(20);
    job.block_take_at = 3;
    job.stop_at = 2;
    job.fail_at[TAKE] = 3;
    job.status[TAKE] = BLOBSEAL_E_INPUT;
    cr_expect_eq(run(true, true, 4, &bytes, &err), BLOBSEAL_E_CANCELED);
    cr_expect_eq(job.cancels, 1);
}

static enum blobseal_status two_fail(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                     struct blobseal_error *err)
{
    (void)work_taken(ctx, worker, index, last, err);
    return blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "work %llu", (unsigned long long)index);
}

/* The documentation of struct blobseal_source promises that cancel() is called once. */
Test(pipeline, cancel_is_called_once_when_many_fail)
{
    const struct blobseal_source source = {.ctx = &job, .cancel = cancel};
    const struct bs_pipeline p = {.ctx = &job,
                                  .threads = 6,
                                  .in_size = BUFFER,
                                  .out_size = BUFFER,
                                  .take = take,
                                  .work = two_fail,
                                  .source = &source};
    struct blobseal_error err;
    uint64_t bytes;

    job_start(20);
    job.block_take_at = 4;
    cr_expect_eq(bs_pipeline_run(&p, &bytes, &err), BLOBSEAL_E_AUTH);
    cr_expect_str_eq(err.text, "work 0");
    cr_expect_eq(job.cancels, 1, "called %u times", job.cancels);
}

/* ---- Progress ---------------------------------------------------------------------------------------------------- */

Test(pipeline, progress_can_stop_at_any_call)
{
    struct blobseal_error err;
    uint64_t bytes;

    for (unsigned threads = 1; threads <= 8; threads++) {
        for (uint64_t at = 1; at <= 10; at++) {
            for (unsigned mode = 0; mode < 4; mode++) {
                job_start(10);
                job.max_delay_us = 60;
                job.stop_at = at;
                cr_assert_eq(run(mode % 2 == 0, mode / 2 == 0, threads, &bytes, &err), BLOBSEAL_E_CANCELED);
                cr_assert_geq(bytes, at * SEGMENT);
            }
        }
    }
}

Test(pipeline, errors_need_no_place)
{
    const struct bs_pipeline p = {
        .ctx = &job, .threads = 2, .num_segments = 3, .in_size = BUFFER, .out_size = BUFFER, .work = work_alone};
    uint64_t bytes;

    job_start(3);
    job.fail_at[WORK] = 1;
    job.status[WORK] = BLOBSEAL_E_AUTH;
    cr_expect_eq(bs_pipeline_run(&p, &bytes, NULL), BLOBSEAL_E_AUTH);
}

/* ---- The state of workers ---------------------------------------------------------------------------------------- */

static _Atomic unsigned started, ended;
static unsigned fail_start; /* number of the start that fails, counted from 1 */

static enum blobseal_status start_worker(const void *state_ctx, void **state, struct blobseal_error *err)
{
    unsigned n = ++started;

    if (state_ctx != &started)
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "another context");
    if (n == fail_start)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "start %u", n);
    *state = malloc(1);
    return *state != NULL ? BLOBSEAL_OK : BLOBSEAL_E_NOMEM;
}

static void end_worker(void *state)
{
    ended++;
    free(state);
}

static enum blobseal_status work_with_state(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                            struct blobseal_error *err)
{
    if (worker->state == NULL || worker->in_size != BUFFER || worker->out_size != 2 * BUFFER || index >= job.num ||
        worker->in == NULL || worker->out == NULL)
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "a worker without what it was to have");
    memset(worker->in, 1, worker->in_size);
    memset(worker->out, 1, worker->out_size);
    return work_alone(ctx, worker, index, last, err);
}

Test(pipeline, every_state_that_was_made_is_released)
{
    const struct bs_pipeline p = {.ctx = &job,
                                  .threads = 4,
                                  .num_segments = 20,
                                  .in_size = BUFFER,
                                  .out_size = 2 * BUFFER,
                                  .state_ctx = &started,
                                  .start_worker = start_worker,
                                  .end_worker = end_worker,
                                  .work = work_with_state};
    struct blobseal_error err;
    uint64_t done;

    for (unsigned failing = 0; failing <= 4; failing++) {
        enum blobseal_status st;

        job_start(20);
        job.max_delay_us = 200;
        fail_start = failing;
        started = ended = 0;
        st = bs_pipeline_run(&p, &done, &err);
        cr_expect(st == BLOBSEAL_OK || (failing > 0 && st == BLOBSEAL_E_NOMEM), "%s", err.text);
        cr_expect_eq(ended, started - (failing > 0 && started >= failing ? 1 : 0), "%u of %u", ended, started);
        cr_expect(failing != 1 || st == BLOBSEAL_E_NOMEM);
    }
}

Test(pipeline, a_worker_may_have_no_buffers)
{
    struct bs_worker worker;

    cr_assert_eq(bs_worker_init(&worker, 0, 0, NULL), BLOBSEAL_OK);
    cr_expect(worker.in == NULL && worker.out == NULL && worker.state == NULL);
    bs_worker_clear(&worker);
    cr_assert_eq(bs_worker_init(&worker, 0, 7, NULL), BLOBSEAL_OK);
    cr_expect(worker.in == NULL && worker.out != NULL);
    memset(worker.out, 1, 7);
    bs_worker_clear(&worker);
    cr_expect_eq(bs_worker_init(&worker, SIZE_MAX / 2, 7, NULL), BLOBSEAL_E_NOMEM);
    bs_worker_clear(&worker);
}
