/* SPDX-License-Identifier: Apache-2.0 */
/* Sources and sinks over file descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/content.h"

SUITE(fd);

#define LEN 200000

static uint8_t bytes[LEN];

static void fill_bytes(void)
{
    fill_random(bytes, sizeof bytes, 11);
}

/* Return an unnamed open file with the first @len of the bytes in it, at offset 0. */
static int temp_file(size_t len, int more_flags)
{
    char path[] = "/tmp/blobseal-test-XXXXXX";
    int fd = mkstemp(path), again;

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
    again = open(path, O_RDWR | more_flags);
    cr_assert_geq(again, 0);
    (void)close(fd);
    (void)unlink(path);
    return again;
}

/* ---- Sources over descriptors ------------------------------------------------------------------------------------ */

Test(fd, a_regular_file_is_seekable)
{
    struct blobseal_source source;
    struct blobseal_fd state;
    struct blobseal_error err;
    int fd;

    fill_bytes();
    fd = temp_file(LEN, 0);
    cr_assert_eq(blobseal_source_fd(&source, &state, fd, "a file", &err), BLOBSEAL_OK);
    cr_expect_not_null(source.pread);
    cr_expect_eq(source.size, LEN);
    cr_expect_str_eq(source.name, "a file");
    expect_content(&source, bytes, LEN);
    cr_expect_eq(lseek(fd, 0, SEEK_CUR), 0, "positioned reads leave the offset alone");
    (void)close(fd);
}

Test(fd, a_file_that_stands_elsewhere_is_read_from_there)
{
    struct blobseal_source source;
    struct blobseal_fd state;
    struct blobseal_error err;
    int fd;

    fill_bytes();
    fd = temp_file(LEN, 0);
    cr_assert_eq(lseek(fd, 1000, SEEK_SET), 1000);
    cr_assert_eq(blobseal_source_fd(&source, &state, fd, NULL, &err), BLOBSEAL_OK);
    cr_expect_not_null(source.pread, "an offset does not make it sequential");
    cr_expect_eq(source.size, LEN - 1000);
    expect_content(&source, bytes + 1000, LEN - 1000);
    cr_assert_eq(lseek(fd, LEN, SEEK_SET), LEN);
    cr_assert_eq(blobseal_source_fd(&source, &state, fd, NULL, &err), BLOBSEAL_OK);
    expect_content(&source, bytes, 0);
    (void)close(fd);
}

Test(fd, a_part_of_a_file_is_a_source)
{
    static const struct {
        uint64_t off, len, size; /* size: that of the source; UINT64_MAX: there is none */
    } cases[] = {{0, LEN, LEN},
                 {1000, 500, 500},
                 {1000, BLOBSEAL_SIZE_UNKNOWN, LEN - 1000},
                 {LEN, 0, 0},
                 {LEN, BLOBSEAL_SIZE_UNKNOWN, 0},
                 {LEN, 1, UINT64_MAX},
                 {LEN + 1, 0, UINT64_MAX},
                 {1, LEN, UINT64_MAX},
                 {UINT64_MAX, 2, UINT64_MAX}};
    struct blobseal_source source;
    struct blobseal_fd state;
    struct blobseal_error err;
    uint8_t byte;
    size_t n;
    int fd;

    fill_bytes();
    fd = temp_file(LEN, 0);
    cr_assert_eq(lseek(fd, 77, SEEK_SET), 77);
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum blobseal_status st =
            blobseal_source_fd_at(&source, &state, fd, "a part", cases[i].off, cases[i].len, &err);

        cr_expect_eq(st, cases[i].size == UINT64_MAX ? BLOBSEAL_E_INPUT : BLOBSEAL_OK, "case %zu", i);
        if (st != BLOBSEAL_OK)
            continue;
        cr_expect_eq(source.size, cases[i].size);
        expect_content(&source, bytes + cases[i].off, cases[i].size);
        cr_expect_eq(source.pread(source.ctx, &byte, 1, cases[i].size, &n, &err), BLOBSEAL_OK);
        cr_expect_eq(n, 0, "what is after the part is not read");
    }
    cr_expect_eq(lseek(fd, 0, SEEK_CUR), 77);
    (void)close(fd);
    fd = open("/dev/zero", O_RDONLY);
    cr_expect_eq(blobseal_source_fd_at(&source, &state, fd, NULL, 0, 10, &err), BLOBSEAL_E_ARG);
    (void)close(fd);
    cr_expect_eq(blobseal_source_fd_at(&source, &state, -1, NULL, 0, 10, &err), BLOBSEAL_E_INPUT);
}

