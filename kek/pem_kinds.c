/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for files that hold no key in PEM, with the command that converts them: they often hold the right key in the
 * wrong format.
 */
#define _GNU_SOURCE /* memmem */
#include <string.h>

#include "core/base/base.h"
#include "kek/pem.h"

/* ---- Keys of other programs -------------------------------------------------------------------------------------- */

/* Report that the file is @what_it_is. @hint may be NULL, if only another key helps. Return E_CONFIG. */
static enum blobseal_status refuse(const char *what, const char *what_it_is, const char *hint,
                                   struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read the key %s: it is %s", what, what_it_is);
    if (hint != NULL)
        blobseal_hint(err, "%s", hint);
    else
        blobseal_advise(err, BLOBSEAL_ADVICE_RSA_KEY, NULL, "generate or choose an RSA key of 2048, 3072 or 4096 bits");
    return BLOBSEAL_E_CONFIG;
}

/* Take a string of OpenSSH's format, which has its length before it. */
static bool take_string(struct bs_slice *in, struct bs_slice *string)
{
    size_t len;

    if (in->len < 4)
        return false;
    len = (size_t)in->p[0] << 24 | (size_t)in->p[1] << 16 | (size_t)in->p[2] << 8 | in->p[3];
    if (len > in->len - 4)
        return false;
    *string = (struct bs_slice){in->p + 4, len};
    *in = (struct bs_slice){in->p + 4 + len, in->len - 4 - len};
    return true;
}

/* Return true if an OpenSSH private key is RSA, as far as can be told. See PROTOCOL.key of OpenSSH. */
static bool openssh_is_rsa(struct bs_slice in)
{
    static const char magic[] = "openssh-key-v1"; /* and a zero byte */
    struct bs_slice skipped, public, type;

    if (in.len < sizeof magic || memcmp(in.p, magic, sizeof magic) != 0)
        return true;
    in = (struct bs_slice){in.p + sizeof magic, in.len - sizeof magic};
    for (int i = 0; i < 3; i++) /* cipher, derivation of its key, and options for it */
        if (!take_string(&in, &skipped))
            return true;
    if (in.len < 4)
        return true;
    in = (struct bs_slice){in.p + 4, in.len - 4}; /* the number of keys */
    return !take_string(&in, &public) || !take_string(&public, &type) || bs_slice_is(type, "ssh-rsa");
}

enum blobseal_status bs_pem_refuse(const struct bs_pem_block *b, const char *what, struct blobseal_error *err)
{
    if (bs_slice_is(b->label, "EC PRIVATE KEY"))
        return bs_pem_not_rsa("EC", what, err);
    if (bs_slice_is(b->label, "DSA PRIVATE KEY"))
        return bs_pem_not_rsa("DSA", what, err);
    if (bs_slice_is(b->label, "OPENSSH PRIVATE KEY"))
        return openssh_is_rsa(b->bytes)
                   ? refuse(what, "a private key in OpenSSH's own format",
                            "convert a copy: install -m 600 OLD NEW && ssh-keygen -p -m PKCS8 -f NEW", err)
                   : refuse(what, "an OpenSSH key that is not RSA, and an RSA key is needed", NULL, err);
    if (memmem(b->label.p, b->label.len, "PGP", 3) != NULL)
        return refuse(what, "an OpenPGP key, which cannot be used", NULL, err);
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read the key %s: keys of the kind %.*s cannot be used", what,
                        (int)(b->label.len < 80 ? b->label.len : 80), (const char *)b->label.p);
    blobseal_advise(err, BLOBSEAL_ADVICE_RSA_KEY, NULL, "generate or choose an RSA key of 2048, 3072 or 4096 bits");
    return BLOBSEAL_E_CONFIG;
}

/* ---- Files without a PEM block ----------------------------------------------------------------------------------- */

/* Return true if a line of the text starts with @start. */
static bool has_line(const char *text, size_t len, const char *start)
{
    size_t n = strlen(start);

    for (const char *p = text, *end = text + len; p != NULL && (size_t)(end - p) >= n;) {
        if (memcmp(p, start, n) == 0)
            return true;
        p = memchr(p, '\n', (size_t)(end - p));
        p = p != NULL ? p + 1 : NULL;
    }
    return false;
}

/* Report a file in DER. Return BLOBSEAL_OK if it is none. */
static enum blobseal_status refuse_der(struct bs_slice der, const char *path, struct blobseal_error *err)
{
    struct bs_der_encrypted encrypted;
    struct bs_der_key key;

