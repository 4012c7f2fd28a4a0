/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a new blob: the DEK, the envelope, the frame and the core header. FORMAT.md sections 2, 4 and 5. */
#include <stdlib.h>

#include "core/seal/seal.h"

/* The size from which a blob gets two slots by default, so that its recipients can be changed in place. */
#define AB_FROM ((uint64_t)4 << 20)

#define GENERATION 1u /* of the envelope of a new blob */

/* Random keys, and what else of a blob is random. One call generates all of it, because most of its time does not
 * depend on the length. */
struct secrets {
    struct blobseal_secret32 dek, cek;
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN], salt[BS_SALT_LEN];
};

/* Generate the secrets, blob id and salt, derive the keys, and encode the core header. */
static enum blobseal_status make_core(struct bs_new_blob *b, struct secrets *s, struct bs_slice metadata,
                                      const struct blobseal_seal_options *o, struct blobseal_error *err)
{
    struct bs_core_header *core = &b->core;
    uint8_t hash[BS_SHA256_LEN], context[BS_MAX_CONTEXT_LEN];
    enum blobseal_status st;
    bool ok = false;
    size_t len;

    *core = (struct bs_core_header){
        .version = 1,
        .suite = BS_SUITE_COBBLESTONE_256,
        .content = o->zstd ? BLOBSEAL_CONTENT_ZSTD : BLOBSEAL_CONTENT_AS_GIVEN,
        .segments = o->no_checksums ? BS_SEGMENTS_BARE : BS_SEGMENTS_CHECKSUMMED,
    };
    st = bs_random(s, sizeof *s, true, err);
    if (st != BLOBSEAL_OK)
        return st;
    memcpy(core->blob_id, s->blob_id, sizeof core->blob_id);
    memcpy(core->salt, s->salt, sizeof core->salt);
    if (metadata.len > 0 && !bs_metadata_hash(hash, metadata))
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "seal: no memory");
    len = bs_core_context(core, metadata.len > 0 ? hash : NULL, context);
    for (int tries = 0; tries < 2 && !ok; tries++) /* memory may have been short for a moment */
        ok = bs_chunked_derive(b->keys, &s->dek, core->salt, context, len);
    if (!ok)
        return bs_openssl_failed(err, "derive the keys of the blob");
    memcpy(core->commitment, b->keys->commitment, sizeof core->commitment);
    bs_core_encode(core);
    return BLOBSEAL_OK;
}

static enum blobseal_layout choose_layout(enum blobseal_layout wanted, uint64_t size)
{
    if (wanted != BLOBSEAL_LAYOUT_AUTO)
        return wanted;
    return size == BLOBSEAL_SIZE_UNKNOWN || size >= AB_FROM ? BLOBSEAL_LAYOUT_AB : BLOBSEAL_LAYOUT_COMPACT;
}

/* Write frame and core header with a single write, and set b->core_offset. */
static enum blobseal_status write_preamble(struct bs_new_blob *b, const struct blobseal_sink *sink, uint32_t capacity,
                                           struct blobseal_error *err)
{
    bool detached = b->layout == BLOBSEAL_LAYOUT_DETACHED;
    const char *jwe = (const char *)b->jwe.p;
    struct bs_frame frame = {0};
    enum blobseal_status st = BLOBSEAL_OK;
    uint8_t *preamble;

    if (!detached)
        st = bs_frame_plan(&frame, b->layout, capacity, b->jwe.len, b->core.blob_id, err);
    if (st != BLOBSEAL_OK)
        return st;
    b->core_offset = frame.frame_len;
    preamble = malloc(frame.frame_len + BS_CORE_HEADER_LEN);
    if (preamble == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the frame: no memory");
    if (!detached)
        bs_frame_encode(&frame, preamble, jwe, b->jwe.len, GENERATION);
    memcpy(preamble + frame.frame_len, b->core.raw, BS_CORE_HEADER_LEN);
    bs_digests_add_frame(&b->digests, preamble, frame.frame_len);
    bs_digests_add_core(&b->digests, b->core.raw, BS_CORE_HEADER_LEN);
    st = bs_write(sink, preamble, frame.frame_len + BS_CORE_HEADER_LEN, 0, err);
    free(preamble);
    return st;
}

static enum blobseal_status check_options(const struct blobseal_seal_options *o, struct blobseal_error *err)
{
    if (o->layout > BLOBSEAL_LAYOUT_DETACHED)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "seal: unknown layout: %d", (int)o->layout);
    if (o->zstd && (o->zstd_level < BLOBSEAL_ZSTD_MIN_LEVEL || o->zstd_level > BLOBSEAL_ZSTD_MAX_LEVEL))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "seal: zstd has no level %d", o->zstd_level);
    return bs_digests_check(o->digests, err);
}

