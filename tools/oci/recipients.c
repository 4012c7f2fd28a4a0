/* SPDX-License-Identifier: Apache-2.0 */
/* The recipients of an image: listed, added, removed, or all replaced. Only manifests are written. */
#include <stdlib.h>
#include <string.h>

#include "tools/oci/oci.h"

/* ---- Listing ----------------------------------------------------------------------------------------------------- */

int oci_recipients_list(struct oci_request *r)
{
    struct oci_session s;
    struct blobseal_error err = {0};
    json_t *layers = NULL;
    size_t doubts;
    bool ok = oci_session_open(&s, r, OCI_READ_DOCUMENTS, &err);
    int code = EXIT_OK;

    if (ok)
        layers = oci_list_layers(&s.in, false, &doubts, &err);
    ok = layers != NULL;
    if (ok && r->ui->json) {
        ok = oci_print_report(json_pack("{s:s, s:s, s:s, s:s, s:O}", "schema", "blobseal.oci/1", "operation",
                                        "recipients", "in", r->in, "manifest", oci_string(s.in.image.root, "digest"),
                                        "layers", layers),
                              &err);
    } else if (ok) {
        oci_print_layers(layers);
        ok = stdout_flush(&err);
    }
    if (!ok)
        code = oci_fail(r, &err, false);
    json_decref(layers);
    oci_session_close(&s);
    return code;
}

/* ---- One layer --------------------------------------------------------------------------------------------------- */

/* What was done to all layers. */
struct totals {
    size_t layers, changed, added, removed, kept;
    json_t *steps;         /* see oci_steps_add()               */
    char label[OCI_LABEL]; /* of the layer that is changed, for messages */
};

/* Collect the key ids of those recipients of a layer that the request names, in full or in the short form. */
static size_t find_kids(const struct oci_request *r, const struct blobseal_oci_recipients *recipients,
                        const char *kids[BLOBSEAL_MAX_RECIPIENTS])
{
    size_t num = 0;

    for (size_t i = 0; i < recipients->num; i++)
        for (size_t k = 0; k < r->num_kids; k++)
            if (recipients->list[i].kid != NULL && kid_matches(recipients->list[i].kid, r->kids[k]) &&
                num < BLOBSEAL_MAX_RECIPIENTS) {
                kids[num++] = recipients->list[i].kid;
                break;
            }
    return num;
}

/* Change the annotations of a layer that stock tools can open. */
/* NOLINTNEXTLINE(readability-function-size): no two of the seven belong together */
static bool change_stock(const struct oci_request *r, const struct oci_annotations *a, const char *const *kids,
                         size_t num_kids, struct blobseal_oci_annotations **list, struct totals *t,
                         struct blobseal_error *err)
{
    const struct blobseal_oci_change change = {.size = sizeof change,
                                               .to = r->to.keks,
                                               .num_to = r->to.num_keks,
                                               .remove = kids,
                                               .num_remove = num_kids,
                                               .replace = r->replace,
                                               .provider = r->provider,
                                               .pkcs11 = r->pkcs11};
    struct blobseal_oci_change_result result = {.size = sizeof result};

    if (blobseal_oci_change(a->list, a->num, r->keys.keks, r->keys.num_keks, &change, list, &result, err) !=
        BLOBSEAL_OK)
        return false;
    t->changed += result.changed ? 1 : 0;
    t->added += result.added;
    t->removed += result.removed;
    t->kept += result.kept;
    return true;
}

static void count_steps(const struct blobseal_change_result *result, struct totals *t)
{
    t->changed += result->changed ? 1 : 0;
    for (size_t i = 0; i < result->num_steps; i++) {
        t->added += result->steps[i].action == BLOBSEAL_ACTION_ADD ? 1 : 0;
        t->removed += result->steps[i].action == BLOBSEAL_ACTION_REMOVE ? 1 : 0;
        t->kept += result->steps[i].action == BLOBSEAL_ACTION_KEEP ? 1 : 0;
    }
}

/* Change the envelope of a layer that is a blob. */
/* NOLINTNEXTLINE(readability-function-size): as for change_stock() */
static bool change_chunked(const struct oci_request *r, const struct oci_annotations *a, const char *const *kids,
                           size_t num_kids, struct blobseal_oci_annotations **list, struct totals *t,
                           struct blobseal_error *err)
{
    struct blobseal_change change = {.size = sizeof change,
                                     .add = r->to.keks,
                                     .num_add = r->to.num_keks,
                                     .remove = kids,
                                     .num_remove = num_kids,
                                     .only = r->replace};
    struct blobseal_change_result *result = NULL;
    char *envelope = NULL;
    bool ok = blobseal_oci_envelope(a->list, a->num, &envelope, &change.envelope_len, err) == BLOBSEAL_OK;

    change.envelope = envelope;
    ok = ok && blobseal_change_envelope(&result, NULL, r->keys.keks, r->keys.num_keks, &change, err) == BLOBSEAL_OK &&
         blobseal_oci_chunked_annotations(result->envelope, result->envelope_len, list, err) == BLOBSEAL_OK;
    if (ok)
        count_steps(result, t);
    blobseal_change_result_free(result);
    free(envelope);
    return ok;
}

