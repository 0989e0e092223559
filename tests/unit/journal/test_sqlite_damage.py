"""Whatever bits flip in the file: what is read is what was appended, or the wallet begins anew."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from wd_server.errors import StoreUnavailable
from wd_server.journal.base import Entry, NewEntry
from wd_server.journal.sqlite import SqliteJournal

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
        run = await journal.begin(lease, NOW)
        await journal.append(lease, run, entries_of(wallet, ENTRIES), b"c" * 9000, NOW)
    await journal.close()


async def read(journal: SqliteJournal, wallet: str) -> str:
    """What a reader got, after a new beginning where there had to be one."""
    head = await journal.head(wallet)
    assert head is not None
    found: list[Entry] = []
    while page := await journal.read(wallet, head.run, len(found), 256, 10**9):
        found += page
    assert is_as_appended(wallet, found)
    if len(found) == ENTRIES:
        return "whole"
    lease = await journal.acquire(wallet)
    newer = await journal.head(wallet)
    assert lease is not None
    assert newer is not None
    assert newer.run > head.run
    await journal.append(lease, newer.run, entries_of(wallet, 3), b"", NOW)
    again = await journal.read(wallet, newer.run, 0, 256, 10**9)
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
