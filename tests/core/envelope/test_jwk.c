/* SPDX-License-Identifier: Apache-2.0 */
/* The content of an envelope: written as FORMAT.md 4.4 says, and read strictly. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/envelope/envelope.h"
#include "tests/support/suite.h"

SUITE(jwk);

#define META "{\"name\":\"a.txt\",\"type\":\"text/plain\",\"ann\":{\"a\":\"b\"}}"

/* A JWK of the blob of a recipe, zero-terminated, with the metadata @metadata, which may be empty. free(). */
static char *jwk_text(const struct recipe *r, const char *metadata, size_t *len)
{
    char *text = must_alloc(1000);

    *len = bs_jwk_write((uint8_t *)text, 999, &r->core, &r->dek,
                        (struct bs_slice){(const uint8_t *)metadata, strlen(metadata)});
    cr_assert_gt(*len, 0);
    text[*len] = '\0';
    return text;
}

/* Read @text from memory that ends where it does. */
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
        if (i == 1) {
            cr_expect_str_eq(jwk.metadata.shown.name, "a.txt");
            cr_expect_str_eq(jwk.metadata.shown.type, "text/plain");
            cr_expect_eq(jwk.metadata.shown.num_annotations, 1);
        }
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
    (void)snprintf(want, sizeof want, "{\"kty\":\"oct\",\"k\":\"%.43s\",\"kid\":\"%.22s\",\"hdr\":\"%s\",\"meta\":{}}",
                   hdr, hdr, hdr);
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

/* Replace the first @what in a text by @by. free(). */
static char *replace(const char *text, const char *what, const char *by)
{
    const char *at = strstr(text, what);
    size_t room = strlen(text) + strlen(by) + 1;
    char *out = must_alloc(room);

    cr_assert_not_null(at, "%s", what);
    (void)snprintf(out, room, "%.*s%s%s", (int)(at - text), text, by, at + strlen(what));
    return out;
}

Test(jwk, every_member_is_needed_once_and_no_other_is_allowed)
{
    static const struct {
        const char *what, *by;
        bool ok;
    } edits[] = {
        {"\"kty\":\"oct\",", "", false},
        {"\"kty\":\"oct\",", "\"kty\":\"oct\",\"kty\":\"oct\",", false},
        {"\"oct\"", "\"RSA\"", false},
        {"\"oct\"", "\"octet\"", false},
        {"\"oct\"", "1", false},
        {"\"k\":", "\"K\":", false},
        {"\"kid\":", "\"kid2\":", false},
        {"\"kid\":", "\"k\":", false},
        {"\"hdr\":", "\"meta\":", false},
        {"\"meta\":", "\"use\":", false},
        {"\"meta\":{", "\"meta\":{},\"meta\":{", false},
        {"}}}", "}}},", false},
        {"}}}", "}}} ", true},
        {"}}}", "}}}{}", false},
        {"}}}", "}}", false},
        {"{\"kty\"", " {\"kty\"", true},
        {"{\"kty\"", "[\"kty\"", false},
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

Test(jwk, a_text_that_is_cut_anywhere_is_refused)
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
