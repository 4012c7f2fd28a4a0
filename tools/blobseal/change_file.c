/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing the envelope of one file: in place if it has two slots, otherwise as a new file that replaces the old one.
 * What is changed, and how a change in place survives a crash, is decided by the library.
 */
#define _XOPEN_SOURCE 700 /* realpath() */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/blobseal/verbs.h"

/* A file whose envelope is changed. */
struct subject {
    const char *name; /* as given                             */
    char *path;       /* with all symbolic links resolved     */
    int fd;
    struct stat before;
    struct blobseal_target target;
    struct blobseal_fd state;
    enum blobseal_layout layout;
    uint32_t slot_capacity;
    bool unsound;   /* the slots differ, or one is damaged  */
    char *envelope; /* of a file that is only an envelope   */
    size_t envelope_len;
    struct output out;
};

/* Return true if the file starts like JSON, so it is a detached envelope. */
static bool is_envelope(const struct subject *s)
{
    char c;

    return pread(s->fd, &c, 1, 0) == 1 && starts_json(c);
}

static bool subject_file(struct subject *s, const char *name, struct blobseal_error *err)
{
    *s = (struct subject){.name = name, .fd = -1, .out = OUTPUT_NONE};
    s->path = realpath(name, NULL);
    if (s->path == NULL || stat(s->path, &s->before) != 0)
        return fail(err, BLOBSEAL_E_INPUT, errno, "open %s to change it", name);
    if (!S_ISREG(s->before.st_mode)) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s is %s: only files can be changed", name,
                   S_ISDIR(s->before.st_mode) ? "a folder" : "no regular file");
        blobseal_hint(err, S_ISDIR(s->before.st_mode) ? "name the files in it: FOLDER/*.sealed"
                                                      : "copy the blob to a file, and change that");
        return false;
    }
    s->fd = open(s->path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (s->fd < 0 || fstat(s->fd, &s->before) != 0) {
        (void)fail(err, errno == ENOENT ? BLOBSEAL_E_INPUT : BLOBSEAL_E_OUTPUT, errno, "open %s to change it", name);
        blobseal_hint(err, "nothing was changed: the file must be readable and writable, also if it is replaced");
        return false;
    }
    if (s->before.st_size == 0)
        return fail(err, BLOBSEAL_E_FORMAT, 0, "%s is empty: not a sealed blob", name);
    return blobseal_target_fd(&s->target, &s->state, s->fd, name, err) == BLOBSEAL_OK;
}

/* Read the envelope through the descriptor of the locked file, because another file may have its name by now. */
static bool read_own_envelope(struct subject *s, struct blobseal_error *err)
{
    const struct blobseal_source *source = &s->target.source;
    size_t n = 1;

    s->envelope = malloc(BLOBSEAL_MAX_ENVELOPE + 1);
    if (s->envelope == NULL)
        return fail(err, BLOBSEAL_E_NOMEM, 0, "read the envelope %s: no memory", s->name);
    while (n > 0 && s->envelope_len <= BLOBSEAL_MAX_ENVELOPE) {
        if (source->pread(source->ctx, s->envelope + s->envelope_len, BLOBSEAL_MAX_ENVELOPE + 1 - s->envelope_len,
                          s->envelope_len, &n, err) != BLOBSEAL_OK)
            return false;
        s->envelope_len += n;
    }
    return true;
}

static bool subject_open(struct subject *s, const struct change_request *r, const char *name,
                         struct blobseal_error *err)
{
    struct blobseal_info *info = NULL;

    if (!subject_file(s, name, err))
        return false;
    if (is_envelope(s))
        return read_own_envelope(s, err);
    if (blobseal_inspect(&info, &s->target.source, NULL, 0, err) != BLOBSEAL_OK) {
        s->layout = BLOBSEAL_LAYOUT_AB;
        return r->change.repair; /* the library finds out what can be repaired */
    }
    s->layout = info->layout;
    if (s->layout == BLOBSEAL_LAYOUT_DETACHED) {
        blobseal_info_free(info);
        return envelope_elsewhere(name, err);
    }
    s->slot_capacity = info->slot_capacity;
    s->unsound = (info->notes & (BLOBSEAL_NOTE_SLOT_INVALID | BLOBSEAL_NOTE_UNFINISHED | BLOBSEAL_NOTE_TIE)) != 0;
    blobseal_info_free(info);
    return true;
}

static void subject_close(struct subject *s)
{
    output_close(&s->out);
    free(s->envelope);
    free(s->path);
    if (s->fd >= 0)
        (void)close(s->fd); /* releases the lock, too */
    *s = (struct subject){.fd = -1, .out = OUTPUT_NONE};
}

/*
 * Check that the locked file still has its name, and that no other program wrote to it. Once there is an output, the
 * name is looked up in the folder of the output: somebody who can rename folders of the path could make the path lead
 * elsewhere.
 */
