/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests in the results of seal, writer and reader: equal to those of the bytes themselves for every layout, content
 * and kind of source and sink, and zero after a run that failed or is not complete.
 */
#include <stdlib.h>

#include "tests/support/suite.h"

#define MAX_PLAIN ((size_t)2 * BS_SEGMENT_LEN + 300000)
#define ROOM      (MAX_PLAIN + 200000)
#define ALL       (BLOBSEAL_DIGEST_CORE | BLOBSEAL_DIGEST_OUTPUT | BLOBSEAL_DIGEST_PLAIN)

SUITE_WITH_PLAIN(api_digests, MAX_PLAIN);

static const size_t sizes[] = {0, 1, 16384, 262145, BS_SEGMENT_LEN, MAX_PLAIN};

/* One blob: how it is sealed and opened. */
struct way {
    size_t len;
    bool from_pipe, to_pipe, bare;
    int zstd;
    enum blobseal_layout layout;
    uint32_t digests;
};

/* Return way number @i, which chooses every option by another divisor, so that combinations vary. */
static struct way way_of(unsigned i)
{
    return (struct way){
        .len = sizes[i % COUNT(sizes)],
        .from_pipe = i / 2 % 2 != 0,
        .to_pipe = i / 4 % 2 != 0,
        .bare = i % 5 == 0,
        .zstd = i % 7 < 2,
        .layout = (enum blobseal_layout)(1 + i / 6 % 3),
        .digests = i % 4 == 3 ? i / 4 % 8 : ALL,
    };
}

static struct blobseal_seal_options options_of(const struct way *w)
{
    return (struct blobseal_seal_options){.size = sizeof(struct blobseal_seal_options),
                                          .threads = 2,
                                          .layout = w->layout,
                                          .no_checksums = w->bare,
                                          .zstd = w->zstd != 0,
                                          .digests = w->digests};
}

static void expect_sha256(const uint8_t *got, const void *p, size_t len, bool requested, const char *what)
{
    uint8_t want[BS_SHA256_LEN] = {0};

    if (requested)
        cr_assert(bs_sha256(want, p, len));
    cr_expect_arr_eq(got, want, sizeof want, "%s", what);
}

static void expect_digests(const struct blobseal_digests *d, const struct way *w, const uint8_t *blob, size_t len)
{
    size_t core = core_offset_of(blob, len);

    cr_expect_eq(d->size, sizeof *d);
    cr_expect_eq(d->computed, w->digests);
    expect_sha256(d->core_sha256, blob + core, len - core, (w->digests & BLOBSEAL_DIGEST_CORE) != 0, "core");
    expect_sha256(d->output_sha256, blob, len, (w->digests & BLOBSEAL_DIGEST_OUTPUT) != 0, "output");
    expect_sha256(d->plain_sha256, plain, w->len, (w->digests & BLOBSEAL_DIGEST_PLAIN) != 0, "plain");
}

static void expect_none(const struct blobseal_digests *d)
{
    static const struct blobseal_digests none = {.size = sizeof none};

    cr_expect_arr_eq(d, &none, sizeof none);
}

/* ---- Sealing ----------------------------------------------------------------------------------------------------- */

static enum blobseal_status seal_way(const struct way *w, struct test_sink *to, struct blobseal_seal_result *r)
{
    struct test_source from = {.data = plain, .len = w->len, .seekable = !w->from_pipe};
    const struct blobseal_seal_options o = options_of(w);
    struct blobseal_source source;
    struct blobseal_error err;
    struct blobseal_sink sink;
    enum blobseal_status st;

    to->seekable = !w->to_pipe;
    to->cap = ROOM;
    test_source_start(&source, &from);
    test_sink_start(&sink, to);
    r->size = sizeof *r;
    st = blobseal_seal(&sink, &source, &kek, 1, &o, r, &err);
    test_source_end(&from);
    return st;
}

