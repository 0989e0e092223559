"""A journal serves no epoch whose entries were lost or altered: it gives it up for a new one."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from backends import KEEP_SECONDS
from linked import LinkedJournal
from redis import Redis
from redis_server import redis_server
from test_journal import EVERYTHING, NOW, WALLET, begun, numbered, trades

from wd_server.embedded.journal import SqliteJournal
from wd_server.journal.base import Entry, Journal, LeaseLost
from wd_server.journal.integrity import checksum

SCENARIO_SECONDS = 30
ENTRIES = 600

# What may happen to a store: some entries are gone, or one is another.
KINDS = ("first", "middle", "last", "all", "payload", "kind", "checksum")


class Store(NamedTuple):
    """`damage` does one of KINDS to the wallet's current epoch; `age` takes the checksums away, as
    wd-server 0.1.0 stored entries."""

    journal: Callable[[], SqliteJournal | LinkedJournal]
    damage: Callable[[str], None]
    age: Callable[[], None]


@contextmanager
def sqlite_store(folder: Path) -> Iterator[Store]:
    path = folder / "journal.db"

    def change(statement: str) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            assert connection.execute(statement).rowcount > 0

    def damage(kind: str) -> None:
        seq = "(position & 0xffffffff)"
        change(
            {
                "first": f"DELETE FROM entries WHERE {seq} = 1",
                "middle": f"DELETE FROM entries WHERE {seq} BETWEEN 300 AND 301",
                "last": f"DELETE FROM entries WHERE {seq} = {ENTRIES}",
                "all": "DELETE FROM entries WHERE true",
                "payload": "UPDATE entries SET payload = CAST('{\"n\":9}' AS BLOB)"
                f" WHERE {seq} = 300",
                "kind": f"UPDATE entries SET kind = 'retract' WHERE {seq} = 300",
                "checksum": f"UPDATE entries SET checksum = 1 WHERE {seq} = 300",
            }[kind]
        )

    yield Store(
        lambda: SqliteJournal(path), damage, lambda: change("UPDATE entries SET checksum = NULL")
    )


@contextmanager
def redis_store(_: Path) -> Iterator[Store]:
    with redis_server() as server, Redis.from_url(server.url.reveal()) as redis:
        key = f"wd:{{{WALLET}}}:log"

        def entries() -> list[tuple[bytes, list[bytes]]]:
            found = redis.xrange(key)
            return [
                (each, [part for pair in fields.items() for part in pair]) for each, fields in found
            ]

        def rewrite(change: Callable[[int, list[bytes]], list[bytes]]) -> None:
            stored = entries()
            redis.delete(key)
            for seq, (stream_id, fields) in enumerate(stored, 1):
                redis.execute_command("XADD", key, stream_id, *change(seq, fields))

        def damage(kind: str) -> None:
            gone = {"first": (0, 1), "middle": (299, 301), "last": (ENTRIES - 1, ENTRIES)}
            field = {"kind": 1, "payload": 3, "checksum": 5}
            if kind == "all":
                redis.delete(key)
            elif kind in gone:
                redis.xdel(key, *(each[0] for each in entries()[slice(*gone[kind])]))
            else:
                at = field[kind]
                rewrite(
                    lambda seq, fields: (
                        [*fields[:at], b"9", *fields[at + 1 :]] if seq == 300 else fields
                    )
                )

        yield Store(
            lambda: LinkedJournal(server.url, KEEP_SECONDS),
            damage,
            lambda: rewrite(lambda _, fields: fields[:4]),
        )


@pytest.fixture(params=[sqlite_store, redis_store])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with request.param(tmp_path) as made:
        yield made


def play(store: Store, scenario: Callable[[Journal], Awaitable[None]]) -> None:
    async def life() -> None:
        journal = store.journal()
        await journal.open()
        try:
            async with asyncio.timeout(SCENARIO_SECONDS):
                await scenario(journal)
        finally:
            await journal.close()

    asyncio.run(life())


async def read_all(journal: Journal, epoch: int, page: int = 256) -> list[Entry]:
    """As a stream does: page after page, until there is none."""
    entries: list[Entry] = []
    while found := await journal.read(WALLET, epoch, len(entries), page, 10**9):
        entries += found
    return entries


class Waiting:
    """A line's listener that knows when it was told to read the wallet."""

    def __init__(self) -> None:
        self.vacant = asyncio.Event()

    def on_notice(self, notice: bytes) -> None: ...

    def on_vacant(self) -> None:
        self.vacant.set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_epoch_is_given_up_and_a_greater_one_begins(store: Store, kind: str) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, trades(1, ENTRIES), b"", NOW)
        listener = Waiting()
        journal.topic(WALLET, listener)
        await journal.head(WALLET)  # it is heard from then on
        store.damage(kind)
        assert len(await read_all(journal, epoch)) < ENTRIES
        await listener.vacant.wait()
        assert journal.statistics().damaged == 1
        assert await journal.read(WALLET, epoch, 0, **EVERYTHING) == []
        with pytest.raises(LeaseLost):
            await journal.append(lease, epoch, trades(1, 1), b"", NOW)
        newer = await journal.acquire(WALLET)
        assert newer is not None
        again = await journal.begin(newer, NOW)
        assert again > epoch
        await journal.append(newer, again, trades(1, 3), b"", NOW)
        assert await read_all(journal, again) == numbered(1, 3)

    play(store, scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_that_several_find_at_once_costs_one_epoch(store: Store, kind: str) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, trades(1, ENTRIES), b"", NOW)
        await journal.release(lease)
        store.damage(kind)
        found = await asyncio.gather(*(read_all(journal, epoch) for _ in range(5)))
        assert all(len(each) < ENTRIES for each in found)
        lease, again = await begun(journal)
        await journal.append(lease, again, trades(1, 1), b"", NOW)
        assert await journal.read(WALLET, epoch, 0, **EVERYTHING) == []
        assert await read_all(journal, again) == numbered(1, 1)
        await journal.renew(lease)

    play(store, scenario)


def test_entries_of_the_release_before_have_no_checksum_and_are_read(store: Store) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, trades(1, ENTRIES), b"", NOW)
        store.age()
        await journal.append(lease, epoch, trades(ENTRIES + 1, ENTRIES + 2), b"", NOW)
        assert await read_all(journal, epoch) == numbered(1, ENTRIES + 2)

    play(store, scenario)


@pytest.mark.parametrize("page", [1, 7, 256, 257, 1000])
def test_pages_of_any_size_of_a_whole_epoch_are_no_damage(store: Store, page: int) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, trades(1, ENTRIES), b"", NOW)
        assert await read_all(journal, epoch, page) == numbered(1, ENTRIES)

    play(store, scenario)


def test_another_bit_is_another_checksum() -> None:
    kind, payload = "trade", bytes(range(64))
    right = checksum(kind, payload)
    for bit in range(len(payload) * 8):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        assert checksum(kind, bytes(flipped)) != right
    assert checksum("retract", payload) != right
