/* SPDX-License-Identifier: Apache-2.0 */
/* From the annotations of a layer to its keys. */
#include <stdlib.h>

#include "core/oci/keys.h"

/* Find and open the private options, and make a layer of them. */
static enum blobseal_status open_layer(struct blobseal_oci_layer **layer, const struct bs_oci_items *items,
                                       struct bs_keks keks, struct blobseal_error *err)
{
    struct bs_oci_opened *opened = NULL;
    struct bs_oci_public public;
    enum blobseal_status st = bs_oci_items_public(items, &public, err);

    if (st == BLOBSEAL_OK)
        st = bs_oci_check_cipher(&public, err);
    if (st == BLOBSEAL_OK)
        st = bs_selftest_once(err);
    if (st == BLOBSEAL_OK)
        st = bs_oci_open(&opened, items, keks, err);
    if (st == BLOBSEAL_OK)
        st = bs_oci_key_complete(&opened->key, &public, err);
    if (st == BLOBSEAL_OK)
        st = bs_oci_layer_alloc(layer, err);
    if (st == BLOBSEAL_OK)
        (*layer)->key = opened->key;
    blobseal_secret_free(opened);
    return st;
}

/* NOLINTNEXTLINE(readability-function-size): no two of the seven belong together */
enum blobseal_status blobseal_oci_unwrap(struct blobseal_oci_layer **layer,
                                         const struct blobseal_oci_annotation *annotations, size_t num,
                                         struct blobseal_kek *const *keks, size_t num_keks,
                                         const struct blobseal_call_options *options, struct blobseal_error *err)
{
    struct bs_oci_items *items;
    struct blobseal_call call;
    enum blobseal_status st = bs_call_import(&call, options, "unwrap the key of a layer", err);

    *layer = NULL;
    if (st != BLOBSEAL_OK)
        return st;
    items = malloc(sizeof *items);
    if (items == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "unwrap the key of a layer: no memory");
    st = bs_oci_items_read(items, annotations, num, err);
    if (st == BLOBSEAL_OK)
        st = open_layer(layer, items, (struct bs_keks){keks, num_keks, &call}, err);
    bs_oci_items_clear(items);
    free(items);
    return st;
}
