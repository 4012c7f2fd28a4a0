/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in store: a file with a backup. A change writes the backup, makes it durable, writes the file, makes it
 * durable, and only then says that it was stored. So after a crash at any moment at least one of them is whole, and the
 * backup is never older than the file. A reader takes the one of the higher generation.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/set/set.h"

/* One of the two files, as it was read. */
struct copy {
    char *text;
    size_t len;
    uint64_t generation; /* 0: it is not there, or not an object of a set */
};

static enum blobseal_status read_copy(struct copy *c, const char *path, struct blobseal_error *err)
{
    enum blobseal_status st = bs_set_file_read(&c->text, &c->len, path, BLOBSEAL_MAX_ENVELOPE, err);
    struct bs_set_object o;

    if (st != BLOBSEAL_OK || c->text == NULL)
        return st;
    st = bs_set_object_parse(&o, c->text, c->len, NULL, NULL);
    if (st == BLOBSEAL_OK)
        c->generation = o.generation;
    bs_set_object_clear(&o);
    return st == BLOBSEAL_E_NOMEM ? blobseal_fail(err, st, 0, "read %.200s: no memory", path) : BLOBSEAL_OK;
}

/* Read both files and keep the one that counts: that of the higher generation, otherwise the file itself. */
static enum blobseal_status read_newest(struct copy *newest, struct bs_set_files *f, struct blobseal_error *err)
{
    struct copy backup = {0};
    enum blobseal_status st;

    *newest = (struct copy){0};
    st = read_copy(newest, f->path, err);
    if (st == BLOBSEAL_OK)
        st = read_copy(&backup, f->backup, err);
    f->from_backup = false;
    if (st == BLOBSEAL_OK && backup.generation > newest->generation) {
        struct copy other = *newest;

        f->from_backup = true;
        *newest = backup;
        backup = other;
    }
    free(backup.text);
    if (st != BLOBSEAL_OK) {
        free(newest->text);
        *newest = (struct copy){0};
    }
    return st;
}

/* The token is the digest of the object. */
static bool make_token(char token[BLOBSEAL_SET_MAX_TOKEN], const struct copy *c)
{
    uint8_t digest[BS_SHA256_LEN];

    memset(token, 0, BLOBSEAL_SET_MAX_TOKEN);
    if (c->text == NULL)
        return true;
    if (!bs_sha256(digest, c->text, c->len))
        return false;
    blobseal_base64url_encode(token, digest, sizeof digest);
    return true;
}

static enum blobseal_status file_get(void *ctx, char **object, size_t *len, char token[BLOBSEAL_SET_MAX_TOKEN],
                                     const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_set_files *f = ctx;
    struct copy newest;
    enum blobseal_status st = read_newest(&newest, f, err);

    (void)call;
    if (st == BLOBSEAL_OK && !make_token(token, &newest)) {
        free(newest.text);
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read %.200s: no memory", f->path);
    }
    *object = st == BLOBSEAL_OK ? newest.text : NULL;
    *len = st == BLOBSEAL_OK ? newest.len : 0;
    return st;
}

/* Write both files. After a failure it is not known whether a reader finds the new object or the one before. */
static enum blobseal_status write_both(const struct bs_set_files *f, const char *object, size_t len,
                                       enum blobseal_set_put *result, struct blobseal_error *err)
{
    enum blobseal_status st = bs_set_file_write(f->backup, object, len, true, err);

    if (st == BLOBSEAL_OK)
        st = bs_set_file_write(f->path, object, len, true, err);
    *result = st == BLOBSEAL_OK ? BLOBSEAL_SET_STORED : BLOBSEAL_SET_UNKNOWN;
    return st;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters of the function in struct blobseal_set_store */
static enum blobseal_status file_put(void *ctx, const char *object, size_t len, const char *token,
                                     enum blobseal_set_put *result, const struct blobseal_call *call,
                                     struct blobseal_error *err)
{
    struct bs_set_files *f = ctx;
    char now[BLOBSEAL_SET_MAX_TOKEN];
    struct copy newest = {0};
    int lock;
    enum blobseal_status st = bs_set_file_lock(&lock, f->lock, call, err);

    *result = BLOBSEAL_SET_CHANGED;
    if (st != BLOBSEAL_OK)
        return st;
    st = read_newest(&newest, f, err);
    if (st == BLOBSEAL_OK && !make_token(now, &newest))
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read %.200s: no memory", f->path);
    if (st == BLOBSEAL_OK && strcmp(now, token) == 0)
        st = write_both(f, object, len, result, err);
    bs_set_file_unlock(lock);
    free(newest.text);
    return st;
}

enum blobseal_status bs_set_files_init(struct bs_set_files *f, const char *path, struct blobseal_error *err)
{
    int n = snprintf(f->path, sizeof f->path, "%s", path);

    (void)snprintf(f->backup, sizeof f->backup, "%s.backup", path);
    (void)snprintf(f->lock, sizeof f->lock, "%s.lock", path);
    f->from_backup = false;
    if (n < 0 || (size_t)n + sizeof ".0123456789abcdef.tmp" > sizeof f->path)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the path of the set is too long: %.200s", path);
    return BLOBSEAL_OK;
}

struct blobseal_set_store bs_set_files_store(struct bs_set_files *f)
{
    return (struct blobseal_set_store){.ctx = f, .get = file_get, .put = file_put};
}
