#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The answers of the fake vault have the form of those of the real service, so that it is not made to fit this program.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
# shellcheck source=tests/keyvault/lib.sh
. "$root/tests/keyvault/lib.sh"

start_vault
title="recordings of the real service"
try python3 "$keyvault/compare.py" "$root/tests/vectors/keyvault/real-service-7.3.json" "$vault" "$vault_ca" "$vault_control"
expect_code 0
[ "$code" = 0 ] || cat "$out" "$err"
finish
