/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private prototypes of core, one section per .c file, in order of dependency: each file uses the sections above its
 * own. Section numbers are those of FORMAT.md. What needs neither I/O nor threads stands in format.h.
 */
#ifndef BLOBSEAL_INTERNAL_H
#define BLOBSEAL_INTERNAL_H

#include <pthread.h>

#include "format.h"

/* ---- base.c: structs that grow, memory ------------------------------------------------------------------------------------ */

/* The reverse of blobseal_struct_import(), for results. */
BLOBSEAL_MUST_USE bool bs_struct_export(void *theirs, const void *own, size_t own_size);

/* Zeroed memory for plaintext: gone when it is given back, and, but for a little, kept out of core files. NULL: there is none. */
void *bs_map(size_t len);
void bs_unmap(void *p, size_t len);

/* ---- io.c: reading and writing through sources and sinks ------------------------------------------------------- */

/* A position in a source: positioned reads where it is seekable, plain ones otherwise. */
struct bs_input {
    const struct blobseal_source *source;
    uint64_t pos;
};

static inline bool bs_seekable(const struct blobseal_source *s)
{
    return s->pread != NULL;
}

static inline const char *bs_source_name(const struct blobseal_source *s)
{
    return s->name != NULL ? s->name : "input";
}

/*
 * Around a call of a callback, which may fail without a word: the caller is to know at least what failed where. Before it
 * @err is made ready; its answer @st is passed on.
 */
void bs_error_clear(struct blobseal_error *err);
enum blobseal_status bs_checked(enum blobseal_status st, const char *verb, const char *name,
                                struct blobseal_error *err);

/* Read up to @len bytes at the position; fewer only at the end. */
BLOBSEAL_MUST_USE enum blobseal_status bs_read(struct bs_input *in, void *buf, size_t len, size_t *nread,
                                               struct blobseal_error *err);

/* Read @len bytes at @off of a seekable source. INPUT where it ends before. Many threads at once. */
BLOBSEAL_MUST_USE enum blobseal_status bs_pread(const struct blobseal_source *source, void *buf, size_t len,
                                                uint64_t off, struct blobseal_error *err);

/*
 * The same without a copy where the source is memory: they are at @at, in @buf or there. Only for what is looked at once: the
 * caller's memory may be shared with somebody who changes it.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_borrow(const struct blobseal_source *source, void *buf, size_t len,
                                                 uint64_t off, const uint8_t **at, struct blobseal_error *err);

/* Write at @off of a seekable sink, or next on a sequential one. */
BLOBSEAL_MUST_USE enum blobseal_status bs_write(const struct blobseal_sink *sink, const void *buf, size_t len,
                                                uint64_t off, struct blobseal_error *err);

/* ---- begin.c: the beginning of a new blob (sections 2, 4 and 5) ------------------------------------------------- */

struct bs_new_blob {
    struct bs_core_header core;
    uint64_t core_offset; /* in the sink */
    enum blobseal_layout layout;
    struct bs_chunked_keys *keys; /* secret memory */
    struct bs_builder jwe;
};

/*
 * Draw a DEK and write all that stands before the payload of a blob of @size bytes (or BLOBSEAL_SIZE_UNKNOWN). ARG, POLICY,
 * NOMEM, or what sink and providers answer. Release with bs_new_blob_clear(), also after a failure.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_new_blob_start(struct bs_new_blob *b, const struct blobseal_sink *sink,
                                                         uint64_t size, struct blobseal_kek *const *keks,
                                                         size_t num_keks, const struct blobseal_seal_options *o,
                                                         struct blobseal_error *err);
void bs_new_blob_clear(struct bs_new_blob *b);

/* Fill @result, which may be NULL, once the payload stands: @stored_bytes were sealed, which hold @plain_bytes. */
BLOBSEAL_MUST_USE enum blobseal_status bs_new_blob_report(const struct bs_new_blob *b, uint64_t plain_bytes,
                                                          uint64_t stored_bytes, struct blobseal_seal_result *result,
                                                          struct blobseal_error *err);

