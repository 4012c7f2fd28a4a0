/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power fails while a blob is changed in place: at every operation, and any part of what was not synced may have
 * reached the disk. Every resulting image opens with the old keys or with the new ones, and a second change repairs it.
 */
#include <stdlib.h>

#include "tests/support/changes.h"
#include "tests/support/suite.h"

#define RECIPIENTS 12 /* an envelope of more than one sector of 4096 bytes */
#define NEW        20 /* the key that is added */

SUITE_WITH(in_place_crash, keys_start, keys_end, .timeout = 3600);

/* A change of a blob, which is interrupted. */
struct scene {
    struct kept before;
    struct blobseal_change change;
    struct blobseal_kek *keks[NUM_KEYS]; /* private keys: the old and the new one; public keys: all others */
    size_t num_keks;
    bool removes; /* key 0 is removed */
    uint8_t old_keys[RECIPIENTS][256];
    unsigned long images;
};

static bool contains(const uint8_t *p, size_t len, const void *what, size_t n)
{
    for (const uint8_t *at = p; (at = memchr(at, *(const uint8_t *)what, len - (size_t)(at - p))) != NULL; at++)
        if (len - (size_t)(at - p) >= n && memcmp(at, what, n) == 0)
            return true;
    return false;
}

static void remember_old_keys(struct scene *s)
{
    struct bs_envelope e;
    size_t len;
    const char *text = kept_envelope(&s->before, &len);

    cr_assert_eq(bs_envelope_parse(&e, text, len, NULL), BLOBSEAL_OK);
    for (size_t i = 0; i < RECIPIENTS; i++)
        memcpy(s->old_keys[i], e.jwe.recipients[i].key, 256);
    bs_envelope_clear(&e);
}

static void scene_make(struct scene *s, bool removes)
{
    *s = (struct scene){
        .removes = removes,
        .change = {.size = sizeof s->change, .add = &public_keys[NEW], .num_add = 1, .replace = removes}};
    kept_make(&s->before, WAY_AB, RECIPIENTS);
    remember_old_keys(s);
    s->keks[s->num_keks++] = keys[0];
    for (size_t i = 1; i < RECIPIENTS; i++)
        s->keks[s->num_keks++] = public_keys[i];
    s->keks[s->num_keks++] = keys[NEW];
}

/* Change the blob in @image, and stop at operation @stop_at. @disk receives the result. */
static enum blobseal_status change_on(struct test_disk *disk, const struct scene *s, const uint8_t *image)
{
    struct blobseal_change_result *r;
    struct blobseal_target target;
    enum blobseal_status st;

    disk_start(&target, disk, image, s->before.len);
    st = blobseal_change_in_place(&r, &target, s->keks, s->num_keks, &s->change, NULL);
    cr_assert_eq(st == BLOBSEAL_OK, r != NULL);
    cr_assert_not(disk->misused);
    cr_assert_not(disk->locked);
    blobseal_change_result_free(r);
    return st;
}

static bool is_open(const struct scene *s, uint8_t *image, size_t key)
{
    const struct kept k = {.way = WAY_AB, .blob = image, .len = s->before.len};

    return kept_open(&k, keys[key]) == BLOBSEAL_OK;
}

/*
 * Expect that the old or the new key opens the blob, that a recipient who stays always does, and that the core is
 * unchanged.
 */
static void expect_alive(const struct scene *s, uint8_t *image, const char *when)
{
    size_t core = core_offset_of(s->before.blob, s->before.len);
    bool old = is_open(s, image, 0), new = is_open(s, image, NEW);

    cr_assert(old || new, "%s: no key opens it", when);
    cr_assert(is_open(s, image, 5), "%s: a recipient that stays does not open it", when);
    cr_assert(!s->removes || old != new, "%s: old and new at once", when);
    cr_assert(memcmp(image + core, s->before.blob + core, s->before.len - core) == 0, "%s: the core", when);
    cr_assert(memcmp(image, s->before.blob, 4096) == 0, "%s: the frame header", when);
}

static void expect_finished(const struct scene *s, uint8_t *image)
{
    size_t capacity = bs_load32(image + 16);

    expect_alive(s, image, "finished");
    cr_assert(is_open(s, image, NEW));
    cr_assert_eq(is_open(s, image, 0), !s->removes);
    cr_assert(memcmp(image + 4096, image + 4096 + capacity, capacity) == 0, "the slots differ");
    for (size_t i = 0; s->removes && i < RECIPIENTS; i++) {
        char text[BLOBSEAL_BASE64URL_LEN(256)];

        blobseal_base64url_encode(text, s->old_keys[i], 256);
        cr_assert_not(contains(image, s->before.len, s->old_keys[i], 256), "an old wrapped key, raw");
        cr_assert_not(contains(image, s->before.len, text, sizeof text), "an old wrapped key, as text");
        cr_assert_not(contains(image, s->before.len, text, 43), "the beginning of an old wrapped key");
    }
}

