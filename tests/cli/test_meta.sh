#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# --name, --type and --annotation: they are sealed with the blob, shown only to owners of a key, and harmless on
# terminals.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need python3

make_key kek
make_key other
seal_key=$keys/kek.pub.pem
open_key=$keys/kek.pem
none="'meta' not in d"

has_none_of() { # has_none_of FILE WORD...: the file contains none of the words, neither as plain text nor in base64
    local file=$1 word
    shift
    for word; do
        check "$file should not hold $word" test "$(grep -caF -- "$word" "$file")" = 0
        word=$(printf %s "$word" | base64 -w 0)
        check "$file should not hold $word, which is base64" test "$(grep -caF -- "${word:0:8}" "$file")" = 0
    done
}

# ---- Round trips ----

for options in "" "--slot-size=8192" "--detached=e" "--no-checksums"; do
    fresh "metadata, seal $options"
    sample f 20000
    # shellcheck disable=SC2086
    run seal $options -k "$seal_key" --name 'Quarterly Numbers.tar' --type application/x-tar \
        --annotation org.example.author=Ada --annotation 'colour=dark = red' --annotation empty= f
    expect_ok
    expect_stdout ""
    envelope=()
    [ ! -e e ] || envelope=(--envelope e)
    all="d['meta'] == {'name': 'Quarterly Numbers.tar', 'type': 'application/x-tar', 'annotations': \
{'org.example.author': 'Ada', 'colour': 'dark = red', 'empty': ''}}"
    run inspect --json -k "$open_key" "${envelope[@]}" f.sealed
    json_is "$out" "$all" "d['verified'] is True"
    run verify --json -k "$open_key" "${envelope[@]}" f.sealed
    json_is "$out" "$all"
    run open --json -k "$open_key" "${envelope[@]}" -o back f.sealed
    json_is "$out" "$all"
    expect_same f back
    run inspect -k "$open_key" "${envelope[@]}" f.sealed
    expect_stdout '^name +Quarterly Numbers\.tar$'
    expect_stdout '^type +application/x-tar$'
    expect_stdout '^annotations +org\.example\.author = Ada$'
    expect_stdout '^ +colour = dark = red$'
    expect_stdout '^ +empty = $'

    title="without a key, seal $options"
    run inspect --json "${envelope[@]}" f.sealed
    json_is "$out" "$none"
    run inspect "${envelope[@]}" f.sealed
    expect_ok
    for file in f.sealed "${envelope[1]-f.sealed}" "$out"; do
        has_none_of "$file" Quarterly application/x-tar org.example.author 'dark = red'
    done
    run inspect --jwe "${envelope[@]}" f.sealed
    has_none_of "$out" Quarterly application/x-tar org.example.author 'dark = red'
    run open --json -k "$keys/other.pem" "${envelope[@]}" -o no f.sealed
    expect_code 4
    has_none_of "$out" Quarterly org.example.author
done

# Characters that change how a terminal shows other text: as escapes in JSON, and never in text.
fresh "invisible characters"
sample f 100
invisible=(200e 200f 061c 202a 202b 202c 202d 202e 2066 2067 2068 2069 2028 2029 feff 0085 007f 001b)
name=$("$python" -c 'import sys; sys.stdout.buffer.write("".join("x" + chr(int(c, 16)) for c in sys.argv[1:]).encode())' \
    "${invisible[@]}")
escapes=$(printf 'x\\u%s' "${invisible[@]}")
run seal -k "$seal_key" --name "${name}z" --annotation "${name}n=${name}v" f
expect_code 0
run inspect --json -k "$open_key" f.sealed
expect_ok
check "the name in escapes" grep -qF "\"name\":\"${escapes}z\"" "$out"
check "the annotation in escapes" grep -qF "\"${escapes}n\":\"${escapes}v\"" "$out"
check "nothing but ASCII" test -z "$(LC_ALL=C grep '[^ -~]' "$out")"
json_is "$out" "d['meta']['name'] == '${escapes}z'" "d['meta']['annotations'] == {'${escapes}n': '${escapes}v'}"
run inspect -k "$open_key" f.sealed
expect_ok
check "nothing but ASCII in text" test -z "$(LC_ALL=C grep '[^ -~]' "$out")"
expect_stdout '^name +(x\?+)+z$'

