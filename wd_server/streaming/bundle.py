"""A connection that is sent several wallets' events: a position in the journal of each.

As a `Stream` it holds positions and no queue. Each wallet's channel tells its `Subscription`, whose
events are put together with those of others that are due in the same pass, and leave in one write.
When one write doesn't hold them all, subscriptions take turns, a page each, so that a wallet with a
long history keeps no other waiting. Every event has an id that stands for the positions in all
wallets, so no two clients get the same bytes: they are put together here, from pieces that bundles
at the same position share.
"""

from collections.abc import Sequence

from wd_server.chain.turns import Tenant
from wd_server.errors import WalletDoctorError
from wd_server.events import encoding, event, sse
from wd_server.events.ids import EventId
from wd_server.streaming.bundle_id import Bookmarks, Positions, Seal
from wd_server.streaming.channel import PAGE_BYTES, Channel, UnreadableId
from wd_server.streaming.compression import Frames
from wd_server.streaming.connection import OPEN, Connection, StreamOwner
from wd_server.streaming.lifecycle import CloseReason, StreamState
from wd_server.streaming.view import NOTHING_YET, NamedView, RenderedPage, View


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
        frame = encoding.error_frame(error, self.bundle.owner.now())
        self.bundle.end_with(error, encoding.named(frame, self.channel.wallet))


class Bundle(Connection):
    """Made by `StreamRegistry.admit_bundle`. `subscriptions` has one for each of its wallets, in
    the order of the request. Those that have shown their `complete`, and are followed no further,
    have left their channels."""

    __slots__ = (
        "_due",
        "_events",
        "_greeting",
        "_out",
        "_planned",
        "_positions",
        "_reading",
        "_size",
        "_trades",
        "_waiting",
        "subscriptions",
    )

    def __init__(
        self,
        stream_id: str,
        view: View,
        owner: StreamOwner,
        channels: Sequence[Channel],
        seal: Seal,
        heartbeat_seconds: int | None = None,
    ) -> None:
        super().__init__(stream_id, view, owner, heartbeat_seconds)
        self.subscriptions = [
            Subscription(self, place, channel, view.named(channel.wallet))
            for place, channel in enumerate(channels)
        ]
        self._positions = Positions(self.wallets, seal)
        self._reading = set(self.subscriptions)
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
        return [subscription.channel.wallet for subscription in self.subscriptions]

    @property
    def subscribers(self) -> Sequence[Subscription]:
        return list(self._reading)

    def reads(self, wallet: str) -> bool:
        """Whether it is still shown what happens to this wallet."""
        return any(subscription.channel.wallet == wallet for subscription in self._reading)

    @property
    def lag(self) -> int:
        return sum(
            subscription.channel.behind(subscription.epoch, subscription.seq)
            for subscription in self._reading
        )

    def resume(self, bookmarks: Bookmarks | UnreadableId) -> event.GapReason | None:
        """Begin where the client's last id says; wallets that it doesn't know, at their start.
        Returns why that can't be done for a wallet, if there is one."""
        reason = None
        for subscription in self.subscriptions:
            channel = subscription.channel
            left: EventId | UnreadableId | None
            if isinstance(bookmarks, UnreadableId):
                left = bookmarks
            else:
                left = bookmarks.position(channel.wallet, channel.epoch)
            gap = channel.gap(left)
            if gap is not None:
                frame = encoding.gap_frame(gap, str(left), channel.position)
                self.greeting += encoding.named(frame, channel.wallet)
                reason = reason or gap
            elif isinstance(left, EventId):
                subscription.seq = left.seq
                self._positions.move(subscription.place, *left)
        return reason

    # What the loop tells.

    def start(self, greeting: bytes) -> None:
        self._greeting = greeting
        self._events = 1
        self._due = dict.fromkeys(self.subscriptions)
        self.pump()

    def pump(self) -> None:
        self._planned = False
        if self.state not in OPEN or self.paused:
            return
        while self._due and self._size < PAGE_BYTES:
            subscription = next(iter(self._due))
            del self._due[subscription]
            self._take(subscription)
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

    # What subscriptions tell.

    def advance(self, subscription: Subscription) -> None:
        """There is something new for this subscription."""
        if self.state not in OPEN or subscription not in self._reading:
            return
        if self.paused or self._due or self._size >= PAGE_BYTES:
            self._due[subscription] = None
        else:
            self._take(subscription)
        self._plan()

    def show(self, subscription: Subscription, frames: Frames) -> None:
        """An event that isn't kept, unless the client is behind with what is."""
        if frames is subscription.channel.preview:
            self.advance(subscription)
        elif self.state in OPEN and not self.paused and subscription not in self._due:
            self._put(encoding.named(frames.plain, subscription.channel.wallet))
            self._plan()

    # Its own ways.

    def _take(self, subscription: Subscription) -> None:
        """Put together what there is for this subscription, up to a page."""
        channel = subscription.channel
        if subscription.epoch != channel.epoch:
            self._adopt_epoch(subscription)
        if channel.preview is not subscription.preview:
            subscription.preview = channel.preview
            if channel.preview is not None and subscription.seq == 0:
                self._put(encoding.named(channel.preview.plain, channel.wallet))
        if channel.percentage > subscription.percentage:
            subscription.percentage = channel.percentage
            self._put(encoding.named(channel.progress.plain, channel.wallet))
        reach = channel.head if self.view.follow else channel.reach()
        if subscription.seq < reach:
            page = channel.page(subscription.view, subscription.seq, subscription.progressed)
            if page is None:
                self._waiting.add(subscription)
                channel.fetch(subscription)
                return
            self._put_page(subscription, page)
        self._waiting.discard(subscription)
        if subscription.seq < reach:
            self._due[subscription] = None
        elif not self.view.follow and channel.settled and channel.finished:
            self._reading.discard(subscription)
            self.owner.leave(subscription)

    def _adopt_epoch(self, subscription: Subscription) -> None:
        """Go to the start of the channel's epoch."""
        channel = subscription.channel
        left = EventId(subscription.epoch, subscription.seq)
        subscription.epoch, subscription.seq = channel.epoch, 0
        self._positions.move(subscription.place, subscription.epoch, 0)
        if left.epoch:
            gap = encoding.gap_frame("reset", str(left), channel.position)
            self._put(encoding.named(gap, channel.wallet))

    def _put_page(self, subscription: Subscription, page: RenderedPage) -> None:
        places, place, epoch = self._positions, subscription.place, subscription.epoch
        for seq, frame in page.pieces:
            places.move(place, epoch, seq)
            self._put(sse.identified(places.id(), frame))
        self._trades += page.trades
        subscription.seq, subscription.progressed = page.seq, page.progressed

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
            self.owner.visit((self,), lambda bundle: bundle.pump(), heavy=True)

    def _end(self, reason: CloseReason) -> None:
        super()._end(reason)
        self.subscriptions = []  # they refer to each other
        self._reading.clear()
        self._due.clear()
        self._waiting.clear()
