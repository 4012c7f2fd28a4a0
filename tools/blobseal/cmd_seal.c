/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal seal: encrypt a file or a stream for one or more keys. */
#include <string.h>

#include "tools/blobseal/verbs.h"

static const char usage[] =
    "blobseal seal {-k KEY | -R FILE}... [-o OUT] [IN]...\n"
    "Seal each IN (default: standard input) for each KEY.\n\n"
    "  -k, --kek KEY           a recipient: a PEM file with an RSA public key, certificate or private key, the\n"
    "                          PKCS#11 URI of a key, https://VAULT/keys/NAME[/VERSION], set:NAME or key:NAME;\n"
    "                          repeatable\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY before it, if that is an encrypted private key\n"
    "  -R, --recipients FILE   more recipients: a KEY in each line, or public keys in PEM; # starts a comment; paths "
    "are\n"
    "                          relative to the folder of FILE\n"
    "  -o, --output OUT        default: IN.sealed, or standard output for standard input; - is standard output; "
    "FOLDER/\n"
    "                          collects the outputs of several inputs\n"
    "  -c, --stdout            the same as -o -\n"
    "  -f, --force             replace OUT, and the envelope FILE, if they exist\n"
    "      --detached FILE     write the key envelope to FILE instead of into the blob\n"
    "      --zstd[=LEVEL]      compress first, at a level from -7 (fast) to 19 (small; default 3). The size of the\n"
    "                          blob then depends on the content: not for secrets together with text that an\n"
    "                          attacker can choose\n"
    "      --no-checksums      omit the checksums of segments: for stores that keep a digest of their own\n"
    "      --slot-size BYTES   room for the envelope, so that it can be changed in place: 4096 to 65536, a multiple\n"
    "                          of 4096 (default: at least 16384, from 4 MiB on and for streams; no spare\n"
    "                          room for smaller files)\n"
    "      --name NAME         seal a name of the content; it is never used as the name of an output\n"
    "      --type MEDIA/TYPE   seal a media type\n"
    "      --annotation NAME=VALUE\n"
    "                          seal a note; repeatable. Name, type and notes are visible only with a key\n"
    "      --oaep HASH         sha256 (default), or sha1 for tokens that support nothing else\n"
    "      --require-purge-protection\n"
    "                          refuse a key in a vault that lets it be destroyed as soon as it is deleted\n"
    "      --digest[=LIST]     also report the SHA-256 of the core, which is the one to sign; LIST: core, output (the\n"
    "                          whole blob) and plain (the content: it confirms guesses), separated by commas\n"
    "  -j, --jobs N            threads (default: one for each CPU)\n"
    "      --progress MODE     auto (default), plain, json or none\n"
    "      --config FILE       configuration, in addition to those of the machine and the user\n"
    "      --audit FILE        append a record of each use of a key to FILE\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report as JSON (blobseal.seal/1)\n"
    "  -q, --quiet             no progress and no summary\n"
    "  -h, --help              this text\n\n"
    "The size of the data is not hidden. Everybody who has the public key can seal: sign the blob to prove its\n"
    "origin.\n\n"
    "Example:\n"
    "  blobseal seal -k kek.pub.pem -k backup.pub.pem disk.img\n";

struct request {
    struct job job;
    const char *detached_path;
    struct blobseal_seal_options options;
    enum blobseal_oaep oaep;
    struct metadata_args metadata;
};

/* ---- Sealing ----------------------------------------------------------------------------------------------------- */

static void describe_recipients(struct blobseal_recipient *list, const struct request *r)
{
    for (size_t i = 0; i < r->job.keys.num_keks; i++)
        list[i] = (struct blobseal_recipient){.alg = blobseal_kek_alg(r->job.keys.keks[i]),
                                              .kid = blobseal_kek_kid(r->job.keys.keks[i])};
}

static bool report(const struct request *r, const struct blobseal_seal_result *result, double seconds,
                   struct blobseal_error *err)
{
    struct blobseal_recipient recipients[BLOBSEAL_MAX_RECIPIENTS];
    const struct job *j = &r->job;
    const struct report sealed = {.schema = "blobseal.seal/1",
                                  .in = j->in.name,
                                  .out = j->out.path,
                                  .plain_bytes = result->plain_bytes,
                                  .sealed_bytes = result->sealed_bytes,
                                  .zstd = r->options.zstd,
                                  .stored_bytes = result->stored_bytes,
                                  .blob_id = result->blob_id,
                                  .generation = result->generation,
                                  .recipients = recipients,
                                  .num_recipients = j->keys.num_keks,
                                  .envelope_sha256 = result->envelope_sha256,
                                  .digests = result->digests,
                                  .seconds = seconds};
    char size[32], ratio[32], rate[32], out[320];

