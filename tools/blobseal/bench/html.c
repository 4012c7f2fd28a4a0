/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page that shows how fast a machine seals: HTML without scripts that loads nothing from the network, so that it can
 * be mailed, printed and kept. Every text from the JSON goes through bench_print_escaped().
 */
#include <stdlib.h>
#include <string.h>

#include "tools/blobseal/bench/bench.h"

static void put_tile(FILE *to, const char *title, double value, int digits, const char *unit, const char *note)
{
    if (value <= 0)
        return;
    fprintf(to, "<div><dt>%s</dt><dd><b>%.*f<small> %s</small></b>%s</dd></div>\n", title, digits, value, unit, note);
}

/* ---- Summary and tiles ------------------------------------------------------------------------------------------- */

static void put_core_tiles(FILE *to, const struct bench *b, const struct bench_impl *impl)
{
    double ceiling = bench_figure(b, "ceiling/vaesenc"), rate, hertz;
    const char *kind;
    char note[96];

    hertz = bench_clock(b, &kind);
    for (int open = 0; open <= 1; open++) {
        const struct bench_measure *m = bench_run_of(b, open ? "open" : "seal", impl->name);

        rate = m != NULL ? m->value.median : 0;
        note[0] = '\0';
        if (rate > 0 && hertz > 0)
            (void)snprintf(note, sizeof note, "%.3f cycles per byte", hertz / rate);
        put_tile(to, open ? "One core opens" : "One core seals", rate / 1e9, 2, "GB/s", note);
    }
    rate = bench_figure(b, "aes-256-gcm/seal/%s/run-of-16KiB", impl->name);
    (void)snprintf(note, sizeof note, "AES alone: %.1f GB/s", ceiling / 1e9);
    put_tile(to, "Share of the ceiling", ceiling > 0 ? rate / ceiling : 0, 2, "", note);
}

static void put_tiles(FILE *to, const struct bench *b)
{
    const struct bench_impl *impl = bench_chosen(b);
    uint64_t list[BENCH_LIST];
    size_t num = bench_numbers(b, "pipeline/seal/", list);
    double one = bench_figure(b, "pipeline/seal/threads:1"), rate;
    const struct bench_measure *m;
    char title[64], note[64], size[32], p99[40];

    fputs("<dl class=\"tiles\">\n", to);
    if (impl != NULL)
        put_core_tiles(to, b, impl);
    if (num > 0) {
        unsigned long long n = list[num - 1];

        rate = bench_figure(b, "pipeline/seal/threads:%llu", n);
        (void)snprintf(title, sizeof title, n == 1 ? "%llu thread seals" : "%llu threads seal", n);
        (void)snprintf(note, sizeof note, one > 0 ? "%.2f times one thread" : "in memory", rate / one);
        put_tile(to, title, rate / 1e9, rate < 1e10 ? 2 : 1, "GB/s", note);
    }
    num = bench_numbers(b, "blob/seal/", list);
    m = num > 0 ? bench_find(b, "blob/seal/%llu", (unsigned long long)list[0]) : NULL;
    if (m != NULL) {
        (void)snprintf(title, sizeof title, "Seals a blob of %s in", bench_size(size, list[0]));
        (void)snprintf(note, sizeof note, "p50; p99 is %s",
                       bench_quantity_html(p99, BENCH_UNIT_SECONDS, m->p99.median));
        put_tile(to, title, m->value.median * 1e6, 1, "µs", note);
    }
    fputs("</dl>\n", to);
}

static void put_header(FILE *to, const struct bench *b)
{
    const struct bench_machine *m = &b->machine;
    char text[256];

    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
          "<title>blobseal bench: ",
          to);
    bench_print_escaped(to, m->cpu[0] != '\0' ? m->cpu : "unknown CPU");
    fprintf(to, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<p class=\"brand\">blobseal bench · ",
            bench_css);
    bench_print_escaped(to, m->cpu[0] != '\0' ? m->cpu : "unknown CPU");
    if (m->date[0] != '\0') {
        fputs(" · ", to);
        bench_print_escaped(to, m->date);
    }
    bench_verdict(b, text, sizeof text);
    fputs("</p>\n<h1>", to);
    bench_print_escaped(to, text);
    fputs("</h1>\n", to);
    if (bench_noisy(b, text, sizeof text)) {
        fputs("<p class=\"noisy\"><strong>Noisy:</strong> ", to);
        bench_print_escaped(to, text);
        fputs(". Measure again when the machine is idle before deciding on small differences.</p>\n", to);
    }
    put_tiles(to, b);
}

/* ---- The machine, the comparison, and the rest ------------------------------------------------------------------- */

static void put_fact(FILE *to, const char *name, const char *value)
{
    if (value[0] == '\0')
        return;
    fprintf(to, "<dt>%s</dt><dd>", name);
    bench_print_escaped(to, value);
    fputs("</dd>\n", to);
}

