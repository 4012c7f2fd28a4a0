/* SPDX-License-Identifier: Apache-2.0 */
/* What the kinds of identities have in common: requests for tokens, their answers and refusals, and files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kek/keyvault/identity.h"

#define MAX_RETRIES 3

/* ---- Files ------------------------------------------------------------------------------------------------------- */

static enum blobseal_status read_all(int fd, struct bs_kv_text *out, const char *path, struct blobseal_error *err)
{
    while (out->len < BS_KV_MAX_FILE) {
        ssize_t n = read(fd, out->p + out->len, BS_KV_MAX_FILE - out->len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read %.200s", path);
        if (n == 0)
            break;
        out->len += (size_t)n;
    }
    if (out->len == BS_KV_MAX_FILE)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read %.200s: it is too long", path);
    while (out->len > 0 && strchr(" \t\r\n", out->p[out->len - 1]) != NULL && out->p[out->len - 1] != '\0')
        out->len--;
    out->p[out->len] = '\0';
    if (out->len == 0 || memchr(out->p, 0, out->len) != NULL)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read %.200s: it is empty, or has a zero byte in it", path);
    return BLOBSEAL_OK;
}

enum blobseal_status bs_kv_read_file(struct bs_kv_text *out, const char *path, bool shared, struct blobseal_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    enum blobseal_status st = BLOBSEAL_OK;
    struct stat about;

    *out = (struct bs_kv_text){NULL, 0};
    if (fd < 0 || fstat(fd, &about) != 0) {
        st = blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "open %.200s", path);
    } else if (!shared && S_ISREG(about.st_mode) && (about.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        st = blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the file %.200s can be read by others (mode %04o)", path,
                           (unsigned)about.st_mode & 07777);
        blobseal_hint(err, "chmod 600 %.160s", path);
    } else {
        out->p = blobseal_secret_alloc(BS_KV_MAX_FILE + 1);
        if (out->p != NULL)
            st = read_all(fd, out, path, err);
        else
            st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read %.200s: no memory", path);
    }
    if (fd >= 0)
        (void)close(fd);
    if (st != BLOBSEAL_OK) {
        blobseal_secret_free(out->p);
        *out = (struct bs_kv_text){NULL, 0};
    }
    return st;
}

/* ---- Answers ----------------------------------------------------------------------------------------------------- */

enum blobseal_status bs_kv_grant_set(struct bs_kv_grant *grant, const char *what, const char *text, size_t len,
                                     struct blobseal_error *err)
{
    static const char scheme[] = "Bearer ";
    struct bs_kv_token *t;

    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~') /* no line of a header may be added */
            len = 0;
    if (len == 0 || len > BS_KV_MAX_TOKEN)
        return blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "%.100s: the answer contains no token", what);
    t = blobseal_secret_alloc(sizeof *t + sizeof scheme + len);
    if (t == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "%.100s: no memory", what);
    memset(t, 0, sizeof *t);
    memcpy(t->text, scheme, sizeof scheme - 1);
    memcpy(t->text + sizeof scheme - 1, text, len);
    t->len = sizeof scheme - 1 + len;
    t->text[t->len] = '\0';
    blobseal_secret_free(grant->token);
    grant->token = t;
    return BLOBSEAL_OK;
}

/* Read the members of an answer. The names of az differ from those of the others. */
static void read_answer(struct bs_json *j, struct bs_slice *token, struct bs_kv_grant *grant, int64_t *expires_on)
{
    struct bs_slice name;

    if (!bs_json_object(j))
        return;
    while (bs_json_member(j, &name)) {
        if (bs_slice_is(name, "access_token") || bs_slice_is(name, "accessToken"))
            (void)bs_json_string(j, token);
        else if (bs_slice_is(name, "expires_in"))
            (void)bs_kv_json_number(j, &grant->life);
        else if (bs_slice_is(name, "expires_on"))
            (void)bs_kv_json_number(j, expires_on);
        else if (bs_slice_is(name, "refresh_in"))
            (void)bs_kv_json_number(j, &grant->refresh_in);
        else
            (void)bs_json_skip(j);
    }
}

#define SHORT_LIFE 300 /* s: of a token that does not say */

enum blobseal_status bs_kv_grant_parse(struct bs_kv_grant *grant, const char *what, uint8_t *text, size_t len,
                                       struct blobseal_error *err)
{
    struct bs_json j = bs_kv_json_start(text, len);
    struct bs_slice token = {(const uint8_t *)"", 0};
    int64_t expires_on = 0;

