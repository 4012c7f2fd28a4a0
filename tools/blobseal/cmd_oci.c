/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal oci: encrypt the layers of OCI images so that stock container tools decrypt them, and manage recipients. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/blobseal/verbs.h"
#include "tools/oci/oci.h"

static const char usage[] =
    "blobseal oci encrypt {-k KEY | -R FILE}... [-o OUT] IMAGE\n"
    "       blobseal oci decrypt -k KEY... [-o OUT] IMAGE\n"
    "       blobseal oci inspect [--expect-encrypted] IMAGE\n"
    "       blobseal oci recipients list IMAGE\n"
    "       blobseal oci recipients add -k KEY --to NEW... [-o OUT] IMAGE\n"
    "       blobseal oci recipients remove -k KEY... --kid KID... [-o OUT] IMAGE\n"
    "       blobseal oci rewrap -k OLD --to NEW... [-o OUT] IMAGE\n"
    "Encrypt the layers of the OCI image or artifact IMAGE so that skopeo, podman, buildah and containerd can decrypt\n"
    "them. IMAGE and OUT are LAYOUT[:REF]: an image layout, which is a folder or a tar file (oci-archive), and the "
    "name\n"
    "of an image in it. Without OUT, the image is changed in place.\n\n"
    "  encrypt                 encrypt all layers, or those selected\n"
    "  decrypt                 decrypt and verify all encrypted layers, or those selected\n"
    "  inspect                 show layers, recipients, and what stays visible; needs no key\n"
    "  recipients              list, add or remove recipients; only manifests are written\n"
    "  rewrap                  replace all recipients by NEW; only manifests are written\n\n"
    "  -k, --kek KEY           a recipient, or a key that opens the layers; repeatable\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY or NEW before it\n"
    "      --oaep HASH         sha1 for the KEY or NEW before it, if its token, or who decrypts, does not know "
    "SHA-256\n"
    "  -R, --recipients FILE   more recipients: a KEY in each line, or public keys in PEM; # starts a comment\n"
    "      --to NEW            the key of a new recipient; repeatable\n"
    "      --kid KID           the key id of a recipient to remove, its short form, or its KEY (one\n"
    "                          in a vault without a version: all its versions); repeatable\n"
    "  -o, --output OUT        a new or an existing image layout, or a tar file\n"
    "  -f, --force             replace OUT if it is an archive that exists, or its image REF\n"
    "      --layers LIST       only these layers of each manifest: numbers from 0, or from the end as -1, -2,\n"
    "                          separated by commas\n"
    "      --all-but-base IMAGE\n"
    "                          leave the layers of this base image in clear\n"
    "      --platform OS/ARCH  only the manifests of an index for this platform, such as linux/arm64\n"
    "      --cipher CIPHER     ocicrypt (default), or chunked: random access and authentic while it is read, but\n"
    "                          only blobseal can decrypt it\n"
    "      --also SCHEMES      wrap for RSA keys in these annotations as well, separated by commas: pkcs11, for stock\n"
    "                          tools with the private key in a token; provider, for those that use keyprovider\n"
    "      --reuse IMAGE       an earlier encrypted image: unchanged layers keep its ciphertext, if a private KEY "
    "opens\n"
    "                          it, or if there is a receipt\n"
    "      --receipts FOLDER   keep keys of layers in this private folder, for --reuse without a private KEY\n"
    "      --expect-encrypted  read all layers, and exit with 10 unless every one is ciphertext\n"
    "  -n, --dry-run           of recipients and rewrap: print what would be done\n"
    "  -j, --jobs N            threads (default: one for each CPU)\n"
    "      --require-purge-protection\n"
    "                          refuse a key in a vault that lets it be destroyed as soon as it is deleted\n"
    "      --progress MODE     auto (default), plain, json or none\n"
    "      --config FILE       configuration, in addition to those of the machine and the user\n"
    "      --audit FILE        append a record of each use of a key to FILE\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report as JSON (blobseal.oci/1)\n"
    "  -q, --quiet             no progress, and no report, except of inspect without --expect-encrypted\n"
    "  -h, --help              this text\n\n"
    "The configuration of an image, its history and the digests of its plaintext layers stay in clear: see inspect.\n"
    "Everybody who has the public key can encrypt: sign the image to prove its origin.\n\n"
    "Example:\n"
    "  skopeo copy docker://registry.example/app:1 oci:app:1\n"
    "  blobseal oci encrypt -k team.pub.pem app:1\n"
    "  skopeo copy oci:app:1 docker://registry.example/app:1-encrypted\n";

