"""Everything that the server stores, in SQLite files below one folder, for one process."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from wd_server.backend import BackendHealth, Figure
from wd_server.embedded.budget import SqliteBudgetStore
from wd_server.embedded.counters import LocalCounters
from wd_server.embedded.journal import SqliteJournal
from wd_server.embedded.keys import SqliteKeyStore
from wd_server.errors import StoreUnavailable
from wd_server.tasks import Tasks

JOURNAL_FILE = "journal.db"
KEYS_FILE = "access.db"
BUDGET_FILE = "credits.db"

# Seconds between two looks for journals that were not used for `keep_seconds`.
EXPIRY_SECONDS = 3600
# Everything lies in DATA_DIR: a disk that takes nothing stops every stream.
NEEDED = frozenset({"journal", "disk"})

# Under this name operators know what it logs.
_log = structlog.get_logger("app")


class OneNode:
    """The membership of a process that stores for itself alone."""

    node = "embedded"
    surely_alive = True

    def nodes(self) -> frozenset[str]:
        return frozenset({self.node})


class EmbeddedBackend:
    """`folder` is made if needed. Its journal has one process at a time, its keys and credits may
    have several. `keep_seconds`: how long a wallet's journal is kept after it was last used.
    `clock` gives unix seconds, `monotonic` counts requests."""

    def __init__(
        self,
        folder: Path,
        keep_seconds: int,
        tasks: Tasks,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._keep_seconds = keep_seconds
        self._tasks = tasks
        self._clock = clock
        self.journal = SqliteJournal(folder / JOURNAL_FILE)
        self.keys = SqliteKeyStore(folder / KEYS_FILE)
        self.counters = LocalCounters(monotonic)
        self.budget = SqliteBudgetStore(folder / BUDGET_FILE)
        self.membership = OneNode()
        self._opened = False
        self._expiring: asyncio.Task[None] | None = None

    @property
    def place(self) -> str:
        return str(self._folder / KEYS_FILE)

    async def open(self) -> None:
        if self._opened:
            raise StoreUnavailable("This backend was opened before; make a new one.")
        self._opened = True
        try:
            await self.journal.open()
            await self.keys.open()
            await self.budget.open()
        except BaseException:
            await self.close()
            raise
        self._expiring = self._tasks.every("journal_expiry", EXPIRY_SECONDS, self._expire)

    async def open_keys(self) -> None:
        await self.keys.open()

    async def close(self) -> None:
        expiring, self._expiring = self._expiring, None
        await self._tasks.end(expiring)
        await self.budget.close()
        self.counters.close()
        await self.keys.close()
        await self.journal.close()

    async def probe(self) -> None:
        with suppress(StoreUnavailable):  # then the journal says so itself
            await self.journal.probe()

    def health(self) -> BackendHealth:
        return BackendHealth(redis="embedded", answers=True, needed=NEEDED)

    def figures(self) -> Sequence[Figure]:
        """All of it is told by the parts."""
        return ()

    async def _expire(self) -> None:
        try:
            dropped = await self.journal.expire(self._clock() - self._keep_seconds)
            if dropped:
                _log.info("journals expired", wallets=dropped)
        except StoreUnavailable as error:
            _log.warning("journals can't be expired", error=error.message)
