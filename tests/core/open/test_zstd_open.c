/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed blobs in seekable sources: reading at offsets, raw mode, limits, and that every byte is checked. */
#include <stdlib.h>

#include "tests/support/stored.h"
#include "tests/support/suite.h"

#define MIB ((size_t)1 << 20)
#define LEN (3 * MIB + 777)

static uint8_t dst[LEN + 1];

SUITE_WITH_PLAIN(zstd_open, LEN);

/* A blob, and a reader of it. */
struct scene {
    uint8_t *blob;
    size_t len;
    size_t table_at; /* offset of the seek table in the stored bytes */
    struct test_source from;
    struct blobseal_source source;
    struct blobseal_reader *reader;
    struct blobseal_error err;
};

/* Make a blob whose frames have @frame_len bytes of plaintext. */
static void scene_make(struct scene *c, size_t len, size_t frame_len, unsigned segments)
{
    struct stored b = stored_make(plain, len, frame_len);

    *c = (struct scene){.table_at = b.len - bs_seek_encoded_len((len + frame_len - 1) / frame_len)};
    c->blob = stored_blob(&b, segments, kek, &c->len);
    free(b.p);
}

static enum blobseal_status scene_open(struct scene *c, bool pipe, const struct blobseal_reader_options *o)
{
    c->from = (struct test_source){.data = c->blob, .len = c->len, .seekable = !pipe};
    test_source_start(&c->source, &c->from);
    return blobseal_reader_open(&c->reader, &c->source, &kek, 1, o, &c->err);
}

static void scene_close(struct scene *c)
{
    blobseal_reader_close(c->reader);
    test_source_end(&c->from);
}

static void expect_range(struct scene *c, size_t off, size_t len)
{
    size_t n, want = len < LEN - off ? len : LEN - off;

    memset(dst, 0xEE, LEN + 1);
    cr_assert_eq(blobseal_reader_pread(c->reader, dst, len, off, &n, &c->err), BLOBSEAL_OK, "%s", c->err.text);
    cr_assert_eq(n, want, "%zu bytes at %zu", len, off);
    cr_assert(want == 0 || memcmp(dst, plain + off, want) == 0, "%zu bytes at %zu", len, off);
    cr_assert_eq(dst[want], 0xEE, "nothing is written after them");
}

/* ---- Reading at offsets ------------------------------------------------------------------------------------------ */

Test(zstd_open, ranges)
{
    static const size_t frame_lens[] = {MIB, MIB};

    for (size_t k = 0; k < COUNT(frame_lens); k++) {
        struct scene c;
        uint64_t random = k;

        scene_make(&c, LEN, frame_lens[k], k % 2);
        cr_assert_eq(scene_open(&c, false, NULL), BLOBSEAL_OK, "%s", c.err.text);
        cr_assert_eq(blobseal_reader_size(c.reader), LEN);
        cr_assert_eq(blobseal_reader_info(c.reader)->plain_bytes, LEN);
        for (size_t at = frame_lens[k]; at <= LEN; at += frame_lens[k]) {
            expect_range(&c, at - 1, 1);
            expect_range(&c, at - 1, 2);
            expect_range(&c, at, 1);
            if (at + frame_lens[k] < LEN)
                expect_range(&c, at, frame_lens[k]); /* exactly a frame */
        }
        for (unsigned i = 0; i < 100; i++)
            expect_range(&c, (size_t)random_below(&random, LEN + 1), (size_t)random_below(&random, 200000));
        expect_range(&c, 0, LEN);
        expect_range(&c, LEN - 1, 100);
        expect_range(&c, LEN, 100);
        scene_close(&c);
        free(c.blob);
    }
}

/* Consecutive reads decompress each frame, and read it, only once. */
Test(zstd_open, small_reads_in_a_row_cost_one_frame)
{
    struct scene c;
    uint64_t calls;
    size_t n;

    scene_make(&c, LEN, MIB, 1);
    cr_assert_eq(scene_open(&c, false, NULL), BLOBSEAL_OK);
    expect_range(&c, MIB + 5, 1);
    calls = c.from.calls;
    for (size_t off = MIB; off < 2 * MIB; off += 4096)
        cr_assert_eq(blobseal_reader_pread(c.reader, dst, 4096, off, &n, NULL), BLOBSEAL_OK);
    cr_expect_eq(c.from.calls, calls);
    expect_range(&c, 2 * MIB, 1);
    cr_expect_gt(c.from.calls, calls);
    scene_close(&c);
    free(c.blob);
}

