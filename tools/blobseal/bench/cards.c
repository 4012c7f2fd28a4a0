/* SPDX-License-Identifier: Apache-2.0 */
/* The sections of the page with figures: each has a table, and most have a picture of the same figures. */
#include "tools/blobseal/bench/bench.h"

/* ---- One core ---------------------------------------------------------------------------------------------------- */

struct rate_row {
    const char *label;
    const struct bench_measure *seal, *open; /* NULL: not measured                    */
    bool chosen;                             /* the kernel that blobseal uses         */
    bool aes;                                /* the ceiling of AES rounds applies     */
};

static void put_rate_row(FILE *to, const struct bench *b, const struct rate_row *row)
{
    const struct bench_measure *seal = row->seal, *open = row->open;
    double ceiling = bench_figure(b, "ceiling/vaesenc"), rate = seal != NULL ? seal->value.median : 0, hertz;
    const char *kind;

    if (seal == NULL && open == NULL)
        return;
    hertz = bench_clock(b, &kind);
    fprintf(to, "<tr%s><th scope=\"row\">%s%s</th>", row->chosen ? " class=\"chosen\"" : "", row->label,
            row->chosen ? " (used)" : "");
    bench_put_number(to, rate / 1e9, 2);
    bench_put_number(to, rate > 0 ? hertz / rate : 0, 3);
    bench_put_number(to, row->aes && ceiling > 0 ? rate / ceiling : 0, 2);
    bench_put_number(to, open != NULL ? open->value.median / 1e9 : 0, 2);
    bench_put_number(to, open != NULL && ceiling > 0 ? open->value.median / ceiling : 0, 2);
    if (seal != NULL && seal->value.num > 1)
        fprintf(to, "<td>%.1f %%%s</td></tr>\n", 100 * seal->value.spread,
                seal->value.spread > BENCH_UNSTEADY ? " !" : "");
    else
        fputs("<td>–</td></tr>\n", to);
}

void bench_put_one_core(FILE *to, const struct bench *b)
{
    static const char *const columns[] = {
        "", "seal<br/>GB/s", "cycles/<br/>byte", "of<br/>ceiling", "open<br/>GB/s", "of<br/>ceiling", "spread"};
    static const char *const others[][2] = {{"AES rounds alone", "ceiling/vaesenc"},
                                            {"memcpy, 1 MiB", "memcpy/1MiB"},
                                            {"memcpy, 64 MiB", "memcpy/64MiB"},
                                            {"XXH3-64", "xxh3/libxxhash"},
                                            {"SHA-256, OpenSSL", "sha256/openssl"}};
    const struct bench_impl *chosen = bench_chosen(b);
    const char *kind;

    fputs("<section class=\"wide\">\n<h2>One core, compared with other work on the same bytes</h2>\n"
          "<p class=\"note\">GB/s, runs of 16 KiB chunks in the cache. The filled blue bar is the kernel that blobseal "
          "uses on this CPU; outlined bars are its other kernels.</p>\n",
          to);
    fputs("<div class=\"split\"><div>\n", to);
    if (!bench_draw_bars(to, b))
        fputs("<p>Not measured.</p>\n", to);
    fputs("</div><div>\n", to);
    bench_start_table(to, "One core", columns, COUNT(columns));
    for (size_t i = 0; i < bench_num_impls; i++)
        put_rate_row(to, b,
                     &(struct rate_row){.label = bench_impls[i].label,
                                        .seal = bench_run_of(b, "seal", bench_impls[i].name),
                                        .open = bench_run_of(b, "open", bench_impls[i].name),
                                        .chosen = &bench_impls[i] == chosen,
                                        .aes = true});
    for (size_t i = 0; i < COUNT(others); i++)
        put_rate_row(
            to, b, &(struct rate_row){.label = others[i][0], .seal = bench_find(b, "%s", others[i][1]), .aes = i == 0});
    bench_end_table(to);
    fputs("<p class=\"note\">A spread with ! is above 5 %.", to);
    if (bench_clock(b, &kind) > 0)
        fprintf(to, " Cycles: %s.", kind);
    fputs("</p>\n", to);
    fputs("</div></div>\n</section>\n", to);
}

/* ---- Threads and sizes ------------------------------------------------------------------------------------------- */

void bench_put_threads(FILE *to, const struct bench *b)
{
    static const char *const columns[] = {"threads", "seal GB/s", "of ideal", "open GB/s", "of ideal"};
    static const char *const ways[] = {"seal", "open"};
    uint64_t threads[BENCH_LIST];
    size_t num = bench_numbers(b, "pipeline/", threads);

    if (num == 0)
        return;
    fputs(
        "<section>\n<h2>Throughput by threads</h2>\n<p class=\"note\">Whole blobs in memory. Ideal is one thread times "
        "their number; threads that share a core cannot reach it, nor can the rate exceed that of the memory.</p>\n",
        to);
    (void)bench_draw_threads(to, b);
    bench_start_table(to, "Throughput by threads", columns, COUNT(columns));
    for (size_t i = 0; i < num; i++) {
        unsigned long long n = threads[i];

        fprintf(to, "<tr><th scope=\"row\">%llu</th>", n);
        for (size_t v = 0; v < COUNT(ways); v++) {
            double rate = bench_figure(b, "pipeline/%s/threads:%llu", ways[v], n);
            double one = bench_figure(b, "pipeline/%s/threads:1", ways[v]);

            bench_put_number(to, rate / 1e9, 2);
            bench_put_number(to, one > 0 ? rate / one / (double)n : 0, 2);
        }
        fputs("</tr>\n", to);
    }
    bench_end_table(to);
    fputs("</section>\n", to);
}

