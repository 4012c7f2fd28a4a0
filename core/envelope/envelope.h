/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envelope: everything before the payload of a blob. Reads frame and core header, parses, opens and writes the
 * envelope, and describes a blob to callers. FORMAT.md sections 1, 4 and 5.
 */
#ifndef BLOBSEAL_ENVELOPE_H
#define BLOBSEAL_ENVELOPE_H

#include "core/base/base.h"
#include "core/format/format.h"
#include "core/io/io.h"
#include "core/jwe/jwe.h"

/* ---- metadata.c: name, type and annotations that are sealed with a blob (section 4.4) ---------------------------- */

struct bs_metadata {
    struct blobseal_metadata shown; /* what callers get; its `annotations` points to the array below */
    struct blobseal_annotation annotations[BLOBSEAL_MAX_ANNOTATIONS];
};

/*
 * Check @metadata (NULL: none) and write it as JSON into @buf. @text receives the part of @buf that was written, which
 * is empty if there is no metadata.
 * Errors: E_ARG, E_POLICY.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_metadata_write(struct bs_slice *text, uint8_t buf[BLOBSEAL_MAX_METADATA],
                                                         const struct blobseal_metadata *metadata,
                                                         struct blobseal_error *err);

/*
 * Read the metadata object in @text in place. The strings of @m point into @text. Return false if the object breaks a
 * rule of section 4.4.
 */
BLOBSEAL_MUST_USE bool bs_metadata_read(struct bs_metadata *m, uint8_t *text, size_t len);

/* Compute the hash that binds the metadata @text to the core header (section 2). Return false if there is no memory. */
BLOBSEAL_MUST_USE bool bs_metadata_hash(uint8_t out[BS_SHA256_LEN], struct bs_slice text);

/* ---- jwk.c: the content of an envelope (section 4.4) ------------------------------------------------------------- */

struct bs_jwk {
    struct blobseal_secret32 k;
    uint8_t kid[BLOBSEAL_BLOB_ID_LEN];
    uint8_t hdr[BS_CORE_HEADER_LEN];
    bool has_metadata;
    struct bs_slice metadata_text; /* of 1 to 4096 bytes, decoded into the text that was parsed */
    struct bs_metadata metadata;   /* filled by bs_metadata_read() */
};

/*
 * Parse @text in place, without the metadata in it, which must be hashed before it is parsed. Return false if the text
 * breaks a rule of section 4.4. @jwk and @text are in secret memory.
 */
BLOBSEAL_MUST_USE bool bs_jwk_read(struct bs_jwk *jwk, uint8_t *text, size_t len);

/*
 * Write a JWK into @out, which is secret memory, with the JSON text @metadata (empty: none) in base64url. Return the
 * length, or 0 if @cap is too small.
 */
size_t bs_jwk_write(uint8_t *out, size_t cap, const struct bs_core_header *core, const struct blobseal_secret32 *dek,
                    struct bs_slice metadata);

/* ---- header.c: the protected headers of all JWEs of this format (sections 4.3 and 10) ---------------------------- */

struct bs_header;

/* What distinguishes one type of JWE from the others. */
struct bs_header_type {
    const char *typ;      /* the value of `typ`                                                */
    const char *cty;      /* the value of `cty`: the media type of the content, without "application/" */
    const char *what;     /* what such a JWE is, for messages: "the envelope of a blob"        */
    unsigned num_members; /* of `bs`, in addition to `v` and `rcpt`; all of them must be there */
    /* Read the value of another member of `bs`. Return bs_header_unknown() if it is none, or not the first of its name.
     */
    enum blobseal_status (*member)(struct bs_header *h, struct bs_slice name, struct bs_json *j,
                                   struct blobseal_error *err);
    /* Fill @err for another value of `v` than 1. Return E_UNSUPPORTED. */
    enum blobseal_status (*other_version)(struct blobseal_error *err, uint64_t version);
};

/* A protected header that is being read. */
struct bs_header {
    const struct bs_header_type *type;
    void *ctx; /* for type->member() */
    uint8_t rcpt[BS_SHA256_LEN];
    unsigned seen; /* bit mask of the members that were found */
};

#define BS_HEADER_OWN 32u /* the lowest bit for the members of one type */

