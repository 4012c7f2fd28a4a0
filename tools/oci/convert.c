/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypting and decrypting an image: several layers at once, then the manifests, then the report. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/oci/oci.h"

#define MAX_AT_ONCE 6 /* layers: each takes less than 8 MiB of memory, and all together less than 64 MiB */

struct conversion {
    struct oci_session s;
    bool (*one)(const struct oci_work *w, struct blobseal_error *err);
    size_t num; /* layers to process */
    struct oci_layer **layers;
    char (*labels)[OCI_LABEL]; /* the names of the layers in messages; jobs_run() takes them for names of files */
    char **paths;
    pthread_mutex_t lock; /* of the following */
    bool failed;
    struct blobseal_error err; /* the first one    */
    const char *which;         /* its layer        */
    atomic_bool stop;
    double seconds;
    uint64_t bytes;
};

/* ---- Layers ------------------------------------------------------------------------------------------------------ */

static int larger_first(const void *a, const void *b)
{
    const struct oci_layer *const *x = a, *const *y = b;

    return (*x)->d.size < (*y)->d.size ? 1 : (*x)->d.size > (*y)->d.size ? -1 : 0;
}

/* List the layers to process, those that take longest first. */
static bool list_layers(struct conversion *c, struct blobseal_error *err)
{
    const struct oci_image *image = &c->s.in.image;

    c->layers = calloc(image->num_layers + 1, sizeof(struct oci_layer *));
    c->labels = calloc(image->num_layers + 1, sizeof *c->labels);
    c->paths = calloc(image->num_layers + 1, sizeof *c->paths);
    if (c->layers == NULL || c->labels == NULL || c->paths == NULL)
        return fail(err, BLOBSEAL_E_NOMEM, 0, "list the layers: no memory");
    for (size_t i = 0; i < image->num_layers; i++)
        if (image->layers[i].selected)
            c->layers[c->num++] = &image->layers[i];
    qsort(c->layers, c->num, sizeof(struct oci_layer *), larger_first);
    for (size_t i = 0; i < c->num; i++) {
        c->bytes += c->layers[i]->d.size;
        c->paths[i] = c->labels[i];
        oci_layer_label(c->labels[i], image, c->layers[i]);
    }
    return true;
}

static bool step(void *ctx, uint64_t bytes)
{
    struct conversion *c = ctx;

    if (c->stop || oci_stopped())
        return false;
    return c->num > 1 || progress_step(&c->s.r->progress, bytes);
}

static int process(void *ctx, struct ui *ui, unsigned thread, const char *path)
{
    struct conversion *c = ctx;
    size_t i = (size_t)(path - c->labels[0]) / sizeof c->labels[0];
    struct blobseal_error err = {0};
    const struct oci_work w = {.s = &c->s,
                               .layer = c->layers[i],
                               .threads = jobs_threads(c->s.r->threads, c->num, c->layers[i]->d.size),
                               .progress = step,
                               .progress_ctx = c};

    (void)ui;
    (void)thread;
    if (c->stop || oci_stopped())
        return EXIT_INTERNAL;
    if (c->one(&w, &err))
        return EXIT_OK;
    (void)pthread_mutex_lock(&c->lock);
    if (!c->failed) {
        c->failed = true;
        c->err = err;
        c->which = path;
    }
    c->stop = true;
    (void)pthread_mutex_unlock(&c->lock);
    return EXIT_INTERNAL;
}

/* Return how many layers are processed at the same time. */
static unsigned at_once(const struct oci_request *r)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned wanted = r->threads != 0 ? r->threads : cpus < 1 ? 1 : cpus > MAX_AT_ONCE ? MAX_AT_ONCE : (unsigned)cpus;

    return wanted > MAX_AT_ONCE ? MAX_AT_ONCE : wanted;
}

/* Process all selected layers. */
static bool process_all(struct conversion *c, struct blobseal_error *err)
{
    struct oci_request *r = c->s.r;
    const struct jobs jobs = {.ui = r->ui, .threads = at_once(r), .progress = &r->progress, .one = process, .ctx = c};
    double begin = seconds_now();
    struct jobs_result result;

    if (c->num == 0)
        return true;
    if (c->num == 1)
        progress_start(&r->progress, r->ui, c->labels[0], c->bytes);
    result = jobs_run(&jobs, c->paths, c->num);
    if (c->num == 1)
        (void)progress_end(&r->progress);
    c->seconds = seconds_now() - begin;
    if (result.failed == 0)
        return true;
    if (!c->failed)
        return fail(err, BLOBSEAL_E_CANCELED, 0, "stopped by a signal");
    *err = c->err;
    if (c->num > 1)
        r->ui->file = c->which;
    return false;
}

/* ---- Which layers ------------------------------------------------------------------------------------------------ */

