#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# blobseal keyprovider with the messages that skopeo 1.18 sent, and what a message cannot make it do.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"

vectors=$root/tests/vectors/ocicrypt
export XDG_CONFIG_HOME=$tmp/none HOME=$tmp
install -m 600 "$vectors/keys/priv.pem" team.pem
install -m 600 "$vectors/keys/priv2.pem" backup.pem
install -m 600 "$vectors/keys/priv4096.pem" hidden.pem
cat >config.json <<END
{"keks": {"team": "$PWD/team.pem", "backup": "$PWD/backup.pem", "hidden": "$PWD/hidden.pem"},
 "oci": {"keys": ["team", "backup"]}}
END

wrap_message() { # wrap_message VALUE...: print what skopeo sent for keywrap, with these values for our name
    local list='' value
    for value; do list+="${list:+,}\"$(printf %s "$value" | base64 -w 0)\""; done
    sed "s|{\"demo\":|{\"blobseal\":[$list],\"demo\":|" "$vectors/keyprovider/1-keywrap.stdin.json"
}
unwrap_message() { # unwrap_message [VALUE]: the message for keyunwrap of the annotation in the file `annotation`
    local ours=''
    [ $# = 0 ] || ours=",\"blobseal\":[\"$(printf %s "$1" | base64 -w 0)\"]"
    printf '{"op":"keyunwrap","keywrapparams":{"ec":null,"optsdata":null},"keyunwrapparams":{"dc":{"Parameters":'
    printf '{"privkeys":["c2VjcmV0"]%s}},"annotation":"%s"}}' "$ours" "$(cat annotation)"
}
provider() { run keyprovider --config config.json <message; }
wrap() { # wrap VALUE...
    wrap_message "$@" >message
    provider
    sed -n 's/^{"keywrapresults":{"annotation":"\([A-Za-z0-9+/=]*\)"}}$/\1/p' "$out" >annotation
}
unwrap() { # unwrap [VALUE]
    unwrap_message "$@" >message
    provider
}
options=$(sed -n 's/.*"optsdata":"\([^"]*\)".*/\1/p' "$vectors/keyprovider/1-keywrap.stdin.json")
same_options() { check "these are the options" test "$(cat "$out")" = '{"keyunwrapresults":{"optsdata":"'"$options"'"}}'; }

title="names of the configuration"
wrap team
expect_code 0
check "there is an annotation" test -s annotation
check "it is of our type" grep -q blobseal-oci <(base64 -d annotation | sed 's/.*"protected":"\([^"]*\)".*/\1==/' | tr _- /+ | base64 -d 2>/dev/null)
for value in team Enabled; do
    unwrap $value
    expect_code 0
    same_options
done
unwrap
expect_code 0
same_options
unwrap backup
expect_code 4
check "there is no answer" test ! -s "$out"

title="several recipients"
wrap team backup
for value in team backup; do
    unwrap $value
    same_options
done

title="a key in the message"
wrap "$(cat "$vectors/keys/pub4096.pem")"
expect_code 0
unwrap "$(cat "$vectors/keys/priv4096.pem")"
expect_code 0
same_options
unwrap
expect_code 4

title="what a message cannot choose"
for value in hidden nobody team.pem; do
    wrap $value
    expect_code 10
    expect_stderr "does not allow the key $value "
    check "there is no answer" test ! -s "$out"
done
for value in "$PWD/team.pem" file:team.pem ../team.pem "pkcs11:object=a?module-path=$PWD/m.so" \
    https://evil.vault.azure.net/keys/k key:team set:team ''; do
    wrap "$value"
    expect_code 10
    check "the value is not repeated" test -z "$([ -z "$value" ] || grep -F -- "$value" "$err")"
done
wrap
expect_code 2

title="messages that are not"
for text in '' '{}' nonsense '{"op":"keywrap"}'; do
    printf %s "$text" >message
    provider
    expect_error 3 E-FORMAT
    expect_stderr "hint: fetch the image again"
done
echo '{"op":"other"}' >message
provider
expect_code 12
head -c 5000000 /dev/zero >message
provider
expect_code 3

title="the envelope of a blob"
sample layer 1000
make_key kek
run seal -k team.pem --detached layer.jwe -o layer.core layer
base64 -w 0 layer.jwe >annotation
unwrap
expect_code 12
expect_stderr "blobseal oci decrypt"
finish
