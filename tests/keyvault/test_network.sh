#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What lies between a program and a vault: proxies in the environment, name servers and servers that never answer,
# certificates, tokens that end early, and the identity of Azure Arc, whose secret is in a folder of the system.
# Commands that must not wait take less than 30 s, also on a busy machine. Only where the reason does not matter, their
# deadline is short.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
# shellcheck source=tests/keyvault/lib.sh
. "$root/tests/keyvault/lib.sh"

start_vault
vault create name=kek >/dev/null
kek=https://$vault/keys/kek
settings() { # settings LIMITS [HOST]
    cat >"$tmp/config.json" <<JSON
{"identities": {"id": {"type": "managed", "endpoint": "http://localhost:$vault_http"},
                "printed": {"type": "command", "command": ["/bin/echo", "some.token"]},
                "arc": {"type": "managed"}},
 "vaults": [{"host": "${2:-$vault}", "ca_file": "$vault_ca", "resource": "https://vault.azure.net",
             "authority": "https://$vault", "identity": "${identity:-id}"}],
 "limits": {$1}}
JSON
    chmod 600 "$tmp/config.json"
    export BLOBSEAL_CONFIG=$tmp/config.json
}
settings '"deadline_s": 60'
echo 'some text' >plain
run seal -k "$kek" -o blob.sealed plain
expect_code 0

# ends CODE TEXT COMMAND...: the command ends, long before anything that it could wait for, with this code and text
ends() {
    local before=$SECONDS
    try "${@:3}"
    expect_code "$1"
    check "the reason: $2" grep -q "$2" "$err"
    check "it took $((SECONDS - before)) s" test $((SECONDS - before)) -lt 30
}

title="a proxy in the environment is not used"
# Nothing listens on port 1, and the endpoint of identities, which would record the request, is no proxy either.
for proxy in http://127.0.0.1:1 "http://127.0.0.1:$vault_http" socks5h://127.0.0.1:1; do
    try env -u no_proxy -u NO_PROXY https_proxy="$proxy" HTTPS_PROXY="$proxy" http_proxy="$proxy" ALL_PROXY="$proxy" \
        all_proxy="$proxy" "$blobseal" open -k "$kek" -o - blob.sealed
    expect_code 0
done
check "nothing was sent to it" test "$(vault_count method=CONNECT)" = 0

title="other variables and files of libcurl and its user are not used"
printf 'machine localhost login user password secret\n' >.netrc
printf 'proxy = http://127.0.0.1:1\ninsecure\n' >.curlrc
chmod 600 .netrc
HOME=$PWD try "$blobseal" open -k "$kek" -o - blob.sealed
expect_code 0
vault set certificate=self_signed
HOME=$PWD CURL_CA_BUNDLE=$vault_dir/self_signed.crt SSL_CERT_FILE=$vault_dir/self_signed.crt \
    try "$blobseal" open -k "$kek" -o - blob.sealed
