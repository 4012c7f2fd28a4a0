/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format: the bytes of a blob except its envelope. Core header, chunks, frame, and zstd content. Section numbers are
 * those of FORMAT.md. Nothing here reads, writes or starts threads.
 */
#ifndef BLOBSEAL_FORMAT_H
#define BLOBSEAL_FORMAT_H

#include "core/base/base.h"
#include "simd/simd.h"

/* ---- core_header.c: the core header and the arithmetic of segments (sections 2 and 3) ---------------------------- */

#define BS_CORE_HEADER_LEN    96
#define BS_CONTEXT_LEN        32
#define BS_SALT_LEN           24
#define BS_COMMITMENT_LEN     32
#define BS_CHUNK_LEN          ((size_t)16384)
#define BS_SEALED_CHUNK_LEN   (BS_CHUNK_LEN + BS_GCM_TAG_LEN)
#define BS_SEGMENT_CHUNKS     ((size_t)64)
#define BS_SEGMENT_LEN        (BS_SEGMENT_CHUNKS * BS_CHUNK_LEN)        /* plaintext of a full segment: 1 MiB */
#define BS_SEALED_SEGMENT_LEN (BS_SEGMENT_CHUNKS * BS_SEALED_CHUNK_LEN) /* its chunks, without the checksum   */
#define BS_CHECKSUM_LEN       ((size_t)8)
#define BS_MAX_CHUNKS         ((uint64_t)1 << 38)
#define BS_MAX_PLAIN          (BS_MAX_CHUNKS * BS_CHUNK_LEN - 1)

enum { BS_SUITE_COBBLESTONE_256 = 1 };
enum { BS_SEGMENTS_BARE = 0, BS_SEGMENTS_CHECKSUMMED = 1 };

struct bs_core_header {
    uint8_t version, suite, content, segments;
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN];
    uint8_t salt[BS_SALT_LEN];
    uint8_t commitment[BS_COMMITMENT_LEN];
    uint8_t raw[BS_CORE_HEADER_LEN];
};

/* Return true if @len bytes start with the magic of a core. */
bool bs_core_magic(const uint8_t *p, size_t len);

/* Write bytes 0..31, which the commitment binds. All members of @h but salt and commitment must be set. */
void bs_core_context(const struct bs_core_header *h, uint8_t out[BS_CONTEXT_LEN]);

/* Set h->raw from the other members. */
void bs_core_encode(struct bs_core_header *h);

/* Parse and check @len bytes, of which 96 are used. Errors: E_FORMAT, E_DAMAGED, E_UNSUPPORTED. */
BLOBSEAL_MUST_USE enum blobseal_status bs_core_decode(struct bs_core_header *h, const uint8_t *p, size_t len,
                                                      struct blobseal_error *err);

/* Return the seed for the checksum of segment @index. */
uint64_t bs_segment_seed(const struct bs_core_header *h, uint64_t index);

/* Return the length of the checksum after a segment: 0 if the blob has none. */
static inline size_t bs_segment_checksum_len(const struct bs_core_header *h)
{
    return h->segments == BS_SEGMENTS_CHECKSUMMED ? BS_CHECKSUM_LEN : 0;
}

/* Return the length of a full sealed segment with its checksum. */
static inline size_t bs_segment_stride(const struct bs_core_header *h)
{
    return BS_SEALED_SEGMENT_LEN + bs_segment_checksum_len(h);
}

/* Return the length of @plain_len bytes once sealed as the last chunks of a message. */
static inline size_t bs_sealed_tail_len(size_t plain_len)
{
    return plain_len + (plain_len / BS_CHUNK_LEN + 1) * BS_GCM_TAG_LEN;
}

/*
 * Find the plaintext length of @sealed_len bytes of chunks that end a message. Return false if no message has that
 * length, or if it would end in a full chunk.
 */
bool bs_tail_plain_len(uint64_t sealed_len, uint64_t *plain_len);

/* Return the length of the core (header and payload) that holds @plain_len bytes. */
uint64_t bs_core_len(const struct bs_core_header *h, uint64_t plain_len);

/* Find the plaintext length from the length of the payload. Return false if no payload has that length. */
bool bs_payload_plain_len(const struct bs_core_header *h, uint64_t payload_len, uint64_t *plain_len);

/* Return the offset of chunk @index in the core. */
uint64_t bs_chunk_offset(const struct bs_core_header *h, uint64_t index);

/* ---- chunked.c: C2SP chunked-encryption, Cobblestone-256 (section 3) --------------------------------------------- */

/* A run: the chunks that are handled between one read and one write, so that they stay in the L2 cache. */
#define BS_RUN_CHUNKS     ((size_t)16)
#define BS_RUN_LEN        (BS_RUN_CHUNKS * BS_CHUNK_LEN)
#define BS_SEALED_RUN_LEN (BS_RUN_CHUNKS * BS_SEALED_CHUNK_LEN)

