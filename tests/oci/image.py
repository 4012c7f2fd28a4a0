#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make OCI image layouts for tests, good ones and hostile ones.

image.py make LAYOUT[:NAME] [OPTION]...     an image with the layers of --layers (tar,gzip,zstd,empty,dup)
image.py hostile KIND LAYOUT                a layout that must be refused; `hostile list` prints the kinds
image.py archive KIND LAYOUT ARCHIVE        a tar file of that layout; the kinds are hostile, except "good"
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


class Layout:
    def __init__(self, path):
        self.path = path
        os.makedirs(os.path.join(path, "blobs/sha256"), exist_ok=True)
        self.write("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        self.entries = []
        index = os.path.join(path, "index.json")
        if os.path.exists(index):
            with open(index, "rb") as f:
                self.entries = json.load(f)["manifests"]

    def write(self, name, data):
        with open(os.path.join(self.path, name), "wb") as f:
            f.write(data)

    def blob(self, data, media_type, /, **more):
        digest = hashlib.sha256(data).hexdigest()
        self.write("blobs/sha256/" + digest, data)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data), **more}

    def document(self, value, media_type, /, **more):
        return self.blob(json.dumps(value, separators=(",", ":")).encode(), media_type, **more)

    def index(self, **more):
        self.write("index.json", json.dumps({"schemaVersion": 2, "manifests": self.entries, **more}).encode())


def tar_of(name, size, seed):
    data = random.Random(seed).randbytes(size)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = size
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def compress(kind, data):
    if kind == "gzip":
        return gzip.compress(data, mtime=0), LAYER + "+gzip"
    if kind == "zstd":
        return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout, LAYER + "+zstd"
    return data, LAYER


def layers_of(layout, kinds, size, seed):
    layers, diff_ids = [], []
    for i, kind in enumerate(kinds):
        data = tar_of("file%d-%d" % (seed, i), size, seed * 1000 + i)
        if kind == "empty":
            data = b"\0" * 1024
        if kind == "dup":
            layers.append(dict(layers[0]))
            diff_ids.append(diff_ids[0])
            continue
        stored, media_type = compress("gzip" if kind == "empty" else kind, data)
        layers.append(layout.blob(stored, media_type))
        diff_ids.append("sha256:" + hashlib.sha256(data).hexdigest())
    return layers, diff_ids


