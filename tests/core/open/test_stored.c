/* SPDX-License-Identifier: Apache-2.0 */
/* Reading stored bytes at an offset: they are verified before they are copied. Checksums of segments. */
#include <stdlib.h>

#include "tests/support/stored.h"
#include "tests/support/suite.h"

#define LEN ((size_t)2 * BS_SEGMENT_LEN + 3 * BS_CHUNK_LEN + 100)

SUITE_WITH_PLAIN(stored, LEN);

/* The core of LEN bytes in a seekable source. */
struct scene {
    struct recipe r;
    uint8_t *core;
    size_t len;
    struct test_source from;
    struct blobseal_source source;
    struct bs_stored s;
    struct bs_worker *worker;
    struct blobseal_error err;
};

static void scene_open(struct scene *c, unsigned segments)
{
    *c = (struct scene){0};
    recipe_make(&c->r, 9, segments);
    c->core = recipe_core(&c->r, plain, LEN, &c->len);
    c->from = (struct test_source){.data = c->core, .len = c->len, .seekable = true};
    test_source_start(&c->source, &c->from);
    recipe_stored(&c->s, &c->r, &c->source, LEN);
    cr_assert_eq(bs_stored_take(&c->s, BS_NO_FRAME, &c->worker, &c->err), BLOBSEAL_OK);
}

static void scene_close(struct scene *c)
{
    bs_stored_return(&c->s, c->worker);
    bs_stored_clear(&c->s);
    test_source_end(&c->from);
    free(c->core);
}

static struct bs_chunked *chunked_of(const struct scene *c)
{
    return &((struct bs_open_state *)c->worker->state)->chunked;
}

/* ---- Reading at an offset ---------------------------------------------------------------------------------------- */

static const struct bs_range ranges[] = {
    {0, 1},
    {0, LEN},
    {BS_CHUNK_LEN - 1, 2},
    {BS_RUN_LEN - 1, 2},
    {BS_RUN_LEN, BS_RUN_LEN},
    {BS_SEGMENT_LEN - 1, 2},
    {BS_SEGMENT_LEN - BS_RUN_LEN / 2, BS_RUN_LEN},
    {5, 3 * BS_CHUNK_LEN},
    {LEN - 1, 1},
    {LEN - 101, 101},
};

Test(stored, ranges_are_copied_and_opened_alike)
{
    for (unsigned segments = 0; segments < 2; segments++) {
        struct scene c;

        scene_open(&c, segments);
        for (size_t i = 0; i < COUNT(ranges); i++) {
            struct vec_bytes dst = vec_copy(NULL, ranges[i].len);
            struct vec_bytes room = vec_copy(NULL, BS_STORED_ROOM(ranges[i].len));

            cr_assert_eq(bs_stored_pread(&c.s, c.worker, ranges[i], dst.p, &c.err), BLOBSEAL_OK, "%s", c.err.text);
            cr_expect_eq(memcmp(dst.p, plain + ranges[i].off, dst.len), 0, "range %zu", i);
            cr_assert_eq(bs_stored_open(&c.s, chunked_of(&c), ranges[i], c.worker->in, room.p, &c.err), BLOBSEAL_OK);
            cr_expect_eq(memcmp(room.p + bs_stored_skip(ranges[i].off), plain + ranges[i].off, dst.len), 0, "range %zu",
                         i);
            free(dst.p);
            free(room.p);
        }
        scene_close(&c);
    }
}

Test(stored, a_range_reads_only_the_chunks_that_hold_it)
{
    static const struct {
        struct bs_range range;
        size_t chunks;
    } costs[] = {
        {{0, 1}, 1},           {{BS_CHUNK_LEN - 1, 1}, 1}, {{BS_CHUNK_LEN - 1, 2}, 2}, {{BS_SEGMENT_LEN - 1, 2}, 2},
        {{7, BS_RUN_LEN}, 17},
    };
    struct scene c;
    uint8_t *dst = must_alloc(BS_RUN_LEN);

    scene_open(&c, 1);
    for (size_t i = 0; i < COUNT(costs); i++) {
        c.from.asked = 0;
        cr_assert_eq(bs_stored_pread(&c.s, c.worker, costs[i].range, dst, &c.err), BLOBSEAL_OK);
        cr_expect_eq(c.from.asked, costs[i].chunks * BS_SEALED_CHUNK_LEN, "range %zu: %llu bytes", i,
                     (unsigned long long)c.from.asked);
    }
    free(dst);
    scene_close(&c);
}

/* With a wrong chunk in the second run, the first run may be copied, but no byte of the second one. */
Test(stored, nothing_that_is_not_verified_is_copied)
{
    uint8_t *dst = must_alloc(2 * BS_RUN_LEN);
    struct scene c;

    scene_open(&c, 0);
    c.core[BS_CORE_HEADER_LEN + BS_SEALED_RUN_LEN + 3 * BS_SEALED_CHUNK_LEN] ^= 1;
    memset(dst, 0xEE, 2 * BS_RUN_LEN);
    cr_expect_eq(bs_stored_pread(&c.s, c.worker, (struct bs_range){0, 2 * BS_RUN_LEN}, dst, &c.err), BLOBSEAL_E_AUTH);
    cr_expect_eq(memcmp(dst, plain, BS_RUN_LEN), 0);
    for (size_t i = 0; i < BS_RUN_LEN; i++)
        cr_assert_eq(dst[BS_RUN_LEN + i], 0xEE, "byte %zu", i);
    cr_expect_not_null(strstr(c.err.text, "chunks 16 to 31, at byte 262496"), "%s", c.err.text);
    cr_expect_eq(bs_stored_pread(&c.s, c.worker, (struct bs_range){0, BS_RUN_LEN}, dst, &c.err), BLOBSEAL_OK);
    free(dst);
    scene_close(&c);
}

