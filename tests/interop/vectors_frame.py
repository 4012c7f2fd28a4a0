# SPDX-License-Identifier: Apache-2.0
"""Vectors for section 5 of core/FORMAT.md: the frame, its slots, and which slot is used."""

import json

from ref_conventions import MAX_INT, le32, le64, u32, u64, xxh3
from ref_frame import build_frame, build_slot
from strict_json import to_json
from vector_parts import ab, attached, compact, fixed, flip, inside, make_core, make_jwe, put, recoded, setting


def bad_tag(jwe):
    return to_json(recoded("tag", lambda tag: flip(tag, 0))(json.loads(jwe)))


# ---- Slots -------------------------------------------------------


def resum(slot):
    """Make the checksum of a slot right for the length and generation in it, as far as the slot has enough bytes."""
    length, generation = u32(slot, 4), u64(slot, 8)
    return put(slot, 16, le64(xxh3(slot[24 : 24 + length], generation)))


def with_length(length):
    return lambda slot: resum(put(slot, 4, le32(length)))


def with_generation(generation):
    return lambda slot: resum(put(slot, 8, le64(generation)))


def with_seedless_sum(slot):
    return put(slot, 16, le64(xxh3(slot[24 : 24 + u32(slot, 4)])))


# Ways to make a slot invalid: name, comment, edit. Those in ONLY_AB need slots of 4096 bytes with padding.
SLOT_FAULTS = {
    "magic": ("magic", lambda s: flip(s, 3)),
    **{f"length-{n}": (f"length {n}", with_length(n)) for n in (0, 1, 4073, 2**31, 2**32 - 1)},
    "generation-0": ("generation 0", with_generation(0)),
    "generation-2p53": (f"generation {2**53}", with_generation(2**53)),
    "generation-2p64-1": (f"generation {2**64 - 1}", with_generation(2**64 - 1)),
    "generation-sum": ("another generation under the old sum", lambda s: put(s, 8, le64(3))),
    "sum": ("sum", lambda s: flip(s, 23, 7)),
    "sum-seedless": ("sum without the generation as seed", with_seedless_sum),
    "jwe": ("a bit of the JWE", lambda s: flip(s, 300)),
    "padding-first": ("first byte of the padding", lambda s: flip(s, 24 + u32(s, 4))),
    "padding-last": ("last byte of the padding", lambda s: flip(s, -1)),
}
ONLY_AB = ("length-4073", "padding-first", "padding-last")


def golden_slots(vector):
    core = make_core(100, 1)
    old, new = make_jwe(core), make_jwe(core, gen=2)
    old_slot, new_slot = build_slot(1, old, 4096), build_slot(2, new, 4096)
    only_second = make_jwe(core, to=("kek2",))

    def golden(name, comment, blob, envelope=None):
        vector(f"ok-{name}", comment, blob, core.plain, envelope)

    golden("ab-a-newer", "slot A has the next generation", ab(core, new, old, 2, 1))
    text = "slot A, generation 1, is for another key; slot B, generation 2, counts"
    golden("ab-b-newer-only-b-fits", text, ab(core, only_second, new, 1, 2))
    text = "equal generations, different bytes: slot A "
    golden("ab-tie-first", text + "opens, B is for another key", ab(core, old, only_second))
    golden("ab-tie-second", text + "is for another key, B opens", ab(core, only_second, old))
    golden("ab-tie-first-not-authentic", text + "is not authentic, B opens", ab(core, bad_tag(old), old))
    golden("ab-tie-first-no-json", text + "is no JSON, B opens", ab(core, b"{", old))

    # A reader that takes slot A for valid would refuse the blob, because slot A is newer and for another key.
    other_slot = build_slot(2, make_jwe(core, gen=2, to=("kek2",)), 4096)
    for name in ("magic", "length-4073", "sum", "padding-first", "padding-last"):
        comment, edit = SLOT_FAULTS[name]
        text = f"slot A, newer and for another key, is not valid ({comment}), B is"
        golden(f"ab-a-invalid-{name}", text, attached(core, [edit(other_slot), old_slot]))
    empty = build_slot(2, b"", 4096)
    text = "slot A, newer, is not valid (length 0), B is"
    golden("ab-a-invalid-length-0", text, attached(core, [empty, old_slot]))
    torn = new_slot[:600] + old_slot[600:]
    text = "slot B, newer, is not valid (half of it is as it was before)"
    golden("ab-b-invalid-torn", text, attached(core, [old_slot, torn]))

    broken = build_slot(1, b"?", 4096)
    text = "an envelope that is named takes the place of the frame's, whose slots are then not looked at"
    golden("named-envelope", text, attached(core, [flip(broken, 0), broken]), old)


