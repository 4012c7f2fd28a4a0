/* SPDX-License-Identifier: Apache-2.0 */
/* Which layers of an image are meant: by their numbers in each manifest, by platform, and not those of a base image. */
#include <stdlib.h>
#include <string.h>

#include "tools/oci/oci.h"

/* ---- Platforms --------------------------------------------------------------------------------------------------- */

/* Compare "os/architecture", with "/variant" if @wanted has one. */
static bool is_platform(const json_t *platform, const char *wanted)
{
    const char *os = oci_string(platform, "os"), *arch = oci_string(platform, "architecture"),
               *variant = oci_string(platform, "variant");
    char text[256];

    if (os == NULL || arch == NULL)
        return false;
    (void)snprintf(text, sizeof text, "%s/%s", os, arch);
    if (strcmp(text, wanted) == 0)
        return true;
    (void)snprintf(text, sizeof text, "%s/%s/%s", os, arch, variant != NULL ? variant : "");
    return strcmp(text, wanted) == 0;
}

/* Set @wanted for each node that a descriptor with the platform names. */
static bool choose_platform(const struct oci_image *image, const char *platform, bool *wanted,
                            struct blobseal_error *err)
{
    bool any = platform == NULL;

    for (size_t i = 0; i < image->num_nodes; i++)
        wanted[i] = platform == NULL;
    for (size_t i = 0; i < image->num_edges && platform != NULL; i++) {
        if (is_platform(json_object_get(image->edges[i].descriptor, "platform"), platform))
            any = wanted[image->edges[i].child] = true;
    }
    return any || fail(err, BLOBSEAL_E_CONFIG, 0, "no manifest of the image is for the platform %.100s", platform);
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

/* Read the next number of a list, and advance *@text past it and the comma. */
static bool next_number(const char **text, long *number, struct blobseal_error *err)
{
    const char *p = *text;
    char *end;

    *number = strtol(p, &end, 10);
    if (strspn(p, "-0123456789") != (size_t)(end - p) || end == p || (*end != '\0' && *end != ',') || end - p > 8 ||
        (*end == ',' && end[1] == '\0'))
        return fail(err, BLOBSEAL_E_CONFIG, 0, "%.100s is not a list of numbers of layers, such as 0,-1", *text);
    *text = *end == ',' ? end + 1 : end;
    return true;
}

/* Check a number against a manifest. An attestation has fewer layers than the image that it is about. */
static bool check_range(const struct oci_node *node, long number, struct blobseal_error *err)
{
    long num = (long)node->num_layers;

    if (number >= -num && number < num)
        return true;
    if (node->attestation)
        return true;
    (void)fail(err, BLOBSEAL_E_CONFIG, 0, "select layers: there is no layer %ld, because %s has %ld", number,
               node->d.digest, num);
    blobseal_hint(err, "layers count from 0, or from the end as -1: blobseal oci inspect shows them");
    return false;
}

/* Return true if the list @layers, which is valid, has the layer @position of @num. */
static bool has_number(const char *layers, size_t position, size_t num)
{
    struct blobseal_error ignored;
    long number;

    while (*layers != '\0' && next_number(&layers, &number, &ignored))
        if ((number < 0 ? number + (long)num : number) == (long)position)
            return true;
    return false;
}

static bool check_numbers(const struct oci_image *image, const char *layers, const bool *wanted,
                          struct blobseal_error *err)
{
    const char *text = layers;
    long number;

    if (layers[0] == '\0')
        return fail(err, BLOBSEAL_E_CONFIG, 0, "select layers: the list of their numbers is empty");
    while (*text != '\0') {
        if (!next_number(&text, &number, err))
            return false;
        for (size_t i = 0; i < image->num_nodes; i++)
            if (wanted[i] && !image->nodes[i].is_index && !check_range(&image->nodes[i], number, err))
                return false;
    }
    return true;
}

/* ---- The base image ---------------------------------------------------------------------------------------------- */

static const char *digest_at(const json_t *layers, size_t i)
{
    const char *digest = oci_string(json_array_get(layers, i), "digest");

    return digest != NULL ? digest : "";
}

/* Return the number of layers that @layers starts with and that are all layers of a manifest of @base. */
static size_t count_base(const json_t *layers, const struct oci_image *base)
{
    for (size_t n = 0; n < base->num_nodes; n++) {
        const json_t *theirs = json_object_get(base->nodes[n].document, "layers");
        size_t num = json_array_size(theirs), i = 0;

        if (base->nodes[n].is_index || base->nodes[n].attestation || num == 0 || num > json_array_size(layers))
            continue;
        while (i < num && strcmp(digest_at(layers, i), digest_at(theirs, i)) == 0)
            i++;
        if (i == num)
            return num;
    }
    return 0;
}

/* Set for each node how many layers belong to the base. */
static bool find_base(const struct oci_image *image, const struct oci_image *base, const bool *wanted, size_t *skip,
                      struct blobseal_error *err)
{
    for (size_t i = 0; i < image->num_nodes; i++) {
        const struct oci_node *node = &image->nodes[i];

        if (base == NULL || node->is_index || node->attestation || !wanted[i])
            continue;
        skip[i] = count_base(json_object_get(node->document, "layers"), base);
        if (skip[i] == 0)
            return fail(err, BLOBSEAL_E_CONFIG, 0, "%s does not start with the layers of the base image",
                        node->d.digest);
    }
    return true;
}

/* ---- Selecting --------------------------------------------------------------------------------------------------- */

bool oci_select(struct oci_image *image, const struct oci_selection *selection, struct blobseal_error *err)
{
    bool *wanted = calloc(image->num_nodes, sizeof *wanted);
    size_t *skip = calloc(image->num_nodes, sizeof *skip);
    bool ok = wanted != NULL && skip != NULL;

    if (!ok)
        (void)fail(err, BLOBSEAL_E_NOMEM, 0, "select layers: no memory");
    ok = ok && choose_platform(image, selection->platform, wanted, err) &&
         (selection->layers == NULL || check_numbers(image, selection->layers, wanted, err)) &&
         find_base(image, selection->base, wanted, skip, err);
    for (size_t i = 0; ok && i < image->num_places; i++) {
        const struct oci_place *p = &image->places[i];
        size_t num = image->nodes[p->node].num_layers;

        if (wanted[p->node] && p->position >= skip[p->node] &&
            (selection->layers == NULL || has_number(selection->layers, p->position, num)))
            image->layers[p->layer].selected = true;
    }
    free(wanted);
    free(skip);
    return ok;
}