Test(fd, an_empty_file_is_read_to_its_end)
{
    struct blobseal_source source;
    struct blobseal_fd state;
    struct blobseal_error err;
    int fd = temp_file(0, 0);

    cr_assert_eq(blobseal_source_fd(&source, &state, fd, NULL, &err), BLOBSEAL_OK);
    cr_expect_null(source.pread, "its size may be a lie, as in /proc");
    cr_expect_eq(source.size, 0);
    expect_content(&source, bytes, 0);
    (void)close(fd);
}

Test(fd, files_in_proc_have_no_size_and_content)
{
    static const char *const paths[] = {"/proc/self/status", "/proc/self/maps", "/proc/cpuinfo"};
    struct blobseal_source source;
    struct blobseal_fd state;
    struct blobseal_error err;
    size_t len;

    for (size_t i = 0; i < COUNT(paths); i++) {
        int fd = open(paths[i], O_RDONLY);

        cr_assert_geq(fd, 0);
        cr_assert_eq(blobseal_source_fd(&source, &state, fd, paths[i], &err), BLOBSEAL_OK);
        free(read_all(&source, 100, &len));
        cr_expect_gt(len, 100, "%s", paths[i]);
        (void)close(fd);
    }
}

Test(fd, devices_are_sequential)
{
    struct blobseal_source source;
    struct blobseal_fd state;
    struct blobseal_error err;
    int fd = open("/dev/zero", O_RDONLY);
    struct bs_input in = {&source, 0};
    uint8_t *p = must_alloc(LEN);
    size_t n;

    memset(p, 1, LEN);
    cr_assert_eq(blobseal_source_fd(&source, &state, fd, NULL, &err), BLOBSEAL_OK);
    cr_expect_null(source.pread);
    cr_expect_eq(source.size, BLOBSEAL_SIZE_UNKNOWN);
    cr_assert_eq(bs_read(&in, p, LEN, &n, &err), BLOBSEAL_OK);
    cr_expect(n == LEN && bs_all_zero(p, LEN));
    (void)close(fd);
    fd = open("/dev/null", O_RDONLY);
    cr_assert_eq(blobseal_source_fd(&source, &state, fd, NULL, &err), BLOBSEAL_OK);
    expect_content(&source, bytes, 0);
    (void)close(fd);
    free(p);
}

static void *feed(void *arg)
{
    uint64_t random = 5;

    for (size_t done = 0; done < LEN;) {
        size_t n = 1 + random_below(&random, 9000);
        ssize_t written = write(*(int *)arg, bytes + done, n < LEN - done ? n : LEN - done);

        if (written < 0)
            break;
        done += (size_t)written;
    }
    (void)close(*(int *)arg);
    return NULL;
}

Test(fd, a_pipe_is_read_in_pieces)
{
    struct blobseal_source source;
    struct blobseal_fd state;
    struct blobseal_error err;
    pthread_t thread;
    int fds[2];

    fill_bytes();
    for (int nonblocking = 0; nonblocking <= 1; nonblocking++) {
        cr_assert_eq(pipe(fds), 0);
        if (nonblocking == 1)
            cr_assert_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
        cr_assert_eq(blobseal_source_fd(&source, &state, fds[0], NULL, &err), BLOBSEAL_OK);
        cr_expect_null(source.pread);
        cr_expect_eq(source.size, BLOBSEAL_SIZE_UNKNOWN);
        cr_assert_eq(pthread_create(&thread, NULL, feed, &fds[1]), 0);
        expect_content(&source, bytes, LEN);
        (void)pthread_join(thread, NULL);
        (void)close(fds[0]);
    }
}