fresh "what was not given"
sample f 100
run seal -k "$seal_key" f
run inspect --json -k "$open_key" f.sealed
json_is "$out" "$none"
run verify --json -k "$open_key" f.sealed
json_is "$out" "$none"
run seal -f -k "$seal_key" --type text/plain f
run inspect --json -k "$open_key" f.sealed
json_is "$out" "d['meta'] == {'name': None, 'type': 'text/plain', 'annotations': {}}"
run seal -f -k "$seal_key" --annotation a=b f
run inspect --json -k "$open_key" f.sealed
json_is "$out" "d['meta'] == {'name': None, 'type': None, 'annotations': {'a': 'b'}}"
run seal -f -k "$seal_key" --name one --name two f
run inspect --json -k "$open_key" f.sealed
json_is "$out" "d['meta']['name'] == 'two'"

title="a blob from a pipe"
# shellcheck disable=SC2002 # a pipe is the point
cat f | pipe seal -k "$seal_key" --name piped | cat >blob
pipe_code seal
expect_ok
# shellcheck disable=SC2002
cat blob | pipe inspect --json -k "$open_key" >"$out"
json_is "$out" "d['meta']['name'] == 'piped'"

title="a change of the recipients keeps it, byte for byte"
run seal -f -k "$seal_key" --name keep --annotation 'k=v "w"' --slot-size 8192 f
run inspect --json -k "$open_key" f.sealed
json_is "$out" "d['meta']['annotations'] == {'k': 'v \"w\"'}"
run recipients add -q -k "$open_key" --to "$keys/other.pub.pem" f.sealed
expect_ok
run recipients remove -q -k "$keys/other.pem" --kid "$("$blobseal" seal -k "$seal_key" f -o one && "$blobseal" inspect --json one |
    "$python" -c 'import json, sys; print(json.load(sys.stdin)["recipients"][0]["kid"])')" f.sealed
expect_ok
run inspect --json -k "$keys/other.pem" f.sealed
json_is "$out" "d['meta'] == {'name': 'keep', 'type': None, 'annotations': {'k': 'v \"w\"'}}" "d['generation'] == 3"
run rewrap -q -k "$keys/other.pem" --to "$seal_key" f.sealed
expect_ok
run inspect --json -k "$open_key" f.sealed
json_is "$out" "d['meta']['name'] == 'keep'" "d['generation'] == 4"

# ---- Hostile text ----

title="a name chooses no output"
fresh
sample f 100
mkdir folder
run seal -k "$seal_key" --name ../../taken -o folder/blob.sealed f
expect_ok
(cd folder && "$blobseal" open -k "$open_key" blob.sealed) 2>"$err"
check "the output is named after the input" test -e folder/blob
run inspect --json -k "$open_key" folder/blob.sealed
json_is "$out" "d['meta']['name'] == '../../taken'"

title="a terminal obeys nothing of it"
evil=$'\e[31mred\a\r\n\x7f\xc2\x9b2J\xc2\x85'
run seal -f -k "$seal_key" --name "$evil" --annotation "$evil=$evil" f
expect_ok
for arguments in "inspect" "inspect --json" "verify --json" "open --json -f -o back"; do
    # shellcheck disable=SC2086
    run $arguments -k "$open_key" f.sealed
    expect_code 0
    check "$arguments prints no control character" \
        "$python" -c 'import sys; sys.exit(any(c < " " and c != "\n" or "\x7f" <= c < "\xa0" for c in sys.stdin.read()))' <"$out"
