/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing the envelope of a file: in place where it has two slots, otherwise as a new file that takes the place of the old
 * one. What is changed and how a crash is survived is the library's affair.
 */
#define _XOPEN_SOURCE 700 /* realpath() */
#include "change.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

/* ---- Options ---------------------------------------------------------------------------------------------------- */

int change_remove(struct change_request *r, const char *kid)
{
    if (r->num_kids == COUNT(r->kids))
        return usage_error("more than %zu key ids", r->num_kids);
    if (access(kid, F_OK) == 0) /* an unknown key id is no error: this one would be passed over, and stay */
        return usage_error("%s is a file, not a key id: blobseal doctor -k %s prints that of a key", kid, kid);
    r->kids[r->num_kids++] = kid;
    return EXIT_OK;
}

static int set_oaep(struct change_request *r, const char *arg)
{
    enum blobseal_oaep oaep;
    int code = oaep_option(arg, &oaep);

    if (code != EXIT_OK)
        return code;
    if (r->last == NULL)
        return usage_error("--oaep belongs behind the -k or --to that it is for");
    r->last->args[r->last->num - 1].oaep = oaep;
    return EXIT_OK;
}

static int take_key(struct change_request *r, struct keys *keys, const char *arg)
{
    int code;

    r->last = keys;
    (void)keys_option(keys, 'k', arg, &code);
    return code;
}

int change_option(struct change_request *r, int option, const char *arg)
{
    struct keys none = {0};
    int code;

    switch (option) {
    case 'k':
        return take_key(r, &r->keys, arg);
    case OPT_TO:
        return take_key(r, &r->to, arg);
    case OPT_PASSPHRASE_FILE:
    case OPT_PASSPHRASE_FD:
        (void)keys_option(r->last != NULL ? r->last : &none, option, arg, &code);
        return code;
    case OPT_OAEP:
        return set_oaep(r, arg);
    case OPT_DROP:
        return change_remove(r, arg);
    case OPT_MIN_GENERATION:
        return min_generation_option(arg, &r->change.min_generation);
    case OPT_SLOT_SIZE:
        r->rewrite = true;
        return slot_size_option(arg, &r->slot_capacity);
    case OPT_REWRITE:
        r->rewrite = true;
        return EXIT_OK;
    case 'n':
        r->change.dry_run = true;
        return EXIT_OK;
    default:
        return EXIT_OK;
    }
}

/* ---- One file --------------------------------------------------------------------------------------------------- */

/* A file whose envelope is changed. */
struct subject {
    const char *name; /* as given                         */
    char *path;       /* behind all symbolic links        */
    int fd;
    struct stat before;
    struct blobseal_target target;
    struct blobseal_fd state;
    enum blobseal_layout layout;
    uint32_t slot_capacity;
    bool unsound;   /* the slots are not alike             */
    char *envelope; /* of a file that is only an envelope */
    size_t envelope_len;
    struct output out;
};

/* Whether the file starts like JSON: a detached envelope. */
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
        blobseal_hint(err, "nothing was changed: the file must be readable and writable, also where it is replaced");
        return false;
    }
    if (s->before.st_size == 0)
        return fail(err, BLOBSEAL_E_FORMAT, 0, "%s is empty: not a sealed blob", name);
    return blobseal_target_fd(&s->target, &s->state, s->fd, name, err) == BLOBSEAL_OK;
}

/* From the file that is locked, not from what may have its name by now. */
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
        return r->change.repair; /* the library finds out how bad it is */
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
        (void)close(s->fd); /* and give the lock back */
    *s = (struct subject){.fd = -1, .out = OUTPUT_NONE};
}

/*
 * Under the lock: the file that is locked is still the one that has the name, and nobody wrote to it. Once there is an output,
 * the name is looked for in the folder that it goes to: who may rename folders on the way could have led it to another one.
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

#define TAKE_TRIES 100 /* each time somebody else has made a change */

/* Open and lock the file. Who had the lock before may have changed it, or put another one in its place: then that one. */
static bool subject_take(struct subject *s, const struct change_request *r, const char *name,
                         struct blobseal_error *err)
{
    for (unsigned i = 0; i < TAKE_TRIES; i++) {
        if (!subject_open(s, r, name, err) || s->target.lock(s->target.ctx, true, err) != BLOBSEAL_OK)
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
    struct blobseal_fd state;
    struct blobseal_sink sink;

    return output_sink(&s->out, &sink, &state, err) &&
           blobseal_attach(&sink, &s->target.source, &options, err) == BLOBSEAL_OK;
}

/* With an access control list the bits for the group are a bound for all on it: without it they would let the group in. */
static bool keep_acl(const struct subject *s, struct blobseal_error *err)
{
    static const char name[] = "system.posix_acl_access";
    char acl[4096];
    ssize_t n = fgetxattr(s->fd, name, acl, sizeof acl);

    if (n < 0 && errno != ENODATA && errno != EOPNOTSUPP && errno != ENOSYS)
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "keep the access control list of %s", s->name);
    if (n <= 0) { /* not even what new files in the folder begin with */
        (void)fremovexattr(s->out.fd, name);
        return true;
    }
    return fsetxattr(s->out.fd, name, acl, (size_t)n, 0) == 0 ||
           fail(err, BLOBSEAL_E_OUTPUT, errno, "keep the access control list of %s", s->name);
}

