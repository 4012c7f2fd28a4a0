/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view of Google Benchmark for programs in C, made by bench.cc, and what the files of this folder tell each other. A case
 * is a function that sets up, loops while bench_next() says so, and cleans up; it is called several times.
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
    BENCH_CPU_TIME, /* of the thread: what other programs take does not count */
    BENCH_WALL_TIME,
};

/* Add a case. @arg must outlive the run. */
void bench_add(enum bench_clock clock, bench_fn fn, const void *arg, const char *name_format, ...)
    __attribute__((format(printf, 4, 5)));

/* Whether to do the work once more. Time counts from the first call to the one that answers false. */
bool bench_next(struct bench *b);

/* How much a turn of the loop does. Called behind the loop. */
void bench_bytes_each(struct bench *b, uint64_t bytes);
void bench_items_each(struct bench *b, uint64_t items);

/* A figure of the case's own, and a remark. */
void bench_figure(struct bench *b, const char *name, double value);
void bench_remark(struct bench *b, const char *text);

/* The case cannot be measured. Return at once behind it. */
void bench_fail(struct bench *b, const char *why);

/* Keep the compiler from dropping what was computed at @p. */
static inline void bench_keep(const void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* A fact about machine or program that goes into the report. */
void bench_fact(const char *name, const char *value);

/* How much is measured, and what for. */
struct bench_plan {
    bool quick;
    unsigned threads[32]; /* for the pipeline, in this order, ended by 0   */
    size_t sizes[32];     /* of single messages in bytes, ended by 0       */
};

/* Run all cases with the options of Google Benchmark in @argv. Answers an exit code. */
int bench_run(int argc, char **argv, const struct bench_plan *plan);

/* ---- machine.c ----------------------------------------------------------------------------------------------------- */

/* Facts that a report needs to be read elsewhere. */
void add_facts(const struct bench_plan *plan);

/* The clock of the core, and how fast it can do AES rounds alone: the ceiling of AES-GCM, but for what messages share. */
void add_ceiling(void);

/* ---- keys.c ---------------------------------------------------------------------------------------------------------- */

void add_keys(void);

/* A private key of 3072 bits, the same each time; NULL: there is none. */
struct blobseal_kek *bench_kek(void);

/* ---- ciphers.c, sums.c, blobs.c, reads.c ----------------------------------------------------------------------------- */

void add_ciphers(const struct bench_plan *plan);
void add_sums(void);
void add_blobs(const struct bench_plan *plan);
void add_reads(void);

#ifdef __cplusplus
}
#endif
#endif
