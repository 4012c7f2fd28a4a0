/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of FORMAT.md section 4.1, one by one. Each text is at the end of an allocation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/base.h"
#include "tests/support/suite.h"

SUITE(json);

/* ---- A reader of any value, which chooses the call by the first byte, as no user of the JSON reader does --------- */

static void read_value(struct bs_json *j)
{
    struct bs_slice s;
    uint64_t n;

    while (j->p < j->end && strchr(" \t\n\r", *j->p) != NULL && *j->p != '\0')
        j->p++;
    if (j->p < j->end && *j->p == '{') {
        (void)bs_json_object(j);
        while (bs_json_member(j, &s))
            read_value(j);
    } else if (j->p < j->end && *j->p == '[') {
        (void)bs_json_array(j);
        while (bs_json_element(j))
            read_value(j);
    } else if (j->p < j->end && *j->p == '"') {
        (void)bs_json_string(j, &s);
    } else {
        (void)bs_json_uint(j, &n);
    }
}

static bool accepts_bytes(const void *text, size_t len)
{
    struct vec_bytes copy = vec_copy(text, len);
    struct bs_json j = bs_json_start(copy.p, copy.len);
    bool ok;

    read_value(&j);
    ok = bs_json_end(&j);
    cr_assert_eq(j.ok, ok, "bs_json_end() and `ok` differ");
    free(copy.p);
    return ok;
}

static bool accepts(const char *text)
{
    return accepts_bytes(text, strlen(text));
}

#define CHECK_ALL(list, expected)                                                                                      \
    for (size_t i_ = 0; i_ < sizeof(list) / sizeof((list)[0]); i_++)                                                   \
    cr_assert_eq(accepts((list)[i_]), expected, "%s: %s", (expected) ? "refused" : "accepted", (list)[i_])

/* Read {"x":"TEXT"} and compare the string. NULL means that the text must be refused. */
static void check_string(const char *text, const void *expected, size_t len)
{
    char whole[256];
    int n = snprintf(whole, sizeof whole, "{\"x\":\"%s\"}", text);
    struct vec_bytes copy = vec_copy(whole, (size_t)n);
    struct bs_json j = bs_json_start(copy.p, copy.len);
    struct bs_slice s;

    cr_assert(bs_json_object(&j) && bs_json_member(&j, &s));
    cr_assert_eq(bs_json_string(&j, &s), expected != NULL, "%s", text);
    if (expected == NULL) {
        cr_assert_eq(s.len, 0);
        cr_assert_not_null(s.p, "a faulty string must still be safe to compare");
        cr_assert_not(bs_json_end(&j));
    } else {
        cr_assert_eq(s.len, len, "%s: length %zu", text, s.len);
        cr_assert_arr_eq(s.p, expected, len, "%s", text);
        cr_assert_eq(s.p[len], 0, "no zero byte after the string");
        cr_assert(s.p >= copy.p && s.p + len < copy.p + copy.len, "the string is not in place");
        cr_assert_not(bs_json_member(&j, &s));
        cr_assert(bs_json_end(&j), "%s", text);
    }
    free(copy.p);
}

/* ---- Structure --------------------------------------------------------------------------------------------------- */

Test(json, accepts_well_formed_structures)
{
    static const char *const good[] = {
        "{}",          "[]",
        "\"\"",        "0",
        "{\"a\":1}",   "{\"a\":1,\"b\":\"x\",\"c\":[],\"d\":{}}",
        "[1,2,3]",     "[[],[[]],{}]",
        "{\"\":0}",    " \t\r\n{ \"a\" : [ 1 , \"b\" ] } \n",
        "[\"\",\"\"]", "{\"a\":{\"a\":{\"a\":1}}}",
        "[0]",         "[{\"a\":[{}]},1]",
    };

    CHECK_ALL(good, true);
}

