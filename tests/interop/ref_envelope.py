# SPDX-License-Identifier: Apache-2.0
"""Sections 4.2 to 4.6 of core/FORMAT.md: the key envelope."""

import hashlib
import hmac
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from ref_conventions import MAX_INT, Refusal, b64url_decode, b64url_encode, le32, not_authentic, refuse_unless
from ref_core import derive, meta_hash
from strict_json import Members, check_members, parse_json

MAX_ENVELOPE = 65512
MAX_CONTENT = 8192
MAX_META = 4096
MAX_RECIPIENTS = 64
MAX_ATTEMPTS = 8
MAX_ENCRYPTED_KEY = 4096
OAEP_HASH = {"RSA-OAEP-256": hashes.SHA256, "RSA-OAEP": hashes.SHA1}
SET_ALG = "A256KW"
KNOWN_ALGS = (*OAEP_HASH, SET_ALG)
KID_PREFIX = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:"

# ---- Recipients --------------------------------------------------


@dataclass
class Recipient:
    alg: str
    kid: str
    encrypted_key: bytes


@dataclass
class SetKey:
    """A key of an encryption set (section 11), which opens recipients as a private key does."""

    kid: str
    k: bytes


def oaep(alg):
    return padding.OAEP(mgf=padding.MGF1(OAEP_HASH[alg]()), algorithm=OAEP_HASH[alg](), label=None)


def big_endian(number):
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def key_id(public_key):
    numbers = public_key.public_numbers()
    e, n = b64url_encode(big_endian(numbers.e)), b64url_encode(big_endian(numbers.n))
    jwk = f'{{"e":"{e}","kty":"RSA","n":"{n}"}}'
    return KID_PREFIX + b64url_encode(hashlib.sha256(jwk.encode()).digest())


def names_of(key):
    """Return the (alg, kid) of all recipients that are for a private key or a set key."""
    if isinstance(key, SetKey):
        return [(SET_ALG, key.kid)]
    return [(alg, key_id(key.public_key())) for alg in OAEP_HASH]


def recipients_digest(recipients):
    """Return the `rcpt` of section 4.3."""
    digest = hashlib.sha256()
    for recipient in recipients:
        for part in (recipient.alg.encode(), recipient.kid.encode(), recipient.encrypted_key):
            digest.update(le32(len(part)) + part)
    return digest.digest()


def wrap(public_key, cek, alg="RSA-OAEP-256"):
    return Recipient(alg, key_id(public_key), public_key.encrypt(cek, oaep(alg)))


def wrap_for_set(set_key, cek):
    return Recipient(SET_ALG, set_key.kid, aes_key_wrap(set_key.k, cek))


def unwrap(recipient, key):
    """Return the CEK, or a random one on failure: no error may show before the JWE tag fails."""
    try:
        # A wrong length of the encrypted key ends in these errors as well.
        if isinstance(key, SetKey):
            cek = aes_key_unwrap(key.k, recipient.encrypted_key)
        else:
            cek = key.decrypt(recipient.encrypted_key, oaep(recipient.alg))
    except (ValueError, InvalidUnwrap):
        cek = b""
    return cek if len(cek) == 32 else os.urandom(32)


# ---- Reading -----------------------------------------------------


def printable(text, maximum):
    return 1 <= len(text) <= maximum and all("!" <= c <= "~" for c in text)


def parse_recipient(value):
    check_members(value, {"header": Members, "encrypted_key": str})
    header = value["header"]
    check_members(header, {"alg": str, "kid": str})
    refuse_unless(printable(header["alg"], 64) and printable(header["kid"], 512), "format", "alg or kid")
    encrypted_key = b64url_decode(value["encrypted_key"])
    refuse_unless(1 <= len(encrypted_key) <= MAX_ENCRYPTED_KEY, "format", "length of encrypted_key")
    return Recipient(header["alg"], header["kid"], encrypted_key)