/* ---- Options ----------------------------------------------------------------------------------------------------- */

struct request {
    struct oci_request oci;
    struct keys kid_keys; /* --kid FILE */
    bool selects;         /* an option that only encrypt and decrypt have */
};

static const struct option options[] = {KEY_OPTIONS,
                                        {"recipients", required_argument, NULL, 'R'},
                                        {"to", required_argument, NULL, OPT_TO},
                                        {"kid", required_argument, NULL, OPT_KID},
                                        {"output", required_argument, NULL, 'o'},
                                        {"force", no_argument, NULL, 'f'},
                                        {"layers", required_argument, NULL, OPT_LAYERS},
                                        {"all-but-base", required_argument, NULL, OPT_ALL_BUT_BASE},
                                        {"platform", required_argument, NULL, OPT_PLATFORM},
                                        {"cipher", required_argument, NULL, OPT_CIPHER},
                                        {"also", required_argument, NULL, OPT_ALSO},
                                        {"oaep", required_argument, NULL, OPT_OAEP},
                                        {"reuse", required_argument, NULL, OPT_REUSE},
                                        {"receipts", required_argument, NULL, OPT_RECEIPTS},
                                        {"expect-encrypted", no_argument, NULL, OPT_EXPECT_ENCRYPTED},
                                        {"dry-run", no_argument, NULL, 'n'},
                                        {"jobs", required_argument, NULL, 'j'},
                                        PURGE_PROTECTION_OPTION,
                                        PROGRESS_OPTION,
                                        COMMON_OPTIONS,
                                        {0}};

/* Take an option with a key, or about one. */
static int take_key(struct request *r, int option, const char *arg)
{
    struct keys none = {0}, *keys = r->oci.last != NULL ? r->oci.last : &none;
    int code;

    if (option == 'R')
        return recipients_file(r->oci.ui, &r->oci.keys, arg);
    if (option == 'k' || option == OPT_TO)
        keys = r->oci.last = option == 'k' ? &r->oci.keys : &r->oci.to;
    (void)keys_option(r->oci.ui, keys, option == OPT_TO ? 'k' : option, arg, &code);
    return code;
}

/* Take the id of a recipient to remove, or its key. */
static int take_kid(struct request *r, const char *arg)
{
    if (r->oci.num_kids + r->kid_keys.num == COUNT(r->oci.kids))
        return usage_error(r->oci.ui, "remove recipients: more than %zu key ids: remove the others in another run",
                           COUNT(r->oci.kids));
    if (names_a_key(arg)) {
        r->oci.last = &r->kid_keys;
        return keys_add(r->oci.ui, &r->kid_keys, arg);
    }
    r->oci.kids[r->oci.num_kids++] = arg;
    return EXIT_OK;
}

static int take_cipher(struct request *r, const char *arg)
{
    r->oci.chunked = strcmp(arg, "chunked") == 0;
    return r->oci.chunked || strcmp(arg, "ocicrypt") == 0
               ? EXIT_OK
               : usage_error(r->oci.ui, "--cipher is ocicrypt or chunked, not %s", arg);
}

/* Take a list of annotations to write in addition. */
static int take_also(struct request *r, const char *list)
{
    for (const char *word = list;; word++) {
        size_t len = strcspn(word, ",");

        if (len == strlen("pkcs11") && strncmp(word, "pkcs11", len) == 0)
            r->oci.pkcs11 = true;
        else if (len == strlen("provider") && strncmp(word, "provider", len) == 0)
            r->oci.provider = true;
        else
            return usage_error(r->oci.ui, "--also takes pkcs11 and provider, separated by commas, not %s", list);
        word += len;
        if (*word == '\0')
            return EXIT_OK;
    }
}

static int take_oaep(struct request *r, const char *arg)
{
    enum blobseal_oaep oaep;
    int code = oaep_option(r->oci.ui, arg, &oaep);

    if (code != EXIT_OK)
        return code;
    if (r->oci.last == NULL || r->oci.last->num == 0)
        return usage_error(r->oci.ui, "--oaep belongs after the -k or --to of its key");
    r->oci.last->args[r->oci.last->num - 1].oaep = oaep;
    return EXIT_OK;
}

