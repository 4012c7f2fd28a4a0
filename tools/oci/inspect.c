/* SPDX-License-Identifier: Apache-2.0 */
/* What an image consists of, who can open its layers, what stays visible, and whether every layer is ciphertext. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/oci/oci.h"

bool oci_print_report(json_t *report, struct blobseal_error *err)
{
    char *text = report != NULL ? json_dumps(report, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

    json_decref(report);
    if (text == NULL)
        return fail(err, BLOBSEAL_E_NOMEM, 0, "write a report: no memory");
    puts(text);
    free(text);
    return stdout_flush(err);
}

/* ---- Layers ------------------------------------------------------------------------------------------------------ */

static json_t *json_of_recipients(const json_t *descriptor, struct blobseal_error *err)
{
    struct blobseal_oci_recipients *recipients = NULL;
    struct oci_annotations a;
    json_t *list = json_array();
    bool ok = oci_annotations_get(&a, descriptor, err);

    if (ok && blobseal_oci_recipients(a.list, a.num, &recipients, err) == BLOBSEAL_OK)
        for (size_t i = 0; i < recipients->num; i++) {
            const struct blobseal_oci_recipient *r = &recipients->list[i];

            (void)json_array_append_new(list,
                                        json_pack("{s:s, s:s?, s:s?, s:b, s:b}", "scheme", r->scheme, "alg", r->alg,
                                                  "kid", r->kid, "supported", r->supported, "malformed", r->malformed));
        }
    blobseal_oci_recipients_free(recipients);
    free(a.list);
    return list;
}

/* Return why a layer may not be ciphertext, or NULL. */
static const char *judge(const struct oci_input *in, const struct oci_layer *layer, bool thorough)
{
    struct blobseal_error ignored;
    int fd = thorough && layer->encrypted ? oci_blob_open(&in->layout, &layer->d, &ignored) : -1;
    const char *doubt;

    if (thorough && layer->encrypted && fd < 0)
        return "it cannot be read";
    doubt = oci_doubt(layer, fd, &ignored);
    if (fd >= 0)
        (void)close(fd);
    return doubt;
}

static json_t *json_of_layer(const struct oci_input *in, const struct oci_place *p, const char *doubt)
{
    const struct oci_layer *layer = &in->image.layers[p->layer];
    struct blobseal_error ignored;
    json_t *item = json_pack("{s:s, s:I, s:s, s:s, s:I, s:b, s:s?}", "manifest", in->image.nodes[p->node].d.digest,
                             "layer", (json_int_t)p->position, "digest", layer->d.digest, "mediaType",
                             oci_string(p->descriptor, "mediaType"), "size", (json_int_t)layer->d.size, "encrypted",
                             doubt == NULL, "problem", layer->encrypted ? doubt : NULL);

    (void)json_object_set_new(item, "recipients", json_of_recipients(layer->descriptor, &ignored));
    return item;
}

/* ---- Text -------------------------------------------------------------------------------------------------------- */

static void print_recipient(const json_t *r)
{
    const char *kid = oci_string(r, "kid"), *alg = oci_string(r, "alg");
    char shown[SHORT_KID], text[160];

    printf("        %s", printable(text, sizeof text, oci_string(r, "scheme")));
    if (alg != NULL)
        printf("  %s", printable(text, sizeof text, alg));
    if (kid != NULL)
        printf("  %s", short_kid(shown, printable(text, sizeof text, kid)));
    if (!json_boolean_value(json_object_get(r, "supported")))
        printf("  (not supported by this version)");
    if (json_boolean_value(json_object_get(r, "malformed")))
        printf("  (malformed)");
    putchar('\n');
}

void oci_print_layers(const json_t *layers)
{
    const char *manifest = "";
    const json_t *layer, *r;
    size_t i, k;

    json_array_foreach(layers, i, layer)
    {
        const char *problem = oci_string(layer, "problem");
        char size[32];

        if (strcmp(oci_string(layer, "manifest"), manifest) != 0)
            printf("manifest %s\n", oci_string(layer, "manifest"));
        manifest = oci_string(layer, "manifest");
        printf("  %3lld  %-9s  %10s  %s\n", (long long)json_integer_value(json_object_get(layer, "layer")),
               json_boolean_value(json_object_get(layer, "encrypted")) ? "encrypted"
               : problem != NULL                                       ? "DOUBTFUL"
                                                                       : "in clear",
               human_bytes(size, (uint64_t)json_integer_value(json_object_get(layer, "size"))),
               oci_string(layer, "mediaType"));
        if (problem != NULL)
            printf("        %s\n", problem);
        json_array_foreach(json_object_get(layer, "recipients"), k, r)
        {
            print_recipient(r);
        }
    }
}

/* Print one visible thing: a text, a list of texts, or an object. */
static void print_visible(const char *name, const json_t *value)
{
    const char *member;
    char text[240], key[120];
    json_t *item;
    size_t i;

    if (json_is_string(value))
        printf("  %-12s %s\n", name, printable(text, sizeof text, json_string_value(value)));
    json_array_foreach(value, i, item)
    {
        if (json_is_string(item))
            printf("  %-12s %s\n", i == 0 ? name : "", printable(text, sizeof text, json_string_value(item)));
    }
    i = 0;
    json_object_foreach((json_t *)value, member, item)
    {
        if (json_is_string(item))
            printf("  %-12s %s=%s\n", i++ == 0 ? name : "", printable(key, sizeof key, member),
                   printable(text, sizeof text, json_string_value(item)));
    }
}

