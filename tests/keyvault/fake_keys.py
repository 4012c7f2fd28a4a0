# SPDX-License-Identifier: Apache-2.0
"""The keys of the fake vault: versions, attributes, soft delete, and the operations of the data plane."""
import base64
import binascii
import os
import threading
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

ALL_OPS = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"]


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as e:
        raise Refusal(400, "BadParameter", None, "The value is not base64url.") from e


class Refusal(Exception):
    """An answer that is an error, in the form that the service uses."""

    def __init__(self, status, code, inner, message, headers=None):
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.body = {"error": {"code": code, "message": message}}
        if inner:
            self.body["error"]["innererror"] = {"code": inner}


def number(n):
    return encode(n.to_bytes((n.bit_length() + 7) // 8, "big"))


class Version:
    def __init__(self, now, kty="RSA", size=2048, pem=None, **attributes):
        self.id = os.urandom(16).hex()
        self.kty = kty
        if pem:
            self.key = serialization.load_pem_private_key(pem.encode(), None)
        elif kty.startswith("RSA"):
            self.key = rsa.generate_private_key(public_exponent=65537, key_size=size)
        elif kty.startswith("EC"):
            self.key = ec.generate_private_key(ec.SECP256R1())
        else:
            self.key = None
        self.key_ops = attributes.pop("key_ops", ALL_OPS)
        self.managed = attributes.pop("managed", False)
        self.tags = attributes.pop("tags", None)
        self.attributes = {"enabled": True, "created": now, "updated": now, "recoveryLevel": "Recoverable",
                           "recoverableDays": 90, "exportable": False, "hsmPlatform": "0"}
        self.attributes.update(attributes)

    def bundle(self, base, name):
        key = {"kid": f"{base}/keys/{name}/{self.id}", "kty": self.kty, "key_ops": self.key_ops}
        if self.kty.startswith("RSA"):
            n = self.key.public_key().public_numbers()
            key.update(n=number(n.n), e=number(n.e))
        elif self.kty.startswith("EC"):
            n = self.key.public_key().public_numbers()
            key.update(crv="P-256", x=number(n.x), y=number(n.y))
        out = {"key": key, "attributes": dict(self.attributes)}
        return self.with_extras(out)

    def with_extras(self, out):
        """Add the members that bundles and items have only where they say something."""
        if self.managed:
            out["managed"] = True
        if self.tags:
            out["tags"] = self.tags
        return out


PADDINGS = {
    "RSA-OAEP": lambda: padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None),
    "RSA-OAEP-256": lambda: padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None),
    "RSA1_5": padding.PKCS1v15,
}
NEEDS = {"wrapkey": "wrapKey", "unwrapkey": "unwrapKey", "encrypt": "encrypt", "decrypt": "decrypt"}


