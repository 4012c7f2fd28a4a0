/* SPDX-License-Identifier: Apache-2.0 */
/* The content of a blob, raw or decompressed: the same functions read, open and stream both. */
#include <stdlib.h>

#include "tests/support/stored.h"
#include "tests/support/suite.h"

#define LEN       ((size_t)2 * BS_SEGMENT_LEN + 70000)
#define FRAME_LEN BS_ZFRAME_PLAIN_LEN

SUITE_WITH_PLAIN(content, LEN);

/* Content that is not zstd content, zstd content that is decompressed, and zstd content that is read raw. */
enum kind { AS_GIVEN, DECOMPRESSED, RAW, NUM_KINDS };

struct scene {
    struct recipe r;
    struct stored b; /* the bytes that were sealed */
    uint8_t *core;
    size_t core_len;
    struct test_source from;
    struct blobseal_source source;
    struct bs_content c;
    const uint8_t *want; /* the expected content */
    size_t want_len;
    struct blobseal_error err;
};

/* Start a scene in which @b is sealed. The scene takes ownership of @b. */
static void scene_with(struct scene *s, struct stored b, enum kind kind, bool pipe)
{
    *s = (struct scene){.b = b};
    recipe_make(&s->r, 9, 1);
    s->r.core.content = kind == AS_GIVEN ? BLOBSEAL_CONTENT_AS_GIVEN : BLOBSEAL_CONTENT_ZSTD;
    recipe_derive(&s->r);
    s->core = recipe_core(&s->r, b.p, b.len, &s->core_len);
    s->from = (struct test_source){
        .data = s->core, .len = s->core_len, .seekable = !pipe, .pos = BS_CORE_HEADER_LEN, .max_piece = 300000};
    test_source_start(&s->source, &s->from);
    s->c = (struct bs_content){.decompress = kind == DECOMPRESSED, .max_frames = 100, .len = BLOBSEAL_SIZE_UNKNOWN};
    recipe_stored(&s->c.stored, &s->r, &s->source, pipe ? BLOBSEAL_SIZE_UNKNOWN : b.len);
    s->want = kind == RAW ? b.p : plain;
    s->want_len = kind == RAW ? b.len : LEN;
}

static void scene_open(struct scene *s, enum kind kind, bool pipe)
{
    struct stored b = {0};

    if (kind == AS_GIVEN)
        stored_add(&b, plain, LEN);
    else
        b = stored_make(plain, LEN, FRAME_LEN);
    scene_with(s, b, kind, pipe);
}

