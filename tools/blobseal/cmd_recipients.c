/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal recipients: list, add and remove the recipients of a blob, and repair its envelope. */
#include <stdlib.h>
#include <string.h>

#include "tools/blobseal/verbs.h"

static const char usage[] =
    "blobseal recipients list IN...\n"
    "       blobseal recipients add -k KEY --to NEW... IN...\n"
    "       blobseal recipients remove -k KEY... --kid KID... IN...\n"
    "       blobseal recipients repair -k KEY IN...\n"
    "Show or change the recipients of each blob or envelope file IN. The data is not touched.\n\n"
    "  list                    show algorithm and key id of each recipient; needs no key, verifies nothing\n"
    "  add                     add NEW as a recipient\n"
    "  remove                  remove the recipient KID. The others get newly wrapped keys: name their keys with -k,\n"
    "                          the public ones are enough\n"
    "  repair                  finish a change that was interrupted, and repair a damaged slot or header\n\n"
    "  -k, --kek KEY           a key that opens the envelope, or the public key of a recipient that stays; repeatable\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY or NEW before it; by default a prompt asks for it\n"
    "      --to NEW            the key of a new recipient; repeatable\n"
    "      --kid KID           the key id of a recipient to remove, its short form, or its KEY (one\n"
    "                          in a vault without a version: all its versions); repeatable\n"
    "      --drop KID          remove also this recipient, because its public key is not available; repeatable\n"
    "      --oaep HASH         sha1 for the KEY or NEW before it, if its token does not support SHA-256\n"
    "      --require-purge-protection\n"
    "                          refuse a key in a vault that lets it be destroyed as soon as it is deleted\n"
    "      --min-generation N  refuse an older envelope\n"
    "      --no-lock           take no lock, on a file system that has none: exclude other changes yourself\n"
    "      --rewrite           write a new file, with larger slots if the envelope needs them\n"
    "      --slot-size BYTES   the same, with slots of this size: 4096 to 65536, a multiple of 4096\n"
    "  -n, --dry-run           print what would be done\n"
    "      --config FILE       configuration, in addition to those of the machine and the user\n"
    "      --audit FILE        append a record of each use of a key to FILE\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report as JSON (blobseal.recipients/1, blobseal.change/1), one line per file\n"
    "  -q, --quiet             no report and no warnings\n"
    "  -h, --help              this text\n\n"
    "Removing a recipient does not revoke access to what was sealed before: whoever opened the blob, or has an old\n"
    "copy of it, can still read that content.\n\n"
    "Example:\n"
    "  blobseal recipients add -k kek.pem --to backup.pub.pem disk.img.sealed\n";

/* ---- list -------------------------------------------------------------------------------------------------------- */

/* Inspect a blob, or a file that is an envelope. */
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

static bool print_json(const struct input *in, const struct blobseal_info *info, struct blobseal_error *err)
{
    struct json j;

    json_start(&j, "blobseal.recipients/1");
    json_text(&j, "file", in->name);
    json_bool(&j, "verified", false);
    json_number(&j, "generation", info->generation);
    json_recipients(&j, info->recipients, info->num_recipients);
    return json_end(&j, err);
}

struct listing {
    struct ui *ui;
    bool several; /* files */
};

static bool print(const struct listing *l, const struct input *in, const struct blobseal_info *info,
                  struct blobseal_error *err)
{
    if (l->ui->json)
        return print_json(in, info, err);
    if (!l->ui->quiet)
        report_notes(l->ui, in->name, info->notes & ~BLOBSEAL_NOTE_LENGTH);
    if (l->several)
        printf("%s: generation %llu\n", in->printable, (unsigned long long)info->generation);
    for (size_t i = 0; i < info->num_recipients; i++) {
        fputs(l->several ? "  " : "", stdout);
        report_recipient(&info->recipients[i], 12);
    }
    return stdout_flush(err);
}

