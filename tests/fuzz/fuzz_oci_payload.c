/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads of containerd, and the annotations in them: they are listed, and unwrapped without a key. */
#include <stdlib.h>

#include "core/oci/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool cond)
{
    if (!cond)
        abort();
}

static void use(const struct blobseal_oci_payload *p)
{
    struct blobseal_oci_recipients *list;
    struct blobseal_oci_layer *layer;
    struct blobseal_error err = {0};
    char *envelope;
    size_t len;
    enum blobseal_status st = blobseal_oci_recipients(p->annotations, p->num_annotations, &list, &err);

    require(st == BLOBSEAL_OK || (st == BLOBSEAL_E_FORMAT && list == NULL));
    for (size_t i = 0; st == BLOBSEAL_OK && i < list->num; i++)
        require(list->list[i].scheme[0] != '\n');
    blobseal_oci_recipients_free(list);
    st = blobseal_oci_unwrap(&layer, p->annotations, p->num_annotations, NULL, 0, NULL, &err);
    require(layer == NULL && (st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_NO_KEY || st == BLOBSEAL_E_UNSUPPORTED));
    st = blobseal_oci_envelope(p->annotations, p->num_annotations, &envelope, &len, &err);
    require((st == BLOBSEAL_OK) == (envelope != NULL));
    blobseal_free(envelope);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct blobseal_oci_payload *p;
    struct blobseal_error err;
    enum blobseal_status st = blobseal_oci_payload_read(&p, data, len, &err);

    require(st == BLOBSEAL_OK || ((st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_UNSUPPORTED) && err.status == st));
    require((st == BLOBSEAL_OK) == (p != NULL));
    if (p != NULL)
        use(p);
    blobseal_oci_payload_free(p);
    return 0;
}
