#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Encryption sets with keys in files: make, use, rotate, new keys, export and import, and what is refused.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need jq

make_key kek
make_key new
make_key escrow
sample in 5000
cp "$keys"/* .
[ ! -e /etc/blobseal/config.json ] || skip "this machine has a configuration"

machine() { # machine NAME: a folder for the sets and the state of a machine
    mkdir -p "$1"
    echo "{\"sets_dir\": \"$PWD/$1/sets\", \"state_dir\": \"$PWD/$1/state\"}" >"$1/config.json"
    mkdir -p "$1/sets"
    export BLOBSEAL_CONFIG=$PWD/$1/config.json
}
field() { jq -r ".$1" "$out"; }

fresh "a set is made and used"
machine a
run set create images -k "$tmp/kek.pem" --recovery "$tmp/escrow.pub.pem"
expect_code 0
expect_stderr 'whoever can seal with the set can open all of it'
expect_stdout '^  state  *ACTIVE$'
expect_stdout '^  keyRotationEnabled  *false$'
run set create images -k "$tmp/kek.pem"
expect_error 6 E-EXISTS
run seal -k set:images -o a.sealed "$tmp/in"
expect_ok
run open -k set:images -o - a.sealed
expect_ok
check "the content" cmp "$out" "$tmp/in"
run inspect a.sealed
expect_stdout 'A256KW  blobseal-set:.*/1/'

title="what key show says about a set"
run key show set:images
expect_ok
expect_stdout '^set:images: AES, 256 bits, private: it seals and opens$'
expect_stdout '^key id  *blobseal-set:.*/1/'
run key show -q set:images
expect_stdout '^blobseal-set:.*/1/'
run key show --json set:images
expect_ok
check "an AES key without a public half" test "$(jq -c '[.kind, .bits, .private, .public]' "$out")" = \
    '["AES",256,true,null]'
run key list set:images
expect_error 12 E-UNSUPPORTED 'cannot list keys'
run recipients remove -k set:images --kid set:images a.sealed
expect_error 2 E-CONFIG 'does not have one key id'

title="the KEK is exchanged, and a key is added"
cp a/sets/images.jwe old.jwe
run set rotate images --to "$tmp/new.pem"
expect_ok
expect_stdout '^images: rewrapped for the new KEK, generation 2$'
run set check
expect_stdout '^images: nothing to do, generation 2$'
run set rekey images --json
expect_ok
check "a new key" test "$(field newKey)" = true
run seal -k set:images -o b.sealed "$tmp/in"
expect_ok
for blob in a.sealed b.sealed; do
    run open -k set:images -o - $blob
    expect_ok
done
run set show --json
expect_ok
check "two keys, generation 3" test "$(field keys) $(field generation)" = "2 3"
check "the new KEK" test "$(field keyVaultProperties.keyIdentifier)" = "$tmp/new.pem"
id=$(field id)

title="a KEK that could not be used is not taken"
cp a/sets/images.json definition
run set rotate images --to "$tmp/kek.pub.pem"
expect_error 2 E-CONFIG 'has to unwrap, but .* is a public key here'
run set rotate images --identity nobody
expect_error 2 E-CONFIG 'no identity named nobody'
check "the definition is as before" cmp a/sets/images.json definition
run set create public -k "$tmp/kek.pub.pem"
expect_error 2 E-CONFIG 'has to unwrap'
run set create nobody -k "$tmp/kek.pem" --identity nobody
expect_error 2 E-CONFIG 'no identity named nobody'
run set create itself -k "$tmp/kek.pem" --recovery "$tmp/kek.pub.pem"
expect_error 2 E-CONFIG 'is the KEK of the set itself'
check "no set is made" test "$(ls a/sets/*.json)" = a/sets/images.json
run set create images -k "$tmp/kek.pem"
expect_error 6 E-EXISTS
expect_stderr 'hint: choose another name$'

title="options that a subcommand does not have"
for line in 'show images --to new.pem' 'rekey images --to new.pem' 'rotate images -k new.pem' \
    'check images --identity ops' 'list -k kek.pem' 'export images --wrap direct' 'create other -k kek.pem --drop x' \
    'show images --force' 'import images --id AAAA -k kek.pem --to new.pem'; do
    # shellcheck disable=SC2086 # words
    run set $line
    expect_error 2 E-USAGE 'has no option'
