/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private prototypes of what a blob is: its bytes and keys, without I/O and threads. One section per .c file, in order of
 * dependency; section numbers are those of FORMAT.md. internal.h has the rest.
 */
#ifndef BLOBSEAL_FORMAT_H
#define BLOBSEAL_FORMAT_H

#include "blobseal.h"
#include "blobseal_provider.h"
#include "bytes.h"
#include "simd.h"

/* ---- digest.c: SHA-256 ----------------------------------------------------------------------------------------- */

#define BS_SHA256_LEN 32

struct bs_sha256 {
    void *ctx;
    bool ok;
};

/* Start, add, end: any failure (no memory) shows at the end only, which always releases. */
struct bs_sha256 bs_sha256_start(void);
void bs_sha256_add(struct bs_sha256 *h, const void *p, size_t len);
BLOBSEAL_MUST_USE bool bs_sha256_end(struct bs_sha256 *h, uint8_t out[BS_SHA256_LEN]);

/* ---- blob.c: core header and the arithmetic of segments (sections 2 and 3) ----------------------------------- */

#define BS_CORE_HEADER_LEN    96
#define BS_CONTEXT_LEN        32
#define BS_SALT_LEN           24
#define BS_COMMITMENT_LEN     32
#define BS_CHUNK_LEN          ((size_t)16384)
#define BS_SEALED_CHUNK_LEN   (BS_CHUNK_LEN + BS_GCM_TAG_LEN)
#define BS_SEGMENT_CHUNKS     ((size_t)64)
#define BS_SEGMENT_LEN        (BS_SEGMENT_CHUNKS * BS_CHUNK_LEN)        /* plaintext of a full segment: 1 MiB */
#define BS_SEALED_SEGMENT_LEN (BS_SEGMENT_CHUNKS * BS_SEALED_CHUNK_LEN) /* its chunks, without the sum         */
#define BS_CHECKSUM_LEN       ((size_t)8)
#define BS_MAX_CHUNKS         ((uint64_t)1 << 38)
#define BS_MAX_PLAIN          (BS_MAX_CHUNKS * BS_CHUNK_LEN - 1)

enum { BS_SUITE_COBBLESTONE_256 = 1 };
enum { BS_CONTENT_AS_GIVEN = 0, BS_CONTENT_ZSTD = 1 };
enum { BS_SEGMENTS_BARE = 0, BS_SEGMENTS_CHECKSUMMED = 1 };

struct bs_core_header {
    uint8_t version, suite, content, segments;
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN];
    uint8_t salt[BS_SALT_LEN];
    uint8_t commitment[BS_COMMITMENT_LEN];
    uint8_t raw[BS_CORE_HEADER_LEN];
};

/* Whether bytes start like a core. */
bool bs_core_magic(const uint8_t *p, size_t len);

/* Bytes 0..31: what the commitment binds. Everything but salt and commitment of @h is set. */
void bs_core_context(const struct bs_core_header *h, uint8_t out[BS_CONTEXT_LEN]);

/* Set h->raw from the other fields. */
void bs_core_encode(struct bs_core_header *h);

/* Parse and check @len bytes (96 are used). FORMAT, DAMAGED, UNSUPPORTED. */
BLOBSEAL_MUST_USE enum blobseal_status bs_core_decode(struct bs_core_header *h, const uint8_t *p, size_t len,
                                                      struct blobseal_error *err);

/* Seed of the sum of segment @index. */
uint64_t bs_segment_seed(const struct bs_core_header *h, uint64_t index);

/* Bytes of the sum behind a segment, if the blob has sums. */
static inline size_t bs_segment_checksum_len(const struct bs_core_header *h)
{
    return h->segments == BS_SEGMENTS_CHECKSUMMED ? BS_CHECKSUM_LEN : 0;
}

/* Bytes of a full sealed segment with its sum. */
static inline size_t bs_segment_stride(const struct bs_core_header *h)
{
    return BS_SEALED_SEGMENT_LEN + bs_segment_checksum_len(h);
}

/* Bytes of the sealed chunks of @plain_len bytes that end a message. */
static inline size_t bs_sealed_tail_len(size_t plain_len)
{
    return plain_len + (plain_len / BS_CHUNK_LEN + 1) * BS_GCM_TAG_LEN;
}

/*
 * Plaintext length of @sealed_len bytes of chunks that end a message, all in one piece. False: no message has that
 * length, or it ends in a full chunk.
 */
bool bs_tail_plain_len(uint64_t sealed_len, uint64_t *plain_len);

