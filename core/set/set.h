/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set: encryption sets. A set is a local, trusted definition and a stored object, which is not trusted. Section numbers
 * refer to FORMAT.md.
 */
#ifndef BLOBSEAL_SET_MODULE_H
#define BLOBSEAL_SET_MODULE_H

#include <pthread.h>
#include <stdatomic.h>

#include "blobseal_set.h"
#include "core/base/base.h"
#include "core/config/config.h"
#include "core/envelope/envelope.h"
#include "core/jwe/jwe.h"
#include "kek/kek.h"

#define BS_SET_ID_LEN         BLOBSEAL_SET_ID_LEN
#define BS_SET_CHECK_LEN      9
#define BS_SET_MAX_KEYS       256
#define BS_SET_MAX_GENERATION (((uint64_t)1 << 53) - 1)
#define BS_SET_MAX_PATH       4096
#define BS_SET_KID_PREFIX     "blobseal-set:"
#define BS_SET_MAX_KID        59 /* the prefix, 22 characters, "/", up to 10 digits, "/", 12 characters */

/* ---- keys.c: the keys and their names (section 11.1) ------------------------------------------------------------- */

struct bs_set_key {
    struct blobseal_secret32 k;
    uint32_t n;
    uint8_t check[BS_SET_CHECK_LEN];
    uint64_t made; /* seconds since 1970 */
};

/* The keys of a set, in the order of section 11.2. The newest is the last one. Secret memory. */
struct bs_set_keys {
    uint8_t id[BS_SET_ID_LEN];
    uint64_t rotated; /* when the KEK or its version was last exchanged, in seconds since 1970 */
    size_t num, cap;
    struct bs_set_key list[];
};

/* Allocate room for @cap keys. Release with blobseal_secret_free(). Return NULL if there is no memory. */
struct bs_set_keys *bs_set_keys_new(size_t cap);

/* Compute the id of the set whose key 1 is @first, and the check of key @n. Return false if there is no memory. */
BLOBSEAL_MUST_USE bool bs_set_id(uint8_t id[BS_SET_ID_LEN], const struct blobseal_secret32 *first);
BLOBSEAL_MUST_USE bool bs_set_check(uint8_t check[BS_SET_CHECK_LEN], const uint8_t id[BS_SET_ID_LEN], uint32_t n,
                                    const struct blobseal_secret32 *key);

/* Write the key id of a set key, zero-terminated. */
void bs_set_kid(char out[BS_SET_MAX_KID + 1], const uint8_t id[BS_SET_ID_LEN], uint32_t n,
                const uint8_t check[BS_SET_CHECK_LEN]);

/* Parse a key id. Return false unless it has the form of section 11.1 and names the set @id. */
BLOBSEAL_MUST_USE bool bs_set_kid_parse(const char *kid, const uint8_t id[BS_SET_ID_LEN], uint32_t *n,
                                        uint8_t check[BS_SET_CHECK_LEN]);

/* Find a key. Return NULL if the set does not have it. */
const struct bs_set_key *bs_set_find(const struct bs_set_keys *keys, uint32_t n, const uint8_t check[BS_SET_CHECK_LEN]);

/* Return true if the order and the numbers of the keys are as section 11.2 says. */
BLOBSEAL_MUST_USE bool bs_set_in_order(const struct bs_set_keys *keys);

/* Add a random key, made at @now; if it is the first one, it gives the set its id. Errors: E_POLICY if the set is full,
 * those of bs_random(). */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_keys_add(struct bs_set_keys *keys, uint64_t now,
                                                       struct blobseal_error *err);

/* Add the keys of @more, which is the same set, that @keys does not have. Errors: E_POLICY if the set is full. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_keys_merge(struct bs_set_keys *keys, const struct bs_set_keys *more,
                                                         struct blobseal_error *err);

/* ---- object.c: the stored object (section 11.2) ------------------------------------------------------------------ */

struct bs_set_object {
    struct bs_jwe jwe;
    uint64_t generation;
    uint8_t id[BS_SET_ID_LEN];
    uint8_t rcpt[BS_SHA256_LEN];
    uint8_t sha256[BS_SHA256_LEN]; /* of the whole object */
};