/*
 * Return the size of a worker's buffer, plain or sealed: for a whole segment where that side is sequential, for a run
 * where it is seekable. If @plain_len is not 0, there is only one segment, and it has so many bytes of plaintext.
 */
size_t bs_segment_buffer_size(bool sequential, size_t plain_len);

/* What HKDF derives for one message. Lives in secret memory. */
struct bs_chunked_keys {
    uint8_t key[BS_GCM_KEY_LEN];
    uint8_t nonce[BS_GCM_NONCE_LEN];
    uint8_t commitment[BS_COMMITMENT_LEN];
};

/* Derive the keys of a message. Return false without memory. Source: C2SP chunked-encryption, "Key derivation". */
BLOBSEAL_MUST_USE bool bs_chunked_derive(struct bs_chunked_keys *keys, const struct blobseal_secret32 *dek,
                                         const uint8_t salt[BS_SALT_LEN], const uint8_t *context, size_t context_len);

/* A keyed kernel and the base nonce. Used by one thread at a time. */
struct bs_chunked {
    struct bs_gcm_key *gcm; /* secret memory */
    uint8_t nonce[BS_GCM_NONCE_LEN];
};

/*
 * Set the key. Clear @c also after a failure. Errors: E_NOMEM; E_INTERNAL if the kernel fails its self-test; E_CONFIG
 * if OpenSSL has no AES-GCM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_chunked_init(struct bs_chunked *c, const struct bs_chunked_keys *keys,
                                                       struct blobseal_error *err);
void bs_chunked_clear(struct bs_chunked *c);

/* The same on the heap: the state of a worker that seals or opens chunks. NULL is released as well. */
BLOBSEAL_MUST_USE enum blobseal_status bs_chunked_new(struct bs_chunked **c, const struct bs_chunked_keys *keys,
                                                      struct blobseal_error *err);
void bs_chunked_free(struct bs_chunked *c);

/*
 * Seal @plain as chunks @first, @first + 1, ... Without @last its length is a positive multiple of 16 KiB. With @last
 * the short chunk that ends the message is among them, and the result has bs_sealed_tail_len() bytes. @sealed must not
 * overlap @plain. Return false for more than 2^38 chunks, or if OpenSSL failed.
 */
BLOBSEAL_MUST_USE bool bs_chunked_seal(struct bs_chunked *c, uint64_t first, bool last, uint8_t *sealed,
                                       struct bs_slice plain);

/*
 * Open @sealed, which holds chunks @first, @first + 1, ... Return false if the length is impossible or a chunk is not
 * authentic:
 * @plain then holds the chunks before that one, verified, and zeros after them.
 */
BLOBSEAL_MUST_USE bool bs_chunked_open(struct bs_chunked *c, uint64_t first, bool last, uint8_t *plain,
                                       struct bs_slice sealed, size_t *plain_len);

/* ---- frame.c: the envelope frame and its slots (section 5) ------------------------------------------------------- */

#define BS_FRAME_HEADER_LEN      64
#define BS_SLOT_HEADER_LEN       24
#define BS_AB_SLOT_OFFSET        4096u
#define BS_DEFAULT_SLOT_CAPACITY 8192u
#define BS_MAX_SLOT_CAPACITY     65536u
#define BS_MAX_GENERATION        (((uint64_t)1 << 53) - 1)

struct bs_frame {
    unsigned slots; /* 1: compact, 2: A/B */
    uint32_t slot_offset, slot_capacity, frame_len;
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN];
};

struct bs_slot {
    bool valid;
    uint64_t generation;
    struct bs_slice jwe;
};

/* Return true if @len bytes start with the magic of a frame. */
bool bs_frame_magic(const uint8_t *p, size_t len);

/*
 * Lay out the frame for a JWE of @jwe_len bytes: compact, or A/B with slots of @capacity (0: the default, or what the
 * JWE needs). Errors: E_POLICY if it does not fit.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_frame_plan(struct bs_frame *f, enum blobseal_layout layout, uint32_t capacity,
                                                     size_t jwe_len, const uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN],
                                                     struct blobseal_error *err);

/* Write all f->frame_len bytes: the header, and @jwe in each slot. */
void bs_frame_encode(const struct bs_frame *f, uint8_t *out, const char *jwe, size_t jwe_len, uint64_t generation);

/* Write what stands before the slots: f->slot_offset bytes. */
void bs_frame_encode_head(const struct bs_frame *f, uint8_t *out);

/* Write one slot: f->slot_capacity bytes. The JWE must fit. */
void bs_slot_encode(const struct bs_frame *f, uint8_t *out, const char *jwe, size_t jwe_len, uint64_t generation);

/* Parse the header. Errors: E_FORMAT, E_DAMAGED, E_UNSUPPORTED. */
BLOBSEAL_MUST_USE enum blobseal_status bs_frame_decode(struct bs_frame *f, const uint8_t *p, size_t len,
                                                       struct blobseal_error *err);

/* Parse slot @index. All bytes of the frame are at @frame. */
struct bs_slot bs_slot_decode(const struct bs_frame *f, const uint8_t *frame, unsigned index);

