/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads with one reader, and many readers with one source and key. Also runs under ThreadSanitizer. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/blobs.h"
#include "tests/support/check.h"

#define THREADS 8
#define LEN     ((size_t)3 * 1024 * 1024 + 12345)

static _Atomic unsigned failures;

/* Shared by all threads, and only read while they run. */
static uint8_t *plain;
static struct sealed sealed;
static struct blobseal_kek *kek;
static struct blobseal_reader *reader;
static struct blobseal_source source;

struct job {
    pthread_t thread;
    uint64_t seed;
    unsigned rounds;
};

/* Run @body in many threads. Meanwhile @beside runs on the thread that started them. */
static void run_beside(void *(*body)(void *), unsigned rounds, void (*beside)(void))
{
    struct job jobs[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){.seed = i + 1, .rounds = rounds};
        if (pthread_create(&jobs[i].thread, NULL, body, &jobs[i]) != 0)
            abort();
    }
    if (beside != NULL)
        beside();
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(jobs[i].thread, NULL);
}

static void run(void *(*body)(void *), unsigned rounds)
{
    run_beside(body, rounds, NULL);
}

static void read_somewhere(struct blobseal_reader *r, uint64_t *seed, uint8_t *dst, size_t max)
{
    uint64_t off = random_below(seed, LEN + 1);
    size_t len = random_below(seed, max), n = 0, want = len < LEN - off ? len : LEN - off;
    struct blobseal_error err;

    CHECK(blobseal_reader_pread(r, dst, len, off, &n, &err) == BLOBSEAL_OK);
    CHECK(n == want);
    CHECK(want == 0 || memcmp(dst, plain + off, want) == 0);
}

static void *read_at_random(void *arg)
{
    struct job *j = arg;
    uint8_t *dst = must_alloc(400000);
    struct blobseal_error err;
    size_t n;

    for (unsigned i = 0; i < j->rounds; i++) {
        read_somewhere(reader, &j->seed, dst, i % 8 == 0 ? 400000 : 3000);
        CHECK(blobseal_reader_size(reader) == LEN);
        CHECK(blobseal_reader_info(reader)->num_recipients == 1);
        if (i % 16 == 0)
            CHECK(blobseal_reader_pread(reader, dst, 1, LEN + 1, &n, &err) == BLOBSEAL_E_ARG);
    }
    free(dst);
    return NULL;
}

static void *open_and_close(void *arg)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .threads = 2};
    struct job *j = arg;
    uint8_t *dst = must_alloc(20000);
    struct blobseal_error err;

    for (unsigned i = 0; i < j->rounds; i++) {
        struct blobseal_reader *own;

        CHECK(blobseal_reader_open(&own, &source, &kek, 1, &o, &err) == BLOBSEAL_OK);
        read_somewhere(own, &j->seed, dst, 20000);
        if (i % 8 == 0)
            CHECK(blobseal_reader_verify(own, NULL, &err) == BLOBSEAL_OK);
        blobseal_reader_close(own);
    }
    free(dst);
    return NULL;
}

/* A chunk in the middle is damaged: reads that include it are refused, all others are not. */
static void *read_around_damage(void *arg)
{
    const uint64_t damaged = 70 * 16384;
    struct job *j = arg;
    uint8_t *dst = must_alloc(50000);
    struct blobseal_error err;

    for (unsigned i = 0; i < j->rounds; i++) {
        uint64_t off = random_below(&j->seed, LEN - 50000);
        size_t len = 1 + random_below(&j->seed, 50000), n;
        bool hit = off < damaged + 16384 && off + len > damaged;
        enum blobseal_status st = blobseal_reader_pread(reader, dst, len, off, &n, &err);

        CHECK(st == (hit ? BLOBSEAL_E_AUTH : BLOBSEAL_OK));
        CHECK(hit ? bs_all_zero(dst, len) && n == 0 : n == len && memcmp(dst, plain + off, len) == 0);
    }
    free(dst);
    return NULL;
}

/* Open a range through a pipeline into a sink of either kind. */
static void range_into(struct blobseal_reader *r, uint64_t off, size_t len, bool seekable)
{
    size_t want = len < LEN - off ? len : LEN - (size_t)off;
    struct test_sink to = {.seekable = seekable, .cap = want};
    struct blobseal_sink sink;
    struct blobseal_error err;
    uint64_t n = 0;

    test_sink_start(&sink, &to);
    CHECK(blobseal_reader_stream_range(r, &sink, off, len, &n, &err) == BLOBSEAL_OK);
    CHECK(n == want && test_sink_is(&to, plain + off, want));
    test_sink_end(&to);
}

