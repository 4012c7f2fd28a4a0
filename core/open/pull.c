/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a blob piece by piece, as the caller asks for it: on the caller's thread, and at most one segment or one run
 * ahead. FORMAT.md section 3.
 */
#include <stdlib.h>

#include "core/open/open.h"
#include "simd/simd.h"

struct bs_pull {
    struct bs_worker worker;     /* worker.out: verified bytes; worker.state: only if sequential             */
    const uint8_t *data;         /* verified plaintext, in worker.out or in the decoder                      */
    size_t at, end;              /* the part of `data` that the caller has not received yet                  */
    struct bs_decoder *decoder;  /* for zstd content that is read in order, otherwise NULL                   */
    size_t fed;                  /* bytes of the current segment that the decoder has consumed               */
    bool in_order;               /* read in segments: the source is sequential, or a digest of the core is requested */
    bool ended;                  /* the caller has received everything                                       */
    struct bs_digests digests;   /* of this run over the blob                                                */
    uint64_t next;               /* in order: number of the next segment; otherwise: offset of the next run  */
    bool last;                   /* the current segment is the last                                          */
    enum blobseal_status status; /* not OK: every later call returns it, with the same error                 */
    struct blobseal_error error;
};

static enum blobseal_status start_in_order(const struct bs_content *c, struct bs_pull *p, struct blobseal_error *err)
{
    size_t size = bs_segment_buffer_size(true, 0);
    enum blobseal_status st;

    if (c->decompress && (p->decoder = bs_decoder_new(c->max_frames)) == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read %s: no memory", bs_source_name(&c->stored.source));
    st = bs_worker_init(&p->worker, size, size, err);
    if (st != BLOBSEAL_OK)
        return st;
    return bs_open_state_new(&c->stored, &p->worker.state, err);
}

static enum blobseal_status start(struct blobseal_reader *r, struct blobseal_error *err)
{
    struct bs_stored *s = &r->content.stored;
    enum blobseal_status st;
    struct bs_pull *p;

    if (s->consumed)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "a blob from a pipe can be read only once");
    p = calloc(1, sizeof *p);
    if (p == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read %s: no memory", bs_source_name(&s->source));
    p->digests = bs_reader_digests_begin(r->digests);
    p->in_order = !bs_seekable(&s->source) || bs_digests_need_core(&p->digests);
    st = p->in_order ? start_in_order(&r->content, p, err) : bs_worker_init(&p->worker, 0, BS_RUN_LEN, err);
    if (st != BLOBSEAL_OK) {
        bs_pull_free(p);
        return st;
    }
    if (!bs_seekable(&s->source))
        s->consumed = true;
    r->pull = p;
    return BLOBSEAL_OK;
}

void bs_pull_free(struct bs_pull *p)
{
    if (p == NULL)
        return;
    bs_decoder_free(p->decoder);
    bs_digests_clear(&p->digests);
    bs_open_state_free(p->worker.state);
    bs_worker_clear(&p->worker);
    free(p);
}

static enum blobseal_status next_segment(struct bs_stored *s, struct bs_pull *p, struct blobseal_error *err)
{
    enum blobseal_status st = bs_stored_next_segment(s, &p->worker, p->next++, &p->last, err);

    if (st == BLOBSEAL_OK)
        bs_digests_add_core(&p->digests, p->worker.in, p->worker.in_len);
    return st;
}

/* Open the next segment. Only the last segment can be empty. */
static enum blobseal_status fill_from_segment(struct bs_stored *s, struct bs_pull *p, struct blobseal_error *err)
{
    enum blobseal_status st;

    if (p->last)
        return BLOBSEAL_OK;
    st = next_segment(s, p, err);
    if (st != BLOBSEAL_OK)
        return st;
    p->data = p->worker.out;
    p->end = p->worker.done;
    return BLOBSEAL_OK;
}

/* Decompress the next frame, reading as many segments as it needs. */
static enum blobseal_status fill_from_decoder(struct bs_stored *s, struct bs_pull *p, struct blobseal_error *err)
{
    struct bs_worker *w = &p->worker;
    struct bs_slice out = {0};
    enum blobseal_status st = BLOBSEAL_OK;
    size_t n;

    while (st == BLOBSEAL_OK && out.len == 0) {
        if (p->fed == w->done && p->last)
            return bs_decoder_end(p->decoder, err);
        if (p->fed == w->done) {
            p->fed = 0;
            st = next_segment(s, p, err);
        }
        if (st == BLOBSEAL_OK)
            st = bs_decoder_feed(p->decoder, w->out + p->fed, w->done - p->fed, &n, &out, err);
        if (st == BLOBSEAL_OK)
            p->fed += n;
    }
    p->data = out.p;
    p->end = out.len;
    return st;
}

/* Read a whole run, so that small reads do not open the same chunk repeatedly. */
static enum blobseal_status fill_from_file(struct bs_content *c, struct bs_pull *p, struct blobseal_error *err)
{
    size_t n = c->len - p->next < BS_RUN_LEN ? (size_t)(c->len - p->next) : BS_RUN_LEN;
    enum blobseal_status st = n > 0 ? bs_content_pread(c, p->worker.out, n, p->next, err) : BLOBSEAL_OK;

    if (st != BLOBSEAL_OK)
        return st;
    p->data = p->worker.out;
    p->end = n;
    p->next += n;
    return BLOBSEAL_OK;
}

static enum blobseal_status fill(struct bs_content *c, struct bs_pull *p, struct blobseal_error *err)
{
    if (!p->in_order)
        return fill_from_file(c, p, err);
    return p->decoder != NULL ? fill_from_decoder(&c->stored, p, err) : fill_from_segment(&c->stored, p, err);
}

/* Copy up to @len verified bytes to @dst, and return their number: 0 at the end. */
static size_t copy_verified(struct bs_pull *p, void *dst, size_t len)
{
    size_t n = len < p->end - p->at ? len : p->end - p->at;

    if (n > 0)
        bs_copy_secret(dst, p->data + p->at, n);
    p->at += n;
    return n;
}

static enum blobseal_status pull(struct blobseal_reader *r, void *dst, size_t len, size_t *nread,
                                 struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_pull *p = r->pull;

    if (len > 0 && p->at == p->end && !p->ended) {
        p->at = p->end = 0;
        st = fill(&r->content, p, err);
        p->ended = st == BLOBSEAL_OK && p->end == 0;
        if (st == BLOBSEAL_OK)
            bs_digests_add_plain(&p->digests, p->data, p->end);
        if (st != BLOBSEAL_OK || p->ended)
            st = bs_reader_digests_end(r->digests, &p->digests, st, err);
    }
    if (st == BLOBSEAL_OK)
        *nread = copy_verified(p, dst, len);
    return st;
}

enum blobseal_status blobseal_reader_read(struct blobseal_reader *r, void *dst, size_t len, size_t *nread,
                                          struct blobseal_error *err)
{
    enum blobseal_status st = bs_reader_may_read(r, err);
    bool usable = st == BLOBSEAL_OK;

    *nread = 0;
    if (usable)
        st = r->pull != NULL ? r->pull->status : start(r, err);
    if (r->pull != NULL && st == BLOBSEAL_OK)
        st = r->pull->status = pull(r, dst, len, nread, &r->pull->error);
    if (st == BLOBSEAL_OK)
        return st;
    if (usable && r->pull != NULL && err != NULL)
        *err = r->pull->error;
    if (len > 0)
        memset(dst, 0, len);
    return bs_reader_count(r, st);
}
