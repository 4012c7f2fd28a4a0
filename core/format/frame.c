/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding and decoding of the envelope frame and its slots. FORMAT.md section 5. */
#include "core/format/format.h"

static const uint8_t frame_magic[8] = {0x89, 'B', 'S', 'K', '\r', '\n', 0x1A, '\n'};
static const uint8_t slot_magic[4] = {'B', 'S', 'K', 'S'};

#define CHECKSUM_OFFSET (BS_FRAME_HEADER_LEN - BS_CHECKSUM_LEN)

bool bs_frame_magic(const uint8_t *p, size_t len)
{
    return len >= sizeof frame_magic && memcmp(p, frame_magic, sizeof frame_magic) == 0;
}

static bool capacity_is_valid(unsigned slots, uint32_t capacity)
{
    if (slots == 1)
        return capacity > BS_SLOT_HEADER_LEN && capacity <= BS_MAX_SLOT_CAPACITY;
    return capacity >= 4096 && capacity <= BS_MAX_SLOT_CAPACITY && capacity % 4096 == 0;
}

/* Return the default slot capacity, or the next multiple of 4096 bytes that leaves room for later recipients. */
static uint32_t default_capacity(size_t jwe_len)
{
    uint32_t wanted = ((uint32_t)jwe_len + BS_SLOT_HEADER_LEN + BS_DEFAULT_SLOT_FREE + 4095) / 4096 * 4096;

    if (wanted > BS_MAX_SLOT_CAPACITY)
        return BS_MAX_SLOT_CAPACITY;
    return wanted > BS_DEFAULT_SLOT_CAPACITY ? wanted : BS_DEFAULT_SLOT_CAPACITY;
}

enum blobseal_status bs_frame_plan(struct bs_frame *f, enum blobseal_layout layout, uint32_t capacity, size_t jwe_len,
                                   const uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN], struct blobseal_error *err)
{
    bool ab = layout == BLOBSEAL_LAYOUT_AB;

    if (jwe_len > BLOBSEAL_MAX_ENVELOPE)
        return blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "an envelope of %zu bytes is larger than any slot", jwe_len);
    *f = (struct bs_frame){.slots = ab ? 2 : 1, .slot_offset = ab ? BS_AB_SLOT_OFFSET : BS_FRAME_HEADER_LEN};
    if (!ab)
        f->slot_capacity = (uint32_t)jwe_len + BS_SLOT_HEADER_LEN;
    else if (capacity != 0)
        f->slot_capacity = capacity;
    else
        f->slot_capacity = default_capacity(jwe_len);
    if (!capacity_is_valid(f->slots, f->slot_capacity))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "a slot cannot have %u bytes: its size is a multiple of 4096, up to 65536",
                             f->slot_capacity);
    if (jwe_len > f->slot_capacity - BS_SLOT_HEADER_LEN) {
        (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the envelope of %zu bytes does not fit a slot of %u bytes",
                            jwe_len, f->slot_capacity);
        blobseal_hint(err, "use larger slots (up to 65536 bytes), fewer recipients, or less metadata");
        return BLOBSEAL_E_POLICY;
    }
    f->frame_len = f->slot_offset + f->slots * f->slot_capacity;
    memcpy(f->blob_id, blob_id, sizeof f->blob_id);
    return BLOBSEAL_OK;
}

void bs_slot_encode(const struct bs_frame *f, uint8_t *out, const char *jwe, size_t jwe_len, uint64_t generation)
{
    struct bs_builder w = bs_builder_start(out, f->slot_capacity);

    bs_put(&w, slot_magic, sizeof slot_magic);
    bs_put32(&w, (uint32_t)jwe_len);
    bs_put64(&w, generation);
    bs_put64(&w, bs_xxh3(generation, jwe, jwe_len));
    bs_put(&w, jwe, jwe_len);
    bs_put_zeros(&w, f->slot_capacity - BS_SLOT_HEADER_LEN - jwe_len);
}

