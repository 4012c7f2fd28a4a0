#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Python's jwcrypto as the other side.

  jwcrypto_tool.py open KEY < JWE                       print the content; KEY is a file in PEM, or a JWK
  jwcrypto_tool.py seal ALG KID=PUB.pem... < CONTENT    a JWE of that content: flattened for one recipient, general for more
"""
import json
import sys

from jwcrypto import jwe, jwk


def load(path):
    with open(path, "rb") as f:
        text = f.read()
    return jwk.JWK.from_json(text.decode()) if text.startswith(b"{") else jwk.JWK.from_pem(text)


def open_jwe(path):
    token = jwe.JWE(algs=["RSA-OAEP-256", "RSA-OAEP", "A256KW", "A256GCM"])
    token.deserialize(sys.stdin.read())
    token.decrypt(load(path))
    sys.stdout.buffer.write(token.payload)


def seal(alg, recipients):
    token = jwe.JWE(sys.stdin.buffer.read(), protected=json.dumps({"enc": "A256GCM"}), algs=[alg, "A256GCM"])
    for recipient in recipients:
        kid, _, path = recipient.partition("=")
        token.add_recipient(load(path), header=json.dumps({"alg": alg, "kid": kid}))
    sys.stdout.write(token.serialize(compact=False))


if __name__ == "__main__":
    if sys.argv[1] == "open":
        open_jwe(sys.argv[2])
    elif sys.argv[1] == "seal":
        seal(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(2)