/* Take an option that selects layers. */
static bool take_selection(struct request *r, int option, const char *arg)
{
    switch (option) {
    case OPT_LAYERS:
        r->oci.layers = arg;
        break;
    case OPT_ALL_BUT_BASE:
        r->oci.base = arg;
        break;
    case OPT_PLATFORM:
        r->oci.platform = arg;
        break;
    default:
        return false;
    }
    r->selects = true;
    return true;
}

static int set_option(struct request *r, int option, const char *arg)
{
    if (take_selection(r, option, arg))
        return EXIT_OK;
    switch (option) {
    case 'o':
        r->oci.out = arg;
        return EXIT_OK;
    case 'f':
        r->oci.force = true;
        return EXIT_OK;
    case 'n':
        r->oci.dry_run = true;
        return EXIT_OK;
    case 'j':
        return jobs_option(r->oci.ui, arg, &r->oci.threads);
    case OPT_PROGRESS:
        return progress_option(r->oci.ui, &r->oci.progress, arg);
    case OPT_REUSE:
        r->oci.reuse = arg;
        return EXIT_OK;
    case OPT_RECEIPTS:
        r->oci.receipts = arg;
        return EXIT_OK;
    case OPT_KID:
        return take_kid(r, arg);
    case OPT_CIPHER:
        return take_cipher(r, arg);
    case OPT_ALSO:
        return take_also(r, arg);
    case OPT_OAEP:
        return take_oaep(r, arg);
    case OPT_EXPECT_ENCRYPTED:
        r->oci.expect = true;
        return EXIT_OK;
    default:
        return take_key(r, option, arg);
    }
}

/* ---- Actions ----------------------------------------------------------------------------------------------------- */

/* An action: which options it needs, and which it does not have. */
struct action {
    const char *name;
    int (*run)(struct oci_request *r);
    bool keys, to, kid;    /* needs these */
    bool selects, changes; /* takes --layers and the like; -o */
    enum blobseal_use use;
};

static const struct action actions[] = {
    {"encrypt", oci_encrypt, true, false, false, true, true, BLOBSEAL_USE_WRAP},
    {"decrypt", oci_decrypt, true, false, false, true, true, BLOBSEAL_USE_ANY},
    {"inspect", oci_inspect, false, false, false, false, false, BLOBSEAL_USE_ANY},
    {"recipients list", oci_recipients_list, false, false, false, false, false, BLOBSEAL_USE_ANY},
    {"recipients add", oci_recipients_change, true, true, false, false, true, BLOBSEAL_USE_ANY},
    {"recipients remove", oci_recipients_change, true, false, true, false, true, BLOBSEAL_USE_ANY},
    {"rewrap", oci_recipients_change, true, true, false, false, true, BLOBSEAL_USE_ANY},
};

static int unknown_action(const struct ui *ui, const char *word, const char *list)
{
    struct nearest n = {.typed = word};
    char best[32], what[160];

    nearest_try_list(&n, list, best);
    (void)snprintf(what, sizeof what, "%s is followed by %s, not", list == verb_oci.words ? "oci" : "oci recipients",
                   list == verb_oci.words ? "encrypt, decrypt, inspect, recipients or rewrap" : "list, add or remove");
    return unknown_word(ui, what, word, n.best);
}

/* Find the action that the words name, and set *@used to their number. */
static const struct action *find_action(char *const *words, size_t num, size_t *used)
{
    char name[64];

    *used = num > 1 && strcmp(words[0], "recipients") == 0 ? 2 : 1;
    if (num == 0 ||
        snprintf(name, sizeof name, *used == 2 ? "%.30s %.30s" : "%.30s", words[0], *used == 2 ? words[1] : "") < 0)
        return NULL;
    for (size_t i = 0; i < COUNT(actions); i++)
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    return NULL;
}

/* Refuse options that only some actions have. */
static int check_special_options(const struct action *a, const struct request *r)
{
    const struct ui *ui = r->oci.ui;

    if (!a->changes && (r->oci.out != NULL || r->oci.force))
        return usage_error(ui, "oci %s writes nothing, and takes no -o", a->name);
    if (a->run != oci_recipients_change && r->oci.dry_run)
        return usage_error(ui, "--dry-run belongs to oci recipients add, recipients remove and rewrap");
    if (a->run != oci_inspect && r->oci.expect)
        return usage_error(ui, "--expect-encrypted belongs to oci inspect");
    if (r->oci.base != NULL && a->run != oci_encrypt)
        return usage_error(ui, "--all-but-base belongs to oci encrypt");
    if ((r->oci.reuse != NULL || r->oci.receipts != NULL) && (a->run != oci_encrypt || r->oci.chunked))
        return usage_error(ui, "--reuse and --receipts belong to oci encrypt, and to the cipher ocicrypt");
    return EXIT_OK;
}

