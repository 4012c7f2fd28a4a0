/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One image of a layout: its manifests, indexes and layers, each once. The documents of an image form a graph without
 * loops, because each is named by its digest; its depth and the number of its descriptors are limited nevertheless.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/oci/oci.h"

/* ---- Lists ------------------------------------------------------------------------------------------------------- */

/* Make room for one more element in a list of @num elements of @size bytes each. Return it, set to zero, or NULL. */
static void *add_element(void **list, size_t *num, size_t size, struct blobseal_error *err)
{
    void *p = *list;

    if ((*num & (*num - 1)) == 0) {                            /* the capacity is a power of two, and used up */
        p = realloc(*list, (*num == 0 ? 1 : 2 * *num) * size); /* at most 2 * OCI_MAX_ENTRIES elements */
        if (p == NULL) {
            (void)fail(err, BLOBSEAL_E_NOMEM, 0, "read an image: no memory");
            return NULL;
        }
        *list = p;
    }
    p = (char *)p + *num * size;
    memset(p, 0, size);
    (*num)++;
    return p;
}

#define ADD(list, num, err) add_element((void **)&(list), &(num), sizeof *(list), err)

/* Note that the image reaches a blob. Errors: E_FORMAT if another descriptor says another size. */
static bool reach(struct oci_image *image, const struct oci_descriptor *d, struct blobseal_error *err)
{
    const json_t *known = json_object_get(image->reached, d->digest);

    if (++image->num_entries > OCI_MAX_ENTRIES)
        return fail(err, BLOBSEAL_E_FORMAT, 0, "an image with more than %d descriptors", OCI_MAX_ENTRIES);
    if (known != NULL)
        return (uint64_t)json_integer_value(known) == d->size ||
               fail(err, BLOBSEAL_E_FORMAT, 0, "descriptors of %s have different sizes", d->digest);
    return json_object_set_new(image->reached, d->digest, json_integer((json_int_t)d->size)) == 0 ||
           fail(err, BLOBSEAL_E_NOMEM, 0, "read an image: no memory");
}

/* Return the number that @digest has in image->index_of, or SIZE_MAX. */
static size_t find(const struct oci_image *image, const char *digest)
{
    const json_t *number = json_object_get(image->index_of, digest);

    return number != NULL ? (size_t)json_integer_value(number) : SIZE_MAX;
}

static bool number(struct oci_image *image, const char *digest, size_t n, struct blobseal_error *err)
{
    return json_object_set_new(image->index_of, digest, json_integer((json_int_t)n)) == 0 ||
           fail(err, BLOBSEAL_E_NOMEM, 0, "read an image: no memory");
}

/* ---- Layers ------------------------------------------------------------------------------------------------------ */

/* Return the text of an annotation about encryption, or NULL for any other annotation. */
static const char *about_encryption(const char *name, const json_t *value)
{
    return strncmp(name, OCI_ENC_PREFIX, strlen(OCI_ENC_PREFIX)) == 0 ? json_string_value(value) : NULL;
}

/* Return true if all annotations about encryption in @a are in @b as well. */
static bool includes(const json_t *a, const json_t *b)
{
    const json_t *other = json_object_get(b, "annotations");
    const char *name;
    json_t *value;

    json_object_foreach(json_object_get(a, "annotations"), name, value)
    {
        const char *text = about_encryption(name, value);

        if (text != NULL && (oci_string(other, name) == NULL || strcmp(oci_string(other, name), text) != 0))
            return false;
    }
    return true;
}

/* Check that two descriptors of the same layer say the same about its encryption. */
static bool check_same(const struct oci_layer *layer, const json_t *descriptor, const struct oci_descriptor *d,
                       struct blobseal_error *err)
{
    if (layer->encrypted != oci_is_encrypted(d->media_type))
        return fail(err, BLOBSEAL_E_FORMAT, 0, "the layer %s is listed as encrypted and as not encrypted", d->digest);
    if (includes(layer->descriptor, descriptor) && includes(descriptor, layer->descriptor))
        return true;
    return fail(err, BLOBSEAL_E_FORMAT, 0, "the layer %s is listed with different annotations about its encryption",
                d->digest);
}

static bool add_layer(struct oci_image *image, size_t node, size_t position, json_t *descriptor,
                      struct blobseal_error *err)
{
    struct oci_descriptor d;
    struct oci_layer *layer;
    struct oci_place *place;
    char key[OCI_DIGEST_LEN + 1]; /* a layer may have the digest of a manifest */
    size_t n;

