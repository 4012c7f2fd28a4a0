/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal open: decrypt a blob into a file or a stream. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const char usage[] =
    "blobseal open -k KEY... [-o OUT] [IN]\n"
    "Open the blob IN (default: standard input) with whichever KEY fits.\n\n"
    "  -k, --kek KEY           a PEM file with an RSA private key; repeatable\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY before it; without, it is asked for on the terminal\n"
    "  -o, --output OUT        default: IN without .sealed, or standard output for standard input; - is standard "
    "output\n"
    "  -f, --force             replace OUT if it exists\n"
    "      --envelope FILE     the key envelope, for a blob that was sealed with --detached\n"
    "  -j, --jobs N            threads (default: one for each CPU)\n"
    "      --progress MODE     auto (default), plain, json or none\n"
    "      --json              report as JSON (blobseal.open/1)\n"
    "  -q, --quiet             no progress and no summary\n"
    "  -h, --help              this text\n\n"
    "A file appears under its name only when all of it was verified. To standard output verified data goes as it "
    "comes, so\n"
    "whoever reads it must look at the exit code: 3 means that what came is not all, or not authentic.\n\n"
    "Example:\n"
    "  blobseal open -k kek.pem disk.img.sealed\n";

static bool tell(const struct job *j, uint64_t plain_bytes, double seconds, struct blobseal_error *err)
{
    const struct report report = report_of_reader("blobseal.open/1", j, plain_bytes, seconds);
    char size[32], rate[32], out[320];

    if (settings.json)
        return report_print(&report, err);
    if (progress_wants_summary(&j->progress))
        fprintf(stderr, "opened %s  %s  %.2f s  %s  -> %s\n", j->in.printable, human_bytes(size, plain_bytes), seconds,
                human_rate(rate, plain_bytes, seconds), printable(out, sizeof out, j->out.path));
    return true;
}

/* disk.img.sealed opens as disk.img. */
static bool default_output(struct job *j, struct blobseal_error *err)
{
    static const char suffix[] = ".sealed";
    size_t len = strlen(j->in_path), stem = len > strlen(suffix) ? len - strlen(suffix) : 0;

    if (j->out_path != NULL || j->in.is_stdin)
        return true;
    if (stem == 0 || strcmp(j->in_path + stem, suffix) != 0 || j->in_path[stem - 1] == '/' ||
        stem >= sizeof j->default_out) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s does not end in .sealed, so the output needs a name", j->in_path);
        blobseal_hint(err, "use -o FILE, or -o - for standard output");
        return false;
    }
    (void)snprintf(j->default_out, sizeof j->default_out, "%.*s", (int)stem, j->in_path);
    return true;
}

static bool open_blob(struct job *j, struct blobseal_error *err)
{
    struct blobseal_fd state;
    struct blobseal_sink sink;
    uint64_t plain_bytes = 0;
    double seconds;
    bool ok = job_open_input(j, BLOBSEAL_OAEP_SHA256, err) && default_output(j, err) && job_open_output(j, err) &&
              job_open_reader(j, err);

    if (!ok)
        return false;
    report_notes(j->in.name, blobseal_reader_info(j->reader)->notes);
    progress_start(&j->progress, "open", j->in.printable, blobseal_reader_size(j->reader));
    ok = output_sink(&j->out, &sink, &state, err) &&
         blobseal_reader_stream(j->reader, &sink, &plain_bytes, err) == BLOBSEAL_OK;
    seconds = progress_end(&j->progress);
    return ok && input_unchanged(&j->in, err) && output_commit(&j->out, err) && tell(j, plain_bytes, seconds, err);
}

static const struct option options[] = {KEY_OPTIONS,
                                        {"output", required_argument, NULL, 'o'},
                                        {"force", no_argument, NULL, 'f'},
                                        {"envelope", required_argument, NULL, OPT_ENVELOPE},
                                        {"jobs", required_argument, NULL, 'j'},
                                        PROGRESS_OPTION,
                                        COMMON_OPTIONS,
                                        {0}};

static int run(int argc, char **argv)
{
    struct job j = JOB_NONE;
    struct blobseal_error err = {0};
    int code = job_parse(&j, argc, argv, ":k:o:fj:qh", options, NULL, NULL);

    if (code == EXIT_OK)
        code = job_need_key(&j);
    if (code == EXIT_OK)
        code = job_check_output(&j);
    return code != EXIT_OK ? code : job_finish(&j, open_blob(&j, &err), &err);
}

const struct verb verb_open = {"open", "decrypt a blob", usage, run, options, NULL};