/* ---- zstd_frame.c: one frame of zstd content (section 3.1) ------------------------------------------------------- */

#define BS_ZFRAME_PLAIN_LEN ((size_t)1 << 20)
#define BS_ZFRAME_MAX_LEN   ((size_t)1052672) /* upper limit for a full frame */

/* Contexts of libzstd, made when first used and kept. Used by one thread at a time. */
struct bs_zstd {
    struct ZSTD_CCtx_s *c;
    struct ZSTD_DCtx_s *d;
};

void bs_zstd_clear(struct bs_zstd *z);

/* The same on the heap: the state of a worker. NULL is released as well. Errors: E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_new(struct bs_zstd **z, struct blobseal_error *err);
void bs_zstd_free(struct bs_zstd *z);

/*
 * Compress @plain, 1 byte to 1 MiB, into a frame of at most BS_ZFRAME_MAX_LEN bytes. The level of the first call
 * applies to all later ones. Errors: E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_zframe_compress(struct bs_zstd *z, int level, uint8_t *frame, size_t *len,
                                                          struct bs_slice plain, struct blobseal_error *err);

/* Decompress @frame, number @index, which must hold exactly @plain_len bytes. Errors: E_FORMAT, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_zframe_decompress(struct bs_zstd *z, uint64_t index, uint8_t *plain,
                                                            size_t plain_len, struct bs_slice frame,
                                                            struct blobseal_error *err);

/* A frame whose end may not have arrived yet. */
struct bs_zframe {
    size_t need;      /* bytes needed, from the start of the frame, for the next step; if `last`, its length */
    size_t plain_len; /* once known; at most BS_ZFRAME_PLAIN_LEN                                              */
    bool last;        /* the last block has been found                                                        */
};

/*
 * Start, then call step with f->need bytes at @p until f->last. A step returns NULL, or what is wrong with the frame;
 * no further step is allowed then.
 */
void bs_zframe_start(struct bs_zframe *f);
BLOBSEAL_MUST_USE const char *bs_zframe_step(struct bs_zframe *f, const uint8_t *p);

/* Report content that is authentic, but not what section 3.1 allows. Return E_FORMAT. */
enum blobseal_status bs_bad_frame(struct blobseal_error *err, uint64_t index, const char *what);
enum blobseal_status bs_bad_table(struct blobseal_error *err, const char *what);

/* ---- seek_table.c: where the frames of zstd content start (section 3.1) ------------------------------------------ */

#define BS_MAX_FRAMES      ((uint32_t)1 << 20) /* when sealing, and the default limit of a reader */
#define BS_SEEK_HEADER_LEN ((size_t)8)
#define BS_SEEK_ENTRY_LEN  ((size_t)8)
#define BS_SEEK_FOOTER_LEN ((size_t)9)

/* Offsets in the zstd file, which is what is sealed, and in the original. */
struct bs_seek_point {
    uint64_t stored, plain;
};

/* All zero is an empty table. */
struct bs_seek_table {
    size_t num, cap;
    struct bs_seek_point *points; /* num + 1: the start of each frame, and the end; NULL if num is 0 */
};

/* Append a frame of @stored bytes that holds @plain bytes. Return false without memory. */
BLOBSEAL_MUST_USE bool bs_seek_add(struct bs_seek_table *t, size_t stored, size_t plain);
void bs_seek_clear(struct bs_seek_table *t);

/* Return the length of all frames together, stored and decompressed. */
uint64_t bs_seek_stored(const struct bs_seek_table *t);
uint64_t bs_seek_plain(const struct bs_seek_table *t);

/* Return the number of the frame that holds byte @plain of the original, which must exist. */
size_t bs_seek_find(const struct bs_seek_table *t, uint64_t plain);

/* Check a number of frames. Errors: E_POLICY for more than @limit. */
BLOBSEAL_MUST_USE enum blobseal_status bs_seek_limit(uint64_t num, uint32_t limit, struct blobseal_error *err);

/* Write the table piece by piece: header, entries, footer. */
size_t bs_seek_encoded_len(size_t num);
void bs_seek_put_header(struct bs_builder *w, size_t num);
void bs_seek_put_entry(struct bs_builder *w, const struct bs_seek_table *t, size_t i);
void bs_seek_put_footer(struct bs_builder *w, size_t num);

/* Return true if 4 bytes at @p are the magic of a table. */
bool bs_seek_magic(const uint8_t *p);

/* Read the footer of a zstd file of @stored bytes, and check that *@num entries fit in it. Errors: E_FORMAT. */
BLOBSEAL_MUST_USE enum blobseal_status bs_seek_footer(const uint8_t *p, uint64_t stored, size_t *num,
                                                      struct blobseal_error *err);

/* Read the whole table at @p into the empty @t. Clear @t also after a failure. Errors: E_FORMAT, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_seek_decode(struct bs_seek_table *t, size_t num, const uint8_t *p,
                                                      uint64_t stored, struct blobseal_error *err);

#endif
