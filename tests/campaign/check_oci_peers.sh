#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Images that travel through a registry between blobseal and unchanged tools: podman, buildah and skopeo of Debian 13,
# buildah of this machine, the decoder of containerd's imgcrypt, and signatures of cosign. The variables TRIXIE and
# GO_TOOLS name folders that keep these tools, see tests/support. Without TRIXIE it takes some minutes to install them,
# and without GO_TOOLS to build them.
# shellcheck source=tests/oci/peers.sh
. "$(dirname "$0")/../oci/peers.sh"
# shellcheck source=tests/support/go_tools.sh
. "$root/tests/support/go_tools.sh"

need jq skopeo zstd
export GO_TOOLS=${GO_TOOLS:-$root/build/go-tools}
# These are built while the others are used.
go_tool ctd-decoder github.com/containerd/imgcrypt/cmd/ctd-decoder@v1.1.8 900 &
stock_built=$!
go_tool cosign github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5 900 &
cosign_built=$!
peers_get skopeo podman buildah libsofthsm2
peers_token
decoder=$(realpath -- "${DECODER:-$root/build/release/blobseal-ctd-decoder}")
for name in one two three; do make_key $name; done

# ---- The registry ----

registry_start
at=127.0.0.1:$port/t

push() { # push IMAGE NAME: copy an image to the registry as it is
    copy --dest-tls-verify=false --preserve-digests "oci:$1" "docker://$at/$2"
    expect_code 0
}
fetch() { # fetch NAME LAYOUT: copy it from there as it is
    rm -rf "$2"
    copy --src-tls-verify=false --preserve-digests "docker://$at/$1" "oci:$2:1"
    expect_code 0
}

# ---- What is in layers ----

manifest() { document "${1%%:*}" "$(digest_of "$1")"; } # manifest IMAGE: print it
blob_of() { # blob_of IMAGE LAYER: the file
    echo "${1%%:*}/blobs/sha256/$(manifest "$1" | jq -r ".layers[$2].digest" | cut -c 8-)"
}
plain_digests() { # plain_digests IMAGE: digests of the tar files in its layers, in clear, whatever they are packed with
    local i file
    [ -e "${1%%:*}/index.json" ] || return 0
    for ((i = 0; i < $(manifest "$1" | jq '.layers | length'); i++)); do
        file=$(blob_of "$1" $i)
        case $(head -c 4 "$file" | od -An -tx1 | tr -d ' ') in
        1f8b*) gzip -dc "$file" ;;
        28b52ffd) zstd -qdc "$file" ;;
        *) cat "$file" ;;
        esac | sha256sum
    done
}
same_content() { # same_content IMAGE: it has the layers of the plain image
    check "$1 has the content of the plain image" test "$(plain_digests "$1")" = "$wanted"
}
scheme_count() { # scheme_count IMAGE SCHEME: how many layers have this annotation
    manifest "$1" |
        jq --arg k "org.opencontainers.image.enc.keys.$2" '[.layers[].annotations[$k] // empty] | length'
}

title="images"
image plain:1 --layers gzip,zstd,gzip,empty
layers=4
wanted=$(plain_digests plain:1)
push plain:1 plain:1
# One image for all modes: three keys in files, one of them for the provider as well, and one in a token.
run oci encrypt --config config.json --also pkcs11,provider -k "$keys/one.pub.pem" -k "$keys/two.pub.pem" \
    -k "$keys/three.pub.pem" -k key:team -k key:token -o ours:1 plain:1
expect_code 0
for scheme in jwe pkcs11 provider.blobseal; do
    check "all layers have $scheme" test "$(scheme_count ours:1 $scheme)" = $layers
done
push ours:1 ours:1
# The same without the annotation pkcs11, to see that it is what opens the other one.
run oci encrypt --config config.json -k "$keys/one.pub.pem" -k key:token -o without:1 plain:1
expect_code 0
push without:1 without:1

# ---- Tools of Debian 13 ----

provider=(OCICRYPT_KEYPROVIDER_CONFIG=ocicrypt.json)
pkcs11=(OCICRYPT_CONFIG=policy.yaml OCICRYPT_OAEP_HASHALG=sha1)
insecure=(--signature-policy policy.json --tls-verify=false)
storage=(--root /test/storage --runroot /test/storage-run --storage-driver vfs)
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >policy.json

