/* SPDX-License-Identifier: Apache-2.0 */
/* What a writer puts before the payload, with keys used by no other blob; what it refuses; and what it reports. */
#include <stdlib.h>

#include "tests/support/suite.h"

SUITE_WITH_PLAIN(new_blob, 1);

#define ROOM ((size_t)1 << 18)

/* A new blob, and the bytes that were written for it. */
struct scene {
    struct bs_new_blob b;
    struct test_sink to;
    struct blobseal_sink sink;
    struct blobseal_error err;
};

static enum blobseal_status make(struct scene *s, uint64_t size, const struct blobseal_seal_options *o)
{
    s->to.cap = ROOM;
    s->to.seekable = true;
    test_sink_start(&s->sink, &s->to);
    return bs_new_blob_start(&s->b, &s->sink, size, (struct bs_keks){&kek, 1, NULL}, o, &s->err);
}

static void clear(struct scene *s)
{
    bs_new_blob_clear(&s->b);
    cr_expect_null(s->b.keys);
    test_sink_end(&s->to);
}

/* Open the envelope that was written. It must contain the keys of the blob. */
static void expect_keys(const struct scene *s)
{
    bool detached = s->b.layout == BLOBSEAL_LAYOUT_DETACHED;
    struct blobseal_memory memory;
    struct blobseal_source source;
    struct bs_input in = {&source, 0};
    struct bs_opened_envelope opened;
    struct blobseal_error err;
    struct bs_preamble f;

    blobseal_source_memory(&source, &memory, s->to.data, s->to.bytes);
    cr_assert_eq(
        bs_preamble_read(&f, &in, detached ? (const char *)s->b.jwe.p : NULL, detached ? s->b.jwe.len : 0, &err),
        BLOBSEAL_OK, "%s", err.text);
    cr_expect_eq(in.pos, s->to.bytes, "nothing follows the core header");
    cr_expect_eq(f.layout, s->b.layout);
    cr_expect_eq(f.core_offset, s->b.core_offset);
    cr_expect_arr_eq(f.core.raw, s->b.core.raw, sizeof f.core.raw);
    cr_assert_eq(bs_preamble_unlock(&f, "blob", (struct bs_keks){&kek, 1, NULL}, &opened, &err), BLOBSEAL_OK, "%s",
                 err.text);
    cr_expect_eq(memcmp(&opened.unlocked->keys, s->b.keys, sizeof *s->b.keys), 0);
    cr_expect_eq(opened.envelope.generation, 1);
    cr_expect_arr_eq(s->b.core.commitment, s->b.keys->commitment, BS_COMMITMENT_LEN);
    bs_opened_envelope_clear(&opened);
    bs_preamble_clear(&f);
}

/* The random parts of a blob must differ each time. Here 20 blobs are compared, by halves of their keys. */
Test(new_blob, everything_random_is_fresh)
{
    const struct blobseal_seal_options o = {.layout = BLOBSEAL_LAYOUT_DETACHED};
    const struct blobseal_secret32 zero = {{0}};
    uint8_t cek[20][32], key[20][32], id[20][BLOBSEAL_BLOB_ID_LEN], salt[20][BS_SALT_LEN], pad[256];

    fake_wrap(pad, sizeof pad, &zero);
    for (size_t i = 0; i < COUNT(cek); i++) {
        struct scene s = {0};
        struct bs_envelope e;

        cr_assert_eq(make(&s, 100, &o), BLOBSEAL_OK, "%s", s.err.text);
        cr_assert_eq(bs_envelope_parse(&e, (const char *)s.b.jwe.p, s.b.jwe.len, &s.err), BLOBSEAL_OK);
        for (size_t k = 0; k < 32; k++)
            cek[i][k] = e.jwe.recipients[0].key[k] ^ pad[k];
        memcpy(key[i], s.b.keys->key, sizeof key[i]);
        memcpy(id[i], s.b.core.blob_id, sizeof id[i]);
        memcpy(salt[i], s.b.core.salt, sizeof salt[i]);
        for (size_t k = 0; k < i; k++) {
            cr_expect_arr_neq(cek[i], cek[k], 16);
            cr_expect_arr_neq(cek[i] + 16, cek[k] + 16, 16);
            cr_expect_arr_neq(key[i], key[k], 16);
            cr_expect_arr_neq(key[i] + 16, key[k] + 16, 16);
            cr_expect_arr_neq(id[i], id[k], sizeof id[i]);
            cr_expect_arr_neq(salt[i], salt[k], sizeof salt[i]);
        }
        bs_envelope_clear(&e);
        clear(&s);
    }
}

