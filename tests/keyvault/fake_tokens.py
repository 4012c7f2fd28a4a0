# SPDX-License-Identifier: Apache-2.0
"""Tokens of the fake authority, and the endpoints from which each kind of identity gets them."""
import hashlib
import hmac
import json
import os
import time
import urllib.parse

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509 import load_pem_x509_certificate

from fake_keys import decode, encode, Refusal

TENANT = "11111111-2222-3333-4444-555555555555"
SYSTEM = {"oid": "aaaaaaaa-0000-0000-0000-000000000001", "appid": "bbbbbbbb-0000-0000-0000-000000000001"}
USER = {"oid": "aaaaaaaa-0000-0000-0000-000000000002", "appid": "bbbbbbbb-0000-0000-0000-000000000002"}
USER_RESOURCE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/u"
APP = {"oid": "aaaaaaaa-0000-0000-0000-000000000003", "appid": "bbbbbbbb-0000-0000-0000-000000000003"}
SECRET = "the~secret.of the app"
FEDERATED = "the.token.of.the.cluster"
RESOURCE = "https://vault.azure.net"


class Denied(Exception):
    """An error of the authority or of a managed identity endpoint."""

    def __init__(self, status, body, headers=None):
        super().__init__(str(body))
        self.status, self.body, self.headers = status, body, dict(headers or {})


def aad(code, error, text, status=400):
    return Denied(status, {"error": error, "error_description": f"AADSTS{code}: {text} Trace ID: t Correlation ID: c "
                           "Timestamp: now", "error_codes": [code], "correlation_id":
                           "cccccccc-0000-0000-0000-000000000000", "trace_id": "t"})


