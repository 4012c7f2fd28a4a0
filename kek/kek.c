/* SPDX-License-Identifier: Apache-2.0 */
/* The KEK objects that core uses: calls of a provider with their limits, and checks of what it returns. */
#define _GNU_SOURCE /* pthread_mutex_clocklock */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/base.h"
#include "core/config/config.h"
#include "kek/kek.h"
#include "kek/rsa.h"

struct blobseal_kek {
    const struct blobseal_provider *provider;
    void *state;
    struct blobseal_kek_info info[2]; /* from open(), and from describe() */
    _Atomic unsigned described;       /* the index of the one that counts */
    _Atomic unsigned references;
    _Atomic uint64_t denials;             /* of bs_kek_renew() */
    const struct blobseal_config *config; /* with which it was opened; NULL: none */
    pthread_mutex_t describing;
};

/* ---- Limits of a call -------------------------------------------------------------------------------------------- */

static const int never_canceled;
static const struct blobseal_call unlimited = {.size = sizeof unlimited, .cancel = &never_canceled};

static uint64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct blobseal_call bs_call_start(uint32_t timeout_ms, const int *cancel)
{
    return (struct blobseal_call){
        .size = sizeof(struct blobseal_call),
        .deadline_ms = timeout_ms != 0 ? now_ms() + timeout_ms : 0,
        .cancel = cancel != NULL ? cancel : &never_canceled,
    };
}

struct blobseal_call bs_call_aside(const struct blobseal_call *call, uint32_t limit_ms)
{
    uint64_t now = now_ms(), left = limit_ms;
    struct blobseal_call aside = bs_call_start(0, call->cancel);

    if (call->deadline_ms != 0 && call->deadline_ms < now + 2 * left)
        left = call->deadline_ms > now ? (call->deadline_ms - now) / 2 : 0;
    aside.deadline_ms = now + left;
    return aside;
}

enum blobseal_status bs_call_import(struct blobseal_call *call, const struct blobseal_call_options *options,
                                    const char *what, struct blobseal_error *err)
{
    struct blobseal_call_options o = {.size = sizeof o};
    bool ok = blobseal_struct_import(&o, sizeof o, options);

    *call = bs_call_start(o.timeout_ms, o.cancel);
    return ok ? BLOBSEAL_OK
              : blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                              "%s: the size of the options is not set, or they are newer than the library", what);
}

struct blobseal_call bs_call_for_blob(const struct blobseal_call *call, const uint8_t *blob_id)
{
    struct blobseal_call own = call != NULL ? *call : unlimited;

    own.blob_id = blob_id;
    return own;
}

enum blobseal_status bs_call_check(const struct blobseal_call *call, struct blobseal_error *err)
{
    bs_error_clear(err);
    if (__atomic_load_n(call->cancel, __ATOMIC_RELAXED) != 0)
        return blobseal_fail(err, BLOBSEAL_E_CANCELED, 0, "use a key: the program asked to stop");
    if (call->deadline_ms != 0 && now_ms() >= call->deadline_ms) {
        (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "use a key: the time limit of this operation has passed");
        blobseal_hint(err, "try again later, or with a longer limit");
        return BLOBSEAL_E_UNAVAILABLE;
    }
    return BLOBSEAL_OK;
}

#ifdef __SANITIZE_THREAD__
/* ThreadSanitizer does not know pthread_mutex_clocklock(), and would report races between those who have the lock. */
static int clock_lock(pthread_mutex_t *lock, clockid_t clock, const struct timespec *until)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct timespec now;
    int e;

    while ((e = pthread_mutex_trylock(lock)) == EBUSY) {
        (void)clock_gettime(clock, &now);
        if (now.tv_sec > until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec))
            return ETIMEDOUT;
        (void)nanosleep(&pause, NULL);
    }
    return e;
}
#    define pthread_mutex_clocklock clock_lock
#endif

