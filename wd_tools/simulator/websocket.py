"""One client's WebSocket, at the same address as the RPC."""

import asyncio
from typing import Any, Final

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream
from tornado.routing import Matcher
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from wd_tools.simulator.upstream import Upstream

# What may wait for a client to read it: some thousand notifications. Bytes.
LONGEST_BACKLOG: Final = 16 * 1024 * 1024
# A subscription of 50,000 accounts is 2.4 MB.
LARGEST_MESSAGE: Final = 8 * 1024 * 1024


class UpgradeMatches(Matcher):
    """Requests for a WebSocket at `/`, where RPC calls are POSTed to."""

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        wanted = request.headers.get("Upgrade", "").lower() == "websocket"
        return {} if wanted and request.path == "/" else None


class SubscriptionHandler(WebSocketHandler):
    def initialize(self, upstream: Upstream, stopping: asyncio.Event) -> None:
        self._upstream = upstream
        self._hub = upstream.hub
        self._backlog = 0
        self._silent = False
        self._idle: asyncio.TimerHandle | None = None
        self._heard = 0.0
        connection = self.request.connection
        assert isinstance(connection, HTTP1Connection)
        # Kept because the WebSocket gives no way to end it without its goodbye.
        self._stream: IOStream = connection.stream

    def check_origin(self, origin: str) -> bool:
        return True

    @property
    def max_message_size(self) -> int:
        return LARGEST_MESSAGE

    def prepare(self) -> None:
        refusal = self._upstream.wrong_key(self.get_query_argument("api-key", None))
        if refusal is not None:
            self.set_status(refusal.status)
            self.set_header("Content-Type", refusal.content_type)
            self.finish(refusal.body)
            return
        if (full := self._hub.refusal()) is not None:
            self.set_status(*full)
            self.finish(full[1])

    def open(self, *args: str, **kwargs: str) -> None:
        self.set_nodelay(True)
        self._hub.join(self)
        self._hear()
        self._watch(self._upstream.options.ws_idle_seconds)

    def on_message(self, message: str | bytes) -> None:
        self._hear()
        method, answer = self._hub.answer(self, message)
        self._upstream.rpc.requests[method] += 1
        self.send(answer)

    def on_ping(self, data: bytes) -> None:
        self._hear()

    def on_close(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._hub.leave(self)

    # As the hub knows it

    def send(self, message: bytes) -> None:
        if self._silent or self.ws_connection is None:
            return
        self._backlog += len(message)
        if self._backlog > LONGEST_BACKLOG:
            self._hub.counts["slow"] += 1
            self.drop()
            return
        try:
            written = self.write_message(message)
        except WebSocketClosedError:
            return
        written.add_done_callback(lambda done: self._written(len(message), done))

    def drop(self) -> None:
        self._stream.close()

    def fall_silent(self) -> None:
        """Nothing is read any more either, so that no ping gets its pong."""
        self._silent = True
        IOLoop.current().remove_handler(self._stream.fileno())

    def _written(self, size: int, done: "asyncio.Future[None]") -> None:
        self._backlog -= size
        if not done.cancelled():
            done.exception()  # it closed meanwhile

    def _hear(self) -> None:
        self._heard = asyncio.get_running_loop().time()

    def _watch(self, seconds: float) -> None:
        """Close once nothing was heard for so long. One timer, not one a message."""
        loop = asyncio.get_running_loop()
        left = self._heard + seconds - loop.time()
        if left > 0:
            self._idle = loop.call_later(left, self._watch, seconds)
        else:
            self.close(1000, "inactive")
