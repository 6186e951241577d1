"""Asks one DNS server and prints what it says: `rcode value...` for each `TYPE NAME`, `none` where it does not answer.

Sent to a server on standard input of its Python (3.8 or newer), because a minimal system has no dig.
Arguments: SERVER TYPE NAME [TYPE NAME ...]
"""

from __future__ import annotations

import random
import socket
import struct
import sys

TYPES = {"A": 1, "PTR": 12}
WAIT_S = 2.0
PORT = 53


def packed(name: str) -> bytes:
    labels = [part.encode("ascii") for part in name.rstrip(".").split(".")]
    return b"".join(bytes([len(part)]) + part for part in labels) + b"\0"


def unpacked(data: bytes, at: int) -> tuple[str, int]:
    """A name at this place, and the place after it."""
    labels: list[str] = []
    after = None
    for _ in range(128):
        length = data[at]
        if length >= 0xC0:
            after = at + 2 if after is None else after
            at = struct.unpack("!H", data[at : at + 2])[0] & 0x3FFF
        elif length == 0:
            return ".".join(labels), at + 1 if after is None else after
        else:
            labels.append(data[at + 1 : at + 1 + length].decode("ascii", "replace"))
            at += 1 + length
    raise ValueError("a name without end")


def read(data: bytes, kind: str) -> str:
    code, questions, answers = struct.unpack("!HHH", data[2:8])
    at = 12
    for _ in range(questions):
        at = unpacked(data, at)[1] + 4
    found = []
    for _ in range(answers):
        at = unpacked(data, at)[1]
        rtype, _, _, length = struct.unpack("!HHIH", data[at : at + 10])
        at += 10
        if rtype == TYPES[kind]:
            found.append(socket.inet_ntoa(data[at : at + 4]) if kind == "A" else unpacked(data, at)[0])
        at += length
    return " ".join([str(code & 15), *sorted(found)])


def ask(server: str, kind: str, name: str) -> str:
    try:
        # It tells the number of a link-local address' interface, which an address and a port alone leave out.
        found = socket.getaddrinfo(server, PORT, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return "none"
    family, where = found[0][0], found[0][4]
    number = random.randrange(65536)
    question = struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + packed(name) + struct.pack("!HH", TYPES[kind], 1)
    for _ in range(2):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as asking:
                asking.settimeout(WAIT_S)
                asking.connect(where)
                asking.send(question)
                data = asking.recv(4096)
        except OSError:
            continue
        if data[:2] == question[:2]:
            return read(data, kind)
    return "none"


if __name__ == "__main__":
    for place in range(2, len(sys.argv), 2):
        print(ask(sys.argv[1], sys.argv[place], sys.argv[place + 1]))
