/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a blob, and reading at any offset. FORMAT.md sections 3 and 4.6. */
#include <stdlib.h>

#include "internal.h"

/* ---- Reading at an offset ------------------------------------------------------------------------------------ */

static void free_scratch(struct bs_scratch *s)
{
    bs_unpacked_free(s->unpacked);
    bs_chunked_clear(&s->chunked);
    free(s);
}

/* From the pool, which holds as many as there were callers at a time; which one matters only for zstd content. */
static struct bs_scratch *from_pool(struct blobseal_reader *r, uint64_t frame)
{
    struct bs_scratch **at, *s;

    pthread_mutex_lock(&r->lock);
    at = &r->pool;
    while (*at != NULL && bs_unpacked_frame((*at)->unpacked) != frame)
        at = &(*at)->next;
    if (*at == NULL)
        at = &r->pool;
    s = *at;
    if (s != NULL)
        *at = s->next;
    pthread_mutex_unlock(&r->lock);
    return s;
}

enum blobseal_status bs_scratch_take(struct bs_scratch **scratch, struct blobseal_reader *r, uint64_t frame,
                                     struct blobseal_error *err)
{
    struct bs_scratch *s = from_pool(r, frame);
    enum blobseal_status st;

    *scratch = s;
    if (s != NULL)
        return BLOBSEAL_OK;
    s = malloc(sizeof *s);
    if (s == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read %s: no memory", bs_source_name(&r->source));
    s->unpacked = NULL;
    s->chunked = (struct bs_chunked){0};
    st = bs_chunked_init(&s->chunked, r->keys, err);
    if (st == BLOBSEAL_OK)
        *scratch = s;
    else
        free_scratch(s);
    return st;
}

void bs_scratch_give(struct blobseal_reader *r, struct bs_scratch *s)
{
    pthread_mutex_lock(&r->lock);
    s->next = r->pool;
    r->pool = s;
    pthread_mutex_unlock(&r->lock);
}

/* Read and open @num chunks of one segment, which take @sealed_len bytes, into s->plain. */
static enum blobseal_status read_scratch(struct blobseal_reader *r, struct bs_scratch *s, uint64_t chunk, size_t num,
                                         bool last, size_t sealed_len, struct blobseal_error *err)
{
    uint64_t off = r->core_offset + bs_chunk_offset(&r->core, chunk);
    enum blobseal_status st = bs_pread(&r->source, s->sealed, sealed_len, off, err);
    size_t plain_len;

    if (st != BLOBSEAL_OK)
        return st;
    if (bs_chunked_open(&s->chunked, chunk, last, s->plain, s->sealed, sealed_len, &plain_len))
        return BLOBSEAL_OK;
    return blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "%s is not authentic: chunks %llu to %llu, at byte %llu",
                         bs_source_name(&r->source), (unsigned long long)chunk, (unsigned long long)(chunk + num - 1),
                         (unsigned long long)off);
}

/* How many chunks from @chunk on one read takes: of one segment, at most a run, up to byte @want_end. */
static size_t chunks_at(uint64_t chunk, uint64_t want_end)
{
    uint64_t last_wanted = (want_end - 1) / BS_CHUNK_LEN;
    uint64_t segment_end = (chunk / BS_SEGMENT_CHUNKS + 1) * BS_SEGMENT_CHUNKS;
    uint64_t end = last_wanted + 1 < segment_end ? last_wanted + 1 : segment_end;

    return (size_t)(end - chunk < BS_RUN_CHUNKS ? end - chunk : BS_RUN_CHUNKS);
}

