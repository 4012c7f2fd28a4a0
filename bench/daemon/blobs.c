/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of a storage daemon on the blobs of a folder. */
#define _GNU_SOURCE /* mkostemp, O_CLOEXEC */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/daemon/daemon.h"

#define KEK_BITS  2048
#define MAX_PATH  512
#define RANGE_LEN ((size_t)64 * 1024)

/* Report a failed call or a wrong byte. */
static void failed(struct store *s, size_t blob, const char *what, const struct blobseal_error *err)
{
    s->failures++;
    (void)fprintf(stderr, "blob %zu: %s: %s %s\n", blob, what, blobseal_status_code(err->status), err->text);
}

/* ---- Content ----------------------------------------------------------------------------------------------------- */

/* Return a number that looks random, from any other (the finalizer of SplitMix64). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

/* The content of one version of a blob. */
struct content {
    uint64_t seed, len;
};

/* Most blobs have up to 64 KiB, one of 8 up to 512 KiB, and one of 128 up to 6 MiB, so some have two slots. */
static struct content content_of(size_t blob, uint32_t version)
{
    uint64_t seed = mix(((uint64_t)blob << 32 | version) + 0x9e3779b97f4a7c15);
    uint64_t most = seed % 128 == 0 ? 6 << 20 : seed % 8 == 0 ? 512 << 10 : 64 << 10;

    return (struct content){seed, mix(seed) % (most + 1)};
}

static void fill(const struct content *c, uint8_t *buf, size_t len, uint64_t off)
{
    for (size_t n; len > 0; buf += n, off += n, len -= n) {
        uint64_t word = mix(c->seed + off / 8);
        size_t skip = (size_t)(off % 8);

        n = len < 8 - skip ? len : 8 - skip;
        memcpy(buf, (const uint8_t *)&word + skip, n);
    }
}

static enum blobseal_status content_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                          struct blobseal_error *err)
{
    const struct content *c = ctx;

    (void)err;
    *nread = off >= c->len ? 0 : len < c->len - off ? len : (size_t)(c->len - off);
    fill(c, buf, *nread, off);
    return BLOBSEAL_OK;
}

/* Return true if the @len bytes at @buf are those of the content at @off. */
static bool content_is(const struct content *c, const uint8_t *buf, size_t len, uint64_t off)
{
    uint8_t want[4096];

    for (size_t n; len > 0; buf += n, off += n, len -= n) {
        n = len < sizeof want ? len : sizeof want;
        fill(c, want, n, off);
        if (memcmp(buf, want, n) != 0)
            return false;
    }
    return true;
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

static void path_of(const struct store *s, size_t blob, char path[MAX_PATH])
{
    (void)snprintf(path, MAX_PATH, "%s/%zu.sealed", s->folder, blob);
}

/* Create a new file, which replace() renames or removes. Set @path to its path, and return its descriptor or -1. */
static int create(const struct store *s, char path[MAX_PATH])
{
    (void)snprintf(path, MAX_PATH, "%s/new.XXXXXX", s->folder);
    return mkostemp(path, O_CLOEXEC);
}

/* If @ok, rename the file @from to that of the blob; otherwise remove it. Return true if it was renamed. */
static bool replace(const struct store *s, size_t blob, const char *from, bool ok)
{
    char path[MAX_PATH];

    path_of(s, blob, path);
    if (ok && rename(from, path) == 0)
        return true;
    (void)unlink(from);
    return false;
}

/* ---- Sealing ----------------------------------------------------------------------------------------------------- */

void blob_seal(struct store *s, size_t blob)
{
    struct blob *b = &s->blobs[blob];
    const struct blobseal_seal_options o = {.size = sizeof o, .threads = 1};
    uint32_t kek = (uint32_t)(blob % NUM_KEKS);
    struct blobseal_error err = {0};
    enum blobseal_status st;
    struct content c;
    char path[MAX_PATH];
    struct blobseal_source source = {.ctx = &c, .pread = content_pread};
    struct blobseal_sink sink;
    struct blobseal_fd state;
    int fd;

    (void)pthread_mutex_lock(&b->lock);
    c = content_of(blob, b->version + 1);
    source.size = c.len;
    fd = create(s, path);
    st = blobseal_sink_fd(&sink, &state, fd, path, &err);
    if (st == BLOBSEAL_OK)
        st = blobseal_seal(&sink, &source, &s->keks[kek], 1, &o, NULL, &err);
    if (!replace(s, blob, path, st == BLOBSEAL_OK)) {
        failed(s, blob, "seal", &err);
    } else {
        b->version++;
        b->kek = kek;
    }
    if (fd >= 0)
        (void)close(fd);
    (void)pthread_mutex_unlock(&b->lock);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

void handle_close(struct handle *h)
{
    if (h->fd < 0)
        return;
    blobseal_reader_close(h->reader);
    (void)close(h->fd);
    h->fd = -1;
    h->reader = NULL;
}

void blob_open(struct store *s, struct handle *h, size_t blob)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .threads = 1};
    struct blob *b = &s->blobs[blob];
    struct blobseal_error err = {0};
    enum blobseal_status st;
    char path[MAX_PATH];

    path_of(s, blob, path);
    handle_close(h);
    (void)pthread_mutex_lock(&b->lock);
    h->fd = open(path, O_RDONLY | O_CLOEXEC);
    h->blob = blob;
    h->version = b->version;
    (void)pthread_mutex_unlock(&b->lock);
    st = blobseal_source_fd(&h->source, &h->state, h->fd, "blob", &err);
    if (st == BLOBSEAL_OK) /* with every KEK, because another thread may rotate it right now */
        st = blobseal_reader_open(&h->reader, &h->source, s->keks, NUM_KEKS, &o, &err);
    if (st != BLOBSEAL_OK) {
        failed(s, blob, "open", &err);
        handle_close(h);
    }
}

