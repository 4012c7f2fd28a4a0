/* SPDX-License-Identifier: Apache-2.0 */
/* Copying a blob with another envelope or layout: the bytes of the core do not change. FORMAT.md sections 1 and 5. */
#include <stdlib.h>

#include "core/recipients/recipients.h"

#define PIECE_LEN ((size_t)1 << 20)

struct attaching {
    const struct blobseal_sink *sink;
    struct bs_input in;
    struct bs_preamble preamble;
    uint64_t written;
};

static enum blobseal_status put(struct attaching *a, const void *p, size_t len, struct blobseal_error *err)
{
    enum blobseal_status st = bs_write(a->sink, p, len, a->written, err);

    a->written += len;
    return st;
}

/* Copy the payload, which follows the core header. Its length shows most truncations, but not all. */
static enum blobseal_status copy_payload(struct attaching *a, struct blobseal_error *err)
{
    uint64_t start = a->in.pos, plain_len;
    uint8_t *piece = malloc(PIECE_LEN);
    enum blobseal_status st = BLOBSEAL_OK;
    size_t n = PIECE_LEN;

    if (piece == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "copy the blob: no memory");
    while (st == BLOBSEAL_OK && n == PIECE_LEN) {
        st = bs_read(&a->in, piece, PIECE_LEN, &n, err);
        if (st == BLOBSEAL_OK && n > 0)
            st = put(a, piece, n, err);
    }
    free(piece);
    if (st == BLOBSEAL_OK && bs_seekable(a->in.source) && a->in.pos != a->in.source->size)
        st = blobseal_fail(err, BLOBSEAL_E_INPUT, 0, "read %s: its size changed while it was read",
                           bs_source_name(a->in.source));
    else if (st == BLOBSEAL_OK && !bs_payload_plain_len(&a->preamble.core, a->in.pos - start, &plain_len))
        st = blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "%s is truncated or extended: no blob is %llu bytes long",
                           bs_source_name(a->in.source), (unsigned long long)a->in.pos);
    return st;
}

/* Write the frame with the only candidate, which was parsed into @e. */
static enum blobseal_status put_frame(struct attaching *a, const struct bs_frame *frame, const struct bs_envelope *e,
                                      struct blobseal_error *err)
{
    uint8_t *bytes = malloc(frame->frame_len);
    enum blobseal_status st;

    if (bytes == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the frame: no memory");
    bs_frame_encode(frame, bytes, a->preamble.candidates[0].text, a->preamble.candidates[0].len, e->generation);
    st = put(a, bytes, frame->frame_len, err);
    free(bytes);
    return st;
}

/* Return the capacity of the new slots: @wanted, or that of the source if the envelope fits in it, or 0 (default). */
static uint32_t choose_capacity(const struct bs_preamble *f, uint32_t wanted, size_t jwe_len)
{
    uint32_t had = f->header.slots == 2 ? f->header.slot_capacity : 0;

    if (wanted != 0)
        return wanted;
    return had >= jwe_len + BS_SLOT_HEADER_LEN ? had : 0;
}

static enum blobseal_status attach_frame(struct attaching *a, enum blobseal_layout layout, uint32_t capacity,
                                         struct blobseal_error *err)
{
    struct bs_preamble *f = &a->preamble;
    struct bs_envelope e = {0};
    struct bs_frame frame;
    enum blobseal_status st;

    if (f->num_candidates == 0)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "%s has no envelope of its own: it was sealed detached",
                             bs_source_name(a->in.source));
    if (f->num_candidates > 1) { /* without a key the wrong one could be copied, and the data would be lost */
        (void)blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "%s has two envelopes of the same generation",
                            bs_source_name(a->in.source));
        blobseal_advise(err, BLOBSEAL_ADVICE_REPAIR, NULL,
                        "a repair with a private key finds out which one is current");
        return BLOBSEAL_E_DAMAGED;
    }
    st = bs_preamble_envelope(f, 0, &e, err);
    if (st == BLOBSEAL_OK)
        st = bs_frame_plan(&frame, layout, choose_capacity(f, capacity, f->candidates[0].len), f->candidates[0].len,
                           f->core.blob_id, err);
    if (st == BLOBSEAL_OK)
        st = put_frame(a, &frame, &e, err);
    bs_envelope_clear(&e);
    return st;
}

enum blobseal_status blobseal_attach(const struct blobseal_sink *sink, const struct blobseal_source *source,
                                     const struct blobseal_attach_options *options, struct blobseal_error *err)
{
    struct blobseal_attach_options o = {.size = sizeof o};
    struct attaching a = {.sink = sink, .in = {source, 0}};
    enum blobseal_status st;

    if (!blobseal_struct_import(&o, sizeof o, options))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "attach: the size of the options is not set, or they are newer than the library");
    if (o.layout > BLOBSEAL_LAYOUT_DETACHED)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "attach: unknown layout: %d", (int)o.layout);
    st = bs_check_sink(sink, "attach", err);
    if (st == BLOBSEAL_OK)
        st = bs_check_source(source, "attach", err);
    if (st == BLOBSEAL_OK)
        st = bs_preamble_read(&a.preamble, &a.in, o.envelope, o.envelope_len, err);
    if (o.layout == BLOBSEAL_LAYOUT_AUTO)
        o.layout = a.preamble.layout;
    if (st == BLOBSEAL_OK && o.layout != BLOBSEAL_LAYOUT_DETACHED)
        st = attach_frame(&a, o.layout, o.slot_capacity, err);
    if (st == BLOBSEAL_OK)
        st = put(&a, a.preamble.core.raw, BS_CORE_HEADER_LEN, err);
    if (st == BLOBSEAL_OK)
        st = copy_payload(&a, err);
    bs_preamble_clear(&a.preamble);
    return st;
}
