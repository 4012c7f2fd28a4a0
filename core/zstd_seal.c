/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing zstd content: frames are compressed by all CPUs at once, and sealed and written in order, since how much a frame
 * takes shows only when it is done. FORMAT.md section 3.1.
 */
#include "internal.h"

struct packing {
    struct bs_push push;
    const struct blobseal_source *source;
    struct bs_input input; /* of a sequential source */
    struct bs_seek_table table;
    int level;
};

static enum blobseal_status pack_take(void *ctx, struct bs_lane *lane, uint64_t index, bool *last,
                                      struct blobseal_error *err)
{
    struct packing *k = ctx;
    enum blobseal_status st = bs_read(&k->input, lane->in, BS_ZFRAME_PLAIN_LEN, &lane->in_len, err);

    (void)index;
    *last = lane->in_len < BS_ZFRAME_PLAIN_LEN;
    return st;
}

/* The last frame may turn out to be empty: then there is none. */
static enum blobseal_status pack_work(void *ctx, struct bs_lane *lane, uint64_t index, bool last,
                                      struct blobseal_error *err)
{
    const struct packing *k = ctx;
    bool from_file = bs_seekable(k->source);
    enum blobseal_status st = BLOBSEAL_OK;

    lane->plain_len = BS_ZFRAME_PLAIN_LEN;
    if (last)
        lane->plain_len = from_file ? (size_t)(k->source->size % BS_ZFRAME_PLAIN_LEN) : lane->in_len;
    lane->out_len = 0;
    if (lane->plain_len == 0)
        return BLOBSEAL_OK;
    if (from_file)
        st = bs_pread(k->source, lane->in, lane->plain_len, index * BS_ZFRAME_PLAIN_LEN, err);
    if (st != BLOBSEAL_OK)
        return st;
    return bs_zframe_seal(&lane->zstd, k->level, lane->out, &lane->out_len, lane->in, lane->plain_len, err);
}

static enum blobseal_status pack_put(void *ctx, struct bs_lane *lane, uint64_t index, struct blobseal_error *err)
{
    struct packing *k = ctx;

    (void)index;
    if (lane->plain_len == 0)
        return BLOBSEAL_OK;
    return bs_pack_frame(&k->push, &k->table, lane->out, lane->out_len, lane->plain_len, err);
}

enum blobseal_status bs_zstd_seal(const struct bs_begun *begun, const struct blobseal_sink *sink,
                                  const struct blobseal_source *source, const struct blobseal_seal_options *o,
                                  uint64_t *plain_bytes, uint64_t *stored_bytes, struct blobseal_error *err)
{
    bool seekable = bs_seekable(source);
    struct packing k = {.source = source, .input = {source, 0}, .level = o->zstd_level};
    const struct bs_pipeline p = {
        .ctx = &k,
        .keys = begun->keys,
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
    enum blobseal_status st = bs_push_start(&k.push, begun, sink, err);

    if (st == BLOBSEAL_OK && seekable) /* better now than after a day */
        st = bs_seek_limit(source->size / BS_ZFRAME_PLAIN_LEN + (source->size % BS_ZFRAME_PLAIN_LEN > 0 ? 1 : 0),
                           BS_MAX_FRAMES, err);
    if (st == BLOBSEAL_OK)
        st = bs_pipeline_run(&p, plain_bytes, err);
    if (st == BLOBSEAL_OK)
        st = bs_pack_end(&k.push, &k.table, err);
    if (st == BLOBSEAL_OK)
        st = bs_push_end(&k.push, err);
    *stored_bytes = k.push.total;
    bs_push_clear(&k.push);
    bs_seek_clear(&k.table);
    return st;
}