class Keys:
    """All keys of one vault. Names compare without case, versions exactly."""

    def __init__(self):
        self.lock = threading.RLock()
        self.keys = {}
        self.deleted = {}
        self.skew = 0
        self.page = 25  # items of a list in one answer
        self.firewall = False
        self.rbac = True
        self.denied = set()  # permissions that nobody has: get, wrapKey, unwrapKey, ...
        self.denied_to = {}  # object id of an identity: permissions that it lacks

    def now(self):
        return int(time.time() + self.skew)

    # ---- Administration ----

    def create(self, name, **how):
        with self.lock:
            if name.lower() in self.deleted:
                raise Refusal(409, "Conflict", "ObjectIsDeletedButRecoverable",
                              f"Key {name} is currently in a deleted but recoverable state, and its name cannot be "
                              "reused; in this state, the key can only be recovered or purged.")
            v = Version(self.now(), **how)
            self.keys.setdefault(name.lower(), (name, []))[1].append(v)
            return v

    def rotate(self, name):
        with self.lock:
            old = self.find(name, None)
            return self.create(self.keys[name.lower()][0], kty=old.kty,
                               size=old.key.key_size if old.kty.startswith("RSA") else 0, key_ops=old.key_ops,
                               recoveryLevel=old.attributes["recoveryLevel"])

    def change(self, name, version=None, **attributes):
        with self.lock:
            v = self.find(name, version)
            for member in ("key_ops", "managed", "kty"):
                if member in attributes:
                    setattr(v, member, attributes.pop(member))
            for member, value in attributes.items():
                if value is None:
                    v.attributes.pop(member, None)
                else:
                    v.attributes[member] = value
            v.attributes["updated"] = self.now()
            return v

    def delete(self, name):
        with self.lock:
            self.find(name, None)
            self.deleted[name.lower()] = self.keys.pop(name.lower()) + (self.now(),)

    def recover(self, name):
        with self.lock:
            if name.lower() not in self.deleted:
                raise self.not_found(name)
            self.keys[name.lower()] = self.deleted.pop(name.lower())[:2]

    def purge(self, name):
        with self.lock:
            if self.deleted.pop(name.lower(), None) is None:
                raise self.not_found(name)

    # ---- The data plane ----

    @staticmethod
    def not_found(name, version=None):
        return Refusal(404, "KeyNotFound", None,
                       f"A key with (name/id) {name}{'/' + version if version else ''} was not found in this key "
                       "vault. If you recently deleted this key you may be able to recover it using the correct "
                       "recovery command. For help resolving this issue, please see "
                       "https://go.microsoft.com/fwlink/?linkid=2125182")

    def find(self, name, version):
        with self.lock:
            if name.lower() not in self.keys:
                raise self.not_found(name, version)
            versions = self.keys[name.lower()][1]
            if not version:
                return versions[-1]
            for v in versions:
                if v.id == version:
                    return v
            raise self.not_found(name, version)

    def real_name(self, name):
        with self.lock:
            return self.keys[name.lower()][0] if name.lower() in self.keys else name

    def check(self, permission, oid):
        """Refuse as the firewall and the permissions of the vault do."""
        if self.firewall:
            raise Refusal(403, "Forbidden", "ForbiddenByFirewall",
                          "Client address is not authorized and caller is not a trusted service.\r\nClient address: "
                          "192.0.2.1\r\nCaller: appid=*;oid=*\r\nVault: fake;location=nowhere")
        if permission not in self.denied and permission not in self.denied_to.get(oid, ()):
            return
        if self.rbac:
            raise Refusal(403, "Forbidden", "ForbiddenByRbac",
                          "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny "
                          "assignments or role definitions were changed recently, please observe propagation time."
                          f"\r\nAction: 'Microsoft.KeyVault/vaults/keys/{permission}/action'\r\nAssignment: (not "
                          "found)\r\nDecisionReason: 'DeniedWithNoValidRBAC'")
        raise Refusal(403, "Forbidden", "AccessDenied",
                      f"The user, group or application does not have keys {permission} permission on key vault "
                      "'fake;location=nowhere'.")

    def use(self, base, name, version, op, body):
        """wrapkey, unwrapkey, encrypt, decrypt."""
        v = self.find(name, version)
        what = NEEDS[op]
        private = op in ("unwrapkey", "decrypt")
        if not v.attributes["enabled"]:
            raise Refusal(403, "Forbidden", "KeyDisabled", f"Operation {what} is not allowed on a disabled key.")
        if what not in v.key_ops:
            raise Refusal(403, "Forbidden", "KeyOperationForbidden", f"Operation {what} is not permitted on this key.")
        if not private and v.attributes.get("nbf", 0) > self.now():
            raise Refusal(403, "Forbidden", "KeyNotYetValid", f"Operation {what} is not allowed on a key that is not "
                          "yet valid.")
        if not private and v.attributes.get("exp", 1 << 40) <= self.now():
            raise Refusal(403, "Forbidden", "KeyExpired", f"Operation {what} is not allowed on an expired key.")
        if not isinstance(body, dict) or body.get("alg") not in PADDINGS or not v.kty.startswith("RSA"):
            raise Refusal(400, "BadParameter", None, "Property alg has invalid value.")
        data = decode(body.get("value", ""))
        pad = PADDINGS[body["alg"]]()
        try:
            value = v.key.decrypt(data, pad) if private else v.key.public_key().encrypt(data, pad)
        except ValueError as e:
            raise Refusal(400, "BadParameter", None, "Error occurred while decoding OAEP padding.") from e
        return {"kid": f"{base}/keys/{self.real_name(name)}/{v.id}", "value": encode(value)}

    def listed(self, base, path, query, items):
        """One page of a list: the items from $skiptoken on, and the address of the next page."""
        size = min(int(query.get("maxresults", 25)), self.page)
        start = int(query.get("$skiptoken", 0))
        link = None
        if start + size < len(items):
            link = (f"{base}{path}?api-version={query['api-version']}&$skiptoken={start + size}"
                    f"&maxresults={size}")
        return {"value": items[start:start + size], "nextLink": link}

    @staticmethod
    def item(kid, version):
        return version.with_extras({"kid": kid, "attributes": dict(version.attributes)})

    def all_keys(self, base, query):
        with self.lock:
            items = [self.item(f"{base}/keys/{real}", versions[-1]) for real, versions in self.keys.values()]
        return self.listed(base, "/keys", query, items)

    def versions(self, base, name, query):
        self.find(name, None)
        with self.lock:
            real, versions = self.keys[name.lower()]
            items = [self.item(f"{base}/keys/{real}/{v.id}", v) for v in versions]
        return self.listed(base, f"/keys/{real}/versions", query, items)

    def deleted_bundle(self, base, name):
        with self.lock:
            if name.lower() not in self.deleted:
                raise self.not_found(name)
            real, versions, when = self.deleted[name.lower()]
            out = versions[-1].bundle(base, real)
            out.update(recoveryId=f"{base}/deletedkeys/{real}", deletedDate=when, scheduledPurgeDate=when + 90 * 86400)
            return out

    def rest(self, method, base, parts, body, oid, query):  # pylint: disable=too-many-arguments
        """Answer a request of the data plane whose path has these parts."""
        if [p.lower() for p in parts] == ["keys"] and method == "GET":
            self.check("list", oid)
            return self.all_keys(base, query)
        if len(parts) < 2:
            raise Refusal(404, "NotFound", None, "No such path.")
        kind, name, rest = parts[0].lower(), parts[1], parts[2:]
        if kind == "deletedkeys" and method == "GET":
            self.check("get", oid)
            return self.deleted_bundle(base, name)
        if kind == "deletedkeys" and method == "POST" and rest == ["recover"]:
            self.check("recover", oid)
            self.recover(name)
            return self.find(name, None).bundle(base, self.real_name(name))
        if kind == "deletedkeys" and method == "DELETE":
            self.check("purge", oid)
            self.purge(name)
            return None
        if kind != "keys":
            raise Refusal(404, "NotFound", None, "No such path.")
        if method == "POST" and rest and rest[-1].lower() in NEEDS:
            op = rest[-1].lower()
            self.check(NEEDS[op], oid)
            return self.use(base, name, rest[0] if len(rest) > 1 else None, op, body)
        if method == "GET" and rest == ["versions"]:
            self.check("list", oid)
            return self.versions(base, name, query)
        if method == "GET" and len(rest) <= 1:
            self.check("get", oid)
            return self.find(name, rest[0] if rest else None).bundle(base, self.real_name(name))
        if method == "POST" and rest == ["create"]:
            self.check("create", oid)
            how = dict((body or {}).get("attributes") or {})
            how.update(kty=body.get("kty", "RSA"), size=body.get("key_size", 2048))
            if body.get("key_ops"):
                how["key_ops"] = body["key_ops"]
            return self.create(name, **how).bundle(base, name)
        if method == "POST" and rest == ["rotate"]:
            self.check("rotate", oid)
            return self.rotate(name).bundle(base, self.real_name(name))
        if method == "PATCH":
            self.check("update", oid)
            how = dict((body or {}).get("attributes") or {})
            if "key_ops" in (body or {}):
                how["key_ops"] = body["key_ops"]
            return self.change(name, rest[0] if rest else None, **how).bundle(base, self.real_name(name))
        if method == "DELETE" and not rest:
            self.check("delete", oid)
            self.delete(name)
            return self.deleted_bundle(base, name)
        raise Refusal(405, "MethodNotAllowed", None, "No such operation.")
