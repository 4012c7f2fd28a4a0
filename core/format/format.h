/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format: encoding and decoding of everything in a blob except the JWE of its envelope: core header, chunks, envelope
 * frame, and zstd content. Section numbers refer to FORMAT.md. This module does no I/O and starts no threads.
 */
#ifndef BLOBSEAL_FORMAT_H
#define BLOBSEAL_FORMAT_H

#include "core/base/base.h"
#include "simd/simd.h"

/* ---- core_header.c: the core header, and lengths and offsets of segments (sections 2 and 3) ---------------------- */

#define BS_CORE_HEADER_LEN    96
#define BS_CONTEXT_LEN        32 /* of a blob without metadata */
#define BS_MAX_CONTEXT_LEN    (BS_CONTEXT_LEN + BS_SHA256_LEN)
#define BS_SALT_LEN           24
#define BS_COMMITMENT_LEN     32
#define BS_CHUNK_LEN          ((size_t)16384)
#define BS_SEALED_CHUNK_LEN   (BS_CHUNK_LEN + BS_GCM_TAG_LEN)
#define BS_SEGMENT_CHUNKS     ((size_t)64)
#define BS_SEGMENT_LEN        (BS_SEGMENT_CHUNKS * BS_CHUNK_LEN)        /* plaintext of a full segment: 1 MiB     */
#define BS_SEALED_SEGMENT_LEN (BS_SEGMENT_CHUNKS * BS_SEALED_CHUNK_LEN) /* a full sealed segment without checksum */
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

/* Return true if the @len bytes at @p start with the magic of a core header. */
bool bs_core_magic(const uint8_t *p, size_t len);

/*
 * Write the context that the commitment binds: bytes 0 to 31 of the core header, and after them @metadata_hash unless
 * it is NULL. All members of @h except salt, commitment and raw must be set. Return the length. Source: section 2.
 */
size_t bs_core_context(const struct bs_core_header *h, const uint8_t *metadata_hash, uint8_t out[BS_MAX_CONTEXT_LEN]);

/* Encode the other members of @h into h->raw. */
void bs_core_encode(struct bs_core_header *h);

/* Parse and check the core header in the first 96 of @len bytes. Errors: E_FORMAT, E_DAMAGED (also if @len is less than
 * 96), E_UNSUPPORTED. */
BLOBSEAL_MUST_USE enum blobseal_status bs_core_decode(struct bs_core_header *h, const uint8_t *p, size_t len,
                                                      struct blobseal_error *err);

/* Return the XXH3 seed for the checksum of segment @index. */
uint64_t bs_segment_seed(const struct bs_core_header *h, uint64_t index);

/* Return the length of the checksum after each segment, which is 0 if the blob has none. */
static inline size_t bs_segment_checksum_len(const struct bs_core_header *h)
{
    return h->segments == BS_SEGMENTS_CHECKSUMMED ? BS_CHECKSUM_LEN : 0;
}

/* Return the length of a full sealed segment including its checksum, if it has one. */
static inline size_t bs_segment_stride(const struct bs_core_header *h)
{
    return BS_SEALED_SEGMENT_LEN + bs_segment_checksum_len(h);
}

/* Return the sealed length of @plain_len bytes that end a message, including the short last chunk. */
static inline size_t bs_sealed_tail_len(size_t plain_len)
{
    return plain_len + (plain_len / BS_CHUNK_LEN + 1) * BS_GCM_TAG_LEN;
}

/*
 * Compute the plaintext length of @sealed_len bytes of chunks that end a message. Return false if no message has that
 * sealed length, because its last chunk would be full or shorter than a tag.
 */
bool bs_tail_plain_len(uint64_t sealed_len, uint64_t *plain_len);

/* Return the length of a core (header and payload) with @plain_len bytes of plaintext. */
uint64_t bs_core_len(const struct bs_core_header *h, uint64_t plain_len);

/* Compute the plaintext length from the length of the payload. Return false if no payload has that length. */
bool bs_payload_plain_len(const struct bs_core_header *h, uint64_t payload_len, uint64_t *plain_len);

/* Return the offset of chunk @index from the start of the core. */
uint64_t bs_chunk_offset(const struct bs_core_header *h, uint64_t index);

/* ---- chunked.c: C2SP chunked-encryption, Cobblestone-256 (section 3) --------------------------------------------- */

/* A run is a group of chunks that are processed together between one read and one write. It fits into the L2 cache. */
#define BS_RUN_CHUNKS     ((size_t)16)
#define BS_RUN_LEN        (BS_RUN_CHUNKS * BS_CHUNK_LEN)
#define BS_SEALED_RUN_LEN (BS_RUN_CHUNKS * BS_SEALED_CHUNK_LEN)

