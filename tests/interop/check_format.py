#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The checks of check_format.sh, which describes them and decides whether this machine can run them.

Starting Python again for every check would take most of the time. So blobseal_ref.py is called with its command lines
in this process and its forks, and recover.py is started as a program for some checks only.
"""

import concurrent.futures
import contextlib
import functools
import glob
import hashlib
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import traceback

import blobseal_ref
import recover
from ref_conventions import b64url_encode
from ref_files import is_plaintext, read_file, read_vector, write_file
from ref_set import claimed_id

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, "..", "vectors", "format")
BLOBSEAL = os.environ.get("BLOBSEAL")
ALL = os.environ.get("BLOBSEAL_TEST_TIER", "quick") != "quick"
EXIT_CODES = {"success": 0, **blobseal_ref.EXIT_CODES}
SIZES = (0, 1, 16383, 16384, 16385, 1048575, 1048576, 1048577, 5000000)
LONGEST = hashlib.shake_128(b"check_format").digest(max(SIZES))
# Blobs for which recover.py is started as a program: every layout, bare and checksummed.
RECOVERED_BY_PROGRAM = {
    "ok-compact-bare-1",
    "ok-compact-checksummed-1048576",
    "ok-ab-bare-100",
    "ok-ab-checksummed-0",
    "ok-detached-bare-100",
    "ok-detached-checksummed-100",
}
RECOVERED_BY_PROGRAM_SIZE = 1048577
# Metadata that is sealed by each side and read by the other.
METAS = (
    {"name": "a"},
    {"type": "application/vnd.oci.image.layer.v1.tar+gzip"},
    {"ann": {"a": "", "b": "d=e"}},
    {"name": 'gr\u00fc\u00dfe "\\/\U0001f512', "type": "text/x", "ann": {"\u65e5": "\x01\x1f\n\t\x7f\u0085", "\\": '"'}},
    {"name": "n" * 2000, "ann": {str(i): "v" * 10 for i in range(64)}},
)


class Failed(Exception):
    """A check that did not have the expected result."""


def fail_unless(condition, why):
    if not condition:
        raise Failed(why)


# ---- The three programs ------------------------------------------

load_key = functools.lru_cache(recover.load_key)  # each time a key is read it is checked, which takes a while


def reference(*arguments):
    """Run a command line of blobseal_ref.py in this process."""
    code = blobseal_ref.main(arguments)
    fail_unless(code == 0, f"exit code {code} of the reference, expected 0")


def run_program(*command, piped=None):
    """Run a program until it ends, with `piped`, if given, as its input from a pipe; return (exit code, output)."""
    source = {"stdin": subprocess.DEVNULL} if piped is None else {"input": piped}
    result = subprocess.run(command, capture_output=True, **source)
    print(result.stderr.decode(errors="replace"), end="")
    return result.returncode, result.stdout


def blobseal(*arguments, expect="success", piped=None):
    """Run blobseal, check that its exit code is the one for `expect`, and return its output."""
    code, output = run_program(BLOBSEAL, *arguments, piped=piped)
    fail_unless(code == EXIT_CODES[expect], f"exit code {code}, expected {EXIT_CODES[expect]} for {expect}")
    return output


def recovered(key, blob, envelope, by_program):
    """Return the plaintext that recover.py recovers; `envelope` is a path, or None for a blob in one file."""
    envelopes = [envelope] if envelope else []
    if not by_program:
        return b"".join(recover.recover(load_key(key), read_file(blob), [read_file(path) for path in envelopes]))
    code, output = run_program(sys.executable, os.path.join(HERE, "recover.py"), key, blob, *envelopes)
    fail_unless(code == 0, f"exit code {code} of recover.py")
    return output


def reference_meta(key, blob, envelope):
    """Return the metadata that the reference reads, in the form in which blobseal shows it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        reference("meta", key, blob, *named(envelope))
    meta = json.loads(printed.getvalue())
    if meta is None:
        return None
    return {"name": meta.get("name"), "type": meta.get("type"), "annotations": meta.get("ann", {})}