def slot_faults(vector):
    core = make_core(1)
    jwe = make_jwe(core)
    slot, slot_ab = build_slot(1, jwe), build_slot(1, jwe, 4096)

    def one_slot(name, comment, slot):
        vector(f"damaged-slot-{name}", f"compact, {comment}", attached(core, [slot]))

    def two_slots(name, comment, *slots):
        vector(name, f"A/B, {comment}", attached(core, slots))

    for name, (comment, edit) in SLOT_FAULTS.items():
        if name not in ONLY_AB:
            one_slot(name, f"slot not valid: {comment}", edit(slot))
    one_slot("length-less-1", "slot not valid: length less by 1", with_length(len(jwe) - 1)(slot))
    one_slot("length-more-1", "slot not valid: length more by 1", with_length(len(jwe) + 1)(slot))
    one_slot("padding", "a zero byte after the JWE", slot + b"\0")
    one_slot("all-zero", "the slot is all zero", bytes(len(slot)))
    broken = flip(slot_ab, 0)
    two_slots("damaged-ab-both-magic", "both slots not valid: magic", broken, broken)
    two_slots("damaged-ab-both-zero", "both slots not valid: all zero", bytes(4096), bytes(4096))

    # Valid slots whose content must be refused.
    whole = with_length(4072)(slot_ab)
    text = "the length of the JWE takes in the padding, so zero bytes follow the JSON"
    two_slots("format-slot-length-capacity", text, whole, whole)
    vector("format-slot-no-json", "compact, a slot of one byte that is no JSON", compact(core, b"{"))
    for gen in (2, MAX_INT):
        vector(f"format-slot-generation-{gen}", f"bs.gen is 1, that of the slot {gen}", compact(core, jwe, gen))
    vector("format-slot-generation-lower", "bs.gen is 3, that of the slot 2", compact(core, make_jwe(core, gen=3), 2))

    def newest(name, comment, jwe_b):
        vector(name, f"A/B, slot B is newer and {comment}", ab(core, jwe, jwe_b, 1, 2))

    newest("format-ab-newest-generation", "says another generation than its envelope", jwe)
    newest("auth-ab-newest", "not authentic: no falling back to A", bad_tag(make_jwe(core, gen=2)))
    newest("format-ab-newest-no-json", "no JSON", b"{}}")
    other = make_core(1, seed="other")
    newest("format-ab-newest-other-blob", "holds the envelope of another blob", make_jwe(other, gen=2))
    newest("no-key-ab-newest", "for another key, A would open", make_jwe(core, gen=2, to=("kek2",)))
    unsupported = make_jwe(core, gen=2, edit_protected=inside("bs", setting(v=2)))
    newest("unsupported-ab-newest", "of another version", unsupported)
    text = "A/B, equal generations, different bytes, neither is authentic"
    vector("auth-ab-tie", text, ab(core, bad_tag(jwe), bad_tag(make_jwe(core))))


# ---- Frame -------------------------------------------------------