enum blobseal_status bs_call_lock(pthread_mutex_t *lock, const struct blobseal_call *call, struct blobseal_error *err)
{
    enum blobseal_status st;

    do {
        uint64_t end = now_ms() + 50; /* after which the limits are checked again */
        const struct timespec until = {(time_t)(end / 1000), (long)(end % 1000) * 1000000};

        if (pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &until) == 0)
            return BLOBSEAL_OK;
        st = bs_call_check(call, err);
    } while (st == BLOBSEAL_OK);
    return st;
}

/* ---- Checks of what a provider returns --------------------------------------------------------------------------- */

bool bs_is_token(const char *text, size_t max)
{
    size_t len = 0;

    for (; text[len] != '\0'; len++)
        if (len == max || text[len] < '!' || text[len] > '~')
            return false;
    return len > 0;
}

/* What any function of a provider may return. */
#define ALLOWED                                                                                                        \
    (BS_MAY_RETURN(BLOBSEAL_E_CONFIG) | BS_MAY_RETURN(BLOBSEAL_E_UNAVAILABLE) | BS_MAY_RETURN(BLOBSEAL_E_DENIED) |     \
     BS_MAY_RETURN(BLOBSEAL_E_POLICY) | BS_MAY_RETURN(BLOBSEAL_E_INPUT) | BS_MAY_RETURN(BLOBSEAL_E_OUTPUT) |           \
     BS_MAY_RETURN(BLOBSEAL_E_NOMEM) | BS_MAY_RETURN(BLOBSEAL_E_INTERNAL) | BS_MAY_RETURN(BLOBSEAL_E_CANCELED) |       \
     BS_MAY_RETURN(BLOBSEAL_E_UNSUPPORTED))

enum blobseal_status bs_provider_status(enum blobseal_status st, const struct blobseal_provider *provider,
                                        const char *key, struct blobseal_error *err)
{
    return bs_callback_status(st, ALLOWED, err, "use the key %.160s with its provider %s", key, provider->scheme);
}

/* Like bs_provider_status(), for a KEK whose name may not be known. */
static enum blobseal_status checked(enum blobseal_status st, const struct blobseal_kek *kek, struct blobseal_error *err)
{
    const char *kid = bs_kek_info(kek)->kid;

    return bs_provider_status(st, kek->provider, kid != NULL ? kid : "(not named)", err);
}

/* Check the description of a key. What is not known yet may be missing unless it must be @complete. */
static bool info_is_valid(const struct blobseal_kek_info *info, bool complete)
{
    const struct bs_key_algorithm *alg = NULL;

    if (info->alg != NULL)
        alg = bs_key_algorithm(info->alg, strlen(info->alg));
    if (complete && (info->kid == NULL || info->alg == NULL || info->wrapped_len == 0))
        return false;
    if (info->kid != NULL && !bs_is_token(info->kid, BLOBSEAL_MAX_KID))
        return false;
    if (info->alg != NULL && alg == NULL)
        return false;
    return info->wrapped_len == 0 || (alg != NULL && bs_key_algorithm_wraps_to(alg, info->wrapped_len));
}

/* ---- KEKs -------------------------------------------------------------------------------------------------------- */

enum blobseal_status blobseal_kek_new(struct blobseal_kek **kek, const struct blobseal_provider *provider, void *state,
                                      const struct blobseal_kek_info *info, struct blobseal_error *err)
{
    struct blobseal_kek_info own = {.size = sizeof own};
    enum blobseal_status st = bs_provider_check(provider, err);
    struct blobseal_kek *k;

    *kek = NULL;
    if (st != BLOBSEAL_OK)
        return st;
    if (info == NULL || !blobseal_struct_import(&own, sizeof own, info))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "provider %s described a key without its size, or as a newer version does",
                             provider->scheme);
    if (!info_is_valid(&own, provider->describe == NULL))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "provider %s returned a key id, an algorithm or a length that no envelope can contain",
                             provider->scheme);
    k = calloc(1, sizeof *k);
    if (k == NULL || pthread_mutex_init(&k->describing, NULL) != 0) {
        free(k);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open a key: no memory");
    }
    k->provider = provider;
    k->state = state;
    k->info[0] = own;
    k->references = 1;
    *kek = k;
    return BLOBSEAL_OK;
}

