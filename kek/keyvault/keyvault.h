/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyvault: keys in Azure Key Vault and Managed HSM.
 *
 *   provider.c    the table of functions           key.c       the public half and the state of a key, kept for a while
 *   unwrap.c      unwrapping, renewing leases      report.c    what is reported about a key
 *   list.c        the keys of a vault
 *   id.c          key ids                          hosts.c     which hosts belong to Azure
 *   answer.c      answers of the vault             errors.c    what each error of the vault means
 *   rest.c        one request: token, challenge, retries       session.c   what keys of one vault share
 *   token.c       the cache of tokens              identity*.c where tokens come from, see identity.h
 *   json.c        JSON that others write           challenge.c WWW-Authenticate
 *
 * No name in a blob chooses a host: a key only unwraps what names its own host and its own name.
 */
#ifndef BLOBSEAL_KEYVAULT_H
#define BLOBSEAL_KEYVAULT_H

#include <pthread.h>

#include "core/base/base.h"
#include "kek/http/http.h"
#include "kek/keyvault/settings.h"
#include "kek/rsa.h"

#define BS_KV_MAX_MODULUS 512

/* ---- id.c -------------------------------------------------------------------------------------------------------- */

#define BS_KV_MAX_NAME 127
#define BS_KV_VERSION  32
#define BS_KV_MAX_KID  (8 + BS_KV_MAX_HOST + 6 + BS_KV_MAX_NAME + 1 + BS_KV_VERSION)

/* "https://HOST/keys/NAME/VERSION", in parts. */
struct bs_kv_id {
    char host[BS_KV_MAX_HOST + 1];   /* in lower case, with its port unless that is 443 */
    char name[BS_KV_MAX_NAME + 1];   /* compares without case                           */
    char version[BS_KV_VERSION + 1]; /* 32 hexadecimal digits, or empty                 */
};

/* Parse a key id. Return NULL, or what is wrong with it. */
const char *bs_kv_id_parse(struct bs_kv_id *id, const char *text);

/* Return true if both name the same key, in any versions. */
bool bs_kv_id_same_key(const struct bs_kv_id *a, const struct bs_kv_id *b);

void bs_kv_id_format(char out[BS_KV_MAX_KID + 1], const struct bs_kv_id *id);

/* ---- hosts.c ----------------------------------------------------------------------------------------------------- */

/* Return the token resource of a vault with a name of Azure, or NULL for any other host. */
const char *bs_kv_resource_of(const char *host);

/* Return the authority of the cloud that the vault belongs to, such as "https://login.microsoftonline.com". */
const char *bs_kv_authority_of(const char *host);

/* Return true if the URL names an authority of Azure. */
bool bs_kv_is_authority(const char *url);

/* ---- json.c: JSON of others, in which any member may follow ------------------------------------------------------ */

/* Start parsing. Values that are skipped may be of any kind. */
struct bs_json bs_kv_json_start(uint8_t *text, size_t len);

/* Copy the next value, a string, to @out. Return false if it is no string, or does not fit: then @out is empty. */
bool bs_kv_json_text(struct bs_json *j, char *out, size_t cap);

/* Read the next value as a number: some services write numbers as strings. Return false if it is none. */
bool bs_kv_json_number(struct bs_json *j, int64_t *out);

/* Read the next value as a boolean; anything else is false. */
bool bs_kv_json_bool(struct bs_json *j);

/* ---- answer.c ---------------------------------------------------------------------------------------------------- */

/* A key as GET returns it. */
struct bs_kv_key {
    struct bs_kv_id id;
    char kty[16];
    uint8_t n[BS_KV_MAX_MODULUS], e[BS_KV_MAX_MODULUS];
    size_t n_len, e_len;
    bool enabled, exportable, managed;
    bool may_wrap, may_unwrap; /* key_ops */
    int64_t nbf, exp;          /* seconds since 1970, or 0 */
    char recovery[64];
};

/* Parse the answer to GET. Return false if it is malformed. The text is changed. */
bool bs_kv_parse_key(struct bs_kv_key *key, uint8_t *text, size_t len);

/* Parse the answer to wrapkey or unwrapkey. @value receives at most @cap bytes. */
bool bs_kv_parse_result(struct bs_kv_id *id, uint8_t *value, size_t cap, size_t *value_len, uint8_t *text, size_t len);