    if (!oci_descriptor_read(descriptor, &d, image->nodes[node].d.digest, err) || !reach(image, &d, err))
        return false;
    (void)snprintf(key, sizeof key, "L%s", d.digest);
    n = find(image, key);
    if (n == SIZE_MAX) {
        n = image->num_layers;
        layer = ADD(image->layers, image->num_layers, err);
        if (layer == NULL || !number(image, key, n, err))
            return false;
        layer->d = d;
        layer->descriptor = descriptor;
        layer->encrypted = oci_is_encrypted(d.media_type);
    } else if (!check_same(&image->layers[n], descriptor, &d, err)) {
        return false;
    }
    place = ADD(image->places, image->num_places, err);
    if (place == NULL)
        return false;
    *place = (struct oci_place){.descriptor = descriptor, .node = node, .position = position, .layer = n};
    return true;
}

/* ---- Manifests and indexes --------------------------------------------------------------------------------------- */

static bool visit(struct oci_image *image, json_t *descriptor, size_t parent, unsigned depth,
                  struct blobseal_error *err);

/* Return true if a manifest says how an image was built, and is none itself. */
static bool is_attestation(const json_t *manifest)
{
    const json_t *layers = json_object_get(manifest, "layers"), *layer;
    size_t i;

    json_array_foreach(layers, i, layer)
    {
        const char *type = oci_string(layer, "mediaType");

        if (type == NULL || strncmp(type, OCI_TYPE_IN_TOTO, strlen(OCI_TYPE_IN_TOTO)) != 0)
            return false;
    }
    return json_array_size(layers) > 0;
}

static bool read_manifest(struct oci_image *image, size_t n, struct blobseal_error *err)
{
    const json_t *document = image->nodes[n].document;
    const json_t *config = json_object_get(document, "config"), *layers = json_object_get(document, "layers");
    struct oci_descriptor d;
    json_t *layer;
    size_t i;

    if (!json_is_array(layers) || json_object_get(document, "manifests") != NULL)
        return fail(err, BLOBSEAL_E_FORMAT, 0, "%s is not a manifest with layers, and only that",
                    image->nodes[n].d.digest);
    if (!oci_descriptor_read(config, &d, image->nodes[n].d.digest, err) || !reach(image, &d, err))
        return false;
    image->nodes[n].num_layers = json_array_size(layers);
    image->nodes[n].attestation = is_attestation(document);
    json_array_foreach(layers, i, layer)
    {
        if (!add_layer(image, n, i, layer, err))
            return false;
    }
    return true;
}

static bool read_index(struct oci_image *image, size_t n, unsigned depth, struct blobseal_error *err)
{
    const json_t *document = image->nodes[n].document, *manifests = json_object_get(document, "manifests");
    json_t *child;
    size_t i;

    if (!json_is_array(manifests) || json_object_get(document, "layers") != NULL ||
        json_object_get(document, "config") != NULL)
        return fail(err, BLOBSEAL_E_FORMAT, 0, "%s is not an index of manifests, and only that",
                    image->nodes[n].d.digest);
    json_array_foreach(manifests, i, child)
    {
        if (!visit(image, child, n, depth + 1, err))
            return false;
    }
    return true;
}

/* Read a document that was not read before, and all below it. */
static bool read_node(struct oci_image *image, const struct oci_descriptor *d, unsigned depth,
                      struct blobseal_error *err)
{
    size_t n = image->num_nodes;
    struct oci_node *node = ADD(image->nodes, image->num_nodes, err);
    const char *type;
    char *text;

    if (node == NULL || !number(image, d->digest, n, err))
        return false;
    node->d = *d;
    node->is_index = strcmp(d->media_type, OCI_TYPE_INDEX) == 0;
    image->bytes += d->size < OCI_MAX_TEXT ? d->size : OCI_MAX_TEXT;
    if (image->bytes > OCI_MAX_TEXT)
        return fail(err, BLOBSEAL_E_FORMAT, 0, "the manifests of the image have more than %u bytes", OCI_MAX_TEXT);
    if (!oci_blob_load(image->layout, d, &text, err))
        return false;
    node->document = oci_parse(text, (size_t)d->size, d->digest, err);
    free(text);
    if (node->document == NULL)
        return false;
    type = oci_string(node->document, "mediaType");
    if ((type != NULL && strcmp(type, d->media_type) != 0) ||
        (type == NULL && json_object_get(node->document, "mediaType") != NULL))
        return fail(err, BLOBSEAL_E_FORMAT, 0, "%s is not of the media type that its descriptor says", d->digest);
    return node->is_index ? read_index(image, n, depth, err) : read_manifest(image, n, err);
}

