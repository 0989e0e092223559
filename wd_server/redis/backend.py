"""Everything that the server stores, in Redis, for any number of nodes."""

import asyncio
from collections.abc import Callable, Sequence

from wd_server.backend import BackendHealth, Figure
from wd_server.config.redis_url import RedisUrl
from wd_server.config.settings import InvalidSettings
from wd_server.errors import StoreUnavailable
from wd_server.redis.budget import RedisBudgetStore
from wd_server.redis.counters import RedisCounters
from wd_server.redis.journal import RedisJournal
from wd_server.redis.keeping import LOOK_SECONDS, KeepingWatch
from wd_server.redis.keys import RedisKeyStore
from wd_server.redis.link import RedisLink
from wd_server.redis.membership import Pace, RedisMembership
from wd_server.secret import Secret
from wd_server.tasks import Tasks

# What a node with Redis can't do without: its streams come from there and not from DATA_DIR.
NEEDED = frozenset({"journal"})


class RedisBackend:
    """`keep_seconds`: how long a wallet is kept after its last event. `clock`, in unix seconds,
    counts requests; None: Redis' own. Raises InvalidSettings (the TLS options of `url`)."""

    def __init__(
        self,
        url: Secret,
        keep_seconds: int,
        tasks: Tasks,
        *,
        pace: Pace = Pace(),  # noqa: B008 - immutable
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._url = url
        self._tasks = tasks
        self.link = link = _link(url, tasks)
        self.membership = RedisMembership(link, pace)
        self.journal = RedisJournal(link, self.membership, keep_seconds)
        self.keys = RedisKeyStore(link)
        self.counters = RedisCounters(link, self.membership, clock=clock)
        self.budget = RedisBudgetStore(link)
        self._keeping = KeepingWatch(link)
        self._opened = False
        self._looking: asyncio.Task[None] | None = None

    @property
    def place(self) -> str:
        hosts = RedisUrl.parse(self._url.reveal()).hosts
        return f"Redis at {', '.join(f'{host}:{port}' for host, port in hosts)}"

    async def open(self) -> None:
        if self._opened:
            raise StoreUnavailable("This backend was opened before; make a new one.")
        self._opened = True
        try:
            await self.link.open()
            await self._keeping.look()
            await self.membership.open()
            await self.journal.open()
        except BaseException:
            await self.close()
            raise
        self._looking = self._tasks.every("redis_keeping", LOOK_SECONDS, self._keeping.look_again)

    async def open_keys(self) -> None:
        try:
            await self.link.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        looking, self._looking = self._looking, None
        await self._tasks.end(looking)
        await self.counters.close()
        await self.journal.close()
        await self.membership.close()
        await self.link.close()

    async def probe(self) -> None:
        """Heartbeats and calls find out by themselves."""

    def health(self) -> BackendHealth:
        kept, answers = self._keeping.latest, self.link.available
        return BackendHealth(
            redis="configured" if answers else "unavailable",
            answers=answers,
            needed=NEEDED,
            may_evict=kept is not None and kept.may_evict,
            details={} if kept is None else {"redis": kept._asdict()},
        )

    def figures(self) -> Sequence[Figure]:
        calls = self.link.statistics()
        return (
            Figure(
                "gauge",
                "redis_available",
                "0 while a server of Redis doesn't answer.",
                self.link.available,
            ),
            Figure("gauge", "redis_calls_waiting", "Calls that aren't sent yet.", calls.waiting),
            Figure("counter", "redis_calls", "Calls to Redis.", calls.calls),
            Figure("counter", "redis_batches", "Groups in which they were sent.", calls.batches),
            Figure("counter", "redis_retries", "Calls that were sent once more.", calls.again),
            Figure("counter", "redis_failures", "Calls that failed.", calls.failures, "kind"),
            Figure(
                "counter", "redis_connections", "Connections that were made.", calls.connections
            ),
            Figure(
                "histogram",
                "redis_call_seconds",
                "One call, with its waiting.",
                calls.call_seconds,
            ),
        )


def _link(url: Secret, tasks: Tasks) -> RedisLink:
    try:
        return RedisLink(url, tasks)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or "wrong format"
        raise InvalidSettings(
            [f"REDIS_URL: a file that its TLS options name can't be used: {reason}."]
        ) from None
