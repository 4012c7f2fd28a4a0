#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section 10 of core/FORMAT.md: keys of applications. Written from that page, without blobseal's source.

Usage: ref_key.py wrap KEY PURPOSE SECRET      print a wrapped key; SECRET is 64 hexadecimal digits
       ref_key.py unwrap KEY PURPOSE FILE      print the secret, or the class of the refusal and exit with 1
       ref_key.py check DIR                    unwrap every vector in DIR
       ref_key.py make DIR                     add vectors that are not in DIR yet
"""

import glob
import hmac
import json
import os
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from ref_conventions import Refusal, b64url_decode, b64url_encode, not_authentic, refuse_unless
from ref_envelope import (
    KNOWN_ALGS,
    MAX_ATTEMPTS,
    MAX_ENVELOPE,
    OAEP_HASH,
    build_jwe,
    key_id,
    parse_recipients,
    printable,
    recipients_digest,
    unwrap,
    wrap,
)
from ref_files import load_private_key, load_public_key, read_file, write_file
from strict_json import Members, check_members, parse_json

HERE = os.path.dirname(os.path.abspath(__file__))
KEYS = os.path.join(HERE, "..", "vectors", "format")
MAX_PURPOSE = 64

# ---- Reading -----------------------------------------------------


def parse_protected(text, purpose):
    """Check the protected header before any key is used; return `rcpt`."""
    protected = parse_json(b64url_decode(text))
    check_members(protected, {"enc": str, "cty": str, "typ": str, "bs": Members})
    refuse_unless(protected["enc"] == "A256GCM", "unsupported", "content encryption algorithm")
    refuse_unless(protected["cty"] == "jwk+json" and protected["typ"] == "blobseal-key", "format", "cty or typ")
    bs = protected["bs"]
    check_members(bs, {"v": int, "purpose": str, "rcpt": str})
    refuse_unless(bs["v"] == 1, "unsupported", "version")
    refuse_unless(bs["purpose"] == purpose, "format", "purpose")
    return b64url_decode(bs["rcpt"], 32)


def decrypt(jwe, recipients, private_key):
    ours = [r for r in recipients if r.alg in OAEP_HASH and r.kid == key_id(private_key.public_key())]
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


def unwrap_key(data, private_key, purpose):
    """Return the secret of a wrapped key, or raise a Refusal."""
    refuse_unless(1 <= len(data) <= MAX_ENVELOPE, "format", "length")
    jwe = parse_json(data)
    recipients = parse_recipients(jwe)
    rcpt = parse_protected(jwe["protected"], purpose)
    content = decrypt(jwe, recipients, private_key)
    if not hmac.compare_digest(rcpt, recipients_digest(recipients)):
        raise not_authentic()
    jwk = parse_json(content)
    check_members(jwk, {"kty": str, "k": str})
    refuse_unless(jwk["kty"] == "oct", "format", "kty")
    return b64url_decode(jwk["k"], 32)


# ---- Writing -----------------------------------------------------


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


def wrap_key(public_keys, purpose, secret, edit=None):
    """Return a wrapped key. `edit` may change its parts: recipients, protected header, content, and the JWE."""
    edit = edit or {}
    cek = os.urandom(32)
    recipients = edit.get("recipients", lambda r: r)([wrap(key, cek) for key in public_keys])
    rcpt = b64url_encode(recipients_digest(recipients))
    protected = {
        "enc": "A256GCM",
        "cty": "jwk+json",
        "typ": "blobseal-key",
        "bs": {"v": 1, "purpose": purpose, "rcpt": rcpt},
    }
    edit.get("protected", lambda p: None)(protected)
    content = {"kty": "oct", "k": b64url_encode(secret)}
    edit.get("content", lambda c: None)(content)
    jwe = build_jwe(cek, compact(protected), compact(content), recipients)
    edit.get("jwe", lambda j: None)(jwe)
    return compact(jwe)


# ---- Vectors -----------------------------------------------------


def change(name, value):
    return lambda members: members.update({name: value})


def in_bs(name, value):
    return lambda protected: protected["bs"].update({name: value})


def remove(name):
    return lambda members: members.pop(name)


def flip(name):
    """Change the first character of a base64url member of the JWE."""
    return lambda jwe: jwe.update({name: ("B" if jwe[name][0] == "A" else "A") + jwe[name][1:]})


def header_text(old, new):
    """Change the text of the protected header after encryption, as somebody without the key can."""

    def edit(jwe):
        text = b64url_decode(jwe["protected"]).replace(old, new)
        jwe["protected"] = b64url_encode(text)

    return edit


def swapped(recipients):
    """Give the recipients each other's key ids."""
    recipients[0].kid, recipients[1].kid = recipients[1].kid, recipients[0].kid
    return recipients


