/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Managed identities: an endpoint of the machine or the service hands out tokens, over plain HTTP that never leaves the
 * machine or its link. Which endpoint it is, the environment says; otherwise it is that of a virtual machine.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kek/keyvault/identity.h"

#define MACHINE    "http://169.254.169.254"
#define CONNECT_MS 5000
#define TOTAL_MS   10000

#define ARC_FOLDER   "/var/opt/azcmagent/tokens/"
#define ARC_MAX_FILE 4096

enum selector { NO_SELECTOR, MSI_RES_ID, MI_RES_ID };

/* The endpoints: see the documentation of managed identities for Azure resources. */
struct place {
    const char *name, *endpoint, *version;
    const char *header, *value; /* that proves that the request was not forwarded by something else */
    enum selector selector;     /* the name of a resource id in the query; NO_SELECTOR: there is one identity only */
    bool posts;                 /* the resource is in a form */
    bool is_arc;
};

static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Find out which endpoint this machine has. @url has room for a URL. */
static enum blobseal_status choose(const struct bs_kv_ask *ask, struct place *p, char url[400],
                                   struct blobseal_error *err)
{
    const char *endpoint = variable("IDENTITY_ENDPOINT"), *header = variable("IDENTITY_HEADER");
    const char *shell = variable("MSI_ENDPOINT");

    (void)snprintf(url, 400, "%.300s/metadata/identity/oauth2/token",
                   ask->identity.endpoint != NULL ? ask->identity.endpoint : MACHINE);
    *p = (struct place){
        "the managed identity of this machine", url, "2018-02-01", "Metadata", "true", MSI_RES_ID, false, false};
    if (ask->identity.endpoint != NULL)
        return BLOBSEAL_OK;
    if (endpoint != NULL && variable("IDENTITY_SERVER_THUMBPRINT") != NULL)
        return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0,
                             "get a token: the managed identities of Service Fabric are not supported");
    if (endpoint != NULL && header != NULL)
        *p = (struct place){"the managed identity of this service",
                            endpoint,
                            "2019-08-01",
                            "X-IDENTITY-HEADER",
                            header,
                            MI_RES_ID,
                            false,
                            false};
    else if (endpoint != NULL && variable("IMDS_ENDPOINT") != NULL)
        *p = (struct place){
            "the managed identity of Azure Arc", endpoint, "2020-06-01", "Metadata", "true", NO_SELECTOR, false, true};
    else if (shell != NULL)
        *p = (struct place){"the identity of Cloud Shell", shell, "", "Metadata", "true", NO_SELECTOR, true, false};
    return BLOBSEAL_OK;
}

static void put_member(struct bs_builder *w, const char *name, const char *value)
{
    if (value == NULL)
        return;
    bs_put8(w, '&');
    bs_put_text(w, name);
    bs_put8(w, '=');
    bs_kv_put_escaped(w, value);
}

/* Write the URL with its query, zero-terminated. */
static enum blobseal_status write_url(struct bs_builder *w, const struct bs_kv_ask *ask, const struct place *p,
                                      struct blobseal_error *err)
{
    const struct blobseal_config_identity *i = &ask->identity;
    bool named = i->client_id != NULL || i->object_id != NULL || i->resource_id != NULL;

    if (named && p->selector == NO_SELECTOR) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "get a token: %s is the only one there is", p->name);
        blobseal_hint(err, "remove client_id, object_id and resource_id of the identity");
        return BLOBSEAL_E_CONFIG;
    }
    bs_put_text(w, p->endpoint);
    if (!p->posts) {
        bs_put_text(w, "?api-version=");
        bs_put_text(w, p->version);
        put_member(w, "resource", ask->session->settings.resource);
        put_member(w, "client_id", i->client_id);
        put_member(w, p->selector == MI_RES_ID ? "principal_id" : "object_id", i->object_id);
        put_member(w, p->selector == MI_RES_ID ? "mi_res_id" : "msi_res_id", i->resource_id);
    }
    bs_put8(w, 0);
    return w->ok ? BLOBSEAL_OK
                 : blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "get a token: the names of the identity are too long");
}

/* ---- Arc --------------------------------------------------------------------------------------------------------- */

