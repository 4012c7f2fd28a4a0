/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of an output: either the file gets its name, when all of it is on the disk, or nothing of it remains. File
 * systems differ in what they can do. Only an error that says that data may be lost ends in failure; an operation that
 * a file system does not have is replaced or left out.
 */
#define _GNU_SOURCE /* renameat2 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "tools/common/files.h"
#include "tools/common/signals.h"

/* ---- Temporary names --------------------------------------------------------------------------------------------- */

bool output_temp_name(struct output *out, struct blobseal_error *err)
{
    uint64_t r;

    if (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r)
        return fail(err, BLOBSEAL_E_INTERNAL, errno, "get a random name");
    (void)snprintf(out->temp, sizeof out->temp, ".%.200s.%016llx.partial", out->name, (unsigned long long)r);
    return true;
}

bool output_link(int folder, int fd, const char *name, bool needs_proc)
{
    char self[64];

    if (!needs_proc)
        return linkat(fd, "", folder, name, AT_EMPTY_PATH) == 0;
    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, self, folder, name, AT_SYMLINK_FOLLOW) == 0;
}

static void forget(struct output *out)
{
    signals_forget(out->temp);
    out->temp[0] = '\0';
}

/* Remove the file that has a temporary name. If that fails, keep the name in out->temp. */
static void remove_temp(struct output *out)
{
    if (unlinkat(out->folder, out->temp, 0) == 0 || errno == ENOENT)
        forget(out);
    else
        signals_forget(out->temp);
}

/* ---- Naming ------------------------------------------------------------------------------------------------------ */

/* Rename out->temp where neither renameat2() with flags nor hard links exist: check first that the name is free. */
static bool rename_to_free_name(const struct output *out)
{
    struct stat st;

    if (fstatat(out->folder, out->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return false;
    }
    return errno == ENOENT && renameat(out->folder, out->temp, out->folder, out->name) == 0;
}

/* Rename out->temp to out->name, which must be free. */
static bool place_new(const struct output *out)
{
    int f = out->folder;

    if (renameat2(f, out->temp, f, out->name, RENAME_NOREPLACE) == 0)
        return true;
    if (errno == EEXIST || is_disk_error(errno))
        return false;
    if (linkat(f, out->temp, f, out->name, 0) == 0) { /* which never replaces a file */
        (void)unlinkat(f, out->temp, 0);
        return true;
    }
    return errno != EEXIST && !is_disk_error(errno) && rename_to_free_name(out);
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
    if (!out->force)
        return place_new(out);
    if (renameat2(f, out->temp, f, out->name, RENAME_EXCHANGE) == 0) {
        struct stat st;

        out->replaced = fstatat(f, out->temp, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode);
        if (out->replaced)
            return true;
        (void)renameat2(f, out->temp, f, out->name, RENAME_EXCHANGE); /* it is a folder, which is not replaced: undo */
        errno = EISDIR;
        return false;
    }
    if (is_disk_error(errno))
        return false;
    if (errno == ENOENT) /* there is nothing to replace */
        return place_new(out);
    out->drop_old = renameat(f, out->temp, f, out->name) == 0; /* the file system cannot exchange names */
    return out->drop_old;
}

static bool give_name(struct output *out, struct blobseal_error *err)
{
    bool unnamed = out->temp[0] == '\0';

    if (unnamed && !out->force)
        return output_link(out->folder, out->fd, out->name, out->needs_proc);
    if (unnamed) { /* linkat() never replaces: take a temporary name first */
        if (!output_temp_name(out, err) || !output_link(out->folder, out->fd, out->temp, out->needs_proc)) {
            out->temp[0] = '\0';
            return false;
        }
        signals_remember(out->folder, -1, out->temp);
    }
    if (!place_temp(out))
        return false;
    if (!out->replaced)
        forget(out);
    return true;
}

/* ---- Syncing ----------------------------------------------------------------------------------------------------- */

/* Sync a file or a folder. That a file system cannot do it is no error: there is nothing more to be done. */
static bool sync_fd(int fd)
{
    return fsync(fd) == 0 || errno == EOPNOTSUPP || errno == ENOSYS || errno == EPERM || errno == EBADF ||
           errno == EINVAL;
}

/* Make the name durable. If the folder can be written but not read, syncing the file has to be enough. */
static bool sync_folder(const struct output *out, struct blobseal_error *err)
{
    int fd = openat(out->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok;

    if (fd < 0)
        fd = openat(out->folder, out->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ok = fd >= 0 ? sync_fd(fd) : !is_disk_error(errno);
    if (!ok)
        (void)fail(err, BLOBSEAL_E_OUTPUT, errno, "sync the folder of %s", out->path);
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

/* Set the mode. Some file systems have one mode for all files. That is an error only if others could read a secret. */
static bool set_mode(const struct output *out, struct blobseal_error *err)
{
    bool refused = !out->has_mode && fchmod(out->fd, out->mode) != 0;
    struct stat st;

    if (refused && is_disk_error(errno))
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "finish %s", out->path);
    if (!refused && !out->secret)
        return true;
    if (fstat(out->fd, &st) != 0)
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "finish %s", out->path);
    if (out->secret && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        (void)fail(err, BLOBSEAL_E_POLICY, 0, "others could read the private key %s (mode %04o)", out->path,
                   (unsigned)st.st_mode & 07777);
        blobseal_hint(err, "this file system keeps no permissions: choose a folder on another one");
        return false;
    }
    if (refused && (st.st_mode & 0777) != (out->mode & 0777))
        warn(out->ui, "%s: its permissions are %04o, because the file system refuses to set them to %04o", out->path,
             (unsigned)st.st_mode & 0777, (unsigned)out->mode & 0777);
    return true;
}

/* Set mode and time, and wait until the data is on the disk. Some file systems keep no times, which is no error. */
static bool finish(struct output *out, struct blobseal_error *err)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, out->time};

    if (out->stream)
        return true;
    if (out->keep_time && futimens(out->fd, times) != 0 && is_disk_error(errno))
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "finish %s", out->path);
    return set_mode(out, err) && (sync_fd(out->fd) || fail(err, BLOBSEAL_E_OUTPUT, errno, "finish %s", out->path));
}

