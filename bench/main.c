/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobseal-bench: measure, and report like Google Benchmark. `blobseal bench` runs it and shows the results. Run by
 * itself, it accepts all options of Google Benchmark, such as --benchmark_filter=aes.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "tools/common/fips.h"

#define MAX_SIZE    ((size_t)64 << 20)
#define MAX_THREADS 256

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static unsigned count_cpus(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/* Set 1, 2, 4 ... and the number of CPUs. */
static void default_threads(struct bench_plan *plan)
{
    unsigned cpus = count_cpus(), n = 0;

    for (unsigned t = 1; t < cpus && t <= MAX_THREADS / 2; t *= 2)
        plan->threads[n++] = t;
    plan->threads[n] = cpus < MAX_THREADS ? cpus : MAX_THREADS;
}

/* Parse numbers from 1 to @max, separated by commas. Return false if the list is malformed or too long. */
static bool parse_list(const char *text, size_t max, size_t *out, size_t cap)
{
    char *end;
    size_t n = 0;

    for (;; text = end + 1) {
        if (*text < '0' || *text > '9' || n + 1 == cap)
            return false;
        errno = 0;
        out[n] = strtoul(text, &end, 10);
        if (errno != 0 || out[n] == 0 || out[n] > max)
            return false;
        n++;
        if (*end == '\0')
            break;
        if (*end != ',')
            return false;
    }
    out[n] = 0;
    return true;
}

static bool parse_threads(const char *text, struct bench_plan *plan)
{
    size_t numbers[COUNT(plan->threads)] = {0};

    if (!parse_list(text, MAX_THREADS, numbers, COUNT(numbers)))
        return false;
    for (size_t i = 0; i < COUNT(numbers); i++)
        plan->threads[i] = (unsigned)numbers[i];
    return true;
}

/* Return the value of the option @name in @arg, or NULL. */
static const char *value_of(const char *arg, const char *name)
{
    size_t len = strlen(name);

    return strncmp(arg, name, len) == 0 && arg[len] == '=' ? arg + len + 1 : NULL;
}

static bool start_fips_mode(void)
{
    struct blobseal_error err;

    if (fips_start(&err))
        return true;
    (void)fprintf(stderr, "blobseal-bench: %s\nblobseal-bench: %s\n", err.text, err.hint);
    return false;
}

/* Take the options of this program out of @argv. Return false if one of them is wrong. */
static bool take_options(int *argc, char **argv, struct bench_plan *plan)
{
    int kept = 1;

    for (int i = 1; i < *argc; i++) {
        const char *threads = value_of(argv[i], "--threads"), *sizes = value_of(argv[i], "--sizes");

        if (strcmp(argv[i], "--quick") == 0) {
            plan->quick = true;
        } else if (strcmp(argv[i], "--fips") == 0) {
            if (!start_fips_mode())
                return false;
        } else if (threads != NULL || sizes != NULL) {
            if (threads != NULL ? !parse_threads(threads, plan)
                                : !parse_list(sizes, MAX_SIZE, plan->sizes, COUNT(plan->sizes))) {
                (void)fprintf(stderr, "blobseal-bench: not a list of numbers in range: %s\n", argv[i]);
                return false;
            }
        } else {
            argv[kept++] = argv[i];
        }
    }
    argv[kept] = NULL;
    *argc = kept;
    return true;
}

int main(int argc, char **argv)
{
    struct bench_plan plan = {.sizes = {1024, 4096, 16384, 65536, 1048576}};

    default_threads(&plan);
    if (!take_options(&argc, argv, &plan))
        return 2;
    add_facts(&plan);
    add_ceiling();
    add_ciphers(&plan);
    add_layers();
    add_sums();
    add_keys();
    add_blobs(&plan);
    add_reads();
    add_sets();
    return bench_run(argc, argv, &plan);
}
