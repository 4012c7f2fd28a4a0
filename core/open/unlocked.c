/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unlocked keys: the step of opening a blob that needs a KEK, separate from reading it. A key belongs to one blob: to
 * all 96 bytes of its core header. FORMAT.md section 4.6.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "core/open/open.h"

struct blobseal_unlocked {
    _Atomic unsigned references;
    uint64_t process; /* that made it */
    uint8_t header[BS_CORE_HEADER_LEN];
    uint64_t generation;
    struct bs_chunked_keys *keys; /* secret memory                                         */
    struct bs_lease *lease;       /* NULL: the key cannot be revoked                       */
    struct blobseal_kek *kek;     /* NULL: its uses are not recorded                       */
    struct blobseal_info *info;   /* of the blob when it was unlocked; NULL after it was taken */
    char kid[];                   /* of the recipient                                      */
};

static void free_unlocked(struct blobseal_unlocked *u)
{
    blobseal_secret_free(u->keys);
    bs_lease_free(u->lease);
    blobseal_kek_close(u->kek);
    blobseal_info_free(u->info);
    free(u);
}

/* Keep what the envelope contained, except the DEK. */
static enum blobseal_status keep(struct blobseal_unlocked *u, const struct bs_opened_envelope *opened,
                                 const struct bs_preamble *f, const struct blobseal_source *source, struct bs_keks keks,
                                 struct blobseal_error *err)
{
    const struct bs_unlocked *content = opened->unlocked;
    enum blobseal_status st;

    u->references = 1;
    u->process = bs_process_id();
    u->generation = opened->envelope.generation;
    memcpy(u->header, content->jwk.hdr, sizeof u->header);
    u->keys = blobseal_secret_alloc(sizeof *u->keys);
    if (u->keys == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "keep an unlocked key: no memory");
    *u->keys = content->keys;
    st = bs_info_make(&u->info, f, opened, source, err);
    if (st == BLOBSEAL_OK)
        st = bs_lease_new(&u->lease, keks.list[content->by.kek], &content->by.lease, content->by.denials, err);
    if (st == BLOBSEAL_OK && bs_kek_is_recorded(keks.list[content->by.kek]))
        u->kek = bs_kek_ref(keks.list[content->by.kek]);
    return st;
}

enum blobseal_status bs_unlocked_new(struct blobseal_unlocked **out, const struct bs_preamble *f,
                                     const struct blobseal_source *source, struct bs_keks keks,
                                     struct blobseal_error *err)
{
    struct bs_opened_envelope opened;
    struct blobseal_unlocked *u = NULL;
    const char *kid;
    enum blobseal_status st = bs_preamble_unlock(f, bs_source_name(source), keks, &opened, err);

    *out = NULL;
    if (st == BLOBSEAL_OK) {
        kid = opened.envelope.jwe.recipients[opened.unlocked->by.recipient].kid;
        u = calloc(1, sizeof *u + strlen(kid) + 1);
        if (u == NULL)
            st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "keep an unlocked key: no memory");
        else
            memcpy(u->kid, kid, strlen(kid) + 1);
    }
    if (u != NULL)
        st = keep(u, &opened, f, source, keks, err);
    bs_opened_envelope_clear(&opened);
    if (st == BLOBSEAL_OK)
        *out = u;
    else if (u != NULL)
        free_unlocked(u);
    return st;
}

struct blobseal_info *bs_unlocked_take_info(struct blobseal_unlocked *u)
{
    struct blobseal_info *info = u->info;

    u->info = NULL;
    return info;
}

const struct blobseal_info *bs_unlocked_blob(const struct blobseal_unlocked *u)
{
    return u->info;
}

struct bs_chunked_keys *bs_unlocked_keys(const struct blobseal_unlocked *u)
{
    return u->keys;
}

enum blobseal_status bs_unlocked_fits(const struct blobseal_unlocked *u, const struct bs_core_header *core,
                                      const char *name, struct blobseal_error *err)
{
    if (memcmp(u->header, core->raw, sizeof u->header) == 0)
        return BLOBSEAL_OK;
    if (memcmp(u->info->blob_id, core->blob_id, sizeof core->blob_id) == 0)
        return bs_not_authentic(err);
    (void)blobseal_fail(err, BLOBSEAL_E_NO_KEY, 0, "open %s: the unlocked key belongs to another blob", name);
    blobseal_hint(err, "if the blob was replaced, unlock its key again");
    return BLOBSEAL_E_NO_KEY;
}

enum blobseal_status bs_unlocked_record(const struct blobseal_unlocked *u, enum blobseal_status st,
                                        struct blobseal_error *err)
{
    const struct bs_kek_event event = {
        .operation = st == BLOBSEAL_E_POLICY ? "refuse" : "reopen", .kid = u->kid, .blob_id = u->info->blob_id};

