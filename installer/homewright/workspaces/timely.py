"""HTTP with one end for a whole answer: urllib's own timeout begins anew with every byte that comes."""

from __future__ import annotations

import socket
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from io import BufferedReader, RawIOBase
from typing import Any


class _Reader(RawIOBase):
    """What comes over a connection until a moment of the monotonic clock; TimeoutError after it."""

    def __init__(self, sock: socket.socket, end: float) -> None:
        self._sock, self._end = sock, end
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _made(kind: Callable[..., HTTPConnection], end: float) -> Callable[..., HTTPConnection]:
    """Connections whose answers, from the first line to the last byte, are there by then or given up."""

    class Answer(HTTPResponse):
        def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
            super().__init__(sock, *arguments, **options)
            self.fp.close()
            self.fp = BufferedReader(_Reader(sock, end))

    def connect(*arguments: Any, **options: Any) -> HTTPConnection:
        connection = kind(*arguments, **options)
        connection.response_class = Answer
        return connection

    return connect


class _Handler(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Of both schemes."""

    def __init__(self, end: float) -> None:
        super().__init__()
        self._end = end

    def do_open(self, http_class: Any, req: urllib.request.Request, **options: Any) -> HTTPResponse:
        return super().do_open(_made(http_class, self._end), req, **options)


def opener(end: float, *handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
    """As urllib.request.build_opener, with an end on the monotonic clock for all that one call of it waits for."""
    return urllib.request.build_opener(_Handler(end), *handlers)