/* Check the requirements for every image after a crash. */
static void try_image(struct scene *s, uint8_t *image)
{
    struct test_disk disk = {0};

    s->images++;
    expect_alive(s, image, "after the crash");
    cr_assert_eq(change_on(&disk, s, image), BLOBSEAL_OK, "it cannot be changed again");
    cr_assert_eq(disk_unsynced(&disk, 512), 0);
    expect_finished(s, disk.now);
    disk_end(&disk);
}

/* Call @try for each state that this disk can be in after a power failure. */
static void each_image(struct scene *s, const struct test_disk *disk, unsigned random,
                       void (*try)(struct scene *s, uint8_t *image))
{
    static const enum survivors plain[] = {SURVIVE_NONE, SURVIVE_ALL, SURVIVE_EVEN, SURVIVE_ODD};
    static const enum survivors numbered[] = {SURVIVE_ONE,  SURVIVE_ALL_BUT_ONE, SURVIVE_FIRST,
                                              SURVIVE_LAST, SURVIVE_TORN,        SURVIVE_TORN_TAIL};
    static const size_t sectors[] = {512, 4096};

    for (size_t k = 0; k < COUNT(sectors); k++) {
        size_t dirty = disk_unsynced(disk, sectors[k]);

        for (size_t i = 0; i < COUNT(plain); i++) {
            uint8_t *image = disk_after(disk, sectors[k], plain[i], 0);

            try(s, image);
            free(image);
        }
        for (size_t i = 0; i < COUNT(numbered) * dirty; i++) {
            uint8_t *image = disk_after(disk, sectors[k], numbered[i % COUNT(numbered)], i / COUNT(numbered));

            try(s, image);
            free(image);
        }
        for (unsigned i = 0; dirty > 1 && i < random; i++) {
            uint8_t *image = disk_after(disk, sectors[k], SURVIVE_RANDOM, i);

            try(s, image);
            free(image);
        }
    }
}

/* ---- One crash --------------------------------------------------------------------------------------------------- */

/* Stop at each operation in turn. With @once only that operation fails, in case the change goes on afterwards. */
static void crash_everywhere(bool removes, bool once, unsigned random)
{
    struct test_disk clean = {0};
    struct scene s;

    scene_make(&s, removes);
    cr_assert_eq(change_on(&clean, &s, s.before.blob), BLOBSEAL_OK);
    expect_finished(&s, clean.now);
    cr_assert_eq(clean.writes, 2);
    cr_assert_eq(clean.syncs, 2);
    disk_end(&clean);
    for (uint64_t at = 1; at <= clean.ops; at++) {
        struct test_disk disk = {.stop_at = at, .once = once};

        cr_assert_neq(change_on(&disk, &s, s.before.blob), BLOBSEAL_OK, "operation %u failed", (unsigned)at);
        /* The last six operations: write, sync and read one slot, then the other. */
        cr_assert_eq(disk.writes,
                     at + 6 <= clean.ops   ? 0u
                     : at + 3 <= clean.ops ? 1u
                                           : 2u,
                     "after an error at %u it went on", (unsigned)at);
        cr_assert_eq(disk.ops, at, "after an error at %u it went on", (unsigned)at);
        each_image(&s, &disk, random, try_image);
        disk_end(&disk);
    }
    cr_assert_gt(s.images, random);
    kept_clear(&s.before);
}

Test(in_place_crash, replacing_survives_at_every_operation)
{
    crash_everywhere(true, false, 300);
}

Test(in_place_crash, adding_survives_at_every_operation)
{
    crash_everywhere(false, false, 100);
}

Test(in_place_crash, one_error_ends_it)
{
    crash_everywhere(true, true, 20);
    crash_everywhere(false, true, 20);
}

/* ---- A crash while an unfinished change is completed ------------------------------------------------------------- */

static void try_alive(struct scene *s, uint8_t *image)
{
    s->images++;
    expect_alive(s, image, "after the second crash");
}

/* Repeat the change on the image of one crash, with a second power failure at each operation. */
static void crash_again(struct scene *s, uint8_t *image)
{
    uint64_t at = 0;
    enum blobseal_status st;

    do {
        struct test_disk disk = {.stop_at = ++at};

        st = change_on(&disk, s, image);
        if (st != BLOBSEAL_OK)
            each_image(s, &disk, 2, try_alive);
        else
            expect_finished(s, disk.now);
        disk_end(&disk);
    } while (st != BLOBSEAL_OK);
    cr_assert_geq(at, 4, "three reads, even where nothing is left to be done");
}

