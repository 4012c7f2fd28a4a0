#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The object of a set: 200 kills during writes, and two writers for a minute.
BLOBSEAL_SET_KILLS=200 BLOBSEAL_SET_SECONDS=60 exec bash "$(dirname "$0")/../cli/test_set_store.sh"
