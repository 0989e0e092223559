"""Wallets of the embedded journal that were not written for long are dropped."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from wd_server.embedded.journal import SqliteJournal
from wd_server.journal.base import Entry, Lease, LeaseLost, NewEntry

WALLET = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
NOW = 1_700_000_000.25


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def play(path: Path, scenario: Callable[[SqliteJournal], Awaitable[None]]) -> None:
    async def life() -> None:
        journal = SqliteJournal(path)
        await journal.open()
        try:
            await scenario(journal)
        finally:
            await journal.close()

    asyncio.run(life())


async def begun(journal: SqliteJournal, wallet: str = WALLET) -> tuple[Lease, int]:
    lease = await journal.acquire(wallet)
    assert lease is not None
    return lease, await journal.begin(lease, NOW)


def trades(first: int, last: int) -> list[NewEntry]:
    return [NewEntry("trade", b'{"n":%d}' % number) for number in range(first, last + 1)]


def numbered(first: int, last: int) -> list[Entry]:
    return [Entry(seq, "trade", b'{"n":%d}' % seq) for seq in range(first, last + 1)]


def test_expire_drops_what_was_last_written_before_and_nothing_else(path: Path) -> None:
    async def scenario(journal: SqliteJournal) -> None:
        for number in range(250):
            lease, epoch = await begun(journal, f"old{number}")
            await journal.append(lease, epoch, trades(1, 3), b"", NOW + 10)
            await journal.release(lease)
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, trades(1, 3), b"kept", NOW + 20)
        await journal.release(lease)

        assert await journal.expire(NOW + 10) == 0
        assert await journal.expire(NOW + 20) == 250
        assert await journal.expire(NOW + 20) == 0
        assert await journal.head("old0") is None
        assert await journal.checkpoint("old249") is None
        assert await journal.read(WALLET, epoch, 0, 100_000, 10**9) == numbered(1, 3)
        assert await journal.checkpoint(WALLET) == b"kept"

    play(path, scenario)


def test_a_journal_somebody_holds_a_lease_on_does_not_expire(path: Path) -> None:
    async def scenario(journal: SqliteJournal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, trades(1, 3), b"", NOW)
        assert await journal.expire(NOW + 1) == 0
        assert (await journal.append(lease, epoch, trades(4, 4), b"", NOW)).seq == 4
        await journal.release(lease)
        assert await journal.expire(NOW + 1) == 1

    play(path, scenario)


def test_a_wallet_that_expired_begins_again_greater_and_empty(path: Path) -> None:
    async def scenario(journal: SqliteJournal) -> None:
        lease, earlier = await begun(journal)
        await journal.append(lease, earlier, trades(1, 700), b"", NOW)
        await journal.release(lease)
        assert await journal.expire(NOW + 1) == 1
        again = await journal.acquire(WALLET)
        assert again is not None
        with pytest.raises(LeaseLost):
            await journal.append(again, earlier, trades(701, 701), b"", NOW)
        epoch = await journal.begin(again, NOW + 2)
        assert epoch > earlier
        await journal.append(again, epoch, trades(1, 2), b"", NOW + 2)
        assert await journal.read(WALLET, epoch, 0, 100_000, 10**9) == numbered(1, 2)

    play(path, scenario)
