/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open: reading blobs. From the bottom up: stored bytes, which are what was sealed (stored.c, stored_stream.c); zstd
 * content made of them (zstd_open.c, zstd_decoder.c); the choice between the two (content.c); and the public reader
 * (reader.c, range.c, pull.c). FORMAT.md sections 3 and 4.6.
 */
#ifndef BLOBSEAL_OPEN_H
#define BLOBSEAL_OPEN_H

#include <pthread.h>

#include "core/envelope/envelope.h"

/* ---- stored.c: stored bytes at any offset of a seekable source --------------------------------------------------- */

/* What was sealed, and where it is. */
struct bs_stored {
    struct blobseal_source source;
    struct bs_input input; /* of a sequential source: positioned at the payload   */
    bool consumed;         /* a sequential source was streamed, or is being read  */
    struct bs_core_header core;
    uint64_t core_offset;
    uint64_t len;                 /* stored bytes; BLOBSEAL_SIZE_UNKNOWN if sequential   */
    struct bs_chunked_keys *keys; /* secret memory; constant once opened                 */
    unsigned threads;
    pthread_mutex_t lock;   /* protects the pool                                         */
    struct bs_pooled *pool; /* workers of calls that read at an offset, while not in use */
};

/* Keys and contexts of a worker that opens: worker->state in this module. */
struct bs_open_state {
    struct bs_chunked chunked;
    struct bs_zstd zstd;          /* for zstd content                        */
    struct bs_frame_cache *cache; /* of zstd_open.c; NULL until it is needed */
};

/* Errors: E_NOMEM, those of bs_chunked_init(). NULL is released as well. */
BLOBSEAL_MUST_USE enum blobseal_status bs_open_state_new(struct bs_open_state **state, const struct bs_stored *s,
                                                         struct blobseal_error *err);
void bs_open_state_free(struct bs_open_state *state);

void bs_stored_init(struct bs_stored *s, const struct blobseal_source *source);
void bs_stored_clear(struct bs_stored *s);

/*
 * Take a worker for one call from the pool, if possible the one whose cache has zstd frame @frame (UINT64_MAX: any).
 * Both of its buffers have room for a run. Return it with bs_stored_return(). Errors: those of bs_open_state_new().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_take(struct bs_stored *s, uint64_t frame, struct bs_worker **worker,
                                                      struct blobseal_error *err);
void bs_stored_return(struct bs_stored *s, struct bs_worker *worker);

/* A part of the stored bytes, which must exist. */
struct bs_range {
    uint64_t off;
    size_t len;
};

/* Return the room that bs_stored_open() needs for a range of @len bytes: it opens whole chunks. */
static inline size_t bs_stored_room(size_t len)
{
    return len + 2 * BS_CHUNK_LEN;
}

/* Return the position of byte @off in what bs_stored_open() writes. */
static inline size_t bs_stored_skip(uint64_t off)
{
    return (size_t)(off % BS_CHUNK_LEN);
}

/*
 * Open the chunks that hold @range into @plain, which has bs_stored_room() bytes; the range starts at bs_stored_skip().
 * @sealed has room for BS_SEALED_RUN_LEN bytes. Errors: E_AUTH, E_INPUT.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_open(const struct bs_stored *s, struct bs_chunked *chunked,
                                                      struct bs_range range, uint8_t *sealed, uint8_t *plain,
                                                      struct blobseal_error *err);

/* Copy @range to @dst, through the buffers of a worker from the pool: nothing unverified is ever in @dst. */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_pread(const struct bs_stored *s, struct bs_worker *worker,
                                                       struct bs_range range, uint8_t *dst, struct blobseal_error *err);

/* Open the last chunk, which makes the length authentic. Both buffers have room for a run. */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_check_end(const struct bs_stored *s, struct bs_chunked *chunked,
                                                           uint8_t *sealed, uint8_t *plain, struct blobseal_error *err);

/* Compare segment @index with its checksum, if it has one. @buf has room for a sealed segment. Errors: E_DAMAGED,
 * E_INPUT. */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_check_segment(const struct bs_stored *s, uint64_t index, uint8_t *buf,
                                                               struct blobseal_error *err);

/* A segment is damaged if its checksum does not match, otherwise it is not authentic. @len has the checksum in it. */
enum blobseal_status bs_segment_failed(const struct bs_stored *s, uint64_t index, bool checksum_ok, size_t len,
                                       struct blobseal_error *err);

/* ---- stored_stream.c: all stored bytes in order ------------------------------------------------------------------ */

/* Callback for progress. */
struct bs_progress {
    blobseal_progress_fn fn; /* NULL: none */
    void *ctx;
};

