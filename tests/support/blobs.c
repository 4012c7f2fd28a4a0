/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, sources, sinks and blobs for tests: see blobs.h. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/blobs.h"

_Noreturn void test_support_failed(const char *what)
{
    (void)fprintf(stderr, "test support: %s\n", what);
    abort();
}

/* ---- Bytes ------------------------------------------------------------------------------------------------------- */

/* SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

uint64_t random_below(uint64_t *state, uint64_t n)
{
    return random_next(state) % n;
}

void fill_random(uint8_t *p, size_t len, uint64_t seed)
{
    uint64_t v = 0;

    for (size_t i = 0; i < len; i++) {
        if (i % 8 == 0)
            v = random_next(&seed);
        p[i] = (uint8_t)(v >> (i % 8 * 8));
    }
}

static const char pattern[] =
    "ABCDEFGHIJKLMNOP"; /* 16 different bytes, so the repeated text has 16 different windows */

void fill_pattern(uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)pattern[i % 16];
}

bool has_pattern(const uint8_t *p, size_t len)
{
    size_t in_a_row = 0;

    for (size_t i = 0; i < len; i++) {
        bool member = p[i] >= 'A' && p[i] <= 'P';
        bool goes_on = member && i > 0 && p[i] == (uint8_t)('A' + (p[i - 1] - 'A' + 1) % 16);

        in_a_row = !member ? 0 : goes_on ? in_a_row + 1 : 1;
        if (in_a_row == 16)
            return true;
    }
    return false;
}

void *must_alloc(size_t len)
{
    void *p = malloc(len > 0 ? len : 1);

    if (p == NULL)
        test_support_failed("no memory");
    return p;
}

void *must_copy(const void *p, size_t len)
{
    void *copy = must_alloc(len);

    if (len > 0)
        memcpy(copy, p, len);
    return copy;
}

/* ---- Faults ------------------------------------------------------------------------------------------------------ */

bool fault_strikes(const struct fault *f, uint64_t call, uint64_t end)
{
    if (f->at_call != 0 && (f->once ? call == f->at_call : call >= f->at_call))
        return true;
    return f->at_byte != 0 && end > f->at_byte;
}

enum blobseal_status fault_fails(const struct fault *f, const char *what, struct blobseal_error *err)
{
    if (!f->silent)
        (void)blobseal_fail(err, f->status, 0, "%s: the fault that was asked for", what);
    return f->status;
}

/* ---- Sources ----------------------------------------------------------------------------------------------------- */

static size_t piece(struct test_source *s, size_t len)
{
    size_t max = s->max_piece;

    if (max == 0 || len == 0)
        return len;
    pthread_mutex_lock(&s->lock);
    max = 1 + (size_t)random_below(&s->random, max);
    pthread_mutex_unlock(&s->lock);
    return len < max ? len : max;
}

static enum blobseal_status source_at(struct test_source *s, void *buf, size_t len, uint64_t off, size_t *nread,
                                      struct blobseal_error *err)
{
    size_t left = off < s->len ? s->len - (size_t)off : 0;

    *nread = 0;
    s->asked += len;
    len = piece(s, len < left ? len : left);
    if (fault_strikes(&s->fault, ++s->calls, off + len))
        return fault_fails(&s->fault, "read", err);
    if (len > 0)
        memcpy(buf, s->data + off, len);
    *nread = len;
    return BLOBSEAL_OK;
}

static enum blobseal_status source_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                         struct blobseal_error *err)
{
    return source_at(ctx, buf, len, off, nread, err);
}

/* Block until cancel() is called, like a read from a pipe to which nothing is written. */
static enum blobseal_status wait_for_cancel(struct test_source *s, struct blobseal_error *err)
{
    pthread_mutex_lock(&s->lock);
    while (s->cancels == 0)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    return blobseal_fail(err, BLOBSEAL_E_CANCELED, 0, "read: canceled");
}

static enum blobseal_status source_read(void *ctx, void *buf, size_t len, size_t *nread, struct blobseal_error *err)
{
    struct test_source *s = ctx;
    enum blobseal_status st;

    if (s->busy++ != 0)
        s->misused = true;
    if (s->block_at != 0 && s->pos >= s->block_at) {
        *nread = 0;
        st = wait_for_cancel(s, err);
    } else {
        if (s->block_at != 0 && len > s->block_at - s->pos)
            len = s->block_at - s->pos;
        st = source_at(s, buf, len, s->pos, nread, err);
        s->pos += *nread;
    }
    s->busy--;
    return st;
}

