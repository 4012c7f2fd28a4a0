/* SPDX-License-Identifier: Apache-2.0 */
/* Parsers and builders of bytes: after one access out of bounds, all later ones fail. */
#include <stdlib.h>

#include "core/base/bytes.h"
#include "tests/support/suite.h"

SUITE(bytes);

Test(bytes, integers_are_little_endian)
{
    const uint8_t bytes[8] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0xF8};
    uint8_t out[8];

    cr_assert_eq(bs_load32(bytes), 0x04030201u);
    cr_assert_eq(bs_load64(bytes), 0xF807060504030201u);
    bs_store32(out, 0x04030201u);
    cr_assert_arr_eq(out, bytes, 4);
    bs_store64(out, 0xF807060504030201u);
    cr_assert_arr_eq(out, bytes, 8);
}

Test(bytes, integers_survive_at_any_alignment)
{
    uint8_t room[16];

    for (size_t at = 0; at < 8; at++) {
        bs_store64(room + at, UINT64_MAX - at);
        cr_assert_eq(bs_load64(room + at), UINT64_MAX - at);
        bs_store32(room + at, UINT32_MAX);
        cr_assert_eq(bs_load32(room + at), UINT32_MAX);
    }
}

Test(bytes, slice_is_compares_all_of_both)
{
    const uint8_t abc[] = "abc", zero[] = "ab\0c";

    cr_assert(bs_slice_is((struct bs_slice){abc, 3}, "abc"));
    cr_assert(bs_slice_is((struct bs_slice){abc, 0}, ""));
    cr_assert_not(bs_slice_is((struct bs_slice){abc, 2}, "abc"));
    cr_assert_not(bs_slice_is((struct bs_slice){abc, 3}, "ab"));
    cr_assert_not(bs_slice_is((struct bs_slice){abc, 3}, "abC"));
    cr_assert_not(bs_slice_is((struct bs_slice){zero, 4}, "ab"), "a zero byte does not end a slice");
}

Test(bytes, all_zero_looks_at_every_byte)
{
    uint8_t p[100] = {0};

    cr_assert(bs_all_zero(p, 0));
    cr_assert(bs_all_zero(p, sizeof p));
    for (size_t i = 0; i < sizeof p; i++) {
        p[i] = 0x80;
        cr_assert_not(bs_all_zero(p, sizeof p), "byte %zu", i);
        cr_assert(bs_all_zero(p, i));
        p[i] = 0;
    }
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

Test(bytes, cursor_takes_in_order)
{
    const uint8_t in[] = {7, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0x80, 'a', 'b', 0, 0};
    struct bs_parser c = bs_parser_start(in, sizeof in);
    uint8_t two[2];

    cr_assert_eq(bs_take8(&c), 7);
    cr_assert_eq(bs_take32(&c), 1);
    cr_assert_eq(bs_take64(&c), 0x8000000000000002u);
    bs_take_copy(&c, two, 2);
    cr_assert_arr_eq(two, "ab", 2);
    cr_assert(bs_take_zeros(&c, 2));
    cr_assert(c.ok);
    cr_assert_eq(c.left, 0);
    cr_assert_eq(bs_take(&c, 0), in + sizeof in, "nothing can be taken at the end");
    cr_assert(c.ok);
}

Test(bytes, cursor_yields_zeros_from_the_first_read_beyond_the_end_on)
{
    struct vec_bytes in = vec_copy("\xFF\xFF\xFF\xFF\xFF", 5);
    struct bs_parser c = bs_parser_start(in.p, in.len);
    uint8_t room[4] = {9, 9, 9, 9};

    cr_assert_eq(bs_take32(&c), UINT32_MAX);
    cr_assert_eq(bs_take32(&c), 0);
    cr_assert_not(c.ok);
    /* One byte is left, but it is not returned any more. */
    cr_assert_eq(bs_take8(&c), 0);
    cr_assert_null(bs_take(&c, 1));
    cr_assert_null(bs_take(&c, 0));
    cr_assert_eq(bs_take64(&c), 0);
    cr_assert_not(bs_take_zeros(&c, 0));
    bs_take_copy(&c, room, sizeof room);
    cr_assert(bs_all_zero(room, sizeof room));
    free(in.p);
}

Test(bytes, cursor_cannot_be_wrapped_around)
{
    const uint8_t in[4] = {1, 2, 3, 4};
    struct bs_parser c = bs_parser_start(in, sizeof in);

    cr_assert_eq(bs_take8(&c), 1);
    cr_assert_null(bs_take(&c, SIZE_MAX));
    cr_assert_not(c.ok);
}

Test(bytes, take_zeros_refuses_other_bytes_and_stays_usable)
{
    const uint8_t in[4] = {0, 1, 0, 5};
    struct bs_parser c = bs_parser_start(in, sizeof in);

    cr_assert_not(bs_take_zeros(&c, 3));
    cr_assert(c.ok, "the bytes were there");
    cr_assert_eq(bs_take8(&c), 5);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

Test(bytes, writer_puts_in_order)
{
    const uint8_t expected[] = {7, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c', 'd', 0, 0};
    struct vec_bytes room = vec_copy(NULL, sizeof expected);
    struct bs_builder w = bs_builder_start(room.p, room.len);

    bs_put8(&w, 7);
    bs_put32(&w, 1);
    bs_put64(&w, 2);
    bs_put(&w, "ab", 2);
    bs_put_text(&w, "cd");
    bs_put(&w, NULL, 0);
    bs_put_zeros(&w, 2);
    cr_assert(w.ok);
    cr_assert_eq(w.len, sizeof expected);
    cr_assert_arr_eq(room.p, expected, sizeof expected);
    free(room.p);
}

Test(bytes, writer_writes_nothing_beyond_its_room_or_after_it)
{
    struct vec_bytes room = vec_copy("......", 6);
    struct bs_builder w = bs_builder_start(room.p, room.len);

    bs_put_text(&w, "abcd");
    bs_put32(&w, 0x41414141); /* two bytes are left, and none of the four is written */
    cr_assert_not(w.ok);
    cr_assert_arr_eq(room.p, "abcd..", 6);
    bs_put8(&w, 'x');
    bs_put64(&w, 1);
    bs_put_zeros(&w, 1);
    bs_put_text(&w, "y");
    cr_assert_null(bs_room(&w, 0));
    cr_assert_null(bs_room(&w, SIZE_MAX));
    cr_assert_arr_eq(room.p, "abcd..", 6);
    cr_assert_eq(w.len, 4);
    free(room.p);
}

Test(bytes, room_can_be_filled_to_the_last_byte)
{
    struct vec_bytes room = vec_copy(NULL, 8);
    struct bs_builder w = bs_builder_start(room.p, room.len);

    bs_put64(&w, UINT64_MAX);
    cr_assert(w.ok);
    cr_assert_not_null(bs_room(&w, 0));
    bs_put8(&w, 1);
    cr_assert_not(w.ok);
    free(room.p);
}

Test(bytes, writer_cannot_be_wrapped_around)
{
    uint8_t room[8];
    struct bs_builder w = bs_builder_start(room, sizeof room);

    bs_put32(&w, 1);
    cr_assert_null(bs_room(&w, SIZE_MAX - 3)); /* together with the 4 bytes before it, the sum would overflow to 0 */
    cr_assert_not(w.ok);
    cr_assert_eq(w.len, 4);
}
