# SPDX-License-Identifier: Apache-2.0
"""Section 3.1 of core/FORMAT.md: content that is compressed before it is sealed.

This code checks the headers and blocks of frames, and the library gets one whole frame at a time.
"""

import struct

import zstandard
from ref_conventions import le32, refuse_unless, u32

MAX_CONTENT = 1048576
MAX_FRAME = 1052672
MAX_WINDOW = 8 << 20
MAX_FRAMES = 2**20  # a limit of this reader
FRAME_MAGIC = 0xFD2FB528
TABLE_MAGIC = 0x184D2A5E
SEEKABLE_MAGIC = 0x8F92EAB1
RESERVED_BLOCK = 3
RLE_BLOCK = 1


def refuse_format_unless(condition, why):
    refuse_unless(condition, "format", "zstd content: " + why)


# ---- Frames ------------------------------------------------------


class Header:
    """Parse the header of the frame at `at`; return where its blocks start, and the size of its content."""

    def __init__(self, data, at):
        refuse_format_unless(len(data) - at >= 5 and u32(data, at) == FRAME_MAGIC, "no frame where one belongs")
        descriptor = data[at + 4]
        single = descriptor >> 5 & 1
        size = {0: single, 1: 2, 2: 4, 3: 8}[descriptor >> 6]
        refuse_format_unless(descriptor & 3 == 0, "dictionary")
        refuse_format_unless(descriptor & 4 == 0, "checksum of a frame")
        refuse_format_unless(descriptor & 8 == 0, "reserved bit")
        refuse_format_unless(size > 0, "no content size")
        self.blocks = at + 5 + (1 - single) + size
        refuse_format_unless(self.blocks <= len(data), "cut in the header of a frame")
        if not single:
            exponent, mantissa = divmod(data[at + 5], 8)
            window = (1 << 10 + exponent) // 8 * (8 + mantissa)
            refuse_format_unless(window <= MAX_WINDOW, "window")
        self.content = int.from_bytes(data[self.blocks - size : self.blocks], "little") + (256 if size == 2 else 0)
        refuse_format_unless(1 <= self.content <= MAX_CONTENT, "content size")


def frame_end(data, at):
    last = False
    while not last:
        refuse_format_unless(at + 3 <= len(data), "cut in a block header")
        header = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        refuse_format_unless(kind != RESERVED_BLOCK, "reserved type of a block")
        at += 3 + (1 if kind == RLE_BLOCK else size)
    refuse_format_unless(at <= len(data), "cut in a block")
    return at


def open_frame(data, at, stored, content):
    """Return the content of the frame at `at`, which must be `stored` bytes long and contain `content` bytes."""
    header = Header(data, at)
    refuse_format_unless(frame_end(data, header.blocks) == at + stored, "an entry is not one frame")
    refuse_format_unless(header.content == content, "an entry does not match its frame")
    try:
        plain = zstandard.ZstdDecompressor().decompress(data[at : at + stored])
    except zstandard.ZstdError:
        plain = b""
    refuse_format_unless(len(plain) == content, "a frame does not decompress")
    return plain


# ---- The file ----------------------------------------------------


def read_table(data):
    """Return the entries, as (stored bytes, content bytes) pairs."""
    refuse_format_unless(len(data) >= 17 and u32(data, len(data) - 4) == SEEKABLE_MAGIC, "no seek table")
    refuse_format_unless(data[-5] == 0, "descriptor of the seek table")
    number = u32(data, len(data) - 9)
    start = len(data) - 17 - 8 * number
    refuse_format_unless(start >= 0, "number of entries")
    refuse_unless(number <= MAX_FRAMES, "limit", "too many frames for this reader")
    refuse_format_unless(u32(data, start) == TABLE_MAGIC, "magic of the seek table")
    refuse_format_unless(u32(data, start + 4) == 8 * number + 9, "size of the seek table")
    entries = list(struct.iter_unpack("<II", data[start + 8 : -9]))
    for stored, content in entries:
        refuse_format_unless(1 <= stored <= MAX_FRAME and 1 <= content <= MAX_CONTENT, "size in an entry")
    refuse_format_unless(all(content == MAX_CONTENT for _, content in entries[:-1]), "a frame that is not full")
    refuse_format_unless(sum(stored for stored, _ in entries) == start, "sizes of the frames")
    return entries


def open_zstd(data):
    at, plain = 0, []
    for stored, content in read_table(data):
        plain.append(open_frame(data, at, stored, content))
        at += stored
    return b"".join(plain)


def make_table(entries):
    body = b"".join(le32(stored) + le32(content) for stored, content in entries)
    footer = le32(len(entries)) + b"\0" + le32(SEEKABLE_MAGIC)
    return le32(TABLE_MAGIC) + le32(len(body) + len(footer)) + body + footer


def make_frame(content):
    return zstandard.ZstdCompressor(write_content_size=True, write_checksum=False).compress(content)


def make_zstd(content):
    pieces = [content[at : at + MAX_CONTENT] for at in range(0, len(content), MAX_CONTENT)]
    frames = [make_frame(piece) for piece in pieces]
    return b"".join(frames) + make_table([(len(frame), len(piece)) for frame, piece in zip(frames, pieces)])
