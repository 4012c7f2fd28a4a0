/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of layers share: keys that are known, and layers in memory. */
#ifndef TESTS_LAYERS_H
#define TESTS_LAYERS_H

#include <stdlib.h>

#include "core/oci/oci.h"
#include "tests/support/suite.h"

#define RUN(...)                                                                                                       \
    (&(const struct blobseal_oci_run_options){.size = sizeof(struct blobseal_oci_run_options), __VA_ARGS__})

/* Return a layer with these keys that may encrypt. Release it with blobseal_oci_layer_free(). */
static inline struct blobseal_oci_layer *known_layer(const uint8_t *dek, const uint8_t *nonce)
{
    struct blobseal_oci_layer *layer;

    cr_assert_eq(bs_oci_layer_alloc(&layer, NULL), BLOBSEAL_OK);
    memcpy(layer->key.dek, dek, BS_OCI_DEK_LEN);
    memcpy(layer->key.nonce, nonce, BS_OCI_NONCE_LEN);
    layer->used = false;
    return layer;
}

/* Return a fresh layer. */
static inline struct blobseal_oci_layer *fresh_layer(void)
{
    struct blobseal_oci_layer *layer;

    cr_assert_eq(blobseal_oci_layer_new(&layer, NULL), BLOBSEAL_OK);
    return layer;
}

/* Encrypt @len bytes in memory with one thread. The result is released with free(). */
static inline uint8_t *encrypt_bytes(struct blobseal_oci_layer *layer, const void *plain, size_t len)
{
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_memory in, out = {0};

    blobseal_source_memory(&source, &in, plain, len);
    blobseal_sink_memory(&sink, &out);
    cr_assert_eq(blobseal_oci_encrypt(layer, &source, &sink, RUN(.threads = 1), NULL, NULL), BLOBSEAL_OK);
    cr_assert_eq(out.len, len);
    return out.data;
}

/* Return true if @digest is the SHA-256 of these bytes, according to OpenSSL. */
static inline bool is_sha256(const uint8_t digest[32], const void *p, size_t len)
{
    uint8_t own[32];

    cr_assert_eq(EVP_Digest(p, len, own, NULL, EVP_sha256(), NULL), 1);
    return memcmp(own, digest, sizeof own) == 0;
}

#endif