static bool change_layer(const struct oci_request *r, struct oci_layer *layer, struct totals *t,
                         struct blobseal_error *err)
{
    const char *kids[BLOBSEAL_MAX_RECIPIENTS];
    struct blobseal_oci_recipients *recipients = NULL;
    struct blobseal_oci_annotations *list = NULL;
    struct oci_annotations a;
    size_t num, before = t->changed;
    bool ok = oci_annotations_get(&a, layer->descriptor, err) &&
              blobseal_oci_recipients(a.list, a.num, &recipients, err) == BLOBSEAL_OK;

    if (ok) {
        num = find_kids(r, recipients, kids);
        if (num == 0 && r->num_kids > 0 && !recipients->chunked) /* for the library to judge */
            for (; num < r->num_kids; num++)
                kids[num] = r->kids[num];
        ok = (recipients->chunked ? change_chunked : change_stock)(r, &a, kids, num, &list, t, err);
    }
    ok = ok && oci_steps_add(t->steps, recipients, list, err);
    blobseal_oci_recipients_free(recipients);
    free(a.list);
    if (!ok) {
        blobseal_oci_annotations_free(list);
        return false;
    }
    layer->annotations = oci_annotations_take(list, err);
    layer->now = layer->d;
    layer->done = t->changed > before;
    return layer->annotations != NULL;
}

/* ---- The image --------------------------------------------------------------------------------------------------- */

static bool change_layers(struct oci_session *s, struct totals *t, struct blobseal_error *err)
{
    struct oci_image *image = &s->in.image;

    for (size_t i = 0; i < image->num_layers; i++) {
        if (!image->layers[i].encrypted)
            continue;
        t->layers++;
        if (!oci_go_on(err))
            return false;
        if (image->num_layers > 1)
            s->r->ui->file = t->label;
        oci_layer_label(t->label, image, &image->layers[i]);
        if (!change_layer(s->r, &image->layers[i], t, err)) {
            if (err->status == BLOBSEAL_E_POLICY && err->hint[0] == '\0')
                blobseal_hint(err, "see who can open it: blobseal oci recipients list %.100s", s->r->in);
            return false;
        }
    }
    s->r->ui->file = NULL;
    if (t->layers > 0)
        return true;
    (void)fail(err, BLOBSEAL_E_CONFIG, 0, "no layer of %.200s is encrypted", s->r->in);
    blobseal_hint(err, "encrypt them first: blobseal oci encrypt -k KEY %.100s", s->r->in);
    return false;
}

static bool print_json(const struct oci_session *s, const struct totals *t, const char *out, struct blobseal_error *err)
{
    const struct oci_request *r = s->r;
    json_t *report =
        json_pack("{s:s, s:s, s:s, s:s, s:s?, s:b, s:b, s:I, s:I, s:I, s:I, s:o}", "schema", "blobseal.oci/1",
                  "operation", r->replace ? "rewrap" : "recipients", "in", r->in, "out", out, "manifest",
                  r->dry_run ? NULL : oci_string(s->in.image.root, "digest"), "changed", t->changed > 0, "dry_run",
                  r->dry_run, "encrypted_layers", (json_int_t)t->layers, "added", (json_int_t)t->added, "removed",
                  (json_int_t)t->removed, "kept", (json_int_t)t->kept, "recipients", oci_steps_list(t->steps));

    return oci_print_report(report, err);
}

static bool report(const struct oci_session *s, const struct totals *t, struct blobseal_error *err)
{
    const struct oci_request *r = s->r;
    const char *out = r->out != NULL ? r->out : r->in;
    char name[320];

    for (size_t k = 0; k < r->num_kids && !r->ui->quiet; k++)
        if (!oci_steps_include(t->steps, r->kids[k]))
            warn(r->ui, "%s: no recipient has the key id %s", out, r->kids[k]);
    if (r->ui->json)
        return print_json(s, t, out, err);
    if (r->ui->quiet && !r->dry_run)
        return true;
    (void)printable(name, sizeof name, out);
    if (t->changed == 0)
        printf("%s: nothing to change\n", name);
    else
        printf("%s: %schanged, %zu layer%s, recipients: %zu added, %zu removed, %zu kept\n", name,
               r->dry_run ? "would be " : "", t->changed, t->changed == 1 ? "" : "s", t->added, t->removed, t->kept);
    if (r->dry_run)
        oci_steps_print(t->steps, t->layers);
    else if (t->removed > 0)
        warn(r->ui, "whoever was a recipient, or has an old copy of the manifest, still has access to these layers: "
                    "to end that, decrypt the image and encrypt it again");
    return stdout_flush(err);
}

int oci_recipients_change(struct oci_request *r)
{
    struct oci_session s;
    struct totals t = {.steps = json_object()};
    struct blobseal_error err = {0};
    bool ok = oci_session_open(&s, r, r->dry_run ? OCI_READ_DOCUMENTS : OCI_CHANGE, &err) &&
              oci_session_target(&s, &err) && change_layers(&s, &t, &err);
    int code = EXIT_OK;

    if (ok && !r->dry_run && (t.changed > 0 || !s.in_place))
        ok = oci_session_commit(&s, &err);
    ok = ok && report(&s, &t, &err);
    if (!ok && !oci_stopped())
        code = oci_fail(r, &err, false);
    r->ui->file = NULL; /* it may be t.label */
    oci_session_close(&s);
    json_decref(t.steps);
    return ok || code != EXIT_OK ? code : EXIT_INTERNAL;
}
