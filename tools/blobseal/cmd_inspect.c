/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal inspect: show what a blob claims about itself, and with a key what is authentic. */
#include "tools/blobseal/verbs.h"

static const char usage[] =
    "blobseal inspect [-k KEY]... [IN]...\n"
    "Show what each blob IN (default: standard input) claims about itself. Without a key none of it is verified.\n\n"
    "  -k, --kek KEY           open the envelope with this key: all that is shown is then authentic, and the\n"
    "                          sealed metadata is shown as well\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY before it; by default a prompt on the terminal asks for it\n"
    "      --envelope FILE     the key envelope of a blob that was sealed with --detached\n"
    "      --min-generation N  with a key: refuse an older envelope\n"
    "      --jwe               print the key envelope as it is in the blob: a JWE in JSON\n"
    "      --config FILE       configuration, in addition to those of the machine and the user\n"
    "      --audit FILE        append a record of each use of a key to FILE\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report as JSON (blobseal.inspect/1)\n"
    "  -q, --quiet             no warnings\n"
    "  -h, --help              this text\n\n"
    "Example:\n"
    "  blobseal inspect disk.img.sealed\n";

struct request {
    struct job job;
    bool jwe;
};

static bool print_json(const struct input *in, const struct blobseal_info *info, bool verified,
                       struct blobseal_error *err)
{
    char id[2 * BLOBSEAL_BLOB_ID_LEN + 1];
    struct json j;

    hex_id(id, info->blob_id);
    json_start(&j, "blobseal.inspect/1");
    json_text(&j, "in", in->name);
    json_bool(&j, "verified", verified);
    json_number(&j, "version", info->version);
    json_text(&j, "suite", info->suite == 1 ? "Cobblestone-256" : "unknown");
    json_text(&j, "content",
              info->content == BLOBSEAL_CONTENT_ZSTD       ? "zstd"
              : info->content == BLOBSEAL_CONTENT_AS_GIVEN ? "as-given"
                                                           : "unknown");
    json_text(&j, "segments", info->segments == 0 ? "bare" : "checksummed");
    json_text(&j, "layout", blobseal_layout_name(info->layout));
    json_number(&j, "slot_capacity", info->slot_capacity != 0 ? info->slot_capacity : BLOBSEAL_SIZE_UNKNOWN);
    json_text(&j, "blob_id", id);
    json_number(&j, "generation", info->num_recipients > 0 ? info->generation : BLOBSEAL_SIZE_UNKNOWN);
    json_number(&j, "plain_bytes", info->plain_bytes);
    json_number(&j, "sealed_bytes", info->sealed_bytes);
    if (info->content == BLOBSEAL_CONTENT_ZSTD)
        json_number(&j, "stored_bytes", info->stored_bytes);
    json_bool(&j, "slot_damaged", (info->notes & BLOBSEAL_NOTE_SLOT_INVALID) != 0);
    json_bool(&j, "change_unfinished", (info->notes & BLOBSEAL_NOTE_UNFINISHED) != 0);
    json_bool(&j, "length_possible", (info->notes & BLOBSEAL_NOTE_LENGTH) == 0);
    json_recipients(&j, info->recipients, info->num_recipients);
    digest_json_envelope(&j, info->envelope_sha256);
    json_meta(&j, info->metadata);
    return json_end(&j, err);
}

static void print_bytes(const char *label, uint64_t bytes)
{
    char human[32];

    if (bytes == BLOBSEAL_SIZE_UNKNOWN)
        printf("%-12s unknown\n", label);
    else
        printf("%-12s %llu bytes (%s)\n", label, (unsigned long long)bytes, human_bytes(human, bytes));
}

