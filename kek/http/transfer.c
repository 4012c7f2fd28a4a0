/* SPDX-License-Identifier: Apache-2.0 */
/* One request: its options, the limits on its answer, and what its failures mean. */
#define _GNU_SOURCE /* SOCK_CLOEXEC */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/x509_vfy.h>

#include "kek/http/http.h"
#include "kek/http/libcurl.h"

#define CONNECT_MS 10000
#define TOTAL_MS   20000
#define SLICE_MS   100 /* how often the request to cancel is looked at */
#define FIRST_ROOM 4000

/* A request that is under way. */
struct transfer {
    const struct bs_http_request *request;
    const struct blobseal_call *call;
    struct bs_http_response *response;
    const char *ca_file; /* NULL: those of the system */
    struct curl_slist lines[BS_HTTP_NUM_HEADERS + 3];
    char *text; /* of the lines, in secret memory */
    uint64_t end_ms;
    bool too_large, no_memory;
    char detail[CURL_ERROR_SIZE];
};

/* ---- Which addresses --------------------------------------------------------------------------------------------- */

/* Return true if @url starts with http://, and with a host that is a name or an address of this machine or its link. */
static bool is_local_url(const char *url)
{
    static const char *const hosts[] = {"localhost", "127.", "[::1]", "169.254."};

    if (strncmp(url, "http://", 7) != 0)
        return false;
    for (size_t i = 0; i < BS_COUNT(hosts); i++)
        if (strncasecmp(url + 7, hosts[i], strlen(hosts[i])) == 0)
            return true;
    return false;
}

/* Return true for an address of this machine or its link. */
static bool is_local_address(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) {
        uint32_t ip = ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr);

        return ip >> 24 == 127 || ip >> 16 == 0xA9FE;
    }
    return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct bs_http_handle *h = ctx;

    if (purpose != CURLSOCKTYPE_IPCXN || (h->local_only && !is_local_address(&a->addr)))
        return CURL_SOCKET_BAD;
    for (size_t i = 0; i < BS_HTTP_SOCKETS; i++) {
        if (h->sockets[i] >= 0)
            continue;
        h->sockets[i] = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
        return h->sockets[i] >= 0 ? h->sockets[i] : CURL_SOCKET_BAD;
    }
    return CURL_SOCKET_BAD;
}

static int close_socket(void *ctx, curl_socket_t s)
{
    struct bs_http_handle *h = ctx;

    for (size_t i = 0; i < BS_HTTP_SOCKETS; i++)
        if (h->sockets[i] == s)
            h->sockets[i] = -1;
    return close(s);
}

/* ---- The answer -------------------------------------------------------------------------------------------------- */

/* Make room for @more bytes of the body and a zero byte. */
static bool make_room(struct transfer *t, size_t more)
{
    struct bs_http_response *r = t->response;
    size_t cap = r->cap;
    uint8_t *p;

    if (more > BS_HTTP_MAX_BODY - r->len) {
        t->too_large = true;
        return false;
    }
    if (r->len + more < r->cap)
        return true;
    while (cap <= r->len + more)
        cap = cap == 0 ? FIRST_ROOM : 2 * cap;
    p = blobseal_secret_alloc(cap);
    if (p == NULL) {
        t->no_memory = true;
        return false;
    }
    if (r->len > 0)
        memcpy(p, r->body, r->len);
    blobseal_secret_free(r->body);
    r->body = p;
    r->cap = cap;
    return true;
}

static size_t take_body(char *data, size_t one, size_t len, void *ctx)
{
    struct transfer *t = ctx;

    (void)one; /* always 1 */
    if (!make_room(t, len))
        return 0;
    memcpy(t->response->body + t->response->len, data, len);
    t->response->len += len;
    t->response->body[t->response->len] = '\0';
    return len;
}

/* If the line is the header @name, copy its value to @out, after what @out has already if values are @joined. */
static void take_value(const char *line, size_t len, const char *name, char *out, size_t cap, bool joined)
{
    size_t n = strlen(name), used = joined ? strlen(out) : 0;

    if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
        return;
    line += n + 1;
    len -= n + 1;
    while (len > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' '))
        len--;
    (void)snprintf(out + used, cap - used, "%s%.*s", used > 0 ? ", " : "", (int)len, line);
}

