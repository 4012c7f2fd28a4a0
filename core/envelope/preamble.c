/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The preamble of a blob: frame, slots and core header, read in order from any source, and the choice of the current
 * envelope. Reading it needs no key, and nothing that was read is authentic yet. FORMAT.md sections 1, 2 and 5.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/envelope/envelope.h"

/* ---- Slots ------------------------------------------------------------------------------------------------------- */

static void add_candidate(struct bs_preamble *f, const struct bs_slot *s)
{
    size_t i = f->num_candidates++;

    f->candidates[i].text = (const char *)s->jwe.p;
    f->candidates[i].len = s->jwe.len;
    f->candidates[i].generation = s->generation;
}

static bool same_slot(const struct bs_slot *a, const struct bs_slot *b)
{
    return a->generation == b->generation && a->jwe.len == b->jwe.len && memcmp(a->jwe.p, b->jwe.p, a->jwe.len) == 0;
}

void bs_preamble_choose(struct bs_preamble *f)
{
    const struct bs_slot *a = &f->slots[0], *b = &f->slots[1];
    bool same;

    f->num_candidates = 0;
    f->notes = 0;
    for (unsigned i = 0; i < f->header.slots; i++)
        f->slots[i] = bs_slot_decode(&f->header, f->frame, i);
    same = a->valid && b->valid && same_slot(a, b);
    if (a->valid && (!b->valid || a->generation >= b->generation))
        add_candidate(f, a);
    if (b->valid && (!a->valid || b->generation >= a->generation) && !same)
        add_candidate(f, b);
    if (f->header.slots == 2 && !(a->valid && b->valid))
        f->notes |= BLOBSEAL_NOTE_SLOT_INVALID;
    if (a->valid && b->valid && !same)
        f->notes |= BLOBSEAL_NOTE_UNFINISHED;
    if (f->num_candidates == 2)
        f->notes |= BLOBSEAL_NOTE_TIE;
}

/* Read the rest of the frame after its header, and choose the candidates unless the caller passed an envelope. */
static enum blobseal_status read_slots(struct bs_preamble *f, struct bs_input *in, bool passed,
                                       struct blobseal_error *err)
{
    size_t rest = f->header.frame_len - BS_FRAME_HEADER_LEN, n;
    enum blobseal_status st = bs_read(in, f->frame + BS_FRAME_HEADER_LEN, rest, &n, err);

    if (st != BLOBSEAL_OK)
        return st;
    if (n < rest)
        return blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "the blob ends inside its envelope frame");
    if (!bs_all_zero(f->frame + BS_FRAME_HEADER_LEN, f->header.slot_offset - BS_FRAME_HEADER_LEN)) {
        (void)blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "malformed frame: bytes before the slots are not zero");
        blobseal_advise(err, BLOBSEAL_ADVICE_REPAIR, NULL, "a repair with a private key clears them");
        return BLOBSEAL_E_FORMAT;
    }
    if (!passed)
        bs_preamble_choose(f);
    return BLOBSEAL_OK;
}

/* ---- Slots that another process may be changing ------------------------------------------------------------------ */

/* How often to read slots again, and the pause before each further attempt. */
#define TRIES    5
#define PAUSE_NS 10000000L

/* Return true if the slots that were read may be from two different moments of a change, or from the middle of one. */
static bool may_be_changing(const struct bs_preamble *f, bool settled)
{
    return f->num_candidates != 1 || (settled && f->notes != 0);
}

/*
 * Read slots while another process may be changing them in place. Readers take no lock, so that nobody who can read a
 * blob can hinder a change. During a change one slot is complete at every moment, but reading both takes time: no valid
 * slot, or a tie, can result from reading the slots at two different moments. In that case they are read again. If the
 * same bytes are read twice, both slots had them at one moment, so that is what the blob contains. A caller that
 * reports whether the slots agree (@settled) reads them again if they differ, because a change in progress must not be
 * reported as one that did not finish.
 */
static enum blobseal_status read_shared_slots(struct bs_preamble *f, struct bs_input *in, bool settled,
                                              struct blobseal_error *err)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    const struct bs_input start = *in;
    enum blobseal_status st = read_slots(f, in, false, err);
    uint8_t *before = NULL;
    bool same = false;

    for (unsigned i = 0; i < TRIES && st == BLOBSEAL_OK && !same && may_be_changing(f, settled); i++) {
        before = before != NULL ? before : malloc(f->header.frame_len);
        if (before == NULL)
            return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the frame: no memory");
        memcpy(before, f->frame, f->header.frame_len);
        if (i > 0 || settled)
            (void)nanosleep(&pause, NULL);
        *in = start;
        st = read_slots(f, in, false, err);
        same = !settled && memcmp(before, f->frame, f->header.frame_len) == 0;
    }
    free(before);
    return st;
}