/* Refuse documents whose kind is known, but which cannot be changed. Otherwise they would count as opaque. */
static bool check_kind(const struct oci_descriptor *d, struct blobseal_error *err)
{
    if (strncmp(d->media_type, "application/vnd.docker.distribution.",
                strlen("application/vnd.docker.distribution.")) == 0) {
        (void)fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "%s is a manifest of Docker's own format, which has no annotations",
                   d->digest);
        blobseal_hint(err, "convert it first: skopeo copy --format oci SOURCE DESTINATION");
        return false;
    }
    if (strcmp(d->media_type, "application/vnd.oci.artifact.manifest.v1+json") == 0)
        return fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "%s is an artifact manifest of a draft that was given up",
                    d->digest);
    return true;
}

/* Follow a descriptor in an index. */
static bool visit(struct oci_image *image, json_t *descriptor, size_t parent, unsigned depth,
                  struct blobseal_error *err)
{
    const char *where = parent == OCI_ROOT ? "index.json" : image->nodes[parent].d.digest;
    struct oci_edge *edge;
    struct oci_descriptor d;
    size_t n;

    if (!oci_descriptor_read(descriptor, &d, where, err) || !check_kind(&d, err) || !reach(image, &d, err))
        return false;
    if (depth > OCI_MAX_DEPTH)
        return fail(err, BLOBSEAL_E_FORMAT, 0, "indexes are nested more than %d times", OCI_MAX_DEPTH);
    if (strcmp(d.media_type, OCI_TYPE_INDEX) != 0 && strcmp(d.media_type, OCI_TYPE_MANIFEST) != 0) {
        image->num_opaque++;
        return parent != OCI_ROOT || image->all ||
               fail(err, BLOBSEAL_E_UNSUPPORTED, 0,
                    "%s has the media type %.100s: neither a "
                    "manifest nor an index",
                    d.digest, d.media_type);
    }
    n = find(image, d.digest);
    if (n != SIZE_MAX && strcmp(image->nodes[n].d.media_type, d.media_type) != 0)
        return fail(err, BLOBSEAL_E_FORMAT, 0, "descriptors of %s have different media types", d.digest);
    if (n == SIZE_MAX) {
        n = image->num_nodes;
        if (!read_node(image, &d, depth, err))
            return false;
    }
    edge = ADD(image->edges, image->num_edges, err);
    if (edge == NULL)
        return false;
    *edge = (struct oci_edge){.descriptor = descriptor, .parent = parent, .child = n};
    return true;
}

/* ---- Choosing the image ------------------------------------------------------------------------------------------ */

static const char *name_of(const json_t *descriptor)
{
    return oci_string(json_object_get(descriptor, "annotations"), OCI_REF_NAME);
}

/* Report that a name is needed, or that there is none like that. The hint lists the names. */
static bool fail_names(const struct oci_layout *l, const char *name, struct blobseal_error *err)
{
    const json_t *manifests = json_object_get(l->index, "manifests"), *m;
    char list[160] = "";
    size_t i, n = 0, named = 0;

    json_array_foreach(manifests, i, m)
    {
        if (name_of(m) != NULL && ++named && n < sizeof list - 8)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%.60s", n > 0 ? ", " : "", name_of(m));
    }
    if (name != NULL)
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%.160s has no image with the name %.80s", l->path, name);
    else if (json_array_size(manifests) == 0)
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%.200s has no image", l->path);
    else
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%.160s has %zu images: name one as LAYOUT:REF", l->path,
                   json_array_size(manifests));
    if (named > 0)
        blobseal_hint(err, "names in this layout: %s", list);
    return false;
}

/* Return the list of images. */
static json_t *list_of(const struct oci_layout *l, struct blobseal_error *err)
{
    json_t *manifests = json_object_get(l->index, "manifests");

    if (json_is_array(manifests) && json_object_get(l->index, "layers") == NULL &&
        json_object_get(l->index, "config") == NULL)
        return manifests;
    (void)fail(err, BLOBSEAL_E_FORMAT, 0, "index.json of %.200s is not an index of manifests, and only that", l->path);
    return NULL;
}

static json_t *choose(const struct oci_layout *l, const char *name, struct blobseal_error *err)
{
    const json_t *manifests = list_of(l, err);
    json_t *m, *found = NULL;
    size_t i;

    if (manifests == NULL)
        return NULL;
    if (name == NULL && json_array_size(manifests) == 1)
        return json_array_get(manifests, 0);
    json_array_foreach(manifests, i, m)
    {
        if (name == NULL || name_of(m) == NULL || strcmp(name_of(m), name) != 0)
            continue;
        if (found != NULL) {
            (void)fail(err, BLOBSEAL_E_FORMAT, 0, "%.160s has two images with the name %.80s", l->path, name);
            return NULL;
        }
        found = m;
    }
    if (found == NULL)
        (void)fail_names(l, name, err);
    return found;
}

