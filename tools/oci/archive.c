/* SPDX-License-Identifier: Apache-2.0 */
/* Image layouts in tar files, with libarchive: only the files of a layout are unpacked, under names that are checked.
 */
#define _GNU_SOURCE /* scandirat() */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/oci/libarchive.h"
#include "tools/oci/oci.h"

#define BLOCK_BYTES (256U << 10)
#define BLOBS       "blobs/sha256/"

/* ---- Unpacking --------------------------------------------------------------------------------------------------- */

struct unpacking {
    struct archive *tar;
    const char *path;
    int root, blobs;
    bool documents;
    size_t num;
    char *left_out; /* the first file that is none of a layout */
};

static bool fail_tar(const struct unpacking *u, struct blobseal_error *err)
{
    int e = libarchive.error_number(u->tar);

    if (e == ENOMEM)
        return fail(err, BLOBSEAL_E_NOMEM, 0, "read %.200s: no memory", u->path);
    if (e == EIO || e == EISDIR)
        return fail(err, BLOBSEAL_E_INPUT, e, "read %.200s", u->path);
    (void)fail(err, BLOBSEAL_E_FORMAT, 0, "%.200s is not a complete, uncompressed tar file", u->path);
    blobseal_hint(err, "an oci-archive is not compressed as a whole: decompress it first");
    return false;
}

/* Return true if @name is relative and does not lead out of its folder. */
static bool is_inside(const char *name)
{
    if (name[0] == '/' || name[0] == '\0')
        return false;
    for (const char *p = name; *p != '\0'; p += strcspn(p, "/"), p += *p == '/')
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return false;
    return true;
}

/* Return the folder of a file of the layout, and its name there. Other files, which return -1, are left out. */
static int place_of(const struct unpacking *u, const char *name, const char **base)
{
    while (strncmp(name, "./", 2) == 0)
        name += 2;
    *base = name;
    if (strcmp(name, "oci-layout") == 0 || strcmp(name, "index.json") == 0)
        return u->root;
    if (strncmp(name, BLOBS, strlen(BLOBS)) != 0)
        return -1;
    *base = name + strlen(BLOBS);
    return oci_is_blob_name(*base) ? u->blobs : -1;
}

/* Write the content of the current entry, which has no holes. */
static bool write_data(const struct unpacking *u, int fd, const char *name, uint64_t size, struct blobseal_error *err)
{
    const void *block;
    size_t len;
    int64_t offset;
    uint64_t done = 0;
    int r;

    while ((r = libarchive.read_data_block(u->tar, &block, &len, &offset)) == ARCHIVE_OK) {
        if (offset < 0 || (uint64_t)offset != done || len > size - done)
            return fail(err, BLOBSEAL_E_FORMAT, 0, "%.200s has a sparse file", u->path);
        if (!oci_go_on(err) || !oci_write(fd, block, len, name, err))
            return false;
        done += len;
    }
    if (r != ARCHIVE_EOF)
        return fail_tar(u, err);
    return done == size || fail(err, BLOBSEAL_E_FORMAT, 0, "%.200s has a sparse file", u->path);
}

static bool unpack_file(const struct unpacking *u, int folder, const char *name, uint64_t size,
                        struct blobseal_error *err)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok = fd >= 0;

    if (!ok && errno == EEXIST)
        return fail(err, BLOBSEAL_E_FORMAT, 0, "%.160s has %.80s twice", u->path, name);
    if (!ok)
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "unpack %.80s of %.160s", name, u->path);
    if (u->documents && size > OCI_MAX_DOCUMENT && folder == u->blobs)
        ok = ftruncate(fd, (off_t)size) == 0 || fail(err, BLOBSEAL_E_OUTPUT, errno, "unpack %.160s", u->path);
    else
        ok = write_data(u, fd, name, size, err);
    if (close(fd) != 0 && ok)
        ok = fail(err, BLOBSEAL_E_OUTPUT, errno, "unpack %.80s of %.160s", name, u->path);
    return ok;
}

