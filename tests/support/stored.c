/* SPDX-License-Identifier: Apache-2.0 */
/* Zstd content made by hand: see stored.h. */
#include <stdlib.h>

#include "tests/support/stored.h"

#define BLOCK ((size_t)131072)

void stored_add(struct stored *b, const void *p, size_t len)
{
    uint8_t *all = must_alloc(b->len + len);

    if (b->len > 0)
        memcpy(all, b->p, b->len);
    if (len > 0)
        memcpy(all + b->len, p, len);
    free(b->p);
    b->p = all;
    b->len += len;
}

void stored_add_number(struct stored *b, uint64_t v, size_t len)
{
    uint8_t bytes[8];

    bs_store64(bytes, v);
    stored_add(b, bytes, len);
}

/* Append a frame header with the single-segment flag and an 8-byte content size. */
static void add_header(struct stored *b, uint64_t content_len)
{
    stored_add_number(b, 0xFD2FB528u, 4);
    stored_add_number(b, 0xE0, 1);
    stored_add_number(b, content_len, 8);
}

static void add_block_header(struct stored *b, unsigned kind, size_t len, bool last)
{
    stored_add_number(b, len << 3 | kind << 1 | (last ? 1 : 0), 3);
}

void stored_add_frame(struct stored *b, const void *content, size_t len)
{
    const uint8_t *p = content;

    add_header(b, len);
    do {
        size_t n = len < BLOCK ? len : BLOCK;

        add_block_header(b, 0, n, n == len);
        stored_add(b, p, n);
        p += n;
        len -= n;
    } while (len > 0);
}

void stored_add_zeros(struct stored *b, uint64_t says, size_t len)
{
    add_header(b, says);
    do {
        size_t n = len < BLOCK ? len : BLOCK;

        add_block_header(b, 1, n, n == len);
        stored_add_number(b, 0, 1);
        len -= n;
    } while (len > 0);
}

void stored_add_table(struct stored *b, const struct stored_entry *entries, size_t num)
{
    stored_add_number(b, 0x184D2A5Eu, 4);
    stored_add_number(b, 8 * num + 9, 4);
    for (size_t i = 0; i < num; i++) {
        stored_add_number(b, entries[i].frame, 4);
        stored_add_number(b, entries[i].content, 4);
    }
    stored_add_number(b, num, 4);
    stored_add_number(b, 0, 1);
    stored_add_number(b, 0x8F92EAB1u, 4);
}

struct stored stored_make(const void *plain, size_t len, size_t frame_len)
{
    size_t num = (len + frame_len - 1) / frame_len;
    struct stored_entry *entries = must_alloc(num * sizeof *entries);
    const uint8_t *p = plain;
    struct stored b = {0};

    for (size_t i = 0; i < num; i++) {
        size_t n = len < frame_len ? len : frame_len, before = b.len;

        stored_add_frame(&b, p, n);
        entries[i] = (struct stored_entry){(uint32_t)(b.len - before), (uint32_t)n};
        p += n;
        len -= n;
    }
    stored_add_table(&b, entries, num);
    free(entries);
    return b;
}

uint8_t *stored_blob(const struct stored *b, unsigned segments, struct blobseal_kek *kek, size_t *len)
{
    struct slot_text slot = {NULL, 1};
    struct recipe r;
    size_t core_len;
    uint8_t *core, *blob;
    char *envelope;

    recipe_make(&r, 77, segments);
    r.core.content = BLOBSEAL_CONTENT_ZSTD;
    recipe_derive(&r);
    core = recipe_core(&r, b->p, b->len, &core_len);
    slot.text = envelope = recipe_envelope(&r, 1, &kek, 1);
    blob = put_in_frame(&r.core, BLOBSEAL_LAYOUT_COMPACT, slot, slot, core, core_len, len);
    free(envelope);
    free(core);
    return blob;
}

void recipe_stored(struct bs_stored *s, const struct recipe *r, const struct blobseal_source *source, uint64_t len)
{
    struct blobseal_context *context;

    if (bs_context_ref(&context, NULL, NULL) != BLOBSEAL_OK)
        abort();
    bs_stored_init(s, source, context);
    s->core = r->core;
    s->len = len;
    s->threads = 2;
    s->input.pos = BS_CORE_HEADER_LEN;
    s->keys = blobseal_secret_alloc(sizeof *s->keys);
    if (s->keys == NULL)
        abort();
    *s->keys = r->keys;
}
