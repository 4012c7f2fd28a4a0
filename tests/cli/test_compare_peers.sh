#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench/compare-peers: what it runs and prints when tools are installed, missing, to be installed, or broken. Times are
# not checked, because they depend on the machine.
# shellcheck disable=SC2016 # scripts in single quotes are for the stubs
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need python3 openssl
export BLOBSEAL=$blobseal
unset GNUPGHOME

peers() { # peers ARGUMENT...: run it with the smallest file and one round, in a folder where leftovers can be seen
    mkdir -p room
    try "$root/bench/compare-peers" --size 1M --rounds 1 "$@" room
    check "leaves nothing behind" test -z "$(ls -A room)"
}

half="['seconds', 'cpu_seconds', 'ratio', 'ratio_min', 'ratio_max', 'command']"
sensible() { # sensible NAME HALF: print a Python expression that checks the figures of a tool
    echo "[list(h) == $half and 0 < h['seconds'] and 0 <= h['cpu_seconds']" \
        "and 0 <= h['ratio_min'] <= h['ratio'] <= h['ratio_max'] for t in d['tools'] if t['name'] == '$1'" \
        "for h in [t['$2']]] == [True]"
}

# ---- With the tools that are installed ----

fresh "JSON"
peers --only cp,openssl,blobseal-j1 --json
expect_ok
shape="['schema', 'date', 'cpu', 'cpus', 'kernel', 'load', 'filesystem', 'synced', 'bytes', 'rounds', 'noisy', 'tools']"
names="['blobseal', 'blobseal-j1', 'cp', 'openssl-cms', 'openssl-enc', 'openssl-sha256']"
json_is "$out" "list(d) == $shape" "d['schema'] == 'blobseal.peers/1'" "[t['name'] for t in d['tools']] == $names" \
    "d['bytes'] == 1 << 20 and d['rounds'] == 1 and d['noisy'] == []" "d['synced'] is (d['filesystem'] != 'tmpfs')" \
    "all(list(t) == ['name', 'installed', 'version', 'error', 'encrypt', 'decrypt'] for t in d['tools'])" \
    "all(t['installed'] is True and t['version'] and t['error'] is None for t in d['tools'])" \
    "d['tools'][0]['encrypt']['ratio'] == 1 and d['tools'][0]['decrypt']['ratio'] == 1" \
    "d['tools'][5]['decrypt'] is None" "'-aes-256-gcm' in d['tools'][3]['encrypt']['command']" \
    "$(sensible openssl-sha256 encrypt)"
for tool in blobseal blobseal-j1 cp openssl-cms openssl-enc; do
    json_is "$out" "$(sensible $tool encrypt)" "$(sensible $tool decrypt)"
done

fresh "tables"
peers --only cp,openssl-sha256
expect_ok
expect_stdout '^blobseal +[0-9]+\.[0-9]{3}  1 +[0-9]+\.[0-9]{2} +[0-9]+\.[0-9]{3}  1 +[0-9]+\.[0-9]{2}$'
expect_stdout '^cp \(no encryption\) +[0-9.]+  [0-9.]+ \([0-9.]+\.\.[0-9.]+\) +[0-9.]+ +[0-9.]+  [0-9.]+ \('
expect_stdout '^openssl dgst -sha256'
expect_stdout '^Versions: blobseal .*, cp \(GNU coreutils\) .*, OpenSSL '
check "no other rows" test "$(grep -c '^[a-z]' "$out")" -le 4
peers --only cp --markdown
expect_ok
expect_stdout '^\| tool \| encrypt s \|'
expect_stdout '^\| blobseal \| [0-9.]+ \| 1 \| [0-9.]+ \| [0-9.]+ \| 1 \| [0-9.]+ \|$'
check "as many cells in every row" test "$(grep '^|' "$out" | tr -cd '|\n' | sort -u | wc -l)" = 1

for tool in age gpg; do
    fresh "$tool"
    part "$tool" $tool || continue
    peers --only $tool --json
    expect_ok
    case $tool in
    age) names=age ;;
    gpg) names="gpg-public gpg-symmetric" ;;
    esac
    for name in $names; do
        json_is "$out" "$(sensible "$name" encrypt)" "$(sensible "$name" decrypt)"
    done
done

# ---- With tools that are missing or broken ----