    if (bs_der_is_pkcs12(der))
        return refuse(path, "a PKCS#12 file", "extract its key: openssl pkcs12 -in OLD -nocerts -out NEW", err);
    if (bs_der_private(&key, der))
        return refuse(path, "a private key in DER", "convert it to PEM: openssl pkey -inform DER -in OLD -out NEW",
                      err);
    if (bs_der_public(&key, der))
        return refuse(path, "a public key in DER",
                      "convert it to PEM: openssl pkey -pubin -inform DER -in OLD -pubout -out NEW", err);
    if (bs_der_certificate(&key, der))
        return refuse(path, "a certificate in DER", "convert it to PEM: openssl x509 -inform DER -in OLD -out NEW",
                      err);
    if (bs_der_encrypted(&encrypted, der))
        return refuse(path, "an encrypted private key in DER",
                      "convert it to PEM: openssl pkey -inform DER -in OLD -aes256 -out NEW", err);
    return BLOBSEAL_OK;
}

/* The formats that a line tells. */
static const struct {
    const char *start, *name, *hint;
} formats[] = {
    {"ssh-rsa ", "a public key in OpenSSH's own format", "convert it: ssh-keygen -e -m PKCS8 -f OLD > NEW"},
    {"ssh-", "an OpenSSH key that is not RSA, and an RSA key is needed", NULL},
    {"ecdsa-sha2-", "an OpenSSH key that is not RSA, and an RSA key is needed", NULL},
    {"sk-", "an OpenSSH key that is not RSA, and an RSA key is needed", NULL},
    {"---- BEGIN SSH2 PUBLIC KEY", "a public key in the format of RFC 4716",
     "convert it: ssh-keygen -i -f OLD > id.pub && ssh-keygen -e -m PKCS8 -f id.pub > NEW"},
    {"PuTTY-User-Key-File", "a key of PuTTY", "convert it: puttygen OLD -O private-openssh -o NEW"},
    {"AGE-SECRET-KEY-", "an identity of age, which cannot be used", NULL},
    {"age1", "a recipient of age, which cannot be used", NULL},
};

/* Return true for a byte order mark that is followed by an ASCII character, and for dashes. */
static bool is_utf16(const char *text, size_t len)
{
    bool little = len >= 4 && memcmp(text, "\xFF\xFE", 2) == 0 && text[3] == '\0';
    bool big = len >= 4 && memcmp(text, "\xFE\xFF", 2) == 0 && text[2] == '\0';

    return little || big || memmem(text, len, "-\0-\0-\0", 6) != NULL;
}

/* Return true for a JSON Web Key, which has a member `kty` (RFC 7517), and for a set of them. */
static bool is_jwk(const char *text, size_t len)
{
    return text[0] == '{' && memmem(text, len, "\"kty\"", 5) != NULL;
}

enum blobseal_status bs_pem_no_key(const struct bs_pem_block *other, const char *text, size_t len, const char *path,
                                   struct blobseal_error *err)
{
    const struct bs_slice der = {(const uint8_t *)text, len};

    if (other->line != 0) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read the key %s: it has a block %.*s in line %zu, but no key",
                            path, (int)(other->label.len < 80 ? other->label.len : 80), (const char *)other->label.p,
                            other->line);
        blobseal_hint(err, "a key file starts with a line such as -----BEGIN PRIVATE KEY-----");
        return BLOBSEAL_E_CONFIG;
    }
    if (len == 0)
        return refuse(path, "an empty file", "check the name of the file", err);
    if (refuse_der(der, path, err) != BLOBSEAL_OK)
        return BLOBSEAL_E_CONFIG;
    if (is_utf16(text, len))
        return refuse(path, "a text in UTF-16", "convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW", err);
    for (size_t i = 0; i < BS_COUNT(formats); i++)
        if (has_line(text, len, formats[i].start))
            return refuse(path, formats[i].name, formats[i].hint, err);
    if (is_jwk(text, len))
        return refuse(path, "a JSON Web Key, and keys are read from PEM",
                      "convert it: python3 -c 'import sys, jwcrypto.jwk as j; k = j.JWK.from_json(sys.stdin.read()); "
                      "print(k.export_to_pem(k.has_private, None).decode())' < OLD > NEW",
                      err);
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read the key %s: no PEM block with a key or certificate found",
                        path);
    blobseal_hint(err, "a key file starts with a line such as -----BEGIN PRIVATE KEY-----");
    return BLOBSEAL_E_CONFIG;
}
