/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal bench: measure how fast this CPU seals. blobseal-bench measures; this verb runs it and shows the results. */
#include <stdlib.h>
#include <string.h>

#include "tools/blobseal/bench/bench.h"
#include "tools/blobseal/verbs.h"

static const char usage[] =
    "blobseal bench [--quick] [--threads LIST] [--sizes LIST] [--compare OLD.json]\n"
    "Measure how fast this machine seals and opens, in memory, and print a table, for example to choose a CPU.\n\n"
    "      --quick             about 15 seconds instead of a minute; the figures vary more\n"
    "      --threads LIST      numbers of threads, such as 1,2,4\n"
    "      --sizes LIST        sizes of messages, such as 4K,16K,1M\n"
    "      --html FILE         write a page for a browser: one file, without scripts\n"
    "      --json-out FILE     write the measurements as JSON in the format of Google Benchmark\n"
    "  -f, --force             replace these files if they exist\n"
    "      --json              print that JSON instead of the table\n"
    "      --compare OLD.json  compare with an earlier run; exit code 10 if more than 5 % was lost, beyond the\n"
    "                          noise\n"
    "      --from FILE         measure nothing: show such a JSON file\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --progress MODE     auto (default), plain, json or none\n"
    "  -q, --quiet             print only the summary and the losses\n"
    "  -h, --help              this text\n\n"
    "The program blobseal-bench does the measuring.\n\n"
    "Example:\n"
    "  blobseal bench --json-out today.json --html today.html\n";

struct request {
    struct ui *ui;
    struct bench_plan plan;
    const char *html_path, *json_path, *compare_path, *from_path;
    bool force;
    struct progress progress;
};

/* Everything that is open while the verb works. */
struct work {
    struct request *r;
    struct input from, compare;
    struct reads reads; /* which no output replaces */
    struct output html, json;
    struct bench_text text;
    struct bench now, before;
    struct bench_comparison comparison;
};

/* ---- Reading and measuring --------------------------------------------------------------------------------------- */

static bool read_file(struct input *in, const char *path, struct bench_text *text, struct bench *b,
                      struct blobseal_error *err)
{
    return input_open(in, path, err) && bench_read(in, text, err) &&
           bench_parse(b, text, in->printable, BLOBSEAL_E_INPUT, err);
}

static bool read_before(struct work *w, struct blobseal_error *err)
{
    struct bench_text text = {0};
    bool ok = w->r->compare_path == NULL || read_file(&w->compare, w->r->compare_path, &text, &w->before, err);

    free(text.data);
    return ok;
}

static bool read_now(struct work *w, struct blobseal_error *err)
{
    if (w->r->from_path != NULL)
        return read_file(&w->from, w->r->from_path, &w->text, &w->now, err);
    if (!bench_measure(w->r->ui, &w->r->plan, &w->r->progress, &w->text, err))
        return false;
    if (bench_parse(&w->now, &w->text, "the output of blobseal-bench", BLOBSEAL_E_INTERNAL, err))
        return true;
    if (err->status == BLOBSEAL_E_INTERNAL)
        blobseal_hint(err, "blobseal-bench may be of another version than blobseal %s", blobseal_version());
    return false;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static bool open_output(struct work *w, struct output *out, const char *path, struct blobseal_error *err)
{
    const struct output_options o = {.ui = w->r->ui, .mode = 0666, .force = w->r->force, .reads = &w->reads};

    if (path == NULL || output_open(out, path, &o, err))
        return true;
    if (err->status == BLOBSEAL_E_EXISTS && err->hint[0] == '\0')
        blobseal_hint(err, "choose another name, or replace the file with --force");
    return false;
}

static bool write_page(struct work *w, struct blobseal_error *err)
{
    char *page = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&page, &len);
    bool ok = f != NULL;

    if (ok) {
        bench_print_page(f, &w->now, w->comparison.pairs != NULL ? &w->comparison : NULL);
        ok = ferror(f) == 0;
        ok = fclose(f) == 0 && ok;
    }
    ok = (ok || fail(err, BLOBSEAL_E_NOMEM, 0, "draw the page: no memory")) && output_write(&w->html, page, len, err);
    free(page);
    return ok;
}

