/* SPDX-License-Identifier: Apache-2.0 */
/* The key material of a layer, in secret memory. */
#include "core/oci/oci.h"

enum blobseal_status bs_oci_layer_alloc(struct blobseal_oci_layer **layer, struct blobseal_error *err)
{
    *layer = blobseal_secret_alloc(sizeof **layer);
    if (*layer == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "make the keys of a layer: no memory");
    memset(*layer, 0, sizeof **layer);
    (*layer)->process = bs_process_id();
    (*layer)->used = true;
    return BLOBSEAL_OK;
}

enum blobseal_status blobseal_oci_layer_new(struct blobseal_oci_layer **layer, struct blobseal_error *err)
{
    struct blobseal_oci_layer *l;
    enum blobseal_status st;

    *layer = NULL;
    st = bs_oci_layer_alloc(&l, err);
    if (st == BLOBSEAL_OK)
        st = bs_random(l->key.dek, sizeof l->key.dek, true, err);
    if (st == BLOBSEAL_OK)
        st = bs_random(l->key.nonce, sizeof l->key.nonce, true, err);
    if (st != BLOBSEAL_OK) {
        blobseal_oci_layer_free(l);
        return st;
    }
    l->used = false;
    *layer = l;
    return BLOBSEAL_OK;
}

void blobseal_oci_layer_free(struct blobseal_oci_layer *layer)
{
    blobseal_secret_free(layer);
}

const char *blobseal_oci_layer_digest(const struct blobseal_oci_layer *layer)
{
    return layer != NULL && layer->process == bs_process_id() ? layer->key.digest : "";
}

enum blobseal_status blobseal_oci_layer_confirm(struct blobseal_oci_layer *layer,
                                                const struct blobseal_oci_digests *digests, struct blobseal_error *err)
{
    static const char hex[] = "0123456789abcdef";
    char *p;

    if (layer == NULL || digests == NULL || digests->size < sizeof *digests || !layer->key.has_hmac)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "confirm the digest of a layer: it was not decrypted");
    if (layer->process != bs_process_id())
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "confirm the digest of a layer: made by another process");
    memcpy(layer->key.digest, "sha256:", 7);
    p = layer->key.digest + 7;
    for (size_t i = 0; i < sizeof digests->plain_sha256; i++) {
        *p++ = hex[digests->plain_sha256[i] >> 4];
        *p++ = hex[digests->plain_sha256[i] & 0x0F];
    }
    *p = '\0';
    return BLOBSEAL_OK;
}
