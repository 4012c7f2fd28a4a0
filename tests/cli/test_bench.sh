#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# blobseal bench: how it presents the results of blobseal-bench. A script replaces blobseal-bench, and nothing is
# measured.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need python3

recorded=$root/tests/cli/bench.json

# stand_in NAME: make a program that replaces blobseal-bench; its source is on standard input
stand_in() {
    {
        printf '#!/bin/sh\n'
        cat
    } >"$tmp/$1"
    chmod 755 "$tmp/$1"
}

stand_in good <<END
echo "\$*" >"$tmp/arguments"
echo 'blobseal-bench: 1/2 clock/add-chain' >&2
echo 'blobseal-bench: 2/2 ceiling/vaesenc' >&2
cat "$recorded"
END
export BLOBSEAL_BENCH=$tmp/good

# changed FILE EXPRESSION...: write the recorded run, changed by Python statements. Names: d the document, c its
# context, b its benchmarks, scale(NAME, FACTOR).
changed() {
    "$python" - "$recorded" "$@" <<'END'
import json
import sys

d = json.load(open(sys.argv[1]))
c, b = d["context"], d["benchmarks"]
figures = ("bytes_per_second", "items_per_second", "real_time", "p50_us", "p99_us")


def scale(name, factor, only=(0, 1, 2)):
    hits = [e for e in b if e["name"] == name and e["repetition_index"] in only]
    assert hits, name
    for e in hits:
        for f in figures:
            if f in e:
                e[f] *= factor


for statement in sys.argv[3:]:
    exec(statement)
json.dump(d, open(sys.argv[2], "w"))
END
}

# ---- The table ----

fresh "the table"
run bench
expect_ok
check "the verdict is first" test "$(head -n 1 "$out")" = \
    "blobseal seals 12.0 GB/s on one core, 0.89 of AES rounds alone; 2 threads: 1.9 times"
check "nothing is noisy" test -z "$(grep -i noisy "$out")"
check "no line is wider than 120 columns" test -z "$(awk 'length > 120' "$out")"
for pattern in "^machine +Example CPU @ 2.30GHz, 2 CPUs, L1d 48 KiB, L2 2 MiB" "^features +aes pclmulqdq" \
    "^clock +2.96 GHz: core cycles, .* chain of dependent additions" "^kernels +AES-GCM vaes512, XXH3 avx512" \
    "^OpenSSL +OpenSSL 3.0.19 27 Jan 2026, OPENSSL_ia32cap unset" "load 0.08 0.20 0.31" \
    "^  seal blobseal, VAES-512 \* +12.00 +0.247 +0.89 +0.5 %" "^  open intel-ipsec-mb +11.10" \
    "^  AES rounds alone: ceiling +13.50" "^  memcpy, 1 MiB +29.00" "^  SHA-256, OpenSSL +1.43" "^  XXH3, libxxhash +38.00" \
    "^seal, GB/s by size +1 KiB +1 MiB" "^  OpenSSL EVP +2.10 +4.40" \
    "^  1 +10.00 +1.00 +1.00 +9.50 +1.00 +1.00" "^  2 +19.00 +1.90 +0.95 +18.05 +1.90 +0.95" \
    "^  seal 4 KiB +58.0 us +92.0 us +17241" "^  open 4 KiB +1.15 ms +1.40 ms" "^  wrap a data key, 3072 bits +42.7 us +23419" "^  unwrap a data key, 3072 bits +1.10 ms +909" \
    "^not measured: aes-256-gcm/seal/vaes256/run-of-16KiB: this CPU lacks it"; do
    expect_stdout "$pattern"
done
check "what it does not know is left out" test -z "$(grep something/new "$out")"
cp "$out" table
run bench --from "$recorded"
expect_ok
expect_same "$out" table
run bench --from - <"$recorded"
expect_ok
expect_same "$out" table
run bench -q
expect_ok
expect_same "$out" <(head -n 1 table)
"$blobseal" bench --from "$recorded" >/dev/full 2>"$err"
code=$?
last=" bench >/dev/full"
expect_code 8

