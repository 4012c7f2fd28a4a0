/* SPDX-License-Identifier: Apache-2.0 */
/* Describing a blob: struct blobseal_info, made from its preamble and an envelope. */
#include <stddef.h>
#include <stdlib.h>

#include "core/envelope/envelope.h"

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

/* What is allocated for an info. Its size is needed to wipe the metadata. */
struct allocation {
    size_t len;
    struct blobseal_info info;
};

/* Allocate an info with @more bytes after it, for the data that it points to. */
static struct blobseal_info *info_new(size_t more)
{
    struct allocation *a = malloc(sizeof *a + more);

    if (a == NULL)
        return NULL;
    *a = (struct allocation){.len = sizeof *a + more,
                             .info = {.plain_bytes = BLOBSEAL_SIZE_UNKNOWN,
                                      .sealed_bytes = BLOBSEAL_SIZE_UNKNOWN,
                                      .stored_bytes = BLOBSEAL_SIZE_UNKNOWN}};
    return &a->info;
}

/* Fill in the members that come from frame and core header, and the sizes. */
static void describe_preamble(struct blobseal_info *info, const struct bs_preamble *f,
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
    if (f->core.content == BLOBSEAL_CONTENT_AS_GIVEN)
        info->plain_bytes = info->stored_bytes;
}

/* Return @r as the public struct, which points to the same strings. */
static struct blobseal_recipient to_public(const struct bs_jwe_recipient *r)
{
    return (struct blobseal_recipient){.alg = r->alg, .kid = r->kid, .unknown = !bs_jwe_knows(r)};
}

/* The envelope to describe: its text, and what was parsed from it. */
struct described {
    const struct bs_envelope *envelope;
    const struct blobseal_metadata *metadata; /* NULL if there is none, or if the envelope was not unlocked */
    const char *jwe;
    size_t jwe_len;
};

/* Copy the recipients to the memory after @info, and their strings and the text of the JWE to *@at. */
static void copy_envelope(struct blobseal_info *info, const struct described *d, char **at)
{
    struct blobseal_recipient *r = (struct blobseal_recipient *)(info + 1);
    const struct bs_jwe *jwe = &d->envelope->jwe;

    for (size_t i = 0; i < jwe->num; i++) {
        const struct blobseal_recipient from = to_public(&jwe->recipients[i]);

        r[i] = bs_pack_recipient(at, &from);
    }
    if (d->jwe_len > 0)
        memcpy(*at, d->jwe, d->jwe_len);
    (*at)[d->jwe_len] = '\0';
    info->recipients = r;
    info->num_recipients = jwe->num;
    info->jwe = *at;
    info->jwe_len = d->jwe_len;
    info->generation = d->envelope->generation;
    *at += d->jwe_len + 1;
}

void bs_info_borrow(struct blobseal_info *info, const struct blobseal_info *from)
{
    info->generation = from->generation;
    info->recipients = from->recipients;
    info->num_recipients = from->num_recipients;
    info->jwe = from->jwe;
    info->jwe_len = from->jwe_len;
    memcpy(info->envelope_sha256, from->envelope_sha256, sizeof info->envelope_sha256);
    info->metadata = from->metadata;
}

/* Copy @metadata to @own, its annotations to the memory after @own, and all strings to *@at. */
static void copy_metadata(struct blobseal_metadata *own, const struct blobseal_metadata *metadata, char **at)
{
    struct blobseal_annotation *list = (struct blobseal_annotation *)(own + 1);

    *own = (struct blobseal_metadata){.size = sizeof *own,
                                      .name = bs_pack_string(at, metadata->name),
                                      .type = bs_pack_string(at, metadata->type),
                                      .num_annotations = metadata->num_annotations,
                                      .annotations = list};
    for (size_t i = 0; i < metadata->num_annotations; i++) {
        list[i].name = bs_pack_string(at, metadata->annotations[i].name);
        list[i].value = bs_pack_string(at, metadata->annotations[i].value);
    }
}

/* Return the total length of the strings to copy, each with its zero byte. */
static size_t strings_len(const struct described *d)
{
    const struct blobseal_metadata *m = d->metadata;
    size_t len = d->jwe_len + 1;

    for (size_t i = 0; i < d->envelope->jwe.num; i++) {
        const struct blobseal_recipient from = to_public(&d->envelope->jwe.recipients[i]);

        len += bs_packed_recipient_len(&from);
    }
    if (m == NULL)
        return len;
    for (size_t i = 0; i < m->num_annotations; i++)
        len += bs_packed_len(m->annotations[i].name) + bs_packed_len(m->annotations[i].value);
    return len + bs_packed_len(m->name) + bs_packed_len(m->type);
}

/* Make an info in one allocation: the struct, then recipients, metadata, annotations, and all strings. */
static struct blobseal_info *info_of(const struct described *d)
{
    size_t recipients = d->envelope->jwe.num * sizeof(struct blobseal_recipient), metadata = 0;
    struct blobseal_info *info;
    char *at;

    if (d->metadata != NULL)
        metadata = sizeof *d->metadata + d->metadata->num_annotations * sizeof *d->metadata->annotations;
    info = info_new(recipients + metadata + strings_len(d));
    if (info == NULL)
        return NULL;
    at = (char *)(info + 1) + recipients + metadata;
    copy_envelope(info, d, &at);
    if (d->metadata != NULL) {
        struct blobseal_metadata *own = (struct blobseal_metadata *)(void *)((char *)(info + 1) + recipients);

        copy_metadata(own, d->metadata, &at);
        info->metadata = own;
    }
    return info;
}

