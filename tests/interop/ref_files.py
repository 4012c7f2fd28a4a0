# SPDX-License-Identifier: Apache-2.0
"""Files other than blobs: keys in PEM, and test vectors (section 9 of core/FORMAT.md)."""

import functools
import hashlib
import os
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from ref_conventions import UsageError


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def write_file(path, data):
    with open(path, "wb") as file:
        file.write(data)


# ---- Keys --------------------------------------------------------


@functools.lru_cache
def load_private_key(path):
    try:
        key = serialization.load_pem_private_key(read_file(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UsageError(f"{path}: not an unencrypted private key in PEM") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise UsageError(f"{path}: not an RSA key")
    return key


def load_public_key(path):
    """Load the public key from a public or a private key file."""
    try:
        key = serialization.load_pem_public_key(read_file(path))
    except (ValueError, UnsupportedAlgorithm):
        key = load_private_key(path).public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size not in (2048, 3072, 4096):
        raise UsageError(f"{path}: not an RSA key of 2048, 3072 or 4096 bits")
    return key


# ---- Test vectors ------------------------------------------------


@dataclass
class Vector:
    fields: dict
    blob: bytes  # the file to open: a blob in one file or, if an envelope is given, a core or an attached blob
    envelope: bytes  # the envelope that is given explicitly, or None


@functools.lru_cache
def changed_classes(folder):
    """Return the classes that changed before version 1.0, by the name of the vector: see section 9."""
    lines = read_file(os.path.join(folder, "changed")).decode().splitlines()
    return {name: (old, new) for name, old, new in (line.split() for line in lines)}


def read_vector(path):
    head, _, raw = read_file(path).partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\n"))
    changed = changed_classes(os.path.dirname(path)).get(os.path.basename(path).removesuffix(".vec"))
    if changed is not None:
        assert fields["expect"] == changed[0], path
        fields["expect"] = changed[1]
    if "envelope-length" not in fields:
        return Vector(fields, raw, None)
    length = int(fields["envelope-length"])
    return Vector(fields, raw[length:], raw[:length])


def plain_fields(plaintext):
    """Return the fields that describe the plaintext of a golden blob."""
    return {"plain-length": str(len(plaintext)), "plain-sha256": hashlib.sha256(plaintext).hexdigest()}


def is_plaintext(plaintext, fields):
    """Compare with the fields of a vector. One that was not golden when it was made does not have them."""
    return "plain-length" not in fields or plain_fields(plaintext).items() <= fields.items()


def write_vector(path, fields, blob, envelope=None):
    if envelope is not None:
        fields = {**fields, "envelope-length": len(envelope)}
    head = "".join(f"{name}: {value}\n" for name, value in fields.items())
    write_file(path, head.encode() + b"\n" + (envelope or b"") + blob)
