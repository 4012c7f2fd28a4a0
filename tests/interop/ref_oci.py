#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section 12.1 of core/FORMAT.md: keys of layers of OCI images. Written from that page, without blobseal's source.

Usage: ref_oci.py wrap KEY OPTIONS       print the JWE with the private options OPTIONS, which is JSON
       ref_oci.py unwrap KEY FILE        print the private options, or the class of the refusal and exit with 1
       ref_oci.py check DIR              unwrap every vector in DIR
       ref_oci.py make DIR               add vectors that are not in DIR yet
"""

import base64
import glob
import hmac
import json
import os
import sys

from ref_conventions import MAX_INT, Refusal, b64url_decode, b64url_encode, not_authentic, refuse_unless
from ref_envelope import MAX_ENVELOPE, build_jwe, other_version, parse_recipients, recipients_digest, wrap
from ref_files import load_private_key, load_public_key, read_file, write_file
from ref_key import KEYS, change, compact, decrypt, drop_first, flip, in_bs, remove, swapped
from strict_json import Members, check_members, parse_json

MAX_OPTIONS = 4096

# ---- Reading -----------------------------------------------------


def parse_protected(text):
    """Check the protected header before any key is used; return `rcpt`."""
    protected = parse_json(b64url_decode(text))
    refuse_unless(protected.get("typ") != "blobseal", "unsupported", "the envelope of a blob")
    check_members(protected, {"enc": str, "cty": str, "typ": str, "bs": Members})
    refuse_unless(protected["enc"] == "A256GCM", "unsupported", "content encryption algorithm")
    refuse_unless(protected["cty"] == "json" and protected["typ"] == "blobseal-oci", "format", "cty or typ")
    bs = protected["bs"]
    check_members(bs, {"v": int, "gen": int, "rcpt": str})
    refuse_unless(1 <= bs["gen"] <= MAX_INT, "format", "generation")
    return b64url_decode(bs["rcpt"], 32)


def has_bytes(members, name, length):
    try:
        return len(base64.b64decode(members[name], validate=True)) == length
    except (KeyError, TypeError, ValueError):
        return False


def without_twins(pairs):
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a member appears twice")
    return dict(pairs)


def check_options(content):
    try:
        options = json.loads(content, object_pairs_hook=without_twins)
        good = has_bytes(options, "symkey", 32) and has_bytes(options.get("cipheroptions", {}), "nonce", 16)
    except (AttributeError, TypeError, ValueError):
        good = False
    refuse_unless(good, "format", "private options")


def unwrap_options(data, private_key):
    """Return the private options, or raise a Refusal."""
    refuse_unless(1 <= len(data) <= MAX_ENVELOPE, "format", "length")
    jwe = parse_json(data)
    refuse_unless(not other_version(jwe), "unsupported", "version")
    recipients = parse_recipients(jwe)
    rcpt = parse_protected(jwe["protected"])
    refuse_unless(len(b64url_decode(jwe["ciphertext"])) <= MAX_OPTIONS, "format", "length of the content")
    content = decrypt(jwe, recipients, private_key)
    if not hmac.compare_digest(rcpt, recipients_digest(recipients)):
        raise not_authentic()
    check_options(content)
    return content


# ---- Writing -----------------------------------------------------


def wrap_options(public_keys, options, edit=None):
    """Return a JWE with private options. `edit` may change its parts, as in ref_key.py; content is text here."""
    edit, cek = edit or {}, os.urandom(32)
    recipients = edit.get("recipients", lambda r: r)([wrap(key, cek) for key in public_keys])
    bs = {"v": 1, "gen": 1, "rcpt": b64url_encode(recipients_digest(recipients))}
    protected = {"enc": "A256GCM", "cty": "json", "typ": "blobseal-oci", "bs": bs}
    edit.get("protected", lambda p: None)(protected)
    jwe = build_jwe(cek, compact(protected), edit.get("content", lambda c: c)(options), recipients)
    edit.get("jwe", lambda j: None)(jwe)
    return compact(jwe)


def new_options():
    nonce, key, digest = os.urandom(16), os.urandom(32), os.urandom(32)
    return compact(
        {
            "symkey": base64.b64encode(key).decode(),
            "digest": "sha256:" + digest.hex(),
            "cipheroptions": {"nonce": base64.b64encode(nonce).decode()},
        }
    )


# ---- Vectors -----------------------------------------------------


def options_with(**members):
    return lambda text: compact({**json.loads(text), **members})


def options_without(name):
    return lambda text: compact({key: value for key, value in json.loads(text).items() if key != name})


def nonce_of(length):
    return options_with(cipheroptions={"nonce": base64.b64encode(bytes(length)).decode()})


def envelope_of_a_blob(protected):
    protected.update(typ="blobseal", cty="jwk+json")
    protected["bs"].update(blob="AAAAAAAAAAAAAAAAAAAAAA", layer=1)


# name, edit, number of recipients; the class is the text before the first "-". "ok" is `success`.
FAULTS = (
    ("ok-one", {}, 1),
    ("ok-two", {}, 2),
    ("ok-gen-highest", {"protected": in_bs("gen", MAX_INT)}, 1),
    ("ok-unknown-members", {"content": options_with(later=[1.5, None, {"a": True}])}, 1),
    ("ok-no-digest", {"content": options_without("digest")}, 1),
    ("format-gen-0", {"protected": in_bs("gen", 0)}, 1),
    ("format-gen-missing", {"protected": lambda p: p["bs"].pop("gen")}, 1),
    ("format-bs-blob", {"protected": in_bs("blob", "AAAAAAAAAAAAAAAAAAAAAA")}, 1),
    ("format-bs-purpose", {"protected": in_bs("purpose", "x")}, 1),
    ("format-typ-key", {"protected": change("typ", "blobseal-key")}, 1),
    ("format-typ-missing", {"protected": remove("typ")}, 1),
    ("format-cty-jwk", {"protected": change("cty", "jwk+json")}, 1),
    ("format-protected-zip", {"protected": change("zip", "DEF")}, 1),
    ("format-jwe-aad", {"jwe": change("aad", "AA")}, 1),
    ("format-nonce-15", {"content": nonce_of(15)}, 1),
    ("format-nonce-17", {"content": nonce_of(17)}, 1),
    ("format-nonce-missing", {"content": options_without("cipheroptions")}, 1),
    ("format-symkey-31", {"content": options_with(symkey=base64.b64encode(bytes(31)).decode())}, 1),
    ("format-symkey-missing", {"content": options_without("symkey")}, 1),
    ("format-options-twice", {"content": lambda text: text[:-1] + b',"symkey":"' + b"A" * 43 + b'="}'}, 1),
    ("format-options-array", {"content": lambda text: b"[" + text + b"]"}, 1),
    ("unsupported-typ-blobseal", {"protected": envelope_of_a_blob}, 1),
    ("unsupported-v-2", {"protected": in_bs("v", 2)}, 1),
    ("unsupported-v-2-member", {"protected": lambda p: p["bs"].update(v=2, more="x")}, 1),
    ("unsupported-enc", {"protected": change("enc", "A128GCM")}, 1),
    ("auth-tag", {"jwe": flip("tag")}, 1),
    ("auth-ciphertext", {"jwe": flip("ciphertext")}, 1),
    ("auth-encrypted-key", {"jwe": flip("encrypted_key")}, 1),
    ("auth-rcpt", {"protected": in_bs("rcpt", b64url_encode(bytes(32)))}, 1),
    ("auth-recipient-dropped", {"jwe": drop_first}, 2),
    ("auth-kids-swapped", {"recipients": swapped}, 2),
    ("no-key-other", {}, 0),
)


def make(folder):
    keys = [load_public_key(os.path.join(KEYS, name)) for name in ("kek2.pem", "kek1.pem")]
    os.makedirs(folder, exist_ok=True)
    for name, edit, num in FAULTS:
        path = os.path.join(folder, name + ".vec")
        if os.path.exists(path):
            continue
        options = edit.get("content", lambda c: c)(new_options())
        keep = {key: value for key, value in edit.items() if key != "content"}
        jwe = wrap_options(keys[2 - num :] if num > 0 else keys[:1], options, keep)
        kind = "no-key" if name.startswith("no-key") else name.split("-")[0].replace("ok", "success")
        head = f"expect: {kind}\nkey: kek1.pem\n"
        if kind == "success":
            head += f"options: {options.decode()}\n"
        write_file(path, head.encode() + b"\n" + jwe)


def check(folder):
    failed, paths = 0, sorted(glob.glob(os.path.join(folder, "*.vec")))
    for path in paths:
        head, _, jwe = read_file(path).partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\n"))
        try:
            key = load_private_key(os.path.join(KEYS, fields["key"]))
            got, options = "success", unwrap_options(jwe, key).decode()
        except Refusal as refusal:
            got, options = refusal.kind, None
        if got != fields["expect"] or options != fields.get("options"):
            print(f"FAILED: {os.path.basename(path)}: {got}, expected {fields['expect']}")
            failed += 1
    print(f"{len(paths) - failed} passed, {failed} failed")
    return 1 if failed or not paths else 0


def main(arguments):
    if len(arguments) == 2 and arguments[0] in ("check", "make"):
        if arguments[0] == "make":
            make(arguments[1])
        return check(arguments[1])
    if len(arguments) != 3 or arguments[0] not in ("wrap", "unwrap"):
        print(__doc__, file=sys.stderr)
        return 2
    what, key, last = arguments
    if what == "wrap":
        print(wrap_options([load_public_key(key)], last.encode()).decode(), end="")
        return 0
    try:
        print(unwrap_options(read_file(last), load_private_key(key)).decode(), end="")
        return 0
    except Refusal as refusal:
        print(refusal.kind, end="")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
