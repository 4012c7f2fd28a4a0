/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs say on stdout for machines, and the notes on stderr for people. */
#include <errno.h>
#include <stdio.h>

#include "cli.h"

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

/* Whether @s is well-formed enough to stand in JSON as it is (RFC 3629, without the finer points of ranges). */
static bool is_utf8(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;

    while (*p != 0) {
        unsigned more = *p < 0x80 ? 0 : *p >= 0xF0 ? 3 : *p >= 0xE0 ? 2 : 1;

        if ((*p >= 0x80 && *p < 0xC2) || *p > 0xF4)
            return false;
        for (p++; more > 0; more--, p++)
            if ((*p & 0xC0) != 0x80)
                return false;
    }
    return true;
}

/* A JSON string. File names can hold any bytes: those of a name that is not UTF-8 are shown as Latin-1. */
static void put_string(const char *s)
{
    bool utf8 = is_utf8(s);

    putchar('"');
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < ' ' || c == 0x7F || (c > '~' && !utf8))
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void put_name(const char *name)
{
    putchar(',');
    put_string(name);
    putchar(':');
}

void json_start(const char *schema)
{
    fputs("{\"schema\":", stdout);
    put_string(schema);
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

void json_recipients(const struct blobseal_recipient *recipients, size_t num)
{
    put_name("recipients");
    putchar('[');
    for (size_t i = 0; i < num; i++) {
        fputs(i > 0 ? ",{\"kid\":" : "{\"kid\":", stdout);
        put_string(recipients[i].kid);
        json_text("alg", recipients[i].alg);
        if (recipients[i].region != NULL)
            json_text("region", recipients[i].region);
        putchar('}');
    }
    putchar(']');
}

bool json_end(struct blobseal_error *err)
{
    fputs("}\n", stdout);
    if (fflush(stdout) != 0 || ferror(stdout))
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "write the report to standard output");
    return true;
}

void hex_id(char out[2 * BLOBSEAL_BLOB_ID_LEN + 1], const uint8_t id[BLOBSEAL_BLOB_ID_LEN])
{
    for (size_t i = 0; i < BLOBSEAL_BLOB_ID_LEN; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", id[i]);
}

bool report_print(const struct report *r, struct blobseal_error *err)
{
    char id[2 * BLOBSEAL_BLOB_ID_LEN + 1];

    hex_id(id, r->blob_id);
    json_start(r->schema);
    json_text("in", r->in);
    if (r->out != NULL)
        json_text("out", r->out);
    json_number("plain_bytes", r->plain_bytes);
    json_number("sealed_bytes", r->sealed_bytes);
    json_text("blob_id", id);
    json_recipients(r->recipients, r->num_recipients);
    json_seconds("seconds", r->seconds);
    return json_end(err);
}

/* ---- Notes ------------------------------------------------------------------------------------------------------ */

void report_notes(const char *name, uint32_t notes)
{
    if ((notes & BLOBSEAL_NOTE_SLOT_INVALID) != 0)
        warn("%s: one of the two envelope slots is damaged; the other one serves", name);
    if ((notes & BLOBSEAL_NOTE_TIE) != 0)
        warn("%s: two different envelopes have the same generation; the first one that opens counts", name);
    else if ((notes & BLOBSEAL_NOTE_UNFINISHED) != 0)
        warn("%s: a change of the envelope did not finish; the newer one counts", name);
    if ((notes & BLOBSEAL_NOTE_LENGTH) != 0)
        warn("%s: no blob has this length: it is cut or extended", name);
}
