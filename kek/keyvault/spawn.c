/* SPDX-License-Identifier: Apache-2.0 */
/* Running a command that prints a token: no shell, no input, a limit for time and output, and nothing left running. */
#define _GNU_SOURCE /* pipe2, posix_spawn_file_actions_addchdir_np */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kek/keyvault/identity.h"

#define MAX_OUTPUT 65536
#define SLICE_MS   50

extern char **environ; // NOLINT(readability-redundant-declaration)

/* A command that runs. */
struct child {
    const char *name;
    pid_t pid;
    int out, err; /* the ends of the pipes that are read, or -1 */
    struct bs_kv_text *text;
    char said[BS_KV_SAID];
    size_t said_len;
    bool too_long;
};

/* ---- Starting ---------------------------------------------------------------------------------------------------- */

/* The child gets no descriptors of this process, no ignored or blocked signals, and a process group of its own, so that
 * what it starts can be ended with it. */
static int prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, int out, int err)
{
    sigset_t none, all;
    int e = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    e = e != 0 ? e : posix_spawn_file_actions_adddup2(actions, out, STDOUT_FILENO);
    e = e != 0 ? e : posix_spawn_file_actions_adddup2(actions, err, STDERR_FILENO);
    e = e != 0 ? e : posix_spawn_file_actions_addchdir_np(actions, "/");
#if defined __GLIBC__ && __GLIBC_PREREQ(2, 34)
    e = e != 0 ? e : posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
#endif
    e = e != 0 ? e : posix_spawnattr_setsigmask(attributes, &none);
    e = e != 0 ? e : posix_spawnattr_setsigdefault(attributes, &all);
    e = e != 0 ? e
               : posix_spawnattr_setflags(attributes,
                                          POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    return e;
}

static int start(struct child *c, const char *const *command)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int out[2] = {-1, -1}, err[2] = {-1, -1}, e;

    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
        e = errno;
    } else if ((e = posix_spawn_file_actions_init(&actions)) == 0) {
        e = posix_spawnattr_init(&attributes);
        if (e == 0) {
            e = prepare(&actions, &attributes, out[1], err[1]);
            if (e == 0)
                e = posix_spawnp(&c->pid, command[0], &actions, &attributes, (char *const *)command, environ);
            (void)posix_spawnattr_destroy(&attributes);
        }
        (void)posix_spawn_file_actions_destroy(&actions);
    }
    if (out[1] >= 0)
        (void)close(out[1]);
    if (err[1] >= 0)
        (void)close(err[1]);
    c->out = out[0];
    c->err = err[0];
    return e;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static void read_out(struct child *c)
{
    ssize_t n = read(c->out, c->text->p + c->text->len, MAX_OUTPUT - c->text->len);

    if (n > 0)
        c->text->len += (size_t)n;
    c->too_long = c->text->len == MAX_OUTPUT;
    if (n == 0 || (n < 0 && errno != EINTR)) {
        (void)close(c->out);
        c->out = -1;
    }
}

/* Keep the beginning, and drop the rest. */
static void read_err(struct child *c)
{
    char rest[512];
    size_t room = sizeof c->said - 1 - c->said_len;
    ssize_t n = read(c->err, room > 0 ? c->said + c->said_len : rest, room > 0 ? room : sizeof rest);

    if (n > 0 && room > 0)
        c->said_len += (size_t)n;
    if (n == 0 || (n < 0 && errno != EINTR)) {
        (void)close(c->err);
        c->err = -1;
    }
}

