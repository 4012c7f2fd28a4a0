/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading piece by piece, from files and pipes: what is returned, where it ends, and what is released of a broken blob.
 */
#include <stdlib.h>

#include "tests/support/suite.h"

#define CHUNK   16384u
#define SEGMENT (64u * CHUNK)
#define LEN     ((size_t)2 * SEGMENT + 20000)
#define CANARY  0xA5

static uint8_t dst[LEN + 64];

SUITE_WITH_PLAIN(pull, LEN);

struct scene {
    struct sealed s;
    struct test_source from;
    struct blobseal_source source;
    struct blobseal_reader *reader;
};

static void scene_seal(struct scene *c, size_t len, bool bare)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .no_checksums = bare, .threads = 1};
    struct blobseal_error err;

    *c = (struct scene){0};
    cr_assert_eq(seal_bytes(&c->s, plain, len, &kek, 1, &o, &err), BLOBSEAL_OK, "%s", err.text);
}

/* Open a reader over the first @len bytes of the blob. */
static enum blobseal_status scene_open(struct scene *c, size_t len, bool sequential)
{
    c->from = (struct test_source){.data = c->s.data, .len = len, .seekable = !sequential, .max_piece = 70000};
    test_source_start(&c->source, &c->from);
    return blobseal_reader_open(&c->reader, &c->source, &kek, 1, NULL, NULL);
}

static void scene_close(struct scene *c)
{
    blobseal_reader_close(c->reader);
    c->reader = NULL;
    test_source_end(&c->from);
}

/* Read to the end or to an error, in pieces of at most @max, and compare the bytes. *@got receives their number. */
static enum blobseal_status read_all(struct scene *c, size_t max, size_t *got, struct blobseal_error *err)
{
    enum blobseal_status st;
    uint64_t random = max;
    size_t n, want;

    *got = 0;
    do {
        want = max > 1 ? 1 + (size_t)random_below(&random, max) : 1;
        memset(dst, CANARY, want + 32);
        st = blobseal_reader_read(c->reader, dst, want, &n, err);
        cr_assert(n <= want && *got + n <= LEN);
        cr_assert(n == 0 || memcmp(dst, plain + *got, n) == 0, "at %zu", *got);
        cr_assert(st == BLOBSEAL_OK || (n == 0 && bs_all_zero(dst, want)), "nothing of it is left");
        for (size_t i = 0; i < 32; i++)
            cr_assert_eq(dst[want + i], CANARY, "nothing is written after the end");
        *got += n;
    } while (st == BLOBSEAL_OK && n > 0);
    return st;
}

static void expect_end(struct scene *c)
{
    size_t n = 99;

    for (int i = 0; i < 3; i++) {
        cr_expect_eq(blobseal_reader_read(c->reader, dst, 10, &n, NULL), BLOBSEAL_OK);
        cr_expect_eq(n, 0, "the end stays the end");
    }
}

/* Expect the same status and message again, whatever is requested. */
static void expect_same_error(struct scene *c, enum blobseal_status want, const struct blobseal_error *before)
{
    struct blobseal_error err;
    size_t n;

    for (size_t len = 0; len < 3; len++) {
        memset(&err, 0x55, sizeof err);
        memset(dst, CANARY, 8);
        n = 99;
        cr_assert_eq(blobseal_reader_read(c->reader, dst, len, &n, &err), want);
        cr_assert_eq(err.status, want);
        cr_assert_str_eq(err.text, before->text);
        cr_assert_str_eq(err.hint, before->hint);
        cr_assert_eq(n, 0);
        cr_assert(bs_all_zero(dst, len));
    }
    cr_assert_eq(blobseal_reader_read(c->reader, dst, 8, &n, NULL), want);
}

/* ---- Whole blobs ------------------------------------------------------------------------------------------------- */

