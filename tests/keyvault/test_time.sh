#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The hour, with clocks that faketime moves: a program looks a key without a version up again within the hour, a lease
# ends after its time, also while the machine sleeps, and a clock that is set or goes back makes no lease longer.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
# shellcheck source=tests/keyvault/lib.sh
. "$root/tests/keyvault/lib.sh"
need faketime
# shellcheck source=tests/keyvault/clients.sh
. "$root/tests/keyvault/clients.sh"
faketime_library=$(faketime -f +0 env | sed -n 's/^LD_PRELOAD=//p')
[ -n "$faketime_library" ] || lacks "faketime with LD_PRELOAD"
! grep -q __asan_init "$set_client" || skip "a sanitizer must be loaded first"

start_vault
vault create name=kek >/dev/null
configuration() { # configuration POLL-INTERVAL REVOKE-WITHIN
    cat >config.json <<JSON
{"identities": {"id": {"type": "managed", "endpoint": "http://localhost:$vault_http"}},
 "vaults": [{"host": "$vault", "ca_file": "$vault_ca", "resource": "https://vault.azure.net",
             "authority": "https://$vault", "identity": "id"}],
 "sets_dir": "$PWD/sets", "state_dir": "$PWD/state",
 "limits": {"deadline_s": 60, "poll_interval_s": $1, "revoke_within_s": $2}}
JSON
    chmod 600 config.json
}

# start_moved REFERENCE [VARIABLE=VALUE]...: start a client whose clocks move_clocks moves
start_moved() {
    move_clocks +0
    start_client c config.json "$1" LD_PRELOAD="$faketime_library" FAKETIME_TIMESTAMP_FILE="$PWD/time" FAKETIME_NO_CACHE=1 \
        "${@:2}"
}
move_clocks() { # move_clocks SECONDS: from now on the clocks of the client differ by this from those of the machine
    printf '%s\n' "$1" >time.new
    mv time.new time
}
wall_only=FAKETIME_DONT_FAKE_MONOTONIC=1 # the other clocks of the client stay as they are

# requests NUMBER OP WORDS...: this command of the client causes so many requests
requests() {
    local before
    before=$(vault_count op="$2")
    expect c "${@:3}" '^OK$'
    before=$(($(vault_count op="$2") - before))
    check "$before requests of the kind $2, not $1" test "$before" = "$1"
}
kid() { "$blobseal" recipients list "$1" --json | jq -r '.recipients[0].kid'; }
need jq

configuration 3000 3600
title="a key without a version is looked up again within the hour"
start_moved "https://$vault/keys/kek"
requests 1 get seal 1
requests 0 get seal 2
second=$(vault rotate name=kek | vault_version)
move_clocks +2600 # the interval is up to a tenth shorter, so that machines do not ask all at once
requests 0 get seal 3
check "the first version" test "$(kid 3)" = "$(kid 1)"
move_clocks +3010
requests 1 get seal 4
check "the second version" test "$(kid 4)" = "https://$vault/keys/kek/$second"
requests 0 get seal 5
move_clocks +5600
requests 0 get seal 6
move_clocks +6020
requests 1 get seal 7
stop_client c

title="a clock that is set does not make an old answer newer"
start_moved "https://$vault/keys/kek" $wall_only
requests 1 get seal 8
requests 0 get seal 9
move_clocks -50 # clocks are corrected by a little
requests 0 get seal 10
move_clocks -150
requests 1 get seal 11
stop_client c

title="a set takes a new version within the hour"
run set create s --config config.json -k "https://$vault/keys/kek"
expect_code 0
start_moved set:s
requests 1 unwrapkey seal s1
requests 0 get seal s2
vault rotate name=kek >/dev/null
move_clocks +2600
requests 0 get seal s3
move_clocks +3010
expect c seal s4 '^OK$'
run set show s --config config.json --json
check "generation 2" test "$(jq .generation "$out")" = 2

title="an outage when a check is due delays it by minutes"
vault rotate name=kek >/dev/null
vault fault op=get kind=not_json # a check that learns nothing of the newest version has failed
move_clocks +6200
expect c seal s5 '^OK$'
vault heal
move_clocks +6202 # it is tried again after 30 seconds, less up to a quarter
requests 0 get seal s6
move_clocks +6235
expect c seal s7 '^OK$'
run set show s --config config.json --json
check "generation 3" test "$(jq .generation "$out")" = 3
stop_client c

configuration 3000 600
title="the lease of a set ends"
start_moved set:s
requests 1 unwrapkey open s1
move_clocks +500
requests 0 unwrapkey open s2
move_clocks +605
requests 1 unwrapkey open s2
vault deny 'permissions=["unwrapKey"]'
move_clocks +1100
requests 0 unwrapkey open s3
move_clocks +1210
expect c open s3 '^E-DENIED '
expect c seal none '^E-DENIED '
vault deny 'permissions=[]'
move_clocks +1300 # it asks again after a while
requests 1 unwrapkey open s3
stop_client c

title="a wall clock that is set forward ends a lease"
start_moved set:s $wall_only
requests 1 unwrapkey open s1
move_clocks +605
requests 1 unwrapkey open s1
stop_client c

title="a wall clock that goes back ends a lease"
start_moved set:s $wall_only
requests 1 unwrapkey open s1
move_clocks -50
requests 0 unwrapkey open s1
move_clocks -150
requests 1 unwrapkey open s1
requests 0 unwrapkey open s1
vault deny 'permissions=["unwrapKey"]'
move_clocks -3000
expect c open s1 '^E-DENIED '
vault deny 'permissions=[]'
stop_client c

title="a machine whose clock is wrong by hours"
start_moved set:s
for seconds in +7200 -7200; do
    stop_client c
    start_moved set:s
    move_clocks $seconds
    requests 1 unwrapkey open s1
    requests 0 unwrapkey open s2
done
stop_client c
finish
