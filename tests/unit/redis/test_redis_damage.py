"""What Redis lost or altered is told to nobody, whichever way it is heard of."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from linked import LinkedJournal
from redis import Redis
from redis_server import RedisServer, redis_server

from wd_server.errors import WrittenByNewer
from wd_server.journal.base import Entry, NewEntry
from wd_server.redis import journal as stored
from wd_server.redis import journal_scripts as scripts

KEEP_SECONDS = 600
PATIENCE = 30
WALLET = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
HEAD, LOG = scripts.keys(WALLET)
NOW = 1_700_000_000.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as started:
        yield started


@pytest.fixture
def redis(server: RedisServer) -> Iterator["Redis"]:
    with Redis.from_url(server.url.reveal()) as client:
        client.flushall()
        yield client


@asynccontextmanager
async def nodes(server: RedisServer, count: int) -> AsyncIterator[list[LinkedJournal]]:
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE):
        opened = []
        for _ in range(count):
            journal = LinkedJournal(server.url, KEEP_SECONDS)
            await journal.open()
            stack.push_async_callback(journal.close)
            opened.append(journal)
        yield opened


def trades(count: int) -> list[NewEntry]:
    return [NewEntry("trade", b'{"n":%d}' % n) for n in range(1, count + 1)]


async def written(journal: LinkedJournal, now: float = NOW) -> int:
    lease = await journal.acquire(WALLET)
    assert lease is not None
    epoch = await journal.begin(lease, now)
    await journal.append(lease, epoch, trades(5), b"so far", now)
    await journal.release(lease)
    return epoch


def alter_newest(redis: "Redis") -> None:
    entries = redis.xrange(LOG)
    redis.delete(LOG)
    for stream_id, fields in entries[:-1]:
        redis.xadd(LOG, fields, id=stream_id)
    stream_id, fields = entries[-1]
    redis.xadd(LOG, {**fields, b"p": b'{"n":666}'}, id=stream_id)


def delete_newest(redis: "Redis") -> None:
    redis.xdel(LOG, redis.xrevrange(LOG, count=1)[0][0])


def delete_all(redis: "Redis") -> None:
    redis.delete(LOG)


@pytest.mark.parametrize("damage", [alter_newest, delete_newest, delete_all])
def test_whoever_begins_to_listen_is_not_told_a_damaged_newest_entry(
    server: RedisServer, redis: "Redis", damage: Callable[["Redis"], None]
) -> None:
    async def scene() -> None:
        async with nodes(server, 2) as (writer, listener):
            epoch = await written(writer)
            damage(redis)
            told: list[Entry] = []
            listener.subscribe(WALLET, lambda _, entries: told.extend(entries))
            head = await listener.head(WALLET)
            assert told == []
            assert head is None or head.epoch > epoch
            assert listener.statistics().damaged == 1
            assert await written(writer) > epoch

    asyncio.run(scene())


def test_an_epoch_whose_entries_a_newer_server_stored_is_never_given_up(
    server: RedisServer, redis: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with nodes(server, 2) as (newer, older):
            real = stored.checksum
            with monkeypatch.context() as later:
                later.setattr(stored, "checksum", lambda *entry: real(*entry) ^ 1)
                later.setattr(scripts, "FORMAT", scripts.FORMAT + 1)
                lease = await newer.acquire(WALLET)
                assert lease is not None
                epoch = await newer.begin(lease, NOW)
                await newer.append(lease, epoch, trades(5), b"so far", NOW)
            with pytest.raises(WrittenByNewer) as refused:
                await older.read(WALLET, epoch, 0, 100, 10**6)
            assert refused.value.retry_after is not None
            assert await newer.checkpoint(WALLET) == b"so far"
            await newer.renew(lease)
            assert older.statistics().damaged == 0

    asyncio.run(scene())


def test_a_newer_server_that_goes_on_with_an_older_epoch_marks_it(
    server: RedisServer, redis: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with nodes(server, 1) as (journal,):
            lease = await journal.acquire(WALLET)
            assert lease is not None
            epoch = await journal.begin(lease, NOW)
            assert redis.hget(HEAD, "v") == b"%d" % scripts.FORMAT
            monkeypatch.setattr(scripts, "FORMAT", scripts.FORMAT + 1)
            await journal.append(lease, epoch, trades(1), b"", NOW)
            assert redis.hget(HEAD, "v") == b"%d" % scripts.FORMAT

    asyncio.run(scene())


def test_an_epoch_is_greater_than_one_that_was_given_up_elsewhere_whatever_the_clocks_say(
    server: RedisServer, redis: "Redis"
) -> None:
    async def scene() -> None:
        async with nodes(server, 2) as (ahead, behind):
            await written(ahead)
            told: list[int] = []
            behind.subscribe(WALLET, lambda epoch, _: told.append(epoch))
            await behind.head(WALLET)
            behind._feed._announcements.unsubscribe(HEAD)
            later = await written(ahead, NOW + 60)
            redis.delete(LOG)
            assert await ahead.read(WALLET, later, 0, 10, 10**6) == []
            assert later not in told
            assert await written(behind, NOW + 1) > later

    asyncio.run(scene())
