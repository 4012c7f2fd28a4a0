#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The public ABI is the one in tests/api/blobseal.abi: functions, structs with the offsets of their members, enumerations.
# A change before 1.0 updates that file in the same commit: tests/api/test_abi.sh --update
# abidw (Debian: abigail-tools) reads debugging information, so the library is built here once more, without kernels.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
need abidw abidiff gcc
update=no
[ "${1-}" != --update ] || update=yes

expected=$root/tests/api/blobseal.abi
compile() { # compile FILE: compile one source file in the folder of the sources
    # shellcheck disable=SC2086,SC2317 # options; it is called by xargs
    ${CC:-gcc} -std=c17 -g -O0 -fPIC -fvisibility=hidden -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 \
        -I. -Icore/include -w -c -o "$objects/${1//\//_}.o" "$1"
}
export -f compile

fresh "building with debugging information"
export objects=$PWD/objects
mkdir objects
# Providers add nothing to the interface, so those for tokens and vaults are not built: they would need p11-kit and
# libcurl.
list_sources() { (cd "$root" && find core kek -name '*.c' ! -path 'kek/*/*' -print0); }
# shellcheck disable=SC2016 # the inner shell expands it
(cd "$root" && list_sources | xargs -0 -n 8 -P 2 bash -ec 'for file; do compile "$file"; done' _)
check "all files were compiled" test "$(find objects -name '*.o' | wc -l)" = "$(list_sources | tr -cd '\0' | wc -c)"
try gcc -shared -Wl,-soname,libblobseal.so -Wl,--version-script="$root/tools/package/blobseal.map" -o libblobseal.so \
    objects/*.o
expect_ok
# No paths and no lines, so that the file depends on the interface only.
try abidw --headers-dir "$root/core/include" --drop-private-types --no-corpus-path --no-comp-dir-path --no-show-locs \
    --no-elf-needed --exported-interfaces-only --out-file now.abi libblobseal.so
expect_ok
check "the file contains no path" test -z "$(grep -F -e "$PWD" -e "$root" now.abi)"

if [ $update = yes ]; then
    cp now.abi "$expected"
    echo "updated: $expected"
    exit 0
fi

title="the public ABI"
abidiff --no-show-locs "$expected" now.abi >difference 2>&1 || {
    cat difference >&2
    echo "If this change is intended: tests/api/test_abi.sh --update, and a line in .github/CHANGELOG.md" >&2
}
check "it is that of tests/api/blobseal.abi" test ! -s difference
finish
