/* SPDX-License-Identifier: Apache-2.0 */
/* Changing the recipients of a blob in a copy, and reading the envelope and the place of the core without a key. */
#include <stdlib.h>

#include "tests/support/changes.h"
#include "tests/support/content.h"
#include "tests/support/suite.h"

SUITE_WITH(rewrite, keys_start, keys_end);

#define ADD                                                                                                            \
    (&(const struct blobseal_change){.size = sizeof(struct blobseal_change), .add = &public_keys[5], .num_add = 1})

static enum blobseal_status rewrite(const struct kept *k, const struct blobseal_sink *sink,
                                    const struct blobseal_change *change, const struct blobseal_attach_options *options,
                                    struct blobseal_change_result **result, struct blobseal_error *err)
{
    struct blobseal_change with = *change;
    struct blobseal_memory memory;
    struct blobseal_source source;

    with.envelope = k->envelope;
    with.envelope_len = k->envelope_len;
    blobseal_source_memory(&source, &memory, k->blob, k->len);
    return blobseal_change_rewrite(result, sink, &source, keys, 2, &with, options, err);
}

Test(rewrite, an_attached_blob_is_copied_with_the_new_envelope)
{
    for (enum way way = WAY_COMPACT; way <= WAY_AB; way++) {
        struct blobseal_change_result *result;
        struct blobseal_memory out;
        struct blobseal_error err;
        struct blobseal_sink sink;
        struct kept before, after = {.way = way};

        kept_make(&before, way, 2);
        blobseal_sink_memory(&sink, &out);
        cr_assert_eq(rewrite(&before, &sink, ADD, NULL, &result, &err), BLOBSEAL_OK, "%s", err.text);
        cr_expect(result->changed && result->generation == 2);
        blobseal_change_result_free(result);
        after.blob = out.data;
        after.len = out.len;
        cr_expect_eq(kept_open(&after, keys[5]), BLOBSEAL_OK);
        cr_expect_eq(kept_open(&before, keys[5]), BLOBSEAL_E_NO_KEY, "the source stays as it was");
        kept_clear(&after);
        kept_clear(&before);
    }
}

Test(rewrite, a_detached_core_is_not_copied)
{
    const struct blobseal_attach_options attached = {.size = sizeof attached, .layout = BLOBSEAL_LAYOUT_COMPACT};
    struct blobseal_change_result *result;
    struct blobseal_memory out;
    struct blobseal_error err;
    struct blobseal_sink sink;
    struct kept k, copy = {.way = WAY_COMPACT};

    kept_make(&k, WAY_DETACHED, 2);
    cr_assert_eq(rewrite(&k, NULL, ADD, NULL, &result, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect(result->changed && result->envelope_len > 0);
    blobseal_change_result_free(result);
    cr_expect_eq(rewrite(&k, NULL, ADD, &attached, &result, &err), BLOBSEAL_E_ARG, "a frame has to be written");
    cr_expect_null(result);
    blobseal_sink_memory(&sink, &out);
    cr_assert_eq(rewrite(&k, &sink, ADD, &attached, &result, &err), BLOBSEAL_OK, "%s", err.text);
    blobseal_change_result_free(result);
    copy.blob = out.data;
    copy.len = out.len;
    cr_expect_eq(kept_open(&copy, keys[5]), BLOBSEAL_OK);
    kept_clear(&copy);
    kept_clear(&k);
}

Test(rewrite, what_is_refused_writes_nothing)
{
    const struct blobseal_attach_options other = {.size = sizeof other, .envelope = "{}", .envelope_len = 2};
    const struct blobseal_change dry = {.size = sizeof dry, .add = &public_keys[5], .num_add = 1, .dry_run = true};
    struct blobseal_source sequential = {
        .read = (enum blobseal_status(*)(void *, void *, size_t, size_t *, struct blobseal_error *))NULL};
    struct blobseal_change_result *result;
    struct blobseal_memory out;
    struct blobseal_error err;
    struct blobseal_sink sink;
    struct kept k;

    kept_make(&k, WAY_AB, 2);
    blobseal_sink_memory(&sink, &out);
    cr_expect_eq(rewrite(&k, &sink, ADD, &other, &result, &err), BLOBSEAL_E_ARG);
    cr_expect_null(result);
    cr_expect_eq(blobseal_change_rewrite(&result, &sink, &sequential, keys, 1, ADD, NULL, &err), BLOBSEAL_E_ARG);
    cr_expect_eq(err.advice, BLOBSEAL_ADVICE_SEEKABLE);
    cr_assert_eq(rewrite(&k, &sink, &dry, NULL, &result, &err), BLOBSEAL_OK);
    cr_expect(result->changed);
    blobseal_change_result_free(result);
    cr_expect_eq(out.len, 0);
    kept_clear(&k);
}

/* ---- The preamble, without a key --------------------------------------------------------------------------------- */

Test(rewrite, the_envelope_and_the_core_are_found_without_a_key)
{
    for (enum way way = WAY_COMPACT; way <= WAY_DETACHED; way++) {
        struct blobseal_memory memory;
        struct blobseal_source source;
        struct blobseal_error err;
        const char *want;
        char *envelope;
        size_t len, want_len;
        uint64_t core;
        struct kept k;

        kept_make(&k, way, 2);
        want = kept_envelope(&k, &want_len);
        blobseal_source_memory(&source, &memory, k.blob, k.len);
        cr_assert_eq(blobseal_preamble_read(&source, &envelope, &len, &core, &err), BLOBSEAL_OK, "%s", err.text);
        cr_expect_arr_eq(k.blob + core,
                         "\x89"
                         "BSC",
                         4, "%s", way_names[way]);
        if (way == WAY_DETACHED) {
            cr_expect(envelope == NULL && len == 0 && core == 0);
        } else {
            cr_assert_eq(len, want_len);
            cr_expect_arr_eq(envelope, want, len);
            cr_expect_eq(envelope[len], 0);
        }
        blobseal_free(envelope);
        cr_expect_eq((blobseal_source_memory(&source, &memory, k.blob, 20),
                      blobseal_preamble_read(&source, &envelope, &len, &core, &err)),
                     BLOBSEAL_E_DAMAGED);
        cr_expect(envelope == NULL && len == 0 && core == 0);
        kept_clear(&k);
    }
}
