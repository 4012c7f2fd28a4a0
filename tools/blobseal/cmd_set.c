/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal set: make, show, check, rotate, export and import encryption sets. */
#define _XOPEN_SOURCE 700 /* realpath() */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <blobseal_set.h>

#include "tools/blobseal/verbs.h"

static const char usage[] =
    "blobseal set create NAME -k KEY [--recovery KEY]... [--identity NAME] [--wrap hierarchy|direct]\n"
    "blobseal set show|check [NAME]...\n"
    "blobseal set list\n"
    "blobseal set rotate NAME --to KEY|--identity NAME\n"
    "blobseal set rekey NAME\n"
    "blobseal set export NAME [-o FILE]\n"
    "blobseal set import NAME --id ID -k KEY [--recovery KEY]... [FILE]\n"
    "An encryption set binds a key (KEK), an identity and a rotation policy. Use it as a key: -k set:NAME.\n\n"
    "  -k, --kek KEY           the KEK of the set; with import a key that opens the file\n"
    "      --recovery KEY      a key that opens the set, too, if the KEK is lost; only its public half is kept\n"
    "      --identity NAME     the identity of the configuration that uses the KEK\n"
    "      --wrap WAY          hierarchy: blobs are wrapped with keys of the set; direct: with the KEK itself\n"
    "      --store FILE        keep the object of the set in FILE, which need not be trusted\n"
    "      --to KEY            the new KEK: with a version it is rotated by hand from now on, without automatically\n"
    "      --drop KID          let go a recipient of the object for which the definition has no key\n"
    "      --id ID             the id that the imported set must have; set show prints it\n"
    "  -o, --output FILE       write the export to FILE instead of standard output\n"
    "  -f, --force             replace FILE\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY before it; before any KEY, of the KEK of a set that exists\n"
    "      --audit FILE        record each use of a key in FILE\n"
    "      --config FILE       configuration, in addition to those of the machine and the user\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report as JSON (blobseal.set/1), one line per set\n"
    "  -q, --quiet             no report, no warnings\n"
    "  -h, --help              this text\n\n"
    "check looks for a new version of the KEK once, for a timer. Without NAME, show and check take all sets.\n\n"
    "Examples:\n"
    "  blobseal set create images -k https://kv-eu.vault.azure.net/keys/prod --recovery escrow.pub.pem\n"
    "  blobseal seal -k set:images layer.tar\n"
    "  blobseal set check\n";

#define MAX_DROP 16

/* Options that not all subcommands have. */
static const struct particular {
    int option;
    const char *name, *words;
} particular[] = {
    {'k', "-k", "create import"},
    {OPT_RECOVERY, "--recovery", "create import"},
    {OPT_WRAP, "--wrap", "create import"},
    {OPT_STORE, "--store", "create import"},
    {OPT_IDENTITY, "--identity", "create import rotate"},
    {OPT_TO, "--to", "rotate"},
    {OPT_DROP, "--drop", "check rotate rekey"},
    {OPT_ID, "--id", "import"},
    {'o', "--output", "export"},
    {'f', "--force", "export"},
};

#define NUM_PARTICULAR (sizeof particular / sizeof particular[0])

/* One run of the verb. */
struct command {
    struct ui *ui;
    const struct blobseal_config *config;
    struct keys keys;      /* -k, or --to of rotate            */
    struct key_arg of_set; /* the passphrase of a set's KEK    */
    char of_set_ref[sizeof "set:" + BLOBSEAL_SET_MAX_NAME];
    const char *recovery[BLOBSEAL_SET_MAX_RECOVERY];
    size_t num_recovery;
    const char *drop[MAX_DROP];
    size_t num_drop;
    const char *identity, *to, *store, *id, *output;
    enum blobseal_set_wrap wrap;
    bool force, given[NUM_PARTICULAR];
    char paths[BLOBSEAL_SET_MAX_RECOVERY + 3][PATH_MAX]; /* of keys that are files, absolute */
    size_t num_paths;
};

/* ---- Parts of all subcommands ------------------------------------------------------------------------------------ */

static struct blobseal_set_options options_for(struct command *c, struct key_arg *key)
{
    return (struct blobseal_set_options){.size = sizeof(struct blobseal_set_options),
                                         .config = c->config,
                                         .passphrase = get_passphrase,
                                         .passphrase_ctx = key};
}