clear_storage() { # a layer that is there in clear would not be decrypted
    rm -rf storage storage-run
}
# pull TOOL KEY NAME [VARIABLE...]: pull an encrypted image with the tool, into its storage or the layout `back`
pull() {
    local tool=$1 key=$2 name=$3
    shift 3
    rm -rf back
    clear_storage
    case $tool in
    skopeo) peer "$@" skopeo copy -q --insecure-policy --src-tls-verify=false --decryption-key "$key" \
        "docker://$at/$name" oci:back:1 ;;
    *) peer "$@" "$tool" "${storage[@]}" pull -q "${insecure[@]}" --decryption-key "$key" "docker://$at/$name" ;;
    esac
}
pulled() { # pulled TOOL NAME: what was pulled is the plain image
    expect_code 0
    if [ "$1" != skopeo ] && [ "$code" = 0 ]; then
        peer "$1" "${storage[@]}" push -q --signature-policy policy.json "$at/$2" oci:back:1
        expect_code 0
    fi
    same_content back:1
}
encrypt() { # encrypt TOOL NAME KEY... [-- VARIABLE...]: push the plain image, encrypted by the tool
    local tool=$1 name=$2 options=()
    shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        options+=(--encryption-key "$1")
        shift
    done
    shift
    case $tool in
    skopeo) peer "$@" skopeo copy -q --insecure-policy --dest-tls-verify=false "${options[@]}" oci:plain:1 \
        "docker://$at/$name" ;;
    *) peer "$@" "$tool" "${storage[@]}" push -q "${insecure[@]}" "${options[@]}" "$at/plain:1" "docker://$at/$name" ;;
    esac
    expect_code 0
    fetch "$name" theirs
    run oci inspect --expect-encrypted -q theirs:1
    expect_code 0
}
opens() { # opens KEY...: blobseal decrypts what was encrypted
    rm -rf back
    run oci decrypt --config config.json "$@" -o back:1 theirs:1
    expect_code 0
    same_content back:1
}

for tool in skopeo podman buildah; do
    title="$tool decrypts images of blobseal"
    for key in one three; do
        pull $tool keys/$key.pem ours:1
        pulled $tool ours:1
    done
    pull $tool keys/other.pem ours:1
    check "not with another key" test "$code" != 0
    check "and there is no image" test ! -e back/index.json -a \
        "$(cat storage/vfs-images/images.json 2>/dev/null || echo '[]')" = '[]'
    title="$tool decrypts images of blobseal through the key provider"
    pull $tool provider:blobseal ours:1 "${provider[@]}"
    pulled $tool ours:1
    pull $tool provider:blobseal without:1 "${provider[@]}" # only the token
    pulled $tool without:1
    title="$tool decrypts images of blobseal with a key in a token"
    pull $tool token.yaml ours:1 "${pkcs11[@]}"
    pulled $tool ours:1
    pull $tool token.yaml without:1 "${pkcs11[@]}"
    check "the annotation pkcs11 is needed for it" test "$code" != 0

    title="blobseal decrypts images of $tool"
    clear_storage
    if [ $tool != skopeo ]; then
        peer "$tool" "${storage[@]}" pull -q "${insecure[@]}" "docker://$at/plain:1"
        expect_code 0
    fi
    encrypt $tool $tool-jwe:1 jwe:keys/one.pub.pem jwe:keys/two.pub.pem jwe:keys/three.pub.pem
    for key in one two three; do opens -k "$keys/$key.pem"; done
    encrypt $tool $tool-provider:1 provider:blobseal:team -- "${provider[@]}"
    opens -k key:team
    encrypt $tool $tool-provider-token:1 provider:blobseal:token -- "${provider[@]}"
    opens -k key:token
    for key in token.pub.pem token.yaml; do
        encrypt $tool $tool-pkcs11:1 pkcs11:$key -- "${pkcs11[@]}"
        check "it is in the annotation pkcs11" test "$(scheme_count theirs:1 pkcs11)" -ge $((layers - 1))
        opens -k "$uri"
    done
    encrypt $tool $tool-all:1 jwe:keys/one.pub.pem provider:blobseal:team pkcs11:token.pub.pem \
        -- "${provider[@]}" "${pkcs11[@]}"
    for key in "$keys/one.pem" key:team key:token; do opens -k "$key"; done
done
clear_storage

# ---- buildah of this machine ----

if part "buildah of this machine" buildah; then
    own=(buildah --root "$tmp/storage" --runroot "$tmp/storage-run" --storage-driver vfs)
    try "${own[@]}" pull -q "${insecure[@]}" --decryption-key "$keys/two.pem" "docker://$at/ours:1"
    expect_code 0
    try "${own[@]}" push -q "${insecure[@]}" --encryption-key "jwe:$keys/three.pub.pem" \
        "$at/ours:1" "docker://$at/buildah12:1"
    expect_code 0
    fetch buildah12:1 theirs
    opens -k "$keys/three.pem"
    clear_storage
fi

# ---- The decoder of imgcrypt ----

