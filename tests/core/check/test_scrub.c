/* SPDX-License-Identifier: Apache-2.0 */
/* Corruption in the payload: all segments, checksums and ends, files and pipes, any number of threads. Section 3. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/suite.h"

SUITE(scrub, .timeout = 3600);

#define STRIDE (BS_SEALED_SEGMENT_LEN + BS_CHECKSUM_LEN)

static struct recipe r;
static uint8_t *core;
static size_t len;

static void scene_open(size_t plain_len, unsigned segments)
{
    uint8_t *plain = must_alloc(plain_len + 1);

    fill_pattern(plain, plain_len);
    recipe_make(&r, 21, segments);
    core = recipe_core(&r, plain, plain_len, &len);
    core = realloc(core, len + 3 * STRIDE); /* room for the bytes that tests append */
    cr_assert_not_null(core);
    free(plain);
}

static void scene_close(void)
{
    free(core);
}

/* ---- Scrubbing --------------------------------------------------------------------------------------------------- */

#define MAX_FOUND 80

static struct found {
    size_t num;
    struct blobseal_damage d[MAX_FOUND];
    char text[MAX_FOUND][200];
    _Atomic unsigned busy;
    bool overlapped;
} found;
static struct blobseal_scrub_result result;

static void note(void *ctx, const struct blobseal_damage *d)
{
    struct found *f = ctx;

    if (f->busy++ != 0)
        f->overlapped = true;
    cr_assert_lt(f->num, MAX_FOUND, "too much damage: %s", d->text);
    f->d[f->num] = *d;
    (void)snprintf(f->text[f->num], sizeof f->text[0], "%s", d->text);
    f->num++;
    f->busy--;
}

struct how {
    bool sequential;
    size_t max_piece;
    unsigned threads;
    struct fault fault;
};

static enum blobseal_status scrub(size_t n, struct how how, struct blobseal_error *err)
{
    const struct blobseal_scrub_options o = {
        .size = sizeof o, .threads = how.threads, .on_damage = note, .on_damage_ctx = &found};
    struct test_source t = {
        .data = core, .len = n, .seekable = !how.sequential, .max_piece = how.max_piece, .fault = how.fault};
    struct blobseal_source source;
    enum blobseal_status st;

    found = (struct found){0};
    result = (struct blobseal_scrub_result){.size = sizeof result};
    test_source_start(&source, &t);
    st = blobseal_scrub(&source, &o, &result, err);
    cr_expect_not(t.misused);
    cr_expect_not(found.overlapped);
    test_source_end(&t);
    return st;
}

/* An expected finding. Kind 0 ends the list. */
struct want {
    enum blobseal_damage_kind kind;
    uint64_t segment, off, length;
};

static const struct how hows[] = {{.threads = 1},
                                  {.threads = 4},
                                  {.sequential = true, .threads = 1},
                                  {.sequential = true, .threads = 3, .max_piece = 99999}};

static void expect_found(size_t n, const struct want *want, const char *what)
{
    for (size_t h = 0; h < COUNT(hows); h++) {
        struct blobseal_error e = {0};
        size_t i;

        cr_assert_eq(scrub(n, hows[h], &e), BLOBSEAL_OK, "%s: %s", what, e.text);
        for (i = 0; want[i].kind != 0; i++) {
            cr_assert_lt(i, found.num, "%s, %zu: only %zu", what, h, found.num);
            cr_expect_eq(found.d[i].kind, want[i].kind, "%s, %zu: kind %d", what, h, found.d[i].kind);
            cr_expect_eq(found.d[i].segment, want[i].segment, "%s, %zu", what, h);
            cr_expect_eq(found.d[i].offset, want[i].off, "%s, %zu: offset %llu", what, h,
                         (unsigned long long)found.d[i].offset);
            cr_expect_eq(found.d[i].length, want[i].length, "%s, %zu: length %llu", what, h,
                         (unsigned long long)found.d[i].length);
        }
        cr_expect_eq(found.num, i, "%s, %zu: %zu instead of %zu, %s", what, h, found.num, i, found.text[i]);
        cr_expect_eq(result.damaged, i);
        cr_expect_eq(result.ok, i == 0);
        cr_expect_eq(result.bytes, n, "%s, %zu: %llu of %zu bytes", what, h, (unsigned long long)result.bytes, n);
    }
}

