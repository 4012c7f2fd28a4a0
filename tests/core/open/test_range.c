/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a part of a blob: which bytes are written, which reads are made, and what happens with damage, odd sizes and
 * huge offsets.
 */
#include <stdlib.h>

#include "tests/support/suite.h"

#define CHUNK   16384u
#define SEGMENT (64u * CHUNK)
#define LEN     ((size_t)3 * SEGMENT + 20000)
#define ALL     BLOBSEAL_SIZE_UNKNOWN

SUITE_WITH_PLAIN(range, LEN);

/* A sealed blob and a reader over it. */
struct scene {
    struct sealed s;
    struct test_source from;
    struct blobseal_source source;
    struct blobseal_reader *reader;
    size_t plain_len;
};

static void scene_open(struct scene *c, size_t len, struct blobseal_reader_options o)
{
    const struct blobseal_seal_options so = {.size = sizeof so, .threads = 1};
    struct blobseal_error err;

    *c = (struct scene){.plain_len = len, .from.seekable = true};
    o.size = sizeof o;
    cr_assert_eq(seal_bytes(&c->s, plain, len, &kek, 1, &so, &err), BLOBSEAL_OK, "%s", err.text);
    c->from.data = c->s.data;
    c->from.len = c->s.len;
    test_source_start(&c->source, &c->from);
    cr_assert_eq(blobseal_reader_open(&c->reader, &c->source, &kek, 1, &o, &err), BLOBSEAL_OK, "%s", err.text);
}

static void scene_close(struct scene *c)
{
    blobseal_reader_close(c->reader);
    test_source_end(&c->from);
    sealed_clear(&c->s);
}

/* Return byte @at of chunk @chunk. In the last chunk of a segment, offsets from 16400 on are in the checksum. */
static uint8_t *sealed_byte(struct scene *c, size_t chunk, size_t at)
{
    return c->s.data + core_offset_of(c->s.data, c->s.len) + 96 + chunk / 64 * (64u * 16400 + 8) + chunk % 64 * 16400 +
           at;
}

/* Open a range into a sink of either kind, and check that whatever reaches it is correct and in its place. */
static enum blobseal_status open_range(struct scene *c, bool seekable, uint64_t off, uint64_t len, struct test_sink *to,
                                       struct blobseal_error *err)
{
    size_t left = off < c->plain_len ? c->plain_len - (size_t)off : 0, want = len < left ? (size_t)len : left;
    struct blobseal_sink sink;
    enum blobseal_status st;
    uint64_t n = 99;

    to->seekable = seekable;
    to->cap = want;
    *err = (struct blobseal_error){0};
    test_sink_start(&sink, to);
    st = blobseal_reader_stream_range(c->reader, &sink, off, len, &n, err);
    cr_assert_eq(st, err->status, "%s", err->text);
    cr_assert(test_sink_is_part_of(to, plain + (off < c->plain_len ? off : 0), want));
    cr_assert(n <= to->bytes, "what is counted was written");
    if (st == BLOBSEAL_OK) {
        cr_assert(test_sink_is(to, plain + (want > 0 ? off : 0), want), "%u at %u", (unsigned)want, (unsigned)off);
        cr_assert_eq(n, want);
    }
    test_sink_end(to);
    return st;
}

static void expect_range(struct scene *c, uint64_t off, uint64_t len)
{
    struct blobseal_error err;

    for (int seekable = 0; seekable <= 1; seekable++) {
        struct test_sink to = {0};

        cr_assert_eq(open_range(c, seekable == 1, off, len, &to, &err), BLOBSEAL_OK, "%s", err.text);
    }
}

/* ---- Which bytes are written ------------------------------------------------------------------------------------- */

Test(range, around_every_kind_of_border)
{
    static const size_t borders[] = {0, CHUNK, 63 * CHUNK, SEGMENT, 2 * SEGMENT, 3 * SEGMENT, LEN - LEN % CHUNK, LEN};
    static const uint64_t lengths[] = {0, 1, CHUNK, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT + 2, ALL};

    for (unsigned threads = 1; threads <= 3; threads += 2) {
        struct scene c;

        scene_open(&c, LEN, (struct blobseal_reader_options){.threads = threads});
        for (size_t b = 0; b < COUNT(borders); b++)
            for (size_t l = 0; l < COUNT(lengths); l++)
                for (int shift = -1; shift <= 1; shift++)
                    if ((borders[b] > 0 || shift >= 0) && (borders[b] < LEN || shift <= 0))
                        expect_range(&c, borders[b] + (size_t)shift, lengths[l]);
        scene_close(&c);
    }
}