static void *open_ranges(void *arg)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .threads = 3};
    struct job *j = arg;
    struct blobseal_error err;
    struct blobseal_reader *own;

    CHECK(blobseal_reader_open(&own, &source, &kek, 1, &o, &err) == BLOBSEAL_OK);
    for (unsigned i = 0; i < j->rounds; i++)
        range_into(own, random_below(&j->seed, LEN), 1 + random_below(&j->seed, LEN), i % 2 == 0);
    blobseal_reader_close(own);
    return NULL;
}

static void stream_all(void)
{
    struct test_sink to = {.seekable = true, .cap = LEN};
    struct blobseal_sink sink;
    struct blobseal_error err;

    test_sink_start(&sink, &to);
    CHECK(blobseal_reader_stream(reader, &sink, NULL, &err) == BLOBSEAL_OK);
    CHECK(test_sink_is(&to, plain, LEN));
    test_sink_end(&to);
}

/* Many threads stream all of one reader, and ranges of it, at once. */
static void *stream_at_once(void *arg)
{
    struct job *j = arg;

    for (unsigned i = 0; i < j->rounds; i++) {
        range_into(reader, random_below(&j->seed, LEN), 1 + random_below(&j->seed, LEN), i % 2 == 0);
        stream_all();
        CHECK(blobseal_reader_verify(reader, NULL, NULL) == BLOBSEAL_OK);
    }
    return NULL;
}

/* One thread may use all other functions while the others read at random. */
static void pull_and_stream(void)
{
    uint8_t *dst = must_alloc(100000);
    size_t n, at = 0;

    do {
        CHECK(blobseal_reader_read(reader, dst, 100000, &n, NULL) == BLOBSEAL_OK);
        CHECK(memcmp(dst, plain + at, n) == 0);
        at += n;
    } while (n > 0);
    CHECK(at == LEN);
    stream_all();
    free(dst);
}

/* The same with compressed content, in which positions are found through the seek table. */
static void read_compressed(void)
{
    const struct blobseal_seal_options zstd = {.size = sizeof zstd, .zstd = true};
    struct blobseal_source from;
    struct blobseal_memory state;
    struct sealed blob;

    if (seal_bytes(&blob, plain, LEN, &kek, 1, &zstd, NULL) != BLOBSEAL_OK)
        abort();
    blobseal_source_memory(&from, &state, blob.data, blob.len);
    if (blobseal_reader_open(&reader, &from, &kek, 1, NULL, NULL) != BLOBSEAL_OK)
        abort();
    run_beside(read_at_random, 30, pull_and_stream);
    run(stream_at_once, 1);
    blobseal_reader_close(reader);
    sealed_clear(&blob);
}

int main(void)
{
    struct fake_kek fake = {.kid = "a-key"};
    struct blobseal_reader_options o = {.size = sizeof o, .threads = 4};
    struct test_source from = {.seekable = true, .max_piece = 40000};
    struct blobseal_error err;

    plain = must_alloc(LEN);
    fill_random(plain, LEN, 1);
    kek = fake_kek_open(&fake);
    if (seal_bytes(&sealed, plain, LEN, &kek, 1, NULL, &err) != BLOBSEAL_OK)
        abort();
    from.data = sealed.data;
    from.len = sealed.len;
    test_source_start(&source, &from);
    if (blobseal_reader_open(&reader, &source, &kek, 1, &o, &err) != BLOBSEAL_OK)
        abort();
    run(read_at_random, 400);
    stream_all();
    run_beside(read_at_random, 50, pull_and_stream);
    stream_all();
    run(open_and_close, 40);
    run(open_ranges, 10);
    run(stream_at_once, 2);
    range_into(reader, 1, LEN, true);
    range_into(reader, 1, LEN, false);
    sealed.data[core_offset_of(sealed.data, sealed.len) + 96 + 1049608 + 6 * 16400 + 5] ^= 1; /* in chunk 70 */
    run(read_around_damage, 200);
    blobseal_reader_close(reader);
    read_compressed();
    test_source_end(&from);
    sealed_clear(&sealed);
    blobseal_kek_close(kek);
    free(plain);
    (void)printf("reader_threads: %u failures\n", failures);
    return failures == 0 ? 0 : 1;
}
