#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare what blobseal has sent to the fake vault with what an official SDK has sent.

    sdk_compare.py OURS THEIRS

Both are lists of requests (`vault requests`). The requests that look up a key, wrap and unwrap must agree.
"""
import json
import re
import sys

OPERATIONS = (("get", "/keys/kek"), ("wrapkey", "/keys/kek/VERSION/wrapkey"),
              ("unwrapkey", "/keys/kek/VERSION/unwrapkey"))


def facts(path):
    """Return each request for an operation, without what differs from run to run."""
    found = {}
    with open(path, encoding="utf-8") as f:
        requests = json.load(f)["requests"]
    for r in requests:
        if r["op"] not in ("get", "wrapkey", "unwrapkey") or r["status"] != 200 or "gone" in r["path"]:
            continue
        body = json.loads(r["body"]) if r["body"] else None
        key = re.sub("[0-9a-f]{32}", "VERSION", r["path"]).rstrip("/")
        headers = {k.lower(): v for k, v in r["headers"].items()}
        found[r["op"], key] = (
            r["method"], sorted(r["query"]), sorted(body) if body else None, body and body["alg"],
            body and len(body["value"]), headers.get("content-type"), headers["authorization"].split()[0],
            bool(re.fullmatch("[0-9a-f-]{36}", headers["x-ms-client-request-id"])), headers["accept"])
    return found


def main():
    ours, theirs = facts(sys.argv[1]), facts(sys.argv[2])
    for key in OPERATIONS:
        assert key in ours and key in theirs, (key, sorted(ours), sorted(theirs))
        assert ours[key] == theirs[key], (key, ours[key], theirs[key])


main()