/* What the body of an error says. */
struct bs_kv_said {
    char code[64], inner[64]; /* the outermost and the innermost code */
    char message[200];
    char akv[12]; /* "AKV10022", if the message starts with it */
};

/* Parse the body of an error. Whatever it lacks is empty. */
void bs_kv_parse_error(struct bs_kv_said *said, uint8_t *text, size_t len);

/* A key, or a version of one, in a list. */
struct bs_kv_item {
    struct bs_kv_id id;
    bool enabled;
    int64_t nbf, exp, created; /* seconds since 1970, or 0 */
};

#define BS_KV_MAX_LINK 1536

/* Parse a page of a list. @list receives at most @cap items; @link the address of the next page, or "" if this is the
 * last one. Return false if it is malformed, has more items, or a longer link. */
bool bs_kv_parse_list(struct bs_kv_item *list, size_t cap, size_t *num, char link[BS_KV_MAX_LINK], uint8_t *text,
                      size_t len);

/* ---- errors.c: one row for each error ---------------------------------------------------------------------------- */

enum bs_kv_class {
    BS_KV_OK = 0,
    BS_KV_AUTH,      /* the vault does not accept the token, whatever the key                */
    BS_KV_REFUSED,   /* the owner of the key has taken it away, or its permission            */
    BS_KV_MISSING,   /* there is no such key, or it was deleted                              */
    BS_KV_BUSY,      /* try later: throttled, or something changes                           */
    BS_KV_NO_ANSWER, /* the vault did not answer, or not as it should                        */
    BS_KV_REQUEST,   /* the vault does not accept the request                                */
};

struct bs_kv_row {
    unsigned http;    /* status; 0: any        */
    unsigned retries; /* how often to try again, after a pause */
    const char *code; /* the innermost code, or the AKV number; NULL: any */
    enum bs_kv_class class;
    enum blobseal_status status;
    const char *text, *hint;
};

/* The rows, of which the first that fits counts. The last fits everything. */
extern const struct bs_kv_row bs_kv_rows[];
extern const size_t bs_kv_num_rows;

/* Find the row for an answer. */
const struct bs_kv_row *bs_kv_row_find(unsigned http, const struct bs_kv_said *said);

/* Fill @err from a row. @what was being done. Return the status of the row. */
enum blobseal_status bs_kv_row_fail(const struct bs_kv_row *row, const char *what, const struct bs_http_response *r,
                                    const struct bs_kv_said *said, struct blobseal_error *err);

/* ---- challenge.c ------------------------------------------------------------------------------------------------- */

struct bs_kv_challenge {
    char resource[256]; /* without a slash at its end */
    char authority[256], tenant[128];
    char claims[2048]; /* JSON; empty: none */
};

/* Parse WWW-Authenticate. Return false if there is no Bearer challenge in it. */
bool bs_kv_challenge_parse(struct bs_kv_challenge *out, const char *text);

/* Check that the challenge asks for a token that the vault @host may get. Errors: E_UNAVAILABLE. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_challenge_check(const struct bs_kv_challenge *c,
                                                             const struct bs_kv_settings *settings,
                                                             struct blobseal_error *err);

/* ---- token.c ----------------------------------------------------------------------------------------------------- */

/* A token, in secret memory. */
struct bs_kv_token {
    unsigned references; /* protected by the lock of the session */
    uint64_t refresh_boottime_ms, expires_boottime_ms;
    size_t len;
    char text[]; /* "Bearer ..." */
};

/* What is known of the token of a session: see bs_kv_token_get(). */
struct bs_kv_tokens {
    struct bs_kv_token *current;
    char tenant[128];            /* from a challenge, where none is configured  */
    char claims[2048];           /* from a challenge                            */
    bool fetching;               /* a thread asks for a token                   */
    bool shared;                 /* the last answer counts for those who waited */
    uint64_t flights;            /* number of answers                           */
    struct blobseal_error error; /* the last answer                    */
};

struct bs_kv_session;

/* Return a token, which is released with bs_kv_token_put(). One thread asks for it, others wait, or use the old one as
 * long as it is valid. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_token_get(struct bs_kv_session *s, struct bs_kv_token **token,
                                                       const struct blobseal_call *call, struct blobseal_error *err);
void bs_kv_token_put(struct bs_kv_session *s, struct bs_kv_token *token);

/* Forget @token, which the vault has refused. */
void bs_kv_token_refused(struct bs_kv_session *s, const struct bs_kv_token *token);

