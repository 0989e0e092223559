"""Streams that stay, and what many of them cost: a wallet is read once, however many ask."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from eventsource import Event, EventSource
from processes import Server, Simulator, server, simulator

# Transactions of a wallet whose sync pass takes a while, from an upstream with a latency
# (milliseconds) that counts each transaction it gives.
TRANSACTIONS, WALLETS, LATENCY = 900, 6, 150
APPENDED = 40
# Of these, transactions that are also asked for, or once more, because only the listing of a token
# account has what changed it: at most so many.
SEARCHED = 10
CLIENTS = 50
LINGER_SECONDS = 3


@pytest.fixture(scope="module")
def counting_chain() -> Iterator[Simulator]:
    sizes = ("--only", "--warm", "--wallets", f"{TRANSACTIONS}x{WALLETS}")
    with simulator(*sizes, "--latency", str(LATENCY), "--no-gtfa", "403") as started:
        yield started


@pytest.fixture(scope="module")
def counted_wallets(counting_chain: Simulator) -> Iterator[str]:
    """Those that no test has asked for yet."""
    return iter([address for address, _ in counting_chain.wallets])


@pytest.fixture
def counted(counted_wallets: Iterator[str]) -> str:
    """A wallet of the counting chain that no other test has asked for."""
    return next(counted_wallets)


def test_followers_get_each_new_trade_once_and_a_latecomer_gets_all_with_a_complete_of_its_own(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url, POLL_SECONDS=1) as started, ExitStack() as stack:
        url = started.stream(wallet, "follow=true")
        followers = [stack.enter_context(EventSource(url)) for _ in range(3)]
        seen = [follower.until("complete") for follower in followers]

        new = chain.append(wallet, APPENDED)
        for follower, events in zip(followers, seen, strict=True):
            events += _until_trade(follower, new[-1])
        late = _all_of(started, wallet)
        newer = chain.append(wallet, APPENDED)
        for follower, events in zip(followers, seen, strict=True):
            events += _until_trade(follower, newer[-1])
            events += follower.until("summary")

        old = _signatures(seen[0][: _index(seen[0], "complete")])
        assert len(old) > 0
        for events in seen:
            assert _signatures(events) == old + new + newer
            assert _numbers(events) == list(range(1, _numbers(events)[-1] + 1))
            assert events[-1].data["trades"] == len(old + new + newer)
        assert _signatures(late) == old + new
        assert [event.name for event in late if event.id].count("complete") == 1
        assert late[-1].name == "complete"
        assert late[-1].data["trades_found"] == len(old + new)


def test_a_silent_stream_has_heartbeats(chain: Simulator, wallet: str, tmp_path: Path) -> None:
    with server(tmp_path, chain.url, SSE_KEEPALIVE_INTERVAL=1) as started:
        with EventSource(started.stream(wallet, "follow=true")) as stream:
            assert next(iter(stream)).data["heartbeat_seconds"] == 1
            stream.until("complete")
            beats = stream.take("heartbeat", 3)
        assert all(beat.id is None for beat in beats)
        moments = [beat.data["timestamp"] for beat in beats]
        assert moments == sorted(set(moments))


def test_fifty_clients_of_a_wallet_cost_the_upstream_what_one_costs(
    counting_chain: Simulator, counted_wallets: Iterator[str], tmp_path: Path
) -> None:
    with server(tmp_path, counting_chain.url) as started:
        alone, together = next(counted_wallets), next(counted_wallets)
        before = counting_chain.requests()
        _all_of(started, alone)
        cost = _spent(counting_chain, before)
        assert cost["getTransaction"] >= TRANSACTIONS / 2

        before = counting_chain.requests()
        with ExitStack() as stack:
            url = started.stream(together)
            streams = [stack.enter_context(EventSource(url)) for _ in range(CLIENTS)]
            received = [[event for event in stream if event.id] for stream in streams]
        spent = _spent(counting_chain, before)
        assert spent["getBalance"] == cost["getBalance"] == 1
        # The accounts that are asked for what no listing of the wallet has are each wallet's own.
        assert spent["getSignaturesForAddress"] < 2 * cost["getSignaturesForAddress"]
        assert all(events == received[0] for events in received)
        assert received[0][-1].name == "complete"


def test_a_finished_wallet_costs_only_what_is_new(
    counting_chain: Simulator, counted: str, tmp_path: Path
) -> None:
    with server(tmp_path, counting_chain.url) as started:
        old = _all_of(started, counted)
        started.stop()
        started.start()
        new = counting_chain.append(counted, APPENDED)
        before = counting_chain.requests()
        everything = _all_of(started, counted)
        assert _spent(counting_chain, before)["getTransaction"] <= APPENDED + SEARCHED
        assert _signatures(everything) == _signatures(old) + new
        assert everything[-1].data["trades_found"] == len(_signatures(everything))


def test_a_pass_that_nobody_waits_for_any_more_goes_on_for_a_while(
    counting_chain: Simulator, counted: str, tmp_path: Path
) -> None:
    with server(tmp_path, counting_chain.url, RUN_LINGER=600) as started:
        with EventSource(started.stream(counted)) as stream:
            assert next(iter(stream)).name == "connected"
        started.wait_for("active_streams", 0)
        assert started.metrics()["analyses_running"] == 1
        started.wait_for('analyses_total{outcome="complete"}', 1)
        started.wait_for("analyses_running", 0)
        assert started.get(f"/v4/wallet/{counted}")["status"] == "complete"


def test_a_deserted_pass_stops_and_the_next_client_continues_it(
    counting_chain: Simulator, counted: str, tmp_path: Path
) -> None:
    with server(tmp_path, counting_chain.url, RUN_LINGER=LINGER_SECONDS) as started:
        # In the middle of the wallet, so that a sync pass gets there and not beyond.
        listed = counting_chain.call("getSignaturesForAddress", counted)
        hanging = listed[len(listed) // 2]["signature"]
        counting_chain.call("simFault", {"kind": "hang", "signature": hanging})
        with EventSource(started.stream(counted)) as stream:
            first = [event for event in stream.until("trade") if event.id]
        started.wait_for("active_streams", 0)
        assert started.metrics()["analyses_running"] == 1
        started.wait_for("analyses_running", 0)
        path = f"/v4/wallet/{counted}"
        while (status := started.get(path)["status"]) == "running":
            pass  # the lease goes back a moment later
        assert status == "incomplete"
        counting_chain.call("simReset")

        events = _all_of(started, counted)
        done = [event.data["transactions_done"] for event in events if event.name == "progress"]
        assert done[0] > 0
        kept = [event for event in events if event.id]
        assert kept[0] == first[0]
        assert _numbers(kept) == list(range(1, len(kept)))
        assert kept[-1].data["trades_found"] == len(kept) - 1
        truth = counting_chain.call("simTruth", counted)
        trades = [t for t in truth if t["visible"] for _ in t["trades"]]
        assert _signatures(kept) == [trade["signature"] for trade in trades]


def _all_of(started: Server, wallet: str) -> list[Event]:
    with EventSource(started.stream(wallet)) as stream:
        return list(stream)


def _until_trade(stream: EventSource, signature: str) -> list[Event]:
    events: list[Event] = []
    for event in stream:
        events.append(event)
        if event.data.get("signature") == signature:
            return events
    raise AssertionError(f"the stream ended before the trade {signature}")


def _spent(chain: Simulator, before: dict[str, int]) -> dict[str, int]:
    """Requests since then, by method."""
    return {name: count - before.get(name, 0) for name, count in chain.requests().items()}


def _signatures(events: list[Event]) -> list[str]:
    return [event.data["signature"] for event in events if event.name == "trade"]


def _numbers(events: list[Event]) -> list[int]:
    return [event.data["number"] for event in events if event.name in ("trade", "retract")]


def _index(events: list[Event], name: str) -> int:
    return next(number for number, event in enumerate(events) if event.name == name)
