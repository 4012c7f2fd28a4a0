/* SPDX-License-Identifier: Apache-2.0 */
/* Reading at any offset, which reads are affected by a damaged place, and what a reader of a pipe refuses. */
#include <stdlib.h>

#include "tests/support/suite.h"

#define CHUNK   16384u
#define SEGMENT (64u * CHUNK)
#define LEN     ((size_t)2 * SEGMENT + 20000)
#define CANARY  0xA5

static uint8_t dst[LEN + 64];

SUITE_WITH_PLAIN(reader, LEN);

/* A sealed blob and a reader over it. */
struct scene {
    struct sealed s;
    struct test_source from;
    struct blobseal_source source;
    struct blobseal_reader *reader;
    size_t core; /* offset of the core */
};

static enum blobseal_status open_reader(struct scene *c, bool sequential, struct blobseal_error *err)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .threads = 1};

    c->from = (struct test_source){.data = c->s.data, .len = c->s.len, .seekable = !sequential, .max_piece = 100000};
    test_source_start(&c->source, &c->from);
    return blobseal_reader_open(&c->reader, &c->source, &kek, 1, &o, err);
}

static void scene_open(struct scene *c, size_t len, bool bare, bool sequential)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .no_checksums = bare, .threads = 1};
    struct blobseal_error err;

    cr_assert_eq(seal_bytes(&c->s, plain, len, &kek, 1, &o, &err), BLOBSEAL_OK, "%s", err.text);
    c->core = core_offset_of(c->s.data, c->s.len);
    cr_assert_eq(open_reader(c, sequential, &err), BLOBSEAL_OK, "%s", err.text);
}

static void scene_close(struct scene *c)
{
    blobseal_reader_close(c->reader);
    test_source_end(&c->from);
    sealed_clear(&c->s);
}

/* Return byte @at of chunk @chunk. */
static uint8_t *sealed_byte(struct scene *c, size_t chunk, size_t at)
{
    return c->s.data + c->core + 96 + chunk / 64 * (64u * 16400 + (c->s.data[c->core + 11] == 1 ? 8u : 0u)) +
           chunk % 64 * 16400 + at;
}

