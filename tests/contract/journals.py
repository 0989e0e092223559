"""The journals that have to keep the contract.

A journal joins by a line in JOURNALS: a context manager that gives places to store in, an empty one
with each call. A place is a factory, each call of which makes a journal, not opened yet, on it.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from redis_server import RedisServer, redis_cluster, redis_server

from wd_server.journal.base import Journal
from wd_server.journal.redis import RedisJournal
from wd_server.journal.sqlite import SqliteJournal
from wd_server.redis_link import RedisLink
from wd_server.secret import Secret

# Longer than a test.
KEEP_SECONDS = 600

JournalFactory = Callable[[], Journal]
Places = Callable[[], JournalFactory]
Scenario = Callable[[Journal], Awaitable[None]]
Play = Callable[[Scenario], None]


@contextmanager
def sqlite_places() -> Iterator[Places]:
    with TemporaryDirectory() as folder:
        numbers = count()

        def place() -> JournalFactory:
            path = Path(folder) / str(next(numbers)) / "journal.db"
            return lambda: SqliteJournal(path)

        yield place


class LinkedJournal(RedisJournal):
    """With a link of its own, which lives as long."""

    def __init__(self, url: Secret) -> None:
        self._own_link = RedisLink(url)
        super().__init__(self._own_link, KEEP_SECONDS)

    async def open(self) -> None:
        await self._own_link.open()
        await super().open()

    async def close(self) -> None:
        await super().close()
        await self._own_link.close()


@contextmanager
def redis_places() -> Iterator[Places]:
    with redis_server() as server:
        yield lambda: _emptied(server.url, [server])


@contextmanager
def cluster_places() -> Iterator[Places]:
    with redis_cluster() as cluster:
        primaries = cluster.primaries()
        yield lambda: _emptied(cluster.url, primaries)


def _emptied(url: Secret, servers: Sequence[RedisServer]) -> JournalFactory:
    for server in servers:
        server.call("FLUSHALL")
    return lambda: LinkedJournal(url)


JOURNALS: dict[str, Callable[[], AbstractContextManager[Places]]] = {
    "sqlite": sqlite_places,
    "redis": redis_places,
    "cluster": cluster_places,
}
