/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The annotations of a layer. The value of each annotation with wrapped keys is a list of base64 texts with commas
 * between them. Each text is an alternative, which was added later than those before it.
 */
#include <stdlib.h>

#include "core/oci/keys.h"

#define MAX_ANNOTATIONS 1000              /* of a layer, ours and others                 */
#define MAX_TEXT        ((size_t)1 << 20) /* of all annotations that concern encryption */

static const struct {
    const char *name;
    enum bs_oci_scheme scheme;
} schemes[] = {
    {"jwe", BS_OCI_JWE}, {"provider.blobseal", BS_OCI_OURS}, {"pkcs11", BS_OCI_PKCS11}, {"pkcs7", BS_OCI_PKCS7},
    {"pgp", BS_OCI_PGP},
};

const char *bs_oci_annotation_key(enum bs_oci_scheme scheme)
{
    switch (scheme) {
    case BS_OCI_JWE:
        return BS_OCI_KEYS_PREFIX "jwe";
    case BS_OCI_PKCS11:
        return BS_OCI_KEYS_PREFIX "pkcs11";
    default:
        return BS_OCI_KEYS_PREFIX "provider.blobseal";
    }
}

static enum blobseal_status malformed(struct blobseal_error *err, const char *what)
{
    return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "malformed annotations of a layer: %s", what);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum bs_oci_scheme scheme_of(const char *name)
{
    for (size_t i = 0; i < BS_COUNT(schemes); i++)
        if (strcmp(name, schemes[i].name) == 0)
            return schemes[i].scheme;
    return BS_OCI_OTHER;
}

/* Check that no annotation about encryption appears twice, and compute the length of their values. */
static enum blobseal_status check(const struct blobseal_oci_annotation *a, size_t num, size_t *total,
                                  struct blobseal_error *err)
{
    *total = 0;
    if (num > MAX_ANNOTATIONS)
        return malformed(err, "there are more than 1000");
    for (size_t i = 0; i < num; i++) {
        if (!has_prefix(a[i].key, BLOBSEAL_OCI_PREFIX))
            continue;
        *total += strlen(a[i].value) + 1;
        if (*total > MAX_TEXT)
            return malformed(err, "they are longer than 1 MiB");
        for (size_t k = 0; k < i; k++)
            if (strcmp(a[i].key, a[k].key) == 0)
                return malformed(err, "one of them appears twice");
    }
    return BLOBSEAL_OK;
}

/* Add the elements of one annotation, whose bytes are decoded to *@at. */
static enum blobseal_status add_elements(struct bs_oci_items *items, const struct blobseal_oci_annotation *a,
                                         uint8_t **at, struct blobseal_error *err)
{
    const char *name = a->key + strlen(BS_OCI_KEYS_PREFIX);

    for (const char *p = a->value;; p++) {
        size_t len = strcspn(p, ","), n = len;
        struct bs_oci_item *item = &items->list[items->num];

        if (items->num == BS_OCI_MAX_ITEMS)
            return malformed(err, "there are more than 128 wrapped keys");
        memcpy(*at, p, len);
        *item = (struct bs_oci_item){scheme_of(name), a->key, name, {(const uint8_t *)p, len}, {*at, 0}};
        if (bs_base64_decode(*at, &n))
            item->bytes.len = n;
        items->num++;
        *at += len;
        p += len;
        if (*p == '\0')
            return BLOBSEAL_OK;
    }
}