/*
 * Parse an object, and check all that needs no key. @id: the set that it must belong to; NULL: any. Release with
 * bs_set_object_clear(), also after a failure. Errors: E_FORMAT, E_UNSUPPORTED, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_object_parse(struct bs_set_object *o, const char *text, size_t len,
                                                           const uint8_t id[BS_SET_ID_LEN], struct blobseal_error *err);
void bs_set_object_clear(struct bs_set_object *o);

/*
 * Open a parsed object with one of @keks, and check everything up to step 3 of section 11.2. @by may be NULL. Release
 * *@keys with blobseal_secret_free(). Errors: those of bs_jwe_open(), with texts about a set; E_FORMAT.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_object_open(struct bs_set_keys **keys, const struct bs_set_object *o,
                                                          struct bs_keks keks, struct bs_jwe_opener *by,
                                                          struct blobseal_error *err);

/* For whom an object is written. */
struct bs_set_recipients {
    struct bs_keks keks;
    /* The key id to write for each KEK. Where there is none, or no list, it is the one that wrapping returns. */
    const char *const *kids;
};

/*
 * Write an object with @keys for all of @recipients, with a fresh CEK. Release *@text, which is zero-terminated, with
 * free(). Errors: E_POLICY if it does not fit or the generation cannot grow; E_CONFIG if a KEK is a set; E_ARG if a KEK
 * appears twice; those of providers.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_object_write(char **text, size_t *len, const struct bs_set_keys *keys,
                                                           uint64_t generation, struct bs_set_recipients recipients,
                                                           struct blobseal_error *err);

/* Fill @err with the text for an object that is not authentic. Return E_AUTH. */
enum blobseal_status bs_set_not_authentic(struct blobseal_error *err);

/* ---- definition.c: the local, trusted definition ----------------------------------------------------------------- */

struct bs_set_recovery {
    const char *kid;
    const uint8_t *spki; /* SubjectPublicKeyInfo */
    size_t spki_len;
};

/* The strings are in @buf, or belong to whoever filled the struct. */
struct bs_set_definition {
    char name[BLOBSEAL_SET_MAX_NAME + 1];
    uint8_t id[BS_SET_ID_LEN];
    size_t num_keks;
    const char *keks[BLOBSEAL_SET_MAX_KEKS]; /* references of permitted KEKs; the first is the one to write for */
    const char *identity;
    const char *store; /* path of the object; NULL: the default */
    size_t num_recovery;
    struct bs_set_recovery recovery[BLOBSEAL_SET_MAX_RECOVERY];
    bool direct; /* blobs are wrapped with the KEK      */
    bool manual; /* no new set keys without being asked */
    uint64_t min_generation;
    uint8_t *buf;
};

bool bs_set_name_is_valid(const char *name);

/* Parse a definition. Release with bs_set_definition_clear(). Errors: E_CONFIG, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_definition_parse(struct bs_set_definition *d, const char *name,
                                                               const char *text, size_t len,
                                                               struct blobseal_error *err);
void bs_set_definition_clear(struct bs_set_definition *d);

/* Write a definition as JSON. Release *@text, which is zero-terminated, with free(). Errors: E_CONFIG, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status
bs_set_definition_write(char **text, size_t *len, const struct bs_set_definition *d, struct blobseal_error *err);

/* ---- files.c: small files that are replaced as a whole ----------------------------------------------------------- */

/* Read at most @max + 1 bytes. A file that does not exist is NULL. Release with free(). Errors: E_INPUT, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_file_read(char **text, size_t *len, const char *path, size_t max,
                                                        struct blobseal_error *err);

/* Write a file and make it durable; unless @replace, only if there is none (E_EXISTS). Errors: E_OUTPUT. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_file_write(const char *path, const char *text, size_t len, bool replace,
                                                         struct blobseal_error *err);

/* Take an exclusive lock, waiting up to ten seconds within @call (NULL: no other limits). Errors: E_OUTPUT,
 * E_UNAVAILABLE, E_CANCELED. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_file_lock(int *fd, const char *path, const struct blobseal_call *call,
                                                        struct blobseal_error *err);
void bs_set_file_unlock(int fd);

/* Make a folder, and those above it that are missing. Return false if that fails. */
bool bs_set_make_folder(const char *folder, unsigned mode);

/* ---- store.c: the built-in store --------------------------------------------------------------------------------- */

struct bs_set_files {
    char path[BS_SET_MAX_PATH], backup[BS_SET_MAX_PATH + 16], lock[BS_SET_MAX_PATH + 16];
    atomic_bool from_backup; /* the last object was read from the backup */
};

/* Errors: E_CONFIG (the path is too long). */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_files_init(struct bs_set_files *f, const char *path,
                                                         struct blobseal_error *err);
struct blobseal_set_store bs_set_files_store(struct bs_set_files *f);

/* ---- state.c: what was seen of a set ----------------------------------------------------------------------------- */

struct bs_set_seen {
    uint64_t generation; /* the highest that was accepted; 0: none */
    uint8_t sha256[BS_SHA256_LEN];
    uint64_t last_check;  /* seconds since 1970; 0: never */
    char last_error[320]; /* of the last check, or empty  */
};

