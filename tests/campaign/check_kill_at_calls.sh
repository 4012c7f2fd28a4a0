#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The program is killed at each of its system calls, of whatever kind, from the first to the last, in every command that writes.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
# shellcheck source=tests/cli/envelopes.sh
. "$root/tests/cli/envelopes.sh"
# shellcheck source=tests/campaign/kills.sh
. "$root/tests/campaign/kills.sh"

strace_works || lacks "a strace that may trace"
need python3
for name in old new bob; do make_key $name; done

for each in $cases; do
    prepare "$each"
    for ((n = 1; n < 2000; n++)); do
        restore
        title="$case, killed at call $n"
        {
            try strace -f -qq -o /dev/null -e inject=all:signal=KILL:when=$n "$blobseal" "${command[@]}"
        } 2>/dev/null # the shell would tell of every kill
        [ $code = 137 ] || break
        kills=$((kills + 1))
        whole
        ((n % 8)) || again
    done
    title=$case
    expect_code 0
    check "there were calls to be killed at" test "$n" -gt 50
done
echo "$kills kills"
finish
