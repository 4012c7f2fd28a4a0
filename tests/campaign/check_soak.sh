#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Blobs of all shapes are rotated hundreds of times while other processes read them. Every reader must get the content,
# every rotation must be counted, and no file may be left over at the end.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
# shellcheck source=tests/cli/envelopes.sh
. "$root/tests/cli/envelopes.sh"

need python3
names=(a b c d)
for name in "${names[@]}" reader; do make_key "$name"; done
rounds=${ROUNDS:-400} # rotations per shape

# Read the blob repeatedly until the file `stop` exists. Failures are written to the file `wrong`.
read_on() {
    local n=0
    while [ ! -e stop ]; do
        n=$((n + 1))
        case $((n % 4)) in
        0) "$blobseal" verify -q -k "$keys/reader.pem" "${with[@]}" blob ;;
        1) "$blobseal" scrub -q blob ;;
        2) "$blobseal" open -q -k "$keys/reader.pem" "${with[@]}" --range 40000:5000 -o - blob | cmp -s - part ;;
        3) "$blobseal" open -q -k "$keys/reader.pem" "${with[@]}" -o - blob | cmp -s - f ;;
        esac 2>message || echo "read $n: $(head -n 1 message)" >>wrong
    done
    echo $n >>reads
}

for shape in ab compact detached; do
    fresh "a long life, $shape"
    make_blob $shape -q -k "$keys/a.pub.pem" -k "$keys/reader.pub.pem"
    tail -c +40001 f | head -c 5000 >part
    core_sum
    payload=$REPLY
    mark=$(stat -c '%a %u %g' "$file")
    read_on &
    reader=$!
    has=a
    for ((n = 1; n <= rounds; n++)); do
        next=${names[n % 4]}
        title="rotation $n, $shape"
        run rewrap -q -k "$keys/$has.pem" -k "$keys/reader.pub.pem" --to "$keys/$next.pub.pem" "$file"
        expect_code 0
        has=$next
    done
    : >stop
    wait $reader
    title="a long life, $shape"
    last=
    check "every read succeeds: $(tail -n 1 wrong 2>/dev/null)" test ! -e wrong
    check "there were reads beside it: $(cat reads)" test "$(cat reads)" -ge $((rounds / 8))
    same_core
    opens_with "$has"
    for name in "${names[@]}"; do
        [ "$name" = "$has" ] || refuses "$name"
    done
    check "mode and owner are as they were" test "$mark" = "$(stat -c '%a %u %g' "$file")"
    run inspect --json "${with[@]}" blob
    json_is "$out" "d['generation'] == $rounds + 1" "len(d['recipients']) == 2" "not d['slot_damaged']" "not d['change_unfinished']"
    rm -f stop reads message
    no_leftovers "${here[@]}" part back
done
finish
