#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What an image or an archive may have besides its layers: entries of unknown kinds, other files, copies of plaintext,
# attestations. Nothing of it gets lost, and nothing stays in clear without a word.
# shellcheck source=tests/oci/lib.sh
. "$(dirname "$0")/lib.sh"

need jq
make_key one

# add LAYOUT FILE: store a file as a blob, and print its digest
add() {
    local digest
    digest=$(sha256sum <"$2" | cut -d ' ' -f 1)
    cp "$2" "$1/blobs/sha256/$digest"
    echo "sha256:$digest"
}

# edit_manifest LAYOUT FILTER: change the manifest of the only image, with right digests
edit_manifest() {
    local digest
    document "$1" "$(digest_of "$1")" | jq -c "$2" >manifest
    digest=$(add "$1" manifest)
    edit_index "$1" ".manifests[0].digest = \"$digest\" | .manifests[0].size = $(stat -c %s manifest)"
}
edit_index() { # edit_index LAYOUT FILTER
    jq -c "$2" "$1/index.json" >changed-index && cp changed-index "$1/index.json"
}

fresh "a copy of the plaintext in another place of an encrypted layer"
image plain:1 --layers gzip,gzip
run oci encrypt -k "$keys/one.pub.pem" -o enc:1 plain:1
expect_code 0
for copy in '{data: "c2VjcmV0"}' '{urls: ["https://example.com"]}'; do
    rm -rf bad
    cp -r enc bad
    edit_manifest bad ".layers += [.layers[0] + $copy]"
    run oci inspect --expect-encrypted bad
    expect_code 10
    expect_stderr "1 of 3 layers.* first layer 2 .*copy of the content"
done

title="text under the name of an encrypted layer"
rm -rf bad
cp -r enc bad
seq 30 >text
digest=$(add bad text)
edit_manifest bad ".layers[1].digest = \"$digest\" | .layers[1].size = $(stat -c %s text)"
run oci inspect --expect-encrypted bad
expect_code 10
expect_stderr "layer 1 .*does not look random"

fresh "entries of unknown kinds"
image layout:1 --layers gzip,gzip
echo precious >model
model=$(add layout model)
echo "{\"blobs\":[{\"digest\":\"$model\"}]}" >artifact
edit_index layout ".manifests += [{mediaType: \"application/vnd.example.artifact+json\",
    digest: \"$(add layout artifact)\", size: $(stat -c %s artifact)}]"
run oci encrypt -k "$keys/one.pub.pem" layout:1
expect_code 0
expect_stderr "not removed"
check "what they may need is there" cmp model "layout/blobs/sha256/${model#sha256:}"
image index:1 --kind index --layers gzip
digest=$(digest_of index:1)
document index "$digest" | jq -c ".manifests += [{mediaType: \"text/plain\", digest: \"$(add index model)\",
    size: $(stat -c %s model)}]" >changed
edit_index index ".manifests[0].digest = \"$(add index changed)\" | .manifests[0].size = $(stat -c %s changed)"
run oci encrypt -k "$keys/one.pub.pem" -o enc:1 index:1
expect_code 0
expect_stdout "1 entries of the index .* stay in clear"

fresh "an archive with other files"
image good:1 --layers gzip
mkdir more
echo '[]' >more/manifest.json
tar -C good -cf some.tar .
tar -C more -rf some.tar manifest.json
cp some.tar before.tar
run oci encrypt -k "$keys/one.pub.pem" some.tar
expect_error 12 E-UNSUPPORTED "would lose the file manifest.json"
expect_stderr "hint: .*-o "
check "it is as before" cmp before.tar some.tar
run oci encrypt -k "$keys/one.pub.pem" -o new.tar:1 some.tar
expect_code 0
run oci inspect -q --expect-encrypted new.tar
expect_code 0
check "nothing is left" test -z "$(find . -name '*.partial')"

fresh "an attestation names the image that it is about"
image index:1 --kind index --layers gzip,gzip --attestation
about() { # what the attestation names, relative to the manifests of the index
    document "$1" "$(digest_of "$1")" | jq -c '.manifests | (map(.digest) | index($named)) as $i | $i' \
        --arg named "$(document "$1" "$(digest_of "$1")" | jq -r '.manifests[2].annotations["vnd.docker.reference.digest"]')"
}
check "before" test "$(about index)" = 0
run oci encrypt -k "$keys/one.pub.pem" -o enc:1 index:1
expect_code 0
check "after encrypting" test "$(about enc)" = 0
run oci decrypt -k "$keys/one.pem" -o back:1 enc:1
expect_code 0
check "after decrypting" test "$(digest_of back:1)" = "$(digest_of index:1)"

fresh "few bytes that take much memory"
image layout:1 --layers gzip
{
    printf '{"schemaVersion":2,"manifests":[],"x":['
    head -c 6000000 /dev/zero | sed 's/\x00\x00\x00/[],/g'
    printf '[]]}'
} >layout/index.json
run oci inspect layout
expect_error 3 E-FORMAT "too many values"

