/* SPDX-License-Identifier: Apache-2.0 */
/* The seek table: totals, search, and its bytes. The format's test vectors also contain tables that must be refused. */
#include <stdlib.h>

#include "tests/support/stored.h"
#include "tests/support/suite.h"

SUITE(seek_table);

static void encode(const struct bs_seek_table *t, struct bs_builder *w)
{
    size_t len = bs_seek_encoded_len(t->num);

    *w = bs_builder_start(must_alloc(len), len);
    bs_seek_put_header(w, t->num);
    for (size_t i = 0; i < t->num; i++)
        bs_seek_put_entry(w, t, i);
    bs_seek_put_footer(w, t->num);
    cr_assert(w->ok && w->len == len);
}

Test(seek_table, bytes_and_back)
{
    for (size_t num = 0; num < 200; num = num * 3 / 2 + 1) {
        struct stored_entry *entries = must_alloc(num * sizeof *entries);
        struct bs_seek_table t = {0}, back = {0};
        struct stored want = {0};
        struct bs_builder w;
        struct blobseal_error err;
        uint64_t random = num;
        size_t n;

        for (size_t i = 0; i < num; i++) {
            entries[i].frame = 1 + (uint32_t)random_below(&random, BS_ZFRAME_MAX_LEN);
            entries[i].content =
                i + 1 < num ? (uint32_t)BS_ZFRAME_PLAIN_LEN : 1 + (uint32_t)random_below(&random, BS_ZFRAME_PLAIN_LEN);
            cr_assert(bs_seek_add(&t, entries[i].frame, entries[i].content));
        }
        encode(&t, &w);
        stored_add_table(&want, entries, num);
        cr_assert(w.len == want.len && memcmp(w.p, want.p, w.len) == 0);
        cr_assert(bs_seek_magic(w.p));
        cr_assert_eq(bs_seek_footer(w.p + w.len - BS_SEEK_FOOTER_LEN, w.len, &n, &err), BLOBSEAL_OK);
        cr_assert_eq(n, num);
        cr_assert_eq(bs_seek_decode(&back, num, w.p, bs_seek_stored(&t) + w.len, &err), BLOBSEAL_OK, "%s", err.text);
        cr_assert_eq(back.num, num);
        cr_assert_eq(bs_seek_plain(&back), bs_seek_plain(&t));
        for (size_t i = 0; i < num; i++) {
            cr_assert_eq(back.points[i].plain, t.points[i].plain);
            cr_assert_eq(bs_seek_find(back.points[i].plain), i);
            cr_assert_eq(bs_seek_find(back.points[i + 1].plain - 1), i);
        }
        bs_seek_clear(&back);
        cr_assert_eq(bs_seek_decode(&back, num, w.p, bs_seek_stored(&t) + w.len + 1, &err), BLOBSEAL_E_FORMAT);
        bs_seek_clear(&back);
        bs_seek_clear(&t);
        free(entries);
        free(want.p);
        free(w.p);
    }
}

/* Every bit of a table except those of the content lengths is checked. */
Test(seek_table, every_bit_is_checked)
{
    static const struct stored_entry entries[] = {{100, 1000}, {50, 500}};
    struct stored b = {0};
    struct bs_seek_table t = {0};
    size_t n;

    stored_add_table(&b, entries, 2);
    for (size_t bit = 0; bit < 8 * b.len; bit++) {
        bool content = bit / 8 >= 8 && bit / 8 < 8 + 16 && bit / 8 % 8 >= 4;
        enum blobseal_status st;

        b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        st = bs_seek_footer(b.p + b.len - BS_SEEK_FOOTER_LEN, b.len + 150, &n, NULL);
        if (st == BLOBSEAL_OK && n != 2)
            st = BLOBSEAL_E_FORMAT; /* the table would be read from another place, so it would be another table */
        if (st == BLOBSEAL_OK)
            st = bs_seek_decode(&t, n, b.p, b.len + 150, NULL);
        cr_expect(st == BLOBSEAL_E_FORMAT || (content && st == BLOBSEAL_OK), "bit %zu", bit);
        bs_seek_clear(&t);
        b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(b.p);
}

/* The count is compared with the length before it is used for anything else. */
Test(seek_table, a_count_has_room)
{
    static const uint32_t counts[] = {1, 2, 3, 1 << 20, 1 << 29, UINT32_MAX / 8, UINT32_MAX};

    for (uint64_t stored = 0; stored < 60; stored++) {
        for (size_t i = 0; i < COUNT(counts); i++) {
            uint8_t footer[9] = {0};
            size_t n = 99;
            bool room = stored >= 17 + 8 * (uint64_t)counts[i];

            bs_store32(footer, counts[i]);
            bs_store32(footer + 5, 0x8F92EAB1u);
            cr_expect_eq(bs_seek_footer(footer, stored, &n, NULL), room ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT);
            cr_expect_eq(n, room ? counts[i] : 0);
        }
    }
}

Test(seek_table, the_limit_is_a_matter_of_policy)
{
    struct blobseal_error err = {0};

    cr_expect_eq(bs_seek_limit(5, 5, &err), BLOBSEAL_OK);
    cr_expect_eq(bs_seek_limit(6, 5, &err), BLOBSEAL_E_POLICY);
    cr_expect_eq(err.status, BLOBSEAL_E_POLICY);
    cr_expect_neq(err.hint[0], '\0');
}
