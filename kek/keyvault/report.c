/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody should know who uses a key in a vault: who asks, what the vault permits, and the state of the key. */
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "kek/keyvault/identity.h"

struct report {
    struct bs_kv_kek *k;
    blobseal_finding_fn fn;
    void *ctx;
};

__attribute__((format(printf, 5, 6))) static void
note(const struct report *r, const char *name, enum blobseal_level level, const char *hint, const char *format, ...)
{
    char value[320];
    const struct blobseal_finding f = {name, value, level, hint};
    va_list ap;

    va_start(ap, format);
    if (vsnprintf(value, sizeof value, format, ap) < 0)
        value[0] = '\0';
    va_end(ap);
    blobseal_make_printable(value);
    r->fn(r->ctx, &f);
}

/* ---- The identity ------------------------------------------------------------------------------------------------ */

/* What a token says about its holder. */
struct holder {
    char tenant[64], object[64], client[64];
};

static void read_payload(struct holder *h, uint8_t *text, size_t len)
{
    struct bs_json j = bs_kv_json_start(text, len);
    struct bs_slice name;

    if (!bs_json_object(&j))
        return;
    while (bs_json_member(&j, &name)) {
        if (bs_slice_is(name, "tid"))
            (void)bs_kv_json_text(&j, h->tenant, sizeof h->tenant);
        else if (bs_slice_is(name, "oid"))
            (void)bs_kv_json_text(&j, h->object, sizeof h->object);
        else if (bs_slice_is(name, "appid") || bs_slice_is(name, "azp"))
            (void)bs_kv_json_text(&j, h->client, sizeof h->client);
        else
            (void)bs_json_skip(&j);
    }
}

/* Decode the payload of a JWT. Its signature is for the vault. */
static void read_token(struct holder *h, const struct bs_kv_token *t)
{
    const char *start = strchr(t->text, '.'), *stop = start != NULL ? strchr(start + 1, '.') : NULL;
    uint8_t *payload = stop != NULL ? blobseal_secret_alloc(t->len) : NULL;
    size_t len;

    if (payload != NULL && blobseal_base64url_decode(payload, t->len, &len, start + 1, (size_t)(stop - start - 1)))
        read_payload(h, payload, len);
    blobseal_secret_free(payload);
}

static enum blobseal_status report_identity(const struct report *r, const struct blobseal_call *call,
                                            struct blobseal_error *err)
{
    struct bs_kv_session *s = r->k->session;
    struct blobseal_config_identity identity = s->settings.identity;
    bool automatic = identity.type == BLOBSEAL_IDENTITY_AUTO;
    struct holder h = {"unknown", "unknown", "unknown"};
    struct bs_kv_token *token;
    const char *name;
    enum blobseal_status st = bs_kv_identity_choose(&identity, &name, err);

    if (st != BLOBSEAL_OK)
        return st;
    note(r, "identity", BLOBSEAL_LEVEL_OK, "", "%s%s", name, automatic ? " (chosen automatically)" : "");
    st = bs_kv_token_get(s, &token, call, err);
    if (st != BLOBSEAL_OK)
        return st;
    read_token(&h, token);
    bs_kv_token_put(s, token);
    note(r, "caller", BLOBSEAL_LEVEL_OK, "", "tenant %s, object id %s, client id %s", h.tenant, h.object, h.client);
    return BLOBSEAL_OK;
}

/* ---- The key ----------------------------------------------------------------------------------------------------- */

