#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The soft token of opencryptoki, which has OAEP with SHA-256. Its daemon runs in namespaces of its own, so that nothing
# of this machine is touched, and everything ends with the script.
script=$(realpath -- "$0")
if [ "${1-}" != inside ]; then
    # shellcheck source=tests/pkcs11/lib.sh
    . "$(dirname "$script")/lib.sh"
    need_provider
    need pkcsslotd pkcsconf pkcs11-tool unshare
    module=$(find_module libopencryptoki.so.0) || lacks "the module of opencryptoki"
    [ "$(id -u)" = 0 ] || skip "pkcsslotd starts as root only"
    unshare -m --ipc --pid --fork --mount-proc --kill-child true 2>/dev/null || lacks "the right to make namespaces"
    cd / && rm -rf -- "$tmp"
    trap - EXIT
    exec unshare -m --ipc --pid --fork --mount-proc --kill-child bash "$script" inside "$module"
fi
module=$2
set --
# shellcheck source=tests/pkcs11/lib.sh
. "$(dirname "$script")/lib.sh"
[ $sanitized = no ] || export ASAN_OPTIONS=detect_leaks=0 # the module keeps much of what it has allocated

# ---- A daemon and a token ----

fresh "a token of opencryptoki"
mkdir -p /var/lock/opencryptoki
for folder in /var/lib/opencryptoki /var/lock/opencryptoki /run; do
    mount -t tmpfs none $folder
done
mkdir -p /run/lock /var/lock/opencryptoki # the second is below the first
chgrp pkcs11 /var/lib/opencryptoki /var/lock/opencryptoki
chmod 770 /var/lib/opencryptoki /var/lock/opencryptoki
mkdir -p /var/lock/opencryptoki/swtok /var/lib/opencryptoki/swtok/TOK_OBJ
printf 'version opencryptoki-3.1\nslot 3\n{\nstdll = libpkcs11_sw.so\n}\n' >slots.conf
mount --bind slots.conf /etc/opencryptoki/opencryptoki.conf
pkcsslotd >daemon.log 2>&1 || lacks "a pkcsslotd that starts"
pin=24681357
wait_until pkcsconf -t || lacks "a pkcsslotd that answers"
{
    printf 'soft\n' | pkcsconf -I -c 3 -S 87654321 && pkcsconf -P -c 3 -S 87654321 -n 12344321 &&
        pkcsconf -u -c 3 -S 12344321 -n $pin
} >setup.log 2>&1 || lacks "a token that can be initialised: $(tail -n 1 setup.log)"
write_pin pin $pin
pin=$PWD/pin
key="pkcs11:token=soft;object=kek?module-path=$module"
with_pin="$key&pin-source=file:$pin"
make_key pem
sample in 100000

# ---- The life of a blob ----

title="a key that is made in the token"
run keygen --pkcs11 "$with_pin" --rsa 2048 --pub kek.pub.pem
expect_code 0
run key show -q kek.pub.pem
kid=$(cat "$out")
run key show -q "$key"
expect_stdout "^$kid$"
run doctor -k "$with_pin"
expect_code 0
expect_stdout "^ok +oaep +SHA-256 and SHA-1 work"
expect_stdout "^ok +protection +sensitive, not extractable, decrypts$"
expect_stdout "^ok +key works +wraps and unwraps"

title="sealing, opening, ranges and verifying"
run seal -k "$with_pin" in
expect_ok
run seal -q -k "$key" -o second.sealed in
expect_code 0
run seal -k kek.pub.pem -o third.sealed in
expect_ok
mkdir folder
run open -q -k "$with_pin" -o folder/ in.sealed second.sealed third.sealed
expect_code 0
for name in in second third; do
    check "the content is the same" cmp -s in folder/$name
done
opens_in_part_and_verifies "$with_pin"

title="rewrapping, recipients and detached envelopes"
run rewrap -k "$with_pin" --to "$keys/pem.pub.pem" in.sealed
expect_code 0
run open -k "$with_pin" -o none in.sealed
expect_code 4
run rewrap -k "$keys/pem.pem" --to "$key" in.sealed
expect_code 0
run open -k "$with_pin" -o again in.sealed
expect_ok
check "the content is the same" cmp -s in again
run recipients add -k "$with_pin" --to "$keys/pem.pub.pem" in.sealed
expect_ok
run recipients remove -k "$with_pin" --kid "$keys/pem.pub.pem" in.sealed
expect_code 0
run seal -k "$with_pin" --detached in.jwe -o core in
expect_ok
run open -k "$with_pin" --envelope in.jwe -o out core
expect_ok
check "the content is the same" cmp -s in out

title="a wrapped key that is damaged"
damage_wrapped_key in.jwe bad.jwe
run open -k "$with_pin" --envelope bad.jwe -o out2 core
expect_code 3

title="a wrong PIN"
write_pin wrong 11112222
run open -k "$key&pin-source=file:$PWD/wrong" -o out3 in.sealed
expect_code 11
expect_stderr "the PIN is wrong"
finish
