#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The story of a customer-managed key, from the first key to a revocation and back. It is meant to be read: each step
# is what an owner or an operator does, and what they see. blobseal-set(7) tells the same story; its commands are
# compared with those that are run here.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
# shellcheck source=tests/keyvault/lib.sh
. "$root/tests/keyvault/lib.sh"
need jq

blobs=100
tier_has all || blobs=10

# ---- Setting the scene: a vault, two identities, one machine that seals and opens ----

start_vault
field() { jq -r ".$1" "$out"; }
sealed() { for ((i = $1; i < $1 + blobs; i++)); do echo "content of blob $i" >"blob$i"; done; seq -f 'blob%.0f' "$1" $(($1 + blobs - 1)); }
configuration() { # configuration LIMITS
    cat >config.json <<JSON
{"identities": {"ci":  {"type": "managed", "endpoint": "http://localhost:$vault_http"},
                "ops": {"type": "managed", "endpoint": "http://localhost:$vault_http", "client_id": "bbbbbbbb-0000-0000-0000-000000000002"},
                "stranger": {"type": "managed", "endpoint": "http://localhost:$vault_http", "client_id": "bbbbbbbb-0000-0000-0000-00000000dead"}},
 "vaults": [{"host": "$vault", "ca_file": "$vault_ca", "resource": "https://vault.azure.net",
             "authority": "https://$vault", "identity": "ci"}],
 "sets_dir": "$PWD/sets", "state_dir": "$PWD/state",
 "limits": {$1}}
JSON
    chmod 600 config.json
    export BLOBSEAL_CONFIG=$PWD/config.json
}
configuration '"deadline_s": 60'

title="the owner makes a key, the operator a set without a version"
first=$(vault create name=prod | vault_version)
"$blobseal" keygen -q -o escrow.pem --pub escrow.pub.pem
run set create images -k "https://$vault/keys/prod" --identity ci --recovery escrow.pub.pem
expect_code 0
run set show images --json
expect_ok
check "the version of the key" test "$(field keyVaultProperties.versionedKeyIdentifier)" = "https://$vault/keys/prod/$first"
check "it rotates automatically" test "$(field keyVaultProperties.keyRotationEnabled)" = true
check "status and state" test "$(field status) $(field state)" = "enabled ACTIVE"

title="blobs are sealed; the vault is asked a few times for all of them"
mapfile -t names < <(sealed 0)
before=$(vault_count op=unwrapkey)
run seal -q -k set:images "${names[@]}"
expect_ok
check "one unwrap for all of them" test $(($(vault_count op=unwrapkey) - before)) = 1

title="the owner rotates the key, and a timer runs set check"
second=$(vault rotate name=prod | vault_version)
run set check
expect_ok
expect_stdout '^images: rewrapped for the newest KEK, generation 2$'
run set show images --json
check "the new version" test "$(field keyVaultProperties.versionedKeyIdentifier)" = "https://$vault/keys/prod/$second"
check "when" test "$(field keyVaultProperties.lastKeyRotationTimestamp)" != null
gets=$(vault_count op=get) unwraps=$(vault_count op=unwrapkey)
run set check
expect_stdout '^images: nothing to do, generation 2$'
check "one look at the key and one unwrap" test "$(($(vault_count op=get) - gets)) $(($(vault_count op=unwrapkey) - unwraps))" = "1 1"

