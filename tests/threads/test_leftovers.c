/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After readers and writers are closed, no plaintext and no metadata is left in the memory of the process, and while
 * they are open it is in memory that core files leave out. No call leaves plaintext in vector registers. The program
 * searches its own memory and registers for a marker of which the plaintext consists. Its own copies of the marker are
 * gone by then.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/blobs.h"
#include "tests/support/registers.h"

#define MARKER ((size_t)24)
#define BUFFER ((size_t)3 << 20)

static unsigned failures;
static struct blobseal_kek *kek;
static struct sealed sealed;
static uint8_t *buffer; /* the program's own plaintext; a mapping of its own */

/* Return byte @i of the marker, a printable character. The marker as a whole is stored nowhere. */
static uint8_t marker_byte(uint64_t i)
{
    static volatile const uint8_t hidden[MARKER] = "\x11\x65\x02\x7b\x33\x1f\x0c\x44\x5e\x28\x70\x07"
                                                   "\x19\x3d\x62\x55\x0a\x7f\x21\x48\x36\x13\x6d\x5a";

    return (uint8_t)('0' + (hidden[i % MARKER] ^ i % MARKER) % 64);
}

static void fill(uint8_t *p, size_t len, uint64_t off)
{
    for (size_t i = 0; i < len; i++)
        p[i] = marker_byte(off + i);
}

static void empty_buffer(void)
{
    memset(buffer, 0, BUFFER);
    __asm__ volatile("" : : "r"(buffer) : "memory");
}

/* ---- The search -------------------------------------------------------------------------------------------------- */

/* Return true if the marker, starting with any of its bytes, is at @p. */
static bool marker_at(const uint8_t *p)
{
    for (unsigned start = 0; start < MARKER; start++) {
        size_t i = 0;

        while (i < MARKER && p[i] == marker_byte(start + i))
            i++;
        if (i == MARKER)
            return true;
    }
    return false;
}

static unsigned count_markers(int memory, uintptr_t start, uintptr_t end)
{
    static uint8_t piece[65536 + MARKER];
    unsigned n = 0;

    for (uintptr_t at = start; at + MARKER <= end; at += 65536) {
        ssize_t got = pread(memory, piece, end - at < sizeof piece ? end - at : sizeof piece, (off_t)at);

        for (size_t i = 0; got > 0 && i + MARKER <= (size_t)got; i += MARKER / 2)
            n += piece[i] >= '0' && marker_at(piece + i) ? 1 : 0;
        memset(piece, 0, sizeof piece);
    }
    return n;
}

/* Search all writable memory except the program's buffer; with @in_core only what core files would contain. */
static void search(const char *after, bool in_core)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    int memory = open("/proc/self/mem", O_RDONLY);
    unsigned long start = 0, end = 0;
    char line[4096], mode[5] = "", name[4096] = "";
    unsigned n = 0;

    if (maps == NULL || memory < 0)
        abort();
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long a, b;
        char m[5];

        if (sscanf(line, "%lx-%lx %4s", &a, &b, m) == 3) {
            start = a;
            end = b;
            memcpy(mode, m, sizeof mode);
            memcpy(name, line, sizeof name);
        }
        if (strncmp(line, "VmFlags:", 8) != 0 || mode[1] != 'w' || (uintptr_t)buffer == start ||
            (in_core && strstr(line, " dd") != NULL))
            continue;
        n = count_markers(memory, start, end);
        if (n > 0) {
            (void)fprintf(stderr, "leftovers: %u after %s: %s", n, after, name);
            failures++;
        }
    }
    (void)fclose(maps);
    (void)close(memory);
}

