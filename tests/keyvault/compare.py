# SPDX-License-Identifier: Apache-2.0
"""Compare the answers of the fake vault with recordings of the real service: status, headers, members and their types.

    compare.py RECORDINGS HOST CA CONTROL-PORT
"""
import json
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

recordings, host, ca, control = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
faults = 0


def ask(method, path, body=None, token=None):
    request = urllib.request.Request(f"https://{host}{path}", method=method,
                                     data=json.dumps(body).encode() if body is not None else None)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, context=context) as answer:
            return answer.status, dict(answer.headers), json.load(answer)
    except urllib.error.HTTPError as e:
        return e.code, dict(e.headers), json.load(e)


def command(which, **arguments):
    request = urllib.request.Request(f"http://127.0.0.1:{control}/{which}", data=json.dumps(arguments).encode())
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def shape(value):
    """The type of a value, with its members."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        return [shape(v) for v in value[:1]]
    return type(value).__name__


def compare(what, expected, found, may_have=()):
    """The members must be the same, but for those that newer versions of the service have."""
    global faults
    a, b = shape(expected), shape(found)
    for name in may_have:
        b.get("attributes", {}).pop(name, None)
    if a != b:
        faults += 1
        print(f"FAIL {what}: the service answers {a}, the fake {b}")


def form_of(challenge):
    """A challenge without the names in it."""
    parts = challenge.split('"')
    return parts[0], parts[2], [urllib.parse.urlsplit(p).scheme for p in parts[1::2]]


def check_headers(what, expected, found):
    global faults
    for name, value in expected.items():
        same = name in found and (name != "Content-Type" or found[name] == value)
        if name == "WWW-Authenticate":
            same = form_of(found[name]) == form_of(value)
        if not same and name.startswith(("Content", "WWW", "Cache")):
            faults += 1
            print(f"FAIL {what}: header {name}: {value}, and the fake has {found.get(name)}")


with open(recordings, encoding="utf-8") as f:
    real = {r["what"]: r["response"] for r in json.load(f)}
command("create", name="kek", recoveryLevel="CustomizedRecoverable+Purgeable", recoverableDays=7)
status, headers, body = ask("GET", "/keys/kek?api-version=7.3")
expected = real["first request without a token"]
assert status == expected["status"]
check_headers("challenge", expected["headers"], headers)
compare("challenge", expected["body"], body)

form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": "bbbbbbbb-0000-0000-0000-000000000003",
                               "client_secret": "the~secret.of the app", "scope": "https://vault.azure.net/.default"})
tenant = headers["WWW-Authenticate"].split('"')[1].rsplit("/", 1)[1]
with urllib.request.urlopen(f"https://{host}/{tenant}/oauth2/v2.0/token", form.encode(), context=context) as answer:
    bearer = json.load(answer)["access_token"]

status, headers, body = ask("GET", "/keys/kek?api%2Dversion=7.3", token=bearer)
expected = real["GET of a key version"]
assert status == expected["status"]
check_headers("key", expected["headers"], headers)
compare("key", expected["body"], body, ("exportable", "hsmPlatform"))
version = body["key"]["kid"].rsplit("/", 1)[1]

status, headers, wrapped = ask("POST", f"/keys/kek/{version}/wrapkey?api-version=7.3",
                               {"alg": "RSA-OAEP", "value": "AAAA"}, bearer)
status, headers, body = ask("POST", f"/keys/kek/{version}/unwrapkey?api-version=7.3",
                            {"alg": "RSA-OAEP", "value": wrapped["value"]}, bearer)
expected = next(r for what, r in real.items() if what.startswith("unwrapkey"))
assert status == expected["status"]
check_headers("unwrapkey", expected["headers"], headers)
compare("unwrapkey", expected["body"], body)
sys.exit(1 if faults else 0)