Test(range, of_blobs_that_end_at_a_border)
{
    static const size_t sizes[] = {0, 1, CHUNK - 1, CHUNK, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT};

    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct scene c;

        scene_open(&c, sizes[i], (struct blobseal_reader_options){.threads = 2});
        expect_range(&c, 0, ALL);
        for (size_t back = 0; back < 3 && back <= sizes[i]; back++)
            for (size_t len = 0; len < 4; len++)
                expect_range(&c, sizes[i] - back, len);
        scene_close(&c);
    }
}

Test(range, beyond_the_end_is_clamped_and_never_wraps)
{
    static const uint64_t lengths[] = {LEN, LEN + 1, (uint64_t)1 << 48, (uint64_t)1 << 63, UINT64_MAX - 1, UINT64_MAX};
    struct scene c;

    scene_open(&c, LEN, (struct blobseal_reader_options){.threads = 1});
    for (size_t i = 0; i < COUNT(lengths); i++) {
        expect_range(&c, LEN - 10, lengths[i]);
        expect_range(&c, LEN, lengths[i]);
        expect_range(&c, 1, lengths[i]);
    }
    scene_close(&c);
}

Test(range, from_beyond_the_end_is_an_error)
{
    static const uint64_t offsets[] = {LEN + 1,           LEN + CHUNK,    (uint64_t)1 << 48, (uint64_t)1 << 52,
                                       (uint64_t)1 << 63, UINT64_MAX - 1, UINT64_MAX};
    static const uint64_t lengths[] = {0, 1, ALL - 1, ALL};
    struct blobseal_error err;
    struct scene c;

    scene_open(&c, LEN, (struct blobseal_reader_options){.threads = 1});
    for (size_t i = 0; i < COUNT(offsets) * COUNT(lengths); i++) {
        struct test_sink to = {0};

        cr_expect_eq(open_range(&c, i % 2 == 0, offsets[i / COUNT(lengths)], lengths[i % COUNT(lengths)], &to, &err),
                     BLOBSEAL_E_ARG);
        cr_expect_eq(to.calls, 0);
        cr_expect(strstr(err.text, "3165728") != NULL && err.hint[0] != '\0', "it says the size: %s", err.text);
    }
    scene_close(&c);
}

Test(range, of_no_bytes_touches_neither_side)
{
    struct blobseal_error err;
    struct scene c;
    uint64_t before;

    scene_open(&c, LEN, (struct blobseal_reader_options){.threads = 1});
    before = c.from.calls;
    for (unsigned i = 0; i < 4; i++) {
        struct test_sink to = {0};

        cr_expect_eq(open_range(&c, i % 2 == 0, i / 2 == 0 ? 1234 : LEN, i / 2 == 0 ? 0 : ALL, &to, &err), BLOBSEAL_OK);
        cr_expect_eq(to.calls, 0);
    }
    cr_expect_eq(c.from.calls, before);
    scene_close(&c);
}

/* ---- Which reads are made ---------------------------------------------------------------------------------------- */

Test(range, opens_each_chunk_that_it_touches_once)
{
    static const struct {
        uint64_t off, len, chunks;
    } cases[] = {
        {0, 1, 1},
        {CHUNK - 1, 2, 2},
        {5 * CHUNK, CHUNK, 1},
        {SEGMENT - 1, 2, 2},
        {100, SEGMENT, 65},
        {SEGMENT + 100, SEGMENT, 65},
        {CHUNK + 5, 2 * SEGMENT, 129},
    };
    struct blobseal_error err;
    struct scene c;

    scene_open(&c, LEN, (struct blobseal_reader_options){.threads = 3});
    for (size_t i = 0; i < 2 * COUNT(cases); i++) {
        struct test_sink to = {0};
        uint64_t before = c.from.asked;

        cr_expect_eq(open_range(&c, i % 2 == 0, cases[i / 2].off, cases[i / 2].len, &to, &err), BLOBSEAL_OK);
        cr_expect_eq(c.from.asked - before, cases[i / 2].chunks * 16400, "case %u", (unsigned)i / 2);
    }
    scene_close(&c);
}