static struct want segment(uint64_t i, uint64_t length)
{
    return (struct want){BLOBSEAL_DAMAGE_SEGMENT, i, BS_CORE_HEADER_LEN + i * STRIDE, length};
}

static struct want end(uint64_t i, uint64_t length)
{
    return (struct want){BLOBSEAL_DAMAGE_END, i, BS_CORE_HEADER_LEN + i * STRIDE, length};
}

#define LIST(...)                                                                                                      \
    (struct want[])                                                                                                    \
    {                                                                                                                  \
        __VA_ARGS__,                                                                                                   \
        {                                                                                                              \
            0                                                                                                          \
        }                                                                                                              \
    }
#define NOTHING                                                                                                        \
    (struct want[])                                                                                                    \
    {                                                                                                                  \
        {                                                                                                              \
            0                                                                                                          \
        }                                                                                                              \
    }

/* ---- Bytes that changed ------------------------------------------------------------------------------------------ */

Test(scrub, sound_cores_of_many_lengths)
{
    const size_t lens[] = {0,
                           1,
                           BS_CHUNK_LEN - 1,
                           BS_CHUNK_LEN,
                           BS_RUN_LEN,
                           BS_RUN_LEN + 1,
                           BS_SEGMENT_LEN - 1,
                           BS_SEGMENT_LEN,
                           BS_SEGMENT_LEN + 1,
                           3 * BS_SEGMENT_LEN,
                           3 * BS_SEGMENT_LEN + 5 * BS_CHUNK_LEN};

    for (size_t i = 0; i < COUNT(lens); i++)
        for (unsigned segments = 0; segments < 2; segments++) {
            scene_open(lens[i], segments);
            expect_found(len, NOTHING, "sound");
            cr_expect_eq(result.plain_bytes, lens[i]);
            cr_expect_eq(result.num_segments, lens[i] / BS_SEGMENT_LEN + 1);
            cr_expect_eq(result.payload_checked, segments == 1);
            cr_expect_eq(result.layout, BLOBSEAL_LAYOUT_DETACHED);
            cr_expect_eq(result.notes, 0);
            scene_close();
        }
}

/* In each segment: the first and the last byte, the edges of runs, and the checksum. */
Test(scrub, one_byte_of_each_segment)
{
    uint64_t last_len;

    scene_open(2 * BS_SEGMENT_LEN + 300000, 1);
    last_len = len - BS_CORE_HEADER_LEN - 2 * STRIDE;
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t n = i < 2 ? STRIDE : last_len, off = BS_CORE_HEADER_LEN + i * STRIDE;
        const uint64_t places[] = {
            0, BS_SEALED_RUN_LEN - 1, BS_SEALED_RUN_LEN, n - BS_CHECKSUM_LEN - 1, n - BS_CHECKSUM_LEN, n - 1};

        for (size_t p = 0; p < COUNT(places); p++) {
            core[off + places[p]] ^= 0x10;
            expect_found(len, LIST(segment(i, n)), "one byte");
            cr_expect(result.payload_checked);
            cr_expect_eq(result.notes, 0);
            core[off + places[p]] ^= 0x10;
        }
    }
    scene_close();
}

