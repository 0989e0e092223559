"""All streams of this process: admitted, found, kept alive, counted, and sent away."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from random import Random
from time import monotonic
from typing import Any
from uuid import UUID

import structlog

from wd_server.errors import AtCapacity, Draining, WalletDoctorError
from wd_server.events import encoding, event
from wd_server.events.ids import EventId
from wd_server.journal.base import Journal
from wd_server.streaming.bundle import Bundle
from wd_server.streaming.bundle_id import Bookmarks, Seal
from wd_server.streaming.channel import Channel, Subscriber, T, UnreadableId
from wd_server.streaming.compression import Frames
from wd_server.streaming.connection import Connection, Limits
from wd_server.streaming.demand import StreamRequest, WalletSessions
from wd_server.streaming.lifecycle import CloseReason
from wd_server.streaming.statistics import StreamStatistics
from wd_server.streaming.stream import Stream
from wd_server.streaming.view import View
from wd_server.streaming.wheel import TimerWheel
from wd_server.tasks import Tasks

# Seconds the loop may be kept by visits to streams before others get their turn: a newcomer needs
# several turns for its first event. Shorter slices cost as little as twice as long ones (`bench`).
SLICE_SECONDS = 0.001
# Visits between two looks at the clock: 0.2 ms at most, and a look costs as much as a tenth of one.
VISITS_A_LOOK = 16
# Seconds after which one that found no room may try again.
CAPACITY_RETRY_SECONDS = 10
# Streams a second that a drain closes even when it has time: nobody waits without need.
DRAIN_STREAMS_PER_SECOND = 500
# The share of DRAIN_SECONDS in which goodbyes are said; the rest is for the last bytes.
DRAIN_SHARE = 0.6
# Pages of journals read at a time for streams that are behind: 2 MB, however many they are.
PAGE_READS = 16
# The least part of SSE_MAX_STREAM_DURATION that a stream lives, by contract: they end spread.
LIFETIME_SHARE = 0.8
# Seconds between two looks at channels that have gone quiet.
FORGET_SECONDS = 30

_log = structlog.get_logger("stream")


class StreamRegistry:
    """`clock` gives unix seconds. Everything runs on the loop it was started on."""

    def __init__(
        self,
        limits: Limits,
        journal: Journal,
        sessions: WalletSessions,
        clock: Callable[[], float],
        random: Random,
        tasks: Tasks | None = None,
    ) -> None:
        self.limits = limits
        self.random = random
        self.tasks = tasks or Tasks()
        self.wheel: TimerWheel[Connection] = TimerWheel()
        self.heartbeat = Frames(b"")
        self.draining = False
        self.counts = StreamStatistics()
        # What streams that are closed have sent.
        self._sent = StreamStatistics()
        self.page_reads = asyncio.Semaphore(PAGE_READS)
        self._journal = journal
        self._sessions = sessions
        self._clock = clock
        self._streams: dict[str, Connection] = {}
        self._channels: dict[str, Channel] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        # Who is visited, how, and after how many visits the clock is looked at.
        self._visits: deque[tuple[Iterator[Any], Callable[[Any], None], int]] = deque()
        self._visiting = False
        self._second: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    def now(self) -> int:
        return int(self._clock())

    def statistics(self) -> StreamStatistics:
        """Everything counted; what open streams have sent is added up for it."""
        counts, streams = self.counts, self._streams.values()
        counts.channels = len(self._channels)
        counts.events = self._sent.events + sum(map(attrgetter("events_sent"), streams))
        counts.trades = self._sent.trades + sum(map(attrgetter("trades_sent"), streams))
        counts.bytes = self._sent.bytes + sum(map(attrgetter("bytes_sent"), streams))
        return counts

    def find(self, stream_id: str) -> Connection | None:
        return self._streams.get(stream_id)

    def owned_by(self, who: str) -> list[Connection]:
        """Takes 3 ms for 100,000 streams."""
        return [stream for stream in self._streams.values() if stream.tenant.name == who]

    # Admission.

    def check_room(self) -> None:
        """Raises Draining or AtCapacity when a stream could not be admitted now."""
        error: WalletDoctorError
        if self.draining:
            error = Draining(
                "This server is shutting down. Connect again: another one will answer.",
                retry_after=1,
            )
        elif len(self._streams) >= self.limits.max_streams:
            error = AtCapacity(
                "This server holds as many streams as it can. Try again in a few seconds.",
                retry_after=CAPACITY_RETRY_SECONDS,
            )
        else:
            return
        self.counts.refused[error.code] += 1
        raise error

    async def channel(self, wallet: str) -> Channel:
        """The wallet's channel, opened if it isn't. Raises StoreUnavailable, also where it is open
        and the store is away: a newcomer could be shown nothing. Whoever asked either admits a
        stream to it without waiting for anything else, or calls `drop_unused`."""
        self._journal.check(wallet)
        while (channel := self._channels.get(wallet)) is None:
            opening = self._opening.get(wallet)
            if opening is None:
                opening = asyncio.get_running_loop().create_task(self._open(wallet))
                self._opening[wallet] = opening
            await asyncio.shield(opening)
        return channel

    async def _open(self, wallet: str) -> None:
        """Takes itself out of what is opening before anybody else has a turn: to wait for a task
        that is done gives nobody one."""
        try:
            channel = Channel(wallet, self._journal, self, self._clock)
            await channel.open()
            self._channels[wallet] = channel
        finally:
            del self._opening[wallet]

    async def channels(self, wallets: Sequence[str]) -> list[Channel]:
        """The same for all of these; who gets them drops each that stays unused."""
        try:
            # Others may drop one while the next is opened.
            while missing := [wallet for wallet in wallets if wallet not in self._channels]:
                opened = await asyncio.gather(*map(self.channel, missing), return_exceptions=True)
                for error in opened:
                    if isinstance(error, BaseException):
                        raise error
        except BaseException:
            for wallet in wallets:
                if wallet in self._channels:
                    self.drop_unused(self._channels[wallet])
            raise
        return [self._channels[wallet] for wallet in wallets]

    def drop_unused(self, channel: Channel) -> None:
        if channel.is_deserted and self._channels.get(channel.wallet) is channel:
            del self._channels[channel.wallet]
            channel.close()

    def admit(
        self,
        channel: Channel,
        view: View,
        last_event_id: EventId | UnreadableId | None,
        asked: StreamRequest,
        heartbeat_seconds: int | None = None,
    ) -> Stream:
        """A stream that waits for its socket; without `heartbeat_seconds` it has those of the
        settings. Raises as `check_room`."""
        self.check_room()
        gap = channel.gap(last_event_id)
        left = last_event_id if isinstance(last_event_id, EventId) and gap is None else None
        position = left or EventId(channel.epoch, 0)
        stream = Stream(self._new_id(), view, channel, self, position, heartbeat_seconds)
        stream.greeting = stream.connected(channel.wallet, left is not None)
        if gap is not None:
            stream.greeting += encoding.gap_frame(gap, str(last_event_id), channel.position)
        if last_event_id is not None:
            self.counts.resumes[gap or "resumed"] += 1
        channel.streams.add(stream)
        self._take_in(stream, asked)
        return stream

    def admit_bundle(
        self,
        channels: Sequence[Channel],
        view: View,
        bookmarks: Bookmarks | UnreadableId | None,
        seal: Seal,
        asked: StreamRequest,
        heartbeat_seconds: int | None = None,
    ) -> Bundle:
        """The same for several wallets. `bookmarks` are what the client's last id says, `seal` goes
        on those that it gets."""
        self.check_room()
        bundle = Bundle(self._new_id(), view, self, channels, seal, heartbeat_seconds)
        gap = None if bookmarks is None else bundle.resume(bookmarks)
        resumed = bookmarks is not None and gap is None
        bundle.greeting = bundle.connected(None, resumed, bundle.wallets) + bundle.greeting
        if bookmarks is not None:
            self.counts.resumes[gap or "resumed"] += 1
        for subscription in bundle.subscriptions:
            subscription.channel.subscriptions.add(subscription)
        self._take_in(bundle, asked)
        return bundle

    def _new_id(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def _take_in(self, connection: Connection, asked: StreamRequest) -> None:
        connection.asked_at, connection.tenant = asked.at, asked.tenant
        self._streams[connection.stream_id] = connection
        self.counts.active += 1
        self._empty.clear()
        self.counts.total += 1
        for subscriber in connection.subscribers:
            channel = subscriber.channel
            held = channel.wallet in asked.held
            self._sessions.join(
                channel.wallet, channel, connection.view.follow, connection.tenant, held=held
            )

    # What connections tell (connection.StreamOwner).

    def opened(self, stream: Connection) -> None:
        stream.opened_at = monotonic()
        self.counts.first_event_seconds.observe(stream.opened_at - stream.asked_at)
        if self.limits.stream_seconds:
            longest = self.limits.stream_seconds
            # The first of the wheel's seconds may be over in no time.
            shortest = min(longest * LIFETIME_SHARE + 1, longest)
            stream.expires = self.wheel.now + round(self.random.uniform(shortest, longest))
        stream.await_due()
        if self._second is None:
            self._second = asyncio.get_running_loop().call_later(1, self.on_second)

    def leave(self, subscriber: Subscriber) -> None:
        """It reads its wallet no further."""
        channel = subscriber.channel
        channel.leave(subscriber)
        self._sessions.leave(channel.wallet, subscriber.view.follow, subscriber.tenant)
        self.drop_unused(channel)

    def closed(self, stream: Connection) -> None:
        assert stream.reason is not None
        on_closed, stream.on_closed = stream.on_closed, None
        if on_closed is not None:
            on_closed()
        self.wheel.discard(stream)
        del self._streams[stream.stream_id]
        self.counts.active -= 1
        self._sent.events += stream.events_sent
        self._sent.trades += stream.trades_sent
        self._sent.bytes += stream.bytes_sent
        for subscriber in stream.subscribers:
            self.leave(subscriber)
        duration = monotonic() - (stream.opened_at or stream.asked_at)
        self.counts.closed[stream.reason.value] += 1
        self.counts.errored += stream.errored is not None
        self.counts.duration_seconds.observe(duration)
        if not self._streams:
            self._empty.set()
            self._stop_seconds()
        _log.info(
            "stream closed",
            stream_id=stream.stream_id,
            wallet=" ".join(stream.wallets),
            who=stream.tenant.name,
            reason=stream.reason.value,
            error=stream.errored,
            seconds=round(duration, 3),
            events=stream.events_sent,
            bytes=stream.bytes_sent,
        )

    # Visits and the wheel.

    def visit(
        self, visited: Iterable[T], visit: Callable[[T], None], *, heavy: bool = False
    ) -> None:
        """Have each visited soon, in slices of SLICE_SECONDS."""
        self._visits.append((iter(visited), visit, 1 if heavy else VISITS_A_LOOK))
        if not self._visiting:
            self._visiting = True
            asyncio.get_running_loop().call_soon(self._visit_slice)

    def pump(self, streams: Iterable[Stream]) -> None:
        """Have each stream go on soon from where it stands."""
        self.visit(streams, Stream.go_on)

    def _visit_slice(self) -> None:
        until = monotonic() + SLICE_SECONDS
        visited = 0
        while self._visits:
            streams, visit, a_look = self._visits[0]
            for stream in streams:
                try:
                    visit(stream)
                except Exception:  # noqa: BLE001 - a bug met by one stream must not stop all visits
                    _log.exception("stream failed", stream_id=stream.stream_id)
                    stream.abort()
                visited += 1
                if visited % a_look == 0 and monotonic() >= until:
                    asyncio.get_running_loop().call_soon(self._visit_slice)
                    return
            self._visits.popleft()
        self._visiting = False

    def on_second(self) -> None:
        """A second has passed."""
        self._second = asyncio.get_running_loop().call_later(1, self.on_second)
        self.heartbeat = Frames(encoding.frame(event.Heartbeat(self.now())))
        due = self.wheel.turn()
        if due:
            self.visit(due, lambda stream: stream.on_second())
        if self.wheel.now % FORGET_SECONDS == 0:
            for channel in self._channels.values():
                channel.forget()

    # The end.

    async def drain(self, seconds: float) -> None:
        """Take no new stream and send the present ones away, spread so that they don't come back
        together; drop who isn't gone after `seconds`."""
        self.draining = True
        deadline = monotonic() + seconds
        streams = list(self._streams.values())
        span = min(seconds * DRAIN_SHARE, len(streams) / DRAIN_STREAMS_PER_SECOND)
        started = monotonic()
        for number, stream in enumerate(streams):
            ahead = started + span * number / len(streams) - monotonic()
            if ahead > SLICE_SECONDS:
                await asyncio.sleep(ahead)
            stream.bye(CloseReason.SHUTDOWN, self.random.randrange(1, int(seconds * 1000) + 2))
        try:
            await asyncio.wait_for(self._empty.wait(), deadline - monotonic())
        except TimeoutError:
            for stream in list(self._streams.values()):
                stream.abort()

    def close(self) -> None:
        """Drop everything at once."""
        for stream in list(self._streams.values()):
            stream.abort()
        self._stop_seconds()

    def _stop_seconds(self) -> None:
        if self._second is not None:
            self._second.cancel()
            self._second = None
