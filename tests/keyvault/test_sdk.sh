#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The official SDK for JavaScript accepts the answers of the fake vault, and sends what blobseal sends. It is one of the
# libraries that `npm ci --prefix tests/interop` installs.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
# shellcheck source=tests/keyvault/lib.sh
. "$root/tests/keyvault/lib.sh"
tier_has all || skip "runs in tier all"
need node
export SDK_FOLDER=$root/tests/interop
[ -d "$SDK_FOLDER/node_modules/@azure/keyvault-keys" ] || lacks "npm ci --prefix tests/interop"
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
wrapped=$(python3 -c 'import json, sys; j = json.load(sys.stdin); print(j.get("encrypted_key") or j["recipients"][0]["encrypted_key"])' <envelope.jwe)
vault forget

title="the SDK"
export NODE_EXTRA_CA_CERTS=$vault_ca
try node "$keyvault/sdk.mjs" "https://$vault" "$token" "$wrapped"
expect_code 0
[ "$code" = 0 ] || cat "$out" "$err"
expect_stdout "^key https://$vault/keys/kek/[0-9a-f]{32} RSA true Recoverable\$"
expect_stdout "^unwrapped true https://$vault/keys/kek/"
expect_stdout "^ours 32\$"
expect_stdout '^deleted 404 KeyNotFound$'
expect_stdout '^deleted key gone$'
vault requests >theirs.json

title="what both send"
try python3 - ours.json theirs.json <<'PYTHON'
import json, re, sys

def facts(path):
    """Each request for an operation, without what differs from run to run."""
    found = {}
    for r in json.load(open(path))["requests"]:
        if r["op"] not in ("get", "wrapkey", "unwrapkey") or r["status"] != 200 or "gone" in r["path"]:
            continue
        body = json.loads(r["body"]) if r["body"] else None
        path = re.sub("[0-9a-f]{32}", "VERSION", r["path"]).rstrip("/")
        headers = {k.lower(): v for k, v in r["headers"].items()}
        found[r["op"], path] = (
            r["method"], sorted(r["query"]), sorted(body) if body else None, body and body["alg"],
            body and len(body["value"]), headers.get("content-type"), headers["authorization"].split()[0],
            bool(re.fullmatch("[0-9a-f-]{36}", headers["x-ms-client-request-id"])), headers["accept"])
    return found

ours, theirs = facts(sys.argv[1]), facts(sys.argv[2])
for key in (("get", "/keys/kek"), ("wrapkey", "/keys/kek/VERSION/wrapkey"), ("unwrapkey", "/keys/kek/VERSION/unwrapkey")):
    assert ours[key] == theirs[key], (key, ours[key], theirs[key])
PYTHON
expect_code 0
[ "$code" = 0 ] || cat "$err"
finish
