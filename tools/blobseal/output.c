/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outputs that are complete or absent. A file is written without a name (O_TMPFILE) where the file system can, otherwise
 * under a temporary one beside its place, and gets its name when all of it is there and on the disk.
 */
#define _GNU_SOURCE /* O_TMPFILE, renameat2 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cli.h"

/* ---- Signals ---------------------------------------------------------------------------------------------------- */

/* Names to remove when a signal ends the program. An entry is set after its name is complete. */
static const char *volatile temps[4];

static void remember(const char *temp)
{
    for (size_t i = 0; i < COUNT(temps); i++)
        if (temps[i] == NULL) {
            temps[i] = temp;
            return;
        }
}

static void forget(const char *temp)
{
    for (size_t i = 0; i < COUNT(temps); i++)
        if (temps[i] == temp)
            temps[i] = NULL;
}

static void on_signal(int sig)
{
    for (size_t i = 0; i < COUNT(temps); i++)
        if (temps[i] != NULL)
            (void)unlink(temps[i]);
    keys_restore_terminal();
    _exit(EXIT_SIGNAL + sig);
}

void output_catch_signals(void)
{
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN}, before;

    (void)sigfillset(&action.sa_mask);
    for (size_t i = 0; i < COUNT(stops); i++) {
        (void)sigaction(stops[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) /* nohup and background jobs of a shell */
            (void)sigaction(stops[i], &action, NULL);
    }
    /* A closed pipe and a file size limit shall be errors of write() that we report. */
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGXFSZ, &ignore, NULL);
}

/* ---- Opening --------------------------------------------------------------------------------------------------- */

mode_t output_mode(const struct input *in)
{
    mode_t mask = umask(0);

    (void)umask(mask);
    return (S_ISREG(in->before.st_mode) ? in->before.st_mode : (mode_t)0666) & 0666 & ~mask;
}

/* The folder of @path. */
static bool folder_of(const char *path, char *folder, size_t cap, struct blobseal_error *err)
{
    char copy[4096];

    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy ||
        snprintf(folder, cap, "%s", dirname(copy)) >= (int)cap)
        return fail(err, BLOBSEAL_E_OUTPUT, ENAMETOOLONG, "create %.80s...", path);
    return true;
}

/* A fresh name beside out->path, in out->temp. */
static bool temp_name(struct output *out, struct blobseal_error *err)
{
    char folder[2048];
    const char *base = strrchr(out->path, '/');
    uint64_t r;

    base = base != NULL ? base + 1 : out->path;
    if (!folder_of(out->path, folder, sizeof folder, err))
        return false;
    if (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r)
        return fail(err, BLOBSEAL_E_INTERNAL, errno, "get a random name");
    if (snprintf(out->temp, sizeof out->temp, "%s/.%.200s.%016llx.partial", folder, base, (unsigned long long)r) >=
        (int)sizeof out->temp)
        return fail(err, BLOBSEAL_E_OUTPUT, ENAMETOOLONG, "create %.80s...", out->path);
    return true;
}

static bool open_file(struct output *out, struct blobseal_error *err)
{
    char folder[2048];

    if (!folder_of(out->path, folder, sizeof folder, err))
        return false;
    if (access("/proc/self/fd", X_OK) == 0) /* needed to name the file later */
        out->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (out->fd >= 0)
        return true;
    if (!temp_name(out, err))
        return false;
    out->fd = open(out->temp, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (out->fd < 0) {
        int e = errno;

        out->temp[0] = '\0';
        return fail(err, BLOBSEAL_E_OUTPUT, e, "create %s", out->path);
    }
    remember(out->temp);
    return true;
}

/* What is at out->path already, if anything. Sets out->stream and opens it where it is no regular file. */
static bool look_at_existing(struct output *out, const struct input *in, struct blobseal_error *err)
{
    struct stat st;

    if (stat(out->path, &st) != 0) {
        if (lstat(out->path, &st) == 0 && !out->force)
            return fail(err, BLOBSEAL_E_EXISTS, 0, "%s exists (a symbolic link to nothing)", out->path);
        return true; /* other trouble shows when the file is created */
    }
    if (in != NULL && st.st_dev == in->before.st_dev && st.st_ino == in->before.st_ino && S_ISREG(st.st_mode)) {
        (void)fail(err, BLOBSEAL_E_EXISTS, 0, "%s is the input and the output", out->path);
        blobseal_hint(err, "choose another name with -o");
        return false;
    }
    if (S_ISREG(st.st_mode))
        return out->force || fail(err, BLOBSEAL_E_EXISTS, 0, "%s exists", out->path);
    if (S_ISDIR(st.st_mode))
        return fail(err, BLOBSEAL_E_CONFIG, 0, "%s is a folder: an output is one file", out->path);
    if (S_ISBLK(st.st_mode)) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s is a block device: it cannot be written completely or not at all",
                   out->path);
        blobseal_hint(err, "verify the blob first, then: blobseal open ... -o - | dd of=DEVICE");
        return false;
    }
    out->fd = open(out->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    out->stream = true;
    return out->fd >= 0 || fail(err, BLOBSEAL_E_OUTPUT, errno, "open %s", out->path);
}

