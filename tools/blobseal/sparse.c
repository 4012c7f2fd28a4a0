/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outputs with holes: what is zero is not written, and takes no room. Only for files that begin empty, where bytes that nobody
 * wrote are zero.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define BLOCK 4096u /* what file systems allocate; a hole of less would save nothing */

static bool is_zero(const uint8_t *p, size_t len)
{
    return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* Of @len bytes at @off of the file, those that lie in its first block. */
static size_t in_block(uint64_t off, size_t len)
{
    size_t n = BLOCK - (size_t)(off % BLOCK);

    return n < len ? n : len;
}

/* Length of the part in front whose blocks are all zero, or all not. */
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

bool sparse_start(struct sparse *s, const struct output *out, struct blobseal_sink *sink, struct blobseal_error *err)
{
    if (out->stream || sink->pwrite == NULL) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s cannot have holes: --sparse is for files", out->path);
        blobseal_hint(err, "name a file with -o, or leave --sparse out");
        return false;
    }
    s->file = *sink;
    *sink = (struct blobseal_sink){.ctx = s, .name = s->file.name, .pwrite = sparse_pwrite};
    return true;
}

bool sparse_end(const struct output *out, uint64_t size, struct blobseal_error *err)
{
    return ftruncate(out->fd, (off_t)size) == 0 || fail(err, BLOBSEAL_E_OUTPUT, errno, "set the size of %s", out->path);
}
