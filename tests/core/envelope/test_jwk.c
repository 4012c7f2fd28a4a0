/* SPDX-License-Identifier: Apache-2.0 */
/* The content of an envelope: written as specified in FORMAT.md 4.4, and read strictly. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/envelope/envelope.h"
#include "tests/support/suite.h"

SUITE(jwk);

#define META "{\"name\":\"a.txt\",\"type\":\"text/plain\",\"ann\":{\"a\":\"b\"}}"

/*
 * Return a JWK for the blob of a recipe, zero-terminated, with the metadata @metadata, which may be empty. Free with
 * free().
 */
static char *jwk_text(const struct recipe *r, const char *metadata, size_t *len)
{
    char *text = must_alloc(1000);

    *len = bs_jwk_write((uint8_t *)text, 999, &r->core, &r->dek,
                        (struct bs_slice){(const uint8_t *)metadata, strlen(metadata)});
    cr_assert_gt(*len, 0);
    text[*len] = '\0';
    return text;
}

/* Read @text from an allocation that ends exactly where the text ends. */
static bool reads(struct bs_jwk *jwk, const char *text)
{
    struct vec_bytes exact = vec_copy(text, strlen(text));
    bool ok = bs_jwk_read(jwk, exact.p, exact.len);

    free(exact.p);
    return ok;
}

Test(jwk, what_is_written_is_read)
{
    static const char *const metadata[] = {"", META};
    static struct bs_jwk jwk;
    struct recipe r;

    recipe_make(&r, 5, 1);
    for (size_t i = 0; i < COUNT(metadata); i++) {
        size_t len;
        char *text = jwk_text(&r, metadata[i], &len);

        memset(&jwk, 0xEE, sizeof jwk);
        cr_assert(bs_jwk_read(&jwk, (uint8_t *)text, len), "%s", text);
        cr_expect_arr_eq(jwk.k.b, r.dek.b, sizeof jwk.k.b);
        cr_expect_arr_eq(jwk.kid, r.core.blob_id, sizeof jwk.kid);
        cr_expect_arr_eq(jwk.hdr, r.core.raw, sizeof jwk.hdr);
        cr_expect_eq(jwk.has_metadata, i == 1);
        if (i == 1)
            cr_expect(bs_slice_is(jwk.metadata_text, META));
        free(text);
    }
}

Test(jwk, the_text_is_that_of_the_format)
{
    static const uint8_t zeros[BS_CORE_HEADER_LEN] = {0};
    struct bs_core_header core = {0};
    struct blobseal_secret32 dek = {{0}};
    char text[1000], want[1000], hdr[129];
    size_t len;

    memset(hdr, 'A', 128); /* 96 zero bytes */
    hdr[128] = '\0';
    cr_assert_arr_eq(core.raw, zeros, sizeof zeros);
    (void)snprintf(want, sizeof want,
                   "{\"kty\":\"oct\",\"k\":\"%.43s\",\"kid\":\"%.22s\",\"hdr\":\"%s\",\"meta\":\"e30\"}", hdr, hdr,
                   hdr);
    len = bs_jwk_write((uint8_t *)text, sizeof text - 1, &core, &dek, (struct bs_slice){(const uint8_t *)"{}", 2});
    text[len] = '\0';
    cr_expect_str_eq(text, want);
}

Test(jwk, a_buffer_that_is_too_small_is_never_overrun)
{
    struct recipe r;
    size_t needed;
    char *text;

    recipe_make(&r, 5, 1);
    text = jwk_text(&r, META, &needed);
    free(text);
    for (size_t cap = 0; cap <= needed + 1; cap++) {
        struct vec_bytes exact = vec_copy(NULL, cap);

        cr_expect_eq(
            bs_jwk_write(exact.p, cap, &r.core, &r.dek, (struct bs_slice){(const uint8_t *)META, strlen(META)}),
            cap < needed ? 0 : needed, "%zu bytes", cap);
        free(exact.p);
    }
}

