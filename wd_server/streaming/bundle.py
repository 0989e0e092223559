"""A client of several wallets: a position in the journal of each.

As a `Stream` it holds positions and no queue. Each wallet's channel tells its `Subscription`, whose
events are put together with those of others that are due in the same pass, and leave in one write.
When one write doesn't hold them all, members take turns, a page each, so that a wallet with a long
history keeps no other waiting. Every event has an id that stands for the positions in all wallets,
so no two clients get the same bytes: they are put together here, from pieces that bundles at the
same position share.
"""

from collections.abc import Sequence

from wd_server.chain.turns import Tenant
from wd_server.errors import WalletDoctorError
from wd_server.events import event, sse
from wd_server.journal.base import EventId
from wd_server.streaming.bundle_id import Bookmarks, Positions, Seal
from wd_server.streaming.channel import PAGE_BYTES, Channel, Unreadable
from wd_server.streaming.compression import Frames
from wd_server.streaming.connection import OPEN, Client, Home
from wd_server.streaming.lifecycle import CloseReason, StreamState
from wd_server.streaming.view import NOTHING_YET, NamedView, Page, View


class Subscription:
    """One wallet of a bundle. `place` is its number there. `epoch` and `seq` are the position:
    everything up to there was written or is about to be. `preview` is the one it has shown."""

    __slots__ = (
        "bundle",
        "channel",
        "epoch",
        "percentage",
        "place",
        "preview",
        "progressed",
        "seq",
        "view",
    )

    def __init__(self, bundle: "Bundle", place: int, channel: Channel, view: NamedView) -> None:
        self.bundle = bundle
        self.place = place
        self.channel = channel
        self.view = view
        self.epoch, self.seq = channel.epoch, 0
        self.progressed = NOTHING_YET
        self.percentage = -1
        self.preview: Frames | None = None

    @property
    def stream_id(self) -> str:
        return self.bundle.stream_id

    @property
    def tenant(self) -> Tenant:
        return self.bundle.tenant

    def abort(self) -> None:
        self.bundle.abort()

    # What the channel tells.

    def pump(self) -> None:
        self.bundle.advance(self)

    def show(self, frames: Frames) -> None:
        self.bundle.show(self, frames)

    def show_progress(self) -> None:
        self.bundle.advance(self)

    def fail(self, error: WalletDoctorError) -> None:
        """One wallet's failure ends the whole, so that its silence isn't taken for calm."""
        frame = event.error_frame(error, self.bundle.home.now())
        self.bundle.end_with(error, event.named(frame, self.channel.wallet))


