/* SPDX-License-Identifier: Apache-2.0 */
/* Zstd content made by hand (FORMAT.md section 3.1), valid or not, and blobs that hold it. No test framework. */
#ifndef TESTS_STORED_H
#define TESTS_STORED_H

#include "tests/support/blobs.h"

/* Bytes that grow. Zero is empty; free(b->p). */
struct stored {
    uint8_t *p;
    size_t len;
};

void stored_add(struct stored *b, const void *p, size_t len);
void stored_add_number(struct stored *b, uint64_t v, size_t len);

/* A frame of one raw block, or of as many as are needed; @len is at most 1 MiB. */
void stored_add_frame(struct stored *b, const void *content, size_t len);

/* A frame of RLE blocks with @len zero bytes, whose header says that there are @says. */
void stored_add_zeros(struct stored *b, uint64_t says, size_t len);

/* A seek table. */
struct stored_entry {
    uint32_t frame, content;
};
void stored_add_table(struct stored *b, const struct stored_entry *entries, size_t num);

/* All of @plain in frames of @frame_len bytes, with the table. */
struct stored stored_make(const void *plain, size_t len, size_t frame_len);

/* A compact blob for @kek in which @stored is sealed, as zstd content. free(). */
uint8_t *stored_blob(const struct stored *b, unsigned segments, struct blobseal_kek *kek, size_t *len);

/*
 * What a reader has when it knows the keys: the core of @r in @source, which has @len stored bytes. Release with
 * bs_stored_clear().
 */
void recipe_stored(struct bs_stored *s, const struct recipe *r, const struct blobseal_source *source, uint64_t len);

/* What bs_content_stream() writes to: a sink, which may be NULL, and a callback for progress in braces. No digests. */
#define OUTPUT(to, ...)                                                                                                \
    (&(const struct bs_output){.sink = (to), .digests = &(struct bs_digests){0}, .progress = __VA_ARGS__})

#endif
