/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding corruption in the preamble, piece by piece. A reader stops at the first fault. A scrub reports a fault, works
 * around it if possible, and continues. FORMAT.md sections 2 and 5.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "core/check/check.h"

void bs_scrub_report(struct bs_scrub *s, enum blobseal_damage_kind kind, struct bs_place place, const char *format, ...)
{
    struct blobseal_damage d = {.kind = kind, .segment = place.segment, .offset = place.off, .length = place.len};
    char text[200];
    va_list ap;

    s->result.damaged++;
    if (kind != BLOBSEAL_DAMAGE_SLOT && kind != BLOBSEAL_DAMAGE_CORE_HEADER && kind != BLOBSEAL_DAMAGE_FRAME)
        s->unrepairable = true;
    if (s->options.on_damage == NULL)
        return;
    va_start(ap, format);
    if (vsnprintf(text, sizeof text, format, ap) < 0)
        text[0] = '\0';
    va_end(ap);
    blobseal_make_printable(text);
    d.text = text;
    s->options.on_damage(s->options.on_damage_ctx, &d);
}

static struct bs_place place_before_payload(uint64_t off, uint64_t len)
{
    return (struct bs_place){BLOBSEAL_NO_SEGMENT, off, len};
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

#define BLOCK 4096u

_Static_assert(BS_MAX_PREAMBLE_LEN <= 64 * BLOCK, "bs_scrub.unreadable has a bit for each block");

/* Read the head in blocks, so that an unreadable sector costs only the block that it is in. */
static enum blobseal_status read_blocks(struct bs_scrub *s, struct blobseal_error *err)
{
    uint64_t size = s->source->size;

    s->head_len = size < sizeof s->head ? (size_t)size : sizeof s->head;
    for (size_t off = 0; off < s->head_len; off += BLOCK) {
        struct blobseal_error e = {0};
        size_t n = s->head_len - off < BLOCK ? s->head_len - off : BLOCK;
        enum blobseal_status st = bs_pread(s->source, s->head + off, n, off, &e);

        if (st != BLOBSEAL_OK && e.sys_errno != EIO) {
            if (err != NULL)
                *err = e;
            return st;
        }
        if (st == BLOBSEAL_OK)
            continue;
        memset(s->head + off, 0, n);
        s->unreadable |= (uint64_t)1 << (off / BLOCK);
    }
    return BLOBSEAL_OK;
}

static enum blobseal_status read_head(struct bs_scrub *s, struct blobseal_error *err)
{
    struct blobseal_error e = {0};
    enum blobseal_status st;

