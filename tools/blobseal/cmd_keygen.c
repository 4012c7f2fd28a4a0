/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal keygen: make an RSA key pair in PEM files. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const char usage[] =
    "blobseal keygen [--rsa BITS] -o FILE [--pub FILE] [--passphrase-file FILE | --passphrase-fd N]\n"
    "Make an RSA key pair and print its key id.\n\n"
    "  -o, --output FILE       the private key: PKCS#8 in PEM, mode 0600; never overwritten\n"
    "      --pub FILE          the public key, for those who seal: SPKI in PEM; never overwritten\n"
    "      --rsa BITS          2048, 3072 (default) or 4096\n"
    "      --passphrase-file FILE\n"
    "                          encrypt the private key with the first line of FILE\n"
    "      --passphrase-fd N   the same from descriptor N\n"
    "      --fips              let nothing but OpenSSL's FIPS provider serve\n"
    "      --json              report as JSON (blobseal.keygen/1)\n"
    "  -q, --quiet             print no key id\n"
    "  -h, --help              this text\n\n"
    "Whoever loses the private key loses every blob sealed for it alone: keep a copy in a safe place.\n\n"
    "Example:\n"
    "  blobseal keygen -o kek.pem --pub kek.pub.pem\n";

struct request {
    unsigned long bits;
    const char *private_path, *public_path;
    struct key_arg passphrase;
};

static bool make_pair(struct blobseal_keypair *p, const struct request *r, struct blobseal_error *err)
{
    char *passphrase = NULL;
    bool ok = true;
    size_t len;

    if (r->passphrase.passphrase_file != NULL || r->passphrase.passphrase_fd >= 0) {
        passphrase = blobseal_secret_alloc(1024);
        if (passphrase == NULL)
            return fail(err, BLOBSEAL_E_NOMEM, 0, "read the passphrase: no memory");
        ok = get_passphrase((void *)&r->passphrase, passphrase, 1024, &len, err) == BLOBSEAL_OK;
    }
    ok = ok && blobseal_keygen_rsa(p, (unsigned)r->bits, passphrase, err) == BLOBSEAL_OK;
    blobseal_secret_free(passphrase);
    return ok;
}

/* Both files or none; the names are looked at before the time is spent on a key. */
static bool write_pair(struct blobseal_keypair *p, const struct request *r, struct blobseal_error *err)
{
    struct output private = OUTPUT_NONE, public = OUTPUT_NONE;
    mode_t mask = umask(0);
    bool both = r->public_path != NULL, ok;

    (void)umask(mask);
    ok = output_open(&private, r->private_path, false, false, 0600, NULL, err) &&
         (!both || output_open(&public, r->public_path, false, false, 0644 & ~mask, NULL, err)) &&
         make_pair(p, r, err) && output_write(&private, p->private_pem, p->private_len, err) &&
         (!both || output_write(&public, p->public_pem, p->public_len, err)) &&
         (both ? output_commit_both(&private, &public, err) : output_commit(&private, err));
    output_close(&private);
    output_close(&public);
    return ok;
}

static bool report(const struct request *r, const char *kid, struct blobseal_error *err)
{
    if (!settings.json) {
        if (!settings.quiet)
            puts(kid);
        return fflush(stdout) == 0 || stdout_failed(err);
    }
    json_start("blobseal.keygen/1");
    json_text("private", r->private_path);
    json_text("public", r->public_path);
    json_number("bits", r->bits);
    json_text("kid", kid);
    return json_end() || stdout_failed(err);
}

static bool keygen(const struct request *r, struct blobseal_error *err)
{
    struct blobseal_keypair p = {0};
    bool ok = write_pair(&p, r, err) && report(r, p.kid, err);

    blobseal_keypair_clear(&p);
    return ok;
}

static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                        {"pub", required_argument, NULL, OPT_PUB},
                                        {"rsa", required_argument, NULL, OPT_RSA},
                                        {"passphrase-file", required_argument, NULL, OPT_PASSPHRASE_FILE},
                                        {"passphrase-fd", required_argument, NULL, OPT_PASSPHRASE_FD},
                                        COMMON_OPTIONS,
                                        {0}};

static int run(int argc, char **argv)
{
    struct request r = {.bits = 3072, .passphrase = {.ref = "the new key", .passphrase_fd = -1}};
    struct blobseal_error err = {0};
    unsigned long fd;
    int c;

    while ((c = next_option(argc, argv, ":o:qh", options)) != -1) {
        switch (c) {
        case 'o':
            r.private_path = optarg;
            break;
        case OPT_PUB:
            r.public_path = optarg;
            break;
        case OPT_RSA:
            if (!parse_number(optarg, 1, 1 << 20, &r.bits) || (r.bits != 2048 && r.bits != 3072 && r.bits != 4096))
                return usage_error("--rsa is 2048, 3072 or 4096, not %s", optarg);
            break;
        case OPT_PASSPHRASE_FILE:
            r.passphrase.passphrase_file = optarg;
            break;
        case OPT_PASSPHRASE_FD:
            if (!parse_number(optarg, 0, 1 << 20, &fd))
                return usage_error("--passphrase-fd takes the number of a descriptor, not %s", optarg);
            r.passphrase.passphrase_fd = (int)fd;
            break;
        }
    }
    if (optind < argc)
        return usage_error("keygen takes no file but those of -o and --pub: %s", argv[optind]);
    if (r.private_path == NULL || strcmp(r.private_path, "-") == 0)
        return usage_error("keygen needs -o FILE for the private key");
    if (r.public_path != NULL && (strcmp(r.public_path, "-") == 0 || strcmp(r.public_path, r.private_path) == 0))
        return usage_error("--pub names a file of its own");
    return keygen(&r, &err) ? EXIT_OK : report_error(&err);
}

const struct verb verb_keygen = {"keygen", "make an RSA key pair", usage, run, options, NULL};
