/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing zstd content in order: the frames, and the seek table after them. FORMAT.md section 3.1. */
#include <stdlib.h>

#include "core/seal/seal.h"
#include "simd/simd.h"

enum blobseal_status bs_zstd_put_frame(struct bs_payload *payload, struct bs_seek_table *t, struct bs_slice frame,
                                       size_t plain_len, struct blobseal_error *err)
{
    enum blobseal_status st = bs_seek_limit((uint64_t)t->num + 1, BS_MAX_FRAMES, err);

    if (st == BLOBSEAL_OK && !bs_seek_add(t, frame.len, plain_len))
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "record a frame: no memory");
    return st == BLOBSEAL_OK ? bs_payload_add(payload, frame.p, frame.len, err) : st;
}

enum blobseal_status bs_zstd_put_table(struct bs_payload *payload, const struct bs_seek_table *t,
                                       struct blobseal_error *err)
{
    size_t len = bs_seek_encoded_len(t->num);
    struct bs_builder w = bs_builder_start(malloc(len), len);
    enum blobseal_status st;

    if (w.p == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the seek table: no memory");
    bs_seek_put_header(&w, t->num);
    for (size_t i = 0; i < t->num; i++)
        bs_seek_put_entry(&w, t, i);
    bs_seek_put_footer(&w, t->num);
    st = bs_payload_add(payload, w.p, w.len, err);
    free(w.p);
    return st;
}

/* ---- Compressing on the caller's thread -------------------------------------------------------------------------- */

struct bs_zstd_writer {
    struct bs_zstd zstd;
    struct bs_seek_table table;
    int level;
    size_t len; /* bytes in `plain` that wait for a full frame */
    uint8_t plain[BS_ZFRAME_PLAIN_LEN];
    uint8_t frame[BS_ZFRAME_MAX_LEN];
};

struct bs_zstd_writer *bs_zstd_writer_new(int level)
{
    struct bs_zstd_writer *z = bs_map(sizeof *z);

    if (z != NULL)
        z->level = level;
    return z;
}

void bs_zstd_writer_free(struct bs_zstd_writer *z)
{
    if (z == NULL)
        return;
    bs_zstd_clear(&z->zstd);
    bs_seek_clear(&z->table);
    bs_unmap(z, sizeof *z);
}

/* Compress one frame and add it to the payload. */
static enum blobseal_status put_frame(struct bs_zstd_writer *z, struct bs_payload *payload, struct bs_slice plain,
                                      struct blobseal_error *err)
{
    struct bs_slice frame = {.p = z->frame};
    enum blobseal_status st = bs_zframe_compress(&z->zstd, z->level, z->frame, &frame.len, plain, err);

    return st == BLOBSEAL_OK ? bs_zstd_put_frame(payload, &z->table, frame, plain.len, err) : st;
}

enum blobseal_status bs_zstd_writer_add(struct bs_zstd_writer *z, struct bs_payload *payload, const void *buf,
                                        size_t len, struct blobseal_error *err)
{
    const uint8_t *from = buf;
    enum blobseal_status st = BLOBSEAL_OK;

    while (len > 0 && st == BLOBSEAL_OK) {
        size_t room = sizeof z->plain - z->len, n = len < room ? len : room;

        if (n == sizeof z->plain) {
            st = put_frame(z, payload, (struct bs_slice){from, n}, err);
        } else {
            bs_copy_secret(z->plain + z->len, from, n);
            z->len = (z->len + n) % sizeof z->plain;
            if (z->len == 0)
                st = put_frame(z, payload, (struct bs_slice){z->plain, sizeof z->plain}, err);
        }
        from += n;
        len -= n;
    }
    return st;
}

enum blobseal_status bs_zstd_writer_end(struct bs_zstd_writer *z, struct bs_payload *payload,
                                        struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    if (z->len > 0)
        st = put_frame(z, payload, (struct bs_slice){z->plain, z->len}, err);
    return st == BLOBSEAL_OK ? bs_zstd_put_table(payload, &z->table, err) : st;
}
