/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See store.h. Every change is one rename or one unlink. Everything before it is invisible, and only fsync follows it.
 */
#define _GNU_SOURCE
#include <blobseal_provider.h> /* blobseal_fail() */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"

struct store {
    struct blobseal_kek *kek;
    int staging, objects; /* folders */
    atomic_ullong next;   /* number in the next name in staging */
};

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static int open_folder(int at, const char *name)
{
    if (mkdirat(at, name, 0700) != 0 && errno != EEXIST)
        return -1;
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Delete what a crash has left: it was never acknowledged. */
static int clean(int staging)
{
    DIR *dir = fdopendir(dup(staging));
    const struct dirent *d;
    int rc = dir != NULL ? 0 : -1;

    while (rc == 0 && (d = readdir(dir)) != NULL)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            rc = unlinkat(staging, d->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
    return rc;
}

/* Sync the names of the folders, so that they are as durable as their future contents. */
static int sync_folders(int top, int staging)
{
    int parent = openat(top, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = parent >= 0 && fsync(parent) == 0 && fsync(top) == 0 && fsync(staging) == 0 ? 0 : -1;

    if (parent >= 0)
        (void)close(parent);
    return rc;
}

enum blobseal_status store_open(struct store **store, const char *folder, struct blobseal_kek *kek,
                                struct blobseal_error *err)
{
    struct store *s = calloc(1, sizeof *s);
    enum blobseal_status st = BLOBSEAL_OK;
    int top = open_folder(AT_FDCWD, folder);

    *store = NULL;
    if (s != NULL)
        *s = (struct store){.kek = kek, .staging = -1, .objects = -1};
    if (s == NULL || top < 0) {
        st = blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "open the store %s", folder);
    } else {
        s->staging = open_folder(top, "staging");
        s->objects = open_folder(top, "objects");
        if (s->staging < 0 || s->objects < 0)
            st = blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "open the store %s", folder);
        else if (flock(s->staging, LOCK_EX | LOCK_NB) != 0)
            st = blobseal_fail(err, BLOBSEAL_E_EXISTS, errno, "open the store %s: another process has it", folder);
        else if (clean(s->staging) != 0 || sync_folders(top, s->staging) != 0)
            st = blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "clean the store %s", folder);
    }
    if (top >= 0)
        (void)close(top);
    if (st == BLOBSEAL_OK)
        *store = s;
    else
        store_close(s);
    return st;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    if (s->staging >= 0)
        (void)close(s->staging); /* closing it also unlocks it */
    if (s->objects >= 0)
        (void)close(s->objects);
    free(s);
}

/* ---- Digests ----------------------------------------------------------------------------------------------------- */

/* A digest becomes the name of a file, so nothing else is accepted: no "..", no '/'. */
static enum blobseal_status check_digest(const char *digest, struct blobseal_error *err)
{
    if (strlen(digest) == STORE_DIGEST - 1 && strspn(digest, "0123456789abcdef") == STORE_DIGEST - 1)
        return BLOBSEAL_OK;
    return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "%.80s is no SHA-256 in lower case hex", digest);
}

static EVP_MD_CTX *start_digest(void)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    if (md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(md);
        md = NULL;
    }
    return md;
}

static enum blobseal_status end_digest(EVP_MD_CTX *md, char digest[STORE_DIGEST], struct blobseal_error *err)
{
    unsigned char sum[32];

    if (EVP_DigestFinal_ex(md, sum, NULL) != 1)
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "SHA-256 failed");
    for (size_t i = 0; i < sizeof sum; i++)
        (void)snprintf(digest + 2 * i, 3, "%02x", sum[i]);
    return BLOBSEAL_OK;
}

/*
 * A source that computes the digest of what is read through it. It has only `read`, so the library reads in order, from
 * one thread at a time.
 */
struct hashing {
    const struct blobseal_source *in;
    uint64_t pos;
    EVP_MD_CTX *md;
};

static enum blobseal_status hashing_read(void *ctx, void *buf, size_t len, size_t *nread, struct blobseal_error *err)
{
    struct hashing *h = ctx;
    enum blobseal_status st = h->in->read != NULL ? h->in->read(h->in->ctx, buf, len, nread, err)
                                                  : h->in->pread(h->in->ctx, buf, len, h->pos, nread, err);

    if (st != BLOBSEAL_OK)
        return st;
    h->pos += *nread;
    if (EVP_DigestUpdate(h->md, buf, *nread) != 1)
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "SHA-256 failed");
    return BLOBSEAL_OK;
}

/* ---- Put and delete ---------------------------------------------------------------------------------------------- */

static enum blobseal_status seal_into(struct store *s, int fd, struct hashing *h, struct blobseal_error *err)
{
    /*
     * The clients provide the parallelism: a put uses the caller's thread and two that wait for its input and for the
     * disk.
     */
    const struct blobseal_seal_options options = {.size = sizeof options,
                                                  .threads = 1,
                                                  .layout = BLOBSEAL_LAYOUT_AB,
                                                  .slot_capacity = 4096,
                                                  .no_checksums = true};
    const struct blobseal_source source = {
        .ctx = h, .size = BLOBSEAL_SIZE_UNKNOWN, .name = h->in->name, .read = hashing_read};
    struct blobseal_sink sink;
    struct blobseal_fd state;
    enum blobseal_status st = blobseal_sink_fd(&sink, &state, fd, "the staged object", err);

    if (st == BLOBSEAL_OK)
        st = blobseal_seal(&sink, &source, &s->kek, 1, &options, NULL, err);
    if (st == BLOBSEAL_OK && fsync(fd) != 0)
        st = blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "write an object to the disk");
    return st;
}