Test(scrub, all_damaged_segments_are_reported_in_their_order)
{
    scene_open(20 * BS_SEGMENT_LEN + 5, 1);
    for (uint64_t i = 0; i < 21; i += 2)
        core[BS_CORE_HEADER_LEN + i * STRIDE + 3] ^= 1;
    expect_found(len,
                 LIST(segment(0, STRIDE), segment(2, STRIDE), segment(4, STRIDE), segment(6, STRIDE),
                      segment(8, STRIDE), segment(10, STRIDE), segment(12, STRIDE), segment(14, STRIDE),
                      segment(16, STRIDE), segment(18, STRIDE), segment(20, 5 + 16 + 8)),
                 "every other segment");
    scene_close();
}

static void swap(uint8_t *a, uint8_t *b, size_t n)
{
    uint8_t *t = must_copy(a, n);

    memcpy(a, b, n);
    memcpy(b, t, n);
    free(t);
}

Test(scrub, segments_that_changed_places)
{
    scene_open(3 * BS_SEGMENT_LEN + 5, 1);
    swap(core + BS_CORE_HEADER_LEN, core + BS_CORE_HEADER_LEN + 2 * STRIDE, STRIDE);
    expect_found(len, LIST(segment(0, STRIDE), segment(2, STRIDE)), "swapped with their checksums");
    scene_close();
}

Test(scrub, a_segment_of_another_blob)
{
    struct recipe mine;
    uint8_t *saved, *own;

    scene_open(BS_SEGMENT_LEN + 5, 1);
    saved = must_copy(core, BS_CORE_HEADER_LEN + STRIDE);
    own = must_copy(core, len);
    mine = r;
    r.core.blob_id[3] ^= 1;
    memcpy(core + 16, r.core.blob_id, sizeof r.core.blob_id);
    refix(core, len);
    cr_assert(memcmp(core + BS_CORE_HEADER_LEN, own + BS_CORE_HEADER_LEN, STRIDE) != 0);
    memcpy(core + BS_CORE_HEADER_LEN, saved + BS_CORE_HEADER_LEN, STRIDE);
    expect_found(len, LIST(segment(0, STRIDE)), "of another blob");
    r = mine;
    free(saved);
    free(own);
    scene_close();
}

/* ---- Lengths ----------------------------------------------------------------------------------------------------- */

Test(scrub, truncated_anywhere)
{
    const size_t tail = 40000, last = tail + 3 * BS_GCM_TAG_LEN + BS_CHECKSUM_LEN;
    size_t end_of_two;

    scene_open(2 * BS_SEGMENT_LEN + tail, 1);
    end_of_two = BS_CORE_HEADER_LEN + 2 * STRIDE;
    cr_assert_eq(len, end_of_two + last);
    expect_found(end_of_two, LIST(end(2, 0)), "the last segment is missing");
    cr_expect_eq(result.notes, BLOBSEAL_NOTE_LENGTH);
    cr_expect_eq(result.plain_bytes, BLOBSEAL_SIZE_UNKNOWN);
    for (size_t n = 1; n < 24; n++)
        expect_found(end_of_two + n, LIST(end(2, n)), "too short for a tag and a checksum");
    expect_found(end_of_two + 24, LIST(segment(2, 24)), "long enough for an empty chunk");
    expect_found(len - 1, LIST(segment(2, last - 1)), "one byte less");
    expect_found(end_of_two - 1, LIST(segment(1, STRIDE - 1)), "within the second checksum");
    cr_expect_eq(result.num_segments, 2);
    expect_found(end_of_two - BS_CHECKSUM_LEN, LIST(segment(1, STRIDE - BS_CHECKSUM_LEN)),
                 "without the second checksum");
    expect_found(BS_CORE_HEADER_LEN + STRIDE, LIST(end(1, 0)), "after the first segment");
    expect_found(BS_CORE_HEADER_LEN, LIST(end(0, 0)), "no payload");
    scene_close();
}

Test(scrub, extended)
{
    scene_open(BS_SEGMENT_LEN + 100, 1);
    memset(core + len, 0, 2 * STRIDE);
    for (size_t n = 1; n <= 9; n++)
        expect_found(len + n, LIST(segment(1, 100 + 24 + n)), "a few bytes");
    expect_found(len + STRIDE - 124, LIST(segment(1, STRIDE), end(2, 0)), "up to a full segment");
    expect_found(len + STRIDE, LIST(segment(1, STRIDE), segment(2, 124)), "a segment more");
    scene_close();
}

