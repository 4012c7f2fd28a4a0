/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict base64url without padding (RFC 4648 section 5). Neither table lookups nor branches depend on the characters,
 * because data keys are encoded and decoded here.
 */
#include "core/base/base.h"

/* All bits set if the value or character @v, from 0 to 127, is greater than @last, otherwise 0. */
#define BEYOND(v, last) ((int8_t)((last) - (v)) >> 7)

/*
 * Replace @len values from 0 to 63 by their characters. ASCII has four gaps between the ranges of the alphabet; each
 * value is shifted by the gaps before it. The loop is simple enough for compilers to process 16 values at a time.
 */
static void to_alphabet(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int8_t v = (int8_t)text[i];

        text[i] =
            (char)(v + 'A' + (BEYOND(v, 25) & 6) - (BEYOND(v, 51) & 75) - (BEYOND(v, 61) & 13) + (BEYOND(v, 62) & 49));
    }
}

/*
 * Write the values of @len characters. Return 0 if all are in the alphabet, otherwise another number. Like
 * to_alphabet(), the loop is simple enough for compilers.
 */
static unsigned from_alphabet(uint8_t *values, const char *text, size_t len)
{
    uint8_t bad = 0;

    for (size_t i = 0; i < len; i++) {
        int8_t c = (int8_t)text[i];
        int8_t minus = (int8_t)(BEYOND(c, '-' - 1) & ~BEYOND(c, '-'));
        int8_t digit = (int8_t)(BEYOND(c, '0' - 1) & ~BEYOND(c, '9'));
        int8_t upper = (int8_t)(BEYOND(c, 'A' - 1) & ~BEYOND(c, 'Z'));
        int8_t under = (int8_t)(BEYOND(c, '_' - 1) & ~BEYOND(c, '_'));
        int8_t lower = (int8_t)(BEYOND(c, 'a' - 1) & ~BEYOND(c, 'z'));
        int8_t ok = (int8_t)((minus | digit | upper | under | lower) & ~(c >> 7));

        values[i] = (uint8_t)((c + (minus & (62 - '-')) + (digit & (52 - '0')) + (upper & -'A') + (under & (63 - '_')) +
                               (lower & (26 - 'a'))) &
                              ok);
        bad |= (uint8_t)~ok;
    }
    return bad;
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

/* Write 3 bytes for each 4 values. */
static void pack(uint8_t *out, const uint8_t *v, size_t len)
{
    for (size_t i = 0; i < len; i += 4, out += 3) {
        uint32_t x = (uint32_t)v[i] << 18 | (uint32_t)v[i + 1] << 12 | (uint32_t)v[i + 2] << 6 | v[i + 3];

        out[0] = (uint8_t)(x >> 16);
        out[1] = (uint8_t)(x >> 8);
        out[2] = (uint8_t)x;
    }
}

#define BLOCK 64 /* characters that are decoded at a time */

bool blobseal_base64url_decode(uint8_t *out, size_t cap, size_t *out_len, const char *in, size_t len)
{
    size_t full = len / 4 * 4, rest = len % 4, total = full / 4 * 3 + (rest > 0 ? rest - 1 : 0);
    uint8_t v[BLOCK] = {0};
    unsigned bad = 0;

    *out_len = 0;
    if (rest == 1 || total > cap)
        return false;
    for (size_t n; full > 0; full -= n, in += n, out += n / 4 * 3) {
        n = full < BLOCK ? full : BLOCK;
        bad |= from_alphabet(v, in, n);
        pack(out, v, n);
    }
    if (rest > 0) {
        bad |= from_alphabet(v, in, rest);
        out[0] = (uint8_t)(v[0] << 2 | v[1] >> 4);
        if (rest == 3)
            out[1] = (uint8_t)(v[1] << 4 | v[2] >> 2);
        bad |= rest == 3 ? v[2] & 3 : v[1] & 15; /* unused bits must be 0, so that the text is unique */
    }
    blobseal_wipe(v, sizeof v);
    if (bad != 0)
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