/* ---- front.c: what stands before the payload ------------------------------------------------------------------- */

struct bs_preamble {
    struct bs_core_header core;
    bool core_damaged;  /* nothing of it but the blob id of the frame is known */
    bool frame_damaged; /* its header follows from the place of the core       */
    uint64_t core_offset;
    enum blobseal_layout layout;
    uint32_t notes;         /* BLOBSEAL_NOTE_ */
    struct bs_frame header; /* of the frame; zero where detached                               */
    struct bs_slot slots[2];
    uint8_t *frame; /* its bytes, that slots and candidates point into, or NULL where detached */
    size_t num_candidates;
    struct {
        const char *text;
        size_t len;
        uint64_t generation; /* of the slot; 0 for a named envelope */
    } candidates[2];         /* envelopes to try, in order: two only where generations tie */
};

/*
 * Read frame, slots and core header. With @envelope, which is borrowed, the slots are not looked at. Slots of a source
 * with a lock are read under it, and again where they look like a change under way: that can take 90 ms. FORMAT, DAMAGED,
 * UNSUPPORTED, INPUT, NOMEM. Release with bs_preamble_clear(), also after a failure.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_read(struct bs_preamble *f, struct bs_input *in,
                                                        const char *envelope, size_t envelope_len,
                                                        struct blobseal_error *err);
void bs_preamble_clear(struct bs_preamble *f);

/* Find out which of the slots of f->frame count. No candidate: none is valid. */
void bs_preamble_choose(struct bs_preamble *f);

/* Keep changes in place away while slots are read, for a source with a lock. False: there was no getting it, in 40 ms. */
bool bs_preamble_lock(const struct blobseal_source *source);

/* Parse candidate @i and check what is visible without a key: generation and blob id. Clear @e in any case. */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_envelope(const struct bs_preamble *f, size_t i,
                                                            struct bs_envelope *e, struct blobseal_error *err);

/*
 * Open the candidates in their order: the first that opens counts, and the first error if none does. *@index says which it
 * was, @e and *@u what it holds. Clear @e in any case, release *@u with blobseal_secret_free(). With a @u of NULL parsing is
 * enough, and no key is needed. CONFIG without an envelope.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_unlock(const struct bs_preamble *f, const char *name,
                                                          struct blobseal_kek *const *keks, size_t num_keks,
                                                          size_t *index, struct bs_envelope *e, struct bs_unlocked **u,
                                                          struct blobseal_error *err);

/*
 * A blob opens as well when an old envelope was put back. Who knows of a newer one can tell: POLICY where @generation is below
 * @min. Section 6.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_check_generation(const char *name, uint64_t generation, uint64_t min,
                                                           struct blobseal_error *err);

/* ---- salvage.c ------------------------------------------------------------------------------------------------------- */

/* As bs_preamble_read(), for a repair: a damaged frame header or core header of a blob with two slots is no error. */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_salvage(struct bs_preamble *f, struct bs_input *in,
                                                           struct blobseal_error *err);

/* ---- info.c: blobseal_info ----------------------------------------------------------------------------------- */

/*
 * Describe @f and candidate @i, parsed as @e (NULL: there is none), with a copy of @meta (NULL: none). Sizes are set where
 * @source is seekable.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_info_make(struct blobseal_info **info, const struct bs_preamble *f, size_t i,
                                                    const struct bs_envelope *e,
                                                    const struct blobseal_metadata *metadata,
                                                    const struct blobseal_source *source, struct blobseal_error *err);

/* Length of @s with its zero byte; 0 for NULL. Copy it behind *@at and move on: for structs with their strings behind them. */
size_t bs_text_len(const char *s);
const char *bs_keep_text(char **at, const char *s);

/* ---- change.c: a change of the recipients, up to the new envelope (section 4.7) -------------------------------------- */

