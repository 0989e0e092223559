"""What is particular to the journal in a SQLite file: the file, its limits and its threads."""

import asyncio
import resource
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from wd_server.embedded import journal_file as sqlite_file
from wd_server.embedded import journal_rows as sqlite_rows
from wd_server.embedded import journal_writer as sqlite_writer
from wd_server.embedded.database import Outcome
from wd_server.embedded.journal import SqliteJournal
from wd_server.errors import StoreUnavailable
from wd_server.journal.base import Head, Lease, NewEntry

WALLET = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
NOW = 1_700_000_000.0
TRADE = NewEntry("trade", b"x" * 900)
SCENARIO_SECONDS = 30


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "journal.db"


def play(path: Path, scenario: Callable[[SqliteJournal], Awaitable[None]]) -> None:
    async def life() -> None:
        journal = SqliteJournal(path)
        await journal.open()
        try:
            async with asyncio.timeout(SCENARIO_SECONDS):
                await scenario(journal)
        finally:
            await journal.close()

    asyncio.run(life())


async def begun(journal: SqliteJournal, wallet: str = WALLET) -> tuple[Lease, int]:
    lease = await journal.acquire(wallet)
    assert lease is not None
    return lease, await journal.begin(lease, NOW)


def refused(path: Path) -> str:
    """The sentence with which open refuses this file."""

    async def attempt() -> str:
        journal = SqliteJournal(path)
        with pytest.raises(StoreUnavailable) as refusal:
            await journal.open()
        await journal.close()
        return str(refusal.value)

    return asyncio.run(attempt())


# The file


def test_opening_makes_the_folder_and_closing_leaves_one_file_without_a_log(path: Path) -> None:
    async def scenario(journal: SqliteJournal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, [TRADE], b"", NOW)
        assert path.with_name("journal.db-wal").exists()
        assert journal.statistics().file_bytes > 0

    play(path, scenario)
    assert {file.name for file in path.parent.iterdir()} == {"journal.db", "journal.db.lock"}


def test_a_second_journal_on_the_file_is_refused_by_the_name_of_the_directory(path: Path) -> None:
    async def scenario(journal: SqliteJournal) -> None:
        with pytest.raises(StoreUnavailable, match=f"uses the data directory {path.parent}"):
            await SqliteJournal(path).open()
        await begun(journal)  # and the first isn't disturbed

    play(path, scenario)
    play(path, scenario)


def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    play(path, lambda journal: asyncio.sleep(0))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    assert "format 99, written by a newer wd-server" in refused(path)
    assert path.read_bytes() == before


def test_an_older_file_is_brought_up_to_date_by_the_migrations_it_lacks(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def first_life(journal: SqliteJournal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, [TRADE], b"kept", NOW)

    async def second_life(journal: SqliteJournal) -> None:
        assert await journal.checkpoint(WALLET) == b"kept"

    play(path, first_life)
    now = len(sqlite_file.MIGRATIONS)

    def migrating(*more: str) -> None:
        schema = replace(sqlite_file.SCHEMA, migrations=(*sqlite_file.MIGRATIONS, *more))
        monkeypatch.setattr(sqlite_file, "SCHEMA", schema)

    migrating("CREATE TABLE one (a) STRICT", "CREATE TABLE two (a INT)")
    refused(path)  # STRICT wants a type: the second migration fails and leaves nothing
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (now,)
    migrating("CREATE TABLE one (a INT)", "CREATE TABLE two (a INT)")
    play(path, second_life)
    play(path, second_life)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (now + 2,)
        connection.execute("SELECT one.a, two.a FROM one, two")


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"somebody's notes " * 1000)
    assert "isn't a journal" in refused(path)
    assert path.read_bytes() == b"somebody's notes " * 1000


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sentence = refused(tmp_path / "file" / "journal.db")
    assert f"data directory {tmp_path / 'file'} can't be used" in sentence