static bool unpack_entry(struct unpacking *u, struct archive_entry *e, struct blobseal_error *err)
{
    const char *name = libarchive.entry_pathname(e), *base;
    mode_t type = libarchive.entry_filetype(e);
    char shown[120];
    int folder;

    if (name == NULL || !is_inside(name))
        return fail(err, BLOBSEAL_E_FORMAT, 0, "%.160s has a file with the name %s, which leads out of it", u->path,
                    name != NULL ? printable(shown, sizeof shown, name) : "(none)");
    if (libarchive.entry_hardlink(e) != NULL || libarchive.entry_symlink(e) != NULL ||
        (type != AE_IFREG && type != AE_IFDIR))
        return fail(err, BLOBSEAL_E_FORMAT, 0, "%.160s: %s is neither a file nor a folder", u->path,
                    printable(shown, sizeof shown, name));
    if (++u->num > OCI_MAX_ENTRIES)
        return fail(err, BLOBSEAL_E_FORMAT, 0, "%.200s has more than %d entries", u->path, OCI_MAX_ENTRIES);
    folder = type == AE_IFREG ? place_of(u, name, &base) : -1;
    if (folder < 0 && type == AE_IFREG && u->left_out[0] == '\0')
        (void)printable(u->left_out, OCI_LEFT_OUT, name);
    if (folder < 0)
        return true;
    if (!libarchive.entry_size_is_set(e) || libarchive.entry_size(e) < 0)
        return fail(err, BLOBSEAL_E_FORMAT, 0, "%.200s has a file without a size", u->path);
    return unpack_file(u, folder, base, (uint64_t)libarchive.entry_size(e), err);
}

static bool unpack_all(struct unpacking *u, struct blobseal_error *err)
{
    struct archive_entry *e;
    bool ok = true;
    int r = ARCHIVE_OK;

    while (ok && (r = libarchive.read_next_header(u->tar, &e)) == ARCHIVE_OK)
        ok = unpack_entry(u, e, err);
    return ok && (r == ARCHIVE_EOF || fail_tar(u, err));
}