Test(stored, a_source_that_fails_is_an_input_error)
{
    struct scene c;
    uint8_t byte = 0xEE;

    scene_open(&c, 1);
    c.from.fault = (struct fault){.at_call = 1, .status = BLOBSEAL_E_INPUT};
    cr_expect_eq(bs_stored_pread(&c.s, c.worker, (struct bs_range){0, 1}, &byte, &c.err), BLOBSEAL_E_INPUT);
    cr_expect_eq(byte, 0xEE);
    c.from.fault = (struct fault){0};
    c.from.len = BS_CORE_HEADER_LEN + 100; /* truncated after it was opened */
    cr_expect_eq(bs_stored_pread(&c.s, c.worker, (struct bs_range){0, 1}, &byte, &c.err), BLOBSEAL_E_INPUT);
    cr_expect_eq(byte, 0xEE);
    scene_close(&c);
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

Test(stored, the_last_chunk_makes_the_length_authentic)
{
    struct scene c;

    scene_open(&c, 0);
    cr_expect_eq(bs_stored_check_end(&c.s, chunked_of(&c), c.worker->in, c.worker->out, &c.err), BLOBSEAL_OK);
    c.s.len -= 1;
    cr_expect_eq(bs_stored_check_end(&c.s, chunked_of(&c), c.worker->in, c.worker->out, &c.err), BLOBSEAL_E_AUTH);
    c.s.len = 2 * BS_SEGMENT_LEN + 2 * BS_CHUNK_LEN + 100; /* as if truncated by a chunk: none is marked as last */
    cr_expect_eq(bs_stored_check_end(&c.s, chunked_of(&c), c.worker->in, c.worker->out, &c.err), BLOBSEAL_E_AUTH);
    cr_expect_not_null(strstr(c.err.text, "the end of"), "%s", c.err.text);
    c.s.len = LEN;
    c.core[c.len - 1] ^= 1;
    cr_expect_eq(bs_stored_check_end(&c.s, chunked_of(&c), c.worker->in, c.worker->out, &c.err), BLOBSEAL_E_AUTH);
    scene_close(&c);
}

/* ---- Segments and their checksums -------------------------------------------------------------------------------- */

Test(stored, each_segment_is_compared_with_each_byte_of_its_checksum)
{
    const size_t stride = BS_SEALED_SEGMENT_LEN + BS_CHECKSUM_LEN;
    uint8_t *buf = must_alloc(stride);
    struct scene c;

    scene_open(&c, 1);
    for (uint64_t i = 0; i < 3; i++) {
        size_t start = BS_CORE_HEADER_LEN + i * stride, end = i < 2 ? start + stride : c.len;
        size_t places[2 + BS_CHECKSUM_LEN] = {start, end - BS_CHECKSUM_LEN - 1};

        for (size_t k = 0; k < BS_CHECKSUM_LEN; k++)
            places[2 + k] = end - 1 - k;
        cr_expect_eq(bs_stored_check_segment(&c.s, i, buf, &c.err), BLOBSEAL_OK);
        for (size_t k = 0; k < COUNT(places); k++) {
            c.core[places[k]] ^= 1;
            cr_expect_eq(bs_stored_check_segment(&c.s, i, buf, &c.err), BLOBSEAL_E_DAMAGED, "segment %u, byte %zu",
                         (unsigned)i, places[k] - start);
            cr_expect_eq(bs_stored_check_segment(&c.s, (i + 1) % 3, buf, &c.err), BLOBSEAL_OK);
            c.core[places[k]] ^= 1;
        }
    }
    c.from.len = c.len - 1;
    cr_expect_eq(bs_stored_check_segment(&c.s, 2, buf, &c.err), BLOBSEAL_E_INPUT);
    free(buf);
    scene_close(&c);
}

Test(stored, a_segment_without_a_checksum_is_not_even_read)
{
    struct scene c;

    scene_open(&c, 0);
    memset(c.core + BS_CORE_HEADER_LEN, 0, BS_SEALED_SEGMENT_LEN);
    cr_expect_eq(bs_stored_check_segment(&c.s, 0, NULL, &c.err), BLOBSEAL_OK);
    cr_expect_eq(c.from.calls, 0);
    scene_close(&c);
}

Test(stored, a_wrong_checksum_is_damage_and_a_right_one_means_forgery)
{
    struct scene c;

    scene_open(&c, 1);
    c.s.core_offset = 1000;
    cr_expect_eq(bs_segment_failed(&c.s, 1, true, 500, &c.err), BLOBSEAL_E_AUTH);
    cr_expect_not_null(strstr(c.err.text, "segment 1, bytes 1050704 to 1051203"), "%s", c.err.text);
    cr_expect_eq(bs_segment_failed(&c.s, 1, false, 500, &c.err), BLOBSEAL_E_DAMAGED);
    cr_expect_not_null(strstr(c.err.text, "segment 1, bytes 1050704 to 1051203"), "%s", c.err.text);
    c.s.core_offset = 0;
    scene_close(&c);
}