class Bundle(Client):
    """Made by `StreamRegistry.admit_bundle`. `members` are all of its wallets, in the order of the
    request; those that have shown their `complete` and are followed no further have left their
    channels."""

    __slots__ = (
        "_due",
        "_events",
        "_greeting",
        "_out",
        "_places",
        "_planned",
        "_reading",
        "_size",
        "_trades",
        "_waiting",
        "members",
    )

    def __init__(
        self,
        stream_id: str,
        view: View,
        home: Home,
        channels: Sequence[Channel],
        seal: Seal,
        heartbeat_seconds: int | None = None,
    ) -> None:
        super().__init__(stream_id, view, home, heartbeat_seconds)
        self.members = [
            Subscription(self, place, channel, _named(view, channel.wallet))
            for place, channel in enumerate(channels)
        ]
        self._places = Positions(self.wallets, seal)
        self._reading = set(self.members)
        # Those whose turn will come, in that order, and those whose next page is being read.
        self._due: dict[Subscription, None] = {}
        self._waiting: set[Subscription] = set()
        # What the next write has, at most PAGE_BYTES and one page: bytes, and what is in them. Only
        # the first one has the greeting, which is framed already.
        self._greeting = b""
        self._out: list[bytes] = []
        self._size = self._events = self._trades = 0
        self._planned = False

    @property
    def wallets(self) -> Sequence[str]:
        return [member.channel.wallet for member in self.members]

    @property
    def subscribers(self) -> Sequence[Subscription]:
        return list(self._reading)

    def reads(self, wallet: str) -> bool:
        """Whether it is still shown what happens to this wallet."""
        return any(member.channel.wallet == wallet for member in self._reading)

    @property
    def lag(self) -> int:
        return sum(member.channel.behind(member.epoch, member.seq) for member in self._reading)

    def resume(self, bookmarks: Bookmarks | Unreadable) -> event.GapReason | None:
        """Begin where the client's last id says; wallets that it doesn't know, at their start.
        Returns why that can't be done for a wallet, if there is one."""
        reason = None
        for member in self.members:
            channel = member.channel
            left: EventId | Unreadable | None
            if isinstance(bookmarks, Unreadable):
                left = bookmarks
            else:
                left = bookmarks.position(channel.wallet, channel.epoch)
            gap = channel.gap(left)
            if gap is not None:
                frame = event.gap_frame(gap, str(left), channel.position)
                self.greeting += event.named(frame, channel.wallet)
                reason = reason or gap
            elif isinstance(left, EventId):
                member.seq = left.seq
                self._places.move(member.place, *left)
        return reason

    # What the loop tells.

    def start(self, greeting: bytes) -> None:
        self._greeting = greeting
        self._events = 1
        self._due = dict.fromkeys(self.members)
        self.pump()

    def pump(self) -> None:
        self._planned = False
        if self.state not in OPEN or self.paused:
            return
        while self._due and self._size < PAGE_BYTES:
            member = next(iter(self._due))
            del self._due[member]
            self._take(member)
        self._flush()
        if self.state not in OPEN or self.paused:
            return
        if self._due or self._waiting:
            self._move(StreamState.REPLAYING)
            if self._due:
                self._plan()
        else:
            self._move(StreamState.LIVE)
            if not self._reading:
                self.close(CloseReason.COMPLETE)

    def close(self, reason: CloseReason, last_words: bytes = b"") -> None:
        if self.reason is None:
            self._flush()
        super().close(reason, last_words)

    # What members tell.

    def advance(self, member: Subscription) -> None:
        """There is something new for this member."""
        if self.state not in OPEN or member not in self._reading:
            return
        if self.paused or self._due or self._size >= PAGE_BYTES:
            self._due[member] = None
        else:
            self._take(member)
        self._plan()

    def show(self, member: Subscription, frames: Frames) -> None:
        """An event that isn't kept, unless the client is behind with what is."""
        if frames is member.channel.preview:
            self.advance(member)
        elif self.state in OPEN and not self.paused and member not in self._due:
            self._put(event.named(frames.plain, member.channel.wallet))
            self._plan()

    # Its own ways.

    def _take(self, member: Subscription) -> None:
        """Put together what there is for this member, up to a page."""
        channel = member.channel
        if member.epoch != channel.epoch:
            self._adopt_run(member)
        if channel.preview is not member.preview:
            member.preview = channel.preview
            if channel.preview is not None and member.seq == 0:
                self._put(event.named(channel.preview.plain, channel.wallet))
        if channel.percentage > member.percentage:
            member.percentage = channel.percentage
            self._put(event.named(channel.progress.plain, channel.wallet))
        reach = channel.head if self.view.follow else channel.reach()
        if member.seq < reach:
            page = channel.page(member.view, member.seq, member.progressed)
            if page is None:
                self._waiting.add(member)
                channel.fetch(member)
                return
            self._put_page(member, page)
        self._waiting.discard(member)
        if member.seq < reach:
            self._due[member] = None
        elif not self.view.follow and channel.settled and channel.finished:
            self._reading.discard(member)
            self.home.leave(member)

    def _adopt_run(self, member: Subscription) -> None:
        """Go to the start of the channel's run."""
        channel = member.channel
        left = EventId(member.epoch, member.seq)
        member.epoch, member.seq = channel.epoch, 0
        self._places.move(member.place, member.epoch, 0)
        if left.epoch:
            gap = event.gap_frame("reset", str(left), channel.position)
            self._put(event.named(gap, channel.wallet))

    def _put_page(self, member: Subscription, page: Page) -> None:
        places, place, epoch = self._places, member.place, member.epoch
        for seq, frame in page.pieces:
            places.move(place, epoch, seq)
            self._put(sse.identified(places.id(), frame))
        self._trades += page.trades
        member.seq, member.progressed = page.seq, page.progressed

    def _put(self, frame: bytes) -> None:
        self._out.append(frame)
        self._size += len(frame)
        self._events += 1

    def _flush(self) -> None:
        if self._events:
            data = self._greeting + self._private(b"".join(self._out))
            events, trades = self._events, self._trades
            self._greeting = b""
            self._out.clear()
            self._size = self._events = self._trades = 0
            self._write(data, events, trades)

    def _plan(self) -> None:
        """Write when everything that is announced now is put together."""
        if not self._planned and not self.paused:
            self._planned = True
            self.home.visit((self,), lambda bundle: bundle.pump(), heavy=True)

    def _end(self, reason: CloseReason) -> None:
        super()._end(reason)
        self.members = []  # they refer to each other
        self._reading.clear()
        self._due.clear()
        self._waiting.clear()


def _named(view: View, wallet: str) -> NamedView:
    return NamedView(view.follow, view.batch, view.skip_pricing, view.filter, wallet)
