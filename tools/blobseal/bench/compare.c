/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparing a measurement with an earlier one. A loss is a median that is more than 5 % worse and not caused by noise:
 * the worst repetition of the earlier run is still better than the best of this run. With five repetitions on each side
 * chance alone leads to that once in 252 times, whatever the distribution of the noise.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/blobseal/bench/bench.h"

#define MIN_REPEATS 3 /* fewer do not show the noise */

/* ---- Judging ----------------------------------------------------------------------------------------------------- */

static const struct bench_measure *same_name(const struct bench *b, const char *name)
{
    for (size_t i = 0; i < b->num; i++)
        if (b->measures[i].value.num > 0 && !b->measures[i].failed && strcmp(b->measures[i].name, name) == 0)
            return &b->measures[i];
    return NULL;
}

/* Return true if every repetition of @worse is worse than every one of @better. */
static bool apart(enum bench_unit unit, const struct bench_value *worse, const struct bench_value *better)
{
    return unit == BENCH_UNIT_SECONDS ? worse->low > better->high : worse->high < better->low;
}

static enum bench_change judge(enum bench_unit unit, const struct bench_value *before, const struct bench_value *now,
                               double ratio)
{
    if (ratio >= BENCH_LOSS && ratio <= 1 / BENCH_LOSS)
        return BENCH_CHANGE_SAME;
    if (before->num < MIN_REPEATS || now->num < MIN_REPEATS)
        return BENCH_CHANGE_UNJUDGED;
    if (ratio < 1)
        return apart(unit, now, before) ? BENCH_CHANGE_LOST : BENCH_CHANGE_NOISE;
    return apart(unit, before, now) ? BENCH_CHANGE_GAINED : BENCH_CHANGE_NOISE;
}

static void pair_up(struct bench_comparison *c, const struct bench_measure *before, const struct bench_measure *now)
{
    struct bench_pair *p = &c->pairs[c->num++];
    double ratio = now->value.median / before->value.median;

    *p = (struct bench_pair){before, now, now->unit == BENCH_UNIT_SECONDS ? 1 / ratio : ratio, BENCH_CHANGE_SAME};
    p->change = judge(now->unit, &before->value, &now->value, p->ratio);
    c->count[p->change]++;
}

/* ---- Other causes of differences --------------------------------------------------------------------------------- */

static void warn_of_machine(const struct ui *ui, const struct bench_machine *before, const struct bench_machine *now,
                            const char *name)
{
    const struct {
        const char *what, *before, *now;
    } texts[] = {
        {"CPU", before->cpu, now->cpu},
        {"AES-GCM kernel", before->kernel, now->kernel},
        {"XXH3 kernel", before->xxh3, now->xxh3},
        {"OpenSSL", before->openssl, now->openssl},
        {"OPENSSL_ia32cap", before->capabilities, now->capabilities},
        {"system kernel", before->release, now->release},
        {"build", before->build, now->build},
    };

    for (size_t i = 0; i < COUNT(texts); i++)
        if (strcmp(texts[i].before, texts[i].now) != 0)
            warn(ui, "another %s than in %s: %s, there %s", texts[i].what, name,
                 texts[i].now[0] != '\0' ? texts[i].now : "unknown",
                 texts[i].before[0] != '\0' ? texts[i].before : "unknown");
    if (before->cpus != now->cpus)
        warn(ui, "another number of CPUs than in %s: %u, there %u", name, now->cpus, before->cpus);
}

/* Warn if the clock rate differs: it is a condition of the measurement, not a result. */
static void warn_of_clock(const struct ui *ui, const struct bench *before, const struct bench *now, const char *name)
{
    double ratio, was = bench_figure(before, "clock/add-chain"), is = bench_figure(now, "clock/add-chain");

    if (was <= 0 || is <= 0)
        return;
    ratio = is / was;
    if (ratio < 0.98 || ratio > 1.02)
        warn(ui, "the clock ran at %.2f times that in %s: %.2f GHz, there %.2f", ratio, name, is / 1e9, was / 1e9);
}

bool bench_compare(const struct ui *ui, struct bench_comparison *c, const struct bench *before, const struct bench *now,
                   const char *name, struct blobseal_error *err)
{
    *c = (struct bench_comparison){.name = name, .before = before};
    c->pairs = calloc(now->num, sizeof *c->pairs);
    if (c->pairs == NULL)
        return fail(err, BLOBSEAL_E_NOMEM, 0, "compare with %s: no memory", name);
    for (size_t i = 0; i < now->num; i++) {
        const struct bench_measure *m = &now->measures[i], *old = same_name(before, m->name);

        if (old != NULL && m->value.num > 0 && !m->failed && m->unit == old->unit && strncmp(m->name, "clock/", 6) != 0)
            pair_up(c, old, m);
    }
    if (c->num == 0) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s has no measure in common with this run", name);
        blobseal_hint(err, "compare with a file that was made with the same --sizes and --threads");
        return false;
    }
    warn_of_machine(ui, &before->machine, &now->machine, name);
    warn_of_clock(ui, before, now, name);
    return true;
}

void bench_comparison_free(struct bench_comparison *c)
{
    free(c->pairs);
    *c = (struct bench_comparison){0};
}

/* ---- Printing ---------------------------------------------------------------------------------------------------- */

const char *bench_change_name(enum bench_change change)
{
    static const char *const names[] = {"lost", "gained", "within the noise", "the same", "too few repetitions"};

    return names[change];
}

static void print_pair(FILE *to, const struct bench_pair *p)
{
    char before[32], now[32];

    fprintf(to, "  %-19s %5.2f  %-42s %s, before %s\n", bench_change_name(p->change), p->ratio, p->now->name,
            bench_quantity(now, p->now->unit, p->now->value.median),
            bench_quantity(before, p->now->unit, p->before->value.median));
}

void bench_print_comparison(FILE *to, const struct bench_comparison *c, bool all)
{
    if (all)
        fprintf(to, "\ncompared with %s of %s: %zu measures in both, %zu lost more than 5 %%, %zu gained as much\n",
                c->name, c->before->machine.date[0] != '\0' ? c->before->machine.date : "unknown date", c->num,
                c->count[BENCH_CHANGE_LOST], c->count[BENCH_CHANGE_GAINED]);
    for (enum bench_change change = BENCH_CHANGE_LOST; change <= BENCH_CHANGE_UNJUDGED; change++)
        for (size_t i = 0; i < c->num; i++)
            if (c->pairs[i].change == change && (change == BENCH_CHANGE_LOST || (all && change != BENCH_CHANGE_SAME)))
                print_pair(to, &c->pairs[i]);
}