/* Typical cases from JSON test suites. Each breaks one rule of RFC 8259. */
Test(json, refuses_broken_structures)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "{]",
        "[}",
        "{}}",
        "[]]",
        "{{}",
        "[[]",
        "{\"a\"}",
        "{\"a\":}",
        "{:1}",
        "{1:1}",
        "{\"a\":1,}",
        "{,\"a\":1}",
        "{\"a\":1,,\"b\":2}",
        "{\"a\":1 \"b\":2}",
        "{\"a\" 1}",
        "{\"a\"::1}",
        "{\"a\":1:2}",
        "[1,]",
        "[,1]",
        "[,]",
        "[1,,2]",
        "[1 2]",
        "[1:2]",
        "[1",
        "[1,",
        "{\"a\":1",
        "{\"a\":",
        "{\"a\"",
        "{\"a",
        "{\"",
        "{a:1}",
        "{'a':1}",
        "[a]",
        "['a']",
        "{\"a\":a}",
        "\"",
        "\"a",
        "a",
        "{\"a\":[1}",
        "[{\"a\":1]}",
        "{\"a\":\"b\"c}",
        "[\"a\"\"b\"]",
        "{\"a\":1}{\"b\":2}",
        "{}{}",
        "[][]",
        "{} x",
        "x {}",
        "{},",
        ",{}",
        "{}\"\"",
        "\"\"\"\"",
        "/**/{}",
        "{}//",
        "{/**/}",
        "{}#",
        "{\"a\":1;\"b\":2}",
        "(1)",
        "{\"a\"=1}",
    };

    CHECK_ALL(bad, false);
}

Test(json, has_no_null_true_false)
{
    static const char *const bad[] = {
        "null",         "true",          "false", "[null]", "[true]", "[false]",    "{\"a\":null}",
        "{\"a\":true}", "{\"a\":false}", "nul",   "[nan]",  "[NaN]",  "[Infinity]", "[undefined]",
    };

    CHECK_ALL(bad, false);
}

Test(json, white_space_is_only_these_four)
{
    static const char *const bad[] = {
        "\v{}",           "\f{}",           "{}\v", "{}\f",    "\xC2\xA0{}",
        "\xE2\x80\xA8{}", "\xE3\x80\x80{}", "{\f}", "[1,\v2]", "\xE2\x81\xA0{}",
    };

    CHECK_ALL(bad, false);
    cr_assert(accepts(" \t\n\r[ \t\n\r1 \t\n\r, \t\n\r2 \t\n\r] \t\n\r"));
    cr_assert_not(accepts_bytes("{}\0", 3), "a zero byte after the text");
    cr_assert_not(accepts_bytes("\0{}", 3));
    cr_assert_not(accepts_bytes("{\0}", 3));
}

Test(json, has_no_byte_order_mark)
{
    cr_assert_not(accepts("\xEF\xBB\xBF{}"));
    cr_assert_not(accepts_bytes("\xFF\xFE{\0}\0", 6));
    cr_assert_not(accepts_bytes("\xFE\xFF\0{\0}", 6));
    cr_assert_not(accepts("\xEF\xBB\xBF"));
    cr_assert_not(accepts("{}\xEF\xBB\xBF"));
}

static bool accepts_depth(size_t depth, const char *open, const char *close)
{
    char text[512] = "";

    for (size_t i = 0; i < depth; i++)
        strcat(text, open);
    for (size_t i = 0; i < depth; i++)
        strcat(text, i == 0 && open[0] == '{' ? "1}" : close);
    return accepts(text);
}

Test(json, nests_eight_deep_and_no_deeper)
{
    for (size_t depth = 1; depth <= 40; depth++) {
        cr_assert_eq(accepts_depth(depth, "[", "]"), depth <= 8, "%zu arrays", depth);
        cr_assert_eq(accepts_depth(depth, "{\"a\":", "}"), depth <= 8, "%zu objects", depth);
    }
    /* The depth decreases when a value ends: values side by side are not nested. */
    cr_assert(accepts("[[],[[[[[[[]]]]]]],[[[[[[[],[]]]]]]]]"));
    cr_assert_not(accepts("[[],[[[[[[[[]]]]]]]]]"));
}

/* ---- Strings ----------------------------------------------------------------------------------------------------- */

Test(json, unescapes)
{
    check_string("", "", 0);
    check_string("plain", "plain", 5);
    check_string("\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t", 8);
    check_string("\\u0041\\u00e9\\u20AC", "A\xC3\xA9\xE2\x82\xAC", 6);
    check_string("\\u0000", "\0", 1);
    check_string("a\\u0000b", "a\0b", 3);
    check_string("\\u007f\\u0080\\u07ff\\u0800\\uffff", "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF", 11);
    check_string("\\ud7ff\\ue000", "\xED\x9F\xBF\xEE\x80\x80", 6);
    check_string("\\ud800\\udc00", "\xF0\x90\x80\x80", 4);
    check_string("\\uD83D\\uDD11", "\xF0\x9F\x94\x91", 4);
    check_string("\\udbff\\udfff", "\xF4\x8F\xBF\xBF", 4);
    check_string("x\\u0061\\\"y", "xa\"y", 4);
    check_string("\x7F", "\x7F", 1);
    for (const char *p = "abcdefghijklmnopqrstuvwx"; *p != '\0'; p++) { /* what follows an escape moves to the left */
        char text[64], moved[64];

        (void)snprintf(text, sizeof text, "%.7s\\\"%s", p, p);
        check_string(text, moved, (size_t)snprintf(moved, sizeof moved, "%.7s\"%s", p, p));
    }
}

