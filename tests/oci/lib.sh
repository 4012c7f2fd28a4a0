# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the scripts of this folder share: images, and stock tools.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../cli/lib.sh"

command -v python3 >/dev/null || lacks python3

image() { # image ARGUMENT...: make an image, see image.py
    python3 "$root/tests/oci/image.py" make "$@"
}

# Stock skopeo without the settings of the machine. It needs no root for image layouts.
copy() { # copy ARGUMENT...: run skopeo copy; its output goes to $out and $err
    try skopeo --insecure-policy copy -q "$@"
}

# digest_of LAYOUT[:NAME]: the digest of the image
digest_of() {
    local layout=${1%%:*} name=
    [[ $1 != *:* ]] || name=${1#*:}
    jq -r --arg name "$name" '.manifests[] | select($name == "" or
        .annotations["org.opencontainers.image.ref.name"] == $name) | .digest' "$layout/index.json"
}

# document LAYOUT DIGEST: print a document of the layout
document() {
    cat "$1/blobs/sha256/${2#sha256:}"
}

# blobs LAYOUT: list its blobs, and check that each has its digest
blobs() {
    (cd "$1/blobs/sha256" && for name in *; do
        [ "$(sha256sum <"$name" | cut -d ' ' -f 1)" = "$name" ] || echo "bad: $name"
        echo "$name"
    done)
}
