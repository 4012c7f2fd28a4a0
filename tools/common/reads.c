/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that a command reads. No output may be one of them, whatever its name: files are compared by device and
 * inode.
 */
#include "tools/common/files.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/arguments.h"

#define FIRST_SLOTS 16 /* a power of two, as all later sizes */

struct read_file {
    dev_t dev;
    ino_t ino;
    const char *what; /* NULL: the slot is free */
};

static struct read_file *slot_of(const struct reads *r, const struct stat *st)
{
    uint64_t hash = ((uint64_t)st->st_ino ^ ((uint64_t)st->st_dev << 32)) * 0x9E3779B97F4A7C15u;
    size_t i = (size_t)(hash >> 32) & (r->num_slots - 1);

    while (r->slots[i].what != NULL && (r->slots[i].dev != st->st_dev || r->slots[i].ino != st->st_ino))
        i = (i + 1) & (r->num_slots - 1);
    return &r->slots[i];
}

/* Keep at least half of the slots free. */
static bool make_room(struct reads *r)
{
    struct reads more = {.num_slots = r->num_slots == 0 ? FIRST_SLOTS : 2 * r->num_slots};

    if (2 * (r->num + 1) <= r->num_slots)
        return true;
    more.slots = calloc(more.num_slots, sizeof *more.slots);
    if (more.slots == NULL)
        return false;
    for (size_t i = 0; i < r->num_slots; i++) {
        const struct stat st = {.st_dev = r->slots[i].dev, .st_ino = r->slots[i].ino};

        if (r->slots[i].what != NULL)
            *slot_of(&more, &st) = r->slots[i];
    }
    free(r->slots);
    r->slots = more.slots;
    r->num_slots = more.num_slots;
    return true;
}

/* Only files and pipes: a terminal or a device can be input and output at the same time. */
static bool counts(const struct stat *st)
{
    return S_ISREG(st->st_mode) || S_ISFIFO(st->st_mode);
}

bool reads_add_stat(struct reads *r, const struct stat *st, const char *what, struct blobseal_error *err)
{
    struct read_file *slot;

    if (!counts(st))
        return true;
    if (!make_room(r))
        return fail(err, BLOBSEAL_E_NOMEM, 0, "remember %s: no memory", what);
    slot = slot_of(r, st);
    if (slot->what == NULL) {
        *slot = (struct read_file){.dev = st->st_dev, .ino = st->st_ino, .what = what};
        r->num++;
    }
    return true;
}

bool reads_add(struct reads *r, const char *path, const char *what, struct blobseal_error *err)
{
    struct stat st;

    if (path == NULL || (strcmp(path, "-") == 0 ? fstat(STDIN_FILENO, &st) : stat(path, &st)) != 0)
        return true; /* whoever opens it reports what is wrong */
    return reads_add_stat(r, &st, what, err);
}

bool reads_add_passphrase(struct reads *r, const struct key_arg *key, struct blobseal_error *err)
{
    struct stat st;

    if (key->passphrase_fd >= 0 && fstat(key->passphrase_fd, &st) == 0 &&
        !reads_add_stat(r, &st, "the passphrase file", err))
        return false;
    return reads_add(r, key->passphrase_file, "the passphrase file", err);
}

bool reads_add_keys(struct reads *r, const struct keys *keys, struct blobseal_error *err)
{
    static const char scheme[] = "file:";
    size_t num;
    const struct config_file *files = config_files(&num);

    for (size_t i = 0; i < num; i++)
        if (files[i].was_read && !reads_add(r, files[i].path, "the configuration", err))
            return false;
    if (!reads_add(r, config_audit_file(), "the audit file", err))
        return false;
    for (size_t i = 0; i < keys->num; i++) {
        const char *ref = config_ref(keys->args[i].ref);

        if (!reads_add(r, strncmp(ref, scheme, strlen(scheme)) == 0 ? ref + strlen(scheme) : ref, "a key", err) ||
            !reads_add_passphrase(r, &keys->args[i], err))
            return false;
    }
    for (size_t i = 0; i < keys->num_lists; i++)
        if (!reads_add(r, keys->lists[i], "the list of recipients", err))
            return false;
    return true;
}

void reads_add_later(struct reads *r, char *const *paths, size_t num)
{
    r->paths = paths;
    r->num_paths = num;
}

/* Most outputs do not exist, so looking at all inputs is left until it matters. That is early enough: only an output
 * replaces an input, and only after all inputs have been looked at. */
bool reads_load(struct reads *r, struct blobseal_error *err)
{
    bool ok = true;

    (void)pthread_mutex_lock(&r->lock);
    while (ok && r->num_paths > 0) {
        ok = reads_add(r, r->paths[r->num_paths - 1], "an input", err);
        r->num_paths -= ok ? 1 : 0;
    }
    (void)pthread_mutex_unlock(&r->lock);
    return ok;
}

const char *reads_find(const struct reads *r, const struct stat *st)
{
    return r == NULL || r->num == 0 || !counts(st) ? NULL : slot_of(r, st)->what;
}

void reads_free(struct reads *r)
{
    free(r->slots);
    *r = READS_NONE;
}
