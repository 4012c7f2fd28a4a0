/* SPDX-License-Identifier: Apache-2.0 */
/* The core header, and the lengths and offsets of chunks and segments. FORMAT.md sections 2 and 3. */
#include "core/format/format.h"

static const uint8_t core_magic[8] = {0x89, 'B', 'S', 'C', '\r', '\n', 0x1A, '\n'};

#define CHECKSUM_OFFSET (BS_CORE_HEADER_LEN - BS_CHECKSUM_LEN)

bool bs_core_magic(const uint8_t *p, size_t len)
{
    return len >= sizeof core_magic && memcmp(p, core_magic, sizeof core_magic) == 0;
}

static void put_context(struct bs_builder *w, const struct bs_core_header *h)
{
    bs_put(w, core_magic, sizeof core_magic);
    bs_put8(w, h->version);
    bs_put8(w, h->suite);
    bs_put8(w, h->content);
    bs_put8(w, h->segments);
    bs_put_zeros(w, 4);
    bs_put(w, h->blob_id, sizeof h->blob_id);
}

size_t bs_core_context(const struct bs_core_header *h, const uint8_t *metadata_hash, uint8_t out[BS_MAX_CONTEXT_LEN])
{
    struct bs_builder w = bs_builder_start(out, BS_MAX_CONTEXT_LEN);

    put_context(&w, h);
    if (metadata_hash != NULL)
        bs_put(&w, metadata_hash, BS_SHA256_LEN);
    return w.len;
}

void bs_core_encode(struct bs_core_header *h)
{
    struct bs_builder w = bs_builder_start(h->raw, sizeof h->raw);

    put_context(&w, h);
    bs_put(&w, h->salt, sizeof h->salt);
    bs_put(&w, h->commitment, sizeof h->commitment);
    bs_put64(&w, bs_xxh3(0, h->raw, CHECKSUM_OFFSET));
}

/* Check the values that a later version may define, which are therefore never reported as damage. */
static enum blobseal_status check_supported(const struct bs_core_header *h, struct blobseal_error *err)
{
    if (h->suite != BS_SUITE_COBBLESTONE_256)
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "cipher suite %u is not supported%s", h->suite,
                             h->suite == 2 ? " (double encryption)" : "");
    if (h->content > BLOBSEAL_CONTENT_ZSTD)
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "content kind %u is not supported", h->content);
    if (h->segments > BS_SEGMENTS_CHECKSUMMED)
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "segment kind %u is not supported", h->segments);
    return BLOBSEAL_OK;
}

enum blobseal_status bs_core_decode(struct bs_core_header *h, const uint8_t *p, size_t len, struct blobseal_error *err)
{
    struct bs_parser c = bs_parser_start(p, len);
    enum blobseal_status st;
    bool zero;

    *h = (struct bs_core_header){0};
    if (len >= sizeof core_magic && !bs_core_magic(p, len))
        return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "not a sealed blob: no core header at the expected position");
    if (len > sizeof core_magic && p[sizeof core_magic] != 1)
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "blob format version %u is not supported",
                             p[sizeof core_magic]);
    if (len < BS_CORE_HEADER_LEN)
        return blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "the blob ends inside its core header");
    (void)bs_take(&c, sizeof core_magic);
    h->version = bs_take8(&c);
    h->suite = bs_take8(&c);
    h->content = bs_take8(&c);
    h->segments = bs_take8(&c);
    zero = bs_take_zeros(&c, 4);
    bs_take_copy(&c, h->blob_id, sizeof h->blob_id);
    bs_take_copy(&c, h->salt, sizeof h->salt);
    bs_take_copy(&c, h->commitment, sizeof h->commitment);
    memcpy(h->raw, p, sizeof h->raw);

    if (bs_take64(&c) != bs_xxh3(0, p, CHECKSUM_OFFSET))
        return blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "the core header is damaged: its checksum does not match");
    st = check_supported(h, err);
    if (st == BLOBSEAL_OK && !zero)
        st = blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "malformed core header: reserved bytes are not zero");
    return st;
}

uint64_t bs_segment_seed(const struct bs_core_header *h, uint64_t index)
{
    return bs_load64(h->blob_id) ^ index;
}

bool bs_tail_plain_len(uint64_t sealed_len, uint64_t *plain_len)
{
    uint64_t full = sealed_len / BS_SEALED_CHUNK_LEN, rest = sealed_len % BS_SEALED_CHUNK_LEN;

    if (rest < BS_GCM_TAG_LEN)
        return false;
    *plain_len = full * BS_CHUNK_LEN + rest - BS_GCM_TAG_LEN;
    return true;
}

uint64_t bs_core_len(const struct bs_core_header *h, uint64_t plain_len)
{
    uint64_t full = plain_len / BS_SEGMENT_LEN;
    size_t rest = (size_t)(plain_len % BS_SEGMENT_LEN);

    return BS_CORE_HEADER_LEN + full * bs_segment_stride(h) + bs_sealed_tail_len(rest) + bs_segment_checksum_len(h);
}

bool bs_payload_plain_len(const struct bs_core_header *h, uint64_t payload_len, uint64_t *plain_len)
{
    uint64_t full = payload_len / bs_segment_stride(h), rest = payload_len % bs_segment_stride(h);
    uint64_t checksum_len = bs_segment_checksum_len(h), tail;

    if (rest < checksum_len || full >= BS_MAX_CHUNKS / BS_SEGMENT_CHUNKS)
        return false;
    if (!bs_tail_plain_len(rest - checksum_len, &tail) || tail >= BS_SEGMENT_LEN)
        return false;
    *plain_len = full * BS_SEGMENT_LEN + tail;
    return true;
}

uint64_t bs_chunk_offset(const struct bs_core_header *h, uint64_t index)
{
    return BS_CORE_HEADER_LEN + index / BS_SEGMENT_CHUNKS * bs_segment_stride(h) +
           index % BS_SEGMENT_CHUNKS * BS_SEALED_CHUNK_LEN;
}
