#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A second, independent reader and writer of the blobseal blob format, version 1.

It was written from core/FORMAT.md alone and is meant to be read next to it. This file handles whole blobs and the
command line; the other parts are in

    ref_conventions.py   section 1
    ref_core.py          sections 2 and 3: core header and payload
    ref_zstd.py          section 3.1: compressed content
    strict_json.py       section 4.1
    ref_envelope.py      sections 4.2 to 4.6
    ref_frame.py         section 5
    ref_set.py           section 11: keys of encryption sets
    ref_files.py         keys, and test vectors (section 9)

It reads whole blobs into memory and prefers simplicity to speed.
"""

import argparse
import functools
import json
import os
import sys

from ref_conventions import Refusal, UsageError, refuse_unless
from ref_core import CORE_HEADER_SIZE, CORE_MAGIC, open_payload, parse_core_header, plaintext_length, seal_core
from ref_envelope import (
    MAX_ENVELOPE,
    OAEP_HASH,
    build_content,
    build_jwe,
    build_protected,
    open_envelope,
    parse_envelope,
    wrap,
)
from ref_files import is_plaintext, load_private_key, load_public_key, read_file, read_vector, write_file
from ref_frame import (
    AB_CAPACITIES,
    FRAME_MAGIC,
    SLOT_HEADER_SIZE,
    ab_capacity,
    build_frame,
    build_slot,
    parse_frame,
    valid_slots,
)
from ref_set import claimed_id, open_set
from ref_zstd import make_zstd, open_zstd
from strict_json import to_json

EXIT_CODES = {"format": 3, "damaged": 3, "auth": 3, "no-key": 4, "limit": 10, "unsupported": 12}
USAGE = 2

# ---- Whole blobs -------------------------------------------------


def warn(text):
    print(f"warning: {text}", file=sys.stderr)


def take_apart(data):
    """Return (frame or None, core, core header)."""
    frame = None
    if data[:8] == FRAME_MAGIC:
        frame = parse_frame(data)
    else:
        refuse_unless(data[:8] == CORE_MAGIC, "format", "no blob")
    core = data[frame.length :] if frame else data
    header = parse_core_header(core)
    refuse_unless(not frame or frame.blob_id == header.blob_id, "format", "the frame is that of another blob")
    return frame, core, header


def open_slots(slots, private_keys, header):
    """Open the newest slot; of two with that generation the first that opens, or raise the refusal of the first."""
    if len(set(slots)) > 1:
        warn("the two envelopes differ: a rotation did not finish")
    newest = max(generation for generation, _ in slots)
    candidates = [jwe for generation, jwe in dict.fromkeys(slots) if generation == newest]
    refusals = []
    for jwe in candidates:
        try:
            return open_envelope(jwe, private_keys, header, newest)
        except Refusal as refusal:
            refusals.append(refusal)
    raise refusals[0]


def open_blob(data, private_keys, envelope=None):
    """Return (plaintext, meta). `envelope`, if given, replaces those in the slots of the frame, which are not read."""
    frame, core, header = take_apart(data)
    if envelope is not None:
        key, base_nonce, meta = open_envelope(envelope, private_keys, header)
    elif frame:
        key, base_nonce, meta = open_slots(valid_slots(data, frame), private_keys, header)
    else:
        raise UsageError("the envelope of this blob is detached: name it")  # section 1 does not count this as a refusal
    plaintext = open_payload(core[CORE_HEADER_SIZE:], header, key, base_nonce)
    return open_zstd(plaintext) if header.content == 1 else plaintext, meta


def seal_blob(plaintext, public_keys, layout, segments=1, slot_size=None, alg="RSA-OAEP-256", meta=None, zstd=False):
    """Return (blob, envelope); with the attached layouts the blob also contains the envelope."""
    dek, cek, blob_id = os.urandom(32), os.urandom(32), os.urandom(16)
    stored = make_zstd(plaintext) if zstd else plaintext
    core = seal_core(stored, dek, segments, blob_id, os.urandom(24), int(zstd), meta)
    recipients = [wrap(public_key, cek, alg) for public_key in public_keys]
    content = to_json(build_content(dek, core[:CORE_HEADER_SIZE], meta))
    jwe = to_json(build_jwe(cek, to_json(build_protected(blob_id, 1, recipients)), content, recipients))
    slot_size = slot_size or ab_capacity(jwe)
    if len(jwe) > (min(slot_size - SLOT_HEADER_SIZE, MAX_ENVELOPE) if layout == "ab" else MAX_ENVELOPE):
        raise UsageError("too many recipients for the envelope or its slot")
    if layout == "detached":
        return core, jwe
    slots = [build_slot(1, jwe)] if layout == "compact" else [build_slot(1, jwe, slot_size)] * 2
    return build_frame(blob_id, slots) + core, jwe


def load_keys(path):
    """Return the keys in a file: a private key in PEM, or a set that opens with kek1.pem beside it (section 9)."""
    if not path.endswith(".jwe"):
        return [load_private_key(path)]
    data, kek = read_file(path), load_private_key(os.path.join(os.path.dirname(path), "kek1.pem"))
    return open_set(data, kek, claimed_id(data)).keys


def check_vector(path):
    """Return the result of opening the vector: a class, `success`, or `other plaintext`."""
    vector = read_vector(path)
    keys = load_keys(os.path.join(os.path.dirname(path), vector.fields["key"]))
    try:
        plaintext, _ = open_blob(vector.blob, keys, vector.envelope)
    except Refusal as refusal:
        return refusal.kind
    return "success" if is_plaintext(plaintext, vector.fields) else "other plaintext"


# ---- Command line ------------------------------------------------


def command_open(options):
    envelope = read_file(options.envelope) if options.envelope else None
    plaintext, _ = open_blob(read_file(options.blob), [load_private_key(options.key)], envelope)
    if options.output:
        write_file(options.output, plaintext)
    else:
        sys.stdout.buffer.write(plaintext)


def command_meta(options):
    """Print the sealer's metadata of a blob as JSON on one line, or null if there is none."""
    envelope = read_file(options.envelope) if options.envelope else None
    _, meta = open_blob(read_file(options.blob), [load_private_key(options.key)], envelope)
    print(json.dumps(meta))


