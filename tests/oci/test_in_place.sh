#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Images that are changed in place: whatever happens, the layout holds the old or the new image; other images of the
# layout stay; what is left over is removed by the next change. BLOBSEAL_TEST_TIER=campaign kills at every system call.
# shellcheck source=tests/oci/lib.sh
. "$(dirname "$0")/lib.sh"

need jq
make_key one
make_key two

# whole NAME DIGEST...: the image has one of these digests, or is encrypted, and all that it names is there and right
whole() {
    local name=$1 digest
    shift
    digest=$(digest_of "layout:$name")
    check "index.json is there" test -n "$digest"
    [[ " $* " != *" $digest "* ]] || {
        run oci decrypt -q -k "$keys/one.pem" -o check:1 "layout:$name" # which verifies what it copies
        expect_code 0
        rm -rf check
        return
    }
    run oci inspect -q --expect-encrypted "layout:$name"
    expect_code 0
}

# ---- Other images of the layout ----

fresh "two images that share layers"
image layout:a --layers gzip,gzip,gzip
image layout:b --layers gzip,gzip,zstd
b=$(digest_of layout:b)
find layout/blobs -type f | sort >before
run oci encrypt -k "$keys/one.pub.pem" layout:a
expect_code 0
expect_stdout "removed 2 blobs" # the manifest, and the layer that the other image does not have
check "the other image is the same" test "$(digest_of layout:b)" = "$b"
run oci decrypt -q -k "$keys/one.pem" -o b:b layout:b
expect_code 0
run oci inspect layout
expect_error 2 E-CONFIG "2 images"
expect_stderr "hint: names in this layout: (a, b|b, a)"
run oci inspect layout:c
expect_error 2 E-CONFIG "no image with the name c"
run oci decrypt -k "$keys/one.pem" layout:a
expect_code 0
check "everything is as before" diff before <(find layout/blobs -type f | sort)

title="into another image of the same layout"
run oci encrypt -k "$keys/one.pub.pem" -o layout:b layout:a
expect_error 6 E-EXISTS
run oci encrypt -k "$keys/one.pub.pem" -o layout:c layout:a
expect_code 0
run oci inspect --expect-encrypted layout:c
expect_code 0
check "a stays" test "$(jq '.manifests | length' layout/index.json)" = 3
run oci encrypt -k "$keys/two.pub.pem" -f -o layout:c layout:b
expect_code 0
run oci decrypt -k "$keys/two.pem" -o c:c layout:c
expect_code 0
check "c is now b" test "$(digest_of c:c)" = "$b"

title="into another layout that exists"
image other:x --layers gzip
run oci encrypt -k "$keys/one.pub.pem" -o other:a layout:a
expect_code 0
check "both are there" test "$(jq '.manifests | length' other/index.json)" = 2
mkdir folder
run oci encrypt -k "$keys/one.pub.pem" -o folder:1 layout:a
expect_error 6 E-EXISTS

title="selected layers"
for list in 0 -1 1,0 0,0; do
    run oci encrypt --layers "$list" -k "$keys/one.pub.pem" -o "some$list:1" layout:a
    expect_code 0
done
check "the first" test "$(document some0 "$(digest_of some0:1)" | jq -c '[.layers[].mediaType | endswith("encrypted")]')" = "[true,false,false]"
check "the last" test "$(document some-1 "$(digest_of some-1:1)" | jq -c '[.layers[].mediaType | endswith("encrypted")]')" = "[false,false,true]"
for list in 3 -4 0,9 x "" "0," ",0" 0x1 99999999999; do
    run oci encrypt "--layers=$list" -k "$keys/one.pub.pem" -o none:1 layout:a
    expect_error 2 E-CONFIG
