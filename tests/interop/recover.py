#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Recovery without blobseal: open a blob with jwcrypto, HKDF and AES-GCM. Usage: recover.py KEY BLOB [ENVELOPE]

KEY is a private key in PEM, or the object of an encryption set (a .jwe file) that opens with the key kek1.pem beside it
or with the key that the variable KEK names.

The plaintext is written to standard output. Only what recovery needs is checked: every tag, the commitment, the end of
the blob. The checksums are ignored, so this also reads a blob whose only fault is a corrupt checksum. Compressed
content is written as the zstd file that was sealed: `zstd -d` reads it.
"""

import base64
import hashlib
import json
import os
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from jwcrypto import jwe, jwk
from jwcrypto.common import JWException

ALGORITHMS = ["RSA-OAEP-256", "RSA-OAEP", "A256KW", "A256GCM"]


def number(data, at, size=4):
    return int.from_bytes(data[at : at + size], "little")


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def open_envelopes(envelopes, keys):
    for text in envelopes:
        for key in keys:
            try:
                token = jwe.JWE(algs=ALGORITHMS)
                token.deserialize(text.decode(), key)
                return json.loads(token.payload)
            except (JWException, UnicodeDecodeError):
                continue
    sys.exit("recover.py: no envelope opens with this key")


def load_key(path):
    """Return the keys in a file: one private key, or all keys of a set, the newest first."""
    if not path.endswith(".jwe"):
        return [jwk.JWK.from_pem(read(path))]
    kek = os.environ.get("KEK", os.path.join(os.path.dirname(path), "kek1.pem"))
    keys = open_envelopes([read(path)], load_key(kek))["keys"]
    return [jwk.JWK(kty="oct", k=key["k"]) for key in reversed(keys)]


def recover(keys_to_try, core, envelopes):
    """Yield the plaintext in pieces. `envelopes` may be empty if `core` starts with a frame."""
    if core.startswith(b"\x89BSK\r\n\x1a\n"):  # a frame: remove it
        offset, capacity, length = (number(core, at) for at in (12, 16, 20))
        slots = [core[at : at + capacity] for at in range(offset, length, capacity)]
        slots.sort(key=lambda slot: -number(slot, 8, 8))  # the newest generation first
        envelopes = envelopes or [slot[24 : 24 + number(slot, 4)] for slot in slots]
        core = core[length:]

    content = open_envelopes(envelopes, keys_to_try)
    dek, context = decode(content["k"]), core[:32]
    if "meta" in content:
        context += hashlib.sha256(b"blobseal/v1 meta\0" + decode(content["meta"])).digest()
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + core[32:56] + context
    keys = HKDFExpand(hashes.SHA512(), 76, info).derive(dek)
    if keys[44:] != core[56:88]:
        sys.exit("recover.py: the envelope is not that of this blob")

    at, index, chunk, sum_size = 96, 0, 16400, 8 if core[11] else 0
    while chunk == 16400:  # the last chunk is the first that is shorter
        chunk = min(16400, len(core) - at - sum_size)
        nonce = int.from_bytes(keys[32:44], "big") ^ index
        yield AESGCM(keys[:32]).decrypt(nonce.to_bytes(12, "big"), core[at : at + chunk], None)
        at, index = at + chunk, index + 1
        if index % 64 == 0:
            at += sum_size


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: recover.py KEY BLOB [ENVELOPE]")
    blob, *detached = [read(path) for path in sys.argv[2:]]
    for plaintext in recover(load_key(sys.argv[1]), blob, detached):
        sys.stdout.buffer.write(plaintext)
