"""When the store is told what is spent, and what happens while it is away."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from linked import linked_budget_store
from redis_server import RedisServer, redis_server
from structlog.testing import capture_logs

from wd_server.chain.budget import Budget
from wd_server.chain.credits import DAY_SECONDS, Credits, Share
from wd_server.chain.turns import Tenant
from wd_server.embedded import budget as sqlite_budget
from wd_server.embedded.budget import SqliteBudgetStore
from wd_server.errors import StoreUnavailable, UpstreamQuota
from wd_server.redis.budget import KEPT_SECONDS

DAY = 20_783
KEY = "wd:{credits}:2026-11-26"
LIMIT = 100
OFTEN = 0.01
NEVER = 3600.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "credits.db"


def account() -> Credits:
    return Credits(LIMIT, lambda: float(DAY * DAY_SECONDS))


@asynccontextmanager
async def store_at(path: Path) -> AsyncIterator[SqliteBudgetStore]:
    store = SqliteBudgetStore(path)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def stored(path: Path) -> int:
    async with store_at(path) as store:
        return await store.count("who looks", Share(DAY))


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores don't wait for another process that has the file."""
    monkeypatch.setattr(sqlite_budget, "SCHEMA", replace(sqlite_budget.SCHEMA, lock_seconds=0.01))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process has the file."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Nothing tells of what a store has, so this asks again."""
    async with asyncio.timeout(30):
        while True:
            if await is_so():
                return
            await asyncio.sleep(OFTEN)


def test_a_restart_begins_with_what_the_day_has_cost(path: Path) -> None:
    async def life() -> None:
        before, after = account(), account()
        async with store_at(path) as store:
            budget = Budget(before, store, seconds=NEVER)
            await budget.open()
            before.spend("x", LIMIT)
            await budget.close()
            await budget.close()
        async with store_at(path) as store:
            budget = Budget(after, store, seconds=NEVER)
            await budget.open()
            assert (after.today, after.own_today) == (LIMIT, 0)
            with pytest.raises(UpstreamQuota):
                after.check()
            await budget.close()

    asyncio.run(life())


def test_what_one_spends_the_other_hears_of_while_both_run(path: Path) -> None:
    async def life() -> None:
        accounts = [account(), account()]

        async def agreed() -> bool:
            return [each.today for each in accounts] == [3, 3]

        async with store_at(path) as one, store_at(path) as other:
            stores = (one, other)
            budgets = [
                Budget(each, store, seconds=OFTEN)
                for each, store in zip(accounts, stores, strict=True)
            ]
            for budget in budgets:
                await budget.open()
            for number, each in enumerate(accounts, 1):
                each.spend("x", number)
            await until(agreed)
            for budget in budgets:
                await budget.close()
        assert await stored(path) == 3

    asyncio.run(life())


def test_a_store_that_is_away_stops_nothing_and_gets_everything_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)

    async def life() -> None:
        spender, store = account(), SqliteBudgetStore(path)
        budget = Budget(spender, store, seconds=OFTEN)
        await store.open()
        await budget.open()
        with capture_logs() as logs:
            with locked(path):
                spender.spend("x", 60)

                async def logged() -> bool:
                    return bool(logs)

                await until(logged)
                spender.spend("x", 30)
                spender.check_following()
                spender.spend("x", 5)
                with pytest.raises(UpstreamQuota):
                    spender.check_following()

            async def all_stored() -> bool:
                return await stored(path) == 95

            await until(all_stored)
            await budget.close()
            await store.close()
        said = [line["event"] for line in logs]
        assert said == ["spent credits can't be stored", "spent credits are stored again"]
        assert "credits.db" in logs[0]["error"]
        assert str(path.parent) not in logs[0]["error"]
        assert (spender.today, await stored(path)) == (95, 95)

    asyncio.run(life())


def test_an_end_without_the_store_is_logged_and_is_an_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)

    async def life() -> None:
        spender = account()
        async with store_at(path) as store:
            budget = Budget(spender, store, seconds=NEVER)
            await budget.open()
            spender.spend("x", 1)
            with capture_logs() as logs, locked(path):
                await budget.close()
        assert [line["event"] for line in logs] == ["the last credits can't be stored"]

    asyncio.run(life())


