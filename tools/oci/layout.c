/* SPDX-License-Identifier: Apache-2.0 */
/* Reading an image layout. Nothing is opened through a symbolic link, and only regular files are read. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/oci/oci.h"

#define HEX(d) ((d)->digest + sizeof "sha256:" - 1) /* the name of a blob in blobs/sha256 */

/* ---- Files ------------------------------------------------------------------------------------------------------- */

/* Open a regular file in @folder. Return -1 after an error. */
static int open_file(int folder, const char *name, struct stat *st, struct blobseal_error *err)
{
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    if (fd < 0 && (errno == ELOOP || errno == EMLINK)) {
        (void)fail(err, BLOBSEAL_E_FORMAT, 0, "%.100s in the layout is a symbolic link", name);
        return -1;
    }
    if (fd < 0 || fstat(fd, st) != 0) {
        (void)fail(err, BLOBSEAL_E_INPUT, errno, "open %.100s in the layout", name);
        if (err->sys_errno == ENOENT)
            blobseal_hint(err, "the image is not complete: fetch it again from its source");
    } else if (!S_ISREG(st->st_mode)) {
        (void)fail(err, BLOBSEAL_E_FORMAT, 0, "%.100s in the layout is not a file", name);
    } else {
        return fd;
    }
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

/* Read @len bytes, which is all of the file. */
static bool read_all(int fd, char *text, size_t len, const char *name, struct blobseal_error *err)
{
    size_t done = 0;
    ssize_t n = 1;

    while (n > 0) { /* one byte more than expected, to find the end */
        char extra;

        n = done < len ? read(fd, text + done, len - done) : read(fd, &extra, 1);
        if (n < 0 && errno == EINTR) {
            n = 1;
            continue;
        }
        if (n < 0)
            return fail(err, BLOBSEAL_E_INPUT, errno, "read %.100s in the layout", name);
        if (n > 0 && done == len)
            return fail(err, BLOBSEAL_E_INPUT, 0, "%.100s in the layout changed while it was read", name);
        done += (size_t)n;
    }
    return done == len || fail(err, BLOBSEAL_E_INPUT, 0, "%.100s in the layout changed while it was read", name);
}

bool oci_file_load(int folder, const char *name, size_t max, char **text, size_t *len, struct blobseal_error *err)
{
    struct stat st;
    int fd = open_file(folder, name, &st, err);
    bool ok = fd >= 0;

    *text = NULL;
    *len = 0;
    if (ok && (st.st_size < 0 || (uint64_t)st.st_size > max))
        ok = fail(err, BLOBSEAL_E_FORMAT, 0, "%.100s in the layout is larger than %zu bytes", name, max);
    if (ok) {
        *len = (size_t)st.st_size;
        *text = malloc(*len + 1);
        ok = *text != NULL || fail(err, BLOBSEAL_E_NOMEM, 0, "read %.100s: no memory", name);
    }
    ok = ok && read_all(fd, *text, *len, name, err);
    if (ok && *text != NULL)
        (*text)[*len] = '\0';
    if (!ok) {
        free(*text);
        *text = NULL;
    }
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

/* ---- The layout -------------------------------------------------------------------------------------------------- */

/* Check the file that says that the folder is an image layout, and of which version. */
static bool check_version(const struct oci_layout *l, struct blobseal_error *err)
{
    json_t *document = NULL;
    const char *version;
    char *text = NULL;
    size_t len;
    bool ok = oci_file_load(l->root, "oci-layout", 4096, &text, &len, err);

    if (!ok && err->status == BLOBSEAL_E_INPUT && err->sys_errno == ENOENT)
        ok = fail(err, BLOBSEAL_E_INPUT, ENOENT, "%.200s is not an OCI image layout: it has no file oci-layout",
                  l->path);
    document = ok ? oci_parse(text, len, "oci-layout", err) : NULL;
    free(text);
    if (document == NULL)
        return false;
    version = oci_string(document, "imageLayoutVersion");
    ok = version != NULL && strncmp(version, "1.", 2) == 0;
    if (!ok)
        (void)fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "%.160s has the layout version %.40s: only 1.x is supported",
                   l->path, version != NULL ? version : "(none)");
    json_decref(document);
    return ok;
}

/* Open a folder in @parent without following a link. */
static int open_folder(const struct oci_layout *l, int parent, const char *name, struct blobseal_error *err)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        (void)fail(err, BLOBSEAL_E_FORMAT, 0, "%s in %.200s is not a folder", name, l->path);
    else if (fd < 0)
        (void)fail(err, BLOBSEAL_E_INPUT, errno, "open the folder %s in %.200s", name, l->path);
    return fd;
}