static void put_size_row(FILE *to, const struct bench *b, const struct bench_impl *impl, const uint64_t *sizes,
                         size_t num)
{
    double any = 0;

    for (size_t s = 0; s < num; s++)
        any += bench_figure(b, "aes-256-gcm/seal/%s/%llu", impl->name, (unsigned long long)sizes[s]);
    if (any <= 0)
        return;
    fprintf(to, "<tr%s><th scope=\"row\">%s</th>", impl == bench_chosen(b) ? " class=\"chosen\"" : "", impl->name);
    for (size_t s = 0; s < num; s++)
        bench_put_number(
            to, bench_figure(b, "aes-256-gcm/seal/%s/%llu", impl->name, (unsigned long long)sizes[s]) / 1e9, 2);
    fputs("</tr>\n", to);
}

void bench_put_sizes(FILE *to, const struct bench *b)
{
    uint64_t sizes[BENCH_LIST];
    size_t num = bench_numbers(b, "aes-256-gcm/seal/", sizes);
    const char *columns[BENCH_LIST + 1] = {"GB/s"};
    char names[BENCH_LIST][32];

    if (num == 0)
        return;
    for (size_t s = 0; s < num; s++)
        columns[s + 1] = bench_size(names[s], sizes[s]);
    fputs("<section>\n<h2>Throughput by size</h2>\n<p class=\"note\">One core seals single messages with AES-256-GCM. "
          "Dashed lines are implementations that blobseal does not use.</p>\n",
          to);
    (void)bench_draw_sizes(to, b);
    bench_start_table(to, "Throughput by size", columns, num + 1);
    for (size_t i = 0; i < bench_num_impls; i++)
        put_size_row(to, b, &bench_impls[i], sizes, num);
    bench_end_table(to);
    fputs("</section>\n", to);
}

/* ---- Operations -------------------------------------------------------------------------------------------------- */

/* Compare the time to seal a small blob with the time to wrap its key, which is unavoidable. */
static void put_floor(FILE *to, const struct bench *b, uint64_t size)
{
    double seal = bench_figure(b, "blob/seal/%llu", (unsigned long long)size),
           wrap = bench_seconds(bench_find(b, "rsa/wrap/3072"));
    char text[32];

    if (seal > 0 && wrap > 0)
        fprintf(
            to,
            "<p class=\"note\">To seal a blob of %s takes %.2f times as long as to wrap one key with RSA-3072.</p>\n",
            bench_size(text, size), seal / wrap);
}

void bench_put_latency(FILE *to, const struct bench *b)
{
    static const char *const columns[] = {"", "seal<br/>p50", "seal<br/>p99", "open<br/>p50", "open<br/>p99"};
    static const char *const ways[] = {"seal", "open"};
    uint64_t sizes[BENCH_LIST];
    size_t num = bench_numbers(b, "blob/", sizes);
    char size[32];

    if (num == 0)
        return;
    fputs("<section>\n<h2>Latency of small blobs</h2>\n<p class=\"note\">Whole blobs in memory, with the key "
          "loaded.</p>\n",
          to);
    bench_start_table(to, "Latency of small blobs", columns, COUNT(columns));
    for (size_t s = 0; s < num; s++) {
        fprintf(to, "<tr><th scope=\"row\">%s</th>", bench_size(size, sizes[s]));
        for (size_t v = 0; v < COUNT(ways); v++) {
            const struct bench_measure *m = bench_find(b, "blob/%s/%llu", ways[v], (unsigned long long)sizes[s]);

            bench_put_time(to, m != NULL ? m->value.median : 0);
            bench_put_time(to, m != NULL ? m->p99.median : 0);
        }
        fputs("</tr>\n", to);
    }
    bench_end_table(to);
    put_floor(to, b, sizes[0]);
    fputs("</section>\n", to);
}

void bench_put_keys(FILE *to, const struct bench *b)
{
    static const char *const columns[] = {"RSA-OAEP", "wrap", "per second", "unwrap", "per second"};
    static const char *const ways[] = {"wrap", "unwrap"};
    uint64_t bits[BENCH_LIST];
    size_t num = bench_numbers(b, "rsa/", bits);

    if (num == 0)
        return;
    fputs(
        "<section>\n<h2>Key operations</h2>\n<p class=\"note\">Wrapping a data key for one recipient when sealing, and "
        "unwrapping it when opening: once per blob, on one core.</p>\n",
        to);
    bench_start_table(to, "Key operations", columns, COUNT(columns));
    for (size_t i = 0; i < num; i++) {
        fprintf(to, "<tr><th scope=\"row\">%llu bits</th>", (unsigned long long)bits[i]);
        for (size_t v = 0; v < COUNT(ways); v++) {
            double time = bench_seconds(bench_find(b, "rsa/%s/%llu", ways[v], (unsigned long long)bits[i]));

            bench_put_time(to, time);
            bench_put_number(to, time > 0 ? 1 / time : 0, 0);
        }
        fputs("</tr>\n", to);
    }
    bench_end_table(to);
    fputs("</section>\n", to);
}
