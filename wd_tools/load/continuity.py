"""Whether a stream gets every event once, by numbers and ids as the public contract has them."""

from typing import NamedTuple

from wd_client.chain import BEGINNING

from wd_tools.load.frames import Block, Item


class Breach(NamedTuple):
    """`kind`: `lost`, `duplicate`, `reset` (another epoch, without a `gap`), `malformed_id` or
    `mismatch` (the digest is another than the server's); `entries`: how many; `after`: the position
    before, `got` the id that came."""

    kind: str
    entries: int
    after: str
    got: str


class Continuity:
    """One stream's position, over all its connections.

    Trades and retracts have numbers, dense from 1, so a step over one is a loss at once; an id only
    ascends. A server of before has no numbers, and ids without holes in their place. There a stream
    that follows is shown every entry, and one that ends with `complete` isn't shown a `complete`
    that newer trades have overtaken: its holes are judged at the end, where `trades_found` says how
    many trades there were. `holes` are those not judged.

    Without `history` (a server that replays nothing) the first id is taken as the start.

    `count`: of the last trade or retract, its number; from a server of before, the `seq` of its id.
    `numbered`: which of the two; None before the first.
    `digest`: the end of the hash chain over what came; None where it can't be told, as of batches.
    """

    __slots__ = (
        "count",
        "digest",
        "epoch",
        "follow",
        "history",
        "holes",
        "numbered",
        "seq",
        "trades",
    )

    def __init__(self, *, follow: bool, history: bool = True) -> None:
        self.follow = follow
        self.history = history
        self.digest: bytes | None = None
        self.numbered: bool | None = None
        self.gap()

    @property
    def last_event_id(self) -> str:
        """Empty before the first."""
        return f"{self.epoch.decode()}-{self.seq}" if self.epoch else ""

    @property
    def place(self) -> str:
        """Like the id, with the count in it: how far streams are apart can be told by it."""
        return f"{self.epoch.decode()}-{self.count}" if self.epoch else ""

    def take(self, item: Item) -> list[Breach]:
        """An event with an id came."""
        if not item.epoch:
            self.digest = None
            return [Breach("malformed_id", 1, self.last_event_id, "")]
        after = self.last_event_id
        got = f"{item.epoch.decode()}-{item.seq}"
        breaches = []
        if item.epoch != self.epoch:
            if self.epoch:
                breaches.append(Breach("reset", 1, after, got))
            self._start(item)
        repeated, missing = self._move(item)
        if item.trades > 0:
            self.trades += item.trades - repeated
        elif not repeated:
            self.trades += item.trades
        if repeated:
            breaches.append(Breach("duplicate", repeated, after, got))
        if missing and (self.follow or not self.history or self.numbered):
            breaches.append(Breach("lost", missing, after, got))
        elif missing:
            self.holes += missing
        self._chain(item, is_whole=not breaches)
        return breaches

    def advance(self, block: Block) -> None:
        """Trades came in a row from where this stream is."""
        self.seq, self.count = block.seq, block.last
        self.trades += block.trades
        for item in block.items:
            self._chain(item, is_whole=True)

    def gap(self) -> None:
        """The server said that what is held can't be continued."""
        self.epoch, self.seq, self.count, self.trades, self.holes = b"", 0, 0, 0, 0
        self.numbered = None
        self.digest = BEGINNING if self.history else None

    def complete(self, trades_found: int) -> list[Breach]:
        """The `complete` that ends a stream which doesn't follow has been taken."""
        missing = trades_found - self.trades if self.history and not self.numbered else 0
        self.holes = 0
        if missing <= 0:
            return []
        return [Breach("lost", missing, "", self.last_event_id)]

    def proves(self, entries: int | None, digest: str | None) -> bool | None:
        """Whether everything has come, by what a `complete` says; None where it can't be told."""
        if self.digest is None or entries is None or digest is None:
            return None
        return self.count == entries and self.digest.hex() == digest

    def _start(self, item: Item) -> None:
        self.gap()
        self.epoch = item.epoch
        if not self.history:
            self.seq = item.seq - max(item.entries, 1)
            self.count = item.ordinal - item.entries

    def _move(self, item: Item) -> tuple[int, int]:
        """How many of its entries came twice, and how many before it didn't come."""
        numbered = item.number is not None
        before, seq, entries = self.count, self.seq, item.entries
        if not numbered and not entries:  # a stored event that isn't counted
            self.seq = max(seq, item.seq)
            return int(item.seq <= seq), 0
        if numbered and self.numbered is False:  # the journal's older entries have no number
            before = item.ordinal - entries
        self.numbered = numbered
        self.count, self.seq = max(before, item.ordinal), max(seq, item.seq)
        step = item.ordinal - before
        if not entries:  # a `complete`, which isn't counted
            return int(item.seq <= seq), max(0, step)
        return min(entries, max(0, entries - step)), max(0, step - entries)

    def _chain(self, item: Item, *, is_whole: bool) -> None:
        if item.link is not None and is_whole and self.digest is not None:
            self.digest = item.link.after(self.digest)
        elif item.entries:
            self.digest = None