static bool open_blobs(struct oci_layout *l, struct blobseal_error *err)
{
    int parent = open_folder(l, l->root, "blobs", err);

    if (parent < 0)
        return false;
    l->blobs = open_folder(l, parent, "sha256", err);
    (void)close(parent);
    return l->blobs >= 0;
}

bool oci_layout_open(struct oci_layout *l, const char *path, struct blobseal_error *err)
{
    bool ok;

    *l = OCI_LAYOUT_NONE;
    l->path = strdup(path);
    if (l->path == NULL)
        return fail(err, BLOBSEAL_E_NOMEM, 0, "open %.200s: no memory", path);
    l->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ok = l->root >= 0 || fail(err, BLOBSEAL_E_INPUT, errno, "open the image layout %.200s", path);
    ok = ok && check_version(l, err) && open_blobs(l, err) &&
         oci_file_load(l->root, "index.json", OCI_MAX_INDEX, &l->text, &l->len, err);
    l->index = ok ? oci_parse(l->text, l->len, "index.json", err) : NULL;
    if (l->index != NULL)
        return true;
    oci_layout_close(l);
    return false;
}

void oci_layout_close(struct oci_layout *l)
{
    if (l->root >= 0)
        (void)close(l->root);
    if (l->blobs >= 0)
        (void)close(l->blobs);
    free(l->path);
    free(l->text);
    json_decref(l->index);
    *l = OCI_LAYOUT_NONE;
}

/* ---- Blobs ------------------------------------------------------------------------------------------------------- */

int oci_blob_open(const struct oci_layout *l, const struct oci_descriptor *d, struct blobseal_error *err)
{
    struct stat st;
    int fd = open_file(l->blobs, HEX(d), &st, err);

    if (fd < 0)
        return -1;
    if ((uint64_t)st.st_size == d->size)
        return fd;
    (void)fail(err, BLOBSEAL_E_DAMAGED, 0, "%s has %llu bytes, and its descriptor says %llu", d->digest,
               (unsigned long long)st.st_size, (unsigned long long)d->size);
    blobseal_hint(err, "fetch the image again from its source");
    (void)close(fd);
    return -1;
}

bool oci_blob_load(const struct oci_layout *l, const struct oci_descriptor *d, char **text, struct blobseal_error *err)
{
    char digest[OCI_DIGEST_LEN];
    size_t len;

    *text = NULL;
    if (d->size > OCI_MAX_DOCUMENT)
        return fail(err, BLOBSEAL_E_FORMAT, 0, "%s is too large for a manifest or a configuration: %llu bytes",
                    d->digest, (unsigned long long)d->size);
    if (!oci_file_load(l->blobs, HEX(d), OCI_MAX_DOCUMENT, text, &len, err))
        return false;
    if (oci_digest_of(digest, *text, len, err)) {
        if (len == d->size && strcmp(digest, d->digest) == 0)
            return true;
        (void)fail(err, BLOBSEAL_E_DAMAGED, 0, "%s does not have this digest, or not the size that its descriptor says",
                   d->digest);
        blobseal_hint(err, "fetch the image again from its source");
    }
    free(*text);
    *text = NULL;
    return false;
}
