/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From changed layers to changed manifests. Documents are edited, not made anew, so members that this version does not
 * know survive in their order. Of a layer only media type, digest, size and annotations change.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/oci/oci.h"

static bool no_memory(struct blobseal_error *err)
{
    return fail(err, BLOBSEAL_E_NOMEM, 0, "write a manifest: no memory");
}

/*
 * Set digest and size. Content that is embedded in the descriptor, and other places to get it from, go: they are the
 * content from before.
 */
static bool set_content(json_t *descriptor, const struct oci_descriptor *d, struct blobseal_error *err)
{
    if (json_object_set_new(descriptor, "digest", json_string(d->digest)) != 0 ||
        json_object_set_new(descriptor, "size", json_integer((json_int_t)d->size)) != 0)
        return no_memory(err);
    (void)json_object_del(descriptor, "data");
    (void)json_object_del(descriptor, "urls");
    return true;
}

/* ---- Layers ------------------------------------------------------------------------------------------------------ */

/* Remove all annotations about encryption, and add @added (NULL: none). No annotations at all means no member. */
static bool set_annotations(json_t *descriptor, json_t *added, struct blobseal_error *err)
{
    json_t *list = json_object_get(descriptor, "annotations"), *value;
    bool had = list != NULL;
    const char *name;
    void *next;

    if (list == NULL && added == NULL)
        return true;
    if (list == NULL) {
        list = json_object();
        if (json_object_set_new(descriptor, "annotations", list) != 0)
            return no_memory(err);
    }
    json_object_foreach_safe(list, next, name, value)
    {
        if (strncmp(name, OCI_ENC_PREFIX, strlen(OCI_ENC_PREFIX)) == 0)
            (void)json_object_del(list, name);
    }
    if (added != NULL && json_object_update(list, added) != 0)
        return no_memory(err);
    if (had && json_object_size(list) == 0)
        (void)json_object_del(descriptor, "annotations");
    return true;
}

/* Set the media type: with the suffix for an encrypted layer, otherwise without. */
static bool set_media_type(json_t *descriptor, bool encrypted, struct blobseal_error *err)
{
    const char *before = oci_string(descriptor, "mediaType");
    char type[OCI_MAX_MEDIA_TYPE + 1];
    size_t len = strlen(before), suffix = strlen(OCI_ENCRYPTED);

    if (encrypted == oci_is_encrypted(before))
        return true;
    if (encrypted && len + suffix > OCI_MAX_MEDIA_TYPE)
        return fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "the media type %.100s is too long", before);
    (void)snprintf(type, sizeof type, "%.*s%s", (int)(encrypted ? len : len - suffix), before,
                   encrypted ? OCI_ENCRYPTED : "");
    return json_object_set_new(descriptor, "mediaType", json_string(type)) == 0 || no_memory(err);
}

static bool rewrite_layer(const struct oci_layer *layer, json_t *descriptor, struct blobseal_error *err)
{
    bool same = strcmp(layer->now.digest, layer->d.digest) == 0 && layer->encrypted == (layer->annotations != NULL);

    return set_media_type(descriptor, layer->annotations != NULL, err) &&
           (same || set_content(descriptor, &layer->now, err)) && set_annotations(descriptor, layer->annotations, err);
}

static bool rewrite_layers(struct oci_image *image, struct blobseal_error *err)
{
    for (size_t i = 0; i < image->num_places; i++) {
        const struct oci_place *p = &image->places[i];

        if (!image->layers[p->layer].done)
            continue;
        if (!rewrite_layer(&image->layers[p->layer], p->descriptor, err))
            return false;
        image->nodes[p->node].changed = true;
    }
    return true;
}

/* ---- Manifests and indexes --------------------------------------------------------------------------------------- */

/*
 * An index of BuildKit says in an annotation which manifest an attestation is about. Let it name that manifest by its
 * new digest. @renamed: new digests by old ones.
 */
static bool rename_references(const json_t *index, const json_t *renamed, struct blobseal_error *err)
{
    const json_t *descriptor;
    size_t i;

    json_array_foreach(json_object_get(index, "manifests"), i, descriptor)
    {
        json_t *annotations = json_object_get(descriptor, "annotations"), *now;
        const char *old = oci_string(annotations, OCI_REFERENCE);

        now = old != NULL ? json_object_get(renamed, old) : NULL;
        if (now != NULL && json_object_set(annotations, OCI_REFERENCE, now) != 0)
            return no_memory(err);
    }
    return true;
}

/* Write one document, whose children are written already, and add its digests to @renamed. */
static bool write_node(struct oci_target *t, struct oci_node *node, json_t *renamed, struct blobseal_error *err)
{
    struct oci_spool s = OCI_SPOOL_NONE;
    const struct oci_descriptor before = node->d;
    char *text = NULL;
    size_t len = 0;
    bool ok = (!node->is_index || rename_references(node->document, renamed, err)) &&
              oci_print(node->document, &text, &len, err);

    if (ok && len > OCI_MAX_DOCUMENT)
        ok = fail(err, BLOBSEAL_E_POLICY, 0, "a manifest would have more than %u bytes", OCI_MAX_DOCUMENT);
    node->d.size = len;
    ok = ok && oci_digest_of(node->d.digest, text, len, err) && oci_spool_open(t, &s, err) &&
         oci_write(s.fd, text, len, node->d.digest, err) && oci_spool_commit(t, &s, node->d.digest, err);
    if (ok && json_object_set_new(renamed, before.digest, json_string(node->d.digest)) != 0)
        ok = no_memory(err);
    node->written = ok;
    oci_spool_close(t, &s);
    free(text);
    return ok;
}

/*
 * Write what has changed. The edge to a document follows all edges from it, because it is added when everything below
 * has been read. So in this order every document is final when it is written.
 */
static bool write_nodes(struct oci_target *t, struct oci_image *image, json_t *renamed, struct blobseal_error *err)
{
    for (size_t i = 0; i < image->num_edges; i++) {
        const struct oci_edge *e = &image->edges[i];
        struct oci_node *child = &image->nodes[e->child];

        if (!child->changed)
            continue;
        if ((!child->written && !write_node(t, child, renamed, err)) || !set_content(e->descriptor, &child->d, err))
            return false;
        if (e->parent != OCI_ROOT)
            image->nodes[e->parent].changed = true;
    }
    return true;
}

bool oci_rewrite(struct oci_target *t, struct oci_image *image, struct blobseal_error *err)
{
    json_t *renamed = json_object();
    bool ok = renamed != NULL || no_memory(err);

    ok = ok && rewrite_layers(image, err) && write_nodes(t, image, renamed, err) && oci_image_reach_again(image, err);
    json_decref(renamed);
    return ok;
}
