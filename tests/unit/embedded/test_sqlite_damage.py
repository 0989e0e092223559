"""Whatever bits flip in the file: what is read is what was appended, or the wallet begins anew."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from threading import Event

import pytest

from wd_server.embedded.journal import SqliteJournal
from wd_server.errors import StoreUnavailable
from wd_server.events.ids import EVENT_ID_PART_MAX
from wd_server.journal.base import Entry, NewEntry

NOW = 1_700_000_000.0
WALLETS = [f"wallet-{number}" for number in range(8)]
ENTRIES = 200


def entries_of(wallet: str, count: int) -> list[NewEntry]:
    return [
        NewEntry("trade", b'{"wallet":"%b","n":%d,"x":"%b"}' % (wallet.encode(), n, b"x" * 900))
        for n in range(count)
    ]


def is_as_appended(wallet: str, entries: Sequence[Entry]) -> bool:
    wanted = entries_of(wallet, len(entries))
    return [(each.kind, each.payload) for each in entries] == wanted


async def fill(path: Path) -> None:
    journal = SqliteJournal(path)
    await journal.open()
    for wallet in WALLETS:
        lease = await journal.acquire(wallet)
        assert lease is not None
        epoch = await journal.begin(lease, NOW)
        await journal.append(lease, epoch, entries_of(wallet, ENTRIES), b"c" * 9000, NOW)
    await journal.close()


async def read(journal: SqliteJournal, wallet: str) -> str:
    """What a reader got, after a new beginning where there had to be one."""
    head = await journal.head(wallet)
    assert head is not None
    found: list[Entry] = []
    while page := await journal.read(wallet, head.epoch, len(found), 256, 10**9):
        found += page
    assert is_as_appended(wallet, found)
    if len(found) == ENTRIES:
        return "whole"
    lease = await journal.acquire(wallet)
    newer = await journal.head(wallet)
    assert lease is not None
    assert newer is not None
    assert newer.epoch > head.epoch
    await journal.append(lease, newer.epoch, entries_of(wallet, 3), b"", NOW)
    again = await journal.read(wallet, newer.epoch, 0, 256, 10**9)
    assert len(again) == 3
    assert is_as_appended(wallet, again)
    return "begun anew"


async def look(path: Path) -> Counter[str]:
    journal = SqliteJournal(path)
    found: Counter[str] = Counter()
    try:
        await journal.open()
    except StoreUnavailable:
        return Counter({"refused": len(WALLETS)})
    for wallet in WALLETS:
        try:
            found[await read(journal, wallet)] += 1
        except StoreUnavailable:
            found["refused"] += 1
    await journal.close()
    return found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "journal.db"
    asyncio.run(fill(path))
    return path.read_bytes()


@pytest.mark.parametrize(("seed", "flips"), [(seed, 2) for seed in range(12)] + [(12, 500)])
def test_no_flipped_bit_is_ever_served_as_truth(
    tmp_path: Path, file: bytes, seed: int, flips: int
) -> None:
    random, flipped = Random(seed), bytearray(file)
    for _ in range(flips):
        flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
    path = tmp_path / "journal.db"
    path.write_bytes(flipped)
    found = asyncio.run(look(path))
    assert found.total() == len(WALLETS)
    assert found["whole"] < len(WALLETS)
    if flips == 2:
        assert not found["refused"]


async def damaged(path: Path, wallets: int) -> tuple[SqliteJournal, list[int]]:
    """An open journal, of whose first wallet an entry is missing; the wallets' runs."""
    journal = SqliteJournal(path)
    await journal.open()
    epochs = []
    for wallet in WALLETS[:wallets]:
        lease = await journal.acquire(wallet)
        assert lease is not None
        epochs.append(await journal.begin(lease, NOW))
        await journal.append(lease, epochs[-1], entries_of(wallet, 5), b"", NOW)
        await journal.release(lease)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM entries WHERE position = (1 << 32) + 2")
    return journal, epochs


async def give_up_while_expiring(
    tmp_path: Path,
) -> None:
    journal, epochs = await damaged(tmp_path / "journal.db", 5)
    held = Event()
    waiting = journal._write(lambda _: held.wait())  # the writer is busy
    reading = asyncio.create_task(journal.read(WALLETS[0], epochs[0], 0, 100, 10**6))
    expiring = asyncio.create_task(journal.expire(NOW + 1))
    await until_queued(journal, 3)
    held.set()
    await asyncio.gather(waiting, reading, expiring)
    for wallet in WALLETS[:5]:
        assert await journal.acquire(wallet) is not None
    await journal.close()


async def until_queued(journal: SqliteJournal, jobs: int) -> None:
    async with asyncio.timeout(30):
        while journal.statistics().queued < jobs:  # noqa: ASYNC110 - nothing tells of that
            await asyncio.sleep(0)


async def alter_rows(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal, epochs = await damaged(path, 2)
    for nonsense in ("head_kind = CAST(X'E3' AS TEXT)", "run = 1 << 60", "head_seq = -4"):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE wallets SET {nonsense} WHERE address = 'wallet-1'")
        head = await journal.head(WALLETS[1])
        assert head is not None
        assert epochs[1] < head.epoch <= EVENT_ID_PART_MAX
        assert head.seq == 0
    await journal.close()


async def alter_a_kind(tmp_path: Path) -> None:
    """One flipped bit of a row's header makes text of SQLite a blob, whatever STRICT says."""
    path = tmp_path / "journal.db"
    journal, epochs = await damaged(path, 2)
    await journal.close()
    data = path.read_bytes()
    # A header's types: NULL of the key, start, text of 5 bytes, blob; 0x17 is that text.
    place = data.rindex(b"trade" + entries_of(WALLETS[1], 1)[0].payload[:10])
    types = data.rindex(b"\x17", 0, place)
    path.write_bytes(data[:types] + b"\x16" + data[types + 1 :])
    journal = SqliteJournal(path)
    await journal.open()
    entries = await journal.read(WALLETS[1], epochs[1], 0, 100, 10**6)
    assert len(entries) == 5
    assert is_as_appended(WALLETS[1], entries)
    await journal.close()


def test_an_epoch_that_is_given_up_while_journals_expire_keeps_no_lease_from_anybody(
    tmp_path: Path,
) -> None:
    asyncio.run(give_up_while_expiring(tmp_path))


def test_a_wallets_row_that_holds_nonsense_begins_a_new_epoch(
    tmp_path: Path,
) -> None:
    asyncio.run(alter_rows(tmp_path))


def test_an_entry_whose_kind_became_bytes_is_read_as_it_was(
    tmp_path: Path,
) -> None:
    asyncio.run(alter_a_kind(tmp_path))
