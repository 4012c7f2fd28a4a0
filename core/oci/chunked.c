/* SPDX-License-Identifier: Apache-2.0 */
/* Layers that are blobs of this library: the cipher BLOBSEAL_V1, and the detached envelope in an annotation. */
#include <stdlib.h>

#include "core/oci/keys.h"

enum blobseal_status blobseal_oci_chunked_annotations(const char *envelope, size_t len,
                                                      struct blobseal_oci_annotations **list,
                                                      struct blobseal_error *err)
{
    struct bs_oci_output out = {0};

    *list = NULL;
    if (len == 0 || len > BLOBSEAL_MAX_ENVELOPE)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "an envelope has 1 to %u bytes, not %zu", BLOBSEAL_MAX_ENVELOPE,
                             len);
    bs_oci_output_public(&out, NULL);
    bs_oci_output_bytes(&out, bs_oci_annotation_key(BS_OCI_OURS), (struct bs_slice){(const uint8_t *)envelope, len});
    return bs_oci_output_end(&out, list, BLOBSEAL_OK, err);
}

/* Find the only element of our annotation. */
static enum blobseal_status find_envelope(const struct bs_oci_items *items, struct bs_slice *text,
                                          struct blobseal_error *err)
{
    size_t found = 0;

    for (size_t i = 0; i < items->num; i++)
        if (items->list[i].scheme == BS_OCI_OURS && ++found == 1)
            *text = items->list[i].bytes;
    if (found == 1 && text->len > 0 && text->len <= BLOBSEAL_MAX_ENVELOPE)
        return BLOBSEAL_OK;
    return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0,
                         "malformed annotations of a layer: %s has %zu elements, and must be one envelope in base64",
                         bs_oci_annotation_key(BS_OCI_OURS), found);
}

enum blobseal_status blobseal_oci_envelope(const struct blobseal_oci_annotation *annotations, size_t num,
                                           char **envelope, size_t *len, struct blobseal_error *err)
{
    struct bs_oci_items *items = malloc(sizeof *items);
    struct bs_oci_public public;
    struct bs_slice text = {0};
    enum blobseal_status st;

    *envelope = NULL;
    *len = 0;
    if (items == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the annotations of a layer: no memory");
    st = bs_oci_items_read(items, annotations, num, err);
    if (st == BLOBSEAL_OK)
        st = bs_oci_items_public(items, &public, err);
    if (st == BLOBSEAL_OK && public.cipher != BS_OCI_CHUNKED)
        st = blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "the cipher of the layer is %s, which has no envelope",
                           BS_OCI_CIPHER);
    if (st == BLOBSEAL_OK)
        st = find_envelope(items, &text, err);
    if (st == BLOBSEAL_OK)
        *envelope = malloc(text.len + 1);
    if (*envelope != NULL && text.p != NULL) {
        memcpy(*envelope, text.p, text.len);
        (*envelope)[text.len] = '\0';
        *len = text.len;
    } else if (st == BLOBSEAL_OK) {
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the annotations of a layer: no memory");
    }
    bs_oci_items_clear(items);
    free(items);
    return st;
}
