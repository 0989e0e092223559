"""One client: its socket, its position in the wallet's journal, and its life.

A stream holds a position, not a queue. What lies between the position and the channel's head is
written while the socket takes it; when it doesn't, nothing is kept for the client and it is read
from the journal again later. So live, replay and slow are the same few lines, `pump`.
"""

import asyncio
import fcntl
import socket
import struct
import termios
from dataclasses import dataclass
from random import Random
from typing import Protocol, cast

from wd_server.errors import WalletDoctorError
from wd_server.journal.base import EventId
from wd_server.streaming import event, sse
from wd_server.streaming.channel import Channel
from wd_server.streaming.compression import HEADER, Frames, Gzip
from wd_server.streaming.lifecycle import TRANSITIONS, CloseReason, StreamState
from wd_server.streaming.statistics import Statistics
from wd_server.streaming.view import Mark, Progressed, View
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

# When a client that is sent away alone may be back, in milliseconds.
RECONNECT_MS = (1000, 3000)

# No set: a state's hash is computed in Python.
_OPEN = (StreamState.LIVE, StreamState.REPLAYING)
_NOTHING_YET = Progressed(0, 0)


@dataclass(frozen=True, slots=True)
class Limits:
    """What streams live by, in seconds but for `max_streams`; `stream_seconds` 0: no limit."""

    heartbeat_seconds: int
    write_timeout: int
    stream_seconds: int
    max_streams: int


class Home(Protocol):
    """What a stream needs of the registry it lives in."""

    wheel: TimerWheel["Stream"]
    limits: Limits
    random: Random
    heartbeat: Frames
    counts: Statistics

    def now(self) -> int: ...
    def opened(self, stream: "Stream") -> None: ...
    def closed(self, stream: "Stream") -> None: ...


