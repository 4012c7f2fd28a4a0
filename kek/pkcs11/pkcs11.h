/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider for RSA keys in PKCS#11 tokens. Wrapping is done here with the public key; only unwrapping asks the
 * token.
 *
 *   provider.c   the table of functions, on the caller's thread     errors.c   CKR codes: status, sentence, next step
 *   uri.c        RFC 7512: parsing, and URIs of keys that are found pin.c      where the PIN comes from
 *   module.c     modules, shared by all keys of the process         worker.c   threads in which the modules run
 *   slots.c      which tokens match a URI                           objects.c  which keys of a token match it
 *   public.c     the public half of a key, and its attributes       session.c  sessions, and logging in
 *   unwrap.c     C_Decrypt, C_UnwrapKey, and which OAEP hash works  key.c      finding the key of a URI again
 *   task.c       jobs that use a key, report how they ended, and are run again if the module lost its token
 *   list.c, generate.c, report.c   the keys of tokens, new keys, and what should be known about a key
 *
 * Functions that call a module run on a thread of worker.c, because a call may never return. They get their data in a
 * job, which belongs to that thread if the caller stops waiting. Everything that a job uses has references.
 */
#ifndef BLOBSEAL_KEK_PKCS11_H
#define BLOBSEAL_KEK_PKCS11_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <openssl/evp.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>

#include "blobseal_provider.h"
#include "kek/rsa.h"

extern const struct blobseal_provider bs_pkcs11_provider;

#define BS_P11_MAX_SESSIONS 16 /* threads of a module, and open sessions of a key */
#define BS_P11_MAX_MODULUS  512
#define BS_P11_MAX_ID       128
#define BS_P11_MAX_LABEL    128
#define BS_P11_MAX_PIN      1024

/* ---- errors.c ---------------------------------------------------------------------------------------------------- */

/* What a CKR code means for the operation that got it. */
enum bs_p11_kind {
    BS_P11_FAILED,    /* it has failed                                                                  */
    BS_P11_STALE,     /* handles of sessions or objects are not valid any more: find them again, once   */
    BS_P11_GONE,      /* the token is not there: the next operation looks for it                        */
    BS_P11_DATA,      /* the data may be wrong, or the token does not work: a known value tells which    */
    BS_P11_MECHANISM, /* the token lacks the mechanism, or its parameters                               */
    BS_P11_FORBIDDEN, /* the key may not be used in this way                                            */
};

struct bs_p11_code {
    CK_RV rv;
    const char *name; /* "CKR_PIN_LOCKED" */
    enum blobseal_status status;
    enum bs_p11_kind kind;
    const char *text; /* what went wrong: completes "read the key X: " */
    const char *next; /* the next step                                 */
};

/* The table, with a row for each code of PKCS#11. The last row, which has no name, is for all other codes. */
extern const struct bs_p11_code bs_p11_codes[];

/* Return the row for @rv. Never NULL. */
const struct bs_p11_code *bs_p11_code(CK_RV rv);

/* Fill @err for the code @rv. @doing says what was being done, @name is the URI of the key. Return the status. */
enum blobseal_status bs_p11_fail(struct blobseal_error *err, CK_RV rv, const char *doing, const char *name);

/* ---- uri.c ------------------------------------------------------------------------------------------------------- */

struct bs_p11_uri {
    P11KitUri *uri;
    char *name;              /* the URI without its query, for messages: it has no PIN in it */
    const char *module_path; /* NULL: the modules that are registered on this machine         */
    const char *module_name; /* NULL: all of them                                             */
    char *pin_file;          /* from pin-source; NULL: none                                   */
    CK_OBJECT_CLASS type;    /* CKO_PUBLIC_KEY, CKO_PRIVATE_KEY or CKO_CERTIFICATE            */
    bool has_type;
};