def frame_header_faults(vector):
    core = make_core(1)
    jwe = make_jwe(core)
    slot, slot_ab = build_slot(1, jwe), build_slot(1, jwe, 4096)
    capacity = len(slot)

    def single(name, comment, edit_header):
        vector(name, comment, attached(core, [slot], edit_header))

    def double(name, comment, edit_header):
        vector(name, comment, attached(core, [slot_ab, slot_ab], edit_header))

    def flipped(at, size):
        return lambda header: fixed(at, flip(header, at)[at : at + size])(header)

    for at in (0, 3, 7):
        single(f"format-frame-magic-{at}", f"byte {at} of the magic of the frame", flipped(at, 1))
    for version in (0, 2):
        single(f"unsupported-frame-version-{version}", f"frame version {version}", fixed(8, bytes([version])))
    text = "frame version 2, and a sum that this version would call wrong: the version is looked at first"
    single("unsupported-frame-version-2-sum", text, lambda h: put(h, 8, b"\2"))
    single("unsupported-frame-layer-2", "layer 2", fixed(9, b"\2"))
    for layer in (0, 3, 255):
        single(f"unsupported-frame-layer-{layer}", f"frame layer {layer}", fixed(9, bytes([layer])))
    text = "layer 2, and every other field is impossible for this version: later versions are never taken for damage"
    single("unsupported-frame-layer-2-fields", text, fixed(9, b"\2\7\1" + bytes(12) + b"\1" * 32))
    for slots in (0, 2, 3, 255):
        single(f"format-frame-slots-{slots}", f"compact frame that says {slots} slots", fixed(10, bytes([slots])))
    double("format-frame-ab-slots-1", "A/B frame that says 1 slot", fixed(10, b"\1"))
    for at in (11, 40, 55):
        single(f"format-frame-zero-{at}", f"zero byte {at} of the frame header", fixed(at, b"\1"))
    single("damaged-frame-sum", "checksum of the frame header", lambda h: flip(h, 63))
    single("damaged-frame-blob-id-sum", "a bit of the blob id of the frame decayed", lambda h: flip(h, 24))
    single("format-frame-blob-id", "blob id of the frame", flipped(24, 16))

    extremes = (0, 1, 2**31, 2**32 - 1)
    for value in (*extremes, 63, 65, 4096):
        single(f"format-frame-offset-{value}", f"compact, slot offset {value}", fixed(12, le32(value)))
    double("format-frame-ab-offset-8192", "A/B, slot offset 8192", fixed(12, le32(8192)))
    for value in (*extremes, 24, 65536, 65537):
        single(f"format-frame-capacity-{value}", f"compact, slot capacity {value}", fixed(16, le32(value)))
    # The frame length agrees, so that only the capacity is over its limit, and a reader must check it before reading
    # that much.
    for value in (65537, 2**31, 2**32 - 65):
        text = f"compact, slot capacity {value}, the frame length agrees"
        single(f"format-frame-capacity-{value}-fit", text, fixed(16, le32(value) + le32(64 + value)))
    double("format-frame-ab-capacity-4095", "A/B, slot capacity 4095", fixed(16, le32(4095)))
    fit = fixed(16, le32(69632) + le32(4096 + 2 * 69632))
    double("format-frame-ab-capacity-69632-fit", "A/B, slot capacity 69632, the frame length agrees", fit)
    right = 64 + capacity
    for name, value in (*((n, n) for n in extremes), ("less-1", right - 1), ("more-1", right + 1)):
        single(f"format-frame-length-{name}", "compact, wrong frame length", fixed(20, le32(value)))
    double("format-frame-ab-length-12289", "A/B, frame length 12289", fixed(20, le32(12289)))
    # Two capacities of 2^31 result, modulo 2^32, in a frame length of 4096.
    overflow = fixed(16, le32(2**31) + le32(4096))
    double("format-frame-ab-length-overflow", "A/B, a frame length that overflows 32 bits", overflow)

    # The whole frame is consistent, but the capacity or the offset is not allowed.
    for size in (2048, 4097):
        odd = build_slot(1, jwe, size)
        vector(f"format-ab-slots-of-{size}", f"A/B with slots of {size} bytes", attached(core, [odd, odd]))
    header = build_frame(core.blob_id, [slot])[:64]
    shifted = fixed(12, le32(72) + le32(capacity) + le32(72 + capacity))(header) + bytes(8) + slot
    vector("format-compact-offset-72", "compact, the slot begins at byte 72", shifted + core.raw)
    header = build_frame(core.blob_id, [slot_ab, slot_ab])[:64]
    shifted = fixed(12, le32(64) + le32(4096) + le32(64 + 8192))(header) + slot_ab + slot_ab
    vector("format-ab-offset-64", "A/B, slot A begins at byte 64", shifted + core.raw)

    text = "a sound envelope is named, but the frame header is not"
    for name, comment, edit in (
        ("format-named-envelope-frame", text, fixed(55, b"\1")),
        ("damaged-named-envelope-frame", text + " (sum)", lambda h: flip(h, 60)),
    ):
        vector(name, comment, attached(core, [slot], edit), envelope=jwe)


