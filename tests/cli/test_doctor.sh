#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# blobseal doctor: its report on this machine and on keys, and its warnings.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

need python3
make_key kek
make_key locked --passphrase-file <(echo secret)
kid=$("$blobseal" keygen --rsa 4096 -o "$keys/big.pem" --pub "$keys/big.pub.pem")
unset OPENSSL_ia32cap

fresh "a machine"
run doctor
expect_code 0
expect_stderr ""
for name in blobseal openssl cpu cpus "locked memory" "core files" random aes-256-gcm providers secrets mappings "envelope cipher" xxh3 sha-256 "key derivation"; do
    check "a line about $name" grep -qE "^(ok|warn)  *$name  *." "$out"
done
check "no core files" grep -qE "^ok +core files +none" "$out"
check "nothing fails" test -z "$(grep '^fail' "$out")"
run doctor --json
expect_code 0
json_is "$out" 'd["schema"] == "blobseal.doctor/1"' 'd["ok"] is True' \
    'all(set(f) == {"name", "level", "value", "hint"} for f in d["findings"])' \
    'sum(f["level"] == "warn" for f in d["findings"]) == d["warnings"]' \
    'len({f["name"] for f in d["findings"]}) == len(d["findings"]) >= 11' \
    'not any(f["level"] == "fail" for f in d["findings"])'
run doctor -q
expect_code 0
check "quiet says what deserves attention only" test -z "$(grep '^ok' "$out")"

title="usage"
run doctor file
expect_error 2 E-USAGE "doctor takes no file: file"
run doctor --passphrase-file x
expect_error 2 E-USAGE "belongs after its -k"

title="the key provider for container images"
run doctor
expect_stdout '^ok +key provider +not used'
export OCICRYPT_KEYPROVIDER_CONFIG=$tmp/ocicrypt.json
run doctor
expect_code 0
expect_stdout '^warn +key provider .*is missing, or not JSON'
provider() { printf '{"key-providers":{"%s":{"cmd":{"path":"%s","args":["%s"]}}}}' "$@" >ocicrypt.json; }
OCICRYPT_KEYPROVIDER_CONFIG=$PWD/ocicrypt.json
provider other "$blobseal" keyprovider
run doctor
expect_stdout '^warn +key provider .*has no command for the key provider blobseal'
provider blobseal "$blobseal" seal
run doctor
expect_stdout '^warn +key provider .*does not run the verb keyprovider'
provider blobseal /missing/blobseal keyprovider
run doctor
expect_stdout '^warn +key provider .*cannot be run'
provider blobseal "$blobseal" keyprovider
run doctor
expect_stdout '^warn +key provider +the configuration allows no key for container images'
echo '{"keks":{"team":"'"$keys/kek.pem"'"},"oci":{"keys":["team"]}}' >config.json
run doctor --config config.json
expect_stdout '^ok +key provider .*/ocicrypt.json$'
unset OCICRYPT_KEYPROVIDER_CONFIG

if grep -qw aes /proc/cpuinfo && grep -qw avx2 /proc/cpuinfo; then
    title="an environment that slows OpenSSL down"
    for value in "" "~0x200000200000000"; do
        try env "OPENSSL_ia32cap=$value" "$blobseal" doctor
        expect_code 0
        expect_stdout "^warn +OPENSSL_ia32cap +'$value': OpenSSL does not use .*aes"
        expect_stdout "^ok +aes-256-gcm"
    done
    try env "OPENSSL_ia32cap=:~0x20" "$blobseal" doctor --json
    expect_code 0
    json_is "$out" 'd["ok"]' 'd["warnings"] >= 1' \
        'any(f["name"] == "OPENSSL_ia32cap" and f["level"] == "warn" and f["value"].endswith("does not use avx2") for f in d["findings"])'
    run doctor
    expect_stdout "^ok +OPENSSL_ia32cap +not set"
fi

if [ $sanitized = no ] && have_user; then
    title="memory that cannot be locked"
    try bash -c 'ulimit -l 16 && exec "$@"' bash "${ordinary[@]}" doctor
    expect_code 0
    expect_stdout "^warn +locked memory +up to 16 KiB: too little"
    try bash -c 'ulimit -l 8192 && exec "$@"' bash "${ordinary[@]}" doctor
    expect_code 0
    expect_stdout "^ok +locked memory +up to 8192 KiB"
fi

title="keys"
run doctor -k "$keys/big.pem" -k "$keys/big.pub.pem"
expect_code 0
check "both have their key id" test "$(grep -cE "^ok +key +$kid$" "$out")" = 2
expect_stdout "^ok +key type +RSA-OAEP-256, 4096 bits, private$"
expect_stdout "^ok +key type +RSA-OAEP-256, 4096 bits, public$"
expect_stdout "^ok +key works +wraps and unwraps$"
expect_stdout "^ok +key works +wraps; a public key cannot unwrap$"
run doctor -q -k "$keys/locked.pem" --passphrase-file <(echo secret)
expect_code 0
for arguments in "-k nosuch" "-k $keys/locked.pem --passphrase-file /dev/null"; do
    # shellcheck disable=SC2086
    run doctor --json $arguments
    check "an error" test $code != 0
    json_is "$out" 'd["schema"] == "blobseal.error/1"' "d['exit'] == $code"
done
run doctor -k nosuch
expect_error 7 E-INPUT nosuch
chmod 644 "$keys/kek.pem"
run doctor -k "$keys/kek.pem"
expect_error 10 E-POLICY "can be read"

title="a report that cannot be written"
for option in "" --json; do
    # shellcheck disable=SC2086
    "$blobseal" doctor $option >/dev/full 2>"$err"
    code=$?
    last=" doctor $option >/dev/full"
    expect_code 8
done

finish