def parse_recipients(jwe):
    """Return the recipients of either form: general with `recipients`, flattened without."""
    common = {"protected": str, "iv": str, "ciphertext": str, "tag": str}
    if "recipients" in jwe:
        check_members(jwe, {**common, "recipients": list})
        listed = jwe["recipients"]
        refuse_unless(1 <= len(listed) <= MAX_RECIPIENTS, "format", "number of recipients")
    else:
        check_members(jwe, {**common, "header": Members, "encrypted_key": str})
        listed = [Members(header=jwe["header"], encrypted_key=jwe["encrypted_key"])]
    recipients = [parse_recipient(value) for value in listed]
    refuse_unless(len({r.kid for r in recipients}) == len(recipients), "format", "two recipients of one kid")
    return recipients


def parse_protected(text):
    """Parse the protected header of section 4.3; return `bs`."""
    protected = parse_json(b64url_decode(text))
    check_members(protected, {"enc": str, "cty": str, "typ": str, "bs": Members})
    refuse_unless(protected["enc"] == "A256GCM", "unsupported", "content encryption algorithm")
    refuse_unless(protected["cty"] == "jwk+json" and protected["typ"] == "blobseal", "format", "cty or typ")
    bs = protected["bs"]
    check_members(bs, {"v": int, "blob": str, "layer": int, "gen": int, "rcpt": str})
    refuse_unless(1 <= bs["gen"] <= MAX_INT, "format", "generation")
    return bs


@dataclass
class Envelope:
    protected: str
    iv: bytes
    ciphertext: bytes
    tag: bytes
    recipients: list
    blob_id: bytes
    generation: int
    rcpt: bytes


def other_version(jwe):
    """Return true if the protected header says another version or layer, whatever else is wrong with the envelope."""
    try:
        bs = parse_json(b64url_decode(jwe["protected"]))["bs"]
        return any(isinstance(bs.get(name), int) and bs[name] != 1 for name in ("v", "layer"))
    except (Refusal, KeyError, AttributeError, TypeError):
        return False


def parse_envelope(data):
    """Check all that can be checked without a key."""
    refuse_unless(1 <= len(data) <= MAX_ENVELOPE, "format", "length of the envelope")
    jwe = parse_json(data)
    refuse_unless(not other_version(jwe), "unsupported", "version or layer of the envelope")
    recipients = parse_recipients(jwe)
    bs = parse_protected(jwe["protected"])
    return Envelope(
        jwe["protected"],
        b64url_decode(jwe["iv"], 12),
        b64url_decode(jwe["ciphertext"], maximum=MAX_CONTENT),
        b64url_decode(jwe["tag"], 16),
        recipients,
        b64url_decode(bs["blob"], 16),
        bs["gen"],
        b64url_decode(bs["rcpt"], 32),
    )


def parse_meta(data):
    """Parse the bytes of `meta`."""
    refuse_unless(1 <= len(data) <= MAX_META, "format", "length of meta")
    meta = parse_json(data)
    check_members(meta, {}, {"name": str, "type": str, "ann": Members})
    annotations = meta.get("ann", Members())
    refuse_unless(len(annotations) <= 64, "format", "number of annotations")
    refuse_unless(all(isinstance(a, str) for a in annotations.values()), "format", "annotation that is no string")
    texts = (meta.get("name", ""), meta.get("type", ""), *annotations.keys(), *annotations.values())
    refuse_unless(not any("\0" in text for text in texts), "format", "U+0000 in meta")
    return meta


def parse_content(content):
    """Parse the content of section 4.4; return (DEK, blob id, core header, bytes of meta or None)."""
    jwk = parse_json(content)
    check_members(jwk, {"kty": str, "k": str, "kid": str, "hdr": str}, {"meta": str})
    refuse_unless(jwk["kty"] == "oct", "format", "kty of the content")
    meta = b64url_decode(jwk["meta"]) if "meta" in jwk else None
    return b64url_decode(jwk["k"], 32), b64url_decode(jwk["kid"], 16), b64url_decode(jwk["hdr"], 96), meta


