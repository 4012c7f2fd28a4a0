/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running blobseal-bench: find it, read its JSON from one pipe and its progress from another, interpret its exit code.
 */
#define _GNU_SOURCE /* prctl, pipe2 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/blobseal/bench/bench.h"

#define MAX_JSON     (32u << 20)
#define PROGRAM      "blobseal-bench"
#define CANNOT_START 127

/* ---- Finding it -------------------------------------------------------------------------------------------------- */

struct path {
    char text[4096];
};

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Join @folder of @len bytes and @rest. Return false if no program has that name. */
static bool program_in(struct path *p, const char *folder, size_t len, const char *rest)
{
    int n = snprintf(p->text, sizeof p->text, "%.*s/%s", (int)len, folder, rest);

    return n > 0 && (size_t)n < sizeof p->text && is_program(p->text);
}

/* Look in the folder of this program, and in the folder where it is installed relative to this one. */
static bool near_us(struct path *p)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self);

    if (n <= 0 || (size_t)n == sizeof self)
        return false;
    while (n > 0 && self[n - 1] != '/')
        n--;
    return n > 0 && (program_in(p, self, (size_t)n - 1, PROGRAM) ||
                     program_in(p, self, (size_t)n - 1, "../libexec/blobseal/" PROGRAM));
}

static bool in_path(struct path *p)
{
    const char *at = getenv("PATH");

    while (at != NULL && *at != '\0') {
        size_t n = strcspn(at, ":");

        if (n > 0 && program_in(p, at, n, PROGRAM))
            return true;
        at += n + (at[n] == ':');
    }
    return false;
}

static bool find_program(struct path *p, struct blobseal_error *err)
{
    const char *given = getenv("BLOBSEAL_BENCH");

    if (given != NULL && given[0] != '\0') {
        if (strlen(given) < sizeof p->text && is_program(given)) {
            (void)snprintf(p->text, sizeof p->text, "%s", given);
            return true;
        }
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "BLOBSEAL_BENCH names no program: %s", given);
        blobseal_hint(err, "unset it, or set it to the path of " PROGRAM);
        return false;
    }
    if (near_us(p) || in_path(p))
        return true;
    (void)fail(err, BLOBSEAL_E_CONFIG, 0, "the program " PROGRAM ", which measures, is not installed");
    blobseal_hint(err, "in the source of blobseal: apt-get install g++ libbenchmark-dev; cmake --preset release; cmake "
                       "--build --preset release --target " PROGRAM);
    return false;
}

/* ---- Running it -------------------------------------------------------------------------------------------------- */

struct child {
    const struct ui *ui;
    pid_t pid;
    int out, err;
    struct path program;
    struct bench_text *text;
    size_t cap;
    struct progress *progress;
    char line[256]; /* of its standard error, as far as it was read */
    size_t line_len;
    char last_line[160]; /* of its standard error, except progress */
};

/*
 * Execute blobseal-bench in the new process. That process has no other thread, so any function may be called here.
 * Never returns.
 */
static void become(const struct child *c, char *const *argv, pid_t parent, const int out[2], const int errors[2])
{
    const struct sigaction by_default = {.sa_handler = SIG_DFL};
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

    /* End the new process when its parent ends, for whatever reason. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(CANNOT_START);
    (void)sigaction(SIGPIPE, &by_default, NULL);
    (void)sigaction(SIGXFSZ, &by_default, NULL);
    if (nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 && dup2(out[1], STDOUT_FILENO) >= 0 &&
        dup2(errors[1], STDERR_FILENO) >= 0)
        (void)execv(c->program.text, argv);
    (void)dprintf(STDERR_FILENO, "%s\n", strerror(errno));
    _exit(CANNOT_START);
}

static bool start(struct child *c, const struct bench_plan *plan, struct blobseal_error *err)
{
    char threads[sizeof plan->threads + 16], sizes[sizeof plan->sizes + 16];
    char name[] = PROGRAM, format[] = "--benchmark_format=json", quick[] = "--quick", fips[] = "--fips";
    char *argv[7] = {name, format};
    int out[2] = {-1, -1}, errors[2] = {-1, -1}, n = 2;
    pid_t parent = getpid();

    (void)snprintf(threads, sizeof threads, "--threads=%s", plan->threads);
    (void)snprintf(sizes, sizeof sizes, "--sizes=%s", plan->sizes);
    if (plan->quick)
        argv[n++] = quick;
    if (c->ui->fips)
        argv[n++] = fips;
    if (plan->threads[0] != '\0')
        argv[n++] = threads;
    if (plan->sizes[0] != '\0')
        argv[n++] = sizes;
    if (pipe2(out, O_CLOEXEC) == 0 && pipe2(errors, O_CLOEXEC) == 0)
        c->pid = fork();
    if (c->pid == 0)
        become(c, argv, parent, out, errors);
    c->out = out[0];
    c->err = errors[0];
    if (c->pid < 0)
        (void)fail(err, BLOBSEAL_E_INTERNAL, errno, "start %s", c->program.text);
    if (out[1] >= 0)
        (void)close(out[1]);
    if (errors[1] >= 0)
        (void)close(errors[1]);
    return c->pid > 0;
}

/* "blobseal-bench: 12/70 aes-256-gcm/seal/vaes512/4096" */
static bool is_step(const char *line, unsigned long *step, unsigned long *steps, const char **name)
{
    static const char prefix[] = PROGRAM ": ";
    char *end;

    if (strncmp(line, prefix, sizeof prefix - 1) != 0)
        return false;
    *step = strtoul(line + sizeof prefix - 1, &end, 10);
    if (*end != '/')
        return false;
    *steps = strtoul(end + 1, &end, 10);
    *name = end + 1;
    return *end == ' ';
}

/* Handle a line that blobseal-bench wrote to stderr: progress, or a message to keep. */
static void take_line(struct child *c)
{
    unsigned long step, steps;
    const char *name;

    c->line[c->line_len] = '\0';
    c->line_len = 0;
    if (is_step(c->line, &step, &steps, &name))
        progress_count(c->progress, step, steps, name);
    else if (c->line[0] != '\0')
        (void)printable(c->last_line, sizeof c->last_line, c->line);
}

static bool read_lines(struct child *c)
{
    char buf[1024];
    ssize_t n = read(c->err, buf, sizeof buf);

    if (n < 0 && errno == EINTR)
        return true;
    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] == '\n')
            take_line(c);
        else if (c->line_len + 1 < sizeof c->line)
            c->line[c->line_len++] = buf[i];
    }
    if (n <= 0 && c->line_len > 0)
        take_line(c);
    return n > 0;
}

