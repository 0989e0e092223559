"""Who reads a wallet for all nodes: one at a time, also when one sleeps, and after restarts."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from bench import nodes as bench
from tests.cluster import Cluster, cluster
from tests.eventsource import Event, EventSource
from tests.processes import Simulator, simulator
from tests.redis_server import RedisServer, redis_server

# Transactions of a wallet whose sync pass takes seconds, from an upstream that takes its time
# (milliseconds).
LARGE, LATENCY = 12_000, 150
# One whose pages are as many in every sync pass: of larger ones more are read ahead when there is
# time.
MEDIUM = 900
# Followers of a rolling restart and seconds of each drain; the benchmark has more of both.
FOLLOWERS, DRAIN_SECONDS = 600, 6


@pytest.fixture(scope="module")
def chain() -> Iterator[Simulator]:
    sizes = [f"--wallets={size}" for size in (LARGE, MEDIUM)]
    with simulator("--only", "--warm", *sizes, "--latency", str(LATENCY)) as started:
        yield started


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as started:
        yield started


# Requests by which a look for news, which falls in where the machine is slow, adds to a method's.
LOOKS = 2


def test_one_pass_reads_each_page_once_for_followers_on_all_nodes(
    chain: Simulator, redis: RedisServer, tmp_path: Path
) -> None:
    wallet = chain.wallet(MEDIUM)
    with _nodes(chain, redis, tmp_path / "one", count=1) as alone:
        before = chain.requests()
        expected = _follow_to_complete(alone, wallet)
        once = _since(chain, before)
    redis.call("FLUSHALL")
    with _nodes(chain, redis, tmp_path / "three") as nodes:
        before = chain.requests()
        followers = _follow_to_complete(nodes, wallet)
        thrice = _since(chain, before)
        more = {method: count - once.get(method, 0) for method, count in thrice.items()}
        assert max(more.values()) <= LOOKS, more
    assert [len(events) for events in followers] == [len(expected[0])] * 3
    assert followers[0] == followers[1] == followers[2]


def test_a_node_that_was_asleep_learns_that_another_took_over_and_writes_nothing(
    chain: Simulator, redis: RedisServer, tmp_path: Path
) -> None:
    wallet = chain.wallet(LARGE)
    with _nodes(chain, redis, tmp_path, count=2) as nodes:
        first, second = nodes.nodes
        with (
            EventSource(first.stream(wallet, "follow=true&include=movements")) as stream,
            EventSource(second.stream(wallet, "follow=true&include=movements")) as other,
        ):
            mine = stream.until("trade")
            with first.stopped():
                # Nobody but the second node can have written it.
                theirs = _stored(other.until("complete"))
            first.wait_for_log("lease lost")
            mine = _stored(mine + stream.until("complete"))
        (epoch,) = {str(event.id).partition("-")[0] for event in theirs}
        assert [event.id for event in theirs] == [f"{epoch}-{n + 1}" for n in range(len(theirs))]
        assert mine == theirs
        with EventSource(nodes.stream(wallet, "include=movements")) as stream:
            assert _stored(stream.until("complete")) == theirs


def test_a_rolling_restart_loses_nothing_and_leaves_no_node_with_too_much() -> None:
    rows = bench.rolling_restart(FOLLOWERS, DRAIN_SECONDS)
    assert [row for row in rows if not row.met] == []


def _nodes(
    chain: Simulator, redis: RedisServer, folder: Path, **settings: int
) -> AbstractContextManager[Cluster]:
    folder.mkdir(exist_ok=True)
    return cluster(folder, redis.url.reveal(), chain.url, **{"POLL_SECONDS": 3600, **settings})


def _follow_to_complete(nodes: Cluster, wallet: str) -> list[list[Event]]:
    """What a follower of each node gets that is stored."""
    with ExitStack() as stack:
        streams = [
            stack.enter_context(EventSource(node.stream(wallet, "follow=true")))
            for node in nodes.nodes
        ]
        return [_stored(stream.until("complete")) for stream in streams]


def _stored(events: list[Event]) -> list[Event]:
    return [event for event in events if event.id is not None]


def _since(chain: Simulator, before: dict[str, int]) -> dict[str, int]:
    return {method: count - before.get(method, 0) for method, count in chain.requests().items()}
