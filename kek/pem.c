/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider for keys in PEM files.
 *
 * Private keys are PKCS#8 ("PRIVATE KEY"), encrypted PKCS#8 ("ENCRYPTED PRIVATE KEY") or PKCS#1 ("RSA PRIVATE KEY"). A
 * private key is refused if the file's mode gives any permission to users other than its owner, even if the caller is
 * root. Public keys are SPKI ("PUBLIC KEY"), PKCS#1 ("RSA PUBLIC KEY") or the key of an X.509 certificate. The
 * certificate only serves as a container of the key: its dates and signatures are not checked. Of several keys in a
 * file, the first private key is used, or the first public key if there is no private key.
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

struct pem_key {
    EVP_PKEY *key;
    struct bs_rsa_wrapper wrapper;
    char kid[BS_RSA_KID_LEN];
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
    if (st == BLOBSEAL_OK && *len > MAX_FILE)
        st = bad_key(path, err, "the file is larger than 64 KiB, so it is not a key file");
out:
    if (fd >= 0)
        (void)close(fd);
    return st;
}

/* ---- Keys in it -------------------------------------------------------------------------------------------------- */

static bool label_is(const struct bs_pem_block *b, const char *label)
{
    return bs_slice_is(b->label, label);
}

static bool is_private(const struct bs_pem_block *b)
{
    static const char private[] = "PRIVATE KEY";

    return memmem(b->label.p, b->label.len, private, strlen(private)) != NULL;
}

static bool is_certificate(const struct bs_pem_block *b)
{
    return label_is(b, "CERTIFICATE") || label_is(b, "X509 CERTIFICATE") || label_is(b, "TRUSTED CERTIFICATE");
}

static bool is_key(const struct bs_pem_block *b)
{
    return is_private(b) || is_certificate(b) || label_is(b, "PUBLIC KEY") || label_is(b, "RSA PUBLIC KEY");
}

/* Find the first private key in the text, or the first public key if there is no private key. */
static enum blobseal_status find_key(struct bs_pem_block *found, const char *path, char *text, size_t len,
                                     struct blobseal_error *err)
{
    struct bs_pem_text t = bs_pem_start(text, len);
    struct bs_pem_block b;
    bool any = false;

    while ((!any || !is_private(found)) && bs_pem_next(&t, &b))
        if (is_key(&b) && (!any || is_private(&b))) {
            any = true;
            *found = b;
        }
    if (any)
        return BLOBSEAL_OK;
    (void)bad_key(path, err, "no PEM block with a key or certificate found");
    blobseal_hint(err, "a key file starts with a line such as -----BEGIN PRIVATE KEY-----");
    return BLOBSEAL_E_CONFIG;
}