static bool write_files(struct work *w, struct blobseal_error *err)
{
    bool html = w->r->html_path != NULL, json = w->r->json_path != NULL;

    if ((html && !write_page(w, err)) || (json && !output_write(&w->json, w->text.data, w->text.len, err)))
        return false;
    if (html && json)
        return output_commit_both(&w->json, &w->html, err);
    return (!html || output_commit(&w->html, err)) && (!json || output_commit(&w->json, err));
}

static bool print(const struct work *w, struct blobseal_error *err)
{
    bool compared = w->comparison.pairs != NULL, quiet = w->r->ui->quiet;

    if (w->r->ui->json) {
        (void)fwrite(w->text.data, 1, w->text.len, stdout);
        if (compared)
            bench_print_comparison(stderr, &w->comparison, false);
    } else {
        if (quiet)
            bench_print_verdict(stdout, &w->now);
        else
            bench_print_table(stdout, &w->now);
        if (compared)
            bench_print_comparison(stdout, &w->comparison, !quiet);
    }
    return stdout_flush(err);
}

/* ---- The verb ---------------------------------------------------------------------------------------------------- */

/* Find errors in the request first, because measuring takes a minute. */
static bool work(struct work *w, struct blobseal_error *err)
{
    const struct request *r = w->r;

    if (!reads_add(&w->reads, r->compare_path, "the input", err) ||
        !reads_add(&w->reads, r->from_path, "the input", err))
        return false;
    if (!read_before(w, err) || (r->from_path != NULL && !read_now(w, err)) ||
        !open_output(w, &w->html, r->html_path, err) || !open_output(w, &w->json, r->json_path, err))
        return false;
    if (output_same(&w->html, &w->json)) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "--html and --json-out name the same file: %s", r->html_path);
        return false;
    }
    if (r->from_path == NULL && !read_now(w, err))
        return false;
    if (r->compare_path != NULL &&
        !bench_compare(r->ui, &w->comparison, &w->before, &w->now, w->compare.printable, err))
        return false;
    return write_files(w, err) && print(w, err);
}

static int lost(const struct work *w)
{
    struct blobseal_error err = {0};
    size_t n = w->comparison.count[BENCH_CHANGE_LOST];

    if (n == 0)
        return EXIT_OK;
    (void)fail(&err, BLOBSEAL_E_POLICY, 0, "%zu of %zu measures lost more than 5 %% against %s", n, w->comparison.num,
               w->comparison.name);
    blobseal_hint(&err, "measure both again on an idle machine before you look for a cause");
    return report_error_text(w->r->ui, &err);
}

static int bench(struct request *r)
{
    struct work w = {.r = r,
                     .reads = READS_NONE,
                     .from = INPUT_NONE,
                     .compare = INPUT_NONE,
                     .html = OUTPUT_NONE,
                     .json = OUTPUT_NONE};
    struct blobseal_error err = {0};
    bool ok = work(&w, &err);
    int code;

    if (!ok) {
        output_discard(&w.html, &err);
        output_discard(&w.json, &err);
    }
    code = ok ? lost(&w) : report_error(r->ui, &err);
    output_close(&w.html);
    output_close(&w.json);
    reads_free(&w.reads);
    bench_comparison_free(&w.comparison);
    bench_free(&w.now);
    bench_free(&w.before);
    free(w.text.data);
    input_close(&w.from);
    input_close(&w.compare);
    return code;
}

