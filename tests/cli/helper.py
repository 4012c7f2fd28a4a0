# SPDX-License-Identifier: Apache-2.0
"""The Python side of lib.sh: answer the requests of ask() until the input ends. Each answer is one line."""

import base64
import hashlib
import json
import os
import struct
import sys


def members(pairs):
    assert len(pairs) == len({name for name, _ in pairs}), "two members of one name"
    return dict(pairs)


def check_json(path, *expressions):
    """Check that the file is one JSON object, `d`, on one line, without duplicate names, and all expressions hold."""
    with open(path, "rb") as file:
        text = file.read().decode("utf-8", "strict")
    assert text.endswith("\n") and text.count("\n") == 1, "not one line"
    d = json.loads(text, object_pairs_hook=members)
    assert isinstance(d, dict), "not an object"
    for expression in expressions:
        assert eval(expression, {"d": d}), f"not so: {expression}"
    return "yes"


def snapshot():
    """Return the state of the current folder: names, inodes, sizes, modes, owners and times."""
    seen = []
    for entry in os.scandir("."):
        s = entry.stat(follow_symlinks=False)
        link = os.readlink(entry.path) if entry.is_symlink() else ""
        seen.append((entry.name, link, s.st_ino, s.st_mode, s.st_nlink, s.st_uid, s.st_gid, s.st_size, s.st_mtime_ns))
    return ascii(sorted(seen))


def core_sum(path):
    """Return a digest of a blob without its frame, which holds the envelope."""
    with open(path, "rb") as file:
        data = file.read()
    start = struct.unpack_from("<I", data, 20)[0] if data[3:4] == b"K" else 0
    return hashlib.sha256(memoryview(data)[start:]).hexdigest()


def none_inside(list_path, path):
    """Check that the file contains no line of the list, neither as base64url nor decoded."""
    with open(path, "rb") as file:
        data = file.read()
    with open(list_path) as file:
        lines = file.read().split()
    assert lines, "an empty list"
    for line in lines:
        raw = base64.urlsafe_b64decode(line + "=" * (-len(line) % 4))
        if any(part in data for part in (line.encode()[:64], line.encode()[-64:], raw[:32])):
            return f"{line[:20]}... is inside"
    return "yes"


COMMANDS = {"json": check_json, "snapshot": snapshot, "core_sum": core_sum, "none_inside": none_inside}


def requests():
    """Yield the arguments of each request."""
    arguments = []
    rest = b""
    while data := sys.stdin.buffer.raw.read(65536):
        *parts, rest = (rest + data).split(b"\0")
        for part in parts:
            if part != b"\n":
                arguments.append(os.fsdecode(part))
                continue
            yield arguments
            arguments = []


for folder, command, *operands in requests():
    try:
        os.chdir(folder)
        answer = COMMANDS[command](*operands)
    except Exception as error:  # report any error as the answer, so that the script names the failed check
        answer = str(error) or type(error).__name__
    print(ascii(answer)[1:-1] if "\n" in answer else answer.encode("ascii", "backslashreplace").decode(), flush=True)