    s->unreadable = 0;
    s->input = (struct bs_input){s->source, 0};
    st = bs_read(&s->input, s->head, sizeof s->head, &s->head_len, &e);
    if (st != BLOBSEAL_OK && e.sys_errno == EIO && bs_seekable(s->source))
        return read_blocks(s, err);
    if (st != BLOBSEAL_OK && err != NULL)
        *err = e;
    return st;
}

static bool is_unreadable(const struct bs_scrub *s, uint64_t off, uint64_t len)
{
    for (uint64_t i = off / BLOCK; len > 0 && i <= (off + len - 1) / BLOCK && i < 64; i++)
        if ((s->unreadable >> i & 1) != 0)
            return true;
    return false;
}

/* Return how the message for damage at @off continues. */
static const char *describe_fault(const struct bs_scrub *s, uint64_t off, uint64_t len)
{
    return is_unreadable(s, off, len) ? "cannot be read: input/output error" : "is damaged";
}

/* ---- Headers ----------------------------------------------------------------------------------------------------- */

/*
 * Correct one wrong byte of a header, by trying all values of all bytes until the checksum at its end matches. *@at
 * receives the position of the byte. Return false if more than one byte is wrong.
 */
static bool correct_byte(uint8_t *p, size_t len, size_t *at)
{
    size_t body = len - BS_CHECKSUM_LEN;
    uint64_t checksum = bs_load64(p + body), wrong = checksum ^ bs_xxh3(0, p, body);

    for (*at = 0; *at < body; ++*at) {
        uint8_t before = p[*at];

        for (unsigned x = 1; x < 256; x++) {
            p[*at] = (uint8_t)(before ^ x);
            if (bs_xxh3(0, p, body) == checksum)
                return true;
        }
        p[*at] = before;
    }
    for (unsigned i = 0; i < BS_CHECKSUM_LEN; i++)
        if (wrong != 0 && (wrong & ~((uint64_t)0xFF << 8 * i)) == 0) {
            *at = body + i;
            p[*at] ^= (uint8_t)(wrong >> 8 * i);
            return true;
        }
    return false;
}

/* Decode the frame header after correcting one byte of a copy of it. */
static bool decode_corrected_frame(struct bs_scrub *s, size_t *at)
{
    uint8_t copy[BS_FRAME_HEADER_LEN];

    if (s->head_len < sizeof copy)
        return false;
    memcpy(copy, s->head, sizeof copy);
    return correct_byte(copy, sizeof copy, at) && bs_frame_magic(copy, sizeof copy) &&
           bs_frame_decode(&s->preamble.header, copy, sizeof copy, NULL) == BLOBSEAL_OK;
}

/* Decode the core header at @off after correcting one byte of a copy of it. */
static bool decode_corrected_core(struct bs_scrub *s, uint64_t off, size_t *at)
{
    uint8_t copy[BS_CORE_HEADER_LEN];

    if (s->head_len < off || s->head_len - off < sizeof copy)
        return false;
    memcpy(copy, s->head + off, sizeof copy);
    return correct_byte(copy, sizeof copy, at) &&
           bs_core_decode(&s->preamble.core, copy, sizeof copy, NULL) == BLOBSEAL_OK;
}

/* ---- The frame --------------------------------------------------------------------------------------------------- */

/* Find a core header by its magic and its checksum, because the frame header is lost. */
static bool search_core(struct bs_scrub *s)
{
    for (size_t off = BS_FRAME_HEADER_LEN; off + BS_CORE_HEADER_LEN <= s->head_len; off++)
        if (bs_core_magic(s->head + off, s->head_len - off) &&
            bs_core_decode(&s->preamble.core, s->head + off, s->head_len - off, NULL) == BLOBSEAL_OK) {
            s->preamble.core_offset = off;
            return true;
        }
    return false;
}

/* Derive the frame header from the offset of the core. It has no slots if no valid frame has that length. */
static void derive_frame(struct bs_preamble *f)
{
    uint32_t len = (uint32_t)f->core_offset, slots = len > BS_AB_SLOT_OFFSET ? len - BS_AB_SLOT_OFFSET : 0;

    f->header = (struct bs_frame){.frame_len = len};
    memcpy(f->header.blob_id, f->core.blob_id, sizeof f->header.blob_id);
    if (slots > 0 && slots % (2 * BS_AB_SLOT_OFFSET) == 0) {
        f->header.slots = 2;
        f->header.slot_offset = BS_AB_SLOT_OFFSET;
        f->header.slot_capacity = slots / 2;
    } else if (len > BS_FRAME_HEADER_LEN + BS_SLOT_HEADER_LEN && len <= BS_FRAME_HEADER_LEN + BS_MAX_SLOT_CAPACITY) {
        f->header.slots = 1;
        f->header.slot_offset = BS_FRAME_HEADER_LEN;
        f->header.slot_capacity = len - BS_FRAME_HEADER_LEN;
    }
}

/* Report a frame header that is lost, without a core header from which it could be derived. */
static enum blobseal_status give_up_frame(struct bs_scrub *s, bool magic, struct blobseal_error *err)
{
    if (!magic)
        return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0,
                             s->head_len == 0 ? "%s is empty: not a sealed blob" : "%s is not a sealed blob",
                             bs_source_name(s->source));
    if (s->head_len < BS_FRAME_HEADER_LEN)
        bs_scrub_report(s, BLOBSEAL_DAMAGE_END, place_before_payload(s->head_len, 0),
                        "the blob is truncated inside its frame header");
    else
        bs_scrub_report(s, BLOBSEAL_DAMAGE_FRAME, place_before_payload(0, BS_FRAME_HEADER_LEN),
                        "the frame header is damaged, and no core header was found after it");
    s->payload_lost = true;
    return BLOBSEAL_OK;
}

/*
 * Work around a frame header that cannot be decoded for the reason @why: correct it, recognise a damaged core header
 * in its place, or derive it from the core.
 */
static enum blobseal_status handle_bad_frame(struct bs_scrub *s, const struct blobseal_error *why,
                                             struct blobseal_error *err)
{
    bool magic = bs_frame_magic(s->head, s->head_len);
    size_t at;

    if (decode_corrected_frame(s, &at)) {
        bs_scrub_report(s, BLOBSEAL_DAMAGE_FRAME, place_before_payload(at, 1), "byte %zu of the frame header is wrong",
                        at);
        return BLOBSEAL_OK;
    }
    if (magic && why->status == BLOBSEAL_E_UNSUPPORTED) {
        if (err != NULL)
            *err = *why;
        return why->status;
    }
    if (!magic && decode_corrected_core(s, 0, &at)) { /* check_core() reports the byte */
        s->preamble.layout = BLOBSEAL_LAYOUT_DETACHED;
        return BLOBSEAL_OK;
    }
    if (!search_core(s))
        return give_up_frame(s, magic, err);
    derive_frame(&s->preamble);
    bs_scrub_report(s, BLOBSEAL_DAMAGE_FRAME, place_before_payload(0, BS_FRAME_HEADER_LEN), "the frame header %s",
                    describe_fault(s, 0, BS_FRAME_HEADER_LEN));
    return BLOBSEAL_OK;
}