/* The sink of blob_read_all(). */
struct comparison {
    struct content content;
    bool equal;
};

static enum blobseal_status compare(void *ctx, const void *buf, size_t len, uint64_t off, struct blobseal_error *err)
{
    struct comparison *c = ctx;

    (void)err;
    c->equal = c->equal && content_is(&c->content, buf, len, off);
    return BLOBSEAL_OK;
}

void blob_read_all(struct store *s, size_t blob)
{
    struct handle h = {.fd = -1};
    struct comparison c = {.equal = true};
    const struct blobseal_sink sink = {.ctx = &c, .pwrite = compare};
    struct blobseal_error err = {0};
    uint64_t n = 0;

    blob_open(s, &h, blob);
    if (h.fd < 0)
        return;
    c.content = content_of(blob, h.version);
    if (blobseal_reader_stream(h.reader, &sink, &n, &err) != BLOBSEAL_OK)
        failed(s, blob, "read", &err);
    else if (!c.equal || n != c.content.len)
        failed(s, blob, "wrong content", &err);
    handle_close(&h);
}

void blob_read_range(struct store *s, struct handle *h, uint64_t random)
{
    struct content c = content_of(h->blob, h->version);
    struct blobseal_error err = {0};
    uint8_t buf[RANGE_LEN];
    uint64_t off = c.len > 0 ? random % c.len : 0;
    size_t n = 0, len = (size_t)(mix(random) % sizeof buf) + 1;

    if (c.len == 0)
        return;
    if (blobseal_reader_pread(h->reader, buf, len, off, &n, &err) != BLOBSEAL_OK)
        failed(s, h->blob, "read a range", &err);
    else if (n != (len < c.len - off ? len : c.len - off) || !content_is(&c, buf, n, off))
        failed(s, h->blob, "wrong range", &err);
}

void blob_inspect(struct store *s, size_t blob)
{
    struct blob *b = &s->blobs[blob];
    struct blobseal_error err = {0};
    struct blobseal_info *info = NULL;
    struct blobseal_source source;
    struct blobseal_fd state;
    enum blobseal_status st;
    char path[MAX_PATH];
    int fd;

    path_of(s, blob, path);
    (void)pthread_mutex_lock(&b->lock); /* while a file is renamed, some kernels find neither the old nor the new one */
    fd = open(path, O_RDONLY | O_CLOEXEC);
    (void)pthread_mutex_unlock(&b->lock);
    st = blobseal_source_fd(&source, &state, fd, "blob", &err);
    if (st == BLOBSEAL_OK)
        st = blobseal_inspect(&info, &source, NULL, 0, &err);
    if (st != BLOBSEAL_OK)
        failed(s, blob, "inspect", &err);
    blobseal_info_free(info);
    if (fd >= 0)
        (void)close(fd);
}

/* ---- Rotation ---------------------------------------------------------------------------------------------------- */

