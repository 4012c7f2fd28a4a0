#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Layouts and archives that somebody has prepared, and images with a changed byte: all are refused, nothing is written
# outside the target, and no image is left behind.
# shellcheck source=tests/oci/lib.sh
. "$(dirname "$0")/lib.sh"

need jq
make_key one

# The exit codes of each kind, for inspect and for encrypt; 3 and 3 if it is not listed.
declare -A codes=(
    [digest-other-algorithm]="12 12" # no such digest can be verified
    [layer-content]="0 3"            # inspect reads no layer
    [size-huge]="12 12"
    [size-wrong]="0 3"
    [same-layer-two-sizes]="3 3"
    [layer-is-link]="0 3"
    [layer-is-fifo]="0 3"
    [not-a-layout]="7 7"
    [two-images-with-one-name]="3 3"
    [version-two]="12 12"
)

# ---- Layouts ----

fresh "layouts"
for kind in $(python3 "$root/tests/oci/image.py" hostile list); do
    title="a hostile layout: $kind"
    mkdir "$kind"
    python3 "$root/tests/oci/image.py" hostile "$kind" "$kind/layout" || fail "it cannot be made"
    name=
    [ "$kind" != two-images-with-one-name ] || name=:x
    read -r inspect encrypt <<<"${codes[$kind]:-3 3}"
    find "$kind" -not -type d -exec stat -c '%n %s %Y %F' {} + 2>/dev/null | sort >before
    run oci inspect "$kind/layout$name"
    expect_code "$inspect"
    check "one line of printable text" test -z "$(tr -d '\n\r\t -~' <"$err" | head -c 1)"
    run oci encrypt -k "$keys/one.pub.pem" -o "$kind-out:1" "$kind/layout$name"
    expect_code "$encrypt"
    check "no image is left" test ! -e "$kind-out"
    run oci encrypt -k "$keys/one.pub.pem" "$kind/layout$name"
    expect_code "$encrypt"
    check "the layout is as before" diff before <(find "$kind" -not -type d -exec stat -c '%n %s %Y %F' {} + 2>/dev/null | sort)
    check "no temporary folder is left" test -z "$(find . -name '*.partial')"
done

# ---- Archives ----

fresh "archives"
image good:1 --layers gzip,tar
python3 "$root/tests/oci/image.py" archive good good good.tar
run oci encrypt -k "$keys/one.pub.pem" -o enc.tar:1 good.tar
expect_code 0
run oci inspect --expect-encrypted enc.tar
expect_code 0
run oci decrypt -k "$keys/one.pem" -o back:1 enc.tar
expect_code 0
check "the image is back" test "$(digest_of back:1)" = "$(digest_of good:1)"
check "only the archive was made" test "$(find . -maxdepth 1 | sort | paste -sd ' ')" = ". ./back ./enc.tar ./good ./good.tar"
cp enc.tar changed.tar
run oci recipients add -k "$keys/one.pem" --to "$(make_key two && echo "$keys/two.pub.pem")" changed.tar:1
expect_code 0
run oci decrypt -k "$keys/two.pem" changed.tar
expect_code 0
rm -rf again
run oci decrypt -k "$keys/two.pem" -o again:1 changed.tar
expect_code 0
check "an archive that was changed in place" test "$(digest_of again:1)" = "$(digest_of good:1)"
run oci encrypt -k "$keys/one.pub.pem" -o enc.tar:1 good.tar
expect_error 6 E-EXISTS
run oci encrypt -f -k "$keys/one.pub.pem" -o oci-archive:enc.tar:1 good.tar
expect_code 0
for kind in absolute dot-dot symlink symlinked-folder hardlink device fifo twice truncated; do
    title="a hostile archive: $kind"
    python3 "$root/tests/oci/image.py" archive $kind good $kind.tar
    for arguments in "inspect" "inspect --expect-encrypted" "encrypt -k $keys/one.pub.pem -o out:1" \
        "encrypt -k $keys/one.pub.pem -o out.tar:1" "encrypt -k $keys/one.pub.pem"; do
        # shellcheck disable=SC2086
        TMPDIR=$PWD run oci $arguments $kind.tar
        expect_error 3 E-FORMAT
    done
    rm -f $kind.tar
done
check "nothing is left" test "$(find . -maxdepth 1 | sort | paste -sd ' ')" = \
    ". ./again ./back ./changed.tar ./enc.tar ./good ./good.tar"
check "nothing outside" test ! -e /tmp/blobseal-was-here -a ! -e ../blobseal-was-here
gzip -k good.tar
run oci inspect oci-archive:good.tar.gz
expect_error 3 E-FORMAT "uncompressed"

# ---- A changed byte in an encrypted image ----