Test(zstd_open, beyond_the_end)
{
    static const uint64_t offsets[] = {101, 1000, (uint64_t)1 << 48, (uint64_t)1 << 63, UINT64_MAX};
    struct scene c;
    size_t n;

    scene_make(&c, 100, MIB, 1);
    cr_assert_eq(scene_open(&c, false, NULL), BLOBSEAL_OK);
    for (size_t i = 0; i < COUNT(offsets); i++)
        cr_expect_eq(blobseal_reader_pread(c.reader, dst, 10, offsets[i], &n, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_reader_pread(c.reader, dst, 10, 100, &n, NULL), BLOBSEAL_OK);
    cr_expect_eq(n, 0);
    scene_close(&c);
    free(c.blob);
}

Test(zstd_open, an_empty_content_has_nothing_to_read)
{
    struct scene c;
    size_t n;

    scene_make(&c, 0, MIB, 1);
    cr_assert_eq(scene_open(&c, false, NULL), BLOBSEAL_OK, "%s", c.err.text);
    cr_expect_eq(blobseal_reader_size(c.reader), 0);
    cr_expect_eq(blobseal_reader_pread(c.reader, dst, 10, 0, &n, NULL), BLOBSEAL_OK);
    cr_expect_eq(n, 0);
    cr_expect_eq(blobseal_reader_pread(c.reader, dst, 10, 1, &n, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_reader_verify(c.reader, NULL, &c.err), BLOBSEAL_OK);
    scene_close(&c);
    free(c.blob);
}

/* ---- Raw --------------------------------------------------------------------------------------------------------- */

Test(zstd_open, raw_is_what_was_sealed)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .raw = true, .threads = 2};
    struct stored b = stored_make(plain, LEN, 300000);

    for (int pipe = 0; pipe <= 1; pipe++) {
        struct scene c = {0};
        struct test_sink to = {.cap = b.len};
        struct blobseal_sink sink;
        uint64_t n;
        size_t got;

        c.blob = stored_blob(&b, 1, kek, &c.len);
        cr_assert_eq(scene_open(&c, pipe == 1, &o), BLOBSEAL_OK);
        cr_expect_eq(blobseal_reader_size(c.reader), pipe == 1 ? BLOBSEAL_SIZE_UNKNOWN : b.len);
        if (pipe == 0) {
            cr_assert_eq(blobseal_reader_pread(c.reader, dst, 17, b.len - 17, &got, NULL), BLOBSEAL_OK);
            cr_expect_eq(memcmp(dst, b.p + b.len - 17, 17), 0);
        }
        test_sink_start(&sink, &to);
        cr_assert_eq(blobseal_reader_stream(c.reader, &sink, &n, &c.err), BLOBSEAL_OK, "%s", c.err.text);
        cr_expect(n == b.len && test_sink_is(&to, b.p, b.len));
        cr_expect_eq(blobseal_reader_info(c.reader)->stored_bytes, pipe == 1 ? BLOBSEAL_SIZE_UNKNOWN : b.len);
        cr_expect_eq(blobseal_reader_info(c.reader)->plain_bytes, BLOBSEAL_SIZE_UNKNOWN);
        test_sink_end(&to);
        scene_close(&c);
        free(c.blob);
    }
    free(b.p);
}

/* In raw mode a blob can be read even if its content is not a zstd file, so that the content can be repaired. */
Test(zstd_open, raw_does_not_look_at_what_it_is)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .raw = true};
    struct stored b = {0};
    struct scene c = {0};
    size_t n;

    stored_add(&b, "no zstd file", 12);
    c.blob = stored_blob(&b, 1, kek, &c.len);
    cr_expect_eq(scene_open(&c, false, NULL), BLOBSEAL_E_FORMAT);
    scene_close(&c);
    cr_assert_eq(scene_open(&c, false, &o), BLOBSEAL_OK);
    cr_expect_eq(blobseal_reader_pread(c.reader, dst, 100, 0, &n, NULL), BLOBSEAL_OK);
    cr_expect(n == 12 && memcmp(dst, b.p, 12) == 0);
    scene_close(&c);
    free(c.blob);
    free(b.p);
}

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

Test(zstd_open, the_number_of_frames_is_limited)
{
    for (uint32_t limit = 2; limit <= 5; limit++) {
        for (int pipe = 0; pipe <= 1; pipe++) {
            const struct blobseal_reader_options o = {.size = sizeof o, .max_frames = limit, .threads = 1};
            enum blobseal_status st;
            struct scene c;

            scene_make(&c, LEN, MIB, 1); /* four frames */
            st = scene_open(&c, pipe == 1, &o);
            if (pipe == 1 && st == BLOBSEAL_OK)
                st = blobseal_reader_verify(c.reader, NULL, &c.err);
            cr_expect_eq(st, limit >= 4 ? BLOBSEAL_OK : BLOBSEAL_E_POLICY, "%u: %s", limit, c.err.text);
            scene_close(&c);
            free(c.blob);
        }
    }
}

