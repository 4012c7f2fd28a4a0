/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded parser and a bounded builder for binary structures in little-endian byte order. Core reads and writes all
 * such structures through them.
 *
 * Errors are sticky: after the first access beyond the end, `ok` is false, reads return zero and writes do nothing.
 * Code can therefore follow the tables in FORMAT.md field by field and check for an error once, at the end.
 */
#ifndef BLOBSEAL_BYTES_H
#define BLOBSEAL_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A range of bytes, which the slice does not own. */
struct bs_slice {
    const uint8_t *p;
    size_t len;
};

/* Return true if the bytes of @s are exactly @text. */
static inline bool bs_slice_is(struct bs_slice s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

static inline void bs_store32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static inline void bs_store64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint32_t bs_load32(const uint8_t *p)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < 4; i++)
        v |= (uint32_t)p[i] << (8 * i);
    return v;
}

static inline uint64_t bs_load64(const uint8_t *p)
{
    return bs_load32(p) | (uint64_t)bs_load32(p + 4) << 32;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

struct bs_parser {
    const uint8_t *p; /* the next byte to read             */
    size_t left;      /* bytes not yet read                */
    bool ok;          /* no read went beyond the last byte */
};

static inline struct bs_parser bs_parser_start(const uint8_t *p, size_t len)
{
    return (struct bs_parser){p, len, true};
}

/* Return the next @len bytes and advance past them. Return NULL if there are fewer. */
static inline const uint8_t *bs_take(struct bs_parser *c, size_t len)
{
    const uint8_t *p = c->p;

    if (!c->ok || len > c->left) {
        c->ok = false;
        return NULL;
    }
    c->p += len;
    c->left -= len;
    return p;
}

static inline uint8_t bs_take8(struct bs_parser *c)
{
    const uint8_t *p = bs_take(c, 1);

    return p != NULL ? *p : 0;
}

static inline uint32_t bs_take32(struct bs_parser *c)
{
    const uint8_t *p = bs_take(c, 4);

    return p != NULL ? bs_load32(p) : 0;
}

static inline uint64_t bs_take64(struct bs_parser *c)
{
    const uint8_t *p = bs_take(c, 8);

    return p != NULL ? bs_load64(p) : 0;
}

/* Copy the next @len bytes to @out, or fill @out with zeros if there are fewer. */
static inline void bs_take_copy(struct bs_parser *c, uint8_t *out, size_t len)
{
    const uint8_t *p = bs_take(c, len);

    if (p != NULL)
        memcpy(out, p, len);
    else
        memset(out, 0, len);
}

/* Return true if all @len bytes are zero. Takes the same time for all values. */
static inline bool bs_all_zero(const uint8_t *p, size_t len)
{
    uint8_t any = 0;

    for (size_t i = 0; i < len; i++)
        any |= p[i];
    return any == 0;
}

/* Read the next @len bytes. Return true if there are as many and all are zero. */
static inline bool bs_take_zeros(struct bs_parser *c, size_t len)
{
    const uint8_t *p = bs_take(c, len);

    return p != NULL && bs_all_zero(p, len);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

struct bs_builder {
    uint8_t *p;
    size_t len; /* bytes written so far               */
    size_t cap; /* bytes that fit at p                */
    bool ok;    /* no write went beyond the last byte */
};

static inline struct bs_builder bs_builder_start(uint8_t *p, size_t cap)
{
    return (struct bs_builder){p, 0, cap, true};
}

/* Append @len bytes, which the caller must fill, and return a pointer to them. Return NULL if they do not fit. */
static inline uint8_t *bs_room(struct bs_builder *w, size_t len)
{
    uint8_t *p = w->p + w->len;

    if (!w->ok || len > w->cap - w->len) {
        w->ok = false;
        return NULL;
    }
    w->len += len;
    return p;
}

static inline void bs_put(struct bs_builder *w, const void *data, size_t len)
{
    uint8_t *p = bs_room(w, len);

    if (p != NULL && len > 0)
        memcpy(p, data, len);
}

static inline void bs_put_text(struct bs_builder *w, const char *text)
{
    bs_put(w, text, strlen(text));
}

static inline void bs_put8(struct bs_builder *w, uint8_t v)
{
    bs_put(w, &v, 1);
}

static inline void bs_put32(struct bs_builder *w, uint32_t v)
{
    uint8_t *p = bs_room(w, 4);

    if (p != NULL)
        bs_store32(p, v);
}

static inline void bs_put64(struct bs_builder *w, uint64_t v)
{
    uint8_t *p = bs_room(w, 8);

    if (p != NULL)
        bs_store64(p, v);
}

static inline void bs_put_zeros(struct bs_builder *w, size_t len)
{
    uint8_t *p = bs_room(w, len);

    if (p != NULL)
        memset(p, 0, len);
}

#endif
