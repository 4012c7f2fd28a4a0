/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests of whole blobs share: keys that cost nothing, sources and sinks that fail on demand and check how they are
 * called, and blobs put together piece by piece. It needs no test framework, because programs under ThreadSanitizer and
 * fuzz targets use it too. A helper that fails prints why and aborts.
 */
#ifndef TESTS_BLOBS_H
#define TESTS_BLOBS_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/check/check.h"
#include "core/open/open.h"
#include "core/recipients/recipients.h"
#include "core/seal/seal.h"

/* Options for blobseal_attach(), from the members that matter. */
#define ATTACH(...)                                                                                                    \
    (&(const struct blobseal_attach_options){.size = sizeof(struct blobseal_attach_options), __VA_ARGS__})

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- Bytes ------------------------------------------------------------------------------------------------------- */

/* Return the next number of a pseudo-random sequence, and one that is below @n. *@state is any number at the start. */
uint64_t random_next(uint64_t *state);
uint64_t random_below(uint64_t *state, uint64_t n);

/* Fill with pseudo-random bytes: the same for the same seed. */
void fill_random(uint8_t *p, size_t len, uint64_t seed);

/* Fill with a pattern; return true if any 16 bytes of such plaintext are in @p. */
void fill_pattern(uint8_t *p, size_t len);
bool has_pattern(const uint8_t *p, size_t len);

/* malloc() that aborts instead of returning NULL. */
void *must_alloc(size_t len);
void *must_copy(const void *p, size_t len);

/* Report @what and abort. */
_Noreturn void test_support_failed(const char *what);

/* ---- Faults ------------------------------------------------------------------------------------------------------ */

struct fault {
    uint64_t at_call; /* this call fails, counted from 1, and all later ones; 0: none        */
    uint64_t at_byte; /* the call that would touch this byte fails; 0: none                  */
    enum blobseal_status status;
    bool silent; /* does not fill the struct blobseal_error, as a careless callback */
    bool once;   /* calls after at_call succeed again                               */
};

/* Return true if call number @call, which accesses bytes up to @end, must fail. */
bool fault_strikes(const struct fault *f, uint64_t call, uint64_t end);

/* Fail as @f wants it, in the step @what. */
enum blobseal_status fault_fails(const struct fault *f, const char *what, struct blobseal_error *err);

/* ---- A KEK that costs nothing: XOR with a constant, padded to 256 bytes ------------------------------------------ */

struct fake_kek {
    const char *kid;
    const char *alg;    /* NULL: RSA-OAEP-256 */
    size_t wrapped_len; /* 0: 256             */
    bool public_only;
    bool takes_any_kid;          /* also unwraps what was wrapped for other keys */
    const char *newer_kid;       /* that of a newer version, with which it wraps from now on; NULL: none */
    bool remote;                 /* it says that it is used over a network                 */
    bool late;                   /* nothing is known of it until describe() is called */
    bool waits;                  /* calls take until their deadline, or until they are canceled */
    uint8_t twist;               /* a key with another one cannot unwrap what this one wrapped */
    bool revocable;              /* its provider has renew()                               */
    struct blobseal_lease lease; /* what wrap(), unwrap() and renew() give; zero: no limit  */
    unsigned renew_ms;           /* how long renew() takes                                  */
    struct fault wrap, unwrap, renew, describe;
    /* Below: private, or to be checked afterwards. */
    struct blobseal_provider provider;
    _Atomic unsigned wraps, unwraps, renews, describes, closes;
    _Atomic unsigned renewing, most_renewing; /* calls of renew() at the same time */
    _Atomic uint64_t deadline_ms;             /* of the last call                  */
    uint64_t renewed_tag;                     /* of the lease in the last renew()  */
};

/* Return a complete provider of keys whose state is a struct fake_kek. Its open() always fails. */
struct blobseal_provider fake_provider(const char *scheme);

/* Open a key. The caller keeps @state. Close with blobseal_kek_close(). */
struct blobseal_kek *fake_kek_open(struct fake_kek *state);

/* Wrap @secret into @out, which has room for what the key makes. */
void wrap_with(struct blobseal_kek *kek, uint8_t *out, const struct blobseal_secret32 *secret);

/* Write what wrap() makes of @secret. */
void fake_wrap(uint8_t *out, size_t len, const struct blobseal_secret32 *secret);

/* ---- Sources and sinks ------------------------------------------------------------------------------------------- */