/*
 * Return the size of a worker's buffer for plaintext or for sealed bytes: enough for a whole segment if that side is
 * sequential, or for a run if it is seekable. If the content is a single segment, @plain_len may be its plaintext
 * length, so that the buffer is no larger than needed; otherwise @plain_len is 0.
 */
size_t bs_segment_buffer_size(bool sequential, size_t plain_len);

/* The keys that HKDF derives for one message. To be stored in secret memory. */
struct bs_chunked_keys {
    uint8_t key[BS_GCM_KEY_LEN];
    uint8_t nonce[BS_GCM_NONCE_LEN];
    uint8_t commitment[BS_COMMITMENT_LEN];
};

/* Derive the keys of a message from @dek. Return false if there is no memory. Source: C2SP chunked-encryption, "Key
 * derivation". */
BLOBSEAL_MUST_USE bool bs_chunked_derive(struct bs_chunked_keys *keys, const struct blobseal_secret32 *dek,
                                         const uint8_t salt[BS_SALT_LEN], const uint8_t *context, size_t context_len);

/* The state for sealing or opening chunks: a kernel with its key, and the base nonce. Used by one thread at a time. */
struct bs_chunked {
    struct bs_gcm_key *gcm; /* secret memory */
    uint8_t nonce[BS_GCM_NONCE_LEN];
};

/*
 * Initialise @c with the keys of a message. Call bs_chunked_clear() also after a failure. Errors: E_NOMEM; E_INTERNAL
 * if the kernel fails its self-test; E_CONFIG if OpenSSL has no AES-GCM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_chunked_init(struct bs_chunked *c, const struct bs_chunked_keys *keys,
                                                       struct blobseal_error *err);
void bs_chunked_clear(struct bs_chunked *c);

/* Wipe the keys, and later initialise @c again with the keys of another message, in the same memory. Errors: those of
 * bs_chunked_init(). */
void bs_chunked_wipe(struct bs_chunked *c);
BLOBSEAL_MUST_USE enum blobseal_status bs_chunked_rekey(struct bs_chunked *c, const struct bs_chunked_keys *keys,
                                                        struct blobseal_error *err);

/* Allocate a struct bs_chunked for a worker, and initialise it. *@c is NULL after a failure, and bs_chunked_free()
 * ignores NULL. Errors: those of bs_chunked_init(). */
BLOBSEAL_MUST_USE enum blobseal_status bs_chunked_new(struct bs_chunked **c, const struct bs_chunked_keys *keys,
                                                      struct blobseal_error *err);
void bs_chunked_free(struct bs_chunked *c);

/*
 * Seal @plain as chunks @first, @first + 1, ... Without @last, its length must be a positive multiple of 16 KiB. With
 * @last, the short chunk that ends the message is included, and the result has bs_sealed_tail_len() bytes. @sealed must
 * not overlap @plain. Return false for an impossible length, for a chunk number of 2^38 or more, or if OpenSSL failed.
 */
BLOBSEAL_MUST_USE bool bs_chunked_seal(struct bs_chunked *c, uint64_t first, bool last, uint8_t *sealed,
                                       struct bs_slice plain);

/*
 * Open @sealed, which contains chunks @first, @first + 1, ... and with @last ends the message. Return false if the
 * length is impossible or a chunk is not authentic; *@plain_len is then 0. If a chunk is not authentic, @plain contains
 * the authenticated chunks before it, followed by zeros.
 */
BLOBSEAL_MUST_USE bool bs_chunked_open(struct bs_chunked *c, uint64_t first, bool last, uint8_t *plain,
                                       struct bs_slice sealed, size_t *plain_len);

/*
 * Return true if bs_chunked_open() has just returned false because OpenSSL failed, which says nothing about the chunks.
 * @err is then filled with E_NOMEM.
 */
BLOBSEAL_MUST_USE bool bs_chunked_failed(const struct bs_chunked *c, struct blobseal_error *err);

/* ---- frame.c: the envelope frame and its slots (section 5) ------------------------------------------------------- */

#define BS_FRAME_HEADER_LEN      64
#define BS_SLOT_HEADER_LEN       24
#define BS_AB_SLOT_OFFSET        4096u
#define BS_DEFAULT_SLOT_CAPACITY 16384u
#define BS_DEFAULT_SLOT_FREE     4096u /* for later recipients */
#define BS_MAX_SLOT_CAPACITY     65536u
#define BS_MAX_GENERATION        (((uint64_t)1 << 53) - 1)

struct bs_frame {
    unsigned slots; /* 1: compact layout, 2: A/B layout */
    uint32_t slot_offset, slot_capacity, frame_len;
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN];
};

