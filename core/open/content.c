/* SPDX-License-Identifier: Apache-2.0 */
/* The content of a blob: its stored bytes, unchanged or decompressed. Only this file chooses between the two. */
#include "core/open/open.h"

enum blobseal_status bs_content_check_size(struct bs_content *c, struct blobseal_error *err)
{
    struct bs_open_state *state;
    struct bs_worker *worker;
    enum blobseal_status st = bs_stored_take(&c->stored, BS_NO_FRAME, &worker, err);

    if (st != BLOBSEAL_OK)
        return st;
    state = worker->state;
    bs_note_plain(worker, (size_t)(c->stored.len % BS_CHUNK_LEN));
    st = bs_stored_check_end(&c->stored, &state->chunked, worker->in, worker->out, err);
    bs_stored_return(&c->stored, worker);
    if (st == BLOBSEAL_OK && c->decompress)
        st = bs_zstd_read_table(c, err);
    else
        c->len = c->stored.len;
    return st;
}

enum blobseal_status bs_content_pread(struct bs_content *c, uint8_t *dst, size_t len, uint64_t off,
                                      struct blobseal_error *err)
{
    uint64_t frame = c->decompress ? bs_seek_find(off) : BS_NO_FRAME;
    struct bs_worker *worker;
    enum blobseal_status st = bs_stored_take(&c->stored, frame, &worker, err);

    if (st != BLOBSEAL_OK)
        return st;
    st = c->decompress ? bs_zstd_pread(c, worker, dst, len, off, err)
                       : bs_stored_pread(&c->stored, worker, (struct bs_range){off, len}, dst, err);
    bs_stored_return(&c->stored, worker);
    return st;
}

enum blobseal_status bs_content_open(const struct bs_content *c, struct bs_worker *worker, size_t len, uint64_t off,
                                     const uint8_t **at, struct blobseal_error *err)
{
    struct bs_open_state *state = worker->state;

    *at = worker->out + (c->decompress ? 0 : bs_stored_skip(off));
    if (c->decompress)
        return bs_zstd_pread(c, worker, worker->out, len, off, err);
    return bs_stored_open(&c->stored, &state->chunked, (struct bs_range){off, len}, worker->in, worker->out, err);
}

/* ---- Zstd content from a pipe, decompressed in order by the worker that writes next ------------------------------ */

struct decoding {
    struct bs_decoder *decoder;
    const struct bs_output *out;
    uint64_t plain_bytes;
    enum blobseal_status status; /* the first failure of decode_write(), and its error */
    struct blobseal_error error;
};

/*
 * Decompress stored bytes as they arrive: the write callback of the sink that bs_stored_stream() writes to. A sink may
 * not return the statuses of a decoder, so they are kept in @ctx.
 */
static enum blobseal_status decode_write(void *ctx, const void *buf, size_t len, struct blobseal_error *err)
{
    struct decoding *d = ctx;
    const struct bs_progress progress = d->out->progress;
    struct blobseal_error *e = &d->error;
    const uint8_t *from = buf;
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_slice out;

    for (size_t n; len > 0 && st == BLOBSEAL_OK; from += n, len -= n) {
        st = bs_decoder_feed(d->decoder, from, len, &n, &out, e);
        if (st != BLOBSEAL_OK || out.len == 0)
            continue;
        bs_digests_add_plain(d->out->digests, out.p, out.len);
        if (d->out->sink != NULL)
            st = bs_write(d->out->sink, out.p, out.len, d->plain_bytes, e);
        d->plain_bytes += out.len;
        if (st == BLOBSEAL_OK && progress.fn != NULL && !progress.fn(progress.ctx, d->plain_bytes))
            st = blobseal_fail(e, BLOBSEAL_E_CANCELED, 0, "canceled");
    }
    d->status = st;
    return st == BLOBSEAL_OK ? st : blobseal_fail(err, BLOBSEAL_STATUS_CALLBACK, 0, "decompress");
}

static enum blobseal_status decode(struct bs_content *c, const struct bs_output *out, uint64_t *plain_bytes,
                                   struct blobseal_error *err)
{
    struct decoding d = {.decoder = bs_decoder_new(c->max_frames), .out = out};
    const struct blobseal_sink sink = {.ctx = &d, .name = "zstd content", .write = decode_write};
    const struct bs_output stored = {.sink = &sink, .digests = out->digests, .compressed = true};
    enum blobseal_status st;
    uint64_t n;

    if (d.decoder == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "decompress: no memory");
    st = bs_stored_stream(&c->stored, &stored, &n, err);
    if (st == BLOBSEAL_OK) {
        st = bs_decoder_end(d.decoder, err);
    } else if (d.status != BLOBSEAL_OK) {
        st = d.status;
        if (err != NULL)
            *err = d.error;
    }
    *plain_bytes = d.plain_bytes;
    bs_decoder_free(d.decoder);
    return st;
}

/* A digest of the core needs the stored bytes in order, so zstd content is then decompressed as if it were from a pipe.
 */
enum blobseal_status bs_content_stream(struct bs_content *c, const struct bs_output *out, uint64_t *plain_bytes,
                                       struct blobseal_error *err)
{
    if (!c->decompress)
        return bs_stored_stream(&c->stored, out, plain_bytes, err);
    if (bs_seekable(&c->stored.source) && !bs_digests_need_core(out->digests))
        return bs_zstd_stream(c, out, plain_bytes, err);
    return decode(c, out, plain_bytes, err);
}
