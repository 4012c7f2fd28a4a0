/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata and the size of the content of envelopes, and envelopes of later versions. Sections 4.3 and 4.4. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/core/envelope/parts.h"

SUITE(envelope_content);

/* Make an envelope with @metadata, which is bound to the core header unless it is not @bound. */
static void metadata_make(struct parts *p, const char *metadata, bool bound)
{
    static char text[8192], member[8448];

    parts_make(p, 1);
    p->r.metadata = bound ? metadata : NULL;
    recipe_derive(&p->r);
    set_texts(p);
    b64(text, metadata, strlen(metadata));
    (void)snprintf(member, sizeof member, "\",\"meta\":\"%s\"}", text);
    edit_content(p, "\"}", member);
}

static void expect_metadata(const char *metadata, enum blobseal_status want)
{
    static struct parts p;

    metadata_make(&p, metadata, true);
    expect(&p, want, metadata);
}

Test(envelope_content, metadata_is_a_strict_json_object)
{
    static const char *const good[] = {
        "{}",
        " {\n} ",
        "{\"name\":\"a\",\"type\":\"text/plain\",\"ann\":{\"a\":\"b\",\"c\":\"d\"}}",
        "{\"name\":\"../../etc/passwd\"}", /* a name is never used as a path */
        "{\"name\":\"\\u0001\\ud83d\\udd12\"}",
    };
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "{}{}",
        "{}\x01",
        "\xEF\xBB\xBF{}",
        "\"e30\"",
        "{\"name\":1}",
        "{\"name\":\"a\",\"name\":\"a\"}",
        "{\"type\":\"a\",\"type\":\"a\"}",
        "{\"ann\":{},\"ann\":{}}",
        "{\"size\":\"a\"}",
        "{\"ann\":\"a\"}",
        "{\"ann\":{\"a\":1}}",
        "{\"ann\":{\"a\":{}}}",
        "{\"ann\":{\"a\":\"1\",\"a\":\"2\"}}",
        "{\"ann\":{\"a\":\"1\",\"\\u0061\":\"2\"}}",
        "{\"name\":\"\xFF\"}",
        "{\"name\":\"a\nb\"}",
        "{\"name\":\"a\\u0000\"}",
        "{\"ann\":{\"\\u0000\":\"\"}}",
        "{\"ann\":{\"a\":\"\\u0000b\"}}",
    };

    for (size_t i = 0; i < COUNT(good); i++)
        expect_metadata(good[i], BLOBSEAL_OK);
    for (size_t i = 0; i < COUNT(bad); i++)
        expect_metadata(bad[i], BLOBSEAL_E_FORMAT);
}

/* Another text of the same metadata is other metadata: the bytes are bound, not what they mean. */
Test(envelope_content, metadata_is_bound_to_the_core_header)
{
    static const char *const others[] = {"{} ", "{\"name\":\"b\"}", "{\"name\":\"\\u0061\"}", " {\"name\":\"a\"}"};
    static struct parts p;
    char text[64], other[64];

    metadata_make(&p, "{}", false);
    expect(&p, BLOBSEAL_E_AUTH, "added to a blob without metadata");
    b64(text, "{\"name\":\"a\"}", strlen("{\"name\":\"a\"}"));
    for (size_t i = 0; i < COUNT(others); i++) {
        metadata_make(&p, "{\"name\":\"a\"}", true);
        expect(&p, BLOBSEAL_OK, "unchanged");
        b64(other, others[i], strlen(others[i]));
        edit_content(&p, text, other);
        expect(&p, BLOBSEAL_E_AUTH, others[i]);
    }
    metadata_make(&p, "{\"name\":\"a\"}", true);
    set_texts(&p);
    expect(&p, BLOBSEAL_E_AUTH, "dropped");
}

Test(envelope_content, metadata_is_limited_to_4096_bytes)
{
    for (int len = 4095; len <= 4097; len++) {
        char text[4100];

        (void)snprintf(text, sizeof text, "{\"name\":\"%0*d\"}", len - (int)strlen("{\"name\":\"\"}"), 0);
        expect_metadata(text, len <= 4096 ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT);
    }
    expect_metadata("{}", BLOBSEAL_OK);
}

