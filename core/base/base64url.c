/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict base64url without padding (RFC 4648 section 5). Neither table lookups nor branches depend on the characters,
 * because data keys are encoded and decoded here.
 *
 * Text is converted in blocks of 16 characters, the last of which is padded. Vectors of that length are an extension of
 * GCC and Clang for all CPUs; comparing them yields elements of which all bits are set or none.
 */
#define _DEFAULT_SOURCE /* endian.h */
#include <endian.h>

#include "core/base/base.h"

#define BLOCK       ((size_t)16) /* characters of a block, or their values from 0 to 63 */
#define BLOCK_BYTES ((size_t)12) /* what they represent                                 */

typedef int8_t characters __attribute__((vector_size(16)));
typedef uint64_t words __attribute__((vector_size(16))); /* the same block as two big-endian words */

/* ---- Encoding ---------------------------------------------------------------------------------------------------- */

/* Split 48 bits into 8 values, one a byte. Halves are moved apart: first of all bits, then of 24, then of 12. */
static uint64_t split(uint64_t x)
{
    x = (x & 0xFFFFFF000000) << 8 | (x & 0x000000FFFFFF);
    x = (x & 0x00FFF00000FFF000) << 4 | (x & 0x00000FFF00000FFF);
    return (x & 0x0FC00FC00FC00FC0) << 2 | (x & 0x003F003F003F003F);
}

/* Return the characters for values. ASCII has four gaps between the ranges of the alphabet; each value is shifted by
 * the gaps before it. The shift is computed first: values with a part of it would exceed an int8_t. */
static characters to_alphabet(characters v)
{
    return v + ('A' + ((v > 25) & 6) - ((v > 51) & 75) - ((v > 61) & 13) + ((v > 62) & 49));
}

static void encode_block(uint8_t text[BLOCK], const uint8_t bytes[BLOCK_BYTES])
{
    characters c;
    uint64_t head;
    uint32_t tail;

    memcpy(&head, bytes, sizeof head);
    memcpy(&tail, bytes + sizeof head, sizeof tail);
    head = be64toh(head);
    tail = be32toh(tail);
    c = to_alphabet((characters)(words){htobe64(split(head >> 16)), htobe64(split((head & 0xFFFF) << 32 | tail))});
    memcpy(text, &c, sizeof c);
}

void blobseal_base64url_encode(char *out, const uint8_t *in, size_t len)
{
    struct {
        uint8_t text[BLOCK], bytes[BLOCK_BYTES];
    } end = {0};

    for (; len >= BLOCK_BYTES; len -= BLOCK_BYTES, in += BLOCK_BYTES, out += BLOCK)
        encode_block((uint8_t *)out, in);
    if (len > 0) {
        memcpy(end.bytes, in, len);
        encode_block(end.text, end.bytes);
        memcpy(out, end.text, BLOBSEAL_BASE64URL_LEN(len));
    }
    blobseal_wipe(&end, sizeof end);
}

void bs_put_base64url(struct bs_builder *w, const void *p, size_t len)
{
    uint8_t *room = bs_room(w, BLOBSEAL_BASE64URL_LEN(len));

    if (room != NULL)
        blobseal_base64url_encode((char *)room, p, len);
}

/* ---- Decoding ---------------------------------------------------------------------------------------------------- */

/* Return the values of characters. Set a bit of *@bad if one of them is not in the alphabet. */
static characters from_alphabet(characters c, uint64_t *bad)
{
    characters minus = c == '-', under = c == '_', digit = (c >= '0') & (c <= '9');
    characters upper = (c >= 'A') & (c <= 'Z'), lower = (c >= 'a') & (c <= 'z');
    characters known = minus | under | digit | upper | lower;

    *bad |= ~(((words)known)[0] & ((words)known)[1]);
    c += (minus & (62 - '-')) + (under & (63 - '_')) + (digit & (52 - '0')) - (upper & 'A') + (lower & (26 - 'a'));
    return c & known;
}

/* Join 8 values, the reverse of split(). */
static uint64_t join(uint64_t x)
{
    x = (x & 0x3F003F003F003F00) >> 2 | (x & 0x003F003F003F003F);
    x = (x & 0x0FFF00000FFF0000) >> 4 | (x & 0x00000FFF00000FFF);
    return (x & 0x00FFFFFF00000000) >> 8 | (x & 0x0000000000FFFFFF);
}

/* Set a bit of *@bad if a character is not in the alphabet. @bytes may be @text. */
static inline void decode_block(uint8_t bytes[BLOCK_BYTES], const uint8_t text[BLOCK], uint64_t *bad)
{
    characters c;
    words w;
    uint64_t high, low, head;
    uint32_t tail;

    memcpy(&c, text, sizeof c);
    w = (words)from_alphabet(c, bad);
    high = join(be64toh(w[0]));
    low = join(be64toh(w[1]));
    head = htobe64(high << 16 | low >> 32);
    tail = htobe32((uint32_t)low);
    memcpy(bytes, &head, sizeof head);
    memcpy(bytes + sizeof head, &tail, sizeof tail);
}

bool blobseal_base64url_decode(uint8_t *out, size_t cap, size_t *out_len, const char *in, size_t len)
{
    size_t rest = len % 4, total = len / 4 * 3 + (rest > 0 ? rest - 1 : 0);
    struct {
        uint8_t text[BLOCK], bytes[BLOCK_BYTES];
    } end;
    uint64_t bad = 0;

    *out_len = 0;
    if (rest == 1 || total > cap)
        return false;
    for (; len >= BLOCK; len -= BLOCK, in += BLOCK, out += BLOCK_BYTES)
        decode_block(out, (const uint8_t *)in, &bad);
    if (len > 0) {
        memset(end.text, 'A', sizeof end.text); /* zeros */
        memcpy(end.text, in, len);
        decode_block(end.bytes, end.text, &bad);
        bad |= end.bytes[len * 3 / 4]; /* unused bits must be 0, so that the text is unique */
        memcpy(out, end.bytes, len * 3 / 4);
    }
    blobseal_wipe(&end, sizeof end);
    if (bad != 0)
        return false;
    *out_len = total;
    return true;
}
