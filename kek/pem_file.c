/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys in a PEM file. Private keys are PKCS#8 ("PRIVATE KEY"), encrypted PKCS#8 ("ENCRYPTED PRIVATE KEY") or PKCS#1
 * ("RSA PRIVATE KEY"). A private key is refused if the file's mode gives any permission to users other than its owner,
 * even if the caller is root. Public keys are SPKI ("PUBLIC KEY"), PKCS#1 ("RSA PUBLIC KEY") or the key of an X.509
 * certificate. The certificate only serves as a container of the key: its dates and signatures are not checked.
 *
 * All keys of a file count, so one that cannot be used is an error. A second certificate is one as well, because a
 * chain contains certificates of authorities, whose keys nobody means.
 */
#define _GNU_SOURCE /* memmem */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "core/base/base.h"
#include "kek/pem.h"
#include "kek/rsa.h"

#define MAX_FILE       65536
#define MAX_PASSPHRASE 1024
#define MAX_BLOCKS     ((size_t)2 * BS_PEM_MAX_KEYS) /* a private key and its public half for each */

/* What is needed while the keys of a file are read. */
struct reading {
    const char *path;
    const struct blobseal_kek_options *options;
    struct bs_pem_keys *keys;
    size_t num_blocks; /* with keys */
    struct bs_pem_block blocks[MAX_BLOCKS];
    struct bs_pem_block other; /* the first block without a key, if it has a line */
    char *passphrase;          /* the last one that was right, or NULL */
    size_t passphrase_len;
    char what[320]; /* names the block that is being read in messages */
};

/* Fill @err for a key file that cannot be used. Return E_CONFIG. */
static enum blobseal_status bad_key(const char *path, struct blobseal_error *err, const char *why)
{
    return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read the key %s: %s", path, why);
}

/* ---- The file ---------------------------------------------------------------------------------------------------- */

