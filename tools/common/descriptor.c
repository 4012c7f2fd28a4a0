/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that name one of the process's own descriptors, such as /dev/stdout, and paths in /dev and /proc. */
#define _XOPEN_SOURCE 700 /* realpath() */
#include "tools/common/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_LINKS 8 /* symbolic links in /dev that lead to each other */

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static int descriptor_number(const char *text)
{
    unsigned long n;

    return parse_number(text, 0, INT_MAX, &n) ? (int)n : -1;
}

/* Return the descriptor for a path in its usual form. This works without /proc, too. */
static int usual_path(const char *path)
{
    static const char *const names[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};

    for (size_t i = 0; i < COUNT(names); i++)
        if (strcmp(path, names[i]) == 0)
            return (int)i;
    if (starts_with(path, "/dev/fd/"))
        return descriptor_number(path + strlen("/dev/fd/"));
    return starts_with(path, "/proc/self/fd/") ? descriptor_number(path + strlen("/proc/self/fd/")) : -1;
}

/* Return true if @folder, a path without symbolic links, lists the descriptors of this process or one of its threads.
 */
static bool is_own_list(const char *folder)
{
    size_t len = strlen(folder);
    char own[32];

    (void)snprintf(own, sizeof own, "/proc/%ld/", (long)getpid());
    return starts_with(folder, own) && len > 3 && strcmp(folder + len - 3, "/fd") == 0;
}

bool is_system_folder(const char *folder)
{
    if (strcmp(folder, "/dev") == 0 || strcmp(folder, "/proc") == 0 || starts_with(folder, "/proc/"))
        return true;
    return starts_with(folder, "/dev/") && strcmp(folder, "/dev/shm") != 0 && !starts_with(folder, "/dev/shm/");
}

char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder, *resolved;

    folder = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    resolved = folder != NULL ? realpath(folder, NULL) : NULL;
    free(folder);
    return resolved;
}

static const char *last_component(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/*
 * Put the target of the symbolic link @name in @folder into @path. Return false if it is no symbolic link in /dev or
 * /proc.
 */
static bool follow(const char *folder, const char *name, char path[PATH_MAX])
{
    char link[PATH_MAX], target[PATH_MAX];
    ssize_t n;

    if (!is_system_folder(folder) || snprintf(link, sizeof link, "%s/%s", folder, name) >= (int)sizeof link)
        return false;
    n = readlink(link, target, sizeof target - 1);
    if (n <= 0)
        return false;
    target[n] = '\0';
    if (target[0] == '/')
        return snprintf(path, PATH_MAX, "%s", target) < PATH_MAX;
    return snprintf(path, PATH_MAX, "%s/%s", folder, target) < PATH_MAX;
}

int own_descriptor(const char *path)
{
    char current[PATH_MAX];
    int fd = -1;

    if (snprintf(current, sizeof current, "%s", path) >= (int)sizeof current)
        return -1;
    for (unsigned i = 0; i < MAX_LINKS; i++) {
        char *folder;
        bool again;

        fd = usual_path(current);
        if (fd >= 0)
            return fd;
        folder = folder_of(current);
        if (folder == NULL)
            return -1;
        if (is_own_list(folder))
            fd = descriptor_number(last_component(current));
        again = fd < 0 && follow(folder, last_component(current), current);
        free(folder);
        if (!again)
            break;
    }
    return fd;
}

bool is_stream(const char *path)
{
    return strcmp(path, "-") == 0 || own_descriptor(path) >= 0;
}

bool is_standard_output(const char *path)
{
    return strcmp(path, "-") == 0 || own_descriptor(path) == STDOUT_FILENO;
}

int inherited_descriptor(int number)
{
    int flags = fcntl(number, F_GETFD);

    /* This process opens all files with FD_CLOEXEC, and an inherited descriptor cannot have it. */
    if (flags < 0 || (number > STDERR_FILENO && (flags & FD_CLOEXEC) != 0)) {
        errno = EBADF;
        return -1;
    }
    return fcntl(number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}
