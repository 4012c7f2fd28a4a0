#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The key provider and the annotation pkcs11 with skopeo 1.18 of Debian 13, with keys in PEM, in a token and in a vault,
# and with an encryption set.
# shellcheck source=tests/oci/peers.sh
. "$(dirname "$0")/../oci/peers.sh"
# shellcheck source=tests/keyvault/lib.sh
. "$root/tests/keyvault/lib.sh"

need jq
peers_get skopeo
peers_token
skopeo() { # skopeo ARGUMENT...: run skopeo copy of Debian 13, with our key provider
    peer OCICRYPT_KEYPROVIDER_CONFIG=ocicrypt.json OCICRYPT_CONFIG=policy.yaml OCICRYPT_OAEP_HASHALG=sha1 \
        skopeo copy -q --insecure-policy "$@"
}
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
title="images"
image plain:1 --layers gzip,gzip,empty
# skopeo writes manifests in its own way, so only the layers are the same.
same_image() { check "$1 has the layers of the plain image" test "$(layers_of "$1")" = "$(layers_of plain:1)"; }

for key in team token vault set; do
    title="the provider, with the key $key"
    rm -rf enc back
    skopeo --encryption-key "provider:blobseal:$key" oci:plain:1 oci:enc:1
    expect_code 0
    run oci inspect --expect-encrypted -q enc:1
    expect_code 0
    skopeo --decryption-key "provider:blobseal:$key" oci:enc:1 oci:back:1
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
    skopeo --decryption-key provider:blobseal oci:enc:1 oci:back:1
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
    skopeo --decryption-key provider:blobseal oci:enc:1 oci:refused:1
    expect_code 1
    expect_stderr 'E-DENIED'
    check "$key: there is no image" test ! -e refused/index.json
done
vault change name=prod version="$version" enabled=true

title="several recipients, of several kinds"
rm -rf enc back
skopeo --encryption-key provider:blobseal:team --encryption-key provider:blobseal:token \
    --encryption-key provider:blobseal:vault --encryption-key provider:blobseal:set \
    --encryption-key jwe:keys/other.pub.pem oci:plain:1 oci:enc:1
expect_code 0
for key in provider:blobseal:{team,token,vault,set} keys/other.pem; do
    rm -rf back
    skopeo --decryption-key "$key" oci:enc:1 oci:back:1
    expect_code 0
    same_image back:1
done

title="a key that is not allowed"
rm -rf enc
for key in other keys/team.pem "$uri"; do
    skopeo --encryption-key "provider:blobseal:$key" oci:plain:1 oci:refused:1
    expect_code 1
    expect_stderr 'E-POLICY.*exit status 10'
done

title="the annotation pkcs11 of skopeo, opened in the token"
rm -rf enc back
skopeo --encryption-key pkcs11:token.pub.pem oci:plain:1 oci:enc:1
expect_code 0
run oci decrypt -k "$uri" -o back:1 enc:1
expect_code 0
same_image back:1
title="many processes at once, as clients start them for layers"
# SoftHSM fails, or sees no token, while another process logs in.
recorded=$root/tests/vectors/ocicrypt/keyprovider/1-keywrap.stdin.json
printf '{"op":"keywrap","keywrapparams":{"ec":{"Parameters":{"blobseal":["%s"]},"DecryptConfig":{"Parameters":{}}},
"optsdata":"%s"},"keyunwrapparams":{"dc":null,"annotation":null}}' "$(printf token | base64)" \
    "$(sed -n 's/.*"optsdata":"\([^"]*\)".*/\1/p' "$recorded")" >message
run keyprovider --config config.json <message
expect_code 0
printf '{"op":"keyunwrap","keywrapparams":{"ec":null,"optsdata":null},"keyunwrapparams":{"dc":{"Parameters":{}},
"annotation":"%s"}}' "$(jq -r .keywrapresults.annotation "$out")" >message
for ((i = 0; i < 8; i++)); do
    pids=()
    for ((k = 0; k < 6; k++)); do
        "$blobseal" keyprovider --config config.json <message >"answer-$k" 2>"$err" &
        pids+=($!)
    done
    for ((k = 0; k < 6; k++)); do
        wait "${pids[k]}"
        code=$?
        expect_code 0
        check "each has an answer" grep -q '"optsdata":"' "answer-$k"
    done
done
finish
