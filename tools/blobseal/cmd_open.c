/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal open: decrypt a blob into a file or a stream. */
#include <string.h>

#include "tools/blobseal/verbs.h"

static const char usage[] =
    "blobseal open -k KEY... [-o OUT] [IN]...\n"
    "Open each blob IN (default: standard input) with the first KEY that fits.\n\n"
    "  -k, --kek KEY           a PEM file with an RSA private key, the PKCS#11 URI of a key, https://VAULT/keys/NAME,\n"
    "                          set:NAME or key:NAME; repeatable\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY before it; by default a prompt on the terminal asks for it\n"
    "  -o, --output OUT        - is standard output; default: IN without .sealed, or standard output for standard\n"
    "                          input; FOLDER/ collects the outputs of several inputs\n"
    "  -c, --stdout            the same as -o -; the contents of several inputs follow each other\n"
    "  -f, --force             replace OUT if it exists\n"
    "      --envelope FILE     the key envelope of a blob that was sealed with --detached\n"
    "      --min-generation N  refuse an older envelope\n"
    "      --range OFF:[LEN]   LEN bytes of the content from byte OFF on, by default up to the end; needs -o; the\n"
    "                          units K, M, G and T are powers of 1024\n"
    "      --sparse            leave holes in OUT where blocks of 4 KiB are zero\n"
    "      --raw               write the zstd file itself, if the blob was sealed with --zstd\n"
    "      --digest[=LIST]     also report the SHA-256 of the core, which is the one to sign; LIST: core, output (the\n"
    "                          whole blob) and plain (the content: it confirms guesses), separated by commas\n"
    "  -j, --jobs N            threads (default: one for each CPU)\n"
    "      --progress MODE     auto (default), plain, json or none\n"
    "      --config FILE       configuration, in addition to those of the machine and the user\n"
    "      --audit FILE        append a record of each use of a key to FILE\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report as JSON (blobseal.open/1)\n"
    "  -q, --quiet             no progress and no summary\n"
    "  -h, --help              this text\n\n"
    "A file gets its name only when all of it is verified. Standard output receives verified data as it comes, so the\n"
    "reader must check the exit code: unless it is 0, the output is incomplete.\n\n"
    "Example:\n"
    "  blobseal open -k kek.pem disk.img.sealed\n";

struct request {
    struct job job;
    bool is_range, sparse;
    uint64_t off, len; /* of the range */
};

static bool report(const struct request *r, uint64_t plain_bytes, double seconds, struct blobseal_error *err)
{
    const struct job *j = &r->job;
    struct report result = report_of_reader("blobseal.open/1", j, plain_bytes, seconds);
    char size[32], ratio[32], rate[32], out[320];

    j->shared->bytes += plain_bytes;
    if (r->is_range) {
        if (result.plain_bytes != BLOBSEAL_SIZE_UNKNOWN) /* it is unknown with --raw */
            result.plain_bytes = blobseal_reader_size(j->reader);
        result.is_range = true;
        result.range_off = r->off;
        result.range_len = plain_bytes;
    }
    if (j->ui->json)
        return report_print(&result, err);
    if (j->progress.summary)
        fprintf(stderr, "opened %s  %s%s  %.2f s  %s  -> %s\n", j->in.printable, human_bytes(size, plain_bytes),
                report_ratio(ratio, &result), seconds, human_rate(rate, plain_bytes, seconds),
                printable(out, sizeof out, j->out.path));
    if (!j->ui->quiet)
        digest_print(stderr, &result.digests, j->in.name);
    return true;
}

/* Derive the name of the output from that of the input: disk.img from disk.img.sealed. */
static bool default_output(struct job *j, struct blobseal_error *err)
{
    static const char suffix[] = ".sealed";
    size_t len = strlen(j->in_path), stem = len > strlen(suffix) ? len - strlen(suffix) : 0;

    if (j->out_path != NULL || j->in.is_stdin)
        return true;
    if (stem == 0 || strcmp(j->in_path + stem, suffix) != 0 || j->in_path[stem - 1] == '/') {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s does not end in .sealed, so the output needs a name", j->in_path);
        blobseal_hint(err, "use -o FILE, or -o - for standard output");
        return false;
    }
    return job_default_output(j, stem, "", err);
}

/* Write all of the content, or the range. */
static bool open_content(struct request *r, const struct blobseal_sink *sink, uint64_t *plain_bytes,
                         struct blobseal_error *err)
{
    struct blobseal_reader *reader = r->job.reader;

