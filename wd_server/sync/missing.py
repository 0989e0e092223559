"""Finds the transactions that a wallet's listing doesn't have, and holds the books against the
chain.

Both cost calls of the upstream, so both are bounded, and an upstream that refuses them or fails is
no error of the pass: what isn't found stays unexplained, and the reconciliation says why.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from operator import attrgetter

import structlog
from msgspec.structs import replace

from wd_server.chain.accounts import AccountsAnswer
from wd_server.chain.payloads import Transaction
from wd_server.errors import UpstreamError, UpstreamRejected
from wd_server.sync.book import Book
from wd_server.sync.interpreted import InterpretedTransaction
from wd_server.sync.reconciliation import (
    ComparedAccount,
    compared,
    is_behind,
    reconciliation,
    unavailable,
)
from wd_server.sync.sources import Sources
from wd_server.trading.continuity import BalanceStep

# Accounts of which a pass asks for their signatures, at 2 credits for one that was given tokens
# once and 26 at most: a wallet that others send tokens to has some dozens.
SEARCHES_MAX = 60
# Of these, those under way together.
SEARCHES_AT_ONCE = 8
# Seconds that `complete` waits for the chain's side, at most: three calls, and some searches.
RECONCILE_WAIT_SECONDS = 10.0
# Seconds from one comparison of a wallet with the chain to its next: three credits for each.
RECONCILE_SECONDS = 60
# Times that the chain is asked while the node that answers is behind the books, and the seconds
# between two of them: a node catches up with others in a slot or two.
ASKED_MAX = 3
ASK_AGAIN_SECONDS = 1.0

Enter = Callable[[list[InterpretedTransaction]], Awaitable[None]]

_log = structlog.get_logger("sync")


class MissingTransactions:
    """For one pass. `searches`: how many more accounts it may ask for their signatures. `found`:
    signatures of what turned up; the listing may have it all the same, and later. An account's
    signatures name what couldn't be read, too: it is entered already, and left the account's
    balance unknown.
    """

    def __init__(self, sources: Sources) -> None:
        self.searches = SEARCHES_MAX
        self.found: set[str] = set()
        self._unreadable: set[str] = set()
        self._sources = sources

    async def completed(
        self, book: Book, interpreted: Sequence[InterpretedTransaction]
    ) -> list[InterpretedTransaction]:
        """These, which are to be recorded next, and in their places those that are missing."""
        whole = [each for each in interpreted if each.signature not in self.found]
        self._unreadable.update(each.signature for each in whole if not each.is_readable)
        searched: set[tuple[str, str]] = set()
        while self.searches:
            steps = [
                (each, step)
                for each, step in book.missing(whole)
                if (each.signature, step.account) not in searched
            ][: self._at_once]
            if not steps:
                break
            searched.update((each.signature, step.account) for each, step in steps)
            searches = [self._search(book, step, each.signature) for each, step in steps]
            # After a fork the books may have one of these in its old slot.
            known = {each.signature for each in whole} | book.placed() | self.found
            for (each, _), found in zip(steps, await asyncio.gather(*searches), strict=True):
                for one in found:
                    if one.signature not in known:
                        known.add(one.signature)
                        self.found.add(one.signature)
                        insert(whole, one, each)
        return whole

    async def reconcile(self, book: Book, enter: Enter) -> None:
        """Hold the book against the chain, once RECONCILE_SECONDS have passed since the last time.
        `enter` records transactions that turn up."""
        before, now = book.reconciliation, int(self._sources.clock())
        if before is not None and 0 <= now - before.checked_at < RECONCILE_SECONDS:
            return
        answers: list[AccountsAnswer] = []
        refused = False
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(RECONCILE_WAIT_SECONDS):
                    answers += await self._ask(book)
                    await self._find(book, answers, enter)
        except UpstreamError as error:
            refused = isinstance(error, UpstreamRejected)
            _log.info("not reconciled", wallet=book.wallet, error=error.message)
        if not answers:
            book.reconciliation = unavailable(book, "refused" if refused else "no_answer", now)
        elif is_behind(book, answers):
            book.reconciliation = unavailable(book, "behind", now)
        else:
            book.reconciliation = reconciliation(book, answers, now)

    async def _ask(self, book: Book) -> list[AccountsAnswer]:
        for number in range(ASKED_MAX):
            if number:
                await asyncio.sleep(ASK_AGAIN_SECONDS)
            answers = await self._sources.accounts.held(book.wallet, self._sources.turn)
            if not is_behind(book, answers):
                break
        return answers

    async def _find(self, book: Book, answers: list[AccountsAnswer], enter: Enter) -> None:
        """Enter what touched the accounts that hold something else than the books say."""
        if is_behind(book, answers):
            return
        searched: set[str] = set()
        while self.searches:
            differing = [
                each
                for each in compared(book, answers)
                if each.differs and each.step.account not in searched
            ]
            if not differing:
                return
            # The wallet's own transactions first: they explain most of its token accounts, too.
            own = [each for each in differing if each.step.account == book.wallet]
            wanted = own or differing[: self._at_once]
            searched.update(each.step.account for each in wanted)
            found = await asyncio.gather(*(self._newer(book, each) for each in wanted))
            by_signature = {one.signature: one for each in found for one in each}
            if by_signature:
                await enter(sorted(by_signature.values(), key=attrgetter("slot")))

    @property
    def _at_once(self) -> int:
        return min(self.searches, SEARCHES_AT_ONCE)

    async def _newer(self, book: Book, account: ComparedAccount) -> list[InterpretedTransaction]:
        """Transactions that touched an account since the last recorded one that did."""
        step = account.step
        touching = await self._touching(book, step, None)
        if step.account == book.wallet:
            return self._readable(book.unknown(touching))
        touching = [each for each in touching if each.slot <= account.slot]
        last = book.last_touching(step.account, account.slot)
        if last is not None and last not in {each.signature for each in touching}:
            return []  # a fork took it back: what the chain holds is from before it
        known = book.recent()
        found = self._readable(found_in(touching, step))
        return [each for each in found if each.signature not in known]

    def _readable(self, found: Iterable[InterpretedTransaction]) -> list[InterpretedTransaction]:
        """Without those that are in the book already, as ones that can't be read."""
        return [each for each in found if each.signature not in self._unreadable]

    async def _search(
        self, book: Book, step: BalanceStep, before: str
    ) -> list[InterpretedTransaction]:
        return self._readable(found_in(await self._touching(book, step, before), step))

    async def _touching(
        self, book: Book, step: BalanceStep, before: str | None
    ) -> list[InterpretedTransaction]:
        """Oldest first. Nothing, and no further search, where the upstream fails."""
        self.searches = max(0, self.searches - 1)
        sources = self._sources
        transactions: list[Transaction] = []
        try:
            # One of the same slot may have come behind the one that is known.
            transactions = await sources.accounts.touching(
                step.account, before, step.slot - 1, sources.turn
            )
        except UpstreamError as error:
            self.searches = 0
            _log.info("missing transactions not found", wallet=book.wallet, error=error.message)
        return sources.interpret(book, transactions)


def found_in(
    touching: Sequence[InterpretedTransaction], step: BalanceStep
) -> list[InterpretedTransaction]:
    return [replace(each, found=True) for each in leading(step, touching)]


def leading(
    step: BalanceStep, touching: Sequence[InterpretedTransaction]
) -> list[InterpretedTransaction]:
    """Those of the last ones that lead from what was known to what was found. One that is in the
    books already never is among them: it left what was known."""
    leading: list[InterpretedTransaction] = []
    wanted = step.found
    for each in reversed(touching):
        if wanted == step.known:
            break
        balance = next((one for one in each.balances or () if one.account == step.account), None)
        if balance is None or balance.before is None:
            continue
        if balance.before + balance.change != wanted:
            break
        leading.append(each)
        wanted = balance.before
    return leading[::-1]


def insert(
    order: list[InterpretedTransaction],
    missing: InterpretedTransaction,
    before: InterpretedTransaction,
) -> None:
    """Put a transaction in its place, before the one that shows that it is missing."""
    at = next(place for place, each in enumerate(order) if each.signature == before.signature)
    while at and missing.precedes(order[at - 1]):
        at -= 1
    order.insert(at, missing)
