/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a range of a blob into a sink. Each worker opens a window of at most 1 MiB that ends at a multiple of 1 MiB,
 * as segments do, so that no chunk is opened twice. FORMAT.md section 3.
 */
#include "core/open/open.h"

struct ranging {
    struct blobseal_reader *r;
    const struct blobseal_sink *sink;
    uint64_t off, end; /* of the content */
};

/* Return the start of window @index: t->off for the first one, a multiple of 1 MiB for the others. */
static uint64_t window_start(const struct ranging *t, uint64_t index)
{
    uint64_t start = (t->off / BS_SEGMENT_LEN + index) * BS_SEGMENT_LEN;

    return start > t->off ? start : t->off;
}

static enum blobseal_status write_window(const struct ranging *t, const struct bs_worker *worker, uint64_t index,
                                         struct blobseal_error *err)
{
    return bs_write(t->sink, worker->out + worker->out_len, worker->done, window_start(t, index) - t->off, err);
}

/*
 * Open a window. It starts at worker->out + worker->out_len, because chunks are opened whole and the window may start
 * inside one.
 */
static enum blobseal_status range_work(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                       struct blobseal_error *err)
{
    const struct ranging *t = ctx;
    uint64_t start = window_start(t, index), end = last ? t->end : window_start(t, index + 1);
    const uint8_t *at;
    enum blobseal_status st;

    worker->done = (size_t)(end - start);
    st = bs_content_open(&t->r->content, worker, worker->done, start, &at, err);
    worker->out_len = (size_t)(at - worker->out);
    if (st == BLOBSEAL_OK && t->sink->pwrite != NULL)
        st = write_window(t, worker, index, err);
    return st;
}

static enum blobseal_status range_put(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err)
{
    return write_window(ctx, worker, index, err);
}

static enum blobseal_status run(struct ranging *t, uint64_t *nwritten, struct blobseal_error *err)
{
    const struct bs_stored *s = &t->r->content.stored;
    const struct bs_pipeline p = {
        .ctx = t,
        .threads = s->threads,
        .num_segments = (t->end - 1) / BS_SEGMENT_LEN - t->off / BS_SEGMENT_LEN + 1,
        .in_size = BS_SEALED_RUN_LEN,
        .out_size = BS_STORED_ROOM(BS_SEGMENT_LEN),
        .state_ctx = s,
        .start_worker = bs_open_state_new,
        .end_worker = bs_open_state_free,
        .work = range_work,
        .put = t->sink->pwrite != NULL ? NULL : range_put,
        .source = &s->source,
        .progress = t->r->progress.fn,
        .progress_ctx = t->r->progress.ctx,
    };

    return bs_pipeline_run(&p, nwritten, err);
}

enum blobseal_status blobseal_reader_stream_range(struct blobseal_reader *r, const struct blobseal_sink *sink,
                                                  uint64_t off, uint64_t len, uint64_t *nwritten,
                                                  struct blobseal_error *err)
{
    struct ranging t = {.r = r, .sink = sink, .off = off};
    const struct bs_content *c = &r->content;
    const char *name = bs_source_name(&c->stored.source);
    enum blobseal_status st = bs_reader_may_read(r, err);
    uint64_t n = 0;

    if (st == BLOBSEAL_OK)
        st = bs_check_sink(sink, "open a range", err);
    if (st != BLOBSEAL_OK) {
        ; /* reported below */
    } else if (!bs_seekable(&c->stored.source)) {
        st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "open a range of %s: the source is not seekable", name);
        blobseal_advise(err, BLOBSEAL_ADVICE_SEEKABLE, NULL, "a range needs a seekable source, such as a file");
    } else if (off > c->len) {
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                           "open a range of %s: it has %llu bytes, so offset %llu is beyond its end", name,
                           (unsigned long long)c->len, (unsigned long long)off);
        blobseal_hint(err, "a range starts at an offset from 0 to %llu", (unsigned long long)c->len);
    } else {
        t.end = len < c->len - off ? off + len : c->len;
        if (t.end > off)
            st = run(&t, &n, err);
    }
    if (nwritten != NULL)
        *nwritten = n;
    return bs_reader_count(r, st);
}