enum blobseal_status bs_info_make(struct blobseal_info **info, const struct bs_preamble *f,
                                  const struct bs_opened_envelope *opened, const struct blobseal_source *source,
                                  struct blobseal_error *err)
{
    struct described d;

    if (opened == NULL) {
        *info = info_new(0);
    } else {
        const struct bs_unlocked *u = opened->unlocked;

        d = (struct described){.envelope = &opened->envelope,
                               .metadata = u != NULL && u->jwk.has_metadata ? &u->jwk.metadata.shown : NULL,
                               .jwe = f->candidates[opened->candidate].text,
                               .jwe_len = f->candidates[opened->candidate].len};
        *info = info_of(&d);
    }
    if (*info != NULL && opened != NULL && !bs_sha256((*info)->envelope_sha256, (*info)->jwe, (*info)->jwe_len)) {
        blobseal_info_free(*info);
        *info = NULL;
    }
    if (*info == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "describe the blob: no memory");
    describe_preamble(*info, f, source);
    return BLOBSEAL_OK;
}

void blobseal_info_free(struct blobseal_info *info)
{
    struct allocation *a;

    if (info == NULL)
        return;
    a = (void *)((char *)info - offsetof(struct allocation, info));
    if (info->metadata != NULL)
        blobseal_wipe(a, a->len);
    free(a);
}

static enum blobseal_status describe(struct blobseal_info **info, const struct bs_preamble *f,
                                     const struct blobseal_source *source, struct blobseal_error *err)
{
    struct bs_opened_envelope opened;
    enum blobseal_status st;

    if (f->num_candidates == 0)
        return bs_info_make(info, f, NULL, source, err);
    st = bs_preamble_parse(f, bs_source_name(source), &opened, err);
    if (st == BLOBSEAL_OK)
        st = bs_info_make(info, f, &opened, source, err);
    bs_opened_envelope_clear(&opened);
    return st;
}

/* Describe a detached envelope without its blob. */
static enum blobseal_status describe_envelope(struct blobseal_info **info, const char *envelope, size_t len,
                                              struct blobseal_error *err)
{
    struct bs_preamble f = {.layout = BLOBSEAL_LAYOUT_DETACHED, .candidates = {{.text = envelope, .len = len}}};
    struct bs_opened_envelope opened = {0};
    enum blobseal_status st = bs_envelope_parse(&opened.envelope, envelope, len, err);

    memcpy(f.core.blob_id, opened.envelope.blob_id, sizeof f.core.blob_id);
    if (st == BLOBSEAL_OK)
        st = bs_info_make(info, &f, &opened, NULL, err);
    bs_opened_envelope_clear(&opened);
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
        return envelope != NULL
                   ? describe_envelope(info, envelope, envelope_len, err)
                   : blobseal_fail(err, BLOBSEAL_E_ARG, 0, "inspect: neither a blob nor an envelope was passed");
    st = bs_check_source(source, "inspect", err);
    if (st != BLOBSEAL_OK)
        return st;
    st = bs_preamble_inspect(&f, &in, envelope, envelope_len, err);
    if (st == BLOBSEAL_OK)
        st = describe(info, &f, source, err);
    bs_preamble_clear(&f);
    return st;
}

/* Check the only candidate of @f, and copy its text. */
static enum blobseal_status copy_candidate(char **envelope, size_t *len, const struct bs_preamble *f, const char *name,
                                           struct blobseal_error *err)
{
    struct bs_envelope e = {0};
    enum blobseal_status st;

    if (f->num_candidates > 1) {
        (void)blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "%s has two envelopes of the same generation", name);
        blobseal_advise(err, BLOBSEAL_ADVICE_REPAIR, NULL,
                        "a repair with a private key finds out which one is current");
        return BLOBSEAL_E_DAMAGED;
    }
    st = bs_preamble_envelope(f, 0, &e, err);
    bs_envelope_clear(&e);
    if (st != BLOBSEAL_OK)
        return st;
    *envelope = malloc(f->candidates[0].len + 1);
    if (*envelope == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the envelope of %s: no memory", name);
    memcpy(*envelope, f->candidates[0].text, f->candidates[0].len);
    (*envelope)[f->candidates[0].len] = '\0';
    *len = f->candidates[0].len;
    return BLOBSEAL_OK;
}

enum blobseal_status blobseal_preamble_read(const struct blobseal_source *source, char **envelope, size_t *envelope_len,
                                            uint64_t *core_offset, struct blobseal_error *err)
{
    struct bs_input in = {source, 0};
    struct bs_preamble f = {0};
    enum blobseal_status st = bs_check_source(source, "read the envelope", err);

    *envelope = NULL;
    *envelope_len = 0;
    *core_offset = 0;
    if (st == BLOBSEAL_OK)
        st = bs_preamble_read(&f, &in, NULL, 0, err);
    if (st == BLOBSEAL_OK && f.num_candidates > 0)
        st = copy_candidate(envelope, envelope_len, &f, bs_source_name(source), err);
    if (st == BLOBSEAL_OK)
        *core_offset = f.core_offset;
    bs_preamble_clear(&f);
    return st;
}
