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

# registry_start: run a registry on a port that the system chooses. Sets $port and the process id, $registry.
registry_start() {
    need docker-registry
    cat >"$tmp/registry.yml" <<END
version: 0.1
storage: {filesystem: {rootdirectory: $tmp/registry}, delete: {enabled: true}}
http: {addr: "127.0.0.1:0"}
END
    docker-registry serve "$tmp/registry.yml" >"$tmp/registry.log" 2>&1 &
    registry=$!
    wait_until grep -q 'listening on 127' "$tmp/registry.log" || lacks "a docker-registry that starts"
    # shellcheck disable=SC2034 # used by the scripts
    port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\)".*/\1/p' "$tmp/registry.log")
}

registry_stop() {
    kill "$registry"
    wait "$registry" 2>/dev/null
}
