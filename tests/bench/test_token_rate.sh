#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench/token-rate runs, and prints what it should. The figures of so short a run mean nothing.
# shellcheck source=tests/pkcs11/lib.sh
. "$(dirname "$0")/../pkcs11/lib.sh"
need_provider
need softhsm2-util
module=$(find_module libsofthsm2.so) || lacks "the module of SoftHSM 2"
program=${BLOBSEAL_BUILD:-$root/build/release}/blobseal-token-rate
[ -x "$program" ] || skip "benchmarks are not built"

fresh "the rate of a token"
try env BLOBSEAL="$blobseal" TOKEN_RATE="$program" SOFTHSM_MODULE="$module" "$root/bench/token-rate" --threads 2 \
    --seconds 0.05 --rounds 1 2048
expect_ok
expect_stdout "^2048 bits, 2 threads: C_Decrypt [0-9]+/s, blobs opened [0-9]+/s, ratio [0-9.]+$"
try "$root/bench/token-rate" --nonsense
expect_code 2
finish
