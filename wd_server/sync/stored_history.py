"""Where a wallet's journal tells of each of its transactions, in the order of the chain. Pure.

A journal may be too long to have all of its entries in memory, so this keeps only where they are.
It agrees with `wd_server.sync.rebuilding` on what counts and in which order. An example:

    1  trade    A, slot 7       was retracted
    2  movement B, slot 8       counted until 6 took its place
    3  retract  A
    4  trade    C, slot 9       counts
    5  trade    A, slot 6       counts, and comes first: its slot is 6 now
    6  movement B, slot 8       counts
"""

import msgspec
from msgspec import Struct

from wd_server.events.event import RETRACTED
from wd_server.events.kinds import MOVEMENT, RETRACT, TRADE
from wd_server.journal.base import Entry
from wd_server.trading.trade import CostBasisMethod


class StoredTransaction(Struct):
    """Where the entries of a transaction are.

    index: its place in the block, None where that isn't known
    first: seq of the first entry that told of it
    seqs: of the entries that count: its trades by part, or its movement; none if it was retracted
    earlier: of those that counted once
    """

    signature: str
    slot: int
    index: int | None
    first: int
    seqs: list[int]
    earlier: list[int]


class _Told(Struct, gc=False):
    """What an entry says of where it belongs."""

    signature: str
    slot: int = 0
    block_index: int | None = None
    reason: str = ""
    cost_basis: CostBasisMethod = "fifo"


_told = msgspec.json.Decoder(_Told)


class StoredHistory:
    """Entries are added in the order of the journal. `cost_basis` is that of its trades."""

    def __init__(self) -> None:
        self.cost_basis: CostBasisMethod = "fifo"
        self._transactions: dict[str, StoredTransaction] = {}

    def add(self, entry: Entry) -> None:
        if entry.kind not in (TRADE, RETRACT, MOVEMENT):
            return
        told = _told.decode(entry.payload)
        stored = self._transactions.get(told.signature)
        if stored is None:
            stored = StoredTransaction(told.signature, told.slot, None, entry.seq, [], [])
            self._transactions[told.signature] = stored
        if entry.kind == TRADE:
            self.cost_basis = told.cost_basis
        else:
            stored.earlier += stored.seqs
            stored.seqs = []
        if entry.kind == RETRACT or told.reason == RETRACTED:
            return
        stored.slot, stored.index = told.slot, told.block_index
        stored.seqs.append(entry.seq)

    def in_order(self) -> list[StoredTransaction]:
        """The transactions that count."""
        blocks: dict[int, list[StoredTransaction]] = {}
        for each in self._transactions.values():
            if each.seqs:
                blocks.setdefault(each.slot, []).append(each)
        return [each for slot in sorted(blocks) for each in _in_block(blocks[slot])]


def _in_block(transactions: list[StoredTransaction]) -> list[StoredTransaction]:
    """Where all places are known they decide, else the entries that told first."""
    if None in [each.index for each in transactions]:
        return sorted(transactions, key=lambda each: each.first)
    return sorted(transactions, key=lambda each: (each.index or 0, each.first))