#define BS_SET_MAX_STATE 4096 /* bytes of the file */

/* Parse the content of the file, which is changed. Return false if it is malformed. */
BLOBSEAL_MUST_USE bool bs_set_seen_parse(struct bs_set_seen *s, uint8_t *text, size_t len);

/* Write the content of the file. Return its length. */
size_t bs_set_seen_format(uint8_t out[BS_SET_MAX_STATE], const struct bs_set_seen *s);

struct bs_set_state_file {
    char folder[BS_SET_MAX_PATH], path[BS_SET_MAX_PATH + 64], lock[BS_SET_MAX_PATH + 64]; /* empty: there is none */
};

/* Return false if the path is too long. @folder may be NULL. */
BLOBSEAL_MUST_USE bool bs_set_state_file_init(struct bs_set_state_file *f, const char *folder,
                                              const uint8_t id[BS_SET_ID_LEN]);

/* Check a parsed object, which need not be authentic, against what was seen, and the generation against @min. Errors:
 * E_POLICY. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_seen_check(const struct bs_set_seen *s, const struct bs_set_object *o,
                                                         uint64_t min, struct blobseal_error *err);

/* Add what other processes have saved. Call this before reading the object that is to be checked. Errors: E_CONFIG,
 * E_INPUT, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_seen_load(struct bs_set_seen *s, const struct bs_set_state_file *f,
                                                        struct blobseal_error *err);

/* Save what was seen, for other processes. Wait for the lock of the file as long as @call allows. Return false if it
 * could not be saved. */
bool bs_set_seen_save(struct bs_set_seen *s, const struct bs_set_state_file *f, const struct blobseal_call *call);

/* ---- loaded.c: opened keys in memory, shared by threads ---------------------------------------------------------- */

struct bs_set_loaded {
    _Atomic unsigned references;
    struct bs_set_keys *keys;
    _Atomic(struct bs_a256kw *) *wraps; /* for each key, made when it is needed */
    uint64_t generation;
    uint64_t read; /* number of the read that found it, or after which it was written */
    char *object;  /* as it is stored */
    size_t len;
    char token[BLOBSEAL_SET_MAX_TOKEN];
    char kid[BLOBSEAL_MAX_KID + 1]; /* of the recipient that was opened */
    struct blobseal_lease lease;    /* until when the keys may be used  */
    struct blobseal_kek *kek;       /* that opened it, with a reference; NULL: this process has made it */
    uint64_t process;               /* the secrets of another one are gone */
};

/* Take over @keys, @object (both also after a failure). The first reference is the caller's. Errors: E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_loaded_new(struct bs_set_loaded **l, struct bs_set_keys *keys,
                                                         char *object, size_t len, struct blobseal_error *err);
struct bs_set_loaded *bs_set_loaded_ref(struct bs_set_loaded *l);
void bs_set_loaded_unref(struct bs_set_loaded *l); /* NULL is allowed */

/* Return the AES key wrap of key number @index of the list. Errors: E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_loaded_wrap(struct bs_a256kw **kw, struct bs_set_loaded *l, size_t index,
                                                          struct blobseal_error *err);

/* ---- set.c: the set in a process --------------------------------------------------------------------------------- */

#define BS_SET_MAX_DIRECT 64

/* A lease that a KEK gave for a blob that was wrapped with it directly. */
struct bs_set_direct {
    struct blobseal_kek *kek;
    uint64_t tag;
};

struct bs_set_timing {
    uint64_t reread_ms;      /* between two reads that unknown keys of blobs cause, on average */
    uint64_t max_rereads;    /* how many of them may come at once                              */
    uint64_t poll_ms;        /* between two checks, before the jitter              */
    uint64_t first_retry_ms; /* after a check that failed; doubles up to           */
    uint64_t max_retry_ms;
    uint32_t aside_ms;       /* how long a check may delay the call that it is made in */
    uint64_t first_delay_ms; /* after the owner refused; doubles up to             */
    uint64_t max_delay_ms;
    uint64_t rekey_s; /* age of the newest key at which another one is made */
};

struct blobseal_set {
    _Atomic unsigned references;
    const struct blobseal_config *config;
    struct bs_set_definition definition;
    char *definition_text;
    char definition_path[BS_SET_MAX_PATH]; /* empty: the program keeps the definition */
    /* KEKs of the definition; those that cannot be opened are NULL. Changed with both locks held. */
    struct blobseal_kek *keks[BLOBSEAL_SET_MAX_KEKS];
    struct blobseal_error kek_error; /* why the first one is NULL */
    struct blobseal_kek *guest;      /* opens an object that is imported, and is not permitted after that; or NULL */
    struct blobseal_kek *recovery[BLOBSEAL_SET_MAX_RECOVERY];
    struct bs_set_files files;
    struct blobseal_set_store store;
    struct bs_set_state_file state_file;
    struct bs_set_timing timing;
    bool state_is_kept;
    bool require_purge_protection;

