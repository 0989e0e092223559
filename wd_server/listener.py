"""Where connections arrive: plain requests for streams are read here, all others by Tornado.

A stream leaves Tornado as soon as it is admitted, so what Tornado sets up for a connection
(buffers, a coroutine, a second socket and registration with the loop) is most of what opening one
costs. A request that is plainly for a stream therefore stays on the loop's own transport, which
then is the stream's. It meets the same Application and RequestHandler. What is not plainly that
(another path, a body, an unusual or incomplete head) is handed on to Tornado's server as it came.
"""

import asyncio
import os
import re
import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPInputError,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream
from tornado.web import Application

# Connections the kernel holds until they are accepted: one second of a reconnect storm.
BACKLOG = 4096
# Requests begun a turn of the loop: at 0.2 ms each, others wait 3 ms at most.
REQUESTS_A_TURN = 16
# Bytes of a head that is read here; Tornado has the last word on longer ones.
HEAD_BYTES = 16 * 1024
# Files that connections leave to everything else, and for those that come in one turn of the loop:
# what finds none is closed by libuv as soon as it is accepted.
SPARE_FILES = 128
# Seconds between two looks for connections that have sent nothing.
SILENCE_CHECK_SECONDS = 1

_PLAIN_HEAD = re.compile(
    rb"GET (/v4/(?:wallet/\w{1,64}/)?stream(?:\?[!-~]*)?) HTTP/1\.1\r\n"
    rb"((?:[\w-]+: ?[ -~]*\r\n)+)\r\n",
    re.ASCII,
)
# All that Tornado says to what it can't read.
_BARE_REFUSAL = b"HTTP/1.1 400 Bad Request\r\n\r\n"
# Headers by which a request says that more than its head belongs to it.
_MORE_TO_COME = re.compile(rb"(?i)^(?:content-length|transfer-encoding|expect|upgrade):", re.M)


