# SPDX-License-Identifier: Apache-2.0
"""Scripted faults of the fake vault. A fault has

    op     get, keys, versions, wrapkey, unwrapkey, deletedkeys, token (of an authority), identity (of a managed
           identity); without it any request to the vault
    kind   one of KINDS
    times  how often it strikes; without it always
    skip   how many requests it lets pass first
    and members that depend on its kind
"""
import json
import socket
import struct
import threading
import time

KINDS = ("error", "raw", "blackhole", "slow", "half", "reset", "garbage", "huge", "huge_headers", "redirect",
         "challenge", "not_json", "delay")


class Faults:
    def __init__(self):
        self.lock = threading.Lock()
        self.list = []
        self.stop = threading.Event()

    def add(self, fault):
        if fault.get("kind") not in KINDS:
            raise ValueError(f"kind is one of {KINDS}")
        with self.lock:
            self.list.append(dict(fault))

    def clear(self):
        with self.lock:
            self.list = []
            self.stop.set()  # those that are waiting
            self.stop = threading.Event()

    def strike(self, op):
        """Return the fault that the next request of this kind has, or None, and the event that ends it."""
        with self.lock:
            for f in self.list:
                of_vault = op not in ("token", "identity", "control")
                if f.get("op", "any") != op and not (of_vault and f.get("op", "any") == "any"):
                    continue
                if f.get("skip", 0) > 0:
                    f["skip"] -= 1
                    continue
                if f.get("times", 1) <= 0:
                    continue
                if "times" in f:
                    f["times"] -= 1
                return dict(f), self.stop
        return None, None


def reset(handler):
    """End the connection with a RST."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.abort = True


def play(handler, fault, stop):
    """Let a fault happen to a request. Return True if the request is answered as if there were none."""
    kind = fault["kind"]
    handler.close_connection = True
    if kind == "delay":
        handler.close_connection = False
        stop.wait(float(fault.get("seconds", 1)))
        return True
    if kind == "error":
        body = {"error": {"code": fault.get("code", "Unknown"), "message": fault.get("message", "A fault.")}}
        if fault.get("inner"):
            body["error"]["innererror"] = {"code": fault["inner"]}
        handler.reply(fault.get("status", 500), body, fault.get("headers"))
        handler.close_connection = False
    elif kind == "raw":
        handler.reply(fault.get("status", 200), fault.get("body", {}), fault.get("headers"))
    elif kind == "challenge":
        handler.reply(401, {"error": {"code": "Unauthorized", "message": fault.get("message", "AKV10000: Request is "
                      "missing a Bearer or PoP token.")}}, {"WWW-Authenticate": fault["value"]})
    elif kind == "redirect":
        handler.reply(302, {}, {"Location": fault["location"]})
    elif kind == "not_json":
        handler.reply(200, b"<html>Welcome to the network of this hotel</html>", {"Content-Type": "text/html"})
    elif kind == "blackhole":
        stop.wait(fault.get("seconds", 600))
        handler.abort = True
    elif kind == "reset":
        reset(handler)
    elif kind == "garbage":
        handler.wfile.write(bytes(range(256)) * 16 + b"\r\n\r\n")
    elif kind == "huge":
        size = fault.get("bytes", 10 << 20)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        if fault.get("announce", True):
            handler.wfile.write(b"Content-Length: %d\r\n" % size)
        handler.wfile.write(b"\r\n{\"value\":\"")
        for _ in range(size >> 16):
            handler.wfile.write(b"A" * 65536)
    elif kind == "huge_headers":
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"X-Filler: " + b"a" * 1000 + b"\r\n") * 100 + b"\r\n{}")
    elif kind in ("slow", "half"):
        text = json.dumps(fault.get("body", {"kid": "https://slow", "value": "AAAA"})).encode()
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                            % len(text))
        if kind == "half":
            handler.wfile.write(text[:len(text) // 2])
            handler.wfile.flush()
            return False
        for byte in text:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            if stop.wait(float(fault.get("seconds", 1))):
                break
    time.sleep(0)
    return False