static void put_machine(FILE *to, const struct bench *b)
{
    const struct bench_machine *m = &b->machine;
    char text[256];
    const char *kind;
    double hertz = bench_clock(b, &kind);

    fputs("<section class=\"wide\">\n<h2>The machine</h2>\n<dl class=\"facts\">\n", to);
    put_fact(to, "CPU", m->cpu);
    (void)snprintf(text, sizeof text, "%u for this program%s%s", m->cpus, m->caches[0] != '\0' ? "; caches: " : "",
                   m->caches);
    put_fact(to, "CPUs", text);
    (void)snprintf(text, sizeof text, "%.2f GHz (%s)", hertz / 1e9, kind);
    put_fact(to, "Clock", hertz > 0 ? text : "");
    put_fact(to, "Features", m->features);
    (void)snprintf(text, sizeof text, "AES-GCM: %s%s%s", m->kernel[0] != '\0' ? m->kernel : "unknown",
                   m->xxh3[0] != '\0' ? "; XXH3: " : "", m->xxh3);
    put_fact(to, "Kernels", text);
    (void)snprintf(text, sizeof text, "%s; OPENSSL_ia32cap: %s", m->openssl,
                   m->capabilities[0] != '\0' ? m->capabilities : "empty");
    put_fact(to, "OpenSSL", m->openssl[0] != '\0' ? text : "");
    (void)snprintf(text, sizeof text, "%.2f, %.2f, %.2f (1, 5 and 15 minutes)", m->load[0], m->load[1], m->load[2]);
    put_fact(to, "Load", text);
    put_fact(to, "System", m->release);
    put_fact(to, "Date", m->date);
    put_fact(to, "blobseal", m->version);
    fputs("</dl>\n</section>\n", to);
}

static void put_comparison(FILE *to, const struct bench_comparison *c)
{
    static const char *const columns[] = {"", "", "ratio", "now", "before"};
    char text[40];

    if (c == NULL)
        return;
    fputs("<section class=\"wide\">\n<h2>Compared with ", to);
    bench_print_escaped(to, c->name);
    fprintf(to,
            "</h2>\n<p>%zu measures in both: %zu lost more than 5 %%, %zu gained as much, %zu differ within the noise. "
            "A ratio above 1 is better now.</p>\n",
            c->num, c->count[BENCH_CHANGE_LOST], c->count[BENCH_CHANGE_GAINED], c->count[BENCH_CHANGE_NOISE]);
    if (c->count[BENCH_CHANGE_SAME] < c->num) {
        bench_start_table(to, "Measures that differ", columns, COUNT(columns));
        for (enum bench_change change = BENCH_CHANGE_LOST; change <= BENCH_CHANGE_UNJUDGED; change++)
            for (size_t i = 0; i < c->num; i++) {
                const struct bench_pair *p = &c->pairs[i];

                if (p->change != change || change == BENCH_CHANGE_SAME)
                    continue;
                fputs("<tr><th scope=\"row\">", to);
                bench_print_escaped(to, p->now->name);
                fprintf(to, "</th><td>%s</td><td>%.2f</td>", bench_change_name(change), p->ratio);
                bench_put_cell(to, bench_quantity_html(text, p->now->unit, p->now->value.median));
                bench_put_cell(to, bench_quantity_html(text, p->now->unit, p->before->value.median));
                fputs("</tr>\n", to);
            }
        bench_end_table(to);
    }
    fputs("</section>\n", to);
}

static void put_all(FILE *to, const struct bench *b)
{
    static const char *const columns[] = {"", "median", "lowest", "highest", "spread", "repetitions"};
    char text[40];

    fputs("<section class=\"wide\">\n<details><summary>All measurements</summary>\n", to);
    bench_start_table(to, "All measurements", columns, COUNT(columns));
    for (size_t i = 0; i < b->num; i++) {
        const struct bench_measure *m = &b->measures[i];

        fputs("<tr><th scope=\"row\">", to);
        bench_print_escaped(to, m->name);
        fputs("</th>", to);
        if (m->failed || m->value.num == 0) {
            fputs("<td colspan=\"5\">not measured", to);
            fputs(m->why[0] != '\0' ? ": " : "", to);
            bench_print_escaped(to, m->why);
            fputs("</td></tr>\n", to);
            continue;
        }
        bench_put_cell(to, bench_quantity_html(text, m->unit, m->value.median));
        bench_put_cell(to, bench_quantity_html(text, m->unit, m->value.low));
        bench_put_cell(to, bench_quantity_html(text, m->unit, m->value.high));
        fprintf(to, "<td>%.1f %%</td><td>%zu</td></tr>\n", 100 * m->value.spread, m->value.num);
    }
    bench_end_table(to);
    fputs("</details>\n</section>\n", to);
}

static void put_method(FILE *to)
{
    fputs("<section class=\"wide\">\n<h2>How to reproduce</h2>\n"
          "<pre>blobseal bench --json-out today.json --html today.html\n"
          "blobseal bench --compare today.json</pre>\n"
          "<p class=\"note\">Figures are medians of interleaved repetitions after a warm-up; the spread is their "
          "standard deviation divided by their mean. GB is 10<sup>9</sup> bytes, KiB is 1024. The ceiling is the rate "
          "of the "
          "14 rounds of AES-256 alone, without authentication, loads and stores. It can be exceeded a little: long "
          "runs share two of the rounds. Compare machines only when both were idle.</p>\n</section>\n",
          to);
}

void bench_print_page(FILE *to, const struct bench *b, const struct bench_comparison *c)
{
    put_header(to, b);
    fputs("<div class=\"cards\">\n", to);
    bench_put_threads(to, b);
    bench_put_sizes(to, b);
    bench_put_one_core(to, b);
    bench_put_latency(to, b);
    bench_put_keys(to, b);
    put_machine(to, b);
    put_comparison(to, c);
    put_all(to, b);
    put_method(to);
    fputs("</div>\n</main>\n</body>\n</html>\n", to);
}