/* Open everything into @sink (NULL: only check it). *@stored_bytes receives the number of stored bytes. */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_stream(struct bs_stored *s, const struct blobseal_sink *sink,
                                                        struct bs_progress progress, uint64_t *stored_bytes,
                                                        struct blobseal_error *err);

/*
 * Read segment @index of a sequential source, which is the next one, and open it on the caller's thread: worker->done
 * bytes at worker->out are verified by every tag and by the checksum. Both buffers have room for a segment.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_next_segment(struct bs_stored *s, struct bs_worker *worker,
                                                              uint64_t index, bool *last, struct blobseal_error *err);

/* ---- zstd_open.c: zstd content of a seekable source (section 3.1) ------------------------------------------------ */

/* What a blob contains: the stored bytes themselves, or what they decompress to. */
struct bs_content {
    struct bs_stored stored;
    bool decompress; /* zstd content, to be decompressed                                */
    uint32_t max_frames;
    struct bs_seek_table table; /* if decompressed from a seekable source; constant once opened */
    uint64_t len;               /* of the content; BLOBSEAL_SIZE_UNKNOWN if sequential          */
};

/* Read the seek table and set the length of the content. Errors: E_FORMAT, E_POLICY, E_AUTH, E_INPUT, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_read_table(struct bs_content *c, struct blobseal_error *err);

/*
 * Decompress @len bytes of the original at @off, which must exist, into @dst. worker->in has room for a sealed run. The
 * last frame stays in the cache of the worker, so that small reads in sequence decompress it once.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_pread(const struct bs_content *c, struct bs_worker *worker, uint8_t *dst,
                                                     size_t len, uint64_t off, struct blobseal_error *err);

/* Decompress everything into @sink (NULL: only check it), with one frame for each worker at a time. */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_stream(struct bs_content *c, const struct blobseal_sink *sink,
                                                      struct bs_progress progress, uint64_t *plain_bytes,
                                                      struct blobseal_error *err);

/* Return the number of the frame in a cache (NULL is allowed), or UINT64_MAX. */
uint64_t bs_frame_cache_frame(const struct bs_frame_cache *cache);
void bs_frame_cache_free(struct bs_frame_cache *cache);

/* ---- zstd_decoder.c: zstd content in order, from pieces of any size (section 3.1) -------------------------------- */

/* Return NULL without memory. */
struct bs_decoder *bs_decoder_new(uint32_t max_frames);
void bs_decoder_free(struct bs_decoder *d);

/*
 * Take up to @len bytes until a frame is complete. *@used receives how many were taken. *@out is the content of that
 * frame, valid until the next call, or empty if no frame is complete. Errors: E_FORMAT, E_POLICY, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_decoder_feed(struct bs_decoder *d, const uint8_t *p, size_t len, size_t *used,
                                                       struct bs_slice *out, struct blobseal_error *err);

/* Check after the last byte that the content is complete. Errors: E_FORMAT. */
BLOBSEAL_MUST_USE enum blobseal_status bs_decoder_end(const struct bs_decoder *d, struct blobseal_error *err);

/* ---- content.c: the choice between stored bytes and zstd content ------------------------------------------------- */

/* Make the length of a seekable source authentic, and find that of the content. Errors: those of the functions above.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_content_check_size(struct bs_content *c, struct blobseal_error *err);

/* Copy @len bytes at @off, which must exist, to @dst. Many threads may call it at once. Errors: E_AUTH, E_INPUT,
 * E_NOMEM, E_FORMAT. */
BLOBSEAL_MUST_USE enum blobseal_status bs_content_pread(struct bs_content *c, uint8_t *dst, size_t len, uint64_t off,
                                                        struct blobseal_error *err);

/*
 * Open @len bytes at @off, at most a segment, into worker->out, which has room for bs_stored_room(@len). *@at receives
 * where they start. worker->in has room for a sealed run.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_content_open(const struct bs_content *c, struct bs_worker *worker, size_t len,
                                                       uint64_t off, const uint8_t **at, struct blobseal_error *err);

/* Open everything into @sink (NULL: only check it). */
BLOBSEAL_MUST_USE enum blobseal_status bs_content_stream(struct bs_content *c, const struct blobseal_sink *sink,
                                                         struct bs_progress progress, uint64_t *plain_bytes,
                                                         struct blobseal_error *err);

/* ---- reader.c, range.c, pull.c: the public reader ---------------------------------------------------------------- */

struct blobseal_reader {
    struct bs_content content;
    struct blobseal_info *info;
    struct bs_progress progress;
    struct bs_pull *pull; /* of pull.c; NULL before the first blobseal_reader_read() */
};

/* Release what blobseal_reader_read() keeps. NULL is allowed. */
void bs_pull_free(struct bs_pull *pull);

#endif
