#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Secrets do not leak: not into a core file, an argument, the environment, a message or a file that others can read.
# Secrets that are no longer needed are wiped from memory.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

passphrase='correct horse battery staple 4711'
(umask 077 && echo "$passphrase" >"$keys/pw")
make_key kek
make_key locked --passphrase-file "$keys/pw"
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem

# ---- Keys that are made ----

fresh "keygen"
for mask in 000 022 077 777; do
    (umask $mask && "$blobseal" keygen --rsa 2048 -o k.pem --pub p.pem >kid 2>"$err")
    code=$?
    last=" keygen with umask $mask"
    expect_ok
    check "the private key should have mode 600, not $(stat -c %a k.pem)" test "$(stat -c %a k.pem)" = 600
    public=$(printf %o $((0644 & ~0$mask)))
    check "the public key should have mode $public, not $(stat -c %a p.pem)" test "$(stat -c %a p.pem)" = "$public"
    rm -f k.pem p.pem kid
done
title="keygen never overwrites"
run keygen --rsa 2048 -o k.pem --pub p.pem
expect_ok
expect_stdout "^urn:ietf:params:oauth:jwk-thumbprint:sha-256:[A-Za-z0-9_-]{43}$"
cp k.pem k.before
cp p.pem p.before
for arguments in "-o k.pem" "-o k.pem --pub new.pem" "-o new.pem --pub p.pem" "-o new.pem --pub k.pem" "-o p.pem"; do
    # shellcheck disable=SC2086
    run keygen --rsa 2048 $arguments
    expect_error 6 E-EXISTS "exists"
    expect_same k.pem k.before
    expect_same p.pem p.before
    no_leftovers k.pem p.pem k.before p.before
done
if part "keys of two runs differ" openssl; then
    run keygen --rsa 2048 -o k2.pem
    check "two keys are not the same" test "$(openssl rsa -in k.pem -noout -modulus)" != "$(openssl rsa -in k2.pem -noout -modulus)"
    check "the public half is the one of the private key" test "$(openssl pkey -in k.pem -pubout)" = "$(cat p.pem)"
    check "nobody gets at the encrypted key without its passphrase" grep -q 'BEGIN ENCRYPTED PRIVATE KEY' "$keys/locked.pem"
    check "openssl opens the encrypted key" openssl pkey -in "$keys/locked.pem" -passin "file:$keys/pw" -noout
    openssl asn1parse -in "$keys/locked.pem" >asn1
    check "PBKDF2 with HMAC-SHA-256 and AES-256-CBC" test "$(grep -cE 'PBKDF2|hmacWithSHA256|aes-256-cbc' asn1)" = 3
    check "600,000 rounds" grep -q 'INTEGER *:0927C0' asn1
fi

# ---- Passphrases ----

fresh "passphrases"
sample f 5000
run seal -k "$keys/locked.pub.pem" f
expect_ok
run open -k "$keys/locked.pem" --passphrase-file "$keys/pw" -o back f.sealed
expect_ok
expect_same f back
title="a passphrase from a descriptor"
exec 8<"$keys/pw"
run verify -q -k "$keys/locked.pem" --passphrase-fd 8 f.sealed
exec 8<&-
expect_ok
title="several passphrases from one descriptor, and the blob behind them"
make_key locked2 --passphrase-file "$keys/pw"
{
    echo "$passphrase"
    echo "$passphrase"
    cat f.sealed
} >lines
for way in file pipe; do
    rm -f back
    arguments=(-k "$keys/locked2.pem" --passphrase-fd 0 -k "$keys/locked.pem" --passphrase-fd 0)
    if [ $way = file ]; then
        run open "${arguments[@]}" -o back <lines
    else
        # shellcheck disable=SC2002
        cat lines | pipe open "${arguments[@]}" -o back
        pipe_code open
    fi
    expect_ok
    expect_same f back