/* Make the folders of a layout in @folder, and open them. */
static bool make_folders(struct unpacking *u, const char *folder, struct blobseal_error *err)
{
    u->root = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (u->root >= 0 && mkdirat(u->root, "blobs", 0700) == 0 && mkdirat(u->root, "blobs/sha256", 0700) == 0)
        u->blobs = openat(u->root, "blobs/sha256", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return u->blobs >= 0 || fail(err, BLOBSEAL_E_OUTPUT, errno, "make folders in %.200s", folder);
}

bool oci_unpack(const char *path, const char *folder, bool documents, char left_out[OCI_LEFT_OUT],
                struct blobseal_error *err)
{
    struct unpacking u = {.path = path, .root = -1, .blobs = -1, .documents = documents, .left_out = left_out};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    bool ok = fd >= 0 || fail(err, BLOBSEAL_E_INPUT, errno, "open %.200s", path);

    left_out[0] = '\0';
    ok = ok && libarchive_load(err);
    if (ok)
        u.tar = libarchive.read_new();
    if (ok && u.tar == NULL)
        ok = fail(err, BLOBSEAL_E_NOMEM, 0, "read %.200s: no memory", path);
    ok = ok && make_folders(&u, folder, err);
    if (ok && (libarchive.read_support_format_tar(u.tar) != ARCHIVE_OK ||
               libarchive.read_open_fd(u.tar, fd, BLOCK_BYTES) != ARCHIVE_OK))
        ok = fail_tar(&u, err);
    ok = ok && unpack_all(&u, err);
    if (u.tar != NULL)
        (void)libarchive.read_free(u.tar);
    if (u.blobs >= 0)
        (void)close(u.blobs);
    if (u.root >= 0)
        (void)close(u.root);
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

/* ---- Packing ----------------------------------------------------------------------------------------------------- */

struct packing {
    struct archive *tar;
    struct output *out;
    struct blobseal_error *err;
    bool failed; /* in the callback, which has filled the error */
};

static la_ssize_t put(struct archive *tar, void *ctx, const void *data, size_t len)
{
    struct packing *p = ctx;

    (void)tar;
    if (output_write(p->out, data, len, p->err))
        return (la_ssize_t)len;
    p->failed = true;
    libarchive.set_error(tar, EIO, "write");
    return -1;
}

static bool fail_packing(const struct packing *p)
{
    return !p->failed && fail(p->err, BLOBSEAL_E_OUTPUT, 0, "write the archive %.200s", p->out->path);
}

/* Write the header of a file or, with @size BLOBSEAL_SIZE_UNKNOWN, of a folder. */
static bool put_header(const struct packing *p, const char *name, uint64_t size)
{
    struct archive_entry *e = libarchive.entry_new();
    bool folder = size == BLOBSEAL_SIZE_UNKNOWN, ok;

    if (e == NULL)
        return fail(p->err, BLOBSEAL_E_NOMEM, 0, "write the archive: no memory");
    libarchive.entry_set_pathname(e, name);
    libarchive.entry_set_filetype(e, folder ? AE_IFDIR : AE_IFREG);
    libarchive.entry_set_perm(e, folder ? 0755 : 0644);
    libarchive.entry_set_size(e, folder ? 0 : (la_int64_t)size);
    libarchive.entry_set_mtime(e, 0, 0);
    ok = libarchive.write_header(p->tar, e) == ARCHIVE_OK || fail_packing(p);
    libarchive.entry_free(e);
    return ok;
}

static bool put_content(const struct packing *p, int fd, uint64_t size)
{
    char *buf = malloc(BLOCK_BYTES);
    uint64_t done = 0;
    bool ok = buf != NULL || fail(p->err, BLOBSEAL_E_NOMEM, 0, "write the archive: no memory");

    while (ok && done < size) {
        ssize_t n;

        if (!oci_go_on(p->err)) {
            ok = false;
            break;
        }
        n = read(fd, buf, size - done < BLOCK_BYTES ? (size_t)(size - done) : BLOCK_BYTES);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            ok = fail(p->err, BLOBSEAL_E_INPUT, n < 0 ? errno : 0, "read a blob for the archive");
        else
            ok = libarchive.write_data(p->tar, buf, (size_t)n) == n || fail_packing(p);
        done += (uint64_t)n;
    }
    free(buf);
    return ok;
}

static bool put_file(const struct packing *p, int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st = {0};
    bool ok = (fd >= 0 && fstat(fd, &st) == 0) || fail(p->err, BLOBSEAL_E_INPUT, errno, "read %.200s", name);

    ok = ok && put_header(p, name, (uint64_t)st.st_size) && put_content(p, fd, (uint64_t)st.st_size);
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

static int is_blob(const struct dirent *e)
{
    return oci_is_blob_name(e->d_name);
}

static bool put_blobs(const struct packing *p, int root)
{
    struct dirent **list = NULL;
    char name[sizeof BLOBS + 64];
    int n = scandirat(root, BLOBS, &list, is_blob, alphasort);
    bool ok = n >= 0 || fail(p->err, BLOBSEAL_E_INPUT, errno, "list the blobs");

    for (int i = 0; i < n; i++) {
        (void)snprintf(name, sizeof name, BLOBS "%.64s", list[i]->d_name);
        ok = ok && put_file(p, root, name);
        free(list[i]);
    }
    free(list);
    return ok;
}

bool oci_pack(const char *folder, struct output *out, struct blobseal_error *err)
{
    struct packing p = {.out = out, .err = err};
    int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = root >= 0 || fail(err, BLOBSEAL_E_INPUT, errno, "open %.200s", folder);

    ok = ok && libarchive_load(err);
    if (ok)
        p.tar = libarchive.write_new();
    if (ok && p.tar == NULL)
        ok = fail(err, BLOBSEAL_E_NOMEM, 0, "write the archive: no memory");
    if (ok && (libarchive.write_set_format_pax_restricted(p.tar) != ARCHIVE_OK ||
               libarchive.write_open(p.tar, &p, NULL, put, NULL) != ARCHIVE_OK))
        ok = fail_packing(&p);
    ok = ok && put_file(&p, root, "oci-layout") && put_file(&p, root, "index.json") &&
         put_header(&p, "blobs", BLOBSEAL_SIZE_UNKNOWN) && put_header(&p, "blobs/sha256", BLOBSEAL_SIZE_UNKNOWN) &&
         put_blobs(&p, root);
    if (ok && libarchive.write_close(p.tar) != ARCHIVE_OK)
        ok = fail_packing(&p);
    if (p.tar != NULL)
        (void)libarchive.write_free(p.tar);
    if (root >= 0)
        (void)close(root);
    return ok;
}
