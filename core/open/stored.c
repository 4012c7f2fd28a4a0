/* SPDX-License-Identifier: Apache-2.0 */
/* Reading stored bytes at any offset, in runs of chunks. FORMAT.md section 3. */
#include "core/open/open.h"
#include "simd/simd.h"

/* ---- Reading at an offset ---------------------------------------------------------------------------------------- */

/* Chunks of one segment, at most a run. */
struct run {
    uint64_t first;
    size_t num;
};

/* Return the run from the chunk of byte @off to that of byte @end - 1, ending earlier where a segment or run must. */
static struct run run_at(uint64_t off, uint64_t end)
{
    uint64_t first = off / BS_CHUNK_LEN, after = (end - 1) / BS_CHUNK_LEN + 1;
    uint64_t segment_end = (first / BS_SEGMENT_CHUNKS + 1) * BS_SEGMENT_CHUNKS;

    if (after > segment_end)
        after = segment_end;
    return (struct run){first, (size_t)(after - first < BS_RUN_CHUNKS ? after - first : BS_RUN_CHUNKS)};
}

static enum blobseal_status open_run(const struct bs_stored *s, struct bs_chunked *chunked, struct run run,
                                     uint8_t *sealed, uint8_t *plain, struct blobseal_error *err)
{
    bool last = run.first + run.num - 1 == s->len / BS_CHUNK_LEN;
    size_t len = last ? bs_sealed_tail_len((size_t)(s->len - run.first * BS_CHUNK_LEN)) : run.num * BS_SEALED_CHUNK_LEN;
    uint64_t off = s->core_offset + bs_chunk_offset(&s->core, run.first);
    enum blobseal_status st = bs_pread(&s->source, sealed, len, off, err);
    size_t plain_len;

    if (st != BLOBSEAL_OK)
        return st;
    if (bs_chunked_open(chunked, run.first, last, plain, (struct bs_slice){sealed, len}, &plain_len))
        return BLOBSEAL_OK;
    if (bs_chunked_failed(chunked, err))
        return BLOBSEAL_E_NOMEM;
    return blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "%s is not authentic: chunks %llu to %llu, at byte %llu",
                         bs_source_name(&s->source), (unsigned long long)run.first,
                         (unsigned long long)(run.first + run.num - 1), (unsigned long long)off);
}

enum blobseal_status bs_stored_open(const struct bs_stored *s, struct bs_chunked *chunked, struct bs_range range,
                                    uint8_t *sealed, uint8_t *plain, struct blobseal_error *err)
{
    uint64_t end = range.off + range.len, at = range.off - bs_stored_skip(range.off);
    enum blobseal_status st = BLOBSEAL_OK;

    while (at < end && st == BLOBSEAL_OK) {
        struct run run = run_at(at, end);

        st = open_run(s, chunked, run, sealed, plain, err);
        plain += run.num * BS_CHUNK_LEN;
        at += run.num * BS_CHUNK_LEN;
    }
    return st;
}

enum blobseal_status bs_stored_pread(const struct bs_stored *s, struct bs_worker *worker, struct bs_range range,
                                     uint8_t *dst, struct blobseal_error *err)
{
    struct bs_open_state *state = worker->state;
    enum blobseal_status st = BLOBSEAL_OK;

    while (range.len > 0 && st == BLOBSEAL_OK) {
        struct run run = run_at(range.off, range.off + range.len);
        size_t skip = bs_stored_skip(range.off), n = run.num * BS_CHUNK_LEN - skip;

        n = n < range.len ? n : range.len;
        bs_note_plain(worker, run.num * BS_CHUNK_LEN);
        st = open_run(s, &state->chunked, run, worker->in, worker->out, err);
        if (st == BLOBSEAL_OK)
            bs_copy_secret(dst, worker->out + skip, n);
        dst += n;
        range.off += n;
        range.len -= n;
    }
    return st;
}

enum blobseal_status bs_stored_check_end(const struct bs_stored *s, struct bs_chunked *chunked, uint8_t *sealed,
                                         uint8_t *plain, struct blobseal_error *err)
{
    enum blobseal_status st = open_run(s, chunked, (struct run){s->len / BS_CHUNK_LEN, 1}, sealed, plain, err);

    if (st == BLOBSEAL_E_AUTH)
        st = blobseal_fail(err, st, 0, "the end of %s is not authentic: it was truncated, extended or changed",
                           bs_source_name(&s->source));
    return st;
}

/* ---- Segments and their checksums -------------------------------------------------------------------------------- */

enum blobseal_status bs_segment_failed(const struct bs_stored *s, uint64_t index, bool checksum_ok, size_t len,
                                       struct blobseal_error *err)
{
    unsigned long long off = s->core_offset + bs_chunk_offset(&s->core, index * BS_SEGMENT_CHUNKS);
    const char *name = bs_source_name(&s->source);
    enum blobseal_status st;

    if (checksum_ok)
        st = blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "%s is not authentic: segment %llu, bytes %llu to %llu", name,
                           (unsigned long long)index, off, off + len - 1);
    else
        st = blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0,
                           "%s is damaged or truncated: segment %llu, bytes %llu to %llu, does not match its checksum",
                           name, (unsigned long long)index, off, off + len - 1);
    blobseal_hint(err, "no unverified data was released; fetch the blob again from its source");
    return st;
}

enum blobseal_status bs_stored_check_segment(const struct bs_stored *s, uint64_t index, uint8_t *buf,
                                             struct blobseal_error *err)
{
    bool last = index == s->len / BS_SEGMENT_LEN;
    size_t len = last ? bs_sealed_tail_len((size_t)(s->len % BS_SEGMENT_LEN)) : BS_SEALED_SEGMENT_LEN;
    size_t checksum_len = bs_segment_checksum_len(&s->core);
    uint64_t off = s->core_offset + bs_chunk_offset(&s->core, index * BS_SEGMENT_CHUNKS);
    enum blobseal_status st;

    if (checksum_len == 0)
        return BLOBSEAL_OK;
    st = bs_pread(&s->source, buf, len + checksum_len, off, err);
    if (st == BLOBSEAL_OK && bs_xxh3(bs_segment_seed(&s->core, index), buf, len) != bs_load64(buf + len))
        st = bs_segment_failed(s, index, false, len + checksum_len, err);
    return st;
}
