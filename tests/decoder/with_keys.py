# SPDX-License-Identifier: Apache-2.0
"""Print a recorded payload of containerd with other keys in it: with_keys.py PAYLOAD KEY..."""

import base64
import json
import sys

from payload import field


def main():
    with open(sys.argv[1], "rb") as f:
        recorded = f.read()
    value = json.loads(recorded[recorded.index(b"{"):])
    files = [open(path, "rb").read() for path in sys.argv[2:]]
    value["DecryptConfig"] = {"Parameters": {"privkeys": [base64.b64encode(file).decode() for file in files],
                                             "privkeys-passwords": [None] * len(files)}}
    sys.stdout.buffer.write(field(1, b"io.containerd.ocicrypt.v1.Payload") +
                            field(2, json.dumps(value, separators=(",", ":")).encode()))


main()