void bs_frame_encode_head(const struct bs_frame *f, uint8_t *out)
{
    struct bs_builder w = bs_builder_start(out, f->slot_offset);

    bs_put(&w, frame_magic, sizeof frame_magic);
    bs_put8(&w, 1); /* version */
    bs_put8(&w, 1); /* layer */
    bs_put8(&w, (uint8_t)f->slots);
    bs_put8(&w, 0);
    bs_put32(&w, f->slot_offset);
    bs_put32(&w, f->slot_capacity);
    bs_put32(&w, f->frame_len);
    bs_put(&w, f->blob_id, sizeof f->blob_id);
    bs_put_zeros(&w, 16);
    bs_put64(&w, bs_xxh3(0, out, CHECKSUM_OFFSET));
    bs_put_zeros(&w, f->slot_offset - BS_FRAME_HEADER_LEN);
}

void bs_frame_encode(const struct bs_frame *f, uint8_t *out, const char *jwe, size_t jwe_len, uint64_t generation)
{
    bs_frame_encode_head(f, out);
    for (unsigned i = 0; i < f->slots; i++)
        bs_slot_encode(f, out + f->slot_offset + (size_t)i * f->slot_capacity, jwe, jwe_len, generation);
}

enum blobseal_status bs_frame_decode(struct bs_frame *f, const uint8_t *p, size_t len, struct blobseal_error *err)
{
    struct bs_parser c = bs_parser_start(p, len);
    unsigned layer;
    bool zero;

    *f = (struct bs_frame){0};
    if (len > sizeof frame_magic && p[sizeof frame_magic] != 1)
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "envelope frame version %u is not supported",
                             p[sizeof frame_magic]);
    if (len < BS_FRAME_HEADER_LEN)
        return blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "the blob ends inside its frame header");
    (void)bs_take(&c, sizeof frame_magic + 1);
    layer = bs_take8(&c);
    f->slots = bs_take8(&c);
    zero = bs_take8(&c) == 0;
    f->slot_offset = bs_take32(&c);
    f->slot_capacity = bs_take32(&c);
    f->frame_len = bs_take32(&c);
    bs_take_copy(&c, f->blob_id, sizeof f->blob_id);
    zero = bs_take_zeros(&c, 16) && zero;

    if (bs_take64(&c) != bs_xxh3(0, p, CHECKSUM_OFFSET))
        return blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "the frame header is damaged: its checksum does not match");
    if (layer != 1)
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "layer %u is not supported%s", layer,
                             layer == 2 ? " (double encryption)" : "");
    if (!zero || (f->slots != 1 && f->slots != 2) || !capacity_is_valid(f->slots, f->slot_capacity) ||
        f->slot_offset != (f->slots == 2 ? BS_AB_SLOT_OFFSET : BS_FRAME_HEADER_LEN) ||
        f->frame_len != f->slot_offset + f->slots * f->slot_capacity)
        return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "malformed frame header: impossible values");
    return BLOBSEAL_OK;
}

struct bs_slot bs_slot_decode(const struct bs_frame *f, const uint8_t *frame, unsigned index)
{
    struct bs_parser c = bs_parser_start(frame + f->slot_offset + (size_t)index * f->slot_capacity, f->slot_capacity);
    uint32_t room = f->slot_capacity - BS_SLOT_HEADER_LEN;
    const uint8_t *magic = bs_take(&c, sizeof slot_magic);
    uint32_t jwe_len = bs_take32(&c);
    struct bs_slot s = {.generation = bs_take64(&c)};
    uint64_t checksum = bs_take64(&c);

    if (memcmp(magic, slot_magic, sizeof slot_magic) != 0 || jwe_len == 0 || jwe_len > room ||
        (f->slots == 1 && jwe_len != room) || s.generation == 0 || s.generation > BS_MAX_GENERATION)
        return s;
    s.jwe = (struct bs_slice){bs_take(&c, jwe_len), jwe_len};
    s.valid = bs_take_zeros(&c, c.left) && checksum == bs_xxh3(s.generation, s.jwe.p, jwe_len);
    return s;
}
