/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blocks of a PEM text (RFC 7468), with text between them. White space at the ends of lines, the lengths of lines
 * and the kind of line ends do not matter.
 */
#include <string.h>

#include "kek/pem.h"

static const char begin[] = "-----BEGIN ", end[] = "-----END ", dashes[] = "-----";

struct line {
    char *p;
    size_t len;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Take the next line, without white space at its ends. Return false at the end of the text. */
static bool next_line(struct bs_pem_text *t, struct line *line)
{
    char *stop;

    if (t->at == t->end)
        return false;
    line->p = t->at;
    stop = memchr(t->at, '\n', (size_t)(t->end - t->at));
    t->at = stop != NULL ? stop + 1 : t->end;
    if (stop == NULL)
        stop = t->end;
    t->line++;
    while (line->p < stop && is_space(*line->p))
        line->p++;
    while (stop > line->p && is_space(stop[-1]))
        stop--;
    line->len = (size_t)(stop - line->p);
    return true;
}

static bool starts_with(const struct line *line, const char *text)
{
    return line->len >= strlen(text) && memcmp(line->p, text, strlen(text)) == 0;
}

/* Return true for a label such as "RSA PRIVATE KEY". Messages name labels, so nothing of a key may pass for one: where
 * the line breaks of a file are lost, the whole key is in the BEGIN line. */
static bool is_label(struct bs_slice label)
{
    for (size_t i = 0; i < label.len; i++) {
        uint8_t c = label.p[i];

        if ((c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != ' ')
            return false;
    }
    return label.len > 0 && label.len <= 40;
}

/* Get the label from a BEGIN or END line, which starts with @start. Return false, and no label, if the line has not got
 * its form. */
static bool read_label(struct bs_slice *label, const struct line *line, const char *start)
{
    size_t around = strlen(start) + strlen(dashes);

    if (line->len <= around || memcmp(line->p + line->len - strlen(dashes), dashes, strlen(dashes)) != 0)
        return false;
    *label = (struct bs_slice){(const uint8_t *)line->p + strlen(start), line->len - around};
    if (is_label(*label))
        return true;
    *label = (struct bs_slice){(const uint8_t *)"", 0};
    return false;
}

struct bs_pem_text bs_pem_start(char *text, size_t len)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* a byte order mark in UTF-8, which some editors write */
    size_t skip = len >= strlen(mark) && memcmp(text, mark, strlen(mark)) == 0 ? strlen(mark) : 0;

    return (struct bs_pem_text){text + skip, text + len, 1};
}

/* ---- Base64 ------------------------------------------------------------------------------------------------------ */

/* Decodes base64 to @out, which may be the text itself. */
struct decoder {
    uint8_t *out;
    size_t len;
    uint32_t bits;
    unsigned have;    /* characters of a group of four */
    unsigned padding; /* = characters                  */
};

/* Return the value of a character, or -1. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decode one character. Return false if it may not stand here. */
static bool decode(struct decoder *d, char c)
{
    int value = value_of(c);

    if (c == '=' ? d->have < 2 : value < 0 || d->padding > 0)
        return false;
    d->padding += c == '=';
    d->bits = d->bits << 6 | (uint32_t)(c == '=' ? 0 : value);
    if (++d->have < 4)
        return true;
    for (unsigned i = 0; i < 3 - d->padding; i++)
        d->out[d->len++] = (uint8_t)(d->bits >> (16 - 8 * i));
    d->have = 0;
    d->bits = 0;
    return true;
}

static bool decode_line(struct decoder *d, const struct line *line)
{
    for (size_t i = 0; i < line->len; i++)
        if (!is_space(line->p[i]) && ((d->padding > 0 && d->have == 0) || !decode(d, line->p[i])))
            return false;
    return true;
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

/* Note the first fault of a block. */
static void set_fault(struct bs_pem_block *b, const char *fault, size_t line)
{
    if (b->fault != NULL)
        return;
    b->fault = fault;
    b->fault_line = line;
}

/* Skip headers such as "Proc-Type: 4,ENCRYPTED" up to the empty line after them. */
static void skip_headers(struct bs_pem_text *t, struct bs_pem_block *b)
{
    struct bs_pem_text next = *t;
    struct line line = {0};

    while (next_line(&next, &line) && line.len > 0 && line.p[0] != '-') {
        if (!b->has_headers && memchr(line.p, ':', line.len) == NULL)
            return;
        b->has_headers = true;
        *t = next;
    }
    if (b->has_headers && line.len == 0)
        *t = next;
}

/* Return true if an END line belongs to the block. */
static bool ends(const struct bs_pem_block *b, const struct line *line)
{
    struct bs_slice label;

    return read_label(&label, line, end) && label.len == b->label.len && memcmp(label.p, b->label.p, label.len) == 0;
}

/* Read what follows a BEGIN line, up to the END line. A block without one ends before the next BEGIN line. */
static void read_body(struct bs_pem_text *t, struct bs_pem_block *b)
{
    struct decoder d = {.out = (uint8_t *)t->at};
    struct bs_pem_text before;
    struct line line;

    skip_headers(t, b);
    for (before = *t; next_line(t, &line) && !starts_with(&line, begin); before = *t) {
        if (starts_with(&line, end)) {
            if (!ends(b, &line))
                set_fault(b, "does not match its END line", before.line);
            if (d.have > 0)
                set_fault(b, "is not complete: characters are missing before its END line", before.line);
            if (d.len == 0)
                set_fault(b, "is empty", b->line);
            b->bytes = (struct bs_slice){d.out, d.len};
            return;
        }
        if (b->fault == NULL && !decode_line(&d, &line))
            set_fault(b, "contains something that is not base64", before.line);
    }
    set_fault(b,
              before.at == before.end ? "has no END line: the end of the file is missing"
                                      : "has no END line before the next block begins",
              b->line);
    *t = before;
}

/* Return true if a block begins or ends in this line. @last: no line follows. */
static bool is_mark(const struct line *line, bool last)
{
    return starts_with(line, begin) || starts_with(line, end) || (last && starts_with(line, "-----BEGIN"));
}

bool bs_pem_next(struct bs_pem_text *t, struct bs_pem_block *b)
{
    struct line line;

    *b = (struct bs_pem_block){.label = {(const uint8_t *)"", 0}};
    do {
        b->line = t->line;
        if (!next_line(t, &line))
            return false;
    } while (!is_mark(&line, t->at == t->end));
    if (starts_with(&line, end)) {
        (void)read_label(&b->label, &line, end);
        set_fault(b, "has no BEGIN line: the start of the file is missing", b->line);
    } else if (read_label(&b->label, &line, begin)) {
        read_body(t, b);
    } else {
        set_fault(b, "has a BEGIN line that is not complete, or has more in it", b->line);
    }
    return true;
}
