/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a set: small, replaced as a whole, durable when the call returns. A file is never seen half written, because
 * the new bytes get its name only when they are on the disk.
 */
#define _GNU_SOURCE /* F_OFD_SETLK */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/set/set.h"

static void pause_ms(unsigned ms)
{
    const struct timespec t = {.tv_nsec = (long)ms * 1000000};

    (void)nanosleep(&t, NULL);
}

enum blobseal_status bs_set_file_read(char **text, size_t *len, const char *path, size_t max,
                                      struct blobseal_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    enum blobseal_status st = BLOBSEAL_OK;
    char *p;

    *text = NULL;
    *len = 0;
    if (fd < 0 && errno == ENOENT)
        return BLOBSEAL_OK;
    if (fd < 0)
        return blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read %.200s", path);
    p = malloc(max + 2);
    if (p == NULL) {
        (void)close(fd);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read %.200s: no memory", path);
    }
    while (st == BLOBSEAL_OK && *len <= max) {
        ssize_t n = read(fd, p + *len, max + 1 - *len);

        if (n == 0)
            break;
        if (n > 0)
            *len += (size_t)n;
        else if (errno != EINTR)
            st = blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read %.200s", path);
    }
    (void)close(fd);
    if (st != BLOBSEAL_OK) {
        free(p);
        *len = 0;
        return st;
    }
    p[*len] = '\0'; /* a file that is too long has max + 1 bytes, which its reader refuses */
    *text = p;
    return BLOBSEAL_OK;
}

/* Make the names in the folder of @path durable. */
static enum blobseal_status sync_folder(const char *path, struct blobseal_error *err)
{
    char folder[BS_SET_MAX_PATH];
    const char *slash = strrchr(path, '/');
    int fd, failed = 0;

    (void)snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - path) + 1 : 1,
                   slash != NULL ? path : ".");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        failed = errno;
    if (fd >= 0)
        (void)close(fd);
    return failed == 0 ? BLOBSEAL_OK : blobseal_fail(err, BLOBSEAL_E_OUTPUT, failed, "sync the folder %.200s", folder);
}

/* Write all bytes, and make them durable. */
static bool write_all(int fd, const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, text + at, len - at);

        if (n < 0 && errno != EINTR)
            return false;
        at += n > 0 ? (size_t)n : 0;
    }
    return fsync(fd) == 0;
}

enum blobseal_status bs_set_file_write(const char *path, const char *text, size_t len, bool replace,
                                       struct blobseal_error *err)
{
    char temp[BS_SET_MAX_PATH + 32];
    int fd, failed = 0;
    uint64_t r;
    enum blobseal_status st = bs_random(&r, sizeof r, false, err);

    if (st != BLOBSEAL_OK)
        return st;
    (void)snprintf(temp, sizeof temp, "%s.%016llx.tmp", path, (unsigned long long)r);
    fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "write %.200s", path);
    if (!write_all(fd, text, len))
        failed = errno;
    if (close(fd) != 0 && failed == 0)
        failed = errno;
    if (failed == 0 && (replace ? rename(temp, path) : link(temp, path)) != 0)
        failed = errno;
    if (failed != 0 || !replace)
        (void)unlink(temp);
    if (failed == EEXIST)
        return blobseal_fail(err, BLOBSEAL_E_EXISTS, 0, "write %.200s: it exists", path);
    if (failed != 0)
        return blobseal_fail(err, BLOBSEAL_E_OUTPUT, failed, "write %.200s", path);
    return sync_folder(path, err);
}

enum blobseal_status bs_set_file_lock(int *fd, const char *path, const struct blobseal_call *call,
                                      struct blobseal_error *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    enum blobseal_status st = BLOBSEAL_OK;

    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (*fd < 0)
        return blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "open %.200s", path);
    for (unsigned waited = 0; fcntl(*fd, F_OFD_SETLK, &lock) != 0; waited += 10) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            st = blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "lock %.200s", path);
        else if (waited >= 10000)
            st =
                blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "lock %.200s: another process is changing the set", path);
        else
            st = call != NULL ? bs_call_check(call, err) : BLOBSEAL_OK;
        if (st != BLOBSEAL_OK)
            break;
        pause_ms(10);
    }
    if (st != BLOBSEAL_OK) {
        (void)close(*fd);
        *fd = -1;
    }
    return st;
}

void bs_set_file_unlock(int fd)
{
    if (fd >= 0)
        (void)close(fd); /* which releases the lock of this open file description */
}

bool bs_set_make_folder(const char *folder, unsigned mode)
{
    char path[BS_SET_MAX_PATH];
    int n = snprintf(path, sizeof path, "%s", folder);

    if (n <= 0 || (size_t)n >= sizeof path)
        return false;
    for (char *at = path + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return false;
        *at = '/';
    }
    return mkdir(path, (mode_t)mode) == 0 || errno == EEXIST;
}
