/* SPDX-License-Identifier: Apache-2.0 */
/* One JSON object on standard output, written member by member. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static bool is_utf8(const char *s)
{
    size_t left = strlen(s), len = 1;

    for (; left > 0 && len > 0; left -= len, s += len)
        len = blobseal_utf8_len((const uint8_t *)s, left);
    return left == 0 && len > 0;
}

/* U+007F to U+009F: some terminals obey them. */
static bool is_control(const unsigned char *c)
{
    return c[0] == 0x7F || (c[0] == 0xC2 && c[1] >= 0x80 && c[1] < 0xA0);
}

/*
 * A JSON string, with every control character as an escape. File names can hold any bytes: those of a name that is not
 * UTF-8 are shown as Latin-1.
 */
static void put_string(const char *s)
{
    bool utf8 = is_utf8(s);

    putchar('"');
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < ' ' || (c > '~' && !utf8))
            printf("\\u%04x", c);
        else if (is_control((const unsigned char *)s))
            printf("\\u%04x", c == 0x7F ? c : (unsigned char)*++s);
        else
            putchar(c);
    }
    putchar('"');
}

static bool first; /* the next thing is the first of its object or list */

static void put_comma(void)
{
    if (!first)
        putchar(',');
    first = false;
}

static void put_name(const char *name)
{
    put_comma();
    put_string(name);
    putchar(':');
}

void json_start(const char *schema)
{
    putchar('{');
    first = true;
    json_text("schema", schema);
}

void json_list(const char *name)
{
    put_name(name);
    putchar('[');
    first = true;
}

void json_list_end(void)
{
    putchar(']');
    first = false;
}

void json_item(void)
{
    put_comma();
    putchar('{');
    first = true;
}

void json_item_end(void)
{
    putchar('}');
    first = false;
}

void json_text(const char *name, const char *value)
{
    put_name(name);
    if (value != NULL)
        put_string(value);
    else
        fputs("null", stdout);
}

void json_number(const char *name, uint64_t value)
{
    put_name(name);
    if (value == BLOBSEAL_SIZE_UNKNOWN)
        fputs("null", stdout);
    else
        printf("%llu", (unsigned long long)value);
}

void json_seconds(const char *name, double value)
{
    put_name(name);
    printf("%.6f", value);
}

void json_bool(const char *name, bool value)
{
    put_name(name);
    fputs(value ? "true" : "false", stdout);
}

void json_range(uint64_t offset, uint64_t length)
{
    put_name("range");
    printf("{\"offset\":%llu,\"length\":%llu}", (unsigned long long)offset, (unsigned long long)length);
}

void json_recipients(const struct blobseal_recipient *recipients, size_t num)
{
    json_list("recipients");
    for (size_t i = 0; i < num; i++) {
        json_item();
        json_text("kid", recipients[i].kid);
        json_text("alg", recipients[i].alg);
        if (recipients[i].region != NULL)
            json_text("region", recipients[i].region);
        json_item_end();
    }
    json_list_end();
}

static void start_object(const char *name)
{
    put_name(name);
    putchar('{');
    first = true;
}

void json_meta(const struct blobseal_metadata *metadata)
{
    if (metadata == NULL)
        return;
    start_object("meta");
    json_text("name", metadata->name);
    json_text("type", metadata->type);
    start_object("annotations");
    for (size_t i = 0; i < metadata->num_annotations; i++)
        json_text(metadata->annotations[i].name, metadata->annotations[i].value);
    json_item_end();
    json_item_end();
}

bool json_end(void)
{
    fputs("}\n", stdout);
    return fflush(stdout) == 0 && !ferror(stdout);
}
