"""What a stream asked to see of a wallet's events, and how stored entries become its bytes.

Streams with the same view at the same position get the very same bytes, so a view is hashable and
rendering depends on nothing else.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from wd_server.events import encoding, kinds, sse
from wd_server.events.event import RETRACTED, USD_SUFFIX
from wd_server.events.kinds import INCLUDED, LASTING, EventKind, Shown
from wd_server.journal.base import Entry, Head
from wd_server.streaming.compression import Frames
from wd_server.trading.trade import Action


class _Mint(Struct, gc=False):
    mint: str


class _TradeFacts(Struct, gc=False):
    """The fields of a stored trade that filters look at."""

    timestamp: int
    action: Action
    token_in: _Mint
    token_out: _Mint
    value_usd: Decimal | None


_facts = msgspec.json.Decoder(_TradeFacts)


class _PostedMint(Struct, gc=False):
    mint: str


class _MovementFacts(Struct, gc=False):
    """The fields of a stored movement that filters look at."""

    timestamp: int
    reason: str
    postings: list[_PostedMint]


_movement_facts = msgspec.json.Decoder(_MovementFacts)


class Filter(Struct, frozen=True, cache_hash=True):
    """Which trades and movements pass. None lets all pass; `since` is in unix seconds and
    inclusive. `side` and `min_usd` are about trades, and let every movement pass."""

    mint: str | None = None
    side: Action | None = None
    min_usd: Decimal | None = None
    since: int | None = None

    def passes(self, entry: Entry) -> bool:
        if entry.kind == kinds.TRADE:
            return self._passes_trade(entry.payload)
        return entry.kind != kinds.MOVEMENT or self._passes_movement(entry.payload)

    def _passes_movement(self, payload: bytes) -> bool:
        """One that takes an earlier one back always does: that may have passed."""
        movement = _movement_facts.decode(payload)
        if movement.reason == RETRACTED:
            return True
        if self.since is not None and movement.timestamp < self.since:
            return False
        return self.mint is None or any(self.mint == each.mint for each in movement.postings)

    def _passes_trade(self, payload: bytes) -> bool:
        trade = _facts.decode(payload)
        if self.mint is not None and self.mint not in (trade.token_in.mint, trade.token_out.mint):
            return False
        if self.side is not None and trade.action != self.side:
            return False
        if self.since is not None and trade.timestamp < self.since:
            return False
        if self.min_usd is None:
            return True
        return trade.value_usd is not None and trade.value_usd >= self.min_usd


NO_FILTER = Filter()


class Progressed(NamedTuple):
    """How far a stream with batches has come; zeros for one without."""

    batches: int
    trades: int


NOTHING_YET = Progressed(0, 0)


class Mark:
    """Where streams stand that were all sent the same page: the first of them that goes on notes
    the `page` it found there, which leads to `head`, and the others just take it."""

    __slots__ = ("head", "page")

    def __init__(self) -> None:
        self.page: RenderedPage | None = None
        self.head: Head | None = None


class Piece(NamedTuple):
    """An event that still lacks its id, and the position after it."""

    seq: int
    frame: bytes


class RenderedPage(NamedTuple):
    """Events ready to be written and what they stand for. `seq` is the position after them.
    `pieces`: the events of a `NamedView`, one by one; `frames` is empty then."""

    frames: Frames
    seq: int
    events: int
    trades: int
    progressed: Progressed
    mark: Mark
    pieces: Sequence[Piece] = ()

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.frames.chunk) + sum(len(piece.frame) for piece in self.pieces)


class View(Struct, frozen=True, cache_hash=True):
    """`follow` streams stay open after the history. `batch` 0: one `trade` event each. `movements`
    are shown, too."""

    follow: bool = False
    batch: int = 0
    skip_pricing: bool = False
    filter: Filter = NO_FILTER
    movements: bool = False

    def named(self, wallet: str) -> "NamedView":
        """The same of one wallet among several."""
        return NamedView(**msgspec.structs.asdict(self), wallet=wallet)

    def shows(self, kind: EventKind) -> bool:
        """Whether events of a kind that isn't stored are for this stream."""
        return self.follow or kind.shown is not Shown.FOLLOWERS

    def render(
        self,
        epoch: int,
        entries: Sequence[Entry],
        head: int,
        standing: int,
        progressed: Progressed,
        now: int,
    ) -> RenderedPage:
        """The bytes for these entries. `head` is the newest sequence number stored, `standing` that
        of the `complete` which only movements follow, 0 if there is none; `now` is unix seconds. An
        overtaken `complete` isn't shown to a stream that would end with it."""
        events, trades, progressed = self._events(entries, head, standing, progressed, now)
        joined = Frames(b"".join([_frame(epoch, entry) for entry in events]))
        return RenderedPage(joined, entries[-1].seq, len(events), trades, progressed, Mark())

    def _events(
        self, entries: Sequence[Entry], head: int, standing: int, progressed: Progressed, now: int
    ) -> tuple[list[Entry], int, Progressed]:
        """What of these entries is sent, as `render` says, the number of trades in it, and how far
        the batches are then."""
        shown = [entry for entry in map(self._show, entries) if entry is not None]
        if not self.follow:
            shown = [entry for entry in shown if entry.kind in LASTING or entry.seq == standing]
        trades = sum(entry.kind == kinds.TRADE for entry in shown)
        if not self.batch:
            return shown, trades, progressed
        last = standing - 1 if standing else head
        if entries[-1].seq >= last:  # nothing is shown between these and there
            last = max((entry.seq for entry in shown if entry.seq <= last), default=0)
        events = list(self._batches(shown, last, progressed, now))
        batches = progressed.batches + len(events) - (len(shown) - trades)
        return events, trades, Progressed(batches, progressed.trades + trades)

    def _show(self, entry: Entry) -> Entry | None:
        if entry.kind in INCLUDED and not self.movements:
            return None
        if self.filter is not NO_FILTER and not self.filter.passes(entry):
            return None
        if self.skip_pricing:
            return entry._replace(payload=without_usd(entry.payload))
        return entry

    def _batches(
        self, shown: Sequence[Entry], last: int, progressed: Progressed, now: int
    ) -> Iterator[Entry]:
        number, total = progressed
        for is_trade, group in groupby(shown, key=lambda entry: entry.kind == kinds.TRADE):
            if not is_trade:
                yield from group
                continue
            trades = list(group)
            for start in range(0, len(trades), self.batch):
                batch = trades[start : start + self.batch]
                number += 1
                total += len(batch)
                data = b'{"trades":[%b],"batch_num":%d,"total_yielded":%d,"has_more":%b,%b}' % (
                    b",".join(entry.payload for entry in batch),
                    number,
                    total,
                    b"true" if batch[-1].seq < last else b"false",
                    b'"timestamp":%d' % now,
                )
                yield Entry(batch[-1].seq, kinds.TRADES, data)