/* Parse @rest, which follows "pkcs11:". Release @uri with bs_p11_uri_clear(), also after a failure. Errors: E_CONFIG.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_uri_parse(struct bs_p11_uri *uri, const char *rest,
                                                        struct blobseal_error *err);
void bs_p11_uri_clear(struct bs_p11_uri *uri);

struct bs_p11_found;

/* Write the URI of a key that was found through @uri into @out. Return false if there is no memory, or room. */
BLOBSEAL_MUST_USE bool bs_p11_uri_format(char *out, size_t cap, const struct bs_p11_uri *uri,
                                         const struct bs_p11_found *found);

/* ---- pin.c ------------------------------------------------------------------------------------------------------- */

/* A PIN in secret memory, which is all zero in a forked child: then it is not set. */
struct bs_p11_pin {
    size_t len;
    uint8_t set;
    char text[BS_P11_MAX_PIN];
};

/* Return true if there is a PIN. If another thread has just set it, all of it can be read. */
bool bs_p11_pin_is_set(const struct bs_p11_pin *pin);

/* Read the PIN from the first line of @path. Errors: E_INPUT, E_POLICY (others can read the file), E_CONFIG. */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_pin_read(struct bs_p11_pin *pin, const char *path,
                                                       struct blobseal_error *err);

/*
 * A process never tries a PIN again that a token has refused, because a few wrong PINs lock the token. What stands for
 * PIN and token is computed before the PIN is tried, so that a refusal can be remembered even if memory runs out.
 */
struct bs_p11_tag {
    uint8_t b[32];
};

/* Compute the tag of a PIN at a token. Errors: E_NOMEM, E_CONFIG, E_INTERNAL. */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_pin_tag(struct bs_p11_tag *tag, const struct bs_p11_pin *pin,
                                                      const CK_TOKEN_INFO *token, struct blobseal_error *err);

/* Remember that the token refused the PIN, or tell whether it did. */
void bs_p11_pin_refused(const struct bs_p11_tag *tag);
bool bs_p11_pin_was_refused(const struct bs_p11_tag *tag);

/* ---- worker.c ---------------------------------------------------------------------------------------------------- */

/* Return the milliseconds of CLOCK_MONOTONIC. */
uint64_t bs_p11_now_ms(void);

/* A piece of work for a thread of a pool. It is the first member of a struct with the data. */
struct bs_p11_job {
    struct bs_p11_job *next;
    void (*run)(struct bs_p11_job *job);
    void (*release)(struct bs_p11_job *job); /* called by the thread if the caller has stopped waiting */
    pthread_cond_t ended;
    unsigned state;
    bool alone; /* run it while no other job of the pool runs */
};

struct bs_p11_pool {
    pthread_mutex_t lock;
    pthread_cond_t work; /* a job is waiting, or the pool stops */
    struct bs_p11_job *first, **last;
    unsigned waiting, threads, idle, running;
    unsigned hung; /* jobs that nobody waits for any more, and that have not returned */
    bool alone;    /* the job that runs is the only one, and no other one starts       */
    bool stopping;
    const char *name;
    pthread_t ids[BS_P11_MAX_SESSIONS];
};

/* Start with no thread. @name, which must stay valid, names the module in messages. In a forked child this is also
 * allowed over a pool of the parent. */
void bs_p11_pool_start(struct bs_p11_pool *pool, const char *name);

/* End and join the idle threads. No job may be waiting. */
void bs_p11_pool_stop(struct bs_p11_pool *pool);

/*
 * Run @job and wait until it ends, at most until the deadline of @call, or @limit_ms if it has none. If BLOBSEAL_OK is
 * returned, it has run. Otherwise, if *@taken is true, the job belongs to the thread, which releases it later.
 * Errors: E_UNAVAILABLE after the deadline, and as long as an earlier job has not returned; E_CANCELED; E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_pool_run(struct bs_p11_pool *pool, struct bs_p11_job *job, bool *taken,
                                                       const struct blobseal_call *call, uint32_t limit_ms,
                                                       struct blobseal_error *err);

/* ---- module.c ---------------------------------------------------------------------------------------------------- */