struct bs_change {
    struct blobseal_change wanted;
    struct blobseal_kek *keks[2 * BLOBSEAL_MAX_RECIPIENTS]; /* the caller's, then those to add */
    size_t num_keks;
    /* The envelope as it is. */
    struct bs_envelope envelope;
    struct bs_unlocked *u; /* NULL: not opened, because nothing is to be done */
    size_t candidate;      /* of the front                                    */
    const char *text;      /* of the JWE                                      */
    size_t text_len;
    /* And as it shall be. */
    struct bs_jwe_recipient recipients[BLOBSEAL_MAX_RECIPIENTS];
    struct blobseal_kek *wrap[BLOBSEAL_MAX_RECIPIENTS]; /* for whom a key is wrapped; NULL: the wrapped key stays */
    size_t num;
    struct blobseal_change_step steps[3 * BLOBSEAL_MAX_RECIPIENTS];
    size_t num_steps;
    bool changed, fresh, finished;
    uint64_t generation;
    struct bs_builder jwe; /* empty until it is written */
};

/* Check what is wanted. ARG. Clear with bs_change_clear(), also after a failure. */
BLOBSEAL_MUST_USE enum blobseal_status bs_change_start(struct bs_change *c, const struct blobseal_change *wanted,
                                                       struct blobseal_kek *const *keks, size_t num_keks,
                                                       struct blobseal_error *err);

/* Open an envelope of @f, or @text without a blob (@f NULL), and find out what is to be done. */
BLOBSEAL_MUST_USE enum blobseal_status bs_change_plan(struct bs_change *c, const struct bs_preamble *f,
                                                      const char *name, const char *text, size_t len,
                                                      struct blobseal_error *err);

/* Write the envelope of the next generation to c->jwe. */
BLOBSEAL_MUST_USE enum blobseal_status bs_change_write(struct bs_change *c, struct blobseal_error *err);

/* Tell the caller. NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_change_report(struct blobseal_change_result **result,
                                                        const struct bs_change *c, struct blobseal_error *err);
void bs_change_clear(struct bs_change *c);

/* ---- zstd_frame.c: one frame of zstd content (section 3.1) ------------------------------------------------------------ */

#define BS_ZFRAME_PLAIN_LEN ((size_t)1 << 20)
#define BS_ZFRAME_MAX_LEN   ((size_t)1052672) /* what a full frame takes at most */

/* Contexts of libzstd, made when first used and kept. Used by one thread at a time. */
struct bs_zstd {
    struct ZSTD_CCtx_s *c;
    struct ZSTD_DCtx_s *d;
};

void bs_zstd_clear(struct bs_zstd *z);

/* Compress 1 byte to 1 MiB into a frame of at most BS_ZFRAME_MAX_LEN. The level of the first call counts. NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_zframe_compress(struct bs_zstd *z, int level, uint8_t *frame, size_t *len,
                                                          const uint8_t *plain, size_t plain_len,
                                                          struct blobseal_error *err);

/* Decompress frame number @index, which is all of @len bytes at @p and must hold exactly @plain_len. FORMAT, NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_zframe_decompress(struct bs_zstd *z, uint64_t index, uint8_t *plain,
                                                            size_t plain_len, const uint8_t *p, size_t len,
                                                            struct blobseal_error *err);

/* A frame of which only the beginning may be at hand. */
struct bs_zframe {
    size_t need;      /* so many bytes from its start tell more; where `last`, all of it */
    size_t plain_len; /* once known; at most BS_ZFRAME_PLAIN_LEN                        */
    bool last;        /* the last block is known                                       */
};

/* Start, then step with f->need bytes at @p until f->last. NULL, or what is wrong: then nothing more may be asked. */
void bs_zframe_start(struct bs_zframe *f);
BLOBSEAL_MUST_USE const char *bs_zframe_step(struct bs_zframe *f, const uint8_t *p);

/* The errors for content that is authentic, but not what section 3.1 allows. FORMAT. */
enum blobseal_status bs_bad_frame(struct blobseal_error *err, uint64_t index, const char *what);
enum blobseal_status bs_bad_table(struct blobseal_error *err, const char *what);

