/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source and a sink of your own: custom_io KEY.pem < FILE > COPY
 *
 * The blob is written into parts of fixed size, as object stores require, and is opened from these parts. The input is
 * a stdio stream, which is a source that can only be read in order. The parts can be read at any offset.
 */
#include <blobseal_provider.h> /* blobseal_fail() */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART ((size_t)1 << 20)

/* ---- A sequential source over a stdio stream --------------------------------------------------------------------- */

static enum blobseal_status read_stdio(void *ctx, void *buf, size_t len, size_t *nread, struct blobseal_error *err)
{
    FILE *file = ctx;

    *nread = fread(buf, 1, len, file); /* 0 bytes mean the end, so an error must be reported as one */
    if (*nread == 0 && ferror(file))
        return blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read the input");
    return BLOBSEAL_OK;
}

/* ---- A sequential sink into parts, and a seekable source over them ----------------------------------------------- */

struct parts {
    unsigned char **part; /* parts of PART bytes each; a real program would store names of uploads here */
    uint64_t len;         /* total length of all parts */
};

static enum blobseal_status add_part(struct parts *p, struct blobseal_error *err)
{
    size_t count = (size_t)(p->len / PART);
    unsigned char **more = realloc(p->part, (count + 1) * sizeof *more);

    if (more != NULL)
        p->part = more;
    if (more == NULL || (more[count] = malloc(PART)) == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "add part %zu: no memory", count);
    return BLOBSEAL_OK;
}

/* Write all of @buf or fail. The library calls this in order, from one thread at a time. */
static enum blobseal_status write_parts(void *ctx, const void *buf, size_t len, struct blobseal_error *err)
{
    struct parts *p = ctx;
    const unsigned char *from = buf;

    while (len > 0) {
        size_t at = (size_t)(p->len % PART), n = len < PART - at ? len : PART - at;

        if (at == 0) {
            enum blobseal_status st = add_part(p, err);

            if (st != BLOBSEAL_OK)
                return st;
        }
        memcpy(p->part[p->len / PART] + at, from, n);
        p->len += n;
        from += n;
        len -= n;
    }
    return BLOBSEAL_OK;
}

/*
 * Read at most @len bytes, here up to the end of a part. Many threads may call this at once, because it changes
 * nothing.
 */
static enum blobseal_status pread_parts(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                        struct blobseal_error *err)
{
    const struct parts *p = ctx;
    size_t at = (size_t)(off % PART), n = len < PART - at ? len : PART - at;

    (void)err;
    if (off >= p->len)
        n = 0;
    else if (n > p->len - off)
        n = (size_t)(p->len - off);
    if (n > 0)
        memcpy(buf, p->part[off / PART] + at, n);
    *nread = n;
    return BLOBSEAL_OK;
}

static void free_parts(struct parts *p)
{
    for (size_t i = 0; i * PART < p->len; i++)
        free(p->part[i]);
    free(p->part);
}

/* ---- Seal and open ----------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    struct parts parts = {NULL, 0};
    struct blobseal_source from_stdio = {.ctx = stdin, .size = BLOBSEAL_SIZE_UNKNOWN, .read = read_stdio};
    struct blobseal_source from_parts = {.ctx = &parts, .name = "the parts", .pread = pread_parts};
    struct blobseal_sink to_parts = {.ctx = &parts, .name = "the parts", .write = write_parts};
    struct blobseal_sink to_stdout;
    struct blobseal_fd state;
    struct blobseal_reader *reader = NULL;
    struct blobseal_kek *kek = NULL;
    struct blobseal_error err;
    enum blobseal_status st = blobseal_kek_open(&kek, NULL, argc > 1 ? argv[1] : "kek.pem", NULL, &err);

    if (st == BLOBSEAL_OK)
        st = blobseal_seal(&to_parts, &from_stdio, &kek, 1, NULL, NULL, &err);
    from_parts.size = parts.len;
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_open(&reader, &from_parts, &kek, 1, NULL, &err);
    if (st == BLOBSEAL_OK)
        st = blobseal_sink_fd(&to_stdout, &state, 1, "standard output", &err);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_stream(reader, &to_stdout, NULL, &err);
    if (st != BLOBSEAL_OK)
        fprintf(stderr, "%s (%s)\n", err.text, blobseal_status_code(st));
    blobseal_reader_close(reader);
    blobseal_kek_close(kek);
    free_parts(&parts);
    return st == BLOBSEAL_OK ? 0 : 1;
}
