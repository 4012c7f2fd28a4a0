# SPDX-License-Identifier: Apache-2.0
"""Vectors for sections 4.2 to 4.4 of core/FORMAT.md: members of the JWE, its protected header and its content.

Recipients are in vectors_recipients.py.
"""

import base64
import functools
import os

from ref_conventions import b64url_decode, b64url_encode
from ref_envelope import build_content, encrypt_content
from strict_json import to_json
from vector_parts import (
    compact,
    drop,
    envelope_fault,
    flip,
    inside,
    low_bits,
    make_core,
    make_jwe,
    padded,
    recoded,
    setting,
)


def resized(size):
    """Return an edit of bytes that truncates, or appends zeros."""
    return lambda data: data[:size].ljust(size, b"\0")


def jwe_faults(vector):
    fault = functools.partial(envelope_fault, vector)

    def jwe(name, comment, edit):
        fault(f"format-{name}", comment, edit_jwe=edit)

    for member in ("protected", "iv", "ciphertext", "tag", "header", "encrypted_key"):
        jwe(f"jwe-no-{member}", f"JWE without {member}", drop(member))
    for member, value in (("unprotected", {}), ("aad", "AAAA"), ("alg", "RSA-OAEP-256")):
        jwe(f"jwe-with-{member}", f"JWE with {member}", setting(**{member: value}))
    for member in ("protected", "iv", "ciphertext", "tag", "encrypted_key"):
        jwe(f"jwe-{member}-number", f"{member} is a number", setting(**{member: 1}))
    jwe("jwe-header-string", "header is a string", setting(header="{}"))

    for size in (8, 11, 13, 16):
        fault(f"format-iv-{size}", f"iv of {size} bytes, sealed with it", iv=os.urandom(size))
    jwe("iv-0", "iv is empty", setting(iv=""))
    for size in (0, 12, 15):
        jwe(f"tag-{size}", f"tag cut to {size} bytes", recoded("tag", resized(size)))
    jwe("tag-17", "tag of 17 bytes", recoded("tag", resized(17)))


