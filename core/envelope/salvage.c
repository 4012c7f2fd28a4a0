/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the preamble of a blob with two slots whose frame header or core header is damaged. The frame header can be
 * derived from the position of the core; the envelope contains a copy of the core header. FORMAT.md section 5.1.
 */
#include <stdlib.h>

#include "core/envelope/envelope.h"

/* Find the core, which can start at only sixteen offsets, and derive the frame header from its offset. */
static bool find_frame(struct bs_preamble *f, const struct blobseal_source *source)
{
    uint8_t head[BS_CORE_HEADER_LEN];

    for (uint32_t capacity = 4096; capacity <= BS_MAX_SLOT_CAPACITY; capacity += 4096) {
        uint64_t off = BS_AB_SLOT_OFFSET + 2 * (uint64_t)capacity;

        if (source->size < off + sizeof head || bs_pread(source, head, sizeof head, off, NULL) != BLOBSEAL_OK)
            return false;
        if (bs_core_decode(&f->core, head, sizeof head, NULL) != BLOBSEAL_OK)
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
static enum blobseal_status rebuild_frame(struct bs_preamble *f, const struct blobseal_source *source,
                                          enum blobseal_status cause, struct blobseal_error *err)
{
    struct bs_preamble found = {.layout = BLOBSEAL_LAYOUT_AB, .frame_damaged = true};
    struct blobseal_error later = {0}; /* *err holds the message for @cause, which may have to stay */
    enum blobseal_status st;

    if (!bs_seekable(source) || !find_frame(&found, source))
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

enum blobseal_status bs_preamble_salvage(struct bs_preamble *f, struct bs_input *in, struct blobseal_error *err)
{
    enum blobseal_status st = bs_preamble_read(f, in, NULL, 0, err);

    if (f->core_damaged && f->layout == BLOBSEAL_LAYOUT_AB) {
        memcpy(f->core.blob_id, f->header.blob_id, sizeof f->core.blob_id);
        return BLOBSEAL_OK;
    }
    if ((st == BLOBSEAL_E_DAMAGED || st == BLOBSEAL_E_FORMAT) && f->num_candidates == 0)
        return rebuild_frame(f, in->source, st, err);
    return st;
}
