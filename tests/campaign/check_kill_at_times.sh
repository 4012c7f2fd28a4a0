#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Kill the program thousands of times, at random moments between its start and its end, in every command that writes.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
# shellcheck source=tests/cli/envelopes.sh
. "$root/tests/cli/envelopes.sh"
# shellcheck source=tests/campaign/kills.sh
. "$root/tests/campaign/kills.sh"

need python3
for name in old new bob; do make_key $name; done
rounds=${ROUNDS:-250} # per command

# duration: set $REPLY to the time of the command in microseconds: the shortest of five runs, plus a quarter
duration() {
    local i start shortest=999999
    for i in 1 2 3 4 5; do
        restore
        start=${EPOCHREALTIME/./}
        run "${command[@]}"
        expect_code 0
        REPLY=$((${EPOCHREALTIME/./} - start))
        [ "$REPLY" -gt $shortest ] || shortest=$REPLY
    done
    REPLY=$((shortest * 5 / 4))
}

for each in $cases; do
    prepare "$each"
    duration
    most=$REPLY
    killed=0
    for ((n = 1; n <= rounds; n++)); do
        restore
        printf -v after '0.%06d' $(((RANDOM * 32768 + RANDOM) % most))
        title="$case, killed after $after s"
        printf -v last ' %q' "${command[@]}"
        # For timeout, zero means no limit.
        { timeout --foreground -s KILL "${after/#0.000000/0.000001}" "$blobseal" "${command[@]}" >"$out" 2>"$err"; } 2>/dev/null
        code=$?
        # 124: the program ended on its own just when the limit expired.
        check "it is killed, or ends well" test $code = 137 -o $code = 124 -o $code = 0
        [ $code != 137 ] || killed=$((killed + 1))
        whole
        ((n % 8)) || again
    done
    kills=$((kills + killed))
    title=$case
    check "it was killed often enough: $killed times of $rounds" test $killed -ge $((rounds / 8))
done
echo "$kills kills"
finish
