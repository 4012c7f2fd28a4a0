/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata: what is refused when sealing, the exact bytes that are written, and what is read back. Section 4.4. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/suite.h"

SUITE(metadata);

static const struct blobseal_annotation colours[] = {{"a", "red"}, {"b", ""}, {"\xC3\xA4 \"\\", "\xF0\x9F\x94\x92"}};

static enum blobseal_status write_meta(const struct blobseal_metadata *metadata, char text[BLOBSEAL_MAX_METADATA + 1],
                                       struct blobseal_error *err)
{
    uint8_t *buf = must_alloc(BLOBSEAL_MAX_METADATA);
    struct bs_slice s;
    enum blobseal_status st;

    *err = (struct blobseal_error){0};
    st = bs_metadata_write(&s, buf, metadata, err);
    cr_assert_leq(s.len, BLOBSEAL_MAX_METADATA);
    cr_assert(st == BLOBSEAL_OK || s.len == 0, "nothing is written after a failure");
    cr_assert_eq(err->status, st);
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    free(buf);
    return st;
}

static void expect_text(const struct blobseal_metadata *metadata, const char *want)
{
    char text[BLOBSEAL_MAX_METADATA + 1];
    struct blobseal_error err;

    cr_assert_eq(write_meta(metadata, text, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_str_eq(text, want);
}

static void expect_refusal(const struct blobseal_metadata *metadata, enum blobseal_status want, const char *words)
{
    char text[BLOBSEAL_MAX_METADATA + 1];
    struct blobseal_error err;
    enum blobseal_status st = write_meta(metadata, text, &err);

    cr_expect_eq(st, want, "%s: %s (%s)", words, blobseal_status_code(st), err.text);
    cr_expect_not_null(strstr(err.text, words), "%s: %s", words, err.text);
}

#define META(...) (&(struct blobseal_metadata){.size = sizeof(struct blobseal_metadata), __VA_ARGS__})
#define ONE(n, v)                                                                                                      \
    .num_annotations = 1, .annotations = (const struct blobseal_annotation[])                                          \
    {                                                                                                                  \
        {                                                                                                              \
            (n), (v)                                                                                                   \
        }                                                                                                              \
    }

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

Test(metadata, is_written_without_what_is_not_there)
{
    expect_text(NULL, "");
    expect_text(META(0), "");
    expect_text(META(.name = "n"), "{\"name\":\"n\"}");
    expect_text(META(.type = "a/b"), "{\"type\":\"a/b\"}");
    expect_text(META(ONE("k", "v")), "{\"ann\":{\"k\":\"v\"}}");
    expect_text(META(.name = "n", ONE("k", "")), "{\"name\":\"n\",\"ann\":{\"k\":\"\"}}");
    expect_text(META(.type = "a/b", ONE("k", "v")), "{\"type\":\"a/b\",\"ann\":{\"k\":\"v\"}}");
    expect_text(META(.name = "n", .type = "a/b", .num_annotations = COUNT(colours), .annotations = colours),
                "{\"name\":\"n\",\"type\":\"a/b\",\"ann\":{\"a\":\"red\",\"b\":\"\","
                "\"\xC3\xA4 \\\"\\\\\":\"\xF0\x9F\x94\x92\"}}");
}

Test(metadata, escapes_what_json_needs_escaped)
{
    expect_text(META(.name = "\x01\n\t\x1F\x7F/\"\\"), "{\"name\":\"\\u0001\\u000a\\u0009\\u001f\x7F/\\\"\\\\\"}");
}

Test(metadata, strings_are_utf8_and_names_not_empty)
{
    expect_refusal(META(.name = ""), BLOBSEAL_E_ARG, "the name is empty");
    expect_refusal(META(.name = "\xFF"), BLOBSEAL_E_ARG, "UTF-8");
    expect_refusal(META(.name = "cut \xE2\x82"), BLOBSEAL_E_ARG, "UTF-8");
    expect_refusal(META(ONE("\xC0\x80", "")), BLOBSEAL_E_ARG, "UTF-8");
    expect_refusal(META(ONE("k", "\xED\xA0\x80")), BLOBSEAL_E_ARG, "UTF-8");
    expect_refusal(META(ONE("", "v")), BLOBSEAL_E_ARG, "lacks its name");
    expect_refusal(META(ONE(NULL, "v")), BLOBSEAL_E_ARG, "lacks its name");
    expect_refusal(META(ONE("k", NULL)), BLOBSEAL_E_ARG, "or its value");
    expect_refusal(META(.num_annotations = 3,
                        .annotations = (const struct blobseal_annotation[]){{"a", "1"}, {"b", "2"}, {"a", "3"}}),
                   BLOBSEAL_E_ARG, "two annotations have the same name: a");
    expect_refusal(&(struct blobseal_metadata){.size = 4, .name = "n"}, BLOBSEAL_E_ARG, "size of the metadata");
}

Test(metadata, types_follow_rfc_6838)
{
    static const char *const good[] = {"a/b", "application/x-tar", "application/vnd.oci.image.layer.v1.tar+gzip",
                                       "1/2", "TEXT/Plain",        "x!#$&-^_.+/x!#$&-^_.+"};
    static const char *const bad[] = {"",      "a",          "/",       "a/",    "/b",   "a/b/c",
                                      "a b/c", "a/b c",      "a/b;c=d", "a/b ",  " a/b", "-a/b",
                                      "a/+b",  "a/\xC3\xA4", "*/*",     "a/b\n", "a\\b", "a//b"};
    char longest[256];

    for (size_t i = 0; i < COUNT(good); i++) {
        char text[BLOBSEAL_MAX_METADATA + 1];
        struct blobseal_error err;

        cr_expect_eq(write_meta(META(.type = good[i]), text, &err), BLOBSEAL_OK, "%s", good[i]);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        expect_refusal(META(.type = bad[i]), BLOBSEAL_E_ARG, "not a media type");
    for (int len = 127; len <= 128; len++) {
        char text[BLOBSEAL_MAX_METADATA + 1];
        struct blobseal_error err;

        (void)snprintf(longest, sizeof longest, "%0*d/b", len, 0);
        cr_expect_eq(write_meta(META(.type = longest), text, &err), len == 127 ? BLOBSEAL_OK : BLOBSEAL_E_ARG);
        (void)snprintf(longest, sizeof longest, "b/%0*d", len, 0);
        cr_expect_eq(write_meta(META(.type = longest), text, &err), len == 127 ? BLOBSEAL_OK : BLOBSEAL_E_ARG);
    }
}

static void number(struct blobseal_annotation *list, char (*names)[24], size_t num)
{
    for (size_t i = 0; i < num; i++) {
        (void)snprintf(names[i], sizeof names[i], "%zu", i);
        list[i] = (struct blobseal_annotation){names[i], ""};
    }
}

Test(metadata, more_than_fits_is_refused)
{
    struct blobseal_annotation list[BLOBSEAL_MAX_ANNOTATIONS + 1];
    char names[BLOBSEAL_MAX_ANNOTATIONS + 1][24], name[BLOBSEAL_MAX_METADATA + 1], text[BLOBSEAL_MAX_METADATA + 1];
    const size_t around = strlen("{\"name\":\"\"}");
    struct blobseal_error err;

    number(list, names, COUNT(list));
    cr_expect_eq(write_meta(META(.num_annotations = 64, .annotations = list), text, &err), BLOBSEAL_OK);
    expect_refusal(META(.num_annotations = 65, .annotations = list), BLOBSEAL_E_POLICY, "at most 64");
    memset(name, 'n', sizeof name);
    name[BLOBSEAL_MAX_METADATA - around] = '\0';
    cr_expect_eq(write_meta(META(.name = name), text, &err), BLOBSEAL_OK);
    cr_expect_eq(strlen(text), BLOBSEAL_MAX_METADATA);
    name[BLOBSEAL_MAX_METADATA - around] = 'n';
    name[BLOBSEAL_MAX_METADATA - around + 1] = '\0';
    expect_refusal(META(.name = name), BLOBSEAL_E_POLICY, "more than 4096 bytes");
    name[700] = '\0';
    memset(name, '\n', 700); /* each of these takes six bytes when escaped */
    expect_refusal(META(.name = name), BLOBSEAL_E_POLICY, "more than 4096 bytes");
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

/* Read @text, of @len bytes. The strings of m point into *@copy; free it with free(). */
static bool read_meta(struct bs_metadata *m, const char *text, size_t len, uint8_t **copy)
{
    *copy = must_copy(text, len);
    return bs_metadata_read(m, *copy, len);
}

Test(metadata, nul_is_refused_and_other_control_characters_are_kept)
{
    static const char good[] = "{\"name\":\"a\\u0001b\",\"ann\":{\"\\u001f\":\"\\n\"}}";
    static const char *const bad[] = {"{\"name\":\"a\\u0000b\"}", "{\"type\":\"\\u0000\"}",
                                      "{\"ann\":{\"\\u0000\":\"\"}}", "{\"ann\":{\"a\":\"b\\u0000\"}}"};
    struct bs_metadata m;
    uint8_t *copy;

    cr_assert(read_meta(&m, good, strlen(good), &copy));
    cr_expect_str_eq(m.shown.name, "a\x01"
                                   "b");
    cr_expect_null(m.shown.type);
    cr_assert_eq(m.shown.num_annotations, 1);
    cr_expect_str_eq(m.shown.annotations[0].name, "\x1F");
    cr_expect_str_eq(m.shown.annotations[0].value, "\n");
    free(copy);
    for (size_t i = 0; i < COUNT(bad); i++) {
        cr_expect_not(read_meta(&m, bad[i], strlen(bad[i]), &copy), "%s", bad[i]);
        free(copy);
    }
}

/* The SHA-256 of the label, a zero byte and the text, computed with sha256sum. */
Test(metadata, hash_has_a_label)
{
    static const char want[] = "8231928dada0741fa1be97c69aab1893f9af5ad033085f4f286644a4eb490c86";
    uint8_t hash[BS_SHA256_LEN];
    char hex[65];

    cr_assert(bs_metadata_hash(hash, (struct bs_slice){(const uint8_t *)"{}", 2}));
    for (size_t i = 0; i < sizeof hash; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    cr_expect_str_eq(hex, want);
}

Test(metadata, every_truncated_text_is_refused)
{
    static const char text[] = "{\"name\":\"a\",\"type\":\"b\",\"ann\":{\"c\":\"d\",\"e\":\"f\"}}";
    struct bs_metadata m;
    uint8_t *copy;

    for (size_t len = 1; len <= strlen(text); len++) {
        cr_expect_eq(read_meta(&m, text, len, &copy), len == strlen(text), "%.*s", (int)len, text);
        free(copy);
    }
}

Test(metadata, faults_in_strings_are_refused)
{
    static const char *const bad[] = {"{\"name\":\"\\x\"}",
                                      "{\"name\":\"\xFF\"}",
                                      "{\"type\":\"\\ud800\"}",
                                      "{\"ann\":{\"\xFF\":\"\"}}",
                                      "{\"ann\":{\"a\":\"\\u00\"}}",
                                      "{\"ann\":{\"a\":\"b\"},\"ann\":{}}",
                                      "{\"name\":\"a\",\"name\":\"b\"}"};
    struct bs_metadata m;
    uint8_t *copy;

    for (size_t i = 0; i < COUNT(bad); i++) {
        cr_expect_not(read_meta(&m, bad[i], strlen(bad[i]), &copy), "%s", bad[i]);
        free(copy);
    }
}

/* ---- Through a blob ---------------------------------------------------------------------------------------------- */

#define MAX_KEKS 64

static void expect_same(const struct blobseal_metadata *a, const struct blobseal_metadata *b)
{
    cr_assert_not_null(a);
    cr_expect_eq(a->size, sizeof *a);
    cr_expect(a->name == NULL ? b->name == NULL : strcmp(a->name, b->name) == 0);
    cr_expect(a->type == NULL ? b->type == NULL : strcmp(a->type, b->type) == 0);
    cr_assert_eq(a->num_annotations, b->num_annotations);
    for (size_t i = 0; i < a->num_annotations; i++) {
        cr_expect_str_eq(a->annotations[i].name, b->annotations[i].name);
        cr_expect_str_eq(a->annotations[i].value, b->annotations[i].value);
    }
}

/* Seal with @meta for @num keys of 4096 bits, and open the blob. */
static enum blobseal_status round_trip(const struct blobseal_metadata *metadata, size_t num, uint32_t capacity,
                                       enum blobseal_layout layout, struct blobseal_error *err)
{
    const struct blobseal_seal_options o = {
        .size = sizeof o, .threads = 1, .layout = layout, .slot_capacity = capacity, .metadata = metadata};
    static struct fake_kek fake[MAX_KEKS];
    static char kids[MAX_KEKS][96];
    struct blobseal_kek *keks[MAX_KEKS] = {0};
    struct blobseal_reader_options ro = {.size = sizeof ro, .threads = 1};
    struct blobseal_memory memory;
    struct blobseal_source source;
    struct blobseal_reader *reader;
    struct blobseal_info *info;
    struct sealed s;
    enum blobseal_status st;

    for (size_t i = 0; i < num; i++) { /* as long as a typical kid */
        (void)snprintf(kids[i], sizeof kids[i], "urn:ietf:params:oauth:jwk-thumbprint:sha-256:%043zu", i);
        fake[i] = (struct fake_kek){.kid = kids[i], .wrapped_len = 512};
        keks[i] = fake_kek_open(&fake[i]);
    }
    st = seal_bytes(&s, "content", 7, keks, num, &o, err);
    if (st == BLOBSEAL_OK) {
        blobseal_source_memory(&source, &memory, s.data, s.len);
        ro.envelope = s.result.envelope;
        ro.envelope_len = s.result.envelope_len;
        cr_assert_eq(blobseal_inspect(&info, &source, ro.envelope, ro.envelope_len, err), BLOBSEAL_OK);
        cr_expect_null(info->metadata, "nothing is shown without a key");
        cr_expect_eq(info->num_recipients, num);
        blobseal_info_free(info);
        cr_assert_eq(blobseal_reader_open(&reader, &source, &keks[num - 1], 1, &ro, err), BLOBSEAL_OK, "%s", err->text);
        if (metadata != NULL && (metadata->name != NULL || metadata->type != NULL || metadata->num_annotations > 0))
            expect_same(blobseal_reader_info(reader)->metadata, metadata);
        else
            cr_expect_null(blobseal_reader_info(reader)->metadata);
        blobseal_reader_close(reader);
    }
    sealed_clear(&s);
    for (size_t i = 0; i < num; i++)
        blobseal_kek_close(keks[i]);
    return st;
}

Test(metadata, comes_back_in_every_layout)
{
    static const enum blobseal_layout layouts[] = {BLOBSEAL_LAYOUT_COMPACT, BLOBSEAL_LAYOUT_AB,
                                                   BLOBSEAL_LAYOUT_DETACHED};
    struct blobseal_annotation list[BLOBSEAL_MAX_ANNOTATIONS];
    char names[BLOBSEAL_MAX_ANNOTATIONS][24];
    struct blobseal_error err;

    number(list, names, COUNT(list));
    for (size_t i = 0; i < COUNT(layouts); i++) {
        cr_expect_eq(round_trip(NULL, 1, 0, layouts[i], &err), BLOBSEAL_OK, "%s", err.text);
        cr_expect_eq(round_trip(META(0), 2, 0, layouts[i], &err), BLOBSEAL_OK, "%s", err.text);
        cr_expect_eq(round_trip(META(.name = "../../etc/\x01passwd"), 1, 0, layouts[i], &err), BLOBSEAL_OK);
        cr_expect_eq(round_trip(META(.type = "text/plain"), 1, 0, layouts[i], &err), BLOBSEAL_OK);
        cr_expect_eq(
            round_trip(META(.name = "n", .type = "a/b", .num_annotations = COUNT(colours), .annotations = colours), 3,
                       0, layouts[i], &err),
            BLOBSEAL_OK, "%s", err.text);
        cr_expect_eq(round_trip(META(.num_annotations = COUNT(list), .annotations = list), 1, 0, layouts[i], &err),
                     BLOBSEAL_OK);
    }
}

Test(metadata, the_largest_fits_for_any_number_of_recipients)
{
    static const size_t counts[] = {1, 20, MAX_KEKS};
    char name[BLOBSEAL_MAX_METADATA];
    struct blobseal_error err;

    memset(name, 'n', sizeof name);
    name[BLOBSEAL_MAX_METADATA - strlen("{\"name\":\"\"}")] = '\0';
    for (size_t i = 0; i < COUNT(counts); i++)
        for (unsigned layout = BLOBSEAL_LAYOUT_COMPACT; layout <= BLOBSEAL_LAYOUT_DETACHED; layout++)
            cr_expect_eq(round_trip(META(.name = name), counts[i], 0, layout, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_eq(round_trip(META(.name = name), 1, 4096, BLOBSEAL_LAYOUT_AB, &err), BLOBSEAL_E_POLICY);
    cr_expect_not_null(strstr(err.text, "does not fit a slot of 4096 bytes"), "%s", err.text);
    cr_expect_not_null(strstr(err.hint, "metadata"), "%s", err.hint);
}

Test(metadata, faults_end_the_sealing_before_anything_is_written)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .metadata = META(.type = "none")};
    struct test_source from = {.data = (const uint8_t *)"x", .len = 1};
    struct test_sink to = {.cap = 1};
    struct fake_kek fake = {.kid = "key"};
    struct blobseal_kek *kek = fake_kek_open(&fake);
    struct blobseal_source source;
    struct blobseal_sink sink;

    test_source_start(&source, &from);
    test_sink_start(&sink, &to);
    cr_expect_eq(blobseal_seal(&sink, &source, &kek, 1, &o, NULL, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(from.calls, 0);
    cr_expect_eq(to.calls, 0);
    cr_expect_eq(fake.wraps, 0);
    test_source_end(&from);
    test_sink_end(&to);
    blobseal_kek_close(kek);
}
