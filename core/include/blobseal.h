/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobseal - seal artifact blobs with keys that their owner holds.
 *
 * A blob is encrypted with a fresh data key (DEK); the DEK travels with it in an envelope, wrapped for one or more
 * key encryption keys (KEKs). The bytes are specified in core/FORMAT.md; section numbers below are that document's.
 *
 * Rules of the house, valid for every function:
 *   - Functions that can fail return enum blobseal_status and take a struct blobseal_error last; it may be NULL.
 *   - Output parameters are defined after a failure: pointers NULL, buffers zero.
 *   - Threads: different objects may be used by different threads at once. Where one object may be shared, its text
 * says so; a KEK always may. Callbacks run on any thread of those that the call has started, and on the caller's.
 *   - No global state but a few wiped pages that wait for the next secret. No signal handlers, no exit(), nothing on
 * stdout or stderr. No call before the first one. Threads are started by calls that say so, take no signals, and have
 * ended when the call returns.
 *   - Structs for options and results start with `size`, set by the caller to sizeof: a newer library accepts an older
 *     struct, and an older library a newer one whose new members are zero. Otherwise, and without a size: ARG.
 *   - After fork() the child makes objects of its own. It must neither use nor release those of the parent: data keys
 * and what else stands in blobseal_secret_alloc() are zeros there, because the kernel empties such pages. That does not
 * go for what OpenSSL keeps: RSA keys of open KEKs, key schedules. A fork() while another thread is in the library is
 * only for an exec(), as with any library that takes locks.
 *   - Cryptography is asked of OpenSSL's default library context, with its default properties. In FIPS mode (they have
 *     fips=yes) all of it comes from the provider that has it, AES-GCM too. A program that wants that loads the
 * providers "fips" and "base" and calls EVP_default_properties_enable_fips(NULL, 1) before it calls this library.
 *   - An implementation of AES-GCM passes a self-test before its first use in a process; otherwise: INTERNAL.
 *   - Units: sizes and offsets in bytes.
 */
#ifndef BLOBSEAL_H
#define BLOBSEAL_H

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BLOBSEAL_VERSION_MAJOR 0
#define BLOBSEAL_VERSION_MINOR 1
#define BLOBSEAL_VERSION_PATCH 0

#define BLOBSEAL_API      __attribute__((visibility("default")))
#define BLOBSEAL_MUST_USE __attribute__((warn_unused_result))

/* "0.1.0": the version of the library that runs. */
BLOBSEAL_API const char *blobseal_version(void);

/* ---- Status and errors ------------------------------------------------------------------------------------------- */

enum blobseal_status {
    BLOBSEAL_OK = 0,
    BLOBSEAL_E_ARG,         /* the caller broke the contract of a function                                   */
    BLOBSEAL_E_CONFIG,      /* a key or setting cannot be used: not RSA, malformed, no such provider         */
    BLOBSEAL_E_NOMEM,       /* no memory                                                                     */
    BLOBSEAL_E_INTERNAL,    /* a library below failed where it should not                                    */
    BLOBSEAL_E_FORMAT,      /* not a blob, or one that no correct writer makes                               */
    BLOBSEAL_E_DAMAGED,     /* decay or a cut: a checksum or a length does not fit                           */
    BLOBSEAL_E_AUTH,        /* not authentic; never says why                                                 */
    BLOBSEAL_E_UNSUPPORTED, /* a version, suite, algorithm or feature that is not known here                 */
    BLOBSEAL_E_NO_KEY,      /* no recipient of the envelope is for one of the keys given                     */
    BLOBSEAL_E_NOT_MINE,    /* providers only: this wrapped key is not for this KEK, try the next            */
    BLOBSEAL_E_UNAVAILABLE, /* a provider cannot be reached: trying again may help                           */
    BLOBSEAL_E_DENIED,      /* a provider refuses: trying again does not help                                */
    BLOBSEAL_E_POLICY,      /* a rule forbids it: a readable private key, too many recipients                */
    BLOBSEAL_E_EXISTS,      /* the output is there already, is busy, or is the input                         */
    BLOBSEAL_E_INPUT,       /* the input is missing, unreadable, or changed while it was read                */
    BLOBSEAL_E_OUTPUT,      /* the output cannot be written                                                  */
    BLOBSEAL_E_CANCELED,    /* a callback asked to stop                                                      */
};

/*
 * The next step after an error, for programs that say it in words of their own: a command line names its option, a form
 * its field. The hint of the error says the same in neutral words.
 */
enum blobseal_advice {
    BLOBSEAL_ADVICE_NONE = 0,
    BLOBSEAL_ADVICE_ENVELOPE,    /* pass the detached envelope                                                */
    BLOBSEAL_ADVICE_RESTORE,     /* restore the first `subject` bytes of the blob, or pass a saved envelope */
    BLOBSEAL_ADVICE_REPAIR,      /* repair the blob: blobseal_change_in_place() with `repair` and a private key */
    BLOBSEAL_ADVICE_REWRITE,     /* copy the blob with larger slots: blobseal_attach()                        */
    BLOBSEAL_ADVICE_PUBLIC_KEY,  /* pass the public key of the recipient `subject`, or remove that recipient */
    BLOBSEAL_ADVICE_OAEP_SHA256, /* open that key with BLOBSEAL_OAEP_SHA256                                   */
    BLOBSEAL_ADVICE_OAEP_SHA1,   /* open that key with BLOBSEAL_OAEP_SHA1                                     */
    BLOBSEAL_ADVICE_PASSPHRASE,  /* supply the passphrase of the private key                                  */
    BLOBSEAL_ADVICE_RSA_KEY,     /* make or choose an RSA key of 2048, 3072 or 4096 bits                      */
    BLOBSEAL_ADVICE_SEEKABLE,    /* pass a source with `pread`, such as a file                                */
    BLOBSEAL_ADVICE_SELFTEST,    /* look at what blobseal_diagnose() finds                                    */
};