class Tokens:
    def __init__(self):
        self.key = os.urandom(32)
        self.life = 3599
        self.refresh_in = None
        self.skew = 0
        self.tenant = TENANT   # that the vault trusts
        self.issued = []
        self.min_issue = 0     # tokens with a smaller number are not accepted any more
        self.claims_needed = None
        self.certificate = None  # in PEM, of the app
        self.authority = ""      # the URL of this server
        self.arc_file = "/var/opt/azcmagent/tokens/blobseal-test.key"
        self.arc_secret = "arc-secret"

    # ---- Making and checking tokens ----

    def make(self, who, resource, tenant=TENANT, claims=None):
        now = int(time.time() + self.skew)
        payload = {"aud": resource, "iss": f"https://sts.windows.net/{tenant}/", "iat": now, "nbf": now,
                   "exp": now + self.life, "tid": tenant, "n": len(self.issued)}
        payload.update(who)
        if claims:
            payload["xms_claims"] = claims
        text = encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + "." + encode(json.dumps(payload).encode())
        token = text + "." + encode(hmac.new(self.key, text.encode(), hashlib.sha256).digest())
        self.issued.append(token)
        return token

    def check(self, authorization, resource):
        """Return the object id of the caller of the vault, or refuse."""
        challenge = f'Bearer authorization="{self.authority}/{self.tenant}", resource="{resource}"'

        def refuse(message, more=""):
            return Refusal(401, "Unauthorized", None, message, {"WWW-Authenticate": challenge + more})

        if not authorization or not authorization.startswith("Bearer "):
            raise refuse("AKV10000: Request is missing a Bearer or PoP token.")
        try:
            text, signature = authorization[7:].rsplit(".", 1)
            good = encode(hmac.new(self.key, text.encode(), hashlib.sha256).digest())
            payload = json.loads(decode(text.split(".")[1]))
        except (ValueError, IndexError, Refusal) as e:
            raise refuse("AKV10001: Unable to parse the token.") from e
        if not hmac.compare_digest(good, signature):
            raise refuse("AKV10005: The signature of the token is not valid.")
        if payload["aud"] != resource:
            raise refuse(f"AKV10022: Invalid audience. Expected {resource}, found: {payload['aud']}.")
        if payload["tid"] != self.tenant:
            raise refuse(f"AKV10032: Invalid issuer. Expected one of https://sts.windows.net/{self.tenant}/, found "
                         f"{payload['iss']}.")
        if payload["exp"] <= time.time() + self.skew or payload["n"] < self.min_issue:
            raise refuse("AKV10046: Unable to validate the lifetime of the token.", ', error="invalid_token"')
        if self.claims_needed and payload.get("xms_claims") != self.claims_needed:
            claims = encode(json.dumps(self.claims_needed).encode())
            raise refuse("AKV10142: The token lacks claims.",
                         f', error="insufficient_claims", claims="{claims}"')
        return payload["oid"]

    def answer(self, token, numbers):
        out = {"token_type": "Bearer", "access_token": token}
        if numbers:
            out.update(expires_in=self.life, ext_expires_in=self.life)
        else:
            out.update(expires_in=str(self.life), expires_on=str(int(time.time() + self.skew) + self.life),
                       resource=RESOURCE)
        if self.refresh_in is not None:
            out["refresh_in"] = self.refresh_in
        return out

    # ---- The authority ----

    def check_assertion(self, assertion, endpoint):
        """Check a JWT that a client signed with its certificate (RFC 7523), as the authority does."""
        if assertion == FEDERATED:
            return
        try:
            head, body, signature = assertion.split(".")
            header, claims = json.loads(decode(head)), json.loads(decode(body))
            certificate = load_pem_x509_certificate(self.certificate.encode())
            digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()
            assert header == {"alg": "PS256", "typ": "JWT", "x5t#S256": encode(digest)}, header
            assert claims["aud"] == endpoint and claims["iss"] == claims["sub"] == APP["appid"], claims
            assert claims["nbf"] == claims["iat"] and claims["exp"] == claims["nbf"] + 600, claims
            assert abs(claims["iat"] - time.time() - self.skew) < 300 and len(claims["jti"]) == 36, claims
            certificate.public_key().verify(decode(signature), f"{head}.{body}".encode(),
                                            padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        except (ValueError, KeyError, AssertionError, InvalidSignature, AttributeError, Refusal) as e:
            raise aad(700027, "invalid_client", f"Client assertion failed signature validation: {e!r}", 401) from e

    def oauth(self, tenant, form):
        """POST /TENANT/oauth2/v2.0/token"""
        if tenant != TENANT and tenant != self.tenant:
            raise aad(90002, "invalid_request", f"Tenant '{tenant}' not found.")
        if form.get("grant_type") != "client_credentials" or form.get("client_id") != APP["appid"]:
            raise aad(700016, "unauthorized_client", "Application was not found in the directory.")
        if "client_assertion" in form:
            kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            if form.get("client_assertion_type") != kind:
                raise aad(900144, "invalid_request", "The request body must contain: 'client_assertion_type'.")
            self.check_assertion(form["client_assertion"], f"{self.authority}/{tenant}/oauth2/v2.0/token")
        elif form.get("client_secret") != SECRET:
            raise aad(7000215, "invalid_client", "Invalid client secret provided.", 401)
        scope = form.get("scope", "")
        if not scope.endswith("/.default"):
            raise aad(70011, "invalid_scope", "The provided value for the input parameter 'scope' is not valid.")
        claims = json.loads(form["claims"]) if form.get("claims") else None
        return self.answer(self.make(APP, scope[:-len("/.default")], tenant, claims), True)

    # ---- Managed identities ----

    def choose(self, query, resource_id):
        """Return the identity that a managed identity endpoint is asked for."""
        named = [n for n in ("client_id", "object_id", "principal_id", "msi_res_id", "mi_res_id") if n in query]
        if not named:
            return SYSTEM
        if named == ["client_id"] and query["client_id"] == USER["appid"]:
            return USER
        if named in (["object_id"], ["principal_id"]) and query[named[0]] == USER["oid"]:
            return USER
        if named == [resource_id] and query[resource_id] == USER_RESOURCE:
            return USER
        raise Denied(400, {"error": "invalid_request", "error_description": "Identity not found"})

    def managed(self, path, query, headers, method, body):
        """The endpoints over plain HTTP: of a virtual machine, App Service, Arc and Cloud Shell."""
        if "X-Forwarded-For" in headers:
            raise Denied(400, {"error": "invalid_request", "error_description": "Proxies are not allowed"})
        if path == "/metadata/identity/oauth2/token":
            if headers.get("Metadata") != "true" or query.get("api-version") != "2018-02-01":
                raise Denied(400, {"error": "bad_request_102", "error_description": "Required metadata header"})
            return self.answer(self.make(self.choose(query, "msi_res_id"), query["resource"]), False)
        if path == "/msi/token":
            if headers.get("X-IDENTITY-HEADER") != "app-service" or query.get("api-version") != "2019-08-01":
                raise Denied(401, {"statusCode": 401, "message": "Unauthorized"})
            return self.answer(self.make(self.choose(query, "mi_res_id"), query["resource"]), False)
        if path == "/arc/token":
            if headers.get("Metadata") != "true" or query.get("api-version") != "2020-06-01":
                raise Denied(400, {"error": "invalid_request"})
            if headers.get("Authorization") != f"Basic {self.arc_secret}":
                raise Denied(401, {"error": "unauthorized"}, {"WWW-Authenticate": f"Basic realm={self.arc_file}"})
            return self.answer(self.make(SYSTEM, query["resource"]), False)
        if path == "/cloudshell/token" and method == "POST":
            form = dict(urllib.parse.parse_qsl(body.decode()))
            if headers.get("Metadata") != "true":
                raise Denied(400, {"error": "invalid_request"})
            return self.answer(self.make(SYSTEM, form["resource"]), False)
        raise Denied(404, {"error": "not_found"})
