/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal recipients: who can open a blob; let people in and out, and repair an envelope. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"

static const char usage[] =
    "blobseal recipients list IN...\n"
    "       blobseal recipients add -k KEY --to NEW... IN...\n"
    "       blobseal recipients remove -k KEY... --kid KID... IN...\n"
    "       blobseal recipients repair -k KEY IN...\n"
    "Show or change who can open each blob or envelope file IN. The data is not touched.\n\n"
    "  list                    show algorithm and key id of each recipient; needs no key, verifies nothing\n"
    "  add                     let NEW in\n"
    "  remove                  let KID go. Those who stay get newly wrapped keys: name their keys with -k, public ones "
    "do\n"
    "  repair                  finish a change that was interrupted, and mend a damaged slot or header\n\n"
    "  -k, --kek KEY           a key that opens the envelope, or the public key of a recipient who stays; repeatable\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY or NEW before it; without, it is asked for on the terminal\n"
    "      --to NEW            a recipient from now on; repeatable\n"
    "      --kid KID           the key id of a recipient who goes; repeatable\n"
    "      --drop KID          the same, for one who would stay but whose public key is not at hand; repeatable\n"
    "      --oaep HASH         sha1 for the KEY or NEW before it, where that can do no SHA-256\n"
    "      --min-generation N  refuse an envelope that is older\n"
    "      --rewrite           write a new file, with larger slots where the envelope needs them\n"
    "      --slot-size BYTES   the same, with slots of this size: 4096 to 65536, a multiple of 4096\n"
    "  -n, --dry-run           print what would be done\n"
    "      --fips              let nothing but OpenSSL's FIPS provider serve\n"
    "      --json              report as JSON (blobseal.recipients/1, blobseal.change/1), one line a file\n"
    "  -q, --quiet             no report and no warnings\n"
    "  -h, --help              this text\n\n"
    "Who has opened a blob, or holds an old copy of it, keeps access to what was in it: removing does not take that "
    "back.\n\n"
    "Example:\n"
    "  blobseal recipients add -k kek.pem --to backup.pub.pem disk.img.sealed\n";

/* ---- list ------------------------------------------------------------------------------------------------------- */

/* Look at a blob, or at a file that is an envelope. */
static bool look(struct input *in, struct blobseal_info **info, struct blobseal_error *err)
{
    enum blobseal_status st = blobseal_inspect(info, &in->source, NULL, 0, err);
    struct blobseal_error ignored;
    char *text = NULL;
    size_t len;

    if (st == BLOBSEAL_E_FORMAT && !in->is_stdin && read_envelope(in->name, &text, &len, &ignored) && len > 0 &&
        starts_json(text[0]))
        st = blobseal_inspect(info, NULL, text, len, err);
    free(text);
    if (st == BLOBSEAL_OK && (*info)->num_recipients == 0)
        return envelope_elsewhere(in->name, err);
    return st == BLOBSEAL_OK;
}

static bool print(const struct input *in, const struct blobseal_info *info, bool several, struct blobseal_error *err)
{
    if (settings.json) {
        json_start("blobseal.recipients/1");
        json_text("file", in->name);
        json_bool("verified", false);
        json_number("generation", info->generation);
        json_recipients(info->recipients, info->num_recipients);
        return json_end() || stdout_failed(err);
    }
    if (!settings.quiet)
        report_notes(in->name, info->notes & ~BLOBSEAL_NOTE_LENGTH);
    if (several)
        printf("%s: generation %llu\n", in->printable, (unsigned long long)info->generation);
    for (size_t i = 0; i < info->num_recipients; i++) {
        const struct blobseal_recipient *r = &info->recipients[i];

        printf("%s%-12s  %s%s%s\n", several ? "  " : "", r->alg, r->kid, r->region != NULL ? "  region " : "",
               r->region != NULL ? r->region : "");
    }
    return fflush(stdout) == 0 || stdout_failed(err);
}

static int list_file(void *ctx, const char *path)
{
    const bool *several = ctx;
    struct blobseal_info *info = NULL;
    struct blobseal_error err = {0};
    struct input in = {.fd = -1};
    bool ok = input_open(&in, path, &err) && look(&in, &info, &err) && print(&in, info, *several, &err);

    blobseal_info_free(info);
    input_close(&in);
    return ok ? EXIT_OK : report_error(&err);
}

static int list(const struct change_request *r, char *const *paths, size_t num)
{
    bool several = num > 1;

    if (r->keys.num > 0 || r->to.num > 0 || r->num_kids > 0 || r->rewrite || r->change.dry_run ||
        r->change.min_generation > 0)
        return usage_error("recipients list takes no keys, and nothing about a change");
    return files_each(paths, num, false, list_file, &several);
}

/* ---- add, remove, repair ---------------------------------------------------------------------------------------- */

static int add(struct change_request *r, char *const *paths, size_t num)
{
    if (r->to.num == 0)
        return usage_error("recipients add needs the key of the new recipient: --to NEW");
    return change_files(r, paths, num);
}

static int remove_recipients(struct change_request *r, char *const *paths, size_t num)
{
    if (r->num_kids == 0)
        return usage_error("recipients remove needs the key id of who goes: --kid KID (see: blobseal recipients list)");
    if (r->to.num > 0)
        return usage_error("recipients remove takes no --to: blobseal rewrap replaces a key");
    return change_files(r, paths, num);
}

static int repair(struct change_request *r, char *const *paths, size_t num)
{
    if (r->to.num > 0 || r->num_kids > 0 || r->rewrite)
        return usage_error("recipients repair changes no recipients and writes no new file");
    r->change.repair = true;
    return change_files(r, paths, num);
}

/* ---- The verb --------------------------------------------------------------------------------------------------- */

static int set_option(struct change_request *r, int option, const char *arg)
{
    return option == OPT_KID ? change_remove(r, arg) : change_option(r, option, arg);
}

static int dispatch(struct change_request *r, const char *what, char *const *paths, size_t num)
{
    if (num == 0)
        return usage_error("recipients %s needs files: IN...", what);
    if (strcmp(what, "list") == 0)
        return list(r, paths, num);
    if (r->keys.num == 0)
        return usage_error("recipients %s needs a key that opens the envelope: -k KEY", what);
    if (strcmp(what, "add") == 0)
        return add(r, paths, num);
    if (strcmp(what, "remove") == 0)
        return remove_recipients(r, paths, num);
    return repair(r, paths, num);
}

static const struct option options[] = {
    KEY_OPTIONS, CHANGE_OPTIONS, {"kid", required_argument, NULL, OPT_KID}, COMMON_OPTIONS, {0}};

static int run(int argc, char **argv)
{
    static const char *const words[] = {"list", "add", "remove", "repair"};
    struct change_request r = {0};
    const char *what = NULL;
    int c, code = EXIT_OK;

    while (code == EXIT_OK && (c = next_option(argc, argv, ":k:nqh", options)) != -1)
        code = set_option(&r, c, optarg);
    if (code != EXIT_OK)
        return code;
    for (size_t i = 0; i < COUNT(words) && optind < argc; i++)
        if (strcmp(argv[optind], words[i]) == 0)
            what = words[i];
    if (what == NULL)
        return usage_error("recipients is followed by list, add, remove or repair");
    return dispatch(&r, what, argv + optind + 1, (size_t)(argc - optind - 1));
}

const struct verb verb_recipients = {
    "recipients", "show or change who can open a blob", usage, run, options, "list add remove repair"};
