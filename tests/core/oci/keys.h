/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of keys and annotations share. */
#ifndef TESTS_OCI_KEYS_H
#define TESTS_OCI_KEYS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/oci/keys.h"
#include "tests/support/suite.h"

#define MAX_ANNOTATIONS 8

/* The annotations of a layer, whose strings belong to a JSON document or are constants. */
struct annotations {
    size_t num;
    struct blobseal_oci_annotation list[MAX_ANNOTATIONS];
};

/* Return the annotations of a descriptor. */
static inline struct annotations annotations_of(const json_t *descriptor)
{
    struct annotations a = {0};
    const char *key;
    json_t *value;

    json_object_foreach(json_object_get(descriptor, "annotations"), key, value)
    {
        cr_assert_lt(a.num, MAX_ANNOTATIONS);
        a.list[a.num++] = (struct blobseal_oci_annotation){key, json_string_value(value)};
    }
    return a;
}

/* Open a key of tests/vectors/ocicrypt/keys. */
static inline struct blobseal_kek *vector_key(const char *name)
{
    struct blobseal_kek *kek;
    char path[VEC_PATH], file[128];
    struct vec_bytes pem;
    struct blobseal_error err;

    (void)snprintf(file, sizeof file, "ocicrypt/keys/%s", name);
    pem = vec_read(file);
    vec_temp_key(path, (const char *)pem.p);
    cr_assert_eq(blobseal_kek_open(&kek, NULL, path, NULL, &err), BLOBSEAL_OK, "%s: %s", name, err.text);
    (void)unlink(path);
    free(pem.p);
    return kek;
}

/* Return the value of the annotation @key, which must be there. */
static inline const char *annotation(const struct blobseal_oci_annotations *list, const char *key)
{
    for (size_t i = 0; i < list->num; i++)
        if (strcmp(list->list[i].key, key) == 0)
            return list->list[i].value;
    vec_die("there is no annotation %s", key);
}

/* Return true if both layers have the same keys. */
static inline bool same_keys(const struct blobseal_oci_layer *a, const struct blobseal_oci_layer *b)
{
    return memcmp(a->key.dek, b->key.dek, sizeof a->key.dek) == 0 &&
           memcmp(a->key.nonce, b->key.nonce, sizeof a->key.nonce) == 0 &&
           memcmp(a->key.hmac, b->key.hmac, sizeof a->key.hmac) == 0 && strcmp(a->key.digest, b->key.digest) == 0;
}

/* A layer as blobseal_oci_encrypt() leaves it. */
static inline struct blobseal_oci_layer *encrypted_layer(void)
{
    struct blobseal_oci_layer *layer;

    cr_assert_eq(blobseal_oci_layer_new(&layer, NULL), BLOBSEAL_OK);
    memset(layer->key.hmac, 0x5A, sizeof layer->key.hmac);
    layer->key.has_hmac = true;
    (void)snprintf(layer->key.digest, sizeof layer->key.digest, "sha256:%064d", 7);
    return layer;
}

#endif