    read_answer(&j, &token, grant, &expires_on);
    if (!bs_json_end(&j) || token.len == 0) {
        (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "%.100s: the answer contains no token", what);
        blobseal_hint(err, "check what answers there");
        return BLOBSEAL_E_UNAVAILABLE;
    }
    if (grant->life <= 0 && expires_on > 0)
        grant->life = expires_on - (int64_t)time(NULL);
    if (grant->life <= 0)
        grant->life = expires_on > 0 ? 10 : SHORT_LIFE; /* by a clock that differs; the vault decides */
    return bs_kv_grant_set(grant, what, (const char *)token.p, token.len, err);
}

/* ---- Refusals ---------------------------------------------------------------------------------------------------- */

/* What authorities say most often: see the reference of AADSTS error codes. */
static const struct {
    const char *code, *text, *hint;
} refusals[] = {
    {"AADSTS7000215", "the client secret is wrong",
     "check the file with the client secret: its value is needed, not "
     "its id"},
    {"AADSTS7000222", "the client secret has expired", "create a new client secret"},
    {"AADSTS700016", "the application is not in this tenant", "check client_id and tenant_id of the identity"},
    {"AADSTS700027", "the certificate is not that of the application", "register the certificate with the application"},
    {"AADSTS70021", "no federated credential of the application fits the token",
     "compare issuer, subject and audience of the federated credential with those of the token"},
    {"AADSTS700213", "no federated credential of the application fits the token",
     "compare issuer, subject and audience of the federated credential with those of the token"},
    {"AADSTS90002", "there is no such tenant", "check tenant_id of the identity"},
    {"Identity not found", "there is no such managed identity, or there are several and none is named",
     "name the managed identity: client_id, object_id or resource_id"},
};

/* Find "error" and "error_description" of an answer. */
static void read_refusal(struct bs_http_response *answer, char error[64], char description[160])
{
    struct bs_json j = bs_kv_json_start(answer->body, answer->len);
    struct bs_slice name, s;

    error[0] = description[0] = '\0';
    if (!bs_json_object(&j))
        return;
    while (bs_json_member(&j, &name)) {
        bool is_error = bs_slice_is(name, "error"), describes = bs_slice_is(name, "error_description");

        if ((!is_error && !describes) || j.p == j.end || *j.p == '{') {
            (void)bs_json_skip(&j);
            continue;
        }
        if (bs_json_string(&j, &s))
            (void)snprintf(is_error ? error : description, is_error ? 64 : 160, "%.*s",
                           (int)(s.len < 160 ? s.len : 159), (const char *)s.p);
    }
    description[strcspn(description, "\r\n")] = '\0';
}

/* Report why the endpoint refuses to issue a token. */
static enum blobseal_status refuse(const char *what, struct bs_http_response *answer, struct blobseal_error *err)
{
    bool later = answer->status == 429 || answer->status >= 500 || answer->status == 408 || answer->status < 400;
    enum blobseal_status st = later ? BLOBSEAL_E_UNAVAILABLE : BLOBSEAL_E_DENIED;
    char error[64], description[160];

    read_refusal(answer, error, description);
    for (size_t i = 0; i < BS_COUNT(refusals) && !later; i++) {
        size_t len = strlen(refusals[i].code);

        if (strncmp(description, refusals[i].code, len) != 0 || (description[len] >= '0' && description[len] <= '9'))
            continue;
        (void)blobseal_fail(err, st, 0, "%.100s: %s (%.150s)", what, refusals[i].text, description);
        blobseal_hint(err, "%s", refusals[i].hint);
        return st;
    }
    (void)blobseal_fail(err, st, 0, "%.100s: it answers with status %u%s%.60s%s%.150s", what, answer->status,
                        error[0] != '\0' ? ", " : "", error, description[0] != '\0' ? ": " : "", description);
    blobseal_hint(err, "%s", later ? "try again later" : "check the identity in the configuration");
    return st;
}

enum blobseal_status bs_kv_token_take(struct bs_kv_grant *grant, const char *what, struct bs_http_response *answer,
                                      struct blobseal_error *err)
{
    return answer->status == 200 ? bs_kv_grant_parse(grant, what, answer->body, answer->len, err)
                                 : refuse(what, answer, err);
}

/* ---- Requests ---------------------------------------------------------------------------------------------------- */

/* Return true if another attempt may help after this answer. A managed identity answers 404 and 410 while it is set up
 * or updated. */
static bool may_help(unsigned status)
{
    return status == 404 || status == 408 || status == 410 || status == 429 || status >= 500;
}

