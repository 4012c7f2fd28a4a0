/* SPDX-License-Identifier: Apache-2.0 */
/* The digests of a blob that is read, and of its plaintext, if the caller has requested them. */
#include <pthread.h>
#include <stdlib.h>

#include "core/open/open.h"

struct bs_reader_digests {
    struct bs_digests preamble; /* of the frame and the core header; every run continues with a copy */
    pthread_mutex_t lock;       /* protects `last`                                                    */
    struct blobseal_digests last;
};

static const struct blobseal_digests none = {.size = sizeof none};

enum blobseal_status bs_reader_digests_new(struct bs_reader_digests **out, uint32_t wanted, const struct bs_preamble *f,
                                           struct blobseal_error *err)
{
    struct bs_reader_digests *d;

    *out = NULL;
    if (wanted == 0)
        return BLOBSEAL_OK;
    d = calloc(1, sizeof *d);
    if (d == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "compute a digest: no memory");
    (void)pthread_mutex_init(&d->lock, NULL);
    d->last = none;
    d->preamble = bs_digests_start(wanted, f->frame != NULL);
    if (f->frame != NULL)
        bs_digests_add_frame(&d->preamble, f->frame, f->header.frame_len);
    bs_digests_add_core(&d->preamble, f->core.raw, sizeof f->core.raw);
    *out = d;
    return BLOBSEAL_OK;
}

void bs_reader_digests_free(struct bs_reader_digests *d)
{
    if (d == NULL)
        return;
    bs_digests_clear(&d->preamble);
    (void)pthread_mutex_destroy(&d->lock);
    blobseal_wipe(&d->last, sizeof d->last);
    free(d);
}

static void publish(struct bs_reader_digests *d, const struct blobseal_digests *digests)
{
    pthread_mutex_lock(&d->lock);
    d->last = *digests;
    pthread_mutex_unlock(&d->lock);
}

struct bs_digests bs_reader_digests_begin(struct bs_reader_digests *d)
{
    if (d == NULL)
        return (struct bs_digests){0};
    publish(d, &none);
    return bs_digests_copy(&d->preamble);
}

enum blobseal_status bs_reader_digests_end(struct bs_reader_digests *d, struct bs_digests *run, enum blobseal_status st,
                                           struct blobseal_error *err)
{
    struct blobseal_digests digests = none;

    if (st != BLOBSEAL_OK || d == NULL) {
        bs_digests_clear(run);
        return st;
    }
    st = bs_digests_end(run, &digests, err);
    publish(d, &digests);
    return st;
}

enum blobseal_status blobseal_reader_digests(const struct blobseal_reader *r, struct blobseal_digests *digests,
                                             struct blobseal_error *err)
{
    struct blobseal_digests found = none;
    enum blobseal_status st = bs_reader_usable(r, err);

    if (st != BLOBSEAL_OK)
        return st;
    if (r->digests != NULL) {
        pthread_mutex_lock(&r->digests->lock);
        found = r->digests->last;
        pthread_mutex_unlock(&r->digests->lock);
    }
    if (digests != NULL && bs_struct_export(digests, &found, sizeof found))
        return BLOBSEAL_OK;
    return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "digests of a blob: the size of the result is not set");
}
