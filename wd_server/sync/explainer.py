"""Explains transactions of stored wallets, by going through their journals once more.

To know which lots a sale consumed, everything before it is recorded again in a ledger that traces
its lots. A wallet may have 20,000 transactions, so this is done in slices between which others on
the loop have their turn, for one caller at a time. The ledger is kept where it ended: whoever asks
for one transaction after the other, oldest first, has the journal gone through only once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from wd_server.errors import AtCapacity
from wd_server.journal.base import Entry, Head, Journal
from wd_server.sync.explanation import ExplainedTransaction, explanation_of
from wd_server.sync.rebuilding import restored_transactions
from wd_server.sync.stored_history import StoredHistory
from wd_server.sync.sync_pass import SLICE_SECONDS
from wd_server.trading.ledger import Ledger, Outcome

# Entries and bytes of one read of the journal. It takes a millisecond or two to index them.
READ_ENTRIES = 256
READ_BYTES = 1024 * 1024
# Entries of a journal that is gone through: half a kilobyte of memory and 50 microseconds for each.
# The largest wallet that MAX_WALLET_SIZE allows by default has a fifth.
EXPLAINED_ENTRIES_MAX = 100_000
# Wallets whose ledgers are kept where they ended: about 15 MB for one of 20,000 transactions.
KEPT_WALLETS = 2
# Requests that wait for their turn. A wallet of 20,000 transactions takes about a second.
WAITING_MAX = 10
# Seconds after which one that found too many waiting may ask again.
RETRY_SECONDS = 2.0


@dataclass
class ExplainerStatistics:
    """Since the start. `recorded`: transactions that were recorded again for explanations;
    `refused`: requests that found too many waiting, or too long a history."""

    explanations: int = 0
    recorded: int = 0
    refused: int = 0


class _JournalChanged(Exception):
    """The epoch that was read has ended."""


class _Pages:
    """Entries of one journal by seq, read a page at a time: most are asked for in order."""

    def __init__(self, journal: Journal, wallet: str, epoch: int) -> None:
        self._journal = journal
        self._wallet = wallet
        self._epoch = epoch
        self._page: dict[int, Entry] = {}

    async def after(self, seq: int) -> list[Entry]:
        """The entries behind this one. Raises StoreUnavailable."""
        return await self._journal.read(self._wallet, self._epoch, seq, READ_ENTRIES, READ_BYTES)

    async def entries(self, seqs: Sequence[int]) -> list[Entry]:
        """Raises _JournalChanged, StoreUnavailable."""
        found = []
        for seq in seqs:
            if seq not in self._page:
                self._page = {entry.seq: entry for entry in await self.after(seq - 1)}
            if seq not in self._page:
                raise _JournalChanged
            found.append(self._page[seq])
        return found


class _Replay:
    """A wallet's transactions as its journal tells them up to `head`, and a ledger that has the
    first of them.

    recorded: how many the ledger has
    outcomes: of the last of these
    """

    def __init__(self, pages: _Pages, head: Head, history: StoredHistory) -> None:
        self.pages = pages
        self.head = head
        self.order = history.in_order()
        self.places = {each.signature: place for place, each in enumerate(self.order)}
        self._cost_basis = history.cost_basis
        self.begin()

    def begin(self) -> None:
        self.ledger = Ledger(self._cost_basis, trace=True)
        self.recorded = 0
        self.outcomes: tuple[Outcome, ...] = ()

    async def record_next(self) -> None:
        """Raises _JournalChanged, StoreUnavailable."""
        stored = self.order[self.recorded]
        for each in restored_transactions(await self.pages.entries(stored.seqs)):
            self.outcomes = self.ledger.record(each.interpretation, each.values, each.signature)
        self.recorded += 1


class Explainer:
    """Explains what is stored in one journal."""

    def __init__(self, journal: Journal) -> None:
        self.statistics = ExplainerStatistics()
        self._journal = journal
        self._turn = asyncio.Lock()
        self._waiting = 0
        # By wallet, those used last behind.
        self._replays: dict[str, _Replay] = {}
        self._worked_since = 0.0

    async def explain(self, wallet: str, signature: str) -> ExplainedTransaction | None:
        """None if nothing is stored of this transaction. Raises AtCapacity, StoreUnavailable."""
        if self._waiting >= WAITING_MAX:
            self.statistics.refused += 1
            raise AtCapacity(
                "Too many explanations are being made. Ask again later.", retry_after=RETRY_SECONDS
            )
        self._waiting += 1
        try:
            async with self._turn:
                self._worked_since = monotonic()
                return await self._explained(wallet, signature)
        except _JournalChanged:
            return None
        finally:
            self._waiting -= 1

    async def _explained(self, wallet: str, signature: str) -> ExplainedTransaction | None:
        replay = await self._replay(wallet)
        place = None if replay is None else replay.places.get(signature)
        if replay is None or place is None:
            return None
        if replay.recorded > place + 1:
            replay.begin()
        while replay.recorded <= place:
            await replay.record_next()
            self.statistics.recorded += 1
            await self._breathe()
        stored, pages = replay.order[place], replay.pages
        counting = await pages.entries(stored.seqs)
        earlier = await pages.entries(stored.earlier)
        self.statistics.explanations += 1
        return explanation_of(wallet, replay.head.epoch, stored, counting, earlier, replay.outcomes)

    async def _replay(self, wallet: str) -> _Replay | None:
        """Of the journal as it is now; None if there is none. Raises what `_indexed` does."""
        head = await self._journal.head(wallet)
        if head is None:
            return None
        replay = self._replays.pop(wallet, None)
        if replay is None or replay.head != head:
            replay = await self._indexed(wallet, head)
        self._replays[wallet] = replay
        if len(self._replays) > KEPT_WALLETS:
            del self._replays[next(iter(self._replays))]
        return replay

    async def _indexed(self, wallet: str, head: Head) -> _Replay:
        """Raises AtCapacity, _JournalChanged, StoreUnavailable."""
        if head.seq > EXPLAINED_ENTRIES_MAX:
            self.statistics.refused += 1
            raise AtCapacity("This wallet's history is too long to be explained here.")
        pages = _Pages(self._journal, wallet, head.epoch)
        history = StoredHistory()
        seq = 0
        while seq < head.seq:
            entries = await pages.after(seq)
            if not entries:
                raise _JournalChanged
            for entry in entries:
                history.add(entry)
            seq = entries[-1].seq
            await self._breathe()
        # To sort 20,000 transactions takes 20 ms, which the loop hasn't got.
        return await asyncio.to_thread(_Replay, pages, head, history)

    async def _breathe(self) -> None:
        """Let others on the loop have their turn after SLICE_SECONDS of work."""
        if monotonic() - self._worked_since >= SLICE_SECONDS:
            await asyncio.sleep(0)
            self._worked_since = monotonic()
