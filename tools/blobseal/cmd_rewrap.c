/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal rewrap: rotate a key without touching the payload. */
#include "tools/blobseal/verbs.h"

static const char usage[] =
    "blobseal rewrap -k OLD --to NEW... [-k KEY]... IN...\n"
    "Replace OLD by NEW as a recipient of each blob or envelope file IN. The data is not touched.\n\n"
    "  -k, --kek KEY           the first one is OLD, which opens the envelope and is replaced; name here also the\n"
    "                          keys of recipients that stay, because each gets a newly wrapped key: the public\n"
    "                          ones are enough\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY or NEW before it; by default a prompt asks for it\n"
    "      --to NEW            the key of a new recipient; repeatable\n"
    "      --oaep HASH         sha1 for the KEY or NEW before it, if its token does not support SHA-256\n"
    "      --require-purge-protection\n"
    "                          refuse a key in a vault that lets it be destroyed as soon as it is deleted\n"
    "      --drop KID          remove also the recipient with this key id; repeatable\n"
    "      --only              remove all recipients that are not named with --to\n"
    "      --min-generation N  refuse an older envelope\n"
    "      --no-lock           take no lock, on a file system that has none: exclude other changes yourself\n"
    "      --rewrite           write a new file, with larger slots if the envelope needs them\n"
    "      --slot-size BYTES   the same, with slots of this size: 4096 to 65536, a multiple of 4096\n"
    "  -n, --dry-run           print what would be done\n"
    "      --config FILE       configuration, in addition to those of the machine and the user\n"
    "      --audit FILE        append a record of each use of a key to FILE\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report as JSON (blobseal.change/1), one line per file\n"
    "  -q, --quiet             no report and no warnings\n"
    "  -h, --help              this text\n\n"
    "Blobs with two slots (from 4 MiB on, and streams) are changed in place, whatever their size; others are\n"
    "replaced by a new file. A crash leaves the old or the new envelope: run it again. Whoever has an old copy of\n"
    "the blob can still open that copy.\n\n"
    "Example:\n"
    "  blobseal rewrap -k kek-2025.pem --to kek-2026.pub.pem disk.img.sealed\n";

static int set_option(struct change_request *r, int option, const char *arg)
{
    if (option == OPT_ONLY)
        r->change.only = true;
    return change_option(r, option, arg);
}

static const struct option options[] = {
    KEY_OPTIONS, CHANGE_OPTIONS, {"only", no_argument, NULL, OPT_ONLY}, COMMON_OPTIONS, {0}};

static int run(struct ui *ui, int argc, char **argv)
{
    struct change_request r = {.ui = ui, .change = {.replace = true}};
    int c, code = EXIT_OK;

    while (code == EXIT_OK && (c = next_option(ui, argc, argv)) != -1)
        code = set_option(&r, c, optarg);
    keys_default(&r.keys);
    if (code == EXIT_OK && r.keys.num == 0)
        code = usage_error(ui, "rewrap needs the key to replace: -k OLD");
    if (code == EXIT_OK && r.to.num == 0)
        code = usage_error(ui, "rewrap needs the new key: --to NEW");
    if (code == EXIT_OK && optind == argc)
        code = usage_error(ui, "rewrap needs files: IN...");
    return code != EXIT_OK ? code : change_files(&r, argv + optind, (size_t)(argc - optind));
}

const struct verb verb_rewrap = {"rewrap", "rotate a key, in place", usage, run, options, NULL};
