/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decrypting a layer in two passes, so that every byte has been verified before it is released.
 *
 * The second pass reads the source again, and somebody may have changed it meanwhile. So the first pass computes a tag
 * of every piece under a key that only this call knows, and the second pass compares it before the piece is decrypted.
 * The tag is that of AES-256-GCM, the fastest keyed checksum there is. What is encrypted is the ciphertext, and the
 * result is thrown away: so it does no harm that the second pass uses the nonces of the first pass once more, because
 * neither tags nor results ever leave this call, and the first difference ends it.
 */
#include <stdlib.h>

#include "core/oci/oci.h"
#include "simd/simd.h"

/* In secret memory. */
struct tags {
    struct bs_gcm_key key;
    uint8_t nonce[BS_GCM_NONCE_LEN];
    uint8_t *scratch; /* a piece that GCM has encrypted */
    uint8_t (*list)[BS_GCM_TAG_LEN];
    uint64_t num, cap;
};

static void tags_free(struct tags *t)
{
    if (t == NULL)
        return;
    bs_gcm_clear(&t->key);
    bs_unmap(t->scratch, BS_OCI_PIECE_LEN + BS_GCM_TAG_LEN);
    free(t->list);
    blobseal_secret_free(t);
}

static enum blobseal_status start_key(struct tags *t, struct blobseal_error *err)
{
    struct blobseal_secret32 raw = {{0}};
    enum blobseal_status st = bs_random(&raw, sizeof raw, true, err);

    if (st != BLOBSEAL_OK)
        return st;
    switch (bs_gcm_init(&t->key, raw.b)) {
    case BS_GCM_OK:
        break;
    case BS_GCM_NO_MEMORY:
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "verify a layer: no memory");
        break;
    case BS_GCM_NO_CIPHER:
        st = bs_no_provider("AES-256-GCM", err);
        break;
    default:
        st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "verify a layer: AES-256-GCM fails its self-test");
        break;
    }
    blobseal_wipe(&raw, sizeof raw);
    return st;
}

/* Make room for the tags of a layer of @size bytes. */
static enum blobseal_status tags_new(struct tags **tags, uint64_t size, struct blobseal_error *err)
{
    struct tags *t = blobseal_secret_alloc(sizeof *t);
    enum blobseal_status st = BLOBSEAL_OK;

    *tags = t;
    if (t != NULL) {
        memset(t, 0, sizeof *t);
        t->cap = size / BS_OCI_PIECE_LEN + 1 + BS_OCI_FIRST_PIECES;
        t->scratch = bs_map(BS_OCI_PIECE_LEN + BS_GCM_TAG_LEN);
        if (t->cap <= SIZE_MAX / sizeof *t->list)
            t->list = calloc((size_t)t->cap, sizeof *t->list);
    }
    if (t == NULL || t->scratch == NULL || t->list == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "verify a layer: no memory");
    if (st == BLOBSEAL_OK)
        st = start_key(t, err);
    return st;
}

/* Compute the tag of a piece, which stays in the scratch buffer. Return NULL if OpenSSL failed. */
static const uint8_t *tag_of(struct tags *t, const struct bs_oci_piece *piece)
{
    const struct bs_gcm_run run = {
        .nonce = t->nonce, .first = piece->index, .num = 1, .msg_len = piece->len, .last_len = piece->len};

    return bs_gcm_seal(&t->key, &run, t->scratch, piece->in) ? t->scratch + piece->len : NULL;
}

static enum blobseal_status changed(struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_INPUT, 0, "decrypt a layer: the input changed while it was being read");
    blobseal_hint(err, "try again when no program writes to it");
    return BLOBSEAL_E_INPUT;
}

/* First pass. */
static enum blobseal_status store_tag(void *ctx, const struct bs_oci_piece *piece, struct blobseal_error *err)
{
    struct tags *t = ctx;
    const uint8_t *tag = tag_of(t, piece);

    if (tag == NULL)
        return bs_openssl_failed(err, "verify a layer");
    if (piece->index >= t->cap)
        return changed(err);
    memcpy(t->list[piece->index], tag, BS_GCM_TAG_LEN);
    t->num = piece->index + 1;
    return BLOBSEAL_OK;
}

