"""The backends that have to keep the contract, and what the suite needs to know of each.

A backend joins by a line in BACKENDS: a context manager, made for a fixture's request, that gives
places to store in, an empty one with each call. `pytest tests/contract` then runs everything
against it, and `pytest tests/contract -k <name>` nothing else.
"""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from types import ModuleType
from typing import Final

import pytest
from memory_backend import MemoryBackend, Shelf
from redis_server import RedisCluster, RedisServer, redis_server

from wd_server.backend import Backend
from wd_server.embedded.backend import JOURNAL_FILE, EmbeddedBackend
from wd_server.journal.base import Journal
from wd_server.redis.backend import RedisBackend
from wd_server.redis.membership import Pace
from wd_server.secret import Secret
from wd_server.tasks import Tasks

SCENARIO_SECONDS = 30
# Longer than a test.
KEEP_SECONDS = 600
# Nodes that find each other dead within a test; far enough apart for a slow machine.
QUICK = Pace(heartbeat=0.1, dead_after=1.0)
NODE = Path(__file__).with_name("node.py")

Clock = Callable[[], float]


@dataclass(frozen=True)
class Place:
    """One store, on which any number of backends are made, at once or one after the other.

    make: a backend, not opened yet; requests are counted by the clock that is handed in
    make_unreachable: a backend whose store isn't there
    away: the store can't be used meanwhile
    node: where several nodes may share it, a command that runs one of them until it is killed
        (node.py), and what makes its peers, which find it dead soon
    """

    make: Callable[[Clock], Backend]
    make_unreachable: Callable[[], Backend]
    away: Callable[[], AbstractContextManager[None]] | None = None
    node: tuple[Sequence[str], Callable[[], Backend]] | None = None


Places = Callable[[], Place]
Play = Callable[[Callable[[Journal], Awaitable[None]]], None]


def replace_in_all(
    monkeypatch: pytest.MonkeyPatch, home: ModuleType, name: str, instead: object
) -> None:
    """Something that `home` defines, also wherever it was imported: the backends' own modules."""
    original = getattr(home, name)
    for module in tuple(sys.modules.values()):
        if vars(module).get(name) is original:
            monkeypatch.setattr(module, name, instead)


@asynccontextmanager
async def opened(place: Place, clock: Clock = monotonic) -> AsyncIterator[Backend]:
    """A life of a process that has a backend on this place."""
    backend = place.make(clock)
    await backend.open()
    try:
        async with asyncio.timeout(SCENARIO_SECONDS):
            yield backend
    finally:
        await backend.close()


@contextmanager
def embedded(_: pytest.FixtureRequest) -> Iterator[Places]:
    with TemporaryDirectory() as root:
        numbers = count()

        def place() -> Place:
            folder = Path(root) / str(next(numbers)) / "data"

            def unreachable() -> Backend:
                folder.parent.mkdir(exist_ok=True)
                (folder.parent / "file").touch()
                return EmbeddedBackend(folder.parent / "file", KEEP_SECONDS, Tasks())

            return Place(
                lambda clock: _embedded_in(folder, clock),
                unreachable,
                lambda: _locked(folder / JOURNAL_FILE),
            )

        yield place


def _embedded_in(folder: Path, clock: Clock) -> EmbeddedBackend:
    """The tests write at a time that is long ago, and nothing of it has to expire."""
    return EmbeddedBackend(folder, KEEP_SECONDS, Tasks(), clock=lambda: 0.0, monotonic=clock)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Another program has the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def memory(_: pytest.FixtureRequest) -> Iterator[Places]:
    def place() -> Place:
        shelf = Shelf()

        @contextmanager
        def away() -> Iterator[None]:
            shelf.away = True
            yield
            shelf.away = False

        return Place(
            lambda clock: MemoryBackend(shelf, clock),
            lambda: MemoryBackend(Shelf(away=True)),
            away,
        )

    yield place


@contextmanager
def redis(_: pytest.FixtureRequest) -> Iterator[Places]:
    with redis_server() as server:
        yield lambda: _in_redis(server.url, [server], server.stopped)


@contextmanager
def cluster(request: pytest.FixtureRequest) -> Iterator[Places]:
    servers: RedisCluster = request.getfixturevalue("_session_cluster")
    primaries = servers.primaries()
    yield lambda: _in_redis(servers.url, primaries)


def _in_redis(
    url: Secret,
    servers: Sequence[RedisServer],
    away: Callable[[], AbstractContextManager[None]] | None = None,
) -> Place:
    for server in servers:
        server.call("FLUSHALL")
    command = [sys.executable, str(NODE), url.reveal(), *map(str, QUICK)]
    return Place(
        lambda clock: RedisBackend(url, KEEP_SECONDS, Tasks(), clock=clock),
        lambda: RedisBackend(Secret("redis://127.0.0.1:1/"), KEEP_SECONDS, Tasks()),
        away,
        (command, lambda: RedisBackend(url, KEEP_SECONDS, Tasks(), pace=QUICK)),
    )


BACKENDS: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[Places]]] = {
    "embedded": embedded,
    "memory": memory,
    "redis": redis,
    "cluster": cluster,
}
# Those that several nodes may share.
SHARED: Final = ("redis", "cluster")
# Those whose store outlives a process and is for one process at a time: they refuse a second one.
ALONE: Final = ("embedded",)
# Those that store below DATA_DIR, and so can't do without its disk.
ON_DISK: Final = ("embedded",)
# Those that the suite can take away for a while. A primary of a Cluster that goes is replaced,
# which the tests of the link are about.
REMOVABLE: Final = ("embedded", "memory", "redis")