static size_t take_header(char *data, size_t one, size_t len, void *ctx)
{
    struct transfer *t = ctx;
    struct bs_http_response *r = t->response;
    char date[64] = "";

    (void)one;
    r->headers_len += len;
    if (r->headers_len > BS_HTTP_MAX_HEADERS) {
        t->too_large = true;
        return 0;
    }
    take_value(data, len, "WWW-Authenticate", r->challenge, sizeof r->challenge, true);
    take_value(data, len, "Retry-After", r->retry_after, sizeof r->retry_after, false);
    take_value(data, len, "retry-after-ms", r->retry_after_ms, sizeof r->retry_after_ms, false);
    take_value(data, len, "x-ms-retry-after-ms", r->retry_after_ms, sizeof r->retry_after_ms, false);
    take_value(data, len, "x-ms-request-id", r->request_id, sizeof r->request_id, false);
    take_value(data, len, "Date", date, sizeof date, false);
    if (date[0] != '\0')
        r->date = bs_curl.getdate(date, NULL);
    return len;
}

/* ---- The request ------------------------------------------------------------------------------------------------- */

/*
 * Write the headers of the request as libcurl wants them, into secret memory, because one of them may be a token.
 * libcurl uses the list of the caller and makes no copy of it.
 */
static bool write_headers(struct transfer *t)
{
    static const struct bs_http_header own[] = {{"Accept", "application/json"}, {"Expect", ""}};
    const struct bs_http_header *from[BS_COUNT(t->lines)];
    size_t num = 0, len = 1, used = 0;

    for (size_t i = 0; i < BS_COUNT(own); i++)
        from[num++] = &own[i];
    for (size_t i = 0; i < BS_HTTP_NUM_HEADERS; i++)
        if (t->request->headers[i].value != NULL)
            from[num++] = &t->request->headers[i];
    for (size_t i = 0; i < num; i++)
        len += strlen(from[i]->name) + strlen(from[i]->value) + 3;
    t->text = blobseal_secret_alloc(len);
    for (size_t i = 0; i < num && t->text != NULL; i++) {
        t->lines[i].data = t->text + used;
        t->lines[i].next = i + 1 < num ? &t->lines[i + 1] : NULL;
        used += 1 + (size_t)snprintf(t->text + used, len - used, from[i]->value[0] != '\0' ? "%s: %s" : "%s:%s",
                                     from[i]->name, from[i]->value);
    }
    return t->text != NULL;
}

/* Set the options that are the same for all requests of a client. */
static bool set_rules(CURL *c, struct bs_http_handle *h, const struct bs_http_options *o)
{
    bool ok = bs_curl.easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_PROTOCOLS_STR, h->local_only ? "http" : "https") == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_USERAGENT, "blobseal") == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_OPENSOCKETDATA, h) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_CLOSESOCKETFUNCTION, close_socket) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_CLOSESOCKETDATA, h) == CURLE_OK;

    if (ok && o->ca_file != NULL) /* and no other authority */
        ok = bs_curl.easy_setopt(c, CURLOPT_CAINFO, o->ca_file) == CURLE_OK &&
             bs_curl.easy_setopt(c, CURLOPT_CAPATH, NULL) == CURLE_OK;
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Do not wait for a thread that resolves a name after the deadline. */
    (void)bs_curl.easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
#endif
    return ok;
}

/* Return the path and the query of @url. Return NULL if it has no path. */
static const char *target_of(const char *url)
{
    const char *host = strstr(url, "://"), *path = host != NULL ? strpbrk(host + 3, "/?#") : NULL;

    return path != NULL && *path == '/' && strchr(path, '#') == NULL ? path : NULL;
}

/*
 * The target is set in addition to the URL, because libcurl 7.88 sends a request without its query if there is no
 * memory for the query, and what the vault says then is blamed on the data.
 */
static bool set_request(CURL *c, struct transfer *t, uint64_t left_ms)
{
    const struct bs_http_request *q = t->request;
    long connect_ms = q->connect_ms != 0 ? (long)q->connect_ms : CONNECT_MS;
    bool ok = bs_curl.easy_setopt(c, CURLOPT_URL, q->url) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_REQUEST_TARGET, target_of(q->url)) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_HTTPHEADER, t->lines) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_WRITEDATA, t) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_HEADERDATA, t) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_ERRORBUFFER, t->detail) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, connect_ms) == CURLE_OK &&
              bs_curl.easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)left_ms) == CURLE_OK;

    if (ok && q->body != NULL)
        ok = bs_curl.easy_setopt(c, CURLOPT_POST, 1L) == CURLE_OK &&
             bs_curl.easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)q->body_len) == CURLE_OK &&
             bs_curl.easy_setopt(c, CURLOPT_POSTFIELDS, q->body) == CURLE_OK;
    return ok;
}

