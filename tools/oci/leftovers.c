/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Temporary folders of runs that were killed, which may hold plaintext. A run keeps its folder locked, so a folder that
 * can be locked belongs to no run. Somebody else may be able to give a folder of this user such a name: only what a
 * layout consists of is removed, and a folder that has anything else in it stays.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/oci/oci.h"

static int open_folder(int parent, const char *name)
{
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Return a stream of the entries of @folder, which stays open, or NULL. */
static DIR *list(int folder)
{
    int fd = open_folder(folder, ".");
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    if (dir == NULL && fd >= 0)
        (void)close(fd);
    return dir;
}

/* Remove the blobs in @folder, and files with temporary names. */
static void remove_blobs(int folder)
{
    DIR *dir = list(folder);
    const struct dirent *e;

    while (dir != NULL && (e = readdir(dir)) != NULL)
        if (oci_is_blob_name(e->d_name) || oci_is_temp_name(e->d_name))
            (void)unlinkat(folder, e->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
}

/* Remove the files of the layout in @folder, and its folders if nothing else is in them. */
static void remove_layout(int folder)
{
    int blobs = open_folder(folder, "blobs"), sha256 = blobs >= 0 ? open_folder(blobs, "sha256") : -1;

    if (sha256 >= 0) {
        remove_blobs(sha256);
        (void)close(sha256);
        (void)unlinkat(blobs, "sha256", AT_REMOVEDIR);
    }
    if (blobs >= 0) {
        (void)close(blobs);
        (void)unlinkat(folder, "blobs", AT_REMOVEDIR);
    }
    remove_blobs(folder); /* index.json under a temporary name */
    (void)unlinkat(folder, "index.json", 0);
    (void)unlinkat(folder, "oci-layout", 0);
}

/* Remove a temporary folder, if it belongs to this user and no process has locked it. */
static void remove_leftover(int parent, const char *name)
{
    int fd = open_folder(parent, name);
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        remove_layout(fd);
        (void)unlinkat(parent, name, AT_REMOVEDIR);
    }
    if (fd >= 0)
        (void)close(fd);
}

void oci_remove_leftovers(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    char start[OCI_TEMP_NAME], *folder = folder_of(path);
    int parent = folder != NULL ? open_folder(AT_FDCWD, folder) : -1;
    DIR *dir = parent >= 0 ? list(parent) : NULL;
    const struct dirent *e;
    size_t len = (size_t)snprintf(start, sizeof start, OCI_TEMP_START, name);

    while (dir != NULL && (e = readdir(dir)) != NULL)
        if (strncmp(e->d_name, start, len) == 0 && oci_is_temp_name(e->d_name) &&
            strlen(e->d_name) == len + OCI_TEMP_END)
            remove_leftover(parent, e->d_name);
    if (dir != NULL)
        (void)closedir(dir);
    if (parent >= 0)
        (void)close(parent);
    free(folder);
}