/* Turn a list such as "4K,16K" into plain numbers from 1 to @max; no number may appear twice. */
static bool parse_list(const char *arg, bool units, uint64_t max, char *out, size_t cap)
{
    uint64_t seen[BENCH_LIST];
    size_t num = 0, used = 0;

    for (;;) {
        if (num == COUNT(seen) || !parse_bytes(&arg, &seen[num]) || seen[num] == 0 || seen[num] > max ||
            (!units && arg[-1] > '9'))
            return false;
        for (size_t i = 0; i < num; i++)
            if (seen[i] == seen[num])
                return false;
        used += (size_t)snprintf(out + used, cap - used, "%s%llu", num > 0 ? "," : "", (unsigned long long)seen[num]);
        if (used >= cap)
            return false;
        num++;
        if (*arg == '\0')
            return true;
        if (*arg++ != ',')
            return false;
    }
}

static int take_list(const struct ui *ui, struct bench_plan *plan, int option, const char *arg)
{
    if (option == OPT_THREADS && !parse_list(arg, false, 256, plan->threads, sizeof plan->threads))
        return usage_error(ui, "--threads takes up to %d different numbers from 1 to 256, such as 1,2,4, not %s",
                           BENCH_LIST, arg);
    if (option == OPT_SIZES && !parse_list(arg, true, 64u << 20, plan->sizes, sizeof plan->sizes))
        return usage_error(ui, "--sizes takes up to %d different sizes from 1 to 64M, such as 4K,16K,1M, not %s",
                           BENCH_LIST, arg);
    return EXIT_OK;
}

static int take_option(struct request *r, int option, const char *arg)
{
    switch (option) {
    case OPT_QUICK:
        r->plan.quick = true;
        break;
    case OPT_HTML:
        r->html_path = arg;
        break;
    case OPT_JSON_OUT:
        r->json_path = arg;
        break;
    case OPT_COMPARE:
        r->compare_path = arg;
        break;
    case OPT_FROM:
        r->from_path = arg;
        break;
    case 'f':
        r->force = true;
        break;
    case OPT_PROGRESS:
        return progress_option(r->ui, &r->progress, arg);
    }
    return take_list(r->ui, &r->plan, option, arg);
}

static int check(const struct request *r)
{
    const struct bench_plan *p = &r->plan;

    if ((r->html_path != NULL && is_stream(r->html_path)) || (r->json_path != NULL && is_stream(r->json_path)))
        return usage_error(r->ui, "--html and --json-out name files; --json prints to standard output");
    if (r->from_path != NULL && (p->quick || p->threads[0] != '\0' || p->sizes[0] != '\0'))
        return usage_error(r->ui, "--from measures nothing: --quick, --threads and --sizes have no effect with it");
    if (r->from_path != NULL && r->json_path != NULL)
        return usage_error(r->ui, "--from measures nothing: there is nothing for --json-out to write");
    if (r->from_path != NULL && r->compare_path != NULL && strcmp(r->from_path, "-") == 0 &&
        strcmp(r->compare_path, "-") == 0)
        return usage_error(r->ui, "only one of --from and --compare can be standard input");
    return EXIT_OK;
}

static const struct option options[] = {{"quick", no_argument, NULL, OPT_QUICK},
                                        {"threads", required_argument, NULL, OPT_THREADS},
                                        {"sizes", required_argument, NULL, OPT_SIZES},
                                        {"html", required_argument, NULL, OPT_HTML},
                                        {"json-out", required_argument, NULL, OPT_JSON_OUT},
                                        {"force", no_argument, NULL, 'f'},
                                        {"compare", required_argument, NULL, OPT_COMPARE},
                                        {"from", required_argument, NULL, OPT_FROM},
                                        PROGRESS_OPTION,
                                        COMMON_OPTIONS,
                                        {0}};

static int run(struct ui *ui, int argc, char **argv)
{
    struct request r = {.ui = ui};
    int c, code;

    while ((c = next_option(ui, argc, argv)) != -1) {
        code = take_option(&r, c, optarg);
        if (code != EXIT_OK)
            return code;
    }
    if (optind < argc)
        return usage_error(ui, "bench takes no file, only options: %s", argv[optind]);
    code = check(&r);
    return code != EXIT_OK ? code : bench(&r);
}

const struct verb verb_bench = {"bench", "measure how fast this machine seals", usage, run, options, NULL};
