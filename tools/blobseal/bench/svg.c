/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pictures of the page, as SVG in HTML. Lines differ in their marks and dashes, not only in colour; every picture
 * has a title and a description, and its figures are in a table next to it. Coordinates are those of the viewBox, which
 * is 420 units wide, so that text is readable on small and on large screens.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/blobseal/bench/bench.h"

#define WIDTH 420.0

/* ---- Axes -------------------------------------------------------------------------------------------------------- */

struct plot {
    FILE *to;
    double left, top, width, height;
    double max, step; /* of the y axis, in GB/s */
};

static double y_of(const struct plot *p, double value)
{
    return p->top + p->height * (1 - value / p->max);
}

static void scale_to(struct plot *p, double most)
{
    static const double steps[] = {1, 2, 5, 10};
    double unit = pow(10, floor(log10(most / 4)));
    size_t i = 0;

    while (i + 1 < COUNT(steps) && steps[i] * unit < most / 4.5)
        i++;
    p->step = steps[i] * unit;
    p->max = p->step * ceil(most / p->step);
}

static void start(FILE *to, const char *id, const char *title, double height)
{
    fprintf(to,
            "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-labelledby=\"%s-title %s-desc\">\n"
            "<title id=\"%s-title\">%s</title>\n<desc id=\"%s-desc\">",
            WIDTH, height, id, id, id, title, id);
}

static void put_text(FILE *to, double x, double y, const char *classes, const char *text)
{
    fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, classes);
    bench_print_escaped(to, text);
    fputs("</text>\n", to);
}

static void put_value(FILE *to, double x, double y, const char *classes, double bytes)
{
    char text[32];

    (void)snprintf(text, sizeof text, bytes < 9.995e9 ? "%.2f" : "%.1f", bytes / 1e9);
    put_text(to, x, y, classes, text);
}

static void put_axis(const struct plot *p)
{
    long num = lround(p->max / p->step);
    char text[32];

    for (long i = 0; i <= num; i++) {
        double v = (double)i * p->step;

        fprintf(p->to, "<path class=\"%s\" d=\"M%.1f %.1fh%.1f\"/>\n", i > 0 ? "grid" : "axis", p->left, y_of(p, v),
                p->width);
        (void)snprintf(text, sizeof text, "%g", v);
        put_text(p->to, p->left - 6, y_of(p, v) + 4, "end small", text);
    }
    put_text(p->to, 4, p->top - 14, "small", "GB/s");
}

/* Draw one of six marks, by which lines can be told apart without colours. */
static void put_mark(FILE *to, size_t form, double x, double y)
{
    static const char *const paths[] = {
        "m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
        "m-4 -4h8v8h-8z",
        "m0 -5.2l5 8.6h-10z",
        "m0 -5.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z",
        "m0 5.2l5 -8.6h-10z",
        "m-5 -1.6h3.4v-3.4h3.2v3.4h3.4v3.2h-3.4v3.4h-3.2v-3.4h-3.4z",
    };

    fprintf(to, "<path class=\"mark m%zu\" d=\"M%.1f %.1f%s\"/>\n", form, x, y, paths[form % COUNT(paths)]);
}

/* ---- Throughput by threads --------------------------------------------------------------------------------------- */

struct scaling {
    struct plot p;
    const struct bench *b;
    uint64_t threads[BENCH_LIST];
    size_t num;
};

static double rate_of(const struct scaling *s, const char *verb, size_t i)
{
    return bench_figure(s->b, "pipeline/%s/threads:%llu", verb, (unsigned long long)s->threads[i]);
}

static double x_of_threads(const struct scaling *s, size_t i)
{
    return s->p.left + s->p.width * (double)s->threads[i] / (double)s->threads[s->num - 1];
}

/*
 * Draw the line of a verb, its marks, and figures as far as there is room: from the right, because the last matters
 * most. At each point the figure of the faster verb is above it, the other one is below its own point.
 */