/* ---- seek_table.c: where frames start (section 3.1) ----------------------------------------------------------------- */

#define BS_MAX_FRAMES      ((uint32_t)1 << 20) /* by default, and when sealing */
#define BS_SEEK_HEADER_LEN ((size_t)8)
#define BS_SEEK_ENTRY_LEN  ((size_t)8)
#define BS_SEEK_FOOTER_LEN ((size_t)9)

/* Offsets in what is sealed and in the original. */
struct bs_seek_point {
    uint64_t stored, plain;
};

/* Zero is an empty table. */
struct bs_seek_table {
    size_t num, cap;
    struct bs_seek_point *points; /* num + 1: the start of each frame, and the end; NULL for num = 0 */
};

/* Add a frame. False: no memory. */
BLOBSEAL_MUST_USE bool bs_seek_add(struct bs_seek_table *t, size_t stored, size_t plain);
void bs_seek_clear(struct bs_seek_table *t);

/* Bytes of all frames. */
uint64_t bs_seek_stored(const struct bs_seek_table *t);
uint64_t bs_seek_plain(const struct bs_seek_table *t);

/* The frame that holds byte @plain of the original, which must not be empty. */
size_t bs_seek_find(const struct bs_seek_table *t, uint64_t plain);

/* POLICY for more than @limit frames. */
BLOBSEAL_MUST_USE enum blobseal_status bs_seek_limit(uint64_t num, uint32_t limit, struct blobseal_error *err);

/* The table as it is sealed, piece by piece: header, entries, footer. */
size_t bs_seek_encoded_len(size_t num);
void bs_seek_put_header(struct bs_builder *w, size_t num);
void bs_seek_put_entry(struct bs_builder *w, const struct bs_seek_table *t, size_t i);
void bs_seek_put_footer(struct bs_builder *w, size_t num);

/* Whether 4 bytes at @p start a table. */
bool bs_seek_magic(const uint8_t *p);

/* Read the footer of content of @stored bytes: *@num entries have room in it. FORMAT. */
BLOBSEAL_MUST_USE enum blobseal_status bs_seek_footer(const uint8_t *p, uint64_t stored, size_t *num,
                                                      struct blobseal_error *err);

/* Read all of the table at @p into the empty @t. FORMAT, NOMEM. Clear @t also after a failure. */
BLOBSEAL_MUST_USE enum blobseal_status bs_seek_decode(struct bs_seek_table *t, size_t num, const uint8_t *p,
                                                      uint64_t stored, struct blobseal_error *err);

/* ---- pipeline.c: threads -------------------------------------------------------------------------------------- */

/* Plaintext that a worker handles between one read and one write where both sides are seekable: stays in its L2. */
#define BS_RUN_CHUNKS     ((size_t)16)
#define BS_RUN_LEN        (BS_RUN_CHUNKS * BS_CHUNK_LEN)
#define BS_SEALED_RUN_LEN (BS_RUN_CHUNKS * BS_SEALED_CHUNK_LEN)

/* One worker's memory. */
struct bs_worker {
    struct bs_chunked chunked;
    struct bs_zstd zstd;
    uint8_t *in, *out;      /* a segment each where that side is sequential, otherwise a run */
    size_t in_cap, out_cap; /* of the mappings                                               */
    size_t in_len, out_len; /* of the segment at hand, where that side is sequential         */
    size_t plain_len;       /* plaintext of the segment at hand, set by work()               */
};

/* What a side needs for a whole segment, or for a run. */
size_t bs_worker_room(bool whole);

/*
 * With so much room on each side. Without @keys (NULL): without a cipher. NOMEM, or what bs_chunked_init() answers. Clear it
 * in any case.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_worker_init(struct bs_worker *worker, const struct bs_chunked_keys *keys,
                                                      size_t in_cap, size_t out_cap, struct blobseal_error *err);
void bs_worker_clear(struct bs_worker *worker);

/*
 * Segments 0, 1, 2 ... go through three steps. take() and put() run for one segment at a time, in order, and only
 * where that side is sequential; work() runs on many threads. A failed step ends the run: what was begun on earlier
 * segments is finished, and the error of the lowest segment is the one reported.
 */
