/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of workers, and their caches, for calls that read at an offset. */
#include <stdlib.h>

#include "tests/support/stored.h"
#include "tests/support/suite.h"

#define LEN (3 * BS_ZFRAME_PLAIN_LEN + 4)

SUITE_WITH_PLAIN(workers, LEN);

Test(workers, a_worker_is_made_only_if_none_is_free)
{
    struct bs_worker *first[2], *again[2];
    struct blobseal_source source;
    struct blobseal_memory memory;
    struct bs_stored s;
    struct recipe r;

    recipe_make(&r, 9, 1);
    blobseal_source_memory(&source, &memory, plain, LEN);
    recipe_stored(&s, &r, &source, LEN);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(bs_stored_take(&s, BS_NO_FRAME, &first[i], NULL), BLOBSEAL_OK);
        cr_expect_geq(first[i]->in_size, BS_SEALED_RUN_LEN);
        cr_expect_geq(first[i]->out_size, BS_RUN_LEN);
    }
    cr_expect_neq(first[0], first[1]);
    bs_stored_return(&s, first[0]);
    bs_stored_return(&s, first[1]);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(bs_stored_take(&s, 5, &again[i], NULL), BLOBSEAL_OK);
    cr_expect_neq(again[0], again[1]);
    cr_expect(again[0] == first[0] || again[0] == first[1]);
    cr_expect(again[1] == first[0] || again[1] == first[1]);
    bs_stored_return(&s, again[0]);
    bs_stored_return(&s, again[1]);
    bs_stored_clear(&s);
}

Test(workers, a_cache_is_made_once_and_empty)
{
    struct bs_open_state state = {0};
    struct bs_frame_cache *cache;

    cr_assert_eq(bs_frame_cache_ensure(&state, NULL), BLOBSEAL_OK);
    cache = state.cache;
    cr_assert_not_null(cache);
    cr_expect_eq(cache->frame, BS_NO_FRAME);
    cache->frame = 7;
    cr_assert_eq(bs_frame_cache_ensure(&state, NULL), BLOBSEAL_OK);
    cr_expect_eq(state.cache, cache);
    cr_expect_eq(cache->frame, 7);
    bs_unmap(cache, sizeof *cache);
    bs_open_state_free(NULL);
}

/* The worker whose cache contains the wanted frame is found wherever it is in the pool. */
Test(workers, the_worker_with_the_wanted_frame_comes_first)
{
    struct stored b = stored_make(plain, LEN, BS_ZFRAME_PLAIN_LEN);
    struct bs_content content = {.decompress = true, .max_frames = 100, .len = BLOBSEAL_SIZE_UNKNOWN};
    struct bs_worker *workers[3], *worker;
    struct blobseal_source source;
    struct blobseal_memory memory;
    struct recipe r;
    size_t core_len;
    uint8_t *core, byte;

    recipe_make(&r, 9, 1);
    core = recipe_core(&r, b.p, b.len, &core_len);
    blobseal_source_memory(&source, &memory, core, core_len);
    recipe_stored(&content.stored, &r, &source, b.len);
    cr_assert_eq(bs_zstd_read_table(&content, NULL), BLOBSEAL_OK);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(bs_stored_take(&content.stored, BS_NO_FRAME, &workers[i], NULL), BLOBSEAL_OK);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(bs_zstd_pread(&content, workers[i], &byte, 1, i * BS_ZFRAME_PLAIN_LEN + 5, NULL), BLOBSEAL_OK);
        cr_expect_eq(byte, plain[i * BS_ZFRAME_PLAIN_LEN + 5]);
        bs_stored_return(&content.stored, workers[i]);
    }
    for (size_t k = 0; k < 9; k++) {
        cr_assert_eq(bs_stored_take(&content.stored, k * 2 % 3, &worker, NULL), BLOBSEAL_OK);
        cr_expect_eq(worker, workers[k * 2 % 3], "frame %zu", k * 2 % 3);
        bs_stored_return(&content.stored, worker);
    }
    bs_seek_clear(&content.table);
    bs_stored_clear(&content.stored);
    free(core);
    free(b.p);
}