def manifest(layout, layers, diff_ids, arch="amd64", **more):
    config = layout.document({
        "architecture": arch, "os": "linux", "author": "tests",
        "config": {"Env": ["PATH=/bin", "TOKEN=visible"], "Labels": {"team": "red"}, "Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "RUN step %d" % i} for i in range(len(diff_ids))]}, CONFIG)
    return layout.document({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
                            "annotations": {"org.example.note": "kept"}, "org.example.unknown": {"z": 1, "a": [1.5, None]}},
                           MANIFEST, **more)


def attestation(layout, subject):
    layer = layout.blob(b'{"_type":"https://in-toto.io/Statement/v0.1"}', "application/vnd.in-toto+json",
                        annotations={"in-toto.io/predicate-type": "https://spdx.dev/Document"})
    config = layout.document({"architecture": "unknown", "os": "unknown", "config": {},
                              "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}, CONFIG)
    return layout.document({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}, MANIFEST,
                           platform={"architecture": "unknown", "os": "unknown"},
                           annotations={"vnd.docker.reference.digest": subject["digest"],
                                        "vnd.docker.reference.type": "attestation-manifest"})


def named(entry, name):
    if name:
        entry.setdefault("annotations", {})["org.opencontainers.image.ref.name"] = name
    return entry


def make(args):
    path, _, name = args.image.partition(":")
    layout = Layout(path)
    kinds = args.layers.split(",") if args.layers else []
    if args.kind == "image":
        entry = manifest(layout, *layers_of(layout, kinds, args.size, args.seed))
    elif args.kind == "artifact":
        layers = [layout.blob(b"QFI\xfb" + os.urandom(args.size), "application/vnd.example.vmimage.disk.v1.qcow2",
                              annotations={"org.opencontainers.image.title": "disk.qcow2"}),
                  layout.blob(b"{}", "application/vnd.oci.empty.v1+json", data="e30=")]
        entry = layout.document({"schemaVersion": 2, "mediaType": MANIFEST,
                                 "artifactType": "application/vnd.example.vmimage.v1",
                                 "config": layout.blob(b"{}", "application/vnd.oci.empty.v1+json"),
                                 "layers": layers, "annotations": {"org.example.note": "kept"}}, MANIFEST)
    else:  # an index: two platforms that share the first layer, an attestation; nested on request
        shared, shared_ids = layers_of(layout, kinds[:1], args.size, args.seed)
        children = []
        for n, arch in enumerate(("amd64", "arm64")):
            own, own_ids = layers_of(layout, kinds[1:], args.size, args.seed + n + 1)
            children.append(manifest(layout, shared + own, shared_ids + own_ids, arch,
                                     platform={"architecture": arch, "os": "linux"}))
        if args.attestation:
            children.append(attestation(layout, children[0]))
        entry = layout.document({"schemaVersion": 2, "mediaType": INDEX, "manifests": children,
                                 "annotations": {"org.example.index": "kept"}}, INDEX)
        if args.kind == "nested":
            entry = layout.document({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}, INDEX)
    layout.entries = [e for e in layout.entries
                      if e.get("annotations", {}).get("org.opencontainers.image.ref.name") != name]
    layout.entries.append(named(entry, name))
    layout.index()


# ---- Hostile layouts: each function changes a good one. What it returns, if not None, is the text of index.json. ----

def good(path):
    layout = Layout(path)
    layers, diff_ids = layers_of(layout, ["gzip", "gzip"], 3000, 1)
    return layout, layers, diff_ids


def simple(layout, layers, diff_ids):
    layout.entries = [manifest(layout, layers, diff_ids)]
    layout.index()


def with_document(layout, document, media_type=MANIFEST, **more):
    layout.entries = [layout.document(document, media_type, **more)]
    layout.index()


def document_of(layout, layers):
    config = layout.document({"architecture": "amd64", "os": "linux"}, CONFIG)
    return {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}


def blob_path(layout, descriptor):
    return os.path.join(layout.path, "blobs/sha256", descriptor["digest"][7:])


def h_digest_traversal(path):
    layout, layers, ids = good(path)
    layers[0]["digest"] = "sha256:../../../../../../../../etc/passwd"
    simple(layout, layers, ids)


def h_digest_upper_case(path):
    layout, layers, ids = good(path)
    layers[0]["digest"] = "sha256:" + layers[0]["digest"][7:].upper()
    simple(layout, layers, ids)


def h_digest_short(path):
    layout, layers, ids = good(path)
    layers[0]["digest"] = layers[0]["digest"][:-1]
    simple(layout, layers, ids)


def h_digest_other_algorithm(path):
    layout, layers, ids = good(path)
    layers[0]["digest"] = "sha512:" + "0" * 128
    simple(layout, layers, ids)


def h_digest_missing(path):
    layout, layers, ids = good(path)
    del layers[0]["digest"]
    simple(layout, layers, ids)


def h_digest_with_zero_byte(path):
    layout, layers, ids = good(path)
    layers[0]["digest"] += "\0"
    simple(layout, layers, ids)


def h_size_wrong(path):
    layout, layers, ids = good(path)
    layers[0]["size"] += 1
    simple(layout, layers, ids)


def h_size_negative(path):
    layout, layers, ids = good(path)
    layers[0]["size"] = -1
    simple(layout, layers, ids)


def h_size_huge(path):
    layout, layers, ids = good(path)
    layers[0]["size"] = 2**64
    simple(layout, layers, ids)


def h_size_is_text(path):
    layout, layers, ids = good(path)
    layers[0]["size"] = str(layers[0]["size"])
    simple(layout, layers, ids)


def h_layer_is_link(path):
    layout, layers, ids = good(path)
    simple(layout, layers, ids)
    secret = os.path.join(layout.path, "outside")
    os.rename(blob_path(layout, layers[0]), secret)
    os.symlink("../../outside", blob_path(layout, layers[0]))


def h_layer_is_fifo(path):
    layout, layers, ids = good(path)
    simple(layout, layers, ids)
    os.unlink(blob_path(layout, layers[0]))
    os.mkfifo(blob_path(layout, layers[0]))


def h_blobs_is_link(path):
    layout, layers, ids = good(path)
    simple(layout, layers, ids)
    os.rename(os.path.join(path, "blobs"), path + ".elsewhere")
    os.symlink("../" + os.path.basename(path) + ".elsewhere", os.path.join(path, "blobs"))


def h_index_is_link(path):
    layout, layers, ids = good(path)
    simple(layout, layers, ids)
    os.rename(os.path.join(path, "index.json"), os.path.join(path, "other.json"))
    os.symlink("other.json", os.path.join(path, "index.json"))


def h_layer_content(path):
    layout, layers, ids = good(path)
    simple(layout, layers, ids)
    with open(blob_path(layout, layers[0]), "r+b") as f:
        f.seek(20)
        f.write(b"!")


def h_manifest_content(path):
    layout, layers, ids = good(path)
    simple(layout, layers, ids)
    with open(blob_path(layout, layout.entries[0]), "r+b") as f:
        text = f.read()
        f.seek(0)
        f.write(text.replace(b"kept", b"kepT"))


def h_manifest_is_index(path):
    layout, layers, _ = good(path)
    with_document(layout, {**document_of(layout, layers), "manifests": []})


def h_index_is_manifest(path):
    layout, layers, _ = good(path)
    with_document(layout, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "layers": layers}, INDEX)


def h_root_is_manifest(path):
    layout, layers, _ = good(path)
    layout.entries = [layout.document(document_of(layout, layers), MANIFEST)]
    layout.index(layers=layers, config={})


def h_media_type_differs(path):
    layout, layers, _ = good(path)
    with_document(layout, {**document_of(layout, layers), "mediaType": INDEX})


def h_duplicate_member(path):
    layout, layers, _ = good(path)
    text = json.dumps(document_of(layout, layers)).encode()
    layout.entries = [layout.blob(text[:-1] + b', "layers": []}', MANIFEST)]
    layout.index()


def h_duplicate_escaped_member(path):
    layout, layers, _ = good(path)
    text = json.dumps(document_of(layout, layers)).encode()
    layout.entries = [layout.blob(text[:-1] + b', "l\\u0061yers": []}', MANIFEST)]
    layout.index()


def h_duplicate_in_index(path):
    layout, layers, ids = good(path)
    simple(layout, layers, ids)
    with open(os.path.join(path, "index.json"), "rb") as f:
        text = f.read()
    layout.write("index.json", text[:-1] + b', "manifests": []}')


def h_layer_with_two_keys(path):
    layout, layers, _ = good(path)
    key = "org.opencontainers.image.enc.keys.jwe"
    one = {**layers[0], "mediaType": LAYER + "+gzip+encrypted", "annotations": {key: "e30="}}
    with_document(layout, document_of(layout, [one, {**one, "annotations": {key: "e30K"}}]))


def h_layer_with_and_without_keys(path):
    layout, layers, _ = good(path)
    one = {**layers[0], "mediaType": LAYER + "+gzip+encrypted", "annotations": {"org.opencontainers.image.enc.pubopts": "e30="}}
    with_document(layout, document_of(layout, [one, {k: v for k, v in one.items() if k != "annotations"}]))


def h_layer_encrypted_and_not(path):
    layout, layers, _ = good(path)
    with_document(layout, document_of(layout, [layers[0], {**layers[0], "mediaType": LAYER + "+gzip+encrypted"}]))


def h_same_layer_two_sizes(path):
    layout, layers, _ = good(path)
    with_document(layout, document_of(layout, [layers[0], {**layers[0], "size": layers[0]["size"] + 1}]))


def h_nested_too_deep(path):
    layout, layers, _ = good(path)
    entry = layout.document(document_of(layout, layers), MANIFEST)
    for _ in range(20):
        entry = layout.document({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}, INDEX)
    layout.entries = [entry]
    layout.index()


def h_index_names_itself(path):
    layout, _, _ = good(path)
    digest = hashlib.sha256(b"loop").hexdigest()
    entry = {"mediaType": INDEX, "digest": "sha256:" + digest, "size": 0}
    text = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
    entry["size"] = len(text) + 2
    text = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
    layout.write("blobs/sha256/" + digest, text)
    layout.entries = [{**entry, "size": len(text)}]
    layout.index()


def h_too_many_entries(path):
    layout, layers, _ = good(path)
    small = {"mediaType": "a/b", "digest": layers[0]["digest"], "size": layers[0]["size"]}
    children = [layout.document({**document_of(layout, [small] * 25000), "n": n}, MANIFEST) for n in range(5)]
    with_document(layout, {"schemaVersion": 2, "mediaType": INDEX, "manifests": children}, INDEX)


def h_manifest_too_large(path):
    layout, layers, _ = good(path)
    with_document(layout, {**document_of(layout, layers), "padding": "x" * (5 << 20)})


def h_deep_json(path):
    layout, layers, _ = good(path)
    text = json.dumps(document_of(layout, layers)).encode()
    layout.entries = [layout.blob(text[:-1] + b',"x":' + b"[" * 100000 + b"]" * 100000 + b"}", MANIFEST)]
    layout.index()


def h_annotation_is_number(path):
    layout, layers, ids = good(path)
    layers[0]["annotations"] = {"org.opencontainers.image.enc.pubopts": 1}
    simple(layout, layers, ids)


def h_layers_is_object(path):
    layout, layers, _ = good(path)
    with_document(layout, {**document_of(layout, layers), "layers": {"0": layers[0]}})


def h_descriptor_is_list(path):
    layout, layers, _ = good(path)
    with_document(layout, document_of(layout, [layers[0], []]))


def h_two_images_with_one_name(path):
    layout, layers, ids = good(path)
    simple(layout, layers, ids)
    layout.entries = [named(dict(layout.entries[0]), "x"), named(dict(layout.entries[0]), "x")]
    layout.index()


def h_not_a_layout(path):
    os.makedirs(path)


def h_version_two(path):
    layout, layers, ids = good(path)
    simple(layout, layers, ids)
    layout.write("oci-layout", b'{"imageLayoutVersion":"2.0.0"}')


def h_media_type_controls_terminal(path):
    layout, layers, ids = good(path)
    layers[0]["mediaType"] = "application/x\x1b[2J"
    simple(layout, layers, ids)


KINDS = {name[2:].replace("_", "-"): f for name, f in globals().items() if name.startswith("h_")}


def tar_layout(args):
    """Make hostile archives from a good layout."""
    with tarfile.open(args.archive, "w") as tar:
        def add(name, data=b"", kind=tarfile.REGTYPE, link=""):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(data), link
            tar.addfile(info, io.BytesIO(data))
        names = sorted(os.listdir(os.path.join(args.layout, "blobs/sha256")))
        files = ["oci-layout", "index.json"] + ["blobs/sha256/" + n for n in names]
        if args.kind == "absolute":
            add("/tmp/blobseal-was-here", b"x")
        elif args.kind == "dot-dot":
            add("blobs/../../blobseal-was-here", b"x")
        elif args.kind == "symlink":
            add("blobs/sha256/" + "0" * 64, kind=tarfile.SYMTYPE, link="/etc/passwd")
        elif args.kind == "symlinked-folder":
            add("blobs", kind=tarfile.SYMTYPE, link="/tmp")
        elif args.kind == "hardlink":
            add("blobs/sha256/" + "0" * 64, kind=tarfile.LNKTYPE, link="/etc/passwd")
        elif args.kind == "device":
            add("blobs/sha256/" + "0" * 64, kind=tarfile.CHRTYPE)
        elif args.kind == "fifo":
            add("index.json", kind=tarfile.FIFOTYPE)
        for name in files:
            with open(os.path.join(args.layout, name), "rb") as f:
                data = f.read()
            add(name, data)
            if args.kind == "twice" and name == "index.json":
                add(name, data)
    if args.kind == "truncated":
        os.truncate(args.archive, os.path.getsize(args.archive) // 2)


def main():
    parser = argparse.ArgumentParser()
    sub = parser.add_subparsers(dest="verb", required=True)
    p = sub.add_parser("make")
    p.add_argument("image")
    p.add_argument("--kind", choices=["image", "index", "nested", "artifact"], default="image")
    p.add_argument("--layers", default="gzip,tar")
    p.add_argument("--size", type=int, default=20000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--attestation", action="store_true")
    p = sub.add_parser("hostile")
    p.add_argument("kind")
    p.add_argument("layout", nargs="?")
    p = sub.add_parser("archive")
    p.add_argument("kind")
    p.add_argument("layout")
    p.add_argument("archive")
    args = parser.parse_args()
    if args.verb == "make":
        make(args)
    elif args.verb == "archive":
        tar_layout(args)
    elif args.kind == "list":
        print("\n".join(sorted(KINDS)))
    else:
        KINDS[args.kind](args.layout)


if __name__ == "__main__":
    sys.exit(main())
