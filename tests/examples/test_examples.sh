#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The example programs: built against the installed library in every way that README.md names, and run.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
need cmake cc g++ ninja pkg-config
export CMAKE_GENERATOR=Ninja # the project itself is built with Ninja; make may be missing

examples=$root/tests/examples
build=${BLOBSEAL_BUILD:-$root/build/release}
flags="-O1 -Wall -Wextra -Wpedantic -Werror ${CFLAGS:-}"
make_key kek
key=$keys/kek.pem

fresh "installing"
# All that is installed has no component. Its list then has a name of its own, if another user installed everything before.
try cmake --install "$build" --component Unspecified --prefix "$PWD/prefix"
expect_code 0
prefix=$PWD/prefix
lib=$(dirname "$(find "$prefix" -name libblobseal.a)")
export PKG_CONFIG_PATH=$lib/pkgconfig
export LD_LIBRARY_PATH=$lib
sample f 3333333
seq 500000 >lines
"$blobseal" seal -k "$key" lines
"$blobseal" seal -k "$key" f

run_all() { # run_all FOLDER: every program in the folder works as documented
    try "$1/seal_buffer" "$key"
    expect_ok
    expect_stdout "^[0-9]+ bytes sealed, then opened: a layer, an image, a model$"
    try "$1/seal_buffer" "$keys/none.pem"
    expect_code 1
    expect_stderr "none.pem.*\(E-INPUT\)$"
    try "$1/push_stream" "$key" log.sealed
    expect_ok
    check "nothing else is left" test ! -e log.sealed.part
    run open -k "$key" -o - log.sealed
    expect_stdout "^event 1 of 100000$"
    check "all of it" test "$(wc -l <"$out")" = 100000
    try "$1/push_stream" "$key" no/log.sealed
    expect_code 1
    expect_stderr "E-OUTPUT"
    try "$1/pull_stream" "$key" < <(cat lines.sealed)
    expect_ok
    expect_stdout "^500000 lines$"
    try "$1/pull_stream" "$key" < <(head -c -1 lines.sealed)
    expect_code 1
    expect_stdout ""
    expect_stderr "E-DAMAGED"
    try "$1/random_reads" "$key"
    expect_ok
    expect_stdout "^2000 of 2000 reads were right$"
    try "$1/kept_keys" "$key" < <(printf '%s\n' "lines.sealed 0 2" "lines.sealed 2 4" "f.sealed 0 0" "lines.sealed 6 2")
    expect_code 0
    check "what was asked for" test "$(paste -sd/ "$out")" = "1/2/3/4"
    expect_stderr "^4 requests, 2 keys unlocked$"
    try "$1/kept_keys" "$key" < <(echo "none 0 5")
    expect_code 1
    expect_stderr "none.*E-INPUT"
    try "$1/custom_io" "$key" <f
    expect_ok
    expect_same f "$out"
    try "$1/kek_provider"
    expect_ok
    check "who can open" test "$(paste -sd/ "$out")" = "team A: OK/team B: E-NOKEY/team B, then A: OK/\
team A, the vault is down: E-UNAVAILABLE/team A, forbidden: E-DENIED"
    try "$1/hello" "$key"
    expect_ok
    expect_stdout "^hello from C\+\+$"
    try "$1/store"
    expect_code 2
}

# compile FOLDER LINK-OPTION...: compile every program without a build system
# shellcheck disable=SC2046,SC2086 # lists of words
compile() {
    local folder=$1 source
    shift
    mkdir "$folder"
    for source in "$examples"/*.c; do
        try cc -std=c17 $flags -o "$folder/$(basename "$source" .c)" "$source" $(pkg-config --cflags blobseal) "$@" -lcrypto
        expect_ok
    done
    try c++ -std=c++17 $flags -o "$folder/hello" "$examples/hello.cc" $(pkg-config --cflags blobseal) "$@"
    expect_ok
    try cc -std=c17 $flags -o "$folder/store" "$examples"/store/store{,_main}.c $(pkg-config --cflags blobseal) "$@" -lcrypto
    expect_ok
}

title="pkg-config"
# shellcheck disable=SC2046
compile by-pkg-config $(pkg-config --libs blobseal)
run_all by-pkg-config
check "it is the shared library" grep -q libblobseal.so by-pkg-config/seal_buffer

title="pkg-config --static, with shared libraries below"
# shellcheck disable=SC2046
compile static $(pkg-config --static --libs blobseal | sed 's/-lblobseal/-l:libblobseal.a/')
LD_LIBRARY_PATH='' run_all static

# Without any shared library, and so without PKCS#11, whose modules are shared libraries: libcrypto.a then warns about
# features that do not work (engines, host names).
title="everything static"
if [ -z "${CFLAGS:-}" ] && tier_has all; then
    try cmake -S "$root" -B no-modules -DCMAKE_BUILD_TYPE=Release -DBLOBSEAL_PKCS11=OFF -DBLOBSEAL_TESTS=OFF
    expect_code 0
    try cmake --build no-modules --parallel 2
    expect_code 0
    try cmake --install no-modules --prefix "$PWD/no-modules-prefix"
    expect_code 0
    # shellcheck disable=SC2046
    try cc -static -o all-static "$examples/seal_buffer.c" $(
        PKG_CONFIG_PATH=${PKG_CONFIG_PATH//"$prefix"/$PWD/no-modules-prefix} pkg-config --static --cflags --libs blobseal
    )
    expect_code 0
    LD_LIBRARY_PATH='' try ./all-static "$key"
    expect_ok
fi

for static in OFF ON; do
    title="find_package(blobseal), STATIC=$static"
    try cmake -S "$examples" -B "cmake-$static" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release -DSTATIC=$static \
        -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags"
    expect_code 0
    try cmake --build "cmake-$static" --parallel 2
    expect_code 0
    LD_LIBRARY_PATH='' run_all "cmake-$static"
done

# Users of the shared library need none of the libraries that it uses. For the static library, CMake reports what is
# missing.
title="find_package(blobseal) without what is below"
try env PKG_CONFIG_PATH= PKG_CONFIG_LIBDIR=/nowhere cmake -S "$examples" -B without -DCMAKE_PREFIX_PATH="$prefix"
expect_code 0
try env PKG_CONFIG_PATH= PKG_CONFIG_LIBDIR=/nowhere cmake -S "$examples" -B without -DSTATIC=ON
expect_code 1
expect_stderr "blobseal::static needs PkgConfig::XXHASH"
mkdir other
for version in 1.0 0.0 0.2; do # before 1.0 nothing else than the same 0.x is compatible
    echo "cmake_minimum_required(VERSION 3.16)
    project(other LANGUAGES C)
    find_package(blobseal $version REQUIRED)" >other/CMakeLists.txt
    try cmake -S other -B other/build -DCMAKE_PREFIX_PATH="$prefix"
    expect_code 1
    expect_stderr "requested version \"$version\""
done

title="README.md shows a program that works"
sed -n '/^    #include <blobseal.h>/,/^    }$/{s/^    //;p}' "$root/README.md" >readme.c
check "it is seal_buffer.c" cmp -s readme.c <(tail -n +3 "$examples/seal_buffer.c")
line=$(sed -n 's/^ *\(cc .*pkg-config.*\)$/\1/p' "$root/README.md")
cp readme.c app.c
try sh -c "$line"
expect_ok
try ./app "$key"
expect_ok
expect_stdout "then opened: a layer"

finish
