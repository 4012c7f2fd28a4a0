/* SPDX-License-Identifier: Apache-2.0 */
/* base64url in both directions: the vectors of RFC 4648, and what is refused. */
#include <stdlib.h>
#include <string.h>

#include "core/base/base.h"
#include "tests/support/suite.h"

SUITE(base64url);

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The value of a character of RFC 4648 table 2, or -1. */
static int value_of(unsigned char c)
{
    const char *at = c != '\0' ? strchr(alphabet, c) : NULL;

    return at != NULL ? (int)(at - alphabet) : -1;
}

/* Encode bit by bit, independently of the library. */
static void simple_encode(char *out, const uint8_t *in, size_t len)
{
    for (size_t bit = 0; bit < 8 * len; bit += 6) {
        unsigned v = 0;

        for (size_t i = bit; i < bit + 6; i++)
            v = v << 1 | (i < 8 * len ? (unsigned)(in[i / 8] >> (7 - i % 8)) & 1u : 0u);
        *out++ = alphabet[v];
    }
}

/* Decode a text at the end of an allocation, so that AddressSanitizer reports a read beyond it. */
static bool decode(const char *text, size_t len, uint8_t *out, size_t cap, size_t *n)
{
    struct vec_bytes in = vec_copy(text, len);
    bool ok = blobseal_base64url_decode(out, cap, n, (const char *)in.p, len);

    free(in.p);
    return ok;
}

static bool accepts(const char *text)
{
    uint8_t out[64];
    size_t n = 99;
    bool ok = decode(text, strlen(text), out, sizeof out, &n);

    cr_assert(ok || n == 0, "a length was given for %s", text);
    return ok;
}

