# SPDX-License-Identifier: Apache-2.0
"""Vectors for section 3.1 of core/FORMAT.md: compressed content. All of them are authentic."""

import struct

import xxhash
from ref_conventions import le32, u32
from ref_zstd import FRAME_MAGIC, SEEKABLE_MAGIC, TABLE_MAGIC, make_frame, make_table, make_zstd
from vector_parts import ab, compact, flip, make_jwe, make_zstd_core, plaintext, put

MIB = 1024 * 1024
SINGLE = 0x20  # a bit of the descriptor: no window, and the content size is present
SIZE_1, SIZE_2, SIZE_4, SIZE_8 = 0x00, 0x40, 0x80, 0xC0
CHECKSUM, RESERVED = 0x04, 0x08
RAW, RLE, PACKED, RESERVED_TYPE = 0, 1, 2, 3


# ---- Frames made by hand -----------------------------------------


def block(data, size=None, kind=RAW, last=True):
    header = (len(data) if size is None else size) << 3 | kind << 1 | int(last)
    return header.to_bytes(3, "little") + data


def frame(descriptor, size, blocks, window=b""):
    return le32(FRAME_MAGIC) + bytes([descriptor]) + window + size + blocks


def small_frame(content):
    """Return the simplest frame, with up to 255 bytes of content."""
    return frame(SINGLE | SIZE_1, bytes([len(content)]), block(content))


def full_frame(byte=b"x", block_size=131072):
    """Return a frame with 1 MiB of content, which takes a few bytes; how many depends on the size of the blocks."""
    number = MIB // block_size
    blocks = b"".join(block(byte, block_size, RLE, last=i == number - 1) for i in range(number))
    return frame(SINGLE | SIZE_4, le32(MIB), blocks)


def with_table(frames, contents):
    """Return a zstd file whose table states these content sizes for the frames."""
    return b"".join(frames) + make_table([(len(f), size) for f, size in zip(frames, contents)])


def skippable(data, magic=0x184D2A50):
    return le32(magic) + le32(len(data)) + data


# ---- Vectors -----------------------------------------------------


def sealed(vector, name, comment, stored, plain=b"", segments=1, layout=compact):
    core = make_zstd_core(stored, plain, segments)
    jwe = make_jwe(core)
    if layout is None:
        vector(name, comment, core.raw, plain, envelope=jwe)
    else:
        vector(name, comment, layout(core, jwe), plain)