Test(new_blob, its_envelope_yields_its_keys_in_every_layout)
{
    static const enum blobseal_layout layouts[] = {BLOBSEAL_LAYOUT_COMPACT, BLOBSEAL_LAYOUT_AB,
                                                   BLOBSEAL_LAYOUT_DETACHED};

    for (size_t i = 0; i < COUNT(layouts); i++) {
        const struct blobseal_seal_options o = {
            .layout = layouts[i], .zstd = i == 1, .zstd_level = 3, .no_checksums = i == 2};
        struct scene s = {0};

        cr_assert_eq(make(&s, 100, &o), BLOBSEAL_OK, "%s", s.err.text);
        cr_expect_eq(s.b.layout, layouts[i]);
        cr_expect_eq(s.b.core.content, i == 1 ? BLOBSEAL_CONTENT_ZSTD : BLOBSEAL_CONTENT_AS_GIVEN);
        cr_expect_eq(s.b.core.segments, i == 2 ? BS_SEGMENTS_BARE : BS_SEGMENTS_CHECKSUMMED);
        cr_expect_eq(s.b.core_offset == 0, layouts[i] == BLOBSEAL_LAYOUT_DETACHED);
        cr_expect_eq(s.to.bytes, s.b.core_offset + BS_CORE_HEADER_LEN);
        cr_expect_eq(s.to.calls, 1, "in one piece");
        expect_keys(&s);
        clear(&s);
    }
}

Test(new_blob, from_4_mib_on_it_can_be_rotated_in_place)
{
    static const struct {
        uint64_t size;
        enum blobseal_layout want;
    } sizes[] = {
        {0, BLOBSEAL_LAYOUT_COMPACT},
        {((uint64_t)4 << 20) - 1, BLOBSEAL_LAYOUT_COMPACT},
        {(uint64_t)4 << 20, BLOBSEAL_LAYOUT_AB},
        {BS_MAX_PLAIN, BLOBSEAL_LAYOUT_AB},
        {BLOBSEAL_SIZE_UNKNOWN, BLOBSEAL_LAYOUT_AB},
    };

    for (size_t i = 0; i < COUNT(sizes); i++) {
        const struct blobseal_seal_options o = {.layout = BLOBSEAL_LAYOUT_AUTO};
        struct scene s = {0};

        cr_assert_eq(make(&s, sizes[i].size, &o), BLOBSEAL_OK);
        cr_expect_eq(s.b.layout, sizes[i].want, "%llu bytes", (unsigned long long)sizes[i].size);
        clear(&s);
    }
}

Test(new_blob, nothing_random_is_used_twice)
{
    const struct blobseal_seal_options o = {0};
    struct scene a = {0}, b = {0};

    cr_assert_eq(make(&a, 1, &o), BLOBSEAL_OK);
    cr_assert_eq(make(&b, 1, &o), BLOBSEAL_OK);
    cr_expect_neq(memcmp(a.b.core.blob_id, b.b.core.blob_id, sizeof a.b.core.blob_id), 0);
    cr_expect_neq(memcmp(a.b.core.salt, b.b.core.salt, sizeof a.b.core.salt), 0);
    cr_expect_neq(memcmp(a.b.keys->key, b.b.keys->key, sizeof a.b.keys->key), 0);
    cr_expect_neq(memcmp(a.b.keys->nonce, b.b.keys->nonce, sizeof a.b.keys->nonce), 0);
    clear(&a);
    clear(&b);
}

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

