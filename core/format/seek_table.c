/* SPDX-License-Identifier: Apache-2.0 */
/* The seek table of zstd content, with the offset of each frame in the zstd file and in the original content. FORMAT.md
 * section 3.1. */
#include <stdlib.h>

#include "core/format/format.h"

#define SKIPPABLE 0x184D2A5Eu /* magic number of the skippable frame that contains the table */
#define SEEKABLE  0x8F92EAB1u /* magic number at the end of the table's footer               */
#define FIRST_CAP ((size_t)16)

static struct bs_seek_point end_of(const struct bs_seek_table *t)
{
    return t->num > 0 ? t->points[t->num] : (struct bs_seek_point){0};
}

uint64_t bs_seek_stored(const struct bs_seek_table *t)
{
    return end_of(t).stored;
}

uint64_t bs_seek_plain(const struct bs_seek_table *t)
{
    return end_of(t).plain;
}

/* Make sure that there is room for one more frame and the end point after it. Return false if there is no memory. */
static bool grow(struct bs_seek_table *t)
{
    size_t cap = t->cap == 0 ? FIRST_CAP : 2 * t->cap;
    struct bs_seek_point *points;

    if (t->num + 2 <= t->cap)
        return true;
    points = realloc(t->points, cap * sizeof *points);
    if (points == NULL)
        return false;
    if (t->cap == 0)
        points[0] = (struct bs_seek_point){0};
    t->points = points;
    t->cap = cap;
    return true;
}

bool bs_seek_add(struct bs_seek_table *t, size_t stored, size_t plain)
{
    struct bs_seek_point end = end_of(t);

    if (!grow(t))
        return false;
    t->points[++t->num] = (struct bs_seek_point){end.stored + stored, end.plain + plain};
    return true;
}

void bs_seek_clear(struct bs_seek_table *t)
{
    free(t->points);
    *t = (struct bs_seek_table){0};
}

/* ---- Encoding and decoding --------------------------------------------------------------------------------------- */

size_t bs_seek_encoded_len(size_t num)
{
    return BS_SEEK_HEADER_LEN + num * BS_SEEK_ENTRY_LEN + BS_SEEK_FOOTER_LEN;
}

void bs_seek_put_header(struct bs_builder *w, size_t num)
{
    bs_put32(w, SKIPPABLE);
    bs_put32(w, (uint32_t)(bs_seek_encoded_len(num) - BS_SEEK_HEADER_LEN));
}

void bs_seek_put_entry(struct bs_builder *w, const struct bs_seek_table *t, size_t i)
{
    bs_put32(w, (uint32_t)(t->points[i + 1].stored - t->points[i].stored));
    bs_put32(w, (uint32_t)(t->points[i + 1].plain - t->points[i].plain));
}

void bs_seek_put_footer(struct bs_builder *w, size_t num)
{
    bs_put32(w, (uint32_t)num);
    bs_put8(w, 0); /* descriptor: no checksums, reserved bits 0 */
    bs_put32(w, SEEKABLE);
}

enum blobseal_status bs_bad_table(struct blobseal_error *err, const char *what)
{
    return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "malformed zstd content: %s", what);
}

bool bs_seek_magic(const uint8_t *p)
{
    return bs_load32(p) == SKIPPABLE;
}

enum blobseal_status bs_seek_footer(const uint8_t *p, uint64_t stored, size_t *num, struct blobseal_error *err)
{
    struct bs_parser c = bs_parser_start(p, BS_SEEK_FOOTER_LEN);
    uint32_t n = bs_take32(&c);
    uint8_t descriptor = bs_take8(&c);

    *num = 0;
    if (bs_take32(&c) != SEEKABLE)
        return bs_bad_table(err, "it does not end in a seek table");
    if (descriptor != 0)
        return bs_bad_table(err, "its seek table has checksums or a reserved bit set");
    if (stored < bs_seek_encoded_len(0) || n > (stored - bs_seek_encoded_len(0)) / BS_SEEK_ENTRY_LEN)
        return bs_bad_table(err, "its seek table states more entries than fit into the file");
    *num = n;
    return BLOBSEAL_OK;
}

enum blobseal_status bs_seek_decode(struct bs_seek_table *t, size_t num, const uint8_t *p, uint64_t stored,
                                    struct blobseal_error *err)
{
    size_t len = bs_seek_encoded_len(num);
    struct bs_parser c = bs_parser_start(p, len);

    if (bs_take32(&c) != SKIPPABLE || bs_take32(&c) != len - BS_SEEK_HEADER_LEN)
        return bs_bad_table(err, "its seek table does not start at the expected position");
    for (size_t i = 0; i < num; i++) {
        uint32_t frame = bs_take32(&c), plain = bs_take32(&c);

        if (frame == 0 || frame > BS_ZFRAME_MAX_LEN || plain == 0 || plain > BS_ZFRAME_PLAIN_LEN)
            return bs_bad_table(err, "an entry of its seek table is empty or too large");
        if (i + 1 < num && plain != BS_ZFRAME_PLAIN_LEN)
            return bs_bad_table(err, "a frame before the last one does not hold 1 MiB");
        if (!bs_seek_add(t, frame, plain))
            return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the seek table: no memory");
    }
    return bs_seek_stored(t) == stored - len ? BLOBSEAL_OK
                                             : bs_bad_table(err, "the frame lengths in its seek table do not add up");
}

enum blobseal_status bs_seek_limit(uint64_t num, uint32_t limit, struct blobseal_error *err)
{
    if (num <= limit)
        return BLOBSEAL_OK;
    (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "zstd content has more than %u frames of up to 1 MiB", limit);
    blobseal_hint(err, "larger content can be sealed without compression; the reader option max_frames sets the limit "
                       "for reading");
    return BLOBSEAL_E_POLICY;
}
