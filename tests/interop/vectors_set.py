# SPDX-License-Identifier: Apache-2.0
"""Vectors of section 11 of core/FORMAT.md: objects of encryption sets, each with one fault. ref_set.py runs this."""

import os

from ref_conventions import Refusal, b64url_decode, b64url_encode
from ref_files import load_private_key, load_public_key, read_file, write_file
from ref_key import change, flip, in_bs, remove
from ref_set import KEYS, build_set, kid_of, open_set


def in_key(index, name, value):
    return lambda jwks: jwks["keys"][index].update({name: value})


def of_another_set(jwks):
    """Replace key 1 by another one; every kid still names the set of the header."""
    k = os.urandom(32)
    identity = b64url_decode(jwks["keys"][0]["kid"][13:35], 16)
    jwks["keys"][0].update(k=b64url_encode(k), kid=kid_of(identity, 1, k))


def second_key_1(jwks):
    k = os.urandom(32)
    identity = b64url_decode(jwks["keys"][0]["kid"][13:35], 16)
    jwks["keys"].append({"kty": "oct", "k": b64url_encode(k), "kid": kid_of(identity, 1, k), "iat": 0})
    jwks["keys"].sort(key=lambda key: b64url_decode(key["kid"][-12:], 9))


def numbered(text):
    """Give key 2 this number as text, with the check of the number."""

    def edit(jwks):
        key = jwks["keys"][1]
        head, _, check = key["kid"].rsplit("/", 2)
        key["kid"] = f"{head}/{text}/{check}"

    return edit


def with_alg(alg, size):
    def edit(recipients):
        stranger = type(recipients[0])(alg, "stranger", os.urandom(size))
        return [*recipients, stranger]

    return edit


def drop_second(jwe):
    del jwe["recipients"][1]


# name, edit, and how the set is built: keys, gen, to. The class is the text before the first "-"; "ok" is `success`.
FAULTS = (
    ("ok-one-key", {}, {}),
    ("ok-three-keys", {}, {"keys": 3, "gen": 7}),
    ("ok-256-keys", {}, {"keys": 256, "gen": 2**53 - 1}),
    ("ok-twins", {}, {"numbers": (1, 2, 2), "gen": 3}),
    ("ok-gaps", {}, {"numbers": (1, 7, 2**32 - 1), "gen": 3}),
    ("ok-recovery-second", {}, {"to": ("kek2", "kek1")}),
    ("ok-stranger", {"recipients": with_alg("ML-KEM-768", 1088)}, {}),
    ("format-set-other", {"protected": in_bs("set", b64url_encode(bytes(16)))}, {}),
    ("format-set-17", {"protected": in_bs("set", b64url_encode(bytes(17)))}, {}),
    ("format-set-missing", {"protected": lambda p: p["bs"].pop("set")}, {}),
    ("format-gen-0", {"protected": in_bs("gen", 0)}, {}),
    ("format-gen-missing", {"protected": lambda p: p["bs"].pop("gen")}, {}),
    ("format-typ-blobseal", {"protected": change("typ", "blobseal")}, {}),
    ("format-typ-key", {"protected": change("typ", "blobseal-key")}, {}),
    ("format-cty-jwk", {"protected": change("cty", "jwk+json")}, {}),
    ("format-bs-blob", {"protected": in_bs("blob", b64url_encode(bytes(16)))}, {}),
    ("format-bs-layer-1", {"protected": in_bs("layer", 1)}, {}),
    ("format-recipient-a256kw", {"recipients": with_alg("A256KW", 40)}, {}),
    ("format-keys-none", {"content": change("keys", [])}, {}),
    ("format-keys-257", {}, {"keys": 257}),
    ("format-keys-missing", {"content": remove("keys")}, {}),
    ("format-keys-object", {"content": change("keys", {})}, {}),
    ("format-rotated-missing", {"content": remove("rotated")}, {}),
    ("format-rotated-text", {"content": change("rotated", "today")}, {}),
    ("format-content-member", {"content": change("kek", "https://other.vault.azure.net/keys/k")}, {}),
    ("format-key-kty", {"content": in_key(0, "kty", "RSA")}, {}),
    ("format-key-k-31", {"content": in_key(1, "k", b64url_encode(bytes(31)))}, {"keys": 2}),
    ("format-key-member", {"content": in_key(0, "alg", "A256KW")}, {}),
    ("format-key-iat", {"content": in_key(0, "iat", -1)}, {}),
    ("format-key-no-iat", {"content": lambda c: c["keys"][0].pop("iat")}, {}),
    ("format-key-no-1", {}, {"numbers": (2, 3)}),
    ("format-key-two-1", {"content": second_key_1}, {}),
    ("format-key-order", {}, {"numbers": (1, 3, 2), "sort": False}),
    ("format-key-twice", {"content": lambda c: c["keys"].append(c["keys"][1])}, {"keys": 2}),
    ("format-key-n-0", {"content": numbered("0")}, {"keys": 2}),
    ("format-key-n-02", {"content": numbered("02")}, {"keys": 2}),
    ("format-key-n-large", {}, {"numbers": (1, 2**32)}),
    ("format-key-check", {"content": in_key(1, "k", b64url_encode(bytes(32)))}, {"keys": 2}),
    ("format-key-kid-other-set", {"content": in_key(0, "kid", kid_of(bytes(16), 1, bytes(32)))}, {}),
    ("format-jwe-aad", {"jwe": change("aad", "AA")}, {}),
    ("unsupported-v-2", {"protected": in_bs("v", 2)}, {}),
    ("unsupported-v-2-member", {"protected": lambda p: p["bs"].update(v=2, x=1)}, {}),
    ("unsupported-enc", {"protected": change("enc", "A128GCM")}, {}),
    ("unsupported-alg-only", {"recipients": lambda r: with_alg("ML-KEM-768", 1088)(r)[1:]}, {}),
    ("auth-planted", {"content": of_another_set}, {}),
    ("auth-planted-newer", {"content": of_another_set}, {"keys": 3, "gen": 9}),
    ("auth-tag", {"jwe": flip("tag")}, {}),
    ("auth-ciphertext", {"jwe": flip("ciphertext")}, {}),
    ("auth-iv", {"jwe": flip("iv")}, {}),
    ("auth-encrypted-key", {"jwe": flip("encrypted_key")}, {}),
    ("auth-rcpt", {"protected": in_bs("rcpt", b64url_encode(bytes(32)))}, {}),
    ("auth-recovery-dropped", {"jwe": drop_second}, {"to": ("kek1", "kek2")}),
    ("no-key-other", {}, {"to": ("kek2",)}),
)


