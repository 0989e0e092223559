"""The head of an HTTP/1.1 response and the framing of its body (RFC 9112)."""

import re
from collections.abc import Mapping
from typing import NamedTuple

# Longer heads and chunk lines are no honest server's.
HEAD_BYTES = 64 * 1024
_LINE_BYTES = 4096

SWITCHING_PROTOCOLS, OK = 101, 200

# Only these digits: `str.isdigit` and `int` know many more. Longer sizes are no honest server's.
_STATUS_LINE = re.compile(r"HTTP/1\.[0-9] ([1-5][0-9]{2})(?: .*)?")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


class BadResponse(Exception):
    """What came is no HTTP/1.1 response."""


class Head(NamedTuple):
    """Names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]


def read_head(data: bytes) -> tuple[Head, bytes] | None:
    """The head and what follows it; None when it isn't whole yet. Interim answers (1xx) before it
    are passed over (RFC 9110, section 15.2). Raises BadResponse."""
    rest = data
    while True:
        text, end, rest = rest.partition(b"\r\n\r\n")
        if len(data) - len(rest) > HEAD_BYTES:
            raise BadResponse("the response's head does not end")
        if not end:
            return None
        head = _head(text)
        if head.status >= OK:
            return head, rest
        if head.status == SWITCHING_PROTOCOLS:
            raise BadResponse("the answer is in another protocol, which nobody asked for")


def _head(text: bytes) -> Head:
    status_line, *lines = text.decode("latin-1").split("\r\n")
    found = _STATUS_LINE.fullmatch(status_line)
    if found is None:
        raise BadResponse("the answer is no HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Head(int(found[1]), headers)


class Chunked:
    """A body in chunks. `ended` after the last one: a body that stops before it was cut."""

    __slots__ = ("_closing", "_left", "_rest", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._left = 0  # bytes of the chunk
        self._closing = False  # the CRLF that ends the chunk is due
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The body's next bytes. Raises BadResponse."""
        data = self._rest + data
        self._rest = b""
        parts = []
        at = 0
        while at < len(data) and not self.ended:
            if self._left:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                self._closing = not self._left
                continue
            line = data.find(b"\r\n", at)
            if line < 0:
                if len(data) - at > _LINE_BYTES:
                    raise BadResponse("a chunk's size does not end")
                self._rest = data[at:]
                break
            if self._closing:
                if line != at:
                    raise BadResponse("a chunk is longer than its size")
                self._closing = False
            else:
                self._left = _size(data[at:line])
                self.ended = not self._left
            at = line + 2
        return b"".join(parts)


class Sized:
    """A body of a length that is known before."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def ended(self) -> bool:
        return self._left <= 0

    def feed(self, data: bytes) -> bytes:
        data = data[: self._left]
        self._left -= len(data)
        return data


Body = Chunked | Sized


def body_of(head: Head) -> Body | None:
    """How the body is framed; None when it ends with the connection. Raises BadResponse."""
    coding = head.headers.get("transfer-encoding", "").lower()
    if coding == "chunked":
        return Chunked()
    if coding:
        raise BadResponse("the body is framed in a way that nobody asked for")
    length = head.headers.get("content-length")
    if length is None:
        return None
    if not _LENGTH.fullmatch(length):
        raise BadResponse("the body's length is no number")
    return Sized(int(length))


def _size(line: bytes) -> int:
    found = _CHUNK_SIZE.fullmatch(line)
    if found is None:
        raise BadResponse("a chunk's size is no number")
    return int(found[1], 16)
