/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypting messages of other lengths than 32 bytes with the public half of a KEK. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "core/base/base.h"
#include "kek/kek.h"
#include "kek/rsa.h"

size_t bs_kek_max_message(const struct blobseal_kek *kek)
{
    const struct blobseal_kek_info *info = bs_kek_info(kek);
    size_t hash = info->alg != NULL && strcmp(info->alg, "RSA-OAEP") == 0 ? 20 : 32;

    return info->wrapped_len > 2 * hash + 2 ? info->wrapped_len - 2 * hash - 2 : 0; /* RFC 8017 section 7.1.1 */
}

enum blobseal_status bs_kek_encrypt(struct blobseal_kek *kek, struct blobseal_wrapping *out, struct bs_slice message,
                                    const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct blobseal_kek_info *info;
    enum blobseal_oaep oaep = BLOBSEAL_OAEP_SHA256;
    const unsigned char *p;
    EVP_PKEY *key = NULL;
    uint8_t *spki;
    size_t len;
    bool ok = false;
    enum blobseal_status st = bs_kek_spki(kek, &spki, &len, call, err);

    *out = (struct blobseal_wrapping){.size = sizeof *out};
    if (st != BLOBSEAL_OK)
        return st;
    info = bs_kek_info(kek); /* which is complete now */
    if (strcmp(info->alg, "RSA-OAEP") == 0)
        oaep = BLOBSEAL_OAEP_SHA1;
    (void)snprintf(out->alg, sizeof out->alg, "%s", info->alg);
    (void)snprintf(out->kid, sizeof out->kid, "%s", info->kid);
    for (int tries = 0; tries < 2 && !ok; tries++) { /* memory may have been short for a moment */
        p = spki;
        key = d2i_PUBKEY(NULL, &p, (long)len);
        ok = key != NULL && bs_rsa_oaep_wrap(key, oaep, out->key, &out->key_len, message);
        EVP_PKEY_free(key);
    }
    free(spki);
    if (!ok)
        st = bs_openssl_failed(err, "use an RSA key");
    ERR_clear_error();
    return st;
}