/* ---- The whole preamble ------------------------------------------------------------------------------------------ */

/* Report that no slot is valid. Return E_DAMAGED. */
static enum blobseal_status no_valid_slot(const struct bs_frame *frame, struct blobseal_error *err)
{
    char bytes[16];

    (void)snprintf(bytes, sizeof bytes, "%u", frame->frame_len);
    (void)blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "the key envelope is damaged: no valid slot");
    blobseal_advise(err, BLOBSEAL_ADVICE_RESTORE, bytes,
                    "restore the first %u bytes from another copy, or pass a saved envelope", frame->frame_len);
    return BLOBSEAL_E_DAMAGED;
}

/*
 * Read a frame, of which the first @head.len bytes, at most 64, have been read already. If the caller passed an
 * envelope, which is in f->candidates, the slots do not have to be valid.
 */
static enum blobseal_status read_frame(struct bs_preamble *f, struct bs_input *in, struct bs_slice head, bool settled,
                                       struct blobseal_error *err)
{
    struct bs_frame *frame = &f->header;
    bool passed = f->num_candidates > 0;
    enum blobseal_status st = bs_frame_decode(frame, head.p, head.len, err);

    if (st != BLOBSEAL_OK)
        return st;
    f->layout = frame->slots == 2 ? BLOBSEAL_LAYOUT_AB : BLOBSEAL_LAYOUT_COMPACT;
    f->core_offset = frame->frame_len; /* at most 135,168: checked by bs_frame_decode() */
    f->frame = malloc(frame->frame_len);
    if (f->frame == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the frame: no memory");
    memcpy(f->frame, head.p, head.len);
    if (!passed && frame->slots == 2 && bs_seekable(in->source) && !bs_is_memory(in->source))
        st = read_shared_slots(f, in, settled, err);
    else
        st = read_slots(f, in, passed, err);
    return st == BLOBSEAL_OK && f->num_candidates == 0 ? no_valid_slot(frame, err) : st;
}

/* Read the core header, of which the first @n bytes are at @head already, and check that it belongs to the frame. */
static enum blobseal_status read_core(struct bs_preamble *f, struct bs_input *in, uint8_t head[BS_CORE_HEADER_LEN],
                                      size_t n, struct blobseal_error *err)
{
    size_t more;
    enum blobseal_status st = bs_read(in, head + n, BS_CORE_HEADER_LEN - n, &more, err);

    if (st != BLOBSEAL_OK)
        return st;
    st = bs_core_decode(&f->core, head, n + more, err);
    f->core_damaged = n + more == BS_CORE_HEADER_LEN && (st == BLOBSEAL_E_DAMAGED || st == BLOBSEAL_E_FORMAT);
    if (f->core_damaged && f->layout == BLOBSEAL_LAYOUT_AB)
        blobseal_advise(err, BLOBSEAL_ADVICE_REPAIR, NULL, "a repair with a private key restores it from the envelope");
    if (st == BLOBSEAL_OK && f->layout != BLOBSEAL_LAYOUT_DETACHED &&
        memcmp(f->header.blob_id, f->core.blob_id, sizeof f->core.blob_id) != 0)
        st = blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "the frame belongs to another blob");
    return st;
}

