"""A connection that speaks HTTP/1.0 and 1.1: what `Reader` reads goes to Tornado's handlers.

It speaks Tornado's public interface: each request meets the `Application` by its message delegate,
and is answered by an `HttpExchange`, which is Tornado's `HTTPConnection`. A connection has one
exchange at a time; the next request is read when the answer has left.

| waiting for | then | or |
|---|---|---|
| a head | the listener has it begin in its turn | refused, closed |
| its turn, then the body | the handler | refused, closed |
| the handler | the answer is written | detached: the transport becomes a stream's |
| the client to take the answer | the next head | closing |
| the client to close, at the end | closed | |

At the end the connection lingers: it is closed for writing only, and what still comes is dropped. A
socket that is closed with unread bytes is reset, and the client may lose the answer by that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import takewhile
from typing import Protocol, cast

import structlog
from tornado.httputil import (
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    RequestStartLine,
)

from wd_server import http_exchange
from wd_server.http_exchange import Context, HttpExchange
from wd_server.http_reader import Reader, RequestRefused

# Bytes that may wait behind a request that isn't answered yet. Whoever sends more is answered once
# and asks again on another connection.
PIPELINED_BYTES = 64 * 1024
# Bytes that are dropped at the end of a connection: a delivery that is refused by its head.
LINGER_BYTES = 16 * 1024 * 1024
# Characters of a Host: 253 of a name and a port. Tornado takes a number of any length for a port.
HOST_CHARACTERS = 260

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_log = structlog.get_logger("http")


class Waiting:
    """Connections that wait for something from their clients, and no longer than `seconds`; since
    when, in that order."""

    __slots__ = ("seconds", "since")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.since: dict[Http1, float] = {}

    def overdue(self, now: float) -> list["Http1"]:
        over = takewhile(lambda each: each[1] <= now - self.seconds, self.since.items())
        return [connection for connection, _ in over]


class ConnectionOwner(Protocol):
    """What a connection needs of the listener. `closing`: every answer is the last one on its
    connection. The others are who waits for a request, for an answer to be taken, and for the
    client to close."""

    closing: bool
    requests: Waiting
    taking: Waiting
    lingering: Waiting

    def arrived(self, connection: "Http1") -> None: ...
    def asked(self, connection: "Http1", target: str) -> None: ...
    def left(self, connection: "Http1") -> None: ...
    def start_request(self, exchange: "HttpExchange") -> HTTPMessageDelegate: ...
    def refusal(self, status: int) -> bytes: ...


class Http1(asyncio.Protocol):
    __slots__ = (
        "_delegate",
        "_delivered",
        "_ended",
        "_exchange",
        "_linger_left",
        "_overrun",
        "_owner",
        "_reader",
        "_reading",
        "_ready",
        "_stalled",
        "_waiting",
        "_writes",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        # What it waits for from its client.
        self._waiting: Waiting | None = None
        self._reader = Reader()
        # From a whole head to the end of its answer.
        self._exchange: HttpExchange | None = None
        # Who handles it, from its turn on; whether they have all of the request; what they
        # want to wait for before they are given more.
        self._delegate: HTTPMessageDelegate | None = None
        self._delivered = False
        self._ready: asyncio.Future[None] | None = None
        # The client has ended its side, or sent more than is kept.
        self._ended = self._overrun = False
        self._reading = True
        # The socket hasn't taken all that was written, and who waits for that.
        self._stalled = False
        self._writes: list[asyncio.Future[None]] = []
        # Bytes that are still dropped, from the last answer on.
        self._linger_left: int | None = None

    # What the loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        # No buffer before it counts as full: the next request waits until an answer is taken.
        self.transport.set_write_buffer_limits(high=0)
        self._wait(self._owner.requests)
        self._owner.arrived(self)

    def data_received(self, data: bytes) -> None:
        if self._linger_left is not None:
            self._linger_left -= len(data)
            if self._linger_left < 0:
                self.transport.abort()
            return
        self._reader.add(data)
        if self._exchange is None and not self._stalled:
            self._read_head()
        elif self._delegate is not None and not self._delivered and self._ready is None:
            self._read_body()
        else:
            self._pause()

    def eof_received(self) -> bool:
        """The client has said all it has to say, and may still listen."""
        self._ended = True
        if self._linger_left is not None:
            return False
        if self._exchange is None and not self._stalled:
            self._end()
        elif self._delegate is not None and not self._delivered and self._ready is None:
            self._refuse(400, "the client ended its side within a request")
        return True

    def pause_writing(self) -> None:
        self._stalled = True
        self._wait(self._owner.taking)

    def resume_writing(self) -> None:
        self._stalled = False
        self._wait(None if self._delivered else self._owner.requests)
        writes, self._writes = self._writes, []
        for write in writes:
            if not write.done():
                write.set_result(None)
        if self._linger_left is not None:
            self._half_close()
        elif self._exchange is None:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        for write in self._writes:
            http_exchange.fail(write)
        self._writes.clear()
        exchange, delegate = self._exchange, self._delegate
        self._forget()
        if exchange is not None:
            exchange.on_closed(delegate if not self._delivered else None)

    # What the listener and the exchange tell.

    def begin(self) -> None:
        """Its turn has come: have the request that was read handled."""
        exchange, peer = self._exchange, self.transport.get_extra_info("peername")
        if exchange is None or peer is None or self.transport.is_closing():
            self.transport.abort()  # the client has gone
            return
        head = exchange.head
        exchange.context = Context(peer[0])
        if not self._reader.whole:
            self._wait(self._owner.requests)
        self._delegate = delegate = self._owner.start_request(exchange)
        line = RequestStartLine(head.method, head.target, head.version)
        self._tell(lambda: delegate.headers_received(line, _headers(head.fields)))

    def write(self, data: bytes) -> "asyncio.Future[None]":
        """Done when the socket has taken it."""
        write = asyncio.get_running_loop().create_future()
        if self.transport.is_closing():
            http_exchange.fail(write)
            return write
        self.transport.write(data)
        if self._stalled:
            self._writes.append(write)
        else:
            write.set_result(None)
        return write

    def ends_with(self, exchange: "HttpExchange") -> bool:
        """Whether nothing will be read behind what this exchange asked."""
        if self._owner.closing or self._overrun or not self._delivered:
            return True
        return not exchange.head.keep_alive or (self._ended and not self._reader.unread)

    def answered(self, last: bool) -> None:
        self._exchange = self._delegate = None
        if last or self._overrun:
            self._linger()
        elif not self._stalled:
            self._next()

    def detach(self) -> None:
        """Somebody else gets the transport. They are told that the client has ended its side as if
        it did so now."""
        self._leave()
        self._forget()
        self._resume()
        if self._ended:
            asyncio.get_running_loop().call_soon(_tell_ended, self.transport)

    # Its own ways.

    def _read_head(self) -> None:
        try:
            head = self._reader.head()
        except RequestRefused as refused:
            self._refuse(refused.status, str(refused))
            return
        if head is not None:
            self._exchange = HttpExchange(self, head)
            self._wait(None)
            self._owner.asked(self, head.target)
        elif self._ended:
            self._end()

    def _read_body(self) -> None:
        exchange, delegate = self._exchange, self._delegate
        assert exchange is not None
        assert delegate is not None
        try:
            part = self._reader.body(exchange.body_most)
        except RequestRefused as refused:
            self._refuse(refused.status, str(refused))
            return
        if part:
            exchange.awaits_word = False
            self._tell(lambda: delegate.data_received(part))
        elif self._reader.whole:
            self._delivered = True
            self._wait(None)
            self._tell(delegate.finish)
        elif self._ended:
            self._refuse(400, "the client ended its side within a request")
        else:
            if exchange.awaits_word:
                exchange.awaits_word = False
                self.transport.write(_CONTINUE)
            self._resume()

    def _tell(self, tell: Callable[[], Awaitable[None] | None]) -> None:
        """Tell the delegate something, and go on when it is ready for more."""
        exchange = self._exchange
        try:
            ready = tell()
        except HTTPInputError as error:
            self._refuse(400, str(error))
            return
        except BaseException:
            self._delegate = None  # it is in no state to be told more
            self.transport.abort()
            raise
        if self._exchange is not exchange or self._delivered:
            return
        if ready is None:
            self._read_body()
        else:
            self._ready = asyncio.ensure_future(ready)
            self._ready.add_done_callback(self._on_ready)

    def _on_ready(self, ready: "asyncio.Future[None]") -> None:
        if self._ready is ready:
            self._ready = None
            self._tell(ready.result)

    def _refuse(self, status: int, why: str) -> None:
        """Answer without a handler. Where it has begun to answer, nothing can be added."""
        peer = self.transport.get_extra_info("peername")
        _log.info("request refused", status=status, why=why, remote=peer[0] if peer else None)
        exchange, delegate = self._exchange, self._delegate
        self._forget()
        if exchange is not None:
            exchange.on_closed(delegate if not self._delivered else None)
            if exchange.begun:
                self.transport.abort()
                return
        answer = self._owner.refusal(status)
        if exchange is not None and exchange.head.method == "HEAD":
            answer = answer[: answer.index(b"\r\n\r\n") + 4]
        self.transport.write(answer)
        self._linger()

    def _next(self) -> None:
        self._delivered = False
        self._reader.renew()
        self._wait(self._owner.requests)
        self._resume()
        self._read_head()

    def _end(self) -> None:
        """No head will come any more."""
        if self._reader.begun:
            self._refuse(400, "the client ended its side within a request")
        else:
            self.transport.close()

    def _linger(self) -> None:
        self._linger_left = LINGER_BYTES
        self._forget()
        if not self._stalled:
            self._half_close()

    def _half_close(self) -> None:
        if self._ended:
            self.transport.close()
        elif not self.transport.is_closing():
            self._wait(self._owner.lingering)
            self.transport.write_eof()
            self._resume()

    def _wait(self, waiting: Waiting | None) -> None:
        """Wait for this from now on, and no longer for what it waited for."""
        if self._waiting is not None:
            self._waiting.since.pop(self, None)
        self._waiting = waiting
        if waiting is not None:
            waiting.since[self] = asyncio.get_running_loop().time()

    def _leave(self) -> None:
        self._wait(None)
        self._owner.left(self)

    def _forget(self) -> None:
        """Nothing more is read. What refers to this connection and is referred to by it would
        wait for a garbage collection."""
        self._exchange = self._delegate = self._ready = None
        self._reader.close()

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self.transport.pause_reading()
        if self._delivered and self._reader.unread > PIPELINED_BYTES:
            self._overrun = True
            self._reader.drop()

    def _resume(self) -> None:
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()


def _headers(fields: list[tuple[str, str]]) -> HTTPHeaders:
    """Raises HTTPInputError. llhttp has looked at each name and value."""
    headers = HTTPHeaders()
    for name, value in fields:
        if name in headers:
            headers.add(name, value)
        else:
            headers[name] = value
    if len(headers.get("Host", "")) > HOST_CHARACTERS:
        raise HTTPInputError("the Host is too long")
    return headers


def _tell_ended(transport: asyncio.Transport) -> None:
    protocol = cast(asyncio.Protocol, transport.get_protocol())
    if not transport.is_closing() and not protocol.eof_received():
        transport.close()
