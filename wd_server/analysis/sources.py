"""Where a run reads and writes, by contract."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from wd_server.chain.history import NOTHING_KNOWN, Fetched, Listed, Newest
from wd_server.chain.listing import Cursor
from wd_server.chain.quotes import Quotes
from wd_server.journal.base import Journal
from wd_server.trading.trade import CostBasis

Steps = AsyncGenerator[Listed | Newest | Fetched, None]


class Histories(Protocol):
    def read(
        self,
        wallet: str,
        after: Cursor | None,
        limit: int,
        known: Mapping[str, int] = NOTHING_KNOWN,
    ) -> Steps:
        """A wallet's transactions after the cursor, oldest first (chain/history.py)."""

    async def final_slot(self, *, first: bool) -> float:
        """The newest slot that isn't taken back any more, or for a wallet's `first` read one that
        is a bit older."""


class Symbols(Protocol):
    async def symbols(self, mints: Collection[str], timeout: float) -> dict[str, str]:  # noqa: ASYNC109
        """Names of tokens, as far as they are known in time (chain/assets.py)."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a run reads and writes. `clock` gives unix seconds."""

    journal: Journal
    history: Histories
    quotes: Quotes
    assets: Symbols
    clock: Callable[[], float]
    cost_basis: CostBasis
    max_wallet_size: int
