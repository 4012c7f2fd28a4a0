#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The same sources in two folders, whose paths differ in length, give the same libraries and the same program.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
need cmake ninja cmp

fresh "a build in two folders"
export CCACHE_DISABLE=1
for folder in one "a much longer name/two"; do
    mkdir -p "$folder"
    for part in CMakeLists.txt core kek simd tools; do cp -R "$root/$part" "$folder/"; done
    hang_limit=3600
    try cmake -S "$folder" -B "$folder/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBLOBSEAL_TESTS=OFF -DBLOBSEAL_BENCH=OFF
    expect_code 0
    try cmake --build "$folder/build"
    expect_code 0
done
for file in libblobseal.a libblobseal.so blobseal blobseal.pc completion.bash; do
    check "$file is the same" cmp "one/build/$file" "a much longer name/two/build/$file"
    check "$file names no folder" test -z "$(strings -a "one/build/$file" | grep -F "$PWD")"
done
finish
