# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Programs that are built from Go modules. The variable GO_TOOLS may name a folder where they are kept for later.

# go_tool NAME PACKAGE@VERSION SECONDS: build the program unless it is there, in at most so many seconds. It is then
# $GO_TOOLS/NAME, and what the compiler said is beside it.
go_tool() {
    : "${GO_TOOLS:=${root:?}/build/go-tools}"
    [ ! -x "$GO_TOOLS/$1" ] || return 0
    command -v go >/dev/null || return
    mkdir -p "$GO_TOOLS" || return
    GOTOOLCHAIN=local GOBIN=$GO_TOOLS timeout "$3" nice -n 10 go install "$2" >"$GO_TOOLS/$1.log" 2>&1
}
