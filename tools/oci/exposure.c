/* SPDX-License-Identifier: Apache-2.0 */
/* What stays visible of an image whose layers are encrypted: its configuration, history and digests of plaintext. */
#include <stdlib.h>
#include <string.h>

#include "tools/oci/oci.h"

/* Copy the member @from of @source, if it says anything, as the member @to of @report. */
static bool copy_member(json_t *report, const char *to, const json_t *source, const char *from)
{
    json_t *value = json_object_get(source, from);

    if (value == NULL || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0) ||
        (json_is_object(value) && json_object_size(value) == 0) ||
        (json_is_string(value) && json_string_length(value) == 0))
        return true;
    return json_object_set(report, to, value) == 0;
}

/* Collect the lines of the history. */
static bool copy_history(json_t *report, const json_t *history)
{
    json_t *lines = json_array(), *entry;
    bool ok = lines != NULL;
    size_t i;

    json_array_foreach(history, i, entry)
    {
        static const char *const names[] = {"created_by", "author", "comment"};

        for (size_t k = 0; ok && k < COUNT(names); k++) {
            const char *text = oci_string(entry, names[k]);

            if (text != NULL && text[0] != '\0')
                ok = json_array_append_new(lines, json_string(text)) == 0;
        }
    }
    if (ok && json_array_size(lines) > 0)
        ok = json_object_set(report, "history", lines) == 0;
    json_decref(lines);
    return ok;
}

/* Collect the annotations of layers that stay, such as names of files. */
static bool copy_annotations(json_t *report, const json_t *layers)
{
    json_t *lines = json_array(), *layer, *value;
    bool ok = lines != NULL;
    const char *name;
    size_t i;

    json_array_foreach(layers, i, layer)
    {
        json_object_foreach(json_object_get(layer, "annotations"), name, value)
        {
            if (ok && strncmp(name, OCI_ENC_PREFIX, strlen(OCI_ENC_PREFIX)) != 0)
                ok = json_array_append_new(
                         lines, json_sprintf("%lu: %s=%s", (unsigned long)i, name, json_string_value(value))) == 0;
        }
    }
    if (ok && json_array_size(lines) > 0)
        ok = json_object_set(report, "layers", lines) == 0;
    json_decref(lines);
    return ok;
}

/* Report a configuration of another kind than that of images: it may be a document of its own. */
static bool report_other(json_t *report, const struct oci_descriptor *d, struct blobseal_error *err)
{
    if (d->size <= strlen("{}"))
        return true;
    return json_object_set_new(report, "config",
                               json_sprintf("%s, %llu bytes", d->media_type, (unsigned long long)d->size)) == 0 ||
           fail(err, BLOBSEAL_E_NOMEM, 0, "read a configuration: no memory");
}

/* Report what the configuration of an image says. */
static bool read_config(const struct oci_image *image, const json_t *descriptor, json_t *report,
                        struct blobseal_error *err)
{
    struct oci_descriptor d;
    json_t *config;
    const json_t *inner;
    char *text;
    bool ok;

    if (!oci_descriptor_read(descriptor, &d, "a manifest", err))
        return false;
    if (strcmp(d.media_type, OCI_TYPE_CONFIG) != 0)
        return report_other(report, &d, err);
    if (!oci_blob_load(image->layout, &d, &text, err))
        return false;
    config = oci_parse(text, (size_t)d.size, d.digest, err);
    free(text);
    if (config == NULL)
        return false;
    inner = json_object_get(config, "config");
    ok = copy_member(report, "env", inner, "Env") && copy_member(report, "labels", inner, "Labels") &&
         copy_member(report, "entrypoint", inner, "Entrypoint") && copy_member(report, "cmd", inner, "Cmd") &&
         copy_member(report, "author", config, "author") &&
         copy_member(report, "diff_ids", json_object_get(config, "rootfs"), "diff_ids") &&
         copy_history(report, json_object_get(config, "history"));
    json_decref(config);
    return ok || fail(err, BLOBSEAL_E_NOMEM, 0, "read a configuration: no memory");
}

static json_t *report_node(const struct oci_image *image, const struct oci_node *node, struct blobseal_error *err)
{
    json_t *report = json_pack("{s:s}", "manifest", node->d.digest);
    bool ok = report != NULL && copy_member(report, "annotations", node->document, "annotations") &&
              copy_annotations(report, json_object_get(node->document, "layers"));

    if (!ok)
        (void)fail(err, BLOBSEAL_E_NOMEM, 0, "read a configuration: no memory");
    if (ok && read_config(image, json_object_get(node->document, "config"), report, err))
        return report;
    json_decref(report);
    return NULL;
}

json_t *oci_exposure(const struct oci_image *image, struct blobseal_error *err)
{
    json_t *list = json_array();
    bool ok = list != NULL || fail(err, BLOBSEAL_E_NOMEM, 0, "read a configuration: no memory");

    for (size_t i = 0; ok && i < image->num_nodes; i++) {
        json_t *report = NULL;

        if (image->nodes[i].is_index)
            continue;
        report = report_node(image, &image->nodes[i], err);
        ok = report != NULL && (json_object_size(report) == 1 || json_array_append(list, report) == 0 ||
                                fail(err, BLOBSEAL_E_NOMEM, 0, "read a configuration: no memory"));
        json_decref(report);
    }
    if (ok)
        return list;
    json_decref(list);
    return NULL;
}