/*
 * Read the next part of the JSON from @fd. Return 1; 0 at the end; -1 if it is too long, without memory, or after an
 * error.
 */
static int read_text(int fd, struct bench_text *text, size_t *cap)
{
    char *more;
    ssize_t n;

    if (text->len == *cap) {
        if (*cap > MAX_JSON) {
            errno = EFBIG;
            return -1;
        }
        more = realloc(text->data, *cap * 2 + 65536);
        if (more == NULL)
            return -1;
        text->data = more;
        *cap = *cap * 2 + 65536;
    }
    do
        n = read(fd, text->data + text->len, *cap - text->len);
    while (n < 0 && errno == EINTR);
    text->len += n > 0 ? (size_t)n : 0;
    return n > 0 ? 1 : (int)n;
}

/* Read until blobseal-bench has closed both pipes. */
static bool read_pipes(struct child *c, struct blobseal_error *err)
{
    struct pollfd fds[] = {{.fd = c->out, .events = POLLIN}, {.fd = c->err, .events = POLLIN}};

    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        int more = 1;

        if (poll(fds, COUNT(fds), -1) < 0) {
            if (errno == EINTR)
                continue;
            return fail(err, BLOBSEAL_E_INTERNAL, errno, "wait for %s", c->program.text);
        }
        if (fds[1].revents != 0 && !read_lines(c))
            fds[1].fd = -1;
        if (fds[0].revents != 0)
            more = read_text(c->out, c->text, &c->cap);
        if (more < 0)
            return fail(err, BLOBSEAL_E_INTERNAL, errno, "read the measurements of %s", c->program.text);
        if (more == 0)
            fds[0].fd = -1;
    }
    return true;
}

static bool check_status(const struct child *c, int status, struct blobseal_error *err)
{
    const char *colon = c->last_line[0] != '\0' ? ": " : "";

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        if (c->last_line[0] != '\0' && !c->ui->quiet)
            warn(c->ui, "%s reports: %s", PROGRAM, c->last_line);
        return true;
    }
    if (WIFSIGNALED(status))
        (void)fail(err, BLOBSEAL_E_INTERNAL, 0, "%s was ended by signal %d (%s)%s%s", c->program.text, WTERMSIG(status),
                   strsignal(WTERMSIG(status)), colon, c->last_line);
    else if (WEXITSTATUS(status) == CANNOT_START)
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s cannot be started%s%s", c->program.text, colon, c->last_line);
    else
        (void)fail(err, BLOBSEAL_E_INTERNAL, 0, "%s failed with exit code %d%s%s", c->program.text, WEXITSTATUS(status),
                   colon, c->last_line);
    return false;
}

bool bench_measure(const struct ui *ui, const struct bench_plan *plan, struct progress *progress,
                   struct bench_text *text, struct blobseal_error *err)
{
    struct child c = {.ui = ui, .pid = -1, .out = -1, .err = -1, .text = text, .progress = progress};
    int status = 0;
    bool ok;

    *text = (struct bench_text){0};
    if (!find_program(&c.program, err))
        return false;
    progress_start(progress, ui, PROGRAM, BLOBSEAL_SIZE_UNKNOWN);
    ok = start(&c, plan, err) && read_pipes(&c, err);
    if (c.pid > 0) {
        if (!ok)
            (void)kill(c.pid, SIGKILL);
        while (waitpid(c.pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    (void)progress_end(progress);
    ok = ok && check_status(&c, status, err);
    if (!ok)
        blobseal_hint(err, "run %.160s by itself to see all of its messages", c.program.text);
    if (c.out >= 0)
        (void)close(c.out);
    if (c.err >= 0)
        (void)close(c.err);
    return ok;
}

bool bench_read(const struct input *in, struct bench_text *text, struct blobseal_error *err)
{
    size_t cap = 0;
    int more;

    *text = (struct bench_text){0};
    do
        more = read_text(in->fd, text, &cap);
    while (more > 0);
    return more == 0 || fail(err, BLOBSEAL_E_INPUT, errno, "read %s", in->name);
}
