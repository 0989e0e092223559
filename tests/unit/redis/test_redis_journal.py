"""What is particular to the journal in Redis: servers stop, come back, lose things, are full."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from linked import LinkedJournal
from redis_server import RedisCluster, RedisServer, redis_cluster, redis_server

from wd_server.errors import StoreAway, StoreFull, StoreUnavailable
from wd_server.events.ids import EventId
from wd_server.journal.base import Entry, Head, Lease, LeaseLost, NewEntry
from wd_server.redis import journal_scripts as scripts
from wd_server.redis.journal import RedisJournal
from wd_server.redis.lane import Script
from wd_server.secret import Secret

WALLET = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
KEY, LOG = scripts.keys(WALLET)
NOW = 1_700_000_000.0
KEEP_SECONDS = 1000
HEARTBEAT, DEAD_AFTER = 0.2, 1.0
SCENARIO_SECONDS = 30
ALL = 100_000, 10**9


@asynccontextmanager
async def node(url: Secret) -> AsyncIterator[RedisJournal]:
    """A journal as one process has it, with hasty heartbeats."""
    journal = LinkedJournal(url, KEEP_SECONDS, heartbeat=HEARTBEAT, dead_after=DEAD_AFTER)
    await journal.open()
    try:
        async with asyncio.timeout(SCENARIO_SECONDS):
            yield journal
    finally:
        await journal.close()


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def _cluster() -> Iterator[RedisCluster]:
    with redis_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster: RedisCluster) -> RedisCluster:
    for primary in _cluster.primaries():
        primary.call("FLUSHALL")
    return _cluster


class Told:
    """What a subscriber and a line were told, and waits for it."""

    def __init__(self, journal: RedisJournal) -> None:
        self.epoch = 0
        self.entries: list[Entry] = []
        self.vacancies = 0
        self._news = asyncio.Event()
        self.watch = journal.subscribe(WALLET, self._on_append)
        self.line = journal.topic(WALLET, self)

    def _on_append(self, epoch: int, entries: object) -> None:
        if epoch != self.epoch:
            self.epoch, self.entries = epoch, []
        self.entries += entries  # type: ignore[operator]
        self._news.set()

    def on_notice(self, notice: bytes) -> None: ...

    def on_vacant(self) -> None:
        self.vacancies += 1
        self._news.set()

    @property
    def position(self) -> EventId:
        return EventId(self.epoch, self.entries[-1].seq if self.entries else 0)

    async def news(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def until(self, seq: int) -> None:
        while self.position.seq < seq:
            await self.news()

    async def vacancy(self) -> None:
        while not self.vacancies:
            await self.news()
        self.vacancies = 0


def trades(first: int, last: int, size: int = 10) -> list[NewEntry]:
    return [NewEntry("trade", b"%d".ljust(size) % n) for n in range(first, last + 1)]


async def begun(journal: RedisJournal) -> tuple[Lease, int]:
    lease = await journal.acquire(WALLET)
    assert lease is not None
    return lease, await journal.begin(lease, NOW)


async def append_for_ever(journal: RedisJournal, lease: Lease, epoch: int) -> None:
    while True:
        await journal.append(lease, epoch, [], b"", NOW)


async def acquired(journal: RedisJournal) -> Lease:
    """Once Redis answers again."""
    while True:
        try:
            lease = await journal.acquire(WALLET)
        except StoreAway:
            continue
        assert lease is not None
        return lease


# Where it is


def test_what_a_wallet_has_in_redis_is_bounded_in_time(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with node(redis.url) as journal:
            lease, epoch = await begun(journal)
            await journal.append(lease, epoch, trades(1, 3), b"so far", NOW)
            await journal.release(lease)

    asyncio.run(scenario())
    names = redis.call("KEYS", "*").split()
    assert sorted(names) == [KEY, LOG]
    assert all(KEEP_SECONDS - 60 < int(redis.call("TTL", name)) <= KEEP_SECONDS for name in names)


def test_ids_in_redis_are_those_on_the_wire(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with node(redis.url) as journal:
            lease, epoch = await begun(journal)
            await journal.append(lease, epoch, trades(1, 2), b"", NOW)
            ids = redis.call("XRANGE", LOG, "-", "+")
            assert [str(EventId(epoch, n)) in ids for n in (1, 2, 3)] == [True, True, False]

    asyncio.run(scenario())


# Who may write


def test_the_wallets_of_a_dead_node_are_taken_over_and_it_writes_no_more(
    redis: RedisServer,
) -> None:
    async def scenario() -> None:
        async with node(redis.url) as first, node(redis.url) as second:
            lease, epoch = await begun(first)
            await first.append(lease, epoch, trades(1, 3), b"3", NOW)
            told = Told(second)
            await second.head(WALLET)
            assert await second.acquire(WALLET) is None
            # As one that is paused: it says no more that it lives, and wakes up later.
            for beating in first._node._beating:
                beating.cancel()
            await told.vacancy()
            later = await second.acquire(WALLET)
            assert later is not None
            for attempt in (
                first.append(lease, epoch, trades(4, 4), b"4", NOW),
                first.renew(lease),
                first.begin(lease, NOW),
            ):
                with pytest.raises(LeaseLost):
                    await attempt
            assert await second.head(WALLET) == Head(epoch, 3, "trade")
            assert await second.checkpoint(WALLET) == b"3"
            assert (await second.append(later, epoch, trades(4, 4), b"4", NOW)).seq == 4

    asyncio.run(scenario())


def test_a_node_learns_at_once_that_another_took_its_wallet(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with node(redis.url) as first, node(redis.url) as second:
            lease, _ = await begun(first)
            told = Told(first)
            await first.head(WALLET)
            redis.call("DEL", f"wd:node:{first._node.node}")
            assert await second.acquire(WALLET) is not None
            await told.vacancy()
            with pytest.raises(LeaseLost):
                await first.renew(lease)
            assert first.statistics().leases_lost == 1

    asyncio.run(scenario())


def test_a_node_that_was_taken_for_dead_finds_out_what_it_lost(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with node(redis.url) as journal:
            lease, _ = await begun(journal)
            other = await journal.acquire("other")
            assert other is not None
            told = Told(journal)
            await journal.head(WALLET)
            redis.call("HSET", KEY, "h", "another/1")
            redis.call("DEL", f"wd:node:{journal._node.node}")
            await told.vacancy()
            with pytest.raises(LeaseLost):
                await journal.renew(lease)
            await journal.renew(other)

    asyncio.run(scenario())


def test_a_write_that_is_sent_again_is_stored_once(redis: RedisServer) -> None:
    """As the link does it when a connection is lost before the answer is there."""

    async def scenario() -> None:
        async with node(redis.url) as journal:
            lease, epoch = await begun(journal)
            link, run_script = journal._link, journal._link.run

            async def run_twice(script: Script, keys: object, arguments: object) -> object:
                await run_script(script, keys, arguments)  # type: ignore[arg-type]
                return await run_script(script, keys, arguments)  # type: ignore[arg-type]

            link.run = run_twice  # type: ignore[assignment,method-assign]
            assert await journal.begin(lease, NOW) > epoch
            epoch = (await journal.head(WALLET) or Head(0, 0, "")).epoch
            for last in (3, 4, 6):
                head = await journal.append(lease, epoch, trades(last - 1, last), b"", NOW)
            assert head == Head(epoch, 6, "trade")
            entries = await journal.read(WALLET, epoch, 0, *ALL)
            assert [int(entry.payload) for entry in entries] == [2, 3, 3, 4, 5, 6]
            await journal.release(lease)
            again = await journal.acquire(WALLET)
            assert again is not None
            assert (await journal.append(again, epoch, trades(7, 7), b"", NOW)).seq == 7

    asyncio.run(scenario())


# When Redis is away


def test_an_append_while_redis_hangs_is_stored_once_or_never_and_costs_the_lease(
    redis: RedisServer,
) -> None:
    async def scenario() -> None:
        async with node(redis.url) as journal, node(redis.url) as other:
            lease, epoch = await begun(journal)
            await journal.append(lease, epoch, trades(1, 3), b"3", NOW)
            told, far = Told(journal), Told(other)
            await asyncio.gather(journal.head(WALLET), other.head(WALLET))
            with redis.stopped():
                with pytest.raises(StoreAway):
                    await journal.append(lease, epoch, trades(4, 5), b"5", NOW)
                with pytest.raises(StoreAway):
                    journal.check(WALLET)
                with pytest.raises(LeaseLost):
                    await journal.append(lease, epoch, trades(4, 5), b"5", NOW)
            again = await acquired(journal)
            head = await journal.head(WALLET)
            assert head is not None
            assert head.seq in (3, 5)
            assert await journal.checkpoint(WALLET) == b"%d" % head.seq
            await journal.append(again, epoch, trades(head.seq + 1, 9), b"9", NOW)
            entries = await journal.read(WALLET, epoch, 0, *ALL)
            assert [entry.payload for entry in entries] == [e.payload for e in trades(1, 9)]
            await told.until(9)
            await far.until(9)

    asyncio.run(scenario())


def test_watchers_are_told_what_they_missed_while_redis_was_gone(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with node(redis.url) as here, node(redis.url) as there:
            lease, epoch = await begun(here)
            told = Told(there)
            await there.head(WALLET)
            await here.append(lease, epoch, trades(1, 3), b"3", NOW)
            await told.until(3)
            redis.stop()
            with pytest.raises(StoreAway):
                await here.append(lease, epoch, trades(4, 4), b"4", NOW)
            with pytest.raises(StoreAway):
                await there.head("other")
            redis.start()
            again = await acquired(here)
            await here.append(again, epoch, trades(4, 200), b"200", NOW)
            await told.until(200)
            assert len(await there.read(WALLET, epoch, 0, *ALL)) == 200

    asyncio.run(scenario())


def test_a_wallet_of_which_nothing_is_heard_for_long_is_listened_to_on_one_connection(
    redis: RedisServer,
) -> None:
    async def scenario() -> None:
        async with node(redis.url) as journal:
            Told(journal)
            await journal.head(WALLET)
            # Nothing tells of pings, so this asks again.
            while _calls(redis, "ping") < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            assert _calls(redis, "ssubscribe") == 1

    asyncio.run(scenario())


def _calls(redis: RedisServer, command: str) -> int:
    found = redis.info("commandstats").get(f"cmdstat_{command}", "calls=0,")
    return int(found.partition(",")[0].removeprefix("calls="))


def test_redis_that_comes_back_empty_begins_a_new_epoch(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with node(redis.url) as here, node(redis.url) as there:
            lease, epoch = await begun(here)
            near, told = Told(here), Told(there)
            await asyncio.gather(here.head(WALLET), there.head(WALLET))
            await here.append(lease, epoch, trades(1, 3), b"3", NOW)
            await told.until(3)
            redis.call("FLUSHALL")
            redis.call("CLIENT", "KILL", "TYPE", "pubsub")
            await near.vacancy()
            with pytest.raises(LeaseLost):
                await here.renew(lease)
            again = await here.acquire(WALLET)
            assert again is not None
            assert await here.head(WALLET) is None
            later = await here.begin(again, NOW)
            assert later > epoch
            await here.append(again, later, trades(1, 2), b"2", NOW)
            while told.epoch != later:
                await told.news()
            assert told.position == EventId(later, 2)

    asyncio.run(scenario())


def test_a_lost_wallet_is_forgotten_once_and_its_new_lease_stays(redis: RedisServer) -> None:
    """Others notice the loss later than the one who reads it anew, and say so."""

    async def scenario() -> None:
        async with node(redis.url) as journal:
            lease, epoch = await begun(journal)
            told = Told(journal)
            await journal.head(WALLET)
            await journal.append(lease, epoch, trades(1, 3), b"3", NOW)
            arguments = epoch, 3, KEEP_SECONDS
            redis.call("FLUSHALL")
            lost = await journal._link.run(scripts.CATCH_UP, (KEY, LOG), arguments)
            await told.vacancy()
            again = await journal.acquire(WALLET)
            assert again is not None
            assert await journal._link.run(scripts.CATCH_UP, (KEY, LOG), arguments) == [
                b"",
                b"%d" % again.token,
                b"",
            ]
            # What was announced before comes over another connection, perhaps only now.
            redis.call("SPUBLISH", KEY, f"o{int(lost[1])}")
            later = await journal.begin(again, NOW)
            await journal.append(again, later, trades(1, 2), b"2", NOW)
            assert later > epoch
            assert journal.statistics().leases_lost == 1

    asyncio.run(scenario())


def test_who_reads_a_lost_wallet_has_lost_its_lease_once_it_is_told(redis: RedisServer) -> None:
    """Also where it notices by itself, not by what is announced."""

    async def scenario() -> None:
        async with node(redis.url) as journal:
            lease, epoch = await begun(journal)
            told = Told(journal)
            await journal.head(WALLET)
            await journal.append(lease, epoch, trades(1, 3), b"3", NOW)
            redis.call("FLUSHALL")
            journal._feed._announcements.on_message = lambda channel, message: None
            await journal._feed._catch_up(WALLET)
            assert told.vacancies
            with pytest.raises(LeaseLost):
                await journal.renew(lease)

    asyncio.run(scenario())


def test_who_listens_to_a_lost_wallet_that_nobody_reads_is_told_to_read_it(
    redis: RedisServer,
) -> None:
    async def scenario() -> None:
        async with node(redis.url) as journal:
            lease, epoch = await begun(journal)
            told = Told(journal)
            await journal.head(WALLET)
            await journal.append(lease, epoch, trades(1, 3), b"3", NOW)
            await journal.release(lease)
            redis.call("FLUSHALL")
            redis.call("CLIENT", "KILL", "TYPE", "pubsub")
            await told.vacancy()
            assert await journal.head(WALLET) is None
            again, later = await begun(journal)
            assert later > epoch
            await journal.append(again, later, trades(1, 1), b"1", NOW)
            assert told.position == EventId(later, 1)

    asyncio.run(scenario())


def test_a_lease_that_was_asked_for_while_redis_hung_is_kept_from_nobody(
    redis: RedisServer,
) -> None:
    async def scenario() -> None:
        async with node(redis.url) as first, node(redis.url) as second:
            told = Told(second)
            with redis.stopped(), pytest.raises(StoreAway):
                await first.acquire(WALLET)
            while True:
                try:
                    if await second.acquire(WALLET) is not None:
                        break
                    await told.vacancy()
                except StoreAway:
                    continue

    asyncio.run(scenario())


def test_entries_that_were_told_of_and_lost_are_never_numbered_again(redis: RedisServer) -> None:
    """As after a failover to a replica that hadn't everything yet."""

    async def scenario() -> None:
        async with node(redis.url) as journal:
            lease, epoch = await begun(journal)
            told = Told(journal)
            await journal.head(WALLET)
            await journal.append(lease, epoch, trades(1, 5), b"5", NOW)
            redis.call("HSET", KEY, "s", 3)
            redis.call("XDEL", LOG, EventId(epoch, 4), EventId(epoch, 5))
            with pytest.raises(LeaseLost):
                await journal.append(lease, epoch, trades(6, 6), b"6", NOW)
            again = await journal.acquire(WALLET)
            assert again is not None
            assert await journal.head(WALLET) is None
            assert await journal.checkpoint(WALLET) is None
            later = await journal.begin(again, NOW)
            assert later > epoch
            assert told.position == EventId(epoch, 5)

    asyncio.run(scenario())


