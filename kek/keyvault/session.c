/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: connections and tokens, which all keys with the same settings share. They end with the last of these. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "kek/keyvault/keyvault.h"

#define SLICE_MS 50    /* how long a wait lasts before its caller looks at the limits of its call */
#define ASIDE_MS 10000 /* the longest time for what a call does not need                          */

static struct {
    pthread_mutex_t lock;
    struct bs_kv_session *first;
} sessions = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool bs_kv_condition_init(pthread_cond_t *c)
{
    pthread_condattr_t attributes;
    bool ok;

    if (pthread_condattr_init(&attributes) != 0)
        return false;
    ok = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 && pthread_cond_init(c, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    return ok;
}

void bs_kv_wait(pthread_cond_t *changed, pthread_mutex_t *lock)
{
    uint64_t end = bs_http_now_ms() + SLICE_MS;
    const struct timespec until = {(time_t)(end / 1000), (long)(end % 1000) * 1000000};

    (void)pthread_cond_timedwait(changed, lock, &until);
}

struct blobseal_call bs_kv_limit(const struct bs_kv_settings *settings, const struct blobseal_call *call)
{
    uint64_t end = bs_http_now_ms() + settings->deadline_ms;
    struct blobseal_call limited = *call;

    if (call->deadline_ms == 0 || end < call->deadline_ms)
        limited.deadline_ms = end;
    return limited;
}

struct blobseal_call bs_kv_aside(const struct blobseal_call *call)
{
    uint64_t now = bs_http_now_ms(), left = ASIDE_MS;
    struct blobseal_call aside = *call;

    if (call->deadline_ms != 0 && call->deadline_ms < now + 2 * left)
        left = call->deadline_ms > now ? (call->deadline_ms - now) / 2 : 0;
    aside.deadline_ms = now + left;
    return aside;
}

static void destroy(struct bs_kv_session *s)
{
    bs_http_client_free(s->vault);
    bs_http_client_free(s->authority);
    bs_http_client_free(s->local);
    blobseal_secret_free(s->tokens.current);
    bs_kv_settings_release(&s->settings);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_cond_destroy(&s->changed);
    free(s);
}

static enum blobseal_status make_clients(struct bs_kv_session *s, struct blobseal_error *err)
{
    const struct bs_http_options vault = {.ca_file = s->settings.ca_file};
    const struct bs_http_options authority = {.ca_file = s->settings.authority_ca_file}, local = {.local = true};
    enum blobseal_status st = bs_http_client_new(&s->vault, &vault, err);

    if (st == BLOBSEAL_OK)
        st = bs_http_client_new(&s->authority, &authority, err);
    if (st == BLOBSEAL_OK)
        st = bs_http_client_new(&s->local, &local, err);
    return st;
}

/* Make a session. It takes over the settings, also after a failure. */
static enum blobseal_status make(struct bs_kv_session **session, struct bs_kv_settings *settings,
                                 struct blobseal_error *err)
{
    struct bs_kv_session *s = calloc(1, sizeof *s);
    enum blobseal_status st;

    if (s == NULL || pthread_mutex_init(&s->lock, NULL) != 0) {
        free(s);
        bs_kv_settings_release(settings);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "use a vault: no memory");
    }
    s->settings = *settings;
    s->references = 1;
    s->process = bs_process_id();
    if (bs_kv_condition_init(&s->changed))
        st = make_clients(s, err);
    else
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "use a vault: no memory");
    if (st != BLOBSEAL_OK) {
        destroy(s);
        return st;
    }
    *session = s;
    return BLOBSEAL_OK;
}

enum blobseal_status bs_kv_session_open(struct bs_kv_session **session, struct bs_kv_settings *settings,
                                        struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_kv_session *s;

    *session = NULL;
    (void)pthread_mutex_lock(&sessions.lock);
    for (s = sessions.first; s != NULL && !bs_kv_settings_equal(&s->settings, settings); s = s->next)
        ;
    if (s != NULL) {
        s->references++;
        bs_kv_settings_release(settings);
    } else {
        st = make(&s, settings, err);
        if (s != NULL) {
            s->next = sessions.first;
            sessions.first = s;
        }
    }
    if (st == BLOBSEAL_OK)
        *session = s;
    (void)pthread_mutex_unlock(&sessions.lock);
    return st;
}

void bs_kv_session_close(struct bs_kv_session *s)
{
    struct bs_kv_session **at;
    bool last;

    if (s == NULL)
        return;
    (void)pthread_mutex_lock(&sessions.lock);
    last = --s->references == 0;
    for (at = &sessions.first; last && *at != NULL; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    (void)pthread_mutex_unlock(&sessions.lock);
    if (last)
        destroy(s);
}

void bs_kv_session_lock(struct bs_kv_session *s)
{
    (void)pthread_mutex_lock(&s->lock);
    if (s->process == bs_process_id())
        return;
    s->process = bs_process_id();
    blobseal_secret_free(s->tokens.current);
    s->tokens.current = NULL;
    s->tokens.fetching = false;
    s->silence = (struct bs_kv_silence){0};
}
