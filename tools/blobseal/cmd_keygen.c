/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal keygen: make an RSA key pair in PEM files, or in a token. */
#include <string.h>

#include "tools/blobseal/verbs.h"

static const char usage[] =
    "blobseal keygen [--rsa BITS] -o FILE [--pub FILE] [--passphrase | --passphrase-file FILE | --passphrase-fd N]\n"
    "blobseal keygen [--rsa BITS] --pkcs11 URI [--pub FILE] [--passphrase-file FILE | --passphrase-fd N]\n"
    "Make an RSA key pair and print its key id.\n\n"
    "  -o, --output FILE       the private key: PKCS#8 in PEM, mode 0600; never overwritten\n"
    "      --pkcs11 URI        make the pair in the token that URI names, under the label object= in it; the private\n"
    "                          key never leaves it, and only decrypts. Prints the URI to use as well. The PIN comes "
    "from\n"
    "                          pin-source=file:PATH in URI, from the next options, or from a prompt\n"
    "      --pub FILE          the public key, which is enough to seal: SPKI in PEM; never overwritten\n"
    "      --rsa BITS          2048, 3072 (default) or 4096\n"
    "      --passphrase        encrypt the private key with a passphrase: a prompt on the terminal asks for it twice\n"
    "      --passphrase-file FILE\n"
    "                          the same with the first line of FILE as the passphrase\n"
    "      --passphrase-fd N   the same from descriptor N\n"
    "      --config FILE       configuration, in addition to those of the machine and the user\n"
    "      --audit FILE        append a record of each use of a key to FILE\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report as JSON (blobseal.keygen/1)\n"
    "  -q, --quiet             print no key id\n"
    "  -h, --help              this text\n\n"
    "Without the private key nothing opens the blobs that are sealed for it alone: keep a copy in a safe place.\n\n"
    "Examples:\n"
    "  blobseal keygen -o kek.pem --pub kek.pub.pem\n"
    "  blobseal keygen --pkcs11 'pkcs11:token=ops;object=kek' --pub kek.pub.pem\n";

struct request {
    struct ui *ui;
    unsigned long bits;
    const char *private_path, *public_path;
    struct key_arg passphrase;
    const char *token;
    bool ask; /* for the passphrase, on the terminal */
};

/* Get the passphrase of the new key. Refuse one that would not be what its owner types later. */
static bool new_passphrase(const struct request *r, char *buf, size_t cap, struct blobseal_error *err)
{
    struct key_arg key = r->passphrase;
    size_t len;

    if (r->ask)
        return ask_new_passphrase(buf, cap, &len, err);
    if (get_passphrase(&key, buf, cap, &len, err) != BLOBSEAL_OK) {
        passphrase_failed(&key, err);
        return false;
    }
    if (key.odd == NULL)
        return true;
    (void)fail(err, BLOBSEAL_E_CONFIG, 0, "encrypt the new key: its passphrase %s", key.odd);
    explain_passphrase(&key, err);
    return false;
}

static bool make_pair(struct blobseal_keypair *p, const struct request *r, struct blobseal_error *err)
{
    char *passphrase = NULL;
    bool ok = true;

    if (r->ask || r->passphrase.passphrase_file != NULL || r->passphrase.passphrase_fd >= 0) {
        passphrase = blobseal_secret_alloc(1024);
        if (passphrase == NULL)
            return fail(err, BLOBSEAL_E_NOMEM, 0, "read the passphrase: no memory");
        ok = new_passphrase(r, passphrase, 1024, err);
    }
    ok = ok && blobseal_keygen_rsa(p, (unsigned)r->bits, passphrase, err) == BLOBSEAL_OK;
    blobseal_secret_free(passphrase);
    return ok;
}

/* Open both files first, because making a key takes time. */
static bool open_pair(struct output *private, struct output *public, const struct request *r, struct reads *reads,
                      struct blobseal_error *err)
{
    const struct output_options for_private = {.ui = r->ui, .mode = 0600, .secret = true, .reads = reads};
    const struct output_options for_public = {.ui = r->ui, .mode = 0644, .reads = reads};

    if (!output_open(private, r->private_path, &for_private, err) ||
        (r->public_path != NULL && !output_open(public, r->public_path, &for_public, err)))
        return false;
    return !output_same(private, public) ||
           fail(err, BLOBSEAL_E_CONFIG, 0, "%s is the private and the public key", r->public_path);
}

/* Write both files or none. */
static bool write_pair(struct blobseal_keypair *p, const struct request *r, struct blobseal_error *err)
{
    struct output private = OUTPUT_NONE, public = OUTPUT_NONE;
    bool both = r->public_path != NULL, ok;
    struct reads reads = READS_NONE;

    ok = reads_add_passphrase(&reads, &r->passphrase, err) && open_pair(&private, &public, r, &reads, err) &&
         make_pair(p, r, err) && output_write(&private, p->private_pem, p->private_len, err) &&
         (!both || output_write(&public, p->public_pem, p->public_len, err)) &&
         (both ? output_commit_both(&private, &public, err) : output_commit(&private, err));
    if (!ok) {
        output_discard(&private, err);
        output_discard(&public, err);
    }
    output_close(&private);
    output_close(&public);
    reads_free(&reads);
    return ok;
}

