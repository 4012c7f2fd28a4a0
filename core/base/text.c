/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 validation, making text safe for a terminal, and packing strings after the struct that points to them. */
#include "core/base/base.h"

size_t blobseal_utf8_len(const uint8_t *p, size_t left)
{
    /* The range of the second byte excludes overlong forms, surrogates and code points above U+10FFFF. */
    uint8_t low = p[0] == 0xE0   ? 0xA0
                  : p[0] == 0xF0 ? 0x90
                                 : 0x80,
            high = p[0] == 0xED   ? 0x9F
                   : p[0] == 0xF4 ? 0x8F
                                  : 0xBF;
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;

    if ((p[0] >= 0x80 && p[0] < 0xC2) || p[0] > 0xF4 || left < len)
        return 0;
    if (len > 1 && (p[1] < low || p[1] > high))
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return len;
}

/* Return the code point of the well-formed UTF-8 character at @p, which has @len bytes. */
static uint32_t decode_utf8(const uint8_t *p, size_t len)
{
    static const uint8_t masks[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t c = p[0] & masks[len];

    for (size_t i = 1; i < len; i++)
        c = c << 6 | (p[i] & 0x3F);
    return c;
}

/*
 * Return true for a character that is not shown as such, but can change how other text is shown: control characters,
 * line and paragraph separators, and format characters such as bidirectional controls. Source: Unicode 15, categories
 * Cc, Zl, Zp and, where they are invisible, Cf; the tags and what else is ignorable in plane 14.
 */
static bool is_control(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00, 0x1F},       {0x7F, 0x9F},       {0xAD, 0xAD},       {0x61C, 0x61C},   {0x180E, 0x180E},
        {0x200B, 0x200F},   {0x2028, 0x202E},   {0x2060, 0x206F},   {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB},
        {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
    };

    for (size_t i = 0; i < BS_COUNT(ranges); i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

void blobseal_make_printable(char *text)
{
    uint8_t *p = (uint8_t *)text;
    size_t left = strlen(text);

    while (left > 0) {
        size_t len = blobseal_utf8_len(p, left);

        if (len == 0 || is_control(decode_utf8(p, len))) {
            *p = '?';
            len = 1;
        }
        p += len;
        left -= len;
    }
}

size_t bs_packed_len(const char *s)
{
    return s != NULL ? strlen(s) + 1 : 0;
}

const char *bs_pack_string(char **at, const char *s)
{
    size_t len = bs_packed_len(s);
    char *copy = *at;

    if (s == NULL)
        return NULL;
    memcpy(copy, s, len);
    *at += len;
    return copy;
}

size_t bs_packed_recipient_len(const struct blobseal_recipient *r)
{
    return bs_packed_len(r->alg) + bs_packed_len(r->kid);
}

struct blobseal_recipient bs_pack_recipient(char **at, const struct blobseal_recipient *r)
{
    struct blobseal_recipient copy = {.unknown = r->unknown};

    copy.alg = bs_pack_string(at, r->alg);
    copy.kid = bs_pack_string(at, r->kid);
    return copy;
}
