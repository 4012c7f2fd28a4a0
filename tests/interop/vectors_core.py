# SPDX-License-Identifier: Apache-2.0
"""Vectors for sections 2 and 3 of core/FORMAT.md: layouts and lengths, faults in core header and payload."""

import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from ref_conventions import le64, u64, xxh3
from ref_core import CHUNK, STORED_GROUP, chunk_nonce, core_context, derive, join_payload, segment_sum
from ref_core import STORED_CHUNK as STORED
from vector_parts import ab, compact, flip, make_core, make_jwe, plaintext, put, resummed

MIB = 1024 * 1024


def golden_layouts(vector):
    layouts = {"compact": compact, "ab": ab, "detached": lambda core, jwe: core.raw}

    def golden(name, comment, layout, size, segments, **how):
        core = make_core(size, segments)
        jwe = make_jwe(core)
        raw = layouts[layout](core, jwe, **how)
        vector(f"ok-{name}", comment, raw, core.plain, jwe if layout == "detached" else None)

    sizes = {
        "compact": ((0, 1), (0, 1, 100, 16384)),
        "ab": ((100,), ()),
        "detached": ((0, 1, 100), (0, 1, 100)),
    }
    for layout, layout_sizes in sizes.items():
        for segments, kind in ((0, "bare"), (1, "checksummed")):
            for size in layout_sizes[segments]:
                comment = f"{layout}, {kind}, {size} bytes, one recipient"
                golden(f"{layout}-{kind}-{size}", comment, layout, size, segments)
    golden("compact-checksummed-32768", "two full chunks and an empty one", "compact", 32768, 1)
    text = "one full segment, and one with an empty chunk"
    golden(f"compact-checksummed-{MIB}", text, "compact", MIB, 1)
    golden("ab-capacity-65536", "slots of the greatest capacity", "ab", 100, 0, capacity=65536)
    golden("ab-checksummed-0", "slots of 8192 bytes", "ab", 0, 1, capacity=8192)

    # With this base nonce, adding the number of a chunk causes a carry; XOR, which is right, does not.
    dek, blob_id = os.urandom(32), os.urandom(16)
    while True:
        salt = os.urandom(24)
        _, base_nonce, _ = derive(dek, core_context(0, blob_id), salt)
        if base_nonce[-1] == 0xFF:
            break
    core = make_core(16385, 0, dek, blob_id, salt)
    vector("ok-nonce-ff", "the base nonce ends in FF: XOR, not addition", compact(core, make_jwe(core)), core.plain)


