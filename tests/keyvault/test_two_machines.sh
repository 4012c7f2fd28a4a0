#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two programs with caches of their own, and one stored object of a set whose KEK is in a vault. What happens on one of
# them is seen by the other within its lease, and no blob is unreadable in between.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
# shellcheck source=tests/keyvault/lib.sh
. "$root/tests/keyvault/lib.sh"
tier_has all || skip "runs in tier all"
# shellcheck source=tests/keyvault/clients.sh
. "$root/tests/keyvault/clients.sh"
need jq

lease=2 # seconds
start_vault
first=$(vault create name=kek | vault_version)
mkdir a b shared blobs
for machine in a b; do
    cat >$machine/config.json <<JSON
{"identities": {"id": {"type": "managed", "endpoint": "http://localhost:$vault_http"}},
 "vaults": [{"host": "$vault", "ca_file": "$vault_ca", "resource": "https://vault.azure.net",
             "authority": "https://$vault", "identity": "id"}],
 "sets_dir": "$PWD/$machine/sets", "state_dir": "$PWD/$machine/state",
 "limits": {"deadline_s": 60, "revoke_within_s": $lease}}
JSON
    chmod 600 $machine/config.json
done
run set create s --config a/config.json -k "https://$vault/keys/kek" --store "$PWD/shared/s.jwe"
expect_code 0
cp -rp a/sets b/sets # the definition, which names the store
start_client a a/config.json set:s
start_client b b/config.json set:s

# all_open NAME: this machine opens all blobs
all_open() {
    local blob
    for blob in blobs/*; do expect "$1" open "$blob" '^OK$'; done
}
generation() { run set show s --config a/config.json --json && jq -r .generation "$out"; }

title="each opens what the other seals"
expect a seal blobs/a1 '^OK$'
expect b seal blobs/b1 '^OK$'
all_open a
all_open b

title="a rotation on one is seen by the other"
vault rotate name=kek >/dev/null
expect a check '^OK$'
check "generation" test "$(generation)" = 2
expect b seal blobs/b2 '^OK$'
all_open a
all_open b # within its lease with the keys that it has
sleep $lease
vault change name=kek version="$first" enabled=false # the object that b has read is for this version
all_open b
expect b seal blobs/b3 '^OK$'
all_open a

title="a new set key on one is seen by the other"
expect a rekey '^OK$'
expect a seal blobs/a2 '^OK$'
all_open b
sleep $lease
expect b seal blobs/b4 '^OK$'
check "b seals with the key that a has made" test \
    "$("$blobseal" recipients list blobs/a2 --json | jq -r '.recipients[0].kid')" = \
    "$("$blobseal" recipients list blobs/b4 --json | jq -r '.recipients[0].kid')"
all_open a

title="new set keys by both at once"
for i in 1 2 3 4; do
    before=$(generation)
    tell a rekey
    tell b rekey
    for machine in a b; do
        hear $machine
        check "$machine: $reply" test "$reply" = OK
    done
    check "both keys are kept" test $(($(generation) - before)) = 2
    expect a seal blobs/both-a$i '^OK$'
    expect b seal blobs/both-b$i '^OK$'
    sleep $lease # after it both have read the object
    all_open a
    all_open b
done

title="a rotation by one and a new set key by the other at once"
vault rotate name=kek >/dev/null
tell a check
tell b rekey
for machine in a b; do
    hear $machine
    check "$machine: $reply" test "$reply" = OK
done
expect a seal blobs/mixed-a '^OK$'
expect b seal blobs/mixed-b '^OK$'
sleep $lease
all_open a
all_open b

title="a revocation is seen by both within the lease"
expect a open blobs/a1 '^OK$'
expect b open blobs/a1 '^OK$'
vault deny 'permissions=["unwrapKey"]'
sleep $lease
for machine in a b; do
    expect $machine open blobs/a1 '^E-DENIED '
    expect $machine seal blobs/none '^E-DENIED '
done

title="and so is the end of it, without a restart"
vault deny 'permissions=[]'
for machine in a b; do
    for ((i = 0; i < hang_limit; i++)); do # the time until the next request doubles with each refusal
        tell $machine open blobs/a1
        hear $machine
        [ "$reply" != OK ] || break
        sleep 0.5
    done
    all_open $machine
    expect $machine seal blobs/after-$machine '^OK$'
done
all_open a
all_open b
stop_client a
stop_client b
finish
