/* SPDX-License-Identifier: Apache-2.0 */
/* Cases with layers of container images. */
#include <string.h>

#include <blobseal_oci.h>

#include "tests/faults/files.h"

/* Encrypt a layer, decrypt it in one pass, verify it, and decrypt it in two passes. */
static enum blobseal_status layer_with(size_t len, unsigned threads, struct blobseal_error *err)
{
    const struct blobseal_oci_run_options o = {.size = sizeof o, .threads = threads};
    struct blobseal_oci_digests d = {.size = sizeof d};
    struct blobseal_oci_layer *layer = NULL;
    struct blobseal_memory in, cipher = {0}, back = {0}, again = {0};
    struct blobseal_source source;
    struct blobseal_sink sink;
    enum blobseal_status st = blobseal_oci_layer_new(&layer, err);

    blobseal_source_memory(&source, &in, plain, len);
    blobseal_sink_memory(&sink, &cipher);
    if (st == BLOBSEAL_OK)
        st = blobseal_oci_encrypt(layer, &source, &sink, &o, &d, err);
    blobseal_source_memory(&source, &in, cipher.data, cipher.len);
    blobseal_sink_memory(&sink, &back);
    if (st == BLOBSEAL_OK)
        st = blobseal_oci_decrypt(layer, &source, &sink, &o, &d, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_oci_decrypt(layer, &source, NULL, &o, NULL, err);
    blobseal_sink_memory(&sink, &again);
    if (st == BLOBSEAL_OK)
        st = blobseal_oci_decrypt_verified(layer, &source, &sink, &o, NULL, err);
    if (st == BLOBSEAL_OK && (d.bytes != len || back.len != len || memcmp(back.data, plain, len) != 0 ||
                              again.len != len || memcmp(again.data, plain, len) != 0))
        test_support_failed("encrypt and decrypt a layer");
    blobseal_oci_layer_free(layer);
    blobseal_free(cipher.data);
    blobseal_free(back.data);
    blobseal_free(again.data);
    return st;
}

enum blobseal_status layer_small(struct blobseal_error *err)
{
    return layer_with(PLAIN, 1, err);
}

enum blobseal_status layer_in_threads(struct blobseal_error *err)
{
    return layer_with(MAX_PLAIN, 3, err);
}
