#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2015,SC2016 # one-line choices; scripts for sh -c expand there
# Envelopes against two other JOSE libraries, in both directions: python3-jwcrypto and npm jose open ours, we open
# theirs.
set -u
cd "$(dirname "$0")" || exit 1
: "${BLOBSEAL:=$PWD/../../build/release/blobseal}"
: "${OPEN_JWE:=$PWD/../../build/release/tests/open_jwe}"
passed=0 failed=0

skip() {
    echo "skipped: needs $1"
    [ "${CI:-}" = true ] && exit 1
    exit 77
}
/usr/bin/python3 -c 'import jwcrypto' 2>/dev/null || skip python3-jwcrypto
command -v node >/dev/null || skip Node.js
[ -d node_modules/jose ] || skip "npm ci --prefix tests/interop"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
check() { # check NAME COMMAND...
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $name"
    fi
}
same() { cmp -s "$1" "$2"; }

"$BLOBSEAL" keygen -q --rsa 2048 -o "$tmp/a.pem" --pub "$tmp/a.pub" || exit 1
"$BLOBSEAL" keygen -q --rsa 3072 -o "$tmp/b.pem" --pub "$tmp/b.pub" || exit 1
kid() { "$BLOBSEAL" inspect --json "$1" | /usr/bin/python3 -c 'import json,sys; print(json.load(sys.stdin)["recipients"][0]["kid"])'; }
head -c 100000 /dev/urandom >"$tmp/plain"
"$BLOBSEAL" seal -q -k "$tmp/a.pub" -o "$tmp/a.blob" "$tmp/plain" && kid_a=$(kid "$tmp/a.blob")
"$BLOBSEAL" seal -q -k "$tmp/b.pub" -o "$tmp/b.blob" "$tmp/plain" && kid_b=$(kid "$tmp/b.blob")

jwk_is_right() { # check only the members of the JWK; recover.py checks that its DEK opens the blob
    /usr/bin/python3 -c 'import json,sys; j = json.load(open(sys.argv[1])); sys.exit(set(j) != {"kty","k","kid","hdr"} or j["kty"] != "oct")' "$1"
}

# ---- They open ours ----
for oaep in sha256 sha1; do
    for keys in a b "a b"; do
        args=()
        for k in $keys; do args+=(-k "$tmp/$k.pub"); done
        "$BLOBSEAL" seal -q -f --oaep $oaep "${args[@]}" -o "$tmp/blob" "$tmp/plain"
        "$BLOBSEAL" inspect --jwe "$tmp/blob" >"$tmp/jwe"
        for k in $keys; do
            check "jose opens ours ($oaep, $keys, $k)" sh -c 'node jose.mjs open "$1" <"$2" >"$3"' - "$tmp/$k.pem" "$tmp/jwe" "$tmp/jwk1"
            check "jwcrypto opens ours ($oaep, $keys, $k)" sh -c './jwcrypto_tool.py open "$1" <"$2" >"$3"' - "$tmp/$k.pem" "$tmp/jwe" "$tmp/jwk2"
            check "both find the same key" same "$tmp/jwk1" "$tmp/jwk2"
            check "it is the JWK of FORMAT.md 4.4" jwk_is_right "$tmp/jwk1"
        done
    done
done

# ---- We open theirs: bare JWEs ----
printf 'content of some length, not a multiple of anything' >"$tmp/content"
for alg in RSA-OAEP-256 RSA-OAEP; do
    for keys in a b "a b" "b a"; do
        args=()
        for k in $keys; do args+=("$k=$tmp/$k.pub"); done
        node jose.mjs seal $alg "${args[@]}" <"$tmp/content" >"$tmp/theirs1"
        ./jwcrypto_tool.py seal $alg "${args[@]}" <"$tmp/content" >"$tmp/theirs2"
        for k in $keys; do
            for theirs in theirs1 theirs2; do
                "$OPEN_JWE" "$tmp/$k.pem" <"$tmp/$theirs" >"$tmp/ours"
                check "we open $theirs ($alg, $keys, $k)" same "$tmp/ours" "$tmp/content"
            done
        done
    done
done

# ---- We open an envelope that jose wrote for a blob of ours ----
"$BLOBSEAL" seal -q -f -k "$tmp/a.pub" --detached "$tmp/one.jwe" -o "$tmp/core" "$tmp/plain"
for recipients in "a" "b" "b a"; do
    args=()
    for k in $recipients; do
        [ "$k" = a ] && args+=("$kid_a=$tmp/a.pub") || args+=("$kid_b=$tmp/b.pub")
    done
    node jose.mjs envelope "$tmp/a.pem" "${args[@]}" <"$tmp/one.jwe" >"$tmp/new.jwe"
    for k in $recipients; do
        "$BLOBSEAL" open -q -f -k "$tmp/$k.pem" --envelope "$tmp/new.jwe" -o "$tmp/out" "$tmp/core"
        check "an envelope by jose opens the blob ($recipients, $k)" same "$tmp/out" "$tmp/plain"
    done
done

# ---- They open recipients with keys of a set, and the object of the set ----
vectors=../vectors/format
set_id=$(/usr/bin/python3 -c 'import ref_set, ref_files
print(ref_set.b64url_encode(ref_set.claimed_id(ref_files.read_file("../vectors/format/set1.jwe"))))')
./ref_set.py show $vectors/kek1.pem "$set_id" $vectors/set1.jwe >"$tmp/set.json"
for number in 0 -1; do
    name=$([ $number = 0 ] && echo ok-set-first || echo ok-set-newest)
    ./blobseal_ref.py unpack "$tmp" "$vectors/$name.vec" && "$BLOBSEAL" inspect --jwe "$tmp/$name.blob" >"$tmp/jwe"
    /usr/bin/python3 -c 'import json,sys
print(json.dumps(json.load(open(sys.argv[1]))["keys"][int(sys.argv[2])]))' "$tmp/set.json" $number >"$tmp/key.json"
    check "jose opens $name" sh -c 'node jose.mjs open "$1" <"$2" >"$3"' - "$tmp/key.json" "$tmp/jwe" "$tmp/jwk1"
    check "jwcrypto opens $name" sh -c './jwcrypto_tool.py open "$1" <"$2" >"$3"' - "$tmp/key.json" "$tmp/jwe" "$tmp/jwk2"
    check "both find the same key of $name" same "$tmp/jwk1" "$tmp/jwk2"
    check "it is the JWK of FORMAT.md 4.4" jwk_is_right "$tmp/jwk1"
done
check "jose opens the set" sh -c 'node jose.mjs open "$1" <"$2" >"$3"' - $vectors/kek1.pem $vectors/set1.jwe "$tmp/set1"
check "jwcrypto opens the set" sh -c './jwcrypto_tool.py open "$1" <"$2" >"$3"' - $vectors/kek1.pem $vectors/set1.jwe "$tmp/set2"
check "both find the same set" same "$tmp/set1" "$tmp/set2"
check "it has four keys" [ "$(grep -o '"kid":"blobseal-set:' "$tmp/set1" | wc -l)" = 4 ]

echo "$passed passed, $failed failed"
[ $failed = 0 ]
