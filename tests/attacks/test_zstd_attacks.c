/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An attacker who may seal makes authentic blobs with hostile zstd content. Every way of reading refuses each of them,
 * releases nothing of the bad frame, and allocates no memory for the sizes that it claims. The test vectors contain
 * more such blobs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "tests/support/stored.h"
#include "tests/support/suite.h"

#define MIB    ((size_t)1 << 20)
#define GOOD   MIB                /* every frame but the last is full */
#define MEMORY ((rlim_t)64 << 20) /* memory that a test may allocate in addition to what it has at its start */

static uint8_t plain[GOOD + 20],
    dst[100]; /* the bytes after the first GOOD are the content of frames that are valid by themselves */
static struct fake_kek fake = {.kid = "a-key"};
static struct blobseal_kek *kek;

static void start(void)
{
    fill_random(plain, sizeof plain, 6);
    plain[GOOD + 9] = 0x5E; /* equal to the byte of the seek table at the place where this is truncated */
    kek = fake_kek_open(&fake);
}

static void stop(void)
{
    blobseal_kek_close(kek);
}

SUITE_WITH(zstd_attacks, start, stop);

/* ---- Ways of reading --------------------------------------------------------------------------------------------- */

static enum blobseal_status read_at_offsets(struct blobseal_reader *r, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    size_t n;

    for (uint64_t off = GOOD - 400; off < blobseal_reader_size(r) && off < 10 * MIB && st == BLOBSEAL_OK; off += 40) {
        st = blobseal_reader_pread(r, dst, sizeof dst, off, &n, err);
        cr_assert(st == BLOBSEAL_OK || (n == 0 && bs_all_zero(dst, sizeof dst)));
    }
    return st;
}

static enum blobseal_status pull(struct blobseal_reader *r, struct blobseal_error *err)
{
    static uint8_t piece[5000];
    enum blobseal_status st;
    size_t n, total = 0;

    do {
        st = blobseal_reader_read(r, piece, sizeof piece, &n, err);
        cr_assert(total + n <= sizeof plain && (n == 0 || memcmp(piece, plain + total, n) == 0));
        total += n;
    } while (st == BLOBSEAL_OK && n > 0);
    return st;
}

static enum blobseal_status stream(struct blobseal_reader *r, struct blobseal_error *err)
{
    struct test_sink to = {.cap = sizeof plain};
    struct blobseal_sink sink;
    enum blobseal_status st;

    test_sink_start(&sink, &to);
    st = blobseal_reader_stream(r, &sink, NULL, err);
    cr_assert(!to.misused && test_sink_is_part_of(&to, plain, sizeof plain), "only sound frames come out");
    test_sink_end(&to);
    return st;
}

enum way { PREAD, STREAM_FILE, STREAM_PIPE, PULL_FILE, PULL_PIPE, NUM_WAYS };

static enum blobseal_status read_one_way(const uint8_t *blob, size_t len, enum way way, struct blobseal_error *err)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .threads = 2};
    struct test_source from = {
        .data = blob, .len = len, .seekable = way != STREAM_PIPE && way != PULL_PIPE, .max_piece = 5000};
    struct blobseal_source source;
    struct blobseal_reader *r;
    enum blobseal_status st;

    test_source_start(&source, &from);
    st = blobseal_reader_open(&r, &source, &kek, 1, &o, err);
    if (st == BLOBSEAL_OK)
        st = way == PREAD                               ? read_at_offsets(r, err)
             : way == STREAM_FILE || way == STREAM_PIPE ? stream(r, err)
                                                        : pull(r, err);
    blobseal_reader_close(r);
    test_source_end(&from);
    return st;
}

