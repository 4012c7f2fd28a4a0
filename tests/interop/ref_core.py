# SPDX-License-Identifier: Apache-2.0
"""Sections 2 and 3 of core/FORMAT.md: the core, which is the core header and the payload."""

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from ref_conventions import le64, not_authentic, refuse_unless, u64, with_sum, xxh3

# ---- Section 2: core header --------------------------------------

CORE_MAGIC = bytes.fromhex("894253430D0A1A0A")
CORE_HEADER_SIZE = 96


@dataclass
class CoreHeader:
    raw: bytes

    @property
    def segments(self):
        return self.raw[11]

    @property
    def content(self):
        return self.raw[10]

    @property
    def blob_id(self):
        return self.raw[16:32]

    @property
    def context(self):
        return self.raw[:32]

    @property
    def salt(self):
        return self.raw[32:56]

    @property
    def commitment(self):
        return self.raw[56:88]


def parse_core_header(core):
    refuse_unless(len(core) > 8, "damaged", "cut in the magic of the core")
    raw = core[:CORE_HEADER_SIZE]
    refuse_unless(raw[:8] == CORE_MAGIC, "format", "no core header")
    refuse_unless(raw[8] == 1, "unsupported", "core version")
    refuse_unless(len(raw) == CORE_HEADER_SIZE, "damaged", "cut in the core header")
    refuse_unless(raw == with_sum(raw[:88]), "damaged", "checksum of the core header")
    refuse_unless(raw[9] == 1, "unsupported", "suite")
    refuse_unless(raw[10] in (0, 1), "unsupported", "content")
    refuse_unless(raw[11] in (0, 1), "unsupported", "segments")
    refuse_unless(raw[12:16] == bytes(4), "format", "zero bytes of the core header")
    return CoreHeader(raw)


def core_context(segments, blob_id, content=0):
    return CORE_MAGIC + bytes([1, 1, content, segments]) + bytes(4) + blob_id


def meta_hash(meta):
    """Return what a blob with these bytes of metadata adds to the context: nothing if there are none."""
    return b"" if meta is None else hashlib.sha256(b"blobseal/v1 meta\0" + meta).digest()


def derive(dek, context, salt):
    """Return (AES key, base nonce, commitment)."""
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM" + b"\x00" + salt + context
    output = HKDFExpand(hashes.SHA512(), 76, info).derive(dek)
    return output[:32], output[32:44], output[44:76]


# ---- Section 3: payload ------------------------------------------

CHUNK = 16384
TAG = 16
STORED_CHUNK = CHUNK + TAG
GROUP_CHUNKS = 64
STORED_GROUP = GROUP_CHUNKS * STORED_CHUNK


def chunk_nonce(base_nonce, index):
    return bytes(a ^ b for a, b in zip(base_nonce, index.to_bytes(12, "big")))


def segment_sum(blob_id, number, stored):
    return le64(xxh3(stored, u64(blob_id, 0) ^ number))


def seal_chunks(key, base_nonce, plaintext):
    """Return the stored chunks; the last one is shorter than the others, and may consist of a tag only."""
    aes = AESGCM(key)
    starts = range(0, len(plaintext) + 1, CHUNK)
    return b"".join(
        aes.encrypt(chunk_nonce(base_nonce, k), plaintext[at : at + CHUNK], None) for k, at in enumerate(starts)
    )


def join_payload(stored, segments, blob_id):
    """Return the stored chunks, with the segment checksums added if the blob has them."""
    if segments == 0:
        return stored
    groups = [stored[at : at + STORED_GROUP] for at in range(0, len(stored), STORED_GROUP)]
    return b"".join(group + segment_sum(blob_id, s, group) for s, group in enumerate(groups))


def seal_core(plaintext, dek, segments, blob_id, salt, content=0, meta=None):
    context = core_context(segments, blob_id, content)
    key, base_nonce, commitment = derive(dek, context + meta_hash(meta), salt)
    stored = seal_chunks(key, base_nonce, plaintext)
    return with_sum(context + salt + commitment) + join_payload(stored, segments, blob_id)


def split_payload(payload, segments):
    """Check the length; return the groups as (stored chunks, checksum) pairs, the checksum None in a bare payload."""
    sum_size = 8 if segments else 0
    unit = STORED_GROUP + sum_size
    full_groups, rest = divmod(len(payload), unit)
    refuse_unless(rest >= sum_size, "damaged", "cut in a segment sum")
    full_chunks, last_chunk = divmod(rest - sum_size, STORED_CHUNK)
    refuse_unless(last_chunk >= TAG, "damaged", "no blob has this length")
    refuse_unless(full_groups * GROUP_CHUNKS + full_chunks < 2**38, "damaged", "no blob is that long")
    groups = [payload[at : at + unit] for at in range(0, len(payload), unit)]
    if not segments:
        return [(group, None) for group in groups]
    return [(group[:-8], group[-8:]) for group in groups]


def plaintext_length(payload, segments):
    """Return the length of the plaintext, which is authentic only after the last chunk has been opened."""
    stored = sum(len(group) for group, _ in split_payload(payload, segments))
    return stored - (stored // STORED_CHUNK + 1) * TAG


def open_chunk(key, base_nonce, index, stored):
    try:
        return AESGCM(key).decrypt(chunk_nonce(base_nonce, index), stored, None)
    except InvalidTag:
        raise not_authentic() from None


def open_payload(payload, header, key, base_nonce):
    groups = split_payload(payload, header.segments)
    last_group = groups[-1][0]
    last_start = (len(last_group) - TAG) // STORED_CHUNK * STORED_CHUNK
    last_index = (len(groups) - 1) * GROUP_CHUNKS + last_start // STORED_CHUNK
    # Open the last chunk first, as a seekable reader does, because only it makes the length of the blob authentic.
    last_plain = open_chunk(key, base_nonce, last_index, last_group[last_start:])
    plaintext = []
    for s, (stored, stored_sum) in enumerate(groups):
        if header.segments:
            refuse_unless(stored_sum == segment_sum(header.blob_id, s, stored), "damaged", "checksum of a segment")
        end = len(stored) if s < len(groups) - 1 else last_start
        for at in range(0, end, STORED_CHUNK):
            index = s * GROUP_CHUNKS + at // STORED_CHUNK
            plaintext.append(open_chunk(key, base_nonce, index, stored[at : at + STORED_CHUNK]))
    return b"".join(plaintext) + last_plain