change_byte() { # change_byte FILE OFFSET
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    # shellcheck disable=SC2059
    printf "\\$(printf %03o $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# rename_manifest LAYOUT TEXT: replace the manifest by TEXT, with a right digest
rename_manifest() {
    local digest
    printf %s "$2" >"$1/manifest"
    digest=$(sha256sum <"$1/manifest" | cut -d ' ' -f 1)
    jq -c --arg digest "sha256:$digest" --argjson size "$(stat -c %s "$1/manifest")" \
        '.manifests[0].digest = $digest | .manifests[0].size = $size' "$1/index.json" >"$1/new"
    mv "$1/manifest" "$1/blobs/sha256/$digest"
    mv "$1/new" "$1/index.json"
}

fresh "a changed byte"
image plain:1 --layers gzip,gzip --size 300000
for cipher in ocicrypt chunked; do
    rm -rf enc
    run oci encrypt --cipher $cipher -k "$keys/one.pub.pem" -o enc:1 plain:1
    expect_code 0
    manifest=$(document enc "$(digest_of enc:1)")
    layer=$(jq -r '.layers[1].digest' <<<"$manifest")
    size=$(jq -r '.layers[1].size' <<<"$manifest")
    for place in layer-start layer-middle layer-end manifest annotation; do
        title="a changed byte: $cipher, $place"
        rm -rf bad
        cp -r enc bad
        case $place in
        layer-start) change_byte "bad/blobs/sha256/${layer#sha256:}" 0 ;;
        layer-middle) change_byte "bad/blobs/sha256/${layer#sha256:}" $((size / 2)) ;;
        layer-end) change_byte "bad/blobs/sha256/${layer#sha256:}" $((size - 1)) ;;
        manifest) change_byte "bad/blobs/sha256/$(digest_of enc:1 | cut -c 8-)" 100 ;;
        annotation) # with a right digest of the manifest, in the middle of every annotation in turn
            for key in $(jq -r '.layers[0].annotations | keys[]' <<<"$manifest"); do
                rename_manifest bad "$(jq -c --arg key "$key" '.layers[0].annotations[$key] |=
                    (.[0:60] + (if .[60:61] == "A" then "B" else "A" end) + .[61:])' <<<"$manifest")"
                run oci decrypt -k "$keys/one.pem" -o out:1 bad
                expect_code 3
                check "no image is left" test ! -e out
            done
            continue
            ;;
        esac
        run oci decrypt -k "$keys/one.pem" -o out:1 bad
        expect_code 3
        check "no image is left" test ! -e out
        find bad -type f | sort >before
        run oci decrypt -k "$keys/one.pem" bad
        expect_code 3
        check "no plaintext is left in the layout" diff before <(find bad -type f | sort)
        run oci inspect --expect-encrypted bad
        check "it is no longer as expected" test "$code" = 10 -o "$code" = 3
    done
    # the layer changed, and its digest in the manifest too: only the HMAC, or the tags, know
    title="a changed layer with right digests: $cipher"
    rm -rf bad
    cp -r enc bad
    change_byte "bad/blobs/sha256/${layer#sha256:}" 1000
    new=$(sha256sum <"bad/blobs/sha256/${layer#sha256:}" | cut -d ' ' -f 1)
    mv "bad/blobs/sha256/${layer#sha256:}" "bad/blobs/sha256/$new"
    rename_manifest bad "${manifest//$layer/sha256:$new}"
    run oci decrypt -k "$keys/one.pem" -o out:1 bad
    expect_error 3 E-AUTH
    check "no image is left" test ! -e out
    # the layers in each other's place
    title="swapped keys: $cipher"
    rm -rf bad
    cp -r enc bad
    rename_manifest bad "$(jq -c '.layers[0].annotations as $a | .layers[0].annotations = .layers[1].annotations |
        .layers[1].annotations = $a' <<<"$manifest")"
    run oci decrypt -k "$keys/one.pem" -o out:1 bad
    expect_code 3
    check "no image is left" test ! -e out
done

# ---- What only claims to be encrypted ----

fresh "a plain layer under the name of an encrypted one"
image plain:1 --layers gzip,zstd,tar --size 30000
run oci encrypt -k "$keys/one.pub.pem" -o enc:1 plain:1
plain=$(document plain "$(digest_of plain:1)")
for i in 0 1 2; do
    rm -rf bad
    cp -r enc bad
    cp plain/blobs/sha256/* bad/blobs/sha256
    rename_manifest bad "$(document enc "$(digest_of enc:1)" | jq -c --argjson plain "$plain" --argjson i $i \
        '.layers[$i].digest = $plain.layers[$i].digest | .layers[$i].size = $plain.layers[$i].size')"
    run oci inspect --expect-encrypted bad
    expect_code 10
    expect_stderr "layer $i "
done
title="without annotations, with embedded data"
for change in 'del(.layers[0].annotations)' '.layers[0].data = "AAAA"' '.layers[0].urls = ["https://example.com"]' \
    '.layers = []' '.layers[0].annotations["org.opencontainers.image.enc.pubopts"] = "e30="'; do
    rm -rf bad
    cp -r enc bad
    rename_manifest bad "$(document enc "$(digest_of enc:1)" | jq -c "$change")"
    run oci inspect --expect-encrypted bad
    expect_code 10
done
run oci inspect --expect-encrypted plain:1
expect_code 10
run oci inspect --expect-encrypted --json plain:1
check "the report is on stdout" test "$(jq .encrypted "$out")" = false

finish
