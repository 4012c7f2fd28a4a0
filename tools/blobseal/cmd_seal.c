/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal seal: encrypt a file or a stream for one or more keys. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char usage[] =
    "blobseal seal -k KEY... [-o OUT] [IN]\n"
    "Seal IN (default: standard input) for each KEY.\n\n"
    "  -k, --kek KEY           a recipient: a PEM file with an RSA public key, certificate or private key; repeatable\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY before it, where that is an encrypted private key\n"
    "  -o, --output OUT        default: IN.sealed, or standard output for standard input; - is standard output\n"
    "  -f, --force             replace OUT if it exists\n"
    "      --detached FILE     write the key envelope to FILE instead of into the blob\n"
    "      --no-checksums      no checksum of each segment: for stores that keep a digest themselves\n"
    "      --slot-size BYTES   room for the envelope, to be changed in place later: 4096 to 65536, a multiple of 4096\n"
    "                          (default: 8192 or what is needed from 4 MiB on and for streams, no spare room below)\n"
    "      --oaep HASH         sha256 (default), or sha1 for tokens that can do no other\n"
    "  -j, --jobs N            threads (default: one for each CPU)\n"
    "      --progress MODE     auto (default), plain, json or none\n"
    "      --json              report as JSON (blobseal.seal/1)\n"
    "  -q, --quiet             no progress and no summary\n"
    "  -h, --help              this text\n\n"
    "The size of the data is not hidden. Everybody who has the public key can seal: sign the blob to prove who did.\n\n"
    "Example:\n"
    "  blobseal seal -k kek.pub.pem -k backup.pub.pem disk.img\n";

struct request {
    struct keys keys;
    const char *in_path, *out_path, *envelope_path;
    char default_out[4096];
    bool force, forced_tty;
    struct blobseal_seal_options options;
    enum blobseal_oaep oaep;
    struct progress progress;
};

/* ---- Sealing ---------------------------------------------------------------------------------------------------- */

static void describe_recipients(struct blobseal_recipient *list, const struct request *r)
{
    for (size_t i = 0; i < r->keys.num; i++)
        list[i] = (struct blobseal_recipient){.alg = r->oaep == BLOBSEAL_OAEP_SHA1 ? "RSA-OAEP" : "RSA-OAEP-256",
                                              .kid = blobseal_kek_kid(r->keys.keks[i])};
}

static bool tell(const struct request *r, const struct input *in, const struct output *out,
                 const struct blobseal_seal_result *result, double seconds, struct blobseal_error *err)
{
    struct blobseal_recipient recipients[BLOBSEAL_MAX_RECIPIENTS];
    const struct report report = {.schema = "blobseal.seal/1",
                                  .in = in->name,
                                  .out = out->path,
                                  .plain_bytes = result->plain_bytes,
                                  .sealed_bytes = result->sealed_bytes,
                                  .blob_id = result->blob_id,
                                  .recipients = recipients,
                                  .num_recipients = r->keys.num,
                                  .seconds = seconds};
    char size[32], rate[32];

    if (settings.json) {
        describe_recipients(recipients, r);
        return report_print(&report, err);
    }
    if (progress_wants_summary(&r->progress))
        fprintf(stderr, "sealed %s  %s  %zu recipient%s  %.2f s  %s  -> %s\n", in->name,
                human_bytes(size, result->plain_bytes), r->keys.num, r->keys.num == 1 ? "" : "s", seconds,
                human_rate(rate, result->plain_bytes, seconds), out->path);
    return true;
}

/* A detached envelope is durable before the core gets its name, and goes again if the core does not get it. */
static bool commit(struct output *out, struct output *envelope, const struct blobseal_seal_result *result,
                   struct blobseal_error *err)
{
    if (result->layout != BLOBSEAL_LAYOUT_DETACHED)
        return output_commit(out, err);
    if (!output_write(envelope, result->envelope, result->envelope_len, err) || !output_commit(envelope, err))
        return false;
    if (output_commit(out, err))
        return true;
    output_withdraw(envelope);
    return false;
}

static bool seal_to(struct request *r, const struct input *in, struct output *out, struct output *envelope,
                    struct blobseal_error *err)
{
    struct blobseal_seal_result result = {0};
    struct blobseal_fd state;
    struct blobseal_sink sink;
    double seconds;
    bool ok = output_sink(out, &sink, &state, err);

