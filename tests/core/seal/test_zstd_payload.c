/* SPDX-License-Identifier: Apache-2.0 */
/* Zstd content as a payload: frames of 1 MiB whatever the pieces, the seek table after them, and its limit. */
#include <stdlib.h>

#include "tests/support/suite.h"

#define MIB  ((size_t)1 << 20)
#define MOST (2 * MIB + 12345)

SUITE_WITH_PLAIN(zstd_payload, MOST);

/* A payload of zstd content that is written to a sink. */
struct scene {
    struct recipe r;
    struct bs_new_blob blob;
    struct test_sink to;
    struct blobseal_sink sink;
    struct bs_payload payload;
    struct blobseal_error err;
};

static void scene_open(struct scene *s, struct fault fault)
{
    *s = (struct scene){.to = {.cap = 2 * MOST, .fault = fault}};
    recipe_make(&s->r, 4, 1);
    s->r.core.content = BLOBSEAL_CONTENT_ZSTD;
    recipe_derive(&s->r);
    s->blob = (struct bs_new_blob){.core = s->r.core, .keys = &s->r.keys};
    test_sink_start(&s->sink, &s->to);
    cr_assert_eq(bs_payload_start(&s->payload, &s->blob, &s->sink, NULL), BLOBSEAL_OK);
}

static void scene_close(struct scene *s)
{
    bs_payload_clear(&s->payload);
    test_sink_end(&s->to);
}

static enum blobseal_status compress(struct scene *s, size_t len, size_t piece)
{
    struct bs_zstd_writer *w = bs_zstd_writer_new(1);
    enum blobseal_status st = BLOBSEAL_OK;

    cr_assert_not_null(w);
    for (size_t at = 0, n; at < len && st == BLOBSEAL_OK; at += n) {
        n = piece < len - at ? piece : len - at;
        st = bs_zstd_writer_add(w, &s->payload, plain + at, n, &s->err);
    }
    if (st == BLOBSEAL_OK)
        st = bs_zstd_writer_end(w, &s->payload, &s->err);
    if (st == BLOBSEAL_OK)
        st = bs_payload_end(&s->payload, &s->err);
    bs_zstd_writer_free(w);
    return st;
}

/* Return the blob that contains the payload. Free with free(). */
static uint8_t *blob_with(const struct scene *s, size_t *len)
{
    size_t core_len = BS_CORE_HEADER_LEN + s->to.bytes;
    uint8_t *core = must_alloc(core_len), *blob;
    char *envelope = recipe_envelope(&s->r, 1, &kek, 1);
    const struct slot_text slot = {envelope, 1};

    memcpy(core, s->r.core.raw, BS_CORE_HEADER_LEN);
    memcpy(core + BS_CORE_HEADER_LEN, s->to.data, s->to.bytes);
    blob = put_in_frame(&s->r.core, BLOBSEAL_LAYOUT_COMPACT, slot, slot, core, core_len, len);
    free(envelope);
    free(core);
    return blob;
}

/*
 * Open the blob with a limit of @num frames and of one frame less: it has exactly @num frames, and @len bytes of
 * plaintext.
 */
static void expect_content(const uint8_t *blob, size_t blob_len, size_t len, uint32_t num)
{
    for (uint32_t limit = num > 1 ? num - 1 : num; limit <= num; limit++) {
        const struct blobseal_reader_options o = {.size = sizeof o, .max_frames = limit, .threads = 1};
        struct blobseal_memory from, to;
        struct blobseal_source source;
        struct blobseal_reader *reader;
        struct blobseal_sink sink;
        enum blobseal_status st;

        blobseal_source_memory(&source, &from, blob, blob_len);
        blobseal_sink_memory(&sink, &to);
        st = blobseal_reader_open(&reader, &source, &kek, 1, &o, NULL);
        cr_expect_eq(st, limit < num ? BLOBSEAL_E_POLICY : BLOBSEAL_OK, "%u frames", limit);
        if (st == BLOBSEAL_OK) {
            cr_expect_eq(blobseal_reader_stream(reader, &sink, NULL, NULL), BLOBSEAL_OK);
            cr_expect(to.len == len && (len == 0 || memcmp(to.data, plain, len) == 0), "%zu bytes", len);
        }
        blobseal_reader_close(reader);
        blobseal_free(to.data);
    }
}

Test(zstd_payload, a_frame_has_1_mib_whatever_the_pieces)
{
    static const size_t lens[] = {0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, MOST}, pieces[] = {MOST, MIB, 70001, MIB + 1};

    for (size_t i = 0; i < COUNT(lens); i++) {
        uint8_t *first = NULL;
        size_t first_len = 0;

        for (size_t k = 0; k < COUNT(pieces); k++) {
            struct scene s;
            size_t len;
            uint8_t *blob;

            scene_open(&s, (struct fault){0});
            cr_assert_eq(compress(&s, lens[i], pieces[k]), BLOBSEAL_OK, "%s", s.err.text);
            if (k == 0) {
                blob = blob_with(&s, &len);
                expect_content(blob, len, lens[i], lens[i] == 0 ? 1 : (uint32_t)((lens[i] + MIB - 1) / MIB));
                free(blob);
                first_len = s.to.bytes;
                first = must_copy(s.to.data, first_len);
            }
            cr_expect(s.to.bytes == first_len && memcmp(s.to.data, first, first_len) == 0, "%zu bytes, pieces of %zu",
                      lens[i], pieces[k]);
            scene_close(&s);
        }
        free(first);
    }
}

Test(zstd_payload, too_many_frames_are_refused_before_they_are_written)
{
    struct bs_seek_table full = {.num = BS_MAX_FRAMES};
    const struct bs_slice frame = {plain, 100};
    struct scene s;

    scene_open(&s, (struct fault){0});
    cr_expect_eq(bs_zstd_put_frame(&s.payload, &full, frame, 100, &s.err), BLOBSEAL_E_POLICY);
    cr_expect_eq(s.payload.len, 0, "nothing waits to be sealed");
    cr_expect_eq(full.num, BS_MAX_FRAMES);
    scene_close(&s);
}

Test(zstd_payload, a_frame_is_recorded_with_both_lengths)
{
    const struct bs_slice frame = {plain, 100};
    struct bs_seek_table t = {0};
    struct scene s;

    scene_open(&s, (struct fault){0});
    for (size_t i = 1; i <= 40; i++) {
        cr_assert_eq(bs_zstd_put_frame(&s.payload, &t, frame, 7, &s.err), BLOBSEAL_OK);
        cr_expect(t.num == i && bs_seek_stored(&t) == 100 * i && bs_seek_plain(&t) == 7 * i);
        cr_expect_eq(s.payload.len, 100 * i);
    }
    cr_assert_eq(bs_zstd_put_table(&s.payload, &t, &s.err), BLOBSEAL_OK);
    cr_expect_eq(s.payload.len, 4000 + bs_seek_encoded_len(40));
    bs_seek_clear(&t);
    scene_close(&s);
}

Test(zstd_payload, an_error_of_the_sink_is_passed_on)
{
    for (uint64_t call = 1; call <= 5; call++) {
        struct scene s;

        scene_open(&s, (struct fault){.at_call = call, .status = BLOBSEAL_E_OUTPUT});
        cr_expect_eq(compress(&s, MIB + 100000, 70001), BLOBSEAL_E_OUTPUT, "call %u", (unsigned)call);
        cr_expect_eq(s.to.calls, call);
        scene_close(&s);
    }
}
