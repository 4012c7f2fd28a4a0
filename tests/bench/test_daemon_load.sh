#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The load of a storage daemon, for a few seconds: many threads seal, read, rotate and replace blobs in one process.
# Nothing may fail, every byte is compared, and memory, mappings and descriptors stay flat.
# tests/campaign/check_daemon_load.sh runs it at full size.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
PATH=${BLOBSEAL_BUILD:-$root/build/release}:$PATH
need blobseal-daemon-load # CMake builds it with blobseal-bench, if it finds Google Benchmark (libbenchmark-dev)

fresh "16 threads, 200 blobs, 3 s"
mkdir store
try blobseal-daemon-load --threads 16 --blobs 200 --seconds 3 store
expect_code 0
grep -qE '^failures +0$' "$out" || fail "calls failed"
[ "$(grep -c ' flat$' "$out")" = 3 ] || fail "something grew: $(grep GROWS "$out")"
for operation in seal "open and read all" "range of an open blob" "open and range" inspect rotate; do
    grep -qE "^$operation +[1-9]" "$out" || fail "no operation of this kind was done: $operation"
done
[ -z "$(ls -A store)" ] || fail "files are left over"

fresh "usage"
for arguments in "--threads 0" "--blobs x" "--seconds -1" "--what"; do
    # shellcheck disable=SC2086 # two words
    try blobseal-daemon-load $arguments
    expect_code 2
done
finish
