/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envelope: JWE, JWK and frame as one thing. What stands before the payload of a blob, what its envelope contains, and
 * what of it is shown to callers. FORMAT.md sections 1, 4 and 5.
 */
#ifndef BLOBSEAL_ENVELOPE_H
#define BLOBSEAL_ENVELOPE_H

#include "core/base/base.h"
#include "core/format/format.h"
#include "core/io/io.h"
#include "core/jwe/jwe.h"

/* ---- metadata.c: name, type and annotations that are sealed with a blob (section 4.4) ---------------------------- */

struct bs_metadata {
    struct blobseal_metadata shown; /* its `annotations` are those below */
    struct blobseal_annotation annotations[BLOBSEAL_MAX_ANNOTATIONS];
};

/*
 * Check @metadata (NULL: none) and write it as JSON into @buf. @text receives what was written, which may be empty.
 * Errors: E_ARG, E_POLICY.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_metadata_write(struct bs_slice *text, uint8_t buf[BLOBSEAL_MAX_METADATA],
                                                         const struct blobseal_metadata *metadata,
                                                         struct blobseal_error *err);

/* Read the object that comes next. The strings of @m point into the text of @j. Return false if it breaks a rule. */
BLOBSEAL_MUST_USE bool bs_metadata_read(struct bs_metadata *m, struct bs_json *j);

/* ---- jwk.c: the content of an envelope (section 4.4) ------------------------------------------------------------- */

struct bs_jwk {
    struct blobseal_secret32 k;
    uint8_t kid[BLOBSEAL_BLOB_ID_LEN];
    uint8_t hdr[BS_CORE_HEADER_LEN];
    bool has_metadata;
    struct bs_metadata metadata; /* points into the text */
};

/* Parse @text in place. Both are secret memory. */
BLOBSEAL_MUST_USE bool bs_jwk_read(struct bs_jwk *jwk, uint8_t *text, size_t len);

/*
 * Write a JWK into secret memory, with the JSON text @metadata as it is (empty: none). Return its length, or 0 if @cap
 * is too small.
 */
size_t bs_jwk_write(uint8_t *out, size_t cap, const struct bs_core_header *core, const struct blobseal_secret32 *dek,
                    struct bs_slice metadata);

/* ---- envelope.c: what a JWE must contain to be the envelope of a blob (sections 4.3 to 4.6) ---------------------- */

struct bs_envelope {
    struct bs_jwe jwe;
    uint64_t generation;
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN];
    uint8_t rcpt[BS_SHA256_LEN];
    unsigned seen; /* members of the protected header */
};

/*
 * Parse. Nothing is authentic yet. Release with bs_envelope_clear(), also after a failure. Errors: E_FORMAT,
 * E_UNSUPPORTED, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_envelope_parse(struct bs_envelope *e, const char *text, size_t len,
                                                         struct blobseal_error *err);
void bs_envelope_clear(struct bs_envelope *e);

/* What an opened envelope contains. Secret memory. */
struct bs_unlocked {
    struct bs_jwe_opener by;
    struct bs_chunked_keys keys;
    struct bs_jwk jwk;
    struct bs_slice content; /* the text of the JWK: a rewritten envelope keeps every byte of it */
    uint8_t text[];          /* two copies of it, one of which bs_jwk_read() works in            */
};

/*
 * Unwrap the DEK, check everything that binds envelope and blob, and derive the keys. If @core is NULL, the copy of the
 * core header in the envelope is used. Release *@u with blobseal_secret_free(). Errors: E_FORMAT, E_NO_KEY, E_AUTH,
 * those of providers.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_envelope_unlock(struct bs_unlocked **u, const struct bs_envelope *e,
                                                          const struct bs_core_header *core, struct bs_keks keks,
                                                          struct blobseal_error *err);

/*
 * Write an envelope with the JWK @content under @cek. Of @e the blob id, the generation and the recipients of the JWE
 * are used. Errors: E_POLICY if it does not fit.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_envelope_encode(struct bs_builder *out, const struct bs_envelope *e,
                                                          const struct blobseal_secret32 *cek, struct bs_slice content,
                                                          struct blobseal_error *err);

/* What a new envelope is to contain. */
struct bs_envelope_plan {
    const struct bs_core_header *core;
    uint64_t generation;
    const struct blobseal_secret32 *dek;
    struct bs_slice metadata; /* from bs_metadata_write(); empty: none */
};

