"""Whether a stream gets every event once: by ids alone, as the public contract promises them."""

from typing import NamedTuple

from wd_server.load.frames import Item


class Breach(NamedTuple):
    """`kind`: `lost`, `duplicate`, `reset` (another run, without a `gap`) or `malformed_id`;
    `entries`: how many; `after`: the position before, `got` the id that came."""

    kind: str
    entries: int
    after: str
    got: str


class Continuity:
    """One stream's position, over all its connections.

    A stream that follows is shown every entry, so a step over one is a loss at once. One that ends
    with `complete` isn't shown a `complete` that newer trades have overtaken: its holes are judged
    at the end, where `trades_found` says how many trades there were. `holes` are those not judged.
    Without `history` (a server that replays nothing) the first id is taken as the start.
    """

    __slots__ = ("follow", "history", "holes", "run", "seq", "trades")

    def __init__(self, *, follow: bool, history: bool = True) -> None:
        self.follow = follow
        self.history = history
        self.run = b""
        self.seq = 0
        self.trades = 0
        self.holes = 0

    @property
    def last_event_id(self) -> str:
        """Empty before the first."""
        return f"{self.run.decode()}-{self.seq}" if self.run else ""

    def take(self, item: Item) -> list[Breach]:
        """An event with an id came."""
        if not item.run:
            return [Breach("malformed_id", 1, self.last_event_id, "")]
        after = self.last_event_id
        got = f"{item.run.decode()}-{item.seq}"
        breaches = []
        if item.run != self.run:
            if self.run:
                breaches.append(Breach("reset", 1, after, got))
            self._start(item)
        step = item.seq - self.seq
        self.seq = max(self.seq, item.seq)
        repeated = min(item.entries, max(0, item.entries - step))
        missing = max(0, step - item.entries)
        if item.trades > 0:
            self.trades += item.trades - repeated
        elif not repeated:
            self.trades += item.trades
        if repeated:
            breaches.append(Breach("duplicate", repeated, after, got))
        if missing and (self.follow or not self.history):
            breaches.append(Breach("lost", missing, after, got))
        elif missing:
            self.holes += missing
        return breaches

    def advance(self, last: int, trades: int) -> None:
        """Entries came in a row, all of them trades, from where this stream is."""
        self.seq = last
        self.trades += trades

    def gap(self) -> None:
        """The server said that what is held can't be continued."""
        self.run, self.seq, self.trades, self.holes = b"", 0, 0, 0

    def complete(self, trades_found: int) -> list[Breach]:
        """The `complete` that ends a stream which doesn't follow has been taken."""
        missing = trades_found - self.trades if self.history else 0
        self.holes = 0
        if missing <= 0:
            return []
        return [Breach("lost", missing, "", self.last_event_id)]

    def _start(self, item: Item) -> None:
        self.gap()
        self.run = item.run
        if not self.history:
            self.seq = item.seq - item.entries
