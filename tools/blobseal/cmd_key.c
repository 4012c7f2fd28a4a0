/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal key: show what a key is, its key id, and its public half; list the keys of tokens and vaults. */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "tools/blobseal/verbs.h"

static const char usage[] =
    "blobseal key show KEY...\n"
    "blobseal key list [PLACE]...\n"
    "Show each KEY: its key id, its kind and size, and its public half. A file with several keys shows them all.\n"
    "Or list the keys of a PLACE, as references that can be used as a KEY. PLACE is a PKCS#11 URI, of which the RSA\n"
    "keys are listed; or a vault, as https://VAULT; or a key in one, as https://VAULT/keys/NAME, for its versions. By\n"
    "default it is pkcs11: which means all tokens of this machine.\n\n"
    "  -k, --kek KEY           the same as KEY or PLACE, so that a passphrase can follow\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY before it; by default a prompt on the terminal asks for it. For "
    "a\n"
    "                          PLACE, its PIN: without it only those keys are listed that are visible to everybody\n"
    "      --config FILE       configuration, in addition to those of the machine and the user\n"
    "      --audit FILE        append a record of each use of a key to FILE\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report as JSON (blobseal.key/1), one line per key\n"
    "  -q, --quiet             print the whole key ids only; with list, the references only\n"
    "  -h, --help              this text\n\n"
    "The short key id is the beginning of what differs between key ids. It works wherever a key id is expected.\n\n"
    "Examples:\n"
    "  blobseal key show kek.pub.pem\n"
    "  blobseal key list 'pkcs11:token=ops'\n"
    "  blobseal key list https://kv-eu.vault.azure.net\n";

/* ---- Showing ----------------------------------------------------------------------------------------------------- */

/* Return the number of bits of a public key in PEM, or BLOBSEAL_SIZE_UNKNOWN. */
static uint64_t bits_of(const char *pem)
{
    uint64_t bits = BLOBSEAL_SIZE_UNKNOWN;
    EVP_PKEY *key;
    BIO *bio;

    if (pem == NULL)
        return bits;
    bio = BIO_new_mem_buf(pem, -1);
    key = bio != NULL ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    if (key != NULL)
        bits = (uint64_t)EVP_PKEY_get_bits(key);
    EVP_PKEY_free(key);
    (void)BIO_free(bio);
    ERR_clear_error();
    return bits;
}

/* What a key is, for people and for programs. */
struct shown {
    const char *ref, *kid, *kind;
    uint64_t bits;
    bool is_private;
    const char *pem;                          /* NULL: it has no public half, or nobody shows it */
    const struct blobseal_listed_key *listed; /* NULL: it was not found in a list */
};

/* Write a time in @buf, or return NULL if there is none. */
static const char *time_or_null(char buf[32], int64_t seconds)
{
    return seconds > 0 ? utc_time(buf, (uint64_t)seconds) : NULL;
}

static bool print_json(const struct shown *key, struct blobseal_error *err)
{
    char from[32], until[32];
    struct json j;

    json_start(&j, "blobseal.key/1");
    json_text(&j, "key", key->ref);
    json_text(&j, "kid", key->kid);
    json_text(&j, "kind", key->kind);
    json_number(&j, "bits", key->bits);
    json_bool(&j, "private", key->is_private);
    json_text(&j, "public", key->pem);
    if (key->listed != NULL) {
        json_bool(&j, "enabled", !key->listed->disabled);
        json_text(&j, "valid_from", time_or_null(from, key->listed->valid_from));
        json_text(&j, "valid_until", time_or_null(until, key->listed->valid_until));
    }
    return json_end(&j, err);
}

static bool print(const struct ui *ui, const struct shown *key, struct blobseal_error *err)
{
    char name[320], id[SHORT_KID];

    if (ui->json)
        return print_json(key, err);
    if (ui->quiet) {
        puts(key->kid);
        return stdout_flush(err);
    }
    printf("%s: %s", printable(name, sizeof name, key->ref), key->kind);
    if (key->bits != BLOBSEAL_SIZE_UNKNOWN)
        printf(", %llu bits", (unsigned long long)key->bits);
    printf(", %s\n", key->is_private ? "private: it seals and opens" : "public: it seals");
    printf("%-8s %s\n%-8s %s\n%s", "short id", short_kid(id, key->kid), "key id", key->kid,
           key->pem != NULL ? key->pem : "");
    return stdout_flush(err);
}

/* Show one of the keys that a reference names. */
static bool show_one(const struct ui *ui, const struct key_arg *arg, struct blobseal_kek *kek,
                     struct blobseal_error *err)
{
    char *pem = NULL;
    size_t len;
    enum blobseal_status st = blobseal_kek_public_key(kek, &pem, &len, err);
    bool ok = st == BLOBSEAL_OK || st == BLOBSEAL_E_UNSUPPORTED; /* keys elsewhere may have no public half to show */

    if (ok) {
        bool is_aes = strcmp(blobseal_kek_alg(kek), "A256KW") == 0; /* a key of an encryption set */
        const struct shown key = {.ref = arg->ref,
                                  .kid = blobseal_kek_kid(kek),
                                  .kind = is_aes ? "AES" : "RSA",
                                  .bits = is_aes ? 256 : bits_of(pem),
                                  .is_private = blobseal_kek_can_unwrap(kek),
                                  .pem = pem};

        ok = print(ui, &key, err);
    }
    blobseal_free(pem);
    return ok;
}