title="more blobs; all open, also without the old version"
mapfile -t more < <(sealed $blobs)
run seal -q -k set:images "${more[@]}"
expect_ok
vault change name=prod version="$first" enabled=false
mkdir -p opened
run open -q -k set:images -o opened/ ./*.sealed
expect_ok
for name in "${names[@]}" "${more[@]}"; do cmp -s "$name" "opened/$name" || fail "$name does not come back"; done
vault change name=prod version="$first" enabled=true

title="a version is pinned by hand"
run set rotate images --to "https://$vault/keys/prod/$second"
expect_code 0
third=$(vault rotate name=prod | vault_version)
run set check
expect_stdout '^images: nothing to do'
run set show images --json
check "no automatic rotation" test "$(field keyVaultProperties.keyRotationEnabled)" = false
run set rotate images --to "https://$vault/keys/prod"
expect_code 0
run set show images --json
check "back to the newest one" test "$(field keyVaultProperties.versionedKeyIdentifier)" = "https://$vault/keys/prod/$third"

title="an EC key is refused"
vault create name=curve kty=EC >/dev/null
run set create curves -k "https://$vault/keys/curve"
expect_error 2 E-CONFIG 'EC'
check "there is no such set" test ! -e sets/curves.json

# refused TITLE EXIT-CODE TEXT STATE: neither sealing nor opening works, and the reason is shown
refused() {
    title=$1
    run open -k set:images -o - blob0.sealed
    expect_error "$2" "$5" "$3"
    run seal -f -k set:images -o new.sealed blob0
    expect_error "$2" "$5" "$3"
    run set show images --json
    check "state" test "$(field state)" = "$4"
    check "the reason is shown" test "$(field lastError)" != null
}
works() {
    title=$1
    run open -k set:images -o - blob0.sealed
    expect_ok
    run seal -f -k set:images -o new.sealed blob0
    expect_ok
}
vault delete name=prod
refused "the key is deleted" 11 'deleted' REVOKED E-DENIED
vault recover name=prod
works "the key is recovered: everything opens"
vault change name=prod version="$third" enabled=false
refused "the key is disabled" 11 'disabled' REVOKED E-DENIED
vault change name=prod version="$third" enabled=true
works "the key is enabled again"
vault deny 'permissions=["get", "wrapKey", "unwrapKey"]'
refused "the permission is removed" 11 . REVOKED E-DENIED
vault deny 'permissions=[]'
works "the permission is given back"
vault set firewall=true
refused "a firewall in front of the vault" 11 'firewall' REVOKED E-DENIED
vault set firewall=false
works "the firewall lets this machine through"
vault down
refused "the vault cannot be reached" 5 . DEGRADED E-UNAVAILABLE
vault up
works "the vault can be reached again"

title="throttling is waited for"
vault fault op=unwrapkey kind=error status=429 code=Throttled times=2 'headers={"Retry-After": "0"}'
works "after two refusals for the load"
vault heal

title="an identity that this machine does not have changes nothing"
run set rotate images --identity stranger
expect_error 11 E-DENIED 'managed identity'
works "with the first identity, as before"

title="a second identity takes over"
run set rotate images --identity ops
expect_code 0
check "the definition names it" grep -q '"identity": "ops"' sets/images.json
works "with the second identity"

title="a new set key"
run set rekey images
expect_code 0
expect_stdout '^images: new key'
run seal -f -k set:images -o new.sealed blob0
expect_ok
run open -k set:images -o - new.sealed
expect_ok
works "old blobs open as before"

run set export images -o images.jwe
expect_code 0
vault delete name=prod
vault purge name=prod
refused "the key is purged" 11 'there is no such key' LOST E-DENIED

title="the vault is lost; an export and the recovery key restore the set on an empty machine"
run set show images --json
id=$(field id)
vault down
mv sets lost-sets
mv state lost-state
run set import images --id "$id" -k escrow.pem images.jwe
expect_code 0
run open -k set:images -o - blob0.sealed
expect_ok
run open -k set:images -o - new.sealed
expect_ok

title="the page has the same commands"
# The commands of the page and of this script, in one form.
sed -n "/^\.Sh A KEY'S LIFE/,/^\.Sh EXAMPLES/p" "$root/tools/man/blobseal-set.7" |
    sed -e ':a' -e '/\\e$/{N;s/ *\\e\n */ /;ba}' | grep '^blobseal ' >page
# shellcheck disable=SC2016 # the text of this script
sed -n 's/^ *\("$blobseal"\|run\) /blobseal /p' "$root/tests/keyvault/test_story.sh" |
    sed -e 's/ -[qf] / /' -e 's/"//g' -e 's|\$vault/|kv-eu.vault.azure.net/|' -e 's|/\$second$|/VERSION|' \
        -e 's/\${names\[@\]}/FILE.../' -e 's/\$id /ID /' >played
check "there are commands" test "$(wc -l <page)" -ge 15
grep -vxFf played page >strange
check "all are played: $(head -n 1 strange)" test ! -s strange
finish
