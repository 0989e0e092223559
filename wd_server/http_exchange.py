"""One request and its answer, as Tornado's handlers write it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPOutputError,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import StreamClosedError

from wd_server.http_reader import RequestHead

# Bytes of a request's body, if its handler doesn't say otherwise: most take a few fields.
BODY_BYTES = 64 * 1024

_LAST_CHUNK: Final = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Context:
    """What Tornado's requests want to know of their connection."""

    remote_ip: str
    protocol: str = "http"


class Wire(Protocol):
    """What an exchange needs of its connection."""

    @property
    def transport(self) -> asyncio.Transport: ...
    def write(self, data: bytes) -> "asyncio.Future[None]": ...
    def ends_with(self, exchange: "HttpExchange") -> bool: ...
    def answered(self, last: bool) -> None: ...
    def detach(self) -> None: ...


class HttpExchange(HTTPConnection):
    """One request and its answer. `begun`: a part of the answer is written. `body_most`: bytes
    that the request's body may have. `awaits_word`: the client sends no body before it is told
    that somebody wants it."""

    context: Context

    def __init__(self, connection: Wire, head: RequestHead) -> None:
        self.head = head
        self.body_most = BODY_BYTES
        self.begun = False
        self.awaits_word = head.expects
        self._transport = connection.transport
        # None when it is over, whichever way.
        self._connection: Wire | None = connection
        self._on_close: Callable[[], None] | None = None
        self._last = self._chunked = False
        # Bytes of the answer's body that are still to come, where that is known.
        self._left: int | None = None

    def set_max_body_size(self, size: int) -> None:
        self.body_most = size

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        self._on_close = callback

    def on_closed(self, delegate: HTTPMessageDelegate | None) -> None:
        """The connection is over before the answer. `delegate`: who was still being told."""
        callback, self._on_close = self._on_close, None
        self._connection = None
        if delegate is not None:
            delegate.on_connection_close()
        elif callback is not None:
            callback()

    def detach(self) -> asyncio.Transport:
        """The transport, for whoever answers without Tornado. It may be closed already."""
        connection, self._connection = self._connection, None
        self._on_close = None
        if connection is not None:
            connection.detach()
        return self._transport

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> "asyncio.Future[None]":
        assert isinstance(start_line, ResponseStartLine)
        connection = self._connection
        if connection is None:
            return _failed()
        self.begun = True
        length = headers.get("Content-Length")
        if self.head.method == "HEAD" or start_line.code in (204, 304):
            self._left = 0
        elif length is not None:
            self._left = int(length)
        elif self.head.version == "HTTP/1.1":
            self._chunked = True
            headers["Transfer-Encoding"] = "chunked"
        endless = self._left is None and not self._chunked
        asked_to = headers.get("Connection", "").lower() == "close"
        self._last = endless or asked_to or connection.ends_with(self)
        if self._last:
            headers["Connection"] = "close"
        elif self.head.version == "HTTP/1.0":
            headers["Connection"] = "keep-alive"
        return connection.write(_answer_head(start_line, headers) + self._framed(chunk or b""))

    def write(self, chunk: bytes) -> "asyncio.Future[None]":
        """To a client that has gone, nothing is written."""
        if self._connection is None:
            return _failed()
        return self._connection.write(self._framed(chunk))

    def finish(self) -> None:
        """Raises HTTPOutputError if the answer is shorter than was said."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._left:
            self._transport.abort()
            raise HTTPOutputError(f"{self._left} bytes of the answer are missing")
        if self._chunked:
            connection.write(_LAST_CHUNK)
        connection.answered(self._last)

    def _framed(self, chunk: bytes) -> bytes:
        """Raises HTTPOutputError if the answer gets longer than was said."""
        if self._left is not None:
            self._left -= len(chunk)
            if self._left < 0:
                self._transport.abort()
                raise HTTPOutputError(f"the answer is {-self._left} bytes too long")
        if self._chunked and chunk:  # an empty one would be the last
            return b"%x\r\n%b\r\n" % (len(chunk), chunk)
        return chunk


def _answer_head(start_line: ResponseStartLine, headers: HTTPHeaders) -> bytes:
    """Raises ValueError for a header that would be more than one."""
    lines = [f"HTTP/1.1 {start_line.code} {start_line.reason}"]
    lines += [f"{name}: {value}" for name, value in headers.get_all()]
    head = "\r\n".join([*lines, "", ""])
    if head.count("\n") != len(lines) + 1 or head.count("\r") != len(lines) + 1:
        raise ValueError("a line end within a header")
    return head.encode("latin-1")


def _failed() -> "asyncio.Future[None]":
    write = asyncio.get_running_loop().create_future()
    fail(write)
    return write


def fail(write: "asyncio.Future[None]") -> None:
    if not write.done():
        write.set_exception(StreamClosedError())
        write.exception()  # whoever doesn't wait for it isn't told
