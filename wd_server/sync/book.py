"""What a sync pass knows of its wallet: how far it read, the ledger, and the counts. Pure.

A book goes into the journal beside the entries it made, so that a pass that was killed goes on at
the transaction after the last one it journaled, with the ledger it had then.

What isn't final on the chain yet is its *tail*: those transactions may leave the chain, others may
turn up before them. So the ledger is kept as it was before the tail, and what changed is worked out
by going through the tail again: a trade that is gone, or whose numbers are others now, is
retracted, and one that is new is entered.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from math import inf
from typing import Self

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from wd_server.chain.listing import Cursor, ListedSignature
from wd_server.chain.payloads import AnyTransaction
from wd_server.errors import InternalError
from wd_server.events import encoding, event
from wd_server.events.ids import EventId
from wd_server.events.kinds import BY_DATA, COMPLETE, COUNTED, INCLUDED, LASTING
from wd_server.journal.base import NewEntry
from wd_server.sync import checkpoint
from wd_server.sync.checkpoint import Checkpoint, Counts, UnreadableCheckpoint
from wd_server.sync.interpreted import (
    COMMITMENT,
    InterpretedTransaction,
    interpret_transaction,
    legs_of,
    mints_in,
)
from wd_server.sync.movements import beside_trades, is_movement, movement_of, retraction_of
from wd_server.sync.proof import Proof
from wd_server.trading.continuity import BalanceStep, KnownBalances
from wd_server.trading.ledger import Ledger, Outcome
from wd_server.trading.postings import Posting
from wd_server.trading.prices import Prices, Value, value_of
from wd_server.trading.trade import CostBasisMethod, Trade
from wd_server.trading.wire import Stamp, posted, trade_of

# Transactions in a tail: each is stored with every append. A wallet that does more until they are
# final is read from the chain, and what that has in older slots is taken to be right.
TAIL_MAX = 1000
# Retracted trades that JSON pages leave out; of older ones they only tell that they are retracted.
RETRACTED_MAX = 4096


class Recent(Struct, array_like=True, gc=False):
    """One of the tail.

    values, outcomes: of its trades, by part
    symbols: names of their tokens
    seqs: of its trades in the journal; none once they are retracted
    firsts: of the first versions of its trades, in whose places corrected ones stand
    moved: seq of its movement; 0 if it has none, or once that is taken back
    """

    transaction: InterpretedTransaction
    values: tuple[Value, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    symbols: dict[str, str] = {}
    seqs: tuple[int, ...] = ()
    firsts: tuple[int, ...] = ()
    moved: int = 0


class _Unsettled(Struct):
    """`tail` and `loose` of a book."""

    tail: list[Recent]
    loose: list[Recent]


class _Base(Struct):
    """What the book was before its tail."""

    ledger: bytes
    counts: Counts
    balances: KnownBalances


class Book:
    """A wallet's, as far as the chain was read.

    epoch: of its journal
    seq: of the newest entry
    standing: seq of the `complete` that only movements follow, 0 if there is none
    proof: over the counted entries up to `seq`
    proof_all: over these and the movements
    cursor: the chain is read from there on; what is after it stands in the `tail`
    complete: a pass has read to the end once, so the trades are the whole history
    truncated: it began later than the wallet did
    final_slot: what is up to there isn't taken back any more, and while the chain is read it all
        comes in order
    retracted: seqs of the newest trades that count no more
    balances: what the wallet's accounts hold by what was recorded
    reconciliation: what came of the last comparison of these with the chain
    """

    def __init__(self, wallet: str, cost_basis: CostBasisMethod, epoch: int) -> None:
        self.wallet = wallet
        self.epoch = epoch
        self.seq = 0
        self.standing = 0
        self.proof = Proof()
        self.proof_all = Proof()
        self.cursor: Cursor | None = None
        self.counts = Counts()
        self.complete = False
        self.truncated = False
        self.ledger = Ledger(cost_basis)
        self.balances = KnownBalances()
        self.reconciliation: event.Reconciliation | None = None
        self.final_slot: float = inf
        self.tail: list[Recent] = []
        self.retracted: list[int] = []
        self._base: _Base | None = None
        # Of the tail, and not in their place now: what is entered again, or is gone.
        self._loose: dict[str, Recent] = {}

    @classmethod
    def restored(cls, wallet: str, cost_basis: CostBasisMethod, epoch: int, data: bytes) -> Self:
        """The book as it was stored. Raises Unreadable, also for another cost basis, and
        WrittenByNewer."""
        stored = checkpoint.unpack(data)
        try:
            ledger = Ledger.from_bytes(stored.ledger)
            unsettled = msgspec.json.decode(stored.unsettled, type=_Unsettled)
        except (msgspec.MsgspecError, InternalError):
            raise UnreadableCheckpoint(
                "its checkpoint holds something else than a ledger"
            ) from None
        if ledger.cost_basis != cost_basis:
            raise UnreadableCheckpoint(f"its cost basis is {ledger.cost_basis}")
        if epoch and stored.epoch != epoch:
            raise UnreadableCheckpoint(f"its checkpoint is of epoch {stored.epoch}")
        book = cls(wallet, cost_basis, epoch)
        book.seq, book.retracted, book.final_slot = stored.seq, stored.retracted, -inf
        book.proof, book.proof_all = stored.proof, stored.proof_all
        book.standing = stored.standing
        book.cursor, book.counts, book.ledger = stored.cursor, stored.counts, ledger
        book.complete, book.truncated = stored.complete, stored.truncated
        book.reconciliation = stored.reconciliation
        book.balances = stored.balances
        if unsettled.tail:
            book._base = _Base(stored.ledger, stored.counts.copied(), book.balances.copy())
        for recent in unsettled.tail:
            book._count(recent)
            book._replay(recent)
        book.tail = unsettled.tail
        book._loose = {recent.transaction.signature: recent for recent in unsettled.loose}
        return book

    def checkpoint(self) -> bytes:
        base = self._base or _Base(self.ledger.to_bytes(), self.counts, self.balances)
        unsettled = _Unsettled(self.tail, list(self._loose.values()))
        return checkpoint.pack(
            Checkpoint(
                epoch=self.epoch,
                seq=self.seq,
                standing=self.standing,
                proof=self.proof,
                proof_all=self.proof_all,
                retracted=self.retracted,
                cursor=self.cursor,
                counts=base.counts,
                complete=self.complete,
                truncated=self.truncated,
                ledger=base.ledger,
                unsettled=msgspec.json.encode(unsettled),
                balances=base.balances,
                reconciliation=self.reconciliation,
            )
        )

    def interpret(
        self, transactions: Iterable[AnyTransaction], received_at: int
    ) -> list[InterpretedTransaction]:
        """What each transaction meant. `received_at` (unix seconds) dates those without a time."""
        return [interpret_transaction(each, self.wallet, received_at) for each in transactions]

    def entry(self, data: event.Event | Trade) -> NewEntry:
        """The next entry of the journal. Entries are stored in the order in which they are made."""
        self.seq += 1
        kind, payload = BY_DATA[type(data)].name, encoding.encode(data)
        event_id = EventId(self.epoch, self.seq)
        if kind in COUNTED:
            self.proof = self.proof.after(event_id, payload)
        if kind in LASTING:
            self.proof_all = self.proof_all.after(event_id, payload)
        if kind not in INCLUDED:
            self.standing = self.seq if kind == COMPLETE else 0
        return NewEntry(kind, payload)

    def record(
        self,
        interpreted: Sequence[InterpretedTransaction],
        prices: Prices,
        symbols: Mapping[str, str],
        now: float,
    ) -> list[NewEntry]:
        """Enter what was read, in chain order behind what is there, and return what is new for the
        journal: trades and movements, and before what was sent with other numbers its retraction.
        """
        entries: list[NewEntry] = []
        for number, one in enumerate(interpreted):
            each = self._resolved(self._with_steps(one))
            before = self._loose.pop(each.signature, None)
            recent = self._recent(each, before, prices, symbols)
            is_final = self._is_final(interpreted, number)
            if not is_final and not self.tail:
                self._base = self._base_here()
            recent.outcomes = self._replay(recent)
            same = before is not None and before.transaction.means(each)
            if before is None or not same or before.outcomes != recent.outcomes:
                entries += self._told(recent, before, symbols, now)
            self._count(recent)
            if not is_final:
                self.tail.append(recent)
            elif not each.found:
                self.cursor = Cursor(each.slot, each.signature)
        if self.is_full and self.final_slot > -inf:  # what is told of may have left something out
            self._settle(self.tail[len(self.tail) - TAIL_MAX // 2].transaction.slot - 1)
        return entries

    def _is_final(self, interpreted: Sequence[InterpretedTransaction], number: int) -> bool:
        """One that was found is, if the next one that the wallet's listing has is: the cursor
        comes behind it then, so that it is never taken for new where the listing has it later."""
        listed = (each for each in islice(interpreted, number, None) if not each.found)
        first = next(listed, None)
        return first is not None and first.slot <= self.final_slot and not self.tail

    # The tail.

    @property
    def is_full(self) -> bool:
        """The chain has to be read before more of what is told of is recorded."""
        return len(self.tail) > TAIL_MAX

    def unknown(
        self, interpreted: Iterable[InterpretedTransaction]
    ) -> list[InterpretedTransaction]:
        """Those that aren't in the book yet."""
        known = self.recent()
        after = -1 if self.cursor is None else self.cursor.slot
        return [
            each
            for each in {one.signature: one for one in interpreted}.values()
            if each.slot > after and each.signature not in known
        ]

    def inserted(
        self, interpreted: Iterable[InterpretedTransaction]
    ) -> list[InterpretedTransaction]:
        """Take out of the tail what comes after the first of these on the chain. Returns what is to
        be recorded now: these, and what was taken out."""
        order = sorted(interpreted, key=lambda each: each.slot)
        at = len(self.tail)
        while order and at and any(each.precedes(self.tail[at - 1].transaction) for each in order):
            at -= 1
        recorded = [recent.transaction for recent in self.tail[at:]]
        self._cut(at)
        for each in order:
            place = len(recorded)
            while place and each.precedes(recorded[place - 1]):
                place -= 1
            recorded.insert(place, each)
        return recorded

    def compared(
        self, chain: Sequence[ListedSignature], now: float
    ) -> tuple[list[NewEntry], dict[str, InterpretedTransaction]]:
        """Hold the tail against what the chain has after the cursor. What is right stays; of the
        rest, what is on the chain is returned by signature, to be recorded again in its order, and
        what the chain has taken back is retracted. What is in another slot now was executed anew,
        so it has to be read anew."""
        entries: list[NewEntry] = []
        self._cut(self._right_until(chain))
        on_chain = {entry.signature: entry for entry in chain}
        again = {}
        for signature, recent in list(self._loose.items()):
            if signature in on_chain:
                known, entry = recent.transaction, on_chain[signature]
                if known.slot == entry.slot:
                    again[signature] = known.as_in(entry)
            elif recent.transaction.slot <= self.final_slot and not recent.transaction.found:
                del self._loose[signature]
                entries += self._retract(recent)
                entries += self._take_back(recent, now)
        return entries, again

    def _right_until(self, chain: Sequence[ListedSignature]) -> int:
        """How many of the tail are where the chain has them and tell of every step before them."""
        at = listed = 0
        balances = self.balances_at(-1)
        while at < len(self.tail):
            each = self.tail[at].transaction
            if listed < len(chain) and chain[listed].signature == each.signature:
                if not each.agrees(chain[listed]):
                    break
                listed += 1
            elif not each.found:
                break
            if self._steps(balances, each) != each.steps:
                break
            self._take(balances, each)
            at += 1
        return at

    def recent(self) -> dict[str, int]:
        """Signatures of the tail, and their slots."""
        transactions = [recent.transaction for recent in (*self.tail, *self._loose.values())]
        return {each.signature: each.slot for each in transactions}

    def placed(self) -> set[str]:
        """Signatures of what has a place in the tail, or is given one by the listing."""
        loose = (recent for recent in self._loose.values() if not recent.transaction.found)
        return {recent.transaction.signature for recent in (*self.tail, *loose)}

    def loose(self) -> list[InterpretedTransaction]:
        """What was taken out of the tail and isn't recorded again, in chain order."""
        return sorted(
            (each.transaction for each in self._loose.values()), key=lambda each: each.slot
        )

    def settle(self) -> None:
        """The chain was read to its end. What is told of from now on may be anywhere on it."""
        self._settle(self.final_slot)
        self.final_slot = -inf

    def settle_all(self) -> None:
        """The tail is taken to be right."""
        self._settle(inf)
        self._loose.clear()

    def _settle(self, final_slot: float) -> None:
        count = 0
        while count < len(self.tail) and self.tail[count].transaction.slot <= final_slot:
            count += 1
        listed = [each.transaction for each in self.tail[:count] if not each.transaction.found]
        if listed:
            self.cursor = Cursor(listed[-1].slot, listed[-1].signature)
        # What is behind the cursor may be listed yet, and then has to be known.
        until = -1 if self.cursor is None else self.cursor.slot
        while count and self.tail[count - 1].transaction.slot > until:
            count -= 1
        if not count or self._base is None:
            return
        settled, self.tail = self.tail[:count], self.tail[count:]
        if not self.tail:
            self._base = None
            return
        now = self.ledger, self.counts, self.balances
        self._restore(self._base)
        for recent in settled:
            self._count(recent)
            self._replay(recent)
        self._base = self._base_here()
        self.ledger, self.counts, self.balances = now

    def _cut(self, at: int) -> None:
        """Take what is in the tail from there on out of it."""
        if at == len(self.tail) or self._base is None:
            return
        self._loose.update((recent.transaction.signature, recent) for recent in self.tail[at:])
        del self.tail[at:]
        self.ledger = Ledger.from_bytes(self._base.ledger)
        self.counts = self._base.counts.copied()
        self._restore(self._base)
        for recent in self.tail:
            self._count(recent)
            self._replay(recent)
        if not self.tail:
            self._base = None

    def _base_here(self) -> _Base:
        return _Base(self.ledger.to_bytes(), self.counts.copied(), self.balances.copy())

    def _restore(self, base: _Base) -> None:
        self.ledger, self.counts = Ledger.from_bytes(base.ledger), base.counts.copied()
        self.balances = base.balances.copy()

    # The balances of the wallet's accounts.

    def balances_at(self, slot: int) -> KnownBalances:
        """What the accounts held when `slot` was over, or later if all after it is final."""
        if self._base is None:
            return self.balances.copy()
        balances = self._base.balances.copy()
        for recent in self.tail:
            if recent.transaction.slot <= slot:
                self._take(balances, recent.transaction)
        return balances

    def last_touching(self, account: str, slot: int) -> str | None:
        """Signature of the last one in the tail, up to `slot`, that touched the account."""
        for recent in reversed(self.tail):
            balances = recent.transaction.balances or ()
            if recent.transaction.slot <= slot and account in {each.account for each in balances}:
                return recent.transaction.signature
        return None

    def missing(
        self, interpreted: Iterable[InterpretedTransaction]
    ) -> list[tuple[InterpretedTransaction, BalanceStep]]:
        """The steps before these, if they are recorded next, each with the one it comes before."""
        order = list(interpreted)
        steps = self.balances.steps_in(self.wallet, [(each.balances, each.slot) for each in order])
        return [(order[number], step) for number, step in steps]

    def _with_steps(self, interpreted: InterpretedTransaction) -> InterpretedTransaction:
        """Between two passes something may be on its way that explains a step."""
        told = interpreted.steps
        steps = self._steps(self.balances, interpreted)
        if told == steps or (self.final_slot == -inf and not told):
            return interpreted
        return interpreted.with_steps(steps)

    def _steps(
        self, balances: KnownBalances, interpreted: InterpretedTransaction
    ) -> tuple[Posting, ...]:
        if interpreted.balances is None:
            return interpreted.steps
        steps = balances.steps(self.wallet, interpreted.balances, interpreted.slot)
        return tuple(step.posting for step in steps)

    def _take(self, balances: KnownBalances, interpreted: InterpretedTransaction) -> None:
        postings = interpreted.interpretation.postings
        balances.take(self.wallet, interpreted.balances, interpreted.slot, postings)

    def _recent(
        self,
        interpreted: InterpretedTransaction,
        before: Recent | None,
        prices: Prices,
        symbols: Mapping[str, str],
    ) -> Recent:
        firsts = () if before is None else before.firsts
        moved = 0 if before is None else before.moved
        if not interpreted.trades:
            return Recent(interpreted, firsts=firsts, moved=moved)
        if before is not None and legs_of(before.transaction.trades) == legs_of(interpreted.trades):
            return Recent(
                interpreted, before.values, (), before.symbols, before.seqs, firsts, moved
            )
        mints = mints_in(interpreted.trades)
        mints |= {posting.mint for posting in interpreted.interpretation.postings}
        named = {mint: symbols[mint] for mint in sorted(mints) if mint in symbols}
        values = tuple(value_of(trade, prices) for trade in interpreted.trades)
        return Recent(interpreted, values, (), named, (), firsts, moved)

    def _resolved(self, interpreted: InterpretedTransaction) -> InterpretedTransaction:
        """The same, as what is in custody now explains it."""
        known = interpreted.interpretation
        resolved = self.ledger.resolved(
            known, interpreted.signature, interpreted.slot, interpreted.timestamp
        )
        return interpreted if resolved is known else replace(interpreted, interpretation=resolved)

    def _replay(self, recent: Recent) -> tuple[Outcome, ...]:
        self._take(self.balances, recent.transaction)
        return self.ledger.record(recent.transaction.interpretation, recent.values)

    def _count(self, recent: Recent) -> None:
        counts = self.counts
        counts.transactions += 1
        counts.failed += recent.transaction.failed
        counts.trades += len(recent.values)
        counts.unpriced += sum(value.nanousd is None for value in recent.values)
        counts.movements += is_movement(recent.transaction)
        counts.add_unexplained(recent.transaction.unexplained)

    def _told(
        self, recent: Recent, before: Recent | None, symbols: Mapping[str, str], now: float
    ) -> list[NewEntry]:
        """Entries for what the transaction means now, behind those that take back what was told of
        it `before`. A movement takes the place of an earlier one by itself."""
        entries = [] if before is None else self._retract(before)
        if not is_movement(recent.transaction):
            return entries + self._take_back(recent, now) + self._trades(recent, now)
        movement = movement_of(recent.transaction, symbols, int(now * 1000), self._standing_id)
        entries.append(self.entry(movement))
        recent.moved = self.seq
        return entries

    @property
    def _standing_id(self) -> EventId | None:
        return EventId(self.epoch, self.standing) if self.standing else None

    def _take_back(self, recent: Recent, now: float) -> list[NewEntry]:
        """The movement of the transaction counts no more, if one was told."""
        if not recent.moved:
            return []
        recent.moved = 0
        return [self.entry(retraction_of(recent.transaction, int(now * 1000), self._standing_id))]

    def _retract(self, recent: Recent) -> list[NewEntry]:
        """All trades of the transaction count no more: one entry says so."""
        if not recent.seqs:
            return []
        self.retracted += recent.seqs
        del self.retracted[:-RETRACTED_MAX]
        recent.seqs = ()
        retract = event.Retract(recent.transaction.signature, self.proof.entries + 1)
        return [self.entry(retract)]

    def _trades(self, recent: Recent, now: float) -> list[NewEntry]:
        """Entries for all trades of the transaction."""
        entries = []
        firsts, seqs = recent.firsts, []
        trades = recent.transaction.trades
        beside = [
            posted(posting, recent.symbols)
            for posting in beside_trades(recent.transaction.interpretation)
        ]
        for trade, value, outcome in zip(trades, recent.values, recent.outcomes, strict=True):
            replaces: str | UnsetType = UNSET
            if trade.part < len(firsts):
                replaces = str(EventId(self.epoch, firsts[trade.part]))
            stamp = Stamp(
                COMMITMENT,
                int(now * 1000),
                self.ledger.cost_basis,
                self.proof.entries + 1,
                replaces,
                recent.transaction.index,
                () if trade.part else beside,
            )
            wire = trade_of(trade, value, outcome, recent.symbols, stamp)
            entries.append(self.entry(wire))
            seqs.append(self.seq)
        recent.seqs = tuple(seqs)
        recent.firsts = firsts + recent.seqs[len(firsts) :]
        return entries
