/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open: reading blobs. "Stored bytes" are the bytes that were sealed: the content itself, or the zstd file that it was
 * compressed to. From the bottom up, the layers are: stored bytes (stored.c, stored_stream.c); zstd content
 * decompressed from them (zstd_open.c, zstd_decoder.c); the choice between the two (content.c); and the public reader
 * (reader.c, range.c, pull.c). FORMAT.md sections 3 and 4.6.
 */
#ifndef BLOBSEAL_OPEN_H
#define BLOBSEAL_OPEN_H

#include "core/envelope/envelope.h"

/* ---- workers.c: the stored bytes of a blob, and the workers that open them --------------------------------------- */

/* The stored bytes of a blob: where they are, and what is needed to open them. */
struct bs_stored {
    struct blobseal_source source;
    struct bs_input input; /* of a sequential source: positioned at the payload   */
    bool consumed;         /* a sequential source was streamed, or is being read  */
    struct bs_core_header core;
    uint64_t core_offset;
    uint64_t len;                 /* stored bytes; BLOBSEAL_SIZE_UNKNOWN if sequential   */
    struct bs_chunked_keys *keys; /* secret memory; constant once opened                 */
    unsigned threads;
    struct bs_scratch_user user; /* of workers for calls that read at an offset          */
};

/* The size of the buffer that bs_stored_open() needs for a range of @len bytes. It opens whole chunks. */
#define BS_STORED_ROOM(len) ((len) + 2 * BS_CHUNK_LEN)

#define BS_NO_FRAME BS_NO_TAG

/* The last frame of zstd content that a worker decompressed for reads at an offset. */
struct bs_frame_cache {
    uint64_t frame;                 /* its number, or BS_NO_FRAME                       */
    size_t stored_used, plain_used; /* bytes of the buffers below that were ever written */
    uint8_t stored[BS_STORED_ROOM(BS_ZFRAME_MAX_LEN)];
    uint8_t plain[BS_ZFRAME_PLAIN_LEN];
};

/* The keys and contexts with which a worker opens chunks. This is worker->state in this module. */
struct bs_open_state {
    struct bs_chunked chunked;
    struct bs_zstd zstd;          /* for zstd content                        */
    struct bs_frame_cache *cache; /* for zstd content; NULL until needed     */
    size_t out_used;              /* bytes of worker->out that may have plaintext in a shared worker */
};

/*
 * Create and release the state of a worker, as callbacks of a pipeline. @stored is a struct bs_stored. NULL may be
 * released. Errors: E_NOMEM, those of bs_chunked_init().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_open_state_new(const void *stored, void **state, struct blobseal_error *err);
void bs_open_state_free(void *state);

/* Initialise @s with a copy of @source. @context is a reference, which bs_stored_clear() releases along with the keys.
 */
void bs_stored_init(struct bs_stored *s, const struct blobseal_source *source, struct blobseal_context *context);
void bs_stored_clear(struct bs_stored *s);

/*
 * Take a worker for one call from the context, preferably the one whose cache contains zstd frame @frame
 * (BS_NO_FRAME: any), and set up its keys if another reader used it last. Both buffers of a worker have room for a run.
 * Put it back with bs_stored_return(). Errors: those of bs_open_state_new().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_take(struct bs_stored *s, uint64_t frame, struct bs_worker **worker,
                                                      struct blobseal_error *err);
void bs_stored_return(struct bs_stored *s, struct bs_worker *worker);

/* Note that the first @len bytes of worker->out receive plaintext, so that they are wiped before another reader gets
 * the worker. */
void bs_note_plain(struct bs_worker *worker, size_t len);

/* Allocate the cache of a worker that has none yet. Errors: E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_frame_cache_ensure(struct bs_open_state *state, struct blobseal_error *err);

/* ---- stored.c: stored bytes at any offset of a seekable source --------------------------------------------------- */

/* A part of the stored bytes. It must lie within them. */
struct bs_range {
    uint64_t off;
    size_t len;
};

/* Return the position of byte @off in what bs_stored_open() writes. */
static inline size_t bs_stored_skip(uint64_t off)
{
    return (size_t)(off % BS_CHUNK_LEN);
}

/*
 * Open the chunks that hold @range into @plain, which has BS_STORED_ROOM() bytes; the range starts at bs_stored_skip().
 * @sealed has room for BS_SEALED_RUN_LEN bytes. Errors: E_AUTH, E_INPUT.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_open(const struct bs_stored *s, struct bs_chunked *chunked,
                                                      struct bs_range range, uint8_t *sealed, uint8_t *plain,
                                                      struct blobseal_error *err);

/*
 * Copy @range to @dst through the buffers of @worker, which is from bs_stored_take(), so that @dst never receives
 * unverified bytes. Errors: E_AUTH, E_INPUT.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_pread(const struct bs_stored *s, struct bs_worker *worker,
                                                       struct bs_range range, uint8_t *dst, struct blobseal_error *err);

/*
 * Open the last chunk, which proves that the length is authentic. @sealed and @plain have room for a run. Errors:
 * E_AUTH, E_INPUT.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_check_end(const struct bs_stored *s, struct bs_chunked *chunked,
                                                           uint8_t *sealed, uint8_t *plain, struct blobseal_error *err);

/*
 * Compare segment @index with its checksum, if it has one. @buf has room for a sealed segment and its checksum. Errors:
 * E_DAMAGED, E_INPUT.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_check_segment(const struct bs_stored *s, uint64_t index, uint8_t *buf,
                                                               struct blobseal_error *err);

/*
 * Report a bad segment, and return E_DAMAGED if its checksum does not match, otherwise E_AUTH. @len includes the
 * checksum.
 */
