/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All stored bytes in order: what is written before a fault is found, and whether it is reported as damage or forgery.
 */
#include <stdlib.h>

#include "tests/support/stored.h"
#include "tests/support/suite.h"

#define LEN    ((size_t)3 * BS_SEGMENT_LEN + 5 * BS_CHUNK_LEN + 100)
#define STRIDE (BS_SEALED_SEGMENT_LEN + BS_CHECKSUM_LEN)

SUITE_WITH_PLAIN(stored_stream, LEN);

static struct recipe r;
static uint8_t *core;
static size_t core_len;

static void make_core(size_t len, unsigned segments)
{
    recipe_make(&r, 9, segments);
    core = recipe_core(&r, plain, len, &core_len);
}

/* Ways to open: bit 0 means from a pipe, bit 1 means into a pipe. VERIFY is from a file, without a sink. */
enum { FROM_PIPE = 1, TO_PIPE = 2, VERIFY = 4, NUM_WAYS };

/* Open the first @n bytes as a core with @len stored bytes. *@written receives the number of bytes in the sink. */
static enum blobseal_status stream(unsigned way, size_t n, size_t len, uint64_t *written, struct blobseal_error *err)
{
    bool from_pipe = (way & FROM_PIPE) != 0;
    struct test_source from = {.data = core, .len = n, .seekable = !from_pipe, .pos = BS_CORE_HEADER_LEN};
    struct test_sink to = {.seekable = (way & TO_PIPE) == 0, .cap = LEN};
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct bs_stored s;
    uint64_t done = 0;
    enum blobseal_status st;

    test_source_start(&source, &from);
    test_sink_start(&sink, &to);
    recipe_stored(&s, &r, &source, from_pipe ? BLOBSEAL_SIZE_UNKNOWN : len);
    st = bs_stored_stream(&s, OUTPUT(way == VERIFY ? NULL : &sink, {0}), &done, err);
    cr_expect(test_sink_is_part_of(&to, plain, LEN), "way %u: what is written is plaintext, in its place", way);
    if (st == BLOBSEAL_OK) {
        cr_expect_eq(done, len, "way %u", way);
        cr_expect(way == VERIFY || test_sink_is(&to, plain, len), "way %u", way);
    }
    cr_expect_eq(s.consumed, from_pipe);
    if (from_pipe)
        cr_expect_eq(bs_stored_stream(&s, OUTPUT(NULL, {0}), &done, NULL), BLOBSEAL_E_ARG);
    *written = to.bytes;
    bs_stored_clear(&s);
    test_source_end(&from);
    test_sink_end(&to);
    return st;
}

Test(stored_stream, every_length_comes_out_in_every_way)
{
    static const size_t lens[] = {0,
                                  1,
                                  BS_CHUNK_LEN,
                                  BS_RUN_LEN - BS_CHUNK_LEN,
                                  BS_RUN_LEN - BS_CHUNK_LEN + 1,
                                  BS_RUN_LEN - 1,
                                  BS_RUN_LEN,
                                  BS_RUN_LEN + 1,
                                  BS_SEGMENT_LEN,
                                  BS_SEGMENT_LEN + 1,
                                  LEN};
    struct blobseal_error err = {0};
    uint64_t written;

    for (size_t i = 0; i < COUNT(lens); i++)
        for (unsigned segments = 0; segments < 2; segments++) {
            make_core(lens[i], segments);
            for (unsigned way = 0; way < NUM_WAYS; way++)
                cr_expect_eq(stream(way, core_len, lens[i], &written, &err), BLOBSEAL_OK, "%s", err.text);
            free(core);
        }
}

static bool stop(void *ctx, uint64_t bytes)
{
    *(uint64_t *)ctx = bytes;
    return false;
}

/* With a worker of the context or with workers of its own. */
Test(stored_stream, a_callback_stops_it)
{
    static const size_t lens[] = {100, BS_SEGMENT_LEN + 1};

    for (size_t i = 0; i < COUNT(lens); i++) {
        struct test_source from = {.seekable = true, .pos = BS_CORE_HEADER_LEN};
        struct blobseal_error err = {0};
        struct blobseal_source source;
        uint64_t seen = 0, done;
        struct bs_stored s;

        make_core(lens[i], 1);
        from.data = core;
        from.len = core_len;
        test_source_start(&source, &from);
        recipe_stored(&s, &r, &source, lens[i]);
        cr_expect_eq(bs_stored_stream(&s, OUTPUT(NULL, {stop, &seen}), &done, &err), BLOBSEAL_E_CANCELED);
        cr_expect_eq(err.status, BLOBSEAL_E_CANCELED);
        cr_expect(seen > 0 && seen <= lens[i]);
        bs_stored_clear(&s);
        test_source_end(&from);
        free(core);
    }
}

/*
 * A changed byte is damage if the checksum was not changed, and forgery if the checksum matches it. A segment for a
 * pipe is held back until all of it is verified.
 */
