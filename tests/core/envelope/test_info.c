/* SPDX-License-Identifier: Apache-2.0 */
/* What blobseal_inspect() reports without a key, and that a reader reports the same. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/suite.h"

SUITE(info);

#define MAX_KEKS 64

static struct fake_kek fake[MAX_KEKS];
static char kids[MAX_KEKS][32];
static struct blobseal_kek *keks[MAX_KEKS];

static void open_keks(void)
{
    for (unsigned i = 0; i < MAX_KEKS; i++) {
        (void)snprintf(kids[i], sizeof kids[i], "kid-%u", i);
        fake[i] = (struct fake_kek){.kid = kids[i], .alg = i % 2 == 0 ? "RSA-OAEP-256" : "RSA-OAEP"};
        keks[i] = fake_kek_open(&fake[i]);
    }
}

static void close_keks(void)
{
    for (unsigned i = 0; i < MAX_KEKS; i++)
        blobseal_kek_close(keks[i]);
}

static enum blobseal_status inspect(struct blobseal_info **info, const void *p, size_t len, bool sequential,
                                    const char *envelope, size_t *bytes_read, struct blobseal_error *err)
{
    struct test_source state = {.data = p, .len = len, .seekable = !sequential, .max_piece = 1000};
    struct blobseal_source source;
    enum blobseal_status st;

    *err = (struct blobseal_error){0};
    memset((void *)info, 0x55, sizeof *info);
    test_source_start(&source, &state);
    source.size = sequential ? BLOBSEAL_SIZE_UNKNOWN : len;
    st = blobseal_inspect(info, &source, envelope, envelope != NULL ? strlen(envelope) : 0, err);
    if (bytes_read != NULL)
        *bytes_read = state.pos;
    if (st != BLOBSEAL_OK)
        cr_assert_null(*info, "nothing is told after a failure");
    cr_assert_eq(st, err->status);
    test_source_end(&state);
    return st;
}

static void expect_recipients(const struct blobseal_info *info, size_t num)
{
    cr_assert_eq(info->num_recipients, num);
    for (size_t i = 0; i < num; i++) {
        cr_expect_str_eq(info->recipients[i].kid, kids[i]);
        cr_expect_str_eq(info->recipients[i].alg, fake[i].alg);
        cr_expect_not(info->recipients[i].unknown);
    }
}

/* Check that @info describes @s, a blob of @plain_len bytes. */
static void expect_info(const struct blobseal_info *info, const struct sealed *s, size_t plain_len, size_t num_keks,
                        bool sequential)
{
    bool detached = s->result.layout == BLOBSEAL_LAYOUT_DETACHED;

    cr_expect_eq(info->version, 1);
    cr_expect_eq(info->suite, 1);
    cr_expect_eq(info->content, 0);
    cr_expect_eq(info->layout, s->result.layout);
    cr_expect_arr_eq(info->blob_id, s->result.blob_id, sizeof info->blob_id);
    cr_expect_eq(info->generation, 1);
    cr_expect_eq(info->notes, 0);
    cr_expect_eq(info->plain_bytes, sequential ? BLOBSEAL_SIZE_UNKNOWN : plain_len);
    cr_expect_eq(info->sealed_bytes, sequential ? BLOBSEAL_SIZE_UNKNOWN : s->len);
    cr_expect_eq(info->slot_capacity == 0, detached);
    cr_assert_not_null(info->jwe);
    cr_expect_eq(info->jwe[info->jwe_len], '\0');
    cr_expect_eq(strlen(info->jwe), info->jwe_len);
    cr_expect_arr_eq(info->envelope_sha256, s->result.envelope_sha256, sizeof info->envelope_sha256);
    if (detached)
        cr_expect_str_eq(info->jwe, s->result.envelope);
    else
        cr_expect_arr_eq(info->jwe, s->data + (s->result.layout == BLOBSEAL_LAYOUT_AB ? 4096 : 64) + 24, info->jwe_len);
    expect_recipients(info, num_keks);
}

