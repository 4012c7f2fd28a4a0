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

/* A reader holds its lock only briefly, and a change takes a few milliseconds, but a process that hangs holds it for
 * ever. Wait for at most two seconds: 200 attempts, 10 ms apart. */
#define LOCK_TRIES    200
#define LOCK_PAUSE_NS 10000000L

/* Take or release an exclusive lock of the open file description (OFD). Such a lock also excludes other threads of the
 * process, and other hosts if the file system supports that. */
static enum blobseal_status fd_lock(void *ctx, bool on, struct blobseal_error *err)
{
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
    const struct bs_fd *f = ctx;
    struct flock lock = {.l_type = on ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET};

    for (int i = 0; fcntl(f->fd, F_OFD_SETLK, &lock) != 0; i++) {
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EACCES)
            return blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "lock %s", f->name);
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
    enum blobseal_status st = blobseal_sink_fd(&sink, state, fd, name, err);

    *target =
        (struct blobseal_target){.ctx = state->private_state, .write = sink.pwrite, .sync = fd_sync, .lock = fd_lock};
    if (st == BLOBSEAL_OK)
        st = blobseal_source_fd(&target->source, state, fd, name, err);
    if (st == BLOBSEAL_OK && ((flags & O_ACCMODE) != O_RDWR || target->write == NULL || target->source.pread == NULL))
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change %s: it is not a regular file opened for reading and writing",
                           name != NULL ? name : "the blob");
    return st;
}
