/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed blobs, sealed from sources and by the push stream: the content is restored in all cases. */
#include <stdlib.h>

#include "tests/support/suite.h"

#define MIB       ((size_t)1 << 20)
#define MAX_PLAIN (3 * MIB + 5)
#define ROOM      (MAX_PLAIN + 512 * 1024)

static const size_t sizes[] = {0, 1, 16384, 100000, MIB - 1, MIB, MIB + 1, 2 * MIB, MAX_PLAIN};
static const unsigned threads[] = {1, 2, 5};

static uint8_t *plain;
static struct fake_kek fake = {.kid = "a-key"};
static struct blobseal_kek *kek;

/*
 * Fill with noise in the first frame and after the second, so that some frames are longer than a segment and others
 * shorter.
 */
static void start(void)
{
    plain = must_alloc(MAX_PLAIN);
    fill_random(plain, MAX_PLAIN, 12);
    fill_pattern(plain + MIB + 1000, MIB / 2);
    kek = fake_kek_open(&fake);
}

static void stop(void)
{
    blobseal_kek_close(kek);
    free(plain);
}

SUITE_WITH(zstd_seal, start, stop);

static struct blobseal_seal_options options(unsigned how)
{
    return (struct blobseal_seal_options){.size = sizeof(struct blobseal_seal_options),
                                          .threads = threads[how % COUNT(threads)],
                                          .layout = how % 4,
                                          .no_checksums = how / 4 % 2 == 1,
                                          .zstd = true,
                                          .zstd_level = how % 3 == 0   ? 0
                                                        : how % 3 == 1 ? 1
                                                                       : -5};
}

