#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# --fips and BLOBSEAL_FIPS. Without a FIPS provider each command fails before it touches anything. With one every
# command works, and blobs are the same in both modes. The provider is a stand-in that the tests build, and also
# OpenSSL's own provider if it is installed.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

need python3 openssl
stand_in=${FIPS_STAND_IN:-$root/build/release/tests/stand_in}
unset BLOBSEAL_FIPS
make_key kek
echo secret >"$keys/passphrase"
chmod 600 "$keys/passphrase"

# ---- Without a provider ----

# Independent of the configuration of this machine: the module folder is empty, and no configuration names a module.
mkdir "$tmp/empty"
without=(env "OPENSSL_MODULES=$tmp/empty" OPENSSL_CONF=/dev/null)

fresh "no FIPS provider"
sample f 100000
"$blobseal" seal -k "$keys/kek.pub.pem" f
before=$(sha256sum f f.sealed)
for arguments in "keygen -o new.pem --pub new.pub.pem" "seal -k $keys/kek.pub.pem -o x f" "seal -f -k $keys/kek.pub.pem f" \
    "open -k $keys/kek.pem -o x f.sealed" "inspect f.sealed" "verify -k $keys/kek.pem f.sealed" "scrub f.sealed" \
    "rewrap -k $keys/kek.pem --to $keys/kek.pub.pem f.sealed" "recipients add -k $keys/kek.pem --to $keys/kek.pub.pem f.sealed" \
    "doctor" "doctor -k nosuch" "completion bash"; do
    # shellcheck disable=SC2086
    try "${without[@]}" "$blobseal" $arguments --fips
    expect_error 2 E-CONFIG "OpenSSL's FIPS provider is not installed, or not configured"
    expect_stderr "hint: .*openssl fipsinstall"
    # shellcheck disable=SC2086
    try "${without[@]}" BLOBSEAL_FIPS=1 "$blobseal" $arguments
    expect_error 2 E-CONFIG "FIPS provider"
done
no_leftovers f f.sealed
check "nothing was changed" test "$(sha256sum f f.sealed)" = "$before"
"${without[@]}" "$blobseal" seal --fips -k "$keys/kek.pub.pem" <f >"$out" 2>"$err"
code=$?
expect_error 2 E-CONFIG "FIPS provider"
try "${without[@]}" "$blobseal" doctor --fips --json
expect_code 2
json_is "$out" 'd["schema"] == "blobseal.error/1"' 'd["code"] == "E-CONFIG"' 'd["exit"] == 2' 'not d["retryable"]'
try "${without[@]}" "$blobseal" doctor --fips --help
expect_ok
try "${without[@]}" BLOBSEAL_FIPS=1 "$blobseal" help
expect_ok

title="values of BLOBSEAL_FIPS"
for value in 1 yes true; do
    try "${without[@]}" "BLOBSEAL_FIPS=$value" "$blobseal" inspect f.sealed
    expect_error 2 E-CONFIG "FIPS provider"
done
for value in "" 0 no false; do
    try "${without[@]}" "BLOBSEAL_FIPS=$value" "$blobseal" inspect f.sealed
    expect_ok
    try "${without[@]}" "BLOBSEAL_FIPS=$value" "$blobseal" inspect --fips f.sealed
    expect_error 2 E-CONFIG "FIPS provider"
done
for value in 2 YES on " 1" yes,no; do
    try "${without[@]}" "BLOBSEAL_FIPS=$value" "$blobseal" inspect f.sealed
    expect_error 2 E-USAGE "BLOBSEAL_FIPS is yes or no, not $value"
done
try "${without[@]}" "BLOBSEAL_FIPS=maybe" "$blobseal" inspect --json f.sealed
expect_code 2
json_is "$out" 'd["code"] == "E-USAGE"'