static void scene_close(struct scene *s)
{
    bs_seek_clear(&s->c.table);
    bs_stored_clear(&s->c.stored);
    test_source_end(&s->from);
    free(s->core);
    free(s->b.p);
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

Test(content, the_length_is_that_of_what_is_read)
{
    for (enum kind kind = 0; kind < NUM_KINDS; kind++) {
        struct scene s;

        scene_open(&s, kind, false);
        cr_assert_eq(bs_content_check_size(&s.c, &s.err), BLOBSEAL_OK, "%s", s.err.text);
        cr_expect_eq(s.c.len, s.want_len, "kind %d", kind);
        cr_expect_eq(s.c.table.num, kind == DECOMPRESSED ? (LEN + FRAME_LEN - 1) / FRAME_LEN : 0);
        scene_close(&s);
    }
}

Test(content, the_end_is_opened_before_anything_else)
{
    for (enum kind kind = 0; kind < NUM_KINDS; kind++) {
        struct scene s;

        scene_open(&s, kind, false);
        s.core[s.core_len - BS_CHECKSUM_LEN - 1] ^= 1; /* in the last tag */
        cr_expect_eq(bs_content_check_size(&s.c, &s.err), BLOBSEAL_E_AUTH);
        cr_expect_eq(s.c.table.num, 0, "no table is read from what is not authentic");
        s.core[s.core_len - BS_CHECKSUM_LEN - 1] ^= 1;
        s.from.fault = (struct fault){.at_call = s.from.calls + 1, .status = BLOBSEAL_E_INPUT, .once = true};
        cr_expect_eq(bs_content_check_size(&s.c, &s.err), BLOBSEAL_E_INPUT, "nor after an error");
        scene_close(&s);
    }
}

Test(content, ranges_are_the_same_with_and_without_a_copy)
{
    static const struct bs_range ranges[] = {
        {0, 1},
        {0, BS_SEGMENT_LEN},
        {BS_CHUNK_LEN - 1, 2},
        {FRAME_LEN - 1, 2},
        {FRAME_LEN, FRAME_LEN},
        {FRAME_LEN + 1, BS_SEGMENT_LEN},
        {BS_SEGMENT_LEN - 5, 10},
        {LEN - 1, 1},
        {LEN - 70001, 70001},
    };
    uint8_t *dst = must_alloc(LEN);

    for (enum kind kind = 0; kind < NUM_KINDS; kind++) {
        struct bs_worker worker = {0};
        struct scene s;

        scene_open(&s, kind, false);
        cr_assert_eq(bs_content_check_size(&s.c, NULL), BLOBSEAL_OK);
        cr_assert_eq(bs_worker_init(&worker, BS_SEALED_RUN_LEN, BS_STORED_ROOM(BS_SEGMENT_LEN), NULL), BLOBSEAL_OK);
        cr_assert_eq(bs_open_state_new(&s.c.stored, &worker.state, NULL), BLOBSEAL_OK);
        for (size_t i = 0; i < COUNT(ranges); i++) {
            const uint8_t *at = NULL;
            size_t off = ranges[i].off, len = ranges[i].len;

            memset(dst, 0xEE, LEN);
            cr_assert_eq(bs_content_pread(&s.c, dst, len, off, &s.err), BLOBSEAL_OK, "%s", s.err.text);
            cr_expect_eq(memcmp(dst, s.want + off, len), 0, "kind %d, range %zu", kind, i);
            cr_expect(len == LEN || dst[len] == 0xEE, "nothing is written after them");
            cr_assert_eq(bs_content_open(&s.c, &worker, len, off, &at, &s.err), BLOBSEAL_OK, "%s", s.err.text);
            cr_expect(at >= worker.out && at + len <= worker.out + worker.out_size);
            cr_expect_eq(memcmp(at, s.want + off, len), 0, "kind %d, range %zu", kind, i);
        }
        bs_open_state_free(worker.state);
        bs_worker_clear(&worker);
        scene_close(&s);
    }
    free(dst);
}

/* ---- Everything -------------------------------------------------------------------------------------------------- */

/* Record the reported progress, and stop after `stop_after` calls. */
struct progress {
    uint64_t last;
    unsigned calls, stop_after;
};

static bool note(void *ctx, uint64_t done)
{
    struct progress *p = ctx;

    cr_expect_geq(done, p->last, "it never goes back");
    p->last = done;
    return ++p->calls != p->stop_after;
}

Test(content, everything_comes_out_and_is_counted)
{
    for (enum kind kind = 0; kind < NUM_KINDS; kind++)
        for (unsigned way = 0; way < 6; way++) { /* from a file or a pipe; into a file, a pipe or nothing */
            struct test_sink to = {.seekable = way / 2 == 0, .cap = 2 * LEN};
            struct progress p = {0};
            struct blobseal_sink sink;
            struct scene s;
            uint64_t n = 0;

            scene_open(&s, kind, way % 2 == 1);
            if (way % 2 == 0)
                cr_assert_eq(bs_content_check_size(&s.c, NULL), BLOBSEAL_OK);
            test_sink_start(&sink, &to);
            cr_assert_eq(bs_content_stream(&s.c, OUTPUT(way / 2 == 2 ? NULL : &sink, {note, &p}), &n, &s.err),
                         BLOBSEAL_OK, "%s", s.err.text);
            cr_expect_eq(n, s.want_len, "kind %d, way %u", kind, way);
            cr_expect_eq(p.last, s.want_len, "kind %d, way %u", kind, way);
            if (way / 2 != 2) {
                cr_expect_eq(to.bytes, s.want_len);
                cr_expect_eq(memcmp(to.data, s.want, s.want_len), 0, "kind %d, way %u", kind, way);
            }
            test_sink_end(&to);
            scene_close(&s);
        }
}

Test(content, progress_can_stop_it)
{
    for (enum kind kind = 0; kind < NUM_KINDS; kind++)
        for (int pipe = 0; pipe <= 1; pipe++) {
            struct progress p = {.stop_after = 2};
            struct scene s;
            uint64_t n = 0;

            scene_open(&s, kind, pipe == 1);
            s.c.stored.threads = 1;
            if (pipe == 0)
                cr_assert_eq(bs_content_check_size(&s.c, NULL), BLOBSEAL_OK);
            cr_expect_eq(bs_content_stream(&s.c, OUTPUT(NULL, {note, &p}), &n, &s.err), BLOBSEAL_E_CANCELED);
            cr_expect_geq(p.calls, 2, "kind %d, pipe %d", kind, pipe);
            scene_close(&s);
        }
}

Test(content, an_error_of_the_sink_is_passed_on)
{
    for (enum kind kind = 0; kind < NUM_KINDS; kind++)
        for (int pipe = 0; pipe <= 1; pipe++) {
            struct test_sink to = {.cap = 2 * LEN, .fault = {.at_call = 2, .status = BLOBSEAL_E_OUTPUT}};
            struct blobseal_sink sink;
            struct scene s;
            uint64_t n = 0;

            scene_open(&s, kind, pipe == 1);
            if (pipe == 0)
                cr_assert_eq(bs_content_check_size(&s.c, NULL), BLOBSEAL_OK);
            test_sink_start(&sink, &to);
            cr_expect_eq(bs_content_stream(&s.c, OUTPUT(&sink, {0}), &n, &s.err), BLOBSEAL_E_OUTPUT);
            cr_expect_eq(to.calls, 2);
            cr_expect(test_sink_is_part_of(&to, s.want, s.want_len));
            test_sink_end(&to);
            scene_close(&s);
        }
}

/* The content is authentic but incomplete. This is noticed only at its end, after all frames were released. */
Test(content, from_a_pipe_the_content_must_be_complete)
{
    struct stored whole = stored_make(plain, LEN, FRAME_LEN);
    size_t table_len = bs_seek_encoded_len((LEN + FRAME_LEN - 1) / FRAME_LEN);

    for (int with_part_of_table = 0; with_part_of_table <= 1; with_part_of_table++) {
        struct stored b = {0};
        struct scene s;
        uint64_t n = 0;

        stored_add(&b, whole.p, whole.len - (with_part_of_table ? 1 : table_len));
        scene_with(&s, b, DECOMPRESSED, true);
        cr_expect_eq(bs_content_stream(&s.c, OUTPUT(NULL, {0}), &n, &s.err), BLOBSEAL_E_FORMAT);
        cr_expect_eq(n, LEN);
        scene_close(&s);
    }
    free(whole.p);
}