/* Open @blob from a file or a pipe, into a file or a pipe, and verify it. */
static void open_as(unsigned how, const struct test_sink *blob, const struct blobseal_seal_result *r, size_t len)
{
    struct test_source from = {
        .data = blob->data, .len = (size_t)r->sealed_bytes, .seekable = how % 2 == 0, .max_piece = 70001};
    struct test_sink to = {.seekable = how / 2 % 2 == 0, .cap = len};
    const struct blobseal_reader_options o = {.size = sizeof o,
                                              .envelope = r->envelope,
                                              .envelope_len = r->envelope_len,
                                              .threads = threads[how / 4 % COUNT(threads)]};
    struct blobseal_reader *reader;
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_error err;
    uint64_t n = 0;

    test_source_start(&source, &from);
    test_sink_start(&sink, &to);
    cr_assert_eq(blobseal_reader_open(&reader, &source, &kek, 1, &o, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(blobseal_reader_size(reader), from.seekable ? len : BLOBSEAL_SIZE_UNKNOWN);
    cr_assert_eq(blobseal_reader_info(reader)->plain_bytes, from.seekable ? len : BLOBSEAL_SIZE_UNKNOWN);
    if (from.seekable)
        cr_assert_eq(blobseal_reader_verify(reader, &n, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(blobseal_reader_stream(reader, &sink, &n, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(n, len);
    cr_assert(test_sink_is(&to, plain, len), "%zu bytes come back", len);
    cr_assert_eq(blobseal_reader_info(reader)->stored_bytes, from.seekable ? r->stored_bytes : BLOBSEAL_SIZE_UNKNOWN);
    cr_assert(!from.misused && !to.misused);
    blobseal_reader_close(reader);
    test_source_end(&from);
    test_sink_end(&to);
}

static void check_result(const struct blobseal_seal_result *r, const struct test_sink *to, size_t len)
{
    cr_assert_eq(r->plain_bytes, len);
    cr_assert_eq(r->sealed_bytes, to->bytes);
    cr_assert(r->stored_bytes >= 17 && r->stored_bytes < r->sealed_bytes);
    cr_assert_null(memchr(to->written, 0, (size_t)r->sealed_bytes), "no gaps");
    cr_assert_eq(to->data[core_offset_of(to->data, (size_t)r->sealed_bytes) + 10], 1);
}

static void round_trip(size_t len, unsigned how)
{
    struct test_source from = {.data = plain, .len = len, .seekable = how % 2 == 0, .max_piece = 70001};
    struct test_sink to = {.seekable = how / 2 % 2 == 0, .cap = ROOM};
    struct blobseal_seal_options o = options(how / 4);
    struct blobseal_seal_result r = {.size = sizeof r};
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_error err;

    test_source_start(&source, &from);
    test_sink_start(&sink, &to);
    cr_assert_eq(blobseal_seal(&sink, &source, &kek, 1, &o, &r, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert(!from.misused && !to.misused);
    check_result(&r, &to, len);
    for (unsigned i = 0; i < 2; i++)
        open_as(how * 5 + i * 7, &to, &r, len);
    blobseal_free(r.envelope);
    test_source_end(&from);
    test_sink_end(&to);
}

Test(zstd_seal, round_trips)
{
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (unsigned how = 0; how < 32; how++)
            round_trip(sizes[i], how);
}

static void push(size_t len, size_t piece, unsigned how)
{
    struct test_sink to = {.seekable = how % 2 == 0, .cap = ROOM};
    struct blobseal_seal_options o = options(how / 2);
    struct blobseal_seal_result r = {.size = sizeof r};
    struct blobseal_writer *w;
    struct blobseal_sink sink;
    struct blobseal_error err;

    test_sink_start(&sink, &to);
    cr_assert_eq(blobseal_writer_open(&w, &sink, &kek, 1, &o, &err), BLOBSEAL_OK, "%s", err.text);
    for (size_t at = 0; at < len; at += piece)
        cr_assert_eq(blobseal_writer_write(w, plain + at, piece < len - at ? piece : len - at, &err), BLOBSEAL_OK);
    cr_assert_eq(blobseal_writer_finish(w, &r, &err), BLOBSEAL_OK, "%s", err.text);
    blobseal_writer_close(w);
    check_result(&r, &to, len);
    open_as(how, &to, &r, len);
    blobseal_free(r.envelope);
    test_sink_end(&to);
}

Test(zstd_seal, pushed_in_pieces)
{
    static const size_t pieces[] = {MAX_PLAIN, 1000, MIB, MIB - 1, MIB + 1, 70001};
    unsigned how = 0;

    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t k = 0; k < COUNT(pieces); k++)
            push(sizes[i], pieces[k], how++);
}

/* The compressed bytes do not depend on threads, sources and pieces. */
Test(zstd_seal, threads_do_not_show)
{
    uint64_t stored = 0;

    for (unsigned i = 0; i < COUNT(threads); i++) {
        struct blobseal_seal_options o = options(0);
        struct blobseal_error err;
        struct sealed s;

        o.threads = threads[i];
        o.layout = BLOBSEAL_LAYOUT_COMPACT;
        cr_assert_eq(seal_bytes(&s, plain, MAX_PLAIN, &kek, 1, &o, &err), BLOBSEAL_OK);
        cr_expect(stored == 0 || s.result.stored_bytes == stored);
        stored = s.result.stored_bytes;
        sealed_clear(&s);
    }
}

Test(zstd_seal, levels_are_checked)
{
    for (int level = -10; level < 25; level++) {
        struct blobseal_seal_options o = options(0);
        struct blobseal_error err;
        struct sealed s;
        bool right = level >= -7 && level <= 19;

        o.layout = BLOBSEAL_LAYOUT_COMPACT;
        o.zstd_level = level;
        cr_expect_eq(seal_bytes(&s, plain + MIB + 1000, 5000, &kek, 1, &o, &err), right ? BLOBSEAL_OK : BLOBSEAL_E_ARG,
                     "level %d", level);
        cr_expect(!right || s.result.stored_bytes < 200);
        sealed_clear(&s);
        o.zstd = false; /* without compression the level is not checked */
        cr_expect_eq(seal_bytes(&s, plain, 5, &kek, 1, &o, &err), BLOBSEAL_OK);
        cr_expect_eq(s.result.stored_bytes, 5);
        sealed_clear(&s);
    }
}

static enum blobseal_status no_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                     struct blobseal_error *err)
{
    (void)ctx;
    (void)buf;
    (void)len;
    (void)off;
    *nread = 0;
    return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "nothing is to be read");
}

Test(zstd_seal, more_than_a_tib_is_refused_at_once)
{
    struct blobseal_seal_options o = options(0);
    struct blobseal_source source = {.size = ((uint64_t)1 << 40) + 1, .pread = no_pread};
    struct blobseal_memory to;
    struct blobseal_sink sink;
    struct blobseal_error err;

    blobseal_sink_memory(&sink, &to);
    cr_expect_eq(blobseal_seal(&sink, &source, &kek, 1, &o, NULL, &err), BLOBSEAL_E_POLICY, "%s", err.text);
    blobseal_free(to.data);
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

Test(zstd_seal, faults_of_source_and_sink_are_reported)
{
    for (uint64_t call = 1; call < 12; call++) {
        for (unsigned how = 0; how < 4; how++) {
            struct test_source from = {.data = plain, .len = MAX_PLAIN, .seekable = how % 2 == 0};
            struct test_sink to = {.seekable = how / 2 == 0, .cap = ROOM};
            struct blobseal_seal_options o = options(how);
            struct blobseal_seal_result r = {.size = sizeof r};
            struct blobseal_source source;
            struct blobseal_sink sink;
            struct blobseal_error err;
            enum blobseal_status st;

            o.layout = BLOBSEAL_LAYOUT_COMPACT;
            if (call < 4)
                from.fault = (struct fault){.at_call = call, .status = BLOBSEAL_E_INPUT};
            else
                to.fault = (struct fault){.at_call = call - 3, .status = BLOBSEAL_E_OUTPUT};
            test_source_start(&source, &from);
            test_sink_start(&sink, &to);
            st = blobseal_seal(&sink, &source, &kek, 1, &o, &r, &err);
            cr_expect_eq(st, call < 4 ? BLOBSEAL_E_INPUT : BLOBSEAL_E_OUTPUT, "call %u: %s", (unsigned)call, err.text);
            cr_expect_eq(r.sealed_bytes, 0);
            cr_expect(!from.misused && !to.misused);
            test_source_end(&from);
            test_sink_end(&to);
        }
    }
}

static bool stop_at_once(void *ctx, uint64_t done)
{
    *(uint64_t *)ctx = done;
    return false;
}

Test(zstd_seal, progress_counts_the_original_and_stops)
{
    struct blobseal_seal_options o = options(0);
    struct blobseal_reader_options ro = {.size = sizeof ro, .threads = 1, .progress = stop_at_once};
    struct blobseal_reader *reader;
    struct blobseal_error err;
    struct sealed s;
    uint64_t done = 0;

    o.layout = BLOBSEAL_LAYOUT_COMPACT;
    o.threads = 1;
    o.progress = stop_at_once;
    ro.progress_ctx = o.progress_ctx = &done;
    cr_expect_eq(seal_bytes(&s, plain, MAX_PLAIN, &kek, 1, &o, &err), BLOBSEAL_E_CANCELED);
    cr_expect(done >= MIB && done % MIB == 0);
    sealed_clear(&s);
    o.progress = NULL;
    cr_assert_eq(seal_bytes(&s, plain, MAX_PLAIN, &kek, 1, &o, &err), BLOBSEAL_OK);
    for (int pipe = 0; pipe <= 1; pipe++) {
        struct test_source from = {.data = s.data, .len = s.len, .seekable = pipe == 0};
        struct blobseal_source source;

        test_source_start(&source, &from);
        cr_assert_eq(blobseal_reader_open(&reader, &source, &kek, 1, &ro, &err), BLOBSEAL_OK);
        done = 0;
        cr_expect_eq(blobseal_reader_verify(reader, NULL, &err), BLOBSEAL_E_CANCELED);
        cr_expect_eq(done, MIB);
        blobseal_reader_close(reader);
        test_source_end(&from);
    }
    sealed_clear(&s);
}
