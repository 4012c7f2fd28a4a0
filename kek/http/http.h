/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http: one bounded HTTPS client, on libcurl.
 *
 * TLS 1.2 or newer with verified certificates; no redirects, no proxies, no cookies, no compression, no credentials
 * from files. Every request has a deadline and a limit for its answer, and can be canceled. What is sent and received
 * is kept in secret memory here; libcurl and OpenSSL have buffers of their own, which they do not wipe.
 */
#ifndef BLOBSEAL_HTTP_H
#define BLOBSEAL_HTTP_H

#include "core/base/base.h"

#define BS_HTTP_MAX_BODY    65536 /* bytes of an answer without its headers */
#define BS_HTTP_MAX_HEADERS 32768
#define BS_HTTP_MAX_CODE    2048 /* bytes of a challenge that are kept    */

/* ---- Clients ----------------------------------------------------------------------------------------------------- */

struct bs_http_options {
    const char *ca_file; /* with certificates in PEM that are trusted instead of the system's; NULL: the system's */
    bool local;          /* http:// is allowed too, but only to loopback and link-local addresses                 */
};

/*
 * A client keeps connections that can be used again. Many threads may use it at once. A forked child may go on using
 * it: it makes connections of its own.
 */
struct bs_http_client;

/* Make a client. Errors: E_NOMEM, E_CONFIG (libcurl has no TLS). */
BLOBSEAL_MUST_USE enum blobseal_status
bs_http_client_new(struct bs_http_client **client, const struct bs_http_options *options, struct blobseal_error *err);
void bs_http_client_free(struct bs_http_client *client);

/* ---- Requests ---------------------------------------------------------------------------------------------------- */

struct bs_http_header {
    const char *name, *value; /* a header whose value is NULL is left out */
};

#define BS_HTTP_NUM_HEADERS 8

struct bs_http_request {
    const char *what; /* is being done, for messages: "ask the vault NAME"                                  */
    const char *url;
    struct bs_http_header headers[BS_HTTP_NUM_HEADERS];
    const uint8_t *body; /* NULL: GET, otherwise POST                                                        */
    size_t body_len;
    unsigned connect_ms, total_ms; /* limits of this request, besides the deadline of the call; 0: defaults  */
};

/* Why there is no answer. */
enum bs_http_failure {
    BS_HTTP_ANSWERED = 0,
    BS_HTTP_RESOLVE,   /* the name of the host is not known, or the name service does not answer     */
    BS_HTTP_CONNECT,   /* nothing accepts connections there                                          */
    BS_HTTP_TRUST,     /* the certificate is not that of a host that is trusted                      */
    BS_HTTP_TLS,       /* TLS failed otherwise                                                       */
    BS_HTTP_TIMEOUT,   /* no complete answer within the limits                                       */
    BS_HTTP_BROKEN,    /* the connection ended early                                                 */
    BS_HTTP_TOO_LARGE, /* the answer is larger than the limit                                        */
    BS_HTTP_MALFORMED, /* the answer is not HTTP                                                     */
    BS_HTTP_STOPPED,   /* canceled, no memory, or the request is not allowed: the status says which  */
};

/* Initialise it to zero, and release it with bs_http_response_clear(). */
struct bs_http_response {
    enum bs_http_failure failure;
    unsigned status;                  /* of HTTP                                                                */
    uint8_t *body;                    /* in secret memory, followed by a zero byte that @len does not count     */
    size_t len, cap;                  /* @cap: room for the body                                                */
    size_t headers_len;               /* bytes of all headers                                                   */
    char challenge[BS_HTTP_MAX_CODE]; /* WWW-Authenticate; several are joined with ", "                     */
    char retry_after[64];             /* Retry-After, as it came                                                */
    char retry_after_ms[24];          /* retry-after-ms or x-ms-retry-after-ms, as it came                      */
    char request_id[64];              /* x-ms-request-id                                                        */
    int64_t date;                     /* the server's clock in seconds since 1970, or -1                        */
    uint64_t sent_boottime_ms, sent_unix_ms; /* when the request was sent                                   */
};

/*
 * Send a request and wait for the answer, whatever its status is. Errors: E_UNAVAILABLE, E_CANCELED, E_NOMEM, E_CONFIG
 * (the URL is not allowed, or the CA file cannot be read).
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_http_send(struct bs_http_client *client,
                                                    const struct bs_http_request *request,
                                                    struct bs_http_response *response, const struct blobseal_call *call,
                                                    struct blobseal_error *err);

void bs_http_response_clear(struct bs_http_response *response);

/* ---- Waiting (retry.c) ------------------------------------------------------------------------------------------- */

/* Return the milliseconds of CLOCK_MONOTONIC, CLOCK_BOOTTIME and CLOCK_REALTIME. */
uint64_t bs_http_now_ms(void);
uint64_t bs_http_boottime_ms(void);
uint64_t bs_http_unix_ms(void);

/* Return how many milliseconds the server asks to wait, in any form that it uses, or -1 if it does not ask. */
int64_t bs_http_retry_after(const struct bs_http_response *response);

/* Return the pause before retry @n, from 0, if the server does not ask for one: 1, 2, 4, 8, 16 s, less up to a
 * quarter. */
uint64_t bs_http_backoff(unsigned n);

/*
 * Wait. Errors: E_CANCELED; E_UNAVAILABLE, without waiting, if the deadline of the call comes first. @what is being
 * done, for the message.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_http_wait(uint64_t ms, const char *what, const struct blobseal_call *call,
                                                    struct blobseal_error *err);

/* ---- Between client.c and transfer.c ----------------------------------------------------------------------------- */

#define BS_HTTP_SOCKETS 8

/* One connection, or a few, with what libcurl needs for a request. Used by one thread at a time. */
struct bs_http_handle {
    struct bs_http_handle *next;
    void *easy, *multi;           /* of libcurl */
    int sockets[BS_HTTP_SOCKETS]; /* open now, or -1 */
    bool local_only;              /* connect to loopback and link-local addresses only */
};

/* Run libcurl's functions between these two: no signal arrives, and a SIGPIPE that they cause disappears. Threads that
 * libcurl starts to resolve names take no signals. */
struct bs_http_quiet {
    unsigned char old_mask[128];
    bool was_pending;
};
void bs_http_quiet_begin(struct bs_http_quiet *q);
void bs_http_quiet_end(const struct bs_http_quiet *q);

/* Take a handle that is idle, or make one. Return NULL if there is no memory. */
struct bs_http_handle *bs_http_take(struct bs_http_client *client);
void bs_http_return(struct bs_http_client *client, struct bs_http_handle *handle);

const struct bs_http_options *bs_http_client_options(const struct bs_http_client *client);

#endif
