/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a part of a blob into a sink. Workers take windows of 1 MiB, cut where segments are, so that no chunk is opened
 * twice, and read them as blobseal_reader_pread() does. FORMAT.md section 3.
 */
#include "internal.h"

struct ranging {
    struct blobseal_reader *r;
    const struct blobseal_sink *sink;
    uint64_t off, end; /* of the plaintext */
};

/* Where window @index starts; the first one starts at t->off, the others at a multiple of their length. */
static uint64_t window_start(const struct ranging *t, uint64_t index)
{
    uint64_t start = (t->off / BS_SEGMENT_LEN + index) * BS_SEGMENT_LEN;

    return start > t->off ? start : t->off;
}

static enum blobseal_status range_work(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                       struct blobseal_error *err)
{
    const struct ranging *t = ctx;
    uint64_t start = window_start(t, index), end = last ? t->end : window_start(t, index + 1);
    enum blobseal_status st;

    worker->plain_len = (size_t)(end - start);
    st = bs_reader_read(t->r, worker->out, worker->plain_len, start, err);
    if (st == BLOBSEAL_OK && t->sink->pwrite != NULL)
        st = bs_write(t->sink, worker->out, worker->plain_len, start - t->off, err);
    return st;
}

static enum blobseal_status range_put(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err)
{
    const struct ranging *t = ctx;

    (void)index;
    return bs_write(t->sink, worker->out, worker->plain_len, 0, err);
}

static enum blobseal_status run(struct ranging *t, uint64_t *nwritten, struct blobseal_error *err)
{
    const struct bs_pipeline p = {
        .ctx = t,
        .keys = t->r->keys,
        .threads = t->r->threads,
        .num_segments = (t->end - 1) / BS_SEGMENT_LEN - t->off / BS_SEGMENT_LEN + 1,
        .whole_out = true,
        .work = range_work,
        .put = t->sink->pwrite != NULL ? NULL : range_put,
        .source = &t->r->source,
        .progress = t->r->progress,
        .progress_ctx = t->r->progress_ctx,
    };

    return bs_pipeline_run(&p, nwritten, err);
}

enum blobseal_status blobseal_reader_stream_range(struct blobseal_reader *r, const struct blobseal_sink *sink,
                                                  uint64_t off, uint64_t len, uint64_t *nwritten,
                                                  struct blobseal_error *err)
{
    struct ranging t = {.r = r, .sink = sink, .off = off};
    const char *name = bs_source_name(&r->source);
    enum blobseal_status st = BLOBSEAL_OK;
    uint64_t n = 0;

    if (sink->write == NULL && sink->pwrite == NULL) {
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "open a range: a sink without functions");
    } else if (!bs_seekable(&r->source)) {
        st =
            blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "open a range of %s: it comes in one piece, from its start", name);
        blobseal_advise(err, BLOBSEAL_ADVICE_SEEKABLE, NULL, "a range needs a seekable source, such as a file");
    } else if (off > r->plain_bytes) {
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "open a range of %s: it holds %llu bytes, so none at %llu", name,
                           (unsigned long long)r->plain_bytes, (unsigned long long)off);
        blobseal_hint(err, "a range starts at an offset from 0 to %llu", (unsigned long long)r->plain_bytes);
    } else {
        t.end = len < r->plain_bytes - off ? off + len : r->plain_bytes;
        if (t.end > off)
            st = run(&t, &n, err);
    }
    if (nwritten != NULL)
        *nwritten = n;
    return st;
}