enum blobseal_status bs_segment_failed(const struct bs_stored *s, uint64_t index, bool checksum_ok, size_t len,
                                       struct blobseal_error *err);

/* ---- stored_stream.c: all stored bytes in order ------------------------------------------------------------------ */

/* Callback for progress. */
struct bs_progress {
    blobseal_progress_fn fn; /* NULL: none */
    void *ctx;
};

/* What is done with opened bytes. */
struct bs_output {
    const struct blobseal_sink *sink; /* NULL: verify only                                      */
    struct bs_digests *digests;       /* started; all zero: none                                 */
    bool compressed;                  /* the bytes are zstd content, not the plaintext          */
    struct bs_progress progress;
};

/*
 * Open all stored bytes and write them to @out. *@stored_bytes receives their number. Errors: E_DAMAGED, E_AUTH, E_ARG
 * if a pipe was read before, those of source and sink.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_stream(struct bs_stored *s, const struct bs_output *out,
                                                        uint64_t *stored_bytes, struct blobseal_error *err);

/*
 * Read the next segment in order, which has number @index, and open it on the caller's thread. The result is
 * worker->done bytes at worker->out, verified by every tag and by the checksum; worker->in_len bytes at worker->in are
 * the segment as it is stored. Both buffers of @worker have room for a segment. Errors: E_DAMAGED, E_AUTH, E_INPUT.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_next_segment(struct bs_stored *s, struct bs_worker *worker,
                                                              uint64_t index, bool *last, struct blobseal_error *err);

/* ---- zstd_open.c: zstd content of a seekable source (section 3.1) ------------------------------------------------ */

/* The content of a blob: the stored bytes themselves, or what they decompress to. */
struct bs_content {
    struct bs_stored stored;
    bool decompress;            /* the stored bytes are zstd content to decompress                    */
    uint32_t max_frames;        /* upper limit for the frames of zstd content                         */
    struct bs_seek_table table; /* for zstd content of a seekable source; constant once opened */
    uint64_t len;               /* of the content; BLOBSEAL_SIZE_UNKNOWN if sequential         */
};

/* Read the seek table and set the length of the content. Errors: E_FORMAT, E_POLICY, E_AUTH, E_INPUT, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_read_table(struct bs_content *c, struct blobseal_error *err);

/*
 * Decompress @len bytes at @off of the original, which must exist, into @dst. worker->in has room for a sealed run. The
 * worker keeps its last frame in a cache, so that a sequence of small reads decompresses the frame only once. Errors:
 * E_AUTH, E_INPUT, E_FORMAT, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_pread(const struct bs_content *c, struct bs_worker *worker, uint8_t *dst,
                                                     size_t len, uint64_t off, struct blobseal_error *err);

/*
 * Decompress everything and write it to @out, which requests no digest of the core: frames do not end where segments
 * do. Each worker handles one frame at a time. *@plain_bytes receives the number of bytes.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_stream(struct bs_content *c, const struct bs_output *out,
                                                      uint64_t *plain_bytes, struct blobseal_error *err);

/* ---- zstd_decoder.c: zstd content in order, from pieces of any size (section 3.1) -------------------------------- */

/* Make a decoder that accepts up to @max_frames frames. Return NULL if there is no memory. */
struct bs_decoder *bs_decoder_new(uint32_t max_frames);
void bs_decoder_free(struct bs_decoder *d);

/*
 * Consume up to @len bytes at @p, stopping when a frame is complete. *@used receives the number of bytes consumed.
 * *@out receives the content of that frame, valid until the next call, or is empty if no frame is complete. Errors:
 * E_FORMAT, E_POLICY, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_decoder_feed(struct bs_decoder *d, const uint8_t *p, size_t len, size_t *used,
                                                       struct bs_slice *out, struct blobseal_error *err);

/* Check after the last byte that the content is complete. Errors: E_FORMAT. */
BLOBSEAL_MUST_USE enum blobseal_status bs_decoder_end(const struct bs_decoder *d, struct blobseal_error *err);

/* ---- content.c: the choice between stored bytes and zstd content ------------------------------------------------- */