static void source_cancel(void *ctx)
{
    struct test_source *s = ctx;

    pthread_mutex_lock(&s->lock);
    s->cancels++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void test_source_start(struct blobseal_source *source, struct test_source *state)
{
    pthread_mutex_init(&state->lock, NULL);
    pthread_cond_init(&state->changed, NULL);
    if (state->size == 0)
        state->size = state->seekable ? state->len : BLOBSEAL_SIZE_UNKNOWN;
    *source = (struct blobseal_source){
        .ctx = state,
        .size = state->size,
        .name = "test source",
        .read = source_read,
        .pread = state->seekable ? source_pread : NULL,
        .cancel = source_cancel,
    };
}

void test_source_end(struct test_source *state)
{
    pthread_cond_destroy(&state->changed);
    pthread_mutex_destroy(&state->lock);
}

/* ---- Sinks ------------------------------------------------------------------------------------------------------- */

static enum blobseal_status sink_at(struct test_sink *s, const void *buf, size_t len, uint64_t off,
                                    struct blobseal_error *err)
{
    if (fault_strikes(&s->fault, ++s->calls, off + len))
        return fault_fails(&s->fault, "write", err);
    if (off > s->cap || len > s->cap - off) {
        s->misused = true;
        return blobseal_fail(err, BLOBSEAL_E_OUTPUT, 0, "write: beyond the end");
    }
    if (len > 0) {
        if (memchr(s->written + off, 1, len) != NULL)
            s->misused = true;
        memset(s->written + off, 1, len);
        memcpy(s->data + off, buf, len);
    }
    s->bytes += len;
    return BLOBSEAL_OK;
}

static enum blobseal_status sink_pwrite(void *ctx, const void *buf, size_t len, uint64_t off,
                                        struct blobseal_error *err)
{
    return sink_at(ctx, buf, len, off, err);
}

static enum blobseal_status sink_write(void *ctx, const void *buf, size_t len, struct blobseal_error *err)
{
    struct test_sink *s = ctx;
    enum blobseal_status st;

    if (s->busy++ != 0)
        s->misused = true;
    st = sink_at(s, buf, len, s->pos, err);
    if (st == BLOBSEAL_OK)
        s->pos += len;
    s->busy--;
    return st;
}

void test_sink_start(struct blobseal_sink *sink, struct test_sink *state)
{
    state->data = must_alloc(state->cap);
    state->written = must_alloc(state->cap);
    memset(state->written, 0, state->cap);
    *sink = (struct blobseal_sink){
        .ctx = state,
        .name = "test sink",
        .write = sink_write,
        .pwrite = state->seekable ? sink_pwrite : NULL,
    };
}

void test_sink_end(struct test_sink *state)
{
    free(state->data);
    free(state->written);
    state->data = NULL;
    state->written = NULL;
}

bool test_sink_is(const struct test_sink *state, const void *want, size_t len)
{
    return !state->misused && state->bytes == len &&
           (len == 0 || (memchr(state->written, 0, len) == NULL && memcmp(state->data, want, len) == 0));
}

/* Return the number of consecutive entries of s->written that are @value, from @at on. */
static size_t run_of(const struct test_sink *s, size_t at, int value)
{
    const uint8_t *end = memchr(s->written + at, 1 - value, s->cap - at);

    return end != NULL ? (size_t)(end - s->written) - at : s->cap - at;
}

bool test_sink_is_part_of(const struct test_sink *state, const void *want, size_t len)
{
    size_t at = 0, n;

    if (state->misused)
        return false;
    while (at < state->cap) {
        at += run_of(state, at, 0);
        n = run_of(state, at, 1);
        if (n > 0 && (at + n > len || memcmp(state->data + at, (const uint8_t *)want + at, n) != 0))
            return false;
        at += n;
    }
    return true;
}

/* ---- Sealing and opening in memory ------------------------------------------------------------------------------- */

enum blobseal_status seal_bytes(struct sealed *out, const void *plain, size_t len, struct blobseal_kek *const *keks,
                                size_t num_keks, const struct blobseal_seal_options *options,
                                struct blobseal_error *err)
{
    struct blobseal_memory from, to;
    struct blobseal_source source;
    struct blobseal_sink sink;
    enum blobseal_status st;

    blobseal_source_memory(&source, &from, plain, len);
    blobseal_sink_memory(&sink, &to);
    *out = (struct sealed){.result = {.size = sizeof out->result}};
    st = blobseal_seal(&sink, &source, keks, num_keks, options, &out->result, err);
    out->data = to.data;
    out->len = to.len;
    return st;
}

void sealed_clear(struct sealed *s)
{
    blobseal_free(s->data);
    blobseal_free(s->result.envelope);
    *s = (struct sealed){0};
}

enum blobseal_status open_bytes(struct opened *out, const void *blob, size_t len, struct blobseal_kek *const *keks,
                                size_t num_keks, const struct how_to_open *how, struct blobseal_error *err)
{
    static const struct how_to_open plainly = {0};
    const struct how_to_open *h = how != NULL ? how : &plainly;
    const struct blobseal_reader_options o = {
        .size = sizeof o,
        .envelope = h->envelope,
        .envelope_len = h->envelope_len,
        .threads = h->threads != 0 ? h->threads : 1,
    };
    struct test_source from = {.data = blob, .len = len, .seekable = !h->sequential, .max_piece = h->max_piece};
    struct blobseal_reader *reader;
    struct blobseal_source source;
    struct blobseal_memory to;
    struct blobseal_sink sink;
    enum blobseal_status st;

    *out = (struct opened){.size = BLOBSEAL_SIZE_UNKNOWN};
    test_source_start(&source, &from);
    source.size = h->sequential ? BLOBSEAL_SIZE_UNKNOWN : len;
    blobseal_sink_memory(&sink, &to);
    st = blobseal_reader_open(&reader, &source, keks, num_keks, &o, err);
    if (st == BLOBSEAL_OK) {
        out->got_reader = true;
        out->size = blobseal_reader_size(reader);
        out->generation = blobseal_reader_info(reader)->generation;
        out->notes = blobseal_reader_info(reader)->notes;
        st = blobseal_reader_stream(reader, &sink, NULL, err);
    }
    blobseal_reader_close(reader);
    out->data = to.data;
    out->len = to.len;
    if (from.misused)
        test_support_failed("a source was read by two threads at once");
    test_source_end(&from);
    return st;
}

void opened_clear(struct opened *o)
{
    blobseal_free(o->data);
    *o = (struct opened){0};
}

/* ---- Blobs made by hand ------------------------------------------------------------------------------------------ */

void recipe_derive(struct recipe *r)
{
    uint8_t context[BS_MAX_CONTEXT_LEN], hash[BS_SHA256_LEN];
    const struct bs_slice text = {(const uint8_t *)r->metadata, r->metadata != NULL ? strlen(r->metadata) : 0};
    size_t len;

    if (!bs_metadata_hash(hash, text))
        test_support_failed("no memory");
    len = bs_core_context(&r->core, r->metadata != NULL ? hash : NULL, context);
    if (!bs_chunked_derive(&r->keys, &r->dek, r->core.salt, context, len))
        test_support_failed("key derivation failed");
    memcpy(r->core.commitment, r->keys.commitment, sizeof r->core.commitment);
    bs_core_encode(&r->core);
}

void recipe_make(struct recipe *r, uint64_t seed, unsigned segments)
{
    *r = (struct recipe){.core = {.version = 1, .suite = 1, .content = 0, .segments = (uint8_t)segments}};
    fill_random(r->core.blob_id, sizeof r->core.blob_id, seed);
    fill_random(r->core.salt, sizeof r->core.salt, seed + 1);
    fill_random(r->dek.b, sizeof r->dek.b, seed + 2);
    fill_random(r->cek.b, sizeof r->cek.b, seed + 3);
    recipe_derive(r);
}

uint8_t *recipe_core(const struct recipe *r, const void *plain, size_t len, size_t *core_len)
{
    const uint8_t *p = plain;
    struct bs_chunked c = {0};
    uint8_t *core, *out;

    *core_len = (size_t)bs_core_len(&r->core, len);
    core = must_alloc(*core_len);
    memcpy(core, r->core.raw, BS_CORE_HEADER_LEN);
    out = core + BS_CORE_HEADER_LEN;
    if (bs_chunked_init(&c, &r->keys, NULL) != BLOBSEAL_OK)
        test_support_failed("no memory for a cipher");
    for (uint64_t segment = 0; out < core + *core_len; segment++) {
        size_t n = len < BS_SEGMENT_LEN ? len : BS_SEGMENT_LEN;
        bool last = n < BS_SEGMENT_LEN;
        size_t sealed_len = last ? bs_sealed_tail_len(n) : BS_SEALED_SEGMENT_LEN;

        if (!bs_chunked_seal(&c, segment * BS_SEGMENT_CHUNKS, last, out, (struct bs_slice){p, n}))
            test_support_failed("sealing failed");
        if (r->core.segments == BS_SEGMENTS_CHECKSUMMED)
            bs_store64(out + sealed_len, bs_xxh3(bs_load64(r->core.blob_id) ^ segment, out, sealed_len));
        out += sealed_len + (r->core.segments == BS_SEGMENTS_CHECKSUMMED ? BS_CHECKSUM_LEN : 0);
        p += n;
        len -= n;
    }
    bs_chunked_clear(&c);
    return core;
}

char *recipe_envelope(const struct recipe *r, uint64_t generation, struct blobseal_kek *const *keks, size_t num_keks)
{
    struct bs_builder w = bs_builder_start(must_alloc(BLOBSEAL_MAX_ENVELOPE + 1), BLOBSEAL_MAX_ENVELOPE);

    if (bs_envelope_write(&w,
                          &(const struct bs_envelope_plan){
                              .core = &r->core, .generation = generation, .dek = &r->dek, .cek = &r->cek},
                          (struct bs_keks){keks, num_keks, NULL}, NULL) != BLOBSEAL_OK)
        test_support_failed("writing an envelope failed");
    w.p[w.len] = '\0';
    return (char *)w.p;
}

/*
 * Write one slot as section 5 specifies. This does not use frame.c, because tests need slots that no correct writer
 * makes.
 */
static void put_slot(uint8_t *slot, size_t capacity, struct slot_text t)
{
    size_t len = t.text != NULL ? strlen(t.text) : 0;

    memset(slot, 0, capacity);
    if (t.text == NULL)
        return;
    if (len > capacity - BS_SLOT_HEADER_LEN)
        test_support_failed("an envelope does not fit its slot");
    memcpy(slot, "BSKS", 4);
    bs_store32(slot + 4, (uint32_t)len);
    bs_store64(slot + 8, t.generation);
    bs_store64(slot + 16, bs_xxh3(t.generation, t.text, len));
    memcpy(slot + BS_SLOT_HEADER_LEN, t.text, len);
}

uint8_t *put_in_frame(const struct bs_core_header *core, enum blobseal_layout layout, struct slot_text a,
                      struct slot_text b, const uint8_t *core_bytes, size_t core_len, size_t *len)
{
    size_t longest = a.text != NULL ? strlen(a.text) : 0;
    struct bs_frame f;
    uint32_t capacity;
    uint8_t *blob;

    if (b.text != NULL && strlen(b.text) > longest)
        longest = strlen(b.text);
    capacity = (uint32_t)((longest + BS_SLOT_HEADER_LEN + 4095) / 4096 * 4096);
    if (bs_frame_plan(&f, layout, capacity, longest, core->blob_id, NULL) != BLOBSEAL_OK)
        test_support_failed("an envelope does not fit its frame");
    *len = f.frame_len + core_len;
    blob = must_alloc(*len);
    bs_frame_encode(&f, blob, "", 0, 1);
    put_slot(blob + f.slot_offset, f.slot_capacity, a);
    if (f.slots == 2)
        put_slot(blob + f.slot_offset + f.slot_capacity, f.slot_capacity, b);
    memcpy(blob + f.frame_len, core_bytes, core_len);
    return blob;
}

size_t core_offset_of(const uint8_t *blob, size_t len)
{
    return bs_frame_magic(blob, len) && len >= BS_FRAME_HEADER_LEN ? bs_load32(blob + 20) : 0;
}

static void refix_frame(uint8_t *blob, size_t len)
{
    size_t offset = bs_load32(blob + 12), capacity = bs_load32(blob + 16);

    bs_store64(blob + 56, bs_xxh3(0, blob, 56));
    for (unsigned i = 0; i < blob[10] && i < 2 && offset < len && capacity >= BS_SLOT_HEADER_LEN; i++) {
        uint8_t *slot = blob + offset;

        if (capacity > len - offset)
            break;
        if (bs_load32(slot + 4) <= capacity - BS_SLOT_HEADER_LEN)
            bs_store64(slot + 16, bs_xxh3(bs_load64(slot + 8), slot + BS_SLOT_HEADER_LEN, bs_load32(slot + 4)));
        offset += capacity;
    }
}

static void refix_segments(uint8_t *core, size_t len)
{
    uint64_t seed = bs_load64(core + 16);
    uint8_t *p = core + BS_CORE_HEADER_LEN;
    size_t left = len - BS_CORE_HEADER_LEN, unit = BS_SEALED_SEGMENT_LEN + BS_CHECKSUM_LEN;

    for (uint64_t s = 0; left >= BS_CHECKSUM_LEN; s++) {
        size_t n = left < unit ? left : unit;

        bs_store64(p + n - BS_CHECKSUM_LEN, bs_xxh3(seed ^ s, p, n - BS_CHECKSUM_LEN));
        p += n;
        left -= n;
    }
}

void refix(uint8_t *blob, size_t len)
{
    size_t offset = core_offset_of(blob, len);
    uint8_t *core;

    if (bs_frame_magic(blob, len) && len >= BS_FRAME_HEADER_LEN)
        refix_frame(blob, len);
    if (offset > len || len - offset < BS_CORE_HEADER_LEN)
        return;
    core = blob + offset;
    bs_store64(core + 88, bs_xxh3(0, core, 88));
    if (core[11] == 1)
        refix_segments(core, len - offset);
}
