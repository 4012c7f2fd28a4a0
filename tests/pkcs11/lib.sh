# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Tokens for the scripts of this folder. Each script makes its own, in its temporary folder.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../cli/lib.sh"

need_provider() { # the program must have the provider, which depends on how it was built
    run key show pkcs11:token=none
    if grep -q "this build has no provider" "$err"; then
        lacks "a build with p11-kit"
    fi
}

find_module() { # find_module NAME: print the path of an installed module
    local folder
    for folder in /usr/lib/softhsm /usr/lib/*/softhsm /usr/lib/*/pkcs11 /usr/lib/pkcs11 /usr/lib/*/opencryptoki \
        /usr/local/lib /usr/local/lib/softhsm; do
        if [ -e "$folder/$1" ]; then
            echo "$folder/$1"
            return 0
        fi
    done
    return 1
}

write_pin() { # write_pin FILE PIN: make a file with a PIN that only its owner can read
    (umask 077 && printf '%s\n' "$2" >"$1")
}

# softhsm_start: make a folder for SoftHSM's tokens, and set $module. SoftHSM 2.6 has OAEP with SHA-1 only.
softhsm_start() {
    need softhsm2-util pkcs11-tool
    module=$(find_module libsofthsm2.so) || lacks "the module of SoftHSM 2"
    mkdir -p "$tmp/softhsm/tokens"
    export SOFTHSM2_CONF=$tmp/softhsm/softhsm2.conf
    printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$tmp/softhsm/tokens" \
        >"$SOFTHSM2_CONF"
}

softhsm_token() { # softhsm_token LABEL PIN: make a token
    softhsm2-util --init-token --free --label "$1" --so-pin 87654321 --pin "$2" >/dev/null
}

token_key() { # token_key TOKEN PIN LABEL ID [OPTION]...: make an RSA key in a token of $module
    local token=$1 pin=$2 label=$3 id=$4
    shift 4
    pkcs11-tool --module "$module" --token-label "$token" --login --pin "$pin" --keypairgen --label "$label" \
        --id "$id" "${@:---key-type=rsa:2048}" >/dev/null 2>&1
}

token_public() { # token_public TOKEN LABEL FILE: write the public key in PEM
    pkcs11-tool --module "$module" --token-label "$1" --read-object --type pubkey --label "$2" -o "$3.der" \
        >/dev/null 2>&1 && openssl pkey -pubin -inform DER -in "$3.der" -out "$3" 2>/dev/null
}

opens_in_part_and_verifies() { # opens_in_part_and_verifies KEY: a range of in.sealed and all of it, the blob of `in`
    run open -k "$1" --range 777:1000 -o range in.sealed
    expect_ok
    check "the range is the same" cmp -s range <(tail -c +778 in | head -c 1000)
    run verify -k "$1" in.sealed
    expect_ok
}

damage_wrapped_key() { # damage_wrapped_key FROM TO: copy an envelope, with one bit changed in its first wrapped key
    python3 - "$1" "$2" <<'PY'
import base64, json, sys
e = json.load(open(sys.argv[1]))
r = (e.get("recipients") or [e])[0]
k = bytearray(base64.urlsafe_b64decode(r["encrypted_key"] + "=="))
k[100] ^= 1
r["encrypted_key"] = base64.urlsafe_b64encode(k).rstrip(b"=").decode()
json.dump(e, open(sys.argv[2], "w"), separators=(",", ":"))
PY
}