/*
 * Check that the length of a seekable source is authentic, and set the length of the content. Errors: those of
 * bs_stored_take(), bs_stored_check_end() and bs_zstd_read_table().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_content_check_size(struct bs_content *c, struct blobseal_error *err);

/*
 * Copy @len bytes at @off, which must exist, to @dst. Many threads may call it at once. Errors: E_AUTH, E_INPUT,
 * E_NOMEM, E_FORMAT.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_content_pread(struct bs_content *c, uint8_t *dst, size_t len, uint64_t off,
                                                        struct blobseal_error *err);

/*
 * Open @len bytes at @off, at most a segment, into worker->out, which has room for BS_STORED_ROOM(@len) bytes. *@at
 * receives their position in that buffer. worker->in has room for a sealed run.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_content_open(const struct bs_content *c, struct bs_worker *worker, size_t len,
                                                       uint64_t off, const uint8_t **at, struct blobseal_error *err);

/* Open everything and write it to @out. *@plain_bytes receives the number of bytes. */
BLOBSEAL_MUST_USE enum blobseal_status bs_content_stream(struct bs_content *c, const struct bs_output *out,
                                                         uint64_t *plain_bytes, struct blobseal_error *err);

/* ---- unlocked.c: what an opened envelope leaves: the keys of one blob -------------------------------------------- */

/*
 * Unlock the blob that starts with @f, and describe it. @source, which may have no callbacks, gives its name and size.
 * Release *@u with blobseal_unlocked_release(). Errors: those of bs_preamble_unlock(), E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_unlocked_new(struct blobseal_unlocked **u, const struct bs_preamble *f,
                                                       const struct blobseal_source *source, struct bs_keks keks,
                                                       struct blobseal_error *err);

/*
 * Record that a reader was opened with a key that had been unlocked before, with the result @st. Return @st, or why a
 * success could not be recorded.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_unlocked_record(const struct blobseal_unlocked *u, enum blobseal_status st,
                                                          struct blobseal_error *err);

/* Return the description of the blob when it was unlocked; after bs_unlocked_take_info() it belongs to the caller. */
const struct blobseal_info *bs_unlocked_blob(const struct blobseal_unlocked *u);
struct blobseal_info *bs_unlocked_take_info(struct blobseal_unlocked *u);

/* Return the keys, which are constant and stay where they are until @u is released. */
struct bs_chunked_keys *bs_unlocked_keys(const struct blobseal_unlocked *u);

/* Check that @core is the core header that @u was unlocked for. Errors: E_NO_KEY for another blob; E_AUTH. */
BLOBSEAL_MUST_USE enum blobseal_status bs_unlocked_fits(const struct blobseal_unlocked *u,
                                                        const struct bs_core_header *core, const char *name,
                                                        struct blobseal_error *err);

/* Check before each use that @u may be used, and renew its lease if that has ended. Errors: E_ARG if it belongs to the
 * parent process; those of bs_lease_check(). */
BLOBSEAL_MUST_USE enum blobseal_status
bs_unlocked_usable(struct blobseal_unlocked *u, const struct blobseal_call_options *limits, struct blobseal_error *err);

/* ---- reader.c, range.c, pull.c, reader_digests.c: the public reader ---------------------------------------------- */

struct blobseal_reader {
    struct bs_content content;
    struct blobseal_info *info;
    struct bs_progress progress;
    struct bs_pull *pull;                /* of pull.c; NULL before the first blobseal_reader_read() */
    struct bs_reader_digests *digests;   /* of reader_digests.c; NULL if none are requested         */
    struct blobseal_unlocked *unlocked;  /* whose keys are used                                     */
    struct blobseal_call_options limits; /* for renewing its lease */
    uint64_t process;                    /* that opened it                                          */
};

/*
 * Start the digests @wanted with what precedes the payload; if there are none, *@d is NULL. Release with
 * bs_reader_digests_free(). Errors: E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_reader_digests_new(struct bs_reader_digests **d, uint32_t wanted,
                                                             const struct bs_preamble *f, struct blobseal_error *err);
void bs_reader_digests_free(struct bs_reader_digests *d);

/*
 * Begin a run over the whole blob: return digests to which the payload and the plaintext are added, and forget those of
 * the run before. End it with bs_reader_digests_end(), whose @st is the result of the run; if that is a failure, there
 * are no digests. It returns @st, or E_NOMEM. If @d is NULL, there is nothing to compute.
 */
struct bs_digests bs_reader_digests_begin(struct bs_reader_digests *d);
BLOBSEAL_MUST_USE enum blobseal_status bs_reader_digests_end(struct bs_reader_digests *d, struct bs_digests *run,
                                                             enum blobseal_status st, struct blobseal_error *err);

/* Check that the reader does not belong to the parent process. Errors: E_ARG. */
BLOBSEAL_MUST_USE enum blobseal_status bs_reader_usable(const struct blobseal_reader *r, struct blobseal_error *err);

/* Check before data is read that this is allowed, now too. Errors: E_ARG, those of bs_unlocked_usable(). */
BLOBSEAL_MUST_USE enum blobseal_status bs_reader_may_read(const struct blobseal_reader *r, struct blobseal_error *err);

/* Count a failure if @st is one, and return @st. */
enum blobseal_status bs_reader_count(const struct blobseal_reader *r, enum blobseal_status st);

/* Release the state of blobseal_reader_read(). NULL is allowed. */
void bs_pull_free(struct bs_pull *pull);

#endif
