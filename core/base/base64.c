/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict base64 with padding (RFC 4648 section 4), in terms of base64url. Neither table lookups nor branches depend on
 * the characters, because keys are encoded and decoded here.
 */
#include "core/base/base.h"

/* Replace @from by @to if @c is @from, without a branch. */
static uint8_t replace(uint8_t c, char from, char to)
{
    unsigned differs = (unsigned)c ^ (unsigned)from; /* 0 if they are equal                  */
    unsigned equal = ((differs - 1) >> 8) & 0xFF;    /* 0xFF if they are equal, otherwise 0 */

    return (uint8_t)(c ^ (equal & ((unsigned)from ^ (unsigned)to)));
}

bool bs_base64_decode(uint8_t *p, size_t *len)
{
    size_t n = *len, text = *len;
    unsigned foreign = 0;

    *len = 0;
    if (n % 4 != 0)
        return false;
    for (size_t i = 0; i < 2 && text > 0 && p[text - 1] == '='; i++)
        text--;
    for (size_t i = 0; i < text; i++) {
        /* The two characters that only base64url has become one that is in neither alphabet. */
        uint8_t c = replace(replace(p[i], '-', '*'), '_', '*');

        foreign |= c == '*';
        p[i] = replace(replace(c, '+', '-'), '/', '_');
    }
    return foreign == 0 && blobseal_base64url_decode(p, n, len, (const char *)p, text);
}

void bs_put_base64(struct bs_builder *w, const void *p, size_t len)
{
    size_t text = BLOBSEAL_BASE64URL_LEN(len);
    uint8_t *room = bs_room(w, BS_BASE64_LEN(len));

    if (room == NULL)
        return;
    blobseal_base64url_encode((char *)room, p, len);
    for (size_t i = 0; i < text; i++)
        room[i] = replace(replace(room[i], '-', '+'), '_', '/');
    memset(room + text, '=', BS_BASE64_LEN(len) - text);
}
