#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Reports about changes of recipients: the plan of --dry-run, which writes nothing, and key ids that nobody has.
# shellcheck source=tests/oci/lib.sh
. "$(dirname "$0")/lib.sh"

need jq
for name in one two three; do
    make_key $name
done
one=$("$blobseal" key show --json "$keys/one.pub.pem" | jq -r .kid)

# state: what is in this folder, with the content of all files
state() {
    find . -type f -exec sha256sum {} + -o -print | sort
}

# plan ARGUMENT...: a dry run writes nothing, and the change that follows says the same
plan() {
    local before
    before=$(state)
    run oci "$@" --dry-run --json
    expect_code 0
    cp "$out" "$tmp/plan"
    run oci "$@" -qn
    expect_code 0
    check "nothing was written" test "$(state)" = "$before"
    cp "$out" "$tmp/text"
    run oci "$@" --json
    expect_code 0
    check "the change does what the dry run said" diff <(jq -S 'del(.manifest, .dry_run)' "$tmp/plan") \
        <(jq -S 'del(.manifest, .dry_run)' "$out")
    json_is "$tmp/plan" 'd["dry_run"] and d["manifest"] is None'
    json_is "$out" 'not d["dry_run"]' 'd["manifest"].startswith("sha256:")'
}

has_text() { # has_text PATTERN: the last dry run said this
    check "the text has: $1" grep -qE -- "$1" "$tmp/text"
}

for where in layout:1 layout.tar; do
    for cipher in ocicrypt chunked; do
        fresh "a dry run on $where, $cipher"
        image plain:1 --layers gzip,gzip,empty
        run oci encrypt -q --cipher $cipher -k "$keys/one.pub.pem" -o $where plain:1
        expect_code 0

        plan recipients add -k "$keys/one.pem" --to "$keys/two.pub.pem" $where
        has_text "^$where: would be changed, 3 layers, recipients: 3 added, 0 removed, 3 kept$"
        has_text "^  keep    .*  ${one:(-43):12}$"
        has_text "^  add     .*  RSA-OAEP-256  "
        json_is "$tmp/plan" '[(r["action"], r["layers"]) for r in d["recipients"]] == [("keep", 3), ("add", 3)]'

        plan recipients add -k "$keys/one.pem" --to "$keys/two.pub.pem" $where
        has_text "^$where: nothing to change$"
        plan recipients remove -k "$keys/one.pem" -k "$keys/two.pub.pem" --kid "$keys/one.pub.pem" $where
        has_text "^  remove  .*  ${one:(-43):12}$"
        plan rewrap -k "$keys/two.pem" --to "$keys/three.pub.pem" $where
        has_text "recipients: 3 added, 3 removed, 0 kept$"

        before=$(state)
        run oci rewrap -n -k "$keys/one.pem" --to "$keys/two.pub.pem" $where
        expect_error 4 E-NOKEY
        run oci recipients remove -n -k "$keys/three.pem" --kid "$keys/three.pub.pem" $where
        expect_error 10 E-POLICY
        check "nothing was written" test "$(state)" = "$before"
    done
done

fresh "a dry run for another output"
image plain:1 --layers gzip
run oci encrypt -q -k "$keys/one.pub.pem" -o enc:1 plain:1
touch exists.tar
cp -r plain exists
before=$(state)
for output in new:1 new.tar exists:2; do
    run oci rewrap -n -k "$keys/one.pem" --to "$keys/two.pub.pem" -o $output enc:1
    expect_code 0
    expect_stdout "^$output: would be changed, 1 layer,"
done
for output in exists:1 exists.tar; do
    run oci rewrap -n -k "$keys/one.pem" --to "$keys/two.pub.pem" -o $output enc:1
    expect_error 6 E-EXISTS
done
exec 8<enc
flock 8
run oci rewrap -n -k "$keys/one.pem" --to "$keys/two.pub.pem" enc:1
expect_error 6 E-EXISTS "another process"
exec 8<&-
check "nothing was written" test "$(state)" = "$before"
for action in "encrypt -k $keys/one.pem" "inspect" "recipients list"; do
    # shellcheck disable=SC2086
    run oci $action -n enc:1
    expect_error 2 E-USAGE "dry-run"
done

title="an archive that would lose a file"
tar -C enc -cf more.tar . -C .. exists.tar
before=$(state)
run oci rewrap -n -k "$keys/one.pem" --to "$keys/two.pub.pem" more.tar
expect_error 12 E-UNSUPPORTED "would lose the file exists.tar"
check "nothing was written" test "$(state)" = "$before"

title="layers with different recipients"
image plain:2 --layers gzip,zstd
run oci encrypt -q --layers 0 -k "$keys/one.pub.pem" plain:2
run oci encrypt -q --layers 1 -k "$keys/one.pub.pem" -k "$keys/two.pub.pem" -o mixed:1 plain:2
run oci rewrap -n -k "$keys/one.pem" --to "$keys/one.pub.pem" mixed:1
expect_code 0
expect_stdout "^  keep .*$"
expect_stdout "^  remove .* \(1 of 2 layers\)$"

title="a key id that nobody has"
run oci recipients remove -k "$keys/one.pem" --kid mistyped0 mixed:1
expect_code 0
expect_stdout "nothing to change"
expect_stderr "warning: mixed:1: no recipient has the key id mistyped0"
run oci recipients remove -q -k "$keys/one.pem" --kid mistyped0 mixed:1
expect_ok

fresh "errors name the layer, and the next step"
image plain:1 --layers gzip,zstd
run oci recipients add -k "$keys/one.pem" --to "$keys/two.pub.pem" plain:1
expect_error 2 E-CONFIG "no layer of plain:1 is encrypted"
expect_stderr "hint: .*oci encrypt -k KEY plain:1"
run oci encrypt -q -k "$keys/one.pub.pem" -o enc:1 plain:1
for verb in "decrypt -o back:1" "recipients add --to $keys/two.pub.pem" "rewrap --to $keys/two.pub.pem"; do
    # shellcheck disable=SC2086
    run oci $verb -k "$keys/two.pem" enc:1
    expect_error 4 E-NOKEY "layer [01] \(sha256:[0-9a-f]{12}\): no key fits"
    expect_stderr "hint: .*oci recipients list enc:1"
    # shellcheck disable=SC2086
    run oci $verb -k "$keys/one.pub.pem" enc:1
    expect_error 4 E-NOKEY
    expect_stderr "hint: .*one.pub.pem holds a public key"
done
run oci recipients remove -k "$keys/one.pem" --kid "$keys/one.pub.pem" enc:1
expect_error 10 E-POLICY "layer 0 .*nobody would be left who can open it"
expect_stderr "hint: add another recipient first"
run oci encrypt -k "$keys/one.pub.pem" -o missing/enc:1 plain:1
expect_error 8 E-OUTPUT
expect_stderr "hint: .*folder .*must exist"
many=()
for ((i = 0; i < 65; i++)); do
    many+=(--kid "mistyped$i")
done
run oci recipients remove -k "$keys/one.pem" "${many[@]}" enc:1
expect_error 2 E-USAGE "remove recipients: more than 64 key ids"
rm "enc/blobs/sha256/$(digest_of enc:1 | cut -c 8-)"
run oci decrypt -k "$keys/one.pem" enc:1
expect_error 7 E-INPUT
expect_stderr "hint: the image is not complete"

finish