/* Show all keys that a reference names. */
static int show(const struct ui *ui, struct key_arg *arg)
{
    struct blobseal_kek_options o = {
        .size = sizeof o, .passphrase = get_passphrase, .passphrase_ctx = arg, .use = BLOBSEAL_USE_NAME};
    struct blobseal_kek *keks[BLOBSEAL_MAX_RECIPIENTS];
    size_t num = COUNT(keks);
    struct blobseal_error err = {0};
    bool ok;

    if (!config_get(&o.config, &err))
        return report_error(ui, &err);
    ok = blobseal_keks_open(keks, &num, NULL, arg->ref, &o, &err) == BLOBSEAL_OK;
    if (!ok)
        passphrase_failed(arg, &err);
    for (size_t i = 0; i < num; i++) {
        ok = ok && show_one(ui, arg, keks[i], &err);
        blobseal_kek_close(keks[i]);
    }
    return ok ? EXIT_OK : report_error(ui, &err);
}

/* ---- Listing ----------------------------------------------------------------------------------------------------- */

struct list {
    const struct ui *ui;
    struct blobseal_error *err;
    bool ok;
};

/* Print a key of a vault, whose id is its reference, with its state. */
static void print_in_vault(const struct blobseal_listed_key *key)
{
    char from[32], until[32], size[24] = "", kind[48];

    if (key->bits != 0)
        (void)snprintf(size, sizeof size, " %u", key->bits);
    (void)snprintf(kind, sizeof kind, "%s%s", key->type != NULL ? key->type : "-", size);
    blobseal_make_printable(kind);
    printf("%-12s  %-8s  %s", kind, key->disabled ? "disabled" : "enabled", key->ref);
    if (key->valid_from > 0)
        printf("  from %s", utc_time(from, (uint64_t)key->valid_from));
    if (key->valid_until > 0)
        printf("  until %s", utc_time(until, (uint64_t)key->valid_until));
    putchar('\n');
}

static bool print_listed(void *ctx, const struct blobseal_listed_key *key)
{
    struct list *l = ctx;
    const struct shown shown = {.ref = key->ref,
                                .kid = key->kid,
                                .kind = key->type,
                                .bits = key->bits != 0 ? key->bits : BLOBSEAL_SIZE_UNKNOWN,
                                .is_private = key->can_unwrap,
                                .listed = key};
    char id[SHORT_KID];
    bool all;

    if (l->ui->json)
        l->ok = print_json(&shown, l->err);
    else if (l->ui->quiet)
        puts(key->ref);
    else if (names_vault_key(key->ref, &all))
        print_in_vault(key);
    else
        printf("%s  RSA %u  %s  %s\n", key->kid != NULL ? short_kid(id, key->kid) : "", key->bits,
               key->can_unwrap ? "private" : "public ", key->ref);
    return l->ok;
}

static int list(const struct ui *ui, struct key_arg *arg)
{
    bool has_pin = arg->passphrase_file != NULL || arg->passphrase_fd >= 0;
    struct blobseal_kek_options o = {
        .size = sizeof o, .passphrase = has_pin ? get_passphrase : NULL, .passphrase_ctx = arg};
    struct blobseal_error err = {0};
    struct list l = {ui, &err, true};
    enum blobseal_status st;

    if (!config_get(&o.config, &err))
        return report_error(ui, &err);
    st = blobseal_list_keys(NULL, arg->ref, &o, print_listed, &l, &err);
    if (st != BLOBSEAL_OK) {
        passphrase_failed(arg, &err);
        return report_error(ui, &err);
    }
    return l.ok && stdout_flush(&err) ? EXIT_OK : report_error(ui, &err);
}

/* ---- The verb ---------------------------------------------------------------------------------------------------- */

/* Show or list all keys, also after failures. */
static int each(struct ui *ui, struct keys *keys, int (*one_key)(const struct ui *ui, struct key_arg *arg))
{
    int code = EXIT_OK;

    for (size_t i = 0; i < keys->num; i++) {
        int one;

        ui->file = keys->num > 1 ? keys->args[i].ref : NULL;
        one = one_key(ui, &keys->args[i]);
        if (one != EXIT_OK)
            code = keys->num > 1 ? EXIT_PARTLY : one;
    }
    return code;
}

static const struct option options[] = {KEY_OPTIONS, COMMON_OPTIONS, {0}};

static int run(struct ui *ui, int argc, char **argv)
{
    struct nearest n = {0};
    struct keys keys = {0};
    char best[32];
    int c, code = EXIT_OK;
    bool listing;

    while ((c = next_option(ui, argc, argv)) != -1)
        if (keys_option(ui, &keys, c, optarg, &code) && code != EXIT_OK)
            return code;
    if (optind == argc)
        return usage_error(ui, "key is followed by show or list");
    listing = strcmp(argv[optind], "list") == 0;
    n.typed = argv[optind];
    nearest_try_list(&n, verb_key.words, best);
    if (!listing && strcmp(argv[optind], "show") != 0)
        return unknown_word(ui, "key is followed by show or list, not", argv[optind], n.best);
    for (int i = optind + 1; i < argc && code == EXIT_OK; i++)
        code = keys_add(ui, &keys, argv[i]);
    if (listing && code == EXIT_OK && keys.num == 0)
        code = keys_add(ui, &keys, "pkcs11:");
    keys_default(&keys);
    if (code == EXIT_OK && keys.num == 0)
        return usage_error(ui, "key show needs a key");
    return code != EXIT_OK ? code : each(ui, &keys, listing ? list : show);
}

const struct verb verb_key = {"key",   "show the id and the public half of a key, list the keys of tokens and vaults",
                              usage,   run,
                              options, "list show"};
