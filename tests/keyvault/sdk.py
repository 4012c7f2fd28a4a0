#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The official SDK for Python as a client of the fake vault.

    sdk.py VAULT-URL CA TOKEN WRAPPED

WRAPPED is a key that blobseal has wrapped, in base64url. Prints one line for each step. The SDK wraps by itself if it
may look up the key; so wrapping in the vault happens after `wait`, when the test has taken that permission away and
writes a line to the standard input.
"""
import base64
import sys
import time

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, KeyWrapAlgorithm

URL, CA, TOKEN, WRAPPED = sys.argv[1:]
OPTIONS = {"verify_challenge_resource": False, "connection_verify": CA, "retry_total": 3}
ALGORITHM = KeyWrapAlgorithm.rsa_oaep_256


class Credential:
    """Return the token of the test, and print what it is asked for."""

    asked = set()

    def get_token(self, *scopes, tenant_id=None, **_more):
        if (scopes, tenant_id) not in self.asked:
            self.asked.add((scopes, tenant_id))
            print("token", *scopes, tenant_id)
        return AccessToken(TOKEN, int(time.time()) + 3600)


def refusal(function, *arguments):
    """Call a function that must fail. Return the status of the answer, and the codes in it."""
    try:
        function(*arguments)
    except HttpResponseError as e:
        return e.status_code, e.error.code, (e.error.innererror or {}).get("code", "-")
    raise AssertionError("it was not refused")


def main():
    credential = Credential()
    client = KeyClient(URL, credential, **OPTIONS)
    key = client.get_key("kek")
    print("key", key.id, key.key_type.value, key.properties.enabled, key.properties.recovery_level.value,
          key.properties.recoverable_days, ",".join(sorted(key.key_operations)))
    crypto = CryptographyClient(key, credential, **OPTIONS)
    secret = bytes([7]) * 32
    wrapped = crypto.wrap_key(ALGORITHM, secret)
    plain = crypto.unwrap_key(ALGORITHM, wrapped.encrypted_key)
    print("unwrapped", plain.key == secret, plain.key_id)
    ours = crypto.unwrap_key(ALGORITHM, base64.urlsafe_b64decode(WRAPPED + "=="))
    print("ours", len(ours.key))
    for version in client.list_properties_of_key_versions("kek"):
        print("version", version.id, version.created_on is not None)
    print("keys", *sorted(k.name for k in client.list_properties_of_keys()))
    client.begin_delete_key("gone").result()
    try:
        client.get_key("gone")
    except ResourceNotFoundError as e:
        print("deleted", e.status_code, e.error.code)
    deleted = client.get_deleted_key("gone")
    print("deleted key", deleted.name, deleted.recovery_id, deleted.scheduled_purge_date > deleted.deleted_date)
    client.begin_recover_deleted_key("gone").result()
    print("recovered", client.get_key("gone").name)
    client.update_key_properties("gone", enabled=False)
    gone = CryptographyClient(client.get_key("gone").id, credential, **OPTIONS)
    print("disabled", *refusal(gone.unwrap_key, ALGORITHM, wrapped.encrypted_key))
    print("garbage", *refusal(crypto.unwrap_key, ALGORITHM, bytes(256)))
    print("wait", flush=True)
    sys.stdin.readline()
    print("no get", *refusal(client.get_key, "kek"))
    remote = CryptographyClient(key.id, credential, **OPTIONS)
    wrapped = remote.wrap_key(ALGORITHM, secret)
    print("wrapped there", remote.unwrap_key(ALGORITHM, wrapped.encrypted_key).key == secret, wrapped.key_id == key.id)
    print("end", flush=True)
    sys.stdin.readline()
    print("throttled", remote.unwrap_key(ALGORITHM, wrapped.encrypted_key).key == secret)


main()