    return u->kek != NULL ? bs_kek_record(u->kek, &event, st, err) : st;
}

enum blobseal_status bs_unlocked_usable(struct blobseal_unlocked *u, const struct blobseal_call_options *limits,
                                        struct blobseal_error *err)
{
    enum blobseal_status st = bs_check_process(u->process, "unlocked key", err);

    return st == BLOBSEAL_OK ? bs_lease_check(u->lease, limits, err) : st;
}

/* ---- The public functions ---------------------------------------------------------------------------------------- */

/* Prepare to unlock a detached envelope without its blob, whose core header is then the copy in the envelope. */
static enum blobseal_status only_envelope(struct bs_preamble *f, const char *text, size_t len,
                                          struct blobseal_error *err)
{
    struct bs_envelope e;
    enum blobseal_status st;

    *f = (struct bs_preamble){.layout = BLOBSEAL_LAYOUT_DETACHED, .core_damaged = true, .num_candidates = 1};
    if (text == NULL)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "unlock a key: neither a blob nor an envelope was passed");
    f->candidates[0].text = text;
    f->candidates[0].len = len;
    st = bs_envelope_parse(&e, text, len, err);
    memcpy(f->core.blob_id, e.blob_id, sizeof f->core.blob_id);
    bs_envelope_clear(&e);
    return st;
}

static enum blobseal_status unlock(struct blobseal_unlocked **u, const struct blobseal_source *source,
                                   struct bs_keks keks, const struct blobseal_unlock_options *o,
                                   struct blobseal_error *err)
{
    const struct blobseal_source none = {.name = "the envelope"};
    struct bs_input in = {source, 0};
    struct bs_preamble f;
    enum blobseal_status st = source != NULL ? bs_preamble_read(&f, &in, o->envelope, o->envelope_len, err)
                                             : only_envelope(&f, o->envelope, o->envelope_len, err);

    source = source != NULL ? source : &none;
    if (st == BLOBSEAL_OK)
        st = bs_unlocked_new(u, &f, source, keks, err);
    if (st == BLOBSEAL_OK)
        st = bs_check_generation(bs_source_name(source), (*u)->generation, o->min_generation, err);
    st = bs_keks_record_refusal(keks, f.core.blob_id, st);
    bs_preamble_clear(&f);
    return st;
}

enum blobseal_status blobseal_unlock(struct blobseal_unlocked **unlocked, const struct blobseal_source *source,
                                     struct blobseal_kek *const *keks, size_t num_keks,
                                     const struct blobseal_unlock_options *options, struct blobseal_error *err)
{
    struct blobseal_unlock_options o = {.size = sizeof o};
    struct blobseal_context *context;
    struct blobseal_call call;
    enum blobseal_status st;

    *unlocked = NULL;
    if (!blobseal_struct_import(&o, sizeof o, options))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "unlock a key: the size of the options is not set, or they are newer than the library");
    st = source != NULL ? bs_check_source(source, "unlock a key", err) : BLOBSEAL_OK;
    if (st == BLOBSEAL_OK)
        st = bs_context_ref(&context, o.context, err);
    if (st != BLOBSEAL_OK)
        return st;
    call = bs_call_start(o.timeout_ms, o.cancel);
    st = unlock(unlocked, source, (struct bs_keks){keks, num_keks, &call}, &o, err);
    (void)bs_context_count(context, BS_COUNTED_OTHER, st);
    bs_context_unref(context);
    if (st != BLOBSEAL_OK) {
        blobseal_unlocked_release(*unlocked);
        *unlocked = NULL;
    }
    return st;
}

struct blobseal_unlocked *blobseal_unlocked_ref(struct blobseal_unlocked *u)
{
    (void)atomic_fetch_add_explicit(&u->references, 1, memory_order_relaxed);
    return u;
}

void blobseal_unlocked_release(struct blobseal_unlocked *u)
{
    if (u == NULL || u->process != bs_process_id() ||
        atomic_fetch_sub_explicit(&u->references, 1, memory_order_acq_rel) > 1)
        return;
    free_unlocked(u);
}

enum blobseal_status blobseal_unlocked_info(const struct blobseal_unlocked *u, struct blobseal_unlocked_info *info,
                                            struct blobseal_error *err)
{
    struct blobseal_unlocked_info i = {.size = sizeof i, .generation = u->generation};
    enum blobseal_status st = bs_check_process(u->process, "unlocked key", err);

    if (st != BLOBSEAL_OK)
        return st;
    memcpy(i.blob_id, u->info->blob_id, sizeof i.blob_id);
    memcpy(i.kid, u->kid, strlen(u->kid) + 1);
    i.valid_until = bs_lease_valid_until(u->lease);
    if (info != NULL && bs_struct_export(info, &i, sizeof i))
        return BLOBSEAL_OK;
    return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "describe an unlocked key: the size of the result is not set");
}
