"""The journals that have to keep the contract.

A journal joins by a line in JOURNALS: a context manager, made for a fixture's request, that gives
places to store in, an empty one with each call. A place is a factory, each call of which makes a
journal, not opened yet, on it.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from linked import LinkedJournal
from redis_server import RedisCluster, RedisServer, redis_server

from wd_server.embedded.journal import SqliteJournal
from wd_server.journal.base import Journal
from wd_server.secret import Secret

# Longer than a test.
KEEP_SECONDS = 600

JournalFactory = Callable[[], Journal]
Places = Callable[[], JournalFactory]
Scenario = Callable[[Journal], Awaitable[None]]
Play = Callable[[Scenario], None]


@contextmanager
def sqlite_places(_: pytest.FixtureRequest) -> Iterator[Places]:
    with TemporaryDirectory() as folder:
        numbers = count()

        def place() -> JournalFactory:
            path = Path(folder) / str(next(numbers)) / "journal.db"
            return lambda: SqliteJournal(path)

        yield place


@contextmanager
def redis_places(_: pytest.FixtureRequest) -> Iterator[Places]:
    with redis_server() as server:
        yield lambda: _emptied(server.url, [server])


@contextmanager
def cluster_places(request: pytest.FixtureRequest) -> Iterator[Places]:
    cluster: RedisCluster = request.getfixturevalue("_session_cluster")
    primaries = cluster.primaries()
    yield lambda: _emptied(cluster.url, primaries)


def _emptied(url: Secret, servers: Sequence[RedisServer]) -> JournalFactory:
    for server in servers:
        server.call("FLUSHALL")
    return lambda: LinkedJournal(url, KEEP_SECONDS)


JOURNALS: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[Places]]] = {
    "sqlite": sqlite_places,
    "redis": redis_places,
    "cluster": cluster_places,
}
