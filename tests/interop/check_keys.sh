#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Keys of applications (core/FORMAT.md section 10) against a reader and writer that share no code with blobseal: the
# test vectors, and wrapped keys of each side for the other. Exit code 77: skipped, a Python module is missing.
set -u
cd "$(dirname "$0")" || exit 1
: "${APP_KEY:=$PWD/../../build/release/tests/app_key}"
keys=../vectors/format
failed=0

if ! /usr/bin/python3 -c 'import cryptography, xxhash' 2>/dev/null; then
    echo "skipped: needs the Python modules cryptography and xxhash"
    [ "${CI:-}" = true ] && exit 1
    exit 77
fi
reference() { /usr/bin/python3 ref_key.py "$@"; }
fault() {
    echo "FAILED: $*"
    failed=1
}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

reference check ../vectors/keys || failed=1
/usr/bin/python3 ref_set.py check ../vectors/sets || failed=1
/usr/bin/python3 ref_oci.py check ../vectors/oci || failed=1
secret=00112233445566778899aabbccddeefff0e1d2c3b4a5968778695a4b3c2d1e0f
for key in kek1 kek3; do
    install -m 600 "$keys/$key.pem" "$tmp/$key.pem"
    for purpose in x '!"#$%&\~'; do
        "$APP_KEY" wrap "$tmp/$key.pem" "$purpose" $secret >"$tmp/ours" || fault "wrap for $purpose"
        [ "$(reference unwrap "$tmp/$key.pem" "$purpose" "$tmp/ours")" = $secret ] || fault "$key: ours, $purpose"
        [ "$(reference unwrap "$tmp/$key.pem" other "$tmp/ours")" = format ] || fault "$key: another purpose"
        reference wrap "$tmp/$key.pem" "$purpose" $secret >"$tmp/theirs" || fault "the reference wraps for $purpose"
        [ "$("$APP_KEY" unwrap "$tmp/$key.pem" "$purpose" <"$tmp/theirs")" = $secret ] || fault "$key: theirs, $purpose"
    done
done
[ "$("$APP_KEY" unwrap "$tmp/kek1.pem" "$purpose" <"$tmp/theirs" 2>&1 | grep -c E-NOKEY)" = 1 ] || fault "the key of another"
exit $failed
