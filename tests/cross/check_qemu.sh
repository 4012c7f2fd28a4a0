#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Emulated CPUs that differ from this one: which AES-GCM implementation is selected on each, whether it is right there,
# and that no CPU executes an instruction that it lacks. The emulator ends a program at such an instruction, which is
# tested as well.
kernels=$(realpath -- "${KERNELS:-$(dirname "$0")/../../build/release/tests/kernels}") || exit 1
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"

need qemu-x86_64
[ "$(uname -m)" = x86_64 ] || skip "needs an x86-64 machine"

on() { # on CPU COMMAND...: run it on an emulated CPU, which takes ten times as long
    printf -v last ' %q' qemu-x86_64 -cpu "$@"
    { timeout --foreground -k 5 1800 qemu-x86_64 -cpu "$@" >"$out" 2>"$err"; } 2>/dev/null
    code=$?
}

expect_auto() { # expect_auto NAME: the implementation that a key selects by default
    expect_code 0
    expect_stderr ""
    expect_stdout "^auto: $1\$"
}

# Check that the emulator is strict: an implementation that the CPU cannot run must die of SIGILL.
title="an instruction that a CPU lacks"
on qemu64 "$kernels" aesni
expect_code 132
on max,-vpclmulqdq "$kernels" vaes256
expect_code 132

# All checks of test vectors, runs and forgeries, on CPUs with AES instructions and AVX2, with AES instructions but
# without AVX, and without any of them. They run on the implementation that is selected by default; in the tier `all` on
# every implementation that the CPU can run. Without AES instructions OpenSSL computes.
for cpu in "max aesni" "Westmere aesni" "qemu64 openssl"; do
    title="all checks on ${cpu% *}"
    if [ "$cpu" = "qemu64 openssl" ] && ! tier_has all; then
        continue
    elif tier_has all; then
        on "${cpu% *}" "$kernels" all
        expect_auto "${cpu#* }"
        expect_stdout "^proved: openssl \("
    else
        on "${cpu% *}" "$kernels" "${cpu#* }"
        expect_code 0
    fi
    expect_stdout "^proved: ${cpu#* } \("
done

# The program itself: a blob sealed on one emulated CPU opens on this one, and the other way round. A CPU that lacks
# only a single feature just seals, except in the tier `all`.
make_key kek
sample plain $((3 * 1024 * 1024 + 4321))
"$blobseal" seal -k "$keys/kek.pub.pem" -o native.sealed plain
for cpu in "max aesni" "max,-vaes aesni" "max,-avx aesni" "Westmere aesni" "max,-pclmulqdq openssl" "max,-aes openssl" \
    "qemu64 openssl" "core2duo openssl"; do
    title="the program on ${cpu% *}"
    on "${cpu% *}" "$kernels"
    expect_auto "${cpu#* }"
    expect_stdout "^NOT PROVED HERE: vaes512 \("
    on "${cpu% *}" "$blobseal" doctor
    expect_stdout "aes-256-gcm  *${cpu#* }"
    on "${cpu% *}" "$blobseal" seal -f --no-checksums -k "$keys/kek.pub.pem" -o there.sealed plain
    expect_ok
    run open -f -k "$keys/kek.pem" -o back there.sealed
    expect_ok
    expect_same plain back
    tier_has all || [[ $cpu != *,* ]] || continue
    on "${cpu% *}" "$blobseal" open -f -k "$keys/kek.pem" -o back native.sealed
    expect_ok
    expect_same plain back
    printf 'tampered' | dd of=there.sealed bs=1 seek=2000000 conv=notrunc 2>/dev/null
    rm back
    on "${cpu% *}" "$blobseal" open -k "$keys/kek.pem" -o back there.sealed
    expect_error 3 E-AUTH
done
finish
