"""What a run knows of its wallet: how far it read, the ledger, and the counts. Pure.

A book goes into the journal beside the entries it made, so that a run that was killed goes on at
the transaction after the last one it journaled, with the ledger it had then.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import msgspec
from msgspec import Struct

from wd_server.chain.listing import Cursor
from wd_server.chain.payloads import Transaction
from wd_server.chain.price_sources import PriceKey
from wd_server.errors import InternalError
from wd_server.journal.base import NewEntry
from wd_server.streaming import event
from wd_server.trading.effects import effects_of
from wd_server.trading.ledger import Ledger, Outcome
from wd_server.trading.prices import Prices, value_of, wanted_prices
from wd_server.trading.swap import Reading, reading_of
from wd_server.trading.trade import CostBasis, Trade
from wd_server.trading.wire import trade_of

# How sure the chain is of a transaction when it is read: two thirds of the stake voted for it.
COMMITMENT = "confirmed"

# Grows with every change of what a checkpoint or a stored trade means: older journals are then
# analysed anew instead of being misread.
BOOK_VERSION = 1


class Counts(Struct):
    transactions: int = 0
    failed: int = 0
    trades: int = 0
    unpriced: int = 0


class _Checkpoint(Struct, array_like=True):
    version: int
    cursor: Cursor | None
    counts: Counts
    complete: bool
    truncated: bool
    ledger: bytes


class Read(Struct, gc=False):
    """Which transaction, whether it failed, and what it meant for the wallet."""

    slot: int
    signature: str
    failed: bool
    reading: Reading


class Book:
    """`complete`: a run has read to the end once, so the trades are the whole history;
    `truncated`: it began later than the wallet did."""

    def __init__(self, wallet: str, cost_basis: CostBasis) -> None:
        self.wallet = wallet
        self.cursor: Cursor | None = None
        self.counts = Counts()
        self.complete = False
        self.truncated = False
        self.ledger = Ledger(cost_basis)

    @classmethod
    def restored(cls, wallet: str, cost_basis: CostBasis, data: bytes) -> Self | None:
        """The book as it was stored; None if it can't serve: another version, another basis."""
        try:
            stored = msgspec.msgpack.decode(data, type=_Checkpoint)
            ledger = Ledger.from_bytes(stored.ledger)
        except (msgspec.DecodeError, InternalError):
            return None
        if stored.version != BOOK_VERSION or ledger.cost_basis != cost_basis:
            return None
        book = cls(wallet, cost_basis)
        book.cursor, book.counts, book.ledger = stored.cursor, stored.counts, ledger
        book.complete, book.truncated = stored.complete, stored.truncated
        return book

    def checkpoint(self) -> bytes:
        return msgspec.msgpack.encode(
            _Checkpoint(
                BOOK_VERSION,
                self.cursor,
                self.counts,
                self.complete,
                self.truncated,
                self.ledger.to_bytes(),
            )
        )

    def read(self, transactions: Iterable[Transaction], received_at: int) -> list[Read]:
        """What each transaction meant. `received_at` (unix seconds) dates those without a time."""
        return [
            Read(effects.slot, effects.signature, effects.failed, reading_of(effects))
            for effects in [effects_of(each, self.wallet, received_at) for each in transactions]
        ]

    def record(
        self, read: Sequence[Read], prices: Prices, symbols: Mapping[str, str], now: float
    ) -> list[NewEntry]:
        """Enter what was read, in chain order, and return the trades for the journal."""
        entries = []
        for each in read:
            reading = each.reading
            self.counts.transactions += 1
            self.counts.failed += each.failed
            if reading.swap is not None:
                trade = self._trade(reading, prices, symbols, now)
                entries.append(NewEntry(event.TRADE, event.encode(trade)))
            for transfer in reading.transfers:
                self.ledger.record_transfer(transfer.mint, transfer.decimals, transfer.raw)
        if read:
            self.cursor = Cursor(read[-1].slot, read[-1].signature)
        return entries

    def _trade(
        self, reading: Reading, prices: Prices, symbols: Mapping[str, str], now: float
    ) -> Trade:
        swap = reading.swap
        assert swap is not None
        value = value_of(swap, prices)
        outcome = self.ledger.record_swap(swap, value)
        basis = self.ledger.cost_basis
        trade = trade_of(swap, value, outcome, symbols, COMMITMENT, int(now * 1000), basis)
        self.counts.trades += 1
        self.counts.unpriced += not trade.priced
        return trade


def prices_for(read: Iterable[Read]) -> set[PriceKey]:
    """The quotes that would value these trades."""
    swaps = (each.reading.swap for each in read)
    return {key for swap in swaps if swap is not None for key in wanted_prices(swap)}


def mints_of(read: Iterable[Read]) -> set[str]:
    """The tokens these trades name."""
    swaps = (each.reading.swap for each in read)
    return {leg.mint for swap in swaps if swap is not None for leg in (swap.sold, swap.bought)}


def previewed(
    read: Iterable[Read], prices: Prices, symbols: Mapping[str, str], basis: CostBasis, now: float
) -> list[Trade]:
    """Trades without P&L: what came before them isn't known yet."""
    unknown = Outcome(None, None, 0, 0, 0, 0)
    return [
        trade_of(
            swap,
            value_of(swap, prices),
            unknown,
            symbols,
            COMMITMENT,
            int(now * 1000),
            basis,
        )
        for each in read
        if (swap := each.reading.swap) is not None
    ]