enum blobseal_status bs_oci_items_read(struct bs_oci_items *items, const struct blobseal_oci_annotation *annotations,
                                       size_t num, struct blobseal_error *err)
{
    size_t total;
    enum blobseal_status st = check(annotations, num, &total, err);
    uint8_t *at;

    *items = (struct bs_oci_items){0};
    if (st != BLOBSEAL_OK)
        return st;
    items->buf = at = malloc(total + 1);
    if (items->buf == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the annotations of a layer: no memory");
    for (size_t i = 0; i < num; i++)
        if (strcmp(annotations[i].key, BS_OCI_PUBOPTS) == 0)
            items->public_text = annotations[i].value;
    for (unsigned scheme = BS_OCI_JWE; scheme <= BS_OCI_OTHER; scheme++)
        for (size_t i = 0; i < num && st == BLOBSEAL_OK; i++)
            if (has_prefix(annotations[i].key, BS_OCI_KEYS_PREFIX) &&
                scheme_of(annotations[i].key + strlen(BS_OCI_KEYS_PREFIX)) == scheme)
                st = add_elements(items, &annotations[i], &at, err);
    return st;
}

void bs_oci_items_clear(struct bs_oci_items *items)
{
    free(items->buf);
    *items = (struct bs_oci_items){0};
}

enum blobseal_status bs_oci_items_public(const struct bs_oci_items *items, struct bs_oci_public *options,
                                         struct blobseal_error *err)
{
    uint8_t text[BS_BASE64_LEN(BS_OCI_MAX_OPTIONS)];
    size_t len = items->public_text != NULL ? strlen(items->public_text) : 0;

    *options = (struct bs_oci_public){0};
    if (len == 0)
        return malformed(err, "the public options are missing");
    if (len > sizeof text)
        return malformed(err, "the public options are too long");
    memcpy(text, items->public_text, len);
    if (!bs_base64_decode(text, &len))
        return malformed(err, "the public options are not base64");
    return bs_oci_public_read(options, text, len, err);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

/* Find the annotation @key, or add it. Return its index, or out->num if there is no memory. */
static size_t find_or_add(struct bs_oci_output *out, const char *key)
{
    size_t i = 0;

    while (i < out->num && strcmp(out->list[i].key, key) != 0)
        i++;
    if (i < out->num || i == BS_COUNT(out->list))
        return i;
    out->list[i].key = strdup(key);
    out->list[i].value = NULL;
    if (out->list[i].key != NULL)
        out->num++;
    return i;
}

/* Make room for @len more characters in the annotation @key, after a comma if it is not empty. */
static char *extend(struct bs_oci_output *out, const char *key, size_t len)
{
    size_t i = find_or_add(out, key), old;
    char *value;

    if (i == out->num) {
        out->no_memory = true;
        return NULL;
    }
    old = out->list[i].value != NULL ? strlen(out->list[i].value) : 0;
    value = realloc(out->list[i].value, old + len + 2);
    if (value == NULL) {
        out->no_memory = true;
        return NULL;
    }
    out->list[i].value = value;
    if (old > 0)
        value[old++] = ',';
    value[old + len] = '\0';
    return value + old;
}

void bs_oci_output_text(struct bs_oci_output *out, const char *key, struct bs_slice text)
{
    char *p = extend(out, key, text.len);

    if (p != NULL)
        memcpy(p, text.p, text.len);
}

void bs_oci_output_bytes(struct bs_oci_output *out, const char *key, struct bs_slice bytes)
{
    char *p = extend(out, key, BS_BASE64_LEN(bytes.len));
    struct bs_builder w = bs_builder_start((uint8_t *)p, p != NULL ? BS_BASE64_LEN(bytes.len) : 0);

    if (p != NULL)
        bs_put_base64(&w, bytes.p, bytes.len);
}

/* Copy all annotations into one allocation. Return NULL if there is no memory. */
static struct blobseal_oci_annotations *pack(const struct bs_oci_output *out)
{
    struct blobseal_oci_annotations *a;
    struct blobseal_oci_annotation *list;
    size_t len = sizeof *a + out->num * sizeof *list;
    char *at;

    for (size_t i = 0; i < out->num; i++)
        len += bs_packed_len(out->list[i].key) + bs_packed_len(out->list[i].value);
    a = malloc(len);
    if (a == NULL)
        return NULL;
    list = (struct blobseal_oci_annotation *)(a + 1);
    at = (char *)(list + out->num);
    *a = (struct blobseal_oci_annotations){out->num, list};
    for (size_t i = 0; i < out->num; i++) {
        list[i].key = bs_pack_string(&at, out->list[i].key);
        list[i].value = bs_pack_string(&at, out->list[i].value);
    }
    return a;
}

enum blobseal_status bs_oci_output_end(struct bs_oci_output *out, struct blobseal_oci_annotations **list,
                                       enum blobseal_status st, struct blobseal_error *err)
{
    *list = st == BLOBSEAL_OK && !out->no_memory ? pack(out) : NULL;
    for (size_t i = 0; i < out->num; i++) {
        free(out->list[i].key);
        free(out->list[i].value);
    }
    *out = (struct bs_oci_output){0};
    if (st == BLOBSEAL_OK && *list == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the annotations of a layer: no memory");
    return st;
}

void blobseal_oci_annotations_free(struct blobseal_oci_annotations *list)
{
    free(list);
}