    j->shared->bytes += result->plain_bytes;
    if (j->in.is_stdin && !S_ISREG(j->in.before.st_mode) && result->plain_bytes == 0 && !j->ui->quiet)
        warn(j->ui,
             "standard input was empty: if a command before the pipe failed, the blob is worthless; in bash, 'set "
             "-o pipefail' shows such a failure");
    if (j->ui->json) {
        describe_recipients(recipients, r);
        return report_print(&sealed, err);
    }
    if (j->progress.summary)
        fprintf(stderr, "sealed %s  %s%s  %zu recipient%s  %.2f s  %s  -> %s\n", j->in.printable,
                human_bytes(size, result->plain_bytes), report_ratio(ratio, &sealed), j->keys.num_keks,
                j->keys.num_keks == 1 ? "" : "s", seconds, human_rate(rate, result->plain_bytes, seconds),
                printable(out, sizeof out, j->out.path));
    if (!j->ui->quiet)
        digest_print(stderr, &sealed.digests, j->out.path);
    if (!j->ui->quiet && sealed.digests.computed != 0)
        digest_print_envelope(stderr, result->envelope_sha256, j->out.path);
    return true;
}

/* A detached envelope is durable before the core gets its name. */
static bool commit(struct output *out, struct output *envelope, const struct blobseal_seal_result *result,
                   struct blobseal_error *err)
{
    if (result->layout != BLOBSEAL_LAYOUT_DETACHED)
        return output_commit(out, err);
    return output_write(envelope, result->envelope, result->envelope_len, err) &&
           output_commit_both(envelope, out, err);
}

static bool seal_to(struct request *r, struct output *envelope, struct blobseal_error *err)
{
    struct job *j = &r->job;
    struct blobseal_seal_result result = {.size = sizeof result};
    struct blobseal_sink sink;
    double seconds;
    bool ok = output_sink(&j->out, &sink, err);

    progress_start(&j->progress, j->ui, j->in.printable, j->in.source.size);
    r->options.metadata = r->metadata.metadata.size > 0 ? &r->metadata.metadata : NULL;
    r->options.threads = j->threads;
    r->options.digests = j->digests;
    r->options.progress = progress_step;
    r->options.progress_ctx = &j->progress;
    ok = ok &&
         blobseal_seal(&sink, &j->in.source, j->keys.keks, j->keys.num_keks, &r->options, &result, err) == BLOBSEAL_OK;
    seconds = progress_end(&j->progress);
    ok = ok && input_unchanged(&j->in, err) && commit(&j->out, envelope, &result, err) &&
         report(r, &result, seconds, err);
    blobseal_free(result.envelope);
    return ok;
}

