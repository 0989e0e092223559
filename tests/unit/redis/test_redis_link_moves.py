"""The connection to a real Cluster, and to what Sentinels watch, while servers stand still, die,
take over and hand slots on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import pytest
from processes import PATIENCE
from redis_server import RedisCluster, redis_cluster, redis_sentinel

from wd_server.errors import StoreAway, StoreUnavailable
from wd_server.redis import link as redis_link
from wd_server.redis.link import RedisLink, Script
from wd_server.redis.shards import Address
from wd_server.secret import Secret

SHORT = 0.3
# A key on each primary, and more of them.
KEYS = [f"key {number}" for number in range(12)]

PUSH = Script("return redis.call('RPUSH', KEYS[1], ARGV[1])")

Scenario = Callable[[RedisLink], Awaitable[None]]


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisCluster]:
    # One that is gone leaves the others at work.
    with redis_cluster(options=("--cluster-require-full-coverage", "no")) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared: RedisCluster) -> RedisCluster:
    for primary in shared.primaries():
        primary.call("FLUSHALL")
    return shared


def play(url: Secret, scenario: Scenario) -> None:
    async def life() -> None:
        link = RedisLink(url)
        async with asyncio.timeout(3 * PATIENCE):
            await link.open()
            try:
                await scenario(link)
            finally:
                await link.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(life())


class Writing:
    """Numbers go into every key's list, several under way at any time."""

    AT_ONCE = 3

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._ended = False
        self._task = asyncio.ensure_future(self._write())
        self.written = 0

    async def _write(self) -> None:
        while not self._ended:
            await asyncio.gather(
                *(
                    self._link.run(PUSH, [key], [self.written + n])
                    for n in range(self.AT_ONCE)
                    for key in KEYS
                )
            )
            self.written += self.AT_ONCE

    async def end(self) -> None:
        """Raises what a call raised."""
        self._ended = True
        await self._task

    async def some_more(self) -> None:
        before = self.written
        while self.written < before + 10 * self.AT_ONCE and not self._task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def lists(link: RedisLink) -> list[list[int]]:
    found = [await link.call(key, "LRANGE", key, 0, -1) for key in KEYS]
    return [[int(item) for item in items] for items in found]


def address(node: object) -> Address:
    return Address("127.0.0.1", node.port)  # type: ignore[attr-defined]


def test_keys_are_spread_and_each_server_has_one_connection(cluster: RedisCluster) -> None:
    async def scenario(link: RedisLink) -> None:
        assert link.shards.clustered
        assert {*link.shards.primaries()} == {address(node) for node in cluster.primaries()}
        for key in KEYS:
            assert link.shards.owner(key) == address(cluster.owner(key))
        await asyncio.gather(*(link.run(PUSH, [key], [n]) for n in range(300) for key in KEYS))
        assert await lists(link) == [[*range(300)]] * len(KEYS)
        assert link.statistics().connections == 3
        assert link.statistics().again == 0

    play(cluster.url, scenario)


def test_one_that_stands_still_keeps_nobody_from_the_others(
    cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "STORE_SECONDS", SHORT)

    async def scenario(link: RedisLink) -> None:
        still = cluster.owner(KEYS[0])
        there = [key for key in KEYS if link.shards.owner(key) == address(still)]
        elsewhere = [key for key in KEYS if key not in there]
        with still.stopped():
            waiting = asyncio.gather(
                *(link.run(PUSH, [key], [1]) for key in there), return_exceptions=True
            )
            assert await asyncio.gather(*(link.run(PUSH, [key], [1]) for key in elsewhere))
            assert not waiting.done()
            assert {type(end) for end in await waiting} == {StoreAway}
            with pytest.raises(StoreAway):
                link.check(there[0])
            link.check(elsewhere[0])
            assert not link.available
        await link.call(there[0], "LLEN", there[0])
        assert link.available

    play(cluster.url, scenario)


def test_a_planned_failover_costs_no_call_and_keeps_their_order(cluster: RedisCluster) -> None:
    async def scenario(link: RedisLink) -> None:
        primary = cluster.owner(KEYS[0])
        version = link.shards.version
        writing = Writing(link)
        await writing.some_more()
        taken_over = await asyncio.to_thread(cluster.fail_over, primary)
        await writing.some_more()
        await writing.end()
        assert await lists(link) == [[*range(writing.written)]] * len(KEYS)
        assert link.shards.owner(KEYS[0]) == address(taken_over)
        assert link.shards.version > version
        assert link.statistics().again > 0
        assert not link.statistics().failures.total()

    play(cluster.url, scenario)
    cluster.wait_until_whole()


