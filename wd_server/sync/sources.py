"""Where a sync pass reads and writes, by contract."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from wd_server.chain.accounts import AccountsAnswer
from wd_server.chain.faults import MethodUnavailable
from wd_server.chain.history import NOTHING_KNOWN, Fetched, Listed, Newest
from wd_server.chain.listing import Cursor
from wd_server.chain.payloads import AnyTransaction, Transaction
from wd_server.chain.quotes import Quotes
from wd_server.chain.turns import SERVER, Turn
from wd_server.journal.base import Journal
from wd_server.sync.book import Book
from wd_server.sync.interpreted import InterpretedTransaction, unreadable
from wd_server.tasks import Tasks
from wd_server.trading.trade import CostBasisMethod

Steps = AsyncGenerator[Listed | Newest | Fetched, None]


async def led_by(first: Listed | Newest | Fetched, steps: Steps) -> Steps:
    """The steps with one before them that was taken already."""
    yield first
    async for step in steps:
        yield step


class Histories(Protocol):
    def read(
        self,
        wallet: str,
        after: Cursor | None,
        limit: int,
        known: Mapping[str, int] = NOTHING_KNOWN,
        turn: Turn | None = None,
    ) -> Steps:
        """A wallet's transactions after the cursor, oldest first (chain/history.py)."""

    async def final_slot(self, *, first: bool) -> float:
        """The newest slot that isn't taken back any more, or for a wallet's `first` read one that
        is a bit older."""


class Symbols(Protocol):
    async def symbols(
        self,
        mints: Collection[str],
        timeout: float,  # noqa: ASYNC109
        turn: Turn | None = None,
    ) -> dict[str, str]:
        """Names of tokens, as far as they are known in time (chain/assets.py)."""


class AccountReader(Protocol):
    """Tells what accounts hold and what touched them (chain/accounts.py)."""

    async def held(self, wallet: str, turn: Turn | None = None) -> list[AccountsAnswer]: ...

    async def touching(
        self, account: str, before: str | None, after: int, turn: Turn | None = None
    ) -> list[Transaction]: ...


class NoAccounts:
    """An upstream that doesn't tell what accounts hold."""

    async def held(self, wallet: str, turn: Turn | None = None) -> list[AccountsAnswer]:
        raise MethodUnavailable("This upstream doesn't tell what accounts hold.")

    async def touching(
        self, account: str, before: str | None, after: int, turn: Turn | None = None
    ) -> list[Transaction]:
        raise MethodUnavailable("This upstream doesn't tell what touched an account.")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a sync pass reads and writes. `clock` gives unix seconds, `tasks` counts transactions
    that can't be read. `turn`: whose turn it takes at the upstream, the server's own unless
    somebody else's is given."""

    journal: Journal
    history: Histories
    quotes: Quotes
    assets: Symbols
    clock: Callable[[], float]
    cost_basis: CostBasisMethod
    max_wallet_size: int
    accounts: AccountReader = field(default_factory=NoAccounts)
    turn: Turn = field(default_factory=lambda: Turn(SERVER))
    tasks: Tasks = field(default_factory=Tasks)

    def interpret(
        self, book: Book, transactions: Sequence[AnyTransaction]
    ) -> list[InterpretedTransaction]:
        """What each transaction meant. One whose parts contradict each other is logged with its
        signature, counted and unreadable: it is nothing to the wallet's others."""
        interpreted: list[InterpretedTransaction] = []
        now = int(self.clock())
        for each in transactions:
            meant = partial(_extend, interpreted, book, each, now)
            signature, wallet = each.signature, book.wallet
            if not self.tasks.attempt("reading", meant, signature=signature, wallet=wallet):
                interpreted.append(unreadable(each, now))
        return interpreted


def _extend(
    interpreted: list[InterpretedTransaction], book: Book, transaction: AnyTransaction, now: int
) -> None:
    interpreted += book.interpret((transaction,), now)
