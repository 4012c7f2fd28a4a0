#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Listing, adding and removing recipients, and repairing envelopes, as a user does. test_rewrap.sh tests what all verbs
# that change a file have in common: links, modes, locks, slots.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/envelopes.sh
. "$root/tests/cli/envelopes.sh"

for name in ann bob cat dan; do make_key $name; done
make_key locked --passphrase-file <(echo secret)
(umask 077 && echo secret >"$keys/passphrase")

recipients() { # recipients COMMAND ARGUMENT...
    run recipients "$@"
}

listed() { # listed NAME...: the recipients of $file are exactly these
    local name
    recipients list "$file"
    expect_ok
    for name; do short "$name"; done | sort >"$tmp/want"
    check "the recipients should be: $*" test "$(sed 's/.* //' "$out" | sort)" = "$(cat "$tmp/want")"
}

# ---- Listing ----

for shape in ab compact detached; do
    fresh "list, $shape"
    make_blob $shape -k "$keys/ann.pub.pem" -k "$keys/bob.pub.pem"
    remember "$file"
    recipients list "$file"
    expect_ok
    check "one line for each" test "$(cat "$out")" = "RSA-OAEP-256  $(short ann)
RSA-OAEP-256  $(short bob)"
    recipients list --json "$file"
    expect_ok
    json_is "$out" 'list(d) == ["schema", "file", "verified", "generation", "recipients"]' 'd["schema"] == "blobseal.recipients/1"' \
        "d['file'] == '$file'" 'd["verified"] is False' 'd["generation"] == 1' \
        "d['recipients'] == [{'kid': '$(kid ann)', 'alg': 'RSA-OAEP-256'}, {'kid': '$(kid bob)', 'alg': 'RSA-OAEP-256'}]"
    recipients list "$file" "$file"
    expect_stdout "^$file: generation 1$"
    expect_stdout "^  RSA-OAEP-256  $(short bob)$"
    untouched "$file"
    "$blobseal" recipients list - <"$file" >"$tmp/by-stdin" 2>"$tmp/by-stdin.err"
    [ $shape = detached ] || expect_same "$tmp/by-stdin" <("$blobseal" recipients list "$file")
    recipients list -k "$keys/ann.pem" "$file"
    expect_error 2 E-USAGE "list takes no keys"
done
fresh "list, a recipient with an unknown algorithm"
make_blob detached -k "$keys/ann.pub.pem" -k "$keys/bob.pub.pem"
sed -i 's/"alg":"RSA-OAEP-256"/"alg":"X9-FUTURE+1"/2' e.jwe
both="[r.get('known') for r in d['recipients']] == [None, False]"
recipients list e.jwe
expect_ok
expect_stdout "^RSA-OAEP-256  $(short ann)$"
expect_stdout "^X9-FUTURE\+1   $(short bob)  \(unknown algorithm\)$"
recipients list --json e.jwe
json_is "$out" "$both" "d['recipients'][1] == {'kid': '$(kid bob)', 'alg': 'X9-FUTURE+1', 'known': False}"
run inspect --envelope e.jwe blob
expect_ok
expect_stdout "X9-FUTURE\+1  $(short bob)  \(unknown algorithm\)$"
run inspect --json --envelope e.jwe blob
json_is "$out" "$both"
run open -k "$keys/bob.pem" --envelope e.jwe -o back blob
expect_error 12 E-UNSUPPORTED "X9-FUTURE"

fresh "what has no recipients to show"
make_blob detached -k "$keys/bob.pub.pem"
title="what has no recipients to show"
recipients list blob
expect_error 2 E-CONFIG "^blobseal: error: blob .*sealed detached"
recipients list f missing e.jwe
expect_code 9
expect_stderr "error: .*f.*\(E-FORMAT\)"
expect_stderr "error: .*missing: No such file or directory \(E-INPUT\)"
expect_stdout "$(short bob)"
recipients list --json f e.jwe
expect_code 9
sed -n 1p "$out" >line
json_is line 'd["schema"] == "blobseal.error/1"' 'd["file"] == "f"' 'd["code"] == "E-FORMAT"'
sed -n 2p "$out" >line
json_is line 'd["schema"] == "blobseal.recipients/1"' 'd["file"] == "e.jwe"'

# ---- Adding and removing ----