struct test_source {
    const uint8_t *data;
    size_t len;
    uint64_t size; /* what the source says; set by test_source_start() to len, or to unknown where sequential */
    bool seekable;
    size_t max_piece; /* returns 1 to so many bytes per call; 0: all that is asked for                        */
    struct fault fault;
    size_t block_at; /* a read that has reached this byte waits for cancel(); 0: never                        */
    /* Below: private, or to be checked afterwards. */
    uint64_t random;
    size_t pos;
    _Atomic uint64_t calls, asked; /* asked: for so many bytes, all calls together */
    _Atomic unsigned busy, cancels;
    _Atomic bool misused; /* two threads in read() at once, or a read beyond a size that was promised        */
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

/* Set up @source over the members of @state that the caller has set. Undo with test_source_end(). */
void test_source_start(struct blobseal_source *source, struct test_source *state);
void test_source_end(struct test_source *state);

struct test_sink {
    bool seekable;
    size_t cap; /* a write past it is misuse */
    struct fault fault;
    /* Below: private, or to be checked afterwards. */
    uint8_t *data;
    uint8_t *written; /* 1 for each byte that was written */
    size_t pos;       /* of a sequential sink             */
    _Atomic uint64_t calls, bytes;
    _Atomic unsigned busy;
    _Atomic bool misused; /* a byte was written twice or past the end, or two threads were in write() at once */
};

void test_sink_start(struct blobseal_sink *sink, struct test_sink *state);
void test_sink_end(struct test_sink *state);

/* Return true if it holds exactly @want: every byte, once, and nothing else. */
bool test_sink_is(const struct test_sink *state, const void *want, size_t len);

/* Return true if every byte it holds is from @want, in its place; for a sequential sink, a prefix of it. */
bool test_sink_is_part_of(const struct test_sink *state, const void *want, size_t len);

/* ---- Sealing and opening in memory ------------------------------------------------------------------------------- */

struct sealed {
    uint8_t *data;
    size_t len;
    struct blobseal_seal_result result; /* with the detached envelope */
};

enum blobseal_status seal_bytes(struct sealed *out, const void *plain, size_t len, struct blobseal_kek *const *keks,
                                size_t num_keks, const struct blobseal_seal_options *options,
                                struct blobseal_error *err);
void sealed_clear(struct sealed *s);

struct how_to_open {
    bool sequential;  /* the blob comes through a pipe          */
    size_t max_piece; /* in pieces of at most so many bytes     */
    unsigned threads; /* 0: 1                                   */
    const char *envelope;
    size_t envelope_len;
};

struct opened {
    uint8_t *data; /* what reached the sink */
    size_t len;
    bool got_reader; /* blobseal_reader_open() succeeded */
    uint64_t size;   /* blobseal_reader_size()           */
    uint64_t generation;
    uint32_t notes;
};

/* Open all of a blob into memory. @how may be NULL. Release with opened_clear(), also after a failure. */
enum blobseal_status open_bytes(struct opened *out, const void *blob, size_t len, struct blobseal_kek *const *keks,
                                size_t num_keks, const struct how_to_open *how, struct blobseal_error *err);
void opened_clear(struct opened *o);

/* ---- Blobs made by hand ------------------------------------------------------------------------------------------ */

/* All that a writer generates at random, here from a seed. */
struct recipe {
    struct bs_core_header core;
    struct blobseal_secret32 dek, cek;
    struct bs_chunked_keys keys;
    const char *metadata; /* JSON text; NULL: none */
};

void recipe_make(struct recipe *r, uint64_t seed, unsigned segments);

/* Derive keys and commitment again after dek, metadata, or the fields that the commitment binds, have been changed. */
void recipe_derive(struct recipe *r);

/* The core of @plain: header and payload. *@core_len receives its length. free(). */
uint8_t *recipe_core(const struct recipe *r, const void *plain, size_t len, size_t *core_len);

/* What bs_envelope_encode() needs for the blob of a recipe, valid until the next call. */
const struct bs_envelope *envelope_for(const struct recipe *r, uint64_t generation, const struct bs_jwe *jwe);

/* The envelope for @keks, zero-terminated. free(). */
char *recipe_envelope(const struct recipe *r, uint64_t generation, struct blobseal_kek *const *keks, size_t num_keks);

/* Return a copy of an envelope whose protected header says that it is of version 2. free(). */
char *of_a_later_version(const char *text);

/* Put @a in a compact frame, or @a and @b in the slots of an A/B one, before a core. NULL: an empty slot. free().
 */
struct slot_text {
    const char *text;
    uint64_t generation;
};
uint8_t *put_in_frame(const struct bs_core_header *core, enum blobseal_layout layout, struct slot_text a,
                      struct slot_text b, const uint8_t *core_bytes, size_t core_len, size_t *len);

/* Return the offset of the core in a blob, according to its frame header; 0 without a frame. */
size_t core_offset_of(const uint8_t *blob, size_t len);

/* Recompute every checksum that needs no key: frame header, slots, core header, segments. */
void refix(uint8_t *blob, size_t len);

/* Open an envelope and keep only the keys of the payload; zeros after a failure. */
BLOBSEAL_MUST_USE enum blobseal_status open_envelope(const struct bs_envelope *e, const struct bs_core_header *core,
                                                     struct blobseal_kek *const *keks, size_t num_keks,
                                                     struct bs_chunked_keys *keys, struct blobseal_error *err);

#endif
