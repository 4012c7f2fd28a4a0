/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Make system calls fail the way real file systems make them fail. Use it with LD_PRELOAD. The environment variable
 * FAIL_CALLS is a list of rules, separated by spaces:
 *
 *     CALL=ERROR[#N][@PATTERN]
 *
 * CALL is the name of a function below, ERROR one of the names in errors[], N the only call that fails (default: all),
 * PATTERN a shell pattern for the path of the file, without links. Some calls have other names: `tmpfile` is openat()
 * with O_TMPFILE, `exchange` and `noreplace` are renameat2() with these flags, `lock` is fcntl() with a lock.
 *
 * Rules that are not about one call have no ERROR of the system: `statfs=FUSE` makes every file system look like FUSE.
 * `create=WIDE` makes every new file readable by all, as on a file system without permissions. `pwrite=ORDER` refuses
 * to write anywhere but at the end. `close=AGAIN` makes a removed file appear again when its descriptor is closed, as
 * remote file systems do that upload a file then. `open=EMPTY` lets a library that is not built for large files, such
 * as the module of SoftHSM, read an empty file. CALL=STOP stops the process before the call, which does not fail: the
 * test changes something, and lets the process continue with SIGCONT.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define UNNAMED  (O_TMPFILE & ~O_DIRECTORY)
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

enum { WIDE = 10000, FUSE, ORDER, AGAIN, EMPTY, STOP };

static const struct {
    const char *name;
    int number;
} errors[] = {
    {"EACCES", EACCES}, {"EBADF", EBADF},   {"EDQUOT", EDQUOT},         {"EEXIST", EEXIST},
    {"EINVAL", EINVAL}, {"EIO", EIO},       {"ENOENT", ENOENT},         {"ENOLCK", ENOLCK},
    {"ENOSPC", ENOSPC}, {"ENOSYS", ENOSYS}, {"EOPNOTSUPP", EOPNOTSUPP}, {"EPERM", EPERM},
    {"EROFS", EROFS},   {"ESPIPE", ESPIPE}, {"EXDEV", EXDEV},           {"WIDE", WIDE},
    {"FUSE", FUSE},     {"ORDER", ORDER},   {"AGAIN", AGAIN},           {"EMPTY", EMPTY},
    {"STOP", STOP},
};

/* ---- Rules ------------------------------------------------------------------------------------------------------- */

static unsigned long calls[64]; /* how often each rule has matched */

static int error_number(const char *text)
{
    for (size_t i = 0; i < COUNT(errors); i++)
        if (strcmp(text, errors[i].name) == 0)
            return errors[i].number;
    fprintf(stderr, "fail_calls: no error named %s\n", text);
    _exit(120);
}

/* Return the error of one rule for this call, or 0. The rule is changed. */
static int apply(char *rule, size_t index, const char *call, const char *path)
{
    char *pattern = strchr(rule, '@'), *number, *error = strchr(rule, '=');

    if (pattern != NULL)
        *pattern++ = '\0';
    number = strchr(rule, '#');
    if (number != NULL)
        *number++ = '\0';
    if (error == NULL)
        return error_number(rule);
    *error++ = '\0';
    if (strcmp(rule, call) != 0 || (pattern != NULL && fnmatch(pattern, path, 0) != 0))
        return 0;
    if (number != NULL &&
        __atomic_add_fetch(&calls[index % COUNT(calls)], 1, __ATOMIC_RELAXED) != strtoul(number, NULL, 10))
        return 0;
    return error_number(error);
}

/* Return the error that the rules have for @call of the file @path, or 0. */
static int rule_for(const char *call, const char *path)
{
    const char *list = getenv("FAIL_CALLS");
    char copy[1024], *save, *rule;
    int found = 0;

    if (list == NULL)
        return 0;
    (void)snprintf(copy, sizeof copy, "%s", list);
    rule = strtok_r(copy, " ", &save);
    for (size_t i = 0; rule != NULL && found == 0; i++) {
        found = apply(rule, i, call, path);
        if (found == STOP) {
            (void)raise(SIGSTOP);
            found = 0;
        }
        rule = strtok_r(NULL, " ", &save);
    }
    return found;
}

static const char *path_of(int fd, char path[PATH_MAX])
{
    char self[64];
    ssize_t n;

    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    n = readlink(self, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = '\0';
    return path;
}

static int rule_for_fd(const char *call, int fd)
{
    char path[PATH_MAX];

    return rule_for(call, path_of(fd, path));
}

static int rule_at(const char *call, int folder, const char *name)
{
    char in[PATH_MAX], path[2 * PATH_MAX];

    if (name[0] == '/' || folder == AT_FDCWD)
        return rule_for(call, name);
    (void)snprintf(path, sizeof path, "%s/%s", path_of(folder, in), name);
    return rule_for(call, path);
}

static int failed(int error)
{
    errno = error;
    return -1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

#define FD_CALL(type, name, parameters, arguments)                                                                     \
    type name parameters                                                                                               \
    {                                                                                                                  \
        int error = rule_for_fd(#name, fd);                                                                            \
                                                                                                                       \
        return error != 0 ? failed(error) : NEXT(name) arguments;                                                      \
    }

FD_CALL(int, fsync, (int fd), (fd))
FD_CALL(int, fdatasync, (int fd), (fd))
FD_CALL(int, fchmod, (int fd, mode_t mode), (fd, mode))
FD_CALL(int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
FD_CALL(ssize_t, write, (int fd, const void *buf, size_t len), (fd, buf, len))
FD_CALL(int, fremovexattr, (int fd, const char *name), (fd, name))
FD_CALL(int, fsetxattr, (int fd, const char *name, const void *value, size_t len, int flags),
        (fd, name, value, len, flags))

int unlinkat(int folder, const char *name, int flags)
{
    int error = rule_at("unlinkat", folder, name);

    return error != 0 ? failed(error) : NEXT(unlinkat)(folder, name, flags);
}

int renameat(int from_folder, const char *from, int folder, const char *name)
{
    int error = rule_at("renameat", folder, name);

    return error != 0 ? failed(error) : NEXT(renameat)(from_folder, from, folder, name);
}

int renameat2(int from_folder, const char *from, int folder, const char *name, unsigned flags)
{
    int error = rule_at(flags == RENAME_EXCHANGE ? "exchange" : "noreplace", folder, name);

    return error != 0 ? failed(error) : NEXT(renameat2)(from_folder, from, folder, name, flags);
}

int linkat(int from_folder, const char *from, int folder, const char *name, int flags)
{
    int error = rule_at("linkat", folder, name);

    return error != 0 ? failed(error) : NEXT(linkat)(from_folder, from, folder, name, flags);
}

int open64(const char *name, int flags, ...)
{
    int error = rule_for("open64", name);
    mode_t mode = 0;
    va_list ap;

    va_start(ap, flags);
    if ((flags & (O_CREAT | UNNAMED)) != 0)
        mode = va_arg(ap, mode_t);
    va_end(ap);
    return error != 0 ? failed(error) : NEXT(open64)(name, flags, mode);
}

int openat64(int folder, const char *name, int flags, ...)
{
    bool makes = (flags & (O_CREAT | UNNAMED)) != 0;
    mode_t mode = 0;
    va_list ap;
    int error, fd;

    va_start(ap, flags);
    if (makes)
        mode = va_arg(ap, mode_t);
    va_end(ap);
    error = rule_at((flags & UNNAMED) != 0 ? "tmpfile" : makes ? "create" : "openat", folder, name);
    if (error != 0 && error != WIDE)
        return failed(error);
    fd = NEXT(openat64)(folder, name, flags, mode);
    if (fd >= 0 && error == WIDE)
        (void)NEXT(fchmod)(fd, 0644);
    return fd;
}

/* The function that the name `open` means without _FILE_OFFSET_BITS. */
int open_small(const char *name, int flags, ...) __asm__("open");

int open_small(const char *name, int flags, ...)
{
    int (*next)(const char *, int, ...);
    bool reads = (flags & (O_ACCMODE | O_CREAT)) == O_RDONLY;
    int error = reads ? rule_for("open", name) : 0;
    mode_t mode = 0;
    va_list ap;

    va_start(ap, flags);
    if ((flags & O_CREAT) != 0)
        mode = va_arg(ap, mode_t);
    va_end(ap);
    if (error != 0 && error != EMPTY)
        return failed(error);
    *(void **)&next = dlsym(RTLD_NEXT, "open");
    return next(error == EMPTY ? "/dev/null" : name, flags, mode);
}

FD_CALL(ssize_t, pread64, (int fd, void *buf, size_t len, off64_t off), (fd, buf, len, off))

ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t off)
{
    int error = rule_for_fd("pwrite", fd);

    if (error == ORDER)
        error = off != lseek64(fd, 0, SEEK_END) ? ESPIPE : 0;
    return error != 0 ? failed(error) : NEXT(pwrite64)(fd, buf, len, off);
}

int fstatfs64(int fd, struct statfs64 *fs)
{
    int error = rule_for_fd("statfs", fd), rc;

    if (error != 0 && error != FUSE)
        return failed(error);
    rc = NEXT(fstatfs64)(fd, fs);
    if (error == FUSE)
        fs->f_type = FUSE_SUPER_MAGIC;
    return rc;
}

int fcntl64(int fd, int command, ...)
{
    bool locks = command == F_OFD_SETLK || command == F_OFD_SETLKW || command == F_SETLK;
    int error = locks ? rule_for_fd("lock", fd) : 0;
    va_list ap;
    void *argument;

    va_start(ap, command);
    argument = va_arg(ap, void *);
    va_end(ap);
    return error != 0 ? failed(error) : NEXT(fcntl64)(fd, command, argument);
}

/* Make the removed file @path, which ends in " (deleted)", again. */
static void make_again(char *path)
{
    char *end = strstr(path, " (deleted)");
    int fd;

    if (end == NULL)
        return;
    *end = '\0';
    fd = NEXT(openat64)(AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)NEXT(close)(fd);
}

int close(int fd)
{
    char path[PATH_MAX];
    int error = rule_for("close", path_of(fd, path));
    int rc = NEXT(close)(fd);

    if (error == AGAIN)
        make_again(path);
    else if (error != 0)
        return failed(error);
    return rc;
}

/* The end of the process closes all descriptors. */
void _exit(int status)
{
    char path[PATH_MAX];

    for (int fd = STDERR_FILENO + 1; fd < 100; fd++)
        if (rule_for("close", path_of(fd, path)) == AGAIN)
            make_again(path);
    NEXT(_exit)(status);
    __builtin_unreachable();
}