done
run set rotate images
expect_error 2 E-USAGE 'needs --to KEY or --identity NAME'
run set rotate images --to new.pem --to kek.pem
expect_error 2 E-USAGE 'given twice'

title="a KEK that is not there"
mv "$tmp/new.pem" "$tmp/new.away"
run set show --json images
expect_code 0
check "the state and the reason" test "$(field state) $(field lastError)" = \
    "DEGRADED read the key $tmp/new.pem: No such file or directory"
run set check images
expect_error 7 E-INPUT
run seal -k set:images -o c.sealed "$tmp/in"
expect_error 7 E-INPUT
run set rotate images --to "$tmp/escrow.pem"
expect_error 10 E-POLICY 'would be lost'
expect_stderr '--drop urn:'
run set rotate images --to "$tmp/escrow.pem" --drop "$("$blobseal" key show -q "$tmp/new.pub.pem")"
expect_ok
expect_stdout '^images: rewrapped for the new KEK, generation 4$'
run open -k set:images -o - b.sealed
expect_ok
mv "$tmp/new.away" "$tmp/new.pem"
run set rotate images --to "$tmp/new.pem"
expect_ok

title="two machines with one store, of which one rotates the set"
for m in c d; do
    machine $m
    [ $m = d ] || run set create shared -k "$tmp/kek.pem" --store "$PWD/shared.jwe"
    [ $m = c ] || cp c/sets/shared.json d/sets/
done
run seal -k set:shared -o shared.sealed "$tmp/in"
expect_ok
export BLOBSEAL_CONFIG=$PWD/c/config.json
run set rotate shared --to "$tmp/new.pem"
expect_code 0
export BLOBSEAL_CONFIG=$PWD/d/config.json
for command in 'open -o - -k set:shared shared.sealed' 'set check' 'seal -k set:shared -o no.sealed a.sealed'; do
    # shellcheck disable=SC2086 # words
    run $command
    expect_stderr 'none of the permitted keys'
    expect_stderr "another machine has rotated the set, rotate it here as well: .*$("$blobseal" key show -q "$tmp/new.pem")"
done
run set rotate shared --to "$tmp/new.pem"
expect_code 0
expect_stdout 'the definition is changed, the object needs no change'
run open -o - -k set:shared shared.sealed
expect_ok
run set check
expect_ok
export BLOBSEAL_CONFIG=$PWD/a/config.json

title="export and import on an empty machine with the recovery key"
run set export --json images -o images.jwe
expect_ok
check "where it is" test "$(field out)" = images.jwe
machine b
run set import images --id "$id" -k "$tmp/kek.pem" images.jwe
expect_error 4 E-NOKEY
run set import images --id AAAAAAAAAAAAAAAAAAAAAA -k "$tmp/escrow.pem" images.jwe
expect_error 3 E-FORMAT
run set import images --id "$id" -k "$tmp/escrow.pem" images.jwe
expect_code 0
expect_stderr 'makes new keys only after blobseal set rekey images'
for blob in a.sealed b.sealed; do
    run open -k set:images -o - $blob
    expect_ok
done

title="the set went back"
export BLOBSEAL_CONFIG=$PWD/a/config.json
cp a/sets/images.jwe newest.jwe
cp old.jwe a/sets/images.jwe
cp old.jwe a/sets/images.jwe.backup
run open -k set:images -o - a.sealed
expect_error 10 E-POLICY
run set check
expect_error 10 E-POLICY
cp newest.jwe a/sets/images.jwe
run open -k set:images -o - a.sealed
expect_ok

title="an older export does not bring an older set back"
rm a/sets/images.jwe a/sets/images.jwe.backup
run set import images --id "$id" -k "$tmp/escrow.pem" old.jwe
expect_error 10 E-POLICY 'it is an older one'
run set import again --id "$id" -k "$tmp/escrow.pem" old.jwe
expect_error 10 E-POLICY 'it is an older one'
check "nothing is stored" test -z "$(find a/sets -name '*.jwe' -o -name '*.backup')"
run set show --json images
check "the reason is shown" test "$(field state) $(field lastError)" = "DEGRADED the set images has no stored object"
echo text >a/sets/images.jwe
run set check
expect_error 3 E-FORMAT 'the object of the set is malformed'
run open -k set:images -o - a.sealed
expect_error 10 E-POLICY 'the object of the set is malformed'
expect_stderr 'restored from a copy or an export'
cp newest.jwe a/sets/images.jwe