/* In a payload without checksums, only the length can be checked. */
Test(scrub, without_checksums_only_the_length_tells)
{
    const size_t bare = BS_SEALED_SEGMENT_LEN;

    scene_open(BS_SEGMENT_LEN + 100, 0);
    core[len - 1] ^= 1;
    expect_found(len, NOTHING, "a changed byte");
    cr_expect_not(result.payload_checked);
    expect_found(BS_CORE_HEADER_LEN + bare + 15,
                 LIST((struct want){BLOBSEAL_DAMAGE_END, 1, BS_CORE_HEADER_LEN + bare, 15}), "a piece of a tag");
    expect_found(BS_CORE_HEADER_LEN + bare, LIST((struct want){BLOBSEAL_DAMAGE_END, 1, BS_CORE_HEADER_LEN + bare, 0}),
                 "nothing after a full segment");
    expect_found(BS_CORE_HEADER_LEN + bare + 16, NOTHING, "a length that a blob can have");
    scene_close();
}

/* ---- Without a core header --------------------------------------------------------------------------------------- */

/*
 * Scrub a detached core of @plain_len bytes, truncated by @missing bytes. Its header is destroyed except for the blob
 * id, which is the seed of the checksums. Each segment whose bit is set in @damaged has one wrong byte.
 */
static void scrub_without_header(size_t plain_len, unsigned damaged, size_t missing)
{
    const struct how how = {.threads = 2};
    struct blobseal_error e = {0};

    scene_open(plain_len, 1);
    memset(core + 32, 0xEE, BS_CORE_HEADER_LEN - 32);
    for (uint64_t i = 0; BS_CORE_HEADER_LEN + i * STRIDE < len; i++)
        if ((damaged >> i & 1) != 0)
            core[BS_CORE_HEADER_LEN + i * STRIDE + 5] ^= 1;
    cr_assert_eq(scrub(len - missing, how, &e), BLOBSEAL_OK, "%s", e.text);
    cr_assert_geq(found.num, 1);
    cr_expect_eq(found.d[0].kind, BLOBSEAL_DAMAGE_CORE_HEADER);
    cr_expect_eq(result.bytes, len - missing, "the payload is read even where it cannot be checked");
    scene_close();
}

/* Expect that the payload was checked, and that exactly the segments in @damaged were reported. */
static void expect_segments(unsigned damaged)
{
    size_t n = 1;

    cr_expect(result.payload_checked);
    for (uint64_t i = 0; i < 4; i++) {
        if ((damaged >> i & 1) == 0)
            continue;
        cr_assert_lt(n, found.num, "segment %u", (unsigned)i);
        cr_expect_eq(found.d[n].kind, BLOBSEAL_DAMAGE_SEGMENT);
        cr_expect_eq(found.d[n].segment, i);
        n++;
    }
    cr_expect_eq(found.num, n, "%s", found.text[n]);
}

static void expect_unchecked(const char *what)
{
    cr_expect_not(result.payload_checked, "%s", what);
    cr_expect_eq(found.num, 1, "%s: %s", what, found.text[1]);
    cr_expect_eq(result.plain_bytes, BLOBSEAL_SIZE_UNKNOWN, "%s", what);
}