/* The examples of RFC 4648 section 10, and bytes whose base64url differs from base64. */
Test(base64url, gives_the_known_texts)
{
    static const struct {
        const char *bytes, *text;
    } known[] = {
        {"", ""},
        {"f", "Zg"},
        {"fo", "Zm8"},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg"},
        {"fooba", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy"},
        {"\xFB\xEF\xFF", "--__"},
        {"\x03\xEC\xFF\xE0\xC1", "A-z_4ME"}, /* RFC 7515 appendix C */
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t len = strlen(known[i].bytes), text_len = strlen(known[i].text), n;
        struct vec_bytes text = vec_copy(NULL, text_len);
        uint8_t back[8];

        cr_assert_eq(BLOBSEAL_BASE64URL_LEN(len), text_len);
        blobseal_base64url_encode((char *)text.p, (const uint8_t *)known[i].bytes, len);
        cr_assert_arr_eq(text.p, known[i].text, text_len);
        cr_assert(decode(known[i].text, text_len, back, sizeof back, &n));
        cr_assert_eq(n, len);
        cr_assert_arr_eq(back, known[i].bytes, len);
        free(text.p);
    }
}

Test(base64url, round_trips_every_length_in_exact_buffers)
{
    uint64_t random = 1;

    for (size_t len = 0; len <= 600; len++) {
        struct vec_bytes in = vec_copy(NULL, len), back = vec_copy(NULL, len);
        struct vec_bytes text = vec_copy(NULL, BLOBSEAL_BASE64URL_LEN(len)), expected = vec_copy(NULL, text.len);
        size_t n;

        vec_random_fill(&random, in.p, len);
        simple_encode((char *)expected.p, in.p, len);
        blobseal_base64url_encode((char *)text.p, in.p, len);
        cr_assert_arr_eq(text.p, expected.p, text.len, "length %zu", len);
        cr_assert(blobseal_base64url_decode(back.p, back.len, &n, (const char *)text.p, text.len));
        cr_assert_eq(n, len);
        cr_assert_arr_eq(back.p, in.p, len, "length %zu", len);
        free(in.p);
        free(back.p);
        free(text.p);
        free(expected.p);
    }
}

Test(base64url, decodes_in_place)
{
    uint64_t random = 2;

    for (size_t len = 0; len <= 100; len++) {
        uint8_t in[100], text[BLOBSEAL_BASE64URL_LEN(100)];
        size_t n;

        vec_random_fill(&random, in, len);
        blobseal_base64url_encode((char *)text, in, len);
        cr_assert(blobseal_base64url_decode(text, BLOBSEAL_BASE64URL_LEN(len), &n, (const char *)text,
                                            BLOBSEAL_BASE64URL_LEN(len)));
        cr_assert_eq(n, len);
        cr_assert_arr_eq(text, in, len);
    }
}

Test(base64url, every_byte_at_every_position_is_judged)
{
    /* Texts of whole groups, of which the second is a block, and texts that end in a short group. */
    static const size_t lens[] = {8, 16, 6, 7, 22, 23, 35};
    static const unsigned unused_bits[] = {0, 0, 15, 3}; /* of the last character, by the length of the last group */

    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
        for (size_t at = 0; at < lens[i]; at++)
            for (unsigned c = 0; c < 256; c++) {
                size_t len = lens[i], n;
                unsigned unused = at + 1 < len ? 0 : unused_bits[len % 4];
                int value = value_of((unsigned char)c);
                bool valid = value >= 0 && ((unsigned)value & unused) == 0, ok;
                char text[35];
                uint8_t out[26];

                memset(text, 'A', sizeof text);
                text[at] = (char)c;
                ok = decode(text, len, out, sizeof out, &n);
                cr_assert_eq(ok, valid, "byte %u at %zu of %zu", c, at, len);
                cr_assert_eq(n, valid ? len * 3 / 4 : 0);
            }
}

Test(base64url, every_pair_of_last_characters_is_judged)
{
    for (unsigned a = 0; a < 64; a++)
        for (unsigned b = 0; b < 64; b++) {
            char two[3] = {alphabet[a], alphabet[b], '\0'}, three[4] = {'A', alphabet[a], alphabet[b], '\0'};

            cr_assert_eq(accepts(two), (b & 15) == 0, "%s", two);
            cr_assert_eq(accepts(three), (b & 3) == 0, "%s", three);
        }
}

#define CHECK_REFUSED(...)                                                                                             \
    do {                                                                                                               \
        const char *const bad_[] = {__VA_ARGS__};                                                                      \
        for (size_t i_ = 0; i_ < sizeof bad_ / sizeof bad_[0]; i_++)                                                   \
            cr_assert_not(accepts(bad_[i_]), "accepts \"%s\"", bad_[i_]);                                              \
    } while (0)

Test(base64url, refuses_what_is_not_canonical)
{
    /* a length of 1 modulo 4 */
    CHECK_REFUSED("A", "AAAAA", "AAAAAAAAA");
    /* padding */
    CHECK_REFUSED("=", "Zg=", "Zg==", "Zm8=", "Zm9v=", "Zm9v====", "=Zg", "Z=g");
    /* white space */
    CHECK_REFUSED(" Zm9v", "Zm9v ", "Zm 9v", "Zm9v\n", "Zm\n9v", "\tZg", "Zm9v\r\n");
    /* the alphabet of plain base64 */
    CHECK_REFUSED("++//", "Zm+v", "Zm/v");
    /* unused low bits that are not zero */
    CHECK_REFUSED("Zh", "Zm9", "Zv", "Z_", "Zm_");
    /* characters next to the allowed ranges */
    CHECK_REFUSED("Zm.9v", "Zm9v,", "@AAA", "[AAA", "`AAA", "{AAA", "/AAA", ":AAA", "Zm9v@AAA");
    /* a letter with the high bit set */
    CHECK_REFUSED("\x80zzz", "\xC1zzz", "\xE1zzz", "zz\xFFz");
    cr_assert(accepts(""));
    cr_assert(accepts("Zg"));
    cr_assert(accepts("Zm8"));
    cr_assert(accepts("Zm9v"));
}

Test(base64url, keeps_to_the_room_it_has)
{
    for (size_t len = 1; len <= 20; len++) {
        uint8_t in[20] = {0};
        char text[BLOBSEAL_BASE64URL_LEN(20)];
        struct vec_bytes exact = vec_copy(NULL, len), small = vec_copy(NULL, len - 1);
        size_t n = 99;

        blobseal_base64url_encode(text, in, len);
        cr_assert(blobseal_base64url_decode(exact.p, exact.len, &n, text, BLOBSEAL_BASE64URL_LEN(len)));
        cr_assert_eq(n, len);
        cr_assert_not(blobseal_base64url_decode(small.p, small.len, &n, text, BLOBSEAL_BASE64URL_LEN(len)));
        cr_assert_eq(n, 0);
        free(exact.p);
        free(small.p);
    }
}

Test(base64url, appends_to_a_writer)
{
    uint8_t room[10] = "..........";
    struct bs_builder w = bs_builder_start(room, 9);

    bs_put_base64url(&w, "foob", 4);
    bs_put_base64url(&w, "", 0);
    cr_assert(w.ok);
    cr_assert_eq(w.len, 6);
    bs_put_base64url(&w, "foo", 3); /* four characters decode to three bytes, which do not fit */
    cr_assert_not(w.ok);
    cr_assert_arr_eq(room, "Zm9vYg....", 10);
}