def frame_faults(vector):
    """Faults in the frame after its header, and in the bytes before or after the frame."""
    core = make_core(1)
    jwe = make_jwe(core)
    slot, slot_ab = build_slot(1, jwe), build_slot(1, jwe, 4096)
    blob, blob_ab = attached(core, [slot]), attached(core, [slot_ab, slot_ab])
    end = 64 + len(slot)
    frame = blob[:end]

    for at in (64, 4095):
        text = f"byte {at}, between frame header and slots, is not zero"
        vector(f"format-frame-padding-{at}", text, flip(blob_ab, at))

    # Truncation.
    for length in (8, 63):
        vector(f"damaged-cut-frame-header-{length}", f"cut after {length} bytes, in the frame header", blob[:length])
    vector("damaged-cut-after-frame-header", "cut after the frame header", blob[:64])
    vector("damaged-cut-in-slot-header", "cut in the header of the slot", blob[:80])
    vector("damaged-cut-in-slot", "cut in the slot", blob[: end - 1])
    vector("damaged-cut-at-frame-end", "cut at the end of the frame", frame)
    in_header, after_magic = "cut in the core header, ", "cut after the magic of the core, "
    vector("damaged-cut-in-core-header", in_header + "attached", blob[: end + 95])
    vector("damaged-cut-after-core-magic", after_magic + "attached", blob[: end + 8])
    vector("damaged-cut-in-core-header-detached", in_header + "detached", core.raw[:95], envelope=jwe)
    vector("damaged-cut-after-core-magic-detached", after_magic + "detached", core.raw[:8], envelope=jwe)
    vector("damaged-cut-ab-padding", "A/B, cut before the slots", blob_ab[:2000])
    vector("damaged-cut-ab-slot-a", "A/B, cut in slot A", blob_ab[:5000])
    vector("damaged-cut-ab-slot-b", "A/B, cut in slot B, with slot A whole", blob_ab[:9000])

    # Bytes after the frame and before it.
    vector("format-second-frame", "a frame after the frame", frame + blob)
    layer_2 = fixed(9, b"\2")(frame[:64]) + frame[64:]
    vector("unsupported-two-frames", "two frames, that of layer 2 first, as it must be", layer_2 + blob)
    vector("format-two-frames-layer-1-first", "two frames, that of layer 1 first", frame + layer_2 + core.raw)
    text = "version 2, cut in the header, which is longer than this version knows or shorter"
    vector("unsupported-frame-version-2-cut", text, put(blob, 8, b"\2")[:40])
    vector("format-core-missing", "bytes after the frame that are no core", frame + bytes(200))
    vector("format-leading-byte", "a byte before the frame", b"\0" + blob)
    vector("format-empty-file", "an empty file", b"")
    vector("format-short-file", "the first 7 bytes of the magic", blob[:7])
    vector("format-text-file", "a text", b"This is not a blob, but it is longer than 96 bytes.\n" * 3)
    vector("format-jwe-as-blob", "an envelope in place of the blob", jwe)
    other = make_core(1, seed="other")
    other_frame = compact(other, make_jwe(other))[: -len(other.raw)]
    vector("format-frame-of-another-blob", "the frame of another blob", other_frame + core.raw)
    text = "the envelope of another blob"
    vector("format-envelope-of-another-blob", text + " in the slot", compact(core, make_jwe(other)))
    vector("format-envelope-of-another-blob-detached", text, core.raw, envelope=make_jwe(other))
