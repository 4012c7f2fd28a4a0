/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict JSON parser for envelopes (FORMAT.md section 4.1). It neither allocates memory nor copies text: it walks
 * through a buffer that the caller can wipe, and unescapes strings in place. Errors are sticky: after the first one
 * every call returns false, including bs_json_end().
 */
#include "core/base/base.h"

#define MAX_DEPTH   8
#define MAX_INTEGER (((uint64_t)1 << 53) - 1)

struct bs_json bs_json_start(uint8_t *text, size_t len)
{
    return (struct bs_json){.p = text, .end = text + len, .ok = true};
}

static bool fault(struct bs_json *j)
{
    j->ok = false;
    return false;
}

static void skip_space(struct bs_json *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r'))
        j->p++;
}

/* Skip white space, and consume @c if it comes next. Return true if it did. */
static bool next_is(struct bs_json *j, char c)
{
    skip_space(j);
    if (!j->ok || j->p == j->end || *j->p != (uint8_t)c)
        return false;
    j->p++;
    return true;
}

static bool open_container(struct bs_json *j, char c)
{
    if (!next_is(j, c) || ++j->depth > MAX_DEPTH)
        return fault(j);
    j->first = true;
    return true;
}

bool bs_json_object(struct bs_json *j)
{
    return open_container(j, '{');
}

bool bs_json_array(struct bs_json *j)
{
    return open_container(j, '[');
}

/* Return true if another element or member follows in the current container, which ends in @close. */
static bool has_next(struct bs_json *j, char close)
{
    bool first = j->first;

    j->first = false;
    if (next_is(j, close)) {
        j->depth--;
        return false;
    }
    if (!first && !next_is(j, ','))
        return fault(j);
    return j->ok;
}

bool bs_json_member(struct bs_json *j, struct bs_slice *name)
{
    *name = (struct bs_slice){(const uint8_t *)"", 0};
    if (!has_next(j, '}') || !bs_json_string(j, name))
        return false;
    return next_is(j, ':') || fault(j);
}

bool bs_json_element(struct bs_json *j)
{
    return has_next(j, ']');
}

/* ---- Strings ----------------------------------------------------------------------------------------------------- */

/* Read four hexadecimal digits. */
static bool read_hex4(struct bs_json *j, uint32_t *out)
{
    uint32_t v = 0;

    if (j->end - j->p < 4)
        return fault(j);
    for (unsigned i = 0; i < 4; i++) {
        uint8_t c = *j->p++;

        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            v = v << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return fault(j);
    }
    *out = v;
    return true;
}

/* Write code point @c in UTF-8 at @w. Return the end of the written bytes. */
static uint8_t *put_utf8(uint8_t *w, uint32_t c)
{
    if (c < 0x80) {
        *w++ = (uint8_t)c;
        return w;
    }
    if (c < 0x800) {
        *w++ = (uint8_t)(0xC0 | c >> 6);
    } else if (c < 0x10000) {
        *w++ = (uint8_t)(0xE0 | c >> 12);
        *w++ = (uint8_t)(0x80 | (c >> 6 & 63));
    } else {
        *w++ = (uint8_t)(0xF0 | c >> 18);
        *w++ = (uint8_t)(0x80 | (c >> 12 & 63));
        *w++ = (uint8_t)(0x80 | (c >> 6 & 63));
    }
    *w++ = (uint8_t)(0x80 | (c & 63));
    return w;
}

/*
 * Decode the escape sequence whose backslash has just been read, and write it in UTF-8 at *@w. No escape sequence is
 * shorter than the UTF-8 that it represents, so *@w never overtakes j->p.
 */
static bool unescape(struct bs_json *j, uint8_t **w)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint32_t c, low;
    const char *at;

    if (j->p == j->end)
        return fault(j);
    c = *j->p++;
    if (c != 'u') {
        at = c != 0 ? strchr(from, (int)c) : NULL;
        if (at == NULL)
            return fault(j);
        *(*w)++ = (uint8_t)to[at - from];
        return true;
    }
    if (!read_hex4(j, &c) || (c >= 0xDC00 && c < 0xE000))
        return fault(j);
    if (c >= 0xD800 && c < 0xDC00) { /* the first half of a surrogate pair */
        if (j->end - j->p < 2 || *j->p++ != '\\' || *j->p++ != 'u' || !read_hex4(j, &low) || low < 0xDC00 ||
            low >= 0xE000)
            return fault(j);
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    *w = put_utf8(*w, c);
    return true;
}

/* Set the high bit of the first of eight characters, the lowest byte of @x, that needs attention: a quote, a backslash,
 * a control character, or no ASCII. Of those after it, high bits may be set as well. */
static uint64_t special(uint64_t x)
{
    static const uint64_t each = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);
    uint64_t quote = x ^ each * '"', backslash = x ^ each * '\\';

    /* A byte below n, after a subtraction of n from each byte, has its high bit set that it did not have. */
    return (x | ((x - each * 0x20) & ~x) | ((quote - each) & ~quote) | ((backslash - each) & ~backslash)) & high;
}

/* Copy characters that need no attention to @w, eight at a time, and return where the next one goes. */
static uint8_t *copy_plain(struct bs_json *j, uint8_t *w)
{
    for (size_t n = 8; n == 8 && j->end - j->p >= 8; j->p += n, w += n) {
        uint64_t found = special(bs_load64(j->p));

        n = found != 0 ? (size_t)__builtin_ctzll(found) / 8 : 8;
        if (w != j->p)
            memmove(w, j->p, n);
    }
    return w;
}