static void put_scaling(const struct scaling *s, const char *verb, const char *other, size_t form)
{
    double next = 2 * WIDTH;
    char pen = 'M';

    fprintf(s->p.to, "<path class=\"line m%zu\" d=\"", form);
    for (size_t i = 0; i < s->num; i++)
        if (rate_of(s, verb, i) > 0) {
            fprintf(s->p.to, "%c%.1f %.1f", pen, x_of_threads(s, i), y_of(&s->p, rate_of(s, verb, i) / 1e9));
            pen = 'L';
        }
    if (pen == 'M')
        fputs("M0 0", s->p.to);
    fputs("\"/>\n", s->p.to);
    for (size_t i = s->num; i-- > 0;) {
        double rate = rate_of(s, verb, i), x = x_of_threads(s, i), y = y_of(&s->p, rate / 1e9);
        bool below = rate < rate_of(s, other, i) || (rate == rate_of(s, other, i) && form > 0);

        if (rate <= 0)
            continue;
        put_mark(s->p.to, form, x, y);
        if (x > next - 38 || y > s->p.top + s->p.height - 28)
            continue; /* the figure is in the table */
        put_value(s->p.to, below ? x + 7 : x - 7, below ? y + 16 : y - 8, below ? "value" : "value end", rate);
        next = x;
    }
}

static void describe_threads(const struct scaling *s)
{
    char rate[32];

    for (size_t i = 0; i < s->num; i++)
        if (rate_of(s, "seal", i) > 0)
            fprintf(s->p.to, "%s%llu thread%s: seals %s", i > 0 ? "; " : "", (unsigned long long)s->threads[i],
                    s->threads[i] == 1 ? "" : "s", bench_quantity(rate, BENCH_UNIT_BYTES, rate_of(s, "seal", i)));
    fputs(".</desc>\n", s->p.to);
}

static void put_thread_ticks(const struct scaling *s)
{
    double next = 2 * WIDTH, bottom = s->p.top + s->p.height;
    char text[32];

    for (size_t i = s->num; i-- > 0;) {
        double x = x_of_threads(s, i);

        if (x > next - 24)
            continue;
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)s->threads[i]);
        fprintf(s->p.to, "<path class=\"axis\" d=\"M%.1f %.1fv5\"/>\n", x, bottom);
        put_text(s->p.to, x, bottom + 19, "mid small", text);
        next = x;
    }
    put_text(s->p.to, s->p.left + s->p.width / 2, bottom + 37, "mid small", "threads");
}

static void put_thread_legend(const struct scaling *s)
{
    static const struct {
        double x;
        const char *text;
    } parts[] = {{60, "seal"}, {126, "open"}, {210, "ideal: threads × one"}};

    for (size_t i = 0; i < COUNT(parts); i++) {
        if (i == 2)
            fprintf(s->p.to, "<path class=\"ideal\" d=\"M%.1f 16h24\"/>\n", parts[i].x - 20);
        else
            put_mark(s->p.to, i, parts[i].x, 16);
        put_text(s->p.to, parts[i].x + 11, 20, "", parts[i].text);
    }
}

bool bench_draw_threads(FILE *to, const struct bench *b)
{
    struct scaling s = {.p = {.to = to, .left = 40, .top = 48, .width = 330, .height = 216}, .b = b};
    double one = bench_figure(b, "pipeline/seal/threads:1"), most;

    s.num = bench_numbers(b, "pipeline/", s.threads);
    if (s.num < 2 || one <= 0)
        return false;
    most = one * (double)s.threads[s.num - 1];
    for (size_t i = 0; i < s.num; i++)
        most = fmax(most, fmax(rate_of(&s, "seal", i), rate_of(&s, "open", i)));
    scale_to(&s.p, most / 1e9);
    start(to, "threads", "Throughput by threads, with the ideal line", 312);
    describe_threads(&s);
    put_axis(&s.p);
    put_thread_ticks(&s);
    fprintf(to, "<path class=\"ideal\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", s.p.left, s.p.top + s.p.height,
            s.p.left + s.p.width, y_of(&s.p, one * (double)s.threads[s.num - 1] / 1e9));
    put_scaling(&s, "open", "seal", 1);
    put_scaling(&s, "seal", "open", 0);
    put_thread_legend(&s);
    fputs("</svg>\n", to);
    return true;
}

/* ---- Throughput by size ------------------------------------------------------------------------------------------ */

struct sizes {
    struct plot p;
    const struct bench *b;
    uint64_t at[BENCH_LIST];
    size_t num;
};

static double seal_of(const struct sizes *s, size_t impl, size_t i)
{
    return bench_figure(s->b, "aes-256-gcm/seal/%s/%llu", bench_impls[impl].name, (unsigned long long)s->at[i]);
}

static double x_of_size(const struct sizes *s, size_t i)
{
    double first = log2((double)s->at[0]), last = log2((double)s->at[s->num - 1]);

    return s->p.left + s->p.width * (log2((double)s->at[i]) - first) / (last - first);
}

