#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Keys in tokens of SoftHSM: the life of a blob, URIs that match too much or nothing, PINs, and what the token lacks.
# shellcheck source=tests/pkcs11/lib.sh
. "$(dirname "$0")/lib.sh"
need openssl
need_provider
softhsm_start

pin=739155
{
    softhsm_token ops $pin && softhsm_token other $pin && token_key ops $pin kek 01 && token_key ops $pin second 02 &&
        token_key ops $pin ec 03 --key-type=EC:prime256v1 && token_key other $pin kek 01
} || lacks "a SoftHSM that makes keys"
write_pin pin $pin
write_pin wrong 111111
pin=$PWD/pin
key="pkcs11:token=ops;object=kek?module-path=$module"
with_pin="$key&pin-source=file:$pin"
token_public ops kek kek.pub.pem
make_key pem
sample in 100000

# ---- The life of a blob ----

fresh "sealing needs no PIN"
cp "$tmp/in" .
run seal -k "$key" --oaep sha1 in
expect_code 0
expect_stderr "warning: whether the token of pkcs11:token=ops.* was not checked"
run seal -q -k "$key" --oaep sha1 --force in
expect_code 0
expect_stderr ""

title="opening with the PIN from a file"
run open -k "$with_pin" -o out in.sealed
expect_ok
check "the content is the same" cmp -s in out
run open -k "$key" --passphrase-file "$pin" -o out2 in.sealed
expect_ok
check "the content is the same" cmp -s in out2
run open -k "$key" --passphrase-fd 8 -o out3 in.sealed 8<"$pin"
expect_ok
opens_in_part_and_verifies "$with_pin"

title="a token and a PEM file are the same recipient"
run seal -k "$tmp/kek.pub.pem" --oaep sha1 -o by-pem.sealed in
expect_ok
run open -k "$with_pin" -o out4 by-pem.sealed
expect_ok
check "the content is the same" cmp -s in out4
run key show -q "$key"
kid=$(cat "$out")
run key show -q "$tmp/kek.pub.pem"
expect_stdout "^$kid$"

title="rewrapping, recipients, and detached envelopes"
run seal -k "$keys/pem.pub.pem" -o both.sealed in
expect_ok
run rewrap -k "$keys/pem.pem" --to "$with_pin" --oaep sha1 both.sealed
expect_code 0
run open -k "$with_pin" -o out5 both.sealed
expect_ok
run rewrap -k "$with_pin" --to "$keys/pem.pub.pem" both.sealed
expect_code 0
run open -k "$with_pin" -o out6 both.sealed
expect_code 4
run recipients add -k "$keys/pem.pem" --to "$with_pin" --oaep sha1 both.sealed
expect_ok
run recipients remove -k "$with_pin" --oaep sha1 --kid "$keys/pem.pub.pem" both.sealed
expect_code 0
run open -k "$with_pin" -o out7 both.sealed
expect_ok
check "the content is the same" cmp -s in out7
run seal -k "$with_pin" --oaep sha1 --detached in.jwe -o core in
expect_ok
run open -k "$with_pin" --envelope in.jwe -o out8 core
expect_ok
check "the content is the same" cmp -s in out8

title="damage"
head -c 300 /dev/zero | tr '\0' A >zeros
damage_wrapped_key in.jwe bad.jwe
run open -k "$with_pin" --envelope bad.jwe -o out9 core
expect_code 3
expect_stderr "E-AUTH"

# ---- URIs ----

