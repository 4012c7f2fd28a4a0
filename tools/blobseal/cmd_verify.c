/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal verify: open all of a blob, check it, and write nothing. */
#include <stdio.h>

#include "cli.h"

static const char usage[] =
    "blobseal verify -k KEY... [IN]\n"
    "Open all of the blob IN (default: standard input) and check it, without an output.\n\n"
    "  -k, --kek KEY           a PEM file with an RSA private key; repeatable\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY before it; without, it is asked for on the terminal\n"
    "      --envelope FILE     the key envelope, for a blob that was sealed with --detached\n"
    "      --min-generation N  refuse an envelope that is older\n"
    "  -j, --jobs N            threads (default: one for each CPU)\n"
    "      --progress MODE     auto (default), plain, json or none\n"
    "      --fips              let nothing but OpenSSL's FIPS provider serve\n"
    "      --json              report as JSON (blobseal.verify/1)\n"
    "  -q, --quiet             say it with the exit code only: 0 is authentic, 3 is not\n"
    "  -h, --help              this text\n\n"
    "Example:\n"
    "  blobseal verify -k kek.pem disk.img.sealed\n";

static bool tell(const struct job *j, uint64_t plain_bytes, double seconds, struct blobseal_error *err)
{
    const struct report report = report_of_reader("blobseal.verify/1", j, plain_bytes, seconds);

    char ratio[32];

    if (settings.json)
        return report_print(&report, err);
    if (!settings.quiet)
        printf("%s: authentic, %llu bytes%s\n", j->in.printable, (unsigned long long)plain_bytes,
               report_ratio(ratio, &report));
    return fflush(stdout) == 0 || stdout_failed(err);
}

static bool verify(struct job *j, struct blobseal_error *err)
{
    uint64_t plain_bytes = 0;
    double seconds;
    bool ok = job_open_input(j, BLOBSEAL_OAEP_SHA256, err) && job_open_reader(j, err);

    if (!ok)
        return false;
    if (!settings.quiet)
        report_notes(j->in.name, blobseal_reader_info(j->reader)->notes);
    progress_start(&j->progress, "verify", j->in.printable, blobseal_reader_size(j->reader));
    ok = blobseal_reader_verify(j->reader, &plain_bytes, err) == BLOBSEAL_OK;
    seconds = progress_end(&j->progress);
    return ok && tell(j, plain_bytes, seconds, err);
}

static const struct option options[] = {KEY_OPTIONS,
                                        {"envelope", required_argument, NULL, OPT_ENVELOPE},
                                        {"min-generation", required_argument, NULL, OPT_MIN_GENERATION},
                                        {"jobs", required_argument, NULL, 'j'},
                                        PROGRESS_OPTION,
                                        COMMON_OPTIONS,
                                        {0}};

static int run(int argc, char **argv)
{
    struct job j = JOB_NONE;
    struct blobseal_error err = {0};
    int code = job_parse(&j, argc, argv, ":k:j:qh", options, NULL, NULL);

    if (code == EXIT_OK)
        code = job_need_key(&j);
    return code != EXIT_OK ? code : job_finish(&j, verify(&j, &err), &err);
}

const struct verb verb_verify = {"verify", "check a blob without writing anything", usage, run, options, NULL};