struct blobseal_error {
    enum blobseal_status status;
    enum blobseal_advice advice;
    int sys_errno;     /* errno of the call that failed, or 0                                      */
    char text[320];    /* what was being done, to what, what went wrong; one line, printable       */
    char hint[200];    /* the next step in neutral words, or empty; one line, printable            */
    char subject[128]; /* what the advice is about: a kid, or a number of bytes; may be truncated, or empty */
};

/* A short name of a status for programs to match, such as "E-AUTH". Never NULL. */
BLOBSEAL_API const char *blobseal_status_code(enum blobseal_status status);

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

struct blobseal_registry; /* the providers that key references are resolved with; see blobseal_provider.h */
struct blobseal_kek;      /* one KEK: wraps, and with a private key also unwraps                          */

/**
 * blobseal_passphrase_fn - asked once, when a private key turns out to be encrypted
 * @ctx: from struct blobseal_kek_options
 * @buf: receives the passphrase; wiped by the library after use
 * @cap: size of @buf
 * @len: receives the length of the passphrase
 *
 * Answers BLOBSEAL_OK, or an error that blobseal_kek_open() passes on.
 */
typedef enum blobseal_status (*blobseal_passphrase_fn)(void *ctx, char *buf, size_t cap, size_t *len,
                                                       struct blobseal_error *err);

/* Hash of RSAES-OAEP for wrapping. Unwrapping follows the recipient's `alg` (section 4.2). */
enum blobseal_oaep {
    BLOBSEAL_OAEP_SHA256 = 0, /* RSA-OAEP-256, the default                                */
    BLOBSEAL_OAEP_SHA1,       /* RSA-OAEP: only for tokens that cannot do SHA-256         */
};

struct blobseal_kek_options {
    size_t size;
    blobseal_passphrase_fn passphrase; /* NULL: an encrypted key is an error */
    void *passphrase_ctx;
    enum blobseal_oaep oaep;
};

/**
 * blobseal_kek_open - resolve a key reference
 * @kek: receives the KEK; release it with blobseal_kek_close()
 * @registry: providers to look in, or NULL for those that the library brings
 * @ref: "file:PATH" or a plain path: a PEM file (kek/pem.c says which kinds)
 * @options: may be NULL
 *
 * Threads: the KEK may be used by many threads and many seals and readers at once; close it last.
 * Errors: CONFIG (not an RSA key, malformed, wrong passphrase, unknown provider), POLICY (a private key that others
 * may read), INPUT (missing or unreadable file).
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_kek_open(struct blobseal_kek **kek, const struct blobseal_registry *registry, const char *ref,
                  const struct blobseal_kek_options *options, struct blobseal_error *err);

/* Release @kek, wiping what it holds. NULL is allowed. */
BLOBSEAL_API void blobseal_kek_close(struct blobseal_kek *kek);

/* The key id that recipients of this KEK carry (section 4.2). Borrowed from @kek. */
BLOBSEAL_API const char *blobseal_kek_kid(const struct blobseal_kek *kek);

/* Whether this KEK can unwrap, that is, holds or reaches a private key. */
BLOBSEAL_API bool blobseal_kek_can_unwrap(const struct blobseal_kek *kek);

struct blobseal_keypair {
    char *private_pem; /* PKCS#8 in secret memory, zero-terminated */
    size_t private_len;
    char *public_pem; /* SPKI, zero-terminated */
    size_t public_len;
    char kid[96];
};

/**
 * blobseal_keygen_rsa - make an RSA key pair for use as a KEK
 * @pair: receives the keys in PEM; release what it holds with blobseal_keypair_clear()
 * @bits: 2048, 3072 or 4096
 * @passphrase: encrypts the private key (PBES2: PBKDF2-HMAC-SHA-256, AES-256-CBC); NULL for none
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_keygen_rsa(struct blobseal_keypair *pair, unsigned bits, const char *passphrase, struct blobseal_error *err);

/* Wipe and release what @pair holds. The struct itself is the caller's. */
BLOBSEAL_API void blobseal_keypair_clear(struct blobseal_keypair *pair);

/* Release memory that a function of this header gave to the caller. NULL is allowed. */
BLOBSEAL_API void blobseal_free(void *p);

/* ---- Sources and sinks ------------------------------------------------------------------------------------------- */

#define BLOBSEAL_SIZE_UNKNOWN UINT64_MAX

