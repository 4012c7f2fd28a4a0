/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing the recipients of a blob where it is: two slots, written one after the other, so that a crash at any moment
 * leaves the old or the new envelope. FORMAT.md section 5.1.
 */
#include <stdlib.h>

#include "internal.h"

/* One change of one blob. */
struct rewrap {
    const struct blobseal_target *target;
    struct blobseal_source source; /* that of the target; a shared lock could take the place of the exclusive one */
    struct bs_preamble preamble;
    struct bs_change change;
    unsigned winner; /* the slot with the envelope that was opened */
    uint8_t *slot;   /* what is written: a whole slot              */
    uint8_t *back;   /* and what was read back                     */
};

static enum blobseal_status sync_range(const struct blobseal_target *t, uint64_t off, uint64_t len,
                                       struct blobseal_error *err)
{
    bs_error_clear(err);
    return bs_checked(t->sync(t->ctx, off, len, err), "sync", bs_source_name(&t->source), err);
}

static enum blobseal_status lock(const struct blobseal_target *t, struct blobseal_error *err)
{
    bs_error_clear(err);
    return bs_checked(t->lock(t->ctx, true, err), "lock", bs_source_name(&t->source), err);
}

/* Write @len bytes, at most a slot, and see that they are stored. */
static enum blobseal_status store(const struct rewrap *r, const uint8_t *p, size_t len, uint64_t off,
                                  struct blobseal_error *err)
{
    const struct blobseal_target *t = r->target;
    const struct blobseal_sink sink = {.ctx = t->ctx, .name = bs_source_name(&t->source), .pwrite = t->write};
    enum blobseal_status st = bs_write(&sink, p, len, off, err);

    if (st == BLOBSEAL_OK)
        st = sync_range(t, off, len, err);
    if (st == BLOBSEAL_OK)
        st = bs_pread(&t->source, r->back, len, off, err);
    if (st == BLOBSEAL_OK && memcmp(p, r->back, len) != 0) {
        (void)blobseal_fail(err, BLOBSEAL_E_OUTPUT, 0, "write %s: what was written does not read back",
                            bs_source_name(&t->source));
        blobseal_hint(err, "the storage is failing: copy the blob elsewhere before anything else");
        return BLOBSEAL_E_OUTPUT;
    }
    return st;
}

static enum blobseal_status write_slot(const struct rewrap *r, unsigned index, struct blobseal_error *err)
{
    size_t capacity = r->preamble.header.slot_capacity;

    return store(r, r->slot, capacity, r->preamble.header.slot_offset + index * (uint64_t)capacity, err);
}

/*
 * What repair restores: the frame header and the zeros behind it, and the core header from the copy in the envelope. The latter
 * lies in one sector with the start of the payload, whose bytes stay as they are.
 */
static enum blobseal_status restore(const struct rewrap *r, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    if (r->change.wanted.dry_run)
        return BLOBSEAL_OK;
    if (r->preamble.frame_damaged) {
        bs_frame_encode_head(&r->preamble.header, r->slot); /* a slot has room for it */
        st = store(r, r->slot, r->preamble.header.slot_offset, 0, err);
    }
    if (st == BLOBSEAL_OK && r->preamble.core_damaged)
        st = store(r, r->change.u->jwk.hdr, BS_CORE_HEADER_LEN, r->preamble.core_offset, err);
    return st;
}

/* The slot that does not count first: if that does not end well, the other one still stands. */
static enum blobseal_status write_both(const struct rewrap *r, struct blobseal_error *err)
{
    enum blobseal_status st = write_slot(r, 1 - r->winner, err);

    return st == BLOBSEAL_OK ? write_slot(r, r->winner, err) : st;
}

static enum blobseal_status fits(const struct rewrap *r, size_t jwe_len, struct blobseal_error *err)
{
    uint32_t capacity = r->preamble.header.slot_capacity;

    if (jwe_len <= capacity - BS_SLOT_HEADER_LEN)
        return BLOBSEAL_OK;
    (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the new envelope of %zu bytes does not fit a slot of %u bytes",
                        jwe_len, capacity);
    blobseal_advise(err, BLOBSEAL_ADVICE_REWRITE, NULL, "copy the blob with larger slots");
    return BLOBSEAL_E_POLICY;
}