/* ---- What failures mean ------------------------------------------------------------------------------------------ */

static const struct failure {
    enum bs_http_failure failure;
    const char *text, *hint;
} failures[] = {
    {BS_HTTP_RESOLVE, "the name of the host is not known", "check the name of the host, and the network"},
    {BS_HTTP_CONNECT, "it accepts no connection", "check the network, and try again later"},
    {BS_HTTP_TRUST, "its certificate is not trusted", "check the clock of this machine, and the CA file of that host"},
    {BS_HTTP_TLS, "TLS failed", "look for something between this machine and that host that changes the traffic"},
    {BS_HTTP_TIMEOUT, "there was no answer in time", "check the network, and try again later"},
    {BS_HTTP_BROKEN, "the connection ended early", "try again later"},
    {BS_HTTP_TOO_LARGE, "the answer is too large", "check that this is the right host"},
    {BS_HTTP_MALFORMED, "the answer is not HTTP", "check that this is the right host"},
};

static enum bs_http_failure failure_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return BS_HTTP_ANSWERED;
    case CURLE_COULDNT_RESOLVE_HOST:
        return BS_HTTP_RESOLVE;
    case CURLE_COULDNT_CONNECT:
        return BS_HTTP_CONNECT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM:
        return BS_HTTP_TRUST;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CIPHER:
        return BS_HTTP_TLS;
    case CURLE_OPERATION_TIMEDOUT:
        return BS_HTTP_TIMEOUT;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return BS_HTTP_BROKEN;
    case CURLE_FILESIZE_EXCEEDED:
        return BS_HTTP_TOO_LARGE;
    default:
        return BS_HTTP_MALFORMED;
    }
}

static enum blobseal_status stopped(struct transfer *t, enum blobseal_status st, const char *text,
                                    struct blobseal_error *err)
{
    t->response->failure = BS_HTTP_STOPPED;
    return blobseal_fail(err, st, 0, "%s: %s", t->request->what, text);
}

/* Return true if the file has certificates, so that what libcurl lacked was memory. */
static bool has_certificates(const char *path)
{
    X509_STORE *store = path != NULL ? X509_STORE_new() : NULL;
    bool ok = store != NULL && X509_STORE_load_file(store, path) == 1;

    X509_STORE_free(store);
    return ok;
}

/* Fill @err for what libcurl reports. */
static enum blobseal_status judge(struct transfer *t, CURLcode code, struct blobseal_error *err)
{
    const struct failure *row = failures;
    enum bs_http_failure f = t->too_large ? BS_HTTP_TOO_LARGE : failure_of(code);

    if (t->no_memory || code == CURLE_OUT_OF_MEMORY || code == CURLE_FAILED_INIT)
        return stopped(t, BLOBSEAL_E_NOMEM, "no memory", err);
    if (code == CURLE_SSL_CACERT_BADFILE && (bs_memory_is_exhausted() || has_certificates(t->ca_file)))
        return stopped(t, BLOBSEAL_E_NOMEM, "no memory", err);
    if (code == CURLE_SSL_CACERT_BADFILE) {
        (void)stopped(t, BLOBSEAL_E_CONFIG, "the file with the certificates of authorities cannot be used", err);
        blobseal_hint(err, "check that it is readable, and has certificates in PEM");
        return BLOBSEAL_E_CONFIG;
    }
    t->response->failure = f;
    if (f == BS_HTTP_ANSWERED)
        return BLOBSEAL_OK;
    while (row->failure != f)
        row++;
    (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "%s: %s%s%.120s%s", t->request->what, row->text,
                        t->detail[0] != '\0' ? " (" : "", t->detail, t->detail[0] != '\0' ? ")" : "");
    blobseal_hint(err, "%s", row->hint);
    return BLOBSEAL_E_UNAVAILABLE;
}

/* ---- Running it -------------------------------------------------------------------------------------------------- */

/* Return the milliseconds that are left for the request. */
static uint64_t left_ms(const struct transfer *t)
{
    uint64_t now = bs_http_now_ms();

    return now < t->end_ms ? t->end_ms - now : 0;
}

