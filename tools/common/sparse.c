/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outputs with holes: blocks of zeros are not written and take no space. Only for files that start empty, where bytes
 * that were never written are zero.
 */
#include "tools/common/files.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096u /* the unit in which file systems allocate; a smaller hole would save nothing */

static bool is_zero(const uint8_t *p, size_t len)
{
    return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* Return how many of @len bytes at offset @off of the file are in the same block as the first of them. */
static size_t in_block(uint64_t off, size_t len)
{
    size_t n = BLOCK - (size_t)(off % BLOCK);

    return n < len ? n : len;
}

/* Return the length of the first part of @p whose blocks are either all zero or all not zero. */
static size_t next_part(const uint8_t *p, size_t len, uint64_t off, bool *zero)
{
    size_t n = in_block(off, len);

    *zero = is_zero(p, n);
    while (n < len && is_zero(p + n, in_block(off + n, len - n)) == *zero)
        n += in_block(off + n, len - n);
    return n;
}

static enum blobseal_status sparse_pwrite(void *ctx, const void *buf, size_t len, uint64_t off,
                                          struct blobseal_error *err)
{
    const struct sparse *s = ctx;
    enum blobseal_status st = BLOBSEAL_OK;
    const uint8_t *p = buf;
    bool zero;

    for (size_t n, at = 0; at < len && st == BLOBSEAL_OK; at += n) {
        n = next_part(p + at, len - at, off + at, &zero);
        if (!zero)
            st = s->file.pwrite(s->file.ctx, p + at, n, off + at, err);
    }
    return st;
}

bool sparse_start(struct sparse *s, struct output *out, struct blobseal_sink *sink, struct blobseal_error *err)
{
    if (out->stream) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s cannot have holes: --sparse is for files", out->path);
        blobseal_hint(err, "name a file with -o, or omit --sparse");
        return false;
    }
    /* Try it also on a file system that may write only in order, because no other way leaves holes. */
    if (blobseal_sink_fd(&s->file, &out->state, out->fd, out->path, err) != BLOBSEAL_OK)
        return false;
    *sink = (struct blobseal_sink){.ctx = s, .name = s->file.name, .pwrite = sparse_pwrite};
    return true;
}

bool sparse_end(const struct output *out, uint64_t size, struct blobseal_error *err)
{
    return ftruncate(out->fd, (off_t)size) == 0 || fail(err, BLOBSEAL_E_OUTPUT, errno, "set the size of %s", out->path);
}
