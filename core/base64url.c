/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64url without padding (RFC 4648 section 5), strict, and without tables or branches on the characters: data keys
 * pass through it.
 */
#include "internal.h"

/* 0xFF where lo <= c <= hi, else 0. All values are below 256, so the differences' sign bits tell. */
static unsigned in_range(unsigned c, unsigned lo, unsigned hi)
{
    return (((lo - 1 - c) & (c - hi - 1)) >> 8) & 0xFF;
}

static char encode6(unsigned v)
{
    unsigned c = v + 'A';

    c += in_range(v, 26, 51) & ('a' - 'A' - 26U);
    c += in_range(v, 52, 61) & (unsigned)('0' - 'A' - 52);
    c += in_range(v, 62, 62) & (unsigned)('-' - 'A' - 62);
    c += in_range(v, 63, 63) & (unsigned)('_' - 'A' - 63);
    return (char)(c & 0x7F);
}

/* The value of a character; bit 8 is set for one outside the alphabet. */
static unsigned decode6(unsigned c)
{
    unsigned upper = in_range(c, 'A', 'Z'), lower = in_range(c, 'a', 'z'), digit = in_range(c, '0', '9');
    unsigned minus = in_range(c, '-', '-'), under = in_range(c, '_', '_');
    unsigned v =
        (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (digit & (c - '0' + 52)) | (minus & 62) | (under & 63);

    return (v & 0x3F) | (~(upper | lower | digit | minus | under) & 0xFF) << 8;
}

void blobseal_b64_encode(char *out, const uint8_t *in, size_t len)
{
    for (; len >= 3; len -= 3, in += 3) {
        unsigned v = (unsigned)in[0] << 16 | (unsigned)in[1] << 8 | in[2];

        *out++ = encode6(v >> 18);
        *out++ = encode6(v >> 12 & 63);
        *out++ = encode6(v >> 6 & 63);
        *out++ = encode6(v & 63);
    }
    if (len > 0) {
        unsigned v = (unsigned)in[0] << 16 | (len == 2 ? (unsigned)in[1] << 8 : 0);

        *out++ = encode6(v >> 18);
        *out++ = encode6(v >> 12 & 63);
        if (len == 2)
            *out++ = encode6(v >> 6 & 63);
    }
}

bool blobseal_b64_decode(uint8_t *out, size_t cap, size_t *out_len, const char *in, size_t len)
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
        bad |= (rest == 3 ? c & 3 : b & 15) << 8; /* stray bits: a second text for the same bytes */
    }
    if ((bad >> 8) != 0)
        return false;
    *out_len = total;
    return true;
}

void bs_put_b64(struct bs_writer_cur *w, const void *p, size_t len)
{
    uint8_t *room = bs_room(w, BLOBSEAL_B64_LEN(len));

    if (room != NULL)
        blobseal_b64_encode((char *)room, p, len);
}
