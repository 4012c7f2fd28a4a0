/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front of a blob: frame, slots and core header, read in order from any source, and the choice of the envelope that
 * counts. Nothing here needs a key and nothing is authentic yet. FORMAT.md sections 1, 2 and 5.
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

/* Which slots count: the newest valid one, both where they tie with different bytes, none where none is valid. */
void bs_preamble_choose(struct bs_preamble *f)
{
    const struct bs_slot *a = &f->slots[0], *b = &f->slots[1];
    bool alike;

    f->num_candidates = 0;
    f->notes = 0;
    for (unsigned i = 0; i < f->header.slots; i++)
        f->slots[i] = bs_slot_decode(&f->header, f->frame, i);
    alike = a->valid && b->valid && same_slot(a, b);
    if (a->valid && (!b->valid || a->generation >= b->generation))
        add_candidate(f, a);
    if (b->valid && (!a->valid || b->generation >= a->generation) && !alike)
        add_candidate(f, b);
    if (f->header.slots == 2 && !(a->valid && b->valid))
        f->notes |= BLOBSEAL_NOTE_SLOT_INVALID;
    if (a->valid && b->valid && !alike)
        f->notes |= BLOBSEAL_NOTE_UNFINISHED;
    if (f->num_candidates == 2)
        f->notes |= BLOBSEAL_NOTE_TIE;
}

/* Read the frame behind its header, and choose unless an envelope was named. */
static enum blobseal_status read_slots(struct bs_preamble *f, struct bs_input *in, bool named,
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
    if (!named)
        bs_preamble_choose(f);
    return BLOBSEAL_OK;
}

/* ---- Slots that somebody changes at the same time ---------------------------------------------------------------- */

/* How often slots are read again, or a lock is asked for, and the pause in between. */
#define TRIES    5
#define PAUSE_NS 10000000L

static void pause_shortly(void)
{
    const struct timespec t = {.tv_nsec = PAUSE_NS};

    (void)nanosleep(&t, NULL);
}

/* A change holds its lock for a few writes and syncs. Where it takes longer reading goes on without one. */
bool bs_preamble_lock(const struct blobseal_source *source)
{
    for (unsigned i = 0; i < TRIES; i++) {
        if (i > 0)
            pause_shortly();
        if (source->lock(source->ctx, true))
            return true;
    }
    return false;
}

/*
 * As read_slots(), beside changes in place. The lock keeps those away that ask for it. Beside another, at any moment
 * one slot is whole, but reading takes more than a moment: no valid slot, or a tie, can be two views of two changes, so
 * look again. Without the lock also where the slots differ: a change that is under way shall not be told as one that
 * did not finish.
 */
static enum blobseal_status read_shared_slots(struct bs_preamble *f, struct bs_input *in, struct blobseal_error *err)
{
    const struct blobseal_source *source = in->source;
    bool locked = bs_preamble_lock(source);
    const struct bs_input start = *in;
    enum blobseal_status st = read_slots(f, in, false, err);

    for (unsigned i = 0; i < TRIES && st == BLOBSEAL_OK && (f->num_candidates != 1 || (!locked && f->notes != 0));
         i++) {
        pause_shortly();
        *in = start;
        st = read_slots(f, in, false, err);
    }
    if (locked)
        (void)source->lock(source->ctx, false);
    return st;
}

/* ---- The whole front --------------------------------------------------------------------------------------------- */

/* The rest of a frame whose first 64 bytes are at @head. */
static enum blobseal_status read_frame(struct bs_preamble *f, struct bs_input *in,
                                       const uint8_t head[BS_FRAME_HEADER_LEN], size_t head_len, bool named,
                                       struct blobseal_error *err)
{
    struct bs_frame *frame = &f->header;
    enum blobseal_status st = bs_frame_decode(frame, head, head_len, err);

    if (st != BLOBSEAL_OK)
        return st;
    f->layout = frame->slots == 2 ? BLOBSEAL_LAYOUT_AB : BLOBSEAL_LAYOUT_COMPACT;
    f->core_offset = frame->frame_len; /* at most 135,168: checked by bs_frame_decode() */
    f->frame = malloc(frame->frame_len);
    if (f->frame == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the frame: no memory");
    memcpy(f->frame, head, head_len);
    if (!named && frame->slots == 2 && bs_seekable(in->source) && in->source->lock != NULL)
        st = read_shared_slots(f, in, err);
    else
        st = read_slots(f, in, named, err);
    if (st == BLOBSEAL_OK && f->num_candidates == 0) {
        char bytes[16];

        (void)snprintf(bytes, sizeof bytes, "%u", frame->frame_len);
        st = blobseal_fail(err, BLOBSEAL_E_DAMAGED, 0, "the key envelope is damaged: no valid slot");
        blobseal_advise(err, BLOBSEAL_ADVICE_RESTORE, bytes,
                        "restore the first %u bytes from another copy, or pass a saved envelope", frame->frame_len);
    }
    return st;
}

enum blobseal_status bs_preamble_read(struct bs_preamble *f, struct bs_input *in, const char *envelope,
                                      size_t envelope_len, struct blobseal_error *err)
{
    uint8_t head[BS_CORE_HEADER_LEN];
    enum blobseal_status st;
    size_t n, more;

    *f = (struct bs_preamble){.layout = BLOBSEAL_LAYOUT_DETACHED};
    if (envelope != NULL) {
        f->candidates[0].text = envelope;
        f->candidates[0].len = envelope_len;
        f->num_candidates = 1;
    }
    st = bs_read(in, head, BS_FRAME_HEADER_LEN, &n, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (bs_frame_magic(head, n)) {
        st = read_frame(f, in, head, n, envelope != NULL, err);
        n = 0;
    } else if (!bs_core_magic(head, n)) {
        (void)blobseal_fail(err, BLOBSEAL_E_FORMAT, 0,
                            n == 0 ? "%s is empty: not a sealed blob" : "%s is not a sealed blob",
                            bs_source_name(in->source));
        return BLOBSEAL_E_FORMAT;
    }
    if (st != BLOBSEAL_OK)
        return st;
    st = bs_read(in, head + n, sizeof head - n, &more, err);
    if (st != BLOBSEAL_OK)
        return st;
    st = bs_core_decode(&f->core, head, n + more, err);
    f->core_damaged = st == BLOBSEAL_E_DAMAGED || st == BLOBSEAL_E_FORMAT;
    if (f->core_damaged && f->layout == BLOBSEAL_LAYOUT_AB)
        blobseal_advise(err, BLOBSEAL_ADVICE_REPAIR, NULL, "a repair with a private key restores it from the envelope");
    if (st == BLOBSEAL_OK && f->layout != BLOBSEAL_LAYOUT_DETACHED &&
        memcmp(f->header.blob_id, f->core.blob_id, sizeof f->core.blob_id) != 0)
        st = blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "the frame belongs to another blob");
    return st;
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
        return bs_malformed(err, "its generation is not that of its slot");
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
    o->candidate = 0; /* the error is that of the first candidate, so the caller sees its envelope as well */
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
    (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "%s is too old: generation %llu, and at least %llu is asked for",
                        name, (unsigned long long)generation, (unsigned long long)min);
    blobseal_hint(err, "an old envelope or an old copy was put back: get the current one");
    return BLOBSEAL_E_POLICY;
}
