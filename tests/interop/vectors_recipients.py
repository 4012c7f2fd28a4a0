# SPDX-License-Identifier: Apache-2.0
"""Vectors for the recipients, sections 4.2 and 4.6 of core/FORMAT.md: their headers, unwrapping, and tampering."""

import functools
import json
import os
from dataclasses import replace

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from ref_conventions import b64url_encode
from ref_envelope import KID_PREFIX, Recipient, build_recipient, key_id, wrap_for_set
from strict_json import to_json
from vector_parts import (
    KEYS,
    SET_KEYS,
    compact,
    drop,
    envelope_fault,
    flip,
    inside,
    make_core,
    make_jwe,
    put,
    recoded,
    setting,
    stranger,
    wrap,
)


def instead(*recipients):
    """Return an edit that replaces the list of recipients by these."""
    return lambda _: list(recipients)


def beside(*recipients):
    """Return an edit that appends these recipients to the list."""
    return lambda others: [*others, *recipients]


def second(edit):
    """Return an edit that applies to the second recipient of a JWE."""
    return inside("recipients", lambda r: [r[0], edit(r[1]), *r[2:]])


def to_general(jwe):
    names = ("header", "encrypted_key")
    return {**drop(*names)(jwe), "recipients": [{name: jwe[name] for name in names}]}


def golden_recipients(vector):
    def golden(name, comment, key="kek1", **how):
        core = make_core(100)
        vector(f"ok-{name}", comment, compact(core, make_jwe(core, **how)), core.plain, key=key)

    two = ("kek1", "kek2")
    golden("two-recipients-first", "two recipients, opened by the first", to=two)
    golden("two-recipients-second", "two recipients, opened by the second", "kek2", to=two)
    golden("rsa-3072", "a key of 3072 bits", "kek3", to=("kek3",))
    cek = os.urandom(32)
    mixed = instead(wrap("kek1", cek, "RSA-OAEP"), wrap("kek2", cek), wrap("kek3", cek))
    for key in ("kek1", "kek2", "kek3"):
        text = f"three recipients, both algorithms; opened by {key}"
        golden(f"three-recipients-{key}", text, key, cek=cek, edit_recipients=mixed)
    sha1 = wrap("kek1", cek, "RSA-OAEP")
    golden("rsa-oaep-sha1", "one recipient with RSA-OAEP", cek=cek, edit_recipients=instead(sha1))
    cek = os.urandom(32)
    for name, alg, size in (
        *(("A256KW", "A256KW", 40), ("RSA1_5", "RSA1_5", 256), ("dir", "dir", 1), ("case", "rsa-oaep-256", 256)),
        *(("1", "x", 4096), ("64", "!" * 32 + "~" * 32, 300)),
    ):
        text = f"the first of two recipients has an unknown algorithm: {name}"
        before = instead(stranger("x", alg, size), wrap("kek1", cek))
        golden(f"unknown-alg-{name}", text, cek=cek, edit_recipients=before)
    after = beside(stranger("x", "A256KW", 40), stranger("y", "ML-KEM-768", 1088))
    golden("unknown-alg-after", "two recipients with unknown algorithms after the reader's", edit_recipients=after)
    for size in (1, 128, 255, 257, 1024, 4096):
        text = f"encrypted_key of {size} bytes of another recipient, who has RSA-OAEP-256"
        golden(f"encrypted-key-{size}", text, edit_recipients=beside(stranger("x", size=size)))
    others = [stranger(f"urn:example:{i}") for i in range(63)]
    golden("64-recipients", "64 recipients, the last of them fits", edit_recipients=lambda r: others + r)
    odd = [stranger("!" + "k" * 510 + "~"), stranger("x", "RSA-OAEP", 512), stranger("y", size=384)]
    text = "a kid of 512 characters and one of 1; keys of 4096 and 3072 bits"
    golden("kid-lengths", text, edit_recipients=lambda r: odd + r)
    golden("general-one-recipient", "the general form for one recipient", edit_jwe=to_general)


# ---- Members -----------------------------------------------------


