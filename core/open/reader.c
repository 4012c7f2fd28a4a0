/* SPDX-License-Identifier: Apache-2.0 */
/* The public reader: opening a blob, reading at any offset, and reading all of it. FORMAT.md sections 3 and 4.6. */
#include <stdlib.h>

#include "core/open/open.h"

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* Check that the size is authentic (section 3). Zstd content replaces it by the size of the original. */
static enum blobseal_status check_size(struct blobseal_reader *r, struct blobseal_error *err)
{
    struct bs_stored *s = &r->content.stored;
    enum blobseal_status st;

    s->len = r->info->stored_bytes;
    if (s->len == BLOBSEAL_SIZE_UNKNOWN)
        return blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "%s is truncated or extended: no blob is %llu bytes long",
                             bs_source_name(&s->source), (unsigned long long)s->source.size);
    st = bs_content_check_size(&r->content, err);
    if (st == BLOBSEAL_OK && r->content.decompress)
        r->info->plain_bytes = r->content.len;
    return st;
}

/* Make a reader that takes over the reference to @context, also after a failure. */
static struct blobseal_reader *new_reader(const struct blobseal_source *source, const struct blobseal_reader_options *o,
                                          struct blobseal_context *context)
{
    struct blobseal_reader *r = calloc(1, sizeof *r);

    if (r == NULL) {
        bs_context_unref(context);
        return NULL;
    }
    bs_stored_init(&r->content.stored, source, context);
    r->process = bs_process_id();
    r->content.stored.threads = bs_context_threads(context, o->threads);
    r->content.len = BLOBSEAL_SIZE_UNKNOWN;
    r->content.max_frames = o->max_frames != 0 ? o->max_frames : BS_MAX_FRAMES;
    r->progress = (struct bs_progress){o->progress, o->progress_ctx};
    r->limits = (struct blobseal_call_options){sizeof r->limits, o->timeout_ms, o->cancel};
    return r;
}

/* Unlock the blob that starts with @f. */
static enum blobseal_status unlock(struct blobseal_reader *r, const struct bs_preamble *f, struct bs_keks keks,
                                   struct blobseal_error *err)
{
    enum blobseal_status st = bs_unlocked_new(&r->unlocked, f, &r->content.stored.source, keks, err);

    if (st == BLOBSEAL_OK)
        r->info = bs_unlocked_take_info(r->unlocked);
    return st;
}

/* Use r->unlocked for the blob that starts with @f. The reader's info points to strings of the unlocked key. */
static enum blobseal_status use_unlocked(struct blobseal_reader *r, const struct bs_preamble *f,
                                         struct blobseal_error *err)
{
    const struct blobseal_source *source = &r->content.stored.source;
    enum blobseal_status st = bs_unlocked_fits(r->unlocked, &f->core, bs_source_name(source), err);

    if (st == BLOBSEAL_OK)
        st = bs_info_make(&r->info, f, NULL, source, err);
    if (st == BLOBSEAL_OK)
        bs_info_borrow(r->info, bs_unlocked_blob(r->unlocked));
    return st;
}

/* Open the blob with the unlocked key that the reader has, or else with @keks. */
static enum blobseal_status open_blob(struct blobseal_reader *r, struct bs_keks keks,
                                      const struct blobseal_reader_options *o, struct blobseal_error *err)
{
    struct bs_stored *s = &r->content.stored;
    struct bs_preamble preamble;
    enum blobseal_status st = bs_preamble_read(&preamble, &s->input, o->envelope, o->envelope_len, err);

    if (st == BLOBSEAL_OK)
        st = r->unlocked != NULL ? use_unlocked(r, &preamble, err) : unlock(r, &preamble, keks, err);
    if (st == BLOBSEAL_OK) {
        s->core = preamble.core;
        s->core_offset = preamble.core_offset;
        s->keys = bs_unlocked_keys(r->unlocked);
        r->content.decompress = preamble.core.content == BLOBSEAL_CONTENT_ZSTD && !o->raw;
        st = bs_reader_digests_new(&r->digests, o->digests, &preamble, err);
    }
    if (st == BLOBSEAL_OK)
        st = bs_check_generation(bs_source_name(&s->source), r->info->generation, o->min_generation, err);
    if (st == BLOBSEAL_OK && bs_seekable(&s->source))
        st = check_size(r, err);
    st = bs_keks_record_refusal(keks, preamble.core.blob_id, st);
    bs_preamble_clear(&preamble);
    return st;
}

/* Open a blob with @u (NULL: with @keks). @o has all members of this version. */
static enum blobseal_status open_reader(struct blobseal_reader **reader, const struct blobseal_source *source,
                                        struct blobseal_unlocked *u, struct bs_keks keks,
                                        const struct blobseal_reader_options *o, struct blobseal_error *err)
{
    struct blobseal_context *context;
    struct blobseal_reader *r;
    enum blobseal_status st = bs_digests_check(o->digests, err);

    if (st == BLOBSEAL_OK)
        st = bs_check_source(source, "open", err);
    if (st == BLOBSEAL_OK)
        st = bs_context_ref(&context, o->context, err);
    if (st != BLOBSEAL_OK)
        return st;
    r = new_reader(source, o, context);
    if (r == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open: no memory");
    r->unlocked = u != NULL ? blobseal_unlocked_ref(u) : NULL;
    st = open_blob(r, keks, o, err);
    if (u != NULL)
        st = bs_unlocked_record(u, st, err);
    (void)bs_context_count(context, BS_COUNTED_OPEN, st);
    if (st == BLOBSEAL_OK)
        *reader = r;
    else
        blobseal_reader_close(r);
    return st;
}

static enum blobseal_status import_options(struct blobseal_reader_options *o,
                                           const struct blobseal_reader_options *options, struct blobseal_error *err)
{
    *o = (struct blobseal_reader_options){.size = sizeof *o};
    if (blobseal_struct_import(o, sizeof *o, options))
        return BLOBSEAL_OK;
    return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                         "open: the size of the options is not set, or they are newer than the library");
}

