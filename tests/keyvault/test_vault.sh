#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Keys in a vault, with the program: sealing and opening, what the owner of a key decides, exit statuses, and time.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
# shellcheck source=tests/keyvault/lib.sh
. "$root/tests/keyvault/lib.sh"

start_vault
vault create name=kek >/dev/null
kek=https://$vault/keys/kek
settings() { # settings LIMITS [IDENTITY]: write a configuration for the vault
    cat >"$tmp/config.json" <<JSON
{"identities": {"id": ${2:-{\"type\": \"managed\", \"endpoint\": \"http://localhost:$vault_http\"\}}},
 "vaults": [{"host": "$vault", "ca_file": "$vault_ca", "resource": "https://vault.azure.net",
             "authority": "https://$vault", "identity": "id"}],
 "keks": {"prod": "$kek", "pinned": "$kek/00000000000000000000000000000000"},
 "limits": {$1}}
JSON
    chmod 600 "$tmp/config.json"
    export BLOBSEAL_CONFIG=$tmp/config.json
}
settings '"deadline_s": 60'
printf 'some text' >plain

title="sealing and opening"
run seal -k "$kek" -o one.sealed plain
expect_code 0
run open -k "$kek" -o - one.sealed
expect_code 0
check "the text comes back" cmp -s plain "$out"
run recipients list one.sealed
expect_code 0
check "the recipient has a version" grep -Eq "https://$vault/keys/kek/[0-9a-f]{32}" "$out"
run verify -k "$kek" one.sealed
expect_code 0

title="a rotated key"
vault rotate name=kek >/dev/null
run seal -k "$kek" -o two.sealed plain
expect_code 0
run open -k "$kek" -o - one.sealed
expect_code 0
run open -k "$kek" -o - two.sealed
expect_code 0
run rewrap -k "$kek" --to "$kek" one.sealed
expect_code 0
run key show "$kek"
expect_code 0
check "its id has a version" grep -Eq "https://$vault/keys/kek/[0-9a-f]{32}" "$out"
check "its public half is shown" grep -q 'BEGIN PUBLIC KEY' "$out"

title="recipients that are versions of one key"
"$blobseal" keygen -q -o file.pem --pub file.pub.pem
versions() { "$blobseal" recipients list --json "$1" | grep -Eo "$kek/[0-9a-f]{32}" | sort -u | sed "s|.*/||" | paste -sd ' '; }
both() { # both NAME: seal NAME for file.pem and for the two newest versions, $v1 and $v2
    v1=$(vault rotate name=kek | vault_version)
    "$blobseal" seal -q -f -k "$kek" -k file.pub.pem -o "$1" plain
    v2=$(vault rotate name=kek | vault_version)
    "$blobseal" recipients add -q -k "$kek" --to "$kek" "$1"
    check "two versions" test "$(versions "$1" | wc -w)" = 2
}
for all in "$kek" "$kek/" "https://LOCALHOST:$vault_port/keys/KEK" key:prod; do
    both versions.sealed
    before=$(vault_count)
    run recipients remove -k file.pem --kid "$all" versions.sealed
    expect_code 0
    check "$all: all versions are removed" test -z "$(versions versions.sealed)"
    check "$all: no request" test "$(vault_count)" = "$before"
    run recipients remove -k file.pem --kid "$all" versions.sealed
    expect_code 0
    expect_stderr "no recipient has the key id https://"
done
both versions.sealed
vault rotate name=kek >/dev/null
"$blobseal" keygen -q -o more.pem --pub more.pub.pem
"$blobseal" recipients add -q -k "$kek" --to "$kek" --to more.pub.pem versions.sealed
mapfile -t often < <(yes -- --kid="$kek" | head -60)
run recipients remove -k more.pem "${often[@]}" --kid file.pub.pem versions.sealed
expect_code 0
check "keys that are named often leave room for another one" test "$("$blobseal" recipients list --json versions.sealed |
    grep -o '"kid"' | wc -l)" = 1
both versions.sealed
run recipients remove -k file.pem -k "$kek/$v2" --kid "$kek/$v1" versions.sealed
expect_code 0
check "a version removes itself only" test "$(versions versions.sealed)" = "$v2"
run recipients remove -k file.pem -k "$kek" --kid key:pinned versions.sealed
expect_code 0
expect_stderr "no recipient has the key id $kek/0000"
both versions.sealed
run recipients remove -k file.pem -k "$kek" --kid "$kek/$v2" versions.sealed
expect_error 10 E-POLICY
check "a removed version does not come back as the newest one" test "$(versions versions.sealed | wc -w)" = 2
run rewrap -k "$kek" -k file.pub.pem --to "$kek" versions.sealed
expect_code 0
check "the key is replaced by its newest version" test "$(versions versions.sealed)" = "$v2"
both versions.sealed
run rewrap -k "$kek/$v1" -k "$kek/$v2" -k file.pub.pem --to file.pem versions.sealed
expect_code 0
check "a version is replaced alone" test "$(versions versions.sealed)" = "$v2"
both versions.sealed
run recipients remove -k "$kek" --kid "$("$blobseal" key show -q file.pem)" versions.sealed
expect_code 0
check "of the versions that stay, the newest is left" test "$(versions versions.sealed)" = "$v2"
run open -k "$kek" -o - versions.sealed
expect_code 0

title="what doctor reports"
run doctor -k "$kek"
expect_code 0
check "the identity" grep -q 'tenant 11111111-2222-3333-4444-555555555555, object id aaaaaaaa-0000-0000-0000-000000000001' "$out"
check "the permission" grep -Eq 'unwrap +permitted, [0-9]+ ms' "$out"
check "purge protection" grep -q 'purge protection on' "$out"
vault deny 'permissions=["unwrapKey"]'
run doctor -k "$kek"
expect_code 11
check "the refusal" grep -q 'fail  unwrap' "$out"
vault deny 'permissions=["get", "unwrapKey"]'
run doctor -k "$kek"
expect_code 11
check "the identity, also without any permission" grep -q 'object id aaaaaaaa' "$out"
check "the reason" grep -q 'look up .*no role of the identity permits it' "$out"
vault deny 'permissions=[]'

title="a set does not move to a key that may not unwrap"
make_key file
sed "1s|{|{\"sets_dir\": \"$tmp/sets\", \"state_dir\": \"$tmp/state\",|" "$tmp/config.json" >sets.json
chmod 600 sets.json
run set create local --config sets.json -q -k "$keys/file.pem"
expect_code 0
vault deny 'permissions=["unwrapKey"]'
run set rotate local --config sets.json --to "$kek"
expect_code 11
run set create remote --config sets.json -k "$kek"
expect_code 11
vault deny 'permissions=[]'
run set show local --config sets.json --json
check "it is as before" grep -q '"keyIdentifier":"'"$keys/file.pem"'".*"state":"ACTIVE"' "$out"
check "no set is made" test ! -e "$tmp/sets/remote.json"
run set rotate local --config sets.json --to "$kek"
expect_code 0

title="purge protection"
vault change name=kek recoveryLevel=Recoverable+Purgeable
run seal -k "$kek" -f -o two.sealed plain
expect_code 0
check "a warning" grep -q 'has no purge protection' "$err"
run seal -k "$kek" --require-purge-protection -o three.sealed plain
expect_code 10
check "no output" test ! -e three.sealed
run seal -k set:local --config sets.json --require-purge-protection -o three.sealed plain
expect_error 10 E-POLICY 'the vault of its KEK has no purge protection'
check "no output" test ! -e three.sealed
run seal -k set:local --config sets.json -o three.sealed plain
expect_code 0
rm three.sealed
run doctor -q -k set:local --config sets.json
expect_stdout 'purge protection off'
run set create purgeable -k "$kek" --config sets.json
expect_code 0
expect_stderr 'the set purgeable has no purge protection'
run open -k "$kek" -o - two.sealed
expect_code 0
vault change name=kek recoveryLevel=Recoverable

# Each row: what to do, the exit status of sealing and of opening, a part of the message, and how to undo it.
title="what the owner decides"
while IFS='|' read -r change seals opens text undo; do
    eval "vault $change" >/dev/null
    run seal -k "$kek" -f -o new.sealed plain
    expect_code "$seals"
    run open -k "$kek" -o - two.sealed
    expect_code "$opens"
    if [ "$opens" != 0 ]; then
        check "$change: the message" grep -q "$text" "$err"
        check "$change: a hint" grep -q 'hint: ' "$err"
    fi
    eval "vault $undo" >/dev/null
    run open -k "$kek" -o - two.sealed
    expect_code 0
done <<'ROWS'
delete name=kek|11|11|was deleted, and can be recovered|recover name=kek
set firewall=true|11|11|firewall|set firewall=false
deny 'permissions=["unwrapKey"]'|0|11|no role|deny 'permissions=[]'
deny 'permissions=["get"]'|11|0||deny 'permissions=[]'
set tenant=99999999-0000-0000-0000-000000000000|11|11|another tenant|set tenant=11111111-2222-3333-4444-555555555555
set resource=https://managedhsm.azure.net|5|5|not its own|set resource=https://vault.azure.net
ROWS
version=$(grep -Eo '/[0-9a-f]{32}' <("$blobseal" recipients list two.sealed))
vault change name=kek version="${version#/}" enabled=false
run open -k "$kek" -o - two.sealed
expect_code 11
check "the message" grep -q 'the key is disabled' "$err"
run seal -k "$kek" -f -o new.sealed plain
expect_code 11
vault change name=kek version="${version#/}" enabled=true

title="keys that cannot be used"
vault create name=ec kty=EC >/dev/null
run seal -k "https://$vault/keys/ec" -o ec.sealed plain
expect_code 2
check "the reason" grep -q 'of the type EC' "$err"
run seal -k "https://$vault/keys/nothing" -o ec.sealed plain
expect_code 11
run seal -k "https://unknown.example/keys/k" -o ec.sealed plain
expect_code 2
run seal -k "https://$vault/secrets/k" -o ec.sealed plain
expect_code 2
run seal -k "http://$vault/keys/kek" -o ec.sealed plain
expect_code 2

title="a blob that names another vault causes no request"
start=$(vault_count)
"$blobseal" keygen -o "$tmp/other.pem" --pub "$tmp/other.pub" >/dev/null 2>&1
run seal -k "$tmp/other.pub" -o other.sealed plain
run open -k "$kek" -o - other.sealed
expect_code 4
check "no request" test "$(vault_count)" = "$start"

# Each fault ends with the deadline, which is one second, and the next command works. A busy machine takes longer.
title="faults"
settings '"deadline_s": 1, "request_timeout_s": 1'
faults='blackhole slow half reset garbage huge huge_headers redirect not_json'
tier_has all || faults='blackhole garbage redirect'
for kind in $faults; do
    vault fault op=unwrapkey kind="$kind" location="https://$vault/keys/other"
    before=$(date +%s%N)
    run open -k "$kek" -o - two.sealed
    took=$((($(date +%s%N) - before) / 1000000))
    expect_code 5
    check "$kind: it took $took ms" test "$took" -lt 20000
    vault heal
done
vault fault op=get kind=blackhole
before=$(date +%s%N)
run seal -k "$kek" -f -o new.sealed plain
took=$((($(date +%s%N) - before) / 1000000))
expect_code 5
check "looking up took $took ms" test "$took" -lt 20000
vault heal
settings '"deadline_s": 60' # enough for an answer, also on a busy machine
for op in get unwrapkey deletedkeys; do # a page of something between, or what has the name of a vault that is gone
    vault fault op=$op kind=raw status=404 body='"not found"' headers='{"Content-Type": "text/html"}'
done
run open -k "$kek" -o - two.sealed
expect_error 5 E-UNAVAILABLE "something else than a vault answers .404 no code"
run seal -k "$kek" -f -o new.sealed plain
expect_error 5 E-UNAVAILABLE "something else than a vault answers .404 no code"
vault heal
check "no redirect was followed" test "$(vault_count path=/keys/other)" = 0
for form in '"Retry-After": "0"' '"retry-after-ms": "60"' '"x-ms-retry-after-ms": "60"' \
    '"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"'; do
    vault fault op=unwrapkey kind=error status=429 code=Throttled times=2 headers="{$form}"
    run open -k "$kek" -o - two.sealed
    expect_code 0
done
vault fault op=unwrapkey kind=error status=429 code=Throttled headers='{"Retry-After": "90"}'
run open -k "$kek" -o - two.sealed
expect_code 5
check "how long to wait" grep -q 'try again in 90 s' "$err"
vault heal
for certificate in expired wrong_host self_signed; do
    vault set certificate=$certificate
    run open -k "$kek" -o - two.sealed
    expect_code 5
    check "$certificate: the reason" grep -q 'its certificate is not trusted' "$err"
done
vault set certificate=good
vault down
run open -k "$kek" -o - two.sealed
expect_code 5
vault up
run open -k "$kek" -o - two.sealed
expect_code 0
vault fault op=unwrapkey kind=challenge times=1 \
    value='Bearer authorization=\"https://login.windows.net/t\", resource=\"https://management.azure.com\"'
run open -k "$kek" -o - two.sealed
expect_code 5
check "a token for another service" grep -q "asks for a token for 'https://management.azure.com'" "$err"

title="clocks that differ"
vault set skew=7200
run seal -k "$kek" -f -o new.sealed plain
expect_code 0
run open -k "$kek" -o - new.sealed
expect_code 0
run doctor -k "$kek"
expect_code 0
check "a warning" grep -q 'that of the vault differs by' "$out"
vault set skew=0

title="nothing secret is printed"
vault secrets | tr ',' '\n' | grep -o '"[^"]\{9,\}"' | tr -d '"' | grep -v '^secrets$' >"$tmp/secrets"
check "there were tokens" test -s "$tmp/secrets"
run doctor -k "$kek" --json
run open -k "https://$vault/keys/kek" -o - one.sealed
vault fault op=unwrapkey kind=error status=500 times=1
run open -k "$kek" -o - two.sealed --json
check "none in what was printed" test -z "$(cat "$out" "$err" "$vault_dir/log" | grep -Ff "$tmp/secrets")"
finish