fresh "a configuration that cannot be read"
image layout:1 --layers gzip
echo nonsense >config
edit_manifest layout ".config.digest = \"$(add layout config)\" | .config.size = $(stat -c %s config)"
digest=$(digest_of layout:1)
run oci encrypt -k "$keys/one.pub.pem" -o enc:1 layout
expect_error 3 E-FORMAT
check "no image is left" test ! -e enc
run oci encrypt -k "$keys/one.pub.pem" layout
expect_error 3 E-FORMAT
check "it is as before" test "$(digest_of layout)" = "$digest"

fresh "a blob that another program is about to use"
if [ $sanitized = no ] && part "a blob that another program is about to use" faketime; then
    image layout:1 --layers gzip
    find layout/blobs -type f | sort >before
    try env NO_FAKE_STAT=1 faketime -f -1h "$blobseal" oci encrypt -k "$keys/one.pub.pem" layout:1
    expect_code 0
    expect_stderr "2 blobs .* have changed during this run, and were not removed" # as far as it can know
    check "all are there" test -z "$(comm -23 before <(find layout/blobs -type f | sort))"
    run oci rewrap -k "$keys/one.pem" --to "$keys/one.pub.pem" --to "$(make_key two && echo "$keys/two.pub.pem")" layout:1
    expect_code 0
    run oci inspect --json layout:1
    check "the next change removes them" test "$(jq '.unreached | length' "$out")" = 0
fi

fresh "plaintext that another image needs"
image layout:a --layers gzip,gzip
image layout:b --layers gzip,zstd
run oci encrypt -k "$keys/one.pub.pem" layout:a
expect_code 0
expect_stdout "plaintext of 1 layer is still in the layout"
run oci encrypt --json -k "$keys/one.pub.pem" layout:b
expect_code 0
check "now it is gone" test "$(jq .plaintext_left "$out")" = 0

title="a name that is too long"
edit_index layout ".manifests = [.manifests[0] | .annotations[\"org.opencontainers.image.ref.name\"] = \"x\" * 300]"
run oci decrypt -k "$keys/one.pem" -o out layout
expect_error 3 E-FORMAT "longer than 255"

fresh "what stays visible of an artifact"
image disk:1 --kind artifact
run oci encrypt -k "$keys/one.pub.pem" disk:1
expect_code 0
echo '{"name":"secret chart"}' >config
edit_manifest disk ".config.digest = \"$(add disk config)\" | .config.size = $(stat -c %s config) |
    .config.mediaType = \"application/vnd.example.chart+json\""
run oci inspect disk
expect_code 0
expect_stdout "layers .*0: org.opencontainers.image.title=disk.qcow2"
expect_stdout "config .*application/vnd.example.chart.json, 24 bytes"

fresh "an image under its own name"
image layout:1 --layers gzip
run oci encrypt -k "$keys/one.pub.pem" -o layout:1 layout:1
expect_error 6 E-EXISTS
run oci encrypt -f -k "$keys/one.pub.pem" -o ./layout/:1 layout:1
expect_code 0
expect_stdout "removed 2 blobs"
run oci inspect --json layout
check "no plaintext is left" test "$(jq '.unreached | length' "$out")" = 0

fresh "layers that are not encrypted are named when an image is decrypted"
image plain:1 --layers gzip,gzip
run oci decrypt -k "$keys/one.pem" -o out:1 plain:1
expect_code 0
expect_stdout "2 layers were not encrypted"

run oci encrypt -k "$keys/one.pub.pem" -o enc-all:1 plain:1
run oci decrypt --layers 1 -k "$keys/one.pem" -o one:1 enc-all:1
expect_code 0
expect_stdout "1 layer stays encrypted"

title="an earlier image of which nothing can be used"
run oci encrypt -k "$keys/one.pub.pem" -o earlier:1 plain:1
run oci encrypt -k "$keys/one.pub.pem" --reuse earlier:1 -o enc:1 plain:1
expect_code 0
expect_stdout "no ciphertext of the earlier image"

fresh "an earlier image that takes much time"
image plain:1 --layers gzip
run oci encrypt -k "$keys/one.pub.pem" -o earlier:1 plain:1
layer=$(document earlier "$(digest_of earlier:1)" | jq -r '.layers[0].digest')
list=
for i in 1 2 3 4; do # the same keys and content, so each of them is decrypted in full
    name=$(printf %064d $i)
    cp "earlier/blobs/sha256/${layer#sha256:}" "earlier/blobs/sha256/$name"
    list="$list \"sha256:$name\","
done
run oci encrypt --json -k "$keys/one.pem" --reuse earlier:1 -o reused:1 plain:1
expect_code 0
check "it can be used again" test "$(jq .reused "$out")" = 1
edit_manifest earlier ".layers = [.layers[0] as \$l | (${list} \"$layer\") | . as \$d | \$l | .digest = \$d]"
run oci encrypt --json -k "$keys/one.pem" --reuse earlier:1 -o fresh:1 plain:1
expect_code 0
check "after four layers that are not what they claim, it is encrypted afresh" test "$(jq .reused "$out")" = 0

finish
