/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs that process blobs have in common: keys, inputs, optionally outputs, threads, progress. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/blobseal/verbs.h"

/* Up to this size, sealing or opening a file takes so little time that it may be in vain. */
#define SMALL_FILE (1U << 20)

static int set_option(struct job *j, int option, const char *arg)
{
    int code;

    if (keys_option(j->ui, &j->keys, option, arg, &code))
        return code;
    switch (option) {
    case 'o':
        j->out_path = arg;
        break;
    case 'c':
        j->out_path = "-";
        break;
    case OPT_RAW:
        j->raw = true;
        break;
    case 'f':
        j->force = true;
        break;
    case OPT_ENVELOPE:
        j->envelope_path = arg;
        break;
    case 'j':
        return jobs_option(j->ui, arg, &j->threads);
    case OPT_MIN_GENERATION:
        return min_generation_option(j->ui, arg, &j->min_generation);
    case OPT_DIGEST:
        return digest_option(j->ui, arg, &j->digests);
    case OPT_PROGRESS:
        return progress_option(j->ui, &j->progress, arg);
    }
    return EXIT_OK;
}

static char dash[] = "-";
static char *const standard_input[] = {dash};

int job_parse(struct job *j, int argc, char **argv, job_option_fn own, void *ctx)
{
    int c, code;

    while ((c = next_option(j->ui, argc, argv)) != -1) {
        code = set_option(j, c, optarg);
        if (code == EXIT_OK && own != NULL)
            code = own(ctx, c, optarg);
        if (code != EXIT_OK)
            return code;
    }
    j->num = optind < argc ? (size_t)(argc - optind) : 1;
    j->paths = optind < argc ? argv + optind : standard_input;
    j->in_path = j->paths[0];
    if (j->num > 1 && j->envelope_path != NULL)
        return usage_error(j->ui, "--envelope belongs to one blob, not to %zu inputs", j->num);
    return EXIT_OK;
}

int job_need_key(struct job *j)
{
    keys_default(&j->keys);
    return j->keys.num > 0
               ? EXIT_OK
               : usage_error(j->ui, "%s needs a key: -k KEY, or the environment variable BLOBSEAL_KEK", j->ui->verb);
}

/* ---- Where outputs go -------------------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static int by_base_name(const void *a, const void *b)
{
    return strcmp(base_name(*(const char *const *)a), base_name(*(const char *const *)b));
}

/* Refuse inputs from different folders with the same name, because their outputs go to one folder. */
static int check_names(const struct job *j)
{
    const char **sorted = calloc(j->num, sizeof *sorted), *twice = NULL;
    struct blobseal_error err;

    if (sorted == NULL) {
        (void)fail(&err, BLOBSEAL_E_NOMEM, 0, "compare the names of the inputs: no memory");
        return report_error(j->ui, &err);
    }
    for (size_t i = 0; i < j->num; i++)
        sorted[i] = j->paths[i];
    qsort(sorted, j->num, sizeof *sorted, by_base_name);
    for (size_t i = 1; i < j->num && twice == NULL; i++)
        if (by_base_name(&sorted[i - 1], &sorted[i]) == 0)
            twice = base_name(sorted[i]);
    free(sorted);
    if (twice != NULL)
        return usage_error(j->ui, "two inputs are named %s, and their outputs would be one file in %s", twice,
                           j->out_folder);
    return EXIT_OK;
}

/* Check that the outputs of several inputs are different files. */
static int check_several(const struct job *j)
{
    if (j->out_path != NULL && !is_standard_output(j->out_path))
        return usage_error(j->ui, "%zu inputs need a folder for their outputs: -o FOLDER/", j->num);
    for (size_t i = 0; i < j->num && j->out_path == NULL; i++)
        if (strcmp(j->paths[i], "-") == 0 || (j->paths[i][0] == '/' && is_stream(j->paths[i])))
            return usage_error(j->ui, "%s has no name for its output: it cannot be one of several inputs", j->paths[i]);
    return j->out_folder != NULL ? check_names(j) : EXIT_OK;
}

