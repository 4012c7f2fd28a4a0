/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blob in a real file that is changed in place: which descriptors are accepted, the lock, and errors of system calls.
 */
#define _GNU_SOURCE /* F_OFD_GETLK */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/changes.h"
#include "tests/support/suite.h"

/* ---- System calls that fail on request: these replace those of the C library ------------------------------------- */

static int write_errno, sync_errno, read_errno;
static size_t most_at_once; /* bytes that one write accepts; 0 means all */
static unsigned interrupts; /* number of calls that fail with EINTR first */
static unsigned syncs;

static bool interrupted(void)
{
    if (interrupts == 0)
        return false;
    interrupts--;
    errno = EINTR;
    return true;
}

ssize_t pwrite64(int fd, const void *p, size_t len, off64_t off); /* the name of pwrite() with large file support */
ssize_t pread64(int fd, void *p, size_t len, off64_t off);

ssize_t pwrite64(int fd, const void *p, size_t len, off64_t off)
{
    if (interrupted())
        return -1;
    if (write_errno != 0) {
        errno = write_errno;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, p, most_at_once != 0 && len > most_at_once ? most_at_once : len, off);
}

ssize_t pread64(int fd, void *p, size_t len, off64_t off)
{
    if (interrupted())
        return -1;
    if (read_errno != 0) {
        errno = read_errno;
        return -1;
    }
    return syscall(SYS_pread64, fd, p, len, off);
}

