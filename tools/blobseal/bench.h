/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `blobseal bench` share: they run the program that measures, and draw what it wrote. */
#ifndef BLOBSEAL_BENCH_H
#define BLOBSEAL_BENCH_H

#include <stdio.h>

#include "cli.h"

/* ---- bench_run.c: the program blobseal-bench --------------------------------------------------------------------- */

/* What is passed on to it. */
struct bench_plan {
    bool quick;
    char threads[128]; /* "1,2,4"; empty: its own choice */
    char sizes[256];
};

/* JSON as it was read. Release data with free(). */
struct bench_text {
    char *data;
    size_t len;
};

/* Run it, with its progress lines on ours, and take all that it writes to its standard output. */
bool bench_measure(const struct bench_plan *plan, struct progress *progress, struct bench_text *text,
                   struct blobseal_error *err);

/* Read a file that it wrote once. */
bool bench_read(const struct input *in, struct bench_text *text, struct blobseal_error *err);

/* ---- bench_data.c: what it measured ------------------------------------------------------------------------------ */

#define BENCH_NAME 96

/* A figure, over its repetitions. */
struct bench_value {
    double median, low, high;
    double spread; /* standard deviation by mean */
    size_t num;    /* repetitions; 0: not measured */
};

enum bench_unit { BENCH_BYTES, BENCH_ITEMS, BENCH_SECONDS }; /* the first two a second: more is better */

struct bench_measure {
    char name[BENCH_NAME];
    char why[BENCH_NAME]; /* it was not measured */
    enum bench_unit unit;
    bool failed;
    struct bench_value value; /* of a latency the 50th percentile */
    struct bench_value p99;   /* of a latency only                */
};

/* What the program says of the machine. Texts are printable, and empty where it says nothing. */
struct bench_machine {
    char date[48], cpu[128], features[512], kernel[32], xxh3[32], openssl[96], capabilities[96], release[96],
        version[32], build[32], caches[128];
    unsigned cpus;  /* 0: unknown */
    double load[3]; /* of 1, 5 and 15 minutes */
    double mhz;     /* as the system names it; 0: unknown */
};

struct bench {
    struct bench_machine machine;
    struct bench_measure *measures;
    size_t num;
};

/* Parse what came from @origin, a file or the program. @status is that of text that is not such JSON. */
bool bench_parse(struct bench *b, const struct bench_text *text, const char *origin, enum blobseal_status status,
                 struct blobseal_error *err);
void bench_free(struct bench *b);

/* ---- bench_view.c: questions about it ---------------------------------------------------------------------------- */

#define BENCH_LIST 24 /* the longest list of sizes, threads or implementations that is drawn */

/* The implementations of AES-256-GCM, in the order in which they are shown. */
struct bench_impl {
    const char *name, *label;
    bool peer; /* measured beside ours, never used by blobseal */
};
extern const struct bench_impl bench_impls[];
extern const size_t bench_num_impls;

/* The measure of that name; NULL: not measured. */
const struct bench_measure *bench_find(const struct bench *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Its median, or 0. */
double bench_figure(const struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How long one operation takes, whether the file says that or how many there are a second; 0 for NULL. */
double bench_seconds(const struct bench_measure *m);

/* The numbers that names starting with @group end in, such as pipeline/seal/threads:4: each once, ascending. */
size_t bench_numbers(const struct bench *b, const char *group, uint64_t out[BENCH_LIST]);

/* The implementation that blobseal uses here: what the file says, or else its fastest. NULL: none was measured. */
const struct bench_impl *bench_chosen(const struct bench *b);

/* Cycles a second, and of what kind they are; 0 and "" where nobody knows. */
double bench_clock(const struct bench *b, const char **kind);

/* Seal and open run by run of 16 KiB chunks, with @impl. NULL: not measured. */
const struct bench_measure *bench_run_of(const struct bench *b, const char *verb, const char *impl);

/* More than this, and a figure is called unsteady. */
#define BENCH_UNSTEADY 0.05

/* One sentence: what a reader wants to know. */
void bench_verdict(const struct bench *b, char *buf, size_t cap);
/* Why the figures should not be trusted; false: there is no reason. */
bool bench_noisy(const struct bench *b, char *buf, size_t cap);

/* "16 KiB", "1000 B" */
const char *bench_size(char buf[32], uint64_t bytes);
/* A median with its unit: "10.21 GB/s", "45.2 us". */
const char *bench_quantity(char buf[32], enum bench_unit unit, double value);

/* ---- bench_compare.c: against an earlier run --------------------------------------------------------------------- */

/* A loss is a ratio below this. */
#define BENCH_LOSS 0.95

enum bench_change { BENCH_LOST, BENCH_GAINED, BENCH_NOISE, BENCH_SAME, BENCH_UNJUDGED };

struct bench_pair {
    const struct bench_measure *before, *now;
    double ratio; /* above 1: better now, also where less is better */
    enum bench_change change;
};

struct bench_comparison {
    const char *name; /* of the file, printable */
    const struct bench *before;
    struct bench_pair *pairs;
    size_t num, count[BENCH_UNJUDGED + 1];
};

/* Compare every measure that both have. Warns of what makes them differ by itself. */
bool bench_compare(struct bench_comparison *c, const struct bench *before, const struct bench *now, const char *name,
                   struct blobseal_error *err);
void bench_comparison_free(struct bench_comparison *c);
/* "lost", "gained" ... */
const char *bench_change_name(enum bench_change change);
/* Print what changed; @all: also what only seems to. */
void bench_print_comparison(FILE *to, const struct bench_comparison *c, bool all);

/* ---- bench_table.c, bench_html.c, bench_cards.c, bench_svg.c, bench_css.c: drawing ------------------------------- */

/* The verdict, and what casts doubt on it. */
void bench_print_verdict(FILE *to, const struct bench *b);
/* The table for a terminal; the verdict is its first line. */
void bench_print_table(FILE *to, const struct bench *b);

/* The page. @c may be NULL. */
void bench_print_page(FILE *to, const struct bench *b, const struct bench_comparison *c);

/* Text in HTML: nothing of it is markup. */
void bench_print_escaped(FILE *to, const char *text);

/* A cell of a table, with text, a number with @digits behind the point, or a time. Nothing measured is a dash. */
void bench_put_cell(FILE *to, const char *text);
void bench_put_number(FILE *to, double v, int digits);
void bench_put_time(FILE *to, double seconds);
/* A table begins with its name, for those who cannot see it, and its columns. */
void bench_start_table(FILE *to, const char *label, const char *const *columns, size_t num);
void bench_end_table(FILE *to);

/* Parts of the page; nothing where nothing was measured. */
void bench_put_one_core(FILE *to, const struct bench *b);
void bench_put_threads(FILE *to, const struct bench *b);
void bench_put_sizes(FILE *to, const struct bench *b);
void bench_put_latency(FILE *to, const struct bench *b);
void bench_put_keys(FILE *to, const struct bench *b);

/* Pictures for the page. Each answers false, and prints nothing, where there is too little to draw. */
bool bench_draw_threads(FILE *to, const struct bench *b);
bool bench_draw_sizes(FILE *to, const struct bench *b);
bool bench_draw_bars(FILE *to, const struct bench *b);

extern const char bench_css[];

#endif
