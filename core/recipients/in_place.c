/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing the recipients of a blob in place: the two slots are written one after the other, so that a crash at any
 * moment leaves at least one valid envelope, the old or the new one. FORMAT.md section 5.1.
 */
#include <stdlib.h>

#include "core/recipients/recipients.h"

/* One change of one blob. */
struct in_place {
    const struct blobseal_target *target;
    struct bs_change_request request;
    struct bs_preamble preamble;
    struct bs_change *change;
    struct bs_change_plan plan;
    unsigned opened; /* the slot whose envelope was opened  */
    uint8_t *slot;   /* the bytes of a slot to write        */
    uint8_t *back;   /* the bytes read back for comparison  */
    bool finished;   /* an earlier change was completed, or damage was repaired */
};

/* Write @len bytes, at most a slot, sync them, and read them back to check that they were stored. */
static enum blobseal_status store(const struct in_place *r, const uint8_t *p, size_t len, uint64_t off,
                                  struct blobseal_error *err)
{
    const struct blobseal_target *t = r->target;
    enum blobseal_status st = bs_target_write(t, p, len, off, err);

    if (st == BLOBSEAL_OK)
        st = bs_target_sync(t, off, len, err);
    if (st == BLOBSEAL_OK)
        st = bs_pread(&t->source, r->back, len, off, err);
    if (st == BLOBSEAL_OK && memcmp(p, r->back, len) != 0) {
        (void)blobseal_fail(err, BLOBSEAL_E_OUTPUT, 0, "write %s: the data read back differs from the data written",
                            bs_source_name(&t->source));
        blobseal_hint(err, "the storage is failing: first copy the blob elsewhere");
        return BLOBSEAL_E_OUTPUT;
    }
    return st;
}

static enum blobseal_status write_slot(const struct in_place *r, unsigned index, struct blobseal_error *err)
{
    size_t capacity = r->preamble.header.slot_capacity;

    return store(r, r->slot, capacity, r->preamble.header.slot_offset + index * (uint64_t)capacity, err);
}

/*
 * Restore damaged headers: the frame header and the zeros after it, and the core header from its copy in the envelope.
 * The core header shares a sector with the start of the payload, whose bytes do not change.
 */
static enum blobseal_status restore_headers(const struct in_place *r, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    if (r->preamble.frame_damaged) {
        bs_frame_encode_head(&r->preamble.header, r->slot); /* a slot has room for it */
        st = store(r, r->slot, r->preamble.header.slot_offset, 0, err);
    }
    if (st == BLOBSEAL_OK && r->preamble.core_damaged)
        st = store(r, r->plan.core_header, BS_CORE_HEADER_LEN, r->preamble.core_offset, err);
    return st;
}

static enum blobseal_status check_fit(const struct in_place *r, size_t jwe_len, struct blobseal_error *err)
{
    uint32_t capacity = r->preamble.header.slot_capacity;

    if (jwe_len <= capacity - BS_SLOT_HEADER_LEN)
        return BLOBSEAL_OK;
    (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the new envelope of %zu bytes does not fit a slot of %u bytes",
                        jwe_len, capacity);
    blobseal_advise(err, BLOBSEAL_ADVICE_REWRITE, NULL, "copy the blob with larger slots");
    return BLOBSEAL_E_POLICY;
}

/*
 * Write the next generation to both slots. The slot whose envelope was opened is written last, because it holds the
 * current envelope until the other slot is stored.
 */
static enum blobseal_status write_next_generation(struct in_place *r, struct blobseal_error *err)
{
    struct bs_slice jwe;
    enum blobseal_status st = bs_change_write(r->change, &jwe, err);

    if (st == BLOBSEAL_OK)
        st = check_fit(r, jwe.len, err);
    if (st != BLOBSEAL_OK || r->request.wanted.dry_run)
        return st;
    bs_slot_encode(&r->preamble.header, r->slot, (const char *)jwe.p, jwe.len, r->plan.generation + 1);
    st = write_slot(r, 1 - r->opened, err);
    return st == BLOBSEAL_OK ? write_slot(r, r->opened, err) : st;
}

/* Copy the envelope that was opened to the other slot, which a crash or corruption left different or invalid. */
static enum blobseal_status complete_other_slot(struct in_place *r, struct blobseal_error *err)
{
    if (r->request.wanted.dry_run)
        return BLOBSEAL_OK;
    bs_slot_encode(&r->preamble.header, r->slot, (const char *)r->plan.jwe.p, r->plan.jwe.len, r->plan.generation);
    return write_slot(r, 1 - r->opened, err);
}

/* Open the envelope of the preamble that was read with status @st, and plan the change. */
static enum blobseal_status plan(struct in_place *r, enum blobseal_status st, struct blobseal_error *err)
{
    const char *name = bs_source_name(&r->target->source);

    if (st == BLOBSEAL_OK && r->preamble.layout != BLOBSEAL_LAYOUT_AB) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "%s cannot be changed in place: it does not have two slots",
                            name);
        blobseal_hint(err, "write a copy of the blob with the changed envelope");
        return BLOBSEAL_E_CONFIG;
    }
    return st == BLOBSEAL_OK ? bs_change_plan(&r->change, &r->request, &r->preamble, name, &r->plan, err) : st;
}

