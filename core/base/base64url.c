/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict base64url without padding (RFC 4648 section 5). Neither table lookups nor branches depend on the characters,
 * because data keys are encoded and decoded here.
 */
#include "core/base/base.h"

/* Return 0xFF if lo <= c <= hi, otherwise 0. All values are below 256, so the sign bits of the differences show it. */
static unsigned in_range(unsigned c, unsigned lo, unsigned hi)
{
    return (((lo - 1 - c) & (c - hi - 1)) >> 8) & 0xFF;
}

/*
 * Replace @len values from 0 to 63 by their characters. ASCII has four gaps between the ranges of the alphabet; each
 * value is shifted by the gaps before it. The loop is simple enough for compilers to process 16 values at a time.
 */
static void to_alphabet(char *text, size_t len)
{
#define BEYOND(v, last) ((int8_t)((last) - (v)) >> 7)
    for (size_t i = 0; i < len; i++) {
        int8_t v = (int8_t)text[i];

        text[i] =
            (char)(v + 'A' + (BEYOND(v, 25) & 6) - (BEYOND(v, 51) & 75) - (BEYOND(v, 61) & 13) + (BEYOND(v, 62) & 49));
    }
}

/* Return the value of a character. Bits 8 to 15 are set if it is outside the alphabet. */
static unsigned decode6(unsigned c)
{
    unsigned upper = in_range(c, 'A', 'Z'), lower = in_range(c, 'a', 'z'), digit = in_range(c, '0', '9');
    unsigned minus = in_range(c, '-', '-'), under = in_range(c, '_', '_');
    unsigned v =
        (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (digit & (c - '0' + 52)) | (minus & 62) | (under & 63);

    return (v & 0x3F) | (~(upper | lower | digit | minus | under) & 0xFF) << 8;
}

void blobseal_base64url_encode(char *out, const uint8_t *in, size_t len)
{
    size_t full = len / 3, rest = len % 3;
    char *p = out;

    for (size_t i = 0; i < full; i++, in += 3, p += 4) {
        p[0] = (char)(in[0] >> 2);
        p[1] = (char)((in[0] & 3) << 4 | in[1] >> 4);
        p[2] = (char)((in[1] & 15) << 2 | in[2] >> 6);
        p[3] = (char)(in[2] & 63);
    }
    if (rest > 0) {
        unsigned v = (unsigned)in[0] << 8 | (rest == 2 ? in[1] : 0);

        *p++ = (char)(v >> 10);
        *p++ = (char)(v >> 4 & 63);
        if (rest == 2)
            *p++ = (char)(v << 2 & 63);
    }
    to_alphabet(out, (size_t)(p - out));
}

bool blobseal_base64url_decode(uint8_t *out, size_t cap, size_t *out_len, const char *in, size_t len)
{
    size_t full = len / 4, rest = len % 4, total = full * 3 + (rest > 0 ? rest - 1 : 0);
    unsigned bad = 0;

    *out_len = 0;
    if (rest == 1 || total > cap)
        return false;
    for (size_t i = 0; i < full; i++, in += 4, out += 3) {
        unsigned a = decode6((uint8_t)in[0]), b = decode6((uint8_t)in[1]);
        unsigned c = decode6((uint8_t)in[2]), d = decode6((uint8_t)in[3]);

        bad |= a | b | c | d;
        out[0] = (uint8_t)(a << 2 | (b & 63) >> 4);
        out[1] = (uint8_t)(b << 4 | (c & 63) >> 2);
        out[2] = (uint8_t)(c << 6 | (d & 63));
    }
    if (rest > 0) {
        unsigned a = decode6((uint8_t)in[0]), b = decode6((uint8_t)in[1]), c = rest == 3 ? decode6((uint8_t)in[2]) : 0;

        bad |= a | b | c;
        out[0] = (uint8_t)(a << 2 | (b & 63) >> 4);
        if (rest == 3)
            out[1] = (uint8_t)(b << 4 | (c & 63) >> 2);
        bad |= (rest == 3 ? c & 3 : b & 15) << 8; /* unused bits must be 0, so that the text is unique */
    }
    if ((bad >> 8) != 0)
        return false;
    *out_len = total;
    return true;
}

void bs_put_base64url(struct bs_builder *w, const void *p, size_t len)
{
    uint8_t *room = bs_room(w, BLOBSEAL_BASE64URL_LEN(len));

    if (room != NULL)
        blobseal_base64url_encode((char *)room, p, len);
}