fresh "URIs that match nothing, or too much"
cp "$tmp/in" .
run key show "pkcs11:token=none?module-path=$module"
expect_code 5
expect_stderr "none of the 2 tokens matches"
run key show "pkcs11:token=ops;object=none?module-path=$module&pin-source=file:$pin"
expect_code 2
expect_stderr "the token has no such key"
run key show "pkcs11:object=kek?module-path=$module"
expect_code 2
expect_stderr "2 keys match"
expect_stderr "hint: name one of: 'pkcs11:.*token=o.*;.*object=kek' 'pkcs11:"
run key show -q "$(grep -oE "'pkcs11:[^']*token=ops[^']*'" "$err" | tr -d "'")?module-path=$module"
expect_code 0
expect_stdout "^$kid$"
run key show "pkcs11:token=ops;id=%01?module-path=$module"
expect_code 0
run key show "pkcs11:token=ops;object=ec?module-path=$module"
expect_code 2
expect_stderr "not an RSA key"
run key show "pkcs11:token=ops;object=kek;type=public?module-path=$module"
expect_code 0
run seal -k "pkcs11:token=ops;object=kek;type=secret-key?module-path=$module" in
expect_code 2
run seal -k "pkcs11:token=ops;objekt=kek?module-path=$module" in
expect_code 2
expect_stderr "RFC 7512 does not define"
run seal -k "pkcs11:token" in
expect_code 2
expect_stderr "hint: a URI looks like this"
run seal -k "pkcs11:token=ops?module-path=/nowhere/module.so" in
expect_code 2
run seal -k "pkcs11:token=ops?module-path=module.so" in
expect_code 2
expect_stderr "must start with /"

title="a PIN in the URI is refused, and shown nowhere"
for uri in "$key&pin-value=8642" "pkcs11:pin-value=8642;token=ops?module-path=$module" \
    "pkcs11:token=ops?pin-value=8642&pin-value=8642"; do
    for verb in seal "open -o out" "key show" doctor "seal --json"; do
        # shellcheck disable=SC2086 # a verb with its option
        run $verb -k "$uri"
        expect_code 2
        check "the PIN is not printed" test -z "$(grep 8642 "$out" "$err")"
    done
done

# ---- PINs ----

fresh "a wrong PIN"
cp "$tmp/in" .
run seal -q -k "$key" --oaep sha1 in
run open -k "$key&pin-source=file:$tmp/wrong" -o out in.sealed
expect_code 11
expect_stderr "the PIN is wrong"
check "the PIN is not printed" test -z "$(grep 111111 "$out" "$err")"
run open -k "$key&pin-source=file:/nowhere" -o out in.sealed
expect_code 7
chmod 644 "$pin"
run open -k "$with_pin" -o out in.sealed
expect_code 10
chmod 600 "$pin"
: >empty
chmod 600 empty
run open -k "$key&pin-source=file:$PWD/empty" -o out in.sealed
expect_code 2
run open -k "$key&pin-source=|/bin/true" -o out in.sealed
expect_code 2

title="no terminal, no PIN"
try setsid -w "$blobseal" open -k "$key" -o out in.sealed </dev/null
expect_code 2
expect_stderr "needs its PIN, and there is no terminal"
expect_stderr "hint: add pin-source=file:PATH"

if part "a prompt for the PIN" "$python"; then
    on_terminal "expect:PIN for pkcs11:token=ops" echo:off "send:739155\\n" -- "$blobseal" open -k "$key" -o prompted in.sealed
    expect_code 0
    check "the content is the same" cmp -s in prompted
    check "the PIN is not shown" test -z "$(grep -a 739155 "$out")"
    on_terminal "expect:PIN for" echo:off "send:222222\\n" -- "$blobseal" open -k "$key" -o out in.sealed
    expect_code 11
    expect_stdout "the PIN is wrong"
    check "it is asked for once" test "$(grep -ac 'PIN for' "$out")" = 1
fi

# ---- Many blobs ----

fresh "many blobs through one key"
number=40
tier_has all && number=200
mkdir many opened
for ((i = 0; i < number; i++)); do echo "content $i" >many/$i; done
run seal -q -j 8 -k "$key" --oaep sha1 many/*
expect_code 0
run open -q -j 8 -k "$with_pin" -o opened/ many/*.sealed
expect_code 0
for ((i = 0; i < number; i++)); do
    [ "$(cat opened/$i)" = "content $i" ] || fail "the content of $i is not the same"
done
pass

# ---- Several processes ----

fresh "processes that log in at the same time"
cp "$tmp/in" .
run seal -q -k "$key" --oaep sha1 in
expect_code 0
opens_at_once() { # opens_at_once [EMPTY]...: start 8 processes, for each of which the file of the token may be empty
    local pids=() i rule=
    for ((i = 0; i < 8; i++)); do
        [ $# -le $i ] || rule="open=EMPTY#${*:i+1:1}@$folder/token.object"
        env ${rule:+FAIL_CALLS="$rule $rule"} ${rule:+LD_PRELOAD="$fail_calls"} \
            "$blobseal" open -q -k "$with_pin" -o "$i" --force in.sealed 2>"err-$i" &
        pids+=($!)
    done
    for ((i = 0; i < 8; i++)); do
        wait "${pids[i]}" || fail "process $i of 8, $*: $(cat "err-$i")"
        cmp -s in "$i" || fail "the content of $i is not the same"
    done
    pass
}
for ((i = 0; i < 3; i++)); do
    opens_at_once
done

# SoftHSM 2.6 empties the file of a token for a moment when a process logs in. Here each process finds it empty at
# another time: when it reads the file for the first time, for the second time, and so on, each time twice in a row.
folder=$(dirname "$(grep -l ops "$tmp"/softhsm/tokens/*/token.object)")
if [[ $(softhsm2-util --version) == 2.6.* && $sanitized = no && -e $fail_calls ]]; then
    opens_at_once 1 2 3 4 5 6 7 8
    opens_at_once 9 10 11 12 13 14 15 16
fi

# ---- What the token lacks ----

fresh "the hash that the token lacks is found before anything is sealed"
cp "$tmp/in" .
run seal -k "$key" in
expect_code 12
expect_stderr "does not support OAEP with SHA-256"
expect_stderr "hint: pass --oaep sha1"
check "nothing was written" test ! -e in.sealed
run seal -k "$with_pin" in
expect_code 12
run seal -k "$tmp/kek.pub.pem" in
expect_ok
run open -k "$with_pin" -o out in.sealed
expect_code 12
expect_stderr "hint: wrap the secret again for this key with SHA-1"
finish