# A PATH on which each test provides its own age, age-keygen, apt-get, dpkg-query and id.
tools() {
    local program
    mkdir bin
    IFS=: read -ra folders_of_path <<<"$PATH"
    for program in "${folders_of_path[@]}"; do
        [ ! -d "$program" ] || ln -s "$program"/* bin/ 2>/dev/null
    done
    for program in age age-keygen apt-get dpkg-query id; do
        rm -f bin/$program
    done
    stub dpkg-query 'exit 1'
    stub id 'echo 1000'
    stub apt-get 'echo "$*" >>"'"$PWD"'/asked"'
}
stub() { # stub PROGRAM SCRIPT
    printf '#!/bin/sh\n%s\n' "$2" >"bin/$1"
    chmod 755 "bin/$1"
}
working_age='while [ $# -gt 1 ]; do [ "$1" != -o ] || o=$2; shift; done; [ "$1" = --version ] && echo 1 || cp "$1" "$o"'
age_keys='if [ "$1" = -o ]; then echo secret >"$2"; else echo public; fi'

fresh "a peer that is missing, as an ordinary user"
tools
PATH=$PWD/bin peers --only cp,age
expect_code 0
expect_stderr '^  sudo apt-get update && sudo apt-get install -y --no-install-recommends age$'
expect_stdout '^age \(X25519\) .*not installed'
expect_stdout '^cp \(no encryption\) +[0-9]'
check "nothing is installed" test ! -e asked
PATH=$PWD/bin peers --only age --json
json_is "$out" "d['tools'][1] == {'name': 'age', 'installed': False, 'version': None, 'error': None, 'encrypt': None, \
'decrypt': None}"

fresh "a peer that is missing, as root"
tools
stub id 'echo 0'
stub apt-get 'echo "$*" >>"'"$PWD"'/asked"; [ "$1" = update ] || ln -s a bin/age; ln -sf k bin/age-keygen'
stub a "$working_age"
stub k "$age_keys"
sed -i "s|bin/age|$PWD/&|g" bin/apt-get
PATH=$PWD/bin peers --only cp,age
expect_code 0
check "asks for what is missing" grep -qx 'install -y --no-install-recommends age' asked
expect_stdout '^age \(X25519\) +[0-9]'

fresh "a peer that cannot be installed"
tools
stub id 'echo 0'
stub apt-get 'echo "no network" >&2; exit 100'
PATH=$PWD/bin peers --only cp,age
expect_code 0
expect_stderr 'no network'
expect_stdout '^age \(X25519\) .*not installed'

fresh "a peer that fails, or gives back other bytes"
tools
stub age-keygen "$age_keys"
stub age '[ "$1" != --version ] || exec echo 1; echo "no memory" >&2; exit 3'
PATH=$PWD/bin peers --only cp,age
expect_code 0
expect_stderr '^compare-peers: age is left out: exit code 3 from: age -e .*: no memory$'
expect_stdout '^age \(X25519\) .*failed'
stub age "$working_age; [ \"\$o\" != opened ] || echo x >>opened"
PATH=$PWD/bin peers --only cp,age --json
expect_code 0
json_is "$out" "d['tools'][2]['error'] == 'the decrypted file differs from the original'" \
    "d['tools'][2]['encrypt'] is None" "d['tools'][1]['encrypt']['ratio'] >= 0"

# ---- Wrong usage, and interruption ----

fresh "mistakes"
for arguments in --frobnicate "--size 0" "--size 1X" "--size" "--rounds 0" "--rounds many" "--only zip" "--only ," \
    "a b"; do
    # shellcheck disable=SC2086
    try "$root/bench/compare-peers" $arguments
    expect_code 2
    expect_stderr '^compare-peers: error: .'
    expect_stderr '^compare-peers: hint: .'
    expect_stdout ""
done
try "$root/bench/compare-peers" --size 999999G --only cp .
expect_code 1
expect_stderr 'has no room for 3.5 times 999999G$'
try "$root/bench/compare-peers" --only cp nowhere
expect_code 1
expect_stderr 'nowhere is not a folder'
try env BLOBSEAL=nowhere "$root/bench/compare-peers"
expect_code 1
expect_stderr 'no program nowhere$'
expect_stderr 'hint: run: cmake --preset release'
try "$root/bench/compare-peers" --help
expect_ok
expect_stdout '^Peers: .* cp age '

# shellcheck disable=SC2317 # wait_until calls it
has_samples() { compgen -G 'room/blobseal-peers.*/samples' >/dev/null && test -s room/blobseal-peers.*/samples; }

fresh "interrupted"
mkdir room
env --default-signal=INT,TERM "$root/bench/compare-peers" --size 64M --rounds 99 --only cp room >"$out" 2>"$err" &
pid=$!
last=" compare-peers, and SIGTERM"
check "it has begun" wait_until has_samples
kill -TERM $pid
ended
expect_code 143
check "leaves nothing behind" test -z "$(ls -A room)"

finish
