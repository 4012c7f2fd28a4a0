/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole blobs in memory, by the public functions of the library. Large ones show how the throughput depends on the
 * number of threads; small ones show how long one takes when the key is loaded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <blobseal.h>

#include "bench/bench.h"

#define MIB         ((size_t)1 << 20)
#define MAX_SMALL   ((size_t)65536)
#define MAX_CASES   64
#define MAX_SAMPLES ((size_t)1 << 16)

struct blob_case {
    size_t len;
    unsigned threads;
    bool open;
};

/* ---- Blobs in memory allocated before ---------------------------------------------------------------------------- */

struct room {
    uint8_t *p;
    size_t cap, len;
};

/* Copy @len bytes to offset @off. Workers write to different places. */
static enum blobseal_status room_pwrite(void *ctx, const void *buf, size_t len, uint64_t off,
                                        struct blobseal_error *err)
{
    const struct room *r = ctx;

    (void)err;
    if (off > r->cap || len > r->cap - off)
        return BLOBSEAL_E_OUTPUT;
    memcpy(r->p + off, buf, len);
    return BLOBSEAL_OK;
}

static enum blobseal_status seal(struct room *sealed, const uint8_t *plain, const struct blob_case *c)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .threads = c->threads};
    const struct blobseal_sink sink = {.ctx = sealed, .name = "room", .pwrite = room_pwrite};
    struct blobseal_kek *kek = bench_kek();
    struct blobseal_seal_result result = {.size = sizeof result};
    struct blobseal_source source;
    struct blobseal_memory in;
    enum blobseal_status st;

    blobseal_source_memory(&source, &in, plain, c->len);
    st = blobseal_seal(&sink, &source, &kek, 1, &o, &result, NULL);
    sealed->len = (size_t)result.sealed_bytes;
    return st;
}

static enum blobseal_status open_blob(struct room *plain, const struct room *sealed, const struct blob_case *c)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .threads = c->threads};
    const struct blobseal_sink sink = {.ctx = plain, .name = "room", .pwrite = room_pwrite};
    struct blobseal_kek *kek = bench_kek();
    struct blobseal_reader *reader;
    struct blobseal_source source;
    struct blobseal_memory in;
    enum blobseal_status st;

    blobseal_source_memory(&source, &in, sealed->p, sealed->len);
    st = blobseal_reader_open(&reader, &source, &kek, 1, &o, NULL);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_stream(reader, &sink, NULL, NULL);
    blobseal_reader_close(reader);
    return st;
}

/* ---- Latencies --------------------------------------------------------------------------------------------------- */

/* Durations of single iterations. Half of them are shorter than p50, one in a hundred is longer than p99. */
struct samples {
    double *us;
    size_t num;
};

static double now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void report_samples(struct bench *b, struct samples *s)
{
    if (s->num == 0)
        return;
    qsort(s->us, s->num, sizeof *s->us, compare);
    bench_figure(b, "p50_us", s->us[s->num / 2]);
    bench_figure(b, "p99_us", s->us[s->num * 99 / 100]);
}

/* ---- Cases ------------------------------------------------------------------------------------------------------- */

static void iterate(struct bench *b, const struct blob_case *c, uint8_t *plain, struct room *sealed, struct samples *s)
{
    struct room back = {.p = plain, .cap = c->len};
    enum blobseal_status st = sealed->len == 0 ? seal(sealed, plain, c) : BLOBSEAL_OK;

    while (st == BLOBSEAL_OK && bench_next(b)) {
        double start = now_us();

        st = c->open ? open_blob(&back, sealed, c) : seal(sealed, plain, c);
        if (s->num < MAX_SAMPLES)
            s->us[s->num++] = now_us() - start;
    }
    if (st != BLOBSEAL_OK)
        bench_fail(b, blobseal_status_code(st));
    else
        bench_bytes_each(b, c->len);
}

/*
 * Memory for a blob. That of large blobs is kept from case to case: allocating it takes longer than sealing its
 * content.
 */
struct memory {
    uint8_t *plain;
    struct room sealed;
};

static bool get_memory(struct memory *m, size_t len)
{
    if (m->plain != NULL)
        return true;
    m->sealed.cap = len + len / 512 + 65536;
    m->sealed.p = malloc(m->sealed.cap);
    m->plain = m->sealed.p != NULL ? malloc(len) : NULL;
    if (m->plain == NULL) {
        free(m->sealed.p);
        m->sealed.p = NULL;
        return false;
    }
    memset(m->plain, 0x5A, len);
    memset(m->sealed.p, 0, m->sealed.cap);
    return true;
}

static void blob(struct bench *b, const void *arg)
{
    static struct memory large;
    const struct blob_case *c = arg;
    bool is_small = c->len <= MAX_SMALL;
    struct memory small = {0}, *m = is_small ? &small : &large;
    struct samples s = {.us = malloc(MAX_SAMPLES * sizeof *s.us)};

    if (s.us == NULL || !get_memory(m, c->len) || bench_kek() == NULL) {
        bench_fail(b, "no memory, or no key");
    } else {
        iterate(b, c, m->plain, &m->sealed, &s);
        if (is_small)
            report_samples(b, &s);
    }
    free(small.plain);
    free(small.sealed.p);
    free(s.us);
}

static const struct blob_case *keep(size_t len, unsigned threads, bool open)
{
    static struct blob_case cases[2 * MAX_CASES];
    static size_t num;

    cases[num] = (struct blob_case){len, threads, open};
    return &cases[num++];
}

/*
 * Return a length with which starting the threads and using the private key, 3 ms together, is a small part of the time
 * even for 16 threads. Two buffers of that length are allocated.
 */
static size_t big_len(bool quick)
{
    const size_t most = quick ? 64 * MIB : 256 * MIB;
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    return most <= memory / 8 ? most : 32 * MIB;
}

void add_blobs(const struct bench_plan *plan)
{
    static const size_t small[] = {4096, MAX_SMALL};
    size_t big = big_len(plan->quick);
    char mib[24];

    (void)snprintf(mib, sizeof mib, "%zu", big / MIB);
    bench_fact("pipeline_mib", mib);
    for (int open = 0; open < 2; open++) {
        const char *verb = open != 0 ? "open" : "seal";

        for (size_t i = 0; i < 2; i++)
            bench_add(BENCH_CLOCK_WALL, blob, keep(small[i], 1, open != 0), "blob/%s/%zu", verb, small[i]);
        for (size_t i = 0; plan->threads[i] != 0; i++)
            bench_add(BENCH_CLOCK_WALL, blob, keep(big, plan->threads[i], open != 0), "pipeline/%s/threads:%u", verb,
                      plan->threads[i]);
    }
}
