/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypting and decrypting one layer: the content goes to a file without a name, which gets its name when verified. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/oci/oci.h"

/* ---- Content ----------------------------------------------------------------------------------------------------- */

/* A layer that is read, and the new file that is written. */
struct content {
    int fd;
    struct blobseal_source source;
    struct blobseal_fd state;
    struct oci_spool spool;
    struct blobseal_sink sink;
};

static bool open_content(struct content *c, const struct oci_work *w, struct blobseal_error *err)
{
    *c = (struct content){.fd = -1, .spool = OCI_SPOOL_NONE};
    c->fd = oci_blob_open(&w->s->in.layout, &w->layer->d, err);
    return c->fd >= 0 && blobseal_source_fd(&c->source, &c->state, c->fd, w->layer->d.digest, err) == BLOBSEAL_OK &&
           oci_spool_open(&w->s->target, &c->spool, err) &&
           blobseal_sink_fd(&c->sink, &c->spool.state, c->spool.fd, "the new layer", err) == BLOBSEAL_OK;
}

static void close_content(struct content *c, const struct oci_work *w)
{
    oci_spool_close(&w->s->target, &c->spool);
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
}

/* Check that what was read has the digest that names it. */
static bool check_read(const struct oci_work *w, const uint8_t sha256[BLOBSEAL_SHA256_LEN], uint64_t bytes,
                       struct blobseal_error *err)
{
    char digest[OCI_DIGEST_LEN];

    if (bytes == w->layer->d.size && strcmp(oci_digest(digest, sha256), w->layer->d.digest) == 0)
        return true;
    (void)fail(err, BLOBSEAL_E_DAMAGED, 0, "the content of %s does not have this digest", w->layer->d.digest);
    blobseal_hint(err, "fetch the image again from its source");
    return false;
}

/* Give the new file its name. */
static bool commit_content(struct content *c, const struct oci_work *w, const uint8_t sha256[BLOBSEAL_SHA256_LEN],
                           uint64_t bytes, struct blobseal_error *err)
{
    w->layer->now = (struct oci_descriptor){.size = bytes};
    (void)oci_digest(w->layer->now.digest, sha256);
    return oci_spool_commit(&w->s->target, &c->spool, w->layer->now.digest, err);
}

/* ---- ocicrypt: what stock tools know ----------------------------------------------------------------------------- */

static struct blobseal_oci_run_options run_options(const struct oci_work *w)
{
    return (struct blobseal_oci_run_options){.size = sizeof(struct blobseal_oci_run_options),
                                             .threads = w->threads,
                                             .progress = w->progress,
                                             .progress_ctx = w->progress_ctx};
}

bool oci_wrap_layer(const struct oci_work *w, const struct blobseal_oci_layer *key, struct blobseal_error *err)
{
    const struct keys *keys = &w->s->r->keys;
    const struct blobseal_oci_wrap_options o = {
        .size = sizeof o, .provider = w->s->r->provider, .pkcs11 = w->s->r->pkcs11};
    struct blobseal_oci_annotations *list = NULL;

    if (blobseal_oci_wrap(key, keys->keks, keys->num_keks, &o, &list, err) != BLOBSEAL_OK)
        return false;
    w->layer->annotations = oci_annotations_take(list, err);
    return w->layer->annotations != NULL;
}

static bool keep_receipt(const struct oci_work *w, const struct blobseal_oci_layer *key, struct blobseal_error *err)
{
    return w->s->receipts.folder < 0 || oci_receipt_write(&w->s->receipts, w->layer->now.digest, key, err);
}

static bool encrypt_stock(const struct oci_work *w, struct content *c, struct blobseal_error *err)
{
    const struct blobseal_oci_run_options o = run_options(w);
    struct blobseal_oci_digests digests = {.size = sizeof digests};
    struct blobseal_oci_layer *key = NULL;
    bool ok = blobseal_oci_layer_new(&key, err) == BLOBSEAL_OK &&
              blobseal_oci_encrypt(key, &c->source, &c->sink, &o, &digests, err) == BLOBSEAL_OK &&
              check_read(w, digests.plain_sha256, digests.bytes, err) && oci_wrap_layer(w, key, err) &&
              commit_content(c, w, digests.stored_sha256, digests.bytes, err) && keep_receipt(w, key, err);

    blobseal_oci_layer_free(key);
    return ok;
}

/* Return the keys of a layer. */
static bool unwrap(const struct oci_work *w, struct blobseal_oci_layer **key, struct blobseal_error *err)
{
    const struct keys *keys = &w->s->r->keys;
    struct oci_annotations a;
    bool ok = oci_annotations_get(&a, w->layer->descriptor, err) &&
              blobseal_oci_unwrap(key, a.list, a.num, keys->keks, keys->num_keks, NULL, err) == BLOBSEAL_OK;

    free(a.list);
    return ok;
}

/* Compare the plaintext with what its writer claims. Tools that compress on the fly claim another digest. */
static void note_claim(const struct oci_work *w, const char *claim)
{
    if (claim[0] != '\0')
        w->layer->claimed = strcmp(claim, w->layer->now.digest) == 0 ? OCI_DIGEST_MATCHES : OCI_DIGEST_DIFFERS;
}

