"""A connection that is sent one wallet's events: its position in the wallet's journal.

A stream holds a position, not a queue. What lies between the position and the channel's head is
written while the socket takes it; when it doesn't, nothing is kept for the client and it is read
from the journal again later. So live, replay and slow are the same few lines, `pump`.
"""

import asyncio
from collections.abc import Sequence

from wd_server.events import encoding
from wd_server.events.ids import EventId
from wd_server.streaming.channel import Channel
from wd_server.streaming.compression import Frames
from wd_server.streaming.connection import OPEN, Connection, StreamOwner
from wd_server.streaming.lifecycle import CloseReason, StreamState
from wd_server.streaming.view import NOTHING_YET, Mark, View


class Stream(Connection):
    """`epoch` and `seq` are the position: everything up to there was written."""

    __slots__ = ("channel", "epoch", "mark", "percentage", "progressed", "seq")

    def __init__(
        self,
        stream_id: str,
        view: View,
        channel: Channel,
        owner: StreamOwner,
        position: EventId,
        heartbeat_seconds: int | None = None,
    ) -> None:
        super().__init__(stream_id, view, owner, heartbeat_seconds)
        self.channel = channel
        self.epoch, self.seq = position
        # Where it stands, while it is live and follows: others may stand there too.
        self.mark: Mark | None = None
        self.progressed = NOTHING_YET
        self.percentage = -1

    @property
    def wallets(self) -> Sequence[str]:
        return (self.channel.wallet,)

    @property
    def subscribers(self) -> "Sequence[Stream]":
        return (self,)

    @property
    def lag(self) -> int:
        return self.channel.behind(self.epoch, self.seq)

    # What the loop tells.

    def start(self, greeting: bytes) -> None:
        if self.channel.preview is not None and self.seq == 0:
            self.pump(greeting + self._shared(self.channel.preview), 2)
        else:
            self.pump(greeting, 1)

    def pause_writing(self) -> None:
        self.mark = None
        super().pause_writing()

    # What the channel tells.

    def go_on(self) -> None:
        """`pump`, in short for one who stands where another has just gone on from."""
        mark = self.mark
        if mark is None or mark.head is not self.channel.newest or mark.page is None:
            self.pump()
            return
        page = mark.page
        self.mark, self.seq, self.progressed = page.mark, page.seq, page.progressed
        self.written = self.owner.wheel.now
        self.events_sent += page.events
        self.trades_sent += page.trades
        self.bytes_sent += len(page.frames.chunk)
        assert self.transport is not None
        self.transport.write(page.frames.chunk)

    def pump(self, first: bytes = b"", events: int = 0) -> None:
        """Write what lies between the position and the channel's head, while the socket takes
        it; end there if this stream doesn't follow. `first` are so many events that come before
        it, in the same write."""
        channel = self.channel
        if self.epoch != channel.epoch and self.state in OPEN:
            gap = self._adopt_epoch()
            first += gap
            events += bool(gap)
        if channel.percentage > self.percentage and self.state in OPEN and not self.paused:
            first += self._progress()
            events += 1
        reach = channel.head if self.view.follow else channel.reach()
        while self.seq < reach and not self.paused and self.state in OPEN:
            page = channel.page(self.view, self.seq, self.progressed)
            if page is None:
                break
            if self.mark is not None and page.events and page.seq == channel.head:
                self.mark.page, self.mark.head = page, channel.newest
            self.mark = page.mark if self.view.follow and self.sends_chunks_as_they_are else None
            self.seq = page.seq
            if page.events:
                self._write(first + self._shared(page.frames), events + page.events, page.trades)
                self.progressed = page.progressed
                first, events = b"", 0
        if first:
            self._write(first, events)
        if self.paused or self.state not in OPEN:
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
        if self.state in OPEN and not self.paused:
            self._write(self._shared(frames), 1)

    def show_progress(self) -> None:
        """Never goes back, also when the pass that it tells of begins anew. What a client was too
        slow for it gets when it is back, so that it sees 100 % before the end."""
        if self.channel.percentage > self.percentage and self.state in OPEN and not self.paused:
            self._write(self._progress(), 1)

    # Its own ways.

    def _adopt_epoch(self) -> bytes:
        """Go to the start of the channel's epoch; what the client is told of that, if anything."""
        left = EventId(self.epoch, self.seq)
        self.epoch, self.seq, self.mark = self.channel.epoch, 0, None
        if not left.epoch:
            return b""
        return self._private(encoding.gap_frame("reset", str(left), self.channel.position))

    def _progress(self) -> bytes:
        self.percentage = self.channel.percentage
        return self._shared(self.channel.progress)

    def _close(self, transport: asyncio.Transport, last_words: bytes, events: int) -> None:
        self.mark = None
        super()._close(transport, last_words, events)