/* Find the frame header, which gives the positions of slots and core. */
static enum blobseal_status find_frame(struct bs_scrub *s, struct blobseal_error *err)
{
    struct bs_preamble *f = &s->preamble;
    struct blobseal_error e = {0};
    enum blobseal_status st = BLOBSEAL_OK;

    f->layout = BLOBSEAL_LAYOUT_AUTO;
    if (bs_core_magic(s->head, s->head_len))
        f->layout = BLOBSEAL_LAYOUT_DETACHED;
    else if (!bs_frame_magic(s->head, s->head_len) ||
             bs_frame_decode(&f->header, s->head, s->head_len, &e) != BLOBSEAL_OK)
        st = handle_bad_frame(s, &e, err);
    if (st != BLOBSEAL_OK || s->payload_lost || f->layout == BLOBSEAL_LAYOUT_DETACHED)
        return st;
    f->layout = f->header.slots == 2 ? BLOBSEAL_LAYOUT_AB : BLOBSEAL_LAYOUT_COMPACT;
    f->core_offset = f->header.frame_len;
    f->frame = s->head;
    memcpy(f->core.blob_id, f->header.blob_id, sizeof f->core.blob_id);
    if (s->head_len < f->core_offset) {
        bs_scrub_report(s, BLOBSEAL_DAMAGE_END, place_before_payload(s->head_len, 0),
                        "the blob is truncated inside its envelope frame");
        s->payload_lost = true;
    }
    return BLOBSEAL_OK;
}

/* Check the zeros between frame header and slots. */
static void check_padding(struct bs_scrub *s)
{
    size_t from = BS_FRAME_HEADER_LEN, to = s->preamble.header.slot_offset;

    if (is_unreadable(s, from, to - from)) {
        bs_scrub_report(s, BLOBSEAL_DAMAGE_FRAME, place_before_payload(from, to - from), "the padding of the frame %s",
                        describe_fault(s, from, to - from));
        return;
    }
    while (from < to && s->head[from] == 0)
        from++;
    while (to > from && s->head[to - 1] == 0)
        to--;
    if (from < to)
        bs_scrub_report(s, BLOBSEAL_DAMAGE_FRAME, place_before_payload(from, to - from),
                        "the padding of the frame is not zero");
}

static void check_slots(struct bs_scrub *s)
{
    const struct bs_frame *f = &s->preamble.header;
    uint64_t len = f->slot_capacity;

    bs_preamble_choose(&s->preamble);
    for (unsigned i = 0; i < f->slots; i++) {
        uint64_t off = f->slot_offset + i * len;
        const struct bs_place place = place_before_payload(off, len);

        if (s->preamble.slots[i].valid)
            continue;
        if (f->slots == 1)
            bs_scrub_report(s, BLOBSEAL_DAMAGE_SLOT, place, "the envelope %s", describe_fault(s, off, len));
        else
            bs_scrub_report(s, BLOBSEAL_DAMAGE_SLOT, place, "envelope slot %c %s", 'A' + (int)i,
                            describe_fault(s, off, len));
    }
}

/* ---- The core header --------------------------------------------------------------------------------------------- */

/*
 * Work around a core header that cannot be decoded for the reason @why: correct it, or assume what the payload looks
 * like. The blob id is taken from the frame if there is one, and byte 11 states whether segments have checksums. Either
 * may be damaged. In a seekable source detect_checksums() finds out. For a pipe, checksums are compared only if the
 * blob id is from the frame and byte 11 does not state that there are none.
 */
static enum blobseal_status handle_bad_core(struct bs_scrub *s, const struct blobseal_error *why,
                                            struct blobseal_error *err)
{
    struct bs_preamble *f = &s->preamble;
    const uint8_t *p = s->head + f->core_offset;
    size_t at;

    if (decode_corrected_core(s, f->core_offset, &at)) {
        bs_scrub_report(s, BLOBSEAL_DAMAGE_CORE_HEADER, place_before_payload(f->core_offset + at, 1),
                        "byte %zu of the core header is wrong", at);
        return BLOBSEAL_OK;
    }
    if (why->status == BLOBSEAL_E_UNSUPPORTED) {
        if (err != NULL)
            *err = *why;
        return why->status;
    }
    bs_scrub_report(s, BLOBSEAL_DAMAGE_CORE_HEADER, place_before_payload(f->core_offset, BS_CORE_HEADER_LEN),
                    "the core header %s", describe_fault(s, f->core_offset, BS_CORE_HEADER_LEN));
    f->core = (struct bs_core_header){.version = 1, .suite = BS_SUITE_COBBLESTONE_256};
    f->core.segments = p[11] == BS_SEGMENTS_BARE ? BS_SEGMENTS_BARE : BS_SEGMENTS_CHECKSUMMED;
    memcpy(f->core.blob_id, f->layout == BLOBSEAL_LAYOUT_DETACHED ? p + 16 : f->header.blob_id, BLOBSEAL_BLOB_ID_LEN);
    s->segments_unknown = bs_seekable(s->source) || f->layout == BLOBSEAL_LAYOUT_DETACHED || p[11] == BS_SEGMENTS_BARE;
    return BLOBSEAL_OK;
}

