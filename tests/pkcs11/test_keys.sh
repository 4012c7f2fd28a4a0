#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Making, listing and examining keys in tokens, and PINs that must not be seen anywhere.
# shellcheck source=tests/pkcs11/lib.sh
. "$(dirname "$0")/lib.sh"
need_provider
softhsm_start
pin=86420975
{ softhsm_token ops $pin && softhsm_token other $pin; } || lacks "a SoftHSM that makes tokens"
write_pin pin $pin
pin_file=$PWD/pin
place="pkcs11:token=ops?module-path=$module"
key="pkcs11:token=ops;object=new?module-path=$module"
sample in 5000

# ---- keygen ----

fresh "a key pair in a token"
run keygen --pkcs11 "$key" --rsa 2048 --pub new.pub.pem --passphrase-file "$pin_file"
expect_code 0
expect_stderr ""
kid=$(sed -n 1p "$out")
uri=$(sed -n 2p "$out")
run key show -q new.pub.pem
expect_stdout "^$kid$"
run key show -q "$uri"
expect_stdout "^$kid$"
cp "$tmp/in" .
run seal -k new.pub.pem --oaep sha1 in
expect_ok
run open -k "$uri&pin-source=file:$pin_file" -o out in.sealed
expect_ok
check "the content is the same" cmp -s in out
pkcs11-tool --module "$module" --token-label ops --login --pin $pin -O 2>/dev/null >objects
check "it decrypts only" grep -qE '^ *Usage: +decrypt$' objects
check "it is protected" grep -qE 'Access: +sensitive, always sensitive, never extractable, local' objects

title="what is not made"
run keygen --pkcs11 "$key" --rsa 2048 --passphrase-file "$pin_file"
expect_code 2
expect_stderr "the token has it already"
run keygen --pkcs11 "$place" --rsa 2048 --passphrase-file "$pin_file"
expect_code 2
expect_stderr "hint: name the new key with object="
run keygen --pkcs11 "pkcs11:object=x?module-path=$module" --rsa 2048 --passphrase-file "$pin_file"
expect_code 2
expect_stderr "2 tokens match"
run keygen --pkcs11 "$key" -o file
expect_code 2
run keygen --pkcs11 kek.pem
expect_code 2
run keygen --pkcs11 "pkcs11:token=ops;object=y?module-path=$module" --pub new.pub.pem --passphrase-file "$pin_file"
expect_code 6
run key list -q "pkcs11:token=ops;object=y?module-path=$module"
expect_stdout ""
run keygen --json --pkcs11 "pkcs11:token=ops;object=z;id=%42?module-path=$module&pin-source=file:$pin_file" --rsa 3072
expect_code 0
expect_stdout '"schema":"blobseal.keygen/1".*"private":"pkcs11:.*id=%42.*"bits":3072'

# ---- key list ----

fresh "the keys of a token"
run key list "$place"
expect_code 0
expect_stdout "RSA 2048  private  pkcs11:.*object=new"
expect_stdout "RSA 3072  private  pkcs11:.*object=z"
run key list -q "pkcs11:token=other?module-path=$module"
expect_code 0
expect_stdout ""
run key list -q "$place"
while read -r uri; do
    run key show -q "$uri"
    expect_code 0
done < <(cat "$out")
run key list --json "$place"
expect_code 0
expect_stdout '"schema":"blobseal.key/1","key":"pkcs11:.*"kid":"urn:.*"kind":"RSA","bits":2048,"private":true'
run key list -k "$place" --passphrase-file "$pin_file"
expect_code 0
run key list "pkcs11:token=none?module-path=$module"
expect_code 5
run key list kek.pem
expect_code 12

# ---- doctor ----

fresh "what doctor says about a key in a token"
run doctor -k "$key" --oaep sha1 --passphrase-file "$pin_file"
expect_code 0
expect_stdout "^ok +module +$module, SoftHSM 2"
expect_stdout "^ok +token +ops, model SoftHSM v2, serial "
expect_stdout "^ok +protection +sensitive, not extractable, decrypts$"
expect_stdout "^(ok|warn) +oaep +.*SHA-1"
expect_stdout "^ok +unwrap +[0-9.]+ ms$"
expect_stdout "^ok +key works +wraps and unwraps$"
pkcs11-tool --module "$module" --token-label ops --login --pin $pin --keypairgen --key-type rsa:2048 --label loose \
    --id 77 --usage-decrypt --usage-wrap --extractable >/dev/null 2>&1
run doctor -k "pkcs11:token=ops;object=loose?module-path=$module" --oaep sha1 --passphrase-file "$pin_file"
expect_code 0
expect_stdout "^warn +protection +.*, extractable"

# ---- PINs ----

fresh "a PIN is seen nowhere"
cp "$tmp/in" .
run seal -q -k "$key" --oaep sha1 in
mkfifo slow
"$blobseal" seal -k "$key" --passphrase-file "$pin_file" --oaep sha1 -o - <slow >piped 2>"$err" &
pid=$!
exec 9>slow
echo data >&9
wait_until grep -q pkcs11: "/proc/$pid/cmdline"
[ "$(id -u)" != 0 ] || wait_until grep -q 'libsofthsm2' "/proc/$pid/maps" # others may not look into the program
tr '\0' '\n' <"/proc/$pid/cmdline" >cmdline
(tr '\0' '\n' <"/proc/$pid/environ") >environ 2>/dev/null
check "its arguments were read" grep -q pkcs11: cmdline
check "neither its arguments nor its environment have the PIN" test -z "$(grep $pin cmdline environ)"
exec 9>&-
wait $pid
code=$?
expect_code 0
write_pin wrong 97531246
for verb in "open -o -" verify "key show" doctor "rewrap --to new" "recipients list"; do
    for file in "$pin_file" "$PWD/wrong"; do
        # shellcheck disable=SC2086 # a verb with its options
        run $verb -k "$key" --passphrase-file "$file" in.sealed
        check "$verb prints no PIN" test -z "$(grep -a -e $pin -e 97531246 "$out" "$err")"
    done
done
finish