static bool still_there(const struct subject *s, struct blobseal_error *err)
{
    bool replacing = s->out.folder >= 0;
    struct stat now;

    if (fstatat(replacing ? s->out.folder : AT_FDCWD, replacing ? s->out.name : s->path, &now, AT_SYMLINK_NOFOLLOW) ==
            0 &&
        now.st_dev == s->before.st_dev && now.st_ino == s->before.st_ino && now.st_size == s->before.st_size &&
        now.st_mtim.tv_sec == s->before.st_mtim.tv_sec && now.st_mtim.tv_nsec == s->before.st_mtim.tv_nsec)
        return true;
    (void)fail(err, BLOBSEAL_E_EXISTS, 0, "%s was replaced or changed meanwhile", s->name);
    blobseal_hint(err, "nothing was changed; run it again");
    return false;
}

/* Return true if the file is to be changed in place, and not replaced by a new one. */
static bool is_in_place(const struct subject *s, const struct change_request *r)
{
    return s->envelope == NULL && s->layout == BLOBSEAL_LAYOUT_AB && !r->rewrite;
}

/* Lock the file. Without locks a new file can still be written, because it gets its name in one step. */
static bool subject_lock(const struct subject *s, const struct change_request *r, struct blobseal_error *err)
{
    if (r->no_lock || s->target.lock(s->target.ctx, true, err) == BLOBSEAL_OK)
        return true;
    if (err->advice != BLOBSEAL_ADVICE_NO_LOCK || is_in_place(s, r))
        return false;
    warn(r->ui, "%s: the file system has no locks, so another change at the same time could be lost", s->name);
    return true;
}

#define TAKE_TRIES 100 /* each failed one means that another process has made a change */

/* Open and lock the file. If the process that had the lock before has changed or replaced the file, start again. */
static bool subject_take(struct subject *s, const struct change_request *r, const char *name,
                         struct blobseal_error *err)
{
    for (unsigned i = 0; i < TAKE_TRIES; i++) {
        if (!subject_open(s, r, name, err) || !subject_lock(s, r, err))
            return false;
        if (still_there(s, err))
            return true;
        subject_close(s);
    }
    return false;
}

static bool write_blob(struct subject *s, const struct change_request *r, const struct blobseal_change_result *result,
                       struct blobseal_error *err)
{
    const struct blobseal_attach_options options = {
        .size = sizeof options,
        .envelope = result->envelope,
        .envelope_len = result->envelope_len,
        .layout = r->slot_capacity != 0 ? BLOBSEAL_LAYOUT_AB : BLOBSEAL_LAYOUT_AUTO,
        .slot_capacity = r->slot_capacity,
    };
    struct blobseal_sink sink;

    return output_sink(&s->out, &sink, err) && blobseal_attach(&sink, &s->target.source, &options, err) == BLOBSEAL_OK;
}

/* Write the new file, and replace the old one, whose attributes it gets. */
static bool replace_file(struct subject *s, const struct change_request *r, const struct blobseal_change_result *result,
                         struct blobseal_error *err)
{
    /* Drop set-user-ID and set-group-ID, because the owner may differ from the old one. */
    if (!output_replace(&s->out, s->path, s->before.st_mode & 0777, r->ui, err) || !still_there(s, err))
        return false;
    s->out.path = s->name; /* for messages */
    if (s->envelope != NULL ? !output_write(&s->out, result->envelope, result->envelope_len, err)
                            : !write_blob(s, r, result, err))
        return false;
    if (!output_keep(&s->out, s->name, s->fd, &s->before, err) || !still_there(s, err) || !output_commit(&s->out, err))
        return false;
    if (s->before.st_nlink > 1)
        warn(r->ui, "%s was replaced: its other names (hard links) still lead to the old file with the old envelope",
             s->name);
    return true;
}

/* Replace the file. A different slot size counts as a change, so that a second run changes nothing. */
static bool change_anew(struct subject *s, const struct change_request *r, struct blobseal_change_result **result,
                        struct blobseal_error *err)
{
    bool other_slots = s->envelope == NULL && r->slot_capacity != 0 &&
                       (s->layout != BLOBSEAL_LAYOUT_AB || s->slot_capacity != r->slot_capacity);
    struct blobseal_change change = r->change;

    change.envelope = s->envelope;
    change.envelope_len = s->envelope_len;
    if (blobseal_change_envelope(result, s->envelope != NULL ? NULL : &s->target.source, r->keys.keks, r->keys.num_keks,
                                 &change, err) != BLOBSEAL_OK)
        return false;
    (*result)->finished = s->unsound;
    (*result)->changed = (*result)->changed || other_slots;
    return r->change.dry_run || (!(*result)->changed && !s->unsound) || replace_file(s, r, *result, err);
}

static bool change_in_place(struct subject *s, const struct change_request *r, struct blobseal_change_result **result,
                            struct blobseal_error *err)
{
    struct blobseal_target target = s->target;

    target.lock = NULL; /* it is already locked, or the user excludes others */
    return blobseal_change_in_place(result, &target, r->keys.keks, r->keys.num_keks, &r->change, err) == BLOBSEAL_OK;
}