    pthread_mutex_t lock; /* of the members below, held for moments */
    struct bs_set_loaded *loaded;
    uint64_t latest_unix_ms;                        /* the latest time that was seen */
    struct bs_set_direct direct[BS_SET_MAX_DIRECT]; /* a reference to each of the KEKs */
    size_t num_direct;
    char described[BLOBSEAL_MAX_KID + 1]; /* the key id that describe() has returned first, or empty */

    _Atomic uint64_t started; /* number of requests that were sent */
    _Atomic uint64_t reads;   /* number of reads of the store      */
    pthread_mutex_t request;  /* of the members below, held during requests */
    uint64_t read;            /* number of the last read */
    uint64_t kept;            /* number of the last read that found what @loaded has */
    uint64_t finished;        /* number of the last request that was answered */
    struct blobseal_error answer;
    struct bs_set_seen seen;
    uint64_t denied_until_ms, denied_delay_ms;
    struct blobseal_error denial;
    _Atomic uint64_t rested_at_ms;                /* when all reads for unknown keys are available again */
    uint64_t poll_delay_ms;                       /* before the next check, if the last one failed; otherwise 0 */
    _Atomic uint64_t poll_at_ms, poll_at_unix_ms; /* whichever comes first; 0: the first check is not planned yet */
};

/* If the wall clock is set back by more than this, leases have ended, and it does not tell when a check is due. */
#define BS_SET_MAX_STEP_BACK_MS 60000

/* Milliseconds; UINT64_MAX if the clock cannot be read, so that every lease has ended. */
uint64_t bs_set_unix_ms(void);
uint64_t bs_set_now_ms(void); /* CLOCK_BOOTTIME, the clock of all times of a set unless a comment names another */
uint64_t bs_set_now_s(void);  /* seconds since 1970 */

/* Take the lock for requests within @call. Release it with pthread_mutex_unlock(). Errors: E_UNAVAILABLE, E_CANCELED.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_begin(struct blobseal_set *set, const struct blobseal_call *call,
                                                    struct blobseal_error *err);

/* Open those KEKs of the definition that are NULL in @keks. The first one must open, others may be missing. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_open_keks(const struct blobseal_set *set,
                                                        struct blobseal_kek *keks[BLOBSEAL_SET_MAX_KEKS],
                                                        const struct blobseal_set_options *options,
                                                        struct blobseal_error *err);
/* Open one KEK for the definition of @set. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_open_kek(struct blobseal_kek **kek, const struct blobseal_set *set,
                                                       const char *ref, const struct blobseal_set_options *options,
                                                       struct blobseal_error *err);

/* Get the first KEK, with a reference for the caller, or the reason why it could not be opened. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_first_kek(struct blobseal_set *set, struct blobseal_kek **kek,
                                                        struct blobseal_error *err);

/* Check that the configuration has @identity, which may be NULL. Providers of a program may know others. Errors:
 * E_CONFIG. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_check_identity(const struct blobseal_set *set, const char *identity,
                                                             const struct blobseal_set_options *options,
                                                             struct blobseal_error *err);

/* Allocate a set without definition, with its paths, store and limits. Errors: E_ARG, E_CONFIG, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_new(struct blobseal_set **set, const char *name,
                                                  struct blobseal_set_options *own,
                                                  const struct blobseal_set_options *options,
                                                  struct blobseal_error *err);

/* Use a definition, whose strings are copied: store, state, recovery keys. KEKs stay as they are. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_define(struct blobseal_set *set, const struct bs_set_definition *d,
                                                     struct blobseal_error *err);

/*
 * Record that @operation, such as "set-rotate", ended with @st, before the caller receives what it made. Return @st, or
 * the reason why a success could not be recorded. Errors: those of bs_audit().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_record(struct blobseal_set *set, const char *operation,
                                                     enum blobseal_status st, struct blobseal_error *err);

/* Write the file of the definition, if there is one. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_save_definition(const struct blobseal_set *set, bool replace,
                                                              struct blobseal_error *err);

/* ---- load.c: reading the object, and leases ---------------------------------------------------------------------- */

/* List the KEKs that may open the object. Return their number. The lock for requests is held. */
size_t bs_set_permitted(const struct blobseal_set *set, struct blobseal_kek *list[BLOBSEAL_SET_MAX_KEKS]);