/* Length of the core (header and payload) that holds @plain_len bytes. */
uint64_t bs_core_len(const struct bs_core_header *h, uint64_t plain_len);

/* The reverse, from the length of the payload. False: no core has that length. */
bool bs_payload_plain_len(const struct bs_core_header *h, uint64_t payload_len, uint64_t *plain_len);

/* Offset of chunk @index in the core. */
uint64_t bs_chunk_offset(const struct bs_core_header *h, uint64_t index);

/* ---- chunked.c: Cobblestone-256 ---------------------------------------------------------------------------- */

/* What HKDF yields for one message. Lives in secret memory. */
struct bs_chunked_keys {
    uint8_t key[BS_GCM_KEY_LEN];
    uint8_t nonce[BS_GCM_NONCE_LEN];
    uint8_t commitment[BS_COMMITMENT_LEN];
};

/* Derive the keys of a message. False: no memory. Source: C2SP chunked-encryption, "Key derivation". */
BLOBSEAL_MUST_USE bool bs_chunked_derive(struct bs_chunked_keys *keys, const struct blobseal_secret32 *dek,
                                         const uint8_t salt[BS_SALT_LEN], const uint8_t *context, size_t context_len);

/* One worker's state: a keyed kernel and the base nonce. Used by one thread at a time. */
struct bs_chunked {
    struct bs_gcm_key *gcm; /* secret memory */
    uint8_t nonce[BS_GCM_NONCE_LEN];
};

/* NOMEM; INTERNAL where the kernel fails its self-test, CONFIG where OpenSSL has no AES-GCM. Clear @c also after a failure. */
BLOBSEAL_MUST_USE enum blobseal_status bs_chunked_init(struct bs_chunked *c, const struct bs_chunked_keys *keys,
                                                       struct blobseal_error *err);
void bs_chunked_clear(struct bs_chunked *c);

/*
 * Seal @len bytes of plaintext as chunks @first, @first + 1, ... Without @last, @len is a positive multiple of 16 KiB; with
 * @last the short final chunk of the message is among them (bs_sealed_tail_len() says how long the result is).
 * False: more than 2^38 chunks, or OpenSSL failed. Plain and sealed bytes must not overlap.
 */
BLOBSEAL_MUST_USE bool bs_chunked_seal(struct bs_chunked *c, uint64_t first, bool last, uint8_t *sealed,
                                       const uint8_t *plain, size_t len);

/*
 * Open @len bytes of sealed chunks, the reverse. False: @len is impossible, or a chunk is not genuine; @plain then holds
 * verified chunks in front and zeros behind.
 */
BLOBSEAL_MUST_USE bool bs_chunked_open(struct bs_chunked *c, uint64_t first, bool last, uint8_t *plain,
                                       const uint8_t *sealed, size_t len, size_t *plain_len);

/* ---- base64url.c ------------------------------------------------------------------------------------------------ */

/* Append the base64url text of @len bytes. */
void bs_put_base64url(struct bs_builder *w, const void *p, size_t len);

/* ---- json.c: strict JSON in place (section 4.1) -------------------------------------------------------------- */

struct bs_json {
    uint8_t *p, *end;
    unsigned depth;
    bool first; /* the next entry is the first of its container */
    bool ok;
};

/* Read @len bytes of @text, which strings are unescaped into. */
struct bs_json bs_json_start(uint8_t *text, size_t len);
bool bs_json_object(struct bs_json *j);
bool bs_json_array(struct bs_json *j);
/* The next member's name; its value must be read before the next call. False: the object has ended, or a fault. */
bool bs_json_member(struct bs_json *j, struct bs_slice *name);
/* Whether an array has another element. False: the array has ended, or a fault. */
bool bs_json_element(struct bs_json *j);
/* A string, unescaped, with a zero byte behind it that is not counted. Points into the text. */
bool bs_json_string(struct bs_json *j, struct bs_slice *out);
/* A string that is exactly @len bytes in base64url. False where it is another one; a fault of the JSON itself stays in @j. */
bool bs_json_fixed(struct bs_json *j, uint8_t *out, size_t len);
/* A plain decimal integer up to 2^53 - 1. */
bool bs_json_uint(struct bs_json *j, uint64_t *out);
/* Append a string, with the escapes that it must have and no others. @text is UTF-8. */
void bs_put_json_string(struct bs_builder *w, const char *text);
/* True if all of the text was read, without a fault. */
BLOBSEAL_MUST_USE bool bs_json_end(struct bs_json *j);