def make_one(edit, keys=1, gen=1, to=("kek1",), numbers=None, sort=True):
    secrets = [os.urandom(32) for _ in range(len(numbers) if numbers else keys)]
    public_keys = [load_public_key(os.path.join(KEYS, name + ".pem")) for name in to]
    return build_set(public_keys, secrets, gen, numbers, edit, sort)


def fields_of(found):
    newest = found.keys[-1]
    return {"gen": str(found.gen), "keys": str(len(found.keys)), "newest": f"{newest.kid} {newest.k.hex()}"}


def make(folder):
    os.makedirs(folder, exist_ok=True)
    golden = os.path.join(KEYS, "set1.jwe")
    if not os.path.exists(golden):
        write_file(golden, make_one({}, numbers=(1, 2, 2, 3), gen=4)[1])
    for name, edit, how in FAULTS:
        path = os.path.join(folder, name + ".vec")
        if os.path.exists(path):
            continue
        identity, jwe = make_one(edit, **how)
        kind = "no-key" if name.startswith("no-key") else name.split("-")[0].replace("ok", "success")
        head = f"expect: {kind}\nkey: kek1.pem\nset: {b64url_encode(identity)}\n"
        if kind == "success":
            found = open_set(jwe, load_private_key(os.path.join(KEYS, "kek1.pem")), identity)
            head += "".join(f"{name}: {value}\n" for name, value in fields_of(found).items())
        write_file(path, head.encode() + b"\n" + jwe)


def check(paths):
    failed = 0
    for path in paths:
        head, _, jwe = read_file(path).partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\n"))
        key, identity = load_private_key(os.path.join(KEYS, fields["key"])), b64url_decode(fields["set"], 16)
        try:
            got, details = "success", fields_of(open_set(jwe, key, identity))
        except Refusal as refusal:
            got, details = refusal.kind, {}
        if got != fields["expect"] or any(fields.get(name) != details.get(name) for name in ("gen", "keys", "newest")):
            print(f"FAILED: {os.path.basename(path)}: {got}, expected {fields['expect']}")
            failed += 1
    print(f"{len(paths) - failed} passed, {failed} failed")
    return 1 if failed or not paths else 0