/* Call the store, and check what it returns. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_store_get(struct blobseal_set *set, char **object, size_t *len,
                                                        char token[BLOBSEAL_SET_MAX_TOKEN],
                                                        const struct blobseal_call *call, struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_set_store_put(struct blobseal_set *set, const char *object, size_t len,
                                                        const char *token, enum blobseal_set_put *result,
                                                        const struct blobseal_call *call, struct blobseal_error *err);

/* Return the keys, which the caller releases, and read the object if the lease has ended. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_get(struct blobseal_set *set, struct bs_set_loaded **l,
                                                  const struct blobseal_call *call, struct blobseal_error *err);

/* Read the object now and keep its keys. The lock for requests is held. *@l is another reference. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_load(struct blobseal_set *set, struct bs_set_loaded **l,
                                                   const struct blobseal_call *call, struct blobseal_error *err);

/*
 * Replace *@l, which is not NULL, by what the store has, because a blob names a key that @l does not have, unless it
 * was read since set->reads was @arrived. After a failure *@l is NULL. Errors: E_UNAVAILABLE, too often in a short
 * time.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_reread(struct blobseal_set *set, struct bs_set_loaded **l,
                                                     uint64_t arrived, const struct blobseal_call *call,
                                                     struct blobseal_error *err);

/* Use keys that were accepted: note the generation, and let them take the place of the others. The lock for requests is
 * held. */
void bs_set_accept(struct blobseal_set *set, struct bs_set_loaded *l, const uint8_t sha256[BS_SHA256_LEN],
                   const struct blobseal_call *call);

/* ---- change.c: writing the object -------------------------------------------------------------------------------- */

/* What to do. */
struct bs_set_plan {
    bool new_key;                    /* make a new key in any case     */
    bool poll;                       /* ask for the newest KEK version */
    bool moved;                      /* there is another KEK          */
    const struct bs_set_keys *merge; /* add these keys; NULL: none     */
    const char *const *drop;         /* key ids that may be lost       */
    size_t num_drop;
};

/* Read the object, and write a new one if something is to be done. The lock for requests is held. @done may be NULL. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_apply(struct blobseal_set *set, const struct bs_set_plan *plan,
                                                    const struct blobseal_call *call, struct blobseal_set_change *done,
                                                    struct blobseal_error *err);

/* Write the first object of a set. The lock for requests is held. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_write_first(struct blobseal_set *set, struct bs_set_keys *keys,
                                                          uint64_t generation, const struct blobseal_call *call,
                                                          struct blobseal_error *err);

/* Return true if the definition has a key for recipient @r of an object. */
bool bs_set_knows_recipient(const struct blobseal_set *set, const struct bs_jwe_recipient *r);

/* Find out which key id the KEK wraps with now. A provider that has leases looks at the key again. Errors: those of the
 * provider. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_ask_kid(struct blobseal_set *set, char kid[BLOBSEAL_MAX_KID + 1],
                                                      const struct blobseal_call *call, struct blobseal_error *err);

/*
 * Check that what @kek wraps it can unwrap as well: a set whose object only others can open could not be used, and with
 * its next object the keys would be lost. Errors: E_CONFIG (it is a public key), those of the provider.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_try_kek(struct blobseal_kek *kek, const struct blobseal_call *call,
                                                      struct blobseal_error *err);

/* Check that the definition knows all recipients of @o, except those that @plan drops: the next object is not for
 * others. Errors: E_POLICY. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_check_strangers(const struct blobseal_set *set,
                                                              const struct bs_set_object *o,
                                                              const struct bs_set_plan *plan,
                                                              struct blobseal_error *err);

/*
 * Apply a plan within the limits of @change, which may be NULL, note and record it, and tell the caller what was done.
 * @operation: its name in the audit record; NULL: a check.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_run(struct blobseal_set *set, struct bs_set_plan *plan,
                                                  const char *operation, struct blobseal_set_change *change,
                                                  struct blobseal_error *err);

/* Check, from inside a call that seals, what is due. Failures are noted only. */
void bs_set_poll_if_due(struct blobseal_set *set, const struct blobseal_call *call);

/* ---- info.c ------------------------------------------------------------------------------------------------------ */

/* Do what blobseal_set_info_get() does, within @call. */
BLOBSEAL_MUST_USE enum blobseal_status bs_set_info(struct blobseal_set *set, const struct blobseal_call *call,
                                                   struct blobseal_set_info **info, struct blobseal_error *err);

/* ---- provider.c -------------------------------------------------------------------------------------------------- */

extern const struct blobseal_provider bs_set_provider;

#endif