/* The next generation, in both slots. */
static enum blobseal_status rotate(struct rewrap *r, struct blobseal_error *err)
{
    struct bs_change *c = &r->change;
    enum blobseal_status st = bs_change_write(c, err);

    if (st == BLOBSEAL_OK)
        st = fits(r, c->jwe.len, err);
    if (st != BLOBSEAL_OK || c->wanted.dry_run)
        return st;
    bs_slot_encode(&r->preamble.header, r->slot, (const char *)c->jwe.p, c->jwe.len, c->generation);
    return write_both(r, err);
}

/* The same generation in both slots: what a crash or decay left undone. */
static enum blobseal_status finish(struct rewrap *r, struct blobseal_error *err)
{
    if (r->change.wanted.dry_run)
        return BLOBSEAL_OK;
    bs_slot_encode(&r->preamble.header, r->slot, r->change.text, r->change.text_len, r->change.generation);
    return write_slot(r, 1 - r->winner, err);
}

static enum blobseal_status run(struct rewrap *r, struct blobseal_error *err)
{
    const char *name = bs_source_name(&r->target->source);
    struct bs_input in = {&r->source, 0};
    struct bs_change *c = &r->change;
    enum blobseal_status st = c->wanted.repair ? bs_preamble_salvage(&r->preamble, &in, err)
                                               : bs_preamble_read(&r->preamble, &in, NULL, 0, err);

    if (st == BLOBSEAL_OK && r->preamble.layout != BLOBSEAL_LAYOUT_AB) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "%s has no two slots to change in place", name);
        blobseal_hint(err, "write it anew, with the changed envelope");
        return BLOBSEAL_E_CONFIG;
    }
    if (st == BLOBSEAL_OK)
        st = bs_change_plan(c, &r->preamble, name, NULL, 0, err);
    if (st != BLOBSEAL_OK)
        return st;
    r->winner = (const uint8_t *)c->text == r->preamble.slots[0].jwe.p ? 0 : 1;
    r->slot = malloc(r->preamble.header.slot_capacity);
    r->back = malloc(r->preamble.header.slot_capacity);
    if (r->slot == NULL || r->back == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "change %s: no memory", name);
    c->finished = (r->preamble.notes & (BLOBSEAL_NOTE_UNFINISHED | BLOBSEAL_NOTE_SLOT_INVALID)) != 0;
    if (c->changed || (r->preamble.notes & BLOBSEAL_NOTE_TIE) != 0)
        st = rotate(r, err);
    else if (c->finished)
        st = finish(r, err);
    if (st == BLOBSEAL_OK)
        st = restore(r, err);
    c->finished = c->finished || r->preamble.core_damaged || r->preamble.frame_damaged;
    return st;
}

enum blobseal_status blobseal_change_in_place(struct blobseal_change_result **result,
                                              const struct blobseal_target *target, struct blobseal_kek *const *keks,
                                              size_t num_keks, const struct blobseal_change *change,
                                              struct blobseal_error *err)
{
    struct rewrap *r = calloc(1, sizeof *r);
    bool locked = false;
    enum blobseal_status st;

    *result = NULL;
    if (r == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "change recipients: no memory");
    r->target = target;
    r->source = target->source;
    r->source.lock = NULL;
    st = bs_change_start(&r->change, change, keks, num_keks, err);
    if (st == BLOBSEAL_OK && (!bs_seekable(&target->source) || target->write == NULL || target->sync == NULL))
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "change recipients: a target without functions");
    if (st == BLOBSEAL_OK && target->lock != NULL) {
        st = lock(target, err);
        locked = st == BLOBSEAL_OK;
    }
    if (st == BLOBSEAL_OK)
        st = run(r, err);
    if (st == BLOBSEAL_OK)
        st = bs_change_report(result, &r->change, err);
    if (locked)
        (void)target->lock(target->ctx, false, NULL);
    free(r->slot);
    free(r->back);
    bs_change_clear(&r->change);
    bs_preamble_clear(&r->preamble);
    free(r);
    return st;
}
