#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tpm2-pkcs11 with a TPM in software (swtpm), behind the resource manager tpm2-abrmd, which the module needs, on a message
# bus of its own. All of it ends with the script, because it runs in a namespace of process ids.
script=$(realpath -- "$0")
if [ "${1-}" != inside ]; then
    # shellcheck source=tests/pkcs11/lib.sh
    . "$(dirname "$script")/lib.sh"
    need_provider
    need swtpm dbus-daemon tpm2-abrmd tpm2_ptool unshare
    module=$(find_module libtpm2_pkcs11.so) || lacks "the module of tpm2-pkcs11"
    inside=(unshare --pid --fork --mount-proc --kill-child)
    [ "$(id -u)" = 0 ] || inside=(unshare -r --pid --fork --mount-proc --kill-child)
    "${inside[@]}" true 2>/dev/null || lacks "the right to make namespaces"
    cd / && rm -rf -- "$tmp"
    trap - EXIT
    exec "${inside[@]}" bash "$script" inside "$module"
fi
module=$2
set --
# shellcheck source=tests/pkcs11/lib.sh
. "$(dirname "$script")/lib.sh"

# ---- A TPM, a bus, a resource manager and a token ----

fresh "a token of tpm2-pkcs11"
mkdir state store
swtpm socket --tpm2 --tpmstate dir="$PWD/state" --server type=unixio,path="$PWD/tpm" \
    --ctrl type=unixio,path="$PWD/tpm.ctrl" --flags not-need-init,startup-clear >swtpm.log 2>&1 &
cat >bus.conf <<END_OF_CONF
<busconfig>
  <type>session</type>
  <listen>unix:path=$PWD/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/>
  </policy>
</busconfig>
END_OF_CONF
dbus-daemon --config-file=bus.conf --nofork >bus.log 2>&1 &
export DBUS_SESSION_BUS_ADDRESS=unix:path=$PWD/bus
wait_until test -S tpm -a -S bus || lacks "a swtpm and a dbus-daemon that start"
tpm2-abrmd --session --allow-root --tcti="swtpm:path=$PWD/tpm" >abrmd.log 2>&1 &
disown -a # the namespace ends them
export TPM2_PKCS11_STORE=$PWD/store TPM2_PKCS11_LOG_LEVEL=0 TSS2_LOG=all+none
export TPM2_PKCS11_TCTI=tabrmd:bus_name=com.intel.tss2.Tabrmd,bus_type=session
export TPM2TOOLS_TCTI=$TPM2_PKCS11_TCTI
pin=24681357
wait_until tpm2_ptool init --path "$TPM2_PKCS11_STORE" || lacks "a tpm2-abrmd that answers"
{
    tpm2_ptool addtoken --pid 1 --label tpm --userpin $pin --sopin 87654321 --path "$TPM2_PKCS11_STORE" >ptool.log 2>&1 &&
        tpm2_ptool addkey --algorithm rsa2048 --label tpm --key-label kek --userpin $pin \
            --path "$TPM2_PKCS11_STORE" >>ptool.log 2>&1
} || lacks "a tpm2_ptool that makes a key: $(tail -n 1 ptool.log)"
write_pin pin $pin
pin=$PWD/pin
key="pkcs11:token=tpm;object=kek?module-path=$module"
with_pin="$key&pin-source=file:$pin"
make_key pem
sample in 100000

# ---- The life of a blob ----

title="a key of the TPM"
run key list "$key"
expect_code 0
expect_stdout "RSA 2048"
run doctor -k "$with_pin"
expect_code 0
expect_stdout "^ok +oaep +SHA-256 and SHA-1 work"
expect_stdout "^ok +key works +wraps and unwraps"

title="sealing, opening, ranges and verifying"
run seal -k "$with_pin" in
expect_ok
run open -k "$with_pin" -o out in.sealed
expect_ok
check "the content is the same" cmp -s in out
opens_in_part_and_verifies "$with_pin"

title="rewrapping, recipients and detached envelopes"
run rewrap -k "$with_pin" --to "$keys/pem.pub.pem" in.sealed
expect_code 0
run rewrap -k "$keys/pem.pem" --to "$with_pin" in.sealed
expect_code 0
run recipients add -k "$with_pin" --to "$keys/pem.pub.pem" in.sealed
expect_ok
run recipients remove -k "$with_pin" --kid "$keys/pem.pub.pem" in.sealed
expect_code 0
run seal -k "$with_pin" --detached in.jwe -o core in
expect_ok
run open -k "$with_pin" --envelope in.jwe -o out2 core
expect_ok
check "the content is the same" cmp -s in out2
finish
