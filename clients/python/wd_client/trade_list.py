"""A wallet's trades, kept as its events say.

A trade's key is (`signature`, `part`): a transaction that traded several tokens has several trades.
So the trades are kept by transaction. A `retract` empties its transaction and leaves the place
empty, because a corrected trade stands in the place of its first version:

    event                                   the list then
    trade    a, part 0                      a0
    trade    a, part 1                      a0 a1
    trade    b, part 0                      a0 a1 b0
    retract  a                              b0
    trade    a, part 0, replaces its first  a0 b0
    trade    a, part 1, replaces its first  a0 a1 b0

A trade that comes again without `replaces` was on another fork before, and goes to the end.
"""

from collections.abc import Iterator

from wd_client.events import Event, Gap, Retract, Trade, Trades


class TradeList:
    """The trades of one wallet that count, oldest first. Hand every event of the wallet to `take`.

    `most`: the list keeps so many of the newest transactions; None: all.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        # By signature, then by part. One without trades keeps the place of what was retracted.
        self._transactions: dict[str, dict[int, Trade]] = {}

    def __iter__(self) -> Iterator[Trade]:
        for parts in self._transactions.values():
            yield from parts.values()

    def __len__(self) -> int:
        return sum(map(len, self._transactions.values()))

    def take(self, event: Event) -> None:
        """Events that change no trades change nothing here."""
        match event:
            case Trade():
                self._add(event)
            case Trades():
                for trade in event.trades:
                    self._add(trade)
            case Retract() if event.signature in self._transactions:
                self._transactions[event.signature] = {}
            case Gap():
                self._transactions.clear()

    def _add(self, trade: Trade) -> None:
        signature = trade.signature
        if not self._transactions.get(signature) and trade.replaces is None:
            self._transactions.pop(signature, None)
        parts = self._transactions.setdefault(signature, {})
        parts[trade.part or 0] = trade  # an older server sends no part
        if self._most is not None and len(self._transactions) > self._most:
            del self._transactions[next(iter(self._transactions))]