bool output_open(struct output *out, const char *path, bool force, bool forced_tty, mode_t mode, const struct input *in,
                 struct blobseal_error *err)
{
    bool to_stdout = strcmp(path, "-") == 0;

    *out = (struct output){.path = to_stdout ? "standard output" : path, .fd = -1, .force = force, .mode = mode};
    if (to_stdout) {
        out->fd = STDOUT_FILENO;
        out->stream = true;
    } else if (!look_at_existing(out, in, err)) {
        return false;
    }
    if (out->stream && isatty(out->fd) && !forced_tty) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "not writing binary data to the terminal");
        blobseal_hint(err, "use -o FILE, or -o - to force it");
        return false;
    }
    return out->stream || open_file(out, err);
}

bool output_sink(const struct output *out, struct blobseal_sink *sink, struct blobseal_fd *state,
                 struct blobseal_error *err)
{
    if (blobseal_sink_fd(sink, state, out->fd, out->path, err) != BLOBSEAL_OK)
        return false;
    if (out->stream) /* standard output can be a file at any offset, or one that gets only what is verified, in order */
        sink->pwrite = NULL;
    return true;
}

bool output_write(struct output *out, const void *data, size_t len, struct blobseal_error *err)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(out->fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, BLOBSEAL_E_OUTPUT, errno, "write %s", out->path);
        p += n;
        len -= (size_t)n;
    }
    return true;
}

/* ---- Naming ----------------------------------------------------------------------------------------------------- */

/* Give an O_TMPFILE file the name @to. */
static bool link_unnamed(const struct output *out, const char *to)
{
    char self[64];

    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", out->fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0;
}

/* Move out->temp to its place; without @force only if the place is free. */
static bool place_temp(const struct output *out)
{
    if (out->force)
        return rename(out->temp, out->path) == 0;
    if (renameat2(AT_FDCWD, out->temp, AT_FDCWD, out->path, RENAME_NOREPLACE) == 0)
        return true;
    if (errno != EINVAL && errno != ENOSYS) /* a file system without the flag: link() is as strict */
        return false;
    return link(out->temp, out->path) == 0 && unlink(out->temp) == 0;
}

static bool give_name(struct output *out, struct blobseal_error *err)
{
    bool unnamed = out->temp[0] == '\0';

    if (unnamed && !out->force)
        return link_unnamed(out, out->path);
    if (unnamed) { /* a link never replaces: take a temporary name first */
        if (!temp_name(out, err) || !link_unnamed(out, out->temp)) {
            out->temp[0] = '\0';
            return false;
        }
        remember(out->temp);
    }
    if (!place_temp(out))
        return false;
    forget(out->temp);
    out->temp[0] = '\0';
    return true;
}

static bool sync_folder(const struct output *out, struct blobseal_error *err)
{
    char folder[2048];
    int fd;
    bool ok;

    if (!folder_of(out->path, folder, sizeof folder, err))
        return false;
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ok = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL); /* some file systems cannot sync a folder */
    if (!ok)
        (void)fail(err, BLOBSEAL_E_OUTPUT, errno, "sync the folder of %s", out->path);
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

bool output_commit(struct output *out, struct blobseal_error *err)
{
    int fd = out->fd;

    if (out->stream) {
        out->fd = -1;
        return fd == STDOUT_FILENO || close(fd) == 0 || fail(err, BLOBSEAL_E_OUTPUT, errno, "write %s", out->path);
    }
    if (fchmod(fd, out->mode) != 0 || fsync(fd) != 0) {
        (void)fail(err, BLOBSEAL_E_OUTPUT, errno, "finish %s", out->path);
        output_abort(out);
        return false;
    }
    if (!give_name(out, err)) {
        if (errno == EEXIST)
            (void)fail(err, BLOBSEAL_E_EXISTS, 0, "%s appeared meanwhile", out->path);
        else
            (void)fail(err, BLOBSEAL_E_OUTPUT, errno, "give %s its name", out->path);
        output_abort(out);
        return false;
    }
    out->fd = -1;
    if (close(fd) != 0)
        (void)fail(err, BLOBSEAL_E_OUTPUT, errno, "finish %s", out->path);
    else if (sync_folder(out, err))
        return true;
    output_withdraw(out);
    return false;
}

void output_withdraw(const struct output *out)
{
    if (!out->stream)
        (void)unlink(out->path);
}

void output_abort(struct output *out)
{
    if (out->temp[0] != '\0') {
        (void)unlink(out->temp);
        forget(out->temp);
        out->temp[0] = '\0';
    }
    if (out->fd > STDERR_FILENO)
        (void)close(out->fd);
    out->fd = -1;
}
