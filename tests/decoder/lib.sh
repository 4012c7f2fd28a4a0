# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Recorded payloads of containerd and their layers, for the scripts of this folder.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../cli/lib.sh"

vectors=$root/tests/vectors/ocicrypt/ctd-decoder
decoder=$(realpath -- "${DECODER:-$root/build/release/blobseal-ctd-decoder}")
export XDG_CONFIG_HOME=$tmp/none HOME=$tmp TMPDIR=$tmp

decode() { # decode CASE ARGUMENT...: run it with a recorded payload and layer
    local name=$1
    shift
    last=" blobseal-ctd-decoder $* for $name"
    "$decoder" "$@" <"${layer:-$vectors/$name/stdin.bin}" 3<"${payload:-$vectors/$name/payload.bin}" >"$out" 2>"$err"
    code=$?
}
plain_of() { # plain_of CASE: compare the output with what was recorded
    local want
    want=$(sed -n 's/.*"plaintext_sha256": "\([0-9a-f]*\)".*/\1/p' "$vectors/$1/expected.json")
    check "it is the recorded plaintext" test "$(sha256sum <"$out" | cut -d ' ' -f 1)" = "$want"
}
nothing() { check "nothing was written" test ! -s "$out"; }