Test(info, every_layout_is_described)
{
    static const size_t lengths[] = {0, 1, 16384, 3 << 20};
    static const size_t counts[] = {1, 2, MAX_KEKS};
    struct blobseal_reader *reader;
    struct blobseal_memory memory;
    struct blobseal_source source;
    struct blobseal_info *info;
    struct blobseal_error err;
    uint8_t *plain = must_alloc(3 << 20);
    struct sealed s;

    open_keks();
    fill_random(plain, 3 << 20, 1);
    for (unsigned i = 0; i < COUNT(lengths) * COUNT(counts) * 3; i++) {
        size_t len = lengths[i % COUNT(lengths)], num = counts[i / COUNT(lengths) % COUNT(counts)];
        struct blobseal_seal_options o = {.size = sizeof o, .threads = 1, .slot_capacity = 65536};
        struct blobseal_reader_options ro = {.size = sizeof ro};

        o.layout = BLOBSEAL_LAYOUT_COMPACT + i / COUNT(lengths) / COUNT(counts);
        o.no_checksums = i % 2 == 1;
        cr_assert_eq(seal_bytes(&s, plain, len, keks, num, &o, &err), BLOBSEAL_OK, "%s", err.text);
        for (int sequential = 0; sequential <= 1; sequential++) {
            cr_assert_eq(inspect(&info, s.data, s.len, sequential != 0, s.result.envelope, NULL, &err), BLOBSEAL_OK);
            expect_info(info, &s, len, num, sequential != 0);
            cr_expect_eq(info->segments, o.no_checksums ? 0 : 1);
            blobseal_info_free(info);
        }
        ro.envelope = s.result.envelope;
        ro.envelope_len = s.result.envelope_len;
        blobseal_source_memory(&source, &memory, s.data, s.len);
        cr_assert_eq(blobseal_reader_open(&reader, &source, keks, 1, &ro, &err), BLOBSEAL_OK, "%s", err.text);
        expect_info(blobseal_reader_info(reader), &s, len, num, false);
        blobseal_reader_close(reader);
        sealed_clear(&s);
    }
    free(plain);
    close_keks();
}

Test(info, a_core_without_an_envelope_shows_its_header)
{
    struct blobseal_seal_options o = {.size = sizeof o, .layout = BLOBSEAL_LAYOUT_DETACHED};
    struct blobseal_info *info;
    struct blobseal_error err;
    struct sealed s;

    open_keks();
    cr_assert_eq(seal_bytes(&s, "abc", 3, keks, 1, &o, &err), BLOBSEAL_OK);
    cr_assert_eq(inspect(&info, s.data, s.len, false, NULL, NULL, &err), BLOBSEAL_OK);
    cr_expect_eq(info->layout, BLOBSEAL_LAYOUT_DETACHED);
    cr_expect_eq(info->plain_bytes, 3);
    cr_expect_eq(info->num_recipients, 0);
    cr_expect_null(info->jwe);
    cr_expect_eq(info->generation, 0);
    blobseal_info_free(info);
    sealed_clear(&s);
    close_keks();
}

Test(info, only_the_preamble_of_a_pipe_is_read)
{
    struct blobseal_seal_options o = {.size = sizeof o, .layout = BLOBSEAL_LAYOUT_AB};
    struct blobseal_info *info;
    struct blobseal_error err;
    uint8_t plain[50000] = {0};
    struct sealed s;
    size_t n;

    open_keks();
    cr_assert_eq(seal_bytes(&s, plain, sizeof plain, keks, 1, &o, &err), BLOBSEAL_OK);
    cr_assert_eq(inspect(&info, s.data, s.len, true, NULL, &n, &err), BLOBSEAL_OK);
    cr_expect_eq(n, 4096 + 2 * 16384 + 96);
    blobseal_info_free(info);
    sealed_clear(&s);
    close_keks();
}

Test(info, a_length_that_no_blob_has_is_noted)
{
    struct blobseal_info *info;
    struct blobseal_error err;
    struct sealed s;
    size_t preamble;

    open_keks();
    cr_assert_eq(seal_bytes(&s, "0123456789", 10, keks, 1, NULL, &err), BLOBSEAL_OK);
    preamble = core_offset_of(s.data, s.len) + 96;
    for (size_t len = preamble; len <= s.len; len++) {
        bool possible = len >= preamble + 16 + 8;

        cr_assert_eq(inspect(&info, s.data, len, false, NULL, NULL, &err), BLOBSEAL_OK);
        cr_expect_eq(info->notes, possible ? 0 : BLOBSEAL_NOTE_LENGTH, "%u", (unsigned)(len - preamble));
        cr_expect_eq(info->plain_bytes, possible ? len - preamble - 24 : BLOBSEAL_SIZE_UNKNOWN);
        cr_expect_eq(info->sealed_bytes, len);
        blobseal_info_free(info);
    }
    sealed_clear(&s);
    close_keks();
}

Test(info, nothing_is_verified)
{
    struct blobseal_info *info;
    struct blobseal_error err;
    struct sealed s;

    open_keks();
    cr_assert_eq(seal_bytes(&s, "0123456789", 10, keks, 1, NULL, &err), BLOBSEAL_OK);
    s.data[s.len - 1] ^= 1;
    s.data[s.len - 20] ^= 1;
    cr_assert_eq(inspect(&info, s.data, s.len, false, NULL, NULL, &err), BLOBSEAL_OK);
    blobseal_info_free(info);
    sealed_clear(&s);
    close_keks();
}

