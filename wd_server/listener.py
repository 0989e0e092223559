"""Where connections arrive, and who of them has to go.

Every connection is an `Http1` from here on until it ends or becomes a stream. The listener knows
how many there are, begins their requests in turns, closes those that keep it waiting, and makes
room when files run short.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from tornado.httputil import HTTPMessageDelegate
from tornado.web import Application

from wd_server.http1 import Http1, Waiting
from wd_server.http_exchange import HttpExchange

# Connections the kernel holds until they are accepted: one second of a reconnect storm.
BACKLOG = 4096
# Requests begun a turn of the loop, of those for streams and of the others: at 0.1 to 0.2 ms each,
# everything else waits 5 ms at most.
REQUESTS_A_TURN = 16
# Files that connections leave to everything else, and for those that come in one turn of the loop:
# what finds none is closed by libuv as soon as it is accepted.
SPARE_FILES = 128
# Seconds between two looks for connections that have waited too long.
WAIT_CHECK_SECONDS = 1
# Seconds a client may take to send a head, and then the body, and that a kept connection may be
# silent.
REQUEST_SECONDS = 10
# Seconds to take an answer: as long as a slow stream may have for its bytes.
TAKING_SECONDS = 60
# Seconds to close its side after the last answer.
LINGER_SECONDS = 2


class Listener:
    """`files`: how many the process may have open. `streams` says how many there are, `refusal`
    is the whole answer with a status to what isn't read as a request.

    When files run short, those who have kept the server waiting for longest make room for
    newcomers: so somebody who opens connections and says nothing keeps nobody out for long, not
    even a probe of the health. Streams stay.
    """

    def __init__(
        self,
        application: Application,
        files: int,
        streams: Callable[[], int],
        refusal: Callable[[int], bytes],
        request_seconds: float = REQUEST_SECONDS,
        taking_seconds: float = TAKING_SECONDS,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self.refusal = refusal
        self.closing = False
        self.requests = Waiting(request_seconds)
        self.taking = Waiting(taking_seconds)
        self.lingering = Waiting(linger_seconds)
        self._application = application
        self._most_connections = max(files - SPARE_FILES, files * 3 // 4)
        self._streams = streams
        self._servers: list[asyncio.Server] = []
        # All that are no streams, in the order of their arrival.
        self._connections: dict[Http1, None] = {}
        # Requests that wait for their turn: those for streams, and others, which are short.
        self._for_streams: deque[Http1] = deque()
        self._others: deque[Http1] = deque()
        self._check: asyncio.TimerHandle | None = None
        self._settled: asyncio.Event | None = None

    async def listen(self, sockets: Iterable[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for sock in sockets:
            self._servers.append(
                await loop.create_server(lambda: Http1(self), sock=sock, backlog=BACKLOG)
            )
        self._check = loop.call_later(WAIT_CHECK_SECONDS, self._drop_overdue)

    def stop_accepting(self) -> None:
        """Let go of the listening sockets. Whoever else has them, has their queues too."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def settle(self, seconds: float) -> None:
        """Returns when nobody who has connected waits for an answer, or after `seconds`. Nobody
        can tell whether a connection that was answered before will be asked again, so it counts."""
        self.closing = True
        self._settled = asyncio.Event()
        self._look_if_settled()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), seconds)

    def close(self) -> None:
        """Accept no more, and drop all connections but the streams."""
        self.stop_accepting()
        if self._check is not None:
            self._check.cancel()
        for connection in list(self._connections):
            connection.transport.abort()

    @property
    def waiting(self) -> int:
        """Connections that aren't streams."""
        return len(self._connections)

    # What connections tell.

    def arrived(self, connection: Http1) -> None:
        self._connections[connection] = None
        if self.waiting + self._streams() > self._most_connections:
            self._make_room()

    def asked(self, connection: Http1, target: str) -> None:
        """A head has been read."""
        if not self._for_streams and not self._others:
            asyncio.get_running_loop().call_soon(self._begin_requests)
        for_stream = target.partition("?")[0].endswith("/stream")
        (self._for_streams if for_stream else self._others).append(connection)

    def left(self, connection: Http1) -> None:
        """It is closed, or a stream."""
        self._connections.pop(connection, None)
        self._look_if_settled()

    def start_request(self, exchange: HttpExchange) -> HTTPMessageDelegate:
        return self._application.start_request(self, exchange)

    # Its own ways.

    def _look_if_settled(self) -> None:
        if self._settled is not None and not self._connections:
            self._settled.set()

    def _make_room(self) -> None:
        asking = self.requests.since
        # The newcomer is the last one there.
        others = asking if len(asking) > 1 else self._connections
        next(iter(others)).transport.abort()

    def _begin_requests(self) -> None:
        try:
            for queue in (self._others, self._for_streams):
                for _ in range(min(REQUESTS_A_TURN, len(queue))):
                    queue.popleft().begin()
        finally:  # whatever one request does, the others get their turn
            if self._for_streams or self._others:
                asyncio.get_running_loop().call_soon(self._begin_requests)

    def _drop_overdue(self) -> None:
        loop = asyncio.get_running_loop()
        for waiting in (self.requests, self.taking, self.lingering):
            for connection in waiting.overdue(loop.time()):
                connection.transport.abort()
        self._check = loop.call_later(WAIT_CHECK_SECONDS, self._drop_overdue)