def recipients_faults(vector):
    """The two forms, and the members of a recipient."""
    fault = functools.partial(envelope_fault, vector)

    def general(name, comment, edit):
        fault(f"format-{name}", comment, to=("kek1", "kek2"), edit_jwe=edit)

    def both_forms(jwe):
        return {**jwe, "recipients": to_general(jwe)["recipients"]}

    def beside_recipients(jwe):
        return {**jwe, "header": jwe["recipients"][0]["header"]}

    text = "header and encrypted_key beside recipients"
    fault("format-jwe-header-and-recipients", text, edit_jwe=both_forms)
    general("jwe-header-beside-recipients", "header beside recipients", beside_recipients)
    neither = drop("header", "encrypted_key")
    fault("format-jwe-no-recipients", "neither header nor recipients", edit_jwe=neither)
    general("recipients-empty", "recipients is empty", setting(recipients=[]))
    general("recipients-object", "recipients is an object", inside("recipients", lambda r: r[0]))
    general("recipients-of-strings", "a recipient is a string", inside("recipients", beside("kek")))
    general("recipient-unknown-member", "a recipient with a member not named", second(setting(x="y")))
    general("recipient-no-key", "a recipient without encrypted_key", second(drop("encrypted_key")))
    general("recipient-no-header", "a recipient without header", second(drop("header")))
    others = beside(*(stranger(f"urn:example:{i}") for i in range(64)))
    fault("format-65-recipients", "65 recipients", edit_recipients=others)
    text = "two recipients of one kid, other than the reader's"
    fault("format-duplicate-kid", text, edit_recipients=beside(stranger("x"), stranger("x")))
    own = key_id(KEYS["kek1"])
    text = "two recipients of the reader's kid"
    fault("format-duplicate-kid-own", text, edit_recipients=beside(stranger(own)))

    for size in (0, 4097):
        other = stranger("x", size=size) if size else Recipient("RSA-OAEP-256", "x", b"")
        text = f"encrypted_key of {size} bytes, of another recipient"
        fault(f"format-encrypted-key-{size}", text, edit_recipients=beside(other))
        other = replace(other, alg="unknown")
        fault(f"format-encrypted-key-{size}-unknown", text + " with an unknown alg", edit_recipients=beside(other))


def recipient_header_faults(vector):
    fault = functools.partial(envelope_fault, vector)

    def header(name, comment, edit):
        fault(f"format-{name}", comment, edit_jwe=inside("header", edit))

    for member in ("alg", "kid"):
        header(f"header-no-{member}", f"header without {member}", drop(member))
        header(f"header-{member}-number", f"{member} is a number", setting(**{member: 1}))
    for member, value in (
        ("enc", "A256GCM"),
        ("jku", "https://keys.example/"),
        ("x5u", "https://keys.example/"),
        ("jwk", {"kty": "RSA"}),
        ("crit", ["exp"]),
        ("zip", "DEF"),
        ("x", "y"),
    ):
        header(f"header-with-{member}", f"header with {member}", setting(**{member: value}))

    def kid_twice(jwe):
        return to_json(jwe).replace(b'"header":{', b'"header":{"kid":"x",', 1)

    fault("format-header-duplicate", "header with kid twice", jwe_text=kid_twice)
    header("header-with-region", "header with region", setting(region="eu-central-1"))
    header("header-with-epk", "header with epk and another alg", setting(alg="ECDH-ES+A256KW", epk={"kty": "EC"}))
    algs = {"empty": "", "65": "a" * 65, "space": "a a", "del": "a\u007f", "non-ascii": "\u00e4", "nul": "RSA-OAEP\0"}
    for name, value in algs.items():
        text = f"alg of another recipient: {name}"
        fault(f"format-alg-{name}", text, edit_recipients=beside(stranger("x", value)))
    kids = {"empty": "", "513": "k" * 513, "space": "k k", "del": "k\u007f", "non-ascii": "\u00e4", "nul": "k\0"}
    for name, value in kids.items():
        text = f"kid of another recipient: {name}"
        fault(f"format-kid-{name}", text, edit_recipients=beside(stranger(value)))

    # Everything else is right for RSA-OAEP-256, so that only the name can be the reason.
    for alg in (
        *("RSA1_5", "RSA-OAEP-384", "RSA-OAEP-512", "dir", "PBES2-HS256+A128KW", "ECDH-ES", "ECDH-ES+A256KW"),
        *("A128KW", "A256KW", "A256GCMKW", "HPKE-0", "none", "rsa-oaep-256", "unknown"),
    ):

        def relabelled(recipients):
            return [replace(r, alg=alg) for r in recipients]

        name = alg.replace("+", "-")
        fault(f"unsupported-alg-{name}", f"alg {alg}", edit_recipients=relabelled)
    other = beside(stranger("x", "A256KW", 40))
    text = "two recipients, both other keys, one of them with an unknown alg: it could be for the reader"
    fault("unsupported-alg-of-another-kid", text, "kek2", edit_recipients=other)
    text = "the reader's kid with an unknown alg, and another recipient with a known one"
    moved = lambda r: [replace(r[0], alg="A256KW"), stranger("x")]
    fault("unsupported-alg-own-kid", text, edit_recipients=moved)
    text = "an unknown alg does not hide a failure: the reader's recipient does not unwrap"
    broken = lambda r: [stranger("x", "A256KW", 40), replace(r[0], encrypted_key=bytes(256))]
    fault("auth-alg-of-another", text, edit_recipients=broken)


