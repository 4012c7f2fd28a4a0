/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io: reading and writing through sources and sinks, and the pipeline of workers. This module knows no cipher and no
 * format: its callers specify the size of a worker's buffers and any other state that a worker needs.
 */
#ifndef BLOBSEAL_IO_H
#define BLOBSEAL_IO_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "core/base/base.h"

/* ---- io.c: loops over any source and sink ------------------------------------------------------------------------ */

/*
 * Check a struct of the caller: it has the callbacks that it needs, and its reserved members are zero. @doing is what
 * the caller asked for, such as "open". Errors: E_ARG.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_check_source(const struct blobseal_source *source, const char *doing,
                                                       struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_check_sink(const struct blobseal_sink *sink, const char *doing,
                                                     struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_check_target(const struct blobseal_target *target, const char *doing,
                                                       struct blobseal_error *err);

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

/* Call the callbacks of a target. Errors: those of the target. */
BLOBSEAL_MUST_USE enum blobseal_status bs_target_write(const struct blobseal_target *target, const void *buf,
                                                       size_t len, uint64_t off, struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_target_sync(const struct blobseal_target *target, uint64_t off, uint64_t len,
                                                      struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_target_lock(const struct blobseal_target *target, struct blobseal_error *err);

/* ---- fd.c -------------------------------------------------------------------------------------------------------- */

/* What struct blobseal_fd holds. */
struct bs_fd {
    int fd;
    int canceled;
    const char *name;
    uint64_t start; /* offset in the file at which the source or sink begins     */
    uint64_t len;   /* of the source; BLOBSEAL_SIZE_UNKNOWN: up to the end of the file */
    sem_t turns;    /* of writers */
} __attribute__((may_alias));

_Static_assert(sizeof(struct bs_fd) <= sizeof(struct blobseal_fd), "struct blobseal_fd has room for its state");
_Static_assert(_Alignof(struct bs_fd) <= _Alignof(struct blobseal_fd), "struct blobseal_fd is aligned for its state");

/* ---- memory.c ---------------------------------------------------------------------------------------------------- */

/* Return true if the source is memory, which nobody changes while it is read. */
bool bs_is_memory(const struct blobseal_source *source);

/*
 * Read like bs_pread(), but without copying if the source is memory. *@at receives a pointer to the bytes, either in
 * the source or in @buf. Use it only for bytes that are read once, because another thread of the caller may change the
 * memory at any time.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_borrow(const struct blobseal_source *source, void *buf, size_t len,
                                                 uint64_t off, const uint8_t **at, struct blobseal_error *err);

/* ---- pipeline.c: the only file of the library that starts threads ------------------------------------------------ */

/* Return the number of CPUs that this process may use. */
unsigned bs_count_cpus(void);

/* Start up to @n threads with all signals blocked, because signals are for the host program. Return the number of
 * threads started; fewer than @n is not an error. The caller joins them. */
unsigned bs_threads_start(pthread_t *threads, unsigned n, void *(*fn)(void *), void *arg);

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

/* ---- context.c: what calls share --------------------------------------------------------------------------------- */

struct blobseal_context {
    _Atomic unsigned references;
    _Atomic uint64_t process; /* that made it                        */
    unsigned threads;         /* if the options of a call do not say */
    uint64_t max_scratch;
    _Atomic uint64_t seals, opens, failures;

    _Atomic uint64_t scratch_bytes, users;
    _Atomic(struct bs_scratch *) scratch;
};

/*
 * Return a reference to @theirs, or to the default context if @theirs is NULL; release it with bs_context_unref(),
 * which ignores NULL. Errors: E_ARG if the context belongs to the parent process.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_context_ref(struct blobseal_context **own, struct blobseal_context *theirs,
                                                      struct blobseal_error *err);
void bs_context_unref(struct blobseal_context *c);

/* Return @wanted, or the number of threads that the context says if @wanted is 0. */
unsigned bs_context_threads(const struct blobseal_context *c, unsigned wanted);

enum bs_counted { BS_COUNTED_SEAL, BS_COUNTED_OPEN, BS_COUNTED_OTHER };

/* Count an operation that ended with @st, and return @st. Of others only failures are counted. */
enum blobseal_status bs_context_count(struct blobseal_context *c, enum bs_counted what, enum blobseal_status st);

/* ---- scratch.c: workers for calls that do all their work on the caller's thread ---------------------------------- */

#define BS_NO_TAG        UINT64_MAX
#define BS_SCRATCH_HINTS 4u /* a power of two */

/* How to handle the workers of a context. All users of a context pass the same one. */
struct bs_scratch_kind {
    size_t in_size, out_size;                 /* of the buffers of a worker                            */
    size_t (*state_bytes)(const void *state); /* memory that a state takes                             */
    void (*wipe)(struct bs_worker *worker);   /* wipe what a user left in the buffers and in the state */
    void (*end)(void *state);                 /* wipe and release a state                              */
};

struct bs_scratch {
    struct bs_worker worker; /* `state` is created by the first user */
    const struct bs_scratch_kind *kind;
    struct bs_scratch *next;
    size_t bytes; /* that count as scratch_bytes of the context */
    atomic_bool busy, filled, recent;
    _Atomic uint64_t owner; /* the user whose keys and data are in it, or 0         */
    _Atomic uint64_t tag;   /* what its cache contains, as its owner numbers it     */
};

/* An object that uses the workers of a context, and holds a reference to it. */
struct bs_scratch_user {
    struct blobseal_context *context;
    const struct bs_scratch_kind *kind;
    uint64_t id;
    _Atomic(struct bs_scratch *) hints[BS_SCRATCH_HINTS]; /* what threads used last */
};

void bs_scratch_user_init(struct bs_scratch_user *user, struct blobseal_context *c, const struct bs_scratch_kind *kind);

/* Wipe what @user left. No call of this user may be in progress. */
void bs_scratch_user_clear(struct bs_scratch_user *user);

/*
 * Take a worker for one call, preferably the one whose cache contains @tag (BS_NO_TAG: any). *@kept is set if nobody
 * else has used it since @user did, so that its state is still that of @user. Many threads may call this at once. Put
 * it back with bs_scratch_return(), or with bs_scratch_discard() if its state could not be set up. Return NULL if there
 * is no memory.
 */
struct bs_scratch *bs_scratch_take(struct bs_scratch_user *user, uint64_t tag, bool *kept);
void bs_scratch_return(struct bs_scratch_user *user, struct bs_scratch *scratch, uint64_t tag);
void bs_scratch_discard(struct bs_scratch_user *user, struct bs_scratch *scratch);

/* Return all buffers that are not in use to the system. */
void bs_scratch_trim(struct blobseal_context *c);

/* Forget all workers of a context that no thread of this process uses. */
void bs_scratch_abandon(struct blobseal_context *c);

#endif
