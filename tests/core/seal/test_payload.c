/* SPDX-License-Identifier: Apache-2.0 */
/* A payload that is sealed in pieces: the bytes are those of the format, whatever the pieces, and never plaintext. */
#include <stdlib.h>

#include "tests/support/suite.h"

#define MOST (2 * BS_SEGMENT_LEN + 5 * BS_CHUNK_LEN + 7)

SUITE_WITH_PLAIN(payload, MOST);

static const size_t lens[] = {0,
                              1,
                              BS_CHUNK_LEN,
                              BS_RUN_LEN - 1,
                              BS_RUN_LEN,
                              BS_RUN_LEN + 1,
                              BS_SEGMENT_LEN - 1,
                              BS_SEGMENT_LEN,
                              BS_SEGMENT_LEN + 1,
                              MOST};
static const size_t pieces[] = {MOST, 1000, BS_RUN_LEN, BS_RUN_LEN + 1, 70001};

/* Make the blob of a recipe with a frame of @offset bytes. */
static struct bs_new_blob blob_of(struct recipe *r, uint64_t offset)
{
    return (struct bs_new_blob){.core = r->core, .core_offset = offset, .keys = &r->keys};
}

static enum blobseal_status seal_in_pieces(struct bs_payload *p, const uint8_t *from, size_t len, size_t piece)
{
    enum blobseal_status st = BLOBSEAL_OK;

    for (size_t n; len > 0 && st == BLOBSEAL_OK; from += n, len -= n) {
        n = piece < len ? piece : len;
        st = bs_payload_add(p, from, n, NULL);
    }
    return st == BLOBSEAL_OK ? bs_payload_end(p, NULL) : st;
}

static void expect_payload(struct recipe *r, size_t len, size_t piece, bool seekable)
{
    const size_t offset = 500, start = seekable ? offset + BS_CORE_HEADER_LEN : 0;
    struct bs_new_blob blob = blob_of(r, offset);
    size_t core_len;
    uint8_t *core = recipe_core(r, plain, len, &core_len);
    struct test_sink to = {.seekable = seekable, .cap = start + core_len};
    struct blobseal_sink sink;
    struct bs_payload p;

    test_sink_start(&sink, &to);
    cr_assert_eq(bs_payload_start(&p, &blob, &sink, NULL), BLOBSEAL_OK);
    cr_assert_eq(seal_in_pieces(&p, plain, len, piece), BLOBSEAL_OK);
    cr_expect_eq(p.total, len);
    cr_expect_eq(p.offset, offset + core_len);
    cr_expect_eq(to.bytes, core_len - BS_CORE_HEADER_LEN);
    cr_expect_not(to.misused);
    cr_expect_eq(memcmp(to.data + start, core + BS_CORE_HEADER_LEN, core_len - BS_CORE_HEADER_LEN), 0,
                 "%zu bytes in pieces of %zu", len, piece);
    bs_payload_clear(&p);
    test_sink_end(&to);
    free(core);
}

Test(payload, its_bytes_do_not_depend_on_the_pieces)
{
    struct recipe r;

    for (size_t i = 0; i < COUNT(lens); i++)
        for (size_t k = 0; k < COUNT(pieces); k++) {
            recipe_make(&r, i, k % 2);
            expect_payload(&r, lens[i], pieces[k], k % 3 == 0);
            recipe_make(&r, i, (k + 1) % 2);
            expect_payload(&r, lens[i], pieces[k], k % 3 != 0);
        }
}

/*
 * A full run cannot contain the last chunk, which is always short, so it is sealed at once. A shorter run has to wait.
 */
Test(payload, a_run_is_written_as_soon_as_it_is_full)
{
    struct test_sink to = {.cap = MOST};
    struct bs_new_blob blob;
    struct blobseal_sink sink;
    struct bs_payload p;
    struct recipe r;

    recipe_make(&r, 1, 0);
    blob = blob_of(&r, 0);
    test_sink_start(&sink, &to);
    cr_assert_eq(bs_payload_start(&p, &blob, &sink, NULL), BLOBSEAL_OK);
    cr_assert_eq(bs_payload_add(&p, plain, BS_RUN_LEN - 1, NULL), BLOBSEAL_OK);
    cr_expect_eq(to.bytes, 0);
    cr_assert_eq(bs_payload_add(&p, plain, 1, NULL), BLOBSEAL_OK);
    cr_expect_eq(to.bytes, BS_SEALED_RUN_LEN);
    cr_assert_eq(bs_payload_add(&p, plain, 0, NULL), BLOBSEAL_OK);
    cr_assert_eq(bs_payload_end(&p, NULL), BLOBSEAL_OK);
    cr_expect_eq(to.bytes, BS_SEALED_RUN_LEN + BS_GCM_TAG_LEN);
    bs_payload_clear(&p);
    test_sink_end(&to);
}

/* Chunk numbers are below 2^38: the last run within the limit is sealed, the next one is not. */
Test(payload, a_blob_has_a_largest_length)
{
    struct test_sink to = {.cap = MOST};
    struct blobseal_error err = {0};
    struct bs_new_blob blob;
    struct blobseal_sink sink;
    struct bs_payload p;
    struct recipe r;

    recipe_make(&r, 1, 0);
    blob = blob_of(&r, 0);
    test_sink_start(&sink, &to);
    cr_assert_eq(bs_payload_start(&p, &blob, &sink, NULL), BLOBSEAL_OK);
    p.chunk = BS_MAX_CHUNKS - BS_RUN_CHUNKS;
    cr_assert_eq(bs_payload_add(&p, plain, BS_RUN_LEN, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_eq(to.bytes, BS_SEALED_RUN_LEN);
    cr_expect_eq(bs_payload_add(&p, plain, BS_RUN_LEN, &err), BLOBSEAL_E_INPUT);
    cr_expect_eq(bs_payload_end(&p, &err), BLOBSEAL_E_INPUT);
    cr_expect_eq(to.bytes, BS_SEALED_RUN_LEN, "nothing more was written");
    bs_payload_clear(&p);
    test_sink_end(&to);
}

Test(payload, an_error_of_the_sink_is_passed_on)
{
    for (uint64_t call = 1; call <= 3; call++) {
        struct test_sink to = {.cap = MOST, .fault = {.at_call = call, .status = BLOBSEAL_E_OUTPUT}};
        struct bs_new_blob blob;
        struct blobseal_sink sink;
        struct bs_payload p;
        struct recipe r;

        recipe_make(&r, 1, 1);
        blob = blob_of(&r, 0);
        test_sink_start(&sink, &to);
        cr_assert_eq(bs_payload_start(&p, &blob, &sink, NULL), BLOBSEAL_OK);
        cr_expect_eq(seal_in_pieces(&p, plain, 2 * BS_RUN_LEN + 5, 1000), BLOBSEAL_E_OUTPUT);
        cr_expect_eq(to.bytes, (call - 1) * BS_SEALED_RUN_LEN);
        cr_expect_eq(to.calls, call, "a payload that failed is not written to again");
        bs_payload_clear(&p);
        test_sink_end(&to);
    }
}
