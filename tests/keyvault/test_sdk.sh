#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The official SDK for JavaScript accepts the answers of the fake vault, and sends what blobseal sends. It is one of the
# libraries that `npm ci --prefix tests/interop` installs.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
# shellcheck source=tests/keyvault/lib.sh
. "$root/tests/keyvault/lib.sh"
# shellcheck source=tests/keyvault/sdk_lib.sh
. "$root/tests/keyvault/sdk_lib.sh"
tier_has all || skip "runs in tier all"
need node
export SDK_FOLDER=$root/tests/interop
[ -d "$SDK_FOLDER/node_modules/@azure/keyvault-keys" ] || lacks "npm ci --prefix tests/interop"
send_ours

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
compare_requests
finish
