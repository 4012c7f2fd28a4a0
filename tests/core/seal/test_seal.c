/* SPDX-License-Identifier: Apache-2.0 */
/* From a source to a sink: what is read and written, and that no plaintext is written whatever fails. */
#include <stdlib.h>

#include "tests/support/suite.h"

#define LEN ((size_t)2 * BS_SEGMENT_LEN + 300000)

static struct fake_kek fake = {.kid = "a-key"};
static struct blobseal_kek *kek;
static uint8_t *plain;

static void start(void)
{
    kek = fake_kek_open(&fake);
    plain = must_alloc(LEN);
    fill_pattern(plain, LEN);
}

static void stop(void)
{
    blobseal_kek_close(kek);
    free(plain);
}

SUITE_WITH(seal, start, stop);

/* Arguments of a call of blobseal_seal(), from a file or a pipe into a file or a pipe. */
struct scene {
    struct test_source from;
    struct test_sink to;
    struct blobseal_seal_options o;
    struct blobseal_seal_result result;
    struct blobseal_error err;
};

static struct scene scene_of(unsigned way, unsigned threads)
{
    return (struct scene){.from = {.data = plain, .len = LEN, .seekable = way % 2 == 0},
                          .to = {.seekable = way / 2 == 0, .cap = LEN + 100000},
                          .o = {.size = sizeof(struct blobseal_seal_options), .threads = threads},
                          .result = {.size = sizeof(struct blobseal_seal_result)}};
}

static enum blobseal_status run(struct scene *s)
{
    struct blobseal_source source;
    struct blobseal_sink sink;
    enum blobseal_status st;

    test_source_start(&source, &s->from);
    test_sink_start(&sink, &s->to);
    st = blobseal_seal(&sink, &source, &kek, 1, &s->o, &s->result, &s->err);
    cr_expect_not(s->from.misused);
    cr_expect_not(s->to.misused);
    cr_expect_not(has_pattern(s->to.data, s->to.seekable ? s->to.cap : s->to.pos), "plaintext in the sink");
    test_source_end(&s->from);
    return st;
}

Test(seal, every_byte_is_read_and_written_once)
{
    for (unsigned way = 0; way < 4; way++)
        for (unsigned threads = 1; threads <= 3; threads += 2) {
            struct scene s = scene_of(way, threads);
            struct opened opened;

            cr_assert_eq(run(&s), BLOBSEAL_OK, "%s", s.err.text);
            cr_expect_eq(s.result.plain_bytes, LEN);
            cr_expect_eq(s.result.sealed_bytes, s.to.bytes);
            if (s.from.seekable)
                cr_expect_eq(s.from.asked, LEN + 1, "one more, to see whether the source has grown");
            cr_assert_eq(open_bytes(&opened, s.to.data, s.to.bytes, &kek, 1, NULL, &s.err), BLOBSEAL_OK);
            cr_expect(opened.len == LEN && memcmp(opened.data, plain, LEN) == 0);
            opened_clear(&opened);
            test_sink_end(&s.to);
        }
}

/* The contents of a memory source are sealed without a copy. The caller's memory must not be changed by that. */
Test(seal, the_source_stays_as_it_is)
{
    uint8_t *before = must_copy(plain, LEN);
    struct sealed sealed;

    cr_assert_eq(seal_bytes(&sealed, plain, LEN, &kek, 1, NULL, NULL), BLOBSEAL_OK);
    cr_expect_eq(memcmp(plain, before, LEN), 0);
    sealed_clear(&sealed);
    free(before);
}

/* run() searches the output for plaintext. */
Test(seal, a_fault_at_any_byte_is_reported_and_shows_no_plaintext)
{
    static const uint64_t places[] = {1,      BS_RUN_LEN - 1, BS_RUN_LEN + 1, BS_SEGMENT_LEN - 1, BS_SEGMENT_LEN + 1,
                                      LEN - 1};

    for (unsigned way = 0; way < 4; way++)
        for (size_t i = 0; i < COUNT(places); i++)
            for (unsigned of_sink = 0; of_sink < 2; of_sink++) {
                struct scene s = scene_of(way, 1 + (unsigned)i % 3);
                const struct fault fault = {.at_byte = places[i],
                                            .status = of_sink ? BLOBSEAL_E_OUTPUT : BLOBSEAL_E_INPUT};

                if (of_sink)
                    s.to.fault = fault;
                else
                    s.from.fault = fault;
                cr_expect_eq(run(&s), fault.status, "way %u, byte %zu", way, (size_t)places[i]);
                cr_expect_eq(s.err.status, fault.status);
                cr_expect_eq(s.result.sealed_bytes, 0, "there is no result");
                test_sink_end(&s.to);
            }
}

/* ---- Arguments --------------------------------------------------------------------------------------------------- */

Test(seal, a_source_has_a_function_and_a_size_that_a_blob_can_have)
{
    struct test_source from = {.data = plain, .len = LEN, .seekable = true};
    struct blobseal_source source;
    struct blobseal_memory to;
    struct blobseal_sink sink;
    struct blobseal_error err;

    test_source_start(&source, &from);
    blobseal_sink_memory(&sink, &to);
    source.size = BS_MAX_PLAIN + 1;
    cr_expect_eq(blobseal_seal(&sink, &source, &kek, 1, NULL, NULL, &err), BLOBSEAL_E_ARG);
    source.size = BLOBSEAL_SIZE_UNKNOWN;
    cr_expect_eq(blobseal_seal(&sink, &source, &kek, 1, NULL, NULL, &err), BLOBSEAL_E_ARG);
    source.pread = NULL;
    source.read = NULL;
    cr_expect_eq(blobseal_seal(&sink, &source, &kek, 1, NULL, NULL, &err), BLOBSEAL_E_ARG);
    cr_expect_eq(to.len, 0, "nothing was written");
    cr_expect_eq(from.calls, 0, "and nothing read");
    cr_expect_eq(fake.wraps, 0, "and no key asked");
    test_source_end(&from);
}

Test(seal, a_detached_envelope_needs_a_result_to_go_to)
{
    struct scene s = scene_of(0, 1);
    struct blobseal_source source;
    struct blobseal_sink sink;

    s.o.layout = BLOBSEAL_LAYOUT_DETACHED;
    test_source_start(&source, &s.from);
    test_sink_start(&sink, &s.to);
    cr_expect_eq(blobseal_seal(&sink, &source, &kek, 1, &s.o, NULL, &s.err), BLOBSEAL_E_ARG);
    cr_expect_eq(s.to.calls, 0);
    test_source_end(&s.from);
    test_sink_end(&s.to);
}

/* A sequential source of unknown size that ends at the end of a segment: the last segment is empty. */
Test(seal, a_source_that_ends_with_a_segment_gets_an_empty_one)
{
    for (unsigned way = 0; way < 4; way++) {
        struct scene s = scene_of(way, 2);

        s.from.len = BS_SEGMENT_LEN;
        s.o.layout = BLOBSEAL_LAYOUT_DETACHED;
        cr_assert_eq(run(&s), BLOBSEAL_OK);
        cr_expect_eq(s.to.bytes, BS_CORE_HEADER_LEN + BS_SEALED_SEGMENT_LEN + 2 * BS_CHECKSUM_LEN + BS_GCM_TAG_LEN);
        blobseal_free(s.result.envelope);
        test_sink_end(&s.to);
    }
}
