"""One client's connection and its life, whatever it is sent."""

import asyncio
import fcntl
import socket
import struct
import termios
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol, cast

from msgspec import UNSET, UnsetType

from wd_server import __version__
from wd_server.chain.turns import SERVER
from wd_server.errors import WalletDoctorError
from wd_server.events import encoding, event, sse
from wd_server.streaming.channel import Subscriber, T
from wd_server.streaming.compression import HEADER, Frames, Gzip
from wd_server.streaming.framing import LAST_CHUNK, chunk, content
from wd_server.streaming.lifecycle import RECONNECT_MS, TRANSITIONS, CloseReason, StreamState
from wd_server.streaming.statistics import StreamStatistics
from wd_server.streaming.view import View
from wd_server.streaming.wheel import NOWHERE, TimerWheel

# Seconds a stream that was told to end may take for its last bytes.
CLOSE_SECONDS = 5
# With keep-alive probes after 30 s of silence, each 10 s, a vanished client is found after 60 s.
KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES = 30, 10, 3
# Milliseconds that written bytes may stay unacknowledged, or a client's window closed. With the
# longest interval of heartbeats, 20 s, a client that vanished is found after 90 s, as the contract
# says. A slow one is told before: WRITE_TIMEOUT is 60 s at most.
USER_TIMEOUT_MS = 70_000
# Bytes the kernel may hold for one client, doubled by Linux: what a slow client costs outside the
# process. Enough for 5 Mbit/s at 100 ms.
SEND_BUFFER_BYTES = 64 * 1024

# No set: a state's hash is computed in Python.
OPEN = (StreamState.LIVE, StreamState.REPLAYING)


@dataclass(frozen=True, slots=True)
class Limits:
    """What streams live by, in seconds but for `max_streams`; `stream_seconds` 0: no limit."""

    heartbeat_seconds: int
    write_timeout: int
    stream_seconds: int
    max_streams: int