/* The end of a line, and the position of its name. */
struct end {
    size_t impl;
    double rate, x, y;
};

/* Draw a line. Return false if nothing of it was measured. */
static bool put_size_line(const struct sizes *s, size_t impl, struct end *end)
{
    const struct bench_impl *chosen = bench_chosen(s->b);
    char pen = 'M';

    *end = (struct end){.impl = impl};
    for (size_t i = 0; i < s->num; i++) {
        double rate = seal_of(s, impl, i);

        if (rate <= 0)
            continue;
        if (pen == 'M')
            fprintf(s->p.to, "<path class=\"line m%zu%s%s\" d=\"", impl, bench_impls[impl].peer ? " peer" : "",
                    &bench_impls[impl] == chosen ? " chosen" : "");
        fprintf(s->p.to, "%c%.1f %.1f", pen, x_of_size(s, i), y_of(&s->p, rate / 1e9));
        pen = 'L';
        end->rate = rate;
        end->x = x_of_size(s, i);
        end->y = y_of(&s->p, rate / 1e9);
    }
    if (pen == 'M')
        return false;
    fputs("\"/>\n", s->p.to);
    for (size_t i = 0; i < s->num; i++)
        if (seal_of(s, impl, i) > 0)
            put_mark(s->p.to, impl, x_of_size(s, i), y_of(&s->p, seal_of(s, impl, i) / 1e9));
    return true;
}

static int by_height(const void *a, const void *b)
{
    double x = ((const struct end *)a)->y, y = ((const struct end *)b)->y;

    return (x > y) - (x < y);
}

/* Print names at the right, moved apart if they would overlap, each with a line to the last point that it names. */
static void put_names(const struct sizes *s, struct end *ends, size_t num)
{
    const double apart = 15, bottom = s->p.top + s->p.height;
    double x = s->p.left + s->p.width;
    char text[64];

    qsort(ends, num, sizeof *ends, by_height);
    for (size_t i = 0; i < num; i++) {
        double at = ends[i].y;

        if (i > 0)
            at = fmax(at, ends[i - 1].y + apart);
        ends[i].y = fmin(at, bottom - apart * (double)(num - 1 - i));
    }
    for (size_t i = 0; i < num; i++) {
        double gb = ends[i].rate / 1e9;

        (void)snprintf(text, sizeof text, gb < 9.995 ? "%s %.2f" : "%s %.1f", bench_impls[ends[i].impl].name, gb);
        fprintf(s->p.to, "<path class=\"lead\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", ends[i].x + 6, y_of(&s->p, gb), x + 13,
                ends[i].y);
        put_text(s->p.to, x + 16, ends[i].y + 4, "value", text);
    }
}

static void put_size_ticks(const struct sizes *s)
{
    double before = -WIDTH, bottom = s->p.top + s->p.height;
    char text[32];

    for (size_t i = 0; i < s->num; i++) {
        double x = x_of_size(s, i);

        fprintf(s->p.to, "<path class=\"axis\" d=\"M%.1f %.1fv5\"/>\n", x, bottom);
        if (x < before + 46)
            continue;
        put_text(s->p.to, x, bottom + 19, "mid small", bench_size(text, s->at[i]));
        before = x;
    }
    put_text(s->p.to, s->p.left + s->p.width / 2, bottom + 37, "mid small", "bytes in a message, sealed by one core");
}

static void put_ceiling(const struct sizes *s, double ceiling)
{
    char text[64];

    if (ceiling <= 0)
        return;
    (void)snprintf(text, sizeof text, "AES rounds alone: %.1f", ceiling / 1e9);
    fprintf(s->p.to, "<path class=\"ideal\" d=\"M%.1f %.1fh%.1f\"/>\n", s->p.left, y_of(&s->p, ceiling / 1e9),
            s->p.width);
    put_text(s->p.to, s->p.left + 4, y_of(&s->p, ceiling / 1e9) - 6, "value", text);
}

static void describe_sizes(const struct sizes *s)
{
    char rate[32], size[32];
    double v;

    fprintf(s->p.to, "Sealing messages of %s", bench_size(size, s->at[s->num - 1]));
    for (size_t i = 0; i < bench_num_impls; i++) {
        v = seal_of(s, i, s->num - 1);
        if (v > 0)
            fprintf(s->p.to, "; %s: %s", bench_impls[i].label, bench_quantity(rate, BENCH_UNIT_BYTES, v));
    }
    fputs(".</desc>\n", s->p.to);
}