fresh "what is passed on"
run bench
check "nothing but the form" test "$(cat "$tmp/arguments")" = "--benchmark_format=json"
run bench --quick --threads 1,2,16 --sizes 1K,4KiB,100,1M
expect_ok
check "lists, in plain numbers" test "$(cat "$tmp/arguments")" = \
    "--benchmark_format=json --quick --threads=1,2,16 --sizes=1024,4096,100,1048576"
for list in "" "," "1," ",1" 0 -1 1,,2 1,1 1.5 1x 257 1K "1 2" 99999999999999999999; do
    run bench --threads "$list"
    expect_error 2 E-USAGE "--threads takes .*numbers from 1 to 256"
done
for list in "" "," "4K," 0 -1 4K,4096 1.5K 4X 65M 99999999999T; do
    run bench --sizes "$list"
    expect_error 2 E-USAGE "--sizes takes .*sizes from 1 to 64M"
done
run bench --threads "$(seq -s , 1 25)"
expect_error 2 E-USAGE "up to 24"

fresh "noise"
changed loaded.json 'c["load_avg"][0] = 1.4'
run bench --from loaded.json
expect_ok
check "the load is named" grep -qx "noisy: the load was 1.40 on 2 CPUs at the start" "$out"
changed wild.json 'scale("aes-256-gcm/seal/vaes512/run-of-16KiB", 0.8, [1])'
run bench --from wild.json -q
expect_stdout "^noisy: 1 of 26 figures vary by more than 5 %"
changed large.json 'c["load_avg"][0] = 1.4; c["num_cpus"] = 64'
run bench --from large.json
check "one busy CPU of 64 is no noise" test -z "$(grep noisy "$out")"

fresh "less than everything"
changed nothing.json 'del b[:]; b.append({"name": "other", "real_time": 1, "time_unit": "ns"})'
run bench --from nothing.json --html nothing.html
expect_ok
expect_stdout "^no measurement shows how fast"
changed noclock.json 'b[:] = [e for e in b if e["name"] != "clock/add-chain"]'
run bench --from noclock.json
expect_stdout "^clock +2.30 GHz: cycles of the clock rate that the system reports"
changed bare.json 'c.clear()'
run bench --from bare.json
expect_ok
expect_stdout "unknown CPU"
expect_stdout "VAES-512 \* " # the fastest
changed aggregates.json \
    'for e in b: e.update(run_type="aggregate", aggregate_name=["mean", "median", "stddev"][e["repetition_index"]])' \
    'for e in b: e.update({k: e[k] * (0.02 if e["repetition_index"] == 2 else 1) for k in figures if k in e})'
run bench --from aggregates.json
expect_ok
expect_stdout "^  seal blobseal, VAES-512 \* +11.94 .* 2.0 %"

# ---- JSON ----

fresh "JSON"
run bench --json
expect_ok
expect_same "$out" "$recorded"
run bench --json-out f.json
expect_ok
expect_same "$out" "$tmp/1/table"
expect_same f.json "$recorded"
run bench --json-out f.json
expect_error 6 E-EXISTS "f.json exists"
expect_stderr "hint: .*--force"
check "nothing was measured for it" test ! -s "$out"
run bench --json --json-out f.json --force
expect_ok
expect_same "$out" "$recorded"
run bench -f --json-out f.json --html f.json
expect_error 2 E-CONFIG "the same file"
for option in --json-out --html; do
    run bench $option -
    expect_error 2 E-USAGE "name files"
    run bench $option missing/file
    expect_error 8 E-OUTPUT "create missing/file"
    run bench $option .
    expect_error 2 E-CONFIG "is a folder"
