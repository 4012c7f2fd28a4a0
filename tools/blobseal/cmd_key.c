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
    "Show each KEY: its key id, its kind and size, and its public half. A file with several keys shows them all.\n\n"
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

#define MAX_PASSPHRASE 1024

/* A reference that is shown, and what is read from its file for the public halves, which the library does not show. */
struct shown {
    struct key_arg *arg;
    struct blobseal_kek *keks[BLOBSEAL_MAX_RECIPIENTS];
    size_t num_keks;
    EVP_PKEY *keys[BLOBSEAL_MAX_RECIPIENTS]; /* in the same order; none if the keys are not in a file */
    size_t num_keys;
    char *passphrases[BLOBSEAL_MAX_RECIPIENTS]; /* as typed or read, so that each is asked for once */
    size_t lengths[BLOBSEAL_MAX_RECIPIENTS];
    size_t num_passphrases;
};

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* Get a passphrase, and keep it for the second time that the file is decrypted. */
static enum blobseal_status keep_passphrase(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    struct shown *s = ctx;
    enum blobseal_status st = get_passphrase(s->arg, buf, cap, len, err);
    char *copy;

    if (st != BLOBSEAL_OK)
        return st;
    copy = s->num_passphrases < COUNT(s->passphrases) ? blobseal_secret_alloc(MAX_PASSPHRASE) : NULL;
    if (copy == NULL || *len >= MAX_PASSPHRASE) {
        blobseal_secret_free(copy);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "keep the passphrase: no memory");
    }
    memcpy(copy, buf, *len);
    s->lengths[s->num_passphrases] = *len;
    s->passphrases[s->num_passphrases++] = copy;
    return BLOBSEAL_OK;
}

/* Decode a key, with a passphrase if @passphrase is not NULL. */
static EVP_PKEY *decode(const unsigned char *der, size_t len, const char *passphrase, size_t passphrase_len)
{
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx = OSSL_DECODER_CTX_new_for_pkey(&key, "DER", NULL, "RSA", 0, NULL, NULL);

    if (ctx != NULL && passphrase != NULL)
        (void)OSSL_DECODER_CTX_set_passphrase(ctx, (const unsigned char *)passphrase, passphrase_len);
    if (ctx != NULL)
        (void)OSSL_DECODER_from_data(ctx, &der, &len);
    OSSL_DECODER_CTX_free(ctx);
    return key;
}

/* Return the key in a block of the file, or NULL. */
static EVP_PKEY *read_block(const struct shown *s, const char *name, const unsigned char *der, size_t len)
{
    EVP_PKEY *key = NULL;
    X509 *cert;

    if (strstr(name, "CERTIFICATE") != NULL) {
        cert = d2i_X509(NULL, &der, (long)len);
        key = cert != NULL ? X509_get_pubkey(cert) : NULL;
        X509_free(cert);
        return key;
    }
    if (strncmp(name, "ENCRYPTED", 9) != 0)
        return decode(der, len, NULL, 0);
    for (size_t i = 0; i < s->num_passphrases && key == NULL; i++)
        key = decode(der, len, s->passphrases[i], s->lengths[i]);
    return key;
}

/* Keep a key, once, as the library does. */
static void keep_key(struct shown *s, EVP_PKEY *key)
{
    bool known = key == NULL || s->num_keys == COUNT(s->keys);

    for (size_t i = 0; i < s->num_keys && !known; i++)
        known = EVP_PKEY_eq(s->keys[i], key) == 1;
    if (known)
        EVP_PKEY_free(key);
    else
        s->keys[s->num_keys++] = key;
}

