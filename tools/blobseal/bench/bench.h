/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of `blobseal bench`: run blobseal-bench, read its results, and show them. */
#ifndef BLOBSEAL_TOOLS_BENCH_H
#define BLOBSEAL_TOOLS_BENCH_H

#include "tools/common/common.h"
#include "tools/common/files.h"

/* ---- run.c: the program blobseal-bench --------------------------------------------------------------------------- */

/* The options that are passed on to blobseal-bench. */
struct bench_plan {
    bool quick;
    char threads[128]; /* "1,2,4"; empty: the default of blobseal-bench */
    char sizes[256];
};

/* The JSON text. Release data with free(). */
struct bench_text {
    char *data;
    size_t len;
};

/* Run blobseal-bench, show its progress, and read all of its standard output. */
bool bench_measure(const struct ui *ui, const struct bench_plan *plan, struct progress *progress,
                   struct bench_text *text, struct blobseal_error *err);

/* Read a file that contains the output of blobseal-bench. */
bool bench_read(const struct input *in, struct bench_text *text, struct blobseal_error *err);

/* ---- data.c: what it measured ------------------------------------------------------------------------------------ */

#define BENCH_NAME 96

/* A figure, summarised over its repetitions. */
struct bench_value {
    double median, low, high;
    double spread; /* standard deviation divided by the mean */
    size_t num;    /* repetitions; 0: not measured */
};

enum bench_unit {
    BENCH_UNIT_BYTES,
    BENCH_UNIT_ITEMS,
    BENCH_UNIT_SECONDS
}; /* the first two per second: more is better */

struct bench_measure {
    char name[BENCH_NAME];
    char why[BENCH_NAME]; /* why it was not measured */
    enum bench_unit unit;
    bool failed;
    struct bench_value value; /* for a latency the 50th percentile */
    struct bench_value p99;   /* for a latency only                */
};

/* What the program reports about the machine. Texts are printable, and empty if unknown. */
struct bench_machine {
    char date[48], cpu[128], features[512], kernel[32], xxh3[32], openssl[96], capabilities[96], release[96],
        version[32], build[32], caches[128];
    unsigned cpus;  /* 0: unknown */
    double load[3]; /* of 1, 5 and 15 minutes */
    double mhz;     /* as the system reports it; 0: unknown */
};

struct bench {
    struct bench_machine machine;
    struct bench_measure *measures;
    size_t num;
};

/*
 * Parse the text that came from @origin, a file or the program. Errors: @status if the text is not such JSON; E_NOMEM.
 */
bool bench_parse(struct bench *b, const struct bench_text *text, const char *origin, enum blobseal_status status,
                 struct blobseal_error *err);
void bench_free(struct bench *b);

/* ---- view.c: values derived from it ------------------------------------------------------------------------------ */

#define BENCH_LIST 24 /* the longest list of sizes, threads or implementations that is shown */

/* The implementations of AES-256-GCM, in the order in which they are shown. */
struct bench_impl {
    const char *name, *label;
    bool peer; /* measured for comparison, never used by blobseal */
};
extern const struct bench_impl bench_impls[];
extern const size_t bench_num_impls;

