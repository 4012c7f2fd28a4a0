#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is built on providers, with keys in a vault and with encryption sets: images, the key provider, the decoder of
# containerd, and the verbs that look at keys and blobs.
# shellcheck source=tests/oci/lib.sh
. "$(dirname "$0")/../oci/lib.sh"
# shellcheck source=tests/keyvault/lib.sh
. "$root/tests/keyvault/lib.sh"
need jq python3

decoder=$(realpath -- "${DECODER:-$root/build/release/blobseal-ctd-decoder}")
start_vault
first=$(vault create name=team | vault_version)
vault create name=other >/dev/null
cat >config.json <<JSON
{"identities": {"ci": {"type": "managed", "endpoint": "http://localhost:$vault_http"}},
 "vaults": [{"host": "$vault", "ca_file": "$vault_ca", "resource": "https://vault.azure.net",
             "authority": "https://$vault", "identity": "ci"}],
 "sets_dir": "$PWD/sets", "state_dir": "$PWD/state",
 "keks": {"vault": "https://$vault/keys/team", "set": "set:images", "hidden": "https://$vault/keys/other",
          "many": "https://$vault/keys/many"},
 "oci": {"keys": ["vault", "set"]},
 "limits": {"deadline_s": 60}}
JSON
chmod 600 config.json
export BLOBSEAL_CONFIG=$PWD/config.json
make_key file
run set create images -k "https://$vault/keys/team" --recovery "$keys/file.pub.pem"
expect_code 0
set_kid="blobseal-set:$(sed -n 's/.*"id": "\([^"]*\)".*/\1/p' sets/images.json)/1/"
team=https://$vault/keys/team
image plain:1 --layers gzip,tar
layers() { document "${1%%:*}" "$(digest_of "$1")" | jq -c '[.layers[] | [.mediaType, .digest, .size]]'; }
same_image() { check "$1 has the layers of the plain image" test "$(layers "$1")" = "$(layers plain:1)"; }
# schemes_of IMAGE: the annotations in which the key of the first layer is wrapped
schemes_of() {
    document "${1%%:*}" "$(digest_of "$1")" |
        jq -r '.layers[0].annotations | keys[] | select(startswith("org.opencontainers.image.enc.keys."))
            | sub("org.opencontainers.image.enc.keys."; "")' | paste -sd ' '
}

# ---- Images ----

title="each kind of key encrypts and decrypts an image"
for key in "$team" set:images key:vault key:set; do
    rm -rf enc back
    run oci encrypt -k "$key" -o enc:1 plain:1
    expect_code 0
    case $key in
    *set*) check "$key: our annotation" test "$(schemes_of enc:1)" = provider.blobseal ;;
    *) check "$key: that of stock tools as well" test "$(schemes_of enc:1)" = "jwe provider.blobseal" ;;
    esac
    run oci recipients list enc:1
    expect_code 0
    case $key in
    *set*) expect_stdout "$set_kid" ;;
    *) expect_stdout "$team/$first" ;;
    esac
    run oci inspect --expect-encrypted -q enc:1
    expect_code 0
    run oci decrypt -k "$key" -o back:1 enc:1
    expect_code 0
    same_image back:1
done

title="one request opens all layers of a set, and each of a vault key takes one"
rm -rf enc
run oci encrypt -k set:images -o enc:1 plain:1
before=$(vault_count op=unwrapkey)
rm -rf back
run oci decrypt -k set:images -o back:1 enc:1
check "one unwrap" test $(($(vault_count op=unwrapkey) - before)) = 1

title="from a key in a file to the vault, to a set, and back"
rm -rf enc
run oci encrypt -k "$keys/file.pub.pem" -o enc:1 plain:1
expect_code 0
from=$keys/file.pem
for to in "$team" set:images "https://$vault/keys/other" key:set "$keys/file.pem"; do
    run oci rewrap -k "$from" --to "$to" enc:1
    expect_code 0
    rm -rf back
    run oci decrypt -k "$to" -o back:1 enc:1
    expect_code 0
    same_image back:1
    rm -rf back
    run oci decrypt -k "$from" -o back:1 enc:1
    expect_code 4
    from=$to
done