/* Return true if member number @index of the type is there for the first time. */
bool bs_header_first(struct bs_header *h, unsigned index);
enum blobseal_status bs_header_unknown(struct blobseal_error *err);

/*
 * Parse a JWE whose protected header is of h->type. Call bs_jwe_clear() also after a failure. Errors: those of
 * bs_jwe_parse() and of the functions in h->type.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_header_parse(struct bs_header *h, struct bs_jwe *jwe, const char *text,
                                                       size_t len, struct blobseal_error *err);

/* Write the beginning of a header, after which its own members of `bs` follow, and its end. */
void bs_header_start(struct bs_builder *out, const struct bs_header_type *type);
void bs_header_end(struct bs_builder *out, const uint8_t rcpt[BS_SHA256_LEN]);

/* ---- version.c: envelopes of later versions, which must not be taken for malformed ones (section 4.3) ------------ */

/*
 * Return E_FORMAT, with which @err was filled for a malformed envelope, or E_UNSUPPORTED if the envelope is of another
 * version or layer. Errors: also E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_envelope_check_version(const char *text, size_t len,
                                                                 struct blobseal_error *err);

/* Fill @err for an envelope with an unsupported `v` or `layer`. Return E_UNSUPPORTED. */
enum blobseal_status bs_other_envelope_version(struct blobseal_error *err, uint64_t version);
enum blobseal_status bs_other_envelope_layer(struct blobseal_error *err, uint64_t layer);

/* ---- envelope.c: what a JWE must contain to be the envelope of a blob (sections 4.3 to 4.6) ---------------------- */

struct bs_envelope {
    struct bs_jwe jwe;
    uint64_t generation;
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN];
    uint8_t rcpt[BS_SHA256_LEN];
};

/*
 * Parse an envelope, without checking that it is authentic. Release @e with bs_envelope_clear(), also after a failure.
 * Errors: E_FORMAT, E_UNSUPPORTED, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_envelope_parse(struct bs_envelope *e, const char *text, size_t len,
                                                         struct blobseal_error *err);
void bs_envelope_clear(struct bs_envelope *e);

/* What an opened envelope contains. Secret memory. */
struct bs_unlocked {
    struct bs_jwe_opener by;
    struct bs_chunked_keys keys;
    struct bs_jwk jwk;
    struct bs_slice content; /* the text of the JWK, in `text`; a rewritten envelope keeps every byte of it */
    uint8_t text[];          /* two copies of the JWK; bs_jwk_read() parses the second one in place         */
};

/*
 * Unwrap the DEK, check that envelope and core header belong together, and derive the keys. If @core is NULL, the copy
 * of the core header in the envelope is used. Release *@u with blobseal_secret_free(). Errors: E_FORMAT, E_NO_KEY,
 * E_AUTH, E_NOMEM, those of providers.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_envelope_unlock(struct bs_unlocked **u, const struct bs_envelope *e,
                                                          const struct bs_core_header *core, struct bs_keks keks,
                                                          struct blobseal_error *err);

/*
 * Write an envelope that contains the JWK @content, encrypted with @cek. Blob id, generation and recipients are taken
 * from @e, nothing else of which is used. Errors: E_POLICY if it does not fit, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_envelope_encode(struct bs_builder *out, const struct bs_envelope *e,
                                                          const struct blobseal_secret32 *cek, struct bs_slice content,
                                                          struct blobseal_error *err);

struct bs_leases;

/* What to write into a new envelope. */
struct bs_envelope_plan {
    const struct bs_core_header *core;
    uint64_t generation;
    const struct blobseal_secret32 *dek;
    const struct blobseal_secret32 *cek; /* random, and used for nothing else     */
    struct bs_slice metadata;            /* from bs_metadata_write(); empty: none */
    struct bs_leases *leases; /* receives those of the keys, see bs_leases_clear(); NULL: they are not kept */
};

/*
 * Wrap the CEK for each of @keks, and write the envelope into @out. Errors: E_POLICY if it does not fit;
 * E_ARG if there are no recipients or too many, or if a key appears twice; E_NOMEM; those of providers.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_envelope_write(struct bs_builder *out, const struct bs_envelope_plan *plan,
                                                         struct bs_keks keks, struct blobseal_error *err);

/* Add the recipient that a wrapped key is for. Errors: those of bs_jwe_add(); E_ARG if its key id is there already. */
BLOBSEAL_MUST_USE enum blobseal_status bs_jwe_add_wrapped(struct bs_jwe *jwe, const struct blobseal_wrapping *w,
                                                          struct blobseal_error *err);

