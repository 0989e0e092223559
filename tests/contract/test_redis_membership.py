"""The heartbeat of a node in Redis: its two marks, who is told, and nodes of the release before."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from processes import PATIENCE
from redis_server import RedisServer, redis_server

from wd_server.errors import StoreUnavailable
from wd_server.journal.base import Lease
from wd_server.redis.backend import RedisBackend
from wd_server.redis.link import RedisLink
from wd_server.redis.membership import Pace, RedisMembership
from wd_server.tasks import Tasks

LIST = "wd:{nodes}:alive"
WALLET = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
OFTEN = Pace(heartbeat=0.02, dead_after=60.0)
KEEP_SECONDS = 600
# As 0.1.0 named a node: by one id for its leases, by another for its streams.
OLD_HOLDER, OLD_NAME = "0123456789abcdef", "1700000000000-fedcba9876543210"


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


class Listener:
    """What depends on a mark, and what it was told last."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._news = asyncio.Event()

    async def on_heartbeat(self, *, unbroken: bool) -> None:
        self._tell("unbroken" if unbroken else "broken")

    def on_silence(self, error: StoreUnavailable) -> None:
        self._tell("silence")

    def _tell(self, word: str) -> None:
        self.told.append(word)
        self._news.set()

    async def until(self, word: str) -> None:
        """From now on."""
        self.told.clear()
        while word not in self.told:
            self._news.clear()
            await self._news.wait()


@asynccontextmanager
async def node(server: RedisServer) -> AsyncIterator[tuple[RedisMembership, Listener, Listener]]:
    """A node, and those who depend on its key and on its place in the list."""
    link = RedisLink(server.url, Tasks())
    membership = RedisMembership(link, OFTEN)
    of_key, of_list = Listener(), Listener()
    membership.tell_of_key(of_key)
    membership.tell_of_list(of_list)
    await link.open()
    await membership.open()
    try:
        async with asyncio.timeout(PATIENCE):
            yield membership, of_key, of_list
    finally:
        await membership.close()
        await link.close()


def test_a_node_has_one_id_in_both_marks_and_takes_both_back(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with node(redis) as (membership, _, _):
            assert redis.call("EXISTS", f"wd:node:{membership.node}") == "1"
            assert redis.call("ZRANGE", LIST, 0, -1) == membership.name
            assert membership.name.partition("-")[2] == membership.node
            assert await membership.lives(membership.node)
        assert redis.call("EXISTS", f"wd:node:{membership.node}", LIST) == "0"

    asyncio.run(scenario())


def test_a_lost_key_is_a_break_for_leases_and_none_for_streams(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with node(redis) as (membership, of_key, of_list):
            name = membership.name
            await of_key.until("unbroken")
            of_list.told.clear()
            redis.call("DEL", f"wd:node:{membership.node}")
            await of_key.until("broken")
            await of_list.until("unbroken")
            assert "broken" not in of_list.told
            assert membership.name == name

    asyncio.run(scenario())


def test_a_lost_place_in_the_list_is_a_break_for_streams_and_gives_a_new_name(
    redis: RedisServer,
) -> None:
    async def scenario() -> None:
        async with node(redis) as (membership, of_key, of_list):
            name, node_id = membership.name, membership.node
            await of_list.until("unbroken")
            redis.call("DEL", LIST)
            await of_list.until("broken")
            assert membership.name != name
            assert membership.node == node_id
            await of_key.until("unbroken")

    asyncio.run(scenario())


@pytest.mark.parametrize("mark", ["key", "list"])
def test_a_mark_that_cannot_be_renewed_stops_nothing_of_the_other(
    redis: RedisServer, mark: str
) -> None:
    """As in a Cluster, where they may lie on different servers."""

    async def scenario() -> None:
        async with node(redis) as (membership, of_key, of_list):
            hit, spared = (of_key, of_list) if mark == "key" else (of_list, of_key)
            denied = "+@all", "-SET" if mark == "key" else "-ZADD"
            redis.call("ACL", "SETUSER", "default", *denied)
            await hit.until("silence")
            await spared.until("unbroken")
            assert membership.surely_alive
            redis.call("ACL", "SETUSER", "default", "+@all")
            await hit.until("unbroken")

    asyncio.run(scenario())


@pytest.mark.parametrize("mark", ["key", "list"])
def test_a_bug_in_what_depends_on_one_mark_keeps_nobody_from_renewing_the_other(
    redis: RedisServer, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task that meets it pauses for longer and longer, up to three times DEAD_SECONDS."""
    turns = 15

    async def fail(*, unbroken: bool) -> None:
        raise RuntimeError

    async def scenario() -> None:
        async with node(redis) as (_, of_key, of_list):
            hit, spared = (of_key, of_list) if mark == "key" else (of_list, of_key)
            monkeypatch.setattr(hit, "on_heartbeat", fail)
            for _ in range(turns):
                await spared.until("unbroken")

    asyncio.run(scenario())


# Beside a node of 0.1.0, in a rolling update


@asynccontextmanager
async def updated(server: RedisServer) -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(server.url, KEEP_SECONDS, Tasks(), pace=OFTEN)
    await backend.open()
    try:
        async with asyncio.timeout(PATIENCE):
            yield backend
    finally:
        await backend.close()


def test_the_lease_of_a_node_of_0_1_0_is_its_own_until_its_key_ends(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with updated(redis) as backend:
            redis.call("SET", f"wd:node:{OLD_HOLDER}", 1)
            redis.call("HSET", f"wd:{{{WALLET}}}", "h", f"{OLD_HOLDER}/1", "t", 1)
            assert await backend.journal.acquire(WALLET) is None
            redis.call("DEL", f"wd:node:{OLD_HOLDER}")
            lease: Lease | None = None
            while lease is None:
                lease = await backend.journal.acquire(WALLET)
            # What 0.1.0 asks before it takes a lease: whether the key of its holder is there.
            holder = redis.call("HGET", f"wd:{{{WALLET}}}", "h").partition("/")[0]
            assert redis.call("EXISTS", f"wd:node:{holder}") == "1"

    asyncio.run(scenario())


def test_streams_of_a_node_of_0_1_0_count_while_it_is_listed(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with updated(redis) as backend:
            listener = Listener()
            backend.membership.tell_of_list(listener)
            assert await backend.counters.enter("who", 2)
            (key,) = [key for key in redis.call("KEYS", "*:streams").split() if key]
            # What 0.1.0 asks before it counts a number: whether the name it stands under is listed.
            assert redis.call("HKEYS", key) == redis.call("ZRANGE", LIST, 0, -1)
            now = int(redis.call("TIME").split()[0]) * 1000
            redis.call("ZADD", LIST, now, OLD_NAME)
            redis.call("HSET", key, OLD_NAME, 1)
            old_id = OLD_NAME.partition("-")[2]
            while old_id not in backend.membership.nodes():
                await listener.until("unbroken")
            assert not await backend.counters.enter("who", 2)
            redis.call("ZREM", LIST, OLD_NAME)
            while not await backend.counters.enter("who", 2):
                await listener.until("unbroken")

    asyncio.run(scenario())
