/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unchanged layers keep their ciphertext, so that they need not be pushed again. An attacker may have planted the
 * earlier image. Then he knows the keys of its layers; but a layer is used again only if its ciphertext is authentic
 * and decrypts to the very bytes that are encrypted now, which he must have known already. Key annotations are never
 * used again, because they could name other recipients.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/oci/oci.h"

/*
 * Limits for each layer, because the earlier image may list any number of layers that have the same length. Keys may be
 * in a vault, which answers one request at a time.
 */
#define MAX_UNWRAPPED 64
#define MAX_DECRYPTED 4

/* ---- The keys of an earlier layer -------------------------------------------------------------------------------- */

/* Get the keys of a layer with the user's private keys, or with a receipt. */
static bool get_keys(const struct oci_work *w, const struct oci_layer *earlier, struct blobseal_oci_layer **key)
{
    const struct keys *keys = &w->s->r->keys;
    struct blobseal_kek *openers[BLOBSEAL_MAX_RECIPIENTS];
    struct blobseal_error ignored;
    struct oci_annotations a;
    size_t num = 0;
    bool ok;

    for (size_t i = 0; i < keys->num_keks; i++)
        if (blobseal_kek_can_unwrap(keys->keks[i]))
            openers[num++] = keys->keks[i];
    ok = num > 0 && oci_annotations_get(&a, earlier->descriptor, &ignored);
    if (ok) {
        ok = blobseal_oci_unwrap(key, a.list, a.num, openers, num, NULL, &ignored) == BLOBSEAL_OK;
        free(a.list);
    }
    return ok || (w->s->receipts.folder >= 0 && oci_receipt_read(&w->s->receipts, earlier->d.digest, key));
}

/* ---- Comparing --------------------------------------------------------------------------------------------------- */

/* Decrypt an earlier layer in full, and return true if it is authentic and is the layer that is read now. */
static bool is_same(const struct oci_work *w, const struct oci_layer *earlier, struct blobseal_oci_layer *key)
{
    const struct blobseal_oci_run_options o = {
        .size = sizeof o, .threads = w->threads, .progress = w->progress, .progress_ctx = w->progress_ctx};
    struct blobseal_oci_digests digests = {.size = sizeof digests};
    struct blobseal_source source;
    struct blobseal_fd state;
    struct blobseal_error ignored;
    char stored[OCI_DIGEST_LEN], plain[OCI_DIGEST_LEN];
    int fd = oci_blob_open(&w->s->earlier.layout, &earlier->d, &ignored);
    bool ok = fd >= 0 && blobseal_source_fd(&source, &state, fd, earlier->d.digest, &ignored) == BLOBSEAL_OK &&
              blobseal_oci_decrypt(key, &source, NULL, &o, &digests, &ignored) == BLOBSEAL_OK;

    ok = ok && strcmp(oci_digest(stored, digests.stored_sha256), earlier->d.digest) == 0 &&
         strcmp(oci_digest(plain, digests.plain_sha256), w->layer->d.digest) == 0 &&
         blobseal_oci_layer_confirm(key, &digests, &ignored) == BLOBSEAL_OK;
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

/* Verify the layer that is read now: until here its digest was only a claim. */
static bool check_source(const struct oci_work *w, struct blobseal_error *err)
{
    int fd = oci_blob_open(&w->s->in.layout, &w->layer->d, err);
    bool ok = fd >= 0 && oci_copy(fd, -1, &w->layer->d, err);

    if (fd >= 0)
        (void)close(fd);
    return ok;
}

/* ---- Using it again ---------------------------------------------------------------------------------------------- */

/* Copy the ciphertext, whose digest is verified again, and wrap its keys. */
static bool use(const struct oci_work *w, const struct oci_layer *earlier, const struct blobseal_oci_layer *key,
                struct blobseal_error *err)
{
    w->layer->now = earlier->d;
    return check_source(w, err) && oci_target_copy(&w->s->target, &w->s->earlier.layout, &earlier->d, err) &&
           oci_wrap_layer(w, key, err) &&
           (w->s->receipts.folder < 0 || oci_receipt_write(&w->s->receipts, earlier->d.digest, key, err));
}

/* Return true for a layer with the cipher of stock tools that may be the layer. Its ciphertext is as long. */
static bool may_be(const struct oci_work *w, const struct oci_layer *earlier)
{
    struct blobseal_oci_recipients *recipients = NULL;
    struct blobseal_error ignored;
    struct oci_annotations a;
    bool ok = earlier->encrypted && earlier->d.size == w->layer->d.size &&
              oci_annotations_get(&a, earlier->descriptor, &ignored);

    if (!ok)
        return false;
    ok = blobseal_oci_recipients(a.list, a.num, &recipients, &ignored) == BLOBSEAL_OK && recipients->has_cipher &&
         !recipients->chunked;
    blobseal_oci_recipients_free(recipients);
    free(a.list);
    return ok;
}

/*
 * Return false if whoever wrapped the keys claims that the layer is another one. A lie here can only have the effect
 * that the layer is encrypted afresh.
 */
static bool is_claimed(const struct oci_work *w, const struct blobseal_oci_layer *key)
{
    const char *claim = blobseal_oci_layer_digest(key);

    return claim[0] == '\0' || strcmp(claim, w->layer->d.digest) == 0;
}

bool oci_reuse_layer(const struct oci_work *w, bool *reused, struct blobseal_error *err)
{
    const struct oci_image *image = &w->s->earlier.image;
    unsigned unwrapped = 0, decrypted = 0;

    *reused = false;
    for (size_t i = 0; i < image->num_layers && !oci_stopped(); i++) {
        const struct oci_layer *earlier = &image->layers[i];
        struct blobseal_oci_layer *key = NULL;
        bool found = unwrapped < MAX_UNWRAPPED && decrypted < MAX_DECRYPTED && may_be(w, earlier) && ++unwrapped > 0 &&
                     get_keys(w, earlier, &key) && is_claimed(w, key) && ++decrypted > 0 && is_same(w, earlier, key),
             ok = !found || use(w, earlier, key, err);

        blobseal_oci_layer_free(key);
        if (found) {
            *reused = ok;
            return ok;
        }
    }
    return true;
}