class Stream(asyncio.Protocol):
    """Made by `StreamRegistry.admit`; `connection_made` by the loop starts it.

    `run` and `seq` are the position: everything up to there was written. `greeting` is what is
    written first: the response's head and everything before the first journal entry.
    """

    __slots__ = (
        "asked_at",
        "bytes_sent",
        "channel",
        "errored",
        "events_sent",
        "expires",
        "greeting",
        "gzip",
        "home",
        "mark",
        "opened_at",
        "paused",
        "pending",
        "percentage",
        "progressed",
        "reason",
        "run",
        "seq",
        "slot",
        "stalled",
        "state",
        "stream_id",
        "trades_sent",
        "transport",
        "view",
        "written",
    )

    def __init__(
        self, stream_id: str, view: View, channel: Channel, home: Home, position: EventId
    ) -> None:
        self.stream_id = stream_id
        self.view = view
        self.channel = channel
        self.home = home
        self.run, self.seq = position
        self.state = StreamState.OPENING
        self.reason: CloseReason | None = None
        self.errored: str | None = None
        self.transport: asyncio.Transport | None = None
        self.greeting = b""
        self.gzip: Gzip | None = None
        # Where it stands, while it is live and follows: others may stand there too.
        self.mark: Mark | None = None
        self.progressed = _NOTHING_YET
        self.percentage = -1
        self.paused = False
        self.events_sent = self.trades_sent = self.bytes_sent = 0
        self.asked_at = 0.0
        self.opened_at = 0.0
        # The wheel's seconds: last write, since when nothing was taken, end of life (0: none).
        self.written = self.stalled = self.expires = 0
        self.pending = 0
        self.slot = NOWHERE

    def compress(self) -> None:
        """Send everything as gzip. Only before the response's head stands in the greeting."""
        self.gzip = Gzip()
        self.greeting = HEADER + self.gzip.private(self.greeting)

    # What the loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.state is not StreamState.OPENING:  # closed while its socket was handed over
            self.transport.abort()
            return
        # No buffer before it counts as full: bytes the socket doesn't take pause the stream.
        self.transport.set_write_buffer_limits(high=0)
        self._move(StreamState.REPLAYING)
        self.written = self.home.wheel.now
        self.home.opened(self)
        greeting, self.greeting = self.greeting, b""
        if self.reason is not None:
            self._write(greeting, 1)
            self._close(self.transport)
        elif self.channel.preview is not None and self.seq == 0:
            self.pump(greeting + self._shared(self.channel.preview), 2)
        else:
            self.pump(greeting, 1)

    def data_received(self, data: bytes) -> None:
        """A client has nothing to say after its request; what it says is dropped."""

    def pause_writing(self) -> None:
        self.paused = True
        self.mark = None
        self.stalled = self.home.wheel.now
        self.pending = self._pending()
        if self.state is StreamState.LIVE:
            self._move(StreamState.REPLAYING)
            self.home.counts.demotions += 1
        if self.state in _OPEN:
            self.home.wheel.set(self, 1)

    def resume_writing(self) -> None:
        self.paused = False
        self.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(CloseReason.CLIENT_GONE)

    # What the channel and the registry tell.

    def go_on(self) -> None:
        """`pump`, in short for one who stands where another has just gone on from."""
        mark = self.mark
        if mark is None or mark.head is not self.channel.newest or mark.page is None:
            self.pump()
            return
        page = mark.page
        self.mark, self.seq, self.progressed = page.mark, page.seq, page.progressed
        self.written = self.home.wheel.now
        self.events_sent += page.events
        self.trades_sent += page.trades
        self.bytes_sent += len(page.frames.plain)
        assert self.transport is not None
        self.transport.write(page.frames.plain)

    def pump(self, first: bytes = b"", events: int = 0) -> None:
        """Write what lies between the position and the channel's head, while the socket takes
        it; end there if this stream doesn't follow. `first` are so many events that come before
        it, in the same write."""
        channel = self.channel
        if self.run != channel.run and self.state in _OPEN:
            gap = self._adopt_run()
            first += gap
            events += bool(gap)
        if channel.percentage > self.percentage and self.state in _OPEN and not self.paused:
            first += self._progress()
            events += 1
        reach = channel.head if self.view.follow else channel.reach()
        while self.seq < reach and not self.paused and self.state in _OPEN:
            page = channel.page(self.view, self.seq, self.progressed)
            if page is None:
                break
            if self.mark is not None and page.events and page.seq == channel.head:
                self.mark.page, self.mark.head = page, channel.newest
            self.mark = page.mark if self.view.follow and self.gzip is None else None
            self.seq = page.seq
            if page.events:
                self._write(first + self._shared(page.frames), events + page.events, page.trades)
                self.progressed = page.progressed
                first, events = b"", 0
        if first:
            self._write(first, events)
        if self.paused or self.state not in _OPEN:
            return
        if self.seq < reach:
            self._move(StreamState.REPLAYING)
            self.mark = None
            channel.fetch(self)
            return
        if self.state is not StreamState.LIVE:
            self._move(StreamState.LIVE)
        if not self.view.follow and channel.settled and channel.finished:
            self.close(CloseReason.COMPLETE)

    def show(self, frames: Frames) -> None:
        """Write an event that isn't kept, unless the client is behind with what is."""
        if self.state in _OPEN and not self.paused:
            self._write(self._shared(frames), 1)

    def show_progress(self) -> None:
        """Never goes back, also when the run that it tells of begins anew. What a client was too
        slow for it gets when it is back, so that it sees 100 % before the end."""
        if self.channel.percentage > self.percentage and self.state in _OPEN and not self.paused:
            self._write(self._progress(), 1)

    def fail(self, error: WalletDoctorError) -> None:
        """Tell the client what went wrong and end."""
        if self.reason is None:
            self.errored = error.code
            self.close(CloseReason.ERROR, event.error_frame(error, self.home.now()))

    def bye(self, reason: CloseReason, reconnect_after_ms: int) -> None:
        """Tell the client why it is sent away and when to come back, and end."""
        frame = event.frame(event.Bye(reason.value, reconnect_after_ms))
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
        if last_words:
            self._write(self._private(last_words), 1)
        self._close(self.transport)

    def abandon(self) -> None:
        """The socket could not be handed over: the client is gone."""
        self._end(CloseReason.CLIENT_GONE)

    def abort(self) -> None:
        """Drop the connection with whatever is unwritten."""
        if self.transport is not None:
            self.transport.abort()

    def on_second(self) -> None:
        """The wheel came by: a heartbeat, an end, or nothing yet."""
        now = self.home.wheel.now
        limits = self.home.limits
        if self.state is StreamState.CLOSED:
            return  # since it was found due
        if self.state is StreamState.CLOSING:
            self.abort()
        elif self.expires and now >= self.expires:
            self.bye(CloseReason.LIFETIME, self._reconnect_soon())
        elif self.paused:
            self._on_stalled_second(now)
        else:
            if now - self.written >= limits.heartbeat_seconds:
                self._write(self._shared(self.home.heartbeat), 1)
            self.await_due()

    def await_due(self) -> None:
        """Stand in the wheel where the next heartbeat or the end is due."""
        due = self.written + self.home.limits.heartbeat_seconds
        if self.expires:
            due = min(due, self.expires)
        self.home.wheel.set(self, due - self.home.wheel.now)

    def _on_stalled_second(self, now: int) -> None:
        pending = self._pending()
        if pending < self.pending:
            self.pending, self.stalled = pending, now
        if now - self.stalled < self.home.limits.write_timeout:
            self.home.wheel.set(self, 1)
        else:
            self.bye(CloseReason.SLOW, self._reconnect_soon())

    # Its own ways.

    def _reconnect_soon(self) -> int:
        return self.home.random.randrange(*RECONNECT_MS)

    def _adopt_run(self) -> bytes:
        """Go to the start of the channel's run; what the client is told of that, if anything."""
        left = EventId(self.run, self.seq)
        self.run, self.seq, self.mark = self.channel.run, 0, None
        if not left.run:
            return b""
        return self._private(event.gap_frame("reset", str(left), self.channel.position))

    def _progress(self) -> bytes:
        self.percentage = self.channel.percentage
        return self._shared(self.channel.progress)

    def _shared(self, frames: Frames) -> bytes:
        """Events that others get too, as they go out. What this and `_private` return has to be
        written, in the order of the calls."""
        return frames.plain if self.gzip is None else self.gzip.shared(frames)

    def _private(self, data: bytes) -> bytes:
        """Events for this client alone, as they go out."""
        return data if self.gzip is None else self.gzip.private(data)

    def _write(self, data: bytes, events: int, trades: int = 0) -> None:
        assert self.transport is not None
        self.events_sent += events
        self.trades_sent += trades
        self.bytes_sent += len(data)
        self.written = self.home.wheel.now
        self.transport.write(data)

    def _close(self, transport: asyncio.Transport) -> None:
        self._move(StreamState.CLOSING)
        self.mark = None
        self.home.wheel.set(self, CLOSE_SECONDS)
        if self.gzip is not None:
            self._write(self.gzip.end(), 0)
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
            self.home.closed(self)
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