class NamedView(View, frozen=True, cache_hash=True):
    """The same of one wallet among several: each event names it, and gets its id from whoever
    knows the positions in all of them."""

    wallet: str = ""

    def render(
        self,
        epoch: int,
        entries: Sequence[Entry],
        head: int,
        standing: int,
        progressed: Progressed,
        now: int,
    ) -> RenderedPage:
        events, trades, progressed = self._events(entries, head, standing, progressed, now)
        pieces = [
            Piece(entry.seq, encoding.named(sse.frame(entry.kind, entry.payload), self.wallet))
            for entry in events
        ]
        seq = entries[-1].seq
        return RenderedPage(Frames(b""), seq, len(events), trades, progressed, Mark(), pieces)


def _frame(epoch: int, entry: Entry) -> bytes:
    return sse.frame(entry.kind, entry.payload, f"{epoch}-{entry.seq}")


_any_decoder = msgspec.json.Decoder(float_hook=Decimal)


def without_usd(payload: bytes) -> bytes:
    """The same JSON with its USD values set to null and `priced` to false."""
    return encoding.encode(_unpriced(_any_decoder.decode(payload)))


def _unpriced(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: None if key.endswith(USD_SUFFIX) else False if key == "priced" else _unpriced(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_unpriced(item) for item in value]
    return value