/*
 * Where bytes come from. `pread` makes a source seekable: many threads may call it at once, and `size` is known.
 * Without it `read` is called by one thread at a time, in order. Either may deliver fewer bytes than asked for;
 * 0 bytes mean the end. `cancel` is optional: called once, from another thread, when nobody waits for the data any
 * more; a blocked `read` should then return soon, with any error.
 *
 * `lock` belongs to a seekable source whose envelope others may change in place while it is opened; NULL: nobody does.
 * It takes (@on) or gives back a shared lock, which is held while the slots are read (section 5), without waiting.
 * False: somebody holds an exclusive one. Where there are no locks it answers true. Locked or not, slots that look like
 * a change under way are read up to 5 times more, 10 ms apart.
 */
struct blobseal_source {
    void *ctx;
    uint64_t size;    /* or BLOBSEAL_SIZE_UNKNOWN; a hint for the layout where there is no pread */
    const char *name; /* for messages; may be NULL */
    enum blobseal_status (*read)(void *ctx, void *buf, size_t len, size_t *nread, struct blobseal_error *err);
    enum blobseal_status (*pread)(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                  struct blobseal_error *err);
    void (*cancel)(void *ctx);
    bool (*lock)(void *ctx, bool on);
};

/*
 * Where bytes go. `pwrite` makes a sink seekable: many threads may call it at once, each byte is written once, in any
 * order. Without it `write` is called by one thread at a time, in order. Both take all @len bytes or fail.
 */
struct blobseal_sink {
    void *ctx;
    const char *name; /* for messages; may be NULL */
    enum blobseal_status (*write)(void *ctx, const void *buf, size_t len, struct blobseal_error *err);
    enum blobseal_status (*pwrite)(void *ctx, const void *buf, size_t len, uint64_t off, struct blobseal_error *err);
};

/* State of the ready-made sources and sinks below; owned by the caller, must outlive their use. */
struct blobseal_fd {
    int fd;
    int canceled;     /* private */
    const char *name; /* private */
    sem_t turns;      /* private */
};

struct blobseal_memory {
    uint8_t *data; /* a source reads it; a sink allocates it: release with blobseal_free() */
    size_t len;
    size_t cap; /* private */
};

/*
 * Sources and sinks over a file descriptor, which stays the caller's. A regular file or a block device that is not
 * empty and stands at offset 0 is a seekable source; a regular file that was not opened with O_APPEND is a seekable
 * sink, written from its offset 0. Everything else is sequential, and so is a sink whose `pwrite` the caller sets to
 * NULL: then the descriptor's offset counts and moves. BLOBSEAL_E_INPUT or _OUTPUT where the descriptor is not usable.
 *
 * The lock of a seekable source is one of the open file description (F_OFD_SETLK), on the whole file. A caller who
 * holds one on the same description would lose it, and sets `lock` to NULL.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_source_fd(struct blobseal_source *source,
                                                                       struct blobseal_fd *state, int fd,
                                                                       const char *name, struct blobseal_error *err);
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_sink_fd(struct blobseal_sink *sink,
                                                                     struct blobseal_fd *state, int fd,
                                                                     const char *name, struct blobseal_error *err);

/* A seekable source over memory, and a sequential sink that grows state->data. */
BLOBSEAL_API void blobseal_source_memory(struct blobseal_source *source, struct blobseal_memory *state,
                                         const void *data, size_t len);
BLOBSEAL_API void blobseal_sink_memory(struct blobseal_sink *sink, struct blobseal_memory *state);

/* ---- What a blob says about itself ------------------------------------------------------------------------------- */

#define BLOBSEAL_BLOB_ID_LEN     16
#define BLOBSEAL_MAX_RECIPIENTS  64
#define BLOBSEAL_MAX_ENVELOPE    65512
#define BLOBSEAL_MAX_KID         512
#define BLOBSEAL_MAX_REGION      64
#define BLOBSEAL_MAX_ANNOTATIONS 64
#define BLOBSEAL_MAX_METADATA    4096

enum blobseal_layout {
    BLOBSEAL_LAYOUT_AUTO = 0, /* sealing only: compact below 4 MiB, otherwise A/B (section 5)  */
    BLOBSEAL_LAYOUT_COMPACT,  /* a frame with one slot of exact size                            */
    BLOBSEAL_LAYOUT_AB,       /* a frame with two slots, for rotation in place                  */
    BLOBSEAL_LAYOUT_DETACHED, /* no frame: the envelope is kept elsewhere                       */
};

/* "compact", "ab", "detached"; never NULL. */
BLOBSEAL_API const char *blobseal_layout_name(enum blobseal_layout layout);

struct blobseal_recipient {
    const char *alg;
    const char *kid;
    const char *region; /* NULL where absent */
};

/*
 * What the sealer says of a blob. It is sealed with the data key, so only who can open the blob can read it, and it is
 * as authentic as the content. As JSON it takes at most BLOBSEAL_MAX_METADATA bytes (section 4.4).
 */
struct blobseal_annotation {
    const char *name, *value;
};

struct blobseal_metadata {
    size_t size;
    const char *name; /* of the content; NULL: none. Whatever it looks like, never use it as a path as it is */
    const char *type; /* a media type such as application/x-tar; NULL: none */
    size_t num_annotations;
    const struct blobseal_annotation *annotations;
};

