/* SPDX-License-Identifier: Apache-2.0 */
/* One JSON object on standard output, written member by member. */
#include "tools/common/common.h"

#include <string.h>

static bool is_utf8(const char *s)
{
    size_t left = strlen(s), len = 1;

    for (; left > 0 && len > 0; left -= len, s += len)
        len = blobseal_utf8_len((const uint8_t *)s, left);
    return left == 0 && len > 0;
}

/* Return true for a character of @len bytes that may change how a terminal shows other text, such as U+202E. */
static bool is_unprintable(const char *p, size_t len)
{
    char copy[5] = {0};

    memcpy(copy, p, len);
    blobseal_make_printable(copy);
    return memcmp(copy, p, len) != 0;
}

/* Write a character outside ASCII, or U+007F, as one escape or two: those of a surrogate pair. */
static void put_escape(const char *p, size_t len)
{
    static const unsigned char masks[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    unsigned long c = (unsigned char)p[0] & masks[len];

    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)p[i] & 0x3F);
    if (c < 0x10000)
        printf("\\u%04lx", c);
    else
        printf("\\u%04lx\\u%04lx", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + ((c - 0x10000) & 0x3FF));
}

/*
 * Write a JSON string, with every character as an escape that may not reach a terminal. File names can hold any bytes:
 * a name that is not UTF-8 is written as if it were Latin-1.
 */
static void put_string(const char *s)
{
    bool utf8 = is_utf8(s);
    size_t len;

    putchar('"');
    for (; *s != '\0'; s += len) {
        unsigned char c = (unsigned char)*s;

        len = utf8 ? blobseal_utf8_len((const uint8_t *)s, strlen(s)) : 1;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < ' ' || (c > '~' && !utf8))
            printf("\\u%04x", c);
        else if (is_unprintable(s, len))
            put_escape(s, len);
        else
            printf("%.*s", (int)len, s);
    }
    putchar('"');
}

/* ---- Objects and lists ------------------------------------------------------------------------------------------- */

static void put_comma(struct json *j)
{
    if (!j->first)
        putchar(',');
    j->first = false;
}

static void put_name(struct json *j, const char *name)
{
    put_comma(j);
    put_string(name);
    putchar(':');
}

static void start(struct json *j, char bracket)
{
    putchar(bracket);
    j->first = true;
}

static void end(struct json *j, char bracket)
{
    putchar(bracket);
    j->first = false;
}

/* Lock stdout until json_end(): threads that report files at the same time each print a whole line. */
void json_start(struct json *j, const char *schema)
{
    flockfile(stdout);
    start(j, '{');
    json_text(j, "schema", schema);
}

void json_list(struct json *j, const char *name)
{
    put_name(j, name);
    start(j, '[');
}

void json_nested(struct json *j, const char *name)
{
    put_name(j, name);
    start(j, '{');
}

void json_nested_end(struct json *j)
{
    end(j, '}');
}

void json_list_end(struct json *j)
{
    end(j, ']');
}

void json_item(struct json *j)
{
    put_comma(j);
    start(j, '{');
}

void json_item_end(struct json *j)
{
    end(j, '}');
}

bool json_end(struct json *j, struct blobseal_error *err)
{
    bool ok;

    end(j, '}');
    putchar('\n');
    ok = stdout_flush(err);
    funlockfile(stdout);
    return ok;
}

/* ---- Members ----------------------------------------------------------------------------------------------------- */

void json_text(struct json *j, const char *name, const char *value)
{
    put_name(j, name);
    if (value != NULL)
        put_string(value);
    else
        fputs("null", stdout);
}

void json_number(struct json *j, const char *name, uint64_t value)
{
    put_name(j, name);
    if (value == BLOBSEAL_SIZE_UNKNOWN)
        fputs("null", stdout);
    else
        printf("%llu", (unsigned long long)value);
}

void json_seconds(struct json *j, const char *name, double value)
{
    put_name(j, name);
    printf("%.6f", value);
}

void json_bool(struct json *j, const char *name, bool value)
{
    put_name(j, name);
    fputs(value ? "true" : "false", stdout);
}

void json_range(struct json *j, uint64_t offset, uint64_t length)
{
    put_name(j, "range");
    start(j, '{');
    json_number(j, "offset", offset);
    json_number(j, "length", length);
    json_item_end(j);
}

void json_recipients(struct json *j, const struct blobseal_recipient *recipients, size_t num)
{
    json_list(j, "recipients");
    for (size_t i = 0; i < num; i++) {
        json_item(j);
        json_text(j, "kid", recipients[i].kid);
        json_text(j, "alg", recipients[i].alg);
        if (recipients[i].unknown)
            json_bool(j, "known", false);
        json_item_end(j);
    }
    json_list_end(j);
}

void json_meta(struct json *j, const struct blobseal_metadata *metadata)
{
    if (metadata == NULL)
        return;
    put_name(j, "meta");
    start(j, '{');
    json_text(j, "name", metadata->name);
    json_text(j, "type", metadata->type);
    put_name(j, "annotations");
    start(j, '{');
    for (size_t i = 0; i < metadata->num_annotations; i++)
        json_text(j, metadata->annotations[i].name, metadata->annotations[i].value);
    json_item_end(j);
    json_item_end(j);
}

void json_time(struct json *j, const char *name, uint64_t seconds)
{
    char text[32];

    json_text(j, name, seconds != 0 ? utc_time(text, seconds) : NULL);
}