Test(info, of_a_tie_the_first_is_shown)
{
    struct blobseal_info *info;
    struct blobseal_error err;
    struct recipe r;
    char *a, *b;
    uint8_t *core, *blob;
    size_t core_len, len;

    open_keks();
    recipe_make(&r, 1, 0);
    a = recipe_envelope(&r, 9, keks, 1);
    b = recipe_envelope(&r, 9, keks, 2);
    core = recipe_core(&r, "", 0, &core_len);
    blob = put_in_frame(&r.core, BLOBSEAL_LAYOUT_AB, (struct slot_text){a, 9}, (struct slot_text){b, 9}, core, core_len,
                        &len);
    cr_assert_eq(inspect(&info, blob, len, false, NULL, NULL, &err), BLOBSEAL_OK);
    expect_recipients(info, 1);
    cr_expect_str_eq(info->jwe, a);
    cr_expect_eq(info->generation, 9);
    cr_expect_eq(info->notes, BLOBSEAL_NOTE_UNFINISHED | BLOBSEAL_NOTE_TIE);
    blobseal_info_free(info);
    free(a);
    free(b);
    free(core);
    free(blob);
    close_keks();
}

Test(info, recipients_with_an_unknown_algorithm_are_shown)
{
    struct bs_jwe_recipient list[] = {
        {.alg = "RSA-OAEP-256", .kid = "one"},
        {.alg = "RSA-OAEP", .kid = "two"},
        {.alg = "ECDH-ES+A256KW", .kid = "three"},
    };
    struct bs_opened_envelope opened = {.envelope = {.jwe = {.num = COUNT(list)}, .generation = 4}};
    struct bs_preamble f = {.layout = BLOBSEAL_LAYOUT_DETACHED,
                            .num_candidates = 1,
                            .candidates = {{.text = "text, not all of it", .len = 4}}};
    struct blobseal_memory memory;
    struct blobseal_source source;
    struct blobseal_info *info;

    memcpy(opened.envelope.jwe.recipients, list, sizeof list);
    blobseal_source_memory(&source, &memory, "", 0);
    cr_assert_eq(bs_info_make(&info, &f, &opened, &source, NULL), BLOBSEAL_OK);
    cr_assert_eq(info->num_recipients, COUNT(list));
    for (size_t i = 0; i < COUNT(list); i++) {
        cr_expect_str_eq(info->recipients[i].kid, list[i].kid);
        cr_expect_str_eq(info->recipients[i].alg, list[i].alg);
        cr_expect_eq(info->recipients[i].unknown, i == 2);
        cr_expect_neq(info->recipients[i].kid, list[i].kid, "a copy");
    }
    cr_expect_str_eq(info->jwe, "text");
    cr_expect_eq(info->generation, 4);
    blobseal_info_free(info);
}

Test(info, what_is_no_blob_is_refused)
{
    struct blobseal_info *info;
    struct blobseal_error err;
    struct sealed a, b;

    open_keks();
    cr_assert_eq(seal_bytes(&a, "a", 1, keks, 1, NULL, &err), BLOBSEAL_OK);
    cr_assert_eq(seal_bytes(&b, "b", 1, keks, 1,
                            &(struct blobseal_seal_options){.size = sizeof(struct blobseal_seal_options),
                                                            .layout = BLOBSEAL_LAYOUT_DETACHED},
                            &err),
                 BLOBSEAL_OK);
    cr_expect_eq(inspect(&info, "", 0, false, NULL, NULL, &err), BLOBSEAL_E_FORMAT);
    cr_expect_not_null(strstr(err.text, "empty"), "%s", err.text);
    cr_expect_eq(inspect(&info, "hello, world", 12, true, NULL, NULL, &err), BLOBSEAL_E_FORMAT);
    cr_expect_not_null(strstr(err.text, "test source"), "the message names the source: %s", err.text);
    cr_expect_eq(inspect(&info, a.data, 100, false, NULL, NULL, &err), BLOBSEAL_E_DAMAGED);
    cr_expect_eq(inspect(&info, a.data, a.len, false, b.result.envelope, NULL, &err), BLOBSEAL_E_FORMAT);
    cr_expect_eq(inspect(&info, b.data, b.len, false, "{}", NULL, &err), BLOBSEAL_E_FORMAT);
    a.data[8] = 2;
    cr_expect_eq(inspect(&info, a.data, a.len, false, NULL, NULL, &err), BLOBSEAL_E_UNSUPPORTED);
    sealed_clear(&a);
    sealed_clear(&b);
    close_keks();
}

Test(info, layouts_have_names)
{
    cr_expect_str_eq(blobseal_layout_name(BLOBSEAL_LAYOUT_COMPACT), "compact");
    cr_expect_str_eq(blobseal_layout_name(BLOBSEAL_LAYOUT_AB), "ab");
    cr_expect_str_eq(blobseal_layout_name(BLOBSEAL_LAYOUT_DETACHED), "detached");
    for (int i = -1; i < 10; i++)
        cr_expect_not_null(blobseal_layout_name((enum blobseal_layout)i));
}