/* Notes on an envelope that a caller may want to pass on. */
#define BLOBSEAL_NOTE_SLOT_INVALID 1u  /* one of the two slots is damaged; the other one serves             */
#define BLOBSEAL_NOTE_UNFINISHED   2u  /* the valid slots differ: a rotation did not finish                 */
#define BLOBSEAL_NOTE_TIE          4u  /* the same generation twice with different bytes                    */
#define BLOBSEAL_NOTE_LENGTH       8u  /* no blob has this length: it is cut or extended                    */
#define BLOBSEAL_NOTE_ENVELOPE     16u /* the envelope has something that this version does not know        */

/* What the library knows of a blob. Made by the library, so that it can grow. */
struct blobseal_info {
    unsigned version, suite, content, segments; /* core header, section 2     */
    enum blobseal_layout layout;                /* never AUTO                 */
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN];
    uint64_t generation;
    uint64_t plain_bytes;   /* or BLOBSEAL_SIZE_UNKNOWN: also for zstd content without a key */
    uint64_t sealed_bytes;  /* frame and core; or BLOBSEAL_SIZE_UNKNOWN                      */
    uint32_t slot_capacity; /* 0 where detached                                             */
    uint32_t notes;
    size_t num_recipients;
    const struct blobseal_recipient *recipients;
    const char *jwe; /* the envelope, zero-terminated */
    size_t jwe_len;
    /*
     * Only of a reader, and only where the blob has metadata; otherwise NULL. Strings are UTF-8 and otherwise whatever
     * the sealer wrote: the type may be no media type, control characters may be anywhere. U+0000 is shown as `?`.
     */
    const struct blobseal_metadata *metadata;
    uint64_t stored_bytes; /* what was sealed: plain_bytes, or what they compressed to; or BLOBSEAL_SIZE_UNKNOWN */
};

/* Release @info. NULL is allowed. */
BLOBSEAL_API void blobseal_info_free(struct blobseal_info *info);

/**
 * blobseal_inspect - what a blob claims, without a key
 * @info: receives the claims; nothing of it is verified. Release with blobseal_info_free()
 * @source: the blob, seekable or not; only its beginning is read from a sequential one. NULL: only @envelope is
 * described
 * @envelope: detached envelope, or NULL to use the frame. Without either a detached core still has its header shown
 *
 * Of several valid slots the first of the newest generation is shown.
 * Errors: FORMAT, DAMAGED, UNSUPPORTED, INPUT.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_inspect(struct blobseal_info **info,
                                                                     const struct blobseal_source *source,
                                                                     const char *envelope, size_t envelope_len,
                                                                     struct blobseal_error *err);

/* ---- Sealing ----------------------------------------------------------------------------------------------------- */

/*
 * Called with the count of plaintext bytes done so far, from any worker, one at a time. Answer false to stop; workers
 * that are under way may call once more.
 */
typedef bool (*blobseal_progress_fn)(void *ctx, uint64_t bytes_done);

struct blobseal_seal_options {
    size_t size;
    unsigned threads; /* workers; 0: as many as this process has CPUs */
    enum blobseal_layout layout;
    uint32_t slot_capacity; /* A/B: a multiple of 4096 up to 65,536; 0: 8192, or what the envelope needs */
    bool no_checksums;      /* segments = 0: for stores that keep a digest themselves */
    blobseal_progress_fn progress;
    void *progress_ctx;
    /*
     * NULL: none. Strings are UTF-8, a name is not empty, the type is TYPE/SUBTYPE (RFC 6838, without parameters),
     * names of annotations differ and are not empty; otherwise ARG. More than fits: POLICY.
     */
    const struct blobseal_metadata *metadata;
    bool zstd;      /* compress (section 3.1). What data compress to shows something of them: see README.md */
    int zstd_level; /* 0: 3; otherwise BLOBSEAL_ZSTD_MIN_LEVEL to BLOBSEAL_ZSTD_MAX_LEVEL                     */
};

#define BLOBSEAL_ZSTD_MIN_LEVEL (-7)
#define BLOBSEAL_ZSTD_MAX_LEVEL 19

struct blobseal_seal_result {
    size_t size;
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN];
    uint64_t plain_bytes;  /* of the source           */
    uint64_t sealed_bytes; /* bytes given to the sink */
    enum blobseal_layout layout;
    uint64_t generation;
    char *envelope; /* LAYOUT_DETACHED: the JWE; make it durable before the core gets its name. blobseal_free() */
    size_t envelope_len;
    uint64_t stored_bytes; /* bytes that were sealed: plain_bytes, or what they compressed to */
};

/**
 * blobseal_seal - seal one blob
 * @sink: receives the blob from offset 0
 * @source: the plaintext
 * @keks: the recipients, 1 to 64, no two with one kid
 * @options: may be NULL
 * @result: receives what was done; may be NULL unless the layout is detached
 *
 * Cost: one wrap a KEK; then the threads work on 1 MiB of plaintext each. Seekable sources and sinks are read and
 * written in parallel. Memory: about 2.2 MiB a worker, and two workers more where a side is sequential; independent
 * of the blob's size. Small blobs are sealed on the caller's thread. With `zstd` the threads compress 1 MiB each, which
 * takes memory of libzstd for every worker, more at high levels, and what they make is sealed and written in order; 16
 * bytes are kept for each MiB of plaintext, at most 1 TiB of which can be sealed in one blob (POLICY). Errors: those of
 * the source, the sink and the providers; ARG and POLICY for metadata, see the options; POLICY where the envelope does
 * not fit its slot; CANCELED. After an error the sink holds an unusable part of a blob. Source: sections 2 to 5.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_seal(const struct blobseal_sink *sink, const struct blobseal_source *source, struct blobseal_kek *const *keks,
              size_t num_keks, const struct blobseal_seal_options *options, struct blobseal_seal_result *result,
              struct blobseal_error *err);

struct blobseal_writer; /* a push stream: a blob sealed from what a program hands over */

