/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout that is written. A new one is made in a temporary folder, which gets its name at the end. Into an existing
 * one blobs are added first; then index.json is replaced by a rename, which is the moment at which the image changes.
 */
#define _GNU_SOURCE /* O_TMPFILE, renameat2() */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "tools/oci/oci.h"

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static bool make_folder(const char *parent, const char *name, struct blobseal_error *err)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", parent, name);

    return (n > 0 && (size_t)n < sizeof path && mkdir(path, 0777) == 0) ||
           fail(err, BLOBSEAL_E_OUTPUT, errno, "make the folder %.200s", path);
}

/* Write a small file that does not exist yet, and sync it. */
static bool write_file(int folder, const char *name, const char *text, size_t len, mode_t mode,
                       struct blobseal_error *err)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    bool ok = fd >= 0 || fail(err, BLOBSEAL_E_OUTPUT, errno, "create %.200s", name);

    ok = ok && oci_write(fd, text, len, name, err);
    if (ok && fsync(fd) != 0 && is_disk_error(errno))
        ok = fail(err, BLOBSEAL_E_OUTPUT, errno, "write %.200s", name);
    if (fd >= 0 && close(fd) != 0 && ok)
        ok = fail(err, BLOBSEAL_E_OUTPUT, errno, "write %.200s", name);
    return ok;
}

