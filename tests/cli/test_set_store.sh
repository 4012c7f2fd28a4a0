#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The stored object of a set: killed writers, two writers at the same time, and two machines with one object. What was
# acknowledged is never lost, and no blob is unreadable in between. BLOBSEAL_SET_KILLS and BLOBSEAL_SET_SECONDS say how
# much; tests/campaign/check_set_store.sh does more.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need jq

kills=${BLOBSEAL_SET_KILLS:-12} seconds=${BLOBSEAL_SET_SECONDS:-3}
tier_has all && [ -z "${BLOBSEAL_SET_KILLS:-}" ] && kills=40
make_key kek
make_key new
sample in 5000
cp "$keys"/* .
[ ! -e /etc/blobseal/config.json ] || skip "this machine has a configuration"

for machine in a b; do # each has its own definition and state; the object is shared
    mkdir -p $machine/sets
    echo "{\"sets_dir\": \"$PWD/$machine/sets\", \"state_dir\": \"$PWD/$machine/state\"}" >$machine/config.json
done
on() { # on MACHINE COMMAND...
    BLOBSEAL_CONFIG=$tmp/$1/config.json "$blobseal" "${@:2}"
}
check "a set is made" on a set create -q s -k "$PWD/kek.pem" --store "$PWD/s.jwe" >/dev/null
on a set rotate -q s --to "$PWD/new.pem"
cp a/sets/s.json b/sets/s.json
check "a blob is sealed" on a seal -q -k set:s -o a.sealed in
opens() { # opens MACHINE BLOB
    on "$1" open -q -k set:s -o - "$2" 2>"$1.err" | cmp -s - in
}
check "the other machine opens it" opens b a.sealed
generation() { on "$1" set show -q --json s | jq .generation; }

# ---- Killed writers ----

title="$kills killed writers"
acknowledged=2
for ((i = 0; i < kills; i++)); do
    to=$([ $((i % 2)) = 0 ] && echo kek || echo new)
    # without on(), so that this is the id of the program, and not of a shell that waits for it
    BLOBSEAL_CONFIG=$tmp/a/config.json "$blobseal" set rotate --json s --to "$PWD/$to.pem" >ack.json 2>/dev/null &
    pid=$!
    sleep "0.0$(printf %03d $((RANDOM % 600)))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    got=$(jq .generation ack.json 2>/dev/null)
    [ "${got:-0}" -le "$acknowledged" ] || acknowledged=$got
    now=$(generation a)
    check "kill $i: generation $now, acknowledged $acknowledged" test "${now:-0}" -ge "$acknowledged"
    check "kill $i: the blob opens" opens a a.sealed
    acknowledged=$now
done
check "nothing but the files of the set and of killed writers" test "$(find . -name 's.jwe*' | wc -l)" -ge 2

# ---- Two writers ----

title="two writers for $seconds seconds"
writer() { # writer MACHINE: exchange the KEK again and again, and print what was acknowledged
    local end=$((SECONDS + seconds)) to=kek i
    for ((i = 0; i < 4 || SECONDS < end; i++)); do # at least four times, however slow the machine is
        to=$([ "$to" = kek ] && echo new || echo kek)
        on "$1" set rotate --json s --to "$PWD/$to.pem" 2>>"$1.errors"
    done
}
writer a >a.acks &
first=$!
writer b >b.acks &
second=$!
unreadable=0
while kill -0 $first 2>/dev/null || kill -0 $second 2>/dev/null; do
    opens a a.sealed || { unreadable=$((unreadable + 1)) && cat a.err; }
    opens b a.sealed || { unreadable=$((unreadable + 1)) && cat b.err; }
done
wait $first $second
check "the blob was readable at all times" test $unreadable = 0
cat a.acks b.acks | jq -r 'select(.changed).generation' | sort -n >acks
check "there were changes" test -s acks
check "no two changes had one generation: nothing was lost" test -z "$(uniq -d acks)"
check "the last one is there" test "$(generation a)" -ge "$(tail -1 acks)"
check "both machines see the same" test "$(generation a)" = "$(generation b)"
check "no error but that others were faster" test -z "$(grep 'error:' a.errors b.errors | grep -v 'E-UNAVAILABLE')"

# ---- Two machines ----

title="new keys by two machines at once, and blobs of both"
on a set rekey -q s &
on b set rekey -q s
wait $!
check "machine a seals" on a seal -q -k set:s -o one.sealed in
check "machine b seals" on b seal -q -k set:s -o two.sealed in
for blob in a.sealed one.sealed two.sealed; do
    check "a opens $blob" opens a $blob
    check "b opens $blob" opens b $blob
done
finish
