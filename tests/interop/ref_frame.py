# SPDX-License-Identifier: Apache-2.0
"""Section 5 of core/FORMAT.md: the envelope frame and its slots."""

from dataclasses import dataclass

from ref_conventions import MAX_INT, le32, le64, refuse_unless, u32, u64, with_sum, xxh3

FRAME_MAGIC = bytes.fromhex("8942534B0D0A1A0A")
FRAME_HEADER_SIZE = 64
SLOT_MAGIC = b"BSKS"
SLOT_HEADER_SIZE = 24
AB_SLOT_OFFSET = 4096
AB_CAPACITIES = range(4096, 65536 + 1, 4096)
AB_DEFAULT_CAPACITY = 16384
AB_FREE = 4096


@dataclass
class Frame:
    slots: int
    slot_offset: int
    capacity: int
    length: int
    blob_id: bytes


def parse_frame(data):
    refuse_unless(data[:8] == FRAME_MAGIC, "format", "no frame header")
    refuse_unless(len(data) > 8, "damaged", "cut in the frame header")
    refuse_unless(data[8] == 1, "unsupported", "frame version")
    refuse_unless(len(data) >= FRAME_HEADER_SIZE, "damaged", "cut in the frame header")
    refuse_unless(data[:64] == with_sum(data[:56]), "damaged", "checksum of the frame header")
    refuse_unless(data[9] == 1, "unsupported", "frame layer")
    refuse_unless(data[11] == 0 and data[40:56] == bytes(16), "format", "zero bytes of the frame header")
    frame = Frame(data[10], u32(data, 12), u32(data, 16), u32(data, 20), data[24:40])
    if frame.slots == 1:
        fits = frame.slot_offset == FRAME_HEADER_SIZE and SLOT_HEADER_SIZE < frame.capacity <= 65536
    else:
        fits = frame.slots == 2 and frame.slot_offset == AB_SLOT_OFFSET and frame.capacity in AB_CAPACITIES
    refuse_unless(fits, "format", "number, offset or capacity of the slots")
    refuse_unless(frame.length == frame.slot_offset + frame.slots * frame.capacity, "format", "frame length")
    refuse_unless(len(data) >= frame.length, "damaged", "cut in the frame")
    refuse_unless(not any(data[FRAME_HEADER_SIZE : frame.slot_offset]), "format", "zero bytes of the frame")
    return frame


def parse_slot(raw, compact):
    """Return (generation, JWE), or None for a slot that is not valid."""
    length, generation = u32(raw, 4), u64(raw, 8)
    if raw[:4] != SLOT_MAGIC or not 1 <= length <= len(raw) - SLOT_HEADER_SIZE or not 1 <= generation <= MAX_INT:
        return None
    jwe, after = raw[SLOT_HEADER_SIZE : SLOT_HEADER_SIZE + length], raw[SLOT_HEADER_SIZE + length :]
    if (compact and after) or any(after) or u64(raw, 16) != xxh3(jwe, generation):
        return None
    return generation, jwe


def valid_slots(data, frame):
    starts = [frame.slot_offset + i * frame.capacity for i in range(frame.slots)]
    slots = [parse_slot(data[at : at + frame.capacity], frame.slots == 1) for at in starts]
    slots = [slot for slot in slots if slot]
    refuse_unless(slots, "damaged", "no valid slot")
    return slots


def ab_capacity(jwe):
    """Return the capacity of a slot if the user chooses none, with room for later recipients."""
    wanted = -(-(SLOT_HEADER_SIZE + len(jwe) + AB_FREE) // 4096) * 4096
    return min(max(AB_DEFAULT_CAPACITY, wanted), AB_CAPACITIES[-1])


def build_slot(generation, jwe, capacity=None):
    head = SLOT_MAGIC + le32(len(jwe)) + le64(generation) + le64(xxh3(jwe, generation))
    return (head + jwe).ljust(capacity or 0, b"\x00")


def build_frame(blob_id, slots):
    """Build a frame from `slots`: one (compact) or two (A/B) slots of equal capacity, as bytes."""
    offset, capacity = (FRAME_HEADER_SIZE if len(slots) == 1 else AB_SLOT_OFFSET), len(slots[0])
    sizes = le32(offset) + le32(capacity) + le32(offset + len(slots) * capacity)
    head = FRAME_MAGIC + bytes([1, 1, len(slots), 0]) + sizes + blob_id + bytes(16)
    return with_sum(head).ljust(offset, b"\x00") + b"".join(slots)