/* Read @len bytes at @off of a blob of @plain_len, and compare. */
static void expect_read(struct scene *c, size_t plain_len, size_t off, size_t len)
{
    size_t want = len < plain_len - off ? len : plain_len - off, n = 999;
    struct blobseal_error err;

    memset(dst, CANARY, want + 32);
    cr_assert_eq(blobseal_reader_pread(c->reader, dst, len, off, &n, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(n, want, "%u bytes at %u: %u", (unsigned)len, (unsigned)off, (unsigned)n);
    cr_assert(want == 0 || memcmp(dst, plain + off, want) == 0, "%u bytes at %u", (unsigned)len, (unsigned)off);
    for (size_t i = 0; i < 32; i++)
        cr_assert_eq(dst[want + i], CANARY, "nothing is written after the end");
}

Test(reader, pread_around_every_kind_of_border)
{
    static const size_t borders[] = {0,          CHUNK,      2 * CHUNK, 15 * CHUNK,      16 * CHUNK,  17 * CHUNK,
                                     32 * CHUNK, 63 * CHUNK, SEGMENT,   SEGMENT + CHUNK, 2 * SEGMENT, LEN - LEN % CHUNK,
                                     LEN};
    static const size_t lengths[] = {
        0, 1, 2, 17, CHUNK - 1, CHUNK, CHUNK + 1, 16 * CHUNK, 16 * CHUNK + 1, SEGMENT - 1, SEGMENT + 1, SIZE_MAX / 2};
    struct scene c;

    for (int bare = 0; bare <= 1; bare++) {
        scene_open(&c, LEN, bare == 1, false);
        cr_assert_eq(blobseal_reader_size(c.reader), LEN);
        for (size_t b = 0; b < COUNT(borders); b++)
            for (size_t l = 0; l < COUNT(lengths); l++)
                for (int shift = -1; shift <= 1; shift++)
                    if ((borders[b] > 0 || shift >= 0) && (borders[b] < LEN || shift <= 0))
                        expect_read(&c, LEN, borders[b] + (size_t)shift, lengths[l]);
        scene_close(&c);
    }
}

Test(reader, pread_anywhere)
{
    struct scene c;
    uint64_t random = 77;

    for (int bare = 0; bare <= 1; bare++) {
        scene_open(&c, LEN, bare == 1, false);
        for (unsigned i = 0; i < 1500; i++)
            expect_read(&c, LEN, random_below(&random, LEN + 1),
                        random_below(&random, i % 10 == 0  ? 2 * LEN
                                              : i % 3 == 0 ? 5 * CHUNK
                                                           : 100));
        scene_close(&c);
    }
}

Test(reader, pread_in_blobs_that_end_at_a_border)
{
    static const size_t sizes[] = {0,          1,           CHUNK - 1, CHUNK,       CHUNK + 1,
                                   16 * CHUNK, SEGMENT - 1, SEGMENT,   SEGMENT + 1, 2 * SEGMENT};
    struct scene c;

    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (int bare = 0; bare <= 1; bare++) {
            scene_open(&c, sizes[i], bare == 1, false);
            cr_assert_eq(blobseal_reader_size(c.reader), sizes[i]);
            expect_read(&c, sizes[i], 0, LEN);
            for (size_t back = 0; back < 3 && back <= sizes[i]; back++)
                for (size_t len = 0; len < 5; len++)
                    expect_read(&c, sizes[i], sizes[i] - back, len);
            scene_close(&c);
        }
    }
}

Test(reader, pread_past_the_end_is_an_error)
{
    static const uint64_t offsets[] = {LEN + 1, LEN + CHUNK, (uint64_t)1 << 48, UINT64_MAX};
    struct blobseal_error err;
    struct scene c;
    size_t n;

    scene_open(&c, LEN, false, false);
    for (size_t i = 0; i < COUNT(offsets); i++) {
        n = 99;
        cr_expect_eq(blobseal_reader_pread(c.reader, dst, 8, offsets[i], &n, &err), BLOBSEAL_E_ARG);
        cr_expect_eq(n, 0);
        cr_expect_eq(blobseal_reader_pread(c.reader, NULL, 0, offsets[i], &n, &err), BLOBSEAL_E_ARG);
    }
    cr_expect_eq(blobseal_reader_pread(c.reader, NULL, 0, LEN, &n, &err), BLOBSEAL_OK,
                 "no bytes at the end are no error");
    cr_expect_eq(blobseal_reader_pread(c.reader, NULL, 0, 0, &n, &err), BLOBSEAL_OK);
    scene_close(&c);
}

/* The documentation says: "Output parameters are defined after a failure: buffers zero." */
Test(reader, the_whole_buffer_is_zero_after_a_failure)
{
    struct blobseal_error err;
    struct scene c;
    size_t n;

    scene_open(&c, 100, false, false);
    memset(dst, CANARY, 64);
    cr_expect_eq(blobseal_reader_pread(c.reader, dst, 64, 101, &n, &err), BLOBSEAL_E_ARG);
    cr_expect(bs_all_zero(dst, 64), "beyond the end");
    *sealed_byte(&c, 0, 3) ^= 1;
    memset(dst, CANARY, 200);
    cr_expect_eq(blobseal_reader_pread(c.reader, dst, 200, 0, &n, &err), BLOBSEAL_E_AUTH);
    cr_expect(bs_all_zero(dst, 200), "a buffer longer than the blob");
    scene_close(&c);
}

Test(reader, a_small_read_opens_one_chunk)
{
    struct blobseal_error err;
    struct scene c;
    uint64_t before, asked;
    size_t n;

    scene_open(&c, LEN, false, false);
    memset(sealed_byte(&c, 6, 0), 0, 16400);
    memset(sealed_byte(&c, 8, 0), 0, 16400);
    c.from.max_piece = 0;
    before = c.from.calls;
    asked = c.from.asked;
    cr_expect_eq(blobseal_reader_pread(c.reader, dst, 1, 7 * CHUNK + 5, &n, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_eq(c.from.calls - before, 1);
    cr_expect_eq(c.from.asked - asked, 16400);
    cr_expect_eq(blobseal_reader_pread(c.reader, dst, CHUNK, 7 * CHUNK, &n, &err), BLOBSEAL_OK,
                 "its neighbours do not matter");
    cr_expect_eq(blobseal_reader_pread(c.reader, dst, CHUNK + 1, 7 * CHUNK, &n, &err), BLOBSEAL_E_AUTH);
    scene_close(&c);
}

/* ---- Damage ------------------------------------------------------------------------------------------------------ */

static void expect_refused(struct scene *c, size_t off, size_t len, enum blobseal_status want)
{
    struct blobseal_error err;
    size_t n = 99;

    memset(dst, CANARY, len);
    cr_assert_eq(blobseal_reader_pread(c->reader, dst, len, off, &n, &err), want, "%u at %u", (unsigned)len,
                 (unsigned)off);
    cr_assert_eq(err.status, want);
    cr_assert_eq(n, 0);
    cr_assert(bs_all_zero(dst, len), "nothing of it is left, %u at %u", (unsigned)len, (unsigned)off);
}

Test(reader, a_damaged_chunk_spoils_itself_only)
{
    static const size_t chunks[] = {0, 1, 15, 16, 63, 64, 127, 128};
    static const size_t places[] = {0, 1, CHUNK - 1, CHUNK, CHUNK + 15};
    struct scene c;

    for (int bare = 0; bare <= 1; bare++) {
        scene_open(&c, LEN, bare == 1, false);
        for (size_t i = 0; i < COUNT(chunks) * COUNT(places); i++) {
            size_t k = chunks[i / COUNT(places)];

            *sealed_byte(&c, k, places[i % COUNT(places)]) ^= 0x10;
            expect_refused(&c, k * CHUNK, 1, BLOBSEAL_E_AUTH);
            expect_refused(&c, k * CHUNK + CHUNK - 1, 1, BLOBSEAL_E_AUTH);
            expect_refused(&c, k > 0 ? (k - 1) * CHUNK : 0, 2 * CHUNK, BLOBSEAL_E_AUTH);
            expect_refused(&c, 0, LEN, BLOBSEAL_E_AUTH);
            if (k > 0)
                expect_read(&c, LEN, (k - 1) * CHUNK, CHUNK);
            expect_read(&c, LEN, (k + 1) * CHUNK, 3 * CHUNK);
            *sealed_byte(&c, k, places[i % COUNT(places)]) ^= 0x10;
            expect_read(&c, LEN, k * CHUNK, CHUNK);
        }
        scene_close(&c);
    }
}

/* A wrong checksum does not matter when a range is read, but reading the whole blob is refused because of it. */
Test(reader, a_wrong_checksum_matters_to_whole_reads_only)
{
    struct blobseal_error err;
    struct scene c;
    uint64_t n;

    scene_open(&c, LEN, false, false);
    *(sealed_byte(&c, 64, 0) - 1) ^= 1;
    expect_read(&c, LEN, 0, LEN);
    cr_expect_eq(blobseal_reader_verify(c.reader, &n, &err), BLOBSEAL_E_DAMAGED);
    *(sealed_byte(&c, 64, 0) - 1) ^= 1;
    cr_expect_eq(blobseal_reader_verify(c.reader, &n, &err), BLOBSEAL_OK);
    cr_expect_eq(n, LEN);
    c.s.data[c.s.len - 1] ^= 1;
    cr_expect_eq(blobseal_reader_verify(c.reader, NULL, &err), BLOBSEAL_E_DAMAGED);
    scene_close(&c);
}

Test(reader, the_end_is_checked_when_a_blob_is_opened)
{
    static const size_t sizes[] = {0, 1, CHUNK - 1, CHUNK, LEN};
    struct blobseal_error err;
    struct scene c;

    for (size_t i = 0; i < COUNT(sizes); i++) {
        scene_open(&c, sizes[i], true, false);
        blobseal_reader_close(c.reader);
        test_source_end(&c.from);
        c.s.data[c.s.len - 1] ^= 1;
        cr_expect_eq(open_reader(&c, false, &err), BLOBSEAL_E_AUTH);
        cr_expect_null(c.reader);
        test_source_end(&c.from);
        cr_expect_eq(open_reader(&c, true, &err), BLOBSEAL_OK, "a pipe gets there at its end");
        cr_expect_eq(blobseal_reader_verify(c.reader, NULL, &err), BLOBSEAL_E_AUTH);
        scene_close(&c);
    }
}

Test(reader, a_source_that_fails_leaves_the_reader_usable)
{
    struct scene c;

    scene_open(&c, LEN, false, false);
    c.from.fault = (struct fault){.at_call = c.from.calls + 1, .status = BLOBSEAL_E_INPUT, .once = true};
    expect_refused(&c, 100, 5000, BLOBSEAL_E_INPUT);
    expect_read(&c, LEN, 100, 5000);
    c.from.fault = (struct fault){0};
    c.from.len = c.s.len - 100; /* the source became shorter */
    expect_refused(&c, LEN - 200, 200, BLOBSEAL_E_INPUT);
    expect_read(&c, LEN, 0, CHUNK);
    scene_close(&c);
}

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

static enum blobseal_status stream(struct scene *c, struct test_sink *to, struct blobseal_error *err)
{
    struct blobseal_sink sink;
    enum blobseal_status st;

    to->cap = LEN;
    test_sink_start(&sink, to);
    st = blobseal_reader_stream(c->reader, &sink, NULL, err);
    cr_assert(test_sink_is_part_of(to, plain, LEN), "only verified plaintext reaches a sink");
    cr_assert(st != BLOBSEAL_OK || test_sink_is(to, plain, LEN));
    test_sink_end(to);
    return st;
}

Test(reader, a_seekable_blob_can_be_read_again_and_again)
{
    struct blobseal_error err;
    struct scene c;

    scene_open(&c, LEN, false, false);
    for (unsigned i = 0; i < 3; i++) {
        struct test_sink to = {.seekable = i % 2 == 0};

        cr_expect_eq(stream(&c, &to, &err), BLOBSEAL_OK, "%s", err.text);
        expect_read(&c, LEN, 1000, 100000);
        cr_expect_eq(blobseal_reader_verify(c.reader, NULL, &err), BLOBSEAL_OK);
    }
    scene_close(&c);
}

Test(reader, a_blob_from_a_pipe_can_be_read_once)
{
    struct blobseal_error err;
    struct scene c;

    for (int verify = 0; verify <= 1; verify++) {
        struct test_sink to = {0}, again = {0};
        size_t n = 99;

        scene_open(&c, LEN, false, true);
        cr_expect_eq(blobseal_reader_size(c.reader), BLOBSEAL_SIZE_UNKNOWN);
        cr_expect_eq(blobseal_reader_pread(c.reader, dst, 1, 0, &n, &err), BLOBSEAL_E_ARG);
        cr_expect_eq(n, 0);
        cr_expect_eq(blobseal_reader_pread(c.reader, dst, 0, 0, &n, &err), BLOBSEAL_E_ARG);
        cr_expect_eq(verify == 1 ? blobseal_reader_verify(c.reader, NULL, &err) : stream(&c, &to, &err), BLOBSEAL_OK,
                     "%s", err.text);
        cr_expect_eq(blobseal_reader_verify(c.reader, NULL, &err), BLOBSEAL_E_ARG);
        cr_expect_eq(stream(&c, &again, &err), BLOBSEAL_E_ARG);
        cr_expect_eq(again.calls, 0);
        cr_expect_eq(blobseal_reader_pread(c.reader, dst, 1, 0, &n, &err), BLOBSEAL_E_ARG);
        scene_close(&c);
    }
}

Test(reader, a_failed_stream_from_a_pipe_cannot_be_repeated)
{
    struct blobseal_error err;
    struct test_sink to = {.fault = {.at_call = 1, .status = BLOBSEAL_E_OUTPUT}}, again = {0};
    struct scene c;

    scene_open(&c, LEN, false, true);
    cr_expect_eq(stream(&c, &to, &err), BLOBSEAL_E_OUTPUT);
    cr_expect_eq(stream(&c, &again, &err), BLOBSEAL_E_ARG);
    scene_close(&c);
}

/* Let every call of source and sink fail in turn, while opening and while streaming. */
static void fail_at_every_call(bool of_source, bool silent)
{
    struct blobseal_error err;
    struct sealed s;

    cr_assert_eq(seal_bytes(&s, plain, LEN, &kek, 1, NULL, &err), BLOBSEAL_OK);
    for (unsigned how = 0; how < 8; how++) {
        enum blobseal_status st;
        uint64_t call = 0;

        do {
            struct fault f = {.at_call = ++call, .status = BLOBSEAL_E_CANCELED, .silent = silent};
            struct test_sink to = {.seekable = how / 2 % 2 == 0};
            struct blobseal_reader_options o = {.size = sizeof o, .threads = how / 4 == 0 ? 1 : 3};
            struct scene c = {.from = {.data = s.data, .len = s.len, .seekable = how % 2 == 0}};

            *(of_source ? &c.from.fault : &to.fault) = f;
            memset(&err, 0x55, sizeof err);
            test_source_start(&c.source, &c.from);
            st = blobseal_reader_open(&c.reader, &c.source, &kek, 1, &o, &err);
            if (st == BLOBSEAL_OK)
                st = stream(&c, &to, &err);
            else
                cr_assert_null(c.reader);
            cr_assert(st == BLOBSEAL_OK || (st == f.status && err.status == st), "call %u: %s, the error says %s",
                      (unsigned)call, blobseal_status_code(st), blobseal_status_code(err.status));
            blobseal_reader_close(c.reader);
            test_source_end(&c.from);
        } while (st != BLOBSEAL_OK);
    }
    sealed_clear(&s);
}

Test(reader, a_source_that_fails_ends_it)
{
    fail_at_every_call(true, false);
}

Test(reader, a_sink_that_fails_ends_it)
{
    fail_at_every_call(false, false);
}

Test(reader, a_source_that_fails_without_a_message_ends_it)
{
    fail_at_every_call(true, true);
}

Test(reader, a_sink_that_fails_without_a_message_ends_it)
{
    fail_at_every_call(false, true);
}

/* ---- What a reader depends on ------------------------------------------------------------------------------------ */

Test(reader, keys_and_options_are_used_while_opening_only)
{
    struct fake_kek own = {.kid = "another-key"};
    struct blobseal_kek *keks[2] = {kek, fake_kek_open(&own)};
    struct blobseal_reader_options o = {.size = offsetof(struct blobseal_reader_options, threads), .progress = NULL};
    struct test_source from = {.seekable = true};
    struct blobseal_source source;
    struct blobseal_error err;
    struct scene c;

    memset(&o.threads, 0xEE, sizeof o - o.size); /* in an older version the struct ends before this member */
    cr_assert_eq(seal_bytes(&c.s, plain, LEN, keks, 2, NULL, &err), BLOBSEAL_OK);
    from.data = c.s.data;
    from.len = c.s.len;
    test_source_start(&source, &from);
    cr_assert_eq(blobseal_reader_open(&c.reader, &source, &keks[1], 1, &o, &err), BLOBSEAL_OK, "%s", err.text);
    blobseal_kek_close(keks[1]);
    memset(&source, 0xEE, sizeof source);
    memset(&o, 0xEE, sizeof o);
    expect_read(&c, LEN, 5, 50000);
    cr_expect_eq(blobseal_reader_verify(c.reader, NULL, &err), BLOBSEAL_OK);
    cr_expect_str_eq(blobseal_reader_info(c.reader)->recipients[1].kid, "another-key");
    blobseal_reader_close(c.reader);
    test_source_end(&from);
    sealed_clear(&c.s);
}

Test(reader, arguments_are_checked)
{
    const struct blobseal_reader_options no_size = {.threads = 1};
    struct blobseal_source source = {.size = 5};
    struct blobseal_memory memory;
    struct blobseal_reader *reader = (void *)dst;
    struct blobseal_error err;

    cr_expect_eq(blobseal_reader_open(&reader, &source, &kek, 1, NULL, &err), BLOBSEAL_E_ARG);
    cr_expect_null(reader);
    reader = (void *)dst;
    blobseal_source_memory(&source, &memory, plain, 5);
    cr_expect_eq(blobseal_reader_open(&reader, &source, &kek, 1, &no_size, &err), BLOBSEAL_E_ARG);
    cr_expect_null(reader);
    blobseal_reader_close(NULL);
}

/* ---- Blobs too large for any disk -------------------------------------------------------------------------------- */

/* A core whose chunks are generated when they are read. Each chunk of its plaintext repeats the chunk number. */
struct endless {
    struct recipe r;
    uint64_t plain_len;
    struct bs_chunked cipher;
};

static void plain_chunk(uint8_t *out, uint64_t index)
{
    for (size_t i = 0; i < CHUNK; i += 8)
        bs_store64(out + i, index);
}

static enum blobseal_status endless_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                          struct blobseal_error *err)
{
    static uint8_t text[CHUNK], sealed[CHUNK + 16];
    struct endless *e = ctx;
    uint64_t in_segment = (off - 96) % 1049608, chunk = (off - 96) / 1049608 * 64 + in_segment / 16400;
    bool last = chunk == e->plain_len / CHUNK;

    (void)err;
    if (off < 96) {
        *nread = len < 96 - off ? len : (size_t)(96 - off);
        memcpy(buf, e->r.core.raw + off, *nread);
        return BLOBSEAL_OK;
    }
    plain_chunk(text, chunk);
    cr_assert(bs_chunked_seal(&e->cipher, chunk, last, sealed,
                              (struct bs_slice){text, last ? (size_t)(e->plain_len % CHUNK) : CHUNK}));
    *nread = (size_t)(16400 - in_segment % 16400);
    *nread = *nread < len ? *nread : len;
    memcpy(buf, sealed + in_segment % 16400, *nread);
    return BLOBSEAL_OK;
}

static void expect_chunks(struct blobseal_reader *reader, uint64_t plain_len, uint64_t off, size_t len)
{
    uint8_t text[CHUNK];
    struct blobseal_error err;
    size_t n;

    cr_assert_eq(blobseal_reader_pread(reader, dst, len, off, &n, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(n, len < plain_len - off ? len : (size_t)(plain_len - off));
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || (off + i) % CHUNK == 0)
            plain_chunk(text, (off + i) / CHUNK);
        cr_assert_eq(dst[i], text[(off + i) % CHUNK]);
    }
}

Test(reader, offsets_have_64_bits)
{
    static const uint64_t sizes[] = {BS_MAX_PLAIN, ((uint64_t)1 << 32) + 5, (uint64_t)1 << 48, ((uint64_t)1 << 40) - 1};
    struct endless e;
    const struct blobseal_source by_hand = {.ctx = &e, .pread = endless_pread};
    struct blobseal_reader_options o = {.size = sizeof o};
    struct blobseal_source source = by_hand;
    struct blobseal_reader *reader;
    struct blobseal_error err;
    char *envelope;

    recipe_make(&e.r, 8, 1);
    e.cipher = (struct bs_chunked){0};
    cr_assert_eq(bs_chunked_init(&e.cipher, &e.r.keys, NULL), BLOBSEAL_OK);
    o.envelope = envelope = recipe_envelope(&e.r, 1, &kek, 1);
    o.envelope_len = strlen(envelope);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        e.plain_len = sizes[i];
        source.size = bs_core_len(&e.r.core, e.plain_len);
        cr_assert_eq(blobseal_reader_open(&reader, &source, &kek, 1, &o, &err), BLOBSEAL_OK, "%s", err.text);
        cr_assert_eq(blobseal_reader_size(reader), sizes[i]);
        for (unsigned bit = 20; (uint64_t)1 << bit < sizes[i]; bit++)
            expect_chunks(reader, e.plain_len, ((uint64_t)1 << bit) - 3, 100);
        expect_chunks(reader, e.plain_len, sizes[i] / 2, 3 * CHUNK);
        expect_chunks(reader, e.plain_len, sizes[i] - 5, 100);
        expect_chunks(reader, e.plain_len, sizes[i] - 70000, 100000);
        blobseal_reader_close(reader);
    }
    source.size = bs_core_len(&e.r.core, BS_MAX_PLAIN) + 8 + 16; /* one chunk more than the format allows */
    cr_expect_eq(blobseal_reader_open(&reader, &source, &kek, 1, &o, &err), BLOBSEAL_E_DAMAGED);
    source.size = UINT64_MAX - 1;
    cr_expect_eq(blobseal_reader_open(&reader, &source, &kek, 1, &o, &err), BLOBSEAL_E_DAMAGED);
    free(envelope);
    bs_chunked_clear(&e.cipher);
}

Test(reader, an_envelope_below_the_wanted_generation_is_refused)
{
    static const uint64_t wanted[] = {0, 1, 2, 3, 4, BS_MAX_GENERATION, UINT64_MAX};
    struct recipe r;
    struct blobseal_error err;
    size_t core_len, len;
    uint8_t *core, *blob;
    char *text;

    recipe_make(&r, 7, 1);
    text = recipe_envelope(&r, 3, &kek, 1);
    core = recipe_core(&r, plain, 1000, &core_len);
    blob = put_in_frame(&r.core, BLOBSEAL_LAYOUT_AB, (struct slot_text){text, 3}, (struct slot_text){text, 3}, core,
                        core_len, &len);
    for (size_t i = 0; i < 2 * COUNT(wanted); i++) {
        struct blobseal_reader_options o = {.size = sizeof o, .min_generation = wanted[i / 2]};
        struct test_source from = {.data = blob, .len = len, .seekable = i % 2 == 0};
        struct blobseal_source source;
        struct blobseal_reader *reader;
        bool fine = wanted[i / 2] <= 3;

        test_source_start(&source, &from);
        cr_expect_eq(blobseal_reader_open(&reader, &source, &kek, 1, &o, &err), fine ? BLOBSEAL_OK : BLOBSEAL_E_POLICY);
        cr_expect_eq(reader != NULL, fine);
        if (!fine)
            cr_expect(strstr(err.text, "generation 3, ") != NULL && err.hint[0] != '\0', "%s", err.text);
        blobseal_reader_close(reader);
        test_source_end(&from);
    }
    free(text);
    free(core);
    free(blob);
}