/* ---- Every byte is checked --------------------------------------------------------------------------------------- */

/* Stream from a file or a pipe, into a file or a pipe, check the output, and return the status. */
static enum blobseal_status stream(struct scene *c, bool pipe, bool to_file)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .threads = 2};
    struct test_sink to = {.seekable = to_file, .cap = LEN};
    struct blobseal_sink sink;
    enum blobseal_status st = scene_open(c, pipe, &o);

    test_sink_start(&sink, &to);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_stream(c->reader, &sink, NULL, &c->err);
    cr_assert(test_sink_is_part_of(&to, plain, LEN), "what comes out is plaintext, in its place");
    test_sink_end(&to);
    scene_close(c);
    return st;
}

#define UNIT (BS_SEALED_SEGMENT_LEN + BS_CHECKSUM_LEN)

/*
 * Return the status to expect if byte @at of the blob was changed but its checksum was not. A checksum shows that this
 * is damage, except in the chunks that are opened before the checksum is read: those of the seek table in a seekable
 * source.
 */
static enum blobseal_status expected(const struct scene *c, size_t at, unsigned segments, bool pipe)
{
    size_t in = at - core_offset_of(c->blob, c->len) - BS_CORE_HEADER_LEN;
    size_t chunk = in / UNIT * BS_SEGMENT_CHUNKS + in % UNIT / BS_SEALED_CHUNK_LEN;
    bool in_checksum = in % UNIT >= BS_SEALED_SEGMENT_LEN || at >= c->len - BS_CHECKSUM_LEN;

    if (segments == 0)
        return BLOBSEAL_E_AUTH;
    return pipe || in_checksum || chunk < c->table_at / BS_CHUNK_LEN ? BLOBSEAL_E_DAMAGED : BLOBSEAL_E_AUTH;
}

/* Flip a bit somewhere in each segment, its checksum, and the table, both with the old checksum and with a new one. */
static void flip_everywhere(size_t frame_len, unsigned segments)
{
    struct scene c;
    size_t core, step = 90001;

    scene_make(&c, LEN, frame_len, segments);
    core = core_offset_of(c.blob, c.len);
    for (size_t at = core + BS_CORE_HEADER_LEN; at < c.len;
         at += c.len - at <= step && at != c.len - 1 ? c.len - 1 - at : step) {
        unsigned way = (unsigned)(at / step) % 4;
        enum blobseal_status want = expected(&c, at, segments, way % 2 == 1), st;
        bool in_last_checksum = segments == 1 && at >= c.len - BS_CHECKSUM_LEN;

        c.blob[at] ^= 4;
        st = stream(&c, way % 2 == 1, way / 2 == 1);
        cr_expect_eq(st, want, "byte %zu: %s instead of %s", at, blobseal_status_code(st), blobseal_status_code(want));
        refix(c.blob, c.len);
        st = stream(&c, way % 2 == 1, way / 2 == 1);
        cr_expect_eq(st, in_last_checksum ? BLOBSEAL_OK : BLOBSEAL_E_AUTH, "byte %zu, with a checksum that matches: %s",
                     at, blobseal_status_code(st));
        c.blob[at] ^= in_last_checksum ? 0 : 4;
        refix(c.blob, c.len);
    }
    cr_expect_eq(stream(&c, false, true), BLOBSEAL_OK);
    free(c.blob);
}

Test(zstd_open, corruption_anywhere_is_damage_and_forgery_is_not_authentic)
{
    flip_everywhere(MIB, 1);
    flip_everywhere(MIB, 0);
}

/* Every byte of every checksum is compared, although every tag is correct. */
Test(zstd_open, every_byte_of_every_checksum_is_compared)
{
    struct scene c;
    size_t core, num;

    scene_make(&c, LEN, MIB, 1);
    core = core_offset_of(c.blob, c.len);
    num = (c.len - core - BS_CORE_HEADER_LEN + UNIT - 1) / UNIT;
    cr_assert_geq(num, 4);
    for (size_t i = 0; i < num * BS_CHECKSUM_LEN; i++) {
        size_t segment = i / BS_CHECKSUM_LEN, byte = i % BS_CHECKSUM_LEN;
        size_t end = segment + 1 < num ? core + BS_CORE_HEADER_LEN + (segment + 1) * UNIT : c.len;

        c.blob[end - 1 - byte] ^= 0x80;
        for (unsigned way = byte % 4; way < 4; way += byte == 0 ? 1 : 4)
            cr_expect_eq(stream(&c, way % 2 == 1, way / 2 == 1), BLOBSEAL_E_DAMAGED,
                         "byte %zu of the checksum of segment %zu", BS_CHECKSUM_LEN - 1 - byte, segment);
        c.blob[end - 1 - byte] ^= 0x80;
    }
    free(c.blob);
}

