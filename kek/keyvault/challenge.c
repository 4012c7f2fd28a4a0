/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WWW-Authenticate: which token a vault wants. Nothing is sent to the authority that it names; only the tenant is taken
 * from it, and only if the resource is that of the vault itself: otherwise a wrong host could ask for a token of
 * another service.
 */
#include <stdio.h>
#include <strings.h>

#include "kek/keyvault/keyvault.h"

/* Read the next KEY="VALUE" or KEY=VALUE at @text. Return what follows it, or NULL at the end. */
static const char *next_pair(const char *text, char key[32], char *value, size_t cap)
{
    size_t len;

    text += strspn(text, ", \t");
    len = strcspn(text, "= ,\"");
    if (len == 0 || text[len] != '=')
        return NULL;
    (void)snprintf(key, 32, "%.*s", (int)len, text);
    text += len + 1;
    if (*text == '"') {
        len = strcspn(++text, "\"");
        if (text[len] != '"')
            return NULL;
        (void)snprintf(value, cap, "%.*s", (int)len, text);
        return text + len + 1;
    }
    len = strcspn(text, ", ");
    (void)snprintf(value, cap, "%.*s", (int)len, text);
    return text + len;
}

/* Take "https://HOST/TENANT/..." apart. */
static void take_authority(struct bs_kv_challenge *out, const char *url)
{
    const char *path = strncmp(url, "https://", 8) == 0 ? strchr(url + 8, '/') : NULL;
    size_t host = path != NULL ? (size_t)(path - url) : strlen(url), len;

    (void)snprintf(out->authority, sizeof out->authority, "%.*s", (int)host, url);
    if (path == NULL)
        return;
    len = strcspn(path + 1, "/");
    if (len > 0 && len < sizeof out->tenant &&
        strspn(path + 1, "0123456789abcdefghijklmnopqrstuvwxyz"
                         "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-") >= len)
        (void)snprintf(out->tenant, sizeof out->tenant, "%.*s", (int)len, path + 1);
}

static void take_resource(struct bs_kv_challenge *out, const char *value)
{
    static const char suffix[] = "/.default";
    size_t len = strlen(value);

    if (len >= sizeof suffix && strcmp(value + len - (sizeof suffix - 1), suffix) == 0)
        len -= sizeof suffix - 1;
    while (len > 0 && value[len - 1] == '/')
        len--;
    (void)snprintf(out->resource, sizeof out->resource, "%.*s", (int)len, value);
}

static void take_claims(struct bs_kv_challenge *out, const char *value)
{
    size_t len, n = strlen(value);

    while (n > 0 && value[n - 1] == '=')
        n--;
    if (!blobseal_base64url_decode((uint8_t *)out->claims, sizeof out->claims - 1, &len, value, n))
        len = 0;
    out->claims[len] = '\0';
}

bool bs_kv_challenge_parse(struct bs_kv_challenge *out, const char *text)
{
    char key[32], value[BS_HTTP_MAX_CODE];
    const char *p = strstr(text, "Bearer ");

    memset(out, 0, sizeof *out);
    if (p == NULL || (p != text && p[-1] != ' ' && p[-1] != ','))
        return false;
    for (p += 7; (p = next_pair(p, key, value, sizeof value)) != NULL;) {
        if (strcasecmp(key, "authorization") == 0 || strcasecmp(key, "authorization_uri") == 0)
            take_authority(out, value);
        else if (strcasecmp(key, "resource") == 0 || strcasecmp(key, "scope") == 0)
            take_resource(out, value);
        else if (strcasecmp(key, "claims") == 0)
            take_claims(out, value);
    }
    return true;
}

/* Return true if @host is in the domain that the URL @resource names. */
static bool host_is_in(const char *host, const char *resource)
{
    size_t len = strcspn(host, ":"), n;

    if (strncasecmp(resource, "https://", 8) != 0)
        return false;
    resource += 8;
    n = strlen(resource);
    return n > 0 && len > n + 1 && host[len - n - 1] == '.' && strncasecmp(host + len - n, resource, n) == 0;
}

enum blobseal_status bs_kv_challenge_check(const struct bs_kv_challenge *c, const struct bs_kv_settings *s,
                                           struct blobseal_error *err)
{
    const char *authority = s->authority != NULL ? s->authority : bs_kv_authority_of(s->host);
    bool ours = s->resource != NULL ? strcasecmp(c->resource, s->resource) == 0 : host_is_in(s->host, c->resource);

    if (!ours) {
        (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0,
                            "the vault %.100s asks for a token for '%.80s', which is not its own", s->host,
                            c->resource);
        blobseal_hint(err, "check that this is the right host; no token was sent to it");
        return BLOBSEAL_E_UNAVAILABLE;
    }
    if (c->authority[0] != '\0' && !bs_kv_is_authority(c->authority) && strcasecmp(c->authority, authority) != 0) {
        (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0,
                            "the vault %.100s names the authority '%.100s', which is not one of Azure", s->host,
                            c->authority);
        blobseal_hint(err, "name the authority of the vault in the configuration, if it is right");
        return BLOBSEAL_E_UNAVAILABLE;
    }
    return BLOBSEAL_OK;
}