    progress_start(&r->progress, "seal", in->name, in->source.size);
    r->options.progress = progress_step;
    r->options.progress_ctx = &r->progress;
    ok = ok && blobseal_seal(&sink, &in->source, r->keys.keks, r->keys.num, &r->options, &result, err) == BLOBSEAL_OK;
    seconds = progress_end(&r->progress);
    ok = ok && input_unchanged(in, err) && commit(out, envelope, &result, err) &&
         tell(r, in, out, &result, seconds, err);
    blobseal_free(result.envelope);
    return ok;
}

static bool seal(struct request *r, struct blobseal_error *err)
{
    struct output out = {.fd = -1}, envelope = {.fd = -1};
    struct input in = {.fd = -1};
    bool ok = keys_open(&r->keys, r->oaep, err) && input_open(&in, r->in_path, err);

    if (ok && r->out_path == NULL) {
        if (snprintf(r->default_out, sizeof r->default_out, "%s.sealed", in.name) >= (int)sizeof r->default_out)
            ok = fail(err, BLOBSEAL_E_OUTPUT, ENAMETOOLONG, "create the output beside %.80s...", in.name);
        r->out_path = in.is_stdin ? "-" : r->default_out;
    }
    ok = ok && output_open(&out, r->out_path, r->force, r->forced_tty, output_mode(&in), &in, err) &&
         (r->envelope_path == NULL ||
          output_open(&envelope, r->envelope_path, r->force, true, output_mode(&in), &in, err)) &&
         seal_to(r, &in, &out, &envelope, err);
    output_abort(&out);
    output_abort(&envelope);
    input_close(&in);
    return ok;
}

/* ---- Options ---------------------------------------------------------------------------------------------------- */

/* One option. Answers an exit code other than EXIT_OK to stop. */
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
    case OPT_DETACHED:
        r->envelope_path = arg;
        break;
    case OPT_NO_CHECKSUMS:
        r->options.no_checksums = true;
        break;
    case OPT_SLOT_SIZE:
        if (!parse_number(arg, 4096, 65536, &n) || n % 4096 != 0)
            return usage_error("--slot-size takes a multiple of 4096 from 4096 to 65536, not %s", arg);
        r->options.slot_capacity = (uint32_t)n;
        r->options.layout = BLOBSEAL_LAYOUT_AB;
        break;
    case OPT_OAEP:
        if (strcmp(arg, "sha256") != 0 && strcmp(arg, "sha1") != 0)
            return usage_error("--oaep is sha256 or sha1, not %s", arg);
        r->oaep = strcmp(arg, "sha1") == 0 ? BLOBSEAL_OAEP_SHA1 : BLOBSEAL_OAEP_SHA256;
        break;
    case OPT_PROGRESS:
        if (!progress_option(&r->progress, arg))
            return usage_error("--progress is auto, plain, json or none, not %s", arg);
        break;
    }
    return EXIT_OK;
}

static int check_request(struct request *r)
{
    if (r->keys.num == 0)
        return usage_error("seal needs a key: -k KEY");
    if (r->envelope_path != NULL && r->options.slot_capacity != 0)
        return usage_error("a detached envelope has no slot: --slot-size does not go with --detached");
    if (r->envelope_path != NULL &&
        (strcmp(r->envelope_path, "-") == 0 || (r->out_path != NULL && strcmp(r->envelope_path, r->out_path) == 0)))
        return usage_error("--detached names a file of its own");
    if (r->envelope_path != NULL)
        r->options.layout = BLOBSEAL_LAYOUT_DETACHED;
    if (settings.json &&
        (r->out_path != NULL ? strcmp(r->out_path, "-") == 0 : r->in_path == NULL || strcmp(r->in_path, "-") == 0))
        return usage_error("the blob and --json cannot both go to standard output: name a file with -o");
    return EXIT_OK;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {KEY_OPTIONS,
                                            {"output", required_argument, NULL, 'o'},
                                            {"force", no_argument, NULL, 'f'},
                                            {"detached", required_argument, NULL, OPT_DETACHED},
                                            {"no-checksums", no_argument, NULL, OPT_NO_CHECKSUMS},
                                            {"slot-size", required_argument, NULL, OPT_SLOT_SIZE},
                                            {"oaep", required_argument, NULL, OPT_OAEP},
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
        return usage_error("seal takes one input, not %d: %s", argc - optind, argv[optind + 1]);
    r.in_path = argv[optind];
    code = check_request(&r);
    if (code == EXIT_OK && !seal(&r, &err))
        code = report_error(&err);
    keys_close(&r.keys);
    return code;
}

const struct verb verb_seal = {"seal", "encrypt a file for one or more keys", usage, run};
