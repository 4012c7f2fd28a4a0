/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing a payload in order, from pieces of any size. FORMAT.md section 3. */
#include "core/seal/seal.h"
#include "simd/simd.h"

struct bs_payload_buffers {
    uint8_t plain[BS_RUN_LEN];                           /* a run that is not full yet                    */
    uint8_t sealed[BS_SEALED_RUN_LEN + BS_CHECKSUM_LEN]; /* a sealed run, and the checksum of its segment */
};

enum blobseal_status bs_payload_start(struct bs_payload *p, struct bs_new_blob *blob, const struct blobseal_sink *sink,
                                      struct blobseal_error *err)
{
    *p = (struct bs_payload){
        .core = blob->core, .sink = sink, .offset = blob->core_offset + BS_CORE_HEADER_LEN, .digests = &blob->digests};
    p->buffers = bs_map(sizeof *p->buffers);
    if (p->buffers == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "seal: no memory");
    bs_xxh3_start(&p->checksum, bs_segment_seed(&p->core, 0));
    return bs_chunked_init(&p->chunked, blob->keys, err);
}

void bs_payload_clear(struct bs_payload *p)
{
    bs_chunked_clear(&p->chunked);
    bs_unmap(p->buffers, sizeof *p->buffers);
    p->buffers = NULL;
}

/* Seal and write @len bytes, which are a full run or the end of the blob. */
static enum blobseal_status seal_run(struct bs_payload *p, const uint8_t *plain, size_t len, bool last,
                                     struct blobseal_error *err)
{
    uint8_t *sealed = p->buffers->sealed;
    size_t n = last ? bs_sealed_tail_len(len) : BS_SEALED_RUN_LEN;
    enum blobseal_status st;

    if (p->chunk > BS_MAX_CHUNKS - BS_RUN_CHUNKS)
        return blobseal_fail(err, BLOBSEAL_E_INPUT, 0, "too large: a blob holds less than 4 PiB");
    if (!bs_chunked_seal(&p->chunked, p->chunk, last, sealed, (struct bs_slice){plain, len}))
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "seal chunk %llu: OpenSSL failed",
                             (unsigned long long)p->chunk);
    p->chunk += BS_RUN_CHUNKS;
    if (bs_segment_checksum_len(&p->core) > 0) {
        bs_xxh3_add(&p->checksum, sealed, n);
        if (last || p->chunk % BS_SEGMENT_CHUNKS == 0) {
            bs_store64(sealed + n, bs_xxh3_end(&p->checksum));
            n += BS_CHECKSUM_LEN;
            bs_xxh3_start(&p->checksum, bs_segment_seed(&p->core, p->chunk / BS_SEGMENT_CHUNKS));
        }
    }
    bs_digests_add_core(p->digests, sealed, n);
    st = bs_write(p->sink, sealed, n, p->offset, err);
    p->offset += n;
    p->total += len;
    return st;
}

/* A full run never holds the last chunk, which is short: it can be sealed as soon as it is full. */
enum blobseal_status bs_payload_add(struct bs_payload *p, const void *buf, size_t len, struct blobseal_error *err)
{
    const uint8_t *from = buf;
    enum blobseal_status st = BLOBSEAL_OK;

    while (len > 0 && st == BLOBSEAL_OK) {
        size_t n = len < BS_RUN_LEN - p->len ? len : BS_RUN_LEN - p->len;

        if (n == BS_RUN_LEN) { /* a full run, and nothing is buffered: no copy is needed */
            st = seal_run(p, from, n, false, err);
        } else {
            bs_copy_secret(p->buffers->plain + p->len, from, n);
            p->len += n;
            if (p->len == BS_RUN_LEN) {
                p->len = 0;
                st = seal_run(p, p->buffers->plain, BS_RUN_LEN, false, err);
            }
        }
        from += n;
        len -= n;
    }
    return st;
}

enum blobseal_status bs_payload_end(struct bs_payload *p, struct blobseal_error *err)
{
    size_t len = p->len;

    p->len = 0;
    return seal_run(p, p->buffers->plain, len, true, err);
}