/* Copy the blob with the envelope that the change leads to. */
static enum blobseal_status rotate_by_copy(struct store *s, size_t blob, const struct blobseal_source *source,
                                           const struct blobseal_change *change, struct blobseal_error *err)
{
    struct blobseal_attach_options o = {.size = sizeof o};
    struct blobseal_change_result *result = NULL;
    struct blobseal_sink sink;
    struct blobseal_fd state;
    char path[MAX_PATH];
    enum blobseal_status st = blobseal_change_envelope(&result, source, &s->keks[s->blobs[blob].kek], 1, change, err);
    int fd;

    if (st != BLOBSEAL_OK)
        return st;
    o.envelope = result->envelope;
    o.envelope_len = result->envelope_len;
    fd = create(s, path);
    st = blobseal_sink_fd(&sink, &state, fd, path, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_attach(&sink, source, &o, err);
    if (!replace(s, blob, path, st == BLOBSEAL_OK) && st == BLOBSEAL_OK)
        st = BLOBSEAL_E_OUTPUT;
    if (fd >= 0)
        (void)close(fd);
    blobseal_change_result_free(result);
    return st;
}

void blob_rotate(struct store *s, size_t blob)
{
    struct blob *b = &s->blobs[blob];
    struct blobseal_change change = {.size = sizeof change, .num_add = 1, .replace = true};
    struct blobseal_change_result *result = NULL;
    struct blobseal_error err = {0};
    struct blobseal_target target;
    struct blobseal_fd state;
    enum blobseal_status st;
    char path[MAX_PATH];
    uint32_t next;
    int fd;

    path_of(s, blob, path);
    (void)pthread_mutex_lock(&b->lock);
    next = (b->kek + 1) % NUM_KEKS;
    change.add = &s->keks[next];
    fd = open(path, O_RDWR | O_CLOEXEC);
    st = blobseal_target_fd(&target, &state, fd, "blob", &err);
    if (st == BLOBSEAL_OK && content_of(blob, b->version).len >= 4 << 20)
        st = blobseal_change_in_place(&result, &target, &s->keks[b->kek], 1, &change, &err);
    else if (st == BLOBSEAL_OK)
        st = rotate_by_copy(s, blob, &target.source, &change, &err);
    if (st == BLOBSEAL_OK)
        b->kek = next;
    else
        failed(s, blob, "rotate", &err);
    blobseal_change_result_free(result);
    if (fd >= 0)
        (void)close(fd);
    (void)pthread_mutex_unlock(&b->lock);
}

/* ---- The store --------------------------------------------------------------------------------------------------- */

/* Generate a KEK, whose file exists only while it is opened. */
static enum blobseal_status make_kek(struct blobseal_kek **kek, const char *folder, struct blobseal_error *err)
{
    struct blobseal_keypair pair = {.size = sizeof pair};
    char path[MAX_PATH];
    enum blobseal_status st = blobseal_keygen_rsa(&pair, KEK_BITS, NULL, err);
    int fd;

    if (st != BLOBSEAL_OK)
        return st;
    (void)snprintf(path, sizeof path, "%s/kek.XXXXXX", folder);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0 || write(fd, pair.private_pem, pair.private_len) != (ssize_t)pair.private_len)
        st = BLOBSEAL_E_OUTPUT;
    else
        st = blobseal_kek_open(kek, NULL, path, NULL, err);
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(path);
    }
    blobseal_keypair_clear(&pair);
    return st;
}

bool store_open(struct store *s, const char *folder, size_t num_blobs)
{
    struct blobseal_error err = {0};

    *s = (struct store){.folder = folder, .num_blobs = num_blobs, .blobs = calloc(num_blobs, sizeof *s->blobs)};
    if (s->blobs == NULL)
        return false;
    for (size_t i = 0; i < num_blobs; i++)
        (void)pthread_mutex_init(&s->blobs[i].lock, NULL);
    for (size_t i = 0; i < NUM_KEKS; i++)
        if (make_kek(&s->keks[i], folder, &err) != BLOBSEAL_OK) {
            (void)fprintf(stderr, "make a key in %s: %s\n", folder, err.text);
            return false;
        }
    return true;
}

void store_close(struct store *s)
{
    char path[MAX_PATH];

    for (size_t i = 0; i < NUM_KEKS; i++)
        blobseal_kek_close(s->keks[i]);
    for (size_t i = 0; i < s->num_blobs && s->blobs != NULL; i++) {
        path_of(s, i, path);
        (void)unlink(path);
        (void)pthread_mutex_destroy(&s->blobs[i].lock);
    }
    free(s->blobs);
}