done
title="a passphrase from a pipe, without a newline"
run verify -q -k "$keys/locked.pem" --passphrase-file <(printf %s "$passphrase") f.sealed
expect_ok
title="each passphrase is for the key before it"
run verify -q -k "$open_key" -k "$keys/locked.pem" --passphrase-file "$keys/pw" f.sealed
expect_ok
run verify -q -k "$keys/locked.pem" --passphrase-file "$keys/pw" -k "$open_key" f.sealed
expect_ok
title="an encrypted private key seals"
run seal -k "$keys/locked.pem" --passphrase-file "$keys/pw" -o again f
expect_ok
for mode in 644 640 604 660 602; do
    title="a passphrase file of mode $mode"
    cp "$keys/pw" pw
    chmod $mode pw
    run verify -k "$keys/locked.pem" --passphrase-file pw f.sealed
    expect_error 10 E-POLICY "the passphrase file pw can be read by others .mode 0$mode"
    expect_stderr "hint: chmod 600 pw"
    run keygen --rsa 2048 -o new.pem --passphrase-file pw
    expect_error 10 E-POLICY "the passphrase file pw can be read by others"
    check "no key was made" test ! -e new.pem
done
title="a passphrase that keygen takes is one that opens"
i=0
for bytes in 'with spaces ' 'grüße' 'tab\there' '\200\201 bytes' 'nul\0inside' '#$%%"' "$(printf 'x%.0s' {1..1000})"; do
    i=$((i + 1))
    # shellcheck disable=SC2059 # escapes are the point
    (umask 077 && printf "$bytes\nsecond line" >pw$i)
    run keygen --rsa 2048 -o new$i.pem --passphrase-file pw$i
    [ $code = 0 ] || continue
    run seal -f -k new$i.pem --passphrase-file pw$i f
    check "the passphrase ${bytes:0:20} opens its key" test $code = 0
done
check "most were taken" test "$(find . -name 'new*.pem' | wc -l)" -ge 6
title="no terminal, no passphrase"
for verb in "open -o x" verify inspect seal; do
    # shellcheck disable=SC2086
    try setsid -w "$blobseal" $verb -k "$keys/locked.pem" f.sealed </dev/null
    expect_error 2 E-CONFIG "locked.pem is encrypted, and there is no terminal to ask on"
    expect_stderr "hint: .*--passphrase-file"
done

# ---- Prompts ----

if part "prompts" python3; then
    fresh "a prompt"
    sample f 5000
    "$blobseal" seal -k "$keys/locked.pub.pem" f
    on_terminal echo:on "expect:Passphrase for $keys/locked.pem: " echo:off "send:$passphrase\n" -- \
        "$blobseal" open -k "$keys/locked.pem" -o back f.sealed
    expect_code 0
    expect_same f back
    check "the passphrase is not shown" test -z "$(grep -F "$passphrase" "$out")"
    check "the terminal echoes again" grep -qx on "$tmp/echo"
    title="a prompt while the blob comes from a pipe"
    on_terminal "expect:Passphrase" echo:off "send:$passphrase\n" -- \
        sh -c "cat f.sealed | '$blobseal' open -k '$keys/locked.pem' >back2"
    expect_code 0
    expect_same f back2
    title="a wrong answer"
    wrong=("expect:Passphrase" echo:off "send:wrong one\n")
    on_terminal "${wrong[@]}" "expect:Try again" "${wrong[@]}" "expect:Try again" "${wrong[@]}" -- \
        "$blobseal" verify -k "$keys/locked.pem" f.sealed
    expect_code 2
    expect_stdout "wrong passphrase"
    check "the terminal echoes again" grep -qx on "$tmp/echo"
    title="an empty answer"
    on_terminal "expect:Passphrase" echo:off "send:\n" -- "$blobseal" verify -k "$keys/locked.pem" f.sealed
    expect_code 2
    title="Ctrl-D"
    on_terminal "expect:Passphrase" echo:off "send:\x04" -- "$blobseal" verify -k "$keys/locked.pem" f.sealed
    expect_code 2
    for key in 'Ctrl-C:\x03:130' 'Ctrl-\\:\x1c:131'; do
        IFS=: read -r title sent want <<<"$key"
        on_terminal "expect:Passphrase" echo:off "send:$sent" -- "$blobseal" verify -k "$keys/locked.pem" f.sealed
        expect_code "$want"
        check "the terminal echoes again" grep -qx on "$tmp/echo"
    done
    no_leftovers f f.sealed back back2