class StreamOwner(Protocol):
    """What a connection needs of the registry that holds it."""

    wheel: TimerWheel["Connection"]
    limits: Limits
    random: Random
    heartbeat: Frames
    counts: StreamStatistics

    def now(self) -> int: ...
    def visit(
        self, visited: Iterable[T], visit: Callable[[T], None], *, heavy: bool = False
    ) -> None: ...
    def leave(self, subscriber: Subscriber) -> None: ...
    def opened(self, connection: "Connection") -> None: ...
    def closed(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol, ABC):
    """Made by `StreamRegistry`; `connection_made` by the loop starts it.

    `greeting` is what is written first: the response's head and everything before the first
    journal entry. `heartbeat_seconds` is the longest silence; None: as the settings have it.
    """

    __slots__ = (
        "asked_at",
        "bytes_sent",
        "chunked",
        "errored",
        "events_sent",
        "expires",
        "greeting",
        "gzip",
        "heartbeat_seconds",
        "on_closed",
        "opened_at",
        "owner",
        "paused",
        "pending",
        "reason",
        "slot",
        "stalled",
        "state",
        "stream_id",
        "tenant",
        "trades_sent",
        "transport",
        "view",
        "written",
    )

    def __init__(
        self, stream_id: str, view: View, owner: StreamOwner, heartbeat_seconds: int | None
    ) -> None:
        self.stream_id = stream_id
        self.view = view
        self.owner = owner
        self.state = StreamState.OPENING
        self.reason: CloseReason | None = None
        self.errored: str | None = None
        self.transport: asyncio.Transport | None = None
        self.greeting = b""
        self.heartbeat_seconds = heartbeat_seconds or owner.limits.heartbeat_seconds
        # Until `answer`, the greeting has neither chunks nor compression.
        self.chunked = False
        self.gzip: Gzip | None = None
        self.paused = False
        self.events_sent = self.trades_sent = self.bytes_sent = 0
        self.asked_at = 0.0
        self.opened_at = 0.0
        # Whose it is, and what is called once when it is over.
        self.tenant = SERVER
        self.on_closed: Callable[[], None] | None = None
        # The wheel's seconds: last write, since when nothing was taken, end of life (0: none).
        self.written = self.stalled = self.expires = 0
        self.pending = 0
        self.slot = NOWHERE

    @property
    @abstractmethod
    def wallets(self) -> Sequence[str]:
        """What it asked for."""

    @property
    @abstractmethod
    def subscribers(self) -> Sequence[Subscriber]:
        """What reads for it."""

    @property
    @abstractmethod
    def lag(self) -> int:
        """Events that are stored and not sent yet."""

    @abstractmethod
    def start(self, greeting: bytes) -> None:
        """The socket is there: write this, which is one event, and what there is to be told."""

    @abstractmethod
    def pump(self) -> None:
        """Go on from where it stands, while the socket takes it."""

    def answer(self, head: bytes, *, chunked: bool, compressed: bool) -> None:
        """Put the response's head in front of the greeting, and send the body as it says."""
        self.chunked = chunked
        beginning = b""
        if compressed:
            self.gzip = Gzip()
            beginning = self._framed(chunk(HEADER))
        self.greeting = head + beginning + self._private(self.greeting)

    def connected(
        self, wallet: str | None, resumed: bool, wallets: Sequence[str] | UnsetType = UNSET
    ) -> bytes:
        """What the client is told first, of its one wallet or of several."""
        connected = event.Connected(
            stream_id=self.stream_id,
            wallet=wallet,
            timestamp=self.owner.now(),
            resumed=resumed,
            heartbeat_seconds=self.heartbeat_seconds,
            follow=self.view.follow,
            server=f"wd-server/{__version__}",
            wallets=wallets,
        )
        return encoding.frame(connected)

    # What the loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.state is not StreamState.OPENING:  # closed while its socket was handed over
            self.transport.abort()
            return
        # No buffer before it counts as full: bytes the socket doesn't take pause the stream.
        self.transport.set_write_buffer_limits(high=0)
        self._move(StreamState.REPLAYING)
        self.written = self.owner.wheel.now
        self.owner.opened(self)
        greeting, self.greeting = self.greeting, b""
        if self.reason is not None:
            self._close(self.transport, greeting, 1)
        else:
            self.start(greeting)

    def data_received(self, data: bytes) -> None:
        """A client has nothing to say after its request; what it says is dropped."""

    def eof_received(self) -> bool:
        """A client may end its own side and wait for a history, which ends by itself. One that
        follows would never be known to have gone."""
        return not self.view.follow

    def pause_writing(self) -> None:
        self.paused = True
        self.stalled = self.owner.wheel.now
        self.pending = self._pending()
        if self.state is StreamState.LIVE:
            self._move(StreamState.REPLAYING)
            self.owner.counts.demotions += 1
        if self.state in OPEN:
            self.owner.wheel.set(self, 1)

    def resume_writing(self) -> None:
        self.paused = False
        self.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(CloseReason.CLIENT_GONE)

    # What the registry tells.

    def fail(self, error: WalletDoctorError) -> None:
        """Tell the client what went wrong and end."""
        self.end_with(error, encoding.error_frame(error, self.owner.now()))

    def end_with(self, error: WalletDoctorError, frame: bytes) -> None:
        """End with this frame that tells of the error."""
        if self.reason is None:
            self.errored = error.code
            self.close(CloseReason.ERROR, frame)

    def send_away(self, reason: CloseReason) -> None:
        """`bye`, to come back when that is of use."""
        self.bye(reason, self.owner.random.randrange(*RECONNECT_MS[reason]))

    def bye(self, reason: CloseReason, reconnect_after_ms: int) -> None:
        """Tell the client why it is sent away and when to come back, and end."""
        frame = encoding.frame(event.Bye(reason.value, reconnect_after_ms))
        self.close(reason, sse.retry(reconnect_after_ms) + frame)

    def close(self, reason: CloseReason, last_words: bytes = b"") -> None:
        """The first reason wins. A stream whose socket is still being handed over ends as soon
        as it has it, so that the client learns why."""
        if self.reason is not None:
            return
        self.reason = reason
        if self.transport is None:
            self.greeting += self._private(last_words)
            return
        self._close(self.transport, self._private(last_words), bool(last_words))

    def abandon(self) -> None:
        """The socket could not be handed over: the client is gone."""
        self._end(CloseReason.CLIENT_GONE)

    def abort(self) -> None:
        """Drop the connection with whatever is unwritten."""
        if self.transport is not None:
            self.transport.abort()

    def on_second(self) -> None:
        """The wheel came by: a heartbeat, an end, or nothing yet."""
        now = self.owner.wheel.now
        if self.state is StreamState.CLOSED:
            return  # since it was found due
        if self.state is StreamState.CLOSING:
            self.abort()
        elif self.expires and now >= self.expires:
            self.send_away(CloseReason.LIFETIME)
        elif self.paused:
            self._on_stalled_second(now)
        else:
            if now - self.written >= self.heartbeat_seconds:
                self._write(self._shared(self.owner.heartbeat), 1)
            self.await_due()

    def await_due(self) -> None:
        """Stand in the wheel where the next heartbeat or the end is due."""
        due = self.written + self.heartbeat_seconds
        if self.expires:
            due = min(due, self.expires)
        self.owner.wheel.set(self, due - self.owner.wheel.now)

    def _on_stalled_second(self, now: int) -> None:
        pending = self._pending()
        if pending < self.pending:
            self.pending, self.stalled = pending, now
        if now - self.stalled < self.owner.limits.write_timeout:
            self.owner.wheel.set(self, 1)
        else:
            self.send_away(CloseReason.SLOW)

    # Its own ways.

    @property
    def sends_chunks_as_they_are(self) -> bool:
        """Whether the bytes that others share are its bytes, too."""
        return self.chunked and self.gzip is None

    def _shared(self, frames: Frames) -> bytes:
        """Events that others get too, as they go out. What this and `_private` return has to be
        written, in the order of the calls."""
        return self._framed(frames.chunk if self.gzip is None else self.gzip.shared(frames))

    def _private(self, data: bytes) -> bytes:
        """Events for this client alone, as they go out."""
        return self._framed(chunk(data) if self.gzip is None else self.gzip.private(data))

    def _framed(self, one: bytes) -> bytes:
        """This chunk, as it is framed for this client: HTTP/1.0 knows no chunks."""
        return one if self.chunked else content(one)

    def _write(self, data: bytes, events: int, trades: int = 0) -> None:
        assert self.transport is not None
        self.events_sent += events
        self.trades_sent += trades
        self.bytes_sent += len(data)
        self.written = self.owner.wheel.now
        self.transport.write(data)

    def _close(self, transport: asyncio.Transport, last_words: bytes, events: int) -> None:
        """`last_words` are so many events, as they go out. What comes behind them says that the
        stream was ended; a stream that is aborted goes without it."""
        self._move(StreamState.CLOSING)
        self.owner.wheel.set(self, CLOSE_SECONDS)
        if self.gzip is not None:
            last_words += self._framed(self.gzip.end())
        if self.chunked:
            last_words += LAST_CHUNK
        self._write(last_words, events)
        transport.close()

    def _move(self, state: StreamState) -> None:
        if state is not self.state:
            if state not in TRANSITIONS[self.state]:
                raise ValueError(f"a stream can't go from {self.state} to {state}")
            self.state = state

    def _end(self, reason: CloseReason) -> None:
        if self.state is not StreamState.CLOSED:
            if self.reason is None:
                self.reason = reason
            self._move(StreamState.CLOSED)
            self.owner.closed(self)
            self.transport = None

    def _pending(self) -> int:
        """Bytes written that the client's kernel has not acknowledged."""
        assert self.transport is not None
        sock = self.transport.get_extra_info("socket")
        unsent = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        return int(struct.unpack("i", unsent)[0]) + self.transport.get_write_buffer_size()


def prepare_listener(sock: socket.socket) -> None:
    """Set what every accepted socket inherits, so that a stream costs no call for it."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
