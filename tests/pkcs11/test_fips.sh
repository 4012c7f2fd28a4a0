#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# --fips with keys in tokens: wrapping and everything else is done by the FIPS provider, which is a stand-in that the
# tests build. The token unwraps as without it: what it computes is the matter of its module.
# shellcheck source=tests/pkcs11/lib.sh
. "$(dirname "$0")/lib.sh"
stand_in=${FIPS_STAND_IN:-$root/build/release/tests/stand_in}
unset BLOBSEAL_FIPS
[ $sanitized = no ] || export ASAN_OPTIONS=detect_leaks=0 # the stand-in keeps what it has fetched
need_provider
softhsm_start
[ -e "$stand_in/fips.so" ] || lacks "the target fips_stand_in"
pin=86420975
{ softhsm_token ops $pin && token_key ops $pin kek 01; } || lacks "a SoftHSM that makes tokens and keys"
write_pin pin $pin
key="pkcs11:token=ops;object=kek?module-path=$module&pin-source=file:$PWD/pin"
fips=(env "OPENSSL_MODULES=$stand_in" OPENSSL_CONF=/dev/null BLOBSEAL_FIPS=1)
in_fips() { # in_fips ARGUMENT...: run the program with the provider
    try "${fips[@]}" "$blobseal" "$@"
}

fresh "sealing and opening in both modes"
sample in 100000
for one in run in_fips; do
    for other in run in_fips; do
        $one seal -f -k "$key" --oaep sha1 in
        expect_code 0
        $other open -f -k "$key" -o out in.sealed
        expect_code 0
        expect_same in out
        $other verify -q -k "$key" in.sealed
        expect_code 0
    done
done
in_fips doctor -k "$key" --oaep sha1
expect_code 0
expect_stdout "^ok +fips +on: .*RSA by fips"

title="a rotation from a file to a token"
in_fips keygen -q -o kek.pem --pub kek.pub.pem
expect_code 0
in_fips seal -f -k kek.pub.pem in
expect_code 0
in_fips rewrap -q -k kek.pem --to "$key" --oaep sha1 in.sealed
expect_code 0
run open -f -k "$key" -o out in.sealed
expect_ok
expect_same in out

title="making a key in a token"
in_fips keygen --pkcs11 "pkcs11:token=ops;object=new?module-path=$module&pin-source=file:$tmp/pin" --rsa 2048
expect_code 0
in_fips key list -q "pkcs11:token=ops;object=new?module-path=$module"
expect_code 0
expect_stdout "object=new"

title="without a provider"
try env "OPENSSL_MODULES=$tmp/softhsm" OPENSSL_CONF=/dev/null "$blobseal" open --fips -f -k "$key" -o out in.sealed
expect_error 2 E-CONFIG "FIPS provider"
finish