/* Read the part of [@off, @end) that starts at @off and lies in one run; *@n receives its length. */
static enum blobseal_status pread_run(struct blobseal_reader *r, struct bs_scratch *s, uint8_t *dst, uint64_t off,
                                      uint64_t end, size_t *n, struct blobseal_error *err)
{
    uint64_t chunk = off / BS_CHUNK_LEN, last_chunk = r->stored_bytes / BS_CHUNK_LEN;
    size_t skip = (size_t)(off % BS_CHUNK_LEN), num = chunks_at(chunk, end);
    bool last = chunk + num - 1 == last_chunk;
    size_t sealed_len =
        last ? bs_sealed_tail_len((size_t)(r->stored_bytes - chunk * BS_CHUNK_LEN)) : num * BS_SEALED_CHUNK_LEN;
    enum blobseal_status st = read_scratch(r, s, chunk, num, last, sealed_len, err);

    if (st != BLOBSEAL_OK)
        return st;
    *n = num * BS_CHUNK_LEN - skip;
    if (*n > end - off)
        *n = (size_t)(end - off);
    memcpy(dst, s->plain + skip, *n);
    return BLOBSEAL_OK;
}

enum blobseal_status bs_stored_range(struct blobseal_reader *r, struct bs_scratch *s, uint8_t *dst, size_t len,
                                     uint64_t off, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    size_t n = 0;

    for (size_t done = 0; done < len && st == BLOBSEAL_OK; done += n)
        st = pread_run(r, s, dst + done, off + done, off + len, &n, err);
    return st;
}

enum blobseal_status bs_stored_pread(struct blobseal_reader *r, uint8_t *dst, size_t len, uint64_t off,
                                     struct blobseal_error *err)
{
    struct bs_scratch *s;
    enum blobseal_status st = bs_scratch_take(&s, r, UINT64_MAX, err);

    if (s == NULL)
        return st;
    st = bs_stored_range(r, s, dst, len, off, err);
    bs_scratch_give(r, s);
    return st;
}

enum blobseal_status bs_reader_read(struct blobseal_reader *r, uint8_t *dst, size_t len, uint64_t off,
                                    struct blobseal_error *err)
{
    return r->decompress ? bs_zstd_pread(r, dst, len, off, err) : bs_stored_pread(r, dst, len, off, err);
}

enum blobseal_status blobseal_reader_pread(struct blobseal_reader *r, void *dst, size_t len, uint64_t off,
                                           size_t *nread, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    size_t n = len;

    *nread = 0;
    if (!bs_seekable(&r->source) || off > r->plain_bytes)
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "read at %llu: beyond the end, or the blob comes from a pipe",
                           (unsigned long long)off);
    else if (n > r->plain_bytes - off)
        n = (size_t)(r->plain_bytes - off);
    if (st == BLOBSEAL_OK && n > 0)
        st = bs_reader_read(r, dst, n, off, err);
    if (st == BLOBSEAL_OK)
        *nread = n;
    else if (len > 0)
        memset(dst, 0, len);
    return st;
}

/* ---- Opening --------------------------------------------------------------------------------------------------- */

/* Open the envelope, and keep the keys of the payload and what the envelope says. */
static enum blobseal_status unlock(struct blobseal_reader *r, const struct bs_preamble *f,
                                   struct blobseal_kek *const *keks, size_t num_keks, struct blobseal_error *err)
{
    struct bs_envelope env;
    struct bs_unlocked *u;
    size_t i;
    enum blobseal_status st = bs_preamble_unlock(f, bs_source_name(&r->source), keks, num_keks, &i, &env, &u, err);

    if (st == BLOBSEAL_OK)
        st = bs_info_make(&r->info, f, i, &env, u->jwk.has_metadata ? &u->jwk.metadata.shown : NULL, &r->source, err);
    if (st == BLOBSEAL_OK)
        *r->keys = u->keys;
    blobseal_secret_free(u);
    bs_envelope_clear(&env);
    return st;
}

enum blobseal_status bs_last_chunk_check(struct blobseal_reader *r, struct bs_scratch *s, struct blobseal_error *err)
{
    enum blobseal_status st = read_scratch(r, s, r->stored_bytes / BS_CHUNK_LEN, 1, true,
                                           (size_t)(r->stored_bytes % BS_CHUNK_LEN) + BS_GCM_TAG_LEN, err);

