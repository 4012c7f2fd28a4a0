/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outputs that are complete or absent. A file is written without a name (O_TMPFILE) if the file system supports that,
 * otherwise under a temporary name in the same folder. It gets its name when all of it is written and on the disk.
 */
#define _GNU_SOURCE /* O_TMPFILE, renameat2 */
#include "tools/common/files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "tools/common/signals.h"

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

mode_t masked_mode(mode_t wanted)
{
    mode_t mask = umask(0);

    (void)umask(mask);
    return wanted & ~mask;
}

mode_t output_mode(const struct input *in)
{
    return masked_mode((S_ISREG(in->before.st_mode) ? in->before.st_mode : (mode_t)0666) & 0666);
}

static void remember(const struct output *out)
{
    signals_remember(out->folder, out->temp);
}

static void forget(struct output *out)
{
    signals_forget(out->temp);
    out->temp[0] = '\0';
}

/* Open the folder of out->path, so that all later names are short, whatever the length of the path. */
static bool open_folder(struct output *out, struct blobseal_error *err)
{
    const char *slash = strrchr(out->path, '/');
    char *folder;

    out->name = slash != NULL ? slash + 1 : out->path;
    folder = slash == NULL ? strdup(".") : strndup(out->path, slash == out->path ? 1 : (size_t)(slash - out->path));
    if (folder == NULL)
        return fail(err, BLOBSEAL_E_NOMEM, 0, "create %s: no memory", out->path);
    out->folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (out->folder < 0 || out->name[0] == '\0')
        return fail(err, BLOBSEAL_E_OUTPUT, out->folder < 0 ? errno : EISDIR, "create %s", out->path);
    return true;
}

/* Put a new random name for the same folder into out->temp. */
static bool temp_name(struct output *out, struct blobseal_error *err)
{
    uint64_t r;

    if (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r)
        return fail(err, BLOBSEAL_E_INTERNAL, errno, "get a random name");
    (void)snprintf(out->temp, sizeof out->temp, ".%.200s.%016llx.partial", out->name, (unsigned long long)r);
    return true;
}

static bool open_file(struct output *out, struct blobseal_error *err)
{
    if (!open_folder(out, err))
        return false;
    if (access("/proc/self/fd", X_OK) == 0) /* needed to name the file later */
        out->fd = openat(out->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (out->fd >= 0)
        return true;
    if (!temp_name(out, err))
        return false;
    out->fd = openat(out->folder, out->temp, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (out->fd < 0) {
        int e = errno;

        out->temp[0] = '\0';
        return fail(err, BLOBSEAL_E_OUTPUT, e, "create %s", out->path);
    }
    remember(out);
    return true;
}

/* Return true if @st describes the file that @in reads. */
static bool is_input(const struct stat *st, const struct input *in)
{
    return in != NULL && same_file(st, &in->before);
}

static bool input_and_output(const struct output *out, struct blobseal_error *err)
{
    (void)fail(err, BLOBSEAL_E_EXISTS, 0, "%s is the input and the output", out->path);
    blobseal_hint(err, "choose another name with -o");
    return false;
}

/*
 * Open a pipe or a device, which is written as data comes. Refuse it if it is not the file that @seen describes,
 * because the name was given to another file in between.
 */
static bool open_stream(struct output *out, const struct stat *seen, struct blobseal_error *err)
{
    struct stat st;

    out->fd = open(out->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    out->stream = true;
    if (out->fd < 0 || fstat(out->fd, &st) != 0)
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "open %s", out->path);
    return (st.st_dev == seen->st_dev && st.st_ino == seen->st_ino) ||
           fail(err, BLOBSEAL_E_EXISTS, 0, "%s was replaced meanwhile", out->path);
}

static bool refuse_device(const struct output *out, const char *hint, struct blobseal_error *err)
{
    (void)fail(err, BLOBSEAL_E_CONFIG, 0,
               "%s is a block device: an output must be a file, which appears only when it is complete", out->path);
    blobseal_hint(err, "%s", hint != NULL ? hint : "write to standard output, and copy that: ... -o - | dd of=DEVICE");
    return false;
}

/* Check what exists at out->path. If it is neither a regular file nor absent, open it as a stream. */
static bool look_at_existing(struct output *out, const struct output_options *options, struct blobseal_error *err)
{
    struct stat st;

    if (stat(out->path, &st) != 0) {
        if (errno == ENAMETOOLONG)
            return fail(err, BLOBSEAL_E_OUTPUT, errno, "create %s", out->path);
        if (lstat(out->path, &st) == 0 && !out->force)
            return fail(err, BLOBSEAL_E_EXISTS, 0, "%s exists (a symbolic link to nothing)", out->path);
        return true; /* other errors are found when the file is created */
    }
    if (is_input(&st, options->in))
        return input_and_output(out, err);
    if (S_ISREG(st.st_mode))
        return out->force || fail(err, BLOBSEAL_E_EXISTS, 0, "%s exists", out->path);
    if (S_ISDIR(st.st_mode))
        return fail(err, BLOBSEAL_E_CONFIG, 0, "%s is a folder: an output is one file", out->path);
    if (S_ISBLK(st.st_mode))
        return refuse_device(out, options->device_hint, err);
    return open_stream(out, &st, err);
}

bool output_open(struct output *out, const char *path, const struct output_options *options, struct blobseal_error *err)
{
    struct stat st;

    *out = OUTPUT_NONE;
    out->path = path;
    out->force = options->force;
    out->mode = options->mode;
    if (strcmp(path, "-") == 0) {
        out->path = "standard output";
        out->fd = STDOUT_FILENO;
        out->stream = true;
        if (fstat(out->fd, &st) == 0 && is_input(&st, options->in))
            return input_and_output(out, err);
    } else if (!look_at_existing(out, options, err)) {
        return false;
    }
    if (out->stream && isatty(out->fd) && !options->to_terminal) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "not writing binary data to the terminal");
        blobseal_hint(err, "use -o FILE, or -o - to force it");
        return false;
    }
    return out->stream || open_file(out, err);
}

