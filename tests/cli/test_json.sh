#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# --json: one object on one line of stdout, with the members that blobseal(1) lists and the right values.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need python3

make_key kek
make_key other --rsa 3072
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem

report="['schema', 'in', 'out', 'plain_bytes', 'sealed_bytes', 'blob_id', 'generation', 'recipients', 'envelope_sha256', 'seconds']"
checked="['schema', 'in', 'plain_bytes', 'sealed_bytes', 'blob_id', 'generation', 'recipients', 'envelope_sha256', 'seconds']"
claims="['schema', 'in', 'verified', 'version', 'suite', 'content', 'segments', 'layout', 'slot_capacity', 'blob_id', \
'generation', 'plain_bytes', 'sealed_bytes', 'slot_damaged', 'change_unfinished', 'length_possible', 'recipients', \
'envelope_sha256']"
error="['schema', 'code', 'exit', 'message', 'hint', 'retryable']"
hex="__import__('re').fullmatch('[0-9a-f]{32}', d['blob_id'])"
recipients="[list(r) for r in d['recipients']] == [['kid', 'alg']] * len(d['recipients'])"
kids="all(r['kid'].startswith('urn:ietf:params:oauth:jwk-thumbprint:sha-256:') for r in d['recipients'])"
sensible="type(d['seconds']) is float and 0 <= d['seconds'] < 600"

# ---- Success ----

fresh "keygen"
run keygen --json --rsa 2048 -o k.pem --pub p.pem
expect_ok
json_is "$out" "list(d) == ['schema', 'private', 'public', 'bits', 'kid']" "d['schema'] == 'blobseal.keygen/1'" \
    "d['private'] == 'k.pem' and d['public'] == 'p.pem' and d['bits'] == 2048"
kid=$("$blobseal" keygen --rsa 2048 -o k2.pem)
check "without --json it prints the key id" grep -qxE 'urn:ietf:params:oauth:jwk-thumbprint:sha-256:[A-Za-z0-9_-]{43}' <<<"$kid"
run keygen --json --rsa 2048 -o k3.pem
json_is "$out" "d['public'] is None"
title="the key id is the RFC 7638 thumbprint of the key"
if part "$title" openssl; then
    "$blobseal" seal -k k2.pem -o b k.pem
    run inspect --json b
    json_is "$out" "d['recipients'][0]['kid'] == '$kid'"
    cat >thumb.py <<'END'
import base64
import hashlib
import subprocess
import sys

hexes = subprocess.check_output(["openssl", "rsa", "-in", sys.argv[1], "-noout", "-modulus"], text=True)
n = bytes.fromhex(hexes.strip().split("=")[1])


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


jwk = '{"e":"AQAB","kty":"RSA","n":"' + b64(n) + '"}'
print("urn:ietf:params:oauth:jwk-thumbprint:sha-256:" + b64(hashlib.sha256(jwk.encode()).digest()))
END
    check "as another program computes it" test "$("$python" thumb.py k2.pem)" = "$kid"
fi