enum blobseal_status blobseal_reader_open(struct blobseal_reader **reader, const struct blobseal_source *source,
                                          struct blobseal_kek *const *keks, size_t num_keks,
                                          const struct blobseal_reader_options *options, struct blobseal_error *err)
{
    struct blobseal_reader_options o;
    struct blobseal_call call;
    enum blobseal_status st = import_options(&o, options, err);

    *reader = NULL;
    if (st != BLOBSEAL_OK)
        return st;
    call = bs_call_start(o.timeout_ms, o.cancel);
    return open_reader(reader, source, NULL, (struct bs_keks){keks, num_keks, &call}, &o, err);
}

enum blobseal_status blobseal_reader_open_with(struct blobseal_reader **reader, const struct blobseal_source *source,
                                               struct blobseal_unlocked *u,
                                               const struct blobseal_reader_options *options,
                                               struct blobseal_error *err)
{
    struct blobseal_reader_options o;
    struct blobseal_call_options limits = {.size = sizeof limits};
    enum blobseal_status st = import_options(&o, options, err);

    *reader = NULL;
    limits.timeout_ms = o.timeout_ms;
    limits.cancel = o.cancel;
    if (st == BLOBSEAL_OK && o.envelope != NULL)
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "open with an unlocked key: its envelope was opened already");
    if (st == BLOBSEAL_OK)
        st = bs_unlocked_usable(u, &limits, err);
    if (st != BLOBSEAL_OK)
        return st;
    o.envelope = bs_unlocked_blob(u)->jwe; /* so the slots, which may have changed, are not looked at */
    o.envelope_len = bs_unlocked_blob(u)->jwe_len;
    return open_reader(reader, source, u, (struct bs_keks){0}, &o, err);
}

void blobseal_reader_close(struct blobseal_reader *r)
{
    if (r == NULL)
        return;
    bs_pull_free(r->pull);
    bs_reader_digests_free(r->digests);
    bs_seek_clear(&r->content.table);
    blobseal_info_free(r->info);
    r->content.stored.keys = NULL; /* they belong to the unlocked key */
    bs_stored_clear(&r->content.stored);
    blobseal_unlocked_release(r->unlocked);
    free(r);
}

uint64_t blobseal_reader_size(const struct blobseal_reader *r)
{
    return r->content.len;
}

const struct blobseal_info *blobseal_reader_info(const struct blobseal_reader *r)
{
    return r->info;
}

enum blobseal_status bs_reader_usable(const struct blobseal_reader *r, struct blobseal_error *err)
{
    return bs_check_process(r->process, "reader", err);
}

enum blobseal_status bs_reader_may_read(const struct blobseal_reader *r, struct blobseal_error *err)
{
    enum blobseal_status st = bs_reader_usable(r, err);

    return st == BLOBSEAL_OK ? bs_unlocked_usable(r->unlocked, &r->limits, err) : st;
}

enum blobseal_status bs_reader_count(const struct blobseal_reader *r, enum blobseal_status st)
{
    return bs_context_count(r->content.stored.user.context, BS_COUNTED_OTHER, st);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

enum blobseal_status blobseal_reader_pread(struct blobseal_reader *r, void *dst, size_t len, uint64_t off,
                                           size_t *nread, struct blobseal_error *err)
{
    struct bs_content *c = &r->content;
    enum blobseal_status st = bs_reader_may_read(r, err);
    size_t n = len;

    *nread = 0;
    if (st != BLOBSEAL_OK)
        ; /* reported below */
    else if (!bs_seekable(&c->stored.source) || off > c->len)
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "read at %llu: beyond the end, or the blob comes from a pipe",
                           (unsigned long long)off);
    else if (n > c->len - off)
        n = (size_t)(c->len - off);
    if (st == BLOBSEAL_OK && n > 0)
        st = bs_content_pread(c, dst, n, off, err);
    if (st == BLOBSEAL_OK)
        *nread = n;
    else if (len > 0)
        memset(dst, 0, len);
    return bs_reader_count(r, st);
}

static enum blobseal_status stream(struct blobseal_reader *r, const struct blobseal_sink *sink, uint64_t *plain_bytes,
                                   struct blobseal_error *err)
{
    struct bs_digests digests = {0};
    const struct bs_output out = {.sink = sink, .digests = &digests, .progress = r->progress};
    enum blobseal_status st = bs_reader_may_read(r, err);
    uint64_t n = 0;

    if (st == BLOBSEAL_OK) {
        digests = bs_reader_digests_begin(r->digests);
        st = bs_content_stream(&r->content, &out, &n, err);
        st = bs_reader_digests_end(r->digests, &digests, st, err);
    }
    if (plain_bytes != NULL)
        *plain_bytes = n;
    return bs_reader_count(r, st);
}

enum blobseal_status blobseal_reader_stream(struct blobseal_reader *r, const struct blobseal_sink *sink,
                                            uint64_t *plain_bytes, struct blobseal_error *err)
{
    enum blobseal_status st = bs_check_sink(sink, "open", err);

    if (st == BLOBSEAL_OK)
        return stream(r, sink, plain_bytes, err);
    if (plain_bytes != NULL)
        *plain_bytes = 0;
    return st;
}

enum blobseal_status blobseal_reader_verify(struct blobseal_reader *r, uint64_t *plain_bytes,
                                            struct blobseal_error *err)
{
    return stream(r, NULL, plain_bytes, err);
}