/* Make an empty layout in the temporary folder. */
static bool make_layout(const char *folder, struct blobseal_error *err)
{
    static const char version[] = "{\"imageLayoutVersion\":\"1.0.0\"}",
                      empty[] = "{\"schemaVersion\":2,\"manifests\":[]}";
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 || fail(err, BLOBSEAL_E_OUTPUT, errno, "open the folder %.200s", folder);

    ok = ok && make_folder(folder, "blobs", err) && make_folder(folder, "blobs/sha256", err) &&
         write_file(fd, "oci-layout", version, sizeof version - 1, 0666, err) &&
         write_file(fd, "index.json", empty, sizeof empty - 1, 0666, err);
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

/* Exclude other changes of an existing layout. */
static bool lock(const struct oci_target *t, struct blobseal_error *err)
{
    if (flock(t->layout.root, LOCK_EX | LOCK_NB) == 0 || errno == EOPNOTSUPP || errno == ENOLCK || errno == ENOSYS)
        return true;
    (void)fail(err, BLOBSEAL_E_EXISTS, 0, "%.200s is being changed by another process", t->folder);
    blobseal_hint(err, "wait until that has ended");
    return false;
}

static bool is_same(const struct oci_layout *a, const struct oci_layout *b)
{
    struct stat x, y;

    return fstat(a->root, &x) == 0 && fstat(b->root, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Return the entry of index.json that has the name of the image, or NULL. */
static json_t *find_name(const struct oci_target *t)
{
    json_t *m;
    size_t i;

    json_array_foreach(json_object_get(t->layout.index, "manifests"), i, m)
    {
        const char *name = oci_string(json_object_get(m, "annotations"), OCI_REF_NAME);

        if (name != NULL && t->name != NULL && strcmp(name, t->name) == 0)
            return m;
    }
    return NULL;
}

static bool open_existing(struct oci_target *t, const struct oci_destination *to, struct blobseal_error *err)
{
    const struct oci_layout *in = to->in;

    t->folder = strdup(t->path);
    if (t->folder == NULL)
        return fail(err, BLOBSEAL_E_NOMEM, 0, "open the output: no memory");
    if (!oci_layout_open(&t->layout, t->folder, err)) {
        if (err->status == BLOBSEAL_E_INPUT && err->sys_errno == ENOENT)
            return fail(err, BLOBSEAL_E_EXISTS, 0, "%.200s exists and is not an OCI image layout", t->folder);
        return false;
    }
    t->same = is_same(&t->layout, in);
    if (!to->locked && !lock(t, err))
        return false;
    if (t->same && (in->len != t->layout.len || memcmp(in->text, t->layout.text, in->len) != 0))
        return fail(err, BLOBSEAL_E_INPUT, 0, "index.json of %.200s changed meanwhile", t->folder);
    t->in_place = t->same && to->in_place;
    if (to->force || to->in_place || find_name(t) == NULL)
        return true;
    return fail(err, BLOBSEAL_E_EXISTS, 0, "%.160s has an image with the name %.80s", t->folder, t->name);
}

static bool open_new(struct oci_target *t, struct blobseal_error *err)
{
    t->temp = oci_temp_folder(t->path, &t->temp_lock, err);
    t->folder = t->temp != NULL ? strdup(t->temp) : NULL;
    if (t->temp != NULL && t->folder == NULL)
        (void)fail(err, BLOBSEAL_E_NOMEM, 0, "open the output: no memory");
    return t->folder != NULL && make_layout(t->folder, err) && oci_layout_open(&t->layout, t->folder, err);
}

bool oci_target_open(struct oci_target *t, struct ui *ui, const struct oci_destination *to, struct blobseal_error *err)
{
    const struct output_options o = {.ui = ui, .mode = 0666, .force = to->force};
    struct stat st;
    bool exists;

    *t = (struct oci_target){.ui = ui,
                             .path = to->path,
                             .name = to->name,
                             .temp_lock = -1,
                             .layout = OCI_LAYOUT_NONE,
                             .out = OUTPUT_NONE,
                             .archive = to->archive,
                             .lock = PTHREAD_MUTEX_INITIALIZER,
                             .added = json_object()};
    if (t->added == NULL)
        return fail(err, BLOBSEAL_E_NOMEM, 0, "open the output: no memory");
    exists = lstat(to->path, &st) == 0;
    if (to->archive && to->dry_run)
        return !exists || to->force || fail(err, BLOBSEAL_E_EXISTS, 0, "%.200s exists", to->path);
    if (to->archive)
        return output_open(&t->out, to->path, &o, err) && open_new(t, err);
    if (exists)
        return open_existing(t, to, err);
    return to->dry_run || open_new(t, err);
}

/* ---- Blobs ------------------------------------------------------------------------------------------------------- */

bool oci_spool_open(struct oci_target *t, struct oci_spool *s, struct blobseal_error *err)
{
    *s = OCI_SPOOL_NONE;
    s->fd = openat(t->layout.blobs, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd >= 0)
        return true;
    if (!oci_temp_name(s->temp, "blob", err))
        return false;
    s->fd = openat(t->layout.blobs, s->temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (s->fd >= 0)
        return true;
    s->temp[0] = '\0';
    return fail(err, BLOBSEAL_E_OUTPUT, errno, "create a file in %.200s", t->folder);
}

/* Note a blob that was not there before. */
static bool note_added(struct oci_target *t, const char *digest, struct blobseal_error *err)
{
    struct stat st;
    bool ok = true;

    (void)pthread_mutex_lock(&t->lock);
    if (fstatat(t->layout.blobs, digest + strlen("sha256:"), &st, AT_SYMLINK_NOFOLLOW) != 0)
        ok = json_object_set_new(t->added, digest, json_true()) == 0 ||
             fail(err, BLOBSEAL_E_NOMEM, 0, "write a blob: no memory");
    (void)pthread_mutex_unlock(&t->lock);
    return ok;
}

/* Give a file that has no name a temporary one. */
static bool give_temp_name(const struct oci_target *t, struct oci_spool *s, struct blobseal_error *err)
{
    if (s->temp[0] != '\0')
        return true;
    if (!oci_temp_name(s->temp, "blob", err))
        return false;
    if (output_link(t->layout.blobs, s->fd, s->temp, false) || output_link(t->layout.blobs, s->fd, s->temp, true))
        return true;
    s->temp[0] = '\0';
    return fail(err, BLOBSEAL_E_OUTPUT, errno, "give a blob its name in %.200s", t->folder);
}

bool oci_spool_commit(struct oci_target *t, struct oci_spool *s, const char *digest, struct blobseal_error *err)
{
    if (fchmod(s->fd, 0666 & ~t->ui->umask) != 0 && is_disk_error(errno))
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "finish a blob in %.200s", t->folder);
    if (fsync(s->fd) != 0 && is_disk_error(errno))
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "finish a blob in %.200s", t->folder);
    if (!give_temp_name(t, s, err) || !note_added(t, digest, err))
        return false;
    if (renameat(t->layout.blobs, s->temp, t->layout.blobs, digest + strlen("sha256:")) != 0)
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "give a blob its name in %.200s", t->folder);
    s->temp[0] = '\0';
    return true;
}

void oci_spool_close(struct oci_target *t, struct oci_spool *s)
{
    if (s->temp[0] != '\0')
        (void)unlinkat(t->layout.blobs, s->temp, 0);
    if (s->fd >= 0)
        (void)close(s->fd);
    *s = OCI_SPOOL_NONE;
}

/* Return true if this run has written the blob, so that it need not be read again. */
static bool was_added(struct oci_target *t, const struct oci_descriptor *d)
{
    bool added;

    (void)pthread_mutex_lock(&t->lock);
    added = json_object_get(t->added, d->digest) != NULL;
    (void)pthread_mutex_unlock(&t->lock);
    return added;
}

/* Return true if the target has this blob already, with the right content. */
static bool has_blob(struct oci_target *t, const struct oci_descriptor *d)
{
    struct blobseal_error ignored;
    int fd;
    bool ok;

    if (was_added(t, d))
        return true;
    fd = oci_blob_open(&t->layout, d, &ignored);
    ok = fd >= 0 && oci_copy(fd, -1, d, &ignored);

    if (fd >= 0)
        (void)close(fd);
    return ok;
}

bool oci_target_copy(struct oci_target *t, const struct oci_layout *from, const struct oci_descriptor *d,
                     struct blobseal_error *err)
{
    struct oci_spool s = OCI_SPOOL_NONE;
    int fd;
    bool ok;

    if (has_blob(t, d))
        return true;
    fd = oci_blob_open(from, d, err);
    ok = fd >= 0 && oci_spool_open(t, &s, err) && oci_copy(fd, s.fd, d, err) && oci_spool_commit(t, &s, d->digest, err);
    oci_spool_close(t, &s);
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

/* Copy what the image still reaches from the layout that was read. */
static bool copy_blobs(struct oci_target *t, const struct oci_image *image, struct blobseal_error *err)
{
    struct oci_descriptor d = {.size = 0};
    const char *digest;
    json_t *size;
    bool ok = true;

    json_object_foreach(image->reached, digest, size)
    {
        memcpy(d.digest, digest, OCI_DIGEST_LEN);
        d.size = (uint64_t)json_integer_value(size);
        ok = ok && oci_target_copy(t, image->layout, &d, err);
    }
    return ok;
}

/* ---- The index --------------------------------------------------------------------------------------------------- */

/* Return a copy of the descriptor of the image, with the name that it has in the target, or NULL. */
static json_t *make_entry(const struct oci_target *t, const struct oci_image *image)
{
    json_t *copy = json_deep_copy(image->root), *annotations = json_object_get(copy, "annotations");

    if (copy == NULL || t->name == NULL)
        return copy;
    if (annotations == NULL) {
        annotations = json_object();
        (void)json_object_set_new(copy, "annotations", annotations);
    }
    if (json_object_set_new(annotations, OCI_REF_NAME, json_string(t->name)) == 0)
        return copy;
    json_decref(copy);
    return NULL;
}

/* Put the image into the index of the target. */
static bool enter(const struct oci_target *t, const struct oci_image *image, struct blobseal_error *err)
{
    json_t *list = json_object_get(t->layout.index, "manifests"), *entry = make_entry(t, image), *old = find_name(t);
    bool ok = entry != NULL;

    if (ok && old != NULL)
        ok = json_object_clear(old) == 0 && json_object_update(old, entry) == 0;
    else if (ok)
        ok = json_array_append(list, entry) == 0;
    json_decref(entry);
    return ok || fail(err, BLOBSEAL_E_NOMEM, 0, "write index.json: no memory");
}

/* Check that nobody has changed index.json since it was read. */
static bool check_index(const struct oci_target *t, struct blobseal_error *err)
{
    char *text;
    size_t len;
    bool ok = oci_file_load(t->layout.root, "index.json", OCI_MAX_INDEX, &text, &len, err);

    if (ok && (len != t->layout.len || memcmp(text, t->layout.text, len) != 0)) {
        ok = fail(err, BLOBSEAL_E_INPUT, 0, "index.json of %.200s changed meanwhile", t->folder);
        blobseal_hint(err, "run it again when nothing else changes the layout");
    }
    free(text);
    return ok;
}

/* Replace index.json, durably. */
static bool write_index(struct oci_target *t, const json_t *index, struct blobseal_error *err)
{
    char temp[OCI_TEMP_NAME], *text = NULL;
    size_t len;
    struct stat st;
    mode_t mode = fstatat(t->layout.root, "index.json", &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_mode & 0777 : 0666;
    bool ok = oci_print(index, &text, &len, err) && oci_temp_name(temp, "index.json", err) &&
              write_file(t->layout.root, temp, text, len, mode, err) && check_index(t, err) &&
              oci_sync_folder(t->layout.blobs, t->folder, err);

    free(text);
    if (ok && renameat(t->layout.root, temp, t->layout.root, "index.json") != 0)
        ok = fail(err, BLOBSEAL_E_OUTPUT, errno, "replace index.json of %.200s", t->folder);
    if (!ok)
        (void)unlinkat(t->layout.root, temp, 0);
    t->committed = ok && t->temp == NULL;
    return ok && oci_sync_folder(t->layout.root, t->folder, err);
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

/* Give the temporary folder its name. */
static bool name_folder(struct oci_target *t, struct blobseal_error *err)
{
    char *parent = folder_of(t->path);
    int fd = parent != NULL ? open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool ok = true;

    free(parent);
    if (fchmod(t->layout.root, 0777 & ~t->ui->umask) != 0 && is_disk_error(errno))
        ok = fail(err, BLOBSEAL_E_OUTPUT, errno, "finish %.200s", t->path);
    if (ok && renameat2(AT_FDCWD, t->temp, AT_FDCWD, t->path, RENAME_NOREPLACE) != 0 &&
        (errno != EINVAL || rename(t->temp, t->path) != 0))
        ok = fail(err, errno == EEXIST ? BLOBSEAL_E_EXISTS : BLOBSEAL_E_OUTPUT, errno == EEXIST ? 0 : errno,
                  errno == EEXIST ? "%.200s exists" : "give %.200s its name", t->path);
    t->committed = ok;
    ok = ok && (fd < 0 || oci_sync_folder(fd, t->path, err));
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

bool oci_target_commit(struct oci_target *t, struct oci_image *image, struct blobseal_error *err)
{
    const json_t *index = t->in_place ? image->layout->index : t->layout.index;

    if (!oci_rewrite(t, image, err) || (!t->same && !copy_blobs(t, image, err)))
        return false;
    if (!t->in_place && !enter(t, image, err))
        return false;
    if (!write_index(t, index, err))
        return false;
    t->committed = t->temp == NULL;
    if (t->archive)
        t->committed = oci_pack(t->folder, &t->out, err) && output_commit(&t->out, err);
    else if (t->temp != NULL)
        return name_folder(t, err);
    return t->committed;
}

void oci_target_close(struct oci_target *t)
{
    const char *digest;
    json_t *value;

    if (t->temp == NULL && !t->committed && t->layout.blobs >= 0) {
        json_object_foreach(t->added, digest, value)
        {
            (void)unlinkat(t->layout.blobs, digest + strlen("sha256:"), 0);
        }
    }
    oci_layout_close(&t->layout);
    output_close(&t->out);
    if (t->temp != NULL && (t->archive || !t->committed))
        oci_remove_folder(t->temp);
    if (t->temp_lock >= 0)
        (void)close(t->temp_lock);
    json_decref(t->added);
    free(t->folder);
    free(t->temp);
    t->added = NULL;
    t->folder = t->temp = NULL;
    t->temp_lock = -1;
}