/* Close the file or stream. Some remote file systems write the data only now. */
static bool close_fd(struct output *out, struct blobseal_error *err)
{
    int fd = out->fd;

    out->fd = -1;
    return close(fd) == 0 || fail(err, BLOBSEAL_E_OUTPUT, errno, "finish %s", out->path);
}

/* ---- Committing -------------------------------------------------------------------------------------------------- */

/* Report that the replaced file keeps its temporary name. */
static void leave_old(struct output *out)
{
    signals_forget(out->temp);
    warn(out->ui, "%s: the file that was replaced is still there, as %s in the same folder", out->path, out->temp);
    out->temp[0] = '\0';
    out->replaced = false;
}

/* Undo the naming after a failure. A file that was replaced gets its name back. */
static void withdraw(struct output *out)
{
    if (out->fd >= 0 && !out->stream) { /* closing can make a remote file appear again: close it before it is removed */
        (void)close(out->fd);
        out->fd = -1;
    }
    if (!out->committed || out->stream || out->drop_old) /* a file that replaced another one is complete, and stays */
        return;
    if (!out->replaced) {
        out->committed = unlinkat(out->folder, out->name, 0) != 0;
    } else if (renameat(out->folder, out->temp, out->folder, out->name) == 0) {
        forget(out);
        out->committed = out->replaced = false;
    } else {
        leave_old(out);
    }
}

/* Remove the file that was replaced. */
static void settle(struct output *out)
{
    if (!out->replaced)
        return;
    remove_temp(out);
    if (out->temp[0] != '\0')
        leave_old(out);
    out->replaced = false;
}

/* Name and close a finished file. A file that has a temporary name is closed first, because that can still fail. */
static bool publish(struct output *out, struct blobseal_error *err)
{
    if ((out->stream || out->temp[0] != '\0') && !close_fd(out, err))
        return false;
    out->committed = out->stream;
    if (out->stream)
        return true;
    if (!give_name(out, err)) {
        if (errno == EEXIST)
            return output_found(out, err);
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "give %s its name", out->path);
    }
    out->committed = true;
    if (((out->folders != NULL && folders_add(out->folders, out)) || sync_folder(out, err)) &&
        (out->fd < 0 || close_fd(out, err)))
        return true;
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
    signals_hold();
    if (!publish(first, err) || (second != NULL && !publish(second, err))) {
        withdraw(first);
        signals_release();
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        return false;
    }
    settle(first);
    if (second != NULL)
        settle(second);
    signals_release();
    return true;
}

bool output_commit(struct output *out, struct blobseal_error *err)
{
    return output_commit_both(out, NULL, err);
}

bool output_same(const struct output *a, const struct output *b)
{
    struct stat x, y;

    return a->folder >= 0 && b->folder >= 0 && strcmp(a->name, b->name) == 0 && fstat(a->folder, &x) == 0 &&
           fstat(b->folder, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* ---- Closing and discarding -------------------------------------------------------------------------------------- */

void output_close(struct output *out)
{
    if (out->fd >= 0)
        (void)close(out->fd);
    out->fd = -1;
    if (out->temp[0] != '\0')
        remove_temp(out);
    if (out->folder >= 0 && !out->borrowed)
        (void)close(out->folder);
    out->folder = -1;
}

/* Return true for an error after which the user may look for a file, and not only for its cause. */
static bool may_leave_files(const struct blobseal_error *err)
{
    return err->status == BLOBSEAL_E_OUTPUT || err->status == BLOBSEAL_E_INPUT || err->status == BLOBSEAL_E_AUTH ||
           err->status == BLOBSEAL_E_DAMAGED;
}

void output_discard(struct output *out, const struct blobseal_error *err)
{
    static const char nothing[] = "no file was left behind";
    bool opened = out->fd >= 0 || out->folder >= 0, new_file = !out->drop_old;
    char text[sizeof out->ui->outcome] = "";

    output_close(out);
    if (out->committed && (!out->stream || out->started))
        (void)snprintf(text, sizeof text, "%.100s is complete", out->path);
    else if (out->started && out->stream && err->sys_errno != EPIPE)
        (void)snprintf(text, sizeof text, "%.100s has received a part of the data: discard it", out->path);
    else if (out->temp[0] != '\0')
        (void)snprintf(text, sizeof text, "the incomplete file %.200s could not be removed", out->temp);
    else if (opened && !out->stream && new_file && may_leave_files(err))
        (void)snprintf(text, sizeof text, "%s", nothing);
    out->temp[0] = '\0';
    if (text[0] == '\0' || (out->ui->outcome[0] != '\0' && strcmp(out->ui->outcome, nothing) != 0))
        return;
    blobseal_make_printable(text);
    memcpy(out->ui->outcome, text, sizeof text);
}