    if (r->is_range)
        return blobseal_reader_stream_range(reader, sink, r->off, r->len, plain_bytes, err) == BLOBSEAL_OK;
    return blobseal_reader_stream(reader, sink, plain_bytes, err) == BLOBSEAL_OK;
}

static uint64_t expected_bytes(const struct request *r)
{
    uint64_t size = blobseal_reader_size(r->job.reader), left;

    if (!r->is_range || size == BLOBSEAL_SIZE_UNKNOWN)
        return size;
    left = r->off < size ? size - r->off : 0;
    return r->len < left ? r->len : left;
}

static bool open_blob(void *request, struct blobseal_error *err)
{
    struct request *r = request;
    struct job *j = &r->job;
    struct blobseal_sink sink;
    struct sparse sparse;
    uint64_t plain_bytes = 0;
    double seconds;
    bool ok = job_open_input(j, err) && default_output(j, err) && job_open_output(j, err) &&
              output_sink(&j->out, &sink, err) && (!r->sparse || sparse_start(&sparse, &j->out, &sink, err)) &&
              job_open_reader(j, err);

    if (!ok)
        return false;
    report_notes(j->ui, j->in.name, blobseal_reader_info(j->reader)->notes);
    progress_start(&j->progress, j->ui, j->in.printable, expected_bytes(r));
    ok = open_content(r, &sink, &plain_bytes, err);
    seconds = progress_end(&j->progress);
    ok = ok && (!r->sparse || sparse_end(&j->out, plain_bytes, err));
    return ok && output_commit(&j->out, err) && report(r, plain_bytes, seconds, err);
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

static bool parse_range(struct request *r, const char *arg)
{
    r->len = BLOBSEAL_SIZE_UNKNOWN;
    if (!parse_bytes(&arg, &r->off) || *arg++ != ':')
        return false;
    return *arg == '\0' || (parse_bytes(&arg, &r->len) && *arg == '\0');
}

static int set_option(void *ctx, int option, const char *arg)
{
    struct request *r = ctx;

    if (option == OPT_SPARSE)
        r->sparse = true;
    if (option == OPT_RANGE) {
        r->is_range = r->job.part = true;
        if (!parse_range(r, arg))
            return usage_error(r->job.ui, "--range takes bytes as OFF:LEN or OFF:, such as 0:512 or 1G:4K, not %s",
                               arg);
    }
    return EXIT_OK;
}

static int check_range(const struct request *r)
{
    if (r->is_range && r->job.num > 1)
        return usage_error(r->job.ui, "--range takes one input, not %zu", r->job.num);
    if (r->is_range && r->job.digests != 0)
        return usage_error(r->job.ui, "--digest needs all of a blob, so it excludes --range");
    if (r->is_range && r->job.out_path == NULL && !is_stream(r->job.in_path))
        return usage_error(r->job.ui, "a part must not get the name of the whole: name the output of --range with -o");
    return EXIT_OK;
}

static const struct option options[] = {KEY_OPTIONS,
                                        {"output", required_argument, NULL, 'o'},
                                        {"stdout", no_argument, NULL, 'c'},
                                        {"force", no_argument, NULL, 'f'},
                                        {"envelope", required_argument, NULL, OPT_ENVELOPE},
                                        {"min-generation", required_argument, NULL, OPT_MIN_GENERATION},
                                        {"range", required_argument, NULL, OPT_RANGE},
                                        {"raw", no_argument, NULL, OPT_RAW},
                                        {"sparse", no_argument, NULL, OPT_SPARSE},
                                        {"digest", optional_argument, NULL, OPT_DIGEST},
                                        {"jobs", required_argument, NULL, 'j'},
                                        PROGRESS_OPTION,
                                        COMMON_OPTIONS,
                                        {0}};

static int run(struct ui *ui, int argc, char **argv)
{
    struct request r = {.job = JOB_NONE(ui)};
    struct job_plan plan = {.done = "opened", .one = open_blob, .size = sizeof r};
    int code;

    r.job.device_hint = "verify the blob first, then: blobseal open ... -o - | dd of=DEVICE";
    code = job_parse(&r.job, argc, argv, set_option, &r);
    if (code == EXIT_OK)
        code = job_need_key(&r.job);
    if (code == EXIT_OK)
        code = job_check_output(&r.job);
    if (code == EXIT_OK)
        code = check_range(&r);
    plan.in_order = r.job.out_path != NULL; /* the contents follow each other on standard output */
    return code != EXIT_OK ? code : job_run(&r.job, &plan);
}

const struct verb verb_open = {"open", "decrypt a blob", usage, run, options, NULL};
