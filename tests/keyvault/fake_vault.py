#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A vault for tests: the data plane of Azure Key Vault, an authority that issues tokens, and the endpoints of managed
identities, on 127.0.0.1. Its answers are compared with recordings of the real service (check_recordings.py).

    fake_vault.py DIR

DIR receives ca.pem, app.pem (the certificate and key of the app), and `ports`, when everything listens: lines NAME=PORT
for https (vault and authority, as https://localhost:PORT), http (managed identities) and control. The process ends at
the end of its standard input.

Control: POST http://127.0.0.1:PORT/COMMAND with a JSON object; the answer is JSON. Commands are the methods do_* of
class Control. GET /requests returns the list of all requests. The names of all hosts can be chosen with `curl
--resolve`, because the certificate has many.
"""
import datetime
import ipaddress
import json
import os
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

import fake_faults
import fake_tokens
from fake_keys import Keys, Refusal

HOSTS = ["localhost", "*.vault.azure.net", "*.managedhsm.azure.net", "login.microsoftonline.com"]

# ---- Certificates ----


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(subject, key, issuer, issuer_key, days=(-1, 30), hosts=(), ca=False):
    now = datetime.datetime.now(datetime.timezone.utc)
    alternatives = [x509.DNSName(h) for h in hosts] + [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
               .public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(now + datetime.timedelta(days=days[0]))
               .not_valid_after(now + datetime.timedelta(days=days[1]))
               .add_extension(x509.BasicConstraints(ca, None), True)
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
               .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False))
    if ca:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, True)
    elif hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), False)
    return builder.sign(issuer_key, hashes.SHA256())


def pem(thing):
    if hasattr(thing, "private_bytes"):
        return thing.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                   serialization.NoEncryption()).decode()
    return thing.public_bytes(serialization.Encoding.PEM).decode()


def write(folder, file, text):
    path = os.path.join(folder, file)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
        f.write(text)
    return path


def make_certificates(folder):
    """Return a context of TLS for each kind of certificate, and the app's certificate."""
    ca, other, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    write(folder, "ca.pem", pem(certificate("Test CA", ca, "Test CA", ca, ca=True)))
    kinds = {
        "good": certificate("fake", key, "Test CA", ca, hosts=HOSTS),
        "expired": certificate("fake", key, "Test CA", ca, days=(-30, -1), hosts=HOSTS),
        "future": certificate("fake", key, "Test CA", ca, days=(2, 30), hosts=HOSTS),
        "wrong_host": certificate("fake", key, "Test CA", ca, hosts=["elsewhere.example"], days=(-1, 30)),
        "self_signed": certificate("fake", key, "fake", key, hosts=HOSTS),
        "other_ca": certificate("fake", key, "Test CA", other, hosts=HOSTS),
    }
    contexts = {}
    for kind, cert in kinds.items():
        contexts[kind] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts[kind].load_cert_chain(write(folder, f"{kind}.crt", pem(cert)), write(folder, "server.key", pem(key)))
    warnings.simplefilter("ignore", DeprecationWarning)  # of TLS 1.1, which is the point of it
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.load_cert_chain(os.path.join(folder, "good.crt"), os.path.join(folder, "server.key"))
    contexts["old_tls"] = old
    app_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    app = pem(certificate("app", app_key, "app", app_key))
    write(folder, "app.pem", app + pem(app_key))
    return contexts, app


# ---- The servers ----


class Fake:
    """Everything that the servers share."""

    def __init__(self, folder):
        self.folder = folder
        self.contexts, app = make_certificates(folder)
        self.kind = "good"
        self.keys = Keys()
        self.tokens = fake_tokens.Tokens()
        self.tokens.certificate = app
        self.resource = fake_tokens.RESOURCE
        self.faults = fake_faults.Faults()
        self.requests = []
        self.servers = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    abort = False

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string((timestamp or time.time()) + self.server.fake.keys.skew)

    def reply(self, status, body, headers=None):
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.entry["status"] = status
        self.send_response(status)
        headers = dict(headers or {})
        headers.setdefault("Content-Type", "application/json; charset=utf-8")
        headers.setdefault("Cache-Control", "no-cache")
        headers.setdefault("x-ms-keyvault-region", "nowhere")
        headers.setdefault("x-ms-request-id", f"request-{len(self.server.fake.requests)}")
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def read(self):
        """Read the request. Return its path, the names and values of its query, and its body."""
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.entry = {"method": self.command, "host": self.headers.get("Host"), "path": url.path, "query": query,
                      "headers": dict(self.headers.items()), "body": body.decode(errors="replace"), "at": time.time()}
        self.server.fake.requests.append(self.entry)
        return url.path, query, body

    def do_GET(self):
        fake = self.server.fake
        path, query, body = self.read()
        op = self.operation(path)
        self.entry["op"] = op
        fault, stop = fake.faults.strike(op)
        try:
            if fault and not fake_faults.play(self, fault, stop):
                self.entry["fault"] = fault["kind"]
                return
            self.answer(path, query, body)
        except (Refusal, fake_tokens.Denied) as e:
            self.reply(e.status, e.body, e.headers)
        except OSError:
            self.close_connection = True

    do_POST = do_PATCH = do_DELETE = do_PUT = do_GET

    def finish(self):
        try:
            super().finish()
        except OSError:
            pass


class Vault(Handler):
    """The vault and the authority."""

    @staticmethod
    def operation(path):
        if path.endswith("/oauth2/v2.0/token"):
            return "token"
        parts = path.lower().strip("/").split("/")
        return parts[-1] if parts[-1] in ("wrapkey", "unwrapkey", "encrypt", "decrypt", "versions") else \
            "deletedkeys" if parts[0] == "deletedkeys" else "keys" if len(parts) == 1 else "get"

    def answer(self, path, query, body):
        fake = self.server.fake
        if path.endswith("/oauth2/v2.0/token"):
            form = dict(urllib.parse.parse_qsl(body.decode()))
            self.reply(200, fake.tokens.oauth(path.split("/")[1], form))
            return
        oid = fake.tokens.check(self.headers.get("Authorization"), fake.resource)
        self.entry["oid"] = oid
        if "api-version" not in query:
            raise Refusal(400, "BadParameter", None, "api-version must be specified")
        parts = path.strip("/").split("/")
        base = f"https://{self.headers.get('Host')}"
        result = fake.keys.rest(self.command, base, parts, json.loads(body) if body else None, oid, query)
        self.reply(200 if result is not None else 204, result)


class Identity(Handler):
    """The endpoints of managed identities, over plain HTTP."""

    @staticmethod
    def operation(path):
        return "identity"

    def answer(self, path, query, body):
        self.reply(200, self.server.fake.tokens.managed(path, query, self.headers, self.command, body))


class Control(Handler):
    @staticmethod
    def operation(path):
        return "control"

    def read(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.entry = {}
        return self.path, {}, body

    def answer(self, path, query, body):
        command = getattr(self, "do_" + path.strip("/"), None)
        if command is None:
            self.reply(404, {"error": f"no command {path}"})
            return
        try:
            self.reply(200, command(self.server.fake, **(json.loads(body) if body else {})) or {})
        except (TypeError, ValueError, KeyError) as e:
            self.reply(400, {"error": repr(e)})

    # ---- Commands ----

    @staticmethod
    def do_create(fake, name, **how):
        return {"version": fake.keys.create(name, **how).id}

    @staticmethod
    def do_rotate(fake, name):
        return {"version": fake.keys.rotate(name).id}

    @staticmethod
    def do_change(fake, name, version=None, **attributes):
        fake.keys.change(name, version, **attributes)

    @staticmethod
    def do_delete(fake, name):
        fake.keys.delete(name)

    @staticmethod
    def do_recover(fake, name):
        fake.keys.recover(name)

    @staticmethod
    def do_purge(fake, name):
        fake.keys.purge(name)

    @staticmethod
    def do_deny(fake, permissions, oid=None):
        """Take permissions away, from one identity or from all. An empty list gives them back."""
        if oid:
            fake.keys.denied_to[oid] = set(permissions)
        else:
            fake.keys.denied = set(permissions)

    @staticmethod
    def do_set(fake, **settings):
        """firewall, rbac, page (items of a list in one answer), skew (s), life (s), refresh_in (s), tenant,
        claims_needed, certificate (a kind), resource,
        old_tokens_end (true: no token issued until now is accepted), arc_file."""
        for key, value in settings.items():
            if key in ("firewall", "rbac", "page"):
                setattr(fake.keys, key, value)
            elif key == "skew":
                fake.keys.skew = fake.tokens.skew = value
            elif key == "certificate":
                fake.contexts[value]  # pylint: disable=pointless-statement
                fake.kind = value
            elif key == "resource":
                fake.resource = value
            elif key == "old_tokens_end":
                fake.tokens.min_issue = len(fake.tokens.issued)
            elif hasattr(fake.tokens, key):
                setattr(fake.tokens, key, value)
            else:
                raise ValueError(f"no setting {key}")

    @staticmethod
    def do_fault(fake, **fault):
        fake.faults.add(fault)

    @staticmethod
    def do_heal(fake):
        fake.faults.clear()

    @staticmethod
    def do_down(fake):
        """Stop accepting connections, and end those that are open."""
        fake.servers["https"].close()

    @staticmethod
    def do_up(fake):
        fake.servers["https"].start()

    @staticmethod
    def do_requests(fake):
        return {"requests": [dict(r) for r in list(fake.requests)]}  # others may be added meanwhile

    @staticmethod
    def do_forget(fake):
        """Empty the list of requests."""
        fake.requests.clear()

    @staticmethod
    def do_count(fake, **want):
        """Return how many requests had these members, such as {"op": "unwrapkey"}."""
        return {"count": sum(all(r.get(k) == v for k, v in want.items()) for r in list(fake.requests))}

    @staticmethod
    def do_secrets(fake):
        """Return all tokens that were issued, and the other secrets, to search for them."""
        return {"secrets": fake.tokens.issued + [fake_tokens.SECRET, fake_tokens.FEDERATED, fake.tokens.arc_secret]}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, fake, handler, tls):
        self.fake, self.tls, self.open = fake, tls, set()
        # A socket that never listens keeps the port while the server is down, so that nobody else gets it.
        self.kept = socket.socket()
        self.kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.kept.bind(("127.0.0.1", 0))
        super().__init__(self.kept.getsockname(), handler)
        self.thread = None
        self.start_thread()

    def start_thread(self):
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def close(self):
        self.shutdown()
        self.server_close()
        for c in list(self.open):
            try:
                c.shutdown(2)
            except OSError:
                pass

    def start(self):
        """Listen again, on the same port."""
        again = Server.__new__(Server)
        again.fake, again.tls, again.open, again.kept = self.fake, self.tls, set(), self.kept
        ThreadingHTTPServer.__init__(again, self.server_address, self.RequestHandlerClass)
        again.start_thread()
        self.fake.servers["https"] = again

    def server_close(self):
        self.socket.close()  # without waiting for the threads of connections

    def finish_request(self, request, client_address):
        if self.tls:
            try:
                request.settimeout(30)
                request = self.fake.contexts[self.fake.kind].wrap_socket(request, server_side=True)
                request.settimeout(None)
            except OSError:
                request.close()
                return
        self.open.add(request)
        try:
            self.RequestHandlerClass(request, client_address, self)
        finally:
            self.open.discard(request)
            if self.tls:
                request.close()

    def handle_error(self, request, client_address):
        pass


def main():
    folder = sys.argv[1]
    fake = Fake(folder)
    fake.servers = {"https": Server(fake, Vault, True), "http": Server(fake, Identity, False),
                    "control": Server(fake, Control, False)}
    fake.tokens.authority = f"https://localhost:{fake.servers['https'].server_address[1]}"
    write(folder, "ports.new", "".join(f"{k}={s.server_address[1]}\n" for k, s in fake.servers.items()))
    os.rename(os.path.join(folder, "ports.new"), os.path.join(folder, "ports"))
    sys.stdin.buffer.read()


main()