/* Read the keys from their file for their public halves; keys elsewhere have none to show. */
static void read_keys(struct shown *s)
{
    const char *path = strncmp(s->arg->ref, "file:", 5) == 0 ? s->arg->ref + 5 : s->arg->ref;
    BIO *bio = BIO_new_file(path, "r");
    char *name, *header, mark[3];
    unsigned char *der;
    long len;

    if (bio != NULL && (BIO_read(bio, mark, 3) != 3 || memcmp(mark, "\xEF\xBB\xBF", 3) != 0))
        (void)BIO_seek(bio, 0);
    while (bio != NULL && PEM_read_bio(bio, &name, &header, &der, &len) == 1) {
        keep_key(s, read_block(s, name, der, (size_t)len));
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)len);
    }
    (void)BIO_free(bio);
    ERR_clear_error();
}

static bool open_keys(struct shown *s, struct blobseal_error *err)
{
    const struct blobseal_kek_options o = {
        .size = sizeof o, .passphrase = keep_passphrase, .passphrase_ctx = s, .use = BLOBSEAL_USE_NAME};

    s->num_keks = COUNT(s->keks);
    if (blobseal_keks_open(s->keks, &s->num_keks, NULL, s->arg->ref, &o, err) != BLOBSEAL_OK) {
        passphrase_failed(s->arg, err);
        return false;
    }
    read_keys(s);
    return true;
}

static void shown_clear(struct shown *s)
{
    for (size_t i = 0; i < s->num_keys; i++)
        EVP_PKEY_free(s->keys[i]);
    for (size_t i = 0; i < s->num_keks; i++)
        blobseal_kek_close(s->keks[i]);
    for (size_t i = 0; i < s->num_passphrases; i++)
        blobseal_secret_free(s->passphrases[i]);
}

/* ---- Showing ----------------------------------------------------------------------------------------------------- */

/* Return the public half in PEM, to be released with BIO_free(), or NULL. *@text ends in a zero byte. */
static BIO *public_half(EVP_PKEY *key, const char **text)
{
    BIO *bio = key != NULL ? BIO_new(BIO_s_mem()) : NULL;
    char *data;

    *text = NULL;
    if (bio != NULL && PEM_write_bio_PUBKEY(bio, key) == 1 && BIO_write(bio, "", 1) == 1 &&
        BIO_get_mem_data(bio, &data) > 0)
        *text = data;
    ERR_clear_error();
    return bio;
}

/* Print one key. @key is NULL if it is not in a file. */
static bool print(const struct ui *ui, const char *ref, const struct blobseal_kek *kek, EVP_PKEY *key, const char *pem,
                  struct blobseal_error *err)
{
    const char *kid = blobseal_kek_kid(kek);
    bool is_private = blobseal_kek_can_unwrap(kek);
    uint64_t bits = key != NULL ? (uint64_t)EVP_PKEY_get_bits(key) : BLOBSEAL_SIZE_UNKNOWN;
    char name[320], id[SHORT_KID];
    struct json j;

    if (ui->json) {
        json_start(&j, "blobseal.key/1");
        json_text(&j, "key", ref);
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
    printf("%s: RSA", printable(name, sizeof name, ref));
    if (bits != BLOBSEAL_SIZE_UNKNOWN)
        printf(", %llu bits", (unsigned long long)bits);
    printf(", %s\n", is_private ? "private: it seals and opens" : "public: it seals");
    printf("%-8s %s\n%-8s %s\n%s", "short id", short_kid(id, kid), "key id", kid, pem != NULL ? pem : "");
    return stdout_flush(err);
}

/* Show all keys that a reference names. */
static int show(const struct ui *ui, struct key_arg *arg)
{
    struct shown s = {.arg = arg};
    struct blobseal_error err = {0};
    bool ok = open_keys(&s, &err);

    for (size_t i = 0; i < s.num_keks && ok; i++) {
        EVP_PKEY *key = s.num_keys == s.num_keks ? s.keys[i] : NULL;
        const char *pem;
        BIO *bio = public_half(key, &pem);

        ok = print(ui, arg->ref, s.keks[i], key, pem, &err);
        (void)BIO_free(bio);
    }
    shown_clear(&s);
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