/* A module, or all modules that are registered on this machine. */
struct bs_p11_module {
    struct bs_p11_module *next;
    unsigned references; /* protected by the lock of the list */
    char *path;          /* "": the registered ones           */
    struct bs_p11_pool pool;
    pthread_mutex_t lock;    /* held while modules are loaded or initialised, and during a login */
    CK_FUNCTION_LIST **list; /* NULL: not loaded yet */
    CK_FUNCTION_LIST *single[2];
    size_t num;
    bool one; /* `list` has one module, which was loaded by its path */
    bool ready;
    _Atomic bool loses_tokens; /* one of them does: see bs_p11_loses_tokens()                   */
    _Atomic unsigned epoch;    /* changes when all handles have become invalid                  */
    pid_t pid;
};

/* Get the module of @uri, and a reference to it. Nothing is loaded yet. Errors: E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_module_get(struct bs_p11_module **module, const struct bs_p11_uri *uri,
                                                         struct blobseal_error *err);
struct bs_p11_module *bs_p11_module_ref(struct bs_p11_module *module);
void bs_p11_module_unref(struct bs_p11_module *module);

/* Prepare the module for a process that was forked since the last call. */
void bs_p11_module_enter(struct bs_p11_module *module);

/* Run a job of the module: bs_p11_module_enter() and bs_p11_pool_run(). */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_module_run(struct bs_p11_module *module, struct bs_p11_job *job,
                                                         bool *taken, const struct blobseal_call *call,
                                                         uint32_t limit_ms, struct blobseal_error *err);

/* Return the name of a module for messages. */
const char *bs_p11_module_name(const struct bs_p11_module *module);

/* On a worker: load and initialise the modules if they are not. In a job that runs alone, those that lose tokens read
 * them again. Errors: E_CONFIG, and those of C_Initialize. */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_module_load(struct bs_p11_module *module, struct blobseal_error *err);

/* On a worker: return true if the module may lose a token when another process logs in to it. */
bool bs_p11_loses_tokens(CK_FUNCTION_LIST *f);

/* On a worker: note that a module has reported CKR_CRYPTOKI_NOT_INITIALIZED. */
void bs_p11_module_lost(struct bs_p11_module *module);

/* ---- slots.c and objects.c, on a worker -------------------------------------------------------------------------- */

struct bs_p11_slot {
    CK_FUNCTION_LIST *f;
    CK_SLOT_ID id;
    CK_TOKEN_INFO token;
};

#define BS_P11_MAX_SLOTS 64

struct bs_p11_slots {
    size_t num;
    size_t present; /* initialised tokens, whether they match or not */
    struct bs_p11_slot list[BS_P11_MAX_SLOTS];
};

struct bs_p11_key;

/* Find the initialised tokens that match the URI of @key. Errors: E_NOMEM; those of the module. */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_find_slots(struct bs_p11_slots *slots, struct bs_p11_key *key,
                                                         struct blobseal_error *err);

/* A key in a token: the objects that belong together. A handle is 0 if there is no such object, or none is visible. */
struct bs_p11_found {
    struct bs_p11_slot slot;
    CK_OBJECT_HANDLE private_key, public_key, certificate;
    CK_KEY_TYPE type; /* CK_UNAVAILABLE_INFORMATION: not known */
    CK_BYTE id[BS_P11_MAX_ID];
    CK_ULONG id_len;
    CK_BYTE label[BS_P11_MAX_LABEL];
    CK_ULONG label_len;
};

#define BS_P11_MAX_FOUND 32

struct bs_p11_keys {
    size_t num; /* may be greater than the number that fits in the list */
    struct bs_p11_found list[BS_P11_MAX_FOUND];
};

/* Add the keys of a token that match @uri and that session @s can see. Returns a CKR code. */
CK_RV bs_p11_find_keys(struct bs_p11_keys *keys, const struct bs_p11_slot *slot, CK_SESSION_HANDLE s,
                       const struct bs_p11_uri *uri);

#define BS_P11_MAX_OBJECTS 256

struct bs_p11_objects {
    CK_ULONG num;
    CK_OBJECT_HANDLE list[BS_P11_MAX_OBJECTS];
};

/* Find objects: the first BS_P11_MAX_OBJECTS that match the @n attributes of @template. */
CK_RV bs_p11_find_objects(struct bs_p11_objects *objects, CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                          CK_ATTRIBUTE *template, CK_ULONG n);