static bool one_file(const struct output *out, const struct output *envelope, struct blobseal_error *err)
{
    if (!output_same(out, envelope))
        return false;
    (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s is the blob and the envelope", envelope->path);
    blobseal_hint(err, "--detached names a file of its own");
    return true;
}

static bool open_envelope(const struct request *r, struct output *envelope, struct blobseal_error *err)
{
    const struct job *j = &r->job;
    const struct output_options o = {
        .ui = j->ui, .mode = output_mode(&j->in) & 0666, .force = j->force, .reads = &j->shared->reads};

    return r->detached_path == NULL || output_open(envelope, r->detached_path, &o, err);
}

static bool seal(void *request, struct blobseal_error *err)
{
    struct request *r = request;
    struct job *j = &r->job;
    struct output envelope = OUTPUT_NONE;
    bool ok = job_open_input(j, err);

    if (j->in.is_folder)
        blobseal_hint(err, "pack it first: tar -C %.120s -c . | blobseal seal ...", j->in.name);
    ok = ok && job_default_output(j, strlen(j->in_path), ".sealed", err) && job_open_output(j, err) &&
         open_envelope(r, &envelope, err) && !one_file(&j->out, &envelope, err) && seal_to(r, &envelope, err);
    if (!ok)
        output_discard(&envelope, err);
    output_close(&envelope);
    return ok;
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

/* "3", "19", "-5". */
static bool parse_level(const char *arg, int *level)
{
    bool fast = arg[0] == '-';
    unsigned long n;

    if (!parse_number(fast ? arg + 1 : arg, 1, fast ? -BLOBSEAL_ZSTD_MIN_LEVEL : BLOBSEAL_ZSTD_MAX_LEVEL, &n))
        return false;
    *level = fast ? -(int)n : (int)n;
    return true;
}

static int set_option(void *ctx, int option, const char *arg)
{
    struct request *r = ctx;
    int code;

    if (metadata_option(r->job.ui, &r->metadata, option, arg, &code))
        return code;
    switch (option) {
    case 'R':
        return recipients_file(r->job.ui, &r->job.keys, arg);
    case OPT_DETACHED:
        r->detached_path = arg;
        r->options.layout = BLOBSEAL_LAYOUT_DETACHED;
        break;
    case OPT_ZSTD:
        r->options.zstd = true;
        if (arg != NULL && !parse_level(arg, &r->options.zstd_level))
            return usage_error(r->job.ui, "--zstd takes a level from -7 to -1 or from 1 to 19, not %s", arg);
        break;
    case OPT_NO_CHECKSUMS:
        r->options.no_checksums = true;
        break;
    case OPT_SLOT_SIZE:
        r->options.layout = BLOBSEAL_LAYOUT_AB;
        return slot_size_option(r->job.ui, arg, &r->options.slot_capacity);
    case OPT_OAEP:
        return oaep_option(r->job.ui, arg, &r->oaep);
    }
    return EXIT_OK;
}

static int check_detached(const struct request *r)
{
    if (r->detached_path == NULL)
        return EXIT_OK;
    if (r->options.slot_capacity != 0)
        return usage_error(r->job.ui, "--slot-size and --detached exclude each other: a detached envelope has no slot");
    if (is_stream(r->detached_path) || (r->job.out_path != NULL && strcmp(r->detached_path, r->job.out_path) == 0))
        return usage_error(r->job.ui, "--detached needs the name of another file");
    if (r->job.num > 1)
        return usage_error(r->job.ui, "--detached names one envelope, and there are %zu inputs", r->job.num);
    return EXIT_OK;
}

/* Blobs are files of their own: what follows a blob in a file is damage. */
static int check_streams(const struct request *r)
{
    if (r->job.num > 1 && r->job.out_path != NULL)
        return usage_error(r->job.ui, "%zu blobs cannot share one output: name a folder with -o FOLDER/", r->job.num);
    return EXIT_OK;
}

static const struct option options[] = {KEY_OPTIONS,
                                        {"recipients", required_argument, NULL, 'R'},
                                        {"output", required_argument, NULL, 'o'},
                                        {"stdout", no_argument, NULL, 'c'},
                                        {"force", no_argument, NULL, 'f'},
                                        {"detached", required_argument, NULL, OPT_DETACHED},
                                        {"zstd", optional_argument, NULL, OPT_ZSTD},
                                        {"no-checksums", no_argument, NULL, OPT_NO_CHECKSUMS},
                                        {"slot-size", required_argument, NULL, OPT_SLOT_SIZE},
                                        {"oaep", required_argument, NULL, OPT_OAEP},
                                        PURGE_PROTECTION_OPTION,
                                        {"name", required_argument, NULL, OPT_NAME},
                                        {"type", required_argument, NULL, OPT_TYPE},
                                        {"annotation", required_argument, NULL, OPT_ANNOTATION},
                                        {"digest", optional_argument, NULL, OPT_DIGEST},
                                        {"jobs", required_argument, NULL, 'j'},
                                        PROGRESS_OPTION,
                                        COMMON_OPTIONS,
                                        {0}};

static int run(struct ui *ui, int argc, char **argv)
{
    struct request r = {.job = JOB_NONE(ui), .options = {.size = sizeof r.options}};
    int code = job_parse(&r.job, argc, argv, set_option, &r);
    struct job_plan plan = {.done = "sealed", .use = BLOBSEAL_USE_WRAP, .one = seal, .size = sizeof r};

    if (code == EXIT_OK)
        code = job_need_key(&r.job);
    if (code == EXIT_OK)
        code = check_detached(&r);
    if (code == EXIT_OK)
        code = job_check_output(&r.job);
    if (code == EXIT_OK)
        code = check_streams(&r);
    plan.oaep = r.oaep;
    if (code == EXIT_OK)
        code = job_run(&r.job, &plan);
    keys_close(&r.job.keys);
    metadata_clear(&r.metadata);
    return code;
}

const struct verb verb_seal = {"seal", "encrypt a file for one or more keys", usage, run, options, NULL};
