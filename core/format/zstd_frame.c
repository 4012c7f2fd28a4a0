/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compression and decompression of one zstd frame. The frame header and the block headers are checked here before
 * libzstd reads the frame. Which frames are refused therefore does not depend on the version of libzstd, and the end of
 * a frame can be found while the frame is still being received. FORMAT.md section 3.1; RFC 8878 section 3.1.1.
 */
#include <stdlib.h>

#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_customMem; shared builds of libzstd export these functions as well */
#include <zstd.h>
#include <zstd_errors.h>

#include "core/format/format.h"
#include "simd/simd.h"

#define MAGIC            0xFD2FB528u
#define START_LEN        ((size_t)5) /* magic number and descriptor */
#define BLOCK_HEADER_LEN ((size_t)3)
#define MAX_WINDOW       ((uint64_t)8 << 20)

_Static_assert(ZSTD_COMPRESSBOUND(BS_ZFRAME_PLAIN_LEN) == BS_ZFRAME_MAX_LEN, "a full frame always fits");

/* ---- The structure of a frame ------------------------------------------------------------------------------------ */

/* Return the length of the field with the size of the content. */
static size_t size_field_len(uint8_t descriptor)
{
    static const size_t lengths[4] = {0, 2, 4, 8};
    bool single_segment = (descriptor & 0x20) != 0;

    return descriptor >> 6 == 0 && single_segment ? 1 : lengths[descriptor >> 6];
}

/* Return the length of the frame header. */
static size_t header_len(uint8_t descriptor)
{
    size_t window_len = (descriptor & 0x20) != 0 ? 0 : 1;

    return START_LEN + window_len + size_field_len(descriptor);
}

/* Check the magic number and the descriptor. Return NULL, or why the frame is refused. */
static const char *check_start(const uint8_t *p)
{
    if (bs_load32(p) != MAGIC)
        return "it is neither a zstd frame nor the seek table";
    if ((p[4] & 0x03) != 0)
        return "it requires a dictionary";
    if ((p[4] & 0x04) != 0)
        return "it has a checksum of its own";
    if ((p[4] & 0x08) != 0)
        return "a reserved bit of its header is set";
    return size_field_len(p[4]) == 0 ? "its header does not state the size of its content" : NULL;
}

/* Decode the window descriptor. Return the window size in bytes. */
static uint64_t window_size(uint8_t byte)
{
    uint64_t base = (uint64_t)1 << (10 + (byte >> 3));

    return base + base / 8 * (byte & 7);
}

/* Check the window size and the content size in the header. Return NULL, or why the frame is refused. */
static const char *check_header(struct bs_zframe *f, const uint8_t *p)
{
    struct bs_parser c = bs_parser_start(p + START_LEN, header_len(p[4]) - START_LEN);
    uint64_t window = (p[4] & 0x20) != 0 ? 0 : window_size(bs_take8(&c)), size = 0;
    size_t n = c.left;

    for (size_t i = 0; i < n; i++)
        size |= (uint64_t)bs_take8(&c) << (8 * i);
    if (n == 2)
        size += 256;
    if (window > MAX_WINDOW)
        return "its window is larger than 8 MiB";
    if (size == 0 || size > BS_ZFRAME_PLAIN_LEN)
        return "its header states empty content or more than 1 MiB";
    f->plain_len = (size_t)size;
    return NULL;
}

/* Check the block header at @p, and set f->need to the end of the next block header, or of the frame if this is the
 * last block. Return NULL, or why the frame is refused. */
static const char *check_block(struct bs_zframe *f, const uint8_t *p)
{
    unsigned header = p[0] | (unsigned)p[1] << 8 | (unsigned)p[2] << 16, type = header >> 1 & 3;

    f->last = (header & 1) != 0;
    if (type == 3)
        return "it has a block of a reserved type";
    f->need += (type == 1 ? 1 : header >> 3) + (f->last ? 0 : BLOCK_HEADER_LEN);
    return f->need > BS_ZFRAME_MAX_LEN ? "it is longer than 1 MiB of content can require" : NULL;
}

void bs_zframe_start(struct bs_zframe *f)
{
    *f = (struct bs_zframe){.need = START_LEN};
}