static enum blobseal_status read_preamble(struct bs_preamble *f, struct bs_input *in, struct bs_slice envelope,
                                          bool settled, struct blobseal_error *err)
{
    uint8_t head[BS_CORE_HEADER_LEN];
    enum blobseal_status st;
    size_t n;

    *f = (struct bs_preamble){.layout = BLOBSEAL_LAYOUT_DETACHED};
    if (envelope.p != NULL) {
        f->candidates[0].text = (const char *)envelope.p;
        f->candidates[0].len = envelope.len;
        f->num_candidates = 1;
    }
    st = bs_read(in, head, BS_FRAME_HEADER_LEN, &n, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (bs_frame_magic(head, n)) {
        st = read_frame(f, in, (struct bs_slice){head, n}, settled, err);
        n = 0;
    } else if (!bs_core_magic(head, n)) {
        (void)blobseal_fail(err, BLOBSEAL_E_FORMAT, 0,
                            n == 0 ? "%s is empty: not a sealed blob" : "%s is not a sealed blob",
                            bs_source_name(in->source));
        return BLOBSEAL_E_FORMAT;
    }
    return st == BLOBSEAL_OK ? read_core(f, in, head, n, err) : st;
}

enum blobseal_status bs_preamble_read(struct bs_preamble *f, struct bs_input *in, const char *envelope,
                                      size_t envelope_len, struct blobseal_error *err)
{
    return read_preamble(f, in, (struct bs_slice){(const uint8_t *)envelope, envelope_len}, false, err);
}

enum blobseal_status bs_preamble_inspect(struct bs_preamble *f, struct bs_input *in, const char *envelope,
                                         size_t envelope_len, struct blobseal_error *err)
{
    return read_preamble(f, in, (struct bs_slice){(const uint8_t *)envelope, envelope_len}, true, err);
}

void bs_preamble_clear(struct bs_preamble *f)
{
    free(f->frame);
    *f = (struct bs_preamble){0};
}

enum blobseal_status bs_preamble_envelope(const struct bs_preamble *f, size_t i, struct bs_envelope *e,
                                          struct blobseal_error *err)
{
    enum blobseal_status st = bs_envelope_parse(e, f->candidates[i].text, f->candidates[i].len, err);

    if (st == BLOBSEAL_OK && f->candidates[i].generation != 0 && f->candidates[i].generation != e->generation)
        return bs_malformed(err, "its generation is not the generation of its slot");
    if (st == BLOBSEAL_OK && memcmp(e->blob_id, f->core.blob_id, sizeof e->blob_id) != 0)
        return bs_malformed(err, "it belongs to another blob");
    return st;
}

void bs_opened_envelope_clear(struct bs_opened_envelope *o)
{
    blobseal_secret_free(o->unlocked);
    bs_envelope_clear(&o->envelope);
    *o = (struct bs_opened_envelope){0};
}

/* Parse and, unless @keks is NULL, unlock candidate o->candidate. */
static enum blobseal_status try_candidate(const struct bs_preamble *f, const struct bs_keks *keks,
                                          struct bs_opened_envelope *o, struct blobseal_error *err)
{
    enum blobseal_status st;

    bs_envelope_clear(&o->envelope);
    st = bs_preamble_envelope(f, o->candidate, &o->envelope, err);
    if (st == BLOBSEAL_OK && keks != NULL)
        st = bs_envelope_unlock(&o->unlocked, &o->envelope, f->core_damaged ? NULL : &f->core, *keks, err);
    return st;
}

static enum blobseal_status try_all(const struct bs_preamble *f, const char *name, const struct bs_keks *keks,
                                    struct bs_opened_envelope *o, struct blobseal_error *err)
{
    struct blobseal_error ignored = {0};
    enum blobseal_status first;

    *o = (struct bs_opened_envelope){0};
    if (f->num_candidates == 0) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "%s has no envelope of its own: it was sealed detached", name);
        blobseal_advise(err, BLOBSEAL_ADVICE_ENVELOPE, NULL, "pass the detached envelope");
        return BLOBSEAL_E_CONFIG;
    }
    first = try_candidate(f, keks, o, err);
    if (first == BLOBSEAL_OK)
        return first;
    for (o->candidate = 1; o->candidate < f->num_candidates; o->candidate++)
        if (try_candidate(f, keks, o, &ignored) == BLOBSEAL_OK)
            return BLOBSEAL_OK;
    o->candidate = 0; /* leave the first candidate to the caller, because its error is the one reported */
    if (f->num_candidates > 1 && try_candidate(f, NULL, o, &ignored) != BLOBSEAL_OK)
        bs_envelope_clear(&o->envelope);
    return first;
}

enum blobseal_status bs_preamble_unlock(const struct bs_preamble *f, const char *name, struct bs_keks keks,
                                        struct bs_opened_envelope *opened, struct blobseal_error *err)
{
    return try_all(f, name, &keks, opened, err);
}

enum blobseal_status bs_preamble_parse(const struct bs_preamble *f, const char *name, struct bs_opened_envelope *opened,
                                       struct blobseal_error *err)
{
    return try_all(f, name, NULL, opened, err);
}

enum blobseal_status bs_check_generation(const char *name, uint64_t generation, uint64_t min,
                                         struct blobseal_error *err)
{
    if (generation >= min)
        return BLOBSEAL_OK;
    (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "%s is too old: generation %llu, but at least %llu is required",
                        name, (unsigned long long)generation, (unsigned long long)min);
    blobseal_hint(err, "an old envelope or an old copy of the blob was put back: get the current one");
    return BLOBSEAL_E_POLICY;
}