struct blobseal_kek *bs_kek_ref(struct blobseal_kek *kek)
{
    atomic_fetch_add(&kek->references, 1);
    return kek;
}

void blobseal_kek_close(struct blobseal_kek *kek)
{
    if (kek == NULL || atomic_fetch_sub(&kek->references, 1) != 1)
        return;
    if (kek->provider->close != NULL)
        kek->provider->close(kek->state);
    bs_config_unref(kek->config);
    (void)pthread_mutex_destroy(&kek->describing);
    free(kek);
}

void bs_kek_set_config(struct blobseal_kek *kek, const struct blobseal_config *config)
{
    kek->config = bs_config_ref(config);
}

const struct blobseal_kek_info *bs_kek_info(const struct blobseal_kek *kek)
{
    return &kek->info[atomic_load(&kek->described)];
}

const char *blobseal_kek_kid(const struct blobseal_kek *kek)
{
    return bs_kek_info(kek)->kid;
}

const char *blobseal_kek_alg(const struct blobseal_kek *kek)
{
    return bs_kek_info(kek)->alg;
}

uint32_t blobseal_kek_notes(const struct blobseal_kek *kek)
{
    return bs_kek_info(kek)->notes;
}

bool blobseal_kek_can_unwrap(const struct blobseal_kek *kek)
{
    return bs_kek_info(kek)->can_unwrap;
}

/* Ask the provider what open() left out. */
static enum blobseal_status describe(struct blobseal_kek *kek, const struct blobseal_call *call,
                                     struct blobseal_error *err)
{
    struct blobseal_kek_info info = {.size = sizeof info, .can_unwrap = kek->info[0].can_unwrap};
    enum blobseal_status st = bs_call_check(call, err);

    if (st == BLOBSEAL_OK)
        st = checked(kek->provider->describe(kek->state, &info, call, err), kek, err);
    if (st == BLOBSEAL_OK && !info_is_valid(&info, true))
        st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0,
                           "provider %s described a key with an id, an algorithm or a length that no envelope can "
                           "contain",
                           kek->provider->scheme);
    if (st == BLOBSEAL_OK) {
        kek->info[1] = info;
        atomic_store(&kek->described, 1);
    }
    return st;
}

enum blobseal_status bs_kek_describe(struct blobseal_kek *kek, const struct blobseal_call *call,
                                     struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    if (info_is_valid(bs_kek_info(kek), true))
        return BLOBSEAL_OK;
    (void)pthread_mutex_lock(&kek->describing);
    if (!info_is_valid(bs_kek_info(kek), true))
        st = describe(kek, call != NULL ? call : &unlimited, err);
    (void)pthread_mutex_unlock(&kek->describing);
    return st;
}

/* ---- Use --------------------------------------------------------------------------------------------------------- */

void bs_kek_limit(const struct blobseal_kek *kek, struct blobseal_call *call, uint64_t *deadline_ms)
{
    if (call->deadline_ms != 0 || !bs_kek_can_revoke(kek))
        return;
    if (*deadline_ms == 0)
        *deadline_ms = now_ms() + 1000 * bs_config_number(kek->config, BS_CONFIG_DEADLINE);
    call->deadline_ms = *deadline_ms;
}

bool bs_kek_owns(const struct blobseal_kek *kek, const char *alg, const char *kid)
{
    return kek->provider->owns(kek->state, alg, kid);
}