Test(pull, every_size_in_pieces_of_every_size)
{
    static const size_t sizes[] = {0,           1,       CHUNK - 1,   CHUNK,       16 * CHUNK, 16 * CHUNK + 1,
                                   SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, LEN};
    static const size_t pieces[] = {1, 100, CHUNK, 16 * CHUNK, SEGMENT + 3, LEN};
    struct blobseal_error err;
    struct scene c;
    size_t got;

    for (size_t i = 0; i < COUNT(sizes) * COUNT(pieces) * 4; i++) {
        size_t size = sizes[i / 4 % COUNT(sizes)], piece = pieces[i / 4 / COUNT(sizes)];

        if (piece == 1 && size > 16 * CHUNK + 1)
            continue;
        scene_seal(&c, size, i % 2 == 1);
        cr_assert_eq(scene_open(&c, c.s.len, i / 2 % 2 == 1), BLOBSEAL_OK);
        cr_assert_eq(read_all(&c, piece, &got, &err), BLOBSEAL_OK, "%s", err.text);
        cr_assert_eq(got, size);
        cr_assert(!c.from.misused);
        expect_end(&c);
        scene_close(&c);
        sealed_clear(&c.s);
    }
}

Test(pull, no_bytes_are_no_end)
{
    struct scene c;
    size_t n = 99, got;

    scene_seal(&c, 100, false);
    for (int sequential = 0; sequential <= 1; sequential++) {
        cr_assert_eq(scene_open(&c, c.s.len, sequential == 1), BLOBSEAL_OK);
        cr_expect_eq(blobseal_reader_read(c.reader, NULL, 0, &n, NULL), BLOBSEAL_OK);
        cr_expect_eq(n, 0);
        cr_expect_eq(read_all(&c, 7, &got, NULL), BLOBSEAL_OK);
        cr_expect_eq(got, 100);
        scene_close(&c);
    }
    sealed_clear(&c.s);
}

/* Reading small pieces must not open the same chunk again and again. */
Test(pull, small_pieces_of_a_file_are_read_ahead)
{
    struct scene c;
    uint64_t before;
    size_t n;

    scene_seal(&c, LEN, false);
    cr_assert_eq(scene_open(&c, c.s.len, false), BLOBSEAL_OK);
    c.from.max_piece = 0;
    before = c.from.calls;
    for (size_t i = 0; i < 16 * CHUNK; i++)
        cr_assert(blobseal_reader_read(c.reader, dst, 1, &n, NULL) == BLOBSEAL_OK && n == 1 && dst[0] == plain[i]);
    cr_expect_eq(c.from.calls - before, 1);
    scene_close(&c);
    sealed_clear(&c.s);
}

/* ---- Together with the other ways to read ------------------------------------------------------------------------ */

static enum blobseal_status stream(struct scene *c, uint64_t *len)
{
    struct test_sink to = {.cap = LEN};
    struct blobseal_sink sink;
    enum blobseal_status st;

    test_sink_start(&sink, &to);
    st = blobseal_reader_stream(c->reader, &sink, len, NULL);
    test_sink_end(&to);
    return st;
}

Test(pull, the_first_reader_gets_the_pipe)
{
    struct blobseal_error err;
    struct scene c;
    size_t n = 99, got;
    uint64_t len;

    scene_seal(&c, LEN, false);
    cr_assert_eq(scene_open(&c, c.s.len, true), BLOBSEAL_OK);
    cr_expect_eq(blobseal_reader_read(c.reader, dst, 10, &n, &err), BLOBSEAL_OK);
    cr_expect_eq(stream(&c, &len), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_reader_verify(c.reader, NULL, &err), BLOBSEAL_E_ARG);
    memmove(plain, plain + n, LEN - n);
    cr_expect_eq(read_all(&c, CHUNK, &got, &err), BLOBSEAL_OK, "a refused stream takes nothing away");
    cr_expect_eq(got, LEN - n);
    scene_close(&c);

    cr_assert_eq(scene_open(&c, c.s.len, true), BLOBSEAL_OK);
    cr_expect_eq(stream(&c, &len), BLOBSEAL_OK);
    memset(dst, CANARY, 10);
    for (int i = 0; i < 2; i++) {
        n = 99;
        cr_expect_eq(blobseal_reader_read(c.reader, dst, 10, &n, &err), BLOBSEAL_E_ARG);
        cr_expect_eq(err.status, BLOBSEAL_E_ARG);
        cr_expect_eq(n, 0);
        cr_expect(bs_all_zero(dst, 10));
    }
    scene_close(&c);
    sealed_clear(&c.s);
}