static void print_exposed(const json_t *exposed)
{
    const json_t *image;
    json_t *value;
    const char *name;
    size_t i;

    json_array_foreach(exposed, i, image)
    {
        printf("visible without a key, of %s\n", oci_string(image, "manifest"));
        json_object_foreach((json_t *)image, name, value)
        {
            if (strcmp(name, "manifest") != 0)
                print_visible(name, value);
        }
    }
}

/* ---- The verb ---------------------------------------------------------------------------------------------------- */

json_t *oci_list_layers(const struct oci_input *in, bool thorough, size_t *doubts, struct blobseal_error *err)
{
    const struct oci_image *image = &in->image;
    const char **found = calloc(image->num_layers + 1, sizeof *found);
    json_t *list = json_array();
    bool ok = list != NULL && found != NULL;

    *doubts = 0;
    for (size_t i = 0; ok && i < image->num_layers; i++)
        found[i] = judge(in, &image->layers[i], thorough);
    for (size_t i = 0; ok && i < image->num_places; i++) {
        const char *doubt = found[image->places[i].layer];

        if (doubt == NULL)
            doubt = oci_doubt_place(image->places[i].descriptor);
        *doubts += doubt != NULL ? 1 : 0;
        ok = json_array_append_new(list, json_of_layer(in, &image->places[i], doubt)) == 0;
    }
    free(found);
    if (ok && oci_go_on(err))
        return list;
    json_decref(list);
    if (!ok)
        (void)fail(err, BLOBSEAL_E_NOMEM, 0, "list the layers: no memory");
    return NULL;
}

struct inspection {
    struct oci_session s;
    json_t *layers, *exposed;
    struct oci_unreached unreached;
    size_t doubts; /* places of layers that may not be ciphertext */
};

static bool print(const struct inspection *n, struct blobseal_error *err)
{
    const struct oci_image *image = &n->s.in.image;

    if (n->s.r->ui->json)
        return oci_print_report(json_pack("{s:s, s:s, s:s, s:s, s:b, s:O, s:O, s:O?}", "schema", "blobseal.oci/1",
                                          "operation", "inspect", "in", n->s.r->in, "manifest",
                                          oci_string(image->root, "digest"), "encrypted",
                                          n->doubts == 0 && image->num_opaque == 0 && image->num_places > 0, "layers",
                                          n->layers, "exposed", n->exposed, "unreached", n->unreached.digests),
                                err);
    if (n->s.r->ui->quiet && n->s.r->expect) /* the exit status says it */
        return true;
    printf("image %s  %zu manifest%s  %zu layer%s\n", oci_string(image->root, "digest"), image->num_nodes,
           image->num_nodes == 1 ? "" : "s", image->num_layers, image->num_layers == 1 ? "" : "s");
    oci_print_layers(n->layers);
    print_exposed(n->exposed);
    if (n->unreached.num > 0)
        printf("the layout has %zu blob%s that no manifest reaches, perhaps with plaintext\n", n->unreached.num,
               n->unreached.num == 1 ? "" : "s");
    return stdout_flush(err);
}

/* Describe the first layer that may not be ciphertext. */
static bool fail_layer(const struct inspection *n, struct blobseal_error *err)
{
    const json_t *layer;
    size_t i;

    json_array_foreach(n->layers, i, layer)
    {
        const char *problem = oci_string(layer, "problem");

        if (json_boolean_value(json_object_get(layer, "encrypted")))
            continue;
        return fail(err, BLOBSEAL_E_POLICY, 0,
                    "%zu of %zu layers are not known to be encrypted, first layer %lld of %.19s: %s", n->doubts,
                    json_array_size(n->layers), (long long)json_integer_value(json_object_get(layer, "layer")),
                    oci_string(layer, "manifest"), problem != NULL ? problem : "it is in clear");
    }
    return true;
}

/* Fail unless everything in the image is encrypted. */
static bool check(const struct inspection *n, struct blobseal_error *err)
{
    const struct oci_image *image = &n->s.in.image;

    if (n->doubts > 0)
        return fail_layer(n, err);
    if (image->num_opaque > 0)
        return fail(err, BLOBSEAL_E_POLICY, 0, "the index has %zu entries that are neither manifests nor indexes",
                    image->num_opaque);
    return image->num_places > 0 || fail(err, BLOBSEAL_E_POLICY, 0, "the image has no layers");
}

int oci_inspect(struct oci_request *r)
{
    struct inspection n = {.layers = NULL};
    struct blobseal_error err = {0}, ignored;
    bool ok = oci_session_open(&n.s, r, r->expect ? OCI_READ_ALL : OCI_READ_DOCUMENTS, &err);
    int code = EXIT_OK;

    if (ok)
        n.layers = oci_list_layers(&n.s.in, r->expect, &n.doubts, &err);
    if (n.layers != NULL)
        n.exposed = oci_exposure(&n.s.in.image, &err);
    ok = n.exposed != NULL;
    if (ok && n.s.in.unpacked == NULL)
        (void)oci_collect(n.s.in.ref.path, NULL, &n.unreached, &ignored);
    ok = ok && print(&n, &err);
    if (!ok)
        code = oci_stopped() ? EXIT_INTERNAL : oci_fail(r, &err, false);
    else if (r->expect && !check(&n, &err))
        code = oci_fail(r, &err, true); /* the report has been printed */
    json_decref(n.layers);
    json_decref(n.exposed);
    oci_unreached_free(&n.unreached);
    oci_session_close(&n.s);
    return code;
}
