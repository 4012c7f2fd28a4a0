# shellcheck shell=bash disable=SC2034,SC2154 # variables of the script that sources this
# SPDX-License-Identifier: Apache-2.0
# Programs that run for a long time, see set_client.c: source this after tests/keyvault/lib.sh.
#
#   start_client NAME CONFIG REFERENCE [VARIABLE=VALUE]...   start one
#   tell NAME COMMAND [FILE]                                 send a command, without waiting for the answer
#   hear NAME                                                set $reply to the answer
#   expect NAME COMMAND [FILE] PATTERN                       send a command, and check the answer
#   stop_client NAME                                         let it end, and check that it does so without an error

set_client=${SET_CLIENT:-$(dirname "$blobseal")/tests/set_client}
[ -x "$set_client" ] || lacks "the program set_client, which is built with the tests"
declare -A to_client from_client client_id
trap '' PIPE # a client that ended has no answer

hear() {
    reply=
    IFS= read -r -t "$hang_limit" reply <&"${from_client[$1]}" || reply="no answer"
}

tell() {
    { echo "${*:2}" >&"${to_client[$1]}"; } 2>/dev/null
}

start_client() {
    local to from
    mkfifo "$tmp/to.$1" "$tmp/from.$1"
    env BLOBSEAL_CONFIG="$2" "${@:4}" "$set_client" "$3" <"$tmp/to.$1" >"$tmp/from.$1" 2>>"$err" &
    client_id[$1]=$!
    exec {to}>"$tmp/to.$1" {from}<"$tmp/from.$1"
    to_client[$1]=$to from_client[$1]=$from
    hear "$1"
    [ "$reply" = OK ] || fail "start $1: $reply"
}

expect() {
    local pattern=${*: -1}
    tell "${@:1:$#-1}"
    hear "$1"
    last=" $*"
    if [[ $reply =~ $pattern ]]; then pass; else fail "$1 answered: $reply"; fi
}

stop_client() {
    tell "$1" end
    wait "${client_id[$1]}"
    code=$?
    expect_code 0
    local to=${to_client[$1]} from=${from_client[$1]}
    exec {to}>&- {from}<&-
    rm "$tmp/to.$1" "$tmp/from.$1"
}
