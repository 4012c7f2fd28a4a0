#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Images that travel between blobseal and unchanged skopeo and buildah, in both directions.
# shellcheck source=tests/oci/lib.sh
. "$(dirname "$0")/lib.sh"

need skopeo jq zstd
make_key one
make_key two
make_key three
many=()
for name in one two three; do many+=(-k "$keys/$name.pub.pem"); done

# same_image A B: both have the same manifest and the same blobs
same_image() {
    check "$1 and $2 are the same image" test "$(digest_of "$1")" = "$(digest_of "$2")"
    check "the blobs of $1 and $2 are the same" diff <(blobs "${1%%:*}") <(blobs "${2%%:*}")
}

encrypted() { # encrypted IMAGE: blobseal finds nothing in clear
    run oci inspect --expect-encrypted "$1"
    expect_code 0
}

# ---- blobseal encrypts, skopeo decrypts ----

fresh "encrypted for one key, decrypted by skopeo"
image plain:1 --layers gzip,tar,zstd,empty,dup
run oci encrypt -k "$keys/one.pub.pem" -o enc:1 plain:1
expect_code 0
encrypted enc:1
copy --decryption-key "$keys/one.pem" oci:enc:1 oci:back:1
expect_ok
# skopeo compresses layers that are not, and that changes the manifest: the plaintext decides
run oci inspect --json enc:1
check "four different layers" test "$(jq '[.layers[].digest] | unique | length' "$out")" = 4
run oci decrypt -k "$keys/one.pem" -o mine:1 enc:1
expect_code 0
same_image plain:1 mine:1
for name in $(blobs plain | grep -v "$(digest_of plain:1 | cut -c 8-)"); do
    check "$name is back" test -e "back/blobs/sha256/$name" -o "$(head -c 2 "plain/blobs/sha256/$name" | od -An -tx1)" != " 1f 8b"
done

fresh "gzip layers come back to the byte"
image plain:1 --layers gzip,gzip,empty
run oci encrypt "${many[@]}" -o enc:1 plain:1
expect_code 0
for name in one two three; do
    rm -rf back
    copy --decryption-key "$keys/$name.pem" oci:enc:1 oci:back:1
    expect_ok
    check "skopeo with $name returns the same layers" diff \
        <(document plain "$(digest_of plain:1)" | jq '.layers[].digest') \
        <(document back "$(digest_of back:1)" | jq '.layers[].digest')
done
copy --decryption-key "$(make_key four && echo "$keys/four.pem")" oci:enc:1 oci:other:1
expect_code 1
run oci decrypt -k "$keys/four.pem" -o none:1 enc:1
expect_error 4 E-NOKEY
check "nothing was left" test ! -e none

# ---- skopeo encrypts, blobseal decrypts ----

fresh "encrypted by skopeo"
image plain:1 --layers gzip,zstd,empty,dup
for recipients in one "one two" "one two three"; do
    title="encrypted by skopeo for $recipients"
    options=()
    for name in $recipients; do options+=(--encryption-key "jwe:$keys/$name.pub.pem"); done
    rm -rf enc
    copy "${options[@]}" oci:plain:1 oci:enc:1
    expect_ok
    encrypted enc:1
    for name in $recipients; do
        rm -rf back
        run oci decrypt -k "$keys/$name.pem" -o back:1 enc:1
        expect_code 0
        check "$name gets the same layers" diff \
            <(document plain "$(digest_of plain:1)" | jq '.layers[].digest') \
            <(document back "$(digest_of back:1)" | jq '.layers[].digest')
    done
done

title="a layer that skopeo has encrypted is not encrypted again"
run oci encrypt -k "$keys/two.pub.pem" enc:1
expect_error 10 E-POLICY "already encrypted"
expect_stderr "hint: .*oci recipients add"

title="recipients without a name"
run oci recipients list enc:1
expect_ok
expect_stdout "^ +jwe  RSA-OAEP$"
run oci recipients remove -k "$keys/one.pem" --kid "$keys/two.pub.pem" enc:1
expect_error 10 E-POLICY
run oci rewrap -k "$keys/two.pem" --to "$keys/four.pub.pem" enc:1
expect_code 0
copy --decryption-key "$keys/four.pem" oci:enc:1 oci:rewrapped:1
expect_ok
copy --decryption-key "$keys/one.pem" oci:enc:1 oci:failed:1
expect_code 1

title="recipients of other kinds"
try openssl ecparam -name prime256v1 -genkey -noout -out ec.pem
openssl ec -in ec.pem -pubout -out ec.pub.pem 2>/dev/null
openssl req -new -x509 -subj /CN=test -key "$keys/one.pem" -out cert.pem 2>/dev/null
for kind in jwe:ec.pub.pem pkcs7:cert.pem; do
    rm -rf theirs
    copy --encryption-key $kind oci:plain:1 oci:theirs:1
    expect_ok
    encrypted theirs:1
    run oci decrypt -k "$keys/one.pem" -o none:1 theirs:1
    expect_error 12 E-UNSUPPORTED "(ECDH-ES|pkcs7)"
    check "no image" test ! -e none
done

# ---- Recipients that blobseal changes ----

fresh "recipients added and removed"
image plain:1 --layers gzip,gzip
run oci encrypt -k "$keys/one.pub.pem" -o enc:1 plain:1
expect_code 0
blobs enc | sort >before
run oci recipients add -k "$keys/one.pem" --to "$keys/two.pub.pem" enc:1
expect_code 0
expect_stdout "changed, 2 layers, recipients: 2 added"
check "only the manifest is another one" test "$(blobs enc | sort | comm -3 - before | wc -l)" = 2
run oci recipients add -k "$keys/one.pem" --to "$keys/two.pub.pem" enc:1
expect_code 0
expect_stdout "nothing to change"
for name in one two; do
    copy --decryption-key "$keys/$name.pem" oci:enc:1 "oci:by-$name:1"
    expect_ok
