#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The configuration: which files are read, which value wins, what is refused, and keys by their names.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

make_key kek
make_key other
sample in 5000
cp "$keys"/* .
[ ! -e /etc/blobseal/config.json ] || skip "this machine has a configuration"

# ---- Which files are read, and which value wins ----

fresh "no configuration"
run config show
expect_ok
expect_stdout '^# /etc/blobseal/config.json: not there$'
expect_stdout "^# $tmp/no-configuration/blobseal/config.json: not there$"
expect_stdout '^limits.request_timeout_s = 20  \(default\)$'
expect_stdout '^audit_required = true  \(default\)$'
run config show -q
expect_ok
expect_stdout ""

fresh "the files in their order"
export XDG_CONFIG_HOME=$PWD/xdg
mkdir -p xdg/blobseal home/.config/blobseal
cat >xdg/blobseal/config.json <<END
{"keks": {"a": "$tmp/kek.pem", "b": "$tmp/kek.pem"},
 "pkcs11": {"modules": ["/user.so"]},
 "limits": {"deadline_s": 10, "request_timeout_s": 11}}
END
cat >env.json <<END
{"keks": {"b": "$tmp/other.pem"},
 "limits": {"deadline_s": 20}}
END
echo '{"limits": {"deadline_s": 30}}' >option.json
run config show -q
expect_ok
expect_stdout "^keks.a = \"$tmp/kek.pem\"  \($PWD/xdg/blobseal/config.json:1\)$"
expect_stdout "^limits.deadline_s = 10  \($PWD/xdg/blobseal/config.json:3\)$"
export BLOBSEAL_CONFIG=env.json
run config show -q
expect_ok
expect_stdout "^keks.a = \"$tmp/kek.pem\"  \($PWD/xdg/blobseal/config.json:1\)$"
expect_stdout "^keks.b = \"$tmp/other.pem\"  \(env.json:1\)$"
expect_stdout "^pkcs11.modules\[0\] = \"/user.so\"  \(.*config.json:2\)$"
expect_stdout "^limits.deadline_s = 20  \(env.json:2\)$"
expect_stdout "^limits.request_timeout_s = 11  \(.*config.json:3\)$"
run config show -q --config option.json
expect_ok
expect_stdout "^limits.deadline_s = 30  \(option.json:1\)$"
expect_stdout "^keks.b = \"$tmp/kek.pem\"  \(.*config.json:1\)$"
unset BLOBSEAL_CONFIG
title="the folder of the user"
cp option.json home/.config/blobseal/config.json
try env -u XDG_CONFIG_HOME HOME="$PWD/home" "$blobseal" config show -q
expect_ok
expect_stdout "^limits.deadline_s = 30  \($PWD/home/.config/blobseal/config.json:1\)$"
try env XDG_CONFIG_HOME=relative HOME="$PWD/home" "$blobseal" config show -q
expect_stdout "^limits.deadline_s = 30"
try env -u XDG_CONFIG_HOME -u HOME "$blobseal" config show -q
expect_ok
expect_stdout ""
title="the file of the machine"
# shellcheck disable=SC2016 # the inner shell expands it
if can_mount; then
    try "${isolated[@]}" sh -c 'mount -t tmpfs none /etc && mkdir /etc/blobseal && umask 022 &&
        echo "{\"limits\": {\"deadline_s\": 40, \"poll_interval_s\": 60}}" >/etc/blobseal/config.json &&
        "$1" config show -q' - "$blobseal"
    expect_ok
    expect_stdout "^limits.deadline_s = 10  "
    expect_stdout "^limits.poll_interval_s = 60  \(/etc/blobseal/config.json:1\)$"
else
    part_lacks "the right to mount"
fi

title="as JSON"
if part "$title" python3; then
    run config show --json --config env.json
    expect_ok
    json_is "$out" "list(d) == ['schema', 'files', 'values']" "d['schema'] == 'blobseal.config/1'" \
        "[f['read'] for f in d['files']] == [False, True, True]" "d['files'][2]['file'] == 'env.json'" \
        "all(list(v) == ['member', 'value', 'file', 'line', 'default'] for v in d['values'])" \
        "[v for v in d['values'] if v['member'] == 'limits.deadline_s'] == [{'member': 'limits.deadline_s', 'value': 20, \
'file': 'env.json', 'line': 2, 'default': False}]" \
        "[v['value'] for v in d['values'] if v['member'] == 'audit_required'] == [True]" \
        "[v for v in d['values'] if v['member'] == 'pkcs11.oaep'] == [{'member': 'pkcs11.oaep', 'value': 'sha256', \
'file': None, 'line': None, 'default': True}]"
fi
unset XDG_CONFIG_HOME
export XDG_CONFIG_HOME=$tmp/no-configuration

# ---- What is refused ----

fresh "files that are not valid"
# expect_refused TEXT LINE PATTERN: `config show` and `seal` refuse a file
expect_refused() {
    printf '%s' "$1" >bad.json
    run config show --config bad.json
    expect_error 2 E-CONFIG "bad.json, line $2: .*$3"
    run seal --config bad.json -k "$tmp/kek.pub.pem" -o new "$tmp/in"
    expect_error 2 E-CONFIG "bad.json, line $2: .*$3"
}
expect_refused $'{\n"limit": {}}' 2 'no member "limit"'
expect_stderr 'hint: did you mean "limits"'
expect_refused $'{"limits": {\n"deadline_s": "5"}}' 2 'limits.deadline_s must be a number of seconds from 1 to 3600'
expect_refused $'{"sets_dir": "/a",\n\n"sets_dir": "/b"}' 3 '"sets_dir" appears twice'
expect_refused $'{"sets_dir": "/a",\n}' 2 'not valid JSON at the character }'
expect_refused '' 1 'a configuration is a JSON object'
expect_refused $'{"identities": {\n"a": {"type": "client-secret",\n"client_secret": "hush"}}}' 3 'would be a secret'
check "and the secret is not shown" test -z "$(cat "$out" "$err" | grep hush)"
expect_refused $'{"vaults": [\n{"host": "a", "identity": "i"}]}' 2 'names "i", which is not in "identities"'
expect_refused $'{"oci": {"keys": [\n"k"]}}' 2 'names "k", which is not in "keks"'
no_leftovers bad.json
title="an error as JSON"
if part "$title" python3; then
    run config show --json --config bad.json
    json_is "$out" "d['schema'] == 'blobseal.error/1'" "d['code'] == 'E-CONFIG' and d['exit'] == 2" \
        "'bad.json, line 2' in d['message']"
fi

title="files that are not there"
run config show --config missing.json
expect_error 2 E-CONFIG "missing.json: No such file"
BLOBSEAL_CONFIG=missing.json run seal -k "$tmp/kek.pub.pem" -o new "$tmp/in"
expect_error 2 E-CONFIG "missing.json: No such file"
BLOBSEAL_CONFIG='' run config show -q
expect_ok
run config show --config .
expect_error 2 E-CONFIG "it is not a file"
mkfifo pipe
run config show --config pipe
expect_error 2 E-CONFIG "it is not a file"
(echo '{'; head -c 300000 /dev/zero | tr '\0' ' '; echo '}') >large.json
run config show --config large.json
expect_error 2 E-CONFIG "it is larger than 256 KiB"
title="verbs that use no key need no configuration"
run scrub --config missing.json .
expect_error 2 E-USAGE "unknown option"
BLOBSEAL_CONFIG=missing.json run completion bash
expect_ok

title="words after the verb"
run config
expect_error 2 E-USAGE "config is followed by show"
run config list
expect_error 2 E-USAGE "config is followed by show, not"
run config show x
expect_error 2 E-USAGE "takes no file"

# ---- Files that others can change ----

fresh "files that others can change"
echo '{}' >mine.json
for mode in 0620 0602 0666 0664; do
    chmod $mode mine.json
    run config show --config mine.json
    expect_error 10 E-POLICY "can write it"
    expect_stderr "hint: .*chmod go-w mine.json"
done
for mode in 0644 0600 0400; do
    chmod $mode mine.json
    run config show --config mine.json
    expect_code 0
done
title="a folder in which everybody can rename files"
mkdir open
cp mine.json open
chmod 777 open
run config show --config open/mine.json
expect_error 10 E-POLICY "everybody can replace files in its folder"
expect_stderr "hint: chmod o-w the folder of open/mine.json"
cd open || exit 1
run config show --config mine.json
expect_error 10 E-POLICY "everybody can replace files in its folder"
cd ..
chmod 1777 open
run config show --config open/mine.json
expect_code 0
title="a file of another user"
if [ "$(id -u)" = 0 ] && have_user; then
    chmod 755 .
    cp mine.json roots.json
    cp mine.json users.json
    chmod 644 roots.json users.json
    chown 65534 users.json
    run config show --config users.json
    expect_error 10 E-POLICY "belongs to another user"
    run_as_user config show --config users.json
    expect_code 0
    run_as_user config show --config roots.json
    expect_code 0
    chmod 600 roots.json
    run_as_user config show --config roots.json
    expect_error 2 E-CONFIG "roots.json: Permission denied"
    title="a folder that the user cannot enter is none of theirs"
    mkdir -m 700 closed
    try env XDG_CONFIG_HOME="$PWD/closed" "${ordinary[@]}" config show -q
    expect_ok
fi

# ---- Keys by their names ----

fresh "key:NAME"
cp "$tmp/in" .
cat >c.json <<END
{"keks": {"team": "$tmp/kek.pem", "pub": "file:$tmp/kek.pub.pem", "next": "$tmp/other.pem", "lost": "/no/such/key",
          "odd": "mem:1"}}
END
export BLOBSEAL_CONFIG=$PWD/c.json
run seal -k key:pub in
expect_ok
run open -k key:team -o out in.sealed
expect_ok
check "the content is the same" cmp -s in out
run rewrap -k key:team --to key:next in.sealed
expect_code 0
BLOBSEAL_KEK=key:next run verify -q in.sealed
expect_ok
run recipients add -k key:next --to key:pub in.sealed
expect_code 0
run recipients remove -k key:next --kid key:team in.sealed
expect_code 0
run key show -q key:team
expect_ok
cp "$out" kid
run key show -q "$tmp/kek.pem"
expect_same "$out" kid
run doctor -k key:team
expect_code 0
echo key:pub >list
run seal -R list -o listed.sealed in
expect_ok
run inspect -k key:team listed.sealed
expect_code 0

title="names that are not there"
run open -k key:nobody -o x in.sealed
expect_error 2 E-CONFIG "no key named nobody"
run open -k key: -o x in.sealed
expect_error 2 E-CONFIG "no key named "
BLOBSEAL_CONFIG='' run open -k key:team -o x in.sealed
expect_error 2 E-CONFIG "no key named team"
run open -k key:lost -o x in.sealed
expect_error 7 E-INPUT "/no/such/key"
run open -k key:odd -o x in.sealed
expect_error 2 E-CONFIG "c.json, line 2: the path of the key \"odd\" must be absolute"
cp in key:team
run open -k file:key:team -o x in.sealed
expect_code 2
expect_stderr "read the key key:team"
rm key:team

title="no output is the configuration, or a key that it names"
run seal -k key:pub -o c.json --force in
expect_error 6 E-EXISTS "the configuration"
cp "$tmp/kek.pub.pem" .
echo "{\"keks\": {\"pub\": \"$PWD/kek.pub.pem\"}}" >d.json
run seal --config d.json -k key:pub -o kek.pub.pem --force in
expect_error 6 E-EXISTS "a key"
unset BLOBSEAL_CONFIG

title="a passphrase for a key with a name"
"$blobseal" keygen -q --rsa 2048 -o "$tmp/locked.pem" --passphrase-file <(echo hush)
echo "{\"keks\": {\"locked\": \"$tmp/locked.pem\"}}" >d.json
(umask 077 && echo hush >word)
run key show -q key:locked --config d.json
expect_code 2
run seal --config d.json -k key:locked --passphrase-file word -o locked.sealed in
expect_ok
run open --config d.json -k key:locked --passphrase-file word -o locked.out locked.sealed
expect_ok
check "the content is the same" cmp -s in locked.out
finish