enum blobseal_status store_put(struct store *s, const struct blobseal_source *in, char digest[STORE_DIGEST],
                               struct blobseal_error *err)
{
    struct hashing h = {.in = in, .md = start_digest()};
    enum blobseal_status st;
    char name[24];
    int fd;

    digest[0] = '\0';
    if (h.md == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "put: no memory");
    (void)snprintf(name, sizeof name, "%llu", atomic_fetch_add(&s->next, 1));
    fd = openat(s->staging, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    st = fd >= 0 ? seal_into(s, fd, &h, err) : blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "stage an object");
    if (fd >= 0)
        (void)close(fd);
    if (st == BLOBSEAL_OK)
        st = end_digest(h.md, digest, err);
    EVP_MD_CTX_free(h.md);
    if (st == BLOBSEAL_OK && renameat(s->staging, name, s->objects, digest) != 0)
        st = blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "name object %s", digest);
    if (st == BLOBSEAL_OK && fsync(s->objects) != 0)
        return blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "write the name of object %s to the disk", digest);
    if (st != BLOBSEAL_OK && fd >= 0)
        (void)unlinkat(s->staging, name, 0);
    return st;
}

/* Report a failed system call that concerns @digest. */
static enum blobseal_status refuse(const char *verb, const char *digest, struct blobseal_error *err)
{
    return blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "%s object %s", verb, digest);
}

enum blobseal_status store_delete(struct store *s, const char *digest, struct blobseal_error *err)
{
    enum blobseal_status st = check_digest(digest, err);

    if (st != BLOBSEAL_OK)
        return st;
    if (unlinkat(s->objects, digest, 0) != 0 || fsync(s->objects) != 0)
        return refuse("delete", digest, err);
    return BLOBSEAL_OK;
}

/* ---- Stat and get ------------------------------------------------------------------------------------------------ */

struct object {
    int fd; /* the content remains readable after the name is deleted or replaced */
    struct blobseal_fd state;
    struct blobseal_source source;
};

static enum blobseal_status open_object(struct object *o, struct store *s, const char *digest,
                                        struct blobseal_error *err)
{
    enum blobseal_status st = check_digest(digest, err);

    o->fd = -1;
    if (st != BLOBSEAL_OK)
        return st;
    o->fd = openat(s->objects, digest, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (o->fd < 0)
        return refuse("open", digest, err);
    return blobseal_source_fd(&o->source, &o->state, o->fd, digest, err);
}

static void close_object(const struct object *o)
{
    if (o->fd >= 0)
        (void)close(o->fd);
}

enum blobseal_status store_stat(struct store *s, const char *digest, uint64_t *size, struct blobseal_error *err)
{
    struct blobseal_info *info = NULL;
    struct object o;
    enum blobseal_status st = open_object(&o, s, digest, err);

    *size = 0;
    if (st == BLOBSEAL_OK)
        st = blobseal_inspect(&info, &o.source, NULL, 0, err);
    if (st == BLOBSEAL_OK && info->plain_bytes == BLOBSEAL_SIZE_UNKNOWN)
        st = blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "object %s is cut or extended", digest);
    else if (st == BLOBSEAL_OK)
        *size = info->plain_bytes;
    blobseal_info_free(info);
    close_object(&o);
    return st;
}

/*
 * A sink that computes the digest of what is written, if there is one to compare. It has only `write`, so the bytes
 * arrive in order.
 */
struct sending {
    const struct blobseal_sink *out;
    EVP_MD_CTX *md;
};

static enum blobseal_status sending_write(void *ctx, const void *buf, size_t len, struct blobseal_error *err)
{
    struct sending *s = ctx;

    if (s->md != NULL && EVP_DigestUpdate(s->md, buf, len) != 1)
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "SHA-256 failed");
    return s->out->write(s->out->ctx, buf, len, err);
}

static enum blobseal_status send_object(struct blobseal_reader *reader, const char *digest, uint64_t off, uint64_t len,
                                        const struct blobseal_sink *out, struct blobseal_error *err)
{
    bool whole = off == 0 && len >= blobseal_reader_size(reader);
    struct sending s = {out, whole ? start_digest() : NULL};
    const struct blobseal_sink sink = {.ctx = &s, .name = out->name, .write = sending_write};
    char found[STORE_DIGEST];
    enum blobseal_status st;

    if (whole && s.md == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "get: no memory");
    st = blobseal_reader_stream_range(reader, &sink, off, len, NULL, err);
    if (st == BLOBSEAL_OK && whole)
        st = end_digest(s.md, found, err);
    if (st == BLOBSEAL_OK && whole && strcmp(found, digest) != 0)
        st = blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "object %s holds another one", digest);
    EVP_MD_CTX_free(s.md);
    return st;
}

enum blobseal_status store_get(struct store *s, const char *digest, uint64_t off, uint64_t len,
                               const struct blobseal_sink *out, struct blobseal_error *err)
{
    const struct blobseal_reader_options options = {.size = sizeof options, .threads = 1}; /* the same as for a put */
    struct blobseal_reader *reader = NULL;
    struct object o;
    enum blobseal_status st = open_object(&o, s, digest, err);

    if (st == BLOBSEAL_OK)
        st = blobseal_reader_open(&reader, &o.source, &s->kek, 1, &options, err);
    if (st == BLOBSEAL_OK)
        st = send_object(reader, digest, off, len, out, err);
    blobseal_reader_close(reader);
    close_object(&o);
    return st;
}