/* The new file belongs to whom the old one belonged, as far as this process may give files away. */
static bool keep_owner(const struct subject *s, struct blobseal_error *err)
{
    const struct stat *old = &s->before;

    if (fchown(s->out.fd, old->st_uid, old->st_gid) == 0)
        return true;
    if (errno != EPERM)
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "keep the owner of %s", s->name);
    if (fchown(s->out.fd, (uid_t)-1, old->st_gid) != 0 || old->st_uid != geteuid())
        warn("%s: the owner or the group of the file could not be kept", s->name);
    return true;
}

/* Write the new file, and let it take the place and the attributes of the old one. */
static bool replace_file(struct subject *s, const struct change_request *r, const struct blobseal_change_result *result,
                         struct blobseal_error *err)
{
    /* No bit that would let somebody act as the owner: that may not be the one from before. */
    if (!output_replace(&s->out, s->path, s->before.st_mode & 0777, err) || !still_there(s, err))
        return false;
    s->out.path = s->name; /* for messages */
    if (s->envelope != NULL ? !output_write(&s->out, result->envelope, result->envelope_len, err)
                            : !write_blob(s, r, result, err))
        return false;
    if (!keep_owner(s, err) || !keep_acl(s, err) || !still_there(s, err) || !output_commit(&s->out, err))
        return false;
    if (s->before.st_nlink > 1)
        warn("%s was written anew: its other names (hard links) lead to the old file, with the old envelope", s->name);
    return true;
}

/* A new file in the place of the old one. Other slots than there are count as a change, so that it happens once. */
static bool change_anew(struct subject *s, const struct change_request *r, struct blobseal_change_result **result,
                        struct blobseal_error *err)
{
    bool other_slots = s->envelope == NULL && r->slot_capacity != 0 &&
                       (s->layout != BLOBSEAL_LAYOUT_AB || s->slot_capacity != r->slot_capacity);

    struct blobseal_change change = r->change;

