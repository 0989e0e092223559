"""One pass over a wallet: what is new on the chain becomes trades in its journal."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from time import monotonic
from typing import NamedTuple, Protocol, Self

from msgspec import UNSET

from wd_server.chain.history import NOTHING_KNOWN, Fetched, Listed, Newest
from wd_server.chain.listing import Cursor
from wd_server.chain.payloads import ListedTransaction, PushedTransaction
from wd_server.events import event
from wd_server.journal.base import Head, Lease, LeaseLost, NewEntry
from wd_server.sync.book import Book
from wd_server.sync.checkpoint import Unexplained
from wd_server.sync.comparison import Comparison
from wd_server.sync.interpreted import (
    InterpretedTransaction,
    mints_of,
    previewed,
    prices_for,
    sliced,
)
from wd_server.sync.missing import MissingTransactions
from wd_server.sync.opening import ENTRIES_MAX, opened
from wd_server.sync.progress import ProgressReport
from wd_server.sync.sources import Sources, Steps, led_by
from wd_server.trading.amounts import coin_of
from wd_server.trading.prices import Prices
from wd_server.trading.summary import Summary

# Seconds of work at a time between two turns for others on the loop.
SLICE_SECONDS = 0.004
# Transactions looked at between two looks at the clock: about half a millisecond.
SLICE_TRANSACTIONS = 10
# Transactions whose quotes and names are asked for together: one request for most of them.
LOOKED_UP_TOGETHER = 100
# Entries stored together: enough that a commit and a checkpoint cost little each, few enough that
# a client sees the first ones soon.
APPEND_ENTRIES = 1000
# Seconds after which what is there is stored, however little.
APPEND_SECONDS = 0.25
# Trades in a preview, by contract.
PREVIEW_TRADES = 25
# Seconds a whole pass waits for names of tokens; then their mints stand in.
SYMBOL_SECONDS = 1.0
# Seconds that pushed transactions wait for a token's name that was never asked for, and for a price
# of this minute: both are there at once for all but the first.
PUSHED_SYMBOL_SECONDS = 0.3
PUSHED_PRICE_SECONDS = 1.0


class PassObserver(Protocol):
    """Whom a sync pass tells what isn't kept in the journal. Must not block or raise."""

    def on_progress(self, progress: event.Progress) -> None: ...
    def on_preview(self, preview: event.Preview) -> None: ...
    def on_summary(self, summary: Summary) -> None: ...


class Known(NamedTuple):
    """What one pass over a complete wallet leaves to the next. As long as nobody else may write,
    that one needs no more to see that nothing is new. `finished`: nothing but movements follows the
    newest `complete`. `book`: only while there is a tail."""

    cursor: Cursor | None
    head: Head
    finished: bool
    book: Book | None

    @classmethod
    def of(cls, book: Book, head: Head) -> Self:
        return cls(book.cursor, head, book.standing > 0, book if book.tail else None)