def test_after_a_refusal_no_thread_and_no_lock_is_left(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"somebody's notes " * 1000)
    refused(path)
    path.unlink()
    play(path, lambda journal: asyncio.sleep(0))
    threads = [each for each in threading.enumerate() if each.name.startswith("journal-")]
    for thread in threads:  # they have said goodbye and are on their way out
        thread.join(SCENARIO_SECONDS)
    assert not any(thread.is_alive() for thread in threads)


def test_a_wallet_whose_pages_are_damaged_begins_a_new_epoch_and_others_still_read(
    path: Path,
) -> None:
    async def first_life(journal: SqliteJournal) -> None:
        for wallet in ("one", "two"):
            lease, epoch = await begun(journal, wallet)
            await journal.append(lease, epoch, [TRADE] * 2000, b"", NOW)

    async def second_life(journal: SqliteJournal) -> None:
        before = await journal.head("two")
        assert before is not None
        assert await journal.read("two", before.epoch, 0, 2000, 10**9) == []
        after = await journal.head("two")
        assert after is not None
        assert after.epoch > before.epoch
        lease = await journal.acquire("two")
        assert lease is not None
        head = await journal.append(lease, after.epoch, [TRADE] * 3, b"", NOW)
        assert len(await journal.read("two", head.epoch, 0, 100, 10**9)) == 3
        head = await journal.head("one")
        assert head is not None
        assert len(await journal.read("one", head.epoch, 0, 100, 10**9)) == 100
        assert journal.statistics().failures == 1

    play(path, first_life)
    with path.open("r+b") as file:
        end = path.stat().st_size
        file.seek(end - 100 * sqlite_file.PAGE_BYTES)
        file.write(b"\xff" * 50 * sqlite_file.PAGE_BYTES)
    play(path, second_life)


# Full, locked, slow


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the kernel refuse every write beyond `size` in any file of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def filled(journal: SqliteJournal, lease: Lease, epoch: int) -> Head:
    """Append until the store is full, several at once; the head of what was stored."""
    head = Head(epoch, 0, "")
    error: object = None
    while error is None:
        outcomes = await asyncio.gather(
            *(journal.append(lease, epoch, [TRADE] * 100, b"c" * 5000, NOW) for _ in range(3)),
            return_exceptions=True,
        )
        heads = [outcome for outcome in outcomes if isinstance(outcome, Head)]
        head = max([head, *heads])
        error = next((outcome for outcome in outcomes if not isinstance(outcome, Head)), None)
        assert error is None or isinstance(error, StoreUnavailable), error
    return head


async def whole(journal: SqliteJournal, head: Head) -> bool:
    entries = await journal.read(WALLET, head.epoch, 0, 10**6, 10**9)
    return entries == [(seq, *TRADE) for seq in range(1, head.seq + 1)]


def test_a_full_disk_is_a_clear_error_with_nothing_half_stored_and_passes_with_it(
    path: Path,
) -> None:
    async def scenario(journal: SqliteJournal) -> None:
        lease, epoch = await begun(journal)
        told = [0]
        journal.subscribe(WALLET, lambda epoch, entries: told.append(entries[-1].seq))
        with largest_file(2_000_000):
            head = await filled(journal, lease, epoch)
            assert 0 < head.seq == told[-1]
            assert await journal.head(WALLET) == head
            assert await whole(journal, head)
            with pytest.raises(StoreUnavailable, match=r"refused|full"):
                await journal.append(lease, epoch, [TRADE] * 1000, b"", NOW)
        later = await journal.append(lease, epoch, [TRADE] * 100, b"after", NOW)
        assert later.seq == head.seq + 100
        assert await whole(journal, later)
        assert await journal.checkpoint(WALLET) == b"after"
        assert journal.statistics().failures > 0

    async def next_life(journal: SqliteJournal) -> None:
        head = await journal.head(WALLET)
        assert head is not None
        assert await whole(journal, head)

    play(path, scenario)
    play(path, next_life)