struct bs_pipeline {
    void *ctx;
    const struct bs_chunked_keys *keys; /* NULL: lanes without a cipher */
    unsigned threads;                   /* 0: one a CPU */
    uint64_t num_segments;              /* known where take is NULL; not 0 then */
    size_t only_len;                    /* plaintext, where there is one segment and its length is known; else 0 */
    bool whole_in, whole_out;           /* the lane has room for a segment even where that side is seekable  */
    enum blobseal_status (*take)(void *ctx, struct bs_worker *worker, uint64_t index, bool *last,
                                 struct blobseal_error *err);
    enum blobseal_status (*work)(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                 struct blobseal_error *err);
    enum blobseal_status (*put)(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err);
    bool put_is_quick;                    /* it waits for nobody: no worker more because of it */
    const struct blobseal_source *source; /* to cancel a blocked take() */
    blobseal_progress_fn progress;
    void *progress_ctx;
};

/* Run; *@plain_bytes receives the sum of lane->plain_len. Joins its threads in any case. */
BLOBSEAL_MUST_USE enum blobseal_status bs_pipeline_run(const struct bs_pipeline *p, uint64_t *plain_bytes,
                                                       struct blobseal_error *err);

/* ---- push.c: a payload sealed in order, as it comes (section 3) --------------------------------------------------- */

struct bs_payload {
    struct bs_xxh3_state sum; /* of the segment at hand */
    struct bs_chunked chunked;
    struct bs_core_header core;
    const struct blobseal_sink *sink;
    uint64_t offset; /* in the sink, of what comes next */
    uint64_t chunk;  /* number of the next one          */
    uint64_t total;  /* bytes sealed                    */
    size_t len;      /* bytes that wait for a full run  */
    struct bs_payload_buffers *buffers;
};

/* The payload behind what bs_new_blob_start() has written. Release with bs_payload_clear(), also after a failure. */
BLOBSEAL_MUST_USE enum blobseal_status bs_payload_start(struct bs_payload *p, const struct bs_new_blob *blob,
                                                        const struct blobseal_sink *sink, struct blobseal_error *err);
void bs_payload_clear(struct bs_payload *p);

