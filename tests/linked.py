"""What is kept in Redis, with a link of its own: a process has one for all of it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from wd_server.redis.budget import RedisBudgetStore
from wd_server.redis.counters import RedisCounters
from wd_server.redis.journal import RedisJournal
from wd_server.redis.keys import RedisAccessStore
from wd_server.redis.link import RedisLink
from wd_server.secret import Secret


class _Linked:
    """`_own` is open as long as this is."""

    _own: RedisLink

    async def open(self) -> None:
        await self._own.open()
        await super().open()  # type: ignore[misc]

    async def close(self) -> None:
        await super().close()  # type: ignore[misc]
        await self._own.close()


class LinkedStore(_Linked, RedisAccessStore):
    def __init__(self, url: Secret) -> None:
        self._own = RedisLink(url)
        super().__init__(self._own)


class LinkedCounters(_Linked, RedisCounters):
    """`heartbeat` and `dead_after` in seconds."""

    def __init__(
        self, url: Secret, clock: Callable[[], float] | None = None, **seconds: float
    ) -> None:
        self._own = RedisLink(url)
        super().__init__(self._own, clock=clock, **seconds)


class LinkedJournal(_Linked, RedisJournal):
    def __init__(self, url: Secret, keep_seconds: int, **seconds: float) -> None:
        self._own = RedisLink(url)
        super().__init__(self._own, keep_seconds, **seconds)


@asynccontextmanager
async def linked_budget_store(url: Secret) -> AsyncIterator[RedisBudgetStore]:
    link = RedisLink(url)
    await link.open()
    try:
        yield RedisBudgetStore(link)
    finally:
        await link.close()
