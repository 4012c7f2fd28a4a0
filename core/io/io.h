/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io: reading and writing through sources and sinks, and the pipeline of workers. This module knows no cipher and no
 * format: its callers say how much memory a worker needs, and what else it carries.
 */
#ifndef BLOBSEAL_IO_H
#define BLOBSEAL_IO_H

#include "core/base/base.h"

/* ---- io.c: loops over any source and sink ------------------------------------------------------------------------ */

/* A position in a source. Reads are positioned where the source is seekable, plain otherwise. */
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

/* Read up to @len bytes at the position and move it. Fewer only at the end. */
BLOBSEAL_MUST_USE enum blobseal_status bs_read(struct bs_input *in, void *buf, size_t len, size_t *nread,
                                               struct blobseal_error *err);

/* Read exactly @len bytes at @off of a seekable source. Many threads may call it at once. Errors: E_INPUT if it is
 * shorter. */
BLOBSEAL_MUST_USE enum blobseal_status bs_pread(const struct blobseal_source *source, void *buf, size_t len,
                                                uint64_t off, struct blobseal_error *err);

/* Write at @off of a seekable sink, or append to a sequential one. */
BLOBSEAL_MUST_USE enum blobseal_status bs_write(const struct blobseal_sink *sink, const void *buf, size_t len,
                                                uint64_t off, struct blobseal_error *err);

/* ---- memory.c ---------------------------------------------------------------------------------------------------- */

/*
 * Read as bs_pread() does, but do not copy if the source is memory: *@at then points into it, otherwise to @buf. Only
 * for bytes that are looked at once, because another thread of the caller may change the memory at any time.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_borrow(const struct blobseal_source *source, void *buf, size_t len,
                                                 uint64_t off, const uint8_t **at, struct blobseal_error *err);

/* ---- pipeline.c: the only file of the library that starts threads ------------------------------------------------ */

/* What one worker carries: two buffers, and whatever else its caller needs. Used by one thread at a time. */
struct bs_worker {
    uint8_t *in, *out;        /* NULL where the size is 0                                                     */
    size_t in_size, out_size; /* in bytes                                                                     */
    size_t in_len, out_len;   /* for the callbacks: bytes of the segment at hand, where that side is sequential */
    size_t done;              /* set by work(): bytes of the segment at hand that count as progress           */
    void *state;              /* made by start_worker(), otherwise NULL                                       */
};

/* Allocate the buffers. Errors: E_NOMEM. Release with bs_worker_clear(), also after a failure. */
BLOBSEAL_MUST_USE enum blobseal_status bs_worker_init(struct bs_worker *worker, size_t in_size, size_t out_size,
                                                      struct blobseal_error *err);
void bs_worker_clear(struct bs_worker *worker);

/*
 * Segments 0, 1, 2 ... go through three steps. take() and put() run for one segment at a time, in order, and only where
 * that side is sequential; work() runs on many threads. A step that fails ends the run: what was begun on earlier
 * segments is finished, and the error of the lowest segment is reported.
 */
struct bs_pipeline {
    void *ctx;
    unsigned threads;         /* 0: one for each CPU                                  */
    uint64_t num_segments;    /* at least 1; ignored if take() says which is the last */
    size_t in_size, out_size; /* buffers of a worker, in bytes                        */

    /* Make and release worker->state on the worker's own thread. NULL: no state. end_worker() is not called after a
     * failure. */
    enum blobseal_status (*start_worker)(void *ctx, void **state, struct blobseal_error *err);
    void (*end_worker)(void *state);

    /* Read segment @index, and say whether it is the last. NULL: work() reads where it wants. */
    enum blobseal_status (*take)(void *ctx, struct bs_worker *worker, uint64_t index, bool *last,
                                 struct blobseal_error *err);
    enum blobseal_status (*work)(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                 struct blobseal_error *err);
    /* Write segment @index. NULL: work() writes where it wants. */
    enum blobseal_status (*put)(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err);
    bool put_never_blocks; /* so no additional worker is started to compute while put() waits */

    const struct blobseal_source *source; /* to cancel a take() that blocks */
    blobseal_progress_fn progress;
    void *progress_ctx;
};

/* Run it. *@done receives the sum of worker->done. All threads have ended when this returns. */
BLOBSEAL_MUST_USE enum blobseal_status bs_pipeline_run(const struct bs_pipeline *p, uint64_t *done,
                                                       struct blobseal_error *err);

#endif