done
run oci recipients remove -k "$keys/one.pem" -k "$keys/two.pub.pem" --kid "$keys/one.pub.pem" enc:1
expect_code 0
copy --decryption-key "$keys/one.pem" oci:enc:1 oci:no:1
expect_code 1
copy --decryption-key "$keys/two.pem" oci:enc:1 oci:yes:1
expect_ok
run oci recipients remove -k "$keys/two.pem" --kid "$keys/two.pub.pem" enc:1
expect_error 10 E-POLICY

# ---- Indexes and artifacts ----

for kind in index nested; do
    fresh "$kind of two platforms with attestations"
    image plain:1 --kind $kind --layers gzip,gzip,zstd --attestation
    run oci encrypt -k "$keys/one.pub.pem" -o enc:1 plain:1
    expect_code 0
    encrypted enc:1
    run oci inspect --json enc:1
    check "the shared layer is one layer" test "$(jq '[.layers[] | select(.layer == 0) | .digest] | unique | length' "$out")" = 2
    check "7 places, 6 layers" test "$(jq -r '.layers | "\(length) \(map(.digest) | unique | length)"' "$out")" = "7 6"
    run oci decrypt -k "$keys/one.pem" -o mine:1 enc:1
    expect_code 0
    same_image plain:1 mine:1
    [ $kind = index ] || continue # skopeo does not follow nested indexes
    copy --all --decryption-key "$keys/one.pem" oci:enc:1 oci:back:1
    expect_ok
    copy --all --encryption-key "jwe:$keys/one.pub.pem" oci:mine:1 oci:theirs:1
    run oci decrypt -k "$keys/one.pem" -o again:1 theirs:1
    [ ! -e theirs/index.json ] || expect_code 0 # it refuses attestations
done

fresh "an artifact"
image plain:1 --kind artifact
run oci encrypt -k "$keys/one.pub.pem" -o enc:1 plain:1
expect_code 0
encrypted enc:1
check "the media type" grep -q '"application/vnd.example.vmimage.disk.v1.qcow2+encrypted"' "enc/blobs/sha256/$(digest_of enc:1 | cut -c 8-)"
check "no embedded plaintext" test -z "$(document enc "$(digest_of enc:1)" | jq '.layers[].data // empty')"
check "other annotations stay" test "$(document enc "$(digest_of enc:1)" | jq -r '.layers[0].annotations["org.opencontainers.image.title"]')" = disk.qcow2
copy --decryption-key "$keys/one.pem" oci:enc:1 oci:back:1
expect_ok
check "skopeo returns the disk" diff \
    <(document plain "$(digest_of plain:1)" | jq '.layers[].digest') <(document back "$(digest_of back:1)" | jq '.layers[].digest')

# ---- The blobs of blobseal itself ----

fresh "chunked layers"
image plain:1 --layers gzip,empty --size 3000000
run oci encrypt --cipher chunked -k "$keys/one.pub.pem" -o enc:1 plain:1
expect_code 0
encrypted enc:1
copy --decryption-key "$keys/one.pem" oci:enc:1 oci:back:1
check "skopeo refuses" test "$code" != 0
check "and writes no image" test -z "$(digest_of back:1 2>/dev/null)"
run oci recipients add -k "$keys/one.pem" --to "$keys/two.pub.pem" enc:1
expect_code 0
run oci decrypt -k "$keys/two.pem" -o mine:1 enc:1
expect_code 0
same_image plain:1 mine:1
run oci rewrap -k "$keys/two.pem" --to "$keys/three.pub.pem" enc:1
expect_code 0
run oci decrypt -k "$keys/two.pem" -o no:1 enc:1
expect_error 4 E-NOKEY
run oci decrypt -k "$keys/three.pem" enc:1
expect_code 0
same_image plain:1 enc:1

# ---- buildah ----

if part "buildah" buildah && [ "$(id -u)" = 0 ]; then
    fresh "buildah pulls what blobseal has encrypted"
    image plain:1 --layers gzip,zstd
    run oci encrypt -k "$keys/one.pub.pem" -o enc:1 plain:1
    expect_code 0
    echo '{"default":[{"type":"insecureAcceptAnything"}]}' >policy.json
    store=(buildah --root "$PWD/root" --runroot "$PWD/run" --storage-driver vfs)
    try "${store[@]}" pull -q --signature-policy policy.json --decryption-key "$keys/one.pem" oci:enc:1
    expect_code 0
    id=$(cat "$out")
    try "${store[@]}" push -q --signature-policy policy.json --encryption-key "jwe:$keys/two.pub.pem" "$id" oci:theirs:1
    expect_code 0
    encrypted theirs:1
    run oci decrypt -k "$keys/two.pem" -o back:1 theirs:1
    expect_code 0
    run oci inspect --json plain:1
    jq -S '.exposed[0].diff_ids' "$out" >wanted
    run oci inspect --json back:1
    check "the same layers" diff wanted <(jq -S '.exposed[0].diff_ids' "$out")
    rm -rf root run
fi

# ---- An image that stock skopeo has recorded ----

fresh "the recorded image"
vectors=$root/tests/vectors/ocicrypt
if [ -d "$vectors/enc-jwe-rsa" ]; then
    install -m 600 "$vectors/keys/priv.pem" priv.pem
    run oci decrypt -k priv.pem -o back:1 "$vectors/enc-jwe-rsa"
    expect_code 0
    check "to the byte" diff -r "$vectors/source/blobs" back/blobs
    check "the same manifest" test "$(digest_of back:1)" = "$(digest_of "$vectors/source")"
else
    fail "tests/vectors/ocicrypt is missing"
fi

finish