int fdatasync(int fd)
{
    syncs++;
    if (sync_errno != 0) {
        errno = sync_errno;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* Let locks fail with this errno, if it is not 0. Only the target uses F_OFD_SETLK with a lock of one byte. */
static int lock_errno;

int fcntl64(int fd, int command, ...); /* the name of fcntl() with large file support */

int fcntl64(int fd, int command, ...)
{
    va_list ap;
    void *arg;

    va_start(ap, command);
    arg = va_arg(ap, void *);
    va_end(ap);
    if (command == F_OFD_SETLK && lock_errno != 0) {
        errno = lock_errno;
        return -1;
    }
    return (int)syscall(SYS_fcntl, fd, command, arg);
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

static struct kept kept;
static char path[VEC_PATH];

static void start(void)
{
    keys_start();
    kept_make(&kept, WAY_AB, 2);
    vec_temp_file(path, kept.blob, kept.len, 0600);
}

static void stop(void)
{
    (void)unlink(path);
    kept_clear(&kept);
    keys_end();
}

SUITE_WITH(target, start, stop);

#define ADD                                                                                                            \
    (&(const struct blobseal_change){.size = sizeof(struct blobseal_change), .add = &public_keys[5], .num_add = 1})

/* One open file description of the file, as a target. */
struct opening {
    int fd;
    struct blobseal_fd state;
    struct blobseal_target target;
};

static enum blobseal_status open_target(struct opening *o, int flags, struct blobseal_error *err)
{
    o->fd = open(path, flags | O_CLOEXEC);
    cr_assert_geq(o->fd, 0);
    return blobseal_target_fd(&o->target, &o->state, o->fd, "the file", err);
}

static enum blobseal_status change(struct opening *o, struct blobseal_error *err)
{
    struct blobseal_change_result *r;
    enum blobseal_status st = blobseal_change_in_place(&r, &o->target, keys, 2, ADD, err);

    cr_expect_eq(st == BLOBSEAL_OK, r != NULL);
    blobseal_change_result_free(r);
    return st;
}

/* The original content of the file. */
static void restore(void)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    cr_assert_eq(write(fd, kept.blob, kept.len), (ssize_t)kept.len);
    (void)close(fd);
}

/* Expect that key @i opens the blob in the file. */
static enum blobseal_status opens(size_t i)
{
    struct kept now = {.way = WAY_AB, .len = kept.len, .blob = must_alloc(kept.len)};
    enum blobseal_status st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    cr_assert_eq(syscall(SYS_pread64, fd, now.blob, now.len, (off64_t)0), (long)now.len);
    (void)close(fd);
    st = kept_open(&now, keys[i]);
    kept_clear(&now);
    return st;
}

Test(target, changes_a_file)
{
    struct blobseal_error err;
    struct opening o;

    cr_assert_eq(open_target(&o, O_RDWR, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_eq(change(&o, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_eq(syncs, 2);
    cr_expect_eq(opens(5), BLOBSEAL_OK);
    cr_expect_eq(lseek(o.fd, 0, SEEK_CUR), 0, "the offset does not move");
    (void)close(o.fd);
}

Test(target, needs_a_file_to_read_and_write)
{
    static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR | O_APPEND};
    struct blobseal_error err;
    struct opening o;
    int ends[2];

    for (size_t i = 0; i < COUNT(flags); i++) {
        cr_expect_eq(open_target(&o, flags[i], &err), BLOBSEAL_E_ARG, "flags %x", flags[i]);
        cr_expect_not_null(strstr(err.text, "the file"), "%s", err.text);
        (void)close(o.fd);
    }
    cr_assert_eq(pipe(ends), 0);
    for (size_t i = 0; i < 2; i++) {
        cr_expect_eq(blobseal_target_fd(&o.target, &o.state, ends[i], "a pipe", &err), BLOBSEAL_E_ARG);
        (void)close(ends[i]);
        cr_expect_neq(blobseal_target_fd(&o.target, &o.state, ends[i], "closed", NULL), BLOBSEAL_OK);
    }
    cr_expect_neq(blobseal_target_fd(&o.target, &o.state, -1, NULL, &err), BLOBSEAL_OK);
    cr_expect_eq(open_target(&o, O_RDWR | O_TRUNC, &err), BLOBSEAL_E_ARG, "an empty file has no slots");
    (void)close(o.fd);
}

/* ---- The lock ---------------------------------------------------------------------------------------------------- */

/* Return true if another process holds a lock that conflicts with one of @type through this descriptor. */
static bool is_locked(const struct opening *o, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    cr_assert_eq(fcntl(o->fd, F_OFD_GETLK, &lock), 0);
    return lock.l_type != F_UNLCK;
}

Test(target, the_lock_excludes_others_until_it_is_given_back)
{
    struct opening a, b;
    struct blobseal_error err;

    cr_assert_eq(open_target(&a, O_RDWR, NULL), BLOBSEAL_OK);
    cr_assert_eq(open_target(&b, O_RDWR, NULL), BLOBSEAL_OK);
    cr_assert_eq(a.target.lock(a.target.ctx, true, NULL), BLOBSEAL_OK);
    cr_expect(is_locked(&b, F_RDLCK) && is_locked(&b, F_WRLCK));
    cr_expect_eq(change(&b, &err), BLOBSEAL_E_EXISTS, "%s", err.text);
    cr_expect_not_null(strstr(err.text, "busy"), "%s", err.text);
    cr_expect_eq(opens(5), BLOBSEAL_E_NO_KEY, "nothing was written");
    cr_assert_eq(a.target.lock(a.target.ctx, false, NULL), BLOBSEAL_OK);
    cr_expect_eq(change(&b, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_not(is_locked(&a, F_WRLCK), "a change gives it back");
    sync_errno = EIO;
    cr_expect_eq(change(&a, NULL), BLOBSEAL_OK, "nothing to do, so no sync");
    sync_errno = 0;
    cr_assert_eq(b.target.lock(b.target.ctx, true, NULL), BLOBSEAL_OK);
    cr_expect(is_locked(&a, F_WRLCK));
    (void)close(b.fd);
    cr_expect_not(is_locked(&a, F_WRLCK), "so does closing the file");
    (void)close(a.fd);
}

Test(target, the_lock_excludes_another_process)
{
    struct opening a;
    int status, ends[2];
    char c;
    pid_t child;

    cr_assert_eq(open_target(&a, O_RDWR, NULL), BLOBSEAL_OK);
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(a.target.lock(a.target.ctx, true, NULL), BLOBSEAL_OK);
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        struct opening b;
        enum blobseal_status st;

        (void)close(a.fd); /* otherwise the inherited copy of the descriptor would keep the lock */
        if (open_target(&b, O_RDWR, NULL) != BLOBSEAL_OK)
            _exit(1);
        if (b.target.lock(b.target.ctx, true, NULL) != BLOBSEAL_E_EXISTS || write(ends[1], "x", 1) != 1)
            _exit(2);
        do
            st = b.target.lock(b.target.ctx, true, NULL);
        while (st == BLOBSEAL_E_EXISTS); /* until the other process releases it */
        _exit(st == BLOBSEAL_OK ? 0 : 3);
    }
    cr_assert_eq(read(ends[0], &c, 1), 1);
    cr_assert_eq(a.target.lock(a.target.ctx, false, NULL), BLOBSEAL_OK);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0, "status %d", status);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(a.fd);
}

/* Another process locks the file of descriptor @fd until the other end of the pipe *@end is closed. */
static pid_t plant_lock(int flags, struct flock lock, int *end)
{
    int ready[2], stop[2];
    char c;
    pid_t child;

    cr_assert(pipe(ready) == 0 && pipe(stop) == 0);
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        int fd = open(path, flags | O_CLOEXEC);

        (void)close(stop[1]);
        if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        _exit(read(stop[0], &c, 1) == 0 ? 0 : 2);
    }
    (void)close(ready[1]);
    (void)close(stop[0]);
    cr_assert_eq(read(ready[0], &c, 1), 1);
    (void)close(ready[0]);
    *end = stop[1];
    return child;
}

/* Whoever may only read the file cannot hinder a change, with a shared lock on the whole file or on the very byte. */
Test(target, a_shared_lock_of_a_reader_does_not_block_a_change)
{
    static const struct flock locks[] = {
        {.l_type = F_RDLCK, .l_whence = SEEK_SET},
        {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = (off_t)1 << 62, .l_len = 1},
    };

    for (size_t i = 0; i < COUNT(locks); i++) {
        struct blobseal_error err;
        struct opening o;
        int end, status;
        pid_t child = plant_lock(O_RDONLY, locks[i], &end);

        restore();
        cr_assert_eq(open_target(&o, O_RDWR, NULL), BLOBSEAL_OK);
        cr_expect_eq(change(&o, &err), BLOBSEAL_OK, "%s", err.text);
        cr_expect_eq(opens(5), BLOBSEAL_OK);
        (void)close(o.fd);
        (void)close(end);
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_expect_eq(status, 0);
    }
}

/* A lock on the content of the file, such as another program takes to edit it, is not in the way either. */
Test(target, a_lock_on_the_content_is_something_else)
{
    struct blobseal_error err;
    struct opening o;
    int end, status;
    pid_t child = plant_lock(O_RDWR, (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 << 30}, &end);

    cr_assert_eq(open_target(&o, O_RDWR, NULL), BLOBSEAL_OK);
    cr_expect_eq(change(&o, &err), BLOBSEAL_OK, "%s", err.text);
    (void)close(o.fd);
    (void)close(end);
    cr_assert_eq(waitpid(child, &status, 0), child);
}

Test(target, a_file_system_without_locks_is_reported)
{
    static const int errnos[] = {ENOLCK, ENOSYS, EINVAL, EOVERFLOW, EOPNOTSUPP};

    for (size_t i = 0; i < COUNT(errnos); i++) {
        struct blobseal_error err;
        struct opening o;

        cr_assert_eq(open_target(&o, O_RDWR, NULL), BLOBSEAL_OK);
        lock_errno = errnos[i];
        cr_expect_eq(change(&o, &err), BLOBSEAL_E_OUTPUT);
        cr_expect_eq(err.advice, BLOBSEAL_ADVICE_NO_LOCK);
        cr_expect(err.sys_errno == errnos[i] && strstr(err.text, "no locks") != NULL, "%s", err.text);
        o.target.lock = NULL; /* what the advice says */
        cr_expect_eq(change(&o, &err), BLOBSEAL_OK, "%s", err.text);
        lock_errno = 0;
        (void)close(o.fd);
    }
}

/* ---- Errors of system calls -------------------------------------------------------------------------------------- */

Test(target, errors_of_the_system_are_passed_on)
{
    static const int errnos[] = {EIO, ENOSPC, EDQUOT, EFBIG};
    struct blobseal_error err;
    struct opening o;

    for (size_t i = 0; i < COUNT(errnos); i++) {
        cr_assert_eq(open_target(&o, O_RDWR, NULL), BLOBSEAL_OK);
        restore();
        write_errno = errnos[i];
        syncs = 0;
        cr_expect_eq(change(&o, &err), BLOBSEAL_E_OUTPUT);
        cr_expect(err.sys_errno == errnos[i] && strstr(err.text, "the file") != NULL, "%s", err.text);
        cr_expect_eq(syncs, 0);
        write_errno = 0;
        cr_expect_eq(opens(0), BLOBSEAL_OK);

        restore();
        sync_errno = errnos[i];
        cr_expect_eq(change(&o, &err), BLOBSEAL_E_OUTPUT);
        cr_expect(err.sys_errno == errnos[i] && strstr(err.text, "sync the file") != NULL, "%s", err.text);
        cr_expect_eq(syncs, 1, "one error ends it");
        sync_errno = 0;
        cr_expect_eq(opens(0), BLOBSEAL_OK);

        restore();
        read_errno = errnos[i];
        cr_expect_eq(change(&o, &err), BLOBSEAL_E_INPUT);
        cr_expect(err.sys_errno == errnos[i] && strstr(err.text, "the file") != NULL, "%s", err.text);
        read_errno = 0;
        (void)close(o.fd);
    }
}

Test(target, a_descriptor_that_is_gone)
{
    struct blobseal_error err;
    struct opening o;

    cr_assert_eq(open_target(&o, O_RDWR, NULL), BLOBSEAL_OK);
    (void)close(o.fd);
    cr_expect_eq(change(&o, &err), BLOBSEAL_E_OUTPUT);
    cr_expect(err.sys_errno == EBADF && strstr(err.text, "lock the file") != NULL, "%s", err.text);
    cr_expect_eq(o.target.write(o.target.ctx, "x", 1, 0, &err), BLOBSEAL_E_OUTPUT);
}

Test(target, short_writes_and_interrupts_are_no_errors)
{
    struct blobseal_error err;
    struct opening o;

    cr_assert_eq(open_target(&o, O_RDWR, NULL), BLOBSEAL_OK);
    most_at_once = 100;
    interrupts = 5;
    cr_expect_eq(change(&o, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_eq(interrupts, 0);
    cr_expect(opens(0) == BLOBSEAL_OK && opens(5) == BLOBSEAL_OK);
    (void)close(o.fd);
}