struct bs_slot {
    bool valid;          /* well-formed, and the checksum matches             */
    uint64_t generation; /* as stored in the slot, also if it is not valid    */
    struct bs_slice jwe; /* points into the frame; empty if the header is bad */
};

/* Return true if the @len bytes at @p start with the magic of an envelope frame. */
bool bs_frame_magic(const uint8_t *p, size_t len);

/*
 * Compute the layout of a frame for a JWE of @jwe_len bytes: compact, or A/B with slots of @capacity bytes (0: the
 * default size, or more if less than 4096 bytes would be free). Errors: E_ARG if a slot cannot have @capacity bytes;
 * E_POLICY if the JWE does not fit.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_frame_plan(struct bs_frame *f, enum blobseal_layout layout, uint32_t capacity,
                                                     size_t jwe_len, const uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN],
                                                     struct blobseal_error *err);

/* Write the whole frame, f->frame_len bytes: the header, and @jwe in each slot. */
void bs_frame_encode(const struct bs_frame *f, uint8_t *out, const char *jwe, size_t jwe_len, uint64_t generation);

/* Write the part of the frame before the slots, f->slot_offset bytes: the header and its padding. */
void bs_frame_encode_head(const struct bs_frame *f, uint8_t *out);

/* Write one slot, f->slot_capacity bytes. The JWE must fit. */
void bs_slot_encode(const struct bs_frame *f, uint8_t *out, const char *jwe, size_t jwe_len, uint64_t generation);

/* Parse and check the frame header, which must start with the magic. Errors: E_FORMAT, E_DAMAGED (also if @len is less
 * than 64), E_UNSUPPORTED. */
BLOBSEAL_MUST_USE enum blobseal_status bs_frame_decode(struct bs_frame *f, const uint8_t *p, size_t len,
                                                       struct blobseal_error *err);

/* Parse slot @index of the frame whose f->frame_len bytes are at @frame. */
struct bs_slot bs_slot_decode(const struct bs_frame *f, const uint8_t *frame, unsigned index);

/* ---- zstd_frame.c: one frame of zstd content (section 3.1) ------------------------------------------------------- */

#define BS_ZFRAME_PLAIN_LEN ((size_t)1 << 20)
#define BS_ZFRAME_MAX_LEN   ((size_t)1052672) /* upper limit for a full frame */

/* Contexts of libzstd, created on first use and reused. Used by one thread at a time. All zero before first use. They
 * contain plaintext, so their memory is wiped when it is released, and left out of core dumps. */
struct bs_zstd {
    struct ZSTD_CCtx_s *c;
    struct ZSTD_DCtx_s *d;
};

void bs_zstd_clear(struct bs_zstd *z);

/* Allocate a struct bs_zstd for a worker. bs_zstd_free() ignores NULL. Errors: E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_zstd_new(struct bs_zstd **z, struct blobseal_error *err);
void bs_zstd_free(struct bs_zstd *z);

/*
 * Compress @plain, 1 byte to 1 MiB, into a frame. @frame must have room for BS_ZFRAME_MAX_LEN bytes. The level of the
 * first call applies to all later calls with the same @z. Errors: E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_zframe_compress(struct bs_zstd *z, int level, uint8_t *frame, size_t *len,
                                                          struct bs_slice plain, struct blobseal_error *err);

/* Decompress frame number @index, whose content must have exactly @plain_len bytes. Errors: E_FORMAT, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_zframe_decompress(struct bs_zstd *z, uint64_t index, uint8_t *plain,
                                                            size_t plain_len, struct bs_slice frame,
                                                            struct blobseal_error *err);

/* The state of parsing the structure of a frame that arrives in pieces. */
struct bs_zframe {
    size_t need;      /* bytes needed, from the start of the frame, for the next step; if `last`, its length */
    size_t plain_len; /* length of the content, at most BS_ZFRAME_PLAIN_LEN; 0 until it is known             */
    bool last;        /* the last block has been found                                                       */
};

/*
 * Initialise @f with bs_zframe_start(), then call bs_zframe_step() with the first f->need bytes of the frame at @p
 * until f->last is set. bs_zframe_step() returns NULL, or a text that describes why the frame is refused; it must not
 * be called again after that.
 */
void bs_zframe_start(struct bs_zframe *f);
BLOBSEAL_MUST_USE const char *bs_zframe_step(struct bs_zframe *f, const uint8_t *p);

/* Fill @err for zstd content that is authentic but violates section 3.1, in frame @index or in the seek table. Return
 * E_FORMAT. */
enum blobseal_status bs_bad_frame(struct blobseal_error *err, uint64_t index, const char *what);
enum blobseal_status bs_bad_table(struct blobseal_error *err, const char *what);

