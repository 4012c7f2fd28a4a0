#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What people try first, mistype, or expect from other programs.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

make_key kek
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem

# ---- Words that are nearly right ----

title="did you mean"
suggested() { # suggested WORD ARGUMENT...: the program refuses the arguments, and suggests WORD
    local word=$1
    shift
    run "$@"
    expect_error 2 E-USAGE
    expect_stderr "^blobseal: hint: did you mean $word\? Otherwise see: blobseal help"
}
suggested seal sael
suggested seal selal f
suggested open opn
suggested verify help veryfy
suggested recipients recipient list f
suggested recipients recip
suggested --output seal --ouput f
suggested --passphrase-file open --passphrase-fiel=f
suggested --quiet seal --quite
suggested remove recipients remvoe f
for arguments in x decrypt "seal --frobnicate" "seal -Z" "recipients f"; do
    # shellcheck disable=SC2086 # words
    run $arguments
    expect_error 2 E-USAGE
    check "nothing is suggested for $arguments" test -z "$(grep 'did you mean' "$err")"
done
run --json seal --ouput f
run seal --ouput f --json
json_is "$out" "'did you mean --output?' in d['hint']"

title="-V"
run -V
expect_code 0
expect_stdout '^blobseal [0-9]+\.[0-9]+\.[0-9]+ \(OpenSSL '

# ---- What is this key? ----

fresh "key show"
run key show "$seal_key"
expect_code 0
expect_stderr ""
expect_stdout "kek.pub.pem: RSA, 2048 bits, public: it seals$"
sed -n '/BEGIN/,/END/p' "$out" >again.pem
expect_same again.pem "$seal_key"
run key show -q "$open_key"
kid=$(cat "$out")
check "the whole key id" grep -qxE 'urn:ietf:params:oauth:jwk-thumbprint:sha-256:[A-Za-z0-9_-]{43}' "$out"
run key show "$open_key" "$seal_key" absent
expect_code 9
expect_stdout "kek.pem: RSA, 2048 bits, private: it seals and opens$"
check "twice the same" test "$(grep -c "^key id   $kid$" "$out")" = 2
check "with the short form" test "$(grep -c "^short id ${kid:45:12}$" "$out")" = 2
run key show --json "$open_key"
json_is "$out" "d['schema'] == 'blobseal.key/1'" "d['kid'] == '$kid'" "d['bits'] == 2048" "d['private']" \
    "d['public'] == open('$seal_key').read()"
(umask 077 && echo secret >passphrase)
make_key encrypted --passphrase-file passphrase
run key show -k "$keys/encrypted.pem" --passphrase-file passphrase
expect_code 0
sed -n '/BEGIN/,/END/p' "$out" >again.pem
expect_same again.pem "$keys/encrypted.pub.pem"
suggested show key shwo x
run key
expect_error 2 E-USAGE "key is followed by show"

# ---- The key of the environment ----

fresh "BLOBSEAL_KEK"
sample f 1000
export BLOBSEAL_KEK=$seal_key
run seal f
expect_ok
export BLOBSEAL_KEK=$open_key
run open -o g f.sealed
expect_ok
expect_same f g
run verify f.sealed
expect_code 0
run inspect f.sealed
expect_stdout "unverified claims" # a verb that needs no key does not take it
make_key other
run verify -k "$keys/other.pem" f.sealed
expect_error 4 E-NOKEY # -k comes instead of it
run recipients add --to "$keys/other.pub.pem" f.sealed
expect_code 0
run verify -k "$keys/other.pem" f.sealed
expect_code 0
export BLOBSEAL_KEK=
run verify f.sealed
expect_error 2 E-USAGE "needs a key"
unset BLOBSEAL_KEK

# ---- A list of recipients ----

fresh "a list of recipients"
sample f 1000
make_key third
recipients_of() { # recipients_of FILE: the number of recipients
    "$blobseal" recipients list "$1" | wc -l
}
mkdir team
cp "$keys/other.pub.pem" team/
printf '\xef\xbb\xbf# our team\r\n\n  %s  # the first\r\nother.pub.pem\nfile:other.pub.pem\n' "$seal_key" >team/list
sed -i '$d' team/list # the same key twice is an error, as with -k
run seal -R team/list f
expect_ok
check "two recipients" test "$(recipients_of f.sealed)" = 2
run open -o g -k "$keys/other.pem" f.sealed
expect_same f g
{
    echo "# in PEM"
    cat "$seal_key"
    echo "team/other.pub.pem"
} >mixed
run seal -f --recipients mixed -k "$keys/third.pub.pem" f
expect_ok
check "three recipients" test "$(recipients_of f.sealed)" = 3
cat "$open_key" >private
printf '# none\n\n' >none
printf 'nowhere.pem\n' >missing
run seal -f -R private f
expect_error 2 E-CONFIG "the list of recipients private, line 1: a private key"
run seal -f -R none f
expect_error 2 E-CONFIG "no key found"
run seal -f -R missing f
expect_error 7 E-INPUT "nowhere.pem"
run seal -f -R absent f
expect_error 7 E-INPUT "read the list of recipients absent"

