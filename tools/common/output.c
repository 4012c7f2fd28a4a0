/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outputs that are complete or absent: opening and writing them. A file is written without a name (O_TMPFILE) if the
 * file system supports that, otherwise under a temporary name in the same folder. It gets its name in commit.c, when
 * all of it is written and on the disk. Standard output, other descriptors, pipes and devices are written as data
 * comes.
 */
#define _GNU_SOURCE /* O_TMPFILE, F_SETPIPE_SZ */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "tools/common/files.h"
#include "tools/common/signals.h"

mode_t output_mode(const struct input *in)
{
    return S_ISREG(in->before.st_mode) ? in->before.st_mode & 0777 : 0666;
}

/* ---- Refusals ---------------------------------------------------------------------------------------------------- */

/* Return false with an error if @st describes a file that the command reads. */
static bool check_reads(const struct output *out, const struct output_options *options, const struct stat *st,
                        struct blobseal_error *err)
{
    const char *what;

    if (options->reads != NULL && !reads_load(options->reads, err))
        return false;
    what = reads_find(options->reads, st);
    if (what == NULL)
        return true;
    (void)fail(err, BLOBSEAL_E_EXISTS, 0, "%s is %s and the output", out->path, what);
    blobseal_hint(err, "choose another name for the output");
    return false;
}

static bool refuse_device(const struct output *out, const char *hint, struct blobseal_error *err)
{
    (void)fail(err, BLOBSEAL_E_CONFIG, 0,
               "%s is a block device: an output must be a file, which appears only when it is complete", out->path);
    blobseal_hint(err, "%s", hint != NULL ? hint : "write to standard output, and copy that: ... -o - | dd of=DEVICE");
    return false;
}

static bool refuse_terminal(const struct output *out, bool allowed, struct blobseal_error *err)
{
    if (allowed || !isatty(out->fd))
        return true;
    (void)fail(err, BLOBSEAL_E_CONFIG, 0, "not writing binary data to the terminal");
    blobseal_hint(err, "use -o FILE, or -o - to force it");
    return false;
}

static bool refuse_existing(const struct output *out, const char *what, struct blobseal_error *err)
{
    (void)fail(err, BLOBSEAL_E_EXISTS, 0, "%s exists%s%s", out->path, what[0] != '\0' ? " and is " : "", what);
    if (what[0] != '\0')
        blobseal_hint(err, "choose another name: only files and symbolic links are replaced");
    return false;
}

static const char *kind_of(const struct stat *st)
{
    return S_ISFIFO(st->st_mode) ? "a named pipe" : S_ISSOCK(st->st_mode) ? "a socket" : "a device";
}

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

/* Use a descriptor that the process was started with. */
static bool open_descriptor(struct output *out, int number, const struct output_options *options,
                            struct blobseal_error *err)
{
    struct stat st;
    int flags;

    out->stream = true;
    out->fd = inherited_descriptor(number);
    flags = out->fd >= 0 ? fcntl(out->fd, F_GETFL) : -1;
    if (flags >= 0 && (flags & O_ACCMODE) == O_RDONLY) {
        errno = EBADF;
        flags = -1;
    }
    if (flags < 0 || fstat(out->fd, &st) != 0)
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "write %s", out->path);
    return check_reads(out, options, &st, err);
}

/*
 * Open a pipe or a device by its name. Refuse it if it is not the file that @seen describes, because the name was given
 * to another file in between.
 */
static bool open_stream(struct output *out, const struct stat *seen, const struct output_options *options, bool follow,
                        struct blobseal_error *err)
{
    struct stat st;

    if (seen->st_uid != geteuid() && seen->st_uid != 0) {
        (void)fail(err, BLOBSEAL_E_EXISTS, 0, "%s is %s of another user", out->path, kind_of(seen));
        blobseal_hint(err, "choose another name: what goes there can be read by that user");
        return false;
    }
    if (!check_reads(out, options, seen, err))
        return false;
    out->stream = true;
    out->fd = open(out->path, O_WRONLY | O_CLOEXEC | O_NOCTTY | (follow ? 0 : O_NOFOLLOW));
    if (out->fd < 0 || fstat(out->fd, &st) != 0)
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "open %s", out->path);
    return (st.st_dev == seen->st_dev && st.st_ino == seen->st_ino) ||
           fail(err, BLOBSEAL_E_EXISTS, 0, "%s was replaced meanwhile", out->path);
}

/* Handle what exists and is neither a file nor a symbolic link that is not followed. */
static bool open_special(struct output *out, const struct stat *st, const struct output_options *options, bool follow,
                         struct blobseal_error *err)
{
    if (S_ISBLK(st->st_mode))
        return refuse_device(out, options->device_hint, err);
    if (!options->named || S_ISSOCK(st->st_mode))
        return refuse_existing(out, kind_of(st), err);
    return open_stream(out, st, options, follow, err);
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

/* Check what exists at out->path in /dev or /proc, where links are followed and no file is made or replaced. */
static bool look_at_system(struct output *out, const struct output_options *options, struct blobseal_error *err)
{
    struct stat st;

    if (stat(out->path, &st) != 0 || S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s is no device: an output in /dev or /proc must be one", out->path);
        blobseal_hint(err, "choose a name in another folder");
        return false;
    }
    return open_special(out, &st, options, true, err);
}

/* Return the length of the folder in @path, with the slash. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? (size_t)(slash - path) + 1 : 0;
}

/* Check what exists at out->path. If it is neither a file nor absent, open it as a stream. @known: in options->place.
 */
static bool look_at_existing(struct output *out, bool known, const struct output_options *options,
                             struct blobseal_error *err)
{
    int folder = known ? options->place->fd : AT_FDCWD;
    struct stat st, target;
    bool link, leads;