/* ---- public.c, on a worker --------------------------------------------------------------------------------------- */

/* Read the public half of a key. *@key is NULL if no object that is visible has it, which is no error. Errors: E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_public_half(EVP_PKEY **key, const struct bs_p11_found *found,
                                                          CK_SESSION_HANDLE s, struct blobseal_error *err);

/* Check that a public half is an RSA key that is accepted. Errors: E_CONFIG, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_check_public(EVP_PKEY *key, const char *name, struct blobseal_error *err);

/* Return the value of a boolean attribute, or @otherwise if the object has none. */
bool bs_p11_flag(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                 bool otherwise);

/* ---- key.c ------------------------------------------------------------------------------------------------------- */

/* The state of a KEK. */
struct bs_p11_key {
    _Atomic unsigned references;
    struct bs_p11_module *module;
    struct bs_p11_uri uri;
    enum blobseal_oaep oaep;
    uint32_t limit_ms;
    struct bs_p11_pin *pin; /* in secret memory */
    EVP_PKEY *public;
    struct bs_rsa_wrapper wrapper; /* for `public` */
    size_t modulus_len;
    char kid[BS_RSA_KID_LEN];
    bool wraps_only;                  /* the URI names a public key                           */
    _Atomic bool final;               /* a failure is final: the module cannot have lost it    */
    struct blobseal_error oaep_error; /* what wrap() returns if the token lacks the hash      */

    pthread_mutex_t finding; /* held while the key is looked for                         */
    pthread_mutex_t lock;    /* protects what follows; never held while a module runs   */
    pthread_cond_t returned; /* a session has been returned                              */
    struct bs_p11_found where;
    bool located;     /* the handles are valid                                          */
    bool with_unwrap; /* C_UnwrapKey instead of C_Decrypt                               */
    bool always_auth; /* each operation needs the PIN                                   */
    unsigned epoch;   /* of the module, when the key was located                        */
    bool has_keeper;
    CK_SESSION_HANDLE keeper; /* stays open, because the login ends with the last session */
    CK_SESSION_HANDLE idle[BS_P11_MAX_SESSIONS];
    unsigned num_idle, num_used, max_used;
    unsigned generation; /* of sessions: changes when all are dropped */
};

BLOBSEAL_MUST_USE enum blobseal_status bs_p11_key_new(struct bs_p11_key **key, const char *rest,
                                                      const struct blobseal_kek_options *options,
                                                      struct blobseal_error *err);
struct bs_p11_key *bs_p11_key_ref(struct bs_p11_key *key);
void bs_p11_key_unref(struct bs_p11_key *key);

/* ---- task.c ------------------------------------------------------------------------------------------------------ */

/* A job that uses a key. It is the first member of a struct with the data, all of which is zero at the start. */
struct bs_p11_task {
    struct bs_p11_job job;
    struct bs_p11_key *key; /* a reference, which job.release() gives back */
    enum blobseal_status status;
    struct blobseal_error err;
};

/* Fill in @t, and take a reference to @key. */
void bs_p11_task_init(struct bs_p11_task *t, struct bs_p11_key *key, void (*run)(struct bs_p11_job *),
                      void (*release)(struct bs_p11_job *));

/*
 * Run @t as bs_p11_module_run() does, and return how it ended: t->status, for which @err is filled from t->err. If the
 * module may have lost the token, @t is run again, a few times within the limits of @call. If *@taken is true, @t
 * belongs to the thread. Errors: those of bs_p11_pool_run() and of the task.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_task_run(struct bs_p11_task *t, bool *taken,
                                                       const struct blobseal_call *call, uint32_t limit_ms,
                                                       struct blobseal_error *err);

/* ---- key.c: finding it ------------------------------------------------------------------------------------------- */

/* What the caller of bs_p11_locate() wants, and learns. */
struct bs_p11_wish {
    bool login;     /* log in if the private key is not visible                                           */
    bool needs_pin; /* a login would help, and there is no PIN: the call may have succeeded without it */
};