class SyncPass:
    """One wallet, one pass. Raises what its sources raise; what it stored stays.

    `known`: what the pass before left, and then what this one leaves. `first`: the wallet was
    never read to its end before; `transactions`: read in this pass.
    """

    def __init__(
        self, sources: Sources, lease: Lease, observer: PassObserver, known: Known | None = None
    ) -> None:
        self.observer = observer
        self.known = known
        self.report = ProgressReport()
        self.first = known is None
        self.transactions = 0
        self._sources = sources
        self._symbols = partial(sources.assets.symbols, turn=sources.turn)
        self._lease = lease
        self._signatures = 0
        self._symbol_seconds = SYMBOL_SECONDS
        self._interpreted: list[InterpretedTransaction] = []
        self._newest: list[list[InterpretedTransaction]] = []
        self._mints: set[str] = set()
        self._entries: list[NewEntry] = []
        self._head = Head(0, 0, "")
        self._book: Book | None = None
        self._reasons_before: Mapping[str, Unexplained] = {}
        # The seq that the newest entry has when what was handed to the journal is stored.
        self._due_seq = 0
        self._worked_since = monotonic()
        self._turn = asyncio.Lock()
        self._storing: asyncio.Task[Head] | None = None
        self._comparison: Comparison | None = None
        self._missing = MissingTransactions(sources)

    async def execute(self, close: Callable[[], bool]) -> Head:
        """Read what is new and journal it. At the end of a first pass, or if `close` says so
        then, a `complete` is the newest entry but for movements. Returns the journal's head."""
        known, self.known = self.known, None
        if known is None or known.book is not None:
            book = await self._open_book() if known is None else self._kept_book(known)
            async with aclosing(self._history(book.cursor, book.recent())) as steps:
                return await self._read_on(book, steps, close)
        async with aclosing(self._history(known.cursor)) as steps:
            step = await anext(steps)
            if _is_nothing(step) and (known.finished or not close()):
                self.known = known
                return known.head
            book = await self._same_book(known)
            async with aclosing(led_by(step, steps)) as all_steps:
                return await self._read_on(book, all_steps, close)

    async def take(self, pushed: Sequence[PushedTransaction]) -> Head:
        """Journal what was pushed and isn't there yet. One that can't be read isn't taken: the
        chain may have it in a form that can. Returns the journal's head."""
        assert self.known is not None, "a wallet that wasn't read to its end has no place for it"
        known, self.known = self.known, None
        self._symbol_seconds = PUSHED_SYMBOL_SECONDS
        book = await self._same_book(known) if known.book is None else self._kept_book(known)
        readable = [each for each in self._sources.interpret(book, pushed) if each.is_readable]
        interpreted = book.unknown(readable)
        if interpreted:
            prices: Prices = {}
            symbols: Mapping[str, str] = {}
            with suppress(TimeoutError):
                async with asyncio.timeout(PUSHED_PRICE_SECONDS):
                    prices, symbols = await self._looked_up(interpreted)
            order = book.inserted(interpreted)
            self._entries = book.record(order, prices, symbols, self._sources.clock())
            self.transactions = len(interpreted)
            if self._entries:  # what moved nothing costs no write: a pass would find it again
                await self._store(book)
                await self._stored()
                self._tell(book)
        self.known = Known.of(book, self._head)
        return self._head

    async def _same_book(self, known: Known) -> Book:
        """The book of a wallet that was read to its end. Raises LeaseLost if the journal has
        another one: a new epoch has no place for what comes after `known`."""
        book = await self._open_book()
        if not book.complete or book.cursor != known.cursor:
            raise LeaseLost("This wallet's events were changed or are begun anew.")
        return book

    def _kept_book(self, known: Known) -> Book:
        assert known.book is not None
        self._head = known.head
        return self._begun(known.book)

    def _begun(self, book: Book) -> Book:
        self._book, self._reasons_before = book, book.counts.copied().reasons
        return book

    @property
    def unexplained(self) -> dict[str, Unexplained]:
        """What this pass found that nothing explains, by reason. What a fork took back meanwhile is
        none of it."""
        found = {} if self._book is None else self._book.counts.reasons
        return {
            reason: now.beyond(self._reasons_before.get(reason, Unexplained()))
            for reason, now in found.items()
        }

    def _history(self, after: Cursor | None, known: Mapping[str, int] = NOTHING_KNOWN) -> Steps:
        sources, wallet = self._sources, self._lease.wallet
        return sources.history.read(wallet, after, sources.max_wallet_size, known, sources.turn)

    async def _read_on(self, book: Book, steps: Steps, close: Callable[[], bool]) -> Head:
        sources = self._sources
        started = sources.clock()
        self.first = sources.turn.first = not book.complete
        cursor, seq = book.cursor, book.seq
        self._say("initializing", book)
        book.final_slot = await sources.history.final_slot(first=self.first)
        try:
            await self._read_history(book, steps)
            await self._enter(book)
            await self._enter_rest(book)
            self._say("processing_trades", book)
            if self.first or self._entries or book.seq > seq or book.cursor != cursor:
                book.complete = True
                await self._store(book)
            self._say("calculating_pnl", book)
            head = await self._stored()
            self._say("complete", book)
            if not book.standing and (self.first or close()):
                await self._missing.reconcile(book, partial(self._enter_late, book))
                self._entries.append(self._complete(book, sources.clock() - started))
                await self._store(book)
                head = await self._stored()
            elif book.seq > seq:
                self._tell(book)
            self.known = Known.of(book, head)
            return head
        finally:
            if self._storing is not None:
                await asyncio.wait((self._storing,))

    def _tell(self, book: Book) -> None:
        self.observer.on_summary(book.ledger.summary())

    async def _open_book(self) -> Book:
        book, self._head = await opened(self._sources, self._lease)
        return self._begun(book)

    async def _read_history(self, book: Book, steps: Steps) -> None:
        done = book.counts.transactions
        self._signatures = done
        storing = asyncio.get_running_loop().create_task(self._store_in_time(book))
        try:
            async for step in steps:
                if isinstance(step, Listed):
                    self._compare(book, step)
                    self._signatures = done + step.signatures_found
                    book.truncated |= step.truncated
                    book.balances.whole &= not book.truncated
                    self._say("fetching_signatures", book)
                    if step.finished and self._mints:
                        await self._breathe()
                        # They are looked up while what comes first is read.
                        await self._symbols(self._mints, 0)
                elif isinstance(step, Newest):
                    await self._take_ahead(book, step.transactions)
                else:
                    async with self._turn:
                        await self._take(book, step.transactions)
                    self._say("fetching_transactions", book)
                if storing.done():
                    storing.result()
            async with self._turn:  # not while it has half of what was read entered
                storing.cancel()
            while self._newest:
                self.transactions += len(self._newest[-1])
                self._interpreted += self._newest.pop()
                if len(self._interpreted) >= LOOKED_UP_TOGETHER:
                    await self._enter(book)
                    self._say("fetching_transactions", book)
        finally:
            storing.cancel()
            await asyncio.wait((storing,))

    async def _store_in_time(self, book: Book) -> None:
        """What was read is stored soon, also while the upstream keeps the pass waiting for more."""
        while True:
            await asyncio.sleep(APPEND_SECONDS)
            async with self._turn:
                if self._interpreted or self._entries:
                    await self._enter(book)
                    await self._store(book)

    async def _take(self, book: Book, transactions: Sequence[ListedTransaction]) -> None:
        self.transactions += len(transactions)
        self._interpreted += self._sources.interpret(book, transactions)
        if len(self._interpreted) >= LOOKED_UP_TOGETHER:
            await self._enter(book)
        await self._breathe()

    async def _take_ahead(self, book: Book, transactions: Sequence[ListedTransaction]) -> None:
        """Read them, to be entered when all that come before them on the chain are."""
        interpreted = self._sources.interpret(book, transactions)
        self._newest.append(interpreted)
        self._mints |= mints_of(interpreted)
        if len(self._newest) == 1:
            await self._preview(book, interpreted)
        await self._breathe()

    async def _enter(self, book: Book) -> None:
        """Enter what was read into the book, and store the trades if they are many."""
        interpreted, self._interpreted = self._interpreted, []
        if self._comparison is not None:
            interpreted = self._comparison.merged(interpreted)
        interpreted = await self._missing.completed(book, interpreted)
        prices, symbols = await self._looked_up(interpreted)
        for part in sliced(interpreted, SLICE_TRANSACTIONS):
            self._entries += book.record(part, prices, symbols, self._sources.clock())
            await self._breathe()
        if len(self._entries) >= APPEND_ENTRIES:
            await self._store(book)

    def _compare(self, book: Book, listed: Listed) -> None:
        """Hold the book's tail against the whole listing."""
        if not listed.finished or not book.recent():
            return
        if listed.truncated:  # the tail is older than what is read at all
            book.settle_all()
            return
        self._comparison = Comparison(book, listed.signatures, self._sources.clock())
        self._entries += self._comparison.entries

    async def _enter_rest(self, book: Book) -> None:
        """What was in the tail and comes after all that was fetched needs no quotes."""
        now = self._sources.clock()
        if self._comparison is not None:
            rest = await self._missing.completed(book, self._comparison.rest())
            self._entries += book.record(rest, {}, {}, now)
        self._entries += book.record(book.loose(), {}, {}, now)
        book.settle()

    async def _enter_late(self, book: Book, found: list[InterpretedTransaction]) -> None:
        """Enter what turned up after the chain was read to its end."""
        prices, symbols = await self._looked_up(found)
        now = self._sources.clock()
        self._entries += book.record(book.inserted(found), prices, symbols, now)
        self.transactions += len(found)

    async def _looked_up(
        self, interpreted: Sequence[InterpretedTransaction]
    ) -> tuple[Prices, Mapping[str, str]]:
        """Quotes and names for these trades, as far as they can be had in time."""
        wanted, mints = prices_for(interpreted), mints_of(interpreted)
        prices = await self._sources.quotes.prices(wanted) if wanted else {}
        if not mints:
            return prices, {}
        asked = monotonic()
        symbols = await self._symbols(mints, max(self._symbol_seconds, 0))
        self._symbol_seconds -= monotonic() - asked
        return prices, symbols

    async def _preview(self, book: Book, interpreted: Sequence[InterpretedTransaction]) -> None:
        """Show the newest trades at once, and again if there are names and prices soon after."""
        now = self._sources.clock()
        newest = [each for each in interpreted if each.trades][-PREVIEW_TRADES:]
        if not newest:
            return
        basis = book.ledger.cost_basis
        known = await self._symbols(mints_of(newest), 0)
        trades = previewed(newest, {}, known, basis, now)
        self.observer.on_preview(event.Preview(trades, int(now)))
        prices, symbols = await self._looked_up(newest)
        if prices or symbols != known:
            trades = previewed(newest, prices, symbols, basis, now)
            self.observer.on_preview(event.Preview(trades, int(now)))

    async def _store(self, book: Book) -> None:
        """Hand what is there to the journal as it is now, behind what was handed to it before."""
        await self._stored()
        if self._head.seq >= ENTRIES_MAX:
            raise LeaseLost("The journal is as long as one may be: a new epoch has to begin.")
        entries, self._entries = self._entries, []
        self._due_seq = book.seq
        self._storing = asyncio.get_running_loop().create_task(
            self._sources.journal.append(
                self._lease, self._head.epoch, entries, book.checkpoint(), self._sources.clock()
            )
        )

    async def _stored(self) -> Head:
        """Wait until what was handed to the journal is stored."""
        if self._storing is not None:
            storing, self._storing = self._storing, None
            self._head = await storing
            if self._head.seq != self._due_seq:
                raise LeaseLost("The store has other events of this wallet than were stored.")
        return self._head

    async def _breathe(self) -> None:
        """Let others on the loop have their turn after SLICE_SECONDS of work."""
        if monotonic() - self._worked_since >= SLICE_SECONDS:
            await asyncio.sleep(0)
            self._worked_since = monotonic()

    def _complete(self, book: Book, duration: float) -> NewEntry:
        counts = book.counts
        complete = event.Complete(
            status="complete",
            trades_found=counts.trades,
            duration=round(duration, 3),
            summary=book.ledger.summary(),
            metrics=event.SyncMetrics(
                signatures_found=self._signatures,
                transactions=counts.transactions,
                failed_transactions=counts.failed,
                unpriced_trades=counts.unpriced,
                movements=counts.movements,
                unexplained_transactions=counts.unexplained,
                unexplained_sol=coin_of(counts.unexplained_lamports),
                unexplained_reasons={
                    reason: each.transactions for reason, each in counts.reasons.items()
                },
            ),
            truncated=book.truncated,
            timestamp=int(self._sources.clock()),
            entries=book.proof.entries,
            digest=book.proof.digest.hex(),
            entries_all=book.proof_all.entries,
            digest_all=book.proof_all.digest.hex(),
            reconciliation=UNSET if book.reconciliation is None else book.reconciliation,
        )
        return book.entry(complete)

    def _say(self, step: event.Step, book: Book) -> None:
        """Tell the progress; of a pass that only looks for news, no more than that it ended."""
        if not self.first and step != "complete":
            return
        progress = self.report.update(
            step,
            self._sources.clock(),
            signatures=self._signatures,
            done=book.counts.transactions,
            trades=book.counts.trades,
        )
        if progress is not None:
            self.observer.on_progress(progress)


def _is_nothing(step: Listed | Newest | Fetched) -> bool:
    return isinstance(step, Listed) and step.finished and not step.signatures_found