/* ---- jwe_parse.c, jwe.c: JWE JSON, read, opened and written (section 4.2) ---------------------------------------------------------- */

#define BS_IV_LEN      12
#define BS_MAX_CONTENT 8192 /* the JWK: a few hundred bytes, and meta of at most 4 KiB */

struct bs_jwe_recipient {
    const char *alg;
    const char *kid;    /* NULL where absent: bare JWEs only */
    const char *region; /* NULL where absent                 */
    const uint8_t *key;
    size_t key_len;
};

struct bs_jwe {
    uint8_t *buf; /* the one allocation that everything below points into */
    struct bs_slice protected_text;
    uint8_t iv[BS_IV_LEN], tag[BS_GCM_TAG_LEN];
    struct bs_slice ciphertext;
    size_t num;
    struct bs_jwe_recipient recipients[BLOBSEAL_MAX_RECIPIENTS];
};

/*
 * What a use of JWE allows beyond the common core. Envelopes name keys in recipient headers and nowhere else; a bare JWE
 * (RFC 7516 as libraries write it) may do so in the protected header, and need not name a key.
 */
struct bs_jwe_profile {
    bool bare;
    /* Read the value of a protected header member that is not `enc` (nor `alg`, `kid` where bare). NULL: refuse all. */
    enum blobseal_status (*member)(void *ctx, struct bs_slice name, struct bs_json *j, struct blobseal_error *err);
    void *ctx;
};

/* Parse. FORMAT, UNSUPPORTED, NOMEM. Release with bs_jwe_clear(), also after a failure. */
BLOBSEAL_MUST_USE enum blobseal_status bs_jwe_parse(struct bs_jwe *jwe, const char *text, size_t len,
                                                    const struct bs_jwe_profile *profile, struct blobseal_error *err);
void bs_jwe_clear(struct bs_jwe *jwe);

/* What opened a JWE. Secret memory. */
struct bs_jwe_opener {
    size_t recipient;
    struct blobseal_secret32 cek;
};

/*
 * Find a recipient and a KEK that open @jwe, and decrypt its content into @content, which has room for
 * jwe->ciphertext.len bytes in secret memory. @by may be NULL. NO_KEY, AUTH, or what a provider answers (section 4.6, steps
 * 2 and 3).
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_jwe_open(const struct bs_jwe *jwe, bool bare,
                                                   struct blobseal_kek *const *keks, size_t num_keks, uint8_t *content,
                                                   struct bs_jwe_opener *by, struct blobseal_error *err);

/* The one error for "not authentic", and the one for an envelope that breaks a rule of section 4. */
enum blobseal_status bs_not_authentic(struct blobseal_error *err);
enum blobseal_status bs_malformed(struct blobseal_error *err, const char *what);

/*
 * Encrypt @content for the recipients of @jwe, whose `num`, `recipients` are set, with @cek under protected header JSON
 * @header. Writes flattened JSON for one recipient, general for more.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_jwe_write(struct bs_builder *out, const struct bs_jwe *jwe,
                                                    const char *header, size_t header_len,
                                                    const struct blobseal_secret32 *cek, const uint8_t *content,
                                                    size_t content_len, struct blobseal_error *err);

/* ---- frame.c: envelope frame and slots (section 5) ------------------------------------------------------------- */

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

/* Whether bytes start like a frame. */
bool bs_frame_magic(const uint8_t *p, size_t len);

/* The frame for a JWE of @jwe_len bytes: compact, or A/B with @capacity (0: by default). POLICY where it does not fit. */
BLOBSEAL_MUST_USE enum blobseal_status bs_frame_plan(struct bs_frame *f, enum blobseal_layout layout, uint32_t capacity,
                                                     size_t jwe_len, const uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN],
                                                     struct blobseal_error *err);

/* Write all f->frame_len bytes: the header and @jwe in each slot. */
void bs_frame_encode(const struct bs_frame *f, uint8_t *out, const char *jwe, size_t jwe_len, uint64_t generation);

/* The same without the slots: f->slot_offset bytes. */
void bs_frame_encode_head(const struct bs_frame *f, uint8_t *out);

/* Write one slot: f->slot_capacity bytes. The JWE fits. */
void bs_slot_encode(const struct bs_frame *f, uint8_t *out, const char *jwe, size_t jwe_len, uint64_t generation);

/* Parse the header. FORMAT, DAMAGED, UNSUPPORTED. */
BLOBSEAL_MUST_USE enum blobseal_status bs_frame_decode(struct bs_frame *f, const uint8_t *p, size_t len,
                                                       struct blobseal_error *err);