/* ---- digests.c: SHA-256 of a blob and its plaintext, computed while it is written or read -------------------------
 */

struct bs_digests {
    uint32_t wanted; /* BLOBSEAL_DIGEST_ */
    bool framed, hashes_core, hashes_plain;
    struct bs_sha256 output, core, plain;
};

/* Refuse bits that this version does not know. Errors: E_ARG. */
BLOBSEAL_MUST_USE enum blobseal_status bs_digests_check(uint32_t wanted, struct blobseal_error *err);

/*
 * Start the digests @wanted, none if it is 0. Without a frame (not @framed) the digests of output and core are the same
 * and are computed once. Release with bs_digests_end() or bs_digests_clear().
 */
struct bs_digests bs_digests_start(uint32_t wanted, bool framed);
void bs_digests_clear(struct bs_digests *d);

/* Return a copy of digests that have been started, to continue with other data. Release it like @d. */
struct bs_digests bs_digests_copy(const struct bs_digests *d);

/* Add bytes of the frame, of the core, and of the plaintext, each in order. */
void bs_digests_add_frame(struct bs_digests *d, const void *p, size_t len);
void bs_digests_add_core(struct bs_digests *d, const void *p, size_t len);
void bs_digests_add_plain(struct bs_digests *d, const void *p, size_t len);

/* Return true if the bytes of the core are needed. */
static inline bool bs_digests_need_core(const struct bs_digests *d)
{
    return d->hashes_core || d->framed;
}

/* Write the digests to @out, which is zero after a failure, and release @d. Errors: E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_digests_end(struct bs_digests *d, struct blobseal_digests *out,
                                                      struct blobseal_error *err);

/* ---- seek_table.c: where the frames of zstd content start (section 3.1) ------------------------------------------ */

#define BS_MAX_FRAMES      ((uint32_t)1 << 20) /* the limit when sealing, and the default limit when reading */
#define BS_SEEK_HEADER_LEN ((size_t)8)
#define BS_SEEK_ENTRY_LEN  ((size_t)8)
#define BS_SEEK_FOOTER_LEN ((size_t)9)

/* The position of a frame boundary: its offset in the zstd file that is sealed, and in the original content. */
struct bs_seek_point {
    uint64_t stored, plain;
};

/* A seek table with @num frames. An empty table is all zero. */
struct bs_seek_table {
    size_t num, cap;
    struct bs_seek_point *points; /* num + 1: the start of each frame, and the end of the last; NULL if num is 0 */
};

/* Append a frame of @stored bytes with @plain bytes of content. Return false if there is no memory. */
BLOBSEAL_MUST_USE bool bs_seek_add(struct bs_seek_table *t, size_t stored, size_t plain);
void bs_seek_clear(struct bs_seek_table *t);

/* Return the total length of all frames, compressed (stored) or decompressed (plain). */
uint64_t bs_seek_stored(const struct bs_seek_table *t);
uint64_t bs_seek_plain(const struct bs_seek_table *t);

/* Return the number of the frame that contains offset @plain of the original content. Every frame but the last is full.
 */
static inline uint64_t bs_seek_find(uint64_t plain)
{
    return plain / BS_ZFRAME_PLAIN_LEN;
}

/* Check that there are at most @limit frames. Errors: E_POLICY. */
BLOBSEAL_MUST_USE enum blobseal_status bs_seek_limit(uint64_t num, uint32_t limit, struct blobseal_error *err);

/* Write the table in pieces: the header, the entry of each frame, and the footer. */
size_t bs_seek_encoded_len(size_t num);
void bs_seek_put_header(struct bs_builder *w, size_t num);
void bs_seek_put_entry(struct bs_builder *w, const struct bs_seek_table *t, size_t i);
void bs_seek_put_footer(struct bs_builder *w, size_t num);

/* Return true if the 4 bytes at @p are the magic number of a seek table. */
bool bs_seek_magic(const uint8_t *p);

/* Parse the footer at @p of a zstd file of @stored bytes. *@num receives the number of entries, which is checked to fit
 * into the file. Errors: E_FORMAT. */
BLOBSEAL_MUST_USE enum blobseal_status bs_seek_footer(const uint8_t *p, uint64_t stored, size_t *num,
                                                      struct blobseal_error *err);

/*
 * Parse the table with @num entries at @p, which ends a zstd file of @stored bytes, into the empty @t. Call
 * bs_seek_clear() also after a failure. Errors: E_FORMAT, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_seek_decode(struct bs_seek_table *t, size_t num, const uint8_t *p,
                                                      uint64_t stored, struct blobseal_error *err);

#endif