static enum blobseal_status check_core(struct bs_scrub *s, struct blobseal_error *err)
{
    struct bs_preamble *f = &s->preamble;
    size_t left = s->head_len - (size_t)f->core_offset;
    struct blobseal_error e = {0};
    enum blobseal_status st;

    if (left < BS_CORE_HEADER_LEN) {
        bs_scrub_report(s, BLOBSEAL_DAMAGE_END, place_before_payload(s->head_len, 0),
                        "the blob is truncated inside its core header");
        s->payload_lost = true;
        return BLOBSEAL_OK;
    }
    st = bs_core_decode(&f->core, s->head + f->core_offset, left, &e);
    if (st != BLOBSEAL_OK)
        st = handle_bad_core(s, &e, err);
    if (st == BLOBSEAL_OK && f->layout != BLOBSEAL_LAYOUT_DETACHED &&
        memcmp(f->header.blob_id, f->core.blob_id, sizeof f->core.blob_id) != 0)
        bs_scrub_report(s, BLOBSEAL_DAMAGE_FRAME, place_before_payload(0, f->core_offset),
                        "the frame belongs to another blob");
    return st;
}

/* ---- The envelope ------------------------------------------------------------------------------------------------ */

/*
 * Check what is visible of the current envelope without a key. An envelope of an unsupported version is noted, but is
 * not damage.
 */
static enum blobseal_status check_envelope(struct bs_scrub *s, struct blobseal_error *err)
{
    const struct bs_preamble *f = &s->preamble;

    for (size_t i = 0; i < f->num_candidates; i++) {
        uint64_t off = (uint64_t)((const uint8_t *)f->candidates[i].text - s->head);
        struct blobseal_error e = {0};
        struct bs_envelope env;
        enum blobseal_status st = bs_preamble_envelope(f, i, &env, &e);

        bs_envelope_clear(&env);
        if (i == 0)
            s->result.generation = f->candidates[i].generation;
        if (st == BLOBSEAL_E_UNSUPPORTED)
            s->result.notes |= BLOBSEAL_NOTE_ENVELOPE;
        else if (st == BLOBSEAL_E_FORMAT)
            bs_scrub_report(s, BLOBSEAL_DAMAGE_ENVELOPE, place_before_payload(off, f->candidates[i].len), "%s", e.text);
        else if (st != BLOBSEAL_OK)
            return blobseal_fail(err, st, e.sys_errno, "%s", e.text);
    }
    return BLOBSEAL_OK;
}

/* ---- The whole preamble ------------------------------------------------------------------------------------------ */

/* Return false if the slots look as during a change of the recipients, which must not be reported as damage. */
static bool is_settled(const struct bs_scrub *s)
{
    struct bs_preamble f = {.frame = (uint8_t *)s->head}; /* only read */

    if (!bs_seekable(s->source) || !bs_frame_magic(s->head, s->head_len) ||
        bs_frame_decode(&f.header, s->head, s->head_len, NULL) != BLOBSEAL_OK || s->head_len < f.header.frame_len)
        return true;
    bs_preamble_choose(&f);
    return f.notes == 0 && f.num_candidates == 1;
}

/* How often to read the head until it is settled, and the pause before each further attempt. */
#define TRIES    5
#define PAUSE_NS 10000000L

static enum blobseal_status read_settled_head(struct bs_scrub *s, struct blobseal_error *err)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    enum blobseal_status st = read_head(s, err);

    for (int i = 1; i < TRIES && st == BLOBSEAL_OK && !is_settled(s); i++) {
        (void)nanosleep(&pause, NULL);
        st = read_head(s, err);
    }
    return st;
}

enum blobseal_status bs_scrub_preamble(struct bs_scrub *s, struct blobseal_error *err)
{
    struct bs_preamble *f = &s->preamble;
    enum blobseal_status st = read_settled_head(s, err);

    if (st == BLOBSEAL_OK)
        st = find_frame(s, err);
    if (st != BLOBSEAL_OK || s->payload_lost)
        return st;
    if (f->header.slots > 0) {
        check_padding(s);
        check_slots(s);
    }
    st = check_core(s, err);
    return st == BLOBSEAL_OK && !s->payload_lost ? check_envelope(s, err) : st;
}
