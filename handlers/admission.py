"""How a request becomes a stream: it takes a session slot, and its connection leaves Tornado.

An error before that is answered with a status, or with a stream of one `error` event where the
client asked for that.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from functools import lru_cache
from time import monotonic
from types import TracebackType
from typing import Any, Self, cast

from tornado.httputil import format_timestamp

from handlers.base import GuardedHandler, common_headers
from handlers.negotiation import accepted_encoding, takes_event_stream
from handlers.parameters import ERRORS
from wd_server.access.session_slots import Ending, SessionSlot
from wd_server.chain.turns import Tenant
from wd_server.errors import (
    InvalidParameter,
    InvalidWallet,
    StreamingDisabled,
    WalletDoctorError,
)
from wd_server.events import encoding
from wd_server.events.ids import EventId
from wd_server.streaming.channel import Channel, UnreadableId
from wd_server.streaming.connection import Connection
from wd_server.streaming.demand import StreamRequest
from wd_server.streaming.lifecycle import CloseReason

_STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


class StreamSlot:
    """The session slot of one stream. It is released at the end of the `with` block or, if it was
    given to a stream there, at the end of that stream."""

    __slots__ = ("_ending", "_kept", "_slot", "_stream")

    def __init__(self) -> None:
        self._slot: SessionSlot | None = None
        self._stream: Connection | None = None
        self._ending: Ending | None = None
        self._kept: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream is None:
            self.release()

    def hold(self, slot: SessionSlot) -> None:
        self._slot = slot

    def give(self, stream: Connection) -> None:
        assert self._slot is not None
        stream.on_closed = self.release
        self._stream = stream
        if self._ending is not None:  # while the stream was made
            self.end(self._ending)

    def end(self, ending: Ending) -> None:
        """The key or token ended."""
        self._ending = ending
        if self._stream is not None:
            self._stream.send_away(CloseReason(ending.value))

    def keep(self, task: asyncio.Task[None]) -> None:
        """The stream needs this as long as it lives."""
        self._kept = task

    def release(self) -> None:
        """To release it twice is no error."""
        if self._kept is not None:
            self._kept.cancel()
            self._kept = None
        slot, self._slot, self._stream = self._slot, None, None
        if slot is not None:
            slot.release()


class StreamingHandler(GuardedHandler):
    """A subclass' `get` validates, makes a stream within `with await self.take_slot(wallets)`,
    gives the slot to it, and ends with `await self.hand_over(stream)`."""

    asked_at = 0.0
    _made = False

    def set_default_headers(self) -> None:
        """Sets none when the handler is made: a stream's head leaves without Tornado. A client that
        gets no stream comes back later; its connection is closed, so that it holds no file until
        then."""
        if self._made:
            super().set_default_headers()
            if self.request.method == "GET":
                self.set_header("Connection", "close")
        self._made = True

    def prepare(self) -> Coroutine[Any, Any, None]:
        self.asked_at = monotonic()
        if self.request.method != "GET":
            self.set_default_headers()
        return super().prepare()

    async def take_slot(self, wallets: Iterable[str]) -> StreamSlot:
        """Raises ForbiddenWallet, StreamingDisabled, AtCapacity, Draining, TooManyStreams,
        StoreUnavailable, and what `Authenticator.take_slot` raises for a key that ended
        meanwhile."""
        services = self.services
        self.check_wallets(wallets)
        if not services.settings.streaming_enabled:
            raise StreamingDisabled("Streaming is switched off on this server.")
        services.registry.check_room()
        slot = StreamSlot()
        slot.hold(await services.authenticator.take_slot(self.identified(), slot.end))
        return slot

    def asked(self, held: frozenset[str] = frozenset()) -> StreamRequest:
        """The caller and the time; `held`: wallets that aren't read for it yet."""
        principal = self.identified()
        return StreamRequest(Tenant(principal.who, principal.credits), self.asked_at, held)

    async def has_to_be_read(self, channel: Channel, last: EventId | UnreadableId | None) -> bool:
        """Whether this wallet counts against RATE_LIMIT_WALLETS. A client that goes on where it was
        doesn't count, so that nobody is locked out after a drain. Raises StoreUnavailable."""
        if not self.identified().wallets_a_minute:
            return False
        if last is not None and channel.epoch and channel.gap(last) is None:
            return False
        return not await self.services.sessions.keeps(channel.wallet)

    async def hand_over(self, stream: Connection) -> None:
        """Answer with this stream: take the connection from Tornado and give it to the loop."""
        encoding = self.encoding()
        chunked = self.request.version != "HTTP/1.0"
        head = self._response_head(stream.stream_id, encoding, chunked)
        stream.answer(head, chunked=chunked, compressed=encoding is not None)
        transport = cast(asyncio.Transport, self.detach())
        # As finish() does: a reference cycle would keep the request until a garbage collection.
        self.ui.clear()
        if transport.is_closing():
            stream.abandon()
            return
        try:
            transport.set_protocol(stream)
            stream.connection_made(transport)
        except BaseException:
            transport.abort()  # nobody else would answer it any more
            raise

    def send_head(self) -> None:
        """The answer to HEAD: what a stream's head has, but for its id."""
        for name, value in _stream_headers(self.origins()[0], self.encoding()):
            self.set_header(name, value)

    def encoding(self) -> str | None:
        return accepted_encoding(self.request.headers.get("Accept-Encoding", ""))

    def send_nothing_new(self) -> None:
        """The client has everything, and an EventSource that is told so stops asking."""
        self.set_default_headers()
        self.set_status(204)

    def compute_etag(self) -> None:
        """A stream has none, so the answer to HEAD has none either."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if not isinstance(error, WalletDoctorError) or not self._takes_as_event(error):
            super().write_error(status_code, **kwargs)
            return
        self.set_status(200)
        for name, value in _STREAM_HEADERS.items():
            self.set_header(name, value)
        self.finish(encoding.error_frame(error, int(self.services.clock())))

    def _takes_as_event(self, error: WalletDoctorError) -> bool:
        if self.request.method != "GET":
            return False
        if self.query().get(ERRORS.name) == "event":
            return True
        return (
            isinstance(error, InvalidWallet | InvalidParameter)
            and self.principal is not None
            and takes_event_stream(self.request.headers.get("Accept", ""))
        )

    def _response_head(self, stream_id: str, encoding: str | None, chunked: bool) -> bytes:
        head = _common_head(*self.origins(), encoding, chunked)
        for name, value in self.usage.headers().items():
            head += f"{name}: {value}\r\n"
        date = _date(int(self.services.clock()))
        return f"{head}X-Stream-ID: {stream_id}\r\nDate: {date}\r\n\r\n".encode("latin-1")


@lru_cache(maxsize=64)  # allowed origins are few
def _common_head(
    allowed_origins: tuple[str, ...], origin: str, encoding: str | None, chunked: bool
) -> str:
    """What the heads of many streams have in common."""
    headers = dict(common_headers(allowed_origins, origin))
    headers |= _stream_headers(allowed_origins, encoding)
    headers["Connection"] = "close"
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return "".join(["HTTP/1.1 200 OK\r\n", *lines])


def _stream_headers(
    allowed_origins: tuple[str, ...], encoding: str | None
) -> Iterator[tuple[str, str]]:
    yield from _STREAM_HEADERS.items()
    yield "Vary", "Origin, Accept-Encoding" if allowed_origins else "Accept-Encoding"
    if encoding is not None:
        yield "Content-Encoding", encoding


@lru_cache(maxsize=2)
def _date(now: int) -> str:
    return format_timestamp(now)