/* Return true if an envelope can contain what a provider wrapped. */
static bool wrapping_is_valid(const struct blobseal_wrapping *w)
{
    const struct bs_key_algorithm *alg = NULL;

    if (memchr(w->alg, 0, sizeof w->alg) != NULL)
        alg = bs_key_algorithm(w->alg, strlen(w->alg));
    return alg != NULL && memchr(w->kid, 0, sizeof w->kid) != NULL && bs_is_token(w->kid, BLOBSEAL_MAX_KID) &&
           bs_key_algorithm_wraps_to(alg, w->key_len);
}

/* Let all leases ask again if the provider says that its owner has revoked the key. */
static void note_revocation(struct blobseal_kek *kek, enum blobseal_status st, const struct blobseal_trace *trace)
{
    if (st == BLOBSEAL_E_DENIED && trace != NULL && trace->revoked)
        (void)atomic_fetch_add(&kek->denials, 1);
}

/* Wrap, and fill in @trace. */
static enum blobseal_status wrap(struct blobseal_kek *kek, struct blobseal_wrapping *out,
                                 const struct blobseal_secret32 *secret, struct blobseal_trace *trace,
                                 const struct blobseal_call *call, struct blobseal_error *err)
{
    struct blobseal_call own = call != NULL ? *call : unlimited;
    struct bs_kek_event event = {.operation = "wrap", .blob_id = own.blob_id, .trace = trace};
    enum blobseal_status st;

    *trace = (struct blobseal_trace){.size = sizeof *trace};
    own.trace = trace;
    memset(out, 0, sizeof *out);
    out->size = sizeof *out;
    out->lease.size = sizeof out->lease;
    st = bs_call_check(&own, err);
    if (st == BLOBSEAL_OK)
        st = checked(kek->provider->wrap(kek->state, out, secret, &own, err), kek, err);
    if (st == BLOBSEAL_OK && !wrapping_is_valid(out))
        st =
            blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0,
                          "provider %s wrapped a key with an id, an algorithm or a length that no envelope can contain",
                          kek->provider->scheme);
    note_revocation(kek, st, trace);
    event.kid = st == BLOBSEAL_OK ? out->kid : bs_kek_info(kek)->kid;
    st = bs_kek_record(kek, &event, st, err);
    if (st != BLOBSEAL_OK)
        memset(out, 0, sizeof *out);
    return st;
}

enum blobseal_status bs_kek_wrap(struct blobseal_kek *kek, struct blobseal_wrapping *out,
                                 const struct blobseal_secret32 *secret, const struct blobseal_call *call,
                                 struct blobseal_error *err)
{
    struct blobseal_trace unused;

    return wrap(kek, out, secret, &unused, call, err);
}

enum blobseal_status bs_kek_wrap_now(struct blobseal_kek *kek, struct blobseal_wrapping *out,
                                     const struct blobseal_secret32 *secret, const struct blobseal_call *call,
                                     struct blobseal_error *err)
{
    struct blobseal_trace trace;
    enum blobseal_status st = wrap(kek, out, secret, &trace, call, err);

    if (st != BLOBSEAL_OK || trace.looked_up ||
        (out->lease.valid_until_unix_ms == 0 && out->lease.valid_until_boottime_ms == 0))
        return st; /* its owner has just been asked, or cannot be */
    out->lease.valid_until_boottime_ms = out->lease.valid_until_unix_ms = BLOBSEAL_LEASE_ASK_NOW;
    st = bs_kek_renew(kek, &out->lease, call, err);
    return st == BLOBSEAL_OK ? wrap(kek, out, secret, &trace, call, err) : st;
}

/* Return true if the KEK may try @wrapped: it owns the key id, or there is none where the algorithm allows that. */
static bool may_unwrap(const struct blobseal_kek *kek, const struct blobseal_wrapped *wrapped)
{
    const struct bs_key_algorithm *alg;

    if (!bs_kek_info(kek)->can_unwrap)
        return false;
    if (wrapped->kid != NULL)
        return bs_kek_owns(kek, wrapped->alg, wrapped->kid);
    alg = bs_key_algorithm(wrapped->alg, strlen(wrapped->alg));
    return alg == NULL || !alg->named;
}

