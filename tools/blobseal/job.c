/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs that process one blob have in common: keys, one input, optionally an output, threads, progress. */
#include <stdlib.h>
#include <string.h>

#include "tools/blobseal/verbs.h"

static int set_option(struct job *j, int option, const char *arg)
{
    int code;

    if (keys_option(j->ui, &j->keys, option, arg, &code))
        return code;
    switch (option) {
    case 'o':
        j->out_path = arg;
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
    case OPT_PROGRESS:
        return progress_option(j->ui, &j->progress, arg);
    }
    return EXIT_OK;
}

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
    if (argc - optind > 1)
        return usage_error(j->ui, "%s takes one input, not %d: %s", j->ui->verb, argc - optind, argv[optind + 1]);
    j->in_path = optind < argc ? argv[optind] : "-";
    return EXIT_OK;
}

int job_need_key(struct job *j)
{
    keys_default(&j->keys);
    return j->keys.num > 0
               ? EXIT_OK
               : usage_error(j->ui, "%s needs a key: -k KEY, or the environment variable BLOBSEAL_KEK", j->ui->verb);
}

int job_check_output(const struct job *j)
{
    const char *out = j->out_path != NULL ? j->out_path : is_stream(j->in_path) ? "-" : j->in_path;

    if (j->ui->json && is_standard_output(out))
        return usage_error(j->ui, "the data and --json cannot both go to standard output: name a file with -o");
    return EXIT_OK;
}

bool job_open_input(struct job *j, enum blobseal_oaep oaep, struct blobseal_error *err)
{
    if (!keys_open(&j->keys, oaep, err))
        return false;
    if (!input_open(&j->in, j->in_path, err)) {
        if (j->in.is_folder)
            blobseal_hint(err, "name a blob in it; only blobseal scrub takes a folder");
        return false;
    }
    j->ui->input = j->in.is_stdin ? NULL : j->in.name;
    if (!reads_add_stat(&j->reads, &j->in.before, "the input", err) || !reads_add_keys(&j->reads, &j->keys, err) ||
        !reads_add(&j->reads, j->envelope_path, "the envelope", err))
        return false;
    return j->envelope_path == NULL || read_envelope(j->envelope_path, &j->envelope, &j->envelope_len, err);
}

bool job_open_output(struct job *j, struct blobseal_error *err)
{
    const struct output_options o = {.ui = j->ui,
                                     .mode = output_mode(&j->in),
                                     .force = j->force,
                                     .named = j->out_path != NULL,
                                     .reads = &j->reads,
                                     .device_hint = j->device_hint};

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
                                              .raw = j->raw};

    if (blobseal_reader_open(&j->reader, &j->in.source, j->keys.keks, j->keys.num, &o, err) == BLOBSEAL_OK)
        return true;
    for (size_t i = 0; i < j->keys.num && err->status == BLOBSEAL_E_NO_KEY; i++)
        if (!blobseal_kek_can_unwrap(j->keys.keks[i]))
            blobseal_hint(err, "%.120s holds a public key: opening needs the private one", j->keys.args[i].ref);
    return false;
}

int job_finish(struct job *j, bool ok, const struct blobseal_error *err)
{
    int code;

    if (!ok)
        output_discard(&j->out, err);
    code = ok ? EXIT_OK : report_error(j->ui, err);
    blobseal_reader_close(j->reader);
    output_close(&j->out);
    input_close(&j->in);
    free(j->envelope);
    reads_free(&j->reads);
    keys_close(&j->keys);
    return code;
}
