"""One part of what is kept in Redis, with a link and a membership of its own: a process has one of
each for all of it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from wd_server.redis.budget import RedisBudgetStore
from wd_server.redis.counters import RedisCounters
from wd_server.redis.journal import RedisJournal
from wd_server.redis.keys import RedisKeyStore
from wd_server.redis.link import RedisLink
from wd_server.redis.membership import Pace, RedisMembership
from wd_server.secret import Secret
from wd_server.tasks import Tasks


class LinkedKeys(RedisKeyStore):
    def __init__(self, url: Secret) -> None:
        self._own = RedisLink(url)
        super().__init__(self._own)

    async def open(self) -> None:
        await self._own.open()

    async def close(self) -> None:
        await self._own.close()


class LinkedCounters(RedisCounters):
    """`heartbeat` and `dead_after` in seconds."""

    def __init__(
        self, url: Secret, clock: Callable[[], float] | None = None, **seconds: float
    ) -> None:
        self._own = RedisLink(url, Tasks())
        self._node = RedisMembership(self._own, Pace(**seconds))
        super().__init__(self._own, self._node, clock=clock)

    async def open(self) -> None:
        await self._own.open()
        await self._node.open()

    async def close(self) -> None:
        await super().close()
        await self._node.close()
        await self._own.close()


class LinkedJournal(RedisJournal):
    """`heartbeat` and `dead_after` in seconds."""

    def __init__(self, url: Secret, keep_seconds: int, **seconds: float) -> None:
        self._own = RedisLink(url, Tasks())
        self._node = RedisMembership(self._own, Pace(**seconds))
        super().__init__(self._own, self._node, keep_seconds)

    async def open(self) -> None:
        if self._open is None:
            await self._own.open()
            await self._node.open()
        await super().open()

    async def close(self) -> None:
        await super().close()
        await self._node.close()
        await self._own.close()


@asynccontextmanager
async def linked_budget_store(url: Secret) -> AsyncIterator[RedisBudgetStore]:
    link = RedisLink(url)
    await link.open()
    try:
        yield RedisBudgetStore(link)
    finally:
        await link.close()
