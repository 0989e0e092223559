"""One budget of credits a day for all processes of a service, and over their restarts; and one for
each key that has a limit of its own.

A store has what each process spent on a day, and the total. Every process tells it its share every
HAND_IN_SECONDS and learns the total, which `Credits` compares with the budget. While the store is
away a process goes on with what it knows, and tells its share when the store is back.
"""

import asyncio
import secrets
from contextlib import suppress
from typing import Protocol

import structlog

from wd_server.chain.credits import Credits, Share
from wd_server.errors import StoreUnavailable
from wd_server.tasks import Tasks

# What a process that is killed has spent without anybody's knowing it, and what all may spend
# beyond the budget before they know of each other. One call to the store each time: a thousand
# processes are 500 calls a second.
HAND_IN_SECONDS = 2.0
# Processes of a day that a store tells apart; with one more it forgets who they were, and keeps the
# total. As many as start in a day when something goes badly wrong, at some 50 bytes each.
LIVES_MAX = 1000

_log = structlog.get_logger("upstream")


class BudgetStore(Protocol):
    """Every implementation passes `tests/contract/test_budget_store.py`."""

    async def count(self, life: str, share: Share) -> int:
        """Stores what of this share isn't counted yet, and returns the day's total of its account:
        as `Share.total_with` says. `life`: a process, by a name that no other has. Nothing is
        written for who spent nothing.

        Raises StoreUnavailable: nobody knows then whether it is stored, and it may come again."""


class Budget:
    """`seconds` between two times that the store is told; it is asked at once for the total of a
    tenant that comes for the first time. `failing`: it wasn't told the last time."""

    def __init__(
        self,
        account: Credits,
        store: BudgetStore,
        *,
        seconds: float = HAND_IN_SECONDS,
        tasks: Tasks | None = None,
    ) -> None:
        self._account = account
        self._store = store
        self._seconds = seconds
        self.failing = False
        self._life = secrets.token_hex(8)
        self._wanted = asyncio.Event()
        account.on_new_tenant = self._wanted.set
        self._tasks = tasks or Tasks()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """From here on today's total is known. The store is open before, and closed after. Raises
        StoreUnavailable."""
        await self._hand_in()
        self._task = self._tasks.keep("budget", self._go_on)

    async def close(self) -> None:
        """Hand in the rest. Closing twice is no error."""
        task, self._task = self._task, None
        if task is not None:
            await self._tasks.end(task)
            try:
                await self._hand_in()
            except StoreUnavailable as error:
                _log.error("the last credits can't be stored", error=error.message)

    async def _go_on(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._wanted.wait()
            self._wanted.clear()
            await self._try_to_hand_in()

    async def _try_to_hand_in(self) -> None:
        try:
            await self._hand_in()
        except StoreUnavailable as error:
            if not self.failing:
                _log.error("spent credits can't be stored", error=error.message)
            self.failing = True
        else:
            if self.failing:
                _log.info("spent credits are stored again")
            self.failing = False

    async def _hand_in(self) -> None:
        for share in self._account.shares():
            self._account.count(share, await self._store.count(self._life, share))