static void *cancel_it(void *arg)
{
    const struct blobseal_source *source = arg;

    (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    source->cancel(source->ctx);
    return NULL;
}

Test(fd, a_read_of_a_silent_pipe_can_be_canceled)
{
    struct blobseal_source source;
    struct blobseal_fd state;
    struct blobseal_error err = {0};
    pthread_t thread;
    uint8_t byte;
    int fds[2];
    size_t n = 1;

    cr_assert_eq(pipe(fds), 0);
    cr_assert_eq(blobseal_source_fd(&source, &state, fds[0], "the pipe", &err), BLOBSEAL_OK);
    cr_assert_eq(pthread_create(&thread, NULL, cancel_it, &source), 0);
    cr_expect_neq(source.read(source.ctx, &byte, 1, &n, &err), BLOBSEAL_OK);
    cr_expect_eq(n, 0);
    cr_expect_not_null(strstr(err.text, "the pipe"), "%s", err.text);
    (void)pthread_join(thread, NULL);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* Errors name the file, contain the reason, and keep errno. */
static void expect_source_error(int fd, int want_errno)
{
    struct blobseal_source source;
    struct blobseal_fd state;
    struct blobseal_error err = {0};
    uint8_t buf[10];
    size_t n = 0;
    enum blobseal_status st = blobseal_source_fd(&source, &state, fd, "the \x1B[31mfile", &err);

    if (st == BLOBSEAL_OK)
        st = bs_read(&(struct bs_input){&source, 0}, buf, sizeof buf, &n, &err);
    cr_expect_eq(st, BLOBSEAL_E_INPUT);
    cr_expect_eq(err.status, BLOBSEAL_E_INPUT);
    cr_expect_eq(err.sys_errno, want_errno, "%d", err.sys_errno);
    cr_expect_not_null(strstr(err.text, "the ?[31mfile"), "%s", err.text);
    cr_expect_not_null(strstr(err.text, strerror(want_errno)), "%s", err.text);
}

Test(fd, what_cannot_be_read_is_an_input_error)
{
    int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

    expect_source_error(fd, EISDIR);
    (void)close(fd);
    expect_source_error(fd, EBADF);
    fd = open("/dev/null", O_WRONLY);
    expect_source_error(fd, EBADF);
    (void)close(fd);
}

/* ---- Sinks over descriptors -------------------------------------------------------------------------------------- */

static void expect_file(int fd, const uint8_t *want, size_t want_len)
{
    uint8_t *p = must_alloc(want_len + 1);

    cr_expect_eq(pread(fd, p, want_len + 1, 0), (ssize_t)want_len);
    cr_expect_arr_eq(p, want, want_len);
    free(p);
}

Test(fd, a_regular_file_is_written_from_its_offset)
{
    struct blobseal_sink sink;
    struct blobseal_fd state;
    struct blobseal_error err;
    int fd;

    fill_bytes();
    fd = temp_file(5, 0);
    cr_assert_eq(lseek(fd, 5, SEEK_SET), 5);
    cr_assert_eq(blobseal_sink_fd(&sink, &state, fd, "a file", &err), BLOBSEAL_OK);
    cr_assert_not_null(sink.pwrite);
    cr_expect_str_eq(sink.name, "a file");
    cr_expect_eq(bs_write(&sink, bytes + 1005, LEN - 1005, 1000, &err), BLOBSEAL_OK);
    cr_expect_eq(bs_write(&sink, bytes + 5, 1000, 0, &err), BLOBSEAL_OK);
    cr_expect_eq(bs_write(&sink, bytes, 0, 0, &err), BLOBSEAL_OK);
    expect_file(fd, bytes, LEN);
    cr_expect_eq(lseek(fd, 0, SEEK_CUR), 5);
    (void)close(fd);
}

/* What is left of a longer file would look like a part of the blob. */
Test(fd, a_longer_file_is_refused)
{
    struct blobseal_sink sink;
    struct blobseal_fd state;
    struct blobseal_error err;
    int fd;

    fill_bytes();
    fd = temp_file(100, 0);
    for (off_t at = 0; at < 100; at += 99) {
        cr_assert_eq(lseek(fd, at, SEEK_SET), at);
        cr_expect_eq(blobseal_sink_fd(&sink, &state, fd, "a file", &err), BLOBSEAL_E_EXISTS);
        cr_expect_not_null(strstr(err.hint, "truncate"), "%s", err.hint);
    }
    expect_file(fd, bytes, 100);
    (void)close(fd);
}

Test(fd, a_part_of_a_file_is_written)
{
    struct blobseal_sink sink;
    struct blobseal_fd state;
    struct blobseal_error err;
    int fd;

    fill_bytes();
    fd = temp_file(LEN, 0);
    cr_assert_eq(blobseal_sink_fd_at(&sink, &state, fd, NULL, 1000, &err), BLOBSEAL_OK);
    cr_expect_eq(bs_write(&sink, bytes, 500, 100, &err), BLOBSEAL_OK);
    memmove(bytes + 1100, bytes, 500);
    expect_file(fd, bytes, LEN); /* the bytes before and after stay */
    cr_expect_eq(lseek(fd, 0, SEEK_CUR), 0);
    cr_expect_eq(blobseal_sink_fd_at(&sink, &state, fd, NULL, UINT64_MAX, &err), BLOBSEAL_E_ARG);
    (void)close(fd);
    cr_expect_eq(blobseal_sink_fd_at(&sink, &state, fd, NULL, 0, &err), BLOBSEAL_E_OUTPUT);
    fd = temp_file(10, O_APPEND);
    cr_expect_eq(blobseal_sink_fd_at(&sink, &state, fd, NULL, 0, &err), BLOBSEAL_E_ARG);
    (void)close(fd);
    fd = open("/dev/null", O_WRONLY);
    cr_expect_eq(blobseal_sink_fd_at(&sink, &state, fd, NULL, 0, &err), BLOBSEAL_E_ARG);
    (void)close(fd);
}

Test(fd, a_sink_without_pwrite_uses_the_offset_and_moves_it)
{
    struct blobseal_sink sink;
    struct blobseal_fd state;
    struct blobseal_error err;
    int fd;

    fill_bytes();
    fd = temp_file(10, 0);
    cr_assert_eq(lseek(fd, 10, SEEK_SET), 10);
    cr_assert_eq(blobseal_sink_fd(&sink, &state, fd, NULL, &err), BLOBSEAL_OK);
    sink.pwrite = NULL;
    cr_expect_eq(bs_write(&sink, bytes + 10, 90, 0, &err), BLOBSEAL_OK);
    cr_expect_eq(bs_write(&sink, bytes + 100, 900, 0, &err), BLOBSEAL_OK);
    expect_file(fd, bytes, 1000);
    cr_expect_eq(lseek(fd, 0, SEEK_CUR), 1000);
    (void)close(fd);
}

Test(fd, a_file_opened_for_appending_is_sequential)
{
    struct blobseal_sink sink;
    struct blobseal_fd state;
    struct blobseal_error err;
    int fd;

    fill_bytes();
    fd = temp_file(500, O_APPEND);
    cr_assert_eq(blobseal_sink_fd(&sink, &state, fd, NULL, &err), BLOBSEAL_OK);
    cr_expect_null(sink.pwrite, "Linux would append whatever the position");
    cr_expect_eq(bs_write(&sink, bytes + 500, 500, 0, &err), BLOBSEAL_OK);
    expect_file(fd, bytes, 1000);
    (void)close(fd);
}

#define MORE_THAN_A_PIPE ((size_t)3 << 20)

struct drain {
    int fd;
    uint8_t *data;
    size_t len;
};

static void *drain(void *arg)
{
    struct drain *d = arg;
    ssize_t n;

    (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* time for the pipe to fill up */
    while (d->len < MORE_THAN_A_PIPE && (n = read(d->fd, d->data + d->len, MORE_THAN_A_PIPE - d->len)) > 0)
        d->len += (size_t)n;
    return NULL;
}

Test(fd, a_pipe_takes_all_or_fails)
{
    uint8_t *sent = must_alloc(MORE_THAN_A_PIPE);
    struct drain d = {.data = must_alloc(MORE_THAN_A_PIPE)};
    struct blobseal_sink sink;
    struct blobseal_fd state;
    struct blobseal_error err;
    pthread_t thread;
    int fds[2];

    fill_random(sent, MORE_THAN_A_PIPE, 3);
    for (int nonblocking = 0; nonblocking <= 1; nonblocking++) {
        cr_assert_eq(pipe(fds), 0);
        if (nonblocking == 1)
            cr_assert_eq(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
        cr_assert_eq(blobseal_sink_fd(&sink, &state, fds[1], NULL, &err), BLOBSEAL_OK);
        cr_expect_null(sink.pwrite);
        d.fd = fds[0];
        d.len = 0;
        cr_assert_eq(pthread_create(&thread, NULL, drain, &d), 0);
        cr_expect_eq(bs_write(&sink, sent, MORE_THAN_A_PIPE, 0, &err), BLOBSEAL_OK, "%s", err.text);
        (void)close(fds[1]);
        (void)pthread_join(thread, NULL);
        cr_expect(d.len == MORE_THAN_A_PIPE && memcmp(d.data, sent, d.len) == 0);
        (void)close(fds[0]);
    }
    free(sent);
    free(d.data);
}

static void expect_sink_error(int fd, bool positioned, int want_errno)
{
    struct blobseal_sink sink;
    struct blobseal_fd state;
    struct blobseal_error err = {0};
    enum blobseal_status st = blobseal_sink_fd(&sink, &state, fd, "the file", &err);

    if (!positioned)
        sink.pwrite = NULL;
    if (st == BLOBSEAL_OK)
        st = bs_write(&sink, "abc", 3, 0, &err);
    cr_expect_eq(st, BLOBSEAL_E_OUTPUT);
    cr_expect_eq(err.status, BLOBSEAL_E_OUTPUT);
    cr_expect_eq(err.sys_errno, want_errno, "%d", err.sys_errno);
    cr_expect_not_null(strstr(err.text, "the file"), "%s", err.text);
    cr_expect_not_null(strstr(err.text, strerror(want_errno)), "%s", err.text);
}

Test(fd, what_cannot_be_written_is_an_output_error)
{
    int fd = open("/dev/full", O_WRONLY), fds[2];

    expect_sink_error(fd, true, ENOSPC);
    (void)close(fd);
    expect_sink_error(fd, true, EBADF);
    fd = open("/proc/self/exe", O_RDONLY);
    expect_sink_error(fd, true, EBADF);
    expect_sink_error(fd, false, EBADF);
    (void)close(fd);
    (void)signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe(fds), 0);
    (void)close(fds[0]);
    expect_sink_error(fds[1], true, EPIPE);
    (void)close(fds[1]);
}
