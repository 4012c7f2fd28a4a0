#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The key provider and the annotation pkcs11 with skopeo 1.18 of Debian 13, with keys in PEM, in a token and in a vault,
# and with an encryption set. TRIXIE names a folder with that system, in which skopeo is installed; otherwise
# debootstrap makes one.
# shellcheck source=tests/oci/lib.sh
. "$(dirname "$0")/../oci/lib.sh"
# shellcheck source=tests/keyvault/lib.sh
. "$root/tests/keyvault/lib.sh"

need jq softhsm2-util pkcs11-tool
if [ -z "${TRIXIE:-}" ]; then
    [ "$(id -u)" = 0 ] || lacks "root, for debootstrap"
    need debootstrap
    TRIXIE=$tmp/trixie
    if ! debootstrap --variant=minbase trixie "$TRIXIE" >debootstrap.log 2>&1 ||
        ! chroot "$TRIXIE" apt-get install -y --no-install-recommends skopeo >apt.log 2>&1; then
        lacks "a mirror of Debian 13"
    fi
fi
# It runs with its own libraries, but otherwise in this system, so that it finds images, providers and tokens.
peer() { # peer ARGUMENT...: run skopeo copy of Debian 13
    try "$TRIXIE/usr/lib64/ld-linux-x86-64.so.2" --library-path "$TRIXIE/usr/lib/x86_64-linux-gnu" \
        "$TRIXIE/usr/bin/skopeo" copy -q --insecure-policy "$@"
}

module=$(find /usr/lib -name libsofthsm2.so 2>/dev/null | head -n 1)
[ -n "$module" ] || lacks softhsm2
export SOFTHSM2_CONF=$tmp/softhsm2.conf XDG_CONFIG_HOME=$tmp/none HOME=$tmp
mkdir tokens
printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\n' "$tmp" >softhsm2.conf
softhsm2-util --init-token --free --label ops --so-pin 1234 --pin 1234 >/dev/null
token=(--module "$module" --token-label ops)
pkcs11-tool "${token[@]}" --login --pin 1234 --keypairgen --key-type RSA:3072 --label kek --id 01 >/dev/null 2>&1
pkcs11-tool "${token[@]}" --read-object --type pubkey --label kek -o token.der >/dev/null 2>&1
openssl pkey -pubin -inform DER -in token.der -out token.pub.pem
(umask 077 && printf 1234 >pin)
uri="pkcs11:token=ops;object=kek?module-path=$module&pin-source=file:$tmp/pin"
make_key team
make_key other
start_vault
version=$(vault create name=prod | vault_version)
cat >config.json <<END
{"keks": {"team": "$keys/team.pem", "token": "$uri", "other": "$keys/other.pem",
          "vault": "https://$vault/keys/prod", "set": "set:images"},
 "identities": {"ci": {"type": "managed", "endpoint": "http://localhost:$vault_http"}},
 "vaults": [{"host": "$vault", "ca_file": "$vault_ca", "resource": "https://vault.azure.net",
             "authority": "https://$vault", "identity": "ci"}],
 "sets_dir": "$tmp/sets", "state_dir": "$tmp/state",
 "pkcs11": {"modules": ["$module"], "oaep": "sha1"}, "oci": {"keys": ["team", "token", "vault", "set"]}}
END
chmod 600 config.json
run set create images --config config.json -k "https://$vault/keys/prod" --recovery "$keys/other.pub.pem"
expect_code 0
cat >ocicrypt.json <<END
{"key-providers": {"blobseal": {"cmd": {"path": "$blobseal", "args": ["keyprovider", "--config", "$tmp/config.json"]}}}}
END
export OCICRYPT_KEYPROVIDER_CONFIG=$tmp/ocicrypt.json
title="images"
image plain:1 --layers gzip,gzip,empty
layers() { document "${1%%:*}" "$(digest_of "$1")" | jq -c '[.layers[] | [.mediaType, .digest, .size]]'; }
# skopeo writes manifests in its own way, so only the layers are the same.
same_image() { check "$1 has the layers of the plain image" test "$(layers "$1")" = "$(layers plain:1)"; }

for key in team token vault set; do
    title="the provider, with the key $key"
    rm -rf enc back
    peer --encryption-key "provider:blobseal:$key" oci:plain:1 oci:enc:1
    expect_code 0
    run oci inspect --expect-encrypted -q enc:1
    expect_code 0
    peer --decryption-key "provider:blobseal:$key" oci:enc:1 oci:back:1
    expect_code 0
    same_image back:1
    rm -rf back
    run oci decrypt --config config.json -k "key:$key" -o back:1 enc:1
    expect_code 0
    same_image back:1
done

for key in token vault set; do
    title="an image of blobseal for the key $key"
    rm -rf enc back
    run oci encrypt --config config.json -k "key:$key" -o enc:1 plain:1
    expect_code 0
    peer --decryption-key provider:blobseal oci:enc:1 oci:back:1
    expect_code 0
    same_image back:1
done

title="the vault refuses"
vault change name=prod version="$version" enabled=false
for key in vault set; do
    rm -rf enc refused
    vault change name=prod version="$version" enabled=true
    run oci encrypt --config config.json -k "key:$key" -o enc:1 plain:1
    expect_code 0
    vault change name=prod version="$version" enabled=false
    peer --decryption-key provider:blobseal oci:enc:1 oci:refused:1
    expect_code 1
    expect_stderr 'E-DENIED'
    check "$key: there is no image" test ! -e refused/index.json
done
vault change name=prod version="$version" enabled=true

title="several recipients, of several kinds"
rm -rf enc back
peer --encryption-key provider:blobseal:team --encryption-key provider:blobseal:token \
    --encryption-key provider:blobseal:vault --encryption-key provider:blobseal:set --encryption-key "jwe:$keys/other.pub.pem" oci:plain:1 oci:enc:1
expect_code 0
for key in provider:blobseal:{team,token,vault,set} "$keys/other.pem"; do
    rm -rf back
    peer --decryption-key "$key" oci:enc:1 oci:back:1
    expect_code 0
    same_image back:1
done

title="a key that is not allowed"
rm -rf enc
for key in other "$keys/team.pem" "$uri"; do
    peer --encryption-key "provider:blobseal:$key" oci:plain:1 oci:refused:1
    expect_code 1
    expect_stderr 'E-POLICY.*exit status 10'
done

title="the annotation pkcs11 of skopeo, opened in the token"
printf 'pkcs11:\n  module-directories:\n   - %s\n  allowed-module-paths:\n   - %s\n' "${module%/*}" "$module" >policy.yaml
rm -rf enc back
OCICRYPT_CONFIG=$tmp/policy.yaml OCICRYPT_OAEP_HASHALG=sha1 peer --encryption-key pkcs11:token.pub.pem oci:plain:1 oci:enc:1
expect_code 0
run oci decrypt -k "$uri" -o back:1 enc:1
expect_code 0
same_image back:1
finish
