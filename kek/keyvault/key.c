/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What GET says about a key, kept for a while: the public half wraps without any request. One thread at a time asks;
 * others share the answer if its request was sent after they arrived, or if it is recent enough.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "kek/keyvault/keyvault.h"

#define MAX_STEP_BACK_MS 60000 /* of the wall clock: if it is set back further, nothing is recent    */
#define AGAIN_MS         15000 /* how long an old answer is used after a failure, while it still counts */

/* ---- Versions ---------------------------------------------------------------------------------------------------- */

/* Make an RSA public key of its numbers. Return NULL if there is no memory. */
static EVP_PKEY *make_rsa(const struct bs_kv_key *key)
{
    BIGNUM *n = BN_bin2bn(key->n, (int)key->n_len, NULL), *e = BN_bin2bn(key->e, (int)key->e_len, NULL);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY *out = NULL;

    if (n != NULL && e != NULL && ctx != NULL && build != NULL &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    if (params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &out, EVP_PKEY_PUBLIC_KEY, params) != 1)
        out = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    BN_free(e);
    ERR_clear_error();
    return out;
}

void bs_kv_version_put(struct bs_kv_version *v)
{
    if (v == NULL || atomic_fetch_sub(&v->references, 1) != 1)
        return;
    bs_rsa_wrapper_clear(&v->wrapper);
    EVP_PKEY_free(v->public);
    free(v);
}

/* Refuse a key that cannot be a KEK, whatever its state. */
static enum blobseal_status check_kind(const struct bs_kv_kek *k, const struct bs_kv_key *key,
                                       struct blobseal_error *err)
{
    unsigned bits = key->n_len > 0 ? 8 * (unsigned)key->n_len : 0;
    struct bs_slice exponent = {key->e, key->e_len};

    if (strcasecmp(key->kty, "RSA") != 0 && strcasecmp(key->kty, "RSA-HSM") != 0) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0,
                            "the key %.150s is of the type %.15s, which cannot wrap here: RSA or RSA-HSM is needed",
                            k->name, key->kty);
        blobseal_advise(err, BLOBSEAL_ADVICE_NONE, NULL, "create an RSA key of 2048, 3072 or 4096 bits in the vault");
        return BLOBSEAL_E_CONFIG;
    }
    for (uint8_t top = bits > 0 ? key->n[0] : 0x80; (top & 0x80) == 0; top = (uint8_t)(top << 1))
        bits--;
    if (key->managed) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the key %.150s belongs to a certificate, and ends with it",
                            k->name);
        blobseal_hint(err, "create a key of its own in the vault");
        return BLOBSEAL_E_CONFIG;
    }
    if (bits == 0 || exponent.len == 0)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the vault returned no public half of the key %.150s", k->name);
    return bs_rsa_check(bits, exponent, k->name, err);
}

/* Make a version from what GET has returned. */
static enum blobseal_status make_version(struct bs_kv_version **version, const struct bs_kv_kek *k,
                                         const struct bs_http_response *answer, const struct bs_kv_key *key,
                                         struct blobseal_error *err)
{
    enum blobseal_status st = check_kind(k, key, err);
    struct bs_kv_version *v;

    if (st != BLOBSEAL_OK)
        return st;
    v = calloc(1, sizeof *v);
    if (v == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "the key %.150s: no memory", k->name);
    v->references = 1;
    v->key = *key;
    v->public = make_rsa(key);
    if (v->public == NULL) {
        free(v);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "the key %.150s: no memory", k->name);
    }
    bs_rsa_wrapper_init(&v->wrapper, v->public, k->oaep);
    bs_kv_id_format(v->kid, &key->id);
    v->sent_boottime_ms = answer->sent_boottime_ms;
    v->sent_unix_ms = answer->sent_unix_ms;
    if (answer->date > 0)
        v->clock_ahead_s = answer->date - (int64_t)(answer->sent_unix_ms / 1000);
    *version = v;
    return BLOBSEAL_OK;
}

/* ---- The state of a version -------------------------------------------------------------------------------------- */