static int check_options(const struct action *a, const struct request *r)
{
    const struct ui *ui = r->oci.ui;
    bool kids = r->oci.num_kids + r->kid_keys.num > 0;

    if (a->keys && r->oci.keys.num == 0)
        return usage_error(ui, "oci %s needs a key: -k KEY", a->name);
    if (a->to && r->oci.to.num == 0)
        return usage_error(ui, "oci %s needs the key of the new recipient: --to NEW", a->name);
    if (a->kid && !kids)
        return usage_error(ui, "oci %s needs a key id: --kid KID (see: blobseal oci recipients list)", a->name);
    if ((!a->to && r->oci.to.num > 0) || (!a->kid && kids))
        return usage_error(ui, "oci %s takes no --to and no --kid", a->name);
    if (!a->selects && (r->selects || r->oci.chunked))
        return usage_error(ui, "oci %s takes no options that select layers or a cipher", a->name);
    if ((r->oci.pkcs11 || r->oci.provider) && ((a->run != oci_encrypt && !a->to) || r->oci.chunked))
        return usage_error(ui, "--also belongs to oci encrypt, recipients add and rewrap, and to the cipher ocicrypt");
    return check_special_options(a, r);
}

/* Open all keys. */
static bool open_keys(const struct action *a, struct request *r, struct blobseal_error *err)
{
    r->oci.keys.use = r->oci.reuse != NULL ? BLOBSEAL_USE_ANY : a->use;
    r->oci.to.use = BLOBSEAL_USE_WRAP;
    return keys_open(&r->oci.keys, BLOBSEAL_OAEP_SHA256, err) && keys_open(&r->oci.to, BLOBSEAL_OAEP_SHA256, err) &&
           keys_add_ids(&r->kid_keys, r->oci.kids, COUNT(r->oci.kids), &r->oci.num_kids, err);
}

static int run_action(const struct action *a, struct request *r)
{
    struct blobseal_error err = {0};
    int code;

    if (a->keys)
        keys_default(&r->oci.keys);
    code = check_options(a, r);
    if (code != EXIT_OK)
        return code;
    r->oci.replace = strcmp(a->name, "rewrap") == 0;
    if (!open_keys(a, r, &err))
        return report_error(r->oci.ui, &err);
    if (!r->oci.ui->quiet)
        keys_warn(r->oci.ui, a->use == BLOBSEAL_USE_WRAP ? &r->oci.keys : &r->oci.to);
    return a->run(&r->oci);
}

static int dispatch(struct request *r, char *const *words, size_t num)
{
    const struct ui *ui = r->oci.ui;
    size_t used;
    const struct action *a = find_action(words, num, &used);

    if (a == NULL && num > 1 && strcmp(words[0], "recipients") == 0)
        return unknown_action(ui, words[1], "list add remove");
    if (a == NULL && num > 0 && strcmp(words[0], "recipients") != 0)
        return unknown_action(ui, words[0], verb_oci.words);
    if (a == NULL)
        return usage_error(ui, num > 0 ? "oci recipients is followed by list, add or remove"
                                       : "oci is followed by encrypt, decrypt, inspect, recipients or rewrap");
    if (num != used + 1)
        return usage_error(ui, "oci %s needs one image: LAYOUT[:REF]", a->name);
    r->oci.in = words[used];
    return run_action(a, r);
}

static int run(struct ui *ui, int argc, char **argv)
{
    struct request r = {.oci = {.ui = ui}};
    int c, code = EXIT_OK;

    while (code == EXIT_OK && (c = next_option(ui, argc, argv)) != -1)
        code = set_option(&r, c, optarg);
    if (code == EXIT_OK)
        code = dispatch(&r, argv + optind, (size_t)(argc - optind));
    keys_close(&r.oci.keys);
    keys_close(&r.oci.to);
    keys_close(&r.kid_keys);
    return code;
}

const struct verb verb_oci = {"oci",   "encrypt the layers of OCI images",         usage, run,
                              options, "encrypt decrypt inspect recipients rewrap"};
