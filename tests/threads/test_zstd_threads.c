/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed blobs: many workers seal and open one blob, and many threads read one. Also runs under ThreadSanitizer. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/blobs.h"
#include "tests/support/check.h"

#define THREADS 8
#define LEN     ((size_t)9 * 1024 * 1024 + 12345)

static _Atomic unsigned failures;

/* Shared by all threads, and only read while they run. */
static uint8_t *plain;
static struct blobseal_kek *kek;
static struct blobseal_reader *reader;

struct job {
    pthread_t thread;
    uint64_t seed;
};

/* Read in small steps forward, as a file system does, with jumps: frames that some calls cache are needed by others. */
static void *read_here_and_there(void *arg)
{
    struct job *j = arg;
    uint8_t *dst = must_alloc(70000);
    uint64_t off = random_below(&j->seed, LEN);

    for (unsigned i = 0; i < 60; i++) {
        size_t len = 1 + (size_t)random_below(&j->seed, 70000), n, want;
        struct blobseal_error err;

        if (i % 8 == 0 || off >= LEN)
            off = random_below(&j->seed, LEN);
        want = len < LEN - off ? len : (size_t)(LEN - off);
        CHECK(blobseal_reader_pread(reader, dst, len, off, &n, &err) == BLOBSEAL_OK);
        CHECK(n == want && memcmp(dst, plain + off, n) == 0);
        off += n;
    }
    free(dst);
    return NULL;
}

static void read_with_many_threads(void)
{
    struct job jobs[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        jobs[i].seed = i + 1;
        if (pthread_create(&jobs[i].thread, NULL, read_here_and_there, &jobs[i]) != 0)
            abort();
    }
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(jobs[i].thread, NULL);
}

static bool count(void *ctx, uint64_t done)
{
    uint64_t *last = ctx;

    CHECK(done >= *last && done <= LEN);
    *last = done;
    return true;
}

/* Stream the blob from a file or a pipe into a file or a pipe. */
static void stream(const struct test_sink *blob, size_t len, unsigned how, enum blobseal_status want)
{
    uint64_t last = 0;
    const struct blobseal_reader_options o = {.size = sizeof o, .threads = 4, .progress = count, .progress_ctx = &last};
    struct test_source from = {.data = blob->data, .len = len, .seekable = how % 2 == 0, .max_piece = 400000};
    struct test_sink to = {.seekable = how / 2 == 0, .cap = LEN};
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_error err;
    enum blobseal_status st;

    test_source_start(&source, &from);
    test_sink_start(&sink, &to);
    st = blobseal_reader_open(&reader, &source, &kek, 1, &o, &err);
    CHECK(st == BLOBSEAL_OK);
    if (st == BLOBSEAL_OK) {
        st = blobseal_reader_stream(reader, &sink, NULL, &err);
        CHECK(st == want);
        CHECK(want == BLOBSEAL_OK ? test_sink_is(&to, plain, LEN) : test_sink_is_part_of(&to, plain, LEN));
        if (want == BLOBSEAL_OK && from.seekable)
            read_with_many_threads();
    }
    CHECK(!from.misused && !to.misused);
    blobseal_reader_close(reader);
    test_source_end(&from);
    test_sink_end(&to);
}

/* Seal from a file or a pipe, and open the blob in every way. */
static void seal_and_open(unsigned how)
{
    uint64_t last = 0;
    const struct blobseal_seal_options o = {
        .size = sizeof o, .threads = 4, .zstd = true, .zstd_level = 1, .progress = count, .progress_ctx = &last};
    struct blobseal_seal_result r = {.size = sizeof r};
    struct test_source from = {.data = plain, .len = LEN, .seekable = how % 2 == 0, .max_piece = 400000};
    struct test_sink blob = {.seekable = how / 2 == 0, .cap = LEN + 1024 * 1024};
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_error err;

    test_source_start(&source, &from);
    test_sink_start(&sink, &blob);
    CHECK(blobseal_seal(&sink, &source, &kek, 1, &o, &r, &err) == BLOBSEAL_OK);
    CHECK(last == LEN && r.plain_bytes == LEN);
    for (unsigned i = 0; i < 4; i++)
        stream(&blob, (size_t)r.sealed_bytes, i, BLOBSEAL_OK);
    blob.data[(size_t)r.sealed_bytes / 2] ^= 1;
    for (unsigned i = 0; i < 4; i++)
        stream(&blob, (size_t)r.sealed_bytes, i, BLOBSEAL_E_DAMAGED);
    test_source_end(&from);
    test_sink_end(&blob);
}

int main(void)
{
    struct fake_kek fake = {.kid = "a-key"};

    plain = must_alloc(LEN);
    fill_random(plain, LEN, 1);
    for (size_t at = 0; at < LEN; at += 1500000) /* frames of different lengths */
        memset(plain + at, 7, at / 30);
    kek = fake_kek_open(&fake);
    for (unsigned how = 0; how < 4; how++)
        seal_and_open(how);
    blobseal_kek_close(kek);
    free(plain);
    (void)printf("zstd_threads: %u failures\n", failures);
    return failures == 0 ? 0 : 1;
}
