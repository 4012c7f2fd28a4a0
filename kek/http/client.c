/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP clients: handles of libcurl that are used again, and what happens to them in a forked child. */
#define _GNU_SOURCE /* SOCK_CLOEXEC */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "kek/http/http.h"
#include "kek/http/libcurl.h"

#define MAX_IDLE 8 /* handles that wait for the next request */

struct bs_http_client {
    struct bs_http_options options;
    pthread_mutex_t lock;
    uint64_t process; /* that made the idle handles */
    struct bs_http_handle *idle;
    size_t num_idle;
};

/* ---- Signals ----------------------------------------------------------------------------------------------------- */

_Static_assert(sizeof(sigset_t) <= sizeof((struct bs_http_quiet *)NULL)->old_mask, "room for a set of signals");

void bs_http_quiet_begin(struct bs_http_quiet *q)
{
    sigset_t all, old, pending;

    (void)sigfillset(&all);
    (void)sigpending(&pending);
    q->was_pending = sigismember(&pending, SIGPIPE) == 1;
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    memcpy(q->old_mask, &old, sizeof old);
}

void bs_http_quiet_end(const struct bs_http_quiet *q)
{
    const struct timespec at_once = {0};
    sigset_t old, pending, pipe_only;

    (void)sigpending(&pending);
    if (!q->was_pending && sigismember(&pending, SIGPIPE) == 1) {
        (void)sigemptyset(&pipe_only);
        (void)sigaddset(&pipe_only, SIGPIPE);
        (void)sigtimedwait(&pipe_only, NULL, &at_once);
    }
    memcpy(&old, q->old_mask, sizeof old);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

static void free_handle(struct bs_http_handle *h)
{
    struct bs_http_quiet q;

    bs_http_quiet_begin(&q);
    bs_curl.easy_cleanup(h->easy);
    (void)bs_curl.multi_cleanup(h->multi);
    bs_http_quiet_end(&q);
    free(h);
}

static struct bs_http_handle *new_handle(void)
{
    struct bs_http_handle *h = calloc(1, sizeof *h);

    if (h == NULL)
        return NULL;
    for (size_t i = 0; i < BS_HTTP_SOCKETS; i++)
        h->sockets[i] = -1;
    h->easy = bs_curl.easy_init();
    h->multi = bs_curl.multi_init();
    if (h->easy != NULL && h->multi != NULL)
        return h;
    free_handle(h);
    return NULL;
}

/*
 * Release a handle of the parent. Its connections belong to the parent, which goes on using them, and closing them
 * properly would send a message of TLS. So they are replaced by something to which nothing can be sent.
 */
static void abandon(struct bs_http_handle *h)
{
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (size_t i = 0; i < BS_HTTP_SOCKETS; i++)
        if (h->sockets[i] >= 0 && nowhere >= 0)
            (void)dup3(nowhere, h->sockets[i], O_CLOEXEC);
    if (nowhere < 0) {
        free(h); /* without a descriptor to spare, what libcurl holds is left alone */
        return;
    }
    (void)close(nowhere);
    free_handle(h);
}

/* Release the idle handles. The lock is held. */
static void drop_idle(struct bs_http_client *c)
{
    bool own = c->process == bs_process_id();

    while (c->idle != NULL) {
        struct bs_http_handle *h = c->idle;

        c->idle = h->next;
        if (own)
            free_handle(h);
        else
            abandon(h);
    }
    c->num_idle = 0;
    c->process = bs_process_id();
}

struct bs_http_handle *bs_http_take(struct bs_http_client *c)
{
    struct bs_http_handle *h;

    (void)pthread_mutex_lock(&c->lock);
    if (c->process != bs_process_id())
        drop_idle(c);
    h = c->idle;
    if (h != NULL) {
        c->idle = h->next;
        c->num_idle--;
    }
    (void)pthread_mutex_unlock(&c->lock);
    return h != NULL ? h : new_handle();
}

void bs_http_return(struct bs_http_client *c, struct bs_http_handle *h)
{
    bool kept;

    (void)pthread_mutex_lock(&c->lock);
    kept = c->process == bs_process_id() && c->num_idle < MAX_IDLE;
    if (kept) {
        h->next = c->idle;
        c->idle = h;
        c->num_idle++;
    }
    (void)pthread_mutex_unlock(&c->lock);
    if (!kept)
        free_handle(h);
}

/* ---- Clients ----------------------------------------------------------------------------------------------------- */

enum blobseal_status bs_http_client_new(struct bs_http_client **client, const struct bs_http_options *options,
                                        struct blobseal_error *err)
{
    enum blobseal_status st = bs_libcurl_load(err);
    struct bs_http_client *c;

    *client = NULL;
    if (st != BLOBSEAL_OK)
        return st;
    c = calloc(1, sizeof *c + bs_packed_len(options->ca_file));
    if (c == NULL || pthread_mutex_init(&c->lock, NULL) != 0) {
        free(c);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "use HTTPS: no memory");
    }
    c->options = *options;
    c->options.ca_file = bs_pack_string(&(char *){(char *)(c + 1)}, options->ca_file);
    c->process = bs_process_id();
    *client = c;
    return BLOBSEAL_OK;
}

void bs_http_client_free(struct bs_http_client *c)
{
    if (c == NULL)
        return;
    drop_idle(c);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

const struct bs_http_options *bs_http_client_options(const struct bs_http_client *c)
{
    return &c->options;
}
