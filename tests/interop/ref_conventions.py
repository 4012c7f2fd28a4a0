# SPDX-License-Identifier: Apache-2.0
"""Section 1 of core/FORMAT.md: refusals, integers, checksums and base64url."""

import base64
import struct

import xxhash

MAX_INT = 2**53 - 1  # the greatest generation, and the greatest number in JSON


class Refusal(Exception):
    """A blob that a reader must refuse; `kind` is one of the classes of section 1."""

    def __init__(self, kind, why):
        super().__init__(f"{kind}: {why}")
        self.kind = kind


class UsageError(Exception):
    """A request of the caller that cannot be fulfilled for any blob."""


def refuse_unless(condition, kind, why):
    if not condition:
        raise Refusal(kind, why)


def not_authentic():
    return Refusal("auth", "not authentic")  # the same text for every cause


def u32(data, offset):
    return struct.unpack_from("<I", data, offset)[0]


def u64(data, offset):
    return struct.unpack_from("<Q", data, offset)[0]


def le32(number):
    return struct.pack("<I", number)


def le64(number):
    return struct.pack("<Q", number)


def xxh3(data, seed=0):
    return xxhash.xxh3_64_intdigest(data, seed=seed)


def with_sum(data):
    """Return a header with its checksum appended, which covers all bytes before it."""
    return data + le64(xxh3(data))


def b64url_encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64url_decode(text, size=None, maximum=None):
    """Accept only the canonical encoding; `size` or `maximum` limits the number of decoded bytes."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise Refusal("format", "base64url") from None
    # The library is lenient in several ways; encoding the result again detects all of them.
    refuse_unless(b64url_encode(data) == text, "format", "base64url that is not canonical")
    refuse_unless(size is None or len(data) == size, "format", "a base64url field of the wrong size")
    refuse_unless(maximum is None or len(data) <= maximum, "format", "a base64url field that is too long")
    return data