/* If the first or the second segment matches its checksum, the payload has checksums, and all of them are compared. */
Test(scrub, without_a_core_header_one_of_two_segments_tells_that_there_are_checksums)
{
    static const unsigned sets[] = {0, 1, 2, 4, 1 | 4, 2 | 4};

    for (size_t i = 0; i < COUNT(sets); i++) {
        scrub_without_header(2 * BS_SEGMENT_LEN + 100, sets[i], 0);
        expect_segments(sets[i]);
        cr_expect_eq(result.plain_bytes, 2 * BS_SEGMENT_LEN + 100);
    }
    scrub_without_header(BS_SEGMENT_LEN + 100, 1, 0); /* the second segment is the last */
    expect_segments(1);
    scrub_without_header(BS_SEGMENT_LEN, 1, 0); /* the second segment has no plaintext */
    expect_segments(1);
    scrub_without_header(100, 0, 0);
    expect_segments(0);
    scrub_without_header(BS_SEGMENT_LEN, 0, 24); /* nothing is left after the first segment, which is full */
    cr_expect(result.payload_checked);
    cr_expect_eq(found.num, 2);
    cr_expect_eq(found.d[1].kind, BLOBSEAL_DAMAGE_END);
}

/* What is compared as a checksum may belong to a blob without checksums, so a mismatch is not called damage. */
Test(scrub, without_a_core_header_and_a_segment_that_matches_nothing_is_checked)
{
    scrub_without_header(2 * BS_SEGMENT_LEN + 100, 1 | 2, 0);
    expect_unchecked("only the third segment matches");
    scrub_without_header(BS_SEGMENT_LEN + 100, 1 | 2, 0);
    expect_unchecked("none of two");
    scrub_without_header(100, 1, 0);
    expect_unchecked("the only one does not match");
    scrub_without_header(BS_SEGMENT_LEN + 100, 1, 124);
    expect_unchecked("nothing is left of the second");
    scrub_without_header(BS_SEGMENT_LEN + 100, 1, 124 - 23);
    expect_unchecked("the second is too short for a tag and a checksum");
}

/* ---- Other failures ---------------------------------------------------------------------------------------------- */

/* A disk with bad sectors, or with other failures. */
static struct {
    uint64_t from, to;
    int sys_errno;
} bad;

static enum blobseal_status bad_pread(void *ctx, void *buf, size_t n, uint64_t off, size_t *nread,
                                      struct blobseal_error *err)
{
    (void)ctx;
    *nread = 0;
    if (off < bad.to && off + n > bad.from)
        return blobseal_fail(err, BLOBSEAL_E_INPUT, bad.sys_errno, "read the disk");
    *nread = off >= len ? 0 : n < len - off ? n : len - (size_t)off;
    memcpy(buf, core + off, *nread);
    return BLOBSEAL_OK;
}

static enum blobseal_status scrub_bad(uint64_t from, uint64_t to, int sys_errno, struct blobseal_error *e)
{
    const struct blobseal_scrub_options o = {
        .size = sizeof o, .threads = 3, .on_damage = note, .on_damage_ctx = &found};
    const struct blobseal_source source = {.size = len, .pread = bad_pread};

    bad.from = from;
    bad.to = to;
    bad.sys_errno = sys_errno;
    found = (struct found){0};
    result = (struct blobseal_scrub_result){.size = sizeof result};
    return blobseal_scrub(&source, &o, &result, e);
}

Test(scrub, unreadable_sectors_are_damage_of_their_segment)
{
    struct blobseal_error e = {0};
    uint64_t at = BS_CORE_HEADER_LEN + 2 * STRIDE + 5000;

    scene_open(5 * BS_SEGMENT_LEN + 5, 1);
    core[BS_CORE_HEADER_LEN + 4 * STRIDE] ^= 1;
    cr_assert_eq(scrub_bad(at, at + 512, EIO, &e), BLOBSEAL_OK, "%s", e.text);
    cr_assert_eq(found.num, 2);
    cr_expect_eq(found.d[0].segment, 2);
    cr_expect(strstr(found.text[0], "cannot be read") != NULL, "%s", found.text[0]);
    cr_expect_eq(found.d[1].segment, 4);
    cr_expect_not(result.ok);
    cr_expect_eq(result.bytes, len);
    scene_close();
}