title="scrub takes no object of a set for a damaged envelope"
mkdir folder
cp a.sealed newest.jwe folder
run scrub folder
expect_code 0
expect_stdout 'newest.jwe: the object of an encryption set'
run scrub --json folder/newest.jwe
expect_ok
check "it says so" test "$(field set)" = true

title="the file is damaged, and the backup is not"
cp newest.jwe a/sets/images.jwe.backup
head -c 100 newest.jwe >a/sets/images.jwe
run set show images
expect_code 0
expect_stderr 'read from its backup'
run set rekey images
expect_ok
check "the file is whole again" cmp a/sets/images.jwe a/sets/images.jwe.backup

title="a definition that others can write"
chmod g+w a/sets/images.json
run open -k set:images -o - a.sealed
expect_error 10 E-POLICY
run set import images --id "$id" -k "$tmp/new.pem" images.jwe
expect_error 10 E-POLICY
chmod g-w a/sets/images.json

title="an import by a definition with an old KEK that is gone"
mv "$tmp/kek.pem" "$tmp/kek.away"
run set import images --id "$id" -k "$tmp/escrow.pem" old.jwe
expect_code 0
mv "$tmp/kek.away" "$tmp/kek.pem"

title="a definition with an unknown member"
sed 's/"wrap"/"host": "evil", "wrap"/' a/sets/images.json >a/sets/bad.json
run set show bad
expect_error 2 E-CONFIG
run set show none
expect_error 2 E-CONFIG 'there is no set none'
expect_stderr 'hint: check its name, and "sets_dir"'
while IFS='|' read -r change message; do
    sed "$change" a/sets/images.json >a/sets/bad.json
    run set show bad
    expect_error 2 E-CONFIG "the definition of the set bad: the member $message"
done <<'END'
s/"id": "[^"]*"/"id": 5/|"id" must be the id of the set, which has 22 characters
s/"wrap": "hierarchy"/"wrap": "other"/|"wrap" must be "hierarchy" or "direct"
s/"keks": .*/"keks": [],/|"keks" must be a list of 1 to 8 references to keys
s/"wrap"/"store": "here", "wrap"/|"store" must be an absolute path
s/"wrap"/"min_generation": -1, "wrap"/|"min_generation" must be a number
s/"wrap"/"wrap": "direct", "wrap"/|"wrap" appears twice
END

title="an object that an interrupted run left"
cp newest.jwe a/sets/left.jwe
run set create left -k "$tmp/kek.pem"
expect_error 6 E-EXISTS 'has an object already'
expect_stderr 'hint: import .*/a/sets/left.jwe, or remove it and its backup'

title="no folder for sets"
for folder in "$tmp/in/sets" /proc/none/sets; do
    echo "{\"sets_dir\": \"$folder\"}" >none.json
    run set create s --config none.json -k "$tmp/kek.pem"
    expect_error 8 E-OUTPUT 'make a set in the folder'
    expect_stderr '"sets_dir" in the configuration'
done

fresh "a set whose KEK is a set, or itself under another name"
machine a
echo "{\"sets_dir\": \"$PWD/a/sets\", \"state_dir\": \"$PWD/a/state\", \"keks\": {\"self\": \"set:images\"}}" >a/config.json
run set create images -q -k "$tmp/kek.pem" --recovery "$tmp/escrow.pub.pem"
expect_code 0
cp a/sets/images.json definition
for ref in set:images set:other key:self; do
    sed "s|\"keks\": \[.*\]|\"keks\": [\"$ref\"]|" definition >a/sets/images.json
    run seal -k set:images -o b.sealed "$tmp/in"
    expect_error 2 E-CONFIG 'cannot be a set'
    run set show images
    expect_error 2 E-CONFIG
done
cp definition a/sets/images.json
run set rotate images --to key:self
expect_error 2 E-CONFIG 'cannot be a set'
run seal -k key:self -o b.sealed "$tmp/in"
expect_ok
finish