/* Seal @len bytes more, and then the end. After an error the payload cannot be completed. */
BLOBSEAL_MUST_USE enum blobseal_status bs_payload_add(struct bs_payload *p, const void *buf, size_t len,
                                                      struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_payload_end(struct bs_payload *p, struct blobseal_error *err);

/* ---- zstd_push.c: zstd content that is made in order (section 3.1) ------------------------------------------------------ */

/* Push a frame and remember it in @t; push the table behind the last one. POLICY for too many frames, NOMEM, or the sink's. */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_put_frame(struct bs_payload *push, struct bs_seek_table *t,
                                                         const uint8_t *frame, size_t len, size_t plain_len,
                                                         struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_put_table(struct bs_payload *push, const struct bs_seek_table *t,
                                                         struct blobseal_error *err);

/* The same from bytes in any pieces, on one thread. bs_zstd_writer_new() answers NULL where there is no memory. */
struct bs_zstd_writer *bs_zstd_writer_new(int level);
void bs_zstd_writer_free(struct bs_zstd_writer *k);
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_writer_add(struct bs_zstd_writer *k, struct bs_payload *push,
                                                          const void *buf, size_t len, struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_writer_end(struct bs_zstd_writer *k, struct bs_payload *push,
                                                          struct blobseal_error *err);

/* ---- zstd_seal.c: zstd content by all CPUs (section 3.1) ------------------------------------------------------------ */

/* Compress and seal all of @source behind what bs_new_blob_start() has written. */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_seal(const struct bs_new_blob *blob, const struct blobseal_sink *sink,
                                                    const struct blobseal_source *source,
                                                    const struct blobseal_seal_options *o, uint64_t *plain_bytes,
                                                    uint64_t *stored_bytes, struct blobseal_error *err);

/* ---- reader.c opens and reads at offsets, stream.c reads all of a blob, pull.c piece by piece, range.c a part ----- */

/* Memory of one call that reads at an offset: a run of chunks, sealed and opened. */
struct bs_scratch {
    struct bs_scratch *next;
    struct bs_unpacked *unpacked; /* of zstd_open.c, or NULL */
    struct bs_chunked chunked;
    uint8_t sealed[BS_SEALED_RUN_LEN];
    uint8_t plain[BS_RUN_LEN];
};

struct blobseal_reader {
    struct blobseal_source source;
    struct bs_input input; /* behind the core header, for a sequential source */
    bool consumed;         /* a sequential source was streamed, or is pulled   */
    struct bs_pull *pull;  /* of pull.c: NULL before the first read            */
    struct bs_core_header core;
    uint64_t core_offset;
    uint64_t stored_bytes; /* what is sealed                                               */
    uint64_t plain_bytes;  /* what the caller sees: the original, where `unpack`, or the same */
    bool decompress;       /* zstd content, and it is to be decompressed                    */
    uint32_t max_frames;
    struct bs_seek_table table; /* where `unpack` and the source is seekable; constant once opened */
    struct blobseal_info *info;
    struct bs_chunked_keys *keys; /* secret memory; constant once opened */
    unsigned threads;
    blobseal_progress_fn progress;
    void *progress_ctx;
    pthread_mutex_t lock;    /* of the pool */
    struct bs_scratch *pool; /* what no call uses at the moment */
};

/*
 * Read segment @index of a sequential source, where the input stands, and open it on the caller's thread: its plaintext, in
 * lane->out, is verified by every tag and by the sum. The lane has room for a segment on both sides.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_stream_segment(struct blobseal_reader *r, struct bs_worker *worker,
                                                         uint64_t index, bool *last, struct blobseal_error *err);

/* Release what blobseal_reader_read() keeps. NULL is allowed. */
void bs_pull_free(struct bs_pull *pull);

/* Read @len bytes of plaintext at @off, which the blob has. Many threads at once. AUTH, INPUT, NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_reader_read(struct blobseal_reader *r, uint8_t *dst, size_t len, uint64_t off,
                                                      struct blobseal_error *err);

/* A scratch for one call, if possible the one that holds zstd frame @frame. NULL after a failure: that of bs_chunked_init(). */
BLOBSEAL_MUST_USE enum blobseal_status bs_scratch_take(struct bs_scratch **scratch, struct blobseal_reader *r,
                                                       uint64_t frame, struct blobseal_error *err);
void bs_scratch_give(struct blobseal_reader *r, struct bs_scratch *s);

/* Read what is sealed in [@off, @off + @len), which must lie within the blob. INPUT, AUTH. */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_range(struct blobseal_reader *r, struct bs_scratch *s, uint8_t *dst,
                                                       size_t len, uint64_t off, struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_pread(struct blobseal_reader *r, uint8_t *dst, size_t len,
                                                       uint64_t off, struct blobseal_error *err);

/* Open the last chunk: with it the length is authentic. */
BLOBSEAL_MUST_USE enum blobseal_status bs_last_chunk_check(struct blobseal_reader *r, struct bs_scratch *s,
                                                           struct blobseal_error *err);

/* Open all that is sealed into @sink (NULL: only check); progress counts it. */
BLOBSEAL_MUST_USE enum blobseal_status bs_stored_stream(struct blobseal_reader *r, const struct blobseal_sink *sink,
                                                        blobseal_progress_fn progress, void *progress_ctx,
                                                        uint64_t *stored_bytes, struct blobseal_error *err);

/* Check the sum of one segment of a seekable source, where there are sums. @buf has room for it. DAMAGED, INPUT. */
BLOBSEAL_MUST_USE enum blobseal_status bs_segment_check(const struct blobseal_reader *r, uint64_t index, uint8_t *buf,
                                                        struct blobseal_error *err);

/* ---- zstd_open.c: zstd content of a seekable source (section 3.1) ------------------------------------------------------- */

/* Read the seek table. FORMAT, POLICY, AUTH, INPUT, NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_open(struct blobseal_reader *r, uint32_t max_frames,
                                                    struct blobseal_error *err);

/* Read the original at [@off, @off + @len), which is not empty and lies within it; open all of it. */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_pread(struct blobseal_reader *r, uint8_t *dst, size_t len, uint64_t off,
                                                     struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_stream(struct blobseal_reader *r, const struct blobseal_sink *sink,
                                                      uint64_t *plain_bytes, struct blobseal_error *err);

/* What a scratch keeps: the number of its frame, or UINT64_MAX. NULL is allowed. */
uint64_t bs_unpacked_frame(const struct bs_unpacked *u);
void bs_unpacked_free(struct bs_unpacked *u);

/* ---- zstd_decoder.c: zstd content from a pipe (section 3.1) -------------------------------------------------------------- */

/* NULL where there is no memory. */
struct bs_decoder *bs_decoder_new(uint32_t max_frames);
void bs_decoder_free(struct bs_decoder *d);

/*
 * Take up to @len bytes more of what is sealed, until a frame is complete: *@used were taken, and *@out, which is empty
 * without a frame, is what was in it, until the next call. FORMAT, POLICY, NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_decoder_feed(struct bs_decoder *d, const uint8_t *p, size_t len, size_t *used,
                                                       struct bs_slice *out, struct blobseal_error *err);

/* Behind the last byte: whether that was all. FORMAT. */
BLOBSEAL_MUST_USE enum blobseal_status bs_decoder_end(const struct bs_decoder *d, struct blobseal_error *err);

/* ---- scrub_front.c, scrub.c: decay, found without a key ---------------------------------------------------------- */

/* Frame and core header at their longest. */
#define BS_MAX_PREAMBLE_LEN (BS_AB_SLOT_OFFSET + 2 * BS_MAX_SLOT_CAPACITY + BS_CORE_HEADER_LEN)

struct bs_scrub {
    const struct blobseal_source *source;
    struct blobseal_scrub_options options;
    struct blobseal_scrub_result result;
    struct bs_input input;             /* of a sequential source: behind `head`                                     */
    uint8_t head[BS_MAX_PREAMBLE_LEN]; /* the first bytes of the blob: all of its front, and often some payload     */
    size_t head_len, head_used;
    uint64_t unreadable;         /* bit i: 4 KiB of `head` from i * 4 KiB could not be read, and are zero             */
    struct bs_preamble preamble; /* its `frame` is `head`: do not clear it                                            */
    bool unrepairable;           /* something else than the front is damaged                                          */
    bool lost;                   /* the payload cannot be found                                                       */
    bool unsure;                 /* the core header is lost: whether and how the payload is summed has to be tried    */
};

/* Count damage and tell the caller. One at a time. */
void bs_scrub_report(struct bs_scrub *s, enum blobseal_damage_kind kind, uint64_t segment, uint64_t off, uint64_t len,
                     const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Read and examine all that stands before the payload. FORMAT (not a blob), UNSUPPORTED, INPUT, NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_scrub_preamble(struct bs_scrub *s, struct blobseal_error *err);

/* ---- diagnose.c ------------------------------------------------------------------------------------------------------ */

/* What the self-tests are made of: tests put broken parts in. */
struct bs_diagnosed {
    const struct bs_gcm_impl *gcm;
    uint64_t (*xxh3)(uint64_t seed, const void *p, size_t len);
    bool (*random)(void *p, size_t len, bool secret);
};

void bs_diagnose(const struct bs_diagnosed *what, blobseal_finding_fn fn, void *ctx);

#endif