/* Return true if -o names a folder: with a slash at its end or, for several inputs, by a folder that exists. */
static bool names_folder(const struct job *j)
{
    size_t len = j->out_path != NULL ? strlen(j->out_path) : 0;
    struct stat st;

    return len > 0 &&
           (j->out_path[len - 1] == '/' || (j->num > 1 && stat(j->out_path, &st) == 0 && S_ISDIR(st.st_mode)));
}

int job_check_output(struct job *j)
{
    const char *out;

    if (names_folder(j)) {
        j->out_folder = j->out_path;
        j->out_path = NULL;
        if (is_stream(j->in_path))
            return usage_error(j->ui, "standard input has no name: name the output with -o FILE");
    }
    if (j->num > 1)
        return check_several(j) != EXIT_OK ? EXIT_USAGE : EXIT_OK;
    out = j->out_path != NULL ? j->out_path : is_stream(j->in_path) ? "-" : j->in_path;
    if (j->ui->json && is_standard_output(out))
        return usage_error(j->ui, "the data and --json cannot both go to standard output: name a file with -o");
    return EXIT_OK;
}

bool job_default_output(struct job *j, size_t len, const char *suffix, struct blobseal_error *err)
{
    const char *name = j->out_folder != NULL ? base_name(j->in_path) : j->in_path, *folder = j->out_folder;
    const char *slash = folder != NULL && folder[strlen(folder) - 1] != '/' ? "/" : "";
    int n = (int)(len - (size_t)(name - j->in_path));

    if (snprintf(j->default_out, sizeof j->default_out, "%s%s%.*s%s", folder != NULL ? folder : "", slash, n, name,
                 suffix) < (int)sizeof j->default_out)
        return true;
    return fail(err, BLOBSEAL_E_OUTPUT, ENAMETOOLONG, "create the output for %.80s...", j->in_path);
}

/* ---- Opening the parts ------------------------------------------------------------------------------------------- */

bool job_open_input(struct job *j, struct blobseal_error *err)
{
    if (!input_open_next(&j->in, j->in_path, j->shared->in_folders[j->thread], err)) {
        if (j->in.is_folder)
            blobseal_hint(err, "name a blob in it; only blobseal scrub takes a folder");
        return false;
    }
    if (j->num == 1 && !reads_add_stat(&j->shared->reads, &j->in.before, "the input", err))
        return false;
    j->ui->input = j->in.is_stdin ? NULL : j->in.name;
    j->threads = jobs_threads(j->threads, j->num, j->in.source.size);
    return j->envelope_path == NULL || read_envelope(j->envelope_path, &j->envelope, &j->envelope_len, err);
}

bool job_open_output(struct job *j, struct blobseal_error *err)
{
    const struct output_options o = {.ui = j->ui,
                                     .mode = output_mode(&j->in),
                                     .force = j->force,
                                     .named = j->out_path != NULL,
                                     .small = j->num > 1 && j->in.source.size <= SMALL_FILE,
                                     .reads = &j->shared->reads,
                                     .device_hint = j->device_hint,
                                     .place = &j->shared->places[j->thread],
                                     .times = j->part ? NULL : &j->in.before,
                                     .folders = j->num > 1 ? &j->shared->folders : NULL};

    if (j->num > 1 && j->out_path == NULL && j->in.is_stdin)
        return fail(err, BLOBSEAL_E_CONFIG, 0, "%s has no name for its output: it cannot be one of several inputs",
                    j->in.name);
    if (j->out_path == NULL)
        j->out_path = j->in.is_stdin ? "-" : j->default_out;
    return output_open(&j->out, j->out_path, &o, err);
}

bool job_open_reader(struct job *j, struct blobseal_error *err)
{
    const struct blobseal_reader_options o = {.size = sizeof o,
                                              .envelope = j->envelope,
                                              .envelope_len = j->envelope_len,
                                              .threads = j->threads,
                                              .progress = progress_step,
                                              .progress_ctx = &j->progress,
                                              .min_generation = j->min_generation,
                                              .raw = j->raw,
                                              .digests = j->digests};

    if (blobseal_reader_open(&j->reader, &j->in.source, j->keys.keks, j->keys.num_keks, &o, err) == BLOBSEAL_OK)
        return true;
    for (size_t i = 0; i < j->keys.num_keks && err->status == BLOBSEAL_E_NO_KEY; i++)
        if (!blobseal_kek_can_unwrap(j->keys.keks[i]))
            blobseal_hint(err, "%.120s holds a public key: opening needs the private one", j->keys.from[i]->ref);
    return false;
}