for size in 0 1 16384 1048576 4194304 5000000; do
    for options in "" "--no-checksums" "--slot-size=16384" "--oaep=sha1" "--detached=e"; do
        [ -z "$options" ] || [ $size = 16384 ] || [ $size = 5000000 ] || continue
        fresh "$size bytes, seal $options"
        sample f "$size"
        # shellcheck disable=SC2086
        run seal --json $options -k "$seal_key" -k "$keys/other.pub.pem" f
        expect_ok
        sealed=$(stat -c %s f.sealed)
        alg=RSA-OAEP-256
        [ "$options" != --oaep=sha1 ] || alg=RSA-OAEP
        numbers="d['plain_bytes'] == $size and d['sealed_bytes'] == $sealed"
        json_is "$out" "list(d) == $report" "d['schema'] == 'blobseal.seal/1'" "d['in'] == 'f' and d['out'] == 'f.sealed'" \
            "$numbers" "$hex" "$recipients" "$kids" "$sensible" "[r['alg'] for r in d['recipients']] == ['$alg'] * 2"
        id=$(sed 's/.*"blob_id":"\([^"]*\)".*/\1/' "$out")
        envelope=()
        [ ! -e e ] || envelope=(--envelope e)
        run open --json -k "$open_key" "${envelope[@]}" -o back f.sealed
        expect_ok
        json_is "$out" "list(d) == $report" "d['schema'] == 'blobseal.open/1'" "d['in'] == 'f.sealed' and d['out'] == 'back'" \
            "$numbers" "d['blob_id'] == '$id'" "$recipients" "$kids" "$sensible" "len(d['recipients']) == 2"
        run verify --json -k "$open_key" "${envelope[@]}" f.sealed
        expect_ok
        json_is "$out" "list(d) == $checked" "d['schema'] == 'blobseal.verify/1'" "d['in'] == 'f.sealed'" "$numbers" \
            "d['blob_id'] == '$id'" "$recipients" "$sensible"
        layout=compact capacity="d['slot_capacity'] > 1000"
        [ "$size" -lt 4194304 ] || layout=ab capacity="d['slot_capacity'] == 16384"
        [ "$options" != --slot-size=16384 ] || layout=ab capacity="d['slot_capacity'] == 16384"
        [ "$options" != --detached=e ] || layout=detached capacity="d['slot_capacity'] is None"
        segments=checksummed
        [ "$options" != --no-checksums ] || segments=bare
        run inspect --json "${envelope[@]}" f.sealed
        expect_ok
        facts="(d['version'], d['suite'], d['content'], d['segments'], d['layout']) == (1, 'Cobblestone-256', 'as-given', '$segments', '$layout')"
        notes="(d['slot_damaged'], d['change_unfinished'], d['length_possible']) == (False, False, True)"
        json_is "$out" "list(d) == $claims" "d['schema'] == 'blobseal.inspect/1'" "d['verified'] is False" "$numbers" \
            "$facts" "$capacity" "d['generation'] == 1" "d['blob_id'] == '$id'" "$recipients" "$kids" "$notes"
        run inspect --json -k "$open_key" "${envelope[@]}" f.sealed
        expect_ok
        json_is "$out" "list(d) == $claims" "d['verified'] is True" "$numbers" "$facts" "d['blob_id'] == '$id'" "$recipients"
    done
done

title="a detached blob without its envelope"
run inspect --json f.sealed
expect_ok
json_is "$out" "list(d) == $claims" "d['layout'] == 'detached'" "d['generation'] is None" "d['recipients'] == []" \
    "d['verified'] is False"

fresh "pipes"
sample f 5000000
# shellcheck disable=SC2002 # a pipe is the point
cat f | pipe seal --json -k "$seal_key" -o blob >"$out"
pipe_code seal
expect_ok
json_is "$out" "d['in'] == 'standard input' and d['out'] == 'blob'" "d['sealed_bytes'] == $(stat -c %s blob)"
# shellcheck disable=SC2002
cat blob | pipe open --json -k "$open_key" -o back >"$out"
pipe_code open
expect_ok
json_is "$out" "list(d) == $report" "d['plain_bytes'] == 5000000" "d['sealed_bytes'] in (None, $(stat -c %s blob))"
# shellcheck disable=SC2002
cat blob | pipe verify --json -k "$open_key" >"$out"
pipe_code verify
expect_ok
json_is "$out" "list(d) == $checked" "d['plain_bytes'] == 5000000"
# shellcheck disable=SC2002
cat blob | pipe inspect --json >"$out"
pipe_code inspect
expect_ok
json_is "$out" "list(d) == $claims" "d['plain_bytes'] is None and d['sealed_bytes'] is None"