done
run oci encrypt --all-but-base layout:b -k "$keys/one.pub.pem" -o none:1 layout:a
expect_error 2 E-CONFIG "does not start with the layers of the base"
image base:1 --layers gzip,gzip
run oci encrypt --all-but-base base -k "$keys/one.pub.pem" -o above:1 layout:a
expect_code 0
check "all but the base" test "$(document above "$(digest_of above:1)" | jq -c '[.layers[].mediaType | endswith("encrypted")]')" = "[false,false,true]"
run oci inspect --expect-encrypted above
expect_code 10
run oci encrypt -k "$keys/one.pub.pem" -o none:1 above
expect_error 10 E-POLICY "layer 2 .*already encrypted"
image index:1 --kind index --layers gzip,gzip
run oci encrypt --platform linux/arm64 -k "$keys/one.pub.pem" -o arm:1 index:1
expect_code 0
run oci inspect --json arm:1
check "one platform, and what it shares" test "$(jq -c '[.layers[].encrypted]' "$out")" = "[true,false,true,true]"
run oci encrypt --platform linux/mips -k "$keys/one.pub.pem" -o none:1 index:1
expect_error 2 E-CONFIG
check "nothing was left" test ! -e none

# ---- Two at once ----

fresh "a layout that is being changed"
image layout:1 --layers gzip
exec 8<layout
flock 8
run oci encrypt -k "$keys/one.pub.pem" layout
expect_error 6 E-EXISTS "another process"
exec 8<&-
run oci encrypt -k "$keys/one.pub.pem" layout
expect_code 0

# ---- A signal ----

fresh "stopped by a signal"
image layout:1 --layers tar,tar --size 40000000
before=$(digest_of layout:1)
: >begun
for arguments in "-o new:1" "-o new.tar:1" ""; do
    # shellcheck disable=SC2086
    start oci encrypt -j 1 -k "$keys/one.pub.pem" $arguments layout:1
    # shellcheck disable=SC2016
    wait_until eval '[ -n "$(find . -name "*.partial" -o -path ./layout/index.json -newer begun | head -n 1)" ] || ! kill -0 $pid'
    kill -TERM "$pid" 2>/dev/null
    ended
    check "stopped, or complete" test "$code" = 143 -o "$code" = 0
    check "no temporary files are left" test -z "$(find . -name '*.partial')"
    [ "$code" = 0 ] || check "no output is left" test ! -e new -a ! -e new.tar
    [ -z "$arguments" ] || check "the input is the same" test "$(digest_of layout:1)" = "$before"
    rm -rf new new.tar
done

# ---- Temporary folders that killed runs have left ----

# leftover NAME: make a folder like one of a run that was killed
leftover() {
    mkdir -p "$1/blobs/sha256"
    echo '{}' | tee "$1/oci-layout" "$1/index.json" "$1/.index.json.0123456789abcdef.partial" >/dev/null
    echo secret | tee "$1/blobs/sha256/.blob.0123456789abcdef.partial" >"$1/blobs/sha256/$(printf %064d 7)"
}

fresh "temporary folders of runs that were killed"
image plain:1 --layers gzip
for output in new:1 new.tar "in place"; do
    name=${output%:1}
    arguments=(-k "$keys/one.pub.pem" -o "$output" plain:1)
    if [ "$output" = "in place" ]; then
        tar -C plain -cf app.tar .
        name=app.tar
        arguments=(-k "$keys/one.pub.pem" app.tar)
    fi
    title="temporary folders of runs that were killed: $output"
    for random in 00000000000000a1 00000000000000a2 00000000000000a3 00000000000000a4 00000000000000a5; do
        leftover ".$name.$random.partial"
    done
    leftover .other.00000000000000a1.partial
    leftover ".$name.00000000000000a1.partialx"
    leftover ".$name.0a1.partial"
    echo diary >".$name.00000000000000a3.partial/diary"
    mkdir ".$name.00000000000000a4.partial/blobs/sha256/photos"
    mv ".$name.00000000000000a5.partial" target
    ln -s target ".$name.00000000000000a5.partial"
    exec 8<".$name.00000000000000a2.partial"
    flock 8
    run oci encrypt "${arguments[@]}"
    expect_code 0
    check "what no process uses is removed" test ! -e ".$name.00000000000000a1.partial"
    check "what a process uses stays" test -e ".$name.00000000000000a2.partial/index.json"
    check "what is no part of a layout stays" test -e ".$name.00000000000000a3.partial/diary" \
        -a -e ".$name.00000000000000a4.partial/blobs/sha256/photos"
    check "the plaintext is removed" test -z "$(find ".$name.00000000000000a3.partial" -name '*7')"
    check "a link is not followed" test -e target/index.json
    check "what has another name stays" test -e .other.00000000000000a1.partial/index.json \
        -a -e ".$name.00000000000000a1.partialx/index.json" -a -e ".$name.0a1.partial/index.json"
    exec 8<&-
    rm -rf .[no]* .app* target
