# SPDX-License-Identifier: Apache-2.0
"""Print what containerd passes to a decoder on descriptor 3: payload.py LAYOUT[:REF] LAYER [KEY...]

LAYER counts from 0. The files KEY, private keys in PEM, are in the payload, as ctr-enc does it; without any, its
parameters are null, as when Kubernetes pulls."""

import base64
import json
import sys


def field(number, data):
    """A field of a protobuf message that contains bytes."""
    rest, out = len(data), bytes([number << 3 | 2])
    while rest > 127:
        out += bytes([rest & 127 | 128])
        rest >>= 7
    return out + bytes([rest]) + data


def document(layout, digest):
    with open(f"{layout}/blobs/sha256/{digest.removeprefix('sha256:')}", encoding="utf-8") as f:
        return json.load(f)


def main():
    layout, _, name = sys.argv[1].partition(":")
    with open(f"{layout}/index.json", encoding="utf-8") as f:
        images = json.load(f)["manifests"]
    digest = next(i["digest"] for i in images
                  if not name or i.get("annotations", {}).get("org.opencontainers.image.ref.name") == name)
    layer = document(layout, digest)["layers"][int(sys.argv[2])]
    parameters = None
    if sys.argv[3:]:
        files = [open(path, "rb").read() for path in sys.argv[3:]]
        parameters = {"privkeys": [base64.b64encode(file).decode() for file in files],
                      "privkeys-passwords": [None] * len(files)}
    value = {"DecryptConfig": {"Parameters": parameters},
             "Descriptor": {name: layer[name] for name in ("mediaType", "digest", "size", "annotations")}}
    text = json.dumps(value, separators=(",", ":")).encode()
    sys.stdout.buffer.write(field(1, b"io.containerd.ocicrypt.v1.Payload") + field(2, text))


if __name__ == "__main__":
    main()