enum blobseal_status bs_kek_unwrap(struct blobseal_kek *kek, struct blobseal_secret32 *secret,
                                   const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                   const struct blobseal_call *call, struct blobseal_error *err)
{
    struct blobseal_lease own = {.size = sizeof own};
    enum blobseal_status st = BLOBSEAL_E_NOT_MINE;

    call = call != NULL ? call : &unlimited;
    bs_error_clear(err);
    if (may_unwrap(kek, wrapped)) {
        st = bs_call_check(call, err);
        if (st == BLOBSEAL_OK)
            st = kek->provider->unwrap(kek->state, secret, wrapped, &own, call, err);
        note_revocation(kek, st, call->trace);
    }
    if (st != BLOBSEAL_OK)
        blobseal_wipe(secret, sizeof *secret);
    if (lease != NULL)
        *lease = st == BLOBSEAL_OK ? own : (struct blobseal_lease){.size = sizeof *lease};
    if (st == BLOBSEAL_E_NOT_MINE || st == BLOBSEAL_E_AUTH)
        return bs_checked(st, err, "unwrapping failed");
    return checked(st, kek, err);
}

enum blobseal_status bs_kek_decrypt(struct blobseal_kek *kek, uint8_t *out, size_t *len,
                                    const struct blobseal_wrapped *wrapped, const struct blobseal_call *call,
                                    struct blobseal_error *err)
{
    const size_t cap = *len;
    enum blobseal_status st = BLOBSEAL_E_NOT_MINE;

    call = call != NULL ? call : &unlimited;
    bs_error_clear(err);
    if (kek->provider->decrypt == NULL) {
        st = blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "the provider %s decrypts wrapped keys only",
                           kek->provider->scheme);
    } else if (may_unwrap(kek, wrapped)) {
        st = bs_call_check(call, err);
        if (st == BLOBSEAL_OK)
            st = kek->provider->decrypt(kek->state, out, len, wrapped, call, err);
    }
    if (st == BLOBSEAL_OK && *len > cap)
        st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "provider %s decrypted %zu bytes, where there was room for %zu",
                           kek->provider->scheme, *len, cap);
    if (st != BLOBSEAL_OK) {
        blobseal_wipe(out, cap);
        *len = 0;
    }
    if (st == BLOBSEAL_E_NOT_MINE || st == BLOBSEAL_E_AUTH)
        return bs_checked(st, err, "unwrapping failed");
    return checked(st, kek, err);
}

bool bs_kek_has_public_key(const struct blobseal_kek *kek)
{
    return kek->provider->public_key != NULL;
}

bool bs_kek_is_remote(const struct blobseal_kek *kek)
{
    return (bs_kek_info(kek)->notes & BLOBSEAL_KEK_NOTE_REMOTE) != 0;
}

bool bs_kek_is_file(const struct blobseal_kek *kek)
{
    return strcmp(kek->provider->scheme, "file") == 0;
}

enum blobseal_status bs_kek_diagnose(struct blobseal_kek *kek, blobseal_finding_fn fn, void *ctx,
                                     const struct blobseal_call *call, struct blobseal_error *err)
{
    enum blobseal_status st;

    if (kek->provider->diagnose == NULL)
        return BLOBSEAL_OK;
    call = call != NULL ? call : &unlimited;
    st = bs_call_check(call, err);
    return st == BLOBSEAL_OK ? checked(kek->provider->diagnose(kek->state, fn, ctx, call, err), kek, err) : st;
}

