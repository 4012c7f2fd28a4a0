/* SPDX-License-Identifier: Apache-2.0 */
/* What `blobseal bench` prints on a terminal: the summary, the machine, and a table for each group of measurements. */
#include <stdlib.h>
#include <string.h>

#include "tools/blobseal/bench/bench.h"

/* ---- The machine ------------------------------------------------------------------------------------------------- */

static void print_line(FILE *to, const char *label, const char *value)
{
    if (value[0] != '\0')
        fprintf(to, "%-10s %s\n", label, value);
}

static void print_machine(FILE *to, const struct bench *b)
{
    const struct bench_machine *m = &b->machine;
    const char *kind;
    double hertz = bench_clock(b, &kind);

    fprintf(to, "\n%-10s %s, %u CPU%s%s%s\n", "machine", m->cpu[0] != '\0' ? m->cpu : "unknown CPU", m->cpus,
            m->cpus == 1 ? "" : "s", m->caches[0] != '\0' ? ", " : "", m->caches);
    print_line(to, "features", m->features);
    if (hertz > 0)
        fprintf(to, "%-10s %.2f GHz: %s\n", "clock", hertz / 1e9, kind);
    fprintf(to, "%-10s AES-GCM %s%s%s\n", "kernels", m->kernel[0] != '\0' ? m->kernel : "unknown",
            m->xxh3[0] != '\0' ? ", XXH3 " : "", m->xxh3);
    if (m->openssl[0] != '\0')
        fprintf(to, "%-10s %s, OPENSSL_ia32cap %s\n", "OpenSSL", m->openssl,
                m->capabilities[0] != '\0' ? m->capabilities : "empty");
    fprintf(to, "%-10s %s%sload %.2f %.2f %.2f\n", "run", m->date, m->date[0] != '\0' ? ", " : "", m->load[0],
            m->load[1], m->load[2]);
    fprintf(to, "%-10s %s%s\n", "software", m->version[0] != '\0' ? "blobseal " : "", m->version);
}

/* ---- Figures ----------------------------------------------------------------------------------------------------- */

/* Write "0.6 %", with a mark if the figure is unsteady. */
static const char *spread(char buf[32], const struct bench_value *v)
{
    if (v->num < 2)
        (void)snprintf(buf, 32, "?");
    else
        (void)snprintf(buf, 32, "%.1f %%%s", 100 * v->spread, v->spread > BENCH_UNSTEADY ? " noisy" : "");
    return buf;
}

/* Print a line: GB/s, cycles per byte, share of the ceiling, spread. */
static void print_rate(FILE *to, const struct bench *b, const char *label, const struct bench_measure *m)
{
    double ceiling = bench_figure(b, "ceiling/vaesenc"), hertz;
    const char *kind;
    char steady[32], cycles[32] = "-", share[32] = "-";

    if (m == NULL)
        return;
    hertz = bench_clock(b, &kind);
    if (hertz > 0)
        (void)snprintf(cycles, sizeof cycles, "%.3f", hertz / m->value.median);
    if (ceiling > 0 && strncmp(m->name, "aes-256-gcm/", 12) == 0)
        (void)snprintf(share, sizeof share, "%.2f", m->value.median / ceiling);
    fprintf(to, "  %-28s %7.2f %12s %12s   %s\n", label, m->value.median / 1e9, cycles, share,
            spread(steady, &m->value));
}

static void print_runs(FILE *to, const struct bench *b)
{
    static const char *const ways[] = {"seal", "open"};
    const struct bench_impl *chosen = bench_chosen(b);
    char label[64];

    fprintf(to, "\n%-30s %7s %12s %12s   %s\n", "one core, runs of 16 KiB", "GB/s", "cycles/byte", "of ceiling",
            "spread");
    for (size_t v = 0; v < COUNT(ways); v++)
        for (size_t i = 0; i < bench_num_impls; i++) {
            const struct bench_impl *impl = &bench_impls[i];

            (void)snprintf(label, sizeof label, "%s %s%s", ways[v], impl->label, impl == chosen ? " *" : "");
            print_rate(to, b, label, bench_run_of(b, ways[v], impl->name));
        }
    print_rate(to, b, "AES rounds alone: ceiling", bench_find(b, "ceiling/vaesenc"));
    print_rate(to, b, "memcpy, 1 MiB", bench_find(b, "memcpy/1MiB"));
    print_rate(to, b, "memcpy, 64 MiB", bench_find(b, "memcpy/64MiB"));
    print_rate(to, b, "SHA-256, OpenSSL", bench_find(b, "sha256/openssl"));
    print_rate(to, b, "XXH3, libxxhash", bench_find(b, "xxh3/libxxhash"));
    if (chosen != NULL)
        fprintf(to, "  * used on this CPU\n");
}

/* Print a row for each implementation, with a column for each size. */
static void print_sizes(FILE *to, const struct bench *b, const char *verb)
{
    char group[64], size[32];
    uint64_t sizes[BENCH_LIST];
    size_t num;

    (void)snprintf(group, sizeof group, "aes-256-gcm/%s/", verb);
    num = bench_numbers(b, group, sizes);
    if (num == 0)
        return;
    fprintf(to, "\n%s, GB/s by size %*s", verb, 14, "");
    for (size_t s = 0; s < num; s++)
        fprintf(to, " %8s", bench_size(size, sizes[s]));
    fputc('\n', to);
    for (size_t i = 0; i < bench_num_impls; i++) {
        double rates[BENCH_LIST], any = 0;

        for (size_t s = 0; s < num; s++) {
            rates[s] = bench_figure(b, "%s%s/%llu", group, bench_impls[i].name, (unsigned long long)sizes[s]);
            any += rates[s];
        }
        if (any <= 0)
            continue;
        fprintf(to, "  %-30s", bench_impls[i].label);
        for (size_t s = 0; s < num; s++) {
            if (rates[s] > 0)
                fprintf(to, " %8.2f", rates[s] / 1e9);
            else
                fprintf(to, " %8s", "-");
        }
        fputc('\n', to);
    }
}

