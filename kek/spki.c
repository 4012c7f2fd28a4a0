/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys as SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), in DER and in PEM. */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "core/base/base.h"
#include "kek/rsa.h"

bool bs_spki_to_pem(char **pem, size_t *len, struct bs_slice spki)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    bool ok = bio != NULL && PEM_write_bio(bio, PEM_STRING_PUBLIC, "", spki.p, (long)spki.len) > 0;

    *len = ok ? (size_t)BIO_get_mem_data(bio, &text) : 0;
    *pem = ok ? malloc(*len + 1) : NULL;
    if (*pem != NULL) {
        memcpy(*pem, text, *len);
        (*pem)[*len] = '\0';
    }
    BIO_free(bio);
    ERR_clear_error();
    return *pem != NULL;
}

/* Encode the key once. Return false if there is no memory. */
static bool encode(uint8_t **spki, size_t *len, EVP_PKEY *key)
{
    int n = i2d_PUBKEY(key, NULL);
    unsigned char *p;

    *len = 0;
    *spki = n > 0 ? malloc((size_t)n) : NULL;
    p = *spki;
    if (p != NULL && i2d_PUBKEY(key, &p) == n)
        *len = (size_t)n;
    ERR_clear_error();
    if (*len == 0) {
        free(*spki);
        *spki = NULL;
    }
    return *len > 0;
}

bool bs_rsa_spki(uint8_t **spki, size_t *len, EVP_PKEY *key)
{
    bool made = encode(spki, len, key);

    if (!made) /* memory may have been short for a moment */
        made = encode(spki, len, key);
    return made;
}