def command_seal(options):
    if (options.layout == "detached") != bool(options.envelope):
        raise UsageError("--envelope goes with --layout detached")
    if options.slot_size is not None and options.slot_size not in AB_CAPACITIES:
        raise UsageError("--slot-size is a multiple of 4096 from 4096 to 65536")
    keys = [load_public_key(path) for path in options.key]
    segments = 0 if options.bare else 1
    meta = options.meta.encode() if options.meta else None
    how = segments, options.slot_size, options.alg, meta, options.zstd
    blob, jwe = seal_blob(read_file(options.input), keys, options.layout, *how)
    if options.envelope:
        write_file(options.envelope, jwe)
    write_file(options.output, blob)


def command_inspect(options):
    data = read_file(options.blob)
    frame, core, header = take_apart(data)
    print(f"blob id: {header.blob_id.hex()}\npayload: {'checksummed' if header.segments else 'bare'}")
    length = plaintext_length(core[CORE_HEADER_SIZE:], header.segments)
    print(f"{'compressed' if header.content else 'plaintext'} length, not authentic yet: {length}")
    if not frame:
        print("envelope: detached")
        return
    print(f"envelope: {'compact' if frame.slots == 1 else 'A/B'}, slots of {frame.capacity} bytes")
    for generation, jwe in valid_slots(data, frame):
        print(f"valid slot: generation {generation}, {len(jwe)} bytes")
        for recipient in parse_envelope(jwe).recipients:
            print(f"  recipient: {recipient.alg} {recipient.kid}")


def command_check(options):
    results = [(path, read_vector(path).fields["expect"], check_vector(path)) for path in options.vector]
    for path, expected, found in results:
        print(f"{'ok' if expected == found else 'FAILED'} {os.path.basename(path)}: {expected}, found {found}")
    return 0 if all(expected == found for _, expected, found in results) else 1


def command_unpack(options):
    for path in options.vector:
        vector = read_vector(path)
        name = os.path.join(options.folder, os.path.basename(path).removesuffix(".vec"))
        write_file(name + ".blob", vector.blob)
        if vector.envelope is not None:
            write_file(name + ".envelope", vector.envelope)


@functools.lru_cache
def command_line():
    parser = argparse.ArgumentParser(description="Reference reader and writer of blobs, version 1.")
    commands = parser.add_subparsers(required=True)

    def add(name, run, *arguments):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        for name_or_flag, settings in arguments:
            command.add_argument(name_or_flag, **settings)

    blob, vectors, envelope = ("blob", {}), ("vector", {"nargs": "+"}), ("--envelope", {})
    add("open", command_open, ("key", {}), blob, envelope, ("-o", {"dest": "output"}))
    add("meta", command_meta, ("key", {}), blob, envelope)
    meta = ("--meta", {"help": "JSON, sealed as it is"})
    layout = ("--layout", {"choices": ("compact", "ab", "detached"), "required": True})
    bare = ("--bare", {"action": "store_true", "help": "without segment sums"})
    zstd = ("--zstd", {"action": "store_true", "help": "compress"})
    slot_size = ("--slot-size", {"type": int})
    alg = ("--alg", {"choices": tuple(OAEP_HASH), "default": "RSA-OAEP-256"})
    keys = ("-k", {"dest": "key", "action": "append", "required": True})
    how = layout, bare, zstd, slot_size, alg, keys, envelope, meta
    add("seal", command_seal, ("input", {}), ("output", {}), *how)
    add("inspect", command_inspect, blob)
    add("check", command_check, vectors)
    add("unpack", command_unpack, ("folder", {}), vectors)
    return parser


def main(arguments=None):
    """Run one command line, by default that of this process; return the exit code."""
    options = command_line().parse_args(arguments)
    try:
        return options.run(options) or 0
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return EXIT_CODES[refusal.kind]
    except (UsageError, OSError) as error:
        print(f"usage: {error}", file=sys.stderr)
        return USAGE


if __name__ == "__main__":
    sys.exit(main())
