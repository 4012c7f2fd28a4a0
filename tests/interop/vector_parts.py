# SPDX-License-Identifier: Apache-2.0
"""Parts of vectors: sound parts in which a fault can be placed, and small edits that make the faults.

An edit is always a function that takes a sound value and returns the changed one; it changes nothing in place.
"""

import hashlib
import os
from dataclasses import dataclass

import ref_envelope
from ref_conventions import b64url_decode, b64url_encode, with_sum
from ref_core import CORE_HEADER_SIZE, CoreHeader, derive, meta_hash, seal_chunks, seal_core
from ref_frame import FRAME_HEADER_SIZE, build_frame, build_slot
from strict_json import to_json

KEYS = {}  # public keys by name: kek1, kek2, kek3; make_vectors.py adds them
SET_KEYS = []  # those of set1.jwe; make_vectors.py adds them


# ---- Edits -------------------------------------------------------


def same(value):
    return value


def put(data, at, new):
    return data[:at] + new + data[at + len(new) :]


def flip(data, at, bit=0):
    at %= len(data)
    return put(data, at, bytes([data[at] ^ 1 << bit]))


def resummed(header):
    """Return a core header or a frame header with the right checksum at its end."""
    return with_sum(header[:-8])


def fixed(at, new):
    """Return an edit of a header that also makes its checksum right."""
    return lambda header: resummed(put(header, at, new))


def drop(*names):
    return lambda members: {name: value for name, value in members.items() if name not in names}


def setting(**values):
    return lambda members: {**members, **values}


def inside(name, edit):
    """Return an edit that applies `edit` to the member `name`."""
    return lambda members: {**members, name: edit(members[name])}


def recoded(name, edit):
    """Return an edit that applies `edit` to the bytes that the member `name` holds in base64url."""
    return inside(name, lambda text: b64url_encode(edit(b64url_decode(text))))


def padded(text):
    return text + "=" * (-len(text) % 4)


def low_bits(text):
    """Return a text that decodes to the same bytes in a reader that ignores unused bits."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(text) % 4 in (2, 3)
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


# ---- Core --------------------------------------------------------


def plaintext(size, seed="blobseal"):
    return hashlib.shake_128(f"{seed} {size}".encode()).digest(size)


@dataclass
class Core(CoreHeader):
    """A whole core, header and payload, with the plaintext and the DEK that it was made from."""

    plain: bytes
    dek: bytes
    meta: bytes = None

    @property
    def header(self):
        return self.raw[:CORE_HEADER_SIZE]

    @property
    def payload(self):
        return self.raw[CORE_HEADER_SIZE:]

    def derive(self):
        return derive(self.dek, self.context + meta_hash(self.meta), self.salt)

    def with_raw(self, raw):
        return Core(raw, self.plain, self.dek, self.meta)

    def with_header(self, header):
        """Return the core with this header, with its checksum made right."""
        return self.with_raw(resummed(header) + self.payload)

    def sealed_anew(self, header):
        """Return the core with its one bare chunk sealed with the keys derived from this header, right or wrong."""
        key, base_nonce, _ = derive(self.dek, header[:32], header[32:56])
        return self.with_raw(resummed(header) + seal_chunks(key, base_nonce, self.plain))


def make_zstd_core(stored, plain=b"", segments=0):
    """Return a core with content = 1 that contains `stored`, which need not be a zstd file."""
    dek = os.urandom(32)
    return Core(seal_core(stored, dek, segments, os.urandom(16), os.urandom(24), 1), plain, dek)


def make_core(size=100, segments=0, dek=None, blob_id=None, salt=None, seed="blobseal", meta=None):
    """`meta` is the bytes of the metadata that the core is bound to."""
    plain, dek = plaintext(size, seed), dek or os.urandom(32)
    raw = seal_core(plain, dek, segments, blob_id or os.urandom(16), salt or os.urandom(24), meta=meta)
    return Core(raw, plain, dek, meta)


# ---- Envelope ----------------------------------------------------


def wrap(name, cek, alg="RSA-OAEP-256"):
    return ref_envelope.wrap(KEYS[name], cek, alg)


def stranger(kid, alg="RSA-OAEP-256", size=256):
    """Return a recipient whose private key does not exist."""
    return ref_envelope.Recipient(alg, kid, os.urandom(size - 1).rjust(size, b"\x01"))


@dataclass
class Sealing:
    """The input of an envelope. Each `edit_` member takes the sound value of that name, and returns the one to use."""

    to: tuple = ("kek1",)
    gen: int = 1
    cek: bytes = None
    edit_recipients: object = same  # list of Recipient, before `rcpt` is computed
    edit_protected: object = same  # dict
    protected_text: object = to_json  # dict to bytes
    edit_content: object = same  # dict
    content_text: object = to_json  # dict to bytes
    edit_jwe: object = same  # dict
    jwe_text: object = to_json  # dict to bytes
    iv: bytes = None

    def build(self, core):
        cek = self.cek or os.urandom(32)
        recipients = self.edit_recipients([wrap(name, cek) for name in self.to])
        protected = self.edit_protected(ref_envelope.build_protected(core.blob_id, self.gen, recipients))
        content = self.edit_content(ref_envelope.build_content(core.dek, core.header, core.meta))
        texts = self.protected_text(protected), self.content_text(content)
        # A CEK must be exactly 32 bytes. If it has 33, a careless reader might use the first 32.
        jwe = ref_envelope.build_jwe(cek[:32], *texts, recipients, self.iv)
        return self.jwe_text(self.edit_jwe(jwe))


def make_jwe(core, **how):
    return Sealing(**how).build(core)


# ---- Frame -------------------------------------------------------


def attached(core, slots, edit_header=same):
    frame = build_frame(core.blob_id, slots)
    return edit_header(frame[:FRAME_HEADER_SIZE]) + frame[FRAME_HEADER_SIZE:] + core.raw


def compact(core, jwe, gen=1, edit_header=same):
    return attached(core, [build_slot(gen, jwe)], edit_header)


def ab(core, jwe_a, jwe_b=None, gen_a=1, gen_b=None, capacity=4096):
    slot_b = build_slot(gen_b or gen_a, jwe_b or jwe_a, capacity)
    return attached(core, [build_slot(gen_a, jwe_a, capacity), slot_b])


# ---- Vectors -----------------------------------------------------


def envelope_fault(vector, name, comment, key="kek1", detached=False, meta=None, **how):
    """Write a sound core, bound to `meta`, whose envelope is made with `how`, the arguments of `Sealing`."""
    core = make_core(1, meta=meta)
    jwe = make_jwe(core, **how)
    if detached:
        vector(name, comment, core.raw, envelope=jwe, key=key)
    else:
        vector(name, comment, compact(core, jwe), key=key)