for shape in ab compact detached; do
    fresh "add, $shape"
    make_blob $shape -k "$keys/ann.pub.pem"
    core_sum
    payload=$REPLY
    keys_of "$file" >ann-key
    recipients add -k "$keys/ann.pem" --to "$keys/bob.pub.pem" --to "$keys/cat.pem" "$file"
    expect_ok
    expect_stdout "^$file: changed, generation 2: 2 added, 0 removed, 1 kept$"
    listed ann bob cat
    for name in ann bob cat; do opens_with $name; done
    refuses dan
    check "who was there keeps the wrapped key" grep -qxF -e "$(cat ann-key)" <(keys_of "$file")
    same_core

    title="add again, $shape"
    remember "$file"
    recipients add --json -k "$keys/bob.pem" --to "$keys/bob.pub.pem" --to "$keys/ann.pub.pem" "$file"
    expect_ok
    json_is "$out" 'd["changed"] is False' 'd["generation"] == 2' 'd["verified"]' 'd["fresh_key"] is False' \
        '[r["action"] for r in d["recipients"]] == ["keep"] * 3'
    recipients add -n -k "$keys/bob.pem" --to "$keys/dan.pub.pem" "$file"
    expect_ok
    expect_stdout "^$file: would be changed, generation 3: 1 added, 0 removed, 3 kept$"
    expect_stdout "^  add     RSA-OAEP-256  $(short dan)$"
    recipients add -k "$keys/dan.pem" --to "$keys/dan.pub.pem" "$file"
    expect_error 4 E-NOKEY "$file: no key fits"
    recipients add -k "$keys/ann.pub.pem" -k "$keys/bob.pub.pem" --to "$keys/dan.pub.pem" "$file"
    expect_error 4 E-NOKEY "$file: no key fits"
    expect_stderr "hint: $keys/ann.pub.pem holds a public key"
    recipients add --min-generation 3 -k "$keys/ann.pem" --to "$keys/dan.pub.pem" "$file"
    expect_error 10 E-POLICY "$file.*too old: generation 2, but at least 3 is required"
    recipients add -k "$keys/ann.pem" --to "$keys/dan.pub.pem" --to "$keys/dan.pem" "$file"
    expect_code 2
    expect_stderr "$(kid dan) appears twice"
    untouched "$file"
    title="a new recipient whose private key was named opens it too, $shape"
    recipients add -k "$keys/ann.pub.pem" --to "$keys/bob.pem" --to "$keys/dan.pub.pem" "$file"
    expect_ok
    expect_stdout "generation 3: 1 added, 0 removed, 3 kept$"
    recipients add -k "$keys/dan.pem" --to "$keys/locked.pem" --passphrase-file "$keys/passphrase" "$file"
    expect_ok
    listed ann bob cat dan locked

    title="remove, $shape"
    keys_of "$file" >before
    remember "$file"
    recipients remove -k "$keys/ann.pem" --kid "$(kid bob)" "$file"
    expect_error 10 E-POLICY "stays and needs a new wrapped key"
    untouched "$file"
    recipients remove -k "$keys/ann.pem" -k "$keys/cat.pub.pem" -k "$keys/locked.pub.pem" --kid "$(kid bob)" --drop "$(kid dan)" "$file"
    expect_code 0
    expect_stdout "^$file: changed, generation 5: 0 added, 2 removed, 3 kept$"
    expect_stderr "^blobseal: warning: .*still has access"
    check "no other warning" test "$(wc -l <"$err")" = 1
    listed ann cat locked
    opens_with ann
    opens_with cat
    refuses bob
    refuses dan
    check "no old wrapped key is left" none_inside before "$file"
    same_core

    title="remove again, $shape"
    remember "$file"
    recipients remove -k "$keys/ann.pem" --kid "$(kid bob)" "$file"
    expect_code 0
    expect_stdout "^$file: nothing to change, generation 5$"
    expect_stderr "^blobseal: warning: $file: no recipient has the key id $(kid bob)$"
    recipients remove -q -k "$keys/ann.pem" --kid "$(kid bob)" "$file"
    expect_ok
    expect_stdout ""
    recipients remove -k "$keys/ann.pem" --kid "$(kid ann)" --kid "$(kid cat)" --kid "$(kid locked)" "$file"
    expect_error 10 E-POLICY "$file: nobody would be left"
    recipients remove -k "$keys/bob.pem" --kid "$(kid ann)" "$file"
    expect_error 4 E-NOKEY
    untouched "$file"
    title="somebody lets himself go, $shape"
    recipients remove --json -k "$keys/cat.pem" --kid "$(kid cat)" --kid "$(kid locked)" -k "$keys/ann.pub.pem" "$file"
    expect_code 0
    json_is "$out" 'd["changed"] and d["fresh_key"]' 'd["generation"] == 6' \
        '[r["action"] for r in d["recipients"]].count("remove") == 2' "d['file'] == '$file'"
    listed ann
    title="a key file, and a short key id, $shape"
    recipients add -q -k "$keys/ann.pem" --to "$keys/bob.pub.pem" --to "$keys/dan.pub.pem" "$file"
    recipients remove -q -k "$keys/ann.pem" --kid "$keys/bob.pub.pem" --kid "$(short dan)" "$file"
    expect_ok
    listed ann
    recipients remove -k "$keys/ann.pem" --kid "$(short bob | cut -c 1-7)" "$file" # too short to be an id
    expect_stderr "no recipient has the key id"
    recipients add -q -k "$keys/ann.pem" --to "$keys/bob.pub.pem" "$file"
    recipients remove -q -k "$keys/ann.pem" --drop "$(short bob)" --kid none "$file"
    listed ann
    title="somebody lets himself go again, $shape"
    remember "$file"
    recipients remove -k "$keys/cat.pem" --kid "$(kid cat)" -k "$keys/ann.pub.pem" "$file"
    expect_code 0
    expect_stdout "^$file: nothing to change, generation [0-9]+ \(not verified: none of the keys opens it\)$"
    untouched "$file"

    title="repair of what is sound, $shape"
    remember "$file"
    recipients repair -k "$keys/ann.pem" "$file"
    expect_ok
    expect_stdout "^$file: nothing to change, generation [0-9]+$"
    recipients repair -k "$keys/bob.pem" "$file"
    expect_error 4 E-NOKEY
    untouched "$file"
    no_leftovers "${here[@]}" back ann-key before

    has_python "not authentic, $shape" || continue
    title="not authentic, $shape"
    spoil "$file"
    remember "$file"
    for command in "add --to $keys/bob.pub.pem" "remove --kid $(kid bob)" repair; do
        # shellcheck disable=SC2086
        recipients $command -k "$keys/ann.pem" "$file"
        expect_error 3 E-AUTH "$file: .*not authentic"
    done
    untouched "$file"
