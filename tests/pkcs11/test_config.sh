#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Keys in tokens by their names in a configuration, and modules that p11-kit has registered.
# shellcheck source=tests/pkcs11/lib.sh
. "$(dirname "$0")/lib.sh"
need_provider
softhsm_start
pin=86420975
{ softhsm_token ops $pin && token_key ops $pin kek 01; } || lacks "a SoftHSM that makes tokens and keys"
write_pin pin $pin
uri="pkcs11:token=ops;object=kek?module-path=$module&pin-source=file:$PWD/pin"
sample in 5000

configure() { # configure FILE MODULES [PKCS11-MEMBER]
    printf '{"keks": {"team": "%s"},\n "pkcs11": {"modules": [%s]%s}}\n' "$uri" "$2" "${3:-}" >"$1"
}

fresh "a listed module"
cp "$tmp/in" .
configure c.json "\"$module\"" ', "oaep": "sha1"'
export BLOBSEAL_CONFIG=c.json
run seal --json -k key:team -o sealed in
expect_ok
expect_stdout '"alg":"RSA-OAEP"'
run open -k key:team -o out sealed
expect_ok
check "the content is the same" cmp -s in out
run doctor -k key:team
expect_code 0
run key show -q key:team
expect_ok
cp "$out" kid
run key show -q "$uri"
expect_same "$out" kid
title="the hash that the user types wins"
run seal -k key:team --oaep sha256 -o x in
expect_error 12 E-UNSUPPORTED "SHA-256"
BLOBSEAL_CONFIG='' run seal -k "$uri" -o x in
expect_error 12 E-UNSUPPORTED "SHA-256"
run seal -k "$uri" -o typed in
expect_ok

title="a module that is not listed"
configure d.json '"/usr/lib/another.so"'
run open --config d.json -k key:team -o x sealed
expect_error 10 E-POLICY "does not list its module $module"
expect_stderr 'hint: add the module to the list "modules" of "pkcs11" in d.json$'
run open --config d.json -k "$uri" -o typed.out sealed
expect_ok
configure d.json ''
run open --config d.json -k key:team -o x sealed
expect_error 10 E-POLICY "does not list"
no_leftovers c.json d.json in kid out sealed typed typed.out

title="a prompt asks for the PIN of a token"
if part "$title" python3; then
    uri="pkcs11:token=ops;object=kek?module-path=$module"
    configure e.json "\"$module\"" ', "oaep": "sha1"'
    on_terminal 'expect:PIN for key:team: ' echo:off 'send:86420975\n' -- \
        "$blobseal" open --config e.json -k key:team -o asked sealed
    expect_code 0
    check "the content is the same" cmp -s in asked
fi
unset BLOBSEAL_CONFIG

# ---- Modules that p11-kit has registered ----

# The folder with the registrations is replaced: others may print messages, and the user's own folder does not count for
# root.
fresh "a module that p11-kit has registered"
registrations=$(pkg-config --variable=p11_module_configs p11-kit-1 2>/dev/null)
: "${registrations:=/usr/share/p11-kit/modules}"
cp "$tmp/in" .
mkdir registered
printf 'module: %s\n' "$module" >registered/blobseal-test.module
registered="pkcs11:token=ops;object=kek?pin-source=file:$tmp/pin"
p11() { # p11 ARGUMENT...: run the program with the modules in the folder `registered`, and no others
    # shellcheck disable=SC2016 # the inner shell expands it
    try "${isolated[@]}" sh -c 'mount -t tmpfs none "$1" && cp registered/*.module "$1" && shift &&
        { [ ! -d /etc/pkcs11 ] || mount -t tmpfs none /etc/pkcs11; } && exec "$@"' - "$registrations" "$blobseal" "$@"
}
if can_mount && [ -d "$registrations" ]; then
    p11 seal -k "$registered" --oaep sha1 -o sealed in
    expect_ok
    p11 open -k "$registered" -o out sealed
    expect_ok
    check "the content is the same" cmp -s in out
    p11 key list -q "pkcs11:token=ops;object=kek"
    expect_ok
    expect_stdout "^pkcs11:.*token=ops.*object=kek"
    check "the URI has no module-path" test -z "$(grep module-path "$out")"
    title="by its name, without a list of modules"
    printf '{"keks": {"team": "%s"}, "pkcs11": {"oaep": "sha1"}}\n' "$registered" >c.json
    p11 seal --config c.json -k key:team -o named in
    expect_ok
    p11 open --config c.json -k key:team -o named.out named
    expect_ok
    check "the content is the same" cmp -s in named.out
    title="with module-name"
    p11 verify -q -k "$registered&module-name=blobseal-test" named
    expect_ok
    p11 verify -q -k "$registered&module-name=no-such-module" named
    expect_error 5 E-UNAVAILABLE
    title="a registered module that does not load"
    printf 'module: /no/such/module.so\n' >registered/broken.module
    p11 verify -q -k "$registered" named
    expect_ok
    title="a module that is not registered"
    rm registered/blobseal-test.module
    p11 open -k "$registered" -o x named
    expect_error 5 E-UNAVAILABLE
else
    part_lacks "the right to mount"
fi
finish
