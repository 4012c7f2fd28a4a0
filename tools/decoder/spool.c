/* SPDX-License-Identifier: Apache-2.0 */
/* Ciphertext on disk until it has been verified: in a file that has no name, so that nothing is left of it. */
#define _GNU_SOURCE /* O_TMPFILE */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/decoder/decoder.h"

#define PIECE      ((size_t)1 << 18)
#define SPACE_HINT "name a folder with enough space with --spool-dir"

/* Create a file without a name, of mode 0600. Return -1 after a failure. */
static int create(const char *folder, struct blobseal_error *err)
{
    char path[4096];
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd;
    /* Some file systems cannot make such files. mkstemp() makes one of mode 0600 that did not exist. */
    if ((errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL) &&
        snprintf(path, sizeof path, "%s/.blobseal-layer-XXXXXX", folder) < (int)sizeof path) {
        fd = mkstemp(path);
        if (fd >= 0 && unlink(path) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
            return fd;
        if (fd >= 0)
            (void)close(fd);
    }
    (void)fail(err, BLOBSEAL_E_OUTPUT, errno, "make a file for the ciphertext in %s", folder);
    blobseal_hint(err, SPACE_HINT);
    return -1;
}

/* Read until @len bytes are there, or the end. Return -1 after a failure. */
static ssize_t read_fully(int fd, uint8_t *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = read(fd, buf + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static bool write_fully(int fd, const uint8_t *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, buf, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        buf += n;
        len -= (size_t)n;
    }
    return true;
}

int spool_input(const char *folder, uint64_t limit, bool *complete, struct blobseal_error *err)
{
    uint8_t *piece = malloc(PIECE);
    int fd = create(folder, err);
    uint64_t left = limit < UINT64_MAX ? limit + 1 : limit; /* one byte more shows that the layer is larger */
    ssize_t n = 1;

    *complete = false;
    if (piece == NULL && fd >= 0)
        (void)fail(err, BLOBSEAL_E_NOMEM, 0, "read the layer: no memory");
    while (piece != NULL && fd >= 0 && n > 0 && left > 0) {
        n = read_fully(STDIN_FILENO, piece, left < PIECE ? (size_t)left : PIECE);
        if (n < 0)
            (void)fail(err, BLOBSEAL_E_INPUT, errno, "read the layer from standard input");
        if (n > 0 && !write_fully(fd, piece, (size_t)n)) {
            (void)fail(err, BLOBSEAL_E_OUTPUT, errno, "write the ciphertext to a file in %s", folder);
            blobseal_hint(err, SPACE_HINT);
            n = -1;
        }
        left -= n > 0 ? (uint64_t)n : 0;
    }
    if (fd >= 0 && (piece == NULL || n < 0 || lseek(fd, 0, SEEK_SET) != 0)) {
        (void)close(fd);
        fd = -1;
    }
    *complete = left > 0;
    free(piece);
    return fd;
}

static enum blobseal_status read_stream(void *ctx, void *buf, size_t len, size_t *nread, struct blobseal_error *err)
{
    struct spool_stream *s = ctx;
    ssize_t n = 0;

    if (!s->at_end)
        n = read_fully(s->fd, buf, len);
    if (!s->at_end && n == 0)
        s->at_end = true;
    if (s->at_end)
        n = read_fully(STDIN_FILENO, buf, len);
    if (n < 0)
        return blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read the layer");
    *nread = (size_t)n;
    return BLOBSEAL_OK;
}

void spool_stream_source(struct blobseal_source *source, struct spool_stream *stream, int fd)
{
    *stream = (struct spool_stream){.fd = fd};
    *source = (struct blobseal_source){.ctx = stream, .read = read_stream, .name = "the layer"};
}