bool bench_draw_sizes(FILE *to, const struct bench *b)
{
    struct sizes s = {.p = {.to = to, .left = 40, .top = 40, .width = 252, .height = 224}, .b = b};
    double ceiling = bench_figure(b, "ceiling/vaesenc"), most = ceiling;
    struct end ends[8];
    size_t num = 0;

    s.num = bench_numbers(b, "aes-256-gcm/seal/", s.at);
    for (size_t impl = 0; impl < bench_num_impls; impl++)
        for (size_t i = 0; i < s.num; i++)
            most = fmax(most, seal_of(&s, impl, i));
    if (s.num < 2 || most <= 0)
        return false;
    scale_to(&s.p, most / 1e9);
    start(to, "sizes", "Throughput of sealing by size of the message", 312);
    describe_sizes(&s);
    put_axis(&s.p);
    put_size_ticks(&s);
    put_ceiling(&s, ceiling);
    for (size_t i = bench_num_impls; i-- > 0;)
        num += put_size_line(&s, i, &ends[num]) ? 1 : 0;
    put_names(&s, ends, num);
    fputs("</svg>\n", to);
    return true;
}

/* ---- Bars: other work on the same bytes -------------------------------------------------------------------------- */

struct bar {
    const char *label, *name;
    double rate;
    int kind; /* 0: the kernel that blobseal uses, 1: another kernel of blobseal, 2: other programs */
};

static size_t collect(const struct bench *b, struct bar bars[BENCH_LIST])
{
    static const struct bar others[] = {{"AES rounds alone: the ceiling", "ceiling/vaesenc", 0, 2},
                                        {"memcpy of 1 MiB", "memcpy/1MiB", 0, 2},
                                        {"memcpy of 64 MiB", "memcpy/64MiB", 0, 2},
                                        {"XXH3-64, libxxhash", "xxh3/libxxhash", 0, 2},
                                        {"SHA-256, OpenSSL", "sha256/openssl", 0, 2}};
    const struct bench_impl *chosen = bench_chosen(b);
    size_t num = 0;

    for (size_t i = 0; i < bench_num_impls; i++) {
        const struct bench_measure *m = bench_run_of(b, "seal", bench_impls[i].name);
        int kind = &bench_impls[i] == chosen ? 0 : bench_impls[i].peer ? 2 : 1;

        if (m != NULL)
            bars[num++] = (struct bar){bench_impls[i].label, "AES-256-GCM", m->value.median, kind};
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        bars[num] = others[i];
        bars[num].name = "";
        bars[num].rate = bench_figure(b, "%s", others[i].name);
        num += bars[num].rate > 0;
    }
    return num;
}

static int by_rate(const void *a, const void *b)
{
    double x = ((const struct bar *)a)->rate, y = ((const struct bar *)b)->rate;

    return (x < y) - (x > y);
}

bool bench_draw_bars(FILE *to, const struct bench *b)
{
    static const char *const classes[] = {"bar chosen", "bar ours", "bar"};
    struct bar bars[BENCH_LIST];
    size_t num = collect(b, bars);
    char rate[32], text[96];

    if (num < 2)
        return false;
    qsort(bars, num, sizeof bars[0], by_rate);
    start(to, "bars", "One core, compared with other work on the same bytes", 38.0 * (double)num + 6);
    for (size_t i = 0; i < num; i++)
        fprintf(to, "%s%s: %s", i > 0 ? "; " : "", bars[i].label, bench_quantity(rate, BENCH_UNIT_BYTES, bars[i].rate));
    fputs(".</desc>\n", to);
    for (size_t i = 0; i < num; i++) {
        double y = 38 * (double)i, width = fmax(2, (WIDTH - 62) * bars[i].rate / bars[0].rate);

        (void)snprintf(text, sizeof text, "%s%s%s", bars[i].label, bars[i].name[0] != '\0' ? ": " : "", bars[i].name);
        put_text(to, 0, y + 15, bars[i].kind == 0 ? "strong" : "", text);
        fprintf(to, "<rect class=\"%s\" x=\"0.5\" y=\"%.1f\" width=\"%.1f\" height=\"14\" rx=\"2\"/>\n",
                classes[bars[i].kind], y + 20, width);
        put_value(to, width + 7, y + 32, bars[i].kind == 0 ? "value strong" : "value", bars[i].rate);
    }
    fputs("</svg>\n", to);
    return true;
}
