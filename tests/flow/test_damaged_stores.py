"""A store that lost or altered what it had: clients are told, and get what is right."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import node
from tests.eventsource import Event, EventSource
from tests.processes import ROOT, Server, Simulator, server, simulator
from tests.redis_server import RedisServer, redis_server

SIZE = 300
NEWER = ROOT / "tests/newer_server.py"


@pytest.fixture(scope="module")
def chain() -> Iterator[Simulator]:
    with simulator("--only", f"--wallets={SIZE}") as started:
        yield started


@pytest.fixture
def wallet(chain: Simulator) -> str:
    return chain.wallet(SIZE)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as started:
        yield started


@pytest.fixture
def nodes(chain: Simulator, redis: RedisServer, tmp_path: Path) -> Iterator[list[Server]]:
    yield from started(chain, redis, tmp_path)


@pytest.fixture
def mixed(chain: Simulator, redis: RedisServer, tmp_path: Path) -> Iterator[list[Server]]:
    """One node of this release, and one of the next."""
    yield from started(chain, redis, tmp_path, program=NEWER)


def started(
    chain: Simulator, redis: RedisServer, folder: Path, **second: Any
) -> Iterator[list[Server]]:
    made = [
        node(folder / name, redis.url.reveal(), chain.url, POLL_SECONDS=3600, **more)
        for name, more in (("first", {}), ("second", second))
    ]
    try:
        for each in made:
            each.start()
        yield made
    finally:
        for each in made:
            if each.process is not None and each.process.poll() is None:
                each.kill()


def history(each: Server, wallet: str, headers: dict[str, str] | None = None) -> list[Event]:
    with EventSource(each.stream(wallet), headers) as stream:
        return list(stream)


def trades(events: list[Event]) -> list[tuple[Any, ...]]:
    return [
        (event.data["number"], event.data["signature"], event.data["pnl_sol"])
        for event in events
        if event.name == "trade"
    ]


def epochs(events: list[Event]) -> set[str]:
    return {event.id.partition("-")[0] for event in events if event.id is not None}


# Redis


def test_a_log_that_redis_lost_is_read_anew_and_followers_get_a_gap(
    nodes: list[Server], redis: RedisServer, wallet: str
) -> None:
    first, second = nodes
    with EventSource(first.stream(wallet, "follow=true")) as follower:
        before = follower.until("complete")
        assert redis.call("DEL", f"wd:{{{wallet}}}:log") == "1"
        other = history(second, wallet)
        assert trades(other) == trades(before)
        assert other[-1].name == "complete"
        assert other[-1].data["entries"] == len(trades(before))
        assert not epochs(other) & epochs(before)
        gap, *again = follower.until("gap") + follower.until("complete")
        assert gap.data["reason"] == "reset"
        assert trades(again) == trades(before)
        assert epochs(again) == epochs(other)
    second.wait_for_log("journal damaged")


def test_trades_appended_to_a_log_that_was_lost_are_no_history(
    nodes: list[Server], redis: RedisServer, chain: Simulator, wallet: str
) -> None:
    first, second = nodes
    before = trades(history(first, wallet))
    assert redis.call("DEL", f"wd:{{{wallet}}}:log") == "1"
    new = chain.append(wallet, 5)
    after = trades(history(second, wallet))
    assert [each[1] for each in after] == [each[1] for each in before] + new


def test_health_is_degraded_while_redis_may_evict(
    chain: Simulator, redis: RedisServer, tmp_path: Path
) -> None:
    redis.call("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")
    evicting = node(tmp_path / "node", redis.url.reveal(), chain.url)
    try:
        evicting.start()
        health = evicting.get("/health")
        assert health["status"] == "degraded"
        assert health["redis"]["policy"] == "allkeys-lru"
        assert health["redis"]["may_evict"] is True
        evicting.wait_for_log("redis may evict journals")
        evicting.stop()
        redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        evicting.start()
        assert evicting.get("/health")["status"] == "healthy"
    finally:
        if evicting.process is not None and evicting.process.poll() is None:
            evicting.kill()


# SQLite


def test_an_altered_entry_on_disk_is_never_served(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path / "data", chain.url) as only:
        before = history(only, wallet)
        held = [event for event in before if event.id is not None][SIZE // 4]
        only.stop()
        altered = "UPDATE entries SET payload = CAST(replace(payload, 'sell', 'buy ') AS BLOB)"
        with closing(sqlite3.connect(tmp_path / "data/journal.db")) as connection, connection:
            assert connection.execute(altered).rowcount > SIZE // 2
        only.start()
        after = history(only, wallet, {"Last-Event-ID": str(held.id)})
        assert trades(after) == trades(before)
        assert "gap" in [event.name for event in after]
        assert not epochs(after) & epochs(before)


def test_a_wallets_digest_is_that_of_what_was_sent(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path / "data", chain.url) as only, EventSource(only.stream(wallet)) as stream:
        raw = b""
        while stream.fill():
            pass
        raw = stream._buffer
    digest, count = bytes(32), 0
    for block in raw.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if fields.get("event") in ("trade", "retract"):
            link = f"{fields['id']}\n{fields['data']}".encode()
            digest, count = sha256(digest + link).digest(), count + 1
        if fields.get("event") == "complete":
            assert f'"entries":{count},"digest":"{digest.hex()}"' in fields["data"]
            return
    raise AssertionError("no complete")


# Versions


def test_an_older_node_never_begins_a_newer_nodes_journal_anew(
    mixed: list[Server], wallet: str, chain: Simulator
) -> None:
    older, newer = mixed
    with EventSource(newer.stream(wallet, "follow=true")) as reader:
        written = reader.until("complete")
        # The newer node reads the wallet, and the older one's clients get what it writes.
        with EventSource(older.stream(wallet, "follow=true")) as follower:
            assert trades(follower.until("complete")) == trades(written)
            new = chain.append(wallet, 4)
            history(newer, wallet)
            got = [event.data["signature"] for event in follower.take("trade", len(new))]
            assert got == new
            # Nobody is left who can go on with it: the older node says so, and touches nothing.
            reader.close()
            refused = follower.until("error")[-1]
            assert refused.data["code"] == "STORE_UNAVAILABLE"
            assert refused.data["details"]["retry_after"] > 0
    with EventSource(older.stream(wallet)) as stream:
        assert stream.until("error")[-1].data["code"] == "STORE_UNAVAILABLE"
    again = history(newer, wallet)
    assert epochs(again) == epochs(written)
    assert not older.logged("journal begun anew")
