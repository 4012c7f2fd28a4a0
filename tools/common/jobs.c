/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many files, several at the same time, each processed independently. This is the only file of the programs that
 * starts threads. The main thread draws progress and receives signals; the others process files. Files are started in
 * order, and finished in any order.
 */
#define _GNU_SOURCE /* sched_getaffinity() */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "tools/common/files.h"

#define STACK_BYTES   (1U << 20)
#define LARGE_FILE    (16U << 20) /* from this size on, several threads can share the work on one file */
#define REDRAW_NS     100000000L
#define NS_PER_SECOND 1000000000L

struct crew {
    const struct jobs *jobs;
    char *const *paths;
    size_t num;
    pthread_mutex_t lock;
    pthread_cond_t progressed;
    size_t started, finished, failed;
    int code;         /* of the last file that failed */
    const char *name; /* of the last file that was started */
    unsigned numbers; /* of threads */
};

static unsigned count_cpus(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

    return n < 1 ? 1 : n > JOBS_MAX ? JOBS_MAX : (unsigned)n;
}

unsigned jobs_threads(unsigned wanted, size_t num, uint64_t size)
{
    unsigned threads = wanted != 0 ? wanted : count_cpus();

    if (num == 1 || (size >= LARGE_FILE && num < 2 * (size_t)threads))
        return wanted;
    return 1; /* the other threads have files of their own */
}

/* ---- One file ---------------------------------------------------------------------------------------------------- */

static int run_one(const struct crew *c, unsigned thread, const char *path)
{
    struct ui ui = *c->jobs->ui;

    ui.file = c->num == 1 ? NULL : strcmp(path, "-") == 0 ? "standard input" : path;
    return c->jobs->one(c->jobs->ctx, &ui, thread, path);
}

/* Take the next file. Return false if there is none, or if reports can no longer be written. */
static bool take(struct crew *c, const char **path)
{
    bool more;

    (void)pthread_mutex_lock(&c->lock);
    more = c->started < c->num && ferror(stdout) == 0;
    if (more)
        c->name = *path = c->paths[c->started++];
    (void)pthread_mutex_unlock(&c->lock);
    return more;
}

static void finished(struct crew *c, int code)
{
    (void)pthread_mutex_lock(&c->lock);
    c->finished++;
    if (code != EXIT_OK) {
        c->failed++;
        c->code = code;
    }
    if (c->finished == c->started && (c->started == c->num || ferror(stdout) != 0))
        (void)pthread_cond_signal(&c->progressed);
    (void)pthread_mutex_unlock(&c->lock);
}

static void *work(void *arg)
{
    struct crew *c = arg;
    const char *path;
    unsigned thread;

    (void)pthread_mutex_lock(&c->lock);
    thread = c->numbers++;
    (void)pthread_mutex_unlock(&c->lock);
    while (take(c, &path))
        finished(c, run_one(c, thread, path));
    return NULL;
}

/* ---- The main thread --------------------------------------------------------------------------------------------- */

static bool all_done(const struct crew *c)
{
    return c->finished == c->started && (c->started == c->num || ferror(stdout) != 0);
}

/* Draw progress until the last file is finished. */
static void watch(struct crew *c)
{
    struct timespec until;

    (void)pthread_mutex_lock(&c->lock);
    while (!all_done(c)) {
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += REDRAW_NS;
        until.tv_sec += until.tv_nsec / NS_PER_SECOND;
        until.tv_nsec %= NS_PER_SECOND;
        if (pthread_cond_timedwait(&c->progressed, &c->lock, &until) != 0 && c->name != NULL)
            progress_count(c->jobs->progress, c->finished, c->num, c->name);
    }
    (void)pthread_mutex_unlock(&c->lock);
}

/* Start the threads with all signals blocked, so that the main thread receives them. Return how many were started. */
static unsigned start(struct crew *c, pthread_t *ids, unsigned wanted)
{
    sigset_t all, before;
    pthread_attr_t attr;
    unsigned n = 0;

    if (pthread_attr_init(&attr) != 0)
        return 0;
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    while (n < wanted && pthread_create(&ids[n], &attr, work, c) == 0)
        n++;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    return n;
}

/* Process the files in this thread. An output that got its name leaves signals blocked until the file has been
 * reported, and the output of the only file until the program ends. */
static void run_alone(struct crew *c)
{
    const char *path;
    sigset_t before;

    (void)pthread_sigmask(SIG_SETMASK, NULL, &before);
    while (take(c, &path)) {
        if (c->num > 1 && seconds_now() - c->jobs->progress->shown >= REDRAW_NS / 1e9)
            progress_count(c->jobs->progress, c->finished, c->num, path);
        finished(c, run_one(c, 0, path));
        if (c->num > 1)
            (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
}

struct jobs_result jobs_run(const struct jobs *jobs, char *const *paths, size_t num)
{
    struct crew c = {.jobs = jobs,
                     .paths = paths,
                     .num = num,
                     .lock = PTHREAD_MUTEX_INITIALIZER,
                     .progressed = PTHREAD_COND_INITIALIZER};
    unsigned threads = jobs->threads != 0 ? jobs->threads : count_cpus(), n = 0;
    pthread_t ids[JOBS_MAX];
    double begin = seconds_now();

    if (threads > num)
        threads = (unsigned)num;
    if (num > 1)
        progress_start(jobs->progress, jobs->ui, "", BLOBSEAL_SIZE_UNKNOWN);
    if (threads > 1 && !jobs->in_order)
        n = start(&c, ids, threads);
    if (n > 0)
        watch(&c);
    else
        run_alone(&c);
    for (unsigned i = 0; i < n; i++)
        (void)pthread_join(ids[i], NULL);
    if (num > 1)
        (void)progress_end(jobs->progress);
    return (struct jobs_result){.num = num,
                                .failed = c.failed,
                                .code = c.failed == 0 ? EXIT_OK
                                        : num == 1    ? c.code
                                                      : EXIT_PARTLY,
                                .seconds = seconds_now() - begin};
}