static bool report(const struct request *r, const char *kid, struct blobseal_error *err)
{
    struct json j;

    if (!r->ui->json) {
        if (!r->ui->quiet)
            puts(kid);
        return stdout_flush(err);
    }
    json_start(&j, "blobseal.keygen/1");
    json_text(&j, "private", r->private_path);
    json_text(&j, "public", r->public_path);
    json_number(&j, "bits", r->bits);
    json_text(&j, "kid", kid);
    return json_end(&j, err);
}

static bool keygen(const struct request *r, struct blobseal_error *err)
{
    struct blobseal_keypair p = {.size = sizeof p};
    bool ok = write_pair(&p, r, err) && report(r, p.kid, err);

    blobseal_keypair_clear(&p);
    return ok;
}

static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                        {"pub", required_argument, NULL, OPT_PUB},
                                        {"rsa", required_argument, NULL, OPT_RSA},
                                        {"pkcs11", required_argument, NULL, OPT_PKCS11},
                                        {"passphrase", no_argument, NULL, OPT_PASSPHRASE},
                                        {"passphrase-file", required_argument, NULL, OPT_PASSPHRASE_FILE},
                                        {"passphrase-fd", required_argument, NULL, OPT_PASSPHRASE_FD},
                                        CONFIG_OPTIONS,
                                        COMMON_OPTIONS,
                                        {0}};

static int set_option(struct request *r, int option, const char *arg)
{
    int code;

    if (passphrase_option(r->ui, &r->passphrase, option, arg, &code))
        return code;
    if (option == 'o')
        r->private_path = arg;
    if (option == OPT_PASSPHRASE)
        r->ask = true;
    if (option == OPT_PUB)
        r->public_path = arg;
    if (option == OPT_PKCS11)
        r->token = arg;
    if (option == OPT_RSA &&
        (!parse_number(arg, 1, 1 << 20, &r->bits) || (r->bits != 2048 && r->bits != 3072 && r->bits != 4096)))
        return usage_error(r->ui, "--rsa is 2048, 3072 or 4096, not %s", arg);
    return EXIT_OK;
}

/* Make the pair in a token. */
static int run_token(struct request *r)
{
    struct blobseal_error err = {0};
    struct keys keys = {0};
    int code;

    if (r->private_path != NULL || r->ask)
        return usage_error(r->ui, "--pkcs11 makes a key that is in no file, so -o and --passphrase do not go with it");
    if (strncmp(r->token, "pkcs11:", strlen("pkcs11:")) != 0)
        return usage_error(r->ui, "--pkcs11 takes a URI that starts with pkcs11:, not %s", r->token);
    code = keys_add(r->ui, &keys, r->token);
    if (code != EXIT_OK)
        return code;
    if (r->public_path != NULL && is_stream(r->public_path))
        return usage_error(r->ui, "--pub needs the name of a file");
    r->passphrase.ref = r->token;
    return keygen_token(r->ui, &r->passphrase, r->public_path, (unsigned)r->bits, &err) ? EXIT_OK
                                                                                        : report_error(r->ui, &err);
}

static int run(struct ui *ui, int argc, char **argv)
{
    struct request r = {.ui = ui, .bits = 3072, .passphrase = {.ref = "the new key", .passphrase_fd = -1}};
    struct blobseal_error err = {0};
    int c, code;

    while ((c = next_option(ui, argc, argv)) != -1) {
        code = set_option(&r, c, optarg);
        if (code != EXIT_OK)
            return code;
    }
    if (optind < argc)
        return usage_error(ui, "keygen takes no file but those of -o and --pub: %s", argv[optind]);
    if (r.ask && (r.passphrase.passphrase_file != NULL || r.passphrase.passphrase_fd >= 0))
        return usage_error(ui, "--passphrase asks on the terminal; --passphrase-file and --passphrase-fd do not");
    if (r.token != NULL)
        return run_token(&r);
    if (r.private_path == NULL || is_stream(r.private_path))
        return usage_error(ui, "keygen needs -o FILE for the private key, or --pkcs11 URI");
    if (r.public_path != NULL && (is_stream(r.public_path) || strcmp(r.public_path, r.private_path) == 0))
        return usage_error(ui, "--pub needs the name of another file");
    return keygen(&r, &err) ? EXIT_OK : report_error(ui, &err);
}

const struct verb verb_keygen = {"keygen", "make an RSA key pair", usage, run, options, NULL};