    if (fstatat(folder, out->path + (known ? folder_length(out->path) : 0), &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno != ENAMETOOLONG || fail(err, BLOBSEAL_E_OUTPUT, errno, "create %s", out->path);
    link = S_ISLNK(st.st_mode);
    leads = link && stat(out->path, &target) == 0;
    if (!check_reads(out, options, leads ? &target : &st, err))
        return false;
    if (S_ISDIR(leads ? target.st_mode : st.st_mode)) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s is a folder: an output is one file", out->path);
        blobseal_hint(err, "add the name that the file is to have in the folder");
        return false;
    }
    if (!link && !S_ISREG(st.st_mode))
        return open_special(out, &st, options, false, err);
    if (out->force)
        return true;
    return refuse_existing(out, "", err);
}

/* Return true if the last component of @path is in /dev or /proc. */
static bool is_in_system_folder(const char *path)
{
    char *folder = folder_of(path);
    bool is = folder != NULL && is_system_folder(folder);

    free(folder);
    return is;
}

/* Return true if @path is in the last folder of @place, which is then not looked at again. */
static bool is_known(const struct output_place *place, const char *path)
{
    size_t len = folder_length(path);

    return place != NULL && place->fd > 0 && strlen(place->folder) == len && memcmp(place->folder, path, len) == 0;
}

/* Keep the folder of @out for the next output. */
static void keep_folder(struct output_place *place, const struct output *out, mode_t allowed)
{
    size_t len = folder_length(out->path);

    if (place == NULL || len >= sizeof place->folder)
        return;
    output_place_clear(place);
    place->fd = fcntl(out->folder, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (place->fd < 0)
        place->fd = 0;
    memcpy(place->folder, out->path, len);
    place->folder[len] = '\0';
    place->allowed = allowed;
}

void output_place_clear(struct output_place *place)
{
    if (place->fd > 0)
        (void)close(place->fd);
    place->fd = 0;
}

/* Open the folder of out->path, so that all later names are short, whatever the length of the path. */
static bool open_folder(struct output *out, const struct output_place *place, struct blobseal_error *err)
{
    const char *slash = strrchr(out->path, '/');
    char *folder;

    out->name = slash != NULL ? slash + 1 : out->path;
    if (is_known(place, out->path) && out->name[0] != '\0') {
        out->folder = place->fd;
        out->borrowed = true;
        return true;
    }
    folder = slash == NULL ? strdup(".") : strndup(out->path, slash == out->path ? 1 : (size_t)(slash - out->path));
    if (folder == NULL)
        return fail(err, BLOBSEAL_E_NOMEM, 0, "create %s: no memory", out->path);
    out->folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (out->folder < 0 || out->name[0] == '\0')
        return fail(err, BLOBSEAL_E_OUTPUT, out->folder < 0 ? errno : EISDIR, "create %s", out->path);
    return true;
}

static int open_unnamed(const struct output *out, mode_t mode)
{
    return openat(out->folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
}

/*
 * Return true if a file without a name can get one later: name an empty file. Otherwise hours of work could be lost at
 * the end. A link needs /proc before Linux 6.10, can be forbidden to the process, and some file systems have none.
 */
static bool can_name_unnamed(struct output *out, bool *needs_proc)
{
    struct blobseal_error ignored;
    bool ok = false;
    int fd = open_unnamed(out, 0600);

    *needs_proc = false;
    if (fd < 0)
        return false;
    if (output_temp_name(out, &ignored)) {
        signals_remember(out->folder, -1, out->temp);
        ok = output_link(out->folder, fd, out->temp, false);
        *needs_proc = !ok;
        ok = ok || output_link(out->folder, fd, out->temp, true);
        if (ok && unlinkat(out->folder, out->temp, 0) != 0)
            warn(out->ui, "%s: the empty file %s was made next to it, and cannot be removed", out->path, out->temp);
        signals_forget(out->temp);
        out->temp[0] = '\0';
    }
    (void)close(fd);
    return ok;
}

/* Find out what the file system of the folder can do. */
static void look_at_place(struct output *out, struct output_place *place)
{
    struct statfs fs;
    struct stat st;

    if (fstat(out->folder, &st) != 0 || (place->known && place->dev == st.st_dev))
        return;
    *place = (struct output_place){.known = true, .dev = st.st_dev};
    place->unnamed = can_name_unnamed(out, &place->needs_proc);
    /* Object stores and other remote systems behind FUSE often refuse to write anywhere but at the end of a file. */
    place->in_order = fstatfs(out->folder, &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC;
}

static bool open_temp(struct output *out, struct blobseal_error *err)
{
    int e;

    if (!output_temp_name(out, err))
        return false;
    out->fd = openat(out->folder, out->temp, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (out->fd >= 0) {
        signals_remember(out->folder, out->fd, out->temp);
        return true;
    }
    e = errno;
    out->temp[0] = '\0';
    return fail(err, BLOBSEAL_E_OUTPUT, e, "create %s", out->path);
}

/* Check that nobody else can read the new file, before a secret is written to it. */
static bool check_secret(const struct output *out, struct blobseal_error *err)
{
    struct stat st;

    if (!out->secret || (fstat(out->fd, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) == 0))
        return true;
    (void)fail(err, BLOBSEAL_E_POLICY, 0, "others could read the private key %s (mode %04o)", out->path,
               (unsigned)st.st_mode & 07777);
    blobseal_hint(err, "this file system keeps no permissions: choose a folder on another one");
    return false;
}

static bool open_file(struct output *out, struct output_place *place, struct blobseal_error *err)
{
    struct output_place own = {0};

    if (place == NULL)
        place = &own;
    if (!open_folder(out, place, err))
        return false;
    if (!is_known(place, out->path))
        look_at_place(out, place);
    out->in_order = place->in_order;
    out->needs_proc = place->needs_proc;
    if (place->unnamed)
        out->fd = open_unnamed(out, out->has_mode ? out->mode : 0600);
    out->has_mode = out->has_mode && out->fd >= 0;
    return (out->fd >= 0 || open_temp(out, err)) && check_secret(out, err);
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

bool output_open(struct output *out, const char *path, const struct output_options *options, struct blobseal_error *err)
{
    int number = strcmp(path, "-") == 0 ? STDOUT_FILENO : options->named ? own_descriptor(path) : -1;
    bool known = is_known(options->place, path), late = known && options->place->unnamed && options->small;
    mode_t allowed = known ? options->place->allowed : 0;

    *out = OUTPUT_NONE;
    out->ui = options->ui;
    out->path = strcmp(path, "-") == 0 ? "standard output" : path;
    out->force = options->force;
    out->secret = options->secret;
    out->folders = options->folders;
    out->keep_time = options->times != NULL && S_ISREG(options->times->st_mode);
    if (out->keep_time)
        out->time = options->times->st_mtim;
    out->unchecked = late && !options->force && !options->named;
    out->reads = options->reads;
    if (number >= 0)
        return open_descriptor(out, number, options, err) && refuse_terminal(out, options->named, err);
    if (!out->unchecked && !(!known && is_in_system_folder(path) ? look_at_system(out, options, err)
                                                                 : look_at_existing(out, known, options, err)))
        return false;
    if (out->stream)
        return refuse_terminal(out, false, err);
    out->has_mode = known && !out->secret;
    out->mode = options->mode & (out->secret ? 07777 : allowed);
    if (!open_file(out, options->place, err))
        return false;
    if (known || out->secret)
        return true;
    allowed = new_file_mode(out->folder, 07777, out->ui->umask);
    out->mode = options->mode & allowed;
    keep_folder(options->place, out, allowed);
    return true;
}

bool output_replace(struct output *out, const char *path, mode_t mode, struct ui *ui, struct blobseal_error *err)
{
    *out = OUTPUT_NONE;
    out->ui = ui;
    out->path = path;
    out->force = true;
    out->drop_old = true;
    out->mode = mode;
    return open_file(out, NULL, err);
}

bool output_found(struct output *out, struct blobseal_error *err)
{
    const struct output_options options = {.ui = out->ui, .reads = out->reads};

    return (!out->unchecked || look_at_existing(out, false, &options, err)) &&
           fail(err, BLOBSEAL_E_EXISTS, 0, "%s appeared meanwhile", out->path);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

bool output_write(struct output *out, const void *data, size_t len, struct blobseal_error *err)
{
    struct pollfd wait = {.fd = out->fd, .events = POLLOUT};
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(out->fd, p, len);

        if (n < 0 && errno == EAGAIN)
            (void)poll(&wait, 1, -1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return fail(err, BLOBSEAL_E_OUTPUT, errno, "write %s", out->path);
        out->started = true;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static enum blobseal_status write_in_order(void *ctx, const void *buf, size_t len, struct blobseal_error *err)
{
    return output_write(ctx, buf, len, err) ? BLOBSEAL_OK : BLOBSEAL_E_OUTPUT;
}

bool output_sink(struct output *out, struct blobseal_sink *sink, struct blobseal_error *err)
{
    if (!out->stream && !out->in_order)
        return blobseal_sink_fd_at(sink, &out->state, out->fd, out->path, 0, err) == BLOBSEAL_OK;
    *sink = (struct blobseal_sink){.ctx = out, .name = out->path, .write = write_in_order};
    if (out->stream)
        (void)fcntl(out->fd, F_SETPIPE_SZ, 1 << 20); /* for fewer, larger writes; fails if it is not a pipe */
    return true;
}