/* Second pass. The lengths of pieces need no comparison: the tag depends on the length. */
static enum blobseal_status compare_tag(void *ctx, const struct bs_oci_piece *piece, struct blobseal_error *err)
{
    struct tags *t = ctx;
    const uint8_t *tag = tag_of(t, piece);

    if (tag == NULL)
        return bs_openssl_failed(err, "verify a layer");
    if (piece->index >= t->num || (piece->len < piece->cap) != (piece->index + 1 == t->num) ||
        !blobseal_equal(t->list[piece->index], tag, BS_GCM_TAG_LEN))
        return changed(err);
    return BLOBSEAL_OK;
}

/* Each pass is half of the work. */
struct half {
    const struct blobseal_oci_run_options *o;
    uint64_t before; /* bytes of the passes before */
};

static bool report_half(void *ctx, uint64_t bytes)
{
    const struct half *half = ctx;

    return half->o->progress == NULL || half->o->progress(half->o->progress_ctx, (half->before + bytes) / 2);
}

/* Run both passes. The first one computes everything, so that the second one has little to do. */
static enum blobseal_status decrypt(const struct blobseal_oci_layer *layer, struct bs_oci_pass *second, bool hashes,
                                    const struct blobseal_oci_run_options *o, struct bs_oci_results *results,
                                    struct blobseal_error *err)
{
    const uint32_t digests = BS_OCI_CRYPT | BS_OCI_STORED_DIGEST | BS_OCI_PLAIN_DIGEST;
    struct half half = {o, 0};
    const struct blobseal_oci_run_options each = {
        .size = sizeof each, .threads = o->threads, .progress = report_half, .progress_ctx = &half};
    struct bs_oci_pass first = {
        .input = second->input, .parts = BS_OCI_HMAC | (hashes ? digests : 0), .check = store_tag};
    struct bs_oci_results none;
    struct tags *t = NULL;
    enum blobseal_status st = tags_new(&t, second->input.source->size, err);

    first.check_ctx = second->check_ctx = t;
    second->parts = BS_OCI_CRYPT;
    second->check = compare_tag;
    if (st == BLOBSEAL_OK)
        st = bs_oci_pass_run(&first, &layer->key, &each, results, err);
    if (st == BLOBSEAL_OK)
        st = bs_oci_check_hmac(&layer->key, results, err);
    half.before = first.bytes;
    if (st == BLOBSEAL_OK)
        st = bs_oci_pass_run(second, &layer->key, &each, &none, err);
    tags_free(t);
    return st;
}

enum blobseal_status blobseal_oci_decrypt_verified(const struct blobseal_oci_layer *layer,
                                                   const struct blobseal_source *source,
                                                   const struct blobseal_sink *sink,
                                                   const struct blobseal_oci_run_options *options,
                                                   struct blobseal_oci_digests *digests, struct blobseal_error *err)
{
    struct blobseal_oci_run_options o = {.size = sizeof o};
    struct bs_oci_pass second = {.input = {source, 0}, .sink = sink};
    struct bs_oci_results results;
    enum blobseal_status st = bs_oci_import_options(&o, options, digests, err);

    if (st == BLOBSEAL_OK)
        st = bs_oci_check_layer(layer, err);
    if (st == BLOBSEAL_OK)
        st = bs_check_source(source, "decrypt a layer", err);
    if (st == BLOBSEAL_OK)
        st = bs_check_sink(sink, "decrypt a layer", err);
    if (st == BLOBSEAL_OK && !bs_seekable(source)) {
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "decrypt a verified layer: the source is not seekable");
        blobseal_advise(err, BLOBSEAL_ADVICE_SEEKABLE, NULL, "pass a source that can be read at any offset");
    }
    if (st == BLOBSEAL_OK)
        st = decrypt(layer, &second, digests != NULL, &o, &results, err);
    if (st == BLOBSEAL_OK)
        bs_oci_report(second.bytes, &results, digests);
    return st;
}
