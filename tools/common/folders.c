/* SPDX-License-Identifier: Apache-2.0 */
/* Folders in which files got their names, synced once at the end and not after each file. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/files.h"

/* Sync a folder and forget it. Remember the first error. */
static void sync_one(struct folders *f, size_t i)
{
    if (fsync(f->list[i].fd) != 0 && is_disk_error(errno) && f->sys_errno == 0) {
        f->sys_errno = errno;
        (void)snprintf(f->failed, sizeof f->failed, "%s", f->list[i].file);
    }
    (void)close(f->list[i].fd);
    memmove(&f->list[i], &f->list[i + 1], (--f->num - i) * sizeof f->list[0]);
}

/* Add the folder that @st describes. If the list is full, sync the oldest one. */
static bool add(struct folders *f, const struct stat *st, const struct output *out)
{
    int fd = openat(out->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return false;
    if (f->num == COUNT(f->list))
        sync_one(f, 0);
    f->list[f->num] = (struct folder){.dev = st->st_dev, .ino = st->st_ino, .fd = fd};
    (void)snprintf(f->list[f->num].file, sizeof f->list[0].file, "%s", out->path);
    f->num++;
    return true;
}

bool folders_add(struct folders *f, const struct output *out)
{
    bool found = false;
    struct stat st;

    if (fstat(out->folder, &st) != 0)
        return false;
    (void)pthread_mutex_lock(&f->lock);
    for (size_t i = f->num; i-- > 0 && !found;)
        found = f->list[i].dev == st.st_dev && f->list[i].ino == st.st_ino;
    found = found || add(f, &st, out);
    (void)pthread_mutex_unlock(&f->lock);
    return found;
}

bool folders_sync(struct folders *f, struct blobseal_error *err)
{
    while (f->num > 0)
        sync_one(f, f->num - 1);
    if (f->sys_errno == 0)
        return true;
    (void)fail(err, BLOBSEAL_E_OUTPUT, f->sys_errno, "sync the folder of %s", f->failed);
    blobseal_hint(err, "the files in it are complete, but a crash of the machine could still lose their names");
    return false;
}