/**
 * blobseal_writer_open - start a blob whose plaintext comes piece by piece
 * @writer: receives the writer; release with blobseal_writer_close()
 * @sink: receives the blob from offset 0, in order; its functions must stay usable until the writer is closed
 * @keks: the recipients, as for blobseal_seal(); used during this call only
 * @options: may be NULL; `threads` and `progress` have no use here
 *
 * One blobseal_writer_finish() behind any number of blobseal_writer_write() makes the blob. Its size is not known
 * beforehand, so LAYOUT_AUTO is A/B. All work is done on the caller's thread, without threads of its own; memory: about
 * 0.5 MiB, with `zstd` 2 MiB more and what libzstd needs. Errors: as blobseal_seal(). Source: sections 2 to 5.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_writer_open(struct blobseal_writer **writer, const struct blobseal_sink *sink,
                     struct blobseal_kek *const *keks, size_t num_keks, const struct blobseal_seal_options *options,
                     struct blobseal_error *err);

/*
 * Seal @len bytes more. They are sealed and written in runs of 256 KiB; what is left of a run is copied and kept. After
 * an error every later call answers the same error, and the sink holds an unusable part of a blob.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_writer_write(struct blobseal_writer *writer, const void *buf, size_t len, struct blobseal_error *err);

/*
 * Seal and write the end. @result may be NULL unless the layout is detached. The blob is complete when this has
 * answered BLOBSEAL_OK; every call behind it is ARG.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_writer_finish(struct blobseal_writer *writer, struct blobseal_seal_result *result, struct blobseal_error *err);

/* Release @writer and wipe its keys. Without a finish the sink holds an unusable part of a blob. NULL is allowed. */
BLOBSEAL_API void blobseal_writer_close(struct blobseal_writer *writer);

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

struct blobseal_reader;

struct blobseal_reader_options {
    size_t size;
    const char *envelope; /* detached envelope; takes the place of a frame's. NULL: use the frame */
    size_t envelope_len;
    unsigned threads; /* for stream, verify and range, as for sealing */
    blobseal_progress_fn progress;
    void *progress_ctx;
    uint64_t min_generation; /* an older envelope is refused (POLICY); 0: any will do. Section 6 */
    bool raw;                /* zstd content: present the zstd file itself, which is then not looked at (section 3.1) */
    uint32_t max_frames;     /* zstd content: POLICY for more frames, of which each takes 16 bytes of memory; 0: 2^20 */
};

/**
 * blobseal_reader_open - open a blob
 * @reader: receives the reader; release with blobseal_reader_close()
 * @source: the blob; must stay usable until the reader is closed. @source itself is copied
 * @keks: keys to try; used during this call only
 * @options: may be NULL
 *
 * Unwraps the DEK, checks the commitment and, where the source is seekable, opens the last chunk, which makes the
 * size authentic; of zstd content the seek table is read as well. A sequential source is read up to the payload.
 * Threads: blobseal_reader_pread() and the getters may be called by many threads at once; the other functions by one of
 * them at a time. Errors: FORMAT, DAMAGED, UNSUPPORTED, NO_KEY, AUTH, UNAVAILABLE, DENIED, INPUT; CONFIG where an
 * envelope is needed and none was given; POLICY where it is older than options->min_generation. Source: section 4.6.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_reader_open(struct blobseal_reader **reader, const struct blobseal_source *source,
                     struct blobseal_kek *const *keks, size_t num_keks, const struct blobseal_reader_options *options,
                     struct blobseal_error *err);

/* Release @reader and wipe its keys. NULL is allowed. */
BLOBSEAL_API void blobseal_reader_close(struct blobseal_reader *reader);

/* Size of the plaintext, of zstd content that of the original: authentic for a seekable source, BLOBSEAL_SIZE_UNKNOWN
 * for a sequential one. */
BLOBSEAL_API uint64_t blobseal_reader_size(const struct blobseal_reader *reader);

/* What the blob says, now authentic but for `region` and `sealed_bytes`. Borrowed from @reader. */
BLOBSEAL_API const struct blobseal_info *blobseal_reader_info(const struct blobseal_reader *reader);