/* Return a reference that does not depend on the current folder: definitions contain absolute paths. */
static const char *absolute(struct command *c, const char *ref, struct blobseal_error *err)
{
    const char *path = strncmp(ref, "file:", 5) == 0 ? ref + 5 : ref, *colon = strchr(ref, ':');

    if (path == ref && colon != NULL && memchr(ref, '/', (size_t)(colon - ref)) == NULL)
        return ref; /* pkcs11:, https:, key: */
    if (realpath(path, c->paths[c->num_paths]) != NULL)
        return c->paths[c->num_paths++];
    (void)fail(err, BLOBSEAL_E_INPUT, errno, "find the key %.200s", path);
    return NULL;
}

static bool open_set(struct command *c, const char *name, struct blobseal_set **set, struct blobseal_error *err)
{
    const struct blobseal_set_options o = options_for(c, &c->of_set);

    (void)snprintf(c->of_set_ref, sizeof c->of_set_ref, "set:%s", name);
    c->of_set.ref = c->of_set_ref;
    if (blobseal_set_open(set, name, &o, err) == BLOBSEAL_OK)
        return true;
    passphrase_failed(&c->of_set, err);
    return false;
}

static struct blobseal_set_change change_for(const struct command *c)
{
    return (struct blobseal_set_change){
        .size = sizeof(struct blobseal_set_change), .drop = c->drop, .num_drop = c->num_drop};
}

/* Fill in what create and import have in common. */
static bool new_set(struct command *c, struct blobseal_set_new *how, struct blobseal_error *err)
{
    *how = (struct blobseal_set_new){.size = sizeof *how, .identity = c->identity, .wrap = c->wrap};
    how->kek = absolute(c, c->keys.args[0].ref, err);
    for (size_t i = 0; i < c->num_recovery && how->kek != NULL; i++) {
        c->recovery[i] = absolute(c, c->recovery[i], err);
        if (c->recovery[i] == NULL)
            return false;
    }
    how->recovery = c->recovery;
    how->num_recovery = c->num_recovery;
    how->store_path = c->store;
    return how->kek != NULL;
}

/* ---- The subcommands --------------------------------------------------------------------------------------------- */

static bool create(struct command *c, const char *name, struct blobseal_error *err)
{
    const struct blobseal_set_options o = options_for(c, &c->keys.args[0]);
    struct blobseal_set *set = NULL;
    struct blobseal_set_new how;
    bool ok = new_set(c, &how, err);

    ok = ok && blobseal_set_create(&set, name, &how, &o, err) == BLOBSEAL_OK;
    if (!ok)
        passphrase_failed(&c->keys.args[0], err);
    ok = ok && set_print(c->ui, set, err);
    blobseal_set_close(set);
    if (ok && !c->ui->quiet && c->wrap == BLOBSEAL_SET_WRAP_HIERARCHY)
        warn(c->ui, "whoever can seal with the set can open all of it; a second recipient of a blob, and a copy of the "
                    "public key, are not affected when the KEK is revoked: man 7 blobseal-set");
    else if (ok && !c->ui->quiet)
        warn(c->ui, "a version of the KEK may be disabled only after its blobs were rewrapped: man 7 blobseal-set");
    return ok;
}

static bool show(struct command *c, const char *name, struct blobseal_error *err)
{
    struct blobseal_set *set = NULL;
    bool ok = open_set(c, name, &set, err) && set_print(c->ui, set, err);

    blobseal_set_close(set);
    return ok;
}

