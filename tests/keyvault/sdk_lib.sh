# shellcheck shell=bash disable=SC2034,SC2154 # variables of the script that sources this
# SPDX-License-Identifier: Apache-2.0
# What the tests of the official SDKs share: source this after tests/keyvault/lib.sh.
#
#   send_ours        start a vault with the keys `kek` and `gone`, and let blobseal wrap and unwrap there. Its requests
#                    are in ours.json, $token is a token for the vault, and $wrapped is what blobseal has wrapped.
#   compare_requests check that the requests since then agree with those of blobseal

send_ours() {
    start_vault
    vault create name=kek >/dev/null
    vault create name=gone >/dev/null
    cat >"$tmp/config.json" <<JSON
{"identities": {"id": {"type": "managed", "endpoint": "http://localhost:$vault_http"}},
 "vaults": [{"host": "$vault", "ca_file": "$vault_ca", "resource": "https://vault.azure.net", "identity": "id",
             "authority": "https://$vault", "wrap": "remote"}]}
JSON
    chmod 600 "$tmp/config.json"
    export BLOBSEAL_CONFIG=$tmp/config.json
    echo text >plain

    title="blobseal"
    run seal -k "https://$vault/keys/kek" --detached envelope.jwe -o core plain
    expect_code 0
    run open -k "https://$vault/keys/kek" --envelope envelope.jwe -o - core
    expect_code 0
    vault requests >ours.json
    token=$(vault secrets | grep -o '"eyJ[^"]*"' | tr -d '"' | tail -n 1)
    wrapped=$(python3 -c 'import json, sys
envelope = json.load(sys.stdin)
print(envelope.get("encrypted_key") or envelope["recipients"][0]["encrypted_key"])' <envelope.jwe)
    vault forget
}

compare_requests() {
    vault requests >theirs.json
    title="what both send"
    try python3 "$keyvault/sdk_compare.py" ours.json theirs.json
    expect_code 0
    [ "$code" = 0 ] || cat "$err"
}