/* Read the whole file @path into secret memory, and get its mode. The caller frees *@text also after a failure. */
static enum blobseal_status read_file(const char *path, char **text, size_t *len, mode_t *mode,
                                      struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    *text = NULL;
    *len = 0;
    if (fd < 0 || fstat(fd, &info) != 0) {
        st = blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read the key %s", path);
        goto out;
    }
    *mode = info.st_mode;
    *text = blobseal_secret_alloc(MAX_FILE + 1);
    if (*text == NULL) {
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the key %s: no memory", path);
        goto out;
    }
    while (*len <= MAX_FILE) {
        ssize_t n = read(fd, *text + *len, MAX_FILE + 1 - *len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read the key %s", path);
        if (n <= 0)
            break;
        *len += (size_t)n;
    }
    if (st == BLOBSEAL_OK && *len > MAX_FILE) {
        st = bad_key(path, err, "the file is larger than 64 KiB, so it is not a key file");
        blobseal_hint(err, "check the name of the file");
    }
out:
    if (fd >= 0)
        (void)close(fd);
    return st;
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

static bool label_is(const struct bs_pem_block *b, const char *label)
{
    return bs_slice_is(b->label, label);
}

static bool label_has(const struct bs_pem_block *b, const char *part)
{
    return memmem(b->label.p, b->label.len, part, strlen(part)) != NULL;
}

static bool is_private(const struct bs_pem_block *b)
{
    return label_has(b, "PRIVATE KEY");
}

static bool is_certificate(const struct bs_pem_block *b)
{
    return label_is(b, "CERTIFICATE") || label_is(b, "X509 CERTIFICATE") || label_is(b, "TRUSTED CERTIFICATE");
}

/* Return true for a block that is a key, or was one before it was damaged. */
static bool is_key(const struct bs_pem_block *b)
{
    return is_private(b) || is_certificate(b) || label_has(b, "PUBLIC KEY") || b->label.len == 0;
}

/* Find the blocks with keys, so that the mode and the number of keys are known before a passphrase is asked for. */
static enum blobseal_status find_blocks(struct reading *r, char *text, size_t len, struct blobseal_error *err)
{
    struct bs_pem_text t = bs_pem_start(text, len);
    struct bs_pem_block b;
    size_t certificate = 0;

    while (bs_pem_next(&t, &b)) {
        if (!is_key(&b)) {
            r->other = r->other.line == 0 ? b : r->other;
            continue;
        }
        if (r->num_blocks == MAX_BLOCKS)
            return bad_key(r->path, err, "it has too many keys: a blob can have 64 recipients");
        if (is_certificate(&b) && certificate != 0) {
            (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0,
                                "read the key %s: it has several certificates, in lines %zu and %zu, as a chain has",
                                r->path, certificate, b.line);
            blobseal_hint(err, "keep only the certificate of the recipient, which is usually the first, in the file");
            return BLOBSEAL_E_CONFIG;
        }
        certificate = is_certificate(&b) ? b.line : certificate;
        r->blocks[r->num_blocks++] = b;
    }
    return r->num_blocks > 0 ? BLOBSEAL_OK : bs_pem_no_key(&r->other, text, len, r->path, err);
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

/* Decrypt with the passphrase of the key before, which is often the same. Return false if it does not fit. */
static bool same_passphrase(EVP_PKEY **key, const struct bs_der_encrypted *encrypted, const struct reading *r)
{
    struct bs_slice passphrase = {(const uint8_t *)r->passphrase, r->passphrase_len};

    return r->passphrase != NULL && bs_pem_decrypt(key, encrypted, passphrase, r->what, NULL) == BLOBSEAL_OK;
}

/* Ask for the passphrase of an encrypted private key, and decrypt the key. */
static enum blobseal_status open_encrypted(EVP_PKEY **key, const struct bs_pem_block *b, struct reading *r,
                                           struct blobseal_error *err)
{
    const struct blobseal_kek_options *o = r->options;
    struct bs_der_encrypted encrypted;
    enum blobseal_status st;
    size_t len = 0;

    if (!bs_der_encrypted(&encrypted, b->bytes))
        return bad_key(r->what, err, "the encrypted private key is malformed");
    if (o->passphrase == NULL) {
        (void)bad_key(r->what, err, "it is encrypted and no passphrase was given");
        blobseal_advise(err, BLOBSEAL_ADVICE_PASSPHRASE, NULL, "provide the passphrase of the key");
        return BLOBSEAL_E_CONFIG;
    }
    if (same_passphrase(key, &encrypted, r))
        return BLOBSEAL_OK;
    if (r->passphrase == NULL)
        r->passphrase = blobseal_secret_alloc(MAX_PASSPHRASE);
    if (r->passphrase == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the key %s: no memory", r->path);
    st = o->passphrase(o->passphrase_ctx, r->passphrase, MAX_PASSPHRASE, &len, err);
    r->passphrase_len = st == BLOBSEAL_OK ? len : 0;
    if (st == BLOBSEAL_OK)
        st = bs_pem_decrypt(key, &encrypted, (struct bs_slice){(uint8_t *)r->passphrase, len}, r->what, err);
    return st;
}

/* Read the parts of a key that is not encrypted. Return false if it is malformed. */
static bool read_parts(struct bs_der_key *parts, const struct bs_pem_block *b)
{
    if (is_private(b))
        return bs_der_private(parts, b->bytes);
    if (label_is(b, "RSA PUBLIC KEY"))
        return bs_der_rsa_public(parts, b->bytes);
    return is_certificate(b) ? bs_der_certificate(parts, b->bytes) : bs_der_public(parts, b->bytes);
}

/* Return true for the labels that this file can read. */
static bool is_supported(const struct bs_pem_block *b)
{
    return is_certificate(b) || label_is(b, "PRIVATE KEY") || label_is(b, "RSA PRIVATE KEY") ||
           label_is(b, "PUBLIC KEY") || label_is(b, "RSA PUBLIC KEY");
}

static enum blobseal_status report_fault(const struct reading *r, const struct bs_pem_block *b,
                                         struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0,
                        "read the key %s, line %zu: the block%s%.*s that begins in line %zu %s", r->path, b->fault_line,
                        b->label.len > 0 ? " " : "", (int)b->label.len, (const char *)b->label.p, b->line, b->fault);
    blobseal_hint(err, "copy the file again from where it came from, from the first BEGIN line to the last END line");
    return BLOBSEAL_E_CONFIG;
}

/* Open the key in a block. */
static enum blobseal_status open_block(EVP_PKEY **key, const struct bs_pem_block *b, struct reading *r,
                                       struct blobseal_error *err)
{
    struct bs_der_key parts;

    if (label_is(b, "ENCRYPTED PRIVATE KEY") && b->fault == NULL)
        return open_encrypted(key, b, r, err);
    if (!is_supported(b) && b->label.len > 0 && !label_is(b, "ENCRYPTED PRIVATE KEY"))
        return bs_pem_refuse(b, r->what, err);
    if (b->fault != NULL)
        return report_fault(r, b, err);
    if (b->has_headers) {
        (void)bad_key(r->what, err, "it is encrypted in OpenSSL's legacy format (Proc-Type), which is unsafe");
        blobseal_hint(err, "convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -iter 600000 -in OLD -out NEW");
        return BLOBSEAL_E_CONFIG;
    }
    return read_parts(&parts, b)
               ? bs_pem_make_key(key, &parts, r->what, err)
               : bad_key(r->what, err, is_certificate(b) ? "the certificate is malformed" : "the key is malformed");
}

/* Add a key, or replace the public half that is already there. Takes over @k. */
static enum blobseal_status add_key(struct reading *r, struct bs_pem_key *k, struct blobseal_error *err)
{
    struct bs_pem_keys *keys = r->keys;

    for (size_t i = 0; i < keys->num; i++) {
        if (strcmp(keys->list[i]->kid, k->kid) != 0)
            continue;
        if (k->is_private && !keys->list[i]->is_private) {
            bs_pem_key_free(keys->list[i]);
            keys->list[i] = k;
        } else {
            bs_pem_key_free(k);
        }
        return BLOBSEAL_OK;
    }
    if (keys->num == BS_PEM_MAX_KEYS) {
        bs_pem_key_free(k);
        return bad_key(r->path, err, "it has too many keys: a blob can have 64 recipients");
    }
    keys->list[keys->num++] = k;
    return BLOBSEAL_OK;
}

/* Open the key in a block, and add it. */
static enum blobseal_status read_block(struct reading *r, const struct bs_pem_block *b, struct blobseal_error *err)
{
    struct bs_pem_key *k = calloc(1, sizeof *k);
    enum blobseal_status st;

    if (k == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the key %s: no memory", r->path);
    if (r->num_blocks > 1)
        (void)snprintf(r->what, sizeof r->what, "%s, line %zu", r->path, b->line);
    else
        (void)snprintf(r->what, sizeof r->what, "%s", r->path);
    k->is_private = is_private(b);
    st = open_block(&k->key, b, r, err);
    if (st == BLOBSEAL_OK && !bs_rsa_kid(k->kid, k->key) && !bs_rsa_kid(k->kid, k->key))
        st = bs_openssl_failed(err, "read the key %s", r->path);
    if (st == BLOBSEAL_OK) {
        bs_rsa_wrapper_init(&k->wrapper, k->key, r->options->oaep);
        return add_key(r, k, err);
    }
    bs_pem_key_free(k);
    return st;
}

/* Refuse a private key if others than the owner have any permission for its file. */
static enum blobseal_status check_mode(const char *path, mode_t mode, struct blobseal_error *err)
{
    if ((mode & (S_IRWXG | S_IRWXO)) == 0)
        return BLOBSEAL_OK;
    (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the private key %s can be read by others (mode %04o)", path,
                        (unsigned)mode & 07777);
    blobseal_hint(err, "chmod 600 %s", path);
    return BLOBSEAL_E_POLICY;
}

static enum blobseal_status read_blocks(struct reading *r, mode_t mode, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    for (size_t i = 0; i < r->num_blocks && st == BLOBSEAL_OK; i++)
        if (is_private(&r->blocks[i]))
            st = check_mode(r->path, mode, err);
    for (size_t i = 0; i < r->num_blocks && st == BLOBSEAL_OK; i++)
        st = read_block(r, &r->blocks[i], err);
    return st;
}

/* Read all keys of a text, or if it is NULL, of the file @path. */
static enum blobseal_status read_keys(struct bs_pem_keys *keys, const char *path, char *text, size_t len,
                                      const struct blobseal_kek_options *options, struct blobseal_error *err)
{
    struct reading *r = calloc(1, sizeof *r);
    enum blobseal_status st;
    char *own = NULL;
    mode_t mode = S_IRUSR;

    *keys = (struct bs_pem_keys){0};
    if (r == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the key %s: no memory", path);
    r->path = path;
    r->options = options;
    r->keys = keys;
    st = bs_openssl_start(err);
    ERR_clear_error();
    if (st == BLOBSEAL_OK && text == NULL)
        st = read_file(path, &own, &len, &mode, err);
    if (st == BLOBSEAL_OK)
        st = find_blocks(r, text != NULL ? text : own, len, err);
    if (st == BLOBSEAL_OK)
        st = read_blocks(r, mode, err);
    if (st != BLOBSEAL_OK)
        bs_pem_keys_clear(keys);
    blobseal_secret_free(r->passphrase);
    blobseal_secret_free(own);
    free(r);
    ERR_clear_error();
    return st;
}

enum blobseal_status bs_pem_read(struct bs_pem_keys *keys, const char *path, const struct blobseal_kek_options *options,
                                 struct blobseal_error *err)
{
    return read_keys(keys, path, NULL, 0, options, err);
}

enum blobseal_status bs_pem_read_text(struct bs_pem_keys *keys, const char *text, size_t len,
                                      const struct blobseal_kek_options *options, struct blobseal_error *err)
{
    static const char name[] = "in the given text";
    enum blobseal_status st;
    char *copy;

    *keys = (struct bs_pem_keys){0};
    if (len > MAX_FILE)
        return bad_key(name, err, "the text is longer than 64 KiB, so it is not a key");
    copy = blobseal_secret_alloc(len + 1); /* its blocks are decoded in place */
    if (copy == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the key %s: no memory", name);
    if (len > 0)
        memcpy(copy, text, len);
    copy[len] = '\0';
    st = read_keys(keys, name, copy, len, options, err);
    blobseal_secret_free(copy);
    return st;
}

void bs_pem_key_free(struct bs_pem_key *key)
{
    if (key == NULL)
        return;
    bs_rsa_wrapper_clear(&key->wrapper);
    EVP_PKEY_free(key->key);
    free(key);
}

void bs_pem_keys_clear(struct bs_pem_keys *keys)
{
    for (size_t i = 0; i < keys->num; i++)
        bs_pem_key_free(keys->list[i]);
    keys->num = 0;
}