done
run inspect --json -k "$open_key" f.sealed
json_is "$out" "d['meta']['name'] == '\x1b[31mred\x07\r\n\x7f\x9b2J\x85'" "d['meta']['annotations'] == {d['meta']['name']: d['meta']['name']}"
run inspect -k "$open_key" f.sealed
expect_stdout '^name +\?\[31mred'

title="characters"
name=$(printf 'gr\xc3\xbc\xc3\x9fe "x" \\ \xe6\x97\xa5 \xf0\x9f\x94\x91')
run seal -f -k "$seal_key" --name "$name" f
expect_ok
run inspect --json -k "$open_key" f.sealed
json_is "$out" "d['meta']['name'] == 'gr\u00fc\u00dfe \"x\" \\\\ \u65e5 \U0001f511'"
run inspect -k "$open_key" f.sealed
check "text shows it as it is" grep -qF "$name" "$out"

# ---- Errors and limits ----

fresh "refusals"
sample f 100
while IFS='|' read -r exit_code name words arguments; do
    title="seal $arguments"
    # shellcheck disable=SC2086
    run seal -k "$seal_key" $arguments f
    expect_error "$exit_code" "$name" "$words"
    no_leftovers f
done <<END_OF_CASES
2|E-ARG|not a media type: text|--type text
2|E-ARG|not a media type|--type text/plain;charset=utf-8
2|E-ARG|not a media type|--type text/
2|E-ARG|two annotations have the same name: a|--annotation a=1 --annotation a=2
2|E-USAGE|NAME=VALUE, not a|--annotation a
2|E-USAGE|NAME=VALUE, not =a|--annotation =a
END_OF_CASES
title="bytes that are not UTF-8"
run seal -k "$seal_key" --name $'\xff' f
expect_error 2 E-ARG "UTF-8"
run seal -k "$seal_key" --annotation a=$'\xe2\x82' f
expect_error 2 E-ARG "UTF-8"
title="an empty name"
run seal -k "$seal_key" --name "" f
expect_error 2 E-ARG "the name is empty"

title="limits"
many=()
for ((i = 0; i < 64; i++)); do many+=(--annotation "$i="); done
run seal -k "$seal_key" "${many[@]}" f
expect_ok
run inspect --json -k "$open_key" f.sealed
json_is "$out" "list(d['meta']['annotations']) == [str(i) for i in range(64)]"
run seal -f -k "$seal_key" "${many[@]}" --annotation x=y f
expect_error 2 E-USAGE "at most 64"
longest=$(printf 'n%.0s' {1..4085}) # {"name":""} takes the other 11 bytes
run seal -f -k "$seal_key" --name "$longest" f
expect_ok
run inspect -k "$open_key" f.sealed
check "the longest name is shown whole" grep -qxF "name         $longest" "$out"
run seal -f -k "$seal_key" --name "n$longest" f
expect_error 10 E-POLICY "more than 4096 bytes"

title="room in a slot"
run seal -f -k "$seal_key" --name "$longest" --slot-size 4096 f
expect_error 10 E-POLICY "does not fit a slot of 4096 bytes"
run seal -f -k "$seal_key" --name "$longest" --slot-size 12288 f
expect_ok
for ((i = 0; i < 20; i++)); do
    printf '%s\n' -k "$keys/many$i.pub.pem"
    make_key "many$i"
done >many_keys
mapfile -t many <many_keys
run seal -f "${many[@]}" --name "$longest" --slot-size 12288 f
expect_error 10 E-POLICY "does not fit a slot"
sample big 5000000
run seal -f "${many[@]}" --name "$longest" big
expect_ok
run inspect --json -k "$keys/many19.pem" big.sealed
json_is "$out" "d['layout'] == 'ab' and d['slot_capacity'] > 8192" "len(d['recipients']) == 20" "d['meta']['name'] == '$longest'"

title="-o and --force keep nothing of an older blob"
run seal -f -k "$seal_key" f
run inspect --json -k "$open_key" f.sealed
json_is "$out" "$none"

finish
