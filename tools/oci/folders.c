/* SPDX-License-Identifier: Apache-2.0 */
/* Temporary names and folders, and copies of blobs. */
#define _GNU_SOURCE /* for the constants of openat() */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "tools/oci/oci.h"

#define COPY_BYTES (256U << 10)
#define TEMP_END   ".partial"

bool oci_temp_name(char temp[OCI_TEMP_NAME], const char *name, struct blobseal_error *err)
{
    uint64_t r;

    if (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r)
        return fail(err, BLOBSEAL_E_INTERNAL, errno, "get a random name");
    (void)snprintf(temp, OCI_TEMP_NAME, OCI_TEMP_START "%016llx" TEMP_END, name, (unsigned long long)r);
    return true;
}

bool oci_is_temp_name(const char *name)
{
    size_t len = strlen(name), end = strlen(TEMP_END);

    return len > 18 + end && name[0] == '.' && strcmp(name + len - end, TEMP_END) == 0 && name[len - end - 17] == '.' &&
           strspn(name + len - end - 16, "0123456789abcdef") == 16;
}

bool oci_is_blob_name(const char *name)
{
    return strlen(name) == 64 && strspn(name, "0123456789abcdef") == 64;
}

/*
 * Lock a folder that was just made, so that no other run takes it for a leftover. Return false if one did so already,
 * and has removed it or is about to.
 */
static bool lock_new(const char *path, int *lock)
{
    struct stat opened, named;

    *lock = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*lock >= 0 && (flock(*lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) && fstat(*lock, &opened) == 0 &&
        lstat(path, &named) == 0 && opened.st_dev == named.st_dev && opened.st_ino == named.st_ino)
        return true;
    if (*lock >= 0)
        (void)close(*lock);
    *lock = -1;
    return false;
}

/* Make a folder and lock it. Return false with errno, which is EAGAIN if it got lost to another run. */
static bool make_locked(const char *path, int *lock)
{
    if (mkdir(path, 0700) != 0)
        return false;
    if (lock_new(path, lock))
        return true;
    (void)rmdir(path);
    errno = EAGAIN;
    return false;
}

#define TEMP_TRIES 10

char *oci_temp_folder(const char *path, int *lock, struct blobseal_error *err)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    size_t len = (size_t)(name - path);
    char temp[OCI_TEMP_NAME], *full = malloc(len + sizeof temp);
    bool ok = true;

    *lock = -1;
    if (full == NULL) {
        (void)fail(err, BLOBSEAL_E_NOMEM, 0, "make a temporary folder: no memory");
        return NULL;
    }
    for (unsigned i = 1; ok && *lock < 0; i++) {
        ok = oci_temp_name(temp, name, err);
        if (!ok)
            break;
        memcpy(full, path, len);
        memcpy(full + len, temp, sizeof temp);
        ok = make_locked(full, lock) || (errno == EAGAIN && i < TEMP_TRIES) ||
             fail(err, BLOBSEAL_E_OUTPUT, errno, "make a temporary folder next to %.200s", path);
    }
    if (ok) {
        oci_remove_leftovers(path);
        return full;
    }
    free(full);
    return NULL;
}

/* Remove all that is in the folder @fd, which is closed. */
static void empty_folder(int fd, unsigned depth)
{
    DIR *dir = fdopendir(fd);
    const struct dirent *e;

    if (dir == NULL) {
        (void)close(fd);
        return;
    }
    while ((e = readdir(dir)) != NULL) {
        int child;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || unlinkat(fd, e->d_name, 0) == 0)
            continue;
        child = depth < OCI_MAX_DEPTH ? openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        if (child >= 0)
            empty_folder(child, depth + 1);
        (void)unlinkat(fd, e->d_name, AT_REMOVEDIR);
    }
    (void)closedir(dir);
}

void oci_remove_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0)
        empty_folder(fd, 0);
    (void)rmdir(path);
}

bool oci_sync_folder(int folder, const char *name, struct blobseal_error *err)
{
    if (fsync(folder) == 0 || !is_disk_error(errno))
        return true;
    return fail(err, BLOBSEAL_E_OUTPUT, errno, "sync the folder %.200s", name);
}

bool oci_write(int fd, const void *data, size_t len, const char *name, struct blobseal_error *err)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, BLOBSEAL_E_OUTPUT, errno, "write %.200s", name);
        p += n;
        len -= (size_t)n;
    }
    return true;
}

/* Copy everything of the blob @digest, and feed the new digest @md. */
static bool copy_all(int from, int to, const char *digest, EVP_MD_CTX *md, uint64_t *bytes, struct blobseal_error *err)
{
    char *buf = malloc(COPY_BYTES);
    bool ok = buf != NULL || fail(err, BLOBSEAL_E_NOMEM, 0, "copy a blob: no memory");
    ssize_t n = 1;

    *bytes = 0;
    while (ok && n > 0) {
        n = read(from, buf, COPY_BYTES);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0)
            ok = fail(err, BLOBSEAL_E_INPUT, errno, "read %s", digest);
        else if (!oci_go_on(err))
            ok = false;
        else if (n > 0 && EVP_DigestUpdate(md, buf, (size_t)n) != 1)
            ok = fail(err, BLOBSEAL_E_INTERNAL, 0, "compute a digest: OpenSSL failed");
        else if (n > 0) {
            ok = to < 0 || oci_write(to, buf, (size_t)n, digest, err);
            *bytes += (uint64_t)n;
        }
    }
    free(buf);
    return ok;
}

bool oci_copy(int from, int to, const struct oci_descriptor *d, struct blobseal_error *err)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t sha256[BLOBSEAL_SHA256_LEN];
    char digest[OCI_DIGEST_LEN];
    uint64_t bytes;
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

    if (!ok)
        (void)fail(err, BLOBSEAL_E_INTERNAL, 0, "compute a digest: OpenSSL failed");
    ok = ok && copy_all(from, to, d->digest, md, &bytes, err);
    if (ok && EVP_DigestFinal_ex(md, sha256, NULL) != 1)
        ok = fail(err, BLOBSEAL_E_INTERNAL, 0, "compute a digest: OpenSSL failed");
    EVP_MD_CTX_free(md);
    if (!ok || (bytes == d->size && strcmp(oci_digest(digest, sha256), d->digest) == 0))
        return ok;
    (void)fail(err, BLOBSEAL_E_DAMAGED, 0, "the content of %s does not have this digest", d->digest);
    blobseal_hint(err, "fetch the image again from its source");
    return false;
}