static bool decrypt_stock(const struct oci_work *w, struct content *c, struct blobseal_error *err)
{
    const struct blobseal_oci_run_options o = run_options(w);
    struct blobseal_oci_digests digests = {.size = sizeof digests};
    struct blobseal_oci_layer *key = NULL;
    bool ok = unwrap(w, &key, err) &&
              blobseal_oci_decrypt(key, &c->source, &c->sink, &o, &digests, err) == BLOBSEAL_OK &&
              check_read(w, digests.stored_sha256, digests.bytes, err) &&
              commit_content(c, w, digests.plain_sha256, digests.bytes, err);

    if (ok)
        note_claim(w, blobseal_oci_layer_digest(key));
    blobseal_oci_layer_free(key);
    return ok;
}

/* ---- Blobs with bare segments: random access, and authentic while they are read ---------------------------------- */

static bool encrypt_chunked(const struct oci_work *w, struct content *c, struct blobseal_error *err)
{
    const struct keys *keys = &w->s->r->keys;
    const struct blobseal_seal_options o = {.size = sizeof o,
                                            .threads = w->threads,
                                            .layout = BLOBSEAL_LAYOUT_DETACHED,
                                            .no_checksums = true,
                                            .progress = w->progress,
                                            .progress_ctx = w->progress_ctx,
                                            .digests = BLOBSEAL_DIGEST_PLAIN | BLOBSEAL_DIGEST_OUTPUT};
    struct blobseal_seal_result result = {.size = sizeof result};
    struct blobseal_oci_annotations *list = NULL;
    bool ok = blobseal_seal(&c->sink, &c->source, keys->keks, keys->num_keks, &o, &result, err) == BLOBSEAL_OK &&
              check_read(w, result.digests.plain_sha256, result.plain_bytes, err) &&
              blobseal_oci_chunked_annotations(result.envelope, result.envelope_len, &list, err) == BLOBSEAL_OK;

    if (ok)
        w->layer->annotations = oci_annotations_take(list, err);
    ok = ok && w->layer->annotations != NULL &&
         commit_content(c, w, result.digests.output_sha256, result.sealed_bytes, err);
    blobseal_free(result.envelope);
    return ok;
}

/* Read all of a layer through a reader, which verifies what it returns. */
static bool read_chunked(const struct oci_work *w, struct content *c, const char *envelope, size_t len,
                         struct blobseal_error *err)
{
    const struct keys *keys = &w->s->r->keys;
    const struct blobseal_reader_options o = {.size = sizeof o,
                                              .threads = w->threads,
                                              .envelope = envelope,
                                              .envelope_len = len,
                                              .progress = w->progress,
                                              .progress_ctx = w->progress_ctx,
                                              .digests = BLOBSEAL_DIGEST_PLAIN | BLOBSEAL_DIGEST_OUTPUT};
    struct blobseal_digests digests = {.size = sizeof digests};
    struct blobseal_reader *reader = NULL;
    bool ok = blobseal_reader_open(&reader, &c->source, keys->keks, keys->num_keks, &o, err) == BLOBSEAL_OK &&
              blobseal_reader_stream(reader, &c->sink, NULL, err) == BLOBSEAL_OK &&
              blobseal_reader_digests(reader, &digests, err) == BLOBSEAL_OK &&
              check_read(w, digests.output_sha256, w->layer->d.size, err) &&
              commit_content(c, w, digests.plain_sha256, blobseal_reader_size(reader), err);

    blobseal_reader_close(reader);
    return ok;
}

static bool decrypt_chunked(const struct oci_work *w, struct content *c, const struct oci_annotations *a,
                            struct blobseal_error *err)
{
    char *envelope = NULL;
    size_t len;
    bool ok = blobseal_oci_envelope(a->list, a->num, &envelope, &len, err) == BLOBSEAL_OK &&
              read_chunked(w, c, envelope, len, err);

    free(envelope);
    return ok;
}

/* Find out the cipher of a layer. */
static bool is_chunked(const struct oci_annotations *a, bool *chunked, struct blobseal_error *err)
{
    struct blobseal_oci_recipients *recipients = NULL;
    bool ok = blobseal_oci_recipients(a->list, a->num, &recipients, err) == BLOBSEAL_OK;

    *chunked = ok && recipients->chunked;
    blobseal_oci_recipients_free(recipients);
    return ok;
}

/* ---- One layer --------------------------------------------------------------------------------------------------- */

bool oci_encrypt_layer(const struct oci_work *w, struct blobseal_error *err)
{
    struct content c;
    bool reused = false, ok = w->s->r->reuse == NULL || oci_reuse_layer(w, &reused, err);

    w->layer->done = w->layer->reused = ok && reused;
    if (!ok || reused)
        return ok;
    ok = open_content(&c, w, err) && (w->s->r->chunked ? encrypt_chunked : encrypt_stock)(w, &c, err);

    close_content(&c, w);
    w->layer->done = ok;
    return ok;
}

bool oci_decrypt_layer(const struct oci_work *w, struct blobseal_error *err)
{
    struct oci_annotations a = {.list = NULL};
    struct content c;
    bool chunked, ok = open_content(&c, w, err) && oci_annotations_get(&a, w->layer->descriptor, err) &&
                       is_chunked(&a, &chunked, err);

    ok = ok && (chunked ? decrypt_chunked(w, &c, &a, err) : decrypt_stock(w, &c, err));
    free(a.list);
    close_content(&c, w);
    w->layer->done = ok;
    return ok;
}
