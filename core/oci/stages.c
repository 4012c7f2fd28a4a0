/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pieces of a layer pass through stages, such as reading, encrypting, hashing and writing. Each stage handles the
 * pieces in order, one at a time; different stages run at once on different threads.
 *
 * The pipeline of core/io does not fit here, because it has two steps that run in order, and a layer has hashes of its
 * plaintext and of its ciphertext besides, which must. No thread belongs to a stage: whoever is free takes the next
 * piece of the stage that is furthest behind, so the threads share the work evenly.
 *
 * Pieces are stored in a ring of buffers, which is all the memory that a layer takes.
 */
#include "core/oci/oci.h"

/* The number of pieces in the ring if there are several threads. With more of them, fast stages would run further
 * ahead, and pieces would leave the cache meanwhile. One thread takes each piece through all stages, so it needs only
 * one. */
#define NUM_PIECES 8u

#define MAX_THREADS (BS_OCI_MAX_STAGES + 2)

struct run {
    const struct bs_oci_stages *s;
    unsigned num_pieces;
    struct bs_oci_piece pieces[NUM_PIECES];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* All members below are protected by the lock. */
    uint64_t done[BS_OCI_MAX_STAGES]; /* the number of the next piece of each stage           */
    bool busy[BS_OCI_MAX_STAGES];
    unsigned waiting; /* threads                                              */
    uint64_t end;     /* the number after that of the last piece, if known    */
    uint64_t failed;  /* the lowest piece with an error, or UINT64_MAX        */
    bool canceled;    /* source->cancel() has been called                     */
    struct blobseal_error error;
};

/* ---- Choosing what to do next. Called with the lock held --------------------------------------------------------- */

/* Return the number of the first piece that some stage is not done with. */
static uint64_t all_done(const struct run *r)
{
    uint64_t least = r->done[0];

    for (unsigned i = 1; i < r->s->num; i++)
        least = r->done[i] < least ? r->done[i] : least;
    return least;
}

/* Return true if stage @i can handle its next piece now. */
static bool is_ready(const struct run *r, unsigned i)
{
    uint64_t next = r->done[i];

    if (r->busy[i] || next >= r->end || next >= r->failed)
        return false;
    if (i == 0)
        return next < all_done(r) + r->num_pieces;
    for (unsigned k = 0; k < i; k++)
        if ((r->s->stages[i].after >> k & 1) != 0 && r->done[k] <= next)
            return false;
    return true;
}

/* Return the stage to work on: of those that are ready the one that is furthest behind, or num if none is. */
static unsigned choose(const struct run *r)
{
    unsigned best = r->s->num;

    for (unsigned i = r->s->num; i-- > 0;)
        if (is_ready(r, i) && (best == r->s->num || r->done[i] < r->done[best]))
            best = i;
    return best;
}

/* Return true if there is nothing left to do, now or later. */
static bool is_over(const struct run *r)
{
    for (unsigned i = 0; i < r->s->num; i++)
        if (r->busy[i] || (r->done[i] < r->end && r->done[i] < r->failed))
            return false;
    return true;
}

/* ---- Working ----------------------------------------------------------------------------------------------------- */

/* Record an error of piece @index, and cancel a read that blocks. Called with the lock held. */
static void note_failure(struct run *r, uint64_t index, enum blobseal_status st, const struct blobseal_error *e)
{
    if (index < r->failed) {
        r->failed = index;
        r->error = *e;
        r->error.status = st; /* the callback may not have set it */
    }
    if (r->busy[0] && !r->canceled && r->s->source->cancel != NULL) {
        r->canceled = true;
        r->s->source->cancel(r->s->source->ctx);
    }
}

/* Report that all stages are done with a piece. Called with the lock held. */
static void report_progress(struct run *r, uint64_t index, uint64_t bytes)
{
    struct blobseal_error e = {0};

    if (r->s->progress != NULL && !r->s->progress(r->s->progress_ctx, bytes))
        note_failure(r, index, blobseal_fail(&e, BLOBSEAL_E_CANCELED, 0, "canceled"), &e);
}

/* Take the next piece through stage @i. The lock is held on entry and on return, but not in between. */
static void work(struct run *r, unsigned i)
{
    uint64_t index = r->done[i];
    struct bs_oci_piece *piece = &r->pieces[index % r->num_pieces];
    struct blobseal_error e = {0};
    enum blobseal_status st;

    r->busy[i] = true;
    if (i == 0)
        piece->index = index;
    pthread_mutex_unlock(&r->lock);
    st = r->s->stages[i].run(r->s->ctx, piece, &e);
    pthread_mutex_lock(&r->lock);
    r->busy[i] = false;
    if (st != BLOBSEAL_OK) {
        note_failure(r, index, st, &e);
    } else {
        if (i == 0 && piece->len < piece->cap)
            r->end = index + 1;
        r->done[i]++;
        if (all_done(r) > index)
            report_progress(r, index, piece->offset + piece->len);
    }
    if (r->waiting > 0)
        pthread_cond_broadcast(&r->changed);
}

/* Work until there is nothing left to do. */
static void *run_thread(void *arg)
{
    struct run *r = arg;
    unsigned i;

    pthread_mutex_lock(&r->lock);
    while (!is_over(r)) {
        i = choose(r);
        if (i < r->s->num) {
            work(r, i);
        } else {
            r->waiting++;
            pthread_cond_wait(&r->changed, &r->lock);
            r->waiting--;
        }
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- A run ------------------------------------------------------------------------------------------------------- */

static unsigned count_threads(const struct bs_oci_stages *s)
{
    unsigned n = s->threads < s->num ? s->threads : s->num;

    for (unsigned i = 0; i < s->num && n > 1; i++)
        n += s->stages[i].may_block ? 1U : 0U;
    return n;
}

static void start(struct run *r, uint8_t *ring)
{
    const struct bs_oci_stages *s = r->s;

    for (unsigned i = 0; i < r->num_pieces; i++, ring += 2 * s->piece_len)
        r->pieces[i] = (struct bs_oci_piece){.in = ring, .out = ring + s->piece_len, .cap = s->piece_len};
    for (unsigned i = 0; i < s->num; i++)
        r->done[i] = s->first;
    r->end = s->max < UINT64_MAX - s->first ? s->first + s->max : UINT64_MAX;
}

enum blobseal_status bs_oci_stages_run(const struct bs_oci_stages *s, struct blobseal_error *err)
{
    const unsigned num_threads = count_threads(s);
    struct run r = {.s = s,
                    .num_pieces = num_threads > 1 ? NUM_PIECES : 1,
                    .lock = PTHREAD_MUTEX_INITIALIZER,
                    .changed = PTHREAD_COND_INITIALIZER,
                    .failed = UINT64_MAX};
    pthread_t threads[MAX_THREADS];
    unsigned started;
    const size_t ring_len = 2 * s->piece_len * r.num_pieces;
    uint8_t *ring = bs_map(ring_len);

    if (ring == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "make the buffers for a layer: no memory");
    start(&r, ring);
    started = bs_threads_start(threads, num_threads - 1, run_thread, &r);
    (void)run_thread(&r);
    for (unsigned i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    pthread_cond_destroy(&r.changed);
    pthread_mutex_destroy(&r.lock);
    bs_unmap(ring, ring_len);
    if (r.failed == UINT64_MAX)
        return BLOBSEAL_OK;
    if (err != NULL)
        *err = r.error;
    return r.error.status;
}
