/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that read from any source and write to any sink. */
#include "core/io/io.h"

enum blobseal_status bs_read(struct bs_input *in, void *buf, size_t len, size_t *nread, struct blobseal_error *err)
{
    const struct blobseal_source *s = in->source;
    uint8_t *p = buf;
    size_t n;

    *nread = 0;
    bs_error_clear(err);
    while (*nread < len) {
        enum blobseal_status st = bs_seekable(s) ? s->pread(s->ctx, p + *nread, len - *nread, in->pos, &n, err)
                                                 : s->read(s->ctx, p + *nread, len - *nread, &n, err);

        if (st != BLOBSEAL_OK)
            return bs_checked(st, err, "read %s: the source reported no cause", bs_source_name(s));
        if (n == 0)
            break;
        *nread += n;
        in->pos += n;
    }
    return BLOBSEAL_OK;
}

enum blobseal_status bs_pread(const struct blobseal_source *source, void *buf, size_t len, uint64_t off,
                              struct blobseal_error *err)
{
    struct bs_input in = {source, off};
    size_t n;
    enum blobseal_status st = bs_read(&in, buf, len, &n, err);

    if (st == BLOBSEAL_OK && n < len) {
        st = blobseal_fail(err, BLOBSEAL_E_INPUT, 0, "read %s: the input became shorter while it was being read",
                           bs_source_name(source));
        blobseal_hint(err, "try again when no program writes to it");
    }
    return st;
}

enum blobseal_status bs_write(const struct blobseal_sink *sink, const void *buf, size_t len, uint64_t off,
                              struct blobseal_error *err)
{
    enum blobseal_status st;

    bs_error_clear(err);
    st = sink->pwrite != NULL ? sink->pwrite(sink->ctx, buf, len, off, err) : sink->write(sink->ctx, buf, len, err);
    return bs_checked(st, err, "write %s: the sink reported no cause", sink->name != NULL ? sink->name : "output");
}
