/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal open: decrypt a blob into a file or a stream. */
#include <stdio.h>
#include <stdlib.h>
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

struct request {
    struct keys keys;
    const char *in_path, *out_path, *envelope_path;
    char default_out[4096];
    bool force, forced_tty;
    struct blobseal_reader_options options;
    struct progress progress;
};

static bool tell(const struct request *r, const struct input *in, const struct output *out,
                 const struct blobseal_info *info, uint64_t plain_bytes, double seconds, struct blobseal_error *err)
{
    const struct report report = {.schema = "blobseal.open/1",
                                  .in = in->name,
                                  .out = out->path,
                                  .plain_bytes = plain_bytes,
                                  .sealed_bytes = info->sealed_bytes,
                                  .blob_id = info->blob_id,
                                  .recipients = info->recipients,
                                  .num_recipients = info->num_recipients,
                                  .seconds = seconds};
    char size[32], rate[32];

    if (settings.json)
        return report_print(&report, err);
    if (progress_wants_summary(&r->progress))
        fprintf(stderr, "opened %s  %s  %.2f s  %s  -> %s\n", in->name, human_bytes(size, plain_bytes), seconds,
                human_rate(rate, plain_bytes, seconds), out->path);
    return true;
}

static bool open_to(struct request *r, const struct input *in, struct blobseal_reader *reader, struct output *out,
                    struct blobseal_error *err)
{
    const struct blobseal_info *info = blobseal_reader_info(reader);
    struct blobseal_fd state;
    struct blobseal_sink sink;
    uint64_t plain_bytes = 0;
    double seconds;
    bool ok;

    report_notes(in->name, info->notes);
    progress_start(&r->progress, "open", in->name, blobseal_reader_size(reader));
    ok =
        output_sink(out, &sink, &state, err) && blobseal_reader_stream(reader, &sink, &plain_bytes, err) == BLOBSEAL_OK;
    seconds = progress_end(&r->progress);
    return ok && input_unchanged(in, err) && output_commit(out, err) &&
           tell(r, in, out, info, plain_bytes, seconds, err);
}

/* disk.img.sealed opens as disk.img. */
static bool default_output(struct request *r, const struct input *in, struct blobseal_error *err)
{
    static const char suffix[] = ".sealed";
    size_t len = r->in_path != NULL ? strlen(r->in_path) : 0;

    if (r->out_path != NULL)
        return true;
    if (in->is_stdin) {
        r->out_path = "-";
        return true;
    }
    if (len <= strlen(suffix) || strcmp(r->in_path + len - strlen(suffix), suffix) != 0 ||
        r->in_path[len - strlen(suffix) - 1] == '/' || len >= sizeof r->default_out) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s does not end in .sealed, so the output needs a name", r->in_path);
        blobseal_hint(err, "use -o FILE, or -o - for standard output");
        return false;
    }
    (void)snprintf(r->default_out, sizeof r->default_out, "%.*s", (int)(len - strlen(suffix)), r->in_path);
    r->out_path = r->default_out;
    return true;
}

static bool open_blob(struct request *r, struct blobseal_error *err)
{
    struct blobseal_reader *reader = NULL;
    struct output out = {.fd = -1};
    struct input in = {.fd = -1};
    char *envelope = NULL;
    bool ok = keys_open(&r->keys, BLOBSEAL_OAEP_SHA256, err) && input_open(&in, r->in_path, err) &&
              default_output(r, &in, err) &&
              (r->envelope_path == NULL || read_envelope(r->envelope_path, &envelope, &r->options.envelope_len, err)) &&
              output_open(&out, r->out_path, r->force, r->forced_tty, output_mode(&in), &in, err);

    r->options.envelope = envelope;
    r->options.progress = progress_step;
    r->options.progress_ctx = &r->progress;
    ok = ok && blobseal_reader_open(&reader, &in.source, r->keys.keks, r->keys.num, &r->options, err) == BLOBSEAL_OK &&
         open_to(r, &in, reader, &out, err);
    blobseal_reader_close(reader);
    output_abort(&out);
    free(envelope);
    input_close(&in);
    return ok;
}

static int set_option(struct request *r, int option, const char *arg)
{
    unsigned long n;
    int code;

    if (keys_option(&r->keys, option, arg, &code) || code != EXIT_OK)
        return code;
    switch (option) {
    case 'o':
        r->out_path = arg;
        r->forced_tty = strcmp(arg, "-") == 0;
        break;
    case 'f':
        r->force = true;
        break;
    case 'j':
        if (!parse_number(arg, 1, 256, &n))
            return usage_error("-j takes a number of threads from 1 to 256, not %s", arg);
        r->options.threads = (unsigned)n;
        break;
    case OPT_ENVELOPE:
        r->envelope_path = arg;
        break;
    case OPT_PROGRESS:
        if (!progress_option(&r->progress, arg))
            return usage_error("--progress is auto, plain, json or none, not %s", arg);
        break;
    }
    return EXIT_OK;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {KEY_OPTIONS,
                                            {"output", required_argument, NULL, 'o'},
                                            {"force", no_argument, NULL, 'f'},
                                            {"envelope", required_argument, NULL, OPT_ENVELOPE},
                                            {"jobs", required_argument, NULL, 'j'},
                                            PROGRESS_OPTION,
                                            COMMON_OPTIONS,
                                            {0}};
    struct request r = {.options = {.size = sizeof r.options}};
    struct blobseal_error err = {0};
    int c, code;

    while ((c = next_option(argc, argv, ":k:o:fj:qh", options)) != -1) {
        code = set_option(&r, c, optarg);
        if (code != EXIT_OK)
            return code;
    }
    if (argc - optind > 1)
        return usage_error("open takes one input, not %d: %s", argc - optind, argv[optind + 1]);
    r.in_path = argv[optind];
    if (r.keys.num == 0)
        return usage_error("open needs a key: -k KEY");
    if (settings.json &&
        (r.out_path != NULL ? strcmp(r.out_path, "-") == 0 : r.in_path == NULL || strcmp(r.in_path, "-") == 0))
        return usage_error("the data and --json cannot both go to standard output: name a file with -o");
    code = open_blob(&r, &err) ? EXIT_OK : report_error(&err);
    keys_close(&r.keys);
    return code;
}

const struct verb verb_open = {"open", "decrypt a blob", usage, run};