/* ---- session.c: what keys with the same settings share ----------------------------------------------------------- */

/* Until when nothing is sent, because the vault did not answer, or asked to wait. */
struct bs_kv_silence {
    uint64_t since_boottime_ms, until_boottime_ms;
    bool wished;       /* by the vault: who has the time waits */
    unsigned failures; /* in a row, one after the other        */
    char why[160], hint[160];
};

struct bs_kv_session {
    struct bs_kv_session *next;
    unsigned references;
    uint64_t process;
    struct bs_kv_settings settings;
    struct bs_http_client *vault, *authority, *local;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct bs_kv_tokens tokens;
    struct bs_kv_silence silence;
};

/* Find the session with these settings, or make one. It takes over @settings, also after a failure. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_session_open(struct bs_kv_session **session,
                                                          struct bs_kv_settings *settings, struct blobseal_error *err);
void bs_kv_session_close(struct bs_kv_session *session);

/* Take the lock, and forget the secrets of the parent in a forked child, where their memory is empty. */
void bs_kv_session_lock(struct bs_kv_session *session);

/* Wait for a change of what the lock protects, for a moment. */
void bs_kv_wait(pthread_cond_t *changed, pthread_mutex_t *lock);

/* Initialise a condition that bs_kv_wait() waits for. Return false if there is no memory. */
BLOBSEAL_MUST_USE bool bs_kv_condition_init(pthread_cond_t *c);

/* Return @call with a deadline that is not later than the limit of the settings. */
struct blobseal_call bs_kv_limit(const struct bs_kv_settings *settings, const struct blobseal_call *call);

/* Return limits for a request without which @call can go on: half of the time that it has left, and at most 10
 * seconds. */
struct blobseal_call bs_kv_aside(const struct blobseal_call *call);

/* ---- rest.c ------------------------------------------------------------------------------------------------------ */

struct bs_kv_request {
    const char *what;    /* is being done, for messages */
    const char *path;    /* after the host              */
    const char *query;   /* NULL: only the version of the interface */
    const uint8_t *body; /* NULL: GET                   */
    size_t body_len;
};

/*
 * Send a request with a token, answer a challenge, and try again where that may help. If the status is 200, @answer has
 * the body; release it in any case. @class says what kind of failure it was. After a failure without an answer,
 * requests fail at once for a moment, so that an operation with several requests waits for a silent vault only once.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_send(struct bs_kv_session *s, const struct bs_kv_request *request,
                                                  struct bs_http_response *answer, enum bs_kv_class *class,
                                                  const struct blobseal_call *call, struct blobseal_error *err);

/*
 * Wait before attempt number @tries + 1, as long as the server asks, otherwise longer each time. *@again is false, and
 * there is no pause, if the deadline comes first; the hint of @err then says how long it would have taken. Errors:
 * E_CANCELED.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_pause(const struct bs_http_response *answer, unsigned tries,
                                                   const char *what, bool *again, const struct blobseal_call *call,
                                                   struct blobseal_error *err);

/* ---- key.c ------------------------------------------------------------------------------------------------------- */

/* One version of a key, as GET described it. */
struct bs_kv_version {
    _Atomic unsigned references;
    struct bs_kv_key key;
    EVP_PKEY *public;
    struct bs_rsa_wrapper wrapper;
    char kid[BS_KV_MAX_KID + 1];
    uint64_t sent_boottime_ms, sent_unix_ms; /* of GET                                          */
    uint64_t fresh_ms;                       /* how long it need not be asked again             */
    int64_t clock_ahead_s;                   /* the clock of the vault, compared with this one  */
};

/* Something that a version has unwrapped: it is unwrapped again to renew a lease. */
struct bs_kv_proof {
    struct bs_kv_proof *next;
    uint64_t tag;
    char version[BS_KV_VERSION + 1];
    bool sha1;
    size_t len;
    uint8_t wrapped[BS_KV_MAX_MODULUS];
};

