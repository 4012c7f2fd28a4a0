/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal verify: open and check all of a blob, and write nothing. */
#include "tools/blobseal/verbs.h"
#include "tools/common/signals.h"

static const char usage[] =
    "blobseal verify -k KEY... [IN]...\n"
    "Open and check all of each blob IN (default: standard input), without an output.\n\n"
    "  -k, --kek KEY           a PEM file with an RSA private key, the PKCS#11 URI of a key, https://VAULT/keys/NAME,\n"
    "                          set:NAME or key:NAME; repeatable\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY before it; by default a prompt on the terminal asks for it\n"
    "      --envelope FILE     the key envelope of a blob that was sealed with --detached\n"
    "      --min-generation N  refuse an older envelope\n"
    "      --digest[=LIST]     also report the SHA-256 of the core, which is the one to sign; LIST: core, output (the\n"
    "                          whole blob) and plain (the content: it confirms guesses), separated by commas\n"
    "  -j, --jobs N            threads (default: one for each CPU)\n"
    "      --progress MODE     auto (default), plain, json or none\n"
    "      --config FILE       configuration, in addition to those of the machine and the user\n"
    "      --audit FILE        append a record of each use of a key to FILE\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report as JSON (blobseal.verify/1)\n"
    "  -q, --quiet             report by the exit code only: 0 is authentic, 3 is not\n"
    "  -h, --help              this text\n\n"
    "Example:\n"
    "  blobseal verify -k kek.pem disk.img.sealed\n";

static bool report(const struct job *j, uint64_t plain_bytes, double seconds, struct blobseal_error *err)
{
    const struct report result = report_of_reader("blobseal.verify/1", j, plain_bytes, seconds);
    char ratio[32];

    j->shared->bytes += plain_bytes;
    if (j->ui->json)
        return report_print(&result, err);
    flockfile(stderr);
    signals_clear_line();
    funlockfile(stderr);
    if (!j->ui->quiet)
        printf("%s: authentic, %llu bytes%s\n", j->in.printable, (unsigned long long)plain_bytes,
               report_ratio(ratio, &result));
    if (!j->ui->quiet)
        digest_print(stdout, &result.digests, j->in.name);
    return stdout_flush(err);
}

static bool verify(void *request, struct blobseal_error *err)
{
    struct job *j = request;
    uint64_t plain_bytes = 0;
    double seconds;
    bool ok = job_open_input(j, err) && job_open_reader(j, err);

    if (!ok)
        return false;
    if (!j->ui->quiet)
        report_notes(j->ui, j->in.name, blobseal_reader_info(j->reader)->notes);
    progress_start(&j->progress, j->ui, j->in.printable, blobseal_reader_size(j->reader));
    ok = blobseal_reader_verify(j->reader, &plain_bytes, err) == BLOBSEAL_OK;
    seconds = progress_end(&j->progress);
    return ok && report(j, plain_bytes, seconds, err);
}

static const struct option options[] = {KEY_OPTIONS,
                                        {"envelope", required_argument, NULL, OPT_ENVELOPE},
                                        {"min-generation", required_argument, NULL, OPT_MIN_GENERATION},
                                        {"digest", optional_argument, NULL, OPT_DIGEST},
                                        {"jobs", required_argument, NULL, 'j'},
                                        PROGRESS_OPTION,
                                        COMMON_OPTIONS,
                                        {0}};

static int run(struct ui *ui, int argc, char **argv)
{
    struct job j = JOB_NONE(ui);
    const struct job_plan plan = {.done = "verified", .one = verify, .size = sizeof j};
    int code = job_parse(&j, argc, argv, NULL, NULL);

    if (code == EXIT_OK)
        code = job_need_key(&j);
    return code != EXIT_OK ? code : job_run(&j, &plan);
}

const struct verb verb_verify = {"verify", "check a blob without writing anything", usage, run, options, NULL};
