"""The access stores and counters that have to keep their contracts.

One joins by a line: a context manager that makes a place to store in and gives a factory, each call
of which makes a store (or counters), not opened yet, on that same place.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from redis_server import redis_server

from wd_server.access.quotas import Counters, LocalCounters
from wd_server.access.redis_counters import RedisCounters
from wd_server.access.redis_store import RedisAccessStore
from wd_server.access.sqlite_store import SqliteAccessStore
from wd_server.access.store import AccessStore

StoreFactory = Callable[[], AccessStore]
CountersFactory = Callable[[], Counters]


@contextmanager
def sqlite_store() -> Iterator[StoreFactory]:
    with TemporaryDirectory() as folder:
        yield lambda: SqliteAccessStore(Path(folder) / "data" / "access.db")


@contextmanager
def redis_store() -> Iterator[StoreFactory]:
    with redis_server() as server:
        yield lambda: RedisAccessStore(server.url)


@contextmanager
def local_counters() -> Iterator[CountersFactory]:
    yield LocalCounters


@contextmanager
def redis_counters() -> Iterator[CountersFactory]:
    with redis_server() as server:
        yield lambda: RedisCounters(server.url)


STORES: dict[str, Callable[[], AbstractContextManager[StoreFactory]]] = {
    "sqlite": sqlite_store,
    "redis": redis_store,
}
COUNTERS: dict[str, Callable[[], AbstractContextManager[CountersFactory]]] = {
    "local": local_counters,
    "redis": redis_counters,
}