/* The state of the provider. */
struct bs_kv_kek {
    struct bs_kv_session *session;
    struct bs_kv_id id; /* as the user named it */
    enum blobseal_oaep oaep;
    bool require_purge_protection;
    char name[BS_KV_MAX_KID + 1]; /* the id, for messages and as the kid if it has a version */
    pthread_mutex_t lock;         /* protects what follows */
    pthread_cond_t changed;
    uint64_t process;                          /* that has asked */
    struct bs_kv_version *current, *described; /* what `info` points to */
    bool fetching;
    uint64_t started, finished; /* numbers of GET requests */
    uint64_t epoch;             /* number of refusals: answers to requests sent before one are not kept */
    uint64_t retry_at_ms;       /* of CLOCK_BOOTTIME: after a failure, an old answer is used until then */
    struct blobseal_error error;
    struct bs_kv_proof *proofs;
    uint64_t num_proofs;
    bool proved; /* this vault has unwrapped something */
};

/* Send a request about the key. If it is missing, find out whether it was deleted. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_ask_key(struct bs_kv_kek *k, const struct bs_kv_request *request,
                                                     struct bs_http_response *answer, enum bs_kv_class *class,
                                                     const struct blobseal_call *call, struct blobseal_error *err);

/* How old a description may be. */
enum bs_kv_age {
    BS_KV_ANY,   /* its public half never changes                */
    BS_KV_FRESH, /* as old as the settings allow                 */
    BS_KV_NOW,   /* asked for by this call, or while it was made */
};

/* Get the description of the key. Release it with bs_kv_version_put(). */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_describe(struct bs_kv_kek *k, struct bs_kv_version **version,
                                                      enum bs_kv_age age, const struct blobseal_call *call,
                                                      struct blobseal_error *err);
void bs_kv_version_put(struct bs_kv_version *version);

/* Check that the key may be used for sealing now. Errors: E_DENIED, E_CONFIG, E_POLICY. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_may_seal(const struct bs_kv_kek *k, const struct bs_kv_version *v,
                                                      struct blobseal_error *err);

/* Return true if the vault of the key can purge it before its time. */
bool bs_kv_is_purgeable(const struct bs_kv_key *key);

/* Note that the owner of the key refuses it: what is kept of it is not used any more. */
void bs_kv_refused(struct bs_kv_kek *k);

/* Set the end of a lease that starts at these times. */
void bs_kv_set_lease(const struct bs_kv_kek *k, struct blobseal_lease *lease, uint64_t boottime_ms, uint64_t unix_ms);

/* ---- unwrap.c ---------------------------------------------------------------------------------------------------- */

#define BS_KV_SEALING UINT64_MAX /* the tag of a lease from wrap() */

/* Room for a message that is decrypted, and then its length. */
struct bs_kv_message {
    uint8_t *p;
    size_t len;
};

/* Unwrap or decrypt. A message that names no key is tried with the version that the user named, or the newest one. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_decrypt(struct bs_kv_kek *k, struct bs_kv_message *out,
                                                     const struct blobseal_wrapped *wrapped,
                                                     struct blobseal_lease *lease, const struct blobseal_call *call,
                                                     struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_unwrap(struct bs_kv_kek *k, struct blobseal_secret32 *secret,
                                                    const struct blobseal_wrapped *wrapped,
                                                    struct blobseal_lease *lease, const struct blobseal_call *call,
                                                    struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_renew(struct bs_kv_kek *k, struct blobseal_lease *lease,
                                                   const struct blobseal_call *call, struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_wrap_remotely(struct bs_kv_kek *k, const struct bs_kv_version *v,
                                                           struct blobseal_wrapping *out,
                                                           const struct blobseal_secret32 *secret,
                                                           const struct blobseal_call *call,
                                                           struct blobseal_error *err);

/* ---- list.c ------------------------------------------------------------------------------------------------------ */

/* Return the query of @link, or NULL if that is not an address of @path of the vault @host. */
const char *bs_kv_next_query(const char *link, const char *host, const char *path);

/* List the keys of a vault, or the versions of a key: see struct blobseal_provider. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_list(const char *ref, const struct blobseal_kek_options *options,
                                                  blobseal_found_key_fn fn, void *fn_ctx,
                                                  const struct blobseal_call *call, struct blobseal_error *err);

/* ---- report.c ---------------------------------------------------------------------------------------------------- */

BLOBSEAL_MUST_USE enum blobseal_status bs_kv_report(struct bs_kv_kek *k, blobseal_finding_fn fn, void *ctx,
                                                    const struct blobseal_call *call, struct blobseal_error *err);

#endif