enum blobseal_status bs_kv_arc_secret(struct bs_kv_text *out, const char *challenge, const char *folder,
                                      struct blobseal_error *err)
{
    static const char start[] = "Basic realm=", suffix[] = ".key";
    const char *path = strncmp(challenge, start, sizeof start - 1) == 0 ? challenge + sizeof start - 1 : "";
    size_t len = strlen(path), n = strlen(folder);
    enum blobseal_status st;

    *out = (struct bs_kv_text){NULL, 0};
    /* The endpoint chooses the file, so it must be one that only the agent of Arc writes. */
    if (strncmp(path, folder, n) != 0 || strchr(path + n, '/') != NULL || len < n + sizeof suffix ||
        strcmp(path + len - (sizeof suffix - 1), suffix) != 0)
        return blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0,
                             "get a token: the endpoint of Azure Arc names a file that is not one of its own");
    st = bs_kv_read_file(out, path, true, err);
    if (st == BLOBSEAL_OK && out->len > ARC_MAX_FILE) {
        st = blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "read %.200s: it is too long", path);
        blobseal_secret_free(out->p);
        *out = (struct bs_kv_text){NULL, 0};
    }
    return st;
}

/* Send the request again with the contents of the file that the answer names: who can read it may have a token. */
static enum blobseal_status answer_arc(const struct bs_kv_ask *ask, struct bs_http_request *q,
                                       struct bs_http_response *answer, struct blobseal_error *err)
{
    struct bs_kv_text secret;
    char *header = NULL;
    enum blobseal_status st = bs_kv_arc_secret(&secret, answer->challenge, ARC_FOLDER, err);

    if (st != BLOBSEAL_OK)
        return st;
    header = blobseal_secret_alloc(secret.len + 16);
    if (header == NULL) {
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "get a token: no memory");
    } else {
        (void)snprintf(header, secret.len + 16, "Basic %s", secret.p);
        q->headers[2] = (struct bs_http_header){"Authorization", header};
        st = bs_kv_token_send(ask->session->local, q, answer, ask->call, err);
    }
    blobseal_secret_free(header);
    blobseal_secret_free(secret.p);
    return st;
}

/* ---- Asking ------------------------------------------------------------------------------------------------------ */

static enum blobseal_status ask_place(const struct bs_kv_ask *ask, const struct place *p, const char *url,
                                      struct bs_kv_grant *grant, struct blobseal_error *err)
{
    uint8_t form[512];
    struct bs_builder w = bs_builder_start(form, sizeof form);
    char what[128];
    struct bs_http_response answer = {0};
    struct bs_http_request q = {
        .what = what, .url = url, .headers = {{p->header, p->value}}, .connect_ms = CONNECT_MS, .total_ms = TOTAL_MS};
    enum blobseal_status st;

    (void)snprintf(what, sizeof what, "get a token from %s", p->name);
    if (p->posts) {
        bs_put_text(&w, "resource=");
        bs_kv_put_escaped(&w, ask->session->settings.resource);
        q.body = form;
        q.body_len = w.len;
        q.headers[1] = (struct bs_http_header){"Content-Type", "application/x-www-form-urlencoded"};
    }
    st = bs_kv_token_send(ask->session->local, &q, &answer, ask->call, err);
    if (st == BLOBSEAL_OK && answer.status == 401 && p->is_arc)
        st = answer_arc(ask, &q, &answer, err);
    if (st == BLOBSEAL_OK)
        st = bs_kv_token_take(grant, what, &answer, err);
    bs_http_response_clear(&answer);
    return st;
}

enum blobseal_status bs_kv_ask_managed(const struct bs_kv_ask *ask, struct bs_kv_grant *grant,
                                       struct blobseal_error *err)
{
    uint8_t text[2048];
    struct bs_builder w = bs_builder_start(text, sizeof text);
    char endpoint[400];
    struct place place;
    enum blobseal_status st = choose(ask, &place, endpoint, err);

    if (st == BLOBSEAL_OK)
        st = write_url(&w, ask, &place, err);
    return st == BLOBSEAL_OK ? ask_place(ask, &place, (const char *)text, grant, err) : st;
}