/**
 * blobseal_reader_pread - read plaintext at any offset
 * @dst: receives the plaintext
 * @len: bytes wanted; 0 is allowed
 * @off: offset in the plaintext
 * @nread: bytes written; less than @len only at the end of the blob
 *
 * Cost: opens the chunks of 16 KiB that the range touches, so a 1-byte read asks the source for 16,400 bytes and opens
 * one chunk. Of zstd content it decompresses the frames of 1 MiB that the range touches; the last one is kept, so that
 * reads in a row decompress each once. No allocation once as many calls have run at the same time as ever will; each of
 * them takes 0.5 MiB, with zstd content 2.7 MiB. Threads: many calls at once; they wait for each other only while
 * memory changes hands. Errors: AUTH (a chunk touched is not genuine), DAMAGED, INPUT, FORMAT (zstd content that is
 * none), ARG (sequential source, or
 * @off beyond the size). All of @dst is then zero, and the reader stays usable.
 * Source: section 3.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_reader_pread(struct blobseal_reader *reader, void *dst,
                                                                          size_t len, uint64_t off, size_t *nread,
                                                                          struct blobseal_error *err);

/**
 * blobseal_reader_stream - open the whole blob into a sink
 * @plain_bytes: receives the count of plaintext bytes; may be NULL
 *
 * Every chunk is verified before a byte of it reaches the sink, every segment sum is checked. A sequential sink has
 * received a verified prefix when an error comes; a caller with a file must not give it its name before BLOBSEAL_OK.
 * Once for a sequential source (ARG after that, and after blobseal_reader_read()), any number of times for a seekable
 * one. Zstd content goes out by whole frames; from a sequential source one thread decompresses. Errors: AUTH, DAMAGED
 * (sum mismatch, cut or extended blob), FORMAT and POLICY (zstd content), INPUT, OUTPUT, CANCELED, ARG.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_reader_stream(struct blobseal_reader *reader,
                                                                           const struct blobseal_sink *sink,
                                                                           uint64_t *plain_bytes,
                                                                           struct blobseal_error *err);

/**
 * blobseal_reader_stream_range - open a part of the blob into a sink
 * @sink: receives it from its offset 0, or in order
 * @off: offset in the plaintext, at most blobseal_reader_size()
 * @len: bytes wanted; what lies beyond the end is not there. BLOBSEAL_SIZE_UNKNOWN: to the end
 * @nwritten: receives the count of plaintext bytes written; may be NULL
 *
 * For seekable sources. Every chunk is verified before a byte of it reaches the sink; segment sums are left alone, the
 * tag of a chunk suffices. No bytes wanted, or @off at the end: nothing is written. Cost: opens the chunks of 16 KiB
 * that the range touches, each once, on all threads. Memory: about 1.6 MiB a worker. Errors: AUTH (a chunk touched is
 * not genuine), INPUT, OUTPUT, CANCELED; ARG where @off is beyond the size; CONFIG for a sequential source. Source:
 * section 3.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_reader_stream_range(struct blobseal_reader *reader, const struct blobseal_sink *sink, uint64_t off,
                             uint64_t len, uint64_t *nwritten, struct blobseal_error *err);

/* As blobseal_reader_stream(), without an output: opens everything and checks it. */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_reader_verify(struct blobseal_reader *reader, uint64_t *plain_bytes, struct blobseal_error *err);

/**
 * blobseal_reader_read - read the plaintext piece by piece, from its beginning to its end
 * @dst: receives the plaintext
 * @len: bytes wanted; 0 is allowed
 * @nread: bytes written, as of read(2): fewer than @len at any time, 0 only at the end, whose place is authentic then
 *
 * For callers who ask for bytes where blobseal_reader_stream() would push them. All work is done on the caller's thread
 * and reported to no progress function. A sequential source is opened a segment of 1 MiB at a time: all its tags and
 * its sum fit before a byte of it is handed out. A seekable one is read as by blobseal_reader_pread(), 256 KiB at a
 * time, which checks tags and no sums; the position is one of its own. A cut blob ends in an error, never in 0 bytes:
 * what came before is a verified prefix, so a caller must not act on the whole before 0. Cost: about 2.2 MiB for a
 * sequential source, 0.3 MiB for a seekable one, allocated by the first call. Threads: one at a time. Beside
 * blobseal_reader_pread() for a seekable source. Errors: AUTH, DAMAGED (sum mismatch, cut or extended blob), INPUT,
 * NOMEM; ARG after blobseal_reader_stream() or blobseal_reader_verify() of a sequential source. All of @dst is then
 * zero, and every later call answers the same error. Source: section 3.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_reader_read(struct blobseal_reader *reader, void *dst, size_t len, size_t *nread, struct blobseal_error *err);

/* ---- Changing the recipients of a sealed blob -------------------------------------------------------------------- */

/*
 * What to change. A recipient that is in both lists stays. Removing anybody takes a fresh content key (CEK), wrapped
 * anew for everybody who stays, so their public keys must be at hand; adding alone leaves the wrapped keys of the
 * others as they are.
 */
struct blobseal_change {
    size_t size;
    struct blobseal_kek *const *add; /* recipients to add; those that are there already are left alone */
    size_t num_add;
    const char *const *remove; /* kids of recipients to remove; those that are not there are ignored     */
    size_t num_remove;
    bool replace;            /* remove the recipient that the first key opens, too: rotation             */
    bool only;               /* remove everybody who is not in @add                                      */
    bool repair;             /* nothing else: make both slots alike, a tie to a new generation           */
    bool dry_run;            /* in place: find out what would be done, and write nothing                 */
    uint64_t min_generation; /* refuse (POLICY) an envelope that is older                                */
    const char *envelope;    /* blobseal_change_envelope() only: the detached envelope; NULL: that of the source */
    size_t envelope_len;
};

enum blobseal_action { BLOBSEAL_ACTION_KEEP, BLOBSEAL_ACTION_ADD, BLOBSEAL_ACTION_REMOVE };

struct blobseal_change_step {
    enum blobseal_action action;
    struct blobseal_recipient recipient;
};