/* ---- All inputs -------------------------------------------------------------------------------------------------- */

/* Report @err unless @ok, close everything, and return the exit code. */
static int finish(struct job *j, bool ok, const struct blobseal_error *err)
{
    int code;

    if (!ok)
        output_discard(&j->out, err);
    code = ok ? EXIT_OK : report_error(j->ui, err);
    blobseal_reader_close(j->reader);
    output_close(&j->out);
    input_close(&j->in);
    free(j->envelope);
    return code;
}

struct work {
    const struct job *job; /* the beginning of the request */
    const struct job_plan *plan;
};

/* Process one input with a copy of the request. It is too large for a small stack. */
static int run_one(void *ctx, struct ui *ui, unsigned thread, const char *path)
{
    const struct work *w = ctx;
    struct job *j = malloc(w->plan->size);
    struct blobseal_error err = {0};
    int code;

    if (j == NULL) {
        (void)fail(&err, BLOBSEAL_E_NOMEM, 0, "start with a file: no memory");
        return report_error(ui, &err);
    }
    memcpy(j, w->job, w->plan->size);
    j->ui = ui;
    j->thread = thread;
    j->in_path = path;
    if (j->num > 1)
        j->progress = (struct progress){.mode = PROGRESS_NONE}; /* files are counted instead */
    code = finish(j, w->plan->one(j, &err), &err);
    free(j);
    return code;
}

/* Open the keys, and collect the files that are read. A single input is added by job_open_input(). */
static bool open_shared(struct job *j, const struct job_plan *plan, struct blobseal_error *err)
{
    struct reads *reads = &j->shared->reads;
    bool ok;

    if (j->num > 1)
        reads_add_later(reads, j->paths, j->num);
    j->keys.use = plan->use;
    ok = keys_open(&j->keys, plan->oaep, err) && reads_add_keys(reads, &j->keys, err) &&
         reads_add(reads, j->envelope_path, "the envelope", err);
    if (ok && plan->use == BLOBSEAL_USE_WRAP && !j->ui->quiet)
        keys_warn(j->ui, &j->keys);
    return ok;
}

static void print_summary(const struct job *j, const struct job_plan *plan, const struct jobs_result *result)
{
    uint64_t bytes = j->shared->bytes;
    char size[32], rate[32];

    if (j->num == 1 || plan->done == NULL || !j->progress.summary)
        return;
    fprintf(stderr, "%s %zu of %zu files  %s  %.2f s  %s\n", plan->done, result->num - result->failed, result->num,
            human_bytes(size, bytes), result->seconds, human_rate(rate, bytes, result->seconds));
}

static int run_all(struct job *j, const struct job_plan *plan)
{
    struct work work = {j, plan};
    const struct jobs jobs = {.ui = j->ui,
                              .threads = j->threads,
                              .in_order = plan->in_order,
                              .progress = &j->progress,
                              .one = run_one,
                              .ctx = &work};
    struct jobs_result result = jobs_run(&jobs, j->paths, j->num);
    struct blobseal_error err = {0};

    if (!folders_sync(&j->shared->folders, &err)) {
        int code = report_error(j->ui, &err);

        result.code = result.code == EXIT_OK ? code : result.code;
    }
    print_summary(j, plan, &result);
    return result.code;
}

int job_run(struct job *j, const struct job_plan *plan)
{
    struct blobseal_error err = {0};
    int code;

    j->shared = calloc(1, sizeof *j->shared);
    if (j->shared == NULL) {
        (void)fail(&err, BLOBSEAL_E_NOMEM, 0, "start: no memory");
        return report_error(j->ui, &err);
    }
    j->shared->folders = FOLDERS_NONE;
    j->shared->reads = READS_NONE;
    code = open_shared(j, plan, &err) ? run_all(j, plan) : report_error(j->ui, &err);
    reads_free(&j->shared->reads);
    for (size_t i = 0; i < COUNT(j->shared->places); i++)
        output_place_clear(&j->shared->places[i]);
    free(j->shared);
    j->shared = NULL;
    keys_close(&j->keys);
    return code;
}