done

# ---- Slots that differ ----

slot() { # slot N FILE: copy slot 0 or 1 of the blob to the file
    dd if=blob of="$2" bs=4096 skip=$((1 + $1)) count=1 2>/dev/null
}

put_slot() { # put_slot N FILE: overwrite slot 0 or 1 of the blob with the file
    dd if="$2" of=blob bs=4096 seek=$((1 + $1)) count=1 conv=notrunc 2>/dev/null
}

alike() { # alike: both slots are equal
    slot 0 a
    slot 1 b
    expect_same a b
    rm a b
}

fresh "changes that did not finish"
make_blob ab -k "$keys/ann.pub.pem" -k "$keys/bob.pub.pem"
slot 0 first
"$blobseal" recipients add -q -k "$keys/ann.pem" --to "$keys/cat.pub.pem" blob
cp blob finished
for n in 0 1; do
    for command in "add --to $keys/cat.pub.pem" "remove --kid nobody -q" "repair" "rewrap"; do
        title="an unfinished change, slot $n is old, $command"
        cp finished blob
        put_slot $n first
        run inspect blob
        expect_stderr "warning: blob: a change of the envelope did not finish"
        run recipients list blob
        expect_stderr "warning: blob: a change of the envelope did not finish"
        if [ "$command" = rewrap ]; then
            run rewrap -k "$keys/dan.pem" -k "$keys/ann.pem" --to "$keys/cat.pub.pem" blob
        else
            # shellcheck disable=SC2086
            recipients $command -k "$keys/ann.pem" blob
        fi
        expect_ok
        [[ $command == *-q ]] || expect_stdout "^blob: repaired, generation 2: 0 added, 0 removed, 3 kept$"
        expect_same blob finished
        alike
    done
    title="an unfinished change and another one, slot $n is old"
    cp finished blob
    put_slot $n first
    recipients add --json -k "$keys/ann.pem" --to "$keys/dan.pub.pem" blob
    expect_ok
    json_is "$out" 'd["changed"] and d["finished"]' 'd["generation"] == 3'
    opens_with dan
    alike
    title="a plan for an unfinished change, slot $n is old"
    cp finished blob
    put_slot $n first
    remember blob
    recipients repair -n -k "$keys/ann.pem" blob
    expect_ok
    expect_stdout "^blob: would be repaired, generation 2"
    untouched blob
    title="a new file for an unfinished change, slot $n is old"
    recipients add --rewrite -k "$keys/ann.pem" --to "$keys/cat.pub.pem" blob
    expect_ok
    expect_stdout "^blob: repaired, generation 2"
    alike
    opens_with cat
    title="a slot that has decayed, slot $n"
    cp finished blob
    flip blob $((4096 * (1 + n) + 100))
    opens_with ann
    recipients repair --json -k "$keys/cat.pem" blob
    expect_ok
    json_is "$out" 'not d["changed"]' 'd["finished"]' 'd["generation"] == 2'
    expect_same blob finished