    if (st == BLOBSEAL_E_AUTH)
        st = blobseal_fail(err, st, 0, "the end of %s is not authentic: it was cut, extended or changed",
                           bs_source_name(&r->source));
    return st;
}

/* Open the last chunk: from here on the size is authentic (section 3). For zstd content it is that of the original. */
static enum blobseal_status check_size(struct blobseal_reader *r, struct blobseal_error *err)
{
    enum blobseal_status st;
    struct bs_scratch *s;

    r->stored_bytes = r->plain_bytes = r->info->stored_bytes;
    if (r->stored_bytes == BLOBSEAL_SIZE_UNKNOWN)
        return blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "%s is cut or extended: no blob is %llu bytes long",
                             bs_source_name(&r->source), (unsigned long long)r->source.size);
    st = bs_scratch_take(&s, r, UINT64_MAX, err);
    if (s == NULL)
        return st;
    st = bs_last_chunk_check(r, s, err);
    bs_scratch_give(r, s);
    if (st == BLOBSEAL_OK && r->decompress) {
        st = bs_zstd_open(r, r->max_frames, err);
        r->info->plain_bytes = r->plain_bytes;
    }
    return st;
}

enum blobseal_status blobseal_reader_open(struct blobseal_reader **reader, const struct blobseal_source *source,
                                          struct blobseal_kek *const *keks, size_t num_keks,
                                          const struct blobseal_reader_options *options, struct blobseal_error *err)
{
    struct blobseal_reader_options o = {.size = sizeof o};
    struct blobseal_reader *r;
    struct bs_preamble preamble = {0};
    enum blobseal_status st;

    *reader = NULL;
    if (!blobseal_struct_import(&o, sizeof o, options))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "open: options without their size, or newer than the library");
    if (source->pread == NULL && source->read == NULL)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "open: a source without functions");
    r = calloc(1, sizeof *r);
    if (r == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open: no memory");
    pthread_mutex_init(&r->lock, NULL);
    r->source = *source;
    r->input = (struct bs_input){&r->source, 0};
    r->threads = o.threads;
    r->progress = o.progress;
    r->progress_ctx = o.progress_ctx;
    r->stored_bytes = r->plain_bytes = BLOBSEAL_SIZE_UNKNOWN;
    r->max_frames = o.max_frames != 0 ? o.max_frames : BS_MAX_FRAMES;
    r->keys = blobseal_secret_alloc(sizeof *r->keys);
    st = r->keys != NULL ? bs_preamble_read(&preamble, &r->input, o.envelope, o.envelope_len, err)
                         : blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open: no memory");
    if (st == BLOBSEAL_OK) {
        r->core = preamble.core;
        r->core_offset = preamble.core_offset;
        r->decompress = preamble.core.content == BS_CONTENT_ZSTD && !o.raw;
        st = unlock(r, &preamble, keks, num_keks, err);
    }
    if (st == BLOBSEAL_OK)
        st = bs_check_generation(bs_source_name(source), r->info->generation, o.min_generation, err);
    if (st == BLOBSEAL_OK && bs_seekable(&r->source))
        st = check_size(r, err);
    bs_preamble_clear(&preamble);
    if (st == BLOBSEAL_OK)
        *reader = r;
    else
        blobseal_reader_close(r);
    return st;
}

void blobseal_reader_close(struct blobseal_reader *r)
{
    if (r == NULL)
        return;
    while (r->pool != NULL) {
        struct bs_scratch *s = r->pool;

        r->pool = s->next;
        free_scratch(s);
    }
    bs_pull_free(r->pull);
    bs_seek_clear(&r->table);
    blobseal_info_free(r->info);
    blobseal_secret_free(r->keys);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

uint64_t blobseal_reader_size(const struct blobseal_reader *r)
{
    return r->plain_bytes;
}

const struct blobseal_info *blobseal_reader_info(const struct blobseal_reader *r)
{
    return r->info;
}