Test(stored_stream, the_checksum_decides_between_damage_and_forgery)
{
    static const size_t places[] = {5, BS_SEALED_RUN_LEN + 5, BS_SEALED_SEGMENT_LEN - 1};
    struct blobseal_error err = {0};
    uint64_t written;

    make_core(LEN, 1);
    for (size_t i = 0; i < COUNT(places); i++)
        for (uint64_t segment = 0; segment < 3; segment++) {
            size_t at = BS_CORE_HEADER_LEN + segment * STRIDE + places[i];

            for (int forged = 0; forged < 2; forged++) {
                core[at] ^= 1;
                if (forged)
                    refix(core, core_len);
                for (unsigned way = 0; way < NUM_WAYS; way++) {
                    cr_expect_eq(stream(way, core_len, LEN, &written, &err),
                                 forged ? BLOBSEAL_E_AUTH : BLOBSEAL_E_DAMAGED, "way %u, segment %u", way,
                                 (unsigned)segment);
                    if ((way & TO_PIPE) != 0)
                        cr_expect_eq(written, segment * BS_SEGMENT_LEN, "way %u, segment %u", way, (unsigned)segment);
                }
                core[at] ^= 1;
                refix(core, core_len);
            }
        }
    free(core);
}

Test(stored_stream, a_checksum_counts_where_every_tag_is_right)
{
    struct blobseal_error err = {0};
    uint64_t written;

    make_core(LEN, 1);
    for (size_t segment = 0; segment < 4; segment++)
        for (size_t k = 1; k <= BS_CHECKSUM_LEN; k++) {
            size_t at = (segment < 3 ? BS_CORE_HEADER_LEN + (segment + 1) * STRIDE : core_len) - k;

            core[at] ^= 0x40;
            cr_expect_eq(stream((unsigned)k % NUM_WAYS, core_len, LEN, &written, &err), BLOBSEAL_E_DAMAGED,
                         "segment %zu, byte %zu from its end", segment, k);
            core[at] ^= 0x40;
        }
    free(core);
}

/* Without checksums, damage cannot be distinguished from forgery. */
Test(stored_stream, a_bare_segment_is_not_authentic)
{
    struct blobseal_error err = {0};
    uint64_t written;

    make_core(LEN, 0);
    core[BS_CORE_HEADER_LEN + BS_SEALED_SEGMENT_LEN + 7] ^= 1;
    for (unsigned way = 0; way < NUM_WAYS; way++)
        cr_expect_eq(stream(way, core_len, LEN, &written, &err), BLOBSEAL_E_AUTH);
    free(core);
}

/* ---- Pipes ------------------------------------------------------------------------------------------------------- */

/* A pipe that ends too early is never accepted as a complete blob. */
Test(stored_stream, a_pipe_that_ends_early_is_damage_or_not_authentic)
{
    struct blobseal_error err = {0};
    uint64_t written;

    for (unsigned segments = 0; segments < 2; segments++) {
        size_t stride = BS_SEALED_SEGMENT_LEN + segments * BS_CHECKSUM_LEN;

        make_core(BS_SEGMENT_LEN + BS_CHUNK_LEN + 100, segments);
        for (size_t n = BS_CORE_HEADER_LEN, left; n<core_len; n += left> 40030 ? 39999 : left > 30 ? left - 30 : 1) {
            enum blobseal_status st = stream(FROM_PIPE | TO_PIPE, n, 0, &written, &err);

            left = core_len - n;
            cr_expect(st == BLOBSEAL_E_DAMAGED || (segments == 0 && st == BLOBSEAL_E_AUTH), "%zu bytes: %s", n,
                      blobseal_status_code(st));
            if (n < BS_CORE_HEADER_LEN + stride)
                cr_expect_eq(written, 0);
        }
        cr_expect_eq(stream(FROM_PIPE, BS_CORE_HEADER_LEN + stride, 0, &written, &err), BLOBSEAL_E_DAMAGED);
        cr_expect_not_null(strstr(err.text, "truncated"), "%s", err.text);
        free(core);
    }
}

Test(stored_stream, segment_by_segment_the_last_is_known)
{
    struct blobseal_error err = {0};

    for (size_t full = 0; full < 3; full++) {
        size_t len = full * BS_SEGMENT_LEN + (full == 1 ? 0 : 77), at = 0, size = bs_segment_buffer_size(true, 0);
        struct test_source from = {.pos = BS_CORE_HEADER_LEN, .max_piece = 100000};
        struct blobseal_source source;
        struct bs_worker worker = {0};
        struct bs_stored s;
        bool last = false;

        make_core(len, 1);
        from.data = core;
        from.len = core_len;
        test_source_start(&source, &from);
        recipe_stored(&s, &r, &source, BLOBSEAL_SIZE_UNKNOWN);
        cr_assert_eq(bs_worker_init(&worker, size, size, &err), BLOBSEAL_OK);
        cr_assert_eq(bs_open_state_new(&s, &worker.state, &err), BLOBSEAL_OK);
        for (uint64_t i = 0; i <= full; i++) {
            cr_assert_eq(bs_stored_next_segment(&s, &worker, i, &last, &err), BLOBSEAL_OK, "%s", err.text);
            cr_expect_eq(last, i == full);
            cr_expect_eq(worker.done, i < full ? BS_SEGMENT_LEN : len % BS_SEGMENT_LEN);
            cr_expect_eq(memcmp(worker.out, plain + at, worker.done), 0);
            at += worker.done;
        }
        cr_expect_eq(bs_stored_next_segment(&s, &worker, BS_MAX_CHUNKS / BS_SEGMENT_CHUNKS, &last, &err),
                     BLOBSEAL_E_DAMAGED);
        cr_expect_not_null(strstr(err.text, "longer than any blob"), "%s", err.text);
        bs_open_state_free(worker.state);
        bs_worker_clear(&worker);
        bs_stored_clear(&s);
        test_source_end(&from);
        free(core);
    }
}