Test(pull, a_file_can_be_read_in_every_way_at_once)
{
    struct blobseal_error err;
    struct scene c;
    size_t n, at = 0;
    uint64_t len;

    scene_seal(&c, LEN, false);
    cr_assert_eq(scene_open(&c, c.s.len, false), BLOBSEAL_OK);
    do {
        cr_assert_eq(blobseal_reader_read(c.reader, dst, 300000, &n, &err), BLOBSEAL_OK);
        cr_assert(memcmp(dst, plain + at, n) == 0);
        at += n;
        cr_assert_eq(blobseal_reader_pread(c.reader, dst, 5000, 77777, &n, &err), BLOBSEAL_OK);
        cr_assert(memcmp(dst, plain + 77777, 5000) == 0);
        cr_assert_eq(stream(&c, &len), BLOBSEAL_OK);
        cr_assert_eq(len, LEN);
    } while (at < LEN);
    expect_end(&c);
    scene_close(&c);
    sealed_clear(&c.s);
}

/* ---- Broken blobs ------------------------------------------------------------------------------------------------ */

/* Read the rest of the blob: an error is returned, and before it only whole segments are released. */
static void expect_broken(struct scene *c, size_t len, bool sequential, size_t most)
{
    struct blobseal_error err;
    enum blobseal_status st;
    size_t got;

    if (scene_open(c, len, sequential) == BLOBSEAL_OK) {
        st = read_all(c, 100000, &got, &err);
        cr_assert(st == BLOBSEAL_E_AUTH || st == BLOBSEAL_E_DAMAGED, "%zu of %zu bytes: %s", len, c->s.len,
                  blobseal_status_code(st));
        cr_assert_leq(got, most);
        cr_assert(!sequential || got % SEGMENT == 0, "segments come whole");
        expect_same_error(c, st, &err);
    } else {
        cr_assert_null(c->reader);
    }
    scene_close(c);
}

Test(pull, a_truncated_blob_never_ends)
{
    for (int bare = 0; bare <= 1; bare++) {
        uint64_t random = 3;
        size_t core, stride;
        struct scene c;

        scene_seal(&c, LEN, bare == 1);
        core = core_offset_of(c.s.data, c.s.len) + 96;
        stride = 64u * 16400 + (bare == 1 ? 0 : 8);
        for (size_t at = 0; at <= 2; at++)
            for (size_t back = 0; back <= 40; back++)
                if (at * stride + core >= back)
                    expect_broken(&c, core + at * stride - back, true, at * SEGMENT);
        for (size_t back = 1; back <= 40; back++) {
            expect_broken(&c, c.s.len - back, true, 2 * SEGMENT);
            expect_broken(&c, c.s.len - back, false, 0);
        }
        for (int i = 0; i < 60; i++)
            expect_broken(&c, (size_t)random_below(&random, c.s.len), i % 2 == 0, 2 * SEGMENT);
        sealed_clear(&c.s);
    }
}

Test(pull, a_damaged_segment_gives_nothing_away)
{
    static const size_t chunks[] = {0, 1, 63, 64, 100, 127, 128};
    struct scene c;
    size_t core;

    for (int bare = 0; bare <= 1; bare++) {
        scene_seal(&c, LEN, bare == 1);
        core = core_offset_of(c.s.data, c.s.len) + 96;
        for (size_t i = 0; i < COUNT(chunks) * 2; i++) {
            size_t k = chunks[i / 2], place = i % 2 == 0 ? 5 : 16399;
            uint8_t *byte = c.s.data + core + k / 64 * (64u * 16400 + (bare == 1 ? 0 : 8)) + k % 64 * 16400 + place;

            *byte ^= 1;
            expect_broken(&c, c.s.len, true, k / 64 * SEGMENT);
            expect_broken(&c, c.s.len, false, k / 16 * 16 * CHUNK);
            *byte ^= 1;
        }
        sealed_clear(&c.s);
    }
}