# ---- Which recipient, and unwrapping -----------------------------


def unwrap_faults(vector):
    fault = functools.partial(envelope_fault, vector)

    def own_kid(name, comment, edit):
        fault(f"no-key-{name}", comment, edit_recipients=lambda r: [replace(r[0], kid=edit(r[0].kid))])

    fault("no-key-one", "the only recipient is another key", "kek2")
    fault("no-key-two", "two recipients, both other keys", "kek3", to=("kek1", "kek2"))
    own_kid("kid-case", "kids are compared byte by byte: that of the key in capitals", str.upper)
    text = "kid is the thumbprint without the URI before it"
    own_kid("kid-thumbprint-alone", text, lambda kid: kid.removeprefix(KID_PREFIX))
    own_kid("kid-longer", "the kid of the key with a character behind it", lambda kid: kid + "A")

    own = key_id(KEYS["kek1"])

    def unwrapped(name, comment, make, cek=None):
        """Write a vector in which `make` returns the encrypted key, or a whole recipient, for the CEK."""
        cek = cek or os.urandom(32)
        made = make(cek)
        recipient = made if isinstance(made, Recipient) else Recipient("RSA-OAEP-256", own, made)
        fault(f"auth-{name}", comment, cek=cek, edit_recipients=instead(recipient))

    def oaep(mgf_hash, oaep_hash, label=None):
        scheme = padding.OAEP(padding.MGF1(mgf_hash()), oaep_hash(), label)
        return lambda cek: KEYS["kek1"].encrypt(cek, scheme)

    def sound(cek):
        return wrap("kek1", cek)

    sha1, sha256 = hashes.SHA1, hashes.SHA256
    unwrapped("oaep-mixed-hashes", "RSA-OAEP-256 with SHA-256 but MGF1 with SHA-1", oaep(sha1, sha256))
    unwrapped("oaep-mixed-hashes-2", "RSA-OAEP-256 with SHA-1 but MGF1 with SHA-256", oaep(sha256, sha1))
    unwrapped("oaep-sha1", "encrypted with SHA-1, labelled RSA-OAEP-256", oaep(sha1, sha1))
    unwrapped("oaep-label", "OAEP with a label that is not empty", oaep(sha256, sha256, b"blobseal"))
    text = "encrypted with SHA-256, labelled RSA-OAEP"
    unwrapped("oaep-sha256", text, lambda cek: replace(sound(cek), alg="RSA-OAEP"))
    text = "encrypted with PKCS #1 v1.5, labelled RSA-OAEP-256"
    unwrapped("oaep-pkcs1", text, lambda cek: KEYS["kek1"].encrypt(cek, padding.PKCS1v15()))
    text = "encrypted for another key under the reader's kid"
    unwrapped("other-key", text, lambda cek: replace(wrap("kek2", cek), kid=own))
    unwrapped("encrypted-key-zero", "encrypted_key is zero", lambda _: bytes(256))
    unwrapped("encrypted-key-ones", "encrypted_key is above the modulus", lambda _: b"\xff" * 256)
    text = "encrypted_key of 384 bytes for a key of 2048 bits: leading zeros"
    unwrapped("encrypted-key-384", text, lambda cek: bytes(128) + sound(cek).encrypted_key)
    unwrapped("cek-16", "a CEK of 16 bytes, used with AES-128", sound, os.urandom(16))
    unwrapped("cek-33", "a CEK of 33 bytes, the first 32 used", sound, os.urandom(33))
    unwrapped("cek-other", "the encrypted CEK is another one", lambda _: sound(os.urandom(32)))
    unwrapped("cek-empty", "the encrypted CEK has no byte", lambda _: sound(b""))


