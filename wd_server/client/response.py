"""The head of an HTTP/1.1 response and the framing of its body (RFC 9112)."""

from collections.abc import Mapping
from typing import NamedTuple

# Longer heads and chunk lines are no honest server's.
HEAD_BYTES = 64 * 1024
_LINE_BYTES = 4096


class BadResponse(Exception):
    """What came is no HTTP/1.1 response."""


class Head(NamedTuple):
    """Names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]


def read_head(data: bytes) -> tuple[Head, bytes] | None:
    """The head and what follows it; None when it isn't whole yet. Raises BadResponse."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        if len(data) > HEAD_BYTES:
            raise BadResponse("the response's head does not end")
        return None
    status_line, *lines = head.decode("latin-1").split("\r\n")
    version, _, status = status_line.partition(" ")
    if not version.startswith("HTTP/1.") or not status[:3].isdigit():
        raise BadResponse("the answer is no HTTP/1.1")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Head(int(status[:3]), headers), rest


class Chunked:
    """A body in chunks, as proxies send it. `ended` after the last one."""

    __slots__ = ("_left", "_rest", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._left = 0  # of the chunk, with the CRLF that ends it
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The body's next bytes. Raises BadResponse."""
        data = self._rest + data
        self._rest = b""
        parts = []
        at = 0
        while at < len(data) and not self.ended:
            if self._left:
                end = at + self._left
                parts.append(data[at : max(at, min(end - 2, len(data)))])
                self._left = max(0, end - len(data))
                at = min(end, len(data))
                continue
            line = data.find(b"\r\n", at)
            if line < 0:
                if len(data) - at > _LINE_BYTES:
                    raise BadResponse("a chunk's size does not end")
                self._rest = data[at:]
                break
            size = _size(data[at:line])
            at = line + 2
            self.ended = size == 0
            self._left = size + 2
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
    if head.headers.get("transfer-encoding", "").lower() == "chunked":
        return Chunked()
    length = head.headers.get("content-length")
    if length is None:
        return None
    if not length.isdigit():
        raise BadResponse("the body's length is no number")
    return Sized(int(length))


def _size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0].strip(), 16)
    except ValueError:
        raise BadResponse("a chunk's size is no number") from None