static void report_time(const struct report *r, const char *name, int64_t at, bool bad)
{
    time_t t = (time_t)at;
    struct tm tm;
    char text[32] = "";

    if (at == 0 || gmtime_r(&t, &tm) == NULL || strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        return;
    note(r, name, bad ? BLOBSEAL_LEVEL_WARNING : BLOBSEAL_LEVEL_OK,
         bad ? "the key cannot seal now; what it has sealed can be opened" : "", "%s", text);
}

static void report_key(const struct report *r, const struct bs_kv_version *v)
{
    const struct bs_kv_key *key = &v->key;
    int64_t now = (int64_t)(bs_http_unix_ms() / 1000) + v->clock_ahead_s;
    bool purgeable = bs_kv_is_purgeable(key);

    note(r, "vault key", BLOBSEAL_LEVEL_OK, "", "%s, version %s, %s", key->kty, key->id.version,
         strcasecmp(key->kty, "RSA-HSM") == 0 ? "in an HSM" : "protected by software");
    if (!key->enabled)
        note(r, "key state", BLOBSEAL_LEVEL_FAILURE, "ask the owner of the key to enable this version again",
             "disabled");
    else
        note(r, "key state", BLOBSEAL_LEVEL_OK, "", "enabled");
    report_time(r, "valid from", key->nbf, now < key->nbf);
    report_time(r, "valid until", key->exp, now >= key->exp);
    if (!key->may_wrap || !key->may_unwrap)
        note(r, "key operations", BLOBSEAL_LEVEL_FAILURE, "ask the owner of the key to permit both",
             "wrapKey and unwrapKey are not both permitted");
    note(r, "purge protection", purgeable ? BLOBSEAL_LEVEL_WARNING : BLOBSEAL_LEVEL_OK,
         purgeable ? "turn it on for the vault: without it, a deleted key can be destroyed at once" : "", "%s (%s)",
         purgeable ? "off" : "on", key->recovery);
    if (key->exportable)
        note(r, "exportable", BLOBSEAL_LEVEL_WARNING, "use a key that never leaves its vault",
             "the private key may leave the vault");
    if (v->clock_ahead_s > 60 || v->clock_ahead_s < -60)
        note(r, "clock", BLOBSEAL_LEVEL_WARNING, "set the clock of this machine", "that of the vault differs by %lld s",
             (long long)v->clock_ahead_s);
}

/* ---- Permissions ------------------------------------------------------------------------------------------------- */

/* Unwrap something, and report whether that is permitted and how long it takes. */
static void report_unwrap(const struct report *r, const struct bs_kv_version *v, const struct blobseal_call *call)
{
    struct blobseal_secret32 *secret = blobseal_secret_alloc(2 * sizeof *secret);
    struct blobseal_lease lease = {.size = sizeof lease};
    struct blobseal_wrapping w = {.size = sizeof w};
    struct blobseal_wrapped wrapped = {.alg = w.alg, .kid = v->kid, .key = w.key};
    struct blobseal_error err = {0};
    enum blobseal_status st = BLOBSEAL_E_NOMEM;
    uint64_t start;

    if (secret != NULL && blobseal_random(&secret[0], sizeof secret[0], true))
        st = bs_rsa_wrap_secret(&v->wrapper, &w, &secret[0], &err);
    wrapped.key_len = w.key_len;
    start = bs_http_now_ms();
    if (st == BLOBSEAL_OK)
        st = bs_kv_unwrap(r->k, &secret[1], &wrapped, &lease, call, &err);
    if (st == BLOBSEAL_OK)
        note(r, "unwrap", BLOBSEAL_LEVEL_OK, "", "permitted, %llu ms", (unsigned long long)(bs_http_now_ms() - start));
    else
        note(r, "unwrap", BLOBSEAL_LEVEL_FAILURE, err.hint, "no: %.250s", err.text);
    blobseal_secret_free(secret);
}

enum blobseal_status bs_kv_report(struct bs_kv_kek *k, blobseal_finding_fn fn, void *ctx,
                                  const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct report r = {k, fn, ctx};
    const struct bs_kv_settings *s = &k->session->settings;
    const struct blobseal_call limited = bs_kv_limit(s, call);
    struct bs_kv_version *v;
    enum blobseal_status st;

    note(&r, "vault", BLOBSEAL_LEVEL_OK, "", "%s, %s; token resource %s; wraps %s", s->host,
         bs_kv_resource_of(s->host) != NULL ? "a host of Azure" : "a configured host", s->resource,
         s->wraps_remotely ? "in the vault" : "here");
    st = report_identity(&r, &limited, err);
    if (st == BLOBSEAL_OK)
        st = bs_kv_describe(k, &v, BS_KV_NOW, &limited, err);
    if (st != BLOBSEAL_OK) {
        note(&r, "look up", BLOBSEAL_LEVEL_FAILURE, err != NULL ? err->hint : "", "no: %.250s",
             err != NULL ? err->text : blobseal_status_code(st));
        return st;
    }
    note(&r, "look up", BLOBSEAL_LEVEL_OK, "", "permitted");
    report_key(&r, v);
    report_unwrap(&r, v, &limited);
    bs_kv_version_put(v);
    return BLOBSEAL_OK;
}
