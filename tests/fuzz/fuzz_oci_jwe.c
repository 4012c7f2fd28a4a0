/* SPDX-License-Identifier: Apache-2.0 */
/* Wrapped keys of layers: JWEs of ocicrypt and of this library, and the annotation pkcs11. The first byte chooses. */
#include <stdlib.h>

#include "core/oci/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool cond)
{
    if (!cond)
        abort();
}

static void check_status(enum blobseal_status st, const struct blobseal_error *err)
{
    require(st == BLOBSEAL_OK || ((st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_UNSUPPORTED) && err->status == st));
}

static void parse_jwe(enum bs_oci_scheme scheme, struct bs_slice text)
{
    struct blobseal_error err;
    struct bs_oci_jwe j;
    enum blobseal_status st = bs_oci_jwe_parse(&j, scheme, text, &err);

    check_status(st, &err);
    if (st == BLOBSEAL_OK) {
        require(j.jwe.num >= 1 && j.jwe.num <= BLOBSEAL_MAX_RECIPIENTS);
        require(j.jwe.cek_len == 16 || j.jwe.cek_len == 24 || j.jwe.cek_len == 32);
        require(j.jwe.ciphertext.len <= BS_OCI_MAX_OPTIONS && (!j.ours || j.generation >= 1));
        for (size_t i = 0; i < j.jwe.num; i++) {
            require(j.jwe.recipients[i].alg != NULL && j.jwe.recipients[i].key_len <= BS_JWE_MAX_KEY);
            require(j.jwe.recipients[i].kid != NULL || !j.ours);
        }
    }
    bs_oci_jwe_clear(&j);
}

static void parse_blobs(struct bs_slice text)
{
    struct blobseal_error err;
    struct bs_oci_blobs blobs;
    enum blobseal_status st = bs_oci_blobs_parse(&blobs, text, &err);

    check_status(st, &err);
    if (st == BLOBSEAL_OK) {
        require(blobs.num >= 1 && blobs.num <= BLOBSEAL_MAX_RECIPIENTS);
        for (size_t i = 0; i < blobs.num; i++)
            require(blobs.list[i].blob.len >= 1 && blobs.list[i].blob.len <= BS_JWE_MAX_KEY);
    }
    bs_oci_blobs_clear(&blobs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const enum bs_oci_scheme schemes[] = {BS_OCI_JWE, BS_OCI_OURS, BS_OCI_PKCS11};
    enum bs_oci_scheme scheme;

    if (len < 1)
        return 0;
    scheme = schemes[data[0] % 3];
    if (scheme == BS_OCI_PKCS11)
        parse_blobs((struct bs_slice){data + 1, len - 1});
    else
        parse_jwe(scheme, (struct bs_slice){data + 1, len - 1});
    return 0;
}
