#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# key list with a vault: its keys, the versions of a key, pages, permissions, and answers that are not a list.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
# shellcheck source=tests/keyvault/lib.sh
. "$root/tests/keyvault/lib.sh"
need jq

start_vault
cat >config.json <<JSON
{"identities": {"id": {"type": "managed", "endpoint": "http://localhost:$vault_http"}},
 "vaults": [{"host": "$vault", "ca_file": "$vault_ca", "resource": "https://vault.azure.net",
             "authority": "https://$vault", "identity": "id"}],
 "limits": {"deadline_s": 60}}
JSON
chmod 600 config.json
export BLOBSEAL_CONFIG=$PWD/config.json
keys=https://$vault/keys

title="a vault without keys"
run key list "https://$vault"
expect_ok
check "nothing" test ! -s "$out"

vault create name=one >/dev/null
vault create name=curve kty=EC >/dev/null
vault create name=hard kty=RSA-HSM size=3072 nbf=1767225600 exp=1798761600 >/dev/null
vault create name=off enabled=false >/dev/null
newest=$(vault rotate name=one | vault_version)

title="the keys of a vault"
for place in "https://$vault" "https://$vault/" "$keys" "$keys/"; do
    run key list "$place"
    expect_ok
    check "$place: what it says" test "$(cat "$out")" = "EC            enabled   $keys/curve
RSA-HSM 3072  enabled   $keys/hard  from 2026-01-01T00:00:00Z  until 2027-01-01T00:00:00Z
RSA 2048      disabled  $keys/off
RSA 2048      enabled   $keys/one"
done
run key list -q "https://$vault"
check "references only" test "$(paste -sd ' ' "$out")" = "$keys/curve $keys/hard $keys/off $keys/one"
run key list --json "https://$vault"
expect_ok
check "JSON" test "$(jq -r '[.key, .kid, .kind, .bits, .private, .enabled, .valid_from, .valid_until] | @tsv' "$out" |
    sed -n '2p;4p' | sed 's|[0-9a-f]\{32\}|VERSION|')" = "$keys/hard	$keys/hard/VERSION	RSA-HSM	3072	true	true	2026-01-01T00:00:00Z	2027-01-01T00:00:00Z
$keys/one	$keys/one/VERSION	RSA	2048	true	true		"
check "the newest version" grep -q "$keys/one/$newest" "$out"
check "an EC key" test "$(jq -r 'select(.kind == "EC") | [.bits, .private] | @text' "$out")" = '[null,false]'

title="the versions of a key"
run key list "$keys/one"
expect_ok
check "two of them, the newest first" test "$(grep -c "RSA 2048  *enabled  *$keys/one/" "$out")" = 2
run key list --json "$keys/ONE/"
expect_ok
check "the id has the version" test "$(jq -r '.kid == .key' "$out" | sort -u)" = true
run key list "$keys/one/$newest"
expect_error 2 E-CONFIG
run key list "https://$vault/secrets"
expect_error 2 E-CONFIG
run key list https://elsewhere.example
expect_error 2 E-CONFIG
run key list "$keys/nothing"
expect_error 11 E-DENIED 'there is no such key'

title="pages"
vault set page=1
vault forget
run key list -q "https://$vault"
check "all keys" test "$(wc -l <"$out")" = 4
check "four pages" test "$(vault_count op=keys)" = 4
run key list -q "$keys/one"
check "all versions" test "$(wc -l <"$out")" = 2
vault set page=25

title="a list that takes longer than an operation may"
sed 's/"deadline_s": 60/"deadline_s": 1/' config.json >short.json
chmod 600 short.json
vault fault op=get kind=delay seconds=0.4
for ((i = 0; i < 20; i++)); do # on a busy machine a single key may take too long
    BLOBSEAL_CONFIG=$PWD/short.json run key list "https://$vault"
    [ "$code" != 0 ] || break
done
expect_ok
check "all keys" test "$(wc -l <"$out")" = 4
vault heal

title="permissions"
vault deny 'permissions=["get"]'
run key list "https://$vault"
expect_ok
check "the kind is not known" grep -q "^-  *enabled  *$keys/one\$" "$out"
run key list --json "https://$vault"
check "in JSON" test "$(jq -r 'select(.key | endswith("one")) | [.kid, .kind, .bits] | @text' "$out")" = '[null,null,null]'
for rbac in true false; do
    vault set rbac=$rbac
    vault deny 'permissions=["list"]'
    run key list "https://$vault"
    expect_error 11 E-DENIED
    expect_stderr 'needs the key permission list'
    check "nothing is printed" test ! -s "$out"
done
vault deny 'permissions=[]'

title="answers that are not a page of the list"
while read -r what body; do
    vault fault op=keys kind=raw body="$body"
    run key list "https://$vault"
    expect_error 5 E-UNAVAILABLE
    check "$what: nothing is printed" test ! -s "$out"
    vault heal
done <<ROWS
another-host {"value": [], "nextLink": "https://evil.example/keys?a=b"}
another-port {"value": [], "nextLink": "https://localhost:1/keys?a=b"}
a-name-before {"value": [], "nextLink": "https://user@$vault/keys?a=b"}
another-path {"value": [], "nextLink": "https://$vault/secrets?a=b"}
plain-http {"value": [], "nextLink": "http://$vault/keys?a=b"}
no-query {"value": [], "nextLink": "https://$vault/keys"}
a-space {"value": [], "nextLink": "https://$vault/keys?a=b c"}
a-key-elsewhere {"value": [{"kid": "https://evil.example/keys/k"}], "nextLink": null}
a-version {"value": [{"kid": "$keys/one/$newest"}], "nextLink": null}
no-id {"value": [{"attributes": {}}], "nextLink": null}
no-list {"value": 1}
text "text"
ROWS
check "nobody else was asked" test "$(vault_count path=/secrets)" = 0

title="a list without an end"
vault fault op=keys kind=raw body='{"value": [], "nextLink": "https://'"$vault"'/keys?a=b"}'
vault forget
run key list "https://$vault"
check "it ends" test "$code" = 12 -o "$code" = 5
check "after some pages" test "$(vault_count op=keys)" -le 400
vault heal
finish