done

title="two envelopes of one generation"
cp finished blob
put_slot 0 first
put_slot 1 first
"$blobseal" recipients add -q -k "$keys/ann.pem" --to "$keys/dan.pub.pem" blob
slot 1 other
cp finished blob
put_slot 1 other
run inspect blob
expect_stderr "two different envelopes have the same generation"
recipients repair -k "$keys/ann.pem" blob
expect_ok
expect_stdout "^blob: repaired, generation 3"
alike
opens_with ann
run inspect -k "$keys/ann.pem" --json blob
json_is "$out" 'd["generation"] == 3' 'd["verified"]' 'not d["change_unfinished"]'

title="both slots have decayed"
cp finished blob
for n in 0 1; do flip blob $((4096 * (1 + n) + 100)); done
remember blob
for command in repair "add --to $keys/dan.pub.pem"; do
    # shellcheck disable=SC2086
    recipients $command -k "$keys/ann.pem" blob
    expect_error 3 E-DAMAGED "blob: .*no valid slot"
done
untouched blob
title="the core header has decayed"
cp finished blob
flip blob $((4096 * 3 + 40))
recipients add -k "$keys/ann.pem" --to "$keys/dan.pub.pem" blob
expect_code 3
recipients repair -k "$keys/ann.pem" blob
expect_ok
expect_stdout "^blob: repaired, generation 2"
expect_same blob finished
title="the frame header has decayed"
flip blob 40
recipients repair -k "$keys/ann.pem" blob
expect_ok
expect_stdout "^blob: repaired, generation 2"
expect_same blob finished

# ---- Wrong usage ----

fresh "usage"
make_blob ab -k "$keys/ann.pub.pem"
remember blob
run recipients
expect_error 2 E-USAGE "followed by list, add, remove or repair"
recipients frobnicate blob
expect_error 2 E-USAGE "followed by list, add, remove or repair"
for words in "list:list needs files" "add -k x --to y:add needs files" "add --to y blob:-k KEY" "add -k x blob:--to NEW" \
    "remove -k x blob:--kid KID" "remove -k x --kid y --to z blob:no --to" "repair blob:-k KEY" \
    "repair -k x --kid y blob:repair changes no" "repair -k x --to y blob:repair changes no" \
    "repair -k x --rewrite blob:repair changes no" "repair -k x --slot-size 8192 blob:repair changes no" \
    "list --kid x blob:list takes no keys" "list -n blob:list takes no keys" \
    "list --min-generation 2 blob:list takes no keys" "add -k x --to y -:files, not streams"; do
    # shellcheck disable=SC2086
    recipients ${words%%:*}
    expect_error 2 E-USAGE "${words#*:}"
done
many=()
for ((i = 0; i < 65; i++)); do many+=(--kid "x$i"); done
recipients remove -k x "${many[@]}" blob
expect_error 2 E-USAGE "more than 64 key ids"
recipients add -k "$keys/ann.pem" --to missing.pem blob
expect_error 7 E-INPUT "missing.pem"
recipients add -k "$keys/ann.pem" --to blob blob
expect_code 2
untouched blob
"$blobseal" recipients add -k "$keys/ann.pem" --to "$keys/bob.pub.pem" blob >/dev/full 2>"$err"
code=$?
: >"$out"
expect_error 8 E-OUTPUT "write the report"
opens_with bob

finish
