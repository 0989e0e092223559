"""Streams of several nodes in Redis: none is forgotten, and none of a dead node is kept."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from linked import LinkedCounters
from processes import PATIENCE
from redis_server import RedisCluster, RedisServer, redis_cluster, redis_server

from wd_server.errors import StoreUnavailable
from wd_server.redis import counters as redis_counters
from wd_server.redis.membership import DEAD_SECONDS, HEARTBEAT_SECONDS

HOLDER = Path(__file__).with_name("holder.py")
# Seconds. Short, so that tests are; far enough from each other for a slow machine.
HEARTBEAT = 0.1
DEAD_AFTER = 1.0

Redis = RedisServer | RedisCluster
Scenario = Callable[[LinkedCounters, LinkedCounters], Awaitable[None]]


@pytest.fixture(scope="module", params=[redis_server, redis_cluster])
def redis(request: pytest.FixtureRequest) -> Iterator[Redis]:
    with request.param() as started:
        yield started


def counters(redis: Redis) -> LinkedCounters:
    return LinkedCounters(redis.url, heartbeat=HEARTBEAT, dead_after=DEAD_AFTER)


def play(redis: Redis, scenario: Scenario) -> None:
    async def life() -> None:
        one, other = counters(redis), counters(redis)
        async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
            for each in (one, other):
                await each.open()
                stack.push_async_callback(each.close)
            await scenario(one, other)

    asyncio.run(life())


@contextmanager
def holder(redis: Redis, who: str, streams: int, limit: int) -> Iterator["subprocess.Popen[str]"]:
    arguments = [redis.url.reveal(), who, streams, limit, HEARTBEAT, DEAD_AFTER]
    process = subprocess.Popen(
        [sys.executable, str(HOLDER), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "holding\n"
            yield process
        finally:
            process.kill()


async def until_entered(node: LinkedCounters, who: str, limit: int) -> None:
    """Nothing tells of a place that became free, so this asks again."""
    while True:
        if await node.enter(who, limit):
            return
        await asyncio.sleep(0.02)


def test_a_crash_is_noticed_within_15_seconds() -> None:
    beats = HEARTBEAT_SECONDS
    assert DEAD_SECONDS + beats < 15
    # Two heartbeats may be lost before a node that lives is taken for dead.
    assert 3 * beats < DEAD_SECONDS


def test_nodes_share_a_limit(redis: Redis) -> None:
    async def scenario(one: LinkedCounters, other: LinkedCounters) -> None:
        granted = await asyncio.gather(
            *(node.enter("shared", 5) for _ in range(10) for node in (one, other))
        )
        assert granted.count(True) == 5
        assert {True, False} >= {*granted}

    play(redis, scenario)


def test_what_one_node_gives_back_another_can_have(redis: Redis) -> None:
    async def scenario(one: LinkedCounters, other: LinkedCounters) -> None:
        for _ in range(50):
            await until_entered(one, "returned", 1)
            assert not await other.enter("returned", 1)
            one.leave("returned")
            await until_entered(other, "returned", 1)
            other.leave("returned")

    play(redis, scenario)


def test_streams_of_a_killed_process_count_no_more_and_those_of_others_do(
    redis: Redis,
) -> None:
    async def scenario(one: LinkedCounters, _: LinkedCounters) -> None:
        with holder(redis, "crash", 3, 5) as killed, holder(redis, "crash", 1, 5):
            assert await one.enter("crash", 5)
            assert not await one.enter("crash", 5)
            killed.send_signal(signal.SIGKILL)
            for _ in range(3):
                await until_entered(one, "crash", 5)
            assert not await one.enter("crash", 5)

    play(redis, scenario)


def test_a_process_that_stood_still_counts_its_streams_again(redis: Redis) -> None:
    async def scenario(one: LinkedCounters, _: LinkedCounters) -> None:
        with holder(redis, "stopped", 2, 3) as stopped:
            assert await one.enter("stopped", 3)
            stopped.send_signal(signal.SIGSTOP)
            await until_entered(one, "stopped", 3)
            stopped.send_signal(signal.SIGCONT)
            # Its two and our two: there is no room for anybody, at first by what it just did.
            loop = asyncio.get_running_loop()
            assert stopped.stdin is not None
            assert stopped.stdout is not None
            stopped.stdin.write("in\n")
            stopped.stdin.flush()
            await loop.run_in_executor(None, stopped.stdout.readline)
            one.leave("stopped")
            while await one.enter("stopped", 3):  # until its heartbeat has said what it has
                one.leave("stopped")
                await asyncio.sleep(0.02)

    play(redis, scenario)


def test_a_node_that_closes_leaves_nothing_behind(redis: Redis) -> None:
    async def scenario(one: LinkedCounters, other: LinkedCounters) -> None:
        assert await one.enter("closed", 1)
        await one.close()
        await until_entered(other, "closed", 1)

    play(redis, scenario)


def test_a_caller_that_gives_up_while_it_waits_is_not_counted(redis: Redis) -> None:
    async def scenario(one: LinkedCounters, other: LinkedCounters) -> None:
        for step in range(20):
            entering = [asyncio.ensure_future(one.enter("gave up", 1)) for _ in range(3)]
            for _ in range(step):
                await asyncio.sleep(0)
            for each in entering:
                each.cancel()
            done = await asyncio.gather(*entering, return_exceptions=True)
            for granted in done:
                if granted is True:
                    one.leave("gave up")
            await until_entered(other, "gave up", 1)
            other.leave("gave up")
            await until_entered(one, "gave up", 1)
            one.leave("gave up")

    play(redis, scenario)


@pytest.mark.parametrize("keeps", [True, False])
def test_a_redis_that_was_restarted_counts_right_again(keeps: bool) -> None:
    with redis_server(keeps=keeps) as server:

        async def scenario(one: LinkedCounters, other: LinkedCounters) -> None:
            assert await one.enter("restart", 2)
            assert await other.enter("restart", 2)
            server.stop()
            with pytest.raises(StoreUnavailable) as away:
                await one.enter("restart", 2)
            assert away.value.retry_after
            with pytest.raises(StoreUnavailable):
                await one.spend("restart", 2)
            one.leave("restart")
            server.start()
            # The place that was given back meanwhile is free, the other isn't.
            with suppress(StoreUnavailable):
                await other.enter("warm up", 1)
            while True:
                with suppress(StoreUnavailable):
                    if await one.enter("restart", 2) and not await one.enter("restart", 2):
                        break
                    one.leave("restart")
                await asyncio.sleep(0.02)
            assert (await other.spend("restart", 2)).allowed

        play(server, scenario)


def test_a_table_that_is_full_refuses_new_subjects(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_counters, "SUBJECTS_MAX", 2)

    async def scenario(one: LinkedCounters, _: LinkedCounters) -> None:
        assert await one.enter("full 1", 2)
        assert await one.enter("full 2", 2)
        with pytest.raises(StoreUnavailable):
            await one.enter("full 3", 2)
        assert await one.enter("full 1", 2)

    play(redis, scenario)
