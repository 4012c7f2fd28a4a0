/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a blob piece by piece, at the pace of the one who reads: no threads, one segment or one run ahead. FORMAT.md
 * section 3.
 */
#include <stdlib.h>

#include "internal.h"

struct bs_pull {
    struct bs_worker worker;     /* lane.out: verified bytes                                       */
    const uint8_t *data;         /* verified plaintext: in the lane, or in the decoder            */
    size_t at, end;              /* of it: what was not handed out yet                             */
    struct bs_decoder *decoder;  /* of zstd content from a pipe, or NULL                           */
    size_t fed;                  /* so much of the segment at hand it has taken                    */
    uint64_t next;               /* the segment, or for a seekable source the offset, behind it    */
    bool last;                   /* no segment is behind it                                        */
    enum blobseal_status status; /* not OK: what every call answers from now on, in these words    */
    struct blobseal_error failed;
};

static enum blobseal_status start(struct blobseal_reader *r, struct blobseal_error *err)
{
    bool seekable = bs_seekable(&r->source);
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_pull *p;

    if (r->consumed)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "a blob from a pipe can be read once");
    p = calloc(1, sizeof *p);
    if (p != NULL && r->decompress && !seekable)
        p->decoder = bs_decoder_new(r->max_frames);
    if (p == NULL || (p->decoder == NULL && r->decompress && !seekable))
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read %s: no memory", bs_source_name(&r->source));
    else
        st = bs_worker_init(&p->worker, r->keys, bs_worker_room(!seekable), bs_worker_room(!seekable), err);
    if (st != BLOBSEAL_OK) {
        bs_pull_free(p);
        return st;
    }
    r->consumed = !seekable;
    r->pull = p;
    return BLOBSEAL_OK;
}

void bs_pull_free(struct bs_pull *p)
{
    if (p == NULL)
        return;
    bs_decoder_free(p->decoder);
    bs_worker_clear(&p->worker);
    free(p);
}

/* Open the next segment of a sequential source. One of no bytes is the last. */
static enum blobseal_status fill_from_pipe(struct blobseal_reader *r, struct bs_pull *p, struct blobseal_error *err)
{
    enum blobseal_status st;

    if (p->last)
        return BLOBSEAL_OK;
    st = bs_stream_segment(r, &p->worker, p->next, &p->last, err);
    if (st != BLOBSEAL_OK)
        return st;
    p->next++;
    p->data = p->worker.out;
    p->end = p->worker.plain_len;
    return BLOBSEAL_OK;
}

/* The next frame, from as many segments as it lies in. */
static enum blobseal_status fill_from_decoder(struct blobseal_reader *r, struct bs_pull *p, struct blobseal_error *err)
{
    struct bs_slice out = {0};
    enum blobseal_status st = BLOBSEAL_OK;
    size_t n;

    while (st == BLOBSEAL_OK && out.len == 0) {
        if (p->fed == p->worker.plain_len && p->last)
            return bs_decoder_end(p->decoder, err);
        if (p->fed == p->worker.plain_len) {
            p->fed = 0;
            st = bs_stream_segment(r, &p->worker, p->next++, &p->last, err);
        }
        if (st == BLOBSEAL_OK)
            st = bs_decoder_feed(p->decoder, p->worker.out + p->fed, p->worker.plain_len - p->fed, &n, &out, err);
        if (st == BLOBSEAL_OK)
            p->fed += n;
    }
    p->data = out.p;
    p->end = out.len;
    return st;
}

/* Read ahead, so that small pieces do not open their chunk again and again. */
static enum blobseal_status fill_from_file(struct blobseal_reader *r, struct bs_pull *p, struct blobseal_error *err)
{
    enum blobseal_status st = blobseal_reader_pread(r, p->worker.out, BS_RUN_LEN, p->next, &p->end, err);

    p->data = p->worker.out;
    p->next += p->end;
    return st;
}

static enum blobseal_status fill(struct blobseal_reader *r, struct bs_pull *p, struct blobseal_error *err)
{
    if (bs_seekable(&r->source))
        return fill_from_file(r, p, err);
    return p->decoder != NULL ? fill_from_decoder(r, p, err) : fill_from_pipe(r, p, err);
}

/* Up to @len bytes of what is verified already; 0: the end. */
static size_t hand_out(struct bs_pull *p, void *dst, size_t len)
{
    size_t n = len < p->end - p->at ? len : p->end - p->at;

    if (n > 0)
        memcpy(dst, p->data + p->at, n);
    p->at += n;
    return n;
}

static enum blobseal_status pull(struct blobseal_reader *r, struct bs_pull *p, void *dst, size_t len, size_t *nread,
                                 struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    if (len > 0 && p->at == p->end) {
        p->at = p->end = 0;
        st = fill(r, p, err);
    }
    if (st == BLOBSEAL_OK)
        *nread = hand_out(p, dst, len);
    return st;
}

enum blobseal_status blobseal_reader_read(struct blobseal_reader *r, void *dst, size_t len, size_t *nread,
                                          struct blobseal_error *err)
{
    enum blobseal_status st = r->pull != NULL ? r->pull->status : start(r, err);

    *nread = 0;
    if (r->pull != NULL && st == BLOBSEAL_OK)
        st = r->pull->status = pull(r, r->pull, dst, len, nread, &r->pull->failed);
    if (st == BLOBSEAL_OK)
        return st;
    if (r->pull != NULL && err != NULL)
        *err = r->pull->failed;
    if (len > 0)
        memset(dst, 0, len);
    return st;
}