/*
 * On a worker: find the one key of the URI, and read its public half unless it is known. Without a login the private
 * key may stay unknown. Does nothing if all handles that the caller wants are known. Errors: E_CONFIG (no key, several,
 * not RSA), E_UNAVAILABLE (no token), those of a login.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_locate(struct bs_p11_key *key, struct bs_p11_wish *wish,
                                                     struct blobseal_error *err);

/* Return a copy of what is known of the place of the key. Other threads may be finding it again. */
struct bs_p11_found bs_p11_where(struct bs_p11_key *key);

/* Forget all handles, after the module has called them invalid, or the token has gone. */
void bs_p11_forget(struct bs_p11_key *key);

/* Close all sessions. The login ends if no other key of this process uses the token. */
void bs_p11_close_sessions(struct bs_p11_key *key);

/* ---- session.c, on a worker -------------------------------------------------------------------------------------- */

/* A session, and what is needed of the key while it is used: another thread may find the key again meanwhile. */
struct bs_p11_session {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE s;
    CK_SLOT_ID slot;
    CK_OBJECT_HANDLE private_key, public_key;
    bool with_unwrap, always_auth;
    unsigned generation;
};

/* Get a session that no other thread uses. */
CK_RV bs_p11_session_take(struct bs_p11_key *key, struct bs_p11_session *session);

/* Give it back. If it is not @clean, an operation may still be active in it, and it is closed. */
void bs_p11_session_return(struct bs_p11_key *key, struct bs_p11_session *session, bool clean);

/*
 * Log in at the token of a slot, unless this process is logged in or the token needs no login. A PIN is tried once.
 * Errors: E_DENIED, E_CONFIG (no PIN), those of the module.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_login(struct bs_p11_key *key, struct bs_p11_slot *slot,
                                                    CK_SESSION_HANDLE s, struct blobseal_error *err);

/* Log in for one operation, if the key demands it. */
CK_RV bs_p11_login_again(struct bs_p11_key *key, const struct bs_p11_session *session);

/* Return true if the token shows and uses private keys only after a login, and there was none. */
bool bs_p11_must_login(const struct bs_p11_slot *slot, CK_SESSION_HANDLE s);

/* ---- unwrap.c, on a worker --------------------------------------------------------------------------------------- */

/* Where a decrypted message goes, and which lengths it may have. */
struct bs_p11_message {
    uint8_t *p; /* room for @max bytes */
    size_t min, max;
    size_t len; /* that it has */
};

/* Decrypt @in. The message is in @out if BLOBSEAL_OK is returned. */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_decrypt(struct bs_p11_key *key, enum blobseal_oaep oaep,
                                                      struct bs_p11_message *out, struct bs_slice in,
                                                      struct blobseal_error *err);

/* Unwrap @in. The secret is in @out if BLOBSEAL_OK is returned. */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_unwrap(struct bs_p11_key *key, enum blobseal_oaep oaep,
                                                     struct blobseal_secret32 *out, struct bs_slice in,
                                                     struct blobseal_error *err);

/*
 * Check that the token can unwrap with the hash of @oaep. *@known tells whether that could be found out.
 * Errors: E_UNSUPPORTED, those of the module.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_check_oaep(struct bs_p11_key *key, enum blobseal_oaep oaep, bool *known,
                                                         struct blobseal_error *err);

/* ---- list.c, generate.c and report.c: on the caller's thread ----------------------------------------------------- */

/* Report the keys that match the URI of @key. With a PIN, one token must match. */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_list(struct bs_p11_key *key, blobseal_found_key_fn fn, void *fn_ctx,
                                                   const struct blobseal_call *call, struct blobseal_error *err);

/* Generate the key that the URI of @key names. */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_generate(struct bs_p11_key *key, unsigned bits,
                                                       const struct blobseal_call *call, struct blobseal_error *err);

/* Report module, token, protection, hashes and speed of a key that is open. */
BLOBSEAL_MUST_USE enum blobseal_status bs_p11_report(struct bs_p11_key *key, blobseal_finding_fn fn, void *fn_ctx,
                                                     const struct blobseal_call *call, struct blobseal_error *err);

#endif