/* Slot @index of a frame whose bytes are all at @frame. */
struct bs_slot bs_slot_decode(const struct bs_frame *f, const uint8_t *frame, unsigned index);

/* ---- meta.c: what the sealer says of a blob (section 4.4) ------------------------------------------------------- */

struct bs_metadata {
    struct blobseal_metadata shown; /* its `annotations` are those below */
    struct blobseal_annotation annotations[BLOBSEAL_MAX_ANNOTATIONS];
};

/* Check @meta (NULL: none) and write it as JSON into @buf; @text receives what was written, maybe nothing. ARG, POLICY. */
BLOBSEAL_MUST_USE enum blobseal_status bs_metadata_write(struct bs_slice *text, uint8_t buf[BLOBSEAL_MAX_METADATA],
                                                         const struct blobseal_metadata *metadata,
                                                         struct blobseal_error *err);

/* Read the object that comes next. The strings of @m point into the text of @j. False: it breaks a rule. */
BLOBSEAL_MUST_USE bool bs_metadata_read(struct bs_metadata *m, struct bs_json *j);

/* ---- jwk.c: the content of an envelope (section 4.4) --------------------------------------------------------------- */

struct bs_jwk {
    struct blobseal_secret32 k;
    uint8_t kid[BLOBSEAL_BLOB_ID_LEN];
    uint8_t hdr[BS_CORE_HEADER_LEN];
    bool has_metadata;
    struct bs_metadata metadata; /* points into the text */
};

/* Parse @text in place. Both are secret memory. */
BLOBSEAL_MUST_USE bool bs_jwk_read(struct bs_jwk *jwk, uint8_t *text, size_t len);

/* Write into secret memory, with the text @meta as it stands (empty: none); the length, or 0 where @cap is too small. */
size_t bs_jwk_write(uint8_t *out, size_t cap, const struct bs_core_header *core, const struct blobseal_secret32 *dek,
                    struct bs_slice metadata);

/* ---- envelope.c: what a JWE must say to be the envelope of a blob (sections 4.3 to 4.6) --------------------- */

struct bs_envelope {
    struct bs_jwe jwe;
    uint64_t generation;
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN];
    uint8_t rcpt[BS_SHA256_LEN];
    unsigned seen; /* members of the protected header */
};

/* Parse; nothing is authentic yet. FORMAT, UNSUPPORTED, NOMEM. Release with bs_envelope_clear(), also after a failure. */
BLOBSEAL_MUST_USE enum blobseal_status bs_envelope_parse(struct bs_envelope *e, const char *text, size_t len,
                                                         struct blobseal_error *err);
void bs_envelope_clear(struct bs_envelope *e);

/* What an opened envelope holds. Secret memory. */
struct bs_unlocked {
    struct bs_jwe_opener by;
    struct bs_chunked_keys keys;
    struct bs_jwk jwk;
    struct bs_slice content; /* the JWK as it stands: whoever rewrites the envelope keeps every byte of it */
    uint8_t text[];          /* two copies of it: one is for bs_jwk_read() to work in                         */
};

/*
 * Unwrap the DEK, check everything that binds envelope and blob, and derive the keys. Without @core (NULL) the copy of
 * the core header in the envelope serves. Release *@u with blobseal_secret_free(). FORMAT, NO_KEY, AUTH, or what a provider
 * answers.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_envelope_unlock(struct bs_unlocked **u, const struct bs_envelope *e,
                                                          const struct bs_core_header *core,
                                                          struct blobseal_kek *const *keks, size_t num_keks,
                                                          struct blobseal_error *err);

/*
 * Write an envelope with @content under @cek for the recipients of @jwe, whose `num` and `recipients` are set. POLICY where
 * it does not fit.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_envelope_encode(struct bs_builder *out,
                                                          const uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN],
                                                          uint64_t generation, const struct bs_jwe *jwe,
                                                          const struct blobseal_secret32 *cek, struct bs_slice content,
                                                          struct blobseal_error *err);

/*
 * Wrap @dek for @keks with a fresh CEK and write the envelope into @out, with @meta from bs_metadata_write() (empty: none).
 * POLICY where it does not fit, ARG for no, too many or equal recipients, or what a provider answers.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_envelope_write(struct bs_builder *out, const struct bs_core_header *core,
                                                         uint64_t generation, const struct blobseal_secret32 *dek,
                                                         struct bs_slice metadata, struct blobseal_kek *const *keks,
                                                         size_t num_keks, struct blobseal_error *err);

#endif