def test_what_is_stored_is_served_though_nothing_can_be_written_from_the_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that is full when the server starts; another program's lock stands in for it."""
    monkeypatch.setattr(sqlite_file, "SCHEMA", replace(sqlite_file.SCHEMA, lock_seconds=0.01))

    async def scenario(journal: SqliteJournal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, [TRADE] * 10, b"", NOW)

    async def next_life(journal: SqliteJournal) -> None:
        head = await journal.head(WALLET)
        assert head is not None
        assert head.seq == 10
        assert await whole(journal, head)

    play(path, scenario)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        play(path, next_life)


def test_a_file_that_may_not_grow_says_the_store_is_full(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = replace(
        sqlite_file.SCHEMA, pragmas=(*sqlite_file.SCHEMA.pragmas, "max_page_count = 100")
    )

    async def scenario(journal: SqliteJournal) -> None:
        lease, epoch = await begun(journal)
        head = await filled(journal, lease, epoch)
        with pytest.raises(StoreUnavailable, match=r"full.*free disk space"):
            await journal.append(lease, epoch, [TRADE] * 1000, b"", NOW)
        # The large one fails, the small one handed in with it is stored.
        outcomes = await asyncio.gather(
            journal.append(lease, epoch, [TRADE] * 1000, b"", NOW),
            journal.append(lease, epoch, [], b"small", NOW),
            return_exceptions=True,
        )
        assert isinstance(outcomes[0], StoreUnavailable)
        assert outcomes[1] == head
        assert await whole(journal, head)
        assert await journal.checkpoint(WALLET) == b"small"

    monkeypatch.setattr(sqlite_file, "SCHEMA", limited)
    play(path, scenario)


def test_a_lock_held_by_another_program_is_a_clear_error_and_passes_with_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "SCHEMA", replace(sqlite_file.SCHEMA, lock_seconds=0.01))
    commits: list[int] = []
    commit = sqlite_writer.commit

    def counted(
        connection: sqlite3.Connection, jobs: list[sqlite_writer.WriteJob]
    ) -> list[Outcome]:
        commits.append(len(jobs))
        return commit(connection, jobs)

    async def scenario(journal: SqliteJournal) -> None:
        lease, epoch = await begun(journal)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="locked by another program"):
                await journal.append(lease, epoch, [TRADE], b"", NOW)
            commits.clear()
            appends = [journal.append(lease, epoch, [TRADE], b"", NOW) for _ in range(30)]
            outcomes = await asyncio.gather(*appends, return_exceptions=True)
            assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
            assert sum(commits) == 30  # none waited for the lock a second time by itself
            assert await journal.head(WALLET) == Head(epoch, 0, "")
        assert (await journal.append(lease, epoch, [TRADE], b"", NOW)).seq == 1

    monkeypatch.setattr(sqlite_writer, "commit", counted)
    play(path, scenario)