/* Drive libcurl until the request has ended, or must end. */
static enum blobseal_status drive(struct transfer *t, struct bs_http_handle *h, struct blobseal_error *err)
{
    CURLcode code = CURLE_OPERATION_TIMEDOUT;
    struct bs_http_quiet q;
    CURLMcode mc;
    CURLMsg *msg;
    int running = 1, n;

    for (;;) {
        bs_http_quiet_begin(&q);
        mc = bs_curl.multi_perform(h->multi, &running);
        bs_http_quiet_end(&q);
        if (mc != CURLM_OK)
            return stopped(t, mc == CURLM_OUT_OF_MEMORY ? BLOBSEAL_E_NOMEM : BLOBSEAL_E_INTERNAL, "libcurl failed",
                           err);
        if (running == 0)
            break;
        if (__atomic_load_n(t->call->cancel, __ATOMIC_RELAXED) != 0)
            return stopped(t, BLOBSEAL_E_CANCELED, "the program asked to stop", err);
        if (left_ms(t) == 0)
            return judge(t, CURLE_OPERATION_TIMEDOUT, err);
        (void)bs_curl.multi_poll(h->multi, NULL, 0, left_ms(t) < SLICE_MS ? (int)left_ms(t) : SLICE_MS, NULL);
    }
    while ((msg = bs_curl.multi_info_read(h->multi, &n)) != NULL)
        if (msg->msg == CURLMSG_DONE)
            code = msg->data.result;
    return judge(t, code, err);
}

static enum blobseal_status run(struct transfer *t, struct bs_http_handle *h, const struct bs_http_options *o,
                                struct blobseal_error *err)
{
    enum blobseal_status st;
    long status = 0;
    struct bs_http_quiet q;

    h->local_only = strncmp(t->request->url, "https://", 8) != 0;
    bs_curl.easy_reset(h->easy);
    if (!write_headers(t) || !set_rules(h->easy, h, o) || !set_request(h->easy, t, left_ms(t)) ||
        bs_curl.multi_add_handle(h->multi, h->easy) != CURLM_OK)
        return stopped(t, BLOBSEAL_E_NOMEM, "no memory", err);
    t->response->sent_boottime_ms = bs_http_boottime_ms();
    t->response->sent_unix_ms = bs_http_unix_ms();
    st = drive(t, h, err);
    if (st == BLOBSEAL_OK) {
        (void)bs_curl.easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
        t->response->status = status > 0 && status < 1000 ? (unsigned)status : 0;
    }
    bs_http_quiet_begin(&q);
    (void)bs_curl.multi_remove_handle(h->multi, h->easy);
    bs_curl.easy_reset(h->easy); /* it points into this request */
    bs_http_quiet_end(&q);
    return st;
}

enum blobseal_status bs_http_send(struct bs_http_client *client, const struct bs_http_request *request,
                                  struct bs_http_response *response, const struct blobseal_call *call,
                                  struct blobseal_error *err)
{
    const struct bs_http_options *o = bs_http_client_options(client);
    struct transfer t = {.request = request, .call = call, .response = response, .ca_file = o->ca_file};
    struct bs_http_handle *h;
    enum blobseal_status st;

    bs_http_response_clear(response);
    response->date = -1;
    if (strncmp(request->url, "https://", 8) != 0 && !(o->local && is_local_url(request->url))) {
        (void)stopped(&t, BLOBSEAL_E_CONFIG, "only https is allowed", err);
        blobseal_hint(err, "correct the URL: http is only for endpoints of this machine");
        return BLOBSEAL_E_CONFIG;
    }
    t.end_ms = bs_http_now_ms() + (request->total_ms != 0 ? request->total_ms : TOTAL_MS);
    if (call->deadline_ms != 0 && call->deadline_ms < t.end_ms)
        t.end_ms = call->deadline_ms;
    if (left_ms(&t) == 0)
        return judge(&t, CURLE_OPERATION_TIMEDOUT, err);
    h = bs_http_take(client);
    if (h == NULL)
        return stopped(&t, BLOBSEAL_E_NOMEM, "no memory", err);
    st = run(&t, h, o, err);
    bs_http_return(client, h);
    blobseal_secret_free(t.text);
    if (st != BLOBSEAL_OK) {
        enum bs_http_failure f = response->failure;

        bs_http_response_clear(response);
        response->failure = f;
    }
    return st;
}

void bs_http_response_clear(struct bs_http_response *response)
{
    blobseal_secret_free(response->body);
    *response = (struct bs_http_response){0};
}