bool bs_json_string(struct bs_json *j, struct bs_slice *out)
{
    uint8_t *w, *start;

    *out = (struct bs_slice){(const uint8_t *)"", 0};
    if (!next_is(j, '"'))
        return fault(j);
    w = start = j->p;
    for (;;) {
        w = copy_plain(j, w);
        if (j->p == j->end || *j->p < 0x20)
            return fault(j);
        if (*j->p == '"')
            break;
        if (*j->p == '\\') {
            j->p++;
            if (!unescape(j, &w))
                return false;
        } else {
            size_t len = blobseal_utf8_len(j->p, (size_t)(j->end - j->p));

            if (len == 0)
                return fault(j);
            memmove(w, j->p, len);
            w += len;
            j->p += len;
        }
    }
    j->p++;
    *w = '\0'; /* overwrites the closing quote or a byte before it, so that the result is also a C string */
    *out = (struct bs_slice){start, (size_t)(w - start)};
    return true;
}

bool bs_json_uint(struct bs_json *j, uint64_t *out)
{
    uint64_t v = 0;
    unsigned digits = 0;

    *out = 0;
    skip_space(j);
    while (j->ok && j->p < j->end && *j->p >= '0' && *j->p <= '9') {
        v = v * 10 + (uint64_t)(*j->p++ - '0');
        if (v > MAX_INTEGER || (++digits > 1 && v < 10)) /* too large, or a leading zero */
            return fault(j);
    }
    if (digits == 0)
        return fault(j);
    *out = v;
    return true;
}

bool bs_json_fixed(struct bs_json *j, uint8_t *out, size_t len)
{
    struct bs_slice s;
    size_t n;

    if (!bs_json_string(j, &s))
        return true;
    return blobseal_base64url_decode(out, len, &n, (const char *)s.p, s.len) && n == len;
}

/* Consume @text if it comes next. Return true if it did. */
static bool next_is_literal(struct bs_json *j, const char *text)
{
    size_t len = strlen(text);

    skip_space(j);
    if (!j->ok || (size_t)(j->end - j->p) < len || memcmp(j->p, text, len) != 0)
        return false;
    j->p += len;
    return true;
}

bool bs_json_null(struct bs_json *j)
{
    return next_is_literal(j, "null");
}

/* Skip one or more digits. */
static bool skip_digits(struct bs_json *j)
{
    const uint8_t *start = j->p;

    while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
        j->p++;
    return j->p > start || fault(j);
}

/* Skip a number of any form that JSON allows (RFC 8259 section 6). */
static bool skip_number(struct bs_json *j)
{
    if (j->p < j->end && *j->p == '-')
        j->p++;
    if (j->p < j->end && *j->p == '0')
        j->p++;
    else if (!skip_digits(j))
        return false;
    if (j->p < j->end && *j->p == '.') {
        j->p++;
        if (!skip_digits(j))
            return false;
    }
    if (j->p < j->end && (*j->p | 0x20) == 'e') {
        j->p++;
        if (j->p < j->end && (*j->p == '+' || *j->p == '-'))
            j->p++;
        return skip_digits(j);
    }
    return j->ok;
}

static bool skip_scalar(struct bs_json *j)
{
    struct bs_slice s;
    uint64_t n;

    skip_space(j);
    if (j->p < j->end && *j->p == '"')
        return bs_json_string(j, &s);
    if (!j->lenient)
        return bs_json_uint(j, &n);
    return next_is_literal(j, "null") || next_is_literal(j, "true") || next_is_literal(j, "false") || skip_number(j);
}

bool bs_json_skip(struct bs_json *j)
{
    bool is_object[MAX_DEPTH + 1] = {false}; /* of the container at each depth */
    const unsigned start = j->depth;
    struct bs_slice name;

    do {
        skip_space(j);
        if (j->p < j->end && *j->p == '{' && bs_json_object(j))
            is_object[j->depth] = true;
        else if (j->ok && j->p < j->end && *j->p == '[' && bs_json_array(j))
            is_object[j->depth] = false;
        else if (j->ok)
            skip_scalar(j);
        /* Leave every container that ends here. */
        while (j->ok && j->depth > start && !(is_object[j->depth] ? bs_json_member(j, &name) : bs_json_element(j)))
            continue;
    } while (j->ok && j->depth > start);
    return j->ok;
}

bool bs_json_end(struct bs_json *j)
{
    skip_space(j);
    return (j->ok && j->depth == 0 && j->p == j->end) || fault(j);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

void bs_put_json_string(struct bs_builder *w, const char *text)
{
    static const char hex[] = "0123456789abcdef";

    bs_put8(w, '"');
    for (const char *p = text; *p != '\0'; p++) {
        uint8_t c = (uint8_t)*p;

        if (c < ' ') {
            bs_put_text(w, "\\u00");
            bs_put8(w, (uint8_t)hex[c >> 4]);
            bs_put8(w, (uint8_t)hex[c & 15]);
            continue;
        }
        if (c == '"' || c == '\\')
            bs_put8(w, '\\');
        bs_put8(w, c);
    }
    bs_put8(w, '"');
}