/* Search the registers. Called right after what may have left something in them. */
static __attribute__((noinline)) void search_registers(const char *after)
{
    static uint8_t registers[REGISTERS_LEN];
    unsigned n = 0;

    registers_read(registers, bs_cpu_known_features());
    for (size_t i = 0; i + 16 <= sizeof registers; i += 16) {
        size_t at = 0, same = 0;

        for (unsigned start = 0; start < MARKER && same < 16; start++)
            for (same = 0, at = start; same < 16 && registers[i + same] == marker_byte(at + same);)
                same++;
        n += same == 16 ? 1 : 0;
    }
    memset(registers, 0, sizeof registers);
    if (n > 0 && failures++ < 20)
        (void)fprintf(stderr, "leftovers: %u in registers after %s\n", n, after);
}

/* ---- What leaves plaintext behind -------------------------------------------------------------------------------- */

static enum blobseal_status plain_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                        struct blobseal_error *err)
{
    uint64_t size = *(const uint64_t *)ctx;

    (void)err;
    *nread = off < size ? (size - off < len ? (size_t)(size - off) : len) : 0;
    fill(buf, *nread, off);
    return BLOBSEAL_OK;
}

static enum blobseal_status sealed_read(void *ctx, void *buf, size_t len, size_t *nread, struct blobseal_error *err)
{
    size_t *at = ctx;

    (void)err;
    *nread = len < sealed.len - *at ? len : sealed.len - *at;
    memcpy(buf, sealed.data + *at, *nread);
    *at += *nread;
    return BLOBSEAL_OK;
}

static enum blobseal_status drop(void *ctx, const void *buf, size_t len, struct blobseal_error *err)
{
    (void)ctx;
    (void)buf;
    (void)len;
    (void)err;
    return BLOBSEAL_OK;
}

static enum blobseal_status drop_at(void *ctx, const void *buf, size_t len, uint64_t off, struct blobseal_error *err)
{
    (void)off;
    return drop(ctx, buf, len, err);
}

static const struct blobseal_sink in_order = {.write = drop}, anywhere = {.pwrite = drop_at};

static void must(enum blobseal_status st, const char *what)
{
    search_registers(what);
    if (st == BLOBSEAL_OK)
        return;
    (void)fprintf(stderr, "leftovers: %s: %s\n", what, blobseal_status_code(st));
    exit(1);
}

/* Seal, if @named with a name and an annotation that are the marker as well. */
static void seal(uint64_t size, bool zstd, bool named)
{
    struct blobseal_annotation a = {.name = "a", .value = (const char *)buffer};
    const struct blobseal_metadata m = {
        .size = sizeof m, .name = (const char *)buffer, .num_annotations = 1, .annotations = &a};
    const struct blobseal_seal_options o = {
        .size = sizeof o, .threads = 2, .zstd = zstd, .metadata = named ? &m : NULL};
    const struct blobseal_source source = {.ctx = &size, .size = size, .pread = plain_pread};
    struct blobseal_memory memory;
    struct blobseal_sink sink;

    blobseal_sink_memory(&sink, &memory);
    fill(buffer, 3 * MARKER, 0);
    must(blobseal_seal(&sink, &source, &kek, 1, &o, NULL, NULL), "seal");
    empty_buffer();
    sealed = (struct sealed){.data = memory.data, .len = memory.len};
    search(zstd ? "sealing zstd" : "sealing", false);
}

static void push(uint64_t size, bool zstd)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .zstd = zstd};
    struct blobseal_writer *w;

    must(blobseal_writer_open(&w, &in_order, &kek, 1, &o, NULL), "writer");
    for (uint64_t at = 0; at < size; at += 300000) {
        fill(buffer, 300000, at);
        must(blobseal_writer_write(w, buffer, 300000, NULL), "write");
    }
    must(blobseal_writer_finish(w, NULL, NULL), "finish");
    empty_buffer();
    search("writing, open", true);
    blobseal_writer_close(w);
    search("writing", false);
}

static struct blobseal_reader *open_sealed(struct blobseal_memory *state, size_t *at, bool seekable)
{
    struct blobseal_source source = {.ctx = at, .size = BLOBSEAL_SIZE_UNKNOWN, .read = sealed_read};
    struct blobseal_reader *r;

