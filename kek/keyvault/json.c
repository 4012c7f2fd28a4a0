/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that services write: with booleans, fractions and numbers in strings, which envelopes do not have. */
#include "kek/keyvault/keyvault.h"

struct bs_json bs_kv_json_start(uint8_t *text, size_t len)
{
    struct bs_json j = bs_json_start(text, len);

    j.lenient = true;
    return j;
}

/* Return the first character of the next value, or 0 at the end. */
static char peek(struct bs_json *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r'))
        j->p++;
    if (!j->ok || j->p == j->end)
        return '\0';
    return (char)*j->p;
}

/* Read a number, true, false or null. */
static struct bs_slice read_word(struct bs_json *j)
{
    struct bs_slice word = {j->p, 0};

    while (j->p < j->end && strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", *j->p) != NULL && *j->p != '\0')
        j->p++;
    word.len = (size_t)(j->p - word.p);
    if (word.len == 0)
        j->ok = false;
    return word;
}

bool bs_kv_json_text(struct bs_json *j, char *out, size_t cap)
{
    struct bs_slice s;

    out[0] = '\0';
    if (peek(j) != '"') {
        (void)bs_json_skip(j);
        return false;
    }
    if (!bs_json_string(j, &s) || s.len >= cap || memchr(s.p, 0, s.len) != NULL)
        return false;
    memcpy(out, s.p, s.len);
    out[s.len] = '\0';
    return true;
}

bool bs_kv_json_number(struct bs_json *j, int64_t *out)
{
    struct bs_slice s = {NULL, 0};
    int64_t n = 0;
    size_t i = 0;
    bool negative;
    char c = peek(j);

    *out = 0;
    if (c == '{' || c == '[') {
        (void)bs_json_skip(j);
        return false;
    }
    if (c == '"')
        (void)bs_json_string(j, &s);
    else
        s = read_word(j);
    negative = s.len > 0 && s.p[0] == '-';
    for (i = negative ? 1 : 0; i < s.len && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        if (n < INT64_MAX / 100)
            n = n * 10 + (s.p[i] - '0');
    if (!j->ok || i == (negative ? 1U : 0U) || (i < s.len && s.p[i] != '.'))
        return false;
    *out = negative ? -n : n;
    return true;
}

bool bs_kv_json_bool(struct bs_json *j)
{
    char c = peek(j);

    if (c == 't' || c == 'f')
        return bs_slice_is(read_word(j), "true");
    (void)bs_json_skip(j);
    return false;
}