def core_header_faults(vector):
    core = make_core(1)
    jwe = make_jwe(core)
    header, payload = core.header, core.payload

    def fault(name, comment, raw):
        """Write the core `raw` after the frame of the sound core."""
        vector(name, comment, compact(core, jwe)[: -len(core.raw)] + raw)

    def detached_fault(name, comment, raw):
        vector(name, comment, raw, envelope=jwe)

    def edited(name, comment, new_header, add=fault):
        add(name, comment, resummed(new_header) + payload)

    def sealed_around(name, comment, core):
        """Write the core with an envelope that agrees with it."""
        vector(name, comment, compact(core, make_jwe(core)))

    def header_field(name, comment, at, new):
        """Change a field; keys and envelope agree with the header, so a reader that ignores it opens the blob."""
        context = put(core.context, at, new)
        _, _, commitment = derive(core.dek, context, core.salt)
        sealed_around(name, comment, core.sealed_anew(context + core.salt + commitment + bytes(8)))

    edited("format-core-magic", "core magic behind a frame", flip(header, 0))
    for at in (0, 3, 4, 7):
        text = f"byte {at} of the magic of a detached core"
        edited(f"format-core-magic-detached-{at}", text, flip(header, at), detached_fault)
    header_field("unsupported-core-version-0", "core version 0", 8, b"\0")
    header_field("unsupported-core-version-2", "core version 2", 8, b"\2")
    text = "core version 2, and a sum that this version would call wrong: the version is looked at first"
    fault("unsupported-core-version-2-sum", text, put(core.raw, 8, b"\2"))
    fault("damaged-core-sum", "checksum of the core header", flip(core.raw, 88))
    fault("damaged-core-salt-sum", "a bit of the salt decayed", flip(core.raw, 40))
    fault("damaged-core-suite-sum", "the suite byte decayed: the checksum is looked at first", put(core.raw, 9, b"\3"))
    for field, at, values in (("suite", 9, (0, 2, 3, 255)), ("content", 10, (1, 2, 255)), ("segments", 11, (2, 255))):
        for value in values:
            header_field(f"unsupported-core-{field}-{value}", f"{field} {value}", at, bytes([value]))
    text = "suite {}, content {} and segments {}, and bytes 12 to 15 are not zero: a later version is never taken for damage"
    for suite, content, segments in ((2, 0, 0), (1, 2, 0), (1, 0, 2), (1, 1, 3), (255, 255, 255)):
        name = f"unsupported-core-{suite}-{content}-{segments}-zero"
        values = bytes([suite, content, segments]) + b"\1\2\3\4"
        header_field(name, text.format(suite, content, segments), 9, values)
    text = "core version 2, cut in the header"
    detached_fault("unsupported-core-version-2-cut", text, put(core.raw, 8, b"\2")[:40])
    for at in (12, 15):
        header_field(f"format-core-zero-{at}", f"zero byte {at} of the core header", at, b"\1")
    edited("format-core-blob-id", "blob id of the core other than that of frame and envelope", flip(header, 31))
    text = "blob id of the core other than that of the envelope"
    edited("format-core-blob-id-detached", text, flip(header, 16), detached_fault)
    text = "zero byte 12 of the core header, edited after sealing"
    edited("format-core-zero-edited", text, put(header, 12, b"\1"))
    edited("unsupported-core-suite-edited", "suite 2, edited after sealing", put(header, 9, b"\2"))
    edited("auth-core-salt", "a bit of the salt", flip(header, 32))
    edited("auth-core-commitment", "a bit of the commitment", flip(header, 87))

    for name, segments in (("bare-to-checksummed", 0), ("checksummed-to-bare", 1)):
        other = make_core(1, segments)
        stored = other.payload[:-8] if segments else other.payload
        relabelled = put(other.header, 11, bytes([1 - segments]))
        raw = resummed(relabelled) + join_payload(stored, 1 - segments, other.blob_id)
        frame = compact(other, make_jwe(other))[: -len(other.raw)]
        vector(f"auth-core-{name}", f"relabelled {name.replace('-', ' ')}, the sums made to fit", frame + raw)

    # The envelope agrees with the wrong header, so only the commitment can show the fault.
    for name, at in (("salt", 33), ("commitment", 56), ("commitment-last", 87)):
        text = f"a bit of the {name.split('-')[0]}, with an envelope that agrees: the commitment does not match"
        sealed_around(f"auth-commitment-by-{name}", text, core.with_header(flip(header, at)))
    # The chunk opens; only the commitment is wrong.
    text = "a commitment of zeros in header and envelope"
    sealed_around("auth-commitment-zero", text, core.sealed_anew(put(header, 56, bytes(32))))

    other = make_core(1, seed="other")
    fault("format-core-header-of-another-blob", "the core header of another blob", other.header + payload)
    twin = make_core(1, blob_id=core.blob_id)
    text = "the core header of another blob with the same blob id"
    fault("auth-core-header-same-blob-id", text, twin.header + payload)
    fault("auth-core-same-blob-id", "the whole core of another blob with the same blob id", twin.raw)
    twin = make_core(1, dek=core.dek, blob_id=core.blob_id)
    fault("auth-core-same-blob-id-and-dek", "the core of another blob with the same blob id and DEK", twin.raw)


