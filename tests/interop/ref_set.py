#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section 11 of core/FORMAT.md: encryption sets. Written from that page, without blobseal's source.

Usage: ref_set.py show KEY.pem SETID FILE      print the keys of the object of a set, as a JWK Set
       ref_set.py check DIR                    open every vector in DIR
       ref_set.py make DIR                     add vectors that are not in DIR yet, and set1.jwe in the folder of keys
"""

import glob
import hashlib
import hmac
import os
import re
import sys
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from ref_conventions import MAX_INT, Refusal, b64url_decode, b64url_encode, not_authentic, refuse_unless
from ref_envelope import (
    KNOWN_ALGS,
    MAX_ATTEMPTS,
    MAX_ENVELOPE,
    SET_ALG,
    SetKey,
    build_jwe,
    names_of,
    other_version,
    parse_recipients,
    recipients_digest,
    unwrap,
    wrap,
)
from ref_files import load_private_key, read_file
from strict_json import Members, check_members, parse_json, to_json

HERE = os.path.dirname(os.path.abspath(__file__))
KEYS = os.path.join(HERE, "..", "vectors", "format")
MAX_CONTENT = 40960
MAX_KEYS = 256
KID = re.compile(r"blobseal-set:([A-Za-z0-9_-]{22})/([1-9][0-9]{0,9})/([A-Za-z0-9_-]{12})")

# ---- Names -------------------------------------------------------


def set_id(first_key):
    return hashlib.sha256(b"blobseal-set/v1 id\0" + first_key).digest()[:16]


def check_of(identity, n, k):
    return hashlib.sha256(b"blobseal-set/v1 key\0" + identity + n.to_bytes(8, "little") + k).digest()[:9]


def kid_of(identity, n, k):
    return f"blobseal-set:{b64url_encode(identity)}/{n}/{b64url_encode(check_of(identity, n, k))}"


# ---- Reading -----------------------------------------------------


@dataclass
class Set:
    gen: int
    keys: list  # of SetKey
    rotated: int


def parse_protected(text, identity):
    """Check the protected header before any key is used; return `bs`."""
    protected = parse_json(b64url_decode(text))
    check_members(protected, {"enc": str, "cty": str, "typ": str, "bs": Members})
    refuse_unless(protected["enc"] == "A256GCM", "unsupported", "content encryption algorithm")
    refuse_unless(protected["cty"] == "jwk-set+json" and protected["typ"] == "blobseal-set", "format", "cty or typ")
    bs = protected["bs"]
    check_members(bs, {"v": int, "set": str, "gen": int, "rcpt": str})
    refuse_unless(1 <= bs["gen"] <= MAX_INT, "format", "generation")
    refuse_unless(b64url_decode(bs["set"], 16) == identity, "format", "the object of another set")
    return bs


def parse_key(value, identity):
    """Return (n, c, SetKey)."""
    check_members(value, {"kty": str, "k": str, "kid": str, "iat": int})
    refuse_unless(value["kty"] == "oct", "format", "kty")
    k, match = b64url_decode(value["k"], 32), KID.fullmatch(value["kid"])
    refuse_unless(match is not None, "format", "kid")
    n = int(match[2])
    refuse_unless(n < 2**32 and value["kid"] == kid_of(identity, n, k), "format", "kid")
    return n, b64url_decode(match[3], 9), SetKey(value["kid"], k)


def parse_content(content, identity):
    jwks = parse_json(content)
    check_members(jwks, {"keys": list, "rotated": int})
    refuse_unless(1 <= len(jwks["keys"]) <= MAX_KEYS, "format", "number of keys")
    parsed = [parse_key(value, identity) for value in jwks["keys"]]
    order = [(n, c) for n, c, _ in parsed]
    refuse_unless(order == sorted(set(order)), "format", "order of the keys")
    refuse_unless([n for n, _ in order].count(1) == 1, "format", "key 1")
    keys = [key for _, _, key in parsed]
    if not hmac.compare_digest(set_id(keys[0].k), identity):
        raise not_authentic()
    return keys, jwks["rotated"]


def claimed_id(data):
    """Return the set id that an object claims, for tests that have no definition of the set."""
    return b64url_decode(parse_json(b64url_decode(parse_json(data)["protected"]))["bs"]["set"], 16)


def decrypt(jwe, recipients, private_key):
    names = names_of(private_key)
    ours = [r for r in recipients if (r.alg, r.kid) in names]
    if not ours:
        unknown = any(r.alg not in KNOWN_ALGS for r in recipients)
        raise Refusal("unsupported" if unknown else "no-key", "no recipient is for this key")
    iv, ciphertext, tag = b64url_decode(jwe["iv"], 12), b64url_decode(jwe["ciphertext"]), b64url_decode(jwe["tag"], 16)
    for recipient in ours[:MAX_ATTEMPTS]:
        try:
            return AESGCM(unwrap(recipient, private_key)).decrypt(iv, ciphertext + tag, jwe["protected"].encode())
        except InvalidTag:
            continue
    raise not_authentic()


def open_set(data, private_key, identity):
    """Return the Set in an object, or raise a Refusal."""
    refuse_unless(1 <= len(data) <= MAX_ENVELOPE, "format", "length")
    jwe = parse_json(data)
    refuse_unless(not other_version(jwe), "unsupported", "version of the object")
    recipients = parse_recipients(jwe)
    bs = parse_protected(jwe["protected"], identity)
    refuse_unless(all(r.alg != SET_ALG for r in recipients), "format", "a set under a set key")
    b64url_decode(jwe["iv"], 12), b64url_decode(jwe["tag"], 16)
    b64url_decode(jwe["ciphertext"], maximum=MAX_CONTENT)
    content = decrypt(jwe, recipients, private_key)
    if not hmac.compare_digest(b64url_decode(bs["rcpt"], 32), recipients_digest(recipients)):
        raise not_authentic()
    keys, rotated = parse_content(content, identity)
    return Set(bs["gen"], keys, rotated)


# ---- Writing -----------------------------------------------------


def build_set(public_keys, secrets, gen=1, numbers=None, edit=None, sort=True):
    """Return (set id, object). `edit` may change its parts, as in ref_key.py."""
    edit, cek, iat = edit or {}, os.urandom(32), 1764547200
    identity = set_id(secrets[0])
    recipients = edit.get("recipients", lambda r: r)([wrap(key, cek) for key in public_keys])
    numbers = numbers or range(1, len(secrets) + 1)
    keys = list(zip(numbers, secrets))
    if sort:
        keys.sort(key=lambda key: (key[0], check_of(identity, *key)))
    jwks = {
        "keys": [{"kty": "oct", "k": b64url_encode(k), "kid": kid_of(identity, n, k), "iat": iat + n} for n, k in keys],
        "rotated": iat,
    }
    edit.get("content", lambda c: None)(jwks)
    bs = {"v": 1, "set": b64url_encode(identity), "gen": gen, "rcpt": b64url_encode(recipients_digest(recipients))}
    protected = {"enc": "A256GCM", "cty": "jwk-set+json", "typ": "blobseal-set", "bs": bs}
    edit.get("protected", lambda p: None)(protected)
    jwe = build_jwe(cek, to_json(protected), to_json(jwks), recipients)
    edit.get("jwe", lambda j: None)(jwe)
    return identity, to_json(jwe)


def main(arguments):
    import vectors_set

    if len(arguments) == 2 and arguments[0] in ("check", "make"):
        if arguments[0] == "make":
            vectors_set.make(arguments[1])
        return vectors_set.check(sorted(glob.glob(os.path.join(arguments[1], "*.vec"))))
    if len(arguments) != 4 or arguments[0] != "show":
        print(__doc__, file=sys.stderr)
        return 2
    try:
        found = open_set(read_file(arguments[3]), load_private_key(arguments[1]), b64url_decode(arguments[2], 16))
    except Refusal as refusal:
        print(refusal.kind, end="")
        return 1
    keys = [{"kty": "oct", "k": b64url_encode(key.k), "kid": key.kid, "alg": SET_ALG} for key in found.keys]
    print(to_json({"gen": found.gen, "keys": keys}).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