class Listener:
    """`silent_seconds`: how long a connection may be open without a word. `files`: how many the
    process may have open. `streams` says how many there are, `refusal` is the whole answer to what
    is no HTTP.

    When files run short, those who came first and have no stream make room for newcomers: so
    somebody who opens connections and says nothing keeps nobody out for long, not even a probe of
    the health. Streams stay.
    """

    def __init__(
        self,
        application: Application,
        http: HTTPServer,
        silent_seconds: float,
        files: int,
        streams: Callable[[], int],
        refusal: Callable[[], bytes],
    ) -> None:
        self.refusal = refusal
        self._application = application
        self._http = http
        self._silent_seconds = silent_seconds
        self._most_connections = max(files - SPARE_FILES, files * 3 // 4)
        self._streams = streams
        # Connections that Tornado has, in the order of their arrival.
        self._handed_on: dict[_BegunStream, None] = {}
        self._servers: list[asyncio.Server] = []
        # In the order of their arrival.
        self._silent: dict[_Arrival, float] = {}
        self._requests: deque[tuple[_Arrival, bytes]] = deque()
        self._check: asyncio.TimerHandle | None = None
        self._settled: asyncio.Event | None = None

    async def listen(self, sockets: Iterable[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for sock in sockets:
            self._servers.append(
                await loop.create_server(lambda: _Arrival(self), sock=sock, backlog=BACKLOG)
            )
        self._check = loop.call_later(SILENCE_CHECK_SECONDS, self._drop_silent)

    def stop_accepting(self) -> None:
        """Let go of the listening sockets. Whoever else has them, has their queues too."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def settle(self, seconds: float) -> None:
        """Returns when nobody who has connected waits for an answer, or after `seconds`. Nobody
        can tell whether a connection that Tornado keeps will be asked again, so it counts."""
        self._settled = asyncio.Event()
        self._look_if_settled()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), seconds)

    def close(self) -> None:
        """Accept no more, and drop who hasn't asked for anything yet."""
        self.stop_accepting()
        if self._check is not None:
            self._check.cancel()
        for arrival in list(self._silent):
            arrival.transport.abort()

    # What arrivals tell.

    def arrived(self, arrival: "_Arrival") -> None:
        self._silent[arrival] = asyncio.get_running_loop().time()
        if self.waiting + self._streams() > self._most_connections:
            self._make_room()

    def left(self, arrival: "_Arrival") -> None:
        self._silent.pop(arrival, None)
        self._look_if_settled()

    def said(self, arrival: "_Arrival", data: bytes) -> None:
        """The first bytes of a connection."""
        if self._silent.pop(arrival, None) is None:
            return  # it had to make room
        if is_plain(data):
            if not self._requests:
                asyncio.get_running_loop().call_soon(self._begin_requests)
            self._requests.append((arrival, data))
        else:
            self._hand_on(arrival.transport, data)

    def closed(self, stream: "_BegunStream") -> None:
        """A connection that was Tornado's."""
        self._handed_on.pop(stream, None)
        self._look_if_settled()

    @property
    def waiting(self) -> int:
        """Connections that are neither answered nor streams."""
        return len(self._silent) + len(self._requests) + len(self._handed_on)

    def _look_if_settled(self) -> None:
        if self._settled is not None and not self.waiting:
            self._settled.set()

    def _make_room(self) -> None:
        first = next(iter(self._silent))
        if len(self._silent) > 1 or not self._handed_on:
            del self._silent[first]
            first.transport.abort()
        else:
            next(iter(self._handed_on)).close()

    def _begin_requests(self) -> None:
        try:
            for _ in range(min(REQUESTS_A_TURN, len(self._requests))):
                arrival, head = self._requests.popleft()
                self._begin(arrival, head)
        finally:  # whatever one request does, the others get their turn
            if self._requests:
                asyncio.get_running_loop().call_soon(self._begin_requests)
            else:
                self._look_if_settled()

    def _begin(self, arrival: "_Arrival", head: bytes) -> None:
        peer = arrival.transport.get_extra_info("peername")
        if peer is None or arrival.transport.is_closing():
            arrival.transport.abort()  # the client has gone
            return
        request_line, _, fields = head.decode("latin-1").partition("\r\n")
        method, target, version = request_line.split(" ")
        arrival.connection = connection = Connection(arrival.transport, peer[0])
        request = self._application.start_request(self, connection)
        try:
            request.headers_received(
                RequestStartLine(method, target, version), HTTPHeaders.parse(fields)
            )
        except HTTPInputError:
            arrival.connection = None
            self._hand_on(arrival.transport, head)
        else:
            request.finish()

    def _hand_on(self, transport: asyncio.Transport, data: bytes) -> None:
        """Have Tornado read this connection from its first byte."""
        address = transport.get_extra_info("peername")
        try:
            file = os.dup(transport.get_extra_info("socket").fileno())
        except OSError:  # no file is left, or the client has gone
            transport.abort()
            return
        sock = socket.socket(fileno=file)
        sock.setblocking(False)
        transport.abort()
        stream = _BegunStream(sock, data, self)
        self._handed_on[stream] = None
        self._http.handle_stream(stream, address)

    def _drop_silent(self) -> None:
        loop = asyncio.get_running_loop()
        since = loop.time() - self._silent_seconds
        for arrival, arrived in list(self._silent.items()):
            if arrived > since:
                break
            arrival.transport.abort()
        self._check = loop.call_later(SILENCE_CHECK_SECONDS, self._drop_silent)


def is_plain(head: bytes) -> bool:
    """Whether this is the whole of an ordinary request for a stream. Everything that two readers
    could understand in two ways is not."""
    return (
        len(head) <= HEAD_BYTES
        and _PLAIN_HEAD.fullmatch(head) is not None
        and _MORE_TO_COME.search(head) is None
    )


class _Arrival(asyncio.Protocol):
    """A connection until it is known what it wants."""

    __slots__ = ("_listener", "begun", "connection", "transport")

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.begun = False
        self.connection: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._listener.arrived(self)

    def data_received(self, data: bytes) -> None:
        """Only the first bytes count; a client has nothing more to say before its answer."""
        if not self.begun:
            self.begun = True
            self._listener.said(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.left(self)
        if self.connection is not None:
            self.connection.on_closed()


@dataclass(frozen=True, slots=True)
class _Context:
    """What Tornado's requests want to know of their connection."""

    remote_ip: str
    protocol: str = "http"


class Connection(HTTPConnection):
    """One request and its answer, which ends with the connection."""

    def __init__(self, transport: asyncio.Transport, remote_ip: str) -> None:
        self.context = _Context(remote_ip)
        self._transport = transport
        self._on_close: Callable[[], None] | None = None

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        self._on_close = callback

    def on_closed(self) -> None:
        if self._on_close is not None:
            self._on_close()

    def detach(self) -> asyncio.Transport:
        """The transport, for whoever answers without Tornado."""
        self._on_close = None
        return self._transport

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> "asyncio.Future[None]":
        assert isinstance(start_line, ResponseStartLine)
        headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {start_line.code} {start_line.reason}"]
        lines += [f"{name}: {value}" for name, value in headers.get_all()]
        return self.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (chunk or b""))

    def write(self, chunk: bytes) -> "asyncio.Future[None]":
        """To a client that has gone, nothing is written."""
        if not self._transport.is_closing():
            self._transport.write(chunk)
        written = asyncio.get_running_loop().create_future()
        written.set_result(None)
        return written

    def finish(self) -> None:
        self._transport.close()


class _BegunStream(IOStream):
    """A stream of which the first bytes have been read already."""

    def __init__(self, sock: socket.socket, begun: bytes, listener: Listener) -> None:
        self._begun = begun
        self._listener = listener
        super().__init__(sock)

    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        return super().write(self._listener.refusal() if data == _BARE_REFUSAL else data)

    def close_fd(self) -> None:
        self._listener.closed(self)
        super().close_fd()

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        if not self._begun:
            return super().read_from_fd(buf)
        size = min(len(buf), len(self._begun))
        buf[:size] = self._begun[:size]
        self._begun = self._begun[size:]
        return size