def decrypt_content(envelope, private_keys):
    """Steps 2 and 3 of section 4.6, up to the JWE tag; the caller's keys select the recipients, never the envelope."""
    keys = {name: key for key in private_keys for name in names_of(key)}
    known = [recipient for recipient in envelope.recipients if recipient.alg in KNOWN_ALGS]
    ours = [recipient for recipient in known if (recipient.alg, recipient.kid) in keys]
    refuse_unless(ours or known == envelope.recipients, "unsupported", "key management algorithm of a recipient")
    refuse_unless(ours, "no-key", "no recipient is for this key")
    for recipient in ours[:MAX_ATTEMPTS]:
        cek = unwrap(recipient, keys[recipient.alg, recipient.kid])
        try:
            return AESGCM(cek).decrypt(envelope.iv, envelope.ciphertext + envelope.tag, envelope.protected.encode())
        except InvalidTag:
            continue
    raise not_authentic()


def open_envelope(data, private_keys, header, slot_generation=None):
    """Sections 4.5 and 4.6, steps 1 to 3: return (AES key, base nonce, meta)."""
    envelope = parse_envelope(data)
    refuse_unless(envelope.blob_id == header.blob_id, "format", "the envelope is that of another blob")
    refuse_unless(slot_generation in (None, envelope.generation), "format", "generation of the slot")
    content = decrypt_content(envelope, private_keys)
    if not hmac.compare_digest(envelope.rcpt, recipients_digest(envelope.recipients)):
        raise not_authentic()
    dek, blob_id, sealed_header, meta_bytes = parse_content(content)
    meta = None if meta_bytes is None else parse_meta(meta_bytes)
    refuse_unless(blob_id == header.blob_id, "format", "the content is that of another blob")
    if sealed_header != header.raw:
        raise not_authentic()
    key, base_nonce, commitment = derive(dek, header.context + meta_hash(meta_bytes), header.salt)
    if not hmac.compare_digest(commitment, header.commitment):
        raise not_authentic()
    return key, base_nonce, meta


# ---- Writing -----------------------------------------------------


def build_content(dek, core_header, meta=None):
    """`meta`, if given, is the bytes of a JSON text."""
    kid, hdr = b64url_encode(core_header[16:32]), b64url_encode(core_header)
    content = {"kty": "oct", "k": b64url_encode(dek), "kid": kid, "hdr": hdr}
    return content if meta is None else {**content, "meta": b64url_encode(meta)}


def build_protected(blob_id, generation, recipients):
    rcpt = b64url_encode(recipients_digest(recipients))
    bs = {"v": 1, "blob": b64url_encode(blob_id), "layer": 1, "gen": generation, "rcpt": rcpt}
    return {"enc": "A256GCM", "cty": "jwk+json", "typ": "blobseal", "bs": bs}


def build_recipient(recipient):
    header = {"alg": recipient.alg, "kid": recipient.kid}
    return {"header": header, "encrypted_key": b64url_encode(recipient.encrypted_key)}


def encrypt_content(cek, iv, content, protected):
    """Return the members that the encryption produces; `protected` is the base64url text."""
    sealed = AESGCM(cek).encrypt(iv, content, protected.encode())
    members = {"iv": iv, "ciphertext": sealed[:-16], "tag": sealed[-16:]}
    return {"protected": protected, **{name: b64url_encode(value) for name, value in members.items()}}


def build_jwe(cek, protected, content, recipients, iv=None):
    """Return the members of the JWE; `protected` and `content` are JSON texts."""
    jwe = encrypt_content(cek, iv or os.urandom(12), content, b64url_encode(protected))
    if len(recipients) == 1:
        return {**jwe, **build_recipient(recipients[0])}
    return {**jwe, "recipients": [build_recipient(recipient) for recipient in recipients]}