enum blobseal_status bs_kek_spki(struct blobseal_kek *kek, uint8_t **spki, size_t *len,
                                 const struct blobseal_call *call, struct blobseal_error *err)
{
    enum blobseal_status st;

    *spki = NULL;
    *len = 0;
    bs_error_clear(err);
    st = bs_kek_describe(kek, call, err); /* whoever shows a key names it, too */
    if (st == BLOBSEAL_OK && kek->provider->public_key == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "the provider %s does not reveal public keys",
                           kek->provider->scheme);
    else if (st == BLOBSEAL_OK)
        st = checked(kek->provider->public_key(kek->state, spki, len, call != NULL ? call : &unlimited, err), kek, err);
    return st;
}

enum blobseal_status blobseal_kek_public_key(struct blobseal_kek *kek, char **pem, size_t *len,
                                             struct blobseal_error *err)
{
    uint8_t *spki;
    size_t spki_len;
    enum blobseal_status st = bs_kek_spki(kek, &spki, &spki_len, NULL, err);

    *pem = NULL;
    *len = 0;
    if (st == BLOBSEAL_OK && !bs_spki_to_pem(pem, len, (struct bs_slice){spki, spki_len}))
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write a public key: no memory");
    free(spki);
    return st;
}

bool bs_kek_can_revoke(const struct blobseal_kek *kek)
{
    return kek->provider->renew != NULL;
}

enum blobseal_status bs_kek_renew(struct blobseal_kek *kek, struct blobseal_lease *lease,
                                  const struct blobseal_call *call, struct blobseal_error *err)
{
    struct blobseal_trace trace = {.size = sizeof trace};
    struct blobseal_call own = call != NULL ? *call : unlimited;
    const struct bs_kek_event event = {.operation = "renew", .kid = bs_kek_info(kek)->kid, .trace = &trace};
    enum blobseal_status st;

    if (!bs_kek_can_revoke(kek))
        return BLOBSEAL_OK;
    own.trace = &trace;
    st = bs_call_check(&own, err);
    if (st == BLOBSEAL_OK)
        st = checked(kek->provider->renew(kek->state, lease, &own, err), kek, err);
    st = bs_kek_record(kek, &event, st, err);
    if (st == BLOBSEAL_E_DENIED)
        (void)atomic_fetch_add(&kek->denials, 1);
    return st;
}

uint64_t bs_kek_denials(const struct blobseal_kek *kek)
{
    return atomic_load(&kek->denials);
}

/* ---- The audit record -------------------------------------------------------------------------------------------- */

bool bs_kek_is_recorded(const struct blobseal_kek *kek)
{
    return bs_audit_is_on(kek->config);
}

enum blobseal_status bs_kek_record(const struct blobseal_kek *kek, const struct bs_kek_event *event,
                                   enum blobseal_status st, struct blobseal_error *err)
{
    const struct blobseal_trace *trace = event->trace;
    const struct blobseal_audit_event e = {
        .size = sizeof e,
        .operation = event->operation,
        .result = st,
        .provider = kek->provider->scheme,
        .kid = event->kid,
        .blob_id = event->blob_id,
        .claimed = event->claimed,
        .request_id =
            trace != NULL && bs_is_token(trace->request_id, sizeof trace->request_id - 1) ? trace->request_id : NULL,
        .cached = trace != NULL && trace->cached,
    };
    struct blobseal_error failure = {0};
    enum blobseal_status recorded;

    if (!bs_kek_is_recorded(kek))
        return st;
    recorded = bs_audit(kek->config, &e, &failure);
    if (st != BLOBSEAL_OK || recorded == BLOBSEAL_OK)
        return st;
    if (err != NULL)
        *err = failure;
    return recorded;
}

enum blobseal_status bs_keks_record_refusal(struct bs_keks keks, const uint8_t *blob_id, enum blobseal_status st)
{
    const struct bs_kek_event event = {.operation = "refuse", .blob_id = blob_id, .claimed = true};

    for (size_t i = 0; st == BLOBSEAL_E_POLICY && i < keks.num; i++)
        if (bs_kek_is_recorded(keks.list[i]))
            return bs_kek_record(keks.list[i], &event, st, NULL);
    return st;
}
