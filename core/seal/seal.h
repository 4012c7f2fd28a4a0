/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal: making blobs, either from a source through the pipeline, or from pieces that a program pushes. FORMAT.md
 * sections 2 to 5.
 */
#ifndef BLOBSEAL_SEAL_H
#define BLOBSEAL_SEAL_H

#include "core/envelope/envelope.h"

/* ---- new_blob.c: data key, envelope, frame and core header of a new blob (sections 2, 4 and 5) ------------------- */

struct bs_new_blob {
    struct bs_core_header core;
    uint64_t core_offset; /* in the sink */
    enum blobseal_layout layout;
    struct bs_chunked_keys *keys; /* secret memory */
    struct bs_builder jwe;
    struct bs_digests digests; /* of what was written so far */
    struct bs_leases leases;   /* of keys that can be revoked */
};

/*
 * Generate a DEK, and write everything before the payload of a blob of @size bytes (or BLOBSEAL_SIZE_UNKNOWN). Release
 * @b with bs_new_blob_clear(), also after a failure. Errors: E_ARG, E_POLICY, E_NOMEM, E_INTERNAL, those of the sink
 * and of providers.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_new_blob_start(struct bs_new_blob *b, const struct blobseal_sink *sink,
                                                         uint64_t size, struct bs_keks keks,
                                                         const struct blobseal_seal_options *o,
                                                         struct blobseal_error *err);
void bs_new_blob_clear(struct bs_new_blob *b);

/*
 * End the digests and fill @result, which may be NULL, after the payload was written. @stored_bytes is the number of
 * bytes sealed, and @plain_bytes that of the original, which differs if it was compressed. Errors: E_NOMEM; E_ARG if
 * the size of the result is not set.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_new_blob_report(struct bs_new_blob *b, uint64_t plain_bytes,
                                                          uint64_t stored_bytes, struct blobseal_seal_result *result,
                                                          struct blobseal_error *err);

/* ---- payload.c: a payload that is sealed in order, in pieces of any size (section 3) ----------------------------- */

struct bs_payload {
    struct bs_xxh3_state checksum; /* of the current segment */
    struct bs_chunked chunked;
    struct bs_core_header core;
    const struct blobseal_sink *sink;
    uint64_t offset;            /* where the next bytes go in the sink */
    uint64_t chunk;             /* number of the next chunk            */
    uint64_t total;             /* bytes sealed                        */
    size_t len;                 /* bytes that wait for a full run      */
    struct bs_digests *digests; /* of the blob                */
    struct bs_payload_buffers *buffers;
};

/* Start the payload after bs_new_blob_start(). @blob must stay where it is. Release with bs_payload_clear(), also after
 * a failure. */
BLOBSEAL_MUST_USE enum blobseal_status bs_payload_start(struct bs_payload *p, struct bs_new_blob *blob,
                                                        const struct blobseal_sink *sink, struct blobseal_error *err);
void bs_payload_clear(struct bs_payload *p);

/* Add @len bytes to the payload. After an error the payload cannot be completed. */
BLOBSEAL_MUST_USE enum blobseal_status bs_payload_add(struct bs_payload *p, const void *buf, size_t len,
                                                      struct blobseal_error *err);

/* Seal the last chunk, and write what is still buffered. */
BLOBSEAL_MUST_USE enum blobseal_status bs_payload_end(struct bs_payload *p, struct blobseal_error *err);

/* ---- zstd_payload.c: zstd frames and their seek table as a payload (section 3.1) --------------------------------- */

/*
 * Add @frame, which holds @plain_len bytes, to the payload and record it in @t. Errors: E_POLICY for too many frames,
 * E_NOMEM, those of bs_payload_add().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_put_frame(struct bs_payload *payload, struct bs_seek_table *t,
                                                         struct bs_slice frame, size_t plain_len,
                                                         struct blobseal_error *err);

/* Add the table after the last frame. Errors: E_NOMEM, those of bs_payload_add(). */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_put_table(struct bs_payload *payload, const struct bs_seek_table *t,
                                                         struct blobseal_error *err);

/*
 * Compress pieces of any size into frames on the caller's thread, and write the frames and, at the end, the seek table.
 * bs_zstd_writer_new() returns NULL if there is no memory.
 */
struct bs_zstd_writer *bs_zstd_writer_new(int level);
void bs_zstd_writer_free(struct bs_zstd_writer *z);
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_writer_add(struct bs_zstd_writer *z, struct bs_payload *payload,
                                                          const void *buf, size_t len, struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_writer_end(struct bs_zstd_writer *z, struct bs_payload *payload,
                                                          struct blobseal_error *err);

/* ---- seal.c, zstd_seal.c: from a source to a sink, on all CPUs --------------------------------------------------- */

/* One blob that is being sealed. */
struct bs_sealing {
    const struct blobseal_source *source;
    const struct blobseal_sink *sink;
    const struct blobseal_seal_options *options;
    unsigned threads;
    struct bs_new_blob blob;
    struct bs_input input; /* of a sequential source                         */
    uint64_t plain_bytes;  /* result: bytes read from the source             */
    uint64_t stored_bytes; /* result: bytes sealed, which may be compressed  */
};

/* Compress and seal the whole source after bs_new_blob_start(). */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_seal(struct bs_sealing *s, struct blobseal_error *err);

#endif