def base64_faults(vector):
    fault = functools.partial(envelope_fault, vector)

    def text(name, member, comment, edit):
        fault(f"format-base64-{name}-{member}", comment, edit_jwe=inside(member, edit))

    for member in ("iv", "tag", "encrypted_key", "ciphertext"):
        text("space", member, f"white space in {member}", lambda t: t[:4] + "\n" + t[4:])
        text("star", member, f"a character outside base64url in {member}", lambda t: "*" + t[1:])
    # The iv is chosen so that its text has - and _. The other base64 alphabet then represents the same bytes
    # differently.
    plus = "+/+/+/+/+/+/+/+/"
    iv = base64.b64decode(plus)
    fault("format-base64-plus", "iv in base64 with + and /", iv=iv, edit_jwe=setting(iv=plus))
    for member in ("tag", "encrypted_key"):
        text("padded", member, f"{member} with = at the end", padded)
        text("low-bits", member, f"unused bits of {member} are not zero", low_bits)
        text("length-1", member, f"{member} with a length of 1 modulo 4", lambda t: t[: len(t) // 4 * 4] + "A")
    text("length", "tag", "tag of an impossible length", lambda t: t[:-1] + "AAA")

    for name, comment, edit in (("low-bits", "unused bits are not zero", low_bits), ("padded", "= at the end", padded)):
        # The content is encrypted with a text of `protected` that is not canonical, so that a lenient reader would open
        # it.
        core, cek = make_core(1), os.urandom(32)
        content = to_json(build_content(core.dek, core.header))

        def odd_length(value):
            """Return JSON followed by spaces, so that its base64url has unused bits."""
            return to_json(value) + b" " * ((1 - len(to_json(value))) % 3)

        def sealed_anew(jwe):
            return {**jwe, **encrypt_content(cek, b64url_decode(jwe["iv"]), content, edit(jwe["protected"]))}

        jwe = make_jwe(core, cek=cek, protected_text=odd_length, edit_jwe=sealed_anew)
        vector(f"format-base64-{name}-protected", f"the text of protected, sealed so: {comment}", compact(core, jwe))


def protected_faults(vector):
    def protected(name, comment, edit, **how):
        envelope_fault(vector, name, comment, edit_protected=edit, **how)

    for member in ("enc", "cty", "typ", "bs"):
        protected(f"format-protected-no-{member}", f"protected header without {member}", drop(member))
        protected(f"format-protected-{member}-number", f"{member} is a number", setting(**{member: 1}))
    for member, value in (("alg", "RSA-OAEP-256"), ("kid", "x"), ("zip", "DEF"), ("crit", ["bs"]), ("b64", "x")):
        text = f"protected header with {member}"
        protected(f"format-protected-with-{member}", text, setting(**{member: value}))
    for enc in ("A128GCM", "A256CBC-HS512", "a256gcm", ""):
        protected(f"unsupported-enc-{enc or 'empty'}", f"enc {enc}", setting(enc=enc))
    protected("format-cty", "cty jwk", setting(cty="jwk"))
    protected("format-cty-case", "cty in capitals", setting(cty="JWK+JSON"))
    protected("format-typ", "typ JOSE", setting(typ="JOSE"))

    def bs(name, comment, edit, **how):
        protected(name, comment, inside("bs", edit), **how)

    for member in ("v", "blob", "layer", "gen", "rcpt"):
        bs(f"format-bs-no-{member}", f"bs without {member}", drop(member))
    bs("format-bs-unknown", "bs with a member not named", setting(x=1))
    for member in ("v", "layer"):
        bs(f"format-bs-{member}-string", f"bs.{member} is a string", setting(**{member: "1"}))
        for value in (0, 2, 2**53 - 1):
            bs(f"unsupported-bs-{member}-{value}", f"bs.{member} is {value}", setting(**{member: value}))
    bs("format-bs-gen-0", "bs.gen is 0", setting(gen=0), detached=True)
    for member in ("v", "layer"):
        other = inside("bs", setting(**{member: 2}))
        later = f"bs.{member} is 2, and "
        for name, comment, edit in (
            ("gen", "bs.gen is 0", inside("bs", setting(gen=0))),
            ("blob", "bs.blob is missing", inside("bs", drop("blob"))),
            ("member", "bs has a member not named", inside("bs", setting(x=[{"y": 1}, []]))),
            ("typ", "typ is another", setting(typ="blobseal-next")),
            ("header-member", "the protected header has a member not named", setting(x={"y": ["z"]})),
        ):
            both = lambda protected, edit=edit, other=other: other(edit(protected))
            protected(f"unsupported-bs-{member}-2-{name}", later + comment, both)
        for name, comment, edit in (
            ("jwe-member", "the JWE has a member not named", setting(x=[[], {}])),
            ("recipient", "a recipient has a member not named", inside("header", setting(epk={"kty": "EC"}))),
            ("iv", "iv has 24 bytes", setting(iv=b64url_encode(bytes(24)))),
        ):
            name = f"unsupported-bs-{member}-2-{name}"
            envelope_fault(vector, name, later + comment, edit_protected=other, edit_jwe=edit)
    for member, size in (("blob", 16), ("rcpt", 32)):
        for wrong in (0, size - 1, size + 1):
            bs(f"format-bs-{member}-{wrong}", f"bs.{member} of {wrong} bytes", recoded(member, resized(wrong)))
        bs(f"format-bs-{member}-low-bits", f"unused bits of bs.{member} are not zero", inside(member, low_bits))
        bs(f"format-bs-{member}-padded", f"bs.{member} with = at the end", inside(member, padded))
        bs(f"format-bs-{member}-number", f"bs.{member} is a number", setting(**{member: 1}))
    bs("format-bs-blob-other", "bs.blob is another blob id", setting(blob=b64url_encode(os.urandom(16))))
    bs("auth-rcpt", "rcpt, sealed so, is not that of the recipients", setting(rcpt=b64url_encode(bytes(32))))


def content_faults(vector):
    fault = functools.partial(envelope_fault, vector)

    def content(name, comment, edit):
        fault(name, comment, edit_content=edit)

    def random(size):
        return b64url_encode(os.urandom(size))

    for member in ("kty", "k", "kid", "hdr"):
        content(f"format-content-no-{member}", f"content without {member}", drop(member))
        content(f"format-content-{member}-number", f"content, {member} is a number", setting(**{member: 1}))
    for member, value in (("alg", "A256GCM"), ("use", "enc")):
        content(f"format-content-with-{member}", f"content with {member}", setting(**{member: value}))
    content("format-content-kty-rsa", "kty RSA", setting(kty="RSA"))
    for size in (0, 16, 31, 33, 64):
        content(f"format-content-k-{size}", f"k of {size} bytes", setting(k=random(size)))
    for member in ("k", "kid"):
        text = f"content, unused bits of {member} are not zero"
        content(f"format-content-{member}-low-bits", text, inside(member, low_bits))
        content(f"format-content-{member}-padded", f"content, {member} with = at the end", inside(member, padded))
    content("format-content-kid-15", "content, kid of 15 bytes", setting(kid=random(15)))
    for size in (95, 97):
        content(f"format-content-hdr-{size}", f"content, hdr of {size} bytes", recoded("hdr", resized(size)))
    content("format-content-kid-other", "content, kid is the id of another blob", setting(kid=random(16)))
    content("auth-content-k", "content, k is another DEK: the commitment does not match", setting(k=random(32)))
    for at in (8, 13, 20, 40, 60, 95):
        text = f"hdr differs in byte {at} from the core header"
        content(f"auth-content-hdr-{at}", text, recoded("hdr", lambda header: flip(header, at)))
    text = "the content has 8193 bytes, white space at the end"
    fault("format-content-8193", text, content_text=lambda c: to_json(c).ljust(8193))
    core = make_core(100)
    blob = compact(core, make_jwe(core, content_text=lambda c: to_json(c).ljust(8192)))
    vector("ok-content-8192", "the content has 8192 bytes, white space at the end", blob, core.plain)
    fault("format-content-empty", "the content is empty", content_text=lambda _: b"")
    fault("format-content-jwk-set", "the content is a JWK set", content_text=lambda c: to_json({"keys": [c]}))
    fault("format-content-dek", "the content is the bare DEK", content_text=lambda c: b64url_decode(c["k"]))