def golden_zstd(vector):
    def golden(name, comment, stored, plain, **how):
        sealed(vector, f"ok-zstd-{name}", comment, stored, plain, **how)

    text = (b"Compress first, then seal. " * (MIB // 27 + 2))[: MIB + 1]
    for size in (0, 1, 100, MIB - 1, MIB, MIB + 1):
        golden(str(size), f"zstd, {size} bytes", make_zstd(text[:size]), text[:size])
    golden("bare", "zstd, bare", make_zstd(text[:5000]), text[:5000], segments=0)
    golden("ab", "zstd, A/B", make_zstd(text[:5000]), text[:5000], layout=ab)
    golden("detached", "zstd, detached", make_zstd(text[:5000]), text[:5000], layout=None)
    noise = plaintext(16349)
    stored = with_table([frame(SINGLE | SIZE_2, struct.pack("<H", 16349 - 256), block(noise))], (16349,))
    golden("one-chunk", "a zstd file of exactly one chunk, so that the last one is empty", stored, noise)

    # Valid files that other writers may produce.
    frames = [full_frame(b"x"), full_frame(b"y", 65536), small_frame(b"end")]
    stored = with_table(frames, (MIB, MIB, 3))
    golden("full-frames", "two full frames and one that is not", stored, b"x" * MIB + b"y" * MIB + b"end")
    stored = with_table(frames[:2], (MIB, MIB))
    golden("last-full", "two full frames and no other", stored, b"x" * MIB + b"y" * MIB)
    window = frame(SIZE_4, le32(100), block(text[:100]), bytes([13 << 3]))
    golden("window", "a frame with a window of 8 MiB", with_table([window], (100,)), text[:100])
    wide = frame(SINGLE | SIZE_8, struct.pack("<Q", 100), block(text[:100]))
    golden("size-8", "the size of the content in 8 bytes", with_table([wide], (100,)), text[:100])
    unused = frame(SINGLE | 0x10, bytes([100]), block(text[:100]))
    golden("unused-bit", "the unused bit of the descriptor is set", with_table([unused], (100,)), text[:100])
    blocks = block(b"x", 70000, RLE, False) + block(b"", last=False) + block(b"y", 58, RLE, False) + block(b"")
    several = frame(SINGLE | SIZE_4, le32(70058), blocks)
    golden("blocks", "blocks of other types, and empty ones", with_table([several], (70058,)), b"x" * 70000 + b"y" * 58)


def frame_faults(vector):
    content = plaintext(100)
    good = small_frame(content)

    def fault(name, comment, bad, size=100):
        """Write a frame with a fault as the last of two, with a table that agrees with both."""
        sealed(vector, f"format-zstd-frame-{name}", comment, with_table([full_frame(), bad], (MIB, size)))

    small, almost = small_frame(content), frame(SINGLE | SIZE_4, le32(MIB - 1), block(b"x", MIB - 1, RLE))
    for name, comment, frames, sizes in (
        ("first", "the first of two frames is not full", [small, small], (100, 100)),
        ("first-full-last", "a frame that is not full before one that is", [small, full_frame()], (100, MIB)),
        ("middle", "the second of three frames is not full", [full_frame(), small, full_frame()], (MIB, 100, MIB)),
        ("byte", "the first of two frames lacks a byte", [almost, small], (MIB - 1, 100)),
    ):
        sealed(vector, f"format-zstd-not-full-{name}", comment, with_table(frames, sizes))

    raw = block(content)
    fault("no-content-size", "no content size", frame(SIZE_1, b"", raw, bytes([0])))
    fault("content-size-less", "content size and entry say one byte too few", frame(SINGLE, bytes([99]), raw), 99)
    fault("content-size-more", "content size and entry say one byte too many", frame(SINGLE, bytes([101]), raw), 101)
    rle = block(b"x", 200, RLE)
    fault("bomb-rle", "a block of 200 bytes where the content has 100", frame(SINGLE, bytes([100]), rle))
    bombs = b"".join(block(b"x", 131072, RLE, False) for _ in range(300)) + block(b"")
    fault("bomb-blocks", "blocks of 37 MiB where the content has 1 MiB", frame(SINGLE | SIZE_4, le32(MIB), bombs), MIB)
    size = struct.pack("<Q", 1 << 40)
    fault("bomb-2-40", "a frame that says 2^40", frame(SINGLE | SIZE_8, size, block(b"x", 131072, RLE)), MIB)
    size = struct.pack("<Q", (1 << 64) - 1)
    fault("bomb-2-64", "a frame that says 2^64 - 1", frame(SINGLE | SIZE_8, size, block(b"x", 131072, RLE)), MIB)
    fault("large-content", "a content of 1 MiB and a byte", make_frame(bytes(MIB + 1)), MIB + 1)
    fault("empty-content", "a frame without content", frame(SINGLE, b"\0", block(b"")), 0)
    fault("dictionary", "a dictionary id", frame(SINGLE | 1, b"\7" + bytes([100]), raw))
    fault("dictionary-0", "a dictionary id of zero", frame(SINGLE | 1, b"\0" + bytes([100]), raw))
    summed = frame(SINGLE | CHECKSUM, bytes([100]), raw) + low_xxh64(content)
    fault("frame-checksum", "a checksum, which is right", summed)
    fault("reserved-bit", "the reserved bit of the descriptor", frame(SINGLE | RESERVED, bytes([100]), raw))
    window = bytes([13 << 3 | 1])
    fault("window-9-mib", "a window of 9 MiB", frame(SIZE_4, le32(100), raw, window))
    window = bytes([21 << 3])
    fault("window-2-gib", "a window of 2 GiB", frame(SIZE_4, le32(100), raw, window))
    fault("window-most", "the largest window there is", frame(SIZE_4, le32(100), raw, b"\xff"))
    fault("reserved-block", "a block of the reserved type", frame(SINGLE, bytes([100]), block(content, kind=RESERVED_TYPE)))
    fault("broken-block", "a block that does not decompress", frame(SINGLE, bytes([100]), block(bytes(20), kind=PACKED)))
    fault("cut", "a frame without its last block", frame(SINGLE, bytes([100]), block(content, last=False)))
    fault("cut-block", "a block that ends behind its frame", frame(SINGLE, bytes([100]), block(content, 20000)))
    fault("magic", "the magic of a frame", flip(good, 0))
    fault("legacy", "a frame of zstd 0.7", le32(0xFD2FB527) + good[4:])
    fault("empty-window", "no content size and an empty content", frame(SIZE_1, b"", block(b""), bytes([0])), 0)


def low_xxh64(data):
    return le32(xxhash.xxh64_intdigest(data) & 0xFFFFFFFF)


def entry_faults(vector):
    a, b, c = full_frame(), full_frame(b"y", 65536), small_frame(plaintext(90))
    right = (len(a), MIB), (len(b), MIB), (len(c), 90)

    def fault(name, comment, stored):
        sealed(vector, f"format-zstd-entry-{name}", comment, stored)

    def entries(*pairs):
        return a + b + c + make_table(pairs)

    fault("content-of-last", "an entry says another content than its frame", entries(*right[:2], (len(c), 89)))
    fault("border-moved", "a border a byte too far", entries((len(a) + 1, MIB), (len(b) - 1, MIB), right[2]))
    fault("swapped", "two entries swapped", entries(right[1], right[0], right[2]))
    fault("lacking", "a frame without an entry", entries(right[0], right[2]))
    fault("added", "an entry without a frame", entries(*right, right[2]))
    fault("two-frames", "an entry for two frames", entries((len(a) + len(b), MIB), right[2]))
    fault("zeros", "an entry of zeros", entries(right[0], (0, 0), *right[1:]))
    fault("frame-4-gib", "an entry for a frame of 4 GiB", entries((2**32 - 1, MIB), *right[1:]))
    fault("overflow", "sizes that fit modulo 2^32", entries((2**32 - 8, MIB), ((len(a) + len(b) + 8) % 2**32, MIB), right[2]))
    fault("content-4-gib", "an entry for a content of 4 GiB", entries((len(a), 2**32 - 1), *right[1:]))
    between, table = skippable(b"between"), make_table(right)
    fault("zeros-between", "zeros between two frames", a + bytes(10) + b + c + table)
    fault("skippable-between", "a skippable frame without an entry", a + between + b + c + table)
    counted = make_table([right[0], (len(between), 0), *right[1:]])
    fault("skippable-counted", "a skippable frame with an entry of its own", a + between + b + c + counted)
    inside = make_table([(len(a) + len(between), MIB), *right[1:]])
    fault("skippable-inside", "a skippable frame in the entry of another", a + between + b + c + inside)
    fault("skippable-start", "a skippable frame at the start", between + a + b + c + table)
    fault("skippable-end", "a skippable frame before the seek table", a + b + c + between + table)


def table_faults(vector):
    content = plaintext(100)
    good = small_frame(content)
    table = make_table([(len(good), 100)])

    def fault(name, comment, stored):
        sealed(vector, f"format-zstd-{name}", comment, stored)

    def edited(name, comment, new_table):
        fault(name, comment, good + new_table)

    fault("nothing", "no byte at all, not even a table", b"")
    fault("no-table", "a frame and no seek table", good)
    fault("short", "8 bytes", table[-8:])
    fault("footer-alone", "the footer of an empty table alone", make_table([])[-9:])
    fault("table-cut", "the seek table without its last byte", (good + table)[:-1])
    fault("table-first", "the seek table before the frame", table + good)
    edited("two-tables", "two seek tables", table + table)
    edited("two-tables-empty", "an empty seek table behind the right one", table + make_table([]))
    edited("trailing-byte", "a byte behind the seek table", table + b"\0")
    edited("trailing-frame", "a frame behind the seek table", table + good)
    edited("trailing-skippable", "a skippable frame behind the seek table", table + skippable(b""))
    sums = le32(TABLE_MAGIC) + le32(12 + 9) + table[8:16] + low_xxh64(content)
    footer = b"\x80" + le32(SEEKABLE_MAGIC)
    edited("table-checksums", "a seek table with checksums", sums + le32(1) + footer)
    edited("table-checksums-flag", "the flag alone", put(table, -5 % len(table), b"\x80"))
    for bit in (0, 2):
        edited(f"table-bit-{bit}", "another bit of the descriptor", flip(table, -5, bit))
    edited("table-magic", "a skippable frame of another number", put(table, 0, le32(0x184D2A50)))
    edited("table-magic-end", "the magic of the footer", flip(table, -1))
    edited("table-size-more", "the size of the seek table", put(table, 4, le32(u32(table, 4) + 8)))
    edited("table-size-less", "the size of the seek table", put(table, 4, le32(9)))
    for number in (0, 2, 3, 2**20 + 1, 2**29, 2**32 - 1):
        wrong = put(table, len(table) - 9, le32(number))
        edited(f"table-count-{number}", f"a seek table that says {number} frames", wrong)
    fault("empty-count-1", "no frame, and a footer that says one", put(make_table([]), 8, le32(1)))