bool bs_kv_is_purgeable(const struct bs_kv_key *key)
{
    return strstr(key->recovery, "Purgeable") != NULL || key->recovery[0] == '\0';
}

static enum blobseal_status refuse(struct blobseal_error *err, enum blobseal_status st, const struct bs_kv_version *v,
                                   const char *why, const char *hint)
{
    (void)blobseal_fail(err, st, 0, "seal for %.200s: %s", v->kid, why);
    blobseal_hint(err, "%s", hint);
    return st;
}

enum blobseal_status bs_kv_may_seal(const struct bs_kv_kek *k, const struct bs_kv_version *v,
                                    struct blobseal_error *err)
{
    const struct bs_kv_key *key = &v->key;
    int64_t now = (int64_t)(bs_http_unix_ms() / 1000) + v->clock_ahead_s; /* by the clock of the vault */

    if (!key->enabled)
        return refuse(err, BLOBSEAL_E_DENIED, v, "the key is disabled",
                      "ask the owner of the key to enable this version again");
    if (key->nbf != 0 && now < key->nbf)
        return refuse(err, BLOBSEAL_E_DENIED, v, "the key is not valid yet", "wait until it is, or compare the clocks");
    if (key->exp != 0 && now >= key->exp)
        return refuse(err, BLOBSEAL_E_DENIED, v, "the key has expired", "ask the owner of the key for a new version");
    if (!key->may_wrap || !key->may_unwrap)
        return refuse(err, BLOBSEAL_E_DENIED, v, "the key does not permit wrapKey and unwrapKey",
                      "ask the owner of the key to permit both");
    if (k->require_purge_protection && bs_kv_is_purgeable(key))
        return refuse(err, BLOBSEAL_E_POLICY, v, "its vault has no purge protection",
                      "turn it on: without it, a deleted key can be destroyed at once, and all that it wraps with it");
    return BLOBSEAL_OK;
}

void bs_kv_set_lease(const struct bs_kv_kek *k, struct blobseal_lease *lease, uint64_t boottime_ms, uint64_t unix_ms)
{
    lease->valid_until_boottime_ms = boottime_ms + k->session->settings.revoke_ms;
    lease->valid_until_unix_ms = unix_ms + k->session->settings.revoke_ms;
}

/* ---- Asking ------------------------------------------------------------------------------------------------------ */

/* Report that the key is not there. Say whether it was deleted, if the vault tells. */
static enum blobseal_status missing(struct bs_kv_kek *k, const char *what, const struct blobseal_call *call,
                                    struct blobseal_error *err)
{
    static const struct bs_kv_said deleted = {.code = "KeyNotFound", .inner = "SoftDeleted"};
    char path[BS_KV_MAX_NAME + 32];
    const struct bs_kv_request request = {.what = what, .path = path};
    struct bs_http_response answer = {0};
    struct blobseal_error ignored;
    enum bs_kv_class class;

    (void)snprintf(path, sizeof path, "/deletedkeys/%s", k->id.name);
    if (bs_kv_send(k->session, &request, &answer, &class, call, &ignored) == BLOBSEAL_OK) {
        answer.status = 404;
        (void)bs_kv_row_fail(bs_kv_row_find(404, &deleted), what, &answer, &deleted, err);
    } else if (class != BS_KV_MISSING && err != NULL) {
        err->advice = BLOBSEAL_ADVICE_NONE; /* it may have been deleted, so nobody should take it for lost */
    }
    bs_http_response_clear(&answer);
    return BLOBSEAL_E_DENIED;
}

enum blobseal_status bs_kv_ask_key(struct bs_kv_kek *k, const struct bs_kv_request *request,
                                   struct bs_http_response *answer, enum bs_kv_class *class,
                                   const struct blobseal_call *call, struct blobseal_error *err)
{
    enum blobseal_status st = bs_kv_send(k->session, request, answer, class, call, err);

    if (st == BLOBSEAL_E_DENIED && *class == BS_KV_MISSING && answer->status == 404)
        st = missing(k, request->what, call, err);
    return st;
}