# A configuration of OpenSSL that is wrong, without --fips: every verb fails in the same way, before it reads anything.
title="a configuration of OpenSSL without the algorithms"
printf '%s\n' 'openssl_conf = init' '[init]' 'alg_section = algorithms' '[algorithms]' 'default_properties = fips=yes' >fips.cnf
printf '%s\n' 'openssl_conf = init' '[init]' 'providers = providers' '[providers]' 'base = on' '[on]' 'activate = 1' >lost.cnf
before=$(sha256sum f f.sealed)
for config in fips.cnf lost.cnf; do
    for arguments in "keygen -o new.pem --pub new.pub.pem" "seal -k nosuch -o x f" "open -k nosuch -o x f.sealed" \
        "inspect f.sealed" "inspect nosuch" "verify -k $keys/kek.pem f.sealed" "scrub f.sealed" "scrub nosuch" \
        "rewrap -k $keys/kek.pem --to $keys/kek.pub.pem f.sealed" "recipients list f.sealed" \
        "recipients add -k $keys/kek.pem --to $keys/kek.pub.pem f.sealed" "recipients repair -k $keys/kek.pem f.sealed"; do
        # shellcheck disable=SC2086
        try env "OPENSSL_CONF=$config" "$blobseal" $arguments
        expect_error 2 E-CONFIG "OpenSSL's configuration activates no provider that has AES-256-GCM"
        expect_stderr "hint: .*openssl.cnf"
        check "FIPS is mentioned where it matters" test "$(grep -c FIPS "$err")" = "$([ $config = fips.cnf ] && echo 1 || echo 0)"
    done
    try env "OPENSSL_CONF=$config" "$blobseal" doctor
    expect_code 2
    expect_stdout "^fail +providers +OpenSSL's configuration activates no provider that has AES-256-GCM"
    expect_stdout "^fail +sha-256 +.*not tested, because no active provider has it"
    expect_stderr "^blobseal: error: OpenSSL's configuration activates no provider"
    check "the CPU is not blamed" test -z "$(grep -iE 'cpu,|microcode|do not seal' "$out" "$err")"
    try env "OPENSSL_CONF=$config" "$blobseal" completion bash
    expect_ok
done
rm fips.cnf lost.cnf
no_leftovers f f.sealed
check "nothing was changed" test "$(sha256sum f f.sealed)" = "$before"

title="off"
run doctor
expect_stdout "^ok +fips +off$"

# ---- With a provider ----

# Seal and open in FIPS mode and in normal mode, in all combinations, with keys made in FIPS mode. "${fips[@]}" is the
# environment that loads the provider.
works() { # works WHO: a pattern for the provider's name in the report of doctor
    local one other
    run_in_fips doctor
    expect_code 0
    expect_stdout "^ok +fips +on: AES-256-GCM by fips, SHA-256 by fips, SHA-512 by fips, HKDF by fips, RSA by fips, random numbers by fips \($1"
    expect_stdout "^ok +aes-256-gcm +openssl$"
    run_in_fips keygen -o kek.pem --pub kek.pub.pem
    expect_code 0
    run_in_fips keygen --rsa 2048 -o locked.pem --pub locked.pub.pem --passphrase-file "$keys/passphrase"
    expect_code 0
    run_in_fips doctor -k kek.pem -k locked.pem --passphrase-file "$keys/passphrase"
    expect_code 0
    run doctor -k kek.pem -k locked.pem --passphrase-file "$keys/passphrase"
    expect_code 0
    sample f 3000000
    for one in run run_in_fips; do
        for other in run run_in_fips; do
            $one seal -f -k kek.pub.pem -k locked.pub.pem --zstd -o z.sealed f
            expect_code 0
            $one seal -f -k kek.pub.pem -k locked.pub.pem f
            expect_code 0
            $other open -f -k locked.pem --passphrase-file "$keys/passphrase" -o back f.sealed
            expect_code 0
            expect_same f back
            $other open -f -k kek.pem -o back z.sealed
            expect_code 0
            expect_same f back
            $other rewrap -q -k kek.pem -k locked.pub.pem --to "$keys/kek.pub.pem" f.sealed
            expect_code 0
            $one verify -k "$keys/kek.pem" f.sealed
            expect_code 0
        done
    done
}

run_in_fips() { # run_in_fips ARGUMENT...: run the program with the provider
    try "${fips[@]}" "$blobseal" "$@"
}

refuses() { # refuses: FIPS mode cannot read a key that is encrypted with scrypt
    openssl pkcs8 -topk8 -scrypt -in kek.pem -out scrypt.pem -passout "file:$keys/passphrase"
    chmod 600 scrypt.pem
    run doctor -q -k scrypt.pem --passphrase-file "$keys/passphrase"
    expect_code 0
    run_in_fips doctor -q -k scrypt.pem --passphrase-file "$keys/passphrase"
    expect_error 2 E-CONFIG "this kind of encryption is not supported in FIPS mode"
    expect_stderr "hint: .*FIPS mode requires PBES2 with PBKDF2"
}

