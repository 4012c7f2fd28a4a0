/* SPDX-License-Identifier: Apache-2.0 */
/* What a blob says about itself: struct blobseal_info, made from its front and an envelope. */
#include <stdlib.h>

#include "internal.h"

const char *blobseal_layout_name(enum blobseal_layout layout)
{
    switch (layout) {
    case BLOBSEAL_LAYOUT_COMPACT:
        return "compact";
    case BLOBSEAL_LAYOUT_AB:
        return "ab";
    case BLOBSEAL_LAYOUT_DETACHED:
        return "detached";
    default:
        return "auto";
    }
}

const char *bs_keep_text(char **at, const char *s)
{
    size_t len;
    char *copy = *at;

    if (s == NULL)
        return NULL;
    len = strlen(s) + 1;
    memcpy(copy, s, len);
    *at += len;
    return copy;
}

size_t bs_text_len(const char *s)
{
    return s != NULL ? strlen(s) + 1 : 0;
}

/* Make an info with room for @more bytes of what it points to. */
static struct blobseal_info *info_new(size_t more)
{
    struct blobseal_info *info = malloc(sizeof *info + more);

    if (info != NULL)
        *info = (struct blobseal_info){.plain_bytes = BLOBSEAL_SIZE_UNKNOWN,
                                       .sealed_bytes = BLOBSEAL_SIZE_UNKNOWN,
                                       .stored_bytes = BLOBSEAL_SIZE_UNKNOWN};
    return info;
}

/* What the frame and the core header say. */
static void describe_front(struct blobseal_info *info, const struct bs_preamble *f,
                           const struct blobseal_source *source)
{
    uint64_t preamble = f->core_offset + BS_CORE_HEADER_LEN;

    info->version = f->core.version;
    info->suite = f->core.suite;
    info->content = f->core.content;
    info->segments = f->core.segments;
    info->layout = f->layout;
    info->slot_capacity = f->header.slot_capacity;
    info->notes = f->notes;
    memcpy(info->blob_id, f->core.blob_id, sizeof info->blob_id);
    if (source == NULL || !bs_seekable(source))
        return;
    info->sealed_bytes = source->size;
    if (source->size < preamble || !bs_payload_plain_len(&f->core, source->size - preamble, &info->stored_bytes)) {
        info->stored_bytes = BLOBSEAL_SIZE_UNKNOWN;
        info->notes |= BLOBSEAL_NOTE_LENGTH;
    }
    if (f->core.content == BS_CONTENT_AS_GIVEN)
        info->plain_bytes = info->stored_bytes;
}

/* Copy recipients and JWE text behind @info, strings from *@at on. */
static void copy_envelope(struct blobseal_info *info, const struct bs_envelope *e, char **at, const char *jwe,
                          size_t jwe_len)
{
    struct blobseal_recipient *r = (struct blobseal_recipient *)(info + 1);

    for (size_t i = 0; i < e->jwe.num; i++) {
        r[i].alg = bs_keep_text(at, e->jwe.recipients[i].alg);
        r[i].kid = bs_keep_text(at, e->jwe.recipients[i].kid);
        r[i].region = bs_keep_text(at, e->jwe.recipients[i].region);
    }
    memcpy(*at, jwe, jwe_len);
    (*at)[jwe_len] = '\0';
    info->recipients = r;
    info->num_recipients = e->jwe.num;
    info->jwe = *at;
    info->jwe_len = jwe_len;
    info->generation = e->generation;
    *at += jwe_len + 1;
}

/* Copy @meta to @own and the annotations behind it, strings from *@at on. */
static void copy_meta(struct blobseal_metadata *own, const struct blobseal_metadata *metadata, char **at)
{
    struct blobseal_annotation *list = (struct blobseal_annotation *)(own + 1);

    *own = (struct blobseal_metadata){.size = sizeof *own,
                                      .name = bs_keep_text(at, metadata->name),
                                      .type = bs_keep_text(at, metadata->type),
                                      .num_annotations = metadata->num_annotations,
                                      .annotations = list};
    for (size_t i = 0; i < metadata->num_annotations; i++) {
        list[i].name = bs_keep_text(at, metadata->annotations[i].name);
        list[i].value = bs_keep_text(at, metadata->annotations[i].value);
    }
}