/* Send GET, without the lock. */
static enum blobseal_status get(struct bs_kv_kek *k, struct bs_kv_version **v, enum bs_kv_class *class,
                                const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct blobseal_call limited = bs_kv_limit(&k->session->settings, call);
    struct bs_http_response answer = {0};
    char path[BS_KV_MAX_NAME + BS_KV_VERSION + 16], what[BS_KV_MAX_KID + 16];
    const struct bs_kv_request q = {.what = what, .path = path};
    struct bs_kv_key key;
    enum blobseal_status st;

    (void)snprintf(path, sizeof path, "/keys/%s%s%s", k->id.name, k->id.version[0] != '\0' ? "/" : "", k->id.version);
    (void)snprintf(what, sizeof what, "look up %s", k->name);
    st = bs_kv_ask_key(k, &q, &answer, class, &limited, err);
    if (st == BLOBSEAL_OK) {
        bool ours = bs_kv_parse_key(&key, answer.body, answer.len) && bs_kv_id_same_key(&key.id, &k->id) &&
                    (k->id.version[0] == '\0' || strcmp(k->id.version, key.id.version) == 0);

        if (ours)
            st = make_version(v, k, &answer, &key, err);
        else
            st = bs_kv_row_fail(bs_kv_row_find(200, &(struct bs_kv_said){.code = ""}), what, &answer,
                                &(struct bs_kv_said){.code = "another key, or no key"}, err);
        *class = ours ? BS_KV_OK : BS_KV_NO_ANSWER;
    }
    bs_http_response_clear(&answer);
    return st;
}

/* ---- Keeping answers, with the lock held ------------------------------------------------------------------------- */

/* Return true if the answer was sent less than @limit_ms ago, by both clocks. */
static bool is_recent(const struct bs_kv_version *v, uint64_t limit_ms)
{
    uint64_t now = bs_http_unix_ms();

    return bs_http_boottime_ms() < v->sent_boottime_ms + limit_ms && now < v->sent_unix_ms + limit_ms &&
           now + MAX_STEP_BACK_MS >= v->sent_unix_ms;
}

/* Return true if the newest answer still counts. A key that could not seal may have been restored, or replaced by a new
 * version. */
static bool counts(const struct bs_kv_kek *k, enum bs_kv_age age)
{
    const struct bs_kv_version *v = k->current;

    if (v == NULL || age != BS_KV_FRESH)
        return v != NULL && age == BS_KV_ANY;
    return bs_kv_may_seal(k, v, NULL) == BLOBSEAL_OK && is_recent(v, k->session->settings.revoke_ms);
}

/* Return true if it counts without asking again. */
static bool is_fresh(const struct bs_kv_kek *k, enum bs_kv_age age)
{
    return counts(k, age) &&
           (age == BS_KV_ANY || is_recent(k->current, k->current->fresh_ms) || bs_http_boottime_ms() < k->retry_at_ms);
}

/* Choose how long an answer need not be asked for again: less than the interval, so that many programs do not ask at
 * once. */
static uint64_t choose_fresh_ms(const struct bs_kv_settings *s)
{
    uint64_t ms = s->poll_ms < s->revoke_ms ? s->poll_ms : s->revoke_ms;
    uint16_t r = 0;

    if (!blobseal_random(&r, sizeof r, false))
        r = 0;
    return ms - ms / 10 * r / UINT16_MAX;
}

void bs_kv_refused(struct bs_kv_kek *k)
{
    (void)pthread_mutex_lock(&k->lock);
    k->epoch++;
    bs_kv_version_put(k->current);
    k->current = NULL;
    (void)pthread_mutex_unlock(&k->lock);
}

/* Ask once, and keep the answer. The lock is released meanwhile. */
static enum blobseal_status fetch(struct bs_kv_kek *k, struct bs_kv_version **version, const struct blobseal_call *call,
                                  struct blobseal_error *err)
{
    uint64_t epoch = k->epoch, number = ++k->started;
    struct bs_kv_version *v = NULL;
    struct blobseal_error e = {0};
    enum bs_kv_class class = BS_KV_OK;
    enum blobseal_status st;

