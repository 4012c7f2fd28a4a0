/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs of a layout that no manifest reaches: after an image was changed in place, those are the blobs from before. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/oci/oci.h"

/* Return true for a file that a killed run has left, or a blob that is not in @reached (NULL: all are reached). */
static bool is_unreached(const char *name, const json_t *reached)
{
    char digest[OCI_DIGEST_LEN];

    if (oci_is_temp_name(name))
        return true;
    if (reached == NULL || !oci_is_blob_name(name))
        return false;
    (void)snprintf(digest, sizeof digest, "sha256:%.64s", name);
    return json_object_get(reached, digest) == NULL;
}

static bool is_after(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* Handle one file. Another program, which knows no lock, writes blobs before the manifest that names them. */
static bool take(int folder, const char *name, const struct timespec *before, struct oci_unreached *u,
                 struct blobseal_error *err)
{
    struct stat st;
    char digest[OCI_TEMP_NAME];

    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return true;
    if (before != NULL && is_after(&st.st_ctim, before)) {
        u->num_new++;
        return true;
    }
    if (before != NULL && unlinkat(folder, name, 0) != 0)
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "remove the blob %.100s, which no manifest reaches", name);
    u->num++;
    u->bytes += (uint64_t)st.st_size;
    (void)snprintf(digest, sizeof digest, "%s%.300s", name[0] == '.' ? "" : "sha256:", name);
    return json_array_append_new(u->digests, json_string(digest)) == 0 ||
           fail(err, BLOBSEAL_E_NOMEM, 0, "look for blobs: no memory");
}

static bool look(int folder, const json_t *reached, const struct timespec *before, struct oci_unreached *u,
                 struct blobseal_error *err)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;
    bool ok = dir != NULL || fail(err, BLOBSEAL_E_INPUT, errno, "list the blobs");

    if (dir == NULL && fd >= 0)
        (void)close(fd);
    while (ok && dir != NULL && (e = readdir(dir)) != NULL)
        ok = !is_unreached(e->d_name, reached) || take(folder, e->d_name, before, u, err);
    if (dir != NULL)
        (void)closedir(dir);
    return ok;
}

bool oci_collect(const char *folder, const struct timespec *before, struct oci_unreached *u, struct blobseal_error *err)
{
    struct oci_layout layout = OCI_LAYOUT_NONE;
    struct oci_image all = {.layout = NULL};
    bool ok;

    *u = (struct oci_unreached){.digests = json_array()};
    ok = u->digests != NULL || fail(err, BLOBSEAL_E_NOMEM, 0, "look for blobs: no memory");
    ok = ok && oci_layout_open(&layout, folder, err) && oci_image_load_all(&all, &layout, err);
    if (ok && all.num_opaque > 0) /* it may name blobs in a way that is not known */
        ok = fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "the layout has an entry that is neither a manifest nor an index");
    ok = ok && look(layout.blobs, all.reached, before, u, err) && look(layout.root, NULL, before, u, err);
    oci_image_free(&all);
    oci_layout_close(&layout);
    return ok;
}

void oci_unreached_free(struct oci_unreached *u)
{
    json_decref(u->digests);
    u->digests = NULL;
}