def shown_meta(key, blob, envelope):
    return json.loads(blobseal("inspect", "--json", "-k", key, *named(envelope), blob)).get("meta")


def unpacked(stored):
    """Decompress what recover.py recovers from a compressed blob, which is a zstd file."""
    code, output = run_program("zstd", "-dc", piped=stored)
    fail_unless(code == 0, f"exit code {code} of zstd")
    return output


def named(envelope):
    return ("--envelope", envelope) if envelope else ()


# ---- Test vectors ------------------------------------------------


class UnpackedVector:
    """A vector whose blob and envelope are in separate files."""

    def __init__(self, path, work):
        self.name = os.path.basename(path).removesuffix(".vec")
        self.path, self.fields = path, read_vector(path).fields
        self.expect = self.fields["expect"]
        self.key = os.path.join(work, "keys", self.fields["key"])
        self.in_set = self.key.endswith(".jwe")  # blobseal finds the set by its name: make_set()
        self.kek = "set:set1" if self.in_set else self.key
        unpacked = os.path.join(work, "unpacked", self.name)
        self.blob, self.output = unpacked + ".blob", unpacked + ".out"
        self.envelope = unpacked + ".envelope" if "envelope-length" in self.fields else None

    def compare(self, plaintext):
        fail_unless(is_plaintext(plaintext, self.fields), "the plaintext is another")

    def open_with_reference(self):
        reference("check", self.path)

    def recover(self):
        stored = recovered(self.key, self.blob, self.envelope, self.name in RECOVERED_BY_PROGRAM)
        self.compare(unpacked(stored) if self.name.startswith("ok-zstd-") else stored)

    def open_with_blobseal(self):
        arguments = ("-k", self.kek, "-o", self.output, *named(self.envelope), self.blob)
        blobseal("open", *arguments, expect=self.expect)
        if self.expect == "success":
            self.compare(read_file(self.output))
        else:
            fail_unless(not os.path.exists(self.output), "the blob was refused, but there is an output file")

    def compare_meta(self):
        shown = shown_meta(self.key, self.blob, self.envelope)
        fail_unless(shown == reference_meta(self.key, self.blob, self.envelope), f"the metadata is another: {shown}")

    def open_with_blobseal_piped(self):
        """Open from a pipe: the end cannot be examined first, so verified chunks are written even before a refusal."""
        arguments = ("-k", self.kek, *named(self.envelope))
        output = blobseal("open", *arguments, expect=self.expect, piped=read_file(self.blob))
        if self.expect == "success":
            self.compare(output)


def vector_checks(paths, work):
    """Yield (name, function) for each check."""
    vectors = [UnpackedVector(path, work) for path in paths]
    assert RECOVERED_BY_PROGRAM <= {vector.name for vector in vectors}
    for number, vector in enumerate(vectors):
        yield f"reference reader, {vector.name}", vector.open_with_reference
        if vector.expect == "success":
            yield f"recover.py, {vector.name}", vector.recover
            if BLOBSEAL and not vector.in_set:
                yield f"metadata, {vector.name}", vector.compare_meta
        if BLOBSEAL and (ALL or number % 2 == 0 or vector.expect == "success"):
            yield f"blobseal, {vector.name}", vector.open_with_blobseal
        if BLOBSEAL and (ALL or number % 2 == 1 or vector.expect == "success"):
            yield f"blobseal from a pipe, {vector.name}", vector.open_with_blobseal_piped


# ---- Blobs of one program opened by another ----------------------