def payload_faults(vector):
    def fault(name, comment, core, payload):
        vector(name, comment, compact(core.with_raw(core.header + payload), make_jwe(core)))

    def both(name, comment, size, edit, refused="auth", kinds=("bare", "checksummed")):
        """Make the same change to the stored chunks of a bare and of a checksummed blob; recompute the checksums."""
        for kind in kinds:
            segments = int(kind == "checksummed")
            core = make_core(size, segments)
            stored = edit(core.payload[: len(core.payload) - 8 * segments])
            payload = join_payload(stored, segments, core.blob_id)
            fault(f"{refused}-{name}-{kind}", f"{comment}; {kind}", core, payload)

    bare, checksummed = ("bare",), ("checksummed",)

    # Tags.
    both("chunk-bit", "a bit of the only chunk", 100, lambda p: flip(p, 50))
    both("chunk-tag", "a bit of the tag of the only chunk", 100, lambda p: flip(p, -1))
    both("empty-chunk-tag", "a bit of the tag of an empty last chunk", 0, lambda p: flip(p, 3))
    both("first-chunk-bit", "a bit of the first of two chunks", 16385, lambda p: flip(p, 7), kinds=bare)

    # Lengths.
    both("cut-in-chunk", "cut in the only chunk", 100, lambda p: p[:80])
    both("cut-one-byte", "one byte cut off the end", 100, lambda p: p[:-1])
    both("cut-in-tag", "cut in the tag of the last chunk", 100, lambda p: p[:104])
    both("cut-in-full-chunk", "cut in the first of two chunks", 16385, lambda p: p[:1000])
    both("cut-to-15", "cut so that fewer bytes than a tag are left", 100, lambda p: p[:15], "damaged")
    both("cut-after-core-header", "no chunk at all", 100, lambda p: b"", "damaged")
    both("cut-at-chunk-border", "the last chunk cut off", 16385, lambda p: p[:STORED], "damaged", bare)
    both("append-1", "one byte behind the last chunk", 100, lambda p: p + b"\0")
    both("append-8", "8 bytes behind the last chunk", 100, lambda p: p + bytes(8))
    both("append-16", "16 bytes behind the last chunk", 100, lambda p: p + bytes(16))
    both("append-last-chunk", "the last chunk twice", 100, lambda p: p + p)
    core = make_core(100, 1)
    for left in (1, 7):
        fault(f"damaged-cut-in-sum-{left}", f"{left} bytes after the core header", core, core.payload[:left])
    fault("damaged-cut-sum-alone", "only 8 bytes after the core header", core, segment_sum(core.blob_id, 0, b""))
    core = make_core(16384, 1)
    fault("damaged-cut-last-sum", "the last sum is missing", core, core.payload[:-8])
    core = make_core(0, 1)
    fault("damaged-cut-last-sum-empty", "the only sum, after an empty chunk, is missing", core, core.payload[:-8])
    core = make_core(0, 1)
    fault("damaged-cut-last-sum-byte", "the last byte of the only sum is missing", core, core.payload[:-1])
    core = make_core(MIB + 1, 1)
    text = "cut between a full segment and the last one: all that is left is authentic"
    fault("damaged-cut-at-segment-border", text, core, core.payload[: STORED_GROUP + 8])

    # Order. The blob is 1 MiB and a few bytes long, so without its first segment it is small.
    def swapped(p):
        return p[STORED : 2 * STORED] + p[:STORED] + p[2 * STORED :]

    def repeated(p):
        return p[:STORED] * 2 + p[2 * STORED :]

    both("chunks-swapped", "the first two chunks swapped", 32768, swapped, kinds=bare)
    both("chunk-dropped", "the first chunk dropped", 16385, lambda p: p[STORED:])
    both("chunk-repeated", "chunk 0 in place of chunk 1", 32768, repeated, kinds=checksummed)
    both("segment-dropped", "the first 64 chunks dropped", MIB + 100, lambda p: p[STORED_GROUP:])

    # Chunks from another blob.
    core = make_core(16385)
    foreign = make_core(16385, dek=core.dek, blob_id=core.blob_id)
    text = "a chunk of another blob with the same DEK, blob id and plaintext, but another salt"
    fault("auth-chunk-same-dek", text, core, foreign.payload[:STORED] + core.payload[STORED:])

    # Sealed by the key owner, but in a way that no correct writer does.
    text = "a full last chunk, with no empty one behind it; "
    core = make_core(100, 0)
    key, nonce_0, _ = core.derive()
    nonce_1, aes = chunk_nonce(nonce_0, 1), AESGCM(key)
    fault("damaged-full-last-chunk-bare", text + "bare", core, aes.encrypt(nonce_0, plaintext(CHUNK), None))
    stored = aes.encrypt(nonce_0, core.plain, b"\0")
    fault("auth-chunk-additional-data", "a chunk sealed with additional data", core, stored)
    fault("auth-chunk-first-is-1", "chunks counted from 1", core, aes.encrypt(nonce_1, core.plain, None))
    stored = aes.encrypt(nonce_0, plaintext(50), None) + aes.encrypt(nonce_1, plaintext(60), None)
    fault("auth-short-chunk-not-last", "a short chunk before the last one", core, stored)
    core = make_core(100, 1)
    key, nonce_0, _ = core.derive()
    full = join_payload(AESGCM(key).encrypt(nonce_0, plaintext(CHUNK), None), 1, core.blob_id)
    fault("damaged-full-last-chunk-checksummed", text + "checksummed", core, full)

    # Segment checksums.
    core = make_core(100, 1)
    chunks, right = core.payload[:-8], core.payload[-8:]
    seed, other_half = u64(core.blob_id, 0), u64(core.blob_id, 8)
    for name, comment, wrong in (
        ("bit", "a bit of the sum", flip(right, 0)),
        ("zero", "a sum of zero", bytes(8)),
        ("seed-0", "a sum with seed 0", le64(xxh3(chunks, 0))),
        ("seed-number-1", "the sum of segment 0 with the seed of segment 1", le64(xxh3(chunks, seed ^ 1))),
        ("seed-high-half", "a sum seeded by the other half of the blob id", le64(xxh3(chunks, other_half))),
        ("big-endian", "a sum stored big-endian", right[::-1]),
    ):
        fault(f"damaged-segment-sum-{name}", comment, core, chunks + wrong)
    core = make_core(0, 1)
    fault("damaged-segment-sum-empty", "a bit of the sum of an empty blob", core, flip(core.payload, -1))
