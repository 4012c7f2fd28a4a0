/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal rewrap: rotate a key; the payload stays as it is. */
#include "change.h"

static const char usage[] =
    "blobseal rewrap -k OLD --to NEW... [-k KEY]... IN...\n"
    "Replace OLD by NEW as a recipient of each blob or envelope file IN. The data is not touched.\n\n"
    "  -k, --kek KEY           the first one is OLD, which opens the envelope and is replaced; further ones are keys "
    "(public\n"
    "                          ones will do) of recipients who stay: each needs a newly wrapped key\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY or NEW before it; without, it is asked for on the terminal\n"
    "      --to NEW            a recipient from now on; repeatable\n"
    "      --oaep HASH         sha1 for the KEY or NEW before it, where that can do no SHA-256\n"
    "      --drop KID          let the recipient with this key id go as well; repeatable\n"
    "      --only              let everybody go who is not named with --to\n"
    "      --min-generation N  refuse an envelope that is older\n"
    "      --rewrite           write a new file, with larger slots where the envelope needs them\n"
    "      --slot-size BYTES   the same, with slots of this size: 4096 to 65536, a multiple of 4096\n"
    "  -n, --dry-run           print what would be done\n"
    "      --fips              let nothing but OpenSSL's FIPS provider serve\n"
    "      --json              report as JSON (blobseal.change/1), one line a file\n"
    "  -q, --quiet             no report and no warnings\n"
    "  -h, --help              this text\n\n"
    "Blobs with two slots (from 4 MiB on, and streams) are changed in place, whatever their size; others are written "
    "anew and\n"
    "take the place of the old file. A crash leaves the old or the new envelope: run it again. Who holds an old copy "
    "keeps\n"
    "access to what was in it.\n\n"
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

static int run(int argc, char **argv)
{
    struct change_request r = {.change = {.replace = true}};
    int c, code = EXIT_OK;

    while (code == EXIT_OK && (c = next_option(argc, argv, ":k:nqh", options)) != -1)
        code = set_option(&r, c, optarg);
    if (code == EXIT_OK && r.keys.num == 0)
        code = usage_error("rewrap needs the key to replace: -k OLD");
    if (code == EXIT_OK && r.to.num == 0)
        code = usage_error("rewrap needs the key to replace it by: --to NEW");
    if (code == EXIT_OK && optind == argc)
        code = usage_error("rewrap needs files: IN...");
    return code != EXIT_OK ? code : change_files(&r, argv + optind, (size_t)(argc - optind));
}

const struct verb verb_rewrap = {"rewrap", "rotate a key, in place", usage, run, options, NULL};
