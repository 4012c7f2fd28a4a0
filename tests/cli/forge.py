# SPDX-License-Identifier: Apache-2.0
"""Forged and damaged variants of a blob: forge.py BLOB writes BLOB.EXIT-CODE.CASE for each case.

XXH3 is implemented here, so that a changed header can have the right checksum.
"""

import random
import struct
import sys

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248e"
    "e03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8fa763fe39c343ff9dcbbc7c70b4f1d8a"
    "51e04bcdb45931c89f7ec9d9787364")
MASK = 2**64 - 1


def word(data, at):
    return struct.unpack_from("<Q", data, at)[0]


def xxh3(data):  # for inputs of 17 to 128 bytes
    def mix(at, secret):
        product = (word(data, at) ^ word(SECRET, secret)) * (word(data, at + 8) ^ word(SECRET, secret + 8))
        return (product & MASK) ^ (product >> 64)

    n = len(data)
    acc = n * 0x9E3779B185EBCA87
    for i in range((n - 1) // 32, -1, -1):
        acc += mix(16 * i, 32 * i) + mix(n - 16 * (i + 1), 32 * i + 16)
    acc &= MASK
    acc ^= acc >> 37
    acc = acc * 0x165667919E3779F9 & MASK
    return acc ^ (acc >> 32)


def put(blob, at, *values):
    return blob[:at] + bytes(values) + blob[at + len(values):]


def put_summed(blob, start, length, at, *values):
    assert xxh3(blob[start:start + length]) == word(blob, start + length)
    blob = put(blob, start + at, *values)
    return blob[:start + length] + struct.pack("<Q", xxh3(blob[start:start + length])) + blob[start + length + 8:]


def flip(blob, at):
    return put(blob, at, blob[at] ^ 1 << at % 8)


name = sys.argv[1]
blob = open(name, "rb").read()
framed = blob[3] == 0x4B
core = struct.unpack_from("<I", blob, 20)[0] if framed else 0
ab = framed and blob[10] == 2
payload = core + 96
cases = {}
heads = [*range(0, 8), *range(9, 64, 11)] if framed else []
for at in [*heads, *range(64, 4096 if ab else core, 397), *range(core, core + 8), *range(core + 9, payload, 9)]:
    cases[f"3.flip{at}"] = flip(blob, at)
for at in [*range(payload, len(blob), max(1, len(blob) // 12)), len(blob) - 1, len(blob) - 9, len(blob) - 24]:
    cases[f"3.flip{at}"] = flip(blob, at)
for at in [0, 1, 7, 8, 63, 64, 65, core - 1, core, core + 1, core + 95, payload, payload + 1, payload + 7, payload + 8,
           payload + 24, payload + 16399, payload + 16400, payload + 16408, payload + 16424, payload + 1049607,
           payload + 1049608, payload + 1049624, payload + 1049632, len(blob) - 8, len(blob) - 24, len(blob) - 2,
           len(blob) - 1]:
    if 0 <= at < len(blob):
        cases[f"3.cut{at}"] = blob[:at]
for more in [1, 7, 8, 16, 24, 16400, 16424, 1049608]:
    cases[f"3.zeros{more}"] = blob + bytes(more)
    cases[f"3.tail{more}"] = blob + blob[-more:]
cases["3.twice"] = blob + blob
cases["3.prefix"] = b"x" + blob
cases["3.text"] = b"\x89BSK\r\n\x1a\n".replace(b"\r\n", b"\n") + blob[7:]
random.seed(1)
cases["3.noise"] = bytes(random.randrange(256) for _ in range(5000))
cases["12.version"] = put(blob, core + 8, 2)
cases["12.version-summed"] = put_summed(blob, core, 88, 8, 2)
cases["12.suite"] = put_summed(blob, core, 88, 9, 2)
cases["12.content"] = put_summed(blob, core, 88, 10, 2)
cases["3.content-zstd"] = put_summed(blob, core, 88, 10, 1)
cases["12.segments"] = put_summed(blob, core, 88, 11, 2)
cases["3.zero"] = put_summed(blob, core, 88, 13, 1)
cases["3.salt"] = put_summed(blob, core, 88, 40, 1, 2, 3)
cases["3.commitment"] = put_summed(blob, core, 88, 60, 1, 2, 3)
if framed:
    cases["12.frame-version"] = put_summed(blob, 0, 56, 8, 2)
    cases["12.layer"] = put_summed(blob, 0, 56, 9, 2)
    cases["3.slots"] = put_summed(blob, 0, 56, 10, 3)
    cases["3.frame-id"] = put_summed(blob, 0, 56, 24, 1, 2, 3)
    cases["3.frame-zero"] = put_summed(blob, 0, 56, 45, 1)
    cases["3.two-frames"] = blob[:core] + blob
for case, content in cases.items():
    with open(f"{name}.{case}", "wb") as f:
        f.write(content)
