/* SPDX-License-Identifier: Apache-2.0 */
/* Sources and sinks on file descriptors: files, block devices, pipes and terminals. */
#define _GNU_SOURCE /* F_SETPIPE_SZ */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/io/io.h"

/*
 * Linux lets only one thread at a time write to a file. A second thread may wait for its turn in the kernel and then
 * continues without a pause. Any further threads would only spin there, so they wait on a semaphore instead. With 16
 * CPUs this reduces the CPU time of sealing a file by four fifths.
 */
#define MAX_WRITERS 2

/* Initialise the state, including the semaphore for writers: a source and a sink on the same file may share a state. */
static struct bs_fd *fd_start(struct blobseal_fd *state, int fd, const char *name)
{
    struct bs_fd *f = (struct bs_fd *)state->private_state;

    *state = (struct blobseal_fd){0};
    f->fd = fd;
    f->len = BLOBSEAL_SIZE_UNKNOWN;
    f->name = name;
    (void)sem_init(&f->turns, 0, MAX_WRITERS); /* cannot fail: the value is small and the semaphore is not shared */
    return f;
}

static enum blobseal_status fd_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                     struct blobseal_error *err)
{
    struct bs_fd *f = ctx;
    ssize_t n;

    *nread = 0;
    if (off >= f->len)
        return BLOBSEAL_OK;
    len = len < f->len - off ? len : (size_t)(f->len - off);
    do
        n = pread(f->fd, buf, len, (off_t)(f->start + off));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read %s", f->name);
    *nread = (size_t)n;
    return BLOBSEAL_OK;
}

#define CANCEL_POLL_MS 200

/*
 * Read from a pipe, a terminal or any other descriptor. Such a read can block for ever although another worker has
 * already failed. So wait for input with poll() and a time limit, and check `canceled` each time the limit expires.
 */
static enum blobseal_status fd_read(void *ctx, void *buf, size_t len, size_t *nread, struct blobseal_error *err)
{
    struct bs_fd *f = ctx;
    struct pollfd wait = {.fd = f->fd, .events = POLLIN};
    ssize_t n;

    *nread = 0;
    for (;;) {
        if (__atomic_load_n(&f->canceled, __ATOMIC_RELAXED))
            return blobseal_fail(err, BLOBSEAL_E_CANCELED, 0, "read %s: canceled", f->name);
        n = poll(&wait, 1, CANCEL_POLL_MS);
        if (n == 0 || (n < 0 && errno == EINTR))
            continue; /* also after a signal, because read() could block for ever */
        n = read(f->fd, buf, len);
        if (n >= 0)
            break;
        if (errno == EINTR || errno == EAGAIN)
            continue;
        return blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read %s", f->name);
    }
    *nread = (size_t)n;
    return BLOBSEAL_OK;
}

static void fd_cancel(void *ctx)
{
    struct bs_fd *f = ctx;

    __atomic_store_n(&f->canceled, 1, __ATOMIC_RELAXED);
}

/* Find the size of a regular file or block device. *@seekable tells whether @f is one. Errors: E_INPUT. */
static enum blobseal_status find_size(const struct bs_fd *f, bool *seekable, uint64_t *size, struct blobseal_error *err)
{
    struct stat st;

    *size = 0;
    *seekable = false;
    if (fstat(f->fd, &st) != 0)
        return blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read %s", f->name);
    if (S_ISBLK(st.st_mode) && ioctl(f->fd, BLKGETSIZE64, size) != 0)
        return blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "find the size of %s", f->name);
    if (S_ISREG(st.st_mode))
        *size = (uint64_t)st.st_size;
    *seekable = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
    return BLOBSEAL_OK;
}

/* Make @source read @len bytes at @off of a file of @size bytes; if @len is unknown, up to its end. */
static void read_part(struct blobseal_source *source, struct bs_fd *f, uint64_t off, uint64_t len, uint64_t size)
{
    f->start = off;
    f->len = len; /* if unknown, the source may be seen to grow */
    source->size = len != BLOBSEAL_SIZE_UNKNOWN ? len : size - off;
    source->pread = fd_pread;
}

/* NOLINTNEXTLINE(readability-function-size): no two of the seven belong together */
enum blobseal_status blobseal_source_fd_at(struct blobseal_source *source, struct blobseal_fd *state, int fd,
                                           const char *name, uint64_t off, uint64_t len, struct blobseal_error *err)
{
    struct bs_fd *f = fd_start(state, fd, name != NULL ? name : "input");
    uint64_t size;
    bool seekable;
    enum blobseal_status st = find_size(f, &seekable, &size, err);

    *source = (struct blobseal_source){.ctx = f, .size = BLOBSEAL_SIZE_UNKNOWN, .name = f->name};
    if (st != BLOBSEAL_OK)
        return st;
    if (!seekable)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "read a part of %s: it is neither a file nor a block device",
                             f->name);
    if (off > size || (len != BLOBSEAL_SIZE_UNKNOWN && len > size - off))
        return blobseal_fail(err, BLOBSEAL_E_INPUT, 0, "read a part of %s: it ends after %llu bytes", f->name,
                             (unsigned long long)size);
    read_part(source, f, off, len, size);
    return BLOBSEAL_OK;
}