Test(range, needs_a_seekable_source)
{
    struct blobseal_error err = {0};
    struct test_sink to = {.cap = 10};
    struct blobseal_sink sink;
    struct scene c;
    uint64_t n = 99;

    scene_open(&c, 100, (struct blobseal_reader_options){.threads = 1});
    blobseal_reader_close(c.reader);
    test_source_end(&c.from);
    c.from = (struct test_source){.data = c.s.data, .len = c.s.len};
    test_source_start(&c.source, &c.from);
    cr_assert_eq(blobseal_reader_open(&c.reader, &c.source, &kek, 1, NULL, &err), BLOBSEAL_OK);
    test_sink_start(&sink, &to);
    cr_expect_eq(blobseal_reader_stream_range(c.reader, &sink, 0, 5, &n, &err), BLOBSEAL_E_CONFIG);
    cr_expect(n == 0 && strstr(err.hint, "file") != NULL, "%s", err.hint);
    cr_expect_eq(blobseal_reader_stream_range(c.reader, &sink, 0, 0, NULL, NULL), BLOBSEAL_E_CONFIG);
    cr_expect_eq(blobseal_reader_verify(c.reader, &n, &err), BLOBSEAL_OK, "the refusal costs nothing");
    cr_expect_eq(n, 100);
    sink = (struct blobseal_sink){0};
    cr_expect_eq(blobseal_reader_stream_range(c.reader, &sink, 0, 5, &n, &err), BLOBSEAL_E_ARG,
                 "a sink without functions");
    test_sink_end(&to);
    scene_close(&c);
}

/* ---- Damage and failures ----------------------------------------------------------------------------------------- */

Test(range, damage_matters_where_it_is_touched)
{
    struct blobseal_error err;
    struct scene c;

    scene_open(&c, LEN, (struct blobseal_reader_options){.threads = 1});
    *sealed_byte(&c, 70, 99) ^= 1;
    for (int seekable = 0; seekable <= 1; seekable++) {
        struct test_sink to = {0};

        cr_expect_eq(open_range(&c, seekable == 1, 0, ALL, &to, &err), BLOBSEAL_E_AUTH);
        cr_expect_eq(to.bytes, SEGMENT, "the window before it, and nothing of its own");
        to = (struct test_sink){0};
        cr_expect_eq(open_range(&c, seekable == 1, 71 * CHUNK - 1, 1, &to, &err), BLOBSEAL_E_AUTH);
        cr_expect_eq(to.calls, 0);
    }
    expect_range(&c, 0, 70 * CHUNK);
    expect_range(&c, 71 * CHUNK, ALL);
    *sealed_byte(&c, 70, 99) ^= 1;
    *sealed_byte(&c, 63, 16400) ^= 1;
    expect_range(&c, 0, ALL); /* opening a range does not compare checksums */
    cr_expect_eq(blobseal_reader_verify(c.reader, NULL, &err), BLOBSEAL_E_DAMAGED);
    scene_close(&c);
}

static void fail_at_every_call(bool of_source)
{
    struct blobseal_error err;
    struct scene c;

    for (unsigned how = 0; how < 8; how++) {
        enum blobseal_status st;
        uint64_t call = 0;

        scene_open(&c, LEN, (struct blobseal_reader_options){.threads = how / 4 == 0 ? 1 : 3});
        do {
            struct fault f = {.at_call = ++call, .status = BLOBSEAL_E_CANCELED, .silent = how / 2 % 2 == 1};
            struct test_sink to = {0};

            f.at_call += of_source ? c.from.calls : 0;
            *(of_source ? &c.from.fault : &to.fault) = f;
            st = open_range(&c, how % 2 == 0, 1000, 2 * SEGMENT, &to, &err);
            cr_assert(st == BLOBSEAL_OK || st == f.status, "call %u: %s", (unsigned)call, blobseal_status_code(st));
            c.from.fault = (struct fault){0};
        } while (st != BLOBSEAL_OK);
        cr_assert_gt(call, 1);
        scene_close(&c);
    }
}

Test(range, a_source_that_fails_ends_it)
{
    fail_at_every_call(true);
}

Test(range, a_sink_that_fails_ends_it)
{
    fail_at_every_call(false);
}

struct watch {
    uint64_t bytes;
    uint64_t stop_at;
};

static bool look(void *ctx, uint64_t bytes)
{
    struct watch *w = ctx;

    w->bytes = bytes;
    return w->stop_at == 0 || bytes < w->stop_at;
}

