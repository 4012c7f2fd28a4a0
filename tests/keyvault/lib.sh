# shellcheck shell=bash disable=SC2034,SC2154 # variables of the script that sources this
# SPDX-License-Identifier: Apache-2.0
# A fake vault for scripts: source this after tests/cli/lib.sh, then call start_vault.
#
#   start_vault                   $vault is its host and port, $vault_ca its CA, $vault_dir its folder
#   vault COMMAND [NAME=VALUE]... control it: see do_* in fake_vault.py; a value is JSON, or else text; prints the answer
#   vault_count NAME=VALUE...     print how many requests there were with these members

keyvault=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

start_vault() {
    python3 -c 'import cryptography' 2>/dev/null || lacks "python3-cryptography"
    vault_dir=$(mktemp -d "$tmp/vault.XXXXXX")
    # The descriptor stays open in this shell, and the vault ends with it.
    exec {vault_stdin}> >(exec python3 "$keyvault/fake_vault.py" "$vault_dir" 2>"$vault_dir/log")
    wait_until test -e "$vault_dir/ports" || {
        cat "$vault_dir/log" >&2
        echo "FAIL: the fake vault does not start" >&2
        exit 1
    }
    local https http control
    # shellcheck disable=SC1091 # it is made when the test runs
    . "$vault_dir/ports"
    vault_port=$https vault_http=$http vault_control=$control
    vault=localhost:$vault_port
    vault_ca=$vault_dir/ca.pem
}

stop_vault() {
    exec {vault_stdin}>&-
}

vault_json() { # vault_json NAME=VALUE...: print a JSON object
    local pair value text=
    for pair; do
        value=${pair#*=}
        case $value in
        [0-9-]* | '{'* | '['* | '"'* | true | false | null)
            [[ $value =~ ^-?[0-9]+$ || ! $value =~ ^[0-9-] ]] || value="\"$value\"" ;;
        *) value="\"$value\"" ;;
        esac
        text="$text${text:+,}\"${pair%%=*}\":$value"
    done
    printf '{%s}' "$text"
}

vault() { # vault COMMAND [NAME=VALUE]...
    local body connection line
    body=$(vault_json "${@:2}")
    exec {connection}<>"/dev/tcp/127.0.0.1/$vault_control"
    printf 'POST /%s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s' "$1" ${#body} "$body" \
        >&"$connection"
    IFS= read -r line <&"$connection"
    case $line in
    *' 200 '*) ;;
    *) echo "FAIL: vault $*: $line $(cat <&"$connection")" >&2 ;;
    esac
    while IFS= read -r line && [ "$line" != $'\r' ]; do :; done <&"$connection"
    line=$(cat <&"$connection")
    exec {connection}>&-
    [ "$line" = '{}' ] || printf '%s\n' "$line"
}

vault_count() {
    local answer
    answer=$(vault count "$@")
    answer=${answer#*: }
    echo "${answer%\}*}"
}

vault_version() { # the version in the answer to create or rotate, on standard input
    sed 's/.*"version": "\([0-9a-f]*\)".*/\1/'
}