done
run bench --from f.json --force --html f.json
expect_error 6 E-EXISTS "f.json is the input and the output"
run bench --compare f.json --force --json-out ./f.json
expect_error 6 E-EXISTS "f.json is the input and the output"
expect_same f.json "$recorded"
run bench file
expect_error 2 E-USAGE "takes no file"
for options in "--quick" "--threads 1" "--sizes 1" "--json-out x"; do
    # shellcheck disable=SC2086
    run bench --from f.json $options
    expect_error 2 E-USAGE "--from measures nothing"
done
run bench --from - --compare - <f.json
expect_error 2 E-USAGE "only one"
no_leftovers f.json

# ---- The page ----

page_is() { # page_is FILE TEXT...: the page is well-formed, refers to no other file, and shows these texts
    if "$python" - "$@" >"$tmp/page.log" 2>&1 <<'END'; then
import html.parser
import sys

void = {"meta", "br"}
allowed = {"html", "head", "meta", "title", "style", "body", "main", "section", "div", "h1", "h2", "p", "pre", "b", "small",
           "strong", "sup", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "br", "details", "summary",
           "svg", "desc", "path", "rect", "text"}
source = open(sys.argv[1], encoding="utf-8").read()


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.stack, self.seen, self.ids, self.named = [], "", set(), []

    def handle_starttag(self, tag, attributes):
        assert tag in allowed, f"<{tag}>"
        for name, value in attributes:
            assert not name.startswith("on") and name not in ("src", "href", "style"), name
            if name == "id":
                assert value not in self.ids, f"two ids {value}"
                self.ids.add(value)
            if name == "aria-labelledby":
                self.named += value.split()
        if tag not in void:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in void:
            self.stack.pop()

    def handle_endtag(self, tag):
        assert self.stack and self.stack[-1] == tag, f"</{tag}> in {self.stack}"
        self.stack.pop()

    def handle_data(self, data):
        self.seen += data


page = Page()
page.feed(source)
page.close()
assert not page.stack, page.stack
assert page.ids >= set(page.named), page.named
for word in ("://", "url(", "@import", "javascript:", "<script", "nan", "inf "):
    assert word not in source.replace("default-src", "").lower(), word
for text in sys.argv[2:]:
    assert text in page.seen, f"no text {text!r}"
END
        pass
    else
        fail "page: $(tail -n 1 "$tmp/page.log")"
    fi
}

fresh "the page"
run bench -q --html page.html
expect_ok
page_is page.html "blobseal seals 12.0 GB/s on one core, 0.89 of AES rounds alone; 2 threads: 1.9 times" \
    "Example CPU @ 2.30GHz" "aes pclmulqdq avx2" "AES-GCM: vaes512; XXH3: avx512" "OPENSSL_ia32cap: unset" "0.08, 0.20, 0.31" \
    "Throughput by threads" "Throughput by size" "Latency of small blobs" "Key operations" "How to reproduce" "58.0 µs" \
    "something/new" "not measured: this CPU lacks it" "1.36 times as long as to wrap one key"
check "three pictures" test "$(grep -c '<svg' page.html)" = 3
check "both themes and paper" test "$(grep -cE '@media (\(prefers-color-scheme:dark\)|print)' page.html)" = 2
check "it is small" test "$(wc -c <page.html)" -lt 200000
run bench -q --html page.html
expect_error 6 E-EXISTS "page.html exists"
run bench -q --html page.html --json-out page.json --force
expect_ok
expect_same page.json "$recorded"
no_leftovers page.html page.json

title="a label leads to the last point of its own line"
sed '/seal\/openssl-evp\/1048576/d' "$recorded" >short.json # the line of openssl-evp ends at 1 KiB, at the left
run bench -q --from short.json --html short.html
expect_ok
check "one label leads to the left end" test "$(grep -c '<path class="lead" d="M46\.0 ' short.html)" = 1
check "no label of the whole figures does" test "$(grep -c '<path class="lead" d="M46\.0 ' page.html)" = 0
rm short.json short.html