def drop_first(jwe):
    jwe["recipients"].pop(0)


# name, edit, number of recipients; the class is the text before the first "-". "ok" is `success`.
FAULTS = (
    ("ok-one", {}, 1),
    ("ok-two", {}, 2),
    ("ok-purpose-1", {}, 1),
    ("ok-purpose-64", {}, 1),
    ("format-purpose-other", {"protected": in_bs("purpose", "other")}, 1),
    ("format-purpose-longer", {"protected": in_bs("purpose", "cookie-signing2")}, 1),
    ("format-purpose-missing", {"protected": lambda p: p["bs"].pop("purpose")}, 1),
    ("format-typ-blobseal", {"protected": change("typ", "blobseal")}, 1),
    ("format-typ-missing", {"protected": remove("typ")}, 1),
    ("format-cty", {"protected": change("cty", "json")}, 1),
    ("format-bs-gen", {"protected": in_bs("gen", 1)}, 1),
    ("format-protected-crit", {"protected": change("crit", ["bs"])}, 1),
    ("format-k-31", {"content": change("k", b64url_encode(bytes(31)))}, 1),
    ("format-k-33", {"content": change("k", b64url_encode(bytes(33)))}, 1),
    ("format-kty", {"content": change("kty", "RSA")}, 1),
    ("format-content-kid", {"content": change("kid", "AAAAAAAAAAAAAAAAAAAAAA")}, 1),
    ("format-jwe-aad", {"jwe": change("aad", "AA")}, 1),
    ("unsupported-v-2", {"protected": in_bs("v", 2)}, 1),
    ("unsupported-enc", {"protected": change("enc", "A128GCM")}, 1),
    ("auth-purpose-edited", {"protected": in_bs("purpose", "other"), "jwe": header_text(b"other", b"cookie-signing")}, 1),
    ("auth-tag", {"jwe": flip("tag")}, 1),
    ("auth-ciphertext", {"jwe": flip("ciphertext")}, 1),
    ("auth-encrypted-key", {"jwe": flip("encrypted_key")}, 1),
    ("auth-rcpt", {"protected": in_bs("rcpt", b64url_encode(bytes(32)))}, 1),
    ("auth-recipient-dropped", {"jwe": drop_first}, 2),
    ("auth-kids-swapped", {"recipients": swapped}, 2),
    ("no-key-other", {}, 0),
)
PURPOSES = {"ok-purpose-1": "x", "ok-purpose-64": "!~" * 32}


def make(folder):
    keys = [load_public_key(os.path.join(KEYS, name)) for name in ("kek2.pem", "kek1.pem")]
    for name, edit, num in FAULTS:
        path = os.path.join(folder, name + ".vec")
        if os.path.exists(path):
            continue
        secret, purpose = os.urandom(32), PURPOSES.get(name, "cookie-signing")
        public_keys = keys[2 - num :] if num > 0 else keys[:1]
        jwe = wrap_key(public_keys, purpose, secret, edit)
        kind = "no-key" if name.startswith("no-key") else name.split("-")[0].replace("ok", "success")
        head = f"expect: {kind}\nkey: kek1.pem\npurpose: {purpose}\n"
        if kind == "success":
            head += f"secret: {secret.hex()}\n"
        write_file(path, head.encode() + b"\n" + jwe)


def check(folder):
    failed, paths = 0, sorted(glob.glob(os.path.join(folder, "*.vec")))
    for path in paths:
        head, _, jwe = read_file(path).partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\n"))
        try:
            key = load_private_key(os.path.join(KEYS, fields["key"]))
            got, secret = "success", unwrap_key(jwe, key, fields["purpose"]).hex()
        except Refusal as refusal:
            got, secret = refusal.kind, None
        if got != fields["expect"] or secret != fields.get("secret"):
            print(f"FAILED: {os.path.basename(path)}: {got}, expected {fields['expect']}")
            failed += 1
    print(f"{len(paths) - failed} passed, {failed} failed")
    return 1 if failed or not paths else 0


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "check":
        return check(arguments[1])
    if len(arguments) == 2 and arguments[0] == "make":
        make(arguments[1])
        return check(arguments[1])
    if len(arguments) != 4 or arguments[0] not in ("wrap", "unwrap"):
        print(__doc__, file=sys.stderr)
        return 2
    what, key, purpose, last = arguments
    if what == "wrap":
        if not printable(purpose, MAX_PURPOSE):
            print("a purpose is 1 to 64 characters from '!' to '~'", file=sys.stderr)
            return 2
        print(wrap_key([load_public_key(key)], purpose, bytes.fromhex(last)).decode(), end="")
        return 0
    try:
        print(unwrap_key(read_file(last), load_private_key(key), purpose).hex(), end="")
        return 0
    except Refusal as refusal:
        print(refusal.kind, end="")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