    change.envelope = s->envelope;
    change.envelope_len = s->envelope_len;
    if (blobseal_change_envelope(result, s->envelope != NULL ? NULL : &s->target.source, r->keys.keks, r->keys.num,
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

    target.lock = NULL; /* it is held */
    return blobseal_change_in_place(result, &target, r->keys.keks, r->keys.num, &r->change, err) == BLOBSEAL_OK;
}

/* A public key where a private one is needed, or NULL. */
static const char *public_key(const struct change_request *r)
{
    size_t num = r->change.replace ? 1 : r->keys.num; /* replacing, it is the first one that opens */

    for (size_t i = 0; i < num; i++)
        if (blobseal_kek_can_unwrap(r->keys.keks[i]))
            return NULL;
    return r->keys.args[0].ref;
}

/* What the library's words mean for a file that is changed. */
static void add_hint(const struct change_request *r, struct blobseal_error *err)
{
    const char *key = public_key(r);

    if (err->status == BLOBSEAL_E_NO_KEY && key != NULL)
        blobseal_hint(err, "%.120s holds a public key: opening the envelope needs the private one", key);
    else if (err->status == BLOBSEAL_E_OUTPUT && err->hint[0] == '\0')
        blobseal_hint(err,
                      "the file is whole, with the old or the new envelope; check space and permissions and run it "
                      "again");
    else if (err->status == BLOBSEAL_E_DAMAGED && err->hint[0] == '\0')
        blobseal_hint(err, "nothing was changed; fetch the file again from its source");
}

/* ---- Telling ---------------------------------------------------------------------------------------------------- */

static const char *action_name(enum blobseal_action action)
{
    switch (action) {
    case BLOBSEAL_ACTION_ADD:
        return "add";
    case BLOBSEAL_ACTION_REMOVE:
        return "remove";
    default:
        return "keep";
    }
}

static bool tell_json(const struct subject *s, const struct change_request *r,
                      const struct blobseal_change_result *result, struct blobseal_error *err)
{
    json_start("blobseal.change/1");
    json_text("file", s->name);
    json_bool("changed", result->changed);
    json_bool("dry_run", r->change.dry_run);
    json_bool("finished", result->finished);
    json_bool("fresh_key", result->fresh_key);
    json_bool("verified", result->verified);
    json_number("generation", result->generation);
    json_list("recipients");
    for (size_t i = 0; i < result->num_steps; i++) {
        json_item();
        json_text("action", action_name(result->steps[i].action));
        json_text("alg", result->steps[i].recipient.alg);
        json_text("kid", result->steps[i].recipient.kid);
        json_item_end();
    }
    json_list_end();
    return json_end() || stdout_failed(err);
}

/* One line for people, and the plan where that is all there is. */
static void tell_text(const struct subject *s, const struct change_request *r,
                      const struct blobseal_change_result *result)
{
    char name[320];
    size_t counts[3] = {0};

    for (size_t i = 0; i < result->num_steps; i++)
        counts[result->steps[i].action]++;
    (void)printable(name, sizeof name, s->name);
    if (!result->changed && !result->finished)
        printf("%s: nothing to change, generation %llu%s\n", name, (unsigned long long)result->generation,
               result->verified ? "" : " (not verified: none of the keys opens it)");
    else
        printf("%s: %s%s, generation %llu: %zu added, %zu removed, %zu kept%s\n", name,
               r->change.dry_run ? "would be " : "", result->changed ? "changed" : "repaired",
               (unsigned long long)result->generation, counts[BLOBSEAL_ACTION_ADD], counts[BLOBSEAL_ACTION_REMOVE],
               counts[BLOBSEAL_ACTION_KEEP],
               result->changed && result->finished ? "; an earlier change was finished" : "");
    for (size_t i = 0; i < result->num_steps && r->change.dry_run; i++)
        printf("  %-6s  %-12s  %s\n", action_name(result->steps[i].action), result->steps[i].recipient.alg,
               result->steps[i].recipient.kid);
}

/* A key id that nobody has may be gone already, or mistyped. */
static void warn_of_strangers(const struct subject *s, const struct change_request *r,
                              const struct blobseal_change_result *result)
{
    for (size_t k = 0; k < r->num_kids; k++) {
        bool known = false;

        for (size_t i = 0; i < result->num_steps; i++)
            known = known || strcmp(result->steps[i].recipient.kid, r->kids[k]) == 0;
        if (!known)
            warn("%s: no recipient has the key id %s", s->name, r->kids[k]);
    }
}

static bool tell(const struct subject *s, const struct change_request *r, const struct blobseal_change_result *result,
                 struct blobseal_error *err)
{
    if (!settings.quiet)
        warn_of_strangers(s, r, result);
    if (settings.json)
        return tell_json(s, r, result, err);
    if (!settings.quiet || r->change.dry_run)
        tell_text(s, r, result);
    return fflush(stdout) == 0 || stdout_failed(err);
}

static int change_file(void *ctx, const char *name)
{
    struct change_request *r = ctx;
    struct blobseal_change_result *result = NULL;
    struct blobseal_error err = {0};
    struct subject s;
    sigset_t before;
    bool ok;

    (void)sigprocmask(SIG_SETMASK, NULL, &before);
    ok = subject_take(&s, r, name, &err);
    if (ok && s.envelope == NULL && s.layout == BLOBSEAL_LAYOUT_AB && !r->rewrite)
        ok = change_in_place(&s, r, &result, &err);
    else if (ok)
        ok = change_anew(&s, r, &result, &err);
    if (!ok)
        add_hint(r, &err);
    r->somebody_left = r->somebody_left || (ok && result->fresh_key && !r->change.dry_run);
    ok = ok && tell(&s, r, result, &err);
    blobseal_change_result_free(result);
    subject_close(&s);
    (void)sigprocmask(SIG_SETMASK, &before, NULL); /* an output that got its name blocks signals until it is told */
    return ok ? EXIT_OK : report_error(&err);
}

int change_files(struct change_request *r, char *const *paths, size_t num)
{
    struct blobseal_error err = {0};
    int code;

    for (size_t i = 0; i < num; i++)
        if (strcmp(paths[i], "-") == 0)
            return usage_error("%s changes files, not streams", settings.verb->name);
    r->change.size = sizeof r->change;
    r->change.add = r->to.keks;
    r->change.num_add = r->to.num;
    r->change.remove = r->kids;
    r->change.num_remove = r->num_kids;
    if (keys_open(&r->keys, BLOBSEAL_OAEP_SHA256, &err) && keys_open(&r->to, BLOBSEAL_OAEP_SHA256, &err))
        code = files_each(paths, num, false, change_file, r);
    else
        code = report_error(&err);
    if (r->somebody_left && !settings.quiet)
        warn("whoever holds a copy from before this change, or has opened a blob, still has access to what was in it");
    keys_close(&r->keys);
    keys_close(&r->to);
    return code;
}
