/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two programs rotate keys of one file at once while others open it, again and again. Each change is either made or
 * refused because the file is busy, and none is lost; each opening succeeds. Also runs under ThreadSanitizer.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/changes.h"
#include "tests/support/check.h"

#define ROTATORS 2
#define READERS  2
#define ROUNDS   60   /* changes by each rotator */
#define OPENINGS 1500 /* openings by each reader, at least */
#define SHARED   1    /* a recipient who always stays      */
#define FIRST    10   /* first of the recipients that the rotators add */

static _Atomic unsigned failures, changes, busy, openings;
static _Atomic unsigned rotating = ROTATORS;
static char path[] = "/tmp/blobseal-rewrap-XXXXXX";

/* Make a change through a file description of its own. */
static bool change_file(const struct blobseal_change *change)
{
    struct blobseal_kek *keks[2 + ROTATORS] = {keys[SHARED], public_keys[0]};
    struct blobseal_change_result *r;
    struct blobseal_target target;
    struct blobseal_error err = {0};
    struct blobseal_fd state;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    enum blobseal_status st = blobseal_target_fd(&target, &state, fd, "file", &err);
    bool changed;

    for (size_t i = 0; i < ROTATORS; i++)
        keks[2 + i] = public_keys[FIRST + i];
    if (st == BLOBSEAL_OK)
        st = blobseal_change_in_place(&r, &target, keks, COUNT(keks), change, &err);
    (void)close(fd);
    if (st == BLOBSEAL_E_EXISTS) {
        busy++;
        return false;
    }
    if (st != BLOBSEAL_OK) {
        (void)fprintf(stderr, "change: %s\n", err.text);
        failures++;
        return false;
    }
    CHECK(!r->finished); /* there is never an unfinished change to complete */
    changed = r->changed;
    changes += changed ? 1 : 0;
    blobseal_change_result_free(r);
    return changed;
}

/* Add and remove a recipient in turn: every other change uses a fresh CEK. */
static void *rotate(void *arg)
{
    size_t i = (size_t)(uintptr_t)arg;
    struct blobseal_change come = {.size = sizeof come, .add = &public_keys[FIRST + i], .num_add = 1};
    struct blobseal_change go = {.size = sizeof go, .remove = &fakes[FIRST + i].kid, .num_remove = 1};

    for (unsigned round = 0; round < ROUNDS; round++)
        while (!change_file(round % 2 == 0 ? &come : &go) && failures == 0)
            continue;
    rotating--;
    return NULL;
}

static uint64_t open_once(void)
{
    struct blobseal_reader *reader;
    struct blobseal_source source;
    struct blobseal_error err = {0};
    struct blobseal_fd state;
    uint8_t got[KEPT_PLAIN], want[KEPT_PLAIN];
    uint64_t generation = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n;
    enum blobseal_status st = blobseal_source_fd(&source, &state, fd, "file", &err);

    fill_random(want, sizeof want, 77);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_open(&reader, &source, &keys[SHARED], 1, NULL, &err);
    if (st == BLOBSEAL_OK) {
        CHECK(blobseal_reader_pread(reader, got, sizeof got, 0, &n, NULL) == BLOBSEAL_OK && n == sizeof got);
        CHECK(memcmp(got, want, sizeof got) == 0);
        generation = blobseal_reader_info(reader)->generation;
        blobseal_reader_close(reader);
    } else {
        (void)fprintf(stderr, "open: %s\n", err.text);
        failures++;
    }
    (void)close(fd);
    openings++;
    return generation;
}

static void *read_all_the_time(void *arg)
{
    uint64_t generation;

    (void)arg;
    for (unsigned i = 0; i < OPENINGS || rotating > 0; i++) {
        unsigned before = changes;

        generation = open_once();
        CHECK(generation > before && generation <= 1 + ROUNDS * ROTATORS); /* earlier changes are not lost */
        if (failures > 0)
            break;
    }
    return NULL;
}

/* Check the final state: both slots are the same, and their generation equals the number of changes plus one. */
static void expect_consistent(size_t len)
{
    struct kept end = {.way = WAY_AB, .len = len, .blob = must_alloc(len)};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t capacity;

    CHECK(pread(fd, end.blob, len, 0) == (ssize_t)len);
    capacity = bs_load32(end.blob + 16);
    CHECK(memcmp(end.blob + 4096, end.blob + 4096 + capacity, capacity) == 0);
    CHECK(bs_load64(end.blob + 4096 + 8) == 1 + changes);
    CHECK(changes == ROUNDS * ROTATORS);
    CHECK(kept_open(&end, keys[0]) == BLOBSEAL_OK && kept_open(&end, keys[SHARED]) == BLOBSEAL_OK);
    for (size_t i = 0; i < ROTATORS; i++)
        CHECK(kept_open(&end, keys[FIRST + i]) == BLOBSEAL_E_NO_KEY);
    (void)close(fd);
    kept_clear(&end);
}

int main(void)
{
    pthread_t threads[ROTATORS + READERS];
    struct kept k;
    int fd = mkstemp(path);

    keys_start();
    kept_make(&k, WAY_AB, 2);
    if (fd < 0 || write(fd, k.blob, k.len) != (ssize_t)k.len)
        abort();
    (void)close(fd);
    for (size_t i = 0; i < ROTATORS + READERS; i++)
        if (pthread_create(&threads[i], NULL, i < ROTATORS ? rotate : read_all_the_time, (void *)(uintptr_t)i) != 0)
            abort();
    for (size_t i = 0; i < ROTATORS + READERS; i++)
        (void)pthread_join(threads[i], NULL);
    expect_consistent(k.len);
    kept_clear(&k);
    keys_end();
    (void)unlink(path);
    (void)printf("rewrap_threads: %u changes, %u times busy, %u openings, %u failures\n", changes, busy, openings,
                 failures);
    return failures == 0 ? 0 : 1;
}