# ---- Tampering ---------------------------------------------------


def tampering(vector):
    """Changes that an attacker without the CEK can make to an envelope."""
    fault = functools.partial(envelope_fault, vector)

    def flattened(name, comment, edit, **how):
        fault(name, comment, edit_jwe=edit, **how)

    def general(name, comment, edit):
        fault(name, comment, to=("kek1", "kek2"), edit_jwe=edit)

    text = "somebody dropped the reader's recipient"
    general("no-key-recipient-dropped", text, inside("recipients", lambda r: r[1:]))
    text = "somebody gave the reader's recipient another kid"
    flattened("no-key-recipient-relabelled", text, inside("header", setting(kid="x")))
    for member, at in (("tag", 0), ("ciphertext", 9), ("iv", 0)):
        flattened(f"auth-jwe-{member}", f"a bit of the {member}", recoded(member, lambda data: flip(data, at)))
    flattened("auth-jwe-ciphertext-empty", "no ciphertext", setting(ciphertext=""))
    text = "the protected header written anew with the same members, spaced otherwise"
    flattened("auth-protected-rewritten", text, recoded("protected", lambda header: header + b" "))

    def in_bs(**members):
        return recoded("protected", lambda header: to_json(inside("bs", setting(**members))(json.loads(header))))

    core = make_core(1)
    raised = make_jwe(core, edit_jwe=in_bs(gen=2))
    text = "somebody raised the generation, in slot and protected header"
    vector("auth-generation-raised", text, compact(core, raised, 2))
    wanted = os.urandom(16)
    jwe = make_jwe(core, edit_jwe=in_bs(blob=b64url_encode(wanted)))
    renamed = core.with_header(put(core.header, 16, wanted))
    text = "somebody changed the blob id in frame, envelope and core"
    vector("auth-blob-id-everywhere", text, compact(renamed, jwe))

    # rcpt.
    def flattened_form(jwe):
        return {**drop("recipients")(jwe), **jwe["recipients"][0]}

    extra = build_recipient(stranger("x"))
    general("auth-rcpt-dropped", "another recipient dropped", inside("recipients", lambda r: r[:1]))
    general("auth-rcpt-dropped-flattened", "another recipient dropped, and the flattened form used", flattened_form)
    general("auth-rcpt-kid", "another recipient given another kid", second(inside("header", setting(kid="x"))))
    general("auth-rcpt-alg-unknown", "another recipient given an unknown alg", second(inside("header", setting(alg="x"))))
    general("auth-rcpt-alg", "another recipient given another alg", second(inside("header", setting(alg="RSA-OAEP"))))
    general("auth-rcpt-reordered", "the recipients in another order", inside("recipients", lambda r: r[::-1]))
    general("auth-rcpt-appended", "a recipient more", inside("recipients", beside(extra)))
    general("auth-rcpt-prepended", "a recipient more, at the beginning", inside("recipients", lambda r: [extra, *r]))
    text = "the encrypted key of another recipient exchanged"
    general("auth-rcpt-encrypted-key", text, second(setting(encrypted_key=extra["encrypted_key"])))

    def kids_moved(recipients):
        kids = (recipients[0]["header"]["kid"], "a", "bb")
        return [inside("header", setting(kid=kid))(r) for kid, r in zip(kids, recipients)]

    text = "a character moved from one kid to the other"
    two_more = beside(stranger("ab"), stranger("b"))
    flattened("auth-rcpt-boundary", text, inside("recipients", kids_moved), edit_recipients=two_more)
    cek = os.urandom(32)
    again = build_recipient(wrap("kek1", cek))
    text = "the CEK, sealed for the reader's key once more, in place of the encrypted key"
    flattened("auth-rcpt-wrapped-anew", text, setting(encrypted_key=again["encrypted_key"]), cek=cek)


