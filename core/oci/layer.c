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
