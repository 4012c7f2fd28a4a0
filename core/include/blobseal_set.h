/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobseal_set.h - encryption sets: keys for many blobs, under one KEK that its owner can rotate and revoke.
 *
 * Blobs that are sealed with a set have its newest set key as a recipient, which costs no request to the vault of the
 * KEK. The set keys are in one stored object, wrapped for the KEK. FORMAT.md section 11 specifies it.
 *
 *   blobseal_set_create() or blobseal_set_open() --> blobseal_set_kek() --> blobseal_seal(), blobseal_reader_open() ...
 *
 * blobseal_kek_open("set:NAME") with a configuration does the first two steps at once.
 *
 * Trust. The definition of a set is local and trusted: its id, its keys, its identity and its store. The stored object
 * is not trusted: whoever can write it can make the set unavailable, but cannot plant a key, choose a host, or put an
 * older object in its place without being noticed by those who keep a state.
 *
 * Time. How long set keys are used without asking the owner of the KEK is limited by the lease that its provider gives,
 * see struct blobseal_unlocked. There is no thread in the background: what has to be done from time to time is done
 * inside the calls that use a key of the set.
 *
 * A256KW is symmetric: whoever can seal with a set can also open all of its blobs.
 *
 * Threads: many threads may use a set at once. Fork: a child may use it, and asks the owner of the KEK again, if no
 * thread of the parent was inside the library during fork(); see blobseal.h.
 */
#ifndef BLOBSEAL_SET_H
#define BLOBSEAL_SET_H

#include <blobseal.h>
#include <blobseal_config.h>
#include <blobseal_provider.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BLOBSEAL_SET_ID_LEN       16
#define BLOBSEAL_SET_MAX_NAME     64
#define BLOBSEAL_SET_MAX_KEKS     8
#define BLOBSEAL_SET_MAX_RECOVERY 8
#define BLOBSEAL_SET_MAX_TOKEN    128 /* with its zero byte */

struct blobseal_set;

/* ---- Stores ------------------------------------------------------------------------------------------------------ */

/* What put() did. */
enum blobseal_set_put {
    BLOBSEAL_SET_STORED = 0, /* the object is there, and will be after a crash                  */
    BLOBSEAL_SET_CHANGED,    /* nothing was stored: another object is there than the token says */
    BLOBSEAL_SET_UNKNOWN,    /* it may have been stored or not, as after a lost connection      */
};

/*
 * Where the object of a set is kept, at most BLOBSEAL_MAX_ENVELOPE bytes. A program can keep it in its own storage; the
 * built-in store is a file. Initialise the struct to zero. Both functions may be called by many threads at once, and
 * return E_INPUT, E_OUTPUT, E_UNAVAILABLE, E_DENIED, E_POLICY, E_CONFIG, E_NOMEM, E_CANCELED or a status of their own.
 */
struct blobseal_set_store {
    void *ctx;
    /*
     * Read the object into memory from malloc(), and write an opaque token that names this version of it, such as an
     * ETag: 1 to 127 characters and a zero byte. If there is no object, *@object is NULL and the token empty.
     */
    enum blobseal_status (*get)(void *ctx, char **object, size_t *len, char token[BLOBSEAL_SET_MAX_TOKEN],
                                const struct blobseal_call *call, struct blobseal_error *err);
    /* Replace the version that @token names, or store the first one if @token is empty. */
    enum blobseal_status (*put)(void *ctx, const char *object, size_t len, const char *token,
                                enum blobseal_set_put *result, const struct blobseal_call *call,
                                struct blobseal_error *err);
    uintptr_t reserved[4];
};

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* What a set needs from the program. */
struct blobseal_set_options {
    size_t size;
    /* sets_dir, state_dir and limits, and what the references to keys need. NULL: no files, and the default limits. */
    const struct blobseal_config *config;
    const struct blobseal_registry *registry; /* NULL: the built-in providers; needed during the call only */
    const char *definition;                   /* the definition, zero-terminated; NULL: the file SETS_DIR/NAME.json */
    const struct blobseal_set_store *store; /* copied; NULL: the file that the definition names, or SETS_DIR/NAME.jwe */
    blobseal_passphrase_fn passphrase;      /* for KEKs; called during this call only */
    void *passphrase_ctx;
    uint32_t timeout_ms; /* see struct blobseal_call_options */
    const int *cancel;
    bool require_purge_protection; /* do not seal if the vault of the KEK lets a deleted key be purged at once: E_POLICY
                                    */
};

