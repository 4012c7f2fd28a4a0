#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The PIN of a token is not in a core file of the program: the kernel writes none, and one that a debugger writes leaves
# out the memory for secrets. The module is SoftHSM, which does not keep the PIN either.
# shellcheck source=tests/pkcs11/lib.sh
. "$(dirname "$0")/lib.sh"
need_provider
softhsm_start
[ "$(id -u)" = 0 ] || lacks "root, who may look into the program"
[ $sanitized = no ] || skip "a sanitizer keeps memory that was released"
# The PIN is in no argument and no variable of the environment, and only this script and the file have it.
pin=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
{ softhsm_token ops "$pin" && token_key ops "$pin" kek 01; } || lacks "a SoftHSM that makes tokens and keys"
write_pin pin "$pin"
key="pkcs11:token=ops;object=kek?module-path=$module&pin-source=file:$PWD/pin"
token_public ops kek kek.pub.pem || lacks "pkcs11-tool that reads a public key"
sample in 5000
run seal -k kek.pub.pem --oaep sha1 in
expect_ok

# start_reading COMMAND...: start the program, which opens the key and then waits for a blob on a pipe
start_reading() {
    mkfifo blob
    exec 7<>blob
    ulimit -S -c unlimited 2>/dev/null
    start "$@" -k "$key" -q - <blob
}
# shellcheck disable=SC2317 # wait_until calls it
reads_pipe() { # true if the program has opened its input, which it does after it has logged in
    local fd
    [ "$(readlink "/proc/$pid/exe")" = "$blobseal" ] || return # it starts as a copy of this shell, which has the pipe
    for fd in "/proc/$pid/fd"/*; do
        if [ "${fd##*/}" != 0 ] && [ "$(readlink "$fd")" = "$PWD/blob" ]; then
            return 0
        fi
    done
    return 1
}

fresh "a signal that writes a core file"
start_reading verify
check "it waits for the blob" wait_until reads_pipe
kill -ABRT "$pid"
ended
expect_code 134
no_leftovers blob
exec 7>&-

fresh "a core file that a debugger writes"
if part "$title" gcore gdb; then
    start_reading verify
    check "it waits for the blob" wait_until reads_pipe
    try gcore -o core "$pid"
    if [ "$code" = 0 ] && [ -s "core.$pid" ]; then
        check "the core file is that of the program" grep -qaF "object=kek" "core.$pid"
        check "it has the memory of the module" grep -qaF "softhsm" "core.$pid"
        check "it has no PIN" test -z "$(grep -caF "$pin" "core.$pid" | grep -v '^0$')"
        # shellcheck disable=SC2001 # a pattern cannot do that in all versions of bash
        wide=$(sed 's/./&\\x00/g' <<<"$pin") # as UTF-16
        check "nor in UTF-16" test -z "$(grep -caP "$wide" "core.$pid" | grep -v '^0$')"
        # The same search finds the PIN where it is.
        try gdb -batch -ex 'set dump-excluded-mappings on' -ex 'gcore all' -p "$pid"
        check "the memory for secrets has the PIN" grep -qaF "$pin" all
    else
        part_lacks "the right to trace"
    fi
    cat "$tmp/in.sealed" >&7
    exec 7>&-
    ended
    expect_code 0
fi
finish