fi

# ---- The process while it works ----

fresh "the process"
sample f 3000000
"$blobseal" seal -k "$seal_key" -k "$keys/locked.pub.pem" f
mkfifo in
exec 7<>in

waiting() { # waiting ARGUMENT...: start the program; it has opened its keys and waits for more input
    start "$@" <in
    timeout $hang_limit head -c 2900000 f.sealed >in
}

stop() {
    kill -KILL "$pid"
    ended
    empty in
}

ulimit -Sc unlimited 2>/dev/null || ulimit -Sc "$(ulimit -Hc)"
title="no core file"
waiting open -k "$open_key" -o back
check "no core is allowed" grep -qE '^Max core file size +0 +0 ' "/proc/$pid/limits"
check "not even its owner may look into the process" test "$(stat -c %u "/proc/$pid/environ")" = 0
if [ $sanitized = yes ]; then # a sanitizer would catch the signal
    stop
else
    {
        kill -SEGV "$pid"
        ended
    } 2>/dev/null
    expect_code 139
    no_leftovers f f.sealed in
    empty in
fi
if [ $sanitized = no ] && part "no core file, as the kernel says it" python3; then
    "$python" - "$blobseal" "$open_key" >"$out" 2>"$err" <<'END'
import os
import subprocess
import sys
import time

def allows_no_core(pid):
    with open(f"/proc/{pid}/limits") as limits:
        return any(line.split()[:6] == ["Max", "core", "file", "size", "0", "0"] for line in limits)


program = subprocess.Popen([sys.argv[1], "verify", "-k", sys.argv[2]], stdin=subprocess.PIPE)
program.stdin.write(b"\x89BSK")
program.stdin.flush()
end = time.monotonic() + 120
while not allows_no_core(program.pid) and time.monotonic() < end:
    time.sleep(0.01)
program.send_signal(11)
_, status = os.waitpid(program.pid, 0)
assert os.WTERMSIG(status) == 11
assert not os.WCOREDUMP(status)
END
    code=$?
    expect_code 0
fi
if have_user && [ "$(id -u)" = 0 ]; then
    title="another process of the same user"
    cp "$open_key" mine.pem
    chown 65534 mine.pem in
    chmod 666 in
    "${ordinary[@]}" verify -k mine.pem <in >"$out" 2>"$err" 7>&- &
    pid=$!
    timeout $hang_limit head -c 2900000 f.sealed >in
    wait_until test "$(stat -c %u "/proc/$pid")" = 65534
    for file in environ mem maps fd/0; do
        check "it cannot read $file" \
            sh -c "! setpriv --reuid=65534 --regid=65534 --clear-groups head -c 1 /proc/$pid/$file >/dev/null 2>&1"
    done
    stop
    rm mine.pem
fi

title="locked memory"
if [ "$(ulimit -l)" = unlimited ] || [ "$(ulimit -l)" -ge 256 ]; then
    waiting open -k "$open_key" -o back
    locked=$(awk '/^VmLck:/ {print $2}' "/proc/$pid/status")
    check "keys should be in locked memory" test "${locked:-0}" -gt 0
    stop
else
    part_lacks "a larger RLIMIT_MEMLOCK"
fi
title="a machine that locks no memory"
(ulimit -l 0 && exec "$blobseal" verify -q -k "$open_key" f.sealed) >"$out" 2>"$err"
code=$?
expect_ok