Test(range, progress_counts_its_bytes_and_can_stop_it)
{
    struct watch w = {0};
    struct blobseal_error err;
    struct test_sink to = {0};
    struct scene c;

    scene_open(&c, LEN, (struct blobseal_reader_options){.threads = 1, .progress = look, .progress_ctx = &w});
    cr_expect_eq(open_range(&c, true, 77, SEGMENT, &to, &err), BLOBSEAL_OK);
    cr_expect_eq(w.bytes, SEGMENT);
    w.stop_at = 1;
    to = (struct test_sink){0};
    cr_expect_eq(open_range(&c, true, 77, ALL, &to, &err), BLOBSEAL_E_CANCELED);
    cr_expect_eq(to.bytes, SEGMENT - 77, "one window");
    scene_close(&c);
}

/* ---- Huge offsets ------------------------------------------------------------------------------------------------ */

#define HUGE_LEN (((uint64_t)1 << 48) + ((uint64_t)1 << 40) + 12345)

/* A blob of more than 2^48 bytes, detached and without checksums. Its chunks are generated when they are requested. */
static struct recipe far_recipe;

static void far_plain(uint8_t out[CHUNK], uint64_t chunk)
{
    fill_random(out, CHUNK, chunk);
}

static enum blobseal_status far_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                      struct blobseal_error *err)
{
    uint64_t chunk = off < BS_CORE_HEADER_LEN ? 0 : (off - BS_CORE_HEADER_LEN) / BS_SEALED_CHUNK_LEN;
    size_t at = (size_t)((off - BS_CORE_HEADER_LEN) % BS_SEALED_CHUNK_LEN), n;
    bool last = chunk == HUGE_LEN / CHUNK;
    uint8_t opened[CHUNK], sealed[BS_SEALED_CHUNK_LEN];
    struct bs_chunked c = {0};

    (void)ctx;
    (void)err;
    if (off < BS_CORE_HEADER_LEN) {
        *nread = len < BS_CORE_HEADER_LEN - off ? len : (size_t)(BS_CORE_HEADER_LEN - off);
        memcpy(buf, far_recipe.core.raw + off, *nread);
        return BLOBSEAL_OK;
    }
    far_plain(opened, chunk);
    n = last ? HUGE_LEN % CHUNK : CHUNK;
    cr_assert(bs_chunked_init(&c, &far_recipe.keys, NULL) == BLOBSEAL_OK &&
              bs_chunked_seal(&c, chunk, last, sealed, (struct bs_slice){opened, n}));
    bs_chunked_clear(&c);
    *nread = len < n + BS_GCM_TAG_LEN - at ? len : n + BS_GCM_TAG_LEN - at;
    memcpy(buf, sealed + at, *nread);
    return BLOBSEAL_OK;
}

static void expect_far(struct blobseal_reader *reader, uint64_t off, uint64_t len)
{
    uint64_t want = len < HUGE_LEN - off ? len : HUGE_LEN - off, n = 0;
    struct blobseal_memory to;
    struct blobseal_sink sink;
    struct blobseal_error err;
    uint8_t opened[CHUNK];

    blobseal_sink_memory(&sink, &to);
    cr_assert_eq(blobseal_reader_stream_range(reader, &sink, off, len, &n, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert(n == want && to.len == want);
    for (uint64_t i = 0; i < want; i++) {
        if (i == 0 || (off + i) % CHUNK == 0)
            far_plain(opened, (off + i) / CHUNK);
        cr_assert_eq(to.data[i], opened[(off + i) % CHUNK]);
    }
    blobseal_free(to.data);
}

Test(range, at_offsets_of_2_48_and_more)
{
    struct blobseal_reader_options o = {.size = sizeof o, .threads = 2};
    struct blobseal_source source = {.pread = far_pread};
    const uint64_t far = (uint64_t)1 << 48;
    struct blobseal_reader *reader;
    struct blobseal_error err;
    char *text;

    recipe_make(&far_recipe, 9, BS_SEGMENTS_BARE);
    text = recipe_envelope(&far_recipe, 1, &kek, 1);
    o.envelope = text;
    o.envelope_len = strlen(text);
    source.size = bs_core_len(&far_recipe.core, HUGE_LEN);
    cr_assert_eq(blobseal_reader_open(&reader, &source, &kek, 1, &o, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(blobseal_reader_size(reader), HUGE_LEN);
    expect_far(reader, far, 10);
    expect_far(reader, far - 3, SEGMENT + 7);
    expect_far(reader, HUGE_LEN - 40000, ALL);
    expect_far(reader, HUGE_LEN - 1, (uint64_t)1 << 63);
    expect_far(reader, HUGE_LEN, ALL);
    blobseal_reader_close(reader);
    free(text);
}
