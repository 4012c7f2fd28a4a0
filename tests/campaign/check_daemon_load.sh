#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The load of a storage daemon at full size: 64 threads and 50,000 blobs (about 4 GB) for 10 minutes. It prints the
# latencies. THREADS, BLOBS and SECONDS_OF_LOAD change the size.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
PATH=${BLOBSEAL_BUILD:-$root/build/release}:$PATH
need blobseal-daemon-load # CMake builds it with blobseal-bench, if it finds Google Benchmark (libbenchmark-dev)

fresh "the load of a storage daemon"
mkdir store
hang_limit=3600
try blobseal-daemon-load --threads "${THREADS:-64}" --blobs "${BLOBS:-50000}" --seconds "${SECONDS_OF_LOAD:-600}" store
cat "$out"
expect_code 0
grep -qE '^failures +0$' "$out" || fail "calls failed"
finish