/* Plan a repair of the blob whose preamble was read with status @st, and check that its payload is complete. */
static enum blobseal_status plan_checked(struct in_place *r, enum blobseal_status st, struct blobseal_error *err)
{
    struct bs_core_header core;

    st = plan(r, st, err);
    if (st == BLOBSEAL_OK)
        st = bs_core_decode(&core, r->plan.core_header, BS_CORE_HEADER_LEN, err);
    return st == BLOBSEAL_OK ? bs_preamble_check_end(&r->preamble, &r->target->source, &core, r->plan.keys, err) : st;
}

static void discard_plan(struct in_place *r)
{
    bs_change_free(r->change);
    r->change = NULL;
    r->plan = (struct bs_change_plan){0};
    bs_preamble_clear(&r->preamble);
}

/* Return true if reading a preamble at a wrong position can end with @st. */
static bool is_data_error(enum blobseal_status st)
{
    return st == BLOBSEAL_E_DAMAGED || st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_AUTH || st == BLOBSEAL_E_NO_KEY;
}

/*
 * Read a preamble that may be damaged, and plan its repair. If the frame header is lost, try each possible position of
 * the core until the envelope and the end of the blob confirm one. If none is confirmed, report the error of the first
 * position whose envelope was opened, or else that of the first position.
 */
static enum blobseal_status plan_repair(struct in_place *r, struct blobseal_error *err)
{
    struct blobseal_error e = {0}, reported = {0};
    enum blobseal_status st;
    bool opened = false;
    uint64_t after = 0;

    do {
        struct bs_input in = {&r->target->source, 0};

        discard_plan(r);
        st = plan_checked(r, bs_preamble_salvage(&r->preamble, &in, after, &e), &e);
        if (!is_data_error(st) || reported.status == BLOBSEAL_OK || (r->plan.keys != NULL && !opened))
            reported = e;
        opened = opened || r->plan.keys != NULL;
        after = r->preamble.core_offset;
    } while (r->preamble.frame_damaged && is_data_error(st));
    if (st == BLOBSEAL_OK)
        return st;
    if (err != NULL)
        *err = reported;
    return reported.status;
}

static enum blobseal_status read_and_plan(struct in_place *r, struct blobseal_error *err)
{
    const char *name = bs_source_name(&r->target->source);
    struct bs_input in = {&r->target->source, 0};
    enum blobseal_status st = r->request.wanted.repair
                                  ? plan_repair(r, err)
                                  : plan(r, bs_preamble_read(&r->preamble, &in, NULL, 0, err), err);

    if (st != BLOBSEAL_OK)
        return st;
    r->opened = r->plan.jwe.p == r->preamble.slots[0].jwe.p ? 0 : 1;
    r->slot = malloc(r->preamble.header.slot_capacity);
    r->back = malloc(r->preamble.header.slot_capacity);
    if (r->slot == NULL || r->back == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "change %s: no memory", name);
    return BLOBSEAL_OK;
}

static enum blobseal_status run(struct in_place *r, struct blobseal_error *err)
{
    uint32_t notes;
    enum blobseal_status st = read_and_plan(r, err);

    if (st != BLOBSEAL_OK)
        return st;
    notes = r->preamble.notes;
    r->finished = (notes & (BLOBSEAL_NOTE_UNFINISHED | BLOBSEAL_NOTE_SLOT_INVALID)) != 0;
    if (r->plan.changed || (notes & BLOBSEAL_NOTE_TIE) != 0)
        st = write_next_generation(r, err);
    else if (r->finished)
        st = complete_other_slot(r, err);
    if (st == BLOBSEAL_OK && !r->request.wanted.dry_run)
        st = restore_headers(r, err);
    r->finished = r->finished || r->preamble.core_damaged || r->preamble.frame_damaged;
    return st;
}

static void clear(struct in_place *r)
{
    free(r->slot);
    free(r->back);
    bs_change_free(r->change);
    bs_preamble_clear(&r->preamble);
}

enum blobseal_status blobseal_change_in_place(struct blobseal_change_result **result,
                                              const struct blobseal_target *target, struct blobseal_kek *const *keks,
                                              size_t num_keks, const struct blobseal_change *change,
                                              struct blobseal_error *err)
{
    struct in_place r = {.target = target};
    bool locked = false;
    enum blobseal_status st = bs_change_check(&r.request, change, (struct bs_keks){keks, num_keks, NULL}, err);

    *result = NULL;
    if (st == BLOBSEAL_OK && r.request.wanted.envelope != NULL)
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                           "change recipients: a change in place uses the envelope of the blob, not another one");
    if (st == BLOBSEAL_OK)
        st = bs_check_target(target, "change recipients", err);
    if (st == BLOBSEAL_OK && target->lock != NULL) {
        st = bs_target_lock(target, err);
        locked = st == BLOBSEAL_OK;
    }
    if (st == BLOBSEAL_OK)
        st = run(&r, err);
    if (st == BLOBSEAL_OK)
        st = bs_change_report(result, r.change, r.finished, err);
    if (locked)
        (void)target->lock(target->ctx, false, NULL);
    clear(&r);
    return st;
}
