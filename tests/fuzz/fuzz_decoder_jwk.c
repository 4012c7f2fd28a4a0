/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Web Keys, as the decoder of containerd reads them. */
#include <stdlib.h>

#include <openssl/evp.h>

#include "tools/decoder/decoder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool cond)
{
    if (!cond)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct key_text text = {.name = "input", .text = (const char *)data, .len = len};
    struct blobseal_error err = {0};
    EVP_PKEY *key = NULL;
    bool ok;

    if (len > 65536)
        return 0;
    ok = jwk_read(&key, &text, &err);
    require(ok || (key == NULL && (err.status == BLOBSEAL_E_CONFIG || err.status == BLOBSEAL_E_NOMEM)));
    require(key == NULL || (EVP_PKEY_is_a(key, "RSA") == 1 && EVP_PKEY_get_bits(key) <= 8 * 513));
    EVP_PKEY_free(key);
    return 0;
}
