/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From file to file with many threads: what the output is, and that no more of them write at once than the kernel can
 * use. This program replaces pwrite() with a function that counts and then calls the system.
 */
#define _DEFAULT_SOURCE /* pwritev */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/blobs.h"

#define LEN     ((size_t)12 * 1024 * 1024 + 777)
#define THREADS 8
#define CONTENT 65536 /* bytes at least: what is shorter is the preamble or the end, and written alone */

static _Atomic unsigned writing, most;
static _Atomic bool failing;

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
    unsigned now = ++writing, before = most;
    ssize_t n = -1;

    while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
        ;
    /* Time for other threads to arrive: as long as it takes for the second one, and a moment for more of them. */
    for (unsigned ms = 0; len >= CONTENT && most < 2 && ms < 60000; ms++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (failing)
        errno = ENOSPC;
    else
        n = pwritev(fd, &piece, 1, off);
    writing--;
    return n;
}

/* ---- Sealing and opening ----------------------------------------------------------------------------------------- */

static struct blobseal_kek *kek;

static FILE *new_file(void)
{
    FILE *f = tmpfile();

    if (f == NULL)
        abort();
    return f;
}

static enum blobseal_status move(FILE *from, FILE *to, bool sealing, struct blobseal_error *err)
{
    const struct blobseal_seal_options seal = {.size = sizeof seal, .threads = THREADS};
    const struct blobseal_reader_options open = {.size = sizeof open, .threads = THREADS};
    struct blobseal_fd from_fd, to_fd;
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_reader *reader;
    enum blobseal_status st;

    rewind(from);
    if (blobseal_source_fd(&source, &from_fd, fileno(from), NULL, err) != BLOBSEAL_OK ||
        blobseal_sink_fd(&sink, &to_fd, fileno(to), NULL, err) != BLOBSEAL_OK)
        abort();
    most = 0;
    if (sealing)
        return blobseal_seal(&sink, &source, &kek, 1, &seal, NULL, err);
    st = blobseal_reader_open(&reader, &source, &kek, 1, &open, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_stream(reader, &sink, NULL, err);
    blobseal_reader_close(reader);
    return st;
}

static unsigned failures;

static void expect(bool ok, const char *what, const char *detail)
{
    if (!ok)
        (void)fprintf(stderr, "FAIL: %s (%s)\n", what, detail);
    failures += !ok;
}

/* Expect two writers at once, whatever the number of CPUs: the first waits until the second arrives. */
static void expect_two_writers(const char *what)
{
    char n[32];

    (void)snprintf(n, sizeof n, "%u", most);
    expect(most == 2 && writing == 0, what, n);
}

static void round_trip(FILE *plain, const uint8_t *bytes)
{
    FILE *sealed = new_file(), *opened = new_file();
    struct blobseal_error err = {0};
    uint8_t *back = malloc(LEN);

    expect(move(plain, sealed, true, &err) == BLOBSEAL_OK, "sealing", err.text);
    expect_two_writers("two threads write at once when sealing");
    expect(move(sealed, opened, false, &err) == BLOBSEAL_OK, "opening", err.text);
    expect_two_writers("two threads write at once when opening");
    rewind(opened);
    expect(back != NULL && fread(back, 1, LEN, opened) == LEN && fgetc(opened) == EOF && memcmp(back, bytes, LEN) == 0,
           "the same bytes come back", "");
    free(back);
    (void)fclose(sealed);
    (void)fclose(opened);
}

/* Every thread that waits for its turn to write gets it and ends. */
static void full_disk(FILE *plain)
{
    FILE *sealed = new_file();
    struct blobseal_error err = {0};

    failing = true;
    expect(move(plain, sealed, true, &err) == BLOBSEAL_E_OUTPUT && err.sys_errno == ENOSPC, "a full disk", err.text);
    failing = false;
    (void)fclose(sealed);
}

int main(void)
{
    struct fake_kek fake = {.kid = "a-key"};
    uint8_t *bytes = malloc(LEN);
    FILE *plain = new_file();

    kek = fake_kek_open(&fake);
    if (bytes == NULL)
        abort();
    fill_random(bytes, LEN, 1);
    if (fwrite(bytes, 1, LEN, plain) != LEN || fflush(plain) != 0)
        abort();
    round_trip(plain, bytes);
    full_disk(plain);
    (void)fclose(plain);
    free(bytes);
    blobseal_kek_close(kek);
    if (failures == 0)
        (void)printf("from file to file, %d threads: passed\n", THREADS);
    return failures == 0 ? 0 : 1;
}