bool output_replace(struct output *out, const char *path, mode_t mode, struct blobseal_error *err)
{
    *out = OUTPUT_NONE;
    out->path = path;
    out->force = true;
    out->drop_old = true;
    out->mode = mode;
    return open_file(out, err);
}

bool output_same(const struct output *a, const struct output *b)
{
    struct stat x, y;

    return a->folder >= 0 && b->folder >= 0 && strcmp(a->name, b->name) == 0 && fstat(a->folder, &x) == 0 &&
           fstat(b->folder, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool output_sink(const struct output *out, struct blobseal_sink *sink, struct blobseal_fd *state,
                 struct blobseal_error *err)
{
    if (blobseal_sink_fd(sink, state, out->fd, out->path, err) != BLOBSEAL_OK)
        return false;
    if (out->stream) /* standard output can be a file at any offset, and gets verified data in order */
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

/* ---- Naming ------------------------------------------------------------------------------------------------------ */

/* Give a file without a name the name @to. */
static bool link_unnamed(const struct output *out, const char *to)
{
    char self[64];

    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", out->fd);
    return linkat(AT_FDCWD, self, out->folder, to, AT_SYMLINK_FOLLOW) == 0;
}

/*
 * Rename out->temp to out->name; without out->force only if that name is free. A file that is replaced has the name
 * out->temp until the new file is safe.
 */
static bool place_temp(struct output *out)
{
    int f = out->folder;

    if (out->drop_old)
        return renameat(f, out->temp, f, out->name) == 0;
    if (out->force && renameat2(f, out->temp, f, out->name, RENAME_EXCHANGE) == 0) {
        struct stat st;

        out->replaced = fstatat(f, out->temp, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode);
        if (out->replaced)
            return true;
        (void)renameat2(f, out->temp, f, out->name, RENAME_EXCHANGE); /* it is a folder, which is not replaced: undo */
        errno = EISDIR;
        return false;
    }
    if (renameat2(f, out->temp, f, out->name, RENAME_NOREPLACE) == 0)
        return true;
    if (out->force && errno != ENOENT) { /* the file system cannot exchange names */
        out->drop_old = renameat(f, out->temp, f, out->name) == 0;
        return out->drop_old;
    }
    if (errno != EINVAL &&
        errno !=
            ENOSYS) /* otherwise the file system does not know the flag: use linkat(), which never replaces a file */
        return false;
    return linkat(f, out->temp, f, out->name, 0) == 0 && unlinkat(f, out->temp, 0) == 0;
}

static bool give_name(struct output *out, struct blobseal_error *err)
{
    bool unnamed = out->temp[0] == '\0';

    if (unnamed && !out->force)
        return link_unnamed(out, out->name);
    if (unnamed) { /* linkat() never replaces: take a temporary name first */
        if (!temp_name(out, err) || !link_unnamed(out, out->temp)) {
            out->temp[0] = '\0';
            return false;
        }
        remember(out);
    }
    if (!place_temp(out))
        return false;
    if (!out->replaced)
        forget(out);
    return true;
}

/* Make the name durable. If the folder can be written but not read, syncing the file has to be enough. */
static bool sync_folder(const struct output *out, struct blobseal_error *err)
{
    int fd = openat(out->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok;

    if (fd < 0)
        ok = errno == EACCES && fsync(out->fd) == 0;
    else
        ok = fsync(fd) == 0 || errno == EINVAL; /* some file systems cannot sync a folder */
    if (!ok)
        (void)fail(err, BLOBSEAL_E_OUTPUT, errno, "sync the folder of %s", out->path);
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

/* Undo the naming after a failure. A file that was replaced gets its name back. */
static void withdraw(struct output *out)
{
    if (out->drop_old) /* the old file is gone; the new one is complete, and stays */
        return;
    if (out->committed && out->replaced)
        (void)renameat(out->folder, out->temp, out->folder, out->name);
    else if (out->committed)
        (void)unlinkat(out->folder, out->name, 0);
    if (out->replaced)
        forget(out);
    out->committed = out->replaced = false;
}

/* Remove the file that was replaced. */
static void settle(struct output *out)
{
    if (out->replaced) {
        (void)unlinkat(out->folder, out->temp, 0);
        forget(out);
    }
    out->replaced = false;
}

/* Set the mode, and wait until the data is on the disk. */
static bool finish(const struct output *out, struct blobseal_error *err)
{
    return out->stream || (fchmod(out->fd, out->mode) == 0 && fsync(out->fd) == 0) ||
           fail(err, BLOBSEAL_E_OUTPUT, errno, "finish %s", out->path);
}

/* Name and close a finished file. */
static bool publish(struct output *out, struct blobseal_error *err)
{
    int fd = out->fd;

    if (!out->stream && !give_name(out, err)) {
        if (errno == EEXIST)
            return fail(err, BLOBSEAL_E_EXISTS, 0, "%s appeared meanwhile", out->path);
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "give %s its name", out->path);
    }
    out->committed = !out->stream;
    if (out->stream || sync_folder(out, err)) {
        out->fd = -1;
        if (fd == STDOUT_FILENO || close(fd) == 0)
            return true;
        (void)fail(err, BLOBSEAL_E_OUTPUT, errno, "finish %s", out->path);
    }
    withdraw(out);
    return false;
}

bool output_commit_both(struct output *first, struct output *second, struct blobseal_error *err)
{
    sigset_t all, before;

    if (!finish(first, err) || (second != NULL && !finish(second, err)))
        return false;
    /*
     * Block signals, so that one finds either all names given or none. After a success they stay blocked: the work is
     * done.
     */
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, &before);
    if (!publish(first, err) || (second != NULL && !publish(second, err))) {
        withdraw(first);
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        return false;
    }
    settle(first);
    if (second != NULL)
        settle(second);
    return true;
}

bool output_commit(struct output *out, struct blobseal_error *err)
{
    return output_commit_both(out, NULL, err);
}

void output_close(struct output *out)
{
    if (out->temp[0] != '\0') {
        (void)unlinkat(out->folder, out->temp, 0);
        forget(out);
    }
    if (out->fd > STDERR_FILENO)
        (void)close(out->fd);
    if (out->folder >= 0)
        (void)close(out->folder);
    out->fd = out->folder = -1;
}