/*
 * Wrap a fresh CEK for @keks and write the envelope into @out. Errors: E_POLICY if it does not fit; E_ARG for no
 * recipients, too many, or the same key twice; those of providers.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_envelope_write(struct bs_builder *out, const struct bs_envelope_plan *plan,
                                                         struct bs_keks keks, struct blobseal_error *err);

/* Report a key that was passed twice. Return E_ARG. */
enum blobseal_status bs_duplicate_key(const char *kid, struct blobseal_error *err);

/* ---- preamble.c: frame, slots and core header, and which envelope counts (sections 1 and 5) ---------------------- */

struct bs_preamble {
    struct bs_core_header core;
    bool core_damaged;  /* only core.blob_id is valid, taken from the frame                  */
    bool frame_damaged; /* the frame header was derived from the position of the core        */
    uint64_t core_offset;
    enum blobseal_layout layout;
    uint32_t notes;         /* BLOBSEAL_NOTE_                                                */
    struct bs_frame header; /* of the frame; all zero if detached                            */
    struct bs_slot slots[2];
    uint8_t *frame; /* its bytes, which slots and candidates point into; NULL if detached    */
    size_t num_candidates;
    struct {
        const char *text;
        size_t len;
        uint64_t generation; /* of the slot; 0 for an envelope that was passed               */
    } candidates[2];         /* envelopes to try, in order; two only if generations tie      */
};

/*
 * Read frame, slots and core header. If @envelope is passed, it is borrowed, and the slots are ignored. If the source
 * has a lock, slots are read under it, and read again while they look like a change in progress, which can take 90 ms.
 * Release with bs_preamble_clear(), also after a failure. Errors: E_FORMAT, E_DAMAGED, E_UNSUPPORTED, E_INPUT, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_read(struct bs_preamble *f, struct bs_input *in,
                                                        const char *envelope, size_t envelope_len,
                                                        struct blobseal_error *err);
void bs_preamble_clear(struct bs_preamble *f);

/* Find out which slots of f->frame count, and set the candidates and notes. No candidate: no slot is valid. */
void bs_preamble_choose(struct bs_preamble *f);

/* Take the shared lock of a source that has one, to exclude changes while slots are read. Return false after 40 ms
 * without it. */
bool bs_preamble_lock(const struct blobseal_source *source);

/* Parse candidate @i and check what can be checked without a key: generation and blob id. Clear @e in any case. */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_envelope(const struct bs_preamble *f, size_t i,
                                                            struct bs_envelope *e, struct blobseal_error *err);

/* The candidate that counts. */
struct bs_opened_envelope {
    size_t candidate;
    struct bs_envelope envelope;
    struct bs_unlocked *unlocked; /* NULL if it was only parsed */
};

/*
 * Open the candidates in order. The first that opens counts; if none does, the error of the first is reported. Release
 * with bs_opened_envelope_clear(), also after a failure. @name is that of the blob, for messages. Errors: E_CONFIG if
 * there is no envelope; those of bs_preamble_envelope() and bs_envelope_unlock().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_unlock(const struct bs_preamble *f, const char *name,
                                                          struct bs_keks keks, struct bs_opened_envelope *opened,
                                                          struct blobseal_error *err);

/* The same without keys: parse the candidates only. */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_parse(const struct bs_preamble *f, const char *name,
                                                         struct bs_opened_envelope *opened, struct blobseal_error *err);
void bs_opened_envelope_clear(struct bs_opened_envelope *opened);

/*
 * Compare @generation with the lowest that the caller accepts: a blob opens as well if an old envelope was put back.
 * Errors: E_POLICY if it is below @min. Source: section 6.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_check_generation(const char *name, uint64_t generation, uint64_t min,
                                                           struct blobseal_error *err);

/* ---- salvage.c --------------------------------------------------------------------------------------------------- */

/*
 * Read as bs_preamble_read() does, for a repair: a damaged frame header or core header of a blob with two slots is no
 * error.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_salvage(struct bs_preamble *f, struct bs_input *in,
                                                           struct blobseal_error *err);

/* ---- info.c: blobseal_info --------------------------------------------------------------------------------------- */

/*
 * Describe @f and @opened (NULL: no envelope), with the metadata if it was unlocked. Sizes are set if @source, which
 * may be NULL, is seekable. Errors: E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_info_make(struct blobseal_info **info, const struct bs_preamble *f,
                                                    const struct bs_opened_envelope *opened,
                                                    const struct blobseal_source *source, struct blobseal_error *err);

#endif
