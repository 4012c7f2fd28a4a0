#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` installs: it is complete and can be moved, and the shared library exports exactly the declared
# functions.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
need cmake gcc g++ nm readelf pkg-config

build=${BLOBSEAL_BUILD:-$root/build/release}
flags=${CFLAGS:-}

fresh "installing"
try cmake --install "$build" --component Unspecified --prefix "$PWD/first"
expect_code 0
mv first prefix # nothing in the tree may depend on its original place
lib=$(dirname "$(find prefix -name libblobseal.a)")
shared=$(echo "$lib"/libblobseal.so.*.*.*)
for file in prefix/bin/blobseal prefix/include/blobseal.h prefix/include/blobseal_provider.h "$lib/libblobseal.a" \
    "$lib/libblobseal.so" "$shared" "$lib/pkgconfig/blobseal.pc" "$lib/cmake/blobseal/blobseal-config.cmake" \
    "$lib/cmake/blobseal/blobseal-config-version.cmake" "$lib/cmake/blobseal/blobseal-targets.cmake"; do
    check "$file is there" test -f "$file"
done
check "the headers are those of the source" diff <(cd prefix/include && find . -type f | sort) <(cd "$root/core/include" && find . -type f | sort)
check "no file names a place" test -z "$(grep -rlF -e "$tmp" -e "$build" "$lib/pkgconfig" "$lib/cmake")"

title="versions"
version=$(sed -n 's/^# *define BLOBSEAL_VERSION_[MP][A-Z]* //p' prefix/include/blobseal.h | paste -sd.)
check "the file is named by the version" test "${shared##*.so.}" = "$version"
soname=$(readelf -d "$shared" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')
check "SONAME" test "$soname" = "libblobseal.so.${version%.*}" # before 1.0 the interface may change with the second number
check "the SONAME leads to the file" test "$(realpath "$lib/$soname")" = "$(realpath "$shared")"
check "so does the name for linking" test "$(realpath "$lib/libblobseal.so")" = "$(realpath "$shared")"
check "pkg-config" test "$(PKG_CONFIG_PATH=$lib/pkgconfig pkg-config --modversion blobseal)" = "$version"
check "no path to libraries is built in" test -z "$(readelf -d "$shared" | grep -E 'RUNPATH|RPATH')"

# The functions that a header declares for export: the name before the first parenthesis after the attribute.
declared_functions() {
    (cd prefix/include && printf '#include <%s>\n' *.h) | gcc -E -P -Iprefix/include -x c - | tr '\n' ' ' |
        tr ';' '\n' | sed -n 's/.*visibility("default")))//p' | sed 's/__attribute__((warn_unused_result))//' |
        grep -oE '^[^(]*\(' | grep -oE 'blobseal_[a-z0-9_]+ *\($' | tr -d ' (' | sort
}

title="exported symbols"
declared_functions >declared
nm -D --defined-only "$shared" | awk '$2 == "T" {print $3}' | sed 's/@@.*//' | sort >exported
check "there are some" test "$(wc -l <declared)" -gt 30
check "each is declared once" test -z "$(uniq -d declared)"
check "exactly what the headers declare: $(diff declared exported | tr '\n' ' ')" cmp -s declared exported
check "no data, no weak symbols" test -z "$(nm -D --defined-only "$shared" | awk '$2 != "T" && $2 != "A"')"
check "one version node" test "$(nm -D --defined-only "$shared" | sed -n 's/.*@@//p' | sort -u)" = "BLOBSEAL_${version%.*}"

title="headers"
for header in prefix/include/*.h; do
    for std in c11 c17 gnu17; do
        try gcc -std=$std -Wall -Wextra -Wpedantic -Werror -fsyntax-only -Iprefix/include -x c "$header"
        expect_ok
    done
    for std in c++11 c++17 c++20; do
        try g++ -std=$std -Wall -Wextra -Wpedantic -Wold-style-cast -Werror -fsyntax-only -Iprefix/include -x c++ "$header"
        expect_ok
    done
done

# A user who links only the shared library, and none of the libraries that it uses, gets no undefined symbols.
title="linking"
cat >user.c <<'END'
#include <blobseal_provider.h>
int main(void)
{
    struct blobseal_keypair pair = {.size = sizeof pair};
    struct blobseal_error err;
    enum blobseal_status st = blobseal_keygen_rsa(&pair, 2048, NULL, &err);

    blobseal_keypair_clear(&pair);
    return st == BLOBSEAL_OK && blobseal_version()[0] != '\0' ? 0 : 1;
}
END
export PKG_CONFIG_PATH=$lib/pkgconfig
# shellcheck disable=SC2046,SC2086 # lists of words
try gcc $flags user.c $(pkg-config --cflags --libs blobseal) -Wl,--no-undefined -o user
expect_ok
LD_LIBRARY_PATH=$lib try ./user
expect_ok
check "pkg-config names what is below only for static linking" test -z "$(pkg-config --libs blobseal | grep crypto)"

finish
