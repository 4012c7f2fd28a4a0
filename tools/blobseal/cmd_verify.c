/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal verify: open all of a blob, check it, and write nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char usage[] =
    "blobseal verify -k KEY... [IN]\n"
    "Open all of the blob IN (default: standard input) and check it, without an output.\n\n"
    "  -k, --kek KEY           a PEM file with an RSA private key; repeatable\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY before it; without, it is asked for on the terminal\n"
    "      --envelope FILE     the key envelope, for a blob that was sealed with --detached\n"
    "  -j, --jobs N            threads (default: one for each CPU)\n"
    "      --progress MODE     auto (default), plain, json or none\n"
    "      --json              report as JSON (blobseal.verify/1)\n"
    "  -q, --quiet             say it with the exit code only: 0 is authentic, 3 is not\n"
    "  -h, --help              this text\n\n"
    "Example:\n"
    "  blobseal verify -k kek.pem disk.img.sealed\n";

struct request {
    struct keys keys;
    const char *in_path, *envelope_path;
    struct blobseal_reader_options options;
    struct progress progress;
};

static bool tell(const struct input *in, const struct blobseal_info *info, uint64_t plain_bytes, double seconds,
                 struct blobseal_error *err)
{
    const struct report report = {.schema = "blobseal.verify/1",
                                  .in = in->name,
                                  .plain_bytes = plain_bytes,
                                  .sealed_bytes = info->sealed_bytes,
                                  .blob_id = info->blob_id,
                                  .recipients = info->recipients,
                                  .num_recipients = info->num_recipients,
                                  .seconds = seconds};

    if (settings.json)
        return report_print(&report, err);
    if (!settings.quiet)
        printf("%s: authentic, %llu bytes\n", in->name, (unsigned long long)plain_bytes);
    return fflush(stdout) == 0 || stdout_failed(err);
}

static bool verify(struct request *r, struct blobseal_error *err)
{
    struct blobseal_reader *reader = NULL;
    struct input in = {.fd = -1};
    uint64_t plain_bytes = 0;
    char *envelope = NULL;
    double seconds;
    bool ok = keys_open(&r->keys, BLOBSEAL_OAEP_SHA256, err) && input_open(&in, r->in_path, err) &&
              (r->envelope_path == NULL || read_envelope(r->envelope_path, &envelope, &r->options.envelope_len, err));

    r->options.envelope = envelope;
    r->options.progress = progress_step;
    r->options.progress_ctx = &r->progress;
    ok = ok && blobseal_reader_open(&reader, &in.source, r->keys.keks, r->keys.num, &r->options, err) == BLOBSEAL_OK;
    if (ok) {
        report_notes(in.name, blobseal_reader_info(reader)->notes);
        progress_start(&r->progress, "verify", in.name, blobseal_reader_size(reader));
        ok = blobseal_reader_verify(reader, &plain_bytes, err) == BLOBSEAL_OK;
        seconds = progress_end(&r->progress);
        ok = ok && input_unchanged(&in, err) && tell(&in, blobseal_reader_info(reader), plain_bytes, seconds, err);
    }
    blobseal_reader_close(reader);
    free(envelope);
    input_close(&in);
    return ok;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {KEY_OPTIONS,
                                            {"envelope", required_argument, NULL, OPT_ENVELOPE},
                                            {"jobs", required_argument, NULL, 'j'},
                                            PROGRESS_OPTION,
                                            COMMON_OPTIONS,
                                            {0}};
    struct request r = {.options = {.size = sizeof r.options}};
    struct blobseal_error err = {0};
    unsigned long n;
    int c, code;

    while ((c = next_option(argc, argv, ":k:j:qh", options)) != -1) {
        if (keys_option(&r.keys, c, optarg, &code))
            continue;
        if (code != EXIT_OK)
            return code;
        if (c == OPT_ENVELOPE)
            r.envelope_path = optarg;
        else if (c == OPT_PROGRESS && !progress_option(&r.progress, optarg))
            return usage_error("--progress is auto, plain, json or none, not %s", optarg);
        else if (c == 'j' && !parse_number(optarg, 1, 256, &n))
            return usage_error("-j takes a number of threads from 1 to 256, not %s", optarg);
        else if (c == 'j')
            r.options.threads = (unsigned)n;
    }
    if (argc - optind > 1)
        return usage_error("verify takes one input, not %d: %s", argc - optind, argv[optind + 1]);
    r.in_path = argv[optind];
    if (r.keys.num == 0)
        return usage_error("verify needs a key: -k KEY");
    code = verify(&r, &err) ? EXIT_OK : report_error(&err);
    keys_close(&r.keys);
    return code;
}

const struct verb verb_verify = {"verify", "check a blob without writing anything", usage, run};