static int list_file(void *ctx, const char *path)
{
    const struct listing *l = ctx;
    struct blobseal_info *info = NULL;
    struct blobseal_error err = {0};
    struct input in = INPUT_NONE;
    bool ok = input_open(&in, path, &err) && look(&in, &info, &err) && print(l, &in, info, &err);

    blobseal_info_free(info);
    input_close(&in);
    return ok ? EXIT_OK : report_error(l->ui, &err);
}

static int list(const struct change_request *r, char *const *paths, size_t num)
{
    struct listing l = {.ui = r->ui, .several = num > 1};

    if (r->keys.num > 0 || r->to.num > 0 || r->num_kids + r->kid_keys.num > 0 || r->rewrite || r->change.dry_run ||
        r->change.min_generation > 0)
        return usage_error(r->ui, "recipients list takes no keys, and no options about a change");
    return files_each(r->ui, paths, num, NULL, list_file, &l);
}

/* ---- add, remove, repair ----------------------------------------------------------------------------------------- */

static int add(struct change_request *r, char *const *paths, size_t num)
{
    if (r->to.num == 0)
        return usage_error(r->ui, "recipients add needs the key of the new recipient: --to NEW");
    return change_files(r, paths, num);
}

static int remove_recipients(struct change_request *r, char *const *paths, size_t num)
{
    if (r->num_kids + r->kid_keys.num == 0)
        return usage_error(r->ui, "recipients remove needs a key id: --kid KID (see: blobseal recipients list)");
    if (r->to.num > 0)
        return usage_error(r->ui, "recipients remove takes no --to: blobseal rewrap replaces a key");
    return change_files(r, paths, num);
}

static int repair(struct change_request *r, char *const *paths, size_t num)
{
    if (r->to.num > 0 || r->num_kids + r->kid_keys.num > 0 || r->rewrite)
        return usage_error(r->ui, "recipients repair changes no recipients and writes no new file");
    r->change.repair = true;
    return change_files(r, paths, num);
}

/* ---- The verb ---------------------------------------------------------------------------------------------------- */

static int set_option(struct change_request *r, int option, const char *arg)
{
    return option == OPT_KID ? change_remove(r, arg) : change_option(r, option, arg);
}

static int dispatch(struct change_request *r, const char *what, char *const *paths, size_t num)
{
    if (num == 0)
        return usage_error(r->ui, "recipients %s needs files: IN...", what);
    if (strcmp(what, "list") == 0)
        return list(r, paths, num);
    keys_default(&r->keys);
    if (r->keys.num == 0)
        return usage_error(r->ui, "recipients %s needs a key that opens the envelope: -k KEY", what);
    if (strcmp(what, "add") == 0)
        return add(r, paths, num);
    if (strcmp(what, "remove") == 0)
        return remove_recipients(r, paths, num);
    return repair(r, paths, num);
}

static const struct option options[] = {
    KEY_OPTIONS, CHANGE_OPTIONS, {"kid", required_argument, NULL, OPT_KID}, COMMON_OPTIONS, {0}};

static int unknown_action(const struct ui *ui, const char *word)
{
    struct nearest n = {.typed = word};
    char best[32];

    nearest_try_list(&n, verb_recipients.words, best);
    return unknown_word(ui, "recipients is followed by list, add, remove or repair, not", word, n.best);
}

static int run(struct ui *ui, int argc, char **argv)
{
    static const char *const words[] = {"list", "add", "remove", "repair"};
    struct change_request r = {.ui = ui};
    const char *what = NULL;
    int c, code = EXIT_OK;

    while (code == EXIT_OK && (c = next_option(ui, argc, argv)) != -1)
        code = set_option(&r, c, optarg);
    if (code != EXIT_OK)
        return code;
    for (size_t i = 0; i < COUNT(words) && optind < argc; i++)
        if (strcmp(argv[optind], words[i]) == 0)
            what = words[i];
    if (what == NULL && optind < argc)
        return unknown_action(ui, argv[optind]);
    if (what == NULL)
        return usage_error(ui, "recipients is followed by list, add, remove or repair");
    return dispatch(&r, what, argv + optind + 1, (size_t)(argc - optind - 1));
}

const struct verb verb_recipients = {
    "recipients", "show or change the recipients of a blob", usage, run, options, "list add remove repair"};