/* Build an object from the members in @list, which ends with -1: 0 kty, 1 k, 2 kid, 3 hdr, 4 meta. Free with free(). */
static char *object_of(const int *list)
{
    static const char *const names[] = {"kty", "k", "kid", "hdr", "meta"};
    char zeros[129];
    const int lens[] = {0, 43, 22, 128};
    char *text = must_alloc(2000);
    size_t len = 1;

    memset(zeros, 'A', sizeof zeros);
    text[0] = '{';
    for (; *list >= 0; list++) {
        const char *comma = len > 1 ? "," : "";

        if (*list == 0 || *list == 4)
            len += (size_t)snprintf(text + len, 2000 - len, "%s\"%s\":%s", comma, names[*list],
                                    *list == 0 ? "\"oct\"" : "\"e30\"");
        else
            len +=
                (size_t)snprintf(text + len, 2000 - len, "%s\"%s\":\"%.*s\"", comma, names[*list], lens[*list], zeros);
    }
    (void)snprintf(text + len, 2000 - len, "}");
    return text;
}

static void expect_object(const int *list, bool want)
{
    static struct bs_jwk jwk;
    char *text = object_of(list);

    cr_expect_eq(reads(&jwk, text), want, "%s", text);
    free(text);
}

Test(jwk, every_member_but_the_metadata_is_needed)
{
    for (unsigned set = 0; set < 32; set++) {
        int list[6], n = 0;

        for (int i = 0; i < 5; i++)
            if ((set >> i & 1) != 0)
                list[n++] = i;
        list[n] = -1;
        expect_object(list, (set & 15) == 15);
    }
}

Test(jwk, no_member_appears_twice_and_the_order_is_free)
{
    expect_object((const int[]){4, 3, 2, 1, 0, -1}, true);
    for (int i = 0; i < 5; i++) {
        expect_object((const int[]){0, 1, 2, 3, 4, i, -1}, false);
        expect_object((const int[]){i, 0, 1, 2, 3, 4, -1}, false);
    }
}

/* Replace the first @what in a text with @by. Free the result with free(). */
static char *replace(const char *text, const char *what, const char *by)
{
    const char *at = strstr(text, what);
    size_t room = strlen(text) + strlen(by) + 1;
    char *out = must_alloc(room);

    cr_assert_not_null(at, "%s", what);
    (void)snprintf(out, room, "%.*s%s%s", (int)(at - text), text, by, at + strlen(what));
    return out;
}

Test(jwk, names_values_and_what_follows_are_exact)
{
    static const struct {
        const char *what, *by;
        bool ok;
    } edits[] = {
        {"\"oct\"", "\"RSA\"", false},    {"\"oct\"", "\"octet\"", false},
        {"\"oct\"", "1", false},          {"\"k\":", "\"K\":", false},
        {"\"kid\":", "\"kid2\":", false}, {"\"meta\":", "\"use\":", false},
        {"\"}", "\"},", false},           {"\"}", "\"} ", true},
        {"\"}", "\"}{}", false},          {"\"}", "\"", false},
        {"{\"kty\"", " {\"kty\"", true},  {"{\"kty\"", "[\"kty\"", false},
    };
    static struct bs_jwk jwk;
    struct recipe r;
    size_t len;
    char *text;

    recipe_make(&r, 5, 1);
    text = jwk_text(&r, META, &len);
    cr_assert(reads(&jwk, text));
    for (size_t i = 0; i < COUNT(edits); i++) {
        char *edited = replace(text, edits[i].what, edits[i].by);

        cr_expect_eq(reads(&jwk, edited), edits[i].ok, "%s", edited);
        free(edited);
    }
    free(text);
}

Test(jwk, a_text_truncated_anywhere_is_refused)
{
    static struct bs_jwk jwk;
    struct recipe r;
    size_t len;
    char *text;

    recipe_make(&r, 5, 1);
    text = jwk_text(&r, META, &len);
    for (; len > 0; len--) {
        text[len - 1] = '\0';
        cr_expect_not(reads(&jwk, text), "%zu bytes", len - 1);
    }
    free(text);
}
