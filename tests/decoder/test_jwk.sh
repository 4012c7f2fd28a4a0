#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# RSA keys as JSON Web Keys, made by jwcrypto, in the folder and in the payload; and those that have to be refused.
# shellcheck source=tests/decoder/lib.sh
. "$(dirname "$0")/lib.sh"
/usr/bin/python3 -c 'import jwcrypto' 2>/dev/null || lacks python3-jwcrypto
umask 077

/usr/bin/python3 "$root/tests/decoder/jwk.py" "$vectors/priv.pem" "$vectors/a.pem" jwk

payload_with() { # payload_with FILE...: make a payload that has these keys
    /usr/bin/python3 "$root/tests/decoder/with_keys.py" "$vectors/cri-small/payload.bin" "$@" >payload
}

# ---- Keys that can be used ----

for file in jwk/good/*; do
    title="$file in the folder"
    mkdir one
    mv "$file" one/
    decode cri-small --decryption-keys-path one
    expect_code 0
    plain_of cri-small
    expect_stderr ""
    title="$file in the payload"
    payload_with one/*
    payload=payload decode cri-small
    expect_code 0
    plain_of cri-small
    expect_stderr ""
    mv one/* jwk/good/
    rmdir one
done

title="a public key"
mkdir public
cp jwk/public.json public/
decode cri-small --decryption-keys-path public
expect_code 4
expect_stderr "hint: there is no key"
check "it needs no warning" test -z "$(grep warning "$err")"

title="a PEM key after a line in braces"
mkdir note
{
    echo "{the team's key}"
    cat "$vectors/priv.pem"
} >note/key.pem
decode cri-small --decryption-keys-path note
expect_code 0
expect_stderr ""

for bits in 3072 4096; do
    title="a key of $bits bits"
    openssl genrsa -out $bits.pem $bits 2>/dev/null
    /usr/bin/python3 "$root/tests/decoder/jwk.py" $bits.pem "$vectors/a.pem" $bits
    mkdir $bits.keys
    cp $bits/good/{jwcrypto,no-crt}.json $bits.keys/
    decode cri-small --decryption-keys-path $bits.keys
    expect_code 4
    expect_stderr "hint: list the recipients" # so there are keys, and the layer needs another
    check "they need no warning" test -z "$(grep warning "$err")"
done

# ---- Keys that are refused, each with a warning, and none hinders ----

number="has a member [a-z]+ that is not a number in base64url, or is too long"
damaged="is damaged: its numbers do not belong together"
text="is not well-formed JSON, or has a member twice"
why_of() { # why_of NAME: print what the warning says
    case $1 in
    lacks-kty | kty-object | deep-objects) echo "is JSON, but not a JSON Web Key|$text" ;;
    lacks-[ne]) echo "lacks one of the members n and e" ;;
    lacks-* | d-alone) echo "lacks one of its primes, the members p and q" ;;
    long-e | one-prime | other-* | zero-* | key-of-another-* | equal-primes | d-and-n) echo "$damaged" ;;
    e-3) echo "$damaged|has an unsafe public exponent" ;;
    null-* | empty-* | long-* | padded | not-url | stray-bits | space | number | list) echo "$number" ;;
    oth | many) echo "has more than two primes, which is not supported" ;;
    set) echo "is a set of JSON Web Keys: give each key a file of its own" ;;
    ec) echo "is an EC key, and an RSA key is needed" ;;
    okp | oct | kty-lower) echo "is not an RSA key, and an RSA key is needed" ;;
    small) echo "has 1024 bits: RSA keys of 2048, 3072 or 4096 bits are accepted" ;;
    long) echo "it is larger than 64 KiB" ;;
    *) echo "$text" ;;
    esac
}
sed 's/"p"/ "p"/' jwk/good/jwcrypto.json >jwk/bad/zz-good.json # the last one can be used
title="refused keys in the folder"
decode cri-small --decryption-keys-path jwk/bad
expect_code 0
plain_of cri-small
rm jwk/bad/zz-good.json
for file in jwk/bad/*; do
    name=${file##*/}
    title="$name is refused"
    check "a warning says why" grep -qE "^blobseal-ctd-decoder: warning: the key $file ($(why_of "${name%.json}"))" \
        <(sed -E 's/ (cannot be used: .* has|is left out: it) / has /; s/ has is / it is /' "$err")
done
check "each file has one warning" test "$(wc -l <"$err")" = "$(find jwk/bad -type f | wc -l)"
check "no warning repeats a key" test -z "$(grep -oE '[A-Za-z0-9_-]{40,}' "$err")"

title="refused keys in the payload"
payload_with jwk/bad/{twice-d,other-dp,zero-n,long-n,deep,oct,set}.json jwk/good/jwcrypto.json
payload=payload decode cri-small
expect_code 0
plain_of cri-small
check "each has one warning" test "$(grep -c 'warning: the key in the payload ' "$err")" = 7
payload_with jwk/bad/{twice-d,other-dp,zero-n,long-n,deep,oct,set}.json
payload=payload decode cri-small
expect_code 4
nothing

# ---- The text of a key is kept in memory for secrets only ----

if [ $sanitized = no ] && [ "$(id -u)" = 0 ] && part "a core file that a debugger writes" gcore; then
    mkdir one
    cp jwk/good/jwcrypto.json one/
    mkfifo layer
    exec 7<>layer
    "$decoder" --decryption-keys-path one <layer 3<"$vectors/cri-small/payload.bin" >"$out" 2>"$err" 7>&- &
    id=$!
    # shellcheck disable=SC2317 # wait_until calls it
    waits() { # true if it has its file for the ciphertext, which it makes after it has read the keys
        find "/proc/$id/fd" -lname '*(deleted)' 2>/dev/null | grep -q .
    }
    check "it waits for the layer" wait_until waits
    if gcore -o core "$id" >/dev/null 2>&1 && [ -s "core.$id" ]; then
        check "the core file is that of the program" grep -qaF "decryption-keys-path" "core.$id"
        for name in d p q dp dq qi; do
            value=$(sed -E 's/.*"'$name'": ?"([^"]*)".*/\1/' one/jwcrypto.json)
            check "$name is known" test ${#value} -gt 100
            for part in "${value:0:32}" "${value:64:32}"; do
                check "$name is not in it" test -z "$(grep -oaF -- "$part" "core.$id" | head -n 1)"
            done
        done
    else
        part_lacks "the right to trace"
    fi
    cat "$vectors/cri-small/stdin.bin" >&7
    exec 7>&-
    wait $id
    code=$?
    expect_code 0
    plain_of cri-small
fi
finish