/* What was done, or with dry_run would be. Made by the library, so that it can grow. */
struct blobseal_change_result {
    bool changed;        /* the recipients are others than before                                                     */
    bool finished;       /* an earlier change was finished, or a damaged slot or core header repaired                 */
    bool fresh_key;      /* the CEK is a new one                                                                      */
    bool verified;       /* false: nothing to do, and none of the keys opens the envelope to be sure                  */
    uint64_t generation; /* from now on                                                                               */
    size_t num_steps;
    const struct blobseal_change_step *steps;
    const char *envelope; /* as it is from now on, zero-terminated */
    size_t envelope_len;
};

/* Release @result. NULL is allowed. */
BLOBSEAL_API void blobseal_change_result_free(struct blobseal_change_result *result);

/**
 * blobseal_change_envelope - make the envelope that a change leads to; the caller stores it
 * @result: receives the plan and the new envelope; release with blobseal_change_result_free()
 * @source: the blob, or NULL if only its detached envelope is at hand, which is then in @change
 * @keks: keys that open the envelope, and public keys of recipients who stay. With `replace` the first one counts
 *
 * For detached envelopes, and for compact blobs, which blobseal_attach() then copies. The envelope is opened and
 * checked against the core header (or the copy of it in the envelope) first. Cost: one unwrap, and a wrap for each
 * recipient whose key is new. Errors: those of blobseal_reader_open(); POLICY: nobody would be left, more than 64
 * would, a public key is not at hand, the generation is too old or exhausted; CONFIG: a key is for another algorithm
 * than its recipient. Source: sections 4 and 5.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_change_envelope(struct blobseal_change_result **result, const struct blobseal_source *source,
                         struct blobseal_kek *const *keks, size_t num_keks, const struct blobseal_change *change,
                         struct blobseal_error *err);

/*
 * A blob that can be changed where it is. `write` writes all @len bytes at @off or fails; `sync` makes what was written
 * to that range durable, and lets a later read see what is stored, not what is cached, as far as it can. `lock` takes
 * (@on) or releases a lock that excludes other changes, EXISTS where somebody holds it; NULL: the caller excludes them.
 */
struct blobseal_target {
    void *ctx;
    struct blobseal_source source; /* seekable */
    enum blobseal_status (*write)(void *ctx, const void *buf, size_t len, uint64_t off, struct blobseal_error *err);
    enum blobseal_status (*sync)(void *ctx, uint64_t off, uint64_t len, struct blobseal_error *err);
    enum blobseal_status (*lock)(void *ctx, bool on, struct blobseal_error *err);
};

/* A target over a descriptor of a regular file that is open for reading and writing. It stays the caller's. */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_target_fd(struct blobseal_target *target,
                                                                       struct blobseal_fd *state, int fd,
                                                                       const char *name, struct blobseal_error *err);

/**
 * blobseal_change_in_place - change the recipients of a blob with two slots, where it is
 * @result: receives what was done; release with blobseal_change_result_free()
 * @target: the blob
 * @keks: as for blobseal_change_envelope()
 *
 * Opens the newest envelope and checks it against the core header; writes the new one over the other slot; syncs and
 * reads back; writes it over the first slot; syncs and reads back. Whenever that ends, the old or the new envelope is
 * there; once it has ended well the old wrapped key is nowhere in the blob. An earlier change that did not finish is
 * finished, even where there is nothing else to do. The payload is not touched, and reading it meanwhile is fine. Cost:
 * as blobseal_change_envelope(), and two writes of a slot; nothing depends on the size of the blob. Errors: those of
 * blobseal_change_envelope() and of @target; EXISTS while another change holds the lock; POLICY where the envelope does
 * not fit its slot; CONFIG where the blob has one slot or none. Source: section 5.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_change_in_place(struct blobseal_change_result **result, const struct blobseal_target *target,
                         struct blobseal_kek *const *keks, size_t num_keks, const struct blobseal_change *change,
                         struct blobseal_error *err);

struct blobseal_attach_options {
    size_t size;
    const char *envelope; /* for this blob; NULL keeps that of the source, whose newest valid slot counts */
    size_t envelope_len;
    enum blobseal_layout layout; /* AUTO keeps the layout of the source; DETACHED writes the core alone */
    uint32_t slot_capacity;      /* as for sealing; 0 keeps that of the source if it is large enough      */
};

/**
 * blobseal_attach - copy a blob with another envelope or layout
 * @sink: receives the blob from offset 0
 * @source: a blob in any layout; all of its core is copied as it is
 * @options: may be NULL
 *
 * Nothing is opened, so nothing is verified that needs a key. After an error the sink holds an unusable part.
 * Errors: FORMAT, UNSUPPORTED, POLICY if the envelope does not fit, those of @source and @sink; DAMAGED, also if the
 * length is that of no blob, or if @source has two envelopes of one generation and none is passed.
 * Source: sections 1 and 5.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_attach(const struct blobseal_sink *sink,
                                                                    const struct blobseal_source *source,
                                                                    const struct blobseal_attach_options *options,
                                                                    struct blobseal_error *err);

/* ---- Looking for decay, without a key ---------------------------------------------------------------------------- */