/* Return the measure with the formatted name, or NULL if it was not measured. */
const struct bench_measure *bench_find(const struct bench *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Return the median of the measure with the formatted name, or 0 if it was not measured. */
double bench_figure(const struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Return the seconds that one operation takes, from a time or a rate; 0 for NULL. */
double bench_seconds(const struct bench_measure *m);

/*
 * Collect the numbers at the end of the names that start with @group, such as 4 from pipeline/seal/threads:4. Each
 * number is returned once, in ascending order.
 */
size_t bench_numbers(const struct bench *b, const char *group, uint64_t out[BENCH_LIST]);

/*
 * Return the implementation that blobseal uses on the measured machine: the one that @b names as the kernel, or else
 * the fastest one measured. NULL if unknown.
 */
const struct bench_impl *bench_chosen(const struct bench *b);

/* Return the cycles per second and describe their kind; 0 and "" if unknown. */
double bench_clock(const struct bench *b, const char **kind);

/* Return the measure of @verb, seal or open, on runs of 16 KiB chunks with @impl. NULL: not measured. */
const struct bench_measure *bench_run_of(const struct bench *b, const char *verb, const char *impl);

/* A figure with a larger spread is called unsteady. */
#define BENCH_UNSTEADY 0.05

/* Write one sentence that summarises the results. */
void bench_verdict(const struct bench *b, char *buf, size_t cap);
/* Write why the figures should not be trusted. Return false if there is no reason. */
bool bench_noisy(const struct bench *b, char *buf, size_t cap);

/* "16 KiB", "1000 B" */
const char *bench_size(char buf[32], uint64_t bytes);
/* A median with its unit: "10.21 GB/s", "45.2 us". */
const char *bench_quantity(char buf[32], enum bench_unit unit, double value);

/* ---- compare.c: comparing with an earlier run -------------------------------------------------------------------- */

/* A loss is a ratio below this. */
#define BENCH_LOSS 0.95

enum bench_change {
    BENCH_CHANGE_LOST,
    BENCH_CHANGE_GAINED,
    BENCH_CHANGE_NOISE,
    BENCH_CHANGE_SAME,
    BENCH_CHANGE_UNJUDGED
};

struct bench_pair {
    const struct bench_measure *before, *now;
    double ratio; /* above 1: better now, also for times */
    enum bench_change change;
};

struct bench_comparison {
    const char *name; /* of the file, printable */
    const struct bench *before;
    struct bench_pair *pairs;
    size_t num, count[BENCH_CHANGE_UNJUDGED + 1];
};

/*
 * Compare every measure that is in both runs. Warn of other causes of differences, such as another CPU. @name is the
 * name of the file with the earlier run.
 */
bool bench_compare(const struct ui *ui, struct bench_comparison *c, const struct bench *before, const struct bench *now,
                   const char *name, struct blobseal_error *err);
void bench_comparison_free(struct bench_comparison *c);
/* "lost", "gained" ... */
const char *bench_change_name(enum bench_change change);
/* Print the losses; @all: all differences. */
void bench_print_comparison(FILE *to, const struct bench_comparison *c, bool all);

/* ---- table.c, html.c, cards.c, svg.c, css.c, markup.c: drawing --------------------------------------------------- */

/* Print the summary, and what makes it doubtful. */
void bench_print_verdict(FILE *to, const struct bench *b);
/* Print the table for a terminal; the summary is its first line. */
void bench_print_table(FILE *to, const struct bench *b);

/* Print the page. @c may be NULL. */
void bench_print_page(FILE *to, const struct bench *b, const struct bench_comparison *c);

/* Print text in HTML so that nothing in it is markup. */
void bench_print_escaped(FILE *to, const char *text);

/* Write a quantity as bench_quantity() does, with the proper sign for micro. Return @buf. */
const char *bench_quantity_html(char buf[40], enum bench_unit unit, double v);

/* Print a cell of a table: text, a number with @digits after the decimal point, or a time. 0 is printed as a dash. */
void bench_put_cell(FILE *to, const char *text);
void bench_put_number(FILE *to, double v, int digits);
void bench_put_time(FILE *to, double seconds);
/* Start a table with its name (for screen readers) and its columns. */
void bench_start_table(FILE *to, const char *label, const char *const *columns, size_t num);
void bench_end_table(FILE *to);

/* Print parts of the page; nothing if nothing was measured. */
void bench_put_one_core(FILE *to, const struct bench *b);
void bench_put_threads(FILE *to, const struct bench *b);
void bench_put_sizes(FILE *to, const struct bench *b);
void bench_put_latency(FILE *to, const struct bench *b);
void bench_put_keys(FILE *to, const struct bench *b);

/* Print a picture for the page. Return false, and print nothing, if there is too little to draw. */
bool bench_draw_threads(FILE *to, const struct bench *b);
bool bench_draw_sizes(FILE *to, const struct bench *b);
bool bench_draw_bars(FILE *to, const struct bench *b);

extern const char bench_css[];

#endif