# ---- Keys of sets ------------------------------------------------


def set_recipients(vector):
    """Recipients with A256KW, for a reader who has the keys of set1.jwe (section 11)."""
    keys, reader = SET_KEYS, "set1.jwe"

    def golden(name, comment, recipients, cek, key=reader):
        core = make_core(100)
        jwe = make_jwe(core, cek=cek, edit_recipients=instead(*recipients))
        vector(f"ok-{name}", comment, compact(core, jwe), core.plain, key=key)

    def fault(name, comment, recipient, cek, key=reader):
        envelope_fault(vector, name, comment, key, cek=cek, edit_recipients=instead(recipient))

    for name, number in (("newest", -1), ("first", 0), ("twin", 1), ("other-twin", 2)):
        cek = os.urandom(32)
        golden(f"set-{name}", f"one recipient, a set key: {name}", [wrap_for_set(keys[number], cek)], cek)
    for name, reads in (("set", reader), ("rsa", "kek1")):
        cek = os.urandom(32)
        both = [wrap("kek1", cek), wrap_for_set(keys[-1], cek)]
        golden(f"set-and-rsa-{name}", f"an RSA key and a set key, opened with the one: {name}", both, cek, reads)

    cek, ours = os.urandom(32), wrap_for_set(keys[-1], bytes(32))
    sound = wrap_for_set(keys[-1], cek)
    damaged = replace(sound, encrypted_key=flip(sound.encrypted_key, 0))
    fault("auth-set-encrypted-key", "a bit of the wrapped key", damaged, cek)
    fault("auth-set-other-key", "wrapped with another key of the set", replace(wrap_for_set(keys[0], cek), kid=ours.kid), cek)
    fault("auth-set-other-cek", "another CEK", ours, cek)
    for size, secret in ((24, cek[:16]), (32, cek[:24]), (48, cek + bytes(8))):
        short = wrap_for_set(keys[-1], secret)
        fault(f"auth-set-encrypted-key-{size}", f"a key of {size - 8} bytes, wrapped", short, cek)
    text = "encrypted_key of 41 bytes"
    fault("auth-set-encrypted-key-41", text, replace(sound, encrypted_key=sound.encrypted_key + bytes(1)), cek)
    fault("no-key-set-rsa-alg", "the kid of a set key with RSA-OAEP-256", replace(sound, alg="RSA-OAEP-256"), cek)
    fault("unsupported-set-a256gcmkw", "the kid of a set key with A256GCMKW", replace(sound, alg="A256GCMKW"), cek)
    fault("no-key-set-rsa-reader", "a set key, for a reader with an RSA key", sound, cek, "kek1")
    prefix, identity, number, check = (*sound.kid.split(":", 1)[:1], *sound.kid.split(":", 1)[1].split("/"))
    for name, kid in (
        *(("n", f"{prefix}:{identity}/4/{check}"), ("leading-zero", f"{prefix}:{identity}/0{number}/{check}")),
        *(("check", f"{prefix}:{identity}/{number}/{'A' * 12}"), ("no-check", f"{prefix}:{identity}/{number}")),
        *(("other-set", f"{prefix}:{'A' * 22}/{number}/{check}"), ("longer", sound.kid + "A")),
    ):
        fault(f"no-key-set-kid-{name}", f"the kid of the set key with a fault: {name}", replace(sound, kid=kid), cek)
