/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zstd content made by an attacker who may seal: the same bytes are read as from a file and as from a pipe. Both ways
 * accept the content or both refuse it, the output is the same, and it is never longer than the frames claim. The first
 * byte of the input:
 *
 *   bit 0       append a seek table to the existing frames, so that the fuzzer need not find out how to make one
 *   bits 1..    size of the pieces that the decoder receives: 1 byte, 2 bytes, ... or everything at once
 */
#include <stdlib.h>

#include "tests/support/blobs.c" /* a fuzz target is a single file */
#include "tests/support/keks.c"
#include "tests/support/stored.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MAX_FRAMES 200u

static void require(bool cond)
{
    if (!cond)
        test_support_failed("the fuzz target found something");
}

/*
 * Append a seek table for the frames at the start of @b, as far as they can be parsed, with the lengths that they
 * claim.
 */
static void add_table(struct stored *b)
{
    struct stored_entry entries[MAX_FRAMES];
    size_t num = 0, at = 0;

    for (; num < MAX_FRAMES && at < b->len; num++) {
        struct bs_zframe f;
        const char *fault = NULL;

        bs_zframe_start(&f);
        while (fault == NULL && !f.last && f.need <= b->len - at)
            fault = bs_zframe_step(&f, b->p + at);
        if (fault != NULL || !f.last || f.need > b->len - at)
            break;
        entries[num] = (struct stored_entry){(uint32_t)f.need, (uint32_t)f.plain_len};
        at += f.need;
    }
    b->len = at;
    stored_add_table(b, entries, num);
}

static bool is_defined(enum blobseal_status st)
{
    return st == BLOBSEAL_OK || st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_POLICY;
}

/* Decode in order. *@sum receives a checksum of the output. */
static enum blobseal_status decode(const struct stored *b, size_t piece, uint64_t *total, uint64_t *sum)
{
    struct bs_decoder *d = bs_decoder_new(MAX_FRAMES);
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_xxh3_state state;
    struct bs_slice out;
    size_t n;

    require(d != NULL);
    bs_xxh3_start(&state, 0);
    *total = 0;
    for (size_t at = 0; at < b->len && st == BLOBSEAL_OK; at += n) {
        size_t len = piece < b->len - at ? piece : b->len - at;

        st = bs_decoder_feed(d, b->p + at, len, &n, &out, NULL);
        require(n <= len && out.len <= BS_ZFRAME_PLAIN_LEN);
        bs_xxh3_add(&state, out.p, out.len);
        *total += out.len;
    }
    if (st == BLOBSEAL_OK)
        st = bs_decoder_end(d, NULL);
    bs_decoder_free(d);
    *sum = bs_xxh3_end(&state);
    return st;
}

/* Decode with the seek table, as a reader of a file does. */
static enum blobseal_status open_by_table(const struct stored *b, uint64_t *total, uint64_t *sum)
{
    struct bs_seek_table t = {0};
    struct bs_zstd z = {0};
    struct bs_xxh3_state state;
    uint8_t *plain = must_alloc(BS_ZFRAME_PLAIN_LEN);
    enum blobseal_status st = BLOBSEAL_E_FORMAT;
    size_t num = 0;

    bs_xxh3_start(&state, 0);
    if (b->len >= BS_SEEK_FOOTER_LEN)
        st = bs_seek_footer(b->p + b->len - BS_SEEK_FOOTER_LEN, b->len, &num, NULL);
    if (st == BLOBSEAL_OK)
        st = bs_seek_limit(num, MAX_FRAMES, NULL);
    if (st == BLOBSEAL_OK)
        st = bs_seek_decode(&t, num, b->p + b->len - bs_seek_encoded_len(num), b->len, NULL);
    for (size_t i = 0; i < num && st == BLOBSEAL_OK; i++) {
        const struct bs_seek_point *at = &t.points[i];
        size_t len = (size_t)(at[1].stored - at[0].stored), plain_len = (size_t)(at[1].plain - at[0].plain);
        uint8_t *exact = must_copy(b->p + at[0].stored, len);

        st = bs_zframe_decompress(&z, i, plain, plain_len, (struct bs_slice){exact, len}, NULL);
        if (st == BLOBSEAL_OK)
            bs_xxh3_add(&state, plain, plain_len);
        free(exact);
    }
    *total = bs_seek_plain(&t);
    *sum = bs_xxh3_end(&state);
    bs_zstd_clear(&z);
    bs_seek_clear(&t);
    free(plain);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint64_t total_pipe, total_file, sum_pipe, sum_file;
    enum blobseal_status pipe, file;
    struct stored b = {0};

    if (len < 1)
        return 0;
    stored_add(&b, data + 1, len - 1);
    if ((data[0] & 1) != 0)
        add_table(&b);
    pipe = decode(&b, data[0] / 2 == 127 ? SIZE_MAX : 1u + data[0] / 2, &total_pipe, &sum_pipe);
    file = open_by_table(&b, &total_file, &sum_file);
    require(is_defined(pipe) && is_defined(file));
    require((pipe == BLOBSEAL_OK) == (file == BLOBSEAL_OK));
    if (pipe == BLOBSEAL_OK)
        require(total_pipe == total_file && sum_pipe == sum_file);
    free(b.p);
    return 0;
}