static bool select_layers(struct conversion *c, struct blobseal_error *err)
{
    const struct oci_request *r = c->s.r;
    struct oci_input base = OCI_INPUT_NONE;
    struct oci_selection selection = {.layers = r->layers, .platform = r->platform};
    bool ok = r->base == NULL || oci_input_open(&base, r->base, NULL, true, err);

    if (r->base != NULL)
        selection.base = &base.image;
    ok = ok && oci_select(&c->s.in.image, &selection, err);
    oci_input_close(&base);
    return ok;
}

/* Refuse layers that are encrypted already: new recipients would not be added to them. */
static bool check_plain(const struct conversion *c, struct blobseal_error *err)
{
    const struct oci_image *image = &c->s.in.image;
    char label[OCI_LABEL];
    bool any = false;

    for (size_t i = 0; i < image->num_layers; i++) {
        const struct oci_layer *layer = &image->layers[i];

        any = any || layer->selected;
        if (!layer->selected || !layer->encrypted)
            continue;
        oci_layer_label(label, image, layer);
        (void)fail(err, BLOBSEAL_E_POLICY, 0, "%s is already encrypted", label);
        blobseal_hint(err, "to add recipients: blobseal oci recipients add -k KEY --to NEW %.100s", c->s.r->in);
        return false;
    }
    if (any)
        return true;
    (void)fail(err, BLOBSEAL_E_CONFIG, 0, "no layer of %.200s is selected", c->s.r->in);
    blobseal_hint(err, "see its layers: blobseal oci inspect %.100s", c->s.r->in);
    return false;
}

/* Deselect layers that are not encrypted. */
static void keep_encrypted(struct conversion *c)
{
    for (size_t i = 0; i < c->s.in.image.num_layers; i++)
        c->s.in.image.layers[i].selected = c->s.in.image.layers[i].selected && c->s.in.image.layers[i].encrypted;
}

/* ---- The report -------------------------------------------------------------------------------------------------- */

static const char *action_of(const struct oci_layer *layer)
{
    if (!layer->done)
        return "kept";
    return layer->reused ? "reused" : layer->encrypted ? "decrypted" : "encrypted";
}

static json_t *json_of_layer(const struct conversion *c, const struct oci_layer *layer)
{
    const struct oci_descriptor *now = layer->done ? &layer->now : &layer->d;
    json_t *item =
        json_pack("{s:I, s:s, s:s, s:s, s:I, s:s?}", "layer", (json_int_t)oci_layer_position(&c->s.in.image, layer),
                  "action", action_of(layer), "from", layer->d.digest, "to", now->digest, "size", (json_int_t)now->size,
                  "mediaType", oci_string(layer->descriptor, "mediaType"));

    if (item != NULL && layer->claimed != OCI_DIGEST_NONE)
        (void)json_object_set_new(item, "plain_digest",
                                  json_string(layer->claimed == OCI_DIGEST_MATCHES ? "matches" : "differs"));
    return item;
}

/* Count the layers whose plaintext stays in the layout after a change in place, for example because other images need
 * it. */
static size_t count_plain(const struct conversion *c)
{
    const struct oci_image *image = &c->s.in.image;
    struct stat st;
    size_t num = 0;

    for (size_t i = 0; c->s.in_place && i < image->num_layers; i++) {
        const struct oci_layer *layer = &image->layers[i];

        if (layer->done && strcmp(layer->d.digest, layer->now.digest) != 0 &&
            fstatat(c->s.target.layout.blobs, layer->d.digest + strlen("sha256:"), &st, AT_SYMLINK_NOFOLLOW) == 0)
            num++;
    }
    return num;
}