enum blobseal_status bs_new_blob_start(struct bs_new_blob *b, const struct blobseal_sink *sink, uint64_t size,
                                       struct bs_keks keks, const struct blobseal_seal_options *o,
                                       struct blobseal_error *err)
{
    uint8_t metadata_buf[BLOBSEAL_MAX_METADATA];
    struct bs_envelope_plan plan = {.core = &b->core, .generation = GENERATION, .leases = &b->leases};
    struct secrets *secrets;
    enum blobseal_status st;

    *b = (struct bs_new_blob){.layout = choose_layout(o->layout, size)};
    st = check_options(o, err);
    if (st == BLOBSEAL_OK)
        st = bs_check_sink(sink, "seal", err);
    if (st == BLOBSEAL_OK)
        st = bs_selftest_once(err);
    if (st == BLOBSEAL_OK)
        st = bs_metadata_write(&plan.metadata, metadata_buf, o->metadata, err);
    if (st != BLOBSEAL_OK) {
        blobseal_wipe(metadata_buf, sizeof metadata_buf); /* after a failure, a part of it may be there */
        return st;
    }
    b->digests = bs_digests_start(o->digests, b->layout != BLOBSEAL_LAYOUT_DETACHED);
    secrets = blobseal_secret_alloc(sizeof *secrets);
    b->keys = blobseal_secret_alloc(sizeof *b->keys);
    b->jwe = bs_builder_start(malloc(BLOBSEAL_MAX_ENVELOPE), BLOBSEAL_MAX_ENVELOPE);
    st = secrets != NULL && b->keys != NULL && b->jwe.p != NULL
             ? make_core(b, secrets, plan.metadata, o, err)
             : blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "seal: no memory");
    if (st == BLOBSEAL_OK) {
        plan.dek = &secrets->dek;
        plan.cek = &secrets->cek;
        st = bs_envelope_write(&b->jwe, &plan, keks, err);
    }
    if (st == BLOBSEAL_OK)
        st = write_preamble(b, sink, o->slot_capacity, err);
    blobseal_wipe(metadata_buf, plan.metadata.len);
    blobseal_secret_free(secrets);
    return st;
}

enum blobseal_status bs_new_blob_report(struct bs_new_blob *b, uint64_t plain_bytes, uint64_t stored_bytes,
                                        struct blobseal_seal_result *result, struct blobseal_error *err)
{
    struct blobseal_seal_result r = {.size = sizeof r,
                                     .plain_bytes = plain_bytes,
                                     .sealed_bytes = b->core_offset + bs_core_len(&b->core, stored_bytes),
                                     .layout = b->layout,
                                     .generation = GENERATION,
                                     .stored_bytes = stored_bytes};
    enum blobseal_status st = bs_digests_end(&b->digests, &r.digests, err);

    if (st != BLOBSEAL_OK)
        return st;
    if (result != NULL && !bs_sha256(r.envelope_sha256, b->jwe.p, b->jwe.len))
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "compute the digest of the envelope: no memory");
    memcpy(r.blob_id, b->core.blob_id, sizeof r.blob_id);
    if (result != NULL && b->layout == BLOBSEAL_LAYOUT_DETACHED) {
        r.envelope = malloc(b->jwe.len + 1);
        if (r.envelope == NULL)
            return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "return the envelope: no memory");
        memcpy(r.envelope, b->jwe.p, b->jwe.len);
        r.envelope[b->jwe.len] = '\0';
        r.envelope_len = b->jwe.len;
    }
    if (bs_struct_export(result, &r, sizeof r))
        return BLOBSEAL_OK;
    free(r.envelope);
    return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "seal: the size of the result is not set");
}

void bs_new_blob_clear(struct bs_new_blob *b)
{
    free(b->jwe.p);
    bs_digests_clear(&b->digests);
    blobseal_secret_free(b->keys);
    bs_leases_clear(&b->leases);
    *b = (struct bs_new_blob){0};
}
