/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the JSON of blobseal-bench: that of Google Benchmark, with more facts about the machine in its context. A
 * file can be from anywhere, so every member can be missing, of another type, or nonsense. Median and spread are
 * computed from the repetitions; if a file has only aggregates, those are used.
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/blobseal/bench/bench.h"

#define MAX_MEASURES 1000
#define MAX_REPEATS  64
#define MAX_ENTRIES  50000

/* The repetitions of one figure. */
struct series {
    double at[MAX_REPEATS];
    size_t num;
    double median, stddev; /* as aggregates; 0: none */
    size_t repetitions;    /* from which these were computed */
};

struct draft {
    struct bench_measure m;
    struct series value, p99;
};

struct drafts {
    struct draft *at;
    size_t num;
};

/* ---- Members ----------------------------------------------------------------------------------------------------- */

/* Return the number if it can have been measured, that is, if it is finite and above zero; otherwise 0. */
static double number(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);
    double d = json_is_number(v) ? json_number_value(v) : 0;

    return isfinite(d) && d > 0 ? d : 0;
}

static const char *text(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));

    return s != NULL ? s : "";
}

/* ---- The machine ------------------------------------------------------------------------------------------------- */

/* Write "L1d 48 KiB, L2 2 MiB": the caches for data. */
static void take_caches(struct bench_machine *m, const json_t *caches)
{
    const json_t *cache;
    size_t i;

    json_array_foreach(caches, i, cache)
    {
        double level = number(cache, "level"), size = number(cache, "size");
        size_t used = strlen(m->caches);
        char human[32];

        if (strcmp(text(cache, "type"), "Instruction") == 0 || level > 9 || size < 1 || size > 1e12)
            continue;
        (void)snprintf(m->caches + used, sizeof m->caches - used, "%sL%.0f%s %s", used > 0 ? ", " : "", level,
                       strcmp(text(cache, "type"), "Data") == 0 ? "d" : "", bench_size(human, (uint64_t)size));
    }
}

static void take_machine(struct bench_machine *m, const json_t *context)
{
    const struct {
        char *to;
        size_t cap;
        const char *name;
    } texts[] = {
        {m->date, sizeof m->date, "date"},
        {m->cpu, sizeof m->cpu, "cpu_model"},
        {m->features, sizeof m->features, "cpu_features"},
        {m->kernel, sizeof m->kernel, "kernel"},
        {m->xxh3, sizeof m->xxh3, "xxh3"},
        {m->openssl, sizeof m->openssl, "openssl"},
        {m->capabilities, sizeof m->capabilities, "openssl_ia32cap"},
        {m->release, sizeof m->release, "kernel_release"},
        {m->version, sizeof m->version, "blobseal_version"},
        {m->build, sizeof m->build, "library_build_type"},
    };
    const json_t *load = json_object_get(context, "load_avg");
    double cpus = number(context, "num_cpus");

    for (size_t i = 0; i < COUNT(texts); i++)
        (void)printable(texts[i].to, texts[i].cap, text(context, texts[i].name));
    m->cpus = cpus < 1e6 ? (unsigned)cpus : 0;
    m->mhz = number(context, "mhz_per_cpu");
    for (size_t i = 0; i < COUNT(m->load); i++) {
        double v = json_number_value(json_array_get(load, i));

        m->load[i] = isfinite(v) && v > 0 && v < 1e6 ? v : 0;
    }
    take_caches(m, json_object_get(context, "caches"));
}

/* ---- The measures ------------------------------------------------------------------------------------------------ */

/* Read the figure of an entry: a rate per second, or seconds; for a latency its percentiles. 0: none. */
static enum bench_unit figure(const json_t *entry, double *value, double *p99)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};
    double time = number(entry, "real_time");

    *p99 = number(entry, "p99_us") * 1e-6;
    *value = number(entry, "p50_us") * 1e-6;
    if (*value > 0)
        return BENCH_UNIT_SECONDS;
    *p99 = 0;
    *value = number(entry, "bytes_per_second");
    if (*value > 0)
        return BENCH_UNIT_BYTES;
    *value = number(entry, "items_per_second");
    if (*value > 0)
        return BENCH_UNIT_ITEMS;
    for (size_t i = 0; i < COUNT(units); i++)
        if (strcmp(text(entry, "time_unit"), units[i].name) == 0)
            *value = time * units[i].seconds;
    return BENCH_UNIT_SECONDS;
}

static void add(struct series *s, const json_t *entry, double value)
{
    const char *aggregate = text(entry, "aggregate_name");
    double repetitions = number(entry, "repetitions");

    if (value <= 0)
        return;
    if (strcmp(text(entry, "run_type"), "aggregate") != 0) {
        if (s->num < MAX_REPEATS)
            s->at[s->num++] = value;
    } else if (strcmp(aggregate, "median") == 0) {
        s->median = value;
        s->repetitions = repetitions < 1e6 ? (size_t)repetitions : 0;
    } else if (strcmp(aggregate, "stddev") == 0) {
        s->stddev = value;
    }
}

