#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The official SDK for Python accepts the answers of the fake vault, and sends what blobseal sends. pip installs it, and
# what it needs, into a folder of the build, in the versions of requirements.txt.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
# shellcheck source=tests/keyvault/lib.sh
. "$root/tests/keyvault/lib.sh"
# shellcheck source=tests/keyvault/sdk_lib.sh
. "$root/tests/keyvault/sdk_lib.sh"
tier_has all || skip "runs in tier all"
need python3

# install_sdk: set $sdk to the folder of the SDK. Its name has the versions, so that other versions are installed anew.
install_sdk() {
    local wanted folder
    wanted=$({ cat "$keyvault/requirements.txt" && python3 --version; } | sha256sum)
    folder=${BLOBSEAL_BUILD:-$(dirname "$blobseal")}/python-sdk
    sdk=$folder/${wanted:0:16}
    [ ! -d "$sdk" ] || return 0
    mkdir -p "$folder"
    # It is complete when it has its name.
    python3 -m pip install -q --no-deps --only-binary :all: --disable-pip-version-check --root-user-action ignore \
        --target "$sdk.$$" -r "$keyvault/requirements.txt" >"$tmp/pip" 2>&1 && mv -T "$sdk.$$" "$sdk" && return 0
    rm -rf "$sdk.$$"
    tail -n 3 "$tmp/pip"
    [ -d "$sdk" ]
}
install_sdk || lacks "pip and a network, to install tests/keyvault/requirements.txt"
send_ours

title="the SDK"
mkfifo "$tmp/go"
vault set page=1 # several pages
trap '' PIPE # the client may end early, and is examined below
PYTHONPATH=$sdk python3 "$keyvault/sdk.py" "https://$vault" "$vault_ca" "$token" "$wrapped" \
    <"$tmp/go" >"$tmp/said" 2>"$tmp/complaints" &
client=$!
exec {go}>"$tmp/go"
# says LINE: wait until the client has printed this, or has ended
says() {
    until grep -qx "$1" "$tmp/said"; do
        kill -0 "$client" 2>/dev/null || break
        sleep 0.1
    done
}
says wait
vault deny 'permissions=["get"]'
{ echo >&"$go"; } 2>/dev/null
says end
vault deny 'permissions=[]'
vault fault op=unwrapkey kind=error status=429 code=Throttled times=2 'headers={"Retry-After": "0"}'
{ echo >&"$go"; } 2>/dev/null
exec {go}>&-
wait "$client"
code=$?
cp "$tmp/said" "$out"
cp "$tmp/complaints" "$err"
expect_code 0
[ "$code" = 0 ] || cat "$out" "$err"
expect_stdout '^token https://vault.azure.net/.default 11111111-2222-3333-4444-555555555555$'
expect_stdout "^key https://$vault/keys/kek/[0-9a-f]{32} RSA True Recoverable 90 .*unwrapKey,.*wrapKey"
expect_stdout "^unwrapped True https://$vault/keys/kek/[0-9a-f]{32}\$"
expect_stdout "^ours 32\$"
expect_stdout "^version https://$vault/keys/kek/[0-9a-f]{32} True\$"
expect_stdout '^keys gone kek'
expect_stdout '^deleted 404 KeyNotFound$'
expect_stdout "^deleted key gone https://$vault/deletedkeys/gone True\$"
expect_stdout '^recovered gone$'
expect_stdout '^disabled 403 Forbidden KeyDisabled$'
expect_stdout '^garbage 400 BadParameter -$'
expect_stdout '^no get 403 Forbidden ForbiddenByRbac$'
expect_stdout '^wrapped there True True$'
expect_stdout '^throttled True$'

title="the token is for what blobseal asks for"
check "resource" grep -q '"resource": "https://vault.azure.net"' ours.json
compare_requests
finish
