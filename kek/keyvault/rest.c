/* SPDX-License-Identifier: Apache-2.0 */
/* One request to the vault: with a token, an answer to its challenge, and more attempts where they may help. */
#include <stdio.h>

#include "kek/keyvault/identity.h"

#define MAX_NETWORK_RETRIES 2
#define MIN_PAUSE_MS        50
#define MAX_SILENCE_MS      300000 /* of those that the vault may wish for */
#define ID_LEN              37

/* A request and what has become of it. */
struct exchange {
    struct bs_kv_session *session;
    const struct bs_kv_request *request;
    struct bs_http_response *answer;
    const struct blobseal_call *call;
    enum bs_kv_class class;
    char id[ID_LEN]; /* x-ms-client-request-id: the same for all attempts */
    char url[BS_KV_MAX_LINK + 512];
    uint64_t began_boottime_ms;
    unsigned tries;  /* failed attempts      */
    bool challenged; /* a 401 was dealt with */
};

/* Write a random UUID (RFC 9562 section 5.4). */
static void make_id(char out[ID_LEN])
{
    uint8_t b[16];

    if (!blobseal_random(b, sizeof b, false))
        memset(b, 0, sizeof b);
    (void)snprintf(out, ID_LEN, "%02x%02x%02x%02x-%02x%02x-4%x%02x-8%x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
                   b[3], b[4], b[5], b[6] & 15U, b[7], b[8] & 15U, b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

/* Note what the owner's log calls the request: the id of the vault, or else that of this program. */
static void note_request(const struct exchange *x)
{
    const char *id = x->answer->request_id[0] != '\0' ? x->answer->request_id : x->id;
    struct blobseal_trace *t = x->call->trace;
    size_t n = 0;

    if (t == NULL)
        return;
    for (; id[n] > ' ' && id[n] <= '~' && n + 1 < sizeof t->request_id; n++)
        t->request_id[n] = id[n];
    t->request_id[n] = '\0';
}

/* Send the request once. Without a token it has no body either: it only asks for the challenge. */
static enum blobseal_status send_once(struct exchange *x, const struct bs_kv_token *token, struct blobseal_error *err)
{
    const struct bs_http_request q = {
        .what = x->request->what,
        .url = x->url,
        .headers = {{"Authorization", token != NULL ? token->text : NULL},
                    {"x-ms-client-request-id", x->id},
                    {"Content-Type", x->request->body != NULL ? "application/json" : NULL}},
        .body = x->request->body,
        .body_len = token != NULL ? x->request->body_len : 0,
        .total_ms = (unsigned)x->session->settings.request_ms,
    };

    enum blobseal_status st = bs_http_send(x->session->vault, &q, x->answer, x->call, err);

    note_request(x);
    return st;
}

/* ---- Challenges -------------------------------------------------------------------------------------------------- */

static void remember(struct bs_kv_session *s, const struct bs_kv_challenge *c)
{
    bs_kv_session_lock(s);
    if (c->tenant[0] != '\0')
        memcpy(s->tokens.tenant, c->tenant, sizeof s->tokens.tenant);
    memcpy(s->tokens.claims, c->claims, sizeof s->tokens.claims);
    (void)pthread_mutex_unlock(&s->lock);
}

_Static_assert(sizeof((struct bs_kv_tokens *)NULL)->tenant == sizeof((struct bs_kv_challenge *)NULL)->tenant &&
                   sizeof((struct bs_kv_tokens *)NULL)->claims == sizeof((struct bs_kv_challenge *)NULL)->claims,
               "a challenge is kept as it is");

/* Return true if only the vault knows the tenant. */
static bool tenant_is_unknown(struct bs_kv_session *s)
{
    struct blobseal_config_identity identity = s->settings.identity;
    const char *name;
    bool known;

    if (bs_kv_identity_tenant(&s->settings) != NULL || bs_kv_identity_choose(&identity, &name, NULL) != BLOBSEAL_OK ||
        !bs_kv_identity_needs_tenant(identity.type))
        return false;
    bs_kv_session_lock(s);
    known = s->tokens.tenant[0] != '\0';
    (void)pthread_mutex_unlock(&s->lock);
    return !known;
}

/* Ask for the challenge without a token, and take the tenant from it. */
static enum blobseal_status probe(struct exchange *x, struct blobseal_error *err)
{
    struct bs_kv_challenge c;
    enum blobseal_status st = send_once(x, NULL, err);

    x->class = BS_KV_NO_ANSWER;
    if (st != BLOBSEAL_OK)
        return st;
    if (x->answer->status != 401 || !bs_kv_challenge_parse(&c, x->answer->challenge) || c.tenant[0] == '\0') {
        (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "%.150s: the vault does not say which tenant it trusts",
                            x->request->what);
        blobseal_hint(err, "set the tenant of the identity");
        return BLOBSEAL_E_UNAVAILABLE;
    }
    st = bs_kv_challenge_check(&c, &x->session->settings, err);
    if (st == BLOBSEAL_OK)
        remember(x->session, &c);
    return st;
}

/* After a 401: decide whether another token may help. Return E_UNAVAILABLE if the challenge is not acceptable. */
static enum blobseal_status answer_challenge(struct exchange *x, const struct bs_kv_token *token, bool *again,
                                             struct blobseal_error *err)
{
    struct bs_kv_challenge c;
    enum blobseal_status st = BLOBSEAL_OK;

    *again = false;
    bs_kv_token_refused(x->session, token);
    if (bs_kv_challenge_parse(&c, x->answer->challenge)) {
        st = bs_kv_challenge_check(&c, &x->session->settings, err);
        if (st != BLOBSEAL_OK) {
            x->class = BS_KV_NO_ANSWER;
            return st;
        }
        remember(x->session, &c);
    }
    *again = !x->challenged;
    x->challenged = true;
    return BLOBSEAL_OK;
}

/* ---- More attempts ----------------------------------------------------------------------------------------------- */

/* Return how often to try again after a failure of the network. */
static unsigned network_retries(enum bs_http_failure f)
{
    switch (f) {
    case BS_HTTP_CONNECT:
    case BS_HTTP_BROKEN:
    case BS_HTTP_RESOLVE:
        return MAX_NETWORK_RETRIES;
    case BS_HTTP_TIMEOUT:
        return 1;
    default:
        return 0;
    }
}

enum blobseal_status bs_kv_pause(const struct bs_http_response *answer, unsigned tries, const char *what, bool *again,
                                 const struct blobseal_call *call, struct blobseal_error *err)
{
    int64_t wish = bs_http_retry_after(answer);
    uint64_t ms = wish >= 0 ? (uint64_t)wish : bs_http_backoff(tries);

    ms = ms < MIN_PAUSE_MS ? MIN_PAUSE_MS : ms;
    *again = call->deadline_ms == 0 || bs_http_now_ms() + ms < call->deadline_ms;
    if (*again)
        return bs_http_wait(ms, what, call, err);
    if (wish > 0)
        blobseal_hint(err, "try again in %llu s", (unsigned long long)(ms + 999) / 1000);
    return BLOBSEAL_OK;
}

/* After a failed attempt, for which @err is filled in: wait if another attempt is worth it. */
static enum blobseal_status try_again(struct exchange *x, unsigned retries, bool *again, struct blobseal_error *err)
{
    *again = false;
    if (x->tries >= retries)
        return BLOBSEAL_OK;
    return bs_kv_pause(x->answer, x->tries++, x->request->what, again, x->call, err);
}

/* Judge an answer that is an error. */
static enum blobseal_status judge(struct exchange *x, bool *again, struct blobseal_error *err)
{
    const struct bs_kv_row *row;
    struct bs_kv_said said;
    enum blobseal_status st, waited;

    bs_kv_parse_error(&said, x->answer->body, x->answer->len);
    row = bs_kv_row_find(x->answer->status, &said);
    x->class = row->class;
    st = bs_kv_row_fail(row, x->request->what, x->answer, &said, err);
    waited = try_again(x, row->retries, again, err);
    return waited != BLOBSEAL_OK ? waited : st;
}

/* Make one attempt. *@again: make another one. */
static enum blobseal_status attempt(struct exchange *x, bool *again, struct blobseal_error *err)
{
    struct bs_kv_token *token;
    enum blobseal_status st, waited;

    *again = false;
    x->class = BS_KV_AUTH;
    st = bs_kv_token_get(x->session, &token, x->call, err);
    if (st != BLOBSEAL_OK)
        return st;
    st = send_once(x, token, err);
    if (st == BLOBSEAL_OK && x->answer->status == 401)
        st = answer_challenge(x, token, again, err);
    bs_kv_token_put(x->session, token);
    if (*again || (st != BLOBSEAL_OK && x->answer->failure == BS_HTTP_ANSWERED))
        return st;
    if (st == BLOBSEAL_E_UNAVAILABLE) {
        x->class = BS_KV_NO_ANSWER;
        waited = try_again(x, network_retries(x->answer->failure), again, err);
        return waited != BLOBSEAL_OK ? waited : st;
    }
    if (st != BLOBSEAL_OK)
        return st;
    x->class = BS_KV_OK;
    return x->answer->status == 200 ? BLOBSEAL_OK : judge(x, again, err);
}

/* ---- Silence ----------------------------------------------------------------------------------------------------- */

/* Wait until the vault may be asked, if it has asked for a pause and there is time for it. Errors: E_UNAVAILABLE, it
 * must not be asked yet; E_CANCELED. */
static enum blobseal_status wait_for_silence(const struct exchange *x, struct blobseal_error *err)
{
    struct bs_kv_session *s = x->session;
    struct bs_kv_silence silence;
    uint64_t now, left;

    bs_kv_session_lock(s);
    silence = s->silence;
    (void)pthread_mutex_unlock(&s->lock);
    now = bs_http_boottime_ms();
    if (now >= silence.until_boottime_ms)
        return BLOBSEAL_OK;
    left = silence.until_boottime_ms - now;
    if (silence.wished && (x->call->deadline_ms == 0 || bs_http_now_ms() + left < x->call->deadline_ms))
        return bs_http_wait(left, x->request->what, x->call, err);
    (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "%.150s: %s", x->request->what, silence.why);
    if (silence.wished)
        blobseal_hint(err, "try again in %llu s", (unsigned long long)(left + 999) / 1000);
    else
        blobseal_hint(err, "%s", silence.hint);
    return BLOBSEAL_E_UNAVAILABLE;
}

/*
 * Note whether the vault answers, unless it was the caller who had no time for an answer. A vault that fails with 500
 * says nothing about other requests: some emulators do so for a key that was wrapped by somebody else.
 */
static void note_silence(const struct exchange *x, enum blobseal_status st, const struct blobseal_error *err)
{
    struct bs_kv_silence *silence = &x->session->silence;
    size_t what = strlen(x->request->what);
    int64_t wish = x->answer->status >= 400 ? bs_http_retry_after(x->answer) : -1;
    bool began_later, own = x->call->deadline_ms != 0 && bs_http_now_ms() >= x->call->deadline_ms;

    if (st == BLOBSEAL_E_UNAVAILABLE ? wish <= 0 && (own || x->answer->status == 500) : x->answer->status == 0)
        return;
    bs_kv_session_lock(x->session);
    began_later = silence->since_boottime_ms < x->began_boottime_ms; /* no thread has noted anything meanwhile */
    if (st != BLOBSEAL_E_UNAVAILABLE && began_later) {
        *silence = (struct bs_kv_silence){0};
    } else if (st == BLOBSEAL_E_UNAVAILABLE && (wish > 0 || began_later)) {
        silence->wished = wish > 0;
        silence->since_boottime_ms = silence->until_boottime_ms = bs_http_boottime_ms();
        if (wish > 0)
            silence->until_boottime_ms += (uint64_t)(wish < MAX_SILENCE_MS ? wish : MAX_SILENCE_MS);
        else
            silence->until_boottime_ms += bs_http_backoff(silence->failures++);
        if (strncmp(err->text, x->request->what, what) != 0 || strncmp(err->text + what, ": ", 2) != 0)
            what = 0;
        (void)snprintf(silence->why, sizeof silence->why, "%.159s", err->text + (what > 0 ? what + 2 : 0));
        (void)snprintf(silence->hint, sizeof silence->hint, "%.159s", err->hint);
    }
    (void)pthread_mutex_unlock(&x->session->lock);
}

enum blobseal_status bs_kv_send(struct bs_kv_session *s, const struct bs_kv_request *request,
                                struct bs_http_response *answer, enum bs_kv_class *class,
                                const struct blobseal_call *call, struct blobseal_error *err)
{
    struct exchange x = {.session = s, .request = request, .answer = answer, .call = call};
    struct blobseal_error own = {0};
    enum blobseal_status st;
    bool again = false;

    err = err != NULL ? err : &own; /* a pause changes the hint */
    make_id(x.id);
    (void)snprintf(x.url, sizeof x.url, "https://%s%s?%s", s->settings.host, request->path,
                   request->query != NULL ? request->query : "api-version=7.4");
    x.class = BS_KV_NO_ANSWER;
    st = wait_for_silence(&x, err);
    if (st == BLOBSEAL_OK) {
        x.began_boottime_ms = bs_http_boottime_ms();
        if (tenant_is_unknown(s))
            st = probe(&x, err);
        for (bool go = st == BLOBSEAL_OK; go; go = again && st != BLOBSEAL_E_CANCELED)
            st = attempt(&x, &again, err);
        note_silence(&x, st, err);
    }
    *class = x.class;
    return st;
}
