#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A client of Kubernetes' container runtime interface, for the few calls that the tests make.

Usage: cri.py SOCKET pull IMAGE       print the id of the image, or the error and exit with 1
       cri.py SOCKET remove IMAGE
       cri.py SOCKET wait             until the runtime answers, for at most 60 seconds
"""

import sys
import time

import grpc


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, data):
    """Encode a field of bytes or text, or of a message that is encoded already."""
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def call(socket, method, request):
    with grpc.insecure_channel("unix://" + socket) as channel:
        return channel.unary_unary("/runtime.v1." + method)(request, timeout=120)


def wait(socket):
    end = time.monotonic() + 60
    while True:
        try:
            call(socket, "RuntimeService/Version", b"")
            return
        except grpc.RpcError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def main(arguments):
    socket, verb, *rest = arguments
    try:
        if verb == "wait":
            wait(socket)
        else:
            method = {"pull": "ImageService/PullImage", "remove": "ImageService/RemoveImage"}[verb]
            answer = call(socket, method, field(1, field(1, rest[0])))  # the request has an ImageSpec with a name
            print(answer[2:].decode() if verb == "pull" else "removed")
    except grpc.RpcError as error:
        print(f"{error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
