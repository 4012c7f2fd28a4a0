/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io: reading and writing through sources and sinks, and the pipeline of workers. This module knows no cipher and no
 * format: its callers specify the size of a worker's buffers and any other state that a worker needs.
 */
#ifndef BLOBSEAL_IO_H
#define BLOBSEAL_IO_H

#include "core/base/base.h"

/* ---- io.c: loops over any source and sink ------------------------------------------------------------------------ */

/* A position in a source. A seekable source is read with pread(), any other with read(). */
struct bs_input {
    const struct blobseal_source *source;
    uint64_t pos;
};

/* Return true if the source can be read at any offset. */
static inline bool bs_seekable(const struct blobseal_source *s)
{
    return s->pread != NULL;
}

/* Return the name of the source for messages. */
static inline const char *bs_source_name(const struct blobseal_source *s)
{
    return s->name != NULL ? s->name : "input";
}

/* Read up to @len bytes at the current position and advance it. *@nread is less than @len only at the end of the
 * source. Errors: those of the source. */
BLOBSEAL_MUST_USE enum blobseal_status bs_read(struct bs_input *in, void *buf, size_t len, size_t *nread,
                                               struct blobseal_error *err);

/* Read exactly @len bytes at offset @off of a seekable source. Threads may call it concurrently. Errors: E_INPUT if the
 * source ends before that, those of the source. */
BLOBSEAL_MUST_USE enum blobseal_status bs_pread(const struct blobseal_source *source, void *buf, size_t len,
                                                uint64_t off, struct blobseal_error *err);

/* Write @len bytes at offset @off of a seekable sink, or append them to a sequential one. Errors: those of the sink. */
BLOBSEAL_MUST_USE enum blobseal_status bs_write(const struct blobseal_sink *sink, const void *buf, size_t len,
                                                uint64_t off, struct blobseal_error *err);

/* ---- memory.c ---------------------------------------------------------------------------------------------------- */

/*
 * Read like bs_pread(), but without copying if the source is memory. *@at receives a pointer to the bytes, either in
 * the source or in @buf. Use it only for bytes that are read once, because another thread of the caller may change the
 * memory at any time.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_borrow(const struct blobseal_source *source, void *buf, size_t len,
                                                 uint64_t off, const uint8_t **at, struct blobseal_error *err);

/* ---- pipeline.c: the only file of the library that starts threads ------------------------------------------------ */

/* The memory of one worker: two buffers, and any state that the caller needs. Used by one thread at a time. */
struct bs_worker {
    uint8_t *in, *out;        /* NULL if the size is 0                                                 */
    size_t in_size, out_size; /* in bytes                                                              */
    size_t in_len, out_len;   /* for the callbacks: bytes of the current segment, on a sequential side */
    size_t done;              /* set by work(): bytes of the current segment that count as progress    */
    void *state;              /* created by start_worker(), otherwise NULL                             */
};

/* Allocate the buffers, each of which may have size 0. Call bs_worker_clear() also after a failure. Errors: E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_worker_init(struct bs_worker *worker, size_t in_size, size_t out_size,
                                                      struct blobseal_error *err);
void bs_worker_clear(struct bs_worker *worker);

/*
 * The description of a run. Segments 0, 1, 2 ... pass through three steps. take() reads and put() writes one segment at
 * a time, in order; each is used only if its side is sequential. work() runs on several threads. A failed step ends the
 * run: segments already in progress before the failed one are finished, and the error of the lowest segment is
 * reported.
 */
struct bs_pipeline {
    void *ctx;
    unsigned threads;         /* 0: one per available CPU                                   */
    uint64_t num_segments;    /* at least 1; ignored if there is a take(), which sets @last */
    size_t in_size, out_size; /* sizes of a worker's buffers, in bytes                      */

    /*
     * Create worker->state from @state_ctx and release it, on the worker's own thread. NULL: there is no state.
     * end_worker() is not called if start_worker() failed.
     */
    const void *state_ctx;
    enum blobseal_status (*start_worker)(const void *state_ctx, void **state, struct blobseal_error *err);
    void (*end_worker)(void *state);

    /* Read segment @index into worker->in, and set *@last if it is the last one. NULL: work() reads at any offset. */
    enum blobseal_status (*take)(void *ctx, struct bs_worker *worker, uint64_t index, bool *last,
                                 struct blobseal_error *err);
    /* Process segment @index. */
    enum blobseal_status (*work)(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                 struct blobseal_error *err);
    /* Write segment @index from worker->out. NULL: work() writes at any offset. */
    enum blobseal_status (*put)(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err);
    bool put_never_blocks; /* so no additional worker is started to compute while put() waits */

    const struct blobseal_source *source; /* to cancel a take() that blocks; may be NULL without take() */
    blobseal_progress_fn progress;
    void *progress_ctx;
};

/*
 * Run the pipeline. *@done receives the sum of worker->done over all finished segments. All threads have ended when
 * this returns. Errors: E_NOMEM; E_CANCELED if @progress returned false; those of the callbacks.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_pipeline_run(const struct bs_pipeline *p, uint64_t *done,
                                                       struct blobseal_error *err);

#endif