class Exchange:
    """A blob of a plaintext, sealed by one program and opened by the others, with its files in a separate folder."""

    def __init__(self, work, size, payload, recipients, zstd=False):
        self.work, self.size, self.payload, self.zstd = work, size, payload, zstd
        keys = [os.path.join(work, "keys", f"kek{i + 1}.pem") for i in range(recipients)]
        self.opener = keys[-1]
        self.keys = [argument for key in keys for argument in ("-k", key)]

    @contextlib.contextmanager
    def files(self):
        """Yield the path of the plaintext, and the paths for blob, envelope and output."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            plain, *others = (os.path.join(folder, name) for name in ("plain", "blob", "envelope", "out"))
            write_file(plain, LONGEST[: self.size])
            yield plain, *others

    def compare(self, plaintext):
        fail_unless(plaintext == LONGEST[: self.size], "the plaintext is another")

    def check_layout(self, blob, layout):
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            reference("inspect", blob)
        lines = shown.getvalue().splitlines()
        fail_unless(any(line.startswith(f"envelope: {layout}") for line in lines), f"the layout is not {layout}")
        fail_unless(f"payload: {self.payload}" in lines, f"the payload is not {self.payload}")

    def reference_to_blobseal(self, layout):
        with self.files() as (plain, blob, envelope, output):
            options = named(layout == "detached" and envelope)
            how = [*(["--bare"] if self.payload == "bare" else []), *(["--zstd"] if self.zstd else [])]
            reference("seal", "--layout", layout, *options, *how, *self.keys, plain, blob)
            blobseal("open", "-k", self.opener, "-o", output, *options, blob)
            self.compare(read_file(output))

    def blobseal_to_others(self, source):
        """`source`: file, pipe (the length is not known in advance), or detached (a file and a separate envelope)."""
        with self.files() as (plain, blob, envelope, output):
            options = ["-o", blob, *self.keys]
            layout = "A/B" if source == "pipe" or self.size >= 4194304 else "compact"
            if self.payload == "bare":
                options.append("--no-checksums")
            if self.zstd:
                options.append("--zstd")
            if source == "detached":
                layout = "detached"
                options += ["--detached", envelope]
            else:
                envelope = None
            if source == "pipe":
                blobseal("seal", *options, piped=read_file(plain))
            else:
                blobseal("seal", *options, plain)
            self.check_layout(blob, layout)
            reference("open", *named(envelope), "-o", output, self.opener, blob)
            self.compare(read_file(output))
            by_program = self.size == RECOVERED_BY_PROGRAM_SIZE and not self.zstd
            stored = recovered(self.opener, blob, envelope, by_program)
            self.compare(unpacked(stored) if self.zstd else stored)


class MetaExchange(Exchange):
    """The same for the metadata that the sealer adds to a blob."""

    def __init__(self, work, meta):
        super().__init__(work, 1, "checksummed", 2)
        self.meta = meta
        self.shown = {"name": meta.get("name"), "type": meta.get("type"), "annotations": meta.get("ann", {})}

    def compare_meta(self, found):
        fail_unless(found == self.shown, f"the metadata is another: {found}")

    def reference_to_blobseal(self, layout):
        with self.files() as (plain, blob, envelope, _):
            options = named(layout == "detached" and envelope)
            text = json.dumps(self.meta, ensure_ascii=False)
            reference("seal", "--layout", layout, *options, "--meta", text, *self.keys, plain, blob)
            self.compare_meta(shown_meta(self.opener, blob, layout == "detached" and envelope))

    def blobseal_to_others(self):
        with self.files() as (plain, blob, envelope, _):
            options = []
            for name in self.meta.keys() & {"name", "type"}:
                options += ["--" + name, self.meta[name]]
            for name, value in self.meta.get("ann", {}).items():
                options += ["--annotation", f"{name}={value}"]
            blobseal("seal", *options, "--detached", envelope, "-o", blob, *self.keys, plain)
            self.compare_meta(reference_meta(self.opener, blob, envelope))
            jwk = recover.open_envelopes([read_file(envelope)], load_key(self.opener))
            fail_unless(json.loads(recover.decode(jwk["meta"])) == self.meta, "jwcrypto finds other metadata")


def meta_checks(work):
    """Yield (name, function) for each check."""
    for number, meta in enumerate(METAS):
        exchange = MetaExchange(work, meta)
        yield f"blobseal to reference: metadata {number}", exchange.blobseal_to_others
        for layout in ("compact", "ab", "detached"):
            run = functools.partial(exchange.reference_to_blobseal, layout)
            yield f"reference to blobseal: metadata {number}, {layout}", run


def exchange_checks(work):
    """Yield (name, function) for each check: one in three of all combinations, and in the tier `all` every one."""
    cases = itertools.product(enumerate(SIZES), enumerate(("checksummed", "bare")), enumerate(((1, False), (2, False), (1, True))))
    for (i, size), (j, payload), (k, (recipients, zstd)) in cases:
        exchange = Exchange(work, size, payload, recipients, zstd)
        case = f"{payload}, {recipients} recipients{', zstd' if zstd else ''}"
        for m, (layout, source) in enumerate((("compact", "file"), ("ab", "pipe"), ("detached", "detached"))):
            if not ALL and (i + j + k + m) % 3 != 0:
                continue
            run = functools.partial(exchange.reference_to_blobseal, layout)
            yield f"reference to blobseal: {size} bytes, {layout}, {case}", run
            run = functools.partial(exchange.blobseal_to_others, source)
            yield f"blobseal to reference: {size} bytes, {source}, {case}", run


# ---- All ---------------------------------------------------------


def failure(check):
    """Run a check; return None if it passes, otherwise what it printed and what failed."""
    log = io.StringIO()
    try:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            check()
        return None
    except (Failed, SystemExit) as error:
        print(error, file=log)
    except Exception:
        traceback.print_exc(file=log)
    return log.getvalue()


def make_set(keys):
    """Define the set of the vectors for blobseal, and let it use the configuration."""
    store, folder = os.path.join(keys, "set1.jwe"), os.path.join(keys, "sets")
    identity = b64url_encode(claimed_id(read_file(store)))
    os.mkdir(folder)
    definition = {"id": identity, "keks": [os.path.join(keys, "kek1.pem")], "store": store}
    write_file(os.path.join(folder, "set1.json"), json.dumps(definition).encode())
    config = os.path.join(keys, "config.json")
    write_file(config, json.dumps({"sets_dir": folder, "state_dir": os.path.join(keys, "state")}).encode())
    os.environ["BLOBSEAL_CONFIG"] = config


def run_all(work):
    """Yield (name, failure) for each check."""
    for folder in ("keys", "unpacked"):
        os.mkdir(os.path.join(work, folder))
    for pem in glob.glob(os.path.join(VECTORS, "*.pem")) + glob.glob(os.path.join(VECTORS, "*.jwe")):
        # blobseal requires keys that nobody else can read
        os.chmod(shutil.copy(pem, os.path.join(work, "keys")), 0o600)
    make_set(os.path.join(work, "keys"))
    paths = sorted(glob.glob(os.path.join(VECTORS, "*.vec")))
    unpack = functools.partial(reference, "unpack", os.path.join(work, "unpacked"), *paths)
    yield "unpacking the vectors", failure(unpack)

    checks = [*vector_checks(paths, work), *((*exchange_checks(work), *meta_checks(work)) if BLOBSEAL else ())]
    # Run more checks at a time than there are processors, because a check spends much of its time waiting for the disk.
    with concurrent.futures.ProcessPoolExecutor(2 * os.cpu_count()) as pool:
        names, functions = zip(*checks)
        yield from zip(names, pool.map(failure, functions))


def main():
    passed = failed = 0
    with tempfile.TemporaryDirectory() as work:
        for name, log in run_all(work):
            if log is None:
                passed += 1
            else:
                failed += 1
                print(f"FAILED {name}\n{textwrap.indent(log.rstrip(), '    ')}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
