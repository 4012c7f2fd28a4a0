/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing and opening through the public functions: every size, kind of source and sink, layout and number of threads.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/suite.h"
#include "tests/support/tier.h"

#define KIB       ((size_t)1024)
#define MIB       (KIB * KIB)
#define MAX_PLAIN (3 * MIB + 5)
#define ROOM      (MAX_PLAIN + 256 * KIB)
#define ODD_PIECE 70001

static const size_t sizes[] = {0,       1,   16 * KIB - 1, 16 * KIB,       16 * KIB + 1, MIB - 16 * KIB,
                               MIB - 1, MIB, MIB + 1,      MIB + 16 * KIB, 2 * MIB,      MAX_PLAIN};
static const unsigned threads[] = {1, 2, 5};

SUITE_WITH_PLAIN(seal_open, MAX_PLAIN);

static struct blobseal_seal_options options(enum blobseal_layout layout)
{
    return (struct blobseal_seal_options){.size = sizeof(struct blobseal_seal_options), .threads = 1, .layout = layout};
}

/* Open @blob through a source and a sink. The bits of @how choose the source, the sink and the number of threads. */
static void open_as(unsigned how, const struct test_sink *blob, size_t blob_len, const struct blobseal_seal_result *r,
                    size_t plain_len)
{
    struct test_source from = {.data = blob->data, .len = blob_len, .seekable = how % 2 == 0, .max_piece = ODD_PIECE};
    struct test_sink to = {.seekable = how / 2 % 2 == 0, .cap = plain_len};
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
    cr_assert_eq(blobseal_reader_size(reader), from.seekable ? plain_len : BLOBSEAL_SIZE_UNKNOWN);
    if (from.seekable)
        cr_assert_eq(blobseal_reader_verify(reader, NULL, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(blobseal_reader_stream(reader, &sink, &n, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(n, plain_len);
    cr_assert(test_sink_is(&to, plain, plain_len), "the plaintext comes back");
    cr_assert(!from.misused);
    cr_assert_eq(from.cancels, 0);
    blobseal_reader_close(reader);
    test_source_end(&from);
    test_sink_end(&to);
}

/* Seal as the bits of @how choose: source, sink, checksums, layout, threads. Open the blob in three ways. */
static void round_trip(unsigned how, size_t len)
{
    struct test_source from = {.data = plain, .len = len, .seekable = how % 2 == 0, .max_piece = ODD_PIECE};
    struct test_sink to = {.seekable = how / 2 % 2 == 0, .cap = ROOM};
    struct blobseal_seal_options o = options(BLOBSEAL_LAYOUT_COMPACT + how / 8 % 3);
    struct blobseal_seal_result r = {.size = sizeof r};
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_error err;

    o.no_checksums = how / 4 % 2 == 1;
    o.threads = threads[how / 24 % COUNT(threads)];
    test_source_start(&source, &from);
    test_sink_start(&sink, &to);
    cr_assert_eq(blobseal_seal(&sink, &source, &kek, 1, &o, &r, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert(!from.misused && !to.misused);
    cr_assert_eq(r.plain_bytes, len);
    cr_assert_eq(r.sealed_bytes, to.bytes);
    cr_assert_eq(r.layout, o.layout);
    cr_assert_eq(r.generation, 1);
    cr_assert_eq(r.envelope != NULL, o.layout == BLOBSEAL_LAYOUT_DETACHED);
    cr_assert_null(memchr(to.written, 0, (size_t)r.sealed_bytes), "no gaps");
    for (unsigned i = 0; i < 3; i++)
        open_as(how * 5 + i * 7, &to, (size_t)r.sealed_bytes, &r, len);
    blobseal_free(r.envelope);
    test_source_end(&from);
    test_sink_end(&to);
}

Test(seal_open, round_trips)
{
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (unsigned how = 0; how < 72; how++)
            if (tier_has_all() || (how + i) % 3 == 0) /* every way and every size, but not every combination */
                round_trip(how, sizes[i]);
}

Test(seal_open, every_way_of_opening_meets_every_way_of_sealing)
{
    static const size_t few[] = {0, 16 * KIB, MIB + 1};

    for (size_t i = 0; i < COUNT(few); i++) {
        for (unsigned layout = 0; layout < 3; layout++) {
            struct blobseal_seal_options o = options(BLOBSEAL_LAYOUT_COMPACT + layout);
            struct blobseal_error err;
            struct sealed s;

            cr_assert_eq(seal_bytes(&s, plain, few[i], &kek, 1, &o, &err), BLOBSEAL_OK);
            for (unsigned how = 0; how < 12; how++)
                open_as(how, &(struct test_sink){.data = s.data}, s.len, &s.result, few[i]);
            sealed_clear(&s);
        }
    }
}

/* ---- The bytes of a sealed blob ---------------------------------------------------------------------------------- */

Test(seal_open, sealing_twice_gives_different_blobs)
{
    struct blobseal_seal_options o = options(BLOBSEAL_LAYOUT_DETACHED);
    struct blobseal_error err;
    struct sealed a, b;
    size_t same = 0;

    cr_assert_eq(seal_bytes(&a, plain, 40000, &kek, 1, &o, &err), BLOBSEAL_OK);
    cr_assert_eq(seal_bytes(&b, plain, 40000, &kek, 1, &o, &err), BLOBSEAL_OK);
    cr_assert_eq(a.len, b.len);
    cr_expect_arr_neq(a.result.blob_id, b.result.blob_id, 16);
    cr_expect_arr_neq(a.data + 32, b.data + 32, 24, "salt");
    cr_expect_arr_neq(a.data + 56, b.data + 56, 32, "commitment");
    cr_expect_str_neq(a.result.envelope, b.result.envelope);
    for (size_t i = 96; i < a.len; i++)
        same += a.data[i] == b.data[i] ? 1 : 0;
    cr_expect_lt(same, a.len / 64, "bytes in common are chance");
    cr_expect_eq(memcmp(a.data + 16, a.result.blob_id, 16), 0);
    sealed_clear(&a);
    sealed_clear(&b);
}

/* Return the member `k` of the content of a detached envelope. */
static void data_key_of(const struct sealed *s, char out[43])
{
    struct blobseal_error err;
    struct bs_envelope e;
    uint8_t *content;
    const char *at;

    cr_assert_eq(bs_envelope_parse(&e, s->result.envelope, s->result.envelope_len, &err), BLOBSEAL_OK);
    content = must_alloc(e.jwe.ciphertext.len + 1);
    cr_assert_eq(bs_jwe_open(&e.jwe, false, (struct bs_keks){&kek, 1, NULL}, content, NULL, &err), BLOBSEAL_OK, "%s",
                 err.text);
    content[e.jwe.ciphertext.len] = '\0';
    at = strstr((const char *)content, "\"k\":\"");
    cr_assert_not_null(at);
    memcpy(out, at + strlen("\"k\":\""), 43);
    free(content);
    bs_envelope_clear(&e);
}

Test(seal_open, every_blob_has_its_own_data_key)
{
    struct blobseal_seal_options o = options(BLOBSEAL_LAYOUT_DETACHED);
    struct blobseal_error err;
    char dek[20][43];
    struct sealed s;

    for (size_t i = 0; i < COUNT(dek); i++) {
        cr_assert_eq(seal_bytes(&s, plain, 5, &kek, 1, &o, &err), BLOBSEAL_OK);
        data_key_of(&s, dek[i]);
        for (size_t k = 0; k < i; k++) {
            cr_expect_arr_neq(dek[i], dek[k], 20);
            cr_expect_arr_neq(dek[i] + 22, dek[k] + 22, 20);
        }
        sealed_clear(&s);
    }
}

Test(seal_open, no_plaintext_stands_in_a_blob)
{
    uint8_t *text = must_alloc(MAX_PLAIN);
    struct blobseal_error err;
    struct sealed s;

    fill_pattern(text, MAX_PLAIN);
    cr_assert(has_pattern(text + 5, 16) && !has_pattern(text, 15), "the search finds it");
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct blobseal_seal_options o = options(BLOBSEAL_LAYOUT_COMPACT + (unsigned)i % 2);

        o.no_checksums = i % 3 == 0;
        cr_assert_eq(seal_bytes(&s, text, sizes[i], &kek, 1, &o, &err), BLOBSEAL_OK);
        cr_expect(!has_pattern(s.data, s.len), "%u bytes", (unsigned)sizes[i]);
        if (sizes[i] >= 2 * BS_CHUNK_LEN) {
            const uint8_t *chunk = s.data + core_offset_of(s.data, s.len) + 96;

            cr_expect_arr_neq(chunk, chunk + BS_SEALED_CHUNK_LEN, 16, "equal chunks do not look equal");
        }
        sealed_clear(&s);
    }
    free(text);
}

Test(seal_open, the_layout_follows_the_size)
{
    static const struct {
        size_t len;
        bool sequential;
        uint64_t size;
        enum blobseal_layout want;
    } cases[] = {
        {0, false, 0, BLOBSEAL_LAYOUT_COMPACT},  {4 * MIB - 1, false, 0, BLOBSEAL_LAYOUT_COMPACT},
        {4 * MIB, false, 0, BLOBSEAL_LAYOUT_AB}, {1, true, BLOBSEAL_SIZE_UNKNOWN, BLOBSEAL_LAYOUT_AB},
        {1, true, 1, BLOBSEAL_LAYOUT_COMPACT},   {1, true, 4 * MIB, BLOBSEAL_LAYOUT_AB},
    };
    uint8_t *zeros = must_alloc(4 * MIB);

    memset(zeros, 0, 4 * MIB);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct test_source from = {
            .data = zeros, .len = cases[i].len, .seekable = !cases[i].sequential, .size = cases[i].size};
        struct test_sink to = {.cap = 5 * MIB};
        struct blobseal_seal_result r = {.size = sizeof r};
        struct blobseal_source source;
        struct blobseal_sink sink;
        struct blobseal_error err;

        test_source_start(&source, &from);
        test_sink_start(&sink, &to);
        cr_assert_eq(blobseal_seal(&sink, &source, &kek, 1, NULL, &r, &err), BLOBSEAL_OK, "%s", err.text);
        cr_expect_eq(r.layout, cases[i].want, "case %u", (unsigned)i);
        cr_expect_eq(to.data[10], cases[i].want == BLOBSEAL_LAYOUT_AB ? 2 : 1);
        test_source_end(&from);
        test_sink_end(&to);
    }
    free(zeros);
}

Test(seal_open, slots_have_the_capacity_asked_for)
{
    static const uint32_t impossible[] = {1, 24, 4095, 4097, 65535, 65536 + 4096, 0x80000000, 0xFFFFF000, UINT32_MAX};
    struct blobseal_seal_options o = options(BLOBSEAL_LAYOUT_AB);
    struct blobseal_error err;
    struct sealed s;

    for (o.slot_capacity = 4096; o.slot_capacity <= 65536; o.slot_capacity += 4096) {
        cr_assert_eq(seal_bytes(&s, plain, 5, &kek, 1, &o, &err), BLOBSEAL_OK, "%s", err.text);
        cr_expect_eq(s.len, 4096 + 2 * o.slot_capacity + 96 + 5 + 16 + 8);
        cr_expect_eq(bs_load32(s.data + 16), o.slot_capacity);
        cr_expect_eq(memcmp(s.data + 4096, s.data + 4096 + o.slot_capacity, o.slot_capacity), 0, "slots are equal");
        sealed_clear(&s);
    }
    for (size_t i = 0; i < COUNT(impossible); i++) {
        o.slot_capacity = impossible[i];
        cr_expect_eq(seal_bytes(&s, plain, 5, &kek, 1, &o, &err), BLOBSEAL_E_ARG, "%u", impossible[i]);
        sealed_clear(&s);
    }
    o.slot_capacity = 0;
    cr_assert_eq(seal_bytes(&s, plain, 5, &kek, 1, &o, &err), BLOBSEAL_OK);
    cr_expect_eq(bs_load32(s.data + 16), 16384);
    sealed_clear(&s);
}

/* ---- Recipients -------------------------------------------------------------------------------------------------- */

Test(seal_open, one_to_64_recipients)
{
    static struct fake_kek fakes[65];
    static char kids[65][600];
    struct blobseal_kek *keks[65];
    struct blobseal_seal_options o = options(BLOBSEAL_LAYOUT_AB);
    struct blobseal_error err;
    struct sealed s;
    struct opened opened;

    for (unsigned i = 0; i < 65; i++) {
        (void)snprintf(kids[i], sizeof kids[i], "%0300u", i);
        fakes[i] = (struct fake_kek){.kid = kids[i]};
        keks[i] = fake_kek_open(&fakes[i]);
    }
    for (unsigned n = 1; n <= 64; n++) {
        o.layout = n % 2 == 0 ? BLOBSEAL_LAYOUT_AB : BLOBSEAL_LAYOUT_COMPACT;
        cr_assert_eq(seal_bytes(&s, plain, 100, keks, n, &o, &err), BLOBSEAL_OK, "%u: %s", n, err.text);
        cr_expect_eq(open_bytes(&opened, s.data, s.len, &keks[n - 1], 1, NULL, &err), BLOBSEAL_OK);
        opened_clear(&opened);
        cr_expect_eq(open_bytes(&opened, s.data, s.len, &keks[64], 1, NULL, &err), BLOBSEAL_E_NO_KEY);
        opened_clear(&opened);
        sealed_clear(&s);
    }
    o.layout = BLOBSEAL_LAYOUT_AB;
    o.slot_capacity = 4096;
    cr_expect_eq(seal_bytes(&s, plain, 100, keks, 64, &o, &err), BLOBSEAL_E_POLICY, "a slot that is too small");
    cr_expect_neq(err.hint[0], '\0');
    cr_expect_eq(s.len, 0, "nothing is written");
    sealed_clear(&s);
    cr_expect_eq(seal_bytes(&s, plain, 100, keks, 65, NULL, &err), BLOBSEAL_E_ARG);
    sealed_clear(&s);
    cr_expect_eq(seal_bytes(&s, plain, 100, keks, 0, NULL, &err), BLOBSEAL_E_ARG);
    sealed_clear(&s);
    blobseal_kek_close(keks[64]);
    keks[64] = keks[3];
    cr_expect_eq(seal_bytes(&s, plain, 100, keks + 2, 63, NULL, &err), BLOBSEAL_E_ARG, "a key twice");
    cr_expect_eq(s.len, 0);
    sealed_clear(&s);
    for (unsigned i = 0; i < 64; i++)
        blobseal_kek_close(keks[i]);
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

/* A caller with an older header has a shorter struct, a caller with a newer header a longer one. */
Test(seal_open, option_structs_of_other_versions_are_accepted)
{
    static const size_t lengths[] = {
        sizeof(size_t),
        offsetof(struct blobseal_seal_options, layout),
        offsetof(struct blobseal_seal_options, slot_capacity),
        offsetof(struct blobseal_seal_options, no_checksums),
        offsetof(struct blobseal_seal_options, progress),
        sizeof(struct blobseal_seal_options),
        sizeof(struct blobseal_seal_options) + 64,
    };

    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct blobseal_seal_options o = options(BLOBSEAL_LAYOUT_AB), *short_one = must_alloc(lengths[i]);
        struct blobseal_error err;
        struct sealed s;

        o.size = lengths[i];
        o.slot_capacity = 4096;
        o.no_checksums = true;
        memset(short_one, 0, lengths[i]);
        memcpy(short_one, &o, lengths[i] < sizeof o ? lengths[i] : sizeof o);
        cr_assert_eq(seal_bytes(&s, plain, 3, &kek, 1, short_one, &err), BLOBSEAL_OK, "%s", err.text);
        cr_expect_eq(s.result.layout, i >= 2 ? BLOBSEAL_LAYOUT_AB : BLOBSEAL_LAYOUT_COMPACT);
        cr_expect_eq(i < 2 || bs_load32(s.data + 16) == (i >= 3 ? 4096 : 16384), true);
        cr_expect_eq(s.data[core_offset_of(s.data, s.len) + 11], i >= 4 ? 0 : 1);
        sealed_clear(&s);
        free(short_one);
    }
}

Test(seal_open, arguments_are_checked)
{
    struct blobseal_seal_options o = options(BLOBSEAL_LAYOUT_DETACHED);
    struct blobseal_memory from, to;
    struct blobseal_seal_result r = {.size = sizeof r};
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_error err;

    blobseal_source_memory(&source, &from, plain, 5);
    blobseal_sink_memory(&sink, &to);
    cr_expect_eq(blobseal_seal(&sink, &source, &kek, 1, &o, NULL, &err), BLOBSEAL_E_ARG, "no place for the envelope");
    o.layout = BLOBSEAL_LAYOUT_DETACHED + 1;
    cr_expect_eq(blobseal_seal(&sink, &source, &kek, 1, &o, &r, &err), BLOBSEAL_E_ARG);
    o.layout = BLOBSEAL_LAYOUT_COMPACT;
    o.size = 0;
    cr_expect_eq(blobseal_seal(&sink, &source, &kek, 1, &o, &r, &err), BLOBSEAL_E_ARG, "options without their size");
    source.size = BS_MAX_PLAIN + 1;
    cr_expect_eq(blobseal_seal(&sink, &source, &kek, 1, NULL, &r, &err), BLOBSEAL_E_ARG);
    source.size = BLOBSEAL_SIZE_UNKNOWN;
    cr_expect_eq(blobseal_seal(&sink, &source, &kek, 1, NULL, &r, &err), BLOBSEAL_E_ARG);
    source.pread = NULL;
    cr_expect_eq(blobseal_seal(&sink, &source, &kek, 1, NULL, &r, &err), BLOBSEAL_E_ARG);
    cr_expect_eq(to.len, 0);
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

/* One seal of `len` bytes, with the given faults in source and sink. */
struct attempt {
    size_t len;
    bool seekable;
    struct test_source from;
    struct test_sink to;
    struct blobseal_seal_options o;
    struct blobseal_seal_result r;
    struct blobseal_error err;
    enum blobseal_status st;
};

static void seal_it(struct attempt *a)
{
    struct blobseal_source source;
    struct blobseal_sink sink;

    a->from.data = plain;
    a->from.len = a->len;
    a->from.seekable = a->to.seekable = a->seekable;
    a->to.cap = ROOM;
    memset(&a->r, 0x55, sizeof a->r);
    a->r.size = sizeof a->r;
    memset(&a->err, 0x55, sizeof a->err);
    test_source_start(&source, &a->from);
    test_sink_start(&sink, &a->to);
    a->st = blobseal_seal(&sink, &source, &kek, 1, &a->o, &a->r, &a->err);
    cr_assert(!a->to.misused && !a->from.misused);
    if (a->st != BLOBSEAL_OK) {
        cr_assert(bs_all_zero((const uint8_t *)&a->r + sizeof a->r.size, sizeof a->r - sizeof a->r.size),
                  "a failure leaves no result");
        cr_assert_eq(a->err.status, a->st, "%s, but the error says %s", blobseal_status_code(a->st),
                     blobseal_status_code(a->err.status));
        cr_assert_not_null(memchr(a->err.text, '\0', sizeof a->err.text));
    }
    blobseal_free(a->r.envelope);
    test_source_end(&a->from);
    test_sink_end(&a->to);
}

/* Let call 1, 2, 3 and so on fail, until there is no call with that number. */
static void fail_at_every_call(bool of_source, bool silent)
{
    for (unsigned how = 0; how < 24; how++) {
        enum blobseal_status with = of_source ? BLOBSEAL_E_INPUT : BLOBSEAL_STATUS_CALLBACK + 1;
        uint64_t call = 0;
        struct attempt a;

        do {
            struct fault f = {.at_call = ++call, .status = with, .silent = silent};

            a = (struct attempt){.len = how / 6 % 2 == 0 ? 100 : MIB + 20000,
                                 .seekable = how % 2 == 0,
                                 .o = options(BLOBSEAL_LAYOUT_COMPACT + how / 2 % 3)};
            a.o.threads = how / 12 == 0 ? 1 : 3;
            *(of_source ? &a.from.fault : &a.to.fault) = f;
            seal_it(&a);
            cr_assert(a.st == BLOBSEAL_OK || a.st == with, "%s", a.err.text);
        } while (a.st != BLOBSEAL_OK);
        cr_assert_gt(call, 1);
    }
}

Test(seal_open, a_source_that_fails_ends_it)
{
    fail_at_every_call(true, false);
}

Test(seal_open, a_sink_that_fails_ends_it)
{
    fail_at_every_call(false, false);
}

/* The caller's callbacks may leave the error struct unfilled: the status is still stored in it. */
Test(seal_open, a_source_that_fails_without_a_message_ends_it)
{
    fail_at_every_call(true, true);
}

Test(seal_open, a_sink_that_fails_without_a_message_ends_it)
{
    fail_at_every_call(false, true);
}

Test(seal_open, a_key_that_fails_ends_it)
{
    struct attempt a = {.len = 100, .o = options(BLOBSEAL_LAYOUT_COMPACT)};

    fake.wraps = 0;
    fake.wrap = (struct fault){.at_call = 1, .status = BLOBSEAL_E_DENIED};
    seal_it(&a);
    cr_expect_eq(a.st, BLOBSEAL_E_DENIED);
    cr_expect_eq(a.to.calls, 0, "nothing is written before the key is wrapped");
    cr_expect_eq(a.from.calls, 0);
    fake.wrap = (struct fault){0};
}

Test(seal_open, a_source_that_changes_its_size_is_an_error)
{
    static const int64_t changes[] = {1, 16, 16384, MIB, -1, -16, -16384};

    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t k = 0; k < COUNT(changes); k++) {
            struct attempt a = {.len = sizes[i], .seekable = true, .o = options(BLOBSEAL_LAYOUT_COMPACT)};

            if ((int64_t)sizes[i] + changes[k] <= 0)
                continue;
            a.from.size = (uint64_t)((int64_t)sizes[i] + changes[k]); /* the size that the source reports */
            seal_it(&a);
            cr_expect_eq(a.st, BLOBSEAL_E_INPUT, "%s", a.err.text);
            cr_expect_not_null(strstr(a.err.text, changes[k] > 0 ? "shorter" : "longer"), "%s", a.err.text);
        }
    }
}

static bool stop_at_once(void *ctx, uint64_t done)
{
    *(uint64_t *)ctx = done;
    return false;
}

Test(seal_open, progress_stops_sealing_and_opening)
{
    struct blobseal_reader_options ro = {.size = sizeof ro, .threads = 2, .progress = stop_at_once};
    struct blobseal_memory from, to;
    struct blobseal_reader *reader;
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_error err;
    struct sealed s;
    uint64_t done = 0;

    for (int seekable = 0; seekable <= 1; seekable++) {
        struct attempt a = {.len = MAX_PLAIN, .seekable = seekable == 1, .o = options(BLOBSEAL_LAYOUT_COMPACT)};

        a.o.progress = stop_at_once;
        a.o.progress_ctx = &done;
        seal_it(&a);
        cr_expect_eq(a.st, BLOBSEAL_E_CANCELED);
        cr_expect(done > 0 && done <= MAX_PLAIN);
    }
    cr_assert_eq(seal_bytes(&s, plain, MAX_PLAIN, &kek, 1, NULL, &err), BLOBSEAL_OK);
    blobseal_source_memory(&source, &from, s.data, s.len);
    blobseal_sink_memory(&sink, &to);
    ro.progress_ctx = &done;
    cr_assert_eq(blobseal_reader_open(&reader, &source, &kek, 1, &ro, &err), BLOBSEAL_OK);
    cr_expect_eq(blobseal_reader_stream(reader, &sink, NULL, &err), BLOBSEAL_E_CANCELED);
    cr_expect_eq(err.status, BLOBSEAL_E_CANCELED);
    cr_expect(to.len <= MAX_PLAIN && memcmp(to.data, plain, to.len) == 0);
    blobseal_reader_close(reader);
    blobseal_free(to.data);
    sealed_clear(&s);
}

Test(seal_open, a_sink_without_functions_is_an_argument_error)
{
    const struct blobseal_sink none = {0};
    struct blobseal_source source;
    struct blobseal_memory memory;
    struct blobseal_kek *keks[1] = {NULL};

    blobseal_source_memory(&source, &memory, "x", 1);
    cr_assert_eq(blobseal_seal(&none, &source, keks, 1, NULL, NULL, NULL), BLOBSEAL_E_ARG);
}