Test(in_place_crash, a_second_crash_while_the_first_is_repaired)
{
    struct scene s;

    scene_make(&s, true);
    for (uint64_t at = 4; at <= 9; at++) {
        struct test_disk disk = {.stop_at = at};
        static const struct {
            enum survivors which;
            uint64_t n;
        } some[] = {{SURVIVE_NONE, 0}, {SURVIVE_ALL, 0}, {SURVIVE_TORN, 3}, {SURVIVE_LAST, 4}, {SURVIVE_RANDOM, 7}};

        cr_assert_neq(change_on(&disk, &s, s.before.blob), BLOBSEAL_OK);
        for (size_t i = 0; i < COUNT(some); i++) {
            uint8_t *image = disk_after(&disk, 512, some[i].which, some[i].n);

            crash_again(&s, image);
            free(image);
        }
        disk_end(&disk);
    }
    kept_clear(&s.before);
}

/* ---- A crash while headers are repaired -------------------------------------------------------------------------- */

static void try_repair(struct scene *s, uint8_t *image)
{
    struct test_disk disk = {0};

    s->images++;
    cr_assert_eq(change_on(&disk, s, image), BLOBSEAL_OK, "it cannot be repaired again");
    cr_assert(memcmp(disk.now, s->before.blob, s->before.len) == 0, "it is not as it was");
    disk_end(&disk);
}

Test(in_place_crash, repairing_survives_at_every_operation)
{
    struct scene s;
    size_t core, capacity;

    scene_make(&s, false);
    s.change = (struct blobseal_change){.size = sizeof s.change, .repair = true};
    core = core_offset_of(s.before.blob, s.before.len);
    capacity = bs_load32(s.before.blob + 16);
    const struct {
        size_t off, len; /* additional damage */
        unsigned slot;
    } damages[] = {{20, 1, 0}, {20, 1, 1}, {0, 4096, 1}, {1000, 8, 0}, {core + 40, 1, 0}, {core, 96, 1}};

    for (size_t i = 0; i < COUNT(damages); i++) {
        uint8_t *damaged = must_copy(s.before.blob, s.before.len);
        uint64_t at = 0;
        enum blobseal_status st;

        memset(damaged + damages[i].off, 0xEE, damages[i].len);
        damaged[4096 + damages[i].slot * capacity + 100] ^= 1;
        do {
            struct test_disk disk = {.stop_at = ++at};

            st = change_on(&disk, &s, damaged);
            each_image(&s, &disk, 2, try_repair);
            disk_end(&disk);
        } while (st != BLOBSEAL_OK);
        cr_assert_geq(at, 6, "a slot and a header were written, synced and read back");
        free(damaged);
    }
    kept_clear(&s.before);
}

/* ---- Storage that reports false success -------------------------------------------------------------------------- */

Test(in_place_crash, what_does_not_read_back_ends_it)
{
    for (unsigned removes = 0; removes <= 1; removes++) {
        struct scene s;

        scene_make(&s, removes == 1);
        for (unsigned bad = 0; bad <= 2; bad++) { /* 0: writes are lost; 1 or 2: that write has one bit changed */
            struct test_disk disk = {.deaf = bad == 0, .flip_at = bad};

            cr_expect_eq(change_on(&disk, &s, s.before.blob), BLOBSEAL_E_OUTPUT);
            cr_expect_eq(disk.writes, bad == 2 ? 2u : 1u);
            expect_alive(&s, disk.now, "a write that did not arrive");
            cr_expect_eq(is_open(&s, disk.now, NEW), bad == 2);
            disk_end(&disk);
        }
        kept_clear(&s.before);
    }
}

Test(in_place_crash, a_disk_that_fails_without_a_message)
{
    struct scene s;

    scene_make(&s, true);
    for (uint64_t at = 1; at <= 9; at++) {
        struct test_disk disk = {.stop_at = at, .stop_silently = true};
        struct blobseal_change_result *r;
        struct blobseal_target target;
        struct blobseal_error err;
        enum blobseal_status st;

        memset(&err, 0x7F, sizeof err);
        disk_start(&target, &disk, s.before.blob, s.before.len);
        st = blobseal_change_in_place(&r, &target, s.keks, s.num_keks, &s.change, &err);
        cr_expect_neq(st, BLOBSEAL_OK);
        cr_expect_eq(err.status, st);
        cr_expect_not_null(memchr(err.text, '\0', sizeof err.text));
        cr_expect_not_null(strstr(err.text, "test disk"), "%s", err.text);
        disk_end(&disk);
    }
    kept_clear(&s.before);
}