/* Return the public key that was given where a private one is needed, or NULL if a private one was given. */
static const char *public_key(const struct change_request *r)
{
    size_t num = r->change.replace ? 1 : r->keys.num_keks; /* when replacing, the first key must open the envelope */

    for (size_t i = 0; i < num; i++)
        if (blobseal_kek_can_unwrap(r->keys.keks[i]))
            return NULL;
    return r->keys.args[0].ref;
}

/* Set a hint that applies to changing a file. */
static void add_hint(const struct change_request *r, struct blobseal_error *err)
{
    const char *key = public_key(r);

    if (err->status == BLOBSEAL_E_NO_KEY && key != NULL)
        blobseal_hint(err, "%.120s holds a public key: opening the envelope needs the private one", key);
    else if (err->status == BLOBSEAL_E_OUTPUT && err->sys_errno == ESPIPE && !r->rewrite)
        blobseal_hint(err, "this file system only writes in order: --rewrite makes a new file");
    else if (err->status == BLOBSEAL_E_OUTPUT && err->hint[0] == '\0')
        blobseal_hint(err,
                      "the file is whole, with the old or the new envelope; check space and permissions and run it "
                      "again");
    else if (err->status == BLOBSEAL_E_DAMAGED && err->hint[0] == '\0')
        blobseal_hint(err, "nothing was changed; fetch the file again from its source");
}

/* Refuse to change a file that is also read as a key or a passphrase. */
static bool is_only_subject(const struct subject *s, const struct change_request *r, struct blobseal_error *err)
{
    const char *what = r->change.dry_run ? NULL : reads_find(&r->reads, &s->before);

    if (what == NULL)
        return true;
    (void)fail(err, BLOBSEAL_E_EXISTS, 0, "%s is %s and the file to change", s->name, what);
    blobseal_hint(err, "keep keys and passphrases in files of their own");
    return false;
}

/* ---- Short key ids, and all versions of a key ------------------------------------------------------------------- */

/* The key ids to remove from one file: of its recipients, those that fit no recipient, and the one that is replaced. */
struct found {
    const char *kids[2 * BLOBSEAL_MAX_RECIPIENTS + 1];
    size_t num;
};

static void add_found(struct found *f, const char *kid)
{
    for (size_t i = 0; i < f->num; i++)
        if (strcmp(f->kids[i], kid) == 0)
            return;
    f->kids[f->num++] = kid;
}

/*
 * Find the recipient that @given fits, which may be the beginning of its thumbprint, or all recipients if it is a key
 * in a vault without a version. An id that fits no recipient stays as it is.
 */
static bool find_kid(struct found *f, const char *given, const struct blobseal_info *info, const char *name,
                     struct blobseal_error *err)
{
    const char *found = NULL;
    bool all;

    (void)names_vault_key(given, &all);
    for (size_t i = 0; info != NULL && i < info->num_recipients; i++) {
        const char *kid = info->recipients[i].kid;

        if (!kid_matches(kid, given))
            continue;
        if (found != NULL && !all && strcmp(found, kid) != 0) {
            (void)fail(err, BLOBSEAL_E_ARG, 0, "the key id %s fits several recipients of %s", given, name);
            blobseal_hint(err, "nothing was changed; use more characters of the key id, or the key file");
            return false;
        }
        found = kid;
        add_found(f, kid);
    }
    if (found == NULL)
        add_found(f, given);
    return true;
}

/*
 * Find the recipients to remove in the list of recipients in the file. It is not authentic; but changing the envelope
 * fails unless it is. @info holds the text. When a key in a vault is replaced, all its versions are.
 */
static bool find_kids(struct found *f, const struct change_request *r, const struct subject *s,
                      struct blobseal_info **info, struct blobseal_error *err)
{
    const char *old = r->change.replace ? config_ref(r->keys.args[0].ref) : "";
    struct blobseal_error ignored;
    bool all;

    (void)names_vault_key(old, &all);
    if ((r->num_kids > 0 || all) && blobseal_inspect(info, s->envelope != NULL ? NULL : &s->target.source, s->envelope,
                                                     s->envelope_len, &ignored) != BLOBSEAL_OK)
        *info = NULL; /* the change reports what is wrong */
    for (size_t i = 0; i < r->num_kids; i++)
        if (!find_kid(f, r->kids[i], *info, s->name, err))
            return false;
    return !all || find_kid(f, old, *info, s->name, err);
}

bool change_one_file(const struct change_request *request, const char *name, struct blobseal_change_result **result,
                     struct blobseal_error *err)
{
    struct change_request own = *request, *r = &own;
    struct blobseal_info *info = NULL;
    struct found found = {.num = 0};
    struct subject s;
    bool ok = subject_take(&s, r, name, err) && is_only_subject(&s, r, err) && find_kids(&found, r, &s, &info, err);

    own.change.remove = found.kids;
    own.change.num_remove = found.num;
    if (ok && is_in_place(&s, r))
        ok = change_in_place(&s, r, result, err);
    else if (ok)
        ok = change_anew(&s, r, result, err);
    if (!ok) {
        add_hint(r, err);
        output_discard(&s.out, err);
    }
    blobseal_info_free(info);
    subject_close(&s);
    return ok;
}
