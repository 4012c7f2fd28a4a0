# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the scripts share that test with the tools of Debian 13: these tools, and a token with an RSA key, which both
# they and blobseal use. The variable TRIXIE: see tests/support/debian13.sh.
# shellcheck source=tests/oci/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/support/debian13.sh
. "$root/tests/support/debian13.sh"

# peers_get PACKAGE...: find or make a Debian 13 with these packages
peers_get() {
    [ "$(id -u)" = 0 ] || lacks "root, for Debian 13 in a folder"
    : "${TRIXIE:=$tmp/trixie}"
    [ -e "$TRIXIE/etc/debian_version" ] || need debootstrap
    debian13_make "$TRIXIE" "$@" || lacks "a mirror of Debian 13: see $TRIXIE.log"
}

# peer [NAME=VALUE]... TOOL ARGUMENT...: run a tool of Debian 13 in the folder of the test, as try() does
peer() {
    # shellcheck disable=SC2016 # the inner shell expands it
    try bash -c '. "$0" && debian13_run "$@"' "$root/tests/support/debian13.sh" "$TRIXIE" "$tmp" \
        SOFTHSM2_CONF=/test/softhsm2-debian13.conf TMPDIR=/var/tmp "$@"
    last=" $*"
}

# A token with the key `kek`: $uri for blobseal with $module, token.yaml for Debian 13, token.pub.pem; and config.json, in
# which it has the name `token`, and another key, in a file, the name `team`. The key `other` may not be used.
# shellcheck disable=SC2034 # used by the scripts
peers_token() {
    local theirs=/usr/lib/softhsm/libsofthsm2.so
    need softhsm2-util pkcs11-tool
    module=$(find /usr/lib -name libsofthsm2.so 2>/dev/null | head -n 1)
    [ -n "$module" ] || lacks softhsm2
    export SOFTHSM2_CONF=$tmp/softhsm2.conf XDG_CONFIG_HOME=$tmp/none HOME=$tmp
    mkdir tokens
    printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\n' "$tmp" >softhsm2.conf
    printf 'directories.tokendir = /test/tokens\nobjectstore.backend = file\n' >softhsm2-debian13.conf
    softhsm2-util --init-token --free --label ops --so-pin 1234 --pin 1234 >/dev/null
    local token=(--module "$module" --token-label ops)
    pkcs11-tool "${token[@]}" --login --pin 1234 --keypairgen --key-type RSA:3072 --label kek --id 01 >/dev/null 2>&1
    pkcs11-tool "${token[@]}" --read-object --type pubkey --label kek -o token.der >/dev/null 2>&1
    openssl pkey -pubin -inform DER -in token.der -out token.pub.pem
    (umask 077 && printf 1234 >pin)
    uri="pkcs11:token=ops;object=kek?module-path=$module&pin-source=file:$tmp/pin"
    printf 'pkcs11:\n  uri: pkcs11:token=ops;object=kek?pin-value=1234&module-path=%s\n' $theirs >token.yaml
    printf 'pkcs11:\n  module-directories:\n   - %s\n  allowed-module-paths:\n   - %s\n' ${theirs%/*} $theirs \
        >policy.yaml
    make_key team
    make_key other
    cat >config.json <<END
{"keks": {"team": "$keys/team.pem", "token": "$uri", "other": "$keys/other.pem"},
 "pkcs11": {"modules": ["$module"], "oaep": "sha1"}, "oci": {"keys": ["team", "token"]}}
END
    # The provider is a program of this machine.
    cat >ocicrypt.json <<END
{"key-providers": {"blobseal": {"cmd": {"path": "/usr/sbin/chroot", "args":
  ["/host", "/usr/bin/env", "SOFTHSM2_CONF=$SOFTHSM2_CONF", "XDG_CONFIG_HOME=$tmp/none", "$blobseal",
   "keyprovider", "--config", "$tmp/config.json"]}}}}
END
}

# layers_of LAYOUT[:NAME]: what the layers of an image are, without what tools write in their own way
layers_of() {
    document "${1%%:*}" "$(digest_of "$1")" | jq -c '[.layers[] | [.mediaType, .digest, .size]]'
}
