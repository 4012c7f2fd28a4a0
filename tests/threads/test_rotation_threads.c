/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a blob while another thread rotates its envelope in place, in the order of section 5: the other slot, then
 * the first. There is no lock and no pause, and many rotations: every opening finds the old or the new generation. Also
 * runs under ThreadSanitizer.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/blobs.h"
#include "tests/support/check.h"

#define OPENERS    2
#define ROTATIONS  10000
#define SECTOR     512
#define RECIPIENTS 7 /* enough for an envelope to fill most of its slot */

static _Atomic unsigned failures;

static const char plain[] = "what does not change";

static struct recipe recipe;
static struct fake_kek fake[RECIPIENTS] = {{.kid = "0"}, {.kid = "1"}, {.kid = "2"}, {.kid = "3"},
                                           {.kid = "4"}, {.kid = "5"}, {.kid = "6"}};
static struct blobseal_kek *keks[RECIPIENTS];
static char path[] = "/tmp/blobseal-rotation.XXXXXX";
static struct bs_frame frame;
static _Atomic uint64_t started = 1, finished = 1; /* newest generation begun, newest generation written */
static _Atomic unsigned beside;                    /* openings during which a rotation took place */

/* Write in the pieces that a disk writes atomically: a reader must cope with every state between two of them. */
static void write_slot(int fd, unsigned index, const uint8_t *slot)
{
    off_t off = (off_t)(frame.slot_offset + index * frame.slot_capacity);

    for (size_t i = 0; i < frame.slot_capacity; i += SECTOR)
        if (pwrite(fd, slot + i, SECTOR, off + (off_t)i) != SECTOR)
            abort();
}

static void *rotate(void *arg)
{
    uint8_t *slots = arg;
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    for (uint64_t generation = 2; generation <= ROTATIONS; generation++) {
        const uint8_t *slot = slots + generation * frame.slot_capacity;

        started = generation;
        write_slot(fd, 1, slot);
        write_slot(fd, 0, slot);
        finished = generation;
    }
    (void)close(fd);
    return NULL;
}

static void open_once(const struct blobseal_source *source)
{
    uint64_t before = finished, generation;
    struct blobseal_reader *reader;
    struct blobseal_error err;
    char back[sizeof plain];
    size_t n;

    if (blobseal_reader_open(&reader, source, keks, 1, NULL, &err) != BLOBSEAL_OK) {
        (void)fprintf(stderr, "open: %s\n", err.text);
        failures++;
        return;
    }
    generation = blobseal_reader_info(reader)->generation;
    CHECK(generation >= before && generation <= started);
    if (generation < ROTATIONS)
        beside++;
    CHECK(blobseal_reader_pread(reader, back, sizeof back, 0, &n, &err) == BLOBSEAL_OK);
    CHECK(n == sizeof plain && memcmp(back, plain, n) == 0);
    blobseal_reader_close(reader);
}

/* Read slowly: the reader's copy of the first slot is old when it reads the second. */
static enum blobseal_status read_sector(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                        struct blobseal_error *err)
{
    const struct blobseal_source *file = ctx;

    return file->pread(file->ctx, buf, len < SECTOR ? len : SECTOR, off, nread, err);
}

static void *open_often(void *arg)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct blobseal_source file, source;
    struct blobseal_fd state;

    (void)arg;
    if (blobseal_source_fd(&file, &state, fd, NULL, NULL) != BLOBSEAL_OK)
        abort();
    source = (struct blobseal_source){.ctx = &file, .size = file.size, .pread = read_sector};
    for (unsigned i = 0; (i < 500 || finished < ROTATIONS) && failures == 0; i++)
        open_once(&source);
    (void)close(fd);
    return NULL;
}

/* An A/B blob in a file. */
static void make_blob(void)
{
    int fd = mkstemp(path);
    char *text = recipe_envelope(&recipe, 1, keks, RECIPIENTS);
    size_t len;
    uint8_t *core = recipe_core(&recipe, plain, sizeof plain, &len), *preamble;

    if (fd < 0 ||
        bs_frame_plan(&frame, BLOBSEAL_LAYOUT_AB, 4096, strlen(text), recipe.core.blob_id, NULL) != BLOBSEAL_OK)
        abort();
    preamble = must_alloc(frame.frame_len);
    bs_frame_encode(&frame, preamble, text, strlen(text), 1);
    if (write(fd, preamble, frame.frame_len) != (ssize_t)frame.frame_len || write(fd, core, len) != (ssize_t)len)
        abort();
    (void)close(fd);
    free(preamble);
    free(core);
    free(text);
}

/*
 * Return all slots that the rotations write. They are made in advance, so that there is no pause between two rotations.
 */
static uint8_t *make_slots(void)
{
    uint8_t *slots = must_alloc((ROTATIONS + 1) * (size_t)frame.slot_capacity);

    for (uint64_t generation = 2; generation <= ROTATIONS; generation++) {
        char *text = recipe_envelope(&recipe, generation, keks, RECIPIENTS);

        bs_slot_encode(&frame, slots + generation * frame.slot_capacity, text, strlen(text), generation);
        free(text);
    }
    return slots;
}

int main(void)
{
    pthread_t rotator, threads[OPENERS];
    uint8_t *slots;

    recipe_make(&recipe, 3, 1);
    for (unsigned i = 0; i < RECIPIENTS; i++)
        keks[i] = fake_kek_open(&fake[i]);
    make_blob();
    slots = make_slots();
    if (pthread_create(&rotator, NULL, rotate, slots) != 0)
        abort();
    for (unsigned i = 0; i < OPENERS; i++)
        if (pthread_create(&threads[i], NULL, open_often, NULL) != 0)
            abort();
    for (unsigned i = 0; i < OPENERS; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_join(rotator, NULL);
    (void)unlink(path);
    for (unsigned i = 0; i < RECIPIENTS; i++)
        blobseal_kek_close(keks[i]);
    free(slots);
    (void)printf("rotation_threads: %u openings beside %u rotations, %u failures\n", beside, ROTATIONS, failures);
    return failures == 0 ? 0 : 1;
}