/**
 * blobseal_set_open - open a set
 * @set: receives the set; release it with blobseal_set_close()
 * @name: 1 to BLOBSEAL_SET_MAX_NAME letters, digits, '.', '-' and '_', the first a letter or digit
 * @options: may be NULL only if there is a definition for that, that is never
 *
 * Opens the KEKs that the definition permits. The stored object is read when a key is needed.
 * Errors: E_CONFIG (the definition is malformed), E_INPUT (there is none), E_POLICY (others can write it), those of
 * blobseal_kek_open().
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_set_open(struct blobseal_set **set, const char *name,
                                                                      const struct blobseal_set_options *options,
                                                                      struct blobseal_error *err);

/* Release @set. KEKs that were made with it keep what they need. NULL is allowed. */
BLOBSEAL_API void blobseal_set_close(struct blobseal_set *set);

/* Make a KEK that seals and opens with @set, and may outlive it. Release it with blobseal_kek_close(). */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_set_kek(struct blobseal_set *set, struct blobseal_kek **kek, struct blobseal_error *err);

/* Return the definition of @set as JSON, borrowed until the next call with @set. A program that passed a definition
 * stores it after each function that says so. */
BLOBSEAL_API const char *blobseal_set_definition(struct blobseal_set *set);

/* ---- Making a set ------------------------------------------------------------------------------------------------ */

enum blobseal_set_wrap {
    BLOBSEAL_SET_WRAP_HIERARCHY = 0, /* blobs are wrapped with set keys                                           */
    BLOBSEAL_SET_WRAP_DIRECT,        /* blobs are wrapped with the KEK: whoever seals need not be able to open,   */
                                     /* and each blob costs an operation of the KEK                               */
};

struct blobseal_set_new {
    size_t size;
    const char *kek;      /* the reference of the KEK; a file needs an absolute path                               */
    const char *identity; /* for a KEK in a vault: the name of an identity in the configuration; NULL: its default */
    const char *const *recovery; /* references of keys, whose public halves become recipients of every object      */
    size_t num_recovery;
    enum blobseal_set_wrap wrap;
    const char *store_path; /* of the object, absolute; NULL: SETS_DIR/NAME.jwe, or the program's own store        */
};

/**
 * blobseal_set_create - make a set with a first key
 *
 * Writes the object, and then the definition; after a failure neither exists, or the object alone, without which
 * nothing was sealed. With options->store the program stores blobseal_set_definition(). options->definition is ignored.
 * Errors: E_EXISTS (there is a set of that name, or an object), E_CONFIG, E_OUTPUT, those of the KEK and the store.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_set_create(struct blobseal_set **set, const char *name,
                                                                        const struct blobseal_set_new *how,
                                                                        const struct blobseal_set_options *options,
                                                                        struct blobseal_error *err);

/**
 * blobseal_set_import - make a set from an exported object, or add the keys of the object to the set
 * @id: the id that the set must have, BLOBSEAL_SET_ID_LEN bytes
 * @how: as for blobseal_set_create(); the KEK must open the object, and may be a recovery key
 *
 * A set that exists keeps all its keys. The set makes no new key by itself before blobseal_set_rekey() was called once.
 * Errors: E_AUTH or E_FORMAT if the object is not of that set, those of blobseal_set_create() except E_EXISTS.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_set_import(struct blobseal_set **set, const char *name,
                                                                        const uint8_t *id, const char *object,
                                                                        size_t len, const struct blobseal_set_new *how,
                                                                        const struct blobseal_set_options *options,
                                                                        struct blobseal_error *err);

/* ---- Changing a set ---------------------------------------------------------------------------------------------- */

/* Limits, and what was done. */
struct blobseal_set_change {
    size_t size;
    uint32_t timeout_ms; /* see struct blobseal_call_options */
    const int *cancel;
    const char *const *drop; /* key ids of recipients of the object that may be lost, because the definition has no */
    size_t num_drop;         /* key for them                                                                         */
    /* Below: set by the library. */
    bool changed; /* a new object was stored                                  */
    bool rotated; /* for another KEK, or another version of it                */
    bool new_key; /* with a new set key                                       */
    uint64_t generation;
};

