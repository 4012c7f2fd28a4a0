/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing zstd content: workers compress frames in parallel. Frames are sealed and written in order, because the offset
 * of a frame is known only when all frames before it are compressed. FORMAT.md section 3.1.
 */
#include "core/seal/seal.h"

struct compressing {
    struct bs_payload payload;
    struct bs_seek_table table;
    struct bs_sealing *sealing;
};

static enum blobseal_status start_worker(const void *unused, void **state, struct blobseal_error *err)
{
    struct bs_zstd *zstd;
    enum blobseal_status st = bs_zstd_new(&zstd, err);

    (void)unused;
    *state = zstd;
    return st;
}

static void end_worker(void *state)
{
    bs_zstd_free(state);
}

static enum blobseal_status compress_take(void *ctx, struct bs_worker *worker, uint64_t index, bool *last,
                                          struct blobseal_error *err)
{
    struct compressing *c = ctx;
    enum blobseal_status st = bs_read(&c->sealing->input, worker->in, BS_ZFRAME_PLAIN_LEN, &worker->in_len, err);

    (void)index;
    *last = worker->in_len < BS_ZFRAME_PLAIN_LEN;
    return st;
}

/* Compress one frame. Write none if no bytes are left for the last one. */
static enum blobseal_status compress_work(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                          struct blobseal_error *err)
{
    const struct compressing *c = ctx;
    const struct blobseal_source *source = c->sealing->source;
    enum blobseal_status st = BLOBSEAL_OK;

    worker->done = BS_ZFRAME_PLAIN_LEN;
    if (last)
        worker->done = bs_seekable(source) ? (size_t)(source->size % BS_ZFRAME_PLAIN_LEN) : worker->in_len;
    worker->out_len = 0;
    if (worker->done == 0)
        return BLOBSEAL_OK;
    if (bs_seekable(source))
        st = bs_pread(source, worker->in, worker->done, index * BS_ZFRAME_PLAIN_LEN, err);
    if (st != BLOBSEAL_OK)
        return st;
    return bs_zframe_compress(worker->state, c->sealing->options->zstd_level, worker->out, &worker->out_len,
                              (struct bs_slice){worker->in, worker->done}, err);
}

static enum blobseal_status compress_put(void *ctx, struct bs_worker *worker, uint64_t index,
                                         struct blobseal_error *err)
{
    struct compressing *c = ctx;

    (void)index;
    if (worker->done == 0)
        return BLOBSEAL_OK;
    bs_digests_add_plain(&c->sealing->blob.digests, worker->in, worker->done);
    return bs_zstd_put_frame(&c->payload, &c->table, (struct bs_slice){worker->out, worker->out_len}, worker->done,
                             err);
}

static uint64_t count_frames(uint64_t size)
{
    return size / BS_ZFRAME_PLAIN_LEN + (size % BS_ZFRAME_PLAIN_LEN > 0 ? 1 : 0);
}

enum blobseal_status bs_zstd_seal(struct bs_sealing *s, struct blobseal_error *err)
{
    bool seekable = bs_seekable(s->source);
    struct compressing c = {.sealing = s};
    const struct bs_pipeline p = {
        .ctx = &c,
        .threads = s->threads,
        .num_segments = seekable ? s->source->size / BS_ZFRAME_PLAIN_LEN + 1 : 0,
        .in_size = BS_ZFRAME_PLAIN_LEN,
        .out_size = BS_ZFRAME_MAX_LEN,
        .start_worker = start_worker,
        .end_worker = end_worker,
        .take = seekable ? NULL : compress_take,
        .work = compress_work,
        .put = compress_put,
        .source = s->source,
        .progress = s->options->progress,
        .progress_ctx = s->options->progress_ctx,
    };
    enum blobseal_status st = bs_payload_start(&c.payload, &s->blob, s->sink, err);

    if (st == BLOBSEAL_OK && seekable) /* check now rather than fail after hours of work */
        st = bs_seek_limit(count_frames(s->source->size), BS_MAX_FRAMES, err);
    if (st == BLOBSEAL_OK)
        st = bs_pipeline_run(&p, &s->plain_bytes, err);
    if (st == BLOBSEAL_OK)
        st = bs_zstd_put_table(&c.payload, &c.table, err);
    if (st == BLOBSEAL_OK)
        st = bs_payload_end(&c.payload, err);
    s->stored_bytes = c.payload.total;
    bs_payload_clear(&c.payload);
    bs_seek_clear(&c.table);
    return st;
}
