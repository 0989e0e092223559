"""Several servers on one Redis: whichever a client is at, it is the same service."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest
from eventsource import Event, EventSource
from processes import Server, Simulator, server, simulator
from redis_server import RedisServer, redis_server

# More than one page of the upstream, so that a sync pass can be met in its middle.
LARGE = 3000
SMALL, SMALL_WALLETS = 60, 12
SECRET = "a secret that all nodes have, of 32 or more characters"


@pytest.fixture(scope="module")
def chain() -> Iterator[Simulator]:
    """Its time is ours: what is pushed is dated by its receipt, and a trade that the chain dates
    otherwise is told again."""
    wallets = ("--wallets", f"{LARGE}x4", "--wallets", f"{SMALL}x{SMALL_WALLETS}")
    with simulator("--only", "--end-time", "now", *wallets) as started:
        yield started


@pytest.fixture(scope="module")
def fresh_wallets(chain: Simulator) -> dict[int, Iterator[str]]:
    return {
        size: iter([address for address, each in chain.wallets if each == size])
        for size in (SMALL, LARGE)
    }


@pytest.fixture
def wallet(fresh_wallets: dict[int, Iterator[str]]) -> str:
    return next(fresh_wallets[SMALL])


@pytest.fixture
def large_wallet(fresh_wallets: dict[int, Iterator[str]]) -> str:
    return next(fresh_wallets[LARGE])


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as started:
        yield started


@pytest.fixture
def nodes(redis: RedisServer, chain: Simulator, tmp_path: Path) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                server(
                    tmp_path / name,
                    chain.url,
                    REDIS_URL=redis.url.reveal(),
                    SECRET_KEY=SECRET,
                    POLL_SECONDS=1,
                    SSE_KEEPALIVE_INTERVAL=1,
                )
            )
            for name in ("first", "second")
        ]


def trades(events: list[Event]) -> list[str]:
    return [event.data["signature"] for event in events if event.name == "trade"]


@contextmanager
def followed(nodes: list[Server], wallet: str) -> Iterator[list[EventSource]]:
    """A follower on each node, who has everything."""
    with ExitStack() as stack:
        streams = [
            stack.enter_context(EventSource(node.stream(wallet, "follow=true"))) for node in nodes
        ]
        for stream in streams:
            stream.until("complete")
        yield streams


def requests_for(chain: Simulator, *streams: str) -> tuple[int, list[list[Event]]]:
    """Requests for transactions while these streams run to their end, and what each was sent."""
    before = chain.requests().get("getTransactionsForAddress", 0)
    with ExitStack() as stack:
        sources = [stack.enter_context(EventSource(stream)) for stream in streams]
        sent = [source.until("complete") for source in sources]
    return chain.requests()["getTransactionsForAddress"] - before, sent


def test_a_wallet_is_read_once_for_clients_of_all_nodes(
    nodes: list[Server], chain: Simulator, fresh_wallets: dict[int, Iterator[str]]
) -> None:
    first, second = nodes
    alone, _ = requests_for(chain, first.stream(next(fresh_wallets[LARGE])))
    wallet = next(fresh_wallets[LARGE])
    streams = [node.stream(wallet) for node in (first, second, first, second)]
    together, (seen, *others) = requests_for(chain, *streams)
    # Who comes when it is read asks once more whether anything is newer. The comparison with the
    # chain is asked up to twice more, at three calls, while the chain's answer is behind the books.
    assert together <= alone + 1 + 2 * 3
    for events in others:
        assert trades(events) == trades(seen)
        assert [event.id for event in events if event.id] == [e.id for e in seen if e.id]
        assert any(event.name == "progress" for event in events)


def test_followers_on_all_nodes_get_new_trades_from_one_look(
    nodes: list[Server], chain: Simulator, wallet: str
) -> None:
    with followed(nodes, wallet) as streams:
        new = chain.append(wallet, 20)
        for stream in streams:
            assert trades(stream.take("trade", len(new))) == new
            stream.until("summary")


def test_a_stream_that_ends_gets_the_newest_though_another_node_reads_the_wallet(
    nodes: list[Server], chain: Simulator, wallet: str
) -> None:
    first, second = nodes
    with EventSource(first.stream(wallet, "follow=true")) as here:
        here.until("complete")
        new = chain.append(wallet, 10)
        here.take("trade", len(new))
        with EventSource(second.stream(wallet)) as there:
            *events, complete = there.until("complete")
        assert complete.data["trades_found"] == len(trades(events))
        assert trades(events)[-len(new) :] == new


def test_a_stream_ends_though_all_that_its_node_heard_of_the_wallet_was_for_followers(
    nodes: list[Server], chain: Simulator, wallet: str
) -> None:
    with followed(nodes, wallet) as streams:
        new = chain.append(wallet, 10)
        for stream in streams:
            stream.take("trade", len(new))
            stream.until("summary")
        # The newest entry is a trade. The first node reads the wallet, since it was asked first,
        # and the other has just heard that nothing is newer.
        with EventSource(nodes[-1].stream(wallet)) as newcomer:
            *events, complete = newcomer.until("complete")
        assert complete.data["trades_found"] == len(trades(events))
        # One a second of waiting: for one look at the chain, not until somebody asks again.
        assert sum(event.name == "heartbeat" for event in events) < 10


def test_a_client_goes_on_at_another_node_when_its_own_is_killed_in_the_middle(
    nodes: list[Server], chain: Simulator, large_wallet: str
) -> None:
    first, second = nodes
    with EventSource(first.stream(large_wallet)) as stream:
        seen = stream.until("trade")
        first.kill()
    last = seen[-1].id
    assert last is not None
    with EventSource(second.stream(large_wallet), headers={"Last-Event-ID": last}) as stream:
        events = stream.until("complete")
    assert events[0].data["resumed"] is True
    with EventSource(second.stream(large_wallet)) as stream:
        whole = trades(stream.until("complete"))
    assert trades(seen) + trades(events) == whole


def test_streams_outlast_redis_and_get_every_trade_once(
    nodes: list[Server], redis: RedisServer, chain: Simulator, wallet: str
) -> None:
    first, second = nodes
    with (
        EventSource(first.stream(wallet, "follow=true")) as here,
        EventSource(second.stream(wallet, "follow=true")) as there,
    ):
        here.until("complete")
        there.until("complete")
        redis.stop()
        new = chain.append(wallet, 10)
        here.until("heartbeat")
        there.until("heartbeat")
        second.wait_for("redis_available", 0)
        with EventSource(second.stream(wallet)) as refused:
            assert refused.status == 503
            assert int(refused.headers["Retry-After"]) > 0
        with pytest.raises(HTTPError) as health:
            second.get("/health")
        assert json.load(health.value)["dependencies"]["redis"] == "unavailable"
        redis.start()
        for stream in (here, there):
            assert trades(stream.take("trade", len(new))) == new


def test_redis_that_comes_back_empty_costs_a_gap_and_no_restart(
    nodes: list[Server], redis: RedisServer, wallet: str
) -> None:
    first, second = nodes
    with (
        EventSource(first.stream(wallet, "follow=true")) as here,
        EventSource(second.stream(wallet, "follow=true")) as there,
    ):
        whole = trades(here.until("complete"))
        there.until("complete")
        redis.call("FLUSHALL")
        redis.call("CLIENT", "KILL", "TYPE", "pubsub")
        for stream in (here, there):
            gap = stream.until("gap")[-1]
            assert gap.data["reason"] == "reset"
            assert trades(stream.until("complete")) == whole
