#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Write the test vectors of section 9 of core/FORMAT.md. Usage: make_vectors.py DIR

A vector that is already in DIR stays unchanged, as do the keys: vectors are only ever added. At the end every vector in
DIR is opened with blobseal_ref.py, and the result must be exactly the class that it expects.

Each fault is the only one in its blob. Whatever an attacker who can write to a blob could recompute is recomputed: the
checksums of headers, slots and segments match the changed bytes, unless the checksum is itself the fault. If a fault is
inside data that only the sealer can make, the blob is sealed with the fault in it.

vector_parts.py makes sound blobs and faults; the vectors themselves are in vectors_core.py, vectors_frame.py,
vectors_json.py, vectors_envelope.py, vectors_recipients.py and vectors_zstd.py.
"""

import collections
import glob
import os
import sys

import vectors_core
import vectors_envelope
import vectors_frame
import vectors_json
import vectors_recipients
import vectors_zstd
from blobseal_ref import check_vector, load_keys
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from ref_files import load_private_key, plain_fields, read_vector, write_file, write_vector
from vector_parts import KEYS, SET_KEYS

MAKERS = (
    vectors_core.golden_layouts,
    vectors_recipients.golden_recipients,
    vectors_json.golden_json,
    vectors_frame.golden_slots,
    vectors_core.core_header_faults,
    vectors_core.payload_faults,
    vectors_frame.frame_header_faults,
    vectors_frame.frame_faults,
    vectors_frame.slot_faults,
    vectors_json.json_faults,
    vectors_json.metadata_faults,
    vectors_envelope.jwe_faults,
    vectors_envelope.base64_faults,
    vectors_envelope.protected_faults,
    vectors_envelope.content_faults,
    vectors_recipients.recipients_faults,
    vectors_recipients.recipient_header_faults,
    vectors_recipients.unwrap_faults,
    vectors_recipients.tampering,
    vectors_recipients.set_recipients,
    vectors_zstd.golden_zstd,
    vectors_zstd.frame_faults,
    vectors_zstd.entry_faults,
    vectors_zstd.table_faults,
)


def load_or_make_keys(folder):
    for name, bits in (("kek1", 2048), ("kek2", 2048), ("kek3", 3072)):
        path = os.path.join(folder, name + ".pem")
        if not os.path.exists(path):
            key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
            pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            write_file(path, key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
        KEYS[name] = load_private_key(path).public_key()
    SET_KEYS.extend(load_keys(os.path.join(folder, "set1.jwe")))  # from `ref_set.py make`


class Writer:
    """The function that the makers call for every vector."""

    def __init__(self, folder):
        self.folder, self.names = folder, set()

    def vector(self, name, comment, raw, plain=None, envelope=None, key="kek1"):
        """Write a vector. The start of its name is the expected class; `ok-` means `success`."""
        assert name not in self.names, name
        self.names.add(name)
        path = os.path.join(self.folder, name + ".vec")
        if os.path.exists(path):
            return
        prefix = name.split("-")[0]
        expect = {"ok": "success", "no": "no-key"}.get(prefix, prefix)
        fields = {"expect": expect, "comment": comment, "key": key if "." in key else key + ".pem"}
        if expect == "success":
            fields.update(plain_fields(plain))
        write_vector(path, fields, raw, envelope)


def check_all(folder):
    counts = collections.Counter()
    for path in sorted(glob.glob(os.path.join(folder, "*.vec"))):
        expected, found = read_vector(path).fields["expect"], check_vector(path)
        assert expected == found, f"{path}: expected {expected}, found {found}"
        counts[expected] += 1
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())), "- all as expected")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_vectors.py DIR")
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    load_or_make_keys(folder)
    writer = Writer(folder)
    for make in MAKERS:
        make(writer.vector)
    check_all(folder)


if __name__ == "__main__":
    main()
