/* SPDX-License-Identifier: Apache-2.0 */
/* A disk in memory: see disk.h. */
#include <stdlib.h>

#include "tests/support/disk.h"

/* Count an operation. Return true if it must fail. */
static bool stops(struct test_disk *d)
{
    uint64_t op = ++d->ops;

    return d->stop_at != 0 && (d->once ? op == d->stop_at : op >= d->stop_at);
}

static enum blobseal_status stopped(const struct test_disk *d, enum blobseal_status st, const char *what,
                                    struct blobseal_error *err)
{
    if (!d->stop_silently)
        (void)blobseal_fail(err, st, 0, "%s: the fault that was asked for", what);
    return st;
}

static enum blobseal_status disk_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                       struct blobseal_error *err)
{
    struct test_disk *d = ctx;
    size_t left = off < d->len ? d->len - (size_t)off : 0;

    *nread = 0;
    if (!d->locked)
        d->misused = true;
    if (stops(d))
        return stopped(d, BLOBSEAL_E_INPUT, "read", err);
    len = len < left ? len : left;
    if (len > 0)
        memcpy(buf, d->now + off, len);
    d->bytes_read += len;
    *nread = len;
    return BLOBSEAL_OK;
}

/* A write that fails has changed the data nevertheless, as a real one may have. */
static enum blobseal_status disk_write(void *ctx, const void *buf, size_t len, uint64_t off, struct blobseal_error *err)
{
    struct test_disk *d = ctx;
    bool stop = stops(d);

    if (!d->locked || off > d->len || len > d->len - off) {
        d->misused = true;
        return blobseal_fail(err, BLOBSEAL_E_OUTPUT, 0, "write: beyond the end, or without the lock");
    }
    d->writes++;
    if (!d->deaf)
        memcpy(d->now + off, buf, len);
    if (d->flip_at == d->writes && len > 0)
        d->now[off + len / 2] ^= 4;
    d->bytes_written += len;
    d->min_write = d->writes == 1 || off < d->min_write ? off : d->min_write;
    d->max_write = off + len > d->max_write ? off + len : d->max_write;
    return stop ? stopped(d, BLOBSEAL_E_OUTPUT, "write", err) : BLOBSEAL_OK;
}

static enum blobseal_status disk_sync(void *ctx, uint64_t off, uint64_t len, struct blobseal_error *err)
{
    struct test_disk *d = ctx;

    d->syncs++;
    if (stops(d))
        return stopped(d, BLOBSEAL_E_OUTPUT, "sync", err);
    if (off > d->len || len > d->len - off)
        d->misused = true;
    else
        memcpy(d->stored + off, d->now + off, (size_t)len); /* only the range that was requested */
    return BLOBSEAL_OK;
}

static enum blobseal_status disk_lock(void *ctx, bool on, struct blobseal_error *err)
{
    struct test_disk *d = ctx;

    if (on && d->no_lock)
        return blobseal_fail(err, BLOBSEAL_E_EXISTS, 0, "lock: somebody else holds it");
    if (d->locked == on)
        d->misused = true;
    d->locks += on ? 1 : 0;
    d->unlocks += on ? 0 : 1;
    d->locked = on;
    return BLOBSEAL_OK;
}

void disk_start(struct blobseal_target *target, struct test_disk *d, const void *data, size_t len)
{
    d->len = len;
    d->now = must_copy(data, len);
    d->stored = must_copy(data, len);
    *target = (struct blobseal_target){
        .ctx = d,
        .source = {.ctx = d, .size = len, .name = "test disk", .pread = disk_pread},
        .write = disk_write,
        .sync = disk_sync,
        .lock = disk_lock,
    };
}

void disk_end(struct test_disk *d)
{
    free(d->now);
    free(d->stored);
    d->now = NULL;
    d->stored = NULL;
}

/* ---- What is left when the power goes ---------------------------------------------------------------------------- */

/* Return the length of the sector at @off. The last sector may be shorter. */
static size_t sector_at(const struct test_disk *d, size_t sector, size_t off)
{
    return d->len - off < sector ? d->len - off : sector;
}

size_t disk_unsynced(const struct test_disk *d, size_t sector)
{
    size_t n = 0;

    for (size_t off = 0; off < d->len; off += sector)
        if (memcmp(d->now + off, d->stored + off, sector_at(d, sector, off)) != 0)
            n++;
    return n;
}

/* Compute the part of unsynced sector number @i that survives: bytes [*@from, *@to) of its @len bytes. */
static void survivor(enum survivors which, uint64_t n, size_t i, size_t len, uint64_t *random, size_t *from, size_t *to)
{
    bool all;

    *from = 0;
    *to = 0;
    switch (which) {
    case SURVIVE_ALL:
        all = true;
        break;
    case SURVIVE_ONE:
        all = i == n;
        break;
    case SURVIVE_ALL_BUT_ONE:
        all = i != n;
        break;
    case SURVIVE_FIRST:
    case SURVIVE_TORN:
        all = i < n;
        break;
    case SURVIVE_LAST:
        all = i >= n;
        break;
    case SURVIVE_TORN_TAIL:
        all = i > n;
        break;
    case SURVIVE_EVEN:
    case SURVIVE_ODD:
        all = i % 2 == (which == SURVIVE_ODD ? 1 : 0);
        break;
    case SURVIVE_RANDOM:
        all = random_below(random, 2) == 1;
        break;
    default:
        all = false;
        break;
    }
    if (all)
        *to = len;
    else if (which == SURVIVE_TORN && i == n)
        *to = len / 2;
    else if (which == SURVIVE_TORN_TAIL && i == n) {
        *from = len / 2;
        *to = len;
    }
}

uint8_t *disk_after(const struct test_disk *d, size_t sector, enum survivors which, uint64_t n)
{
    uint8_t *left = must_copy(d->stored, d->len);
    uint64_t random = n + 1;
    size_t i = 0;

    for (size_t off = 0; off < d->len; off += sector) {
        size_t len = sector_at(d, sector, off), from, to;

        if (memcmp(d->now + off, d->stored + off, len) == 0)
            continue;
        survivor(which, n, i++, len, &random, &from, &to);
        memcpy(left + off + from, d->now + off + from, to - from);
    }
    return left;
}