    *at = 0;
    if (seekable)
        blobseal_source_memory(&source, state, sealed.data, sealed.len);
    must(blobseal_reader_open(&r, &source, &kek, 1, NULL, NULL), "open");
    return r;
}

/* Open to memory that grows, which the program wipes before it releases it. */
static void open_to_memory(void)
{
    struct blobseal_memory state, out;
    struct blobseal_reader *r;
    struct blobseal_sink sink;
    uint8_t byte;
    size_t at, n;

    r = open_sealed(&state, &at, true);
    blobseal_sink_memory(&sink, &out);
    do {
        must(blobseal_reader_read(r, &byte, 1, &n, NULL), "read");
        must(sink.write(sink.ctx, &byte, n, NULL), "write to memory");
    } while (n > 0 && out.len < 70000);
    blobseal_reader_close(r);
    blobseal_wipe(out.data, out.len);
    blobseal_free(out.data);
    search("opening to memory", false);
}

static void read_ahead(struct blobseal_reader *r, size_t len)
{
    size_t n;

    do
        must(blobseal_reader_read(r, buffer, len, &n, NULL), "read");
    while (n > 0);
}

/* Read in every way. Without @whole, some of the plaintext is opened but not asked for. */
static void use_reader(bool seekable, bool whole)
{
    struct blobseal_memory state;
    struct blobseal_reader *r;
    size_t at, n;

    r = open_sealed(&state, &at, seekable);
    if (whole)
        read_ahead(r, 100000);
    else
        must(blobseal_reader_read(r, buffer, 10, &n, NULL), "read");
    if (seekable) {
        uint64_t size = blobseal_reader_size(r), off = size / 2;

        must(blobseal_reader_pread(r, buffer, 1, off, &n, NULL), "pread");
        must(blobseal_reader_pread(r, buffer, whole ? BUFFER : 100, 0, &n, NULL), "pread");
        must(blobseal_reader_stream_range(r, &in_order, 5, size - 10, NULL, NULL), "range");
        must(blobseal_reader_stream_range(r, &anywhere, 5, size - 10, NULL, NULL), "range");
        must(blobseal_reader_stream(r, &anywhere, NULL, NULL), "stream");
        must(blobseal_reader_stream(r, &in_order, NULL, NULL), "stream");
    }
    empty_buffer();
    if (sealed.len > 200000) /* small buffers, and metadata, are part of the heap */
        search("reading, open", true);
    blobseal_reader_close(r);
    if (!seekable) {
        r = open_sealed(&state, &at, false);
        must(blobseal_reader_stream(r, &in_order, NULL, NULL), "stream");
        blobseal_reader_close(r);
    }
    search(seekable ? "reading at offsets" : "reading in order", false);
}

int main(void)
{
    static const uint64_t sizes[] = {100, 40000, 2500000}; /* the first one with metadata */
    struct fake_kek fake = {.kid = "a-key"};

    kek = fake_kek_open(&fake);
    buffer = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED)
        abort();
    search("nothing", false);
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (int zstd = 0; zstd < 2; zstd++) {
            seal(sizes[i], zstd != 0, i == 0);
            for (int way = 0; way < 4; way++)
                use_reader((way & 1) != 0, (way & 2) != 0);
            open_to_memory();
            sealed_clear(&sealed);
            push(sizes[i], zstd != 0);
        }
    fill(buffer, 100, 0);
    memcpy(sealed.data = must_alloc(100), buffer, 100); /* something that the search has to find */
    empty_buffer();
    if (failures == 0) {
        search("a leak, as it should", false);
        failures = failures > 0 ? 0 : 1;
    }
    free(sealed.data);
    blobseal_kek_close(kek);
    (void)printf("leftovers: %u failures\n", failures);
    return failures == 0 ? 0 : 1;
}
