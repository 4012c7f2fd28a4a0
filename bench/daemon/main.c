/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobseal-daemon-load [--threads N] [--blobs N] [--seconds N] [FOLDER]: put the load of a storage daemon on the
 * library. Exit 1 if a call failed, a byte was wrong, or memory, mappings or descriptors grew.
 */
#define _GNU_SOURCE /* usleep */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/daemon/daemon.h"

#define MAX_THREADS 256
#define KEPT        8  /* open readers of each thread */
#define LEAST       40 /* operations of each thread, however little of the time it gets */

static const char *const names[NUM_OPERATIONS] = {"seal",           "open and read all", "range of an open blob",
                                                  "open and range", "inspect",           "rotate"};

struct load {
    struct store store;
    unsigned threads;
    uint64_t end_us;
    _Atomic size_t sealed; /* blobs sealed while the store is filled */
    _Atomic bool running;
};

struct thread {
    struct load *load;
    pthread_t id;
    uint64_t random;
    struct handle kept[KEPT];
    struct latencies latencies;
};

/* Return the next number of a thread (xorshift64*, Vigna 2016). */
static uint64_t next_random(struct thread *t)
{
    t->random ^= t->random >> 12;
    t->random ^= t->random << 25;
    t->random ^= t->random >> 27;
    return t->random * 0x2545f4914f6cdd1d;
}

/* Choose an operation: two thirds are ranges of blobs that are open, as for a registry that serves layers. */
static enum operation choose(uint64_t random)
{
    unsigned percent = (unsigned)(random % 100);

    return percent < 5    ? OP_SEAL
           : percent < 12 ? OP_OPEN
           : percent < 20 ? OP_FIRST_RANGE
           : percent < 27 ? OP_INSPECT
           : percent < 32 ? OP_ROTATE
                          : OP_RANGE;
}

static void run_one(struct thread *t)
{
    struct store *s = &t->load->store;
    uint64_t random = next_random(t);
    size_t blob = (size_t)(next_random(t) % s->num_blobs);
    struct handle *h = &t->kept[random / 128 % KEPT];
    enum operation op = choose(random);
    uint64_t start;

    if (op == OP_RANGE && h->fd < 0)
        op = OP_FIRST_RANGE;
    start = now_us();
    if (op == OP_SEAL)
        blob_seal(s, blob);
    else if (op == OP_OPEN)
        blob_read_all(s, blob);
    else if (op == OP_INSPECT)
        blob_inspect(s, blob);
    else if (op == OP_ROTATE)
        blob_rotate(s, blob);
    if (op == OP_FIRST_RANGE)
        blob_open(s, h, blob);
    if ((op == OP_FIRST_RANGE || op == OP_RANGE) && h->fd >= 0)
        blob_read_range(s, h, next_random(t));
    latency_add(&t->latencies, op, now_us() - start);
}

static void *run_thread(void *arg)
{
    struct thread *t = arg;
    struct load *l = t->load;
    size_t blob;

    while ((blob = l->sealed++) < l->store.num_blobs)
        blob_seal(&l->store, blob);
    while (!l->running)
        (void)usleep(1000);
    for (unsigned n = 0; n < LEAST || now_us() < l->end_us; n++)
        run_one(t);
    for (size_t i = 0; i < KEPT; i++)
        handle_close(&t->kept[i]);
    return NULL;
}

/* Print both figures. Return true if @last exceeds @first by no more than a tenth plus @slack. */
static bool flat(const char *what, uint64_t first, uint64_t last, uint64_t slack)
{
    bool ok = last <= first + first / 10 + slack;

    (void)printf("%-24s %10llu %10llu %s\n", what, (unsigned long long)first, (unsigned long long)last,
                 ok ? "flat" : "GROWS");
    return ok;
}

/* Watch the process from the time when a fifth of the run is over to its end. Return false if its usage grows by more
 * than what threads have open that have not begun by then. */
static bool watch(const struct load *l, uint64_t start_us)
{
    struct usage first = {0}, last = {0}, now;

    for (now = usage_now(); now_us() < l->end_us; now = usage_now()) { /* threads that end do not count */
        if (first.resident_kib == 0 || now_us() < start_us + (l->end_us - start_us) / 5)
            first = now;
        last = now;
        (void)usleep(200000);
    }
    (void)printf("%-24s %10s %10s\n", "", "after 1/5", "at the end");
    return (int)flat("resident memory, KiB", first.resident_kib, last.resident_kib, 32768) &
           (int)flat("mappings", first.mappings, last.mappings, (uint64_t)l->threads * (2 * KEPT + 4)) &
           (int)flat("descriptors", first.descriptors, last.descriptors, (uint64_t)l->threads * (KEPT + 2));
}

static void print_latencies(const struct latencies *all)
{
    (void)printf("%-24s %10s %10s %10s\n", "operation", "number", "p50, us", "p99, us");
    for (int op = 0; op < NUM_OPERATIONS; op++)
        (void)printf("%-24s %10llu %10llu %10llu\n", names[op], (unsigned long long)latency_count(all, op),
                     (unsigned long long)latency_percentile(all, op, 0.5),
                     (unsigned long long)latency_percentile(all, op, 0.99));
}

/* Read every blob once more. */
static void check_all(struct store *s)
{
    for (size_t i = 0; i < s->num_blobs; i++)
        blob_read_all(s, i);
}

static bool run(struct load *l, struct thread *threads, unsigned seconds)
{
    struct latencies *all = calloc(1, sizeof *all);
    uint64_t start;
    bool ok;

    if (all == NULL)
        return false;
    for (unsigned i = 0; i < l->threads; i++) {
        threads[i] = (struct thread){.load = l, .random = i + 1};
        for (size_t k = 0; k < KEPT; k++)
            threads[i].kept[k].fd = -1;
        if (pthread_create(&threads[i].id, NULL, run_thread, &threads[i]) != 0)
            abort();
    }
    while (l->sealed < l->store.num_blobs)
        (void)usleep(10000);
    start = now_us();
    l->end_us = start + (uint64_t)seconds * 1000000;
    l->running = true;
    ok = watch(l, start);
    for (unsigned i = 0; i < l->threads; i++) {
        (void)pthread_join(threads[i].id, NULL);
        latency_merge(all, &threads[i].latencies);
    }
    check_all(&l->store);
    print_latencies(all);
    (void)printf("%-24s %10llu\n", "failures", (unsigned long long)l->store.failures);
    free(all);
    return ok && l->store.failures == 0;
}

/* Return the number in @text, from 1 to @most, or exit with a message. */
static size_t number(const char *text, size_t most)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*end == '\0' && n >= 1 && n <= most)
        return (size_t)n;
    (void)fprintf(stderr, "blobseal-daemon-load: %s is not a number from 1 to %zu\n", text, most);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"threads", required_argument, NULL, 't'},
        {"blobs", required_argument, NULL, 'b'},
        {"seconds", required_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    static struct load load = {.threads = 64};
    size_t num_blobs = 50000;
    unsigned seconds = 600;
    struct thread *threads;
    bool ok;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 't')
            load.threads = (unsigned)number(optarg, MAX_THREADS);
        else if (c == 'b')
            num_blobs = number(optarg, 1000000);
        else if (c == 's')
            seconds = (unsigned)number(optarg, 86400);
        else
            return 2;
    }
    threads = calloc(load.threads, sizeof *threads);
    ok = threads != NULL && store_open(&load.store, optind < argc ? argv[optind] : ".", num_blobs) &&
         run(&load, threads, seconds);
    store_close(&load.store);
    free(threads);
    return ok ? 0 : 1;
}