/*
 * One segment of a frame contains a chunk that is not authentic, and another segment of the same frame has a wrong
 * checksum. The wrong checksum is found in either segment, and what is corrupt is not called forged.
 */
Test(zstd_open, of_a_frame_in_two_segments_each_checksum_counts)
{
    for (unsigned other = 0; other < 2; other++) {
        struct scene c;
        size_t payload;

        scene_make(&c, LEN, MIB, 1); /* frame 0, which is longer than its content, is in segments 0 and 1 */
        payload = core_offset_of(c.blob, c.len) + BS_CORE_HEADER_LEN;
        c.blob[payload + BS_SEALED_SEGMENT_LEN - 100] ^= 1; /* segment 0, in frame 0 */
        refix(c.blob, c.len);
        cr_expect_eq(stream(&c, false, false), BLOBSEAL_E_AUTH);
        c.blob[payload + (other + 1) * UNIT - 1] ^= 1; /* the last byte of a checksum */
        cr_expect_eq(stream(&c, false, false), BLOBSEAL_E_DAMAGED, "segment %u", other);
        free(c.blob);
    }
}

/* The frame ends 10 bytes before the end of its segment, so the last segment holds only a part of the seek table. */
Test(zstd_open, segments_of_the_table_are_checked)
{
    const size_t content = MIB - 10 - 13 - 8 * 3; /* a header of 13 bytes, and 8 blocks with 3 each */
    struct scene c = {0};
    struct stored b = stored_make(plain, content, MIB);
    size_t core;

    cr_assert_eq(b.len, MIB - 10 + bs_seek_encoded_len(1));
    c.blob = stored_blob(&b, 1, kek, &c.len);
    core = core_offset_of(c.blob, c.len);
    cr_assert_gt(c.len - core - BS_CORE_HEADER_LEN, UNIT);
    cr_expect_eq(stream(&c, false, false), BLOBSEAL_OK, "%s", c.err.text);
    cr_expect_eq(stream(&c, true, false), BLOBSEAL_OK, "%s", c.err.text);
    c.blob[c.len - 1] ^= 1;
    cr_expect_eq(stream(&c, false, false), BLOBSEAL_E_DAMAGED);
    free(b.p);
    free(c.blob);
}

Test(zstd_open, every_frame_but_the_last_is_full)
{
    static const size_t frame_lens[] = {10, 70001, MIB - 1};

    for (size_t i = 0; i < COUNT(frame_lens); i++) {
        struct scene c;

        scene_make(&c, frame_lens[i] + 1, frame_lens[i], 1);
        cr_expect_eq(scene_open(&c, false, NULL), BLOBSEAL_E_FORMAT, "%zu", frame_lens[i]);
        cr_expect_not_null(strstr(c.err.text, "1 MiB"), "%s", c.err.text);
        scene_close(&c);
        free(c.blob);
    }
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

Test(zstd_open, a_source_that_fails_is_an_input_error)
{
    struct scene c;
    size_t n;

    scene_make(&c, LEN, MIB, 1);
    cr_assert_eq(scene_open(&c, false, NULL), BLOBSEAL_OK);
    expect_range(&c, 5, 10);
    c.from.fault = (struct fault){.at_call = c.from.calls + 3, .status = BLOBSEAL_E_INPUT, .once = true};
    memset(dst, 0xEE, 100);
    cr_expect_eq(blobseal_reader_pread(c.reader, dst, 100, MIB + 7, &n, &c.err), BLOBSEAL_E_INPUT);
    cr_expect(n == 0 && bs_all_zero(dst, 100));
    expect_range(&c, MIB + 7, 100); /* the reader stays usable, and the frame that failed is not cached as valid */
    expect_range(&c, 5, 10);
    scene_close(&c);
    free(c.blob);
}

/* Scrubbing needs no key, and without one it cannot know the length of the content. */
Test(zstd_open, corruption_is_found_without_a_key)
{
    struct blobseal_scrub_result r = {.size = sizeof r};
    struct blobseal_memory memory;
    struct blobseal_source source;
    struct scene c;

    scene_make(&c, LEN, MIB, 1);
    blobseal_source_memory(&source, &memory, c.blob, c.len);
    cr_assert_eq(blobseal_scrub(&source, NULL, &r, &c.err), BLOBSEAL_OK, "%s", c.err.text);
    cr_expect(r.ok && r.payload_checked && r.plain_bytes == BLOBSEAL_SIZE_UNKNOWN);
    c.blob[c.len / 2] ^= 1;
    cr_assert_eq(blobseal_scrub(&source, NULL, &r, &c.err), BLOBSEAL_OK);
    cr_expect_eq(r.damaged, 1);
    free(c.blob);
}