static void print_text(const struct input *in, const struct blobseal_info *info, bool verified)
{
    char id[2 * BLOBSEAL_BLOB_ID_LEN + 1], hex[DIGEST_HEX];

    hex_id(id, info->blob_id);
    printf("%s: blobseal blob, format %u, %s\n", in->printable, info->version,
           verified ? "verified with a key" : "unverified claims");
    printf("%-12s %s\n", "blob id", id);
    printf("%-12s Cobblestone-256 (AES-256-GCM, chunks of 16 KiB, key commitment)\n", "cipher");
    printf("%-12s %s\n", "segments", info->segments == 0 ? "bare" : "1 MiB each, checksummed");
    if (info->layout == BLOBSEAL_LAYOUT_AB)
        printf("%-12s A/B: two slots of %u bytes\n", "layout", info->slot_capacity);
    else
        printf("%-12s %s\n", "layout", blobseal_layout_name(info->layout));
    if (info->content == BLOBSEAL_CONTENT_ZSTD)
        printf("%-12s zstd, compressed before it was sealed\n", "content");
    print_bytes("plaintext", info->plain_bytes);
    if (info->content == BLOBSEAL_CONTENT_ZSTD)
        print_bytes("compressed", info->stored_bytes);
    print_bytes("sealed", info->sealed_bytes);
    if (info->num_recipients == 0) {
        printf("%-12s not in the blob: name its file with --envelope\n", "envelope");
        return;
    }
    printf("%-12s %llu\n", "generation", (unsigned long long)info->generation);
    printf("%-12s sha256:%s\n", "envelope", digest_hex(hex, info->envelope_sha256));
    for (size_t i = 0; i < info->num_recipients; i++) {
        printf("%-12s ", i == 0 ? "recipients" : "");
        report_recipient(&info->recipients[i], 0);
    }
    metadata_print(info->metadata);
}

static bool print(const struct request *r, const struct blobseal_info *info, bool verified, struct blobseal_error *err)
{
    const struct input *in = &r->job.in;
    const struct ui *ui = r->job.ui;

    if (!ui->quiet && !ui->json)
        report_notes(ui, in->name, info->notes);
    if (r->jwe && info->jwe == NULL) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s has no envelope of its own: it was sealed detached", in->name);
        blobseal_hint(err, "the envelope file itself is the JWE");
        return false;
    }
    if (!r->jwe && ui->json)
        return print_json(in, info, verified, err);
    if (r->jwe)
        printf("%s\n", info->jwe);
    else
        print_text(in, info, verified);
    return stdout_flush(err);
}

static bool inspect(void *request, struct blobseal_error *err)
{
    struct request *r = request;
    struct job *j = &r->job;
    struct blobseal_info *info = NULL;
    bool ok = job_open_input(j, err);

    if (ok && j->keys.num > 0)
        return job_open_reader(j, err) && print(r, blobseal_reader_info(j->reader), true, err);
    ok = ok && blobseal_inspect(&info, &j->in.source, j->envelope, j->envelope_len, err) == BLOBSEAL_OK &&
         print(r, info, false, err);
    blobseal_info_free(info);
    return ok;
}

static int set_option(void *ctx, int option, const char *arg)
{
    struct request *r = ctx;

    (void)arg;
    r->jwe = r->jwe || option == OPT_JWE;
    return EXIT_OK;
}

static const struct option options[] = {KEY_OPTIONS,
                                        {"envelope", required_argument, NULL, OPT_ENVELOPE},
                                        {"min-generation", required_argument, NULL, OPT_MIN_GENERATION},
                                        {"jwe", no_argument, NULL, OPT_JWE},
                                        COMMON_OPTIONS,
                                        {0}};

static int run(struct ui *ui, int argc, char **argv)
{
    struct request r = {.job = JOB_NONE(ui)};
    const struct job_plan plan = {.in_order = true, .one = inspect, .size = sizeof r};
    int code = job_parse(&r.job, argc, argv, set_option, &r);

    if (code == EXIT_OK && r.jwe && ui->json)
        code = usage_error(ui, "--jwe and --json exclude each other: the JWE is JSON already");
    if (code == EXIT_OK && r.job.min_generation != 0 && r.job.keys.num == 0)
        code = usage_error(ui, "--min-generation needs a key: without one the generation is not authentic");
    r.job.progress.mode = PROGRESS_NONE;
    return code != EXIT_OK ? code : job_run(&r.job, &plan);
}

const struct verb verb_inspect = {"inspect", "show what a blob claims about itself", usage, run, options, NULL};