    k->fetching = true;
    (void)pthread_mutex_unlock(&k->lock);
    st = get(k, &v, &class, call, &e);
    (void)pthread_mutex_lock(&k->lock);
    k->fetching = false;
    e.status = st;
    if (st == BLOBSEAL_OK && v != NULL) {
        v->fresh_ms = choose_fresh_ms(&k->session->settings);
        *version = v;
        if (epoch == k->epoch) { /* what was refused meanwhile is not kept */
            bs_kv_version_put(k->current);
            atomic_fetch_add(&v->references, 1);
            k->current = v;
        }
    } else if (class == BS_KV_REFUSED || class == BS_KV_MISSING || st == BLOBSEAL_E_CONFIG) {
        k->epoch++;
        bs_kv_version_put(k->current);
        k->current = NULL;
    } else {
        k->retry_at_ms = bs_http_boottime_ms() + AGAIN_MS;
    }
    if (st != BLOBSEAL_E_CANCELED &&
        (st == BLOBSEAL_OK || call->deadline_ms == 0 || bs_http_now_ms() < call->deadline_ms)) {
        k->finished = number;
        k->error = e;
    }
    (void)pthread_cond_broadcast(&k->changed);
    if (st != BLOBSEAL_OK && err != NULL)
        *err = e;
    return st;
}

static enum blobseal_status wait_for(struct bs_kv_kek *k, const struct blobseal_call *call, struct blobseal_error *err)
{
    bs_kv_wait(&k->changed, &k->lock);
    if (__atomic_load_n(call->cancel, __ATOMIC_RELAXED) != 0)
        return blobseal_fail(err, BLOBSEAL_E_CANCELED, 0, "look up %.200s: the program asked to stop", k->name);
    if (call->deadline_ms != 0 && bs_http_now_ms() >= call->deadline_ms)
        return blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "look up %.200s: there was no answer in time", k->name);
    return BLOBSEAL_OK;
}

/* Return the newest answer with a reference of its own. */
static struct bs_kv_version *current(struct bs_kv_kek *k)
{
    atomic_fetch_add(&k->current->references, 1);
    return k->current;
}

/* In a forked child, forget the answers to the parent, and that one of its threads is asking. The lock is held. */
static void leave_parent(struct bs_kv_kek *k)
{
    if (k->process == bs_process_id())
        return;
    k->process = bs_process_id();
    k->fetching = false;
    bs_kv_version_put(k->current);
    k->current = NULL;
}

enum blobseal_status bs_kv_describe(struct bs_kv_kek *k, struct bs_kv_version **version, enum bs_kv_age age,
                                    const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct blobseal_call aside = bs_kv_aside(call);
    enum blobseal_status st = BLOBSEAL_OK;
    uint64_t arrived;

    *version = NULL;
    (void)pthread_mutex_lock(&k->lock);
    leave_parent(k);
    arrived = k->started;
    while (*version == NULL && st == BLOBSEAL_OK) {
        if (is_fresh(k, age) || (k->fetching && counts(k, age))) { /* or another thread asks already */
            *version = current(k);
        } else if (k->finished > arrived) { /* another thread has asked since this one came */
            st = k->error.status;
            if (st == BLOBSEAL_OK && k->current != NULL)
                *version = current(k);
            else if (st == BLOBSEAL_OK)
                arrived = k->started; /* it was refused meanwhile */
            else if (err != NULL)
                *err = k->error;
        } else if (k->fetching) {
            st = wait_for(k, call, err);
        } else {
            st = fetch(k, version, counts(k, age) ? &aside : call, err);
        }
    }
    /* A vault that does not answer has not refused: its last answer counts until it expires. */
    if (st == BLOBSEAL_E_UNAVAILABLE && age == BS_KV_FRESH && k->current != NULL &&
        is_recent(k->current, k->session->settings.revoke_ms)) {
        *version = current(k);
        st = BLOBSEAL_OK;
    }
    (void)pthread_mutex_unlock(&k->lock);
    return st;
}