title="a hostile file"
# shellcheck disable=SC2016
changed hostile.json 'evil = "<script>alert(1)</script>&\"\x27><img src=x>\x1b[31m\u202e"' \
    'c.update({k: evil + k for k in c if isinstance(c[k], str)}); c["kernel"] = "</style>" + evil' \
    'b.append({"name": evil, "real_time": 1, "time_unit": "ns"})' \
    'b.append({"name": "blob/" + evil + "/4096", "p50_us": 1e300, "p99_us": 1e300})' \
    'b.append({"name": evil + "x", "error_occurred": True, "error_message": evil})'
run bench --from hostile.json --html hostile.html --compare "$recorded"
check "it is drawn" test $code = 0 -o $code = 10
page_is hostile.html "<script>alert(1)</script>&\"'><img src=x>"
check "no escape sequence reaches a terminal" test -z "$(cat "$out" "$err" hostile.html | tr -d '\n\040-\176\200-\377')"

title="extreme numbers"
for value in 0 -1 1e308 1e-308 1e999 '"x"' null '[]' 123456789012345678901234567890; do
    sed -E "s/\"(bytes_per_second|p50_us|real_time|items_per_second|size|num_cpus|repetitions)\": [0-9.e+]+/\"\1\": $value/" \
        "$recorded" >extreme.json
    run bench --from extreme.json --html extreme.html --force --compare "$recorded"
    check "an answer to $value" test $code = 0 -o $code = 2 -o $code = 7 -o $code = 10
    [ $code != 0 ] || page_is extreme.html "Example CPU"
done

# ---- Comparing ----

fresh "comparing"
run bench --compare "$recorded"
expect_ok
expect_stdout "^compared with $recorded of 2026-11-24T10:31:22.00:00: 25 measures in both, 0 lost more than 5 %, 0 gained as much"
changed slow.json 'scale("aes-256-gcm/seal/vaes512/run-of-16KiB", 0.9)' 'scale("rsa/unwrap/3072", 0.8)'
run bench --from slow.json --compare "$recorded" --html slow.html
expect_code 10
expect_stdout "^  lost +0.90  aes-256-gcm/seal/vaes512/run-of-16KiB +10.8 GB/s, before 12.0 GB/s"
expect_stdout "^  gained +1.25  rsa/unwrap/3072 +880.0 us, before 1.10 ms"
expect_stderr "^blobseal: error: 1 of 25 measures lost more than 5 % against .* .E-POLICY."
expect_stderr "^blobseal: hint: "
page_is slow.html "Compared with $recorded" "1 lost more than 5 %, 1 gained as much"
title="where less is better"
changed slow.json 'scale("rsa/unwrap/3072", 1.2)' 'scale("blob/seal/4096/real_time", 1.3)'
run bench --from slow.json --compare "$recorded"
expect_code 10
expect_stdout "^  lost +0.83  rsa/unwrap/3072"
expect_stdout "^  lost +0.77  blob/seal/4096"
title="quiet and JSON"
run bench --from slow.json --compare "$recorded" -q
expect_code 10
check "the verdict and the losses" test "$(wc -l <"$out")" = 3
run bench --from slow.json --compare "$recorded" --json
expect_code 10
expect_same "$out" slow.json
expect_stderr "^  lost +0.83  rsa/unwrap/3072"
title="small and noisy differences"
changed small.json 'scale("rsa/unwrap/3072", 1.04)'
run bench --from small.json --compare "$recorded"
expect_ok
check "less than 5 % is nothing" test -z "$(grep '^  lost' "$out")"
changed noisy.json 'scale("aes-256-gcm/seal/vaes512/run-of-16KiB", 0.9, [0, 2])'
run bench --from noisy.json --compare "$recorded"
expect_code 0
expect_stdout "^  within the noise +0.90  aes-256-gcm/seal/vaes512"
changed few.json 'b[:] = [e for e in b if e["repetition_index"] < 2]' 'scale("memcpy/1MiB", 0.5)'
run bench --from few.json --compare "$recorded"
expect_code 0
expect_stdout "^  too few repetitions +0.50  memcpy/1MiB"
changed p99.json 'for e in b: e["p99_us"] = 1e6'
run bench --from p99.json --compare "$recorded"
expect_ok
title="other machines"
changed other.json 'c.update(cpu_model="Other CPU", kernel="aesni", num_cpus=4)' 'scale("clock/add-chain", 1.1)' \
    'c["openssl"] = ""'
