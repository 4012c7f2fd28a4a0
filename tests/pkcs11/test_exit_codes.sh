#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What users see when a token or its module fails: exit status, message, next step. tests/kek/pkcs11 has every code.
# shellcheck source=tests/pkcs11/lib.sh
. "$(dirname "$0")/lib.sh"
need_provider
module=${BLOBSEAL_BUILD:-$root/build/release}/tests/fake_module.so
[ -e "$module" ] || skip "the fake module is not built"
make_key kek
export FAKE_MODULE_KEY=$keys/kek.pem
write_pin pin 1234
key="pkcs11:token=fake;object=kek?module-path=$module"
with_pin="$key&pin-source=file:$PWD/pin"

fresh "a token that works"
sample in 1000
run seal -k "$with_pin" in
expect_ok
run open -k "$with_pin" -o out in.sealed
expect_ok
check "the content is the same" cmp -s in out
cp in.sealed "$tmp"

fails() { # fails FUNCTION CODE EXIT NAME HINT: open with a function that returns CODE
    fresh "function $1 returns $4"
    printf -v last ' FAKE_MODULE_FAILS=%s=%s' "$1" "$2"
    FAKE_MODULE_FAILS=$1=$2 run open -k "$with_pin" -o out "$tmp/in.sealed"
    expect_code "$3"
    expect_stderr "error: .*pkcs11:token=fake;object=kek: .*[(]$4[)]"
    expect_stderr "hint: .*$5"
    check "nothing was written" test ! -e out
}
initialize=0 slot_list=2 open_session=4 login=7 find=8 decrypt_init=11 decrypt=12
fails $login 0xA0 11 CKR_PIN_INCORRECT "not tried again"
fails $login 0xA4 11 CKR_PIN_LOCKED "security officer"
fails $login 0xA3 11 CKR_PIN_EXPIRED "new PIN"
fails $login 0x102 11 CKR_USER_PIN_NOT_INITIALIZED "initialise"
fails $open_session 0xE0 5 CKR_TOKEN_NOT_PRESENT "insert the token"
fails $open_session 0xB1 5 CKR_SESSION_COUNT "other programs"
fails $find 0x32 5 CKR_DEVICE_REMOVED "insert the token"
fails $slot_list 0x30 5 CKR_DEVICE_ERROR "reset the token"
fails $decrypt 0x32 5 CKR_DEVICE_REMOVED "insert the token"
fails $decrypt 0xB3 5 CKR_SESSION_HANDLE_INVALID "still has the key"
fails $decrypt 0x5 5 CKR_GENERAL_ERROR "log of the token"
fails $decrypt 0x40 5 CKR_ENCRYPTED_DATA_INVALID "log of the token"
fails $decrypt 0x2 1 CKR_HOST_MEMORY "free some memory"
fails $decrypt 0x150 1 CKR_BUFFER_TOO_SMALL "newer version"
fails $decrypt_init 0x68 11 CKR_KEY_FUNCTION_NOT_PERMITTED "CKA_DECRYPT"
fails $decrypt_init 0x71 12 CKR_MECHANISM_PARAM_INVALID "SHA-1"
fails $decrypt_init 0x82 5 CKR_OBJECT_HANDLE_INVALID "still has the key"

fresh "a module that cannot be initialised"
FAKE_MODULE_FAILS=$initialize=0xA run open -k "$with_pin" -o out "$tmp/in.sealed"
expect_code 2
expect_stderr "CKR_CANT_LOCK"

if tier_has all; then
    fresh "a module that hangs" # for the 30 seconds that it may take
    FAKE_MODULE_FAILS=$decrypt=hang run open -k "$with_pin" -o out "$tmp/in.sealed"
    expect_code 5
    expect_stderr "has not answered within the time limit"
    check "nothing was written" test ! -e out
fi
finish