const char *bs_zframe_step(struct bs_zframe *f, const uint8_t *p)
{
    const char *fault = NULL;

    if (f->need == START_LEN) {
        fault = check_start(p);
        f->need = header_len(p[4]) + BLOCK_HEADER_LEN;
        return fault;
    }
    if (f->plain_len == 0)
        fault = check_header(f, p);
    return fault != NULL ? fault : check_block(f, p + f->need - BLOCK_HEADER_LEN);
}

/* ---- Memory of libzstd, which contains plaintext ----------------------------------------------------------------- */

/* Stored before each block. */
union block {
    size_t len; /* including this header */
    max_align_t align;
    uint8_t pad[64];
};

static void *allocate(void *unused, size_t len)
{
    union block *b = len <= SIZE_MAX / 2 ? bs_map(len + sizeof *b) : NULL;

    (void)unused;
    if (b == NULL)
        return NULL;
    b->len = len + sizeof *b;
    return b + 1;
}

static void release(void *unused, void *p)
{
    union block *b = p;

    (void)unused;
    if (b != NULL)
        bs_unmap(b - 1, b[-1].len);
}

static const ZSTD_customMem memory = {allocate, release, NULL};

/* ---- Compression and decompression ------------------------------------------------------------------------------- */

enum blobseal_status bs_bad_frame(struct blobseal_error *err, uint64_t index, const char *what)
{
    return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "malformed zstd content: frame %llu: %s", (unsigned long long)index,
                         what);
}

enum blobseal_status bs_zframe_decompress(struct bs_zstd *z, uint64_t index, uint8_t *plain, size_t plain_len,
                                          struct bs_slice frame, struct blobseal_error *err)
{
    const char *fault = NULL;
    struct bs_zframe f;
    size_t len;

    bs_zframe_start(&f);
    while (fault == NULL && !f.last && f.need <= frame.len)
        fault = bs_zframe_step(&f, frame.p);
    if (fault == NULL && (!f.last || f.need != frame.len))
        fault = "its length differs from that in the seek table";
    if (fault == NULL && f.plain_len != plain_len)
        fault = "the length of its content differs from that in the seek table";
    if (fault != NULL)
        return bs_bad_frame(err, index, fault);
    if (z->d == NULL)
        z->d = ZSTD_createDCtx_advanced(memory);
    if (z->d == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "decompress: no memory");
    len = ZSTD_decompressDCtx(z->d, plain, plain_len, frame.p, frame.len);
    bs_wipe_registers();
    if (ZSTD_getErrorCode(len) == ZSTD_error_memory_allocation)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "decompress: no memory");
    if (len != plain_len)
        return bs_bad_frame(err, index, "decompression failed");
    return BLOBSEAL_OK;
}

static bool make_compressor(struct bs_zstd *z, int level)
{
    z->c = ZSTD_createCCtx_advanced(memory);
    return z->c != NULL && ZSTD_isError(ZSTD_CCtx_setParameter(z->c, ZSTD_c_compressionLevel, level)) == 0 &&
           ZSTD_isError(ZSTD_CCtx_setParameter(z->c, ZSTD_c_contentSizeFlag, 1)) == 0 &&
           ZSTD_isError(ZSTD_CCtx_setParameter(z->c, ZSTD_c_checksumFlag, 0)) == 0;
}

enum blobseal_status bs_zframe_compress(struct bs_zstd *z, int level, uint8_t *frame, size_t *len,
                                        struct bs_slice plain, struct blobseal_error *err)
{
    if (z->c == NULL && !make_compressor(z, level))
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "compress: no memory");
    *len = ZSTD_compress2(z->c, frame, BS_ZFRAME_MAX_LEN, plain.p, plain.len);
    bs_wipe_registers();
    if (ZSTD_isError(*len) != 0)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "compress: %s", ZSTD_getErrorName(*len));
    return BLOBSEAL_OK;
}

void bs_zstd_clear(struct bs_zstd *z)
{
    (void)ZSTD_freeCCtx(z->c);
    (void)ZSTD_freeDCtx(z->d);
    *z = (struct bs_zstd){0};
}

enum blobseal_status bs_zstd_new(struct bs_zstd **z, struct blobseal_error *err)
{
    *z = calloc(1, sizeof **z);
    return *z != NULL ? BLOBSEAL_OK : blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "start a worker: no memory");
}

void bs_zstd_free(struct bs_zstd *z)
{
    if (z == NULL)
        return;
    bs_zstd_clear(z);
    free(z);
}