Test(json, refuses_other_escapes)
{
    static const char *const bad[] = {
        "\\a",    "\\v",        "\\0",     "\\x41",   "\\'",     "\\U0041", "\\ ",     "\\u", "\\u0",
        "\\u00",  "\\u004",     "\\u00g0", "\\u-041", "\\u 041", "\\u+041", "\\u0x41", "\\B", "\\N",
        "\\\x7F", "\\\xC3\xA9", "\\u00:0", "\\u00@0", "\\u00`0", "\\u00G0", "\\u00/0",
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_string(bad[i], NULL, 0);
    check_string("\\", NULL, 0); /* the backslash escapes the closing quote */
    cr_assert_not(accepts_bytes("\"\\\0\"", 4), "a backslash and a zero byte");
}

Test(json, every_byte_after_a_backslash_is_judged)
{
    for (unsigned c = 0; c < 256; c++) {
        char text[] = {'"', '\\', (char)c, '0', '0', '4', '1', '"'};
        bool good = c != 0 && strchr("\"\\/bfnrtu", (int)c) != NULL;

        /* A quote ends the string, so it is complete but is followed by something. */
        cr_assert_eq(accepts_bytes(text, sizeof text), good, "byte %u", c);
    }
}

Test(json, refuses_unpaired_surrogates)
{
    static const char *const bad[] = {
        "\\ud800",
        "\\udbff",
        "\\udc00",
        "\\udfff",
        "\\ud800x",
        "\\ud800\\n",
        "\\ud800\\u0041",
        "\\ud800\\ud800",
        "\\udc00\\ud800",
        "\\ud800\\udbff",
        "\\ud800\\ue000",
        "\\ud800\\\\udc00",
        "\\ud800 \\udc00",
        "\\ud800\\u",
        "\\ud800\\udc0",
        "\\ud800\\",
        "\\ud800\\udc00\\udc00",
        "a\\udc00",
        "\\ud800\xED\xB0\x80",
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_string(bad[i], NULL, 0);
}

Test(json, refuses_control_characters_that_are_not_escaped)
{
    for (unsigned c = 0; c < 0x20; c++) {
        char text[] = {'"', 'a', (char)c, 'b', '"'}, name[] = {'{', '"', (char)c, '"', ':', '1', '}'};

        cr_assert_not(accepts_bytes(text, sizeof text), "byte %u", c);
        cr_assert_not(accepts_bytes(name, sizeof name), "byte %u in a name", c);
    }
}

/* Try every code point as UTF-8, and as an escape with \u. */
Test(json, accepts_all_of_utf8)
{
    for (uint32_t c = 0x20; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 97) {
        uint8_t raw[4];
        size_t n = 0;
        char text[16];

        if (c == '"' || c == '\\' || (c >= 0xD800 && c < 0xE000))
            continue;
        if (c < 0x80) {
            raw[n++] = (uint8_t)c;
        } else {
            unsigned more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
            static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};

            raw[n++] = (uint8_t)(lead[more] | c >> 6 * more);
            while (more-- > 0)
                raw[n++] = (uint8_t)(0x80 | (c >> 6 * more & 63));
        }
        (void)snprintf(text, sizeof text, "%.*s", (int)n, (const char *)raw);
        check_string(text, raw, n);
        if (c < 0x10000)
            (void)snprintf(text, sizeof text, "\\u%04X", c & 0xFFFF);
        else
            (void)snprintf(text, sizeof text, "\\u%04X\\u%04x", 0xD7C0 + (c >> 10), 0xDC00 | (c & 0x3FF));
        check_string(text, raw, n);
    }
}

/* Return true if two bytes may begin a character (RFC 3629 section 4). */
static bool utf8_may_begin(unsigned a, unsigned b)
{
    unsigned low = a == 0xE0 ? 0xA0 : a == 0xF0 ? 0x90 : 0x80, high = a == 0xED ? 0x9F : a == 0xF4 ? 0x8F : 0xBF;

    return a >= 0xC2 && a <= 0xF4 && b >= low && b <= high;
}

Test(json, every_pair_of_first_utf8_bytes_is_judged)
{
    for (unsigned a = 0x80; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            size_t more = a >= 0xF0 ? 2 : a >= 0xE0 ? 1 : 0;
            uint8_t text[] = {'"', (uint8_t)a, (uint8_t)b, 0xBF, 0xBF, '"'};

            text[3 + more] = '"';
            cr_assert_eq(accepts_bytes(text, 4 + more), utf8_may_begin(a, b), "%02x %02x", a, b);
        }
}

Test(json, refuses_broken_utf8)
{
    static const char *const bad[] = {
        "\x80",
        "\xBF",
        "\xC3",
        "\xC3(",
        "\xE2\x82",
        "\xE2\x82(",
        "\xE2(\xAC",
        "\xF0\x9F\x94",
        "\xF0\x9F\x94(",
        "\xF0\x9F(\x91",
        "\xC0\x80",
        "\xC0\xAF",
        "\xC1\xBF",
        "\xE0\x80\x80",
        "\xE0\x9F\xBF",
        "\xF0\x80\x80\x80",
        "\xF0\x8F\xBF\xBF",
        "\xED\xA0\x80",
        "\xED\xBF\xBF",
        "\xED\xA0\xBD\xED\xB4\x91",
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80",
        "\xF8\x88\x80\x80\x80",
        "\xFC\x84\x80\x80\x80\x80",
        "\xFE",
        "\xFF",
        "a\xFFz",
        "\xC3\xA9\xA9",
        "\xE2\x82\xC3\xA9",
        "\xC3\xC3\xA9",
        "\xF0\x9F\x94\xC0",
        "\xE2\x82\xC0",
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char name[64];

        check_string(bad[i], NULL, 0);
        (void)snprintf(name, sizeof name, "{\"%s\":1}", bad[i]);
        cr_assert_not(accepts(name), "in a name, row %zu", i);
    }
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

static void check_number(const char *text, bool good, uint64_t expected)
{
    char whole[64];
    struct vec_bytes copy;
    struct bs_json j;
    uint64_t n = 77;

    (void)snprintf(whole, sizeof whole, "[%s]", text);
    copy = vec_copy(whole, strlen(whole));
    j = bs_json_start(copy.p, copy.len);
    cr_assert(bs_json_array(&j) && bs_json_element(&j));
    if (bs_json_uint(&j, &n) && good)
        cr_assert_eq(n, expected, "%s", text);
    cr_assert_not(bs_json_element(&j));
    cr_assert_eq(bs_json_end(&j), good, "%s", text);
    free(copy.p);
}

Test(json, numbers_are_plain_integers_up_to_2_to_53_minus_1)
{
    static const char *const bad[] = {
        "9007199254740992",
        "9007199254740993",
        "10000000000000000",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551617",
        "36893488147419103233",
        "99999999999999999999999999999999999999",
        "-1",
        "-0",
        "+1",
        "00",
        "01",
        "007",
        "0123",
        "1.0",
        "1.",
        ".1",
        "0.5",
        "1e0",
        "1E1",
        "1e+1",
        "0e0",
        "0x10",
        "0b1",
        "0o7",
        "1_000",
        "1 0",
        "-",
        "1a",
        "\"1\"",
        "\xD9\xA1",
        "1.0e5",
        "--1",
        "1-",
        "0 0",
    };

    check_number("0", true, 0);
    check_number("1", true, 1);
    check_number("10", true, 10);
    check_number(" 12 ", true, 12);
    check_number("1234567890", true, 1234567890);
    check_number("9007199254740991", true, 9007199254740991);
    check_number("9007199254740990", true, 9007199254740990);
    check_number("4294967296", true, 4294967296);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_number(bad[i], false, 0);
}

Test(json, a_number_of_any_length_is_judged_without_overflow)
{
    char text[48] = "1";

    for (size_t len = 1; len <= 40; len++) {
        text[len - 1] = len == 1 ? '1' : '0';
        text[len] = '\0';
        check_number(text, len <= 16 && strtoull(text, NULL, 10) <= 9007199254740991u, strtoull(text, NULL, 10));
    }
}

/* ---- Behaviour of the reader ------------------------------------------------------------------------------------- */

Test(json, wrong_types_are_faults)
{
    static const char *const texts[] = {"{}", "[]", "\"a\"", "1"};

    for (size_t is = 0; is < 4; is++)
        for (size_t want = 0; want < 4; want++) {
            struct vec_bytes copy = vec_copy(texts[is], strlen(texts[is]));
            struct bs_json j = bs_json_start(copy.p, copy.len);
            struct bs_slice s;
            uint64_t n;
            bool ok = want == 0   ? bs_json_object(&j)
                      : want == 1 ? bs_json_array(&j)
                      : want == 2 ? bs_json_string(&j, &s)
                                  : bs_json_uint(&j, &n);

            cr_assert_eq(ok, is == want, "%s read as %zu", texts[is], want);
            cr_assert_eq(j.ok, is == want);
            free(copy.p);
        }
}

Test(json, a_fault_is_sticky)
{
    char text[] = "[x,1,\"a\",{}]";
    struct bs_json j = bs_json_start((uint8_t *)text, strlen(text));
    struct bs_slice s;
    uint64_t n = 5;

    cr_assert(bs_json_array(&j));
    cr_assert(bs_json_element(&j));
    cr_assert_not(bs_json_uint(&j, &n));
    cr_assert_eq(n, 0);
    cr_assert_not(bs_json_element(&j));
    cr_assert_not(bs_json_uint(&j, &n));
    cr_assert_not(bs_json_string(&j, &s));
    cr_assert_not(bs_json_object(&j));
    cr_assert_not(bs_json_array(&j));
    cr_assert_not(bs_json_member(&j, &s));
    cr_assert_eq(s.len, 0);
    cr_assert_not(bs_json_end(&j));
    cr_assert_not(j.ok);
}

Test(json, the_end_is_checked)
{
    char unread[] = "[1]", half[] = "{\"a\":1}", open_array[] = "[1";
    struct bs_json j = bs_json_start((uint8_t *)unread, strlen(unread));
    struct bs_slice s;
    uint64_t n;

    cr_assert_not(bs_json_end(&j), "nothing was read");
    j = bs_json_start((uint8_t *)half, strlen(half));
    cr_assert(bs_json_object(&j) && bs_json_member(&j, &s));
    cr_assert_not(bs_json_end(&j), "an object is open");
    j = bs_json_start((uint8_t *)open_array, strlen(open_array));
    cr_assert(bs_json_array(&j) && bs_json_element(&j) && bs_json_uint(&j, &n));
    cr_assert_not(bs_json_end(&j), "all is read, but an array is open");
}

Test(json, names_and_values_stay_readable_until_the_end)
{
    char text[] = "{\"n\\u0061me\":\"v\\n\",\"b\":[\"x\",\"\\u00e9\"]}";
    struct bs_json j = bs_json_start((uint8_t *)text, strlen(text));
    struct bs_slice a, name, value, b, x, e;

    cr_assert(bs_json_object(&j));
    cr_assert(bs_json_member(&j, &a) && bs_json_string(&j, &value));
    cr_assert(bs_json_member(&j, &b) && bs_json_array(&j));
    cr_assert(bs_json_element(&j) && bs_json_string(&j, &x));
    cr_assert(bs_json_element(&j) && bs_json_string(&j, &e));
    cr_assert_not(bs_json_element(&j));
    cr_assert_not(bs_json_member(&j, &name));
    cr_assert(bs_json_end(&j));
    cr_assert(bs_slice_is(a, "name") && bs_slice_is(value, "v\n") && bs_slice_is(b, "b") && bs_slice_is(x, "x") &&
              bs_slice_is(e, "\xC3\xA9"));
    cr_assert_str_eq((const char *)value.p, "v\n");
    cr_assert_str_eq((const char *)e.p, "\xC3\xA9");
}

/*
 * The text is truncated at every byte, and every byte is replaced. No prefix is accepted, and nothing outside the text
 * is read.
 */
Test(json, no_truncated_text_is_accepted)
{
    static const char text[] =
        " {\"a\\n\\u00e9\":\"\\ud83d\\udd11 \xF0\x9F\x94\x91\xC3\xA9\",\"n\":[0,9007199254740991,{},[]]}";
    size_t len = strlen(text);

    cr_assert(accepts_bytes(text, len));
    for (size_t cut = 0; cut < len; cut++)
        cr_assert_not(accepts_bytes(text, cut), "truncated at %zu", cut);
    for (size_t at = 0; at < len; at++)
        for (unsigned c = 0; c < 256; c++) {
            char changed[sizeof text];

            memcpy(changed, text, sizeof text);
            changed[at] = (char)c;
            (void)accepts_bytes(changed, len);
            (void)accepts_bytes(changed, at + 1);
        }
}