def test_a_file_that_cannot_be_used_is_told_at_the_start(tmp_path: Path) -> None:
    async def life(path: Path) -> str:
        async with store_at(path) as store:
            budget = Budget(account(), store)
            with pytest.raises(StoreUnavailable) as refused:
                await budget.open()
            await budget.close()
        return refused.value.message

    (tmp_path / "nonsense").write_bytes(b"nonsense" * 1000)
    assert "not a database" in asyncio.run(life(tmp_path / "nonsense"))
    assert "File exists" in asyncio.run(life(tmp_path / "nonsense" / "credits.db"))


def test_the_file_is_its_owner_s_and_has_two_days_at_most(path: Path) -> None:
    async def life() -> None:
        async with store_at(path) as store:
            for day in range(DAY, DAY + 5):
                await store.count("a", Share(day, 1))

    asyncio.run(life())
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(path)) as connection:
        days = connection.execute("SELECT DISTINCT day FROM spent_by ORDER BY day").fetchall()
    assert days == [(DAY + 3,), (DAY + 4,)]


def test_in_redis_a_day_has_a_key_with_an_end_and_nothing_is_written_for_nothing() -> None:
    async def life(redis: RedisServer) -> None:
        async with linked_budget_store(redis.url) as store:
            assert await store.count("a", Share(DAY)) == 0
            assert redis.call("EXISTS", KEY) == "0"
            assert await store.count("a", Share(DAY, 5)) == 5
            assert 0 < int(redis.call("TTL", KEY)) <= KEPT_SECONDS
            redis.call("EXPIRE", KEY, 10)
            assert await store.count("a", Share(DAY, 5, 5, 5)) == 5
            assert int(redis.call("TTL", KEY)) <= 10  # nothing new, so nothing was written
            assert redis.call("HGET", KEY, "total") == "5"

    with redis_server() as redis:
        asyncio.run(life(redis))


def test_what_redis_did_without_an_answer_counts_once() -> None:
    async def life(redis: RedisServer) -> None:
        async with linked_budget_store(redis.url) as store:
            spender = account()
            budget = Budget(spender, store, seconds=OFTEN)
            await budget.open()
            with capture_logs() as logs, redis.stopped():
                spender.spend("x", 10)

                async def logged() -> bool:
                    return "spent credits can't be stored" in [line["event"] for line in logs]

                await until(logged)
                spender.spend("x", 10)

            async def counted() -> bool:
                return [share.counted for share in spender.shares()] == [20]

            await until(counted)
            await budget.close()
            assert spender.today == 20
            assert redis.call("HGET", KEY, "total") == "20"

    with redis_server() as redis:
        asyncio.run(life(redis))


def test_a_file_of_an_earlier_version_keeps_what_the_day_has_cost(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE spent (day INTEGER, life TEXT, credits INTEGER NOT NULL,"
            " PRIMARY KEY (day, life)) STRICT, WITHOUT ROWID"
        )
        connection.execute("INSERT INTO spent VALUES (?, 'total', 40), (?, 'a', 40)", (DAY, DAY))
        connection.commit()
    assert asyncio.run(stored(path)) == 40
    assert asyncio.run(stored(path)) == 40


def test_a_key_s_credits_are_one_account_for_two_processes_and_after_them(path: Path) -> None:
    tenant = Tenant("key:a", 10)

    async def life() -> None:
        accounts = [Credits(0, lambda: float(DAY * DAY_SECONDS)) for _ in range(3)]
        often = (OFTEN, OFTEN, NEVER)
        stores = [SqliteBudgetStore(path) for _ in accounts]
        budgets = [
            Budget(each, store, seconds=seconds)
            for each, store, seconds in zip(accounts, stores, often, strict=True)
        ]
        for store in stores:
            await store.open()
        for budget in budgets[:2]:
            await budget.open()
        for each in accounts[:2]:
            each.spend("x", 5, tenant)

        async def refused() -> bool:
            return not any(each.may_spend([tenant]) for each in accounts[:2])

        await until(refused)
        for budget in budgets[:2]:
            await budget.close()
        await budgets[2].open()
        assert accounts[2].may_spend([tenant])  # until the store has answered

        async def refused_later() -> bool:
            return not accounts[2].may_spend([tenant])

        await until(refused_later)
        await budgets[2].close()
        for store in stores:
            await store.close()

    asyncio.run(life())


def test_where_nothing_is_limited_no_file_is_made(path: Path) -> None:
    async def life() -> None:
        spender = Credits(0, lambda: float(DAY * DAY_SECONDS))
        async with store_at(path) as store:
            budget = Budget(spender, store, seconds=NEVER)
            await budget.open()
            spender.spend("x", 5)
            await budget.close()

    asyncio.run(life())
    assert not path.exists()