static bool print_json(const struct conversion *c, json_t *exposed, struct blobseal_error *err)
{
    const struct oci_image *image = &c->s.in.image;
    json_t *layers = json_array(), *report;
    json_int_t reused = 0;

    for (size_t i = 0; layers != NULL && i < image->num_layers; i++) {
        (void)json_array_append_new(layers, json_of_layer(c, &image->layers[i]));
        reused += image->layers[i].reused ? 1 : 0;
    }
    report = json_pack("{s:s, s:s, s:s, s:s, s:s?, s:o, s:I, s:I, s:I, s:O, s:O?, s:f}", "schema", "blobseal.oci/1",
                       "operation", c->s.r->ui->verb, "in", c->s.r->in, "out",
                       c->s.r->out != NULL ? c->s.r->out : c->s.r->in, "manifest", oci_string(image->root, "digest"),
                       "layers", layers, "reused", reused, "plaintext_left", (json_int_t)count_plain(c),
                       "unknown_entries", (json_int_t)image->num_opaque, "exposed", exposed, "removed",
                       c->s.unreached.digests, "seconds", c->seconds);
    return oci_print_report(report, err);
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

/* Count the layers that were processed, and those that stay in clear. */
static void count(const struct oci_image *image, size_t *done, size_t *clear, size_t *reused)
{
    *done = *clear = *reused = 0;
    for (size_t i = 0; i < image->num_layers; i++) {
        *done += image->layers[i].done ? 1 : 0;
        *reused += image->layers[i].reused ? 1 : 0;
        *clear += !image->layers[i].done && !image->layers[i].encrypted ? 1 : 0;
    }
}

static void print_text(const struct conversion *c, const json_t *exposed)
{
    bool encrypts = c->one == oci_encrypt_layer;
    size_t done, clear, reused;
    char size[32], rate[32], name[320];

    count(&c->s.in.image, &done, &clear, &reused);
    (void)printable(name, sizeof name, c->s.r->out != NULL ? c->s.r->out : c->s.r->in);
    printf("%s: %s %zu layer%s  %s  %.2f s  %s\n", name, encrypts ? "encrypted" : "decrypted", done, plural(done),
           human_bytes(size, c->bytes), c->seconds, human_rate(rate, c->bytes, c->seconds));
    if (clear > 0 && encrypts)
        printf("  %zu layer%s in clear\n", clear, clear == 1 ? " stays" : "s stay");
    else if (clear > 0)
        printf("  %zu layer%s not encrypted\n", clear, clear == 1 ? " was" : "s were");
    if (!encrypts && c->s.in.image.num_layers > done + clear)
        printf("  %zu layer%s encrypted\n", c->s.in.image.num_layers - done - clear,
               c->s.in.image.num_layers - done - clear == 1 ? " stays" : "s stay");
    if (encrypts && c->s.in.image.num_opaque > 0)
        printf("  %zu entries of the index are neither manifests nor indexes, and stay in clear\n",
               c->s.in.image.num_opaque);
    if (c->s.unreached.num > 0)
        printf("  removed %zu blob%s that no manifest reaches: %s\n", c->s.unreached.num, plural(c->s.unreached.num),
               human_bytes(size, c->s.unreached.bytes));
    if (encrypts && count_plain(c) > 0)
        printf("  the plaintext of %zu layer%s is still in the layout, as blobs from before\n", count_plain(c),
               plural(count_plain(c)));
    if (encrypts && json_array_size(exposed) > 0)
        printf("  configuration, history and digests of the plaintext stay visible: see blobseal oci inspect\n");
    if (reused > 0)
        printf(
            "  %zu layer%s kept the ciphertext of the earlier image: its recipients know the keys, and observers see "
            "what is unchanged\n",
            reused, plural(reused));
    else if (c->s.r->reuse != NULL)
        printf("  no ciphertext of the earlier image was used again: that needs unchanged layers, and a private key or "
               "receipts\n");
}

static bool report(const struct conversion *c, struct blobseal_error *err)
{
    json_t *exposed = oci_exposure(&c->s.in.image, err);
    bool ok = exposed != NULL;

    if (ok && c->s.r->ui->json)
        ok = print_json(c, exposed, err);
    else if (ok && !c->s.r->ui->quiet)
        print_text(c, exposed);
    json_decref(exposed);
    return ok && stdout_flush(err);
}

/* Check that there will be a report, which needs the configurations, before anything is written. */
static bool check_report(const struct conversion *c, struct blobseal_error *err)
{
    json_t *exposed = oci_exposure(&c->s.in.image, err);

    json_decref(exposed);
    return exposed != NULL;
}

/* ---- The verbs --------------------------------------------------------------------------------------------------- */

/* Process what is selected, write the image, and report. */
static bool convert(struct conversion *c, struct blobseal_error *err)
{
    return list_layers(c, err) && check_report(c, err) && oci_session_target(&c->s, err) && process_all(c, err) &&
           oci_session_commit(&c->s, err) && report(c, err);
}

static int finish(struct conversion *c, bool ok, struct blobseal_error *err)
{
    int code = EXIT_OK;

    free(c->layers);
    free(c->paths);
    if (!ok && !oci_stopped())
        code = oci_fail(c->s.r, err, false);
    oci_session_close(&c->s); /* a signal that has come ends the process here */
    c->s.r->ui->file = NULL;
    free(c->labels);
    return ok ? EXIT_OK : code != EXIT_OK ? code : EXIT_INTERNAL;
}

int oci_encrypt(struct oci_request *r)
{
    struct conversion c = {.one = oci_encrypt_layer, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct blobseal_error err = {0};
    bool ok = oci_session_open(&c.s, r, OCI_CHANGE, &err) && select_layers(&c, &err) && check_plain(&c, &err) &&
              convert(&c, &err);

    return finish(&c, ok, &err);
}

int oci_decrypt(struct oci_request *r)
{
    struct conversion c = {.one = oci_decrypt_layer, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct blobseal_error err = {0};
    bool ok = oci_session_open(&c.s, r, OCI_CHANGE, &err) && select_layers(&c, &err);

    if (ok)
        keep_encrypted(&c);
    ok = ok && convert(&c, &err);
    return finish(&c, ok, &err);
}
