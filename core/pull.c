/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a blob piece by piece, at the pace of the one who reads: no threads, one segment or one run ahead. FORMAT.md
 * section 3.
 */
#include <stdlib.h>

#include "internal.h"

struct bs_pull {
    struct bs_lane lane;         /* lane.out: verified plaintext                                   */
    size_t at, end;              /* of it: what was not handed out yet                             */
    uint64_t next;               /* the segment, or for a seekable source the offset, behind it    */
    bool last;                   /* no segment is behind it                                        */
    enum blobseal_status status; /* not OK: what every call answers from now on, in these words    */
    struct blobseal_error failed;
};

static enum blobseal_status start(struct blobseal_reader *r, struct blobseal_error *err)
{
    bool seekable = bs_seekable(&r->source);
    struct bs_pull *p;

    if (r->consumed)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "a blob from a pipe can be read once");
    p = calloc(1, sizeof *p);
    if (p == NULL || !bs_lane_init(&p->lane, r->keys, !seekable, !seekable)) {
        bs_pull_free(p);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read %s: no memory", bs_source_name(&r->source));
    }
    r->consumed = !seekable;
    r->pull = p;
    return BLOBSEAL_OK;
}

void bs_pull_free(struct bs_pull *p)
{
    if (p == NULL)
        return;
    bs_lane_clear(&p->lane);
    free(p);
}

/* Open the next segment of a sequential source. One of no bytes is the last. */
static enum blobseal_status fill_from_pipe(struct blobseal_reader *r, struct bs_pull *p, struct blobseal_error *err)
{
    enum blobseal_status st;

    if (p->last)
        return BLOBSEAL_OK;
    if (r->core.content != BS_CONTENT_AS_GIVEN) /* the one place that a reader of compressed pipes has to take */
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0,
                             "%s has compressed content: from a pipe it is opened whole", bs_source_name(&r->source));
    st = bs_stream_segment(r, &p->lane, p->next, &p->last, err);
    if (st != BLOBSEAL_OK)
        return st;
    p->next++;
    p->end = p->lane.plain_len;
    return BLOBSEAL_OK;
}

/* Read ahead, so that small pieces do not open their chunk again and again. */
static enum blobseal_status fill_from_file(struct blobseal_reader *r, struct bs_pull *p, struct blobseal_error *err)
{
    enum blobseal_status st = blobseal_reader_pread(r, p->lane.out, BS_RUN_LEN, p->next, &p->end, err);

    p->next += p->end;
    return st;
}

/* Up to @len bytes of what is verified already; 0: the end. */
static size_t hand_out(struct bs_pull *p, void *dst, size_t len)
{
    size_t n = len < p->end - p->at ? len : p->end - p->at;

    if (n > 0)
        memcpy(dst, p->lane.out + p->at, n);
    p->at += n;
    return n;
}

static enum blobseal_status pull(struct blobseal_reader *r, struct bs_pull *p, void *dst, size_t len, size_t *nread,
                                 struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    if (len > 0 && p->at == p->end) {
        p->at = p->end = 0;
        st = bs_seekable(&r->source) ? fill_from_file(r, p, err) : fill_from_pipe(r, p, err);
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
