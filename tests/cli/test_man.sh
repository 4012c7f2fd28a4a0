#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The pages of other sections than 1 have no faults, and agree with the headers and FORMAT.md, and the examples of blobseal(3) form a working
# program.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

man=$root/tools/man
include=$root/core/include

# ---- Form ----

if part "pages without faults" mandoc; then
    for page in "$man"/*.[3578]; do
        title=${page##*/}
        try mandoc -Tlint -Wwarning "$page"
        expect_code 0
        expect_stdout ""
        try mandoc -Tutf8 "$page"
        expect_code 0
        check "it says something" test "$(wc -l <"$out")" -gt 80
    done
fi
for page in "$man"/*.[3578]; do
    title="what ${page##*/} refers to"
    while read -r name section; do
        check "there is $name($section)" test -s "$man/$name.$section"
    done < <(sed -n 's/^\.Xr \(blobseal[a-z-]*\) \([0-9]\).*/\1 \2/p' "$page" | sort -u)
done

# ---- blobseal(3): the functions of the headers, all of them and no others ----

title="the functions in blobseal(3)"
# A name in a comment is not a declaration, so the output of the compiler is searched.
for header in "$include"/*.h; do
    cc -E -P -I"$include" -x c "$header"
done | grep -oE '\bblobseal_[a-z0-9_]+\(' | tr -d '(' | sort -u >"$tmp/declared"
check "functions were found" test "$(wc -l <"$tmp/declared")" -gt 30
grep -oE '^\.(Fn|It Fn) blobseal_[a-z0-9_]+' "$man/blobseal.3" | grep -oE 'blobseal_.*' | sort -u >"$tmp/named"
check "it should name: $(comm -23 "$tmp/declared" "$tmp/named" | paste -sd ' ')" \
    test -z "$(comm -23 "$tmp/declared" "$tmp/named")"
check "it names what no header declares: $(comm -13 "$tmp/declared" "$tmp/named" | paste -sd ' ')" \
    test -z "$(comm -13 "$tmp/declared" "$tmp/named")"
title="other words in blobseal(3)"
# shellcheck disable=SC2013 # these lists are words
for word in $(grep -E '^\.(Vt|Dv) ' "$man/blobseal.3" | grep -oE '(blobseal_|BLOBSEAL_)[A-Za-z0-9_]+' | sort -u); do
    check "a header has $word" grep -qw "$word" "$include"/*.h
done

# ---- The examples of blobseal(3) ----

fresh "the examples of blobseal(3)"
sed -n '/^\.Bd -literal/,/^\.Ed/{/^\./d;p}' "$man/blobseal.3" | sed 's/\\e/\\/g; /^add_subdirectory/d; /^target_link/d; /^find_package/d' >example.c
cat >>example.c <<'END_OF_C'
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MUST(call)                                                                                                     \
    do                                                                                                                 \
        if ((call) != BLOBSEAL_OK) {                                                                                   \
            fprintf(stderr, "%s: %s\n", #call, err.text);                                                              \
            return 1;                                                                                                  \
        }                                                                                                              \
    while (0)

int main(void)
{
    FILE *kek_file = fopen("kek.pem", "w"), *pub_file = fopen("kek.pub.pem", "w");
    struct blobseal_error err = {0};
    struct blobseal_kek *kek, *next;
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_fd state;
    char word[5] = "";
    bool ok = true;
    int fd;

    MUST(make_keys(kek_file, pub_file, &err));
    fclose(kek_file);
    fclose(pub_file);
    MUST(seal(open("text.sealed", O_CREAT | O_WRONLY, 0600), open("text", O_RDONLY), "kek.pub.pem", &err));
    MUST(read_at(open("text.sealed", O_RDONLY), "kek.pem", word, 5, 6, &err));
    if (memcmp(word, "world", 5) != 0)
        return 1;
    fd = open("numbers.sealed", O_CREAT | O_RDWR, 0600);
    MUST(blobseal_kek_open(&kek, NULL, "kek.pem", NULL, &err));
    MUST(blobseal_kek_open(&next, NULL, "next.pub.pem", NULL, &err));
    MUST(blobseal_sink_fd(&sink, &state, fd, "numbers", &err));
    MUST(push(&sink, kek, &err));
    MUST(rotate(fd, kek, next, &err));
    blobseal_kek_close(kek);
    blobseal_kek_close(next);
    MUST(blobseal_source_fd(&source, &state, fd, "numbers", &err));
    MUST(scrub(&source, &ok, &err));
    if (!ok || pwrite(fd, "?", 1, 4096 + 100) != 1)
        return 1;
    MUST(scrub(&source, &ok, &err));
    return ok ? 1 : 0;
}
END_OF_C
echo "hello world" >text
make_key next
cp "$keys/next.pub.pem" .
libraries=$(dirname "$blobseal")
check "there are several examples" test "$(grep -c '^static enum' example.c)" -ge 5
try cc -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror -I"$include" -o example example.c \
    -L"$libraries" -Wl,-rpath,"$libraries" -lblobseal
expect_ok
umask 077
try ./example
expect_ok
expect_stdout '^key id: urn:'
expect_stdout '^slot at byte [0-9]+: .'
umask 022
run open -q -k kek.pem -o text.back text.sealed
expect_same text text.back
run inspect --json -k kek.pem text.sealed
expect_stdout '"type":"text/plain"'
run verify -q -k kek.pem numbers.sealed
expect_code 4
run open -q -k "$keys/next.pem" -o numbers numbers.sealed
expect_code 0
expect_stderr "slots is damaged"
check "1000 numbers of 4 bytes" test "$(wc -c <numbers)" = 4000

# ---- blobseal(5): the tables of FORMAT.md ----

title="the tables of blobseal(5)"
sed -nE 's/^\| ([0-9]+) \| ([0-9]*) ?\|.*/\1 \2/p' "$root/core/FORMAT.md" | sed 's/ *$//' >"$tmp/format"
sed -nE 's/^\.It ([0-9]+) Ta ([0-9]*) ?Ta .*/\1 \2/p' "$man/blobseal.5" | sed 's/ *$//' >"$tmp/page"
check "there are three of them" test "$(grep -c '^0 ' "$tmp/format")" -ge 3
expect_same "$tmp/format" "$tmp/page"
for magic in '89 42 53 43 0D 0A 1A 0A' '89 42 53 4B 0D 0A 1A 0A'; do
    check "both have the magic $magic" test "$(grep -l "$magic" "$root/core/FORMAT.md" "$man/blobseal.5" | wc -l)" = 2
done
# shellcheck disable=SC2013
for member in $(grep -oE '"(enc|cty|typ|bs|v|blob|layer|gen|rcpt|kty|k|kid|hdr|meta|name|type|ann)"' "$root/core/FORMAT.md" | sort -u); do
    check "it has the member $member" grep -qF "$member" "$man/blobseal.5"
done

finish
