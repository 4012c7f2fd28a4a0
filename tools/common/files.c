/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several files, each processed independently: one that fails does not stop the others. A folder stands for the blobs
 * below it in the order of their names, so that two runs over the same files print the same.
 */
#define _GNU_SOURCE /* fts(3) */
#include "tools/common/files.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <unistd.h>

struct tally {
    struct ui *ui;
    file_fn fn;
    void *ctx;
    size_t num, failed;
    int code; /* of the last one that failed */
};

static void count(struct tally *t, int code)
{
    t->num++;
    if (code == EXIT_OK)
        return;
    t->failed++;
    t->code = code;
}

static void visit(struct tally *t, const char *path)
{
    bool stream = is_stream(path);

    if (ferror(stdout) !=
        0) /* reports can no longer be written; the first file for which that failed has reported it */
        return;
    t->ui->outcome[0] = '\0';
    t->ui->file = strcmp(path, "-") == 0 ? "standard input" : path;
    t->ui->input = stream ? NULL : path;
    count(t, t->fn(t->ctx, path));
    t->ui->file = t->ui->input = NULL;
}

static void cannot_read(struct tally *t, const char *path, int sys_errno)
{
    struct blobseal_error err = {0};

    (void)fail(&err, BLOBSEAL_E_INPUT, sys_errno, "look into %s", path);
    t->ui->file = path;
    count(t, report_error(t->ui, &err));
    t->ui->file = NULL;
}

/* ---- The blobs of a folder --------------------------------------------------------------------------------------- */

static bool has_suffix(const FTSENT *e, const char *suffix)
{
    size_t n = strlen(suffix);

    return e->fts_namelen > n && memcmp(e->fts_name + e->fts_namelen - n, suffix, n) == 0;
}

/* Return true if a file is read whatever it contains, because damage may have made it unrecognisable. */
static bool has_name_of_blob(const FTSENT *e)
{
    return has_suffix(e, ".sealed") || has_suffix(e, ".jwe");
}

/*
 * Return true if the file @fd starts with the magic of a blob (FORMAT.md sections 2 and 5), in which up to two bytes
 * may be damaged: without a suffix, nothing else shows that it is a blob.
 */
static bool has_magic(int fd)
{
    static const unsigned char frame[8] = {0x89, 'B', 'S', 'K', '\r', '\n', 0x1A, '\n'};
    unsigned char head[sizeof frame];
    unsigned same = 0;

    if (pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head)
        return false;
    if (head[3] == 'C') /* of a core header, which differs from a frame header in this byte only */
        head[3] = frame[3];
    for (size_t i = 0; i < sizeof head; i++)
        same += head[i] == frame[i] ? 1 : 0;
    return same >= sizeof head - 2;
}

/* Return true if a file without the name of a blob starts like one. Report a file that cannot be opened, because it may
 * be a blob. */
static bool is_blob(struct tally *t, const FTSENT *e)
{
    int fd = open(e->fts_path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* it may have become a pipe */
    struct stat st;
    bool found;

    if (fd < 0) {
        if (errno != ENOENT) /* removed since the folder was read */
            cannot_read(t, e->fts_path, errno);
        return false;
    }
    found = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && has_magic(fd);
    (void)close(fd);
    return found;
}

/*
 * Return true for a symbolic link to a regular file, and for one with the name of a blob whose target cannot be
 * examined, which is then reported as a failure. Other links are ignored, so that no walk is endless.
 */
static bool leads_to_file(const FTSENT *e)
{
    struct stat st;

    return stat(e->fts_path, &st) != 0 ? has_name_of_blob(e) : S_ISREG(st.st_mode);
}

static void visit_entry(struct tally *t, const FTSENT *e)
{
    switch (e->fts_info) {
    case FTS_F:
        if (has_name_of_blob(e) || is_blob(t, e))
            visit(t, e->fts_path);
        break;
    case FTS_SL:
        if (leads_to_file(e) && (has_name_of_blob(e) || is_blob(t, e)))
            visit(t, e->fts_path);
        break;
    case FTS_NS: /* a file that was removed during the walk, and need not have been a blob */
        if (e->fts_errno == ENOENT && !has_name_of_blob(e))
            break;
        cannot_read(t, e->fts_path, e->fts_errno);
        break;
    case FTS_DNR:
    case FTS_ERR:
        cannot_read(t, e->fts_path, e->fts_errno);
        break;
    default: /* a folder before or after its content; a pipe or a device, which could block for ever */
        break;
    }
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void walk(struct tally *t, char *path)
{
    char *const roots[] = {path, NULL};
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
    size_t before = t->num;
    FTSENT *e;

    if (fts == NULL) {
        cannot_read(t, path, errno);
        return;
    }
    for (errno = 0; (e = fts_read(fts)) != NULL; errno = 0)
        visit_entry(t, e);
    if (errno != 0)
        cannot_read(t, path, errno);
    (void)fts_close(fts);
    if (t->num == before && ferror(stdout) == 0)
        warn(t->ui, "%s: no blob was found in this folder", path);
}

/* Report that there was nothing to process, which is not a success. */
static int found_nothing(struct ui *ui)
{
    struct blobseal_error err = {0};

    if (ferror(stdout) != 0)
        return EXIT_OUTPUT;
    (void)fail(&err, BLOBSEAL_E_INPUT, 0, "no blob was found");
    blobseal_hint(&err, "blobs are recognised by their first bytes: check the name of the folder");
    return report_error(ui, &err);
}

/* ---- All files --------------------------------------------------------------------------------------------------- */

int files_each(struct ui *ui, char *const *paths, size_t num, struct files_total *folders, file_fn fn, void *ctx)
{
    struct tally t = {.ui = ui, .fn = fn, .ctx = ctx};
    struct stat st;

    for (size_t i = 0; i < num; i++) {
        if (folders != NULL && strcmp(paths[i], "-") != 0 && stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode))
            walk(&t, paths[i]);
        else
            visit(&t, paths[i]);
    }
    if (folders != NULL)
        *folders = (struct files_total){t.num, t.failed};
    if (t.num == 0)
        return found_nothing(ui);
    if (t.failed == 0)
        return EXIT_OK;
    return t.num == 1 ? t.code : EXIT_PARTLY;
}