def test_a_slow_read_delays_neither_writers_nor_other_readers(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    heads = sqlite_rows.head

    def slow(connection: sqlite3.Connection, wallet: str) -> Head | None:
        if wallet == "slow":
            assert released.wait(SCENARIO_SECONDS)
        return heads(connection, wallet)

    monkeypatch.setattr(sqlite_rows, "head", slow)

    async def scenario(journal: SqliteJournal) -> None:
        lease, epoch = await begun(journal)
        reading = asyncio.ensure_future(journal.head("slow"))
        for seq in range(1, 11):
            assert (await journal.append(lease, epoch, [TRADE], b"", NOW)).seq == seq
            assert len(await journal.read(WALLET, epoch, 0, 100, 10**6)) == seq
        assert not reading.done()
        released.set()
        assert await reading is None

    play(path, scenario)


def test_a_read_that_takes_too_long_says_the_store_is_too_slow(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr("wd_server.embedded.journal.READ_SECONDS", 0.01)
    monkeypatch.setattr(sqlite_rows, "head", lambda *_: released.wait(SCENARIO_SECONDS))

    async def scenario(journal: SqliteJournal) -> None:
        with pytest.raises(StoreUnavailable, match="too slow"):
            await journal.head(WALLET)
        released.set()

    play(path, scenario)


# Group commit


def test_appends_that_wait_for_a_commit_share_the_next_one_and_one_wake_up(path: Path) -> None:
    async def scenario(journal: SqliteJournal) -> None:
        wallets = [await begun(journal, f"wallet{number}") for number in range(40)]
        loop = asyncio.get_running_loop()
        wake_ups = []
        wake = loop.call_soon_threadsafe

        def counted(*args: object, **kwargs: object) -> object:
            wake_ups.append(args)
            return wake(*args, **kwargs)  # type: ignore[arg-type]

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign,assignment]
        await asyncio.gather(
            *(journal.append(lease, epoch, [TRADE], b"", NOW) for lease, epoch in wallets)
        )
        # The first may go alone, since the writer was idle; the others wait for it.
        assert len(wake_ups) < len(wallets) / 2

    play(path, scenario)


# Sweeping


def counts(path: Path) -> tuple[int, int, int]:
    """Entries, dropped journals and free pages in a closed file."""
    with closing(sqlite3.connect(path)) as connection:
        return (
            connection.execute("SELECT count(*) FROM entries").fetchone()[0],
            connection.execute("SELECT count(*) FROM dropped").fetchone()[0],
            connection.execute("PRAGMA freelist_count").fetchone()[0],
        )


@contextmanager
def swept_down_to(entries: int) -> Iterator[tuple[threading.Event, list[bool]]]:
    """An event that is set when a sweep finds nothing to do and this many entries are left, and
    what each sweep returned."""
    swept = threading.Event()
    slices: list[bool] = []
    sweep = sqlite_rows.sweep

    def watched(connection: sqlite3.Connection) -> bool:
        slices.append(sweep(connection))
        left = connection.execute("SELECT count(*) FROM entries").fetchone()[0]
        if not slices[-1] and left == entries:
            swept.set()
        return slices[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_rows, "sweep", watched)
        yield swept, slices


def test_dropped_entries_are_swept_in_slices_and_their_space_is_given_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_rows, "FREE_PAGES_KEPT", 10)

    async def scenario(journal: SqliteJournal) -> None:
        other, other_run = await begun(journal, "other")
        await journal.append(other, other_run, [TRADE] * 600, b"", NOW - 10)
        await journal.release(other)
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, [TRADE] * 1200, b"", NOW)
        epoch = await journal.begin(lease, NOW)
        await journal.append(lease, epoch, [TRADE] * 7, b"", NOW)
        assert await journal.expire(NOW) == 1
        assert await asyncio.to_thread(swept.wait, SCENARIO_SECONDS)
        assert len(await journal.read(WALLET, epoch, 0, 100, 10**6)) == 7

    with swept_down_to(7) as (swept, slices):
        play(path, scenario)
    entries, dropped, free = counts(path)
    assert (entries, dropped) == (7, 0)
    assert free <= 10
    assert slices.count(True) >= 3 + 2  # of 1200 and of 600 entries, 500 at a time


def test_what_a_killed_process_left_to_sweep_is_swept_by_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def first_life(journal: SqliteJournal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, [TRADE] * 1200, b"", NOW)
        await journal.begin(lease, NOW)

    async def second_life(journal: SqliteJournal) -> None:
        assert await asyncio.to_thread(swept.wait, SCENARIO_SECONDS)

    with monkeypatch.context() as unswept:
        unswept.setattr(sqlite_rows, "sweep", lambda connection: False)
        play(path, first_life)
    assert counts(path)[:2] == (1200, 1)
    with swept_down_to(0) as (swept, _):
        play(path, second_life)
    assert counts(path)[:2] == (0, 0)


def test_nobody_but_its_user_may_read_the_journal(tmp_path: Path) -> None:
    async def scene() -> None:
        journal = SqliteJournal(tmp_path / "journal.db")
        await journal.open()
        lease = await journal.acquire("wallet")
        assert lease is not None
        await journal.begin(lease, 1000.0)
        modes = _modes(tmp_path)
        assert set(modes.values()) == {0o600}, modes
        assert "journal.db-wal" in modes
        await journal.close()

    asyncio.run(scene())


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
