"""The connection to a real Redis that is slow, gone, restarted, full, or refuses."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import urlsplit

import pytest
from processes import PATIENCE
from psutil import Process
from redis_server import RedisServer, redis_cluster, redis_server
from structlog.testing import capture_logs

from wd_server.errors import StoreAway, StoreFull, StoreUnavailable
from wd_server.redis import link as redis_link
from wd_server.redis.lane import BATCH_BYTES, BATCH_CALLS
from wd_server.redis.link import RedisLink, Script
from wd_server.secret import Secret

# Seconds of a call's deadline where a test has to see its end.
SHORT = 0.3

PUSH = Script("return redis.call('RPUSH', KEYS[1], ARGV[1])")
PUSH_ONCE = Script("return redis.call('RPUSH', KEYS[1], ARGV[1]) + 0", once=True)

Scenario = Callable[[RedisLink], Awaitable[None]]


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(shared: RedisServer) -> RedisServer:
    shared.call("FLUSHALL")
    return shared


def play(url: Secret, scenario: Scenario) -> None:
    async def life() -> None:
        link = RedisLink(url)
        async with asyncio.timeout(2 * PATIENCE):
            await link.open()
            try:
                await scenario(link)
            finally:
                await link.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(life())


async def sent() -> None:
    """Returns when what was handed in by tasks just made is on its way, on a connection made
    before: they run, then that of the lane does."""
    for _ in range(3):
        await asyncio.sleep(0)


async def until(is_so: Callable[[], bool]) -> None:
    """Nothing tells of what only statistics know, so this asks again."""
    while not is_so():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def texts(items: list[bytes]) -> list[int]:
    return [int(item) for item in items]


def test_calls_are_executed_in_their_order_and_leave_together(redis: RedisServer) -> None:
    async def scenario(link: RedisLink) -> None:
        calls = [
            link.run(PUSH, ["a"], [n]) if n % 2 else link.call("a", "RPUSH", "a", n)
            for n in range(2000)
        ]
        assert await asyncio.gather(*calls) == [*range(1, 2001)]
        assert texts(await link.call("a", "LRANGE", "a", 0, -1)) == [*range(2000)]
        statistics = link.statistics()
        assert statistics.calls == 2002
        assert statistics.batches <= 2000 / BATCH_CALLS + 4
        assert (statistics.connections, statistics.again, statistics.waiting) == (1, 0, 0)
        assert sum(statistics.call_seconds.counts) == 2002

    play(redis.url, scenario)


def test_large_calls_leave_in_smaller_groups(redis: RedisServer) -> None:
    async def scenario(link: RedisLink) -> None:
        before = link.statistics().batches
        value = b"x" * (BATCH_BYTES // 2)
        await asyncio.gather(*(link.call("a", "APPEND", "a", value) for _ in range(8)))
        assert link.statistics().batches - before == 4
        assert await link.call("a", "STRLEN", "a") == 8 * len(value)

    play(redis.url, scenario)


def test_an_error_is_that_of_its_call_alone(redis: RedisServer) -> None:
    async def scenario(link: RedisLink) -> None:
        one, two, three = await asyncio.gather(
            link.call("a", "SET", "a", "text"),
            link.run(PUSH, ["a"], ["x"]),
            link.call("a", "GET", "a"),
            return_exceptions=True,
        )
        assert (one, three) == (b"OK", b"text")
        assert type(two) is StoreUnavailable
        assert "WRONGTYPE" in str(two.__cause__)
        assert link.statistics().failures == Counter(refused=1)
        assert link.available
        with pytest.raises(TypeError):
            await link.call("a", "SET", "a", None)  # type: ignore[arg-type]

    play(redis.url, scenario)


def test_a_server_that_forgot_a_script_is_told_again(redis: RedisServer) -> None:
    async def scenario(link: RedisLink) -> None:
        assert await link.run(PUSH, ["a"], ["1"]) == 1
        redis.call("SCRIPT", "FLUSH")
        assert await link.run(PUSH, ["a"], ["2"]) == 2

    play(redis.url, scenario)


def test_a_connection_that_was_closed_while_nobody_called_costs_no_call(redis: RedisServer) -> None:
    async def scenario(link: RedisLink) -> None:
        redis.call("CLIENT", "KILL", "TYPE", "normal")
        await asyncio.sleep(0.01)
        assert await link.run(PUSH_ONCE, ["a"], ["1"]) == 1
        redis.stop()
        redis.start()
        await asyncio.sleep(0.01)
        assert await link.run(PUSH_ONCE, ["a"], ["2"]) == 2
        statistics = link.statistics()
        assert (statistics.connections, statistics.again) == (3, 0)

    play(redis.url, scenario)


def test_calls_go_on_when_a_server_comes_back_but_for_those_that_may_have_run(
    redis: RedisServer,
) -> None:
    async def scenario(link: RedisLink) -> None:
        with redis.stopped():
            repeated = asyncio.ensure_future(link.run(PUSH, ["a"], ["1"]))
            once = asyncio.ensure_future(link.run(PUSH_ONCE, ["a"], ["2"]))
            await sent()
            behind = asyncio.ensure_future(link.run(PUSH_ONCE, ["a"], ["3"]))
            redis.stop()
            with pytest.raises(StoreAway):
                await once
            assert not repeated.done()
        with pytest.raises(StoreAway):
            link.check("a")
        assert not link.available
        await asyncio.to_thread(redis.start)
        assert [await repeated, await behind] == [1, 2]
        link.check("a")
        assert link.available
        assert texts(await link.call("a", "LRANGE", "a", 0, -1)) == [1, 3]

    play(redis.url, scenario)


def test_a_server_that_stands_still_is_away_after_the_deadline(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "STORE_SECONDS", SHORT)

    async def scenario(link: RedisLink) -> None:
        with redis.stopped(), capture_logs() as log:
            with pytest.raises(StoreAway) as caught:
                await link.call("a", "INCR", "a")
            assert caught.value.retry_after
            with pytest.raises(StoreAway):
                await link.call("a", "INCR", "a")
        assert [line["event"] for line in log] == ["redis doesn't answer"]
        with capture_logs() as log:
            assert await link.call("b", "INCR", "b") == 1
        assert [line["event"] for line in log] == ["redis answers again"]
        assert link.statistics().failures == Counter(away=2)

    play(redis.url, scenario)


def test_what_nobody_waits_for_any_more_is_not_sent(redis: RedisServer) -> None:
    async def scenario(link: RedisLink) -> None:
        with redis.stopped():
            first = asyncio.ensure_future(link.call("a", "RPUSH", "a", 0))
            await sent()
            later = [asyncio.ensure_future(link.call("a", "RPUSH", "a", n)) for n in range(1, 100)]
            await asyncio.sleep(0)
            for each in (first, *later[::2]):
                each.cancel()
        done = await asyncio.gather(*later, return_exceptions=True)
        assert sum(isinstance(each, asyncio.CancelledError) for each in done) == 50
        # The first was on its way.
        assert texts(await link.call("a", "LRANGE", "a", 0, -1)) == [*range(0, 100, 2)]
        assert link.statistics().connections == 1

    play(redis.url, scenario)


def test_only_so_many_calls_wait(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "WAITING_MAX", 3)

    async def scenario(link: RedisLink) -> None:
        with redis.stopped():
            handed_in = [asyncio.ensure_future(link.call("a", "INCR", "a"))]
            await sent()
            handed_in += [asyncio.ensure_future(link.call("a", "INCR", "a")) for _ in range(3)]
            await asyncio.sleep(0)
            assert link.statistics().waiting == 3
            with pytest.raises(StoreAway):
                await link.call("a", "INCR", "a")
        assert await asyncio.gather(*handed_in) == [1, 2, 3, 4]

    play(redis.url, scenario)


def test_closing_ends_what_waits(redis: RedisServer) -> None:
    async def scenario(link: RedisLink) -> None:
        with redis.stopped():
            handed_in = [asyncio.ensure_future(link.call("a", "INCR", "a"))]
            await sent()
            handed_in.append(asyncio.ensure_future(link.call("a", "INCR", "a")))
            await asyncio.sleep(0)
            await link.close()
            ends = await asyncio.gather(*handed_in, return_exceptions=True)
            assert [type(end) for end in ends] == [StoreUnavailable] * 2
        with pytest.raises(StoreUnavailable):
            await link.call("a", "INCR", "a")

    play(redis.url, scenario)
    assert int(redis.info("clients")["connected_clients"]) == 1  # who asks


def test_a_server_without_memory_is_full_until_something_is_deleted() -> None:
    options = ("--maxmemory", "4mb", "--maxmemory-policy", "noeviction")
    with redis_server(options=options) as server:

        async def scenario(link: RedisLink) -> None:
            calls = (link.run(PUSH, ["a"], [b"x" * 100_000]) for _ in range(100))
            ends = await asyncio.gather(*calls, return_exceptions=True)
            full = [end for end in ends if isinstance(end, StoreFull)]
            assert full
            assert full[0].retry_after
            assert link.statistics().failures == Counter(full=len(full))
            assert await link.call("a", "LLEN", "a") == len(ends) - len(full)
            link.check("a")
            await link.call("a", "DEL", "a")
            assert await link.run(PUSH, ["a"], [b"x"]) == 1

        play(server.url, scenario)


def test_a_primary_that_became_a_replica_is_asked_until_it_is_one_again(redis: RedisServer) -> None:
    async def scenario(link: RedisLink) -> None:
        redis.call("REPLICAOF", "127.0.0.1", 1)
        try:
            waiting = asyncio.ensure_future(link.run(PUSH_ONCE, ["a"], ["1"]))
            await until(lambda: link.statistics().again > 0)
            assert not link.available
        finally:
            redis.call("REPLICAOF", "NO", "ONE")
        assert await waiting == 1
        assert link.available

    play(redis.url, scenario)


def test_a_server_that_can_not_be_reached_is_away_when_it_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_link, "STORE_SECONDS", SHORT)

    async def scenario() -> None:
        link = RedisLink(Secret("redis://127.0.0.1:1"))
        with pytest.raises(StoreAway) as caught:
            await link.open()
        assert "127.0.0.1:1" in str(caught.value.__cause__)
        await link.close()
        await link.close()

    asyncio.run(scenario())


def test_a_wrong_password_is_refused_and_told_nobody() -> None:
    with redis_server(password="right/one") as server:
        assert "right%2Fone" in server.url.reveal()
        play(server.url, lambda link: link.call("a", "INCR", "a"))
        refused(server.url, "right%2Fone", "wr%C3%B6ng")


def refused(url: Secret, right: str, wrong: str) -> None:
    async def scenario() -> None:
        link = RedisLink(Secret(url.reveal().replace(right, wrong)))
        with capture_logs() as log, pytest.raises(StoreUnavailable) as caught:
            await link.open()
        assert not isinstance(caught.value, StoreAway)
        assert "refuses its user or password" in caught.value.message
        said = f"{caught.value} {caught.value.__cause__!r} {log} {link.shards!r}"
        assert "wr" not in said.replace("WRONGPASS", "")
        await link.close()
        # redis-py lets go of a connection that was refused, which with TLS still says goodbye.
        port = urlsplit(url.reveal()).port
        await until(lambda: port not in connected())

    asyncio.run(scenario())


def connected() -> set[int]:
    """The ports that this process has connections to."""
    return {each.raddr.port for each in Process().net_connections("tcp4") if each.raddr}


def test_tls_is_checked_unless_it_is_not_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "STORE_SECONDS", SHORT)
    with redis_server(tls=True) as server:
        play(server.url, lambda link: link.call("a", "INCR", "a"))
        without = server.url.reveal().partition("?")[0]
        play(Secret(f"{without}?ssl_cert_reqs=none"), lambda link: link.call("a", "INCR", "a"))

        async def scenario() -> None:
            link = RedisLink(Secret(without))
            with pytest.raises(StoreAway) as caught:
                await link.open()
            assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value.__cause__)
            await link.close()

        asyncio.run(scenario())


def test_a_database_is_chosen_by_its_number(redis: RedisServer) -> None:
    url = Secret(redis.url.reveal().removesuffix("/0") + "/3")
    play(url, lambda link: link.call("a", "SET", "a", "1"))
    assert redis.call("-n", 3, "GET", "a") == "1"


def test_a_cluster_with_tls_refuses_a_wrong_password() -> None:
    with redis_cluster(password="right", tls=True) as cluster:

        async def scenario(link: RedisLink) -> None:
            answers = (link.run(PUSH, [str(n)], ["1"]) for n in range(100))
            assert await asyncio.gather(*answers) == [1] * 100
            assert link.statistics().connections == 3

        play(cluster.url, scenario)
        refused(cluster.url, "right", "wrong")
        # A member alone isn't the Cluster.
        member = Secret(cluster.url.reveal().replace("+cluster", ""))
        play(member, the_rest_is_elsewhere)


async def the_rest_is_elsewhere(link: RedisLink) -> None:
    calls = (link.call(str(n), "EXISTS", str(n)) for n in range(100))
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(end) for end in ends} == {int, StoreUnavailable}