/* Set @image to one without documents. */
static bool start(struct oci_image *image, struct oci_layout *layout, struct blobseal_error *err)
{
    *image = (struct oci_image){.layout = layout, .reached = json_object(), .index_of = json_object()};
    return (image->reached != NULL && image->index_of != NULL) ||
           fail(err, BLOBSEAL_E_NOMEM, 0, "read an image: no memory");
}

bool oci_image_load(struct oci_image *image, struct oci_layout *layout, const char *name, struct blobseal_error *err)
{
    if (start(image, layout, err))
        image->root = choose(layout, name, err);
    if (image->root != NULL && visit(image, image->root, OCI_ROOT, 0, err)) {
        const char *found = name_of(image->root) != NULL ? name_of(image->root) : "";

        if (strlen(found) < sizeof image->name) {
            memcpy(image->name, found, strlen(found) + 1);
            return true;
        }
        (void)fail(err, BLOBSEAL_E_FORMAT, 0, "the name of the image in %.200s is longer than %zu characters",
                   layout->path, sizeof image->name - 1);
    }
    oci_image_free(image);
    return false;
}

bool oci_image_load_all(struct oci_image *image, struct oci_layout *layout, struct blobseal_error *err)
{
    const json_t *manifests = start(image, layout, err) ? list_of(layout, err) : NULL;
    bool ok = manifests != NULL;
    json_t *m;
    size_t i;

    image->all = true;
    json_array_foreach(manifests, i, m)
    {
        ok = ok && visit(image, m, OCI_ROOT, 0, err);
    }
    if (!ok)
        oci_image_free(image);
    return ok;
}

/* Note what a list of descriptors names. */
static bool reach_list(struct oci_image *image, const json_t *list, const char *where, struct blobseal_error *err)
{
    struct oci_descriptor d;
    json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
    {
        if (!oci_descriptor_read(item, &d, where, err) || !reach(image, &d, err))
            return false;
    }
    return true;
}

bool oci_image_reach_again(struct oci_image *image, struct blobseal_error *err)
{
    struct oci_descriptor d;
    bool ok = oci_descriptor_read(image->root, &d, "index.json", err);

    image->num_entries = 0;
    (void)json_object_clear(image->reached);
    ok = ok && reach(image, &d, err);
    for (size_t i = 0; ok && i < image->num_nodes; i++) {
        const json_t *document = image->nodes[i].document;
        const char *where = image->nodes[i].d.digest;

        ok =
            reach_list(image, json_object_get(document, image->nodes[i].is_index ? "manifests" : "layers"), where, err);
        if (ok && !image->nodes[i].is_index)
            ok = oci_descriptor_read(json_object_get(document, "config"), &d, where, err) && reach(image, &d, err);
    }
    return ok;
}

size_t oci_layer_position(const struct oci_image *image, const struct oci_layer *layer)
{
    for (size_t i = 0; i < image->num_places; i++)
        if (&image->layers[image->places[i].layer] == layer)
            return image->places[i].position;
    return 0;
}

void oci_layer_label(char label[OCI_LABEL], const struct oci_image *image, const struct oci_layer *layer)
{
    (void)snprintf(label, OCI_LABEL, "layer %zu (%.19s)", oci_layer_position(image, layer), layer->d.digest);
}

json_t *oci_enc_annotations(const json_t *descriptor)
{
    json_t *copy = json_object(), *value;
    const char *name;
    bool ok = copy != NULL;

    json_object_foreach(json_object_get(descriptor, "annotations"), name, value)
    {
        if (ok && about_encryption(name, value) != NULL)
            ok = json_object_set(copy, name, value) == 0;
    }
    if (!ok)
        json_decref(copy);
    return ok ? copy : NULL;
}

void oci_image_free(struct oci_image *image)
{
    for (size_t i = 0; i < image->num_nodes; i++)
        json_decref(image->nodes[i].document);
    for (size_t i = 0; i < image->num_layers; i++)
        json_decref(image->layers[i].annotations);
    free(image->nodes);
    free(image->edges);
    free(image->layers);
    free(image->places);
    json_decref(image->reached);
    json_decref(image->index_of);
    *image = (struct oci_image){.layout = NULL};
}
