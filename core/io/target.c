/* SPDX-License-Identifier: Apache-2.0 */
/* A blob file that is changed in place: positioned writes, syncing, and a lock against concurrent changes. */
#define _GNU_SOURCE /* F_OFD_SETLK */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "core/io/io.h"

/* Return true if the file system has no sync. Then nothing more can be done, and the change goes on. */
static bool has_no_sync(int sys_errno)
{
    return sys_errno == EOPNOTSUPP || sys_errno == ENOSYS || sys_errno == EPERM || sys_errno == EBADF ||
           sys_errno == EINVAL;
}

static enum blobseal_status fd_sync(void *ctx, uint64_t off, uint64_t len, struct blobseal_error *err)
{
    const struct bs_fd *f = ctx;

    if (fdatasync(f->fd) != 0 && !has_no_sync(errno))
        return blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "sync %s", f->name);
    /* The pages are clean now. Drop them, so that the next read comes from the disk. */
    (void)posix_fadvise(f->fd, (off_t)off, (off_t)len, POSIX_FADV_DONTNEED);
    return BLOBSEAL_OK;
}

/* A change takes a few milliseconds, but a process that hangs holds its lock for ever. Wait for at most two seconds:
 * 200 attempts, 10 ms apart; for the holder of a shared lock only 10 of them. */
#define LOCK_TRIES        200
#define SHARED_LOCK_TRIES 10
#define LOCK_PAUSE_NS     10000000L

/* The byte that is locked lies beyond the end of every blob, so that it is not a part of anything else. */
static struct flock lock_of(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)1 << 62, .l_len = 1};
}

/*
 * Return true if somebody holds an exclusive lock, which needs the permission to write. A shared lock needs only that
 * to read, and no change takes one.
 */
static bool is_exclusive(const struct bs_fd *f)
{
    struct flock lock = lock_of(F_RDLCK);

    return fcntl(f->fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

static enum blobseal_status no_locks(const struct bs_fd *f, int cause, struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_OUTPUT, cause, "lock %s: its file system has no locks", f->name);
    blobseal_advise(err, BLOBSEAL_ADVICE_NO_LOCK, NULL,
                    "make sure that nobody else changes the blob, and change it without a lock");
    return BLOBSEAL_E_OUTPUT;
}

/*
 * Take or release the lock of the open file description (OFD). Such a lock also excludes other threads of the process,
 * and other hosts if the file system supports that. Whoever may read the blob could hinder every change with a shared
 * lock on the whole file. So if the lock is not granted and nobody has an exclusive one, the change goes on without it.
 */
static enum blobseal_status fd_lock(void *ctx, bool on, struct blobseal_error *err)
{
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
    const struct bs_fd *f = ctx;
    struct flock lock = lock_of(on ? F_WRLCK : F_UNLCK);

    for (int i = 0; fcntl(f->fd, F_OFD_SETLK, &lock) != 0; i++) {
        if (errno == EINTR)
            continue;
        if (errno == ENOLCK || errno == ENOSYS || errno == EOPNOTSUPP || errno == EINVAL || errno == EOVERFLOW)
            return no_locks(f, errno, err);
        if (errno != EAGAIN && errno != EACCES)
            return blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "lock %s", f->name);
        if (i >= SHARED_LOCK_TRIES && !is_exclusive(f))
            return BLOBSEAL_OK;
        if (i >= LOCK_TRIES) {
            (void)blobseal_fail(err, BLOBSEAL_E_EXISTS, 0, "%s is busy: another change is in progress", f->name);
            blobseal_hint(err, "try again when that change is complete");
            return BLOBSEAL_E_EXISTS;
        }
        (void)nanosleep(&pause, NULL);
    }
    return BLOBSEAL_OK;
}

enum blobseal_status blobseal_target_fd(struct blobseal_target *target, struct blobseal_fd *state, int fd,
                                        const char *name, struct blobseal_error *err)
{
    int flags = fcntl(fd, F_GETFL);
    struct blobseal_sink sink;
    enum blobseal_status st = blobseal_sink_fd_at(&sink, state, fd, name, 0, err);

    *target =
        (struct blobseal_target){.ctx = state->private_state, .write = sink.pwrite, .sync = fd_sync, .lock = fd_lock};
    if (st == BLOBSEAL_OK)
        st = blobseal_source_fd_at(&target->source, state, fd, name, 0, BLOBSEAL_SIZE_UNKNOWN, err);
    if (st == BLOBSEAL_OK && ((flags & O_ACCMODE) != O_RDWR || target->source.size == 0))
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change %s: it is not a regular file opened for reading and writing",
                           name != NULL ? name : "the blob");
    return st;
}