title="recipients of an image that are versions of one key"
many=https://$vault/keys/many
v1=$(vault create name=many | vault_version)
versions() {
    "$blobseal" oci recipients list --json "$1" | grep -Eo "$many/[0-9a-f]{32}" | sort -u | sed 's|.*/||' | paste -sd ' '
}
rm -rf two
run oci encrypt -k "$many" -k "$keys/file.pub.pem" -o two:1 plain:1
expect_code 0
v2=$(vault rotate name=many | vault_version)
for again in no yes; do
    run oci recipients add -k "$many" --to "$many" two:1
    expect_code 0
    check "the newest version is added, again: $again" test "$(versions two:1 | wc -w)" = 2
done
before=$(vault_count)
run oci recipients remove -k "$keys/file.pem" --kid key:many two:1
expect_code 0
check "all versions are removed" test -z "$(versions two:1)"
check "no request" test "$(vault_count)" = "$before"
rm -rf two
run oci encrypt -k "$many/$v1" -k "$many/$v2" -k "$keys/file.pub.pem" -o two:1 plain:1
expect_code 0
run oci recipients remove -k "$many" -k "$keys/file.pem" --kid "$many/$v2" two:1
expect_error 10 E-POLICY
run oci recipients remove -k "$keys/file.pem" -k "$many" --kid "$many/$v1" two:1
expect_code 0
check "one version is removed" test "$(versions two:1)" = "$v2"
rm -rf two
run oci encrypt -k "$many/$v1" -o two:1 plain:1
for again in no yes; do
    run oci rewrap -k "$many" --to "$many" two:1
    expect_code 0
    check "it is wrapped for the newest version, again: $again" test "$(versions two:1)" = "$v2"
done
expect_stdout "nothing to change"

title="recipients of several kinds are added and removed"
for to in "$team" set:images; do
    run oci recipients add -k "$keys/file.pem" --to "$to" enc:1
    expect_code 0
done
check "both annotations" test "$(schemes_of enc:1)" = "jwe provider.blobseal"
for key in "$team" set:images "$keys/file.pem"; do
    rm -rf back
    run oci decrypt -k "$key" -o back:1 enc:1
    expect_code 0
    same_image back:1
done
run oci recipients remove -k "$team" --kid set:images enc:1
expect_error 2 E-CONFIG 'set:images does not have one key id'
run oci recipients list --json enc:1
kid=$(grep -o "${set_kid}[A-Za-z0-9_-]*" "$out" | head -n 1)
run oci recipients remove -k "$team" --kid "$kid" enc:1
expect_code 0
run oci recipients list enc:1
check "the set is gone" test -z "$(grep -F "$set_kid" "$out")"
expect_stdout "$team/$first"
rm -rf back
run oci decrypt -k set:images -o back:1 enc:1
expect_code 4

# ---- The key provider ----

say() { # say OPERATION MEMBERS: run the provider with a message of ocicrypt
    printf '{"op":"%s","keywrapparams":{"ec":null,"optsdata":null},"keyunwrapparams":{"dc":null,"annotation":null}}' "$1" |
        jq -c "$2" >request
    run keyprovider --config config.json <request
}
options=$(printf '{"symkey":"%s","digest":"sha256:%064d","cipheroptions":{"nonce":"%s"}}' \
    "$(head -c 32 /dev/zero | base64)" 0 "$(head -c 16 /dev/zero | base64)" | base64 -w 0)
