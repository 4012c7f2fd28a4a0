/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many scrubs at once, each with many workers: damage is reported one at a time and in order, and a request to stop is
 * obeyed. A plain program, so that it runs under ThreadSanitizer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/blobs.h"

#define NUM_SEGMENTS 24
#define NUM_SCRUBS   4
#define STRIDE       (BS_SEALED_SEGMENT_LEN + BS_CHECKSUM_LEN)

static uint8_t *core;
static size_t core_len;
static _Atomic unsigned failures;

static void expect(bool ok, const char *what)
{
    if (ok)
        return;
    failures++;
    fprintf(stderr, "FAIL: %s\n", what);
}

struct log {
    uint64_t next; /* number of the next segment; deliberately not atomic, because calls come one at a time */
    uint64_t calls, done, stop_at;
};

static void note(void *ctx, const struct blobseal_damage *d)
{
    struct log *log = ctx;

    expect(d->kind == BLOBSEAL_DAMAGE_SEGMENT && d->segment == log->next, "damage in order");
    log->next = d->segment + 3;
    log->calls++;
}

static bool step(void *ctx, uint64_t done)
{
    struct log *log = ctx;

    log->done = done;
    return done < log->stop_at;
}

static void scrub(bool seekable, unsigned threads, uint64_t stop_at)
{
    struct log log = {.stop_at = stop_at};
    const struct blobseal_scrub_options o = {.size = sizeof o,
                                             .threads = threads,
                                             .progress = step,
                                             .progress_ctx = &log,
                                             .on_damage = note,
                                             .on_damage_ctx = &log};
    struct blobseal_scrub_result result = {.size = sizeof result};
    struct test_source t = {.data = core, .len = core_len, .seekable = seekable, .max_piece = seekable ? 0 : 300000};
    struct blobseal_source source;
    enum blobseal_status st;

    test_source_start(&source, &t);
    st = blobseal_scrub(&source, &o, &result, NULL);
    expect(!t.misused, "how the source is used");
    test_source_end(&t);
    if (stop_at < core_len) {
        expect(st == BLOBSEAL_E_CANCELED, "a stop");
        return;
    }
    expect(st == BLOBSEAL_OK, "the scrub");
    expect(log.calls == NUM_SEGMENTS / 3 + 1 && result.damaged == log.calls, "all damage");
    expect(log.done == core_len - BS_CORE_HEADER_LEN && result.bytes == core_len, "all bytes");
}

static void *many(void *arg)
{
    unsigned threads = *(const unsigned *)arg;

    for (int i = 0; i < 3; i++) {
        scrub(true, threads, UINT64_MAX);
        scrub(false, threads, UINT64_MAX);
        scrub(i % 2 == 0, threads, 5 * STRIDE);
    }
    return NULL;
}

int main(void)
{
    size_t plain_len = NUM_SEGMENTS * BS_SEGMENT_LEN + 99;
    uint8_t *plain = must_alloc(plain_len);
    static unsigned threads[NUM_SCRUBS] = {1, 2, 5, 16};
    pthread_t scrubs[NUM_SCRUBS];
    struct recipe r;

    fill_pattern(plain, plain_len);
    recipe_make(&r, 31, 1);
    core = recipe_core(&r, plain, plain_len, &core_len);
    free(plain);
    for (size_t i = 0; i <= NUM_SEGMENTS; i += 3)
        core[BS_CORE_HEADER_LEN + i * STRIDE + 7] ^= 1;
    for (unsigned i = 0; i < NUM_SCRUBS; i++)
        if (pthread_create(&scrubs[i], NULL, many, &threads[i]) != 0)
            abort();
    for (unsigned i = 0; i < NUM_SCRUBS; i++)
        (void)pthread_join(scrubs[i], NULL);
    free(core);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