expect_error 5 E-UNAVAILABLE 'its certificate is not trusted'
vault set certificate=good
check "no password was sent" test -z "$(vault requests | grep -o '"Basic [^"]*"')"

title="certificates"
for kind in expired:'not trusted' future:'not trusted' wrong_host:'not trusted' other_ca:'not trusted' old_tls:TLS; do
    vault set certificate="${kind%%:*}"
    ends 5 "${kind#*:}" "$blobseal" open -k "$kek" -o - blob.sealed
done
vault set certificate=good

title="tokens that end before their time are replaced"
before=$(vault_count op=identity)
# Two blobs in one process: the token of the first one is not accepted for the second one.
vault fault op=unwrapkey kind=challenge times=1 skip=1 \
    value="\"Bearer authorization=\\\"https://$vault/11111111-2222-3333-4444-555555555555\\\", resource=\\\"https://vault.azure.net\\\", error=\\\"invalid_token\\\"\""
cp blob.sealed again.sealed
mkdir opened
run open -q -k "$kek" -o opened/ blob.sealed again.sealed
expect_code 0
check "two tokens" test $(($(vault_count op=identity) - before)) = 2
vault heal
title="a vault that accepts no token"
vault fault op=unwrapkey kind=challenge \
    value="\"Bearer authorization=\\\"https://$vault/11111111-2222-3333-4444-555555555555\\\", resource=\\\"https://vault.azure.net\\\", error=\\\"invalid_token\\\"\""
before=$(vault_count op=identity)
ends 11 . "$blobseal" open -k "$kek" -o - blob.sealed
check "it does not ask for tokens for ever" test $(($(vault_count op=identity) - before)) -le 3
vault heal

title="endpoints of identities"
settings '"deadline_s": 2'
kinds='blackhole reset garbage half not_json huge'
tier_has all || kinds='blackhole garbage'
for kind in $kinds; do
    vault fault op=identity kind="$kind"
    ends 5 . "$blobseal" open -k "$kek" -o - blob.sealed
    vault heal
done

title="a date in the future to try again"
settings '"deadline_s": 60'
vault fault op=unwrapkey kind=error status=429 code=Throttled headers='{"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}'
ends 5 'try again' "$blobseal" open -k "$kek" -o - blob.sealed
vault heal

title="a server that accepts connections and says nothing"
python3 -c '
import socket, sys, time
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
time.sleep(int(sys.argv[1]))' $hang_limit >port 2>silent.log {vault_stdin}>&- &
until [ -s port ]; do
    kill -0 $! 2>/dev/null || { fail "the server does not start"; break; }
    sleep 0.05
done
port=$(cat port)
short='"deadline_s": 60, "request_timeout_s": 1' # a request is tried twice
settings "$short" "localhost:$port"
ends 5 'no answer in time' "$blobseal" seal -k "https://localhost:$port/keys/kek" -o x.sealed plain

title="name servers that never answer"
printf 'nameserver 127.0.0.1\noptions timeout:60 attempts:5\n' >resolv.conf
printf 'hosts: dns\n' >nsswitch.conf
identity=printed settings "$short" "silent.vault.azure.net"
# shellcheck disable=SC2016 # it runs in the namespace
if unshare -rnm true 2>/dev/null; then
    ends 5 'no answer in time' unshare -rnm bash -c 'mount --bind resolv.conf /etc/resolv.conf || exit 99
        mount --bind nsswitch.conf /etc/nsswitch.conf || exit 99
        exec python3 "$@"' bash "$keyvault/silent_dns.py" \
        "$blobseal" seal -k https://silent.vault.azure.net/keys/kek -o x.sealed plain
    check "they were asked" grep -q '^[1-9][0-9]* questions' "$err"
    title="the name of a vault that is gone"
    printf 'hosts: files\n' >nsswitch.conf
    ends 5 'the name of the host is not known' unshare -rm bash -c \
        'mount --bind nsswitch.conf /etc/nsswitch.conf && exec "$@"' bash \
        "$blobseal" seal -k https://silent.vault.azure.net/keys/kek -o x.sealed plain
else
    part_lacks "the right to make namespaces"
fi

title="the identity of Azure Arc"
identity=arc settings '"deadline_s": 60'
# shellcheck disable=SC2016 # it runs in the namespace
in_arc=(unshare -rm bash -c 'mount -t tmpfs none /var/opt && mkdir -p /var/opt/azcmagent/tokens || exit 99
    printf "%s\n" "$1" >/var/opt/azcmagent/tokens/blobseal-test.key
    shift
    exec env IMDS_ENDPOINT=http://localhost "$@"' bash)
if unshare -rm true 2>/dev/null; then
    arc=IDENTITY_ENDPOINT=http://localhost:$vault_http/arc/token
    before=$(vault_count path=/arc/token)
    try "${in_arc[@]}" arc-secret "$arc" "$blobseal" open -k "$kek" -o - blob.sealed
    expect_code 0
    check "the text comes back" cmp -s plain "$out"
    check "a challenge and its answer" test $(($(vault_count path=/arc/token) - before)) = 2
    try "${in_arc[@]}" arc-secret "$arc" "$blobseal" doctor -k "$kek"
    expect_code 0
    expect_stdout 'object id aaaaaaaa-0000-0000-0000-000000000001'
    check "the secret is not shown" test -z "$(grep arc-secret "$out" "$err")"
    try "${in_arc[@]}" another-secret "$arc" "$blobseal" open -k "$kek" -o - blob.sealed
    check "another secret: exit code $code" test "$code" = 11 -o "$code" = 5
    check "its file is not shown" test -z "$(grep another-secret "$out" "$err")"
else
    part_lacks "the right to make namespaces"
fi
finish
