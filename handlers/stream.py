"""`GET /v4/wallet/{address}/stream`: admits a client and hands its connection over.

Tornado reads the request and decides; a long-lived stream then leaves it: its socket is duplicated
and given to the loop, and what stays for the client is one transport and one `Stream`.
"""

import asyncio
from functools import lru_cache
from time import monotonic
from typing import cast

from tornado.httputil import format_timestamp
from tornado.iostream import IOStream, StreamClosedError

from handlers.base import BaseHandler
from handlers.query import (
    StreamQuery,
    accepted_encoding,
    errors_as_events,
    stream_query,
    takes_event_stream,
)
from wd_server.errors import (
    InvalidParameter,
    InvalidWallet,
    StreamingDisabled,
    WalletDoctorError,
)
from wd_server.streaming import event
from wd_server.streaming.channel import Channel
from wd_server.streaming.stream import Stream
from wd_server.trading.wallet import WalletAddress

_STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


class StreamHandler(BaseHandler):
    async def get(self, text: str) -> None:
        asked_at = monotonic()
        as_event = False
        try:
            query = self.query()
            as_event = errors_as_events(query)
            wallet = str(WalletAddress.parse(text))
            batch = self.services.settings.sse_batch_size
            last_event_id = self.request.headers.get("Last-Event-ID")
            wish = stream_query(query, last_event_id, batch if batch > 1 else 0)
            await self._admit(wallet, wish, asked_at)
        except (InvalidWallet, InvalidParameter) as error:
            if not takes_event_stream(self.request.headers.get("Accept", "")):
                raise
            self._send_error_event(error)
        except WalletDoctorError as error:
            if not as_event:
                raise
            self._send_error_event(error)

    def head(self, text: str) -> None:
        WalletAddress.parse(text)
        for name, value in self._stream_headers(self._encoding()).items():
            self.set_header(name, value)

    def compute_etag(self) -> None:
        """A stream has none, so the answer to HEAD has none either."""

    async def _admit(self, wallet: str, wish: StreamQuery, asked_at: float) -> None:
        registry = self.services.registry
        if not self.services.settings.streaming_enabled:
            raise StreamingDisabled("Streaming is switched off on this server.")
        registry.check_room()
        channel = await registry.channel(wallet)
        try:
            if _has_everything(channel, wish):
                self.set_status(204)
                return
            stream = registry.admit(channel, wish.view, wish.last_event_id, asked_at)
        finally:
            registry.drop_unused(channel)
        encoding = self._encoding()
        if encoding is not None:
            stream.compress()
        stream.greeting = self._response_head(stream, encoding) + stream.greeting
        await self._hand_over(stream)

    async def _hand_over(self, stream: Stream) -> None:
        """Take the connection from Tornado and give it to the loop."""
        connection = cast("asyncio.Transport | IOStream", self.detach())
        # As finish() does: a reference cycle would keep the request until a garbage collection.
        self.ui.clear()
        if not isinstance(connection, IOStream):
            if connection.is_closing():
                stream.abandon()
            else:
                connection.set_protocol(stream)
                stream.connection_made(connection)
            return
        try:
            if connection.socket is None:
                raise StreamClosedError
            sock = connection.socket.dup()
            connection.close()
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: stream, sock)
        except (OSError, StreamClosedError):
            stream.abandon()

    def _response_head(self, stream: Stream, encoding: str | None) -> bytes:
        lines = ["HTTP/1.1 200 OK"]
        headers = dict(self.common_headers(self.services.settings.allowed_origins))
        headers |= self._stream_headers(encoding)
        headers |= {"X-Stream-ID": stream.stream_id, "Connection": "close"}
        headers["Date"] = _date(int(self.services.clock()))
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _encoding(self) -> str | None:
        return accepted_encoding(self.request.headers.get("Accept-Encoding", ""))

    def _stream_headers(self, encoding: str | None) -> dict[str, str]:
        origins = "Origin, " if self.services.settings.allowed_origins else ""
        headers = _STREAM_HEADERS | {"Vary": f"{origins}Accept-Encoding"}
        return headers if encoding is None else headers | {"Content-Encoding": encoding}

    def _send_error_event(self, error: WalletDoctorError) -> None:
        self.set_status(200)
        for name, value in _STREAM_HEADERS.items():
            self.set_header(name, value)
        self.finish(event.error_frame(error, int(self.services.clock())))


@lru_cache(maxsize=2)
def _date(now: int) -> str:
    return format_timestamp(now)


def _has_everything(channel: Channel, wish: StreamQuery) -> bool:
    """The client saw the `complete` of a stream that doesn't follow: there is nothing to send, and
    an EventSource that is told so stops asking."""
    position = wish.last_event_id
    return (
        position is not None
        and not wish.view.follow
        and channel.finished
        and position == (channel.run, channel.head)
    )
