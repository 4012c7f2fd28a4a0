/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal key: show what a key is, its key id, and its public half. */
#include <stdlib.h>
#include <string.h>

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "tools/blobseal/verbs.h"

static const char usage[] =
    "blobseal key show KEY...\n"
    "Show each KEY: its key id, its kind and size, and its public half.\n\n"
    "  -k, --kek KEY           the same as KEY, so that a passphrase can follow\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY before it; by default a prompt on the terminal asks for it\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report as JSON (blobseal.key/1), one line per key\n"
    "  -q, --quiet             print the whole key ids only\n"
    "  -h, --help              this text\n\n"
    "The short key id is the beginning of what differs between key ids. It works wherever a key id is expected.\n\n"
    "Example:\n"
    "  blobseal key show kek.pub.pem\n";

/* A key that is shown. */
struct shown {
    struct key_arg *arg;
    struct blobseal_kek *kek;
    EVP_PKEY *key;    /* NULL if the key is not in a file */
    char *passphrase; /* as typed or read, so that it is asked for once */
    size_t passphrase_len;
};

#define MAX_PASSPHRASE 1024

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* Get the passphrase, and keep it for the second time that the file is decrypted. */
static enum blobseal_status keep_passphrase(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    struct shown *s = ctx;
    enum blobseal_status st = get_passphrase(s->arg, buf, cap, len, err);

    if (st != BLOBSEAL_OK)
        return st;
    blobseal_secret_free(s->passphrase);
    s->passphrase = blobseal_secret_alloc(MAX_PASSPHRASE);
    if (s->passphrase == NULL || *len >= MAX_PASSPHRASE)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "keep the passphrase: no memory");
    memcpy(s->passphrase, buf, *len);
    s->passphrase_len = *len;
    return BLOBSEAL_OK;
}

/* Read the key from its file for its public half; keys elsewhere have none to show. */
static EVP_PKEY *read_key(const struct shown *s)
{
    const char *path = strncmp(s->arg->ref, "file:", 5) == 0 ? s->arg->ref + 5 : s->arg->ref;
    BIO *bio = BIO_new_file(path, "r");
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx = OSSL_DECODER_CTX_new_for_pkey(&key, "PEM", NULL, "RSA", 0, NULL, NULL);
    X509 *cert = NULL;

    if (ctx != NULL && s->passphrase != NULL)
        (void)OSSL_DECODER_CTX_set_passphrase(ctx, (const unsigned char *)s->passphrase, s->passphrase_len);
    if (bio != NULL && ctx != NULL && OSSL_DECODER_from_bio(ctx, bio) != 1 && BIO_seek(bio, 0) == 0)
        cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (cert != NULL)
        key = X509_get_pubkey(cert);
    X509_free(cert);
    OSSL_DECODER_CTX_free(ctx);
    (void)BIO_free(bio);
    ERR_clear_error();
    return key;
}

static bool open_key(struct shown *s, struct blobseal_error *err)
{
    const struct blobseal_kek_options o = {
        .size = sizeof o, .passphrase = keep_passphrase, .passphrase_ctx = s, .use = BLOBSEAL_USE_NAME};

    if (blobseal_kek_open(&s->kek, NULL, s->arg->ref, &o, err) != BLOBSEAL_OK) {
        passphrase_failed(s->arg, err);
        return false;
    }
    s->key = read_key(s);
    return true;
}

/* ---- Showing ----------------------------------------------------------------------------------------------------- */

/* Return the public half in PEM, to be released with BIO_free(), or NULL. *@text ends in a zero byte. */
static BIO *public_half(const struct shown *s, const char **text)
{
    BIO *bio = s->key != NULL ? BIO_new(BIO_s_mem()) : NULL;
    char *data;

    *text = NULL;
    if (bio != NULL && PEM_write_bio_PUBKEY(bio, s->key) == 1 && BIO_write(bio, "", 1) == 1 &&
        BIO_get_mem_data(bio, &data) > 0)
        *text = data;
    ERR_clear_error();
    return bio;
}

static bool print(const struct ui *ui, const struct shown *s, const char *pem, struct blobseal_error *err)
{
    const char *kid = blobseal_kek_kid(s->kek);
    bool is_private = blobseal_kek_can_unwrap(s->kek);
    uint64_t bits = s->key != NULL ? (uint64_t)EVP_PKEY_get_bits(s->key) : BLOBSEAL_SIZE_UNKNOWN;
    char name[320], id[SHORT_KID];
    struct json j;

    if (ui->json) {
        json_start(&j, "blobseal.key/1");
        json_text(&j, "key", s->arg->ref);
        json_text(&j, "kid", kid);
        json_text(&j, "kind", "RSA");
        json_number(&j, "bits", bits);
        json_bool(&j, "private", is_private);
        json_text(&j, "public", pem);
        return json_end(&j, err);
    }
    if (ui->quiet) {
        puts(kid);
        return stdout_flush(err);
    }
    printf("%s: RSA", printable(name, sizeof name, s->arg->ref));
    if (bits != BLOBSEAL_SIZE_UNKNOWN)
        printf(", %llu bits", (unsigned long long)bits);
    printf(", %s\n", is_private ? "private: it seals and opens" : "public: it seals");
    printf("%-8s %s\n%-8s %s\n%s", "short id", short_kid(id, kid), "key id", kid, pem != NULL ? pem : "");
    return stdout_flush(err);
}

static int show(const struct ui *ui, struct key_arg *arg)
{
    struct shown s = {.arg = arg};
    struct blobseal_error err = {0};
    const char *pem = NULL;
    BIO *bio = NULL;
    bool ok = open_key(&s, &err);

    if (ok)
        bio = public_half(&s, &pem);
    ok = ok && print(ui, &s, pem, &err);
    (void)BIO_free(bio);
    EVP_PKEY_free(s.key);
    blobseal_kek_close(s.kek);
    blobseal_secret_free(s.passphrase);
    return ok ? EXIT_OK : report_error(ui, &err);
}

/* ---- The verb ---------------------------------------------------------------------------------------------------- */

/* Show all keys, also after failures. */
static int show_all(struct ui *ui, struct keys *keys)
{
    int code = EXIT_OK;

    for (size_t i = 0; i < keys->num; i++) {
        int one;

        ui->file = keys->num > 1 ? keys->args[i].ref : NULL;
        one = show(ui, &keys->args[i]);
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

    while ((c = next_option(ui, argc, argv)) != -1)
        if (keys_option(ui, &keys, c, optarg, &code) && code != EXIT_OK)
            return code;
    if (optind == argc)
        return usage_error(ui, "key is followed by show, and keys");
    n.typed = argv[optind];
    nearest_try_list(&n, verb_key.words, best);
    if (strcmp(argv[optind], "show") != 0)
        return unknown_word(ui, "key is followed by show, not", argv[optind], n.best);
    for (int i = optind + 1; i < argc && code == EXIT_OK; i++)
        code = keys_add(ui, &keys, argv[i]);
    keys_default(&keys);
    if (code == EXIT_OK && keys.num == 0)
        return usage_error(ui, "key show needs a key");
    return code != EXIT_OK ? code : show_all(ui, &keys);
}

const struct verb verb_key = {"key", "show the id and the public half of a key", usage, run, options, "show"};