/* Change a set, and report what was done. */
static bool change(struct command *c, const char *name, const char *what, struct blobseal_error *err)
{
    struct blobseal_set_change done = change_for(c);
    struct blobseal_set *set = NULL;
    enum blobseal_status st = BLOBSEAL_OK;
    bool ok = open_set(c, name, &set, err), rotates = strcmp(what, "rotate") == 0;

    if (ok && strcmp(what, "check") == 0) {
        st = blobseal_set_check(set, &done, err);
    } else if (ok && strcmp(what, "rekey") == 0) {
        st = blobseal_set_rekey(set, &done, err);
    } else if (ok) {
        const struct blobseal_set_options o = options_for(c, c->to != NULL ? &c->keys.args[0] : &c->of_set);
        const char *to = c->to != NULL ? absolute(c, c->to, err) : NULL;

        if (c->to != NULL && to == NULL)
            st = err->status;
        else
            st = blobseal_set_rotate(set, to, c->identity, &o, &done, err);
        if (st != BLOBSEAL_OK)
            passphrase_failed(o.passphrase_ctx, err);
    }
    ok = ok && st == BLOBSEAL_OK && set_print_change(c->ui, name, &done, rotates, err);
    blobseal_set_close(set);
    return ok;
}

static bool check(struct command *c, const char *name, struct blobseal_error *err)
{
    return change(c, name, "check", err);
}

static bool rekey(struct command *c, const char *name, struct blobseal_error *err)
{
    return change(c, name, "rekey", err);
}

static bool rotate(struct command *c, const char *name, struct blobseal_error *err)
{
    return change(c, name, "rotate", err);
}

static bool write_file(struct command *c, const char *text, size_t len, struct blobseal_error *err)
{
    const struct output_options options = {.ui = c->ui, .mode = 0666, .force = c->force, .named = true};
    struct output out;
    bool ok;

    if (c->output == NULL || strcmp(c->output, "-") == 0) {
        (void)fwrite(text, 1, len, stdout);
        return stdout_flush(err);
    }
    ok = output_open(&out, c->output, &options, err) && output_write(&out, text, len, err) && output_commit(&out, err);
    if (!ok)
        output_discard(&out, err);
    output_close(&out);
    return ok;
}

/* With --json, say where the export is, unless it is standard output itself. */
static bool report_export(const struct command *c, const char *name, struct blobseal_error *err)
{
    struct json j;

    if (!c->ui->json || c->output == NULL || strcmp(c->output, "-") == 0)
        return true;
    json_start(&j, "blobseal.set/1");
    json_text(&j, "name", name);
    json_text(&j, "out", c->output);
    return json_end(&j, err);
}

static bool export_set(struct command *c, const char *name, struct blobseal_error *err)
{
    struct blobseal_set *set = NULL;
    char *text = NULL;
    size_t len = 0;
    bool ok = open_set(c, name, &set, err) && blobseal_set_export(set, NULL, &text, &len, err) == BLOBSEAL_OK &&
              write_file(c, text, len, err) && report_export(c, name, err);

    blobseal_free(text);
    blobseal_set_close(set);
    return ok;
}