/* The envelope of a blob, as it was written: from the result, or from the frame. */
static void expect_envelope_digest(const struct blobseal_seal_result *r, const uint8_t *blob, size_t len)
{
    struct blobseal_memory m;
    struct blobseal_source source;
    struct blobseal_info *info;

    blobseal_source_memory(&source, &m, blob, len);
    cr_assert_eq(blobseal_inspect(&info, &source, r->envelope, r->envelope_len, NULL), BLOBSEAL_OK);
    expect_sha256(r->envelope_sha256, info->jwe, info->jwe_len, true, "envelope");
    blobseal_info_free(info);
}

Test(api_digests, seal)
{
    for (unsigned i = 0; i < 36; i++) {
        struct way w = way_of(i);
        struct blobseal_seal_result r;
        struct test_sink to = {0};

        cr_assert_eq(seal_way(&w, &to, &r), BLOBSEAL_OK);
        expect_digests(&r.digests, &w, to.data, (size_t)r.sealed_bytes);
        expect_envelope_digest(&r, to.data, (size_t)r.sealed_bytes);
        blobseal_free(r.envelope);
        test_sink_end(&to);
    }
}

Test(api_digests, seal_reads_and_writes_as_much_as_without)
{
    struct way w = {.len = MAX_PLAIN, .layout = BLOBSEAL_LAYOUT_AB, .digests = ALL};
    struct test_source from = {.data = plain, .len = w.len, .seekable = true};
    struct blobseal_seal_options o = options_of(&w);
    struct test_sink to = {.seekable = true, .cap = ROOM};
    struct blobseal_source source;
    struct blobseal_sink sink;

    test_source_start(&source, &from);
    test_sink_start(&sink, &to);
    cr_assert_eq(blobseal_seal(&sink, &source, &kek, 1, &o, NULL, NULL), BLOBSEAL_OK);
    cr_expect_eq(from.asked, w.len + 1, "one more, to see whether the source has grown");
    test_source_end(&from);
    test_sink_end(&to);
}

Test(api_digests, a_failed_seal_has_none)
{
    for (unsigned i = 0; i < 8; i++) {
        struct way w = {.len = MAX_PLAIN, .to_pipe = i % 2 != 0, .zstd = i / 2 % 2, .digests = ALL};
        struct test_sink to = {.fault = {.at_call = 3, .status = BLOBSEAL_E_OUTPUT}};
        struct blobseal_seal_result r;

        memset(&r, 0x55, sizeof r);
        cr_assert_eq(seal_way(&w, &to, &r), BLOBSEAL_E_OUTPUT);
        cr_expect_eq(r.digests.computed, 0);
        cr_expect(bs_all_zero(r.digests.core_sha256, 3 * BS_SHA256_LEN));
        test_sink_end(&to);
    }
}

