/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read a sealed blob from a pipe, a piece at a time: pull_stream KEY.pem < FILE.sealed
 *
 * This program counts lines. It prints the count only after blobseal_reader_read() has returned 0 bytes: until then,
 * the part of the blob that was not read yet may be missing or forged.
 */
#include <blobseal.h>
#include <stdio.h>

static enum blobseal_status count_lines(struct blobseal_reader *reader, unsigned long *lines,
                                        struct blobseal_error *err)
{
    char piece[10000];
    enum blobseal_status st;
    size_t n;

    for (;;) {
        st = blobseal_reader_read(reader, piece, sizeof piece, &n, err);
        if (st != BLOBSEAL_OK || n == 0)
            return st;
        for (size_t i = 0; i < n; i++)
            *lines += piece[i] == '\n';
    }
}

int main(int argc, char **argv)
{
    struct blobseal_reader *reader = NULL;
    struct blobseal_kek *kek = NULL;
    struct blobseal_source source;
    struct blobseal_fd state;
    struct blobseal_error err;
    unsigned long lines = 0;
    enum blobseal_status st = blobseal_kek_open(&kek, NULL, argc > 1 ? argv[1] : "kek.pem", NULL, &err);

    if (st == BLOBSEAL_OK)
        st = blobseal_source_fd(&source, &state, 0, "standard input", &err);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_open(&reader, &source, &kek, 1, NULL, &err);
    if (st == BLOBSEAL_OK)
        st = count_lines(reader, &lines, &err);
    if (st == BLOBSEAL_OK)
        printf("%lu lines\n", lines);
    else
        fprintf(stderr, "%s (%s)\n", err.text, blobseal_status_code(st));
    blobseal_reader_close(reader);
    blobseal_kek_close(kek);
    return st == BLOBSEAL_OK ? 0 : 1;
}
