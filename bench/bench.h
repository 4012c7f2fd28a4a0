/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An interface to Google Benchmark for C, implemented by bench.cc, and what the files of this folder share. A case is a
 * function that sets up, loops while bench_next() returns true, and cleans up. It is called several times.
 */
#ifndef BLOBSEAL_BENCH_H
#define BLOBSEAL_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- bench.cc ---------------------------------------------------------------------------------------------------- */

struct bench; /* one measurement under way */

typedef void (*bench_fn)(struct bench *b, const void *arg);

enum bench_clock {
    BENCH_CLOCK_CPU, /* of the thread: time of other programs is not counted */
    BENCH_CLOCK_WALL,
};

/* Add a case. @arg must outlive the run. */
void bench_add(enum bench_clock clock, bench_fn fn, const void *arg, const char *name_format, ...)
    __attribute__((format(printf, 4, 5)));

/* Return true to do the work once more. Time is measured from the first call to the one that returns false. */
bool bench_next(struct bench *b);

/* Set how much one iteration of the loop does. Call it after the loop. */
void bench_bytes_each(struct bench *b, uint64_t bytes);
void bench_items_each(struct bench *b, uint64_t items);

/* Add a figure that the case itself determined; add a remark. */
void bench_figure(struct bench *b, const char *name, double value);
void bench_remark(struct bench *b, const char *text);

/* Report that the case cannot be measured. The case must return after it. */
void bench_fail(struct bench *b, const char *why);

/* Keep the compiler from removing the computation of what is at @p. */
static inline void bench_keep(const void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* Add a fact about the machine or the program to the report. */
void bench_fact(const char *name, const char *value);

/* What is measured. */
struct bench_plan {
    bool quick;
    unsigned threads[32]; /* for the pipeline, in this order, ended by 0   */
    size_t sizes[32];     /* of single messages in bytes, ended by 0       */
};

/* Run all cases with the options of Google Benchmark in @argv. Return an exit code. */
int bench_run(int argc, char **argv, const struct bench_plan *plan);

/* ---- machine.c --------------------------------------------------------------------------------------------------- */

/* Add the facts without which the figures cannot be interpreted on another machine. */
void add_facts(const struct bench_plan *plan);

/*
 * Add the clock rate of the core, and the rate of AES rounds alone: the ceiling of AES-GCM, except for work that
 * messages share.
 */
void add_ceiling(void);

/* ---- keys.c ------------------------------------------------------------------------------------------------------ */

void add_keys(void);

/* Return a private key of 3072 bits, the same each time; NULL: it could not be made. */
struct blobseal_kek *bench_kek(void);

/* ---- ciphers.c, layers.c, sums.c, blobs.c, reads.c
 * ------------------------------------------------------------------------- */

void add_ciphers(const struct bench_plan *plan);
void add_layers(void);
void add_sums(void);
void add_blobs(const struct bench_plan *plan);
void add_reads(void);
void add_sets(void); /* sets.c */

#ifdef __cplusplus
}
#endif
#endif
