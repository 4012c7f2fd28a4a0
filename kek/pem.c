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
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "core/base/base.h"
#include "kek/rsa.h"

#define MAX_FILE       65536
#define MAX_PASSPHRASE 1024

struct pem_key {
    EVP_PKEY *key;
    enum blobseal_oaep oaep;
    char kid[BS_RSA_KID_LEN];
};

/* A decoded block of a PEM file. */
struct block {
    char *name, *header;
    uint8_t *data;
    long len;
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

static void block_clear(struct block *b)
{
    OPENSSL_free(b->name);
    OPENSSL_free(b->header);
    OPENSSL_clear_free(b->data, (size_t)b->len);
    *b = (struct block){0};
}

static bool name_is(const struct block *b, const char *name)
{
    return strcmp(b->name, name) == 0;
}

static bool is_private(const struct block *b)
{
    return strstr(b->name, "PRIVATE KEY") != NULL;
}

static bool is_key(const struct block *b)
{
    return is_private(b) || name_is(b, "PUBLIC KEY") || name_is(b, "RSA PUBLIC KEY") || name_is(b, "CERTIFICATE") ||
           name_is(b, "X509 CERTIFICATE") || name_is(b, "TRUSTED CERTIFICATE");
}

/* Find the first private key in the text, or the first public key if there is no private key. */
static enum blobseal_status find_key(struct block *found, const char *path, char *text, size_t len,
                                     struct blobseal_error *err)
{
    BIO *bio = BIO_new_mem_buf(text, (int)len);
    struct block b = {0};

