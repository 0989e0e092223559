"""What is left of a SQLite journal when its process is killed."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import appender
import pytest

from wd_server.embedded.journal import SqliteJournal
from wd_server.errors import StoreUnavailable
from wd_server.journal.base import Entry

KILLS = 10
# Lines read before the process is killed: at random, so that it dies anywhere in its work.
MOST_LINES = 120
START_SECONDS = 20


def started(path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, appender.__file__, str(path)], stdout=subprocess.PIPE, text=True
    )


def kill(process: "subprocess.Popen[str]") -> list[str]:
    """SIGKILL it and return what it still had said."""
    process.kill()
    assert process.stdout is not None
    with process.stdout:
        lines = process.stdout.read().splitlines()
    process.wait(START_SECONDS)
    return lines


def returned_before_death(path: Path, lines: int) -> dict[str, int]:
    """The last sequence number an append returned for, by wallet."""
    process = started(path)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(lines)]
    said += kill(process)
    return {wallet: int(seq) for wallet, seq in (line.split() for line in said)}


async def found(path: Path, returned: dict[str, int]) -> None:
    journal = SqliteJournal(path)
    await journal.open()
    for wallet in appender.WALLETS:
        head = await journal.head(wallet)
        if head is None:
            assert wallet not in returned
            continue
        assert head.seq >= returned.get(wallet, 0)
        entries = await journal.read(wallet, head.epoch, 0, 10**6, 10**9)
        assert entries == [
            Entry(seq, "trade", appender.payload(wallet, seq)) for seq in range(1, head.seq + 1)
        ]
        if head.seq:
            checkpoint = await journal.checkpoint(wallet)
            assert checkpoint == appender.checkpoint(wallet, head.seq)
    await journal.close()


def test_after_a_kill_the_journal_is_a_prefix_with_everything_append_returned_for(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    for _ in range(KILLS):
        returned = returned_before_death(path, random.randint(1, MOST_LINES))
        asyncio.run(found(path, returned))


def test_a_second_process_is_refused_by_the_name_of_the_directory_until_the_first_is_killed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    process = started(path)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # it appends, so it has the journal

        async def second() -> None:
            with pytest.raises(StoreUnavailable, match=f"uses the data directory {tmp_path}"):
                await SqliteJournal(path).open()

        asyncio.run(second())
    finally:
        kill(process)
    asyncio.run(found(path, {}))