fresh "a stand-in for the FIPS provider"
fips=(env "OPENSSL_MODULES=$stand_in" OPENSSL_CONF=/dev/null BLOBSEAL_FIPS=1)
if [ -e "$stand_in/fips.so" ]; then
    works stand-in
    refuses
    # The other way to select FIPS mode: the system's OpenSSL configuration.
    printf '%s\n' 'openssl_conf = init' '[init]' 'providers = providers' 'alg_section = algorithms' '[providers]' \
        'fips = on' 'base = on' '[on]' 'activate = 1' '[algorithms]' 'default_properties = fips=yes' >openssl.cnf
    try env "OPENSSL_MODULES=$stand_in" OPENSSL_CONF=openssl.cnf "$blobseal" doctor -k kek.pem
    expect_code 0
    expect_stdout "^ok +fips +on: .*random numbers by fips \(stand-in"
    expect_stdout "^ok +aes-256-gcm +openssl$"
    try env "OPENSSL_MODULES=$tmp/empty" "OPENSSL_CONF=openssl.cnf" "$blobseal" open -k kek.pem -o x f.sealed
    check "a configuration without its module opens nothing" test "$code" = 2 -a ! -e x
else
    fail "no module in $stand_in: build it (target fips_stand_in), or name its folder with FIPS_STAND_IN"
fi

# A provider that computes wrongly, but in the same way each time.
if [ -e "$stand_in/fips.so" ]; then
    fresh "a provider that computes wrongly"
    fips=(env "OPENSSL_MODULES=$stand_in" OPENSSL_CONF=/dev/null BLOBSEAL_FIPS=1)
    sample f 100000
    "$blobseal" seal -k "$keys/kek.pub.pem" f
    while read -r breaks finding algorithm; do
        for arguments in "seal -f -k $keys/kek.pub.pem f" "open -k $keys/kek.pem -o x f.sealed" \
            "verify -k $keys/kek.pem f.sealed" "rewrap -k $keys/kek.pem --to $keys/kek.pub.pem f.sealed"; do
            # shellcheck disable=SC2086
            STAND_IN_BREAKS=$breaks run_in_fips $arguments
            expect_error 1 E-INTERNAL "the self-test of OpenSSL's $algorithm.* failed"
            expect_stderr "^blobseal: hint: blobseal doctor shows what is wrong with this machine$"
        done
        STAND_IN_BREAKS=$breaks run_in_fips doctor
        expect_code 1
        expect_stdout "^fail +${finding/_/ } +openssl, $algorithm.*: the self-test failed$"
        check "nothing else fails" test "$(grep -c '^fail' "$out")" = 1
    done <<<'gcm envelope_cipher AES-256-GCM with additional data
sha256 sha-256 SHA-256
hkdf key_derivation HKDF'
    no_leftovers f f.sealed
fi

fresh "blobseal-bench"
bench=${BLOBSEAL_BUILD:-$root/build/release}/blobseal-bench
shortly="--fips --benchmark_filter=^sha256 --benchmark_min_time=0.0001 --benchmark_repetitions=1 --benchmark_format=json"
if [ -x "$bench" ]; then
    # shellcheck disable=SC2086
    try "${fips[@]}" "$bench" $shortly
    expect_code 0
    expect_stdout '^ *"kernel": "openssl",$'
    check "it measures" grep -q bytes_per_second "$out"
    # shellcheck disable=SC2086
    try "${without[@]}" "$bench" $shortly
    expect_code 2
    printf '#!/bin/sh\necho "$@" >&2\nexit 1\n' >fake
    chmod +x fake
    try "${fips[@]}" "BLOBSEAL_BENCH=$PWD/fake" "$blobseal" bench --quick
    expect_code 1
    expect_stderr "--quick --fips|--fips --quick"
else
    echo "not run with blobseal-bench: it was not built"
fi

fresh "OpenSSL's FIPS provider"
fips=(env BLOBSEAL_FIPS=1)
if run_in_fips doctor && [ "$code" = 0 ]; then
    works "."
    refuses
    echo "run with the stand-in and with the FIPS provider of this machine"
else
    echo "run with the stand-in only: this machine has no FIPS provider"
fi

finish
