/* SPDX-License-Identifier: Apache-2.0 */
/* Latencies of operations, and what the process uses. */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "bench/daemon/daemon.h"

#define SUB_BUCKETS ((uint64_t)16) /* for each power of two */

uint64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Return the bucket of a latency: exact below 16 microseconds, then with 4 significant bits after the first. */
static size_t bucket_of(uint64_t us)
{
    unsigned shift = 0;

    while (us >> shift >= 2 * SUB_BUCKETS)
        shift++;
    if (us < SUB_BUCKETS)
        return (size_t)us;
    return (size_t)shift * SUB_BUCKETS + (size_t)(us >> shift);
}

/* Return the largest latency of a bucket. */
static uint64_t bucket_limit(size_t bucket)
{
    size_t shift = bucket < 2 * SUB_BUCKETS ? 0 : bucket / SUB_BUCKETS - 1;

    return ((uint64_t)(bucket - shift * SUB_BUCKETS + 1) << shift) - 1;
}

void latency_add(struct latencies *l, enum operation op, uint64_t us)
{
    size_t bucket = bucket_of(us);

    l->count[op][bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1]++;
}

void latency_merge(struct latencies *to, const struct latencies *from)
{
    for (int op = 0; op < NUM_OPERATIONS; op++)
        for (size_t i = 0; i < LATENCY_BUCKETS; i++)
            to->count[op][i] += from->count[op][i];
}

uint64_t latency_count(const struct latencies *l, enum operation op)
{
    uint64_t n = 0;

    for (size_t i = 0; i < LATENCY_BUCKETS; i++)
        n += l->count[op][i];
    return n;
}

uint64_t latency_percentile(const struct latencies *l, enum operation op, double p)
{
    uint64_t wanted = (uint64_t)((double)latency_count(l, op) * p), n = 0;

    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        n += l->count[op][i];
        if (n > wanted)
            return bucket_limit(i);
    }
    return bucket_limit(LATENCY_BUCKETS - 1);
}

static uint64_t count_lines(const char *path)
{
    FILE *f = fopen(path, "re");
    uint64_t n = 0;
    int c;

    if (f == NULL)
        return 0;
    while ((c = getc(f)) != EOF)
        n += c == '\n';
    (void)fclose(f);
    return n;
}

/* Return the second number of /proc/self/statm: resident pages. */
static uint64_t count_resident_pages(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    char line[128] = "", *end = line;
    uint64_t pages = 0;

    if (f != NULL && fgets(line, sizeof line, f) != NULL) {
        (void)strtoull(line, &end, 10);
        pages = strtoull(end, &end, 10);
    }
    if (f != NULL)
        (void)fclose(f);
    return pages;
}

struct usage usage_now(void)
{
    struct usage u = {.mappings = count_lines("/proc/self/maps")};
    DIR *fds = opendir("/proc/self/fd");

    u.resident_kib = count_resident_pages() * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
    while (fds != NULL && readdir(fds) != NULL)
        u.descriptors++;
    if (fds != NULL)
        (void)closedir(fds);
    return u;
}
