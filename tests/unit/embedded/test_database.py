"""SQLite away from the event loop: deadlines, errors, migrations, and what is left at the end."""

import asyncio
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from wd_server.embedded import database as database_module
from wd_server.embedded.database import Database, Schema, Wording, connected, open_file
from wd_server.errors import StoreUnavailable

SCENARIO_SECONDS = 30
WORDING = Wording(
    place="no place at {path}: {reason}",
    newer="format {found}, known {known}",
    slow="slow",
    closed="closed",
    failed="failed: {reason}",
    sentences={sqlite3.SQLITE_BUSY: "busy"},
)
SCHEMA = Schema(WORDING, ("CREATE TABLE one (a INT)", "CREATE TABLE two (b INT)"), (), 0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "a.db"


@asynccontextmanager
async def opened(
    path: Path, *, seconds: float = SCENARIO_SECONDS, lasting: bool = True
) -> AsyncIterator[Database]:
    connect = partial(connected, path, SCHEMA)
    database = Database("test-database", connect, WORDING, seconds=seconds, lasting=lasting)
    await database.open()
    try:
        yield database
    finally:
        await database.close()
        await database.close()


def insert(connection: sqlite3.Connection) -> int | None:
    return connection.execute("INSERT INTO one VALUES (1)").lastrowid


def test_work_runs_on_a_thread_in_the_order_it_was_handed_in(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as database:
            assert await asyncio.gather(*(database.run(insert) for _ in range(50))) == [
                *range(1, 51)
            ]
            name = await database.run(lambda _: threading.current_thread().name)
            assert name == "test-database-1"

    asyncio.run(scenario())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    threads = [each for each in threading.enumerate() if each.name.startswith("test-database")]
    for thread in threads:  # they have said goodbye and are on their way out
        thread.join(SCENARIO_SECONDS)
    assert not any(thread.is_alive() for thread in threads)


def test_work_that_takes_longer_than_its_deadline_is_waited_for_no_more_and_is_done(
    path: Path,
) -> None:
    released = threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        assert released.wait(SCENARIO_SECONDS)
        insert(connection)

    async def scenario() -> None:
        async with opened(path, seconds=0.1) as database:
            with pytest.raises(StoreUnavailable, match="slow"):
                await database.run(slow)
            released.set()
            while await _rows(database) != 1:
                pass

    asyncio.run(scenario())


def test_work_that_has_not_begun_by_its_deadline_never_begins(path: Path) -> None:
    """As many as a disk that hangs for minutes keeps from their turn."""
    released = threading.Event()

    async def scenario() -> None:
        async with opened(path, seconds=0.1) as database:
            hanging = asyncio.ensure_future(database.run(lambda _: released.wait(SCENARIO_SECONDS)))
            await asyncio.sleep(0)
            for _ in range(3):
                with pytest.raises(StoreUnavailable, match="slow"):
                    await database.run(insert)
            with pytest.raises(StoreUnavailable, match="slow"):
                await hanging
            released.set()
            assert await _rows(database) == 0

    asyncio.run(scenario())


def test_no_more_wait_for_a_disk_that_hangs_than_there_may_be(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "WAITING_MAX", 2)
    released = threading.Event()

    async def scenario() -> None:
        async with opened(path) as database:
            begun = threading.Event()

            def hang(_: sqlite3.Connection) -> None:
                begun.set()
                assert released.wait(SCENARIO_SECONDS)

            hanging = asyncio.ensure_future(database.run(hang))
            await asyncio.to_thread(begun.wait, SCENARIO_SECONDS)
            waiting = [asyncio.ensure_future(database.run(insert)) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(StoreUnavailable, match="slow"):
                await database.run(insert)
            released.set()
            await hanging
            assert await asyncio.gather(*waiting) == [1, 2]

    asyncio.run(scenario())


def test_a_disk_that_hangs_while_the_file_is_opened_is_waited_for_no_longer_than_for_a_call() -> (
    None
):
    released = threading.Event()

    @contextmanager
    def hang() -> Iterator[sqlite3.Connection]:
        assert released.wait(SCENARIO_SECONDS)
        with closing(sqlite3.connect(":memory:")) as connection:
            yield connection

    async def scenario() -> None:
        database = Database("test-database", hang, WORDING, seconds=0.1)
        async with asyncio.timeout(SCENARIO_SECONDS / 2):
            with pytest.raises(StoreUnavailable, match="slow"):
                await database.open()

    try:
        asyncio.run(scenario())
    finally:
        released.set()


async def _rows(database: Database) -> int:
    def count(connection: sqlite3.Connection) -> int:
        (rows,) = connection.execute("SELECT count(*) FROM one").fetchone()
        return int(rows)

    return await database.run(count)


def test_errors_of_sqlite_are_said_in_the_words_of_the_file_and_bugs_stay_bugs(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as database:
            with pytest.raises(StoreUnavailable, match="failed: no such table: three") as failed:
                await database.run(lambda connection: connection.execute("SELECT * FROM three"))
            assert isinstance(failed.value.__cause__, sqlite3.Error)
            with sqlite3.connect(path) as other:
                other.execute("BEGIN EXCLUSIVE")
                with pytest.raises(StoreUnavailable, match="busy"):
                    await database.run(insert)
            other.close()
            with pytest.raises(ZeroDivisionError):
                await database.run(lambda _: 1 // 0)
            assert await database.run(insert) == 1
        with pytest.raises(StoreUnavailable, match="closed"):
            await database.run(insert)

    asyncio.run(scenario())


def test_a_file_that_cannot_be_made_is_said_when_the_database_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    async def scenario() -> None:
        with pytest.raises(StoreUnavailable, match="no place at"):
            async with opened(tmp_path / "file" / "a.db"):
                pass

    asyncio.run(scenario())


def test_a_file_is_migrated_once_and_one_of_a_newer_version_is_refused(path: Path) -> None:
    for _ in range(2):
        with connected(path, SCHEMA) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (2,)
            connection.execute("SELECT * FROM one, two")
    with connected(path, SCHEMA) as connection:
        connection.execute("PRAGMA user_version = 3")
    with (
        pytest.raises(StoreUnavailable, match="format 3, known 2"),
        connected(path, SCHEMA),
    ):
        pass


def test_a_connection_for_each_call_finds_a_file_that_was_removed_meanwhile_made_anew(
    path: Path,
) -> None:
    async def scenario() -> None:
        async with opened(path, lasting=False) as database:
            assert await database.run(insert) == 1
            await asyncio.to_thread(path.unlink)
            assert await database.run(insert) == 1

    asyncio.run(scenario())


def test_an_open_file_is_its_owner_s_whatever_the_umask(path: Path) -> None:
    open_file(path, WORDING).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