enum blobseal_damage_kind {
    BLOBSEAL_DAMAGE_FRAME = 1,   /* the frame header, or the zeros behind it                              */
    BLOBSEAL_DAMAGE_SLOT,        /* a slot of the frame; with two slots the other one may serve           */
    BLOBSEAL_DAMAGE_ENVELOPE,    /* a slot that is as it was written, but holds no envelope of this blob  */
    BLOBSEAL_DAMAGE_CORE_HEADER, /* the envelope has a copy of it                                         */
    BLOBSEAL_DAMAGE_SEGMENT,     /* up to 1 MiB of plaintext                                              */
    BLOBSEAL_DAMAGE_END,         /* the blob is cut or extended                                           */
};

/* "frame", "slot", "envelope", "core-header", "segment", "end"; never NULL. */
BLOBSEAL_API const char *blobseal_damage_name(enum blobseal_damage_kind kind);

#define BLOBSEAL_NO_SEGMENT UINT64_MAX

/* Made by the library, so that it can grow. */
struct blobseal_damage {
    enum blobseal_damage_kind kind;
    uint64_t segment;        /* its number from 0, or BLOBSEAL_NO_SEGMENT                */
    uint64_t offset, length; /* what is damaged, in bytes of the blob; the length may be 0 at its end */
    const char *text;        /* what is wrong with it: one line, printable, for this call only        */
};

struct blobseal_scrub_options {
    size_t size;
    unsigned threads;              /* as for sealing */
    blobseal_progress_fn progress; /* counts bytes of the payload as it is stored */
    void *progress_ctx;
    /* Called for each damage, from any thread, one at a time; what stands before the payload first, then segments in
     * order. */
    void (*on_damage)(void *ctx, const struct blobseal_damage *damage);
    void *on_damage_ctx;
};

struct blobseal_scrub_result {
    size_t size;
    bool ok;               /* no decay was found. Not: authentic. blobseal_reader_verify() says that        */
    bool repairable;       /* blobseal_change_in_place() with `repair` and a key mends all that was found  */
    bool payload_checked;  /* all of the payload was compared with sums. False: it has none, or they cannot be used */
    uint64_t damaged;      /* how often on_damage was called              */
    uint64_t num_segments; /* that were read                              */
    uint64_t bytes;        /* that were read                              */
    uint64_t plain_bytes;  /* by the length of the blob; BLOBSEAL_SIZE_UNKNOWN where none has it, and if compressed */
    uint64_t generation;   /* of the envelope that counts; 0 without one  */
    uint32_t notes;        /* BLOBSEAL_NOTE_                              */
    enum blobseal_layout layout; /* AUTO where it is not known            */
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN];
};

/**
 * blobseal_scrub - look for decay in a blob
 * @source: the blob, attached or a detached core
 * @options: may be NULL
 * @result: receives what was found
 *
 * Checks frame header, slots, what is visible of the envelope, core header, the sum of every segment, and the length.
 * It proves nothing to somebody who fears an attacker: sums have no key. Damage is in @result and never ends the
 * search: not that of a header, as long as the rest can be found without it, nor sectors that cannot be read (EIO from
 * a seekable source). Reads all of the blob once, seekable sources in parallel; about 2.3 MiB a worker. Errors: FORMAT
 * (not a blob at all), UNSUPPORTED, INPUT, CANCELED, NOMEM. BLOBSEAL_OK says that the search was done. Source: sections
 * 2, 3 and 5.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_scrub(const struct blobseal_source *source,
                                                                   const struct blobseal_scrub_options *options,
                                                                   struct blobseal_scrub_result *result,
                                                                   struct blobseal_error *err);

/* ---- Is everything as it should be? ------------------------------------------------------------------------------ */

enum blobseal_level {
    BLOBSEAL_LEVEL_OK = 0,
    BLOBSEAL_LEVEL_WARNING, /* it works, but slower or less protected than it could  */
    BLOBSEAL_LEVEL_FAILURE, /* a self-test failed: nothing should be sealed like that */
};

/* Made by the library, so that it can grow. All text is one line, printable, and for this call only. */
struct blobseal_finding {
    const char *name;  /* "cpu", "aes-256-gcm", ...  */
    const char *value; /* what was found             */
    enum blobseal_level level;
    const char *hint; /* the next step, or empty */
};

typedef void (*blobseal_finding_fn)(void *ctx, const struct blobseal_finding *finding);

/**
 * blobseal_diagnose - look at what blobseal stands on
 * @fn: is told each finding, on the caller's thread
 *
 * CPU features, what OpenSSL uses of them, CPUs, FIPS mode and who serves in it, locked memory, core files; self-tests
 * of the random generator, of the AES-GCM implementation in use (known answers, and forgeries that must be refused),
 * XXH3, SHA-256 and key derivation. Cost: a few milliseconds.
 */
BLOBSEAL_API void blobseal_diagnose(blobseal_finding_fn fn, void *ctx);

/**
 * blobseal_diagnose_kek - try a key
 *
 * Tells what key it is, wraps random bytes with it and, where it can, unwraps them. A key that wraps or unwraps wrongly
 * is a finding of BLOBSEAL_LEVEL_FAILURE; an error of the provider is answered as well.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_diagnose_kek(struct blobseal_kek *kek, blobseal_finding_fn fn, void *ctx, struct blobseal_error *err);

#ifdef __cplusplus
}
#endif
#endif