enum blobseal_status bs_kv_token_send(struct bs_http_client *client, const struct bs_http_request *request,
                                      struct bs_http_response *answer, const struct blobseal_call *call,
                                      struct blobseal_error *err)
{
    struct blobseal_error own;
    enum blobseal_status st = BLOBSEAL_OK, waited = BLOBSEAL_OK;
    bool again = true;

    err = err != NULL ? err : &own;
    for (unsigned tries = 0; again && waited == BLOBSEAL_OK; tries++) {
        st = bs_http_send(client, request, answer, call, err);
        again = tries < MAX_RETRIES &&
                (st == BLOBSEAL_OK ? may_help(answer->status)
                                   : answer->failure == BS_HTTP_CONNECT || answer->failure == BS_HTTP_BROKEN);
        if (again)
            waited = bs_kv_pause(answer, tries, request->what, &again, call, err);
    }
    return waited != BLOBSEAL_OK ? waited : st;
}

void bs_kv_put_escaped(struct bs_builder *w, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    static const char hex[] = "0123456789ABCDEF";

    for (; *text != '\0'; text++) {
        uint8_t c = (uint8_t)*text;

        if (strchr(plain, c) != NULL) {
            bs_put8(w, c);
            continue;
        }
        bs_put8(w, '%');
        bs_put8(w, (uint8_t)hex[c >> 4]);
        bs_put8(w, (uint8_t)hex[c & 15]);
    }
}

enum blobseal_status bs_kv_token_url(char *url, size_t cap, const struct bs_kv_ask *ask, struct blobseal_error *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
    size_t len = strlen(ask->authority);

    if (ask->tenant == NULL || ask->tenant[0] == '\0' || ask->tenant[strspn(ask->tenant, allowed)] != '\0' ||
        strlen(ask->tenant) > 100) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "get a token: the tenant is not set, or is not one");
        blobseal_hint(err, "set tenant_id of the identity");
        return BLOBSEAL_E_CONFIG;
    }
    while (len > 0 && ask->authority[len - 1] == '/')
        len--;
    (void)snprintf(url, cap, "%.*s/%s/oauth2/v2.0/token", (int)(len < 300 ? len : 300), ask->authority, ask->tenant);
    return BLOBSEAL_OK;
}

static void put_member(struct bs_builder *w, const char *name, const char *value)
{
    if (value == NULL)
        return;
    if (w->len > 0)
        bs_put8(w, '&');
    bs_put_text(w, name);
    bs_put8(w, '=');
    bs_kv_put_escaped(w, value);
}

#define MAX_FORM 65536

static void write_form(struct bs_builder *w, const struct bs_kv_ask *ask, const struct bs_kv_proof_of_client *proof)
{
    char scope[320];

    (void)snprintf(scope, sizeof scope, "%.300s/.default", ask->session->settings.resource);
    put_member(w, "client_id", proof->client_id);
    put_member(w, "scope", scope);
    put_member(w, "grant_type", "client_credentials");
    put_member(w, "client_secret", proof->secret);
    if (proof->assertion != NULL)
        put_member(w, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    put_member(w, "client_assertion", proof->assertion);
    put_member(w, "claims", ask->claims);
}

enum blobseal_status bs_kv_oauth(const struct bs_kv_ask *ask, const struct bs_kv_proof_of_client *proof,
                                 struct bs_kv_grant *grant, struct blobseal_error *err)
{
    char url[512], what[400];
    struct bs_http_response answer = {0};
    struct bs_http_request q = {
        .what = what, .url = url, .headers = {{"Content-Type", "application/x-www-form-urlencoded"}}};
    struct bs_builder w;
    uint8_t *form;
    enum blobseal_status st = bs_kv_token_url(url, sizeof url, ask, err);

    if (st != BLOBSEAL_OK)
        return st;
    (void)snprintf(what, sizeof what, "get a token from %.100s", ask->authority);
    form = blobseal_secret_alloc(MAX_FORM);
    if (form == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "%s: no memory", what);
    w = bs_builder_start(form, MAX_FORM);
    write_form(&w, ask, proof);
    q.body = form;
    q.body_len = w.len;
    q.total_ms = (unsigned)ask->session->settings.request_ms;
    st = w.ok ? bs_kv_token_send(ask->session->authority, &q, &answer, ask->call, err)
              : blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "%s: the secret is too long", what);
    blobseal_secret_free(form);
    if (st == BLOBSEAL_OK)
        st = bs_kv_token_take(grant, what, &answer, err);
    bs_http_response_clear(&answer);
    return st;
}