Test(scrub, other_errors_of_the_source_end_it)
{
    struct blobseal_error e = {0};
    uint64_t at = BS_CORE_HEADER_LEN + 2 * STRIDE + 5000;

    scene_open(5 * BS_SEGMENT_LEN + 5, 1);
    cr_expect_eq(scrub_bad(at, at + 512, ESTALE, &e), BLOBSEAL_E_INPUT);
    cr_expect_eq(e.sys_errno, ESTALE);
    cr_expect_not(result.ok);
    cr_expect_eq(result.bytes, 0);
    cr_expect_eq(scrub_bad(0, 512, ESTALE, &e), BLOBSEAL_E_INPUT);
    for (int sequential = 0; sequential < 2; sequential++) {
        const struct how how = {.sequential = sequential, .fault = {.at_byte = at, .status = BLOBSEAL_E_INPUT}};

        cr_expect_eq(scrub(len, how, &e), BLOBSEAL_E_INPUT);
    }
    scene_close();
}

static bool stop(void *ctx, uint64_t done)
{
    uint64_t *last = ctx;

    cr_expect_gt(done, *last);
    *last = done;
    return done < 3 * STRIDE;
}

Test(scrub, progress_counts_stored_bytes_and_can_stop)
{
    struct blobseal_error e = {0};
    struct blobseal_source source;
    struct blobseal_memory memory;
    uint64_t last = 0;
    const struct blobseal_scrub_options o = {.size = sizeof o, .threads = 2, .progress = stop, .progress_ctx = &last};

    scene_open(2 * BS_SEGMENT_LEN + 5, 1);
    blobseal_source_memory(&source, &memory, core, len);
    cr_expect_eq(blobseal_scrub(&source, &o, NULL, &e), BLOBSEAL_OK, "%s", e.text);
    cr_expect_eq(last, len - BS_CORE_HEADER_LEN);
    scene_close();
    scene_open(9 * BS_SEGMENT_LEN, 1);
    blobseal_source_memory(&source, &memory, core, len);
    last = 0;
    cr_expect_eq(blobseal_scrub(&source, &o, NULL, &e), BLOBSEAL_E_CANCELED);
    scene_close();
}

Test(scrub, arguments)
{
    struct blobseal_error e = {0};
    struct blobseal_source source = {0};
    struct blobseal_memory memory;
    struct blobseal_scrub_options o = {0};
    struct blobseal_scrub_result out = {0};

    scene_open(5, 1);
    out.size = sizeof out;
    cr_expect_eq(blobseal_scrub(&source, NULL, &out, &e), BLOBSEAL_E_ARG);
    blobseal_source_memory(&source, &memory, core, len);
    cr_expect_eq(blobseal_scrub(&source, &o, &out, &e), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_scrub(&source, NULL, NULL, NULL), BLOBSEAL_OK);
    out.size = 0;
    cr_expect_eq(blobseal_scrub(&source, NULL, &out, &e), BLOBSEAL_E_ARG);
    out.size = offsetof(struct blobseal_scrub_result, damaged); /* an older, shorter struct */
    out.damaged = 77;
    cr_expect_eq(blobseal_scrub(&source, NULL, &out, &e), BLOBSEAL_OK);
    cr_expect(out.ok);
    cr_expect_eq(out.damaged, 77);
    scene_close();
}

Test(scrub, names)
{
    for (enum blobseal_damage_kind i = BLOBSEAL_DAMAGE_FRAME; i <= BLOBSEAL_DAMAGE_END; i++)
        for (enum blobseal_damage_kind k = BLOBSEAL_DAMAGE_FRAME; k <= i; k++)
            cr_expect_eq(strcmp(blobseal_damage_name(i), blobseal_damage_name(k)) == 0, i == k);
    cr_expect_str_eq(blobseal_damage_name((enum blobseal_damage_kind)99), "unknown");
    cr_expect_str_eq(blobseal_damage_name((enum blobseal_damage_kind)0), "unknown");
}