/* Read the exported object from a file or standard input. */
static bool read_object(char *text, size_t cap, size_t *len, const char *path, struct blobseal_error *err)
{
    bool is_stdin = path == NULL || strcmp(path, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(path, "re");

    *len = f != NULL ? fread(text, 1, cap, f) : 0;
    if (f == NULL || ferror(f) != 0)
        (void)fail(err, BLOBSEAL_E_INPUT, errno, "read %.200s", is_stdin ? "standard input" : path);
    if (f != NULL && !is_stdin)
        (void)fclose(f);
    return err->status == BLOBSEAL_OK;
}

static bool import_set(struct command *c, const char *name, const char *path, struct blobseal_error *err)
{
    static char text[BLOBSEAL_MAX_ENVELOPE + 1];
    const struct blobseal_set_options o = options_for(c, &c->keys.args[0]);
    struct blobseal_set *set = NULL;
    struct blobseal_set_new how;
    uint8_t id[BLOBSEAL_SET_ID_LEN];
    size_t len, id_len;
    bool ok;

    if (!blobseal_base64url_decode(id, sizeof id, &id_len, c->id, strlen(c->id)) || id_len != sizeof id)
        return fail(err, BLOBSEAL_E_CONFIG, 0, "%.60s is no id of a set: 22 characters, as set show prints them",
                    c->id);
    ok = new_set(c, &how, err) && read_object(text, sizeof text, &len, path, err);
    ok = ok && blobseal_set_import(&set, name, id, text, len, &how, &o, err) == BLOBSEAL_OK;
    if (!ok)
        passphrase_failed(&c->keys.args[0], err);
    ok = ok && set_print(c->ui, set, err);
    blobseal_set_close(set);
    return ok;
}

/* ---- All sets ---------------------------------------------------------------------------------------------------- */

#define MAX_SETS 1024

struct names {
    size_t num;
    char list[MAX_SETS][BLOBSEAL_SET_MAX_NAME + 1];
};

static bool add_name(void *ctx, const char *name)
{
    struct names *n = ctx;

    if (n->num < MAX_SETS)
        (void)snprintf(n->list[n->num], sizeof n->list[0], "%s", name);
    n->num++;
    return n->num <= MAX_SETS;
}

static bool print_name(void *ctx, const char *name)
{
    const struct ui *ui = ctx;
    struct blobseal_error err;
    struct json j;

    if (!ui->json) {
        puts(name);
        return true;
    }
    json_start(&j, "blobseal.set/1");
    json_text(&j, "name", name);
    return json_end(&j, &err);
}

/* Do @one for each set that is named, or for all. */
static int each(struct command *c, char **argv, int num,
                bool (*one)(struct command *, const char *, struct blobseal_error *))
{
    static struct names names;
    struct blobseal_error err = {0};
    size_t total = (size_t)num;
    int code = EXIT_OK;

    if (num == 0 && blobseal_set_list(c->config, add_name, &names, &err) != BLOBSEAL_OK)
        return report_error(c->ui, &err);
    if (names.num > MAX_SETS)
        return usage_error(c->ui, "there are more than %d sets: name those that are meant", MAX_SETS);
    total = num == 0 ? names.num : total;
    for (size_t i = 0; i < total; i++) {
        int failed;

        err = (struct blobseal_error){0};
        if (one(c, num == 0 ? names.list[i] : argv[i], &err))
            continue;
        c->ui->file = total > 1 ? (num == 0 ? names.list[i] : argv[i]) : NULL;
        failed = report_error(c->ui, &err);
        c->ui->file = NULL;
        code = total > 1 ? EXIT_PARTLY : failed;
    }
    return code;
}

/* ---- The verb ---------------------------------------------------------------------------------------------------- */

static const struct option options[] = {KEY_OPTIONS,
                                        {"identity", required_argument, NULL, OPT_IDENTITY},
                                        {"recovery", required_argument, NULL, OPT_RECOVERY},
                                        {"wrap", required_argument, NULL, OPT_WRAP},
                                        {"store", required_argument, NULL, OPT_STORE},
                                        {"to", required_argument, NULL, OPT_TO},
                                        {"drop", required_argument, NULL, OPT_DROP},
                                        {"id", required_argument, NULL, OPT_ID},
                                        {"output", required_argument, NULL, 'o'},
                                        {"force", no_argument, NULL, 'f'},
                                        COMMON_OPTIONS,
                                        {0}};

static int one_option(struct command *c, int option)
{
    int code = EXIT_OK;

    for (size_t i = 0; i < NUM_PARTICULAR; i++)
        c->given[i] = c->given[i] || particular[i].option == option;
    if (option == OPT_IDENTITY)
        c->identity = optarg;
    else if (option == OPT_TO && c->to != NULL)
        code = usage_error(c->ui, "--to is given twice: a set has one KEK");
    else if (option == OPT_TO) {
        c->to = optarg;
        code = keys_add(c->ui, &c->keys, optarg);
    } else if (option == OPT_STORE)
        c->store = optarg;
    else if (option == OPT_ID)
        c->id = optarg;
    else if (option == 'o')
        c->output = optarg;
    else if (option == 'f')
        c->force = true;
    else if (option == OPT_RECOVERY && c->num_recovery < COUNT(c->recovery))
        c->recovery[c->num_recovery++] = optarg;
    else if (option == OPT_RECOVERY)
        code = usage_error(c->ui, "a set has at most %zu recovery keys", COUNT(c->recovery));
    else if (option == OPT_DROP && c->num_drop < COUNT(c->drop))
        c->drop[c->num_drop++] = optarg;
    else if (option == OPT_DROP)
        code = usage_error(c->ui, "too many --drop");
    else if (option == OPT_WRAP && strcmp(optarg, "direct") == 0)
        c->wrap = BLOBSEAL_SET_WRAP_DIRECT;
    else if (option == OPT_WRAP && strcmp(optarg, "hierarchy") != 0)
        code = usage_error(c->ui, "--wrap takes hierarchy or direct, not %s", optarg);
    else if (option != OPT_WRAP && (option == 'k' || c->keys.num > 0))
        (void)keys_option(c->ui, &c->keys, option, optarg, &code);
    else if (option != OPT_WRAP)
        (void)passphrase_option(c->ui, &c->of_set, option, optarg, &code);
    return code;
}

/* Return true if @word is in a list of words. */
static bool is_one_of(const char *list, const char *word)
{
    struct nearest n = {.typed = word};
    char best[32];

    nearest_try_list(&n, list, best);
    return n.best != NULL && strcmp(n.best, word) == 0;
}

/* Refuse options that the subcommand does not have: what was meant would not be done. */
static int check_options(const struct command *c, const char *word)
{
    for (size_t i = 0; i < NUM_PARTICULAR; i++)
        if (c->given[i] && !is_one_of(particular[i].words, word))
            return usage_error(c->ui, "set %s has no option %s", word, particular[i].name);
    if (strcmp(word, "rotate") == 0 && c->to == NULL && c->identity == NULL)
        return usage_error(c->ui, "set rotate needs --to KEY or --identity NAME");
    return EXIT_OK;
}

/* Run the subcommand @word with the @num arguments after it. */
static int dispatch(struct command *c, const char *word, char **argv, int num)
{
    static const struct {
        const char *word;
        bool (*run)(struct command *, const char *, struct blobseal_error *);
        bool needs_key, many;
    } words[] = {
        {"create", create, true, false},  {"show", show, false, true},    {"check", check, false, true},
        {"rotate", rotate, false, false}, {"rekey", rekey, false, false}, {"export", export_set, false, false},
    };
    struct blobseal_error err = {0};
    bool import = strcmp(word, "import") == 0;

    if (strcmp(word, "list") == 0) {
        if (num > 0)
            return usage_error(c->ui, "set list takes no name: %s", argv[0]);
        return blobseal_set_list(c->config, print_name, c->ui, &err) == BLOBSEAL_OK ? stdout_finish(c->ui)
                                                                                    : report_error(c->ui, &err);
    }
    if (import && (num < 1 || num > 2 || c->id == NULL || c->keys.num != 1))
        return usage_error(c->ui, "set import takes NAME, --id ID, one -k KEY, and at most one file");
    if (import)
        return import_set(c, argv[0], num > 1 ? argv[1] : NULL, &err) ? EXIT_OK : report_error(c->ui, &err);
    for (size_t i = 0; i < COUNT(words); i++) {
        if (strcmp(words[i].word, word) != 0)
            continue;
        if (!words[i].many && num != 1)
            return usage_error(c->ui, "set %s takes the name of one set", word);
        if (words[i].needs_key && c->keys.num != 1)
            return usage_error(c->ui, "set %s needs one -k KEY", word);
        return each(c, argv, num, words[i].run);
    }
    return EXIT_USAGE;
}

static int run(struct ui *ui, int argc, char **argv)
{
    static struct command c; /* large */
    struct blobseal_error err = {0};
    struct nearest n = {0};
    char best[32];
    int option, code = EXIT_OK;

    c.ui = ui;
    c.of_set.passphrase_fd = -1;
    while ((option = next_option(ui, argc, argv)) != -1) {
        code = one_option(&c, option);
        if (code != EXIT_OK)
            return code;
    }
    if (optind == argc)
        return usage_error(ui, "set is followed by create, show, list, check, rotate, rekey, export or import");
    n.typed = argv[optind];
    nearest_try_list(&n, verb_set.words, best);
    if (n.best == NULL || strcmp(n.best, argv[optind]) != 0)
        return unknown_word(ui, "set has nothing named", argv[optind], n.best);
    code = check_options(&c, argv[optind]);
    if (code != EXIT_OK)
        return code;
    if (!config_get(&c.config, &err))
        return report_error(ui, &err);
    return dispatch(&c, argv[optind], argv + optind + 1, argc - optind - 1);
}

const struct verb verb_set = {"set",   "make, show, check and rotate encryption sets",     usage, run,
                              options, "create show list check rotate rekey export import"};