def test_calls_follow_a_slot_that_moves_and_keep_their_order(cluster: RedisCluster) -> None:
    async def scenario(link: RedisLink) -> None:
        key = KEYS[0]
        source = cluster.owner(key)
        target = next(node for node in cluster.primaries() if node is not source)
        writing = Writing(link)
        await writing.some_more()
        await asyncio.to_thread(cluster.move, key, target, finish=False)
        assert link.shards.owner(key) == address(source)
        await writing.some_more()
        await asyncio.to_thread(cluster.move, key, target)
        await writing.some_more()
        await writing.end()
        assert await lists(link) == [[*range(writing.written)]] * len(KEYS)
        assert link.shards.owner(key) == address(target)
        assert not link.statistics().failures.total()

    play(cluster.url, scenario)
    cluster.wait_until_whole()


def test_a_call_does_not_overtake_one_that_is_under_way_at_the_old_place(
    cluster: RedisCluster,
) -> None:
    async def scenario(link: RedisLink) -> None:
        key = KEYS[0]
        old = cluster.owner(key)
        new = cluster.replica(old)
        await link.run(PUSH, [key], [0])
        with old.stopped():
            first = asyncio.ensure_future(link.run(PUSH, [key], [1]))
            await asyncio.sleep(0.01)
            new.call("CLUSTER", "FAILOVER", "TAKEOVER")
            while link.shards.owner(key) != address(new):
                await link.shards.look()
            second = asyncio.ensure_future(link.run(PUSH, [key], [2]))
            await asyncio.sleep(0.1)
            old.stop()
        await asyncio.gather(first, second)
        assert [int(n) for n in await link.call(key, "LRANGE", key, 0, -1)] == [0, 1, 2]

    play(cluster.url, scenario)
    for node in cluster.nodes:
        if not node.is_running:
            node.start()
    cluster.wait_until_whole()


def test_after_a_primary_died_calls_go_to_the_one_that_takes_over(cluster: RedisCluster) -> None:
    async def scenario(link: RedisLink) -> None:
        primary = cluster.owner(KEYS[0])
        there = [key for key in KEYS if link.shards.owner(key) == address(primary)]
        elsewhere = [key for key in KEYS if key not in there]
        primary.stop()
        ends = await asyncio.gather(
            *(link.run(PUSH, [key], [1]) for key in KEYS), return_exceptions=True
        )
        assert {end for key, end in zip(KEYS, ends, strict=True) if key in elsewhere} == {1}
        while True:
            with suppress(StoreAway):
                await link.run(PUSH, [there[0]], [2])
                break
        assert link.shards.owner(there[0]) != address(primary)
        assert address(primary) not in link.shards.primaries()
        assert link.available

    play(cluster.url, scenario)
    for node in cluster.nodes:
        if not node.is_running:
            node.start()
    cluster.wait_until_whole()


def test_a_member_that_is_gone_is_no_reason_not_to_open(cluster: RedisCluster) -> None:
    """As long as one of those that the URL names is there."""
    seeds = ",".join(node.address for node in cluster.nodes)
    gone = Secret(f"redis+cluster://127.0.0.1:1,{seeds}")
    play(gone, lambda link: link.call("a", "INCR", "a"))

    async def alone() -> None:
        link = RedisLink(Secret("redis+cluster://127.0.0.1:1"))
        with pytest.raises(StoreAway):
            await link.open()
        await link.close()

    asyncio.run(alone())


def test_what_sentinels_watch_is_followed_when_another_takes_over() -> None:
    with redis_sentinel() as watched:

        async def scenario(link: RedisLink) -> None:
            assert not link.shards.clustered
            assert await link.run(PUSH, ["a"], [1]) == 1
            assert link.shards.primaries() == [address(watched.primary)]
            watched.primary.stop()
            while True:
                with suppress(StoreAway):  # it takes longer than a call waits
                    assert await link.run(PUSH, ["a"], [2]) == 2
                    break
            assert link.shards.primaries() == [address(watched.replica)]
            assert link.available

        play(watched.url, scenario)

        async def unknown() -> None:
            url = watched.url.reveal().replace(watched.SERVICE, "others")
            link = RedisLink(Secret(url))
            with pytest.raises(StoreUnavailable, match="Sentinels don't know"):
                await link.open()
            await link.close()

        asyncio.run(unknown())