/* Report a key that was passed twice. Return E_ARG. */
enum blobseal_status bs_duplicate_key(const char *kid, struct blobseal_error *err);

/* ---- selftest.c: known answers for what OpenSSL computes --------------------------------------------------------- */

/*
 * A computation of OpenSSL that envelopes depend on. `run` compares its result with a known answer. Errors: E_NOMEM;
 * E_INTERNAL if the result is wrong or cannot be computed.
 */
#define BS_NUM_KNOWN_ANSWERS 3
struct bs_known_answer {
    const char *name;      /* as in a report               */
    const char *algorithm; /* how OpenSSL is used for it   */
    const char *needs;     /* the name in bs_algorithms    */
    enum blobseal_status (*run)(void);
};
extern const struct bs_known_answer bs_known_answers[BS_NUM_KNOWN_ANSWERS];

/*
 * Check that OpenSSL has all algorithms, and run all self-tests, unless this was done in this process. Must be called
 * before an envelope is opened or written, and costs nothing after the first time. Errors: E_CONFIG, E_INTERNAL,
 * E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_selftest_once(struct blobseal_error *err);

/* ---- lease.c: until when a key that can be revoked may be used --------------------------------------------------- */

struct bs_lease;

/*
 * Start the lease of a secret that @kek wrapped or unwrapped, until @until. @denials is what bs_kek_denials() returned
 * before that request. *@lease is NULL if there is no limit. Release it with bs_lease_free(), which ignores NULL.
 * Errors: E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_lease_new(struct bs_lease **lease, struct blobseal_kek *kek,
                                                    const struct blobseal_lease *until, uint64_t denials,
                                                    struct blobseal_error *err);
void bs_lease_free(struct bs_lease *lease);

/*
 * Check before the key is used that its lease (NULL: none) has not ended, and otherwise try to renew it within @limits.
 * Many threads may call this at once; one of them sends the request. After E_DENIED every later call returns the same.
 * Errors: those of the provider.
 */
BLOBSEAL_MUST_USE enum blobseal_status
bs_lease_check(struct bs_lease *lease, const struct blobseal_call_options *limits, struct blobseal_error *err);

/* The leases of a writer: one for each of its keys that has a limit. */
struct bs_leases {
    size_t num;
    struct bs_lease *list[BLOBSEAL_MAX_RECIPIENTS];
};

/* Check all of them. Errors: those of bs_lease_check(). */
BLOBSEAL_MUST_USE enum blobseal_status
bs_leases_check(const struct bs_leases *leases, const struct blobseal_call_options *limits, struct blobseal_error *err);
/* Release them, also after a failure of bs_envelope_write(). */
void bs_leases_clear(struct bs_leases *leases);

/* Return the end of a lease in milliseconds since 1970, or 0 if it has none or @lease is NULL. */
uint64_t bs_lease_valid_until(struct bs_lease *lease);

/* ---- preamble.c: frame, slots and core header, and the choice of the current envelope (sections 1 and 5) --------- */

struct bs_preamble {
    struct bs_core_header core;
    bool core_damaged;  /* only core.blob_id is valid, taken from the frame                                    */
    bool frame_damaged; /* the frame header was derived from the position of the core                          */
    uint64_t core_offset;
    enum blobseal_layout layout;
    uint32_t notes;         /* BLOBSEAL_NOTE_ flags                                                            */
    struct bs_frame header; /* of the frame; all zero if detached                                              */
    struct bs_slot slots[2];
    uint8_t *frame; /* all bytes of the frame, which slots and candidates point into; NULL if detached         */
    size_t num_candidates;
    struct {
        const char *text;
        size_t len;
        uint64_t generation; /* of the slot; 0 for an envelope that the caller passed                          */
    } candidates[2];         /* envelopes to try, in order; two only if different slots have the same generation */
};

