/* SPDX-License-Identifier: Apache-2.0 */
/* Annotations of a layer: as JSON in a manifest, and as lists for the library. */
#include <stdlib.h>
#include <string.h>

#include "tools/oci/oci.h"

bool oci_annotations_get(struct oci_annotations *a, const json_t *descriptor, struct blobseal_error *err)
{
    json_t *object = json_object_get(descriptor, "annotations"), *value;
    size_t num = json_object_size(object);
    const char *name;

    *a = (struct oci_annotations){.list = calloc(num + 1, sizeof *a->list)};
    if (a->list == NULL)
        return fail(err, BLOBSEAL_E_NOMEM, 0, "read annotations: no memory");
    json_object_foreach(object, name, value)
    {
        if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value))
            a->list[a->num++] = (struct blobseal_oci_annotation){.key = name, .value = json_string_value(value)};
    }
    return true;
}

json_t *oci_annotations_take(struct blobseal_oci_annotations *list, struct blobseal_error *err)
{
    json_t *object = json_object();
    bool ok = object != NULL && list != NULL;

    for (size_t i = 0; ok && i < list->num; i++)
        ok = json_object_set_new(object, list->list[i].key, json_string(list->list[i].value)) == 0;
    blobseal_oci_annotations_free(list);
    if (ok)
        return object;
    json_decref(object);
    (void)fail(err, BLOBSEAL_E_NOMEM, 0, "write annotations: no memory");
    return NULL;
}
