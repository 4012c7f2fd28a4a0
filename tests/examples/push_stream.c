/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seal data while a program produces it: push_stream KEY.pem FILE.sealed
 *
 * This program writes a log of 100,000 lines. The blob is written under another name until it is complete, so that an
 * incomplete blob never appears under the final name, whatever happens.
 */
#define _POSIX_C_SOURCE 200809L /* O_CLOEXEC */
#include <blobseal_provider.h>  /* blobseal_fail() */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define LINES 100000

static enum blobseal_status write_log(struct blobseal_writer *writer, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    char line[64];

    for (int i = 1; i <= LINES && st == BLOBSEAL_OK; i++) {
        int len = snprintf(line, sizeof line, "event %d of %d\n", i, LINES);

        st = blobseal_writer_write(writer, line, (size_t)len, err); /* the library collects small pieces */
    }
    return st == BLOBSEAL_OK ? blobseal_writer_finish(writer, NULL, err) : st;
}

static enum blobseal_status seal_log(struct blobseal_kek *kek, int fd, const char *name, struct blobseal_error *err)
{
    const struct blobseal_metadata metadata = {.size = sizeof metadata, .name = "events.log", .type = "text/plain"};
    const struct blobseal_seal_options options = {.size = sizeof options, .metadata = &metadata};
    struct blobseal_writer *writer = NULL;
    struct blobseal_sink sink;
    struct blobseal_fd state;
    enum blobseal_status st = blobseal_sink_fd(&sink, &state, fd, name, err);

    if (st == BLOBSEAL_OK)
        st = blobseal_writer_open(&writer, &sink, &kek, 1, &options, err);
    if (st == BLOBSEAL_OK)
        st = write_log(writer, err);
    blobseal_writer_close(writer);
    return st;
}

int main(int argc, char **argv)
{
    const char *name = argc > 2 ? argv[2] : "log.sealed";
    struct blobseal_kek *kek = NULL;
    struct blobseal_error err;
    char part[4096];
    int fd = -1;
    enum blobseal_status st = blobseal_kek_open(&kek, NULL, argc > 1 ? argv[1] : "kek.pem", NULL, &err);

    (void)snprintf(part, sizeof part, "%s.part", name);
    if (st == BLOBSEAL_OK && (fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) < 0)
        st = blobseal_fail(&err, BLOBSEAL_E_OUTPUT, errno, "write %s", part);
    if (st == BLOBSEAL_OK)
        st = seal_log(kek, fd, part, &err);
    if (st == BLOBSEAL_OK && (fsync(fd) != 0 || rename(part, name) != 0))
        st = blobseal_fail(&err, BLOBSEAL_E_OUTPUT, errno, "write %s", name);
    if (st != BLOBSEAL_OK) {
        fprintf(stderr, "%s (%s)\n", err.text, blobseal_status_code(st));
        if (fd >= 0)
            (void)unlink(part);
    }
    if (fd >= 0)
        (void)close(fd);
    blobseal_kek_close(kek);
    return st == BLOBSEAL_OK ? 0 : 1;
}