Test(envelope_content, metadata_has_at_most_64_annotations)
{
    for (unsigned n = 63; n <= 65; n++) {
        char text[2048];
        int len = snprintf(text, sizeof text, "{\"ann\":{\"a0\":\"\"");

        for (unsigned i = 1; i < n; i++)
            len += snprintf(text + len, sizeof text - (size_t)len, ",\"a%u\":\"\"", i);
        (void)snprintf(text + len, sizeof text - (size_t)len, "}}");
        expect_metadata(text, n <= 64 ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT);
    }
}

Test(envelope_content, content_is_limited_to_8192_bytes)
{
    static struct parts p;

    for (size_t len = BS_JWE_MAX_CONTENT - 1; len <= BS_JWE_MAX_CONTENT + 1; len++) {
        struct vec_bytes room = vec_copy(NULL, BLOBSEAL_MAX_ENVELOPE);
        struct bs_builder w = bs_builder_start(room.p, room.len);
        static const uint8_t zeros[BS_JWE_MAX_CONTENT + 1];
        struct bs_envelope e;
        size_t at;

        parts_make(&p, 1);
        cr_assert_eq(bs_jwe_write(&w, &p.jwe, (struct bs_slice){(const uint8_t *)p.header, strlen(p.header)}, &p.r.cek,
                                  (struct bs_slice){zeros, 0}, NULL),
                     BLOBSEAL_OK);
        at = (size_t)(strstr((const char *)room.p, "\"ciphertext\":\"") - (const char *)room.p) +
             strlen("\"ciphertext\":\"");
        memmove(room.p + at + BLOBSEAL_BASE64URL_LEN(len), room.p + at, w.len - at);
        blobseal_base64url_encode((char *)room.p + at, zeros, len <= sizeof zeros ? len : sizeof zeros);
        cr_expect_eq(bs_envelope_parse(&e, (const char *)room.p, w.len + BLOBSEAL_BASE64URL_LEN(len), NULL),
                     len <= BS_JWE_MAX_CONTENT ? BLOBSEAL_OK : BLOBSEAL_E_FORMAT, "%zu", len);
        bs_envelope_clear(&e);
        free(room.p);
    }
}

/* ---- Later versions ---------------------------------------------------------------------------------------------- */

/* Whatever else a later version changes, it is never taken for a malformed envelope of this one. */
Test(envelope_content, another_version_is_unsupported_whatever_else_is_wrong)
{
    static const char *const versions[][2] = {{"\"v\":1", "\"v\":2"}, {"\"layer\":1", "\"layer\":2"}};
    static const char *const faults[][2] = {
        {"{\"enc\"", "{\"new\":[{},\"\",{\"a\":[1,{}]}],\"enc\""},
        {"\"bs\":{", "\"bs\":{\"new\":{\"a\":[]},"},
        {"\"typ\":\"blobseal\"", "\"typ\":\"other\""},
        {"\"gen\":1", "\"gen\":0"},
        {"\"gen\":1,", ""},
        {"\"blob\":\"", "\"blob\":\"AAAA"},
        {"\"cty\":\"jwk+json\",", ""},
    };
    static struct parts p;

    for (size_t v = 0; v < COUNT(versions); v++)
        for (size_t i = 0; i < COUNT(faults); i++) {
            parts_make(&p, 2);
            edit_header(&p, faults[i][0], faults[i][1]);
            expect(&p, BLOBSEAL_E_FORMAT, faults[i][1]);
            edit_header(&p, versions[v][0], versions[v][1]);
            expect(&p, BLOBSEAL_E_UNSUPPORTED, faults[i][1]);
        }
    parts_make(&p, 2);
    edit_header(&p, "\"v\":1", "\"v\":2");
    p.jwe.recipients[1].kid = "";
    expect(&p, BLOBSEAL_E_UNSUPPORTED, "a recipient that this version refuses");
}