def test_another_node_that_was_told_more_has_the_wallet_begin_anew(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with node(redis.url) as here, node(redis.url) as there:
            lease, epoch = await begun(here)
            told = Told(there)
            await there.head(WALLET)
            await here.append(lease, epoch, trades(1, 5), b"5", NOW)
            await told.until(5)
            await here.release(lease)
            redis.call("HSET", KEY, "s", 3)
            redis.call("XDEL", LOG, EventId(epoch, 4), EventId(epoch, 5))
            lease = await acquired(here)
            redis.call("CLIENT", "KILL", "TYPE", "pubsub")
            with pytest.raises(LeaseLost):
                await append_for_ever(here, lease, epoch)

    asyncio.run(scenario())


def test_redis_without_memory_stores_nothing_by_half_and_goes_on_when_it_has_some(
    redis: RedisServer,
) -> None:
    async def scenario() -> None:
        async with node(redis.url) as journal:
            lease, epoch = await begun(journal)
            await journal.append(lease, epoch, trades(1, 3), b"3", NOW)
            redis.call("CONFIG", "SET", "maxmemory", "1mb")
            for attempt in (
                journal.append(lease, epoch, trades(4, 500, 1000), b"500", NOW),
                journal.append(lease, epoch, [], b"500", NOW),
                journal.begin(lease, NOW),
            ):
                with pytest.raises(StoreFull) as full:
                    await attempt
                assert "memory" in full.value.message
            assert await journal.head(WALLET) == Head(epoch, 3, "trade")
            assert len(await journal.read(WALLET, epoch, 0, *ALL)) == 3
            assert await journal.checkpoint(WALLET) == b"3"
            redis.call("CONFIG", "SET", "maxmemory", "0")
            assert (await journal.append(lease, epoch, trades(4, 4), b"4", NOW)).seq == 4
            redis.call("CONFIG", "SET", "maxmemory", "1mb")
            await journal.release(lease)
            redis.call("CONFIG", "SET", "maxmemory", "0")
            assert await journal.acquire(WALLET) is not None

    asyncio.run(scenario())


def test_a_journal_fails_no_more_once_redis_answers_though_nothing_is_written(
    redis: RedisServer,
) -> None:
    async def scenario() -> None:
        async with node(redis.url) as journal:
            lease, epoch = await begun(journal)
            with redis.stopped(), pytest.raises(StoreAway):
                await journal.append(lease, epoch, trades(1, 1), b"", NOW)
            assert journal.statistics().failing
            while journal.statistics().failing:
                await journal.head(WALLET)

    asyncio.run(scenario())


def test_a_journal_on_redis_that_is_away_says_so(redis: RedisServer) -> None:
    async def scenario() -> None:
        redis.stop()
        journal = LinkedJournal(redis.url, KEEP_SECONDS)
        with pytest.raises(StoreUnavailable):
            await journal.open()
        await journal.close()

    asyncio.run(scenario())


# In a Cluster


def test_writers_and_subscribers_go_on_when_a_replica_takes_over(cluster: RedisCluster) -> None:
    async def scenario() -> None:
        async with node(cluster.url) as here, node(cluster.url) as there:
            lease, epoch = await begun(here)
            told = Told(there)
            await there.head(WALLET)
            await here.append(lease, epoch, trades(1, 3), b"3", NOW)
            await asyncio.to_thread(cluster.fail_over, cluster.owner(KEY))
            await here.append(lease, epoch, trades(4, 6), b"6", NOW)
            await told.until(6)
            await here.append(lease, epoch, trades(7, 7), b"7", NOW)
            await told.until(7)
            assert len(await there.read(WALLET, epoch, 0, *ALL)) == 7

    asyncio.run(scenario())


def test_writers_and_subscribers_follow_a_wallet_whose_slot_moves(cluster: RedisCluster) -> None:
    async def scenario() -> None:
        async with node(cluster.url) as here, node(cluster.url) as there:
            lease, epoch = await begun(here)
            told = Told(there)
            await there.head(WALLET)
            await here.append(lease, epoch, trades(1, 3), b"3", NOW)
            source = cluster.owner(KEY)
            target = next(each for each in cluster.primaries() if each is not source)
            await asyncio.to_thread(cluster.move, KEY, target)
            await here.append(lease, epoch, trades(4, 6), b"6", NOW)
            await told.until(6)
            assert len(await there.read(WALLET, epoch, 0, *ALL)) == 6

    asyncio.run(scenario())