/**
 * blobseal_set_check - do what is due: one poll
 *
 * Asks for the newest version of the KEK, and rewraps the object for it if it is another one than before; makes a new
 * set key if the newest is 90 days old. Nothing in the object decides about that. Programs that use a set for a long
 * time need not call this. @change may be NULL. Errors: those of the KEK and the store; E_POLICY (the object is an
 * older one).
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_set_check(struct blobseal_set *set, struct blobseal_set_change *change, struct blobseal_error *err);

/**
 * blobseal_set_rotate - exchange the KEK or the identity
 * @to: the reference of the new KEK; NULL: the KEK stays
 * @identity: the name of the identity from now on; NULL: it stays
 * @options: for opening the new KEK; may be NULL. Its store and definition are ignored
 *
 * The old KEK stays permitted, so that other processes can use the set meanwhile. Stores the definition. A reference
 * without a version is rotated by blobseal_set_check() from then on, one with a version by hand only. Errors: those of
 * blobseal_set_check() and blobseal_kek_open(); E_OUTPUT; E_POLICY (a recipient would be lost).
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_set_rotate(struct blobseal_set *set, const char *to,
                                                                        const char *identity,
                                                                        const struct blobseal_set_options *options,
                                                                        struct blobseal_set_change *change,
                                                                        struct blobseal_error *err);

/* Make a new set key for blobs that are sealed from now on. Stores the definition. Errors: as for
 * blobseal_set_check(). */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_set_rekey(struct blobseal_set *set, struct blobseal_set_change *change, struct blobseal_error *err);

/* Return the object, which blobseal_set_import() accepts, after it was read and opened. Release it with
 * blobseal_free(). Errors: as for blobseal_set_check(). */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_set_export(struct blobseal_set *set,
                                                                        const struct blobseal_call_options *options,
                                                                        char **object, size_t *len,
                                                                        struct blobseal_error *err);

/* ---- Looking at sets --------------------------------------------------------------------------------------------- */

enum blobseal_set_state {
    BLOBSEAL_SET_ACTIVE = 1, /* the keys can be used                                                              */
    BLOBSEAL_SET_DEGRADED,   /* the KEK or the store cannot be reached, or the object is not usable               */
    BLOBSEAL_SET_REVOKED,    /* the owner of the KEK refuses                                                      */
    BLOBSEAL_SET_LOST,       /* the KEK does not exist any more                                                   */
};

/* Return "ACTIVE", "DEGRADED", "REVOKED" or "LOST". */
BLOBSEAL_API const char *blobseal_set_state_name(enum blobseal_set_state state);

#define BLOBSEAL_SET_NOTE_NO_RECOVERY 1u  /* if the KEK is lost, all blobs of the set are                            */
#define BLOBSEAL_SET_NOTE_NO_STATE    2u  /* an older object is not noticed after a restart                          */
#define BLOBSEAL_SET_NOTE_BACKUP      4u  /* the object was read from the backup, because its file is damaged        */
#define BLOBSEAL_SET_NOTE_IMPORTED    8u  /* no new key is made before blobseal_set_rekey() is called                */
#define BLOBSEAL_SET_NOTE_STRANGER    16u /* the object has a recipient that the definition does not know */
#define BLOBSEAL_SET_NOTE_PURGEABLE   32u /* the vault of the KEK has no purge protection, as far as it was looked up */

/* What is known of a set. Only the library makes it, so it may grow. Times are in seconds since 1970; 0: never. */
struct blobseal_set_info {
    const char *name;
    uint8_t id[BLOBSEAL_SET_ID_LEN];
    enum blobseal_set_state state;
    struct blobseal_error error; /* if the state is not ACTIVE: why      */
    const char *kek;             /* the reference of the KEK             */
    const char *kid;             /* of the KEK in the object, with its version; NULL: not known */
    const char *identity;        /* NULL: the default                    */
    bool automatic;              /* a new version of the KEK is taken by itself */
    enum blobseal_set_wrap wrap;
    uint64_t generation; /* 0: not known                         */
    uint64_t last_rotation;
    uint64_t last_check;    /* by any process that shares the state */
    const char *last_error; /* of the last check, or NULL        */
    size_t num_keys;
    const char *newest; /* the key id of the newest set key; NULL: not known */
    uint64_t newest_made;
    size_t num_recovery;
    const char *const *recovery; /* key ids                      */
    uint64_t valid_until;        /* the end of the lease, in milliseconds since 1970; 0: there is none */
    uint32_t notes;              /* BLOBSEAL_SET_NOTE_                   */
};

/*
 * Read the set, and describe it. A set that cannot be used is described as well. @options may be NULL. Release *@info
 * with blobseal_set_info_free(). Errors: E_NOMEM, E_CANCELED.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_set_info_get(struct blobseal_set *set,
                                                                          const struct blobseal_call_options *options,
                                                                          struct blobseal_set_info **info,
                                                                          struct blobseal_error *err);
BLOBSEAL_API void blobseal_set_info_free(struct blobseal_set_info *info);

/* Receives the name of a set. Return false to stop. */
typedef bool (*blobseal_set_name_fn)(void *ctx, const char *name);

/* Report the names of the definitions in SETS_DIR, sorted. A folder that does not exist has none. Errors: E_INPUT. */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_set_list(const struct blobseal_config *config, blobseal_set_name_fn fn, void *ctx, struct blobseal_error *err);

#ifdef __cplusplus
}
#endif
#endif