Test(api_digests, writer)
{
    for (unsigned i = 0; i < 18; i++) {
        struct way w = way_of(i);
        const struct blobseal_seal_options o = options_of(&w);
        struct blobseal_seal_result r = {.size = sizeof r};
        struct test_sink to = {.seekable = !w.to_pipe, .cap = ROOM};
        struct blobseal_writer *writer;
        struct blobseal_sink sink;

        test_sink_start(&sink, &to);
        cr_assert_eq(blobseal_writer_open(&writer, &sink, &kek, 1, &o, NULL), BLOBSEAL_OK);
        for (size_t at = 0, n; at < w.len; at += n) {
            n = w.len - at < 100001 ? w.len - at : 100001;
            cr_assert_eq(blobseal_writer_write(writer, plain + at, n, NULL), BLOBSEAL_OK);
        }
        cr_assert_eq(blobseal_writer_finish(writer, &r, NULL), BLOBSEAL_OK);
        expect_digests(&r.digests, &w, to.data, (size_t)r.sealed_bytes);
        expect_envelope_digest(&r, to.data, (size_t)r.sealed_bytes);
        blobseal_writer_close(writer);
        blobseal_free(r.envelope);
        test_sink_end(&to);
    }
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

struct scene {
    struct way way;
    struct test_sink blob;
    struct blobseal_seal_result result;
    struct test_source from;
    struct blobseal_source source;
    struct blobseal_reader *reader;
};

static void scene_start(struct scene *s, struct way w)
{
    struct blobseal_reader_options o = {.size = sizeof o, .threads = 2, .digests = w.digests};

    *s = (struct scene){.way = w};
    cr_assert_eq(seal_way(&w, &s->blob, &s->result), BLOBSEAL_OK);
    s->from = (struct test_source){
        .data = s->blob.data, .len = (size_t)s->result.sealed_bytes, .seekable = !w.from_pipe, .max_piece = 100000};
    test_source_start(&s->source, &s->from);
    o.envelope = s->result.envelope;
    o.envelope_len = s->result.envelope_len;
    cr_assert_eq(blobseal_reader_open(&s->reader, &s->source, &kek, 1, &o, NULL), BLOBSEAL_OK);
}

static struct blobseal_digests digests_of(const struct scene *s)
{
    struct blobseal_digests d;

    memset(&d, 0x55, sizeof d);
    d.size = sizeof d;
    cr_assert_eq(blobseal_reader_digests(s->reader, &d, NULL), BLOBSEAL_OK);
    return d;
}

static void scene_end(struct scene *s)
{
    blobseal_reader_close(s->reader);
    blobseal_free(s->result.envelope);
    test_source_end(&s->from);
    test_sink_end(&s->blob);
}

static enum blobseal_status stream(struct scene *s, struct test_sink *to)
{
    struct blobseal_sink sink;
    enum blobseal_status st;

    to->seekable = !s->way.to_pipe;
    to->cap = MAX_PLAIN;
    test_sink_start(&sink, to);
    st = blobseal_reader_stream(s->reader, &sink, NULL, NULL);
    if (st == BLOBSEAL_OK)
        cr_expect(test_sink_is(to, plain, s->way.len));
    test_sink_end(to);
    return st;
}

Test(api_digests, stream)
{
    for (unsigned i = 0; i < 36; i++) {
        struct blobseal_digests d;
        struct test_sink to = {0};
        struct scene s;

        scene_start(&s, way_of(i));
        d = digests_of(&s);
        expect_none(&d);
        cr_assert_eq(stream(&s, &to), BLOBSEAL_OK);
        d = digests_of(&s);
        expect_digests(&d, &s.way, s.blob.data, s.from.len);
        scene_end(&s);
    }
}

Test(api_digests, verify)
{
    for (unsigned i = 0; i < 18; i++) {
        struct blobseal_digests d;
        struct scene s;

        scene_start(&s, way_of(i));
        cr_assert_eq(blobseal_reader_verify(s.reader, NULL, NULL), BLOBSEAL_OK);
        d = digests_of(&s);
        expect_digests(&d, &s.way, s.blob.data, s.from.len);
        scene_end(&s);
    }
}

/* Read all that is left, and return the status. */
static enum blobseal_status pull(struct scene *s, size_t piece)
{
    static uint8_t buf[BS_SEGMENT_LEN];
    enum blobseal_status st;
    size_t at = 0, n;

    do {
        st = blobseal_reader_read(s->reader, buf, piece, &n, NULL);
        cr_assert(st != BLOBSEAL_OK || memcmp(buf, plain + at, n) == 0);
        at += n;
        if (n > 0) {
            struct blobseal_digests d = digests_of(s);

            expect_none(&d);
        }
    } while (st == BLOBSEAL_OK && n > 0);
    cr_expect(st != BLOBSEAL_OK || at == s->way.len);
    return st;
}

Test(api_digests, read)
{
    for (unsigned i = 0; i < 36; i++) {
        struct blobseal_digests d;
        struct scene s;
        size_t n;

        scene_start(&s, way_of(i));
        cr_assert_eq(pull(&s, i % 2 == 0 ? 70001 : BS_SEGMENT_LEN), BLOBSEAL_OK);
        d = digests_of(&s);
        expect_digests(&d, &s.way, s.blob.data, s.from.len);
        cr_assert_eq(blobseal_reader_read(s.reader, &d, 1, &n, NULL), BLOBSEAL_OK);
        cr_expect_eq(n, 0, "the end is the end");
        scene_end(&s);
    }
}

Test(api_digests, a_run_that_fails_or_is_partial_has_none)
{
    for (unsigned i = 0; i < 16; i++) {
        struct way w = {.len = MAX_PLAIN, .to_pipe = i % 2 != 0, .zstd = i / 2 % 2, .digests = i < 8 ? ALL : 4};
        struct test_sink to = {.fault = {.at_call = 2, .status = BLOBSEAL_E_OUTPUT}}, good = {0};
        struct blobseal_digests d;
        struct scene s;
        uint8_t buf[100];
        size_t n;

        scene_start(&s, w);
        cr_assert_eq(stream(&s, &good), BLOBSEAL_OK);
        d = digests_of(&s);
        expect_digests(&d, &w, s.blob.data, s.from.len);
        cr_assert_eq(stream(&s, &to), BLOBSEAL_E_OUTPUT);
        d = digests_of(&s);
        expect_none(&d);
        cr_assert_eq(blobseal_reader_verify(s.reader, NULL, NULL), BLOBSEAL_OK);
        cr_assert_eq(blobseal_reader_read(s.reader, buf, sizeof buf, &n, NULL), BLOBSEAL_OK);
        d = digests_of(&s);
        expect_none(&d);
        s.blob.data[s.from.len - 20] ^= 1; /* the last chunk */
        cr_assert_neq(blobseal_reader_verify(s.reader, NULL, NULL), BLOBSEAL_OK);
        d = digests_of(&s);
        expect_none(&d);
        scene_end(&s);
    }
}

/* With `raw`, the plaintext that a reader presents is the zstd file. */
Test(api_digests, raw)
{
    struct way w = {.len = MAX_PLAIN, .zstd = 1, .digests = ALL};
    struct blobseal_reader_options o = {.size = sizeof o, .threads = 2, .digests = ALL, .raw = true};
    struct blobseal_digests d = {.size = sizeof d};
    struct blobseal_reader *raw;
    struct blobseal_memory m;
    struct blobseal_sink sink;
    struct scene s;

    scene_start(&s, w);
    cr_assert_eq(blobseal_reader_open(&raw, &s.source, &kek, 1, &o, NULL), BLOBSEAL_OK);
    blobseal_sink_memory(&sink, &m);
    cr_assert_eq(blobseal_reader_stream(raw, &sink, NULL, NULL), BLOBSEAL_OK);
    cr_assert_eq(blobseal_reader_digests(raw, &d, NULL), BLOBSEAL_OK);
    expect_sha256(d.plain_sha256, m.data, m.len, true, "the zstd file");
    cr_expect_arr_eq(d.core_sha256, s.result.digests.core_sha256, BS_SHA256_LEN);
    blobseal_reader_close(raw);
    blobseal_free(m.data);
    scene_end(&s);
}

Test(api_digests, misuse)
{
    struct way w = {.len = 5, .digests = 8};
    struct blobseal_digests d = {.size = 4};
    struct blobseal_seal_result r;
    struct blobseal_error err;
    struct test_sink to = {0};
    struct scene s;

    cr_expect_eq(seal_way(&w, &to, &r), BLOBSEAL_E_ARG, "an unknown digest");
    cr_expect_eq(to.bytes, 0);
    test_sink_end(&to);
    w.digests = 0;
    scene_start(&s, w);
    cr_expect_eq(blobseal_reader_digests(s.reader, &d, &err), BLOBSEAL_E_ARG, "no size");
    cr_expect_eq(blobseal_reader_digests(s.reader, NULL, &err), BLOBSEAL_E_ARG);
    d = digests_of(&s);
    expect_none(&d);
    scene_end(&s);
}