/* In a pipe, a segment with a wrong checksum is damaged, although all of its tags are correct. */
Test(pull, a_wrong_checksum_is_damage)
{
    struct blobseal_error err;
    struct scene c;
    size_t got;

    scene_seal(&c, LEN, false);
    c.s.data[c.s.len - 1] ^= 1;
    cr_assert_eq(scene_open(&c, c.s.len, true), BLOBSEAL_OK);
    cr_expect_eq(read_all(&c, 5000, &got, &err), BLOBSEAL_E_DAMAGED);
    cr_expect_eq(got, 2 * SEGMENT);
    scene_close(&c);
    sealed_clear(&c.s);
}

Test(pull, bytes_after_the_end_are_an_error)
{
    struct scene c;

    for (int bare = 0; bare <= 1; bare++) {
        scene_seal(&c, LEN, bare == 1);
        for (size_t more = 1; more <= 32; more++) {
            uint8_t *longer = must_alloc(c.s.len + more);

            memcpy(longer, c.s.data, c.s.len);
            memset(longer + c.s.len, 0, more);
            blobseal_free(c.s.data);
            c.s.data = longer;
            expect_broken(&c, c.s.len + more, true, 2 * SEGMENT);
        }
        sealed_clear(&c.s);
    }
}

/* ---- Sources that fail ------------------------------------------------------------------------------------------- */

Test(pull, a_source_that_fails_ends_it)
{
    for (unsigned how = 0; how < 4; how++) {
        struct blobseal_error err;
        enum blobseal_status st;
        uint64_t call = 0;
        struct scene c;
        size_t got;

        scene_seal(&c, LEN, false);
        do {
            cr_assert_eq(scene_open(&c, c.s.len, how % 2 == 1), BLOBSEAL_OK);
            c.from.max_piece = 200000;
            c.from.fault = (struct fault){
                .at_call = c.from.calls + ++call, .status = BLOBSEAL_E_CANCELED, .silent = how / 2 == 1, .once = true};
            memset(&err, 0x55, sizeof err);
            st = read_all(&c, 300000, &got, &err);
            cr_assert(st == BLOBSEAL_OK || (st == BLOBSEAL_E_CANCELED && err.status == st && err.text[0] != 0x55));
            if (st != BLOBSEAL_OK)
                expect_same_error(&c, st, &err); /* although the next read of the source would succeed */
            scene_close(&c);
        } while (st != BLOBSEAL_OK);
        cr_assert_gt(call, 5);
        sealed_clear(&c.s);
    }
}

/* Compressed content is released in whole frames, also from a pipe. */
Test(pull, compressed_content)
{
    for (unsigned how = 0; how < 8; how++) {
        const struct blobseal_seal_options o = {
            .size = sizeof o, .no_checksums = how % 2 == 1, .threads = 1, .zstd = true};
        struct blobseal_error err;
        struct scene c = {0};
        size_t got, len = how / 4 == 0 ? LEN : 0;

        cr_assert_eq(seal_bytes(&c.s, plain, len, &kek, 1, &o, &err), BLOBSEAL_OK);
        cr_assert_eq(scene_open(&c, c.s.len, how / 2 % 2 == 1), BLOBSEAL_OK);
        cr_assert_eq(read_all(&c, 300000, &got, &err), BLOBSEAL_OK, "%s", err.text);
        cr_assert_eq(got, len);
        expect_end(&c);
        scene_close(&c);
        cr_assert_eq(scene_open(&c, c.s.len - 20, true), BLOBSEAL_OK);
        cr_assert_neq(read_all(&c, 300000, &got, &err), BLOBSEAL_OK, "it is truncated");
        scene_close(&c);
        sealed_clear(&c.s);
    }
}
