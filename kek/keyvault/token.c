/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token of a session. One thread at a time asks for a new one. The others go on with the old one while it is valid,
 * otherwise they wait and share the answer. A token is replaced long before it ends, and a failure to do so matters
 * only when the old one has ended.
 */
#include <stdio.h>

#include "kek/keyvault/identity.h"

#define AGAIN_MS 30000 /* after a failed attempt to replace a token that is still valid */

/* ---- Times ------------------------------------------------------------------------------------------------------- */

/* Return the seconds after which a token is replaced. */
static int64_t refresh_after(const struct bs_kv_grant *g)
{
    if (g->refresh_in > 0 && g->refresh_in < g->life)
        return g->refresh_in;
    if (g->life > 7200 || g->life < 600)
        return g->life / 2;
    return g->life - 300;
}

static void set_times(struct bs_kv_token *t, const struct bs_kv_grant *g, uint64_t asked_ms)
{
    int64_t margin = g->life > 600 ? 60 : g->life / 10;

    t->refresh_boottime_ms = asked_ms + 1000 * (uint64_t)refresh_after(g);
    t->expires_boottime_ms = asked_ms + 1000 * (uint64_t)(g->life - margin);
}

/* ---- The cache, whose lock is held ------------------------------------------------------------------------------- */

static void release(struct bs_kv_token *t)
{
    if (t != NULL && --t->references == 0)
        blobseal_secret_free(t);
}

static void replace(struct bs_kv_session *s, struct bs_kv_token *t)
{
    release(s->tokens.current);
    s->tokens.current = t;
}

/* Return the current token if it can be used, with a reference of its own. */
static struct bs_kv_token *usable(struct bs_kv_session *s)
{
    struct bs_kv_token *t = s->tokens.current;

    if (t == NULL || bs_http_boottime_ms() >= t->expires_boottime_ms)
        return NULL;
    t->references++;
    return t;
}

/* Store the answer to a request for a token. */
static void store(struct bs_kv_session *s, const struct bs_kv_grant *g, uint64_t asked_ms)
{
    set_times(g->token, g, asked_ms);
    g->token->references = 1;
    replace(s, g->token);
}

/*
 * Ask for a token. The lock is released meanwhile. If this caller had no time left, or was canceled, that is no answer
 * for those who wait.
 */
static enum blobseal_status fetch(struct bs_kv_session *s, const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_kv_tokens *c = &s->tokens;
    char tenant[sizeof c->tenant], claims[sizeof c->claims];
    uint64_t asked = bs_http_boottime_ms();
    struct bs_kv_grant g = {0};
    struct blobseal_error e = {0};
    enum blobseal_status st;

    c->fetching = true;
    memcpy(tenant, c->tenant, sizeof tenant);
    memcpy(claims, c->claims, sizeof claims);
    (void)pthread_mutex_unlock(&s->lock);
    st = bs_kv_identity_get(s, tenant[0] != '\0' ? tenant : NULL, claims[0] != '\0' ? claims : NULL, &g, call, &e);
    bs_kv_session_lock(s);
    c->fetching = false;
    c->flights++;
    c->shared = st == BLOBSEAL_OK ||
                (st != BLOBSEAL_E_CANCELED && (call->deadline_ms == 0 || bs_http_now_ms() < call->deadline_ms));
    e.status = st;
    c->error = e;
    if (st == BLOBSEAL_OK)
        store(s, &g, asked);
    else if (c->current != NULL)
        c->current->refresh_boottime_ms = bs_http_boottime_ms() + AGAIN_MS;
    (void)pthread_cond_broadcast(&s->changed);
    if (st != BLOBSEAL_OK && err != NULL)
        *err = e;
    return st;
}

/* Return true if the current token should be replaced now, by this thread. */
static bool is_due(const struct bs_kv_session *s)
{
    return !s->tokens.fetching && bs_http_boottime_ms() >= s->tokens.current->refresh_boottime_ms;
}

static enum blobseal_status limits(const struct blobseal_call *call, struct blobseal_error *err)
{
    if (__atomic_load_n(call->cancel, __ATOMIC_RELAXED) != 0)
        return blobseal_fail(err, BLOBSEAL_E_CANCELED, 0, "wait for a token: the program asked to stop");
    if (call->deadline_ms != 0 && bs_http_now_ms() >= call->deadline_ms) {
        (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "wait for a token: there was none in time");
        blobseal_hint(err, "try again later, or with a longer limit");
        return BLOBSEAL_E_UNAVAILABLE;
    }
    return BLOBSEAL_OK;
}

/* Wait for the thread that asks for a token. *@done: its answer counts for this one, too. */
static enum blobseal_status wait_for(struct bs_kv_session *s, bool *done, const struct blobseal_call *call,
                                     struct blobseal_error *err)
{
    struct bs_kv_tokens *c = &s->tokens;
    uint64_t flight = c->flights;
    enum blobseal_status st = BLOBSEAL_OK;

    while (c->fetching && c->flights == flight && st == BLOBSEAL_OK) {
        bs_kv_wait(&s->changed, &s->lock);
        st = limits(call, err);
    }
    *done = st != BLOBSEAL_OK;
    if (st == BLOBSEAL_OK && c->flights != flight && c->shared && c->error.status != BLOBSEAL_OK) {
        *done = true;
        st = c->error.status;
        if (err != NULL)
            *err = c->error;
    }
    return st;
}

enum blobseal_status bs_kv_token_get(struct bs_kv_session *s, struct bs_kv_token **token,
                                     const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct blobseal_call aside = bs_kv_aside(call);
    enum blobseal_status st = BLOBSEAL_OK;
    struct blobseal_error ignored;
    bool done = false;

    *token = NULL;
    bs_kv_session_lock(s);
    while (!done && *token == NULL) {
        *token = usable(s);
        if (*token != NULL && is_due(s) && fetch(s, &aside, &ignored) == BLOBSEAL_OK) {
            release(*token);
            *token = usable(s);
        }
        if (*token != NULL)
            break;
        if (s->tokens.fetching) {
            st = wait_for(s, &done, call, err);
        } else {
            st = fetch(s, call, err);
            done = st != BLOBSEAL_OK;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return st;
}

void bs_kv_token_put(struct bs_kv_session *s, struct bs_kv_token *t)
{
    bs_kv_session_lock(s);
    release(t);
    (void)pthread_mutex_unlock(&s->lock);
}

void bs_kv_token_refused(struct bs_kv_session *s, const struct bs_kv_token *t)
{
    bs_kv_session_lock(s);
    if (s->tokens.current == t)
        replace(s, NULL);
    (void)pthread_mutex_unlock(&s->lock);
}