enum blobseal_status blobseal_source_fd(struct blobseal_source *source, struct blobseal_fd *state, int fd,
                                        const char *name, struct blobseal_error *err)
{
    struct bs_fd *f = fd_start(state, fd, name != NULL ? name : "input");
    uint64_t size;
    bool seekable;
    enum blobseal_status st = find_size(f, &seekable, &size, err);
    off_t at = seekable ? lseek(fd, 0, SEEK_CUR) : -1;

    *source = (struct blobseal_source){.ctx = f, .size = BLOBSEAL_SIZE_UNKNOWN, .name = f->name};
    if (st != BLOBSEAL_OK)
        return st;
    if (at >= 0 && (uint64_t)at < size)
        read_part(source, f, (uint64_t)at, BLOBSEAL_SIZE_UNKNOWN, size);
    else if (seekable)
        source->size = 0; /* only a hint: files in /proc have size 0 and content, so read until the end of the file */
    else
        (void)fcntl(fd, F_SETPIPE_SZ, 1 << 20); /* for fewer, larger reads; fails harmlessly if this is not a pipe */
    source->read = fd_read;
    source->cancel = fd_cancel;
    return st;
}

static enum blobseal_status write_failed(const struct bs_fd *f, struct blobseal_error *err)
{
    return blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "write %s", f->name);
}

static enum blobseal_status write_at(const struct bs_fd *f, const uint8_t *p, size_t len, uint64_t off,
                                     struct blobseal_error *err)
{
    while (len > 0) {
        ssize_t n = pwrite(f->fd, p, len, (off_t)(f->start + off));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return write_failed(f, err);
        p += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return BLOBSEAL_OK;
}

static enum blobseal_status fd_pwrite(void *ctx, const void *buf, size_t len, uint64_t off, struct blobseal_error *err)
{
    struct bs_fd *f = ctx;
    enum blobseal_status st;

    while (sem_wait(&f->turns) != 0) /* interrupted by a signal */
        ;
    st = write_at(f, buf, len, off, err);
    (void)sem_post(&f->turns);
    return st;
}

static enum blobseal_status fd_write(void *ctx, const void *buf, size_t len, struct blobseal_error *err)
{
    struct bs_fd *f = ctx;
    const uint8_t *p = buf;

    while (len > 0) {
        ssize_t n = write(f->fd, p, len);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = f->fd, .events = POLLOUT};

            (void)poll(&wait, 1, -1);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return write_failed(f, err);
        p += n;
        len -= (size_t)n;
    }
    return BLOBSEAL_OK;
}

/* Find out whether the descriptor can be written at any offset, and the size of the file. Errors: E_OUTPUT. */
static enum blobseal_status find_room(const struct bs_fd *f, bool *seekable, uint64_t *size, struct blobseal_error *err)
{
    int flags = fcntl(f->fd, F_GETFL);
    struct stat st;

    *seekable = false;
    *size = 0;
    if (flags < 0 || fstat(f->fd, &st) != 0)
        return write_failed(f, err);
    *seekable = S_ISREG(st.st_mode) && (flags & O_APPEND) == 0 && (flags & O_ACCMODE) != O_RDONLY;
    *size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    return BLOBSEAL_OK;
}

/* Make @sink write to any offset, counted from @off of the file. */
static void write_from(struct blobseal_sink *sink, struct bs_fd *f, uint64_t off)
{
    f->start = off;
    sink->pwrite = fd_pwrite;
}

enum blobseal_status blobseal_sink_fd_at(struct blobseal_sink *sink, struct blobseal_fd *state, int fd,
                                         const char *name, uint64_t off, struct blobseal_error *err)
{
    struct bs_fd *f = fd_start(state, fd, name != NULL ? name : "output");
    uint64_t size;
    bool seekable;
    enum blobseal_status st = find_room(f, &seekable, &size, err);

    *sink = (struct blobseal_sink){.ctx = f, .name = f->name};
    if (st != BLOBSEAL_OK)
        return st;
    if (!seekable || off > INT64_MAX)
        return blobseal_fail(
            err, BLOBSEAL_E_ARG, 0,
            "write to %s at an offset: it is not a regular file open for writing at any offset, or the offset "
            "is too large",
            f->name);
    write_from(sink, f, off);
    return BLOBSEAL_OK;
}

enum blobseal_status blobseal_sink_fd(struct blobseal_sink *sink, struct blobseal_fd *state, int fd, const char *name,
                                      struct blobseal_error *err)
{
    struct bs_fd *f = fd_start(state, fd, name != NULL ? name : "output");
    uint64_t size;
    bool seekable;
    enum blobseal_status st = find_room(f, &seekable, &size, err);
    off_t at = seekable ? lseek(fd, 0, SEEK_CUR) : -1;

    *sink = (struct blobseal_sink){.ctx = f, .name = f->name};
    if (st != BLOBSEAL_OK)
        return st;
    if (at >= 0 && (uint64_t)at < size) { /* what is left of the old content would look like a part of the new one */
        (void)blobseal_fail(err, BLOBSEAL_E_EXISTS, 0,
                            "write to %s: the file has %llu bytes after its current position", f->name,
                            (unsigned long long)(size - (uint64_t)at));
        blobseal_hint(err, "truncate the file first");
        return BLOBSEAL_E_EXISTS;
    }
    if (at >= 0)
        write_from(sink, f, (uint64_t)at);
    else
        (void)fcntl(fd, F_SETPIPE_SZ, 1 << 20);
    sink->write = fd_write;
    return st;
}
