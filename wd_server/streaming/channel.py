"""One wallet on this node: its newest entries, its subscribers, and what they share."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
from msgspec import Struct

from wd_server.chain.turns import Tenant
from wd_server.errors import InternalError, StoreAway, StoreUnavailable, WalletDoctorError
from wd_server.events import encoding, event, kinds
from wd_server.events.ids import EventId
from wd_server.journal.base import Entry, Head, Journal, JournalSubscription
from wd_server.streaming.compression import Frames
from wd_server.streaming.statistics import StreamStatistics
from wd_server.streaming.view import Progressed, RenderedPage, View
from wd_server.tasks import Tasks
from wd_server.trading.summary import Summary

if TYPE_CHECKING:
    from wd_server.streaming.stream import Stream

# Entries kept for streams that are nearly at the head: a reconnect after a short break finds what
# it missed without a read. About 250 KB for a wallet in full swing, dropped when it is quiet.
RECENT_ENTRIES = 256
# One write to one client, and one read from the journal: large enough that replaying 5,000 trades
# costs tens of calls, small enough that a client that stops reading pins little memory.
PAGE_ENTRIES = 256
PAGE_BYTES = 128 * 1024
# Pages read for streams that replay together, and bytes rendered for streams at one position. Where
# somebody takes gzip, a quarter more is kept beside them.
FETCHED_PAGES = 4
# Seconds until a page is asked for again that the store was away for.
AWAY_SECONDS = 1.0
# Seconds until those who wait for a page have been visited; with 100,000 streams it takes 2.
SERVED_SECONDS = 60.0
UNREADABLE = "This wallet's events can't be shown because of an error of ours."
# Seconds between two summaries, by contract.
SUMMARY_SECONDS = 1.0
RENDERED_BYTES = 1024 * 1024


class UnreadableId:
    """What a client sent as its last id, and what is none. It is told back to nobody: it may be a
    key that got into the wrong place."""

    __slots__ = ()

    def __str__(self) -> str:
        return ""


class Visited(Protocol):
    """What is visited, and what is done when that fails."""

    @property
    def stream_id(self) -> str: ...
    def abort(self) -> None: ...


class Subscriber(Visited, Protocol):
    """Who reads a wallet's events: a stream, or what a bundle has for this one of its wallets.
    `view` is what it asked to see, everything up to `seq` was written."""

    @property
    def view(self) -> View: ...
    @property
    def seq(self) -> int: ...
    @property
    def channel(self) -> "Channel": ...
    @property
    def tenant(self) -> Tenant: ...
    def pump(self) -> None: ...
    def show(self, frames: Frames) -> None: ...
    def show_progress(self) -> None: ...
    def fail(self, error: WalletDoctorError) -> None: ...


T = TypeVar("T", bound=Visited)


class Pump(Protocol):
    """Visits streams in slices short enough that the loop stays free for others. Visits that may
    take long are `heavy`."""

    counts: StreamStatistics
    page_reads: asyncio.Semaphore
    tasks: Tasks

    def visit(
        self, visited: Iterable[T], visit: Callable[[T], None], *, heavy: bool = False
    ) -> None: ...
    def pump(self, streams: Iterable["Stream"]) -> None: ...


class Channel:
    """`epoch` 0: nothing is known of this wallet yet. `standing`: seq of the `complete` that only
    movements follow, 0 if there is none. `settled`: its newest entry is its last for now, so a
    stream that doesn't follow may end there. `progress` and `preview` are events that
    aren't kept; `percentage` -1 and None while there are none."""

    __slots__ = (
        "_announced",
        "_announced_at",
        "_clock",
        "_fetched",
        "_journal",
        "_pump",
        "_reads",
        "_recent",
        "_rendered",
        "_rendered_bytes",
        "_served",
        "_subscription",
        "_summary",
        "_summary_at",
        "_summary_timer",
        "_waiting",
        "epoch",
        "head",
        "newest",
        "percentage",
        "preview",
        "progress",
        "settled",
        "standing",
        "streams",
        "subscriptions",
        "wallet",
    )

    def __init__(
        self, wallet: str, journal: Journal, pump: Pump, clock: Callable[[], float]
    ) -> None:
        self.wallet = wallet
        self.epoch = 0
        self.head = 0
        self.standing = 0
        self.newest: Head | None = None
        self.settled = False
        self.streams: set[Stream] = set()
        self.subscriptions: set[Subscriber] = set()
        self.progress = Frames(b"")
        self.percentage = -1
        self.preview: Frames | None = None
        self._journal = journal
        self._pump = pump
        self._clock = clock
        self._subscription: JournalSubscription | None = None
        self._announced = False
        self._announced_at = 0.0
        self._recent: list[Entry] = []
        self._fetched: dict[int, list[Entry]] = {}
        self._served: list[int] = []
        self._waiting: dict[int, set[Subscriber]] = {}
        self._reads: dict[asyncio.Task[None], None] = {}
        self._rendered: dict[tuple[View, int, Progressed], RenderedPage] = {}
        self._rendered_bytes = 0
        self._summary: Summary | None = None
        self._summary_at = -SUMMARY_SECONDS
        self._summary_timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Find the head and be told of everything after it. Raises StoreUnavailable."""
        self._subscription = self._journal.subscribe(self.wallet, self._on_append)
        try:
            head = await self._journal.head(self.wallet)
            standing = 0 if head is None else await self._standing(head)
        except BaseException:
            self.close()
            raise
        if head is not None and (head.epoch, head.seq) >= (self.epoch, self.head):
            self._move(head, standing)

    async def _standing(self, head: Head) -> int:
        """Raises StoreUnavailable."""
        if head.kind not in kinds.INCLUDED:
            return head.seq if head.kind == kinds.COMPLETE else 0
        newest = await self._journal.read(self.wallet, head.epoch, head.seq - 1, 1, PAGE_BYTES)
        return _standing_at(newest[-1]) if newest else 0

    def close(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None  # they refer to each other
        if self._summary_timer is not None:
            self._summary_timer.cancel()
        for read in self._reads:
            read.cancel()

    @property
    def position(self) -> str | None:
        """The newest entry's id."""
        return str(EventId(self.epoch, self.head)) if self.epoch else None

    @property
    def finished(self) -> bool:
        """Nothing but movements follows the newest `complete`."""
        return self.standing > 0

    def reach(self) -> int:
        """How far a stream may go that ends with a `complete`: one that may still be overtaken
        isn't shown to it."""
        return self.standing - 1 if self.finished and not self.settled else self.head

    def has_ended(self, view: View, position: EventId) -> bool:
        """Whether nothing is left at this position for a stream that doesn't follow."""
        end = self.head if view.movements else self.standing
        return self.finished and position.epoch == self.epoch and end <= position.seq <= self.head

    @property
    def is_deserted(self) -> bool:
        return not (self.streams or self.subscriptions)

    def gap(self, last: EventId | UnreadableId | None) -> event.GapReason | None:
        """Why a client can't go on from where it was; None if it can, or wasn't anywhere."""
        if isinstance(last, UnreadableId):
            return "unknown_id"
        if last is None or (last.epoch == self.epoch and last.seq <= self.head):
            return None
        return "expired" if 0 < last.epoch < self.epoch else "unknown_id"

    def behind(self, epoch: int, seq: int) -> int:
        """How many entries come after this position."""
        return self.head - seq if epoch == self.epoch else self.head

    def leave(self, subscriber: Subscriber) -> None:
        self.streams -= {subscriber}
        self.subscriptions -= {subscriber}

    # What the journal and the wallet's session tell.

    def _on_append(self, epoch: int, entries: Sequence[Entry]) -> None:
        if epoch != self.epoch:
            self._recent.clear()
            self._fetched.clear()
        elif self._recent and self._recent[-1].seq + 1 != entries[0].seq:
            self._recent.clear()  # a hole: the journal has what is missing
        self._recent.extend(entries)
        if len(self._recent) > 2 * RECENT_ENTRIES:
            del self._recent[:-RECENT_ENTRIES]
        self.preview = None
        self._move(Head(epoch, entries[-1].seq, entries[-1].kind), _standing_at(entries[-1]))

    def _move(self, head: Head, standing: int) -> None:
        self.newest = head
        self.epoch, self.head = head.epoch, head.seq
        self.standing = standing
        self._forget_rendered()
        self._announce()

    def on_progress(self, progress: event.Progress) -> None:
        further = progress.percentage > self.percentage
        self.progress = Frames(encoding.frame(progress))
        self.percentage = progress.percentage
        if further:
            self._pump.visit(self._subscribers(), lambda subscriber: subscriber.show_progress())

    def on_preview(self, preview: event.Preview) -> None:
        self.preview = self._show(preview)

    def on_summary(self, summary: Summary) -> None:
        """The totals after new trades, for those who saw the trades; the newest of a second."""
        self._summary = summary
        wait = self._summary_at + SUMMARY_SECONDS - monotonic()
        if wait <= 0:
            self._show_summary()
        elif self._summary_timer is None:
            loop = asyncio.get_running_loop()
            self._summary_timer = loop.call_later(wait, self._show_summary)

    def _show_summary(self) -> None:
        self._summary_timer = None
        if self._summary is not None:
            self._show(self._summary)
            self._summary, self._summary_at = None, monotonic()

    def _show(self, data: Struct) -> Frames:
        """Show an event that isn't stored to those whose view has its kind."""
        frames, kind = Frames(encoding.frame(data)), kinds.BY_DATA[type(data)]
        shown_to = [each for each in self._subscribers() if each.view.shows(kind)]
        self._pump.visit(shown_to, lambda subscriber: subscriber.show(frames))
        return frames

    def on_unsettled(self) -> None:
        self.settled = False

    def on_settled(self) -> None:
        if not self.settled:
            self.settled = True
            self._forget_rendered()
            self._announce()

    def on_failed(self, error: WalletDoctorError, followers_too: bool) -> None:
        told = [each for each in self._subscribers() if followers_too or not each.view.follow]
        self._pump.visit(told, lambda subscriber: subscriber.fail(error))

    # What streams ask for.

    def page(self, view: View, after: int, progressed: Progressed) -> RenderedPage | None:
        """What follows this position, ready to be written; None if it has to be fetched first."""
        key = (view, after, progressed)
        page = self._rendered.get(key)
        if page is None:
            entries = self._entries(after)
            if entries is None:
                return None
            reach = self.head if view.follow else self.reach()
            while entries[-1].seq > reach:
                entries.pop()
            now = int(self._clock())
            page = view.render(self.epoch, entries, self.head, self.standing, progressed, now)
            if self._rendered_bytes > RENDERED_BYTES:
                self._forget_rendered()
            self._rendered[key] = page
            self._rendered_bytes += page.size
        return page

    def fetch(self, subscriber: Subscriber) -> None:
        """Read the page after the subscriber's position, and pump it when the page is there."""
        if subscriber.seq in self._waiting:
            self._waiting[subscriber.seq].add(subscriber)
            return
        self._waiting[subscriber.seq] = {subscriber}
        after = subscriber.seq
        read = self._pump.tasks.spawn(
            "page",
            self._read(self.epoch, after),
            on_failure=lambda: self._fail_waiting(after, InternalError(UNREADABLE)),
            wallet=self.wallet,
        )
        self._reads[read] = None
        read.add_done_callback(self._reads.pop)

    async def _read(self, epoch: int, after: int) -> None:
        """Once the store is there: meanwhile streams wait and get their heartbeats."""
        while True:
            try:
                async with self._pump.page_reads:
                    return await self._read_once(epoch, after)
            except StoreAway:
                await asyncio.sleep(AWAY_SECONDS)

    async def _read_once(self, epoch: int, after: int) -> None:
        try:
            entries = await self._journal.read(self.wallet, epoch, after, PAGE_ENTRIES, PAGE_BYTES)
            if epoch == self.epoch and not entries:
                await self._check_over(epoch)
        except StoreAway:
            raise
        except WalletDoctorError as error:
            self._fail_waiting(after, error)
            return
        if epoch == self.epoch and not entries:
            del self._waiting[after]
            return
        if epoch == self.epoch:
            self._fetched[after] = entries
            self._pump.counts.replayed += len(entries)
        served = asyncio.get_running_loop().create_future()
        self._pump.visit(
            self._serve(after, served), lambda subscriber: subscriber.pump(), heavy=True
        )
        async with asyncio.timeout(SERVED_SECONDS):
            await served

    def _fail_waiting(self, after: int, error: WalletDoctorError) -> None:
        self._pump.visit(self._waiting.pop(after, ()), lambda subscriber: subscriber.fail(error))

    async def _check_over(self, epoch: int) -> None:
        """Nothing can be read because another epoch has begun, or will because the store lost this
        one; its first entry will have all streams visited. Raises StoreUnavailable if that isn't
        why."""
        head = await self._journal.head(self.wallet)
        if head is not None and head.epoch == epoch:
            raise StoreUnavailable("The wallet's stored events can't be read now.")

    def _serve(self, after: int, served: asyncio.Future[None]) -> Iterator[Subscriber]:
        """Those who wait for the page; it isn't dropped before they have it."""
        yield from self._waiting.pop(after)
        self._served.append(after)
        if len(self._served) > FETCHED_PAGES:
            self._fetched.pop(self._served.pop(0), None)
        if not served.done():
            served.set_result(None)

    def forget(self) -> None:
        """Drop what only streams behind the head need."""
        self._recent.clear()
        self._fetched.clear()
        self._forget_rendered()

    def _entries(self, after: int) -> list[Entry] | None:
        if self._recent and self._recent[0].seq <= after + 1:
            start = after + 1 - self._recent[0].seq
            return _within_page(self._recent[start : start + PAGE_ENTRIES])
        fetched = self._fetched.get(after)
        return None if fetched is None else list(fetched)

    def _subscribers(self) -> list[Subscriber]:
        return [*self.streams, *self.subscriptions]

    def _forget_rendered(self) -> None:
        self._rendered.clear()
        self._rendered_bytes = 0

    def _announce(self) -> None:
        """Have every stream visited once, however many entries came in the meantime."""
        if not self._announced and not self.is_deserted:
            self._announced = True
            self._announced_at = monotonic()
            self._pump.pump(self._visited())
            if self.subscriptions:
                self._pump.visit(
                    list(self.subscriptions), lambda subscription: subscription.pump(), heavy=True
                )

    def _visited(self) -> Iterator["Stream"]:
        self._announced = False
        since = self._announced_at
        yield from list(self.streams)
        self._pump.counts.publish_seconds.observe(monotonic() - since)


class _Completed(Struct):
    complete: str | None = None


_completed = msgspec.json.Decoder(_Completed)


def _standing_at(newest: Entry) -> int:
    """What `Channel.standing` is behind this entry."""
    if newest.kind not in kinds.INCLUDED:
        return newest.seq if newest.kind == kinds.COMPLETE else 0
    complete = _completed.decode(newest.payload).complete
    return 0 if complete is None else EventId.parse(complete).seq


def _within_page(entries: list[Entry]) -> list[Entry]:
    size = 0
    for count, entry in enumerate(entries, 1):
        size += len(entry.payload)
        if size >= PAGE_BYTES:
            return entries[:count]
    return entries