/* Read until the command closes its output. What it leaves running may keep stderr. */
static enum blobseal_status read_all(struct child *c, uint64_t end_ms, const struct blobseal_call *call,
                                     struct blobseal_error *err)
{
    while (c->out >= 0 && !c->too_long) {
        struct pollfd fds[2] = {{c->out, POLLIN, 0}, {c->err, POLLIN, 0}};

        if (__atomic_load_n(call->cancel, __ATOMIC_RELAXED) != 0)
            return blobseal_fail(err, BLOBSEAL_E_CANCELED, 0, "run %.150s: the program asked to stop", c->name);
        if (bs_http_now_ms() >= end_ms) {
            (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "run %.150s: it took too long", c->name);
            blobseal_hint(err, "run it on a terminal to see what it waits for");
            return BLOBSEAL_E_UNAVAILABLE;
        }
        (void)poll(fds, 2, SLICE_MS);
        if (fds[0].revents != 0)
            read_out(c);
        if (fds[1].revents != 0)
            read_err(c);
    }
    return BLOBSEAL_OK;
}

/* ---- Ending ------------------------------------------------------------------------------------------------------ */

/* Wait until the command has ended, at most until @end_ms. Return 0, its exit status, or -1 if it is not known. */
static int wait_for(struct child *c, uint64_t end_ms)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    int status = 0;
    pid_t pid;

    while ((pid = waitpid(c->pid, &status, WNOHANG)) == 0 || (pid < 0 && errno == EINTR)) {
        if (bs_http_now_ms() >= end_ms)
            return -2;
        (void)nanosleep(&pause, NULL);
    }
    if (pid < 0)
        return -1; /* the program has reaped it, or ignores SIGCHLD: what was printed counts */
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void end(struct child *c)
{
    int status;

    (void)kill(-c->pid, SIGKILL);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
}

/* Report how the command failed, with the first line that it wrote to stderr. */
static enum blobseal_status failed(struct child *c, const char *how, struct blobseal_error *err)
{
    c->said[c->said_len] = '\0';
    c->said[strcspn(c->said, "\r\n")] = '\0';
    (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "run %.100s: %s%s%.120s", c->name, how,
                        c->said[0] != '\0' ? ": " : "", c->said);
    blobseal_hint(err, "run it on a terminal to see why");
    return BLOBSEAL_E_UNAVAILABLE;
}

static enum blobseal_status finish(struct child *c, uint64_t end_ms, const struct blobseal_call *call,
                                   struct blobseal_error *err)
{
    enum blobseal_status st = read_all(c, end_ms, call, err);
    int code;

    if (st != BLOBSEAL_OK || c->too_long) {
        end(c);
        return st != BLOBSEAL_OK ? st : failed(c, "it prints too much", err);
    }
    code = wait_for(c, end_ms);
    if (code == -2)
        end(c);
    while (c->err >= 0 && poll(&(struct pollfd){c->err, POLLIN, 0}, 1, 0) == 1)
        read_err(c);
    if (code == -2)
        return failed(c, "it does not end", err);
    if (code > 0)
        return failed(c, code == 128 ? "a signal ended it" : "it failed", err);
    return BLOBSEAL_OK;
}

enum blobseal_status bs_kv_run(struct bs_kv_text *out, const char *const *command, uint64_t limit_ms,
                               const struct blobseal_call *call, struct blobseal_error *err)
{
    struct child c = {.name = command[0], .out = -1, .err = -1, .text = out};
    uint64_t end_ms = bs_http_now_ms() + limit_ms;
    enum blobseal_status st;
    int e;

    if (call->deadline_ms != 0 && call->deadline_ms < end_ms)
        end_ms = call->deadline_ms;
    *out = (struct bs_kv_text){blobseal_secret_alloc(MAX_OUTPUT + 1), 0};
    if (out->p == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "run %.150s: no memory", c.name);
    e = start(&c, command);
    if (e != 0)
        st = blobseal_fail(err, e == ENOMEM || e == EAGAIN ? BLOBSEAL_E_NOMEM : BLOBSEAL_E_CONFIG, e, "run %.150s",
                           c.name);
    else
        st = finish(&c, end_ms, call, err);
    if (c.out >= 0)
        (void)close(c.out);
    if (c.err >= 0)
        (void)close(c.err);
    if (st != BLOBSEAL_OK) {
        blobseal_secret_free(out->p);
        *out = (struct bs_kv_text){NULL, 0};
    } else {
        out->p[out->len] = '\0';
    }
    return st;
}