title="passphrases in sight"
waiting open -k "$keys/locked.pem" --passphrase-file "$keys/pw" -o back
for file in cmdline environ; do
    check "the passphrase is in $file" test -z "$( (tr '\0' '\n' <"/proc/$pid/$file") 2>/dev/null | grep -F "$passphrase")"
done
if [ "$(id -u)" = 0 ] && [ $sanitized = no ] && part "what is left in memory" python3; then
    # The program is still working, but no longer needs the passphrase and the text of the key file.
    "$python" - "$pid" "$keys/pw" "$keys/locked.pem" >"$tmp/memory" 2>&1 <<'END'
import sys

pid, passphrase, pem = sys.argv[1:]
needles = {"the passphrase": open(passphrase, "rb").read().strip()}
text = open(pem, "rb").read().split(b"\n")
needles["the text of the key file"] = text[len(text) // 2]
found = set()
scanned = 0
with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
    for line in maps:
        span, mode = line.split()[:2]
        if "r" not in mode or "w" not in mode:
            continue
        start, end = (int(x, 16) for x in span.split("-"))
        try:
            memory.seek(start)
            data = memory.read(end - start)
        except (OSError, ValueError, OverflowError):
            continue
        scanned += len(data)
        found |= {name for name, needle in needles.items() if needle in data}
assert scanned > 1 << 20, f"only {scanned} bytes could be read"
assert not found, f"still in memory: {', '.join(sorted(found))}"
END
    code=$?
    check "$(tail -n 1 "$tmp/memory")" test $code = 0
fi
stop
exec 7>&-

# ---- Messages of failing runs ----

fresh "messages"
sample f 5000
"$blobseal" seal -k "$seal_key" f
"$blobseal" seal -k "$seal_key" --detached e -o core f
(umask 077 && echo "wrong $passphrase" >wrong && (cat "$open_key" && echo) | tr -d '\n' >flat.pem)
sed 's/A/B/g' "$open_key" >bad.pem
chmod 600 bad.pem
: >all
count=0
while read -r line; do
    # shellcheck disable=SC2086
    run $line
    [ $code != 0 ] || fail "should fail: $line"
    cat "$out" "$err" >>all
    count=$((count + 1))
done <<END
open -k $keys/locked.pem --passphrase-file wrong -o x f.sealed
open -k $keys/locked.pem --passphrase-file $keys/pw -o x f.sealed
open --json -k $keys/locked.pem --passphrase-file wrong -o x f.sealed
open -k bad.pem -o x f.sealed
open -k flat.pem -o x f.sealed
open -k wrong -o x f.sealed
open -k $open_key --envelope $open_key -o x core
open -k $open_key -o x $open_key
verify --json -k $open_key $open_key
inspect $keys/pw
inspect --json $open_key
seal -k $keys/locked.pem --passphrase-file wrong -o x f
seal -k $keys/pw -o x f
seal -k $open_key -o f.sealed f
keygen -o $open_key --passphrase-file $keys/pw
keygen -o x --pub /none/there --passphrase-file $keys/pw
END
check "all of them ran" test $count = 16
check "no passphrase in a message" test -z "$(grep -F "$passphrase" all)"
check "no key in a message" test -z "$(sed -n 2,3p "$open_key" | cut -c 1-24 | grep -Ff - all)"
check "no PEM in a message" test -z "$(grep -E 'BEGIN (ENCRYPTED |RSA )?PRIVATE' all | grep -v 'hint: a key file starts with')"
title="no way to say a passphrase on the command line"
for option in --passphrase --password --pin; do
    run verify $option "$passphrase" -k "$keys/locked.pem" f.sealed
    expect_code 2
done
title="the environment is not asked"
BLOBSEAL_PASSPHRASE=$passphrase PASSPHRASE=$passphrase try setsid -w "$blobseal" verify -k "$keys/locked.pem" f.sealed </dev/null
expect_error 2 E-CONFIG "no terminal"

finish
