/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys in a folder. Symbolic links to files are followed, because Kubernetes mounts secrets as links to a hidden
 * folder that it replaces as a whole. Names that begin with a dot are left out, so each key is read once.
 */
#define _GNU_SOURCE /* DT_ constants, fdopendir() */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/decoder/decoder.h"

#define MAX_DEPTH   8
#define MAX_ENTRIES 1024
#define MAX_KEY     65536

struct walk {
    struct decoder *d;
    unsigned entries;
    bool no_memory;
    struct blobseal_error *err;
};

static void skip(struct walk *w, const char *path, const char *why)
{
    warn(w->d->ui, "the key %s is left out: %s", path, why);
    w->d->faults++;
}

/* Return what is wrong with the owner or the mode of a file, or NULL. */
static const char *check_access(const struct stat *s)
{
    if (!S_ISREG(s->st_mode))
        return "it is not a regular file";
    if (s->st_uid != 0 && s->st_uid != geteuid())
        return "it belongs to another user";
    if ((s->st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return "others can read or write it: set its mode to 0600, or defaultMode of the secret to 0400";
    return s->st_size > MAX_KEY ? "it is larger than 64 KiB" : NULL;
}

/* Read an open file into secret memory and add its keys. */
static void add_file(struct walk *w, int fd, const char *path, size_t size)
{
    char *text = blobseal_secret_alloc(size + 1);
    struct key_text key = {.name = path, .text = text};
    ssize_t n = 1;

    if (text == NULL) {
        w->no_memory = !fail(w->err, BLOBSEAL_E_NOMEM, 0, "read the key %s: no memory", path);
        return;
    }
    while (n > 0 && key.len < size) {
        n = read(fd, text + key.len, size - key.len);
        key.len += n > 0 ? (size_t)n : 0;
    }
    if (n < 0)
        skip(w, path, strerror(errno));
    else if (!key_text_add(&w->d->keys, &key, w->err)) {
        warn(w->d->ui, "%s", w->err->text);
        w->no_memory = w->err->status == BLOBSEAL_E_NOMEM;
        w->d->faults++;
    }
    blobseal_secret_free(text);
}

static void add_entry(struct walk *w, int folder, const char *name, const char *path, unsigned depth);

/* Add all entries of a folder. Closes @fd. */
static void add_folder(struct walk *w, int fd, const char *path, unsigned depth)
{
    DIR *dir = fdopendir(fd);
    char full[4096];

    if (dir == NULL) {
        skip(w, path, strerror(errno));
        (void)close(fd);
        return;
    }
    for (const struct dirent *e; !w->no_memory && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        if (++w->entries > MAX_ENTRIES) {
            skip(w, path, "there are more than 1024 files");
            break;
        }
        if (snprintf(full, sizeof full, "%s/%s", path, e->d_name) < (int)sizeof full)
            add_entry(w, dirfd(dir), e->d_name, full, depth);
    }
    (void)closedir(dir);
}

static void add_entry(struct walk *w, int folder, const char *name, const char *path, unsigned depth)
{
    struct stat link, s;
    const char *fault;
    int fd;

    if (fstatat(folder, name, &link, AT_SYMLINK_NOFOLLOW) != 0) {
        skip(w, path, strerror(errno));
        return;
    }
    if (S_ISLNK(link.st_mode) && link.st_uid != 0 && link.st_uid != geteuid()) {
        skip(w, path, "it is a link of another user");
        return;
    }
    fd = openat(folder, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &s) != 0) {
        skip(w, path, strerror(errno));
    } else if (S_ISDIR(link.st_mode) && depth < MAX_DEPTH) {
        add_folder(w, fd, path, depth + 1);
        return;
    } else {
        fault = S_ISDIR(s.st_mode) ? "it is a link to a folder, or in too many folders" : check_access(&s);
        if (fault != NULL)
            skip(w, path, fault);
        else
            add_file(w, fd, path, (size_t)s.st_size);
    }
    if (fd >= 0)
        (void)close(fd);
}

bool key_folder_add(struct decoder *d, const char *path, struct blobseal_error *err)
{
    struct walk w = {.d = d, .err = err};
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        skip(&w, path, strerror(errno));
    else
        add_folder(&w, fd, path, 0);
    return !w.no_memory;
}
