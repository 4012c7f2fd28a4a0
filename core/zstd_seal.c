/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing zstd content: frames are compressed by all CPUs at once, and sealed and written in order, since how much a frame
 * takes shows only when it is done. FORMAT.md section 3.1.
 */
#include "internal.h"

struct packing {
    struct bs_payload push;
    const struct blobseal_source *source;
    struct bs_input input; /* of a sequential source */
    struct bs_seek_table table;
    int level;
};

static enum blobseal_status pack_take(void *ctx, struct bs_worker *worker, uint64_t index, bool *last,
                                      struct blobseal_error *err)
{
    struct packing *k = ctx;
    enum blobseal_status st = bs_read(&k->input, worker->in, BS_ZFRAME_PLAIN_LEN, &worker->in_len, err);

    (void)index;
    *last = worker->in_len < BS_ZFRAME_PLAIN_LEN;
    return st;
}

/* The last frame may turn out to be empty: then there is none. */
static enum blobseal_status pack_work(void *ctx, struct bs_worker *worker, uint64_t index, bool last,
                                      struct blobseal_error *err)
{
    const struct packing *k = ctx;
    bool from_file = bs_seekable(k->source);
    enum blobseal_status st = BLOBSEAL_OK;

    worker->plain_len = BS_ZFRAME_PLAIN_LEN;
    if (last)
        worker->plain_len = from_file ? (size_t)(k->source->size % BS_ZFRAME_PLAIN_LEN) : worker->in_len;
    worker->out_len = 0;
    if (worker->plain_len == 0)
        return BLOBSEAL_OK;
    if (from_file)
        st = bs_pread(k->source, worker->in, worker->plain_len, index * BS_ZFRAME_PLAIN_LEN, err);
    if (st != BLOBSEAL_OK)
        return st;
    return bs_zframe_compress(&worker->zstd, k->level, worker->out, &worker->out_len, worker->in, worker->plain_len,
                              err);
}

static enum blobseal_status pack_put(void *ctx, struct bs_worker *worker, uint64_t index, struct blobseal_error *err)
{
    struct packing *k = ctx;

    (void)index;
    if (worker->plain_len == 0)
        return BLOBSEAL_OK;
    return bs_zstd_put_frame(&k->push, &k->table, worker->out, worker->out_len, worker->plain_len, err);
}

enum blobseal_status bs_zstd_seal(const struct bs_new_blob *blob, const struct blobseal_sink *sink,
                                  const struct blobseal_source *source, const struct blobseal_seal_options *o,
                                  uint64_t *plain_bytes, uint64_t *stored_bytes, struct blobseal_error *err)
{
    bool seekable = bs_seekable(source);
    struct packing k = {.source = source, .input = {source, 0}, .level = o->zstd_level};
    const struct bs_pipeline p = {
        .ctx = &k,
        .keys = blob->keys,
        .threads = o->threads,
        .num_segments = seekable ? source->size / BS_ZFRAME_PLAIN_LEN + 1 : 0,
        .take = seekable ? NULL : pack_take,
        .work = pack_work,
        .put = pack_put,
        .whole_in = true,
        .whole_out = true,
        .source = source,
        .progress = o->progress,
        .progress_ctx = o->progress_ctx,
    };
    enum blobseal_status st = bs_payload_start(&k.push, blob, sink, err);

    if (st == BLOBSEAL_OK && seekable) /* better now than after a day */
        st = bs_seek_limit(source->size / BS_ZFRAME_PLAIN_LEN + (source->size % BS_ZFRAME_PLAIN_LEN > 0 ? 1 : 0),
                           BS_MAX_FRAMES, err);
    if (st == BLOBSEAL_OK)
        st = bs_pipeline_run(&p, plain_bytes, err);
    if (st == BLOBSEAL_OK)
        st = bs_zstd_put_table(&k.push, &k.table, err);
    if (st == BLOBSEAL_OK)
        st = bs_payload_end(&k.push, err);
    *stored_bytes = k.push.total;
    bs_payload_clear(&k.push);
    bs_seek_clear(&k.table);
    return st;
}
