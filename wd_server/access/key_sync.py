"""Keeps the key index as the store is: a task reads what changed, once a second and when asked."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic

import structlog

from wd_server.access.key_index import KeyIndex
from wd_server.access.store import STORE_SECONDS, Exchange, KeyStore
from wd_server.errors import StoreUnavailable
from wd_server.tasks import Tasks

# Between two refreshes. A revoked key is refused after this and one read of the store.
REFRESH_SECONDS = 1.0
# An unknown key may have been made just now, so it asks for a refresh at once; refreshes are never
# closer together than this, however many wrong keys come.
REFRESH_LEAST_SECONDS = 0.1
# Requests that wait for such a refresh; more of them are answered without one.
WAITING_MAX = 1000
# Less than the 5 seconds within which a revoked key has to be refused everywhere.
STALE_SECONDS = 4.0

# Ids of keys in one line of the log.
SHOWN_MAX = 10

_log = structlog.get_logger("access")


class KeySync:
    """`tick` is called before and after each refresh, at least every two seconds. `failing`: the
    store couldn't be read or written the last time."""

    def __init__(
        self,
        store: KeyStore,
        key_index: KeyIndex,
        tick: Callable[[], Awaitable[None]],
        tasks: Tasks,
    ) -> None:
        self._store = store
        self._key_index = key_index
        self._tick = tick
        self._tasks = tasks
        self._seen_at: float | None = None
        self.failing = False
        self._waiting = 0
        self._upgrades: dict[str, Exchange] = {}
        self._wanted = asyncio.Event()
        self._next: asyncio.Future[bool] | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises StoreUnavailable."""
        await self._read()
        self._next = asyncio.get_running_loop().create_future()
        self._task = self._tasks.keep("keys", self._run)

    async def close(self) -> None:
        """Closing twice is no error."""
        task, self._task = self._task, None
        await self._tasks.end(task)
        if self._next is not None and not self._next.done():
            self._next.set_result(False)

    @property
    def is_stale(self) -> bool:
        """What was revoked lately isn't known here."""
        return self._seen_at is None or monotonic() - self._seen_at > STALE_SECONDS

    async def refresh(self) -> bool:
        """Wait for a refresh that begins after this call. False, at once, if too many wait already.
        Raises StoreUnavailable."""
        if self._waiting >= WAITING_MAX or self._next is None:
            return False
        self._wanted.set()
        self._waiting += 1
        try:
            async with asyncio.timeout(REFRESH_SECONDS + STORE_SECONDS):
                seen = await asyncio.shield(self._next)
        except TimeoutError:
            seen = False
        finally:
            self._waiting -= 1
        if not seen:
            raise StoreUnavailable("Keys can't be checked now. Try again.", retry_after=1)
        return True

    def upgrade(self, exchange: Exchange) -> None:
        """Store this with the next refresh. There is one a key at most."""
        self._upgrades[exchange.id] = exchange

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        # The condition ends it also where a store swallows the cancellation.
        while self._task is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._wanted.wait()
            self._wanted.clear()
            told, self._next = self._next, loop.create_future()
            await self._tick()
            seen = await self._refresh()
            if told is not None and not told.done():
                told.set_result(seen)
            await self._tick()
            await asyncio.sleep(REFRESH_LEAST_SECONDS)

    async def _refresh(self) -> bool:
        try:
            await self._read()
            await self._store_upgrades()
        except StoreUnavailable as error:
            if not self.failing:
                _log.error("keys can't be read", error=error.message, cause=repr(error.__cause__))
            self.failing = True
            return False
        if self.failing:
            _log.info("keys can be read again")
        self.failing = False
        return True

    async def _read(self) -> None:
        asked = monotonic()
        changes = None
        if self._seen_at is not None:
            changes = await self._store.changes(self._key_index.generation)
        if changes is None:
            snapshot = await self._store.snapshot()
            unreadable = snapshot.unreadable
            self._key_index.load(snapshot)
        else:
            unreadable = changes.unreadable
            self._key_index.apply(changes)
        if unreadable:
            shown = unreadable[:SHOWN_MAX]
            _log.error("keys can't be read and are refused", count=len(unreadable), ids=shown)
        self._seen_at = asked

    async def _store_upgrades(self) -> None:
        upgrades, self._upgrades = self._upgrades, {}
        for exchange in upgrades.values():
            # Not stored if somebody changed the key meanwhile: its next use tries again.
            await self._store.exchange([exchange])