run bench --from other.json --compare "$recorded"
expect_code 0
expect_stderr "^blobseal: warning: another CPU than in .*: Other CPU, there Example CPU"
expect_stderr "^blobseal: warning: another AES-GCM kernel than in .*: aesni, there vaes512"
expect_stderr "^blobseal: warning: another number of CPUs than in .*: 4, there 2"
expect_stderr "^blobseal: warning: another OpenSSL than in .*: unknown, there OpenSSL 3.0.19"
expect_stderr "^blobseal: warning: the clock ran at 1.10 times that in .*: 3.26 GHz, there 2.96"
check "nothing else differs" test "$(wc -l <"$err")" = 5
changed strange.json 'for e in b: e["name"] = e["run_name"] = "other/" + e["name"]'
run bench --from strange.json --compare "$recorded"
expect_error 2 E-CONFIG "no measure in common"
title="an earlier run that cannot be read"
rm -f "$tmp/arguments"
run bench --compare missing.json
expect_error 7 E-INPUT "missing.json"
echo '{}' >empty.json
run bench --compare empty.json
expect_error 7 E-INPUT "not what blobseal-bench writes"
check "that is known before anything is measured" test ! -e "$tmp/arguments"

# ---- Files that are not recorded runs ----

fresh "files that are not such JSON"
for text in '' '{' '[]' '{}' 'null' '{"context": {}}' '{"context": {}, "benchmarks": {}}' '{"context": {}, "benchmarks": []}' \
    '{"context": [], "benchmarks": [{"name": "x", "real_time": 1, "time_unit": "ns"}]}' \
    '{"context": {}, "benchmarks": [1]}' '{"context": {}, "benchmarks": [{}]}' '{"context": {}, "benchmarks": [{"name": 1}]}' \
    '{"context": {"cpu_model": "\u0000"}, "benchmarks": []}' $'{"context": {"cpu_model": "\xff"}, "benchmarks": []}'; do
    printf '%s' "$text" >bad.json
    run bench --from bad.json --html x.html
    expect_error 7 E-INPUT "bad.json is (not )?JSON"
    run bench --from bad.json --json
    expect_code 7
    json_is "$out" 'd["schema"] == "blobseal.error/1"' 'd["code"] == "E-INPUT"' 'd["exit"] == 7'
done
head -c 1000000 /dev/zero | tr '\0' '[' >bad.json
run bench --from bad.json
expect_error 7 E-INPUT "not JSON"
for ((cut = 0; cut < 17000; cut += 487)); do
    head -c $cut "$recorded" >bad.json
    run bench --from bad.json
    expect_error 7 E-INPUT "not JSON"
done
run bench --from .
expect_code 2
no_leftovers bad.json

# ---- The measuring program ----

fresh "a program that is missing"
export BLOBSEAL_BENCH=$tmp/nothing
run bench
expect_error 2 E-CONFIG "BLOBSEAL_BENCH names no program: .*nothing"
mkdir -p alone/bin folder/blobseal-bench
cp "$blobseal" alone/bin/
: >alone/blobseal-bench
title="a program that is not installed"
try env -u BLOBSEAL_BENCH PATH="$PWD/folder:$PWD/alone:/nowhere" alone/bin/blobseal bench
expect_error 2 E-CONFIG "blobseal-bench, which measures, is not installed"
expect_stderr "hint: .*apt-get install g.. libbenchmark-dev; cmake --preset release; cmake --build .*blobseal-bench"
title="where it is looked for"
mkdir -p alone/libexec/blobseal alone/path
for place in path/blobseal-bench libexec/blobseal/blobseal-bench bin/blobseal-bench; do
    printf '#!/bin/sh\necho "%s" >&2\nexit 3\n' "$place" >alone/$place
    chmod 755 alone/$place
    try env -u BLOBSEAL_BENCH PATH="$PWD/alone/path:$PATH" alone/bin/blobseal bench
    expect_error 1 E-INTERNAL "failed with exit code 3: $place"