/* Ask for the passphrase of an encrypted private key, and decrypt the key. */
static enum blobseal_status open_encrypted(EVP_PKEY **key, const struct bs_pem_block *b, const char *path,
                                           const struct blobseal_kek_options *o, struct blobseal_error *err)
{
    struct bs_der_encrypted encrypted;
    enum blobseal_status st;
    char *passphrase;
    size_t len = 0;

    if (!bs_der_encrypted(&encrypted, b->bytes))
        return bad_key(path, err, "the encrypted private key is malformed");
    if (o->passphrase == NULL) {
        (void)bad_key(path, err, "it is encrypted and no passphrase was given");
        blobseal_advise(err, BLOBSEAL_ADVICE_PASSPHRASE, NULL, "provide the passphrase of the key");
        return BLOBSEAL_E_CONFIG;
    }
    passphrase = blobseal_secret_alloc(MAX_PASSPHRASE);
    if (passphrase == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the key %s: no memory", path);
    st = o->passphrase(o->passphrase_ctx, passphrase, MAX_PASSPHRASE, &len, err);
    if (st == BLOBSEAL_OK)
        st = bs_pem_decrypt(key, &encrypted, (struct bs_slice){(uint8_t *)passphrase, len}, path, err);
    blobseal_secret_free(passphrase);
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

/* Open the key in a block. */
static enum blobseal_status open_block(EVP_PKEY **key, const struct bs_pem_block *b, const char *path,
                                       const struct blobseal_kek_options *o, struct blobseal_error *err)
{
    struct bs_der_key parts;

    if (b->fault != NULL)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read the key %s: the block that begins in line %zu %s", path,
                             b->line, b->fault);
    if (b->has_headers) {
        (void)bad_key(path, err, "it is encrypted in OpenSSL's legacy format (Proc-Type), which is unsafe");
        blobseal_hint(err, "convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -iter 600000 -in OLD -out NEW");
        return BLOBSEAL_E_CONFIG;
    }
    if (label_is(b, "ENCRYPTED PRIVATE KEY"))
        return open_encrypted(key, b, path, o, err);
    if (label_is(b, "EC PRIVATE KEY") || label_is(b, "DSA PRIVATE KEY"))
        return bs_pem_not_rsa(label_is(b, "EC PRIVATE KEY") ? "EC" : "DSA", path, err);
    return read_parts(&parts, b) ? bs_pem_make_key(key, &parts, path, err) : bad_key(path, err, "the key is malformed");
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

/* ---- The provider ------------------------------------------------------------------------------------------------ */

static void pem_close(void *state)
{
    struct pem_key *k = state;

    if (k == NULL)
        return;
    bs_rsa_wrapper_clear(&k->wrapper);
    EVP_PKEY_free(k->key);
    free(k);
}

static enum blobseal_status pem_open(void **state, struct blobseal_kek_info *info, const char *path,
                                     const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                     struct blobseal_error *err)
{
    struct pem_key *k = calloc(1, sizeof *k);
    struct bs_pem_block b = {0};
    enum blobseal_status st;
    char *text = NULL;
    mode_t mode = 0;
    size_t len;

    (void)call; /* reading a file does not wait */
    *state = NULL;
    if (k == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the key %s: no memory", path);
    st = bs_openssl_start(err);
    ERR_clear_error();
    if (st == BLOBSEAL_OK)
        st = read_file(path, &text, &len, &mode, err);
    if (st == BLOBSEAL_OK)
        st = find_key(&b, path, text, len, err);
    if (st == BLOBSEAL_OK && is_private(&b))
        st = check_mode(path, mode, err);
    if (st == BLOBSEAL_OK)
        st = open_block(&k->key, &b, path, options, err);
    if (st == BLOBSEAL_OK && !bs_rsa_kid(k->kid, k->key) && !bs_rsa_kid(k->kid, k->key))
        st = bs_openssl_failed(err, "read the key %s", path);
    if (st == BLOBSEAL_OK) {
        bs_rsa_wrapper_init(&k->wrapper, k->key, options->oaep);
        *info = (struct blobseal_kek_info){
            .size = sizeof *info,
            .kid = k->kid,
            .alg = bs_rsa_algorithm(k->wrapper.oaep),
            .wrapped_len = (size_t)EVP_PKEY_get_size(k->key),
            .can_unwrap = is_private(&b),
        };
        *state = k;
    } else {
        pem_close(k);
    }
    blobseal_secret_free(text);
    ERR_clear_error();
    return st;
}

static bool pem_owns(void *state, const char *alg, const char *kid)
{
    const struct pem_key *k = state;

    return strcmp(kid, k->kid) == 0 && (strcmp(alg, "RSA-OAEP-256") == 0 || strcmp(alg, "RSA-OAEP") == 0);
}

static enum blobseal_status pem_wrap(void *state, struct blobseal_wrapping *out, const struct blobseal_secret32 *secret,
                                     const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct pem_key *k = state;

    (void)call;
    memcpy(out->kid, k->kid, sizeof k->kid);
    return bs_rsa_wrap_secret(&k->wrapper, out, secret, err);
}

static enum blobseal_status pem_unwrap(void *state, struct blobseal_secret32 *secret,
                                       const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                       const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct pem_key *k = state;
    enum blobseal_oaep oaep = strcmp(wrapped->alg, "RSA-OAEP") == 0 ? BLOBSEAL_OAEP_SHA1 : BLOBSEAL_OAEP_SHA256;

    (void)lease; /* nobody can revoke a file */
    (void)call;
    return bs_rsa_unwrap_secret(k->key, oaep, secret, (struct bs_slice){wrapped->key, wrapped->key_len}, err);
}

const struct blobseal_provider bs_pem_provider = {
    .abi = BLOBSEAL_PROVIDER_ABI,
    .scheme = "file",
    .open = pem_open,
    .owns = pem_owns,
    .wrap = pem_wrap,
    .unwrap = pem_unwrap,
    .close = pem_close,
};