static void print_threads(FILE *to, const struct bench *b)
{
    uint64_t threads[BENCH_LIST];
    size_t num = bench_numbers(b, "pipeline/", threads);
    double seal1 = bench_figure(b, "pipeline/seal/threads:1"), open1 = bench_figure(b, "pipeline/open/threads:1");

    if (num == 0)
        return;
    fprintf(to, "\n%-17s %12s %7s %8s   %12s %7s %8s\n", "threads, in memory", "seal GB/s", "times", "of ideal",
            "open GB/s", "times", "of ideal");
    for (size_t i = 0; i < num; i++) {
        unsigned long long n = threads[i];
        const double rates[] = {bench_figure(b, "pipeline/seal/threads:%llu", n),
                                bench_figure(b, "pipeline/open/threads:%llu", n)};
        const double ones[] = {seal1, open1};

        fprintf(to, "  %-16llu", n);
        for (size_t v = 0; v < COUNT(rates); v++) {
            if (rates[v] > 0 && ones[v] > 0)
                fprintf(to, "%s %12.2f %7.2f %8.2f", v > 0 ? "  " : "", rates[v] / 1e9, rates[v] / ones[v],
                        rates[v] / ones[v] / (double)n);
            else
                fprintf(to, "%s %12.2f %7s %8s", v > 0 ? "  " : "", rates[v] / 1e9, "-", "-");
        }
        fputc('\n', to);
    }
}

/* ---- Operations -------------------------------------------------------------------------------------------------- */

static void print_latency(FILE *to, const struct bench *b)
{
    static const char *const ways[] = {"seal", "open"};
    uint64_t sizes[BENCH_LIST];
    size_t num = bench_numbers(b, "blob/", sizes);
    char label[64], size[32], p50[32], p99[32], steady[32];

    if (num == 0)
        return;
    fprintf(to, "\n%-30s %10s %10s %10s   %s\n", "small blobs, key loaded", "p50", "p99", "blobs/s", "spread");
    for (size_t s = 0; s < num; s++)
        for (size_t v = 0; v < COUNT(ways); v++) {
            const struct bench_measure *m = bench_find(b, "blob/%s/%llu", ways[v], (unsigned long long)sizes[s]);

            if (m == NULL)
                continue;
            (void)snprintf(label, sizeof label, "%s %s", ways[v], bench_size(size, sizes[s]));
            fprintf(to, "  %-28s %10s %10s %10.0f   %s\n", label,
                    bench_quantity(p50, BENCH_UNIT_SECONDS, m->value.median),
                    m->p99.num > 0 ? bench_quantity(p99, BENCH_UNIT_SECONDS, m->p99.median) : "-", 1 / m->value.median,
                    spread(steady, &m->value));
        }
}

static void print_keys(FILE *to, const struct bench *b)
{
    static const char *const ways[] = {"wrap", "unwrap"};
    uint64_t bits[BENCH_LIST];
    size_t num = bench_numbers(b, "rsa/", bits);
    char label[64], time[32], steady[32];

    if (num == 0)
        return;
    fprintf(to, "\n%-30s %10s %10s   %s\n", "RSA-OAEP, one core", "time", "per second", "spread");
    for (size_t v = 0; v < COUNT(ways); v++)
        for (size_t i = 0; i < num; i++) {
            const struct bench_measure *m = bench_find(b, "rsa/%s/%llu", ways[v], (unsigned long long)bits[i]);

            if (m == NULL)
                continue;
            (void)snprintf(label, sizeof label, "%s a data key, %llu bits", ways[v], (unsigned long long)bits[i]);
            fprintf(to, "  %-28s %10s %10.0f   %s\n", label, bench_quantity(time, BENCH_UNIT_SECONDS, bench_seconds(m)),
                    1 / bench_seconds(m), spread(steady, &m->value));
        }
}

static void print_failed(FILE *to, const struct bench *b)
{
    for (size_t i = 0; i < b->num; i++)
        if (b->measures[i].failed)
            fprintf(to, "not measured: %s%s%s\n", b->measures[i].name, b->measures[i].why[0] != '\0' ? ": " : "",
                    b->measures[i].why);
}

void bench_print_verdict(FILE *to, const struct bench *b)
{
    char text[256];

    bench_verdict(b, text, sizeof text);
    fprintf(to, "%s\n", text);
    if (bench_noisy(b, text, sizeof text))
        fprintf(to, "noisy: %s\n", text);
}

void bench_print_table(FILE *to, const struct bench *b)
{
    bench_print_verdict(to, b);
    print_machine(to, b);
    print_runs(to, b);
    print_sizes(to, b, "seal");
    print_sizes(to, b, "open");
    print_threads(to, b);
    print_latency(to, b);
    print_keys(to, b);
    fputc('\n', to);
    fputs("Figures are medians of repetitions; the spread is the standard deviation divided by the mean. GB is 10^9 "
          "bytes.\n",
          to);
    print_failed(to, b);
}