wrap_for() { # wrap_for NAME: the annotation goes to the file `annotation`
    say keywrap ".keywrapparams = {ec: {Parameters: {blobseal: [\"$(printf %s "$1" | base64 -w 0)\"]},
        DecryptConfig: {Parameters: {}}}, optsdata: \"$options\"}"
    jq -r '.keywrapresults.annotation // empty' "$out" >annotation 2>/dev/null
}
unwrap_with() { # unwrap_with [NAME]
    local parameters='{}'
    [ $# = 0 ] || parameters="{blobseal: [\"$(printf %s "$1" | base64 -w 0)\"]}"
    say keyunwrap ".keyunwrapparams = {dc: {Parameters: $parameters}, annotation: \"$(cat annotation)\"}"
}

for name in vault set; do
    title="the key provider, with the key $name"
    wrap_for $name
    expect_code 0
    unwrap_with $name
    expect_ok
    check "these are the options" test "$(jq -r .keyunwrapresults.optsdata "$out")" = "$options"
    unwrap_with
    expect_ok
done
title="the key provider asks no vault for a name that is not allowed"
before=$(vault_count)
for name in hidden set:images "$team" images; do
    wrap_for "$name"
    expect_error 10 E-POLICY
done
check "no request" test "$(vault_count)" = "$before"

title="the vault refuses the key provider"
for name in vault set; do
    vault change name=team version="$first" enabled=true
    wrap_for $name
    vault change name=team version="$first" enabled=false
    unwrap_with $name
    expect_error 11 E-DENIED disabled
    check "$name: there is no answer" test ! -s "$out"
done
vault change name=team version="$first" enabled=true
unwrap_with set
expect_ok
vault down
wrap_for set
expect_code 5
vault up

# ---- The decoder of containerd ----

payload_of() { # payload_of IMAGE: write the payload of its first layer, and the layer
    document "${1%%:*}" "$(digest_of "$1")" | jq -c '.layers[0]' >descriptor
    cp "${1%%:*}/blobs/sha256/$(jq -r '.digest[7:]' descriptor)" layer
    python3 - descriptor >payload <<'END_OF_PYTHON'
import json, sys
value = json.dumps({"DecryptConfig": {"Parameters": None}, "Descriptor": json.load(open(sys.argv[1]))}).encode()
def field(number, data):
    n, out = len(data), bytes([number << 3 | 2])
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n]) + data
sys.stdout.buffer.write(field(1, b"io.containerd.ocicrypt.v1.Payload") + field(2, value))
END_OF_PYTHON
}
decode() { # decode the layer with the keys of the configuration
    last=" blobseal-ctd-decoder --config config.json"
    "$decoder" --config config.json <layer 3<payload >"$out" 2>"$err"
    code=$?
}
first_layer=plain/blobs/sha256/$(document plain "$(digest_of plain:1)" | jq -r '.layers[0].digest[7:]')
for key in "$team" set:images; do
    for cipher in ocicrypt chunked; do
        title="the decoder, with $key and the cipher $cipher"
        rm -rf enc
        run oci encrypt --cipher $cipher -k "$key" -o enc:1 plain:1
        expect_code 0
        payload_of enc:1
        decode
        expect_ok
        expect_same "$out" "$first_layer"
    done
done
title="the decoder, with a key that is not allowed"
rm -rf enc
run oci encrypt -k "https://$vault/keys/other" -o enc:1 plain:1
payload_of enc:1
decode
expect_code 4
check "nothing was written" test ! -s "$out"

title="the vault refuses the decoder"
rm -rf enc
run oci encrypt -k "$team" -o enc:1 plain:1
payload_of enc:1
vault change name=team version="$first" enabled=false
decode
expect_code 11
expect_stderr 'E-DENIED'
check "nothing was written" test ! -s "$out"
vault change name=team version="$first" enabled=true
decode
expect_ok

# ---- Verbs that look ----

sample data 100000
run seal -k set:images -k "$team" data
expect_ok
for key in set:images key:set key:vault; do
    title="verify, recipients, scrub and doctor, with $key"
    run verify -k "$key" data.sealed
    expect_code 0
    run doctor -k "$key"
    expect_code 0
    case $key in
    *set*)
        expect_stdout "key type +A256KW, 256 bits"
        expect_stdout "set +ACTIVE, generation 1, .*KEK $team/$first"
        ;;
    *) expect_stdout "vault +$vault, a configured host" ;;
    esac
done
title="what needs no key asks nobody"
before=$(vault_count)
for verb in "recipients list" scrub inspect; do
    # shellcheck disable=SC2086 # words
    run $verb data.sealed
    expect_code 0
done
run recipients list data.sealed
expect_stdout "$set_kid"
expect_stdout "$team/$first"
check "no request" test "$(vault_count)" = "$before"

title="recipients of a blob are added and removed"
run recipients remove -k "$team" --kid key:set data.sealed
expect_error 2 E-CONFIG
run recipients remove -k "$team" --kid "$kid" data.sealed
expect_code 0
run verify -k set:images data.sealed
expect_code 4
run recipients add -k "$team" --to set:images data.sealed
expect_code 0
run rewrap -k "$team" -k set:images --to key:set data.sealed
expect_code 0
run recipients list data.sealed
check "the vault key is gone" test -z "$(grep -F "$team" "$out")"
run verify -k key:set data.sealed
expect_code 0

title="doctor shows a set that was revoked, and verify fails"
vault change name=team version="$first" enabled=false
run doctor -k set:images
expect_code 11
expect_stdout 'REVOKED|disabled'
run verify -k set:images data.sealed
expect_error 11 E-DENIED disabled
run scrub data.sealed
expect_code 0
vault change name=team version="$first" enabled=true
run verify -k set:images data.sealed
expect_code 0
finish
