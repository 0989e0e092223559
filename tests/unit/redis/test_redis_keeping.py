"""Whether Redis may evict journals, and keeps them over a restart."""

import asyncio
from collections.abc import Iterator

import pytest
from redis_server import RedisServer, redis_server

from wd_server.redis.keeping import Keeping, KeepingWatch, keeping_of, least
from wd_server.redis.link import RedisLink
from wd_server.secret import Secret


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as started:
        yield started


def look(url: Secret) -> Keeping | None:
    async def once() -> Keeping | None:
        link = RedisLink(url)
        await link.open()
        try:
            watch = KeepingWatch(link)
            await watch.look()
            return watch.latest
        finally:
            await link.close()

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("policy", "maxmemory", "may_evict"),
    [
        ("noeviction", "100mb", False),
        ("noeviction", "0", False),
        ("allkeys-lru", "0", False),
        ("allkeys-lru", "100mb", True),
        ("volatile-ttl", "100mb", True),
    ],
)
def test_a_policy_that_evicts_counts_where_there_is_a_maxmemory(
    redis: RedisServer, policy: str, maxmemory: str, may_evict: bool
) -> None:
    redis.call("CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", maxmemory)
    found = look(redis.url)
    assert found is not None
    assert (found.policy, found.may_evict) == (policy, may_evict)


@pytest.mark.parametrize(
    ("appendonly", "save", "persistence"),
    [("yes", "", "aof"), ("no", "3600 1", "rdb"), ("no", "", "none")],
)
def test_persistence_is_what_survives_a_restart(
    redis: RedisServer, appendonly: str, save: str, persistence: str
) -> None:
    redis.call("CONFIG", "SET", "appendonly", appendonly, "save", save)
    found = look(redis.url)
    assert found is not None
    assert found.persistence == persistence


def test_a_login_that_may_not_ask_leaves_it_unknown(redis: RedisServer) -> None:
    redis.call(
        "ACL", "SETUSER", "app", "on", ">secret", "~wd:*", "&wd:*", "+@all", "-info", "-config"
    )
    url = redis.url.reveal().partition("@")[2] or redis.url.reveal().partition("//")[2]
    assert look(Secret(f"redis://app:secret@{url}")) == Keeping("unknown", False, "unknown")


def test_of_several_servers_the_one_that_keeps_least_counts() -> None:
    safe, lossy = Keeping("noeviction", False, "aof"), Keeping("allkeys-lru", True, "rdb")
    assert least([safe, lossy, safe]) == lossy
    assert least([lossy, safe._replace(persistence="none")]).persistence == "none"


def test_an_answer_without_the_fields_is_unknown_and_no_alarm() -> None:
    assert keeping_of("", None) == Keeping("unknown", False, "unknown")
    assert keeping_of("maxmemory_policy:allkeys-lru\r\nmaxmemory:9\r\n", "") == Keeping(
        "allkeys-lru", True, "none"
    )
