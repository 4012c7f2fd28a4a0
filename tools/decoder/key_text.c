/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys as containerd's own decoder accepts them: PEM, PEM in OpenSSL's legacy encryption, DER, and JSON Web
 * Keys. The library reads the first kind; the others are converted to it, in memory.
 */
#define _GNU_SOURCE /* memmem */
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "tools/decoder/decoder.h"

static bool contains(const struct key_text *k, const char *word)
{
    return memmem(k->text, k->len, word, strlen(word)) != NULL;
}

/* The callback of the library for encrypted PKCS#8. */
static enum blobseal_status give_passphrase(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    const struct key_text *k = ctx;

    if (k->passphrase_len > cap)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the passphrase of the key %s is too long", k->name);
    memcpy(buf, k->passphrase, k->passphrase_len);
    *len = k->passphrase_len;
    return BLOBSEAL_OK;
}

/* The callback of OpenSSL for legacy encryption. */
static int copy_passphrase(char *buf, int size, int writing, void *ctx)
{
    const struct key_text *k = ctx;

    (void)writing;
    if (k->passphrase == NULL || k->passphrase_len > (size_t)size)
        return -1;
    memcpy(buf, k->passphrase, k->passphrase_len);
    return (int)k->passphrase_len;
}

/* Open the keys in a PEM text that the library reads, and keep the private ones. */
static bool add_pem(struct oci_keys *keys, const struct key_text *k, const char *pem, size_t len,
                    struct blobseal_error *err)
{
    struct blobseal_kek_options o = {.size = sizeof o};
    struct blobseal_kek *opened[BLOBSEAL_MAX_RECIPIENTS];
    size_t num = COUNT(opened);
    bool all = true;

    if (k->passphrase != NULL) {
        o.passphrase = give_passphrase;
        o.passphrase_ctx = (void *)k;
    }
    if (blobseal_keks_from_pem(opened, &num, pem, len, &o, err) != BLOBSEAL_OK) {
        char text[sizeof err->text];

        (void)snprintf(text, sizeof text, "%s", err->text);
        return fail(err, err->status, 0, "the key %s cannot be used: %s", k->name, text);
    }
    for (size_t i = 0; i < num; i++) {
        bool private = blobseal_kek_can_unwrap(opened[i]), room = keys->num < COUNT(keys->list);

        if (private && room)
            keys->list[keys->num++] = opened[i];
        else
            blobseal_kek_close(opened[i]);
        all = all && (room || !private);
    }
    return all || fail(err, BLOBSEAL_E_CONFIG, 0, "the key %s is left out: there are more than %zu keys", k->name,
                       COUNT(keys->list));
}

/* Decode a key that the library does not read. Return NULL if it is none. */
static EVP_PKEY *decode_key(const struct key_text *k, bool pem)
{
    const uint8_t *at = (const uint8_t *)k->text;
    EVP_PKEY *key = NULL;
    BIO *bio;

    if (!pem)
        return d2i_AutoPrivateKey(NULL, &at, (long)k->len);
    bio = BIO_new_mem_buf(k->text, (int)k->len);
    if (bio != NULL)
        key = PEM_read_bio_PrivateKey(bio, NULL, copy_passphrase, (void *)k);
    BIO_free(bio);
    return key;
}

/* Convert a key to PKCS#8 in PEM, in OpenSSL's memory for secrets, and add it. */
static bool add_key(struct oci_keys *keys, const struct key_text *k, EVP_PKEY *key, struct blobseal_error *err)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text;
    long len;
    bool ok;

    if (bio == NULL || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        ok = fail(err, BLOBSEAL_E_NOMEM, 0, "read the key %s: no memory", k->name);
    else {
        len = BIO_get_mem_data(bio, &text);
        ok = add_pem(keys, k, text, (size_t)len, err);
    }
    BIO_free(bio);
    return ok;
}

static bool add_converted(struct oci_keys *keys, const struct key_text *k, bool pem, struct blobseal_error *err)
{
    EVP_PKEY *key = decode_key(k, pem);
    bool ok = key != NULL ? add_key(keys, k, key, err)
                          : fail(err, BLOBSEAL_E_CONFIG, 0, "the key %s %s", k->name,
                                 pem ? "is encrypted, and its passphrase is missing or wrong"
                                     : "is not a private key in PEM or DER, or a JSON Web Key");

    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok;
}

static bool add_jwk(struct oci_keys *keys, const struct key_text *k, struct blobseal_error *err)
{
    EVP_PKEY *key;
    bool ok = jwk_read(&key, k, err);

    if (key != NULL)
        ok = add_key(keys, k, key, err);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok;
}

/* Return true for JSON: the first character that is not white space opens an object. */
static bool is_json(const struct key_text *k)
{
    size_t i = 0;

    while (i < k->len && strchr(" \t\r\n", k->text[i]) != NULL && k->text[i] != '\0')
        i++;
    return i < k->len && k->text[i] == '{';
}

bool key_text_add(struct oci_keys *keys, const struct key_text *k, struct blobseal_error *err)
{
    bool pem = k->len > 0 && contains(k, "-----BEGIN ");

    if (k->len == 0 || k->len > 65536)
        return fail(err, BLOBSEAL_E_CONFIG, 0, "the key %s has %zu bytes, so it is not a key", k->name, k->len);
    if (is_json(k) && !contains(k, "\n-----BEGIN ")) /* no line of a string in JSON starts like this */
        return add_jwk(keys, k, err);
    if (pem && !contains(k, "Proc-Type: 4,ENCRYPTED"))
        return add_pem(keys, k, k->text, k->len, err);
    return add_converted(keys, k, pem, err);
}