done

fresh "a program that fails"
bad() { # bad EXIT-CODE CODE PATTERN: with the stand-in from standard input the verb fails like this and leaves no file
    stand_in bad
    BLOBSEAL_BENCH=$tmp/bad run bench --html x.html --json-out x.json
    expect_error "$1" "$2" "$3"
    no_leftovers
}
bad 1 E-INTERNAL "failed with exit code 1: no memory" <<<"cat '$recorded'; echo 'no memory' >&2; exit 1"
bad 1 E-INTERNAL "ended by signal 11 .Segmentation fault." <<<"kill -SEGV \$\$"
bad 1 E-INTERNAL "the output of blobseal-bench is not JSON" <<<"echo rubbish"
bad 1 E-INTERNAL "the output of blobseal-bench is not JSON" <<<":"
bad 1 E-INTERNAL "the output of blobseal-bench is JSON, but not" <<<"echo '{}'"
bad 1 E-INTERNAL "read the measurements of" <<<"exec cat /dev/zero"
printf '\177ELF' >"$tmp/bad"
chmod 755 "$tmp/bad"
BLOBSEAL_BENCH=$tmp/bad run bench
expect_error 2 E-CONFIG "cannot be started: Exec format error"
title="a program that has something to say"
stand_in talks <<<"echo '***WARNING*** slow' >&2; cat '$recorded'"
export BLOBSEAL_BENCH=$tmp/talks
run bench
expect_code 0
expect_stderr "^blobseal: warning: blobseal-bench reports: \*\*\*WARNING\*\*\* slow"
title="a program that reads"
stand_in reads <<<"cat; cat '$recorded'"
BLOBSEAL_BENCH=$tmp/reads run bench --json
expect_same "$out" "$recorded"

# shellcheck disable=SC2317 # wait_until calls it
is_gone() { # is_gone ID: the process has ended, even if its parent has not waited for it
    ! grep -qE '^State:[[:space:]]+[^ZX]' "/proc/$1/status" 2>/dev/null
}

fresh "a signal while it measures"
stand_in slow <<<"echo \$\$ >'$tmp/id'; exec sleep 600"
export BLOBSEAL_BENCH=$tmp/slow
for signal in INT TERM KILL; do
    rm -f "$tmp/id"
    start bench --json-out x.json
    check "it measures" wait_until test -s "$tmp/id"
    kill -"$signal" "$pid"
    ended
    expect_code $((128 + $(kill -l "$signal")))
    check "the program that measures ends as well" wait_until is_gone "$(cat "$tmp/id")"
done
no_leftovers

# ---- Progress ----

title="progress"
stand_in steps <<END
echo 'blobseal-bench: 1/2 clock/add-chain' >&2
printf 'blobseal-bench: 2/2 a\033[31mname\n' >&2
cat "$recorded"
END
export BLOBSEAL_BENCH=$tmp/steps
on_terminal -- sh -c "'$blobseal' bench -q >table"
expect_code 0
expect_stdout ""
on_terminal -- sh -c "'$blobseal' bench >table"
expect_code 0
check "a line for each step, and none at the end" test "$(tr -d '\r' <"$out" | sed 's/\x1b/E/g')" = \
    "bench 1/2  clock/add-chainE[Kbench 2/2  a?[31mnameE[KE[K"
run bench --progress=fancy
expect_error 2 E-USAGE "--progress is auto"
run bench --progress=json
expect_code 0
check "nothing but progress, if it takes a second" test -z "$(grep -v '^{"schema":"blobseal.progress/1",.*}$' "$err")"

finish