done

# ---- Killed ----

if ! strace_works; then
    part_lacks "a strace that may trace"
    finish
fi

prepare() {
    rm -rf layout
    cp -r saved layout
}

# killed_at KIND N ARGUMENT...: false if the program ended before that call
killed_at() {
    local kind=$1 n=$2
    shift 2
    prepare
    {
        try strace -f -qq -o /dev/null -e trace="$kind" -e inject="$kind:signal=KILL:when=$n" "$blobseal" "$@"
    } 2>/dev/null
    [ $code = 137 ]
}

kills=0
kinds="linkat renameat unlinkat fsync"
tier_has all && kinds="$kinds openat flock"
for verb in encrypt decrypt rewrap; do
    fresh "$verb, killed"
    image saved:1 --layers gzip,zstd
    image saved:2 --layers gzip,gzip
    command=(oci encrypt -j 1 -k "$keys/one.pub.pem" layout:1)
    plain=$(digest_of saved:1)
    if [ $verb != encrypt ]; then
        run oci encrypt -q -k "$keys/one.pub.pem" saved:1
        command=(oci decrypt -j 1 -k "$keys/one.pem" layout:1)
    fi
    [ $verb != rewrap ] || command=(oci rewrap -k "$keys/one.pem" --to "$keys/one.pub.pem" --to "$keys/two.pub.pem" layout:1)
    if tier_has campaign; then
        prepare
        try strace -f -qq -o "$tmp/calls" "$blobseal" "${command[@]}"
        expect_code 0
        kinds=$(sed -nE 's/^[0-9]+ +([a-z0-9_]+)\(.*/\1/p' "$tmp/calls" | sort -u)
    fi
    old=$(digest_of saved:1)
    other=$(digest_of saved:2)
    for kind in $kinds; do
        for ((n = 1; n < 2000; n++)); do
            tier_has all || ((n % 2 == 1)) || continue
            title="$verb, killed at $kind $n"
            killed_at "$kind" $n "${command[@]}" || break
            kills=$((kills + 1))
            whole 1 "$old" "$plain"
            check "the other image is the same" test "$(digest_of layout:2)" = "$other"
            if ((kills % 8 == 0)) && [ "$(digest_of layout:1)" = "$old" ]; then
                run "${command[@]}"
                expect_code 0
                check "nothing is left over" test -z "$(find . -name '*.partial')"
                run oci inspect --json layout:1
                check "no blob that nothing reaches" test "$(jq '.unreached | length' "$out")" = 0
            fi
            [ $kills != 5 ] || ! command -v skopeo >/dev/null || {
                try skopeo --insecure-policy inspect --raw oci:layout:1
                expect_code 0
            }
        done
        [ $code = 137 ] || expect_code 0
    done
done

fresh "a new output, killed"
image layout:1 --layers gzip,zstd
tar -C layout -cf saved.tar .
for output in new:1 new.tar ""; do
    cp saved.tar app.tar
    # shellcheck disable=SC2206
    command=(oci encrypt -j 1 -k "$keys/one.pub.pem" ${output:+-o $output} app.tar)
    for n in 1 2 3; do
        {
            try strace -f -qq -o /dev/null -e trace=fsync -e inject=fsync:signal=KILL:when=$n "$blobseal" "${command[@]}"
        } 2>/dev/null
        expect_code 137
        check "something is left over" test -n "$(find . -name '*.partial')"
        [ -z "$output" ] || check "but no output" test ! -e "${output%:1}"
    done
    run "${command[@]}"
    expect_code 0
    check "nothing is left over" test -z "$(find . -name '*.partial')"
    run oci inspect -q --expect-encrypted "${output:-app.tar}"
    expect_code 0
done
check "there were calls to be killed at: $kills" test $kills -gt 15
echo "$kills kills"

finish