title="damage that inspect sees"
printf '?' | dd of=blob bs=1 seek=4500 conv=notrunc 2>/dev/null
run inspect --json blob
expect_code 0
json_is "$out" "d['slot_damaged'] is True and d['length_possible'] is True"
truncate -s -5 blob
run inspect --json blob
expect_code 0
json_is "$out" "d['length_possible'] is False or d['plain_bytes'] == 4999995"
truncate -s 36974 blob
run inspect --json blob
expect_code 0
json_is "$out" "d['length_possible'] is False and d['plain_bytes'] is None" "d['sealed_bytes'] == 36974"

# ---- Names ----

if part "file names" python3; then
    names=(plain 'with "quotes"' 'back\slash' $'new\nline' $'tab\t' $'\x01\x1f\x7f' 'grüße' '日本' $'\U1F511' $'\xff\xfe'
        $'\xed\xa0\x80' $'\xc0\x80' $'\xe0\x80\x80' $'\xf0\x80\x80\x80' $'\xf4\x90\x80\x80' $'\xf5\x80\x80\x80' $'cut\xe2\x82'
        $'latin1 \xe9t\xe9' $'\xc2\x85' $'\xef\xbb\xbfbom' "$(printf 'ü%.0s' {1..120})" "$(printf '\\%.0s' {1..200})")
    note() { # note CODE: append the object printed by the last run, so that all are checked in one call
        expect_code "$1"
        cat "$out" >>"$tmp/objects"
        objects=$((objects + 1))
    }
    objects=0
    for name in "${names[@]}"; do
        fresh "the name $(printf %q "${name:0:30}")"
        sample "$name" 100
        run seal --json -k "$seal_key" -- "$name"
        note 0
        run inspect --json -- "$name.sealed"
        note 0
        run open --json -k "$open_key" -o "x$name" -- "$name.sealed"
        note 0
        run verify --json -k "$keys/other.pem" -- "$name.sealed"
        note 4
        run seal --json -k "$name" -- "$name"
        note 2
        run seal --json -k "$seal_key" -- "none$name"
        note 7
        run seal --json -k "$seal_key" --oaep "$name" -- "$name"
        note 2
        run seal --json -k "$seal_key" "--$name"
        note 2
    done
    title="JSON with file names"
    "$python" - "$tmp/objects" $objects >"$tmp/json.log" 2>&1 <<'END'
import json
import sys

lines = open(sys.argv[1], "rb").read().split(b"\n")
assert len(lines) == int(sys.argv[2]) + 1 and not lines[-1], f"{len(lines)} lines"
for line in lines[:-1]:
    try:
        d = json.loads(line.decode("utf-8", "strict"))
        if d["schema"] == "blobseal.seal/1":
            assert d["out"] == d["in"] + ".sealed"
    except (ValueError, AssertionError) as e:
        sys.exit(f"{e}: {line}")
END
    check "$(tail -n 1 "$tmp/json.log")" test $? = 0
    title="a name of UTF-8 is kept as it is"
    fresh
    sample 'grüße "x" \ 日本' 100
    run seal --json -k "$seal_key" 'grüße "x" \ 日本'
    json_is "$out" "d['in'] == 'gr\u00fc\u00dfe \"x\" \\\\ \u65e5\u672c'"
fi

# ---- Errors ----

fresh "errors"
sample f 5000
"$blobseal" seal -k "$seal_key" f
cp f.sealed cut
truncate -s -3 cut
sample big 50000
"$blobseal" seal -k "$seal_key" -o flipped big
"$blobseal" seal -k "$seal_key" --no-checksums -o bare big
for name in flipped bare; do
    flip $name 10000