/* Limit the address space, so that an allocation of the size that a frame claims fails. */
static void limit_memory(void)
{
    struct rlimit limit;
    char line[64];
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    cr_assert_not_null(f);
    if (fgets(line, sizeof line, f) != NULL)
        pages = strtoul(line, NULL, 10);
    (void)fclose(f);
    limit.rlim_cur = limit.rlim_max = (rlim_t)pages * 4096 + MEMORY;
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

static void expect_refused(const struct stored *b, const char *what)
{
    size_t len;
    uint8_t *blob = stored_blob(b, 1, kek, &len);

    for (enum way way = 0; way < NUM_WAYS; way++) {
        struct blobseal_error err = {0};

        cr_expect_eq(read_one_way(blob, len, way, &err), BLOBSEAL_E_FORMAT, "%s, way %d: %s", what, (int)way, err.text);
        cr_expect_not_null(strstr(err.text, "zstd content"), "%s", err.text);
    }
    free(blob);
}

/* Make a valid frame, then @bad, then a table that claims @content bytes for it. */
static void expect_frame_refused(const struct stored *bad, size_t content, const char *what)
{
    struct stored b = {0};
    struct stored_entry entries[2];

    stored_add_frame(&b, plain, GOOD);
    entries[0] = (struct stored_entry){(uint32_t)b.len, (uint32_t)GOOD};
    entries[1] = (struct stored_entry){(uint32_t)bad->len, (uint32_t)content};
    stored_add(&b, bad->p, bad->len);
    stored_add_table(&b, entries, 2);
    expect_refused(&b, what);
    free(b.p);
}

static struct stored hex_frame(uint8_t descriptor, const void *fields, size_t len)
{
    struct stored b = {0};

    stored_add_number(&b, 0xFD2FB528u, 4);
    stored_add_number(&b, descriptor, 1);
    stored_add(&b, fields, len);
    stored_add_number(&b, 10 << 3 | 1, 3);
    stored_add(&b, plain, 10);
    return b;
}

/* ---- Attacks ----------------------------------------------------------------------------------------------------- */

Test(zstd_attacks, a_sound_content_is_read_in_every_way)
{
    struct stored b = stored_make(plain, GOOD + 20, MIB);
    size_t len;
    uint8_t *blob = stored_blob(&b, 1, kek, &len);

    for (enum way way = 0; way < NUM_WAYS; way++) {
        struct blobseal_error err = {0};

        cr_expect_eq(read_one_way(blob, len, way, &err), BLOBSEAL_OK, "way %d: %s", (int)way, err.text);
    }
    free(blob);
    free(b.p);
}

Test(zstd_attacks, bombs)
{
    static const uint64_t claims[] = {MIB + 1, (uint64_t)1 << 31, (uint64_t)1 << 40, UINT64_MAX};

#ifndef __SANITIZE_ADDRESS__ /* AddressSanitizer reserves terabytes of address space */
    limit_memory();
#else
    (void)limit_memory;
#endif
    for (size_t i = 0; i < COUNT(claims); i++) {
        struct stored bad = {0};

        stored_add_zeros(&bad, claims[i], MIB);
        expect_frame_refused(&bad, MIB, "a frame that claims");
        expect_frame_refused(&bad, (uint32_t)claims[i], "a frame and an entry that claim");
        free(bad.p);
    }
    for (size_t says = 1; says <= MIB; says *= 1024) {
        struct stored bad = {0};

        stored_add_zeros(&bad, says, 40 * MIB);
        expect_frame_refused(&bad, says, "a frame that holds more than it says");
        free(bad.p);
    }
}

Test(zstd_attacks, headers)
{
    static const struct {
        const char *what;
        uint8_t descriptor, fields[9];
        size_t len;
    } cases[] = {
        {"no content size", 0x00, {0}, 1},
        {"a window of 2 GiB", 0x80, {21 << 3, 10}, 5},
        {"the largest window", 0x80, {0xFF, 10}, 5},
        {"a window of 9 MiB", 0x80, {13 << 3 | 1, 10}, 5},
        {"a dictionary", 0x21, {7, 10}, 2},
        {"a dictionary id of 4 bytes", 0x23, {7, 0, 0, 0, 10}, 5},
        {"a checksum", 0x24, {10}, 1},
        {"a reserved bit", 0x28, {10}, 1},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct stored bad = hex_frame(cases[i].descriptor, cases[i].fields, cases[i].len);

        expect_frame_refused(&bad, 10, cases[i].what);
        free(bad.p);
    }
}

/* The table agrees with the false size, so only the frame itself reveals it. */
Test(zstd_attacks, more_than_one_thing_in_an_entry)
{
    struct stored one = {0}, bad = {0};

    stored_add_frame(&one, plain + GOOD, 10);
    stored_add(&bad, one.p, one.len);
    stored_add_frame(&bad, plain + GOOD + 10, 10);
    expect_frame_refused(&bad, 20, "two frames");
    expect_frame_refused(&bad, 10, "two frames, one of them counted");
    bad.len = one.len;
    stored_add_number(&bad, 0x184D2A50u, 4);
    stored_add_number(&bad, 3, 4);
    stored_add(&bad, "abc", 3);
    expect_frame_refused(&bad, 10, "a frame and a skippable one");
    expect_frame_refused(&(struct stored){bad.p + one.len, 11}, 10, "a skippable frame that claims a content");
    bad.len = one.len;
    stored_add(&bad, "\0\0\0\0", 4);
    expect_frame_refused(&bad, 10, "bytes after a frame");
    bad.len = one.len - 1;
    expect_frame_refused(&bad, 10, "a truncated frame");
    free(one.p);
    free(bad.p);
}

Test(zstd_attacks, tables)
{
    static const struct stored_entry none[1] = {{0}};
    struct stored good = stored_make(plain, GOOD, GOOD), b = {0};
    const struct stored_entry big = {(uint32_t)(good.len - 25), UINT32_MAX};

    stored_add(&b, good.p, good.len);
    stored_add(&b, "x", 1);
    expect_refused(&b, "a byte after the table");
    b.len = good.len;
    stored_add_table(&b, none, 0);
    expect_refused(&b, "a second table");
    b.len = good.len - 25;
    expect_refused(&b, "no table");
    stored_add_table(&b, &big, 1);
    expect_refused(&b, "an entry that claims 4 GiB");
    b.len = good.len - 25;
    stored_add_table(&b, none, 1);
    expect_refused(&b, "an entry of nothing");
    b.len = 0;
    expect_refused(&b, "nothing at all");
    for (uint32_t count = 0; count < 40; count++) {
        if (count == 1)
            continue;
        b.len = 0;
        stored_add(&b, good.p, good.len);
        bs_store32(b.p + b.len - 9, count < 32 ? count : UINT32_MAX >> (39 - count));
        expect_refused(&b, "a table that claims another count");
    }
    free(good.p);
    free(b.p);
}