# decode PROGRAM IMAGE LAYER [KEY...]: decrypt a layer with keys in the payload, or with those in the folder keydir
decode() {
    local program=$1 image=$2 layer=$3
    shift 3
    python3 "$root/tests/decoder/payload.py" "$image" "$layer" "$@" >payload
    last=" ${program##*/} for layer $layer of $image, $# keys"
    local folder=(--decryption-keys-path keydir)
    [ $# = 0 ] || folder=()
    timeout $hang_limit "$program" "${folder[@]}" \
        <"${stdin:-$(blob_of "$image" "$layer")}" 3<payload >"$out" 2>"$err"
    code=$?
}
mkdir keydir
cp -p keys/one.pem keydir/
title="the decoder of imgcrypt"
if wait $stock_built; then
    stock=$GO_TOOLS/ctd-decoder
    run oci encrypt -k "$keys/two.pub.pem" -k "$keys/one.pub.pem" -o plainest:1 plain:1
    for made in ours plainest; do
        for ((i = 0; i < layers; i++)); do
            title="the decoder of imgcrypt with layer $i of $made"
            for key in '' keys/one.pem keys/two.pem; do
                # shellcheck disable=SC2086 # one word or none
                decode "$stock" $made:1 $i $key
                expect_code 0
                expect_same "$out" "$(blob_of plain:1 $i)"
            done
            decode "$stock" $made:1 $i keys/other.pem
            expect_code 1
        done
    done
    title="the decoder of imgcrypt refuses"
    run oci encrypt --cipher chunked -k "$keys/one.pub.pem" -o chunked:1 plain:1
    decode "$stock" chunked:1 0
    expect_code 1
    check "no plaintext of a chunked layer" test ! -s "$out"
    decode "$decoder" chunked:1 0
    expect_code 0
    expect_same "$out" "$(blob_of plain:1 0)"
    cp "$(blob_of ours:1 0)" changed
    printf 'changed' | dd of=changed bs=1 seek=50 conv=notrunc status=none
    stdin=changed decode "$stock" ours:1 0
    expect_code 1
    stdin=changed decode "$decoder" ours:1 0
    expect_code 3
    check "nothing is released before it is verified" test ! -s "$out"

    title="both decoders with images of other tools"
    image small:1 --layers gzip,gzip
    copy --encryption-key "jwe:$keys/one.pub.pem" oci:small:1 oci:skopeo12:1
    expect_code 0
    for name in skopeo-jwe podman-jwe buildah-jwe skopeo-all; do fetch $name:1 $name; done
    for name in skopeo12 skopeo-jwe podman-jwe buildah-jwe skopeo-all; do
        for ((i = 0; i < $(manifest $name:1 | jq '.layers | length'); i++)); do
            decode "$stock" $name:1 $i keys/one.pem
            expect_code 0
            cp "$out" wanted
            for key in '' keys/one.pem; do
                # shellcheck disable=SC2086 # one word or none
                decode "$decoder" $name:1 $i $key
                expect_code 0
                expect_same "$out" wanted
            done
        done
    done
else
    part_lacks "Go, and a proxy that serves imgcrypt: see $GO_TOOLS/ctd-decoder.log"
fi

# ---- Signatures ----

title="signatures of cosign"
if wait $cosign_built; then
    export COSIGN_PASSWORD=pw
    http=(--allow-http-registry --allow-insecure-registry)
    cosign() { try "$GO_TOOLS/cosign" "$@"; }
    verified() { cosign verify --key cosign.pub --insecure-ignore-tlog=true "${http[@]}" "$at/signed@$1"; }
    cosign generate-key-pair
    expect_code 0
    run oci encrypt -k "$keys/one.pub.pem" -o signed:1 plain:1
    push signed:1 signed:1
    before=$(digest_of signed:1)
    verified "$before"
    check "not signed yet" test "$code" != 0
    cosign sign --key cosign.key --tlog-upload=false "${http[@]}" -y "$at/signed@$before"
    expect_code 0
    verified "$before"
    expect_code 0
    title="a signature after oci rewrap"
    run oci rewrap -k "$keys/one.pem" --to "$keys/two.pub.pem" signed:1
    expect_code 0
    after=$(digest_of signed:1)
    check "the manifest is another one" test "$before" != "$after"
    push signed:1 signed:1
    verified "$after"
    check "it has no signature" test "$code" != 0
    verified "$before"
    expect_code 0 # still that of the old manifest
    cosign sign --key cosign.key --tlog-upload=false "${http[@]}" -y "$at/signed@$after"
    expect_code 0
    verified "$after"
    expect_code 0
    fetch signed:1 theirs
    opens -k "$keys/two.pem"
else
    part_lacks "Go, and a proxy that serves cosign: see $GO_TOOLS/cosign.log"
fi

registry_stop
finish