/* Bytes of the strings that the copies need. */
static size_t strings_len(const struct bs_envelope *e, const struct blobseal_metadata *metadata)
{
    size_t len = 0;

    for (size_t i = 0; i < e->jwe.num; i++)
        len += bs_text_len(e->jwe.recipients[i].alg) + bs_text_len(e->jwe.recipients[i].kid) +
               bs_text_len(e->jwe.recipients[i].region);
    if (metadata == NULL)
        return len;
    for (size_t i = 0; i < metadata->num_annotations; i++)
        len += bs_text_len(metadata->annotations[i].name) + bs_text_len(metadata->annotations[i].value);
    return len + bs_text_len(metadata->name) + bs_text_len(metadata->type);
}

/* An info with recipients, metadata and annotations behind it, and behind those the strings. */
static struct blobseal_info *info_of(const struct bs_envelope *e, const struct blobseal_metadata *metadata,
                                     const char *jwe, size_t jwe_len)
{
    size_t recipients = e->jwe.num * sizeof(struct blobseal_recipient), described = 0;
    struct blobseal_info *info;
    char *at;

    if (metadata != NULL)
        described = sizeof *metadata + metadata->num_annotations * sizeof *metadata->annotations;
    info = info_new(recipients + described + strings_len(e, metadata) + jwe_len + 1);
    if (info == NULL)
        return NULL;
    at = (char *)(info + 1) + recipients + described;
    copy_envelope(info, e, &at, jwe, jwe_len);
    if (metadata != NULL) {
        struct blobseal_metadata *own = (struct blobseal_metadata *)(void *)((char *)(info + 1) + recipients);

        copy_meta(own, metadata, &at);
        info->metadata = own;
    }
    return info;
}

enum blobseal_status bs_info_make(struct blobseal_info **info, const struct bs_preamble *f, size_t i,
                                  const struct bs_envelope *e, const struct blobseal_metadata *metadata,
                                  const struct blobseal_source *source, struct blobseal_error *err)
{
    *info = e != NULL ? info_of(e, metadata, f->candidates[i].text, f->candidates[i].len) : info_new(0);
    if (*info == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "describe the blob: no memory");
    describe_front(*info, f, source);
    return BLOBSEAL_OK;
}

void blobseal_info_free(struct blobseal_info *info)
{
    free(info);
}

static enum blobseal_status describe(struct blobseal_info **info, const struct bs_preamble *f,
                                     const struct blobseal_source *source, struct blobseal_error *err)
{
    struct bs_envelope e;
    enum blobseal_status st;
    size_t i;

    if (f->num_candidates == 0)
        return bs_info_make(info, f, 0, NULL, NULL, source, err);
    st = bs_preamble_unlock(f, bs_source_name(source), NULL, 0, &i, &e, NULL, err);
    if (st == BLOBSEAL_OK)
        st = bs_info_make(info, f, i, &e, NULL, source, err);
    bs_envelope_clear(&e);
    return st;
}

/* A detached envelope without its blob. */
static enum blobseal_status describe_envelope(struct blobseal_info **info, const char *envelope, size_t len,
                                              struct blobseal_error *err)
{
    struct bs_preamble f = {.layout = BLOBSEAL_LAYOUT_DETACHED, .candidates = {{.text = envelope, .len = len}}};
    struct bs_envelope e;
    enum blobseal_status st = bs_envelope_parse(&e, envelope, len, err);

    memcpy(f.core.blob_id, e.blob_id, sizeof f.core.blob_id);
    if (st == BLOBSEAL_OK)
        st = bs_info_make(info, &f, 0, &e, NULL, NULL, err);
    bs_envelope_clear(&e);
    return st;
}

enum blobseal_status blobseal_inspect(struct blobseal_info **info, const struct blobseal_source *source,
                                      const char *envelope, size_t envelope_len, struct blobseal_error *err)
{
    struct bs_input in = {source, 0};
    struct bs_preamble f;
    enum blobseal_status st;

    *info = NULL;
    if (source == NULL)
        return envelope != NULL ? describe_envelope(info, envelope, envelope_len, err)
                                : blobseal_fail(err, BLOBSEAL_E_ARG, 0, "inspect: neither a blob nor an envelope");
    st = bs_preamble_read(&f, &in, envelope, envelope_len, err);
    if (st == BLOBSEAL_OK)
        st = describe(info, &f, source, err);
    bs_preamble_clear(&f);
    return st;
}