/* Return the draft with that name; add it if there is none. Return NULL if there are too many. */
static struct draft *draft_of(struct drafts *d, const char *name)
{
    for (size_t i = 0; i < d->num; i++)
        if (strcmp(d->at[i].m.name, name) == 0)
            return &d->at[i];
    if (d->num == MAX_MEASURES)
        return NULL;
    d->at[d->num] = (struct draft){0};
    (void)snprintf(d->at[d->num].m.name, BENCH_NAME, "%s", name);
    return &d->at[d->num++];
}

/* Copy the name of an entry: printable, without the suffix of entries that are timed by wall-clock time. */
static bool take_name(char name[BENCH_NAME], const char *given)
{
    static const char mark[] = "/real_time";
    size_t len = strlen(given);

    if (len >= sizeof mark && strcmp(given + len - (sizeof mark - 1), mark) == 0)
        len -= sizeof mark - 1;
    if (len >= BENCH_NAME)
        return false;
    (void)snprintf(name, BENCH_NAME, "%.*s", (int)len, given);
    blobseal_make_printable(name);
    return true;
}

/* Add @entry to its draft. Return false if it is not an entry of Google Benchmark. */
static bool take_entry(struct drafts *d, const json_t *entry)
{
    const char *run = json_string_value(json_object_get(entry, "run_name"));
    const char *given = run != NULL ? run : json_string_value(json_object_get(entry, "name"));
    char name[BENCH_NAME];
    double value, p99;
    enum bench_unit unit;
    struct draft *draft;

    if (given == NULL)
        return false;
    draft = take_name(name, given) ? draft_of(d, name) : NULL;
    if (draft == NULL) /* the name is too long for a measure of ours, or there are too many measures */
        return true;
    if (json_is_true(json_object_get(entry, "error_occurred"))) {
        draft->m.failed = true;
        (void)printable(draft->m.why, sizeof draft->m.why, text(entry, "error_message"));
        return true;
    }
    unit = figure(entry, &value, &p99);
    if (draft->value.num == 0 && draft->value.median <= 0)
        draft->m.unit = unit;
    if (draft->m.unit == unit) {
        add(&draft->value, entry, value);
        add(&draft->p99, entry, p99);
    }
    return true;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static struct bench_value summarise(struct series *s)
{
    double sum = 0, squares = 0, mean;
    size_t n = s->num;

    if (n == 0) {
        if (s->median <= 0)
            return (struct bench_value){0};
        return (struct bench_value){.median = s->median,
                                    .low = s->median - 2 * s->stddev,
                                    .high = s->median + 2 * s->stddev,
                                    .spread = s->stddev / s->median,
                                    .num = s->repetitions > 0 ? s->repetitions : 1};
    }
    qsort(s->at, n, sizeof s->at[0], ascending);
    for (size_t i = 0; i < n; i++)
        sum += s->at[i] / (double)n;
    mean = sum;
    for (size_t i = 0; i < n; i++)
        squares += (s->at[i] / mean - 1) * (s->at[i] / mean - 1);
    return (struct bench_value){.median = n % 2 == 1 ? s->at[n / 2] : s->at[n / 2 - 1] / 2 + s->at[n / 2] / 2,
                                .low = s->at[0],
                                .high = s->at[n - 1],
                                .spread = n > 1 ? sqrt(squares / (double)(n - 1)) : 0,
                                .num = n};
}

/* ---- The file ---------------------------------------------------------------------------------------------------- */

static bool take(struct bench *b, struct drafts *d, const json_t *root)
{
    const json_t *entries = json_object_get(root, "benchmarks"), *entry;
    size_t i;

    if (!json_is_object(json_object_get(root, "context")) || !json_is_array(entries) ||
        json_array_size(entries) > MAX_ENTRIES)
        return false;
    take_machine(&b->machine, json_object_get(root, "context"));
    json_array_foreach(entries, i, entry) if (!take_entry(d, entry)) return false;
    for (i = 0; i < d->num; i++) {
        b->measures[i] = d->at[i].m;
        b->measures[i].value = summarise(&d->at[i].value);
        b->measures[i].p99 = summarise(&d->at[i].p99);
    }
    b->num = d->num;
    return b->num > 0;
}

bool bench_parse(struct bench *b, const struct bench_text *text, const char *origin, enum blobseal_status status,
                 struct blobseal_error *err)
{
    struct drafts d = {0};
    json_error_t where;
    json_t *root = NULL;
    bool ok = false;

    *b = (struct bench){0};
    d.at = malloc(MAX_MEASURES * sizeof *d.at);
    b->measures = malloc(MAX_MEASURES * sizeof *b->measures);
    if (d.at == NULL || b->measures == NULL) {
        (void)fail(err, BLOBSEAL_E_NOMEM, 0, "read %s: no memory", origin);
        goto out;
    }
    root = json_loadb(text->data, text->len, JSON_DECODE_INT_AS_REAL, &where);
    ok = root != NULL && take(b, &d, root);
    if (root == NULL)
        (void)fail(err, status, 0, "%s is not JSON: line %d: %s", origin, where.line, where.text);
    else if (!ok)
        (void)fail(err, status, 0, "%s is JSON, but not what blobseal-bench writes", origin);
    if (!ok)
        blobseal_hint(err, "blobseal bench --json-out FILE makes such a file");
out:
    json_decref(root);
    free(d.at);
    if (!ok)
        bench_free(b);
    return ok;
}

void bench_free(struct bench *b)
{
    free(b->measures);
    *b = (struct bench){0};
}