Test(new_blob, bad_options_are_refused_before_anything_is_written)
{
    static const struct blobseal_metadata nameless = {.size = sizeof nameless, .name = ""};
    const struct blobseal_seal_options bad[] = {
        {.layout = BLOBSEAL_LAYOUT_DETACHED + 1},
        {.zstd = true, .zstd_level = BLOBSEAL_ZSTD_MIN_LEVEL - 1},
        {.zstd = true, .zstd_level = BLOBSEAL_ZSTD_MAX_LEVEL + 1},
        {.layout = BLOBSEAL_LAYOUT_AB, .slot_capacity = 4097},
        {.metadata = &nameless},
    };

    for (size_t i = 0; i < COUNT(bad); i++) {
        struct scene s = {0};

        cr_expect_eq(make(&s, 1, &bad[i]), BLOBSEAL_E_ARG, "options %zu: %s", i, s.err.text);
        cr_expect_eq(s.to.calls, 0);
        clear(&s);
    }
}

Test(new_blob, a_sink_needs_a_function_and_a_blob_a_key)
{
    const struct blobseal_seal_options o = {0};
    struct blobseal_sink none = {0};
    struct test_sink to = {.cap = ROOM};
    struct bs_new_blob b;

    cr_expect_eq(bs_new_blob_start(&b, &none, 1, (struct bs_keks){&kek, 1, NULL}, &o, NULL), BLOBSEAL_E_ARG);
    bs_new_blob_clear(&b);
    test_sink_start(&none, &to);
    cr_expect_eq(bs_new_blob_start(&b, &none, 1, (struct bs_keks){&kek, 0, NULL}, &o, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(to.calls, 0);
    bs_new_blob_clear(&b);
    test_sink_end(&to);
}

Test(new_blob, errors_of_keys_and_sinks_are_passed_on)
{
    const struct blobseal_seal_options o = {0};
    struct scene s = {0};

    fake.wrap = (struct fault){.at_call = 1, .status = BLOBSEAL_E_UNAVAILABLE, .once = true};
    cr_expect_eq(make(&s, 1, &o), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(s.to.calls, 0);
    clear(&s);
    s = (struct scene){.to = {.fault = {.at_call = 1, .status = BLOBSEAL_E_OUTPUT}}};
    cr_expect_eq(make(&s, 1, &o), BLOBSEAL_E_OUTPUT);
    clear(&s);
}

/* ---- The report -------------------------------------------------------------------------------------------------- */

Test(new_blob, the_result_counts_every_byte)
{
    for (int detached = 0; detached <= 1; detached++) {
        const struct blobseal_seal_options o = {.layout =
                                                    detached ? BLOBSEAL_LAYOUT_DETACHED : BLOBSEAL_LAYOUT_COMPACT};
        struct blobseal_seal_result r = {.size = sizeof r};
        struct scene s = {0};

        cr_assert_eq(make(&s, 1, &o), BLOBSEAL_OK);
        cr_assert_eq(bs_new_blob_report(&s.b, 3000000, 2000000, &r, NULL), BLOBSEAL_OK);
        cr_expect_eq(r.plain_bytes, 3000000);
        cr_expect_eq(r.stored_bytes, 2000000);
        cr_expect_eq(r.sealed_bytes, s.b.core_offset + bs_core_len(&s.b.core, 2000000));
        cr_expect_eq(r.layout, s.b.layout);
        cr_expect_eq(r.generation, 1);
        cr_expect_arr_eq(r.blob_id, s.b.core.blob_id, sizeof r.blob_id);
        cr_expect_eq(r.envelope != NULL, detached == 1);
        if (r.envelope != NULL) {
            cr_expect_eq(r.envelope_len, s.b.jwe.len);
            cr_expect_eq(strlen(r.envelope), r.envelope_len, "a zero byte ends it");
            cr_expect_arr_eq(r.envelope, s.b.jwe.p, r.envelope_len);
        }
        blobseal_free(r.envelope);
        cr_expect_eq(bs_new_blob_report(&s.b, 1, 1, NULL, NULL), BLOBSEAL_OK);
        r = (struct blobseal_seal_result){0};
        cr_expect_eq(bs_new_blob_report(&s.b, 1, 1, &r, NULL), BLOBSEAL_E_ARG, "and no memory is lost");
        cr_expect_null(r.envelope);
        clear(&s);
    }
}
