#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Kill the program at each of its system calls of every kind, from the first to the last, in every command that writes.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
# shellcheck source=tests/cli/envelopes.sh
. "$root/tests/cli/envelopes.sh"
# shellcheck source=tests/campaign/kills.sh
. "$root/tests/campaign/kills.sh"

strace_works || lacks "a strace that may trace"
need python3
for name in old new bob; do make_key $name; done

# killed_at KIND N: kill the command at its N-th system call of this kind; false if it ended before that call
killed_at() {
    restore
    title="$case, killed at $1 $2"
    {
        try strace -f -qq -o /dev/null -e trace="$1" -e inject="$1:signal=KILL:when=$2" "$blobseal" "${command[@]}"
    } 2>/dev/null # suppress the shell's message about each kill
    [ $code = 137 ]
}

for each in $cases; do
    prepare "$each"
    restore
    try strace -f -qq -o "$tmp/calls" "$blobseal" "${command[@]}"
    expect_code 0
    before=$kills
    # shellcheck disable=SC2013 # names without spaces
    for kind in $(sed -nE 's/^[0-9]+ +([a-z0-9_]+)\(.*/\1/p' "$tmp/calls" | sort -u); do
        for ((n = 1; n < 2000; n++)); do
            killed_at "$kind" $n || break
            kills=$((kills + 1))
            whole
            ((kills % 8)) || again
        done
        expect_code 0
    done
    title=$case
    check "there were calls to be killed at: $((kills - before))" test $((kills - before)) -gt 80
done
echo "$kills kills"
finish