# ---- Passphrases ----

fresh "passphrases that an editor has changed"
sample f 1000
secret() { # secret FILE FORMAT: a file with this passphrase
    # shellcheck disable=SC2059
    (umask 077 && printf "$2" >"$1")
}
secret plain 'secret\n'
secret crlf 'secret\r\n'
secret bom '\xef\xbb\xbfsecret\n'
secret both '\xef\xbb\xbfsecret\r\n'
make_key locked --passphrase-file plain
run seal -k "$keys/locked.pub.pem" f
declare -A odd=([crlf]="ends in a carriage return" [bom]="starts with a byte order mark"
    [both]="starts with a byte order mark and ends in a carriage return")
for file in crlf bom both; do
    run open -o g -k "$keys/locked.pem" --passphrase-file $file f.sealed
    expect_error 2 E-CONFIG "wrong passphrase"
    expect_stderr "hint: the first line of $file ${odd[$file]}, which is a part of the passphrase"
    run keygen --rsa 2048 -o new.pem --passphrase-file $file
    expect_error 2 E-CONFIG "its passphrase ${odd[$file]}"
done
run open -o g -k "$keys/locked.pem" --passphrase-file plain f.sealed
expect_ok
no_leftovers f f.sealed g plain crlf bom both

if part "passphrases on the terminal" python3; then
    rm -f g
    on_terminal expect:"Passphrase for" echo:off 'send:wrong\n' expect:"Try again" expect:"Passphrase for" echo:off \
        'send:secret\n' -- "$blobseal" open -q -o g -k "$keys/locked.pem" f.sealed
    expect_code 0
    expect_same f g
    on_terminal expect:"Passphrase for" echo:off 'send:1\n' expect:"Passphrase for" echo:off 'send:2\n' \
        expect:"Passphrase for" echo:off 'send:3\n' -- "$blobseal" verify -k "$keys/locked.pem" f.sealed
    expect_code 2
    expect_stdout "wrong passphrase"
    on_terminal expect:"Passphrase for the new key" echo:off 'send:one\n' expect:again echo:off 'send:two\n' \
        expect:"not the same" expect:"Passphrase" echo:off 'send:three\n' expect:again echo:off 'send:three\n' -- \
        "$blobseal" keygen --rsa 2048 -o new.pem --pub new.pub.pem --passphrase
    expect_code 0
    check "nothing that was typed is shown" test -z "$(grep -E 'one$|two|three' "$out")"
    secret typed 'three\n'
    run seal -f -k new.pem --passphrase-file typed f
    expect_ok
fi
run keygen --rsa 2048 -o other.pem --passphrase
expect_error 2 E-CONFIG "no terminal"
run keygen --rsa 2048 -o other.pem --passphrase --passphrase-file plain
expect_error 2 E-USAGE
check "no key" test ! -e other.pem

# ---- Ctrl-C ----

if part "a clean line after Ctrl-C" python3; then
    fresh
    mkfifo in
    sample f 2000000
    (cat f; sleep 1; cat f; sleep 60) >in 2>/dev/null &
    writer=$!
    on_terminal width:80 expect:"seal in" 'send:\x03' -- "$blobseal" seal -k "$seal_key" -o blob in
    expect_code 130
    check "the line of progress is gone" test "$(tail -c 4 "$out")" = $'\r\033[K'
    kill "$writer" 2>/dev/null
    no_leftovers in f
    on_terminal expect:"Passphrase for" echo:off 'send:\x03' -- "$blobseal" open -k "$keys/locked.pem" -o g f
    expect_code 130
    check "the line of the prompt is ended" test "$(tail -c 1 "$out" | od -An -tx1)" = " 0a"
    check "the echo is on again" test "$(cat "$tmp/echo")" = on
    no_leftovers in f
fi

finish
