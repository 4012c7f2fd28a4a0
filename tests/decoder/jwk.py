# SPDX-License-Identifier: Apache-2.0
"""Write JSON Web Keys, as jwcrypto makes them from a private key, and damaged ones: jwk.py KEY OTHER FOLDER

FOLDER/good has those that open what KEY opens, FOLDER/bad the others, and FOLDER/public.json has the public half. KEY
and OTHER are RSA keys in PEM."""

import base64
import json
import os
import sys

from jwcrypto.jwk import JWK

PRIVATE = ("d", "p", "q", "dp", "dq", "qi")


def load(path):
    with open(path, "rb") as f:
        return json.loads(JWK.from_pem(f.read()).export())


def number(text):
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def text_of(value, zeros=0):
    size = zeros + (value.bit_length() + 7) // 8
    return base64.urlsafe_b64encode(value.to_bytes(size, "big")).decode().rstrip("=")


def without(key, *names):
    return {name: value for name, value in key.items() if name not in names}


def good(key):
    return {
        "jwcrypto": json.dumps(key),
        "spaces": " \r\n\t" + json.dumps(key, indent=4) + "\n",
        "order": json.dumps(dict(reversed(key.items()))),
        "no-crt": json.dumps(without(key, "dp", "dq", "qi")),
        "no-qi": json.dumps(without(key, "qi")),
        "more": json.dumps(key | {"use": "enc", "alg": "RSA-OAEP", "key_ops": ["unwrapKey"], "x5c": [],
                                  "note": {"y": 1}, "comment": "-----BEGIN PRIVATE KEY-----"}),
        "leading-zero": json.dumps(key | {name: text_of(number(key[name]), 1) for name in ("n", *PRIVATE)}),
        "swapped": json.dumps(without(key | {"p": key["q"], "q": key["p"]}, "dp", "dq", "qi")),
    }


def bad(key, other):
    result = {f"lacks-{name}": without(key, name) for name in ("n", "e", "p", "q", "kty")}
    for name in PRIVATE + ("n", "e"):
        result[f"other-{name}"] = key | {name: text_of(number(key[name]) ^ 2)}
        result[f"zero-{name}"] = key | {name: "AA"}
        result[f"null-{name}"] = key | {name: None}
        result[f"empty-{name}"] = key | {name: ""}
    for name in PRIVATE[1:]:
        result[f"key-of-another-{name}"] = key | {name: other[name]}
    p, q = number(key["p"]), number(key["q"])
    result |= {
        "d-alone": without(key, *PRIVATE[1:]),
        "d-and-n": key | {"d": text_of(number(key["d"]) + 1)},
        "one-prime": key | {"p": text_of(p * q), "q": text_of(1)},
        "equal-primes": without(key | {"p": text_of(q)}, "dp", "dq", "qi"),
        "long-n": key | {"n": text_of((1 << 100000) - 1)},
        "long-p": key | {"p": text_of((1 << 4095) + 1)},
        "long-e": key | {"e": text_of((1 << 400) + 1)},
        "e-3": key | {"e": "Aw"},
        "oth": key | {"oth": [{"r": "AQAB", "d": "AQAB", "t": "AQAB"}]},
        "padded": key | {"e": "AQAB===="},
        "not-url": key | {"n": "+" + key["n"][1:]},
        "stray-bits": key | {"e": "AQABAB"},
        "space": key | {"d": key["d"][:20] + " " + key["d"][20:]},
        "number": key | {"e": 65537},
        "list": key | {"d": [key["d"]]},
        "set": {"keys": [key]},
        "ec": json.loads(JWK.generate(kty="EC", crv="P-256").export()),
        "okp": json.loads(JWK.generate(kty="OKP", crv="Ed25519").export()),
        "oct": json.loads(JWK.generate(kty="oct", size=256).export()),
        "kty-lower": key | {"kty": "rsa"},
        "kty-object": key | {"kty": {"kty": "RSA"}},
        "small": json.loads(JWK.generate(kty="RSA", size=1024).export()),
    }
    texts = {name: json.dumps(value) for name, value in result.items()}
    text = json.dumps(key)
    texts |= {
        "twice-d": text[:-1] + ', "d": "' + key["d"] + '"}',
        "twice-kty": text[:-1] + ', "kty": "EC"}',
        "twice-deep": text[:-1] + ', "x": {"y": 1, "y": 2}}',
        "with-zero-byte": text.replace('"AQAB"', '"AQAB\\u0000"'),
        "truncated": text[:-1],
        "followed": text + "{}",
        "single-quotes": text.replace('"', "'"),
        "deep": text[:-1] + ', "x": ' + "[" * 30000 + "]" * 30000 + "}",
        "deep-objects": '{"a":' * 10000 + "1" + "}" * 10000,
        "many": text[:-1] + ', "oth": [' + ",".join(["{}"] * 20000) + "]}",
        "long": text[:-1] + ', "x": "' + "A" * 70000 + '"}',
        "brace": "{",
    }
    return texts


def main():
    key, other = load(sys.argv[1]), load(sys.argv[2])
    for folder, files in (("good", good(key)), ("bad", bad(key, other))):
        os.makedirs(f"{sys.argv[3]}/{folder}")
        for name, text in files.items():
            with open(f"{sys.argv[3]}/{folder}/{name}.json", "w", encoding="utf-8") as f:
                f.write(text)
    with open(f"{sys.argv[3]}/public.json", "w", encoding="utf-8") as f:
        json.dump(without(key, *PRIVATE), f)


main()