    *found = b;
    while (bio != NULL && (found->name == NULL || !is_private(found)) &&
           PEM_read_bio(bio, &b.name, &b.header, &b.data, &b.len) == 1) {
        if (is_key(&b) && (found->name == NULL || is_private(&b))) {
            block_clear(found);
            *found = b;
            b = (struct block){0};
        } else {
            block_clear(&b);
        }
    }
    BIO_free(bio);
    ERR_clear_error();
    if (found->name != NULL)
        return BLOBSEAL_OK;
    (void)bad_key(path, err, "no PEM block with a key or certificate found");
    blobseal_hint(err, "a key file starts with a line such as -----BEGIN PRIVATE KEY-----");
    return BLOBSEAL_E_CONFIG;
}

/* ---- Decoding ---------------------------------------------------------------------------------------------------- */

static bool fips_is_on(void)
{
    return EVP_default_properties_is_fips_enabled(NULL) == 1;
}

/* Return true if OpenSSL can use RSA keys. It cannot in FIPS mode without a FIPS provider. */
static bool rsa_is_available(void)
{
    EVP_KEYMGMT *rsa = EVP_KEYMGMT_fetch(NULL, "RSA", NULL);

    EVP_KEYMGMT_free(rsa);
    return rsa != NULL;
}

/* Decrypt an encrypted PKCS#8 structure. Return NULL if that fails. */
static EVP_PKEY *decrypt_pkcs8(const X509_SIG *sealed, const char *passphrase, size_t len)
{
    PKCS8_PRIV_KEY_INFO *plain = PKCS8_decrypt(sealed, passphrase, (int)len);
    EVP_PKEY *key = plain != NULL ? EVP_PKCS82PKEY(plain) : NULL;

    PKCS8_PRIV_KEY_INFO_free(plain);
    return key;
}

/* Ask for the passphrase of an encrypted private key, and decrypt the key. */
static enum blobseal_status decrypt(EVP_PKEY **key, const struct block *b, const char *path,
                                    const struct blobseal_kek_options *o, struct blobseal_error *err)
{
    const uint8_t *p = b->data;
    X509_SIG *sealed = d2i_X509_SIG(NULL, &p, b->len);
    char *passphrase = blobseal_secret_alloc(MAX_PASSPHRASE);
    enum blobseal_status st;
    size_t len = 0;

    if (sealed == NULL) {
        st = bad_key(path, err, "the encrypted private key is malformed");
    } else if (passphrase == NULL) {
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the key %s: no memory", path);
    } else if (o->passphrase == NULL) {
        st = bad_key(path, err, "it is encrypted and no passphrase was given");
        blobseal_advise(err, BLOBSEAL_ADVICE_PASSPHRASE, NULL, "provide the passphrase of the key");
    } else {
        st = o->passphrase(o->passphrase_ctx, passphrase, MAX_PASSPHRASE, &len, err);
        if (st == BLOBSEAL_OK) {
            *key = decrypt_pkcs8(sealed, passphrase, len);
            if (*key == NULL) {
                st = bad_key(path, err, "wrong passphrase, or an unsupported kind of encryption");
                blobseal_hint(err, "%s",
                              fips_is_on()
                                  ? "check the passphrase; FIPS mode requires PBES2 with PBKDF2: openssl pkcs8 "
                                    "-topk8 -v2 aes-256-cbc -iter 600000 -in OLD -out NEW"
                                  : "check the passphrase, for example with: openssl pkey -noout -in FILE");
            }
        }
    }
    blobseal_secret_free(passphrase);
    X509_SIG_free(sealed);
    return st;
}

/* Return the public key of a certificate, or NULL. */
static EVP_PKEY *decode_certificate(const uint8_t *p, long len)
{
    X509 *cert = d2i_X509(NULL, &p, len);
    EVP_PKEY *key = cert != NULL ? X509_get_pubkey(cert) : NULL;

    X509_free(cert);
    return key;
}

/* Decode the key in a PEM block. */
static enum blobseal_status decode(EVP_PKEY **key, const struct block *b, const char *path,
                                   const struct blobseal_kek_options *o, struct blobseal_error *err)
{
    const uint8_t *p = b->data;

    *key = NULL;
    if (!rsa_is_available())
        return bs_no_provider("RSA", err);
    if (b->header[0] != '\0') {
        (void)bad_key(path, err, "it is encrypted in OpenSSL's legacy format (Proc-Type), which is unsafe");
        blobseal_hint(err, "convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -iter 600000 -in OLD -out NEW");
        return BLOBSEAL_E_CONFIG;
    }
    if (name_is(b, "ENCRYPTED PRIVATE KEY"))
        return decrypt(key, b, path, o, err);
    if (is_private(b)) /* also "EC PRIVATE KEY" and similar, so that the message can name the type of the key */
        *key = d2i_AutoPrivateKey_ex(NULL, &p, b->len, NULL, NULL);
    else if (name_is(b, "RSA PUBLIC KEY"))
        *key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, b->len);
    else if (name_is(b, "PUBLIC KEY"))
        *key = d2i_PUBKEY_ex(NULL, &p, b->len, NULL, NULL);
    else
        *key = decode_certificate(p, b->len);
    return *key != NULL ? BLOBSEAL_OK : bad_key(path, err, "the key is malformed");
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

static const char *algorithm(enum blobseal_oaep oaep)
{
    return oaep == BLOBSEAL_OAEP_SHA1 ? "RSA-OAEP" : "RSA-OAEP-256";
}

static void pem_close(void *state)
{
    struct pem_key *k = state;

    if (k == NULL)
        return;
    EVP_PKEY_free(k->key);
    free(k);
}

static enum blobseal_status pem_open(void **state, struct blobseal_kek_info *info, const char *path,
                                     const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                     struct blobseal_error *err)
{
    struct pem_key *k = calloc(1, sizeof *k);
    struct block b = {0};
    enum blobseal_status st;
    char *text = NULL;
    mode_t mode = 0;
    size_t len;

    (void)call; /* reading a file does not wait */
    *state = NULL;
    if (k == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the key %s: no memory", path);
    st = read_file(path, &text, &len, &mode, err);
    if (st == BLOBSEAL_OK)
        st = find_key(&b, path, text, len, err);
    if (st == BLOBSEAL_OK && is_private(&b))
        st = check_mode(path, mode, err);
    if (st == BLOBSEAL_OK)
        st = decode(&k->key, &b, path, options, err);
    if (st == BLOBSEAL_OK)
        st = bs_rsa_check(k->key, path, err);
    if (st == BLOBSEAL_OK && !bs_rsa_kid(k->kid, k->key))
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the key %s: no memory", path);
    if (st == BLOBSEAL_OK) {
        k->oaep = options->oaep;
        *info = (struct blobseal_kek_info){
            .size = sizeof *info,
            .kid = k->kid,
            .alg = algorithm(k->oaep),
            .wrapped_len = (size_t)EVP_PKEY_get_size(k->key),
            .can_unwrap = is_private(&b),
        };
        *state = k;
    } else {
        pem_close(k);
    }
    block_clear(&b);
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
    (void)snprintf(out->alg, sizeof out->alg, "%s", algorithm(k->oaep));
    if (!bs_rsa_oaep_wrap(k->key, k->oaep, out->key, &out->key_len, (struct bs_slice){secret->b, sizeof secret->b}))
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "wrap for the key %s: OpenSSL failed", k->kid);
    return BLOBSEAL_OK;
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
