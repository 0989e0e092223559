"""The access stores and counters that have to keep their contracts.

One joins by a line: a context manager that makes a place to store in for a test's request and gives
a factory, each call of which makes a store (or counters), not opened yet, on that same place.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from linked import LinkedCounters, LinkedStore
from redis_server import redis_server

from wd_server.access.quotas import Counters, LocalCounters
from wd_server.access.store import AccessStore
from wd_server.embedded.keys import SqliteAccessStore

StoreFactory = Callable[[], AccessStore]
CountersFactory = Callable[[Callable[[], float]], Counters]
"""Takes the clock by which requests are counted."""


@contextmanager
def sqlite_store(_: pytest.FixtureRequest) -> Iterator[StoreFactory]:
    with TemporaryDirectory() as folder:
        yield lambda: SqliteAccessStore(Path(folder) / "data" / "access.db")


@contextmanager
def redis_store(_: pytest.FixtureRequest) -> Iterator[StoreFactory]:
    with redis_server() as server:
        yield lambda: LinkedStore(server.url)


@contextmanager
def redis_cluster_store(request: pytest.FixtureRequest) -> Iterator[StoreFactory]:
    cluster = request.getfixturevalue("empty_cluster")
    yield lambda: LinkedStore(cluster.url)


@contextmanager
def local_counters(_: pytest.FixtureRequest) -> Iterator[CountersFactory]:
    yield LocalCounters


@contextmanager
def redis_counters(_: pytest.FixtureRequest) -> Iterator[CountersFactory]:
    with redis_server() as server:
        yield lambda clock: LinkedCounters(server.url, clock=clock)


@contextmanager
def redis_cluster_counters(request: pytest.FixtureRequest) -> Iterator[CountersFactory]:
    cluster = request.getfixturevalue("empty_cluster")
    yield lambda clock: LinkedCounters(cluster.url, clock=clock)


STORES: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[StoreFactory]]] = {
    "sqlite": sqlite_store,
    "redis": redis_store,
    "redis cluster": redis_cluster_store,
}
COUNTERS: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[CountersFactory]]] = {
    "local": local_counters,
    "redis": redis_counters,
    "redis cluster": redis_cluster_counters,
}