/*
 * Read frame, slots and core header. If @envelope is passed, it is borrowed, and the slots are ignored. Slots of a
 * seekable source are read again while no candidate or two were found, because another process may be changing them,
 * which can take 50 ms. Release @f with bs_preamble_clear(), also after a failure. Errors: E_FORMAT, E_DAMAGED,
 * E_UNSUPPORTED, E_INPUT, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_read(struct bs_preamble *f, struct bs_input *in,
                                                        const char *envelope, size_t envelope_len,
                                                        struct blobseal_error *err);
void bs_preamble_clear(struct bs_preamble *f);

/* Do the same for a caller that reports the notes: slots that differ are read again as well. */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_inspect(struct bs_preamble *f, struct bs_input *in,
                                                           const char *envelope, size_t envelope_len,
                                                           struct blobseal_error *err);

/*
 * Decode the slots in f->frame, and set candidates and notes: the valid slot with the highest generation is the
 * candidate, or both slots if they have the same generation but different bytes. Without a valid slot there is none.
 */
void bs_preamble_choose(struct bs_preamble *f);

/*
 * Parse candidate @i and check what can be checked without a key: generation and blob id. Release @e with
 * bs_envelope_clear(), also after a failure. Errors: E_FORMAT, E_UNSUPPORTED, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_envelope(const struct bs_preamble *f, size_t i,
                                                            struct bs_envelope *e, struct blobseal_error *err);

/* The candidate that was chosen. */
struct bs_opened_envelope {
    size_t candidate;
    struct bs_envelope envelope;
    struct bs_unlocked *unlocked; /* NULL if it was only parsed */
};

/*
 * Open the candidates in order and choose the first that opens. If none does, the error of the first is reported. @name
 * is the name of the blob, for messages. Release @opened with bs_opened_envelope_clear(), also after a failure. Errors:
 * E_CONFIG if there is no envelope; those of bs_preamble_envelope() and bs_envelope_unlock().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_unlock(const struct bs_preamble *f, const char *name,
                                                          struct bs_keks keks, struct bs_opened_envelope *opened,
                                                          struct blobseal_error *err);

/* Do the same without keys: choose the first candidate that can be parsed. */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_parse(const struct bs_preamble *f, const char *name,
                                                         struct bs_opened_envelope *opened, struct blobseal_error *err);
void bs_opened_envelope_clear(struct bs_opened_envelope *opened);

/*
 * Check that @generation is at least @min, the lowest that the caller accepts. This detects an old envelope that was
 * put back, which opens like the current one. Errors: E_POLICY. Source: section 6.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_check_generation(const char *name, uint64_t generation, uint64_t min,
                                                           struct blobseal_error *err);

/* ---- salvage.c: reading and checking a damaged preamble for a repair (section 5.1) ------------------------------- */

/*
 * Read a preamble as bs_preamble_read() does, but accept a damaged frame header or core header if the blob has two
 * slots. The position of a core that is found without a frame header (f->frame_damaged) is not certain, because a slot
 * may contain a copy of the core header: if it turns out to be wrong, call this function again with @after set to
 * f->core_offset. It is 0 in the first call.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_salvage(struct bs_preamble *f, struct bs_input *in, uint64_t after,
                                                           struct blobseal_error *err);

/*
 * Check that a blob with core header @core at f->core_offset has a possible length, and that its last chunk opens with
 * @keys, which proves that both the offset and the length are right. Errors: E_DAMAGED, E_INPUT, E_NOMEM, those of
 * bs_chunked_init().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_preamble_check_end(const struct bs_preamble *f,
                                                             const struct blobseal_source *source,
                                                             const struct bs_core_header *core,
                                                             const struct bs_chunked_keys *keys,
                                                             struct blobseal_error *err);

/* ---- info.c: blobseal_info --------------------------------------------------------------------------------------- */

/*
 * Describe @f and @opened (NULL: no envelope), including the metadata if the envelope was unlocked. Sizes are known
 * only if @source, which may be NULL, is seekable. Errors: E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_info_make(struct blobseal_info **info, const struct bs_preamble *f,
                                                    const struct bs_opened_envelope *opened,
                                                    const struct blobseal_source *source, struct blobseal_error *err);

/* Let @info describe the envelope and the metadata that @from describes. Their data still belongs to @from. */
void bs_info_borrow(struct blobseal_info *info, const struct blobseal_info *from);

#endif