done
cp f.sealed next
printf '\002' | dd of=next bs=1 seek=8 conv=notrunc 2>/dev/null
install -m 644 "$open_key" loose.pem
mkdir d
while IFS='|' read -r exit_code name retryable arguments; do
    title="error: ${arguments/ -k * / }"
    # shellcheck disable=SC2086
    run ${arguments%% *} --json ${arguments#* }
    expect_code "$exit_code"
    text=$(sed -n '1s/^blobseal: error: \(.*\) (E-[A-Z]*)$/\1/p' "$err")
    hint=$(sed -n '2s/^blobseal: hint: //p' "$err")
    json_is "$out" "list(d) == $error" "d['schema'] == 'blobseal.error/1'" "d['code'] == '$name'" "d['exit'] == $exit_code" \
        "d['message'] == '''$text'''" "d['hint'] == '''$hint''' and d['hint']" "d['retryable'] is $retryable"
done <<END
2|E-USAGE|False|seal f
2|E-USAGE|False|keygen -q
2|E-USAGE|False|keygen --rsa 1 -o x
2|E-USAGE|False|seal -k $seal_key --frobnicate f
2|E-USAGE|False|open -k $open_key -o - f.sealed
2|E-USAGE|False|inspect --jwe f.sealed
2|E-CONFIG|False|open -k $open_key f
2|E-CONFIG|False|seal -k $seal_key d
2|E-CONFIG|False|seal -k set:x f
3|E-AUTH|False|open -k $open_key -o x cut
3|E-AUTH|False|open -k $open_key -o x bare
3|E-DAMAGED|False|verify -k $open_key flipped
3|E-FORMAT|False|open -k $open_key -o x f
3|E-FORMAT|False|inspect f
4|E-NOKEY|False|open -k $keys/other.pem -o x f.sealed
6|E-EXISTS|False|seal -k $seal_key f
6|E-EXISTS|False|open -k $open_key -o f f.sealed
6|E-EXISTS|False|keygen -o f
7|E-INPUT|False|seal -k $seal_key none
7|E-INPUT|False|inspect none
8|E-OUTPUT|True|seal -k $seal_key -o none/x f
8|E-OUTPUT|True|open -k $open_key -o /dev/full f.sealed
8|E-OUTPUT|True|keygen --rsa 2048 -o none/x
10|E-POLICY|False|open -k loose.pem -o x f.sealed
12|E-UNSUPPORTED|False|open -k $open_key -o x next
12|E-UNSUPPORTED|False|inspect next
END
title="an option that is wrong before --json"
run seal --frobnicate --json
expect_code 2
json_is "$out" "d['code'] == 'E-USAGE'"
title="--json behind the input"
run verify -k "$open_key" f.sealed --json
expect_ok
json_is "$out" "d['schema'] == 'blobseal.verify/1'"

# ---- The envelope ----

title="inspect --jwe"
run inspect --jwe f.sealed
expect_ok
json_is "$out" "sorted(d) == ['ciphertext', 'encrypted_key', 'header', 'iv', 'protected', 'tag']" \
    "sorted(d['header']) == ['alg', 'kid'] and d['header']['alg'] == 'RSA-OAEP-256'"
"$blobseal" seal -k "$seal_key" -k "$keys/other.pub.pem" -o two f
run inspect --jwe two
expect_ok
json_is "$out" "sorted(d) == ['ciphertext', 'iv', 'protected', 'recipients', 'tag'] and len(d['recipients']) == 2"

# ---- Progress ----

fresh "--progress=json"
mkfifo in
(
    head -c 3000000 /dev/zero
    sleep 1.2
    head -c 3000000 /dev/zero
) >in &
run seal --progress=json -k "$seal_key" -o blob <in
expect_code 0
expect_stdout ""
check "there was an object" test -s "$err"
head -n 1 "$err" >line
json_is line "list(d) == ['schema', 'verb', 'bytes', 'total', 'seconds']" "d['schema'] == 'blobseal.progress/1'" \
    "d['verb'] == 'seal'" "d['total'] is None" "0 < d['bytes'] <= 6000000" "d['seconds'] >= 1"
check "one object a line" test "$(grep -c '^{.*}$' "$err")" = "$(wc -l <"$err")"

finish
