/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the preamble of a blob with two slots whose frame header or core header is damaged, and checking with the
 * keys of the payload that it was read correctly. The frame header can be derived from the position of the core; the
 * envelope contains a copy of the core header. FORMAT.md section 5.1.
 */
#include <stdlib.h>

#include "core/envelope/envelope.h"

/*
 * Find the first core header after offset @after, and derive the frame header from its offset. A core can start at only
 * sixteen offsets. A core header that was copied into a slot is found as well.
 */
static bool find_frame(struct bs_preamble *f, const struct blobseal_source *source, uint64_t after)
{
    uint8_t head[BS_CORE_HEADER_LEN];

    for (uint32_t capacity = 4096; capacity <= BS_MAX_SLOT_CAPACITY; capacity += 4096) {
        uint64_t off = BS_AB_SLOT_OFFSET + 2 * (uint64_t)capacity;

        if (source->size < off + sizeof head || bs_pread(source, head, sizeof head, off, NULL) != BLOBSEAL_OK)
            return false;
        if (off <= after || bs_core_decode(&f->core, head, sizeof head, NULL) != BLOBSEAL_OK)
            continue;
        f->core_offset = off;
        return bs_frame_plan(&f->header, BLOBSEAL_LAYOUT_AB, capacity, 0, f->core.blob_id, NULL) == BLOBSEAL_OK;
    }
    return false;
}

/*
 * Read a frame whose header is damaged. Return @cause, the error that reading the header reported, if the frame cannot
 * be found or has no valid slot.
 */
static enum blobseal_status rebuild_frame(struct bs_preamble *f, const struct blobseal_source *source, uint64_t after,
                                          enum blobseal_status cause, struct blobseal_error *err)
{
    struct bs_preamble found = {.layout = BLOBSEAL_LAYOUT_AB, .frame_damaged = true};
    struct blobseal_error later = {0}; /* *err holds the message for @cause, which may have to stay */
    enum blobseal_status st;

    if (!bs_seekable(source) || !find_frame(&found, source, after))
        return cause;
    found.frame = malloc(found.header.frame_len);
    st = found.frame != NULL ? bs_pread(source, found.frame, found.header.frame_len, 0, &later)
                             : blobseal_fail(&later, BLOBSEAL_E_NOMEM, 0, "read the frame: no memory");
    if (st == BLOBSEAL_OK)
        bs_preamble_choose(&found);
    if (st == BLOBSEAL_OK && found.num_candidates == 0)
        st = cause;
    else if (st != BLOBSEAL_OK && err != NULL)
        *err = later;
    bs_preamble_clear(f);
    *f = found;
    return st;
}

enum blobseal_status bs_preamble_salvage(struct bs_preamble *f, struct bs_input *in, uint64_t after,
                                         struct blobseal_error *err)
{
    enum blobseal_status st = bs_preamble_read(f, in, NULL, 0, err);

    if (f->core_damaged && f->layout == BLOBSEAL_LAYOUT_AB) {
        memcpy(f->core.blob_id, f->header.blob_id, sizeof f->core.blob_id);
        return BLOBSEAL_OK;
    }
    if ((st == BLOBSEAL_E_DAMAGED || st == BLOBSEAL_E_FORMAT) && f->num_candidates == 0)
        return rebuild_frame(f, in->source, after, st, err);
    return st;
}

/* ---- Checking with the keys of the payload ----------------------------------------------------------------------- */

/* Open chunk @index, the last one, of @len bytes at @off. */
static enum blobseal_status open_last_chunk(struct bs_chunked *chunked, const struct blobseal_source *source,
                                            uint64_t index, size_t len, uint64_t off, struct blobseal_error *err)
{
    uint8_t *chunk = bs_map(BS_SEALED_CHUNK_LEN);
    enum blobseal_status st;
    size_t ignored;

    if (chunk == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the end of the blob: no memory");
    st = bs_pread(source, chunk, len, off, err);
    if (st == BLOBSEAL_OK && !bs_chunked_open(chunked, index, true, chunk, (struct bs_slice){chunk, len}, &ignored))
        st = bs_chunked_failed(chunked, err) ? BLOBSEAL_E_NOMEM : BLOBSEAL_E_DAMAGED;
    bs_unmap(chunk, BS_SEALED_CHUNK_LEN);
    return st;
}

enum blobseal_status bs_preamble_check_end(const struct bs_preamble *f, const struct blobseal_source *source,
                                           const struct bs_core_header *core, const struct bs_chunked_keys *keys,
                                           struct blobseal_error *err)
{
    uint64_t start = f->core_offset + BS_CORE_HEADER_LEN, plain_len, index;
    enum blobseal_status st = BLOBSEAL_E_DAMAGED;
    struct bs_chunked chunked;

    if (source->size >= start && bs_payload_plain_len(core, source->size - start, &plain_len)) {
        index = plain_len / BS_CHUNK_LEN;
        st = bs_chunked_init(&chunked, keys, err);
        if (st == BLOBSEAL_OK)
            st = open_last_chunk(&chunked, source, index, (size_t)(plain_len % BS_CHUNK_LEN) + BS_GCM_TAG_LEN,
                                 f->core_offset + bs_chunk_offset(core, index), err);
        bs_chunked_clear(&chunked);
    }
    if (st != BLOBSEAL_E_DAMAGED)
        return st;
    (void)blobseal_fail(err, st, 0, "the end of %s is not authentic: it was truncated, extended or changed",
                        bs_source_name(source));
    blobseal_hint(err, "nothing was written, because a repair needs a blob that is complete: restore it from another "
                       "copy");
    return st;
}
