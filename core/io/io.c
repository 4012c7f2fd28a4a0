/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that read from any source and write to any sink. */
#include "core/io/io.h"

/* The statuses of the library that each kind of callback may return. */
#define ANY       (BS_MAY_RETURN(BLOBSEAL_E_NOMEM) | BS_MAY_RETURN(BLOBSEAL_E_CANCELED))
#define OF_SOURCE (ANY | BS_MAY_RETURN(BLOBSEAL_E_INPUT))
#define OF_SINK   (ANY | BS_MAY_RETURN(BLOBSEAL_E_OUTPUT))
#define OF_TARGET (OF_SOURCE | OF_SINK)
#define OF_LOCK   (OF_TARGET | BS_MAY_RETURN(BLOBSEAL_E_EXISTS))

/* ---- Checking what the caller passed ----------------------------------------------------------------------------- */

static enum blobseal_status check(bool callbacks, const uintptr_t reserved[4], const char *doing, const char *what,
                                  struct blobseal_error *err)
{
    if (!callbacks)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "%s: the %s has no callback that does this", doing, what);
    if ((reserved[0] | reserved[1] | reserved[2] | reserved[3]) != 0)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "%s: a reserved member of the %s is not zero, or the program is newer than the library",
                             doing, what);
    return BLOBSEAL_OK;
}

enum blobseal_status bs_check_source(const struct blobseal_source *s, const char *doing, struct blobseal_error *err)
{
    return check(s->pread != NULL || s->read != NULL, s->reserved, doing, "source", err);
}

enum blobseal_status bs_check_sink(const struct blobseal_sink *s, const char *doing, struct blobseal_error *err)
{
    return check(s->pwrite != NULL || s->write != NULL, s->reserved, doing, "sink", err);
}

enum blobseal_status bs_check_target(const struct blobseal_target *t, const char *doing, struct blobseal_error *err)
{
    enum blobseal_status st =
        check(bs_seekable(&t->source) && t->write != NULL && t->sync != NULL, t->reserved, doing, "target", err);

    return st == BLOBSEAL_OK ? bs_check_source(&t->source, doing, err) : st;
}

/* ---- Sources ----------------------------------------------------------------------------------------------------- */

static enum blobseal_status read_some(const struct bs_input *in, void *buf, size_t len, size_t *n,
                                      struct blobseal_error *err)
{
    const struct blobseal_source *s = in->source;
    enum blobseal_status st;

    *n = 0;
    st = bs_seekable(s) ? s->pread(s->ctx, buf, len, in->pos, n, err) : s->read(s->ctx, buf, len, n, err);
    st = bs_callback_status(st, OF_SOURCE, err, "read %s", bs_source_name(s));
    if (st == BLOBSEAL_OK && *n > len)
        st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0,
                           "read %s: the callback reported %zu bytes, but was asked for %zu at most", bs_source_name(s),
                           *n, len);
    return st;
}

enum blobseal_status bs_read(struct bs_input *in, void *buf, size_t len, size_t *nread, struct blobseal_error *err)
{
    uint8_t *p = buf;
    size_t n;

    *nread = 0;
    bs_error_clear(err);
    while (*nread < len) {
        enum blobseal_status st = read_some(in, p + *nread, len - *nread, &n, err);

        if (st != BLOBSEAL_OK)
            return st;
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

/* ---- Sinks and targets ------------------------------------------------------------------------------------------- */

enum blobseal_status bs_write(const struct blobseal_sink *sink, const void *buf, size_t len, uint64_t off,
                              struct blobseal_error *err)
{
    enum blobseal_status st;

    bs_error_clear(err);
    st = sink->pwrite != NULL ? sink->pwrite(sink->ctx, buf, len, off, err) : sink->write(sink->ctx, buf, len, err);
    return bs_callback_status(st, OF_SINK, err, "write %s", sink->name != NULL ? sink->name : "output");
}

enum blobseal_status bs_target_write(const struct blobseal_target *t, const void *buf, size_t len, uint64_t off,
                                     struct blobseal_error *err)
{
    bs_error_clear(err);
    return bs_callback_status(t->write(t->ctx, buf, len, off, err), OF_TARGET, err, "write %s",
                              bs_source_name(&t->source));
}

enum blobseal_status bs_target_sync(const struct blobseal_target *t, uint64_t off, uint64_t len,
                                    struct blobseal_error *err)
{
    bs_error_clear(err);
    return bs_callback_status(t->sync(t->ctx, off, len, err), OF_TARGET, err, "sync %s", bs_source_name(&t->source));
}

enum blobseal_status bs_target_lock(const struct blobseal_target *t, struct blobseal_error *err)
{
    bs_error_clear(err);
    return bs_callback_status(t->lock(t->ctx, true, err), OF_LOCK, err, "lock %s", bs_source_name(&t->source));
}
