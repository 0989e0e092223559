"""The budget stores that have to keep their contract.

One joins by a line: a context manager that makes a place to store in for a test's request and gives
a factory, each call of which opens a store on that same place.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from linked import linked_budget_store
from redis_server import redis_server

from wd_server.chain.budget import BudgetStore
from wd_server.embedded.budget import SqliteBudgetStore

Opened = AbstractAsyncContextManager[BudgetStore]
StoreFactory = Callable[[], Opened]


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[BudgetStore]:
    store = SqliteBudgetStore(path)
    try:
        yield store
    finally:
        await store.close()
        await store.close()


@contextmanager
def sqlite_store(_: pytest.FixtureRequest) -> Iterator[StoreFactory]:
    with TemporaryDirectory() as folder:
        yield lambda: _opened(Path(folder) / "data" / "credits.db")


@contextmanager
def redis_store(_: pytest.FixtureRequest) -> Iterator[StoreFactory]:
    with redis_server() as server:
        yield lambda: linked_budget_store(server.url)


@contextmanager
def redis_cluster_store(request: pytest.FixtureRequest) -> Iterator[StoreFactory]:
    cluster = request.getfixturevalue("empty_cluster")
    yield lambda: linked_budget_store(cluster.url)


STORES: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[StoreFactory]]] = {
    "sqlite": sqlite_store,
    "redis": redis_store,
    "redis cluster": redis_cluster_store,
}
