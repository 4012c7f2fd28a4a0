#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# oci --also and --oaep: which annotations are written, and what is in them, as openssl sees it. What stock tools make
# of them is in tests/campaign/check_oci_peers.sh.
# shellcheck source=tests/oci/lib.sh
. "$(dirname "$0")/lib.sh"

need jq openssl
make_key one
make_key two
prefix=org.opencontainers.image.enc.keys.

schemes() { # schemes IMAGE: list the annotations with keys of its first layer
    document "${1%%:*}" "$(digest_of "$1")" |
        jq -r --arg p $prefix '.layers[0].annotations | keys[] | select(startswith($p)) | ltrimstr($p)' |
        sort | paste -sd ,
}
annotation() { # annotation IMAGE SCHEME: print its content
    document "${1%%:*}" "$(digest_of "$1")" |
        jq -r --arg k "$prefix$2" '.layers[0].annotations[$k]' | base64 -d
}
expect_schemes() { check "the schemes of $1 are $2" test "$(schemes "$1")" = "$2"; }

# options IMAGE KEY HASH NUMBER: decrypt the private options in a recipient of the annotation pkcs11
options() {
    annotation "$1" pkcs11 | jq -r ".recipients[$4].blob" | base64 -d >blob
    openssl pkeyutl -decrypt -inkey "$keys/$2.pem" -in blob -pkeyopt rsa_padding_mode:oaep \
        -pkeyopt "rsa_oaep_md:$3" -pkeyopt "rsa_mgf1_md:$3"
}

fresh "annotations in addition"
image plain:1 --layers gzip,empty
for also in pkcs11 provider 'pkcs11,provider'; do
    rm -rf enc
    run oci encrypt --also $also -k "$keys/one.pub.pem" -o enc:1 plain:1
    expect_code 0
    expect_schemes enc:1 "jwe,${also/provider/provider.blobseal}"
    run oci decrypt -k "$keys/one.pem" -o "back-$RANDOM$RANDOM:1" enc:1
    expect_code 0
done
run oci encrypt -k "$keys/one.pub.pem" -o usual:1 plain:1
expect_schemes usual:1 jwe

title="what is in the annotation pkcs11"
run oci encrypt --also pkcs11 -k "$keys/one.pub.pem" -k "$keys/two.pub.pem" --oaep sha1 -o both:1 plain:1
expect_code 0
check "two recipients with their hashes" test \
    "$(annotation both:1 pkcs11 | jq -c '[.version, .recipients[].hash]')" = '[0,"sha256","sha1"]'
options both:1 one sha256 0 >first.json
options both:1 two sha1 1 >second.json
check "the same key of 32 bytes" test "$(jq -r .symkey first.json | base64 -d | wc -c)" = 32 -a \
    "$(jq -c '[.symkey, .cipheroptions]' first.json)" = "$(jq -c '[.symkey, .cipheroptions]' second.json)"
check "the JWE has the algorithm of each key" test "$(annotation both:1 jwe | jq -c '[.recipients[].header.alg]')" = \
    '["RSA-OAEP-256","RSA-OAEP"]'

title="new recipients"
run oci recipients add --also pkcs11 -k "$keys/one.pem" --to "$keys/two.pub.pem" usual:1
expect_code 0
expect_schemes usual:1 jwe,pkcs11
run oci rewrap --also pkcs11,provider -k "$keys/two.pem" --to "$keys/one.pub.pem" usual:1
expect_code 0
expect_schemes usual:1 jwe,pkcs11,provider.blobseal
run oci rewrap -k "$keys/one.pem" --to "$keys/two.pub.pem" usual:1
expect_code 0
expect_schemes usual:1 jwe

title="wrong use"
for also in pkcs7 'pkcs11,jwe' 'pkcs11,' '' ','; do
    run oci encrypt --also "$also" -k "$keys/one.pub.pem" -o none:1 plain:1
    expect_error 2 E-USAGE "pkcs11 and provider"
done
run oci decrypt --also pkcs11 -k "$keys/one.pem" -o none:1 enc:1
expect_code 2
run oci encrypt --cipher chunked --also pkcs11 -k "$keys/one.pub.pem" -o none:1 plain:1
expect_code 2
run oci encrypt --oaep sha1 -k "$keys/one.pub.pem" -o none:1 plain:1
expect_code 2
check "no image" test ! -e none
finish
